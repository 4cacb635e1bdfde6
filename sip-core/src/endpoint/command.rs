//! What the user of an endpoint can ask for.

use super::Transport;
use crate::{
    Method, NameAddr, Uri, UsageError,
    auth::Credentials,
    header::{ContentType, HeaderName, TypedHeader},
    usage::{Reliable, SessionTimers},
};
use bytes::Bytes;

/// A message body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The value of Content-Type.
    pub content_type: String,
    /// The bytes.
    pub content: Bytes,
}

impl Body {
    /// A body of that type.
    pub fn new(content_type: impl Into<String>, content: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), content: content.into() }
    }

    /// The type, if it is one.
    pub(crate) fn checked_type(&self) -> Result<&str, UsageError> {
        ContentType::parse(&self.content_type)?;
        if self.content_type.contains(['\r', '\n', '\0']) {
            return Err(UsageError::LineBreak("a content type"));
        }
        Ok(&self.content_type)
    }
}

/// A call to make.
#[derive(Debug, Clone)]
pub struct OutgoingCall {
    /// Whom to call: the Request-URI.
    pub target: Uri,
    /// Who calls; the tag is the endpoint's.
    pub from: NameAddr,
    /// Whom to call, as it is shown.
    pub to: NameAddr,
    /// Where the peer reaches us; `None`: at the address that the INVITE leaves from, with the
    /// user part of `from`.
    pub contact: Option<Uri>,
    /// The proxies to go through, the nearest first.
    pub route: Vec<NameAddr>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The offer.
    pub body: Option<Body>,
    /// What answers challenges.
    pub credentials: Option<Credentials>,
    /// What to go over; `None`: what the next hop's URI says, or UDP.
    pub transport: Option<Transport>,
    /// Whether provisional responses are acknowledged; `None`: as configured.
    pub reliable: Option<Reliable>,
    /// How the session is kept alive; `None`: as configured.
    pub session_timers: Option<SessionTimers>,
}

impl OutgoingCall {
    /// A call without anything special.
    pub fn new(target: Uri, from: NameAddr) -> Self {
        Self {
            to: NameAddr::new(target.without_headers()),
            target,
            from,
            contact: None,
            route: Vec::new(),
            headers: Vec::new(),
            body: None,
            credentials: None,
            transport: None,
            reliable: None,
            session_timers: None,
        }
    }
}

/// A request out of any call: OPTIONS, MESSAGE, REGISTER, …
#[derive(Debug, Clone)]
pub struct OutgoingRequest {
    /// The method: any but INVITE, ACK, CANCEL and BYE.
    pub method: Method,
    /// Whom it is for: the Request-URI.
    pub target: Uri,
    /// Who sends it; the tag is the endpoint's unless it has one.
    pub from: NameAddr,
    /// Whom it is for, as it is shown.
    pub to: NameAddr,
    /// Its Call-ID and CSeq; `None`: new ones. A registration keeps both (RFC 3261 §10.2.4).
    pub sequence: Option<(String, u32)>,
    /// Where the peer reaches us.
    pub contact: OutgoingContact,
    /// The proxies to go through, the nearest first.
    pub route: Vec<NameAddr>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Body>,
    /// What answers challenges.
    pub credentials: Option<Credentials>,
    /// What to go over; `None`: what the next hop's URI says, or UDP.
    pub transport: Option<Transport>,
}

impl OutgoingRequest {
    /// A request without anything special.
    pub fn new(method: Method, target: Uri, from: NameAddr) -> Self {
        Self {
            method,
            to: NameAddr::new(target.without_headers()),
            target,
            from,
            sequence: None,
            contact: OutgoingContact::None,
            route: Vec::new(),
            headers: Vec::new(),
            body: None,
            credentials: None,
            transport: None,
        }
    }
}

/// The Contact of a request out of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingContact {
    /// None, or the one in `headers`.
    None,
    /// The address that the request leaves from, with this user part.
    Derived(Option<String>),
    /// The same, with parameters.
    Marked(ContactMarks),
}

/// A Contact at the address that the request leaves from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactMarks {
    /// Its user part.
    pub user: Option<String>,
    /// Parameters of its URI, such as those of push notifications (RFC 8599 §4.1).
    pub uri_params: Vec<(String, String)>,
    /// The URN of the user agent (RFC 5626 §4.1).
    pub instance: Option<String>,
    /// The number of the flow (RFC 5626 §4.2).
    pub reg_id: Option<u32>,
}

/// Headers that the endpoint writes itself.
const OWN: [HeaderName<'static>; 9] = [
    HeaderName::VIA,
    HeaderName::FROM,
    HeaderName::TO,
    HeaderName::CALL_ID,
    HeaderName::CSEQ,
    HeaderName::MAX_FORWARDS,
    HeaderName::ROUTE,
    HeaderName::CONTENT_LENGTH,
    HeaderName::RECORD_ROUTE,
];

/// Refuses headers that are the endpoint's own.
pub(crate) fn check_headers(headers: &[(String, String)]) -> Result<(), UsageError> {
    match headers.iter().any(|(name, _)| OWN.contains(&HeaderName::new(name))) {
        true => Err(UsageError::Reserved),
        false => Ok(()),
    }
}

/// The error of a command that comes too early or too late.
pub(crate) fn not_now(command: &'static str, needs: &'static str) -> UsageError {
    UsageError::State { command, needs }
}

/// What a command needs to know it is talking about something.
pub(crate) trait Known<T> {
    fn known(self) -> Result<T, UsageError>;
}

impl<T> Known<T> for Option<T> {
    fn known(self) -> Result<T, UsageError> {
        self.ok_or(UsageError::Gone)
    }
}
