//! How late packets are against the fastest of the last seconds, and the delay that serves a call best.

use std::time::Duration;

/// Width of a bucket of the histogram.
const BUCKET_MS: i64 = 5;
/// Buckets. What is later than all of them is not waited for and not counted; after so many such packets
/// in a row it is the timestamps that have jumped.
const BUCKETS: usize = 128;
const BEYOND: u32 = 10;
/// Waiting so much longer is as bad as one packet of a hundred that comes too late: by ITU-T G.107 both
/// take 3.6 from the rating of a call (0.024 for a millisecond, G.711 with concealment).
const MS_PER_PERCENT: f32 = 150.0;
/// What one packet leaves of those before: half is forgotten in 7 seconds of 20 ms packets.
const FORGET: f32 = 0.998;
/// Units below this become one again.
const SMALLEST: f32 = 1e-6;
/// What changes by so much at once is another path or another clock: what was counted says nothing of it.
const JUMP_MS: i64 = 200;
/// How long the fastest packet counts.
const WINDOW: Duration = Duration::from_secs(4);
/// After so long there is a picture of the network.
const START: Duration = Duration::from_millis(1_500);
/// How long the latest packet counts, once or twice: nothing later is waited for.
const RECENT: Duration = Duration::from_millis(1_500);

/// Estimates the spread of network delay, in RTP clock units.
#[derive(Debug)]
pub struct DelayEstimator {
    clock: i64,
    /// The share of packets in each bucket, counted in units that shrink with every packet: so what is older
    /// counts less, and a packet touches its own bucket alone.
    shares: [f32; BUCKETS],
    unit: f32,
    /// Lowest transit time in this window and the one before; their minimum is the base.
    fastest: [Option<i64>; 2],
    window_end: Duration,
    base: Option<i64>,
    /// How far below the base the first bucket begins: less than a bucket.
    below: i64,
    /// The latest of this short window and the one before.
    latest: [i64; 2],
    recent_end: Duration,
    packets: u32,
    /// Packets in a row that are later than all buckets.
    beyond: u32,
    /// What it is best to wait for.
    best: i64,
    /// What is waited for at least, until there is a picture of the network.
    start: i64,
    start_end: Option<Duration>,
}

impl DelayEstimator {
    /// An estimator for an RTP clock in Hz, which takes it that packets may be late by `start` until it
    /// has seen them for a second or two.
    pub fn new(clock_rate: u32, start: Duration) -> Self {
        let clock = i64::from(clock_rate.max(1));
        let start = i64::try_from(start.as_millis()).unwrap_or(i64::MAX / 400_000) * clock / 1000;
        Self {
            clock,
            shares: [0.0; BUCKETS],
            unit: 1.0,
            fastest: [None; 2],
            window_end: Duration::ZERO,
            base: None,
            below: 0,
            latest: [0; 2],
            recent_end: Duration::ZERO,
            packets: 0,
            beyond: 0,
            best: 0,
            start,
            start_end: None,
        }
    }

    /// Timestamps start anew: transit times cannot be compared with those before.
    pub fn rebase(&mut self) {
        self.base = None;
        self.fastest = [None; 2];
        (self.window_end, self.recent_end) = (Duration::ZERO, Duration::ZERO);
    }

    /// Takes one packet's timestamp and arrival; gives how late it is.
    pub fn observe(&mut self, timestamp: i64, arrival: Duration) -> i64 {
        let seconds =
            i64::try_from(arrival.as_secs()).unwrap_or(i64::MAX).min(i64::MAX / 400_000 / self.clock);
        let parts = i64::from(arrival.subsec_micros()) * self.clock / 1_000_000;
        let transit = seconds * self.clock + parts - timestamp;
        if arrival >= self.window_end {
            let [current, _] = self.fastest;
            self.fastest = [None, current];
            self.window_end = arrival + WINDOW;
        }
        let [current, previous] = &mut self.fastest;
        let lowest = current.map_or(transit, |lowest| lowest.min(transit));
        *current = Some(lowest);
        let base = previous.map_or(lowest, |previous| previous.min(lowest));
        self.follow(base);
        let late = transit - base;
        if late >= self.width() * BUCKETS as i64 {
            self.beyond += 1;
            if self.beyond >= BEYOND {
                self.forget();
            }
            return 0;
        }
        self.beyond = 0;
        if arrival >= self.recent_end {
            let [current, _] = self.latest;
            self.latest = [0, current];
            self.recent_end = arrival + RECENT;
        }
        let [current, _] = &mut self.latest;
        *current = late.max(*current);
        let bucket = self.bucket(late);
        self.packets = self.packets.saturating_add(1);
        // The first packets weigh as in a plain average, so that the start is quick.
        let weight = (1.0 / self.packets as f32).max(1.0 - FORGET);
        if self.packets > 1 {
            self.unit *= 1.0 - weight;
        }
        if self.unit < SMALLEST {
            self.shares.iter_mut().for_each(|share| *share *= self.unit);
            self.unit = 1.0;
        }
        if let Some(share) = self.shares.get_mut(bucket) {
            *share += weight / self.unit;
        }
        self.best = self.cheapest();
        if arrival >= *self.start_end.get_or_insert(arrival + START) {
            self.start = 0;
        }
        late
    }

    /// How late a packet may be that is still worth waiting for, in clock units.
    pub fn lateness(&self) -> i64 {
        self.best.max(self.start)
    }

    /// Whether there is no picture of the network yet.
    pub fn is_new(&self) -> bool {
        self.start > 0
    }

    /// Nothing that was counted holds any longer.
    fn forget(&mut self) {
        (self.shares, self.latest, self.packets, self.beyond) = ([0.0; BUCKETS], [0; 2], 0, 0);
        self.unit = 1.0;
        self.rebase();
    }

    /// What was counted moves along with the base.
    fn follow(&mut self, base: i64) {
        let moved = self.base.replace(base).map_or(0, |before| base - before);
        if moved == 0 {
            return;
        }
        if moved.abs() > JUMP_MS * self.clock / 1000 {
            return self.forget();
        }
        self.latest = self.latest.map(|latest| (latest - moved).max(0));
        let width = self.width();
        let below = self.below + moved;
        let buckets = below.div_euclid(width);
        self.below = below.rem_euclid(width);
        let by = usize::try_from(buckets.unsigned_abs()).unwrap_or(BUCKETS).min(BUCKETS - 1);
        if buckets < 0 {
            let above: f32 = self.shares.iter().rev().take(by).sum();
            self.shares.rotate_right(by);
            self.shares.iter_mut().take(by).for_each(|share| *share = 0.0);
            self.shares.iter_mut().rev().take(1).for_each(|share| *share += above);
        } else {
            let under: f32 = self.shares.iter().take(by).sum();
            self.shares.rotate_left(by);
            self.shares.iter_mut().rev().take(by).for_each(|share| *share = 0.0);
            self.shares.iter_mut().take(1).for_each(|share| *share += under);
        }
    }

    fn width(&self) -> i64 {
        (BUCKET_MS * self.clock / 1000).max(1)
    }

    fn bucket(&self, late: i64) -> usize {
        usize::try_from((late + self.below) / self.width()).unwrap_or(0).min(BUCKETS - 1)
    }

    /// Each bucket more is so much more delay, and fewer packets that come too late. A storm that is over
    /// is forgotten at once, not by and by: nothing later than the latest of late is waited for.
    fn cheapest(&self) -> i64 {
        let latest = self.latest.into_iter().max().unwrap_or(0);
        let (mut best, mut late) = ((f32::MAX, 0), 0.0);
        for (bucket, share) in self.shares.iter().enumerate().take(self.bucket(latest) + 1).rev() {
            let cost = bucket as f32 * BUCKET_MS as f32 + 100.0 * MS_PER_PERCENT * late;
            if cost <= best.0 {
                best = (cost, bucket as i64 + 1);
            }
            late += share * self.unit;
        }
        (best.1 * self.width() - self.below).min(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimator() -> DelayEstimator {
        DelayEstimator::new(8_000, Duration::ZERO)
    }

    /// The `n`th packet of 20 ms, so many milliseconds late.
    fn packet(estimator: &mut DelayEstimator, n: u64, late: u64) -> i64 {
        estimator.observe(n as i64 * 160, Duration::from_millis(n * 20 + late))
    }

    #[test]
    fn follows_jitter_and_forgets_it() {
        let mut estimator = estimator();
        for n in 0..500 {
            packet(&mut estimator, n, if n % 5 == 0 { 60 } else { 0 });
        }
        assert_eq!(estimator.lateness(), 60 * 8, "a fifth of the packets is 60 ms late");
        for n in 500..700 {
            packet(&mut estimator, n, 0);
        }
        assert_eq!(estimator.lateness(), 0);
    }

    #[test]
    fn a_storm_that_is_over_is_forgotten_in_three_seconds() {
        let mut estimator = estimator();
        for n in 0..1_000u64 {
            packet(&mut estimator, n, if n < 500 { n * 37 % 100 } else { 0 });
            if n == 499 {
                assert!(estimator.lateness() >= 95 * 8);
            }
            if n == 500 + 155 {
                assert_eq!(estimator.lateness(), 0);
            }
        }
    }

    #[test]
    fn what_is_rare_is_waited_for_if_that_does_not_take_long() {
        // One of a hundred is worth 150 ms.
        for (late, waited) in [(100, 100), (200, 0)] {
            let mut estimator = estimator();
            for n in 0..1_000 {
                packet(&mut estimator, n, if n % 100 == 40 { late } else { 0 });
            }
            let found = estimator.lateness() / 8;
            assert!((waited..=waited + 5).contains(&found), "{late}: {found}");
        }
    }

    #[test]
    fn at_first_it_is_prudent() {
        let mut estimator = DelayEstimator::new(8_000, Duration::from_millis(80));
        for n in 0..150 {
            packet(&mut estimator, n, 0);
            let is_new = n < 75;
            assert_eq!(estimator.is_new(), is_new);
            assert_eq!(estimator.lateness(), if is_new { 80 * 8 } else { 0 });
        }
    }

    #[test]
    fn a_faster_packet_makes_those_before_it_late() {
        let mut estimator = estimator();
        for n in 0..50 {
            assert_eq!(packet(&mut estimator, n, 33), 0);
        }
        assert_eq!(packet(&mut estimator, 50, 0), 0);
        assert_eq!(packet(&mut estimator, 51, 33), 33 * 8);
        assert_eq!(estimator.lateness(), 33 * 8, "all but one were so late");
    }

    #[test]
    fn timestamps_that_jump_are_not_jitter() {
        for jump in [1_000_000, -1_000_000] {
            let mut estimator = estimator();
            for n in 0..100 {
                packet(&mut estimator, n, 10);
            }
            for n in 100..115 {
                estimator.observe(n * 160 + jump, Duration::from_millis(n as u64 * 20));
            }
            assert!(estimator.lateness() <= 10 * 8, "{jump}: {}", estimator.lateness());
        }
    }

    #[test]
    fn a_clock_that_drifts_is_not_jitter() {
        for step in [20_002, 19_998] {
            let mut estimator = estimator();
            for n in 0..30_000u64 {
                // 100 ppm: 2 µs a packet, 60 ms over ten minutes.
                estimator.observe(n as i64 * 160, Duration::from_micros(n * step));
            }
            assert!(estimator.lateness() <= 10, "{step}: {}", estimator.lateness());
        }
    }
}
