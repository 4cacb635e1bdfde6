//! `./dev load`: user agents under sipp. How long they take to start, CPU and memory a call, failures, how
//! long a call takes to be answered, and what of the memory comes back.
//!
//! Each subject runs alone on this machine with sipp beside it; CPU and memory are what the system
//! counts for its process and those that it started. What is printed is a table; the same goes
//! as Markdown, with plots, into `target/load/`.

mod generator;
mod plot;
mod probe;
mod process;
mod report;
mod start;
mod subject;

use std::path::{Path, PathBuf};
use std::time::Duration;

use generator::{Generator, Scenario};
use process::{Program, pause};
use report::{Measured, Report, Started};
use subject::Subject;

/// How long after the last call memory has to be back (RFC 3261 keeps transactions for 32 s).
const AFTER: Duration = Duration::from_secs(70);

const USAGE: &str = "\
usage: ./dev load [OPTION ...]

  --short          a few seconds for each of ours, and no peers: what CI runs
  --rates LIST     calls a second, such as 100,1000 [default: 100,500,1000,2000,3000]
  --seconds N      how long each rate lasts [default: 10]
  --only WORDS     subjects whose names have one of these words, such as listen,kamailio
  --starts N       how often each is started, for the time until it answers [default: 20]
  --held N         calls at one time where memory is measured [default: 2000]
  --no-after       do not wait 70 s to see what memory comes back
  --out FOLDER     where the report goes [default: target/load]
  --list           the subjects, and which of them this machine can run";

struct Options {
    rates: Vec<u32>,
    seconds: u32,
    only: Vec<String>,
    held: u32,
    starts: u32,
    after: bool,
    short: bool,
    out: PathBuf,
}

fn main() {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return,
        Err(wrong) => {
            eprintln!("load: {wrong}\n{USAGE}");
            std::process::exit(2);
        }
    };
    let mut report = Report::default();
    for subject in Subject::all() {
        let wanted =
            options.only.is_empty() || options.only.iter().any(|word| subject.name().contains(word.as_str()));
        if !wanted || (options.short && !subject.is_ours()) {
            continue;
        }
        if let Err(missing) = subject.available() {
            println!("{}: left out, {missing}", subject.name());
            report.left_out(subject.name(), &missing);
            continue;
        }
        measure(&subject, &options, &mut report);
    }
    report.write(&options.out).expect("the report can be written");
    println!("\n{report}\nwritten to {}", options.out.display());
    if options.short && report.failures() > 0 {
        eprintln!("load: {} calls failed", report.failures());
        std::process::exit(1);
    }
}

fn measure(subject: &Subject, options: &Options, report: &mut Report) {
    let folder =
        std::env::temp_dir().join(format!("sipsimple-load-{}-{}", std::process::id(), subject.name()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    if options.starts > 0 && subject.answers_options() {
        measure_starts(subject, options.starts, &folder, report);
    }
    let program = Program::start(&mut subject.command(&folder), subject.port(), &folder);
    let generator = Generator { folder: folder.clone(), port: subject.port() };
    // What a first call sets up is not a call's cost.
    generator.run(Scenario::Call { hold: Duration::ZERO }, 20, 40);
    pause(Duration::from_secs(1));
    let base = program.usage();
    println!("{}: {} KiB, {} descriptors at rest", subject.name(), base.memory_kib, base.descriptors);

    let count = if options.short { 50 } else { 1_000 };
    let before = program.usage();
    let outcome = probe::set_up(subject.port(), count);
    add(report, Measured::new(subject.name(), "set-up", probe::RATE, &outcome).cpu(&program, &before));

    // First, as memory that calls gave back inside the process is not counted again.
    let held = options.held.min(subject.most_held());
    if !options.short && held > 0 {
        let before = program.usage();
        let watch = program.watch();
        let outcome =
            generator.run(Scenario::Call { hold: Duration::from_secs(10) }, (held / 8).max(1), held);
        let most = watch.most();
        let mut measured = Measured::new(subject.name(), "held", held, &outcome).cpu(&program, &before);
        measured.memory_kib = most.saturating_sub(before.memory_kib) as f64 / f64::from(held);
        add(report, measured);
    }
    for &rate in options.rates.iter().filter(|rate| **rate <= subject.most()) {
        let before = program.usage();
        let outcome = generator.run(Scenario::Call { hold: Duration::ZERO }, rate, rate * options.seconds);
        let mut measured = Measured::new(subject.name(), "calls", rate, &outcome).cpu(&program, &before);
        let grown = program.usage().memory_kib.saturating_sub(base.memory_kib);
        measured.memory_kib = grown as f64 / f64::from(outcome.done.max(1));
        add(report, measured);
    }
    if subject.answers_options() {
        let (rate, count) = if options.short { (1_000, 2_000) } else { (5_000, 30_000) };
        let before = program.usage();
        let outcome = generator.run(Scenario::Options, rate, count);
        add(report, Measured::new(subject.name(), "OPTIONS", rate, &outcome).cpu(&program, &before));
    }
    if options.after {
        pause(AFTER);
        let later = program.usage();
        report.came_back(subject.name(), &base, &later);
        println!(
            "{}: {} KiB, {} descriptors 70 s after ({} and {} before)",
            subject.name(),
            later.memory_kib,
            later.descriptors,
            base.memory_kib,
            base.descriptors
        );
    }
    // It ends when it is dropped; what it wrote goes with it.
    drop(program);
    let _ = std::fs::remove_dir_all(&folder);
}

fn add(report: &mut Report, measured: Measured) {
    println!("{measured}");
    report.add(measured);
}

/// From when it is executed until it answers: the median, and the longest of them.
fn measure_starts(subject: &Subject, count: u32, folder: &Path, report: &mut Report) {
    let times = start::starts(|| subject.command(folder), subject.port(), folder, count);
    let at = |index: usize| times.get(index).copied().unwrap_or(0.0);
    let started = Started {
        subject: subject.name(),
        count,
        median_ms: at(times.len() / 2),
        longest_ms: at(times.len().saturating_sub(1)),
    };
    println!("{started}");
    report.started(started);
}

fn options() -> Result<Option<Options>, String> {
    let mut options = Options {
        rates: vec![100, 500, 1_000, 2_000, 3_000],
        seconds: 10,
        only: Vec::new(),
        held: 2_000,
        starts: 20,
        after: true,
        short: false,
        out: PathBuf::from("target/load"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<u32>().map_err(|_| format!("{text} is no number"));
        match argument.as_str() {
            "--short" => {
                options.short = true;
                options.after = false;
                options.starts = 5;
                options.rates = vec![300];
                options.seconds = 3;
            }
            "--rates" => {
                options.rates =
                    value()?.split(',').map(|rate| number(rate.to_owned())).collect::<Result<_, _>>()?;
            }
            "--seconds" => options.seconds = number(value()?)?,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--starts" => options.starts = number(value()?)?,
            "--held" => options.held = number(value()?)?,
            "--no-after" => options.after = false,
            "--out" => options.out = value()?.into(),
            "--list" => {
                for subject in Subject::all() {
                    match subject.available() {
                        Ok(()) => println!("{:<16} {}", subject.name(), subject.about()),
                        Err(missing) => println!("{:<16} left out: {missing}", subject.name()),
                    }
                }
                return Ok(None);
            }
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("knows no {argument}")),
        }
    }
    Ok(Some(options))
}
