//! Instant message disposition notifications: the document and the header fields of CPIM. RFC 5438.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

use crate::cpim::{Address, Message};
use crate::error::{ParseError, ParseErrorKind, UsageError};
use crate::uri::is_token;
use crate::xml;

/// The media type of the document.
pub const CONTENT_TYPE: &str = "message/imdn+xml";
/// The namespace of the CPIM header fields.
pub const NAMESPACE: &str = "urn:ietf:params:imdn";
const XML_NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";

/// What the sender of a message asks for: RFC 5438 §6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// To know that it was delivered.
    PositiveDelivery,
    /// To know that it was not.
    NegativeDelivery,
    /// To know that an intermediary has it.
    Processing,
    /// To know that it was displayed.
    Display,
}

impl Disposition {
    const ALL: [Self; 4] = [Self::PositiveDelivery, Self::NegativeDelivery, Self::Processing, Self::Display];

    /// As printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PositiveDelivery => "positive-delivery",
            Self::NegativeDelivery => "negative-delivery",
            Self::Processing => "processing",
            Self::Display => "display",
        }
    }
}

/// What is notified: RFC 5438 §11.1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notification {
    /// `delivery-notification`.
    Delivery,
    /// `processing-notification`; never of a recipient (RFC 5438 §7.2.1).
    Processing,
    /// `display-notification`.
    Display,
}

impl Notification {
    const ALL: [Self; 3] = [Self::Delivery, Self::Processing, Self::Display];

    fn element(self) -> &'static str {
        match self {
            Self::Delivery => "delivery-notification",
            Self::Processing => "processing-notification",
            Self::Display => "display-notification",
        }
    }
}

/// What became of the message: RFC 5438 §11.1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It reached the recipient.
    Delivered,
    /// It did not.
    Failed,
    /// It was displayed.
    Displayed,
    /// An intermediary dealt with it.
    Processed,
    /// An intermediary keeps it.
    Stored,
    /// The notification is not permitted.
    Forbidden,
    /// Something went wrong.
    Error,
}

impl Status {
    const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Failed,
        Self::Displayed,
        Self::Processed,
        Self::Stored,
        Self::Forbidden,
        Self::Error,
    ];

    fn element(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Displayed => "displayed",
            Self::Processed => "processed",
            Self::Stored => "stored",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
        }
    }

    /// Whether the schema has this status in that notification.
    fn belongs_to(self, notification: Notification) -> bool {
        match self {
            Self::Delivered | Self::Failed => notification == Notification::Delivery,
            Self::Displayed => notification == Notification::Display,
            Self::Processed | Self::Stored => notification == Notification::Processing,
            Self::Forbidden | Self::Error => true,
        }
    }
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imdn {
    /// The identifier of the message that it is about.
    pub message_id: String,
    /// When that was sent, as its `DateTime` said.
    pub date_time: String,
    /// To whom it went in the end.
    pub recipient: Option<String>,
    /// To whom it was sent.
    pub original_recipient: Option<String>,
    /// Its subject, with the language.
    pub subject: Option<(Option<String>, String)>,
    /// What is notified.
    pub notification: Notification,
    /// What became of it; `None` is a status that this crate does not know.
    pub status: Option<Status>,
}

impl Imdn {
    /// Reads a document.
    ///
    /// # Errors
    /// If it is too large, malformed, another document, or has no identifier or no notification.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let root = xml::read(data, XML_NAMESPACE, "imdn")?;
        let missing = |what| ParseError::new(0, ParseErrorKind::Missing, what);
        let text = |name| root.child_text(name).map(str::to_owned);
        let (notification, element) = Notification::ALL
            .into_iter()
            .find_map(|n| Some((n, root.child(n.element())?)))
            .ok_or(missing("a notification"))?;
        let status = element.child("status").ok_or(missing("a status"))?;
        let status = Status::ALL.into_iter().find(|s| status.child(s.element()).is_some());
        Ok(Self {
            message_id: text("message-id").filter(|id| is_token(id)).ok_or(missing("a message-id"))?,
            date_time: text("datetime").unwrap_or_default(),
            recipient: text("recipient-uri"),
            original_recipient: text("original-recipient-uri"),
            subject: root
                .child("subject")
                .map(|s| (s.language.clone(), s.text.trim().to_owned()))
                .filter(|(_, text)| !text.is_empty()),
            notification,
            status: status.filter(|s| s.belongs_to(notification)),
        })
    }

    /// The document.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = xml::begin("imdn", XML_NAMESPACE);
        xml::element(&mut out, "message-id", "", &self.message_id);
        xml::element(&mut out, "datetime", "", &self.date_time);
        if let Some(uri) = &self.recipient {
            xml::element(&mut out, "recipient-uri", "", uri);
        }
        if let Some(uri) = &self.original_recipient {
            xml::element(&mut out, "original-recipient-uri", "", uri);
        }
        if let Some((language, subject)) = &self.subject {
            let language = language.as_deref().filter(|l| xml::is_language(l));
            let attributes = language.map_or_else(String::new, |l| format!(" xml:lang=\"{l}\""));
            xml::element(&mut out, "subject", &attributes, subject);
        }
        let (notification, status) = (self.notification.element(), self.status.map(Status::element));
        let status = status.map_or_else(String::new, |status| format!("<{status}/>"));
        out.push_str(&format!("<{notification}><status>{status}</status></{notification}></imdn>\r\n"));
        out
    }
}

/// Whether a message is a notification, about which none is sent: RFC 5438 §7.2.1.
#[must_use]
pub fn is_imdn(message: &Message) -> bool {
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    message.content_type().is_some_and(|v| essence(v) == CONTENT_TYPE)
        || message.mime("Content-Disposition").is_some_and(|v| essence(v) == "notification")
}

/// Asks for notifications in a message that is about to be sent. Its `DateTime`, which must be there
/// (RFC 5438 §7.1.1.2), is for the caller, who has the clock.
///
/// # Errors
/// If `message_id` is no token.
pub fn request(message: &mut Message, message_id: &str, wanted: &[Disposition]) -> Result<(), UsageError> {
    if !is_token(message_id) {
        return Err(UsageError::InvalidIdentifier);
    }
    message.push_namespace("imdn", NAMESPACE)?;
    message.push("imdn.Message-ID", message_id)?;
    let wanted: Vec<&str> = wanted.iter().map(|d| d.as_str()).collect();
    if wanted.is_empty() { Ok(()) } else { message.push("imdn.Disposition-Notification", &wanted.join(", ")) }
}

/// The identifier of a message, as `imdn.Message-ID` gives it.
#[must_use]
pub fn message_id(message: &Message) -> Option<&str> {
    message.header_in(NAMESPACE, "Message-ID").map(|h| h.raw.trim()).filter(|id| is_token(id))
}

/// What the sender of a message asks for; nothing in a notification, and unknown values are ignored.
#[must_use]
pub fn requested(message: &Message) -> Vec<Disposition> {
    if is_imdn(message) {
        return Vec::new();
    }
    let Some(header) = message.header_in(NAMESPACE, "Disposition-Notification") else { return Vec::new() };
    let names = || header.raw.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    Disposition::ALL.into_iter().filter(|d| names().any(|name| name == d.as_str())).collect()
}

/// The notification that a recipient sends about `message`; `None` if its sender does not want it.
///
/// `from` is who we are, `id` a fresh identifier. [`Imdn::date_time`] and the rest come from the message.
///
/// # Errors
/// If `from` or `id` cannot stand in a header field, or the status is none of that notification.
pub fn notify(
    message: &Message,
    from: &Address,
    id: &str,
    notification: Notification,
    status: Status,
) -> Result<Option<Message>, UsageError> {
    if !status.belongs_to(notification) || notification == Notification::Processing {
        return Err(UsageError::InvalidHeader);
    }
    let wanted = requested(message);
    let wants = match (notification, status) {
        (Notification::Delivery, Status::Delivered) => wanted.contains(&Disposition::PositiveDelivery),
        (Notification::Delivery, _) => wanted.contains(&Disposition::NegativeDelivery),
        _ => wanted.contains(&Disposition::Display),
    };
    let (true, Some(message_id), Some(sender)) = (wants, message_id(message), message.from()) else {
        return Ok(None);
    };
    let original = message.header_in(NAMESPACE, "Original-To").and_then(|h| h.address());
    let subject = message.headers().find(|h| h.name == "Subject");
    let document = Imdn {
        message_id: message_id.to_owned(),
        date_time: message.date_time().unwrap_or_default().to_owned(),
        recipient: message.to().next().map(|to| to.uri),
        original_recipient: original.map(|to| to.uri),
        subject: subject.map(|s| (s.parameter("lang").map(str::to_owned), s.text().into_owned())),
        notification,
        status: Some(status),
    };
    let mut reply = Message::new(CONTENT_TYPE, document.to_xml())?;
    reply.push_address("From", from)?;
    reply.push_address("To", &sender)?;
    request(&mut reply, id, &[])?;
    // RFC 5438 §7.2.1: the recorded route is the route back, in its order.
    let prefix = message.namespaces().find(|(_, uri)| *uri == NAMESPACE).map_or("", |(prefix, _)| prefix);
    let route = message.headers().filter(|h| h.name.split_once('.') == Some((prefix, "IMDN-Record-Route")));
    for address in route.filter_map(|h| h.address()) {
        reply.push_address("imdn.IMDN-Route", &address)?;
    }
    reply.push_mime("Content-Disposition", "notification")?;
    Ok(Some(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(extra: &str) -> Message {
        let text = format!(
            "From: Alice <im:alice@example.com>\r\nTo: Bob <im:bob@example.com>\r\nNS: d <urn:ietf:params:imdn>\r\n\
             d.Message-ID: 34jk324j\r\nDateTime: 2006-04-04T12:16:49-05:00\r\n{extra}\r\n\
             Content-type: text/plain\r\n\r\nHello World"
        );
        Message::parse(&text.into()).unwrap()
    }

    fn bob() -> Address {
        Address { name: None, uri: "im:bob@example.com".into() }
    }

    #[test]
    fn what_is_asked_for_is_answered() {
        let im = message(
            "d.Disposition-Notification: positive-delivery ; x=y, display, telepathy\r\n\
             d.Original-To: <im:robert@example.com>\r\nSubject:;lang=de Über <uns>\r\n\
             d.IMDN-Record-Route: <im:one@example.com>\r\nd.IMDN-Record-Route: <im:two@example.com>\r\n",
        );
        assert_eq!(requested(&im), [Disposition::PositiveDelivery, Disposition::Display]);
        let reply = notify(&im, &bob(), "d834jied93rf", Notification::Delivery, Status::Delivered);
        let reply = Message::parse(&reply.unwrap().unwrap().to_bytes()).unwrap();
        assert!(is_imdn(&reply) && requested(&reply).is_empty());
        assert_eq!(reply.to().next().unwrap().uri, "im:alice@example.com");
        assert_eq!(message_id(&reply), Some("d834jied93rf"));
        let route: Vec<&str> =
            reply.headers().filter(|h| h.name == "imdn.IMDN-Route").map(|h| h.raw).collect();
        assert_eq!(route, ["<im:one@example.com>", "<im:two@example.com>"]);
        let document = Imdn::parse(reply.body()).unwrap();
        assert_eq!(document.message_id, "34jk324j");
        assert_eq!(document.date_time, "2006-04-04T12:16:49-05:00");
        assert_eq!(document.original_recipient.as_deref(), Some("im:robert@example.com"));
        assert_eq!(document.subject, Some((Some("de".into()), "Über <uns>".into())));
        assert_eq!(
            (document.notification, document.status),
            (Notification::Delivery, Some(Status::Delivered))
        );
    }

    #[test]
    fn what_is_not_asked_for_is_not_said() {
        let im = message("d.Disposition-Notification: negative-delivery\r\n");
        let about = |im: &Message, notification, status| {
            notify(im, &bob(), "abcd", notification, status).map(|m| m.is_some())
        };
        assert_eq!(about(&im, Notification::Delivery, Status::Delivered), Ok(false));
        assert_eq!(about(&im, Notification::Delivery, Status::Failed), Ok(true));
        assert_eq!(about(&im, Notification::Display, Status::Displayed), Ok(false));
        assert!(about(&im, Notification::Display, Status::Delivered).is_err());
        assert!(about(&im, Notification::Processing, Status::Processed).is_err());
        assert_eq!(about(&message(""), Notification::Display, Status::Displayed), Ok(false));
        // RFC 5438 §7.2.1: no notification about a notification.
        let reply = notify(&im, &bob(), "abcd", Notification::Delivery, Status::Failed).unwrap().unwrap();
        let mut asking = reply.clone();
        asking.push("imdn.Disposition-Notification", "positive-delivery").unwrap();
        assert_eq!(about(&asking, Notification::Delivery, Status::Delivered), Ok(false));
    }

    #[test]
    fn documents_round_trip_and_unknown_statuses_survive_reading() {
        for notification in Notification::ALL {
            for status in Status::ALL.into_iter().filter(|s| s.belongs_to(notification)) {
                let imdn = Imdn {
                    message_id: "34jk324j".into(),
                    date_time: "2006".into(),
                    recipient: Some("im:b&c@example.com".into()),
                    original_recipient: None,
                    subject: Some((None, "a < b".into())),
                    notification,
                    status: Some(status),
                };
                assert_eq!(Imdn::parse(imdn.to_xml().as_bytes()).unwrap(), imdn);
            }
        }
        let unknown = "<imdn><message-id>abc</message-id><display-notification><status><pondered/></status>\
                       </display-notification></imdn>";
        assert_eq!(Imdn::parse(unknown.as_bytes()).unwrap().status, None);
        for text in ["<imdn/>", "<imdn><message-id>a b</message-id></imdn>"] {
            assert!(Imdn::parse(text.as_bytes()).is_err());
        }
    }
}
