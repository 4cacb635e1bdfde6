//! What an application hears and says.

use std::path::PathBuf;

/// Where the sound of sessions comes from and goes to, for the whole application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudioConfiguration {
    /// What peers hear of us.
    pub input: AudioInput,
    /// Where we hear peers.
    pub output: AudioOutput,
    /// Whether each peer hears what it says itself.
    pub echo: bool,
}

/// What peers hear of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AudioInput {
    /// Silence.
    #[default]
    Null,
    /// A sound device: by name, or the default one.
    Device(Option<String>),
    /// A WAV file, from its beginning for each session.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether it starts again at its end.
        repeat: bool,
    },
}

/// Where we hear peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AudioOutput {
    /// Nowhere.
    #[default]
    Null,
    /// A sound device: by name, or the default one.
    Device(Option<String>),
    /// A WAV file with everything that a loudspeaker would have played: all peers together, and the
    /// ringtones.
    File(PathBuf),
}
