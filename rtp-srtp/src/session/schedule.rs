//! When to send RTCP: timer reconsideration, reverse reconsideration and the BYE backoff (RFC 3550 §6.3,
//! appendix A.7).

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// The bandwidth that RTCP may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleConfig {
    /// Bytes a second for RTCP of all members together: 5 % of the session's (RFC 3550 §6.2), or what
    /// `b=RS` and `b=RR` sum to (RFC 3556).
    pub bandwidth: f64,
    /// The shortest interval: 5 s by RFC 3550 §6.2. The first one is half of it.
    pub minimum: Duration,
    /// IP and UDP bytes that every packet costs beside its own.
    pub overhead: usize,
}

impl Default for ScheduleConfig {
    /// For a 64 kbit/s stream over UDP and IPv4.
    fn default() -> Self {
        Self { bandwidth: 400.0, minimum: Duration::from_secs(5), overhead: 28 }
    }
}

/// What a due timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet: the deadline moved, or has not come.
    Wait,
    /// Send a report now, then call [`RtcpScheduler::sent`].
    Report,
    /// Send a BYE now; the schedule is over.
    Bye,
}

/// When feedback may go (RFC 4585 §3.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackTime {
    /// In a packet of its own at this time, which may be now; then call [`RtcpScheduler::early_sent`].
    Early(Instant),
    /// With the next regular report.
    Regular(Instant),
    /// It would come too late to be of use.
    Never,
}

/// Decides when RTCP is sent. The caller tells it the members and senders it sees.
#[derive(Clone, Debug)]
pub struct RtcpScheduler {
    config: ScheduleConfig,
    rng: ChaCha20Rng,
    /// tp: when the last report was sent.
    last: Instant,
    /// tn: when the next one is due.
    next: Instant,
    members_at_next: usize,
    average_size: f64,
    initial: bool,
    state: State,
    /// Whether feedback may go before its time: once between two regular reports (RFC 4585 §3.5.2).
    allow_early: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reporting,
    Leaving { byes: usize },
    Left,
}

/// e − 3/2: makes up for what reconsideration takes (RFC 3550 §6.3.1).
const COMPENSATION: f64 = std::f64::consts::E - 1.5;
/// The size of a first compound: report, SDES and headers.
const FIRST_SIZE: f64 = 100.0;
/// From here on a BYE waits (RFC 3550 §6.3.7).
const BYE_BACKOFF_MEMBERS: usize = 50;

impl RtcpScheduler {
    /// A schedule that begins now, with one member: ourselves (RFC 3550 §6.3.2).
    #[must_use]
    pub fn new(now: Instant, config: ScheduleConfig, seed: [u8; 32]) -> Self {
        let mut schedule = Self {
            config,
            rng: ChaCha20Rng::from_seed(seed),
            last: now,
            next: now,
            members_at_next: 1,
            average_size: FIRST_SIZE,
            initial: true,
            state: State::Reporting,
            allow_early: true,
        };
        schedule.next = now + schedule.interval(1, 0, false);
        schedule
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` once all is said.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (self.state != State::Left).then_some(self.next)
    }

    /// The interval without randomness (Td of RFC 3550 §6.3.1): sources silent for five of them time out
    /// (§6.3.5), those that sent within two are senders (§6.3.4).
    #[must_use]
    pub fn deterministic_interval(&self, members: usize, senders: usize, we_sent: bool) -> Duration {
        let minimum = if self.initial { self.config.minimum / 2 } else { self.config.minimum };
        let (mut bandwidth, mut sharing) = (self.config.bandwidth, members.max(1));
        // §6.3.1: while senders are a quarter or less, they share a quarter of the bandwidth.
        if senders > 0 && senders.saturating_mul(4) <= members {
            if we_sent {
                (bandwidth, sharing) = (bandwidth * 0.25, senders);
            } else {
                (bandwidth, sharing) = (bandwidth * 0.75, members - senders);
            }
        }
        let seconds = self.average_size * float(sharing) / bandwidth;
        // A bandwidth of 0 (b=RR:0) or next to it: once an hour.
        let seconds = if seconds.is_finite() { seconds.clamp(0.0, 3600.0) } else { 3600.0 };
        Duration::from_secs_f64(seconds).max(minimum)
    }

    /// Judges the timer with the members (ourselves included) and senders of now (RFC 3550 §6.3.6). Early and
    /// repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant, members: usize, senders: usize, we_sent: bool) -> Verdict {
        if now < self.next {
            return Verdict::Wait;
        }
        let (members, senders, we_sent) = match self.state {
            State::Left => return Verdict::Wait,
            State::Reporting => (members.max(1), senders, we_sent),
            State::Leaving { byes } => (byes, 0, false),
        };
        let due = self.last + self.interval(members, senders, we_sent);
        self.members_at_next = members;
        if due > now {
            self.next = due;
            return Verdict::Wait;
        }
        if self.state == State::Reporting {
            // Until `sent` is called the caller is asked again.
            return Verdict::Report;
        }
        self.state = State::Left;
        Verdict::Bye
    }

    /// Notes that a report of `size` bytes was sent and draws the next interval.
    pub fn sent(&mut self, now: Instant, size: usize, members: usize, senders: usize, we_sent: bool) {
        if self.state != State::Reporting {
            return;
        }
        self.average(size);
        self.last = now;
        self.initial = false;
        self.allow_early = true;
        self.members_at_next = members.max(1);
        self.next = now + self.interval(members.max(1), senders, we_sent);
    }

    /// When feedback that is known now may go (RFC 4585 §3.5.2). Between two parties nothing is dithered. Feedback that
    /// would have to wait longer than `patience` is given up.
    pub fn feedback(
        &mut self,
        now: Instant,
        patience: Duration,
        members: usize,
        senders: usize,
        we_sent: bool,
    ) -> FeedbackTime {
        if self.state != State::Reporting {
            return FeedbackTime::Never;
        }
        let dither = match members {
            0..=2 => Duration::ZERO,
            _ => self.deterministic_interval(members, senders, we_sent) / 2,
        };
        if now + dither > self.next {
            return FeedbackTime::Regular(self.next);
        }
        if !self.allow_early {
            let wait = self.next.saturating_duration_since(now);
            return if wait < patience { FeedbackTime::Regular(self.next) } else { FeedbackTime::Never };
        }
        let random = f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0);
        FeedbackTime::Early(now + dither.mul_f64(random))
    }

    /// Notes that feedback of `size` bytes was sent early: the next regular report is left out for it
    /// (RFC 4585 §3.5.2 step 6).
    pub fn early_sent(&mut self, size: usize) {
        if self.state != State::Reporting || !self.allow_early {
            return;
        }
        self.average(size);
        self.allow_early = false;
        let interval = self.next.saturating_duration_since(self.last);
        self.last = self.next;
        self.next += interval;
    }

    /// Notes a received compound (RFC 3550 §6.3.3).
    pub fn received(&mut self, size: usize) {
        if self.state == State::Reporting {
            self.average(size);
        }
    }

    /// Notes a received BYE: reverse reconsideration towards the members left (RFC 3550 §6.3.4), or while we
    /// are leaving ourselves one more that leaves (§6.3.7).
    pub fn bye_received(&mut self, now: Instant, size: usize, members: usize) {
        match &mut self.state {
            State::Left => {}
            State::Leaving { byes } => {
                *byes += 1;
                self.average(size);
            }
            State::Reporting => {
                let members = members.max(1);
                if members < self.members_at_next {
                    let share = float(members) / float(self.members_at_next);
                    self.next = now + self.next.saturating_duration_since(now).mul_f64(share);
                    let since = now.saturating_duration_since(self.last).mul_f64(share);
                    self.last = now.checked_sub(since).unwrap_or(now);
                }
                self.members_at_next = members;
            }
        }
    }

    /// We leave: `Bye` when the BYE may go at once, as it may in sessions of fewer than 50; else it waits for
    /// [`Self::handle_timeout`] (RFC 3550 §6.3.7).
    pub fn leave(&mut self, now: Instant, members: usize, size: usize) -> Verdict {
        if self.state != State::Reporting {
            return Verdict::Wait;
        }
        if members < BYE_BACKOFF_MEMBERS {
            self.state = State::Left;
            return Verdict::Bye;
        }
        self.state = State::Leaving { byes: 1 };
        self.initial = true;
        self.average_size = float(size + self.config.overhead);
        self.last = now;
        self.members_at_next = 1;
        self.next = now + self.interval(1, 0, false);
        Verdict::Wait
    }

    /// T of RFC 3550 §6.3.1: between half and one and a half of the deterministic interval, compensated.
    fn interval(&mut self, members: usize, senders: usize, we_sent: bool) -> Duration {
        let deterministic = self.deterministic_interval(members, senders, we_sent);
        let random = f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0);
        deterministic.mul_f64((random + 0.5) / COMPENSATION)
    }

    /// §6.3.3: avg = 1/16 size + 15/16 avg, lower layers included.
    fn average(&mut self, size: usize) {
        let size = float(size.saturating_add(self.config.overhead));
        self.average_size = size / 16.0 + self.average_size * 15.0 / 16.0;
    }
}

const fn float(count: usize) -> f64 {
    super::float(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Runs the schedule for a time and returns when reports were sent.
    fn run(seed: u8, members: usize, time: Duration) -> Vec<Duration> {
        let begin = start();
        let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [seed; 32]);
        let mut sent = Vec::new();
        while let Some(now) = schedule.deadline().filter(|now| *now < begin + time) {
            match schedule.handle_timeout(now, members, 2.min(members), true) {
                Verdict::Report => {
                    sent.push(now - begin);
                    schedule.sent(now, 84, members, 2.min(members), true);
                }
                Verdict::Wait => assert!(schedule.deadline().unwrap() > now),
                Verdict::Bye => panic!("nobody leaves"),
            }
        }
        sent
    }

    #[test]
    fn two_members_report_every_five_seconds_on_average() {
        let (mut count, mut early) = (0, 0);
        for seed in 0..40 {
            let sent = run(seed, 2, Duration::from_secs(600));
            count += sent.len();
            // The first interval is half of the others.
            early += usize::from(sent[0] < Duration::from_millis(4000));
            for pair in sent.windows(2) {
                let gap = (pair[1] - pair[0]).as_secs_f64();
                assert!((2.5 / COMPENSATION - 0.01..=7.5 / COMPENSATION + 0.01).contains(&gap), "{gap}");
            }
        }
        let mean = 600.0 * 40.0 / count as f64;
        assert!((4.5..5.5).contains(&mean), "{mean}");
        assert!(early > 35, "{early}");
    }

    #[test]
    fn a_thousand_receivers_share_the_bandwidth() {
        let begin = start();
        let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [3; 32]);
        let small = schedule.deterministic_interval(2, 2, true);
        assert_eq!(small, Duration::from_millis(2500));
        schedule.sent(begin, 72, 2, 2, true);
        // 100 bytes on average, 998 receivers on 300 bytes a second.
        let large = schedule.deterministic_interval(1000, 2, false).as_secs_f64();
        assert!((large - 100.0 * 998.0 / 300.0).abs() < 1.0, "{large}");
        // The two senders have a quarter: 2 on 100 bytes a second is below the minimum.
        assert_eq!(schedule.deterministic_interval(1000, 2, true), Duration::from_secs(5));
    }

    #[test]
    fn members_that_join_put_the_report_off() {
        let begin = start();
        let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [4; 32]);
        let due = schedule.deadline().unwrap();
        assert_eq!(schedule.handle_timeout(due, 5000, 0, false), Verdict::Wait);
        assert!(schedule.deadline().unwrap() > due + Duration::from_secs(60));
    }

    #[test]
    fn members_that_leave_bring_it_forward() {
        let begin = start();
        let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [4; 32]);
        schedule.sent(begin, 72, 1000, 0, false);
        let before = schedule.deadline().unwrap() - begin;
        schedule.bye_received(begin, 40, 100);
        let after = schedule.deadline().unwrap() - begin;
        assert!((after.as_secs_f64() / before.as_secs_f64() - 0.1).abs() < 0.001);
    }

    #[test]
    fn a_bye_goes_at_once_in_a_small_session_and_waits_in_a_large_one() {
        let begin = start();
        let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [5; 32]);
        assert_eq!(schedule.clone().leave(begin, 2, 40), Verdict::Bye);
        assert_eq!(schedule.leave(begin, 1000, 40), Verdict::Wait);
        let mut now = begin;
        for _ in 0..500 {
            schedule.bye_received(now, 40, 900);
        }
        let mut byes = 0;
        while let Some(deadline) = schedule.deadline() {
            now = deadline;
            byes += usize::from(schedule.handle_timeout(now, 1000, 0, false) == Verdict::Bye);
        }
        assert_eq!(byes, 1);
        assert!(now - begin > Duration::from_secs(10), "500 that leave share the bandwidth");
    }

    #[test]
    fn no_bandwidth_is_no_division_by_zero() {
        let config = ScheduleConfig { bandwidth: 0.0, ..ScheduleConfig::default() };
        let schedule = RtcpScheduler::new(start(), config, [6; 32]);
        assert_eq!(schedule.deterministic_interval(2, 1, true), Duration::from_secs(3600));
    }

    /// RFC 4585 §3.5.2 between two parties: at once, once between two reports, and the report after it left out.
    #[test]
    fn feedback_goes_at_once_and_once_between_two_reports() {
        let begin = start();
        let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [3; 32]);
        let (now, patience) = (begin + Duration::from_millis(10), Duration::from_millis(200));
        let regular = schedule.deadline().unwrap();
        assert_eq!(schedule.feedback(now, patience, 2, 1, false), FeedbackTime::Early(now));
        schedule.early_sent(60);
        let later = schedule.deadline().unwrap();
        assert_eq!(later, regular + (regular - begin), "one regular report is left out");
        assert_eq!(schedule.feedback(now, patience, 2, 1, false), FeedbackTime::Never);
        let close = later - Duration::from_millis(100);
        assert_eq!(schedule.feedback(close, patience, 2, 1, false), FeedbackTime::Regular(later));
        // A report allows it again.
        let mut now = later;
        while schedule.handle_timeout(now, 2, 1, false) == Verdict::Wait {
            now = schedule.deadline().unwrap();
        }
        schedule.sent(now, 100, 2, 1, false);
        assert_eq!(schedule.feedback(now, patience, 2, 1, false), FeedbackTime::Early(now));
    }

    /// RFC 4585 §3.5.2 among many: dithered, and never before a report that is nearer.
    #[test]
    fn feedback_of_many_is_dithered() {
        let begin = start();
        let mut times = Vec::new();
        for seed in 0..100 {
            let mut schedule = RtcpScheduler::new(begin, ScheduleConfig::default(), [seed; 32]);
            schedule.sent(begin, 100, 40, 1, false);
            let interval = schedule.deterministic_interval(40, 1, false);
            match schedule.feedback(begin, Duration::ZERO, 40, 1, false) {
                FeedbackTime::Early(at) => {
                    assert!(at <= begin + interval / 2);
                    times.push(at);
                }
                FeedbackTime::Regular(at) => assert!(at < begin + interval / 2),
                FeedbackTime::Never => panic!("nothing was sent early yet"),
            }
        }
        times.dedup();
        assert!(times.len() > 50, "{}", times.len());
    }
}
