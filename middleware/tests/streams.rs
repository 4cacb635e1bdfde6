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
    beside_messages(&alice, &bob, &mut at_alice, &mut at_bob).await;
    alice.end();
    wait_for(&mut at_alice, "MSRPChatDidEnd").await;
    wait_for(&mut at_bob, "MSRPChatDidFail").await;
    wait_for(&mut at_bob, "MSRPChatDidEnd").await;
    assert!(bob.send_message("too late", MessageOptions::default()).is_err());
}

/// Who is composing (RFC 3994), what became of a message (RFC 5438), and names (RFC 7701).
async fn beside_messages(
    alice: &MsrpChat,
    bob: &MsrpChat,
    at_alice: &mut NotificationStream,
    at_bob: &mut NotificationStream,
) {
    let told = |notification: Notification, expected: MsrpChatEvent| {
        let Event::MsrpChat(event) = notification.event() else { panic!("{notification:?}") };
        assert_eq!(*event, expected);
    };
    let (alice_uri, bob_uri) = (uri("alice").to_string(), uri("bob").to_string());
    alice.composing().expect("it runs");
    let composes = wait_for(at_bob, "MSRPChatGotComposing").await;
    told(composes, MsrpChatEvent::GotComposing { from: alice_uri.clone(), active: true });
    let options = MessageOptions { notify: true, ..MessageOptions::default() };
    let message_id = alice.send_message("have you got this?", options).expect("it runs");
    let idle = wait_for(at_bob, "MSRPChatGotComposing").await;
    told(idle, MsrpChatEvent::GotComposing { from: alice_uri, active: false });
    let got = wait_for(at_bob, "MSRPChatGotMessage").await;
    let Event::MsrpChat(MsrpChatEvent::GotMessage { message_id: named, .. }) = got.event() else {
        panic!("{got:?}")
    };
    for status in ["delivered", "displayed"] {
        if status == "displayed" {
            bob.displayed(named.as_str()).expect("it runs");
        }
        let (message_id, from, status) = (message_id.clone(), bob_uri.clone(), status.to_owned());
        let disposition = wait_for(at_alice, "MSRPChatGotDisposition").await;
        told(disposition, MsrpChatEvent::GotDisposition { message_id, from, status });
    }
    // Bob is no conference, and his description says nothing of names.
    alice.set_nickname("Alice the great").expect("it runs");
    let refused = wait_for(at_alice, "MSRPChatDidNotSetNickname").await;
    let (nickname, reason) = ("Alice the great".to_owned(), "the peer knows no nicknames".to_owned());
    told(refused, MsrpChatEvent::DidNotSetNickname { nickname, code: 0, reason });
}

/// RFC 7701 §8: what a conference says that it can do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conference_is_asked_for_a_name() {
    let (here, there) = (NotificationCenter::new(), NotificationCenter::new());
    let (mut at_alice, mut at_room) = (here.stream(Filter::any(), 100), there.stream(Filter::any(), 100));
    let alice = MsrpChat::new(&here, config(), uri("alice"), uri("room"));
    let room = MsrpChat::new(&there, config(), uri("room"), uri("alice"));
    alice.initialize(None).expect("it is new");
    wait_for(&mut at_alice, "MSRPChatDidInitialize").await;
    room.initialize(alice.local_media().as_deref()).expect("an offer of a chat");
    wait_for(&mut at_room, "MSRPChatDidInitialize").await;
    room.start(None).expect("it has the offer");
    let answer = room.local_media().expect("it is initialized");
    let answer = format!("{answer}a=chatroom:nickname private-messages\r\n");
    alice.start(Some(&answer)).expect("a fitting answer");
    wait_for(&mut at_alice, "MSRPChatDidStart").await;
    assert!(alice.private_messages_allowed());
    let private = MessageOptions { to: Some(uri("carol")), ..MessageOptions::default() };
    alice.send_message("for Carol alone", private).expect("it runs");
    let got = wait_for(&mut at_room, "MSRPChatGotMessage").await;
    let Event::MsrpChat(MsrpChatEvent::GotMessage { cpim_headers, .. }) = got.event() else {
        panic!("{got:?}")
    };
    assert!(cpim_headers.iter().any(|(name, value)| name == "To" && value.contains("carol@example.com")));
    // This end of ours is no switch: it knows no such request, and says so.
    alice.set_nickname("Alice the great").expect("it runs");
    let refused = wait_for(&mut at_alice, "MSRPChatDidNotSetNickname").await;
    let Event::MsrpChat(MsrpChatEvent::DidNotSetNickname { code, .. }) = refused.event() else {
        panic!("{refused:?}")
    };
    assert_eq!(*code, 501);
    alice.end();
    room.end();
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

/// RFC 6714: something between the two carries the connection, and has put itself into the c= and m= lines. TLS is
/// between the ends, which know each other's certificates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_goes_where_the_lines_lead() {
    let (here, there) = (NotificationCenter::new(), NotificationCenter::new());
    let (mut at_alice, mut at_bob) = (here.stream(Filter::any(), 100), there.stream(Filter::any(), 100));
    let alice = MsrpChat::new(&here, config(), uri("alice"), uri("bob"));
    let bob = MsrpChat::new(&there, config(), uri("bob"), uri("alice"));
    alice.initialize(None).expect("it is new");
    wait_for(&mut at_alice, "MSRPChatDidInitialize").await;
    let offer = alice.local_media().expect("it is initialized");
    assert!(offer.contains("a=msrp-cema\r\n") && offer.contains("a=setup:actpass\r\n"), "{offer}");
    bob.initialize(Some(&offer)).expect("an offer of a chat");
    wait_for(&mut at_bob, "MSRPChatDidInitialize").await;
    bob.start(None).expect("it has the offer");
    let answer = bob.local_media().expect("it is initialized");
    assert!(answer.contains("a=msrp-cema\r\n") && answer.contains("a=setup:passive\r\n"), "{answer}");
    let line = answer.lines().find(|line| line.starts_with("m=message ")).expect("a line for the chat");
    let port: u16 = line.split(' ').nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let middlebox = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let place = middlebox.local_addr().expect("it listens").port();
    let carried = tokio::spawn(async move {
        let (mut one, _) = middlebox.accept().await?;
        let mut other = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        tokio::io::copy_bidirectional(&mut one, &mut other).await
    });
    let changed = answer.replace(line, &line.replace(&port.to_string(), &place.to_string()));
    alice.start(Some(&changed)).expect("a fitting answer");
    wait_for(&mut at_alice, "MSRPChatDidStart").await;
    alice.send_message("through the middle", MessageOptions::default()).expect("it runs");
    wait_for(&mut at_bob, "MSRPChatGotMessage").await;
    wait_for(&mut at_alice, "MSRPChatDidDeliverMessage").await;
    alice.end();
    bob.end();
    wait_for(&mut at_bob, "MSRPChatDidEnd").await;
    let (there, back) = carried.await.expect("it ran").unwrap_or_default();
    assert!(there > 500 && back > 100, "{there} bytes, and {back} back");
}

/// Who takes no messages out of its stream has its peer wait, and gets them all when it takes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_application_slows_its_peer() {
    const MESSAGES: usize = 60;
    const SIZE: usize = 200_000;
    let (here, there) = (NotificationCenter::new(), NotificationCenter::new());
    let (mut at_alice, mut at_bob) = (here.stream(Filter::any(), 1_000), there.stream(Filter::any(), 1_000));
    let alice = MsrpChat::new(&here, config(), uri("alice"), uri("bob"));
    let bob = MsrpChat::new(&there, config(), uri("bob"), uri("alice"));
    alice.initialize(None).expect("it is new");
    wait_for(&mut at_alice, "MSRPChatDidInitialize").await;
    bob.initialize(alice.local_media().as_deref()).expect("an offer of a chat");
    wait_for(&mut at_bob, "MSRPChatDidInitialize").await;
    bob.start(None).expect("it has the offer");
    alice.start(bob.local_media().as_deref()).expect("a fitting answer");
    wait_for(&mut at_alice, "MSRPChatDidStart").await;
    let content = "x".repeat(SIZE);
    for _ in 0..MESSAGES {
        alice.send_message(content.clone(), MessageOptions::default()).expect("it runs");
    }
    // As much as goes arrives; then nothing more does, however long it is waited for.
    let mut delivered = 0;
    let some = async {
        loop {
            delivered +=
                usize::from(at_alice.next().await.expect("it runs").name() == "MSRPChatDidDeliverMessage");
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), some).await.is_err());
    assert!((1..MESSAGES / 2).contains(&delivered), "{delivered}");
    let mut got = 0;
    while got < MESSAGES {
        wait_for(&mut at_bob, "MSRPChatGotMessage").await;
        got += 1;
    }
    while delivered < MESSAGES {
        wait_for(&mut at_alice, "MSRPChatDidDeliverMessage").await;
        delivered += 1;
    }
    assert_eq!(at_bob.missed(), 0);
    alice.end();
    bob.end();
}

/// Positions beyond four GiB, of which only what comes behind them is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "hashes gigabytes: ./dev long"]
async fn a_file_of_more_than_four_gibibytes_is_gone_on_with() {
    const OFFSET: u64 = (4 << 30) + 12_345;
    const REST: usize = 300_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.bin");
    let file = std::fs::File::create(&path).expect("a folder of ours");
    let rest: Vec<u8> = (0..REST).map(|index| u8::try_from(index % 251).expect("a byte")).collect();
    std::os::unix::fs::FileExt::write_all_at(&file, &rest, OFFSET).expect("a hole takes no room");
    let (here, there) = (NotificationCenter::new(), NotificationCenter::new());
    let (mut at_alice, mut at_bob) = (here.stream(Filter::any(), 1_000), there.stream(Filter::any(), 1_000));
    let file = FileToSend { offset: OFFSET, ..FileToSend::new(&path) };
    let alice = MsrpFileTransfer::send(&here, config(), uri("alice"), uri("bob"), file);
    alice.initialize().expect("it is new");
    wait_for(&mut at_alice, "MSRPFileTransferDidInitialize").await;
    let info = alice.info();
    assert_eq!(info.size, Some(OFFSET + REST as u64));
    let offer = alice.local_media().expect("it is initialized");
    assert!(offer.contains(&format!("a=file-range:{}-*", OFFSET + 1)), "{offer}");
    // What an earlier transfer left: the hole.
    let received = folder.path().join("received");
    std::fs::create_dir(&received).expect("a folder of ours");
    let hash: String = info.hashes[0].split(':').skip(1).take(6).map(str::to_lowercase).collect();
    let part =
        std::fs::File::create(received.join(format!("large.bin.{hash}.part"))).expect("a folder of ours");
    part.set_len(OFFSET).expect("a hole takes no room");
    drop(part);
    let bob = MsrpFileTransfer::answer(&there, config(), uri("bob"), uri("alice"), &offer, &received);
    bob.initialize().expect("an offer of a file");
    wait_for(&mut at_bob, "MSRPFileTransferDidInitialize").await;
    bob.start(None).expect("it has the offer");
    alice.start(bob.local_media().as_deref()).expect("a fitting answer");
    let got = wait_for(&mut at_bob, "MSRPFileTransferGotFile").await;
    let size = got.event().data().into_iter().find(|(name, _)| *name == "size").map(|(_, value)| value);
    assert_eq!(size, Some(sipsimple::notification::Value::Number(4_295_279_641)));
    wait_for(&mut at_alice, "MSRPFileTransferDidDeliverFile").await;
    bob.end();
    wait_for(&mut at_bob, "MSRPFileTransferDidEnd").await;
}
