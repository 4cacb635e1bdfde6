//! Errors by blame: the bytes ([`ParseError`]), our caller ([`UsageError`]), a cap ([`LimitError`]).

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}: expected {what}")]
pub struct ParseError {
    /// Offset of the first byte that is wrong; in a stream, counted from its beginning.
    pub at: u64,
    /// What sort of error it is.
    pub kind: ParseErrorKind,
    /// What was expected there.
    pub what: &'static str,
}

impl ParseError {
    pub(crate) fn new(at: usize, kind: ParseErrorKind, what: &'static str) -> Self {
        Self { at: u64::try_from(at).unwrap_or(u64::MAX), kind, what }
    }

    pub(crate) fn moved(self, by: u64) -> Self {
        Self { at: self.at.saturating_add(by), ..self }
    }
}

/// The sorts of [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Not what the grammar says.
    Syntax,
    /// A number out of its range.
    Number,
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
    /// Something that this parser refuses on purpose, such as a DOCTYPE.
    Forbidden,
}

impl std::fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syntax => "syntax error",
            Self::Number => "number out of range",
            Self::Utf8 => "invalid UTF-8",
            Self::Truncated => "truncated",
            Self::Trailing => "trailing data",
            Self::TooLong => "too long",
            Self::Missing => "missing part",
            Self::Forbidden => "forbidden",
        })
    }
}

/// A command that our caller should not have given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// There is no such session, or it was closed.
    #[error("no such session")]
    NoSuchSession,
    /// A session with this local URI is there already.
    #[error("a session with this local URI exists")]
    DuplicatePath,
    /// A path without a URI.
    #[error("a path needs at least one URI")]
    EmptyPath,
    /// A URI whose parts make no URI.
    #[error("a part of a URI cannot stand in it")]
    InvalidUri,
    /// The identifier is not one that RFC 4975 §9 allows.
    #[error("an identifier has 4 to 32 letters, digits, or . - + % =")]
    InvalidIdentifier,
    /// A message with this identifier is still under way.
    #[error("a message with this identifier is still under way")]
    DuplicateMessage,
    /// A header value with a line end or control character, or a bad media type.
    #[error("invalid header value")]
    InvalidHeader,
    /// There is no such message under way, or it takes no data.
    #[error("no such message under way")]
    NoSuchMessage,
    /// More data than the message was said to have, or an end before all of it.
    #[error("the data does not fit the size that was announced")]
    WrongSize,
    /// A cap of ours.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// A cap of ours that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// The outgoing queue is above its high watermark: wait for `Event::Writable`.
    #[error("the outgoing queue is full")]
    QueueFull,
    /// As many sessions as the configuration allows.
    #[error("too many sessions")]
    Sessions,
    /// The connection was closed.
    #[error("the connection is closed")]
    Closed,
}
