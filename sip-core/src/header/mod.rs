//! Typed headers, one family a file. They are read from a message on demand: a bad optional
//! header is an error for who asks for it, not the loss of the message.

mod address;
mod auth;
mod basic;
mod contact;
mod date;
mod dialog;
mod extension;
mod identity;
mod media;
mod name;
mod preference;
mod priority;
mod tokens;
mod via;

pub use address::{
    From, HistoryInfo, PAssertedIdentity, PAssociatedUri, PPreferredIdentity, Path, RecordRoute, ReferTo,
    ReferredBy, ReplyTo, Route, ServiceRoute, To,
};
pub use auth::{
    AuthParams, AuthValue, AuthenticationInfo, Authorization, ProxyAuthenticate, ProxyAuthorization,
    WwwAuthenticate,
};
pub use basic::{
    CSeq, CallId, ContentId, ContentLength, ContentTransferEncoding, Expires, FlowTimer, MaxBreadth,
    MaxForwards, MinExpires, Organization, Priority, RSeq, Server, SipEtag, SipIfMatch, Subject, UserAgent,
};
pub use contact::Contact;
pub use date::Date;
pub use dialog::{Join, ReferSub, Replaces, TargetDialog};
pub use extension::{
    AlertInfo, CallInfo, ErrorInfo, MinSe, RAck, Refresher, RetryAfter, SessionExpires, Warning,
};
pub use identity::Identity;
pub use media::{
    Accept, AcceptEncoding, AcceptLanguage, ContentDisposition, ContentType, Event, InfoPackage, MediaType,
    Reason, RecvInfo, SubscriptionState,
};
pub use name::HeaderName;
pub(crate) use name::{UNKNOWN, compact, lookup, usual};
pub use preference::{AcceptContact, Feature, RejectContact};
pub use priority::{AcceptResourcePriority, ResourcePriority, ResourceValue};
pub use tokens::{
    Allow, AllowEvents, ContentEncoding, ContentLanguage, Privacy, ProxyRequire, RequestDisposition, Require,
    Supported, Unsupported,
};
pub use via::Via;

use crate::ParseError;
use std::fmt::Display;

/// A header this crate, or yours, knows the meaning of.
///
/// `Display` writes the value alone. What it writes is put into a message with CR, LF and NUL
/// replaced by spaces, so that no value can start another line.
pub trait TypedHeader: Sized + Display {
    /// Its name.
    const NAME: HeaderName<'static>;
    /// How several values are carried.
    const FORM: Form = Form::Single;

    /// Reads one value: for [`Form::Values`] one element of the list.
    fn parse(text: &str) -> Result<Self, ParseError>;

    /// Whether [`Self::parse`] would read it. Types that can tell without making a value do so.
    fn check(text: &str) -> Result<(), ParseError> {
        Self::parse(text).map(drop)
    }
}

/// How a header carries several values (RFC 3261 §7.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One value; commas have no meaning.
    Single,
    /// A list, over commas and several lines; a typed header is one element.
    Values,
    /// A list, over commas and several lines; a typed header is all of it.
    Whole,
}
