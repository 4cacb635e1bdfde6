//! Session timers (RFC 4028): a session that nobody refreshes ends.

use crate::{
    Headers, Method, Request,
    header::{Allow, MinSe, Refresher, Require, SessionExpires, Supported},
};
use std::time::{Duration, Instant};

/// Whether sessions are refreshed (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimerMode {
    /// Never.
    Off,
    /// If both sides can.
    #[default]
    Optional,
    /// Always: a peer that cannot is refused with 421.
    Required,
}

/// Who is to refresh a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshBy {
    /// We are.
    Us,
    /// The peer is.
    Peer,
}

/// How sessions are kept alive (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// Whether they are.
    pub mode: TimerMode,
    /// How long a session lives without a refresh, in seconds; at least `min_se`.
    pub expires: u32,
    /// The shortest interval that is taken, in seconds; 90 at least (RFC 4028 §5).
    pub min_se: u32,
    /// Who is to refresh, where the peer leaves it to us.
    pub refresher: Option<RefreshBy>,
}

impl Default for SessionTimers {
    fn default() -> Self {
        Self { mode: TimerMode::default(), expires: 1_800, min_se: MIN_SE, refresher: None }
    }
}

/// What Min-SE is without the header (RFC 4028 §5).
const MIN_SE: u32 = 90;

/// How many 422 in one session are followed.
const MAX_RAISED: u8 = 8;

/// Why a request cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerRefusal {
    /// 422 with this Min-SE.
    TooSmall(u32),
    /// 421.
    Unsupported,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerAction {
    None,
    Refresh,
    Expired,
}

/// The timer of one session.
///
/// ```text
///            2xx with Session-Expires            half of it, if it is us
///   Stopped -------------------------> Running ---------------------------> refresh
///      ^   2xx without                  |  ^                                   | 2xx
///      +--------------------------------+  +-----------------------------------+
///                                       | min(32 s, a third) before the end: BYE
/// ```
#[derive(Debug)]
pub(crate) struct SessionTimer {
    config: SessionTimers,
    /// Raised by 422.
    min_se: u32,
    /// How often: nobody is followed for ever.
    raised: u8,
    running: Option<Running>,
    /// Whether the peer takes UPDATE: what it is refreshed by.
    pub(crate) updates: bool,
}

#[derive(Debug)]
struct Running {
    interval: u32,
    ours: bool,
    refresh: Option<Instant>,
    end: Instant,
}

impl SessionTimer {
    pub(crate) fn new(config: SessionTimers) -> Self {
        Self { config, min_se: config.min_se.max(MIN_SE), raised: 0, running: None, updates: false }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.config.mode == TimerMode::Off
    }

    /// The headers of an INVITE, a re-INVITE or an UPDATE of ours (RFC 4028 §7.1, §7.4).
    pub(crate) fn ask(&self) -> Vec<(String, String)> {
        if self.is_off() {
            return Vec::new();
        }
        let (interval, refresher) = match &self.running {
            // RFC 4028 §7.4: the roles stay, seen from this request.
            Some(running) => (running.interval.max(self.min_se), Some(running.ours)),
            None => (self.config.expires.max(self.min_se), self.config.refresher.map(|r| r == RefreshBy::Us)),
        };
        let mut expires = SessionExpires::new(interval);
        if let Some(ours) = refresher {
            expires = expires.with_refresher(if ours { Refresher::Uac } else { Refresher::Uas });
        }
        let mut headers = vec![("Session-Expires".to_owned(), expires.to_string())];
        if self.min_se > MIN_SE {
            headers.push(("Min-SE".to_owned(), self.min_se.to_string()));
        }
        if self.config.mode == TimerMode::Required {
            headers.push(("Require".to_owned(), "timer".to_owned()));
        }
        headers
    }

    /// A 422 with this Min-SE came; whether to ask again (RFC 4028 §7.3).
    pub(crate) fn refused(&mut self, min: u32) -> bool {
        let more = !self.is_off() && min > self.min_se && self.raised < MAX_RAISED;
        if more {
            self.raised += 1;
            self.min_se = min;
        }
        more
    }

    /// A 2xx to a request of ours came (RFC 4028 §7.2).
    pub(crate) fn answered(&mut self, now: Instant, headers: &Headers) {
        self.learn(headers);
        if self.is_off() {
            return;
        }
        self.running = match headers.get::<SessionExpires>() {
            Some(Ok(expires)) => {
                let ours = expires.refresher() != Some(Refresher::Uas);
                Some(Running::new(now, expires.seconds.max(MIN_SE), ours))
            }
            _ => None,
        };
    }

    /// Whether a request of the peer's can be taken (RFC 4028 §9).
    pub(crate) fn check(&self, request: &Request) -> Result<(), TimerRefusal> {
        let supported = knows_timer(request.headers());
        let asked = request.header::<SessionExpires>();
        match self.config.mode {
            TimerMode::Off => Ok(()),
            TimerMode::Required if !supported => Err(TimerRefusal::Unsupported),
            // One who does not know the timer cannot ask for more: it was a proxy's.
            _ if supported && asked.is_some_and(|e| e.seconds < self.min_se) => {
                Err(TimerRefusal::TooSmall(self.min_se))
            }
            _ => Ok(()),
        }
    }

    /// The headers of our 2xx to a request of the peer's; the timer starts (RFC 4028 §9).
    pub(crate) fn accept(&mut self, now: Instant, headers: &Headers) -> Vec<(String, String)> {
        self.learn(headers);
        self.running = None;
        let supported = knows_timer(headers);
        let asked = headers.get::<SessionExpires>().and_then(Result::ok);
        // A peer that only could is left alone, unless timers are required here.
        if self.is_off() || (asked.is_none() && (!supported || self.config.mode != TimerMode::Required)) {
            return Vec::new();
        }
        // Not more than was asked for, not less than what anybody on the way takes.
        let min = headers.get::<MinSe>().and_then(Result::ok).map_or(MIN_SE, |m| m.seconds);
        let wanted = asked.as_ref().map_or(self.config.expires, |e| e.seconds.min(self.config.expires));
        let interval = wanted.max(min).max(self.min_se);
        let refresher = match asked.and_then(|e| e.refresher()) {
            _ if !supported => Refresher::Uas,
            Some(given) => given,
            None if self.config.refresher == Some(RefreshBy::Us) => Refresher::Uas,
            None => Refresher::Uac,
        };
        self.running = Some(Running::new(now, interval, refresher == Refresher::Uas));
        let expires = SessionExpires::new(interval).with_refresher(refresher);
        let mut more = vec![("Session-Expires".to_owned(), expires.to_string())];
        if supported {
            more.push(("Require".to_owned(), "timer".to_owned()));
        }
        more
    }

    /// A refresh of ours could not be done now.
    pub(crate) fn retry(&mut self, at: Instant) {
        if let Some(running) = &mut self.running {
            running.refresh = Some(at);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> TimerAction {
        let Some(running) = &mut self.running else { return TimerAction::None };
        if running.end <= now {
            self.running = None;
            return TimerAction::Expired;
        }
        match running.refresh.take_if(|at| *at <= now) {
            Some(_) => TimerAction::Refresh,
            None => TimerAction::None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        Some(running.refresh.map_or(running.end, |at| at.min(running.end)))
    }

    /// What the peer can do.
    fn learn(&mut self, headers: &Headers) {
        if let Some(Ok(allow)) = headers.get::<Allow>() {
            self.updates = allow.has(&Method::Update);
        }
    }
}

impl Running {
    fn new(now: Instant, interval: u32, ours: bool) -> Self {
        let seconds = |s: u32| Duration::from_secs(u64::from(s));
        // RFC 4028 §10: BYE min(32 s, a third of the interval) before the end.
        let end = now + seconds(interval - (interval / 3).min(32));
        Self { interval, ours, refresh: ours.then(|| now + seconds(interval) / 2), end }
    }
}

/// Whether the sender knows the extension.
fn knows_timer(headers: &Headers) -> bool {
    let supported = headers.get::<Supported>().and_then(Result::ok).is_some_and(|s| s.has("timer"));
    supported || headers.get::<Require>().and_then(Result::ok).is_some_and(|r| r.has("timer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testing::start;

    fn request(more: &str) -> Request {
        let text = format!("INVITE sip:a@b SIP/2.0\r\n{more}\r\n\r\n");
        match crate::Message::parse(text.into_bytes().into(), &crate::Limits::default()) {
            Ok(crate::Message::Request(request)) => request,
            other => panic!("a request, not {other:?}"),
        }
    }

    fn accepted(timer: &mut SessionTimer, more: &str) -> String {
        let headers = timer.accept(start(), request(more).headers());
        headers.into_iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn table_2_of_rfc_4028() {
        let mut timer = SessionTimer::new(SessionTimers::default());
        let cases = [
            ("X: y", ""),
            ("Session-Expires: 600", "Session-Expires: 600;refresher=uas"),
            ("k: timer", ""),
            ("k: timer\r\nx: 600;refresher=uac", "Session-Expires: 600;refresher=uac | Require: timer"),
            ("k: timer\r\nx: 4000;refresher=uas", "Session-Expires: 1800;refresher=uas | Require: timer"),
            ("k: timer\r\nx: 4000\r\nMin-SE: 2000", "Session-Expires: 2000;refresher=uac | Require: timer"),
        ];
        for (given, expected) in cases {
            assert_eq!(accepted(&mut timer, given), expected, "{given}");
        }
        let required = SessionTimers { mode: TimerMode::Required, ..SessionTimers::default() };
        let mut timer = SessionTimer::new(required);
        assert_eq!(accepted(&mut timer, "k: timer"), "Session-Expires: 1800;refresher=uac | Require: timer");
        let ours = SessionTimers { refresher: Some(RefreshBy::Us), ..SessionTimers::default() };
        let mut timer = SessionTimer::new(ours);
        assert_eq!(
            accepted(&mut timer, "k: timer\r\nx: 600"),
            "Session-Expires: 600;refresher=uas | Require: timer"
        );
    }

    #[test]
    fn what_is_refused() {
        let timer = SessionTimer::new(SessionTimers { min_se: 300, ..SessionTimers::default() });
        assert_eq!(timer.check(&request("k: timer\r\nx: 200")), Err(TimerRefusal::TooSmall(300)));
        assert_eq!(timer.check(&request("x: 200")), Ok(()), "a proxy's");
        let required = SessionTimers { mode: TimerMode::Required, ..SessionTimers::default() };
        assert_eq!(SessionTimer::new(required).check(&request("X: y")), Err(TimerRefusal::Unsupported));
        let mut timer = timer;
        assert!(timer.refused(400) && !timer.refused(400));
        assert_eq!(timer.ask()[1], ("Min-SE".to_owned(), "400".to_owned()));
    }

    #[test]
    fn refreshed_at_half_and_ended_before_the_end() {
        let t0 = start();
        let mut timer = SessionTimer::new(SessionTimers::default());
        timer.answered(t0, request("x: 90;refresher=uac").headers());
        let at = timer.deadline().unwrap();
        assert_eq!((at - t0).as_secs(), 45);
        assert_eq!(timer.handle_timeout(at), TimerAction::Refresh);
        let at = timer.deadline().unwrap();
        assert_eq!((at - t0).as_secs(), 60, "a third of 90 s before");
        assert_eq!(timer.handle_timeout(at), TimerAction::Expired);
        assert_eq!(timer.deadline(), None);
        timer.answered(t0, request("x: 1800;refresher=uas").headers());
        assert_eq!((timer.deadline().unwrap() - t0).as_secs(), 1_768, "32 s before");
        timer.answered(t0, request("X: y").headers());
        assert_eq!(timer.deadline(), None, "no header, no timer");
        timer.answered(t0, request("x: 0").headers());
        assert_eq!((timer.deadline().unwrap() - t0).as_secs(), 45, "never less than 90 s");
    }
}
