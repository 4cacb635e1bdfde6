//! What is received, on its way to the jitter buffer.
//!
//! ```text
//!   sockets ── polled by the media thread ───────────────┐
//!      └────── watched by the task ══ ring ══▶ reception ┴──▶ jitter buffer
//! ```
//! The task and the media thread own what they work on and share nothing: what either has for the other goes through
//! queues at which the media thread never waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use media::{PacketFeed, ReceivedPacket};
use rtrb::{Consumer, Producer, RingBuffer};

use super::reception::{self, Reception};
use crate::driver::clock;
use crate::driver::media::changes::{Changes, Told, changes};
use crate::driver::media::sockets::PACKET;

/// Bytes of datagrams that may wait for the media thread: half a second of G.711, and two ticks of the largest there are.
const BYTES: usize = 4 * 1024;
/// And how many, since a peer may send any number of short ones.
const DATAGRAMS: usize = 32;

/// What the task tells.
enum Change {
    /// The stream runs.
    Begin(Box<Reception>),
    /// What it reads for the media thread comes here.
    Arrivals(Arrivals),
    Reception(reception::Change),
}

/// Both ends of what a stream receives: the media thread's, and the task's.
pub(in crate::driver::media) fn intake() -> (RtpFeed, Intake) {
    let (changes, told) = changes();
    let dropped = Arc::new(AtomicU64::new(0));
    let feed = RtpFeed { told, arrivals: None, reception: None, dropped: dropped.clone() };
    (feed, Intake { changes, arrivals: None, dropped })
}

/// A datagram of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Datagram {
    from: SocketAddr,
    at: Instant,
    length: usize,
}

/// The task's end.
pub(in crate::driver::media) struct Intake {
    changes: Changes<Change>,
    /// While the task reads.
    arrivals: Option<(Producer<Datagram>, Producer<u8>)>,
    dropped: Arc<AtomicU64>,
}

impl Intake {
    pub(super) fn begin(&mut self, reception: Box<Reception>) {
        self.changes.tell(Change::Begin(reception));
    }

    pub(super) fn tell(&mut self, change: reception::Change) {
        self.changes.tell(Change::Reception(change));
    }

    /// Passes on what waited; true when nothing waits any more.
    pub(super) fn flush(&mut self) -> bool {
        self.changes.flush()
    }

    /// Hands a datagram over; it is dropped where too many wait.
    pub(super) fn push(&mut self, from: SocketAddr, at: Instant, datagram: &[u8]) {
        let (heads, bytes) = self.arrivals.get_or_insert_with(|| {
            let ((heads, heads_out), (bytes, bytes_out)) =
                (RingBuffer::new(DATAGRAMS), RingBuffer::new(BYTES));
            self.changes.tell(Change::Arrivals(Arrivals { heads: heads_out, bytes: bytes_out }));
            (heads, bytes)
        });
        let length = datagram.len();
        // The bytes are there before what tells of them.
        if length > PACKET || heads.is_full() || bytes.push_entire_slice(datagram).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // There is room.
        let _ = heads.push(Datagram { from, at, length });
    }

    /// Nothing is handed over for a while: the media thread reads.
    pub(super) fn rest(&mut self) {
        self.arrivals = None;
    }
}

/// What the task has read.
struct Arrivals {
    heads: Consumer<Datagram>,
    bytes: Consumer<u8>,
}

impl Arrivals {
    fn next<'b>(&mut self, buffer: &'b mut [u8; PACKET]) -> Option<(Datagram, &'b mut [u8])> {
        let datagram = self.heads.pop().ok()?;
        let bytes = buffer.get_mut(..datagram.length)?;
        self.bytes.pop_entire_slice(bytes).ok()?;
        Some((datagram, bytes))
    }
}

/// The media thread's end.
pub(in crate::driver::media) struct RtpFeed {
    told: Told<Change>,
    /// While the task reads.
    arrivals: Option<Arrivals>,
    /// Once the stream runs.
    reception: Option<Box<Reception>>,
    dropped: Arc<AtomicU64>,
}

impl RtpFeed {
    fn obey(&mut self, change: Change) {
        match change {
            Change::Begin(reception) => self.reception = Some(reception),
            Change::Arrivals(arrivals) => self.arrivals = Some(arrivals),
            Change::Reception(change) => {
                if let Some(reception) = &mut self.reception {
                    reception.obey(clock::instant(), change);
                }
            }
        }
    }

    /// Gives what the task has read. When it has begun to rest that was all.
    fn arrived(&mut self, take: &mut dyn FnMut(Datagram, &mut [u8])) {
        let Some(arrivals) = &mut self.arrivals else { return };
        let rests = arrivals.heads.is_abandoned();
        let mut buffer = [0; PACKET];
        while let Some((datagram, bytes)) = arrivals.next(&mut buffer) {
            take(datagram, bytes);
        }
        if rests {
            self.arrivals = None;
        }
    }
}

impl PacketFeed for RtpFeed {
    fn feed(&mut self, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        while let Some(change) = self.told.next() {
            self.obey(change);
        }
        let Some(mut reception) = self.reception.take() else { return };
        self.arrived(&mut |Datagram { from, at, .. }, packet| {
            reception.received(from, at, packet).into_iter().for_each(&mut *take);
        });
        reception.tick(clock::now(), take);
        self.reception = Some(reception);
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl RtpFeed {
    pub(super) fn reception(&mut self) -> &mut Reception {
        self.reception.as_mut().expect("the stream runs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// What waits, by its port and bytes.
    fn taken(feed: &mut RtpFeed) -> Vec<(u16, Vec<u8>)> {
        while let Some(change) = feed.told.next() {
            feed.obey(change);
        }
        let mut taken = Vec::new();
        feed.arrived(&mut |head, bytes| taken.push((head.from.port(), bytes.to_vec())));
        taken
    }

    #[test]
    fn datagrams_wait_in_order_and_not_for_ever() {
        let (mut feed, mut intake) = intake();
        let now = clock::instant();
        let datagram = |number: u16| vec![number.to_le_bytes()[0]; 1_000 - usize::from(number)];
        for round in 0..3 {
            (0..20).for_each(|number| intake.push(from(number), now, &datagram(number)));
            let expected: Vec<_> = (0..4).map(|number| (number, datagram(number))).collect();
            assert_eq!(taken(&mut feed), expected);
            assert_eq!(feed.dropped(), 16 * (round + 1));
        }
    }

    #[test]
    fn empty_datagrams_do_not_wait_without_end_either() {
        let (mut feed, mut intake) = intake();
        (0..2_000).for_each(|number| intake.push(from(number), clock::instant(), &[]));
        assert_eq!(taken(&mut feed).len(), DATAGRAMS);
        assert_eq!(feed.dropped(), 2_000 - DATAGRAMS as u64);
    }

    #[test]
    fn who_rests_has_handed_over_all_and_takes_no_memory() {
        let (mut feed, mut intake) = intake();
        for round in 0..3 {
            intake.push(from(round), clock::instant(), &[1]);
            intake.rest();
            assert_eq!(taken(&mut feed), [(round, vec![1])]);
            assert!(feed.arrivals.is_none());
        }
    }

    #[test]
    fn without_a_stream_nothing_comes() {
        let (mut feed, mut intake) = intake();
        intake.push(from(1), clock::instant(), &[0x80; 172]);
        feed.feed(&mut |_| panic!("from nowhere"));
        assert_eq!(feed.dropped(), 0);
    }
}
