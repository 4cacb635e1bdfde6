//! Errors by blame: the bytes ([`ParseError`]), our caller ([`UsageError`]).

use std::fmt;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}: expected {what}")]
pub struct ParseError {
    /// Offset of the first byte that is wrong.
    pub at: usize,
    /// The sort of fault.
    pub kind: ErrorKind,
    /// What was expected there.
    pub what: &'static str,
}

/// The sorts of [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The data ended too early.
    Truncated,
    /// A length that does not fit what it measures.
    Length,
    /// Not STUN: the first bits or the magic cookie.
    NotStun,
    /// A value out of its range.
    Value,
    /// Text that is not UTF-8.
    Encoding,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Truncated => "truncated",
            ErrorKind::Length => "wrong length",
            ErrorKind::NotStun => "not STUN",
            ErrorKind::Value => "value out of range",
            ErrorKind::Encoding => "not UTF-8",
        })
    }
}

/// What our caller wants cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// RFC 8489 bounds the value of this attribute.
    #[error("{what} takes at most {limit} bytes")]
    TooLong {
        /// The attribute.
        what: &'static str,
        /// Bytes that it may have.
        limit: usize,
    },
    /// An error code is 300 to 699 (RFC 8489 §14.8).
    #[error("an error code is 300 to 699")]
    ErrorCode,
    /// The message would be longer than its length field can say.
    #[error("a message has at most 65,535 bytes of attributes")]
    MessageTooLong,
}

impl ParseError {
    pub(crate) const fn new(at: usize, kind: ErrorKind, what: &'static str) -> Self {
        Self { at, kind, what }
    }
}
