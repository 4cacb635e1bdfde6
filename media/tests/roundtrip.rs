//! Properties: what holds for every input.

use std::time::Duration;

use media::codec::{self, CodecParams};
use media::frame::Fifo;
use media::jitter::{JitterBuffer, JitterConfig, Next};
use media::resample::Resampler;
use proptest::prelude::*;

proptest! {
    #[test]
    fn g711_codes_are_stable(pcm in prop::collection::vec(any::<i16>(), 160)) {
        for name in ["PCMU", "PCMA"] {
            let info = codec::find(name, 8_000).expect("built in");
            let params = CodecParams::default();
            let mut encoder = codec::encoder(info, &params).expect("builds");
            let mut decoder = codec::decoder(info, &params).expect("builds");
            let (mut first, mut again, mut out) = ([0; 160], [0; 160], [0; 160]);
            encoder.encode(&pcm, &mut first).expect("room");
            decoder.decode(&first, &mut out).expect("room");
            encoder.encode(&out, &mut again).expect("room");
            let mut twice = [0; 160];
            decoder.decode(&again, &mut twice).expect("room");
            prop_assert_eq!(out, twice, "decoding what was encoded from decoded audio changes nothing");
        }
    }

    #[test]
    fn l16_is_lossless(pcm in prop::collection::vec(any::<i16>(), 0..400)) {
        let info = codec::find("L16", 16_000).expect("built in");
        let params = CodecParams::default();
        let (mut payload, mut out) = ([0; 1_000], [0; 500]);
        let length = codec::encoder(info, &params).expect("builds").encode(&pcm, &mut payload).expect("room");
        let samples =
            codec::decoder(info, &params).expect("builds").decode(&payload[..length], &mut out).expect("room");
        prop_assert_eq!(&out[..samples], &pcm[..]);
    }

    #[test]
    fn no_bytes_break_a_decoder(data in prop::collection::vec(any::<u8>(), 0..1_000)) {
        for (_, target) in media::fuzzing::TARGETS {
            target(&data);
        }
    }

    #[test]
    fn whatever_the_order_packets_play_once_and_rising(
        delays in prop::collection::vec(0u64..12, 60),
        lost in prop::collection::hash_set(0u64..60, 0..20),
    ) {
        let mut buffer = JitterBuffer::new(JitterConfig::default());
        let mut played = Vec::new();
        // Each packet is up to twelve places late.
        let mut order: Vec<u64> = (0..60).collect();
        order.sort_by_key(|n| n + delays[*n as usize]);
        for (tick, n) in order.iter().enumerate() {
            if !lost.contains(n) {
                buffer.insert(*n, *n as u32 * 160, 0, &[*n as u8], Duration::from_millis(20 * tick as u64));
            }
            if let Next::Packet { payload, .. } = buffer.take() {
                played.push(payload[0]);
                buffer.played(160);
            }
        }
        let mut sorted = played.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(played, sorted);
    }

    #[test]
    fn resampling_in_any_blocks_gives_the_same(
        pcm in prop::collection::vec(any::<i16>(), 2_000),
        cuts in prop::collection::vec(1usize..300, 1..20),
    ) {
        let mut whole = vec![0; 8_000];
        let written = Resampler::new(16_000, 48_000).process(&pcm, &mut whole);
        let mut pieces = Vec::new();
        let mut resampler = Resampler::new(16_000, 48_000);
        let mut rest = &pcm[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            let mut out = vec![0; now.len() * 3 + 3];
            let count = resampler.process(now, &mut out);
            pieces.extend_from_slice(&out[..count]);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&whole[..written], &pieces[..]);
    }

    #[test]
    fn fifo_never_loses_what_it_took(blocks in prop::collection::vec((0usize..60, 0usize..60), 1..50)) {
        let mut fifo = Fifo::new(100);
        let (mut inside, mut next_in, mut next_out) = (0usize, 0i16, 0i16);
        for (write, read) in blocks {
            let block: Vec<i16> = (0..write).map(|i| next_in + i as i16).collect();
            let taken = fifo.write(&block);
            prop_assert_eq!(taken, write.min(100 - inside));
            next_in += taken as i16;
            let mut out = vec![0; read];
            let given = fifo.read(&mut out);
            for sample in &out[..given] {
                prop_assert_eq!(*sample, next_out);
                next_out += 1;
            }
            inside = inside + taken - given;
            prop_assert_eq!(fifo.len(), inside);
        }
    }
}
