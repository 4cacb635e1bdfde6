//! Registrations with a registrar, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_core::auth::Algorithm;
use sip_core::header::Expires;
use sip_core::usage::{Registrar, RegistrarConfig};
use sip_core::{Limits, Message, Response, StatusCode};
use testkit::{Clock, Delivery, Host, Link, Network, run};

use super::agent::{Agent, Log, now_at, place};
use crate::credentials::Credentials;
use crate::registration::{RegistrationId, RegistrationOptions};

const REGISTRATION: RegistrationId = RegistrationId(1);

/// A registrar that may be away, or refuse.
struct Server {
    registrar: Registrar,
    address: SocketAddr,
    down: bool,
    /// What it answers next instead of what it should.
    refuses: VecDeque<(u16, &'static str)>,
    /// The lifetimes that were asked for, and whether the request had credentials.
    heard: Vec<(u32, bool)>,
    out: Vec<(SocketAddr, Bytes)>,
}

impl Server {
    fn receive_request(&mut self, now: Instant, from: SocketAddr, data: Bytes) {
        let Ok(Message::Request(request)) = Message::parse(data.clone(), &Limits::default()) else { return };
        let expires = request.header::<Expires>().map_or(3_600, |expires| expires.0);
        self.heard.push((expires, request.headers().contains("Authorization")));
        match self.refuses.pop_front() {
            Some((code, headers)) => {
                let status = StatusCode::new(code).expect("a status");
                let mut response = Response::reply_to(&request, status).to_tag("t").build();
                for header in headers.split('|').filter(|header| !header.is_empty()) {
                    let (name, value) = header.split_once(": ").expect("a header");
                    response.headers_mut().push_raw(name, value).expect("a header");
                }
                self.out.push((from, response.to_bytes()));
            }
            None => self.registrar.handle_datagram(now, from, data),
        }
    }
}

impl Host for Server {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { panic!("only datagrams here: {delivery:?}") };
        if !self.down {
            self.receive_request(now, datagram.from, Bytes::from(datagram.data));
        }
    }

    fn timeout(&mut self, _: Instant) {}

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        for (to, data) in self.out.drain(..) {
            network.send(now, self.address, to, data.to_vec());
        }
        while let Some((to, data)) = self.registrar.poll_transmit() {
            network.send(now, self.address, to, data.to_vec());
        }
        None
    }
}

struct Scene {
    clock: Clock,
    start: Instant,
    network: Network,
    alice: Agent,
    server: Server,
    log: Log,
}

impl Scene {
    fn new(algorithm: Algorithm) -> Self {
        let (clock, mut network, log) = (Clock::new(), Network::new(1), Log::default());
        network.set_default(Link::delayed(Duration::from_millis(10)));
        let start = clock.now();
        let address = place("bob");
        let config = RegistrarConfig { algorithm, ..RegistrarConfig::new("192.0.2.2") };
        let config = config.user("alice", "hunter2");
        let server = Server {
            registrar: Registrar::new(config, address, start, [7; 32]),
            address,
            down: false,
            refuses: VecDeque::new(),
            heard: Vec::new(),
            out: Vec::new(),
        };
        Self { clock, start, network, alice: Agent::new("alice", 1, false, start, &log), server, log }
    }

    fn register(&mut self, password: &str, expires: u32) {
        let credentials = Credentials::new("sip:alice@192.0.2.2".parse().expect("a URI"));
        let credentials = credentials.with_password(password);
        let options = RegistrationOptions { expires, ..RegistrationOptions::new(credentials) };
        let now = now_at(self.start, self.clock.now());
        self.alice.engine.register(now, REGISTRATION, options);
        self.pass(2);
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.clock.now() + Duration::from_secs(seconds);
        let hosts: &mut [&mut dyn Host] = &mut [&mut self.alice, &mut self.server];
        run(&mut self.clock, &mut self.network, hosts, until, |_| false);
        self.clock.advance_to(until);
    }

    /// What was told, in order: name and first words of the data.
    fn told(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.log.borrow_mut());
        lines.iter().map(|line| line.replace("alice ! SCRegistration", "")).collect()
    }

    fn contacts(&self) -> usize {
        self.server.registrar.contacts(self.clock.now(), "alice")
    }
}

#[test]
fn registered_refreshed_and_removed() {
    let mut scene = Scene::new(Algorithm::Sha256);
    scene.register("hunter2", 600);
    let contact = "sip:alice@192.0.2.1:5060";
    let succeeded = format!("DidSucceed 200 OK {contact} {contact} 600 sip:192.0.2.2:5060");
    assert_eq!(scene.told(), std::slice::from_ref(&succeeded));
    assert!(scene.alice.engine.is_registered(REGISTRATION) && scene.contacts() == 1);
    scene.pass(600);
    assert_eq!(scene.told(), [succeeded], "refreshed in time, once");
    assert_eq!(scene.contacts(), 1);
    let now = now_at(scene.start, scene.clock.now());
    scene.alice.engine.end_registration(now, REGISTRATION);
    scene.pass(2);
    assert_eq!(scene.told(), ["WillEnd", "DidEnd false"]);
    assert_eq!(scene.contacts(), 0);
    scene.pass(60);
    assert!(scene.alice.engine.is_settled());
}

#[test]
fn challenges_and_short_lifetimes_are_followed() {
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        let mut scene = Scene::new(algorithm);
        // 401, then 423, then 200.
        scene.register("hunter2", 30);
        assert_eq!(scene.server.heard.last(), Some(&(60, true)), "{:?}", scene.server.heard);
        assert!(scene.server.heard.contains(&(30, true)) && scene.server.heard[0] == (30, false));
        assert!(scene.told()[0].starts_with("DidSucceed 200"));
    }
    // A proxy's challenge (407) is not answered where no proxy was chosen, and a wrong password is not tried for
    // ever.
    let mut scene = Scene::new(Algorithm::Sha256);
    scene.register("wrong", 600);
    let told = scene.told();
    assert!(told[0].starts_with("DidFail 401"), "{told:?}");
    assert!(scene.server.heard.len() <= 3, "two tries at most: {:?}", scene.server.heard);
}

#[test]
fn refusals_are_followed_or_final() {
    let mut scene = Scene::new(Algorithm::Sha256);
    scene.server.refuses.push_back((503, "Retry-After: 60"));
    scene.register("hunter2", 600);
    assert_eq!(scene.told(), ["DidFail 503 Service Unavailable sip:192.0.2.2:5060 60"]);
    scene.pass(50);
    assert_eq!(scene.told(), Vec::<String>::new(), "not before its time");
    scene.pass(10);
    assert!(scene.told()[0].starts_with("DidSucceed 200"));
    // 403: nothing that would help.
    let mut scene = Scene::new(Algorithm::Sha256);
    scene.server.refuses.push_back((403, ""));
    scene.register("hunter2", 600);
    let told = scene.told();
    assert!(told[0].starts_with("DidFail 403 Forbidden"), "{told:?}");
}

#[test]
fn a_registrar_that_is_away_is_tried_with_growing_waits() {
    let waits = |seed: u8| {
        let mut scene = Scene::new(Algorithm::Sha256);
        scene.alice = Agent::new("alice", seed, false, scene.start, &scene.log);
        scene.server.down = true;
        scene.register("hunter2", 600);
        let mut waits = Vec::new();
        while waits.len() < 32 {
            scene.pass(1);
            for line in scene.told() {
                assert!(line.starts_with("DidFail 0"), "{line}");
                let wait: u64 = line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("seconds");
                waits.push(wait);
            }
        }
        scene.server.down = false;
        scene.pass(1_900);
        assert!(scene.told().iter().any(|line| line.starts_with("DidSucceed 200")), "it comes back");
        waits
    };
    let (first, second) = (waits(1), waits(2));
    assert!(first[0] < first[2], "{first:?}");
    // Each try takes 32 s: for a quarter of an hour it is taken for a restart, and found within ten seconds.
    assert!(first[..20].iter().all(|wait| *wait <= 8), "{first:?}");
    assert!(first.iter().any(|wait| *wait > 8), "what is gone is left in peace: {first:?}");
    assert!(first.iter().all(|wait| *wait <= 1_800), "RFC 5626 §4.5 has a bound: {first:?}");
    assert_ne!(first, second, "not all at once, after a power cut: there is jitter");
}

#[test]
fn another_network_registers_again() {
    let mut scene = Scene::new(Algorithm::Sha256);
    scene.register("hunter2", 600);
    scene.told();
    let now = now_at(scene.start, scene.clock.now());
    scene.alice.engine.network_changed(now);
    scene.pass(2);
    assert!(scene.told()[0].starts_with("DidSucceed 200"));
}
