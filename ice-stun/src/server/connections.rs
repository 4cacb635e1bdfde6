//! Connections to peers and from them (RFC 6062 §5).
//!
//! ```text
//!   client ── control ──▶ server                  Connect, ConnectionAttempt
//!   client ── data ─────▶ server ── data ──▶ peer  bytes as they are, once ConnectionBind has tied them
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::accounts::Known;
use super::requests::{BAD_REQUEST, CAPACITY, MISMATCH, Refused};
use super::{Flow, Output, RelayId, Server};
use crate::error::UsageError;
use crate::stun::{Builder, Class, ConnectionId, ErrorCode, Message, Method, TransactionId, XorPeerAddress};

/// For so long a peer may take to be connected to, and a client to take a connection up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection between a relay socket and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerFlow {
    /// Our end.
    pub relay: RelayId,
    /// The other.
    pub peer: SocketAddr,
}

pub(super) struct Connection {
    id: u32,
    peer: PeerFlow,
    /// The client's connection with the allocation, and whose it is.
    control: Flow,
    owner: Known,
    state: State,
}

enum State {
    /// Until then; the Connect request is to be answered.
    Connecting { request: TransactionId, until: Instant },
    /// Nobody has taken it up; what the peer has said meanwhile.
    Waiting { early: Vec<u8>, until: Instant },
    /// Tied to that connection of the client's.
    Bound(Flow),
}

impl Connection {
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { until, .. } | State::Waiting { until, .. } => Some(until),
            State::Bound(_) => None,
        }
    }
}

impl Server {
    /// RFC 6062 §5.2. The answer comes when the peer is connected, or is not.
    pub(super) fn handle_connect(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        known: &Known,
    ) -> Result<(), Refused> {
        let relay = self.owned(flow, known)?;
        if !relay.tcp {
            return Err(MISMATCH);
        }
        let Some(Ok(XorPeerAddress(peer))) = message.get::<XorPeerAddress>() else { return Err(BAD_REQUEST) };
        let Some(relay) = relay.socket_for(peer) else { return Err((443, "Peer Address Family Mismatch")) };
        let peer = PeerFlow { relay, peer };
        if self.connections.iter().any(|one| one.peer == peer) {
            return Err((446, "Connection Already Exists"));
        }
        if !self.config.peers.allows(peer.peer) {
            self.counters.forbidden += 1;
            return Err((403, "Forbidden"));
        }
        if !self.has_room(flow) {
            return Err(CAPACITY);
        }
        let state = State::Connecting { request: message.transaction_id(), until: now + PATIENCE };
        self.add_connection(peer, flow, known.clone(), state);
        self.queue.push_back(Output::ConnectPeer(peer));
        Ok(())
    }

    /// Whether the allocation may have one more.
    fn has_room(&mut self, control: Flow) -> bool {
        let mine = self.connections.iter().filter(|one| one.control == control).count();
        let room = mine < self.config.max_connections;
        self.counters.capped += u64::from(!room);
        room
    }

    fn add_connection(&mut self, peer: PeerFlow, control: Flow, owner: Known, state: State) -> u32 {
        let id = loop {
            let id = self.random.next_u32();
            if self.connections.iter().all(|one| one.id != id) {
                break id;
            }
        };
        self.connections.push(Connection { id, peer, control, owner, state });
        id
    }

    /// The driver has connected to a peer.
    pub(super) fn peer_connected(&mut self, now: Instant, peer: PeerFlow) {
        let Some(one) = self.connections.iter_mut().find(|one| one.peer == peer) else {
            // It was given up meanwhile.
            return self.queue.push_back(Output::ClosePeer(peer));
        };
        let State::Connecting { request, .. } = one.state else { return };
        one.state = State::Waiting { early: Vec::new(), until: now + PATIENCE };
        let (control, owner, id) = (one.control, one.owner.clone(), one.id);
        let answer = Builder::new(Class::Success, Method::CONNECT, request).attribute(&ConnectionId(id));
        self.finish(control, answer, Some(&owner));
    }

    /// RFC 6062 §5.3: a peer has connected to a relay socket.
    pub(super) fn peer_accepted(&mut self, now: Instant, peer: PeerFlow) {
        let relay = self.sockets.get(&peer.relay).and_then(|flow| Some((*flow, self.relays.get(flow)?)));
        let Some((control, relay)) = relay.filter(|(_, relay)| relay.tcp) else {
            self.counters.discarded += 1;
            return self.queue.push_back(Output::ClosePeer(peer));
        };
        let (permitted, owner) = (relay.permits(now, peer.peer.ip()), relay.owner.clone());
        let known = self.connections.iter().any(|one| one.peer == peer);
        if !permitted || known || !self.has_room(control) {
            self.counters.unpermitted += u64::from(!permitted);
            return self.queue.push_back(Output::ClosePeer(peer));
        }
        let state = State::Waiting { early: Vec::new(), until: now + PATIENCE };
        let id = self.add_connection(peer, control, owner, state);
        let mut transaction = [0; 12];
        self.random.fill_bytes(&mut transaction);
        let told = Builder::new(Class::Indication, Method::CONNECTION_ATTEMPT, transaction)
            .attribute(&XorPeerAddress(peer.peer))
            .and_then(|builder| builder.attribute(&ConnectionId(id)));
        self.finish(control, told, None);
    }

    /// RFC 6062 §5.4, on a connection of its own.
    pub(super) fn handle_connection_bind(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        known: &Known,
    ) -> Result<Result<Builder, UsageError>, Refused> {
        let Some(Ok(ConnectionId(id))) = message.get::<ConnectionId>() else { return Err(BAD_REQUEST) };
        let waits = |one: &&mut Connection| {
            one.id == id
                && matches!(one.state, State::Waiting { .. })
                && one.owner.user == known.user
                && one.control != flow
        };
        let free = flow.transport.is_reliable() && !self.relays.contains_key(&flow);
        match self.connections.iter_mut().find(waits).filter(|_| free) {
            Some(one) => {
                let before = std::mem::replace(&mut one.state, State::Bound(flow));
                if let State::Waiting { early, .. } = before {
                    self.early = Some((flow, early));
                }
                Ok(Ok(Builder::answer(message, Class::Success)))
            }
            None => Err(BAD_REQUEST),
        }
    }

    /// What a peer said before it was bound follows the answer to ConnectionBind.
    pub(super) fn send_early(&mut self) {
        if let Some((flow, data)) = self.early.take().filter(|(_, data)| !data.is_empty()) {
            self.queue.push_back(Output::Transmit { flow, data });
        }
    }

    /// The peer that a client's connection is tied to.
    pub(super) fn peer_bound_to(&self, flow: Flow) -> Option<PeerFlow> {
        let bound = |one: &&Connection| matches!(one.state, State::Bound(to) if to == flow);
        self.connections.iter().find(bound).map(|one| one.peer)
    }

    /// Bytes of a peer.
    pub(super) fn peer_said(&mut self, peer: PeerFlow, data: &[u8]) {
        let most = self.config.max_early;
        let Some(one) = self.connections.iter_mut().find(|one| one.peer == peer) else {
            self.counters.discarded += 1;
            return;
        };
        match &mut one.state {
            State::Bound(flow) => {
                self.queue.push_back(Output::Transmit { flow: *flow, data: data.to_vec() });
            }
            State::Waiting { early, .. } if early.len() + data.len() <= most => early.extend_from_slice(data),
            State::Waiting { .. } | State::Connecting { .. } => {
                self.counters.capped += 1;
                self.close_where(true, |one| one.peer == peer);
            }
        }
    }

    /// A peer is gone, or could not be reached.
    pub(super) fn peer_closed(&mut self, peer: PeerFlow) {
        self.close_where(false, |one| one.peer == peer);
    }

    /// A client's connection is gone: with the one of the control, all of its data connections go.
    pub(super) fn client_closed(&mut self, flow: Flow) {
        self.close_where(true, |one| {
            one.control == flow || matches!(one.state, State::Bound(bound) if bound == flow)
        });
    }

    /// Ends what has waited for too long.
    pub(super) fn expire_connections(&mut self, now: Instant) {
        self.close_where(true, |one| one.until().is_some_and(|until| until <= now));
    }

    /// Both ends are closed (RFC 6062 §5.5); who asked for one that did not come about is told (447).
    fn close_where(&mut self, peer_too: bool, over: impl Fn(&Connection) -> bool) {
        let (over, left) = std::mem::take(&mut self.connections).into_iter().partition(over);
        self.connections = left;
        let over: Vec<Connection> = over;
        for one in over {
            if peer_too {
                self.queue.push_back(Output::ClosePeer(one.peer));
            }
            match one.state {
                State::Connecting { request, .. } => {
                    let answer = Builder::new(Class::Error, Method::CONNECT, request)
                        .attribute(&ErrorCode { code: 447, reason: "Connection Timeout or Failure" });
                    self.finish(one.control, answer, Some(&one.owner));
                }
                State::Waiting { .. } => {}
                State::Bound(flow) => {
                    self.streams.remove(&flow);
                    self.queue.push_back(Output::Disconnect(flow));
                }
            }
        }
    }
}
