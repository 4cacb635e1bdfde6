//! The media of one party, in virtual time: audio that goes over the simulated network, with ICE and
//! a relay where the session wants them; chat and files that do at once what they are asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ice_stun::ice::gather::{self, Gatherer, Link, Received, Sent};
use ice_stun::ice::{self, Agent, PacketKind, Path, Policy, Role};
use ice_stun::stun::Credentials;
use ice_stun::turn;
use testkit::{Network, Random};

use crate::session::{
    AudioParameters, FileInfo, FileSource, IceParameters, IcePreparation, IceSelection, IceState,
    MediaCommand, MediaEvent, SessionId, StreamId,
};

/// Between two packets of a stream: enough to hear whether it flows.
const PACKET: Duration = Duration::from_millis(250);
/// For so long candidates are gathered.
const GATHERING: Duration = Duration::from_secs(4);

type Key = (SessionId, StreamId);

/// All streams of one party.
pub(super) struct Media {
    audio: BTreeMap<Key, Audio>,
    /// Streams that only have to give their relays back.
    closing: Vec<Ice>,
    /// Chats that are open.
    chats: Vec<Key>,
    /// File transfers, and whether we send.
    files: Vec<(Key, bool)>,
    recordings: Vec<(Key, String)>,
    next_port: u16,
    /// Between two packets of a stream.
    pub(super) packet_every: Duration,
    pub(super) events: VecDeque<(SessionId, StreamId, MediaEvent)>,
    random: Random,
}

struct Audio {
    rtp: SocketAddr,
    ice: Option<Ice>,
    parameters: Option<Box<AudioParameters>>,
    next_packet: Instant,
    from: Option<SocketAddr>,
    heard: Option<Instant>,
    lost_told: bool,
}

struct Ice {
    agent: Agent,
    gatherer: Gatherer,
    told: Option<(IceState, Option<IceSelection>)>,
    gathered: bool,
    /// Whether that was told.
    ready: bool,
    /// Candidates that come after the first are told as they come; so many were.
    trickling: Option<usize>,
    trickle: bool,
}

impl Media {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            audio: BTreeMap::new(),
            closing: Vec::new(),
            chats: Vec::new(),
            files: Vec::new(),
            recordings: Vec::new(),
            next_port: 40_000,
            packet_every: PACKET,
            events: VecDeque::new(),
            random: Random::new(seed),
        }
    }

    /// What is still open.
    pub(super) fn open(&self) -> usize {
        self.audio.len() + self.chats.len() + self.files.len() + self.recordings.len()
    }

    /// When something of the peer was heard last in this session, if its audio runs.
    pub(super) fn heard(&self, session: SessionId) -> Option<Option<Instant>> {
        let of_it = |((id, _), audio): &(&Key, &Audio)| *id == session && audio.parameters.is_some();
        self.audio.iter().find(of_it).map(|(_, audio)| audio.heard)
    }

    /// Does what a session asks; what comes of it goes into the events.
    pub(super) fn perform(&mut self, now: Instant, ip: IpAddr, session: SessionId, command: MediaCommand) {
        let key = |stream| (session, stream);
        match command {
            MediaCommand::PrepareAudio(stream, preparation) => {
                // RFC 3550 §11: an even port; none is used twice for a long while.
                self.next_port = if self.next_port >= 60_000 { 40_000 } else { self.next_port + 2 };
                let rtp = SocketAddr::new(ip, self.next_port);
                let ice = preparation.ice.map(|ice| Ice::start(now, &ice, rtp, self.random.seed()));
                let without = ice.is_none();
                let audio = Audio {
                    rtp,
                    ice,
                    parameters: None,
                    next_packet: now,
                    from: None,
                    heard: None,
                    lost_told: false,
                };
                self.audio.insert(key(stream), audio);
                if without {
                    self.tell(key(stream), ready(rtp, Vec::new(), true));
                }
            }
            MediaCommand::RunAudio(stream, parameters) => {
                if let Some(audio) = self.audio.get_mut(&key(stream)) {
                    audio.run(now, parameters);
                }
            }
            MediaCommand::AddCandidates(stream, candidates, complete) => {
                if let Some(ice) = self.audio.get_mut(&key(stream)).and_then(|audio| audio.ice.as_mut()) {
                    ice.add_remote(now, candidates, complete);
                }
            }
            MediaCommand::StopAudio(stream) => {
                self.stop_recording(key(stream));
                if let Some(mut ice) = self.audio.remove(&key(stream)).and_then(|audio| audio.ice) {
                    ice.gatherer.settle(now, &[]);
                    self.closing.push(ice);
                }
                self.tell(key(stream), MediaEvent::Stopped);
            }
            MediaCommand::StartRecording(stream, path) => {
                let file_name = path.to_string_lossy().into_owned();
                self.recordings.push((key(stream), file_name.clone()));
                self.tell(key(stream), MediaEvent::RecordingStarted { file_name });
            }
            MediaCommand::StopRecording(stream) => self.stop_recording(key(stream)),
            MediaCommand::PrepareChat(stream, _) => {
                self.chats.push(key(stream));
                let path = format!("msrp://{ip}:2855/{}-{};tcp", session.0, stream.0);
                self.tell(key(stream), MediaEvent::ChatReady { path, fingerprint: None });
            }
            MediaCommand::RunChat(stream, _) => self.tell(key(stream), MediaEvent::ChatStarted),
            MediaCommand::SendMessage(stream, message) => {
                let (message_id, reason) = (message.message_id, "OK".to_owned());
                self.tell(key(stream), MediaEvent::ChatDelivered { message_id, code: 200, reason });
            }
            MediaCommand::StopChat(stream) => {
                self.chats.retain(|chat| *chat != key(stream));
                self.tell(key(stream), MediaEvent::Stopped);
            }
            MediaCommand::PrepareFile(stream, preparation) => {
                let (info, offset, sends) = look_at(&preparation.source);
                self.files.push((key(stream), sends));
                let path = format!("msrp://{ip}:2855/f{}-{};tcp", session.0, stream.0);
                self.tell(key(stream), MediaEvent::FileReady { path, fingerprint: None, info, offset });
            }
            MediaCommand::RunFile(stream, parameters) => {
                let sends = self.files.contains(&(key(stream), true));
                self.tell(key(stream), MediaEvent::FileStarted);
                self.tell(key(stream), MediaEvent::FileProgress { bytes: 500, size: 1_000 });
                let done = match sends {
                    true => MediaEvent::FileDelivered { code: 200, reason: "OK".to_owned() },
                    false => MediaEvent::FileReceived { path: "files/one".into(), info: parameters.info },
                };
                self.tell(key(stream), done);
            }
            MediaCommand::StopFile(stream) => {
                self.files.retain(|(file, _)| *file != key(stream));
                self.tell(key(stream), MediaEvent::Stopped);
            }
            _ => {}
        }
    }

    fn tell(&mut self, (session, stream): Key, event: MediaEvent) {
        self.events.push_back((session, stream, event));
    }

    fn stop_recording(&mut self, key: Key) {
        if let Some(index) = self.recordings.iter().position(|(one, _)| *one == key) {
            let (_, file_name) = self.recordings.remove(index);
            self.tell(key, MediaEvent::RecordingStopped { file_name });
        }
    }

    /// A datagram for a media port.
    pub(super) fn receive(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, data: &[u8]) {
        let Some((&key, audio)) = self.audio.iter_mut().find(|(_, audio)| audio.rtp == to) else { return };
        if let Some(from) = audio.receive(now, to, from, data) {
            self.tell(key, MediaEvent::AudioReceived { from });
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        for audio in self.audio.values_mut() {
            if let Some(ice) = &mut audio.ice {
                ice.agent.handle_timeout(now);
                ice.gatherer.handle_timeout(now);
            }
        }
    }

    /// Sends what is due and tells when to come again.
    pub(super) fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        let mut due: Option<Instant> = None;
        for mut ice in self.closing.drain(..) {
            ice.drive_gatherer(now, network);
        }
        let keys: Vec<Key> = self.audio.keys().copied().collect();
        for key in keys {
            let Some(audio) = self.audio.get_mut(&key) else { continue };
            let mut told = Vec::new();
            let next = audio.flush(now, self.packet_every, network, &mut told);
            due = due.into_iter().chain(next).min();
            for event in told {
                self.tell(key, event);
            }
        }
        due
    }
}

fn ready(rtp: SocketAddr, candidates: Vec<ice::Candidate>, complete: bool) -> MediaEvent {
    MediaEvent::AudioReady {
        rtp,
        rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
        candidates,
        complete,
        fingerprint: None,
    }
}

impl Audio {
    fn run(&mut self, now: Instant, parameters: Box<AudioParameters>) {
        if let (Some(ice), Some(told)) = (&mut self.ice, &parameters.ice) {
            ice.set_remote(now, told);
        } else if parameters.ice.is_none() {
            self.ice = None;
        }
        if self.parameters.as_ref().is_none_or(|before| before.remote_rtp != parameters.remote_rtp) {
            self.from = None;
        }
        (self.heard, self.lost_told) = (None, false);
        self.parameters = Some(parameters);
    }

    /// Takes a datagram; tells from where the peer is heard, if that is news.
    fn receive(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, data: &[u8]) -> Option<SocketAddr> {
        let from = match &mut self.ice {
            Some(ice) => ice.receive(now, to, from, data)?,
            None if PacketKind::of(data) == PacketKind::Stun => return None,
            None => from,
        };
        self.parameters.as_ref()?;
        (self.heard, self.lost_told) = (Some(now), false);
        (self.from.replace(from) != Some(from)).then_some(from)
    }

    fn flush(
        &mut self,
        now: Instant,
        every: Duration,
        network: &mut Network,
        told: &mut Vec<MediaEvent>,
    ) -> Option<Instant> {
        let mut due = None;
        if let Some(ice) = &mut self.ice {
            due = ice.drive(now, network);
            if !ice.ready && (ice.gathered || ice.trickle) {
                ice.ready = true;
                let candidates: Vec<_> = ice.agent.local_candidates().cloned().collect();
                match ice.gathered {
                    true => ice.agent.end_of_local_candidates(now),
                    false => ice.trickling = Some(candidates.len()),
                }
                told.push(ready(self.rtp, candidates, ice.gathered));
                due = due.into_iter().chain(ice.drive(now, network)).min();
            }
            told.extend(ice.found(now));
            told.extend(ice.news());
        }
        let Some(parameters) = &self.parameters else { return due };
        if let (Some(heard), false, true) = (self.heard, self.lost_told, parameters.receives) {
            let lost = heard + parameters.silence;
            if lost <= now {
                self.lost_told = true;
                told.push(MediaEvent::AudioLost);
            } else {
                due = due.into_iter().chain(Some(lost)).min();
            }
        }
        if !parameters.sends {
            return due;
        }
        if self.next_packet <= now {
            self.next_packet = now + every;
            let mut packet = [0; 12];
            packet[0] = 0x80;
            match &mut self.ice {
                Some(ice) => ice.send(now, &packet, network),
                None => {
                    let to = self.from.unwrap_or(parameters.remote_rtp);
                    network.send(now, self.rtp, to, packet.to_vec());
                }
            }
        }
        due.into_iter().chain(Some(self.next_packet)).min()
    }
}

impl Ice {
    fn start(now: Instant, preparation: &IcePreparation, rtp: SocketAddr, seed: [u8; 32]) -> Self {
        let IcePreparation { credentials, controlling, configuration, .. } = preparation;
        let policy = if configuration.relay_only { Policy::RelayOnly } else { Policy::All };
        let config = ice::Config {
            role: if *controlling { Role::Controlling } else { Role::Controlled },
            components: 1,
            policy,
            ..ice::Config::default()
        };
        let relay = configuration.turn.iter().map(|server| {
            let at = SocketAddr::new(server.host.parse().expect("a number"), server.port);
            turn::Config::new(at, Credentials::long_term(server.username.clone(), server.password.as_str()))
        });
        let gathering = gather::Config {
            turn: relay.collect(),
            policy,
            patience: GATHERING,
            ..gather::Config::default()
        };
        let mut gatherer = Gatherer::new(gathering, seed);
        gatherer.add_sockets(now, &[gather::Socket { component: 1, address: rtp }]);
        let agent = Agent::with_credentials(config, credentials.clone(), seed);
        let trickle = preparation.trickle;
        Self { agent, gatherer, told: None, gathered: false, ready: false, trickling: None, trickle }
    }

    /// Candidates that came after the first.
    fn found(&mut self, now: Instant) -> Option<MediaEvent> {
        let told = self.trickling?;
        let candidates: Vec<_> = self.agent.local_candidates().cloned().collect();
        let complete = self.gathered;
        if complete {
            self.trickling = None;
            self.agent.end_of_local_candidates(now);
        } else if candidates.len() == told {
            return None;
        } else {
            self.trickling = Some(candidates.len());
        }
        Some(MediaEvent::IceCandidates { candidates, complete })
    }

    fn add_remote(&mut self, now: Instant, candidates: Vec<ice::Candidate>, complete: bool) {
        for candidate in candidates {
            self.agent.add_remote_candidate(now, candidate);
        }
        if complete {
            self.agent.end_of_remote_candidates(now);
        }
    }

    fn set_remote(&mut self, now: Instant, parameters: &IceParameters) {
        if parameters.local != *self.agent.credentials() {
            self.agent.restart_with(now, parameters.local.clone());
            self.told = None;
        }
        self.agent.set_remote_parameters(now, parameters.remote.clone());
        self.add_remote(now, parameters.candidates.clone(), parameters.complete);
    }

    /// Takes a datagram; media is given back, with whose it is.
    fn receive(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, data: &[u8]) -> Option<SocketAddr> {
        let (path, inner) = match self.gatherer.handle_datagram(now, to, from, data) {
            Received::Taken => return None,
            Received::Data { path, data } => (path, data),
            Received::NotOurs => (Path { component: 1, tcp: false, base: to, remote: from }, data),
        };
        if PacketKind::of(inner) == PacketKind::Stun {
            self.agent.handle_input(now, ice::Input::Datagram { path, data: inner });
            return None;
        }
        let selected = self.agent.selected(1).is_some_and(|pair| pair.path.remote == path.remote);
        let told = self.agent.remote_candidates().any(|one| one.socket_address() == Some(path.remote));
        (selected || told).then_some(path.remote)
    }

    fn send(&mut self, now: Instant, data: &[u8], network: &mut Network) {
        let Some(pair) = self.agent.selected(1) else { return };
        let (path, relayed) = (pair.path, pair.relayed);
        self.send_on(now, path, relayed, data, network);
    }

    fn send_on(&mut self, now: Instant, path: Path, relayed: bool, data: &[u8], network: &mut Network) {
        if !relayed {
            network.send(now, path.base, path.remote, data.to_vec());
            return;
        }
        let mut wrapped = Vec::new();
        if let Sent::Now { link: Link::Socket(base), to } = self.gatherer.send(now, path, data, &mut wrapped)
        {
            network.send(now, base, to, wrapped);
        }
    }

    fn drive(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        self.drive_gatherer(now, network);
        let agent = loop {
            match self.agent.poll_output() {
                ice::Output::Transmit(transmit) => {
                    self.send_on(now, transmit.path, transmit.relayed, &transmit.data, network);
                }
                ice::Output::Event(ice::Event::Selected(pair)) if pair.relayed && pair.nominated => {
                    self.gatherer.bind(now, pair.path);
                }
                ice::Output::Idle(deadline) => break deadline,
                _ => {}
            }
        };
        // What the agent did may have been for a relay.
        let gatherer = self.drive_gatherer(now, network);
        agent.into_iter().chain(gatherer).min()
    }

    fn drive_gatherer(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.gatherer.poll_output() {
                gather::Output::Transmit { link: Link::Socket(base), to, data } => {
                    network.send(now, base, to, data);
                }
                gather::Output::Event(gather::Event::Candidate(local)) => {
                    // One too many is left out.
                    let _ = self.agent.add_local_candidate(now, local);
                }
                gather::Output::Event(gather::Event::RelayGone(relayed)) => {
                    self.agent.remove_local_candidates(now, relayed);
                }
                gather::Output::Event(gather::Event::Done) => self.gathered = true,
                gather::Output::Idle(deadline) => return deadline,
                _ => {}
            }
        }
    }

    /// How far it is, if that is news.
    fn news(&mut self) -> Option<MediaEvent> {
        let state = match self.agent.state() {
            ice::State::New => return None,
            ice::State::Checking => IceState::Checking,
            ice::State::Connected => IceState::Connected,
            ice::State::Completed => IceState::Completed,
            ice::State::Disconnected => IceState::Disconnected,
            ice::State::Failed => IceState::Failed,
        };
        let selection = self.agent.selected(1).map(|pair| IceSelection {
            local: pair.local_address,
            local_kind: pair.local_kind,
            remote: pair.path.remote,
            remote_kind: pair.remote_kind,
            local_rtcp: None,
            remote_rtcp: None,
            controlling: self.agent.role() == Role::Controlling,
        });
        let news = (state, selection);
        (self.told.replace(news) != Some(news)).then_some(MediaEvent::IceState { state, selection })
    }
}

/// What is known of a file after a look at it: of each there is one of a thousand bytes.
fn look_at(source: &FileSource) -> (FileInfo, u64, bool) {
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
