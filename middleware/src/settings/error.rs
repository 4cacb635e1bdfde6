//! What is wrong with a setting.

use std::fmt;
use std::path::{Path, PathBuf};

/// A setting that is not what it must be, or a file that cannot be read or written.
///
/// Values of secret settings are not in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// Where it came from.
    pub origin: Origin,
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// The key, such as `rtp.use_srtp`; empty where it is not about one.
    pub key: String,
    /// What was expected, or what the system said.
    pub problem: String,
}

/// Where a value comes from; the later ones prevail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File(PathBuf),
    /// This variable of the environment.
    Environment(String),
    /// The command line, or the program itself.
    CommandLine,
}

impl SettingsError {
    pub(super) fn new(origin: Origin, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { origin, line: None, key: key.into(), problem: problem.into() }
    }

    pub(super) fn at_line(self, line: Option<usize>) -> Self {
        Self { line, ..self }
    }

    pub(super) fn system(path: &Path, what: &str, error: &std::io::Error) -> Self {
        Self::new(Origin::File(path.to_owned()), "", format!("{what}: {error}"))
    }
}

/// `settings.toml:3: rtp.use_srtp: expected true or false, not "maybe"`.
impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path) => {
                write!(f, "{}", path.display())?;
                if let Some(line) = self.line {
                    write!(f, ":{line}")?;
                }
                f.write_str(": ")?;
            }
            Origin::Environment(name) => write!(f, "{name}: ")?,
            Origin::CommandLine | Origin::Default => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// `default`, `file`, `environment`, `command line`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::File(_) => "file",
            Origin::Environment(_) => "environment",
            Origin::CommandLine => "command line",
        })
    }
}
