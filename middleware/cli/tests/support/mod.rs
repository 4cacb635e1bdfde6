//! A running program whose lines are read, and a registrar to register with.
#![expect(clippy::disallowed_methods, reason = "real programs take real time, and it is waited for")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use sip_core::usage::{Registrar as Machine, RegistrarConfig};

const PASSWORD: &str = "alice's secret";
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether a program has ended, and how long that may take where the machine does not stand still.
const STEP: Duration = Duration::from_millis(10);
const STILL: Duration = Duration::from_millis(100);

/// The program, with settings of nobody.
pub(crate) fn sipsimple() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipsimple"));
    command
        .env_remove("SIPSIMPLE_CONFIG")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("SIP_PASSWORD", PASSWORD)
        .stdin(Stdio::null());
    command
}

/// A program that runs; dropping it ends it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Value>,
    errors: Arc<Mutex<String>>,
    seen: Vec<Value>,
    /// Seen, and not yet waited for.
    waiting: VecDeque<Value>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(&[], arguments)
    }

    /// With these variables in its environment.
    pub(crate) fn start_with(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut child = sipsimple()
            .envs(environment.iter().copied())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (kept, stderr) = (errors.clone(), BufReader::new(child.stderr.take().expect("a pipe")));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("nobody panicked");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child, lines, errors, seen: Vec::new(), waiting: VecDeque::new() }
    }

    /// Waits for a notification; those before it are passed over.
    pub(crate) fn wait_for(&mut self, name: &str) -> Value {
        let limit = Instant::now() + PATIENCE;
        loop {
            while let Some(value) = self.waiting.pop_front() {
                if value["name"] == name {
                    return value;
                }
            }
            let left = limit.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) => {
                    self.seen.push(value.clone());
                    self.waiting.push_back(value);
                }
                Err(_) => panic!("no {name} in {:#?}; {}", self.seen, self.errors()),
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    pub(crate) fn errors(&self) -> String {
        self.errors.lock().expect("nobody panicked").clone()
    }

    /// Waits for its end; its exit code and all that it said, on stderr and as lines.
    pub(crate) fn finish_with_all(self, within: Duration) -> (Option<i32>, String) {
        let errors = self.errors.clone();
        let (code, lines) = self.finish(within);
        let said: String = lines.iter().map(|line| format!("{line}\n")).collect();
        (code, errors.lock().expect("nobody panicked").clone() + &said)
    }

    /// Waits for its end; its exit code and all its lines. What the machine stands still for meanwhile is no time that
    /// the program takes.
    pub(crate) fn finish(mut self, within: Duration) -> (Option<i32>, Vec<Value>) {
        let mut left = within;
        loop {
            let begun = Instant::now();
            // The lines end with the program.
            match self.lines.recv_timeout(STEP.min(left)) {
                Ok(value) => self.seen.push(value),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => assert!(
                    !left.is_zero(),
                    "not done within {within:?}: {:#?}; {}",
                    self.seen,
                    self.errors()
                ),
            }
            left = left.saturating_sub(begun.elapsed().min(STILL));
        }
        let status = self.child.wait().expect("it was started");
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sipsimple listen` on a port of its own.
pub(crate) struct Listener {
    pub(crate) running: Running,
    port: u16,
}

impl Listener {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(&[], options)
    }

    /// With these variables in its environment.
    pub(crate) fn start_with(environment: &[(&str, &str)], options: &[&str]) -> Self {
        let mut arguments =
            vec!["listen", "--bind", "127.0.0.1", "--port", "0", "--device", "null", "--json"];
        arguments.extend(options);
        let running = Running::start_with(environment, &arguments);
        let limit = Instant::now() + PATIENCE;
        let port = loop {
            let errors = running.errors();
            let told = errors.lines().find_map(|line| line.strip_prefix("listening on 127.0.0.1:"));
            if let Some(port) = told.and_then(|rest| rest.split(' ').next()?.parse().ok()) {
                break port;
            }
            assert!(Instant::now() < limit, "it does not listen: {errors}");
            std::thread::yield_now();
        };
        Self { running, port }
    }

    /// Of UDP and TCP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:bob@127.0.0.1:{}", self.port)
    }
}

/// A registrar that knows alice, and keeps what was asked of it.
pub(crate) struct Registrar {
    port: u16,
    expires: Arc<Mutex<Vec<u32>>>,
}

impl Registrar {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        let expires = Arc::new(Mutex::new(Vec::new()));
        let seen = expires.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut machine = Machine::new(
                RegistrarConfig::new("test.example").user("alice", PASSWORD),
                address,
                Instant::now(),
                [7; 32],
            );
            let mut buffer = [0; 65_536];
            while let Ok((length, source)) = socket.recv_from(&mut buffer) {
                let data = Bytes::copy_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&data).to_ascii_lowercase();
                if text.starts_with("register ") {
                    let asked =
                        text.lines().find_map(|line| line.strip_prefix("expires:")?.trim().parse().ok());
                    seen.lock().expect("nobody panicked").extend::<Option<u32>>(asked);
                }
                machine.handle_datagram(Instant::now(), source, data);
                while let Some((target, data)) = machine.poll_transmit() {
                    socket.send_to(&data, target).expect("the loopback interface takes it");
                }
            }
        });
        Self { port: address.port(), expires }
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:127.0.0.1:{}", self.port)
    }

    /// The lifetimes that were asked for, in order, retransmissions left out.
    pub(crate) fn expires(&self) -> Vec<u32> {
        let mut seen = self.expires.lock().expect("nobody panicked").clone();
        seen.dedup();
        seen
    }
}
