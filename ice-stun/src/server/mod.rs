//! A small STUN and TURN server (RFC 8489, RFC 8656, RFC 5780) without I/O, for tests and demonstrations.
//!
//! ```text
//!   clients  <--- datagrams, streams --->  Server  <--- relay sockets of the driver --->  peers
//!               Input::Datagram, ::Stream          Input::Relayed
//!               Output::Transmit                   Output::RelaySend
//! ```
//!
//! The driver opens a socket for each [`Output::BindRelay`] and says so with [`Input::RelayBound`].

mod accounts;
mod connections;
mod policy;
mod relay;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

pub use connections::PeerFlow;
pub use policy::PeerPolicy;

use crate::stun::{
    Builder, ChannelData, Class, Data, Family, Frame, Message, StreamDecoder, Transport, XorPeerAddress,
    is_stun,
};
use accounts::Accounts;
use connections::Connection;
use relay::{Relay, Reservation, SocketState};

/// The five-tuple of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// How it reaches us.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// Its address.
    pub remote: SocketAddr,
}

/// A relay socket of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub u64);

/// Which port a relay socket is to have; from 49,152 to 65,535 (RFC 8656 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayPort {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one; the next one is bound too, as that other relay.
    EvenAndNext(RelayId),
}

/// What the world did.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram of a client.
    Datagram {
        /// From and to whom.
        flow: Flow,
        /// What.
        data: &'a [u8],
    },
    /// Bytes of a client's stream.
    Stream {
        /// Which.
        flow: Flow,
        /// What.
        data: &'a [u8],
    },
    /// A client's stream is gone.
    Disconnected(Flow),
    /// A relay socket is open.
    RelayBound {
        /// Which.
        relay: RelayId,
        /// Its address, as peers see it.
        address: SocketAddr,
    },
    /// A relay socket cannot be opened.
    RelayFailed(RelayId),
    /// A datagram of a peer.
    Relayed {
        /// Where it arrived.
        relay: RelayId,
        /// Who sent it.
        from: SocketAddr,
        /// What.
        data: &'a [u8],
    },
    /// A peer that was to be connected to is (RFC 6062 §5.2).
    PeerConnected(PeerFlow),
    /// A peer has connected to a relay socket (RFC 6062 §5.3).
    PeerAccepted(PeerFlow),
    /// Bytes of a peer's connection.
    PeerData {
        /// Which.
        from: PeerFlow,
        /// What.
        data: &'a [u8],
    },
    /// A peer's connection is gone, or cannot be made.
    PeerClosed(PeerFlow),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to a client, from `flow.local` to `flow.remote`.
    Transmit {
        /// How.
        flow: Flow,
        /// What.
        data: Vec<u8>,
    },
    /// Close a client's stream: it does not speak STUN.
    Disconnect(Flow),
    /// Open a relay socket and say [`Input::RelayBound`] or [`Input::RelayFailed`].
    BindRelay {
        /// Which.
        relay: RelayId,
        /// Its family.
        family: Family,
        /// Its port.
        port: RelayPort,
        /// It listens for connections of TCP, and makes some (RFC 6062); else it is one of UDP.
        tcp: bool,
    },
    /// Close a relay socket.
    CloseRelay(RelayId),
    /// Send this to a peer.
    RelaySend {
        /// From which socket.
        relay: RelayId,
        /// To whom.
        to: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// Connect to a peer from the relay socket's address, and say [`Input::PeerConnected`] or
    /// [`Input::PeerClosed`].
    ConnectPeer(PeerFlow),
    /// Write to a peer's connection.
    WritePeer {
        /// Which.
        to: PeerFlow,
        /// What.
        data: Vec<u8>,
    },
    /// Close a peer's connection.
    ClosePeer(PeerFlow),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// What a [`Server`] does, and for whom.
#[derive(Clone)]
pub struct Config {
    /// SOFTWARE, told to who has an account.
    pub software: Option<String>,
    /// The realm of the accounts.
    pub realm: String,
    /// User names and passwords. Without any, nothing is relayed.
    pub accounts: Vec<(String, Zeroizing<String>)>,
    /// Offers SHA-256 (RFC 8489 §9.2).
    pub sha256: bool,
    /// Wants user names hashed (RFC 8489 §9.2).
    pub anonymity: bool,
    /// After which a nonce is stale.
    pub nonce_lifetime: Duration,
    /// Families that are relayed.
    pub families: Vec<Family>,
    /// How long an allocation lasts for who does not say.
    pub default_lifetime: Duration,
    /// How long it may last at most.
    pub max_lifetime: Duration,
    /// Allocations, of all.
    pub max_allocations: usize,
    /// Allocations of one user.
    pub max_allocations_per_user: usize,
    /// Permissions of one allocation.
    pub max_permissions: usize,
    /// Channels of one allocation.
    pub max_channels: usize,
    /// Connections with peers of one allocation over TCP (RFC 6062).
    pub max_connections: usize,
    /// Bytes that a peer may send before the client has taken its connection up.
    pub max_early: usize,
    /// Streams of clients.
    pub max_streams: usize,
    /// Whom it relays to.
    pub peers: PeerPolicy,
    /// Both addresses of a server for NAT behaviour discovery: they differ in IP address and port
    /// (RFC 5780 §6).
    pub behaviour: Option<(SocketAddr, SocketAddr)>,
}

impl Config {
    /// A server without accounts: it only tells addresses.
    pub fn new(realm: impl Into<String>) -> Self {
        Self {
            software: None,
            realm: realm.into(),
            accounts: Vec::new(),
            sha256: true,
            anonymity: false,
            nonce_lifetime: Duration::from_secs(600),
            families: vec![Family::Ipv4],
            default_lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3_600),
            max_allocations: 1_000,
            max_allocations_per_user: 16,
            max_permissions: 64,
            max_channels: 64,
            max_connections: 16,
            max_early: 65_536,
            max_streams: 1_000,
            peers: PeerPolicy::default(),
            behaviour: None,
        }
    }

    /// One more account.
    #[must_use]
    pub fn with_account(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.accounts.push((user.into(), Zeroizing::new(password.into())));
        self
    }
}

/// What bit so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that were no STUN, or made no sense.
    pub discarded: u64,
    /// Requests without the right credentials.
    pub unauthenticated: u64,
    /// Requests beyond a cap or quota.
    pub capped: u64,
    /// Data and permissions for peers that the policy forbids.
    pub forbidden: u64,
    /// Data of clients and peers without a permission.
    pub unpermitted: u64,
}

/// The machine.
pub struct Server {
    config: Config,
    accounts: Accounts,
    /// Allocations by the five-tuple of their client.
    relays: BTreeMap<Flow, Relay>,
    /// Whose relay socket that is.
    sockets: BTreeMap<RelayId, Flow>,
    reservations: Vec<Reservation>,
    streams: BTreeMap<Flow, StreamDecoder>,
    /// With peers, of all allocations over TCP.
    connections: Vec<Connection>,
    /// What a peer has said before its connection was bound just now.
    early: Option<(Flow, Vec<u8>)>,
    next: u64,
    random: ChaCha20Rng,
    queue: VecDeque<Output>,
    counters: Counters,
}

impl Server {
    /// A server that knows nobody yet. `seed` makes nonces and tokens.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut secret = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *secret);
        Self {
            accounts: Accounts::new(&config, &secret),
            config,
            relays: BTreeMap::new(),
            sockets: BTreeMap::new(),
            reservations: Vec::new(),
            streams: BTreeMap::new(),
            connections: Vec::new(),
            early: None,
            next: 0,
            random,
            queue: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What bit so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.relays.len()
    }

    /// What the world did.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram { flow, data } if is_stun(data) => self.handle_stun(now, flow, data),
            Input::Datagram { flow, data } => match ChannelData::parse(data) {
                Ok(frame) => self.handle_channel_data(now, flow, &frame),
                Err(_) => self.counters.discarded += 1,
            },
            Input::Stream { flow, data } => self.handle_stream(now, flow, data),
            Input::Disconnected(flow) => {
                self.streams.remove(&flow);
                self.client_closed(flow);
                self.remove(flow);
            }
            Input::RelayBound { relay, address } => self.bound(now, relay, Some(address)),
            Input::RelayFailed(relay) => self.bound(now, relay, None),
            Input::Relayed { relay, from, data } => self.handle_relayed(now, relay, from, data),
            Input::PeerConnected(peer) => self.peer_connected(now, peer),
            Input::PeerAccepted(peer) => self.peer_accepted(now, peer),
            Input::PeerData { from, data } => self.peer_said(from, data),
            Input::PeerClosed(peer) => self.peer_closed(peer),
        }
    }

    fn handle_stream(&mut self, now: Instant, flow: Flow, data: &[u8]) {
        if let Some(to) = self.peer_bound_to(flow) {
            return self.queue.push_back(Output::WritePeer { to, data: data.to_vec() });
        }
        if !self.streams.contains_key(&flow) && self.streams.len() >= self.config.max_streams {
            self.counters.capped += 1;
            return self.queue.push_back(Output::Disconnect(flow));
        }
        let mut stream = self.streams.remove(&flow).unwrap_or_default();
        stream.push(data);
        loop {
            match stream.next_frame() {
                Ok(Some(Frame::Stun(bytes))) => {
                    self.handle_stun(now, flow, bytes);
                    // RFC 6062 §5.4: what follows is the peer's.
                    if let Some(to) = self.peer_bound_to(flow) {
                        let data = stream.into_rest();
                        if !data.is_empty() {
                            self.queue.push_back(Output::WritePeer { to, data });
                        }
                        return;
                    }
                }
                Ok(Some(Frame::ChannelData(frame))) => self.handle_channel_data(now, flow, &frame),
                Ok(None) => break,
                Err(_) => {
                    self.counters.discarded += 1;
                    self.client_closed(flow);
                    self.remove(flow);
                    return self.queue.push_back(Output::Disconnect(flow));
                }
            }
        }
        self.streams.insert(flow, stream);
    }

    fn handle_stun(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        match Message::parse(bytes) {
            // RFC 8489 §6.3: a wrong fingerprint is no STUN. Responses are for nobody here.
            Ok(message) if message.fingerprint() != Some(false) => match message.class() {
                Class::Request => self.handle_request(now, flow, &message),
                Class::Indication => self.handle_indication(now, flow, &message),
                Class::Success | Class::Error => self.counters.discarded += 1,
            },
            _ => self.counters.discarded += 1,
        }
    }

    /// RFC 8656 §12.6.
    fn handle_channel_data(&mut self, now: Instant, flow: Flow, frame: &ChannelData<'_>) {
        let peer = self.relays.get(&flow).and_then(|relay| relay.peer_of(now, frame.channel));
        match peer {
            Some(peer) => self.relay_to(now, flow, peer, frame.data),
            None => self.counters.unpermitted += 1,
        }
    }

    /// Data of a client, for a peer that it has a permission for (RFC 8656 §11.2).
    fn relay_to(&mut self, now: Instant, flow: Flow, peer: SocketAddr, data: &[u8]) {
        let Some(relay) = self.relays.get(&flow) else {
            self.counters.unpermitted += 1;
            return;
        };
        if !self.config.peers.allows(peer) {
            self.counters.forbidden += 1;
            return;
        }
        match relay.socket_for(peer).filter(|_| !relay.tcp && relay.permits(now, peer.ip())) {
            Some(relay) => self.queue.push_back(Output::RelaySend { relay, to: peer, data: data.to_vec() }),
            None => self.counters.unpermitted += 1,
        }
    }

    /// RFC 8656 §11.3, §12.7.
    fn handle_relayed(&mut self, now: Instant, socket: RelayId, from: SocketAddr, data: &[u8]) {
        let Some((&flow, relay)) =
            self.sockets.get(&socket).and_then(|flow| Some((flow, self.relays.get(flow)?)))
        else {
            self.counters.discarded += 1;
            return;
        };
        if !relay.permits(now, from.ip()) {
            self.counters.unpermitted += 1;
            return;
        }
        let mut out = Vec::new();
        let written = match relay.channel_of(now, from) {
            Some(channel) => ChannelData { channel, data }.write(flow.transport.is_reliable(), &mut out),
            None => {
                let mut id = [0; 12];
                self.random.fill_bytes(&mut id);
                Builder::new(Class::Indication, crate::stun::Method::DATA, id)
                    .attribute(&XorPeerAddress(from))
                    .and_then(|builder| builder.attribute(&Data(data)))
                    .map(|builder| out = builder.finish())
            }
        };
        match written {
            Ok(()) => self.queue.push_back(Output::Transmit { flow, data: out }),
            Err(_) => self.counters.discarded += 1,
        }
    }

    /// Ends what has expired; early and spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_connections(now);
        let over: Vec<Flow> =
            self.relays.iter().filter(|(_, relay)| relay.expires() <= now).map(|(flow, _)| *flow).collect();
        for flow in over {
            self.client_closed(flow);
            self.remove(flow);
        }
        let queue = &mut self.queue;
        self.reservations.retain(|one| {
            let keep = one.expires > now;
            if !keep && one.address.is_some() {
                queue.push_back(Output::CloseRelay(one.relay));
            }
            keep
        });
    }

    /// Ends an allocation, if there is one.
    fn remove(&mut self, flow: Flow) {
        if let Some(relay) = self.relays.remove(&flow) {
            for socket in relay.sockets {
                self.sockets.remove(&socket.id);
                // One that is still being opened is closed when that is done.
                if matches!(socket.state, SocketState::Open(_)) {
                    self.queue.push_back(Output::CloseRelay(socket.id));
                }
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.queue.pop_front().unwrap_or_else(|| {
            let relays = self.relays.values().map(Relay::expires);
            let connections = self.connections.iter().filter_map(Connection::until);
            let reservations = self.reservations.iter().map(|one| one.expires);
            Output::Idle(relays.chain(reservations).chain(connections).min())
        })
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server {{ allocations: {}, {:?} }}", self.relays.len(), self.counters)
    }
}

/// The address in the family of IPv4 if it is one in disguise.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests;
