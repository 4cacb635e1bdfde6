//! SIP: routing, framing, typing and printing a message, nanoseconds a message:
//! `cargo bench -p sipsimple-benches --bench sip`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip_core::{
    Frame, Limits, Message, Response, StatusCode, StreamDecoder,
    header::{CSeq, CallId, Contact, From, MaxForwards, To, Via},
};

/// An INVITE of a softphone with an audio offer, 951 bytes.
const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.101:5060;rport;branch=z9hG4bK-524287-1---6f1c2d8a9b3e4f50\r\n\
Max-Forwards: 70\r\n\
Contact: <sip:alice@192.0.2.101:5060;transport=udp>\r\n\
To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
From: \"Alice Liddell\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
Call-ID: 84Nzk4ZGE5ODdkZjU0MmE3YTFkNmJk\r\n\
CSeq: 1 INVITE\r\n\
Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
Content-Type: application/sdp\r\n\
Supported: replaces, norefersub, timer, outbound\r\n\
User-Agent: sipsimple 0.1 (virtual, test) (virtual, test)\r\n\
Allow-Events: presence, kpml, talk\r\n\
Content-Length: 304\r\n\
\r\n\
v=0\r\n\
o=- 16850287 16850287 IN IP4 192.0.2.101\r\n\
s=session of alice\r\n\
c=IN IP4 192.0.2.101\r\n\
t=0 0\r\n\
m=audio 49172 RTP/AVP 9 0 8 101\r\n\
a=rtpmap:9 G722/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n\
a=rtcp:49173 IN IP4 192.0.2.101\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n";

fn ok_with_six_vias() -> String {
    let vias: String = (1..=6)
        .map(|n| format!("Via: SIP/2.0/UDP proxy{n}.example.com:5060;branch=z9hG4bK-{n}-7f21ab90cd34ef56;received=192.0.2.{n}\r\n"))
        .collect();
    format!(
        "SIP/2.0 200 OK\r\n{vias}Record-Route: <sip:p1.example.com;lr>,<sip:p2.example.com;lr>\r\n\
         From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\nTo: <sip:bob@biloxi.example.com>;tag=314159\r\n\
         Call-ID: 84Nzk4ZGE5ODdkZjU0MmE3YTFkNmJk\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@192.0.2.4>\r\n\
         Content-Type: application/sdp\r\nContent-Length: 0\r\n\r\n"
    )
}

const REGISTER: &str = "REGISTER sip:registrar.biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP bobspc.biloxi.example.com:5060;rport;branch=z9hG4bKnashds7af34\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
From: Bob <sip:bob@biloxi.example.com>;tag=456248\r\n\
Call-ID: 843817637684230@998sdasdh09\r\n\
CSeq: 1826 REGISTER\r\n\
Contact: <sip:bob@192.0.2.4:5060>;expires=7200\r\n\
Authorization: Digest username=\"bob\", realm=\"biloxi.example.com\", nonce=\"ea9c8e88df84f1cec4341ae6cbe5a359\", \
uri=\"sip:registrar.biloxi.example.com\", response=\"dfe56131d1958046689d83306477ecc0\", algorithm=MD5\r\n\
Expires: 7200\r\n\
User-Agent: sipsimple 0.1\r\n\
Content-Length: 0\r\n\r\n";

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
fn hostile(criterion: &mut Criterion) {
    let limits = Limits { fields: 100_000, vias: 100_000, line: 1 << 20, head: 1 << 20, ..Limits::default() };
    let mut group = criterion.benchmark_group("sip hostile");
    group.sample_size(20);
    let shapes: [(&str, &str, &str, usize); 6] = [
        ("10,000 headers", "", "X: yz\r\n", 9_000),
        ("5,000 Via", "", "Via: SIP/2.0/UDP a\r\n", 3_200),
        ("20,000 parameters", "Contact: <sip:a@b>", ";ab", 20_000),
        ("30,000 commas", "Route: ", ",", 60_000),
        ("20,000 folds", "Contact: <sip:a@b>", "\r\n ", 20_000),
        ("quotes", "Contact: ", "\"\\", 30_000),
    ];
    for (name, head, part, count) in shapes {
        for (size, count) in [("64 KiB", count), ("32 KiB", count / 2)] {
            let text =
                format!("INVITE sip:a@b SIP/2.0\r\n{head}{}\r\nCSeq: 1 INVITE\r\n\r\n", part.repeat(count));
            let bytes = Bytes::from(text);
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

criterion_group!(benches, messages, hostile);
criterion_main!(benches);
