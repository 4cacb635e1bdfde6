//! Messages outside of sessions: SIP MESSAGE (RFC 3428) with CPIM (RFC 3862) and IMDN (RFC 5438).

use std::time::SystemTime;

use bytes::Bytes;
use msrp_cpim::cpim::{Address, Message as Cpim};
use msrp_cpim::imdn::{self, Disposition, Imdn, Notification as Kind, Status};
use sip_core::Uri;

use crate::credentials::Credentials;
use crate::notification::MessageEvent;

/// The media type of CPIM.
pub(crate) const CPIM: &str = "message/cpim";

/// A message to send, and as whom.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    /// Whom it is for.
    pub to: Uri,
    /// Who writes, and what proves it.
    pub credentials: Credentials,
    /// A proxy to go through.
    pub route: Option<Uri>,
    /// The content.
    pub content: Bytes,
    /// Its media type.
    pub content_type: String,
    /// Whether it is wrapped in CPIM: who, to whom and when go along.
    pub cpim: bool,
    /// Whether the recipient is asked to tell that it was delivered, displayed, or could not be (needs CPIM).
    pub notify: bool,
}

impl OutgoingMessage {
    /// A text, wrapped in CPIM, without asking for notifications.
    pub fn new(to: Uri, credentials: Credentials, text: impl Into<String>) -> Self {
        Self {
            to,
            credentials,
            route: None,
            content: Bytes::from(text.into()),
            content_type: "text/plain;charset=utf-8".to_owned(),
            cpim: true,
            notify: false,
        }
    }
}

/// A MESSAGE's body and its type: wrapped if it is to be.
pub(crate) fn body(
    message: &OutgoingMessage,
    message_id: &str,
    now: SystemTime,
) -> Result<(String, Bytes), msrp_cpim::UsageError> {
    if !message.cpim {
        return Ok((message.content_type.clone(), message.content.clone()));
    }
    let from =
        Address { name: message.credentials.display_name.clone(), uri: message.credentials.uri.to_string() };
    let mut cpim = Cpim::new(&message.content_type, message.content.clone())?;
    cpim.push_address("From", &from)?;
    cpim.push_address("To", &Address { name: None, uri: message.to.to_string() })?;
    cpim.push("DateTime", &date_time(now))?;
    if message.notify {
        let wanted = [Disposition::PositiveDelivery, Disposition::NegativeDelivery, Disposition::Display];
        imdn::request(&mut cpim, message_id, &wanted)?;
    }
    Ok((CPIM.to_owned(), cpim.to_bytes()))
}

/// What came in: what to tell, and the notification that the writer asked for, if any.
pub(crate) struct Read {
    pub(crate) event: MessageEvent,
    pub(crate) reply: Option<(String, Bytes)>,
}

/// Reads a MESSAGE's body. What claims to be CPIM and is not is an error, in words.
pub(crate) fn read(
    from: &Uri,
    to: &Uri,
    content_type: &str,
    body: &Bytes,
    call_id: &str,
    reply_id: &str,
) -> Result<Read, String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(CPIM) {
        let event = MessageEvent::GotMessage {
            from: from.to_string(),
            to: to.to_string(),
            content: body.clone(),
            content_type: content_type.to_owned(),
            cpim_headers: Vec::new(),
            message_id: call_id.to_owned(),
        };
        return Ok(Read { event, reply: None });
    }
    let cpim = Cpim::parse(body).map_err(|error| error.to_string())?;
    let writer = cpim.from().map_or_else(|| from.to_string(), |address| address.uri);
    if imdn::is_imdn(&cpim) {
        let told = Imdn::parse(cpim.body()).map_err(|error| error.to_string())?;
        let status = told.status.map_or_else(|| "unknown".to_owned(), status_name);
        let event = MessageEvent::GotDisposition { message_id: told.message_id, from: writer, status };
        return Ok(Read { event, reply: None });
    }
    let reader = Address { name: None, uri: to.to_string() };
    let reply = imdn::notify(&cpim, &reader, reply_id, Kind::Delivery, Status::Delivered).ok().flatten();
    let event = MessageEvent::GotMessage {
        from: writer,
        to: cpim.to().next().map_or_else(|| to.to_string(), |address| address.uri),
        content: cpim.body().clone(),
        content_type: cpim.content_type().unwrap_or("text/plain").to_owned(),
        cpim_headers: cpim.headers().map(|one| (one.name.to_owned(), one.text().into_owned())).collect(),
        message_id: imdn::message_id(&cpim).unwrap_or(call_id).to_owned(),
    };
    Ok(Read { event, reply: reply.map(|reply| (CPIM.to_owned(), reply.to_bytes())) })
}

pub(crate) fn status_name(status: Status) -> String {
    format!("{status:?}").to_ascii_lowercase()
}

fn date_time(now: SystemTime) -> String {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    format!("{now:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }

    fn message(text: &str) -> OutgoingMessage {
        OutgoingMessage::new(uri("sip:bob@b.example"), Credentials::new(uri("sip:alice@a.example")), text)
    }

    fn read_back(body: &(String, Bytes)) -> Read {
        let (from, to) = (uri("sip:x@x.example"), uri("sip:y@y.example"));
        read(&from, &to, &body.0, &body.1, "call", "reply-1").expect("it reads")
    }

    #[test]
    fn what_is_wrapped_is_read_again() {
        let wrapped = body(&message("grüß Gott"), "m1", SystemTime::UNIX_EPOCH).expect("it wraps");
        assert_eq!(wrapped.0, "message/cpim");
        let Read {
            event: MessageEvent::GotMessage { from, to, content, content_type, message_id, .. },
            reply,
        } = read_back(&wrapped)
        else {
            panic!("a message")
        };
        assert_eq!((from.as_str(), to.as_str()), ("sip:alice@a.example", "sip:bob@b.example"));
        assert_eq!(content, "grüß Gott");
        assert_eq!((content_type.as_str(), message_id.as_str()), ("text/plain;charset=utf-8", "call"));
        assert!(reply.is_none(), "nobody asked to be told");
    }

    #[test]
    fn a_delivery_is_told_to_who_asked_and_ends_there() {
        let asked = OutgoingMessage { notify: true, ..message("hello") };
        let told = read_back(&body(&asked, "m1", SystemTime::UNIX_EPOCH).expect("it wraps"));
        let reply = told.reply.expect("the writer asked to be told");
        let Read { event, reply: None } = read_back(&reply) else { panic!("no reply to a reply") };
        let expected = MessageEvent::GotDisposition {
            message_id: "m1".into(),
            from: "sip:y@y.example".into(),
            status: "delivered".into(),
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn what_is_not_wrapped_comes_as_it_is_and_broken_cpim_is_an_error() {
        let plain = OutgoingMessage { cpim: false, ..message("hi") };
        let told = read_back(&body(&plain, "m1", SystemTime::UNIX_EPOCH).expect("it stays"));
        assert!(matches!(told.event, MessageEvent::GotMessage { content, .. } if content == "hi"));
        let (from, to) = (uri("sip:x@x.example"), uri("sip:y@y.example"));
        assert!(read(&from, &to, CPIM, &Bytes::from_static(b"no headers"), "call", "id").is_err());
    }
}
