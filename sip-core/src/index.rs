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

/// One header field: its line with folds, its name and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// The id of the name, or [`header::UNKNOWN`].
    pub(crate) id: u8,
    /// Whether the offsets are into our own additions instead of the message read.
    pub(crate) own: bool,
    /// Bytes of the name, which starts the line.
    pub(crate) name_len: u16,
    /// The line, its CRLF included.
    pub(crate) line: Span,
    /// The value without white space around it.
    pub(crate) value: Span,
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
}

/// The line ends of `bytes`, as offsets of LF.
fn line_feed(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr(b'\n', bytes.get(from..)?).map(|i| from + i)
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
        let mut fault = None;
        let mut note = |at, kind, what| {
            fault.get_or_insert(ParseError::new(at, kind, what));
        };
        let Some(eol) = line_feed(bytes, start) else {
            return Err(ParseError::new(bytes.len(), ErrorKind::Truncated, "the end of the start line"));
        };
        let (start_line, ok) = without_cr(bytes, start, eol);
        if !ok {
            note(eol, ErrorKind::Syntax, "CRLF at the end of the line");
        }
        if start_line.range().len() > limits.line {
            note(start, ErrorKind::UriTooLong, "a shorter start line");
        }
        let mut fields = Fields::new();
        let mut vias = 0;
        let mut at = eol + 1;
        let head_end = start.saturating_add(limits.head);
        let body_at = loop {
            if at > head_end {
                note(at, ErrorKind::TooLarge, "a shorter header section");
                break bytes.len();
            }
            match (bytes.get(at), bytes.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => break at + 2,
                (Some(b'\n'), _) => {
                    note(at, ErrorKind::Syntax, "CRLF at the end of the line");
                    break at + 1;
                }
                (None, _) => {
                    note(at, ErrorKind::Truncated, "an empty line after the headers");
                    break bytes.len();
                }
                _ => {}
            }
            // A field goes on over the lines that start with white space (RFC 3261 §7.3.1).
            let mut end = at;
            let (mut last, mut closed);
            loop {
                let Some(eol) = line_feed(bytes, end) else {
                    (last, closed, end) = (bytes.len(), false, bytes.len());
                    break;
                };
                let (line, ok) = without_cr(bytes, end, eol);
                if !ok {
                    note(eol, ErrorKind::Syntax, "CRLF at the end of the line");
                }
                (last, closed, end) = (line.end as usize, true, eol + 1);
                if !matches!(bytes.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            if !closed {
                note(end, ErrorKind::Truncated, "the end of the header field");
            }
            if end - at > limits.line {
                note(at, ErrorKind::TooLarge, "a shorter header field");
            } else if fields.len() >= limits.fields {
                note(at, ErrorKind::TooLarge, "fewer header fields");
            } else if let Some(field) = field(bytes, at, last, end) {
                vias += usize::from(field.id == VIA);
                if vias > limits.vias {
                    note(at, ErrorKind::TooLarge, "fewer Via headers");
                } else {
                    fields.push(field);
                }
            } else {
                note(at, ErrorKind::Syntax, "a header name and ':'");
            }
            at = end;
        };
        let content_length = match content_length(bytes, &fields) {
            Ok(length) => length,
            Err(e) => {
                note(e.at, e.kind, e.what);
                return Ok(Index {
                    start_line,
                    fields,
                    body: Span::new(body_at, body_at),
                    fault,
                    content_length: None,
                });
            }
        };
        let body = Span::new(body_at, bytes.len());
        Ok(Index { start_line, fields, body, fault, content_length })
    }

    /// Indexes a datagram: what is behind the headers is the body, as far as Content-Length says
    /// (RFC 3261 §18.3: more is discarded, less is an error).
    pub(crate) fn datagram(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let mut found = Self::head(bytes, limits)?;
        let body_at = found.body.start as usize;
        if let Some(length) = found.content_length {
            match usize::try_from(length) {
                Ok(length) if length <= found.body.range().len() => {
                    found.body = Span::new(body_at, body_at + length)
                }
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

/// The line from `start` to the LF at `eol`, and whether a CR stands before that.
fn without_cr(bytes: &[u8], start: usize, eol: usize) -> (Span, bool) {
    if eol > start && bytes.get(eol - 1) == Some(&b'\r') {
        (Span::new(start, eol - 1), true)
    } else {
        (Span::new(start, eol), false)
    }
}

/// The field in `at..end`, whose text ends at `last`. `None` if it has no name.
pub(crate) fn field(bytes: &[u8], at: usize, last: usize, end: usize) -> Option<Field> {
    let text = bytes.get(at..last)?;
    let colon = memchr::memchr(b':', text)?;
    let name = text.get(..colon)?.trim_ascii_end();
    let name_len = u16::try_from(name.len()).ok().filter(|len| *len > 0)?;
    let value = text.get(colon + 1..)?;
    let trimmed = value.trim_ascii_start();
    let start = last - trimmed.len();
    let value = Span::new(start, start + trimmed.trim_ascii_end().len());
    Some(Field { id: header::lookup(name), own: false, name_len, line: Span::new(at, end), value })
}

/// The one Content-Length, if there is one; two are refused even when they agree.
fn content_length(bytes: &[u8], fields: &Fields) -> Result<Option<u64>, ParseError> {
    let mut found = None;
    for field in fields.iter().filter(|f| f.id == CONTENT_LENGTH) {
        let at = field.value.start as usize;
        if found.is_some() {
            return Err(ParseError::new(at, ErrorKind::Duplicate, "one Content-Length"));
        }
        let text = std::str::from_utf8(field.value.of(bytes)).unwrap_or("");
        let number = grammar::whole(text, "nothing after Content-Length", |t| {
            grammar::number(t, u64::MAX, "a Content-Length in digits")
        });
        found = Some(number.map_err(|e| e.moved(at))?);
    }
    Ok(found)
}
