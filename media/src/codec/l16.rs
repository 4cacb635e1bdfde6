//! L16: uncompressed 16-bit samples in network order (RFC 3551 §4.5.11).

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

use super::{Encoder, PlainDecoder};
use crate::error::CodecError;

pub(super) struct L16 {
    rate: u32,
}

impl L16 {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate }
    }
}

impl Encoder for L16 {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let needed = pcm.len() * 2;
        let got = out.len();
        let out = out.get_mut(..needed).ok_or(CodecError::Room { codec: "L16", needed, got })?;
        for (bytes, sample) in out.chunks_exact_mut(2).zip(pcm) {
            bytes.copy_from_slice(&sample.to_be_bytes());
        }
        Ok(needed)
    }
}

impl PlainDecoder for L16 {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let (pairs, rest) = payload.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(CodecError::Payload { codec: "L16", length: payload.len() });
        }
        let got = out.len();
        let out =
            out.get_mut(..pairs.len()).ok_or(CodecError::Room { codec: "L16", needed: pairs.len(), got })?;
        for (sample, bytes) in out.iter_mut().zip(pairs) {
            *sample = i16::from_be_bytes(*bytes);
        }
        Ok(pairs.len())
    }
}
