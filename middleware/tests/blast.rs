//! The examples that listen, under mutated messages.

#[path = "support/blast.rs"]
mod blast;
#[path = "interop/process.rs"]
#[allow(dead_code, reason = "shared with the interop tests, which use all of it")]
mod process;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use blast::Way;
use process::{Running, until};

/// An example of this package or of sip-core, built where the tests are.
fn example(package: &str, name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let folder = test.ancestors().nth(2).expect("the folder of the profile").join("examples");
    let path = folder.join(name);
    if !path.exists() {
        // `cargo test` builds examples unless it is asked for one test alone.
        let status =
            Command::new(env!("CARGO")).args(["build", "-q", "-p", package, "--example", name]).status();
        assert!(status.is_ok_and(|status| status.success()), "the example builds");
    }
    path
}

fn withstands(package: &str, name: &str, argument: impl Fn(u16) -> Vec<String>, streams: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|s| s.local_addr()).expect("a port").port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut command = Command::new(example(package, name));
    command.args(argument(port)).current_dir(folder.path());
    let running = Running::start(&mut command, folder.path(), name);
    let listens = until(Duration::from_secs(20), || UdpSocket::bind(address).is_err());
    assert!(listens, "{name} does not listen: {}", running.stderr());
    let ways = [Some(Way::Udp), streams.then_some(Way::Tcp(address))];
    let ways: Vec<Way> = ways.into_iter().flatten().collect();
    blast::blast(name, running.id(), address, &ways, || running.stderr());
}

#[test]
fn examples_withstand_a_blast() {
    let folder = tempfile::tempdir().expect("a folder");
    let greeting = folder.path().join("greeting.wav").to_str().expect("a path in UTF-8").to_owned();
    write_wav(&greeting);
    withstands("sipsimple", "answer", |port| vec![port.to_string()], true);
    withstands("sipsimple", "voice_agent", |port| vec![greeting.clone(), port.to_string()], true);
    withstands("sipsimple-sip-core", "answering", |port| vec![format!("127.0.0.1:{port}")], false);
}

/// A second of nothing.
fn write_wav(path: &str) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    (0..16_000).for_each(|_| writer.write_sample(0_i16).expect("a sample"));
    writer.finalize().expect("a file");
}
