//! Comfort noise (RFC 3389) for codecs that have none of their own.
//!
//! ```text
//!  frame ─► level against the noise floor ─┬─ speech, or just after it ─► the codec
//!                                          └─ noise ─► level and spectrum, now and then
//!  level and spectrum ─► white noise through an all-pole lattice ─► frame
//! ```

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

/// Reflection coefficients that are sent and understood.
const ORDER: usize = 10;
/// Bytes of the longest payload that is sent.
pub const MAX_COMFORT: usize = 1 + ORDER;
/// A frame so much above the noise floor is speech, in dB.
const ABOVE_FLOOR: f32 = 8.0;
/// Nothing below is speech, nothing above is noise, in dBov.
const FAINT: f32 = -62.0;
const LOUD: f32 = -32.0;
/// What follows speech within this time counts as speech, in milliseconds.
const HANGOVER_MS: u32 = 240;
/// A description is sent again after this time, or when the level has changed by so many dB.
const AGAIN_MS: u32 = 500;
const CHANGE: f32 = 3.0;

/// Finds the pauses in speech and describes their noise.
#[derive(Debug, Clone)]
pub struct ComfortEncoder {
    rate: u32,
    floor: f32,
    /// Milliseconds since the last frame of speech.
    quiet_ms: u32,
    /// Milliseconds since the last description, and its level.
    sent_ms: u32,
    sent_level: f32,
    smooth: f32,
}

impl ComfortEncoder {
    /// For mono PCM at `rate` Hz. Spectra are sent at 8000 Hz, which is the clock of payload type 13.
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(1_000);
        Self { rate, floor: LOUD, quiet_ms: 0, sent_ms: AGAIN_MS, sent_level: 0.0, smooth: 0.0 }
    }

    /// Judges one frame. `None`: it is speech. `Some(0)`: it is noise and nothing needs to be sent.
    /// Else the bytes of a description that `out` begins with.
    pub fn judge(&mut self, pcm: &[i16], out: &mut [u8; MAX_COMFORT]) -> Option<usize> {
        let ms = (pcm.len() as u64 * 1_000 / u64::from(self.rate)) as u32;
        let level = level(pcm);
        self.floor = if level < self.floor {
            self.floor + (level - self.floor) * 0.3
        } else {
            // A noise that grows is followed at 3 dB a second.
            (self.floor + 0.003 * ms as f32).min(LOUD)
        };
        let speech = level > FAINT && (level > self.floor + ABOVE_FLOOR || level > LOUD);
        self.quiet_ms = if speech { 0 } else { self.quiet_ms.saturating_add(ms) };
        if self.quiet_ms <= HANGOVER_MS {
            // The first description comes with the first frame that is left out.
            (self.sent_ms, self.smooth) = (AGAIN_MS, level);
            return None;
        }
        self.smooth += (level - self.smooth) * 0.3;
        self.sent_ms = self.sent_ms.saturating_add(ms);
        if self.sent_ms < AGAIN_MS && (self.smooth - self.sent_level).abs() < CHANGE {
            return Some(0);
        }
        (self.sent_ms, self.sent_level) = (0, self.smooth);
        let coefficients = if self.rate == 8_000 { reflect(pcm) } else { None };
        let [head, rest @ ..] = out;
        *head = (-self.smooth).clamp(0.0, 127.0) as u8;
        let Some(coefficients) = coefficients else { return Some(1) };
        for (byte, k) in rest.iter_mut().zip(coefficients) {
            // RFC 3389 §3.2: k = 258 (N - 127) / 32768.
            *byte = (k * 32_768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
        }
        Some(MAX_COMFORT)
    }
}

/// Makes noise as described.
#[derive(Debug, Clone)]
pub struct ComfortNoise {
    /// Amplitude of the excitation, where it is and where it goes.
    gain: f32,
    goal: f32,
    k: [f32; ORDER],
    lattice: [f32; ORDER + 1],
    seed: u32,
}

impl Default for ComfortNoise {
    fn default() -> Self {
        Self::new()
    }
}

impl ComfortNoise {
    /// Silence until a description comes.
    pub fn new() -> Self {
        Self { gain: 0.0, goal: 0.0, k: [0.0; ORDER], lattice: [0.0; ORDER + 1], seed: 0x5EED }
    }

    /// Takes a payload (RFC 3389 §3); coefficients that we do not know what to do with are left out,
    /// an empty payload changes nothing.
    pub fn describe(&mut self, payload: &[u8]) {
        let Some((head, rest)) = payload.split_first() else { return };
        let amplitude = 32_768.0 * 10f32.powf(-f32::from(head & 0x7f) / 20.0);
        self.k = [0.0; ORDER];
        let mut left = 1.0;
        for (k, byte) in self.k.iter_mut().zip(rest) {
            // 255 is reserved; 0.97 keeps whatever comes well inside the unit circle.
            let value = 258.0 * (f32::from((*byte).min(254)) - 127.0) / 32_768.0;
            *k = value.clamp(-0.97, 0.97);
            left *= 1.0 - *k * *k;
        }
        // White noise of an even distribution has a third of its peak's power.
        self.goal = amplitude * left.sqrt() * 3f32.sqrt();
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [i16]) {
        for slot in out {
            self.gain += (self.goal - self.gain) * 0.01;
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = (self.seed >> 16) as f32 / 32_768.0 - 1.0;
            let mut forward = white * self.gain;
            // From the last stage to the first; each hands its backward value one on.
            let mut behind = [0.0; ORDER + 1];
            for ((k, from), to) in self.k.iter().zip(self.lattice).zip(behind.iter_mut().skip(1)).rev() {
                forward -= k * from;
                *to = from + k * forward;
            }
            if let Some(first) = behind.first_mut() {
                *first = forward;
            }
            self.lattice = behind;
            // The cast saturates.
            *slot = forward as i16;
        }
    }
}

/// Level in dBov: a full-scale square wave is 0.
fn level(pcm: &[i16]) -> f32 {
    let sum: f32 = pcm.iter().map(|sample| f32::from(*sample) * f32::from(*sample)).sum();
    let mean = sum / pcm.len().max(1) as f32 / (32_768.0 * 32_768.0);
    if mean <= 0.0 { -127.0 } else { (10.0 * mean.log10()).max(-127.0) }
}

/// Reflection coefficients by Levinson's recursion; `None` for digital silence.
fn reflect(pcm: &[i16]) -> Option<[f32; ORDER]> {
    let correlation: [f32; ORDER + 1] = std::array::from_fn(|lag| {
        let later = pcm.get(lag..).unwrap_or_default();
        pcm.iter().zip(later).map(|(a, b)| f32::from(*a) * f32::from(*b)).sum()
    });
    let [energy, ..] = correlation;
    if energy <= 0.0 {
        return None;
    }
    // A little white noise below, so that the recursion stays well-behaved.
    let mut error = energy * 1.0001;
    let mut predictor = [0f32; ORDER + 1];
    let mut found = [0f32; ORDER];
    for (stage, slot) in found.iter_mut().enumerate() {
        let past = correlation.get(1..=stage).unwrap_or_default();
        let known = predictor.get(1..=stage).unwrap_or_default();
        let next = correlation.get(stage + 1)?;
        let sum: f32 = next + known.iter().zip(past.iter().rev()).map(|(a, r)| a * r).sum::<f32>();
        let k = (-sum / error).clamp(-0.97, 0.97);
        let before = predictor;
        for (to, from) in (1..=stage).zip((1..=stage).rev()) {
            let (Some(slot), Some(other)) = (predictor.get_mut(to), before.get(from)) else { return None };
            *slot += k * other;
        }
        *predictor.get_mut(stage + 1)? = k;
        error *= 1.0 - k * k;
        *slot = k;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::Clip;

    fn noise(amplitude: f32, samples: usize, smooth: f32, seed: u32) -> Vec<i16> {
        let (mut seed, mut last) = (seed, 0f32);
        (0..samples)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                last = last * smooth + ((seed >> 16) as f32 / 32_768.0 - 1.0) * amplitude;
                last as i16
            })
            .collect()
    }

    #[test]
    fn a_pause_is_described_and_not_sent_and_speech_is() {
        let clip = Clip::from_bytes(crate::assets::ALICE).expect("our own file").at_rate(8_000);
        let mut speech = vec![0; 4_000];
        speech.extend_from_slice(clip.samples());
        let hiss = noise(60.0, speech.len() + 24_000, 0.0, 3);
        speech.resize(hiss.len(), 0);
        let mixed: Vec<i16> = speech.iter().zip(&hiss).map(|(a, b)| a.saturating_add(*b)).collect();
        let mut encoder = ComfortEncoder::new(8_000);
        let (mut out, mut left_out, mut descriptions) = ([0; MAX_COMFORT], 0, 0);
        let (mut cut, mut loud) = (0, 0);
        for (said, frame) in speech.chunks_exact(160).zip(mixed.chunks_exact(160)) {
            let verdict = encoder.judge(frame, &mut out);
            let speaks = level(said) > -45.0;
            loud += u32::from(speaks);
            cut += u32::from(speaks && verdict.is_some());
            left_out += u32::from(verdict.is_some());
            descriptions += u32::from(verdict.is_some_and(|length| length > 0));
        }
        assert!(loud > 150 && cut <= 1, "{cut} of {loud} frames of speech are cut");
        assert!(left_out > 130, "{left_out} frames are left out: 3 s at the end at least");
        assert!(descriptions >= 5 && descriptions <= left_out / 8, "{descriptions} descriptions");
    }

    #[test]
    fn noise_sounds_as_described() {
        for smooth in [0.0, 0.8] {
            let original = noise(400.0, 16_000, smooth, 5);
            let mut encoder = ComfortEncoder::new(8_000);
            let mut payload = [0; MAX_COMFORT];
            let found = original
                .chunks_exact(160)
                .find_map(|frame| encoder.judge(frame, &mut payload).filter(|length| *length > 0));
            assert_eq!(found, Some(MAX_COMFORT));
            let mut generator = ComfortNoise::new();
            generator.describe(&payload);
            let mut made = vec![0; 16_000];
            generator.fill(&mut made);
            let made = &made[4_000..];
            assert!((level(made) - level(&original)).abs() < 2.5, "{} {}", level(made), level(&original));
            let slope = |pcm: &[i16]| {
                let of = |lag: usize| -> f64 {
                    pcm.iter().zip(&pcm[lag..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                of(1) / of(0)
            };
            assert!((slope(made) - slope(&original)).abs() < 0.15, "{} {}", slope(made), slope(&original));
        }
    }

    #[test]
    fn any_payload_is_bounded() {
        for byte in 0..=255u8 {
            let mut generator = ComfortNoise::new();
            generator.describe(&[]);
            generator.describe(&[byte; 40]);
            let mut out = [0; 1_600];
            generator.fill(&mut out);
        }
        let mut generator = ComfortNoise::new();
        generator.describe(&[127]);
        let mut out = [1; 160];
        generator.fill(&mut out);
        assert_eq!(out, [0; 160], "-127 dBov is silence");
    }
}
