//! Presence through kamailio: published, seen by another program, and there again after a restart.
#![expect(clippy::disallowed_methods, reason = "real programs take real time, and it is measured")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::kamailio::Kamailio;
use crate::process::{PATIENCE, Running, free_port, left_out, until};
use crate::program::{Listen, program};
use crate::register::{PASSWORD, Register};

const ALICE: &str = "sip:alice@test.local";
const BOB: &str = "sip:bob@test.local";
/// In which time it has to be seen that the server is gone.
const SOON: Duration = Duration::from_secs(8);

fn subscribe(proxy: &str) -> Register {
    Register::of("subscribe", BOB, Some(PASSWORD), &["--proxy", proxy, "presence", ALICE])
}

fn publish(proxy: &str, status: &str, note: &str) -> Register {
    let options = ["--proxy", proxy, "--status", status, "--note", note, "--activity", "meeting"];
    Register::of("publish", ALICE, Some(PASSWORD), &options)
}

/// Whether the last NOTIFY says so.
fn sees(watcher: &Register, basic: &str, note: &str) -> bool {
    let told = watcher.named("SCSubscriptionGotNotify");
    let Some(decoded) = told.last().map(|last| &last["decoded"]) else { return false };
    let notes = decoded["notes"].as_array();
    decoded["basic"] == basic && notes.is_some_and(|notes| notes.iter().any(|one| one == note))
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn presence_changes_are_seen_through_kamailio() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(kamailio) = Kamailio::start_with_presence(folder.path(), free_port(), free_port()) else {
        return;
    };
    for transport in ["udp", "tcp"] {
        let proxy = format!("sip:127.0.0.1:{};transport={transport}", kamailio.port);
        let watcher = subscribe(&proxy);
        let success = watcher.count("SCSubscriptionDidSucceed", 1, PATIENCE);
        assert_eq!(success["code"], 200, "{success}");
        watcher.count("SCSubscriptionGotNotify", 1, PATIENCE);
        let begin = Instant::now();
        let alice = publish(&proxy, "open", "at work");
        alice.count("SCPublicationDidSucceed", 1, PATIENCE);
        assert!(until(PATIENCE, || sees(&watcher, "open", "at work")), "bob sees alice over {transport}");
        println!("seen over {transport} {:?} after the publisher was started", begin.elapsed());
        let told = watcher.named("SCSubscriptionGotNotify");
        assert_eq!(told[told.len() - 1]["decoded"]["activities"][0], "meeting");
        // She leaves: nothing of her is left.
        alice.stop();
        assert!(until(PATIENCE, || !sees(&watcher, "open", "at work")), "and sees her leave");
        let again = publish(&proxy, "closed", "gone");
        assert!(until(PATIENCE, || sees(&watcher, "closed", "gone")), "and that she cannot be reached");
        again.stop();
        watcher.stop();
    }
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn the_example_watches_presence() {
    let example = Path::new(&program()).with_file_name("examples").join("presence_watcher");
    if !example.exists() {
        left_out("the examples are not built: cargo build --release -p sipsimple --example presence_watcher");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(kamailio) = Kamailio::start_with_presence(folder.path(), free_port(), free_port()) else {
        return;
    };
    let proxy = format!("sip:127.0.0.1:{}", kamailio.port);
    let mut command = Command::new(example);
    command.args([BOB, ALICE]).env("SIP_PASSWORD", PASSWORD).env("SIP_PROXY", &proxy);
    let watcher = Running::start(&mut command, folder.path(), "presence_watcher");
    let alice = publish(&proxy, "open", "at work");
    let line = format!("{ALICE}: open meeting at work");
    assert!(until(PATIENCE, || watcher.stdout().contains(&line)), "{}", watcher.stdout());
    alice.stop();
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn presence_is_there_again_after_kamailio_restarts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(kamailio) = Kamailio::start_with_presence(folder.path(), free_port(), free_port()) else {
        return;
    };
    let proxy = format!("sip:127.0.0.1:{};transport=tcp", kamailio.port);
    let (watcher, alice) = (subscribe(&proxy), publish(&proxy, "open", "at work"));
    assert!(until(PATIENCE, || sees(&watcher, "open", "at work")), "bob sees alice");
    let (before, told) =
        (alice.named("SCPublicationDidSucceed").len(), watcher.named("SCSubscriptionGotNotify"));
    let kamailio = kamailio.restart(|| {
        let failed = || !alice.named("SCPublicationDidFail").is_empty();
        assert!(until(SOON, failed), "the end of the connection is seen");
    });
    let begin = Instant::now();
    let patience = Duration::from_secs(10);
    alice.count("SCPublicationDidSucceed", before + 1, patience);
    println!("published again {:?} after the restart", begin.elapsed());
    let new = || watcher.named("SCSubscriptionGotNotify").len() > told.len();
    assert!(until(patience, || new() && sees(&watcher, "open", "at work")), "bob sees alice again");
    println!("seen again {:?} after the restart", begin.elapsed());
    watcher.stop();
    alice.stop();
    drop(kamailio);
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn a_message_through_kamailio() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(kamailio) = Kamailio::start(folder.path(), free_port(), free_port()) else { return };
    let proxy = format!("sip:127.0.0.1:{}", kamailio.port);
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the disk has room");
    let password = password.to_string_lossy();
    let listen =
        Listen::start(&["--register", "--from", ALICE, "--proxy", &proxy, "--password-file", &password]);
    assert!(until(PATIENCE, || kamailio.registered("udp") == 1), "alice is registered");
    let mut message = Command::new(program());
    message.args(["message", ALICE, "lunch at one?", "--from", BOB, "--proxy", &proxy, "--json"]);
    message.args(["--bind", "127.0.0.1", "--port", "0", "--password-file", &password]);
    let sent = message.output().expect("the program runs");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert!(until(PATIENCE, || listen.count("SCGotMessage") > 0), "it arrives");
    let events = listen.stop();
    let got: Vec<_> = events.named("SCGotMessage").collect();
    assert_eq!((got.len(), got[0].data["content"].as_str()), (1, Some("lunch at one?")));
}
