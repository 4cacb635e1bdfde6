//! The incremental decoder: bytes of a stream in, heads, slices of bodies and ends out.
//!
//! ```text
//!            line by line          "\r\n-------id$\r\n" searched for
//!   bytes --> [ head ] -- empty line --> [ body ] -- end-line --> [ head ] ...
//!                 `------- end-line -------------------------------^
//! ```
//! Whatever the pieces in which the bytes arrive, what comes out is the same but for where
//! bodies are cut. At most the head and 43 bytes of a body are kept.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::head::{Fields, Head, Plain, id_bytes};
use super::message::Flag;
use crate::error::{ParseError, ParseErrorKind};
use crate::scan::Lines;

/// Caps of a [`Decoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Bytes of start line and header fields.
    pub max_head: usize,
    /// Number of header fields.
    pub max_headers: usize,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self { max_head: 16 * 1024, max_headers: 64 }
    }
}

/// What a [`Decoder`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A request or response begins.
    Head(Head),
    /// The next bytes of its body, never empty.
    Body(&'a [u8]),
    /// It ends.
    End(Flag),
}

/// Cuts a stream into [`Piece`]s.
#[derive(Debug, Clone)]
pub struct Decoder {
    limits: DecoderLimits,
    state: State,
    /// The head as far as it has arrived.
    head: Vec<u8>,
    /// Where in `head` the current line begins.
    line: usize,
    /// The lines before it.
    lines: Lines,
    id: Vec<u8>,
    /// Bytes of a body that may be the beginning of its end-line.
    held: Vec<u8>,
    /// How many of the held bytes belong to the empty line and not to the body.
    borrowed: usize,
    emitted: Vec<u8>,
    had_body: bool,
    position: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body,
    Ended(Flag),
    Failed(ParseError),
}

enum Step {
    Again,
    NeedMore,
    Head(Box<Head>),
    Emitted,
    Direct { skip: usize, body: usize, consume: usize },
    End(Flag),
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new(limits: DecoderLimits) -> Self {
        Self {
            limits,
            state: State::Head,
            head: Vec::new(),
            line: 0,
            lines: Lines::default(),
            id: Vec::new(),
            held: Vec::new(),
            borrowed: 0,
            emitted: Vec::new(),
            had_body: false,
            position: 0,
        }
    }

    /// Takes bytes off the front of `input` and gives the next piece; `None` if it needs more.
    ///
    /// # Errors
    /// If the framing is lost: there is no way to go on, every later call gives the same error.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Piece<'s>>, ParseError> {
        loop {
            if self.state == State::Head
                && let Some(head) = self.plain_head(input)
            {
                return Ok(Some(Piece::Head(head)));
            }
            let step = match self.step(input) {
                Ok(step) => step,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            };
            match step {
                Step::Again => {}
                Step::NeedMore => return Ok(None),
                Step::Head(head) => return Ok(Some(Piece::Head(*head))),
                Step::End(flag) => return Ok(Some(Piece::End(flag))),
                Step::Emitted => return Ok(Some(Piece::Body(&self.emitted))),
                Step::Direct { skip, body, consume } => {
                    let slice = input.get(skip..body).unwrap_or_default();
                    self.consume(input, consume);
                    if !slice.is_empty() {
                        return Ok(Some(Piece::Body(slice)));
                    }
                }
            }
        }
    }

    /// Whether the request or response that ended last had a body, empty or not.
    #[must_use]
    pub fn last_had_body(&self) -> bool {
        self.had_body
    }

    /// Whether the stream stands between two messages.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.state == State::Head && self.head.is_empty()
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Step, ParseError> {
        match self.state {
            State::Failed(error) => Err(error),
            State::Ended(flag) => {
                self.state = State::Head;
                Ok(Step::End(flag))
            }
            _ if input.is_empty() => Ok(Step::NeedMore),
            State::Head => self.step_head(input),
            State::Body if self.held.is_empty() => Ok(self.step_body(input)),
            State::Body => Ok(self.step_held(input)),
        }
    }

    fn step_head(&mut self, input: &mut &[u8]) -> Result<Step, ParseError> {
        let (len, complete) = match memchr::memchr(b'\n', input) {
            Some(end) => (end + 1, true),
            None => (input.len(), false),
        };
        if self.head.len() + len > self.limits.max_head {
            return Err(self.error(ParseErrorKind::TooLong, "a shorter head"));
        }
        self.head.extend_from_slice(input.get(..len).unwrap_or_default());
        self.consume(input, len);
        if !complete {
            // What does not begin with MSRP need not be read to the end of its line.
            let begin = self.head.get(..self.head.len().min(5)).unwrap_or_default();
            if self.line == 0 && !b"MSRP ".starts_with(begin) && !b"\r\n".starts_with(begin) {
                return Err(self.error(ParseErrorKind::Syntax, "MSRP and a space"));
            }
            return Ok(Step::NeedMore);
        }
        let line = self.head.get(self.line..).unwrap_or_default();
        if self.line == 0 {
            if line == b"\r\n" {
                // Some peers keep a connection alive with empty lines between messages.
                self.head.clear();
                return Ok(Step::Again);
            }
            let Some(id) = id_bytes(line) else {
                return Err(self.error(ParseErrorKind::Syntax, "MSRP and a transaction identifier"));
            };
            self.id.clear();
            self.id.extend_from_slice(id);
        } else if line == b"\r\n" {
            self.held.extend_from_slice(b"\r\n");
            self.borrowed = 2;
            self.had_body = true;
            self.state = State::Body;
            return self.finish_head();
        } else if let Some(flag) = end_line(line, &self.id) {
            self.had_body = false;
            self.state = State::Ended(flag);
            return self.finish_head();
        }
        self.lines.push(line.first().copied().unwrap_or_default(), self.head.len());
        self.line = self.head.len();
        Ok(Step::Again)
    }

    fn finish_head(&mut self) -> Result<Step, ParseError> {
        let text = self.head.get(..self.line).unwrap_or_default();
        let base = self.position.saturating_sub(u64::try_from(self.head.len()).unwrap_or(0));
        let head = Head::of_bytes(text, &self.lines, self.limits.max_headers).map_err(|e| e.moved(base))?;
        self.lines.clear();
        self.head.clear();
        self.line = 0;
        Ok(Step::Head(Box::new(head)))
    }

    /// Reads a head as nearly all are, if it has arrived whole; `None` says nothing against it.
    fn plain_head(&mut self, input: &mut &[u8]) -> Option<Head> {
        if !self.head.is_empty() || input.is_empty() {
            return None;
        }
        let data = input.get(..input.len().min(self.limits.max_head))?;
        let mut fields = Fields::new();
        let plain = Plain::read(data, self.limits.max_headers, &mut fields)?;
        let head = Head::of_plain(Bytes::copy_from_slice(data.get(..plain.text)?), &plain, fields).ok()?;
        self.had_body = plain.ended.is_none();
        match plain.ended {
            Some(flag) => {
                self.state = State::Ended(flag);
                self.consume(input, plain.after);
            }
            None => {
                self.id.clear();
                self.id.extend_from_slice(plain.id(data));
                self.state = State::Body;
                // The empty line stays: its CRLF may be the one before the end-line.
                self.borrowed = plain.after - plain.text;
                self.consume(input, plain.text);
            }
        }
        Some(head)
    }

    fn step_body(&mut self, input: &[u8]) -> Step {
        let found = find_end(input, 0, &self.id);
        let (Found::End { at: body, .. } | Found::Held(body)) = found;
        let skip = self.borrowed.min(body);
        self.borrowed -= skip;
        match found {
            Found::End { at, len, flag } => {
                self.state = State::Ended(flag);
                self.borrowed = 0;
                Step::Direct { skip, body, consume: at + len }
            }
            Found::Held(at) => {
                self.held.extend_from_slice(input.get(at..).unwrap_or_default());
                Step::Direct { skip, body, consume: input.len() }
            }
        }
    }

    /// Some bytes are held back: looks at them together with the next few.
    fn step_held(&mut self, input: &mut &[u8]) -> Step {
        let before = self.held.len();
        let taken = input.get(..input.len().min(MAX_END)).unwrap_or_default();
        self.held.extend_from_slice(taken);
        let (body, consume) = match find_end(&self.held, 0, &self.id) {
            Found::End { at, len, flag } => {
                self.state = State::Ended(flag);
                (at, at + len - before)
            }
            Found::Held(at) if at >= before => (at, at - before),
            Found::Held(at) => (at, taken.len()),
        };
        let skip = self.borrowed.min(body);
        self.borrowed = if self.state == State::Body { self.borrowed - skip } else { 0 };
        self.emitted.clear();
        self.emitted.extend_from_slice(self.held.get(skip..body).unwrap_or_default());
        if self.state == State::Body && body < before {
            self.held.drain(..body);
        } else {
            self.held.clear();
        }
        self.consume(input, consume);
        if self.emitted.is_empty() { Step::Again } else { Step::Emitted }
    }

    fn consume(&mut self, input: &mut &[u8], len: usize) {
        *input = input.get(len..).unwrap_or_default();
        self.position = self.position.saturating_add(u64::try_from(len).unwrap_or(0));
    }

    fn error(&self, kind: ParseErrorKind, what: &'static str) -> ParseError {
        ParseError { at: self.position, kind, what }
    }
}

/// CRLF, seven hyphens, 32 characters, the flag, CRLF.
const MAX_END: usize = 2 + 7 + 32 + 1 + 2;
const MARK: &[u8] = b"\r\n-------";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

pub(super) enum Found {
    /// The body ends at `at`; CRLF and end-line are `len` bytes.
    End { at: usize, len: usize, flag: Flag },
    /// The body goes on at least to here; what follows may be the beginning of the end.
    Held(usize),
}

/// Looks for CRLF and the end-line from `from`.
pub(super) fn find_end(data: &[u8], from: usize, id: &[u8]) -> Found {
    let mut from = from;
    while let Some(found) = data.get(from..).and_then(|rest| FINDER.find(rest)) {
        let at = from + found;
        let after = data.get(at + MARK.len()..).unwrap_or_default();
        match (after.get(..id.len()), after.get(id.len()), after.get(id.len() + 1..id.len() + 3)) {
            (Some(there), Some(flag), Some(b"\r\n")) if there == id => {
                if let Some(flag) = Flag::from_byte(*flag) {
                    return Found::End { at, len: MARK.len() + id.len() + 3, flag };
                }
            }
            (Some(_), Some(_), Some(_)) => {}
            _ if may_end(after, id) => return Found::Held(at),
            _ => {}
        }
        // The next mark begins after this one's hyphens.
        from = at + MARK.len();
    }
    // The last bytes may be the beginning of a mark.
    let tail = data.len().saturating_sub(MARK.len() - 1).max(from.min(data.len()));
    let held = data.get(tail..).and_then(|rest| {
        (0..rest.len()).find(|start| rest.get(*start..).is_some_and(|part| MARK.starts_with(part)))
    });
    Found::Held(held.map_or(data.len(), |start| tail + start))
}

/// Whether `after`, which is too short, may become an identifier, a flag and CRLF.
fn may_end(after: &[u8], id: &[u8]) -> bool {
    let common = after.len().min(id.len());
    if after.get(..common) != id.get(..common) {
        return false;
    }
    match after.get(id.len()) {
        None => true,
        Some(flag) => {
            Flag::from_byte(*flag).is_some()
                && after.get(id.len() + 1..).is_some_and(|rest| b"\r\n".starts_with(rest))
        }
    }
}

/// The flag, if `line` with its CRLF is the end-line of `id`.
pub(super) fn end_line(line: &[u8], id: &[u8]) -> Option<Flag> {
    let rest = line.strip_prefix(b"-------")?.strip_prefix(id)?;
    match rest {
        [flag, b'\r', b'\n'] => Flag::from_byte(*flag),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (head, body, flag) of each message.
    type Seen = Vec<(String, Option<Vec<u8>>, Flag)>;

    fn decode(stream: &[u8], step: usize) -> (Seen, Option<ParseError>) {
        let mut decoder = Decoder::new(DecoderLimits::default());
        let (mut seen, mut head, mut body) = (Vec::new(), String::new(), Vec::new());
        for chunk in stream.chunks(step) {
            let mut input = chunk;
            loop {
                match decoder.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Piece::Head(h))) => h.as_str().clone_into(&mut head),
                    Ok(Some(Piece::Body(slice))) => body.extend_from_slice(slice),
                    Ok(Some(Piece::End(flag))) => {
                        let had = decoder.last_had_body();
                        let body = std::mem::take(&mut body);
                        seen.push((std::mem::take(&mut head), had.then_some(body), flag));
                    }
                    Err(error) => return (seen, Some(error)),
                }
            }
        }
        (seen, None)
    }

    #[test]
    fn any_chunking_gives_the_same() {
        let stream = b"MSRP abcd SEND\r\nTo-Path: msrp://a:1/b;tcp\r\nContent-Type: text/plain\r\n\r\n\
            \r\n-------abcd\r\n-------abcx$\r\r\n------\r\n--------abcd$\r\n-------abcd+x\r\n-------abcd+\r\n\
            MSRP abce 200 OK\r\n-------abce$\r\n\
            \r\nMSRP abcf SEND\r\nContent-Type: a/b\r\n\r\n\r\n-------abcf$\r\n\
            MSRP abcg SEND\r\nContent-Type: a/b\r\n\r\n-------abcg#\r\n";
        let (whole, error) = decode(stream, stream.len());
        assert_eq!(error, None);
        assert_eq!(whole.len(), 4);
        let body = b"\r\n-------abcd\r\n-------abcx$\r\r\n------\r\n--------abcd$\r\n-------abcd+x";
        assert_eq!(whole[0].1.as_deref(), Some(&body[..]));
        assert_eq!(whole[1].1, None);
        assert_eq!(whole[2].1.as_deref(), Some(&b""[..]));
        assert_eq!((whole[3].1.as_deref(), whole[3].2), (Some(&b""[..]), Flag::Abort));
        for step in 1..60 {
            assert_eq!(decode(stream, step), (whole.clone(), None), "{step}");
        }
    }

    #[test]
    fn heads_are_capped() {
        let mut stream = b"MSRP abcd SEND\r\n".to_vec();
        stream.extend(b"X: ".iter().chain(std::iter::repeat_n(&b'x', 20_000)));
        assert_eq!(decode(&stream, 100).1.map(|e| e.kind), Some(ParseErrorKind::TooLong));
        let many = format!("MSRP abcd SEND\r\n{}-------abcd$\r\n", "A: b\r\n".repeat(65));
        assert_eq!(decode(many.as_bytes(), 100).1.map(|e| e.kind), Some(ParseErrorKind::TooLong));
        assert!(decode(&[b'x'; 6], 6).1.is_some());
    }
}
