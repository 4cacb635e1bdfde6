//! The ICE side of an audio stream: its agent, the servers it asks, its relays.
//!
//! ```text
//!   sockets ── datagrams ──▶ take ──┬── media ──▶ the audio task
//!   relay streams ── bytes ──▶ ─────┤
//!                                   ├── checks ──▶ agent ──┐
//!                                   └── answers ─▶ STUN, TURN clients ──┴──▶ drive: what is to be sent
//! ```

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use ice_stun::ice::{
    self, Agent, Candidate, CandidateKind, LocalCandidate, PacketKind, Path, Policy, Role, State,
};
use ice_stun::stun::{Client, ClientConfig, Credentials, Event as ClientEvent, Output as ClientOutput};
use ice_stun::turn::{self, Allocation};
use tokio::sync::mpsc;

use super::audio::AudioSockets;
use super::relay_stream::{RelayBytes, RelayStream, TlsClient};
use crate::configuration::{IceConfiguration, TurnServer, TurnTransport};
use crate::driver::clock;
use crate::negotiation::one_component;
use crate::session::{IceParameters, IcePreparation, IceSelection, IceState, MediaEvent};

/// For so long candidates are gathered; what has not come by then is left out.
const GATHERING: Duration = Duration::from_secs(4);
/// A binding in a NAT is kept for so long before the description is answered (RFC 8445 §11).
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Components: RTP and RTCP.
const COMPONENTS: [u16; 2] = [1, 2];

/// The servers, their names resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    pub(super) stun: Option<SocketAddr>,
    pub(super) turn: Option<TurnTarget>,
}

/// Finds the addresses of servers.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerResolver;

impl ServerResolver {
    /// What of the servers can be found, in the family of our own address.
    pub(super) async fn resolve(&self, configuration: &IceConfiguration, ipv4: bool) -> Servers {
        let mut servers = Servers::default();
        if let Some((host, port)) = &configuration.stun {
            servers.stun = self.find(host, *port, ipv4).await;
        }
        if let Some(server) = &configuration.turn {
            let address = self.find(&server.host, server.port, ipv4).await;
            servers.turn = address.map(|address| TurnTarget { address, server: server.clone() });
        }
        servers
    }

    async fn find(&self, host: &str, port: u16, ipv4: bool) -> Option<SocketAddr> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(SocketAddr::new(ip, port)).filter(|address| address.is_ipv4() == ipv4);
        }
        match tokio::net::lookup_host((host, port)).await {
            Ok(mut found) => found.find(|address| address.is_ipv4() == ipv4),
            Err(error) => {
                tracing::warn!(host, %error, "a server for ICE is not found");
                None
            }
        }
    }
}

/// A relay, its name resolved.
#[derive(Clone, Debug)]
pub(super) struct TurnTarget {
    pub(super) address: SocketAddr,
    pub(super) server: TurnServer,
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
    bases: [SocketAddr; 2],
    asking: Vec<Asking>,
    relays: Vec<Relay>,
    /// Gathering ends here at the latest.
    gathered_by: Option<Instant>,
    keep_alive: Option<Instant>,
    remote_known: bool,
    muxed: bool,
    told: Option<(IceState, Option<IceSelection>)>,
    /// What is wrapped for a relay.
    wrapped: Vec<u8>,
    /// What relays hand over as events: media for the stream.
    pub(super) arrived: Vec<(SocketAddr, Vec<u8>)>,
}

/// A question to a STUN server.
struct Asking {
    component: u16,
    client: Client,
    done: bool,
}

/// An allocation on a relay.
struct Relay {
    component: u16,
    server: SocketAddr,
    allocation: Allocation,
    /// Where it is reached on a stream.
    stream: Option<RelayStream>,
    relayed: Option<SocketAddr>,
    done: bool,
}

impl Ice {
    /// Begins to gather.
    pub(super) fn start(
        preparation: &IcePreparation,
        servers: Servers,
        bases: [SocketAddr; 2],
        relay_bytes: &mpsc::Sender<RelayBytes>,
        tls: &TlsClient,
    ) -> Self {
        let now = clock::now().instant;
        let IcePreparation { credentials, controlling, configuration } = preparation;
        let loopback = bases.iter().all(|base| base.ip().is_loopback());
        let config = ice::Config {
            role: if *controlling { Role::Controlling } else { Role::Controlled },
            components: 2,
            policy: if configuration.relay_only { Policy::RelayOnly } else { Policy::All },
            loopback,
            ..ice::Config::default()
        };
        let mut agent = Agent::with_credentials(config, credentials.clone(), clock::seed());
        for (component, base) in COMPONENTS.into_iter().zip(bases) {
            let host = Candidate::host(component, ice::Transport::Udp, base, u16::MAX);
            if let Some(local) = LocalCandidate::based_on_itself(host) {
                // With relays only, it is no candidate.
                let _ = agent.add_local_candidate(now, local);
            }
        }
        let mut this = Self {
            agent,
            bases,
            asking: Vec::new(),
            relays: Vec::new(),
            gathered_by: Some(now + GATHERING),
            keep_alive: None,
            remote_known: false,
            muxed: false,
            told: None,
            wrapped: Vec::new(),
            arrived: Vec::new(),
        };
        let same = servers.turn.as_ref().map(|turn| (turn.address, turn.server.transport));
        for (component, base) in COMPONENTS.into_iter().zip(bases) {
            // A relay that is reached in datagrams tells our address as well.
            if let Some(server) = servers.stun
                && same != Some((server, TurnTransport::Udp))
                && server.is_ipv4() == base.is_ipv4()
            {
                let mut client = Client::new(ClientConfig::new(server), clock::seed());
                client.ask(now);
                this.asking.push(Asking { component, client, done: false });
            }
            if let Some(target) = &servers.turn {
                this.relays.push(Relay::start(now, component, target, relay_bytes, tls));
            }
        }
        this
    }

    /// Whether all candidates are there, or it takes too long.
    pub(super) fn is_gathered(&self, now: Instant) -> bool {
        self.gathered_by.is_none_or(|limit| now >= limit)
            || (self.asking.iter().all(|one| one.done) && self.relays.iter().all(|one| one.done))
    }

    /// The candidates, once: gathering is over.
    pub(super) fn candidates(&mut self, now: Instant) -> Vec<Candidate> {
        self.gathered_by = None;
        self.keep_alive = Some(now + KEEP_ALIVE);
        self.agent.end_of_local_candidates(now);
        self.agent.local_candidates().cloned().collect()
    }

    /// What the peer said of itself.
    pub(super) fn set_remote(&mut self, now: Instant, parameters: &IceParameters, muxed: bool) {
        if parameters.local != *self.agent.credentials() {
            self.agent.restart_with(now, parameters.local.clone());
            self.told = None;
        }
        self.muxed |= muxed;
        if muxed || one_component(&parameters.candidates) {
            self.agent.set_components(now, 1);
        }
        let relays = self.relays.iter_mut().filter(|relay| relay.relayed.is_some());
        for relay in relays.filter(|relay| relay.component == 1 || !muxed) {
            for remote in parameters.candidates.iter().filter_map(Candidate::socket_address) {
                // A peer of the other family, or one too many, is not reached through the relay.
                let _ = relay.allocation.permit(now, remote.ip());
            }
        }
        self.remote_known = true;
        self.agent.set_remote_parameters(now, parameters.remote.clone());
        for candidate in &parameters.candidates {
            self.agent.add_remote_candidate(now, candidate.clone());
        }
        if !parameters.remote.options.trickle {
            self.agent.end_of_remote_candidates(now);
        }
    }

    /// Takes a datagram of a socket; what is media is left where it stands.
    pub(super) fn take(&mut self, now: Instant, component: u16, from: SocketAddr, data: &[u8]) -> Taken {
        if let Some(relay) = self.relay_of(component, from) {
            if let Some((peer, inner)) = relay.allocation.data_of(data) {
                let start = inner.as_ptr() as usize - data.as_ptr() as usize;
                let range = start..start + inner.len();
                let Some(base) = relay.relayed else { return Taken::Nothing };
                return self.take_inner(
                    now,
                    Path { component, tcp: false, base, remote: peer },
                    inner,
                    range,
                );
            }
            relay.allocation.handle_input(now, data);
            return Taken::Nothing;
        }
        let stun = PacketKind::of(data) == PacketKind::Stun;
        if stun
            && let Some(one) =
                self.asking.iter_mut().find(|one| one.component == component && one.client.server() == from)
        {
            one.client.handle_input(now, from, data);
            return Taken::Nothing;
        }
        let base = self.bases[usize::from(component == 2)];
        self.take_inner(now, Path { component, tcp: false, base, remote: from }, data, 0..data.len())
    }

    fn take_inner(&mut self, now: Instant, path: Path, data: &[u8], range: Range<usize>) -> Taken {
        if PacketKind::of(data) == PacketKind::Stun {
            self.agent.handle_input(now, ice::Input::Datagram { path, data });
            return Taken::Nothing;
        }
        if self.is_peer(path.remote) { Taken::Media(range, path.remote) } else { Taken::Nothing }
    }

    /// Whether media from there is the peer's: it was checked, or told.
    fn is_peer(&self, from: SocketAddr) -> bool {
        COMPONENTS.iter().any(|one| self.agent.selected(*one).is_some_and(|pair| pair.path.remote == from))
            || self.agent.remote_candidates().any(|one| one.socket_address() == Some(from))
    }

    fn relay_of(&mut self, component: u16, from: SocketAddr) -> Option<&mut Relay> {
        self.relays
            .iter_mut()
            .find(|relay| relay.component == component && relay.server == from && relay.stream.is_none())
    }

    /// Takes bytes of a relay's stream, or its end.
    pub(super) fn take_stream(&mut self, now: Instant, bytes: RelayBytes) {
        let Some(relay) = self.relays.iter_mut().find(|relay| relay.component == bytes.component) else {
            return;
        };
        match bytes.data {
            Some(data) => relay.allocation.handle_input(now, &data),
            None => relay.allocation.handle_disconnected(),
        }
    }

    /// Sends media of a component; false where there is no way yet.
    pub(super) fn send(&mut self, component: u16, data: &[u8], sockets: &AudioSockets) -> bool {
        let component = if self.muxed { 1 } else { component };
        let Some(pair) = self.agent.selected(component) else { return false };
        if !pair.relayed {
            return sockets.send(component, data, pair.path.remote);
        }
        let Some(relay) = self.relays.iter_mut().find(|relay| relay.relayed == Some(pair.path.base)) else {
            return false;
        };
        relay.send_to(pair.path.remote, data, &mut self.wrapped, sockets)
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.gathered_by.into_iter().chain(self.keep_alive).min()
    }

    /// Something may be due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        for one in &mut self.asking {
            one.client.handle_timeout(now);
        }
        for relay in &mut self.relays {
            relay.allocation.handle_timeout(now);
        }
        if self.keep_alive.is_some_and(|at| at <= now) {
            // Until the peer is known nothing else keeps the NAT's binding.
            self.keep_alive = (!self.remote_known).then(|| now + KEEP_ALIVE);
            if !self.remote_known {
                self.asking.iter_mut().for_each(|one| one.client.ask(now));
            }
        }
    }

    /// Sends what is to be sent and tells what happened; returns when to come back.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        sockets: &AudioSockets,
        tell: &impl Fn(MediaEvent),
    ) -> Option<Instant> {
        let mut deadlines: Vec<Instant> = self.deadline().into_iter().collect();
        for one in &mut self.asking {
            loop {
                match one.client.poll_output() {
                    ClientOutput::Transmit { to, data } => drop(sockets.send(one.component, &data, to)),
                    ClientOutput::Event(event) => {
                        one.done = true;
                        let base = self.bases[usize::from(one.component == 2)];
                        if let ClientEvent::Mapped(mapped) = event
                            && mapped != base
                        {
                            let server = one.client.server().ip();
                            add_reflexive(&mut self.agent, now, one.component, mapped, base, server);
                        }
                    }
                    ClientOutput::Idle(deadline) => {
                        deadlines.extend(deadline);
                        break;
                    }
                }
            }
        }
        self.drive_relays(now, sockets, &mut deadlines);
        self.drive_agent(now, sockets, &mut deadlines);
        // What the agent did may have been for a relay.
        self.drive_relays(now, sockets, &mut deadlines);
        self.tell_state(tell);
        deadlines.into_iter().min()
    }

    fn drive_relays(&mut self, now: Instant, sockets: &AudioSockets, deadlines: &mut Vec<Instant>) {
        for relay in &mut self.relays {
            loop {
                match relay.allocation.poll_output() {
                    turn::Output::Transmit { to, data } => relay.transmit(to, &data, sockets),
                    turn::Output::Event(event) => match event {
                        turn::Event::Allocated(allocated) => {
                            relay.done = true;
                            relay.relayed = Some(allocated.relayed);
                            let (component, server) = (relay.component, relay.server.ip());
                            let base = self.bases[usize::from(component == 2)];
                            if relay.stream.is_none() && allocated.mapped != base {
                                add_reflexive(
                                    &mut self.agent,
                                    now,
                                    component,
                                    allocated.mapped,
                                    base,
                                    server,
                                );
                            }
                            let candidate =
                                Candidate::relayed(component, allocated.relayed, allocated.mapped, server, 1);
                            if let Some(local) = LocalCandidate::based_on_itself(candidate)
                                && let Err(error) = self.agent.add_local_candidate(now, local)
                            {
                                tracing::debug!(%error, "a relayed candidate is left out");
                            }
                        }
                        turn::Event::Failed(failure) => {
                            relay.done = true;
                            tracing::warn!(server = %relay.server, %failure, "no allocation on the relay");
                        }
                        turn::Event::Closed(_) => {
                            relay.done = true;
                            if let Some(relayed) = relay.relayed.take() {
                                self.agent.remove_local_candidates(now, relayed);
                            }
                        }
                        turn::Event::Data { peer, data } => {
                            let Some(base) = relay.relayed else { continue };
                            let path = Path { component: relay.component, tcp: false, base, remote: peer };
                            if PacketKind::of(&data) == PacketKind::Stun {
                                self.agent.handle_input(now, ice::Input::Datagram { path, data: &data });
                            } else {
                                self.arrived.push((peer, data));
                            }
                        }
                        _ => {}
                    },
                    turn::Output::Idle(deadline) => {
                        deadlines.extend(deadline);
                        break;
                    }
                }
            }
        }
    }

    fn drive_agent(&mut self, now: Instant, sockets: &AudioSockets, deadlines: &mut Vec<Instant>) {
        loop {
            match self.agent.poll_output() {
                ice::Output::Transmit(transmit) => {
                    let path = transmit.path;
                    if !transmit.relayed {
                        sockets.send(path.component, &transmit.data, path.remote);
                        continue;
                    }
                    let Some(relay) = self.relays.iter_mut().find(|one| one.relayed == Some(path.base))
                    else {
                        continue;
                    };
                    // Where there is no permission yet, this asks for it; the check comes again.
                    let _ = relay.allocation.permit(now, path.remote.ip());
                    relay.send_to(path.remote, &transmit.data, &mut self.wrapped, sockets);
                }
                ice::Output::Event(ice::Event::Selected(pair)) if pair.relayed && pair.nominated => {
                    let relay = self.relays.iter_mut().find(|one| one.relayed == Some(pair.path.base));
                    if let Some(relay) = relay {
                        // Without a channel it goes in indications.
                        let _ = relay.allocation.bind_channel(now, pair.path.remote);
                    }
                }
                // Multicast names and ICE over TCP are not built in the driver: such candidates lead nowhere.
                ice::Output::Resolve(name) => {
                    self.agent.handle_input(now, ice::Input::Resolved { name: &name, address: None });
                }
                ice::Output::Connect(path) => self.agent.handle_input(now, ice::Input::Closed(path)),
                ice::Output::Event(_) | ice::Output::Disconnect(_) => {}
                ice::Output::Idle(deadline) => {
                    deadlines.extend(deadline);
                    return;
                }
            }
        }
    }

    fn tell_state(&mut self, tell: &impl Fn(MediaEvent)) {
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
        for relay in &mut self.relays {
            relay.allocation.close(now);
        }
        self.drive_relays(now, sockets, &mut Vec::new());
    }
}

fn add_reflexive(
    agent: &mut Agent,
    now: Instant,
    component: u16,
    mapped: SocketAddr,
    base: SocketAddr,
    server: IpAddr,
) {
    let candidate = Candidate::server_reflexive(component, mapped, base, server, u16::MAX);
    debug_assert_eq!(candidate.kind(), CandidateKind::ServerReflexive);
    if let Err(error) = agent.add_local_candidate(now, LocalCandidate { candidate, base }) {
        tracing::debug!(%error, "a reflexive candidate is left out");
    }
}

impl Relay {
    fn start(
        now: Instant,
        component: u16,
        target: &TurnTarget,
        bytes: &mpsc::Sender<RelayBytes>,
        tls: &TlsClient,
    ) -> Self {
        let server = &target.server;
        let credentials = Credentials::long_term(server.username.clone(), server.password.as_str());
        let transport = match server.transport {
            TurnTransport::Udp => ice_stun::stun::Transport::Udp,
            TurnTransport::Tcp => ice_stun::stun::Transport::Tcp,
            TurnTransport::Tls => ice_stun::stun::Transport::Tls,
        };
        let config = turn::Config { transport, ..turn::Config::new(target.address, credentials) };
        let mut allocation = Allocation::new(config, clock::seed());
        allocation.start(now);
        let stream = (server.transport != TurnTransport::Udp)
            .then(|| RelayStream::connect(component, target, bytes.clone(), tls.clone()));
        Self { component, server: target.address, allocation, stream, relayed: None, done: false }
    }

    fn transmit(&self, to: SocketAddr, data: &[u8], sockets: &AudioSockets) {
        match &self.stream {
            Some(stream) => stream.write(data),
            None => drop(sockets.send(self.component, data, to)),
        }
    }

    /// Media or a check, through the relay.
    fn send_to(&mut self, peer: SocketAddr, data: &[u8], out: &mut Vec<u8>, sockets: &AudioSockets) -> bool {
        match self.allocation.send_to(peer, data, out) {
            Ok(to) => {
                self.transmit(to, out, sockets);
                true
            }
            Err(_) => false,
        }
    }
}
