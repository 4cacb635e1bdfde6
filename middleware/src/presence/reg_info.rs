//! From where somebody is registered: the `reg` package (RFC 3680).

use super::namespace::REGINFO;
use super::schema::{Node, Value};
use super::value::{DocumentState, Note};
use super::xml::{Attribute, Element, Namespaces};

elements! {
    /// Registrations of addresses.
    pub struct RegInfo {
        /// Counts documents; a gap means that one was lost (RFC 3680 §5.2).
        must version: u32 = "version";
        /// All, or what changed.
        must state: DocumentState = "state";
        /// They.
        many registrations: RegisteredAddress = "registration";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// An address and its contacts.
    pub struct RegisteredAddress {
        /// The address of record.
        must aor: String = "aor";
        /// Tells it from the others.
        must id: String = "id";
        /// Whether there is a contact.
        must state: RegistrationState = "state";
        /// The contacts.
        many contacts: RegisteredContact = "contact";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A contact.
    pub struct RegisteredContact {
        /// Tells it from the others.
        must id: String = "id";
        /// Whether it is bound.
        must state: ContactState = "state";
        /// What brought it there.
        must event: ContactEvent = "event";
        /// Seconds since it was bound.
        may duration_registered: u64 = "duration-registered";
        /// Seconds until it runs out.
        may expires: u64 = "expires";
        /// After how many seconds to try again, if it was put on probation.
        may retry_after: u64 = "retry-after";
        /// The preference, as it was written.
        may q: String = "q";
        /// The Call-ID of the registration.
        may call_id: String = "callid";
        /// Its CSeq.
        may cseq: u64 = "cseq";
        /// The contact's URI.
        child uri: String = "uri";
        /// For people.
        one display_name: Note = "display-name";
        /// Parameters of the Contact.
        many unknown_parameters: UnknownParameter = "unknown-param";
        /// Elements that are not known here, such as GRUUs (RFC 5628).
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A parameter of a Contact.
    pub struct UnknownParameter {
        /// Its name.
        must name: String = "name";
        /// Its value.
        text value: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

words! {
    closed
    /// The state of an address.
    pub enum RegistrationState {
        Init = "init",
        Active = "active",
        Terminated = "terminated",
    }
}

words! {
    closed
    /// The state of a contact.
    pub enum ContactState {
        Active = "active",
        Terminated = "terminated",
    }
}

words! {
    open
    /// What changes the state of a contact (RFC 3680 §4.7.1).
    pub enum ContactEvent {
        Registered = "registered",
        Created = "created",
        Refreshed = "refreshed",
        Shortened = "shortened",
        Expired = "expired",
        Deactivated = "deactivated",
        Probation = "probation",
        Unregistered = "unregistered",
        Rejected = "rejected",
    }
}

document!(RegInfo, REGINFO, "reginfo", "application/reginfo+xml");
