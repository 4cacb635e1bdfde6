//! The negotiating side's handle of a stream, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rtrb::{Consumer, Producer};

use super::StreamFormat;
use crate::error::UsageError;
use crate::jitter::JitterBuffer;
use crate::packet::PacketSink;

pub(super) enum Command {
    Format(Box<StreamFormat>),
    Sink(Box<dyn PacketSink>),
}

/// Counters of a stream; all count from its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Frames given to the sink.
    pub sent: u64,
    /// Packets that reached the jitter buffer.
    pub received: u64,
    /// Packets played.
    pub played: u64,
    /// Packets dropped because the media thread lagged or they were too long.
    pub dropped: u64,
    /// Packets of a payload type that was not negotiated.
    pub unknown: u64,
    /// Payloads that the codec refused.
    pub undecodable: u64,
    /// Frames that the codec refused to encode.
    pub unencodable: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that came out of order.
    pub reordered: u64,
    /// Frames concealed: what was lost or late, and what was not there yet, which is played after that.
    pub concealed: u64,
    /// Frames restored from redundancy.
    pub recovered: u64,
    /// Times that a period was left out to shorten the delay.
    pub shortened: u64,
    /// Times that a period was repeated to lengthen the delay.
    pub stretched: u64,
    /// Delay in the jitter buffer.
    pub delay: Duration,
    /// Delay that the jitter buffer aims at.
    pub target: Duration,
}

pub(super) struct Shared {
    /// In percent, as the peer reports it; 255: nobody has told.
    pub(super) expected_loss: AtomicU8,
    /// There are commands: one look here spares one at their ring.
    pub(super) commanded: AtomicBool,
    pub(super) sending: AtomicBool,
    pub(super) receiving: AtomicBool,
    pub(super) sent: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) undecodable: AtomicU64,
    pub(super) unencodable: AtomicU64,
    pub(super) concealed: AtomicU64,
    pub(super) recovered: AtomicU64,
    pub(super) shortened: AtomicU64,
    pub(super) stretched: AtomicU64,
    pub(super) dropped: AtomicU64,
    received: AtomicU64,
    played: AtomicU64,
    late: AtomicU64,
    duplicate: AtomicU64,
    reordered: AtomicU64,
    delay_us: AtomicU32,
    target_us: AtomicU32,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            dropped: AtomicU64::new(0),
            expected_loss: AtomicU8::new(u8::MAX),
            commanded: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            receiving: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
            unencodable: AtomicU64::new(0),
            concealed: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            shortened: AtomicU64::new(0),
            stretched: AtomicU64::new(0),
            received: AtomicU64::new(0),
            played: AtomicU64::new(0),
            late: AtomicU64::new(0),
            duplicate: AtomicU64::new(0),
            reordered: AtomicU64::new(0),
            delay_us: AtomicU32::new(0),
            target_us: AtomicU32::new(0),
        }
    }

    /// Shows the state of the jitter buffer.
    pub(super) fn observe(&self, jitter: &JitterBuffer) {
        let stats = jitter.stats();
        self.received.store(stats.received, Ordering::Relaxed);
        self.played.store(stats.played, Ordering::Relaxed);
        self.late.store(stats.late, Ordering::Relaxed);
        self.duplicate.store(stats.duplicate, Ordering::Relaxed);
        self.reordered.store(stats.reordered, Ordering::Relaxed);
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.delay_us.store(micros(jitter.delay()), Ordering::Relaxed);
        self.target_us.store(micros(jitter.target()), Ordering::Relaxed);
    }
}

/// Steers a [`super::StreamPort`] from any thread without blocking.
pub struct StreamHandle {
    commands: Producer<Command>,
    garbage: Consumer<Command>,
    shared: Arc<Shared>,
}

impl StreamHandle {
    pub(super) fn new(commands: Producer<Command>, garbage: Consumer<Command>, shared: Arc<Shared>) -> Self {
        Self { commands, garbage, shared }
    }

    /// Renegotiates: from the next tick on the port uses this format. The timestamp goes on.
    pub fn set_format(&mut self, format: StreamFormat) -> Result<(), UsageError> {
        self.command(Command::Format(Box::new(format)))
    }

    /// Frames go to another sink from the next tick on.
    pub fn set_sink(&mut self, sink: Box<dyn PacketSink>) -> Result<(), UsageError> {
        self.command(Command::Sink(sink))
    }

    /// For whoever hears of the peer: what it receives goes to the encoder, what we receive can be read.
    pub fn feedback(&self) -> StreamFeedback {
        StreamFeedback { shared: self.shared.clone() }
    }

    /// Tells the encoder the loss that the peer reports, in percent.
    pub fn set_expected_loss(&self, percent: u8) {
        self.feedback().set_expected_loss(percent);
    }

    /// Starts and stops sending; the timestamp goes on while stopped.
    pub fn set_sending(&self, on: bool) {
        self.shared.sending.store(on, Ordering::Relaxed);
    }

    /// Starts and stops playing what arrives.
    pub fn set_receiving(&self, on: bool) {
        self.shared.receiving.store(on, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn stats(&self) -> StreamStats {
        self.feedback().stats()
    }

    fn command(&mut self, command: Command) -> Result<(), UsageError> {
        while self.garbage.pop().is_ok() {}
        self.commands.push(command).map_err(|_| UsageError::Busy)?;
        self.shared.commanded.store(true, Ordering::Release);
        Ok(())
    }
}

/// What is known of a stream while it runs; clones share it.
#[derive(Clone)]
pub struct StreamFeedback {
    shared: Arc<Shared>,
}

impl StreamFeedback {
    /// Tells the encoder the loss that the peer reports, in percent.
    pub fn set_expected_loss(&self, percent: u8) {
        self.shared.expected_loss.store(percent.min(100), Ordering::Relaxed);
    }

    /// The counters now.
    pub fn stats(&self) -> StreamStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let micros = |value: &AtomicU32| Duration::from_micros(u64::from(value.load(Ordering::Relaxed)));
        let shared = &self.shared;
        StreamStats {
            sent: read(&shared.sent),
            received: read(&shared.received),
            played: read(&shared.played),
            dropped: read(&shared.dropped),
            unknown: read(&shared.unknown),
            undecodable: read(&shared.undecodable),
            unencodable: read(&shared.unencodable),
            late: read(&shared.late),
            duplicate: read(&shared.duplicate),
            reordered: read(&shared.reordered),
            concealed: read(&shared.concealed),
            recovered: read(&shared.recovered),
            shortened: read(&shared.shortened),
            stretched: read(&shared.stretched),
            delay: micros(&shared.delay_us),
            target: micros(&shared.target_us),
        }
    }
}

impl std::fmt::Debug for StreamFeedback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stats().fmt(f)
    }
}
