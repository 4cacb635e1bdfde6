//! `a=sendrecv` and its like (RFC 8866 §6.7).

use super::Attribute;
use crate::error::ParseError;

/// Which way media flows, seen from who writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// From the writer.
    SendOnly,
    /// To the writer.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From whether the writer sends and receives.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same, seen from the other end.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What of this is left where only `other` is allowed, both seen from the same end.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The answer to an offer of this direction by one who wants `wish` (RFC 3264 §6.1).
    pub const fn answer(self, wish: Self) -> Self {
        self.reversed().and(wish)
    }

    /// The same, but without receiving: what 0.0.0.0 makes of it.
    pub const fn without_receiving(self) -> Self {
        Self::new(self.sends(), false)
    }

    /// As it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Direction::SendRecv,
            "sendonly" => Direction::SendOnly,
            "recvonly" => Direction::RecvOnly,
            "inactive" => Direction::Inactive,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Attribute for Direction {
    fn is_named(name: &str) -> bool {
        Self::from_name(name).is_some()
    }

    fn read(name: &str, _: Option<&str>) -> Result<Self, ParseError> {
        Self::from_name(name).ok_or(ParseError::syntax("a direction"))
    }

    fn name(&self) -> &str {
        self.as_str()
    }

    fn write(&self, _: &mut String) {}
}

#[cfg(test)]
mod tests {
    use super::Direction::{self, Inactive, RecvOnly, SendOnly, SendRecv};

    #[test]
    fn answers_of_rfc_3264() {
        // RFC 3264 §6.1: offered, what the answerer wishes, what it answers.
        for (offered, wish, answer) in [
            (SendRecv, SendRecv, SendRecv),
            (SendRecv, SendOnly, SendOnly),
            (SendOnly, SendRecv, RecvOnly),
            (SendOnly, SendOnly, Inactive),
            (RecvOnly, SendRecv, SendOnly),
            (RecvOnly, RecvOnly, Inactive),
            (Inactive, SendRecv, Inactive),
        ] {
            assert_eq!(Direction::answer(offered, wish), answer, "{offered} {wish}");
        }
    }
}
