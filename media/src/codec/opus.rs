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

/// Whether the first frame of a packet has the one before it in it, at a lower rate. Its flag follows those for
/// activity, one for each 20 ms, in the first byte of what SILK wrote (RFC 6716 §3.1, §4.2.3, §4.2.4).
fn has_redundancy(payload: &[u8]) -> bool {
    let &[first, second, ..] = payload else { return false };
    let (config, stereo, code) = (first >> 3, first & 4 != 0, first & 3);
    let frames = match (config, config % 4) {
        (0..12, 2) => 2,
        (0..12, 3) => 3,
        (0..16, _) => 1,
        // CELT has none.
        _ => return false,
    };
    // With codes 2 and 3 lengths come first: such packets are longer than calls have them.
    let side = stereo && second >> (6 - 2 * frames) & 1 == 1;
    code < 2 && (second >> (7 - frames) & 1 == 1 || side)
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
        has_redundancy(following) && self.run(Some(following), out, true).is_ok()
    }

    fn has_redundancy(&self, payload: &[u8]) -> bool {
        has_redundancy(payload)
    }

    fn knows_pauses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::Clip;

    fn packets(expected_loss: u8) -> Vec<Vec<u8>> {
        let clip = Clip::from_bytes(crate::assets::ALICE).expect("our own file").at_rate(16_000);
        let params = CodecParams { sample_rate: Some(16_000), expected_loss, ..CodecParams::default() };
        let mut encoder = OpusEncoder::new(&params).expect("builds");
        let encode = |frame: &[i16]| {
            let mut payload = vec![0; 1_500];
            let length = encoder.encode(frame, &mut payload).expect("20 ms encode");
            payload.truncate(length);
            payload
        };
        clip.samples().chunks_exact(320).map(encode).collect()
    }

    #[test]
    fn what_is_lost_comes_back_from_what_follows() {
        assert!(!packets(0).iter().any(|packet| has_redundancy(packet)), "nothing is expected to be lost");
        let packets = packets(20);
        let decoder = || {
            let params = CodecParams { sample_rate: Some(16_000), ..CodecParams::default() };
            OpusDecoder::new(&params).expect("builds")
        };
        let (mut whole, mut recovering, mut concealing) = (decoder(), decoder(), decoder());
        let (mut restored, mut recovered, mut concealed) = (0, 0f64, 0f64);
        let wrong = |a: &[i16], b: &[i16]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        for (n, packet) in packets.iter().enumerate() {
            let mut outs = [[0i16; 320]; 3];
            let [right, one, other] = &mut outs;
            whole.decode(packet, right).expect("our own packet");
            let following = packets.get(n + 1).filter(|following| n % 10 == 5 && has_redundancy(following));
            if let Some(following) = following {
                assert!(recovering.recover(following, one));
                concealing.conceal(other);
                restored += 1;
                recovered += wrong(right, one);
                concealed += wrong(right, other);
            } else {
                recovering.decode(packet, one).expect("our own packet");
                concealing.decode(packet, other).expect("our own packet");
            }
        }
        assert!(restored > 15, "{restored} of {}", packets.len());
        assert!(recovered < concealed / 2.0, "{recovered:.0} against {concealed:.0}");
    }

    #[test]
    fn the_flag_is_where_the_rfc_has_it() {
        let silk = |config: u8, code: u8, second: u8| has_redundancy(&[config << 3 | code, second, 0]);
        // Wide band, of 20, 40 and 60 ms.
        assert!(silk(9, 0, 0b0100_0000) && !silk(9, 0, 0b1011_1111));
        assert!(silk(10, 0, 0b0010_0000) && !silk(10, 0, 0b1101_1111));
        assert!(silk(11, 1, 0b0001_0000) && !silk(11, 1, 0b1110_1111));
        // Stereo has the side's flags after those of the middle.
        assert!(has_redundancy(&[9 << 3 | 4, 0b0001_0000]));
        // Hybrid has it too, CELT not, and nobody reads beyond the end.
        assert!(silk(13, 0, 0b0100_0000) && !silk(16, 0, 0xff));
        assert!(!has_redundancy(&[9 << 3]));
    }
}
