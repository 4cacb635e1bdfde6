//! Programs under test: started, and what the system counts for them.
#![expect(clippy::disallowed_methods, reason = "real programs take real time; nothing but this file waits")]

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The unit in which the system counts a process's time, in µs: USER_HZ is 100 wherever Linux runs.
const TICK_US: f64 = 10_000.0;

/// A running program. Dropping it ends it, and those that it started.
pub(crate) struct Program {
    child: Child,
}

/// What the system counts for a program and all that it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time, in µs.
    cpu_us: f64,
    /// Memory that it has written to and that is its own, in KiB; its code, which the system may drop, is not counted.
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: usize,
}

impl Usage {
    /// The time used since then, in µs.
    pub(crate) fn cpu_since(&self, before: &Self) -> f64 {
        self.cpu_us - before.cpu_us
    }
}

impl Program {
    /// Starts it, and waits until somebody has bound the UDP port.
    pub(crate) fn start(command: &mut Command, port: u16, folder: &Path) -> Self {
        let log = File::create(folder.join("subject.log")).expect("a log can be written");
        let program = Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log));
        let begin = Instant::now();
        while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{command:?} does not bind {port}");
            pause(Duration::from_millis(20));
        }
        pause(Duration::from_millis(500));
        program
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")) }
    }

    /// Ends it and those that it started without asking: some take seconds to leave.
    pub(crate) fn end_now(mut self) {
        let mut all = descendants(self.child.id());
        all.push(self.child.id());
        for id in all {
            let _ = Command::new("kill").arg("-KILL").arg(id.to_string()).status();
        }
        let _ = self.child.wait();
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(self.child.id())
    }

    /// Looks at its memory until the most is asked for.
    pub(crate) fn watch(&self) -> Watch {
        let (id, most, done) = (self.child.id(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, stop) = (most.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(usage(id).memory_kib, Ordering::Relaxed);
                pause(Duration::from_millis(100));
            }
        });
        Watch { most, done, thread }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            pause(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who looks at a program's memory.
pub(crate) struct Watch {
    most: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// The most that was seen, in KiB.
    pub(crate) fn most(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().expect("looking does not panic");
        self.most.load(Ordering::Relaxed)
    }
}

/// Runs a command to its end, with its output in files of `folder`; kills it after `patience`.
pub(crate) fn run(command: &mut Command, folder: &Path, patience: Duration) -> Option<ExitStatus> {
    let file = |name| File::create(folder.join(name)).expect("an output can be written");
    let child = command.stdin(Stdio::null()).stdout(file("run.out")).stderr(file("run.err")).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let begin = Instant::now();
    while begin.elapsed() < patience {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        pause(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn usage(id: u32) -> Usage {
    let mut sum = one(id);
    for child in children(id) {
        let its = usage(child);
        sum.cpu_us += its.cpu_us;
        sum.memory_kib += its.memory_kib;
        sum.descriptors += its.descriptors;
    }
    sum
}

fn one(id: u32) -> Usage {
    let read = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
    // The name in parentheses may hold anything; fields count from behind it (proc(5)).
    let stat = read("stat");
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let memory = read("smaps_rollup");
    let kib = |name: &str| {
        let line = memory.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let memory_kib = kib("Private_Dirty:").unwrap_or(0);
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
    Usage { cpu_us: (ticks(11) + ticks(12)) * TICK_US, memory_kib, descriptors }
}

fn descendants(id: u32) -> Vec<u32> {
    children(id).into_iter().flat_map(|child| [descendants(child), vec![child]].concat()).collect()
}

fn children(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}
