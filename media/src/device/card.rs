//! Sound cards through cpal.
//!
//! ```text
//!  microphone callback ══ ring ══► ElasticReader ──► bridge ══ ring ══► loudspeaker callback
//! ```
//! A callback copies between the device and a ring and counts: no lock, no log, no
//! allocation. Buffer sizes are the device's own; the rings re-block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{FromSample, Sample, SampleFormat, SizedSample};
use rtrb::{Consumer, Producer, RingBuffer};

use super::elastic::ElasticReader;
use crate::bridge::{Port, PortEvent, Signal};
use crate::error::DeviceError;
use crate::resample::Resampler;

/// A sound card as the system lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Name to give to [`open`].
    pub name: String,
    /// Has a microphone.
    pub input: bool,
    /// Has a loudspeaker.
    pub output: bool,
}

/// Keeps the streams of a sound card running; dropping it ends them.
pub struct Card {
    _streams: Vec<cpal::Stream>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    failed: AtomicBool,
    underruns: AtomicU64,
    overruns: AtomicU64,
}

impl Card {
    /// Times that the loudspeaker found too little in its ring.
    pub fn underruns(&self) -> u64 {
        self.shared.underruns.load(Ordering::Relaxed)
    }

    /// Samples of the microphone or bridge that found their ring full.
    pub fn overruns(&self) -> u64 {
        self.shared.overruns.load(Ordering::Relaxed)
    }

    /// True when the device reported that it is gone.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

/// The sound cards that there are; an empty list on a machine without.
pub fn list() -> Vec<DeviceInfo> {
    hush();
    let Some(devices) = host().and_then(|host| host.devices().ok()) else { return Vec::new() };
    devices
        .filter_map(|device| {
            let (input, output) = (device.supports_input(), device.supports_output());
            name(&device).map(|name| DeviceInfo { name, input, output })
        })
        .collect()
}

/// Opens a card by name, or the default one for `None`, as a port at `rate` Hz. A card with
/// only one direction is fine. An error says to fall back to [`super::null_device`].
pub fn open(wanted: Option<&str>, rate: u32) -> Result<(Card, CardPort), DeviceError> {
    hush();
    let label = wanted.unwrap_or("default").to_owned();
    let host = host().ok_or_else(|| DeviceError::NotFound(label.clone()))?;
    let find = |input: bool| match wanted {
        None if input => host.default_input_device(),
        None => host.default_output_device(),
        Some(wanted) => host.devices().ok()?.find(|device| {
            let fits = if input { device.supports_input() } else { device.supports_output() };
            fits && name(device).as_deref() == Some(wanted)
        }),
    };
    let shared = Arc::new(Shared::default());
    let mut streams = Vec::new();
    let (mut microphone, mut speaker) = (None, None);
    // A default device exists even without a card; only its configuration tells the truth.
    if let Some((device, config)) =
        find(true).and_then(|device| device.default_input_config().ok().map(|config| (device, config)))
    {
        let (ring, reader) = RingBuffer::new(config.sample_rate() as usize);
        let stream = capture(&device, &config, ring, &shared).map_err(|error| backend(&label, &error))?;
        let target = config.sample_rate() as usize * 3 / 100;
        microphone = Some(Side::new(ElasticReader::new(reader, target), config.sample_rate(), rate));
        streams.push(stream);
    }
    if let Some((device, config)) =
        find(false).and_then(|device| device.default_output_config().ok().map(|config| (device, config)))
    {
        let (ring, reader) = RingBuffer::new(config.sample_rate() as usize / 2);
        let stream = playback(&device, &config, reader, &shared).map_err(|error| backend(&label, &error))?;
        speaker = Some(Speaker {
            ring,
            resampler: (config.sample_rate() != rate).then(|| Resampler::new(rate, config.sample_rate())),
            buffer: vec![0; config.sample_rate() as usize / 5],
        });
        streams.push(stream);
    }
    if streams.is_empty() {
        return Err(DeviceError::NotFound(label));
    }
    for stream in &streams {
        stream.play().map_err(|error| backend(&label, &error))?;
    }
    let card = Card { _streams: streams, shared: shared.clone() };
    Ok((card, CardPort { rate, microphone, speaker, shared, told: false }))
}

/// ALSA prints a dozen lines about each card that it looks for and does not find, which is no error
/// here: from now on what it says on this thread is kept from standard error.
#[cfg(target_os = "linux")]
fn hush() {
    // Where that cannot be had it prints.
    drop(alsa::Output::local_error_handler());
}

/// Other systems say nothing.
#[cfg(not(target_os = "linux"))]
fn hush() {}

/// `default_host` panics without libasound; the list of hosts does not.
fn host() -> Option<cpal::Host> {
    cpal::available_hosts().into_iter().find_map(|id| cpal::host_from_id(id).ok())
}

fn name(device: &cpal::Device) -> Option<String> {
    device.description().ok().map(|description| description.name().to_owned())
}

fn backend(device: &str, error: &cpal::Error) -> DeviceError {
    DeviceError::Backend { device: device.to_owned(), what: error.to_string() }
}

/// The port of a sound card.
pub struct CardPort {
    rate: u32,
    microphone: Option<Side>,
    speaker: Option<Speaker>,
    shared: Arc<Shared>,
    told: bool,
}

struct Side {
    reader: ElasticReader,
    resampler: Option<Resampler>,
    buffer: Vec<i16>,
}

struct Speaker {
    ring: Producer<i16>,
    resampler: Option<Resampler>,
    buffer: Vec<i16>,
}

impl Side {
    fn new(reader: ElasticReader, from: u32, to: u32) -> Self {
        let resampler = (from != to).then(|| Resampler::new(from, to));
        Self { reader, resampler, buffer: vec![0; from as usize / 5] }
    }
}

impl Port for CardPort {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        let Some(side) = &mut self.microphone else {
            out.fill(0);
            return Signal::Silent;
        };
        let audible = match &mut side.resampler {
            None => side.reader.read(out),
            Some(resampler) => {
                let needed = resampler.needed(out.len()).min(side.buffer.len());
                let audible = side.reader.read(&mut side.buffer[..needed]);
                resampler.process(&side.buffer[..needed], out);
                audible
            }
        };
        if audible { Signal::Audible } else { Signal::Silent }
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        let Some(speaker) = &mut self.speaker else { return };
        let pcm = match &mut speaker.resampler {
            None => pcm,
            Some(resampler) => {
                let written = resampler.process(pcm, &mut speaker.buffer);
                &speaker.buffer[..written]
            }
        };
        if speaker.ring.push_entire_slice(pcm).is_err() {
            self.shared.overruns.fetch_add(pcm.len() as u64, Ordering::Relaxed);
        }
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        if self.told || !self.shared.failed.load(Ordering::Relaxed) {
            return None;
        }
        self.told = true;
        Some(PortEvent::Failed("the audio device is gone".to_owned()))
    }
}

fn capture(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    ring: Producer<i16>,
    shared: &Arc<Shared>,
) -> Result<cpal::Stream, cpal::Error> {
    match config.sample_format() {
        SampleFormat::I16 => capture_as::<i16>(device, config, ring, shared),
        SampleFormat::I32 => capture_as::<i32>(device, config, ring, shared),
        SampleFormat::U8 => capture_as::<u8>(device, config, ring, shared),
        _ => capture_as::<f32>(device, config, ring, shared),
    }
}

fn capture_as<T>(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    mut ring: Producer<i16>,
    shared: &Arc<Shared>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels()).max(1);
    let counters = shared.clone();
    let failed = shared.clone();
    device.build_input_stream(
        config.config(),
        move |data: &[T], _: &cpal::InputCallbackInfo| {
            for frame in data.chunks_exact(channels) {
                let sum: i32 = frame.iter().map(|sample| i32::from(i16::from_sample(*sample))).sum();
                if ring.push((sum / channels as i32) as i16).is_err() {
                    counters.overruns.fetch_add(1, Ordering::Relaxed);
                }
            }
        },
        move |error| note(&failed, &error),
        None,
    )
}

fn playback(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    ring: Consumer<i16>,
    shared: &Arc<Shared>,
) -> Result<cpal::Stream, cpal::Error> {
    match config.sample_format() {
        SampleFormat::I16 => playback_as::<i16>(device, config, ring, shared),
        SampleFormat::I32 => playback_as::<i32>(device, config, ring, shared),
        SampleFormat::U8 => playback_as::<u8>(device, config, ring, shared),
        _ => playback_as::<f32>(device, config, ring, shared),
    }
}

fn playback_as<T>(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    ring: Consumer<i16>,
    shared: &Arc<Shared>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<i16>,
{
    let channels = usize::from(config.channels()).max(1);
    let mut reader = ElasticReader::new(ring, config.sample_rate() as usize / 25);
    let counters = shared.clone();
    let failed = shared.clone();
    // The callback's own scratch, as long as any buffer it will be asked for.
    let mut scratch = vec![0i16; config.sample_rate() as usize / 2];
    device.build_output_stream(
        config.config(),
        move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
            for block in data.chunks_mut(scratch.len() * channels) {
                let mono = &mut scratch[..block.len() / channels];
                if !reader.read(mono) {
                    counters.underruns.fetch_add(1, Ordering::Relaxed);
                }
                for (frame, sample) in block.chunks_exact_mut(channels).zip(mono) {
                    frame.fill(T::from_sample(*sample));
                }
            }
        },
        move |error| note(&failed, &error),
        None,
    )
}

/// Runs outside the audio path: a glitch is not the end, a device that is gone is.
fn note(shared: &Shared, error: &cpal::Error) {
    if matches!(error.kind(), cpal::ErrorKind::DeviceNotAvailable) {
        shared.failed.store(true, Ordering::Relaxed);
    }
}
