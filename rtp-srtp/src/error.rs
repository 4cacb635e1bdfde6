//! Errors by blame: [`ParseError`] is the bytes', [`WriteError`] the caller's. SRTP has its own in [`crate::srtp`].

use thiserror::Error;

/// Bytes that are not what they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at byte {at}: {kind}")]
pub struct ParseError {
    /// Offset from the start of the packet given to the parser.
    pub at: usize,
    /// The kind of mistake.
    pub kind: ParseErrorKind,
    /// What was being read.
    pub what: &'static str,
}

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The bytes end before the thing does.
    #[error("truncated")]
    Truncated,
    /// The version field is not 2 (RFC 3550 §5.1).
    #[error("version is not 2")]
    Version,
    /// The padding count is zero or larger than what may be padded.
    #[error("padding does not fit")]
    Padding,
    /// A count or length field contradicts the size of the packet.
    #[error("length does not fit")]
    Length,
    /// A value that the format does not know where no other may stand.
    #[error("invalid value")]
    Value,
}

impl ParseError {
    pub(crate) const fn new(at: usize, kind: ParseErrorKind, what: &'static str) -> Self {
        Self { at, kind, what }
    }

    pub(crate) const fn truncated(at: usize, what: &'static str) -> Self {
        Self::new(at, ParseErrorKind::Truncated, what)
    }
}

/// What a caller asked to write cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small.
    #[error("the buffer is too small")]
    BufferTooSmall,
    /// A field holds more than the wire can carry.
    #[error("{0} does not fit its field")]
    DoesNotFit(&'static str),
}
