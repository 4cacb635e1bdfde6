//! Header names and the typed values that MSRP itself needs.

use std::fmt;
use std::str::FromStr;

use crate::error::{ParseError, ParseErrorKind};

/// The header fields that this crate knows; any other survives as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderName {
    /// `To-Path`.
    ToPath,
    /// `From-Path`.
    FromPath,
    /// `Message-ID`.
    MessageId,
    /// `Byte-Range`.
    ByteRange,
    /// `Success-Report`.
    SuccessReport,
    /// `Failure-Report`.
    FailureReport,
    /// `Status`.
    Status,
    /// `Content-Type`.
    ContentType,
    /// `Expires`, RFC 4976.
    Expires,
    /// `Min-Expires`, RFC 4976.
    MinExpires,
    /// `Max-Expires`, RFC 4976.
    MaxExpires,
    /// `Use-Path`, RFC 4976.
    UsePath,
    /// `WWW-Authenticate`, RFC 4976.
    WwwAuthenticate,
    /// `Authorization`, RFC 4976.
    Authorization,
    /// `Authentication-Info`, RFC 4976.
    AuthenticationInfo,
    /// `Use-Nickname`, RFC 7701.
    UseNickname,
    /// Any other.
    Other,
}

impl HeaderName {
    /// The name as printed; empty for [`HeaderName::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToPath => "To-Path",
            Self::FromPath => "From-Path",
            Self::MessageId => "Message-ID",
            Self::ByteRange => "Byte-Range",
            Self::SuccessReport => "Success-Report",
            Self::FailureReport => "Failure-Report",
            Self::Status => "Status",
            Self::ContentType => "Content-Type",
            Self::Expires => "Expires",
            Self::MinExpires => "Min-Expires",
            Self::MaxExpires => "Max-Expires",
            Self::UsePath => "Use-Path",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::Authorization => "Authorization",
            Self::AuthenticationInfo => "Authentication-Info",
            Self::UseNickname => "Use-Nickname",
            Self::Other => "",
        }
    }

    pub(crate) fn lookup(name: &[u8]) -> Self {
        // As everybody writes them.
        match name {
            b"To-Path" => return Self::ToPath,
            b"From-Path" => return Self::FromPath,
            b"Message-ID" => return Self::MessageId,
            b"Byte-Range" => return Self::ByteRange,
            b"Success-Report" => return Self::SuccessReport,
            b"Failure-Report" => return Self::FailureReport,
            b"Status" => return Self::Status,
            b"Content-Type" => return Self::ContentType,
            _ => {}
        }
        let candidates: &[Self] = match name.len() {
            6 => &[Self::Status],
            7 => &[Self::ToPath, Self::Expires],
            8 => &[Self::UsePath],
            9 => &[Self::FromPath],
            10 => &[Self::MessageId, Self::ByteRange],
            11 => &[Self::MinExpires, Self::MaxExpires],
            12 => &[Self::ContentType, Self::UseNickname],
            13 => &[Self::Authorization],
            14 => &[Self::SuccessReport, Self::FailureReport],
            16 => &[Self::WwwAuthenticate],
            19 => &[Self::AuthenticationInfo],
            _ => &[],
        };
        let same = |c: &Self| c.as_str().as_bytes().eq_ignore_ascii_case(name);
        candidates.iter().copied().find(same).unwrap_or(Self::Other)
    }
}

/// `Byte-Range`: `start-end/total`, counted from one; `None` is `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Position of the first byte, from one.
    pub start: u64,
    /// Position of the last byte, if it was announced.
    pub end: Option<u64>,
    /// Size of the whole message, if it was announced.
    pub total: Option<u64>,
}

impl FromStr for ByteRange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let syntax = |at, what| ParseError::new(at, ParseErrorKind::Syntax, what);
        let (start, rest) = text.split_once('-').ok_or_else(|| syntax(0, "start-end/total"))?;
        let (end, total) = rest.split_once('/').ok_or_else(|| syntax(start.len() + 1, "end/total"))?;
        let range = Self {
            start: number(start).ok_or_else(|| syntax(0, "the first byte's position"))?,
            end: star_or_number(end)
                .ok_or_else(|| syntax(start.len() + 1, "the last byte's position or *"))?,
            total: star_or_number(total).ok_or_else(|| syntax(start.len() + end.len() + 2, "a size or *"))?,
        };
        // RFC 4975 §7.1.1: the first octet in the message has a position of one.
        if range.start == 0 {
            return Err(ParseError::new(0, ParseErrorKind::Number, "a position from one"));
        }
        Ok(range)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.start)?;
        match self.end {
            Some(end) => write!(f, "{end}/")?,
            None => f.write_str("*/")?,
        }
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[expect(clippy::option_option, reason = "outer: malformed; inner: the asterisk")]
fn star_or_number(text: &str) -> Option<Option<u64>> {
    if text == "*" { Some(None) } else { number(text).map(Some) }
}

/// `Failure-Report`: RFC 4975 §7.1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailureReport {
    /// A response to each chunk, and reports of later failures.
    #[default]
    Yes,
    /// Nothing at all.
    No,
    /// Only failures.
    Partial,
}

impl FailureReport {
    /// The value as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Partial => "partial",
        }
    }
}

/// `Status` of a REPORT: namespace, code and comment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Status {
    /// 0 for all codes that RFC 4975 defines.
    pub namespace: u16,
    /// The code, as in a response.
    pub code: u16,
    /// A phrase for humans.
    pub comment: Option<String>,
}

impl FromStr for Status {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parts = text.splitn(3, ' ');
        let namespace = parts.next().map(str::as_bytes).and_then(code_of);
        let code = parts.next().map(str::as_bytes).and_then(code_of);
        match (namespace, code) {
            (Some(namespace), Some(code)) => {
                Ok(Self { namespace, code, comment: parts.next().map(str::to_owned) })
            }
            _ => Err(ParseError::new(0, ParseErrorKind::Syntax, "a namespace and a status code")),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.namespace, self.code)?;
        match &self.comment {
            Some(comment) => write!(f, " {comment}"),
            None => Ok(()),
        }
    }
}

/// Three digits.
pub(crate) fn code_of(text: &[u8]) -> Option<u16> {
    let [a, b, c] = text else { return None };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    Some(digit(a)? * 100 + digit(b)? * 10 + digit(c)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_ranges() {
        for text in ["1-25/25", "1-*/8", "138-148/148", "1-*/*", "1-0/0"] {
            assert_eq!(text.parse::<ByteRange>().unwrap().to_string(), text);
        }
        for text in ["", "1", "0-1/1", "a-1/1", "1-/1", "1-+1/1", "*-1/1", "1-1/99999999999999999999999"] {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn statuses() {
        let status: Status = "000 200 OK".parse().unwrap();
        assert_eq!((status.code, status.to_string().as_str()), (200, "000 200 OK"));
        assert!("0 200".parse::<Status>().is_err());
    }
}
