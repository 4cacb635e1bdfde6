//! Programs under test and their peers: started with their output in files, watched, and
//! ended when the test ends.
#![expect(
    clippy::disallowed_methods,
    reason = "real programs take real time; nothing but this file waits for them"
)]

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long is waited for what comes within moments where nothing else runs. Nothing is judged by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Says that this case is not run, and why. Not by println!, which the test harness keeps to itself: `./dev interop`
/// counts what it reads here.
pub(crate) fn left_out(why: &str) {
    let thread = std::thread::current();
    let case = thread.name().unwrap_or_default();
    // Whoever reads it may have gone.
    let _ = writeln!(std::io::stdout(), "\nLEFT OUT: {case}: {why}");
}

/// A running program. Dropping it kills it, and who runs for it.
pub(crate) struct Running {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts a program with its output in `folder`.
    pub(crate) fn start(command: &mut Command, folder: &Path, name: &str) -> Self {
        Self::start_on(command, folder, name, Stdio::null())
    }

    /// The same with a console that stays open and says nothing: some programs end when theirs does.
    pub(crate) fn start_with_console(command: &mut Command, folder: &Path, name: &str) -> Self {
        Self::start_on(command, folder, name, Stdio::piped())
    }

    fn start_on(command: &mut Command, folder: &Path, name: &str, stdin: Stdio) -> Self {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let file = |path: &Path| Stdio::from(File::create(path).expect("an output file"));
        let child = command.stdin(stdin).stdout(file(&stdout)).stderr(file(&stderr)).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}; run ./dev interop"));
        Self { child, name: name.to_owned(), stdout, stderr }
    }

    /// Its number, for those who look at it or send it a signal.
    #[allow(dead_code, reason = "shared with the tests of examples, which ask for it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits for it to print a word.
    pub(crate) fn wait_for(&self, word: &str) {
        let said = until(PATIENCE, || self.stdout().contains(word) || self.stderr().contains(word));
        assert!(said, "{} never said {word:?}: {}{}", self.name, self.stdout(), self.stderr());
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let mut status = None;
        let ended = until(patience, || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        assert!(ended, "{} still runs after {patience:?}\n{}", self.name, self.stderr());
        status.expect("it ended")
    }

    /// Asks it to end, as a service manager does, and waits.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("a child can be asked") {
            return status;
        }
        assert!(signal("-TERM", &[self.child.id()]), "kill runs");
        self.wait(PATIENCE)
    }

    /// Ends it at once, so that it can tell nobody.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is gone");
    }

    /// Asks it to end and gives all that it printed.
    pub(crate) fn stop(mut self) -> String {
        self.terminate();
        self.stdout() + &self.stderr()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        if let Ok(None) = self.child.try_wait() {
            let workers = workers(self.child.id());
            let _ = self.child.kill();
            signal("-KILL", &workers);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} printed\n{}\n{}", self.name, tail(&self.stdout()), tail(&self.stderr()));
        }
    }
}

/// Whom a process has started, and they: kamailio's outlive it, if it cannot tell them, and keep its ports.
fn workers(process: u32) -> Vec<u32> {
    let children = read(Path::new(&format!("/proc/{process}/task/{process}/children")));
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| [vec![child], workers(child)].concat()).collect()
}

/// Whether all of them got it.
fn signal(name: &str, processes: &[u32]) -> bool {
    let mut command = Command::new("kill");
    command.arg(name).args(processes.iter().map(u32::to_string)).stderr(Stdio::null());
    !processes.is_empty() && command.status().is_ok_and(|status| status.success())
}

/// Lets real time pass.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Tries `done` until it holds; whether it did in time.
pub(crate) fn until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// How many ports belong together: a program that listens for SIP takes up to four, and RTP two.
const BLOCK: u16 = 4;
/// Where blocks begin: below all that Linux gives to those who ask for any port, so nobody else takes one between our
/// asking and the peer's binding.
const BLOCKS: std::ops::Range<u16> = 2_500..5_000;
/// The next block, another one in each process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that nobody uses, and neither the three behind it, for UDP and TCP. No two calls give the same.
pub(crate) fn free_port() -> u16 {
    let first = std::process::id().wrapping_mul(64);
    let blocks = u32::from(BLOCKS.end - BLOCKS.start);
    for _ in 0..blocks {
        let block = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % blocks;
        let port = (BLOCKS.start + u16::try_from(block).expect("fewer blocks than ports")) * BLOCK;
        let is_free =
            |port| UdpSocket::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("0.0.0.0", port)).is_ok();
        if (port..port + BLOCK).all(is_free) {
            return port;
        }
    }
    panic!("every port from {} on is taken", BLOCKS.start * BLOCK);
}

/// Waits until somebody has bound that UDP port. Linux is asked, since to try it would be to take it for a moment;
/// elsewhere what a keep-alive of SIP meets there tells.
pub(crate) fn wait_until_bound(port: u16) {
    let listed =
        || ["udp", "udp6"].iter().any(|kind| takes(&read(Path::new("/proc/net").join(kind).as_path()), port));
    let bound = || if cfg!(target_os = "linux") { listed() } else { !refuses(port) };
    assert!(until(PATIENCE, bound), "nobody has UDP port {port}");
}

/// Whether the system says of a datagram that nobody is there.
fn refuses(port: u16) -> bool {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let kept_alive = socket.connect(("127.0.0.1", port)).and_then(|()| socket.send(b"\r\n\r\n"));
    let answer = kept_alive.and_then(|_| socket.recv(&mut [0; 64]));
    answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Whether this table of Linux, of /proc/net, has a socket at that port that waits for whoever comes: one of TCP
/// that listens, or one of UDP.
pub(crate) fn takes(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        let [_, local, _, state] = words[..] else { return false };
        local.ends_with(&format!(":{port:04X}")) && ["07", "0A"].contains(&state)
    })
}

/// Waits until somebody takes connections at that TCP port.
pub(crate) fn wait_until_connectable(port: u16) {
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(until(PATIENCE, listens), "nobody listens at 127.0.0.1:{port}");
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(4_000);
    let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.split_at(start).1
}
