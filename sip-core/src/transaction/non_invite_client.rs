//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use super::{ClientAction, Timers, earliest, is_due};
use crate::StatusCode;
use std::time::{Duration, Instant};

/// RFC 3261 figure 6:
///
/// ```text
///                                    |Request from TU
///                                    |send request
///                Timer E             V
///                send request  +-----------+
///                    +---------|           |-------------------+
///                    |         |  Trying   |  Timer F          |
///                    +-------->|           |  or Transport Err.|
///                              +-----------+  inform TU        |
///                 200-699         |  |                         |
///                 resp. to TU     |  |1xx                      |
///                 +---------------+  |resp. to TU              |
///                 |                  |                         |
///                 |   Timer E        V       Timer F           |
///                 |   send req +-----------+ or Transport Err. |
///                 |  +---------|           | inform TU         |
///                 |  |         |Proceeding |------------------>|
///                 |  +-------->|           |-----+             |
///                 |            +-----------+     |1xx          |
///                 |              |      ^        |resp to TU   |
///                 | 200-699      |      +--------+             |
///                 | resp. to TU  |                             |
///                 |              V                             |
///                 |            +-----------+                   |
///                 +----------->| Completed |                   |
///                              +-----------+                   |
///                                 |   Timer K                  |
///                                 |   -                        |
///                                 V                            |
///                              +-----------+                   |
///                              | Terminated|<------------------+
///                              +-----------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying { e: Option<Instant>, interval: Duration, f: Instant },
    Proceeding { e: Option<Instant>, f: Instant },
    Completed { k: Instant },
    Terminated,
}

/// The client transaction of any request but INVITE and ACK.
#[derive(Debug, Clone)]
pub struct NonInviteClient {
    state: State,
    reliable: bool,
}

impl NonInviteClient {
    /// A transaction whose request is sent now.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        let e = (!reliable).then(|| now + timers.t1);
        Self { state: State::Trying { e, interval: timers.t1, f: now + timers.patience() }, reliable }
    }

    /// A response came.
    pub fn handle_response(&mut self, now: Instant, status: StatusCode, timers: &Timers) -> ClientAction {
        match self.state {
            State::Trying { .. } | State::Proceeding { .. } if status.is_final() => {
                // Timer K is zero over a reliable transport (RFC 3261 §17.1.2.2).
                self.state = match self.reliable {
                    true => State::Terminated,
                    false => State::Completed { k: now + timers.t4 },
                };
                ClientAction::PassUp
            }
            State::Trying { e, f, .. } => {
                self.state = State::Proceeding { e: e.map(|_| now + timers.t2), f };
                ClientAction::PassUp
            }
            State::Proceeding { .. } => ClientAction::PassUp,
            State::Completed { .. } | State::Terminated => ClientAction::None,
        }
    }

    /// A timer may be due.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> ClientAction {
        match &mut self.state {
            State::Trying { f, .. } | State::Proceeding { f, .. } if *f <= now => {
                self.state = State::Terminated;
                ClientAction::TimedOut
            }
            State::Trying { e, interval, .. } if is_due(*e, now) => {
                *interval = timers.next_interval(*interval);
                *e = Some(now + *interval);
                ClientAction::Retransmit
            }
            State::Proceeding { e, .. } if is_due(*e, now) => {
                *e = Some(now + timers.t2);
                ClientAction::Retransmit
            }
            State::Completed { k } if *k <= now => {
                self.state = State::Terminated;
                ClientAction::None
            }
            _ => ClientAction::None,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { e, f, .. } | State::Proceeding { e, f } => earliest(e, Some(f)),
            State::Completed { k } => Some(k),
            State::Terminated => None,
        }
    }

    /// Whether no final response came yet.
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
    use crate::transaction::testing::{fire, start};

    #[test]
    fn timer_e_doubles_up_to_t2() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = NonInviteClient::new(t0, false, &timers);
        let fired =
            fire(&mut machine, t0, NonInviteClient::deadline, |m, now| m.handle_timeout(now, &timers));
        let times: Vec<u128> = fired.iter().map(|(at, _)| *at).collect();
        // RFC 3261 §17.1.2.2 gives this series.
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]);
        assert_eq!(fired.last().map(|(_, a)| *a), Some(ClientAction::TimedOut));
    }

    #[test]
    fn in_proceeding_every_t2() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = NonInviteClient::new(t0, false, &timers);
        assert_eq!(machine.handle_response(t0, StatusCode::TRYING, &timers), ClientAction::PassUp);
        assert_eq!(machine.deadline(), Some(t0 + timers.t2));
        let fired =
            fire(&mut machine, t0, NonInviteClient::deadline, |m, now| m.handle_timeout(now, &timers));
        assert_eq!(fired.len(), 8, "every 4 s until 28 s, then timer F: {fired:?}");
    }

    #[test]
    fn a_final_response_goes_up_once() {
        let (t0, timers) = (start(), Timers::default());
        let mut machine = NonInviteClient::new(t0, false, &timers);
        assert_eq!(machine.handle_response(t0, StatusCode::OK, &timers), ClientAction::PassUp);
        assert_eq!(machine.handle_response(t0, StatusCode::OK, &timers), ClientAction::None);
        assert_eq!(machine.deadline(), Some(t0 + timers.t4));
        assert_eq!(machine.handle_timeout(t0 + timers.t4, &timers), ClientAction::None);
        assert!(machine.is_terminated());
        let mut machine = NonInviteClient::new(t0, true, &timers);
        assert_eq!(machine.handle_response(t0, StatusCode::NOT_FOUND, &timers), ClientAction::PassUp);
        assert!(machine.is_terminated(), "timer K is zero over a stream");
    }
}
