//! Allocations, the server and peers in virtual time.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ice_stun::server::{self, Flow, Input, PeerPolicy, RelayPort, Server};
use ice_stun::stun::{Credentials, Failure, Family, Transport};
use ice_stun::turn::{Allocation, CommandError, Config, Event, Families, Output, Port};
use testkit::Clock;

const SERVER: &str = "192.0.2.1:3478";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn account() -> Credentials {
    Credentials::long_term("alice", "wonder")
}

fn server_config() -> server::Config {
    let config =
        server::Config::new("example.org").with_account("alice", "wonder").with_account("bob", "build");
    server::Config { families: vec![Family::Ipv4, Family::Ipv6], ..config }
}

/// A server, a client behind a flow, and what arrives at peers.
struct World {
    clock: Clock,
    server: Server,
    client: Allocation,
    flow: Flow,
    sockets: BTreeMap<SocketAddr, server::RelayId>,
    addresses: HashMap<server::RelayId, SocketAddr>,
    next_port: u16,
    events: Vec<Event>,
    /// (relayed address, peer, data)
    at_peers: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Messages from client to server and back, and their bytes.
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
    deaf: bool,
    even: bool,
}

impl World {
    fn new(server: server::Config, client: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(at(SERVER), account());
        client(&mut config);
        let transport = config.transport;
        Self {
            clock: Clock::new(),
            server: Server::new(server, [1; 32]),
            client: Allocation::new(config, [2; 32]),
            flow: Flow { transport, local: at(SERVER), remote: at("203.0.113.7:50000") },
            sockets: BTreeMap::new(),
            addresses: HashMap::new(),
            next_port: 50_000,
            events: Vec::new(),
            at_peers: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            deaf: false,
            even: true,
        }
    }

    fn allocated(server: server::Config, client: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::new(server, client);
        world.client.start(world.clock.now());
        world.settle();
        assert!(matches!(world.take()[..], [Event::Allocated(_)]));
        world
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn uplink(&mut self, data: &[u8]) {
        self.up.push(data.to_vec());
        if self.deaf {
            return;
        }
        let (now, flow) = (self.now(), self.flow);
        if flow.transport.is_reliable() {
            // In two pieces, as a stream may cut it.
            let (one, two) = data.split_at(data.len() / 2);
            self.server.handle_input(now, Input::Stream { flow, data: one });
            self.server.handle_input(now, Input::Stream { flow, data: two });
        } else {
            self.server.handle_input(now, Input::Datagram { flow, data });
        }
    }

    fn peer_sends(&mut self, peer: &str, relayed: SocketAddr, data: &[u8]) {
        let relay = self.sockets[&relayed];
        self.server.handle_input(self.clock.now(), Input::Relayed { relay, from: at(peer), data });
        self.settle();
    }

    fn open(&mut self, relay: server::RelayId, family: Family, port: RelayPort) {
        let host = match family {
            Family::Ipv4 => ip("192.0.2.200"),
            Family::Ipv6 => ip("2001:db8::200"),
        };
        let mut bind = |relay, number| {
            let address = SocketAddr::new(host, number);
            self.sockets.insert(address, relay);
            self.addresses.insert(relay, address);
            self.server.handle_input(self.clock.now(), Input::RelayBound { relay, address });
        };
        match port {
            _ if !self.even && port != RelayPort::Any => {
                self.server.handle_input(self.clock.now(), Input::RelayFailed(relay));
            }
            RelayPort::Any => bind(relay, self.next_port + 1),
            RelayPort::Even => bind(relay, self.next_port),
            RelayPort::EvenAndNext(next) => {
                bind(next, self.next_port + 1);
                bind(relay, self.next_port);
            }
        }
        self.next_port += 2;
    }

    /// Carries messages until both sides idle; the client's deadline comes back.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            match self.client.poll_output() {
                Output::Transmit { to, data } => {
                    assert_eq!(to, self.client.server());
                    self.uplink(&data);
                    continue;
                }
                Output::Event(event) => {
                    self.events.push(event);
                    continue;
                }
                Output::Idle(deadline) => match self.server.poll_output() {
                    server::Output::Idle(_) => return deadline,
                    server::Output::Transmit { flow, data } => {
                        assert_eq!(flow, self.flow);
                        self.down.push(data.clone());
                        self.client.handle_input(self.clock.now(), &data);
                    }
                    server::Output::BindRelay { relay, family, port, tcp: false } => {
                        self.open(relay, family, port);
                    }
                    server::Output::CloseRelay(relay) => {
                        let address = self.addresses.remove(&relay).expect("it was open");
                        self.sockets.remove(&address);
                    }
                    server::Output::RelaySend { relay, to, data } => {
                        self.at_peers.push((self.addresses[&relay], to, data));
                    }
                    server::Output::Disconnect(_) => self.client.handle_disconnected(),
                    other => panic!("only datagrams here: {other:?}"),
                },
            }
        }
    }

    /// Virtual time passes.
    fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        loop {
            let deadline = self.settle();
            let server = match self.server.poll_output() {
                server::Output::Idle(deadline) => deadline,
                other => panic!("settled, but {other:?}"),
            };
            let next = deadline.into_iter().chain(server).min().filter(|next| *next <= end);
            self.clock.advance_to(next.unwrap_or(end));
            self.client.handle_timeout(self.clock.now());
            self.server.handle_timeout(self.clock.now());
            if next.is_none() {
                self.settle();
                return;
            }
        }
    }

    fn send(&mut self, peer: &str, data: &[u8]) -> Result<usize, CommandError> {
        let mut out = Vec::new();
        let to = self.client.send_to(at(peer), data, &mut out)?;
        assert_eq!(to, self.client.server());
        self.uplink(&out);
        self.settle();
        Ok(out.len())
    }

    fn relayed(&self) -> SocketAddr {
        self.client.allocated().expect("there is one").relayed
    }
}

const PEER: &str = "198.51.100.9:7000";

/// Both ways in indications, then in a channel, over every transport.
#[test]
fn data_goes_both_ways_over_every_transport() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut world = World::allocated(server_config(), |config| config.transport = transport);
        let relayed = world.relayed();
        assert_eq!(world.client.allocated().expect("it is").mapped, world.flow.remote);
        assert_eq!(world.send(PEER, b"early"), Err(CommandError::NotPermitted));
        world.client.permit(world.now(), at(PEER).ip()).expect("there is room");
        world.settle();
        assert_eq!(world.take(), [Event::Permitted(at(PEER).ip())]);
        let indication = world.send(PEER, b"hello").expect("it is permitted");
        assert_eq!(world.at_peers, [(relayed, at(PEER), b"hello".to_vec())]);
        world.peer_sends(PEER, relayed, b"hi");
        assert_eq!(world.take(), [Event::Data { peer: at(PEER), data: b"hi".to_vec() }]);
        world.client.bind_channel(world.now(), at(PEER)).expect("there is room");
        world.settle();
        assert_eq!(world.take(), [Event::ChannelBound(at(PEER))]);
        let channel = world.send(PEER, b"hello again").expect("it is permitted");
        // Four bytes of header; over streams, padding to four.
        assert_eq!(channel, if transport == Transport::Udp { 15 } else { 16 });
        assert!(channel < indication);
        assert_eq!(world.at_peers.last(), Some(&(relayed, at(PEER), b"hello again".to_vec())));
        world.peer_sends(PEER, relayed, b"me too");
        assert_eq!(
            world.down.last().expect("it came").len(),
            if transport == Transport::Udp { 10 } else { 12 }
        );
        assert_eq!(world.take(), [Event::Data { peer: at(PEER), data: b"me too".to_vec() }]);
        if transport == Transport::Udp {
            let datagram = world.down.last().expect("it came").clone();
            assert_eq!(world.client.data_of(&datagram), Some((at(PEER), &b"me too"[..])));
        }
        world.client.close(world.now());
        world.settle();
        assert_eq!(world.take(), [Event::Closed(None)]);
        assert_eq!((world.server.allocations(), world.sockets.len()), (0, 0));
    }
}

/// An hour: allocation, permission and channel are kept fresh, with nonces that grow stale.
#[test]
fn an_hour_later_all_is_fresh() {
    let mut world = World::allocated(server_config(), |_| {});
    let relayed = world.relayed();
    world.client.bind_channel(world.now(), at(PEER)).expect("there is room");
    world.client.permit(world.now(), ip("198.51.100.10")).expect("there is room");
    world.settle();
    world.take();
    let before = world.up.len();
    for _ in 0..60 {
        world.run(Duration::from_secs(60));
        world.peer_sends(PEER, relayed, b"in");
        world.peer_sends("198.51.100.10:1", relayed, b"too");
        world.send(PEER, b"out").expect("it is permitted");
        assert_eq!(world.take().len(), 2, "after {:?}", world.clock.elapsed());
    }
    assert_eq!(world.at_peers.len(), 60);
    let kept = world.up.len() - before - 60;
    // 15 rounds of permissions, 6 of the channel, 6 refreshes, and again for 6 stale nonces: not more.
    assert!((27..=38).contains(&kept), "{kept}");
    assert_eq!(world.client.discarded(), 0);
}

/// RFC 8656 §9: who has no permission does not get through, in either direction.
#[test]
fn nobody_gets_through_without_a_permission() {
    let mut world = World::allocated(server_config(), |_| {});
    let relayed = world.relayed();
    world.client.permit(world.now(), at(PEER).ip()).expect("there is room");
    world.settle();
    world.take();
    world.peer_sends("198.51.100.66:7000", relayed, b"spam");
    assert_eq!((world.take(), world.server.counters().unpermitted), (vec![], 1));
    // The port does not matter, the address does.
    world.peer_sends("198.51.100.9:9", relayed, b"ham");
    assert_eq!(world.take().len(), 1);
    // Forgotten: thrown away here at once, by the relay within five minutes.
    world.client.forget(at(PEER).ip());
    world.peer_sends(PEER, relayed, b"late");
    assert_eq!(world.take(), []);
    world.run(Duration::from_secs(301));
    let sent = world.down.len();
    world.peer_sends(PEER, relayed, b"later");
    assert_eq!(world.down.len(), sent);
}

/// Forbidden peers: 403, and no data.
#[test]
fn forbidden_peers_are_refused() {
    for peer in ["127.0.0.1", "10.0.0.1", "169.254.0.1", "224.0.0.1", "192.0.2.1"] {
        let policy = PeerPolicy { forbidden: vec![ip("192.0.2.1")], ..PeerPolicy::default() };
        let config = server::Config { peers: policy, ..server_config() };
        let mut world = World::allocated(config, |_| {});
        world.client.permit(world.now(), ip(peer)).expect("there is room");
        world.settle();
        let failure = Failure::Refused { code: 403, reason: "Forbidden".into() };
        assert_eq!(world.take(), [Event::PermissionFailed { peer: ip(peer), failure }]);
        assert_eq!(world.server.counters().forbidden, 1);
        assert_eq!(world.send(&format!("{peer}:9"), b"x"), Err(CommandError::NotPermitted));
    }
}

#[test]
fn two_families_on_one_allocation() {
    let mut world = World::allocated(server_config(), |config| config.families = Families::Both);
    let allocated = world.client.allocated().expect("it is").clone();
    let additional = allocated.additional.expect("both are relayed");
    assert!(allocated.relayed.is_ipv4() && additional.is_ipv6() && allocated.missing.is_none());
    world.client.permit(world.now(), ip("2001:db8::9")).expect("its family is there");
    world.settle();
    world.take();
    world.send("[2001:db8::9]:5", b"six").expect("it is permitted");
    assert_eq!(world.at_peers, [(additional, at("[2001:db8::9]:5"), b"six".to_vec())]);
    world.peer_sends("[2001:db8::9]:5", additional, b"six back");
    assert_eq!(world.take().len(), 1);
    // A relay of IPv4 alone says what is missing.
    let ipv4 = server::Config { families: vec![Family::Ipv4], ..server_config() };
    let mut world = World::allocated(ipv4.clone(), |config| config.families = Families::Both);
    assert_eq!(world.client.allocated().expect("it is").missing, Some(440));
    assert_eq!(world.client.permit(world.now(), ip("2001:db8::9")), Err(CommandError::Family));
    // And has none for who wants IPv6 alone.
    let mut world = World::new(ipv4, |config| config.families = Families::Only(Family::Ipv6));
    world.client.start(world.now());
    world.settle();
    let code = |event: &Event| matches!(event, Event::Failed(Failure::Refused { code: 440, .. }));
    assert!(world.take().iter().any(code));
}

#[test]
fn a_pair_of_ports_and_its_reservation() {
    let mut world = World::allocated(server_config(), |config| config.port = Port::EvenAndNext);
    let allocated = world.client.allocated().expect("it is").clone();
    assert_eq!(allocated.relayed.port() % 2, 0);
    let token = allocated.reservation.expect("the next port is kept");
    // Another client takes it.
    let mut config = Config::new(at(SERVER), account());
    config.port = Port::Reserved(token);
    world.client = Allocation::new(config.clone(), [3; 32]);
    world.flow.remote = at("203.0.113.7:50001");
    world.client.start(world.now());
    world.settle();
    assert_eq!(world.relayed().port(), allocated.relayed.port() + 1);
    world.take();
    // Once.
    world.client = Allocation::new(config, [4; 32]);
    world.flow.remote = at("203.0.113.7:50002");
    world.client.start(world.now());
    world.settle();
    assert!(matches!(world.take()[..], [Event::Failed(Failure::Refused { code: 508, .. })]));
    // Where no even port is to be had, any will do.
    let mut world = World::new(server_config(), |config| config.port = Port::Even);
    world.even = false;
    world.client.start(world.now());
    world.settle();
    assert!(matches!(world.take()[..], [Event::Allocated(_)]));
    // Nobody takes it: it is closed after 30 s.
    let mut world = World::allocated(server_config(), |config| config.port = Port::EvenAndNext);
    assert_eq!(world.sockets.len(), 2);
    world.run(Duration::from_secs(31));
    assert_eq!(world.sockets.len(), 1);
}

/// DONT-FRAGMENT is asked for again without, where a relay does not know it (420).
#[test]
fn what_a_relay_lacks_is_done_without() {
    let world = World::allocated(server_config(), |config| config.dont_fragment = true);
    assert!(world.relayed().is_ipv4());
}

#[test]
fn quotas_and_caps_hold() {
    let config = server::Config { max_allocations_per_user: 1, max_permissions: 2, ..server_config() };
    let mut world = World::allocated(config, |_| {});
    for (last, code) in [(1, None), (2, None), (3, Some(508))] {
        world.client.permit(world.now(), ip(&format!("198.51.100.{last}"))).expect("there is room here");
        world.settle();
        match (world.take().pop(), code) {
            (Some(Event::Permitted(_)), None) => {}
            (
                Some(Event::PermissionFailed { failure: Failure::Refused { code: is, .. }, .. }),
                Some(code),
            ) => {
                assert_eq!(is, code);
            }
            other => panic!("{other:?}"),
        }
    }
    world.client = Allocation::new(Config::new(at(SERVER), account()), [9; 32]);
    world.flow.remote = at("203.0.113.7:50001");
    world.client.start(world.now());
    world.settle();
    assert!(matches!(world.take()[..], [Event::Failed(Failure::Refused { code: 486, .. })]));
    // The client's own caps.
    let mut world = World::allocated(server_config(), |config| config.max_permissions = 1);
    world.client.permit(world.now(), ip("198.51.100.1")).expect("there is room");
    assert_eq!(world.client.permit(world.now(), ip("198.51.100.2")), Err(CommandError::Full(1)));
}

#[test]
fn wrong_passwords_and_other_users_get_nothing() {
    let mut world = World::new(server_config(), |config| {
        config.credentials = Credentials::long_term("alice", "guess");
    });
    world.client.start(world.now());
    world.settle();
    assert_eq!(world.take(), [Event::Failed(Failure::Unauthenticated)]);
    assert_eq!((world.server.allocations(), world.server.counters().unauthenticated), (0, 2));
    // On alice's five-tuple bob is nobody: 437 for a new one, 441 for hers.
    let mut world = World::allocated(server_config(), |_| {});
    world.client = Allocation::new(Config::new(at(SERVER), Credentials::long_term("bob", "build")), [5; 32]);
    world.client.start(world.now());
    world.settle();
    assert!(matches!(world.take()[..], [Event::Failed(Failure::Refused { code: 437, .. })]));
}

/// SHA-256, hashed user names; and neither.
#[test]
fn every_kind_of_challenge_is_answered() {
    for (sha256, anonymity) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = server::Config { sha256, anonymity, ..server_config() };
        let world = World::allocated(config, |_| {});
        let spells = |message: &Vec<u8>| message.windows(5).any(|five| five == b"alice");
        assert_eq!(world.up.iter().any(spells), !anonymity, "{sha256} {anonymity}");
    }
}

/// A relay that is gone: known by the refresh that nobody answers.
#[test]
fn a_relay_that_is_gone_is_noticed() {
    let mut world = World::allocated(server_config(), |_| {});
    world.deaf = true;
    world.run(Duration::from_secs(600));
    assert_eq!(world.take(), [Event::Closed(Some(Failure::TimedOut))]);
    // One that has forgotten us says 437, or 401 with a new nonce key.
    let mut world = World::allocated(server_config(), |_| {});
    world.server = Server::new(server_config(), [77; 32]);
    world.run(Duration::from_secs(600));
    assert!(matches!(world.take()[..], [Event::Closed(Some(Failure::Refused { code: 437, .. }))]));
    // Nobody there at all: 39.5 s.
    let mut world = World::new(server_config(), |_| {});
    world.deaf = true;
    world.client.start(world.now());
    world.run(Duration::from_secs(39));
    assert_eq!((world.take(), world.up.len()), (vec![], 7));
    world.run(Duration::from_secs(1));
    assert_eq!(world.take(), [Event::Failed(Failure::TimedOut)]);
}

/// A repeated Allocate request makes no second allocation.
#[test]
fn repetitions_make_no_second_allocation() {
    let mut world = World::allocated(server_config(), |_| {});
    let allocate = world.up.last().expect("it was sent").clone();
    let answer = world.down.last().expect("it came").clone();
    world.uplink(&allocate);
    world.settle();
    assert_eq!(world.server.allocations(), 1);
    assert_eq!(world.down.last(), Some(&answer), "and is answered alike");
    assert_eq!(world.take(), []);
}

/// RFC 8656 §3.2: a client that vanishes leaves nothing behind.
#[test]
fn what_nobody_refreshes_expires() {
    let mut world = World::allocated(server_config(), |_| {});
    world.client = Allocation::new(Config::new(at(SERVER), account()), [5; 32]);
    world.run(Duration::from_secs(599));
    assert_eq!(world.server.allocations(), 1);
    world.run(Duration::from_secs(1));
    assert_eq!((world.server.allocations(), world.sockets.len()), (0, 0));
}
