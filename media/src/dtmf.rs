//! DTMF heard in the audio itself (ITU-T Q.23, Q.24), for peers without telephone-event (RFC 4733).
//!
//! ```text
//!  12.75 ms ─► energy at the 8 frequencies, and all energy ─► a pair that stands alone?
//!  two such blocks in a row ─► a digit; two others in a row ─► it is over
//! ```
//! The limits are in the middle of what administrations ask for in Q.24 table A-1: tones of 40 ms
//! with pauses of 40 ms are heard, less than 20 ms is not; the rows may be 8 dB louder than the
//! columns or 6 dB softer; what is not nearly all energy of the moment is speech.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

use crate::tone::{DTMF_COLUMNS, DTMF_KEYS, DTMF_ROWS};

/// Length of a block in samples at 8 kHz: the frequencies are told apart, and 40 ms hold two.
const BLOCK_AT_8000: u32 = 102;
/// Least power of a tone: an amplitude of about -38 dBFS.
const LEAST: f32 = 400.0 * 400.0 / 2.0;
/// How many times a row may be louder than the column, in power, and softer.
const LOUDER: f32 = 6.31;
const SOFTER: f32 = 3.98;
/// How many times a tone is louder than the others of its group, in power.
const ALONE: f32 = 6.31;
/// Share of all energy that is in the two tones.
const SHARE: f32 = 0.82;

/// Finds digits in mono PCM at one rate.
#[derive(Debug, Clone)]
pub struct DtmfDetector {
    filters: [Goertzel; 8],
    energy: f32,
    block: u32,
    taken: u32,
    /// What the last block held.
    last: Option<char>,
    /// The digit that is held down.
    held: Option<char>,
}

impl DtmfDetector {
    /// A detector for PCM at `rate` Hz, 8000 or more.
    pub fn new(rate: u32) -> Self {
        let mut frequencies = DTMF_ROWS.into_iter().chain(DTMF_COLUMNS);
        let filters = std::array::from_fn(|_| Goertzel::new(frequencies.next().unwrap_or_default(), rate));
        let block = (rate * BLOCK_AT_8000 / 8_000).max(BLOCK_AT_8000);
        Self { filters, energy: 0.0, block, taken: 0, last: None, held: None }
    }

    /// Takes audio in blocks of any size; tells each digit once, when it begins.
    pub fn push(&mut self, mut pcm: &[i16], mut heard: impl FnMut(char)) {
        while !pcm.is_empty() {
            let left = (self.block - self.taken) as usize;
            let (now, later) = pcm.split_at(left.min(pcm.len()));
            pcm = later;
            for sample in now {
                let sample = f32::from(*sample);
                self.energy += sample * sample;
                for filter in &mut self.filters {
                    filter.take(sample);
                }
            }
            self.taken += now.len() as u32;
            if self.taken == self.block {
                self.end_block(&mut heard);
            }
        }
    }

    /// Nothing was said for this many samples, which need not be looked at.
    pub fn skip(&mut self, samples: usize) {
        self.clear();
        if samples as u64 >= u64::from(self.block) {
            (self.last, self.held) = (None, None);
        }
    }

    fn end_block(&mut self, heard: &mut impl FnMut(char)) {
        let found = self.judge();
        if found == self.last && found != self.held {
            self.held = found;
            if let Some(digit) = found {
                heard(digit);
            }
        }
        self.last = found;
        self.clear();
    }

    /// The digit that this block holds.
    fn judge(&self) -> Option<char> {
        let samples = self.block as f32;
        if self.energy < 2.0 * LEAST * samples {
            return None;
        }
        let [r0, r1, r2, r3, c0, c1, c2, c3] = self.filters.map(|filter| filter.power(samples));
        let (row, row_power) = alone([r0, r1, r2, r3])?;
        let (column, column_power) = alone([c0, c1, c2, c3])?;
        let loud = row_power >= LEAST && column_power >= LEAST;
        let twist = row_power <= column_power * LOUDER && column_power <= row_power * SOFTER;
        let clean = (row_power + column_power) * samples >= SHARE * self.energy;
        (loud && twist && clean).then(|| DTMF_KEYS.get(row * 4 + column).copied()).flatten()
    }

    fn clear(&mut self) {
        for filter in &mut self.filters {
            filter.clear();
        }
        (self.energy, self.taken) = (0.0, 0);
    }
}

/// The strongest of a group, if none of the others is near.
fn alone(powers: [f32; 4]) -> Option<(usize, f32)> {
    let (index, most) = powers.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let others = powers.into_iter().enumerate().filter(|(other, _)| *other != index);
    others.into_iter().all(|(_, power)| power * ALONE <= most).then_some((index, most))
}

/// The power at one frequency (Goertzel's algorithm).
#[derive(Debug, Clone, Copy)]
struct Goertzel {
    coefficient: f32,
    last: f32,
    before: f32,
}

impl Goertzel {
    fn new(frequency: f32, rate: u32) -> Self {
        let step = std::f32::consts::TAU * frequency / rate as f32;
        Self { coefficient: 2.0 * step.cos(), last: 0.0, before: 0.0 }
    }

    #[inline]
    fn take(&mut self, sample: f32) {
        let now = sample + self.coefficient * self.last - self.before;
        (self.before, self.last) = (self.last, now);
    }

    /// Mean square of the sine at the frequency over so many samples.
    fn power(&self, samples: f32) -> f32 {
        let square =
            self.last * self.last + self.before * self.before - self.coefficient * self.last * self.before;
        2.0 * square / (samples * samples)
    }

    fn clear(&mut self) {
        (self.last, self.before) = (0.0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Port;
    use crate::tone::{Tone, TonePort};
    use crate::wav::Clip;

    const ALL: &str = "123A456B789C*0#D";

    fn heard(rate: u32, pcm: &[i16]) -> String {
        let mut detector = DtmfDetector::new(rate);
        let mut digits = String::new();
        for block in pcm.chunks(rate as usize / 50) {
            detector.push(block, |digit| digits.push(digit));
        }
        digits
    }

    fn tones(rate: u32, digits: &str, ms: u32) -> Vec<i16> {
        let (mut port, _) = TonePort::new(Tone::dtmf(digits, ms), rate);
        let mut pcm = vec![0; rate as usize * (2 * ms as usize * digits.len() + 100) / 1_000];
        pcm.chunks_mut(rate as usize / 50).for_each(|block| {
            port.pull(block);
        });
        pcm
    }

    /// Two sines: frequencies and amplitudes, 100 ms with 100 ms of silence behind.
    fn pair(row: (f64, f64), column: (f64, f64)) -> Vec<i16> {
        let sine = |i: usize, (hz, amplitude): (f64, f64)| {
            (i as f64 * hz * std::f64::consts::TAU / 8_000.0).sin() * amplitude
        };
        let mut pcm: Vec<i16> = (0..800).map(|i| (sine(i, row) + sine(i, column)) as i16).collect();
        pcm.resize(1_600, 0);
        pcm
    }

    #[test]
    fn every_digit_at_every_rate_and_length() {
        for rate in [8_000, 16_000, 48_000] {
            for ms in [40, 50, 100, 300] {
                assert_eq!(heard(rate, &tones(rate, ALL, ms)), ALL, "{ms} ms at {rate} Hz");
            }
            assert_eq!(heard(rate, &tones(rate, "1188", 60)), "1188", "twice the same is two");
            assert_eq!(heard(rate, &tones(rate, ALL, 20)), "", "20 ms are too short");
        }
    }

    #[test]
    fn survives_g711_and_noise() {
        use crate::codec::{linear_to_ulaw, ulaw_to_linear};
        let mut seed = 1u32;
        let noisy: Vec<i16> = tones(8_000, ALL, 70)
            .into_iter()
            .map(|sample| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // 20 dB below the tones.
                let noise = ((seed >> 16) as i16) / 14;
                ulaw_to_linear(linear_to_ulaw(sample.saturating_add(noise)))
            })
            .collect();
        assert_eq!(heard(8_000, &noisy), ALL);
    }

    #[test]
    fn limits_of_frequency_twist_and_level() {
        let of = |row, column| heard(8_000, &pair(row, column));
        assert_eq!(of((770.0, 6_000.0), (1_336.0, 6_000.0)), "5");
        for off in [0.985, 1.015] {
            assert_eq!(of((770.0 * off, 6_000.0), (1_336.0 * off, 6_000.0)), "5", "{off} of the frequency");
        }
        for off in [0.95, 1.05] {
            assert_eq!(of((770.0 * off, 6_000.0), (1_336.0, 6_000.0)), "", "{off} of the row");
            assert_eq!(of((770.0, 6_000.0), (1_336.0 * off, 6_000.0)), "", "{off} of the column");
        }
        let decibels = |db: f64| 6_000.0 * 10f64.powf(db / 20.0);
        assert_eq!(of((770.0, 6_000.0), (1_336.0, decibels(-6.0))), "5", "a louder row");
        assert_eq!(of((770.0, decibels(-4.0)), (1_336.0, 6_000.0)), "5", "a louder column");
        assert_eq!(of((770.0, 6_000.0), (1_336.0, decibels(-12.0))), "");
        assert_eq!(of((770.0, decibels(-10.0)), (1_336.0, 6_000.0)), "");
        assert_eq!(of((770.0, 600.0), (1_336.0, 600.0)), "5", "-35 dBFS each");
        assert_eq!(of((770.0, 150.0), (1_336.0, 150.0)), "", "-47 dBFS each");
        assert_eq!(of((770.0, 6_000.0), (0.0, 0.0)), "", "one tone is no digit");
    }

    #[test]
    fn speech_is_no_digit() {
        for speech in [crate::assets::ALICE, crate::assets::BOB] {
            let clip = Clip::from_bytes(speech).expect("our own file");
            for rate in [8_000, 16_000] {
                // At several speeds: voices of other pitches.
                for speed in [8_000u32, 7_000, 9_500, 11_000] {
                    let pcm = clip.at_rate(rate * speed / 8_000);
                    assert_eq!(heard(rate, pcm.samples()), "", "speed {speed} at {rate} Hz");
                }
            }
        }
    }
}
