//! Devices as ports: none at all, WAV files, sound cards (feature `cpal`).
//!
//! A WAV file as a microphone is a [`crate::wav::WavPlayer`], one as a loudspeaker is a
//! [`crate::wav::Recorder`]; [`microphone_file`] and [`speaker_file`] build them.

#[cfg(feature = "cpal")]
mod card;
#[cfg(feature = "cpal")]
mod elastic;

#[cfg(feature = "cpal")]
pub use card::{Card, CardConfig, CardPort, Choice, DeviceInfo, list, open};

use std::path::Path;

use crate::bridge::{Port, Signal};
use crate::error::WavError;
use crate::wav::{Clip, Layout, PlayerHandle, Recorder, RecorderConfig, RecorderPort, Repeat, WavPlayer};

/// A device that hears nothing and says nothing; the bridge's own pace drives it.
#[derive(Debug, Clone, Copy)]
pub struct NullDevice {
    rate: u32,
}

/// A null device at `rate` Hz.
pub fn null_device(rate: u32) -> NullDevice {
    NullDevice { rate }
}

impl Port for NullDevice {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        out.fill(0);
        Signal::Silent
    }

    fn push(&mut self, _pcm: &[i16], _signal: Signal) {}
}

/// A WAV file as a microphone that speaks again and again, with two seconds between.
pub fn microphone_file(path: &Path) -> Result<(WavPlayer, PlayerHandle), WavError> {
    Ok(WavPlayer::new(Clip::open(path)?, Repeat::LOOP))
}

/// A WAV file as a loudspeaker, at `rate` Hz.
pub fn speaker_file(path: &Path, rate: u32) -> Result<(Recorder, RecorderPort), WavError> {
    let config = RecorderConfig { sample_rate: rate, layout: Layout::Mono, ..RecorderConfig::default() };
    let (recorder, ports) = Recorder::create(path, config)?;
    let port = ports.into_iter().next().expect("a mono recorder has one port");
    Ok((recorder, port))
}
