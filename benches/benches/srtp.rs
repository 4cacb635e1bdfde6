//! RTP and SRTP, in place, nanoseconds a packet: `cargo bench -p sipsimple-benches --bench srtp`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
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

criterion_group!(benches, rtp, srtp);
criterion_main!(benches);
