//! One party of a world: an engine with its media, its connections, and what it is seen to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_core::endpoint::{self as sip, FlowId, Transport};
use sip_core::{StreamDecoder, StreamItem};
use testkit::{Delivery, End, Host, Network, StreamEvent, StreamId, StreamWhat};

use super::super::agent::{now_at, session_config, streams};
use super::media::Media;
use super::servers::{DOMAIN, PASSWORD};
use super::watch::{Exchanges, Journal, Sessions, summary};
use crate::configuration::{IceTrickle, TurnServer};
use crate::credentials::Credentials;
use crate::engine::{Engine, EngineConfig, Now, Origin, Output};
use crate::error::Error;
use crate::notification::{Event, RegistrationEvent, SessionEvent};
use crate::registration::{RegistrationId, RegistrationOptions};
use crate::session::machine::SessionConfig;
use crate::session::{DtmfMethod, FileInfo, FileToSend, Invitation, SessionId};

pub(super) struct Party {
    pub(super) name: String,
    pub(super) engine: Engine,
    pub(super) address: SocketAddr,
    pub(super) media: Media,
    pub(super) sessions: Sessions,
    /// Whether the registrar knows us, as far as we know; `None` without a registration.
    pub(super) registered: Option<bool>,
    /// When we were told last that it did, or did not.
    pub(super) told: Instant,
    pub(super) config: SessionConfig,
    /// How far the wall clock is ahead.
    pub(super) wall: Duration,
    registrar: SocketAddr,
    exchanges: Exchanges,
    flows: BTreeMap<FlowId, (StreamId, End, StreamDecoder)>,
    accepted: u64,
    next_port: u16,
    start: Instant,
    journal: Journal,
}

impl Party {
    pub(super) fn new(
        number: u8,
        seed: u64,
        start: Instant,
        registrar: SocketAddr,
        journal: &Journal,
    ) -> Self {
        let address = SocketAddr::from(([192, 0, 2, number], 5060));
        let config = session_config(address);
        let engine_config = EngineConfig {
            sip: sip::Config::default(),
            session: config.clone(),
            max_sessions: 16,
            accept_messages: true,
            transfers: true,
            referrals: false,
            events: Vec::new(),
        };
        let mut bytes = [number; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut engine = Engine::new(engine_config, Arc::new(AtomicU64::new(1)), bytes);
        for transport in [Transport::Udp, Transport::Tcp] {
            engine.bound(now_at(start, start), transport, address);
        }
        Self {
            name: format!("p{number}"),
            engine,
            address,
            media: Media::new(seed ^ u64::from(number)),
            sessions: Sessions::default(),
            registered: None,
            told: start,
            config,
            wall: Duration::ZERO,
            registrar,
            exchanges: Exchanges::default(),
            flows: BTreeMap::new(),
            accepted: 0,
            next_port: 30_000,
            start,
            journal: journal.clone(),
        }
    }

    /// From now on its sessions use ICE, with a relay, or with nothing else.
    pub(super) fn use_ice(&mut self, relay: Option<SocketAddr>, only: bool) {
        let rtp = &mut self.config.rtp;
        rtp.use_ice = true;
        rtp.ice_turn = relay.map(|at| TurnServer {
            port: at.port(),
            ..TurnServer::new(at.ip().to_string(), "relay", PASSWORD)
        });
        rtp.ice_relay_only = only && relay.is_some();
        self.engine.set_session_config(self.config.clone());
    }

    /// How its sessions tell candidates that come late.
    pub(super) fn trickle(&mut self, how: IceTrickle) {
        self.config.rtp.ice_trickle = how;
        self.engine.set_session_config(self.config.clone());
    }

    fn now(&self, at: Instant) -> Now {
        let now = now_at(self.start, at);
        Now { wall: now.wall + self.wall, ..now }
    }

    /// How much is kept: of what must not grow with time.
    pub(super) fn kept(&self) -> [usize; 8] {
        let (engine, stats) = (&self.engine, self.engine.endpoint.stats());
        [
            engine.sessions.len(),
            engine.calls.len(),
            engine.requests.len(),
            engine.deadlines.len(),
            stats.calls,
            stats.connections,
            self.media.open(),
            self.flows.len(),
        ]
    }

    fn credentials(&self) -> Credentials {
        let uri = format!("sip:{}@{DOMAIN}", self.name).parse().expect("a URI");
        Credentials::new(uri).with_password(PASSWORD)
    }

    /// Registers, and keeps registered.
    pub(super) fn register(&mut self, at: Instant) {
        let registrar = format!("sip:{}", self.registrar).parse().expect("a URI");
        let options = RegistrationOptions {
            registrar: Some(registrar),
            expires: 60,
            ..RegistrationOptions::new(self.credentials())
        };
        self.registered = Some(false);
        self.told = at;
        let now = self.now(at);
        self.engine.register(now, RegistrationId(1), options);
    }

    /// Its address becomes another one.
    pub(super) fn move_to(&mut self, at: Instant, ip: IpAddr) {
        let now = self.now(at);
        let before = std::mem::replace(&mut self.address, SocketAddr::new(ip, 5060));
        self.journal.note(at, || format!("{} moves from {before} to {}", self.name, self.address));
        for transport in [Transport::Udp, Transport::Tcp] {
            self.engine.bound(now, transport, self.address);
        }
        for transport in [Transport::Udp, Transport::Tcp] {
            self.engine.handle_sip(now, sip::Input::Unbound { transport, local: before });
        }
        self.config.default_address = ip;
        self.engine.set_session_config(self.config.clone());
        self.engine.network_changed(now);
    }

    /// Calls somebody: an address of record through the proxy, or an address of the network.
    pub(super) fn call(
        &mut self,
        at: Instant,
        whom: &str,
        proxied: bool,
        words: &str,
    ) -> Result<SessionId, Error> {
        let id = SessionId(self.engine.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let route = proxied.then(|| format!("sip:{}", self.registrar).parse().expect("a URI"));
        let callee = whom.parse().expect("a URI");
        let invitation = Invitation { route, ..Invitation::new(callee, self.credentials()) };
        let files = if words.contains("file") { vec![FileToSend::new("photo.jpg")] } else { Vec::new() };
        let now = self.now(at);
        self.engine.connect(now, id, self.config.clone(), invitation, streams(words), files).map(|()| id)
    }

    /// Asks something of a session. What is refused must change nothing.
    pub(super) fn ask(&mut self, at: Instant, id: SessionId, verb: &str, words: &str) {
        let before = self.sessions.state(id);
        self.journal.note(at, || format!("{} @ {verb} {words} of {id}", self.name));
        let now = self.now(at);
        let done = self.engine.with_session(now, id, |session, context| match verb {
            "accept" => session.accept(context, streams(words), Some("files".into()), Vec::new()),
            "reject" => session.reject(context, None, Vec::new()),
            "hold" => session.hold(context, true),
            "unhold" => session.hold(context, false),
            "restart-ice" => session.restart_ice(context),
            "add" => session.add(context, streams(words)),
            "remove" => session.remove(context, streams(words)),
            "accept-proposal" => session.accept_proposal(context, streams(words), Some("files".into())),
            "reject-proposal" => session.reject_proposal(context),
            "dtmf" => session.send_dtmf(context, '5', DtmfMethod::Rtp),
            "record" => session.start_recording(context, "one.wav".into()),
            "stop-recording" => session.stop_recording(context),
            "send-file" => session.send_file(context, FileToSend::new("photo.jpg")).map(drop),
            "request-file" => {
                let info = FileInfo { name: Some("song.wav".to_owned()), ..FileInfo::default() };
                session.request_file(context, info, Some("files".into())).map(drop)
            }
            "message" => {
                let content = Bytes::from_static(b"hello");
                session.send_message(context, content, "text/plain".to_owned(), None, None, false).map(|_| ())
            }
            "terminate" => {
                session.terminate(context);
                Ok(())
            }
            verb => panic!("no such operation: {verb}"),
        });
        if let Some(Err(_)) = done {
            self.journal
                .check(self.sessions.state(id) == before, || format!("{verb} was refused and did something"));
        }
    }

    /// Ends everything.
    pub(super) fn leave(&mut self, at: Instant) {
        let now = self.now(at);
        self.engine.terminate_all(now);
    }

    /// What of the engine is not given back yet, in words; nothing if all is.
    pub(super) fn left_over(&self) -> Option<String> {
        let stats = self.engine.endpoint.stats();
        let counts = [
            ("sessions", self.sessions.living().len()),
            ("sessions of the engine", self.engine.sessions.len()),
            ("calls of the engine", self.engine.calls.len()),
            ("requests", self.engine.requests.len()),
            ("deadlines", self.engine.deadlines.len()),
            ("registrations", self.engine.registrations.len()),
            ("calls", stats.calls),
            ("client transactions", stats.client_transactions),
            ("server transactions", stats.server_transactions),
            ("subscriptions", stats.subscriptions),
            ("media streams", self.media.open()),
        ];
        let left: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        (!left.is_empty() || !self.engine.is_settled()).then(|| format!("{}: {}", self.name, left.join(", ")))
    }

    fn told(&mut self, now: Instant, event: &Event) {
        if let Event::Registration(event) = event {
            let known = match event {
                RegistrationEvent::DidSucceed { .. } => true,
                RegistrationEvent::DidFail { .. } | RegistrationEvent::DidEnd { .. } => false,
                _ => return,
            };
            self.registered = Some(known);
            self.told = now;
        }
    }

    fn sip(&mut self, now: Instant, output: sip::Output, network: &mut Network) {
        match output {
            sip::Output::Transmit { remote, data, .. } => {
                self.journal.note(now, || format!("{} > {} to {remote}", self.name, summary(&data)));
                self.exchanges.sent(&self.journal, now, &data);
                network.send(now, self.address, remote, data.to_vec());
            }
            sip::Output::Connect { flow, remote, .. } => {
                self.next_port = if self.next_port > 39_000 { 30_000 } else { self.next_port + 1 };
                let from = SocketAddr::new(self.address.ip(), self.next_port);
                let stream = network.connect(now, from, remote);
                self.flows
                    .insert(flow, (stream, End::Opener, StreamDecoder::new(sip_core::Limits::default())));
            }
            sip::Output::Write { flow, data } => {
                self.exchanges.sent(&self.journal, now, &data);
                if let Some((stream, end, _)) = self.flows.get(&flow) {
                    self.journal.note(now, || format!("{} > {} on {flow:?}", self.name, summary(&data)));
                    network.write(now, *stream, *end, &data);
                }
            }
            sip::Output::Disconnect { flow } => {
                if let Some((stream, end, _)) = self.flows.remove(&flow) {
                    network.close(now, stream, end);
                }
            }
            sip::Output::Resolve { query, .. } => {
                let result = Err("there is no DNS here".to_owned());
                let both = self.now(now);
                self.engine.handle_sip(both, sip::Input::Resolved { query, result });
            }
            _ => {}
        }
    }

    fn stream(&mut self, now: Instant, event: StreamEvent) {
        let known = |(_, (stream, end, _)): &(&FlowId, &mut (StreamId, End, StreamDecoder))| {
            (*stream, *end) == (event.stream, event.end)
        };
        let StreamEvent { local, remote, .. } = event;
        if event.what == StreamWhat::Accepted {
            self.accepted += 1;
            let flow = FlowId::accepted(self.accepted);
            self.flows
                .insert(flow, (event.stream, event.end, StreamDecoder::new(sip_core::Limits::default())));
            let input = sip::Input::Accepted { flow, transport: Transport::Tcp, local, remote };
            let both = self.now(now);
            self.engine.handle_sip(both, input);
            return;
        }
        let now_both = self.now(now);
        let Some((&flow, (_, _, decoder))) = self.flows.iter_mut().find(known) else { return };
        match event.what {
            StreamWhat::Accepted => {}
            StreamWhat::Connected => {
                self.engine.handle_sip(now_both, sip::Input::Connected { flow, local, remote });
            }
            StreamWhat::Refused => {
                self.flows.remove(&flow);
                let reason = "refused".to_owned();
                self.engine.handle_sip(now_both, sip::Input::ConnectFailed { flow, reason });
            }
            StreamWhat::Data(data) => {
                decoder.feed(&data);
                while let Some(item) = decoder.next() {
                    if let StreamItem::Message(message) = item {
                        let data = message.to_bytes();
                        self.journal.note(now, || format!("{} < {} on {flow:?}", self.name, summary(&data)));
                        self.exchanges.received(&data, false);
                    }
                }
                self.engine.handle_sip(now_both, sip::Input::Received { flow, data: &data });
            }
            StreamWhat::Closed | StreamWhat::Reset => {
                self.flows.remove(&flow);
                self.engine.handle_sip(now_both, sip::Input::Closed { flow });
            }
        }
    }
}

impl Host for Party {
    fn owns(&self, address: SocketAddr) -> bool {
        address.ip() == self.address.ip()
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        match delivery {
            Delivery::Stream(event) => self.stream(now, event),
            Delivery::Datagram(datagram) if datagram.to == self.address => {
                let data = Bytes::from(datagram.data);
                self.journal.note(now, || format!("{} < {}", self.name, summary(&data)));
                self.exchanges.received(&data, true);
                let input = sip::Input::Datagram { local: self.address, remote: datagram.from, data };
                let both = self.now(now);
                self.engine.handle_sip(both, input);
            }
            Delivery::Datagram(datagram) => {
                self.media.receive(now, datagram.to, datagram.from, &datagram.data);
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.media.timeout(now);
        let both = self.now(now);
        self.engine.handle_timeout(both);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            let media = self.media.flush(now, network);
            while let Some((session, stream, event)) = self.media.events.pop_front() {
                let both = self.now(now);
                self.engine.handle_media(both, session, stream, event);
            }
            match self.engine.poll_output() {
                Output::Sip(output) => self.sip(now, output, network),
                Output::Media { session, command } => {
                    self.media.perform(now, self.address.ip(), session, command);
                }
                Output::Snapshot { .. } => {}
                Output::Post { from: Origin::Registration(_), event } => self.told(now, &event),
                Output::Post { .. } => {}
                Output::Notify { session, snapshot, event } => {
                    self.journal.note(now, || format!("{} ! {session} {}", self.name, event.name()));
                    match &event {
                        Event::Session(SessionEvent::ChangedState { prev_state, state }) => {
                            let same = snapshot.state == *state;
                            self.journal.check(same, || "a snapshot comes after its notification".to_owned());
                            self.sessions.changed(&self.journal, session, *prev_state, *state);
                        }
                        Event::Session(SessionEvent::DidEnd { .. }) => {
                            self.sessions.ended(&self.journal, session);
                        }
                        _ => {}
                    }
                }
                Output::Idle(deadline) => {
                    if self.media.events.is_empty() {
                        return deadline.into_iter().chain(media).min();
                    }
                }
            }
        }
    }
}

/// How long after the last word of its peer a party may still believe that it is heard.
pub(super) const FRESH: Duration = Duration::from_secs(3);
