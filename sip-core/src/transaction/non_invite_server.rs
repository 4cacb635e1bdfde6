//! The non-INVITE server transaction (RFC 3261 §17.2.2).

use super::{ServerAction, Timers};
use crate::StatusCode;
use std::time::Instant;

/// RFC 3261 figure 8:
///
/// ```text
///                                   |Request received
///                                   |pass to TU
///                                   V
///                             +-----------+
///                             |           |
///                             | Trying    |-------------+
///                             |           |             |
///                             +-----------+             |200-699 from TU
///                                   |                   |send response
///                                   |1xx from TU        |
///                                   |send response      |
///                                   |                   |
///                Request            V      1xx from TU  |
///                send response+-----------+send response|
///                    +--------|           |--------+    |
///                    |        | Proceeding|        |    |
///                    +------->|           |<-------+    |
///             +<--------------|           |             |
///             |Trnsprt Err    +-----------+             |
///             |Inform TU            |                   |
///             |                     |                   |
///             |                     |200-699 from TU    |
///             |                     |send response      |
///             |  Request            V                   |
///             |  send response+-----------+             |
///             |      +--------|           |             |
///             |      |        | Completed |<------------+
///             |      +------->|           |
///             +<--------------|           |
///             |Trnsprt Err    +-----------+
///             |Inform TU            |
///             |                     |Timer J fires
///             |                     |-
///             |                     V
///             |               +-----------+
///             +-------------->| Terminated|
///                             +-----------+
/// ```
///
/// A user that never responds ends it too, after 64 × T1: then the client has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying { give_up: Instant },
    Proceeding { give_up: Instant },
    Completed { j: Instant },
    Terminated,
}

/// The server transaction of any request but INVITE and ACK.
#[derive(Debug, Clone)]
pub struct NonInviteServer {
    state: State,
    reliable: bool,
}

impl NonInviteServer {
    /// A transaction whose request came now.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        Self { state: State::Trying { give_up: now + timers.patience() }, reliable }
    }

    /// The request came again.
    pub fn handle_retransmission(&self) -> ServerAction {
        match self.state {
            State::Trying { .. } | State::Terminated => ServerAction::None,
            State::Proceeding { .. } | State::Completed { .. } => ServerAction::Retransmit,
        }
    }

    /// The user responds; whether that may still be sent.
    pub fn respond(&mut self, now: Instant, status: StatusCode, timers: &Timers) -> bool {
        match self.state {
            State::Trying { give_up } | State::Proceeding { give_up } => {
                self.state = if status.is_provisional() {
                    State::Proceeding { give_up }
                } else if self.reliable {
                    // Timer J is zero over a reliable transport (RFC 3261 §17.2.2).
                    State::Terminated
                } else {
                    State::Completed { j: now + timers.patience() }
                };
                true
            }
            State::Completed { .. } | State::Terminated => false,
        }
    }

    /// A timer may be due.
    pub fn handle_timeout(&mut self, now: Instant) -> ServerAction {
        match self.state {
            State::Trying { give_up } | State::Proceeding { give_up } if give_up <= now => {
                self.state = State::Terminated;
                ServerAction::TimedOut
            }
            State::Completed { j } if j <= now => {
                self.state = State::Terminated;
                ServerAction::None
            }
            _ => ServerAction::None,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { give_up: at }
            | State::Proceeding { give_up: at }
            | State::Completed { j: at } => Some(at),
            State::Terminated => None,
        }
    }

    /// Whether no final response was given yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testing::start;

    #[test]
    fn figure_8() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = NonInviteServer::new(t0, false, &timers);
        assert_eq!(machine.handle_retransmission(), ServerAction::None, "nothing to send in Trying");
        assert!(machine.respond(t0, StatusCode::TRYING, &timers));
        assert_eq!(machine.handle_retransmission(), ServerAction::Retransmit);
        assert!(machine.respond(t0, StatusCode::OK, &timers));
        assert!(!machine.respond(t0, StatusCode::NOT_FOUND, &timers));
        assert_eq!(machine.handle_retransmission(), ServerAction::Retransmit);
        assert_eq!(machine.deadline(), Some(t0 + timers.patience()));
        assert_eq!(machine.handle_timeout(t0 + timers.patience()), ServerAction::None);
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_user_that_forgets_to_respond() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = NonInviteServer::new(t0, true, &timers);
        assert_eq!(machine.handle_timeout(t0), ServerAction::None);
        assert_eq!(machine.handle_timeout(t0 + timers.patience()), ServerAction::TimedOut);
        assert!(machine.is_terminated());
    }
}
