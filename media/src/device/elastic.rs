//! Two clocks that drift: a ring between a device and the bridge whose reader runs a little
//! faster or slower, so that a certain amount waits in the ring.
//!
//! Reading interpolates between neighbours. The correction follows what waits on the average of two
//! seconds or so, for devices give and take in lumps: it is a few millionths where clocks agree, what
//! drift asks for where they do not, and never more than 0.5 %, which nobody hears. Who runs dry keeps
//! more from then on.

use rtrb::Consumer;

/// Largest change of speed.
const MOST: f32 = 0.005;
/// Change of speed for each part of the target that is too much or too little, near it and far from it.
const GENTLE: f32 = 0.004;
const FIRM: f32 = 0.02;
/// Up to this part of the target it is near.
const NEAR: f32 = 0.5;
/// What waits is averaged over so many targets.
const AVERAGED: f32 = 64.0;
/// How much more is kept for each time that it ran dry, in parts of the first target, and how often.
const MORE: f32 = 0.5;
const TIMES: u32 = 6;

/// Reads a ring at the reader's own pace.
#[derive(Debug)]
pub(super) struct ElasticReader {
    ring: Consumer<i16>,
    /// Samples that should wait in the ring after a read.
    target: f32,
    more: f32,
    dry: u32,
    fill: f32,
    fraction: f32,
    last: i16,
    next: i16,
    /// Waiting for the ring to fill to the target.
    filling: bool,
    began: bool,
}

impl ElasticReader {
    pub(super) fn new(ring: Consumer<i16>, target: usize) -> Self {
        let target = target as f32;
        Self {
            ring,
            target,
            more: target * MORE,
            dry: 0,
            fill: target,
            fraction: 0.0,
            last: 0,
            next: 0,
            filling: true,
            began: false,
        }
    }

    /// Fills `out`; returns false (and zeros) while the ring fills.
    pub(super) fn read(&mut self, out: &mut [i16]) -> bool {
        let waiting = self.ring.slots();
        if self.filling {
            if (waiting as f32) < self.target + out.len() as f32 {
                out.fill(0);
                return false;
            }
            self.filling = false;
            self.began = true;
            self.fill = self.target;
        }
        // Far too much waits after a stall: skip to the target.
        let most = (self.target * 3.0) as usize + 2 * out.len();
        if waiting > most {
            let skipped = waiting - self.target as usize - out.len();
            if let Ok(chunk) = self.ring.read_chunk(skipped) {
                chunk.commit_all();
            }
            self.fill = self.target;
        }
        let left = self.ring.slots() as f32 - out.len() as f32;
        self.fill += (left - self.fill) * (out.len() as f32 / (self.target * AVERAGED)).min(1.0);
        let speed = 1.0 + self.correction();
        for slot in out.iter_mut() {
            self.fraction += speed;
            while self.fraction >= 1.0 {
                self.fraction -= 1.0;
                self.last = self.next;
                match self.ring.pop() {
                    Ok(sample) => self.next = sample,
                    Err(_) => {
                        self.next = 0;
                        self.run_dry();
                    }
                }
            }
            let (last, next) = (f32::from(self.last), f32::from(self.next));
            *slot = (last + (next - last) * self.fraction) as i16;
        }
        true
    }

    /// How much faster to run.
    fn correction(&self) -> f32 {
        let error = (self.fill - self.target) / self.target.max(1.0);
        let near = error.clamp(-NEAR, NEAR);
        (near * GENTLE + (error - near) * FIRM).clamp(-MOST, MOST)
    }

    fn run_dry(&mut self) {
        if !self.filling && self.began && self.dry < TIMES {
            self.dry += 1;
            self.target += self.more;
        }
        self.filling = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

    /// What two clocks that agree carry is what was put in, though it comes and goes in lumps.
    #[test]
    fn lumps_are_no_drift() {
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut reader = ElasticReader::new(consumer, 1_440);
        let mut out = [0; 960];
        let mut state = 9_u32;
        let (mut owed, mut corrections) = (0_usize, Vec::new());
        for tick in 0..3_000 {
            // 20 ms of 480 samples at a time, some of them late by up to 20 ms.
            owed += 960;
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let late = (state >> 30) as usize % 3 * 480;
            let given = owed.saturating_sub(late) / 480 * 480;
            owed -= given;
            (0..given).for_each(|_| producer.push(100).expect("there is room"));
            reader.read(&mut out);
            if tick > 500 {
                corrections.push(reader.correction().abs());
            }
        }
        let most = corrections.iter().copied().fold(0.0, f32::max);
        let mean = corrections.iter().sum::<f32>() / corrections.len() as f32;
        assert!(most < 0.001 && mean < 0.000_4, "{most}, {mean}");
    }

    #[test]
    fn who_runs_dry_keeps_more() {
        let (mut producer, consumer) = RingBuffer::new(48_000);
        let mut reader = ElasticReader::new(consumer, 480);
        let mut out = [0; 160];
        let mut dry = Vec::new();
        for tick in 0..3_000 {
            // Nothing for 100 ms, and then all of it.
            if tick % 5 == 4 {
                (0..800).for_each(|_| producer.push(100).expect("there is room"));
            }
            if !reader.read(&mut out) && tick > 10 {
                dry.push(tick);
            }
        }
        assert!(dry.iter().all(|tick| *tick < 500), "it learns: {dry:?}");
    }

    #[test]
    fn a_clock_that_drifts_never_runs_dry_or_over() {
        for ppm in [-500i64, -100, 100, 500] {
            let (mut producer, consumer) = RingBuffer::new(4_800);
            let mut reader = ElasticReader::new(consumer, 960);
            let (mut exact, mut dry) = (0i64, 0);
            let mut out = [0; 320];
            for tick in 0..30_000 {
                exact += 320 * (1_000_000 + ppm);
                while exact >= 1_000_000 {
                    exact -= 1_000_000;
                    assert!(producer.push(100).is_ok(), "{ppm} ppm: full at tick {tick}");
                }
                if !reader.read(&mut out) && tick > 10 {
                    dry += 1;
                }
            }
            assert_eq!(dry, 0, "{ppm} ppm");
        }
    }
}
