//! Challenges: what is answered, and what is not.

use crate::{
    calls::established,
    solo::{Solo, reply},
};
use sip_core::{
    Method, NameAddr, StatusCode,
    auth::{Algorithm, Credentials, Digest, Qop},
    endpoint::{Event, OutgoingCall, OutgoingRequest},
};

fn from() -> NameAddr {
    NameAddr::new("sip:alice@example.com".parse().expect("a URI"))
}

fn credentials() -> Option<Credentials> {
    Some(Credentials::new("alice", "secret"))
}

const PROXY: &str =
    "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";

#[test]
fn a_proxy_challenges_an_invite() {
    let mut solo = Solo::new();
    let call = OutgoingCall {
        credentials: credentials(),
        ..OutgoingCall::new("sip:bob@192.0.2.2".parse().expect("a URI"), from())
    };
    let call = solo.endpoint.invite(solo.now(), call).expect("a call");
    solo.drain();
    let first = solo.request();
    solo.datagram(&reply(&first, 407, "x", PROXY));
    assert_eq!(solo.request().method(), &Method::Ack);
    let second = solo.request();
    assert_eq!((second.method(), second.cseq().expect("CSeq").number), (&Method::Invite, 2));
    assert_eq!(second.headers().text("Call-ID"), first.headers().text("Call-ID"));
    assert_eq!(second.headers().text("From"), first.headers().text("From"));
    assert_eq!(second.to().expect("To").tag(), None);
    let answer: sip_core::auth::DigestAnswer =
        second.headers().text("Proxy-Authorization").expect("an answer").parse().expect("a good one");
    let ha1 = Algorithm::Sha256.ha1("alice", "example.com", "secret");
    let cnonce = answer.cnonce.as_deref().expect("a cnonce");
    let digest = Digest { nc: 1, cnonce, ..Digest::new("INVITE", "sip:bob@192.0.2.2") };
    assert_eq!(answer.response, Algorithm::Sha256.response(&ha1, "n1", Some(Qop::Auth), &digest));

    solo.datagram(&reply(&second, 200, "peer", "Contact: <sip:bob@192.0.2.2>"));
    assert!(matches!(solo.event(), Event::Answered { .. }), "only the answer is told");
    solo.endpoint.ack(solo.now(), call, None).expect("an ACK is due");
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    let ack = solo.request();
    assert_eq!(
        ack.headers().text("Proxy-Authorization"),
        second.headers().text("Proxy-Authorization"),
        "RFC 3261 §22.1"
    );
    let bye = solo.request();
    assert!(bye.headers().text("Proxy-Authorization").expect("an answer").contains("nc=00000002"));
}

#[test]
fn a_peer_that_challenges_our_bye_gets_nothing() {
    let mut solo = Solo::new();
    let call = established(&mut solo);
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    let bye = solo.request();
    let evil = "WWW-Authenticate: Digest realm=\"evil\", nonce=\"1\"";
    solo.datagram(&reply(&bye, 401, "", evil));
    assert!(matches!(solo.event(), Event::Ended { .. }));
    solo.quiet();
}

#[test]
fn a_registrar_challenges_twice_at_most() {
    let mut solo = Solo::new();
    let request = OutgoingRequest {
        credentials: credentials(),
        ..OutgoingRequest::new(Method::Register, "sip:192.0.2.2".parse().expect("a URI"), from())
    };
    let id = solo.endpoint.request(solo.now(), request).expect("a request");
    solo.drain();
    for nonce in ["a", "b"] {
        let register = solo.request();
        let challenge = format!("WWW-Authenticate: Digest realm=\"other\", nonce=\"{nonce}\"");
        solo.datagram(&reply(&register, 401, "x", &challenge));
        assert!(solo.events.is_empty());
    }
    let register = solo.request();
    assert_eq!(register.cseq().expect("CSeq").number, 3);
    solo.datagram(&reply(&register, 401, "x", "WWW-Authenticate: Digest realm=\"other\", nonce=\"c\""));
    let Event::Response { id: i, response } = solo.event() else { panic!("Response") };
    assert_eq!((i, response.status()), (id, StatusCode::UNAUTHORIZED));
    solo.quiet();
}

#[test]
fn stale_is_tried_again() {
    let mut solo = Solo::new();
    let request = OutgoingRequest {
        credentials: credentials(),
        ..OutgoingRequest::new(Method::Register, "sip:192.0.2.2".parse().expect("a URI"), from())
    };
    solo.endpoint.request(solo.now(), request).expect("a request");
    solo.drain();
    let register = solo.request();
    solo.datagram(&reply(&register, 401, "x", "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"a\""));
    let register = solo.request();
    let stale = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"a\", stale=true";
    solo.datagram(&reply(&register, 401, "x", stale));
    let register = solo.request();
    solo.datagram(&reply(&register, 200, "x", ""));
    assert!(matches!(solo.event(), Event::Response { response, .. } if response.status() == StatusCode::OK));
}

#[test]
fn digest_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/digest.tsv");
    let table = std::fs::read_to_string(path).expect("the vectors");
    let mut count = 0;
    for line in table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [source, algorithm, user, realm, password, nonce, method, uri, qop, nc, cnonce, body, response] =
            cells[..]
        else {
            panic!("13 columns: {line}")
        };
        let algorithm = Algorithm::named(algorithm).expect("an algorithm");
        let qop = match qop {
            "" => None,
            "auth" => Some(Qop::Auth),
            _ => Some(Qop::AuthInt),
        };
        let nc = u32::from_str_radix(nc, 16).unwrap_or(1);
        let body = body.replace("\\r\\n", "\r\n");
        let digest = Digest { method, uri, body: body.as_bytes(), nc, cnonce };
        let ha1 = algorithm.ha1(user, realm, password);
        assert_eq!(algorithm.response(&ha1, nonce, qop, &digest), response, "{source}");
        count += 1;
    }
    assert!(count >= 8, "{count} vectors");
}
