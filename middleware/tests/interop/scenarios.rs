//! Another user agent's own scenarios for sipp, played against our program as they are. They are its
//! authors' and stay where they came from: this is left out, aloud, where they are not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{PATIENCE, Running, free_port, left_out, wait_until_bound};
use crate::program::{self, Listen};

/// sipp calls, and we answer.
const CALLED: [&str; 6] = [
    "uac-inv-and-ack-without-sdp",
    "uac-inv-multiple-require",
    "uac-message-no-body",
    "uac-norefersub-disabled",
    "uac-options",
    "uac-reinvite-port-0-bad-sdp",
];

/// We call, and sipp answers.
const CALLING: [&str; 4] =
    ["uas-answer-200-inv-without-sdp", "uas-inv-answered-with-srtp", "uas-reinv-no-media", "uas-template"];

/// We call, sipp answers, and it takes 90 s: the shortest interval of session timers.
const TIMED: [&str; 2] = ["uas-timer-reinvite", "uas-timer-update"];

/// Those that need no console of the other user agent and are not played, and why.
const LEFT_OUT: [(&str, &str); 13] = [
    ("uac-norefersub", "Supported has norefersub where REFER is taken, which the program does not"),
    ("uac-subscribe", "we are no presence server"),
    ("uac-ticket-1864-scenario1", "the second offer drops an m-line, which RFC 3264 §8 forbids: 488"),
    ("uac-ticket-1864-scenario2", "the second offer drops an m-line, which RFC 3264 §8 forbids: 488"),
    ("uas-answer-180-multiple-fmts", "wants a re-INVITE that leaves one codec: that user agent's habit"),
    ("uas-answer-180-multiple-fmts-support-update", "wants an UPDATE that leaves one codec: its habit"),
    ("uas-answer-200-multiple-fmts", "wants a re-INVITE that leaves one codec: that user agent's habit"),
    ("uas-answer-200-multiple-fmts-support-update", "wants an UPDATE that leaves one codec: its habit"),
    ("uas-auth", "its challenge has no nonce (RFC 7616 §3.3): there is nothing to answer with"),
    ("uas-mwi", "subscribes at start, by an option of that user agent"),
    ("uas-mwi-0", "subscribes at start, by an option of that user agent"),
    ("uas-register-ip-change-port-only", "registers anew for another port in Via: that user agent's habit"),
    (
        "uas-reinv-and-ack-without-sdp",
        "the peer has no tag in its 200 and one in its re-INVITE: another dialog",
    ),
];

#[test]
#[ignore = "needs sipp: ./dev interop"]
fn scenarios_of_another_user_agent_that_call_us() {
    let Some(scenarios) = scenarios() else { return };
    for name in CALLED {
        let listen = Listen::start(&[]);
        let target = format!("127.0.0.1:{}", listen.port());
        play(&scenarios, name, &target, free_port()).finish(PATIENCE);
        listen.stop();
    }
    for (name, why) in LEFT_OUT {
        println!("LEFT OUT: {name}: {why}");
    }
}

#[test]
#[ignore = "needs sipp: ./dev interop"]
fn scenarios_of_another_user_agent_that_we_call() {
    let Some(scenarios) = scenarios() else { return };
    for name in CALLING {
        let port = free_port();
        let sipp = play(&scenarios, name, "127.0.0.1:9", port);
        wait_until_bound(port);
        // How the call ends is the scenario's business, and it is judged by sipp.
        let _call = program::call_in_background(&format!("sip:127.0.0.1:{port}"), &["--seconds", "10"]);
        sipp.finish(PATIENCE);
    }
}

#[test]
#[ignore = "needs sipp, and 90 seconds: ./dev interop"]
fn scenarios_of_another_user_agent_with_session_timers() {
    let Some(scenarios) = scenarios() else { return };
    let playing: Vec<_> = TIMED
        .iter()
        .map(|name| {
            let port = free_port();
            let sipp = play(&scenarios, name, "127.0.0.1:9", port);
            wait_until_bound(port);
            let call = program::call_in_background(&format!("sip:127.0.0.1:{port}"), &["--seconds", "120"]);
            (sipp, call)
        })
        .collect();
    for (sipp, _call) in playing {
        sipp.finish(Duration::from_secs(180));
    }
}

/// A scenario that sipp plays.
pub(crate) struct Playing {
    name: String,
    running: Running,
    _folder: tempfile::TempDir,
}

impl Playing {
    /// It has to come to its end without a surprise.
    pub(crate) fn finish(mut self, patience: Duration) {
        let status = self.running.wait(patience);
        assert!(status.success(), "{}: sipp ended with {status}", self.name);
        println!("played: {}", self.name);
    }
}

/// Has sipp play one of this folder, once.
pub(crate) fn play(scenarios: &Path, name: &str, target: &str, port: u16) -> Playing {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("sipp");
    command
        .current_dir(folder.path())
        .env("TERM", "dumb")
        .arg("-sf")
        .arg(scenarios.join(format!("{name}.xml")));
    command.args([target, "-i", "127.0.0.1", "-p", &port.to_string(), "-m", "1", "-nostdin"]);
    command.args(["-timeout", "170s", "-timeout_error", "-trace_err"]);
    let running = Running::start(&mut command, folder.path(), name);
    Playing { name: name.to_owned(), running, _folder: folder }
}

/// The folder of the scenarios, beside the project.
fn scenarios() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/blackbox-pjsua/sipp");
    if folder.is_dir() {
        return Some(folder);
    }
    left_out(&format!("{} is not there", folder.display()));
    None
}
