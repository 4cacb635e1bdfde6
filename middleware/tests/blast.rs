//! The examples that listen, under mutated messages.

#[path = "support/blast.rs"]
mod blast;
#[path = "support/example.rs"]
mod example;
#[path = "interop/process.rs"]
#[allow(dead_code, reason = "shared with the interop tests, which use all of it")]
mod process;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use blast::Way;
use example::{example, write_wav};
use process::Running;

fn withstands(package: &str, name: &str, argument: impl Fn(u16) -> Vec<String>, streams: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let port = process::free_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut command = Command::new(example(package, name));
    command.args(argument(port)).current_dir(folder.path());
    let running = Running::start(&mut command, folder.path(), name);
    process::wait_until_bound(port);
    let ways = [Some(Way::Udp), streams.then_some(Way::Tcp(address))];
    let ways: Vec<Way> = ways.into_iter().flatten().collect();
    blast::blast(name, running.id(), address, &ways, || running.stderr());
}

#[test]
fn examples_withstand_a_blast() {
    let folder = tempfile::tempdir().expect("a folder");
    let greeting = folder.path().join("greeting.wav").to_str().expect("a path in UTF-8").to_owned();
    write_wav(greeting.as_ref(), &[0; 16_000]);
    withstands("sipsimple", "answer", |port| vec![port.to_string()], true);
    withstands("sipsimple", "voice_agent", |port| vec![greeting.clone(), port.to_string()], true);
    withstands("sipsimple-sip-core", "answering", |port| vec![format!("127.0.0.1:{port}")], false);
}
