//! The `sipsimple` program, driven by its command line and its JSON lines.

use std::ffi::OsString;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{PATIENCE, Running, free_port, until};

/// One line that the program printed.
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) sender: String,
    pub(crate) data: Value,
}

/// All of them.
pub(crate) struct Events(Vec<Event>);

impl Events {
    pub(crate) fn read(stdout: &str) -> Self {
        let events = stdout.lines().map(|line| {
            let value: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in a line of --json: {line}"));
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            Event { name: text("name"), sender: text("sender"), data: value["data"].clone() }
        });
        Self(events.collect())
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.0.iter().filter(move |event| event.name == name)
    }

    /// These are there, in this order, among others, and the last line is `exit`.
    pub(crate) fn expect_in_order(&self, names: &[&str]) {
        let all: Vec<&str> = self.0.iter().map(|event| event.name.as_str()).collect();
        let mut rest = all.iter();
        for name in names {
            assert!(rest.any(|seen| seen == name), "no {name}, or not in its place, in {all:#?}");
        }
        assert_eq!(all.last(), Some(&"exit"), "the last line");
    }
}

/// `sipsimple call`, to its end, which must be a good one.
pub(crate) fn call(uri: &str, options: &[&str]) -> Events {
    call_in(uri, options, &[])
}

/// The same in an environment.
pub(crate) fn call_in(uri: &str, options: &[&str], environment: &[(&'static str, String)]) -> Events {
    let (mut running, _folder) = call_with(uri, &[&["--device", "null"], options].concat(), environment);
    let status = running.wait(Duration::from_secs(120));
    let errors = running.stderr();
    assert!(status.success(), "call ended with {status}: {errors}");
    assert!(!errors.contains("panicked at"), "{errors}");
    Events::read(&running.stdout())
}

/// `sipsimple call`, left to itself; it is ended when what comes back is dropped.
pub(crate) fn call_in_background(uri: &str, options: &[&str]) -> (Running, TempDir) {
    call_with(uri, &[&["--device", "null"], options].concat(), &[])
}

/// The same with what the options say for a sound device, and an environment.
pub(crate) fn call_with(
    uri: &str,
    options: &[&str],
    environment: &[(&'static str, String)],
) -> (Running, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(program());
    command
        .args(["call", uri, "--bind", "127.0.0.1", "--port", "0", "--json"])
        .args(options)
        .envs(environment.iter().cloned());
    let running = Running::start(&mut command, folder.path(), "call");
    (running, folder)
}

/// A running `sipsimple listen`.
pub(crate) struct Listen {
    running: Running,
    port: u16,
    _folder: TempDir,
}

impl Listen {
    /// Starts it on a port of its own and waits until it answers.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(&[&["--device", "null"], options].concat(), &[])
    }

    /// The same with what the options say for a sound device, and an environment.
    pub(crate) fn start_with(options: &[&str], environment: &[(&'static str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(program());
        command
            .args(["listen", "--bind", "127.0.0.1", "--port", &port.to_string(), "--json"])
            .args(options)
            .envs(environment.iter().cloned());
        let running = Running::start(&mut command, folder.path(), "listen");
        let ready = until(PATIENCE, || answers_options(port));
        assert!(ready, "listen does not answer OPTIONS: {}", running.stderr());
        Self { running, port, _folder: folder }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it takes WebSockets, with `--transport ws` among others.
    pub(crate) fn web_socket_port(&self) -> u16 {
        self.port + 2
    }

    /// How many sessions have come in so far.
    pub(crate) fn begins(&self) -> usize {
        self.count("SCSessionNewIncoming")
    }

    /// How many notifications of that name there are so far.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.running.stdout().matches(&format!("\"{name}\"")).count()
    }

    /// Ends it at once, with all its calls.
    pub(crate) fn kill(mut self) {
        self.running.kill();
    }

    /// How many sessions have ended so far.
    pub(crate) fn ends(&self) -> usize {
        self.count("SCSessionDidEnd")
    }

    pub(crate) fn wait_for_ends(&self, count: usize) -> bool {
        until(PATIENCE, || self.ends() >= count)
    }

    /// Ends it as a service manager does: it leaves with 0, without having panicked.
    pub(crate) fn stop(mut self) -> Events {
        assert!(until(PATIENCE, || answers_options(self.port)), "listen is still alive");
        let status = self.running.terminate();
        let errors = self.running.stderr();
        assert!(status.success(), "listen ended with {status}: {errors}");
        assert!(!errors.contains("panicked at"), "{errors}");
        Events::read(&self.running.stdout())
    }
}

pub(crate) fn program() -> OsString {
    std::env::var_os("SIPSIMPLE").expect("SIPSIMPLE names the built program; ./dev interop sets it")
}

fn answers_options(port: u16) -> bool {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let own = socket.local_addr().expect("a bound socket");
    let request = format!(
        "OPTIONS sip:listen@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK{0}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:interop@127.0.0.1>;tag={0}\r\nTo: <sip:listen@127.0.0.1>\r\n\
         Call-ID: {0}@interop\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        own.port()
    );
    let mut answer = [0; 2_048];
    socket.send_to(request.as_bytes(), ("127.0.0.1", port)).is_ok()
        && socket.recv(&mut answer).is_ok()
        && answer.starts_with(b"SIP/2.0 ")
}
