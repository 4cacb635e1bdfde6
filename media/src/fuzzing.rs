//! Bodies of the fuzz targets; `fuzz/` wraps them and replays its corpora on stable.

use std::time::Duration;

use crate::codec::{self, CodecParams};
use crate::jitter::{JitterBuffer, JitterConfig, Next};
use crate::wav::Clip;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Name and body of each target.
pub const TARGETS: &[(&str, Target)] =
    &[("media_decoders", decoders), ("media_jitter", jitter), ("media_wav", wav)];

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
        buffer.advice(i64::from(e));
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
