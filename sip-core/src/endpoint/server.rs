//! Server transactions, and answers without one (RFC 3261 §17.2, §8.2.6, §8.2.7, §18.2).

use super::{
    Body, Call, Endpoint, FlowId, Output, Owner, ServerRequest, Transport, envelope::Envelope,
    receive::Source,
};
use crate::{
    Method, Request, Response, ResponseBuilder, StatusCode,
    auth::keyed,
    header::{Contact, HeaderName, Via},
    transaction::{InviteServer, MergeKey, NonInviteServer, ServerAction, ServerKey},
};
use bytes::Bytes;
use std::{net::SocketAddr, time::Instant};

/// A server transaction.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) machine: ServerMachine,
    key: ServerKey,
    merge: Option<MergeKey>,
    /// Until the final response.
    pub(crate) request: Option<Box<Request>>,
    /// The last response, to be repeated.
    pub(crate) last: Bytes,
    pub(crate) way: Way,
    /// The call it belongs to.
    pub(crate) call: Option<Call>,
    /// The tag that To of our responses gets.
    pub(crate) tag: Box<str>,
}

#[derive(Debug)]
pub(crate) enum ServerMachine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

impl ServerMachine {
    fn respond(&mut self, now: Instant, status: StatusCode, timers: &crate::transaction::Timers) -> bool {
        match self {
            Self::Invite(machine) => machine.respond(now, status, timers),
            Self::Other(machine) => machine.respond(now, status, timers),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::Other(machine) => machine.deadline(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::Other(machine) => machine.is_terminated(),
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_pending(),
            Self::Other(machine) => machine.is_pending(),
        }
    }
}

/// Where responses go (RFC 3261 §18.2.2, RFC 3581 §4).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) flow: Option<FlowId>,
}

impl Way {
    /// The way back to where a request came from, by its stamped Via.
    pub(crate) fn back(via: &Via, source: &Source) -> Self {
        let ip = via.received().or(via.host.ip()).unwrap_or(source.remote.ip());
        let port = match via.rport() {
            // RFC 3581 §4: to the port it came from.
            Some(_) => source.remote.port(),
            None => via.port.unwrap_or(source.transport.default_port()),
        };
        Self {
            transport: source.transport,
            local: source.local,
            remote: SocketAddr::new(ip, port),
            flow: source.flow,
        }
    }
}

impl Endpoint {
    /// Sends a response back; on a connection that is gone, over a new one (RFC 3261 §18.2.2).
    pub(crate) fn send_back(&mut self, now: Instant, way: Way, data: Bytes) {
        match way.flow {
            None => self.outputs.push_back(Output::Transmit { local: way.local, remote: way.remote, data }),
            Some(flow) if self.flows.get(flow).is_some() => {
                self.write(now, flow, data);
            }
            // Nobody can be called back over a WebSocket.
            Some(_) if matches!(way.transport, Transport::Ws | Transport::Wss) => {}
            Some(_) => {
                let name = way.remote.ip().to_string();
                let patience = self.config.connect_timeout;
                if let Some(flow) = self.flow_to(now, way.transport, way.remote, &name, patience) {
                    self.write(now, flow, data);
                }
            }
        }
    }

    /// Makes a server transaction; `None` if there are too many.
    pub(crate) fn start_server(
        &mut self,
        now: Instant,
        request: &Request,
        envelope: &Envelope,
        source: &Source,
        tag: Box<str>,
        call: Option<Call>,
    ) -> Option<ServerRequest> {
        let way = Way::back(&envelope.via, source);
        if self.servers.len() >= self.config.max_server_transactions {
            self.stats.overloaded += 1;
            return None;
        }
        let (reliable, timers) = (way.transport.is_reliable(), &self.config.timers);
        let machine = match request.method() {
            Method::Invite => ServerMachine::Invite(InviteServer::new(now, reliable, timers)),
            _ => ServerMachine::Other(NonInviteServer::new(now, reliable, timers)),
        };
        self.next_id += 1;
        let id = ServerRequest(self.next_id);
        let key = envelope.key.clone().unwrap_or_else(|| ServerKey::of(request, envelope));
        let merge = MergeKey::of(envelope);
        self.server_keys.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.merged.insert(merge.clone(), id);
        }
        let request = Some(Box::new(request.clone()));
        self.servers.insert(id, Server { machine, key, merge, request, last: Bytes::new(), way, call, tag });
        self.arm_server(id);
        Some(id)
    }

    /// Responds in a transaction; `Ok(None)` if that is too late. The bytes are returned, for a
    /// user that has to repeat its 2xx.
    pub(crate) fn respond_in(
        &mut self,
        now: Instant,
        id: ServerRequest,
        status: StatusCode,
        reason: Option<&str>,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<Option<Bytes>, crate::UsageError> {
        let Some(server) = self.servers.get(&id) else { return Err(crate::UsageError::Gone) };
        let Some(request) = &server.request else { return Err(crate::UsageError::Gone) };
        let (method, way) = (request.method().clone(), server.way);
        let mut builder = Response::reply_to(request, status);
        if status != StatusCode::TRYING {
            builder = builder.to_tag(&server.tag);
        }
        if let Some(reason) = reason {
            builder = builder.reason(reason);
        }
        let dialog = matches!(method, Method::Invite | Method::Subscribe | Method::Refer | Method::Notify)
            || (method == Method::Update && server.call.is_some());
        if dialog && status != StatusCode::TRYING && status.code() < 300 {
            // RFC 3261 §12.1.1.
            builder.headers_mut().copy_from(request.headers(), &[HeaderName::RECORD_ROUTE]);
            let user = request.uri().ok().and_then(|u| u.user().map(str::to_owned));
            let sips = request.uri_text().get(..5).is_some_and(|s| s.eq_ignore_ascii_case("sips:"));
            if let Some(uri) = self.contact_for(user.as_deref(), way.transport, way.local, sips) {
                builder = builder.header(Contact::from(uri));
            }
        }
        // RFC 6086 §4.2.1, RFC 3311 §4: who may send INFO and UPDATE in an early dialog is told what is taken.
        let early = status != StatusCode::TRYING && status.code() < 200 && method == Method::Invite;
        let may_ask = early && (body.is_some() || !self.texts.info_packages.is_empty());
        if (status.is_success() && dialog) || may_ask {
            builder = self.capabilities(builder);
            if matches!(method, Method::Invite | Method::Update) {
                builder = with_text(builder, "Recv-Info", &self.texts.info_packages);
            }
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            builder = self.allowed(builder);
        }
        builder = self.signed(builder);
        for (name, value) in headers {
            builder = builder.raw(name, value)?;
        }
        if let Some(body) = body {
            builder = builder.body(body.checked_type()?, body.content.clone());
        }
        let data = builder.build().to_bytes();
        let timers = self.config.timers;
        let Some(server) = self.servers.get_mut(&id) else { return Ok(None) };
        if !server.machine.respond(now, status, &timers) {
            return Ok(None);
        }
        server.last = data.clone();
        if status.is_final() {
            server.request = None;
            if status.is_success() && method == Method::Invite {
                // Its user repeats it.
                server.last = Bytes::new();
            }
        }
        self.send_back(now, way, data.clone());
        self.settle_server(id);
        Ok(Some(data))
    }

    /// A request of a known transaction came again.
    pub(crate) fn retransmitted(&mut self, now: Instant, id: ServerRequest) {
        self.stats.retransmissions += 1;
        let Some(server) = self.servers.get_mut(&id) else { return };
        let action = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.handle_retransmission(),
            ServerMachine::Other(machine) => machine.handle_retransmission(),
        };
        self.server_action(now, id, action);
    }

    pub(crate) fn server_timeout(&mut self, now: Instant, id: ServerRequest) {
        let timers = self.config.timers;
        let Some(server) = self.servers.get_mut(&id) else { return };
        let action = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.handle_timeout(now, &timers),
            ServerMachine::Other(machine) => machine.handle_timeout(now),
        };
        self.server_action(now, id, action);
    }

    pub(crate) fn server_action(&mut self, now: Instant, id: ServerRequest, action: ServerAction) {
        match action {
            ServerAction::None | ServerAction::PassUp => {}
            ServerAction::Retransmit => {
                if let Some((way, data)) = self.servers.get(&id).map(|s| (s.way, s.last.clone())) {
                    self.send_back(now, way, data);
                }
            }
            ServerAction::SendTrying => {
                let found = self.servers.get_mut(&id).and_then(|s| {
                    let reply = Response::reply_to(s.request.as_ref()?, StatusCode::TRYING).build();
                    s.last = reply.to_bytes();
                    Some((s.way, s.last.clone()))
                });
                if let Some((way, data)) = found {
                    self.send_back(now, way, data);
                }
            }
            ServerAction::TimedOut => {
                if self.servers.get(&id).is_some_and(|s| s.request.is_some()) {
                    self.stats.unanswered += 1;
                    self.forget_request(id);
                }
            }
        }
        self.settle_server(id);
    }

    /// What follows from the state of a server transaction after an event.
    pub(crate) fn settle_server(&mut self, id: ServerRequest) {
        let Some(server) = self.servers.get(&id) else { return };
        if !server.machine.is_terminated() {
            self.arm_server(id);
            return;
        }
        if let Some(server) = self.servers.remove(&id) {
            self.timers.set(Owner::Server(id), None);
            self.server_keys.remove(&server.key);
            if let Some(merge) = &server.merge
                && self.merged.get(merge) == Some(&id)
            {
                self.merged.remove(merge);
            }
            super::shrink(&mut self.servers);
            super::shrink(&mut self.server_keys);
            super::shrink(&mut self.merged);
        }
    }

    fn arm_server(&mut self, id: ServerRequest) {
        let deadline = self.servers.get(&id).and_then(|s| s.machine.deadline());
        self.timers.set(Owner::Server(id), deadline);
    }

    /// Answers without a transaction, always the same to the same (RFC 3261 §8.2.7).
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        request: &Request,
        via: &Via,
        source: &Source,
        status: StatusCode,
        decorate: impl FnOnce(&Self, ResponseBuilder) -> ResponseBuilder,
    ) {
        let way = Way::back(via, source);
        let builder = Response::reply_to(request, status).to_tag(&self.stateless_tag(request));
        let builder = decorate(self, builder);
        self.send_back(now, way, builder.build().to_bytes());
    }

    /// Answers something malformed: never with more bytes than came.
    pub(crate) fn refuse_malformed(
        &mut self,
        now: Instant,
        request: &Request,
        source: Source,
        status: StatusCode,
        reason: &str,
    ) {
        let tag = self.stateless_tag(request);
        let limit = if source.len == 0 { usize::MAX } else { source.len };
        // Shorter and shorter: the reason, and at last the tag and, in a datagram, the length of no
        // body are what can be spared.
        let tries =
            [(reason, tag.as_str()), (status.default_reason(), tag.as_str()), (status.default_reason(), "")];
        let data = tries.iter().find_map(|(reason, tag)| {
            let mut response = Response::reply_to(request, status).reason(reason).to_tag(tag).build();
            if tag.is_empty() && source.transport == Transport::Udp {
                response.headers_mut().remove(HeaderName::CONTENT_LENGTH);
            }
            Some(response.to_bytes()).filter(|data| data.len() <= limit)
        });
        // A Via that cannot be read (of another version, RFC 4475 §3.1.2.16) says nothing: back to
        // where it came from.
        let way = request.via().ok().map(|via| Way::back(&via, &source)).or_else(|| {
            let Source { transport, local, remote, flow, .. } = source;
            request.headers().text(HeaderName::VIA).map(|_| Way { transport, local, remote, flow })
        });
        let way = way.filter(|_| *request.method() != Method::Ack);
        match (way, data) {
            (Some(way), Some(data)) => {
                self.stats.malformed += 1;
                self.send_back(now, way, data);
            }
            _ => self.stats.dropped += 1,
        }
    }

    /// A tag that the same request always gets.
    pub(crate) fn stateless_tag(&self, request: &Request) -> String {
        let text = |name| request.headers().text(name).unwrap_or("").as_bytes();
        let parts = [HeaderName::FROM, HeaderName::CALL_ID, HeaderName::CSEQ, HeaderName::VIA].map(text);
        let hash = keyed(&self.tag_key, &parts);
        let start = hash.first_chunk().copied().unwrap_or_default();
        format!("{:016x}", u64::from_be_bytes(start))
    }

    /// With Allow.
    pub(crate) fn allowed(&self, builder: ResponseBuilder) -> ResponseBuilder {
        with_text(builder, "Allow", &self.texts.allow)
    }

    /// With what the endpoint can do.
    pub(crate) fn capabilities(&self, builder: ResponseBuilder) -> ResponseBuilder {
        with_text(self.allowed(builder), "Supported", &self.texts.supported)
    }

    /// With Server.
    pub(crate) fn signed(&self, builder: ResponseBuilder) -> ResponseBuilder {
        with_text(builder, "Server", &self.config.user_agent)
    }
}

/// With a list, if there is anything in it.
pub(crate) fn with_list<'a>(
    builder: ResponseBuilder,
    name: &str,
    values: impl Iterator<Item = &'a str>,
) -> ResponseBuilder {
    with_text(builder, name, &join(values))
}

/// With a text of our configuration, if there is any.
pub(crate) fn with_text(mut builder: ResponseBuilder, name: &str, text: &str) -> ResponseBuilder {
    if !text.is_empty() {
        // What the configuration holds was checked when the endpoint was made.
        let _ = builder.headers_mut().push_raw(name, text);
    }
    builder
}

pub(crate) fn join<'a>(values: impl Iterator<Item = &'a str>) -> String {
    values.fold(String::new(), |mut text, value| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(value);
        text
    })
}
