//! Several `sipsimple listen` behind kamailio's dispatcher (Debian: kamailio), one of which dies.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Running, free_port, pass, until};
use crate::program::Listen;
use crate::sipp;

const RATE: u32 = 200;

/// 200 calls a second go on while one of three processes is killed: the calls of the others do not notice, and five
/// seconds later every new one succeeds.
#[test]
#[ignore = "needs sipp and kamailio: ./dev interop"]
fn a_fleet_goes_on_without_one() {
    if Command::new("kamailio").arg("-v").output().is_err() {
        eprintln!("LEFT OUT: kamailio is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut fleet: Vec<Listen> = (0..3).map(|_| Listen::start(&["--accept", "audio"])).collect();
    let port = free_port();
    let mut proxy = start(folder.path(), port, &fleet);

    let calling = std::thread::spawn(move || sipp::calls_through_a_proxy(port, RATE * 12, RATE));
    pass(Duration::from_secs(5));
    let taken: Vec<usize> = fleet.iter().map(Listen::begins).collect();
    assert!(taken.iter().all(|count| *count >= 200), "the calls are shared: {taken:?}");
    fleet.remove(0).kill();
    pass(Duration::from_secs(5));
    // Two seconds of the first lot are left.
    assert_eq!(sipp::calls_through_a_proxy(port, RATE * 5, RATE), 0, "every new call succeeds");
    let failed = calling.join().expect("the first caller ends");
    // Those that the dead one had, which last 0.3 s, and what was on its way to it.
    println!("{failed} of {} calls failed", RATE * 12);
    assert!(failed <= RATE / 2, "{failed} calls failed");
    for listen in fleet {
        let begun = listen.begins();
        assert!(listen.wait_for_ends(begun), "every call ends");
        let events = listen.stop();
        assert_eq!(events.named("SCSessionDidFail").count(), 0, "nobody notices");
        let by_peer = events.named("SCSessionDidEnd").filter(|event| event.data["originator"] == "remote");
        assert_eq!(by_peer.count(), begun, "each was ended by its caller");
    }
    proxy.terminate(Duration::from_secs(10));
}

fn start(folder: &Path, port: u16, fleet: &[Listen]) -> Running {
    let mut list = String::new();
    for listen in fleet {
        let _ = writeln!(list, "1 sip:127.0.0.1:{}", listen.port());
    }
    let config = include_str!("kamailio-fleet.cfg")
        .replace("@PORT@", &port.to_string())
        .replace("@RUN@", &folder.to_string_lossy());
    std::fs::write(folder.join("fleet.list"), list).expect("the disk has room");
    std::fs::write(folder.join("fleet.cfg"), config).expect("the disk has room");
    let mut command = Command::new("kamailio");
    command
        .current_dir(folder)
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-f", "fleet.cfg", "-Y"])
        .arg(folder);
    let running = Running::start(&mut command, folder, "fleet");
    let taken = until(Duration::from_secs(10), || UdpSocket::bind(("127.0.0.1", port)).is_err());
    assert!(taken, "kamailio does not start: {}", running.stderr());
    running
}
