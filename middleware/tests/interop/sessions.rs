//! What sessions do after they have begun, with other people's user agents at the other end: hold and its
//! end, streams that come and go, transfers.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sipsimple::configuration::{
    AudioConfiguration, AudioInput, AudioOutput, MsrpConfiguration, RtpConfiguration,
};
use sipsimple::notification::{Filter, Notification, NotificationCenter, NotificationStream, SessionEvent};
use sipsimple::{Application, Credentials, Session, State, StreamSet, Uri};
use tokio::runtime::Runtime;

use crate::baresip::{Baresip, Encryption};
use crate::process::{PATIENCE, Running, free_port, left_out, until, wait_until_bound};
use crate::program::Listen;
use crate::scenarios;
use crate::sound::Sound;

/// An application in this process.
struct Phone {
    runtime: Runtime,
    application: Application,
    notifications: NotificationStream,
}

impl Phone {
    fn start(playing: Option<&Path>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 1_000);
        let input = match playing {
            Some(path) => AudioInput::File { path: path.to_owned(), repeat: true },
            None => AudioInput::Null,
        };
        let builder = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .rtp_config(RtpConfiguration { codecs: vec!["PCMU".to_owned()], ..RtpConfiguration::default() })
            .msrp_config(MsrpConfiguration { local_use_tls: false, ..MsrpConfiguration::default() })
            .audio(AudioConfiguration { input, output: AudioOutput::Null, ..AudioConfiguration::default() })
            .transfers(true)
            .notification_center(center);
        let application = runtime.block_on(builder.start()).expect("sockets on the loopback interface");
        Self { runtime, application, notifications }
    }

    fn call(&mut self, uri: &str) -> Session {
        let session = self.application.session_manager().new_session();
        let address = self.application.addresses()[0].1;
        let us: Uri = format!("sip:alice@{address}").parse().expect("a URI");
        let callee = uri.parse().expect("a URI");
        session
            .connect(callee, Credentials::new(us), None, StreamSet::AUDIO)
            .wait()
            .expect("it is legal in NULL");
        self.wait_for("SCSessionDidStart");
        session
    }

    fn wait_for(&mut self, name: &str) -> Notification {
        let Self { runtime, notifications, .. } = self;
        let mut seen = Vec::new();
        let found = runtime.block_on(async {
            let waiting = async {
                loop {
                    let notification = notifications.next().await.expect("the application runs");
                    seen.push(notification.name());
                    if notification.name() == name {
                        return notification;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, waiting).await
        });
        found.unwrap_or_else(|_| panic!("no {name}, but {seen:?}"))
    }

    /// Holds the peer and takes it off hold again: each change has to be agreed to.
    fn hold_and_unhold(&mut self, session: &Session) {
        for held in [true, false] {
            let asked = if held { session.hold() } else { session.unhold() };
            asked.wait().expect("it is established");
            // What is refused is taken back; what is agreed to stays.
            let taken_back = until(Duration::from_secs(2), || session.on_hold_by_local() != held);
            assert!(!taken_back, "the peer refuses: held {held}");
        }
        assert_eq!(session.state(), State::Established);
    }

    fn stop(self) {
        let Self { runtime, application, .. } = self;
        runtime.block_on(application.stop());
    }
}

#[test]
#[ignore = "needs sipp: ./dev interop"]
fn hold_streams_and_transfer_with_sipp() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    // Where the chat leads to: somebody takes the connection, and says nothing.
    let chat = TcpListener::bind(("127.0.0.1", 0)).expect("a socket");
    let chat_port = chat.local_addr().expect("a bound socket").port().to_string();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/reinvites.xml");
    let mut command = Command::new("sipp");
    command.current_dir(folder.path()).env("TERM", "dumb").arg("-sf").arg(scenario);
    command.args([
        "-i",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-m",
        "1",
        "-nostdin",
        "-key",
        "msrp_port",
        &chat_port,
    ]);
    command.args(["-timeout", "90s", "-timeout_error", "-trace_err"]);
    let mut sipp = Running::start(&mut command, folder.path(), "sipp");
    wait_until_bound(port);
    let mut alice = Phone::start(None);
    let session = alice.call(&format!("sip:sipp@127.0.0.1:{port}"));
    alice.hold_and_unhold(&session);
    session.add_chat().wait().expect("it has no chat");
    alice.wait_for("SCSessionAcceptedStreamProposal");
    let (connection, _) = chat.accept().expect("the chat's connection");
    alice.wait_for("MSRPChatDidStart");
    assert!(session.has_chat());
    session.remove_chat().wait().expect("it has chat");
    alice.wait_for("MSRPChatDidEnd");
    assert!(session.has_audio() && !session.has_chat());
    drop(connection);
    session.transfer("sip:carol@127.0.0.1".parse().expect("a URI")).wait().expect("it is established");
    alice.wait_for("SCSessionTransferDidStart");
    let progress = alice.wait_for("SCSessionTransferGotProgress");
    assert!(matches!(progress.session_event(), Some(SessionEvent::TransferGotProgress { code: 180, .. })));
    alice.wait_for("SCSessionTransferDidEnd");
    alice.wait_for("SCSessionDidEnd");
    let status = sipp.wait(PATIENCE);
    assert!(status.success(), "sipp ended with {status}");
    alice.stop();
}

/// sipp changes a call by UPDATE before it is answered and afterwards, and keeps it alive by it.
#[test]
#[ignore = "needs sipp: ./dev interop"]
fn updates_of_sipp() {
    let listen = Listen::start(&["--ring", "4", "--early-media"]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let target = format!("127.0.0.1:{}", listen.port());
    scenarios::play(&folder, "updates", &target, free_port()).finish(PATIENCE);
    let events = listen.stop();
    events.expect_in_order(&[
        "SCSessionNewIncoming",
        "SCSessionGotHoldRequest",
        "SCSessionDidStart",
        "SCSessionGotUnholdRequest",
        "SCSessionDidEnd",
    ]);
    assert_eq!(events.named("SCSessionGotStreamProposal").count(), 0, "nobody is asked");
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn hold_with_baresip() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let theirs = Sound::loud(7);
    let baresip = Baresip::new(folder.path(), "PCMU/8000/1", Encryption::None, &theirs);
    let running = baresip.answer();
    let mut alice = Phone::start(None);
    let session = alice.call(&baresip.uri());
    alice.hold_and_unhold(&session);
    // And then it is heard again.
    let received = || session.audio_statistics().map_or(0, |statistics| statistics.received);
    let before = received();
    assert!(until(PATIENCE, || received() > before + 40), "nothing comes after the hold");
    session.terminate().wait().expect("it is legal anywhere");
    alice.wait_for("SCSessionDidEnd");
    running.stop();
    alice.stop();
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn transfer_between_two_baresips() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let sounds = (Sound::loud(8), Sound::loud(9));
    let bob = Baresip::new(here.path(), "PCMU/8000/1", Encryption::None, &sounds.0);
    let carol = Baresip::new(there.path(), "PCMU/8000/1", Encryption::None, &sounds.1);
    let (bob_runs, carol_runs) = (bob.answer(), carol.answer());
    let mut alice = Phone::start(None);
    let session = alice.call(&bob.uri());
    session.transfer(carol.uri().parse().expect("a URI")).wait().expect("it is established");
    alice.wait_for("SCSessionTransferDidStart");
    alice.wait_for("SCSessionTransferDidEnd");
    alice.wait_for("SCSessionDidEnd");
    let talks = until(PATIENCE, || carol_runs.stdout().contains("established"));
    assert!(talks, "{}", carol_runs.stdout());
    bob_runs.stop();
    carol_runs.stop();
    alice.stop();
}

#[test]
#[ignore = "needs linphone and baresip: ./dev interop"]
fn hold_and_transfer_with_linphone() {
    if Command::new("linphonec").arg("-v").output().is_err() {
        left_out("linphone-cli is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let theirs = Sound::loud(10);
    let carol = Baresip::new(folder.path(), "PCMU/8000/1", Encryption::None, &theirs);
    let carol_runs = carol.answer();
    let (linphone, port) = linphone(folder.path());
    let mut alice = Phone::start(None);
    let session = alice.call(&format!("sip:linphone@127.0.0.1:{port}"));
    alice.hold_and_unhold(&session);
    session.transfer(carol.uri().parse().expect("a URI")).wait().expect("it is established");
    alice.wait_for("SCSessionTransferDidStart");
    alice.wait_for("SCSessionTransferDidEnd");
    alice.wait_for("SCSessionDidEnd");
    let talks = until(PATIENCE, || carol_runs.stdout().contains("established"));
    assert!(talks, "{}", carol_runs.stdout());
    carol_runs.stop();
    drop(linphone);
    alice.stop();
}

/// linphonec that answers by itself, in a home of its own, and its port.
fn linphone(folder: &Path) -> (Running, u16) {
    let home = folder.join("home");
    for place in [".local/share/linphone", ".config/linphone"] {
        std::fs::create_dir_all(home.join(place)).expect("new folders");
    }
    let port = free_port();
    let text = format!(
        "[sip]\nuse_ipv6=0\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port=0\nregister_only_when_network_is_up=0\n\
         auto_net_state_mon=0\nbind_address=127.0.0.1\nguess_hostname=0\ncontact=sip:linphone@127.0.0.1\n\
         ipv6_migration_done=1\nmedia_encryption=none\n\n[rtp]\naudio_rtp_port={}\n\n[video]\nenabled=0\n\
         capture=0\ndisplay=0\n\n[misc]\nuuid=3d4ba291-f0ae-007c-a832-7b82c795826b\n",
        port + 2,
    );
    let file = folder.join("linphonerc");
    std::fs::write(&file, text).expect("a new file");
    let mut command = Command::new("linphonec");
    command.env("HOME", &home).args(["-a", "-c"]).arg(&file);
    let running = Running::start_with_console(&mut command, folder, "linphonec");
    wait_until_bound(port);
    (running, port)
}
