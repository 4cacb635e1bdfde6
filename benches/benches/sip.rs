//! SIP: routing, framing, typing and printing a message, nanoseconds a message:
//! `cargo bench -p sipsimple-benches --bench sip`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip_core::{
    Frame, Limits, Message, Response, StatusCode, StreamDecoder,
    header::{CSeq, CallId, Contact, From, MaxForwards, To, Via},
};
use sipsimple_benches::sip::{HOSTILE, INVITE, REGISTER, hostile, ok_with_six_vias};

fn typed(message: &Message) -> usize {
    let headers = message.headers();
    let via = headers.get::<Via>().expect("a Via").expect("a good one");
    let from = headers.get::<From>().expect("From").expect("a good one");
    let to = headers.get::<To>().expect("To").expect("a good one");
    let call_id = headers.get::<CallId>().expect("Call-ID").expect("a good one");
    let cseq = headers.get::<CSeq>().expect("CSeq").expect("a good one");
    let hops = headers.get::<MaxForwards>().map_or(0, |h| h.expect("a number").0);
    let contact = headers.get::<Contact>().expect("Contact").expect("a good one");
    black_box((&via, &from, &to, &call_id, &cseq, &contact));
    hops as usize
}

fn messages(criterion: &mut Criterion) {
    let limits = Limits::default();
    for (name, text) in [
        ("INVITE", INVITE.to_owned()),
        ("200 OK, 6 Via", ok_with_six_vias()),
        ("REGISTER", REGISTER.to_owned()),
    ] {
        let bytes = Bytes::from(text);
        let mut group = criterion.benchmark_group(format!("sip {name} {} B", bytes.len()));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("frame and route", |bench| {
            bench.iter(|| Frame::parse(black_box(&bytes)).expect("a frame"))
        });
        group.bench_function("parse", |bench| {
            bench.iter(|| {
                black_box(Message::parse(black_box(bytes.clone()), &limits).expect("a message")).body().len()
            });
        });
        group.bench_function("parse and 7 headers", |bench| {
            bench.iter(|| typed(&Message::parse(black_box(bytes.clone()), &limits).expect("a message")));
        });
        group.bench_function("parse and validate", |bench| {
            bench.iter(|| {
                Message::parse(black_box(bytes.clone()), &limits).expect("a message").validate().is_ok()
            });
        });
        let mut message = Message::parse(bytes.clone(), &limits).expect("a message");
        let _ = message.headers_mut();
        group.bench_function("serialise", |bench| bench.iter(|| black_box(&message).to_bytes()));
        group.finish();
    }
    let Message::Request(request) =
        Message::parse(Bytes::from_static(INVITE.as_bytes()), &limits).expect("a message")
    else {
        unreachable!("an INVITE is a request")
    };
    criterion.bench_function("sip/reply to INVITE, printed", |bench| {
        bench.iter(|| {
            Response::reply_to(black_box(&request), StatusCode::RINGING).to_tag("a6c85cf").build().to_bytes()
        });
    });
    criterion.bench_function("sip/stream, INVITE in one piece", |bench| {
        let mut decoder = StreamDecoder::new(limits.clone());
        bench.iter(|| {
            decoder.feed(INVITE.as_bytes());
            decoder.next().is_some()
        });
    });
}

/// The shapes of 64 KiB that must be over within 2 ms, and their halves.
fn hostile_sizes(criterion: &mut Criterion) {
    let limits = Limits { fields: 100_000, vias: 100_000, line: 1 << 20, head: 1 << 20, ..Limits::default() };
    let mut group = criterion.benchmark_group("sip hostile");
    group.sample_size(20);
    for (name, head, part, count) in HOSTILE {
        for (size, count) in [("64 KiB", count), ("32 KiB", count / 2)] {
            let bytes = Bytes::from(hostile(head, part, count));
            group.bench_function(format!("{name}, {size}"), |bench| {
                bench.iter(|| {
                    let message = Message::parse(black_box(bytes.clone()), &limits).expect("a start line");
                    let headers = message.headers();
                    (
                        message.validate().is_ok(),
                        headers.all::<Contact>().count(),
                        headers.all::<Via>().count(),
                        headers.all::<sip_core::header::Route>().count(),
                    )
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, messages, hostile_sizes);
criterion_main!(benches);
