//! Bodies of the fuzz targets; `fuzz/` wraps them and replays its corpora on stable.

use std::time::Duration;

use crate::codec::{self, CodecParams};
use crate::comfort::{ComfortEncoder, ComfortNoise, MAX_COMFORT};
use crate::dtmf::DtmfDetector;
use crate::jitter::{JitterBuffer, JitterConfig, Next};
use crate::wav::Clip;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Name and body of each target.
pub const TARGETS: &[(&str, Target)] = &[
    ("media_comfort", comfort),
    ("media_decoders", decoders),
    ("media_dtmf", dtmf),
    ("media_jitter", jitter),
    ("media_wav", wav),
];

/// Any description makes bounded noise, and any audio a description that is understood.
pub fn comfort(data: &[u8]) {
    let mut noise = ComfortNoise::new();
    let mut pcm = [0; 160];
    for payload in data.chunks(16) {
        noise.describe(payload);
        noise.fill(&mut pcm);
    }
    let mut encoder = ComfortEncoder::new(8_000);
    let mut payload = [0; MAX_COMFORT];
    for frame in data.chunks(320) {
        let length = samples(frame, &mut pcm);
        // As long as it takes to be a pause.
        for _ in 0..14 {
            let heard = pcm.get(..length).unwrap_or_default();
            if let Some(length) = encoder.judge(heard, &mut payload) {
                assert!(length <= MAX_COMFORT && payload.first().is_some_and(|level| *level < 128));
            }
        }
    }
}

/// Blocks of any size and content: no panic, and no more digits than there is time for.
pub fn dtmf(data: &[u8]) {
    let mut detector = DtmfDetector::new(8_000);
    let (mut taken, mut digits) = (0, 0);
    let mut pcm = [0; 160];
    for block in data.chunks(200) {
        let length = samples(block, &mut pcm);
        detector.push(pcm.get(..length).unwrap_or_default(), |_| digits += 1);
        taken += length;
    }
    assert!(digits <= taken / 204, "a digit takes two blocks");
}

fn samples(bytes: &[u8], pcm: &mut [i16]) -> usize {
    let pairs = bytes.as_chunks::<2>().0;
    for (slot, pair) in pcm.iter_mut().zip(pairs) {
        *slot = i16::from_le_bytes(*pair);
    }
    pairs.len().min(pcm.len())
}

/// No payload makes a decoder panic or write more than a frame.
pub fn decoders(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else { return };
    let list = codec::available();
    let Some(info) = list.get(usize::from(*choice) % list.len()) else { return };
    let Ok(mut decoder) = codec::decoder(info, &CodecParams::default()) else { return };
    let mut out = vec![0; codec::MAX_FRAME_SAMPLES];
    for piece in payload.chunks(200) {
        if let Ok(samples) = decoder.decode(piece, &mut out) {
            assert!(samples <= out.len());
        }
        let frame = decoder.sample_rate() as usize / 50;
        if let Some(room) = out.get_mut(..frame) {
            decoder.recover(piece, room);
            decoder.conceal(room);
        }
    }
}

/// Whatever the order of packets and times: no panic, bounded, and no packet is played twice.
pub fn jitter(data: &[u8]) {
    let mut buffer = JitterBuffer::new(JitterConfig { max_packets: 16, ..JitterConfig::default() });
    let mut arrival = 0u64;
    for step in data.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *step;
        arrival += u64::from(a);
        let sequence = u64::from(u16::from_be_bytes([b & 3, c])) | (u64::from(b >> 7) << 40);
        let timestamp = u32::from_be_bytes([d, e, f, g]);
        buffer.insert(sequence, timestamp, h, &[h], Duration::from_millis(arrival));
        assert!(buffer.held() <= 16);
        for _ in 0..h % 4 {
            if matches!(buffer.take(), Next::Packet { .. }) {
                buffer.played(u32::from(g) * 8);
            }
        }
        buffer.advice(i64::from(e), 160);
    }
    let stats = buffer.stats();
    assert!(stats.played <= stats.received);
}

/// No file makes the reader panic.
pub fn wav(data: &[u8]) {
    if let Ok(clip) = Clip::from_bytes(data) {
        assert!(clip.samples().len() <= data.len() * 2);
    }
}
