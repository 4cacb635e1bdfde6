//! What opens the packets of a stream, on the media thread.

use rtp_srtp::srtp::SrtpReceiver;

/// What changes for an [`Opener`].
pub(in crate::driver::media) enum Opening {
    /// Whether nothing passes without keys, and whether RTCP has a lane of its own.
    Rules { closed: bool, apart: bool },
    /// The keys of a lane, or that it has none.
    Keys(usize, Option<Box<SrtpReceiver>>),
}

/// Decrypts what is received. Before it is told anything nothing passes.
pub(in crate::driver::media) struct Opener {
    closed: bool,
    apart: bool,
    lanes: [Option<Box<SrtpReceiver>>; 2],
}

impl Opener {
    pub(in crate::driver::media) fn new() -> Self {
        Self { closed: true, apart: false, lanes: [None, None] }
    }

    pub(in crate::driver::media) fn obey(&mut self, opening: Opening) {
        match opening {
            Opening::Rules { closed, apart } => (self.closed, self.apart) = (closed, apart),
            Opening::Keys(lane, keys) => {
                if let Some(place) = self.lanes.get_mut(lane) {
                    *place = keys;
                }
            }
        }
    }

    /// Opens an RTP packet in place and gives its length; `None` for what is not authentic, or in the clear and
    /// must not be.
    pub(in crate::driver::media) fn unprotect(&mut self, packet: &mut [u8]) -> Option<usize> {
        match &mut self.lanes[0] {
            Some(keys) => keys.unprotect(packet).ok(),
            None => (!self.closed).then_some(packet.len()),
        }
    }

    /// Likewise for RTCP.
    pub(in crate::driver::media) fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        match &mut self.lanes[usize::from(self.apart)] {
            Some(keys) => keys.unprotect_rtcp(packet).ok(),
            None => (!self.closed).then_some(packet.len()),
        }
    }
}
