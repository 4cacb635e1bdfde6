//! Who is in a conference: the `conference` package (RFC 4575).

use super::namespace::CONFERENCE_INFO;
use super::schema::{Node, Value};
use super::value::Timestamp;
use super::xml::{Attribute, Element, Namespaces};

elements! {
    /// A conference.
    pub struct ConferenceInfo {
        /// Its URI.
        must entity: String = "entity";
        /// All, what changed, or that it is gone; without it all (RFC 4575 §4.2).
        may state: PartState = "state";
        /// Counts documents; a gap means that one was lost.
        may version: u32 = "version";
        /// What it is about.
        one description: ConferenceDescription = "conference-description";
        /// Who gives it.
        one host: HostInfo = "host-info";
        /// How it stands.
        one conference_state: ConferenceState = "conference-state";
        /// Who is in it.
        one users: Users = "users";
        /// Side conferences, by their URIs.
        one sidebars_by_ref: Uris = "sidebars-by-ref";
        /// Elements that are not known here, side conferences as they are among them.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// What a conference is about.
    pub struct ConferenceDescription {
        /// Its name.
        child display_text: String = "display-text";
        /// Its subject.
        child subject: String = "subject";
        /// More words.
        child free_text: String = "free-text";
        /// Words to find it by, with spaces between them.
        child keywords: String = "keywords";
        /// Other URIs of it.
        one conference_uris: Uris = "conf-uris";
        /// URIs of what belongs to it.
        one service_uris: Uris = "service-uris";
        /// How many it takes.
        child maximum_user_count: u32 = "maximum-user-count";
        /// Its media.
        one available_media: AvailableMedia = "available-media";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Who gives a conference.
    pub struct HostInfo {
        /// The name.
        child display_text: String = "display-text";
        /// A page.
        child web_page: String = "web-page";
        /// Ways to reach it.
        one uris: Uris = "uris";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// How a conference stands.
    pub struct ConferenceState {
        /// How many are in it.
        child user_count: u32 = "user-count";
        /// Whether it is going on.
        child active: bool = "active";
        /// Whether others can come in.
        child locked: bool = "locked";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The media of a conference.
    pub struct AvailableMedia {
        /// They.
        many entries: AvailableMedium = "entry";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// One of them.
    pub struct AvailableMedium {
        /// Its label in SDP.
        must label: String = "label";
        /// Its name.
        child display_text: String = "display-text";
        /// `audio`, `video`, `message`, …
        child media_type: String = "type";
        /// Which way it goes.
        child status: MediaStatus = "status";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// URIs.
    pub struct Uris {
        /// All, what changed, or that they are gone.
        may state: PartState = "state";
        /// They.
        many entries: UriEntry = "entry";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A URI and what it is for.
    pub struct UriEntry {
        /// It.
        child uri: String = "uri";
        /// For people.
        child display_text: String = "display-text";
        /// `participation`, `streaming`, `web-page`, …
        child purpose: String = "purpose";
        /// When and by whom it was changed.
        one modified: Execution = "modified";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Those in a conference.
    pub struct Users {
        /// All, what changed, or that they are gone.
        may state: PartState = "state";
        /// They.
        many users: User = "user";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// Somebody in a conference.
    pub struct User {
        /// The URI.
        may entity: String = "entity";
        /// All of it, what changed, or that it is gone.
        may state: PartState = "state";
        /// The name.
        child display_text: String = "display-text";
        /// Other addresses.
        one associated_aors: Uris = "associated-aors";
        /// What part it plays.
        one roles: Roles = "roles";
        /// The languages, with spaces between them.
        child languages: String = "languages";
        /// If it is a conference: its URI.
        child cascaded_focus: String = "cascaded-focus";
        /// With what it takes part.
        many endpoints: ConferenceEndpoint = "endpoint";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// The parts that somebody plays.
    pub struct Roles {
        /// They.
        children entries: String = "entry";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A device or session by which somebody takes part.
    pub struct ConferenceEndpoint {
        /// Its URI.
        may entity: String = "entity";
        /// All of it, what changed, or that it is gone.
        may state: PartState = "state";
        /// The name.
        child display_text: String = "display-text";
        /// Who asked for it.
        one referred: Execution = "referred";
        /// How it stands.
        child status: EndpointStatus = "status";
        /// How it came in.
        child joining_method: JoiningMethod = "joining-method";
        /// When, and by whom.
        one joining_info: Execution = "joining-info";
        /// How it left.
        child disconnection_method: DisconnectionMethod = "disconnection-method";
        /// When, and by whom.
        one disconnection_info: Execution = "disconnection-info";
        /// Its streams.
        many media: EndpointMedia = "media";
        /// Its dialog.
        one call_info: CallInfo = "call-info";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// When, why and by whom something was done.
    pub struct Execution {
        /// When.
        child when: Timestamp = "when";
        /// Why.
        child reason: String = "reason";
        /// By whom.
        child by: String = "by";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A stream of an endpoint.
    pub struct EndpointMedia {
        /// Tells it from the others.
        must id: String = "id";
        /// Its name.
        child display_text: String = "display-text";
        /// `audio`, `video`, `message`, …
        child media_type: String = "type";
        /// Its label in SDP.
        child label: String = "label";
        /// Its source, such as an RTP SSRC.
        child source_id: String = "src-id";
        /// Which way it goes.
        child status: MediaStatus = "status";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// How an endpoint is connected.
    pub struct CallInfo {
        /// By SIP.
        one sip: SipDialogId = "sip";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A dialog.
    pub struct SipDialogId {
        /// For people.
        child display_text: String = "display-text";
        /// Its Call-ID.
        child call_id: String = "call-id";
        /// Its From tag.
        child from_tag: String = "from-tag";
        /// Its To tag.
        child to_tag: String = "to-tag";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

words! {
    closed
    /// Whether an element tells everything, what changed, or that it is gone.
    pub enum PartState {
        Full = "full",
        Partial = "partial",
        Deleted = "deleted",
    }
}

words! {
    open
    /// Which way a stream goes, seen from the endpoint.
    pub enum MediaStatus {
        SendReceive = "sendrecv",
        SendOnly = "sendonly",
        ReceiveOnly = "recvonly",
        Inactive = "inactive",
    }
}

words! {
    open
    /// How an endpoint stands (RFC 4575 §5.7.3).
    pub enum EndpointStatus {
        Connected = "connected",
        Pending = "pending",
        DialingOut = "dialing-out",
        DialingIn = "dialing-in",
        Alerting = "alerting",
        OnHold = "on-hold",
        MutedViaFocus = "muted-via-focus",
        Disconnecting = "disconnecting",
        Disconnected = "disconnected",
    }
}

words! {
    open
    /// How an endpoint came in.
    pub enum JoiningMethod {
        DialedIn = "dialed-in",
        DialedOut = "dialed-out",
        FocusOwner = "focus-owner",
    }
}

words! {
    open
    /// How an endpoint left.
    pub enum DisconnectionMethod {
        Departed = "departed",
        Booted = "booted",
        Failed = "failed",
        Busy = "busy",
    }
}

document!(ConferenceInfo, CONFERENCE_INFO, "conference-info", "application/conference-info+xml");
