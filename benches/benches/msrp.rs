//! MSRP: parse and print of a SEND with CPIM (620 bytes), and of one with 64 KiB.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use msrp_cpim::cpim;
use msrp_cpim::wire::{Decoder, DecoderLimits, Message};

fn send(content_type: &str, body: &[u8]) -> Bytes {
    let mut out = format!(
        "MSRP dsdfoe38sd4kq2x SEND\r\nTo-Path: msrp://bob.example.com:8888/9di4eae923wzd;tcp\r\n\
         From-Path: msrp://alicepc.example.com:7777/iau39soe2843z;tcp\r\nMessage-ID: 12339sdqwer\r\n\
         Byte-Range: 1-{0}/{0}\r\nSuccess-Report: yes\r\nContent-Type: {content_type}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n-------dsdfoe38sd4kq2x$\r\n");
    out.into()
}

fn frames(c: &mut Criterion) {
    let mut text = b"From: Alice <sip:alice@example.com>\r\nTo: Bob <sip:bob@example.com>\r\n\
        DateTime: 2026-05-15T15:02:31-03:00\r\n\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        .to_vec();
    text.resize(620 - send("message/cpim", &[0; 100]).len() + 100, b'x');
    let small = send("message/cpim", &text);
    let large = send("application/octet-stream", &vec![0x55; 64 * 1024]);
    let mut out = BytesMut::with_capacity(128 * 1024);

    let mut group = c.benchmark_group("msrp");
    group.throughput(Throughput::Bytes(small.len() as u64));
    group.bench_function("SEND with CPIM, 620 B: parse and print", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&small)).unwrap();
            let cpim = cpim::Message::parse(message.body.as_ref().unwrap()).unwrap();
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
            black_box(cpim::Message::parse(message.body.as_ref().unwrap()).unwrap());
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
