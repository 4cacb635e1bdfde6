//! The jitter buffer: packets in as the network gives them, payloads out in order and in time.
//!
//! ```text
//!            first packet                 waited or buffered >= target
//!   Idle ───────────────────► Filling ───────────────────────────────► Playing
//!     ▲                          ▲                                        │
//!     └────── restart ───────────┴──── nothing came for STARVE frames ────┘
//! ```
//! Delay is measured per packet against the fastest one of the last seconds; the target is where
//! more delay would cost more than the packets that it catches. How full the buffer should be
//! against how full it is becomes an [`Advice`] to stretch or shorten, which the stream follows.
//!
//! Pure: arrival times are arguments and the caller's ticks are its clock.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation))]

mod delay;
mod level;

pub use delay::DelayEstimator;
use level::Level;
pub use level::{Advice, Urgency};

use std::time::Duration;

/// Settings of a [`JitterBuffer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitterConfig {
    /// RTP clock in Hz.
    pub clock_rate: u32,
    /// Least delay to aim at.
    pub min_delay: Duration,
    /// Most delay to aim at; what exceeds it by half a second is skipped.
    pub max_delay: Duration,
    /// How late packets may be before the network is known: a call begins with so much more delay than
    /// a packet's, which is let out in pauses after a second or two if it is of no use.
    pub start_delay: Duration,
    /// Most packets held; when it bites, the buffer jumps forward and counts an overflow.
    pub max_packets: usize,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            clock_rate: 8_000,
            min_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(400),
            start_delay: Duration::from_millis(80),
            max_packets: 128,
        }
    }
}

/// What became of an inserted packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// Kept for its time.
    Stored,
    /// Its time is over.
    Late,
    /// Was there already.
    Duplicate,
}

/// What to play now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// Decode this, then tell its duration with [`JitterBuffer::played`].
    Packet {
        /// As given to [`JitterBuffer::insert`].
        payload_type: u8,
        /// The codec's bytes.
        payload: &'a [u8],
    },
    /// A packet is missing: restore it from the following one or conceal one frame.
    Missing {
        /// The packet after the missing one, if it is here.
        following: Option<(u8, &'a [u8])>,
    },
    /// The sender paused (DTX): one frame of comfort noise or silence.
    Pause,
    /// Nothing to play.
    Empty,
}

/// Counters since the buffer began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets inserted, whatever became of them.
    pub received: u64,
    /// Packets played.
    pub played: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Frames that had to be concealed because a packet was missing.
    pub missing: u64,
    /// Frames that had to be concealed because nothing was there at all.
    pub starved: u64,
    /// Times that the buffer ran over and jumped.
    pub overflows: u64,
    /// Times that it began to fill anew.
    pub refills: u64,
}

/// Packets that are held at once where nothing is unusual.
const SPARE: usize = 8;
/// Frames concealed on an empty buffer before it goes back to filling.
const STARVE: u32 = 4;
/// Packets for which a loss is remembered, and redundancy: 10 seconds of 20 ms.
const MEMORY: u32 = 500;
/// Late packets in a row after which the sender must have started anew.
const LATE_RUN: u32 = 25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Filling { waited: i64 },
    Playing,
}

#[derive(Debug, Default)]
struct Slot {
    full: bool,
    sequence: u64,
    timestamp: i64,
    payload_type: u8,
    payload: Vec<u8>,
}

/// The buffer of one stream.
#[derive(Debug)]
pub struct JitterBuffer {
    config: JitterConfig,
    slots: Vec<Slot>,
    /// Buffers of packets that were played, for those to come: as many as were ever held at once.
    spare: Vec<Vec<u8>>,
    state: State,
    /// The packet to play next.
    sequence: u64,
    /// The lowest packet that was not played yet.
    floor: u64,
    /// Where playing has got to.
    timestamp: i64,
    newest: u64,
    newest_timestamp: i64,
    /// How late the newest packet was against the fastest.
    newest_late: i64,
    held: usize,
    /// Duration of a packet in clock units, as last played.
    frame: i64,
    /// Bytes for which buffers make room.
    largest: usize,
    starved: i64,
    starved_frames: u32,
    late_run: u32,
    /// Packets for which it holds that such as these restore the one before, and that some are lost.
    restoring: u32,
    losing: u32,
    delay: DelayEstimator,
    level: Level,
    stats: JitterStats,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        let clock = config.clock_rate.max(1);
        let slots: Vec<Slot> = (0..config.max_packets.max(4)).map(|_| Slot::default()).collect();
        Self {
            delay: DelayEstimator::new(clock, config.start_delay),
            spare: Vec::with_capacity(SPARE),
            slots,
            state: State::Idle,
            sequence: 0,
            floor: 0,
            timestamp: 0,
            newest: 0,
            newest_timestamp: 0,
            newest_late: 0,
            held: 0,
            frame: i64::from(clock / 50),
            largest: 192,
            starved: 0,
            starved_frames: 0,
            late_run: 0,
            restoring: 0,
            losing: 0,
            level: Level::default(),
            stats: JitterStats::default(),
            config,
        }
    }

    /// Forgets the packets and the position, as for a new source; the counters and the
    /// picture of the network stay.
    pub fn restart(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.full) {
            slot.full = false;
            self.spare.push(std::mem::take(&mut slot.payload));
        }
        self.held = 0;
        self.state = State::Idle;
        self.late_run = 0;
        self.delay.rebase();
    }

    /// Takes one packet. `sequence` is extended and never wraps; `arrival` counts from any fixed instant.
    pub fn insert(
        &mut self,
        sequence: u64,
        timestamp: u32,
        payload_type: u8,
        payload: &[u8],
        arrival: Duration,
    ) -> Inserted {
        self.stats.received += 1;
        if self.state == State::Idle {
            self.begin(sequence, i64::from(timestamp));
        }
        let mut extended = self.extend(timestamp);
        if sequence < self.sequence {
            if matches!(self.state, State::Filling { .. }) && sequence >= self.floor {
                // Nothing from here on was played yet: an earlier packet is the new beginning.
                self.sequence = sequence;
                self.timestamp = extended;
            } else {
                self.stats.late += 1;
                self.late_run += 1;
                self.delay.observe(extended, arrival);
                if self.late_run < LATE_RUN {
                    return Inserted::Late;
                }
                self.restart();
                self.delay = DelayEstimator::new(self.config.clock_rate, self.config.start_delay);
                self.begin(sequence, extended);
            }
        }
        if sequence >= self.sequence.saturating_add(self.capacity()) {
            self.stats.overflows += 1;
            self.restart();
            self.begin(sequence, i64::from(timestamp));
            extended = i64::from(timestamp);
        }
        self.late_run = 0;
        self.restoring = self.restoring.saturating_sub(1);
        self.losing = self.losing.saturating_sub(1);
        let late = self.delay.observe(extended, arrival);
        let index = self.index(sequence);
        let Some(slot) = self.slots.get_mut(index) else { return Inserted::Late };
        if slot.full && slot.sequence == sequence {
            self.stats.duplicate += 1;
            return Inserted::Duplicate;
        }
        if !slot.full {
            self.held += 1;
        }
        slot.full = true;
        slot.sequence = sequence;
        slot.timestamp = extended;
        slot.payload_type = payload_type;
        if slot.payload.capacity() == 0 {
            slot.payload = self.spare.pop().unwrap_or_default();
        }
        slot.payload.clear();
        // In steps, so that a codec of variable rate soon stops asking for memory.
        self.largest = self.largest.max(payload.len().next_power_of_two());
        slot.payload.reserve(self.largest);
        slot.payload.extend_from_slice(payload);
        if sequence > self.newest && self.state == State::Playing {
            self.level.missed(extended, late);
        }
        if sequence >= self.newest {
            self.newest = sequence;
            self.newest_timestamp = extended;
            self.newest_late = late;
        } else {
            self.stats.reordered += 1;
        }
        Inserted::Stored
    }

    /// Tells that the packet just inserted can restore the one before it: where packets are lost, it is worth
    /// having the next one as well.
    pub fn restores(&mut self) {
        self.restoring = MEMORY;
    }

    /// What to play; asked once per frame, and again after a packet too short to fill it.
    pub fn take(&mut self) -> Next<'_> {
        match self.state {
            State::Idle => return Next::Empty,
            State::Filling { waited } => {
                let waited = waited + self.frame;
                if self.held == 0 {
                    self.state = State::Filling { waited: 0 };
                    return Next::Empty;
                }
                self.skip_to_oldest();
                if waited.max(self.buffered()) < self.target_units() {
                    self.state = State::Filling { waited };
                    return Next::Empty;
                }
                self.state = State::Playing;
                self.level = Level::default();
            }
            State::Playing => {}
        }
        if self.held == 0 {
            return self.starve();
        }
        self.starved_frames = 0;
        let Some((found, timestamp)) = self.oldest() else { return Next::Empty };
        let ahead = timestamp - self.timestamp;
        if ahead > 0 {
            // What was concealed while nothing was here counts towards the gap.
            let lost = ahead.min(self.starved);
            self.timestamp += lost;
            self.level.moved(-lost);
        }
        self.starved = 0;
        let ahead = timestamp - self.timestamp;
        let limit = self.units(self.config.max_delay + Duration::from_millis(500));
        if ahead > self.frame / 4 && self.buffered() <= limit {
            self.timestamp += self.frame;
            if found == self.sequence {
                return Next::Pause;
            }
            self.stats.missing += 1;
            self.losing = MEMORY;
            // Redundancy covers the frame right before its packet.
            let adjacent = ahead <= self.frame * 5 / 4;
            let following = if adjacent { self.payload(found) } else { None };
            return Next::Missing { following };
        }
        self.sequence = found + 1;
        self.floor = found + 1;
        self.timestamp = timestamp;
        self.held -= 1;
        self.stats.played += 1;
        let index = self.index(found);
        let Some(slot) = self.slots.get_mut(index) else { return Next::Empty };
        slot.full = false;
        let payload_type = slot.payload_type;
        self.spare.push(std::mem::take(&mut slot.payload));
        let payload = self.spare.last().map(Vec::as_slice).unwrap_or_default();
        Next::Packet { payload_type, payload }
    }

    /// Tells the duration of the packet just given, in clock units.
    pub fn played(&mut self, duration: u32) {
        if duration > 0 {
            self.frame = i64::from(duration);
            self.timestamp += i64::from(duration);
        }
    }

    /// Duration of a frame as last played, in clock units.
    pub fn frame(&self) -> u32 {
        u32::try_from(self.frame).unwrap_or(0)
    }

    /// Tells that the stream dropped (negative) or added (positive) this many clock units of delay.
    pub fn adjusted(&mut self, units: i64) {
        self.level.adjusted(units);
    }

    /// What the stream should do about the delay; asked once a tick, before it plays. `decoded` is what it
    /// holds decoded and `tick` what it plays at once, in clock units.
    pub fn advice(&mut self, decoded: i64, tick: i64) -> Advice {
        if self.state != State::Playing {
            return Advice::Keep;
        }
        let until = self.buffered() + decoded - self.frame;
        self.level.observe(until, self.newest_timestamp, self.newest_late, tick);
        let target = self.target_units() - self.frame;
        let wish = if self.restoring > 0 && self.losing > 0 { target + self.frame } else { target };
        self.level.advice(target, wish, self.delay.is_new(), i64::from(self.config.clock_rate))
    }

    /// Whether the packet that comes next is here.
    pub fn is_ready(&self) -> bool {
        self.state == State::Playing
            && self.oldest().is_some_and(|(_, timestamp)| timestamp - self.timestamp <= self.frame / 4)
    }

    /// The delay aimed at.
    pub fn target(&self) -> Duration {
        self.duration(self.target_units())
    }

    /// The delay between arrival without jitter and play, as measured of late.
    pub fn delay(&self) -> Duration {
        self.duration(self.level.delay() + self.frame)
    }

    /// Packets held now.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The counters.
    pub fn stats(&self) -> JitterStats {
        self.stats
    }

    fn begin(&mut self, sequence: u64, timestamp: i64) {
        self.sequence = sequence;
        self.floor = sequence.saturating_sub(self.capacity() / 2);
        self.newest = sequence;
        self.timestamp = timestamp;
        self.newest_timestamp = timestamp;
        self.starved = 0;
        self.starved_frames = 0;
        self.stats.refills += 1;
        self.state = State::Filling { waited: 0 };
    }

    fn starve(&mut self) -> Next<'_> {
        self.starved_frames += 1;
        if self.starved_frames > STARVE {
            self.state = State::Filling { waited: 0 };
            self.stats.refills += 1;
            self.starved_frames = 0;
            self.starved = 0;
            return Next::Empty;
        }
        self.starved += self.frame;
        self.level.moved(self.frame);
        self.stats.starved += 1;
        Next::Missing { following: None }
    }

    fn skip_to_oldest(&mut self) {
        if let Some((sequence, timestamp)) = self.oldest() {
            self.sequence = sequence;
            self.timestamp = timestamp;
        }
    }

    fn oldest(&self) -> Option<(u64, i64)> {
        (self.sequence..=self.newest).find_map(|sequence| {
            let slot = self.slots.get(self.index(sequence))?;
            (slot.full && slot.sequence == sequence).then_some((sequence, slot.timestamp))
        })
    }

    fn payload(&self, sequence: u64) -> Option<(u8, &[u8])> {
        let slot = self.slots.get(self.index(sequence))?;
        Some((slot.payload_type, &slot.payload))
    }

    /// From where we play to the end of the newest packet.
    fn buffered(&self) -> i64 {
        if self.held == 0 { 0 } else { (self.newest_timestamp + self.frame - self.timestamp).max(0) }
    }

    /// Lateness that is waited for, and the packet itself.
    fn target_units(&self) -> i64 {
        let least = self.units(self.config.min_delay);
        (self.delay.lateness() + self.frame).clamp(least, self.units(self.config.max_delay).max(least))
    }

    fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the number of slots")]
    fn index(&self, sequence: u64) -> usize {
        (sequence % self.capacity()) as usize
    }

    /// RTP timestamps wrap; the newest one says in which round we are.
    fn extend(&self, timestamp: u32) -> i64 {
        let base = self.newest_timestamp;
        #[expect(clippy::cast_possible_truncation, reason = "arithmetic modulo 2^32")]
        let change = timestamp.wrapping_sub(base as u32).cast_signed();
        base + i64::from(change)
    }

    fn units(&self, duration: Duration) -> i64 {
        let units = duration.as_micros() * u128::from(self.config.clock_rate) / 1_000_000;
        i64::try_from(units).unwrap_or(i64::MAX / 4)
    }

    fn duration(&self, units: i64) -> Duration {
        let units = u64::try_from(units).unwrap_or(0);
        Duration::from_micros(units.saturating_mul(1_000_000) / u64::from(self.config.clock_rate.max(1)))
    }
}

#[cfg(test)]
mod tests;
