//! What is wrong with a body.

use std::borrow::Cow;
use std::fmt;

/// Bytes that are not the document that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}: expected {what}")]
pub struct ParseError {
    /// Offset of what is wrong; for an element, of its `<`.
    pub at: usize,
    /// What sort of error it is.
    pub kind: ParseErrorKind,
    /// What was expected there.
    pub what: Cow<'static, str>,
}

impl ParseError {
    pub(super) fn new(at: usize, kind: ParseErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self { at, kind, what: what.into() }
    }
}

/// The sorts of [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Not well formed.
    Syntax,
    /// Not UTF-8.
    Utf8,
    /// The data ended too early.
    Truncated,
    /// Something follows where the data should have ended.
    Trailing,
    /// Larger than the limit for it.
    TooLong,
    /// A part that must be there is missing.
    Missing,
    /// A value that is not of its type.
    Value,
    /// Another document than the one that was asked for.
    Root,
    /// Something that is refused on purpose, such as a DOCTYPE.
    Forbidden,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "syntax error",
            Self::Utf8 => "invalid UTF-8",
            Self::Truncated => "truncated",
            Self::Trailing => "trailing data",
            Self::TooLong => "too long",
            Self::Missing => "missing part",
            Self::Value => "bad value",
            Self::Root => "another document",
            Self::Forbidden => "forbidden",
        })
    }
}
