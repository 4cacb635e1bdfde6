//! The start line and the header fields of a request or response.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use super::decoder::end_line;
use super::header::{ByteRange, FailureReport, HeaderName, Status, code_of};
use super::message::Flag;
use crate::error::{ParseError, ParseErrorKind, UsageError};
use crate::ident::{is_ident, is_ident_byte};
use crate::scan::{Lines, blanks, find_colon, plain_line};
use crate::uri::{MsrpUri, is_token};

/// The start line and header fields, kept as the text that was read; values are slices of it and are
/// given a type when asked for. Unknown header fields survive.
#[derive(Debug, Clone)]
pub struct Head {
    /// All lines, each with its CRLF.
    text: Text,
    id: Range<u32>,
    start: StartLine,
    fields: Fields,
}

/// Of one's own, or part of a larger buffer.
#[derive(Debug, Clone)]
enum Text {
    Owned(String),
    Shared(ByteString),
}

pub(super) type Fields = SmallVec<[Field; 8]>;

/// Two heads are equal if they print alike.
impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Head {}

#[derive(Debug, Clone)]
enum StartLine {
    Request(Method, Range<u32>),
    Response(u16, Range<u32>),
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    name: HeaderName,
    label: Range<u32>,
    value: Range<u32>,
}

/// What a start line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request; the name of the method is there also where it is not known.
    Request(Method, &'a str),
    /// A response: its code and its comment, which may be empty.
    Response(u16, &'a str),
}

/// The methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Content, RFC 4975.
    Send,
    /// What became of content, RFC 4975.
    Report,
    /// Asks a relay for a URI, RFC 4976.
    Auth,
    /// Asks a conference for a name, RFC 7701.
    Nickname,
    /// Any other; to be answered with 501.
    Other,
}

impl Method {
    fn lookup(name: &[u8]) -> Self {
        match name {
            b"SEND" => Self::Send,
            b"REPORT" => Self::Report,
            b"AUTH" => Self::Auth,
            b"NICKNAME" => Self::Nickname,
            _ => Self::Other,
        }
    }

    /// The name as printed; empty for [`Method::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "SEND",
            Self::Report => "REPORT",
            Self::Auth => "AUTH",
            Self::Nickname => "NICKNAME",
            Self::Other => "",
        }
    }
}

impl Head {
    /// A request without header fields.
    ///
    /// # Errors
    /// If `id` is no `ident`.
    pub fn request(id: &str, method: Method) -> Result<Self, UsageError> {
        if !is_ident(id) || method == Method::Other {
            return Err(UsageError::InvalidIdentifier);
        }
        let mut text = String::with_capacity(384);
        text.push_str("MSRP ");
        let id = append(&mut text, id);
        text.push(' ');
        let name = append(&mut text, method.as_str());
        text.push_str("\r\n");
        Ok(Self {
            text: Text::Owned(text),
            id,
            start: StartLine::Request(method, name),
            fields: Fields::new(),
        })
    }

    /// A response without header fields.
    ///
    /// # Errors
    /// If `id` is no `ident`, or the code has not three digits.
    pub fn response(id: &str, code: u16, comment: &str) -> Result<Self, UsageError> {
        if !is_ident(id) || !(100..=999).contains(&code) {
            return Err(UsageError::InvalidIdentifier);
        }
        if !is_text(comment) {
            return Err(UsageError::InvalidHeader);
        }
        let mut text = String::with_capacity(256);
        text.push_str("MSRP ");
        let id = append(&mut text, id);
        text.push(' ');
        text.push_str(&code.to_string());
        let comment = if comment.is_empty() {
            0..0
        } else {
            text.push(' ');
            append(&mut text, comment)
        };
        text.push_str("\r\n");
        let start = StartLine::Response(code, comment);
        Ok(Self { text: Text::Owned(text), id, start, fields: Fields::new() })
    }

    /// Appends a header field that the crate knows.
    ///
    /// # Errors
    /// If the value holds a line end or another control character.
    pub fn push(&mut self, name: HeaderName, value: &str) -> Result<(), UsageError> {
        self.push_named(name, name.as_str(), value)
    }

    /// Appends any header field.
    ///
    /// # Errors
    /// If the name is no token or the value holds a line end or another control character.
    pub fn push_other(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        self.push_named(HeaderName::lookup(name.as_bytes()), name, value)
    }

    fn push_named(&mut self, name: HeaderName, label: &str, value: &str) -> Result<(), UsageError> {
        if !is_token(label) || label.contains(':') || !is_text(value) {
            return Err(UsageError::InvalidHeader);
        }
        let mut text = match std::mem::replace(&mut self.text, Text::Owned(String::new())) {
            Text::Owned(text) => text,
            Text::Shared(text) => text.to_string(),
        };
        let label = append(&mut text, label);
        text.push_str(": ");
        let value = append(&mut text, value);
        text.push_str("\r\n");
        self.text = Text::Owned(text);
        self.fields.push(Field { name, label, value });
        Ok(())
    }

    /// Reads a start line and header fields, each with its line end, and nothing else.
    ///
    /// A line that begins with a space continues the one before it: RFC 4976 prints its long header fields so.
    ///
    /// # Errors
    /// If a line is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        Self::of_bytes(bytes, &Lines::of(bytes)?, usize::MAX)
    }

    /// Reads a head whose lines are found already.
    pub(super) fn of_bytes(bytes: &[u8], lines: &Lines, max_headers: usize) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| ParseError::new(e.valid_up_to(), ParseErrorKind::Utf8, "UTF-8 in a header"))?;
        if u32::try_from(text.len()).is_err() {
            return Err(ParseError::new(0, ParseErrorKind::TooLong, "a head below 4 GiB"));
        }
        if lines.folded {
            let text = unfold(text);
            let lines = Lines::of(text.as_bytes())?;
            return Self::parse_lines(text, &lines, max_headers);
        }
        Self::parse_lines(text.to_owned(), lines, max_headers)
    }

    fn parse_lines(text: String, lines: &Lines, max_headers: usize) -> Result<Self, ParseError> {
        lines.check(text.as_bytes())?;
        let mut ranges = lines.ranges();
        let (first, end) =
            ranges.next().ok_or(ParseError::new(0, ParseErrorKind::Truncated, "a start line"))?;
        let (id, start) = parse_start(text.as_bytes().get(first..end).unwrap_or_default(), first)?;
        let mut fields = Fields::new();
        for (start, end) in ranges {
            if fields.len() >= max_headers {
                return Err(ParseError::new(start, ParseErrorKind::TooLong, "fewer header fields"));
            }
            fields.push(parse_field(text.as_bytes().get(start..end).unwrap_or_default(), start)?);
        }
        Ok(Self { text: Text::Owned(text), id, start, fields })
    }

    /// A head that was found in one pass, with its text.
    pub(super) fn of_plain(text: Bytes, plain: &Plain, fields: Fields) -> Result<Self, ParseError> {
        let text = ByteString::try_from(text)
            .map_err(|_| ParseError::new(0, ParseErrorKind::Utf8, "UTF-8 in a header"))?;
        Ok(Self { text: Text::Shared(text), id: plain.id.clone(), start: plain.start.clone(), fields })
    }

    /// The transaction identifier.
    #[must_use]
    pub fn transaction_id(&self) -> &str {
        self.slice(&self.id)
    }

    /// What the start line says.
    #[must_use]
    pub fn start(&self) -> Start<'_> {
        match &self.start {
            StartLine::Request(method, name) => Start::Request(*method, self.slice(name)),
            StartLine::Response(code, comment) => Start::Response(*code, self.slice(comment)),
        }
    }

    /// The method, if this is a request.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        match &self.start {
            StartLine::Request(method, _) => Some(*method),
            StartLine::Response(..) => None,
        }
    }

    /// The first value of a header field that the crate knows.
    #[must_use]
    pub fn get(&self, name: HeaderName) -> Option<&str> {
        self.fields.iter().find(|f| f.name == name).map(|f| self.slice(&f.value))
    }

    /// The first value of any header field; names are compared without regard to case.
    #[must_use]
    pub fn get_named(&self, name: &str) -> Option<&str> {
        self.headers().find(|(label, _)| label.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All header fields in their order, with the names as printed.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|f| (self.slice(&f.label), self.slice(&f.value)))
    }

    /// `To-Path`.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn to_path(&self) -> Result<Vec<MsrpUri>, ParseError> {
        self.path(HeaderName::ToPath)
    }

    /// `From-Path`.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn from_path(&self) -> Result<Vec<MsrpUri>, ParseError> {
        self.path(HeaderName::FromPath)
    }

    /// Any header field that holds a path.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn path(&self, name: HeaderName) -> Result<Vec<MsrpUri>, ParseError> {
        MsrpUri::parse_path(self.get(name).ok_or(ParseError::new(0, ParseErrorKind::Missing, "a path"))?)
    }

    /// `Message-ID`.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.get(HeaderName::MessageId)
    }

    /// `Byte-Range`, if there is one.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn byte_range(&self) -> Result<Option<ByteRange>, ParseError> {
        self.get(HeaderName::ByteRange).map(str::parse).transpose()
    }

    /// `Success-Report`; RFC 4975 §7.1.1 takes its absence, and we take an unknown value, as no.
    #[must_use]
    pub fn success_report(&self) -> bool {
        self.get(HeaderName::SuccessReport).is_some_and(|v| v.eq_ignore_ascii_case("yes"))
    }

    /// `Failure-Report`; RFC 4975 §7.1.1 takes its absence, and we take an unknown value, as yes.
    #[must_use]
    pub fn failure_report(&self) -> FailureReport {
        match self.get(HeaderName::FailureReport) {
            Some(v) if v.eq_ignore_ascii_case("no") => FailureReport::No,
            Some(v) if v.eq_ignore_ascii_case("partial") => FailureReport::Partial,
            _ => FailureReport::Yes,
        }
    }

    /// `Status` of a REPORT.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn status(&self) -> Result<Status, ParseError> {
        self.get(HeaderName::Status)
            .ok_or(ParseError::new(0, ParseErrorKind::Missing, "a Status header field"))?
            .parse()
    }

    /// `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.get(HeaderName::ContentType)
    }

    /// The text as it goes over the wire, up to where the empty line or the end-line follows.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Owned(text) => text,
            Text::Shared(text) => text,
        }
    }

    fn slice(&self, range: &Range<u32>) -> &str {
        self.as_str().get(widen(range)).unwrap_or_default()
    }
}

/// A head as nearly all are written: printable ASCII in lines that are not folded.
pub(super) struct Plain {
    id: Range<u32>,
    start: StartLine,
    /// The length of the head.
    pub(super) text: usize,
    /// Where what is behind the empty line or the end-line begins.
    pub(super) after: usize,
    /// The flag of the end-line; none: an empty line and a body.
    pub(super) ended: Option<Flag>,
}

impl Plain {
    /// Reads the head that `data` begins with in one pass. `None` says nothing against it: it may not be whole, or written
    /// otherwise.
    pub(super) fn read(data: &[u8], max_headers: usize, fields: &mut Fields) -> Option<Self> {
        let mut at = plain_line(data, 0)?;
        let (id, start) = parse_start(data.get(..at)?, 0).ok()?;
        let id_bytes = data.get(widen(&id))?;
        loop {
            at += 2;
            let end = plain_line(data, at)?;
            let line = data.get(at..end)?;
            let ended = match line.first() {
                None => Some(None),
                Some(b' ') => return None,
                Some(b'-') => end_line(data.get(at..end + 2)?, id_bytes).map(Some),
                Some(_) => None,
            };
            if let Some(ended) = ended {
                return Some(Self { id, start, text: at, after: end + 2, ended });
            }
            if fields.len() >= max_headers {
                return None;
            }
            fields.push(field(line, at)?);
            at = end;
        }
    }

    pub(super) fn id<'d>(&self, data: &'d [u8]) -> &'d [u8] {
        data.get(widen(&self.id)).unwrap_or_default()
    }
}

fn append(text: &mut String, part: &str) -> Range<u32> {
    let start = narrow(text.len());
    text.push_str(part);
    start..narrow(text.len())
}

/// Offsets fit: the parser refuses heads of 4 GiB and builders do not reach them.
#[inline]
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn widen(range: &Range<u32>) -> Range<usize> {
    usize::try_from(range.start).unwrap_or(usize::MAX)..usize::try_from(range.end).unwrap_or(usize::MAX)
}

/// Reads a start line, which begins at `at`.
fn parse_start(line: &[u8], at: usize) -> Result<(Range<u32>, StartLine), ParseError> {
    let syntax = |offset, what| ParseError::new(at + offset, ParseErrorKind::Syntax, what);
    let Some(rest) = line.strip_prefix(b"MSRP ") else {
        return Err(syntax(0, "MSRP and a space"));
    };
    let id_length = rest.iter().take_while(|b| is_ident_byte(**b)).count();
    let begins_well = rest.first().is_some_and(u8::is_ascii_alphanumeric);
    if rest.get(id_length) != Some(&b' ') || !(4..=32).contains(&id_length) || !begins_well {
        let what = match rest.contains(&b' ') {
            true => "a transaction identifier of 4 to 32 characters",
            false => "a transaction identifier and a space",
        };
        return Err(syntax(5, what));
    }
    let what_at = 5 + id_length + 1;
    let what = line.get(what_at..).unwrap_or_default();
    let range = |from: usize, to: usize| narrow(at + from)..narrow(at + to);
    let id = range(5, 5 + id_length);
    if !what.is_empty() && what.iter().all(u8::is_ascii_uppercase) {
        return Ok((id, StartLine::Request(Method::lookup(what), range(what_at, line.len()))));
    }
    let (code, comment_at) = match what.iter().position(|b| *b == b' ') {
        Some(length) => (what.get(..length).unwrap_or_default(), what_at + length + 1),
        None => (what, line.len()),
    };
    let code = code_of(code).ok_or_else(|| syntax(what_at, "a method or a status code"))?;
    Ok((id, StartLine::Response(code, range(comment_at, line.len()))))
}

/// Reads a header field, which begins at `at`.
fn parse_field(line: &[u8], at: usize) -> Result<Field, ParseError> {
    let what = if find_colon(line).is_none() { "a header field" } else { "the name of a header field" };
    field(line, at).ok_or(ParseError::new(at, ParseErrorKind::Syntax, what))
}

fn field(line: &[u8], at: usize) -> Option<Field> {
    let colon = find_colon(line)?;
    let (label, value) = line.split_at_checked(colon)?;
    let name = HeaderName::lookup(label);
    if name == HeaderName::Other && (label.is_empty() || !label.iter().all(u8::is_ascii_graphic)) {
        return None;
    }
    let (before, after) = blanks(value.get(1..)?);
    let end = at + line.len();
    Some(Field {
        name,
        label: narrow(at)..narrow(at + colon),
        value: narrow(at + colon + 1 + before)..narrow(end - after),
    })
}

/// Joins continuation lines with one space; a backslash before the line end, as RFC 4976 prints it, goes.
fn unfold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive("\r\n") {
        if line.starts_with([' ', '\t']) && !out.is_empty() {
            let kept = out.trim_end_matches("\r\n");
            let kept = kept.strip_suffix('\\').unwrap_or(kept).trim_end_matches([' ', '\t']).len();
            out.truncate(kept);
            out.push(' ');
            out.push_str(line.trim_start_matches([' ', '\t']));
        } else {
            out.push_str(line);
        }
    }
    out
}

/// `utf8text` of RFC 4975 §9.
fn is_text(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7F))
}

pub(crate) fn id_bytes(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"MSRP ")?;
    let end = memchr::memchr(b' ', rest)?;
    let id = rest.get(..end)?;
    ((4..=32).contains(&id.len()) && id.iter().all(|b| is_ident_byte(*b))).then_some(id)
}
