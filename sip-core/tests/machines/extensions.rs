//! Smaller extensions of calls: INFO packages, dispositions, reasons, what others than INVITE may get.

use crate::solo::{Solo, ask, ask_with, reply};
use sip_core::{
    Method, NameAddr, StatusCode,
    endpoint::{Config, Event, OutgoingCall},
    header::{MaxBreadth, Reason, TypedHeader},
};

fn outgoing() -> OutgoingCall {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    OutgoingCall::new("sip:peer@192.0.2.2".parse().expect("a URI"), from)
}

/// Answers a call of the peer's: our tag.
fn answered(solo: &mut Solo) -> String {
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let ok = solo.response();
    let packages = ok.headers().text("Recv-Info").map(str::to_owned);
    assert_eq!(packages.as_deref(), Some("g.dtmf").filter(|_| packages.is_some()));
    let tag = ok.to().expect("To").tag().expect("a tag").to_owned();
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    solo.events.clear();
    tag
}

#[test]
fn info_packages() {
    let info_packages = vec!["g.dtmf".to_owned()];
    let mut solo = Solo::with(Config { info_packages, ..Config::default() });
    solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    assert_eq!(solo.request().headers().text("Recv-Info"), Some("g.dtmf"));
    let tag = answered(&mut solo);
    solo.datagram(&ask("INFO", "3", 2, &tag, "Info-Package: other"));
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.headers().text("Recv-Info")), (469, Some("g.dtmf")));
    solo.datagram(&ask("INFO", "4", 3, &tag, "Info-Package: g.dtmf"));
    assert!(matches!(solo.event(), Event::Request { .. }));
    solo.datagram(&ask("INFO", "5", 4, &tag, ""));
    assert!(matches!(solo.event(), Event::Request { .. }), "RFC 6086 §9: as before packages");
}

#[test]
fn what_is_announced_later_stands_in_what_follows() {
    let mut solo = Solo::new();
    assert!(solo.endpoint.announce("no token", "x").is_err());
    for _ in 0..2 {
        solo.endpoint.announce("trickle-ice", "trickle-ice").expect("two tokens");
    }
    solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    let has = |headers: &sip_core::Headers, name: &str| {
        headers.text(name).is_some_and(|text| text.matches("trickle-ice").count() == 1)
    };
    assert!(has(invite.headers(), "Supported") && has(invite.headers(), "Recv-Info"));
    solo.datagram(&ask("INVITE", "1", 1, "", "Require: trickle-ice"));
    let Event::Incoming { call, .. } = solo.event() else { panic!("a call that requires what we have") };
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    let ringing = solo.response();
    assert!(has(ringing.headers(), "Supported") && has(ringing.headers(), "Recv-Info"));
    let mut solo = Solo::new();
    solo.endpoint.announce("trickle-ice", "trickle-ice").expect("two tokens");
    solo.endpoint.renounce("trickle-ice", "trickle-ice");
    solo.datagram(&ask("INVITE", "1", 1, "", "Require: trickle-ice"));
    assert_eq!(solo.response().headers().text("Unsupported"), Some("trickle-ice"));
}

#[test]
fn bodies_that_must_be_understood() {
    let mut solo = Solo::new();
    solo.datagram(&ask_with("INVITE", "1", 1, "", "Content-Disposition: signal", "x"));
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.headers().text("Accept")), (415, Some("application/sdp")));
    solo.datagram(&ask_with("INVITE", "2", 1, "", "Content-Disposition: signal;handling=optional", "x"));
    assert!(matches!(solo.event(), Event::Incoming { .. }));
}

#[test]
fn why_a_call_was_cancelled() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    let reason = Reason::parse("SIP;cause=200;text=\"Call completed elsewhere\"").expect("a reason");
    solo.endpoint.cancel_because(solo.now(), call, &reason).expect("it waits");
    solo.datagram(&reply(&invite, 180, "peer", ""));
    let cancel = solo.request();
    assert_eq!(cancel.method(), &Method::Cancel);
    assert_eq!(cancel.headers().text("Reason"), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
}

#[test]
fn what_others_than_invite_never_get() {
    let mut solo = Solo::new();
    let tag = answered(&mut solo);
    solo.datagram(&ask("INFO", "3", 2, &tag, ""));
    let Event::Request { id, .. } = solo.event() else { panic!("Request") };
    for status in [StatusCode::REQUEST_TIMEOUT, StatusCode::SESSION_PROGRESS] {
        assert!(solo.endpoint.respond(solo.now(), id, status, Vec::new(), None).is_err(), "RFC 4320 §4");
    }
    solo.drain();
    solo.quiet();
    solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), None).expect("it waits");
}

#[test]
fn an_update_in_an_early_dialog() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 180, "peer", "Contact: <sip:peer@192.0.2.2>"));
    let ours = invite.from().expect("From").tag().expect("a tag").to_owned();
    let call_id = invite.call_id().expect("Call-ID").0;
    let update = |n: u32, body: &str| {
        ask_with("UPDATE", &format!("u{n}"), n, &ours, "", body)
            .replace("Call-ID: call", &format!("Call-ID: {call_id}"))
    };
    solo.datagram(&update(1, "offer"));
    assert_eq!(solo.sent_summary(), ["491 UPDATE"], "RFC 3311 §5.2: our INVITE's offer is not answered");
    solo.datagram(&update(2, "").replace("sip:peer@192.0.2.2:5060>", "sip:peer@192.0.2.77>"));
    assert_eq!(solo.sent_summary(), ["200 UPDATE"]);
    solo.endpoint.update(solo.now(), call, None).expect("an early dialog");
    solo.drain();
    assert_eq!(solo.request().uri_text(), "sip:peer@192.0.2.77", "the target is new");
}

/// RFC 5393 §5.3.4, §5.3.5: breadth is the proxies' matter. We may say how much of it a request has,
/// a request for us is served with any, and 440 is a refusal like others.
#[test]
fn breadth() {
    let mut solo = Solo::new();
    let headers = vec![("Max-Breadth".to_owned(), "1".to_owned())];
    let call = solo.endpoint.invite(solo.now(), OutgoingCall { headers, ..outgoing() }).expect("a call");
    solo.drain();
    let invite = solo.request();
    assert_eq!(invite.header(), Some(MaxBreadth(1)));
    solo.datagram(&reply(&invite, 440, "proxy", ""));
    assert!(matches!(
        solo.event(),
        Event::Failed { call: c, status: Some(StatusCode::MAX_BREADTH_EXCEEDED), .. } if c == call
    ));
    solo.sent.clear();
    for (n, breadth) in [(1, "Max-Breadth: 0"), (2, "Max-Breadth: 60"), (3, "Max-Breadth: many")] {
        let request = ask("OPTIONS", &format!("b{n}"), n, "", breadth);
        solo.datagram(&request);
        assert_eq!(solo.sent_summary(), ["200 OPTIONS"], "{breadth}");
    }
}
