//! Pauses in speech: not sent, and filled with noise where the peer does not send them (RFC 3389).

use crate::comfort::{ComfortEncoder, ComfortNoise, MAX_COMFORT};
use crate::frame::Fifo;

/// Frames of a pause that a codec with a noise of its own makes without hearing anything, and those
/// that another one goes on concealing.
const CODEC_PAUSE: u32 = 60;
const CONCEALED: u32 = 12;

/// What becomes of a frame that is to be sent.
pub(super) enum Spoken {
    /// It is encoded.
    Speech,
    /// It is left out.
    Pause,
    /// It is left out and this is sent: payload type and payload.
    Described(u8, [u8; MAX_COMFORT], usize),
}

/// Comfort noise of both directions.
#[derive(Default)]
pub(super) struct Pauses {
    sends: Option<(u8, ComfortEncoder)>,
    receives: Option<u8>,
    noise: ComfortNoise,
    /// The peer pauses and has described its noise.
    described: bool,
    /// Frames that a codec made of a pause.
    made: u32,
}

impl Pauses {
    pub(super) fn new(rate: u32, sends: Option<u8>, receives: Option<u8>) -> Self {
        let sends = sends.map(|payload_type| (payload_type, ComfortEncoder::new(rate)));
        Self { sends, receives, ..Self::default() }
    }

    /// Judges a frame that is to be sent.
    pub(super) fn judge(&mut self, pcm: &[i16]) -> Spoken {
        let Some((payload_type, encoder)) = &mut self.sends else { return Spoken::Speech };
        let mut payload = [0; MAX_COMFORT];
        match encoder.judge(pcm, &mut payload) {
            None => Spoken::Speech,
            Some(0) => Spoken::Pause,
            Some(length) => Spoken::Described(*payload_type, payload, length),
        }
    }

    pub(super) fn understands(&self, payload_type: u8) -> bool {
        self.receives == Some(payload_type)
    }

    /// The peer describes its noise.
    pub(super) fn describe(&mut self, payload: &[u8]) {
        self.noise.describe(payload);
        self.described = true;
    }

    /// The peer speaks.
    pub(super) fn end(&mut self) {
        (self.described, self.made) = (false, 0);
    }

    /// Adds noise for a frame that was not sent; false where nobody said that this is a pause.
    pub(super) fn fill(&mut self, queue: &mut Fifo, samples: usize) -> bool {
        if self.described
            && let Some(room) = queue.reserve(samples)
        {
            self.noise.fill(room);
        }
        self.described
    }

    /// Whether a codec, one with a noise of its own or not, is asked for another frame of a pause.
    pub(super) fn goes_on(&mut self, knows_pauses: bool) -> bool {
        self.made += 1;
        self.made <= if knows_pauses { CODEC_PAUSE } else { CONCEALED }
    }
}
