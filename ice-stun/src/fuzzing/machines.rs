//! Machines under fuzzing: the data is a list of operations in virtual time, with valid keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::server::{self, Flow, Input, RelayId, RelayPort, Server};
use crate::stun::{Credentials, Family, Transport};
use crate::turn::{Allocation, Config, Event, Output, Port, Protocol};

/// Operations and their arguments; arguments that are missing are zero.
pub(super) struct Operations<'a>(pub(super) &'a [u8]);

impl<'a> Operations<'a> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        head
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant has no other source; nothing depends on its value")]
pub(super) fn beginning() -> Instant {
    Instant::now()
}

pub(super) fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(198, 51, 100, last).into(), port)
}

/// An allocation, its server and peers; messages between them are lost, doubled and bent.
struct World {
    now: Instant,
    client: Allocation,
    server: Server,
    flow: Flow,
    sockets: BTreeMap<RelayId, SocketAddr>,
    permitted: BTreeSet<IpAddr>,
    /// Fates of the next messages, from the data.
    fates: Vec<u8>,
    ended: u32,
}

impl World {
    fn new(shape: u8) -> Self {
        let server = SocketAddr::from(([192, 0, 2, 1], 3_478));
        let mut config = Config::new(server, Credentials::long_term("alice", "wonder"));
        config.transport = if shape & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        config.port = if shape & 2 == 0 { Port::Any } else { Port::EvenAndNext };
        config.dont_fragment = shape & 4 != 0;
        config.max_permissions = 4;
        config.max_channels = 3;
        assert_eq!(config.protocol, Protocol::Udp);
        let mirror = server::Config {
            sha256: shape & 8 != 0,
            anonymity: shape & 16 != 0,
            families: vec![Family::Ipv4],
            max_permissions: 3,
            ..server::Config::new("fuzz").with_account("alice", "wonder")
        };
        let transport = config.transport;
        Self {
            now: beginning(),
            client: Allocation::new(config, [1; 32]),
            server: Server::new(mirror, [2; 32]),
            flow: Flow { transport, local: server, remote: SocketAddr::from(([203, 0, 113, 7], 50_000)) },
            sockets: BTreeMap::new(),
            permitted: BTreeSet::new(),
            fates: Vec::new(),
            ended: 0,
        }
    }

    fn perform(&mut self, operation: u8, rest: &mut Operations<'_>) {
        let now = self.now;
        match operation % 12 {
            0 => self.client.start(now),
            1 => {
                let peer = at(rest.byte() % 6, 1).ip();
                if self.client.permit(now, peer).is_ok() {
                    self.permitted.insert(peer);
                }
            }
            2 => {
                let peer = at(rest.byte() % 6, u16::from(rest.byte() % 3));
                // A full table of channels leaves the permission that came first.
                let _ = self.client.bind_channel(now, peer);
                if self.client.allocated().is_some() {
                    self.permitted.insert(peer.ip());
                }
            }
            3 => {
                let peer = at(rest.byte() % 6, 1);
                let mut out = Vec::new();
                if let Ok(to) = self.client.send_to(peer, rest.bytes(), &mut out) {
                    assert_eq!(to, self.client.server());
                    assert!(self.permitted.contains(&peer.ip()), "data without a permission");
                    self.uplink(&out);
                }
            }
            4 => {
                let peer = at(rest.byte() % 6, 1).ip();
                self.client.forget(peer);
                self.permitted.remove(&peer);
            }
            5 => self.client.close(now),
            6 => {
                let from = at(rest.byte() % 6, u16::from(rest.byte() % 3));
                let data = rest.bytes();
                if let Some(relay) = self.sockets.keys().next().copied() {
                    self.server.handle_input(now, Input::Relayed { relay, from, data });
                }
            }
            7 => self.client.handle_input(now, rest.bytes()),
            8 => {
                let data = rest.bytes();
                self.uplink(data);
            }
            9 => self.fates.extend_from_slice(rest.bytes()),
            10 => self.advance(Duration::from_millis(100) * u32::from(rest.byte())),
            _ => self.advance(Duration::from_secs(3) * u32::from(rest.byte())),
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
    }

    fn uplink(&mut self, data: &[u8]) {
        let (now, flow) = (self.now, self.flow);
        if flow.transport.is_reliable() {
            self.server.handle_input(now, Input::Stream { flow, data });
        } else {
            self.server.handle_input(now, Input::Datagram { flow, data });
        }
    }

    /// What becomes of a message: mostly it arrives; streams lose nothing.
    fn fate(&mut self, data: &mut [u8]) -> usize {
        if self.flow.transport.is_reliable() {
            return 1;
        }
        match self.fates.pop() {
            Some(0..=40) => 0,
            Some(41..=80) => 2,
            Some(fate @ 81..=140) => {
                let at = usize::from(fate) * 7 % data.len().max(1);
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= fate;
                }
                1
            }
            _ => 1,
        }
    }

    fn settle(&mut self) {
        for steps in 0.. {
            assert!(steps < 10_000, "it never settles");
            match self.client.poll_output() {
                Output::Transmit { mut data, .. } => {
                    for _ in 0..self.fate(&mut data) {
                        self.uplink(&data);
                    }
                }
                Output::Event(event) => self.see(&event),
                Output::Idle(_) => match self.server.poll_output() {
                    server::Output::Idle(_) => return,
                    output => self.serve(output),
                },
            }
        }
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Data { peer, .. } => assert!(self.permitted.contains(&peer.ip()), "data from a stranger"),
            Event::PermissionFailed { peer, .. } => drop(self.permitted.remove(peer)),
            Event::Failed(_) | Event::Closed(_) => {
                self.ended += 1;
                assert_eq!(self.ended, 1, "it ends once");
                assert!(self.client.is_closed());
                self.permitted.clear();
            }
            _ => {}
        }
    }

    fn serve(&mut self, output: server::Output) {
        match output {
            server::Output::Transmit { flow, mut data } => {
                assert_eq!(flow, self.flow);
                for _ in 0..self.fate(&mut data) {
                    self.client.handle_input(self.now, &data);
                }
            }
            server::Output::BindRelay { relay, port, .. } => {
                let number = 50_000 + u16::try_from(relay.0 % 5_000).unwrap_or_default() * 2;
                if let RelayPort::EvenAndNext(next) = port {
                    self.open(next, number + 1);
                }
                self.open(relay, number);
            }
            server::Output::CloseRelay(relay) => {
                assert!(self.sockets.remove(&relay).is_some(), "closed what is not open");
            }
            server::Output::RelaySend { relay, to, .. } => {
                assert!(self.sockets.contains_key(&relay) && to.port() != 0);
            }
            server::Output::Disconnect(_) => self.client.handle_disconnected(),
            server::Output::ConnectPeer(peer) => self.server.handle_input(self.now, Input::PeerClosed(peer)),
            server::Output::WritePeer { .. } | server::Output::ClosePeer(_) | server::Output::Idle(_) => {}
        }
    }

    fn open(&mut self, relay: RelayId, port: u16) {
        let address = SocketAddr::from(([192, 0, 2, 200], port));
        assert!(self.sockets.insert(relay, address).is_none(), "opened twice");
        self.server.handle_input(self.now, Input::RelayBound { relay, address });
    }

    /// Everybody stops: in two hours nothing is left.
    fn finish(mut self) {
        self.fates.clear();
        self.client.close(self.now);
        self.settle();
        for _ in 0..240 {
            self.advance(Duration::from_secs(30));
            self.settle();
        }
        assert!(self.client.is_closed(), "closing ends");
        assert_eq!(self.client.poll_output(), Output::Idle(None));
        assert_eq!(self.server.allocations(), 0);
        assert!(self.sockets.is_empty(), "sockets are closed");
    }
}

/// Commands, data, time and messages that are lost, doubled and bent between an allocation and its server:
/// nobody hears strangers, it ends once, and when all is said nothing is left over.
pub(super) fn turn_world(data: &[u8]) {
    let mut rest = Operations(data);
    let mut world = World::new(rest.byte());
    for _ in 0..400 {
        let Some(operation) = rest.next() else { break };
        world.perform(operation, &mut rest);
        world.settle();
    }
    world.finish();
}

/// Datagrams and streams of strangers: nothing is opened for them, and what they get is short.
pub(super) fn stun_server(data: &[u8]) {
    let config = server::Config::new("fuzz").with_account("alice", "wonder");
    let mut server = Server::new(server::Config { max_streams: 2, ..config }, [3; 32]);
    let (mut now, mut rest) = (beginning(), Operations(data));
    while let Some(operation) = rest.next() {
        let transport = if operation & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        let flow = Flow {
            transport,
            local: SocketAddr::from(([192, 0, 2, 1], 3_478)),
            remote: at(operation >> 5, 1),
        };
        let data = rest.bytes();
        match (operation >> 1) % 4 {
            0 | 1 if transport == Transport::Udp => server.handle_input(now, Input::Datagram { flow, data }),
            0 | 1 => server.handle_input(now, Input::Stream { flow, data }),
            2 => server.handle_input(now, Input::Disconnected(flow)),
            _ => {
                now += Duration::from_secs(u64::from(rest.byte()));
                server.handle_timeout(now);
            }
        }
        loop {
            match server.poll_output() {
                server::Output::Transmit { flow: to, data } => {
                    assert_eq!(to, flow, "strangers are answered where they ask");
                    assert!(data.len() <= 240, "{} bytes", data.len());
                }
                server::Output::Idle(deadline) => {
                    assert_eq!(deadline, None);
                    break;
                }
                other => {
                    assert!(matches!(other, server::Output::Disconnect(_)), "for a stranger: {other:?}");
                }
            }
        }
        assert_eq!(server.allocations(), 0);
    }
}
