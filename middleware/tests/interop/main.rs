//! Calls with software that others wrote. These need sipp, baresip and kamailio and take real time,
//! so `./dev interop` runs them and `./dev test` does not; everything stays on 127.0.0.1, or in
//! network namespaces where NATs are needed.

mod baresip;
mod browser;
mod cards;
#[path = "../support/dns.rs"]
mod dns;
mod fleet;
mod judges;
mod kamailio;
mod laboratory;
mod linphone;
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

use std::path::{Path, PathBuf};

use baresip::{Baresip, Encryption};
use browser::{Browser, Plan};
use process::{PATIENCE, Running, free_port};
use program::{Events, Listen, call, call_in, call_in_background};
use sound::{Sound, resemblance, resemblance_in_pieces};

/// How alike what was recorded and what was played have to be, once aligned.
const ALIKE: f32 = 0.9;
/// How many of sixteen pieces that follow one another then: where neighbours changed places it is half of them.
const IN_ORDER: usize = 10;

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

/// It takes this suite, and offers another one alone; linphone has none of GCM for SDES.
#[test]
#[ignore = "needs baresip: ./dev interop"]
fn call_to_baresip_with_gcm() {
    call_to_baresip("PCMU/8000/1", "pcmu", Encryption::Gcm);
}

/// Its certificate is RSA's; so is linphone's.
#[test]
#[ignore = "needs baresip: ./dev interop"]
fn call_to_baresip_pcmu_with_dtls() {
    call_to_baresip("PCMU/8000/1", "pcmu", Encryption::Dtls);
}

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn call_to_baresip_g722_with_srtp() {
    call_to_baresip("G722/16000/1", "g722", Encryption::Mandatory);
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

#[test]
#[ignore = "needs baresip: ./dev interop"]
fn baresip_calls_listen_with_dtls() {
    called_by_baresip(Encryption::Dtls);
}

/// Both play while they talk: we quietly, so that a recording of both sides is still mostly
/// what baresip plays; it loudly.
fn call_to_baresip(their_codec: &str, our_codec: &str, encryption: Encryption) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(1), Sound::loud(2));
    let (playing, recording) = (folder.path().join("ours.wav"), folder.path().join("recording.wav"));
    ours.write(&playing);
    // A recording may begin a little after the call.
    let baresip = Baresip::new(folder.path(), their_codec, encryption, &theirs.after(1));
    let running = baresip.answer();
    let (playing, recording) = (playing.to_string_lossy(), recording.to_string_lossy());
    let options = ["--codecs", our_codec, "--play", &playing, "--record", &recording, "--seconds", "8"];
    let options = [&options, encryption.ours()].concat();
    let events = call_in(&baresip.uri(), &options, &encryption.suites());
    events.expect_in_order(&[
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionWillEnd",
        "SCSessionDidEnd",
    ]);
    let log = running.stop();
    check(&theirs, &Sound::read(Path::new(&*recording)), "what we recorded of baresip");
    check(&ours, &baresip.heard(), "what baresip heard of us");
    assert!(encryption.is_in(&log), "{log}");
}

fn called_by_baresip(encryption: Encryption) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(3), Sound::loud(4));
    let baresip = Baresip::new(folder.path(), "PCMU/8000/1", encryption, &theirs.after(1));
    // Its file lasts nine seconds; it hangs up at the end.
    let (heard, log) = called(folder.path(), &ours, encryption, |uri| baresip.dial(uri));
    check(&theirs, &heard, "what we recorded of baresip");
    check(&ours, &baresip.heard(), "what baresip heard of us");
    assert!(encryption.is_in(&log), "{log}");
}

/// Somebody calls us while we play `ours`, and hangs up: what we recorded, and what he printed.
fn called(
    folder: &Path,
    ours: &Sound,
    encryption: Encryption,
    dial: impl FnOnce(&str) -> Running,
) -> (Sound, String) {
    let (playing, recordings) = (folder.join("ours.wav"), folder.join("recordings"));
    // A jitter buffer stretches what comes first, and nothing is heard before keys are agreed on.
    ours.after(2).write(&playing);
    std::fs::create_dir(&recordings).expect("a new folder");
    let (play, record) = (playing.to_string_lossy(), recordings.to_string_lossy());
    let options = ["--device", "null", "--codecs", "pcmu", "--play", &play, "--record", &record];
    let listen = Listen::start_with(&[&options, encryption.ours()].concat(), &encryption.suites());
    let running = dial(&format!("sip:listen@127.0.0.1:{}", listen.port()));
    assert!(listen.wait_for_ends(1), "the call ended");
    let log = running.stop();
    let events = listen.stop();
    events.expect_in_order(&[
        "SCSessionNewIncoming",
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionDidEnd",
    ]);
    (Sound::read(&only_wav(&recordings)), log)
}

#[test]
#[ignore = "needs linphonec: ./dev interop"]
fn call_to_linphone_opus_with_srtp() {
    call_to_linphone("opus", Encryption::Mandatory);
}

#[test]
#[ignore = "needs linphonec: ./dev interop"]
fn call_to_linphone_g722() {
    call_to_linphone("g722", Encryption::None);
}

#[test]
#[ignore = "needs linphonec: ./dev interop"]
fn call_to_linphone_pcmu_with_dtls() {
    call_to_linphone("pcmu", Encryption::Dtls);
}

#[test]
#[ignore = "needs linphonec: ./dev interop"]
fn linphone_calls_listen_with_dtls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(13), Sound::loud(14));
    let Some(linphone) = linphone::Linphone::new(folder.path(), Encryption::Dtls, &theirs) else { return };
    let (heard, _) = called(folder.path(), &ours, Encryption::Dtls, |uri| linphone.dial(uri));
    check(&theirs, &heard, "what we recorded of linphone");
    check(&ours, &linphone.heard(), "what linphone heard of us");
    assert!(linphone.has_keys_by_dtls());
}

fn call_to_linphone(codec: &str, encryption: Encryption) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Opus at the 34 kbit/s of linphone is not as close to what is high.
    let theirs = if codec == "opus" { Sound::deep(12) } else { Sound::loud(12) };
    let ours = Sound::quiet(11);
    let (playing, recording) = (folder.path().join("ours.wav"), folder.path().join("recording.wav"));
    // Before it has its keys in place it hears nothing.
    ours.after(1).write(&playing);
    let Some(linphone) = linphone::Linphone::new(folder.path(), encryption, &theirs) else { return };
    let running = linphone.answer();
    let (play, record) = (playing.to_string_lossy(), recording.to_string_lossy());
    let options = ["--codecs", codec, "--play", &play, "--record", &record, "--seconds", "9"];
    let options = [&options, encryption.ours()].concat();
    let events = call_in(&linphone.uri(), &options, &encryption.suites());
    events.expect_in_order(&[
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionWillEnd",
        "SCSessionDidEnd",
    ]);
    running.stop();
    check(&theirs, &Sound::read(&recording), "what we recorded of linphone");
    check(&ours, &linphone.heard(), "what linphone heard of us");
    assert_eq!(linphone.has_keys_by_dtls(), encryption == Encryption::Dtls);
}

/// A page in a browser calls over a WebSocket: ICE, DTLS-SRTP, Opus, keys, hold, and sound both ways.
#[test]
#[ignore = "needs chromium and npm: ./dev interop"]
fn a_browser_calls_listen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(7), Sound::loud(8));
    let (playing, recordings) = (folder.path().join("ours.wav"), folder.path().join("recordings"));
    // The browser's jitter buffer stretches what comes first.
    ours.after(2).write(&playing);
    std::fs::create_dir(&recordings).expect("a new folder");
    let listen = Listen::start(&[
        "--transport",
        "udp",
        "--transport",
        "ws",
        "--codecs",
        "opus",
        "--srtp",
        "mandatory",
        "--ice",
        "--play",
        &playing.to_string_lossy(),
        "--loop",
        "--record",
        &recordings.to_string_lossy(),
    ]);
    let plan = Plan {
        server: format!("ws://127.0.0.1:{}", listen.web_socket_port()),
        uri: "sip:browser@browser.invalid",
        password: None,
        target: Some(format!("sip:listen@127.0.0.1:{}", listen.port())),
        hangs_up: true,
    };
    let Some(mut browser) = Browser::start(folder.path(), &plan, &theirs) else { return };
    browser.finish();
    assert!(listen.wait_for_ends(1), "the call ended");
    let events = listen.stop();
    events.expect_in_order(&[
        "SCSessionNewIncoming",
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionGotHoldRequest",
        "SCSessionGotUnholdRequest",
        "SCSessionDidEnd",
    ]);
    judge_browser(&browser, &events, &recordings, &ours, &theirs);
}

/// The page registers with a proxy over a WebSocket, and is called.
#[test]
#[ignore = "needs chromium, npm and kamailio: ./dev interop"]
fn a_browser_is_called() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (Sound::quiet(9), Sound::loud(10));
    let (playing, recordings) = (folder.path().join("ours.wav"), folder.path().join("recordings"));
    // The browser's jitter buffer stretches what comes first.
    ours.after(2).write(&playing);
    std::fs::create_dir(&recordings).expect("a new folder");
    let port = free_port();
    let Some(mut proxy) = browser::proxy(folder.path(), port) else { return };
    let plan = Plan {
        server: format!("ws://127.0.0.1:{port}"),
        uri: "sip:browser@test.local",
        password: Some("unused"),
        target: None,
        hangs_up: false,
    };
    let Some(mut browser) = Browser::start(folder.path(), &plan, &theirs) else { return };
    browser.wait_for("ready");
    let (mut calling, _output) = call_in_background(
        "sip:browser@test.local",
        &[
            "--proxy",
            &format!("sip:127.0.0.1:{port}"),
            "--codecs",
            "opus",
            "--srtp",
            "mandatory",
            "--keying",
            "dtls",
            "--ice",
            "--play",
            &playing.to_string_lossy(),
            "--loop",
            "--record",
            &recordings.join("recording.wav").to_string_lossy(),
        ],
    );
    browser.wait_for("heard");
    assert!(calling.terminate().success(), "{}", calling.stderr());
    assert!(!calling.stderr().contains("panicked at"), "{}", calling.stderr());
    let events = Events::read(&calling.stdout());
    browser.finish();
    proxy.terminate();
    events.expect_in_order(&[
        "SCSessionWillStart",
        "SCSessionDidStart",
        "SCSessionGotHoldRequest",
        "SCSessionGotUnholdRequest",
        "SCSessionWillEnd",
        "SCSessionDidEnd",
    ]);
    judge_browser(&browser, &events, &recordings, &ours, &theirs);
}

fn judge_browser(browser: &Browser, events: &Events, recordings: &Path, ours: &Sound, theirs: &Sound) {
    let digits: Vec<_> = events.named("SCSessionGotDTMF").map(|event| event.data["digit"].clone()).collect();
    assert_eq!(digits, ["5", "7", "#"], "each key once");
    let facts = browser.told("facts");
    println!("what the browser says: {facts:?}");
    assert_eq!((&facts[0]["codec"], &facts[0]["dtls"]), (&"audio/opus".into(), &"connected".into()));
    check(theirs, &Sound::read(&only_wav(recordings)), "what we recorded of the browser");
    check(ours, &browser.heard(), "what the browser heard of us");
}

fn only_wav(folder: &Path) -> PathBuf {
    let recorded = std::fs::read_dir(folder).expect("the folder of recordings");
    let mut files = recorded.map(|entry| entry.expect("an entry").path());
    files.find(|path| path.extension().is_some_and(|e| e == "wav")).expect("a recording")
}

fn check(played: &Sound, heard: &Sound, what: &str) {
    let found = resemblance(played, heard);
    println!("{what}: {found:?}");
    if found.median() > ALIKE {
        return;
    }
    // A jitter buffer lets delay out, here in the midst of a sound that never pauses.
    let found = resemblance_in_pieces(played, heard);
    let alike = found.pieces_above(ALIKE);
    println!("{what}, in pieces: {alike} of 16, {found:?}");
    assert!(alike >= IN_ORDER, "{what}: {found:?}, needs {IN_ORDER} above {ALIKE}");
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
        assert!(process::until(PATIENCE, || calling.stdout().contains("terminated")));
        calling.terminate();
        answering.stop();
        check(&theirs, &caller.heard(), "what the caller heard");
        check(&ours, &callee.heard(), "what the callee heard");
    }
}
