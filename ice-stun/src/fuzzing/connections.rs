//! Connections through a relay (RFC 6062) under fuzzing: both ends of them, the client's and the peers', in
//! virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::machines::{Operations, at, beginning};
use crate::server::{self, Flow, Input, PeerFlow, RelayId, Server};
use crate::stun::{Credentials, Transport};
use crate::turn::{Allocation, Config, DataConnection, DataEvent, DataOutput, Event, Output, Protocol};

/// The client's connections are told apart by their ports: 1 is the one with the allocation.
fn flow(number: u16) -> Flow {
    let local = SocketAddr::from(([192, 0, 2, 1], 3_478));
    Flow { transport: Transport::Tcp, local, remote: SocketAddr::from(([203, 0, 113, 7], number)) }
}

struct World {
    now: Instant,
    client: Allocation,
    server: Server,
    relay: Option<RelayId>,
    /// Peers that are to be connected to, and connections with peers that stand.
    asked: BTreeSet<PeerFlow>,
    open: BTreeSet<PeerFlow>,
    /// Whom the client has ever let in or connected to.
    friends: BTreeSet<SocketAddr>,
    /// What the client may take up, and with whom it then speaks.
    offers: Vec<(u32, SocketAddr)>,
    binding: BTreeMap<u16, (DataConnection, SocketAddr)>,
    bound: BTreeMap<u16, SocketAddr>,
    /// What came out at peers, and at bound connections of the client.
    at_peers: Vec<(SocketAddr, Vec<u8>)>,
    at_client: Vec<(u16, Vec<u8>)>,
    next: u16,
}

impl World {
    fn new(shape: u8) -> Self {
        let client = Config {
            transport: Transport::Tcp,
            protocol: Protocol::Tcp,
            ..Config::new(flow(1).local, Credentials::long_term("alice", "wonder"))
        };
        let server = server::Config {
            sha256: shape & 1 != 0,
            anonymity: shape & 2 != 0,
            max_connections: 3,
            max_early: 64,
            max_streams: 6,
            ..server::Config::new("fuzz").with_account("alice", "wonder")
        };
        Self {
            now: beginning(),
            client: Allocation::new(client, [1; 32]),
            server: Server::new(server, [2; 32]),
            relay: None,
            asked: BTreeSet::new(),
            open: BTreeSet::new(),
            friends: BTreeSet::new(),
            offers: Vec::new(),
            binding: BTreeMap::new(),
            bound: BTreeMap::new(),
            at_peers: Vec::new(),
            at_client: Vec::new(),
            next: 2,
        }
    }

    fn perform(&mut self, operation: u8, rest: &mut Operations<'_>) {
        let now = self.now;
        let peer = |rest: &mut Operations<'_>| at(rest.byte() % 4, 1 + u16::from(rest.byte() % 2));
        match operation % 12 {
            0 => self.client.start(now),
            1 => {
                let peer = peer(rest);
                if self.client.permit(now, peer.ip()).is_ok() {
                    self.friends.extend([SocketAddr::new(peer.ip(), 1), SocketAddr::new(peer.ip(), 2)]);
                }
            }
            2 => {
                let peer = peer(rest);
                if self.client.connect(now, peer).is_ok() {
                    self.friends.extend([SocketAddr::new(peer.ip(), 1), SocketAddr::new(peer.ip(), 2)]);
                }
            }
            3 => {
                if let Some(peer) = self.asked.pop_first() {
                    self.open.insert(peer);
                    self.server.handle_input(now, Input::PeerConnected(peer));
                }
            }
            4 => {
                let asked = self.asked.pop_last().or_else(|| self.open.pop_last());
                if let Some(peer) = asked {
                    self.server.handle_input(now, Input::PeerClosed(peer));
                }
            }
            5 => {
                let peer = peer(rest);
                self.accept(peer);
            }
            6 => {
                let (number, data) = (usize::from(rest.byte()), rest.bytes());
                if let Some(peer) = self.open.iter().nth(number % self.open.len().max(1)).copied() {
                    self.peer_says(peer, data);
                }
            }
            7 => {
                if let Some((connection, peer)) = self.offers.pop() {
                    let number = self.next_flow();
                    // Now and then one that was never offered.
                    let connection = connection ^ u32::from(rest.byte() == 0xff);
                    let seed = [rest.byte(); 32];
                    self.binding.insert(number, (self.client.data_connection(now, connection, seed), peer));
                }
            }
            8 => {
                let (number, data) = (usize::from(rest.byte()), rest.bytes());
                if let Some(number) = self.bound.keys().nth(number % self.bound.len().max(1)).copied() {
                    self.client_says(number, data);
                }
            }
            9 => {
                let number = usize::from(rest.byte());
                if let Some(number) = self.bound.keys().nth(number % self.bound.len().max(1)).copied() {
                    self.bound.remove(&number);
                    self.server.handle_input(now, Input::Disconnected(flow(number)));
                }
            }
            10 => {
                let (number, data) = (self.next_flow(), rest.bytes());
                self.server.handle_input(now, Input::Stream { flow: flow(number), data });
                self.settle();
                self.server.handle_input(self.now, Input::Disconnected(flow(number)));
            }
            _ => self.advance(Duration::from_millis(500) * u32::from(rest.byte())),
        }
    }

    fn next_flow(&mut self) -> u16 {
        self.next = self.next.checked_add(1).unwrap_or(2);
        self.next
    }

    /// A peer connects to the relay. Who was never let in is closed.
    fn accept(&mut self, from: SocketAddr) {
        let Some(relay) = self.relay else { return };
        let peer = PeerFlow { relay, peer: from };
        if self.asked.contains(&peer) || !self.open.insert(peer) {
            return;
        }
        self.server.handle_input(self.now, Input::PeerAccepted(peer));
        self.settle();
        assert!(self.friends.contains(&from) || !self.open.contains(&peer), "a stranger is let in");
    }

    /// Bytes of a peer come out where it is bound, as they are.
    fn peer_says(&mut self, peer: PeerFlow, data: &[u8]) {
        // What it had said before came when it was taken up.
        self.at_client.clear();
        self.server.handle_input(self.now, Input::PeerData { from: peer, data });
        self.settle();
        let heard = std::mem::take(&mut self.at_client);
        let bound = self.bound.iter().find(|(_, with)| **with == peer.peer).map(|(number, _)| *number);
        match bound.filter(|_| self.open.contains(&peer)) {
            Some(number) => assert_eq!(heard, [(number, data.to_vec())]),
            None => assert_eq!(heard, [], "nobody takes it"),
        }
    }

    /// Bytes of the client come out at its peer, as they are.
    fn client_says(&mut self, number: u16, data: &[u8]) {
        let Some(peer) = self.bound.get(&number).copied() else { return };
        self.at_peers.clear();
        self.server.handle_input(self.now, Input::Stream { flow: flow(number), data });
        self.settle();
        let expected = if data.is_empty() { Vec::new() } else { vec![(peer, data.to_vec())] };
        let said = std::mem::take(&mut self.at_peers);
        assert!(said == expected || (data.is_empty() && said == [(peer, Vec::new())]), "{said:?}");
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        for (connection, _) in self.binding.values_mut() {
            connection.handle_timeout(self.now);
        }
    }

    fn settle(&mut self) {
        for steps in 0.. {
            assert!(steps < 10_000, "it never settles");
            let said = match self.client.poll_output() {
                Output::Transmit { data, .. } => {
                    let input = Input::Stream { flow: flow(1), data: &data };
                    self.server.handle_input(self.now, input);
                    true
                }
                Output::Event(Event::Connected { peer, connection }) => {
                    self.offers.push((connection, peer));
                    true
                }
                Output::Event(Event::ConnectionAttempt { peer, connection }) => {
                    assert!(self.friends.contains(&peer), "a stranger is told of");
                    self.offers.push((connection, peer));
                    true
                }
                Output::Event(_) => true,
                Output::Idle(_) => false,
            };
            if said || self.bind() {
                continue;
            }
            match self.server.poll_output() {
                server::Output::Idle(_) => return,
                output => self.serve(output),
            }
        }
    }

    /// Lets connections that are to be bound go on; whether one had something to say.
    fn bind(&mut self) -> bool {
        for number in self.binding.keys().copied().collect::<Vec<_>>() {
            let Some((connection, peer)) = self.binding.get_mut(&number) else { continue };
            let peer = *peer;
            match connection.poll_output() {
                DataOutput::Idle(_) => continue,
                DataOutput::Write(data) => {
                    self.server.handle_input(self.now, Input::Stream { flow: flow(number), data: &data });
                }
                DataOutput::Event(DataEvent::Bound(_)) => {
                    self.binding.remove(&number);
                    self.bound.insert(number, peer);
                }
                DataOutput::Event(DataEvent::Failed(_)) => {
                    self.binding.remove(&number);
                    self.server.handle_input(self.now, Input::Disconnected(flow(number)));
                }
            }
            return true;
        }
        false
    }

    fn serve(&mut self, output: server::Output) {
        assert!(!matches!(output, server::Output::RelaySend { .. }), "no datagrams here");
        match output {
            server::Output::Transmit { flow: to, data } if to == flow(1) => {
                self.client.handle_input(self.now, &data);
            }
            server::Output::Transmit { flow, data } => {
                let number = flow.remote.port();
                if let Some((connection, _)) = self.binding.get_mut(&number) {
                    connection.handle_input(self.now, &data);
                } else if self.bound.contains_key(&number) {
                    self.at_client.push((number, data));
                }
            }
            server::Output::BindRelay { relay, tcp, .. } => {
                assert!(tcp && self.relay.is_none(), "one, for connections");
                self.relay = Some(relay);
                let address = SocketAddr::from(([192, 0, 2, 200], 50_000));
                self.server.handle_input(self.now, Input::RelayBound { relay, address });
            }
            server::Output::CloseRelay(relay) => {
                assert_eq!(self.relay.take(), Some(relay));
                assert!(self.open.is_empty() && self.asked.is_empty(), "its connections go first");
            }
            server::Output::ConnectPeer(peer) => {
                assert_eq!(self.relay, Some(peer.relay));
                assert!(self.friends.contains(&peer.peer), "nobody asked for it");
                assert!(!self.open.contains(&peer) && self.asked.insert(peer), "it is there already");
            }
            server::Output::WritePeer { to, data } => {
                assert!(self.open.contains(&to), "it is closed");
                self.at_peers.push((to.peer, data));
            }
            server::Output::ClosePeer(peer) => {
                assert!(self.open.remove(&peer) | self.asked.remove(&peer), "closed what is not open");
            }
            server::Output::Disconnect(to) if to == flow(1) => self.client.handle_disconnected(),
            server::Output::Disconnect(flow) => {
                let number = flow.remote.port();
                self.bound.remove(&number);
                if let Some((connection, _)) = self.binding.get_mut(&number) {
                    connection.handle_disconnected();
                }
            }
            server::Output::RelaySend { .. } | server::Output::Idle(_) => {}
        }
    }

    /// Everybody stops: in two hours nothing is left.
    fn finish(mut self) {
        self.client.close(self.now);
        self.settle();
        for _ in 0..240 {
            self.advance(Duration::from_secs(30));
            self.settle();
        }
        assert!(self.client.is_closed() && self.binding.is_empty() && self.bound.is_empty());
        assert_eq!((self.server.allocations(), self.relay), (0, None));
        assert!(self.open.is_empty() && self.asked.is_empty(), "connections are closed");
    }
}

/// Commands, connections, bytes and time between an allocation, its server and peers: bytes come out where
/// they are bound to, as they are; strangers are closed; when all is said nothing is left over.
pub(super) fn turn_connections(data: &[u8]) {
    let mut rest = Operations(data);
    let mut world = World::new(rest.byte());
    for _ in 0..400 {
        let Some(operation) = rest.next() else { break };
        world.perform(operation, &mut rest);
        world.settle();
    }
    world.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds lead to where it is interesting.
    #[test]
    fn seeds_lead_to_bound_connections() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/turn_connections");
        for (name, binds) in [("own_connect", 1), ("own_accept", 1), ("own_caps", 0)] {
            let data = std::fs::read(format!("{folder}/{name}")).expect("a seed");
            let mut rest = Operations(&data);
            let mut world = World::new(rest.byte());
            let (mut bound, mut offered) = (0, 0);
            while let Some(operation) = rest.next() {
                let before = world.bound.len();
                world.perform(operation, &mut rest);
                world.settle();
                bound += world.bound.len().saturating_sub(before);
                offered = offered.max(world.offers.len() + world.bound.len());
            }
            assert!(bound >= binds && offered > 0, "{name}: {bound} {offered}");
            world.finish();
        }
    }
}
