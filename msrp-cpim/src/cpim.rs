//! Common Presence and Instant Messaging: message format, RFC 3862.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use smallvec::SmallVec;

use crate::error::{ParseError, ParseErrorKind, UsageError};
use crate::scan::{Class, Lines, blanks, find_colon, is_blank, plain_line};

/// Bytes of message and MIME header fields that are read.
pub const MAX_HEAD: usize = 64 * 1024;
/// Header fields that are read, of either kind.
pub const MAX_HEADERS: usize = 128;

/// A message: header fields, the MIME header fields of what is inside, and that.
///
/// It keeps the text that it read, so it prints the same bytes again.
#[derive(Debug, Clone)]
pub struct Message {
    /// Message header fields, an empty line, MIME header fields, an empty line.
    text: ByteString,
    /// Where the MIME header fields begin.
    mime_at: usize,
    headers: SmallVec<[Field; 6]>,
    mime: SmallVec<[Field; 2]>,
    body: Bytes,
}

/// Two messages are equal if they print alike.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.body == other.body
    }
}

impl Eq for Message {}

#[derive(Debug, Clone)]
struct Field {
    /// Where the name begins, and its colon is.
    name: Range<u32>,
    /// Where the parameters end, which begin behind the colon.
    parameters: u32,
    value: Range<u32>,
}

/// One message header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name, with the prefix of its namespace if it has one: `imdn.Message-ID`.
    pub name: &'a str,
    /// Its parameters as written, each with its semicolon.
    pub parameters: &'a str,
    /// Its value as written; [`Header::text`] resolves the escapes.
    pub raw: &'a str,
}

/// An address: `Formal name <uri>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The name for humans, if there is one.
    pub name: Option<String>,
    /// The URI.
    pub uri: String,
}

impl Message {
    /// A message with only a `Content-Type`. Header fields are added with [`Message::push`].
    ///
    /// # Errors
    /// If the media type holds a control character.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Result<Self, UsageError> {
        let mut message = Self {
            text: ByteString::from_static("\r\n\r\n"),
            mime_at: 2,
            headers: SmallVec::new(),
            mime: SmallVec::new(),
            body: body.into(),
        };
        message.push_mime("Content-Type", content_type)?;
        Ok(message)
    }

    /// Appends a header field; what must be escaped in the value is (RFC 3862 §2.3.1).
    ///
    /// # Errors
    /// If the name is no header name.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        if !is_header_name(name.as_bytes()) {
            return Err(UsageError::InvalidHeader);
        }
        let mut line = String::with_capacity(name.len() + value.len() + 4);
        line.push_str(name);
        line.push_str(": ");
        escape_into(&mut line, value);
        self.insert_line(&line, self.mime_at.saturating_sub(2))
    }

    /// Appends an address in `From`, `To` or `cc`.
    ///
    /// # Errors
    /// If the name is no header name, or the URI holds what cannot stand in one.
    pub fn push_address(&mut self, name: &str, address: &Address) -> Result<(), UsageError> {
        if !is_header_name(name.as_bytes()) || address.uri.is_empty() || !address.uri.bytes().all(is_uri_byte)
        {
            return Err(UsageError::InvalidHeader);
        }
        self.insert_line(&format!("{name}: {address}"), self.mime_at.saturating_sub(2))
    }

    /// Declares the prefix of a namespace: RFC 3862 §3.4.
    ///
    /// # Errors
    /// If the prefix is no name, or the URI holds what cannot stand in one.
    pub fn push_namespace(&mut self, prefix: &str, uri: &str) -> Result<(), UsageError> {
        if !is_name(prefix) || uri.is_empty() || !uri.bytes().all(is_uri_byte) {
            return Err(UsageError::InvalidHeader);
        }
        self.insert_line(&format!("NS: {prefix} <{uri}>"), self.mime_at.saturating_sub(2))
    }

    /// Appends a subject in a language, such as `fr`.
    ///
    /// # Errors
    /// If the language is no language tag.
    pub fn push_subject(&mut self, language: Option<&str>, text: &str) -> Result<(), UsageError> {
        let Some(language) = language else { return self.push("Subject", text) };
        if language.is_empty() || !language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(UsageError::InvalidHeader);
        }
        let mut line = format!("Subject:;lang={language} ");
        escape_into(&mut line, text);
        self.insert_line(&line, self.mime_at.saturating_sub(2))
    }

    /// Appends a MIME header field.
    ///
    /// # Errors
    /// If the name is no token or the value holds a control character.
    pub fn push_mime(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        if !crate::uri::is_token(name) || value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7F) {
            return Err(UsageError::InvalidHeader);
        }
        self.insert_line(&format!("{name}: {value}"), self.text.len().saturating_sub(2))
    }

    fn insert_line(&mut self, line: &str, at: usize) -> Result<(), UsageError> {
        let mut text = String::with_capacity(self.text.len() + line.len() + 2);
        text.push_str(self.text.get(..at).unwrap_or_default());
        text.push_str(line);
        text.push_str("\r\n");
        text.push_str(self.text.get(at..).unwrap_or_default());
        let body = std::mem::take(&mut self.body);
        // A message built here is read by the rules that hold for all.
        let parsed = Self::parse_text(text, body).map_err(|_| UsageError::InvalidHeader)?;
        *self = parsed;
        Ok(())
    }

    /// Reads a message; the body is a slice of `data`.
    ///
    /// # Errors
    /// If the header fields are malformed, or an empty line is missing.
    pub fn parse(data: &Bytes) -> Result<Self, ParseError> {
        let head = data.get(..data.len().min(MAX_HEAD)).unwrap_or_default();
        Self::parse_plain(head, data).map_or_else(|| Self::parse_with_care(data), Ok)
    }

    /// Reads a message of any kind, and says what is wrong with it.
    pub(crate) fn parse_with_care(data: &Bytes) -> Result<Self, ParseError> {
        let head = data.get(..data.len().min(MAX_HEAD)).unwrap_or_default();
        let missing = |at: usize| {
            if data.len() > MAX_HEAD {
                ParseError::new(MAX_HEAD, ParseErrorKind::TooLong, "shorter header fields")
            } else {
                ParseError::new(at, ParseErrorKind::Truncated, "an empty line")
            }
        };
        let sections = Sections::find(head).ok_or_else(|| missing(data.len()))?;
        let text = std::str::from_utf8(head.get(..sections.body_at).unwrap_or_default())
            .map_err(|e| ParseError::new(e.valid_up_to(), ParseErrorKind::Utf8, "UTF-8 in a header"))?;
        Self::parse_sections(text.into(), &sections, data.slice(sections.body_at..))
    }

    /// Reads header fields of printable ASCII, as nearly all are, in one pass; `None` says nothing against a message.
    fn parse_plain(head: &[u8], data: &Bytes) -> Option<Self> {
        let (mut headers, mut mime) = (SmallVec::new(), SmallVec::new());
        let (mut at, mut mime_at) = (0, None);
        loop {
            let end = plain_line(head, at)?;
            let line = head.get(at..end)?;
            match (mime_at, line.is_empty()) {
                (None, true) => mime_at = Some(end + 2),
                (Some(mime_at), true) => {
                    let text = ByteString::try_from(data.slice(..end + 2)).ok()?;
                    return Some(Self { text, mime_at, headers, mime, body: data.slice(end + 2..) });
                }
                _ if headers.len() + mime.len() >= MAX_HEADERS => return None,
                (None, false) => headers.push(parse_header(line, at).ok()?),
                (Some(_), false) => mime.push(parse_mime(line, at).ok()?),
            }
            at = end + 2;
        }
    }

    fn parse_text(text: String, body: Bytes) -> Result<Self, ParseError> {
        let sections = Sections::find(text.as_bytes())
            .filter(|sections| sections.body_at == text.len())
            .ok_or(ParseError::new(text.len(), ParseErrorKind::Truncated, "an empty line"))?;
        Self::parse_sections(text.into(), &sections, body)
    }

    fn parse_sections(text: ByteString, sections: &Sections, body: Bytes) -> Result<Self, ParseError> {
        sections.lines.check(text.as_bytes())?;
        let (mut headers, mut mime) = (SmallVec::new(), SmallVec::new());
        for (start, end) in sections.lines.ranges().filter(|(start, end)| start < end) {
            if headers.len() + mime.len() >= MAX_HEADERS {
                return Err(ParseError::new(start, ParseErrorKind::TooLong, "fewer header fields"));
            }
            let line = text.as_bytes().get(start..end).unwrap_or_default();
            if start < sections.mime_at {
                headers.push(parse_header(line, start)?);
            } else {
                mime.push(parse_mime(line, start)?);
            }
        }
        Ok(Self { text, mime_at: sections.mime_at, headers, mime, body })
    }

    /// The bytes of the message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.text.len() + self.body.len());
        self.write_to(&mut out);
        out.freeze()
    }

    /// Appends the bytes of the message.
    pub fn write_to(&self, out: &mut BytesMut) {
        out.reserve(self.text.len() + self.body.len());
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(&self.body);
    }

    /// The message header fields in their order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.headers.iter().map(|f| Header {
            name: self.slice(&f.name),
            parameters: self.slice(&(f.name.end.saturating_add(1)..f.parameters)),
            raw: self.slice(&f.value),
        })
    }

    /// The first header field of this name, with its prefix as written; names are case-sensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Header<'_>> {
        self.headers().find(|h| h.name == name)
    }

    /// The header field `name` of a namespace, whatever prefix the sender gave that: RFC 3862 §3.4.
    #[must_use]
    pub fn header_in(&self, namespace: &str, name: &str) -> Option<Header<'_>> {
        let prefix = self.namespaces().find(|(_, uri)| *uri == namespace).map(|(prefix, _)| prefix)?;
        self.headers().find(|h| h.name.split_once('.') == Some((prefix, name)))
    }

    /// Prefixes and URIs of `NS`; the prefix is empty in a declaration without one.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers().filter(|h| h.name == "NS").filter_map(|h| {
            let (prefix, rest) = h.raw.split_once('<')?;
            Some((prefix.trim(), rest.trim_end().strip_suffix('>')?))
        })
    }

    /// `From`.
    #[must_use]
    pub fn from(&self) -> Option<Address> {
        self.header("From").and_then(|h| h.address())
    }

    /// All of `To`.
    pub fn to(&self) -> impl Iterator<Item = Address> {
        self.headers().filter(|h| h.name == "To").filter_map(|h| h.address())
    }

    /// All of `cc`.
    pub fn cc(&self) -> impl Iterator<Item = Address> {
        self.headers().filter(|h| h.name == "cc").filter_map(|h| h.address())
    }

    /// `DateTime` as written: RFC 3339.
    #[must_use]
    pub fn date_time(&self) -> Option<&str> {
        self.header("DateTime").map(|h| h.raw)
    }

    /// The subject in a language; without one, the first that names none.
    #[must_use]
    pub fn subject(&self, language: Option<&str>) -> Option<Cow<'_, str>> {
        self.headers().find(|h| h.name == "Subject" && h.parameter("lang") == language).map(|h| h.text())
    }

    /// The features that the receiver must understand: RFC 3862 §3.5 `Require`.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.headers().filter(|h| h.name == "Require").flat_map(|h| h.raw.split(',')).map(str::trim)
    }

    /// `Content-Type` of what is inside.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.mime("Content-Type")
    }

    /// A MIME header field of what is inside; names are compared without regard to case.
    #[must_use]
    pub fn mime(&self, name: &str) -> Option<&str> {
        self.mime_headers().find(|(label, _)| label.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All MIME header fields.
    pub fn mime_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.mime.iter().map(|f| (self.slice(&f.name), self.slice(&f.value)))
    }

    /// What is inside.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    fn slice(&self, range: &Range<u32>) -> &str {
        let range = usize::try_from(range.start).unwrap_or(usize::MAX)
            ..usize::try_from(range.end).unwrap_or(usize::MAX);
        self.text.get(range).unwrap_or_default()
    }
}

impl<'a> Header<'a> {
    /// The value with its escapes resolved: RFC 3862 §2.3.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        unescape(self.raw)
    }

    /// The value of a parameter, as written.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.split(';').find_map(|p| p.split_once('=').filter(|(n, _)| *n == name)).map(|(_, v)| v)
    }

    /// The value as an address.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let (name, rest) = self.raw.rsplit_once('<')?;
        let uri = rest.trim_end().strip_suffix('>')?;
        let name = name.trim();
        let name = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).unwrap_or(name);
        Some(Address { name: (!name.is_empty()).then(|| unescape(name).into_owned()), uri: uri.to_owned() })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.name {
            // RFC 3862 §3.6 Formal-name: tokens, or a string.
            if name.split(' ').all(|token| !token.is_empty() && token.chars().all(is_token_char)) {
                write!(f, "{name} ")?;
            } else {
                let mut escaped = String::new();
                escape_into(&mut escaped, name);
                write!(f, "\"{}\" ", escaped.replace('"', "\\\""))?;
            }
        }
        write!(f, "<{}>", self.uri)
    }
}

/// Message header fields, an empty line, MIME header fields, an empty line.
struct Sections {
    lines: Lines,
    mime_at: usize,
    body_at: usize,
}

impl Sections {
    fn find(data: &[u8]) -> Option<Self> {
        let mut lines = Lines::default();
        let (mut at, mut mime_at) = (0, None);
        for newline in memchr::memchr_iter(b'\n', data) {
            let line = data.get(at..newline).unwrap_or_default();
            at = newline + 1;
            lines.push(line.first().copied().unwrap_or_default(), at);
            if line == b"\r" {
                match mime_at {
                    None => mime_at = Some(at),
                    Some(mime_at) => return Some(Self { lines, mime_at, body_at: at }),
                }
            }
        }
        None
    }
}

/// `Header-name ":" *( ";" Parameter ) SP Header-value`, which begins at `at`.
fn parse_header(line: &[u8], at: usize) -> Result<Field, ParseError> {
    let error = |offset, what| Err(ParseError::new(at + offset, ParseErrorKind::Syntax, what));
    let Some(colon) = find_colon(line) else { return error(0, "a header field") };
    if !is_header_name(line.get(..colon).unwrap_or_default()) {
        return error(0, "the name of a header field");
    }
    let mut position = colon + 1;
    let mut quoted = false;
    if line.get(position) == Some(&b';') {
        loop {
            match line.get(position) {
                None if quoted => return error(position, "the end of a quoted string"),
                None => break,
                Some(b' ') if !quoted => break,
                Some(b'\\') if quoted => position += 1,
                Some(b'"') => quoted = !quoted,
                Some(_) => {}
            }
            position += 1;
        }
    }
    let position = position.min(line.len());
    let value = match line.get(position) {
        None => position,
        Some(b' ') => position + 1,
        Some(_) => return error(position, "a space"),
    };
    Ok(Field {
        name: range(at, at + colon),
        parameters: narrow(at + position),
        value: range(at + value, at + line.len()),
    })
}

/// A MIME header field, or the continuation of one, which begins at `at`.
fn parse_mime(line: &[u8], at: usize) -> Result<Field, ParseError> {
    if line.first().is_some_and(|b| is_blank(*b)) {
        return Ok(Field { name: range(at, at), parameters: 0, value: range(at, at + line.len()) });
    }
    let colon = find_colon(line)
        .filter(|colon| *colon > 0 && line.iter().take(*colon).all(u8::is_ascii_graphic))
        .ok_or(ParseError::new(at, ParseErrorKind::Syntax, "a MIME header field"))?;
    let (before, after) = blanks(line.get(colon + 1..).unwrap_or_default());
    let value = range(at + colon + 1 + before, at + line.len() - after);
    Ok(Field { name: range(at, at + colon), parameters: 0, value })
}

/// Offsets fit: header fields have at most [`MAX_HEAD`] bytes, and ours are written by a caller.
fn range(start: usize, end: usize) -> Range<u32> {
    narrow(start)..narrow(end)
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// `[ Name-prefix "." ] Name` of RFC 3862 §3.6.
fn is_header_name(name: &[u8]) -> bool {
    let rest = name.iter().position(|b| !is_name_byte(*b));
    match rest.map(|dot| name.split_at(dot)) {
        None => !name.is_empty(),
        Some((prefix, [b'.', name @ ..])) => !prefix.is_empty() && !name.is_empty() && NAME.has_all(name),
        Some(_) => false,
    }
}

/// `Name` of RFC 3862 §3.6.
fn is_name(name: &str) -> bool {
    !name.is_empty() && NAME.has_all(name.as_bytes())
}

static NAME: Class = Class::alphanumeric_and(b"!#$%&'*+-^_`|~");

fn is_name_byte(b: u8) -> bool {
    NAME.has(b)
}

fn is_token_char(c: char) -> bool {
    match u8::try_from(c) {
        Ok(b) if b.is_ascii() => is_name_byte(b) || b == b'.',
        _ => !c.is_control(),
    }
}

fn is_uri_byte(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\')
}

/// RFC 3862 §2.3.1: backslashes and control characters.
fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || c == '\u{7F}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// RFC 3862 §2.3: an unknown escape stands for its character, a lone backslash at the end for nothing.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let hex = after.get(1..5).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
                let character = hex.and_then(|h| u32::from_str_radix(h, 16).ok()).and_then(char::from_u32);
                match character {
                    Some(character) => {
                        out.push(character);
                        chars = after.get(5..).unwrap_or_default().chars();
                    }
                    None => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_round_trip() {
        let mut message = Message::new("text/plain", "x").unwrap();
        let text = "a\\b\tc\r\nd\u{1}\u{7f} \u{fc}\u{4f60}";
        message.push("Subject", text).unwrap();
        message.push_subject(Some("fr"), "beau").unwrap();
        let again = Message::parse(&message.to_bytes()).unwrap();
        assert_eq!(again.subject(None).as_deref(), Some(text));
        assert_eq!(again.subject(Some("fr")).as_deref(), Some("beau"));
        assert_eq!(unescape("\\u00fc\\x\\\"\\"), "\u{fc}x\"");
    }

    #[test]
    fn addresses() {
        let mut message = Message::new("text/plain", "x").unwrap();
        for (name, uri) in
            [(None, "sip:a@b"), (Some("Winnie the Pooh"), "im:p@w"), (Some("a \"b\" <c>\\"), "im:x@y")]
        {
            message.push_address("To", &Address { name: name.map(str::to_owned), uri: uri.into() }).unwrap();
        }
        let again = Message::parse(&message.to_bytes()).unwrap();
        let names: Vec<_> = again.to().map(|a| a.name).collect();
        assert_eq!(names, [None, Some("Winnie the Pooh".into()), Some("a \"b\" <c>\\".into())]);
        let evil = Address { name: None, uri: "im:x>\r\nFrom: <im:y".into() };
        assert_eq!(message.push_address("To", &evil), Err(UsageError::InvalidHeader));
    }

    #[test]
    fn namespaces_go_by_their_uri() {
        let data = Bytes::from_static(b"NS: x <urn:ietf:params:imdn>\r\nx.Message-ID: 42\r\n\r\n\r\nbody");
        let message = Message::parse(&data).unwrap();
        assert_eq!(message.header_in("urn:ietf:params:imdn", "Message-ID").map(|h| h.raw), Some("42"));
        assert_eq!(message.content_type(), None);
        assert_eq!(message.body(), "body");
    }

    #[test]
    fn refuses_what_is_malformed() {
        for text in [
            "",
            "From: <a:b>\r\n",
            "From: <a:b>\r\n\r\n",
            "no colon\r\n\r\n\r\n",
            "a b: c\r\n\r\n\r\n",
            "Subject:nospace\r\n\r\n\r\n",
            "A: \x01\r\n\r\n\r\n",
            "A: b\n\r\n\r\n\r\n",
        ] {
            assert!(Message::parse(&Bytes::from(text.to_owned())).is_err(), "{text:?}");
        }
    }
}
