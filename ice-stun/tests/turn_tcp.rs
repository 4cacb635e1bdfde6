//! Connections through a relay (RFC 6062), both sides and peers in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use ice_stun::server::{self, Flow, Input, PeerFlow, RelayId, Server};
use ice_stun::stun::{Credentials, Transport};
use ice_stun::turn::{Allocation, Config, DataConnection, DataEvent, DataOutput, Event, Output, Protocol};
use testkit::Clock;

const SERVER: &str = "192.0.2.1:3478";
const RELAYED: &str = "192.0.2.200:50000";
const PEER: &str = "198.51.100.5:7000";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The connections of the client are told apart by their ports: 1 is the one with the allocation.
fn flow(number: u16) -> Flow {
    let remote = SocketAddr::new(at("203.0.113.7:0").ip(), number);
    Flow { transport: Transport::Tcp, local: at(SERVER), remote }
}

struct World {
    clock: Clock,
    server: Server,
    client: Allocation,
    relay: Option<RelayId>,
    events: Vec<Event>,
    /// What the server did to peers.
    at_peers: Vec<server::Output>,
    /// What came on connections beside the first.
    data: Vec<(Flow, Vec<u8>)>,
    closed: Vec<Flow>,
}

impl World {
    fn new(config: server::Config) -> Self {
        let client = Config {
            transport: Transport::Tcp,
            protocol: Protocol::Tcp,
            ..Config::new(at(SERVER), Credentials::long_term("alice", "wonder"))
        };
        let mut world = Self {
            clock: Clock::new(),
            server: Server::new(config, [1; 32]),
            client: Allocation::new(client, [2; 32]),
            relay: None,
            events: Vec::new(),
            at_peers: Vec::new(),
            data: Vec::new(),
            closed: Vec::new(),
        };
        world.client.start(world.clock.now());
        world.settle();
        assert!(matches!(world.events()[..], [Event::Allocated(_)]));
        world
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn at_peers(&mut self) -> Vec<server::Output> {
        std::mem::take(&mut self.at_peers)
    }

    fn peer(&self) -> PeerFlow {
        PeerFlow { relay: self.relay.expect("an allocation"), peer: at(PEER) }
    }

    fn say(&mut self, input: Input<'_>) {
        self.server.handle_input(self.clock.now(), input);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Transmit { data, .. } => {
                    let input = Input::Stream { flow: flow(1), data: &data };
                    self.server.handle_input(self.clock.now(), input);
                    continue;
                }
                Output::Event(event) => {
                    self.events.push(event);
                    continue;
                }
                Output::Idle(_) => {}
            }
            match self.server.poll_output() {
                server::Output::Transmit { flow: to, data } if to == flow(1) => {
                    self.client.handle_input(self.clock.now(), &data);
                }
                server::Output::Transmit { flow, data } => self.data.push((flow, data)),
                server::Output::BindRelay { relay, tcp, .. } => {
                    assert!(tcp, "peers are connected to");
                    self.relay = Some(relay);
                    let input = Input::RelayBound { relay, address: at(RELAYED) };
                    self.server.handle_input(self.clock.now(), input);
                }
                server::Output::Disconnect(flow) => self.closed.push(flow),
                server::Output::Idle(_) => return,
                output => self.at_peers.push(output),
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        self.client.handle_timeout(self.clock.now());
        self.server.handle_timeout(self.clock.now());
        self.settle();
    }

    /// Connects to the peer; the connection's id.
    fn connected(&mut self) -> u32 {
        self.client.connect(self.clock.now(), at(PEER)).expect("it may");
        self.settle();
        let peer = self.peer();
        assert_eq!(self.at_peers(), [server::Output::ConnectPeer(peer)]);
        self.say(Input::PeerConnected(peer));
        match self.events()[..] {
            [Event::Connected { peer, connection }] if peer == at(PEER) => connection,
            ref other => panic!("{other:?}"),
        }
    }

    /// Takes a connection up on another one of the client's.
    fn bind(&mut self, connection: u32, number: u16) -> DataEvent {
        let now = self.clock.now();
        let mut data: DataConnection = self.client.data_connection(now, connection, [3; 32]);
        loop {
            match data.poll_output() {
                DataOutput::Write(bytes) => self.say(Input::Stream { flow: flow(number), data: &bytes }),
                DataOutput::Event(event) => return event,
                DataOutput::Idle(_) => {
                    let (from, bytes) = self.data.remove(0);
                    assert_eq!(from, flow(number));
                    data.handle_input(now, &bytes);
                }
            }
        }
    }
}

fn config() -> server::Config {
    server::Config::new("example.org").with_account("alice", "wonder").with_account("bob", "build")
}

/// RFC 6062 §5.2, §5.4, §5.5.
#[test]
fn a_peer_is_connected_to_and_bytes_go_both_ways() {
    let mut world = World::new(config());
    let connection = world.connected();
    let peer = world.peer();
    world.say(Input::PeerData { from: peer, data: b"early " });
    world.say(Input::PeerData { from: peer, data: b"words" });
    assert_eq!(world.data, []);
    assert_eq!(world.bind(connection, 2), DataEvent::Bound(Vec::new()));
    assert_eq!(std::mem::take(&mut world.data), [(flow(2), b"early words".to_vec())]);
    // Bytes that look like anything go as they are.
    for bytes in [&b"\x00\x01\x00\x00\x21\x12\xa4\x42"[..], b"GET / HTTP/1.1\r\n"] {
        world.say(Input::Stream { flow: flow(2), data: bytes });
        assert_eq!(world.at_peers(), [server::Output::WritePeer { to: peer, data: bytes.to_vec() }]);
        world.say(Input::PeerData { from: peer, data: bytes });
        assert_eq!(std::mem::take(&mut world.data), [(flow(2), bytes.to_vec())]);
    }
    // Bound connections do not run out; the peer closes.
    world.wait(Duration::from_secs(300));
    assert_eq!(world.closed, []);
    world.say(Input::PeerClosed(peer));
    assert_eq!((std::mem::take(&mut world.closed), world.at_peers()), (vec![flow(2)], vec![]));
    // And the client does, with another one.
    let connection = world.connected();
    assert_eq!(world.bind(connection, 3), DataEvent::Bound(Vec::new()));
    world.say(Input::Disconnected(flow(3)));
    assert_eq!(world.at_peers(), [server::Output::ClosePeer(peer)]);
}

/// What a client writes right behind its ConnectionBind is the peer's.
#[test]
fn bytes_behind_a_bind_are_the_peers() {
    let mut world = World::new(config());
    let connection = world.connected();
    let mut data = world.client.data_connection(world.clock.now(), connection, [3; 32]);
    let DataOutput::Write(bytes) = data.poll_output() else { panic!("it asks") };
    // A nonce is for one connection: the first try is challenged.
    world.say(Input::Stream { flow: flow(2), data: &bytes });
    let (_, challenge) = world.data.remove(0);
    data.handle_input(world.clock.now(), &challenge);
    let DataOutput::Write(mut bytes) = data.poll_output() else { panic!("it asks again") };
    bytes.extend_from_slice(b"hello");
    world.say(Input::Stream { flow: flow(2), data: &bytes });
    let peer = world.peer();
    assert_eq!(world.at_peers(), [server::Output::WritePeer { to: peer, data: b"hello".to_vec() }]);
}

/// RFC 6062 §5.3.
#[test]
fn peers_that_may_connect() {
    let mut world = World::new(config());
    let peer = world.peer();
    world.say(Input::PeerAccepted(peer));
    assert_eq!((world.at_peers(), world.events()), (vec![server::Output::ClosePeer(peer)], vec![]));
    assert_eq!(world.server.counters().unpermitted, 1);
    world.client.permit(world.clock.now(), at(PEER).ip()).expect("room for one");
    world.settle();
    world.events();
    world.say(Input::PeerAccepted(peer));
    let [Event::ConnectionAttempt { connection, .. }] = world.events()[..] else { panic!("it is told") };
    world.say(Input::PeerData { from: peer, data: b"hi" });
    assert_eq!(world.bind(connection, 2), DataEvent::Bound(Vec::new()));
    assert_eq!(world.data, [(flow(2), b"hi".to_vec())]);
    // A second one from there cannot be.
    world.say(Input::PeerAccepted(peer));
    assert_eq!(world.at_peers(), [server::Output::ClosePeer(peer)]);
}

/// RFC 6062 §5.2: 447 at once, and after 30 s; nothing is left.
#[test]
fn peers_that_cannot_be_reached() {
    let mut world = World::new(config());
    let peer = world.peer();
    for slow in [false, true] {
        world.client.connect(world.clock.now(), at(PEER)).expect("it may");
        world.settle();
        assert_eq!(world.at_peers(), [server::Output::ConnectPeer(peer)]);
        if slow {
            world.wait(Duration::from_secs(29));
            assert_eq!((world.events(), world.at_peers()), (vec![], vec![]));
            world.wait(Duration::from_secs(1));
            assert_eq!(world.at_peers(), [server::Output::ClosePeer(peer)]);
            // It comes about all the same.
            world.say(Input::PeerConnected(peer));
            assert_eq!(world.at_peers(), [server::Output::ClosePeer(peer)]);
        } else {
            world.say(Input::PeerClosed(peer));
        }
        assert!(matches!(world.events()[..], [Event::ConnectFailed { .. }]));
    }
    assert!(matches!(world.server.poll_output(), server::Output::Idle(Some(_))));
}

/// RFC 6062 §5.2, §5.4: what nobody takes up in 30 s is closed, and what is not there cannot be.
#[test]
fn connections_that_nobody_takes_up() {
    let mut world = World::new(config());
    let (connection, peer) = (world.connected(), world.peer());
    assert!(matches!(world.bind(connection.wrapping_add(1), 2), DataEvent::Failed(_)));
    world.wait(Duration::from_secs(30));
    assert_eq!(world.at_peers(), [server::Output::ClosePeer(peer)]);
    assert!(matches!(world.bind(connection, 4), DataEvent::Failed(_)));
}

/// Caps: connections of an allocation, bytes before they are taken up; and the policy for peers.
#[test]
fn caps_and_policies_hold_for_connections() {
    let mut world = World::new(server::Config { max_connections: 1, max_early: 8, ..config() });
    let (_, peer) = (world.connected(), world.peer());
    world.client.connect(world.clock.now(), at("198.51.100.6:7000")).expect("it asks");
    world.settle();
    assert!(matches!(world.events()[..], [Event::ConnectFailed { .. }]));
    assert_eq!((world.at_peers(), world.server.counters().capped), (vec![], 1));
    world.say(Input::PeerData { from: peer, data: b"12345678" });
    assert_eq!(world.at_peers(), []);
    world.say(Input::PeerData { from: peer, data: b"9" });
    assert_eq!(world.at_peers(), [server::Output::ClosePeer(peer)]);
    world.client.connect(world.clock.now(), at("127.0.0.1:7000")).expect("it asks");
    world.settle();
    assert!(matches!(world.events()[..], [Event::ConnectFailed { .. }]));
    assert_eq!((world.at_peers(), world.server.counters().forbidden), (vec![], 1));
}

/// RFC 6062 §5.5: connections go with their allocation.
#[test]
fn an_allocation_takes_its_connections_along() {
    for how in 0..3 {
        let mut world = World::new(config());
        let (connection, peer) = (world.connected(), world.peer());
        assert_eq!(world.bind(connection, 2), DataEvent::Bound(Vec::new()));
        match how {
            0 => world.client.close(world.clock.now()),
            1 => world.server.handle_input(world.clock.now(), Input::Disconnected(flow(1))),
            _ => {
                // Nobody refreshes it.
                world.clock.advance(Duration::from_secs(601));
                world.server.handle_timeout(world.clock.now());
            }
        }
        world.settle();
        let relay = peer.relay;
        let expected = [server::Output::ClosePeer(peer), server::Output::CloseRelay(relay)];
        assert_eq!((world.closed, world.at_peers.as_slice()), (vec![flow(2)], &expected[..]), "{how}");
    }
}

/// RFC 6062 §5.1: over UDP there are none.
#[test]
fn over_datagrams_there_are_no_connections() {
    use ice_stun::stun::{
        Builder, Class, ErrorCode, Key, Message, Method, Nonce, Realm, RequestedTransport, Username,
    };
    let mut server = Server::new(server::Config { sha256: false, ..config() }, [1; 32]);
    let flow = Flow { transport: Transport::Udp, ..flow(1) };
    let clock = Clock::new();
    let mut ask = |bytes: &[u8]| {
        server.handle_input(clock.now(), Input::Datagram { flow, data: bytes });
        match server.poll_output() {
            server::Output::Transmit { data, .. } => data,
            other => panic!("{other:?}"),
        }
    };
    let request = || {
        Builder::new(Class::Request, Method::ALLOCATE, [5; 12])
            .attribute(&RequestedTransport(6))
            .expect("short")
    };
    let challenge = ask(&request().finish());
    let challenge = Message::parse(&challenge).expect("an answer");
    let Some(Ok(Nonce(nonce))) = challenge.get::<Nonce<'_>>() else { panic!("a challenge") };
    let key = Key::long_term("alice", "example.org", "wonder");
    let signed = request()
        .attribute(&Username("alice"))
        .and_then(|it| it.attribute(&Realm("example.org")))
        .and_then(|it| it.attribute(&Nonce(nonce)))
        .expect("short")
        .finish_with(Some(&key), false);
    let answer = ask(&signed);
    let answer = Message::parse(&answer).expect("an answer");
    let Some(Ok(ErrorCode { code, .. })) = answer.get::<ErrorCode<'_>>() else { panic!("an error") };
    assert_eq!(code, 400);
}
