//! Calls, seen packet by packet and event by event.

use crate::solo::{Solo, addr, ask, ask_with, reply, seconds};
use sip_core::{
    Message, Method, NameAddr, Response, StatusCode,
    endpoint::{Body, Call, Cause, Event, OutgoingCall},
};

fn outgoing() -> OutgoingCall {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let body = Some(Body::new("application/sdp", "offer"));
    OutgoingCall { body, ..OutgoingCall::new("sip:peer@192.0.2.2".parse().expect("a URI"), from) }
}

const CONTACT: &str = "Contact: <sip:peer@192.0.2.2:5070>";

fn tag(response: &Response) -> String {
    response.to().expect("To").tag().expect("a tag").to_owned()
}

/// A call of ours that is established.
pub(crate) fn established(solo: &mut Solo) -> Call {
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 200, "peer", CONTACT));
    assert!(matches!(solo.event(), Event::Answered { call: c, .. } if c == call));
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.drain();
    assert_eq!(solo.request().method(), &Method::Ack);
    call
}

/// A call of the peer's that is established, and our tag in it.
fn answered(solo: &mut Solo) -> (Call, String) {
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let tag = tag(&solo.response());
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    assert!(matches!(solo.event(), Event::Confirmed { call: c, .. } if c == call));
    (call, tag)
}

#[test]
fn an_outgoing_call() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    assert_eq!(invite.uri_text(), "sip:peer@192.0.2.2");
    assert_eq!(invite.headers().text("Contact"), Some("<sip:us@192.0.2.1:5060>"));
    assert_eq!(invite.headers().text("Content-Type"), Some("application/sdp"));
    assert!(invite.headers().text("Via").expect("Via").contains(";rport"), "RFC 3581");
    assert_eq!(invite.body().as_ref(), b"offer");

    solo.datagram(&reply(&invite, 100, "", ""));
    solo.quiet();
    solo.datagram(&reply(&invite, 180, "peer", CONTACT));
    assert!(
        matches!(solo.event(), Event::Provisional { response, .. } if response.status() == StatusCode::RINGING)
    );
    solo.datagram(&reply(&invite, 200, "peer", CONTACT));
    assert!(matches!(solo.event(), Event::Answered { call: c, .. } if c == call));
    solo.quiet();

    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.drain();
    let (to, ack) = solo.sent.pop_front().expect("the ACK");
    assert_eq!(to, addr("192.0.2.2:5070"), "to the Contact of the 2xx");
    let Message::Request(ack) = ack else { panic!("a request") };
    assert_eq!((ack.method(), ack.uri_text()), (&Method::Ack, "sip:peer@192.0.2.2:5070"));
    assert_eq!(ack.cseq().expect("CSeq").number, 1);
    assert_ne!(ack.via().expect("Via").branch(), invite.via().expect("Via").branch());
    assert!(solo.endpoint.ack(solo.now(), call, None).is_err(), "once");

    // RFC 3261 §13.2.2.4: a repeated 2xx gets the ACK again.
    solo.datagram(&reply(&invite, 200, "peer", CONTACT));
    assert_eq!(solo.request().to_bytes(), ack.to_bytes());
    solo.quiet();

    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    let bye = solo.request();
    assert_eq!((bye.method(), bye.cseq().expect("CSeq").number), (&Method::Bye, 2));
    solo.datagram(&reply(&bye, 200, "", ""));
    assert!(matches!(solo.event(), Event::Ended { call: c, by_remote: false, .. } if c == call));
    solo.pass(seconds(40.0));
    solo.quiet();
    let stats = solo.endpoint.stats();
    assert_eq!((stats.calls, stats.client_transactions, stats.server_transactions), (0, 0, 0));
    assert_eq!(solo.idle, None, "nothing is left to wait for");
}

#[test]
fn an_incoming_call() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", "Record-Route: <sip:192.0.2.9;lr>"));
    let Event::Incoming { call, request } = solo.event() else { panic!("Incoming") };
    assert_eq!(request.method(), &Method::Invite);
    solo.pass(seconds(0.19));
    solo.quiet();
    solo.pass(seconds(0.02));
    assert_eq!(solo.sent_summary(), ["100 INVITE"]);
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    let ringing = solo.response();
    assert_eq!(ringing.headers().text("Record-Route"), Some("<sip:192.0.2.9;lr>"));
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    assert_eq!(solo.sent_summary(), ["180 INVITE"], "a retransmission gets the last response");
    solo.endpoint
        .accept(solo.now(), call, Vec::new(), Some(Body::new("application/sdp", "answer")))
        .expect("ok");
    solo.drain();
    let ok = solo.response();
    assert_eq!(tag(&ok), tag(&ringing));
    assert_eq!(ok.headers().text("Contact"), Some("<sip:us@192.0.2.1:5060>"));
    // RFC 3261 §13.3.1.4: repeated after 0.5, 1.5, 3.5 s until the ACK.
    solo.pass(seconds(4.0));
    assert_eq!(solo.sent_summary(), ["200 INVITE"; 3]);
    solo.datagram(&ask("ACK", "2", 1, &tag(&ok), ""));
    assert!(matches!(solo.event(), Event::Confirmed { call: c, .. } if c == call));
    solo.datagram(&ask("ACK", "2", 1, &tag(&ok), ""));
    solo.pass(seconds(4.0));
    solo.quiet();
    solo.datagram(&ask("BYE", "3", 2, &tag(&ok), "Reason: Q.850;cause=16"));
    assert_eq!(solo.sent_summary(), ["200 BYE"]);
    let Event::Ended { by_remote: true, request: Some(_), reason, .. } = solo.event() else {
        panic!("Ended")
    };
    assert_eq!(reason, "Q.850;cause=16");
    solo.datagram(&ask("BYE", "3", 2, &tag(&ok), ""));
    assert_eq!(solo.sent_summary(), ["200 BYE"], "a repeated BYE is answered by its transaction");
    solo.datagram(&ask("BYE", "4", 3, &tag(&ok), ""));
    assert_eq!(solo.sent_summary(), ["481 BYE"], "another one finds no call");
    solo.pass(seconds(70.0));
    let stats = solo.endpoint.stats();
    assert_eq!((stats.calls, stats.server_transactions), (0, 0));
}

/// RFC 3261 §13.3.1.1: so that no proxy gives the call up.
#[test]
fn ringing_is_told_every_minute() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["180 INVITE"]);
    solo.pass(seconds(59.0));
    solo.quiet();
    solo.pass(seconds(122.0));
    assert_eq!(solo.sent_summary(), ["180 INVITE"; 3]);
    let progress = Some(Body::new("application/sdp", "answer"));
    solo.endpoint.provisional(solo.now(), call, StatusCode::SESSION_PROGRESS, progress).expect("early media");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["183 INVITE"]);
    solo.pass(seconds(61.0));
    assert_eq!(solo.sent_summary(), ["183 INVITE"], "the last one, from then on");
    solo.endpoint.reject(solo.now(), call, StatusCode::BUSY_HERE, None, Vec::new()).expect("no");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["486 INVITE"]);
    solo.datagram(&ask("ACK", "1", 1, "", ""));
    solo.pass(seconds(200.0));
    assert!(!solo.sent_summary().contains(&"183 INVITE".to_owned()), "not after the end");
}

#[test]
fn requests_of_a_callee_follow_the_record_route() {
    let mut solo = Solo::new();
    let routes = "Record-Route: <sip:192.0.2.8;lr>\nRecord-Route: <sip:192.0.2.9;lr>";
    solo.datagram(&ask("INVITE", "1", 1, "", routes));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("ok");
    solo.drain();
    let tag = tag(&solo.response());
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    let (to, message) = solo.sent.pop_front().expect("BYE");
    assert_eq!(to, addr("192.0.2.8:5060"));
    let Message::Request(bye) = message else { panic!("a request") };
    assert_eq!(bye.uri_text(), "sip:peer@192.0.2.2:5060");
    assert_eq!(
        bye.headers().texts("Route").collect::<Vec<_>>(),
        ["<sip:192.0.2.8;lr>", "<sip:192.0.2.9;lr>"]
    );
}

#[test]
fn a_refused_call_is_acknowledged_hop_by_hop() {
    let mut solo = Solo::new();
    let route = vec!["<sip:192.0.2.9;lr>".parse().expect("a route")];
    let call = solo.endpoint.invite(solo.now(), OutgoingCall { route, ..outgoing() }).expect("a call");
    solo.drain();
    let (to, _) = solo.sent.front().expect("INVITE").clone();
    assert_eq!(to, addr("192.0.2.9:5060"));
    let invite = solo.request();
    solo.datagram(&reply(&invite, 486, "peer", ""));
    let ack = solo.request();
    assert_eq!((ack.method(), ack.uri_text()), (&Method::Ack, invite.uri_text()));
    assert_eq!(ack.headers().text("Via"), invite.headers().text("Via"), "RFC 3261 §17.1.1.3");
    assert_eq!(ack.headers().text("Route"), invite.headers().text("Route"));
    assert_eq!(ack.to().expect("To").tag(), Some("peer"));
    let Event::Failed { call: c, cause: Cause::Refused, status, reason, .. } = solo.event() else {
        panic!("Failed")
    };
    assert_eq!((c, status, reason.as_str()), (call, Some(StatusCode::BUSY_HERE), "Reason"));
    solo.datagram(&reply(&invite, 486, "peer", ""));
    assert_eq!(solo.sent_summary(), ["ACK"]);
    solo.pass(seconds(33.0));
    solo.quiet();
    assert_eq!(solo.endpoint.stats().client_transactions, 0);
}

#[test]
fn a_call_to_nobody_times_out() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    solo.pass(seconds(31.9));
    assert_eq!(solo.sent_summary().len(), 7);
    assert!(solo.events.is_empty());
    solo.pass(seconds(0.2));
    assert!(
        matches!(solo.event(), Event::Failed { call: c, cause: Cause::Timeout, status: None, .. } if c == call)
    );
    assert_eq!(solo.idle, None);
}

#[test]
fn a_cancel_waits_for_a_provisional() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.endpoint.cancel(solo.now(), call).expect("it rings");
    solo.drain();
    solo.quiet();
    solo.datagram(&reply(&invite, 100, "", ""));
    let cancel = solo.request();
    assert_eq!(cancel.method(), &Method::Cancel);
    assert_eq!(cancel.headers().text("Via"), invite.headers().text("Via"));
    assert_eq!(cancel.headers().text("To"), invite.headers().text("To"));
    assert_eq!(cancel.cseq().expect("CSeq").number, 1);
    assert!(solo.endpoint.cancel(solo.now(), call).is_ok(), "twice is once");
    solo.datagram(&reply(&cancel, 200, "peer", ""));
    solo.datagram(&reply(&invite, 487, "peer", ""));
    assert_eq!(solo.sent_summary(), ["ACK"]);
    let Event::Failed { status: Some(StatusCode::REQUEST_TERMINATED), .. } = solo.event() else {
        panic!("Failed")
    };
    solo.pass(seconds(40.0));
    solo.quiet();
    assert_eq!(solo.endpoint.stats().client_transactions, 0);
}

#[test]
fn a_cancel_that_crosses_a_2xx_ends_the_call() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 180, "peer", CONTACT));
    solo.event();
    solo.endpoint.cancel(solo.now(), call).expect("it rings");
    solo.drain();
    solo.datagram(&reply(&invite, 200, "peer", CONTACT));
    assert_eq!(solo.sent_summary(), ["CANCEL", "ACK", "BYE"]);
    assert!(matches!(solo.event(), Event::Ended { by_remote: false, .. }));
    solo.quiet();
    solo.datagram(&reply(&invite, 200, "peer", CONTACT));
    assert_eq!(solo.sent_summary(), ["ACK"], "the repeated 2xx is still acknowledged");
    solo.quiet();
}

#[test]
fn a_cancel_that_nobody_answers_ends_after_64_t1() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 180, "peer", CONTACT));
    solo.event();
    solo.endpoint.cancel(solo.now(), call).expect("it rings");
    solo.pass(seconds(33.0));
    solo.drain();
    assert!(matches!(solo.event(), Event::Failed { cause: Cause::Cancelled, status: None, .. }));
}

#[test]
fn forks_get_one_call_and_byes() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 180, "a", "Contact: <sip:a@192.0.2.3>"));
    solo.datagram(&reply(&invite, 180, "b", "Contact: <sip:b@192.0.2.4>"));
    solo.datagram(&reply(&invite, 200, "b", "Contact: <sip:b@192.0.2.4>"));
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.drain();
    solo.sent.clear();
    solo.events.clear();
    solo.datagram(&reply(&invite, 200, "a", "Contact: <sip:a@192.0.2.3>"));
    let (to, _) = solo.sent.front().expect("ACK").clone();
    assert_eq!(to, addr("192.0.2.3:5060"));
    assert_eq!(solo.sent_summary(), ["ACK", "BYE"]);
    assert!(matches!(solo.event(), Event::ForkEnded { .. }));
    solo.datagram(&reply(&invite, 200, "a", "Contact: <sip:a@192.0.2.3>"));
    assert_eq!(solo.sent_summary(), ["ACK"]);
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    assert_eq!(solo.request().uri_text(), "sip:b@192.0.2.4", "the first one is the call");
}

#[test]
fn a_caller_that_gives_up() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    let ringing = solo.response();
    solo.datagram(&ask("CANCEL", "1", 1, "", ""));
    let ok = solo.response();
    assert_eq!((ok.status(), ok.cseq().expect("CSeq").method), (StatusCode::OK, Method::Cancel));
    assert_eq!(tag(&ok), tag(&ringing), "RFC 3261 §9.2");
    assert_eq!(solo.sent_summary(), ["487 INVITE"]);
    assert!(matches!(solo.event(), Event::Cancelled { call: c, .. } if c == call));
    assert!(solo.endpoint.accept(solo.now(), call, Vec::new(), None).is_err());
    solo.datagram(&ask("CANCEL", "1", 1, "", ""));
    assert_eq!(solo.sent_summary(), ["200 CANCEL"]);
    solo.datagram(&ask("ACK", "1", 1, &tag(&ringing), ""));
    solo.pass(seconds(6.0));
    solo.quiet();
    solo.datagram(&ask("CANCEL", "other", 1, "", ""));
    assert_eq!(solo.sent_summary(), ["481 CANCEL"]);
}

#[test]
fn a_cancel_after_the_2xx_changes_nothing() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let tag = tag(&solo.response());
    solo.datagram(&ask("CANCEL", "1", 1, "", ""));
    assert_eq!(solo.sent_summary(), ["200 CANCEL"]);
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    assert!(matches!(solo.event(), Event::Confirmed { .. }));
}

#[test]
fn a_refused_caller() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    let headers = vec![("Warning".to_owned(), "399 us \"no\"".to_owned())];
    solo.endpoint
        .reject(solo.now(), call, StatusCode::NOT_ACCEPTABLE_HERE, Some("No way"), headers)
        .expect("ok");
    solo.drain();
    let refusal = solo.response();
    assert_eq!((refusal.status().code(), refusal.reason()), (488, "No way"));
    assert_eq!(refusal.headers().text("Warning"), Some("399 us \"no\""));
    assert!(matches!(solo.event(), Event::Ended { by_remote: false, .. }));
    solo.pass(seconds(0.6));
    assert_eq!(solo.sent_summary(), ["488 INVITE"], "timer G");
    solo.datagram(&ask("ACK", "1", 1, &tag(&refusal), ""));
    solo.pass(seconds(40.0));
    solo.quiet();
}

#[test]
fn a_2xx_without_ack_ends_with_bye() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.pass(seconds(32.1));
    let sent = solo.sent_summary();
    assert_eq!(sent.iter().filter(|s| *s == "200 INVITE").count(), 11, "{sent:?}");
    assert_eq!(sent.iter().filter(|s| *s == "BYE").count(), 1, "{sent:?}");
    assert!(matches!(solo.event(), Event::Failed { call: c, cause: Cause::NoAck, .. } if c == call));
    solo.quiet();
}

#[test]
fn a_callee_hangs_up_only_after_the_ack() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let tag = tag(&solo.response());
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("accepted");
    solo.drain();
    solo.quiet();
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    assert_eq!(solo.sent_summary(), ["BYE"]);
}

#[test]
fn a_reinvite_of_ours() {
    let mut solo = Solo::new();
    let call = established(&mut solo);
    solo.endpoint
        .reinvite(solo.now(), call, Some(Body::new("application/sdp", "hold")))
        .expect("established");
    assert!(solo.endpoint.reinvite(solo.now(), call, None).is_err(), "one at a time");
    solo.drain();
    let invite = solo.request();
    assert_eq!((invite.method(), invite.cseq().expect("CSeq").number), (&Method::Invite, 2));
    assert_eq!(invite.headers().text("Contact"), Some("<sip:us@192.0.2.1:5060>"));
    solo.datagram(&reply(&invite, 200, "", "Contact: <sip:peer@192.0.2.7>"));
    assert!(matches!(solo.event(), Event::ReinviteAnswered { .. }));
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.drain();
    let ack = solo.request();
    assert_eq!(
        (ack.uri_text(), ack.cseq().expect("CSeq").number),
        ("sip:peer@192.0.2.7", 2),
        "the target is new"
    );
    solo.endpoint.reinvite(solo.now(), call, None).expect("established");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 491, "", ""));
    let Event::ReinviteFailed { status, retry_after: Some(wait), .. } = solo.event() else {
        panic!("failed")
    };
    assert_eq!(status, Some(StatusCode::REQUEST_PENDING));
    assert!(wait >= seconds(2.1) && wait <= seconds(4.0), "RFC 3261 §14.1: {wait:?}");
    solo.sent.clear();
    solo.endpoint.reinvite(solo.now(), call, None).expect("established");
    solo.drain();
    let invite = solo.request();
    solo.datagram(&reply(&invite, 481, "", ""));
    assert!(matches!(solo.event(), Event::ReinviteFailed { retry_after: None, .. }));
    assert!(matches!(solo.event(), Event::Ended { by_remote: true, .. }));
    assert_eq!(solo.sent_summary(), ["ACK", "BYE"]);
}

#[test]
fn a_reinvite_of_the_peer() {
    let mut solo = Solo::new();
    let (call, tag) = answered(&mut solo);
    solo.datagram(&ask("INVITE", "3", 2, &tag, ""));
    let Event::Reinvite { call: c, id, .. } = solo.event() else { panic!("Reinvite") };
    assert_eq!(c, call);
    solo.datagram(&ask_with("UPDATE", "3b", 3, &tag, "", "offer"));
    assert_eq!(solo.sent_summary(), ["500 UPDATE"], "one at a time");
    assert!(solo.endpoint.reinvite(solo.now(), call, None).is_err(), "not over theirs");
    solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), None).expect("it waits");
    solo.pass(seconds(0.6));
    assert_eq!(solo.sent_summary(), ["200 INVITE", "200 INVITE"]);
    solo.datagram(&ask("ACK", "4", 2, &tag, ""));
    assert!(matches!(solo.event(), Event::Confirmed { .. }));
    solo.datagram(&ask("INVITE", "5", 1, &tag, ""));
    assert_eq!(solo.sent_summary(), ["500 INVITE"], "RFC 3261 §12.2.2: out of order");
    // And one that the peer takes back.
    solo.datagram(&ask("INVITE", "6", 4, &tag, ""));
    assert!(matches!(solo.event(), Event::Reinvite { .. }));
    solo.datagram(&ask("CANCEL", "6", 4, &tag, ""));
    assert_eq!(solo.sent_summary(), ["200 CANCEL", "487 INVITE"]);
    assert!(matches!(solo.event(), Event::ReinviteCancelled { .. }));
}

#[test]
fn glare_is_491() {
    let mut solo = Solo::new();
    let (call, tag) = answered(&mut solo);
    solo.endpoint.reinvite(solo.now(), call, None).expect("established");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["INVITE"]);
    solo.datagram(&ask("INVITE", "3", 2, &tag, ""));
    assert_eq!(solo.sent_summary(), ["491 INVITE"]);
    solo.quiet();
}

#[test]
fn a_call_ends_under_a_reinvite() {
    let mut solo = Solo::new();
    let (_, tag) = answered(&mut solo);
    solo.datagram(&ask("INVITE", "3", 2, &tag, ""));
    assert!(matches!(solo.event(), Event::Reinvite { .. }));
    solo.datagram(&ask("BYE", "4", 3, &tag, ""));
    assert_eq!(solo.sent_summary(), ["200 BYE", "487 INVITE"], "RFC 3261 §15.1.2");
    assert!(matches!(solo.event(), Event::Ended { by_remote: true, .. }));
}

#[test]
fn a_call_ends_under_a_reinvite_of_ours_that_was_not_heard_of() {
    let mut solo = Solo::new();
    let (call, tag) = answered(&mut solo);
    solo.endpoint.reinvite(solo.now(), call, None).expect("established");
    solo.drain();
    let reinvite = solo.request();
    solo.datagram(&ask("BYE", "4", 2, &tag, ""));
    assert_eq!(solo.sent_summary(), ["200 BYE"]);
    assert!(matches!(solo.event(), Event::Ended { by_remote: true, .. }));
    // The peer says that it has it, again and again, and nothing more.
    solo.datagram(&reply(&reinvite, 100, "", ""));
    let cancel = solo.request();
    assert_eq!(cancel.method(), &Method::Cancel, "RFC 3261 §9.1");
    solo.datagram(&reply(&cancel, 200, "", ""));
    for _ in 0..10 {
        solo.pass(seconds(10.0));
        solo.datagram(&reply(&reinvite, 180, "", ""));
    }
    solo.quiet();
    assert_eq!(solo.endpoint.stats().client_transactions, 0);
}

#[test]
fn other_requests_within_a_call() {
    let mut solo = Solo::new();
    let (call, tag) = answered(&mut solo);
    solo.datagram(&ask("INFO", "3", 2, &tag, ""));
    let Event::Request { call: Some(c), id, .. } = solo.event() else { panic!("Request") };
    assert_eq!(c, call);
    solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), None).expect("it waits");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["200 INFO"]);
    assert!(solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), None).is_err(), "once");
    solo.datagram(&ask("OPTIONS", "4", 3, &tag, ""));
    assert_eq!(solo.sent_summary(), ["200 OPTIONS"]);
    let id = solo.endpoint.update(solo.now(), call, None).expect("a dialog");
    solo.drain();
    let update = solo.request();
    assert_eq!(update.headers().text("Contact"), Some("<sip:us@192.0.2.1:5060>"));
    solo.datagram(&reply(&update, 200, "", ""));
    assert!(matches!(solo.event(), Event::Response { id: i, .. } if i == id));
    // A request that nobody answers is forgotten with its client.
    solo.datagram(&ask("INFO", "5", 4, &tag, ""));
    solo.event();
    solo.pass(seconds(33.0));
    assert_eq!(solo.endpoint.stats().unanswered, 1);
}

#[test]
fn a_peer_of_rfc_2543() {
    let mut solo = Solo::new();
    let strip = |text: String| {
        text.replace(";branch=z9hG4bK1", "").replace(";branch=z9hG4bK2", "").replace(";tag=peer", "")
    };
    solo.datagram(&strip(ask("INVITE", "1", 1, "", "")));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.provisional(solo.now(), call, StatusCode::RINGING, None).expect("it rings");
    solo.drain();
    solo.datagram(&strip(ask("INVITE", "1", 1, "", "")));
    assert_eq!(solo.sent_summary(), ["180 INVITE", "180 INVITE"]);
    solo.endpoint.reject(solo.now(), call, StatusCode::BUSY_HERE, None, Vec::new()).expect("it rings");
    solo.drain();
    let tag = tag(&solo.response());
    solo.datagram(&strip(ask("ACK", "1", 1, &tag, "")));
    solo.pass(seconds(10.0));
    assert!(solo.sent.is_empty(), "the ACK was matched: {:?}", solo.sent);

    solo.events.clear();
    solo.datagram(&strip(ask("INVITE", "1", 5, "", "")));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.datagram(&strip(ask("CANCEL", "1", 5, "", "")));
    assert_eq!(solo.sent_summary(), ["200 CANCEL", "487 INVITE"]);
    assert!(matches!(solo.event(), Event::Cancelled { call: c, .. } if c == call));
}

#[test]
fn injection_by_our_own_caller() {
    let mut solo = Solo::new();
    let evil = || vec![("X".to_owned(), "a\r\nVia: b".to_owned())];
    assert!(solo.endpoint.invite(solo.now(), OutgoingCall { headers: evil(), ..outgoing() }).is_err());
    let own = vec![("Call-ID".to_owned(), "x".to_owned())];
    assert!(solo.endpoint.invite(solo.now(), OutgoingCall { headers: own, ..outgoing() }).is_err());
    let call = established(&mut solo);
    assert!(solo.endpoint.bye(solo.now(), call, evil()).is_err());
    let evil_body = || Some(Body::new("text/plain\r\nX: y", "z"));
    assert!(solo.endpoint.reinvite(solo.now(), call, evil_body()).is_err());
    assert!(solo.endpoint.invite(solo.now(), OutgoingCall { body: evil_body(), ..outgoing() }).is_err());
    solo.drain();
    solo.quiet();
    assert_eq!(solo.endpoint.stats().calls, 1, "a refused command leaves nothing");
}

#[test]
fn commands_out_of_place_say_so() {
    let mut solo = Solo::new();
    let call = solo.endpoint.invite(solo.now(), outgoing()).expect("a call");
    assert!(solo.endpoint.accept(solo.now(), call, Vec::new(), None).is_err());
    assert!(solo.endpoint.reinvite(solo.now(), call, None).is_err());
    assert!(solo.endpoint.ack(solo.now(), call, None).is_err());
    let error =
        solo.endpoint.reject(solo.now(), call, StatusCode::OK, None, Vec::new()).expect_err("no refusal");
    assert_eq!(error.to_string(), "reject is not possible now: it needs a status of 300 or more");
}
