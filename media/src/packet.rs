//! The two ends of a stream's network side: frames out ([`PacketSink`]), packets in ([`PacketFeed`]).
//!
//! ```text
//!  network ── PacketFeed ──► media thread ── PacketSink ──► network
//!
//!  network task ── PacketSource ══ byte ring, a PacketFeed ══► media thread
//! ```
//! A feed is asked once per tick. The ring is the one for packets that come in on another thread: it is
//! wait-free; when the media thread lags it fills, and packets are dropped and counted.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

/// Longest payload taken from the network, in bytes.
pub const MAX_RECEIVED: usize = 4_000;

/// One encoded frame on its way to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedFrame<'a> {
    /// The codec's bytes.
    pub payload: &'a [u8],
    /// As [`crate::stream::Outgoing::payload_type`] says.
    pub payload_type: u8,
    /// In RTP clock units since the stream began; goes on over silence and hold.
    pub timestamp: u32,
    /// First frame after silence (RFC 3551 §4.1).
    pub marker: bool,
    /// Duration in RTP clock units.
    pub samples: u32,
}

/// Where encoded frames go. Called from the media thread once per packet time: must not block.
pub trait PacketSink: Send {
    /// Takes one frame.
    fn send(&mut self, frame: EncodedFrame<'_>);
}

impl<F: FnMut(EncodedFrame<'_>) + Send> PacketSink for F {
    fn send(&mut self, frame: EncodedFrame<'_>) {
        self(frame);
    }
}

/// One received payload on its way to the jitter buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedPacket<'a> {
    /// Extended (RFC 3550 §A.1): never wraps.
    pub sequence: u64,
    /// The RTP one.
    pub timestamp: u32,
    /// The RTP one.
    pub payload_type: u8,
    /// A new source starts (a new SSRC): what was heard before says nothing about it.
    pub restart: bool,
    /// When it came, counted from any moment that stays the same for the feed.
    pub arrival: Duration,
    /// The codec's bytes.
    pub payload: &'a [u8],
}

/// Where received payloads come from. Asked on the media thread once per tick, right before what came is
/// needed: must not block and should not allocate.
pub trait PacketFeed: Send {
    /// Hands over all that came since the last call, in the order in which it came.
    fn feed(&mut self, take: &mut dyn FnMut(ReceivedPacket<'_>));

    /// Packets that were dropped before they could be handed over, so far.
    fn dropped(&self) -> u64 {
        0
    }
}

const HEADER: usize = 24;

/// What the media thread reads back out of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReceivedHeader {
    sequence: u64,
    timestamp: u32,
    payload_type: u8,
    restart: bool,
    /// Since the first packet.
    arrival: Duration,
    length: usize,
}

impl ReceivedHeader {
    fn encode(&self) -> [u8; HEADER] {
        let micros = u64::try_from(self.arrival.as_micros()).unwrap_or(u64::MAX);
        let length = u16::try_from(self.length).unwrap_or(u16::MAX).to_le_bytes();
        let mut bytes = [0; HEADER];
        let fields = self
            .sequence
            .to_le_bytes()
            .into_iter()
            .chain(micros.to_le_bytes())
            .chain(self.timestamp.to_le_bytes())
            .chain(length)
            .chain([self.payload_type, u8::from(self.restart)]);
        for (byte, value) in bytes.iter_mut().zip(fields) {
            *byte = value;
        }
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (micros, rest) = rest.split_first_chunk::<8>()?;
        let (timestamp, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let [payload_type, restart] = rest.first_chunk::<2>()?;
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            timestamp: u32::from_le_bytes(*timestamp),
            payload_type: *payload_type,
            restart: *restart != 0,
            arrival: Duration::from_micros(u64::from_le_bytes(*micros)),
            length: usize::from(u16::from_le_bytes(*length)),
        })
    }
}

/// The network side's handle of a stream: pushes received payloads to the media thread.
#[derive(Debug)]
pub struct PacketSource {
    ring: Producer<u8>,
    origin: Option<Instant>,
    restart: bool,
    dropped: Arc<AtomicU64>,
}

impl PacketSource {
    /// Hands over one received payload. `sequence` is extended (RFC 3550 §A.1) and never wraps,
    /// `timestamp` is the RTP one. Never blocks; false when it was dropped because the media
    /// thread lags or the payload is longer than [`MAX_RECEIVED`].
    pub fn push(
        &mut self,
        sequence: u64,
        timestamp: u32,
        payload_type: u8,
        payload: &[u8],
        arrival: Instant,
    ) -> bool {
        let origin = *self.origin.get_or_insert(arrival);
        let header = ReceivedHeader {
            sequence,
            timestamp,
            payload_type,
            restart: self.restart,
            arrival: arrival.saturating_duration_since(origin),
            length: payload.len(),
        };
        if payload.len() > MAX_RECEIVED || self.ring.slots() < HEADER + payload.len() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let pushed = self.ring.write_chunk(HEADER + payload.len()).map(|mut chunk| {
            let (first, second) = chunk.as_mut_slices();
            let bytes = header.encode();
            for (slot, byte) in first.iter_mut().chain(second).zip(bytes.iter().chain(payload)) {
                *slot = *byte;
            }
            chunk.commit_all();
        });
        self.restart = self.restart && pushed.is_err();
        pushed.is_ok()
    }

    /// Says that the next packet comes from another source (a new SSRC): sequence and
    /// timestamp start anew.
    pub fn restart(&mut self) {
        self.restart = true;
    }

    /// Packets dropped here so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The media thread's end.
#[derive(Debug)]
pub(crate) struct PacketDrain {
    ring: Consumer<u8>,
    buffer: Vec<u8>,
    dropped: Arc<AtomicU64>,
}

impl PacketDrain {
    /// The next packet, if one is waiting.
    fn pop(&mut self) -> Option<ReceivedPacket<'_>> {
        let mut bytes = [0; HEADER];
        self.ring.pop_entire_slice(&mut bytes).ok()?;
        let header = ReceivedHeader::decode(&bytes)?;
        let payload = self.buffer.get_mut(..header.length)?;
        // Header and payload were committed together.
        self.ring.pop_entire_slice(payload).ok()?;
        let ReceivedHeader { sequence, timestamp, payload_type, restart, arrival, .. } = header;
        Some(ReceivedPacket { sequence, timestamp, payload_type, restart, arrival, payload })
    }
}

impl PacketFeed for PacketDrain {
    fn feed(&mut self, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        while let Some(packet) = self.pop() {
            take(packet);
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A ring of `capacity` bytes between the network and the media thread.
pub(crate) fn channel(capacity: usize) -> (PacketSource, PacketDrain) {
    let (producer, consumer) = RingBuffer::new(capacity.max(HEADER + MAX_RECEIVED));
    let dropped = Arc::new(AtomicU64::new(0));
    let source = PacketSource { ring: producer, origin: None, restart: false, dropped: dropped.clone() };
    (source, PacketDrain { ring: consumer, buffer: vec![0; MAX_RECEIVED], dropped })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an arrival time is any instant")]
mod tests {
    use super::*;

    #[test]
    fn packets_cross_unchanged_and_in_order() {
        let (mut source, mut drain) = channel(8_000);
        let start = Instant::now();
        for round in 0..50u64 {
            let payload = vec![round as u8; (round as usize * 37) % MAX_RECEIVED];
            assert!(source.push(
                round,
                160 * round as u32,
                9,
                &payload,
                start + Duration::from_millis(round)
            ));
            let received = drain.pop().expect("was pushed");
            let expected = (round, 9, &payload[..]);
            assert_eq!((received.sequence, received.payload_type, received.payload), expected);
            assert_eq!(received.arrival, Duration::from_millis(round));
        }
        assert!(drain.pop().is_none());
    }

    #[test]
    fn full_ring_drops_and_counts() {
        let (mut source, mut drain) = channel(0);
        let now = Instant::now();
        assert!(!source.push(0, 0, 0, &[0; MAX_RECEIVED + 1], now));
        let taken = (0..100).filter(|n| source.push(*n, 0, 0, &[0; 1000], now)).count();
        assert_eq!((drain.dropped(), source.dropped()), (101 - taken as u64, 101 - taken as u64));
        assert_eq!(std::iter::from_fn(|| drain.pop().map(|_| ())).count(), taken);
        source.restart();
        assert!(source.push(7, 0, 0, &[1], now) && source.push(8, 0, 0, &[1], now));
        let mut restarts = Vec::new();
        drain.feed(&mut |packet| restarts.push(packet.restart));
        assert_eq!(restarts, [true, false]);
    }
}
