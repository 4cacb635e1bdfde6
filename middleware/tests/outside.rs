//! What peers ask for outside of sessions, over real sockets: handles do what the application decides.

use std::net::UdpSocket;
use std::time::Duration;

use sipsimple::notification::{
    Event, IncomingReferralEvent, IncomingSubscriptionEvent, Notification, Sender, SubscriptionEvent,
};
use sipsimple::presence::{Basic, EventBody, Presence, Tuple};
use sipsimple::{IncomingReferral, IncomingSubscription, StatusCode, StreamSet, SubscriptionOptions};

#[path = "support/party.rs"]
mod party;

use party::{PATIENCE, Party};

impl Party {
    async fn next(&mut self, name: &str) -> Notification {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if notification.name() == name {
                    return notification;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{}: no {name}", self.name))
    }
}

fn presence(entity: &str, basic: Basic) -> EventBody {
    let mut presence = Presence::new(entity);
    presence.tuples.push(Tuple::new("t1", basic, entity));
    presence.into()
}

fn subscriber(notification: &Notification) -> IncomingSubscription {
    match notification.sender() {
        Sender::IncomingSubscription(subscription) => subscription.clone(),
        other => panic!("{other}"),
    }
}

fn decoded(notification: &Notification) -> EventBody {
    match notification.event() {
        Event::Subscription(SubscriptionEvent::GotNotify { decoded: Some(body), .. }) => (**body).clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_told_to_who_was_taken() {
    let mut alice = Party::start("alice", |builder| builder).await;
    let mut bob = Party::start("bob", |builder| builder.events(["presence"])).await;
    let options = SubscriptionOptions::new("presence", bob.uri(), alice.credentials());
    let following = alice.application.subscribe(options);

    let asked = bob.next("SCIncomingSubscriptionGotSubscribe").await;
    let subscription = subscriber(&asked);
    let Event::IncomingSubscription(IncomingSubscriptionEvent::GotSubscribe { event, from, expires, .. }) =
        asked.event()
    else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (event.as_str(), from.as_str(), *expires),
        ("presence", &*alice.uri().to_string(), Some(3_600))
    );
    assert!(subscription.notify(EventBody::Empty).await.is_err(), "it was not taken yet");
    let (open, closed) =
        (presence("sip:bob@b.example", Basic::Open), presence("sip:bob@b.example", Basic::Closed));
    subscription.accept(open.clone(), 600).await.expect("it waits");
    assert!(subscription.reject(StatusCode::FORBIDDEN).await.is_err(), "it was taken");
    assert_eq!(decoded(&alice.next("SCSubscriptionGotNotify").await), open);
    subscription.notify(closed.clone()).await.expect("it was taken");
    assert_eq!(decoded(&alice.next("SCSubscriptionGotNotify").await), closed);
    following.refresh().await.expect("it runs");
    assert!(bob.next("SCIncomingSubscriptionGotRefresh").await.sender().is(asked.sender()));
    assert_eq!(decoded(&alice.next("SCSubscriptionGotNotify").await), closed, "told again");
    assert!(subscription.end("no token").await.is_err());
    subscription.end("noresource").await.expect("it was taken");
    alice.next("SCSubscriptionDidEnd").await;
    bob.next("SCIncomingSubscriptionDidEnd").await;

    let options = SubscriptionOptions::new("dialog", bob.uri(), alice.credentials());
    let _other = alice.application.subscribe(options);
    let refused = alice.next("SCSubscriptionDidFail").await;
    assert!(
        matches!(refused.event(), Event::Subscription(SubscriptionEvent::DidFail { code: 489, .. })),
        "{refused:?}"
    );
    alice.application.stop().await;
    bob.application.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_call_is_told_what_comes_of_it() {
    let mut alice = Party::start("alice", |builder| builder.referrals(true)).await;
    let mut bob = Party::start("bob", |builder| builder).await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let (here, there) = (socket.local_addr().expect("it is bound"), alice.application.addresses()[0].1);
    let refer = format!(
        "REFER {0} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKr\r\nMax-Forwards: 70\r\n\
         From: <sip:desk@{here}>;tag=d\r\nTo: <{0}>\r\nCall-ID: refer\r\nCSeq: 1 REFER\r\n\
         Contact: <sip:desk@{here}>\r\nRefer-To: <{1}>\r\nContent-Length: 0\r\n\r\n",
        alice.uri(),
        bob.uri()
    );
    socket.send_to(refer.as_bytes(), there).expect("it leaves");
    let asked = alice.next("SCIncomingReferralGotRefer").await;
    let referral: IncomingReferral = match asked.sender() {
        Sender::IncomingReferral(referral) => referral.clone(),
        other => panic!("{other}"),
    };
    let Event::IncomingReferral(IncomingReferralEvent::GotRefer { destination, .. }) = asked.event() else {
        panic!("{asked:?}")
    };
    assert_eq!(*destination, bob.uri().to_string());
    assert!(referral.accept(alice.credentials(), StreamSet::NONE).await.is_err(), "no stream");
    let calling = referral.accept(alice.credentials(), StreamSet::AUDIO).await.expect("it waits");
    assert!(referral.reject(StatusCode::DECLINE).await.is_err(), "it was taken");
    let called = bob.wait_for("SCSessionNewIncoming").await;
    called.accept(StreamSet::AUDIO).await.expect("it is legal in INCOMING");
    assert_eq!(alice.wait_for("SCSessionDidStart").await, calling);

    let heard = tokio::task::spawn_blocking(move || what_desk_hears(&socket)).await.expect("no panic");
    assert_eq!(heard.first().map(String::as_str), Some("SIP/2.0 202 Accepted"), "{heard:?}");
    assert_eq!(heard.get(1).map(String::as_str), Some("SIP/2.0 100 Trying"), "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("SIP/2.0 200 OK"), "{heard:?}");
    let over = alice.next("SCIncomingReferralDidEnd").await;
    assert!(
        matches!(over.event(), Event::IncomingReferral(IncomingReferralEvent::DidEnd { code: 200, .. })),
        "{over:?}"
    );
    alice.application.stop().await;
    bob.application.stop().await;
}

/// The status of the REFER, then the fragments of the NOTIFYs, which are answered, until the last.
fn what_desk_hears(socket: &UdpSocket) -> Vec<String> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("something comes");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a message");
        if !head.starts_with("NOTIFY") {
            heard.push(head.lines().next().unwrap_or_default().to_owned());
            continue;
        }
        let copied = head.lines().filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
        });
        let lines: Vec<&str> = copied.collect();
        let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"));
        socket.send_to(answer.as_bytes(), from).expect("it leaves");
        let said = body.lines().next().unwrap_or_default().to_owned();
        if heard.last() != Some(&said) {
            heard.push(said);
        }
        if head.contains("terminated") {
            return heard;
        }
    }
}
