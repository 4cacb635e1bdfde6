//! Subscriptions of both sides, and REFER (RFC 6665, RFC 3515, RFC 4488).

use crate::solo::{Solo, addr, ask, ask_with, reply, seconds};
use sip_core::{
    Limits, Method, NameAddr, Request, StatusCode,
    auth::Credentials,
    endpoint::{
        Body, Config, Event, Notifier, OutgoingRefer, OutgoingRequest, OutgoingSubscription, Subscription,
    },
    usage::{NotifierState, Sipfrag},
};

fn wish() -> OutgoingSubscription {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    OutgoingSubscription {
        accept: vec!["application/pidf+xml".to_owned()],
        expires: 600,
        ..OutgoingSubscription::new("sip:peer@192.0.2.2".parse().expect("a URI"), from, "presence")
    }
}

/// A NOTIFY of the peer's, in the dialog of a request of ours.
fn notify(request: &Request, tag: &str, cseq: u32, more: &str) -> String {
    let ours = request.from().expect("From");
    let call_id = request.call_id().expect("Call-ID").0;
    ask("NOTIFY", &format!("n{tag}{cseq}"), cseq, ours.tag().expect("a tag"), more)
        .replace("Call-ID: call", &format!("Call-ID: {call_id}"))
        .replace(";tag=peer", &format!(";tag={tag}"))
}

fn subscribe(solo: &mut Solo, wish: OutgoingSubscription) -> (Subscription, Request) {
    let id = solo.endpoint.subscribe(solo.now(), wish).expect("a subscription");
    solo.drain();
    (id, solo.request())
}

fn established(solo: &mut Solo) -> (Subscription, Request) {
    let (id, request) = subscribe(solo, wish());
    solo.datagram(&reply(&request, 200, "peer", "Expires: 600\nContact: <sip:peer@192.0.2.7>"));
    assert!(matches!(solo.event(), Event::Subscribed { subscription, .. } if subscription == id));
    solo.datagram(&notify(&request, "peer", 1, "Event: presence\nSubscription-State: active;expires=600"));
    assert!(matches!(solo.event(), Event::Notified { subscription, .. } if subscription == id));
    assert_eq!(solo.sent_summary(), ["200 NOTIFY"]);
    (id, request)
}

#[test]
fn subscribed_refreshed_and_given_up() {
    let mut solo = Solo::new();
    let (id, first) = established(&mut solo);
    let text = |name: &str| first.headers().text(name).map(str::to_owned);
    assert_eq!((text("Event").as_deref(), text("Expires").as_deref()), (Some("presence"), Some("600")));
    assert_eq!(text("Contact").as_deref(), Some("<sip:us@192.0.2.1:5060>"));
    assert!(text("Allow").expect("Allow").contains("NOTIFY"));
    solo.pass(seconds(569.0));
    solo.quiet();
    solo.pass(seconds(1.2));
    let refresh = solo.request();
    assert_eq!((refresh.method(), refresh.uri_text()), (&Method::Subscribe, "sip:peer@192.0.2.2:5060"));
    assert_eq!(refresh.to().expect("To").tag(), Some("peer"));
    assert_eq!(refresh.cseq().expect("CSeq").number, 2);
    solo.datagram(&reply(&refresh, 200, "", "Expires: 60"));
    assert!(matches!(solo.event(), Event::Subscribed { .. }));
    solo.datagram(&notify(&first, "peer", 2, "Event: presence\nSubscription-State: active;expires=60"));
    solo.datagram(
        &notify(&first, "peer", 1, "Event: presence\nSubscription-State: active").replace("npeer1", "x"),
    );
    assert_eq!(solo.sent_summary(), ["200 NOTIFY", "500 NOTIFY"], "out of order");
    solo.events.clear();
    solo.endpoint.unsubscribe(solo.now(), id).expect("it is up");
    solo.drain();
    let last = solo.request();
    assert_eq!(last.headers().text("Expires"), Some("0"));
    solo.datagram(&reply(&last, 200, "", "Expires: 0"));
    solo.events.clear();
    let over = "Event: presence\nSubscription-State: terminated;reason=timeout";
    solo.datagram(&notify(&first, "peer", 3, over));
    assert!(matches!(solo.event(), Event::Notified { .. }));
    assert!(matches!(solo.event(), Event::SubscriptionEnded { subscription, .. } if subscription == id));
    solo.sent.clear();
    solo.datagram(&notify(&first, "peer", 4, over));
    assert_eq!(solo.sent_summary(), ["481 NOTIFY"], "nobody knows it any more");
    solo.pass(seconds(40.0));
    assert_eq!((solo.endpoint.stats().subscriptions, solo.idle), (0, None));
}

#[test]
fn a_notify_before_the_200_and_one_of_a_fork() {
    let mut solo = Solo::new();
    let (id, first) = subscribe(&mut solo, wish());
    let active = "Event: presence\nSubscription-State: active;expires=600";
    solo.datagram(&notify(&first, "a", 1, "Subscription-State: active"));
    solo.datagram(&notify(&first, "a", 2, "Event: dialog\nSubscription-State: active"));
    solo.datagram(&notify(&first, "a", 3, "Event: presence"));
    assert_eq!(solo.sent_summary(), ["481 NOTIFY", "481 NOTIFY", "400 NOTIFY"]);
    solo.datagram(&notify(&first, "a", 4, active));
    assert!(matches!(solo.event(), Event::Notified { subscription, .. } if subscription == id));
    solo.datagram(&notify(&first, "b", 1, active));
    assert_eq!(solo.sent_summary(), ["200 NOTIFY", "481 NOTIFY"], "one dialog: RFC 6665 §4.4.1");
    solo.datagram(&reply(&first, 200, "b", "Expires: 600"));
    assert!(matches!(solo.event(), Event::Subscribed { .. }));
    solo.endpoint.resubscribe(solo.now(), id).expect("it is up");
    solo.drain();
    assert_eq!(solo.request().to().expect("To").tag(), Some("a"), "the NOTIFY made the dialog");
    // A 200 of one branch, and the NOTIFY of another.
    let mut solo = Solo::new();
    let (_, first) = subscribe(&mut solo, wish());
    solo.datagram(&reply(&first, 200, "a", "Expires: 600"));
    solo.datagram(&notify(&first, "b", 1, active));
    assert_eq!(solo.sent_summary(), ["200 NOTIFY"]);
}

#[test]
fn refused_lost_and_begun_again() {
    let mut solo = Solo::new();
    let (id, first) = subscribe(&mut solo, wish());
    solo.datagram(&reply(&first, 423, "peer", "Min-Expires: 1800"));
    let second = solo.request();
    assert_eq!(second.headers().text("Expires"), Some("1800"));
    solo.datagram(&reply(&second, 503, "peer", "Retry-After: 60"));
    assert!(matches!(solo.event(), Event::SubscriptionLost { retry, .. } if retry == seconds(60.0)));
    solo.pass(seconds(60.0));
    let third = solo.request();
    assert_ne!(third.call_id().expect("Call-ID"), second.call_id().expect("Call-ID"));
    solo.sent.clear();
    solo.datagram(&reply(&third, 200, "peer", "Expires: 1800"));
    solo.event();
    solo.pass(seconds(33.0));
    assert!(matches!(solo.event(), Event::SubscriptionLost { .. }), "timer N: no NOTIFY came");
    solo.pass(seconds(10.0));
    let fourth = solo.request();
    solo.sent.clear();
    let state = |s: &str| format!("Event: presence\nSubscription-State: {s}");
    solo.datagram(&notify(&fourth, "peer", 1, &state("terminated;reason=deactivated")));
    assert!(matches!(solo.event(), Event::Notified { .. }));
    assert!(matches!(solo.event(), Event::SubscriptionLost { .. }));
    solo.pass(seconds(40.0));
    // The fourth one was never answered: it is repeated still.
    let old = fourth.headers().text("Call-ID").map(str::to_owned);
    solo.sent.retain(|(_, m)| {
        crate::solo::summary(m) == "SUBSCRIBE" && m.headers().text("Call-ID").map(str::to_owned) != old
    });
    let fifth = solo.request();
    solo.datagram(&notify(&fifth, "peer", 9, &state("terminated;reason=rejected")));
    solo.event();
    assert!(matches!(solo.event(), Event::SubscriptionEnded { subscription, .. } if subscription == id));
    let mut solo = Solo::new();
    let (_, first) = subscribe(&mut solo, wish());
    solo.datagram(&reply(&first, 489, "peer", "Allow-Events: dialog"));
    assert!(matches!(solo.event(), Event::SubscriptionEnded { response: Some(_), .. }));
    assert_eq!(solo.endpoint.stats().subscriptions, 0);
}

#[test]
fn fetched_once_with_a_password() {
    let mut solo = Solo::new();
    let credentials = Some(Credentials::new("us", "secret").for_realm("r"));
    let (id, first) = subscribe(&mut solo, OutgoingSubscription { expires: 0, credentials, ..wish() });
    solo.datagram(&reply(&first, 401, "peer", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\""));
    let again = solo.request();
    assert!(again.headers().contains("Authorization"));
    assert_eq!(again.cseq().expect("CSeq").number, 2);
    solo.datagram(&reply(&again, 200, "peer", "Expires: 0"));
    solo.event();
    solo.datagram(&notify(
        &again,
        "peer",
        1,
        "Event: presence\nSubscription-State: terminated;reason=timeout",
    ));
    assert!(matches!(solo.event(), Event::Notified { .. }));
    assert!(matches!(solo.event(), Event::SubscriptionEnded { subscription, .. } if subscription == id));
}

fn served() -> Solo {
    let mut config = Config::default();
    config.allow.extend([Method::Subscribe, Method::Refer]);
    config.events = vec!["presence".to_owned(), "dialog".to_owned()];
    Solo::with(config)
}

/// A subscription of the peer's, its SUBSCRIBE's tag, and the first NOTIFY.
fn watched(solo: &mut Solo, expires: u32) -> (Notifier, String, Request) {
    solo.datagram(&ask("SUBSCRIBE", "1", 1, "", &format!("Event: presence\nExpires: {expires}")));
    let Event::Request { call: None, id, .. } = solo.event() else { panic!("Request") };
    let body = Some(Body::new("application/pidf+xml", "open"));
    let now = solo.now();
    let notifier =
        solo.endpoint.accept_subscription(now, id, 3_600, NotifierState::Active, body).expect("it waits");
    solo.drain();
    let ok = solo.response();
    assert_eq!(ok.headers().text("Expires"), Some(expires.to_string().as_str()));
    assert_eq!(ok.headers().text("Contact"), Some("<sip:us@192.0.2.1:5060>"));
    let notify = solo.request();
    (notifier, ok.to().expect("To").tag().expect("a tag").to_owned(), notify)
}

#[test]
fn a_peer_subscribes_refreshes_and_expires() {
    let mut solo = served();
    solo.datagram(&ask("SUBSCRIBE", "0", 1, "", "Event: unknown"));
    let refusal = solo.response();
    assert_eq!(refusal.headers().text("Allow-Events"), Some("presence, dialog"));
    assert_eq!(refusal.status(), StatusCode::BAD_EVENT);
    let (notifier, tag, first) = watched(&mut solo, 100);
    assert_eq!(first.headers().text("Subscription-State"), Some("active;expires=100"));
    assert_eq!((first.body().as_ref(), first.to().expect("To").tag()), (b"open".as_ref(), Some("peer")));
    // One at a time, and then the latest.
    for body in ["busy", "away"] {
        let body = Some(Body::new("application/pidf+xml", body));
        solo.endpoint.notify(solo.now(), notifier, NotifierState::Active, body).expect("it is up");
    }
    solo.drain();
    solo.quiet();
    solo.datagram(&reply(&first, 200, "", ""));
    let second = solo.request();
    assert_eq!(second.body().as_ref(), b"away");
    solo.datagram(&reply(&second, 200, "", ""));
    solo.pass(seconds(50.0));
    solo.datagram(&ask("SUBSCRIBE", "2", 2, &tag, "Event: presence\nExpires: 200"));
    assert_eq!(solo.response().headers().text("Expires"), Some("200"));
    let third = solo.request();
    assert_eq!(third.headers().text("Subscription-State"), Some("active;expires=200"));
    assert!(matches!(solo.event(), Event::NotifierRefreshed { .. }));
    solo.datagram(&reply(&third, 200, "", ""));
    solo.pass(seconds(200.0));
    let last = solo.request();
    assert_eq!(last.headers().text("Subscription-State"), Some("terminated;reason=timeout"));
    solo.datagram(&reply(&last, 200, "", ""));
    assert!(matches!(solo.event(), Event::NotifierEnded { notifier: n, .. } if n == notifier));
    solo.datagram(&ask("SUBSCRIBE", "3", 3, &tag, "Event: presence"));
    assert!(solo.sent_summary().contains(&"481 SUBSCRIBE".to_owned()));
    assert_eq!(solo.endpoint.stats().subscriptions, 0);
}

#[test]
fn a_peer_fetches_gives_up_and_vanishes() {
    let mut solo = served();
    let (_, _, only) = watched(&mut solo, 0);
    assert_eq!(only.headers().text("Subscription-State"), Some("terminated;reason=timeout"));
    solo.datagram(&reply(&only, 200, "", ""));
    assert!(matches!(solo.event(), Event::NotifierEnded { .. }));
    let mut solo = served();
    let (_, tag, first) = watched(&mut solo, 100);
    solo.datagram(&reply(&first, 200, "", ""));
    solo.datagram(&ask("SUBSCRIBE", "2", 2, &tag, "Event: presence\nExpires: 0"));
    solo.response();
    let last = solo.request();
    assert_eq!(last.headers().text("Subscription-State"), Some("terminated;reason=timeout"));
    let mut solo = served();
    let (_, _, first) = watched(&mut solo, 100);
    solo.datagram(&reply(&first, 481, "", ""));
    assert!(matches!(solo.event(), Event::NotifierEnded { .. }), "RFC 6665 §4.2.2");
    let mut solo = served();
    watched(&mut solo, 100);
    solo.pass(seconds(33.0));
    assert!(matches!(solo.event(), Event::NotifierEnded { .. }), "nobody answers");
    // Many of them cost no more than allowed.
    let mut solo = Solo::with(Config { max_subscriptions: 1, ..Config::default() });
    subscribe(&mut solo, wish());
    assert!(solo.endpoint.subscribe(solo.now(), wish()).is_err());
}

fn fragment(request: &Request) -> u16 {
    let fragment = Sipfrag::parse(request.body(), &Limits::default()).expect("a fragment");
    fragment.status().expect("a status").code()
}

#[test]
fn a_transfer_of_ours_outlives_its_call() {
    let mut solo = Solo::new();
    let call = crate::calls::established(&mut solo);
    let replaces = solo.endpoint.replaces_header(call).expect("a dialog");
    let to = NameAddr::new("sip:third@192.0.2.9".parse().expect("a URI"));
    let by = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let refer = OutgoingRefer { referred_by: Some(by), ..OutgoingRefer::new(to) };
    let refer = refer.replacing(&replaces).expect("a URI with headers");
    let id = solo.endpoint.refer(solo.now(), call, refer).expect("established");
    solo.drain();
    let request = solo.request();
    let refer_to = request.headers().text("Refer-To").expect("Refer-To");
    assert!(refer_to.starts_with("<sip:third@192.0.2.9?Replaces="), "{refer_to}");
    assert!(refer_to.contains("%3Bto-tag%3Dpeer%3Bfrom-tag%3D"), "{refer_to}");
    assert_eq!(request.headers().text("Referred-By"), Some("<sip:us@example.com>"));
    solo.datagram(&reply(&request, 202, "", ""));
    assert!(matches!(solo.event(), Event::Subscribed { .. }));
    let told = |cseq: u32, state: &str, line: &str| {
        let more = format!("Event: refer;id=2\nSubscription-State: {state}\nContent-Type: message/sipfrag");
        let text = notify(&request, "peer", cseq, &more);
        let text = text.replace("Content-Length: 0", &format!("Content-Length: {}", line.len()));
        format!("{}\r\n\r\n{line}", text.replace('\n', "\r\n"))
    };
    solo.datagram(&told(5, "active;expires=60", "SIP/2.0 100 Trying"));
    let Event::Notified { request: first, .. } = solo.event() else { panic!("Notified") };
    assert_eq!(fragment(&first), 100);
    solo.endpoint.bye(solo.now(), call, Vec::new()).expect("established");
    solo.drain();
    let bye = solo.sent.pop_back().expect("BYE").1;
    solo.datagram(&reply(bye.as_request().expect("a request"), 200, "", ""));
    assert!(matches!(solo.event(), Event::Ended { .. }));
    solo.sent.clear();
    solo.datagram(&told(6, "terminated;reason=noresource", "SIP/2.0 200 OK"));
    assert_eq!(solo.sent_summary(), ["200 NOTIFY"], "RFC 5057 §4.1: the dialog lives on");
    let Event::Notified { request: last, .. } = solo.event() else { panic!("Notified") };
    assert_eq!(fragment(&last), 200);
    assert!(matches!(solo.event(), Event::SubscriptionEnded { subscription, .. } if subscription == id));
}

#[test]
fn a_transfer_of_the_peer() {
    let mut solo = served();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let tag = solo.response().to().expect("To").tag().expect("a tag").to_owned();
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    solo.events.clear();
    solo.datagram(&ask("REFER", "3", 2, &tag, ""));
    solo.datagram(&ask("REFER", "3b", 3, &tag, "Refer-To: <sip:a@b>\nRefer-To: <sip:c@d>"));
    assert_eq!(solo.sent_summary(), ["400 REFER", "400 REFER"], "RFC 3515 §2.4.2: one Refer-To");
    solo.datagram(&ask("REFER", "4", 4, &tag, "Refer-To: <sip:third@192.0.2.9>"));
    let Event::Request { call: Some(_), id, .. } = solo.event() else { panic!("Request") };
    let notifier = solo.endpoint.accept_refer(solo.now(), id, 60).expect("it waits").expect("a subscription");
    solo.drain();
    assert_eq!(solo.response().status().code(), 202);
    let trying = solo.request();
    assert_eq!((fragment(&trying), trying.headers().text("Event")), (100, Some("refer")));
    solo.datagram(&reply(&trying, 200, "", ""));
    // A second one has its number.
    solo.datagram(&ask("REFER", "5", 5, &tag, "Refer-To: <sip:fourth@192.0.2.9>"));
    let Event::Request { id, .. } = solo.event() else { panic!("Request") };
    solo.endpoint.accept_refer(solo.now(), id, 60).expect("it waits").expect("a subscription");
    solo.drain();
    solo.response();
    assert_eq!(solo.request().headers().text("Event"), Some("refer;id=5"));
    // The call ends; the end of the transfer is still told, in its dialog.
    solo.datagram(&ask("BYE", "6", 6, &tag, ""));
    assert!(matches!(solo.event(), Event::Ended { .. }));
    solo.sent.clear();
    let busy = Some(Sipfrag::of_status(StatusCode::BUSY_HERE, None));
    solo.endpoint.end_notifier(solo.now(), notifier, "noresource", busy).expect("it is up");
    solo.drain();
    let last = solo.request();
    assert_eq!((fragment(&last), last.to().expect("To").tag()), (486, Some("peer")));
    assert!(last.cseq().expect("CSeq").number > trying.cseq().expect("CSeq").number);
    solo.datagram(&reply(&last, 200, "", ""));
    assert!(matches!(solo.event(), Event::NotifierEnded { notifier: n, .. } if n == notifier));
}

#[test]
fn without_a_subscription() {
    let mut solo = served();
    solo.datagram(&ask("REFER", "1", 1, "", "Refer-To: <sip:a@b>\nRefer-Sub: false"));
    let Event::Request { call: None, id, .. } = solo.event() else { panic!("Request") };
    assert_eq!(solo.endpoint.accept_refer(solo.now(), id, 60), Ok(None));
    solo.drain();
    assert_eq!(solo.response().headers().text("Refer-Sub"), Some("false"));
    solo.quiet();

    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let base = OutgoingRequest::new(Method::Refer, "sip:peer@192.0.2.2".parse().expect("a URI"), from);
    let to = NameAddr::new("sip:third@192.0.2.9".parse().expect("a URI"));
    let refer = OutgoingRefer { subscribe: false, ..OutgoingRefer::new(to) };
    let id = solo.endpoint.refer_outside(solo.now(), base, refer).expect("a request");
    solo.drain();
    let (to, _) = solo.sent.front().expect("REFER").clone();
    assert_eq!(to, addr("192.0.2.2:5060"));
    let request = solo.request();
    assert_eq!(request.headers().text("Refer-Sub"), Some("false"));
    solo.datagram(&reply(&request, 200, "peer", "Refer-Sub: false"));
    let Event::SubscriptionEnded { subscription, response: Some(_), .. } = solo.event() else {
        panic!("over")
    };
    assert_eq!((subscription, solo.endpoint.stats().subscriptions), (id, 0));
}

#[test]
fn a_subscription_within_a_call() {
    let mut solo = served();
    solo.datagram(&ask_with("INVITE", "1", 1, "", "", "offer"));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let tag = solo.response().to().expect("To").tag().expect("a tag").to_owned();
    solo.datagram(&ask("ACK", "2", 1, &tag, ""));
    solo.events.clear();
    solo.datagram(&ask("SUBSCRIBE", "3", 2, &tag, "Event: dialog\nExpires: 60"));
    let Event::Request { call: Some(c), id, .. } = solo.event() else { panic!("Request") };
    assert_eq!(c, call);
    solo.endpoint.accept_subscription(solo.now(), id, 60, NotifierState::Pending, None).expect("it waits");
    solo.drain();
    solo.response();
    let notify = solo.request();
    assert_eq!(notify.headers().text("Subscription-State"), Some("pending;expires=60"));
    assert_eq!(notify.call_id().expect("Call-ID").0, "call");
    solo.datagram(&ask("SUBSCRIBE", "4", 3, &tag, "Event: dialog\nExpires: 60"));
    assert_eq!(solo.sent_summary(), ["200 SUBSCRIBE"], "a refresh; its NOTIFY waits for the one before");
}
