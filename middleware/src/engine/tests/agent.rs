//! One party of a trace: an engine, with media that are always ready.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ice_stun::ice::{Candidate, CandidateKind, Transport};
use sip_core::endpoint as sip;
use sip_core::{Message, StatusCode};
use testkit::{Delivery, Host, Network};

use crate::configuration::{MsrpConfiguration, RtpConfiguration, SessionTimers};
use crate::credentials::Credentials;
use crate::engine::{Engine, EngineConfig, Now, Output};
use crate::error::Error;
use crate::messaging::OutgoingMessage;
use crate::notification::Value;
use crate::session::machine::SessionConfig;
use crate::session::{
    FileInfo, FileSource, FileToSend, IceSelection, IceState, Invitation, MediaCommand, MediaEvent,
    SessionId, State, StreamId, StreamSet,
};

/// What happened, in order: `alice > INVITE`, `bob ! SCSessionDidStart`.
pub(super) type Log = Rc<RefCell<Vec<String>>>;

pub(super) struct Agent {
    pub(super) name: &'static str,
    pub(super) engine: Engine,
    pub(super) address: SocketAddr,
    pub(super) session: Option<SessionId>,
    /// Whether packets are logged at this side.
    watches_wire: bool,
    /// All packets as they left.
    pub(super) packets: Vec<Bytes>,
    pub(super) states: Vec<(SessionId, State, State)>,
    pub(super) ended: Vec<SessionId>,
    log: Log,
    media: VecDeque<(SessionId, StreamId, MediaEvent)>,
    recordings: Vec<(SessionId, StreamId, String)>,
    /// File transfers, and whether we send.
    files: Vec<(SessionId, StreamId, bool)>,
    start: Instant,
    ice: Ice,
    /// The audio stream, and whether we nominate, where ICE is used.
    ice_stream: Option<(StreamId, bool)>,
    /// User fragments so far: ours and the peer's.
    generations: [Vec<String>; 2],
}

/// Whether ICE is used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Ice {
    No,
    Yes,
    /// By both, but neither is told that the other follows RFC 8445.
    Old,
}

impl Agent {
    /// The same with ICE; its checks are played by commands.
    pub(super) fn with_ice(mut self, ice: Ice) -> Self {
        self.ice = ice;
        self.engine.config.session.rtp.use_ice = ice != Ice::No;
        self
    }

    fn session_config(&self) -> SessionConfig {
        let mut config = session_config(self.address);
        config.rtp.use_ice = self.ice != Ice::No;
        config
    }

    /// What a command says of ICE: `completed`, or `completed moved` for a pair that no description
    /// tells.
    fn ice_state(&self, words: &[&str], peer: SocketAddr) -> (StreamId, MediaEvent) {
        let (stream, controlling) = self.ice_stream.expect("audio with ICE");
        let state = [IceState::Checking, IceState::Completed, IceState::Disconnected, IceState::Failed];
        let state = state.into_iter().find(|state| state.name() == words[0]).expect("a state");
        let port = if words.contains(&"moved") { 7_000 } else { 40_000 };
        let selection = matches!(state, IceState::Completed | IceState::Disconnected).then(|| IceSelection {
            local: SocketAddr::new(self.address.ip(), 40_000 + 2 * u16::try_from(stream.0).expect("few")),
            local_kind: CandidateKind::Host,
            remote: SocketAddr::new(peer.ip(), port + 2),
            remote_kind: CandidateKind::Host,
            local_rtcp: None,
            remote_rtcp: None,
            controlling,
        });
        (stream, MediaEvent::IceState { state, selection })
    }

    pub(super) fn new(name: &'static str, seed: u8, watches_wire: bool, start: Instant, log: &Log) -> Self {
        let address: SocketAddr = match name {
            "alice" => "192.0.2.1:5060",
            _ => "192.0.2.2:5060",
        }
        .parse()
        .expect("an address");
        let config = EngineConfig {
            sip: sip::Config::default(),
            session: session_config(address),
            max_sessions: usize::MAX,
            accept_messages: true,
        };
        let numbers = Arc::new(AtomicU64::new(1));
        let mut engine = Engine::new(config, numbers, [seed; 32]);
        engine.bound(now_at(start, start), sip::Transport::Udp, address);
        Self {
            name,
            engine,
            address,
            session: None,
            watches_wire,
            packets: Vec::new(),
            states: Vec::new(),
            ended: Vec::new(),
            log: log.clone(),
            media: VecDeque::new(),
            recordings: Vec::new(),
            files: Vec::new(),
            start,
            ice: Ice::No,
            ice_stream: None,
            generations: [Vec::new(), Vec::new()],
        }
    }

    /// Carries a command of a trace out: `connect audio`, `accept audio,chat`, `hold`.
    pub(super) fn command(&mut self, at: Instant, words: &[&str], peer: SocketAddr) -> Result<(), Error> {
        let now = now_at(self.start, at);
        let (verb, argument) = (words[0], words.get(1).copied().unwrap_or_default());
        if verb == "connect" {
            let id = SessionId(self.engine.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            self.session = Some(id);
            let invitation = Invitation {
                callee: format!("sip:bob@{peer}").parse().expect("a URI"),
                credentials: Credentials::new("sip:alice@example.com".parse().expect("a URI")),
                route: None,
            };
            let files =
                if argument.contains("file") { vec![FileToSend::new("photo.jpg")] } else { Vec::new() };
            let config = self.session_config();
            return self.engine.connect(now, id, config, invitation, streams(argument), files);
        }
        if verb == "page" {
            let to = format!("sip:bob@{peer}").parse().expect("a URI");
            let from = format!("sip:{}@{}", self.name, self.address).parse().expect("a URI");
            let credentials = Credentials::new(from);
            let message = OutgoingMessage { notify: true, ..OutgoingMessage::new(to, credentials, argument) };
            return self.engine.send_message(now, message).map(drop);
        }
        let Some(id) = self.session else { panic!("{} has no session for {verb}", self.name) };
        if verb == "ice" {
            let (stream, event) = self.ice_state(&words[1..], peer);
            self.engine.handle_media(now, id, stream, event);
            return Ok(());
        }
        let done = self.engine.with_session(now, id, |session, context| match verb {
            "accept" => session.accept(context, streams(argument), Some("files".into())),
            "reject" => session.reject(context, argument.parse().ok().and_then(StatusCode::new)),
            "hold" => session.hold(context, true),
            "restart-ice" => session.restart_ice(context),
            "unhold" => session.hold(context, false),
            "add" => session.add(context, streams(argument)),
            "remove" => session.remove(context, streams(argument)),
            "accept-proposal" => session.accept_proposal(context, streams(argument), Some("files".into())),
            "reject-proposal" => session.reject_proposal(context),
            "dtmf" => session.send_dtmf(context, argument.chars().next().unwrap_or('0')),
            "record" => session.start_recording(context, argument.into()),
            "stop-recording" => session.stop_recording(context),
            "send-file" => session.send_file(context, FileToSend::new(argument)).map(drop),
            "request-file" => {
                let info = FileInfo { name: Some(argument.to_owned()), ..FileInfo::default() };
                session.request_file(context, info, Some("files".into())).map(drop)
            }
            "message" => {
                let content = Bytes::copy_from_slice(argument.as_bytes());
                session.send_message(context, content, "text/plain".to_owned(), None, None).map(|_| ())
            }
            "terminate" => {
                session.terminate(context);
                Ok(())
            }
            verb => panic!("no such command: {verb}"),
        });
        done.unwrap_or(Ok(()))
    }

    fn log(&self, line: String) {
        self.log.borrow_mut().push(format!("{} {line}", self.name));
    }

    fn log_event(&self, event: &crate::notification::Event) {
        let data: String = event
            .data()
            .iter()
            .filter(|(name, _)| !matches!(*name, "message_id" | "transfer_id"))
            .map(|(_, value)| format!(" {}", shown(value)))
            .collect();
        self.log(format!("! {}{data}", event.name()));
    }

    fn log_packet(&self, arrow: char, data: &Bytes) {
        if self.watches_wire {
            self.log(format!("{arrow} {}", summary(data)));
        }
    }

    /// Media that do at once what they are asked.
    fn perform(&mut self, session: SessionId, command: MediaCommand) {
        let mut tell = |stream, event| self.media.push_back((session, stream, event));
        match command {
            MediaCommand::PrepareAudio(stream, preparation) => {
                let port = 40_000 + 2 * u16::try_from(stream.0).expect("few streams");
                let at = |port| SocketAddr::new(self.address.ip(), port);
                let mut candidates = Vec::new();
                if let Some(ice) = preparation.ice {
                    self.ice_stream = Some((stream, ice.controlling));
                    let host = |component| {
                        Candidate::host(component, Transport::Udp, at(port + component - 1), u16::MAX)
                    };
                    candidates.extend([host(1), host(2)]);
                }
                tell(stream, MediaEvent::AudioReady { rtp: at(port), rtcp: at(port + 1), candidates });
            }
            MediaCommand::RunAudio(stream, parameters) => {
                if let Some(ice) = &parameters.ice {
                    let (ours, theirs) = (ice.local.ufrag(), ice.remote.credentials.ufrag());
                    let [ours, theirs] = [(0, ours), (1, theirs)].map(|(side, ufrag)| {
                        let known = &mut self.generations[side];
                        if !known.iter().any(|one| one == ufrag) {
                            known.push(ufrag.to_owned());
                        }
                        known.len()
                    });
                    let line = format!("{} * ICE {ours} with ICE {theirs} of the peer", self.name);
                    self.log.borrow_mut().push(line);
                }
                tell(stream, MediaEvent::AudioReceived { from: parameters.remote_rtp });
            }
            MediaCommand::StopAudio(stream) => {
                self.stop_recording(session, stream);
                self.media.push_back((session, stream, MediaEvent::Stopped));
            }
            MediaCommand::StartRecording(stream, path) => {
                let file_name = path.to_string_lossy().into_owned();
                tell(stream, MediaEvent::RecordingStarted { file_name: file_name.clone() });
                self.recordings.push((session, stream, file_name));
            }
            MediaCommand::StopRecording(stream) => self.stop_recording(session, stream),
            MediaCommand::PrepareChat(stream, _) => {
                let path = format!("msrp://{}:2855/{}{};tcp", self.address.ip(), self.name, stream.0);
                tell(stream, MediaEvent::ChatReady { path, fingerprint: None });
            }
            MediaCommand::RunChat(stream, _) => tell(stream, MediaEvent::ChatStarted),
            MediaCommand::SendMessage(stream, message) => {
                let reason = "OK".to_owned();
                tell(stream, MediaEvent::ChatDelivered { message_id: message.message_id, code: 200, reason });
            }
            MediaCommand::PrepareFile(stream, preparation) => {
                let path = format!("msrp://{}:2855/{}{};tcp", self.address.ip(), self.name, stream.0);
                let (info, offset, sends) = file_of(&preparation.source);
                self.files.push((session, stream, sends));
                tell(stream, MediaEvent::FileReady { path, fingerprint: None, info, offset });
            }
            MediaCommand::RunFile(stream, parameters) => {
                tell(stream, MediaEvent::FileStarted);
                let sends = self.files.contains(&(session, stream, true));
                let info = parameters.info;
                let size = info.size.unwrap_or(1_000);
                // Half of it is there at once, the rest when the peer has been told to be there.
                tell(stream, MediaEvent::FileProgress { bytes: size / 2, size });
                if sends {
                    let reason = "OK".to_owned();
                    tell(stream, MediaEvent::FileDelivered { code: 200, reason });
                } else {
                    let path = format!("files/{}", info.name.clone().unwrap_or_default()).into();
                    tell(stream, MediaEvent::FileReceived { path, info });
                }
            }
            MediaCommand::StopFile(stream) => tell(stream, MediaEvent::Stopped),
            MediaCommand::StopChat(stream) => tell(stream, MediaEvent::Stopped),
            _ => {}
        }
    }

    fn stop_recording(&mut self, session: SessionId, stream: StreamId) {
        let is_it = |(a, b, _): &(SessionId, StreamId, String)| (*a, *b) == (session, stream);
        if let Some(index) = self.recordings.iter().position(is_it) {
            let (_, _, file_name) = self.recordings.remove(index);
            self.media.push_back((session, stream, MediaEvent::RecordingStopped { file_name }));
        }
    }
}

impl Host for Agent {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { panic!("only datagrams here: {delivery:?}") };
        let mut data = Bytes::from(datagram.data);
        if self.ice == Ice::Old {
            // An option that nobody knows is as good as none, and as long.
            data = String::from_utf8_lossy(&data).replace("ice-options:ice2", "ice-options:none").into();
        }
        self.log_packet('<', &data);
        let input = sip::Input::Datagram { local: self.address, remote: datagram.from, data };
        self.engine.handle_sip(now_at(self.start, now), input);
    }

    fn timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now_at(self.start, now));
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Sip(sip::Output::Transmit { remote, data, .. }) => {
                    self.log_packet('>', &data);
                    network.send(now, self.address, remote, data.to_vec());
                    self.packets.push(data);
                }
                // No connections here: what is too long for a datagram goes in one all the same.
                Output::Sip(sip::Output::Connect { flow, .. }) => {
                    let refused = sip::Input::ConnectFailed { flow, reason: "refused".to_owned() };
                    self.engine.handle_sip(now_at(self.start, now), refused);
                }
                Output::Sip(other) => panic!("only datagrams here: {other:?}"),
                Output::Media { session, command } => self.perform(session, command),
                Output::Snapshot { .. } => {}
                Output::Post { event, .. } => self.log_event(&event),
                Output::Notify { session, snapshot, event } => {
                    self.session.get_or_insert(session);
                    if let crate::notification::Event::Session(event) = &event {
                        use crate::notification::SessionEvent as Is;
                        match event {
                            Is::ChangedState { prev_state, state } => {
                                assert_eq!(
                                    snapshot.state, *state,
                                    "the snapshot comes before its notification"
                                );
                                self.states.push((session, *prev_state, *state));
                            }
                            Is::DidEnd { .. } => self.ended.push(session),
                            _ => {}
                        }
                    }
                    self.log_event(&event);
                }
                Output::Idle(deadline) => match self.media.pop_front() {
                    Some((session, stream, event)) => {
                        self.engine.handle_media(now_at(self.start, now), session, stream, event);
                    }
                    None => return deadline,
                },
            }
        }
    }
}

/// What is known of a file after a look at it.
fn file_of(source: &FileSource) -> (FileInfo, u64, bool) {
    let there = |name: Option<String>| FileInfo {
        name,
        size: Some(1_000),
        content_type: Some("image/jpeg".to_owned()),
        hashes: vec!["sha-1:00:11:22".to_owned()],
    };
    match source {
        FileSource::Send(file) => {
            let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
            (there(name), file.offset, true)
        }
        FileSource::Serve { wanted, offset, .. } => (there(wanted.name.clone()), *offset, true),
        FileSource::Receive { info, offset, .. } => (info.clone(), offset.unwrap_or(0), false),
    }
}

pub(super) fn session_config(address: SocketAddr) -> SessionConfig {
    SessionConfig {
        rtp: RtpConfiguration::default(),
        msrp: MsrpConfiguration {
            local_use_tls: false,
            shared_folder: Some("shared".into()),
            ..MsrpConfiguration::default()
        },
        timers: SessionTimers::default(),
        accepts: StreamSet::ALL,
        default_address: address.ip(),
    }
}

pub(super) fn now_at(start: Instant, instant: Instant) -> Now {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + instant.duration_since(start);
    Now { instant, wall }
}

pub(super) fn streams(words: &str) -> StreamSet {
    StreamSet { audio: words.contains("audio"), chat: words.contains("chat"), file: words.contains("file") }
}

/// `INVITE`, or `200 INVITE`.
fn summary(data: &Bytes) -> String {
    match Message::parse(data.clone(), &sip_core::Limits::default()) {
        Ok(Message::Request(request)) => request.method().to_string(),
        Ok(Message::Response(response)) => {
            let cseq = response.headers().text("CSeq").unwrap_or_default();
            let method = cseq.split_whitespace().nth(1).unwrap_or_default();
            format!("{} {method}", response.status().code())
        }
        Err(error) => format!("({error})"),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::List(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        Value::Map(_) => "{…}".to_owned(),
    }
}
