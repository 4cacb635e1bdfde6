//! The media side of the driver: what sessions ask of sockets, files and the media threads.
//!
//! Commands come from the signalling task, in order; what becomes of them goes back to it as
//! notes. A task runs for each audio stream and for each chat stream.

mod alone;
mod audio;
mod changes;
mod chat;
mod file;
mod gathering;
mod ice;
pub(super) mod interfaces;
mod keys;
mod link;
mod local;
mod meters;
mod mixing;
mod msrp;
mod pcm;
mod protection;
mod relay_stream;
mod remote;
#[cfg(test)]
mod samples;
mod sending;
mod socket;
mod sockets;
mod tcp_paths;
mod tls;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use rtp_srtp::dtls;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::alone::AloneStream;
pub(super) use self::gathering::gather_alone;
pub use self::meters::AudioStatistics;
pub(crate) use self::meters::MeterBoard;
pub(crate) use self::pcm::{PcmDesk, open as open_pcm};
pub use self::pcm::{PcmMark, PcmReader, PcmWriter};

use self::audio::{AudioCommand, AudioTask, Ends as AudioEnds, intake};
use self::chat::ChatCommand;
use self::file::FileCommand;
use self::gathering::{Gathering, IceInputs, IceLink};
use self::mixing::{Mixing, Voice};
use self::msrp::Ends;
use self::relay_stream::TlsClient;
use self::sockets::{AudioSockets, Destination};
use self::tls::Identity;
use super::resolve::Resolver;
use super::servers::ServerResolver;
use crate::configuration::{AudioConfiguration, SrtpPolicy};
use crate::error::Error;
use crate::notification::{Backlog, ChatFailureContext};
use crate::session::{
    AudioParameters, AudioPreparation, IcePreparation, MediaCommand, MediaEvent, SessionId, StreamId,
};
use crate::trace::Tracer;

/// What media tell a session.
#[derive(Debug)]
pub(super) struct MediaNote {
    pub(super) session: SessionId,
    pub(super) stream: StreamId,
    pub(super) event: MediaEvent,
}

type Notes = mpsc::UnboundedSender<MediaNote>;
type Key = (SessionId, StreamId);

/// All media of an application.
pub(super) struct MediaHost {
    mixing: Mixing,
    ends: Ends,
    identity: Identity,
    /// The same for handshakes on media paths, once one was wanted.
    dtls: Option<dtls::Identity>,
    security: TlsClient,
    resolver: Resolver,
    /// Whether media may use other addresses than the one that SIP is bound to.
    every_interface: bool,
    notes: Notes,
    /// Of what chats tell.
    backlog: Backlog,
    board: MeterBoard,
    pcm: PcmDesk,
    audio: HashMap<Key, AudioEntry>,
    chats: HashMap<Key, mpsc::UnboundedSender<ChatCommand>>,
    files: HashMap<Key, mpsc::UnboundedSender<FileCommand>>,
}

/// What turns a prepared audio stream into a running one.
type Start = Box<dyn FnOnce(AudioSockets, Option<(IceLink, IceInputs)>) + Send>;

enum AudioEntry {
    Ready(AudioSockets),
    /// ICE goes on; the stream starts with what is sent here.
    Gathering(oneshot::Sender<Start>),
    Running {
        commands: mpsc::UnboundedSender<AudioCommand>,
        voice: Box<Voice>,
    },
}

impl MediaHost {
    /// Opens the sound devices, if any are asked for, and starts the media threads.
    pub(super) fn new(
        audio: &AudioConfiguration,
        security: TlsClient,
        resolver: Resolver,
        own: Option<IpAddr>,
        tracer: Option<Arc<Tracer>>,
        (notes, backlog): (Notes, Backlog),
        (board, pcm): (MeterBoard, PcmDesk),
    ) -> Result<Self, Error> {
        let system =
            |what: &str, error: io::Error| Error::System { what: what.to_owned(), reason: error.to_string() };
        let identity = Identity::generate().map_err(|error| system("a certificate for MSRP", error))?;
        let mixing = Mixing::start(audio, &notes)?;
        board.watch(mixing.meter());
        let (audio, chats, files) = (HashMap::new(), HashMap::new(), HashMap::new());
        let ends = Ends::new(identity.clone(), security.clone(), own, resolver.clone(), tracer);
        let dtls = None;
        Ok(Self {
            mixing,
            ends,
            identity,
            dtls,
            security,
            resolver,
            every_interface: own.is_none(),
            notes,
            backlog,
            board,
            pcm,
            audio,
            chats,
            files,
        })
    }

    /// Does what a session asks.
    pub(super) fn perform(&mut self, session: SessionId, command: MediaCommand) {
        match command {
            MediaCommand::PrepareAudio(stream, AudioPreparation { ice: Some(ice), address, port_range }) => {
                let preparation = AudioPreparation { ice: None, address, port_range };
                match AudioSockets::open(&preparation) {
                    Ok(sockets) => self.gather(session, stream, sockets, ice, preparation.port_range),
                    Err(error) => self.failed(session, stream, "sockets for RTP", &error),
                }
            }
            MediaCommand::PrepareAudio(stream, preparation) => {
                let opened = AudioSockets::open(&preparation)
                    .and_then(|sockets| sockets.addresses().map(|addresses| (sockets, addresses)));
                match opened {
                    Ok((sockets, (rtp, rtcp))) => {
                        self.audio.insert((session, stream), AudioEntry::Ready(sockets));
                        let (candidates, fingerprint) = (Vec::new(), Some(self.identity.fingerprint()));
                        let ready =
                            MediaEvent::AudioReady { rtp, rtcp, candidates, complete: true, fingerprint };
                        self.note(session, stream, ready);
                    }
                    Err(error) => self.failed(session, stream, "sockets for RTP", &error),
                }
            }
            MediaCommand::MoveAudio(stream, AudioPreparation { address, port_range, .. }) => {
                if let Some(AudioEntry::Running { commands, .. }) = self.audio.get(&(session, stream)) {
                    let every_interface = self.every_interface;
                    let destination = Destination { address, port_range, every_interface };
                    // A task that has ended has told of it.
                    let _ = commands.send(AudioCommand::Move(destination));
                }
            }
            MediaCommand::RunAudio(stream, parameters) => self.run_audio(session, stream, parameters),
            MediaCommand::AddCandidates(stream, candidates, complete) => {
                if let Some(AudioEntry::Running { commands, .. }) = self.audio.get(&(session, stream)) {
                    // A task that has ended has told of it.
                    let _ = commands.send(AudioCommand::AddCandidates(candidates, complete));
                }
            }
            MediaCommand::StopAudio(stream) => self.stop_audio(session, stream),
            MediaCommand::SendDtmf(stream, digit) => {
                if let Some(AudioEntry::Running { commands, .. }) = self.audio.get(&(session, stream)) {
                    // A task that has ended has told of it.
                    let _ = commands.send(AudioCommand::Dtmf(digit));
                }
            }
            MediaCommand::SendTone(stream, digit) => {
                if let Some(AudioEntry::Running { voice, .. }) = self.audio.get_mut(&(session, stream)) {
                    voice.press(digit);
                }
            }
            MediaCommand::Confer(stream, conference) => {
                let key = (session, stream);
                if let Some(AudioEntry::Running { voice, .. }) = self.audio.get_mut(&key)
                    && let Err(error) = self.mixing.confer(voice, conference)
                {
                    tracing::warn!(%session, %error, "a conference cannot be mixed");
                }
            }
            MediaCommand::SetMuted(stream, muted) => {
                if let Some(AudioEntry::Running { voice, .. }) = self.audio.get_mut(&(session, stream)) {
                    voice.set_muted(muted);
                }
            }
            MediaCommand::AttachPcm(stream, number) => {
                // Without a stream to be in it goes, which its ends notice.
                let end = self.pcm.fetch(number);
                if let (Some(AudioEntry::Running { voice, .. }), Some(end)) =
                    (self.audio.get_mut(&(session, stream)), end)
                    && let Err(error) = voice.attach(end)
                {
                    tracing::debug!(%error, "the application's audio cannot be attached");
                }
            }
            MediaCommand::StartRecording(stream, path) => self.start_recording(session, stream, &path),
            MediaCommand::StopRecording(stream) => {
                if let Some(AudioEntry::Running { voice, .. }) = self.audio.get_mut(&(session, stream))
                    && let Some(recording) = voice.stop_recording()
                {
                    let notes = self.notes.clone();
                    tokio::task::spawn_blocking(move || tell_recording(&notes, (session, stream), recording));
                }
            }
            MediaCommand::PauseRecording(stream, paused) => {
                if let Some(AudioEntry::Running { voice, .. }) = self.audio.get(&(session, stream)) {
                    voice.pause_recording(paused);
                }
            }
            MediaCommand::PrepareChat(stream, preparation) => {
                let (commands, received) = mpsc::unbounded_channel();
                let tell = self.teller(session, stream);
                tokio::spawn(chat::run(self.ends.clone(), preparation, received, self.backlog.clone(), tell));
                self.chats.insert((session, stream), commands);
            }
            MediaCommand::RunChat(stream, parameters) => {
                if let Some(commands) = self.chats.get(&(session, stream)) {
                    // A task that has ended has told of it.
                    let _ = commands.send(ChatCommand::Run(parameters));
                }
            }
            MediaCommand::SendMessage(stream, message) => {
                let message_id = message.message_id.clone();
                let chat = self.chats.get(&(session, stream));
                if chat.is_none_or(|commands| commands.send(ChatCommand::Send(message)).is_err()) {
                    let reason = "the chat has ended".to_owned();
                    self.note(session, stream, MediaEvent::ChatNotDelivered { message_id, code: 0, reason });
                }
            }
            MediaCommand::ActInChat(stream, action) => {
                if let Some(commands) = self.chats.get(&(session, stream)) {
                    // A task that has ended has told of it.
                    let _ = commands.send(ChatCommand::Act(action));
                }
            }
            // The task ends with its commands, and tells.
            MediaCommand::StopChat(stream) => drop(self.chats.remove(&(session, stream))),
            MediaCommand::PrepareFile(stream, preparation) => {
                let (commands, received) = mpsc::unbounded_channel();
                let tell = self.teller(session, stream);
                tokio::spawn(file::run(self.ends.clone(), preparation, received, tell));
                self.files.insert((session, stream), commands);
            }
            MediaCommand::RunFile(stream, parameters) => {
                if let Some(commands) = self.files.get(&(session, stream)) {
                    // A task that has ended has told of it.
                    let _ = commands.send(FileCommand::Run(parameters));
                }
            }
            // The task ends with its commands, and tells.
            MediaCommand::StopFile(stream) => drop(self.files.remove(&(session, stream))),
            MediaCommand::PlayRingtone(path) => self.mixing.play_ringtone(session, &path),
            MediaCommand::StopRingtone => self.mixing.stop_ringtone(session),
        }
    }

    /// Ends everything.
    pub(super) fn stop(&mut self) {
        self.audio.clear();
        self.chats.clear();
        self.files.clear();
        self.mixing.stop();
    }

    fn run_audio(&mut self, session: SessionId, stream: StreamId, parameters: Box<AudioParameters>) {
        let key = (session, stream);
        match self.audio.remove(&key) {
            None => {}
            Some(AudioEntry::Running { commands, mut voice }) => {
                if let Err(error) = voice.change(&parameters) {
                    self.failed(session, stream, "the audio format", &io::Error::other(error));
                }
                if let Some(meters) = self.board.of(session) {
                    meters.set_codec(&parameters.codec);
                }
                // A task that has ended has told of it.
                let _ = commands.send(AudioCommand::Run(parameters));
                self.audio.insert(key, AudioEntry::Running { commands, voice });
            }
            Some(AudioEntry::Ready(sockets)) => {
                if let Some(start) = self.start_audio(session, stream, parameters) {
                    start(sockets, None);
                }
            }
            Some(AudioEntry::Gathering(waiting)) => {
                if let Some(start) = self.start_audio(session, stream, parameters)
                    && waiting.send(start).is_err()
                {
                    self.failed(session, stream, "ICE", &io::Error::other("it has ended"));
                }
            }
        }
    }

    /// Adds the stream to the mix; what comes back starts its task.
    fn start_audio(
        &mut self,
        session: SessionId,
        stream: StreamId,
        parameters: Box<AudioParameters>,
    ) -> Option<Start> {
        let key = (session, stream);
        let meters = self.board.add(session);
        let (sink, outbound) = sending::channel(&parameters, meters.clone());
        let (feed, intake) = intake();
        let voice = match self.mixing.add(key, &parameters, sink, feed) {
            Ok(added) => added,
            Err(error) => {
                self.board.remove(session);
                self.failed(session, stream, "the audio stream", &io::Error::other(error.to_string()));
                return None;
            }
        };
        meters.attach(voice.feedback(), voice.levels().clone());
        meters.set_codec(&parameters.codec);
        let (commands, received) = mpsc::unbounded_channel();
        let tell = Box::new(self.teller(session, stream));
        let ends = AudioEnds { outbound, intake, meters, tell };
        let identity = self.dtls_identity(&parameters);
        self.audio.insert(key, AudioEntry::Running { commands, voice: Box::new(voice) });
        Some(Box::new(move |sockets, link| {
            let task = AudioTask::new(sockets, link, received, ends, parameters, identity);
            tokio::spawn(task.run());
        }))
    }

    /// Who we are in handshakes: known where SRTP is used at all, for a later offer may ask for one.
    fn dtls_identity(&mut self, parameters: &AudioParameters) -> Option<dtls::Identity> {
        if self.dtls.is_none() && parameters.srtp_policy != SrtpPolicy::Off {
            match self.identity.for_dtls() {
                Ok(identity) => self.dtls = Some(identity),
                Err(error) => tracing::error!(%error, "no DTLS-SRTP"),
            }
        }
        self.dtls.clone()
    }

    /// Looks for candidates, and keeps ICE going until the stream runs.
    fn gather(
        &mut self,
        session: SessionId,
        stream: StreamId,
        sockets: AudioSockets,
        mut ice: Box<IcePreparation>,
        ports: Option<RangeInclusive<u16>>,
    ) {
        let (start, wanted) = oneshot::channel::<Start>();
        let (tell, tls) = (self.teller(session, stream), self.security.clone());
        let resolver = ServerResolver(self.resolver.clone());
        let fingerprint = self.identity.fingerprint();
        let tracer = self.ends.tracer();
        ice.every_interface &= self.every_interface;
        tokio::spawn(async move {
            let gathering = match Gathering::start(sockets, &ice, ports, &resolver, &tls)
                .await
                .map(|it| it.traced(tracer).announcing(fingerprint))
            {
                Ok(gathering) => gathering,
                Err(error) => {
                    let reason = format!("sockets for RTP: {error}");
                    tell(MediaEvent::Failed { context: ChatFailureContext::Initialize, reason });
                    return;
                }
            };
            if let Some((sockets, link, start)) = gathering.run(wanted, &tell).await {
                start(sockets, Some(link));
            }
        });
        self.audio.insert((session, stream), AudioEntry::Gathering(start));
    }

    fn stop_audio(&mut self, session: SessionId, stream: StreamId) {
        let notes = self.notes.clone();
        let recording = match self.audio.remove(&(session, stream)) {
            Some(AudioEntry::Running { commands, mut voice }) => {
                drop(commands);
                self.board.remove(session);
                voice.stop_recording()
            }
            _ => None,
        };
        let Some(recording) = recording else {
            self.note(session, stream, MediaEvent::Stopped);
            return;
        };
        tokio::task::spawn_blocking(move || {
            tell_recording(&notes, (session, stream), recording);
            // Nobody to tell: the application has stopped.
            let _ = notes.send(MediaNote { session, stream, event: MediaEvent::Stopped });
        });
    }

    fn start_recording(&mut self, session: SessionId, stream: StreamId, path: &Path) {
        let Some(AudioEntry::Running { voice, .. }) = self.audio.get_mut(&(session, stream)) else { return };
        let file_name = path.to_string_lossy().into_owned();
        let event = match voice.start_recording(path) {
            Ok(()) => MediaEvent::RecordingStarted { file_name },
            Err(error) => MediaEvent::RecordingFailed { file_name, reason: error.to_string() },
        };
        self.note(session, stream, event);
    }

    fn teller(&self, session: SessionId, stream: StreamId) -> impl Fn(MediaEvent) + Send + Sync + use<> {
        let notes = self.notes.clone();
        move |event| {
            // Nobody to tell: the application has stopped.
            let _ = notes.send(MediaNote { session, stream, event });
        }
    }

    fn note(&self, session: SessionId, stream: StreamId, event: MediaEvent) {
        self.teller(session, stream)(event);
    }

    fn failed(&self, session: SessionId, stream: StreamId, what: &str, error: &io::Error) {
        let reason = format!("{what}: {error}");
        self.note(session, stream, MediaEvent::Failed { context: ChatFailureContext::Initialize, reason });
    }
}

/// Waits until the file is complete, and tells.
fn tell_recording(notes: &Notes, (session, stream): Key, recording: media::wav::Recorder) {
    let summary = recording.finish();
    let file_name = summary.path.to_string_lossy().into_owned();
    let event = match summary.error {
        None => MediaEvent::RecordingStopped { file_name },
        Some(reason) => MediaEvent::RecordingFailed { file_name, reason },
    };
    // Nobody to tell: the application has stopped.
    let _ = notes.send(MediaNote { session, stream, event });
}
