//! SDP: reading and printing an audio offer and that of a browser.

use std::hint::black_box;

use bytesstr::BytesStr;
use sdp::SessionDescription;
use sipsimple_benches::sdp::{AUDIO, webrtc};

use crate::{LIMIT, OURS, Work};

/// Every work of this protocol.
pub fn works() -> Vec<Work> {
    let browser: &'static str = Box::leak(webrtc().into_boxed_str());
    let mut works = of("SDP parse, audio 1,169 B", "SDP print, audio 1,169 B", AUDIO);
    works.extend(of("SDP parse, WebRTC 3,851 B", "SDP print, WebRTC 3,851 B", browser));
    works
}

fn of(parse: &'static str, print: &'static str, text: &'static str) -> Vec<Work> {
    let ours = SessionDescription::parse(text).expect("an offer");
    let ezk_text = BytesStr::from(text);
    let ezk = ezk_sdp_types::SessionDescription::parse(&ezk_text).expect("an offer");
    let rtc = rtc(text);
    let sdp_rs = sdp_rs::SessionDescription::try_from(text).expect("an offer");
    vec![
        Work::new(parse, LIMIT, move || {
            memchr::memchr_iter(b'\n', black_box(text.as_bytes())).fold(0, |sum, at| sum ^ at)
        }),
        Work::new(parse, OURS, move || SessionDescription::parse(black_box(text)).expect("an offer")),
        Work::new(parse, "ezk-sdp-types 0.6.1", move || {
            ezk_sdp_types::SessionDescription::parse(black_box(&ezk_text)).expect("an offer")
        }),
        Work::new(parse, "sdp-rs 0.2.1", move || {
            sdp_rs::SessionDescription::try_from(black_box(text)).expect("an offer")
        }),
        Work::new(parse, "rtc-sdp 0.21.1", move || self::rtc(black_box(text))),
        // It refuses an attribute of its own choosing now and then; what it costs is the same.
        Work::new(parse, "webrtc-sdp 0.3.17", move || webrtc_sdp::parse_sdp(black_box(text), false).is_ok()),
        Work::new(print, OURS, move || black_box(&ours).to_text()),
        Work::new(print, "ezk-sdp-types 0.6.1", move || black_box(&ezk).to_string()),
        Work::new(print, "sdp-rs 0.2.1", move || black_box(&sdp_rs).to_string()),
        Work::new(print, "rtc-sdp 0.21.1", move || black_box(&rtc).marshal()),
    ]
}

fn rtc(text: &str) -> rtc_sdp::description::session::SessionDescription {
    let mut reader = std::io::Cursor::new(text.as_bytes());
    rtc_sdp::description::session::SessionDescription::unmarshal(&mut reader).expect("an offer")
}
