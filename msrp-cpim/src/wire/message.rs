//! A whole request or response in one buffer.

use bytes::{Bytes, BytesMut};

use super::decoder::{DecoderLimits, Found, end_line, find_end};
use super::head::{Fields, Head, Plain, id_bytes};
use crate::error::{ParseError, ParseErrorKind};
use crate::scan::Lines;

/// The continuation flag of an end-line: RFC 4975 §7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `$`: the data ends the complete message.
    End,
    /// `+`: more chunks follow.
    More,
    /// `#`: the sender gives up; no further chunks follow.
    Abort,
}

impl Flag {
    /// The character on the wire.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::End => b'$',
            Self::More => b'+',
            Self::Abort => b'#',
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'$' => Some(Self::End),
            b'+' => Some(Self::More),
            b'#' => Some(Self::Abort),
            _ => None,
        }
    }
}

/// A request or response, framed: head, body, flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Start line and header fields.
    pub head: Head,
    /// The body; an absent one is not the same as an empty one (RFC 4975 §7.1).
    pub body: Option<Bytes>,
    /// The flag of the end-line.
    pub flag: Flag,
}

impl Message {
    /// Reads one message that fills `data`; the body is a slice of it.
    ///
    /// # Errors
    /// If it is malformed, incomplete, or followed by something.
    pub fn parse(data: &Bytes) -> Result<Self, ParseError> {
        let (message, len) = Self::parse_first(data)?;
        if len < data.len() {
            return Err(ParseError::new(len, ParseErrorKind::Trailing, "one message"));
        }
        Ok(message)
    }

    /// Reads the message that `data` begins with, and says how long it is.
    ///
    /// # Errors
    /// If it is malformed or incomplete.
    pub fn parse_first(data: &Bytes) -> Result<(Self, usize), ParseError> {
        let (limits, mut fields) = (DecoderLimits::default(), Fields::new());
        let head_data = data.get(..data.len().min(limits.max_head)).unwrap_or_default();
        if let Some(plain) = Plain::read(head_data, limits.max_headers, &mut fields)
            && let Some((body, flag, len)) = body_of(data, &plain)
        {
            let head = Head::of_plain(data.slice(..plain.text), &plain, fields)?;
            return Ok((Self { head, body, flag }, len));
        }
        let truncated = || ParseError::new(data.len(), ParseErrorKind::Truncated, "an end-line");
        let id = id_bytes(head_data)
            .ok_or_else(|| ParseError::new(0, ParseErrorKind::Syntax, "MSRP and a transaction identifier"))?;
        let mut lines = Lines::default();
        let mut at = 0;
        for newline in memchr::memchr_iter(b'\n', head_data) {
            let line = head_data.get(at..=newline).unwrap_or_default();
            let head = || Head::of_bytes(data.get(..at).unwrap_or_default(), &lines, limits.max_headers);
            if line == b"\r\n" {
                // The empty line's CRLF may be the one before the end-line: an empty body, written shortly.
                let (end, len, flag) = match find_end(data, at, id) {
                    Found::End { at, len, flag } => (at, len, flag),
                    Found::Held(_) => return Err(truncated()),
                };
                let start = at + 2;
                let body = data.slice(start..end.max(start));
                return Ok((Self { head: head()?, body: Some(body), flag }, end + len));
            }
            if let Some(flag) = end_line(line, id) {
                return Ok((Self { head: head()?, body: None, flag }, at + line.len()));
            }
            lines.push(line.first().copied().unwrap_or_default(), newline + 1);
            at = newline + 1;
        }
        if data.len() > limits.max_head {
            return Err(ParseError::new(limits.max_head, ParseErrorKind::TooLong, "a shorter head"));
        }
        Err(truncated())
    }

    /// Appends the message as it goes over the wire.
    pub fn write_to(&self, out: &mut BytesMut) {
        let body = self.body.as_ref();
        out.reserve(self.head.as_str().len() + body.map_or(0, |b| b.len() + 4) + 48);
        out.extend_from_slice(self.head.as_str().as_bytes());
        if let Some(body) = body {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        write_end_line(out, self.head.transaction_id(), self.flag);
    }

    /// The message as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write_to(&mut out);
        out.freeze()
    }
}

/// Body, flag and whole length behind a head; `None` if the end-line is missing.
fn body_of(data: &Bytes, plain: &Plain) -> Option<(Option<Bytes>, Flag, usize)> {
    if let Some(flag) = plain.ended {
        return Some((None, flag, plain.after));
    }
    // The empty line's CRLF may be the one before the end-line: an empty body, written shortly.
    match find_end(data, plain.text, plain.id(data)) {
        Found::End { at, len, flag } => {
            Some((Some(data.slice(plain.after..at.max(plain.after))), flag, at + len))
        }
        Found::Held(_) => None,
    }
}

/// Appends an end-line: seven hyphens, the transaction identifier, the flag.
pub(crate) fn write_end_line(out: &mut BytesMut, id: &str, flag: Flag) {
    out.extend_from_slice(b"-------");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(&[flag.byte(), b'\r', b'\n']);
}
