//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use super::{ClientAction, Timers, earliest, is_due};
use crate::StatusCode;
use std::time::{Duration, Instant};

/// RFC 3261 figure 5 as RFC 6026 figure 2 corrects it:
///
/// ```text
///                                    |INVITE from TU
///                  Timer A fires     |INVITE sent      Timer B fires
///                  Reset A,          V                 or Transport Err.
///                  INVITE sent +-----------+           inform TU
///                    +---------|           |--------------------------+
///                    |         |  Calling  |                          |
///                    +-------->|           |-----------+              |
///   300-699                    +-----------+ 2xx       |              |
///   ACK sent                      |  |       2xx to TU |              |
///   resp. to TU                   |  |1xx              |              |
///   +-----------------------------+  |1xx to TU        |              |
///   |                                |                 |              |
///   |                1xx             V                 |              |
///   |                1xx to TU +-----------+           |              |
///   |                +---------|           |           |              |
///   |                |         |Proceeding |           |              |
///   |                +-------->|           |           |              |
///   |                          +-----------+ 2xx       |              |
///   |         300-699             |    |     2xx to TU |              |
///   |         ACK sent,  +--------+    +---------------+              |
///   |         resp. to TU|                             |              |
///   |                    |                             V              V
///   |                    V                       +-----------+   +-----------+
///   |              +-----------+  Transport Err. |           |   |           |
///   +------------->|           |  inform TU      | Accepted  |   |           |
///        300-699   | Completed |---------------->|           |-->| Terminated|
///        ACK sent  |           |                 +-----------+   |           |
///          +-------|           |                   |     ^  Timer M fires
///          |       +-----------+                   |     |  -    +-----------+
///          +----->      |  Timer D fires           +-----+            ^
///                       |  -                       2xx                |
///                       |                          2xx to TU          |
///                       +---------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling { a: Option<Instant>, interval: Duration, b: Instant },
    Proceeding { give_up: Option<Instant> },
    Accepted { m: Instant },
    Completed { d: Instant },
    Terminated,
}

/// The INVITE client transaction.
#[derive(Debug, Clone)]
pub struct InviteClient {
    state: State,
    reliable: bool,
}

impl InviteClient {
    /// A transaction whose INVITE is sent now.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        let a = (!reliable).then(|| now + timers.t1);
        Self { state: State::Calling { a, interval: timers.t1, b: now + timers.patience() }, reliable }
    }

    /// A response came.
    pub fn handle_response(&mut self, now: Instant, status: StatusCode, timers: &Timers) -> ClientAction {
        match self.state {
            State::Calling { .. } | State::Proceeding { .. } if status.is_success() => {
                self.state = State::Accepted { m: now + timers.patience() };
                ClientAction::PassUp
            }
            State::Calling { .. } | State::Proceeding { .. } if status.is_final() => {
                // Timer D is zero over a reliable transport (RFC 3261 §17.1.1.2).
                self.state = match self.reliable {
                    true => State::Terminated,
                    false => State::Completed { d: now + timers.d() },
                };
                ClientAction::PassUpAndAck
            }
            State::Calling { .. } => {
                self.state = State::Proceeding { give_up: None };
                ClientAction::PassUp
            }
            State::Proceeding { .. } => ClientAction::PassUp,
            State::Accepted { .. } if status.is_success() => ClientAction::PassUp,
            State::Completed { .. } if status.is_final() && !status.is_success() => ClientAction::Ack,
            State::Accepted { .. } | State::Completed { .. } | State::Terminated => ClientAction::None,
        }
    }

    /// A CANCEL was sent: without a final response within 64 × T1 it is over (RFC 3261 §9.1).
    pub fn cancelled(&mut self, now: Instant, timers: &Timers) {
        if let State::Proceeding { give_up } = &mut self.state {
            *give_up = Some(now + timers.patience());
        }
    }

    /// Whether a CANCEL was sent.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.state, State::Proceeding { give_up: Some(_) })
    }

    /// A timer may be due.
    pub fn handle_timeout(&mut self, now: Instant) -> ClientAction {
        match &mut self.state {
            State::Calling { b, .. } if *b <= now => {
                self.state = State::Terminated;
                ClientAction::TimedOut
            }
            State::Calling { a, interval, .. } if is_due(*a, now) => {
                // Timer A doubles without a bound but timer B (RFC 3261 §17.1.1.2).
                *interval = interval.saturating_mul(2);
                *a = Some(now + *interval);
                ClientAction::Retransmit
            }
            State::Proceeding { give_up } if is_due(*give_up, now) => {
                self.state = State::Terminated;
                ClientAction::TimedOut
            }
            State::Accepted { m: at } | State::Completed { d: at } if *at <= now => {
                self.state = State::Terminated;
                ClientAction::None
            }
            _ => ClientAction::None,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { a, b, .. } => earliest(a, Some(b)),
            State::Proceeding { give_up } => give_up,
            State::Accepted { m: at } | State::Completed { d: at } => Some(at),
            State::Terminated => None,
        }
    }

    /// Whether a provisional but no final response came: then a CANCEL may be sent.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether no final response came yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
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
    fn timer_a_doubles_until_timer_b() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteClient::new(t0, false, &timers);
        let fired = fire(&mut machine, t0, InviteClient::deadline, |m, now| m.handle_timeout(now));
        let retransmits: Vec<u128> =
            fired.iter().filter(|(_, a)| *a == ClientAction::Retransmit).map(|(at, _)| *at).collect();
        assert_eq!(retransmits, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(fired.last(), Some(&(32_000, ClientAction::TimedOut)));
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_reliable_transport_retransmits_nothing() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteClient::new(t0, true, &timers);
        let fired = fire(&mut machine, t0, InviteClient::deadline, |m, now| m.handle_timeout(now));
        assert_eq!(fired, [(32_000, ClientAction::TimedOut)]);
    }

    #[test]
    fn provisionals_stop_all_timers() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteClient::new(t0, false, &timers);
        assert_eq!(machine.handle_response(t0, StatusCode::TRYING, &timers), ClientAction::PassUp);
        assert_eq!(machine.deadline(), None);
        assert_eq!(machine.handle_response(t0, StatusCode::RINGING, &timers), ClientAction::PassUp);
        machine.cancelled(t0, &timers);
        assert_eq!(machine.deadline(), Some(t0 + timers.patience()));
        assert_eq!(machine.handle_timeout(t0 + timers.patience()), ClientAction::TimedOut);
    }

    #[test]
    fn refusals_are_acknowledged_for_timer_d() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteClient::new(t0, false, &timers);
        assert_eq!(machine.handle_response(t0, StatusCode::BUSY_HERE, &timers), ClientAction::PassUpAndAck);
        assert_eq!(machine.handle_response(t0, StatusCode::BUSY_HERE, &timers), ClientAction::Ack);
        assert_eq!(machine.handle_response(t0, StatusCode::OK, &timers), ClientAction::None);
        assert_eq!(machine.deadline(), Some(t0 + Duration::from_secs(32)));
        assert_eq!(machine.handle_timeout(t0 + Duration::from_secs(32)), ClientAction::None);
        assert!(machine.is_terminated());
        let mut machine = InviteClient::new(t0, true, &timers);
        assert_eq!(machine.handle_response(t0, StatusCode::BUSY_HERE, &timers), ClientAction::PassUpAndAck);
        assert!(machine.is_terminated(), "timer D is zero over a stream");
    }

    #[test]
    fn every_2xx_goes_up_for_timer_m() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = InviteClient::new(t0, true, &timers);
        for _ in 0..3 {
            assert_eq!(machine.handle_response(t0, StatusCode::OK, &timers), ClientAction::PassUp);
        }
        assert_eq!(machine.handle_response(t0, StatusCode::BUSY_HERE, &timers), ClientAction::None);
        assert_eq!(machine.handle_response(t0, StatusCode::RINGING, &timers), ClientAction::None);
        assert_eq!(machine.handle_timeout(t0 + Duration::from_secs(32)), ClientAction::None);
        assert!(machine.is_terminated());
    }
}
