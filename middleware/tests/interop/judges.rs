//! tshark as the judge of what goes over the wire, and sipvicious as an attacker.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Running, left_out};
use crate::program::{Listen, call};

/// What tshark says of a capture: a line for each packet that `filter` lets through.
fn dissected(capture: &Path, filter: &str) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(capture).args(["-Y", filter]);
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A call with chat and a file, as both write it down: tshark knows every packet for what it is, and calls none malformed.
#[test]
#[ignore = "needs tshark: ./dev interop"]
fn tshark_finds_nothing_malformed() {
    if Command::new("tshark").arg("-v").output().is_err() {
        left_out("there is no tshark (Debian: tshark)");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("a.txt"), "what is sent").expect("the disk has room");
    let (theirs, ours) = (path("called.pcapng"), path("calling.pcapng"));
    let (received, file) = (path("received"), path("a.txt"));
    let plain = ["--msrp-tls", "no", "--ice"];
    let mut options = vec!["--accept", "audio,chat,file", "--files", &received, "--echo", "--trace", &theirs];
    options.extend(plain);
    let listen = Listen::start(&options);
    let mut options = vec!["--chat", "hello", "--send-file", &file, "--seconds", "3", "--trace", &ours];
    options.extend(plain);
    call(&format!("sip:tshark@127.0.0.1:{}", listen.port()), &options);
    listen.stop();
    for capture in [&theirs, &ours] {
        let capture = Path::new(capture);
        let malformed = dissected(capture, "_ws.malformed || _ws.expert.severity == error");
        assert!(malformed.is_empty(), "{malformed:#?}");
        for (protocol, least) in [("sip", 5), ("sdp", 2), ("msrp", 4), ("stun", 2)] {
            let found = dissected(capture, protocol).len();
            assert!(found >= least, "{found} packets of {protocol} in {}", capture.display());
        }
        let unknown = dissected(capture, "!(sip || msrp || stun || tcp.len == 0)");
        assert!(unknown.is_empty(), "what tshark has no name for: {unknown:#?}");
    }
}

/// Scans for users and passwords by tools made for it: whatever they send, calls are answered meanwhile and afterwards.
#[test]
#[ignore = "needs sipvicious: ./dev interop"]
fn sipvicious_learns_nothing_and_stops_nobody() {
    if Command::new("svmap").arg("--version").output().is_err() {
        left_out("there is no sipvicious (Debian: sipvicious)");
        return;
    }
    let listen = Listen::start(&[]);
    let port = listen.port().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let attacks: [(&str, &[&str]); 4] = [
        ("svmap", &["-p", &port, "-m", "INVITE", "127.0.0.1"]),
        ("svmap", &["-p", &port, "-m", "REGISTER", "127.0.0.1"]),
        ("svwar", &["-p", &port, "-e", "100-400", "-m", "REGISTER", "127.0.0.1"]),
        ("svcrack", &["-p", &port, "-u", "100", "-r", "1000-1300", "127.0.0.1"]),
    ];
    for (number, (tool, arguments)) in attacks.into_iter().enumerate() {
        let mut command = Command::new(tool);
        command.args(arguments).current_dir(folder.path()).env("HOME", folder.path());
        let mut running = Running::start(&mut command, folder.path(), &format!("{tool}-{number}"));
        call(&format!("sip:anybody@127.0.0.1:{port}"), &["--seconds", "0.5"]);
        running.wait(Duration::from_secs(180));
        let told = running.stdout() + &running.stderr();
        assert!(!told.contains("password is"), "{told}");
        println!("{tool}: {}", told.lines().last().unwrap_or("says nothing"));
    }
    call(&format!("sip:anybody@127.0.0.1:{port}"), &["--seconds", "0.5"]);
    listen.stop();
}
