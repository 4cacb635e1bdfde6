use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::*;
use crate::analysis;
use crate::bridge::{Bridge, BridgeConfig, PortId};
use crate::codec::{self, CodecParams};
use crate::pcm::{PcmReader, pcm_port};
use crate::wav::{Clip, Repeat, WavPlayer};

#[derive(Debug, Clone, PartialEq)]
struct Sent {
    payload_type: u8,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

type Ends = (StreamPort, StreamHandle, PacketSource, Receiver<Sent>);

fn stream(name: &str, clock: u32, payload_type: u8) -> Ends {
    configured(StreamConfig::default(), name, clock, payload_type)
}

fn configured(config: StreamConfig, name: &str, clock: u32, payload_type: u8) -> Ends {
    let (wire, sent) = channel();
    let sink = move |frame: EncodedFrame<'_>| {
        let _ = wire.send(Sent {
            payload_type: frame.payload_type,
            timestamp: frame.timestamp,
            marker: frame.marker,
            payload: frame.payload.to_vec(),
        });
    };
    let info = codec::find(name, clock).expect("built in");
    let format = StreamFormat::symmetric(info, &CodecParams::default(), payload_type).expect("builds");
    let (port, handle, source) = StreamPort::new(config, format, Box::new(sink));
    (port, handle, source, sent)
}

/// One side speaks through a network made of a function from packet number to arrivals in ms.
struct Line {
    bridge: Bridge,
    sent: Receiver<Sent>,
    source: PacketSource,
    ear: PcmReader,
    speaker: StreamHandle,
    hearer: StreamHandle,
    waiting: Vec<(u64, u64, Sent)>,
    sequence: u64,
    tick: u64,
    start: Instant,
    speaking: PortId,
}

impl Line {
    fn new(name: &str, clock: u32, clip: &Clip) -> Self {
        Self::with(StreamConfig::default(), name, clock, clip)
    }

    #[expect(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]
    fn with(config: StreamConfig, name: &str, clock: u32, clip: &Clip) -> Self {
        let (speaking, speaker, _, sent) = stream(name, clock, 96);
        let (hearing, hearer, source, _) = configured(config, name, clock, 96);
        speaker.set_sending(true);
        hearer.set_receiving(true);
        let mut bridge = Bridge::new(BridgeConfig::default());
        let (player, _) = WavPlayer::new(clip.clone(), Repeat::Once);
        let (application, _, ear) = pcm_port(16_000, 60_000);
        let player = bridge.add_port(Box::new(player));
        let speaking = bridge.add_port(Box::new(speaking));
        let hearing = bridge.add_port(Box::new(hearing));
        let application = bridge.add_port(Box::new(application));
        bridge.connect(player, speaking, 0.0).expect("both are there");
        bridge.connect(hearing, application, 0.0).expect("both are there");
        Self {
            bridge,
            sent,
            source,
            ear,
            speaker,
            hearer,
            waiting: Vec::new(),
            sequence: 0,
            tick: 0,
            start: Instant::now(),
            speaking,
        }
    }

    fn run(&mut self, ticks: u64, network: impl Fn(u64) -> Vec<u64>) -> Vec<i16> {
        for _ in 0..ticks {
            let now = self.tick * 20;
            for (_, sequence, packet) in self.waiting.extract_if(.., |(at, ..)| *at <= now) {
                let arrival = self.start + Duration::from_millis(now);
                self.source.push(sequence, packet.timestamp, packet.payload_type, &packet.payload, arrival);
            }
            self.bridge.tick();
            for packet in self.sent.try_iter() {
                for delay in network(self.sequence) {
                    self.waiting.push((now + delay, self.sequence, packet.clone()));
                }
                self.sequence += 1;
            }
            self.tick += 1;
        }
        let mut heard = vec![0; self.ear.available()];
        self.ear.read(&mut heard);
        heard
    }
}

fn random(n: u64) -> u64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 31)
}

fn clip() -> Clip {
    Clip::from_bytes(crate::assets::ALICE).expect("our own file")
}

fn likeness(clip: &Clip, heard: &[i16]) -> f64 {
    analysis::correlate(clip.samples(), heard, 16_000).1
}

#[test]
fn speech_arrives_in_every_codec() {
    for info in codec::available() {
        let clip = clip();
        // The delay does not change, so that all that is heard is like all that was said.
        let config = StreamConfig { start_delay: Duration::ZERO, ..StreamConfig::default() };
        let mut line = Line::with(config, info.name, info.clock_rate, &clip);
        let heard = line.run(420, |_| vec![0]);
        let found = likeness(&clip, &heard);
        // Opus filters speech for the ear: its phase differs.
        assert!(found > if info.name == "opus" { 0.93 } else { 0.97 }, "{}: {found}", info.name);
        let stats = line.hearer.stats();
        assert!(stats.delay <= Duration::from_millis(60), "{}: {stats:?}", info.name);
        assert_eq!((stats.late, stats.unknown, stats.undecodable, stats.dropped), (0, 0, 0, 0));
    }
}

#[test]
fn speech_survives_a_bad_network() {
    let network = |n: u64| {
        let r = random(n);
        match r % 100 {
            0..5 => vec![],                                  // lost
            5..10 => vec![(r >> 8) % 60, (r >> 8) % 60 + 1], // twice
            10..15 => vec![(r >> 8) % 60 + 40],              // overtaken
            _ => vec![(r >> 8) % 60],
        }
    };
    for (name, clock) in [("PCMU", 8_000), ("G722", 8_000)] {
        let clip = clip();
        let mut line = Line::new(name, clock, &clip);
        let heard = line.run(460, network);
        let stats = line.hearer.stats();
        assert!(stats.concealed > 10 && stats.duplicate > 5 && stats.reordered > 5, "{stats:?}");
        assert!(stats.delay < Duration::from_millis(200), "{stats:?}");
        // Silence of more than 60 ms where the speaker spoke would be a gap; the loudest part of each 100 ms must remain.
        let loud = |pcm: &[i16]| pcm.chunks(1_600).filter(|block| analysis::rms(block) > 300.0).count();
        let (said, got) = (loud(clip.samples()), loud(&heard));
        assert!(got + 4 >= said, "{name}: {got} loud blocks of {said}");
    }
}

#[test]
fn what_is_overtaken_is_heard_in_time() {
    let clip = clip();
    for held_back in [50, 70] {
        let mut line = Line::new("PCMU", 8_000, &clip);
        line.run(420, |n| vec![if random(n).is_multiple_of(20) { held_back } else { 0 }]);
        let stats = line.hearer.stats();
        assert!(stats.reordered > 10, "{held_back}: {stats:?}");
        assert_eq!((stats.late, stats.concealed, stats.stretched), (0, 0, 0), "{held_back}: {stats:?}");
        assert!(stats.delay <= Duration::from_millis(held_back + 40), "{held_back}: {stats:?}");
    }
}

#[cfg(feature = "opus")]
#[test]
fn redundancy_is_waited_for() {
    let clip = Clip::from_samples(clip().samples().repeat(3), 16_000);
    let mut line = Line::new("opus", 48_000, &clip);
    let network = |n: u64| if random(n).is_multiple_of(10) { vec![] } else { vec![0] };
    line.speaker.set_expected_loss(10);
    line.run(250, network);
    let before = line.hearer.stats();
    line.run(500, network);
    let after = line.hearer.stats();
    let (recovered, concealed) = (after.recovered - before.recovered, after.concealed - before.concealed);
    assert!(recovered > concealed, "{recovered} and {concealed}: {after:?}");
    assert!(after.delay <= Duration::from_millis(80), "{after:?}");
}

#[test]
fn delay_comes_back_after_a_storm() {
    let clip = Clip::from_samples(clip().samples().repeat(4), 16_000);
    let mut line = Line::new("PCMA", 8_000, &clip);
    line.run(150, |_| vec![10]);
    line.run(250, |n| vec![random(n) % 150]);
    let stormy = line.hearer.stats();
    assert!(stormy.target >= Duration::from_millis(100), "{stormy:?}");
    line.run(900, |_| vec![10]);
    let calm = line.hearer.stats();
    assert!(calm.target <= Duration::from_millis(40), "{calm:?}");
    assert!(calm.delay <= Duration::from_millis(90), "{calm:?}");
    assert!(calm.shortened > 0);
}

#[test]
fn timestamps_go_on_over_hold_and_renegotiation() {
    let (port, mut handle, _, sent) = stream("PCMU", 8_000, 0);
    let mut bridge = Bridge::new(BridgeConfig::default());
    bridge.add_port(Box::new(port));
    bridge.tick();
    assert!(sent.try_recv().is_err(), "silent until told to send");
    handle.set_sending(true);
    bridge.tick();
    bridge.tick();
    let frames: Vec<Sent> = sent.try_iter().collect();
    assert_eq!(
        frames.iter().map(|f| (f.timestamp, f.marker)).collect::<Vec<_>>(),
        [(160, true), (320, false)]
    );
    handle.set_sending(false);
    for _ in 0..10 {
        bridge.tick();
    }
    assert!(sent.try_recv().is_err(), "hold");
    let l16 = codec::find("L16", 16_000).expect("built in");
    handle
        .set_format(StreamFormat::symmetric(l16, &CodecParams::default(), 101).expect("builds"))
        .expect("one command");
    handle.set_sending(true);
    bridge.tick();
    let frame = sent.try_recv().expect("sends again");
    assert_eq!((frame.payload_type, frame.marker, frame.payload.len()), (101, true, 640));
    assert_eq!(frame.timestamp, 160 * 13);
    bridge.tick();
    assert_eq!(sent.try_recv().map(|f| f.timestamp), Ok(160 * 13 + 320), "the new clock counts from there");
}

#[test]
fn packet_time_is_the_formats() {
    for (ptime, per_second) in [(10, 100), (20, 50), (30, 33), (60, 16)] {
        let info = codec::find("PCMA", 8_000).expect("built in");
        let params = CodecParams::default();
        let outgoing = Outgoing::new(info, &params, 8, ptime).expect("builds");
        let format = StreamFormat::new(outgoing, vec![]);
        let (wire, sent) = channel();
        let sink = move |frame: EncodedFrame<'_>| {
            let _ = wire.send(frame.payload.len());
        };
        let (port, handle, _) = StreamPort::new(StreamConfig::default(), format, Box::new(sink));
        handle.set_sending(true);
        let mut bridge = Bridge::new(BridgeConfig::default());
        bridge.add_port(Box::new(port));
        for _ in 0..50 {
            bridge.tick();
        }
        let frames: Vec<usize> = sent.try_iter().collect();
        assert!(frames.len().abs_diff(per_second) <= 1, "{ptime} ms: {}", frames.len());
        assert!(frames.iter().all(|length| *length == 8 * ptime as usize));
    }
}

#[test]
fn foreign_payload_types_are_counted_and_not_played() {
    let clip = clip();
    let mut line = Line::new("PCMU", 8_000, &clip);
    line.source.push(0, 0, 77, &[0; 160], line.start);
    let heard = line.run(10, |_| vec![]);
    assert!(heard.iter().all(|sample| *sample == 0));
    assert_eq!(line.hearer.stats().received, 0);
    assert_eq!(line.speaker.stats().sent, 10);
}

#[test]
fn pauses_are_not_sent_and_sound_like_the_room() {
    let mut room = vec![0i16; 16_000 * 10];
    let mut seed = 9u32;
    for sample in &mut room {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *sample = ((seed >> 16) as i16) / 300;
    }
    for (sample, said) in room.iter_mut().zip(clip().samples()) {
        *sample = sample.saturating_add(*said);
    }
    let clip = Clip::from_samples(room, 16_000);
    for (name, clock) in [("PCMU", 8_000), ("G722", 8_000)] {
        let info = codec::find(name, clock).expect("built in");
        let format = || {
            StreamFormat::symmetric(info, &CodecParams::default(), 96)
                .expect("builds")
                .with_comfort_noise(Some(13), Some(13))
        };
        let mut line = Line::new(name, clock, &clip);
        line.speaker.set_format(format()).expect("one command");
        line.hearer.set_format(format()).expect("one command");
        let heard = line.run(490, |n| vec![random(n) % 30]);
        let stats = line.hearer.stats();
        assert!(line.speaker.stats().sent < 440, "{name}: {} packets", line.speaker.stats().sent);
        // One packet may come late before the delay has adapted.
        assert!(stats.concealed <= 2 && stats.unknown == 0, "{name}: a pause is not loss: {stats:?}");
        // The last second is a pause; what is heard of it is as loud as the room.
        let (room, noise) = (&clip.samples()[16_000 * 9..], &heard[heard.len() - 12_000..]);
        let ratio = analysis::rms(noise) / analysis::rms(room);
        assert!((0.6..1.6).contains(&ratio), "{name}: {ratio}");
        assert!(likeness(&clip, &heard) > 0.6, "{name}: speech is there");
    }
}

#[test]
fn what_comes_after_a_pause_is_marked() {
    let (port, handle, _, sent) = stream("PCMU", 8_000, 0);
    let info = codec::find("PCMU", 8_000).expect("built in");
    let mut handle = handle;
    let format = StreamFormat::symmetric(info, &CodecParams::default(), 0).expect("builds");
    handle.set_format(format.with_comfort_noise(Some(13), None)).expect("one command");
    handle.set_sending(true);
    let mut bridge = Bridge::new(BridgeConfig { sample_rate: 8_000, ptime_ms: 20 });
    let stream = bridge.add_port(Box::new(port));
    let (application, mut writer, _ear) = pcm_port(8_000, 4_000);
    let application = bridge.add_port(Box::new(application));
    bridge.connect(application, stream, 0.0).expect("both are there");
    let loud: Vec<i16> = (0..4_000).map(|i| if i % 40 < 20 { 9_000 } else { -9_000 }).collect();
    writer.write(&loud);
    writer.write(&[0; 8_000]);
    writer.write(&loud);
    for _ in 0..100 {
        bridge.tick();
    }
    let frames: Vec<Sent> = sent.try_iter().collect();
    let noise: Vec<&Sent> = frames.iter().filter(|frame| frame.payload_type == 13).collect();
    assert!((1..=4).contains(&noise.len()), "{} descriptions", noise.len());
    assert!(noise.iter().all(|frame| !frame.marker && frame.payload == [127]), "digital silence");
    let marked: Vec<u32> = frames.iter().filter(|frame| frame.marker).map(|frame| frame.timestamp).collect();
    assert_eq!(marked.len(), 2, "{marked:?}");
    assert!(marked[1].abs_diff(marked[0] + 12_000) <= 320, "{marked:?}");
}

#[test]
fn digits_in_the_audio_are_events() {
    let info = codec::find("PCMA", 8_000).expect("built in");
    let digits = crate::tone::TonePort::new(crate::tone::Tone::dtmf("159#", 80), 16_000).0;
    let clip = Clip::from_samples(vec![0; 16_000], 16_000);
    let mut line = Line::new("PCMA", 8_000, &clip);
    let format = StreamFormat::symmetric(info, &CodecParams::default(), 96).expect("builds");
    line.hearer.set_format(format.with_digits_heard()).expect("one command");
    let digits = line.bridge.add_port(Box::new(digits));
    line.bridge.connect(digits, line.speaking, 0.0).expect("both are there");
    let mut heard = String::new();
    for _ in 0..60 {
        line.run(1, |_| vec![0]);
        line.bridge.take_events(|_, event| {
            if let PortEvent::Digit(digit) = event {
                heard.push(digit);
            }
        });
    }
    assert_eq!(heard, "159#");
}
