//! Bodies of several parts (RFC 2046 §5.1), as notifications of lists have them: with as many parts
//! as there are people, where `sip_core::Multipart`, for bodies of calls, takes a few.

use std::fmt::Write as _;

use bytes::Bytes;

use super::error::ParseError;
use super::error::ParseErrorKind::{Missing, TooLong, Truncated};

/// Parts of a body that is read.
pub const MAX_PARTS: usize = 4_096;
/// Bytes of a part's headers.
const MAX_HEADERS: usize = 8 * 1024;

/// A part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its media type; `text/plain` where none was said.
    pub content_type: String,
    /// Its Content-ID, without angle brackets.
    pub content_id: Option<String>,
    /// What is in it.
    pub body: Bytes,
}

/// Takes a body apart.
///
/// # Errors
/// If the boundary does not come, the last one is missing, or there are too many parts.
pub fn split(body: &Bytes, boundary: &str) -> Result<Vec<Part>, ParseError> {
    let mut parts = Vec::new();
    // Where the part begins whose end is looked for; the preamble is none.
    let mut begin: Option<usize> = None;
    let mut line_start = 0;
    let delimiter = format!("--{boundary}");
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let (start, after) = (line_start, line_start + line.len());
        line_start = after;
        let Some(rest) = line.strip_prefix(delimiter.as_bytes()) else { continue };
        let (last, rest) = match rest.strip_prefix(b"--") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if !rest.trim_ascii().is_empty() {
            continue;
        }
        if let Some(begin) = begin {
            if parts.len() >= MAX_PARTS {
                return Err(ParseError::new(begin, TooLong, "at most 4096 parts"));
            }
            // The line end before a boundary belongs to it.
            parts.push(part(body, begin, line_end_before(body, begin, start))?);
        }
        if last {
            return Ok(parts);
        }
        begin = Some(after);
    }
    Err(match begin {
        Some(_) => ParseError::new(body.len(), Truncated, "the last boundary"),
        None => ParseError::new(0, Missing, "the boundary"),
    })
}

/// Puts parts together, with a boundary that is in none of them.
///
/// Returns the body and the boundary. `seed` makes the boundary; the same gives the same.
#[must_use]
pub fn join(parts: &[Part], seed: u64) -> (Bytes, String) {
    let mut seed = seed;
    let mut boundary = format!("part-{seed:016x}");
    while parts.iter().any(|part| memchr::memmem::find(&part.body, boundary.as_bytes()).is_some()) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        boundary = format!("part-{seed:016x}");
    }
    let mut out = Vec::new();
    for part in parts {
        let mut head = format!("--{boundary}\r\nContent-Type: {}\r\n", one_line(&part.content_type));
        if let Some(id) = &part.content_id {
            let _ = write!(head, "Content-ID: <{}>\r\n", one_line(id));
        }
        head.push_str("Content-Transfer-Encoding: binary\r\n\r\n");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&part.body);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (Bytes::from(out), boundary)
}

fn line_end_before(body: &[u8], begin: usize, end: usize) -> usize {
    let part = body.get(begin..end).unwrap_or_default();
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    begin + part.strip_suffix(b"\r").unwrap_or(part).len()
}

fn part(body: &Bytes, begin: usize, end: usize) -> Result<Part, ParseError> {
    let mut part = Part { content_type: "text/plain".to_owned(), ..Part::default() };
    let mut at = begin;
    let mut header = String::new();
    loop {
        let rest = body.get(at..end).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |newline| newline + 1);
        let line = rest.get(..length).unwrap_or_default();
        if at - begin > MAX_HEADERS {
            return Err(ParseError::new(at, TooLong, "headers of at most 8 KiB"));
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            part.header(&header);
            header.clear();
        }
        header.push_str(String::from_utf8_lossy(line).trim());
        at += length;
        if line.trim_ascii().is_empty() {
            break;
        }
    }
    part.body = body.slice(at.min(end)..end.max(at.min(end)));
    Ok(part)
}

impl Part {
    fn header(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else { return };
        let value = value.trim();
        if name.eq_ignore_ascii_case("Content-Type") {
            self.content_type = value.to_owned();
        } else if name.eq_ignore_ascii_case("Content-ID") {
            let id = value.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(value);
            self.content_id = Some(id.to_owned());
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content_type: &str, id: &str, body: &'static str) -> Part {
        Part {
            content_type: content_type.to_owned(),
            content_id: Some(id.to_owned()),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn parts_come_out_as_they_went_in() {
        let parts = [
            part("application/rlmi+xml", "a@b", "<list/>"),
            part("text/plain; charset=utf-8", "c@d", "line\r\n--not the boundary\r\n"),
            part("text/plain", "e@f", ""),
        ];
        let (body, boundary) = join(&parts, 1);
        assert_eq!(split(&body, &boundary).expect("reads"), parts);
        let hostile = [part("text/plain", "x", "--part-0000000000000001--")];
        let (body, boundary) = join(&hostile, 1);
        assert_eq!(split(&body, &boundary).expect("reads"), hostile);
    }

    #[test]
    fn preamble_epilogue_and_bare_line_feeds_are_read() {
        let body = "for old readers\n--b \nContent-ID:\n <x@y>\n\nhello\n--bb\n--b--\nnothing";
        let parts = split(&Bytes::from_static(body.as_bytes()), "b").expect("reads");
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].content_id.as_deref(), &parts[0].body[..]), (Some("x@y"), &b"hello\n--bb"[..]));
    }

    #[test]
    fn what_is_cut_off_is_said_to_be() {
        let error = |body: &'static str| split(&Bytes::from_static(body.as_bytes()), "b").expect_err(body);
        assert_eq!(error("").kind, Missing);
        assert_eq!(error("--b\r\n\r\nhello").kind, Truncated);
        assert_eq!(error("--c\r\n\r\nhello\r\n--c--").kind, Missing);
        let many = "--b\r\n\r\n".repeat(MAX_PARTS + 2);
        assert_eq!(split(&Bytes::from(many), "b").expect_err("many").kind, TooLong);
    }
}
