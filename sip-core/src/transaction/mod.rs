//! Transactions (RFC 3261 §17, RFC 6026): one file per figure.
//!
//! A machine here holds a state and its timers and nothing else: it is told of events and says
//! what to do. Messages, keys and transports are the [endpoint](crate::endpoint)'s.

mod invite_client;
mod invite_server;
mod key;
mod non_invite_client;
mod non_invite_server;

pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub(crate) use key::{MergeKey, ServerKey};
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;

use std::time::{Duration, Instant};

/// The base timers (RFC 3261 §17.1.1.1); the others follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// T1: the round-trip time that is assumed.
    pub t1: Duration,
    /// T2: the longest interval of retransmissions but of INVITE.
    pub t2: Duration,
    /// T4: how long a message may stay in the network.
    pub t4: Duration,
    /// When 100 is sent for an INVITE that nobody answered yet (RFC 3261 §17.2.1).
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            trying: Duration::from_millis(200),
        }
    }
}

impl Timers {
    /// 64 × T1: how long a transaction waits (timers B, F, H, J, L and M).
    pub fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: how long an INVITE client answers retransmitted responses, at least 32 s.
    pub fn d(&self) -> Duration {
        self.patience().max(Duration::from_secs(32))
    }

    /// The interval after `last`: doubled, up to T2.
    pub fn next_interval(&self, last: Duration) -> Duration {
        last.saturating_mul(2).min(self.t2)
    }
}

/// What a client transaction wants after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing.
    None,
    /// The request is to be sent again.
    Retransmit,
    /// The response is for the user.
    PassUp,
    /// The response is for the user, and the transaction acknowledges it (RFC 3261 §17.1.1.3).
    PassUpAndAck,
    /// The response is a retransmission, to be acknowledged again.
    Ack,
    /// The user is to be told that nobody answered.
    TimedOut,
}

/// What a server transaction wants after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing.
    None,
    /// The last response is to be sent again.
    Retransmit,
    /// 100 is to be sent (RFC 3261 §17.2.1).
    SendTrying,
    /// The request (an ACK of a 2xx) is for the user.
    PassUp,
    /// The user is to be told that its response was never acknowledged.
    TimedOut,
}

/// When `timer` is due at `now`.
fn is_due(timer: Option<Instant>, now: Instant) -> bool {
    timer.is_some_and(|at| at <= now)
}

/// The earliest of two timers.
fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
pub(crate) mod testing {
    use std::time::Instant;

    /// An instant to begin with: a machine only compares and adds.
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other source; its value does not matter"
    )]
    pub(crate) fn start() -> Instant {
        Instant::now()
    }

    /// Fires every timer until there is none: milliseconds from the start and what was done.
    pub(crate) fn fire<M, A>(
        machine: &mut M,
        start: Instant,
        deadline: impl Fn(&M) -> Option<Instant>,
        mut timeout: impl FnMut(&mut M, Instant) -> A,
    ) -> Vec<(u128, A)> {
        let mut fired = Vec::new();
        while let Some(at) = deadline(machine) {
            fired.push(((at - start).as_millis(), timeout(machine, at)));
            assert!(fired.len() < 100, "a timer that does not end");
        }
        fired
    }
}
