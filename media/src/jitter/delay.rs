//! How late packets are against the fastest of the last seconds, and the delay that catches nearly all.

use std::time::Duration;

/// Width of a bucket of the histogram.
const BUCKET_MS: i64 = 5;
/// Buckets; the last takes everything above.
const BUCKETS: usize = 128;
/// Share of packets that the delay should catch.
const SHARE: f32 = 0.99;
/// What one packet leaves of those before: half is forgotten in 2 seconds of 20 ms packets.
const FORGET: f32 = 0.993;
/// How long the fastest packet counts.
const WINDOW: Duration = Duration::from_secs(4);
/// How long the latest packet counts, once or twice: nothing later is waited for.
const RECENT: Duration = Duration::from_millis(1_500);

/// Estimates the spread of network delay, in RTP clock units.
#[derive(Debug)]
pub struct DelayEstimator {
    clock: i64,
    shares: [f32; BUCKETS],
    /// Lowest transit time in this window and the one before; their minimum is the base.
    fastest: [Option<i64>; 2],
    window_end: Duration,
    /// The latest bucket of this short window and the one before.
    latest: [usize; 2],
    recent_end: Duration,
    packets: u32,
}

impl DelayEstimator {
    /// An estimator for an RTP clock in Hz.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock: i64::from(clock_rate.max(1)),
            shares: [0.0; BUCKETS],
            fastest: [None; 2],
            window_end: Duration::ZERO,
            latest: [0; 2],
            recent_end: Duration::ZERO,
            packets: 0,
        }
    }

    /// Timestamps start anew: transit times cannot be compared with those before.
    pub fn rebase(&mut self) {
        self.fastest = [None; 2];
        (self.window_end, self.recent_end) = (Duration::ZERO, Duration::ZERO);
    }

    /// Takes one packet's timestamp and arrival.
    pub fn observe(&mut self, timestamp: i64, arrival: Duration) {
        let micros = i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX / 400_000);
        let transit = i64::try_from(i128::from(micros) * i128::from(self.clock) / 1_000_000)
            .unwrap_or(i64::MAX / 2)
            - timestamp;
        if arrival >= self.window_end {
            let [current, _] = self.fastest;
            self.fastest = [None, current];
            self.window_end = arrival + WINDOW;
        }
        let [current, previous] = &mut self.fastest;
        let lowest = current.map_or(transit, |lowest| lowest.min(transit));
        *current = Some(lowest);
        let base = previous.map_or(lowest, |previous| previous.min(lowest));
        let late_ms = (transit - base).max(0) * 1000 / self.clock;
        let bucket = usize::try_from(late_ms / BUCKET_MS).unwrap_or(BUCKETS).min(BUCKETS - 1);
        if arrival >= self.recent_end {
            let [current, _] = self.latest;
            self.latest = [0, current];
            self.recent_end = arrival + RECENT;
        }
        let [current, _] = &mut self.latest;
        *current = bucket.max(*current);
        self.packets = self.packets.saturating_add(1);
        // The first packets weigh as in a plain average, so that the start is quick.
        let weight = (1.0 / self.packets as f32).max(1.0 - FORGET);
        for (index, share) in self.shares.iter_mut().enumerate() {
            *share *= 1.0 - weight;
            if index == bucket {
                *share += weight;
            }
        }
    }

    /// The delay that would have caught nearly all packets, in clock units.
    pub fn quantile(&self) -> i64 {
        if self.packets == 0 {
            return 0;
        }
        let mut sum = 0.0;
        let caught = self.shares.iter().position(|share| {
            sum += share;
            sum >= SHARE
        });
        let [current, before] = self.latest;
        // A storm that is over is forgotten at once, not by and by.
        let bucket = caught.unwrap_or(BUCKETS - 1).min(current.max(before));
        (bucket as i64 + 1) * BUCKET_MS * self.clock / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_jitter_and_forgets_it() {
        let mut estimator = DelayEstimator::new(8_000);
        let mut ms = 0;
        let mut packet = |estimator: &mut DelayEstimator, extra: u64| {
            estimator.observe(ms * 8, Duration::from_millis(ms as u64 + extra));
            ms += 20;
        };
        for n in 0..500 {
            packet(&mut estimator, if n % 5 == 0 { 60 } else { 0 });
        }
        assert_eq!(estimator.quantile(), 65 * 8, "a fifth of the packets is 60 ms late");
        for _ in 0..2_000 {
            packet(&mut estimator, 0);
        }
        assert_eq!(estimator.quantile(), 5 * 8);
    }

    #[test]
    fn a_storm_that_is_over_is_forgotten_in_three_seconds() {
        let mut estimator = DelayEstimator::new(8_000);
        for n in 0..1_000u64 {
            let late = if n < 500 { n * 37 % 100 } else { 0 };
            estimator.observe(n as i64 * 160, Duration::from_millis(n * 20 + late));
            if n == 499 {
                assert!(estimator.quantile() >= 95 * 8);
            }
            if n == 500 + 155 {
                assert_eq!(estimator.quantile(), 5 * 8);
            }
        }
    }

    #[test]
    fn a_clock_that_drifts_is_not_jitter() {
        let mut estimator = DelayEstimator::new(8_000);
        for n in 0..30_000u64 {
            // 100 ppm slow: 2 µs a packet, 60 ms over ten minutes.
            estimator.observe(n as i64 * 160, Duration::from_micros(n * 20_002));
        }
        assert!(estimator.quantile() <= 10 * 8);
    }
}
