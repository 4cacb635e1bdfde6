//! The call flows of RFC 3665, compared with the ladders in `golden/`.

use crate::{
    pair::Manner,
    scene::{Scene, addr, sdp, uri},
};
use sip_core::{
    Method, StatusCode,
    auth::Credentials,
    endpoint::{OutgoingCall, OutgoingContact, OutgoingRequest},
    header::Contact,
    usage::Redirection,
};

const BOB: &str = "sip:bob@biloxi.example.com";

fn register(password: &str, contact: Option<&str>) -> OutgoingRequest {
    let headers = contact.map(|value| ("Contact".to_owned(), value.to_owned()));
    OutgoingRequest {
        to: uri(BOB).into(),
        route: vec!["<sip:192.0.2.21;lr>".parse().expect("a route")],
        credentials: Some(Credentials::new("bob", password)),
        contact: if headers.is_some() {
            OutgoingContact::None
        } else {
            OutgoingContact::Derived(Some("bob".to_owned()))
        },
        headers: headers.into_iter().collect(),
        ..Scene::request(Method::Register, BOB, "sip:biloxi.example.com")
    }
}

/// Bob registers; the contacts that the registrar has then, or the status of its refusal.
fn registered(scene: &mut Scene, request: OutgoingRequest) -> Result<Vec<String>, u16> {
    let now = scene.now();
    scene.bob.endpoint.request(now, request).expect("a request");
    scene.run(1.0);
    let response = scene.bob.responses.pop().expect("an answer");
    if response.status() != StatusCode::OK {
        return Err(response.status().code());
    }
    let contacts = response.headers().all::<Contact>();
    Ok(contacts.map(|contact| contact.expect("a contact").uri().expect("an address").to_string()).collect())
}

const HERE: &str = "sip:bob@192.0.2.2:5060";
const ELSEWHERE: &str = "sip:bob@192.0.2.77:5060";

#[test]
fn rfc_3665_2_1_registration() {
    let mut scene = Scene::new();
    assert_eq!(registered(&mut scene, register("zanzibar", None)), Ok(vec![HERE.to_owned()]));
    scene.finish("rfc3665-2.1");
}

#[test]
fn rfc_3665_2_2_update_of_the_contacts() {
    let mut scene = Scene::new();
    registered(&mut scene, register("zanzibar", None)).expect("a registration");
    let more = register("zanzibar", Some("<sip:bob@192.0.2.77:5060>"));
    assert_eq!(registered(&mut scene, more), Ok(vec![HERE.to_owned(), ELSEWHERE.to_owned()]));
    scene.finish("rfc3665-2.2");
}

#[test]
fn rfc_3665_2_3_asking_for_the_contacts() {
    let mut scene = Scene::new();
    registered(&mut scene, register("zanzibar", None)).expect("a registration");
    let query = OutgoingRequest { contact: OutgoingContact::None, ..register("zanzibar", None) };
    assert_eq!(registered(&mut scene, query), Ok(vec![HERE.to_owned()]));
    scene.finish("rfc3665-2.3");
}

#[test]
fn rfc_3665_2_4_cancellation() {
    let mut scene = Scene::new();
    registered(&mut scene, register("zanzibar", None)).expect("a registration");
    let mut removal = register("zanzibar", Some("*"));
    removal.headers.push(("Expires".to_owned(), "0".to_owned()));
    assert_eq!(registered(&mut scene, removal), Ok(Vec::new()));
    scene.finish("rfc3665-2.4");
}

#[test]
fn rfc_3665_2_5_refused() {
    let mut scene = Scene::new();
    assert_eq!(registered(&mut scene, register("wrong", None)), Err(401));
    scene.finish("rfc3665-2.5");
}

#[test]
fn rfc_3665_3_1_a_call() {
    let mut scene = Scene::new();
    let (call, _) = scene.up();
    scene.bob_hangs_up(call);
    scene.finish("rfc3665-3.1");
}

/// A call that goes by a proxy, with a password for any of its proxies.
fn through(route: &str) -> OutgoingCall {
    OutgoingCall {
        route: vec![route.parse().expect("a route")],
        credentials: Some(Credentials::new("alice", "secret")),
        ..Scene::call("sip:alice@atlanta.example.com", BOB)
    }
}

fn up_and_down(mut scene: Scene, call: OutgoingCall, golden: &str) {
    let now = scene.now();
    let call = scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(10.0);
    assert_eq!((scene.alice.up.as_slice(), scene.bob.up.len()), ([call].as_slice(), 1));
    scene.bob_hangs_up(call);
    scene.finish(golden);
}

#[test]
fn rfc_3665_3_2_through_two_proxies() {
    up_and_down(Scene::new(), through("<sip:192.0.2.11;lr>"), "rfc3665-3.2");
}

#[test]
fn rfc_3665_3_3_two_proxies_want_a_password() {
    let mut scene = Scene::new();
    let [_, second] = &mut scene.proxies;
    *second = crate::proxy::Proxy::new("192.0.2.12:5060", "192.0.2.2:5060").challenging("biloxi.example.com");
    up_and_down(scene, through("<sip:192.0.2.11;lr>"), "rfc3665-3.3");
}

#[test]
fn rfc_3665_3_4_a_proxy_fails() {
    up_and_down(Scene::new(), through("<sip:proxy.example;lr>"), "rfc3665-3.4");
}

/// The gateway stands on the way like a proxy, and is given with the route.
#[test]
fn rfc_3665_3_5_through_a_gateway() {
    let mut scene = Scene::new();
    scene.proxies[0].targets = vec![addr("192.0.2.2:5060")];
    up_and_down(scene, through("<sip:192.0.2.11;lr>"), "rfc3665-3.5");
}

#[test]
fn rfc_3665_3_6_redirected_with_the_answer_in_the_ack() {
    let mut scene = Scene::new();
    scene.carol.manner = Manner::Rings;
    let target = uri("sip:carol@192.0.2.3");
    let mut redirection = Redirection::new(&target, 3);
    let now = scene.now();
    let first = OutgoingCall { body: None, ..Scene::call("sip:alice@192.0.2.1", "sip:carol@192.0.2.3") };
    scene.alice.endpoint.invite(now, first).expect("a call");
    scene.run(0.5);
    let now = scene.now();
    let ringing = scene.carol.ringing.remove(0);
    let contact = ("Contact".to_owned(), "<sip:bob@192.0.2.2>;q=0.5, <sip:carol@192.0.2.3>".to_owned());
    let moved = StatusCode::MOVED_TEMPORARILY;
    scene.carol.endpoint.reject(now, ringing, moved, None, vec![contact]).expect("it rings");
    scene.run(0.5);
    let refusal = scene.alice.refusals.pop().expect("a response");
    redirection.redirected(&refusal);
    let next = redirection.next_target().expect("Bob");
    assert_eq!((next.as_str(), redirection.next_target()), ("sip:bob@192.0.2.2", None));
    let now = scene.now();
    let second = OutgoingCall { body: None, ..Scene::call("sip:alice@192.0.2.1", next.as_str()) };
    scene.alice.ack = sdp("answer");
    let second = scene.alice.endpoint.invite(now, second).expect("a call");
    scene.run(1.0);
    assert_eq!(scene.alice.ack, None, "the ACK took the answer along");
    let now = scene.now();
    scene.alice.endpoint.bye(now, second, Vec::new()).expect("established");
    scene.finish("rfc3665-3.6");
}

#[test]
fn rfc_3665_3_7_another_address() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    let now = scene.now();
    scene.bob.moves(now, "192.0.2.22:5060");
    scene.bob.endpoint.reinvite(now, theirs, sdp("offer from there")).expect("established");
    scene.run(1.0);
    // Alice reaches Bob where he is now.
    let now = scene.now();
    scene.alice.endpoint.bye(now, call, Vec::new()).expect("established");
    scene.run(1.0);
    assert_eq!(scene.bob.over, [theirs]);
    scene.finish("rfc3665-3.7");
}

#[test]
fn rfc_3665_3_8_no_answer() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Rings;
    let now = scene.now();
    let call = Scene::call("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
    let call = scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(3.0);
    let now = scene.now();
    scene.alice.endpoint.cancel(now, call).expect("it rings");
    scene.run(1.0);
    assert_eq!((scene.alice.over.as_slice(), scene.bob.over.len()), ([call].as_slice(), 1));
    scene.finish("rfc3665-3.8");
}

fn refused(refusal: StatusCode, golden: &str) {
    let mut scene = Scene::new();
    (scene.bob.manner, scene.bob.refusal) = (Manner::Refuses, refusal);
    let now = scene.now();
    let call = Scene::call("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
    scene.alice.endpoint.invite(now, call).expect("a call");
    scene.finish(golden);
}

#[test]
fn rfc_3665_3_9_busy() {
    refused(StatusCode::BUSY_HERE, "rfc3665-3.9");
}

#[test]
fn rfc_3665_3_10_no_response() {
    let mut scene = Scene::new();
    let now = scene.now();
    let call = Scene::call("sip:alice@192.0.2.1", "sip:nobody@192.0.2.99");
    scene.alice.endpoint.invite(now, call).expect("a call");
    scene.finish("rfc3665-3.10");
}

#[test]
fn rfc_3665_3_11_temporarily_unavailable() {
    refused(StatusCode::TEMPORARILY_UNAVAILABLE, "rfc3665-3.11");
}
