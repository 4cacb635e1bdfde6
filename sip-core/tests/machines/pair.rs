//! Two endpoints and a network between them.

use sip_core::{
    Limits, Message, Method, NameAddr, Request, Response, StatusCode,
    endpoint::{
        Body, Call, Config, Endpoint, Event, FlowId, Input, Notifier, OutgoingCall, Output, Transport,
    },
    resolve::{Answer, Record, RecordKind},
    usage::NotifierState,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::{Clock, Delivery, End, Host, Network, StreamId, StreamWhat};

/// What a party does by itself when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    Refuses,
    Rings,
}

pub(crate) struct Party {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) manner: Manner,
    /// Events by name, with the call's number where there is one.
    pub(crate) log: Vec<String>,
    pub(crate) up: Vec<Call>,
    pub(crate) over: Vec<Call>,
    pub(crate) ringing: Vec<Call>,
    pub(crate) sent: Vec<String>,
    /// What was sent when and to whom.
    pub(crate) trace: Vec<(Instant, SocketAddr, String)>,
    /// Final responses that ended calls of ours.
    pub(crate) refusals: Vec<Response>,
    /// REFERs that were accepted.
    pub(crate) referred: Vec<(Option<Notifier>, Request)>,
    /// Subscriptions of peers that were accepted.
    pub(crate) watched: Vec<Notifier>,
    /// Responses to requests of ours out of calls.
    pub(crate) responses: Vec<Response>,
    /// What is in the ACKs of calls of ours.
    pub(crate) ack: Option<Body>,
    /// With what calls are refused.
    pub(crate) refusal: StatusCode,
    flows: HashMap<FlowId, (StreamId, End)>,
    accepted: u64,
    next_port: u16,
    timeouts: u64,
}

impl Party {
    pub(crate) fn new(
        address: &str,
        seed: u8,
        transports: &[Transport],
        config: Config,
        now: Instant,
    ) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let mut endpoint = Endpoint::new(config, [seed; 32]);
        for transport in transports {
            endpoint.handle_input(now, Input::Bound { transport: *transport, local: address });
        }
        Self {
            endpoint,
            address,
            manner: Manner::Answers,
            log: Vec::new(),
            up: Vec::new(),
            over: Vec::new(),
            ringing: Vec::new(),
            sent: Vec::new(),
            trace: Vec::new(),
            refusals: Vec::new(),
            referred: Vec::new(),
            watched: Vec::new(),
            responses: Vec::new(),
            ack: None,
            refusal: StatusCode::BUSY_HERE,
            flows: HashMap::new(),
            accepted: 0,
            next_port: 40_000,
            timeouts: 0,
        }
    }

    /// It has another address from now on.
    pub(crate) fn moves(&mut self, now: Instant, address: &str) {
        let old = std::mem::replace(&mut self.address, address.parse().expect("an address"));
        for input in [
            Input::Bound { transport: Transport::Udp, local: self.address },
            Input::Unbound { transport: Transport::Udp, local: old },
        ] {
            self.endpoint.handle_input(now, input);
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        let name = format!("{event:?}");
        let name = name.split([' ', '{']).next().unwrap_or_default().to_owned();
        self.log.push(name);
        let endpoint = &mut self.endpoint;
        match event {
            Event::Incoming { call, .. } => {
                let done = match self.manner {
                    Manner::Answers => {
                        endpoint.provisional(now, call, StatusCode::RINGING, None).expect("it rings");
                        endpoint.accept(now, call, Vec::new(), Some(Body::new("application/sdp", "answer")))
                    }
                    Manner::Refuses => endpoint.reject(now, call, self.refusal, None, Vec::new()),
                    Manner::Rings => {
                        self.ringing.push(call);
                        endpoint.provisional(now, call, StatusCode::RINGING, None)
                    }
                };
                done.expect("it rings");
            }
            Event::Answered { call, .. } => {
                endpoint.ack(now, call, self.ack.take()).expect("an ACK is due");
                self.up.push(call);
            }
            Event::Confirmed { call, .. } => self.up.push(call),
            Event::ReinviteAnswered { call, .. } => endpoint.ack(now, call, None).expect("an ACK is due"),
            Event::Request { id, request, .. } if *request.method() == Method::Refer => {
                let notifier = endpoint.accept_refer(now, id, 60).expect("it waits");
                self.referred.push((notifier, request));
            }
            Event::Request { id, request, .. } if *request.method() == Method::Subscribe => {
                let state = Some(Body::new("application/dialog-info+xml", "state"));
                let active = NotifierState::Active;
                let notifier = endpoint.accept_subscription(now, id, 3_600, active, state);
                self.watched.push(notifier.expect("it waits"));
            }
            Event::Response { response, .. } => self.responses.push(response),
            Event::Reinvite { id, .. } | Event::Request { id, .. } => {
                endpoint.respond(now, id, StatusCode::OK, Vec::new(), None).expect("it waits");
            }
            Event::Failed { call, response: Some(response), .. } if !self.over.contains(&call) => {
                self.over.push(call);
                self.refusals.push(response);
            }
            Event::Failed { call, .. } | Event::Ended { call, .. } | Event::Cancelled { call, .. } => {
                assert!(!self.over.contains(&call), "a call ends once");
                self.over.push(call);
            }
            _ => {}
        }
    }
}

impl Host for Party {
    fn owns(&self, address: SocketAddr) -> bool {
        address.ip() == self.address.ip()
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        match delivery {
            Delivery::Datagram(datagram) => {
                let (local, data) = (self.address, datagram.data.into());
                self.endpoint.handle_input(now, Input::Datagram { local, remote: datagram.from, data });
            }
            Delivery::Stream(event) => {
                let key = (event.stream, event.end);
                let known = self.flows.iter().find(|(_, k)| **k == key).map(|(flow, _)| *flow);
                let (local, remote) = (event.local, event.remote);
                let input = match (event.what, known) {
                    (StreamWhat::Accepted, _) => {
                        self.accepted += 1;
                        let flow = FlowId::accepted(self.accepted);
                        self.flows.insert(flow, key);
                        Input::Accepted { flow, transport: Transport::Tcp, local, remote }
                    }
                    (StreamWhat::Connected, Some(flow)) => Input::Connected { flow, local, remote },
                    (StreamWhat::Refused, Some(flow)) => {
                        Input::ConnectFailed { flow, reason: "refused".to_owned() }
                    }
                    (StreamWhat::Data(data), Some(flow)) => {
                        self.endpoint.handle_input(now, Input::Received { flow, data: &data });
                        return;
                    }
                    (_, Some(flow)) => {
                        self.flows.remove(&flow);
                        Input::Closed { flow }
                    }
                    (_, None) => return,
                };
                self.endpoint.handle_input(now, input);
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.timeouts += 1;
        self.endpoint.handle_timeout(now);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit { local, remote, data } => {
                    assert_eq!(local, self.address);
                    self.sent.push(summary(&data));
                    self.trace.push((now, remote, summary(&data)));
                    network.send(now, local, remote, data.to_vec());
                }
                Output::Connect { flow, remote, .. } => {
                    self.next_port += 1;
                    let from = SocketAddr::new(self.address.ip(), self.next_port);
                    let stream = network.connect(now, from, remote);
                    self.flows.insert(flow, (stream, End::Opener));
                }
                Output::Write { flow, data } => {
                    self.sent.push(format!("{} (stream)", summary(&data)));
                    if let Some((stream, end)) = self.flows.get(&flow) {
                        network.write(now, *stream, *end, &data);
                    }
                }
                Output::Disconnect { flow } => {
                    if let Some((stream, end)) = self.flows.remove(&flow) {
                        network.close(now, stream, end);
                    }
                }
                Output::Resolve { query, question } => {
                    let records = match (question.name.as_str(), question.kind) {
                        ("bob.example", RecordKind::A) => vec![Record::Address([192, 0, 2, 2].into())],
                        // The first of them is dead.
                        ("proxy.example", RecordKind::A) => {
                            [[192, 0, 2, 99], [192, 0, 2, 11]].map(|ip| Record::Address(ip.into())).to_vec()
                        }
                        _ => Vec::new(),
                    };
                    let answer = Answer { records, ttl: Duration::ZERO };
                    self.endpoint.handle_input(now, Input::Resolved { query, result: Ok(answer) });
                }
                Output::Event(event) => self.event(now, event),
                Output::Idle(at) => return at,
                other => panic!("an unknown output: {other:?}"),
            }
        }
    }
}

fn summary(data: &[u8]) -> String {
    match Message::parse(data.to_vec().into(), &Limits::default()) {
        Ok(message) => crate::solo::summary(&message),
        Err(_) => "keep-alive".to_owned(),
    }
}

pub(crate) struct Pair {
    pub(crate) clock: Clock,
    pub(crate) network: Network,
    pub(crate) alice: Party,
    pub(crate) bob: Party,
}

impl Pair {
    pub(crate) fn new(seed: u64, transports: &[Transport]) -> Self {
        Self::with(seed, transports, Config::default())
    }

    pub(crate) fn with(seed: u64, transports: &[Transport], config: Config) -> Self {
        let clock = Clock::new();
        let mut network = Network::new(seed);
        let now = clock.now();
        let [s1, s2, ..] = seed.to_le_bytes();
        let alice = Party::new("192.0.2.1:5060", s1.wrapping_add(1), transports, config.clone(), now);
        let bob = Party::new("192.0.2.2:5060", s2.wrapping_add(101), transports, config, now);
        if transports.contains(&Transport::Tcp) {
            network.listen(alice.address);
            network.listen(bob.address);
        }
        Self { clock, network, alice, bob }
    }

    pub(crate) fn call(&mut self, target: &str) -> Call {
        let from = NameAddr::new("sip:alice@192.0.2.1".parse().expect("a URI"));
        let call = OutgoingCall {
            body: Some(Body::new("application/sdp", "offer")),
            ..OutgoingCall::new(target.parse().expect("a URI"), from)
        };
        self.alice.endpoint.invite(self.clock.now(), call).expect("a call")
    }

    /// Runs for so long; less if nothing is left to happen.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.clock.now() + time;
        let Self { clock, network, alice, bob } = self;
        testkit::run(clock, network, &mut [alice, bob], until, |_| false);
        self.clock.advance_to(until);
    }

    pub(crate) fn hang_up(&mut self, call: Call) {
        self.alice.endpoint.bye(self.clock.now(), call, Vec::new()).expect("established");
    }

    /// Nothing is left over at either side.
    pub(crate) fn assert_clean(&mut self) {
        for party in [&self.alice, &self.bob] {
            let stats = party.endpoint.stats();
            assert_eq!(
                (stats.calls, stats.client_transactions, stats.server_transactions),
                (0, 0, 0),
                "{}: {stats:?}",
                party.address
            );
        }
    }
}
