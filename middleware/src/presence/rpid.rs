//! Rich presence (RFC 4480): what somebody does, feels and where, in elements of persons, devices
//! and services.

use std::borrow::Cow;

use super::ParseError;
use super::namespace::{LOCATION_TYPE, RPID};
use super::schema::{Group, Node, Value};
use super::value::{Note, Timestamp};
use super::xml::{Attribute, Element};

/// Enums of elements that say it by their name, one of which is `other` with words.
macro_rules! choices {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`")] $variant,)+
            /// In other words.
            Other(Note),
            /// An element of another namespace.
            Extension(Element),
        }

        impl $name {
            /// All that RFC 4480 lists.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),+];

            /// The name of the element, such as `on-the-phone`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(_) => "other",
                    Self::Extension(element) => element.name(),
                }
            }

            /// The one of this name; other words become `Other`.
            #[must_use]
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($word => Self::$variant,)+
                    other => Self::Other(Note::new(other)),
                }
            }
        }

        impl Group for $name {
            fn takes(own: &str, element: &Element) -> bool {
                element.namespace() != own || matches!(element.name(), "other" $(| $word)+)
            }

            fn from_element(element: &Element) -> Result<Self, ParseError> {
                if element.namespace() != RPID {
                    return Ok(Self::Extension(element.clone()));
                }
                Ok(match element.name() {
                    "other" => Self::Other(Note::from_element(element)?),
                    name => Self::from_name(name),
                })
            }

            fn to_element(&self, own: &Cow<'static, str>) -> Element {
                match self {
                    Self::Extension(element) => element.clone(),
                    Self::Other(note) => note.to_element(own.clone(), "other"),
                    $(Self::$variant => Element::known(own.clone(), $word),)+
                }
            }
        }
    };
}

choices! {
    /// What somebody does (RFC 4480 §3.2).
    pub enum Activity {
        Appointment = "appointment", Away = "away", Breakfast = "breakfast", Busy = "busy",
        Dinner = "dinner", Holiday = "holiday", InTransit = "in-transit",
        LookingForWork = "looking-for-work", Meal = "meal", Meeting = "meeting",
        OnThePhone = "on-the-phone", Performance = "performance", PermanentAbsence = "permanent-absence",
        Playing = "playing", Presentation = "presentation", Shopping = "shopping", Sleeping = "sleeping",
        Spectator = "spectator", Steering = "steering", Travel = "travel", Tv = "tv",
        Vacation = "vacation", Working = "working", Worship = "worship", Unknown = "unknown",
    }
}

choices! {
    /// How somebody feels (RFC 4480 §3.4).
    pub enum Mood {
        Afraid = "afraid", Amazed = "amazed", Angry = "angry", Annoyed = "annoyed", Anxious = "anxious",
        Ashamed = "ashamed", Bored = "bored", Brave = "brave", Calm = "calm", Cold = "cold",
        Confused = "confused", Contented = "contented", Cranky = "cranky", Curious = "curious",
        Depressed = "depressed", Disappointed = "disappointed", Disgusted = "disgusted",
        Distracted = "distracted", Embarrassed = "embarrassed", Excited = "excited",
        Flirtatious = "flirtatious", Frustrated = "frustrated", Grumpy = "grumpy", Guilty = "guilty",
        Happy = "happy", Hot = "hot", Humbled = "humbled", Humiliated = "humiliated", Hungry = "hungry",
        Hurt = "hurt", Impressed = "impressed", InAwe = "in_awe", InLove = "in_love",
        Indignant = "indignant", Interested = "interested", Invincible = "invincible", Jealous = "jealous",
        Lonely = "lonely", Mean = "mean", Moody = "moody", Nervous = "nervous", Neutral = "neutral",
        Offended = "offended", Playful = "playful", Proud = "proud", Relieved = "relieved",
        Remorseful = "remorseful", Restless = "restless", Sad = "sad", Sarcastic = "sarcastic",
        Serious = "serious", Shocked = "shocked", Shy = "shy", Sick = "sick", Sleepy = "sleepy",
        Stressed = "stressed", Surprised = "surprised", Thirsty = "thirsty", Worried = "worried",
        Unknown = "unknown",
    }
}

choices! {
    /// What can be used without others taking part (RFC 4480 §3.7).
    pub enum PrivateMedium {
        Audio = "audio", Text = "text", Video = "video", Unknown = "unknown",
    }
}

choices! {
    /// Who answers there (RFC 4480 §3.8).
    pub enum Relationship {
        Assistant = "assistant", Associate = "associate", Family = "family", Friend = "friend",
        Myself = "self", Supervisor = "supervisor", Unknown = "unknown",
    }
}

choices! {
    /// What sort of delivery a service is (RFC 4480 §3.9).
    pub enum ServiceClass {
        Courier = "courier", Electronic = "electronic", Freight = "freight", InPerson = "in-person",
        Postal = "postal", Unknown = "unknown",
    }
}

choices! {
    /// The part that somebody plays (RFC 4480 §3.10).
    pub enum Sphere {
        Home = "home", Work = "work", Unknown = "unknown",
    }
}

choices! {
    /// A property of a place (RFC 4480 §3.5).
    pub enum PlaceProperty {
        Noisy = "noisy", Quiet = "quiet", TooBright = "toobright", Dark = "dark",
        Uncomfortable = "uncomfortable", Inappropriate = "inappropriate", Ok = "ok", Unknown = "unknown",
    }
}

/// A place (RFC 4480 §3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One that RFC 4589 registers, by its name: `airport`, `cafe`, `office`, …
    Location(String),
    /// In other words.
    Other(Note),
    /// An element of another namespace.
    Extension(Element),
}

impl Group for Place {
    fn takes(own: &str, element: &Element) -> bool {
        element.namespace() != own || element.name() == "other"
    }

    fn from_element(element: &Element) -> Result<Self, ParseError> {
        let plain = element.content().is_empty() && element.attributes().is_empty();
        Ok(match element.namespace() {
            LOCATION_TYPE if plain => Self::Location(element.name().to_owned()),
            RPID => Self::Other(Note::from_element(element)?),
            _ => Self::Extension(element.clone()),
        })
    }

    fn to_element(&self, own: &Cow<'static, str>) -> Element {
        match self {
            // What is no name cannot be an element.
            Self::Location(name) => match Element::new(LOCATION_TYPE, name) {
                Ok(element) => element,
                Err(_) => Note::new(name.as_str()).to_element(own.clone(), "other"),
            },
            Self::Other(note) => note.to_element(own.clone(), "other"),
            Self::Extension(element) => element.clone(),
        }
    }
}

words! {
    open
    /// Whether a device or service is used.
    pub enum Usage {
        Active = "active",
        Idle = "idle",
    }
}

elements! {
    /// What somebody does.
    pub struct Activities {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// For people.
        many notes: Note = "note";
        /// All of it at once.
        group values: Activity;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// How somebody feels.
    pub struct Moods {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// For people.
        many notes: Note = "note";
        /// All of it at once.
        group values: Mood;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// What a place is like for talking, looking and writing.
    pub struct PlaceIs {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// For people.
        many notes: Note = "note";
        /// For hearing.
        one audio: PlaceProperties = "audio";
        /// For seeing.
        one video: PlaceProperties = "video";
        /// For writing.
        one text: PlaceProperties = "text";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// What a place is like in one respect.
    pub struct PlaceProperties {
        /// It.
        group values: PlaceProperty;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// What sort of place it is.
    pub struct PlaceType {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// For people.
        many notes: Note = "note";
        /// The place.
        group values: Place;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// What others would not hear or see.
    pub struct Privacy {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// For people.
        many notes: Note = "note";
        /// The media that are private.
        group values: PrivateMedium;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Who else answers there.
    pub struct Relationships {
        /// For people.
        many notes: Note = "note";
        /// What it is to the presentity.
        group values: Relationship;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// What sort of service it is.
    pub struct ServiceClasses {
        /// For people.
        many notes: Note = "note";
        /// The sort.
        group values: ServiceClass;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The part that somebody plays.
    pub struct Spheres {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// The part.
        group values: Sphere;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A picture of the status.
    pub struct StatusIcon {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// Its URI.
        text uri: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// How far local time is from UTC.
    pub struct TimeOffset {
        /// From when on.
        may from: Timestamp = "from";
        /// Until when.
        may until: Timestamp = "until";
        /// Tells it from others of its name.
        may id: String = "id";
        /// Where that is so, in words.
        may description: String = "description";
        /// In minutes.
        text minutes: i32;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Whether a device or service is used, and since when.
    pub struct UserInput {
        /// After how many seconds without input it counts as idle.
        may idle_threshold: u64 = "idle-threshold";
        /// When there was input last.
        may last_input: Timestamp = "last-input";
        /// Tells it from others of its name.
        may id: String = "id";
        /// Active or idle.
        text usage: Usage;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
    /// A class that rules can name.
    pub struct Class {
        /// Its name.
        text name: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

/// One of the elements of RFC 4480; each may be there several times, for several spans of time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rpid {
    /// `activities`
    Activities(Activities),
    /// `class`
    Class(Class),
    /// `mood`
    Mood(Moods),
    /// `place-is`
    PlaceIs(PlaceIs),
    /// `place-type`
    PlaceType(PlaceType),
    /// `privacy`
    Privacy(Privacy),
    /// `relationship`
    Relationship(Relationships),
    /// `service-class`
    ServiceClass(ServiceClasses),
    /// `sphere`
    Sphere(Spheres),
    /// `status-icon`
    StatusIcon(StatusIcon),
    /// `time-offset`
    TimeOffset(TimeOffset),
    /// `user-input`
    UserInput(UserInput),
}

impl Group for Rpid {
    fn takes(_: &str, element: &Element) -> bool {
        element.namespace() == RPID
            && match element.name() {
                "time-offset" => TimeOffset::from_element(element).is_ok(),
                name => matches!(
                    name,
                    "activities"
                        | "class"
                        | "mood"
                        | "place-is"
                        | "place-type"
                        | "privacy"
                        | "relationship"
                        | "service-class"
                        | "sphere"
                        | "status-icon"
                        | "user-input"
                ),
            }
    }

    fn from_element(element: &Element) -> Result<Self, ParseError> {
        Ok(match element.name() {
            "activities" => Self::Activities(Node::from_element(element)?),
            "class" => Self::Class(Node::from_element(element)?),
            "mood" => Self::Mood(Node::from_element(element)?),
            "place-is" => Self::PlaceIs(Node::from_element(element)?),
            "place-type" => Self::PlaceType(Node::from_element(element)?),
            "privacy" => Self::Privacy(Node::from_element(element)?),
            "relationship" => Self::Relationship(Node::from_element(element)?),
            "service-class" => Self::ServiceClass(Node::from_element(element)?),
            "sphere" => Self::Sphere(Node::from_element(element)?),
            "status-icon" => Self::StatusIcon(Node::from_element(element)?),
            "user-input" => Self::UserInput(Node::from_element(element)?),
            _ => Self::TimeOffset(Node::from_element(element)?),
        })
    }

    fn to_element(&self, _: &Cow<'static, str>) -> Element {
        let own = Cow::Borrowed(RPID);
        match self {
            Self::Activities(value) => value.to_element(own, "activities"),
            Self::Class(value) => value.to_element(own, "class"),
            Self::Mood(value) => value.to_element(own, "mood"),
            Self::PlaceIs(value) => value.to_element(own, "place-is"),
            Self::PlaceType(value) => value.to_element(own, "place-type"),
            Self::Privacy(value) => value.to_element(own, "privacy"),
            Self::Relationship(value) => value.to_element(own, "relationship"),
            Self::ServiceClass(value) => value.to_element(own, "service-class"),
            Self::Sphere(value) => value.to_element(own, "sphere"),
            Self::StatusIcon(value) => value.to_element(own, "status-icon"),
            Self::TimeOffset(value) => value.to_element(own, "time-offset"),
            Self::UserInput(value) => value.to_element(own, "user-input"),
        }
    }
}

impl Rpid {
    /// What it says for people.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        match self {
            Self::Activities(activities) => &activities.notes,
            Self::Mood(moods) => &moods.notes,
            Self::PlaceIs(place) => &place.notes,
            Self::PlaceType(place) => &place.notes,
            Self::Privacy(privacy) => &privacy.notes,
            Self::Relationship(relationships) => &relationships.notes,
            Self::ServiceClass(classes) => &classes.notes,
            _ => &[],
        }
    }
}

impl From<Activity> for Rpid {
    fn from(activity: Activity) -> Self {
        Rpid::Activities(Activities { values: vec![activity], ..Activities::default() })
    }
}

impl From<Mood> for Rpid {
    fn from(mood: Mood) -> Self {
        Rpid::Mood(Moods { values: vec![mood], ..Moods::default() })
    }
}
