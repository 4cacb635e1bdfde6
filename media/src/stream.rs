//! One audio stream of a call as a port of the bridge.
//!
//! ```text
//!  bridge ──► Fifo ──► Encoder ──► PacketSink                       (sending)
//!  bridge ◄── Fifo ◄── time-scale ◄── Decoder ◄── JitterBuffer ◄── PacketFeed     (receiving)
//! ```
//! [`StreamPort::new`] gives three ends: the port for the bridge, a [`StreamHandle`] for whoever
//! negotiates, a [`PacketSource`] for the network; [`StreamPort::fed`] takes a [`PacketFeed`] in place of the
//! last. The port neither sends nor plays until told to.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

mod format;
mod handle;
mod pauses;
mod scale;

pub use format::{Incoming, Outgoing, StreamFormat};
pub use handle::{StreamFeedback, StreamHandle, StreamStats};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bridge::{Port, PortEvent, Signal};
use crate::codec::Decoder;
use crate::jitter::{JitterBuffer, JitterConfig, Next};
use crate::packet::{self, EncodedFrame, PacketFeed, PacketSink, PacketSource};
use crate::timescale;
use format::{conceal, decoder_for};
use handle::{Command, Shared};
use pauses::Spoken;

/// Settings of a stream that do not change with the codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Least delay of the jitter buffer.
    pub min_delay: Duration,
    /// Most delay of the jitter buffer.
    pub max_delay: Duration,
    /// How late packets may be before the network is known.
    pub start_delay: Duration,
    /// Packets that the jitter buffer holds at most.
    pub max_packets: usize,
    /// Bytes between the network and the media thread, where a ring is between them.
    pub ring_bytes: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        let jitter = JitterConfig::default();
        Self {
            min_delay: jitter.min_delay,
            max_delay: jitter.max_delay,
            start_delay: jitter.start_delay,
            max_packets: jitter.max_packets,
            ring_bytes: 16 * 1024,
        }
    }
}

/// The port; give it to [`crate::bridge::Bridge::add_port`].
pub struct StreamPort {
    format: StreamFormat,
    sink: Box<dyn PacketSink>,
    feed: Box<dyn PacketFeed>,
    jitter: JitterBuffer,
    config: StreamConfig,
    commands: Consumer<Command>,
    garbage: Producer<Command>,
    shared: Arc<Shared>,
    /// In RTP clock units; counts from the start of the stream whatever happens.
    timestamp: u32,
    /// The next frame is the first after silence.
    talk_starts: bool,
    /// Digits heard and not told yet.
    digits: Digits,
    /// The loss that the encoder was told of.
    loss: u8,
    /// Of the packet decoded last: its decoder conceals.
    last_payload_type: u8,
    /// Ticks since the last change of the playing speed.
    since_scaled: u32,
    /// Ticks that it has been quiet.
    quiet: u32,
}

impl StreamPort {
    /// The three ends of a stream.
    pub fn new(
        config: StreamConfig,
        format: StreamFormat,
        sink: Box<dyn PacketSink>,
    ) -> (Self, StreamHandle, PacketSource) {
        let (source, drain) = packet::channel(config.ring_bytes);
        let (port, handle) = Self::fed(config, format, sink, Box::new(drain));
        (port, handle, source)
    }

    /// A stream whose packets come from a feed: the port and its handle.
    pub fn fed(
        config: StreamConfig,
        format: StreamFormat,
        sink: Box<dyn PacketSink>,
        feed: Box<dyn PacketFeed>,
    ) -> (Self, StreamHandle) {
        let (to_port, commands) = RingBuffer::new(8);
        let (garbage, from_port) = RingBuffer::new(16);
        let shared = Arc::new(Shared::new());
        let port = Self {
            jitter: jitter(&config, format.clock_rate),
            format,
            sink,
            feed,
            config,
            commands,
            garbage,
            shared: shared.clone(),
            timestamp: 0,
            talk_starts: true,
            digits: Digits::default(),
            loss: u8::MAX,
            last_payload_type: 0,
            since_scaled: 0,
            quiet: 0,
        };
        (port, StreamHandle::new(to_port, from_port, shared))
    }

    fn obey(&mut self) {
        let is_commanded = self.shared.commanded.load(Ordering::Relaxed)
            && self.shared.commanded.swap(false, Ordering::Acquire);
        while is_commanded && let Ok(command) = self.commands.pop() {
            let old = match command {
                Command::Format(format) => {
                    if format.clock_rate != self.format.clock_rate {
                        self.jitter = jitter(&self.config, format.clock_rate);
                    }
                    Command::Format(Box::new(std::mem::replace(&mut self.format, *format)))
                }
                Command::Sink(sink) => Command::Sink(std::mem::replace(&mut self.sink, sink)),
            };
            // Freed by the handle; when that does not look, here.
            let _ = self.garbage.push(old);
            self.loss = u8::MAX;
        }
        let loss = self.shared.expected_loss.load(Ordering::Relaxed);
        if loss != self.loss && loss <= 100 {
            self.loss = loss;
            self.format.outgoing.encoder.set_expected_loss(loss);
        }
    }

    fn receive(&mut self) {
        let Self { feed, jitter, format, shared, .. } = self;
        feed.feed(&mut |packet| {
            if packet.restart {
                jitter.restart();
            }
            let payload_type = packet.payload_type;
            let decoder = decoder_for(&mut format.incoming, payload_type);
            let restores = decoder.as_ref().is_some_and(|one| one.decoder.has_redundancy(packet.payload));
            if decoder.is_some() || format.pauses.understands(payload_type) {
                jitter.insert(
                    packet.sequence,
                    packet.timestamp,
                    payload_type,
                    packet.payload,
                    packet.arrival,
                );
                if restores {
                    jitter.restores();
                }
            } else {
                shared.unknown.fetch_add(1, Ordering::Relaxed);
            }
        });
        shared.dropped.store(feed.dropped(), Ordering::Relaxed);
    }

    /// Decodes or conceals one packet's worth; false when there is nothing to play.
    fn decode_next(&mut self) -> bool {
        let format = &mut self.format;
        let clock = u64::from(format.clock_rate.max(1));
        let frame_units = u64::from(self.jitter.frame());
        let frame = |rate: u32| (frame_units * u64::from(rate) / clock) as usize;
        match self.jitter.take() {
            Next::Packet { payload_type, payload } if format.pauses.understands(payload_type) => {
                format.pauses.describe(payload);
                format.pauses.fill(&mut format.play, frame(format.rate));
                self.jitter.played(u32::try_from(frame_units).unwrap_or(0));
            }
            Next::Packet { payload_type, payload } => {
                let Some(one) = decoder_for(&mut format.incoming, payload_type) else { return true };
                self.last_payload_type = payload_type;
                format.pauses.end();
                let rate = u64::from(one.decoder.sample_rate());
                let decode = |decoder: &mut dyn Decoder, out: &mut [i16]| decoder.decode(payload, out).ok();
                let decoded = one.play(&mut format.play, &mut format.decoded, usize::MAX, decode);
                let units = match decoded {
                    Some(samples) => samples as u64 * clock / rate,
                    None => {
                        self.shared.undecodable.fetch_add(1, Ordering::Relaxed);
                        let samples = frame(one.decoder.sample_rate());
                        one.play(&mut format.play, &mut format.decoded, samples, conceal);
                        frame_units
                    }
                };
                self.jitter.played(u32::try_from(units).unwrap_or(0));
            }
            Next::Missing { following } => {
                if format.pauses.fill(&mut format.play, frame(format.rate)) {
                    return true;
                }
                let payload_type = following.map_or(self.last_payload_type, |(payload_type, _)| payload_type);
                let index = format.incoming.iter().position(|one| one.payload_type == payload_type);
                let Some(one) = format.incoming.get_mut(index.unwrap_or(0)) else { return false };
                let samples = frame(one.decoder.sample_rate());
                let mut recovered = false;
                let restore = |decoder: &mut dyn Decoder, out: &mut [i16]| {
                    recovered = following.is_some_and(|(_, payload)| decoder.recover(payload, out));
                    if recovered { Some(out.len()) } else { conceal(decoder, out) }
                };
                if one.play(&mut format.play, &mut format.decoded, samples, restore).is_none() {
                    return false;
                }
                let counter = if recovered { &self.shared.recovered } else { &self.shared.concealed };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Next::Pause => {
                let samples = frame(format.rate);
                if !format.pauses.fill(&mut format.play, samples)
                    && let Some(room) = format.play.reserve(samples)
                {
                    room.fill(0);
                }
            }
            Next::Empty => return self.pause(),
        }
        true
    }

    /// Nothing has come for long: noise, if the peer has described it or the codec knows how; else what
    /// is left of the last sound, until the buffer has filled again.
    fn pause(&mut self) -> bool {
        let format = &mut self.format;
        let (units, clock) = (u64::from(self.jitter.frame()), u64::from(format.clock_rate.max(1)));
        let samples = |rate: u32| (units * u64::from(rate) / clock) as usize;
        if format.pauses.fill(&mut format.play, samples(format.rate)) {
            return true;
        }
        let Some(one) = decoder_for(&mut format.incoming, self.last_payload_type) else { return false };
        if self.jitter.stats().played == 0 || !format.pauses.goes_on(one.decoder.knows_pauses()) {
            return false;
        }
        let samples = samples(one.decoder.sample_rate());
        one.play(&mut format.play, &mut format.decoded, samples, conceal).is_some()
    }

    /// Sends the frames that are complete.
    fn encode_waiting(&mut self) {
        let (sent, mut capture) = (self.format.sent, std::mem::take(&mut self.format.capture));
        while let Some(frame) = capture.as_slice().get(..sent) {
            self.encode(frame);
            capture.discard(sent);
        }
        self.format.capture = capture;
    }

    /// Sends one frame.
    fn encode(&mut self, frame: &[i16]) {
        let StreamFormat { outgoing, pauses, payload, .. } = &mut self.format;
        let units = outgoing.clock_rate * outgoing.ptime_ms / 1000;
        let timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(units);
        let (payload_type, payload) = match pauses.judge(frame) {
            Spoken::Pause => {
                self.talk_starts = true;
                return;
            }
            Spoken::Described(payload_type, description, length) => {
                let payload = payload.get_mut(..length).unwrap_or_default();
                payload.copy_from_slice(description.get(..length).unwrap_or_default());
                (payload_type, &*payload)
            }
            Spoken::Speech => match outgoing.encoder.encode(frame, payload) {
                Ok(0) => {
                    self.talk_starts = true;
                    return;
                }
                Ok(length) => (outgoing.payload_type, payload.get(..length).unwrap_or_default()),
                Err(_) => {
                    self.shared.unencodable.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            },
        };
        // RFC 3389 §4: comfort noise has no marker, what is said after it has.
        let speaks = payload_type == outgoing.payload_type;
        let marker = speaks && self.talk_starts;
        self.talk_starts = !speaks;
        self.sink.send(EncodedFrame { payload, payload_type, timestamp, marker, samples: units });
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// A few digits on their way to whoever asks for events.
#[derive(Default)]
struct Digits {
    waiting: [char; 8],
    count: usize,
}

impl Digits {
    /// Those that nobody has asked for in a second are more than anybody can press.
    fn add(&mut self, digit: char) {
        if let Some(slot) = self.waiting.get_mut(self.count) {
            *slot = digit;
            self.count += 1;
        }
    }

    fn take(&mut self) -> Option<char> {
        let first = self.waiting.first().copied().filter(|_| self.count > 0)?;
        self.waiting.rotate_left(1);
        self.count -= 1;
        Some(first)
    }
}

impl Port for StreamPort {
    fn sample_rate(&self) -> u32 {
        self.format.rate
    }

    fn prepare(&mut self) {
        self.obey();
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        self.receive();
        if !self.shared.receiving.load(Ordering::Relaxed) {
            // What arrives on hold keeps the buffer's place but is not heard.
            self.format.play.clear();
            while self.jitter.held() > 2 && self.decode_next() {
                self.format.play.clear();
            }
            out.fill(0);
            return Signal::Silent;
        }
        while self.format.play.len() < out.len() && self.decode_next() {}
        if self.format.play.len() >= out.len() {
            self.scale(out.len());
        }
        let filled = self.format.play.read(out);
        if let Some(rest) = out.get_mut(filled..) {
            rest.fill(0);
        }
        self.quiet = if timescale::is_quiet(out) { self.quiet.saturating_add(1) } else { 0 };
        self.shared.observe(&self.jitter);
        if let Some(detector) = &mut self.format.detector {
            match out.get(..filled) {
                Some(heard) if filled > 0 => detector.push(heard, |digit| self.digits.add(digit)),
                _ => detector.skip(out.len()),
            }
        }
        if filled == 0 { Signal::Silent } else { Signal::Audible }
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        if !self.shared.sending.load(Ordering::Relaxed) {
            // The timestamp counts samples whether or not anything is sent (RFC 3550 §5.1).
            let units = pcm.len() as u64 * u64::from(self.format.outgoing.clock_rate)
                / u64::from(self.format.rate.max(1));
            let waiting = self.format.capture.len() as u64 * u64::from(self.format.outgoing.clock_rate)
                / u64::from(self.format.rate.max(1));
            self.format.capture.clear();
            self.timestamp = self.timestamp.wrapping_add(u32::try_from(units + waiting).unwrap_or(0));
            self.talk_starts = true;
            return;
        }
        if pcm.len() == self.format.sent && self.format.capture.is_empty() {
            // A frame as it comes need not wait.
            return self.encode(pcm);
        }
        self.format.capture.write(pcm);
        self.encode_waiting();
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        self.digits.take().map(PortEvent::Digit)
    }
}

fn jitter(config: &StreamConfig, clock_rate: u32) -> JitterBuffer {
    JitterBuffer::new(JitterConfig {
        clock_rate,
        min_delay: config.min_delay,
        max_delay: config.max_delay,
        start_delay: config.start_delay,
        max_packets: config.max_packets,
    })
}

#[cfg(test)]
mod tests;
