//! The machine.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::{Config, Event, Link, Output, Received, Sent, Socket, preferences};
use crate::ice::candidate::{Candidate, TcpType, Transport};
use crate::ice::config::{LocalCandidate, Path, Policy, is_forbidden};
use crate::stun::{self, Client, ClientConfig};
use crate::turn::{self, Allocated, Allocation, CommandError};

/// Gathers candidates, and then carries what goes through relays.
#[derive(Debug)]
pub struct Gatherer {
    config: Config,
    random: ChaCha20Rng,
    asks: Vec<Ask>,
    queue: VecDeque<Output>,
    /// Candidates that were told, by address and base.
    told: Vec<(SocketAddr, SocketAddr)>,
    next_start: Option<Instant>,
    give_up: Option<Instant>,
    /// The address that counts most.
    first: Option<IpAddr>,
    addresses: usize,
    next_stream: u32,
    settled: bool,
}

/// One server asked from one socket.
#[derive(Debug)]
struct Ask {
    socket: Socket,
    preference: u16,
    link: Link,
    server: Server,
    /// A stream is protected.
    tls: bool,
    /// The addresses of an allocation.
    relayed: Vec<SocketAddr>,
    phase: Phase,
    deadline: Option<Instant>,
}

impl Ask {
    fn server_address(&self) -> SocketAddr {
        match &self.server {
            Server::Stun(client) => client.server(),
            Server::Turn(allocation) => allocation.server(),
        }
    }

    /// The way to a peer through its relay.
    fn path_to(&self, remote: SocketAddr) -> Option<Path> {
        let base = *self.relayed.iter().find(|relayed| relayed.is_ipv4() == remote.is_ipv4())?;
        Some(Path { component: self.socket.component, tcp: false, base, remote })
    }
}

#[derive(Debug)]
enum Server {
    Stun(Client),
    Turn(Allocation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Starts then.
    Planned(Instant),
    Asking,
    Answered,
    Over,
}

impl Gatherer {
    /// A gatherer; `seed` is all its entropy.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: ChaCha20Rng::from_seed(seed),
            asks: Vec::new(),
            queue: VecDeque::new(),
            told: Vec::new(),
            next_start: None,
            give_up: None,
            first: None,
            addresses: 0,
            next_stream: 0,
            settled: false,
        }
    }

    /// Gathers from these sockets, the best address first within a family; those that come later
    /// (with a new interface) are worse than those before.
    pub fn add_sockets(&mut self, now: Instant, sockets: &[Socket]) {
        let mut ips: Vec<IpAddr> = Vec::new();
        for socket in sockets {
            if !ips.contains(&socket.address.ip()) {
                ips.push(socket.address.ip());
            }
        }
        let earlier = u16::try_from(self.addresses.saturating_mul(super::STEP)).unwrap_or(u16::MAX);
        let by_ip = preferences(&ips);
        self.addresses += ips.len();
        self.give_up = Some(now + self.config.patience);
        self.first = self.first.or(ips.first().copied());
        for socket in sockets {
            if is_forbidden(socket.address, self.config.loopback) {
                continue;
            }
            let place = ips.iter().position(|ip| *ip == socket.address.ip());
            let preference = place.and_then(|at| by_ip.get(at)).map_or(0, |it| it.saturating_sub(earlier));
            self.add_socket(now, *socket, preference);
        }
        self.advance(now);
    }

    fn add_socket(&mut self, now: Instant, socket: Socket, preference: u16) {
        let Socket { component, address } = socket;
        if self.config.policy == Policy::All {
            self.tell(Candidate::host(component, Transport::Udp, address, preference), address);
            if self.config.tcp {
                for tcp in [TcpType::Active, TcpType::Passive] {
                    let candidate = Candidate::host(component, Transport::Tcp(tcp), address, preference);
                    let base = candidate.socket_address().unwrap_or(address);
                    self.queue.push_back(Output::Event(Event::Candidate(LocalCandidate { candidate, base })));
                }
            }
            for server in self.config.stun.clone() {
                if server.is_ipv4() == address.is_ipv4() {
                    let timing = self.config.timing;
                    let client =
                        Client::new(ClientConfig { timing, ..ClientConfig::new(server) }, self.seed());
                    self.plan(now, socket, preference, Link::Socket(address), Server::Stun(client));
                }
            }
        }
        for relay in self.config.turn.clone() {
            if relay.server.is_ipv4() != address.is_ipv4() {
                continue;
            }
            // Relays over streams are the worst (RFC 8445 §5.1.2.2).
            let (link, preference) = if relay.transport.is_reliable() {
                let stream = self.next_stream;
                self.next_stream = self.next_stream.wrapping_add(1);
                (Link::Stream(stream), preference.saturating_sub(128))
            } else {
                (Link::Socket(address), preference)
            };
            let tls = relay.transport == stun::Transport::Tls;
            let allocation = Allocation::new(relay, self.seed());
            self.plan(now, socket, preference, link, Server::Turn(allocation));
            if let Some(ask) = self.asks.last_mut() {
                ask.tls = tls;
            }
        }
    }

    fn plan(&mut self, now: Instant, socket: Socket, preference: u16, link: Link, server: Server) {
        let at = self.next_start.map_or(now, |next| next.max(now));
        self.next_start = Some(at + self.config.pacing);
        let phase = Phase::Planned(at);
        let ask =
            Ask { socket, preference, link, server, tls: false, relayed: Vec::new(), phase, deadline: None };
        self.asks.push(ask);
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        seed
    }

    /// A pair was chosen: relays whose relayed address is not among `used` are given back, and STUN
    /// servers are asked no more.
    pub fn settle(&mut self, now: Instant, used: &[SocketAddr]) {
        self.settled = true;
        for ask in &mut self.asks {
            match &mut ask.server {
                Server::Stun(_) => ask.phase = Phase::Over,
                Server::Turn(allocation) => {
                    let needed = allocation.allocated().is_some_and(|it| used.contains(&it.relayed));
                    if !needed && !allocation.is_closed() {
                        allocation.close(now);
                    }
                }
            }
        }
        self.advance(now);
    }

    /// The socket is gone, and all that was asked from it.
    pub fn remove_socket(&mut self, now: Instant, address: SocketAddr) {
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.asks).into_iter().partition(|ask| ask.socket.address == address);
        self.asks = kept;
        for ask in gone {
            let gone = ask.relayed.iter().map(|relayed| Output::Event(Event::RelayGone(*relayed)));
            self.queue.extend(gone);
            if let Link::Stream(stream) = ask.link {
                self.queue.push_back(Output::Disconnect(stream));
            }
        }
        self.told.retain(|(_, base)| *base != address);
        self.advance(now);
    }

    /// A datagram that reached the socket at `base`.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        base: SocketAddr,
        from: SocketAddr,
        data: &'a [u8],
    ) -> Received<'a> {
        let mut taken = false;
        for ask in self.asks.iter_mut().filter(|ask| ask.link == Link::Socket(base)) {
            match &mut ask.server {
                Server::Stun(client) if client.server() == from && stun::is_stun(data) => {
                    client.handle_input(now, from, data);
                }
                Server::Turn(allocation) if allocation.server() == from => {
                    if let Some((remote, data)) = allocation.data_of(data) {
                        return match ask.path_to(remote) {
                            Some(path) => Received::Data { path, data },
                            None => Received::Taken,
                        };
                    }
                    allocation.handle_input(now, data);
                }
                _ => continue,
            }
            taken = true;
        }
        if !taken {
            return Received::NotOurs;
        }
        self.advance(now);
        Received::Taken
    }

    /// A stream is open.
    pub fn handle_connected(&mut self, now: Instant, stream: u32) {
        if let Some(Server::Turn(allocation)) = self.of_stream(stream) {
            allocation.start(now);
        }
        self.advance(now);
    }

    /// Bytes of a stream.
    pub fn handle_stream(&mut self, now: Instant, stream: u32, data: &[u8]) {
        if let Some(Server::Turn(allocation)) = self.of_stream(stream) {
            allocation.handle_input(now, data);
        }
        self.advance(now);
    }

    /// A stream could not be opened, or has ended.
    pub fn handle_disconnected(&mut self, now: Instant, stream: u32) {
        if let Some(Server::Turn(allocation)) = self.of_stream(stream) {
            allocation.handle_disconnected();
        }
        self.advance(now);
    }

    fn of_stream(&mut self, stream: u32) -> Option<&mut Server> {
        self.asks.iter_mut().find(|ask| ask.link == Link::Stream(stream)).map(|ask| &mut ask.server)
    }

    /// Wraps what goes to a peer from a relayed address into `out`, which is cleared first.
    pub fn send(&mut self, now: Instant, path: Path, data: &[u8], out: &mut Vec<u8>) -> Sent {
        let Some(ask) = self.asks.iter_mut().find(|ask| ask.relayed.contains(&path.base)) else {
            return Sent::Refused;
        };
        let link = ask.link;
        let Server::Turn(allocation) = &mut ask.server else { return Sent::Refused };
        match allocation.send_to(path.remote, data, out) {
            Ok(to) => return Sent::Now { link, to },
            Err(CommandError::NotPermitted) => {}
            Err(_) => return Sent::Refused,
        }
        // The permission goes first; what follows it is not lost.
        if allocation.permit(now, path.remote.ip()).is_err() {
            return Sent::Refused;
        }
        let wrapped = allocation.send_to(path.remote, data, out);
        self.advance(now);
        match wrapped {
            Ok(to) => {
                self.queue.push_back(Output::Transmit { link, to, data: std::mem::take(out) });
                Sent::Queued
            }
            Err(_) => Sent::Refused,
        }
    }

    /// Has what goes that way travel in a channel, at 4 bytes a packet: for the pair that media uses.
    pub fn bind(&mut self, now: Instant, path: Path) {
        let ask = self.asks.iter_mut().find(|ask| ask.relayed.contains(&path.base));
        if let Some(Server::Turn(allocation)) = ask.map(|ask| &mut ask.server) {
            // Without a channel it goes in indications.
            let _ = allocation.bind_channel(now, path.remote);
        }
        self.advance(now);
    }

    /// The deadline has come, or not: early and late calls are fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        for ask in &mut self.asks {
            match &mut ask.server {
                Server::Stun(client) if ask.phase != Phase::Over => {
                    client.handle_timeout(now);
                    if ask.phase == Phase::Answered && ask.deadline.is_some_and(|at| at <= now) {
                        client.ask(now);
                    }
                }
                Server::Stun(_) => {}
                Server::Turn(allocation) => allocation.handle_timeout(now),
            }
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.queue.pop_front().unwrap_or_else(|| {
            let asks = self.asks.iter().filter_map(|ask| match ask.phase {
                Phase::Planned(at) => Some(at),
                _ => ask.deadline,
            });
            Output::Idle(asks.chain(self.give_up).min())
        })
    }

    /// Starts what is due, and takes what the machines below have to say.
    fn advance(&mut self, now: Instant) {
        for at in 0..self.asks.len() {
            let Some(ask) = self.asks.get_mut(at) else { continue };
            if matches!(ask.phase, Phase::Planned(start) if start <= now) {
                ask.phase = Phase::Asking;
                match (&mut ask.server, ask.link) {
                    (Server::Stun(client), _) => client.ask(now),
                    (Server::Turn(allocation), Link::Socket(_)) => allocation.start(now),
                    (Server::Turn(allocation), Link::Stream(stream)) => {
                        let (from, to) = (ask.socket.address.ip(), allocation.server());
                        self.queue.push_back(Output::Connect { stream, from, to, tls: ask.tls });
                    }
                }
            }
            self.drain(now, at);
        }
        let open = |ask: &Ask| matches!(ask.phase, Phase::Planned(_) | Phase::Asking);
        let mut first = self.asks.iter().filter(|ask| Some(ask.socket.address.ip()) == self.first).peekable();
        if first.peek().is_some() && !first.any(open) {
            let limit = now + self.config.grace;
            self.give_up = self.give_up.map(|at| at.min(limit));
        }
        if let Some(at) = self.give_up
            && (at <= now || !self.asks.iter().any(open))
        {
            self.give_up = None;
            self.queue.push_back(Output::Event(Event::Done));
        }
    }

    fn drain(&mut self, now: Instant, at: usize) {
        loop {
            let Some(ask) = self.asks.get_mut(at) else { return };
            let (link, server) = (ask.link, ask.server_address());
            match &mut ask.server {
                Server::Stun(client) => match client.poll_output() {
                    stun::Output::Transmit { to, data } => {
                        self.queue.push_back(Output::Transmit { link, to, data });
                    }
                    stun::Output::Event(stun::Event::Mapped(mapped)) => {
                        ask.phase = if self.settled { Phase::Over } else { Phase::Answered };
                        ask.deadline = Some(now + self.config.keepalive);
                        let (socket, preference) = (ask.socket, ask.preference);
                        self.reflexive(socket, mapped, server, preference);
                    }
                    stun::Output::Event(stun::Event::Failed(failure)) => {
                        ask.phase = Phase::Over;
                        self.queue.push_back(Output::Event(Event::ServerFailed { server, failure }));
                    }
                    stun::Output::Idle(deadline) => {
                        ask.deadline = match ask.phase {
                            Phase::Over => None,
                            Phase::Answered if deadline.is_none() => ask.deadline,
                            _ => deadline,
                        };
                        return;
                    }
                },
                Server::Turn(allocation) => match allocation.poll_output() {
                    turn::Output::Transmit { to, data } => {
                        self.queue.push_back(Output::Transmit { link, to, data });
                    }
                    turn::Output::Event(event) => self.on_relay(at, event),
                    turn::Output::Idle(deadline) => {
                        ask.deadline = deadline;
                        return;
                    }
                },
            }
        }
    }

    fn on_relay(&mut self, at: usize, event: turn::Event) {
        let Some(ask) = self.asks.get_mut(at) else { return };
        let (socket, link, preference, server) = (ask.socket, ask.link, ask.preference, ask.server_address());
        match event {
            turn::Event::Allocated(allocated) => {
                ask.phase = Phase::Answered;
                ask.relayed = std::iter::once(allocated.relayed).chain(allocated.additional).collect();
                self.relayed(socket, link, &allocated, server, preference);
            }
            turn::Event::Failed(failure) => {
                ask.phase = Phase::Over;
                self.queue.push_back(Output::Event(Event::ServerFailed { server, failure }));
                self.disconnect(link);
            }
            turn::Event::Closed(failure) => {
                ask.phase = Phase::Over;
                let gone = std::mem::take(&mut ask.relayed);
                self.told.retain(|(address, _)| !gone.contains(address));
                self.queue.extend(gone.into_iter().map(|relayed| Output::Event(Event::RelayGone(relayed))));
                if let Some(failure) = failure {
                    self.queue.push_back(Output::Event(Event::ServerFailed { server, failure }));
                }
                self.disconnect(link);
            }
            turn::Event::Data { peer, data } => {
                if let Some(path) = ask.path_to(peer) {
                    self.queue.push_back(Output::Data { path, data });
                }
            }
            // The agent's checks tell what works.
            _ => {}
        }
    }

    fn disconnect(&mut self, link: Link) {
        if let Link::Stream(stream) = link {
            self.queue.push_back(Output::Disconnect(stream));
        }
    }

    fn relayed(&mut self, socket: Socket, link: Link, it: &Allocated, server: SocketAddr, preference: u16) {
        let hidden = self.config.policy == Policy::RelayOnly;
        if !hidden && matches!(link, Link::Socket(_)) {
            self.reflexive(socket, it.mapped, server, preference);
        }
        for relayed in std::iter::once(it.relayed).chain(it.additional) {
            let mut candidate =
                Candidate::relayed(socket.component, relayed, it.mapped, server.ip(), preference);
            if hidden {
                candidate = candidate.without_base();
            }
            self.tell(candidate, relayed);
        }
    }

    /// RFC 8445 §5.1.3: what is no NAT's is no candidate.
    fn reflexive(&mut self, socket: Socket, mapped: SocketAddr, server: SocketAddr, preference: u16) {
        let base = socket.address;
        if mapped != base && !is_forbidden(mapped, self.config.loopback) {
            self.tell(
                Candidate::server_reflexive(socket.component, mapped, base, server.ip(), preference),
                base,
            );
        }
    }

    fn tell(&mut self, candidate: Candidate, base: SocketAddr) {
        let Some(address) = candidate.socket_address() else { return };
        if !self.told.contains(&(address, base)) {
            self.told.push((address, base));
            self.queue.push_back(Output::Event(Event::Candidate(LocalCandidate { candidate, base })));
        }
    }
}
