//! G.722 at 64 kbit/s (ITU-T G.722, RFC 3551 §4.5.2), bit exact.
//!
//! ```text
//!  16 kHz ─► analysis QMF ─┬─ low  ─► 6-bit ADPCM ─┐
//!                          └─ high ─► 2-bit ADPCM ─┴─► one byte per two samples
//! ```
//! Names of blocks are those of the recommendation's figures (QUANTL, INVQAL, LOGSCL,
//! SCALEL, UPPOL1, UPPOL2, UPZERO, FILTEP, FILTEZ, PREDIC).

use super::{Encoder, PlainDecoder};
use crate::error::CodecError;

const NAME: &str = "G722";

/// Decision levels of the lower band (G.722 table 14) for a scale factor of one, times 16, so that the
/// upper half of a product of 16 bits is the level. The three in front count always.
const Q6: [u16; 32] = {
    const LEVELS: [u16; 29] = [
        35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121,
        1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
    ];
    let mut all = [0; 32];
    let mut i = 0;
    while i < 29 {
        all[i + 3] = LEVELS[i] * 16;
        i += 1;
    }
    all
};
/// Multipliers of the quantiser's scale factor, by the 4-bit code.
const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const RL42: [u8; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const WH: [i32; 3] = [0, -214, 798];
const RH2: [u8; 4] = [2, 1, 2, 1];
/// Antilogarithm for the scale factors.
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
const QM4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
    -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
    -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856,
    7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
    -432, -136,
];
/// One polyphase half of the quadrature mirror filter; the other is its mirror.
const QMF: [i16; 16] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11, 0, 0, 0, 0];
const QMF_MIRROR: [i16; 16] = [-11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3, 0, 0, 0, 0];

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// The recommendation multiplies by 32640 (or 32512) and divides by 32768, rounding down:
/// the same as taking away 1/256 (1/128), rounded up.
fn decay<const SHIFT: u32>(value: i32) -> i32 {
    value + (-value >> SHIFT)
}

/// Negates where the mask is -1, keeps where it is 0: signs are as good as random, and a branch
/// would be guessed wrong half of the time.
#[inline]
fn negate(value: i32, mask: i32) -> i32 {
    (value ^ mask) - mask
}

/// The adaptive predictor and quantiser scale of one sub-band.
#[derive(Clone)]
struct Band {
    /// Signal estimate.
    s: i32,
    sz: i32,
    /// Twice the last reconstructed sample.
    r2: i32,
    p: [i32; 2],
    a: [i32; 2],
    /// Twice the past quantised differences: six, and zeros that fill a vector.
    d2: [i16; 8],
    b: [i16; 8],
    nb: i32,
    det: i32,
}

impl Band {
    fn new(det: i32) -> Self {
        Self { s: 0, sz: 0, r2: 0, p: [0; 2], a: [0; 2], d2: [0; 8], b: [0; 8], nb: 0, det }
    }

    /// LOGSCL and SCALEL (or LOGSCH, SCALEH): the scale factor follows the code.
    #[inline]
    fn adapt(&mut self, multiplier: i32, limit: i32, shift: i32) {
        self.nb = (((self.nb * 127) >> 7) + multiplier).clamp(0, limit);
        let mantissa = ILB[((self.nb >> 6) & 31) as usize];
        // One more to the left, so that no shift is negative.
        let down = shift + 1 - (self.nb >> 11);
        self.det = ((mantissa << 1) >> down) << 2;
    }

    /// Takes the quantised difference and predicts the next sample.
    #[inline]
    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.s + difference);
        let partial = saturate(self.sz + difference);
        // UPPOL2, UPPOL1: the pole coefficients, by signs that agree or not.
        let first = (partial ^ self.p[0]) >> 31;
        let second = (partial ^ self.p[1]) >> 31;
        let doubled = saturate(self.a[0] << 2);
        let step = negate(doubled, !first).min(32_767) >> 7;
        let a2 = (step + negate(128, second) + decay::<7>(self.a[1])).clamp(-12_288, 12_288);
        let bound = 15_360 - a2;
        let a1 = (negate(192, first) + decay::<8>(self.a[0])).clamp(-bound, bound);
        // UPZERO: the zero coefficients, each by the sign of its own past difference.
        let newest = difference as i16;
        let step = if difference == 0 { 0 } else { 128 };
        for (b, d2) in self.b.iter_mut().zip(&self.d2) {
            let sign = (*d2 ^ newest) >> 15;
            // What `decay` does, within 16 bits: nothing here leaves them.
            let part = (*b >> 8) + (((*b & 255) + 255) >> 8);
            *b = b.wrapping_sub(part).wrapping_add((step ^ sign).wrapping_sub(sign));
        }
        let [d0, d1, d2, d3, d4, ..] = self.d2;
        self.d2 = [saturate(difference * 2) as i16, d0, d1, d2, d3, d4, 0, 0];
        // FILTEP, FILTEZ, PREDIC.
        let r2 = saturate(reconstructed * 2);
        let pole = ((a1 * r2) >> 15) + ((a2 * self.r2) >> 15);
        let mut zero = 0;
        for (b, d2) in self.b.iter().zip(&self.d2) {
            zero += (i32::from(*b) * i32::from(*d2)) >> 15;
        }
        self.r2 = r2;
        self.p = [partial, self.p[0]];
        self.a = [a1, a2];
        self.sz = saturate(zero);
        self.s = saturate(saturate(pole) + self.sz);
    }

    fn low(&mut self, code4: u8) {
        let code4 = usize::from(code4 & 15);
        let difference = (self.det * QM4[code4]) >> 15;
        self.adapt(WL[usize::from(RL42[code4])], 18_432, 8);
        self.predict(difference);
    }

    fn high(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let difference = (self.det * QM2[code]) >> 15;
        let reconstructed = (difference + self.s).clamp(-16_384, 16_383);
        self.adapt(WH[usize::from(RH2[code])], 22_528, 10);
        self.predict(difference);
        reconstructed
    }
}

/// The last 24 samples of a quadrature mirror filter, split in even and odd ones; a buffer
/// in which they slide keeps them contiguous. Windows are 16 long: what is behind the newest counts nothing.
#[derive(Clone)]
struct Mirror {
    even: [i16; 144],
    odd: [i16; 144],
    at: usize,
}

impl Mirror {
    fn new() -> Self {
        Self { even: [0; 144], odd: [0; 144], at: 0 }
    }

    /// The two polyphase sums after a new pair.
    #[inline]
    fn step(&mut self, first: i16, second: i16) -> (i32, i32) {
        if self.at + 12 > 128 {
            let from = self.at;
            self.even.copy_within(from..from + 11, 0);
            self.odd.copy_within(from..from + 11, 0);
            self.at = 0;
        }
        let at = self.at;
        self.even[at + 11] = first;
        self.odd[at + 11] = second;
        self.at += 1;
        (product(&self.even[at..at + 16], &QMF), product(&self.odd[at..at + 16], &QMF_MIRROR))
    }
}

#[inline]
fn product(samples: &[i16], filter: &[i16; 16]) -> i32 {
    samples.iter().zip(filter).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Encodes 16 kHz PCM at 64 kbit/s.
#[derive(Clone)]
pub struct G722Encoder {
    low: Band,
    high: Band,
    mirror: Mirror,
}

impl Default for G722Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl G722Encoder {
    /// An encoder in its reset state.
    pub fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8), mirror: Mirror::new() }
    }

    #[inline]
    fn pair(&mut self, first: i16, second: i16) -> u8 {
        let (first, second) = self.mirror.step(first, second);
        let low = self.low_code((second + first) >> 14);
        let high = self.high_code((second - first) >> 14);
        self.low.low(low >> 2);
        self.high.high(high);
        (high << 6) | low
    }

    /// QUANTL: 6 bits for the lower band.
    #[inline]
    fn low_code(&self, input: i32) -> u8 {
        let error = saturate(input - self.low.s);
        let magnitude = error ^ (error >> 31);
        // The levels rise: those that are not above are counted, all at once.
        let (magnitude, det) = (magnitude as i16, self.low.det as u16);
        let mut counts = [0i16; 8];
        for levels in Q6.as_chunks::<8>().0 {
            for (count, level) in counts.iter_mut().zip(levels) {
                let level = ((u32::from(*level) * u32::from(det)) >> 16) as i16;
                *count += i16::from(magnitude >= level);
            }
        }
        let interval = counts.iter().sum::<i16>() as u8 - 2;
        // Below zero the two codes of the smallest differences stand at the other end.
        let negative = if interval <= 2 { 64 - interval } else { 34 - interval };
        if error < 0 { negative } else { 62 - interval }
    }

    /// QUANTH: 2 bits for the higher band.
    #[inline]
    fn high_code(&self, input: i32) -> u8 {
        let error = saturate(input - self.high.s);
        let magnitude = error ^ (error >> 31);
        let inner = magnitude < (564 * self.high.det) >> 12;
        (u8::from(error >= 0) << 1) | u8::from(inner)
    }
}

impl Encoder for G722Encoder {
    fn sample_rate(&self) -> u32 {
        16_000
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let (pairs, rest) = pcm.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(CodecError::FrameSize { codec: NAME, samples: pcm.len() });
        }
        let got = out.len();
        let out =
            out.get_mut(..pairs.len()).ok_or(CodecError::Room { codec: NAME, needed: pairs.len(), got })?;
        for (byte, [first, second]) in out.iter_mut().zip(pairs) {
            *byte = self.pair(*first, *second);
        }
        Ok(pairs.len())
    }
}

/// Decodes 64 kbit/s to 16 kHz PCM.
#[derive(Clone)]
pub struct G722Decoder {
    low: Band,
    high: Band,
    mirror: Mirror,
}

impl Default for G722Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl G722Decoder {
    /// A decoder in its reset state.
    pub fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8), mirror: Mirror::new() }
    }

    #[inline]
    fn byte(&mut self, code: u8) -> [i16; 2] {
        let code6 = code & 63;
        let low = self.low.s + ((self.low.det * QM6[usize::from(code6)]) >> 15);
        let low = low.clamp(-16_384, 16_383);
        self.low.low(code6 >> 2);
        let high = self.high.high(code >> 6);
        // Both bands are within 15 bits, so sum and difference are within 16.
        let (even, odd) = self.mirror.step((low + high) as i16, (low - high) as i16);
        [saturate(odd >> 11) as i16, saturate(even >> 11) as i16]
    }
}

impl PlainDecoder for G722Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let needed = payload.len() * 2;
        let got = out.len();
        let out = out.get_mut(..needed).ok_or(CodecError::Room { codec: NAME, needed, got })?;
        for (pair, code) in out.chunks_exact_mut(2).zip(payload) {
            pair.copy_from_slice(&self.byte(*code));
        }
        Ok(needed)
    }

    /// The predictors and scale factors go on as if what was made up had been encoded: that is nearer
    /// to where the sender's are than where the loss left them (the idea of G.722 Appendix III).
    fn concealed(&mut self, heard: &[i16], made: usize) {
        let from = heard.len().saturating_sub(made & !1);
        let (before, made) = heard.split_at(from);
        let mut encoder =
            G722Encoder { low: self.low.clone(), high: self.high.clone(), mirror: Mirror::new() };
        // The filter's memory: what was heard before.
        let warm = before.len().saturating_sub(24);
        for [first, second] in before[warm..].as_chunks::<2>().0 {
            encoder.mirror.step(*first, *second);
        }
        for [first, second] in made.as_chunks::<2>().0 {
            encoder.pair(*first, *second);
        }
        (self.low, self.high) = (encoder.low, encoder.high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decoder;
    use crate::plc::Concealing;
    use crate::wav::Clip;

    /// A decoder whose memory stays where the loss left it.
    struct Forgetful(G722Decoder);

    impl PlainDecoder for Forgetful {
        fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
            self.0.decode(payload, out)
        }
    }

    /// The error in the frame after each lost one, against what is heard without loss.
    fn error(mut decoder: impl Decoder, frames: &[[u8; 160]]) -> f64 {
        let (mut plain, mut sum) = (G722Decoder::new(), 0.0);
        let (mut right, mut heard) = ([0; 320], [0; 320]);
        for (n, frame) in frames.iter().enumerate() {
            plain.decode(frame, &mut right).expect("room");
            if n % 10 == 9 {
                decoder.conceal(&mut heard);
            } else {
                decoder.decode(frame, &mut heard).expect("room");
            }
            // The first 10 ms are faded into.
            if n % 10 == 0 && n > 0 {
                let part = right.iter().zip(&heard).skip(160);
                sum += part.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
            }
        }
        sum
    }

    #[test]
    fn after_a_loss_it_is_soon_right_again() {
        let clip = Clip::from_bytes(crate::assets::BOB).expect("our own file");
        let mut encoder = G722Encoder::new();
        let frames: Vec<[u8; 160]> = clip
            .samples()
            .as_chunks::<320>()
            .0
            .iter()
            .map(|pcm| {
                let mut frame = [0; 160];
                encoder.encode(pcm, &mut frame).expect("room");
                frame
            })
            .collect();
        let kept = error(Concealing::new(G722Decoder::new(), 16_000), &frames);
        let lost = error(Concealing::new(Forgetful(G722Decoder::new()), 16_000), &frames);
        assert!(kept < lost * 0.8, "{:.2} of the error", kept / lost);
    }
}
