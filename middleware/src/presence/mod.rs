//! What events tell: the bodies of notifications and publications, typed, read and written.
//!
//! | package | document | type |
//! |---|---|---|
//! | `presence` | PIDF (RFC 3863), data model (RFC 4479), RPID (RFC 4480) | [`Presence`] |
//! | `presence.winfo` | watchers (RFC 3857, RFC 3858) | [`WatcherInfo`] |
//! | any, of a list | RLMI and its parts (RFC 4662) | [`ResourceList`] |
//! | | lists of people (RFC 4826) | [`ResourceLists`] |
//! | `message-summary` | messages that wait (RFC 3842) | [`MessageSummary`] |
//! | `dialog` | calls (RFC 4235) | [`DialogInfo`] |
//! | `conference` | who is in a conference (RFC 4575) | [`ConferenceInfo`] |
//! | `reg` | registrations (RFC 3680) | [`RegInfo`] |
//!
//! [`EventBody`] is any of them, by content type. What a document has that is not known here is
//! kept in `extensions` and `attributes` and written again; what is optional and cannot be read
//! as its type is kept there too. What must be there and is not is an error that says where.
//!
//! ```
//! use sipsimple::presence::{Activity, Basic, Presence, Tuple};
//!
//! let mut presence = Presence::new("pres:alice@example.com");
//! presence.tuples.push(Tuple::new("phone", Basic::Open, "sip:alice@192.0.2.1"));
//! presence.set_activity(Activity::OnThePhone);
//! let text = presence.to_xml();
//!
//! let read = Presence::parse(text.as_bytes())?;
//! assert_eq!(read.basic(), Some(Basic::Open));
//! assert_eq!(read.activities().next(), Some(&Activity::OnThePhone));
//! # Ok::<(), sipsimple::presence::ParseError>(())
//! ```
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

#[macro_use]
mod schema;

mod body;
mod conference_info;
mod dialog_info;
mod error;
mod message_summary;
pub mod multipart;
mod namespace;
mod partial;
mod pidf;
mod reg_info;
mod resource_lists;
mod rlmi;
mod rpid;
mod value;
mod watcherinfo;
pub mod xml;

pub use body::EventBody;
pub use conference_info::{
    AvailableMedia, AvailableMedium, CallInfo, ConferenceDescription, ConferenceEndpoint, ConferenceInfo,
    ConferenceState, DisconnectionMethod, EndpointMedia, EndpointStatus, Execution, HostInfo, JoiningMethod,
    MediaStatus, PartState, Roles, SipDialogId, UriEntry, Uris, User, Users,
};
pub use dialog_info::{
    Dialog, DialogDirection, DialogEvent, DialogInfo, DialogState, DialogStateName, Lamp, NameAddress,
    Participant, ReplacedDialog, RouteSet, SessionBody, Target, TargetParameter,
};
pub use error::{ParseError, ParseErrorKind};
pub use message_summary::{MessageClass, MessageCounts, MessageSummary};
pub use partial::Update;
pub use pidf::{Basic, Contact, Device, Person, Presence, Status, Tuple};
pub use reg_info::{
    ContactEvent, ContactState, RegInfo, RegisteredAddress, RegisteredContact, RegistrationState,
    UnknownParameter,
};
pub use resource_lists::{Entry, EntryRef, External, Item, List, ResourceLists};
pub use rlmi::{Instance, InstanceState, ListedState, Resource, ResourceList};
pub use rpid::{
    Activities, Activity, Class, Mood, Moods, Place, PlaceIs, PlaceProperties, PlaceProperty, PlaceType,
    Privacy, PrivateMedium, Relationship, Relationships, Rpid, ServiceClass, ServiceClasses, Sphere, Spheres,
    StatusIcon, TimeOffset, Usage, UserInput,
};
pub use value::{DocumentState, Note, Priority, Timestamp};
pub use watcherinfo::{Watcher, WatcherEvent, WatcherInfo, WatcherList, WatcherStatus};
