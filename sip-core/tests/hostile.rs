//! Messages that are made to hurt: sizes, prefixes, drips, Content-Length, and our own API misused.

use bytes::Bytes;
use sip_core::{
    ErrorKind, Frame, Headers, Limits, Message, Method, NameAddr, Params, Request, StreamDecoder, StreamItem,
    Uri, UsageError, fuzzing,
    header::{Contact, Route, Subject, Via},
};
use std::{fs, path::Path};

const HEAD: &str = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n";

fn request(more: &str, body: &str) -> Bytes {
    Bytes::from(format!("BYE sip:a@b SIP/2.0\r\n{HEAD}{more}\r\n{body}"))
}

/// The kind of fault, if the message is refused.
fn refused(bytes: Bytes) -> Option<ErrorKind> {
    match Message::parse(bytes, &Limits::default()) {
        Ok(message) => message.validate().err().map(|refusal| refusal.error.kind),
        Err(e) => Some(e.kind),
    }
}

fn status(bytes: Bytes) -> Option<u16> {
    let message = Message::parse(bytes, &Limits::default()).expect("a start line");
    message.validate().err().and_then(|refusal| refusal.status).map(|s| s.code())
}

/// Work that is linear stays so: reads, validates and types `n` of something.
fn steps(text: &str) -> usize {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()) else {
        return 0;
    };
    let _ = message.validate();
    let _ = Frame::parse(text.as_bytes());
    message.headers().all::<Via>().count()
        + message.headers().all::<Contact>().count()
        + message.headers().all::<Route>().count()
}

/// Shapes that are made to hurt, as much of each as `n` of 64.
fn shapes(n: usize) -> [(&'static str, String); 8] {
    [
        ("headers", "X: y\r\n".repeat(10_000 * n / 64)),
        ("one header", format!("X: {}\r\n", "a".repeat(60_000 * n / 64))),
        ("Via", "Via: SIP/2.0/UDP a\r\n".repeat(5_000 * n / 64)),
        ("parameters", format!("Contact: <sip:a@b>{}\r\n", ";a".repeat(20_000 * n / 64))),
        ("commas", format!("Route: {}\r\n", ",".repeat(30_000 * n / 64))),
        ("folds", format!("Subject: a{}\r\n", "\r\n b".repeat(20_000 * n / 64))),
        ("quotes", format!("Contact: {}\r\n", "\"\\".repeat(8_000 * n / 64))),
        ("brackets", format!("Contact: {}\r\n", "<".repeat(16_000 * n / 64))),
    ]
}

#[test]
fn shapes_of_64_kib_end_at_once() {
    // What is measured is the number of values that are looked at; sizes at the limit must not
    // multiply.
    for (name, shape) in shapes(64) {
        let text = String::from_utf8(request(&shape, "").to_vec()).expect("text");
        assert!(steps(&text) <= 70_000, "{name}");
    }
}

/// The shortest of several tries, in microseconds: what else the machine does is left out.
fn shortest<T>(tries: usize, mut work: impl FnMut() -> T) -> u128 {
    let once = |_| {
        #[expect(clippy::disallowed_methods, reason = "the time that it takes is what is tested")]
        let start = std::time::Instant::now();
        std::hint::black_box(work());
        start.elapsed().as_micros()
    };
    (0..tries).map(once).min().unwrap_or_default()
}

/// Without optimisation things take about ten times as long.
const SLOW: u128 = if cfg!(debug_assertions) { 10 } else { 1 };

#[test]
fn hostile_shapes_take_two_milliseconds() {
    for ((name, whole), (_, half)) in shapes(64).into_iter().zip(shapes(32)) {
        let text = |shape: &str| String::from_utf8(request(shape, "").to_vec()).expect("text");
        let (whole, half) = (text(&whole), text(&half));
        let (took, of_half) = (shortest(8, || steps(&whole)), shortest(8, || steps(&half)));
        assert!(took <= 2_000 * SLOW, "{name}: {took} µs");
        // Beyond a limit, half of it may be what is not read to the end: there the bound is enough.
        assert!(took <= of_half * 5 / 2 + 200 * SLOW, "{name}: {took} µs, {of_half} µs for half of it");
    }
}

#[test]
fn a_drip_takes_twenty_milliseconds() {
    let filler = format!("X: {}\r\n", "a".repeat(1000)).repeat(63);
    let slow = request(&format!("{filler}l: 0\r\n"), "");
    let took = shortest(4, || {
        let mut decoder = StreamDecoder::new(Limits::default());
        let mut done = 0;
        for byte in &slow {
            decoder.feed(&[*byte]);
            done += usize::from(decoder.next().is_some());
        }
        assert_eq!(done, 1);
    });
    assert!(took <= 20_000 * SLOW, "{took} µs for {} bytes", slow.len());
}

#[test]
fn limits_are_answered() {
    let many = |line: &str, n: usize| request(&line.repeat(n), "");
    assert_eq!(status(many("X: y\r\n", 251)), None, "256 fields are allowed");
    assert_eq!(status(many("X: y\r\n", 252)), Some(400));
    assert_eq!(status(many("Via: SIP/2.0/UDP a\r\n", 69)), None, "70 Via are allowed");
    assert_eq!(status(many("Via: SIP/2.0/UDP a\r\n", 70)), Some(400));
    assert_eq!(status(request(&format!("X: {}\r\n", "a".repeat(16 * 1024 - 5)), "")), None);
    assert_eq!(status(request(&format!("X: {}\r\n", "a".repeat(16 * 1024 - 4)), "")), Some(400));
    assert_eq!(status(many(&format!("X: {}\r\n", "a".repeat(8000)), 9)), Some(400), "64 KiB of headers");
    let body = "b".repeat(1024 * 1024);
    assert_eq!(status(request("Content-Type: a/b\r\n", &body)), None, "1 MiB of body is allowed");
    assert_eq!(status(request("Content-Type: a/b\r\n", &format!("{body}b"))), Some(413));
    let uri = format!("BYE sip:{}@b SIP/2.0\r\n{HEAD}\r\n", "a".repeat(17_000));
    assert_eq!(status(uri.into()), Some(414));
}

#[test]
fn content_lengths_of_a_datagram() {
    for (value, kind) in [
        ("-1", ErrorKind::Syntax),
        ("+5", ErrorKind::Syntax),
        ("0x10", ErrorKind::Syntax),
        ("1 2", ErrorKind::Syntax),
        ("", ErrorKind::Syntax),
        ("70", ErrorKind::Truncated),
        ("4294967328", ErrorKind::Truncated),
        ("18446744073709551615", ErrorKind::Truncated),
        ("18446744073709551616", ErrorKind::Number),
        (&"9".repeat(99), ErrorKind::Number),
        ("5\r\nContent-Length: 5", ErrorKind::Duplicate),
        ("5\r\nl: 6", ErrorKind::Duplicate),
    ] {
        let bytes = request(&format!("Content-Type: a/b\r\nContent-Length: {value}\r\n"), "hello");
        assert_eq!(refused(bytes.clone()), Some(kind), "{value}");
        assert_eq!(status(bytes), Some(400), "{value}");
    }
    assert_eq!(refused(request("Content-Type: a/b\r\nContent-Length: 5\r\n", "hello and more")), None);
    assert_eq!(refused(request("Content-Type: a/b\r\nContent-Length:\r\n 005 \r\n", "hello")), None);
}

/// A datagram comes whole: a header section without its empty line that says how long the body is,
/// and a text whose length was not counted again when its addresses were rewritten, lack nothing.
#[test]
fn datagrams_that_were_miscounted() {
    let cut = |more: &str| Bytes::from(format!("BYE sip:a@b SIP/2.0\r\n{HEAD}{more}"));
    assert_eq!(refused(cut("l: 0\r\n")), None);
    assert_eq!(refused(cut("Content-Type: a/b\r\nl: 50\r\n")), None);
    assert_eq!(refused(cut("l: 0")), Some(ErrorKind::Truncated));
    assert_eq!(refused(cut("")), Some(ErrorKind::Truncated));
    let message = Message::parse(cut("l: 0\r\n"), &Limits::default()).expect("a message");
    assert!(message.to_bytes().ends_with(b"l: 0\r\n\r\n"), "it is sent on with the empty line");
    let body = |length: usize, text: &str| request(&format!("Content-Type: a/b\r\nl: {length}\r\n"), text);
    assert_eq!(refused(body(5 + 64, "v=0\r\n")), None);
    assert_eq!(refused(body(5 + 65, "v=0\r\n")), Some(ErrorKind::Truncated));
    assert_eq!(refused(body(8, "v=0\r\ns=")), Some(ErrorKind::Truncated), "cut in a line");
}

#[test]
fn never_a_second_message_out_of_a_body() {
    let evil = String::from_utf8(request("l: 0\r\n", "").to_vec()).expect("text");
    for value in ["-1", "+5", "0x10", "4294967328", "18446744073709551615", "5\r\nl: 5", ""] {
        let mut decoder = StreamDecoder::new(Limits::default());
        decoder.feed(&request(&format!("Content-Length: {value}\r\n"), &evil));
        let Some(StreamItem::Error(error)) = decoder.next() else { panic!("{value} must close the stream") };
        assert!(matches!(error.status.code(), 400 | 413));
        assert!(error.message.is_some(), "there is something to answer to");
        decoder.feed(evil.as_bytes());
        assert!(decoder.next().is_none(), "nothing follows an error");
    }
}

#[test]
fn every_prefix() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for name in [
        "rfc4475/wsinv.dat",
        "rfc4475/intmeth.dat",
        "rfc4475/mpart01.dat",
        "rfc4475/badinv01.dat",
        "rfc-messages/rfc3261_004.sip",
    ] {
        let bytes = fs::read(folder.join(name)).expect("the corpus");
        for end in 0..=bytes.len() {
            let part = bytes.get(..end).expect("a prefix");
            for (_, target) in fuzzing::TARGETS {
                target(part);
            }
        }
        // Up to the last byte, a request is not complete: it is refused, never half taken.
        let whole =
            Message::parse(Bytes::from(bytes.clone()), &Limits::default()).expect("a message").to_bytes();
        if whole.windows(4).position(|w| w == b"\r\n\r\n").is_some_and(|head| head + 4 == whole.len()) {
            // But for its last line end, if it says that it has no body.
            for end in 0..whole.len() - 2 {
                let found = Message::parse(whole.slice(..end), &Limits::default()).map(|m| m.validate());
                assert!(!matches!(found, Ok(Ok(()))), "{name} cut at {end}");
            }
        }
    }
}

#[test]
fn a_drip_and_a_flood_come_out_whole() {
    let one = request("l: 0\r\n", "");
    let mut big = StreamDecoder::new(Limits::default());
    let filler = format!("X: {}\r\n", "a".repeat(1000)).repeat(60);
    let slow = request(&format!("{filler}l: 3\r\nContent-Type: a/b\r\n"), "abc");
    for (at, byte) in slow.iter().enumerate() {
        big.feed(&[*byte]);
        let done = big.next().is_some();
        assert_eq!(done, at + 1 == slow.len(), "byte {at}");
    }
    let mut decoder = StreamDecoder::new(Limits::default());
    decoder.feed(&one.repeat(10_000));
    let mut count = 0;
    while let Some(item) = decoder.next() {
        assert!(matches!(item, StreamItem::Message(m) if m.to_bytes() == one));
        count += 1;
    }
    assert_eq!((count, decoder.buffered()), (10_000, 0));
    assert!(decoder.is_at_boundary());
}

#[test]
fn our_own_api_cannot_inject() {
    let long = "a".repeat(64 * 1024);
    for text in [
        "a\r\nVia: evil",
        "a\nb",
        "a\rb",
        "a\0b",
        "\"quoted\" <x>",
        "\\",
        "\r\n\r\nBYE sip:x SIP/2.0\r\n",
        &long,
        "é\u{7f}\u{1}",
    ] {
        fuzzing::injection(text.as_bytes());
    }
    let mut headers = Headers::new();
    for evil in ["a\r\nb", "a\nb", "a\rb", "a\0b"] {
        assert_eq!(headers.push_raw("X", evil), Err(UsageError::LineBreak("a header value")));
        assert!(headers.replace_raw(evil, "x").is_err());
        assert!(Params::new().with("x", evil).is_err() && Params::new().with(evil, "x").is_err());
        assert!(Uri::parse(&format!("sip:{evil}@b")).is_err() && Uri::parse(&format!("x:{evil}")).is_err());
        assert!(evil.parse::<Method>().is_err());
        assert!(NameAddr::new("sip:a@b".parse().expect("a URI")).with_tag(evil).is_err());
        assert!(Via::new(evil, sip_core::Host::Name("h".into()), None, "x").is_err());
        assert!(evil.parse::<sip_core::Host>().is_err());
    }
    let host = sip_core::Host::Name("h\r\nVia: x".into());
    assert!(Uri::sip(None, &host, None).is_err(), "a host from elsewhere is checked");
    let request = Request::builder(Method::Options, &"sip:a@b".parse().expect("a URI"))
        .header(Subject("x\r\n\r\nBYE".into()))
        .header(Via { transport: "UDP\r\nX: y".into(), host, port: None, params: Params::new() })
        .build();
    let text = request.to_bytes();
    assert_eq!(text.windows(2).filter(|w| w == b"\r\n").count(), 5, "{}", String::from_utf8_lossy(&text));
    let response = sip_core::Response::builder(sip_core::StatusCode::OK).reason("x\r\nVia: y").build();
    assert_eq!(response.to_bytes().as_ref(), b"SIP/2.0 200 x  Via: y\r\nContent-Length: 0\r\n\r\n");
}
