//! The machine.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::ask::{Peers, Purpose};
use super::connection::DataConnection;
use super::data::{self, Carried};
use super::peers::PeerTable;
use super::{Allocated, CommandError, Config, Event, Families, Output, Port, Protocol};
use crate::stun::requests::{Manner, Outcome, Requests};
use crate::stun::{
    AddressErrorCode, ChannelData, Class, ConnectionId, Failure, Family, Frame, Kind, Lifetime, Message,
    Method, ReservationToken, StreamDecoder, XorMappedAddress, XorPeerAddress, XorRelayedAddress, is_stun,
};

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Asking,
    Allocated(Allocated),
    Closing,
    Closed,
}

/// An address on a relay, and what goes through it.
#[derive(Debug)]
pub struct Allocation {
    config: Config,
    state: State,
    requests: Requests<Purpose>,
    peers: PeerTable,
    stream: StreamDecoder,
    queue: VecDeque<Output>,
    /// When the allocation is to be made fresh.
    refresh: Option<Instant>,
    redirected: Vec<SocketAddr>,
    refused: u64,
}

impl Allocation {
    /// An allocation that is not asked for yet. `seed` makes transaction ids that nobody guesses.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let manner = Manner {
            reliable: config.transport.is_reliable(),
            timing: config.timing,
            software: config.software.clone(),
            fingerprint: true,
        };
        let requests = Requests::new(manner, config.credentials.clone(), seed);
        Self {
            config,
            state: State::Idle,
            requests,
            peers: PeerTable::default(),
            stream: StreamDecoder::new(),
            queue: VecDeque::new(),
            refresh: None,
            redirected: Vec::new(),
            refused: 0,
        }
    }

    /// The relay: redirection may have changed it.
    pub fn server(&self) -> SocketAddr {
        self.config.server
    }

    /// What the relay gave, while there is an allocation.
    pub fn allocated(&self) -> Option<&Allocated> {
        match &self.state {
            State::Allocated(allocated) => Some(allocated),
            _ => None,
        }
    }

    /// Whether it is over, after [`Event::Failed`] or [`Event::Closed`].
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Messages that were thrown away: garbage, forged, from peers without a permission.
    pub fn discarded(&self) -> u64 {
        self.refused.saturating_add(self.requests.discarded())
    }

    /// Asks the relay. Once is enough; then it does nothing.
    pub fn start(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.state = State::Asking;
            self.begin(now, Purpose::allocate(&self.config));
            self.handle_timeout(now);
        }
    }

    /// Lets a peer in, and keeps it so (RFC 8656 §9, §10). [`Event::Permitted`] follows.
    pub fn permit(&mut self, now: Instant, peer: IpAddr) -> Result<(), CommandError> {
        self.check_family(peer)?;
        if self.peers.is_permitted(peer) {
            return Ok(());
        }
        if self.peers.permissions() >= self.config.max_permissions {
            return Err(CommandError::Full(self.config.max_permissions));
        }
        self.peers.add_permission(peer);
        self.begin(now, Purpose::Permit(Peers::from_slice(&[peer])));
        self.handle_timeout(now);
        Ok(())
    }

    /// Binds a channel to a peer, and keeps it so; data then costs 4 bytes (RFC 8656 §12).
    /// [`Event::ChannelBound`] follows.
    pub fn bind_channel(&mut self, now: Instant, peer: SocketAddr) -> Result<(), CommandError> {
        if self.config.protocol == Protocol::Tcp {
            return Err(CommandError::Protocol);
        }
        self.permit(now, peer.ip())?;
        if self.peers.channels() >= self.config.max_channels {
            return Err(CommandError::Full(self.config.max_channels));
        }
        if let Some(number) = self.peers.add_channel(peer) {
            self.begin(now, Purpose::Bind { number, peer });
            self.handle_timeout(now);
        }
        Ok(())
    }

    /// Does not keep a peer any more: its permission runs out within five minutes, which is when a relay
    /// lets it out; data from it is thrown away at once.
    pub fn forget(&mut self, peer: IpAddr) {
        self.peers.remove_permission(peer);
    }

    /// Wraps data for a peer into `out`, which is cleared first; send it to the address that comes back. It
    /// travels in a channel once that is bound, else in a Send indication.
    pub fn send_to(
        &mut self,
        peer: SocketAddr,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<SocketAddr, CommandError> {
        if self.config.protocol == Protocol::Tcp {
            return Err(CommandError::Protocol);
        }
        self.check_family(peer.ip())?;
        if !self.peers.is_permitted(peer.ip()) {
            return Err(CommandError::NotPermitted);
        }
        out.clear();
        let requests = &mut self.requests;
        let stream = self.config.transport.is_reliable();
        data::wrap(&self.peers, stream, || requests.random_id(), peer, data, out)?;
        Ok(self.config.server)
    }

    /// The peer and its data in a datagram from the relay, where they stand, to be asked first; `None` for all else, which is
    /// for [`Allocation::handle_input`].
    pub fn data_of<'a>(&self, datagram: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        data::unwrap(&self.peers, datagram)
    }

    /// Has the relay connect to a peer (RFC 6062 §4.3). [`Event::Connected`] follows.
    pub fn connect(&mut self, now: Instant, peer: SocketAddr) -> Result<(), CommandError> {
        if self.config.protocol == Protocol::Udp {
            return Err(CommandError::Protocol);
        }
        self.check_family(peer.ip())?;
        let same = |ask: &Purpose| matches!(ask, Purpose::Connect { peer: other } if *other == peer);
        if self.requests.asks().any(same) {
            return Err(CommandError::Connecting);
        }
        if self.requests.len() >= self.config.max_permissions {
            return Err(CommandError::Full(self.config.max_permissions));
        }
        self.begin(now, Purpose::Connect { peer });
        self.handle_timeout(now);
        Ok(())
    }

    /// What runs on a new connection to the relay and binds it to that of a peer (RFC 6062 §4.3, §4.4).
    pub fn data_connection(&self, now: Instant, connection: u32, seed: [u8; 32]) -> DataConnection {
        DataConnection::new(now, &self.requests, connection, seed)
    }

    /// Gives the allocation back (RFC 8656 §8). [`Event::Closed`] follows.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Allocated(_) => {
                self.state = State::Closing;
                self.refresh = None;
                self.peers.clear();
                self.requests.clear();
                self.begin(now, Purpose::Refresh { lifetime: 0 });
                self.handle_timeout(now);
            }
            State::Idle | State::Asking => self.end(Event::Closed(None)),
            State::Closing | State::Closed => {}
        }
    }

    /// A datagram, or bytes of the stream, from the relay: over UDP the driver compares the source with
    /// [`Allocation::server`] first, on a socket that may serve others too.
    pub fn handle_input(&mut self, now: Instant, from_server: &[u8]) {
        if self.config.transport.is_reliable() {
            self.handle_stream(now, from_server);
        } else if is_stun(from_server) {
            match Message::parse(from_server) {
                Ok(message) => self.handle_message(now, &message),
                Err(_) => self.refused += 1,
            }
        } else {
            match ChannelData::parse(from_server) {
                Ok(frame) => self.handle_channel_data(&frame),
                Err(_) => self.refused += 1,
            }
        }
        self.handle_timeout(now);
    }

    fn handle_stream(&mut self, now: Instant, bytes: &[u8]) {
        let mut stream = std::mem::take(&mut self.stream);
        stream.push(bytes);
        loop {
            match stream.next_frame() {
                Ok(Some(Frame::Stun(bytes))) => match Message::parse(bytes) {
                    Ok(message) => self.handle_message(now, &message),
                    Err(_) => self.refused += 1,
                },
                Ok(Some(Frame::ChannelData(frame))) => self.handle_channel_data(&frame),
                Ok(None) => break,
                Err(_) => {
                    self.lose(Failure::Malformed("a stream that is not STUN"));
                    break;
                }
            }
        }
        self.stream = stream;
    }

    /// The connection to the relay is gone, and with it the allocation.
    pub fn handle_disconnected(&mut self) {
        self.lose(Failure::Disconnected);
    }

    fn handle_channel_data(&mut self, frame: &ChannelData<'_>) {
        match data::channel_data(&self.peers, frame) {
            Some((peer, data)) => self.event(Event::Data { peer, data: data.to_vec() }),
            None => self.refused += 1,
        }
    }

    fn handle_message(&mut self, now: Instant, message: &Message<'_>) {
        match (message.class(), message.method()) {
            (Class::Indication, Method::DATA) => match data::carried(&self.peers, message) {
                Carried::Data(peer, data) => self.event(Event::Data { peer, data: data.to_vec() }),
                Carried::Icmp(peer, icmp) => self.event(Event::Icmp { peer, icmp }),
                Carried::Refused => self.refused += 1,
            },
            (Class::Indication, Method::CONNECTION_ATTEMPT) => {
                match (message.get::<XorPeerAddress>(), message.get::<ConnectionId>()) {
                    (Some(Ok(XorPeerAddress(peer))), Some(Ok(ConnectionId(connection))))
                        if self.peers.is_permitted(peer.ip()) =>
                    {
                        self.event(Event::ConnectionAttempt { peer, connection });
                    }
                    _ => self.refused += 1,
                }
            }
            (Class::Success | Class::Error, _) => match self.requests.handle_response(now, message) {
                Outcome::Unrelated | Outcome::Waiting => {}
                Outcome::Success(purpose) => self.succeeded(now, purpose, message),
                Outcome::Failed(purpose, failure) => self.failed(now, purpose, failure),
            },
            _ => self.refused += 1,
        }
    }

    fn succeeded(&mut self, now: Instant, purpose: Purpose, message: &Message<'_>) {
        match purpose {
            Purpose::Allocate { .. } => match self.read_allocated(message) {
                Ok(allocated) => {
                    self.refresh = Some(now + until_refresh(allocated.lifetime));
                    self.state = State::Allocated(allocated.clone());
                    self.event(Event::Allocated(allocated));
                }
                // RFC 8656 §7.3: what cannot be used is given back.
                Err(what) => {
                    self.end(Event::Failed(Failure::Malformed(what)));
                }
            },
            Purpose::Refresh { lifetime: 0 } => self.end(Event::Closed(None)),
            Purpose::Refresh { lifetime } => {
                let seconds = match message.get::<Lifetime>() {
                    Some(Ok(Lifetime(seconds))) => seconds,
                    _ => lifetime,
                };
                if seconds == 0 {
                    return self.lose(Failure::Malformed("a refresh that ends the allocation"));
                }
                self.refresh = Some(now + until_refresh(Duration::from_secs(seconds.into())));
            }
            Purpose::Permit(peers) => {
                for peer in peers {
                    if self.peers.granted(now, peer) {
                        self.event(Event::Permitted(peer));
                    }
                }
            }
            Purpose::Bind { number, peer } => {
                // RFC 8656 §12.3: it is a permission too. One that is there keeps its turn with the others.
                if !self.peers.is_granted(peer.ip()) && self.peers.granted(now, peer.ip()) {
                    self.event(Event::Permitted(peer.ip()));
                }
                if self.peers.bound(now, number) {
                    self.event(Event::ChannelBound(peer));
                }
            }
            Purpose::Connect { peer } => match message.get::<ConnectionId>() {
                Some(Ok(ConnectionId(connection))) => self.event(Event::Connected { peer, connection }),
                _ => {
                    let failure = Failure::Malformed("a connection without CONNECTION-ID");
                    self.event(Event::ConnectFailed { peer, failure });
                }
            },
        }
    }

    /// RFC 8656 §7.3.
    fn read_allocated(&self, message: &Message<'_>) -> Result<Allocated, &'static str> {
        let mut relayed: Option<SocketAddr> = None;
        let mut additional = None;
        for raw in message.attributes().filter(|raw| raw.kind == Kind::XOR_RELAYED_ADDRESS) {
            let address = match raw.read::<XorRelayedAddress>(message) {
                Ok(XorRelayedAddress(address)) => address,
                Err(_) => return Err("a relayed address that cannot be read"),
            };
            match relayed {
                None => relayed = Some(address),
                Some(first) if first.is_ipv4() != address.is_ipv4() => additional = Some(address),
                Some(_) => {}
            }
        }
        let relayed = relayed.ok_or("an allocation without XOR-RELAYED-ADDRESS")?;
        let wanted = match self.config.families {
            _ if matches!(self.config.port, Port::Reserved(_)) => true,
            Families::Any => relayed.is_ipv4(),
            Families::Only(family) => Family::of(&relayed) == family,
            Families::Both => true,
        };
        if !wanted || relayed.port() == 0 || relayed.ip().is_unspecified() {
            return Err("a relayed address that nobody asked for");
        }
        let lifetime = match message.get::<Lifetime>() {
            Some(Ok(Lifetime(seconds @ 1..))) => Duration::from_secs(seconds.into()),
            _ => return Err("an allocation without a lifetime"),
        };
        let mapped = match message.get::<XorMappedAddress>() {
            Some(Ok(XorMappedAddress(address))) => address,
            _ => return Err("an allocation without XOR-MAPPED-ADDRESS"),
        };
        let missing = match message.get::<AddressErrorCode<'_>>() {
            Some(Ok(missing)) if additional.is_none() => Some(missing.error.code),
            _ => None,
        };
        let reservation = match message.get::<ReservationToken>() {
            Some(Ok(ReservationToken(token))) => Some(token),
            _ => None,
        };
        Ok(Allocated { relayed, additional, missing, mapped, lifetime, reservation })
    }

    fn failed(&mut self, now: Instant, purpose: Purpose, failure: Failure) {
        match purpose {
            Purpose::Allocate { .. } => self.allocate_failed(now, failure),
            // It may have expired already (437): gone is what we wanted.
            Purpose::Refresh { lifetime: 0 } => self.end(Event::Closed(None)),
            Purpose::Refresh { .. } => self.lose(failure),
            Purpose::Permit(peers) => {
                if lost(&failure) {
                    return self.lose(failure);
                }
                // One of many may be forbidden: each for itself.
                if peers.len() > 1 {
                    for peer in peers {
                        self.begin(now, Purpose::Permit(Peers::from_slice(&[peer])));
                    }
                    return;
                }
                for peer in peers {
                    if self.peers.remove_permission(peer) {
                        self.event(Event::PermissionFailed { peer, failure: failure.clone() });
                    }
                }
            }
            Purpose::Bind { number, peer } => {
                if lost(&failure) {
                    return self.lose(failure);
                }
                self.peers.remove_channel(number);
                self.event(Event::ChannelFailed { peer, failure });
            }
            Purpose::Connect { peer } => self.event(Event::ConnectFailed { peer, failure }),
        }
    }

    /// RFC 8656 §7.4: what can be had for less is asked for again.
    fn allocate_failed(&mut self, now: Instant, failure: Failure) {
        match &failure {
            Failure::UnknownAttributes(kinds)
                if self.config.dont_fragment && kinds.contains(&Kind::DONT_FRAGMENT) =>
            {
                self.config.dont_fragment = false;
            }
            Failure::UnknownAttributes(kinds)
                if self.config.port != Port::Any && kinds.contains(&Kind::EVEN_PORT) =>
            {
                self.config.port = Port::Any;
            }
            Failure::Refused { code: 508, .. }
                if matches!(self.config.port, Port::Even | Port::EvenAndNext) =>
            {
                self.config.port = Port::Any;
            }
            Failure::Redirected { server, .. } if self.may_follow(*server) => {
                self.redirected.push(self.config.server);
                self.config.server = *server;
                self.requests.change_server();
            }
            _ => return self.end(Event::Failed(failure)),
        }
        self.begin(now, Purpose::allocate(&self.config));
    }

    /// RFC 8489 §10. A stream takes a new connection, which is the driver's.
    fn may_follow(&self, server: SocketAddr) -> bool {
        self.redirected.len() < self.config.redirections
            && !self.config.transport.is_reliable()
            && server.is_ipv4() == self.config.server.is_ipv4()
            && server != self.config.server
            && !self.redirected.contains(&server)
    }

    fn lose(&mut self, failure: Failure) {
        match self.state {
            State::Closed => {}
            State::Idle | State::Asking => self.end(Event::Failed(failure)),
            State::Allocated(_) | State::Closing => self.end(Event::Closed(Some(failure))),
        }
    }

    fn end(&mut self, event: Event) {
        self.state = State::Closed;
        self.refresh = None;
        self.peers.clear();
        self.requests.clear();
        self.event(event);
    }

    fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    fn begin(&mut self, now: Instant, purpose: Purpose) {
        if let Err((purpose, failure)) = self.requests.begin(now, purpose) {
            self.failed(now, purpose, failure);
        }
    }

    fn check_family(&self, peer: IpAddr) -> Result<(), CommandError> {
        let State::Allocated(allocated) = &self.state else { return Err(CommandError::NotAllocated) };
        let mut ours = std::iter::once(allocated.relayed).chain(allocated.additional);
        if ours.any(|address| address.is_ipv4() == peer.is_ipv4()) {
            Ok(())
        } else {
            Err(CommandError::Family)
        }
    }

    /// Sends what is due; early and spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.refresh.is_some_and(|at| at <= now) {
            self.refresh = None;
            let lifetime = u32::try_from(self.config.lifetime.as_secs()).unwrap_or(u32::MAX).max(1);
            self.begin(now, Purpose::Refresh { lifetime });
        }
        while let Some(batch) = self.peers.due_permissions(now) {
            self.begin(now, Purpose::Permit(batch));
        }
        while let Some((number, peer)) = self.peers.due_channel(now) {
            self.begin(now, Purpose::Bind { number, peer });
        }
        loop {
            let (to, queue) = (self.config.server, &mut self.queue);
            let send = |data: &[u8]| queue.push_back(Output::Transmit { to, data: data.to_vec() });
            match self.requests.transmit(now, send) {
                Some((purpose, failure)) => self.failed(now, purpose, failure),
                None => break,
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.queue.pop_front().unwrap_or_else(|| {
            let own = self.refresh.into_iter().chain(self.peers.deadline());
            Output::Idle(own.chain(self.requests.deadline()).min())
        })
    }
}

/// RFC 8656 §8: a minute before its end; of a short one, half.
fn until_refresh(lifetime: Duration) -> Duration {
    let minute = Duration::from_secs(60);
    if lifetime > 2 * minute { lifetime - minute } else { lifetime / 2 }
}

/// Whether a failure says that the relay has forgotten us, or who we are.
fn lost(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Refused { code: 437 | 441, .. } | Failure::Unauthenticated | Failure::Algorithms
    )
}
