//! Sound cards through cpal.
//!
//! ```text
//!  microphone callback ══ ring ══► ElasticReader ──► bridge ══ ring ══► loudspeaker callback
//!            ▲                                                                    ▲
//!            └─────────────── keeper: opens, watches, opens again ────────────────┘
//! ```
//! A callback copies between the device and a ring and counts: no lock, no log, no
//! allocation. Buffer sizes are the device's own; the rings re-block. A device that goes is
//! looked for until it is back; the port is silent meanwhile, and nobody who uses it has to know.

mod keeper;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cpal::traits::{DeviceTrait, HostTrait};
use rtrb::{Consumer, Producer};

use self::keeper::Keeper;
use super::elastic::ElasticReader;
use crate::bridge::{Port, PortEvent, Signal};
use crate::error::DeviceError;
use crate::resample::Resampler;

/// A sound card as the system lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Name to give to [`open`].
    pub name: String,
    /// What the system calls it among programs (ALSA: the PCM), good for [`open`] as well.
    pub id: String,
    /// Has a microphone.
    pub input: bool,
    /// Has a loudspeaker.
    pub output: bool,
}

/// Which device serves a direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// None.
    Nothing,
    /// The default one, also when another becomes it.
    #[default]
    Default,
    /// The one of this name or id.
    Named(String),
}

impl Choice {
    /// The default device for `None`.
    pub fn of(name: Option<&str>) -> Self {
        name.map_or(Self::Default, |name| Self::Named(name.to_owned()))
    }
}

/// What to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardConfig {
    /// The microphone.
    pub input: Choice,
    /// The loudspeaker.
    pub output: Choice,
    /// Rate of the port in Hz, whatever the devices have.
    pub sample_rate: u32,
}

/// Keeps the streams of a sound card running, and opens them again when they end; dropping it
/// ends them.
pub struct Card {
    _keeper: Keeper,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Directions that worked and do not now.
    gone: AtomicU64,
    told: AtomicBool,
    opened: AtomicU64,
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

    /// True while a direction that worked is gone.
    pub fn has_failed(&self) -> bool {
        self.shared.gone.load(Ordering::Relaxed) > 0
    }

    /// How often a direction was opened, the first time included.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::Relaxed)
    }
}

/// The sound cards that there are; an empty list on a machine without.
pub fn list() -> Vec<DeviceInfo> {
    keeper::hush();
    let Some(devices) = host().and_then(|host| host.devices().ok()) else { return Vec::new() };
    devices
        .filter_map(|device| {
            let (input, output) = (device.supports_input(), device.supports_output());
            let id = device.id().ok()?.id().to_owned();
            name(&device).map(|name| DeviceInfo { name, id, input, output })
        })
        .collect()
}

/// Opens what is asked for as one port. A card with only one direction is fine: the other is
/// looked for now and then. An error says to fall back to [`super::null_device`].
pub fn open(config: &CardConfig) -> Result<(Card, CardPort), DeviceError> {
    let shared = Arc::new(Shared::default());
    let (keeper, ear, mouth) = Keeper::start(config, &shared)?;
    let port = CardPort { rate: config.sample_rate, ear, mouth, shared: shared.clone() };
    Ok((Card { _keeper: keeper, shared }, port))
}

/// `default_host` panics without libasound; the list of hosts does not.
fn host() -> Option<cpal::Host> {
    cpal::available_hosts().into_iter().find_map(|id| cpal::host_from_id(id).ok())
}

fn name(device: &cpal::Device) -> Option<String> {
    device.description().ok().map(|description| description.name().to_owned())
}

/// The port of a sound card.
pub struct CardPort {
    rate: u32,
    ear: Place<Ear>,
    mouth: Place<Mouth>,
    shared: Arc<Shared>,
}

/// The reading end of a microphone's ring.
struct Ear {
    reader: ElasticReader,
    resampler: Option<Resampler>,
    buffer: Vec<i16>,
}

/// The writing end of a loudspeaker's ring.
struct Mouth {
    ring: Producer<i16>,
    resampler: Option<Resampler>,
    buffer: Vec<i16>,
}

/// A direction as the keeper last opened it; what it replaces goes back to be dropped elsewhere.
struct Place<T> {
    now: Option<Box<T>>,
    new: Consumer<Box<T>>,
    old: Producer<Box<T>>,
}

impl<T> Place<T> {
    fn follow(&mut self) {
        // Nothing is taken while what it replaces could not be given away.
        while self.old.slots() > 0
            && let Ok(new) = self.new.pop()
        {
            if let Some(old) = self.now.replace(new) {
                // There is room, as was just seen.
                let _ = self.old.push(old);
            }
        }
    }
}

impl Port for CardPort {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn prepare(&mut self) {
        self.ear.follow();
        self.mouth.follow();
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        let Some(ear) = &mut self.ear.now else {
            out.fill(0);
            return Signal::Silent;
        };
        let audible = match &mut ear.resampler {
            None => ear.reader.read(out),
            Some(resampler) => {
                let needed = resampler.needed(out.len()).min(ear.buffer.len());
                let audible = ear.reader.read(&mut ear.buffer[..needed]);
                resampler.process(&ear.buffer[..needed], out);
                audible
            }
        };
        if audible { Signal::Audible } else { Signal::Silent }
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        let Some(mouth) = &mut self.mouth.now else { return };
        if mouth.ring.is_abandoned() {
            return;
        }
        let pcm = match &mut mouth.resampler {
            None => pcm,
            Some(resampler) => {
                let written = resampler.process(pcm, &mut mouth.buffer);
                &mouth.buffer[..written]
            }
        };
        if mouth.ring.push_entire_slice(pcm).is_err() {
            self.shared.overruns.fetch_add(pcm.len() as u64, Ordering::Relaxed);
        }
    }

    /// Once each time that the device goes.
    fn take_event(&mut self) -> Option<PortEvent> {
        let gone = self.shared.gone.load(Ordering::Relaxed) > 0;
        let told = self.shared.told.swap(gone, Ordering::Relaxed);
        (gone && !told).then(|| PortEvent::Failed("the audio device is gone".to_owned()))
    }
}
