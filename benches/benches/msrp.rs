//! MSRP: parse and print of a SEND with CPIM (620 bytes), and of one with 64 KiB.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use msrp_cpim::wire::{Decoder, DecoderLimits, Message};
use sipsimple_benches::msrp::{cpim, send};

fn frames(c: &mut Criterion) {
    let small = Bytes::from(send("message/cpim", &cpim(), false));
    let large = Bytes::from(send("application/octet-stream", &vec![0x55; 64 * 1024], false));
    let mut out = BytesMut::with_capacity(128 * 1024);

    let mut group = c.benchmark_group("msrp");
    group.throughput(Throughput::Bytes(small.len() as u64));
    group.bench_function("SEND with CPIM, 620 B: parse and print", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&small)).unwrap();
            let cpim = msrp_cpim::cpim::Message::parse(message.body.as_ref().unwrap()).unwrap();
            out.clear();
            cpim.write_to(&mut out);
            out.clear();
            message.write_to(&mut out);
            black_box(&out);
        });
    });
    group.bench_function("SEND with CPIM, 620 B: parse", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&small)).unwrap();
            black_box(msrp_cpim::cpim::Message::parse(message.body.as_ref().unwrap()).unwrap());
        });
    });
    group.throughput(Throughput::Bytes(large.len() as u64));
    group.bench_function("SEND of 64 KiB: parse and print", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&large)).unwrap();
            out.clear();
            message.write_to(&mut out);
            black_box(&out);
        });
    });
    group.bench_function("SEND of 64 KiB: decoder", |b| {
        b.iter(|| {
            let mut decoder = Decoder::new(DecoderLimits::default());
            let mut input: &[u8] = black_box(&large);
            while let Some(piece) = decoder.next(&mut input).unwrap() {
                black_box(piece);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
