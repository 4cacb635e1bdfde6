//! The mixing bridge: ports, connections between them, and a pure [`Bridge::tick`].
//!
//! ```text
//!  per tick:  every port pulled ─► resampled to the bridge's rate ─► mixed per destination
//!             (without itself: N-1) ─► soft limiter ─► resampled ─► pushed to the port
//! ```
//! A tick allocates nothing and locks nothing; the graph changes between ticks.

mod mix;
mod slot;

use crate::error::UsageError;
use crate::level::Meter;
use mix::Mixer;
use slot::Slot;

/// Names a port of a bridge; never used twice in one bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub(crate) u64);

/// Whether a block of samples is worth mixing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// All zero; the samples need not be looked at.
    Silent,
    /// Samples that count.
    Audible,
}

/// What a port tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortEvent {
    /// A player has played everything.
    Finished,
    /// An application's audio was heard up to this mark.
    Mark(u64),
    /// A digit of DTMF was heard.
    Digit(char),
    /// The port no longer works: disk full, device gone.
    Failed(String),
}

/// One end of audio: a stream, a file, a device, a tone, an application.
///
/// Once per tick the bridge calls [`Self::prepare`], then [`Self::pull`], then
/// [`Self::push`], each with the samples of one packet time at the port's rate. They must
/// not block and should not allocate.
pub trait Port: Send {
    /// Rate of the samples it gives and takes, in Hz; may change in [`Self::prepare`].
    fn sample_rate(&self) -> u32;
    /// Applies changes asked for since the last tick.
    fn prepare(&mut self) {}
    /// Fills `out`, with zeros where it has nothing.
    fn pull(&mut self, out: &mut [i16]) -> Signal {
        out.fill(0);
        Signal::Silent
    }
    /// Takes what was mixed for it; zeros if nothing is connected.
    fn push(&mut self, _pcm: &[i16], _signal: Signal) {}
    /// The next thing it has to tell.
    fn take_event(&mut self) -> Option<PortEvent> {
        None
    }
    /// False for a port that only takes: it is never pulled.
    fn gives(&self) -> bool {
        true
    }
    /// False for a port that only gives: nothing is mixed for it.
    fn takes(&self) -> bool {
        true
    }
}

/// Settings of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeConfig {
    /// Rate at which it mixes, in Hz: a multiple of 50.
    pub sample_rate: u32,
    /// Packet time in milliseconds: 20, or 10 for less delay.
    pub ptime_ms: u32,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self { sample_rate: 16_000, ptime_ms: 20 }
    }
}

impl BridgeConfig {
    /// Samples of one tick.
    pub fn frame(&self) -> usize {
        (self.sample_rate * self.ptime_ms / 1000) as usize
    }
}

/// The levels of a port. On a media thread they are measured while there is a clone to read them.
#[derive(Debug, Clone, Default)]
pub struct PortMeters {
    /// What the port gives to the bridge.
    pub given: Meter,
    /// What the bridge gives to the port.
    pub taken: Meter,
}

/// A set of ports and who hears whom.
pub struct Bridge {
    config: BridgeConfig,
    slots: Vec<Slot>,
    mixer: Mixer,
    next_id: u64,
    ticks: u64,
}

impl Bridge {
    /// An empty bridge.
    pub fn new(config: BridgeConfig) -> Self {
        Self { config, slots: Vec::new(), mixer: Mixer::new(config.frame()), next_id: 1, ticks: 0 }
    }

    /// The settings.
    pub fn config(&self) -> BridgeConfig {
        self.config
    }

    /// Adds a port, connected to nothing.
    pub fn add_port(&mut self, port: Box<dyn Port>) -> PortId {
        let id = PortId(self.next_id);
        self.add(Slot::new(id, port, PortMeters::default(), true, self.config));
        id
    }

    /// Adds a port under an identifier chosen by [`crate::engine`], with meters that it may have given to
    /// somebody.
    pub(crate) fn insert(&mut self, id: PortId, port: Box<dyn Port>, meters: PortMeters) {
        self.add(Slot::new(id, port, meters, false, self.config));
    }

    fn add(&mut self, slot: Slot) {
        self.next_id = self.next_id.max(slot.id.0 + 1);
        self.slots.push(slot);
        self.mixer.join();
    }

    /// Takes a port out with its connections and gives it back.
    pub fn remove_port(&mut self, id: PortId) -> Result<Box<dyn Port>, UsageError> {
        let index = self.index(id)?;
        self.mixer.leave(index);
        let slot = self.slots.remove(index);
        Ok(slot.into_port())
    }

    /// `to` hears `from`, by so many dB louder or softer (0 is unchanged, at most +18).
    /// Connecting again changes the gain. A port is never connected to itself.
    pub fn connect(&mut self, from: PortId, to: PortId, gain_db: f32) -> Result<(), UsageError> {
        let (from, to) = (self.index(from)?, self.index(to)?);
        self.mixer.connect(from, to, gain_db);
        Ok(())
    }

    /// `to` no longer hears `from`; fine if it did not.
    pub fn disconnect(&mut self, from: PortId, to: PortId) -> Result<(), UsageError> {
        let (from, to) = (self.index(from)?, self.index(to)?);
        self.mixer.disconnect(from, to);
        Ok(())
    }

    /// The levels of a port.
    pub fn meters(&self, id: PortId) -> Result<PortMeters, UsageError> {
        let index = self.index(id)?;
        Ok(self.slots[index].meters.clone())
    }

    /// Moves one packet time of audio.
    pub fn tick(&mut self) {
        for slot in &mut self.slots {
            slot.pull();
        }
        self.mixer.sum_groups(&self.slots);
        for index in 0..self.slots.len() {
            if !self.slots[index].takes() {
                continue;
            }
            if let Some(from) = self.mixer.alone(index, &self.slots) {
                let given = self.slots[from].lend();
                self.slots[index].push(&given, Signal::Audible);
                self.slots[from].take_back(given);
            } else {
                let signal = self.mixer.mix(index, &self.slots);
                self.slots[index].push(self.mixer.frame(), signal);
            }
        }
        self.ticks += 1;
    }

    /// What the ports have to tell since the last call.
    pub fn take_events(&mut self, mut tell: impl FnMut(PortId, PortEvent)) {
        for slot in &mut self.slots {
            while let Some(event) = slot.take_event() {
                tell(slot.id, event);
            }
        }
    }

    /// Ticks so far.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Number of ports.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True without ports.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn index(&self, id: PortId) -> Result<usize, UsageError> {
        self.slots.iter().position(|slot| slot.id == id).ok_or(UsageError::NoPort(id.0))
    }
}

#[cfg(test)]
mod tests;
