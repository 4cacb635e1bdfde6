//! Opus (RFC 6716, RFC 7587) by libopus, mono.

use audiopus::coder::{Decoder as LibDecoder, Encoder as LibEncoder};
use audiopus::packet::Packet;
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate};

use super::{CodecParams, Decoder, Encoder};
use crate::error::CodecError;

const NAME: &str = "opus";

fn refused(error: audiopus::Error) -> CodecError {
    CodecError::Library { codec: NAME, what: error.to_string() }
}

fn rate(params: &CodecParams) -> (SampleRate, u32) {
    match params.sample_rate {
        Some(8_000) => (SampleRate::Hz8000, 8_000),
        Some(12_000) => (SampleRate::Hz12000, 12_000),
        Some(16_000) => (SampleRate::Hz16000, 16_000),
        Some(24_000) => (SampleRate::Hz24000, 24_000),
        _ => (SampleRate::Hz48000, 48_000),
    }
}

pub(super) struct OpusEncoder {
    inner: LibEncoder,
    rate: u32,
}

impl OpusEncoder {
    pub(super) fn new(params: &CodecParams) -> Result<Self, CodecError> {
        let (lib_rate, rate) = rate(params);
        let mut inner = LibEncoder::new(lib_rate, Channels::Mono, Application::Voip).map_err(refused)?;
        if let Some(bitrate) = params.bitrate.and_then(|bitrate| i32::try_from(bitrate).ok()) {
            inner.set_bitrate(Bitrate::BitsPerSecond(bitrate)).map_err(refused)?;
        }
        if let Some(complexity) = params.complexity {
            inner.set_complexity(complexity.min(10)).map_err(refused)?;
        }
        inner.set_inband_fec(params.fec).map_err(refused)?;
        inner.set_dtx(params.dtx).map_err(refused)?;
        inner.set_packet_loss_perc(params.expected_loss.min(100)).map_err(refused)?;
        Ok(Self { inner, rate })
    }
}

impl Encoder for OpusEncoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let length = self.inner.encode(pcm, out).map_err(refused)?;
        // RFC 6716 §2.1.9: a payload of one or two bytes in DTX need not be sent.
        Ok(if length <= 2 { 0 } else { length })
    }

    fn set_expected_loss(&mut self, percent: u8) {
        // The library takes any value up to 100.
        let _ = self.inner.set_packet_loss_perc(percent.min(100));
    }
}

pub(super) struct OpusDecoder {
    inner: LibDecoder,
    rate: u32,
}

impl OpusDecoder {
    pub(super) fn new(params: &CodecParams) -> Result<Self, CodecError> {
        let (lib_rate, rate) = rate(params);
        Ok(Self { inner: LibDecoder::new(lib_rate, Channels::Mono).map_err(refused)?, rate })
    }

    fn run(&mut self, payload: Option<&[u8]>, out: &mut [i16], fec: bool) -> Result<usize, CodecError> {
        let packet = payload.map(Packet::try_from).transpose().map_err(refused)?;
        let room = MutSignals::try_from(out).map_err(refused)?;
        self.inner.decode(packet, room, fec).map_err(refused)
    }
}

impl Decoder for OpusDecoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        self.run(Some(payload), out, false)
    }

    fn conceal(&mut self, out: &mut [i16]) {
        if self.run(None, out, false).is_err() {
            out.fill(0);
        }
    }

    fn recover(&mut self, following: &[u8], out: &mut [i16]) -> bool {
        self.run(Some(following), out, true).is_ok()
    }

    fn knows_pauses(&self) -> bool {
        true
    }
}
