//! `sipsimple doctor`: what works, what does not, and what to do about it.

mod candidates;
mod here;
mod nat;
mod servers;

use std::sync::Arc;

use serde_json::json;

use crate::Failure;
use crate::arguments::Doctor;
use crate::leave::Leave;
use crate::output::{Output, printable};

/// How a check came out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It works.
    Ok,
    /// It works, but not all that one may want of it.
    Warning,
    /// It does not work.
    Failed,
    /// There was nothing to check.
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    what: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
            Verdict::Skipped => "skipped",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Verdict::Ok => "\x1b[32m",
            Verdict::Warning => "\x1b[33m",
            Verdict::Failed => "\x1b[1;31m",
            Verdict::Skipped => "\x1b[2m",
        }
    }
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), advice: None }
    }

    fn with(
        check: &'static str,
        verdict: Verdict,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { check, verdict, what: what.into(), advice: Some(advice.into()) }
    }

    fn tell(&self, output: &Output) {
        let Finding { check, verdict, what, advice } = self;
        let object = json!({
            "name": "check", "check": check, "verdict": verdict.name(), "what": what, "advice": advice,
        });
        let (begin, end) = if output.has_colour() { (verdict.colour(), "\x1b[0m") } else { ("", "") };
        let mut text = format!("{begin}{:<8}{end} {check:<13} {}", verdict.name(), printable(what));
        if let Some(advice) = advice {
            text.push_str(&format!("\n{:>24}{}", "→ ", printable(advice)));
        }
        output.answer(&object, &text);
    }
}

pub(crate) async fn run(options: Doctor, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let mut failed = Vec::new();
    let mut tell = |findings: Vec<Finding>| {
        for finding in findings {
            finding.tell(output);
            if finding.verdict == Verdict::Failed && !failed.contains(&finding.check) {
                failed.push(finding.check);
            }
        }
    };
    let checks = async {
        tell(here::settings(&options.common));
        tell(here::network());
        tell(here::ports(&options.common).await);
        tell(here::codecs());
        tell(here::audio().await);
        tell(nat::stun(&options).await);
        tell(candidates::all(&options).await);
        tell(servers::all(&options).await);
    };
    tokio::select! {
        () = checks => {}
        () = leave.asked() => return Err(Failure::Failed("interrupted".to_owned())),
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(Failure::Failed(format!("{} does not work", failed.join(", ")))),
    }
}
