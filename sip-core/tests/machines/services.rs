//! The services of RFC 5359 between up to five endpoints, compared with the ladders in `golden/`. Where
//! the RFC has a proxy that only passes messages on, they go directly.

use crate::{
    pair::{Manner, Party},
    scene::{Scene, addr, sdp, uri},
};
use sip_core::{
    Method, NameAddr, StatusCode, Uri,
    auth::Credentials,
    endpoint::{
        Body, Call, OutgoingCall, OutgoingContact, OutgoingRefer, OutgoingRequest, OutgoingSubscription,
    },
    header::{ReferTo, Replaces},
    usage::{NotifierState, Sipfrag, redirect_contacts},
};
use std::time::Instant;

const ALICE: &str = "sip:alice@192.0.2.1";
const BOB: &str = "sip:bob@192.0.2.2";
const CAROL: &str = "sip:carol@192.0.2.3";
const DAVE: &str = "sip:dave@192.0.2.4";

fn replacing(from: &str, to: &str, replaces: &str) -> OutgoingCall {
    let headers = vec![("Replaces".to_owned(), replaces.to_owned())];
    OutgoingCall { headers, ..Scene::call(from, to) }
}

fn hang_up(scene: &mut Scene, who: fn(&mut Scene) -> &mut Party, call: Call) {
    let now = scene.now();
    who(scene).endpoint.bye(now, call, Vec::new()).expect("established");
    scene.run(1.0);
}

/// Bob changes the session of his call.
fn bob_changes(scene: &mut Scene, call: Call, what: &'static str) {
    let now = scene.now();
    scene.bob.endpoint.reinvite(now, call, sdp(what)).expect("established");
    scene.run(1.0);
}

/// Whoever was asked to calls whom the REFER names, as it says; the call.
fn calls_as_referred(now: Instant, party: &mut Party, from: &str) -> Call {
    let (_, request) = party.referred.last().expect("a REFER");
    let target = request.header::<ReferTo>().expect("Refer-To").0.uri;
    let mut call = Scene::call(from, target.without_headers().as_str());
    for (name, value) in target.headers() {
        let value = value.replace("%3B", ";").replace("%3D", "=").replace("%40", "@");
        call.headers.push((name.to_owned(), value));
    }
    party.endpoint.invite(now, call).expect("a call")
}

/// And tells that it worked.
fn tells_of_success(now: Instant, party: &mut Party) {
    let (notifier, _) = party.referred.pop().expect("a REFER");
    let done = Some(Sipfrag::of_status(StatusCode::OK, None));
    party
        .endpoint
        .end_notifier(now, notifier.expect("a subscription"), "noresource", done)
        .expect("it is up");
}

/// Asks somebody out of a call to call `target`, in place of a call that `replaces` names.
fn refer_outside(
    party: &mut Party,
    now: Instant,
    [from, to]: [&str; 2],
    target: &str,
    replaces: Option<&Replaces>,
) {
    let mut refer = OutgoingRefer::new(NameAddr::new(uri(target)));
    if let Some(replaces) = replaces {
        refer = refer.replacing(replaces).expect("a URI with headers");
    }
    let contact = OutgoingContact::Derived(None);
    let request = OutgoingRequest { contact, ..Scene::request(Method::Refer, from, to) };
    party.endpoint.refer_outside(now, request, refer).expect("a request");
}

#[test]
fn rfc_5359_2_1_hold() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    bob_changes(&mut scene, theirs, "hold");
    bob_changes(&mut scene, theirs, "resume");
    scene.bob_hangs_up(call);
    scene.finish("rfc5359-2.1");
}

#[test]
fn rfc_5359_2_2_consultation_hold() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    bob_changes(&mut scene, theirs, "hold");
    let now = scene.now();
    let consultation = scene.bob.endpoint.invite(now, Scene::call(BOB, CAROL)).expect("a call");
    scene.run(1.0);
    hang_up(&mut scene, |s| &mut s.bob, consultation);
    bob_changes(&mut scene, theirs, "resume");
    hang_up(&mut scene, |s| &mut s.alice, call);
    assert_eq!(scene.bob.over, [consultation, theirs]);
    scene.finish("rfc5359-2.2");
}

/// Dave plays the music.
#[test]
fn rfc_5359_2_3_music_on_hold() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    bob_changes(&mut scene, theirs, "hold");
    let (now, replaces) = (scene.now(), scene.bob.endpoint.replaces_header(theirs).expect("a dialog"));
    refer_outside(&mut scene.bob, now, [BOB, DAVE], ALICE, Some(&replaces));
    scene.run(1.0);
    let music = calls_as_referred(scene.now(), &mut scene.dave, DAVE);
    scene.run(1.0);
    assert_eq!(
        (scene.alice.over.as_slice(), scene.bob.over.as_slice()),
        ([call].as_slice(), [theirs].as_slice())
    );
    tells_of_success(scene.now(), &mut scene.dave);
    scene.run(1.0);
    // Bob takes her back.
    let replaces = scene.dave.endpoint.replaces_header(music).expect("a dialog");
    let now = scene.now();
    let again = scene.bob.endpoint.invite(now, replacing(BOB, ALICE, &replaces.to_string())).expect("a call");
    scene.run(1.0);
    assert_eq!(scene.dave.over, [music]);
    hang_up(&mut scene, |s| &mut s.bob, again);
    scene.finish("rfc5359-2.3");
}

/// Who was referred calls; its end of the transfer is told and the old call ended.
fn transfer(mut scene: Scene, old: Call, refer: OutgoingRefer, golden: &str) {
    let now = scene.now();
    scene.alice.endpoint.refer(now, old, refer).expect("established");
    scene.run(1.0);
    let new = calls_as_referred(scene.now(), &mut scene.bob, BOB);
    scene.run(1.0);
    assert!(scene.bob.up.contains(&new), "{:?}", scene.bob.log);
    tells_of_success(scene.now(), &mut scene.bob);
    scene.run(1.0);
    hang_up(&mut scene, |s| &mut s.alice, old);
    hang_up(&mut scene, |s| &mut s.bob, new);
    scene.finish(golden);
}

#[test]
fn rfc_5359_2_4_unattended_transfer() {
    let mut scene = Scene::new();
    let (call, _) = scene.up();
    transfer(scene, call, OutgoingRefer::new(NameAddr::new(uri(CAROL))), "rfc5359-2.4");
}

#[test]
fn rfc_5359_2_5_attended_transfer() {
    let mut scene = Scene::new();
    let (call, _) = scene.up();
    let now = scene.now();
    let consultation = scene.alice.endpoint.invite(now, Scene::call(ALICE, CAROL)).expect("a call");
    scene.run(1.0);
    let replaces = scene.alice.endpoint.replaces_header(consultation).expect("a dialog");
    let refer = OutgoingRefer::new(NameAddr::new(uri(CAROL)));
    transfer(scene, call, refer.replacing(&replaces).expect("a URI with headers"), "rfc5359-2.5");
}

/// Bob writes to Carol whom to take over from him.
#[test]
fn rfc_5359_2_6_transfer_by_a_message() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    let replaces = scene.bob.endpoint.replaces_header(theirs).expect("a dialog");
    let text =
        OutgoingRefer::new(NameAddr::new(uri(ALICE))).replacing(&replaces).expect("a URI with headers");
    let body = Some(Body::new("text/plain", text.refer_to.uri.as_str().to_owned()));
    let now = scene.now();
    let message = OutgoingRequest { body, ..Scene::request(Method::Message, BOB, CAROL) };
    scene.bob.endpoint.request(now, message).expect("a request");
    scene.run(1.0);
    let now = scene.now();
    let new =
        scene.carol.endpoint.invite(now, replacing(CAROL, ALICE, &replaces.to_string())).expect("a call");
    scene.run(1.0);
    assert_eq!(
        (scene.alice.over.as_slice(), scene.bob.over.as_slice()),
        ([call].as_slice(), [theirs].as_slice())
    );
    hang_up(&mut scene, |s| &mut s.carol, new);
    scene.finish("rfc5359-2.6");
}

/// Alice calls by the second proxy, which knows where Bob may be; somebody answers, and she hangs up.
fn by_the_proxy(mut scene: Scene, targets: &[&str], answers: fn(&mut Scene) -> &mut Party, golden: &str) {
    scene.proxies[1].targets = targets.iter().map(|text| addr(text)).collect();
    let route = vec!["<sip:192.0.2.12;lr>".parse().expect("a route")];
    let call = OutgoingCall { route, ..Scene::call(ALICE, "sip:bob@biloxi.example.com") };
    let now = scene.now();
    let call = scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(15.0);
    assert_eq!(answers(&mut scene).up.len(), 1);
    assert_eq!(scene.alice.up, [call]);
    hang_up(&mut scene, |s| &mut s.alice, call);
    assert_eq!(answers(&mut scene).over.len(), 1);
    scene.finish(golden);
}

#[test]
fn rfc_5359_2_7_forwarded_always() {
    by_the_proxy(Scene::new(), &["192.0.2.3:5060"], |s| &mut s.carol, "rfc5359-2.7");
}

#[test]
fn rfc_5359_2_8_forwarded_when_busy() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Refuses;
    by_the_proxy(scene, &["192.0.2.2:5060", "192.0.2.3:5060"], |s| &mut s.carol, "rfc5359-2.8");
}

#[test]
fn rfc_5359_2_9_forwarded_without_an_answer() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Rings;
    by_the_proxy(scene, &["192.0.2.2:5060", "192.0.2.3:5060"], |s| &mut s.carol, "rfc5359-2.9");
}

/// Bob mixes: Alice's stream goes to his mixer, and Carol is called to it.
#[test]
fn rfc_5359_2_10_a_third_party_is_added() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    bob_changes(&mut scene, theirs, "to the mixer");
    let now = scene.now();
    let third = scene.bob.endpoint.invite(now, Scene::call(BOB, CAROL)).expect("a call");
    scene.run(1.0);
    assert_eq!(scene.bob.up.last(), Some(&third));
    hang_up(&mut scene, |s| &mut s.bob, third);
    scene.bob_hangs_up(call);
    scene.finish("rfc5359-2.10");
}

#[test]
fn rfc_5359_2_11_a_third_party_joins() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    scene.bob.manner = Manner::Rings;
    let join = scene.alice.endpoint.join_header(call).expect("a dialog").to_string();
    let headers = vec![("Join".to_owned(), join)];
    let now = scene.now();
    let joining = OutgoingCall { headers, ..Scene::call(CAROL, BOB) };
    let joining = scene.carol.endpoint.invite(now, joining).expect("a call");
    scene.run(0.5);
    let third = scene.bob.ringing.remove(0);
    assert_eq!(scene.bob.endpoint.joins(third), Some(theirs));
    bob_changes(&mut scene, theirs, "to the mixer");
    let now = scene.now();
    scene.bob.endpoint.accept(now, third, Vec::new(), sdp("answer")).expect("it rings");
    scene.run(1.0);
    hang_up(&mut scene, |s| &mut s.carol, joining);
    scene.bob_hangs_up(call);
    scene.finish("rfc5359-2.11");
}

#[test]
fn rfc_5359_2_12_find_me() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Rings;
    (scene.carol.manner, scene.carol.refusal) = (Manner::Refuses, StatusCode::TEMPORARILY_UNAVAILABLE);
    scene.dave.manner = Manner::Refuses;
    let places = ["192.0.2.2:5060", "192.0.2.3:5060", "192.0.2.4:5060", "192.0.2.5:5060"];
    by_the_proxy(scene, &places, |s| &mut s.erin, "rfc5359-2.12");
}

/// A call by the first proxy, which wants a password and lets nobody through; the address in its
/// Error-Info.
fn screened(scene: &mut Scene) -> Uri {
    scene.proxies[0].screens = Some("<sip:dave@192.0.2.4>");
    let call = OutgoingCall {
        route: vec!["<sip:192.0.2.11;lr>".parse().expect("a route")],
        credentials: Some(Credentials::new("alice", "secret")),
        ..Scene::call("sip:alice@atlanta.example.com", "sip:bob@biloxi.example.com")
    };
    let now = scene.now();
    scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(1.0);
    let refusal = scene.alice.refusals.pop().expect("a response");
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    refusal.headers().text("Error-Info").expect("Error-Info").parse::<NameAddr>().expect("an address").uri
}

#[test]
fn rfc_5359_2_13_incoming_calls_screened() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Rings;
    let now = scene.now();
    scene.alice.endpoint.invite(now, Scene::call(ALICE, BOB)).expect("a call");
    scene.run(0.5);
    let (now, ringing) = (scene.now(), scene.bob.ringing.remove(0));
    let proxy = ("Contact".to_owned(), "<sip:192.0.2.11;lr>".to_owned());
    let status = StatusCode::new(305).expect("a status");
    scene.bob.endpoint.reject(now, ringing, status, None, vec![proxy]).expect("it rings");
    scene.run(0.5);
    let refusal = scene.alice.refusals.pop().expect("a response");
    assert_eq!(redirect_contacts(&refusal)[0].uri.as_str(), "sip:192.0.2.11;lr");
    let announcement = screened(&mut scene);
    let now = scene.now();
    let call = Scene::call(ALICE, announcement.as_str());
    scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(1.0);
    let played = scene.dave.up[0];
    hang_up(&mut scene, |s| &mut s.dave, played);
    scene.finish("rfc5359-2.13");
}

#[test]
fn rfc_5359_2_14_outgoing_calls_screened() {
    let mut scene = Scene::new();
    screened(&mut scene);
    scene.finish("rfc5359-2.14");
}

fn watch(from: &str, to: &str) -> OutgoingSubscription {
    OutgoingSubscription::new(uri(to), NameAddr::new(uri(from)), "dialog")
}

/// Bob parks Alice at Dave, and Carol takes her from there.
#[test]
fn rfc_5359_2_15_park() {
    let mut scene = Scene::new();
    let (call, theirs) = scene.up();
    let (now, replaces) = (scene.now(), scene.bob.endpoint.replaces_header(theirs).expect("a dialog"));
    refer_outside(&mut scene.bob, now, [BOB, DAVE], ALICE, Some(&replaces));
    scene.run(1.0);
    let parked = calls_as_referred(scene.now(), &mut scene.dave, DAVE);
    scene.run(1.0);
    assert_eq!(
        (scene.alice.over.as_slice(), scene.bob.over.as_slice()),
        ([call].as_slice(), [theirs].as_slice())
    );
    tells_of_success(scene.now(), &mut scene.dave);
    scene.run(1.0);
    let now = scene.now();
    let fetch = OutgoingSubscription { expires: 0, keep: false, ..watch(CAROL, DAVE) };
    scene.carol.endpoint.subscribe(now, fetch).expect("a request");
    scene.run(1.0);
    let replaces = scene.dave.endpoint.replaces_header(parked).expect("a dialog");
    let now = scene.now();
    let taken =
        scene.carol.endpoint.invite(now, replacing(CAROL, ALICE, &replaces.to_string())).expect("a call");
    scene.run(1.0);
    assert_eq!(scene.dave.over, [parked]);
    hang_up(&mut scene, |s| &mut s.carol, taken);
    scene.finish("rfc5359-2.15");
}

#[test]
fn rfc_5359_2_16_pickup() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Rings;
    let now = scene.now();
    let call = scene.alice.endpoint.invite(now, Scene::call(ALICE, BOB)).expect("a call");
    scene.run(1.0);
    let now = scene.now();
    let fetch = OutgoingSubscription { expires: 0, keep: false, ..watch(CAROL, BOB) };
    scene.carol.endpoint.subscribe(now, fetch).expect("a request");
    scene.run(1.0);
    let ringing = scene.bob.ringing[0];
    let replaces = scene.bob.endpoint.replaces_header(ringing).expect("a dialog");
    let now = scene.now();
    let picked = replacing(CAROL, ALICE, &format!("{replaces};early-only"));
    let picked = scene.carol.endpoint.invite(now, picked).expect("a call");
    scene.run(1.0);
    assert_eq!(
        (scene.alice.over.as_slice(), scene.bob.over.as_slice()),
        ([call].as_slice(), [ringing].as_slice())
    );
    hang_up(&mut scene, |s| &mut s.carol, picked);
    scene.finish("rfc5359-2.16");
}

#[test]
fn rfc_5359_2_17_automatic_redial() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Refuses;
    let now = scene.now();
    scene.alice.endpoint.invite(now, Scene::call(ALICE, BOB)).expect("a call");
    scene.run(1.0);
    let now = scene.now();
    let subscription = scene.alice.endpoint.subscribe(now, watch(ALICE, BOB)).expect("a request");
    scene.run(1.0);
    // Bob is free again.
    scene.bob.manner = Manner::Answers;
    let (now, watcher) = (scene.now(), scene.bob.watched[0]);
    let free = Some(Body::new("application/dialog-info+xml", "terminated"));
    scene.bob.endpoint.notify(now, watcher, NotifierState::Active, free).expect("it is up");
    scene.run(1.0);
    let now = scene.now();
    let call = scene.alice.endpoint.invite(now, Scene::call(ALICE, BOB)).expect("a call");
    scene.run(1.0);
    assert_eq!(scene.alice.up, [call]);
    let now = scene.now();
    scene.alice.endpoint.unsubscribe(now, subscription).expect("it is up");
    scene.run(1.0);
    hang_up(&mut scene, |s| &mut s.alice, call);
    scene.finish("rfc5359-2.17");
}

/// Alice's browser has Bob's telephone call Carol.
#[test]
fn rfc_5359_2_18_click_to_dial() {
    let mut scene = Scene::new();
    let now = scene.now();
    refer_outside(&mut scene.alice, now, [ALICE, BOB], CAROL, None);
    scene.run(1.0);
    let call = calls_as_referred(scene.now(), &mut scene.bob, BOB);
    scene.run(1.0);
    tells_of_success(scene.now(), &mut scene.bob);
    scene.run(1.0);
    hang_up(&mut scene, |s| &mut s.bob, call);
    scene.finish("rfc5359-2.18");
}
