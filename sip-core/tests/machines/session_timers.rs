//! Session timers (RFC 4028), packet by packet.

use crate::{
    pair::Pair,
    solo::{Solo, ask, ask_with, reply, seconds},
};
use sip_core::{
    Method, NameAddr, Request, StatusCode,
    endpoint::{Call, Config, Event, OutgoingCall, RefreshBy, SessionTimers, TimerMode, Transport},
};

fn outgoing() -> OutgoingCall {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    OutgoingCall::new("sip:peer@192.0.2.2".parse().expect("a URI"), from)
}

/// A call of ours whose 2xx has these headers.
fn established(solo: &mut Solo, more: &str) -> (Call, Request) {
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 200, "peer", &format!("Contact: <sip:peer@192.0.2.2>\n{more}")));
    assert!(matches!(solo.event(), Event::Answered { .. }));
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.drain();
    solo.sent.clear();
    (call, invite)
}

/// A call of the peer's; our 2xx and tag.
fn answered(solo: &mut Solo, more: &str) -> (Option<String>, String) {
    solo.datagram(&ask("INVITE", "1", 1, "", more));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let ok = solo.response();
    let tag = ok.to().expect("To").tag().expect("a tag").to_owned();
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    assert!(matches!(solo.event(), Event::Confirmed { .. }));
    (ok.headers().text("Session-Expires").map(str::to_owned), tag)
}

#[test]
fn an_update_refreshes_at_half() {
    let mut solo = Solo::new();
    let (call, invite) = established(&mut solo, "Session-Expires: 600;refresher=uac\nAllow: INVITE, UPDATE");
    assert_eq!(invite.headers().text("Session-Expires"), Some("1800"));
    assert!(invite.headers().text("Supported").expect("Supported").contains("timer"));
    solo.pass(seconds(299.0));
    solo.quiet();
    solo.pass(seconds(1.5));
    let update = solo.request();
    assert_eq!((update.method(), update.body().len()), (&Method::Update, 0));
    assert_eq!(update.headers().text("Session-Expires"), Some("600;refresher=uac"));
    solo.sent.clear();
    solo.datagram(&reply(&update, 422, "", "Min-SE: 900"));
    let update = solo.request();
    assert_eq!(update.headers().text("Session-Expires"), Some("900;refresher=uac"), "RFC 4028 §7.3");
    assert_eq!(update.headers().text("Min-SE"), Some("900"));
    solo.datagram(&reply(&update, 200, "", "Session-Expires: 900;refresher=uac"));
    assert!(matches!(solo.event(), Event::Refreshed { call: c, by_remote: false } if c == call));
    solo.pass(seconds(449.0));
    solo.quiet();
    // Whatever the peer says next, it is tried again until the end.
    solo.pass(seconds(1.5));
    let update = solo.request();
    solo.sent.clear();
    solo.datagram(&reply(&update, 500, "", ""));
    solo.pass(seconds(5.0));
    let update = solo.request();
    assert_eq!(update.method(), &Method::Update);
    solo.datagram(&reply(&update, 481, "", ""));
    assert!(matches!(solo.event(), Event::Ended { .. }));
}

#[test]
fn without_update_the_user_is_asked() {
    let mut solo = Solo::new();
    let (call, _) = established(&mut solo, "Session-Expires: 90;refresher=uac\nAllow: INVITE");
    solo.pass(seconds(45.0));
    assert!(matches!(solo.event(), Event::RefreshDue { call: c } if c == call));
    solo.endpoint.reinvite(solo.now(), call, None).expect("established");
    solo.drain();
    let invite = solo.request();
    assert_eq!(invite.headers().text("Session-Expires"), Some("90;refresher=uac"));
    solo.datagram(&reply(&invite, 200, "", "Session-Expires: 90;refresher=uac"));
    assert!(matches!(solo.event(), Event::ReinviteAnswered { .. }));
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.pass(seconds(46.0));
    assert!(matches!(solo.event(), Event::RefreshDue { .. }));
    solo.sent.clear();
    // Nobody does anything: it ends a third of the interval before its end.
    solo.pass(seconds(15.0));
    assert_eq!(solo.request().method(), &Method::Bye);
    let Event::Ended { by_remote: false, reason, .. } = solo.event() else { panic!("Ended") };
    assert!(reason.contains("expired"), "{reason}");
}

#[test]
fn a_peer_that_does_not_refresh_is_hung_up_on() {
    let mut solo = Solo::new();
    let (ours, tag) = answered(&mut solo, "Supported: timer\nSession-Expires: 120;refresher=uac");
    assert_eq!(ours.as_deref(), Some("120;refresher=uac"));
    solo.pass(seconds(60.0));
    solo.datagram(&ask("UPDATE", "3", 2, &tag, "Supported: timer\nSession-Expires: 120;refresher=uac"));
    let ok = solo.response();
    assert_eq!(ok.headers().text("Session-Expires"), Some("120;refresher=uac"));
    assert_eq!(ok.headers().text("Require"), Some("timer"));
    assert!(matches!(solo.event(), Event::Refreshed { by_remote: true, .. }));
    solo.pass(seconds(87.0));
    solo.quiet();
    solo.pass(seconds(2.0));
    assert_eq!(solo.request().method(), &Method::Bye, "min(32 s, a third) before the end");
    assert!(matches!(solo.event(), Event::Ended { by_remote: false, .. }));
}

#[test]
fn who_refreshes() {
    // As pjsua expects it: its cases 171 and 173.
    let required = SessionTimers { mode: TimerMode::Required, ..SessionTimers::default() };
    let mut solo = Solo::with(Config { session_timers: required, ..Config::default() });
    assert_eq!(answered(&mut solo, "Supported: timer").0.as_deref(), Some("1800;refresher=uac"));
    let mut solo = Solo::new();
    let (ours, _) = answered(&mut solo, "Supported: timer\nSession-Expires: 1800");
    assert_eq!(ours.as_deref(), Some("1800;refresher=uac"));
    let mut solo = Solo::new();
    let (ours, _) = answered(&mut solo, "Supported: timer\nSession-Expires: 1800;refresher=uas");
    assert_eq!(ours.as_deref(), Some("1800;refresher=uas"));
    let mut solo = Solo::new();
    assert_eq!(answered(&mut solo, "").0, None, "one who cannot is not asked");
    let off = SessionTimers { mode: TimerMode::Off, ..SessionTimers::default() };
    let mut solo = Solo::with(Config { session_timers: off, ..Config::default() });
    assert_eq!(answered(&mut solo, "Supported: timer\nSession-Expires: 1800").0, None);
    let us = SessionTimers { refresher: Some(RefreshBy::Us), ..SessionTimers::default() };
    let mut solo = Solo::with(Config { session_timers: us, ..Config::default() });
    assert_eq!(answered(&mut solo, "k: timer\nx: 1800").0.as_deref(), Some("1800;refresher=uas"));
    let mut solo = Solo::new();
    assert_eq!(answered(&mut solo, "k: timer").0, None, "one who only could is left alone");
}

#[test]
fn intervals_too_small_and_extensions_missing() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", "Supported: timer\nSession-Expires: 60"));
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.headers().text("Min-SE")), (422, Some("90")));
    let (_, tag) = answered(&mut solo, "Supported: timer\nSession-Expires: 100");
    solo.datagram(&ask_with("INVITE", "5", 4, &tag, "Supported: timer\nSession-Expires: 60", "offer"));
    assert_eq!(solo.sent_summary(), ["422 INVITE"]);

    let required = SessionTimers { mode: TimerMode::Required, ..SessionTimers::default() };
    let mut solo = Solo::with(Config { session_timers: required, ..Config::default() });
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.headers().text("Require")), (421, Some("timer")));
}

#[test]
fn a_422_to_the_first_invite_is_followed() {
    let mut solo = Solo::new();
    let timers = SessionTimers { expires: 100, ..SessionTimers::default() };
    let call = OutgoingCall { session_timers: Some(timers), ..outgoing() };
    solo.endpoint.invite(solo.now(), call).expect("a call");
    solo.drain();
    let invite = solo.request();
    assert_eq!(invite.headers().text("Session-Expires"), Some("100"));
    solo.datagram(&reply(&invite, 422, "peer", "Min-SE: 300"));
    assert_eq!(solo.request().method(), &Method::Ack);
    let invite = solo.request();
    assert_eq!(
        (invite.headers().text("Session-Expires"), invite.headers().text("Min-SE")),
        (Some("300"), Some("300"))
    );
    assert_eq!(invite.cseq().expect("CSeq").number, 2);
    solo.datagram(&reply(&invite, 422, "peer", "Min-SE: 300"));
    assert!(matches!(
        solo.event(),
        Event::Failed { status: Some(StatusCode::SESSION_INTERVAL_TOO_SMALL), .. }
    ));
}

#[test]
fn two_endpoints_keep_a_call_alive_for_a_day() {
    let mut pair = Pair::new(3, &[Transport::Udp]);
    let call = pair.call("sip:bob@192.0.2.2");
    pair.run(seconds(86_400.0));
    assert_eq!(pair.alice.over, [], "{:?}", pair.alice.log);
    let updates = pair.alice.sent.iter().filter(|s| *s == "UPDATE").count();
    assert!((95..=96).contains(&updates), "every 900 s: {updates}");
    pair.network.set_default(testkit::Link::down());
    pair.run(seconds(2_000.0));
    assert_eq!(
        (pair.alice.over.as_slice(), pair.bob.over.len()),
        ([call].as_slice(), 1),
        "both notice the end"
    );
    pair.assert_clean();
}
