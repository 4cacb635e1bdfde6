//! Two clocks that drift: a ring between a device and the bridge whose reader runs a little
//! faster or slower, so that the ring stays half full.
//!
//! Reading interpolates between neighbours at a rate of 1 ± 0.5 %; the correction follows the
//! smoothed fill of the ring, and is inaudible.

use rtrb::Consumer;

/// Largest change of speed.
const MOST: f32 = 0.005;

/// Reads a ring at the reader's own pace.
#[derive(Debug)]
pub(super) struct ElasticReader {
    ring: Consumer<i16>,
    /// Samples that should wait in the ring after a read.
    target: f32,
    fill: f32,
    fraction: f32,
    last: i16,
    next: i16,
    /// Waiting for the ring to fill to the target.
    filling: bool,
}

impl ElasticReader {
    pub(super) fn new(ring: Consumer<i16>, target: usize) -> Self {
        let target = target as f32;
        Self { ring, target, fill: target, fraction: 0.0, last: 0, next: 0, filling: true }
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
        self.fill += (left - self.fill) * 0.02;
        let speed = 1.0 + ((self.fill - self.target) / self.target.max(1.0) * 0.02).clamp(-MOST, MOST);
        for slot in out.iter_mut() {
            self.fraction += speed;
            while self.fraction >= 1.0 {
                self.fraction -= 1.0;
                self.last = self.next;
                match self.ring.pop() {
                    Ok(sample) => self.next = sample,
                    Err(_) => {
                        self.next = 0;
                        self.filling = true;
                    }
                }
            }
            let (last, next) = (f32::from(self.last), f32::from(self.next));
            *slot = (last + (next - last) * self.fraction) as i16;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

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
