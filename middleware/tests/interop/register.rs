//! `sipsimple register` and others that stay, running, and the JSON that it prints.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Running, until};
use crate::program::program;

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "secret";

/// A running `sipsimple register`, or another that stays until it is ended.
pub(crate) struct Register {
    running: Running,
    verb: &'static str,
    _folder: TempDir,
}

impl Register {
    /// Starts it on a port of the system's choice.
    pub(crate) fn start(from: &str, password: Option<&str>, options: &[&str]) -> Self {
        Self::of("register", from, password, options)
    }

    /// Starts another command.
    pub(crate) fn of(verb: &'static str, from: &str, password: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program());
        command.args([verb, "--from", from, "--bind", "127.0.0.1", "--port", "0", "--json"]).args(options);
        if let Some(password) = password {
            command.env("SIP_PASSWORD", password).args(["--password-env", "SIP_PASSWORD"]);
        }
        let running = Running::start(&mut command, folder.path(), verb);
        Self { running, verb, _folder: folder }
    }

    /// The notifications of that name, so far: what they say.
    pub(crate) fn named(&self, name: &str) -> Vec<Value> {
        let stdout = self.running.stdout();
        // The last line may be half written.
        let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|value| value["name"] == name)
            .map(|value| value["data"].clone())
            .collect()
    }

    /// Waits for the `count`th success; what it says.
    pub(crate) fn success(&self, count: usize, patience: Duration) -> Value {
        self.count("SCRegistrationDidSucceed", count, patience)
    }

    /// Waits for the `count`th notification of that name; what it says.
    pub(crate) fn count(&self, name: &str, count: usize, patience: Duration) -> Value {
        let there = until(patience, || self.named(name).len() >= count);
        let found = self.named(name);
        assert!(there, "{} {name} of {count} in {patience:?}: {}", found.len(), self.running.stdout());
        found[count - 1].clone()
    }

    /// Asks it to end: it unregisters and leaves with 0.
    pub(crate) fn stop(mut self) -> String {
        let status = self.running.terminate();
        let (stdout, stderr) = (self.running.stdout(), self.running.stderr());
        assert!(status.success(), "{} ended with {status}: {stderr}\n{stdout}", self.verb);
        assert!(!stderr.contains("panicked at"), "{stderr}");
        assert!(stdout.contains("DidEnd\""), "{stdout}");
        stdout
    }
}
