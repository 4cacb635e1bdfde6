//! Connections: opened, accepted, reused and given up (RFC 3261 §18.1.1, §18.2.2, §18.3).

use super::{
    Endpoint, FlowId, Output, Owner, Target, Transport,
    client::{Client, ClientKey, Path},
    ids::ByNumber,
    receive::Source,
};
use crate::{Message, StreamDecoder, StreamItem};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    all: ByNumber<FlowId, Flow>,
    /// Those that a request may use.
    index: HashMap<FlowKey, FlowId>,
    opened: u64,
}

/// A connection is reused for its transport, its far end and, where it is encrypted, the name
/// that it was verified for.
type FlowKey = (Transport, SocketAddr, Box<str>);

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    key: FlowKey,
    state: FlowState,
    decoder: StreamDecoder,
    last_used: Instant,
    /// Client transactions that were sent on it, or wait for it.
    pub(crate) clients: BTreeSet<ClientKey>,
}

#[derive(Debug)]
enum FlowState {
    Connecting { until: Instant, unsent: Vec<Bytes>, unsent_len: usize },
    Open { local: SocketAddr },
}

impl Flow {
    /// Our end, once it is connected.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self.state {
            FlowState::Connecting { .. } => None,
            FlowState::Open { local } => Some(local),
        }
    }

    fn deadline(&self, idle: Duration) -> Instant {
        match self.state {
            FlowState::Connecting { until, .. } => until,
            FlowState::Open { .. } => self.last_used + idle,
        }
    }
}

impl Flows {
    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.all.get_mut(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The connection to reuse, open or about to be.
    fn find(&self, transport: Transport, remote: SocketAddr, name: &str) -> Option<FlowId> {
        self.index.get(&flow_key(transport, remote, name)).copied()
    }

    fn insert(&mut self, id: FlowId, flow: Flow) {
        self.index.insert(flow.key.clone(), id);
        self.all.insert(id, flow);
    }

    fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let flow = self.all.remove(&id)?;
        if self.index.get(&flow.key) == Some(&id) {
            self.index.remove(&flow.key);
        }
        super::shrink(&mut self.all);
        super::shrink(&mut self.index);
        Some(flow)
    }
}

fn flow_key(transport: Transport, remote: SocketAddr, name: &str) -> FlowKey {
    let name = if transport.is_secure() { name.to_ascii_lowercase() } else { String::new() };
    (transport, remote, name.into_boxed_str())
}

impl Endpoint {
    /// The connection to `remote`, asked for if there is none; `None` if there are too many.
    pub(crate) fn flow_to(
        &mut self,
        now: Instant,
        transport: Transport,
        remote: SocketAddr,
        name: &str,
        patience: Duration,
    ) -> Option<FlowId> {
        if let Some(id) = self.flows.find(transport, remote, name) {
            return Some(id);
        }
        if self.flows.len() >= self.config.max_connections {
            self.stats.connections_refused += 1;
            return None;
        }
        self.flows.opened += 1;
        let id = FlowId::opened(self.flows.opened);
        let flow = Flow {
            transport,
            remote,
            key: flow_key(transport, remote, name),
            state: FlowState::Connecting { until: now + patience, unsent: Vec::new(), unsent_len: 0 },
            decoder: StreamDecoder::new(self.config.limits.clone()),
            last_used: now,
            clients: BTreeSet::new(),
        };
        self.timers.set(Owner::Flow(id), Some(now + patience));
        self.flows.insert(id, flow);
        self.outputs.push_back(Output::Connect { flow: id, transport, remote, server_name: name.to_owned() });
        Some(id)
    }

    /// Writes, or keeps for when the connection is there; `false` if it cannot be.
    pub(crate) fn write(&mut self, now: Instant, id: FlowId, data: Bytes) -> bool {
        let max = self.config.max_unsent;
        let Some(flow) = self.flows.get_mut(id) else { return false };
        flow.last_used = now;
        match &mut flow.state {
            FlowState::Open { .. } => {
                self.outputs.push_back(Output::Write { flow: id, data });
                true
            }
            FlowState::Connecting { unsent, unsent_len, .. } => {
                let fits = *unsent_len + data.len() <= max;
                if fits {
                    *unsent_len += data.len();
                    unsent.push(data);
                }
                fits
            }
        }
    }

    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        id: FlowId,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        if self.flows.len() >= self.config.max_connections {
            self.stats.connections_refused += 1;
            self.outputs.push_back(Output::Disconnect { flow: id });
            return;
        }
        let flow = Flow {
            transport,
            remote,
            key: flow_key(transport, remote, ""),
            state: FlowState::Open { local },
            decoder: StreamDecoder::new(self.config.limits.clone()),
            last_used: now,
            clients: BTreeSet::new(),
        };
        self.timers.set(Owner::Flow(id), Some(flow.deadline(self.config.idle_connection)));
        self.flows.insert(id, flow);
    }

    pub(crate) fn connected(&mut self, now: Instant, id: FlowId, local: SocketAddr) {
        let idle = self.config.idle_connection;
        let Some(flow) = self.flows.get_mut(id) else {
            // Given up meanwhile.
            self.outputs.push_back(Output::Disconnect { flow: id });
            return;
        };
        if flow.local().is_some() {
            return;
        }
        flow.last_used = now;
        let before = std::mem::replace(&mut flow.state, FlowState::Open { local });
        let waiting = flow.clients.clone();
        self.timers.set(Owner::Flow(id), Some(now + idle));
        if let FlowState::Connecting { unsent, .. } = before {
            for data in unsent {
                self.outputs.push_back(Output::Write { flow: id, data });
            }
        }
        for key in waiting {
            self.send_on_flow(now, key, id);
        }
    }

    /// The connection is gone, or never came about.
    pub(crate) fn flow_lost(&mut self, now: Instant, id: FlowId, reason: &str) {
        let Some(flow) = self.flows.remove(id) else { return };
        self.timers.set(Owner::Flow(id), None);
        if flow.local().is_none() {
            let target = Target { addr: flow.remote, transport: flow.transport };
            self.locator.cache.died(now, target, now + self.config.avoid_dead);
        }
        self.kept_lost(id, reason);
        for key in flow.clients {
            self.client_lost_path(now, key, Some(id), reason);
        }
    }

    /// An address of ours is gone: connections from it are dead, though nobody says so, and answers
    /// to what was sent from it do not arrive.
    pub(crate) fn address_lost(&mut self, now: Instant, local: SocketAddr) {
        if self.bound.iter().any(|(_, other)| other.ip() == local.ip()) {
            return;
        }
        let sent_from = |client: &Client| matches!(client.path, Some(Path::Udp { local: from, .. }) if from.ip() == local.ip());
        let mut unanswered: Vec<ClientKey> =
            self.clients.iter().filter(|(_, client)| sent_from(client)).map(|(key, _)| *key).collect();
        unanswered.sort_unstable();
        for key in unanswered {
            self.client_lost_path(now, key, None, "our address is gone");
        }
        let from = |flow: &Flow| flow.local().is_some_and(|l| l.ip() == local.ip());
        let mut gone: Vec<FlowId> =
            self.flows.all.iter().filter(|(_, flow)| from(flow)).map(|(id, _)| *id).collect();
        gone.sort_unstable();
        for id in gone {
            self.outputs.push_back(Output::Disconnect { flow: id });
            self.flow_lost(now, id, "our address is gone");
        }
    }

    /// A request does not need a connection any more; one that nobody needs is not waited for.
    pub(crate) fn leave_flow(&mut self, key: ClientKey, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.clients.remove(&key);
        let unneeded = matches!(&flow.state, FlowState::Connecting { unsent, .. } if unsent.is_empty())
            && flow.clients.is_empty();
        if unneeded {
            self.flows.remove(id);
            self.timers.set(Owner::Flow(id), None);
            self.outputs.push_back(Output::Disconnect { flow: id });
        }
    }

    pub(crate) fn flow_timeout(&mut self, now: Instant, id: FlowId) {
        let idle = self.config.idle_connection;
        let Some(flow) = self.flows.get_mut(id) else { return };
        let deadline = flow.deadline(idle);
        if deadline > now {
            self.timers.set(Owner::Flow(id), Some(deadline));
        } else if flow.local().is_some() && self.has_pending(id) {
            // A long ring: nothing is sent, but the answer will come here.
            self.timers.set(Owner::Flow(id), Some(now + idle));
        } else {
            let connecting = self.flows.get(id).is_some_and(|f| f.local().is_none());
            self.outputs.push_back(Output::Disconnect { flow: id });
            self.flow_lost(now, id, if connecting { "the connection took too long" } else { "idle" });
        }
    }

    fn has_pending(&self, id: FlowId) -> bool {
        let clients = self.flows.get(id).map(|f| &f.clients);
        clients.is_some_and(|keys| keys.iter().any(|key| self.is_client_pending(*key)))
    }

    /// Bytes came on a connection.
    pub(crate) fn received(&mut self, now: Instant, id: FlowId, data: &[u8]) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.last_used = now;
        if matches!(flow.transport, Transport::Ws | Transport::Wss) {
            self.received_whole(now, id, data);
            return;
        }
        flow.decoder.feed(data);
        loop {
            // A message may have closed it.
            let Some(flow) = self.flows.get_mut(id) else { return };
            let Some(local) = flow.local() else { return };
            let Some(item) = flow.decoder.next() else { return };
            let source =
                Source { local, remote: flow.remote, transport: flow.transport, flow: Some(id), len: 0 };
            match item {
                StreamItem::Message(message) => {
                    let len = message_len(&message);
                    self.message(now, message, Source { len, ..source });
                }
                // RFC 5626 §4.4.1: a double CRLF is answered with one.
                StreamItem::Ping => {
                    self.write(now, id, Bytes::from_static(b"\r\n"));
                }
                StreamItem::Pong => self.pong(id),
                StreamItem::Error(error) => {
                    if let Some(Message::Request(mut request)) = error.message {
                        request.stamp_via(source.remote);
                        let reason = error.status.default_reason();
                        self.refuse_malformed(now, &request, source, error.status, reason);
                    } else {
                        self.stats.dropped += 1;
                    }
                    self.outputs.push_back(Output::Disconnect { flow: id });
                    self.flow_lost(now, id, "the peer sent something that is not SIP");
                    return;
                }
            }
        }
    }
}

impl Endpoint {
    /// A WebSocket message came: one SIP message, whole, with or without Content-Length
    /// (RFC 7118 §5).
    fn received_whole(&mut self, now: Instant, id: FlowId, data: &[u8]) {
        let Some(flow) = self.flows.get(id) else { return };
        let Some(local) = flow.local() else { return };
        let (remote, transport, len) = (flow.remote, flow.transport, data.len());
        if data.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            // RFC 5626 §4.4.1, as on other streams.
            match data.len() {
                0..4 => self.pong(id),
                _ => drop(self.write(now, id, Bytes::from_static(b"\r\n"))),
            }
            return;
        }
        match Message::parse(Bytes::copy_from_slice(data), &self.config.limits) {
            Ok(message) => {
                self.message(now, message, Source { local, remote, transport, flow: Some(id), len });
            }
            Err(_) => self.stats.dropped += 1,
        }
    }
}

fn message_len(message: &Message) -> usize {
    message.to_bytes().len()
}
