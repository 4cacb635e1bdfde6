//! `sipsimple inspect`: decode files and judge them.

mod events;
mod kinds;

use std::io::{self, Read};
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

/// Prints one JSON object for each file. Exit 1 if any is malformed or cannot be read.
pub(crate) fn run(options: &Inspect) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in &options.files {
        match read(path) {
            Ok(data) => {
                let kind = if options.kind == Kind::Auto { kinds::guess(&data) } else { options.kind };
                let (summary, fault) = kinds::judge(kind, &data);
                if fault.is_some() {
                    code = ExitCode::FAILURE;
                }
                println!("{}", line(path, kind, &summary, fault.as_ref()));
            }
            Err(error) => {
                eprintln!("sipsimple: {}: {error}", path.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
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
