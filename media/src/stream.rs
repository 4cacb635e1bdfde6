//! One audio stream of a call as a port of the bridge.
//!
//! ```text
//!  bridge ──► Fifo ──► Encoder ──► PacketSink                       (sending)
//!  bridge ◄── Fifo ◄── time-scale ◄── Decoder ◄── JitterBuffer ◄── PacketSource   (receiving)
//! ```
//! [`StreamPort::new`] gives three ends: the port for the bridge, a [`StreamHandle`] for whoever
//! negotiates, a [`PacketSource`] for the network. The port neither sends nor plays until told to.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

mod handle;
mod pauses;
mod scale;

pub use handle::{StreamFeedback, StreamHandle, StreamStats};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bridge::{Port, PortEvent, Signal};
use crate::codec::{self, CodecInfo, CodecParams, Decoder, Encoder};
use crate::dtmf::DtmfDetector;
use crate::error::CodecError;
use crate::frame::Fifo;
use crate::jitter::{JitterBuffer, JitterConfig, Next};
use crate::packet::{self, EncodedFrame, PacketDrain, PacketSink, PacketSource};
use crate::resample::Resampler;
use crate::timescale;
use handle::{Command, Shared};
use pauses::{Pauses, Spoken};

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
    /// Bytes between the network and the media thread.
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

/// What a stream sends.
pub struct Outgoing {
    /// Payload type for the frames.
    pub payload_type: u8,
    /// Duration of a frame in milliseconds, 10 to 120.
    pub ptime_ms: u32,
    clock_rate: u32,
    encoder: Box<dyn Encoder>,
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
    payload_type: u8,
    clock_rate: u32,
    decoder: Box<dyn Decoder>,
    /// To the rate of the port, where it differs.
    resampler: Option<Resampler>,
}

impl Incoming {
    /// Understands this codec under this payload type.
    pub fn new(info: &CodecInfo, params: &CodecParams, payload_type: u8) -> Result<Self, CodecError> {
        let decoder = codec::decoder(info, params)?;
        Ok(Self { payload_type, clock_rate: info.clock_rate, decoder, resampler: None })
    }
}

/// What was negotiated: one codec out, any number in.
pub struct StreamFormat {
    outgoing: Outgoing,
    incoming: Vec<Incoming>,
    rate: u32,
    clock_rate: u32,
    capture: Fifo,
    play: Fifo,
    pauses: Pauses,
    detector: Option<Box<DtmfDetector>>,
    payload: Vec<u8>,
    frame: Vec<i16>,
    decoded: Vec<i16>,
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
        let fastest = incoming.iter().map(|one| one.decoder.sample_rate()).max().unwrap_or(rate);
        Self {
            payload: vec![0; (2 * sent).max(COMPRESSED)],
            frame: vec![0; sent],
            decoded: vec![0; (fastest * codec::MAX_FRAME_MS / 1000) as usize],
            pauses: Pauses::default(),
            detector: None,
            outgoing,
            incoming,
            rate,
            clock_rate,
            capture: Fifo::new(frame * 8),
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

    /// Digits that are heard in the audio become [`PortEvent::Digit`].
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

/// The port; give it to [`crate::bridge::Bridge::add_port`].
pub struct StreamPort {
    format: StreamFormat,
    sink: Box<dyn PacketSink>,
    drain: PacketDrain,
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
        let (source, drain, dropped) = packet::channel(config.ring_bytes);
        let (to_port, commands) = RingBuffer::new(8);
        let (garbage, from_port) = RingBuffer::new(16);
        let shared = Arc::new(Shared::new(dropped));
        let port = Self {
            jitter: jitter(&config, format.clock_rate),
            format,
            sink,
            drain,
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
        (port, StreamHandle::new(to_port, from_port, shared), source)
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.pop() {
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
        while let Some((header, payload)) = self.drain.pop() {
            if header.restart {
                self.jitter.restart();
            }
            let known = self.format.incoming.iter().any(|one| one.payload_type == header.payload_type)
                || self.format.pauses.understands(header.payload_type);
            if !known {
                self.shared.unknown.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.jitter.insert(
                header.sequence,
                header.timestamp,
                header.payload_type,
                payload,
                header.arrival,
            );
        }
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
                match one.decoder.decode(payload, &mut format.decoded) {
                    Ok(samples) => {
                        let pcm = format.decoded.get(..samples).unwrap_or_default();
                        let units = samples as u64 * clock / rate;
                        one.play(pcm, &mut format.play);
                        self.jitter.played(u32::try_from(units).unwrap_or(0));
                    }
                    Err(_) => {
                        self.shared.undecodable.fetch_add(1, Ordering::Relaxed);
                        let samples = frame(one.decoder.sample_rate());
                        if let Some(pcm) = format.decoded.get_mut(..samples) {
                            one.decoder.conceal(pcm);
                            one.play(pcm, &mut format.play);
                        }
                        self.jitter.played(u32::try_from(frame_units).unwrap_or(0));
                    }
                }
            }
            Next::Missing { following } => {
                if format.pauses.fill(&mut format.play, frame(format.rate)) {
                    return true;
                }
                let payload_type = following.map_or(self.last_payload_type, |(payload_type, _)| payload_type);
                let index = format.incoming.iter().position(|one| one.payload_type == payload_type);
                let Some(one) = format.incoming.get_mut(index.unwrap_or(0)) else { return false };
                let samples = frame(one.decoder.sample_rate());
                let Some(pcm) = format.decoded.get_mut(..samples) else { return false };
                let recovered = match following {
                    Some((_, payload)) => one.decoder.recover(payload, pcm),
                    None => false,
                };
                if recovered {
                    self.shared.recovered.fetch_add(1, Ordering::Relaxed);
                } else {
                    one.decoder.conceal(pcm);
                    self.shared.concealed.fetch_add(1, Ordering::Relaxed);
                }
                one.play(pcm, &mut format.play);
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
        let Some(pcm) = format.decoded.get_mut(..samples(one.decoder.sample_rate())) else { return false };
        one.decoder.conceal(pcm);
        one.play(pcm, &mut format.play);
        true
    }

    fn encode_waiting(&mut self) {
        let StreamFormat { outgoing, capture, pauses, payload, frame, .. } = &mut self.format;
        let units = outgoing.clock_rate * outgoing.ptime_ms / 1000;
        while capture.len() >= frame.len() {
            capture.read(frame);
            let timestamp = self.timestamp;
            self.timestamp = self.timestamp.wrapping_add(units);
            let (payload_type, payload) = match pauses.judge(frame) {
                Spoken::Pause => {
                    self.talk_starts = true;
                    continue;
                }
                Spoken::Described(payload_type, description, length) => {
                    let payload = payload.get_mut(..length).unwrap_or_default();
                    payload.copy_from_slice(description.get(..length).unwrap_or_default());
                    (payload_type, &*payload)
                }
                Spoken::Speech => match outgoing.encoder.encode(frame, payload) {
                    Ok(0) => {
                        self.talk_starts = true;
                        continue;
                    }
                    Ok(length) => (outgoing.payload_type, payload.get(..length).unwrap_or_default()),
                    Err(_) => {
                        self.shared.unencodable.fetch_add(1, Ordering::Relaxed);
                        continue;
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
        self.format.capture.write(pcm);
        self.encode_waiting();
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        self.digits.take().map(PortEvent::Digit)
    }
}

impl Incoming {
    /// Puts decoded audio into the queue at the rate of the port.
    fn play(&mut self, pcm: &[i16], queue: &mut Fifo) {
        match &mut self.resampler {
            None => {
                queue.write(pcm);
            }
            Some(resampler) => {
                let room = queue.room();
                if let Some(out) = queue.reserve(room) {
                    let written = resampler.process(pcm, out);
                    queue.unreserve(room - written);
                }
            }
        }
    }
}

fn decoder_for(incoming: &mut [Incoming], payload_type: u8) -> Option<&mut Incoming> {
    incoming.iter_mut().find(|one| one.payload_type == payload_type)
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
