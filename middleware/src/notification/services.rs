//! What is told about registrations, subscriptions, publications and page-mode messages.

use std::sync::Arc;

use bytes::Bytes;

use super::value::{Value, message_data};
use crate::presence::EventBody;

/// What happens to a registration; the variants are the bus names without `SCRegistration`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RegistrationEvent {
    /// The registrar took it, for the first time or again.
    DidSucceed {
        /// The status, 200 as a rule.
        code: u16,
        /// Its words.
        reason: String,
        /// The contact that is ours.
        contact_uri: String,
        /// All contacts that the registrar has for the address.
        contact_uri_list: Vec<String>,
        /// How long it lasts, in seconds; it is refreshed before.
        expires: u32,
        /// The first hop that it went through.
        route: String,
    },
    /// A try failed; another follows where `retry_after` says when.
    DidFail {
        /// The status; 0: none came.
        code: u16,
        /// Why, in words.
        reason: String,
        /// The first hop that it was to go through.
        route: String,
        /// Seconds until the next try.
        retry_after: Option<u32>,
    },
    /// It is about to be removed, as the application asked.
    WillEnd,
    /// It is over.
    DidEnd {
        /// The registrar did not confirm the removal: the binding runs out by itself.
        expired: bool,
    },
}

impl RegistrationEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DidSucceed { .. } => "SCRegistrationDidSucceed",
            Self::DidFail { .. } => "SCRegistrationDidFail",
            Self::WillEnd => "SCRegistrationWillEnd",
            Self::DidEnd { .. } => "SCRegistrationDidEnd",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::DidSucceed { code, reason, contact_uri, contact_uri_list, expires, route } => vec![
                ("code", (*code).into()),
                ("reason", reason.as_str().into()),
                ("contact_uri", contact_uri.as_str().into()),
                ("contact_uri_list", Value::texts(contact_uri_list)),
                ("expires", (*expires).into()),
                ("route", route.as_str().into()),
            ],
            Self::DidFail { code, reason, route, retry_after } => {
                failure_data(*code, reason, route, *retry_after)
            }
            Self::WillEnd => Vec::new(),
            Self::DidEnd { expired } => vec![("expired", (*expired).into())],
        }
    }
}

/// What happens to a subscription; the variants are the bus names without `SCSubscription`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// The notifier took it, for the first time or again.
    DidSucceed {
        /// The status, 200 as a rule.
        code: u16,
        /// Its words.
        reason: String,
        /// How long it lasts, in seconds; it is refreshed before.
        expires: u32,
        /// The first hop that it went through.
        route: String,
    },
    /// A try failed, or it was lost; another try follows where `retry_after` says when.
    DidFail {
        /// The status; 0: none came.
        code: u16,
        /// Why, in words.
        reason: String,
        /// The first hop that it was to go through.
        route: String,
        /// Seconds until the next try.
        retry_after: Option<u32>,
    },
    /// It is about to be given up, as the application asked.
    WillEnd,
    /// It is over.
    DidEnd {
        /// The notifier did not confirm that it was given up: it runs out by itself.
        expired: bool,
    },
    /// The notifier told the state.
    GotNotify {
        /// The event package, with its parameters.
        event: String,
        /// The media type of the body; empty without one.
        content_type: String,
        /// The body as it came.
        body: Bytes,
        /// All headers as they came.
        headers: Vec<(String, String)>,
        /// What the body says; `None` if it is not what its type says.
        decoded: Option<Arc<EventBody>>,
    },
}

impl SubscriptionEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DidSucceed { .. } => "SCSubscriptionDidSucceed",
            Self::DidFail { .. } => "SCSubscriptionDidFail",
            Self::WillEnd => "SCSubscriptionWillEnd",
            Self::DidEnd { .. } => "SCSubscriptionDidEnd",
            Self::GotNotify { .. } => "SCSubscriptionGotNotify",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::DidSucceed { code, reason, expires, route } => success_data(*code, reason, *expires, route),
            Self::DidFail { code, reason, route, retry_after } => {
                failure_data(*code, reason, route, *retry_after)
            }
            Self::WillEnd => Vec::new(),
            Self::DidEnd { expired } => vec![("expired", (*expired).into())],
            Self::GotNotify { event, content_type, body, headers, .. } => {
                let headers =
                    headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                vec![
                    ("event", event.as_str().into()),
                    ("content_type", content_type.as_str().into()),
                    ("body", String::from_utf8_lossy(body).into_owned().into()),
                    ("headers", Value::Map(headers)),
                ]
            }
        }
    }
}

/// What happens to a publication; the variants are the bus names without `SCPublication`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PublicationEvent {
    /// The server took it, for the first time or again.
    DidSucceed {
        /// The status, 200 as a rule.
        code: u16,
        /// Its words.
        reason: String,
        /// How long it lasts, in seconds; it is refreshed before.
        expires: u32,
        /// The first hop that it went through.
        route: String,
    },
    /// A try failed; another follows where `retry_after` says when.
    DidFail {
        /// The status; 0: none came.
        code: u16,
        /// Why, in words.
        reason: String,
        /// The first hop that it was to go through.
        route: String,
        /// Seconds until the next try.
        retry_after: Option<u32>,
    },
    /// It is about to be removed, as the application asked.
    WillEnd,
    /// It is over.
    DidEnd {
        /// The server did not confirm the removal: the state runs out by itself.
        expired: bool,
    },
}

impl PublicationEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DidSucceed { .. } => "SCPublicationDidSucceed",
            Self::DidFail { .. } => "SCPublicationDidFail",
            Self::WillEnd => "SCPublicationWillEnd",
            Self::DidEnd { .. } => "SCPublicationDidEnd",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::DidSucceed { code, reason, expires, route } => success_data(*code, reason, *expires, route),
            Self::DidFail { code, reason, route, retry_after } => {
                failure_data(*code, reason, route, *retry_after)
            }
            Self::WillEnd => Vec::new(),
            Self::DidEnd { expired } => vec![("expired", (*expired).into())],
        }
    }
}

/// What happens to messages outside of sessions (RFC 3428).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MessageEvent {
    /// `SCMessageDidSucceed`: a 2xx came.
    DidSucceed {
        /// What `send_message` returned.
        message_id: String,
        /// The status: 202 says that it was taken, not that it arrived.
        code: u16,
        /// Its words.
        reason: String,
    },
    /// `SCMessageDidFail`: it was refused, or nobody answered.
    DidFail {
        /// What `send_message` returned.
        message_id: String,
        /// The status; 0: none came.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// `SCGotMessage`: somebody wrote to us.
    GotMessage {
        /// From whom: what CPIM says, else the From header.
        from: String,
        /// To whom.
        to: String,
        /// The content, out of its CPIM wrapper.
        content: Bytes,
        /// Its media type.
        content_type: String,
        /// The CPIM headers, where it was wrapped.
        cpim_headers: Vec<(String, String)>,
        /// The message's id: of its IMDN headers, else the Call-ID.
        message_id: String,
    },
    /// `SCMessageGotDisposition`: the recipient tells what became of a message (RFC 5438).
    GotDisposition {
        /// Which message.
        message_id: String,
        /// Who tells.
        from: String,
        /// `delivered`, `displayed`, `failed`, `forbidden`, `error`, …
        status: String,
    },
}

impl MessageEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DidSucceed { .. } => "SCMessageDidSucceed",
            Self::DidFail { .. } => "SCMessageDidFail",
            Self::GotMessage { .. } => "SCGotMessage",
            Self::GotDisposition { .. } => "SCMessageGotDisposition",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::DidSucceed { message_id, code, reason } | Self::DidFail { message_id, code, reason } => {
                vec![
                    ("message_id", message_id.as_str().into()),
                    ("code", (*code).into()),
                    ("reason", reason.as_str().into()),
                ]
            }
            Self::GotMessage { from, to, content, content_type, cpim_headers, message_id } => {
                let mut data = vec![("from", from.as_str().into()), ("to", to.as_str().into())];
                data.extend(message_data(content, content_type, cpim_headers, message_id));
                data
            }
            Self::GotDisposition { message_id, from, status } => vec![
                ("message_id", message_id.as_str().into()),
                ("from", from.as_str().into()),
                ("status", status.as_str().into()),
            ],
        }
    }
}

/// The data that every try has that did not fail.
fn success_data(code: u16, reason: &str, expires: u32, route: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("code", code.into()),
        ("reason", reason.into()),
        ("expires", expires.into()),
        ("route", route.into()),
    ]
}

/// The data that every failed try has.
pub(super) fn failure_data(
    code: u16,
    reason: &str,
    route: &str,
    retry_after: Option<u32>,
) -> Vec<(&'static str, Value)> {
    let mut data = vec![("code", code.into()), ("reason", reason.into()), ("route", route.into())];
    data.extend(retry_after.map(|seconds| ("retry_after", seconds.into())));
    data
}
