//! A stream on the worst network it has to stand: no gap is long, and the delay comes back.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use media::bridge::{Bridge, BridgeConfig};
use media::codec::{self, CodecParams};
use media::pcm::{PcmReader, PcmWriter, pcm_port};
use media::{
    EncodedFrame, PacketSource, StreamConfig, StreamFormat, StreamHandle, StreamPort, StreamStats, analysis,
};

const RATE: u32 = 16_000;

/// Timestamp and payload.
type Sent = (u32, Vec<u8>);

struct Line {
    near: Bridge,
    far: Bridge,
    mouth: PcmWriter,
    ear: PcmReader,
    sent: Receiver<Sent>,
    source: PacketSource,
    hearer: StreamHandle,
    _speaker: StreamHandle,
    /// Microseconds of arrival and number of the packet.
    waiting: Vec<(u64, usize)>,
    packets: Vec<Sent>,
    tick: u64,
    start: Instant,
    voice: f64,
}

impl Line {
    #[expect(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]
    fn new(name: &str, clock: u32) -> Self {
        let info = codec::find(name, clock).expect("built in");
        let params = CodecParams { sample_rate: Some(RATE), ..CodecParams::default() };
        let format = || StreamFormat::symmetric(info, &params, 96).expect("builds");
        let (wire, sent) = channel();
        let sink = move |frame: EncodedFrame<'_>| {
            let _ = wire.send((frame.timestamp, frame.payload.to_vec()));
        };
        let (speaking, speaker, _) = StreamPort::new(StreamConfig::default(), format(), Box::new(sink));
        let nowhere = Box::new(|_: EncodedFrame<'_>| {});
        let (hearing, hearer, source) = StreamPort::new(StreamConfig::default(), format(), nowhere);
        speaker.set_sending(true);
        hearer.set_receiving(true);
        let (mut near, mut far) =
            (Bridge::new(BridgeConfig::default()), Bridge::new(BridgeConfig::default()));
        let (from, mouth, _) = pcm_port(RATE, 1_000);
        let (to, _, ear) = pcm_port(RATE, 1_000);
        let (from, speaking) = (near.add_port(Box::new(from)), near.add_port(Box::new(speaking)));
        near.connect(from, speaking, 0.0).expect("both are there");
        let (to, hearing) = (far.add_port(Box::new(to)), far.add_port(Box::new(hearing)));
        far.connect(hearing, to, 0.0).expect("both are there");
        Self {
            near,
            far,
            mouth,
            ear,
            sent,
            source,
            hearer,
            _speaker: speaker,
            waiting: Vec::new(),
            packets: Vec::new(),
            tick: 0,
            start: Instant::now(),
            voice: 0.0,
        }
    }

    /// A voice without a pause: a vowel whose pitch wanders from 90 to 180 Hz.
    fn speak(&mut self) {
        let pcm: Vec<i16> = (0..RATE / 50)
            .map(|i| {
                let seconds = self.tick as f64 / 50.0 + f64::from(i) / f64::from(RATE);
                let pitch = 135.0 + 45.0 * (seconds * 1.3).sin();
                self.voice += std::f64::consts::TAU * pitch / f64::from(RATE);
                let harmonics = (1..12).map(|n| (self.voice * f64::from(n)).sin() / f64::from(n));
                (harmonics.sum::<f64>() * 5_000.0) as i16
            })
            .collect();
        self.mouth.write(&pcm);
    }

    /// Goes on for so many ticks on a network that says for each packet after how many µs it arrives,
    /// any number of times; gives what was heard.
    fn run(&mut self, ticks: u64, mut network: impl FnMut() -> Vec<u64>) -> Vec<i16> {
        let mut heard = Vec::new();
        for _ in 0..ticks {
            self.speak();
            self.near.tick();
            for packet in self.sent.try_iter() {
                let number = self.packets.len();
                let arrivals = network().into_iter().map(|delay| (self.tick * 20_000 + delay, number));
                self.waiting.extend(arrivals);
                self.packets.push(packet);
            }
            let now = self.tick * 20_000 + 7_000;
            self.waiting.sort_unstable();
            for (at, number) in self.waiting.extract_if(.., |(at, _)| *at <= now) {
                let (timestamp, payload) = &self.packets[number];
                let arrival = self.start + Duration::from_micros(at);
                self.source.push(number as u64, *timestamp, 96, payload, arrival);
            }
            self.far.tick();
            let mut block = vec![0; self.ear.available()];
            self.ear.read(&mut block);
            heard.extend(block);
            self.tick += 1;
        }
        heard
    }

    fn stats(&self) -> StreamStats {
        self.hearer.stats()
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// 10 % lost in bursts of two on average, up to 100 ms of jitter, 5 % held back, 5 % twice.
fn storm(seed: u64) -> impl FnMut() -> Vec<u64> {
    let (mut random, mut losing) = (Random(seed), false);
    move || {
        losing = if losing { random.below(1_000) < 500 } else { random.below(1_000) < 56 };
        let delay = random.below(100_000) + if random.below(100) < 5 { 40_000 } else { 0 };
        let twice = random.below(100) < 5;
        match (losing, twice) {
            (true, _) => vec![],
            (false, true) => vec![delay, delay + 5_000],
            (false, false) => vec![delay],
        }
    }
}

/// The longest time without sound, in milliseconds; sound is a hundredth of the usual level.
fn longest_gap(heard: &[i16]) -> usize {
    let loud = analysis::rms(heard) / 100.0;
    let blocks = heard.chunks(RATE as usize / 1_000 * 4).map(|block| analysis::rms(block) < loud);
    let (mut longest, mut now) = (0, 0);
    for silent in blocks {
        now = if silent { now + 4 } else { 0 };
        longest = longest.max(now);
    }
    longest
}

fn codecs() -> impl Iterator<Item = (&'static str, u32)> {
    [("PCMU", 8_000), ("G722", 8_000), ("opus", 48_000)]
        .into_iter()
        .filter(|(name, clock)| codec::find(name, *clock).is_some())
}

#[test]
fn no_gap_is_longer_than_60_ms_after_concealment() {
    for (name, clock) in codecs() {
        for seed in 1..3 {
            let mut line = Line::new(name, clock);
            line.run(100, || vec![1_000]);
            let heard = line.run(1_000, storm(seed));
            let stats = line.stats();
            assert!(stats.concealed + stats.recovered > 70, "{name}: it stormed: {stats:?}");
            assert!(stats.duplicate > 25 && stats.reordered > 100, "{name}: {stats:?}");
            let gap = longest_gap(&heard);
            assert!(gap <= 60, "{name}, seed {seed}: {gap} ms without sound: {stats:?}");
        }
    }
}

#[test]
fn delay_is_back_at_its_target_within_five_seconds() {
    for (name, clock) in codecs() {
        let mut line = Line::new(name, clock);
        line.run(200, || vec![1_000]);
        let before = line.stats();
        line.run(500, storm(7));
        let stormy = line.stats();
        assert!(stormy.delay > before.delay + Duration::from_millis(50), "{name}: {stormy:?}");
        line.run(250, || vec![1_000]);
        let after = line.stats();
        let frame = Duration::from_millis(20);
        assert!(after.target <= before.target + frame, "{name}: {after:?}");
        assert!(after.delay <= after.target + 2 * frame, "{name}: {after:?}");
    }
}
