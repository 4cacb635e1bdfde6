//! Calls with software that others wrote. These need sipp, baresip and kamailio and take real time,
//! so `./dev interop` runs them and `./dev test` does not; everything stays on 127.0.0.1, or in
//! network namespaces where NATs are needed.

mod baresip;
#[path = "../support/dns.rs"]
mod dns;
mod kamailio;
mod laboratory;
mod nat;
mod presence;
mod process;
mod program;
mod register;
mod registrars;
mod relay;
mod scenarios;
mod sessions;
mod sipp;
mod sound;

use std::time::Duration;

use baresip::{Baresip, Encryption};
use process::free_port;
use program::{Listen, call};
use sound::{Sound, resemblance};

/// How alike what was recorded and what was played have to be, once aligned.
const ALIKE: f32 = 0.9;

#[test]
#[ignore = "needs sipp: ./dev interop"]
fn sipp_calls_listen_300_times_at_60_a_second() {
    let listen = Listen::start(&["--accept", "audio,chat"]);
    sipp::uac(listen.port(), 300, 60);
    assert!(listen.wait_for_ends(300), "{} sessions ended, of 300", listen.ends());
    let events = listen.stop();
    let mut ended: Vec<_> = events.named("SCSessionDidEnd").map(|event| event.sender.clone()).collect();
    assert_eq!(ended.len(), 300, "one end a call");
    ended.sort();
    ended.dedup();
    assert_eq!(ended.len(), 300, "each session ends once");
    assert_eq!(events.named("SCSessionDidFail").count(), 0);
}

#[test]
#[ignore = "needs sipp: ./dev interop"]
fn call_to_sipp_uas() {
    let port = free_port();
    let _uas = sipp::uas(port, 3);
    for _ in 0..3 {
        let events = call(&format!("sip:service@127.0.0.1:{port}"), &["--seconds", "1"]);
        events.expect_in_order(&[
            "SCSessionNewOutgoing",
            "SCSessionWillStart",
            "SCSessionDidStart",
            "SCSessionDidEnd",
        ]);
    }
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn chat_and_file_through_kamailio_over_tcp() {
    relay::chat_and_file(false);
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn chat_and_file_through_kamailio_over_tls() {
    relay::chat_and_file(true);
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn call_to_baresip_pcmu() {
    call_to_baresip("PCMU/8000/1", "pcmu", Encryption::None);
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn call_to_baresip_opus() {
    call_to_baresip("opus/48000/2", "opus", Encryption::None);
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn call_to_baresip_with_srtp() {
    call_to_baresip("PCMU/8000/1", "pcmu", Encryption::Mandatory);
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn baresip_calls_listen() {
    called_by_baresip(Encryption::None);
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn baresip_calls_listen_with_srtp() {
    called_by_baresip(Encryption::Mandatory);
}

/// Both play while they talk: we quietly, so that a recording of both sides is still mostly
/// what baresip plays; it loudly.
fn call_to_baresip(their_codec: &str, our_codec: &str, encryption: Encryption) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(1), Sound::loud(2));
    let (playing, recording) = (folder.path().join("ours.wav"), folder.path().join("recording.wav"));
    ours.write(&playing);
    let baresip = Baresip::new(folder.path(), their_codec, encryption, &theirs);
    let running = baresip.answer();
    let events = call(
        &baresip.uri(),
        &[
            "--codecs",
            our_codec,
            "--srtp",
            encryption.ours(),
            "--play",
            &playing.to_string_lossy(),
            "--record",
            &recording.to_string_lossy(),
            "--seconds",
            "5",
        ],
    );
    events.expect_in_order(&[
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionWillEnd",
        "SCSessionDidEnd",
    ]);
    let log = running.stop(Duration::from_secs(5));
    check(&theirs, &Sound::read(&recording), "what we recorded of baresip");
    check(&ours, &baresip.heard(), "what baresip heard of us");
    assert_eq!(log.contains("SRTP is Enabled"), encryption == Encryption::Mandatory, "{log}");
}

fn called_by_baresip(encryption: Encryption) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(3), Sound::loud(4));
    let (playing, recordings) = (folder.path().join("ours.wav"), folder.path().join("recordings"));
    ours.write(&playing);
    std::fs::create_dir(&recordings).expect("a new folder");
    let listen = Listen::start(&[
        "--codecs",
        "pcmu",
        "--srtp",
        encryption.ours(),
        "--play",
        &playing.to_string_lossy(),
        "--record",
        &recordings.to_string_lossy(),
    ]);
    let baresip = Baresip::new(folder.path(), "PCMU/8000/1", encryption, &theirs);
    // Its file lasts eight seconds; it hangs up at the end.
    let running = baresip.dial(&format!("sip:listen@127.0.0.1:{}", listen.port()));
    assert!(listen.wait_for_ends(1), "the call ended");
    let log = running.stop(Duration::from_secs(5));
    let events = listen.stop();
    events.expect_in_order(&[
        "SCSessionNewIncoming",
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionDidEnd",
    ]);
    let recorded = std::fs::read_dir(&recordings).expect("the folder of recordings");
    let wav = recorded
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|e| e == "wav"));
    check(&theirs, &Sound::read(&wav.expect("a recording")), "what we recorded of baresip");
    check(&ours, &baresip.heard(), "what baresip heard of us");
    assert_eq!(log.contains("SRTP is Enabled"), encryption == Encryption::Mandatory, "{log}");
}

fn check(played: &Sound, heard: &Sound, what: &str) {
    let found = resemblance(played, heard);
    println!("{what}: {found:?}");
    assert!(found.median() > ALIKE, "{what}: {found:?}, needs more than {ALIKE}");
}

/// The harness itself: the generator and its counterpart.
#[test]
#[ignore = "needs sipp: ./dev interop"]
fn sipp_calls_sipp() {
    let port = free_port();
    let _uas = sipp::uas(port, 20);
    sipp::uac(port, 20, 60);
}

/// The harness itself: two baresips hear each other, so a scenario that fails is ours.
#[test]
#[ignore = "needs baresip: ./dev interop"]
fn baresip_calls_baresip() {
    for encryption in [Encryption::None, Encryption::Mandatory] {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (ours, theirs) = (Sound::quiet(5), Sound::loud(6));
        let caller = Baresip::new(here.path(), "opus/48000/2", encryption, &ours);
        let callee = Baresip::new(there.path(), "opus/48000/2", encryption, &theirs);
        let answering = callee.answer();
        let mut calling = caller.dial(&callee.uri());
        assert!(process::until(Duration::from_secs(20), || calling.stdout().contains("terminated")));
        calling.terminate(Duration::from_secs(5));
        answering.stop(Duration::from_secs(5));
        check(&theirs, &caller.heard(), "what the caller heard");
        check(&ours, &callee.heard(), "what the callee heard");
    }
}
