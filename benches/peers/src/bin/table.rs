//! The table of `benches/README.md`: `cargo run --release --bin table [WORDS]`. The same as a page with plots goes to
//! `target/peers.html`.
//!
//! Times are the best of many short rounds, taken in turn so that a busy machine hurts all alike;
//! allocations are counted; instructions are callgrind's, if valgrind is here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use sip_core::{
    Limits, Message,
    header::{Contact, Route, Via},
};
use sipsimple_benches::sip::{HOSTILE, hostile};
use sipsimple_peers::page::{Row, page};
use sipsimple_peers::{LIMIT, OURS, Work, works};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `System` with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds, and how long one of them takes about, in nanoseconds.
const ROUNDS: usize = 60;
const ROUND: f64 = 100_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let works = works();
    if let [flag, at, times] = arguments.as_slice()
        && flag == "--count"
    {
        let (at, times): (usize, usize) = (at.parse().expect("a number"), times.parse().expect("a number"));
        works[at].time(times);
        return;
    }
    let chosen: Vec<usize> = (0..works.len())
        .filter(|at| arguments.iter().all(|word| works[*at].group.contains(word.as_str())))
        .collect();
    let machine = machine();
    println!("{machine}");
    let measured = measure(&works, &chosen);
    let (mut rows, mut group) = (Vec::new(), "");
    for (at, nanoseconds) in chosen.iter().zip(&measured) {
        let work = &works[*at];
        if work.group != group {
            group = work.group;
            println!("\n| {group} | ns | allocations | instructions | times ours |\n|---|--:|--:|--:|--:|");
        }
        let ours = chosen.iter().position(|one| works[*one].group == group && works[*one].who == OURS);
        let ratio = ours.map_or(f64::NAN, |ours| nanoseconds / measured[ours]);
        let instructions = instructions(*at);
        rows.push(Row { group, who: work.who, nanoseconds: *nanoseconds, instructions });
        let instructions = instructions.map_or("?".to_owned(), thousands);
        let ratio = if work.who == LIMIT { String::new() } else { format!("{ratio:.1}") };
        println!("| {} | {nanoseconds:.0} | {} | {instructions} | {ratio} |", work.who, allocations(work));
    }
    if arguments.is_empty() {
        growth();
    }
    let folder = std::env::var("CARGO_TARGET_DIR").unwrap_or("target".to_owned());
    let file = std::path::Path::new(&folder).join("peers.html");
    match std::fs::write(&file, page(&machine, &rows)) {
        Ok(()) => println!("\nplots: {}", file.display()),
        Err(error) => eprintln!("{}: {error}", file.display()),
    }
}

/// Processor, compiler and day, as far as this system tells.
fn machine() -> String {
    let told = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (rustc, day) = (told("rustc", &["--version"]), told("date", &["-u", "+%F"]));
    let unknown = || "unknown".to_owned();
    format!(
        "{}: {} cores of {}, {}",
        day.unwrap_or_else(unknown),
        cores,
        model.unwrap_or("an unknown processor"),
        rustc.unwrap_or_else(unknown)
    )
}

/// Nanoseconds of each, in turn.
fn measure(works: &[Work], chosen: &[usize]) -> Vec<f64> {
    let once = |work: &Work, times: usize| work.time(times).as_nanos() as f64 / times as f64;
    let times: Vec<usize> =
        chosen.iter().map(|at| (ROUND / once(&works[*at], 200).max(1.0)).ceil() as usize).collect();
    let mut best = vec![f64::MAX; chosen.len()];
    for _ in 0..ROUNDS {
        for ((at, times), best) in chosen.iter().zip(&times).zip(&mut best) {
            *best = best.min(once(&works[*at], *times));
        }
    }
    best
}

fn allocations(work: &Work) -> u64 {
    work.ready();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (work.run)();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// What 500 more of it cost, divided.
fn instructions(at: usize) -> Option<u64> {
    let count = |times: usize| {
        let out = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args(["--count", &at.to_string(), &times.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        text.lines().find_map(|line| line.split("Collected :").nth(1))?.trim().parse::<u64>().ok()
    };
    Some((count(600)?.checked_sub(count(100)?)?) / 500)
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Hostile sizes: 64 KiB may cost at most 2.5 times of 32 KiB.
fn growth() {
    println!("\n| hostile | 32 KiB, µs | 64 KiB, µs | times |\n|---|--:|--:|--:|");
    let limits = Limits { fields: 100_000, vias: 100_000, line: 1 << 20, head: 1 << 20, ..Limits::default() };
    for (name, head, piece, count) in HOSTILE {
        let [half, whole] = [count / 2, count].map(|count| {
            let bytes = Bytes::from(hostile(head, piece, count));
            let rounds = (0..40).map(|_| {
                let start = Instant::now();
                let message = Message::parse(bytes.clone(), &limits).expect("a start line");
                let headers = message.headers();
                std::hint::black_box((
                    message.validate().is_ok(),
                    headers.all::<Contact>().count(),
                    headers.all::<Via>().count(),
                    headers.all::<Route>().count(),
                ));
                drop(message);
                start.elapsed().as_nanos() as f64 / 1000.0
            });
            rounds.fold(f64::MAX, f64::min)
        });
        println!("| {name} | {half:.0} | {whole:.0} | {:.2} |", whole / half);
    }
}
