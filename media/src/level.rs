//! Audio levels, measured by the media thread and read by anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Level of digital silence, in dB below full scale.
pub const FLOOR_DB: f32 = -96.0;

/// What a [`Meter`] shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Largest sample of the last frame, in dBFS (0 is full scale, [`FLOOR_DB`] is silence).
    pub peak_db: f32,
    /// Root of the mean square, smoothed over about 100 ms, in dBFS.
    pub rms_db: f32,
}

/// A level that one thread writes and any number read, without locks.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bits of `f32`, linear, full scale = 1.
    peak: AtomicU32,
    mean_square: AtomicU32,
}

impl Meter {
    /// A meter at silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// The level now.
    pub fn level(&self) -> Level {
        let peak = f32::from_bits(self.shared.peak.load(Ordering::Relaxed));
        let mean_square = f32::from_bits(self.shared.mean_square.load(Ordering::Relaxed));
        Level { peak_db: decibels(peak), rms_db: decibels(mean_square.sqrt()) }
    }

    /// Whether there is a clone that could be read.
    pub fn is_watched(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Takes one frame; an empty one counts as silence.
    pub fn measure(&self, pcm: &[i16]) {
        // Eight sums and peaks that do not wait for each other, for vectors: the squares of two samples fit
        // into 32 bits.
        let (mut peaks, mut sums) = ([0i16; 8], [0u64; 4]);
        let (blocks, rest) = pcm.as_chunks::<8>();
        let square = |sample: i16| i32::from(sample).wrapping_mul(i32::from(sample)).cast_unsigned();
        for block in blocks {
            for lane in 0..4 {
                sums[lane] += u64::from(square(block[2 * lane]).wrapping_add(square(block[2 * lane + 1])));
            }
            for lane in 0..8 {
                // -32768 has no positive twin; its complement is one less.
                peaks[lane] = peaks[lane].max(block[lane] ^ (block[lane] >> 15));
            }
        }
        for sample in rest {
            sums[0] += u64::from(square(*sample));
            peaks[0] = peaks[0].max(sample ^ (sample >> 15));
        }
        let peak = peaks.into_iter().max().unwrap_or(0);
        let sum = sums.iter().sum::<u64>() as f32;
        let mean = if pcm.is_empty() { 0.0 } else { sum / pcm.len() as f32 / (32_768.0 * 32_768.0) };
        let before = f32::from_bits(self.shared.mean_square.load(Ordering::Relaxed));
        let smoothed = before + (mean - before) * 0.2;
        let smoothed = if smoothed < 1e-12 { 0.0 } else { smoothed };
        self.shared.peak.store((f32::from(peak) / 32_768.0).to_bits(), Ordering::Relaxed);
        self.shared.mean_square.store(smoothed.to_bits(), Ordering::Relaxed);
    }
}

fn decibels(linear: f32) -> f32 {
    if linear <= 0.0 { FLOOR_DB } else { (20.0 * linear.log10()).max(FLOOR_DB) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_square_wave_reads_zero() {
        let meter = Meter::new();
        assert_eq!(meter.level().rms_db, FLOOR_DB);
        for _ in 0..100 {
            meter.measure(&[i16::MIN; 160]);
        }
        let level = meter.level();
        assert!(level.peak_db.abs() < 0.01 && level.rms_db.abs() < 0.01, "{level:?}");
        for _ in 0..200 {
            meter.measure(&[]);
        }
        assert_eq!(meter.level(), Level { peak_db: FLOOR_DB, rms_db: FLOOR_DB });
        assert!(!meter.is_watched());
        let reader = meter.clone();
        assert!(meter.is_watched() && reader.is_watched());
    }
}
