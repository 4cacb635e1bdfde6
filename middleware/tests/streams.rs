//! MSRP streams without sessions: descriptions go from hand to hand.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sipsimple::configuration::MsrpConfiguration;
use sipsimple::notification::{
    Event, Filter, MsrpChatEvent, Notification, NotificationCenter, NotificationStream,
};
use sipsimple::session::{FileToSend, MessageOptions};
use sipsimple::{MsrpChat, MsrpFileTransfer, Uri};

const PATIENCE: Duration = Duration::from_secs(30);

async fn wait_for(stream: &mut NotificationStream, name: &str) -> Notification {
    let waiting = async {
        loop {
            let notification = stream.next().await.expect("the centre is there");
            if notification.name() == name {
                return notification;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {name}"))
}

fn config() -> MsrpConfiguration {
    MsrpConfiguration { local_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), ..MsrpConfiguration::default() }
}

fn uri(name: &str) -> Uri {
    format!("sip:{name}@example.com").parse().expect("a URI")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_needs_no_session() {
    let (here, there) = (NotificationCenter::new(), NotificationCenter::new());
    let (mut at_alice, mut at_bob) = (here.stream(Filter::any(), 100), there.stream(Filter::any(), 100));
    let alice = MsrpChat::new(&here, config(), uri("alice"), uri("bob"));
    let bob = MsrpChat::new(&there, config(), uri("bob"), uri("alice"));
    assert!(alice.send_message("too early", MessageOptions::default()).is_err());
    alice.initialize(None).expect("it is new");
    wait_for(&mut at_alice, "MSRPChatDidInitialize").await;
    let early = alice.send_message("before the connection", MessageOptions::default()).expect("it waits");
    bob.initialize(alice.local_media().as_deref()).expect("an offer of a chat");
    wait_for(&mut at_bob, "MSRPChatDidInitialize").await;
    bob.start(None).expect("it has the offer");
    alice.start(bob.local_media().as_deref()).expect("a fitting answer");
    wait_for(&mut at_alice, "MSRPChatDidStart").await;
    assert!(alice.is_started() && alice.cpim_enabled() && alice.is_active() && !bob.is_active());
    let got = wait_for(&mut at_bob, "MSRPChatGotMessage").await;
    let Event::MsrpChat(MsrpChatEvent::GotMessage { content, cpim_headers, .. }) = got.event() else {
        panic!("{got:?}")
    };
    assert_eq!(content.as_ref(), b"before the connection");
    assert!(cpim_headers.iter().any(|(name, value)| name == "From" && value.contains("alice@example.com")));
    let delivered = wait_for(&mut at_alice, "MSRPChatDidDeliverMessage").await;
    assert!(
        delivered
            .event()
            .data()
            .iter()
            .any(|(name, value)| *name == "message_id" && *value == early.as_str().into())
    );
    bob.send_message("and back", MessageOptions::default()).expect("it runs");
    wait_for(&mut at_alice, "MSRPChatGotMessage").await;
    alice.end();
    wait_for(&mut at_alice, "MSRPChatDidEnd").await;
    wait_for(&mut at_bob, "MSRPChatDidFail").await;
    wait_for(&mut at_bob, "MSRPChatDidEnd").await;
    assert!(bob.send_message("too late", MessageOptions::default()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_needs_no_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("photo.jpg");
    std::fs::write(&path, vec![9; 400_000]).expect("the disk has room");
    let (here, there) = (NotificationCenter::new(), NotificationCenter::new());
    let (mut at_alice, mut at_bob) = (here.stream(Filter::any(), 1_000), there.stream(Filter::any(), 1_000));
    let file = FileToSend::new(&path);
    let alice = MsrpFileTransfer::send(&here, config(), uri("alice"), uri("bob"), file);
    alice.initialize().expect("it is new");
    wait_for(&mut at_alice, "MSRPFileTransferDidInitialize").await;
    assert_eq!(alice.info().size, Some(400_000));
    let offer = alice.local_media().expect("it is initialized");
    let received = folder.path().join("received");
    let bob = MsrpFileTransfer::answer(&there, config(), uri("bob"), uri("alice"), &offer, &received);
    bob.initialize().expect("an offer of a file");
    wait_for(&mut at_bob, "MSRPFileTransferDidInitialize").await;
    bob.start(None).expect("it has the offer");
    alice.start(bob.local_media().as_deref()).expect("a fitting answer");
    wait_for(&mut at_bob, "MSRPFileTransferGotFile").await;
    wait_for(&mut at_alice, "MSRPFileTransferDidDeliverFile").await;
    wait_for(&mut at_alice, "MSRPFileTransferDidEnd").await;
    assert_eq!(std::fs::read(received.join("photo.jpg")).expect("it is there"), vec![9; 400_000]);
    bob.end();
    wait_for(&mut at_bob, "MSRPFileTransferDidEnd").await;
}
