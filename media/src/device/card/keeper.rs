//! The thread that opens a card's streams, watches them, and opens them again.
//!
//! ```text
//!            opened                     it failed, or stands still
//!  missing ──────────► running ─────────────────────────────────────► missing
//!     ▲ │                 │ another device is the default one            │
//!     └─┘ later and later └──────────────────────────────────────────────┘
//! ```
//! Time is counted in turns of the loop, [`TURN`] each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use rtrb::{Consumer, Producer, RingBuffer};

use super::streams::{Health, capture, playback};
use super::{CardConfig, Choice, Ear, Mouth, Place, Shared, host, name};
use crate::device::elastic::ElasticReader;
use crate::error::DeviceError;
use crate::resample::Resampler;

/// How often streams are looked at.
const TURN: Duration = Duration::from_millis(100);
/// Turns without a call of its callback after which a stream is given up.
const STILL: u32 = 15;
/// Turns between two looks for another default device.
const DEFAULT: u32 = 10;
/// Most turns between two attempts.
const PATIENCE: u32 = 30;
/// What the end of the thread may take: a sound system that hangs is left to itself.
const END: Duration = Duration::from_secs(1);

/// The thread; dropping it ends the streams.
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    stopped: Receiver<()>,
}

impl Keeper {
    /// Opens what can be opened. An error: nothing can.
    pub(super) fn start(
        config: &CardConfig,
        shared: &Arc<Shared>,
    ) -> Result<(Self, Place<Ear>, Place<Mouth>), DeviceError> {
        let (stop, stopping) = channel();
        let (tell_stopped, stopped) = channel();
        let (tell_opened, opened) = channel();
        let (ears, ear) = handover();
        let (mouths, mouth) = handover();
        let (config, shared) = (config.clone(), shared.clone());
        let run = move || {
            hush();
            let mut ear = Lane::new(&config.input, config.sample_rate, ears, shared.clone());
            let mut mouth = Lane::new(&config.output, config.sample_rate, mouths, shared);
            let first = (ear.turn(), mouth.turn());
            let opens = ear.stream.is_some() || mouth.stream.is_some();
            let error = first.0.err().or(first.1.err());
            let error = error.unwrap_or_else(|| DeviceError::NotFound("for nothing".to_owned()));
            if tell_opened.send(if opens { Ok(()) } else { Err(error) }).is_err() || !opens {
                return;
            }
            while stopping.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
                // What does not open now is tried again.
                let _ = (ear.turn(), mouth.turn());
            }
            drop((ear, mouth));
            // Nobody waits any more where this fails.
            let _ = tell_stopped.send(());
        };
        let failed = |what: String| DeviceError::Backend { device: "sound".to_owned(), what };
        let thread = std::thread::Builder::new().name("sound-card".to_owned()).spawn(run);
        thread.map_err(|error| failed(error.to_string()))?;
        opened.recv().map_err(|_| failed("it panicked".to_owned()))??;
        Ok((Self { stop: Some(stop), stopped }, ear, mouth))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.stopped.recv_timeout(END);
    }
}

/// The keeper's end of a place.
struct Handover<T> {
    new: Producer<Box<T>>,
    old: Consumer<Box<T>>,
}

fn handover<T>() -> (Handover<T>, Place<T>) {
    let (give, new) = RingBuffer::new(2);
    let (old, take) = RingBuffer::new(2);
    (Handover { new: give, old: take }, Place { now: None, new, old })
}

/// What differs between a microphone and a loudspeaker.
trait Direction: Sized {
    const LABEL: &'static str;
    fn default(host: &cpal::Host) -> Option<cpal::Device>;
    fn serves(device: &cpal::Device) -> bool;
    fn config(device: &cpal::Device) -> Result<cpal::SupportedStreamConfig, cpal::Error>;
    fn build(
        device: &cpal::Device,
        config: &cpal::SupportedStreamConfig,
        rate: u32,
        shared: &Arc<Shared>,
        health: &Arc<Health>,
    ) -> Result<(cpal::Stream, Self), cpal::Error>;
}

impl Direction for Ear {
    const LABEL: &'static str = "microphone";

    fn default(host: &cpal::Host) -> Option<cpal::Device> {
        host.default_input_device()
    }

    fn serves(device: &cpal::Device) -> bool {
        device.supports_input()
    }

    fn config(device: &cpal::Device) -> Result<cpal::SupportedStreamConfig, cpal::Error> {
        device.default_input_config()
    }

    fn build(
        device: &cpal::Device,
        config: &cpal::SupportedStreamConfig,
        rate: u32,
        shared: &Arc<Shared>,
        health: &Arc<Health>,
    ) -> Result<(cpal::Stream, Self), cpal::Error> {
        let theirs = config.sample_rate();
        let (ring, reader) = RingBuffer::new(theirs as usize);
        let stream = capture(device, config, ring, shared, health)?;
        let reader = ElasticReader::new(reader, theirs as usize * 3 / 100);
        let resampler = (theirs != rate).then(|| Resampler::new(theirs, rate));
        Ok((stream, Self { reader, resampler, buffer: vec![0; theirs as usize / 5] }))
    }
}

impl Direction for Mouth {
    const LABEL: &'static str = "loudspeaker";

    fn default(host: &cpal::Host) -> Option<cpal::Device> {
        host.default_output_device()
    }

    fn serves(device: &cpal::Device) -> bool {
        device.supports_output()
    }

    fn config(device: &cpal::Device) -> Result<cpal::SupportedStreamConfig, cpal::Error> {
        device.default_output_config()
    }

    fn build(
        device: &cpal::Device,
        config: &cpal::SupportedStreamConfig,
        rate: u32,
        shared: &Arc<Shared>,
        health: &Arc<Health>,
    ) -> Result<(cpal::Stream, Self), cpal::Error> {
        let theirs = config.sample_rate();
        let (ring, reader) = RingBuffer::new(theirs as usize / 2);
        let stream = playback(device, config, reader, shared, health)?;
        let resampler = (theirs != rate).then(|| Resampler::new(rate, theirs));
        Ok((stream, Self { ring, resampler, buffer: vec![0; theirs as usize / 5] }))
    }
}

/// One direction.
struct Lane<T> {
    choice: Choice,
    rate: u32,
    handover: Handover<T>,
    shared: Arc<Shared>,
    stream: Option<cpal::Stream>,
    health: Arc<Health>,
    /// What is open.
    device: Option<cpal::DeviceId>,
    watch: Watch,
    /// It has worked, and does not.
    gone: bool,
}

impl<T: Direction> Lane<T> {
    fn new(choice: &Choice, rate: u32, handover: Handover<T>, shared: Arc<Shared>) -> Self {
        Self {
            choice: choice.clone(),
            rate,
            handover,
            shared,
            stream: None,
            health: Arc::default(),
            device: None,
            watch: Watch::default(),
            gone: false,
        }
    }

    /// Looks once. An error says why there is no stream.
    fn turn(&mut self) -> Result<(), DeviceError> {
        while self.handover.old.pop().is_ok() {}
        if self.stream.is_some() {
            let failed = self.health.failed.load(Ordering::Relaxed);
            let moved = self.watch.asks_for_default() && self.has_moved();
            if !failed && !moved && !self.watch.stands_still(self.health.calls.load(Ordering::Relaxed)) {
                return Ok(());
            }
            tracing::warn!(what = T::LABEL, failed, moved, "the sound device is gone");
            if let Some(stream) = self.stream.take() {
                discard(stream);
            }
            self.gone = true;
            self.shared.gone.fetch_add(1, Ordering::Relaxed);
            self.watch = Watch::default();
        }
        if self.choice == Choice::Nothing || !self.watch.may_try() {
            return Ok(());
        }
        self.open()?;
        self.watch = Watch::default();
        self.shared.opened.fetch_add(1, Ordering::Relaxed);
        if std::mem::take(&mut self.gone) {
            tracing::info!(what = T::LABEL, "the sound device is back");
            self.shared.gone.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), DeviceError> {
        let label = match &self.choice {
            Choice::Named(name) => name.clone(),
            Choice::Default | Choice::Nothing => "default".to_owned(),
        };
        let missing = || DeviceError::NotFound(label.clone());
        let backend =
            |error: cpal::Error| DeviceError::Backend { device: label.clone(), what: error.to_string() };
        let device = self.find().ok_or_else(missing)?;
        // A default device exists even without a card; only its configuration tells the truth.
        let config = T::config(&device).map_err(|_| missing())?;
        let health = Arc::new(Health::of(&device));
        let (stream, end) = T::build(&device, &config, self.rate, &self.shared, &health).map_err(backend)?;
        stream.play().map_err(backend)?;
        // Full only while the media thread stands still: then it is tried again.
        self.handover.new.push(Box::new(end)).map_err(|_| missing())?;
        self.device = device.id().ok();
        (self.stream, self.health) = (Some(stream), health);
        Ok(())
    }

    fn find(&self) -> Option<cpal::Device> {
        let host = host()?;
        match &self.choice {
            Choice::Nothing => None,
            Choice::Default => T::default(&host),
            Choice::Named(wanted) => host.devices().ok()?.find(|device| {
                let is_it = || {
                    name(device).as_ref() == Some(wanted)
                        || device.id().is_ok_and(|id| id.id() == wanted.as_str())
                };
                T::serves(device) && is_it()
            }),
        }
    }

    /// Whether the system would give another device now.
    fn has_moved(&self) -> bool {
        if self.choice != Choice::Default {
            return false;
        }
        let now = host().and_then(|host| T::default(&host)).and_then(|device| device.id().ok());
        now.is_some() && self.device.is_some() && now != self.device
    }
}

/// What a lane counts, turn by turn.
#[derive(Debug, Default)]
struct Watch {
    turns: u32,
    calls: u64,
    still: u32,
    /// Turns until the next attempt, and what they were before it.
    wait: u32,
    step: u32,
}

impl Watch {
    fn asks_for_default(&mut self) -> bool {
        self.turns = (self.turns + 1) % DEFAULT;
        self.turns == 0
    }

    /// Whether the callback was not called for too long; `calls` counts them.
    fn stands_still(&mut self, calls: u64) -> bool {
        self.still = if calls == self.calls { self.still + 1 } else { 0 };
        self.calls = calls;
        self.still >= STILL
    }

    /// At once, and then later and later.
    fn may_try(&mut self) -> bool {
        if self.wait > 0 {
            self.wait -= 1;
            return false;
        }
        self.step = (self.step * 2).clamp(1, PATIENCE);
        self.wait = self.step;
        true
    }
}

/// Ends a stream elsewhere: its thread is waited for, and libpulse, whose server was killed, may keep that
/// for ever.
fn discard(stream: cpal::Stream) {
    let thread = std::thread::Builder::new().name("sound-card-end".to_owned());
    // Without a thread it ends here.
    let _ = thread.spawn(move || drop(stream));
}

/// ALSA prints a dozen lines about each card that it looks for and does not find, which is no error
/// here: from now on what it says on this thread is kept from standard error.
#[cfg(target_os = "linux")]
pub(super) fn hush() {
    // Where that cannot be had it prints.
    drop(alsa::Output::local_error_handler());
}

/// Other systems say nothing.
#[cfg(not(target_os = "linux"))]
pub(super) fn hush() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_later_and_later_but_go_on() {
        let mut watch = Watch::default();
        let tries: Vec<usize> = (0..200).filter(|_| watch.may_try()).collect();
        assert_eq!(tries[..6], [0, 2, 5, 10, 19, 36]);
        assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= PATIENCE as usize + 1), "{tries:?}");
        assert!(tries.len() > 8, "{tries:?}");
    }

    #[test]
    fn a_stream_whose_callback_is_not_called_is_given_up() {
        let mut watch = Watch::default();
        for calls in 1..100 {
            assert!(!watch.stands_still(calls));
        }
        let silent = (0..STILL).filter(|_| watch.stands_still(99)).count();
        assert_eq!(silent, 1, "only the last of them");
    }

    #[test]
    fn what_is_replaced_goes_back_to_be_dropped() {
        let (mut handover, mut place) = handover::<u32>();
        place.follow();
        assert_eq!(place.now, None);
        for n in 0..2 {
            handover.new.push(Box::new(n)).expect("there is room");
        }
        assert!(handover.new.push(Box::new(2)).is_err());
        place.follow();
        assert_eq!(place.now.as_deref(), Some(&1));
        assert_eq!(handover.old.pop().as_deref(), Ok(&0));
        // Nobody fetches what is old: what is new waits.
        for n in 2..6 {
            let _ = handover.new.push(Box::new(n));
            place.follow();
        }
        assert_eq!(place.now.as_deref(), Some(&3));
        while handover.old.pop().is_ok() {}
        place.follow();
        assert_eq!(place.now.as_deref(), Some(&5));
    }
}
