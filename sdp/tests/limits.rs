//! Hostile sizes are answered by policy, in bounded time and memory; usual ones cost few allocations.

use std::fmt::Write;

use sdp::attribute::{Crypto, MaxPtime, Ptime};
use sdp::{ErrorKind, Limits, ParseError, SessionDescription};
use testkit::{Allocations, Counting, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

/// Of several tries the first that is fast enough counts: what else the machine does is left out.
fn judged(text: &str) -> Result<SessionDescription, ParseError> {
    // reliability: 5 ms and 256 KiB; without optimisation ten times the time.
    let allowed = if cfg!(debug_assertions) { 50 } else { 5 };
    let mut tries = (0..8).map(|_| {
        #[expect(clippy::disallowed_methods, reason = "the time that it takes is what is tested")]
        let start = std::time::Instant::now();
        let (result, Allocations { peak, .. }) = counted(|| SessionDescription::parse(text));
        assert!(peak <= 256 * 1024, "{peak} bytes");
        (start.elapsed().as_millis() <= allowed, result)
    });
    let in_time = tries.find_map(|(in_time, result)| in_time.then_some(result));
    in_time.unwrap_or_else(|| panic!("more than {allowed} ms each time"))
}

fn repeated(line: impl Fn(usize) -> String, times: usize) -> String {
    let mut text = HEAD.to_owned();
    for number in 0..times {
        let _ = write!(text, "{}\r\n", line(number));
    }
    text
}

fn is_limit(result: &Result<SessionDescription, ParseError>) -> bool {
    matches!(result, Err(error) if error.kind == ErrorKind::Limit)
}

#[test]
fn too_many_of_everything_is_refused() {
    let media = |_| "m=audio 9 RTP/AVP 0".to_owned();
    assert!(is_limit(&judged(&repeated(media, 5_000))));
    assert!(is_limit(&judged(&repeated(media, 129))));
    assert_eq!(judged(&repeated(media, 128)).expect("within the limit").media.len(), 128);
    let flag = |_| "a=x".to_owned();
    assert!(is_limit(&judged(&repeated(flag, 10_000))));
    assert_eq!(judged(&repeated(flag, 4_096)).expect("within the limit").attributes.len(), 4_096);
    for line in ["b=AS:1", "e=x", "?=x", "", "t=0 0", "c=IN IP4 192.0.2.1"] {
        assert!(is_limit(&judged(&repeated(|_| line.to_owned(), 5_000))), "{line}");
    }
    let huge = format!("{HEAD}a={}\r\n", "x".repeat(70_000));
    assert!(is_limit(&judged(&huge)));
    let limits = Limits { media: 5_000, attributes: 10_000, bytes: 1 << 20, ..Limits::default() };
    let text = repeated(|_| "m=audio 9 RTP/AVP 0\r\na=x\r\na=y".to_owned(), 5_000);
    let own = SessionDescription::parse_with(&text, &limits).expect("limits are the caller's");
    assert_eq!(own.media.len(), 5_000);
    assert_eq!(own.to_text(), text);
}

#[test]
fn a_hundred_crypto_lines_are_refused() {
    let crypto = |tag| {
        format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR")
    };
    assert!(is_limit(&judged(&repeated(crypto, 100))));
    let some = judged(&repeated(crypto, 32)).expect("within the limit");
    assert_eq!(some.attributes.all::<Crypto>().filter(Result::is_ok).count(), 32);
}

#[test]
fn numbers_out_of_range_cost_only_themselves() {
    let text = format!(
        "{HEAD}m=audio 9 RTP/AVP 128 300 -1 99999999999999999999 0 96\r\na=rtpmap:300 x/8000\r\na=rtpmap:96 y/0\r\n\
         a=ptime:0\r\na=maxptime:2147483648\r\nm=audio 70000 RTP/AVP 0\r\nm=audio 9/99999 RTP/AVP 0\r\n"
    );
    let description = judged(&text).expect("the rest is read");
    let [first, second, third] = description.media.as_slice() else { panic!("three streams") };
    let codecs: Vec<_> = first.rtp_codecs().iter().map(|codec| codec.payload_type).collect();
    assert_eq!(codecs, [0]);
    assert!(matches!(first.attributes.get::<Ptime>(), Some(Err(_))));
    assert!(matches!(first.attributes.get::<MaxPtime>(), Some(Err(_))));
    assert!(!first.is_rejected() && second.is_rejected() && third.is_rejected());
    assert_eq!(description.defects().len(), 2);
    assert_eq!(description.to_text(), text);
}

#[test]
fn control_characters_are_refused() {
    for bad in ["a=x\0y\r\n", "a=x\ry\r\n", "s=\r\r\n"] {
        let error = judged(&format!("{HEAD}{bad}")).expect_err("not within a line");
        assert_eq!(error.kind, ErrorKind::Control, "{bad:?}");
    }
}

#[test]
fn a_usual_offer_costs_few_allocations() {
    let offer = format!(
        "{HEAD}m=audio 49170 RTP/AVP 111 0 8 101\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    let (description, parse) = counted(|| SessionDescription::parse(&offer).expect("an offer"));
    let (text, print) = counted(|| description.to_text());
    assert_eq!(text, offer);
    assert!(parse.allocations <= 4, "{parse:?} to parse");
    assert_eq!(print.allocations, 1, "allocations to print");
}
