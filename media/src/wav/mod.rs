//! WAV files: clips in memory, a player and a recorder as ports of the bridge.

mod clip;
mod player;
mod recorder;

pub use clip::{Clip, read_mono, read_stereo};
pub use player::{PlayerHandle, Repeat, WavPlayer};
pub use recorder::{Layout, Recorder, RecorderConfig, RecorderPort, RecordingSummary, Storage};
