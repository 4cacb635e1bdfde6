//! Call flows of RFC 3665 and RFC 5359 in virtual time, compared with the ladders in `golden/`: set
//! `BLESS` in the environment to write them anew.

use crate::{
    pair::{Manner, Party},
    solo::seconds,
};
use sip_core::{
    Limits, Message, Method, NameAddr, Request, Response, StatusCode,
    auth::Credentials,
    endpoint::{Body, Call, Config, OutgoingCall, OutgoingRefer, Transport},
    header::{RecordRoute, ReferTo, Route, Via},
    usage::{Redirection, Sipfrag},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::{Clock, Delivery, Host, Link, Network};

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn name(address: SocketAddr) -> &'static str {
    match address.to_string().as_str() {
        "192.0.2.1:5060" => "alice",
        "192.0.2.2:5060" => "bob",
        "192.0.2.3:5060" => "carol",
        "192.0.2.11:5060" => "proxy1",
        "192.0.2.12:5060" => "proxy2",
        _ => "nobody",
    }
}

/// A stateless proxy (RFC 3261 §16.11) that stays on the route, and may want a password.
struct Proxy {
    address: SocketAddr,
    /// Where requests out of dialogs go.
    next: SocketAddr,
    challenges: bool,
    out: Vec<(SocketAddr, Message)>,
    trace: Vec<(Instant, SocketAddr, String)>,
}

impl Proxy {
    fn new(address: &str, next: &str, challenges: bool) -> Self {
        Self { address: addr(address), next: addr(next), challenges, out: Vec::new(), trace: Vec::new() }
    }

    fn request(&mut self, mut request: Request, source: SocketAddr) {
        let tag = request.to().expect("To").tag().map(str::to_owned);
        if request.method() == &Method::Ack && tag.as_deref() == Some("proxy") {
            return;
        }
        if self.challenges && tag.is_none() && !request.headers().contains("Proxy-Authorization") {
            let refusal =
                Response::reply_to(&request, StatusCode::PROXY_AUTHENTICATION_REQUIRED).to_tag("proxy");
            let challenge = "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\"";
            let refusal = refusal.raw("Proxy-Authenticate", challenge).expect("a line").build();
            self.out.push((source, Message::Response(refusal)));
            return;
        }
        let headers = request.headers_mut();
        headers.remove_first::<Route>();
        let route = headers.get::<Route>().map(|r| r.expect("Route").0.uri);
        let branch = headers.get::<Via>().expect("Via").expect("Via").branch().expect("a branch").to_owned();
        let host = self.address.ip().into();
        let via =
            Via::new("UDP", host, Some(5060), &format!("{branch}.{}", name(self.address))).expect("Via");
        headers.push_front(via);
        if tag.is_none() {
            let own = format!("<sip:{};lr>", self.address.ip());
            headers.push_front(RecordRoute(own.parse().expect("an address")));
        }
        let uri = request.uri().expect("a URI");
        let hop = match (route, tag) {
            (None, None) => self.next,
            (route, _) => {
                let ip = route.unwrap_or(uri).host().ip().expect("an address");
                SocketAddr::new(ip, 5060)
            }
        };
        self.out.push((hop, Message::Request(request)));
    }

    fn response(&mut self, mut response: Response) {
        response.headers_mut().remove_first::<Via>();
        let via = response.via().expect("Via");
        let ip = via.host.ip().expect("an address");
        self.out.push((SocketAddr::new(ip, 5060), Message::Response(response)));
    }
}

impl Host for Proxy {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, _now: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { return };
        match Message::parse(datagram.data.into(), &Limits::default()).expect("a message") {
            Message::Request(request) => self.request(request, datagram.from),
            Message::Response(response) => self.response(response),
        }
    }

    fn timeout(&mut self, _now: Instant) {}

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        for (to, message) in self.out.drain(..) {
            self.trace.push((now, to, crate::solo::summary(&message)));
            network.send(now, self.address, to, message.to_bytes().to_vec());
        }
        None
    }
}

/// Three parties, two proxies and 10 ms between any two of them.
struct Scene {
    clock: Clock,
    network: Network,
    start: Instant,
    alice: Party,
    bob: Party,
    carol: Party,
    proxies: [Proxy; 2],
}

impl Scene {
    fn new() -> Self {
        let mut config = Config::default();
        config.allow.push(Method::Refer);
        let clock = Clock::new();
        let mut network = Network::new(1);
        network.set_default(Link { delay: Duration::from_millis(10), ..Link::lossy(0.0) });
        let now = clock.now();
        let party = |address: &str, seed| Party::new(address, seed, &[Transport::Udp], config.clone(), now);
        Self {
            alice: party("192.0.2.1:5060", 1),
            bob: party("192.0.2.2:5060", 2),
            carol: party("192.0.2.3:5060", 3),
            proxies: [
                Proxy::new("192.0.2.11:5060", "192.0.2.12:5060", true),
                Proxy::new("192.0.2.12:5060", "192.0.2.2:5060", false),
            ],
            start: now,
            clock,
            network,
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn run(&mut self, time: f64) {
        let until = self.clock.now() + seconds(time);
        let Self { clock, network, alice, bob, carol, proxies: [one, two], .. } = self;
        testkit::run(clock, network, &mut [alice, bob, carol, one, two], until, |_| false);
        self.clock.advance_to(until);
    }

    fn call(from: &str, to: &str) -> OutgoingCall {
        let from = NameAddr::new(from.parse().expect("a URI"));
        let body = Some(Body::new("application/sdp", "offer"));
        OutgoingCall { body, ..OutgoingCall::new(to.parse().expect("a URI"), from) }
    }

    /// Alice calls Bob directly, and Bob answers.
    fn up(&mut self) -> Call {
        let now = self.now();
        let call = Self::call("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
        let call = self.alice.endpoint.invite(now, call).expect("a call");
        self.run(1.0);
        assert_eq!(self.alice.up, [call]);
        call
    }

    /// Compares who sent what to whom, and when, with the ladder of that name; nothing is left over.
    fn finish(mut self, golden: &str) {
        self.run(100.0);
        let parties = [&self.alice, &self.bob, &self.carol];
        for party in parties {
            let stats = party.endpoint.stats();
            let left =
                (stats.calls, stats.client_transactions, stats.server_transactions, stats.subscriptions);
            assert_eq!(left, (0, 0, 0, 0), "{}", party.address);
        }
        let mut lines: Vec<(Instant, String)> = Vec::new();
        let traces = parties.iter().map(|p| (p.address, &p.trace));
        for (from, trace) in traces.chain(self.proxies.iter().map(|p| (p.address, &p.trace))) {
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

#[test]
fn rfc_3665_3_1_a_call() {
    let mut scene = Scene::new();
    let call = scene.up();
    let now = scene.now();
    let theirs = scene.bob.up[0];
    scene.bob.endpoint.bye(now, theirs, Vec::new()).expect("established");
    scene.run(1.0);
    assert_eq!(scene.alice.over, [call]);
    scene.finish("rfc3665-3.1");
}

#[test]
fn rfc_3665_3_2_through_two_proxies() {
    let mut scene = Scene::new();
    let call = OutgoingCall {
        route: vec!["<sip:192.0.2.11;lr>".parse().expect("a route")],
        credentials: Some(Credentials::new("alice", "secret").for_realm("example.com")),
        ..Scene::call("sip:alice@example.com", "sip:bob@biloxi.example.com")
    };
    let now = scene.now();
    let call = scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(1.0);
    assert_eq!((scene.alice.up.as_slice(), scene.bob.up.len()), ([call].as_slice(), 1));
    let now = scene.now();
    let theirs = scene.bob.up[0];
    scene.bob.endpoint.bye(now, theirs, Vec::new()).expect("established");
    scene.run(1.0);
    assert_eq!(scene.alice.over, [call]);
    scene.finish("rfc3665-3.2");
}

#[test]
fn rfc_3665_3_6_redirected() {
    let mut scene = Scene::new();
    scene.carol.manner = Manner::Rings;
    let target = "sip:carol@192.0.2.3".parse().expect("a URI");
    let mut redirection = Redirection::new(&target, 3);
    let now = scene.now();
    let first = Scene::call("sip:alice@192.0.2.1", "sip:carol@192.0.2.3");
    scene.alice.endpoint.invite(now, first).expect("a call");
    scene.run(0.5);
    let now = scene.now();
    let ringing = scene.carol.ringing.remove(0);
    let contact = ("Contact".to_owned(), "<sip:bob@192.0.2.2>;q=0.5, <sip:carol@192.0.2.3>".to_owned());
    let moved = StatusCode::MOVED_TEMPORARILY;
    scene.carol.endpoint.reject(now, ringing, moved, None, vec![contact]).expect("it rings");
    scene.run(0.5);
    let refusal = scene.alice.refusals.pop().expect("a response");
    redirection.redirected(&refusal);
    let next = redirection.next_target().expect("Bob");
    assert_eq!((next.as_str(), redirection.next_target()), ("sip:bob@192.0.2.2", None));
    let now = scene.now();
    let second = scene.alice.endpoint.invite(now, Scene::call("sip:alice@192.0.2.1", next.as_str()));
    let second = second.expect("a call");
    scene.run(1.0);
    let now = scene.now();
    scene.alice.endpoint.bye(now, second, Vec::new()).expect("established");
    scene.finish("rfc3665-3.6");
}

#[test]
fn rfc_3665_3_8_no_answer() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Rings;
    let now = scene.now();
    let call = Scene::call("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
    let call = scene.alice.endpoint.invite(now, call).expect("a call");
    scene.run(3.0);
    let now = scene.now();
    scene.alice.endpoint.cancel(now, call).expect("it rings");
    scene.run(1.0);
    assert_eq!((scene.alice.over.as_slice(), scene.bob.over.len()), ([call].as_slice(), 1));
    scene.finish("rfc3665-3.8");
}

#[test]
fn rfc_3665_3_9_busy() {
    let mut scene = Scene::new();
    scene.bob.manner = Manner::Refuses;
    let now = scene.now();
    let call = Scene::call("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
    scene.alice.endpoint.invite(now, call).expect("a call");
    scene.finish("rfc3665-3.9");
}

#[test]
fn rfc_3665_3_10_no_response() {
    let mut scene = Scene::new();
    let now = scene.now();
    let call = Scene::call("sip:alice@192.0.2.1", "sip:nobody@192.0.2.99");
    scene.alice.endpoint.invite(now, call).expect("a call");
    scene.finish("rfc3665-3.10");
}

#[test]
fn rfc_5359_2_1_hold() {
    let mut scene = Scene::new();
    scene.up();
    for what in ["hold", "resume"] {
        let now = scene.now();
        let theirs = scene.bob.up[0];
        let body = Some(Body::new("application/sdp", what));
        scene.bob.endpoint.reinvite(now, theirs, body).expect("established");
        scene.run(1.0);
    }
    let now = scene.now();
    let theirs = scene.bob.up[0];
    scene.bob.endpoint.bye(now, theirs, Vec::new()).expect("established");
    scene.finish("rfc5359-2.1");
}

/// Who was referred calls; its end of the transfer is told and the old call ended.
fn transfer(mut scene: Scene, old: Call, refer: OutgoingRefer, golden: &str) {
    let now = scene.now();
    scene.alice.endpoint.refer(now, old, refer).expect("established");
    scene.run(1.0);
    let (notifier, request) = scene.bob.referred.remove(0);
    let target = request.header::<ReferTo>().expect("Refer-To").0.uri;
    let mut call = Scene::call("sip:bob@192.0.2.2", target.without_headers().as_str());
    for (name, value) in target.headers() {
        let value = value.replace("%3B", ";").replace("%3D", "=").replace("%40", "@");
        call.headers.push((name.to_owned(), value));
    }
    let now = scene.now();
    let new = scene.bob.endpoint.invite(now, call).expect("a call");
    scene.run(1.0);
    assert!(scene.bob.up.contains(&new), "{:?}", scene.bob.log);
    let now = scene.now();
    let done = Some(Sipfrag::of_status(StatusCode::OK, None));
    scene.bob.endpoint.end_notifier(now, notifier.expect("a subscription"), "noresource", done).expect("up");
    scene.run(1.0);
    let now = scene.now();
    scene.alice.endpoint.bye(now, old, Vec::new()).expect("established");
    scene.run(1.0);
    let now = scene.now();
    scene.bob.endpoint.bye(now, new, Vec::new()).expect("established");
    scene.finish(golden);
}

#[test]
fn rfc_5359_2_4_unattended_transfer() {
    let mut scene = Scene::new();
    let call = scene.up();
    let to = NameAddr::new("sip:carol@192.0.2.3".parse().expect("a URI"));
    transfer(scene, call, OutgoingRefer::new(to), "rfc5359-2.4");
}

#[test]
fn rfc_5359_2_5_attended_transfer() {
    let mut scene = Scene::new();
    let call = scene.up();
    let now = scene.now();
    let consultation = Scene::call("sip:alice@192.0.2.1", "sip:carol@192.0.2.3");
    let consultation = scene.alice.endpoint.invite(now, consultation).expect("a call");
    scene.run(1.0);
    let replaces = scene.alice.endpoint.replaces_header(consultation).expect("a dialog");
    let to = NameAddr::new("sip:carol@192.0.2.3".parse().expect("a URI"));
    let refer = OutgoingRefer::new(to).replacing(&replaces).expect("a URI with headers");
    transfer(scene, call, refer, "rfc5359-2.5");
}
