//! `sipsimple inspect`: decode files and judge them.

mod capture;
mod events;
mod kinds;

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

pub(crate) use self::events::summary as event_summary;
use crate::arguments::{Inspect, Kind};

/// What is wrong with a file: where, of what kind, and what was expected there.
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) kind: String,
    pub(crate) what: String,
}

/// What a decoder says: a summary, and what is wrong if anything is.
pub(crate) type Judgement = (Value, Option<Fault>);

/// Prints one JSON object for each file, and for each packet of a capture. Exit 1 if any is
/// malformed or cannot be read.
pub(crate) fn run(options: &Inspect) -> ExitCode {
    let mut well = true;
    let mut out = io::BufWriter::new(io::stdout().lock());
    // A reader that has seen enough, as `head`, is no failure.
    let mut print = |object: Value| drop(writeln!(out, "{object}"));
    for path in &options.files {
        match read(path) {
            Ok(data) if options.kind == Kind::Auto && capture::is_capture(&data) => {
                well &= judge_capture(path, &data, &mut print);
            }
            Ok(data) => {
                let kind = if options.kind == Kind::Auto { kinds::guess(&data) } else { options.kind };
                let (summary, fault) = kinds::judge(kind, &data);
                well &= fault.is_none();
                print(line(path, kind, &summary, fault.as_ref()));
            }
            Err(error) => {
                eprintln!("sipsimple: {}: {error}", path.display());
                well = false;
            }
        }
    }
    if options.json {
        print(json!({"name": "exit", "code": u8::from(!well)}));
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Judges what each packet carries; gives back whether all are well.
fn judge_capture(path: &Path, data: &[u8], print: &mut impl FnMut(Value)) -> bool {
    let (packets, cut) = capture::packets(data);
    let mut well = true;
    for packet in capture::messages(packets) {
        let kind = kinds::guess(&packet.payload);
        let (summary, fault) = kinds::judge(kind, &packet.payload);
        well &= fault.is_none();
        let mut object = line(path, kind, &summary, fault.as_ref());
        object["packet"] = json!(packet.number);
        object["from"] = json!(packet.from.to_string());
        object["to"] = json!(packet.to.to_string());
        print(object);
    }
    if cut {
        eprintln!("sipsimple: {}: the capture ends in the middle of a packet", path.display());
    }
    well && !cut
}

fn line(path: &Path, kind: Kind, summary: &Value, fault: Option<&Fault>) -> Value {
    json!({
        "file": path.to_string_lossy(),
        "kind": kinds::name(kind),
        "verdict": if fault.is_some() { "malformed" } else { "ok" },
        "error": fault.map(|fault| json!({"at": fault.at, "kind": fault.kind, "what": fault.what})),
        "summary": summary,
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut data = Vec::new();
        io::stdin().read_to_end(&mut data)?;
        return Ok(data);
    }
    std::fs::read(path)
}
