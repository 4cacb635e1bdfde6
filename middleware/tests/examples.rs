//! The examples, each run as it stands, with somebody at the other end.

#[path = "support/example.rs"]
mod example;
#[path = "support/pace.rs"]
mod pace;
#[path = "interop/process.rs"]
#[allow(dead_code, reason = "shared with the interop tests, which use all of it")]
mod process;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use example::write_wav;
use pace::listen_closely;
use process::{Running, until};
use sipsimple::configuration::AudioConfiguration;
use sipsimple::notification::{Filter, NotificationStream, SessionEvent};
use sipsimple::session::{AcceptOptions, MessageOptions};
use sipsimple::{Application, Credentials, Session, StreamSet};

const PATIENCE: Duration = Duration::from_secs(20);

/// An example of this package.
fn example(name: &str) -> PathBuf {
    example::example("sipsimple", name)
}

/// The other end: echoes audio, answers messages, keeps files.
struct Peer {
    application: Application,
    notifications: NotificationStream,
}

impl Peer {
    async fn start() -> Self {
        Self::with(AudioConfiguration { echo: true, ..AudioConfiguration::default() }).await
    }

    /// One that says nothing by itself.
    async fn silent() -> Self {
        Self::with(AudioConfiguration::default()).await
    }

    async fn with(audio: AudioConfiguration) -> Self {
        let application = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .accepts(StreamSet::ALL)
            .transfers(true)
            .audio(audio)
            .start()
            .await
            .expect("sockets on the loopback interface");
        let notifications = application.notification_center().stream(Filter::any(), 1_000);
        Self { application, notifications }
    }

    fn uri(&self) -> String {
        format!("sip:peer@{}", self.application.addresses()[0].1)
    }

    async fn wait_for(&mut self, name: &str) -> (Session, SessionEvent) {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if let (Some(session), Some(event)) = (notification.session(), notification.session_event())
                    && event.name() == name
                {
                    return (session.clone(), event.clone());
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {name}"))
    }

    async fn answer(&mut self, streams: StreamSet, folder: Option<&Path>) -> Session {
        let (session, _) = self.wait_for("SCSessionNewIncoming").await;
        let options = AcceptOptions { folder: folder.map(Path::to_owned), ..AcceptOptions::default() };
        session.accept_with(streams, options).await.expect("it is legal in INCOMING");
        self.wait_for("SCSessionDidStart").await;
        session
    }
}

fn ends_well(mut running: Running) -> String {
    tokio::task::block_in_place(|| {
        let status = running.wait(PATIENCE);
        assert!(status.success(), "{status}: {}", running.stderr());
        running.stdout()
    })
}

fn shows(running: &Running, text: &str) -> bool {
    tokio::task::block_in_place(|| until(PATIENCE, || running.stdout().contains(text)))
}

fn write_speech(folder: &Path) -> PathBuf {
    let path = folder.join("speech.wav");
    std::fs::write(&path, media::assets::ALICE).expect("the disk has room");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_sends_back_what_it_hears() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = process::free_port();
    let mut command = Command::new(example("answer"));
    command.arg(port.to_string());
    let running = Running::start(&mut command, folder.path(), "answer");
    tokio::task::block_in_place(|| process::wait_until_bound(port));
    let mut peer = Peer::start().await;
    let session = peer.application.session_manager().new_session();
    let (answers, credentials) =
        (format!("sip:parrot@127.0.0.1:{port}"), Credentials::new(peer.uri().parse().expect("a URI")));
    session
        .connect(answers.parse().expect("a URI"), credentials, None, StreamSet::AUDIO)
        .await
        .expect("legal");
    peer.wait_for("SCSessionDidStart").await;
    let (mut mouth, mut ears) = session.attach_pcm(16_000).await.expect("it has audio");
    mouth.write(&tone(500.0, 0.4)).await.expect("the call goes on");
    let listening = async { while !hears(&ears.next().await.expect("the call goes on"), 500.0) {} };
    tokio::time::timeout(PATIENCE, listening).await.expect("it comes back");
    session.terminate().await.expect("it is legal anywhere");
    assert!(shows(&running, "SCSessionDidEnd"));
    peer.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_records_what_it_hears() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::start().await;
    let mut command = Command::new(example("call"));
    command.arg(peer.uri()).arg(write_speech(folder.path())).arg(folder.path().join("recordings"));
    let running = Running::start(&mut command, folder.path(), "call");
    let session = peer.answer(StreamSet::AUDIO, None).await;
    assert!(shows(&running, "SCSessionDidStartRecordingAudio"));
    listen_closely(Duration::from_secs(2)).await;
    session.terminate().await.expect("it is legal anywhere");
    ends_well(running);
    let recording = std::fs::read_dir(folder.path().join("recordings")).expect("the folder").next();
    let recording = recording.expect("a recording").expect("a file").path();
    let (_, heard, rate) = media::wav::read_stereo(&recording).expect("a whole file");
    let spoken = media::wav::read_mono(&folder.path().join("speech.wav"), rate).expect("speech");
    assert!(media::analysis::likeness(&spoken, &heard, rate as usize / 4) > 0.8, "the echo is in it");
    peer.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_sends_lines_and_shows_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::start().await;
    let mut command = Command::new("sh");
    // It hangs up at the end of its input, once all is delivered.
    let line = "{ echo 'Hello, you'; while [ ! -e \"$2\" ]; do sleep 0.1; done; } | exec \"$0\" \"$1\"";
    let go = folder.path().join("go");
    command.args(["-c", line]).arg(example("chat")).arg(peer.uri()).arg(&go);
    let running = Running::start(&mut command, folder.path(), "chat");
    let session = peer.answer(StreamSet::CHAT, None).await;
    let (_, event) = peer.wait_for("SCSessionGotMessage").await;
    assert!(matches!(event, SessionEvent::GotMessage { content, .. } if content.as_ref() == b"Hello, you"));
    session.send_message("Hello back", MessageOptions::default()).await.expect("it has chat");
    assert!(shows(&running, "Hello back"));
    std::fs::write(go, "").expect("the disk has room");
    peer.wait_for("SCSessionDidEnd").await;
    ends_well(running);
    peer.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_file_tells_that_it_arrived() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::start().await;
    let mut command = Command::new(example("send_file"));
    command.arg(peer.uri()).arg(write_speech(folder.path()));
    let running = Running::start(&mut command, folder.path(), "send_file");
    let received = folder.path().join("received");
    peer.answer(StreamSet::FILE, Some(&received)).await;
    assert!(ends_well(running).contains("speech.wav has arrived"));
    assert_eq!(std::fs::read(received.join("speech.wav")).expect("the file"), media::assets::ALICE);
    peer.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voice_agent_greets_is_interrupted_and_repeats() {
    let folder = tempfile::tempdir().expect("a folder");
    let greeting = folder.path().join("greeting.wav");
    // Ten seconds: longer than the test.
    write_wav(&greeting, &tone(300.0, 10.0));
    let mut command = Command::new(example("voice_agent"));
    command.arg(&greeting).arg("0");
    let running = Running::start(&mut command, folder.path(), "voice_agent");
    assert!(shows(&running, "listening on "));
    let printed = running.stdout();
    let port = printed.trim().rsplit(':').next().expect("a port");
    // An echo would interrupt it.
    let mut peer = Peer::silent().await;
    let session = peer.application.session_manager().new_session();
    let (agent, us) = (format!("sip:agent@127.0.0.1:{port}"), peer.uri());
    let credentials = Credentials::new(us.parse().expect("a URI"));
    session.connect(agent.parse().expect("a URI"), credentials, None, StreamSet::AUDIO).await.expect("legal");
    peer.wait_for("SCSessionDidStart").await;
    let (mut mouth, mut ears) = session.attach_pcm(16_000).await.expect("it has audio");

    // It greets; then we speak over it, and it falls silent.
    let mut greeted = 0;
    while greeted < 25 {
        greeted += usize::from(hears(&ears.next().await.expect("the call goes on"), 300.0));
    }
    mouth.write(&tone(700.0, 0.4)).await.expect("the call goes on");
    let mut quiet = 0;
    while quiet < 10 {
        let frame = ears.next().await.expect("the call goes on");
        quiet = if hears(&frame, 300.0) { 0 } else { quiet + 1 };
    }
    assert!(shows(&running, "interrupted: "));
    // Half a second after we have said it, it says the same.
    let mut repeated = 0;
    let listening = async {
        while repeated < 15 {
            let frame = ears.next().await.expect("the call goes on");
            assert!(!hears(&frame, 300.0), "the greeting is over");
            repeated += usize::from(hears(&frame, 700.0));
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.expect("it repeats what it heard");
    session.terminate().await.expect("it is legal anywhere");
    peer.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conference_lets_everybody_hear_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bob, mut carol) = (Peer::silent().await, Peer::silent().await);
    let mut command = Command::new(example("conference"));
    command.args([bob.uri(), carol.uri()]);
    let running = Running::start(&mut command, folder.path(), "conference");
    let with_bob = bob.answer(StreamSet::AUDIO, None).await;
    let with_carol = carol.answer(StreamSet::AUDIO, None).await;
    assert!(shows(&running, "; 2 of 2"));
    let (mut mouth, mut own) = with_bob.attach_pcm(16_000).await.expect("it has audio");
    let (_mouth, mut ears) = with_carol.attach_pcm(16_000).await.expect("it has audio");
    mouth.write(&tone(500.0, 0.6)).await.expect("the call goes on");
    let listening = async {
        let mut heard = 0;
        while heard < 10 {
            heard += usize::from(hears(&ears.next().await.expect("the call goes on"), 500.0));
            assert!(!hears(&own.next().await.expect("the call goes on"), 500.0), "nobody hears itself");
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.expect("Carol hears Bob");
    with_bob.terminate().await.expect("it is legal anywhere");
    with_carol.terminate().await.expect("it is legal anywhere");
    assert!(ends_well(running).matches("has left").count() == 2);
    bob.application.stop().await;
    carol.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_hands_over_blindly_and_attended() {
    for flag in [None, Some("--attended")] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut bob, mut carol) = (Peer::silent().await, Peer::silent().await);
        let mut command = Command::new(example("transfer"));
        command.args([bob.uri(), carol.uri()]).args(flag);
        let running = Running::start(&mut command, folder.path(), "transfer");
        let with_bob = bob.answer(StreamSet::AUDIO, None).await;
        if flag.is_some() {
            carol.answer(StreamSet::AUDIO, None).await;
        }
        bob.wait_for("SCSessionTransferNewIncoming").await;
        let calling = with_bob.accept_transfer(None).await.expect("it was asked for");
        if flag.is_none() {
            carol.answer(StreamSet::AUDIO, None).await;
        }
        assert!(ends_well(running).contains("they talk to each other"));
        assert_eq!(
            calling.remote_uri().and_then(|uri| uri.user().map(str::to_owned)).as_deref(),
            Some("peer")
        );
        bob.application.stop().await;
        carol.application.stop().await;
    }
}

fn tone(hertz: f64, seconds: f64) -> Vec<i16> {
    let sample = |n: u32| (f64::from(n) * hertz * std::f64::consts::TAU / 16_000.0).sin() * 10_000.0;
    (0..(seconds * 16_000.0) as u32).map(|n| sample(n) as i16).collect()
}

/// Whether a frame is this tone for the most part.
fn hears(frame: &[i16], hertz: f64) -> bool {
    let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 1.0);
    for (n, &sample) in frame.iter().enumerate() {
        let (angle, sample) = (n as f64 * hertz * std::f64::consts::TAU / 16_000.0, f64::from(sample));
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        energy += sample * sample;
    }
    energy / frame.len() as f64 > 1e6
        && 2.0 * (real * real + imaginary * imaginary) / (energy * frame.len() as f64) > 0.4
}

/// A server that takes one subscription and tells one state.
struct Notifier {
    address: SocketAddr,
}

impl Notifier {
    fn start(content_type: &'static str, body: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with("SUBSCRIBE ") {
                    for message in answers(&text, address, content_type, body) {
                        socket.send_to(message.as_bytes(), from).expect("the loopback interface takes it");
                    }
                }
            }
        });
        Self { address }
    }
}

/// A 200 and a NOTIFY (RFC 6665 §4.2.1.2).
fn answers(subscribe: &str, us: SocketAddr, content_type: &str, body: &str) -> [String; 2] {
    let header = |name: &str| {
        let value = subscribe.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {name} in {subscribe}"))
    };
    let (via, from, to, call) = (header("Via"), header("From"), header("To"), header("Call-ID"));
    let (cseq, event) = (header("CSeq"), header("Event"));
    let expires = header("Expires");
    let contact = header("Contact").trim_start_matches('<').split('>').next().expect("a URI");
    let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag=notifier") };
    let state = if expires == "0" {
        "terminated;reason=timeout".to_owned()
    } else {
        format!("active;expires={expires}")
    };
    let number: u32 = cseq.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    let ok = format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq}\r\n\
         Contact: <sip:{us}>\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n"
    );
    let notify = format!(
        "NOTIFY {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{number}n\r\nMax-Forwards: 70\r\n\
         From: {to}\r\nTo: {from}\r\nCall-ID: {call}\r\nCSeq: {number} NOTIFY\r\nContact: <sip:{us}>\r\n\
         Event: {event}\r\nSubscription-State: {state}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    [ok, notify]
}

/// Runs an example that follows something until Ctrl-C.
fn follows(name: &str, arguments: &[&str], notifier: &Notifier, expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(example(name));
    command.args(arguments).env("SIP_PROXY", format!("sip:{}", notifier.address)).env_remove("SIP_PASSWORD");
    let mut running = Running::start(&mut command, folder.path(), name);
    assert!(
        until(PATIENCE, || running.stdout().contains(expected)),
        "{} {}",
        running.stdout(),
        running.stderr()
    );
    let asked = Command::new("kill").arg("-INT").arg(running.id().to_string()).status();
    assert!(asked.is_ok_and(|status| status.success()), "kill runs");
    assert!(running.wait(PATIENCE).success(), "Ctrl-C ends it well");
}

#[test]
fn message_waiting_shows_what_a_mailbox_holds() {
    let body = "Messages-Waiting: yes\r\nMessage-Account: sip:me@example.com\r\nVoice-Message: 2/8 (0/2)\r\n";
    let notifier = Notifier::start("application/simple-message-summary", body);
    follows("message_waiting", &["sip:me@example.com"], &notifier, "[*] messages wait");
}

#[test]
fn busy_lamp_shows_who_is_in_a_call() {
    let body = "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" \
        state=\"full\" entity=\"sip:1@example.com\"><dialog id=\"a\"><state>confirmed</state></dialog></dialog-info>";
    let notifier = Notifier::start("application/dialog-info+xml", body);
    follows("busy_lamp", &["sip:me@example.com", "sip:1@example.com"], &notifier, "sip:1@example.com: ");
}

#[test]
fn presence_watcher_shows_who_can_be_reached() {
    let body = "<?xml version=\"1.0\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\">\
        <tuple id=\"t\"><status><basic>open</basic></status><note>at work</note></tuple></presence>";
    let notifier = Notifier::start("application/pidf+xml", body);
    follows(
        "presence_watcher",
        &["sip:me@example.com", "sip:bob@example.com"],
        &notifier,
        "sip:bob@example.com: open",
    );
}
