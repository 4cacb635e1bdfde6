//! The local side: what stands for a microphone and a loudspeaker, and the ringtones.
//!
//! ```text
//!   ringtones ──▶ ┌────────┐ ──▶ loudspeaker (card, WAV file)
//!   peers     ◀─▶ │ bridge │
//!                 └────────┘ ◀── microphone (card)
//! ```
//! A ringtone is connected to the loudspeaker and to nothing else: no peer hears it.

use std::collections::HashMap;
use std::path::Path;

#[cfg(feature = "cpal")]
use media::UsageError;
use media::bridge::{Port, PortId, Signal};
#[cfg(feature = "cpal")]
use media::device::{CardConfig, Choice};
use media::engine::{BridgeHandle, MediaEngine};
use media::wav::{Clip, Recorder, Repeat, WavPlayer};
use tokio::sync::oneshot;

#[cfg(feature = "cpal")]
use crate::configuration::VoiceProcessing;
use crate::configuration::{AudioConfiguration, AudioInput, AudioOutput};
use crate::session::SessionId;

/// What the bridge around a sound card mixes at, in Hz.
#[cfg(feature = "cpal")]
const CARD_RATE: u32 = 48_000;
/// And the one around a file.
const FILE_RATE: u32 = 16_000;

/// A bridge of its own; all streams are in it.
pub(super) struct LocalSide {
    bridge: BridgeHandle,
    rate: u32,
    microphone: Option<PortId>,
    loudspeaker: Option<PortId>,
    ringtones: HashMap<SessionId, PortId>,
    file: Option<Recorder>,
    #[cfg(feature = "cpal")]
    _card: Option<media::device::Card>,
}

impl LocalSide {
    /// `None` where nobody speaks or hears here.
    pub(super) fn open(engine: &MediaEngine, config: &AudioConfiguration) -> Result<Option<Self>, String> {
        let has_card =
            matches!(config.input, AudioInput::Device(_)) || matches!(config.output, AudioOutput::Device(_));
        let file = match &config.output {
            AudioOutput::File(path) => Some(path),
            AudioOutput::Null | AudioOutput::Device(_) => None,
        };
        let mut side = match (has_card, file) {
            (false, None) => return Ok(None),
            (true, _) => Self::with_card(engine, config)?,
            (false, Some(_)) => Self::new(engine, FILE_RATE)?,
        };
        if let Some(path) = file {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let opened = media::device::speaker_file(path, side.rate);
            let (recorder, port) = opened.map_err(|error| failed(&error))?;
            side.loudspeaker = Some(side.bridge.add_port(port).map_err(|error| failed(&error))?.id);
            side.file = Some(recorder);
        }
        Ok(Some(side))
    }

    fn new(engine: &MediaEngine, rate: u32) -> Result<Self, String> {
        let bridge = engine.bridge(rate).map_err(|error| error.to_string())?;
        Ok(Self {
            bridge,
            rate,
            microphone: None,
            loudspeaker: None,
            ringtones: HashMap::new(),
            file: None,
            #[cfg(feature = "cpal")]
            _card: None,
        })
    }

    #[cfg(feature = "cpal")]
    fn with_card(engine: &MediaEngine, config: &AudioConfiguration) -> Result<Self, String> {
        let input = match &config.input {
            AudioInput::Device(name) => Choice::of(name.as_deref()),
            AudioInput::Null | AudioInput::File { .. } => Choice::Nothing,
        };
        let output = match &config.output {
            AudioOutput::Device(name) => Choice::of(name.as_deref()),
            AudioOutput::Null | AudioOutput::File(_) => Choice::Nothing,
        };
        let wanted = CardConfig { input, output, sample_rate: CARD_RATE };
        let (card, port) = media::device::open(&wanted).map_err(|error| error.to_string())?;
        let mut side = Self::new(engine, CARD_RATE)?;
        let port = add_processed(&side.bridge, port, config.voice).map_err(|error| error.to_string())?;
        side.microphone = matches!(config.input, AudioInput::Device(_)).then_some(port);
        side.loudspeaker = matches!(config.output, AudioOutput::Device(_)).then_some(port);
        side._card = Some(card);
        Ok(side)
    }

    /// Without the feature `cpal` there is no card to open.
    #[cfg(not(feature = "cpal"))]
    fn with_card(_: &MediaEngine, _: &AudioConfiguration) -> Result<Self, String> {
        Err("this build has no sound devices (feature cpal)".to_owned())
    }

    /// The bridge that streams are put into.
    pub(super) fn bridge(&self) -> &BridgeHandle {
        &self.bridge
    }

    /// What it mixes at, in Hz.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// What speaks to every peer.
    pub(super) fn microphone(&self) -> Option<PortId> {
        self.microphone
    }

    /// What every peer is heard by.
    pub(super) fn loudspeaker(&self) -> Option<PortId> {
        self.loudspeaker
    }

    /// Plays a ringtone, over and over with a pause of two seconds, until it is stopped. What
    /// cannot be played is logged. The file is read elsewhere: nothing waits for the disk.
    pub(super) fn play_ringtone(&mut self, session: SessionId, path: &Path) {
        let Some(loudspeaker) = self.loudspeaker else { return };
        let (give, player) = oneshot::channel();
        let (path, rate) = (path.to_owned(), self.rate);
        tokio::task::spawn_blocking(move || match Clip::open(&path) {
            // Nobody wants it any more where the port is gone.
            Ok(clip) => drop(give.send(WavPlayer::new(clip.at_rate(rate), Repeat::LOOP).0)),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the ringtone cannot be played"),
        });
        self.stop_ringtone(session);
        if let Ok(port) = self.bridge.add_port(Ringtone { rate: self.rate, waiting: player, player: None })
            && self.bridge.connect(port.id, loudspeaker, 0.0).is_ok()
        {
            self.ringtones.insert(session, port.id);
        }
    }

    /// Ends it.
    pub(super) fn stop_ringtone(&mut self, session: SessionId) {
        if let Some(port) = self.ringtones.remove(&session) {
            // Gone with the engine otherwise.
            let _ = self.bridge.remove_port(port);
        }
    }

    /// Completes the file.
    pub(super) fn stop(&mut self) {
        let Some(recorder) = self.file.take() else { return };
        if let Some(port) = self.loudspeaker.take() {
            // Gone with the engine otherwise.
            let _ = self.bridge.remove_port(port);
        }
        let summary = recorder.finish();
        if let Some(error) = summary.error {
            tracing::warn!(path = %summary.path.display(), %error, "not all that was heard is in the file");
        }
    }
}

/// Puts what processes voices before a card, where it is asked for.
#[cfg(all(feature = "cpal", feature = "voice"))]
fn add_processed(
    bridge: &BridgeHandle,
    port: media::device::CardPort,
    wanted: VoiceProcessing,
) -> Result<PortId, UsageError> {
    let config = media::voice::VoiceConfig {
        echo: wanted.echo_cancellation,
        noise: wanted.noise_suppression,
        gain: wanted.gain_control,
    };
    if !config.is_any() {
        return Ok(bridge.add_port(port)?.id);
    }
    match media::voice::Processed::new(port, config) {
        Ok(port) => Ok(bridge.add_port(port)?.id),
        Err(port) => Ok(bridge.add_port(port)?.id),
    }
}

#[cfg(all(feature = "cpal", not(feature = "voice")))]
fn add_processed(
    bridge: &BridgeHandle,
    port: media::device::CardPort,
    wanted: VoiceProcessing,
) -> Result<PortId, UsageError> {
    if wanted != VoiceProcessing::default() {
        tracing::warn!("this build does not process voices (feature voice)");
    }
    Ok(bridge.add_port(port)?.id)
}

/// Silent until its file was read.
struct Ringtone {
    rate: u32,
    waiting: oneshot::Receiver<WavPlayer>,
    player: Option<WavPlayer>,
}

impl Port for Ringtone {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn prepare(&mut self) {
        if self.player.is_none() {
            self.player = self.waiting.try_recv().ok();
        }
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        match &mut self.player {
            Some(player) => player.pull(out),
            None => {
                out.fill(0);
                Signal::Silent
            }
        }
    }

    fn takes(&self) -> bool {
        false
    }
}
