//! Which calls somebody has: the `dialog` package (RFC 4235), by which busy lamps light.

use super::namespace::DIALOG_INFO;
use super::schema::{Node, Value};
use super::value::DocumentState;
use super::xml::{Attribute, Element, Namespaces};

elements! {
    /// The dialogs of somebody.
    pub struct DialogInfo {
        /// Counts documents; a gap means that one was lost (RFC 4235 §4.3).
        must version: u32 = "version";
        /// All, or what changed.
        must state: DocumentState = "state";
        /// Whose.
        must entity: String = "entity";
        /// They.
        many dialogs: Dialog = "dialog";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// A dialog.
    pub struct Dialog {
        /// Tells it from the others.
        must id: String = "id";
        /// Its Call-ID.
        may call_id: String = "call-id";
        /// The tag of whom it is told about.
        may local_tag: String = "local-tag";
        /// The other one's.
        may remote_tag: String = "remote-tag";
        /// Who began.
        may direction: DialogDirection = "direction";
        /// Where it stands.
        need state: DialogState = "state";
        /// Seconds since it began.
        child duration: u64 = "duration";
        /// What it takes the place of.
        one replaces: ReplacedDialog = "replaces";
        /// Who had it made.
        one referred_by: NameAddress = "referred-by";
        /// The route set.
        one route_set: RouteSet = "route-set";
        /// Whom it is told about.
        one local: Participant = "local";
        /// The other one.
        one remote: Participant = "remote";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Where a dialog stands (RFC 4235 §3.7.1).
    pub struct DialogState {
        /// What brought it there.
        may event: DialogEvent = "event";
        /// The status that did.
        may code: u32 = "code";
        /// The state.
        text value: DialogStateName;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The dialog that another takes the place of.
    pub struct ReplacedDialog {
        /// Its Call-ID.
        must call_id: String = "call-id";
        /// The local tag.
        must local_tag: String = "local-tag";
        /// The remote tag.
        must remote_tag: String = "remote-tag";
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A URI with a name.
    pub struct NameAddress {
        /// The name.
        may display: String = "display";
        /// The URI.
        text uri: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The proxies that requests in the dialog go through.
    pub struct RouteSet {
        /// They, in order.
        children hops: String = "hop";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A side of a dialog.
    pub struct Participant {
        /// Who.
        one identity: NameAddress = "identity";
        /// Where its requests go to.
        one target: Target = "target";
        /// What it offered or answered last.
        one session_description: SessionBody = "session-description";
        /// Its sequence number.
        child cseq: u64 = "cseq";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The remote target.
    pub struct Target {
        /// Its URI.
        must uri: String = "uri";
        /// Parameters of the Contact, such as capabilities.
        many parameters: TargetParameter = "param";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A parameter of a target.
    pub struct TargetParameter {
        /// Its name.
        must name: String = "pname";
        /// Its value.
        lax value: String = "pval";
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A session description.
    pub struct SessionBody {
        /// Its media type.
        must content_type: String = "type";
        /// It.
        exact text: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

words! {
    closed
    /// Who began a dialog.
    pub enum DialogDirection {
        Initiator = "initiator",
        Recipient = "recipient",
    }
}

words! {
    open
    /// The states of RFC 4235 §3.7.1.
    pub enum DialogStateName {
        Trying = "trying",
        Proceeding = "proceeding",
        Early = "early",
        Confirmed = "confirmed",
        Terminated = "terminated",
    }
}

words! {
    open
    /// What changes the state of a dialog.
    pub enum DialogEvent {
        Cancelled = "cancelled",
        Rejected = "rejected",
        Replaced = "replaced",
        LocalBye = "local-bye",
        RemoteBye = "remote-bye",
        Error = "error",
        Timeout = "timeout",
    }
}

document!(DialogInfo, DIALOG_INFO, "dialog-info", "application/dialog-info+xml");

/// What a busy lamp shows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lamp {
    /// No call.
    #[default]
    Idle,
    /// Being called, or calling.
    Ringing,
    /// In a call.
    Busy,
}

impl DialogInfo {
    /// What a lamp for all dialogs in the document shows.
    #[must_use]
    pub fn lamp(&self) -> Lamp {
        let lamp = |dialog: &Dialog| match dialog.state.value {
            DialogStateName::Confirmed => Lamp::Busy,
            DialogStateName::Trying | DialogStateName::Proceeding | DialogStateName::Early => Lamp::Ringing,
            DialogStateName::Terminated | DialogStateName::Other(_) => Lamp::Idle,
        };
        self.dialogs.iter().map(lamp).max().unwrap_or_default()
    }
}
