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
    /// What is done to what the microphone of a device gives.
    pub voice: VoiceProcessing,
}

/// What is done to what the microphone of a sound device gives before peers hear it; needs the feature
/// `voice`, without which a wish for it is logged and nothing is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoiceProcessing {
    /// What the loudspeaker plays is taken out of it: peers do not hear themselves.
    pub echo_cancellation: bool,
    /// Steady noise in it is lowered.
    pub noise_suppression: bool,
    /// Speech is brought to one level.
    pub gain_control: bool,
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
