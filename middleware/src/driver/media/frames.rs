//! Encoded frames on their way from the media thread to the task that sends them.
//!
//! ```text
//!  media thread ── FrameSink ══ byte ring ══► FrameDrain ── audio task ── socket
//! ```

use std::sync::Arc;

use media::{EncodedFrame, PacketSink};
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::Notify;

/// Room for a dozen of the largest frames; a task that lags longer loses some, as a network would.
const CAPACITY: usize = 24 * 1024;
const HEADER: usize = 8;
/// No frame is longer than what fits a datagram.
pub(super) const LONGEST: usize = 1_400;

/// The media thread's end: never blocks.
pub(super) struct FrameSink {
    ring: Producer<u8>,
    wake: Arc<Notify>,
}

/// The sending task's end.
pub(super) struct FrameDrain {
    ring: Consumer<u8>,
    wake: Arc<Notify>,
}

/// A frame without its payload.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) timestamp: u32,
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    length: usize,
}

/// Both ends.
pub(super) fn channel() -> (FrameSink, FrameDrain) {
    let (producer, consumer) = RingBuffer::new(CAPACITY);
    let wake = Arc::new(Notify::new());
    (FrameSink { ring: producer, wake: wake.clone() }, FrameDrain { ring: consumer, wake })
}

impl PacketSink for FrameSink {
    fn send(&mut self, frame: EncodedFrame<'_>) {
        let Ok(length) = u16::try_from(frame.payload.len()) else { return };
        if frame.payload.len() > LONGEST {
            return;
        }
        let Ok(mut chunk) = self.ring.write_chunk(HEADER + frame.payload.len()) else { return };
        let header = frame
            .timestamp
            .to_le_bytes()
            .into_iter()
            .chain(length.to_le_bytes())
            .chain([frame.payload_type, u8::from(frame.marker)]);
        let (first, second) = chunk.as_mut_slices();
        for (slot, byte) in first.iter_mut().chain(second).zip(header.chain(frame.payload.iter().copied())) {
            *slot = byte;
        }
        chunk.commit_all();
        self.wake.notify_one();
    }
}

impl FrameDrain {
    /// Resolves when a frame may be there.
    pub(super) async fn ready(&mut self) {
        self.wake.notified().await;
    }

    /// The next frame, its payload in `buffer`.
    pub(super) fn pop<'b>(&mut self, buffer: &'b mut [u8; LONGEST]) -> Option<(FrameHead, &'b [u8])> {
        let chunk = self.ring.read_chunk(HEADER).ok()?;
        let (first, second) = chunk.as_slices();
        let mut bytes = [0; HEADER];
        for (slot, byte) in bytes.iter_mut().zip(first.iter().chain(second)) {
            *slot = *byte;
        }
        chunk.commit_all();
        let [a, b, c, d, low, high, payload_type, marker] = bytes;
        let length = usize::from(u16::from_le_bytes([low, high]));
        let head = FrameHead {
            timestamp: u32::from_le_bytes([a, b, c, d]),
            payload_type,
            marker: marker != 0,
            length,
        };
        // Header and payload were committed together, and are no longer than the buffer.
        let chunk = self.ring.read_chunk(length).ok()?;
        let (first, second) = chunk.as_slices();
        let payload = buffer.get_mut(..head.length)?;
        for (slot, byte) in payload.iter_mut().zip(first.iter().chain(second)) {
            *slot = *byte;
        }
        chunk.commit_all();
        Some((head, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cross_whole_and_in_order() {
        let (mut sink, mut drain) = channel();
        let mut buffer = [0; LONGEST];
        for round in 0_u32..100 {
            let payload = vec![u8::try_from(round).expect("small"); 1 + (round as usize * 97) % LONGEST];
            let marker = round % 7 == 0;
            sink.send(EncodedFrame {
                payload: &payload,
                payload_type: 9,
                timestamp: round,
                marker,
                samples: 160,
            });
            let (head, got) = drain.pop(&mut buffer).expect("it was sent");
            assert_eq!((head.timestamp, head.payload_type, head.marker), (round, 9, marker));
            assert_eq!(got, payload);
        }
        assert!(drain.pop(&mut buffer).is_none());
    }

    #[test]
    fn what_does_not_fit_is_dropped_whole() {
        let (mut sink, mut drain) = channel();
        for _ in 0..100 {
            let frame = EncodedFrame {
                payload: &[1; 1_000],
                payload_type: 0,
                timestamp: 0,
                marker: false,
                samples: 160,
            };
            sink.send(frame);
        }
        let mut buffer = [0; LONGEST];
        let mut count = 0;
        while let Some((_, payload)) = drain.pop(&mut buffer) {
            assert_eq!(payload, [1; 1_000]);
            count += 1;
        }
        assert_eq!(count, CAPACITY / (HEADER + 1_000));
    }
}
