//! Several `sipsimple listen` behind kamailio's dispatcher (Debian: kamailio), one of which dies.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::kamailio::Kamailio;
use crate::process::{PATIENCE, Running, free_port, left_out, pass, until, wait_until_bound};
use crate::program::{Listen, call};
use crate::register::PASSWORD;
use crate::sipp;

const RATE: u32 = 200;

/// 200 calls a second go on while one of three processes is killed: the calls of the others do not notice, and five
/// seconds later every new one succeeds.
#[test]
#[ignore = "needs sipp and kamailio: ./dev interop"]
fn a_fleet_goes_on_without_one() {
    if Command::new("kamailio").arg("-v").output().is_err() {
        left_out("kamailio is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut fleet: Vec<Listen> = (0..3).map(|_| Listen::start(&["--accept", "audio"])).collect();
    let port = free_port();
    let mut proxy = start(folder.path(), port, "", &fleet);

    let calling = std::thread::spawn(move || sipp::calls_through_a_proxy(port, RATE * 12, RATE));
    let taken = || fleet.iter().map(Listen::begins).collect::<Vec<_>>();
    let shared = until(PATIENCE, || taken().iter().all(|count| *count >= 200));
    assert!(shared, "the calls are shared: {:?}", taken());
    fleet.remove(0).kill();
    pass(Duration::from_secs(5));
    // Some of the first lot are left.
    assert_eq!(sipp::calls_through_a_proxy(port, RATE * 5, RATE), 0, "every new call succeeds");
    let failed = calling.join().expect("the first caller ends");
    // Those that the dead one had, which last 0.3 s, and what was on its way to it.
    println!("{failed} of {} calls failed", RATE * 12);
    assert!(failed <= RATE / 2, "{failed} calls failed");
    for listen in fleet {
        assert!(until(PATIENCE, || listen.ends() >= listen.begins()), "every call ends");
        let events = listen.stop();
        let begun = events.named("SCSessionNewIncoming").count();
        assert_eq!(events.named("SCSessionDidFail").count(), 0, "nobody notices");
        let by_peer = events.named("SCSessionDidEnd").filter(|event| event.data["originator"] == "remote");
        assert_eq!(by_peer.count(), begun, "each was ended by its caller");
    }
    proxy.terminate();
}

/// A process that registers through the dispatcher is called through it too (RFC 3327).
#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn who_registers_through_a_proxy_is_called_through_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(registrar) = Kamailio::start(folder.path(), free_port(), free_port()) else { return };
    let behind = format!("sip:127.0.0.1:{}", registrar.port);
    let port = free_port();
    let mut proxy = start(folder.path(), port, &behind, &[]);
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the disk has room");
    let password = password.to_string_lossy();
    let alice = ["--from", "sip:alice@test.local", "--password-file", &password];
    let way = format!("sip:127.0.0.1:{port}");
    let listen = Listen::start(&[&["--register", "--proxy", &way][..], &alice].concat());
    assert!(until(PATIENCE, || registrar.registered("udp") == 1), "alice is registered");
    let bob = ["--from", "sip:bob@test.local", "--password-file", &password, "--proxy", &behind];
    let events = call("sip:alice@test.local", &[&bob[..], &["--seconds", "1"]].concat());
    events.expect_in_order(&["SCSessionWillStart", "SCSessionDidStart", "SCSessionDidEnd"]);
    assert!(listen.wait_for_ends(1), "and alice's side ends too");
    listen.stop().expect_in_order(&["SCRegistrationDidSucceed", "SCSessionDidStart", "SCSessionDidEnd"]);
    assert!(proxy.stderr().contains("along its Path: INVITE sip:alice@"), "{}", proxy.stderr());
    proxy.terminate();
}

fn start(folder: &Path, port: u16, registrar: &str, fleet: &[Listen]) -> Running {
    let mut list = String::new();
    for listen in fleet {
        let _ = writeln!(list, "1 sip:127.0.0.1:{}", listen.port());
    }
    let config = include_str!("kamailio-fleet.cfg")
        .replace("@PORT@", &port.to_string())
        .replace("@REGISTRAR@", registrar)
        .replace("@RUN@", &folder.to_string_lossy());
    std::fs::write(folder.join("fleet.list"), list).expect("the disk has room");
    std::fs::write(folder.join("fleet.cfg"), config).expect("the disk has room");
    let mut command = Command::new("kamailio");
    command
        .current_dir(folder)
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-f", "fleet.cfg", "-Y"])
        .arg(folder);
    let running = Running::start(&mut command, folder, "fleet");
    wait_until_bound(port);
    running
}
