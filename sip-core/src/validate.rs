//! What of a message that was read must be refused, and with which answer.
//!
//! Only what the core needs to process a message refuses it: the start line, Via, From, To,
//! Call-ID, CSeq, Max-Forwards, Contact, Content-Length and Content-Type. Everything else is typed
//! when it is asked for. The verdicts are those of RFC 4475 and RFC 5118.

use crate::{
    ErrorKind, Headers, Message, Method, ParseError, Request, Response, StatusCode, Uri, grammar,
    header::{CSeq, CallId, Contact, ContentType, From, MaxForwards, To, TypedHeader, Via},
};

/// Why a message is refused, and what to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// The status to answer; `None`: drop it (responses and ACK are never answered).
    pub status: Option<StatusCode>,
    /// A reason phrase that names the fault.
    pub reason: &'static str,
    /// What is wrong and where.
    pub error: ParseError,
}

impl Message {
    /// Whether the message may be processed.
    pub fn validate(&self) -> Result<(), Refusal> {
        match self {
            Self::Request(request) => request.validate(),
            Self::Response(response) => response.validate(),
        }
    }
}

impl Request {
    /// Whether the request may be processed; otherwise, what to answer.
    pub fn validate(&self) -> Result<(), Refusal> {
        self.check().map_err(|error| Refusal {
            status: (*self.method() != Method::Ack).then(|| error.status()),
            reason: match error.status() {
                StatusCode::BAD_REQUEST => reason(&error),
                status => status.default_reason(),
            },
            error,
        })
    }

    fn check(&self) -> Result<(), ParseError> {
        self.fault.map_or(Ok(()), Err)?;
        let headers = self.headers();
        lines(headers)?;
        request_uri(self.uri_text())?;
        let cseq = mandatory(headers)?;
        // RFC 3261 §8.1.1.5: the method of CSeq is that of the request.
        if cseq.method != *self.method() {
            return Err(ParseError::new(0, ErrorKind::Mismatch, "the method of the request in CSeq"));
        }
        at_most_one::<MaxForwards>(headers, "one Max-Forwards")?;
        if needs_contact(self.method()) {
            headers.check::<Contact>()?;
        }
        // RFC 3261 §20.15: mandatory where the body is not empty.
        if !at_most_one::<ContentType>(headers, "one Content-Type")? && !self.body().is_empty() {
            return Err(ParseError::new(0, ErrorKind::Missing, "a Content-Type for the body"));
        }
        Ok(())
    }
}

impl Response {
    /// Whether the response may be processed; otherwise it is dropped.
    pub fn validate(&self) -> Result<(), Refusal> {
        self.check().map_err(|error| Refusal { status: None, reason: reason(&error), error })
    }

    fn check(&self) -> Result<(), ParseError> {
        self.fault.map_or(Ok(()), Err)?;
        lines(self.headers())?;
        mandatory(self.headers()).map(drop)
    }
}

/// Methods whose Contact the core acts on: the remote target of a dialog, or a binding.
fn needs_contact(method: &Method) -> bool {
    use Method::{Invite, Refer, Register, Subscribe, Update};
    matches!(method, Invite | Refer | Register | Subscribe | Update)
}

/// Names are tokens, and CR stands only before LF: a lone one is a line break to some.
fn lines(headers: &Headers) -> Result<(), ParseError> {
    for (name, at) in headers.unknown_names() {
        if !name.iter().copied().all(grammar::is_token_byte) {
            return Err(ParseError::new(at, ErrorKind::Syntax, "a header name"));
        }
    }
    // Each LF has its CR, or the framing has refused the message: as many of both, and none is alone.
    if memchr::memchr_iter(b'\r', headers.lines()).count()
        == memchr::memchr_iter(b'\n', headers.lines()).count()
    {
        return Ok(());
    }
    for field in headers.iter() {
        if let Some(at) = lone_cr(field.value) {
            return Err(ParseError::new(at, ErrorKind::Syntax, "LF after CR"));
        }
    }
    Ok(())
}

fn lone_cr(value: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\r', value).find(|at| value.get(at + 1) != Some(&b'\n'))
}

/// A URI, and for sip one without headers (RFC 3261 §19.1.1, RFC 4475 §3.1.2.11).
fn request_uri(text: &str) -> Result<(), ParseError> {
    let uri = Uri::parse(text)?;
    if uri.is_sip() && uri.headers().next().is_some() {
        return Err(ParseError::new(0, ErrorKind::Syntax, "a Request-URI without headers"));
    }
    Ok(())
}

/// RFC 3261 §8.1.1: what every message has, once but for Via. Only CSeq is made a value of.
fn mandatory(headers: &Headers) -> Result<CSeq, ParseError> {
    if headers.check::<Via>()? == 0 {
        return Err(ParseError::new(0, ErrorKind::Missing, "a Via header"));
    }
    one::<From>(headers, "one From header")?;
    one::<To>(headers, "one To header")?;
    one::<CallId>(headers, "one Call-ID header")?;
    one::<CSeq>(headers, "one CSeq header")?;
    headers.get::<CSeq>().unwrap_or(Err(ParseError::new(0, ErrorKind::Missing, "one CSeq header")))
}

fn one<H: TypedHeader>(headers: &Headers, what: &'static str) -> Result<(), ParseError> {
    if at_most_one::<H>(headers, what)? { Ok(()) } else { Err(ParseError::new(0, ErrorKind::Missing, what)) }
}

/// Whether there is one; two are refused.
fn at_most_one<H: TypedHeader>(headers: &Headers, what: &'static str) -> Result<bool, ParseError> {
    match headers.count(H::NAME) {
        0 => Ok(false),
        1 => headers.check::<H>().map(|_| true),
        _ => Err(ParseError::new(0, ErrorKind::Duplicate, what)),
    }
}

/// A reason phrase for a 400 (RFC 3261 §21.4.1 asks for the detail).
fn reason(error: &ParseError) -> &'static str {
    match error.kind {
        ErrorKind::Missing => "Bad Request - Missing Header",
        ErrorKind::Duplicate => "Bad Request - Repeated Header",
        ErrorKind::Mismatch => "Bad Request - CSeq Method Mismatch",
        ErrorKind::Truncated => "Bad Request - Truncated",
        ErrorKind::Number => "Bad Request - Number Out Of Range",
        ErrorKind::TooLarge => "Bad Request - Too Large",
        _ => "Bad Request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use bytes::Bytes;

    fn verdict(start: &str, headers: &str, rest: &str) -> Result<(), Option<u16>> {
        let text = format!("{start}\r\n{headers}\r\n{rest}");
        let message = Message::parse(Bytes::from(text), &Limits::default()).unwrap();
        message.validate().map_err(|refusal| refusal.status.map(StatusCode::code))
    }

    const GOOD: &str = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n";
    const BYE: &str = "BYE sip:a@b SIP/2.0";

    #[test]
    fn mandatory_headers() {
        assert_eq!(verdict(BYE, GOOD, ""), Ok(()));
        for line in GOOD.lines() {
            let without = GOOD.replace(&format!("{line}\r\n"), "");
            assert_eq!(verdict(BYE, &without, ""), Err(Some(400)), "without {line}");
            if !line.starts_with("Via") {
                let twice = format!("{GOOD}{line}\r\n");
                assert_eq!(verdict(BYE, &twice, ""), Err(Some(400)), "twice {line}");
            }
        }
    }

    #[test]
    fn answers() {
        assert_eq!(verdict("BYE sip:a@b SIP/7.0", GOOD, ""), Err(Some(505)));
        assert_eq!(verdict("INFO sip:a@b SIP/2.0", GOOD, ""), Err(Some(400)), "CSeq method");
        assert_eq!(verdict("ACK sip:a@b SIP/2.0", GOOD, ""), Err(None), "ACK is not answered");
        assert_eq!(verdict("SIP/7.0 200 OK", GOOD, ""), Err(None));
        assert_eq!(verdict("SIP/2.0 200 OK", GOOD, ""), Ok(()));
        assert_eq!(verdict("BYE sip:a@b?Route=c SIP/2.0", GOOD, ""), Err(Some(400)));
        assert_eq!(verdict("BYE  sip:a@b SIP/2.0", GOOD, ""), Err(Some(400)));
        assert_eq!(verdict(BYE, GOOD, "body without a type"), Err(Some(400)));
        assert_eq!(verdict(BYE, &format!("{GOOD}no colon\r\n"), ""), Err(Some(400)));
        assert_eq!(verdict(BYE, &format!("{GOOD}a name: x\r\n"), ""), Err(Some(400)));
        assert_eq!(verdict(BYE, &format!("{GOOD}X: a\rVia: b\r\n"), ""), Err(Some(400)));
        assert_eq!(verdict(BYE, &format!("{GOOD}X: a\nY: b\r\n"), ""), Err(Some(400)));
    }

    #[test]
    fn a_bad_optional_header_loses_nothing() {
        let odd =
            format!("{GOOD}Date: yesterday\r\nExpires: 1e100\r\nWarning: ,,,\r\nEvent:\r\nRoute: <\r\n");
        assert_eq!(verdict(BYE, &odd, ""), Ok(()));
    }
}
