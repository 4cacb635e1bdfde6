//! A conference of three: who is in it hears the others, and not itself.

use std::time::Duration;

use sipsimple::StreamSet;
use sipsimple::configuration::{AudioConfiguration, AudioInput, AudioOutput, RtpConfiguration};

#[path = "support/pace.rs"]
mod pace;
#[path = "support/party.rs"]
mod party;

use pace::listen_closely;
use party::Party;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_in_a_conference_hear_each_other() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let wav = folder.path().join("bob.wav");
    std::fs::write(&wav, media::assets::BOB).expect("the disk has room");
    let input = AudioInput::File { path: wav.clone(), repeat: true };
    let speaks = AudioConfiguration { input, output: AudioOutput::Null, ..AudioConfiguration::default() };
    let rtp = RtpConfiguration { codecs: vec!["PCMU".to_owned()], ..RtpConfiguration::default() };
    let mut alice = Party::start("alice", |builder| builder.rtp_config(rtp.clone())).await;
    let mut bob = Party::start("bob", |builder| builder.rtp_config(rtp.clone()).audio(speaks)).await;
    let mut carol = Party::start("carol", |builder| builder.rtp_config(rtp.clone())).await;
    let manager = alice.application.session_manager().clone();
    let conference = manager.new_conference();
    let mut sessions = Vec::new();
    let mut theirs = Vec::new();
    for party in [&mut bob, &mut carol] {
        let session = manager.new_session();
        session
            .connect(party.uri(), alice.credentials(), None, StreamSet::AUDIO)
            .await
            .expect("it is legal in NULL");
        let called = party.wait_for("SCSessionNewIncoming").await;
        called.accept(StreamSet::AUDIO).await.expect("it is legal in INCOMING");
        alice.wait_for("SCSessionDidStart").await;
        party.wait_for("SCSessionDidStart").await;
        assert!(conference.add(&manager.new_session()).await.is_err(), "a session in NULL has no audio");
        conference.add(&session).await.expect("it has audio");
        sessions.push(session);
        theirs.push(called);
    }
    assert_eq!(conference.sessions(), sessions);
    for (called, name) in theirs.iter().zip(["bob-heard.wav", "carol-heard.wav"]) {
        called.start_recording_audio(folder.path(), Some(name)).await.expect("it has audio");
    }
    listen_closely(Duration::from_secs(4)).await;
    conference.remove(&sessions[0]).await.expect("it is in it");
    assert_eq!(conference.sessions(), &sessions[1..]);
    assert!(conference.remove(&sessions[0]).await.is_err(), "it has left");
    for (called, party) in theirs.iter().zip([&mut bob, &mut carol]) {
        called.terminate().await.expect("it is legal anywhere");
        party.wait_for("SCSessionDidEnd").await;
    }
    let heard = |name: &str| {
        let (_, heard, rate) = media::wav::read_stereo(&folder.path().join(name)).expect("a recording");
        (heard, rate)
    };
    let (carol_heard, rate) = heard("carol-heard.wav");
    let reference = media::wav::read_mono(&wav, rate).expect("speech");
    let likeness = media::analysis::likeness(&reference, &carol_heard, rate as usize);
    assert!(likeness > 0.85, "Carol hears what Bob says: {likeness:.3}");
    let (bob_heard, _) = heard("bob-heard.wav");
    let loudest = bob_heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default();
    assert!(loudest < 200, "Bob does not hear himself, and Carol is silent: {loudest}");
    for party in [alice, bob, carol] {
        party.application.stop().await;
    }
}
