//! Records into a WAV file from a thread of its own.
//!
//! ```text
//!  bridge ──► RecorderPort ══ ring ══► disk thread ──► WAV      (mono: one port, a mix)
//!  bridge ──► RecorderPort ══ ring ══╝                          (stereo: one port a side)
//! ```
//! The header is brought up to date every second, so a file survives a crash; when the disk
//! is full or slow the ports go on and the first failure is told once.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bridge::{Port, PortEvent, Signal};
use crate::error::WavError;

/// One file or two voices in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One channel: what the one port is given, mixed by the bridge.
    Mono,
    /// Two channels, one port each: left the local side, right the remote.
    Stereo,
}

/// Settings of a recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Rate of the file in Hz.
    pub sample_rate: u32,
    /// Channels.
    pub layout: Layout,
    /// How long the disk may stall before samples are lost.
    pub patience: Duration,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { sample_rate: 16_000, layout: Layout::Stereo, patience: Duration::from_secs(4) }
    }
}

/// What a recording came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSummary {
    /// The file.
    pub path: PathBuf,
    /// Samples per channel that are in the file.
    pub samples: u64,
    /// Samples lost because the disk stalled or failed.
    pub lost: u64,
    /// The first failure, if there was one.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    paused: AtomicBool,
    /// Leave this tick out: decided by the first port for both, so that the sides stay in step.
    latched: AtomicBool,
    stopping: AtomicBool,
    /// The first thing that went wrong.
    error: OnceLock<String>,
    lost: AtomicU64,
    written: AtomicU64,
}

impl Shared {
    fn fail(&self, what: String) {
        // What went wrong first counts.
        let _ = self.error.set(what);
    }
}

/// A port whose audio goes into a recording.
#[derive(Debug)]
pub struct RecorderPort {
    ring: Producer<i16>,
    rate: u32,
    leads: bool,
    shared: Arc<Shared>,
    told: bool,
}

impl Port for RecorderPort {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        if self.leads {
            let paused = self.shared.paused.load(Ordering::Relaxed);
            // What one side lacks room for the other leaves out too: they stay in step.
            let full = self.ring.slots() < 2 * pcm.len();
            self.shared.latched.store(paused || full, Ordering::Relaxed);
            if full && !paused {
                self.shared.lost.fetch_add(pcm.len() as u64, Ordering::Relaxed);
            }
        }
        if self.shared.latched.load(Ordering::Relaxed) {
            return;
        }
        if self.ring.push_entire_slice(pcm).is_err() {
            self.shared.lost.fetch_add(pcm.len() as u64, Ordering::Relaxed);
        }
    }

    fn gives(&self) -> bool {
        false
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        if self.told || !self.leads {
            return None;
        }
        let error = self.shared.error.get()?;
        self.told = true;
        Some(PortEvent::Failed(error.clone()))
    }
}

/// A running recording. Dropping it ends the file without waiting; [`Self::finish`] waits.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Where a recording is written: a file, or anything that a test wants to fail.
pub trait Storage: Write + Seek + Send {}
impl<T: Write + Seek + Send> Storage for T {}

impl Recorder {
    /// Creates the file and its folder and starts the disk thread. Gives one port for
    /// [`Layout::Mono`], two (left, right) for [`Layout::Stereo`]; add them to the bridge in this order.
    pub fn create(path: &Path, config: RecorderConfig) -> Result<(Self, Vec<RecorderPort>), WavError> {
        let failed = |source| WavError::Io { path: path.display().to_string(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::create(path).map_err(failed)?;
        Self::to_storage(Box::new(BufWriter::new(file)), path, config)
    }

    /// Records to `storage`; `path` is only a name.
    pub fn to_storage(
        storage: Box<dyn Storage>,
        path: &Path,
        config: RecorderConfig,
    ) -> Result<(Self, Vec<RecorderPort>), WavError> {
        let failed = |source| WavError::Io { path: path.display().to_string(), source };
        let channels: u16 = if config.layout == Layout::Stereo { 2 } else { 1 };
        let spec = hound::WavSpec {
            channels,
            sample_rate: config.sample_rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let writer = hound::WavWriter::new(storage, spec)
            .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        let shared = Arc::new(Shared::default());
        let capacity = config.sample_rate as usize * config.patience.as_millis().max(100) as usize / 1000;
        let (mut ports, mut rings) = (Vec::new(), Vec::new());
        for channel in 0..channels {
            let (ring, other) = RingBuffer::new(capacity);
            let (rate, leads) = (config.sample_rate, channel == 0);
            ports.push(RecorderPort { ring, rate, leads, shared: shared.clone(), told: false });
            rings.push(other);
        }
        let disk =
            Disk { writer: Some(writer), rings, shared: shared.clone(), flush_every: config.sample_rate };
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || disk.run())
            .map_err(failed)?;
        Ok((Self { path: path.to_owned(), shared, thread: Some(thread) }, ports))
    }

    /// Stops and goes on writing; nothing is lost or added in between.
    pub fn set_paused(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
    }

    /// Samples per channel written so far.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is waiting, completes the header and waits for that. What the ports are
    /// given afterwards is lost: take them out of the bridge first.
    pub fn finish(mut self) -> RecordingSummary {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.fail("the disk thread panicked".to_owned());
        }
        let error = self.shared.error.get().cloned();
        RecordingSummary {
            path: self.path.clone(),
            samples: self.shared.written.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
            error,
        }
    }

    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Disk {
    writer: Option<hound::WavWriter<Box<dyn Storage>>>,
    rings: Vec<Consumer<i16>>,
    shared: Arc<Shared>,
    flush_every: u32,
}

impl Disk {
    fn run(mut self) {
        let mut unflushed = 0;
        loop {
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            let frames = self.rings.iter().map(Consumer::slots).min().unwrap_or(0);
            if let Err(error) = self.write(frames) {
                self.give_up(&error);
            }
            unflushed += frames;
            if unflushed >= self.flush_every as usize {
                unflushed = 0;
                if let Some(Err(error)) = self.writer.as_mut().map(hound::WavWriter::flush) {
                    self.give_up(&error);
                }
            }
            if stopping {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.finalize()
        {
            self.shared.fail(error.to_string());
        }
    }

    fn write(&mut self, frames: usize) -> Result<(), hound::Error> {
        for _ in 0..frames {
            for ring in &mut self.rings {
                let sample = ring.pop().unwrap_or_default();
                if let Some(writer) = &mut self.writer {
                    writer.write_sample(sample)?;
                }
            }
        }
        if self.writer.is_some() {
            self.shared.written.fetch_add(frames as u64, Ordering::Relaxed);
        } else {
            self.shared.lost.fetch_add(frames as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The disk is full: the header is made right for what is there, the rest is lost.
    fn give_up(&mut self, error: &hound::Error) {
        self.shared.fail(error.to_string());
        if let Some(writer) = self.writer.take() {
            // Tries once more to write the header, which needs no new space.
            drop(writer);
        }
    }
}
