//! Framing: where the start line, the header fields and the body of a message are.
//!
//! One pass with memchr finds the lines; nothing is copied and nothing is typed. What can be
//! repaired by answering (a limit, a bad Content-Length) is a *fault* that stays with the message
//! until [`crate::Message::validate`] asks, so that an answer can be built from what was read.

use crate::{ErrorKind, Limits, ParseError, grammar, header};
use smallvec::SmallVec;

/// A piece of a buffer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Messages longer than u32 are refused before a span is made.
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or(&[])
    }
}

/// One header field: its line with folds, and its name. Its value is found when it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// The line, its CRLF included.
    pub(crate) line: Span,
    /// Bytes of the name, which starts the line.
    pub(crate) name_len: u16,
    /// The id of the name, or [`header::UNKNOWN`].
    pub(crate) id: u8,
    /// Whether the offsets are into our own additions instead of the message read.
    pub(crate) own: bool,
}

impl Field {
    /// The name as written.
    #[inline]
    pub(crate) fn name(self, buffer: &[u8]) -> &[u8] {
        self.line.of(buffer).get(..usize::from(self.name_len)).unwrap_or(&[])
    }

    /// The value without white space around it.
    #[inline]
    pub(crate) fn value(self, buffer: &[u8]) -> &[u8] {
        let value = self.untrimmed(buffer);
        // As nearly everyone writes it: one space before it and nothing but CRLF behind.
        if let [b' ', value @ .., b'\r', b'\n'] = value
            && let [first, .., last] = value
            && first.is_ascii_graphic()
            && last.is_ascii_graphic()
        {
            return value;
        }
        value.trim_ascii()
    }

    /// Where the value starts in its buffer.
    pub(crate) fn value_start(self, buffer: &[u8]) -> usize {
        self.line.end as usize - self.untrimmed(buffer).trim_ascii_start().len()
    }

    /// What stands behind the colon.
    #[inline]
    fn untrimmed(self, buffer: &[u8]) -> &[u8] {
        let rest = self.line.of(buffer).get(usize::from(self.name_len)..).unwrap_or(&[]);
        match rest {
            [b':', value @ ..] => value,
            // White space may stand before the colon.
            _ => rest.trim_ascii_start().strip_prefix(b":").unwrap_or(&[]),
        }
    }
}

/// Fields of a message; most have no more than this.
pub(crate) type Fields = SmallVec<[Field; 32]>;

/// Where things are in a message.
#[derive(Debug)]
pub(crate) struct Index {
    /// The start line without CRLF.
    pub(crate) start_line: Span,
    pub(crate) fields: Fields,
    /// Where the body is.
    pub(crate) body: Span,
    /// The first thing wrong with the framing.
    pub(crate) fault: Option<ParseError>,
    /// What Content-Length says, if it says one thing.
    pub(crate) content_length: Option<u64>,
    /// The datagram ends behind the last header, without the empty line.
    pub(crate) unclosed: bool,
}

/// How many bytes of CR and LF stand before the message (RFC 3261 §7.5).
pub(crate) fn leading_crlf(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

impl Index {
    /// Indexes start line and headers; the body is the rest, or nothing if Content-Length is bad.
    pub(crate) fn head(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(ParseError::new(0, ErrorKind::TooLarge, "a message below 4 GiB"));
        }
        let start = leading_crlf(bytes);
        let mut scan = Scan::new(bytes, start, limits);
        let Some(eol) = scan.feeds.next().map(|lf| start + lf) else {
            return Err(ParseError::new(bytes.len(), ErrorKind::Truncated, "the end of the start line"));
        };
        let start_line = Span::new(start, scan.without_cr(start, eol));
        if start_line.range().len() > limits.line {
            scan.note(start, ErrorKind::UriTooLong, "a shorter start line");
        }
        let mut fields = Fields::new();
        let body_at = scan.fields(eol + 1, start.saturating_add(limits.head), &mut fields);
        let Scan { mut fault, unclosed, .. } = scan;
        let content_length = content_length(bytes, &fields);
        let end = if content_length.is_ok() { bytes.len() } else { body_at };
        let content_length = content_length.unwrap_or_else(|e| {
            fault.get_or_insert(e);
            None
        });
        let tolerated = unclosed && content_length.is_some();
        if unclosed && !tolerated {
            let what = "an empty line after the headers";
            fault.get_or_insert(ParseError::new(bytes.len(), ErrorKind::Truncated, what));
        }
        let unclosed = tolerated;
        Ok(Self { start_line, fields, body: Span::new(body_at, end), fault, content_length, unclosed })
    }

    /// Indexes the headers of a part of a body, which may have none; gives them and where the
    /// part's own body starts.
    pub(crate) fn part(bytes: &[u8], limits: &Limits) -> Result<(Fields, usize), ParseError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(ParseError::new(0, ErrorKind::TooLarge, "a part below 4 GiB"));
        }
        let mut scan = Scan::new(bytes, 0, limits);
        // A line end without CR is no fault in a body, nor is a missing empty line.
        let mut fields = Fields::new();
        let body_at = scan.fields(0, limits.head, &mut fields);
        match scan.fault {
            Some(fault) if matches!(fault.kind, ErrorKind::TooLarge) => Err(fault),
            _ => Ok((fields, body_at.min(bytes.len()))),
        }
    }

    /// Indexes a datagram: what is behind the headers is the body, as far as Content-Length says
    /// (RFC 3261 §18.3: more is discarded, less is an error).
    pub(crate) fn datagram(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let mut found = Self::head(bytes, limits)?;
        let body_at = found.body.start as usize;
        let there = found.body.range().len();
        if let Some(length) = found.content_length {
            match usize::try_from(length) {
                Ok(length) if length <= there => found.body = Span::new(body_at, body_at + length),
                Ok(length) if length - there <= MISCOUNTED && bytes.ends_with(b"\n") => {}
                _ => found.note(body_at, ErrorKind::Truncated, "a body as long as Content-Length says"),
            }
        }
        if found.body.range().len() > limits.body {
            found.note(body_at, ErrorKind::BodyTooLarge, "a shorter body");
        }
        Ok(found)
    }

    fn note(&mut self, at: usize, kind: ErrorKind, what: &'static str) {
        self.fault.get_or_insert(ParseError::new(at, kind, what));
    }
}

const VIA: u8 = header::HeaderName::VIA.id();
const CONTENT_LENGTH: u8 = header::HeaderName::CONTENT_LENGTH.id();

/// By how many bytes Content-Length may exceed a datagram that ends with a line end. A datagram
/// comes whole or not at all, so that these were not lost: who rewrites the addresses in a body and
/// forgets its length makes such messages. RFC 3261 §18.3 allows to answer them (SHOULD, not MUST,
/// refuse); what says more is refused.
const MISCOUNTED: usize = 64;

/// The one pass over the lines.
struct Scan<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    /// The line ends that are left, counted from `start`.
    feeds: memchr::Memchr<'a>,
    start: usize,
    fault: Option<ParseError>,
    /// The empty line after the headers is missing, and nothing else of them.
    unclosed: bool,
}

impl<'a> Scan<'a> {
    fn new(bytes: &'a [u8], start: usize, limits: &'a Limits) -> Self {
        let feeds = memchr::memchr_iter(b'\n', bytes.get(start..).unwrap_or(&[]));
        Self { bytes, limits, feeds, start, fault: None, unclosed: false }
    }

    #[cold]
    fn note(&mut self, at: usize, kind: ErrorKind, what: &'static str) {
        self.fault.get_or_insert(ParseError::new(at, kind, what));
    }

    /// Where the line from `start` to the LF at `eol` ends; a fault if no CR stands there.
    #[inline]
    fn without_cr(&mut self, start: usize, eol: usize) -> usize {
        if eol > start && self.bytes.get(eol - 1) == Some(&b'\r') {
            eol - 1
        } else {
            self.note(eol, ErrorKind::Syntax, "CRLF at the end of the line");
            eol
        }
    }

    /// Reads fields from `at` to the empty line; gives where the body starts.
    fn fields(&mut self, mut at: usize, head_end: usize, fields: &mut Fields) -> usize {
        let bytes = self.bytes;
        let mut vias = 0;
        loop {
            if at > head_end {
                self.note(at, ErrorKind::TooLarge, "a shorter header section");
                return bytes.len();
            }
            match bytes.get(at) {
                Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => return at + 2,
                Some(b'\n') => {
                    self.note(at, ErrorKind::Syntax, "CRLF at the end of the line");
                    return at + 1;
                }
                None => {
                    self.unclosed = true;
                    return bytes.len();
                }
                _ => {}
            }
            // A field goes on over the lines that start with white space (RFC 3261 §7.3.1).
            let (mut end, mut cut) = (at, false);
            loop {
                let Some(eol) = self.feeds.next().map(|lf| self.start + lf) else {
                    self.note(bytes.len(), ErrorKind::Truncated, "the end of the header field");
                    (end, cut) = (bytes.len(), true);
                    break;
                };
                self.without_cr(end, eol);
                end = eol + 1;
                if !matches!(bytes.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            if end - at > self.limits.line {
                self.note(at, ErrorKind::TooLarge, "a shorter header field");
            } else if fields.len() >= self.limits.fields {
                self.note(at, ErrorKind::TooLarge, "fewer header fields");
            } else if let Some(field) = field(bytes, at, end) {
                vias += usize::from(field.id == VIA);
                if vias > self.limits.vias {
                    self.note(at, ErrorKind::TooLarge, "fewer Via headers");
                } else {
                    fields.push(field);
                }
            } else {
                self.note(at, ErrorKind::Syntax, "a header name and ':'");
            }
            if cut {
                return end;
            }
            at = end;
        }
    }
}

/// The field in `at..end`. `None` if it has no name.
#[inline]
fn field(bytes: &[u8], at: usize, end: usize) -> Option<Field> {
    let line = bytes.get(at..end)?;
    let mut name_len = line.iter().position(|b| !grammar::is_token_byte(*b))?;
    if line.get(name_len) != Some(&b':') {
        // Something is odd: white space before the colon, or another character in the name.
        let colon = memchr::memchr(b':', line)?;
        name_len = line.get(..colon)?.trim_ascii_end().len();
    }
    let name = line.get(..name_len)?;
    let name_len = u16::try_from(name_len).ok().filter(|len| *len > 0)?;
    Some(Field { line: Span::new(at, end), name_len, id: header::lookup(name), own: false })
}

/// The one Content-Length, if there is one; two are refused even when they agree.
fn content_length(bytes: &[u8], fields: &Fields) -> Result<Option<u64>, ParseError> {
    let mut found = None;
    for field in fields.iter().filter(|f| f.id == CONTENT_LENGTH) {
        let at = field.value_start(bytes);
        if found.is_some() {
            return Err(ParseError::new(at, ErrorKind::Duplicate, "one Content-Length"));
        }
        let text = std::str::from_utf8(field.value(bytes)).unwrap_or("");
        let number = grammar::whole(text, "nothing after Content-Length", |t| {
            grammar::number(t, u64::MAX, "a Content-Length in digits")
        });
        found = Some(number.map_err(|e| e.moved(at))?);
    }
    Ok(found)
}
