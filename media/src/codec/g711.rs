//! G.711: µ-law and A-law (ITU-T G.711, RFC 3551 §4.5.14).
//!
//! The arithmetic is that of the ITU's software tools: µ-law on 14 bits with rounding by
//! truncation, A-law on 13 bits with one's complement. Decoding is one table look-up;
//! encoding is one in a table over the upper bits of the sample, built at compile time.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

use super::{Encoder, PlainDecoder};
use crate::error::CodecError;

/// One µ-law byte as a 16-bit sample.
pub const fn ulaw_to_linear(code: u8) -> i16 {
    let code = !code;
    let exponent = (code >> 4) & 7;
    let mantissa = (code & 15) as i16;
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

/// One A-law byte as a 16-bit sample.
pub const fn alaw_to_linear(code: u8) -> i16 {
    let code = code ^ 0x55;
    let exponent = (code >> 4) & 7;
    let mantissa = ((code & 15) as i16) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// A 16-bit sample as µ-law.
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    // 14 significant bits; a negative sample takes its one's complement.
    let (magnitude, sign) = if sample < 0 { (((!sample) >> 2) + 33, 0x80) } else { ((sample >> 2) + 33, 0) };
    let magnitude = if magnitude > 0x1FFF { 0x1FFF } else { magnitude };
    let exponent = 15 - (magnitude as u16).leading_zeros() as u8 - 5;
    let mantissa = ((magnitude >> (exponent + 1)) & 15) as u8;
    !(sign | (exponent << 4) | mantissa)
}

/// A 16-bit sample as A-law.
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let (magnitude, sign) = if sample < 0 { ((!sample) >> 4, 0) } else { (sample >> 4, 0x80) };
    let code = if magnitude < 16 {
        magnitude as u8
    } else {
        let exponent = 15 - (magnitude as u16).leading_zeros() as u8 - 3;
        (exponent << 4) | ((magnitude >> (exponent - 1)) & 15) as u8
    };
    (code | sign) ^ 0x55
}

#[expect(clippy::indexing_slicing, reason = "constant evaluation; the index runs over the table")]
const fn expand(alaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if alaw { alaw_to_linear(code as u8) } else { ulaw_to_linear(code as u8) };
        code += 1;
    }
    table
}

// Both laws ignore the two lowest bits of a sample.
#[expect(clippy::indexing_slicing, reason = "constant evaluation; the index runs over the table")]
const fn compress(alaw: bool) -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut index = 0;
    while index < 16_384 {
        let sample = ((index as u16) << 2) as i16;
        table[index] = if alaw { linear_to_alaw(sample) } else { linear_to_ulaw(sample) };
        index += 1;
    }
    table
}

static ULAW_EXPAND: [i16; 256] = expand(false);
static ALAW_EXPAND: [i16; 256] = expand(true);
static ULAW_COMPRESS: [u8; 16_384] = compress(false);
static ALAW_COMPRESS: [u8; 16_384] = compress(true);

pub(super) struct G711Encoder {
    table: &'static [u8; 16_384],
}

impl G711Encoder {
    pub(super) fn ulaw() -> Self {
        Self { table: &ULAW_COMPRESS }
    }

    pub(super) fn alaw() -> Self {
        Self { table: &ALAW_COMPRESS }
    }
}

impl Encoder for G711Encoder {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    #[expect(clippy::indexing_slicing, reason = "14 bits index a table of 2^14")]
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let room = out.len();
        let out = out.get_mut(..pcm.len()).ok_or(CodecError::Room {
            codec: "G.711",
            needed: pcm.len(),
            got: room,
        })?;
        for (byte, &sample) in out.iter_mut().zip(pcm) {
            *byte = self.table[usize::from(sample.cast_unsigned() >> 2)];
        }
        Ok(pcm.len())
    }
}

pub(super) struct G711Decoder {
    table: &'static [i16; 256],
}

impl G711Decoder {
    pub(super) fn ulaw() -> Self {
        Self { table: &ULAW_EXPAND }
    }

    pub(super) fn alaw() -> Self {
        Self { table: &ALAW_EXPAND }
    }
}

impl PlainDecoder for G711Decoder {
    #[expect(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let room = out.len();
        let out = out.get_mut(..payload.len()).ok_or(CodecError::Room {
            codec: "G.711",
            needed: payload.len(),
            got: room,
        })?;
        for (sample, &byte) in out.iter_mut().zip(payload) {
            *sample = self.table[usize::from(byte)];
        }
        Ok(payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_the_scales() {
        assert_eq!(ulaw_to_linear(0x00), -32_124);
        assert_eq!(ulaw_to_linear(0x80), 32_124);
        assert_eq!(ulaw_to_linear(0xFF), 0);
        assert_eq!(alaw_to_linear(0x2A), -32_256);
        assert_eq!(alaw_to_linear(0xD5), 8);
        assert_eq!(linear_to_ulaw(0), 0xFF);
        assert_eq!(linear_to_ulaw(i16::MIN), 0x00);
        assert_eq!(linear_to_alaw(i16::MAX), 0xAA);
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255u8 {
            assert_eq!(linear_to_alaw(alaw_to_linear(code)), code);
            if code != 0x7F {
                assert_eq!(linear_to_ulaw(ulaw_to_linear(code)), code);
            }
        }
    }

    #[test]
    fn tables_hold_for_every_sample() {
        for sample in i16::MIN..=i16::MAX {
            let index = usize::from(sample.cast_unsigned() >> 2);
            assert_eq!(ULAW_COMPRESS[index], linear_to_ulaw(sample));
            assert_eq!(ALAW_COMPRESS[index], linear_to_alaw(sample));
        }
    }
}
