//! One party of a trace: an engine, with media that are always ready.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ice_stun::ice::{Candidate, Transport};
use sip_core::endpoint as sip;
use sip_core::{Message, Method, StatusCode};
use testkit::{Delivery, Host, Network};

use super::ice::Ice;
use super::rules::Rules;
use crate::configuration::{
    IceTrickle, MsrpConfiguration, RingtoneConfiguration, RtpConfiguration, SessionTimers, SrtpPolicy,
};
use crate::credentials::Credentials;
use crate::engine::{Engine, EngineConfig, Now, Output};
use crate::error::Error;
use crate::messaging::OutgoingMessage;
use crate::notification::{ChatFailureContext, Event, Value};
use crate::session::machine::SessionConfig;
use crate::session::{
    AudioPreparation, AutoAnswer, ChatAction, ConferenceId, DtmfMethod, FileInfo, FileSource, FileToSend,
    Invitation, MediaCommand, MediaEvent, MsrpPlace, Operation, ReceivedMessage, SessionId, State, StreamId,
    StreamSet, TransferOptions, auto_answer_headers,
};

/// What happened, in order: `alice > INVITE`, `bob ! SCSessionDidStart`.
pub(super) type Log = Rc<RefCell<Vec<String>>>;

pub(super) struct Agent {
    pub(super) name: &'static str,
    pub(super) engine: Engine,
    pub(super) address: SocketAddr,
    /// The first session, or the one that was begun here last.
    pub(super) session: Option<SessionId>,
    /// All of them, in the order in which they came about.
    pub(super) sessions: Vec<SessionId>,
    /// Whether packets are logged at this side.
    watches_wire: bool,
    /// All packets as they left.
    pub(super) packets: Vec<Bytes>,
    pub(super) rules: Rules,
    log: Log,
    media: VecDeque<(SessionId, StreamId, MediaEvent)>,
    recordings: Vec<(SessionId, StreamId, String)>,
    /// Media that were prepared, by what they are.
    streams: Vec<(SessionId, StreamId, &'static str)>,
    /// What the media do instead of what they are asked.
    media_mood: MediaMood,
    /// Events of prepared media that are held back.
    held: Vec<(SessionId, StreamId, MediaEvent)>,
    /// The headers of the application that were read.
    read: BTreeSet<(SessionId, String)>,
    /// File transfers, and whether we send.
    files: Vec<(SessionId, StreamId, bool)>,
    pub(super) start: Instant,
    /// The chat stream that was prepared last, and how often its connection was lost.
    chat_stream: Option<(StreamId, u32)>,
    pub(super) ice: Ice,
    /// The audio stream, and whether we nominate, where ICE is used.
    pub(super) ice_stream: Option<(StreamId, bool)>,
    /// User fragments so far: ours and the peer's.
    generations: [Vec<String>; 2],
    /// Where candidates may be told later: only those of this host are there at first.
    gathers_slowly: bool,
    /// All candidates so far.
    pub(super) found: Vec<Candidate>,
}

/// How willing the media are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum MediaMood {
    Ready,
    /// Prepared only when a command says so.
    Slow,
    /// Never prepared.
    Broken,
    /// Prepared, but nothing of the peer is heard.
    Deaf,
}

impl Agent {
    fn session_config(&self) -> SessionConfig {
        let mut config = session_config(self.address);
        config.rtp = self.engine.config.session.rtp.clone();
        config
    }

    pub(super) fn new(name: &'static str, seed: u8, watches_wire: bool, start: Instant, log: &Log) -> Self {
        let address = place(name);
        let config = EngineConfig {
            sip: sip::Config::default(),
            session: session_config(address),
            max_sessions: usize::MAX,
            accept_messages: true,
            transfers: true,
            referrals: false,
            events: Vec::new(),
        };
        let numbers = Arc::new(AtomicU64::new(1));
        let mut engine = Engine::new(config, numbers, [seed; 32]);
        engine.bound(now_at(start, start), sip::Transport::Udp, address);
        Self {
            name,
            engine,
            address,
            session: None,
            sessions: Vec::new(),
            watches_wire,
            packets: Vec::new(),
            rules: Rules::default(),
            log: log.clone(),
            media: VecDeque::new(),
            recordings: Vec::new(),
            streams: Vec::new(),
            media_mood: MediaMood::Ready,
            held: Vec::new(),
            read: BTreeSet::new(),
            files: Vec::new(),
            chat_stream: None,
            start,
            ice: Ice::No,
            ice_stream: None,
            generations: [Vec::new(), Vec::new()],
            gathers_slowly: false,
            found: Vec::new(),
        }
    }

    /// Carries a command of a trace out: `connect audio`, `accept audio,chat`, `2 hold`.
    pub(super) fn command(&mut self, at: Instant, words: &[&str], peer: SocketAddr) -> Result<(), Error> {
        let now = now_at(self.start, at);
        let (session, words) = match words[0].parse::<usize>() {
            Ok(number) => (self.sessions.get(number - 1).copied(), &words[1..]),
            Err(_) => (self.session, words),
        };
        let (verb, argument) = (words[0], words.get(1).copied().unwrap_or_default());
        if let Some(done) = self.command_outside(now, words, peer) {
            return done;
        }
        match verb {
            "connect" => return self.connect(now, words, peer),
            "page" => {
                let to = format!("sip:bob@{peer}").parse().expect("a URI");
                let from = format!("sip:{}@{}", self.name, self.address).parse().expect("a URI");
                let credentials = Credentials::new(from);
                let message =
                    OutgoingMessage { notify: true, ..OutgoingMessage::new(to, credentials, argument) };
                return self.engine.send_message(now, message).map(drop);
            }
            "set" => {
                self.set(argument);
                return Ok(());
            }
            "leave" => {
                self.engine.terminate_all(now);
                return Ok(());
            }
            "moves" => {
                self.move_to(now, argument.parse().expect("an address"));
                return Ok(());
            }
            _ => {}
        }
        let Some(id) = session else {
            return Err(Error::Unknown { what: "the session for", name: verb.to_owned() });
        };
        self.command_in(at, id, words, peer)
    }

    /// Another network, with this address.
    fn move_to(&mut self, now: Now, new: SocketAddr) {
        let (old, transport) = (std::mem::replace(&mut self.address, new), sip::Transport::Udp);
        self.engine.bound(now, transport, new);
        self.engine.handle_sip(now, sip::Input::Unbound { transport, local: old });
        self.engine.network_changed(now);
        self.engine.media_moved(now, new.ip(), true);
    }

    /// A command in a session of ours; one that is over refuses all but its end.
    pub(super) fn command_in(
        &mut self,
        at: Instant,
        id: SessionId,
        words: &[&str],
        peer: SocketAddr,
    ) -> Result<(), Error> {
        let now = now_at(self.start, at);
        let (verb, argument) = (words[0], words.get(1).copied().unwrap_or_default());
        if matches!(verb, "transfer" | "transfer-to" | "accept-transfer") && !self.engine.knows(id) {
            let operation = operation_of(verb, argument);
            return Err(Error::IllegalState { operation, state: State::Terminated });
        }
        match verb {
            "ice" => {
                let (stream, event) = match argument {
                    "found" | "gathered" => self.candidates(&words[1..]),
                    _ => self.ice_state(&words[1..], peer),
                };
                self.engine.handle_media(now, id, stream, event);
                return Ok(());
            }
            "media" => {
                self.media_command(now, id, argument, words.get(2).copied().unwrap_or_default());
                return Ok(());
            }
            "transfer" => {
                let target = format!("sip:carol@{}", place("carol")).parse().expect("a URI");
                let options = TransferOptions { tell: argument != "silent", ..TransferOptions::default() };
                return self.engine.transfer(now, id, target, options);
            }
            "transfer-to" => {
                let number: usize = argument.parse().expect("a session's number");
                let other = self.sessions[number - 1];
                return self.engine.transfer_to(now, id, other, TransferOptions::default());
            }
            "accept-transfer" => {
                let config = self.session_config();
                return self.engine.accept_transfer(now, id, None, config).map(drop);
            }
            _ => {}
        }
        if verb == "lose-chat" {
            let (stream, times) = self.chat_stream.as_mut().expect("a chat");
            *times += 1;
            let path = format!("msrp://{}:2855/{}{}-{times};tcp", self.address.ip(), self.name, stream.0);
            let event = MediaEvent::ChatLost { path, fingerprint: None, reason: argument.to_owned() };
            let stream = *stream;
            self.engine.handle_media(now, id, stream, event);
            return Ok(());
        }
        let headers = headers_of(words);
        let done = self.engine.with_session(now, id, |session, context| match verb {
            "accept" => session.accept(context, streams(argument), Some("files".into()), headers),
            "early-media" => session.start_early_media(context, streams(argument)),
            "reject" => session.reject(context, argument.parse().ok().and_then(StatusCode::new), headers),
            "hold" => session.hold(context, true),
            "restart-ice" => session.restart_ice(context),
            "unhold" => session.hold(context, false),
            "add" => session.add(context, streams(argument)),
            "remove" => session.remove(context, streams(argument)),
            "accept-proposal" => session.accept_proposal(context, streams(argument), Some("files".into())),
            "reject-proposal" => session.reject_proposal(context),
            "reject-transfer" => session.reject_transfer(context),
            "confer" => session.set_conference(context, argument.parse().ok().map(ConferenceId)),
            "dtmf" => {
                let method = match words.get(2) {
                    Some(&"info") => DtmfMethod::Info,
                    Some(&"inband") => DtmfMethod::InBand,
                    _ => DtmfMethod::Rtp,
                };
                session.send_dtmf(context, argument.chars().next().unwrap_or('0'), method)
            }
            "record" => session.start_recording(context, argument.into()),
            "stop-recording" => session.stop_recording(context),
            "mute" => session.set_muted(context, true),
            "attach-pcm" => session.attach_pcm(context, 1),
            "remove-file" => session.remove_file(context, argument),
            "connect" => {
                let us = Credentials::new("sip:alice@example.com".parse().expect("a URI"));
                let invitation = Invitation::new(format!("sip:bob@{peer}").parse().expect("a URI"), us);
                session.connect(context, invitation, streams(argument), Vec::new())
            }
            "send-file" => session.send_file(context, FileToSend::new(argument)).map(drop),
            "request-file" => {
                let info = FileInfo { name: Some(argument.to_owned()), ..FileInfo::default() };
                session.request_file(context, info, Some("files".into())).map(drop)
            }
            "message" => {
                let content = Bytes::copy_from_slice(argument.as_bytes());
                session.send_message(context, content, "text/plain".to_owned(), None, None, false).map(|_| ())
            }
            "composing" => session.act_in_chat(context, Operation::Composing, ChatAction::Composing),
            "displayed" => {
                let action = ChatAction::Displayed(argument.to_owned());
                session.act_in_chat(context, Operation::Displayed, action)
            }
            "nickname" => {
                let action = ChatAction::Nickname(argument.to_owned());
                session.act_in_chat(context, Operation::SetNickname, action)
            }
            "terminate" => {
                session.terminate(context);
                Ok(())
            }
            verb => panic!("no such command: {verb}"),
        });
        // As a handle does, whose session is over.
        done.unwrap_or_else(|| match operation_of(verb, argument) {
            Operation::Terminate => Ok(()),
            operation => Err(Error::IllegalState { operation, state: State::Terminated }),
        })
    }

    /// `connect audio,chat late redirects=2 to=carol H=Subject:hello`.
    fn connect(&mut self, now: Now, words: &[&str], peer: SocketAddr) -> Result<(), Error> {
        let streams = streams(words.get(1).copied().unwrap_or_default());
        let said = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let id = SessionId(self.engine.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.session = Some(id);
        self.sessions.push(id);
        let callee = match said("to") {
            Some("unreachable") => format!("sip:bob@{peer};transport=tcp"),
            Some(name) => format!("sip:{name}@{}", place(name)),
            None => format!("sip:bob@{peer}"),
        };
        let callee = callee.parse().expect("a URI");
        let us = Credentials::new(format!("sip:{}@example.com", self.name).parse().expect("a URI"));
        let mut headers = headers_of(words);
        if words.contains(&"auto") {
            headers.extend(auto_answer_headers(&us.uri));
        }
        let invitation = Invitation {
            headers,
            max_redirects: said("redirects").and_then(|text| text.parse().ok()).unwrap_or(0),
            late_offer: words.contains(&"late"),
            ..Invitation::new(callee, us)
        };
        let files = if streams.file { vec![FileToSend::new("photo.jpg")] } else { Vec::new() };
        self.engine.connect(now, id, self.session_config(), invitation, streams, files)
    }

    /// Whether a command about media has something to be about.
    pub(super) fn has_media(&self, number: &str, kind: &str) -> bool {
        let session = number.parse::<usize>().ok().and_then(|number| self.sessions.get(number - 1));
        let Some(session) = session else { return false };
        kind == "ready" || self.streams.iter().any(|(id, _, known)| id == session && *known == kind)
    }

    /// How this side is to be from now on.
    fn set(&mut self, what: &str) {
        let session = &mut self.engine.config.session;
        match what {
            "media=slow" => self.media_mood = MediaMood::Slow,
            "media=broken" => self.media_mood = MediaMood::Broken,
            "media=deaf" => self.media_mood = MediaMood::Deaf,
            "media=ready" => self.media_mood = MediaMood::Ready,
            "accepts=audio" => session.accepts = StreamSet::AUDIO,
            "srtp=off" => session.rtp.use_srtp = false,
            "srtp=on" => session.rtp.use_srtp = true,
            "srtp=forced" => (session.rtp.use_srtp, session.rtp.srtp_forced) = (true, true),
            "auto-answer=asked" => session.auto_answer = AutoAnswer::AskedByAnyone,
            "auto-answer=all" => session.auto_answer = AutoAnswer::All(Duration::from_secs(1)),
            "trickle=off" => session.rtp.ice_trickle = IceTrickle::Off,
            "trickle=full" => session.rtp.ice_trickle = IceTrickle::Full,
            "gathering=slow" => self.gathers_slowly = true,
            "sessions=1" => self.engine.config.max_sessions = 1,
            "messages=off" => self.engine.config.accept_messages = false,
            "referrals=on" => self.opens(|config| config.referrals = true),
            "transfers=off" => self.opens(|config| config.transfers = false),
            "events=presence" => self.opens(|config| config.events = vec!["presence".to_owned()]),
            "ringtones" => {
                let mut ringtones = RingtoneConfiguration::default();
                ringtones.default_inbound_ringtone = Some("in.wav".into());
                ringtones.outbound_ringtone = Some("out.wav".into());
                self.engine.set_ringtones(Arc::new(ringtones));
            }
            what => panic!("nothing to be set: {what}"),
        }
    }

    /// What media do by themselves: `media audio lost`, `media chat failed`, `media ready`.
    fn media_command(&mut self, now: Now, id: SessionId, kind: &str, what: &str) {
        if kind == "ready" {
            self.media_mood = MediaMood::Ready;
            self.media.extend(self.held.drain(..));
            return;
        }
        let stream = self.streams.iter().rev().find(|(session, _, known)| *session == id && *known == kind);
        let (_, stream, _) = *stream.expect("there is such a stream");
        let event = match what.split_once('=') {
            Some(("dtmf", digit)) => MediaEvent::Dtmf(digit.chars().next().expect("a digit")),
            Some(("says", text)) => MediaEvent::ChatMessage(Box::new(ReceivedMessage {
                message_id: "m1".to_owned(),
                content: Bytes::copy_from_slice(text.as_bytes()),
                content_type: "text/plain".to_owned(),
                cpim_headers: Vec::new(),
            })),
            _ => match what {
                "lost" => MediaEvent::AudioLost,
                "failed" => MediaEvent::Failed {
                    context: ChatFailureContext::Reading,
                    reason: "on purpose".to_owned(),
                },
                "disk-full" => {
                    let (_, _, file_name) = self.recordings.pop().expect("it is being recorded");
                    MediaEvent::RecordingFailed { file_name, reason: "no space left".to_owned() }
                }
                what => panic!("media do not do that: {what}"),
            },
        };
        self.engine.handle_media(now, id, stream, event);
    }

    fn log(&self, line: String) {
        self.log.borrow_mut().push(format!("{} {line}", self.name));
    }

    /// A session as traces call it: nothing for the first, `/2` for the second.
    fn label(&mut self, session: SessionId) -> String {
        let known = self.sessions.iter().position(|id| *id == session);
        let index = known.unwrap_or_else(|| {
            self.sessions.push(session);
            self.sessions.len() - 1
        });
        if index == 0 { String::new() } else { format!("/{}", index + 1) }
    }

    fn log_event(&self, label: &str, event: &Event) {
        let data: String = event
            .data()
            .iter()
            .filter(|(name, _)| !matches!(*name, "message_id" | "transfer_id"))
            .map(|(_, value)| format!(" {}", shown(value)))
            .collect();
        self.log.borrow_mut().push(format!("{}{label} ! {}{data}", self.name, event.name()));
    }

    fn log_packet(&self, arrow: char, data: &Bytes) {
        if self.watches_wire {
            self.log(format!("{arrow} {}", summary(data)));
        }
    }

    /// Media that do at once what they are asked.
    fn perform(&mut self, session: SessionId, command: MediaCommand) {
        let prepared = match &command {
            MediaCommand::PrepareAudio(stream, _) => Some((*stream, "audio")),
            MediaCommand::PrepareChat(stream, _) => Some((*stream, "chat")),
            MediaCommand::PrepareFile(stream, _) => Some((*stream, "file")),
            _ => None,
        };
        if let Some((stream, kind)) = prepared {
            self.streams.push((session, stream, kind));
            if self.media_mood == MediaMood::Broken {
                let context = ChatFailureContext::Initialize;
                let failed = MediaEvent::Failed { context, reason: "no port is free".to_owned() };
                self.media.push_back((session, stream, failed));
                return;
            }
        }
        let (mood, slow) = (self.media_mood, prepared.is_some() && self.media_mood == MediaMood::Slow);
        let queue = &mut self.media;
        let held = &mut self.held;
        let mut tell = |stream, event| match slow {
            true => held.push((session, stream, event)),
            false => queue.push_back((session, stream, event)),
        };
        match command {
            MediaCommand::PrepareAudio(stream, preparation) => {
                let port = 40_000 + 2 * u16::try_from(stream.0).expect("few streams");
                let at = |port| SocketAddr::new(self.address.ip(), port);
                let (mut candidates, mut complete) = (Vec::new(), true);
                if let Some(ice) = preparation.ice {
                    complete = !(ice.trickle && self.gathers_slowly);
                    self.ice_stream = Some((stream, ice.controlling));
                    let host = |component| {
                        Candidate::host(component, Transport::Udp, at(port + component - 1), u16::MAX)
                    };
                    candidates.extend([host(1), host(2)]);
                    self.found.clone_from(&candidates);
                }
                tell(
                    stream,
                    MediaEvent::AudioReady {
                        rtp: at(port),
                        rtcp: at(port + 1),
                        candidates,
                        complete,
                        fingerprint: None,
                    },
                );
            }
            MediaCommand::MoveAudio(stream, AudioPreparation { address, .. }) => {
                let at = |port| SocketAddr::new(address, port);
                let host = |port| Candidate::host(port - 49_999, Transport::Udp, at(port), u16::MAX);
                let candidates = match self.ice {
                    Ice::No => Vec::new(),
                    _ => vec![host(50_000), host(50_001)],
                };
                tell(stream, MediaEvent::AudioMoved { rtp: at(50_000), rtcp: at(50_001), candidates });
            }
            MediaCommand::RunAudio(stream, parameters) => {
                // Fails closed, whatever was held, offered or answered before.
                if self.engine.config.session.rtp.srtp_policy() == SrtpPolicy::Mandatory {
                    let closed = parameters.srtp.is_some() && parameters.srtp_policy == SrtpPolicy::Mandatory;
                    if !closed {
                        self.rules.broken.push("plain RTP where SRTP is forced".to_owned());
                    }
                }
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
                if mood != MediaMood::Deaf {
                    tell(stream, MediaEvent::AudioReceived { from: parameters.remote_rtp });
                }
            }
            MediaCommand::AddCandidates(_, candidates, complete) => {
                let ports = candidates.iter().map(|one| one.port().to_string());
                let all: Vec<String> = ports.chain(complete.then(|| "all".to_owned())).collect();
                self.log(format!("* learns candidates: {}", all.join(", ")));
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
                self.chat_stream = Some((stream, 0));
                tell(stream, MediaEvent::ChatReady { path, fingerprint: None });
            }
            MediaCommand::RunChat(stream, parameters) => {
                tell(stream, MediaEvent::ChatStarted);
                if let Some(MsrpPlace { host, port }) = parameters.remote_place {
                    self.log(format!("* connects to {host}:{port}"));
                }
            }
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
            MediaCommand::SendDtmf(_, digit) => self.log(format!("* sends {digit} in RTP")),
            MediaCommand::SendTone(_, digit) => self.log(format!("* sounds {digit}")),
            MediaCommand::Confer(_, conference) => match conference {
                Some(conference) => self.log(format!("* is in {conference}")),
                None => self.log("* is in no conference".to_owned()),
            },
            MediaCommand::PauseRecording(_, paused) => {
                self.log(format!("* records {}", if paused { "nothing" } else { "again" }));
            }
            MediaCommand::AttachPcm(_, number) => self.log(format!("* speaks and hears as {number}")),
            MediaCommand::SetMuted(_, muted) => {
                self.log(format!("* is {}", if muted { "muted" } else { "heard" }))
            }
            MediaCommand::ActInChat(_, action) => self.log(format!("* chats: {action:?}")),
            MediaCommand::PlayRingtone(path) => self.log(format!("* plays {}", path.display())),
            MediaCommand::StopRingtone => self.log("* is still".to_owned()),
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
        self.rules.watch(&data, false);
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
                    self.rules.watch(&data, true);
                    network.send(now, self.address, remote, data.to_vec());
                    self.packets.push(data);
                }
                // No connections here: what is too long for a datagram goes in one all the same.
                Output::Sip(sip::Output::Connect { flow, .. }) => {
                    let refused = sip::Input::ConnectFailed { flow, reason: "refused".to_owned() };
                    self.engine.handle_sip(now_at(self.start, now), refused);
                }
                // Nor a DNS: a name that a packet got on its way leads nowhere.
                Output::Sip(sip::Output::Resolve { query, .. }) => {
                    let nothing = sip::Input::Resolved { query, result: Err("no DNS".to_owned()) };
                    self.engine.handle_sip(now_at(self.start, now), nothing);
                }
                Output::Sip(other) => panic!("only datagrams here: {other:?}"),
                Output::Media { session, command } => self.perform(session, command),
                Output::Snapshot { .. } => {}
                Output::Post { event, .. } => self.log_event("", &event),
                Output::Notify { session, snapshot, event } => {
                    self.session.get_or_insert(session);
                    self.rules.hear(session, &snapshot, &event);
                    let label = self.label(session);
                    if let Some(note) = snapshot.remote_headers.as_ref().and_then(|it| it.text("X-Note"))
                        && self.read.insert((session, note.to_owned()))
                    {
                        self.log(format!("* reads X-Note: {note}"));
                    }
                    self.log_event(&label, &event);
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

/// What a command asks for.
fn operation_of(verb: &str, argument: &str) -> Operation {
    let name = match (verb, argument) {
        ("record", _) => "start_recording_audio".to_owned(),
        ("stop-recording", _) => "stop_recording_audio".to_owned(),
        ("mute", _) => "set_muted".to_owned(),
        ("dtmf", _) => "send_dtmf".to_owned(),
        ("message", _) => "send_message".to_owned(),
        ("nickname", _) => "set_nickname".to_owned(),
        ("confer", "none") => "leave_conference".to_owned(),
        ("confer", _) => "join_conference".to_owned(),
        ("early-media", _) => "start_early_media".to_owned(),
        ("transfer-to", _) => "transfer".to_owned(),
        ("add" | "remove", kind) => format!("{verb}_{}", kind.split(',').next().unwrap_or_default()),
        _ => verb.replace('-', "_"),
    };
    let known = Operation::ALL.into_iter().find(|operation| operation.name() == name);
    known.unwrap_or_else(|| panic!("no operation is {name}"))
}

/// Where somebody is.
pub(super) fn place(name: &str) -> SocketAddr {
    let number = match name {
        "alice" => 1,
        "bob" => 2,
        _ => 3,
    };
    SocketAddr::from(([192, 0, 2, number], 5060))
}

/// `H=Subject:hello` among the words of a command.
fn headers_of(words: &[&str]) -> Vec<(String, String)> {
    let headers = words.iter().filter_map(|word| word.strip_prefix("H=")?.split_once(':'));
    headers.map(|(name, value)| (name.to_owned(), value.replace('_', " "))).collect()
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
        auto_answer: AutoAnswer::Never,
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
        Ok(Message::Request(request)) if request.headers().text("Info-Package").is_some() => {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            let end = if body.contains("a=end-of-candidates") { ", all" } else { "" };
            format!("INFO candidates: {}{end}", body.matches("a=candidate:").count())
        }
        Ok(Message::Request(request)) => {
            let described = *request.method() == Method::Ack && !request.body().is_empty();
            format!("{}{}", request.method(), if described { ", a description" } else { "" })
        }
        Ok(Message::Response(response)) => {
            let cseq = response.headers().text("CSeq").unwrap_or_default();
            let method = cseq.split_whitespace().nth(1).unwrap_or_default();
            let (code, described) = (response.status().code(), !response.body().is_empty());
            let said = match (code, method, described) {
                (200, "UPDATE" | "PRACK", true) => ", a description",
                (200, "INVITE", false) => ", no description",
                _ => "",
            };
            format!("{code} {method}{said}")
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
