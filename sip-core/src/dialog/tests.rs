use super::*;
use crate::{Limits, Message};

fn request(text: &str) -> Request {
    match message(text) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a request"),
    }
}

fn response(text: &str) -> Response {
    match message(text) {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a response"),
    }
}

fn message(text: &str) -> Message {
    let text = text.replace('\n', "\r\n") + "\r\n\r\n";
    Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
}

const INVITE: &str = "INVITE sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\n\
    From: Alice <sip:alice@a.example>;tag=ours\nTo: <sip:bob@b.example>\nCall-ID: c1\nCSeq: 7 INVITE\n\
    Contact: <sip:alice@192.0.2.1>";

fn answer(more: &str) -> Response {
    response(&format!(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nFrom: Alice <sip:alice@a.example>;tag=ours\n\
         To: <sip:bob@b.example>;tag=theirs\nCall-ID: c1\nCSeq: 7 INVITE\nContact: <sip:bob@192.0.2.2>{more}"
    ))
}

fn text(routed: Routed<RequestBuilder>) -> String {
    String::from_utf8(routed.value.build().to_bytes().to_vec()).unwrap()
}

#[test]
fn a_client_reverses_the_record_route() {
    let answer = answer("\nRecord-Route: <sip:p3;lr>, <sip:p2;lr>\nRecord-Route: <sip:p1;lr>");
    let mut dialog = Dialog::client(&request(INVITE), &answer).unwrap();
    assert!(dialog.is_early());
    dialog.confirm(&answer);
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.next_hop.as_str(), "sip:p1;lr");
    let bye = text(bye);
    assert!(bye.starts_with("BYE sip:bob@192.0.2.2 SIP/2.0\r\n"), "{bye}");
    assert!(bye.contains("CSeq: 8 BYE\r\n"), "{bye}");
    let order: Vec<_> = bye.lines().filter_map(|l| l.strip_prefix("Route: ")).collect();
    assert_eq!(order, ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]);
    assert!(bye.contains("From: Alice <sip:alice@a.example>;tag=ours\r\n"), "{bye}");
    assert!(bye.contains("To: <sip:bob@b.example>;tag=theirs\r\n"), "{bye}");
    let ack = text(dialog.ack(7));
    assert!(ack.contains("CSeq: 7 ACK\r\n"), "{ack}");
}

#[test]
fn a_server_keeps_the_record_route() {
    let invite = request(&format!("{INVITE}\nRecord-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>"));
    let mut dialog = Dialog::server(&invite, "mine").unwrap();
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.next_hop.as_str(), "sip:p1;lr");
    let bye = text(bye);
    assert!(bye.starts_with("BYE sip:alice@192.0.2.1 SIP/2.0\r\n"), "{bye}");
    assert!(bye.contains("From: <sip:bob@b.example>;tag=mine\r\n"), "{bye}");
    assert!(bye.contains("CSeq: 1 BYE\r\n"), "{bye}");
    assert!(dialog.is("c1", Some("ours")) && !dialog.is("c1", None) && !dialog.is("c2", Some("ours")));
    assert!(dialog.receive(8) && dialog.receive(8) && !dialog.receive(7));
}

#[test]
fn a_strict_router_is_the_request_uri() {
    let answer = answer("\nRecord-Route: <sip:p2;lr>, <sip:p1>");
    let mut dialog = Dialog::client(&request(INVITE), &answer).unwrap();
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.next_hop.as_str(), "sip:p1");
    let bye = text(bye);
    assert!(bye.starts_with("BYE sip:p1 SIP/2.0\r\n"), "{bye}");
    let order: Vec<_> = bye.lines().filter_map(|l| l.strip_prefix("Route: ")).collect();
    assert_eq!(order, ["<sip:p2;lr>", "<sip:bob@192.0.2.2>"]);
}

#[test]
fn targets_are_refreshed() {
    let mut dialog = Dialog::client(&request(INVITE), &answer("")).unwrap();
    dialog.refresh(request(INVITE).headers());
    assert_eq!(dialog.remote_target().as_str(), "sip:alice@192.0.2.1");
    dialog.refresh(&crate::Headers::new());
    assert_eq!(dialog.remote_target().as_str(), "sip:alice@192.0.2.1", "no Contact, no change");
}

#[test]
fn the_dialog_of_rfc_2543_has_no_remote_tag() {
    let invite = request(&INVITE.replace(";tag=ours", ""));
    let dialog = Dialog::server(&invite, "mine").unwrap();
    assert!(dialog.is("c1", None));
}
