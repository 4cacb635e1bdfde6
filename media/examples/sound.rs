//! The sound test bed: plays speech through seeded networks in virtual time and writes what is heard.
//!
//! `sound FOLDER` writes a WAV file for each codec, network and seed, the reference at each rate,
//! `cases.tsv` with what the receiver counted, and for each case the packets with their times of
//! arrival (`.packets`), so that another program can be given the very same network. `./dev sound`
//! scores them.

#![allow(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]

use std::collections::BinaryHeap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use media::bridge::{Bridge, BridgeConfig};
use media::codec::{self, CodecParams};
use media::pcm::pcm_port;
use media::wav::{Clip, Repeat, WavPlayer};
use media::{EncodedFrame, StreamConfig, StreamFormat, StreamPort, assets};

const SEEDS: u64 = 3;
const TICK_US: u64 = 20_000;
/// Reports of loss come so often, in ticks.
const REPORT: u64 = 250;

/// A network as the packets see it.
#[derive(Clone, Copy, Default)]
struct Network {
    /// In percent.
    loss: f64,
    /// Packets of a mean burst of losses; 0 and 1 are random loss.
    burst: f64,
    /// Delays are spread evenly over so many milliseconds.
    jitter_ms: f64,
    /// Percent of packets that are held back by 50 ms, and that come twice.
    reorder: f64,
    duplicate: f64,
    /// The receiver's clock against the sender's.
    drift_ppm: f64,
}

fn networks() -> Vec<(String, Network)> {
    let mut all = vec![("clean".to_owned(), Network::default())];
    for loss in [1.0, 3.0, 5.0, 10.0, 20.0] {
        all.push((format!("loss-{loss}"), Network { loss, ..Network::default() }));
    }
    for loss in [1.0, 3.0, 5.0, 10.0, 20.0] {
        all.push((format!("burst-{loss}"), Network { loss, burst: 3.0, ..Network::default() }));
    }
    for jitter_ms in [20.0, 60.0, 100.0] {
        all.push((format!("jitter-{jitter_ms}"), Network { jitter_ms, ..Network::default() }));
    }
    all.push(("reorder-5".to_owned(), Network { reorder: 5.0, ..Network::default() }));
    for drift_ppm in [-100.0, 100.0] {
        all.push((format!("drift{drift_ppm:+}"), Network { drift_ppm, ..Network::default() }));
    }
    let hard =
        Network { loss: 10.0, burst: 3.0, jitter_ms: 100.0, reorder: 5.0, duplicate: 5.0, drift_ppm: 0.0 };
    all.push(("hard".to_owned(), hard));
    all
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn chance(&mut self, percent: f64) -> bool {
        self.next() * 100.0 < percent
    }
}

/// The state of one network: times of arrival for each packet.
struct Line {
    network: Network,
    random: Random,
    losing: bool,
}

impl Line {
    fn arrivals(&mut self, sent_us: u64) -> Vec<u64> {
        let Network { loss, burst, jitter_ms, reorder, duplicate, .. } = self.network;
        // Gilbert's model: leaving the lossy state has the chance 1/burst, entering it what gives the loss.
        let lost = if burst > 1.0 {
            let enter = 100.0 * loss / (burst * (100.0 - loss));
            self.losing =
                if self.losing { !self.random.chance(100.0 / burst) } else { self.random.chance(enter) };
            self.losing
        } else {
            self.random.chance(loss)
        };
        let mut delay = 5_000.0 + self.random.next() * jitter_ms * 1_000.0;
        if self.random.chance(reorder) {
            delay += 50_000.0;
        }
        let twice = self.random.chance(duplicate);
        if lost {
            return Vec::new();
        }
        let at = sent_us + delay as u64;
        if twice { vec![at, at + 3_000] } else { vec![at] }
    }
}

struct Sent {
    payload_type: u8,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

struct Outcome {
    heard: Vec<i16>,
    packets: Vec<u8>,
    line: String,
}

fn run(
    info: &codec::CodecInfo,
    rate: u32,
    clip: &Clip,
    network: Network,
    seed: u64,
) -> Result<Outcome, Box<dyn Error>> {
    let params = CodecParams { sample_rate: Some(rate), expected_loss: 0, ..CodecParams::default() };
    let format = || StreamFormat::symmetric(info, &params, info.static_payload_type.unwrap_or(96));
    let (wire, sent) = channel();
    let sink = move |frame: EncodedFrame<'_>| {
        let EncodedFrame { payload_type, timestamp, marker, .. } = frame;
        let _ = wire.send(Sent { payload_type, timestamp, marker, payload: frame.payload.to_vec() });
    };
    let (speaking, speaker, _) = StreamPort::new(StreamConfig::default(), format()?, Box::new(sink));
    let nowhere = Box::new(|_: EncodedFrame<'_>| {});
    let (hearing, hearer, mut source) = StreamPort::new(StreamConfig::default(), format()?, nowhere);
    speaker.set_sending(true);
    hearer.set_receiving(true);
    let config = BridgeConfig { sample_rate: rate, ptime_ms: 20 };
    let (mut near, mut far) = (Bridge::new(config), Bridge::new(config));
    let (player, _) = WavPlayer::new(clip.clone(), Repeat::Once);
    let player = near.add_port(Box::new(player));
    let speaking = near.add_port(Box::new(speaking));
    near.connect(player, speaking, 0.0)?;
    let hearing = far.add_port(Box::new(hearing));
    let (application, _, mut ear) = pcm_port(rate, 1_000);
    let application = far.add_port(Box::new(application));
    far.connect(hearing, application, 0.0)?;

    let start = Instant::now();
    let mut path = Line { network, random: Random(seed), losing: false };
    let mut waiting: BinaryHeap<std::cmp::Reverse<(u64, u64, usize)>> = BinaryHeap::new();
    let (mut all, mut packets, mut heard) = (Vec::<Sent>::new(), Vec::new(), Vec::new());
    let (mut sender_tick, mut report) = (0u64, (0u64, 0u64));
    let (mut delays, mut worst) = (0.0, Duration::ZERO);
    let ticks = (clip.samples().len() as u64 * 50 / u64::from(rate)) + 25;
    for tick in 0..ticks {
        let now = 7_000 + (tick as f64 * TICK_US as f64 * (1.0 + network.drift_ppm * 1e-6)) as u64;
        while sender_tick * TICK_US <= now {
            near.tick();
            for packet in sent.try_iter() {
                for at in path.arrivals(sender_tick * TICK_US) {
                    waiting.push(std::cmp::Reverse((at, packets.len() as u64, all.len())));
                }
                all.push(packet);
            }
            sender_tick += 1;
        }
        while let Some(std::cmp::Reverse((at, _, index))) =
            waiting.peek().copied().filter(|next| next.0.0 <= now)
        {
            waiting.pop();
            let Some(packet) = all.get(index) else { continue };
            let arrival = start + Duration::from_micros(at);
            source.push(index as u64, packet.timestamp, packet.payload_type, &packet.payload, arrival);
            write_packet(&mut packets, at, index, packet);
        }
        far.tick();
        let mut block = vec![0; ear.available()];
        ear.read(&mut block);
        heard.extend_from_slice(&block);
        let stats = hearer.stats();
        delays += stats.delay.as_secs_f64() * 1_000.0;
        worst = worst.max(stats.delay);
        if tick % REPORT == REPORT - 1 {
            // What RTCP would tell: expected and received since the last report (RFC 3550 §6.4.1).
            let (expected, received) = (all.len() as u64, stats.received - stats.duplicate);
            let (expect, got) = (expected - report.0, received - report.1);
            report = (expected, received);
            let percent = 100 * expect.saturating_sub(got) / expect.max(1);
            speaker.set_expected_loss(u8::try_from(percent).unwrap_or(100));
        }
    }
    let stats = hearer.stats();
    let line = format!(
        "{:.0}\t{}\t{}\t{}\t{}\t{}\t{}",
        delays / ticks as f64,
        worst.as_millis(),
        stats.concealed,
        stats.recovered,
        stats.late,
        stats.shortened,
        stats.stretched
    );
    Ok(Outcome { heard, packets, line })
}

/// Time of arrival in µs and length, little endian, and the RTP packet.
fn write_packet(out: &mut Vec<u8>, at: u64, index: usize, packet: &Sent) {
    let length = u16::try_from(12 + packet.payload.len()).unwrap_or(u16::MAX);
    out.extend(at.to_le_bytes().into_iter().chain(length.to_le_bytes()));
    out.extend([0x80, packet.payload_type | u8::from(packet.marker) << 7]);
    out.extend((index as u16).to_be_bytes());
    out.extend(packet.timestamp.to_be_bytes());
    out.extend(0x5EED_u32.to_be_bytes());
    out.extend_from_slice(&packet.payload);
}

/// A mono WAV file of 16 bits.
fn write_wav(path: &Path, rate: u32, pcm: &[i16]) -> std::io::Result<()> {
    let length = u32::try_from(pcm.len() * 2).unwrap_or(u32::MAX);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes().into_iter().chain((rate * 2).to_le_bytes()));
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, file)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: sound FOLDER [NETWORK]")?;
    let only = arguments.next().unwrap_or_default();
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut table =
        String::from("case\trate\tdelay_ms\tworst_ms\tconcealed\trecovered\tlate\tshortened\tstretched\n");
    for (name, clock, rate) in [("PCMU", 8_000, 8_000), ("G722", 8_000, 16_000), ("opus", 48_000, 16_000)] {
        let Some(info) = codec::find(name, clock) else { continue };
        let mut speech = Vec::new();
        for clip in [assets::ALICE, assets::BOB] {
            speech.extend_from_slice(Clip::from_bytes(clip)?.at_rate(rate).samples());
        }
        write_wav(&folder.join(format!("reference-{rate}.wav")), rate, &speech)?;
        let clip = Clip::from_samples(speech, rate);
        for (network_name, network) in networks().into_iter().filter(|(name, _)| name.contains(&only)) {
            for seed in 0..SEEDS {
                let case = format!("{name}.{network_name}.{seed}");
                let outcome = run(info, rate, &clip, network, seed * 7_919 + 17)?;
                write_wav(&folder.join(format!("{case}.wav")), rate, &outcome.heard)?;
                std::fs::write(folder.join(format!("{case}.packets")), &outcome.packets)?;
                writeln!(table, "{case}\t{rate}\t{}", outcome.line)?;
            }
        }
    }
    std::fs::write(folder.join("cases.tsv"), table)?;
    Ok(())
}
