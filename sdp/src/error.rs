//! Errors by blame: the bytes, the peer, the caller.

use std::fmt;

/// What was wrong with the bytes of a description or of one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A part that the grammar requires is not there.
    Missing,
    /// The text is not what the grammar asks for.
    Syntax,
    /// A number does not fit what it stands for.
    Range,
    /// A version other than `v=0`.
    Version,
    /// A line or attribute stands where it may not, or twice.
    Misplaced,
    /// NUL, or CR outside of a line's end.
    Control,
    /// Bytes that are no UTF-8.
    Encoding,
    /// More than [`Limits`](crate::Limits) allows.
    Limit,
}

/// Where bytes are no SDP, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} ({kind})")]
pub struct ParseError {
    /// Offset in bytes from the start of what was parsed: the description, or the value of an attribute.
    pub at: usize,
    /// The kind of fault.
    pub kind: ErrorKind,
    /// What was expected there.
    pub what: &'static str,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Missing => "missing",
            ErrorKind::Syntax => "syntax",
            ErrorKind::Range => "range",
            ErrorKind::Version => "version",
            ErrorKind::Misplaced => "misplaced",
            ErrorKind::Control => "control character",
            ErrorKind::Encoding => "encoding",
            ErrorKind::Limit => "limit",
        })
    }
}

impl ParseError {
    pub(crate) const fn new(at: usize, kind: ErrorKind, what: &'static str) -> Self {
        Self { at, kind, what }
    }

    pub(crate) const fn syntax(what: &'static str) -> Self {
        Self::new(0, ErrorKind::Syntax, what)
    }

    pub(crate) const fn range(what: &'static str) -> Self {
        Self::new(0, ErrorKind::Range, what)
    }
}

/// The caller asked for what may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// CR, LF or NUL in what becomes part of a line.
    #[error("{what} holds CR, LF or NUL")]
    Control {
        /// The text that was refused.
        what: &'static str,
    },
    /// White space, or nothing, where one word is wanted.
    #[error("{what} is not one word")]
    Word {
        /// The text that was refused.
        what: &'static str,
    },
    /// A text longer than 65,535 bytes.
    #[error("{what} is longer than 65,535 bytes")]
    TooLong {
        /// The text that was refused.
        what: &'static str,
    },
    /// The operation is not legal in this state of the negotiation.
    #[error("{operation} in state {state}; it is legal in {legal_in}")]
    State {
        /// What was called.
        operation: &'static str,
        /// The state the negotiation is in.
        state: &'static str,
        /// Where the call would be right.
        legal_in: &'static str,
    },
    /// A description of ours breaks a rule of offer and answer.
    #[error("our description: {0}")]
    Description(PeerError),
}

/// A description that is well formed but does not fit the negotiation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// An offer came while ours is pending (RFC 3261 §14.2: 491).
    #[error("an offer crossed ours")]
    Glare,
    /// An offer came while the peer's last one has no answer yet (RFC 3261 §14.2: 500).
    #[error("an offer came before the last one was answered")]
    OfferPending,
    /// An answer came that nobody asked for.
    #[error("an answer came without an offer")]
    UnexpectedAnswer,
    /// The description breaks RFC 8866 in a part that is needed.
    #[error("unusable description: {0}")]
    Malformed(#[from] ParseError),
    /// RFC 3264 §6: as many m-lines as in the offer; RFC 3264 §8: never fewer than before.
    #[error("{got} m-lines, expected {expected}")]
    MediaCount {
        /// How many came.
        got: usize,
        /// How many the offer has, or at least how many there must be.
        expected: usize,
    },
    /// RFC 3264 §6: the media type of an answer's line is another than the offer's.
    #[error("m-line {index}: another media type than offered")]
    MediaType {
        /// Which m-line, from 0.
        index: usize,
    },
    /// RFC 3264 §6: the transport of an answer's line is another than the offer's.
    #[error("m-line {index}: another transport than offered")]
    Protocol {
        /// Which m-line, from 0.
        index: usize,
    },
    /// RFC 3264 §6: a stream was accepted that was offered with port 0.
    #[error("m-line {index}: accepted although offered with port 0")]
    Resurrected {
        /// Which m-line, from 0.
        index: usize,
    },
    /// RFC 3264 §6.1: no format of the answer was offered.
    #[error("m-line {index}: no format in common")]
    NoCommonFormat {
        /// Which m-line, from 0.
        index: usize,
    },
    /// RFC 3264 §6.1: the direction is not one that answers the offered one.
    #[error("m-line {index}: the direction does not answer the offered one")]
    Direction {
        /// Which m-line, from 0.
        index: usize,
    },
    /// RFC 8843 §7.3: the stream is in a group that was not offered so, or was offered only in one and is not.
    #[error("m-line {index}: its BUNDLE group does not answer the offered one")]
    Bundle {
        /// Which m-line, from 0.
        index: usize,
    },
    /// RFC 3264 §8: the o= line changed in more than its version, or the version did not follow the last.
    #[error("the o= line does not continue the session")]
    Origin,
}
