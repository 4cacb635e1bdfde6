//! The borrowed view of a message that is enough to route it: no allocation, one pass.

use crate::{
    ErrorKind, ParseError,
    grammar::{self, class},
    header::{HeaderName, lookup},
    index,
};

/// What a transaction layer matches messages by, borrowed from the datagram.
///
/// Only the first header of each kind counts, and nothing is validated beyond finding it: this is
/// for choosing where a message goes, or that it is a retransmission, before it is read.
///
/// ```
/// let bytes = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK776\r\nCSeq: 5 BYE\r\n\r\n";
/// let frame = sip_core::Frame::parse(bytes)?;
/// assert_eq!((frame.branch, frame.cseq_method), (Some("z9hG4bK776"), Some("BYE")));
/// # Ok::<(), sip_core::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame<'a> {
    /// The start line without CRLF.
    pub start_line: &'a [u8],
    /// The method of a request; `None` for a response.
    pub method: Option<&'a str>,
    /// The `branch` of the top Via.
    pub branch: Option<&'a str>,
    /// The `sent-by` of the top Via: host and port as written.
    pub sent_by: Option<&'a str>,
    /// The tag of From.
    pub from_tag: Option<&'a str>,
    /// The tag of To.
    pub to_tag: Option<&'a str>,
    /// The Call-ID.
    pub call_id: Option<&'a str>,
    /// The number of CSeq.
    pub cseq: Option<u32>,
    /// The method of CSeq.
    pub cseq_method: Option<&'a str>,
}

const VIA: u8 = HeaderName::VIA.id();
const FROM: u8 = HeaderName::FROM.id();
const TO: u8 = HeaderName::TO.id();
const CALL_ID: u8 = HeaderName::CALL_ID.id();
const CSEQ: u8 = HeaderName::CSEQ.id();

/// A bit for each of them.
const ALL: u32 = 1 << VIA | 1 << FROM | 1 << TO | 1 << CALL_ID | 1 << CSEQ;

/// A piece of the datagram.
type Piece = (usize, usize);

impl<'a> Frame<'a> {
    /// Finds the parts in one pass, which stops when it has them all.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let start = index::leading_crlf(bytes);
        let mut rest = bytes.get(start..).unwrap_or(&[]);
        let Some(line) = take_line(&mut rest) else {
            return Err(ParseError::new(bytes.len(), ErrorKind::Truncated, "the end of the start line"));
        };
        let mut frame = Self { start_line: line, ..Self::default() };
        if !line.starts_with(b"SIP/") {
            frame.method = method(line);
            // The version has no case (RFC 3261 §7.1).
            let is_response = || line.get(..4).is_some_and(|version| version.eq_ignore_ascii_case(b"SIP/"));
            if frame.method.is_none() && !is_response() {
                return Err(ParseError::new(start, ErrorKind::Syntax, "a method or SIP/2.0"));
            }
        }
        // Where the values are, by their bits.
        let mut values: [Piece; 5] = [(0, 0); 5];
        let mut missing = ALL;
        while missing != 0 {
            let field = rest;
            let Some(mut line) = take_line(&mut rest) else { break };
            // The few names that matter; all others cost a comparison or two.
            let (id, name_len) = match line {
                [] => break,
                [b'V', b'i', b'a', b':', ..] => (VIA, 4),
                [b'T', b'o', b':', ..] => (TO, 3),
                [b'F', b'r', b'o', b'm', b':', ..] => (FROM, 5),
                [b'C', b'S', b'e', b'q', b':', ..] => (CSEQ, 5),
                [b'C', b'a', b'l', b'l', b'-', b'I', b'D', b':', ..] => (CALL_ID, 8),
                [b'C', b'o', b'n', b't', ..] => continue,
                [b'v' | b'V' | b'f' | b'F' | b't' | b'T' | b'i' | b'I' | b'c' | b'C', ..] => match name(line)
                {
                    Some(found) => found,
                    None => continue,
                },
                _ => continue,
            };
            while matches!(rest.first(), Some(b' ' | b'\t')) {
                // Folded: the value goes on to the end of the next line.
                if take_line(&mut rest).is_none() {
                    return Err(ParseError::new(
                        bytes.len(),
                        ErrorKind::Truncated,
                        "the end of the header field",
                    ));
                }
                line = field.get(..field.len() - rest.len()).unwrap_or(line);
            }
            let bit = 1 << id;
            if missing & bit == 0 {
                continue;
            }
            missing &= !bit;
            let from = bytes.len() - field.len();
            if let Some(value) = values.get_mut(usize::from(id)) {
                *value = (from + name_len, from + line.len());
            }
        }
        // One check for all of them is quicker than one each.
        let end = bytes.len() - rest.len();
        let head = bytes.get(..end).unwrap_or(bytes);
        let head = std::str::from_utf8(head).ok();
        for (id, (from, to)) in (0u8..).zip(values) {
            let value = match head {
                Some(head) => head.get(from..to),
                None => bytes.get(from..to).and_then(|value| std::str::from_utf8(value).ok()),
            };
            if to > from
                && let Some(value) = value
            {
                frame.field(id, trim(value));
            }
        }
        Ok(frame)
    }

    #[inline]
    fn field(&mut self, id: u8, value: &'a str) {
        match id {
            VIA => self.via(value),
            FROM => self.from_tag = tag(value),
            TO => self.to_tag = tag(value),
            CALL_ID => self.call_id = Some(value),
            CSEQ => {
                if let Ok((rest, number)) = grammar::number32(value, "a number") {
                    self.cseq = Some(number);
                    self.cseq_method = Some(grammar::lws(rest)).filter(|m| !m.is_empty());
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn via(&mut self, value: &'a str) {
        // As nearly everyone writes it; any other way is looked at more closely.
        let rest = match value.strip_prefix("SIP/2.0/") {
            Some(rest) => rest,
            None => {
                let after = |sign| {
                    move |text: &'a str| {
                        Some(grammar::cut(text, memchr::memchr(sign, text.as_bytes())? + 1).1)
                    }
                };
                let Some(rest) = after(b'/')(value).and_then(after(b'/')) else { return };
                grammar::lws(rest)
            }
        };
        let (_, rest) = grammar::take(rest, class::TOKEN);
        let (sent_by, rest) = grammar::take(grammar::lws(rest), class::SENT_BY);
        self.sent_by = Some(sent_by);
        self.branch = branch(rest);
    }
}

/// The method of a request line.
#[inline]
fn method(line: &[u8]) -> Option<&str> {
    let end = line.iter().position(|b| !grammar::is_token_byte(*b))?;
    let method = line.get(..end).filter(|method| !method.is_empty() && line.get(end) == Some(&b' '))?;
    std::str::from_utf8(method).ok()
}

/// The value without white space around it.
#[inline]
fn trim(text: &str) -> &str {
    let text = text.strip_prefix(' ').unwrap_or(text);
    match text.as_bytes() {
        [first, .., last] if !grammar::is_lws(*first) && !grammar::is_lws(*last) => text,
        _ => text.trim_ascii(),
    }
}

/// The next line without its line end; `None` if none is complete.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (line, after) = rest.split_at_checked(memchr::memchr(b'\n', rest)?)?;
    *rest = after.get(1..)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// One of the names, in any case or compact, and where the value starts.
fn name(line: &[u8]) -> Option<(u8, usize)> {
    let colon = line.iter().take(32).position(|b| *b == b':')?;
    let id = lookup(line.get(..colon)?.trim_ascii_end());
    matches!(id, VIA | FROM | TO | CALL_ID | CSEQ).then_some((id, colon + 1))
}

/// The tag behind an address.
#[inline]
fn tag(value: &str) -> Option<&str> {
    let close = memchr::memchr(b'>', value.as_bytes());
    // As nearly everyone writes it: the tag alone behind the bracket, or nothing. If that bracket is
    // in a quoted name, what is behind it has a quote in it.
    if let Some(close) = close {
        let (_, rest) = grammar::cut(value, close + 1);
        if rest.is_empty() {
            return None;
        }
        if let Some(tag) = rest.strip_prefix(";tag=")
            && grammar::is_token(tag)
        {
            return Some(tag);
        }
    }
    let rest = match value.strip_prefix('"') {
        Some(_) => grammar::quoted(value).ok()?.0,
        None => value,
    };
    let rest = match memchr::memchr(b'>', rest.as_bytes()) {
        Some(close) => grammar::cut(rest, close + 1).1,
        None => grammar::cut(rest, memchr::memchr(b';', rest.as_bytes())?).1,
    };
    param(rest, "tag")
}

/// The branch among the parameters of a Via.
#[inline]
fn branch(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = rest.strip_prefix(';') {
        if let Some(value) = after.strip_prefix("branch=") {
            let (value, rest) = grammar::take(value, class::TOKEN);
            if !value.is_empty() && rest.bytes().next().is_none_or(|b| matches!(b, b';' | b',')) {
                return Some(value);
            }
            break;
        }
        let (name, behind) = grammar::take(after, class::TOKEN);
        if name.is_empty() || name.eq_ignore_ascii_case("branch") {
            break;
        }
        rest = match behind.strip_prefix('=') {
            Some(value) => grammar::take(value, class::VALUE).1,
            None => behind,
        };
    }
    param(text, "branch")
}

/// The value of a parameter in `;a=b;c`.
fn param<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    while let Ok((after, Some(param))) = grammar::next_param(rest) {
        if param.name.eq_ignore_ascii_case(name) {
            return param.value;
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_folds_and_compact_names() {
        let text = b"\r\nINVITE sip:a SIP/2.0\r\nTO :\r\n sip:v@x ;   tag    = 191n\r\nf: \"<;tag=no>\" <sip:j;tag=no@e>\r\n  ;\r\n  tag = 98\r\n\
            Contact: <sip:x>\r\nCall-ID: w@1\r\ncseq: 0009\r\n  INVITE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;rport;branch=390, SIP/2.0/UDP b;branch=2\r\n\r\nbody";
        let frame = Frame::parse(text).unwrap();
        assert_eq!(frame.method, Some("INVITE"));
        assert_eq!((frame.to_tag, frame.from_tag), (Some("191n"), Some("98")));
        assert_eq!((frame.call_id, frame.cseq, frame.cseq_method), (Some("w@1"), Some(9), Some("INVITE")));
        assert_eq!((frame.sent_by, frame.branch), (Some("192.0.2.2"), Some("390")));
    }

    #[test]
    fn no_start_line() {
        for text in [&b""[..], b"\r\n\r\n", b"INVITE", b"\x00\x01 \r\n", b" x\r\n", b"A b\r\nTo:\r\n x"] {
            assert!(Frame::parse(text).is_err());
        }
    }
}
