//! STUN as ICE uses it, nanoseconds a message, beside the bare HMAC and CRC over the same bytes:
//! `cargo bench -p sipsimple-benches --bench stun`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use ice_stun::stun::{
    Builder, ChannelData, Class, IceControlling, Key, Message, Method, Priority, UseCandidate, Username,
    XorMappedAddress, is_stun,
};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// A connectivity check of 88 bytes (RFC 8445 §7.1.1).
fn check(buffer: Vec<u8>, key: &Key) -> Vec<u8> {
    Builder::in_buffer(buffer, Class::Request, Method::BINDING, [7; 12])
        .attribute(&Username("evtj:h6vY"))
        .and_then(|builder| builder.attribute(&Priority(0x6e00_01ff)))
        .and_then(|builder| builder.attribute(&UseCandidate))
        .and_then(|builder| builder.attribute(&IceControlling(0x932f_f9b1_5126_3b36)))
        .expect("it fits")
        .finish_with(Some(key), true)
}

fn encode(criterion: &mut Criterion) {
    let key = Key::short_term(PASSWORD);
    let mut buffer = Vec::new();
    criterion.bench_function("stun/encode request, integrity, fingerprint", |bench| {
        bench.iter(|| {
            buffer = check(std::mem::take(&mut buffer), black_box(&key));
            buffer.len()
        });
    });
    criterion.bench_function("stun/the same with a key and a buffer of its own", |bench| {
        bench.iter(|| check(Vec::with_capacity(128), &Key::short_term(black_box(PASSWORD))));
    });
    let address = "192.0.2.1:32853".parse().expect("an address");
    let mut buffer = Vec::new();
    criterion.bench_function("stun/encode response, integrity, fingerprint", |bench| {
        bench.iter(|| {
            let out = std::mem::take(&mut buffer);
            buffer = Builder::in_buffer(out, Class::Success, Method::BINDING, [7; 12])
                .attribute(&XorMappedAddress(black_box(address)))
                .expect("it fits")
                .finish_with(Some(&key), true);
            buffer.len()
        });
    });
}

fn decode(criterion: &mut Criterion) {
    let key = Key::short_term(PASSWORD);
    let bytes = check(Vec::new(), &key);
    criterion.bench_function("stun/decode request, integrity, fingerprint", |bench| {
        bench.iter(|| {
            let message = Message::parse(black_box(&bytes)).expect("a message");
            assert!(message.has_valid_fingerprint() && message.verify(&key));
            (message.get::<Username<'_>>(), message.get::<Priority>())
        });
    });
    criterion.bench_function("stun/tell STUN from RTP", |bench| bench.iter(|| is_stun(black_box(&bytes))));
    let mut channel = Vec::new();
    ChannelData { channel: 0x4000, data: &[7; 172] }.write(false, &mut channel).expect("it fits");
    criterion.bench_function("turn/unwrap channel data", |bench| {
        bench.iter(|| ChannelData::parse(black_box(&channel)).map(|frame| frame.data.len()));
    });
}

/// What no encoder can be faster than: the HMAC with prepared pads, and the CRC.
fn bare(criterion: &mut Criterion) {
    let bytes = [7; 88];
    let mac = Hmac::<sha1::Sha1>::new_from_slice(PASSWORD.as_bytes()).expect("any length");
    criterion.bench_function("bare/hmac-sha1 of 64 bytes", |bench| {
        bench.iter(|| {
            let mut mac = mac.clone();
            mac.update(black_box(&bytes[..64]));
            mac.finalize().into_bytes()
        });
    });
}

criterion_group!(benches, encode, decode, bare);
criterion_main!(benches);
