//! Replaces, Join and Target-Dialog (RFC 3891, RFC 3911, RFC 4538).

use crate::solo::{Solo, ask, reply};
use sip_core::{
    Message, NameAddr,
    endpoint::{Call, Config, Event, OutgoingCall},
};

fn established(solo: &mut Solo) -> Call {
    crate::calls::established(solo)
}

/// An INVITE of another peer with this header; `n` tells them apart.
fn invite(n: u32, header: &str) -> String {
    ask("INVITE", &format!("r{n}"), 1, "", header)
        .replace("Call-ID: call", &format!("Call-ID: other{n}"))
        .replace(";tag=peer", ";tag=third")
}

fn ring(solo: &mut Solo) -> (Call, String) {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let call = OutgoingCall::new("sip:peer@192.0.2.2".parse().expect("a URI"), from);
    let call = solo.endpoint.invite(solo.now(), call).expect("a call");
    solo.drain();
    let request = solo.request();
    solo.datagram(&reply(&request, 180, "peer", "Contact: <sip:peer@192.0.2.2>"));
    solo.events.clear();
    (call, solo.endpoint.dialog_id(call).expect("a dialog").call_id)
}

#[test]
fn an_established_call_is_replaced() {
    let mut solo = Solo::new();
    let old = established(&mut solo);
    let id = solo.endpoint.dialog_id(old).expect("a dialog");
    assert!(!id.early);
    let value = format!("{};to-tag={};from-tag=peer", id.call_id, id.local_tag);
    solo.datagram(&invite(1, &format!("Replaces: {value}")));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    assert_eq!(solo.endpoint.replaces(call), Some(old));
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    assert_eq!(crate::solo::summary(&solo.sent.pop_front().expect("200").1), "200 INVITE");
    let bye = solo.request();
    assert_eq!(bye.call_id().expect("Call-ID").0, id.call_id);
    assert!(bye.headers().text("Reason").expect("Reason").starts_with("SIP;cause=200"));
    solo.datagram(&reply(&bye, 200, "", ""));
    assert!(matches!(solo.event(), Event::Ended { call: c, .. } if c == old));
    // What is over cannot be replaced again.
    solo.datagram(&invite(2, &format!("Replaces: {value}")));
    assert_eq!(solo.sent_summary(), ["603 INVITE"]);
}

#[test]
fn what_cannot_be_replaced() {
    let mut solo = Solo::new();
    let old = established(&mut solo);
    let id = solo.endpoint.dialog_id(old).expect("a dialog");
    let value = format!("{};to-tag={};from-tag=peer", id.call_id, id.local_tag);
    let cases = [
        ("Replaces: abcd;from_tag=1".to_owned(), "481 INVITE"),
        (format!("Replaces: {};to-tag={};from-tag=else", id.call_id, id.local_tag), "481 INVITE"),
        (format!("Replaces: {};to-tag=0123456789abcdef;from-tag=peer", id.call_id), "481 INVITE"),
        (format!("Replaces: {value};early-only"), "486 INVITE"),
        (format!("Replaces: {value}\nReplaces: {value}"), "400 INVITE"),
        ("Replaces: ;;".to_owned(), "400 INVITE"),
    ];
    for (n, (header, expected)) in (10..).zip(cases) {
        solo.datagram(&invite(n, &header));
        assert_eq!(solo.sent_summary(), [expected], "{header}");
    }
    // An early dialog that the peer began.
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    let id = solo.endpoint.dialog_id(call).expect("a dialog");
    solo.datagram(&invite(2, &format!("Replaces: {};to-tag={};from-tag=peer", id.call_id, id.local_tag)));
    assert_eq!(solo.sent_summary(), ["481 INVITE"], "RFC 3891 §3");
}

#[test]
fn a_call_of_ours_that_rings_is_replaced() {
    let mut solo = Solo::new();
    let (old, call_id) = ring(&mut solo);
    let tag = solo.endpoint.dialog_id(old).expect("a dialog").local_tag;
    solo.datagram(&invite(1, &format!("Replaces: {call_id};to-tag={tag};from-tag=peer;early-only")));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    assert_eq!(solo.endpoint.replaces(call), Some(old));
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["200 INVITE", "CANCEL"]);
}

#[test]
fn a_call_is_joined() {
    let supported = vec!["join".to_owned()];
    let mut solo = Solo::with(Config { supported, ..Config::default() });
    let old = established(&mut solo);
    let id = solo.endpoint.dialog_id(old).expect("a dialog");
    let value = format!("{};to-tag={};from-tag=peer", id.call_id, id.local_tag);
    solo.datagram(&invite(1, &format!("Require: join\nJoin: {value}")));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    assert_eq!((solo.endpoint.joins(call), solo.endpoint.replaces(call)), (Some(old), None));
    solo.datagram(&invite(2, &format!("Join: {value}\nReplaces: {value}")));
    solo.datagram(&invite(3, "Join: x;to-tag=1;from-tag=2"));
    assert_eq!(solo.sent_summary(), ["400 INVITE", "481 INVITE"]);
    // Who cannot join refuses if it must, and otherwise does not look.
    let mut solo = Solo::new();
    solo.datagram(&invite(4, "Require: join\nJoin: x;to-tag=1;from-tag=2"));
    assert_eq!(solo.sent_summary(), ["420 INVITE"]);
    solo.datagram(&invite(5, "Join: x;to-tag=1;from-tag=2"));
    assert!(matches!(solo.event(), Event::Incoming { .. }));
}

#[test]
fn headers_that_name_a_call() {
    let mut solo = Solo::new();
    let call = established(&mut solo);
    let id = solo.endpoint.dialog_id(call).expect("a dialog");
    let replaces = solo.endpoint.replaces_header(call).expect("a dialog").to_string();
    assert_eq!(
        replaces,
        format!("{};to-tag=peer;from-tag={}", id.call_id, id.local_tag),
        "as the peer sees it"
    );
    assert_eq!(solo.endpoint.join_header(call).expect("a dialog").to_string(), replaces);
    let target = solo.endpoint.target_dialog_header(call).expect("a dialog").to_string();
    assert_eq!(target, format!("{};local-tag=peer;remote-tag={}", id.call_id, id.local_tag));
    let ours = format!("Target-Dialog: {};local-tag={};remote-tag=peer", id.call_id, id.local_tag);
    let text = crate::solo::wire(&ask("REFER", "1", 1, "", &ours));
    let Message::Request(request) = crate::solo::read(text.as_bytes()) else { panic!("a request") };
    assert_eq!(solo.endpoint.target_dialog(&request), Some(call));
}
