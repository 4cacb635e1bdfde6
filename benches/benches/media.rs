//! Media parts; figures are for one second of audio unless the name says otherwise.

#![allow(missing_docs, reason = "criterion's macros make public items")]

#[path = "media/whole.rs"]
mod whole;

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use media::bridge::{Bridge, BridgeConfig, PortId};
use media::codec::{self, CodecParams};
use media::plc::Plc;
use media::resample::Resampler;
use media::voice::{Voice, VoiceConfig};
use media::wav::{Clip, Repeat, WavPlayer};
use media::{EncodedFrame, Port, Signal, StreamConfig, StreamFormat, StreamPort, assets};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpHeader, RtpPacket};
use whole::End;

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

impl Port for Both {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        self.1.pull(out)
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        black_box((&self.0, pcm));
    }
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("100 calls through bridges of two, 1 s");
    group.sample_size(20);
    for name in ["PCMU", "G722", "opus"] {
        for encrypts in [false, true] {
            let Some((info, clip)) = spoken(name) else { continue };
            let mut ends: Vec<End> = (0..100).map(|_| End::new(info, &clip, encrypts)).collect();
            let with = if encrypts { ", SRTP" } else { "" };
            group.bench_function(format!("{name}{with}"), |b| {
                b.iter(|| (0..50).map(|_| ends.iter_mut().map(End::tick).sum::<usize>()).sum::<usize>());
            });
        }
    }
    group.finish();
}

/// One call, one frame of 20 ms: microphone, encode, packetise, protect, and back, jitter, decode, mix.
fn whole_path(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole path, a frame of 20 ms, SRTP");
    for name in ["PCMU", "G722", "opus"] {
        let Some((info, clip)) = spoken(name) else { continue };
        let mut end = End::new(info, &clip, true);
        group.bench_function(name, |b| b.iter(|| end.tick()));
    }
    group.finish();
}

/// A codec, and speech at the rate that its calls have.
fn spoken(name: &str) -> Option<(&'static codec::CodecInfo, Clip)> {
    let info = codec::available().iter().find(|info| info.name == name)?;
    let rate = info.sample_rate.min(16_000);
    Some((info, Clip::from_samples(speech(rate), rate)))
}

/// A stream without a bridge: a frame in, a packet, a frame out.
fn stream_alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream send+receive, PCMU, 1 s");
    let Some((info, clip)) = spoken("PCMU") else { return };
    for encrypts in [false, true] {
        let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[7; 30]).expect("its length");
        let mut keys = encrypts.then(|| SrtpSender::new(&key));
        let mut opener = encrypts.then(|| SrtpReceiver::new(&key));
        let wire = Arc::new(Mutex::new(([0; 2_048], 0)));
        let (to, mut sequence) = (wire.clone(), 0_u16);
        let sink = move |frame: EncodedFrame<'_>| {
            let (buffer, length) = &mut *to.lock().expect("one thread");
            let header = RtpHeader::new(0, sequence, frame.timestamp, 3);
            sequence = sequence.wrapping_add(1);
            *length = header.write_packet(frame.payload, buffer).expect("it fits");
            if let Some(keys) = &mut keys {
                *length = keys.protect(buffer, *length).expect("there is room");
            }
        };
        let format = StreamFormat::symmetric(info, &CodecParams::default(), 0).expect("builds");
        let (mut port, handle, mut source) = StreamPort::new(StreamConfig::default(), format, Box::new(sink));
        handle.set_sending(true);
        handle.set_receiving(true);
        #[expect(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]
        let begin = Instant::now();
        let (mut tick, mut out) = (0_u64, [0; 160]);
        group.bench_function(if encrypts { "SRTP" } else { "plain" }, |b| {
            b.iter(|| {
                for frame in clip.samples().chunks_exact(160) {
                    port.prepare();
                    port.push(frame, Signal::Audible);
                    {
                        let (buffer, length) = &mut *wire.lock().expect("one thread");
                        let packet = &mut buffer[..*length];
                        let length = match &mut opener {
                            Some(opener) => opener.unprotect(packet).expect("authentic"),
                            None => packet.len(),
                        };
                        let packet = RtpPacket::parse(&packet[..length]).expect("a packet");
                        let now = begin + Duration::from_millis(20 * tick);
                        source.push(tick, packet.timestamp(), 0, packet.payload(), now);
                    }
                    tick += 1;
                    port.pull(&mut out);
                }
                black_box(&out);
            });
        });
    }
    group.finish();
}

/// Ours beside the library that does it.
fn opus(c: &mut Criterion) {
    use audiopus::coder::{Decoder, Encoder};
    use audiopus::{Application, Channels, MutSignals, SampleRate, packet::Packet};
    let Some(info) = codec::available().iter().find(|info| info.name == "opus") else { return };
    let pcm = speech(48_000);
    let frames = || pcm.chunks_exact(960).cycle();
    let mut group = c.benchmark_group("opus, a frame of 20 ms at 48 kHz");
    let mut payload = [0; 1_500];
    for complexity in [5, 10] {
        let params = CodecParams { complexity: Some(complexity), ..CodecParams::default() };
        let mut ours = codec::encoder(info, &params).expect("builds");
        let mut all = frames();
        group.bench_function(format!("encode at {complexity}"), |b| {
            b.iter(|| ours.encode(all.next().expect("for ever"), &mut payload).expect("20 ms"));
        });
        let mut bare = Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip).expect("builds");
        bare.set_complexity(complexity).expect("at most 10");
        bare.set_inband_fec(params.fec).expect("as ours");
        bare.set_packet_loss_perc(params.expected_loss).expect("as ours");
        let mut all = frames();
        group.bench_function(format!("encode at {complexity}, the library alone"), |b| {
            b.iter(|| bare.encode(all.next().expect("for ever"), &mut payload).expect("20 ms"));
        });
    }
    let mut encoder = codec::encoder(info, &CodecParams::default()).expect("builds");
    let packets: Vec<Vec<u8>> = (pcm.chunks_exact(960))
        .map(|frame| {
            let length = encoder.encode(frame, &mut payload).expect("20 ms");
            payload[..length].to_vec()
        })
        .collect();
    let mut out = [0; codec::MAX_FRAME_SAMPLES];
    let mut ours = codec::decoder(info, &CodecParams::default()).expect("builds");
    let mut all = packets.iter().cycle();
    group.bench_function("decode", |b| {
        b.iter(|| ours.decode(all.next().expect("for ever"), &mut out).expect("our own"));
    });
    let mut bare = Decoder::new(SampleRate::Hz48000, Channels::Mono).expect("builds");
    let mut all = packets.iter().cycle();
    group.bench_function("decode, the library alone", |b| {
        b.iter(|| {
            let packet = Packet::try_from(all.next().expect("for ever")).expect("not empty");
            let room = MutSignals::try_from(&mut out[..]).expect("not empty");
            bare.decode(Some(packet), room, false).expect("our own")
        });
    });
    group.finish();
}

/// What a microphone costs beside the call; pjmedia's canceller is speex's.
fn voices(c: &mut Criterion) {
    let mut group = c.benchmark_group("voice, 1 s");
    for rate in [16_000, 48_000] {
        let (near, far) = (speech(rate), speech(rate));
        let echo = VoiceConfig { echo: true, ..VoiceConfig::default() };
        let noise = VoiceConfig { noise: true, ..VoiceConfig::default() };
        let all = VoiceConfig { echo: true, noise: true, gain: true };
        for (name, config) in [("echo", echo), ("noise", noise), ("echo, noise and gain", all)] {
            let mut voice = Voice::new(config, rate).expect("a rate there is");
            let mut block = vec![0; rate as usize / 50];
            group.bench_function(format!("{name}, {rate} Hz"), |b| {
                b.iter(|| {
                    for (near, far) in near.chunks_exact(block.len()).zip(far.chunks_exact(block.len())) {
                        voice.far(far);
                        block.copy_from_slice(near);
                        voice.near(&mut block);
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(
    media_parts,
    codecs,
    resampling,
    concealment,
    bridges,
    streams,
    whole_path,
    stream_alone,
    opus,
    voices
);
criterion_main!(media_parts);
