//! Media threads: bridges ticked at absolute deadlines, changed by commands between ticks.
//!
//! This is the one file of the crate that reads the clock and sleeps.

#![expect(clippy::disallowed_methods, reason = "the media thread paces by absolute deadlines")]

mod punctual;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bridge::{Bridge, BridgeConfig, Port, PortEvent, PortId, PortMeters};
use crate::error::UsageError;
pub(crate) use punctual::Punctuality;

/// Settings of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Media threads; new bridges go to the one with the fewest.
    pub threads: usize,
    /// Packet time of all bridges, in milliseconds.
    pub ptime_ms: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { threads: 1, ptime_ms: 20 }
    }
}

/// Something that happened to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The bridge it is in.
    pub bridge: BridgeId,
    /// The port.
    pub port: PortId,
    /// What happened.
    pub event: PortEvent,
}

/// Names a bridge of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BridgeId(u64);

/// How well the threads keep their deadlines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Ticks of all threads.
    pub ticks: u64,
    /// Longest time from a deadline to the beginning of its tick.
    pub worst_wake: Duration,
    /// 99 of 100 ticks began so soon after their deadline, to a fifth.
    pub wake_p99: Duration,
    /// Longest tick of a thread.
    pub worst_tick: Duration,
    /// Time spent in ticks.
    pub busy: Duration,
    /// Ticks that began more than one packet time late.
    pub overruns: u64,
}

/// Tells what happens; called on media threads, so it must not block.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

enum Command {
    AddBridge(BridgeId, BridgeConfig),
    RemoveBridge(BridgeId),
    AddPort(BridgeId, PortId, Box<dyn Port>, PortMeters),
    RemovePort(BridgeId, PortId),
    Connect(BridgeId, PortId, PortId, f32),
    Disconnect(BridgeId, PortId, PortId),
}

#[derive(Debug, Default)]
struct Counters {
    ticks: AtomicU64,
    worst_wake_ns: AtomicU64,
    worst_tick_ns: AtomicU64,
    busy_ns: AtomicU64,
    overruns: AtomicU64,
    bridges: AtomicU64,
    wakes: Histogram,
}

impl Counters {
    /// So many bridges of the thread have ended. The engine's end stays what it is.
    fn fewer_bridges(&self, ended: usize) {
        if ended > 0 {
            let fewer = |n: u64| (n != u64::MAX).then(|| n.saturating_sub(ended as u64));
            let _ = self.bridges.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
    }
}

/// Durations in buckets that grow by a quarter of an octave, from a microsecond on.
#[derive(Debug)]
struct Histogram {
    counts: [AtomicU64; 80],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; 80] }
    }
}

impl Histogram {
    fn note(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1);
        let octave = micros.ilog2();
        // The two bits below the leading one.
        let quarter = if octave >= 2 { (micros >> (octave - 2)) & 3 } else { 0 };
        let bucket = (octave as usize * 4 + quarter as usize).min(self.counts.len() - 1);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The upper end of a bucket.
    fn end(bucket: usize) -> Duration {
        let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
        Duration::from_nanos(((1_000 << octave) * (5 + quarter)) / 4)
    }
}

#[derive(Debug)]
struct Lane {
    commands: Sender<Command>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

/// The media threads. Dropping it stops them.
#[derive(Debug)]
pub struct MediaEngine {
    lanes: Vec<Lane>,
    ids: AtomicU64,
    ptime_ms: u32,
}

impl MediaEngine {
    /// Starts the threads.
    pub fn start(config: EngineConfig, events: EventSink) -> std::io::Result<Self> {
        let ptime = Duration::from_millis(u64::from(config.ptime_ms.clamp(5, 100)));
        let mut lanes = Vec::new();
        for number in 0..config.threads.clamp(1, 256) {
            let (commands, received) = channel();
            let counters = Arc::new(Counters::default());
            let lane = Worker {
                commands: received,
                counters: counters.clone(),
                events: events.clone(),
                bridges: Vec::new(),
                ptime,
            };
            let thread =
                std::thread::Builder::new().name(format!("media-{number}")).spawn(move || lane.run())?;
            lanes.push(Lane { commands, counters, thread: Some(thread) });
        }
        Ok(Self { lanes, ids: AtomicU64::new(1), ptime_ms: config.ptime_ms.clamp(5, 100) })
    }

    /// A new bridge that mixes at `sample_rate` Hz, on the thread with the fewest.
    pub fn bridge(&self, sample_rate: u32) -> Result<BridgeHandle, UsageError> {
        let lane = self
            .lanes
            .iter()
            .min_by_key(|lane| lane.counters.bridges.load(Ordering::Relaxed))
            .ok_or(UsageError::EngineGone)?;
        lane.counters.bridges.fetch_add(1, Ordering::Relaxed);
        let id = BridgeId(self.ids.fetch_add(1, Ordering::Relaxed));
        let config = BridgeConfig { sample_rate, ptime_ms: self.ptime_ms };
        let handle = BridgeHandle {
            shared: Arc::new(HandleShared { id, commands: lane.commands.clone(), ports: AtomicU64::new(1) }),
        };
        handle.send(Command::AddBridge(id, config))?;
        Ok(handle)
    }

    /// How well the deadlines are kept, all threads together.
    pub fn stats(&self) -> EngineStats {
        self.meter().stats()
    }

    /// The same for others to read, also when the engine has ended.
    pub fn meter(&self) -> EngineMeter {
        EngineMeter { lanes: self.lanes.iter().map(|lane| lane.counters.clone()).collect() }
    }
}

/// Shows how well an engine keeps its deadlines.
#[derive(Debug, Clone)]
pub struct EngineMeter {
    lanes: Vec<Arc<Counters>>,
}

impl EngineMeter {
    /// All threads together.
    pub fn stats(&self) -> EngineStats {
        let mut stats = EngineStats::default();
        let mut wakes = [0u64; 80];
        for counters in &self.lanes {
            let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
            stats.ticks += read(&counters.ticks);
            stats.overruns += read(&counters.overruns);
            stats.busy += Duration::from_nanos(read(&counters.busy_ns));
            stats.worst_wake = stats.worst_wake.max(Duration::from_nanos(read(&counters.worst_wake_ns)));
            stats.worst_tick = stats.worst_tick.max(Duration::from_nanos(read(&counters.worst_tick_ns)));
            for (sum, count) in wakes.iter_mut().zip(&counters.wakes.counts) {
                *sum += read(count);
            }
        }
        let all: u64 = wakes.iter().sum();
        let mut below = 0;
        let bucket = wakes.iter().position(|count| {
            below += count;
            below * 100 >= all * 99
        });
        stats.wake_p99 = if all == 0 { Duration::ZERO } else { Histogram::end(bucket.unwrap_or(79)) };
        stats
    }
}

impl Drop for MediaEngine {
    fn drop(&mut self) {
        for lane in &mut self.lanes {
            // A thread ends when nobody can command it; handles may outlive the engine.
            let (closed, _) = channel();
            lane.commands = closed;
            lane.counters.bridges.store(u64::MAX, Ordering::Relaxed);
            if let Some(thread) = lane.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

#[derive(Debug)]
struct HandleShared {
    id: BridgeId,
    commands: Sender<Command>,
    ports: AtomicU64,
}

impl Drop for HandleShared {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::RemoveBridge(self.id));
    }
}

/// Commands one bridge from any thread; nothing here blocks. Clones share the bridge, which
/// ends with the last of them.
#[derive(Debug, Clone)]
pub struct BridgeHandle {
    shared: Arc<HandleShared>,
}

/// A port that was added, with its levels.
#[derive(Debug, Clone)]
pub struct PortHandle {
    /// Its name in the bridge.
    pub id: PortId,
    /// Its levels, readable at any time.
    pub meters: PortMeters,
}

impl BridgeHandle {
    /// The bridge's name in events.
    pub fn id(&self) -> BridgeId {
        self.shared.id
    }

    /// Adds a port.
    pub fn add_port(&self, port: impl Port + 'static) -> Result<PortHandle, UsageError> {
        let id = PortId(self.shared.ports.fetch_add(1, Ordering::Relaxed));
        let meters = PortMeters::default();
        self.send(Command::AddPort(self.shared.id, id, Box::new(port), meters.clone()))?;
        Ok(PortHandle { id, meters })
    }

    /// Takes a port out with its connections; it is dropped on the media thread.
    pub fn remove_port(&self, id: PortId) -> Result<(), UsageError> {
        self.send(Command::RemovePort(self.shared.id, id))
    }

    /// `to` hears `from`, by so many dB louder or softer.
    pub fn connect(&self, from: PortId, to: PortId, gain_db: f32) -> Result<(), UsageError> {
        self.send(Command::Connect(self.shared.id, from, to, gain_db))
    }

    /// Connects both ways without change of level.
    pub fn connect_both(&self, one: PortId, other: PortId) -> Result<(), UsageError> {
        self.connect(one, other, 0.0)?;
        self.connect(other, one, 0.0)
    }

    /// `to` no longer hears `from`.
    pub fn disconnect(&self, from: PortId, to: PortId) -> Result<(), UsageError> {
        self.send(Command::Disconnect(self.shared.id, from, to))
    }

    fn send(&self, command: Command) -> Result<(), UsageError> {
        self.shared.commands.send(command).map_err(|_| UsageError::EngineGone)
    }
}

struct Worker {
    commands: Receiver<Command>,
    counters: Arc<Counters>,
    events: EventSink,
    bridges: Vec<(BridgeId, Bridge)>,
    ptime: Duration,
}

impl Worker {
    fn run(mut self) {
        let mut place = Punctuality::claim();
        let mut deadline = Instant::now();
        while self.obey() {
            let began = Instant::now();
            let late = began.saturating_duration_since(deadline);
            let events = &self.events;
            let before = self.bridges.len();
            self.bridges.retain_mut(|(id, bridge)| goes_on(*id, bridge, events));
            self.counters.fewer_bridges(before - self.bridges.len());
            let ended = Instant::now();
            let took = ended.saturating_duration_since(began);
            self.count(late, took);
            place.ticked(took, self.ptime);
            deadline += self.ptime;
            if ended > deadline + Duration::from_millis(200) {
                // The machine slept: catching up would only flood the network.
                deadline = ended;
            }
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Applies what was commanded since the last tick; false when the engine is gone.
    fn obey(&mut self) -> bool {
        loop {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) => return self.counters.bridges.load(Ordering::Relaxed) != u64::MAX,
                Err(TryRecvError::Disconnected) => return false,
            };
            if let Err(error) = self.apply(command) {
                // A port may have been removed by the time a connection is made.
                tracing::debug!(%error, "command for a port that is gone");
            }
        }
    }

    fn apply(&mut self, command: Command) -> Result<(), UsageError> {
        match command {
            Command::AddBridge(id, config) => {
                self.bridges.push((id, Bridge::new(config)));
                Ok(())
            }
            Command::RemoveBridge(id) => {
                let before = self.bridges.len();
                self.bridges.retain(|(other, _)| *other != id);
                self.counters.fewer_bridges(before - self.bridges.len());
                Ok(())
            }
            Command::AddPort(bridge, id, port, meters) => {
                self.bridge(bridge)?.insert(id, port, meters);
                Ok(())
            }
            Command::RemovePort(bridge, id) => self.bridge(bridge)?.remove_port(id).map(drop),
            Command::Connect(bridge, from, to, gain) => self.bridge(bridge)?.connect(from, to, gain),
            Command::Disconnect(bridge, from, to) => self.bridge(bridge)?.disconnect(from, to),
        }
    }

    fn bridge(&mut self, id: BridgeId) -> Result<&mut Bridge, UsageError> {
        let found = self.bridges.iter_mut().find(|(other, _)| *other == id);
        found.map(|(_, bridge)| bridge).ok_or(UsageError::EngineGone)
    }

    fn count(&self, late: Duration, took: Duration) {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counters.wakes.note(late);
        self.counters.ticks.fetch_add(1, Ordering::Relaxed);
        self.counters.busy_ns.fetch_add(nanos(took), Ordering::Relaxed);
        self.counters.worst_tick_ns.fetch_max(nanos(took), Ordering::Relaxed);
        self.counters.worst_wake_ns.fetch_max(nanos(late), Ordering::Relaxed);
        if late > self.ptime {
            self.counters.overruns.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ticks a bridge. One in which something panics, an application's port perhaps, is silent from then on; the others of
/// the thread do not notice.
fn goes_on(id: BridgeId, bridge: &mut Bridge, events: &EventSink) -> bool {
    let tick = AssertUnwindSafe(|| {
        bridge.tick();
        bridge.take_events(|port, event| events(Event { bridge: id, port, event }));
    });
    let whole = catch_unwind(tick).is_ok();
    if !whole {
        tracing::error!(?id, "a port panicked: its bridge is given up");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::{Clip, Repeat, WavPlayer};

    #[test]
    fn a_player_finishes_and_the_event_names_it() {
        let (tell, told) = channel();
        let sink: EventSink = Arc::new(move |event| {
            let _ = tell.send(event);
        });
        let engine =
            MediaEngine::start(EngineConfig { threads: 2, ptime_ms: 10 }, sink).expect("threads start");
        let bridge = engine.bridge(16_000).expect("engine runs");
        let other = engine.bridge(8_000).expect("engine runs");
        assert_ne!(bridge.id(), other.id());
        let (player, _) = WavPlayer::new(Clip::from_samples(vec![100i16; 800], 16_000), Repeat::Once);
        let port = bridge.add_port(player).expect("engine runs");
        let event = told.recv_timeout(Duration::from_secs(10)).expect("50 ms of audio end");
        assert_eq!(event, Event { bridge: bridge.id(), port: port.id, event: PortEvent::Finished });
        let stats = engine.stats();
        assert!(stats.ticks > 0 && stats.wake_p99 > Duration::ZERO);
        assert!(stats.wake_p99 <= stats.worst_wake * 5 / 4 + Duration::from_micros(2), "{stats:?}");
        drop(engine);
        assert_eq!(bridge.add_port(crate::device::null_device(8_000)).err(), Some(UsageError::EngineGone));
    }

    struct Broken;

    impl Port for Broken {
        fn sample_rate(&self) -> u32 {
            8_000
        }

        fn prepare(&mut self) {
            panic!("a port that is broken on purpose");
        }
    }

    #[test]
    fn a_port_that_panics_ends_its_own_bridge_alone() {
        let (tell, told) = channel();
        let sink: EventSink = Arc::new(move |event| {
            let _ = tell.send(event);
        });
        let engine = MediaEngine::start(EngineConfig::default(), sink).expect("a thread starts");
        let (broken, fine) =
            (engine.bridge(8_000).expect("engine runs"), engine.bridge(8_000).expect("engine runs"));
        let _port = broken.add_port(Broken).expect("engine runs");
        // It plays after the other has panicked, and ends as ever.
        let (player, _) = WavPlayer::new(Clip::from_samples(vec![100i16; 800], 8_000), Repeat::Once);
        let port = fine.add_port(player).expect("engine runs");
        let event = told.recv_timeout(Duration::from_secs(10)).expect("the other bridge goes on");
        assert_eq!(event, Event { bridge: fine.id(), port: port.id, event: PortEvent::Finished });
        // It no longer counts where new bridges are spread over the threads, and is not counted off again.
        let count = || engine.lanes[0].counters.bridges.load(Ordering::Relaxed);
        assert_eq!(count(), 1);
        drop(broken);
        let next = engine.bridge(8_000).expect("engine runs");
        let (player, _) = WavPlayer::new(Clip::from_samples(vec![100i16; 800], 8_000), Repeat::Once);
        let _port = next.add_port(player).expect("engine runs");
        let event = told.recv_timeout(Duration::from_secs(10)).expect("the thread obeys");
        assert_eq!((event.bridge, count()), (next.id(), 2));
    }

    #[test]
    fn buckets_hold_what_they_say() {
        let mut before = Duration::ZERO;
        for bucket in 0..72 {
            let end = Histogram::end(bucket);
            assert!(end > before);
            let histogram = Histogram::default();
            histogram.note(end.saturating_sub(Duration::from_micros(1)).max(Duration::from_micros(1)));
            let found = histogram.counts.iter().position(|count| count.load(Ordering::Relaxed) > 0);
            assert!(found.is_some_and(|found| found <= bucket), "{bucket}: {found:?}");
            before = end;
        }
    }
}
