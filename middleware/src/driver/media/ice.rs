//! The ICE side of an audio stream: its agent, and who gathers candidates for it and carries what
//! goes through relays.
//!
//! ```text
//!   sockets ── datagrams ──▶ gatherer ──┬── media ──▶ the audio task
//!   relay streams ── bytes ──▶ ─────────┤
//!                                       └── checks ──▶ agent ──▶ drive: what is to be sent
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice_stun::ice::gather::{self, Gatherer, Link, Received, Sent};
use ice_stun::ice::{self, Agent, Candidate, LocalCandidate, PacketKind, Path, Policy, Role, State, TcpType};
use ice_stun::stun::{Credentials, Transport};
use ice_stun::turn;
use tokio::sync::mpsc;

use super::relay_stream::{RelayStream, StreamTarget, TlsClient};
use super::sending::Course;
use super::sockets::{AudioSockets, MovedSockets};
use super::tcp_paths::{TcpNews, TcpPaths};
use crate::configuration::{IceConfiguration, TurnTransport};
use crate::driver::clock;
use crate::driver::servers::Servers;
use crate::negotiation::one_component;
use crate::session::{IceParameters, IcePreparation, IceSelection, IceState, MediaEvent};
use crate::trace::{Carrier, Protocol, Traced, Tracer, Way};

/// For so long candidates are gathered; what has not come by then is left out.
const GATHERING: Duration = Duration::from_secs(4);

/// What comes to ICE beside the datagrams of the first two sockets.
#[derive(Debug)]
pub(super) enum IceInput {
    /// A datagram of a socket on another address.
    Datagram { at: gather::Socket, from: SocketAddr, data: Vec<u8> },
    /// Bytes of a relay's stream, or its end.
    Stream { stream: u32, data: Option<Vec<u8>> },
    /// Something on a connection with the peer.
    Tcp(TcpNews),
    /// The address of a name in multicast DNS.
    Resolved { name: String, address: Option<IpAddr> },
}

/// What a datagram turned out to be.
pub(super) enum Taken {
    /// Nothing for the stream.
    Nothing,
    /// Media: where it stands in the datagram, and from whom.
    Media(Range<usize>, SocketAddr),
}

/// ICE for one audio stream.
pub(super) struct Ice {
    agent: Agent,
    gatherer: Gatherer,
    /// The addresses of the first two sockets.
    bases: [SocketAddr; 2],
    /// Relays that are reached over streams, by the streams' names.
    streams: HashMap<u32, RelayStream>,
    /// Connections with the peer, where TCP candidates are used.
    tcp: Option<TcpPaths>,
    /// Whose certificate they have.
    relay_name: String,
    inputs: mpsc::Sender<IceInput>,
    tls: TlsClient,
    gathered: bool,
    /// Candidates that come after the first are told as they come; so many were told.
    trickling: Option<usize>,
    muxed: bool,
    told: Option<(IceState, Option<IceSelection>)>,
    /// Servers that gave no candidate, and why; not told yet.
    failures: Vec<(SocketAddr, String)>,
    pub(super) tracer: Option<Arc<Tracer>>,
    /// What is wrapped for a relay.
    wrapped: Vec<u8>,
    /// What relays hand over as events: media for the stream.
    pub(super) arrived: Vec<(SocketAddr, Vec<u8>)>,
}

impl Ice {
    /// Begins to gather from these sockets, the first two those of the first address.
    pub(super) fn start(
        preparation: &IcePreparation,
        servers: Servers,
        sockets: &[gather::Socket],
        inputs: mpsc::Sender<IceInput>,
        tls: TlsClient,
    ) -> Self {
        let now = clock::now().instant;
        let IcePreparation { credentials, controlling, configuration, .. } = preparation;
        let base = |component| {
            let found = sockets.iter().find(|socket| socket.component == component);
            found.map_or_else(|| SocketAddr::from(([0; 4], 0)), |socket| socket.address)
        };
        let bases = [base(1), base(2)];
        let loopback = bases.iter().all(|base| base.ip().is_loopback());
        let policy = if configuration.relay_only { Policy::RelayOnly } else { Policy::All };
        let config = ice::Config {
            role: if *controlling { Role::Controlling } else { Role::Controlled },
            components: 2,
            lite: configuration.lite,
            policy,
            loopback,
            ..ice::Config::default()
        };
        let (stun, turn) = match configuration.lite {
            // RFC 8445 §5.2: host candidates only.
            true => (Vec::new(), Vec::new()),
            false => ask(configuration, servers),
        };
        let gathering = gather::Config {
            stun,
            turn,
            policy,
            loopback,
            tcp: configuration.tcp,
            patience: GATHERING,
            ..gather::Config::default()
        };
        let mut tcp = configuration.tcp.then(|| TcpPaths::new(inputs.clone()));
        sockets.iter().for_each(|socket| listen(tcp.as_mut(), *socket));
        let mut gatherer = Gatherer::new(gathering, clock::seed());
        gatherer.add_sockets(now, sockets);
        Self {
            agent: Agent::with_credentials(config, credentials.clone(), clock::seed()),
            gatherer,
            bases,
            streams: HashMap::new(),
            tcp,
            relay_name: configuration.turn.as_ref().map(|turn| turn.host.clone()).unwrap_or_default(),
            inputs,
            tls,
            gathered: false,
            trickling: None,
            muxed: false,
            told: None,
            failures: Vec::new(),
            tracer: None,
            wrapped: Vec::new(),
            arrived: Vec::new(),
        }
    }

    /// Whether all candidates are there, or it takes too long.
    pub(super) fn is_gathered(&self) -> bool {
        self.gathered
    }

    /// The candidates, once: gathering is over.
    pub(super) fn candidates(&mut self, now: Instant) -> Vec<Candidate> {
        self.agent.end_of_local_candidates(now);
        self.agent.local_candidates().cloned().collect()
    }

    /// The candidates so far; [`MediaEvent::IceCandidates`] tells those that come later.
    pub(super) fn first_candidates(&mut self) -> Vec<Candidate> {
        let candidates: Vec<Candidate> = self.agent.local_candidates().cloned().collect();
        self.trickling = Some(candidates.len());
        candidates
    }

    /// What was found since.
    fn tell_candidates(&mut self, now: Instant, tell: &impl Fn(MediaEvent)) {
        let Some(told) = self.trickling else { return };
        let known = self.agent.local_candidates().count();
        if self.gathered {
            self.trickling = None;
            tell(MediaEvent::IceCandidates { candidates: self.candidates(now), complete: true });
        } else if known != told {
            let candidates = self.first_candidates();
            tell(MediaEvent::IceCandidates { candidates, complete: false });
        }
    }

    /// More of the peer, or no others.
    pub(super) fn add_remote(&mut self, now: Instant, candidates: Vec<Candidate>, complete: bool) {
        for candidate in candidates {
            self.agent.add_remote_candidate(now, candidate);
        }
        if complete {
            self.agent.end_of_remote_candidates(now);
        }
    }

    /// Where what comes to ICE otherwise goes.
    pub(super) fn inputs(&self) -> mpsc::Sender<IceInput> {
        self.inputs.clone()
    }

    /// The stream has other sockets: gathers from the new ones, and leaves those that are gone. Media goes
    /// on where it can.
    pub(super) fn follow(&mut self, now: Instant, sockets: &AudioSockets, moved: &MovedSockets) {
        if let Ok((rtp, rtcp)) = sockets.addresses() {
            self.bases = [rtp, rtcp];
        }
        let components = if self.muxed { 1 } else { 2 };
        let new: Vec<_> = moved.new.iter().filter(|it| it.component <= components).copied().collect();
        self.gathered = false;
        new.iter().for_each(|socket| listen(self.tcp.as_mut(), *socket));
        self.gatherer.add_sockets(now, &new);
        // The new host candidates come before the old ones go: there is always something to try.
        self.drive_gatherer(now, sockets);
        for base in &moved.gone {
            self.gatherer.remove_socket(now, *base);
            // Those that are made from there are of the address with port 9.
            for base in [*base, SocketAddr::new(base.ip(), 9)] {
                self.agent.remove_local_candidates(now, base);
                if let Some(tcp) = &mut self.tcp {
                    tcp.leave(base);
                }
            }
        }
        self.drive_gatherer(now, sockets);
    }

    /// What the peer said of itself.
    pub(super) fn set_remote(&mut self, now: Instant, parameters: &IceParameters, muxed: bool) {
        if parameters.local != *self.agent.credentials() {
            self.agent.restart_with(now, parameters.local.clone());
            self.told = None;
        }
        self.muxed |= muxed;
        if muxed || (parameters.complete && one_component(&parameters.candidates)) {
            self.agent.set_components(now, 1);
        }
        self.agent.set_remote_parameters(now, parameters.remote.clone());
        self.add_remote(now, parameters.candidates.clone(), parameters.complete);
    }

    /// Takes a datagram of one of the first two sockets; what is media is left where it stands.
    pub(super) fn take_first(
        &mut self,
        now: Instant,
        component: u16,
        from: SocketAddr,
        data: &[u8],
    ) -> Taken {
        let address = self.bases[usize::from(component == 2)];
        self.take(now, gather::Socket { component, address }, from, data)
    }

    fn take(&mut self, now: Instant, at: gather::Socket, from: SocketAddr, data: &[u8]) -> Taken {
        trace(self.tracer.as_deref(), Way::Received, at.address, from, data);
        match self.gatherer.handle_datagram(now, at.address, from, data) {
            Received::Taken => Taken::Nothing,
            Received::Data { path, data: inner } => {
                let start = inner.as_ptr() as usize - data.as_ptr() as usize;
                self.take_inner(now, path, inner, start..start + inner.len())
            }
            Received::NotOurs => {
                let path = Path { component: at.component, tcp: false, base: at.address, remote: from };
                self.take_inner(now, path, data, 0..data.len())
            }
        }
    }

    fn take_inner(&mut self, now: Instant, path: Path, data: &[u8], range: Range<usize>) -> Taken {
        if PacketKind::of(data) == PacketKind::Stun {
            self.agent.handle_input(now, ice::Input::Datagram { path, data });
            return Taken::Nothing;
        }
        if self.is_peer(path.remote) { Taken::Media(range, path.remote) } else { Taken::Nothing }
    }

    /// Where media that is the peer's comes from: what was checked, and what was told.
    pub(super) fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        let selected = |component| self.agent.selected(component).map(|pair| pair.path.remote);
        let told = self.agent.remote_candidates().filter_map(|candidate| candidate.socket_address());
        [1, 2].into_iter().filter_map(selected).chain(told)
    }

    fn is_peer(&self, from: SocketAddr) -> bool {
        self.peers().any(|peer| peer == from)
    }

    /// Takes what came otherwise; gives back media and whose it is.
    pub(super) fn take_input(&mut self, now: Instant, input: IceInput) -> Option<(SocketAddr, Vec<u8>)> {
        match input {
            IceInput::Datagram { at, from, data } => match self.take(now, at, from, &data) {
                Taken::Media(range, peer) => return Some((peer, data.get(range)?.to_vec())),
                Taken::Nothing => {}
            },
            IceInput::Stream { stream, data: Some(data) } => self.gatherer.handle_stream(now, stream, &data),
            IceInput::Stream { stream, data: None } => self.gatherer.handle_disconnected(now, stream),
            IceInput::Tcp(news) => return self.take_tcp(now, news),
            IceInput::Resolved { name, address } => {
                self.agent.handle_input(now, ice::Input::Resolved { name: &name, address });
            }
        }
        None
    }

    fn take_tcp(&mut self, now: Instant, news: TcpNews) -> Option<(SocketAddr, Vec<u8>)> {
        let tcp = self.tcp.as_mut()?;
        match news {
            TcpNews::Connected(path) => self.agent.handle_input(now, ice::Input::Connected(path)),
            TcpNews::Accepted(path, stream) => tcp.accept(path, stream),
            TcpNews::Data(path, data) => {
                let all = 0..data.len();
                if let Taken::Media(_, peer) = self.take_inner(now, path, &data, all) {
                    return Some((peer, data));
                }
            }
            TcpNews::Closed(path) => {
                tcp.close(path);
                self.agent.handle_input(now, ice::Input::Closed(path));
            }
        }
        None
    }

    /// Whether the way is found and leads from a socket to the peer, so that what comes is hardly anything
    /// but its media.
    pub(super) fn is_settled(&self) -> bool {
        let direct = self.agent.selected(1).is_some_and(|pair| !pair.relayed && !pair.path.tcp);
        direct && self.gathered && self.agent.state() == State::Completed
    }

    /// Whether media of a component can be sent.
    pub(super) fn has_way(&self, component: u16) -> bool {
        self.agent.selected(if self.muxed { 1 } else { component }).is_some()
    }

    /// Sends media of a component; false where there is no way yet.
    pub(super) fn send(&mut self, component: u16, data: &[u8], sockets: &AudioSockets) -> bool {
        let component = if self.muxed { 1 } else { component };
        let Some(pair) = self.agent.selected(component) else { return false };
        if pair.path.tcp {
            return self.tcp.as_ref().is_some_and(|tcp| tcp.send(pair.path, data));
        }
        if !pair.relayed {
            return sockets.send_from(pair.path.base, data, pair.path.remote);
        }
        self.relay(clock::now().instant, pair.path, data, sockets)
    }

    /// Which way media goes without this task, if there is one.
    pub(super) fn way(&self, sockets: &AudioSockets) -> Course {
        match self.agent.selected(1) {
            None => Course::Nowhere,
            Some(pair) if pair.relayed || pair.path.tcp => Course::Task,
            Some(pair) => Course::Socket(sockets.at(pair.path.base).clone(), pair.path.remote),
        }
    }

    /// Sends through the relay whose address the path begins at.
    fn relay(&mut self, now: Instant, path: Path, data: &[u8], sockets: &AudioSockets) -> bool {
        match self.gatherer.send(now, path, data, &mut self.wrapped) {
            Sent::Now { link, to } => {
                transmit(&self.streams, sockets, link, to, &self.wrapped);
                true
            }
            Sent::Queued => true,
            Sent::Refused => false,
        }
    }

    /// Something may be due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.gatherer.handle_timeout(now);
    }

    /// Sends what is to be sent and tells what happened; returns when to come back.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        sockets: &AudioSockets,
        tell: &impl Fn(MediaEvent),
    ) -> Option<Instant> {
        self.drive_gatherer(now, sockets);
        let agent = self.drive_agent(now, sockets);
        // What the agent did may have been for a relay.
        let gatherer = self.drive_gatherer(now, sockets);
        self.tell_candidates(now, tell);
        self.tell_state(tell);
        agent.into_iter().chain(gatherer).min()
    }

    fn drive_gatherer(&mut self, now: Instant, sockets: &AudioSockets) -> Option<Instant> {
        loop {
            match self.gatherer.poll_output() {
                gather::Output::Transmit { link, to, data } => {
                    if let Link::Socket(base) = link {
                        trace(self.tracer.as_deref(), Way::Sent, base, to, &data);
                    }
                    transmit(&self.streams, sockets, link, to, &data);
                }
                gather::Output::Connect { stream, from, to, tls } => {
                    let tls = tls.then(|| self.relay_name.clone());
                    let target = StreamTarget { stream, from, to, tls };
                    let connection = RelayStream::connect(target, self.inputs.clone(), self.tls.clone());
                    self.streams.insert(stream, connection);
                    // What is written waits until it is.
                    self.gatherer.handle_connected(now, stream);
                }
                gather::Output::Disconnect(stream) => drop(self.streams.remove(&stream)),
                gather::Output::Data { path, data } if PacketKind::of(&data) == PacketKind::Stun => {
                    self.agent.handle_input(now, ice::Input::Datagram { path, data: &data });
                }
                gather::Output::Data { path, data } => {
                    if self.is_peer(path.remote) {
                        self.arrived.push((path.remote, data));
                    }
                }
                gather::Output::Event(event) => self.gathered(now, event),
                gather::Output::Idle(deadline) => return deadline,
            }
        }
    }

    fn gathered(&mut self, now: Instant, event: gather::Event) {
        match event {
            // One that nobody could connect to is none.
            gather::Event::Candidate(LocalCandidate { candidate, base })
                if candidate.transport() == ice::Transport::Tcp(TcpType::Passive)
                    && !self.tcp.as_ref().is_some_and(|tcp| tcp.listens(base)) => {}
            gather::Event::Candidate(local) => {
                if let Err(error) = self.agent.add_local_candidate(now, local) {
                    tracing::debug!(%error, "a candidate is left out");
                }
            }
            gather::Event::RelayGone(relayed) => self.agent.remove_local_candidates(now, relayed),
            gather::Event::ServerFailed { server, failure } => {
                tracing::warn!(%server, %failure, "a server has no candidate for us");
                self.failures.push((server, failure.to_string()));
            }
            gather::Event::Done => self.gathered = true,
        }
    }

    fn drive_agent(&mut self, now: Instant, sockets: &AudioSockets) -> Option<Instant> {
        loop {
            match self.agent.poll_output() {
                ice::Output::Transmit(transmit) if transmit.relayed => {
                    self.relay(now, transmit.path, &transmit.data, sockets);
                }
                ice::Output::Transmit(transmit) if transmit.path.tcp => {
                    if let Some(tcp) = &self.tcp {
                        tcp.send(transmit.path, &transmit.data);
                    }
                }
                ice::Output::Transmit(transmit) => {
                    let Path { base, remote, .. } = transmit.path;
                    trace(self.tracer.as_deref(), Way::Sent, base, remote, &transmit.data);
                    sockets.send_from(transmit.path.base, &transmit.data, transmit.path.remote);
                }
                ice::Output::Event(ice::Event::Selected(pair)) if pair.relayed && pair.nominated => {
                    self.gatherer.bind(now, pair.path);
                }
                ice::Output::Resolve(name) => self.resolve(name),
                ice::Output::Connect(path) => match &mut self.tcp {
                    Some(tcp) => tcp.connect(path),
                    None => self.agent.handle_input(now, ice::Input::Closed(path)),
                },
                ice::Output::Disconnect(path) => {
                    if let Some(tcp) = &mut self.tcp {
                        tcp.close(path);
                    }
                }
                ice::Output::Event(_) => {}
                ice::Output::Idle(deadline) => return deadline,
            }
        }
    }

    /// Multicast DNS (RFC 6762) is the system's business.
    fn resolve(&self, name: String) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let address = found.ok().and_then(|mut found| found.next()).map(|address| address.ip());
            // Nobody to tell: the stream has ended.
            let _ = inputs.send(IceInput::Resolved { name, address }).await;
        });
    }

    fn tell_state(&mut self, tell: &impl Fn(MediaEvent)) {
        for (server, reason) in self.failures.drain(..) {
            tell(MediaEvent::IceServerFailed { server, reason });
        }
        let state = match self.agent.state() {
            State::New => return,
            State::Checking => IceState::Checking,
            State::Connected => IceState::Connected,
            State::Completed => IceState::Completed,
            State::Disconnected => IceState::Disconnected,
            State::Failed => IceState::Failed,
        };
        let selection = self.agent.selected(1).map(|pair| {
            let rtcp = self.agent.selected(2).filter(|_| !self.muxed);
            IceSelection {
                local: pair.local_address,
                local_kind: pair.local_kind,
                remote: pair.path.remote,
                remote_kind: pair.remote_kind,
                local_rtcp: rtcp.map(|pair| pair.local_address),
                remote_rtcp: rtcp.map(|pair| pair.path.remote),
                controlling: self.agent.role() == Role::Controlling,
            }
        });
        if self.told != Some((state, selection)) {
            self.told = Some((state, selection));
            tell(MediaEvent::IceState { state, selection });
        }
    }

    /// Gives the allocations back; what is to be sent for it goes out at once.
    pub(super) fn close(&mut self, sockets: &AudioSockets) {
        let now = clock::now().instant;
        self.gatherer.settle(now, &[]);
        self.drive_gatherer(now, sockets);
    }
}

/// Whom to ask: a relay that is reached in datagrams tells our address as well as a STUN server.
fn ask(configuration: &IceConfiguration, servers: Servers) -> (Vec<SocketAddr>, Vec<turn::Config>) {
    let Servers { mut stun, turn } = servers;
    let Some(server) = &configuration.turn else { return (stun, Vec::new()) };
    let transport = match server.transport {
        TurnTransport::Udp => Transport::Udp,
        TurnTransport::Tcp => Transport::Tcp,
        TurnTransport::Tls => Transport::Tls,
    };
    if transport == Transport::Udp {
        stun.retain(|stun| !turn.contains(stun));
    }
    let config = |address| {
        let credentials = Credentials::long_term(server.username.clone(), server.password.as_str());
        turn::Config { transport, ..turn::Config::new(address, credentials) }
    };
    (stun, turn.into_iter().map(config).collect())
}

/// Peers may connect to the socket's address over TCP too; where the port is taken there, they do not.
fn listen(tcp: Option<&mut TcpPaths>, socket: gather::Socket) {
    if let Some(Err(error)) = tcp.map(|tcp| tcp.listen(socket)) {
        tracing::debug!(address = %socket.address, %error, "nobody can connect there");
    }
}

/// What is STUN in datagrams is traced; media is not, and no more what goes through a relay.
fn trace(tracer: Option<&Tracer>, way: Way, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
    if let Some(tracer) = tracer
        && PacketKind::of(data) == PacketKind::Stun
    {
        let (time, protocol, carrier) = (clock::now().wall, Protocol::Stun, Carrier::Udp);
        tracer.write(Traced { time, protocol, carrier, way, local, remote, data });
    }
}

/// To a server. What the system does not take at once is lost, as on a network.
fn transmit(
    streams: &HashMap<u32, RelayStream>,
    sockets: &AudioSockets,
    link: Link,
    to: SocketAddr,
    data: &[u8],
) {
    match link {
        Link::Socket(base) => drop(sockets.send_from(base, data, to)),
        Link::Stream(stream) => {
            if let Some(stream) = streams.get(&stream) {
                stream.write(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::AudioPreparation;

    fn rtp() -> Vec<u8> {
        let mut packet = vec![0; 172];
        packet[0] = 0x80;
        packet
    }

    /// On loopback, with a peer at port 9 of it.
    fn with_peer() -> (Ice, Instant) {
        let at =
            |component, port| gather::Socket { component, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let (inputs, _) = mpsc::channel(1);
        let tls = Arc::new(crate::driver::transport::Security::new(
            crate::configuration::TlsConfiguration::default(),
        ));
        let credentials =
            |text: &str| ice::Credentials::new(text, "0123456789012345678901234").expect("long enough");
        let preparation = IcePreparation {
            every_interface: false,
            credentials: credentials("ours"),
            controlling: true,
            trickle: false,
            configuration: IceConfiguration::default(),
        };
        let sockets = [at(1, 40_000), at(2, 40_001)];
        let mut ice = Ice::start(&preparation, Servers::default(), &sockets, inputs, tls);
        let now = clock::now().instant;
        while let gather::Output::Event(event) = ice.gatherer.poll_output() {
            ice.gathered(now, event);
        }
        let host = |port| Candidate::host(1, ice::Transport::Udp, at(1, port).address, 1);
        let remote = ice::RemoteParameters::new(credentials("theirs"));
        let parameters =
            IceParameters { local: credentials("ours"), remote, candidates: vec![host(9)], complete: true };
        ice.set_remote(now, &parameters, true);
        (ice, now)
    }

    /// Two ends on loopback that tell each other nothing but their TCP candidates.
    #[tokio::test]
    async fn over_tcp_alone_a_way_is_found_and_media_take_it() {
        let credentials = |side: usize| {
            let text = ["left", "right"][side];
            ice::Credentials::new(text, "0123456789012345678901234").expect("long enough")
        };
        let mut ends = Vec::new();
        for side in 0..2 {
            let loopback = std::net::Ipv4Addr::LOCALHOST.into();
            let preparation = AudioPreparation { address: loopback, port_range: None, ice: None };
            let sockets = AudioSockets::open(&preparation).expect("two free ports");
            let preparation = IcePreparation {
                every_interface: false,
                credentials: credentials(side),
                controlling: side == 0,
                trickle: false,
                configuration: IceConfiguration { tcp: true, ..IceConfiguration::default() },
            };
            let (sender, inputs) = mpsc::channel(64);
            let tls = Arc::new(crate::driver::transport::Security::new(Default::default()));
            let all = sockets.all().expect("their addresses");
            let mut ice = Ice::start(&preparation, Servers::default(), &all, sender, tls);
            ice.drive(clock::now().instant, &sockets, &|_| {});
            ends.push((ice, sockets, inputs));
        }
        let now = clock::now().instant;
        let told = [0, 1].map(|side| ends[side].0.candidates(now));
        for side in 0..2 {
            let candidates: Vec<_> =
                told[1 - side].iter().filter(|one| one.transport().is_tcp()).cloned().collect();
            assert_eq!(candidates.len(), 4, "active and passive, for two components");
            let remote = ice::RemoteParameters::new(credentials(1 - side));
            let parameters = IceParameters { local: credentials(side), remote, candidates, complete: true };
            ends[side].0.set_remote(now, &parameters, true);
        }
        let [left, right] = ends.as_mut_slice() else { panic!("two ends") };
        let run = async {
            let mut arrived = None;
            while arrived.is_none() {
                let now = clock::now().instant;
                let due = [&mut *left, &mut *right].map(|(ice, sockets, _)| ice.drive(now, sockets, &|_| {}));
                if left.0.agent.selected(1).is_some() && right.0.agent.selected(1).is_some() {
                    assert!(left.0.send(1, &rtp(), &left.1), "there is a way");
                }
                let soon = Some(now + Duration::from_millis(20));
                tokio::select! {
                    Some(input) = left.2.recv() => drop(left.0.take_input(clock::now().instant, input)),
                    Some(input) = right.2.recv() => arrived = right.0.take_input(clock::now().instant, input),
                    () = clock::wait_until(due.into_iter().flatten().chain(soon).min()) => {
                        left.0.handle_timeout(clock::now().instant);
                        right.0.handle_timeout(clock::now().instant);
                    }
                }
            }
            arrived
        };
        let arrived = tokio::time::timeout(Duration::from_secs(20), run).await.expect("in time");
        assert_eq!(arrived.map(|(_, data)| data), Some(rtp()));
        assert!(left.0.agent.selected(1).is_some_and(|pair| pair.path.tcp));
    }

    #[test]
    fn media_of_strangers_is_not_heard() {
        let (mut ice, now) = with_peer();
        let (peer, stranger) =
            (SocketAddr::from(([127, 0, 0, 1], 9)), SocketAddr::from(([127, 0, 0, 1], 10)));
        let packet = rtp();
        assert!(matches!(ice.take_first(now, 1, peer, &packet), Taken::Media(_, from) if from == peer));
        assert!(matches!(ice.take_first(now, 1, stranger, &packet), Taken::Nothing));
    }

    /// Requests without the right password change nothing, however many come.
    #[test]
    fn a_flood_of_stun_is_not_kept() {
        let (mut ice, now) = with_peer();
        let before = (ice.agent.local_candidates().count(), ice.agent.remote_candidates().count());
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.extend([0; 12]);
        for number in 0..10_000_u32 {
            request.splice(8..12, number.to_be_bytes());
            let port = u16::try_from(1 + number % 60_000).expect("a port");
            let from = SocketAddr::from(([127, 0, 0, 2], port));
            assert!(matches!(ice.take_first(now, 1, from, &request), Taken::Nothing));
        }
        let after = (ice.agent.local_candidates().count(), ice.agent.remote_candidates().count());
        assert_eq!(before, after);
        let stats = ice.agent.stats();
        assert_eq!(stats.ignored + stats.unauthenticated, 10_000, "{stats:?}");
        let mut waiting = 0;
        while !matches!(ice.agent.poll_output(), ice::Output::Idle(_)) {
            waiting += 1;
        }
        assert!(waiting <= 16, "{waiting} outputs wait");
    }
}
