//! What is received, on its way to the media thread.
//!
//! ```text
//!   sockets ── polled by the media thread ──────────────┐
//!      └────── watched by the task ──▶ queue ──▶ feed ──┴──▶ jitter buffer
//! ```

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use media::{PacketFeed, ReceivedPacket};

use super::Shared;

/// Bytes of payloads that may wait for the media thread: more than half a second of all but the largest.
const WAITING: usize = 16 * 1024;
/// And packets, since a peer may send any number without a payload.
const PACKETS: usize = 512;

/// Both ends of what a stream receives: the media thread's, and where the stream comes in once it runs.
pub(in crate::driver::media) fn intake() -> (RtpFeed, Intake) {
    let place = Arc::new(OnceLock::new());
    (RtpFeed { place: place.clone(), shared: None, dropped: 0 }, Intake { place })
}

/// Where a stream comes in.
#[derive(Clone)]
pub(in crate::driver::media) struct Intake {
    place: Arc<OnceLock<Arc<Shared>>>,
}

impl Intake {
    pub(super) fn open(&self, shared: Arc<Shared>) {
        // An intake is for one stream.
        let _ = self.place.set(shared);
    }
}

/// The media thread's end.
pub(in crate::driver::media) struct RtpFeed {
    place: Arc<OnceLock<Arc<Shared>>>,
    /// The stream, once it runs.
    shared: Option<Arc<Shared>>,
    dropped: u64,
}

impl PacketFeed for RtpFeed {
    fn feed(&mut self, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        if self.shared.is_none() {
            self.shared = self.place.get().cloned();
        }
        let Some(shared) = &self.shared else { return };
        // The task is at it: what has come waits until the next tick, and the media thread does not.
        let Ok(mut stream) = shared.stream.try_lock() else { return };
        let is_stirred = stream.collect(take);
        self.dropped = stream.dropped();
        drop(stream);
        if is_stirred {
            shared.wake.notify_one();
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Packets that wait for the media thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: Vec<Waiting>,
    payloads: Vec<u8>,
    dropped: u64,
}

#[derive(Debug)]
struct Waiting {
    sequence: u64,
    timestamp: u32,
    payload_type: u8,
    restart: bool,
    arrival: Duration,
    length: usize,
}

impl Queue {
    /// Keeps a packet; it is dropped where too many wait.
    pub(super) fn push(&mut self, packet: ReceivedPacket<'_>) {
        let ReceivedPacket { sequence, timestamp, payload_type, restart, arrival, payload } = packet;
        let length = payload.len();
        if self.payloads.len() + length > WAITING || self.packets.len() >= PACKETS {
            self.dropped += 1;
            return;
        }
        self.payloads.extend_from_slice(payload);
        self.packets.push(Waiting { sequence, timestamp, payload_type, restart, arrival, length });
    }

    /// Hands over all there are, in order.
    pub(super) fn empty(&mut self, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        let mut payloads = self.payloads.as_slice();
        for Waiting { sequence, timestamp, payload_type, restart, arrival, length } in self.packets.drain(..)
        {
            let Some((payload, rest)) = payloads.split_at_checked(length) else { break };
            payloads = rest;
            take(ReceivedPacket { sequence, timestamp, payload_type, restart, arrival, payload });
        }
        self.payloads.clear();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_wait_in_order_and_not_for_ever() {
        let mut queue = Queue::default();
        let payload = [7; 1_000];
        let packet = |sequence: u64, length: usize| ReceivedPacket {
            sequence,
            timestamp: 160,
            payload_type: 0,
            restart: sequence == 0,
            arrival: Duration::from_millis(sequence),
            payload: &payload[..length],
        };
        for round in 0..3 {
            for sequence in 0..20 {
                queue.push(packet(sequence, 1_000 - sequence as usize));
            }
            let mut taken = 0;
            queue.empty(&mut |received| {
                assert_eq!(received, packet(taken, 1_000 - taken as usize));
                taken += 1;
            });
            assert_eq!((taken, queue.dropped()), (16, 4 * (round + 1)));
            queue.empty(&mut |_| panic!("it is empty"));
        }
    }

    #[test]
    fn packets_without_a_payload_do_not_wait_without_end_either() {
        let mut queue = Queue::default();
        for sequence in 0..2_000 {
            queue.push(ReceivedPacket {
                sequence,
                timestamp: 0,
                payload_type: 0,
                restart: false,
                arrival: Duration::ZERO,
                payload: &[],
            });
        }
        let mut taken = 0;
        queue.empty(&mut |_| taken += 1);
        assert_eq!((taken, queue.dropped()), (PACKETS, 2_000 - PACKETS as u64));
    }

    #[test]
    fn without_a_stream_nothing_comes() {
        let (mut feed, _intake) = intake();
        feed.feed(&mut |_| panic!("from nowhere"));
        assert_eq!(feed.dropped(), 0);
    }
}
