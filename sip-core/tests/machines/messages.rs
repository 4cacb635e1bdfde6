//! MESSAGE out of any call (RFC 3428).

use crate::solo::{Solo, ask_with, reply};
use sip_core::{
    Method, NameAddr, StatusCode,
    endpoint::{Body, Config, Event, OutgoingRequest},
};

fn taking_messages() -> Solo {
    let mut allow = Config::default().allow;
    allow.push(Method::Message);
    Solo::with(Config { allow, ..Config::default() })
}

#[test]
fn a_message_of_ours_is_answered_and_makes_no_dialog() {
    let mut solo = taking_messages();
    let from = NameAddr::new("sip:alice@example.com".parse().expect("a URI"));
    let request = OutgoingRequest {
        body: Some(Body::new("text/plain", "Watson, come here.")),
        ..OutgoingRequest::new(Method::Message, "sip:peer@192.0.2.2".parse().expect("a URI"), from)
    };
    let id = solo.endpoint.request(solo.now(), request).expect("a request");
    solo.drain();
    let sent = solo.request();
    assert_eq!((sent.method(), &sent.body()[..]), (&Method::Message, &b"Watson, come here."[..]));
    assert_eq!(sent.headers().text("Content-Type"), Some("text/plain"));
    assert!(!sent.headers().contains("Contact"), "RFC 3428 §4");
    solo.datagram(&reply(&sent, 202, "peer", ""));
    let Event::Response { id: answered, response } = solo.event() else { panic!("a response") };
    assert_eq!((answered, response.status()), (id, StatusCode::ACCEPTED));
    assert_eq!(solo.endpoint.stats().calls, 0);
}

#[test]
fn a_message_of_the_peer_waits_for_our_answer() {
    let mut solo = taking_messages();
    let text = ask_with("MESSAGE", "m1", 1, "", "", "hello");
    solo.datagram(&text);
    let Event::Request { call: None, id, request } = solo.event() else { panic!("a request") };
    assert_eq!(&request.body()[..], b"hello");
    solo.endpoint.respond(solo.now(), id, StatusCode::OK, Vec::new(), None).expect("it waits");
    solo.drain();
    let ok = solo.response();
    assert_eq!(ok.status(), StatusCode::OK);
    assert!(!ok.headers().contains("Contact") && !ok.headers().contains("Record-Route"), "RFC 3428 §7");
    // Repeated, it is answered again and told once.
    solo.datagram(&text);
    assert_eq!(solo.response().status(), StatusCode::OK);
    solo.quiet();
}
