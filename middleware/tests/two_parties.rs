//! Two applications on the loopback interface: real sockets, real time, real sound.

#[path = "support/pace.rs"]
mod pace;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use pace::listen_closely;
use sipsimple::configuration::{
    AudioConfiguration, AudioInput, AudioOutput, MsrpConfiguration, RtpConfiguration, SrtpKeying,
};
use sipsimple::notification::{Filter, NotificationCenter, NotificationStream, Originator, SessionEvent};
use sipsimple::session::MessageOptions;
use sipsimple::{Application, Credentials, Session, State, StreamSet, Uri};

const PATIENCE: Duration = Duration::from_secs(20);
const SPEECH: Duration = Duration::from_secs(4);

struct Party {
    name: &'static str,
    application: Application,
    notifications: NotificationStream,
}

impl Party {
    async fn start(name: &'static str, speech: &Path, rtp: RtpConfiguration, tls: bool) -> Self {
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 1_000);
        let input = AudioInput::File { path: speech.to_owned(), repeat: true };
        let application = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .rtp_config(rtp)
            .msrp_config(MsrpConfiguration { local_use_tls: tls, ..MsrpConfiguration::default() })
            .audio(AudioConfiguration { input, output: AudioOutput::Null, ..AudioConfiguration::default() })
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

    async fn wait_for(&mut self, what: &str, mut is_it: impl FnMut(&SessionEvent) -> bool) -> Session {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if let (Some(session), Some(event)) = (notification.session(), notification.session_event()) {
                    if is_it(event) {
                        return session.clone();
                    }
                    assert!(!matches!(event, SessionEvent::DidFail { .. }), "{}: {event:?}", self.name);
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{}: no {what}", self.name))
    }

    async fn wait_for_name(&mut self, name: &str) -> Session {
        self.wait_for(name, |event| event.name() == name).await
    }
}

/// A call with audio and chat, recorded by both; the recordings hold what the other side said.
async fn call(rtp: RtpConfiguration, tls: bool, codec: &str) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (alice_wav, bob_wav) = (folder.path().join("a.wav"), folder.path().join("b.wav"));
    std::fs::write(&alice_wav, media::assets::ALICE).expect("the disk has room");
    std::fs::write(&bob_wav, media::assets::BOB).expect("the disk has room");
    let (encrypted, by_sdes) = (rtp.use_srtp, rtp.srtp_keying == SrtpKeying::Sdes);
    let mut alice = Party::start("alice", &alice_wav, rtp.clone(), tls).await;
    let mut bob = Party::start("bob", &bob_wav, rtp, tls).await;

    let calling = alice.application.session_manager().new_session();
    assert_eq!(calling.state(), State::Null);
    let asked = calling.connect(bob.uri(), Credentials::new(alice.uri()), None, StreamSet::BOTH).await;
    asked.expect("it is legal in NULL");
    let called = bob.wait_for_name("SCSessionNewIncoming").await;
    alice.wait_for_name("SCSessionGotRingIndication").await;
    called.accept(StreamSet::BOTH).await.expect("it is legal in INCOMING");
    assert_eq!(alice.wait_for_name("SCSessionDidStart").await, calling);
    bob.wait_for_name("SCSessionDidStart").await;
    assert_eq!(calling.audio_codec().as_deref(), Some(codec));
    // A handshake takes a moment; keys in the descriptions are there.
    if by_sdes {
        assert_eq!(calling.audio_srtp_active(), Some(encrypted));
    }
    assert_eq!(bob.application.session_manager().sessions(), std::slice::from_ref(&called));

    calling.start_recording_audio(folder.path(), Some("alice-heard.wav")).await.expect("it has audio");
    called.start_recording_audio(folder.path(), Some("bob-heard.wav")).await.expect("it has audio");
    assert!(calling.start_recording_audio(folder.path(), None).await.is_err(), "it is recorded already");
    alice.wait_for_name("SCSessionDidStartRecordingAudio").await;
    bob.wait_for_name("SCSessionDidStartRecordingAudio").await;

    let text = "Grüße, with an id of its own";
    let id = calling.send_message(text, MessageOptions::default()).await.expect("it has chat");
    let is_text = |event: &SessionEvent| match event {
        SessionEvent::GotMessage { content, content_type, cpim_headers, .. } => {
            assert_eq!((content.as_ref(), content_type.as_str()), (text.as_bytes(), "text/plain"));
            assert!(cpim_headers.iter().any(|(name, _)| name == "From"), "it came in CPIM");
            true
        }
        _ => false,
    };
    bob.wait_for("message", is_text).await;
    let is_fate = |event: &SessionEvent| matches!(event, SessionEvent::DidDeliverMessage { message_id, .. } if *message_id == id);
    alice.wait_for("delivery", is_fate).await;
    called.send_message("and back", MessageOptions::default()).await.expect("it has chat");
    bob.wait_for_name("SCSessionDidDeliverMessage").await;
    alice.wait_for_name("SCSessionGotMessage").await;

    calling.send_dtmf('7').await.expect("telephone-event was negotiated");
    bob.wait_for("key", |event| *event == SessionEvent::GotDtmf { digit: '7' }).await;
    assert!(calling.send_dtmf('x').await.is_err());

    listen_closely(SPEECH).await;
    let statistics = calling.audio_statistics().expect("it has audio");
    assert!(statistics.received > 100 && statistics.sent > 100, "{statistics:?}");
    for side in [&calling, &called] {
        assert_eq!(side.audio_srtp_active(), Some(encrypted));
    }

    called.hold().await.expect("it is established");
    let remote = Originator::Remote;
    alice.wait_for("hold", |event| *event == SessionEvent::GotHoldRequest { originator: remote }).await;
    assert!(calling.on_hold_by_remote() && !calling.on_hold_by_local());
    called.unhold().await.expect("it is established");
    alice.wait_for("unhold", |event| *event == SessionEvent::GotUnholdRequest { originator: remote }).await;

    called.terminate().await.expect("it is legal anywhere");
    alice.wait_for("end", |event| *event == SessionEvent::DidEnd { originator: remote }).await;
    bob.wait_for_name("SCSessionDidEnd").await;
    assert!(alice.application.session_manager().sessions().is_empty());
    assert_eq!(calling.state(), State::Terminated);
    assert!(calling.hold().await.is_err(), "nothing is legal after the end");

    for (file, played) in [("alice-heard.wav", &bob_wav), ("bob-heard.wav", &alice_wav)] {
        let (_, heard, rate) = media::wav::read_stereo(&folder.path().join(file)).expect("a recording");
        let reference = media::wav::read_mono(played, rate).expect("speech");
        assert!(heard.len() as f64 / f64::from(rate) > SPEECH.as_secs_f64() * 0.8, "{file} is too short");
        let likeness = media::analysis::likeness(&reference, &heard, rate as usize / 2);
        assert!(likeness > 0.9, "{file}: {likeness:.3}");
    }
    alice.application.stop().await;
    bob.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_call_carries_speech_chat_and_keys() {
    let rtp = RtpConfiguration { codecs: vec!["PCMU".to_owned()], ..RtpConfiguration::default() };
    call(rtp, false, "PCMU").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_call_carries_speech_chat_and_keys() {
    let rtp = RtpConfiguration { use_srtp: true, srtp_forced: true, ..RtpConfiguration::default() };
    let codec = if cfg!(feature = "opus") { "opus" } else { "G722" };
    call(rtp, true, codec).await;
}

/// RFC 5763, without ICE and with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_keys_by_dtls_carries_speech_chat_and_keys() {
    let rtp = RtpConfiguration {
        use_srtp: true,
        srtp_forced: true,
        srtp_keying: SrtpKeying::Dtls,
        codecs: vec!["G722".to_owned()],
        ..RtpConfiguration::default()
    };
    let with_ice = RtpConfiguration { use_ice: true, codecs: vec!["PCMA".to_owned()], ..rtp.clone() };
    tokio::join!(call(rtp, true, "G722"), call(with_ice, false, "PCMA"));
}

/// RFC 8643: beside RTP/AVP both are offered, and the handshake is chosen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opportunistic_call_is_encrypted() {
    let rtp = RtpConfiguration {
        use_srtp: true,
        srtp_keying: SrtpKeying::Both,
        codecs: vec!["PCMU".to_owned()],
        ..RtpConfiguration::default()
    };
    call(rtp, false, "PCMU").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forced_encryption_refuses_who_has_none() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let wav = folder.path().join("a.wav");
    std::fs::write(&wav, media::assets::ALICE).expect("the disk has room");
    let mut alice = Party::start("alice", &wav, RtpConfiguration::default(), false).await;
    let forced = RtpConfiguration { use_srtp: true, srtp_forced: true, ..RtpConfiguration::default() };
    let bob = Party::start("bob", &wav, forced, false).await;
    let calling = alice.application.session_manager().new_session();
    let asked = calling.connect(bob.uri(), Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    let waiting = async {
        loop {
            let notification = alice.notifications.next().await.expect("the application runs");
            if let Some(SessionEvent::DidFail { code, .. }) = notification.session_event() {
                return *code;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, waiting).await.expect("a refusal"), 488);
    assert!(bob.application.session_manager().sessions().is_empty(), "nobody hears of it there");
}

/// Who calls hears who is called before the call is accepted (RFC 3960), and goes on hearing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_media_are_heard() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let wav = folder.path().join("a.wav");
    std::fs::write(&wav, media::assets::BOB).expect("the disk has room");
    let rtp = RtpConfiguration { codecs: vec!["PCMU".to_owned()], ..RtpConfiguration::default() };
    let mut alice = Party::start("alice", &wav, rtp.clone(), false).await;
    let mut bob = Party::start("bob", &wav, rtp, false).await;
    let calling = alice.application.session_manager().new_session();
    let asked = calling.connect(bob.uri(), Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    let called = bob.wait_for_name("SCSessionNewIncoming").await;
    assert!(called.attach_pcm(8_000).await.is_err(), "there is no audio yet");
    called.start_early_media(StreamSet::AUDIO).await.expect("the INVITE has an offer");
    let heard = |session: &Session| session.snapshot().audio.as_ref().and_then(|it| it.remote_rtp_received);
    let both = async {
        while heard(&calling).is_none() || heard(&called).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("both hear each other");
    assert_eq!((calling.state(), called.state()), (State::Calling, State::Incoming));
    let (writer, reader) = called.attach_pcm(8_000).await.expect("its own samples can speak early too");
    drop((writer, reader));
    called.accept(StreamSet::AUDIO).await.expect("it is legal in INCOMING");
    alice.wait_for_name("SCSessionDidStart").await;
    bob.wait_for_name("SCSessionDidStart").await;
    calling.terminate().await.expect("it is legal everywhere");
    alice.wait_for_name("SCSessionDidEnd").await;
    bob.wait_for_name("SCSessionDidEnd").await;
}
