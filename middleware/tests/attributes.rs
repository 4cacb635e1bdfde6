//! Every attribute of a session, before, in and after a call; and what the manager holds.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use sipsimple::configuration::{MsrpConfiguration, RingtoneConfiguration, RtpConfiguration};
use sipsimple::session::{AcceptOptions, ConnectOptions, Direction};
use sipsimple::{Session, State, StreamSet};

#[path = "support/party.rs"]
mod party;

use party::Party;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What only a session with streams has.
fn has_no_streams(session: &Session) {
    assert!(!session.has_audio() && !session.has_chat() && !session.audio_was_received());
    assert_eq!((session.audio_transport(), session.chat_transport()), (None, None));
    assert_eq!((session.audio_sample_rate(), session.audio_codec()), (None, None));
    assert_eq!((session.audio_srtp_active(), session.audio_recording_file_name()), (None, None));
    assert_eq!((session.audio_local_rtp_address(), session.audio_local_rtp_port()), (None, None));
    assert_eq!((session.audio_remote_rtp_address_sdp(), session.audio_remote_rtp_port_sdp()), (None, None));
    let received = (session.audio_remote_rtp_address_received(), session.audio_remote_rtp_port_received());
    assert_eq!(received, (None, None));
    assert!(!session.on_hold() && !session.on_hold_by_local() && !session.on_hold_by_remote());
    assert!(session.credentials().is_none() && session.route().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attribute_says_what_is() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let rtp = RtpConfiguration {
        codecs: vec!["PCMU".to_owned()],
        port_range: Some(42_000..=42_100),
        ..RtpConfiguration::default()
    };
    let msrp = MsrpConfiguration { local_use_tls: false, ..MsrpConfiguration::default() };
    let configured = |builder: sipsimple::Builder| builder.rtp_config(rtp.clone()).msrp_config(msrp.clone());
    let mut alice = Party::start("alice", |builder| configured(builder).user_agent("alice/1")).await;
    let mut bob = Party::start("bob", |builder| configured(builder).user_agent("bob/2")).await;

    let calling = alice.application.session_manager().new_session();
    assert_eq!((calling.state(), calling.direction()), (State::Null, None));
    assert_eq!((calling.start_time(), calling.stop_time()), (None, None));
    assert_eq!((calling.local_uri(), calling.remote_uri()), (None, None));
    assert_eq!((calling.caller_uri(), calling.callee_uri()), (None, None));
    assert_eq!(calling.remote_user_agent(), None);
    assert!(calling.remote_headers().is_none() && calling.auto_answer_asked().is_none());
    has_no_streams(&calling);

    let note = |text: &str| vec![("X-Note".to_owned(), text.to_owned())];
    let options =
        ConnectOptions { headers: note("hello"), ask_auto_answer: true, ..ConnectOptions::default() };
    let route = Some(bob.uri());
    let asked =
        calling.connect_with(bob.uri(), alice.credentials(), route.clone(), StreamSet::BOTH, options).await;
    asked.expect("it is legal in NULL");
    let called = bob.wait_for("SCSessionNewIncoming").await;
    assert_eq!((called.state(), called.direction()), (State::Incoming, Some(Direction::Incoming)));
    assert_eq!(called.snapshot().proposed_streams, StreamSet::BOTH);
    assert_eq!(
        called.remote_headers().and_then(|it| it.text("X-Note").map(str::to_owned)).as_deref(),
        Some("hello")
    );
    assert_eq!(called.auto_answer_asked(), Some(std::time::Duration::ZERO), "and the policy lets it ring");
    has_no_streams(&called);
    let options = AcceptOptions { headers: note("and back"), ..AcceptOptions::default() };
    called.accept_with(StreamSet::BOTH, options).await.expect("it is legal in INCOMING");
    alice.wait_for("SCSessionDidStart").await;
    bob.wait_for("SCSessionDidStart").await;

    assert_eq!((calling.state(), calling.direction()), (State::Established, Some(Direction::Outgoing)));
    assert_eq!(
        calling.remote_headers().and_then(|it| it.text("X-Note").map(str::to_owned)).as_deref(),
        Some("and back")
    );
    assert_eq!(calling.remote_user_agent().as_deref(), Some("bob/2"));
    assert_eq!(called.remote_user_agent().as_deref(), Some("alice/1"));
    assert_eq!((calling.local_uri(), calling.remote_uri()), (Some(alice.uri()), Some(bob.uri())));
    assert_eq!((called.local_uri(), called.remote_uri()), (Some(bob.uri()), Some(alice.uri())));
    for session in [&calling, &called] {
        assert_eq!((session.caller_uri(), session.callee_uri()), (Some(alice.uri()), Some(bob.uri())));
        assert!(session.start_time().is_some() && session.stop_time().is_none());
        assert!(session.has_audio() && session.has_chat());
        assert_eq!(session.audio_transport().as_deref(), Some("RTP/AVP"));
        assert_eq!(session.chat_transport().as_deref(), Some("TCP/MSRP"));
        assert_eq!(session.audio_codec().as_deref(), Some("PCMU"));
        assert_eq!(session.audio_sample_rate(), Some(8_000));
        assert_eq!(session.audio_srtp_active(), Some(false));
        assert_eq!(session.audio_local_rtp_address(), Some(LOCALHOST));
        assert_eq!(session.audio_remote_rtp_address_sdp(), Some(LOCALHOST));
        let port = session.audio_local_rtp_port().expect("it has audio");
        assert!((42_000..=42_100).contains(&port) && port % 2 == 0, "{port}");
    }
    assert_eq!(calling.audio_local_rtp_port(), called.audio_remote_rtp_port_sdp());
    assert_eq!(called.audio_local_rtp_port(), calling.audio_remote_rtp_port_sdp());
    assert_eq!(calling.credentials(), Some(alice.credentials()));
    assert_eq!(calling.route(), route);
    assert_eq!((called.credentials(), called.route()), (None, None), "of outgoing sessions alone");
    assert!(!format!("{:?}", calling.snapshot()).contains("hunter2"), "no password is shown");

    // A key that is heard has come in RTP.
    called.send_dtmf('5').await.expect("telephone-event was negotiated");
    alice.wait_for("SCSessionGotDTMF").await;
    assert!(calling.audio_was_received());
    assert_eq!(calling.audio_remote_rtp_address_received(), Some(LOCALHOST));
    assert_eq!(calling.audio_remote_rtp_port_received(), called.audio_local_rtp_port());

    let name = folder.path().join("call.wav");
    calling.start_recording_audio(folder.path(), Some("call.wav")).await.expect("it has audio");
    let recorded = calling.audio_recording_file_name().map(PathBuf::from);
    assert_eq!(recorded.as_deref(), Some(name.as_path()), "the full path");
    alice.wait_for("SCSessionDidStartRecordingAudio").await;
    calling.stop_recording_audio().await.expect("it is being recorded");
    alice.wait_for("SCSessionDidStopRecordingAudio").await;
    assert_eq!(calling.audio_recording_file_name(), None);
    // Without a name of its own a recording is called after both and the time, in a folder that is made.
    let deeper = folder.path().join("a/b");
    calling.start_recording_audio(&deeper, None).await.expect("it has audio");
    let recorded = calling.audio_recording_file_name().expect("it is being recorded");
    // The number of the session keeps apart what two calls of the same second record.
    let numbered = recorded.rsplit_once("-alice@127.0.0.1-bob@127.0.0.1-").map(|(_, rest)| rest);
    assert!(numbered.is_some_and(|rest| rest == format!("{}.wav", calling.id().number())), "{recorded}");
    alice.wait_for("SCSessionDidStartRecordingAudio").await;

    calling.hold().await.expect("it is established");
    bob.wait_for("SCSessionGotHoldRequest").await;
    assert!(calling.on_hold() && calling.on_hold_by_local() && !calling.on_hold_by_remote());
    assert!(called.on_hold() && called.on_hold_by_remote() && !called.on_hold_by_local());

    called.terminate().await.expect("it is legal anywhere");
    alice.wait_for("SCSessionDidEnd").await;
    bob.wait_for("SCSessionDidEnd").await;
    assert!(deeper.read_dir().expect("the folder was made").count() == 1);
    for session in [&calling, &called] {
        assert_eq!(session.state(), State::Terminated);
        assert!(session.start_time() <= session.stop_time() && session.start_time().is_some());
        assert_eq!((session.caller_uri(), session.callee_uri()), (Some(alice.uri()), Some(bob.uri())));
        has_no_streams(session);
    }
    alice.application.stop().await;
    bob.application.stop().await;
}

#[tokio::test]
async fn configurations_are_copied_and_ringtones_are_read_live() {
    let alice = Party::start("alice", |builder| builder).await;
    let manager = alice.application.session_manager();
    assert_eq!(manager.rtp_config(), RtpConfiguration::default());
    manager.set_rtp_config(RtpConfiguration { use_ice: true, ..RtpConfiguration::default() });
    assert!(manager.clone().rtp_config().use_ice, "every clone is the same manager");
    manager.set_msrp_config(MsrpConfiguration { local_port: Some(2_855), ..MsrpConfiguration::default() });
    assert_eq!(manager.msrp_config().local_port, Some(2_855));
    let mut ringtones = RingtoneConfiguration::default();
    ringtones.outbound_ringtone = Some("out.wav".into());
    manager.set_ringtone_config(ringtones.clone());
    assert_eq!(manager.ringtone_config(), ringtones);
    let mut sessions = manager.sessions();
    sessions.push(manager.new_session());
    assert!(manager.sessions().is_empty(), "a copy, and NULL is not in it");
    alice.application.stop().await;
}
