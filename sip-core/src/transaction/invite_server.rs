//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use super::{ServerAction, Timers, earliest, is_due};
use crate::StatusCode;
use std::time::{Duration, Instant};

/// RFC 3261 figure 7 as RFC 6026 figure 1 corrects it:
///
/// ```text
///                                    |INVITE
///                                    |pass INV to TU
///                 INVITE             V send 100 if TU won't in 200 ms
///                 send response+------------+
///                     +--------|            |--------+ 101-199 from TU
///                     |        |            |        | send response
///                     +------->|            |<-------+
///                              | Proceeding |
///                              |            |--------+ Transport Err.
///                              |            |        | inform TU
///                              |            |<-------+
///                              +------------+
///                 300-699 from TU |    |2xx from TU
///                 send response   |    |send response
///                  +--------------+    +------------+
///                  |                                |
/// INVITE           V          Timer G fires         |
/// send response +-----------+ send response         |
///      +--------|           |--------+              |
///      |        |           |        |              |
///      +------->| Completed |<-------+      INVITE  |  Transport Err.
///               |           |               -       V  inform TU
///      +--------|           |----+          +-----------+
///      |        +-----------+    | ACK      |           |---+ ACK to TU
///      |           ^   |         | -        | Accepted  |   |
///      |  Timer H  |   |         |          |           |<--+
///      |  fires    +---+         |          |           |   2xx from TU
///      |  inform TU              |          +-----------+   send response
///      |                         V               |
///      |                   +-----------+         | Timer L fires
///      |                   |           |         | -
///      |                   | Confirmed |         |
///      |                   |           |         |
///      |                   +-----------+         |
///      |        Timer I fires |                  |
///      |        -             V                  |
///      |                   +------------+        |
///      +------------------>| Terminated |<-------+
///                          +------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Proceeding { trying: Option<Instant>, responded: bool },
    Accepted { l: Instant },
    Completed { g: Option<Instant>, interval: Duration, h: Instant },
    Confirmed { i: Instant },
    Terminated,
}

/// The INVITE server transaction.
#[derive(Debug, Clone)]
pub struct InviteServer {
    state: State,
    reliable: bool,
}

impl InviteServer {
    /// A transaction whose INVITE came now.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        Self { state: State::Proceeding { trying: Some(now + timers.trying), responded: false }, reliable }
    }

    /// The INVITE came again.
    pub fn handle_retransmission(&mut self) -> ServerAction {
        match &mut self.state {
            State::Proceeding { responded: true, .. } | State::Completed { .. } => ServerAction::Retransmit,
            // The caller is impatient: 100 stops its retransmissions.
            State::Proceeding { trying, responded } => {
                (*trying, *responded) = (None, true);
                ServerAction::SendTrying
            }
            // The user retransmits its 2xx itself (RFC 6026 §7.1).
            State::Accepted { .. } | State::Confirmed { .. } | State::Terminated => ServerAction::None,
        }
    }

    /// The ACK came.
    pub fn handle_ack(&mut self, now: Instant, timers: &Timers) -> ServerAction {
        match self.state {
            State::Completed { .. } => {
                // Timer I is zero over a reliable transport (RFC 3261 §17.2.1).
                self.state = match self.reliable {
                    true => State::Terminated,
                    false => State::Confirmed { i: now + timers.t4 },
                };
                ServerAction::None
            }
            State::Accepted { .. } => ServerAction::PassUp,
            State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated => ServerAction::None,
        }
    }

    /// The user responds; whether that may still be sent.
    pub fn respond(&mut self, now: Instant, status: StatusCode, timers: &Timers) -> bool {
        match &mut self.state {
            State::Proceeding { trying, responded } => {
                if status.is_provisional() {
                    (*trying, *responded) = (None, true);
                } else if status.is_success() {
                    self.state = State::Accepted { l: now + timers.patience() };
                } else {
                    let g = (!self.reliable).then(|| now + timers.t1);
                    self.state = State::Completed { g, interval: timers.t1, h: now + timers.patience() };
                }
                true
            }
            State::Accepted { .. } => status.is_success(),
            State::Completed { .. } | State::Confirmed { .. } | State::Terminated => false,
        }
    }

    /// A timer may be due.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> ServerAction {
        match &mut self.state {
            State::Proceeding { trying, responded } if is_due(*trying, now) => {
                (*trying, *responded) = (None, true);
                ServerAction::SendTrying
            }
            State::Completed { h, .. } if *h <= now => {
                self.state = State::Terminated;
                ServerAction::TimedOut
            }
            State::Completed { g, interval, .. } if is_due(*g, now) => {
                *interval = timers.next_interval(*interval);
                *g = Some(now + *interval);
                ServerAction::Retransmit
            }
            State::Accepted { l: at } | State::Confirmed { i: at } if *at <= now => {
                self.state = State::Terminated;
                ServerAction::None
            }
            _ => ServerAction::None,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Proceeding { trying, .. } => trying,
            State::Accepted { l: at } | State::Confirmed { i: at } => Some(at),
            State::Completed { g, h, .. } => earliest(g, Some(h)),
            State::Terminated => None,
        }
    }

    /// Whether no final response was given yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testing::{fire, start};

    #[test]
    fn trying_only_if_nothing_else_was_sent() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteServer::new(t0, false, &timers);
        assert_eq!(machine.deadline(), Some(t0 + Duration::from_millis(200)));
        assert_eq!(
            machine.handle_timeout(t0 + Duration::from_millis(200), &timers),
            ServerAction::SendTrying
        );
        assert_eq!(machine.deadline(), None);
        assert_eq!(machine.handle_retransmission(), ServerAction::Retransmit);
        let mut machine = InviteServer::new(t0, false, &timers);
        assert!(machine.respond(t0, StatusCode::RINGING, &timers));
        assert_eq!(machine.deadline(), None);
        let mut machine = InviteServer::new(t0, false, &timers);
        assert_eq!(machine.handle_retransmission(), ServerAction::SendTrying);
        assert_eq!(machine.handle_retransmission(), ServerAction::Retransmit);
    }

    #[test]
    fn a_refusal_is_repeated_until_the_ack() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteServer::new(t0, false, &timers);
        assert!(machine.respond(t0, StatusCode::BUSY_HERE, &timers));
        assert!(!machine.respond(t0, StatusCode::OK, &timers), "one final response");
        let mut late = machine.clone();
        let fired = fire(&mut late, t0, InviteServer::deadline, |m, now| m.handle_timeout(now, &timers));
        let times: Vec<u128> = fired.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]);
        assert_eq!(fired.last().map(|(_, a)| *a), Some(ServerAction::TimedOut));

        assert_eq!(machine.handle_ack(t0, &timers), ServerAction::None);
        assert_eq!(machine.handle_ack(t0, &timers), ServerAction::None);
        assert_eq!(machine.handle_retransmission(), ServerAction::None);
        assert_eq!(machine.deadline(), Some(t0 + timers.t4));
        machine.handle_timeout(t0 + timers.t4, &timers);
        assert!(machine.is_terminated());
    }

    #[test]
    fn an_accepted_invite_absorbs_itself_and_passes_acks() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteServer::new(t0, false, &timers);
        assert!(machine.respond(t0, StatusCode::OK, &timers));
        assert_eq!(machine.handle_retransmission(), ServerAction::None);
        assert_eq!(machine.handle_ack(t0, &timers), ServerAction::PassUp);
        assert!(machine.respond(t0, StatusCode::OK, &timers), "the user may repeat its 2xx");
        let fired = fire(&mut machine, t0, InviteServer::deadline, |m, now| m.handle_timeout(now, &timers));
        assert_eq!(fired, [(32_000, ServerAction::None)]);
    }

    #[test]
    fn over_a_stream_nothing_is_repeated() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteServer::new(t0, true, &timers);
        assert!(machine.respond(t0, StatusCode::BUSY_HERE, &timers));
        assert_eq!(machine.deadline(), Some(t0 + timers.patience()));
        machine.handle_ack(t0, &timers);
        assert!(machine.is_terminated(), "timer I is zero over a stream");
    }
}
