//! Fragments of SIP messages: `message/sipfrag` (RFC 3420).

use crate::{Headers, Limits, Message, ParseError, Request, Response, StatusCode, endpoint::Body};
use bytes::Bytes;

/// A part of a message that says what became of it: in NOTIFYs of a REFER (RFC 3515 §2.4.5).
#[derive(Debug, Clone)]
pub enum Sipfrag {
    /// It begins with a status line.
    Response(Response),
    /// It begins with a request line.
    Request(Request),
    /// It is headers alone.
    Headers(Headers),
}

impl Sipfrag {
    /// The content type.
    pub const CONTENT_TYPE: &'static str = "message/sipfrag;version=2.0";

    /// Reads a fragment; what it lacks of a message is no error (RFC 3420 §2).
    ///
    /// # Errors
    /// If it is no part of a message.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        // A start line has two spaces before any colon could end a header's name.
        let line = body.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
        let name = line.iter().take_while(|b| **b != b':').any(|b| matches!(b, b' ' | b'\t'));
        let bare = !line.is_empty() && !name && line.contains(&b':');
        let mut text = if bare { b"SIP/2.0 100 Trying\r\n".to_vec() } else { Vec::new() };
        text.extend_from_slice(body);
        // The fragment may end in its start line, or after a header.
        if !text.windows(4).any(|w| w == b"\r\n\r\n") {
            text.extend_from_slice(if text.ends_with(b"\r\n") { b"\r\n" } else { b"\r\n\r\n" });
        }
        Ok(match Message::parse(Bytes::from(text), limits)? {
            Message::Response(response) if bare => Self::Headers(response.headers().clone()),
            Message::Response(response) => Self::Response(response),
            Message::Request(request) => Self::Request(request),
        })
    }

    /// The status that it tells, if any.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Response(response) => Some(response.status()),
            Self::Request(_) | Self::Headers(_) => None,
        }
    }

    /// A body that tells this status.
    pub fn of_status(status: StatusCode, reason: Option<&str>) -> Body {
        let reason = reason.unwrap_or(status.default_reason()).replace(['\r', '\n', '\0'], " ");
        Body::new(Self::CONTENT_TYPE, format!("SIP/2.0 {status} {reason}\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Sipfrag {
        Sipfrag::parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|e| panic!("{text:?}: {e}"))
    }

    #[test]
    fn fragments() {
        assert_eq!(parse("SIP/2.0 100 Trying").status().map(StatusCode::code), Some(100));
        assert_eq!(parse("SIP/2.0 603 Declined\r\n").status().map(StatusCode::code), Some(603));
        let full = parse("SIP/2.0 200 OK\r\nTo: <sip:a@b>;tag=1\r\n\r\n");
        assert!(matches!(full, Sipfrag::Response(r) if r.to().unwrap().tag() == Some("1")));
        // RFC 3420 §3.
        let request = parse("INVITE sip:alice@atlanta.com SIP/2.0\r\nSubject: x\r\n");
        assert!(matches!(request, Sipfrag::Request(r) if r.headers().text("s") == Some("x")));
        let headers = parse("From: Alice <sip:alice@atlanta.com>\r\nTo: Bob <sip:bob@biloxi.com>");
        assert!(matches!(headers, Sipfrag::Headers(h) if h.contains("From") && h.contains("To")));
        assert!(Sipfrag::parse(b"what is this", &Limits::default()).is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        let body = Sipfrag::of_status(StatusCode::BUSY_HERE, Some("Not\r\nnow"));
        let again = Sipfrag::parse(&body.content, &Limits::default()).unwrap();
        assert!(matches!(again, Sipfrag::Response(r) if r.reason() == "Not  now"));
    }
}
