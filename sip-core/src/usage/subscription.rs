//! The states of a subscription of ours, whether by SUBSCRIBE (RFC 6665 §4.1) or by REFER
//! (RFC 3515 §2.4.4).

use crate::{StatusCode, header::SubscriptionState, transaction::Timers};
use std::time::{Duration, Instant};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubscriberAction {
    None,
    /// SUBSCRIBE with this Expires: in its dialog, or if there is none to make one.
    Subscribe(u32),
    /// It is lost; it begins again by itself after this time.
    Lost(String, Duration),
    /// It is over.
    Over(String),
}

/// ```text
///   start()        2xx                    NOTIFY
///  Asking ------> Pending(timer N) ------------------> Up(refresh, end)
///    ^ |            ^    | timer                         |  | SUBSCRIBE in the dialog
///    | | refused    |    v                   terminated  |  | at refresh
///    | +--------> (over) or Resting(until) <-------------+  |
///    |                      |                               | stop()
///    +----------------------+                           Leaving(timer N) --NOTIFY--> (over)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The SUBSCRIBE that makes it is under way.
    Asking,
    /// It was accepted; no NOTIFY came yet (RFC 6665 §4.1.2.4).
    Pending {
        n: Instant,
    },
    Up {
        refresh: Option<Instant>,
        end: Option<Instant>,
    },
    /// It was given up; the last NOTIFY did not come yet.
    Leaving {
        n: Instant,
    },
    Resting {
        until: Instant,
    },
}

/// One subscription of ours.
#[derive(Debug)]
pub(crate) struct Subscriber {
    state: State,
    /// What is asked for, in seconds.
    expires: u32,
    /// Made by SUBSCRIBE: it is refreshed.
    refreshed: bool,
    /// Whether it begins again when it is lost.
    keep: bool,
    retry: Duration,
    max_retry: Duration,
    failures: u32,
    /// How often in a row a 423 was followed.
    followed: u8,
}

/// How many 423 in a row are followed.
const MAX_FOLLOWED: u8 = 4;

impl Subscriber {
    /// Its first SUBSCRIBE is under way; zero seconds fetch the state once (RFC 6665 §4.4.3).
    pub(crate) fn new(expires: u32, keep: bool, retry: Duration, max_retry: Duration) -> Self {
        let keep = keep && expires > 0;
        Self {
            state: State::Asking,
            expires,
            refreshed: true,
            keep,
            retry,
            max_retry,
            failures: 0,
            followed: 0,
        }
    }

    /// One that a REFER under way makes.
    pub(crate) fn implicit() -> Self {
        Self { refreshed: false, ..Self::new(1, false, Duration::ZERO, Duration::ZERO) }
    }

    /// A 2xx came, which grants that many seconds if it says so.
    pub(crate) fn accepted(&mut self, now: Instant, granted: Option<u32>, timers: &Timers) {
        self.followed = 0;
        let granted = granted.unwrap_or(self.expires);
        match self.state {
            State::Asking => self.state = State::Pending { n: now + timers.patience() },
            // RFC 3515 §2.4.4: how long one of a REFER lasts, its NOTIFY has said already.
            State::Up { .. } if !self.refreshed => {}
            State::Up { .. } => self.up(now, granted),
            State::Pending { .. } | State::Leaving { .. } | State::Resting { .. } => {}
        }
    }

    /// A request was refused: with 423 and this Min-Expires, with this Retry-After.
    pub(crate) fn refused(
        &mut self,
        now: Instant,
        status: Option<StatusCode>,
        min: Option<u32>,
        retry_after: Option<u32>,
        reason: String,
    ) -> SubscriberAction {
        if status == Some(StatusCode::INTERVAL_TOO_BRIEF)
            && let Some(min) = min.filter(|min| *min > self.expires && self.followed < MAX_FOLLOWED)
        {
            self.followed += 1;
            self.expires = min;
            return SubscriberAction::Subscribe(min);
        }
        self.followed = 0;
        match (self.state, status) {
            // A REFER that comes to nothing makes no subscription, though a NOTIFY came before.
            _ if !self.refreshed => SubscriberAction::Over(reason),
            // RFC 6665 §4.1.2.1: whoever does not know the package, or us, will not later either.
            (_, Some(StatusCode::BAD_EVENT | StatusCode::FORBIDDEN | StatusCode::DECLINE)) => {
                SubscriberAction::Over(reason)
            }
            (State::Leaving { .. }, _) => SubscriberAction::Over(reason),
            // The subscription is gone; a new one may be made (RFC 6665 §4.1.2.2).
            (State::Up { .. }, Some(StatusCode::CALL_DOES_NOT_EXIST)) => {
                self.lost(now, Duration::ZERO, reason)
            }
            // It stays until it expires, and is refreshed again (RFC 6665 §4.1.2.2).
            (State::Up { end, .. }, _) => {
                let wait = self.wait(retry_after);
                self.state = State::Up { refresh: Some(now + wait), end };
                SubscriberAction::None
            }
            _ => {
                let wait = self.wait(retry_after);
                self.lost(now, wait, reason)
            }
        }
    }

    /// A NOTIFY came (RFC 6665 §4.1.3).
    pub(crate) fn notified(&mut self, now: Instant, state: &SubscriptionState) -> SubscriberAction {
        if state.is_terminated() {
            let reason = state.reason().unwrap_or("noresource");
            let later = state.params.get("retry-after").and_then(|s| s.parse().ok());
            let text = format!("terminated: {reason}");
            if matches!(self.state, State::Leaving { .. }) || self.expires == 0 {
                return SubscriberAction::Over(text);
            }
            return match reason.to_ascii_lowercase().as_str() {
                // At once, but not again and again.
                "deactivated" | "timeout" if self.failures == 0 => {
                    self.failures = 1;
                    self.lost(now, Duration::ZERO, text)
                }
                "probation" | "giveup" => {
                    let wait = self.wait(later);
                    self.lost(now, wait, text)
                }
                "rejected" | "noresource" | "invariant" => SubscriberAction::Over(text),
                // Others are treated as if there were none: it may begin again (RFC 6665 §4.1.3).
                _ => {
                    let wait = self.wait(later);
                    self.lost(now, wait, text)
                }
            };
        }
        if !matches!(self.state, State::Leaving { .. } | State::Resting { .. }) {
            self.failures = 0;
            let left = match &self.state {
                State::Up { end: Some(end), .. } => u32::try_from((*end - now.min(*end)).as_secs()).ok(),
                _ => None,
            };
            let expires = state.expires().or(left).or(self.refreshed.then_some(self.expires));
            match expires {
                Some(expires) => self.up(now, expires),
                None => self.state = State::Up { refresh: None, end: None },
            }
        }
        SubscriberAction::None
    }

    /// It is not wanted any more.
    pub(crate) fn stop(&mut self, now: Instant, timers: &Timers) -> SubscriberAction {
        self.keep = false;
        match self.state {
            // There is nothing to take back, or nothing that can be.
            State::Resting { .. } | State::Asking => SubscriberAction::Over("given up".to_owned()),
            State::Leaving { .. } => SubscriberAction::None,
            State::Pending { .. } | State::Up { .. } if self.refreshed => {
                self.state = State::Leaving { n: now + timers.patience() };
                SubscriberAction::Subscribe(0)
            }
            State::Pending { .. } | State::Up { .. } => SubscriberAction::Over("given up".to_owned()),
        }
    }

    /// Refreshes now; one that rests after a failure begins again.
    pub(crate) fn refresh(&mut self) -> bool {
        match &mut self.state {
            // Without a time for it one is under way.
            State::Up { refresh, .. } => refresh.take().is_some(),
            State::Resting { .. } => {
                (self.state, self.failures) = (State::Asking, 0);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> SubscriberAction {
        match self.state {
            State::Pending { n } if n <= now => {
                let wait = self.wait(None);
                self.lost(now, wait, "no NOTIFY came".to_owned())
            }
            State::Leaving { n } if n <= now => SubscriberAction::Over("no NOTIFY came".to_owned()),
            State::Up { end: Some(end), .. } if end <= now => {
                self.lost(now, Duration::ZERO, "it expired".to_owned())
            }
            State::Up { refresh: Some(at), end } if at <= now => {
                self.state = State::Up { refresh: None, end };
                SubscriberAction::Subscribe(self.expires)
            }
            State::Resting { until } if until <= now => {
                self.state = State::Asking;
                SubscriberAction::Subscribe(self.expires)
            }
            _ => SubscriberAction::None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Asking => None,
            State::Pending { n: at } | State::Leaving { n: at } | State::Resting { until: at } => Some(at),
            State::Up { refresh, end } => refresh.into_iter().chain(end).min(),
        }
    }

    /// Well before the end: half of a short lifetime, and all but half a minute of a long one.
    fn up(&mut self, now: Instant, expires: u32) {
        let seconds = u64::from(expires);
        let after = if seconds > 120 { seconds - 30 } else { seconds / 2 };
        self.state = State::Up {
            refresh: self.refreshed.then(|| now + Duration::from_secs(after.max(1))),
            end: Some(now + Duration::from_secs(seconds.max(1))),
        };
    }

    fn wait(&mut self, given: Option<u32>) -> Duration {
        let factor = 1_u32 << self.failures.min(16);
        self.failures += 1;
        let own = self.retry.saturating_mul(factor).min(self.max_retry);
        given.map_or(own, |s| Duration::from_secs(u64::from(s)).max(own))
    }

    fn lost(&mut self, now: Instant, wait: Duration, reason: String) -> SubscriberAction {
        if !self.keep {
            return SubscriberAction::Over(reason);
        }
        self.state = State::Resting { until: now + wait };
        SubscriberAction::Lost(reason, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{header::TypedHeader, transaction::testing::start};

    fn state(text: &str) -> SubscriptionState {
        SubscriptionState::parse(text).unwrap()
    }

    fn subscriber(keep: bool) -> Subscriber {
        Subscriber::new(600, keep, Duration::from_secs(5), Duration::from_secs(300))
    }

    #[test]
    fn refreshed_in_time() {
        let (t0, timers) = (start(), Timers::default());
        let mut s = subscriber(true);
        s.accepted(t0, Some(300), &timers);
        assert_eq!((s.deadline().unwrap() - t0).as_secs(), 32, "timer N");
        assert_eq!(s.notified(t0, &state("active;expires=300")), SubscriberAction::None);
        let at = s.deadline().unwrap();
        assert_eq!((at - t0).as_secs(), 270);
        assert_eq!(s.handle_timeout(at), SubscriberAction::Subscribe(600));
        s.accepted(at, Some(100), &timers);
        assert_eq!((s.deadline().unwrap() - at).as_secs(), 50);
    }

    #[test]
    fn a_notify_before_the_2xx_of_a_refer_says_how_long() {
        let (t0, timers) = (start(), Timers::default());
        let mut s = Subscriber::implicit();
        assert_eq!(s.notified(t0, &state("active;expires=180")), SubscriberAction::None);
        s.accepted(t0, None, &timers);
        assert_eq!((s.deadline().unwrap() - t0).as_secs(), 180);
    }

    #[test]
    fn a_refer_that_is_refused_after_its_notify_is_over() {
        let t0 = start();
        let mut s = Subscriber::implicit();
        assert_eq!(s.notified(t0, &state("active;expires=180")), SubscriberAction::None);
        let refused = s.refused(t0, StatusCode::new(486), None, None, "busy".to_owned());
        assert_eq!(refused, SubscriberAction::Over("busy".to_owned()));
    }

    #[test]
    fn no_notify() {
        let (t0, timers) = (start(), Timers::default());
        let mut s = subscriber(false);
        s.accepted(t0, Some(300), &timers);
        let at = s.deadline().unwrap();
        assert_eq!(s.handle_timeout(at), SubscriberAction::Over("no NOTIFY came".to_owned()));
        let mut s = subscriber(true);
        s.accepted(t0, Some(300), &timers);
        assert!(matches!(s.handle_timeout(at), SubscriberAction::Lost(_, w) if w.as_secs() == 5));
        assert_eq!(s.handle_timeout(s.deadline().unwrap()), SubscriberAction::Subscribe(600));
    }

    #[test]
    fn reasons_of_rfc_6665_4_1_3() {
        let cases = [
            ("terminated;reason=deactivated", Some(0)),
            ("terminated;reason=timeout", Some(0)),
            ("terminated;reason=probation;retry-after=60", Some(60)),
            ("terminated;reason=giveup", Some(5)),
            ("terminated;reason=unknown", Some(5)),
            ("terminated;reason=rejected", None),
            ("terminated;reason=noresource;retry-after=60", None),
            ("terminated;reason=invariant", None),
        ];
        for (text, wait) in cases {
            let mut s = subscriber(true);
            s.accepted(start(), None, &Timers::default());
            match (s.notified(start(), &state(text)), wait) {
                (SubscriberAction::Lost(_, found), Some(wait)) => assert_eq!(found.as_secs(), wait, "{text}"),
                (SubscriberAction::Over(_), None) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn refusals() {
        let t0 = start();
        let refuse = |s: &mut Subscriber, code: u16, min, later| {
            s.refused(t0, StatusCode::new(code), min, later, "x".to_owned())
        };
        let mut s = subscriber(true);
        assert_eq!(refuse(&mut s, 423, Some(900), None), SubscriberAction::Subscribe(900));
        assert!(
            matches!(refuse(&mut s, 503, None, Some(120)), SubscriberAction::Lost(_, w) if w.as_secs() == 120)
        );
        assert!(matches!(refuse(&mut subscriber(true), 489, None, None), SubscriberAction::Over(_)));
        assert!(matches!(refuse(&mut subscriber(false), 404, None, None), SubscriberAction::Over(_)));
        // A refresh that fails is no end; one that finds nothing is.
        let mut s = subscriber(true);
        s.notified(t0, &state("active;expires=600"));
        assert_eq!(refuse(&mut s, 500, None, None), SubscriberAction::None);
        assert_eq!((s.deadline().unwrap() - t0).as_secs(), 5);
        assert!(matches!(refuse(&mut s, 481, None, None), SubscriberAction::Lost(_, Duration::ZERO)));
    }

    #[test]
    fn given_up_and_fetched() {
        let (t0, timers) = (start(), Timers::default());
        let mut s = subscriber(true);
        s.notified(t0, &state("active"));
        assert_eq!(s.stop(t0, &timers), SubscriberAction::Subscribe(0));
        assert!(matches!(s.notified(t0, &state("terminated;reason=timeout")), SubscriberAction::Over(_)));
        let mut s = Subscriber::new(0, true, Duration::from_secs(5), Duration::from_secs(300));
        s.accepted(t0, Some(0), &timers);
        assert!(matches!(s.notified(t0, &state("terminated;reason=timeout")), SubscriberAction::Over(_)));
    }
}
