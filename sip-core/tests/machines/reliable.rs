//! Reliable provisional responses (RFC 3262), packet by packet.

use crate::{
    pair::Pair,
    solo::{Solo, ask, ask_with, reply, reply_with, seconds},
};
use sip_core::{
    Method, NameAddr, StatusCode,
    endpoint::{Body, Call, Cause, Config, Event, OutgoingCall, Reliable, Transport},
};

fn sdp(text: &'static str) -> Option<Body> {
    Some(Body::new("application/sdp", text))
}

fn outgoing(body: Option<Body>) -> OutgoingCall {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    OutgoingCall { body, ..OutgoingCall::new("sip:peer@192.0.2.2".parse().expect("a URI"), from) }
}

fn incoming(solo: &mut Solo, more: &str, body: &str) -> Call {
    solo.datagram(&ask_with("INVITE", "1", 1, "", more, body));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    call
}

const CAN: &str = "Supported: 100rel";
const CONTACT: &str = "Contact: <sip:peer@192.0.2.2:5070>";

#[test]
fn an_answer_waits_for_the_prack() {
    let mut solo = Solo::new();
    let call = incoming(&mut solo, CAN, "offer");
    let now = solo.now();
    solo.endpoint.provisional(now, call, StatusCode::SESSION_PROGRESS, sdp("answer")).expect("it rings");
    solo.endpoint.provisional(now, call, StatusCode::RINGING, sdp("answer")).expect("it is queued");
    solo.drain();
    let progress = solo.response();
    assert_eq!(progress.headers().text("Require"), Some("100rel"));
    let allow = progress.headers().text("Allow").unwrap_or_default();
    assert!(allow.contains("UPDATE"), "RFC 3311 §4: it may be changed before it is answered");
    let rseq: u32 = progress.headers().text("RSeq").expect("RSeq").parse().expect("a number");
    let tag = progress.to().expect("To").tag().expect("a tag").to_owned();
    solo.quiet();
    solo.endpoint.accept(now, call, Vec::new(), None).expect("it is held");
    assert!(solo.endpoint.accept(now, call, Vec::new(), None).is_err(), "once");
    solo.pass(seconds(1.6));
    assert_eq!(solo.sent_summary(), ["183 INVITE"; 2], "RFC 3262 §3: after T1 and 2 × T1 more");
    let prack = |rseq: u32, branch: &str, cseq: u32| {
        ask("PRACK", branch, cseq, &tag, &format!("RAck: {rseq} 1 INVITE"))
    };
    solo.datagram(&prack(rseq + 1, "2", 2));
    assert_eq!(solo.sent_summary(), ["481 PRACK"], "for a response that was not sent");
    solo.datagram(&ask("PRACK", "2b", 3, &tag, ""));
    assert_eq!(solo.sent_summary(), ["400 PRACK"], "for nothing");
    solo.datagram(&prack(rseq, "3", 4));
    assert_eq!(solo.sent_summary(), ["200 PRACK", "200 INVITE"]);
    assert!(matches!(solo.event(), Event::Pracked { call: c, .. } if c == call));
    solo.datagram(&prack(rseq, "3", 4));
    assert_eq!(solo.sent_summary(), ["200 PRACK"], "a repeated PRACK is its transaction's");
    solo.datagram(&ask("ACK", "4", 1, &tag, ""));
    assert!(matches!(solo.event(), Event::Confirmed { .. }));
    solo.pass(seconds(40.0));
    solo.quiet();
}

#[test]
fn one_after_the_other() {
    let mut solo = Solo::new();
    let call = incoming(&mut solo, "Require: 100rel", "");
    for status in [StatusCode::RINGING, StatusCode::SESSION_PROGRESS, StatusCode::QUEUED] {
        solo.endpoint.provisional(solo.now(), call, status, None).expect("it rings");
    }
    let mut numbers = Vec::new();
    for (n, status) in [180, 183, 182].into_iter().enumerate() {
        solo.drain();
        let response = solo.response();
        assert_eq!(response.status().code(), status);
        let rseq: u32 = response.headers().text("RSeq").expect("RSeq").parse().expect("a number");
        numbers.push(rseq);
        let tag = response.to().expect("To").tag().expect("a tag").to_owned();
        let cseq = u32::try_from(n).expect("few") + 2;
        solo.datagram(&ask("PRACK", &format!("p{n}"), cseq, &tag, &format!("RAck: {rseq} 1 INVITE")));
        let at = solo.sent.iter().position(|(_, m)| crate::solo::summary(m) == "200 PRACK").expect("200");
        solo.sent.remove(at);
    }
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
    solo.quiet_but_events();
}

#[test]
fn without_a_prack_the_call_fails() {
    let mut solo = Solo::new();
    let call = incoming(&mut solo, "Require: 100rel", "");
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.pass(seconds(31.9));
    assert_eq!(solo.sent_summary(), ["180 INVITE"; 7]);
    solo.pass(seconds(0.2));
    assert_eq!(solo.sent_summary(), ["504 INVITE"], "RFC 3262 §3: 5xx after 64 × T1");
    assert!(matches!(solo.event(), Event::Failed { call: c, cause: Cause::NoAck, .. } if c == call));
}

#[test]
fn who_can_and_who_must() {
    let mut solo = Solo::with(Config { reliable: Reliable::Off, ..Config::default() });
    solo.datagram(&ask("INVITE", "1", 1, "", "Require: 100rel"));
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.headers().text("Unsupported")), (420, Some("100rel")));

    let mut solo = Solo::with(Config { reliable: Reliable::Required, ..Config::default() });
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.headers().text("Require")), (421, Some("100rel")));
    solo.datagram(&ask("INVITE", "2", 1, "", CAN));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    assert!(solo.response().headers().contains("RSeq"));

    // Without a body and without need it is not reliable; nor to one who cannot.
    let mut solo = Solo::new();
    let call = incoming(&mut solo, CAN, "offer");
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    assert!(!solo.response().headers().contains("RSeq"));
    let mut solo = Solo::new();
    let call = incoming(&mut solo, "", "offer");
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, sdp("answer")).expect("it rings");
    solo.drain();
    assert!(!solo.response().headers().contains("RSeq"));

    let mut solo = Solo::new();
    let required = OutgoingCall { reliable: Some(Reliable::Required), ..outgoing(None) };
    solo.endpoint.invite(solo.now(), required).expect("a call");
    let off = OutgoingCall { reliable: Some(Reliable::Off), ..outgoing(None) };
    solo.endpoint.invite(solo.now(), off).expect("a call");
    solo.drain();
    let invite = solo.request();
    assert_eq!(invite.headers().text("Require"), Some("100rel"));
    assert!(invite.headers().text("Supported").expect("Supported").contains("100rel"));
    assert!(!solo.request().headers().text("Supported").expect("Supported").contains("100rel"));
}

#[test]
fn responses_are_acknowledged_in_order() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing(sdp("offer"))).expect("a call");
    solo.drain();
    let invite = solo.request();
    let progress = |rseq: u32| {
        reply_with(&invite, 183, "peer", &format!("{CONTACT}\nRequire: 100rel\nRSeq: {rseq}"), "answer")
    };
    solo.datagram(&progress(7));
    assert!(matches!(solo.event(), Event::Provisional { .. }));
    let prack = solo.request();
    assert_eq!((prack.method(), prack.uri_text()), (&Method::Prack, "sip:peer@192.0.2.2:5070"));
    assert_eq!(prack.headers().text("RAck"), Some("7 1 INVITE"));
    assert_eq!(prack.cseq().expect("CSeq").number, 2);
    solo.datagram(&progress(7));
    solo.datagram(&progress(9));
    solo.quiet();
    solo.datagram(&reply(&prack, 200, "", ""));
    solo.datagram(&progress(8));
    assert!(matches!(solo.event(), Event::Provisional { .. }));
    assert_eq!(solo.request().headers().text("RAck"), Some("8 1 INVITE"));
    // Each branch of a fork counts by itself.
    solo.datagram(&reply(&invite, 180, "other", "Contact: <sip:o@192.0.2.3>\nRequire: 100rel\nRSeq: 1"));
    let prack = solo.request();
    assert_eq!((prack.uri_text(), prack.headers().text("RAck")), ("sip:o@192.0.2.3", Some("1 1 INVITE")));
    solo.events.clear();
    solo.datagram(&reply(&invite, 200, "peer", CONTACT));
    let Event::Answered { call: c, response } = solo.event() else { panic!("Answered") };
    assert_eq!((c, response.body().as_ref()), (call, b"answer".as_ref()), "the 2xx does not repeat it");
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.drain();
    let ack = solo.sent.pop_back().expect("ACK").1;
    assert_eq!(ack.headers().text("CSeq"), Some("1 ACK"), "PRACKs do not change the ACK's number");
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    assert_eq!(solo.request().cseq().expect("CSeq").number, 4);
}

#[test]
fn an_offer_in_a_response_is_answered_by_the_user() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing(None)).expect("a call");
    solo.drain();
    let invite = solo.request();
    let more = format!("{CONTACT}\nRequire: 100rel\nRSeq: 1");
    solo.datagram(&reply_with(&invite, 183, "peer", &more, "offer"));
    assert!(matches!(solo.event(), Event::Provisional { .. }));
    let Event::PrackDue { call: c, id } = solo.event() else { panic!("PrackDue") };
    assert_eq!(c, call);
    solo.quiet();
    solo.endpoint.prack(solo.now(), call, id, sdp("answer")).expect("it is due");
    assert!(solo.endpoint.prack(solo.now(), call, id, None).is_err(), "once");
    solo.drain();
    let prack = solo.request();
    assert_eq!(prack.body().as_ref(), b"answer");
    solo.datagram(&reply(&prack, 200, "", ""));
    assert!(matches!(solo.event(), Event::PrackAnswered { .. }));
    // What follows offers nothing.
    solo.datagram(&reply_with(&invite, 183, "peer", &more.replace("RSeq: 1", "RSeq: 2"), "offer"));
    assert!(matches!(solo.event(), Event::Provisional { .. }));
    assert_eq!(solo.request().method(), &Method::Prack);
    solo.quiet();
}

#[test]
fn an_answer_and_an_offer_in_a_prack() {
    let mut solo = Solo::new();
    let call = incoming(&mut solo, CAN, "");
    solo.endpoint
        .provisional(solo.now(), call, StatusCode::SESSION_PROGRESS, sdp("offer"))
        .expect("it rings");
    solo.drain();
    let progress = solo.response();
    let rseq: u32 = progress.headers().text("RSeq").expect("RSeq").parse().expect("a number");
    let tag = progress.to().expect("To").tag().expect("a tag").to_owned();
    solo.datagram(&ask_with("PRACK", "2", 2, &tag, &format!("RAck: {rseq} 1 INVITE"), "answer"));
    assert_eq!(solo.sent_summary(), ["200 PRACK"]);
    let Event::Pracked { request, .. } = solo.event() else { panic!("Pracked") };
    assert_eq!(request.body().as_ref(), b"answer");
    solo.endpoint.provisional(solo.now(), call, StatusCode::SESSION_PROGRESS, sdp("same")).expect("it rings");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["183 INVITE"]);
    solo.datagram(&ask_with("PRACK", "3", 3, &tag, &format!("RAck: {} 1 INVITE", rseq + 1), "another"));
    let Event::Reinvite { id, request, .. } = solo.event() else { panic!("an offer") };
    assert_eq!(request.method(), &Method::Prack);
    solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), sdp("its answer")).expect("it waits");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["200 PRACK"]);
    // The first offer is answered: UPDATE may bring another (RFC 3311 §5.1).
    solo.datagram(&ask_with("UPDATE", "4", 4, &tag, "", "more"));
    let Event::Reinvite { id, .. } = solo.event() else { panic!("an offer") };
    solo.datagram(&ask_with("UPDATE", "5", 5, &tag, "", "more"));
    assert_eq!(solo.sent_summary(), ["500 UPDATE"], "one at a time");
    solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), sdp("more")).expect("it waits");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["200 UPDATE"]);
}

#[test]
fn over_loss_every_call_comes_up_once() {
    let mut pracks = 0;
    for seed in 0..100 {
        let config = Config { reliable: Reliable::Required, ..Config::default() };
        let mut pair = Pair::with(seed, &[Transport::Udp], config);
        pair.network.set_default(testkit::Link::lossy(0.2));
        let call = pair.call("sip:bob@192.0.2.2");
        pair.run(seconds(31.0));
        assert_eq!((pair.alice.up.as_slice(), pair.bob.up.len()), ([call].as_slice(), 1), "seed {seed}");
        pracks += pair.alice.sent.iter().filter(|s| *s == "PRACK").count();
        pair.hang_up(call);
        pair.run(seconds(200.0));
        pair.assert_clean();
    }
    assert!(pracks > 50, "{pracks}");
}

#[test]
fn hung_up_while_the_answer_waits() {
    let mut solo = Solo::new();
    let call = incoming(&mut solo, CAN, "offer");
    let now = solo.now();
    solo.endpoint.provisional(now, call, StatusCode::SESSION_PROGRESS, sdp("answer")).expect("it rings");
    solo.drain();
    let progress = solo.response();
    let rseq = progress.headers().text("RSeq").expect("RSeq").to_owned();
    let tag = progress.to().expect("To").tag().expect("a tag").to_owned();
    solo.endpoint.accept(now, call, Vec::new(), None).expect("it is held");
    solo.endpoint.bye(now, call, Vec::new()).expect("it is accepted, for its user");
    solo.drain();
    solo.quiet();
    solo.datagram(&ask("PRACK", "2", 2, &tag, &format!("RAck: {rseq} 1 INVITE")));
    assert_eq!(solo.sent_summary(), ["200 PRACK", "200 INVITE"]);
    solo.datagram(&ask("ACK", "3", 1, &tag, ""));
    assert_eq!(solo.sent_summary(), ["BYE"]);
}

/// RFC 6141 §4.6, §4.7, §4.9: what refreshes the target of a dialog while an INVITE goes on.
#[test]
fn targets_refreshed_by_reliable_responses() {
    let mut solo = Solo::new();
    let call = crate::calls::established(&mut solo);
    let moved = "Contact: <sip:peer@192.0.2.7>";
    let reliable = format!("{moved}\nRequire: 100rel\nRSeq: 1");
    // An unreliable response to a re-INVITE of ours does not, a reliable one does, even if it fails.
    for (more, target) in [(moved, "sip:peer@192.0.2.2:5070"), (reliable.as_str(), "sip:peer@192.0.2.7")] {
        solo.endpoint.reinvite(solo.now(), call, sdp("more")).expect("established");
        solo.drain();
        let invite = solo.request();
        solo.datagram(&reply(&invite, 183, "", more));
        if more == reliable {
            let prack = solo.request();
            assert_eq!((prack.method(), prack.uri_text()), (&Method::Prack, target));
        }
        solo.datagram(&reply(&invite, 488, "", ""));
        assert_eq!(solo.request().method(), &Method::Ack);
        solo.endpoint.update(solo.now(), call, None).expect("established");
        solo.drain();
        let update = solo.request();
        assert_eq!(update.uri_text(), target);
        solo.datagram(&reply(&update, 200, "", ""));
        solo.events.clear();
    }
    // A re-INVITE of the peer's: an error leaves the target, a reliable response takes the new one.
    let tag = solo.endpoint.dialog_id(call).expect("a dialog").local_tag;
    let id = solo.endpoint.dialog_id(call).expect("a dialog").call_id;
    for (status, target) in [(180, "sip:peer@192.0.2.7"), (183, "sip:peer@192.0.2.8:5060")] {
        let invite = ask_with("INVITE", &format!("t{status}"), status, &tag, CAN, "offer")
            .replace("Call-ID: call", &format!("Call-ID: {id}"))
            .replace("Contact: <sip:peer@192.0.2.2:5060>", "Contact: <sip:peer@192.0.2.8:5060>");
        solo.datagram(&invite);
        let Event::Reinvite { id, .. } = solo.event() else { panic!("Reinvite") };
        let body = if status == 183 { sdp("answer") } else { None };
        let progress = StatusCode::new(u16::try_from(status).expect("small")).expect("a status");
        solo.endpoint.respond(solo.now(), id, progress, Vec::new(), body).expect("it waits");
        if status == 180 {
            let refused = StatusCode::NOT_ACCEPTABLE_HERE;
            solo.endpoint.respond(solo.now(), id, refused, Vec::new(), None).expect("it waits");
        }
        solo.drain();
        solo.sent.clear();
        solo.endpoint.request_in_dialog(solo.now(), call, Method::Info, Vec::new(), None).expect("a dialog");
        solo.drain();
        assert_eq!(solo.request().uri_text(), target, "{status}");
    }
}

#[test]
fn targets_of_early_dialogs() {
    let mut solo = Solo::new();
    solo.endpoint.invite(solo.now(), outgoing(sdp("offer"))).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 180, "peer", CONTACT));
    solo.datagram(&reply(&invite, 183, "peer", "Contact: <sip:peer@192.0.2.7>"));
    solo.datagram(&reply(&invite, 183, "peer", "Contact: <sip:peer@192.0.2.8>\nRequire: 100rel\nRSeq: 1"));
    assert_eq!(solo.request().uri_text(), "sip:peer@192.0.2.8", "a reliable one refreshes");
    solo.datagram(&reply(&invite, 183, "peer", "Contact: <sip:peer@192.0.2.9>"));
    solo.datagram(&reply(&invite, 183, "peer", "Require: 100rel\nRSeq: 2"));
    assert_eq!(solo.request().uri_text(), "sip:peer@192.0.2.8", "and an unreliable one does not");
}

/// RFC 8840 §4.3.2: what nobody acknowledges is repeated until something shows that it came.
#[test]
fn an_unreliable_response_is_repeated_until_the_peer_is_heard() {
    let progress = |more: &str| {
        let mut solo = Solo::new();
        let call = incoming(&mut solo, more, "offer");
        let now = solo.now();
        let status = StatusCode::SESSION_PROGRESS;
        solo.endpoint.provisional_repeated(now, call, status, sdp("answer"), 3).expect("it rings");
        solo.drain();
        let tag = solo.response().to().expect("To").tag().expect("a tag").to_owned();
        (solo, call, tag)
    };
    let (mut solo, _, _) = progress("");
    solo.pass(seconds(50.0));
    assert_eq!(solo.sent_summary(), ["183 INVITE"; 3], "three times");
    assert!(solo.events.is_empty(), "and nothing follows from it: {:?}", solo.events);

    let (mut solo, _, tag) = progress("");
    solo.pass(seconds(1.0));
    assert_eq!(solo.sent_summary(), ["183 INVITE"]);
    solo.datagram(&ask("INFO", "2", 2, &tag, ""));
    let Event::Request { id, .. } = solo.event() else { panic!("a request") };
    let now = solo.now();
    solo.endpoint.respond(now, id, StatusCode::OK, Vec::new(), None).expect("it waits");
    solo.drain();
    solo.pass(seconds(50.0));
    assert_eq!(solo.sent_summary(), ["200 INFO"]);

    let (mut solo, call, _) = progress("");
    solo.endpoint.provisional_arrived(call);
    solo.pass(seconds(50.0));
    solo.quiet();

    let (mut solo, call, tag) = progress("");
    let now = solo.now();
    solo.endpoint.accept(now, call, Vec::new(), sdp("answer")).expect("it rings");
    solo.drain();
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    solo.pass(seconds(50.0));
    assert_eq!(solo.sent_summary(), ["200 INVITE"]);

    // What is acknowledged is repeated as RFC 3262 says.
    let (mut solo, _, _) = progress(CAN);
    solo.pass(seconds(31.9));
    assert_eq!(solo.sent_summary(), ["183 INVITE"; 6]);
}
