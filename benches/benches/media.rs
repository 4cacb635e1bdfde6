//! Media parts; figures are for one second of audio unless the name says otherwise.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use media::bridge::{Bridge, BridgeConfig, PortId};
use media::codec::{self, CodecParams};
use media::plc::Plc;
use media::resample::Resampler;
use media::wav::{Clip, Repeat, WavPlayer};
use media::{EncodedFrame, PacketSource, StreamConfig, StreamFormat, StreamHandle, StreamPort, assets};

fn speech(rate: u32) -> Vec<i16> {
    let clip = Clip::from_bytes(assets::ALICE).expect("our own file").at_rate(rate);
    clip.samples()[rate as usize / 2..rate as usize * 3 / 2].to_vec()
}

fn codecs(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec encode+decode, 1 s");
    for info in codec::available() {
        let params = CodecParams::default();
        let mut encoder = codec::encoder(info, &params).expect("builds");
        let mut decoder = codec::decoder(info, &params).expect("builds");
        let pcm = speech(info.sample_rate);
        let (mut payload, mut out) = (vec![0; 4_000], vec![0; codec::MAX_FRAME_SAMPLES]);
        group.bench_function(info.name, |b| {
            b.iter(|| {
                for frame in pcm.chunks_exact(info.sample_rate as usize / 50) {
                    let length = encoder.encode(black_box(frame), &mut payload).expect("20 ms");
                    if length > 0 {
                        decoder.decode(&payload[..length], &mut out).expect("our own");
                    }
                }
            });
        });
    }
    group.finish();
}

fn resampling(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample up+down, 1 s");
    for (low, high) in [(8_000u32, 16_000u32), (16_000, 48_000)] {
        let pcm = speech(low);
        let (mut up, mut down) = (Resampler::new(low, high), Resampler::new(high, low));
        let (mut wide, mut narrow) = (vec![0; high as usize / 50 + 8], vec![0; low as usize / 50 + 8]);
        group.bench_function(format!("{low}-{high}"), |b| {
            b.iter(|| {
                for frame in pcm.chunks_exact(low as usize / 50) {
                    let written = up.process(black_box(frame), &mut wide);
                    down.process(&wide[..written], &mut narrow);
                }
            });
        });
    }
    group.finish();
}

fn concealment(c: &mut Criterion) {
    let mut group = c.benchmark_group("concealment at 10 % loss, 1 s");
    for rate in [8_000u32, 16_000] {
        let pcm = speech(rate);
        let mut plc = Plc::new(rate);
        group.bench_function(format!("{rate}"), |b| {
            let mut frame = vec![0; rate as usize / 50];
            b.iter(|| {
                for (n, block) in pcm.chunks_exact(frame.len()).enumerate() {
                    frame.copy_from_slice(block);
                    if n % 10 == 9 { plc.conceal(&mut frame) } else { plc.good(&mut frame) }
                }
                black_box(&frame);
            });
        });
    }
    group.finish();
}

fn bridges(c: &mut Criterion) {
    let mut group = c.benchmark_group("bridge, everybody hears everybody, 1 s at 8 kHz");
    for parties in [1usize, 2, 4, 16, 128, 512] {
        let mut bridge = Bridge::new(BridgeConfig { sample_rate: 8_000, ptime_ms: 20 });
        let clip = Clip::from_samples(speech(8_000), 8_000);
        let ids: Vec<PortId> = (0..parties)
            .map(|_| {
                let (port, writer, _reader) = media::pcm::pcm_port(8_000, 40);
                drop(writer);
                let (player, _) = WavPlayer::new(clip.clone(), Repeat::Forever(Duration::ZERO));
                bridge.add_port(Box::new(Both(port, player)))
            })
            .collect();
        for from in &ids {
            for to in &ids {
                bridge.connect(*from, *to, 0.0).expect("both are there");
            }
        }
        group.bench_function(format!("{parties}"), |b| {
            b.iter(|| {
                for _ in 0..50 {
                    bridge.tick();
                }
            });
        });
    }
    group.finish();
}

/// Speaks like a player, hears like an application.
struct Both(media::pcm::PcmPort, WavPlayer);

impl media::Port for Both {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    fn pull(&mut self, out: &mut [i16]) -> media::Signal {
        self.1.pull(out)
    }

    fn push(&mut self, pcm: &[i16], _signal: media::Signal) {
        black_box((&self.0, pcm));
    }
}

/// The last frame of a stream.
#[derive(Default)]
struct Mail {
    payload: Vec<u8>,
    timestamp: u32,
    fresh: bool,
}

struct Leg {
    source: PacketSource,
    mail: Arc<Mutex<Mail>>,
    _handle: StreamHandle,
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("100 calls through bridges of two, 1 s");
    group.sample_size(20);
    for name in ["PCMU", "G722", "opus"] {
        let Some(info) = codec::available().iter().find(|info| info.name == name) else { continue };
        let rate = info.sample_rate.min(16_000);
        let params = CodecParams { sample_rate: Some(rate), ..CodecParams::default() };
        let clip = Clip::from_samples(speech(rate), rate);
        let mut bridges: Vec<(Bridge, Leg)> = (0..100)
            .map(|_| {
                let mut bridge = Bridge::new(BridgeConfig { sample_rate: rate, ptime_ms: 20 });
                let (player, _) = WavPlayer::new(clip.clone(), Repeat::Forever(Duration::ZERO));
                let player = bridge.add_port(Box::new(player));
                let mail = Arc::new(Mutex::new(Mail::default()));
                let to = mail.clone();
                let sink = move |frame: EncodedFrame<'_>| {
                    let mut mail = to.lock().expect("one thread");
                    mail.payload.clear();
                    mail.payload.extend_from_slice(frame.payload);
                    (mail.timestamp, mail.fresh) = (frame.timestamp, true);
                };
                let format = StreamFormat::symmetric(info, &params, 96).expect("builds");
                let (port, handle, source) = StreamPort::new(StreamConfig::default(), format, Box::new(sink));
                handle.set_sending(true);
                handle.set_receiving(true);
                let stream = bridge.add_port(Box::new(port));
                bridge.connect(player, stream, 0.0).expect("both are there");
                let speaker = bridge.add_port(Box::new(media::device::null_device(rate)));
                bridge.connect(stream, speaker, 0.0).expect("both are there");
                (bridge, Leg { source, mail, _handle: handle })
            })
            .collect();
        #[expect(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]
        let start = Instant::now();
        let mut tick = 0u64;
        group.bench_function(name, |b| {
            b.iter(|| {
                for _ in 0..50 {
                    for (bridge, leg) in &mut bridges {
                        bridge.tick();
                        let mut mail = leg.mail.lock().expect("one thread");
                        if std::mem::take(&mut mail.fresh) {
                            let now = start + Duration::from_millis(20 * tick);
                            leg.source.push(tick, mail.timestamp, 96, &mail.payload, now);
                        }
                    }
                    tick += 1;
                }
            });
        });
    }
    group.finish();
}

criterion_group!(media_parts, codecs, resampling, concealment, bridges, streams);
criterion_main!(media_parts);
