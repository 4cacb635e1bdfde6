//! Codecs: what is available, and encoders and decoders for it.
//!
//! PCM is mono `i16` at the codec's audio rate. An encoder is given whole frames, a
//! decoder whole payloads; neither allocates once built.

mod g711;
mod g722;
mod l16;
#[cfg(feature = "opus")]
mod opus;

pub use g711::{alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear};
pub use g722::{G722Decoder, G722Encoder};

use crate::error::CodecError;

/// Longest audio that one payload may hold, in milliseconds (RFC 6716 §2.1.4: 120 ms).
pub const MAX_FRAME_MS: u32 = 120;
/// Samples in the longest payload at the highest rate (48 kHz).
pub const MAX_FRAME_SAMPLES: usize = 5760;
/// Bytes that no encoder here exceeds for one frame.
pub const MAX_PAYLOAD: usize = 12_000;

/// A codec as SDP names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecInfo {
    /// Encoding name of `a=rtpmap`, in the spelling of its RFC.
    pub name: &'static str,
    /// RTP clock rate in Hz, as `a=rtpmap` gives it (G.722: 8000, RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Rate of the PCM that goes in and comes out, in Hz, unless [`CodecParams::sample_rate`] asks for another.
    pub sample_rate: u32,
    /// Channels as `a=rtpmap` prints them (opus is always 2 there, RFC 7587 §7); audio here is mono.
    pub channels: u8,
    /// Static payload type of RFC 3551, if there is one.
    pub static_payload_type: Option<u8>,
    /// What to put into `a=fmtp`.
    pub fmtp: Option<&'static str>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "opus")]
    Opus,
    G722,
    Pcmu,
    Pcma,
    L16,
}

/// What was negotiated beyond name and rate; the default suits every codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecParams {
    /// Rate of PCM wanted, in Hz; opus can work at 8000, 12000, 16000, 24000 and 48000 directly.
    pub sample_rate: Option<u32>,
    /// Bits per second for codecs that can choose.
    pub bitrate: Option<u32>,
    /// Send in-band forward error correction (opus).
    pub fec: bool,
    /// Send less in silence (opus).
    pub dtx: bool,
    /// Loss to prepare for, in percent (opus).
    pub expected_loss: u8,
    /// Effort from 0 to 10 (opus).
    pub complexity: Option<u8>,
}

impl Default for CodecParams {
    fn default() -> Self {
        Self { sample_rate: None, bitrate: None, fec: true, dtx: false, expected_loss: 5, complexity: None }
    }
}

impl CodecParams {
    /// Takes what the peer's `a=fmtp` line asks of our encoder (RFC 7587 §6.1); unknown and
    /// malformed parameters are ignored.
    pub fn from_fmtp(fmtp: &str) -> Self {
        let mut params = Self { fec: false, ..Self::default() };
        for item in fmtp.split(';') {
            let Some((key, value)) = item.split_once('=') else { continue };
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "useinbandfec" => params.fec = value == "1",
                "usedtx" => params.dtx = value == "1",
                "maxaveragebitrate" => {
                    params.bitrate = value.parse().ok().filter(|rate| (6_000..=510_000).contains(rate));
                }
                _ => {}
            }
        }
        params
    }
}

/// Makes payloads.
pub trait Encoder: Send {
    /// Rate of the PCM it takes, in Hz.
    fn sample_rate(&self) -> u32;
    /// Encodes one frame; returns the bytes written, 0 for "send nothing" (DTX).
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError>;
    /// Tells the loss that the peer reports, in percent; codecs with FEC adapt.
    fn set_expected_loss(&mut self, _percent: u8) {}
}

/// Makes PCM of payloads.
pub trait Decoder: Send {
    /// Rate of the PCM it gives, in Hz.
    fn sample_rate(&self) -> u32;
    /// Decodes one payload; returns the samples written.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError>;
    /// Fills `out` with a guess for audio that was lost.
    fn conceal(&mut self, out: &mut [i16]);
    /// Restores the frame before `following` from the redundancy in it, if the codec has any;
    /// `out` is filled. False: nothing was written, call [`Self::conceal`].
    fn recover(&mut self, _following: &[u8], _out: &mut [i16]) -> bool {
        false
    }
    /// Whether `payload` has redundancy for [`Self::recover`] in it.
    fn has_redundancy(&self, _payload: &[u8]) -> bool {
        false
    }
    /// Whether [`Self::conceal`] makes the noise of a pause that the sender does not send (DTX).
    fn knows_pauses(&self) -> bool {
        false
    }
}

/// The codecs that this build has, best first.
pub fn available() -> &'static [CodecInfo] {
    const LIST: &[CodecInfo] = &[
        #[cfg(feature = "opus")]
        CodecInfo {
            name: "opus",
            clock_rate: 48_000,
            sample_rate: 48_000,
            channels: 2,
            static_payload_type: None,
            fmtp: Some("useinbandfec=1"),
            kind: Kind::Opus,
        },
        CodecInfo {
            name: "G722",
            clock_rate: 8_000,
            sample_rate: 16_000,
            channels: 1,
            static_payload_type: Some(9),
            fmtp: None,
            kind: Kind::G722,
        },
        CodecInfo {
            name: "PCMU",
            clock_rate: 8_000,
            sample_rate: 8_000,
            channels: 1,
            static_payload_type: Some(0),
            fmtp: None,
            kind: Kind::Pcmu,
        },
        CodecInfo {
            name: "PCMA",
            clock_rate: 8_000,
            sample_rate: 8_000,
            channels: 1,
            static_payload_type: Some(8),
            fmtp: None,
            kind: Kind::Pcma,
        },
        CodecInfo {
            name: "L16",
            clock_rate: 16_000,
            sample_rate: 16_000,
            channels: 1,
            static_payload_type: None,
            fmtp: None,
            kind: Kind::L16,
        },
    ];
    LIST
}

/// The codec of this encoding name (in any case) and RTP clock rate.
pub fn find(name: &str, clock_rate: u32) -> Option<&'static CodecInfo> {
    available().iter().find(|info| info.name.eq_ignore_ascii_case(name) && info.clock_rate == clock_rate)
}

/// The codec of a static payload type (RFC 3551 §6).
pub fn find_static(payload_type: u8) -> Option<&'static CodecInfo> {
    available().iter().find(|info| info.static_payload_type == Some(payload_type))
}

/// Builds an encoder.
#[cfg_attr(not(feature = "opus"), expect(unused_variables, reason = "only opus has parameters"))]
pub fn encoder(info: &CodecInfo, params: &CodecParams) -> Result<Box<dyn Encoder>, CodecError> {
    Ok(match info.kind {
        #[cfg(feature = "opus")]
        Kind::Opus => Box::new(opus::OpusEncoder::new(params)?),
        Kind::G722 => Box::new(G722Encoder::new()),
        Kind::Pcmu => Box::new(g711::G711Encoder::ulaw()),
        Kind::Pcma => Box::new(g711::G711Encoder::alaw()),
        Kind::L16 => Box::new(l16::L16::new(info.clock_rate)),
    })
}

/// Builds a decoder with its concealment.
#[cfg_attr(not(feature = "opus"), expect(unused_variables, reason = "only opus has parameters"))]
pub fn decoder(info: &CodecInfo, params: &CodecParams) -> Result<Box<dyn Decoder>, CodecError> {
    use crate::plc::Concealing;
    Ok(match info.kind {
        #[cfg(feature = "opus")]
        Kind::Opus => Box::new(opus::OpusDecoder::new(params)?),
        Kind::G722 => Box::new(Concealing::new(G722Decoder::new(), 16_000)),
        Kind::Pcmu => Box::new(Concealing::new(g711::G711Decoder::ulaw(), 8_000)),
        Kind::Pcma => Box::new(Concealing::new(g711::G711Decoder::alaw(), 8_000)),
        Kind::L16 => Box::new(Concealing::new(l16::L16::new(info.clock_rate), info.clock_rate)),
    })
}

/// A decoder without concealment; [`crate::plc::Concealing`] adds ours.
pub trait PlainDecoder: Send {
    /// Decodes one payload; returns the samples written.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError>;
    /// The last `made` samples of `heard` were made up: a codec with a memory brings it up to them.
    fn concealed(&mut self, _heard: &[i16], _made: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_carries_a_tone() {
        for info in available() {
            let params = CodecParams::default();
            let mut encoder = encoder(info, &params).expect("listed codecs build");
            let mut decoder = decoder(info, &params).expect("listed codecs build");
            let frame = encoder.sample_rate() as usize / 50;
            let mut payload = [0u8; 2000];
            let mut decoded = Vec::new();
            let mut reference = Vec::new();
            for block in 0..50 {
                let pcm: Vec<i16> = (0..frame)
                    .map(|i| {
                        let t = (block * frame + i) as f64 / f64::from(encoder.sample_rate());
                        // A sweep has one best alignment, a tone has many.
                        ((std::f64::consts::TAU * (300.0 + 400.0 * t) * t).sin() * 8000.0) as i16
                    })
                    .collect();
                let length = encoder.encode(&pcm, &mut payload).expect("20 ms encode");
                let mut out = vec![0i16; MAX_FRAME_SAMPLES];
                let samples = decoder.decode(&payload[..length], &mut out).expect("our own payload decodes");
                assert_eq!(samples, frame, "{}", info.name);
                decoded.extend_from_slice(&out[..samples]);
                reference.extend_from_slice(&pcm);
            }
            let found = crate::analysis::correlate(&reference, &decoded, frame);
            assert!(found.1 > 0.98, "{}: {found:?}", info.name);
        }
    }

    #[test]
    fn names_match_in_any_case() {
        assert_eq!(find("pcmu", 8000).map(|info| info.name), Some("PCMU"));
        assert_eq!(find("G722", 16_000), None, "RFC 3551 §4.5.2: the clock is 8000");
        assert_eq!(find_static(8).map(|info| info.name), Some("PCMA"));
    }

    #[test]
    fn fmtp_is_read_leniently() {
        let params = CodecParams::from_fmtp("useinbandfec=1; usedtx=1;maxaveragebitrate=20000;x;=;stereo=1");
        assert!(params.fec && params.dtx);
        assert_eq!(params.bitrate, Some(20_000));
        assert_eq!(CodecParams::from_fmtp("maxaveragebitrate=99999999999").bitrate, None);
    }
}
