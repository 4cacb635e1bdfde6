//! Chats over a relay: one whose connection is lost is taken up on another one, and no message is lost or shown
//! twice; one end may be behind a WebSocket.

#[path = "support/msrp_relay.rs"]
mod msrp_relay;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use msrp_relay::TestRelay;
use sipsimple::configuration::MsrpConfiguration;
use sipsimple::notification::{
    Event, Filter, MsrpChatEvent, Notification, NotificationCenter, NotificationStream, SessionEvent,
};
use sipsimple::session::{AcceptOptions, MessageOptions};
use sipsimple::{Application, Credentials, State, StreamSet, Uri};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);

struct Party {
    name: &'static str,
    application: Application,
    notifications: NotificationStream,
}

impl Party {
    async fn start(name: &'static str, msrp: MsrpConfiguration) -> Self {
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 100_000);
        let application = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .accepts(StreamSet::CHAT)
            .msrp_config(msrp)
            .notification_center(center)
            .start()
            .await
            .expect("sockets on the loopback interface");
        Self { name, application, notifications }
    }

    fn uri(&self) -> Uri {
        let address = self.application.addresses()[0].1;
        format!("sip:{}@{address}", self.name).parse().expect("a URI")
    }

    /// Waits for what is looked for, which every notification on the way is shown to.
    async fn wait<T>(&mut self, what: &str, mut found: impl FnMut(&Notification) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if let Some(found) = found(&notification) {
                    return found;
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{}: no {what}", self.name))
    }

    async fn wait_for(&mut self, name: &str) -> Notification {
        self.wait(name, |notification| (notification.name() == name).then(|| notification.clone())).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_restarts_in_mid_chat_and_no_message_is_lost_or_shown_twice() {
    const ROUNDS: usize = 4;
    const MESSAGES: usize = 60;
    let relay = TestRelay::start().await;
    let msrp = MsrpConfiguration {
        local_use_tls: false,
        use_relay_outgoing: true,
        relay_host: Some("127.0.0.1".to_owned()),
        relay_port: Some(relay.port),
        relay_use_tls: Some(false),
        ..MsrpConfiguration::default()
    };
    let mut alice = Party::start("alice", msrp.clone()).await;
    let mut bob = Party::start("bob", msrp).await;
    let calling = alice.application.session_manager().new_session();
    let credentials = Credentials::new(alice.uri()).with_password("secret");
    calling.connect(bob.uri(), credentials, None, StreamSet::CHAT).await.expect("it is legal in NULL");
    let incoming = bob.wait_for("SCSessionNewIncoming").await;
    let called = incoming.session().expect("it is about a session").clone();
    let options = AcceptOptions { relay_password: Some("secret".to_owned()), ..AcceptOptions::default() };
    called.accept_with(StreamSet::CHAT, options).await.expect("it is legal in INCOMING");
    alice.wait_for("MSRPChatDidStart").await;
    bob.wait_for("MSRPChatDidStart").await;

    let (mut fates, mut shown): (BTreeMap<String, u32>, BTreeMap<String, u32>) = Default::default();
    let mut sent = Vec::new();
    for round in 0..ROUNDS {
        for number in 0..MESSAGES {
            // Every third is of several chunks.
            let filler = "x".repeat(if number % 3 == 0 { 9_000 } else { 10 });
            let text = format!("{round}/{number} {filler}");
            sent.push(calling.send_message(text, MessageOptions::default()).await.expect("it has chat"));
            if number == MESSAGES / 2 {
                relay.restart();
            }
        }
        for party in [&mut alice, &mut bob] {
            let mut lost = false;
            party
                .wait("start behind a loss", |notification| match notification.event() {
                    Event::MsrpChat(MsrpChatEvent::DidLoseConnection { .. }) => {
                        lost = true;
                        None
                    }
                    Event::MsrpChat(MsrpChatEvent::DidStart) if lost => Some(()),
                    event => {
                        count(event, &mut fates, &mut shown);
                        None
                    }
                })
                .await;
        }
    }
    while fates.len() < sent.len() {
        alice
            .wait("fate of a message", |notification| {
                count(notification.event(), &mut fates, &mut shown);
                matches!(notification.session_event(), Some(SessionEvent::DidDeliverMessage { .. }))
                    .then_some(())
            })
            .await;
    }
    while shown.len() < sent.len() {
        bob.wait("message", |notification| {
            count(notification.event(), &mut fates, &mut shown);
            matches!(notification.session_event(), Some(SessionEvent::GotMessage { .. })).then_some(())
        })
        .await;
    }
    assert_eq!((calling.state(), called.state()), (State::Established, State::Established));
    calling.terminate().await.expect("it is legal everywhere");
    for party in [&mut alice, &mut bob] {
        party
            .wait("end", |notification| {
                count(notification.event(), &mut fates, &mut shown);
                (notification.name() == "SCSessionDidEnd").then_some(())
            })
            .await;
    }
    assert!(sent.iter().all(|id| fates.get(id) == Some(&1)), "each has one fate");
    assert_eq!((fates.len(), shown.len()), (sent.len(), sent.len()));
    assert!(shown.values().all(|times| *times == 1), "none is shown twice");
    let granted = relay.granted.load(Ordering::Relaxed);
    assert!(granted as usize >= 2 * (ROUNDS + 1), "both have asked it again: {granted}");
}

/// RFC 7977: one side reaches the relay over a WebSocket, the other one over TCP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_a_way_to_the_relay() {
    let relay = TestRelay::start().await;
    let msrp = |websocket: bool| MsrpConfiguration {
        local_use_tls: false,
        use_relay_outgoing: true,
        relay_host: Some("127.0.0.1".to_owned()),
        relay_port: Some(if websocket { relay.websocket_port } else { relay.port }),
        relay_use_tls: Some(false),
        relay_use_websocket: websocket,
        ..MsrpConfiguration::default()
    };
    let mut alice = Party::start("alice", msrp(true)).await;
    let mut bob = Party::start("bob", msrp(false)).await;
    let calling = alice.application.session_manager().new_session();
    let credentials = Credentials::new(alice.uri()).with_password("secret");
    calling.connect(bob.uri(), credentials, None, StreamSet::CHAT).await.expect("it is legal in NULL");
    let incoming = bob.wait_for("SCSessionNewIncoming").await;
    let called = incoming.session().expect("it is about a session").clone();
    let options = AcceptOptions { relay_password: Some("secret".to_owned()), ..AcceptOptions::default() };
    called.accept_with(StreamSet::CHAT, options).await.expect("it is legal in INCOMING");
    alice.wait_for("MSRPChatDidStart").await;
    // The ACK takes another way than the chat.
    bob.wait_for("SCSessionDidStart").await;
    // In many chunks, each of which has to be a message of its own.
    let text = "over a WebSocket ".repeat(2_000);
    calling.send_message(text.clone(), MessageOptions::default()).await.expect("it has chat");
    called.send_message(text.clone(), MessageOptions::default()).await.expect("it has chat");
    for party in [&mut alice, &mut bob] {
        let (mut delivered, mut got) = (false, false);
        party
            .wait("message each way", |notification| {
                match notification.session_event() {
                    Some(SessionEvent::GotMessage { content, .. }) => got = *content == text.as_bytes(),
                    Some(SessionEvent::DidDeliverMessage { .. }) => delivered = true,
                    _ => {}
                }
                (got && delivered).then_some(())
            })
            .await;
    }
    calling.terminate().await.expect("it is legal everywhere");
    bob.wait_for("SCSessionDidEnd").await;
}

/// Deliveries at the sender, and messages at the reader, by what tells them apart.
/// A way to the relay that ends the first connection before it grants anything.
async fn stumbling_door(relay: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = outside.read_u8().await;
                continue;
            }
            tokio::spawn(async move {
                let mut inside = TcpStream::connect(("127.0.0.1", relay)).await.expect("the relay is there");
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (port, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_hangs_up_is_asked_once_more() {
    let relay = TestRelay::start().await;
    let (port, taken) = stumbling_door(relay.port).await;
    let msrp = MsrpConfiguration {
        local_use_tls: false,
        use_relay_outgoing: true,
        relay_host: Some("127.0.0.1".to_owned()),
        relay_port: Some(port),
        relay_use_tls: Some(false),
        ..MsrpConfiguration::default()
    };
    let mut alice = Party::start("alice", msrp).await;
    let direct = MsrpConfiguration { local_use_tls: false, ..MsrpConfiguration::default() };
    let mut bob = Party::start("bob", direct).await;
    let calling = alice.application.session_manager().new_session();
    let credentials = Credentials::new(alice.uri()).with_password("secret");
    calling.connect(bob.uri(), credentials, None, StreamSet::CHAT).await.expect("it is legal in NULL");
    let incoming = bob.wait_for("SCSessionNewIncoming").await;
    assert_eq!(taken.load(Ordering::SeqCst), 2, "one in vain");
    incoming.session().expect("it is about a session").reject().await.expect("it is legal in INCOMING");
    alice.wait_for("SCSessionDidEnd").await;
}

fn count(event: &Event, fates: &mut BTreeMap<String, u32>, shown: &mut BTreeMap<String, u32>) {
    match event {
        Event::Session(SessionEvent::DidDeliverMessage { message_id, .. }) => {
            *fates.entry(message_id.clone()).or_default() += 1;
        }
        Event::Session(SessionEvent::DidNotDeliverMessage { message_id, code, reason }) => {
            panic!("{message_id} was not delivered: {code} {reason}");
        }
        Event::Session(SessionEvent::GotMessage { content, .. }) => {
            let text = String::from_utf8_lossy(content);
            let name = text.split(' ').next().unwrap_or_default().to_owned();
            *shown.entry(name).or_default() += 1;
        }
        _ => {}
    }
}
