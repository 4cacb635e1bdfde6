//! A relay (RFC 4976 §6) without I/O: grants URIs, and forwards what comes for them.
//!
//! ```text
//!   client ──AUTH──▶ Event::Auth ──challenge() / grant() / refuse()──▶ 401 / 200 Use-Path / code
//!   client ──SEND to [granted, peer…]──▶ (its own connection?) ──▶ Connect or Write to the peer
//!   peer ────SEND to [granted, client]──▶ Write to the connection of the grant
//! ```
//! A request is forwarded for the client that a URI was granted to, or to it; for nobody else. Larger chunks are
//! cut into chunks of 2,048 bytes, so that requests for one connection take turns. Who may have a URI is for the
//! composer to decide, who knows the passwords.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::chunk::SMALL_CHUNK;
use crate::ident::IdSource;
use crate::uri::MsrpUri;
use crate::wire::{
    ByteRange, Decoder, DecoderLimits, FailureReport, Flag, Head, HeaderName, Method, Piece, Start,
    write_end_line,
};

/// Names a connection; given by the driver for those it accepts, by the relay for those it asks for.
pub type ConnectionId = u64;

/// Caps and timers of a [`Relay`].
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// What it is reached at, without a session id.
    pub uri: MsrpUri,
    /// Caps on heads.
    pub limits: DecoderLimits,
    /// URIs that may be granted at a time.
    pub max_grants: usize,
    /// Connections at a time; those it asks for included.
    pub max_connections: usize,
    /// Requests that await their response.
    pub max_transactions: usize,
    /// Bytes that wait for a connection; beyond it what is for it is answered with 408.
    pub max_waiting: usize,
    /// The shortest and the longest time for which a URI is granted.
    pub expires: (Duration, Duration),
    /// How long a response may take.
    pub response_timeout: Duration,
}

impl RelayConfig {
    /// The defaults at this URI.
    #[must_use]
    pub fn new(uri: MsrpUri) -> Self {
        Self {
            uri,
            limits: DecoderLimits::default(),
            max_grants: 10_000,
            max_connections: 10_000,
            max_transactions: 100_000,
            max_waiting: 1024 * 1024,
            expires: (Duration::from_secs(60), Duration::from_secs(3600)),
            response_timeout: Duration::from_secs(30),
        }
    }
}

/// What happened in the world.
#[derive(Debug, Clone, Copy)]
pub enum RelayInput<'a> {
    /// Somebody connected.
    Accepted(ConnectionId),
    /// A connection that was asked for stands.
    Connected(ConnectionId),
    /// Bytes came.
    Received(ConnectionId, &'a [u8]),
    /// A connection was closed or lost, or could not be made.
    Closed(ConnectionId),
}

/// What the driver should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayOutput {
    /// Connect to the host of this URI.
    Connect(ConnectionId, MsrpUri),
    /// Write these bytes.
    Write(ConnectionId, Bytes),
    /// Close this connection.
    Disconnect(ConnectionId),
    /// A client asks for a URI.
    Auth(AuthRequest),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// A client asks for a URI: answer with [`Relay::challenge`], [`Relay::grant`] or [`Relay::refuse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// Its connection.
    pub connection: ConnectionId,
    /// The value of `Authorization`, if it has one.
    pub authorization: Option<String>,
    /// The URI of the relay as the client wrote it, which digest computes with.
    pub uri: String,
    transaction: String,
    from: String,
    expires: Option<u64>,
}

/// How often a rule did its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Requests that were forwarded, in one chunk or several.
    pub forwarded: u64,
    /// Requests for URIs that were not granted, or from whom they were not granted to.
    pub refused: u64,
    /// Requests that a cap kept out.
    pub over_cap: u64,
}

#[derive(Debug)]
struct Peer {
    decoder: Decoder,
    request: Option<Request>,
    /// What was asked for, until it stands.
    waiting: Option<VecDeque<Bytes>>,
    waiting_len: usize,
}

#[derive(Debug)]
struct Grant {
    connection: ConnectionId,
    client: MsrpUri,
    until: Instant,
}

/// The request that is arriving on a connection.
#[derive(Debug)]
struct Request {
    head: Head,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ignored,
    Refused(u16),
    Auth,
    Forward(Box<Forward>),
}

#[derive(Debug)]
struct Forward {
    to: ConnectionId,
    to_path: String,
    from_path: String,
    /// Our URI in the request.
    ours: String,
    /// Position of the first byte in the buffer, from one.
    start: u64,
    total: Option<u64>,
    buffer: BytesMut,
    has_body: bool,
    parts: u64,
}

/// A request that was forwarded and awaits its response.
#[derive(Debug)]
struct Pending {
    connection: ConnectionId,
    to: ConnectionId,
    /// Where a report of failure goes; `None` where none is wanted.
    report: Option<(String, String)>,
    message_id: String,
    range: ByteRange,
}

/// The machine of a relay.
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    ids: IdSource,
    queue: VecDeque<RelayOutput>,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Connections that were asked for, by host, port and scheme.
    hops: BTreeMap<(String, u16, bool), ConnectionId>,
    grants: BTreeMap<String, Grant>,
    pending: BTreeMap<String, Pending>,
    timers: VecDeque<(Instant, String)>,
    counters: RelayCounters,
    next: ConnectionId,
}

impl Relay {
    /// A relay that nobody is connected to.
    #[must_use]
    pub fn new(config: RelayConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            ids: IdSource::new(seed),
            queue: VecDeque::new(),
            peers: BTreeMap::new(),
            hops: BTreeMap::new(),
            grants: BTreeMap::new(),
            pending: BTreeMap::new(),
            timers: VecDeque::new(),
            counters: RelayCounters::default(),
            // Those of the driver count from below.
            next: 1 << 32,
        }
    }

    /// Tells what happened.
    pub fn handle_input(&mut self, now: Instant, input: RelayInput<'_>) {
        match input {
            RelayInput::Accepted(id) if self.peers.len() >= self.config.max_connections => {
                self.counters.over_cap += 1;
                self.queue.push_back(RelayOutput::Disconnect(id));
            }
            RelayInput::Accepted(id) => {
                let peer = self.peer(None);
                self.peers.insert(id, peer);
            }
            RelayInput::Connected(id) => {
                let Some(peer) = self.peers.get_mut(&id) else { return };
                peer.waiting_len = 0;
                for frame in peer.waiting.take().into_iter().flatten() {
                    self.queue.push_back(RelayOutput::Write(id, frame));
                }
            }
            RelayInput::Received(id, data) => self.receive(now, id, data),
            RelayInput::Closed(id) => self.closed(id),
        }
    }

    /// Time has passed; early, late and spurious calls are fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.grants.retain(|_, grant| grant.until > now);
        while self.timers.front().is_some_and(|(at, _)| *at <= now) {
            let timed_out = self.timers.pop_front().and_then(|(_, id)| self.pending.remove(&id));
            if let Some(pending) = timed_out {
                self.report(&pending, 408);
            }
        }
    }

    /// The next thing to do; ends with [`RelayOutput::Idle`].
    pub fn poll_output(&mut self) -> RelayOutput {
        if let Some(output) = self.queue.pop_front() {
            return output;
        }
        let grants = self.grants.values().map(|grant| grant.until).min();
        RelayOutput::Idle(self.timers.front().map(|(at, _)| *at).into_iter().chain(grants).min())
    }

    /// Asks who the client is: the values of `WWW-Authenticate`, one for each algorithm.
    pub fn challenge(&mut self, request: &AuthRequest, challenges: &[String]) {
        let fields: Vec<(HeaderName, &str)> =
            challenges.iter().map(|value| (HeaderName::WwwAuthenticate, value.as_str())).collect();
        self.answer_auth(request, 401, "Unauthorized", &fields);
    }

    /// Grants a URI, the same again to whom it was granted before. `request.expires` out of bounds is answered
    /// with 423 instead (RFC 4976 §6.3).
    pub fn grant(&mut self, now: Instant, request: &AuthRequest) {
        let (least, most) = self.config.expires;
        let wanted = request.expires.map_or(most, Duration::from_secs);
        for (bound, name, beyond) in
            [(least, HeaderName::MinExpires, wanted < least), (most, HeaderName::MaxExpires, wanted > most)]
        {
            if beyond {
                let bound = bound.as_secs().to_string();
                self.answer_auth(request, 423, "Interval Out-of-Bounds", &[(name, &bound)]);
                return;
            }
        }
        let Ok(client) = request.from.parse::<MsrpUri>() else { return self.refuse(request, 400) };
        let known = self
            .grants
            .iter()
            .find(|(_, grant)| grant.connection == request.connection && grant.client.matches(&client));
        let id = known.map(|(id, _)| id.clone());
        if id.is_none() && self.grants.len() >= self.config.max_grants {
            self.counters.over_cap += 1;
            return self.refuse(request, 403);
        }
        let id = id.unwrap_or_else(|| self.ids.next_id());
        let uri = MsrpUri { session_id: Some(id.clone()), ..self.config.uri.clone() }.to_string();
        self.grants.insert(id, Grant { connection: request.connection, client, until: now + wanted });
        let expires = wanted.as_secs().to_string();
        self.answer_auth(request, 200, "OK", &[(HeaderName::UsePath, &uri), (HeaderName::Expires, &expires)]);
    }

    /// Refuses, with 403 as a rule.
    pub fn refuse(&mut self, request: &AuthRequest, code: u16) {
        self.answer_auth(request, code, "Forbidden", &[]);
    }

    /// How often rules did their work.
    #[must_use]
    pub fn counters(&self) -> RelayCounters {
        self.counters
    }

    fn peer(&self, waiting: Option<VecDeque<Bytes>>) -> Peer {
        Peer { decoder: Decoder::new(self.config.limits), request: None, waiting, waiting_len: 0 }
    }

    fn answer_auth(&mut self, request: &AuthRequest, code: u16, phrase: &str, fields: &[(HeaderName, &str)]) {
        let mut out = BytesMut::with_capacity(512);
        let start = format!("MSRP {} {code:03} {phrase}\r\n", request.transaction);
        for part in [&start, "To-Path: ", &request.from, "\r\nFrom-Path: ", &request.uri, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in fields {
            let clean: String = value.chars().filter(|c| !c.is_control()).collect();
            out.extend_from_slice(format!("{}: {clean}\r\n", name.as_str()).as_bytes());
        }
        write_end_line(&mut out, &request.transaction, Flag::End);
        self.write(request.connection, out.freeze());
    }

    fn receive(&mut self, now: Instant, id: ConnectionId, data: &[u8]) {
        // The decoder lends what it gives, so it stands beside the machine meanwhile.
        let limits = self.config.limits;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let mut decoder = std::mem::replace(&mut peer.decoder, Decoder::new(limits));
        let mut input = data;
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Head(head))) => self.begin(id, head),
                Ok(Some(Piece::Body(slice))) => self.body(now, id, slice),
                Ok(Some(Piece::End(flag))) => self.end(now, id, flag),
                Err(_) => {
                    self.queue.push_back(RelayOutput::Disconnect(id));
                    self.closed(id);
                    return;
                }
            }
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.decoder = decoder;
        }
    }

    fn begin(&mut self, id: ConnectionId, head: Head) {
        let kind = match head.start() {
            Start::Response(code, _) => {
                self.response(head.transaction_id(), code);
                Kind::Ignored
            }
            Start::Request(Method::Auth, _) => Kind::Auth,
            Start::Request(Method::Send | Method::Report, _) => match self.route(id, &head) {
                Ok(forward) => Kind::Forward(Box::new(forward)),
                Err(code) => Kind::Refused(code),
            },
            Start::Request(..) => Kind::Refused(501),
        };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.request = Some(Request { head, kind });
        }
    }

    /// RFC 4976 §6.4: takes our URI off the To-Path, puts it on the From-Path, and finds the next hop.
    fn route(&mut self, id: ConnectionId, head: &Head) -> Result<Forward, u16> {
        let mut to = head.path(HeaderName::ToPath).map_err(|_| 400_u16)?;
        let mut from = head.path(HeaderName::FromPath).map_err(|_| 400_u16)?;
        let range = head.byte_range().map_err(|_| 400_u16)?;
        let ours = to.first().map(ToString::to_string).unwrap_or_default();
        // Who stands behind the request as it goes from one of our URIs to the next.
        let mut arrived = id;
        let next = loop {
            if to.len() < 2 {
                return Err(self.refused(481));
            }
            let own = to.remove(0);
            let grant = own.session_id.as_deref().and_then(|session| self.grants.get(session));
            let grant =
                grant.filter(|_| self.is_ours(&own)).map(|grant| (grant.connection, grant.client.clone()));
            let Some((connection, client)) = grant else { return Err(self.refused(481)) };
            from.insert(0, own);
            let Some(hop) = to.first() else { return Err(self.refused(481)) };
            if arrived != connection {
                // To the client: nobody else is behind its URI.
                match hop.matches(&client) {
                    true => break connection,
                    false => return Err(self.refused(481)),
                }
            }
            if !self.is_ours(hop) {
                let hop = hop.clone();
                break self.hop(&hop).ok_or(408_u16)?;
            }
            // From one client of ours to another.
            arrived = ConnectionId::MAX;
        };
        if self.pending.len() >= self.config.max_transactions {
            self.counters.over_cap += 1;
            return Err(408);
        }
        Ok(Forward {
            to: next,
            to_path: MsrpUri::print_path(&to),
            from_path: MsrpUri::print_path(&from),
            ours,
            start: range.map_or(1, |range| range.start),
            total: range.and_then(|range| range.total),
            buffer: BytesMut::new(),
            has_body: false,
            parts: 0,
        })
    }

    fn refused(&mut self, code: u16) -> u16 {
        self.counters.refused += 1;
        code
    }

    fn is_ours(&self, uri: &MsrpUri) -> bool {
        let ours = &self.config.uri;
        uri.host.eq_ignore_ascii_case(&ours.host) && uri.port == ours.port && uri.secure == ours.secure
    }

    /// The connection to a hop, which is asked for where there is none.
    fn hop(&mut self, uri: &MsrpUri) -> Option<ConnectionId> {
        let key = (uri.host.to_ascii_lowercase(), uri.port.unwrap_or(2855), uri.secure);
        if let Some(id) = self.hops.get(&key) {
            return Some(*id);
        }
        if self.peers.len() >= self.config.max_connections {
            self.counters.over_cap += 1;
            return None;
        }
        self.next += 1;
        let (id, peer) = (self.next, self.peer(Some(VecDeque::new())));
        self.peers.insert(id, peer);
        self.hops.insert(key, id);
        self.queue.push_back(RelayOutput::Connect(id, uri.clone()));
        Some(id)
    }

    fn body(&mut self, now: Instant, id: ConnectionId, slice: &[u8]) {
        let Some(mut request) = self.peers.get_mut(&id).and_then(|peer| peer.request.take()) else { return };
        if let Kind::Forward(forward) = &mut request.kind {
            forward.has_body = true;
            forward.buffer.extend_from_slice(slice);
            while forward.buffer.len() > SMALL_CHUNK {
                let part = forward.buffer.split_to(SMALL_CHUNK);
                self.forward(now, id, &request.head, forward, &part, Flag::More);
            }
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.request = Some(request);
        }
    }

    fn end(&mut self, now: Instant, id: ConnectionId, flag: Flag) {
        let Some(Request { head, kind }) = self.peers.get_mut(&id).and_then(|peer| peer.request.take())
        else {
            return;
        };
        match kind {
            Kind::Ignored => {}
            Kind::Auth => self.auth(id, &head),
            Kind::Refused(code) => self.respond(id, &head, code),
            Kind::Forward(mut forward) => {
                let part = std::mem::take(&mut forward.buffer);
                self.forward(now, id, &head, &mut forward, &part, flag);
                self.counters.forwarded += 1;
                self.respond(id, &head, 200);
            }
        }
    }

    fn auth(&mut self, id: ConnectionId, head: &Head) {
        let to = head.get(HeaderName::ToPath).unwrap_or_default().to_owned();
        let from = head.get(HeaderName::FromPath).unwrap_or_default().to_owned();
        let single = |path: &str| MsrpUri::parse_path(path).is_ok_and(|path| path.len() == 1);
        if !single(&to) || !single(&from) {
            self.respond(id, head, if single(&from) { 501 } else { 400 });
            return;
        }
        self.queue.push_back(RelayOutput::Auth(AuthRequest {
            connection: id,
            authorization: head.get(HeaderName::Authorization).map(str::to_owned),
            uri: to,
            transaction: head.transaction_id().to_owned(),
            from,
            expires: head.get(HeaderName::Expires).and_then(crate::file::number),
        }));
    }

    /// One chunk to the next hop, with a transaction of our own.
    fn forward(
        &mut self,
        now: Instant,
        from: ConnectionId,
        head: &Head,
        forward: &mut Forward,
        part: &[u8],
        flag: Flag,
    ) {
        let mut id = self.ids.next_id();
        while memchr::memmem::find(part, id.as_bytes()).is_some() {
            id = self.ids.next_id();
        }
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let end = forward.start.saturating_add(length).saturating_sub(1);
        let range = ByteRange { start: forward.start, end: Some(end), total: forward.total };
        let report = head.method() == Some(Method::Report);
        let mut out = BytesMut::with_capacity(512 + part.len());
        let method = if report { "REPORT" } else { "SEND" };
        for text in [
            "MSRP ",
            &id,
            " ",
            method,
            "\r\nTo-Path: ",
            &forward.to_path,
            "\r\nFrom-Path: ",
            &forward.from_path,
        ] {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        for (name, value) in head.headers() {
            let is = |known: HeaderName| name.eq_ignore_ascii_case(known.as_str());
            if is(HeaderName::ToPath) || is(HeaderName::FromPath) {
                continue;
            }
            // Of a report the range is what it is about.
            let line = match is(HeaderName::ByteRange) && !report {
                true => format!("{name}: {range}\r\n"),
                false => format!("{name}: {value}\r\n"),
            };
            out.extend_from_slice(line.as_bytes());
        }
        if forward.has_body {
            for bytes in [b"\r\n", part, b"\r\n"] {
                out.extend_from_slice(bytes);
            }
        }
        write_end_line(&mut out, &id, flag);
        forward.start = forward.start.saturating_add(length);
        forward.parts += 1;
        let failure = head.failure_report();
        // RFC 4976 §6.4.1: who gets 200 from us hears by a report what becomes of it.
        let wanted = !report && failure != FailureReport::No;
        let pending = Pending {
            connection: from,
            to: forward.to,
            report: wanted.then(|| {
                (head.get(HeaderName::FromPath).unwrap_or_default().to_owned(), forward.ours.clone())
            }),
            message_id: head.message_id().unwrap_or_default().to_owned(),
            range,
        };
        if !self.write(forward.to, out.freeze()) {
            self.report(&pending, 408);
        } else if wanted && failure == FailureReport::Yes {
            self.timers.push_back((now + self.config.response_timeout, id.clone()));
            self.pending.insert(id, pending);
        }
    }

    fn response(&mut self, id: &str, code: u16) {
        let Some(pending) = self.pending.remove(id) else { return };
        while self.timers.front().is_some_and(|(_, id)| !self.pending.contains_key(id)) {
            self.timers.pop_front();
        }
        if code != 200 {
            self.report(&pending, code);
        }
    }

    /// Tells the sender that what we took for it was not taken from us.
    fn report(&mut self, pending: &Pending, code: u16) {
        let Some((to, ours)) = &pending.report else { return };
        let id = self.ids.next_id();
        let mut out = BytesMut::with_capacity(512);
        for part in ["MSRP ", &id, " REPORT\r\nTo-Path: ", to, "\r\nFrom-Path: ", ours, "\r\nMessage-ID: "] {
            out.extend_from_slice(part.as_bytes());
        }
        let rest =
            format!("{}\r\nByte-Range: {}\r\nStatus: 000 {code:03}\r\n", pending.message_id, pending.range);
        out.extend_from_slice(rest.as_bytes());
        write_end_line(&mut out, &id, Flag::End);
        self.write(pending.connection, out.freeze());
    }

    /// Answers a request for ourselves, hop by hop.
    fn respond(&mut self, id: ConnectionId, head: &Head, code: u16) {
        let wanted = match (head.method(), head.failure_report()) {
            // RFC 4975 §7.1.2: reports are never answered.
            (Some(Method::Report), _) | (_, FailureReport::No) => false,
            (_, FailureReport::Partial) => code != 200,
            (_, FailureReport::Yes) => true,
        };
        let first = |name| {
            let path = head.get(name).unwrap_or_default();
            path.split([' ', '\t']).next().unwrap_or_default().to_owned()
        };
        if !wanted {
            return;
        }
        let (to, from) = (first(HeaderName::FromPath), first(HeaderName::ToPath));
        let mut out = BytesMut::with_capacity(256);
        let text =
            format!("MSRP {} {code:03}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n", head.transaction_id());
        out.extend_from_slice(text.as_bytes());
        write_end_line(&mut out, head.transaction_id(), Flag::End);
        self.write(id, out.freeze());
    }

    /// Gives back whether the connection takes it.
    fn write(&mut self, id: ConnectionId, frame: Bytes) -> bool {
        let max_waiting = self.config.max_waiting;
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        match &mut peer.waiting {
            None => self.queue.push_back(RelayOutput::Write(id, frame)),
            Some(_) if peer.waiting_len + frame.len() > max_waiting => {
                self.counters.over_cap += 1;
                return false;
            }
            Some(waiting) => {
                peer.waiting_len += frame.len();
                waiting.push_back(frame);
            }
        }
        true
    }

    /// What was granted over a connection ends with it, and what was under way to it has failed.
    fn closed(&mut self, id: ConnectionId) {
        if self.peers.remove(&id).is_none() {
            return;
        }
        self.grants.retain(|_, grant| grant.connection != id);
        self.hops.retain(|_, hop| *hop != id);
        let lost: Vec<String> =
            self.pending.iter().filter(|(_, pending)| pending.to == id).map(|(id, _)| id.clone()).collect();
        for transaction in lost {
            if let Some(pending) = self.pending.remove(&transaction) {
                self.report(&pending, 408);
            }
        }
    }
}
