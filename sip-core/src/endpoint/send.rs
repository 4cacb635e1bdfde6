//! Sending requests: where they go, over what, and what if that fails (RFC 3261 §8.1.2, §18.1.1,
//! RFC 3263 §4.3).

use super::{
    Cause, ContactMarks, Endpoint, FlowId, Output, Owner, Target, Transport,
    client::{Client, ClientKey, ClientMachine, Path, User, Waiting},
};
use crate::{
    Host, Method, NameAddr, Request, Scheme, Uri,
    header::{Contact, Via},
    resolve::Hop,
    transaction::{InviteClient, NonInviteClient},
};
use bytes::Bytes;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// A request without what only its way decides: Via and, unless the caller gave one, Contact.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) request: Request,
    /// The URI that says where it goes.
    pub(crate) next_hop: Uri,
    /// What the caller wants it to go over.
    pub(crate) transport: Option<Transport>,
    /// The connection to use while it is open: that of the peer's own request.
    pub(crate) flow: Option<FlowId>,
    pub(crate) contact: OwnContact,
}

/// What goes into Contact.
#[derive(Debug, Clone)]
pub(crate) enum OwnContact {
    /// The request has none, or the caller's.
    Given,
    /// Our address, with this user part.
    Derived(Option<Box<str>>),
    /// Our address, with parameters.
    Marked(Box<ContactMarks>),
}

impl Endpoint {
    /// Sends a request, in a transaction of its own; the user is told what comes of it.
    pub(crate) fn start_client(&mut self, now: Instant, template: Template, user: User) -> ClientKey {
        let key = ClientKey { branch: self.random_u64(), cancel: false };
        let client = Client::new(now, template, user);
        self.clients.insert(key, client);
        self.locate(now, key);
        key
    }

    /// Sends to the next target; fails if there is none.
    pub(crate) fn dispatch(&mut self, now: Instant, key: ClientKey) {
        let mut reason = "no way to the next hop";
        loop {
            let Some(client) = self.clients.get_mut(&key) else { return };
            let Some(template) = &client.template else { return };
            let Some(hop) = client.targets.pop_front() else {
                let last = client.last_error.take();
                self.client_failed(now, key, Cause::Transport, last.as_deref().unwrap_or(reason));
                return;
            };
            let target = hop.target;
            // sips never travels over a hop that is not encrypted (RFC 3261 §26.2.2).
            let secure = template.next_hop.scheme() == Scheme::Sips || template.is_sips();
            if secure && !target.transport.is_secure() {
                reason = "sips needs TLS";
                continue;
            }
            if target.transport.is_reliable() {
                let patience = self.config.connect_timeout;
                if self.send_over_stream(now, key, hop, patience) {
                    return;
                }
                reason = "too many connections";
                continue;
            }
            let (fell_back, forced) = (client.fell_back, template.transport == Some(Transport::Udp));
            let Some(local) = self.local_for(Transport::Udp, target.addr) else {
                reason = "no UDP socket of that address family";
                continue;
            };
            let Some(data) = self.render(key, target, local) else { return };
            // RFC 3261 §18.1.1: too long for UDP goes over TCP, and over UDP if there is none.
            if data.len() > self.config.mtu && !fell_back && !forced {
                if let Some(client) = self.clients.get_mut(&key) {
                    client.fallback = Some(hop);
                }
                let stream = Hop { target: Target { transport: Transport::Tcp, ..target }, ..hop };
                let patience = self.config.fallback_timeout;
                if self.send_over_stream(now, key, stream, patience) {
                    return;
                }
            }
            self.outputs.push_back(Output::Transmit { local, remote: target.addr, data: data.clone() });
            self.sent(now, key, Path::Udp { local, remote: target.addr }, data);
            return;
        }
    }

    /// Whether it was written or waits for its connection.
    fn send_over_stream(&mut self, now: Instant, key: ClientKey, hop: Hop, patience: Duration) -> bool {
        let Some(client) = self.clients.get(&key) else { return false };
        let Some(template) = &client.template else { return false };
        let name = template.next_hop.host().to_string();
        let Some(flow) = self.flow_to(now, hop.target.transport, hop.target.addr, &name, patience) else {
            return false;
        };
        if self.flows.get(flow).is_some_and(|f| f.local().is_some()) {
            self.send_on_flow(now, key, flow);
            return true;
        }
        let (delay, patience) = (self.config.connect_delay, self.config.timers.patience());
        if let (Some(client), Some(flow_state)) = (self.clients.get_mut(&key), self.flows.get_mut(flow)) {
            flow_state.clients.insert(key);
            // The connection has its own time limit; this one is only for a driver that forgets.
            let until = now + patience;
            let mut waiting = match std::mem::replace(&mut client.machine, ClientMachine::Ack { until }) {
                ClientMachine::Waiting(waiting) if !waiting.locating => waiting,
                _ => Waiting::new(until),
            };
            waiting.flows.push(flow);
            waiting.until = until;
            // RFC 8305 §5: another address of the same server need not wait for this one to fail.
            let side_by_side = |next: &Hop| {
                next.server == hop.server
                    && next.target.transport == hop.target.transport
                    && client.fallback.is_none()
            };
            waiting.race = client.targets.front().filter(|next| side_by_side(next)).map(|_| now + delay);
            client.machine = ClientMachine::Waiting(waiting);
            self.arm_client(key);
        }
        true
    }

    /// A connection takes long, or failed while others are tried: the next one beside it.
    pub(crate) fn race(&mut self, now: Instant, key: ClientKey) {
        let patience = self.config.connect_timeout;
        let Some(client) = self.clients.get_mut(&key) else { return };
        if let ClientMachine::Waiting(waiting) = &mut client.machine
            && waiting.race.take().is_some()
            && let Some(hop) = client.targets.pop_front()
        {
            self.send_over_stream(now, key, hop, patience);
        }
        self.arm_client(key);
    }

    /// Writes a request on a connection that is open.
    pub(crate) fn send_on_flow(&mut self, now: Instant, key: ClientKey, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let (target, Some(local)) = (Target { addr: flow.remote, transport: flow.transport }, flow.local())
        else {
            return;
        };
        if !self.clients.get(&key).is_some_and(|c| matches!(c.machine, ClientMachine::Waiting(_))) {
            return;
        }
        let Some(data) = self.render(key, target, local) else { return };
        self.write(now, id, data.clone());
        if let Some(flow) = self.flows.get_mut(id) {
            flow.clients.insert(key);
        }
        self.sent(now, key, Path::Stream(id), data);
    }

    /// The request left: its timers start.
    fn sent(&mut self, now: Instant, key: ClientKey, path: Path, data: Bytes) {
        let timers = &self.config.timers;
        let Some(client) = self.clients.get_mut(&key) else { return };
        let reliable = matches!(path, Path::Stream(_));
        let (machine, times) = match client.method {
            Method::Invite => (ClientMachine::Invite(InviteClient::new(now, reliable, timers)), 2),
            Method::Ack => (ClientMachine::Ack { until: now + timers.patience() }, 0),
            _ => (ClientMachine::Other(NonInviteClient::new(now, reliable, timers)), 1),
        };
        let before = std::mem::replace(&mut client.machine, machine);
        // RFC 3263 §4.3 waits for timer B or F; whoever has another server need not.
        let others = times > 0 && !client.targets.is_empty();
        client.give_up = others.then(|| now + self.config.failover * times);
        client.path = Some(path);
        client.bytes = data;
        if client.method == Method::Ack {
            client.template = None;
        }
        let registers = match (client.user, &client.method) {
            (User::Request(id), Method::Register | Method::Publish) => Some(id),
            _ => None,
        };
        let subscribes = match client.user {
            User::Subscribe(id, _) => Some(id),
            _ => None,
        };
        self.arm_client(key);
        if let Some(id) = subscribes {
            self.subscribed_over(id, path);
        }
        if let Some(id) = registers {
            let request = self.sent_request(key);
            self.registered_over(id, path, request.as_ref());
        }
        // Connections that took longer are given up.
        if let ClientMachine::Waiting(waiting) = before {
            for id in waiting.flows {
                if path != Path::Stream(id) {
                    self.leave_flow(key, id);
                }
            }
        }
    }

    /// The bytes of a request on its way from `local` to `target`.
    fn render(&mut self, key: ClientKey, target: Target, local: SocketAddr) -> Option<Bytes> {
        let client = self.clients.get(&key)?;
        let template = client.template.as_ref()?;
        let transport = target.transport;
        let mut request = template.request.clone();
        let listening = self.listening(transport, local);
        // What only size put on TCP keeps the Contact of UDP.
        let (contact_transport, address) = match client.fallback {
            Some(hop) => {
                (Transport::Udp, self.local_for(Transport::Udp, hop.target.addr).unwrap_or(listening))
            }
            None => (transport, listening),
        };
        let own = |user: Option<&str>| own_contact(user, contact_transport, address, template.is_sips());
        let contact = match &template.contact {
            OwnContact::Given => None,
            // RFC 5626 §4.3: requests in the dialog shall come back on this flow.
            OwnContact::Derived(user) if client.method == Method::Invite && self.is_outbound(target) => {
                Some(NameAddr::new(own(user.as_deref())?.with_param("ob", None).ok()?))
            }
            OwnContact::Derived(user) => Some(NameAddr::new(own(user.as_deref())?)),
            OwnContact::Marked(marks) => {
                let mut uri = own(marks.user.as_deref())?;
                for (name, value) in &marks.uri_params {
                    uri = uri.with_param(name, Some(value)).ok()?;
                }
                let contact = NameAddr::new(uri);
                Some(match &marks.instance {
                    Some(urn) => contact.with_instance(urn, marks.reg_id).ok()?,
                    None => contact,
                })
            }
        };
        if let Some(contact) = contact {
            request.headers_mut().replace(Contact::from(contact));
        }
        let mut via = Via::new(
            transport.via_name(),
            Host::from(listening.ip()),
            Some(listening.port()),
            &key.branch_text(),
        )
        .ok()?;
        // RFC 3581: answers come back to where we really are.
        via.params.set_flag("rport").ok()?;
        request.headers_mut().push_front(via);
        Some(request.to_bytes())
    }

    /// The Contact that our answers on this way carry.
    pub(crate) fn contact_for(
        &self,
        user: Option<&str>,
        transport: Transport,
        local: SocketAddr,
        sips: bool,
    ) -> Option<Uri> {
        own_contact(user, transport, self.listening(transport, local), sips)
    }

    /// Where peers reach us over that transport: the listener's address; a connection's own port
    /// if there is none.
    fn listening(&self, transport: Transport, local: SocketAddr) -> SocketAddr {
        let mut found = self.bound.iter().filter(|(t, a)| *t == transport && a.is_ipv4() == local.is_ipv4());
        found.clone().find(|(_, a)| a.ip() == local.ip()).or_else(|| found.next()).map_or(local, |(_, a)| {
            // Listening somewhere else, it is reached where this connection shows us.
            SocketAddr::new(local.ip(), a.port())
        })
    }

    /// The socket of ours to send from.
    fn local_for(&self, transport: Transport, remote: SocketAddr) -> Option<SocketAddr> {
        let family = |ip: IpAddr| (ip.is_ipv4(), ip.is_loopback());
        let mut fit = self.bound.iter().filter(|(t, a)| *t == transport && a.is_ipv4() == remote.is_ipv4());
        fit.clone()
            .find(|(_, a)| family(a.ip()) == family(remote.ip()))
            .or_else(|| fit.next())
            .map(|(_, a)| *a)
    }
}

impl Template {
    /// A request that needs nothing more: it goes where another one went.
    pub(crate) fn bare(request: Request, uri: Result<Uri, crate::ParseError>) -> Option<Self> {
        let next_hop = uri.ok()?;
        Some(Self { request, next_hop, transport: None, flow: None, contact: OwnContact::Given })
    }

    fn is_sips(&self) -> bool {
        self.request.uri_text().get(..5).is_some_and(|s| s.eq_ignore_ascii_case("sips:"))
    }
}

fn own_contact(user: Option<&str>, transport: Transport, address: SocketAddr, sips: bool) -> Option<Uri> {
    let uri = Uri::sip(user, &Host::from(address.ip()), Some(address.port())).ok()?;
    let uri = match transport {
        Transport::Udp => uri,
        // transport=tls is deprecated; what sips means goes without (RFC 3261 §26.2.2).
        Transport::Tls if sips => uri,
        _ => uri.with_param("transport", Some(transport.uri_name())).ok()?,
    };
    if sips { uri.as_str().replacen("sip:", "sips:", 1).parse().ok() } else { Some(uri) }
}

impl Endpoint {
    /// The timer of a client transaction follows its machine.
    pub(crate) fn arm_client(&mut self, key: ClientKey) {
        let deadline = self.clients.get(&key).and_then(Client::deadline);
        self.timers.set(Owner::Client(key), deadline);
    }
}
