//! What was negotiated: the codec that is sent, those that are understood, and their buffers.

use super::pauses::Pauses;
use crate::codec::{self, CodecInfo, CodecParams, Decoder, Encoder};
use crate::dtmf::DtmfDetector;
use crate::error::CodecError;
use crate::frame::Fifo;
use crate::resample::Resampler;

/// What a stream sends.
pub struct Outgoing {
    /// Payload type for the frames.
    pub payload_type: u8,
    /// Duration of a frame in milliseconds, 10 to 120.
    pub ptime_ms: u32,
    pub(super) clock_rate: u32,
    pub(super) encoder: Box<dyn Encoder>,
}

impl Outgoing {
    /// Sends with this codec.
    pub fn new(
        info: &CodecInfo,
        params: &CodecParams,
        payload_type: u8,
        ptime_ms: u32,
    ) -> Result<Self, CodecError> {
        let ptime_ms = (ptime_ms / 10 * 10).clamp(10, codec::MAX_FRAME_MS);
        let encoder = codec::encoder(info, params)?;
        Ok(Self { payload_type, ptime_ms, clock_rate: info.clock_rate, encoder })
    }
}

/// One payload type that a stream understands.
pub struct Incoming {
    pub(super) payload_type: u8,
    pub(super) clock_rate: u32,
    pub(super) decoder: Box<dyn Decoder>,
    /// To the rate of the port, where it differs.
    resampler: Option<Resampler>,
}

impl Incoming {
    /// Understands this codec under this payload type.
    pub fn new(info: &CodecInfo, params: &CodecParams, payload_type: u8) -> Result<Self, CodecError> {
        let decoder = codec::decoder(info, params)?;
        Ok(Self { payload_type, clock_rate: info.clock_rate, decoder, resampler: None })
    }

    /// Has the decoder make at most so many samples, at its rate, for the queue at the rate of the port;
    /// `made` tells how many it made, if any.
    pub(super) fn play(
        &mut self,
        queue: &mut Fifo,
        decoded: &mut [i16],
        most: usize,
        made: impl FnOnce(&mut dyn Decoder, &mut [i16]) -> Option<usize>,
    ) -> Option<usize> {
        let Some(resampler) = &mut self.resampler else {
            let room = queue.room().min(most);
            let made = made(&mut *self.decoder, queue.reserve(room)?);
            queue.unreserve(room - made.unwrap_or(0).min(room));
            return made;
        };
        let most = most.min(decoded.len());
        let samples = made(&mut *self.decoder, decoded.get_mut(..most)?)?;
        let room = queue.room();
        if let Some(out) = queue.reserve(room) {
            let written = resampler.process(decoded.get(..samples)?, out);
            queue.unreserve(room - written);
        }
        Some(samples)
    }
}

/// What was negotiated: one codec out, any number in.
pub struct StreamFormat {
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Vec<Incoming>,
    pub(super) rate: u32,
    pub(super) clock_rate: u32,
    pub(super) capture: Fifo,
    pub(super) play: Fifo,
    pub(super) pauses: Pauses,
    pub(super) detector: Option<Box<DtmfDetector>>,
    pub(super) payload: Vec<u8>,
    /// Samples of a frame that is sent.
    pub(super) sent: usize,
    /// What was decoded at another rate than the port's; empty where none is.
    pub(super) decoded: Vec<i16>,
}

/// Bytes that are enough for any frame of a codec that compresses.
const COMPRESSED: usize = 1_500;

impl StreamFormat {
    /// A format; the port takes the audio rate of the outgoing codec.
    pub fn new(outgoing: Outgoing, mut incoming: Vec<Incoming>) -> Self {
        let rate = outgoing.encoder.sample_rate();
        for one in &mut incoming {
            let from = one.decoder.sample_rate();
            one.resampler = (from != rate).then(|| Resampler::new(from, rate));
        }
        let clock_rate = incoming.first().map_or(outgoing.clock_rate, |one| one.clock_rate);
        let frame = rate as usize / 50;
        let sent = (rate * outgoing.ptime_ms / 1000) as usize;
        let others = incoming.iter().filter(|one| one.resampler.is_some());
        let fastest = others.map(|one| one.decoder.sample_rate()).max().unwrap_or(0);
        Self {
            payload: vec![0; (2 * sent).max(COMPRESSED)],
            sent,
            decoded: vec![0; (fastest * codec::MAX_FRAME_MS / 1000) as usize],
            pauses: Pauses::default(),
            detector: None,
            outgoing,
            incoming,
            rate,
            clock_rate,
            capture: Fifo::new(sent + frame * 6),
            // The longest payload, a few frames of reserve and what time-scaling adds.
            play: Fifo::new(frame * 16),
        }
    }

    /// Sends and understands one codec under one payload type with 20 ms frames.
    pub fn symmetric(info: &CodecInfo, params: &CodecParams, payload_type: u8) -> Result<Self, CodecError> {
        let outgoing = Outgoing::new(info, params, payload_type, 20)?;
        Ok(Self::new(outgoing, vec![Incoming::new(info, params, payload_type)?]))
    }

    /// Comfort noise (RFC 3389): in pauses nothing is sent but a description under the payload type
    /// `sends`, now and then; what comes under `receives` describes the noise of the peer's pauses.
    #[must_use]
    pub fn with_comfort_noise(mut self, sends: Option<u8>, receives: Option<u8>) -> Self {
        self.pauses = Pauses::new(self.rate, sends, receives);
        self
    }

    /// Digits that are heard in the audio become [`PortEvent::Digit`](crate::bridge::PortEvent::Digit).
    #[must_use]
    pub fn with_digits_heard(mut self) -> Self {
        self.detector = Some(Box::new(DtmfDetector::new(self.rate)));
        self
    }

    /// Rate of the port, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.rate
    }
}

/// For [`Incoming::play`]: what might have been.
pub(super) fn conceal(decoder: &mut dyn Decoder, out: &mut [i16]) -> Option<usize> {
    decoder.conceal(out);
    Some(out.len())
}

pub(super) fn decoder_for(incoming: &mut [Incoming], payload_type: u8) -> Option<&mut Incoming> {
    incoming.iter_mut().find(|one| one.payload_type == payload_type)
}
