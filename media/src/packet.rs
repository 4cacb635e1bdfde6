//! The two ends of a stream's network side: frames out ([`PacketSink`]), packets in ([`PacketSource`]).
//!
//! ```text
//!  network task ── PacketSource ══ byte ring ══► media thread ── PacketSink ──► network task
//! ```
//! The ring is wait-free; when the media thread lags it fills, and packets are dropped and counted.

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

const HEADER: usize = 24;

/// What the media thread reads back out of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceivedHeader {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) payload_type: u8,
    /// A new source starts: what was heard before says nothing about it.
    pub(crate) restart: bool,
    /// Since the first packet.
    pub(crate) arrival: Duration,
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
}

impl PacketDrain {
    /// The next packet, if one is waiting.
    pub(crate) fn pop(&mut self) -> Option<(ReceivedHeader, &[u8])> {
        let mut bytes = [0; HEADER];
        self.ring.pop_entire_slice(&mut bytes).ok()?;
        let header = ReceivedHeader::decode(&bytes)?;
        let payload = self.buffer.get_mut(..header.length)?;
        // Header and payload were committed together.
        self.ring.pop_entire_slice(payload).ok()?;
        Some((header, payload))
    }
}

/// A ring of `capacity` bytes between the network and the media thread.
pub(crate) fn channel(capacity: usize) -> (PacketSource, PacketDrain, Arc<AtomicU64>) {
    let (producer, consumer) = RingBuffer::new(capacity.max(HEADER + MAX_RECEIVED));
    let dropped = Arc::new(AtomicU64::new(0));
    let source = PacketSource { ring: producer, origin: None, restart: false, dropped: dropped.clone() };
    (source, PacketDrain { ring: consumer, buffer: vec![0; MAX_RECEIVED] }, dropped)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an arrival time is any instant")]
mod tests {
    use super::*;

    #[test]
    fn packets_cross_unchanged_and_in_order() {
        let (mut source, mut drain, _) = channel(8_000);
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
            let (header, received) = drain.pop().expect("was pushed");
            assert_eq!((header.sequence, header.payload_type, received), (round, 9, &payload[..]));
            assert_eq!(header.arrival, Duration::from_millis(round));
        }
        assert!(drain.pop().is_none());
    }

    #[test]
    fn full_ring_drops_and_counts() {
        let (mut source, mut drain, dropped) = channel(0);
        let now = Instant::now();
        assert!(!source.push(0, 0, 0, &[0; MAX_RECEIVED + 1], now));
        let taken = (0..100).filter(|n| source.push(*n, 0, 0, &[0; 1000], now)).count();
        assert_eq!(dropped.load(Ordering::Relaxed), 101 - taken as u64);
        assert_eq!(std::iter::from_fn(|| drain.pop().map(|_| ())).count(), taken);
        source.restart();
        assert!(source.push(7, 0, 0, &[1], now) && source.push(8, 0, 0, &[1], now));
        assert!(drain.pop().is_some_and(|(header, _)| header.restart));
        assert!(drain.pop().is_some_and(|(header, _)| !header.restart));
    }
}
