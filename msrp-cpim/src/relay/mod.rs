//! A relay (RFC 4976 §6) without I/O: grants URIs, and forwards what comes for them.
//!
//! ```text
//!   client ──AUTH──▶ Event::Auth ──challenge() / grant() / refuse()──▶ 401 / 200 Use-Path / code
//!   client ──SEND to [granted, peer…]──▶ (its own connection?) ──▶ Connect or Write to the peer
//!   peer ────SEND to [granted, client]──▶ Write to the connection of the grant
//! ```
//! A request is forwarded for the client that a URI was granted to, or to it; for nobody else. Larger chunks are
//! cut into chunks of 2,048 bytes, so that requests for one connection take turns. Who may have a URI is for the
//! composer to decide, who knows the passwords. An AUTH that names another relay behind one of our URIs goes on to
//! that relay, and its answer back: a chain (RFC 4976 §5.1).
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

mod forward;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::ident::IdSource;
use crate::uri::MsrpUri;
use crate::wire::{
    Decoder, DecoderLimits, FailureReport, Flag, Head, HeaderName, Method, Piece, Start, write_end_line,
};
use forward::{Forward, Pending};

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
    /// RFC 4976 §6.1: who was granted nothing, and had nothing forwarded, by then is disconnected.
    pub probation: Duration,
    /// RFC 4976 §6.3: a connection with so many AUTH requests in a row that were not granted is closed.
    pub max_failures: u32,
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
            probation: Duration::from_secs(30),
            max_failures: 5,
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
    /// Connections that were closed because they proved to be of nobody.
    pub expelled: u64,
}

#[derive(Debug)]
struct Peer {
    decoder: Decoder,
    request: Option<Request>,
    /// What was asked for, until it stands.
    waiting: Option<VecDeque<Bytes>>,
    waiting_len: usize,
    /// Until when it has to show that it is somebody; `None` once it has, or where we connected ourselves.
    probation: Option<Instant>,
    /// AUTH requests that were not granted since the last one that was.
    failures: u32,
}

#[derive(Debug)]
struct Grant {
    connection: ConnectionId,
    /// Whom it leads to: the client, or the relay before it.
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
                let probation = Some(now + self.config.probation);
                let peer = Peer { probation, ..self.peer(None) };
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
                self.failed(&pending, 408);
            }
        }
        let nobody = |peer: &Peer| peer.probation.is_some_and(|until| until <= now);
        let nobodies: Vec<ConnectionId> =
            self.peers.iter().filter(|(_, peer)| nobody(peer)).map(|(id, _)| *id).collect();
        for id in nobodies {
            self.expel(id);
        }
    }

    /// The next thing to do; ends with [`RelayOutput::Idle`].
    pub fn poll_output(&mut self) -> RelayOutput {
        if let Some(output) = self.queue.pop_front() {
            return output;
        }
        let grants = self.grants.values().map(|grant| grant.until).min();
        let probation = self.peers.values().filter_map(|peer| peer.probation).min();
        let response = self.timers.front().map(|(at, _)| *at);
        RelayOutput::Idle([response, grants, probation].into_iter().flatten().min())
    }

    /// Asks who the client is: the values of `WWW-Authenticate`, one for each algorithm.
    pub fn challenge(&mut self, request: &AuthRequest, challenges: &[String]) {
        let fields: Vec<(HeaderName, &str)> =
            challenges.iter().map(|value| (HeaderName::WwwAuthenticate, value.as_str())).collect();
        self.answer_auth(request, 401, "Unauthorized", &fields);
        if request.authorization.is_some() {
            self.not_granted(request.connection);
        }
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
        // RFC 4976 §6.3: the URI leads to the previous hop, which may be a relay itself.
        let Ok(before) = MsrpUri::parse_path(&request.from) else { return self.refuse(request, 400) };
        let Some(client) = before.first().cloned() else { return self.refuse(request, 400) };
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
        let uri = MsrpUri { session_id: Some(id.clone()), ..self.config.uri.clone() };
        self.grants.insert(id, Grant { connection: request.connection, client, until: now + wanted });
        self.proven(request.connection);
        // RFC 4976 §5.1: all relays in the order in which the client passes them.
        let relays = before.len().saturating_sub(1);
        let use_path: Vec<MsrpUri> = before.into_iter().take(relays).rev().chain([uri]).collect();
        let (use_path, expires) = (MsrpUri::print_path(&use_path), wanted.as_secs().to_string());
        let fields = [(HeaderName::UsePath, use_path.as_str()), (HeaderName::Expires, expires.as_str())];
        self.answer_auth(request, 200, "OK", &fields);
    }

    /// Refuses, with 403 as a rule.
    pub fn refuse(&mut self, request: &AuthRequest, code: u16) {
        self.answer_auth(request, code, "Forbidden", &[]);
        self.not_granted(request.connection);
    }

    /// How often rules did their work.
    #[must_use]
    pub fn counters(&self) -> RelayCounters {
        self.counters
    }

    fn peer(&self, waiting: Option<VecDeque<Bytes>>) -> Peer {
        let decoder = Decoder::new(self.config.limits);
        Peer { decoder, request: None, waiting, waiting_len: 0, probation: None, failures: 0 }
    }

    /// The connection is of somebody.
    fn proven(&mut self, id: ConnectionId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            (peer.probation, peer.failures) = (None, 0);
        }
    }

    fn not_granted(&mut self, id: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.failures += 1;
        if peer.failures >= self.config.max_failures {
            self.expel(id);
        }
    }

    fn expel(&mut self, id: ConnectionId) {
        self.counters.expelled += 1;
        self.queue.push_back(RelayOutput::Disconnect(id));
        self.closed(id);
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
            Start::Response(code, comment) => {
                self.response(id, &head, code, comment);
                Kind::Ignored
            }
            Start::Request(Method::Auth, _) if head.to_path().is_ok_and(|path| path.len() == 1) => Kind::Auth,
            Start::Request(Method::Send | Method::Report | Method::Auth | Method::Nickname, _) => {
                match self.route(id, &head) {
                    Ok(forward) => Kind::Forward(Box::new(forward)),
                    Err(code) => Kind::Refused(code),
                }
            }
            Start::Request(..) => Kind::Refused(501),
        };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.request = Some(Request { head, kind });
        }
    }

    fn refused(&mut self, code: u16) -> u16 {
        self.counters.refused += 1;
        code
    }

    fn is_ours(&self, uri: &MsrpUri) -> bool {
        let ours = &self.config.uri;
        uri.host.eq_ignore_ascii_case(&ours.host) && uri.port == ours.port && uri.secure == ours.secure
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
                self.proven(id);
                // The response to any other method comes from where it goes.
                if head.method() == Some(Method::Send) {
                    self.respond(id, &head, 200);
                }
            }
        }
    }

    fn auth(&mut self, id: ConnectionId, head: &Head) {
        let to = head.get(HeaderName::ToPath).unwrap_or_default().to_owned();
        let from = head.get(HeaderName::FromPath).unwrap_or_default().to_owned();
        if MsrpUri::parse_path(&from).is_err() {
            self.respond(id, head, 400);
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
                self.failed(&pending, 408);
            }
        }
    }
}
