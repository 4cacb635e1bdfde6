//! A scene for call flows of RFCs: five parties, two proxies and a registrar in virtual time, and the
//! ladder of what they send to one another, which is compared with the one in `golden/`: set `BLESS` in
//! the environment to write them anew.

use crate::{
    pair::Party,
    proxy::Proxy,
    solo::{seconds, summary},
};
use sip_core::{
    Limits, Message, Method, NameAddr,
    endpoint::{Body, Call, Config, OutgoingCall, OutgoingRequest, Transport},
    usage::{Registrar, RegistrarConfig},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::{Clock, Delivery, Host, Link, Network};

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn name(address: SocketAddr) -> &'static str {
    match address.to_string().as_str() {
        "192.0.2.1:5060" => "alice",
        "192.0.2.2:5060" | "192.0.2.22:5060" => "bob",
        "192.0.2.3:5060" => "carol",
        "192.0.2.4:5060" => "dave",
        "192.0.2.5:5060" => "erin",
        "192.0.2.11:5060" => "proxy1",
        "192.0.2.12:5060" => "proxy2",
        "192.0.2.21:5060" => "registrar",
        _ => "nobody",
    }
}

/// The registrar of `biloxi.example.com`, where Bob has a password.
pub(crate) struct Registry {
    address: SocketAddr,
    registrar: Registrar,
    trace: Vec<(Instant, SocketAddr, String)>,
}

impl Registry {
    fn new(now: Instant) -> Self {
        let address = addr("192.0.2.21:5060");
        let config = RegistrarConfig::new("biloxi.example.com").user("bob", "zanzibar");
        Self { address, registrar: Registrar::new(config, address, now, [7; 32]), trace: Vec::new() }
    }
}

impl Host for Registry {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { return };
        self.registrar.handle_datagram(now, datagram.from, datagram.data.into());
    }

    fn timeout(&mut self, _now: Instant) {}

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        while let Some((to, data)) = self.registrar.poll_transmit() {
            let message = Message::parse(data.clone(), &Limits::default()).expect("a message");
            self.trace.push((now, to, summary(&message)));
            network.send(now, self.address, to, data.to_vec());
        }
        None
    }
}

/// Everybody, and 10 ms between any two of them.
pub(crate) struct Scene {
    clock: Clock,
    network: Network,
    start: Instant,
    pub(crate) alice: Party,
    pub(crate) bob: Party,
    pub(crate) carol: Party,
    pub(crate) dave: Party,
    pub(crate) erin: Party,
    pub(crate) proxies: [Proxy; 2],
    registry: Registry,
}

pub(crate) fn uri(text: &str) -> sip_core::Uri {
    text.parse().expect("a URI")
}

pub(crate) fn sdp(text: &'static str) -> Option<Body> {
    Some(Body::new("application/sdp", text))
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut config = Config { supported: vec!["join".to_owned()], ..Config::default() };
        config.allow.extend([Method::Refer, Method::Subscribe, Method::Notify, Method::Message]);
        let clock = Clock::new();
        let mut network = Network::new(1);
        network.set_default(Link { delay: Duration::from_millis(10), ..Link::lossy(0.0) });
        let now = clock.now();
        let party = |address: &str, seed| Party::new(address, seed, &[Transport::Udp], config.clone(), now);
        Self {
            alice: party("192.0.2.1:5060", 1),
            bob: party("192.0.2.2:5060", 2),
            carol: party("192.0.2.3:5060", 3),
            dave: party("192.0.2.4:5060", 4),
            erin: party("192.0.2.5:5060", 5),
            proxies: [
                Proxy::new("192.0.2.11:5060", "192.0.2.12:5060").challenging("atlanta.example.com"),
                Proxy::new("192.0.2.12:5060", "192.0.2.2:5060"),
            ],
            registry: Registry::new(now),
            start: now,
            clock,
            network,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn run(&mut self, time: f64) {
        let until = self.clock.now() + seconds(time);
        let Self { clock, network, alice, bob, carol, dave, erin, proxies: [one, two], registry, .. } = self;
        let mut hosts: [&mut dyn Host; 8] = [alice, bob, carol, dave, erin, one, two, registry];
        testkit::run(clock, network, &mut hosts, until, |_| false);
        self.clock.advance_to(until);
    }

    pub(crate) fn call(from: &str, to: &str) -> OutgoingCall {
        OutgoingCall { body: sdp("offer"), ..OutgoingCall::new(uri(to), NameAddr::new(uri(from))) }
    }

    pub(crate) fn request(method: Method, from: &str, to: &str) -> OutgoingRequest {
        OutgoingRequest::new(method, uri(to), NameAddr::new(uri(from)))
    }

    /// Alice calls Bob directly, and Bob answers: her call and his.
    pub(crate) fn up(&mut self) -> (Call, Call) {
        let now = self.now();
        let call = Self::call("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
        let call = self.alice.endpoint.invite(now, call).expect("a call");
        self.run(1.0);
        assert_eq!((self.alice.up.as_slice(), self.bob.up.len()), ([call].as_slice(), 1));
        (call, self.bob.up[0])
    }

    /// Bob hangs up his first call, and Alice's ends by it.
    pub(crate) fn bob_hangs_up(&mut self, call: Call) {
        let now = self.now();
        let theirs = self.bob.up[0];
        self.bob.endpoint.bye(now, theirs, Vec::new()).expect("established");
        self.run(1.0);
        assert_eq!(self.alice.over.last(), Some(&call));
    }

    /// Compares who sent what to whom, and when, with the ladder of that name; nothing is left over.
    pub(crate) fn finish(mut self, golden: &str) {
        self.run(100.0);
        let parties = [&self.alice, &self.bob, &self.carol, &self.dave, &self.erin];
        for party in parties {
            let stats = party.endpoint.stats();
            let left =
                (stats.calls, stats.client_transactions, stats.server_transactions, stats.subscriptions);
            assert_eq!(left, (0, 0, 0, 0), "{}", party.address);
        }
        let mut lines: Vec<(Instant, String)> = Vec::new();
        let traces = parties.iter().map(|p| (p.address, &p.trace));
        let proxies = self.proxies.iter().map(|p| (p.address, &p.trace));
        for (from, trace) in traces.chain(proxies).chain([(self.registry.address, &self.registry.trace)]) {
            for (at, to, what) in trace {
                lines.push((*at, format!("{} -> {}: {what}", name(from), name(*to))));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let ladder = lines.iter().fold(String::new(), |text, (at, line)| {
            format!("{text}{:>6} ms  {line}\n", (*at - self.start).as_millis())
        });
        let path = format!("{}/tests/machines/golden/{golden}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &ladder).expect("it can be written");
        }
        let expected = std::fs::read_to_string(&path).expect("the ladder is there");
        assert_eq!(ladder, expected, "{golden}");
    }
}
