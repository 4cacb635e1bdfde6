//! Playing faster and slower without changing the pitch.
//!
//! One pitch period is left out or repeated, with a cross-fade over that period, where the
//! signal resembles itself a period later; in quiet any place will do.

use crate::frame::Fifo;
use crate::jitter::Urgency;

/// Below this mean magnitude it is quiet.
const QUIET: u32 = 60;
/// So much like itself a period later is a signal that stands a change.
const ALIKE: f32 = 0.85;

/// Removes one period of `longest` samples at most from the front of what is decoded; returns the
/// samples removed, 0 if the signal does not allow it at this urgency.
pub fn shorten(fifo: &mut Fifo, rate: u32, longest: usize, urgency: Urgency) -> usize {
    let pcm = fifo.as_mut_slice();
    let Some(lag) = best_lag(pcm, rate, longest, urgency) else { return 0 };
    // x[0..lag] fades out while x[lag..2 lag] fades in; then x[2 lag..] follows.
    for i in 0..lag {
        pcm[lag + i] = blend(pcm[i], pcm[lag + i], i, lag);
    }
    fifo.discard(lag);
    lag
}

/// Repeats one period at the front of what is decoded; returns the samples added, likewise.
pub fn stretch(fifo: &mut Fifo, rate: u32, urgency: Urgency) -> usize {
    let pcm = fifo.as_mut_slice();
    let Some(lag) = best_lag(pcm, rate, usize::MAX, urgency) else { return 0 };
    if !fifo.open(lag) {
        return 0;
    }
    // The first period twice: between the two, x[lag..2 lag] fades back into x[0..lag].
    let pcm = fifo.as_mut_slice();
    pcm.copy_within(lag..2 * lag, 0);
    for i in 0..lag {
        let (again, ahead) = (pcm[lag + i], pcm[2 * lag + i]);
        pcm[lag + i] = blend(ahead, again, i, lag);
    }
    lag
}

/// Whether nobody speaks here.
pub fn is_quiet(pcm: &[i16]) -> bool {
    let sum: u32 = pcm.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
    sum < QUIET * pcm.len() as u32
}

fn blend(from: i16, to: i16, i: usize, length: usize) -> i16 {
    let (from, to) = (i32::from(from), i32::from(to));
    (from + (to - from) * i as i32 / length as i32) as i16
}

/// The lag between 2.5 and 10 ms, and no longer than `longest`, at which the front resembles itself most,
/// if that is enough.
fn best_lag(pcm: &[i16], rate: u32, longest: usize, urgency: Urgency) -> Option<usize> {
    let ms = (rate as usize / 1000).max(1);
    let (least, most) = (5 * ms / 2, 10 * ms);
    if pcm.len() < 2 * most || longest < least {
        return None;
    }
    let front = &pcm[..most];
    if is_quiet(front) && is_quiet(&pcm[most..2 * most]) {
        return Some(most.min(longest));
    }
    if urgency == Urgency::Quiet {
        return None;
    }
    let step = (ms / 8).max(1);
    let score = |lag: usize| {
        let (mut cross, mut here, mut there) = (0f32, 1f32, 1f32);
        for (a, b) in front.iter().zip(&pcm[lag..lag + most]).step_by(step) {
            let (a, b) = (f32::from(*a), f32::from(*b));
            cross += a * b;
            here += a * a;
            there += b * b;
        }
        cross / (here * there).sqrt()
    };
    let mut best = (f32::MIN, least);
    for lag in (least..=most.min(longest)).step_by(step) {
        let found = score(lag);
        if found > best.0 {
            best = (found, lag);
        }
    }
    (best.0 > ALIKE || urgency == Urgency::Now).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|i| ((i as f64 * hz * std::f64::consts::TAU / f64::from(rate)).sin() * 9_000.0) as i16)
            .collect()
    }

    /// A tone changed in length has no step larger than its own slope.
    fn smooth(pcm: &[i16], rate: u32, hz: f64) {
        let slope = 9_000.0 * std::f64::consts::TAU * hz / f64::from(rate);
        for pair in pcm.windows(2) {
            let step = (f64::from(pair[1]) - f64::from(pair[0])).abs();
            assert!(step < slope * 1.3 + 30.0, "step of {step}, slope {slope}");
        }
    }

    #[test]
    fn a_tone_stays_a_tone() {
        for rate in [8_000u32, 16_000, 48_000] {
            let original = tone(rate, 220.0, rate as usize / 20);
            let mut fifo = Fifo::new(rate as usize / 10);
            fifo.write(&original);
            let removed = shorten(&mut fifo, rate, usize::MAX, Urgency::Soon);
            assert!(removed > 0);
            assert_eq!(fifo.len(), original.len() - removed);
            smooth(fifo.as_mut_slice(), rate, 220.0);
            let added = stretch(&mut fifo, rate, Urgency::Soon);
            assert!(added > 0);
            assert_eq!(fifo.len(), original.len() - removed + added);
            smooth(fifo.as_mut_slice(), rate, 220.0);
        }
    }

    #[test]
    fn noise_is_left_alone_unless_forced() {
        let mut seed = 1u32;
        let noise: Vec<i16> = (0..400)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) as i16
            })
            .collect();
        let mut fifo = Fifo::new(1_000);
        fifo.write(&noise);
        assert_eq!(shorten(&mut fifo, 8_000, usize::MAX, Urgency::Soon), 0);
        assert_eq!(stretch(&mut fifo, 8_000, Urgency::Quiet), 0);
        assert!(shorten(&mut fifo, 8_000, usize::MAX, Urgency::Now) > 0);
    }
}
