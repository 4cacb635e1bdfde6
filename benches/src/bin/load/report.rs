//! What was measured, as a table and as plots.

use std::fmt::{self, Write};
use std::path::Path;
use std::{fs, io};

use crate::generator::Outcome;
use crate::plot::{Line, plot};
use crate::process::{Program, Usage};

/// One measurement.
pub(crate) struct Measured {
    pub(crate) subject: &'static str,
    /// `calls`, `OPTIONS`, `held`: calls at one time, or `set-up`: one call after the other, timed in µs
    /// (sipp counts whole ms).
    pub(crate) what: &'static str,
    /// A second; for `held`, how many at one time.
    pub(crate) rate: u32,
    pub(crate) count: u32,
    pub(crate) failed: u32,
    pub(crate) repeated: u32,
    /// CPU a call or request, in µs.
    pub(crate) cpu_us: f64,
    /// From the request to the final response, in ms.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Memory a call right after, transactions included; for `held`, while they are there.
    pub(crate) memory_kib: f64,
}

impl Measured {
    pub(crate) fn new(subject: &'static str, what: &'static str, rate: u32, outcome: &Outcome) -> Self {
        Self {
            subject,
            what,
            rate,
            count: outcome.done + outcome.failed,
            failed: outcome.failed,
            repeated: outcome.repeated,
            cpu_us: 0.0,
            p50_ms: outcome.percentile(0.50),
            p99_ms: outcome.percentile(0.99),
            memory_kib: 0.0,
        }
    }

    /// With what the program has used since `before`, shared among the calls.
    pub(crate) fn cpu(mut self, program: &Program, before: &Usage) -> Self {
        self.cpu_us = program.usage().cpu_since(before) / f64::from(self.count.max(1));
        self
    }
}

/// How long it took to start.
pub(crate) struct Started {
    pub(crate) subject: &'static str,
    pub(crate) count: u32,
    /// From when it was executed until it answered, in ms.
    pub(crate) median_ms: f64,
    pub(crate) longest_ms: f64,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, count, median_ms, longest_ms } = self;
        write!(f, "{subject:<10} start, ms {median_ms:>6.1} median of {count}, {longest_ms:.1} at most")
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, what, rate, count, failed, repeated, cpu_us, p50_ms, p99_ms, memory_kib } = self;
        write!(
            f,
            "{subject:<10} {what:<8} {rate:>6} {count:>7} {failed:>7} {repeated:>7} {cpu_us:>9.1} {p50_ms:>7.2} {p99_ms:>7.2} {memory_kib:>8.1}"
        )
    }
}

/// A plot: its file, its title, and what it shows.
type Figure = (&'static str, &'static str, fn(&Measured) -> f64);

const HEAD: &str = "subject    what      rate   count  failed  resent  CPU µs a   p50 ms  p99 ms KiB a call";

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Report {
    started: Vec<Started>,
    measured: Vec<Measured>,
    after: Vec<String>,
    left_out: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    pub(crate) fn started(&mut self, started: Started) {
        self.started.push(started);
    }

    /// What was there before the calls, and 70 s after the last.
    pub(crate) fn came_back(&mut self, subject: &str, before: &Usage, after: &Usage) {
        let within = after.memory_kib <= before.memory_kib + (before.memory_kib / 10).max(8 * 1_024);
        let verdict = if within && after.descriptors <= before.descriptors { "back" } else { "NOT back" };
        self.after.push(format!(
            "{subject}: {} KiB and {} descriptors before, {} and {} 70 s after: {verdict}",
            before.memory_kib, before.descriptors, after.memory_kib, after.descriptors
        ));
    }

    pub(crate) fn left_out(&mut self, subject: &str, why: &str) {
        self.left_out.push(format!("{subject}: left out, {why}"));
    }

    /// Calls of ours that failed.
    pub(crate) fn failures(&self) -> u32 {
        self.measured.iter().map(|measured| measured.failed).sum()
    }

    /// Writes `load.md` and the plots.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut text = String::from("# Under load\n\n");
        text += "| subject | start, ms: median | longest | starts |\n|---|--:|--:|--:|\n";
        for Started { subject, count, median_ms, longest_ms } in &self.started {
            // Writing to memory does not fail.
            let _ = writeln!(text, "| {subject} | {median_ms:.1} | {longest_ms:.1} | {count} |");
        }
        text += "\n| subject | what | rate | count | failed | sent again | CPU µs | p50 ms | p99 ms | KiB a call |\n";
        text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
        for Measured { subject, what, rate, count, failed, repeated, cpu_us, p50_ms, p99_ms, memory_kib } in
            &self.measured
        {
            let _ = writeln!(
                text,
                "| {subject} | {what} | {rate} | {count} | {failed} | {repeated} | {cpu_us:.1} | {p50_ms:.2} | {p99_ms:.2} | {memory_kib:.1} |"
            );
        }
        text += "\n";
        for line in self.after.iter().chain(&self.left_out) {
            let _ = writeln!(text, "- {line}");
        }
        fs::write(folder.join("load.md"), text)?;
        let figures: [Figure; 3] = [
            ("cpu.svg", "CPU a call, µs", |m| m.cpu_us),
            ("latency.svg", "INVITE to 200, p99, ms", |m| m.p99_ms),
            ("memory.svg", "memory a call right after, KiB", |m| m.memory_kib),
        ];
        for (file, title, value) in figures {
            fs::write(folder.join(file), plot(title, "calls a second", &self.lines(value)))?;
        }
        Ok(())
    }

    fn lines(&self, value: fn(&Measured) -> f64) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for measured in self.measured.iter().filter(|measured| measured.what == "calls") {
            let point = (f64::from(measured.rate), value(measured));
            match lines.iter_mut().find(|line| line.name == measured.subject) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name: measured.subject, points: vec![point] }),
            }
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for started in &self.started {
            writeln!(f, "{started}")?;
        }
        writeln!(f, "{HEAD}")?;
        for measured in &self.measured {
            writeln!(f, "{measured}")?;
        }
        for line in self.after.iter().chain(&self.left_out) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}
