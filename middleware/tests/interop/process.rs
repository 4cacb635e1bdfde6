//! Programs under test and their peers: started with their output in files, watched, and
//! ended when the test ends.
#![expect(
    clippy::disallowed_methods,
    reason = "real programs take real time; nothing but this file waits for them"
)]

use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Says that this case is not run, and why. Not by println!, which the test harness keeps to itself: `./dev interop`
/// counts what it reads here.
pub(crate) fn left_out(why: &str) {
    let thread = std::thread::current();
    let case = thread.name().unwrap_or_default();
    // Whoever reads it may have gone.
    let _ = writeln!(std::io::stdout(), "\nLEFT OUT: {case}: {why}");
}

/// A running program. Dropping it kills it.
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

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
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
    pub(crate) fn terminate(&mut self, patience: Duration) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("a child can be asked") {
            return status;
        }
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill runs");
        self.wait(patience)
    }

    /// Ends it at once, so that it can tell nobody.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is gone");
    }

    /// Asks it to end and gives all that it printed.
    pub(crate) fn stop(mut self, patience: Duration) -> String {
        self.terminate(patience);
        self.stdout() + &self.stderr()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} printed\n{}\n{}", self.name, tail(&self.stdout()), tail(&self.stderr()));
        }
    }
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

/// A port that nobody uses, for UDP and most likely for TCP.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.local_addr().expect("a bound socket").port()
}

/// Waits until somebody has bound that UDP port. Linux is asked, since to try it would be to take it for a moment.
pub(crate) fn wait_until_bound(port: u16) {
    let is_bound = |table: &str| {
        let local =
            |line: &str| line.split_whitespace().nth(1)?.rsplit_once(':').map(|(_, port)| port.to_owned());
        read(Path::new(table)).lines().filter_map(local).any(|bound| bound == format!("{port:04X}"))
    };
    let bound = || is_bound("/proc/net/udp") || is_bound("/proc/net/udp6");
    assert!(until(Duration::from_secs(10), bound), "nobody has UDP port {port}");
}

/// Waits until somebody takes connections at that TCP port.
pub(crate) fn wait_until_connectable(port: u16) {
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(until(Duration::from_secs(10), listens), "nobody listens at 127.0.0.1:{port}");
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(4_000);
    let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.split_at(start).1
}
