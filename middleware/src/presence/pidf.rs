//! Presence: PIDF (RFC 3863) with the data model (RFC 4479) and the rich extensions (RFC 4480).

use std::time::SystemTime;

use super::namespace::{DATA_MODEL, PIDF};
use super::rpid::{Activities, Activity, Mood, Rpid};
use super::schema::{Group, Node, Value};
use super::value::{Note, Priority, Timestamp};
use super::xml::{Attribute, Element, Namespaces};

elements! {
    /// The presence of somebody: services, persons and devices.
    pub struct Presence {
        /// Whose, such as `pres:alice@example.com`; empty where the document has none, which is
        /// wrong and is done.
        lax entity: String = "entity";
        /// What can be reached.
        many tuples: Tuple = "tuple";
        /// For people.
        many notes: Note = "note";
        /// The person (RFC 4479 §3.2).
        many persons: Person = DATA_MODEL, "person";
        /// Its devices (RFC 4479 §3.4).
        many devices: Device = DATA_MODEL, "device";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// A service (RFC 3863 §4.1.2).
    pub struct Tuple {
        /// Tells it from the others.
        must id: String = "id";
        /// Whether it can be reached.
        need status: Status = "status";
        /// More about it.
        group rpid: Rpid;
        /// The devices that it runs on (RFC 4479 §3.5).
        children device_ids: String = DATA_MODEL, "deviceID";
        /// Elements that are not known here.
        rest extensions: Element;
        /// How to reach it.
        one contact: Contact = "contact";
        /// For people.
        many notes: Note = "note";
        /// When it was like this.
        child timestamp: Timestamp = "timestamp";
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The status of a service.
    pub struct Status {
        /// Open or closed.
        child basic: Basic = "basic";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Where a service is.
    pub struct Contact {
        /// How much it is preferred.
        may priority: Priority = "priority";
        /// Its URI.
        text uri: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A human being (RFC 4479 §3.2).
    pub struct Person {
        /// Tells it from what else is said of it.
        must id: String = "id";
        /// What it does, how it feels, where it is.
        group rpid: Rpid;
        /// Elements that are not known here.
        rest extensions: Element;
        /// For people.
        many notes: Note = "note";
        /// When it was like this.
        child timestamp: Timestamp = "timestamp";
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A device (RFC 4479 §3.4).
    pub struct Device {
        /// Tells it from the others in the document.
        must id: String = "id";
        /// What is known of it.
        group rpid: Rpid;
        /// Elements that are not known here.
        rest extensions: Element;
        /// What it is everywhere: a URN.
        child device_id: String = "deviceID";
        /// For people.
        many notes: Note = "note";
        /// When it was like this.
        child timestamp: Timestamp = "timestamp";
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

words! {
    closed
    /// Whether a service can be reached.
    pub enum Basic {
        Open = "open",
        Closed = "closed",
    }
}

document!(Presence, PIDF, "presence", "application/pidf+xml");

impl Presence {
    /// The presence of somebody of whom nothing is said yet.
    #[must_use]
    pub fn new(entity: impl Into<String>) -> Self {
        Self { entity: entity.into(), ..Self::default() }
    }

    /// What somebody publishes of a service at `contact` and of itself: whether it can be reached,
    /// words for people, and what it does.
    #[must_use]
    pub fn to_publish(
        entity: impl Into<String>,
        contact: impl Into<String>,
        basic: Basic,
        notes: impl IntoIterator<Item = Note>,
        activities: impl IntoIterator<Item = Activity>,
        at: SystemTime,
    ) -> Self {
        let mut presence = Self::new(entity);
        let timestamp = Some(Timestamp::from(at));
        let notes = notes.into_iter().collect();
        presence.tuples.push(Tuple {
            notes,
            timestamp: timestamp.clone(),
            ..Tuple::new("service", basic, contact)
        });
        let values: Vec<Activity> = activities.into_iter().collect();
        if !values.is_empty() {
            let rpid = vec![Rpid::Activities(Activities { values, ..Activities::default() })];
            presence.persons.push(Person { id: "person".to_owned(), rpid, timestamp, ..Person::default() });
        }
        presence
    }

    /// Open if any service is, closed if one says so and none is open.
    #[must_use]
    pub fn basic(&self) -> Option<Basic> {
        let mut said = self.tuples.iter().filter_map(|tuple| tuple.status.basic);
        let first = said.next()?;
        Some(if first == Basic::Open || said.any(|basic| basic == Basic::Open) { Basic::Open } else { first })
    }

    /// Everything that is said for people.
    pub fn all_notes(&self) -> impl Iterator<Item = &Note> {
        let tuples = self.tuples.iter().flat_map(|tuple| &tuple.notes);
        let persons = self.persons.iter().flat_map(|person| {
            let inner = person.rpid.iter().flat_map(Rpid::notes);
            person.notes.iter().chain(inner)
        });
        self.notes.iter().chain(tuples).chain(persons)
    }

    /// What the person does; a service may say so too.
    pub fn activities(&self) -> impl Iterator<Item = &Activity> {
        self.all_rpid().flat_map(|rpid| match rpid {
            Rpid::Activities(activities) => activities.values.as_slice(),
            _ => &[],
        })
    }

    /// How the person feels.
    pub fn moods(&self) -> impl Iterator<Item = &Mood> {
        self.all_rpid().flat_map(|rpid| match rpid {
            Rpid::Mood(mood) => mood.values.as_slice(),
            _ => &[],
        })
    }

    /// Says what the person does, in place of what was said of that before.
    pub fn set_activity(&mut self, activity: Activity) {
        if self.persons.is_empty() {
            self.persons.push(Person { id: "person".to_owned(), ..Person::default() });
        }
        if let Some(person) = self.persons.first_mut() {
            person.rpid.retain(|rpid| !matches!(rpid, Rpid::Activities(_)));
            person.rpid.push(activity.into());
        }
    }

    fn all_rpid(&self) -> impl Iterator<Item = &Rpid> {
        self.persons
            .iter()
            .flat_map(|person| &person.rpid)
            .chain(self.tuples.iter().flat_map(|tuple| &tuple.rpid))
    }
}

impl Tuple {
    /// A service that can be reached at `uri`, or cannot.
    #[must_use]
    pub fn new(id: impl Into<String>, basic: Basic, uri: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status: Status { basic: Some(basic), ..Status::default() },
            contact: Some(Contact { uri: uri.into(), ..Contact::default() }),
            ..Self::default()
        }
    }
}
