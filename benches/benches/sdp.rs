//! Reading and printing of session descriptions: an audio offer and a WebRTC offer.
//! `cargo bench -p sipsimple-benches --bench sdp`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sdp::{Codec, SessionDescription, negotiate_codecs};
use sipsimple_benches::sdp::{AUDIO, webrtc};

fn bench(c: &mut Criterion) {
    let webrtc = webrtc();
    println!("audio offer: {} bytes; WebRTC offer: {} bytes", AUDIO.len(), webrtc.len());
    let audio = SessionDescription::parse(AUDIO).expect("an offer");
    let browser = SessionDescription::parse(&webrtc).expect("an offer");
    assert_eq!(audio.to_text(), AUDIO);
    assert_eq!(browser.to_text(), webrtc);
    assert!(audio.defects().is_empty() && browser.defects().is_empty());

    let mut parse = c.benchmark_group("sdp_parse");
    parse.bench_function("audio", |b| b.iter(|| SessionDescription::parse(black_box(AUDIO))));
    parse.bench_function("webrtc", |b| b.iter(|| SessionDescription::parse(black_box(&webrtc))));
    parse.bench_function("limit: lines of audio", |b| {
        b.iter(|| memchr::memchr_iter(b'\n', black_box(AUDIO.as_bytes())).fold(0, |sum, at| sum ^ at))
    });
    parse.finish();

    let mut print = c.benchmark_group("sdp_print");
    print.bench_function("audio", |b| b.iter(|| black_box(&audio).to_text()));
    print.bench_function("webrtc", |b| b.iter(|| black_box(&browser).to_text()));
    print.finish();

    let ours = [
        Codec::new(111, "opus", 48_000).with_channels(2),
        Codec::new(0, "PCMU", 8_000),
        Codec::new(101, "telephone-event", 8_000).with_fmtp("0-15"),
    ];
    let media = audio.media.first().expect("one stream");
    c.bench_function("sdp_codecs/audio", |b| {
        b.iter(|| negotiate_codecs(&black_box(media).rtp_codecs(), &ours))
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
