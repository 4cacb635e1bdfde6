//! The states of a peer's subscription to us (RFC 6665 §4.2).

use crate::endpoint::Body;
use std::time::{Duration, Instant};

/// What a subscription of a peer's is (RFC 6665 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifierState {
    /// It waits for somebody to decide.
    Pending,
    /// It is accepted.
    Active,
    /// It is over, for this reason: `deactivated`, `rejected`, `noresource`, `timeout`, …
    Terminated {
        /// The reason.
        reason: String,
        /// When the peer may try again, in seconds.
        retry_after: Option<u32>,
    },
}

impl NotifierState {
    /// It is over, for this reason.
    pub fn terminated(reason: &str) -> Self {
        Self::Terminated { reason: reason.to_owned(), retry_after: None }
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self, Self::Terminated { .. })
    }
}

/// A NOTIFY to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) state: String,
    pub(crate) body: Option<Body>,
    pub(crate) last: bool,
}

/// One subscription of a peer's: one NOTIFY in flight, the latest state follows it.
#[derive(Debug)]
pub(crate) struct NotifierMachine {
    state: NotifierState,
    expires: Instant,
    body: Option<Body>,
    in_flight: bool,
    dirty: bool,
}

impl NotifierMachine {
    pub(crate) fn new(now: Instant, expires: u32, state: NotifierState, body: Option<Body>) -> Self {
        let expires = now + Duration::from_secs(u64::from(expires));
        Self { state, expires, body, in_flight: false, dirty: true }
    }

    /// The state or its meaning changed.
    pub(crate) fn set(&mut self, state: NotifierState, body: Option<Body>) {
        if !self.state.is_terminated() {
            (self.state, self.body, self.dirty) = (state, body, true);
        }
    }

    /// The peer refreshed it, or gave it up with zero (RFC 6665 §4.2.1.4); it is told again.
    pub(crate) fn refreshed(&mut self, now: Instant, expires: u32) {
        self.expires = now + Duration::from_secs(u64::from(expires));
        self.dirty = true;
        if expires == 0 && !self.state.is_terminated() {
            self.state = NotifierState::terminated("timeout");
        }
    }

    /// The NOTIFY to send now, if any.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Notice> {
        if self.in_flight || !self.dirty {
            return None;
        }
        (self.in_flight, self.dirty) = (true, false);
        let left = self.expires.saturating_duration_since(now).as_secs();
        let (state, last) = match &self.state {
            NotifierState::Pending => (format!("pending;expires={left}"), false),
            NotifierState::Active => (format!("active;expires={left}"), false),
            NotifierState::Terminated { reason, retry_after: None } => {
                (format!("terminated;reason={reason}"), true)
            }
            NotifierState::Terminated { reason, retry_after: Some(after) } => {
                (format!("terminated;reason={reason};retry-after={after}"), true)
            }
        };
        Some(Notice { state, body: self.body.clone(), last })
    }

    /// The NOTIFY in flight was answered; whether that was the last one.
    pub(crate) fn answered(&mut self) -> bool {
        self.in_flight = false;
        self.state.is_terminated() && !self.dirty
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.expires <= now && !self.state.is_terminated() {
            // RFC 6665 §4.2.1.4.
            self.set(NotifierState::terminated("timeout"), self.body.clone());
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.state.is_terminated()).then_some(self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testing::start;

    #[test]
    fn one_at_a_time_and_the_latest() {
        let t0 = start();
        let body = |text: &'static str| Some(Body::new("text/plain", text));
        let mut notifier = NotifierMachine::new(t0, 60, NotifierState::Pending, None);
        assert_eq!(notifier.poll(t0).unwrap().state, "pending;expires=60");
        notifier.set(NotifierState::Active, body("a"));
        notifier.set(NotifierState::Active, body("b"));
        assert_eq!(notifier.poll(t0), None, "one is in flight");
        assert!(!notifier.answered());
        let notice = notifier.poll(t0 + Duration::from_secs(20)).unwrap();
        assert_eq!((notice.state.as_str(), notice.body), ("active;expires=40", body("b")));
        notifier.answered();
        notifier.handle_timeout(notifier.deadline().unwrap());
        let notice = notifier.poll(t0).unwrap();
        assert_eq!((notice.state.as_str(), notice.last), ("terminated;reason=timeout", true));
        assert!(notifier.answered() && notifier.deadline().is_none());
    }
}
