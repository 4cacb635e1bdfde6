//! Requests and responses.

use crate::{
    ErrorKind, Headers, Limits, Method, NameAddr, ParseError, StatusCode, Uri, UsageError, grammar,
    header::{CSeq, CallId, ContentLength, From as FromHeader, HeaderName, To, TypedHeader, Via},
    index::{Index, Span},
    swar,
};
use bytes::Bytes;
use std::net::SocketAddr;

/// A request or a response.
#[derive(Debug, Clone)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    line: StartLine,
    headers: Headers,
    body: Bytes,
    /// The bytes that were read, while they still say the same.
    read: Option<Bytes>,
    pub(crate) fault: Option<ParseError>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    line: StartLine,
    headers: Headers,
    body: Bytes,
    read: Option<Bytes>,
    pub(crate) fault: Option<ParseError>,
}

/// A start line: in the buffer of the headers, or our own.
#[derive(Debug, Clone)]
struct StartLine {
    own: Option<Box<str>>,
    /// Without CRLF.
    line: Span,
    /// The Request-URI or the reason phrase.
    part: Span,
}

impl StartLine {
    fn own(before: &str, part: &str, after: &str) -> Self {
        let text = [before, part, after].concat().into_boxed_str();
        let (line, part) = (Span::new(0, text.len()), Span::new(before.len(), before.len() + part.len()));
        Self { own: Some(text), line, part }
    }

    fn text<'a>(&'a self, headers: &'a Headers, span: Span) -> &'a str {
        match &self.own {
            Some(text) => text.get(span.range()).unwrap_or(""),
            // Checked to be UTF-8 when it was read.
            None => headers.head().text(span.range()).unwrap_or(""),
        }
    }
}

impl Message {
    /// Reads a datagram: finds the lines, types nothing.
    ///
    /// An error means that there is nothing to answer to. Other faults stay with the message for
    /// [`Message::validate`], which says what to answer.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let found = Index::datagram(&bytes, limits)?;
        Self::assemble(bytes, found)
    }

    /// A message from its bytes and what is where in them.
    pub(crate) fn assemble(bytes: Bytes, found: Index) -> Result<Self, ParseError> {
        let line = found.start_line;
        let offset = line.start as usize;
        let headers = Headers::read(bytes.slice(..found.body.start as usize), found.fields);
        let text = headers.head().text(line.range()).map_err(|e| {
            ParseError::new(offset + e.valid_up_to(), ErrorKind::Encoding, "a start line in UTF-8")
        })?;
        let start = StartText::read(text).map_err(|e| e.moved(offset))?;
        let fault = start.fault.map(|e| e.moved(offset)).or(found.fault);
        let part = Span::new(offset + start.part.start, offset + start.part.end);
        // Without its empty line, what was read is not what is to be sent on; what is malformed stays so.
        let read = (!found.unclosed || fault.is_some()).then(|| bytes.slice(offset..found.body.end as usize));
        let body = bytes.slice(found.body.range());
        let line = StartLine { own: None, line, part };
        Ok(match start.kind {
            Kind::Request(method) => Self::Request(Request { method, line, headers, body, read, fault }),
            Kind::Response(status) => Self::Response(Response { status, line, headers, body, read, fault }),
        })
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(m) => m.headers(),
            Self::Response(m) => m.headers(),
        }
    }

    /// The headers, to change them.
    pub fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Self::Request(m) => m.headers_mut(),
            Self::Response(m) => m.headers_mut(),
        }
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        match self {
            Self::Request(m) => m.body(),
            Self::Response(m) => m.body(),
        }
    }

    /// The message as it goes on the wire. One that was read and not changed is what was read.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(m) => m.to_bytes(),
            Self::Response(m) => m.to_bytes(),
        }
    }

    /// The request, if it is one.
    pub fn as_request(&self) -> Option<&Request> {
        match self {
            Self::Request(m) => Some(m),
            Self::Response(_) => None,
        }
    }

    /// The response, if it is one.
    pub fn as_response(&self) -> Option<&Response> {
        match self {
            Self::Request(_) => None,
            Self::Response(m) => Some(m),
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

macro_rules! common {
    ($name:ident) => {
        impl $name {
            /// The headers.
            pub fn headers(&self) -> &Headers {
                &self.headers
            }

            /// The headers, to change them.
            pub fn headers_mut(&mut self) -> &mut Headers {
                self.read = None;
                &mut self.headers
            }

            /// The body.
            pub fn body(&self) -> &Bytes {
                &self.body
            }

            /// Puts another body in, with its Content-Type and Content-Length.
            pub fn set_body(&mut self, content_type: &str, body: Bytes) -> Result<(), UsageError> {
                let headers = self.headers_mut();
                headers.replace_raw(HeaderName::CONTENT_TYPE.as_str(), content_type)?;
                headers.replace(ContentLength(u32::try_from(body.len()).unwrap_or(u32::MAX)));
                self.body = body;
                Ok(())
            }

            /// The first value of a typed header, if it is there and well-formed.
            pub fn header<H: TypedHeader>(&self) -> Option<H> {
                self.headers.get::<H>()?.ok()
            }

            /// The top Via.
            pub fn via(&self) -> Result<Via, ParseError> {
                self.mandatory("a Via header")
            }

            /// From.
            pub fn from(&self) -> Result<NameAddr, ParseError> {
                self.mandatory::<FromHeader>("a From header").map(|h| h.0)
            }

            /// To.
            pub fn to(&self) -> Result<NameAddr, ParseError> {
                self.mandatory::<To>("a To header").map(|h| h.0)
            }

            /// Call-ID.
            pub fn call_id(&self) -> Result<CallId, ParseError> {
                self.mandatory("a Call-ID header")
            }

            /// CSeq.
            pub fn cseq(&self) -> Result<CSeq, ParseError> {
                self.mandatory("a CSeq header")
            }

            fn mandatory<H: TypedHeader>(&self, what: &'static str) -> Result<H, ParseError> {
                self.headers.get::<H>().unwrap_or(Err(ParseError::new(0, ErrorKind::Missing, what)))
            }

            /// The message with compact header names where there are some (RFC 3261 §7.3.3), for
            /// what would otherwise be too long for a datagram.
            pub fn to_compact_bytes(&self) -> Bytes {
                let line = self.line.text(&self.headers, self.line.line).as_bytes();
                let mut out = Vec::with_capacity(line.len() + self.headers.wire_len() + 4 + self.body.len());
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
                self.headers.write_compact(&mut out);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&self.body);
                Bytes::from(out)
            }

            /// The message as it goes on the wire. One that was read and not changed is what was read.
            pub fn to_bytes(&self) -> Bytes {
                if let Some(read) = &self.read {
                    return read.clone();
                }
                let line = self.line.text(&self.headers, self.line.line).as_bytes();
                let mut out = Vec::with_capacity(line.len() + self.headers.wire_len() + 4 + self.body.len());
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
                self.headers.write(&mut out);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&self.body);
                Bytes::from(out)
            }
        }
    };
}

common!(Request);
common!(Response);

impl Request {
    pub(crate) fn new(method: Method, uri: &str, headers: Headers, body: Bytes) -> Self {
        let line = StartLine::own(&format!("{method} "), uri, " SIP/2.0");
        Self { method, line, headers, body, read: None, fault: None }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI, taken apart.
    pub fn uri(&self) -> Result<Uri, ParseError> {
        Uri::parse(self.uri_text())
    }

    /// The Request-URI as it stands there.
    pub fn uri_text(&self) -> &str {
        self.line.text(&self.headers, self.line.part)
    }

    /// Puts another Request-URI in; headers after `?` do not go along (RFC 3261 §19.1.1).
    pub fn set_uri(&mut self, uri: &Uri) {
        self.read = None;
        self.line = StartLine::own(&format!("{} ", self.method), uri.without_headers().as_str(), " SIP/2.0");
    }

    /// Notes in the top Via where the request came from (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn stamp_via(&mut self, source: SocketAddr) {
        if let Ok(mut via) = self.via() {
            let before = via.clone();
            via.stamp(source);
            if via != before {
                self.headers_mut().replace_first(via);
            }
        }
    }
}

impl Response {
    pub(crate) fn new(status: StatusCode, reason: &str, headers: Headers, body: Bytes) -> Self {
        let line = StartLine::own(&format!("SIP/2.0 {status} "), reason, "");
        Self { status, line, headers, body, read: None, fault: None }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase; may be empty.
    pub fn reason(&self) -> &str {
        self.line.text(&self.headers, self.line.part)
    }
}

enum Kind {
    Request(Method),
    Response(StatusCode),
}

/// A start line taken apart.
struct StartText {
    kind: Kind,
    /// Request-URI or reason phrase.
    part: std::ops::Range<usize>,
    fault: Option<ParseError>,
}

impl StartText {
    fn read(text: &str) -> Result<Self, ParseError> {
        match text.get(..4) {
            Some(sip) if sip.eq_ignore_ascii_case("SIP/") => Self::status_line(text),
            _ => match Self::usual_request_line(text) {
                Some(line) => Ok(line),
                None => Self::request_line(text),
            },
        }
    }

    /// A request line as nearly everyone writes it.
    #[inline]
    fn usual_request_line(text: &str) -> Option<Self> {
        let line = text.strip_suffix(" SIP/2.0")?;
        let (method, uri) = line.split_at_checked(swar::find(line.as_bytes(), b' ')?)?;
        // Without branches, so that many bytes are looked at at once.
        let dense = uri.bytes().skip(1).fold(true, |dense, b| dense & (b > b' '));
        let part = method.len() + 1..line.len();
        if !grammar::is_token(method) || part.is_empty() || !dense {
            return None;
        }
        Some(Self { kind: Kind::Request(Method::from_token(method)), part, fault: None })
    }

    /// `Method SP Request-URI SP SIP-Version` (RFC 3261 §7.1). Where spaces are wrong but the
    /// parts can be told, the line is read and has a fault.
    fn request_line(text: &str) -> Result<Self, ParseError> {
        let mut fault = None;
        let mut note = |at: usize, kind, what| {
            fault.get_or_insert(ParseError::new(at, kind, what));
        };
        let (method, rest) = grammar::span(text, grammar::is_token_byte);
        if method.is_empty() || !rest.starts_with(' ') {
            return Err(ParseError::new(method.len(), ErrorKind::Syntax, "a method and one space"));
        }
        let trimmed = grammar::trim_end(text);
        if trimmed.len() < text.len() {
            note(trimmed.len(), ErrorKind::Syntax, "the end of the line after the version");
        }
        let space = memchr::memrchr2(b' ', b'\t', trimmed.as_bytes()).unwrap_or(0);
        let (before, version) = grammar::cut(trimmed, space + 1);
        let is_version = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/"));
        if !is_version || space <= method.len() {
            return Err(ParseError::new(text.len(), ErrorKind::Missing, "a URI, a space and SIP/2.0"));
        }
        check_version(version, &mut note, space + 1);
        let from = method.len() + 1;
        let uri = before.get(from..space).unwrap_or("");
        let (start, end) = (from + (uri.len() - uri.trim_start().len()), from + uri.trim_end().len());
        let part = start..end.max(start);
        let inner = before.get(part.clone()).unwrap_or("");
        if part.len() != uri.len() || inner.bytes().any(grammar::is_lws) {
            note(from, ErrorKind::Syntax, "a URI between single spaces");
        }
        Ok(Self { kind: Kind::Request(Method::from_token(method)), part, fault })
    }

    /// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 §7.2). A response that lacks the
    /// space after the code is understood.
    fn status_line(text: &str) -> Result<Self, ParseError> {
        let mut fault = None;
        let (version, rest) = grammar::cut(text, memchr::memchr(b' ', text.as_bytes()).unwrap_or(text.len()));
        let note = |at: usize, kind, what| {
            fault.get_or_insert(ParseError::new(at, kind, what));
        };
        check_version(version, note, 0);
        let code_at = version.len() + 1;
        let (code, after) = grammar::span(grammar::cut(rest, 1).1, |b| b.is_ascii_digit());
        let number = if code.len() == 3 { code.parse().ok() } else { None };
        let Some(status) = number.and_then(StatusCode::new) else {
            return Err(ParseError::new(code_at, ErrorKind::Number, "a status code from 100 to 699"));
        };
        let reason_at = match after.as_bytes().first() {
            None => text.len(),
            Some(b' ') => text.len() - after.len() + 1,
            Some(_) => {
                return Err(ParseError::new(code_at + 3, ErrorKind::Syntax, "a space after the status code"));
            }
        };
        Ok(Self { kind: Kind::Response(status), part: reason_at..text.len(), fault })
    }
}

/// The one version there is, written in any case (RFC 3261 §7.1).
fn check_version(version: &str, mut note: impl FnMut(usize, ErrorKind, &'static str), at: usize) {
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        note(at, ErrorKind::Version, "SIP/2.0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:bob@biloxi.com SIP/2.0\r\nv: SIP/2.0/UDP pc33;branch=z9hG4bK1,SIP/2.0/UDP b\r\n\
        f: <sip:a@b>;tag=1\r\nt: <sip:b@c>\r\ni: x\r\nCSeq: 1 INVITE\r\nX-Odd:a\r\n\tb\r\nl: 4\r\n\r\nbodytrailing";

    fn parse(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    #[test]
    fn parts_and_bytes_as_read() {
        let message = parse(INVITE);
        let request = message.as_request().unwrap();
        assert_eq!((request.method(), request.uri_text()), (&Method::Invite, "sip:bob@biloxi.com"));
        assert_eq!(request.body().as_ref(), b"body");
        assert_eq!(request.from().unwrap().tag(), Some("1"));
        assert_eq!(request.cseq().unwrap().number, 1);
        assert_eq!(request.to_bytes().as_ref(), INVITE.strip_suffix("trailing").unwrap().as_bytes());
    }

    #[test]
    fn compact_names_on_demand() {
        let text = "SIP/2.0 200 OK\r\nVia : SIP/2.0/UDP a\r\nX-Via: b\r\nContent-Length: 2\r\nSession-Expires:\r\n 90\r\n\r\nhi";
        let compact = parse(text).as_response().unwrap().to_compact_bytes();
        assert_eq!(
            std::str::from_utf8(&compact).unwrap(),
            "SIP/2.0 200 OK\r\nv : SIP/2.0/UDP a\r\nX-Via: b\r\nl: 2\r\nx:\r\n 90\r\n\r\nhi"
        );
        let long = parse(INVITE);
        let compact = long.as_request().unwrap().to_compact_bytes();
        assert_eq!(compact, long.to_bytes(), "they were compact");
    }

    #[test]
    fn a_change_leaves_the_rest_alone() {
        let Message::Request(mut request) = parse(INVITE) else { panic!("a request") };
        request.stamp_via("192.0.2.9:5".parse().unwrap());
        let text = String::from_utf8(request.to_bytes().to_vec()).unwrap();
        let expected = INVITE.strip_suffix("trailing").unwrap().replace(
            "v: SIP/2.0/UDP pc33;branch=z9hG4bK1,",
            "Via: SIP/2.0/UDP pc33;branch=z9hG4bK1;received=192.0.2.9,",
        );
        assert_eq!(text, expected);
        request.set_uri(&"sip:x@y?Subject=z".parse().unwrap());
        assert!(request.to_bytes().starts_with(b"INVITE sip:x@y SIP/2.0\r\nVia: "));
    }

    #[test]
    fn status_lines() {
        for (line, code, reason) in [
            ("SIP/2.0 100 ", 100, ""),
            ("SIP/2.0 200 = 2**3 * 5**2", 200, "= 2**3 * 5**2"),
            ("sip/2.0 486", 486, ""),
        ] {
            let message = parse(&format!("{line}\r\n\r\n"));
            let response = message.as_response().unwrap();
            assert_eq!((response.status().code(), response.reason()), (code, reason));
        }
        for line in
            ["SIP/2.0 4294967301 better not", "SIP/2.0 99 x", "SIP/2.0", "SIP/2.0 200OK", "SIP/2.0  200 OK"]
        {
            let bytes = Bytes::from(format!("{line}\r\n\r\n"));
            assert!(Message::parse(bytes, &Limits::default()).is_err(), "{line}");
        }
    }

    #[test]
    fn no_message_at_all() {
        for text in [
            "",
            "\r\n\r\n",
            "INVITE",
            "INVITE sip:a@b\r\n\r\n",
            " SIP/2.0\r\n",
            "\0\u{1}\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(
                Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).is_err(),
                "{text:?}"
            );
        }
    }
}
