//! Framing: where the start line, the header fields and the body of a message are.
//!
//! One pass finds the lines; nothing is copied and nothing is typed. What can be
//! repaired by answering (a limit, a bad Content-Length) is a *fault* that stays with the message
//! until [`crate::Message::validate`] asks, so that an answer can be built from what was read.

use crate::{ErrorKind, Limits, ParseError, grammar, header, swar};
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
        buffer.get(self.value_range(buffer)).unwrap_or(&[])
    }

    /// [`Self::value`] of a buffer that is a text, if it is written as nearly everyone does.
    #[inline]
    pub(crate) fn usual_text(self, buffer: &str) -> Option<&str> {
        buffer.get(self.usual_range(buffer.as_bytes())?)
    }

    /// Where the value starts in its buffer.
    pub(crate) fn value_start(self, buffer: &[u8]) -> usize {
        self.value_range(buffer).start
    }

    /// Where the value is in its buffer.
    #[inline]
    pub(crate) fn value_range(self, buffer: &[u8]) -> std::ops::Range<usize> {
        self.usual_range(buffer).unwrap_or_else(|| self.odd_value_range(self.line.of(buffer)))
    }

    /// The same, as nearly everyone writes it: one space before it and nothing but CRLF behind.
    #[inline]
    fn usual_range(self, buffer: &[u8]) -> Option<std::ops::Range<usize>> {
        let line = buffer.get(self.line.range())?;
        let [b':', b' ', value @ .., b'\r', b'\n'] = line.get(usize::from(self.name_len)..)? else {
            return None;
        };
        let (first, last) = (value.first()?, value.last()?);
        let start = self.line.start as usize + usize::from(self.name_len) + 2;
        (first.is_ascii_graphic() && last.is_ascii_graphic()).then(|| start..start + value.len())
    }

    #[inline(never)]
    fn odd_value_range(self, line: &[u8]) -> std::ops::Range<usize> {
        // White space may stand before the colon.
        let rest = line.get(usize::from(self.name_len)..).unwrap_or(&[]).trim_ascii_start();
        let value = rest.strip_prefix(b":").unwrap_or(&[]);
        let trimmed = value.trim_ascii_start();
        let start = self.line.end as usize - trimmed.len();
        start..start + trimmed.trim_ascii_end().len()
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
        let Some(end) = scan.start_line() else {
            return Err(ParseError::new(bytes.len(), ErrorKind::Truncated, "the end of the start line"));
        };
        let line_end = if bytes.get(start..end).is_some_and(|line| line.ends_with(b"\r\n")) { 2 } else { 1 };
        let start_line = Span::new(start, end - line_end);
        if start_line.range().len() > limits.line {
            scan.note(start, ErrorKind::UriTooLong, "a shorter start line");
        }
        let mut fields = Fields::new();
        let body_at = scan.fields(end, start.saturating_add(limits.head), &mut fields);
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
    feeds: swar::LineEnds<'a>,
    start: usize,
    /// Via fields so far.
    vias: usize,
    fault: Option<ParseError>,
    /// The empty line after the headers is missing, and nothing else of them.
    unclosed: bool,
}

impl<'a> Scan<'a> {
    fn new(bytes: &'a [u8], start: usize, limits: &'a Limits) -> Self {
        let feeds = swar::LineEnds::new(bytes.get(start..).unwrap_or(&[]));
        Self { bytes, limits, feeds, start, vias: 0, fault: None, unclosed: false }
    }

    #[cold]
    fn note(&mut self, at: usize, kind: ErrorKind, what: &'static str) {
        self.fault.get_or_insert(ParseError::new(at, kind, what));
    }

    /// A fault if no CR stands before the LF of the line in `at..end`.
    #[inline]
    fn check_line_end(&mut self, at: usize, end: usize) {
        if !self.bytes.get(at..end).is_some_and(|line| line.ends_with(b"\r\n")) {
            self.note(end - 1, ErrorKind::Syntax, "CRLF at the end of the line");
        }
    }

    /// Where the start line ends, its LF included.
    fn start_line(&mut self) -> Option<usize> {
        let end = self.start + self.feeds.next()? + 1;
        self.check_line_end(self.start, end);
        Some(end)
    }

    /// Reads fields from `at` to the empty line; gives where the body starts.
    fn fields(&mut self, mut at: usize, head_end: usize, fields: &mut Fields) -> usize {
        let (bytes, start) = (self.bytes, self.start);
        // A copy, so that it stays in registers.
        let mut feeds = self.feeds.clone();
        loop {
            if at > head_end {
                self.note(at, ErrorKind::TooLarge, "a shorter header section");
                return bytes.len();
            }
            let Some(lf) = feeds.next() else { return self.cut(at, fields) };
            let mut end = start + lf + 1;
            let line = bytes.get(at..end).unwrap_or(&[]);
            if !line.ends_with(b"\r\n") {
                self.note(end - 1, ErrorKind::Syntax, "CRLF at the end of the line");
            }
            if let b"\r\n" | b"\n" = line {
                return end;
            }
            if matches!(bytes.get(end), Some(b' ' | b'\t')) {
                match self.folded(feeds.clone(), end) {
                    Some(folded) => (feeds, end) = folded,
                    None => return self.cut(at, fields),
                }
            }
            self.push(at, end, fields);
            at = end;
        }
    }

    /// A field goes on over the lines that start with white space (RFC 3261 §7.3.1): where it ends,
    /// and what line ends are left then. `None` if it does not.
    #[inline(never)]
    fn folded(
        &mut self,
        mut feeds: swar::LineEnds<'a>,
        mut end: usize,
    ) -> Option<(swar::LineEnds<'a>, usize)> {
        while matches!(self.bytes.get(end), Some(b' ' | b'\t')) {
            let next = self.start + feeds.next()? + 1;
            self.check_line_end(end, next);
            end = next;
        }
        Some((feeds, end))
    }

    /// There is no line end behind `at`: the field there is the last, if there is one.
    #[cold]
    fn cut(&mut self, at: usize, fields: &mut Fields) -> usize {
        let end = self.bytes.len();
        if at >= end {
            self.unclosed = true;
        } else {
            self.note(end, ErrorKind::Truncated, "the end of the header field");
            self.push(at, end, fields);
        }
        end
    }

    /// Takes the field in `at..end`, or notes why not.
    #[inline(always)]
    fn push(&mut self, at: usize, end: usize, fields: &mut Fields) {
        if end - at > self.limits.line {
            return self.note(at, ErrorKind::TooLarge, "a shorter header field");
        }
        if fields.len() >= self.limits.fields {
            return self.note(at, ErrorKind::TooLarge, "fewer header fields");
        }
        let Some(field) = field(self.bytes, at, end) else {
            return self.note(at, ErrorKind::Syntax, "a header name and ':'");
        };
        if field.id == VIA {
            self.vias += 1;
            if self.vias > self.limits.vias {
                return self.note(at, ErrorKind::TooLarge, "fewer Via headers");
            }
        }
        fields.push(field);
    }
}

/// The field in `at..end`. `None` if it has no name.
#[inline]
fn field(bytes: &[u8], at: usize, end: usize) -> Option<Field> {
    let line = bytes.get(at..end)?;
    if let Some((id, name_len)) = header::usual(line) {
        return Some(Field { line: Span::new(at, end), name_len, id, own: false });
    }
    let mut name = line.get(..swar::find(line, b':')?)?;
    let mut id = header::lookup(name);
    if id == header::UNKNOWN {
        // Perhaps something is odd: white space before the colon.
        name = name.trim_ascii_end();
        id = header::lookup(name);
    }
    let name_len = u16::try_from(name.len()).ok().filter(|len| *len > 0)?;
    Some(Field { line: Span::new(at, end), name_len, id, own: false })
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
