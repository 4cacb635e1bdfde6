//! RTP and SRTP, in place, nanoseconds a packet, beside the bare cipher and MAC over the same bytes:
//! `cargo bench -p sipsimple-benches --bench srtp`.

use std::hint::black_box;

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpHeader, RtpPacket};

const SUITES: [Suite; 4] =
    [Suite::AesCm128HmacSha1_80, Suite::AesCm256HmacSha1_80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm];

fn key(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &[7; 46][..suite.master_len()]).expect("the length is the suite's")
}

fn rtp(criterion: &mut Criterion) {
    let mut buffer = [0; 1500];
    let len = RtpHeader::new(0, 1, 2, 3).write_packet(&[0xd5; 160], &mut buffer).expect("fits");
    criterion.bench_function("rtp/parse", |bench| {
        bench.iter(|| {
            let packet = RtpPacket::parse(black_box(&buffer[..len])).expect("a packet");
            (packet.sequence(), packet.timestamp(), packet.ssrc(), packet.payload().len())
        });
    });
    let payload = [0xd5; 160];
    criterion.bench_function("rtp/write 160", |bench| {
        bench.iter(|| black_box(&RtpHeader::new(0, 1, 2, 3)).write_packet(black_box(&payload), &mut buffer));
    });
}

fn srtp(criterion: &mut Criterion) {
    for suite in SUITES {
        for size in [160, 1200] {
            let payload = vec![0xd5; size];
            let mut buffer = [0; 1500];
            let mut sender = SrtpSender::new(&key(suite));
            let mut sequence = 0_u16;
            criterion.bench_function(&format!("protect/{suite}/{size}"), |bench| {
                // The header is written anew; the payload is whatever the last round left, 12 bytes of work.
                bench.iter(|| {
                    RtpHeader::new(0, sequence, 2, 3).write_into(&mut buffer).expect("fits");
                    sequence = sequence.wrapping_add(1);
                    sender.protect(&mut buffer, 12 + size).expect("room")
                });
            });
            let mut sender = SrtpSender::new(&key(suite));
            let mut receiver = SrtpReceiver::new(&key(suite));
            let mut sequence = 0_u16;
            criterion.bench_function(&format!("unprotect/{suite}/{size}"), |bench| {
                bench.iter_batched_ref(
                    || {
                        let mut buffer = [0; 1500];
                        let header = RtpHeader::new(0, sequence, 2, 3);
                        let len = header.write_packet(&payload, &mut buffer).expect("fits");
                        sequence = sequence.wrapping_add(1);
                        let len = sender.protect(&mut buffer, len).expect("room");
                        (buffer, len)
                    },
                    |(buffer, len)| receiver.unprotect(&mut buffer[..*len]).expect("authentic"),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

/// What no SRTP can be faster than: the cipher over the payload and the MAC over packet and counter, with the key
/// schedules and pads prepared.
fn bare(criterion: &mut Criterion) {
    for size in [160, 1200] {
        let mut buffer = vec![0xd5; size + 16];
        let cipher = Aes128Enc::new(&[7; 16].into());
        let mac = Hmac::<sha1::Sha1>::new_from_slice(&[7; 20]).expect("any length");
        criterion.bench_function(&format!("bare/aes-ctr + hmac-sha1/{size}"), |bench| {
            bench.iter(|| {
                let core = ctr::CtrCore::inner_iv_init(&cipher, &[9; 16].into());
                ctr::Ctr32BE::from_core(core).apply_keystream(&mut buffer[12..12 + size]);
                mac.clone().chain_update(&buffer).finalize()
            });
        });
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("16 bytes"));
        criterion.bench_function(&format!("bare/aes-gcm/{size}"), |bench| {
            bench.iter(|| {
                let nonce = Nonce::assume_unique_for_key([9; 12]);
                let (header, payload) = buffer[..12 + size].split_at_mut(12);
                key.seal_in_place_separate_tag(nonce, Aad::from(header), payload).expect("sealed")
            });
        });
    }
}

criterion_group!(benches, rtp, bare, srtp);
criterion_main!(benches);
