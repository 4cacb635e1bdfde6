//! Errors, by who is to blame: the bytes ([`ParseError`]) or our caller ([`UsageError`]).

use crate::StatusCode;

/// Bytes that are not what the grammar asks for: where, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}: expected {what}")]
pub struct ParseError {
    /// Offset in bytes into what was parsed (a message, or the text of one header or URI).
    pub at: usize,
    /// The class of the error.
    pub kind: ErrorKind,
    /// What would have been right.
    pub what: &'static str,
}

impl ParseError {
    /// An error of this kind at this offset.
    pub const fn new(at: usize, kind: ErrorKind, what: &'static str) -> Self {
        Self { at, kind, what }
    }

    /// The same error, seen from a text that starts `by` bytes earlier.
    pub(crate) const fn moved(mut self, by: usize) -> Self {
        self.at = self.at.saturating_add(by);
        self
    }

    /// The status a user agent server answers a request with that has this error.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ErrorKind::Version => StatusCode::VERSION_NOT_SUPPORTED,
            ErrorKind::BodyTooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            ErrorKind::UriTooLong => StatusCode::REQUEST_URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Classes of [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A character that does not belong there.
    Syntax,
    /// Text that is not UTF-8.
    Encoding,
    /// A number outside its range.
    Number,
    /// A mandatory header is not there.
    Missing,
    /// A header that may come once came again.
    Duplicate,
    /// Two parts of the message contradict each other.
    Mismatch,
    /// A SIP version other than 2.0.
    Version,
    /// The message ends before it is complete.
    Truncated,
    /// A line, the header section or the number of fields exceeds [`crate::Limits`].
    TooLarge,
    /// The body exceeds [`crate::Limits::body`].
    BodyTooLarge,
    /// The Request-URI exceeds [`crate::Limits::line`].
    UriTooLong,
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syntax => "syntax error",
            Self::Encoding => "not UTF-8",
            Self::Number => "number out of range",
            Self::Missing => "missing part",
            Self::Duplicate => "repeated part",
            Self::Mismatch => "contradiction",
            Self::Version => "unknown version",
            Self::Truncated => "truncated",
            Self::TooLarge => "too large",
            Self::BodyTooLarge => "body too large",
            Self::UriTooLong => "URI too long",
        })
    }
}

/// Our caller asked for something that cannot be put on the wire or is not legal now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// CR, LF or NUL in a value: it would start another line.
    #[error("{0} contains CR, LF or NUL")]
    LineBreak(&'static str),
    /// The value is not what the grammar allows there.
    #[error("not valid there: {0}")]
    Invalid(#[from] ParseError),
    /// The call or request is over, or never was.
    #[error("no such call or request")]
    Gone,
    /// The command does not fit the state of the call.
    #[error("{command} is not possible now: it needs {needs}")]
    State {
        /// What was asked for.
        command: &'static str,
        /// When it would be right.
        needs: &'static str,
    },
    /// The header is one that the endpoint writes itself.
    #[error("the endpoint writes that header itself")]
    Reserved,
    /// A table is full.
    #[error("too many {0}")]
    Limit(&'static str),
}
