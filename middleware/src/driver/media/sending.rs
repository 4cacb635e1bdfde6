//! RTP is sent on the media thread: numbered, encrypted and given to the socket without waiting.
//!
//! ```text
//!  media thread ── RtpSink ──┬── socket
//!        ▲                   └══ ring ══► audio task ── relay
//!        └──── changes ───── audio task
//! ```
//! The audio task says how: which source, which keys, which way. How far it has come is read without a lock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use media::{EncodedFrame, PacketSink};
use rtp_srtp::dtmf::{Digit, EventSender, EventSenderConfig};
use rtp_srtp::session::{Progress, RtpSender};
use rtp_srtp::srtp::SrtpSender;
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::Notify;

use super::changes::{Changes, Told, changes};
use super::meters::Meters;
use super::socket::Socket;
use super::sockets::PACKET;
use crate::driver::clock;
use crate::session::AudioParameters;

/// Room for what waits for a relay: a task that lags longer loses some, as a network would.
const RELAYED: usize = 24 * 1024;

/// Which way packets go.
#[derive(Debug)]
pub(super) enum Course {
    /// There is none yet.
    Nowhere,
    /// From this socket to there.
    Socket(Arc<Socket>, SocketAddr),
    /// Through the audio task, which wraps them for a relay.
    Task,
}

/// What was agreed on that sending has to know.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// Whether audio is sent.
    pub(super) sends: bool,
    /// Payload type of telephone-event.
    pub(super) dtmf: Option<u8>,
    /// Whether nothing may leave in the clear.
    pub(super) encrypts: bool,
}

enum Change {
    Source(Box<RtpSender>),
    Terms(Terms),
    Keys(Option<Box<SrtpSender>>),
    Route(Route),
    Digit(Digit),
}

enum Route {
    Nowhere,
    Socket(Arc<Socket>, SocketAddr),
    Relay(Producer<u8>, Arc<Notify>),
}

/// Both ends for a stream with these parameters; the sink sends nothing before it is told how.
pub(super) fn channel(parameters: &AudioParameters, meters: Arc<Meters>) -> (RtpSink, Outbound) {
    let shared = Arc::new(Shared::new(clock::now().instant));
    let ptime = u16::try_from(parameters.ptime).unwrap_or(20);
    let (changes, told) = changes();
    let sink = RtpSink {
        told,
        source: None,
        keys: None,
        terms: Terms::default(),
        route: Route::Nowhere,
        keypad: EventSender::new(EventSenderConfig::new(parameters.clock_rate, ptime)),
        shared: shared.clone(),
        meters,
    };
    (sink, Outbound { changes, shared, relayed: None, sent_to: None })
}

/// The media thread's end: never blocks.
pub(super) struct RtpSink {
    told: Told<Change>,
    source: Option<Box<RtpSender>>,
    keys: Option<Box<SrtpSender>>,
    terms: Terms,
    route: Route,
    keypad: EventSender,
    shared: Arc<Shared>,
    meters: Arc<Meters>,
}

impl PacketSink for RtpSink {
    fn send(&mut self, frame: EncodedFrame<'_>) {
        while let Some(change) = self.told.next() {
            self.obey(change);
        }
        let now = clock::instant();
        let mut buffer = [0; PACKET];
        if let Some(length) = self.write(now, frame, &mut buffer)
            && !self.shared.is_mute(now)
            && let Some(length) = self.protect(&mut buffer, length)
            && self.transmit(buffer.get(..length).unwrap_or_default())
        {
            self.meters.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl RtpSink {
    fn obey(&mut self, change: Change) {
        match change {
            Change::Source(source) => self.source = Some(source),
            Change::Terms(terms) => self.terms = terms,
            Change::Keys(keys) => self.keys = keys,
            Change::Route(route) => self.route = route,
            Change::Digit(digit) => {
                if self.keypad.push(digit).is_err() {
                    tracing::warn!("too many keys wait to be sent; one is dropped");
                }
            }
        }
    }

    /// The next packet, in the clear: a pressed key's while there is one, else the frame.
    fn write(&mut self, now: Instant, frame: EncodedFrame<'_>, buffer: &mut [u8]) -> Option<usize> {
        let source = self.source.as_mut()?;
        // A key that is pressed waits until it can be heard.
        let is_closed = self.terms.encrypts && self.keys.is_none();
        let can_be_heard = !is_closed && !matches!(self.route, Route::Nowhere);
        let key =
            self.terms.dtmf.filter(|_| can_be_heard).and_then(|payload_type| {
                self.keypad.tick(frame.timestamp).map(|event| (payload_type, event))
            });
        let written = match &key {
            Some((payload_type, event)) => {
                let (timestamp, marker) = (event.timestamp, event.marker);
                source.write_as(now, *payload_type, timestamp, marker, None, &event.payload, buffer)
            }
            None if self.terms.sends => {
                let EncodedFrame { payload_type, timestamp, marker, payload, .. } = frame;
                source.write_as(now, payload_type, timestamp, marker, None, payload, buffer)
            }
            None => return None,
        };
        let length = written.ok()?;
        if let Some(progress) = source.progress() {
            self.shared.publish(progress);
        }
        Some(length)
    }

    /// Never in the clear what must not be.
    fn protect(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        match &mut self.keys {
            Some(keys) => match keys.protect(buffer, length) {
                Ok(length) => Some(length),
                Err(error) => {
                    tracing::error!(%error, "a packet cannot be protected and is not sent");
                    None
                }
            },
            None => (!self.terms.encrypts).then_some(length),
        }
    }

    /// What the system does not take at once is lost, as on a network.
    fn transmit(&mut self, packet: &[u8]) -> bool {
        match &mut self.route {
            Route::Nowhere => false,
            Route::Socket(socket, to) => socket.send_now(packet, *to),
            Route::Relay(ring, wake) => {
                let Ok(size) = u16::try_from(packet.len()) else { return false };
                let Ok(mut chunk) = ring.write_chunk(2 + packet.len()) else { return false };
                let (first, second) = chunk.as_mut_slices();
                let bytes = size.to_le_bytes().into_iter().chain(packet.iter().copied());
                for (slot, byte) in first.iter_mut().chain(second).zip(bytes) {
                    *slot = byte;
                }
                chunk.commit_all();
                wake.notify_one();
                true
            }
        }
    }
}

/// The audio task's end.
pub(super) struct Outbound {
    changes: Changes<Change>,
    shared: Arc<Shared>,
    relayed: Option<(Consumer<u8>, Arc<Notify>)>,
    /// Where packets go now, if from a socket: that socket's port and the address.
    sent_to: Option<(usize, SocketAddr)>,
}

impl Outbound {
    /// Packets are numbered as by this sender from now on.
    pub(super) fn number(&mut self, source: &RtpSender) {
        self.changes.tell(Change::Source(Box::new(source.clone())));
    }

    /// What was agreed on, before the keys that belong to it.
    pub(super) fn agree(&mut self, terms: Terms) {
        self.changes.tell(Change::Terms(terms));
    }

    /// Encrypts from now on, or does not.
    pub(super) fn encrypt(&mut self, keys: Option<Box<SrtpSender>>) {
        self.changes.tell(Change::Keys(keys));
    }

    /// A key of the keypad, sent in the place of frames.
    pub(super) fn press(&mut self, digit: Digit) {
        self.changes.tell(Change::Digit(digit));
    }

    /// Packets go this way from now on.
    pub(super) fn lead(&mut self, way: Course) {
        match way {
            Course::Nowhere => {
                if self.sent_to.take().is_some() || self.relayed.take().is_some() {
                    self.changes.tell(Change::Route(Route::Nowhere));
                }
            }
            Course::Socket(socket, to) => {
                let now = Some((Arc::as_ptr(&socket).addr(), to));
                if self.sent_to != now {
                    (self.sent_to, self.relayed) = (now, None);
                    self.changes.tell(Change::Route(Route::Socket(socket, to)));
                }
            }
            Course::Task => {
                if self.relayed.is_none() {
                    let (producer, consumer) = RingBuffer::new(RELAYED);
                    let wake = Arc::new(Notify::new());
                    (self.sent_to, self.relayed) = (None, Some((consumer, wake.clone())));
                    self.changes.tell(Change::Route(Route::Relay(producer, wake)));
                }
            }
        }
    }

    /// What who listens to the peer has to say, and to know.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Passes on what waited; true when nothing waits any more.
    pub(super) fn flush(&mut self) -> bool {
        self.changes.flush()
    }

    /// How far sending has come; `None` before the first packet.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.shared.progress()
    }

    /// Tells when a packet for a relay may be there, while packets go that way.
    pub(super) fn relayed(&self) -> Option<Arc<Notify>> {
        self.relayed.as_ref().map(|(_, wake)| wake.clone())
    }

    /// The next packet for a relay, in `buffer`.
    pub(super) fn pop<'b>(&mut self, buffer: &'b mut [u8; PACKET]) -> Option<&'b mut [u8]> {
        let (ring, _) = self.relayed.as_mut()?;
        let mut size = [0; 2];
        ring.pop_entire_slice(&mut size).ok()?;
        // Size and packet were committed together, and no packet is longer than the buffer.
        let packet = buffer.get_mut(..usize::from(u16::from_le_bytes(size)))?;
        ring.pop_entire_slice(packet).ok()?;
        Some(packet)
    }
}

/// What both ends read: one writes each value.
pub(super) struct Shared {
    origin: Instant,
    /// Microseconds since the origin after which nothing is sent.
    mute_after: AtomicU64,
    /// Odd while the media thread writes the values below; a reader that saw it change reads again.
    version: AtomicU32,
    ssrc: AtomicU32,
    packets: AtomicU32,
    octets: AtomicU32,
    timestamp: AtomicU32,
    /// Nanoseconds since the origin; 0: nothing was sent.
    at: AtomicU64,
}

impl Shared {
    fn new(origin: Instant) -> Self {
        Self {
            origin,
            mute_after: AtomicU64::new(u64::MAX),
            version: AtomicU32::new(0),
            ssrc: AtomicU32::new(0),
            packets: AtomicU32::new(0),
            octets: AtomicU32::new(0),
            timestamp: AtomicU32::new(0),
            at: AtomicU64::new(0),
        }
    }

    /// Nothing is sent after this moment; `None`: there is no end.
    pub(super) fn mute_after(&self, end: Option<Instant>) {
        let micros = end.map(|end| end.saturating_duration_since(self.origin).as_micros());
        let micros = micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(u64::MAX);
        self.mute_after.store(micros, Ordering::Relaxed);
    }

    fn is_mute(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.origin).as_micros();
        now > u128::from(self.mute_after.load(Ordering::Relaxed))
    }

    fn publish(&self, progress: Progress) {
        let (at, timestamp) = progress.last;
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.ssrc.store(progress.ssrc, Ordering::Relaxed);
        self.packets.store(progress.packets, Ordering::Relaxed);
        self.octets.store(progress.octets, Ordering::Relaxed);
        self.timestamp.store(timestamp, Ordering::Relaxed);
        self.at.store(u64::try_from(nanos).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// How far sending has come; `None` before the first packet.
    pub(super) fn progress(&self) -> Option<Progress> {
        // The media thread writes for nanoseconds, 50 times a second: the second try succeeds.
        loop {
            let version = self.version.load(Ordering::Acquire);
            let at = self.at.load(Ordering::Relaxed);
            let progress = Progress {
                ssrc: self.ssrc.load(Ordering::Relaxed),
                packets: self.packets.load(Ordering::Relaxed),
                octets: self.octets.load(Ordering::Relaxed),
                last: (self.origin + Duration::from_nanos(at), self.timestamp.load(Ordering::Relaxed)),
            };
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return (at > 0).then_some(progress);
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests;
