//! Files between two applications on the loopback interface: real sockets, real disks.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use sipsimple::configuration::MsrpConfiguration;
use sipsimple::notification::{
    Event, Filter, MsrpFileTransferEventKind as Is, Notification, NotificationCenter, NotificationStream,
};
use sipsimple::session::{FileIcon, FileInfo, FileToSend};
use sipsimple::{Application, Credentials, Session, StreamSet, Uri};

const PATIENCE: Duration = Duration::from_secs(60);

struct Party {
    name: &'static str,
    application: Application,
    notifications: NotificationStream,
}

impl Party {
    async fn start(name: &'static str, msrp: MsrpConfiguration) -> Self {
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 10_000);
        let application = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .accepts(StreamSet::ALL)
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

    /// Waits for a notification by its bus name; all before are given too.
    async fn wait_for(&mut self, name: &str) -> (Notification, Vec<Notification>) {
        let mut before = Vec::new();
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if notification.name() == name {
                    return notification;
                }
                before.push(notification);
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        match waited {
            Ok(notification) => (notification, before),
            Err(_) => {
                let seen: Vec<_> = before.iter().map(|one| (one.name(), one.event().data())).collect();
                panic!("{}: no {name}: {seen:?}", self.name)
            }
        }
    }

    async fn session(&mut self, name: &str) -> Session {
        self.wait_for(name).await.0.session().expect("it is about a session").clone()
    }
}

fn config(tls: bool) -> MsrpConfiguration {
    MsrpConfiguration { local_use_tls: tls, ..MsrpConfiguration::default() }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251) as u8).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A session for files alone: two of them, one of which is empty, and it ends when both are there.
async fn push(tls: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("letter.txt"), folder.path().join("received"));
    let data = bytes(3_000_000);
    std::fs::write(&ours, &data).expect("the disk has room");
    std::fs::write(folder.path().join("empty"), b"").expect("the disk has room");
    let mut alice = Party::start("alice", config(tls)).await;
    let mut bob = Party::start("bob", config(tls)).await;

    let calling = alice.application.session_manager().new_session();
    let data_of_icon: &[u8] = b"\x89PNG\r\n\x1a\n\r\n--sipsimple-part-1\r\n\0";
    let icon = FileIcon { content_type: "image/png".to_owned(), data: data_of_icon.into() };
    let with_icon = FileToSend { icon: Some(icon.clone()), ..FileToSend::new(&ours) };
    let files = vec![with_icon, FileToSend::new(folder.path().join("empty"))];
    let credentials = Credentials::new(alice.uri());
    let asked = calling.connect_with_files(bob.uri(), credentials, None, StreamSet::NONE, files).await;
    asked.expect("it is legal in NULL");
    let called = bob.session("SCSessionNewIncoming").await;
    let proposed = called.snapshot().proposed_files.clone();
    assert_eq!(proposed.len(), 2);
    assert_eq!(proposed[0].info.size, Some(3_000_000));
    assert_eq!(proposed[0].info.content_type.as_deref(), Some("text/plain"));
    // RFC 5547 §6: it came beside the description.
    assert_eq!((proposed[0].icon.as_ref(), &proposed[1].icon), (Some(&icon), &None));
    assert!(called.accept(StreamSet::FILE).await.is_err(), "no folder was named");
    called.accept_into(StreamSet::FILE, &theirs).await.expect("it is legal in INCOMING");

    let mut progress = Vec::new();
    for _ in 0..2 {
        let (got, before) = bob.wait_for("MSRPFileTransferGotFile").await;
        for event in before.iter().filter_map(Notification::file_event) {
            if let Is::DidMakeProgress { bytes, size } = event.kind {
                assert!(bytes <= size && size == 3_000_000, "{bytes} of {size}");
                progress.push(bytes);
            }
        }
        let Is::GotFile { path, info } = &got.file_event().expect("it is about a file").kind else {
            panic!("{got:?}")
        };
        assert!(Path::new(path).starts_with(&theirs) && !info.hashes.is_empty(), "{path}");
    }
    assert!(progress.is_sorted() && progress.last() == Some(&3_000_000), "{progress:?}");
    let (_, before) = alice.wait_for("SCSessionDidEnd").await;
    let told = |name: &str| before.iter().filter(|one| one.name() == name).count();
    assert_eq!(told("MSRPFileTransferDidDeliverFile"), 2, "each once");
    assert_eq!(told("MSRPFileTransferDidNotDeliverFile"), 0);
    assert_eq!((told("MSRPFileTransferDidStart"), told("MSRPFileTransferDidEnd")), (2, 2));
    bob.wait_for("SCSessionDidEnd").await;
    assert_eq!(names(&theirs), ["empty", "letter.txt"]);
    assert_eq!(std::fs::read(theirs.join("letter.txt")).expect("it is there"), data);
    alice.application.stop().await;
    bob.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_arrive_over_tls() {
    push(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_arrive_over_tcp() {
    push(false).await;
}

/// In a running chat: a file is asked for, another is declined, and the chat goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_asked_for_in_a_chat() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).expect("the disk has room");
    std::fs::write(shared.join("song.wav"), bytes(200_000)).expect("the disk has room");
    let mut alice = Party::start("alice", config(true)).await;
    let shares = MsrpConfiguration { shared_folder: Some(shared.clone()), ..config(true) };
    let mut bob = Party::start("bob", shares).await;

    let calling = alice.application.session_manager().new_session();
    let credentials = Credentials::new(alice.uri());
    calling.connect(bob.uri(), credentials, None, StreamSet::CHAT).await.expect("it is legal in NULL");
    let called = bob.session("SCSessionNewIncoming").await;
    called.accept(StreamSet::CHAT).await.expect("it is legal in INCOMING");
    alice.wait_for("MSRPChatDidStart").await;

    let wanted = FileInfo { name: Some("song.wav".to_owned()), ..FileInfo::default() };
    let theirs = folder.path().join("received");
    calling.request_file(wanted, Some(theirs.clone())).await.expect("it is established");
    bob.wait_for("SCSessionGotStreamProposal").await;
    called.accept_proposal(StreamSet::FILE).await.expect("it is legal in PROPOSED");
    alice.wait_for("MSRPFileTransferGotFile").await;
    bob.wait_for("MSRPFileTransferDidDeliverFile").await;
    assert_eq!(std::fs::read(theirs.join("song.wav")).expect("it is there"), bytes(200_000));
    alice.wait_for("SCSessionGotStreamUpdate").await;
    alice.wait_for("MSRPFileTransferDidEnd").await;

    // What nobody has is refused, which is no reason to end the call.
    let wanted = FileInfo { name: Some("secret.txt".to_owned()), ..FileInfo::default() };
    loop {
        match calling.request_file(wanted.clone(), Some(theirs.clone())).await {
            Ok(_) => break,
            // The end of the transfer before is still being agreed on.
            Err(sipsimple::Error::IllegalState { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    bob.wait_for("SCSessionGotStreamProposal").await;
    called.accept_proposal(StreamSet::FILE).await.expect("it is legal in PROPOSED");
    alice.wait_for("SCSessionRejectedStreamProposal").await;
    calling.send_message("still here", Default::default()).await.expect("the chat goes on");
    alice.wait_for("SCSessionDidDeliverMessage").await;
    assert_eq!(names(&theirs), ["song.wav"]);
    alice.application.stop().await;
    bob.application.stop().await;
}

/// A file that changed between its offer and its transfer is not taken for the one that was offered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_what_it_was_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("letter.txt"), folder.path().join("received"));
    std::fs::write(&ours, bytes(50_000)).expect("the disk has room");
    let mut alice = Party::start("alice", config(false)).await;
    let mut bob = Party::start("bob", config(false)).await;
    let calling = alice.application.session_manager().new_session();
    let credentials = Credentials::new(alice.uri());
    let files = vec![FileToSend::new(&ours)];
    let asked = calling.connect_with_files(bob.uri(), credentials, None, StreamSet::NONE, files).await;
    asked.expect("it is legal in NULL");
    let called = bob.session("SCSessionNewIncoming").await;
    std::fs::write(&ours, bytes(50_001).split_off(1)).expect("the disk has room");
    called.accept_into(StreamSet::FILE, &theirs).await.expect("it is legal in INCOMING");
    let (failed, before) = bob.wait_for("MSRPFileTransferDidFail").await;
    assert!(before.iter().all(|one| one.name() != "MSRPFileTransferGotFile"));
    assert!(matches!(failed.event(), Event::MsrpFileTransfer(_)));
    let (_, before) = alice.wait_for("SCSessionDidEnd").await;
    let told = |name: &str| before.iter().filter(|one| one.name() == name).count();
    assert_eq!(told("MSRPFileTransferDidNotDeliverFile"), 1);
    assert_eq!(told("MSRPFileTransferDidDeliverFile"), 0);
    assert!(names(&theirs).is_empty(), "{:?}", names(&theirs));
    alice.application.stop().await;
    bob.application.stop().await;
}
