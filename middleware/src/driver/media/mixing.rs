//! Who hears whom: each session's bridge, or one bridge around the sound device.
//!
//! ```text
//!   microphone file ──▶ stream ──▶ peer          left ◀── what we say
//!   (or device, echo)      │                 recorder
//!                          ▼                     right ◀── what the peer says
//!                   device, echo, recorder
//! ```

mod echo;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use media::bridge::{Port, PortEvent, PortId, PortMeters};
use media::codec::{self, CodecInfo, CodecParams};
use media::engine::{BridgeHandle, BridgeId, EngineConfig, EngineMeter, Event, MediaEngine, PortHandle};
use media::stream::{Incoming, Outgoing, StreamConfig, StreamFormat, StreamHandle, StreamPort};
use media::wav::{Clip, Recorder, RecorderConfig, Repeat, WavPlayer};
use media::{PacketFeed, PacketSink, StreamFeedback, UsageError};
use rtrb::Producer;
use tokio::sync::mpsc;

use self::echo::Echo;
use super::keys::keys;
use super::link::link;
use super::local::LocalSide;
use super::{Key, MediaNote, Notes};
use crate::configuration::{AudioConfiguration, AudioInput};
use crate::error::Error;
use crate::session::{AudioParameters, ConferenceId, MediaEvent, SessionId};

/// What conferences are mixed at, in Hz.
const CONFERENCE_RATE: u32 = 16_000;

/// Who is in which conference.
type Rooms = Arc<Mutex<HashMap<ConferenceId, Room>>>;

/// A conference: a bridge of its own, with the far ends of its members' links.
struct Room {
    bridge: BridgeHandle,
    members: Vec<PortId>,
}

/// Ports of which somebody wants to hear: recordings that fail, and streams with digits in the audio.
type Watched = Arc<Mutex<HashMap<(BridgeId, PortId), (Key, Option<PathBuf>)>>>;

/// The media threads and what all sessions have in common.
pub(super) struct Mixing {
    engine: MediaEngine,
    microphone: Option<Microphone>,
    echo: bool,
    local: Option<LocalSide>,
    watched: Watched,
    rooms: Rooms,
}

/// A file in the place of a microphone.
struct Microphone {
    clip: Clip,
    repeat: Repeat,
    /// The same at the rates that streams have had.
    at_rates: HashMap<u32, Clip>,
}

/// Clips of at most so many seconds are brought to the rate of a stream once, and not in every tick of each.
const SHORT: usize = 30;

impl Microphone {
    fn at_rate(&mut self, rate: u32) -> WavPlayer {
        let clip = &self.clip;
        let is_short = clip.samples().len() <= SHORT * clip.sample_rate() as usize;
        let clip = match is_short {
            true => self.at_rates.entry(rate).or_insert_with(|| clip.at_rate(rate)),
            false => clip,
        };
        WavPlayer::new(clip.clone(), self.repeat).0
    }
}

/// The audio of one session.
pub(super) struct Voice {
    bridge: BridgeHandle,
    stream: StreamHandle,
    port: PortId,
    levels: PortMeters,
    muted: bool,
    rate: u32,
    codec: Negotiated,
    /// What the peer hears of us.
    sources: Vec<PortId>,
    /// Ports that are this session's alone.
    own: Vec<PortId>,
    recording: Option<(Recorder, Vec<PortId>)>,
    /// Where keys are pressed that are to be heard, once one was.
    keys: Option<Producer<char>>,
    /// The conference that it is in, with both ends of its link.
    conference: Option<(ConferenceId, PortId, PortId)>,
    rooms: Rooms,
    watched: Watched,
    key: Key,
}

/// What a stream's format was made of.
#[derive(PartialEq)]
struct Negotiated {
    codec: String,
    clock_rate: u32,
    send_payload_type: u8,
    receive_payload_type: u8,
    ptime: u32,
    fmtp: Option<String>,
    comfort_noise: Option<(u8, u8)>,
    digits_in_audio: bool,
}

impl Mixing {
    /// Starts the threads, and a task on the runtime that this is called in, and opens the device, if one is asked for.
    pub(super) fn start(config: &AudioConfiguration, notes: &Notes) -> Result<Self, Error> {
        let system = |what: &str, reason: String| Error::System { what: what.to_owned(), reason };
        let watched = Watched::default();
        let (happens, events) = mpsc::unbounded_channel();
        tokio::spawn(tell(events, notes.clone(), watched.clone()));
        // It is heard for as long as there is an engine.
        let sink = Arc::new(move |event| drop(happens.send(event)));
        let engine = MediaEngine::start(EngineConfig::default(), sink)
            .map_err(|error| system("the media thread", error.to_string()))?;
        let microphone = match &config.input {
            AudioInput::File { path, repeat } => {
                let clip =
                    Clip::open(path).map_err(|error| system("the microphone's file", error.to_string()))?;
                // A packet has a whole number of samples.
                let clip = if clip.sample_rate().is_multiple_of(50) { clip } else { clip.at_rate(16_000) };
                let repeat = if *repeat { Repeat::Forever(Duration::ZERO) } else { Repeat::Once };
                Some(Microphone { clip, repeat, at_rates: HashMap::new() })
            }
            AudioInput::Null | AudioInput::Device(_) => None,
        };
        let local = LocalSide::open(&engine, config).map_err(|reason| system("the sound device", reason))?;
        let rooms = Rooms::default();
        Ok(Self { engine, microphone, echo: config.echo, local, watched, rooms })
    }

    /// How punctual the media threads are.
    pub(super) fn meter(&self) -> EngineMeter {
        self.engine.meter()
    }

    /// Adds a stream with these parameters; frames for the peer go into `sink`, those of the peer come from
    /// `feed`.
    pub(super) fn add(
        &mut self,
        key: Key,
        parameters: &AudioParameters,
        sink: impl PacketSink + 'static,
        feed: impl PacketFeed + 'static,
    ) -> Result<Voice, Error> {
        self.build(key, parameters, (Box::new(sink), Box::new(feed)))
            .map_err(|reason| Error::System { what: "the audio stream".to_owned(), reason })
    }

    fn build(
        &mut self,
        key: Key,
        parameters: &AudioParameters,
        (sink, feed): (Box<dyn PacketSink>, Box<dyn PacketFeed>),
    ) -> Result<Voice, String> {
        let gone = |error: UsageError| error.to_string();
        let format = format(parameters)?;
        let rate = format.sample_rate();
        let (port, stream) = StreamPort::fed(stream_config(parameters), format, sink, feed);
        let (bridge, mixed_at) = match &self.local {
            Some(local) => (local.bridge().clone(), local.rate()),
            None => (self.engine.bridge(rate).map_err(gone)?, rate),
        };
        let PortHandle { id: port, meters: levels } = bridge.add_port(port).map_err(gone)?;
        let mut voice = Voice {
            bridge,
            stream,
            port,
            levels,
            muted: false,
            rate,
            codec: Negotiated::of(parameters),
            sources: Vec::new(),
            own: vec![port],
            recording: None,
            keys: None,
            conference: None,
            rooms: self.rooms.clone(),
            watched: self.watched.clone(),
            key,
        };
        if let Some(microphone) = &mut self.microphone {
            voice.own_source(microphone.at_rate(mixed_at)).map_err(gone)?;
        }
        if self.echo {
            let echo = voice.own_source(Echo::new(rate)).map_err(gone)?;
            voice.bridge.connect(port, echo, 0.0).map_err(gone)?;
        }
        if let Some(local) = &self.local {
            if let Some(microphone) = local.microphone() {
                voice.bridge.connect(microphone, port, 0.0).map_err(gone)?;
                voice.sources.push(microphone);
            }
            if let Some(loudspeaker) = local.loudspeaker() {
                voice.bridge.connect(port, loudspeaker, 0.0).map_err(gone)?;
            }
        }
        voice.direct(parameters);
        Ok(voice)
    }

    /// Puts a stream into a conference, out of the one that it may be in, or takes it out.
    pub(super) fn confer(
        &self,
        voice: &mut Voice,
        conference: Option<ConferenceId>,
    ) -> Result<(), UsageError> {
        voice.leave();
        let Some(id) = conference else { return Ok(()) };
        let (near, far) = link(CONFERENCE_RATE);
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = match rooms.entry(id) {
            Entry::Occupied(room) => room.into_mut(),
            Entry::Vacant(place) => {
                let bridge = self.engine.bridge(CONFERENCE_RATE)?;
                place.insert(Room { bridge, members: Vec::new() })
            }
        };
        let near = voice.bridge.add_port(near)?.id;
        voice.bridge.connect_both(near, voice.port)?;
        let far = room.bridge.add_port(far)?.id;
        for other in &room.members {
            room.bridge.connect_both(far, *other)?;
        }
        room.members.push(far);
        voice.sources.push(near);
        voice.conference = Some((id, near, far));
        Ok(())
    }

    /// Plays a ringtone on the local side. Where nobody hears there is none.
    pub(super) fn play_ringtone(&mut self, session: SessionId, path: &Path) {
        if let Some(local) = &mut self.local {
            local.play_ringtone(session, path);
        }
    }

    pub(super) fn stop_ringtone(&mut self, session: SessionId) {
        if let Some(local) = &mut self.local {
            local.stop_ringtone(session);
        }
    }

    /// Completes what is written of it.
    pub(super) fn stop(&mut self) {
        if let Some(local) = &mut self.local {
            local.stop();
        }
    }
}

impl Voice {
    /// Takes other parameters: another codec, or another direction.
    pub(super) fn change(&mut self, parameters: &AudioParameters) -> Result<(), String> {
        let codec = Negotiated::of(parameters);
        if codec != self.codec {
            self.stream.set_format(format(parameters)?).map_err(|error| error.to_string())?;
            self.codec = codec;
        }
        self.direct(parameters);
        Ok(())
    }

    /// Has the peer hear a key.
    pub(super) fn press(&mut self, digit: char) {
        if self.keys.is_none() {
            let (port, presser) = keys(self.rate);
            // Without a bridge there is nobody to hear it.
            if self.own_source(port).is_ok() {
                self.keys = Some(presser);
            }
        }
        if let Some(keys) = &mut self.keys {
            // More than anybody presses: lost.
            let _ = keys.push(digit);
        }
    }

    /// Out of the conference that it may be in; an empty one is gone.
    fn leave(&mut self) {
        let Some((id, near, far)) = self.conference.take() else { return };
        self.sources.retain(|source| *source != near);
        // Gone with the engine otherwise.
        let _ = self.bridge.remove_port(near);
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get_mut(&id) {
            let _ = room.bridge.remove_port(far);
            room.members.retain(|member| *member != far);
            if room.members.is_empty() {
                rooms.remove(&id);
            }
        }
    }

    /// How loud both sides are.
    pub(super) fn levels(&self) -> &PortMeters {
        &self.levels
    }

    /// Lets the peer hear nothing, or us again.
    pub(super) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        // It goes on hearing the others of a conference.
        let near = self.conference.map(|(_, near, _)| near);
        for source in self.sources.iter().filter(|source| Some(**source) != near) {
            // An error: gone with the engine.
            let _ = match muted {
                true => self.bridge.disconnect(*source, self.port),
                false => self.bridge.connect(*source, self.port, 0.0),
            };
        }
    }

    /// Lets a port speak to the peer and hear it.
    pub(super) fn attach(&mut self, port: impl Port + 'static) -> Result<(), UsageError> {
        let id = self.own_source(port)?;
        self.bridge.connect(self.port, id, 0.0)?;
        match &self.recording {
            Some((_, ports)) if ports.len() > 1 => self.bridge.connect(id, ports[0], 0.0),
            _ => Ok(()),
        }
    }

    /// What the media thread counts of the stream.
    pub(super) fn feedback(&self) -> StreamFeedback {
        self.stream.feedback()
    }

    /// Records what we say on the left and what the peer says on the right.
    pub(super) fn start_recording(&mut self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let config = RecorderConfig { sample_rate: self.rate.min(16_000), ..RecorderConfig::default() };
        let (recorder, ports) = Recorder::create(path, config)?;
        let mut ids = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let id = self.bridge.add_port(port)?.id;
            if index == 0 {
                for source in &self.sources {
                    self.bridge.connect(*source, id, 0.0)?;
                }
            } else {
                self.bridge.connect(self.port, id, 0.0)?;
            }
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.insert((self.bridge.id(), id), (self.key, Some(path.to_owned())));
            ids.push(id);
        }
        self.recording = Some((recorder, ids));
        Ok(())
    }

    /// Takes the recording out of the bridge; whoever gets it has to finish it.
    pub(super) fn stop_recording(&mut self) -> Option<Recorder> {
        let (recorder, ports) = self.recording.take()?;
        for port in ports {
            self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.bridge.id(), port));
            // Gone with the engine otherwise.
            let _ = self.bridge.remove_port(port);
        }
        Some(recorder)
    }

    pub(super) fn pause_recording(&self, paused: bool) {
        if let Some((recorder, _)) = &self.recording {
            recorder.set_paused(paused);
        }
    }

    fn own_source(&mut self, port: impl Port + 'static) -> Result<PortId, UsageError> {
        let id = self.bridge.add_port(port)?.id;
        if !self.muted {
            self.bridge.connect(id, self.port, 0.0)?;
        }
        self.own.push(id);
        self.sources.push(id);
        Ok(id)
    }

    fn direct(&self, parameters: &AudioParameters) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if self.codec.digits_in_audio {
            watched.insert((self.bridge.id(), self.port), (self.key, None));
        } else {
            watched.remove(&(self.bridge.id(), self.port));
        }
        drop(watched);
        self.stream.set_sending(parameters.sends);
        self.stream.set_receiving(parameters.receives);
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        drop(self.stop_recording());
        self.leave();
        let watched = self.watched.lock();
        watched.unwrap_or_else(PoisonError::into_inner).remove(&(self.bridge.id(), self.port));
        for port in &self.own {
            // Gone with the engine otherwise.
            let _ = self.bridge.remove_port(*port);
        }
    }
}

impl Negotiated {
    fn of(parameters: &AudioParameters) -> Self {
        Self {
            codec: parameters.codec.clone(),
            clock_rate: parameters.clock_rate,
            send_payload_type: parameters.send_payload_type,
            receive_payload_type: parameters.receive_payload_type,
            ptime: parameters.ptime,
            fmtp: parameters.fmtp.clone(),
            comfort_noise: parameters.comfort_noise,
            digits_in_audio: parameters.dtmf.is_none(),
        }
    }
}

/// The jitter buffer holds 1.28 seconds of packets of 20 ms or more.
fn stream_config(parameters: &AudioParameters) -> StreamConfig {
    let max_packets = if parameters.ptime < 20 { 128 } else { 64 };
    StreamConfig { max_packets, ..StreamConfig::default() }
}

fn format(parameters: &AudioParameters) -> Result<StreamFormat, String> {
    let info: &CodecInfo = codec::find(&parameters.codec, parameters.clock_rate)
        .ok_or_else(|| format!("there is no codec {}/{}", parameters.codec, parameters.clock_rate))?;
    let params = match &parameters.fmtp {
        Some(fmtp) => CodecParams::from_fmtp(fmtp),
        None => CodecParams::default(),
    };
    let outgoing = Outgoing::new(info, &params, parameters.send_payload_type, parameters.ptime);
    let incoming = Incoming::new(info, &params, parameters.receive_payload_type);
    let (outgoing, incoming) =
        outgoing.and_then(|outgoing| Ok((outgoing, incoming?))).map_err(|error| error.to_string())?;
    let mut format = StreamFormat::new(outgoing, vec![incoming]);
    if let Some((send, receive)) = parameters.comfort_noise {
        format = format.with_comfort_noise(Some(send), Some(receive));
    }
    Ok(if parameters.dtmf.is_none() { format.with_digits_heard() } else { format })
}

/// Tells of recordings that fail and digits that are heard. The media thread only says which port it was.
async fn tell(mut events: mpsc::UnboundedReceiver<Event>, notes: Notes, watched: Watched) {
    while let Some(event) = events.recv().await {
        let (told, port) = (event.event, (event.bridge, event.port));
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        let ((session, stream), event) = match (told, watched.get(&port)) {
            (PortEvent::Digit(digit), Some((key, None))) => (*key, MediaEvent::Dtmf(digit)),
            (PortEvent::Failed(reason), Some((key, Some(path)))) => {
                let (key, file_name) = (*key, path.to_string_lossy().into_owned());
                watched.retain(|_, (other, path)| *other != key || path.is_none());
                (key, MediaEvent::RecordingFailed { file_name, reason })
            }
            _ => continue,
        };
        // Nobody to tell: the application has stopped.
        let _ = notes.send(MediaNote { session, stream, event });
    }
}
