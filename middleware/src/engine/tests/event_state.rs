//! Subscriptions and publications with a server that knows both, in virtual time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_core::endpoint::{self as sip, Body, Endpoint, Event, Notifier};
use sip_core::header::Expires;
use sip_core::usage::NotifierState;
use sip_core::{Method, Request, StatusCode};
use testkit::{Clock, Delivery, Host, Link, Network, run};

use super::agent::{Agent, Log, now_at, place};
use crate::credentials::Credentials;
use crate::presence::{Basic, EventBody, Presence, Tuple};
use crate::publication::{PublicationId, PublicationOptions};
use crate::subscription::{SubscriptionId, SubscriptionOptions};

const SUBSCRIPTION: SubscriptionId = SubscriptionId(1);
const PUBLICATION: PublicationId = PublicationId(2);

/// Takes what is published and tells it to whoever subscribed.
struct Server {
    endpoint: Endpoint,
    address: SocketAddr,
    notifiers: Vec<Notifier>,
    /// The states by their tags.
    states: HashMap<String, Bytes>,
    tags: u32,
    /// What it answers, if not as it should.
    refuses: Option<(StatusCode, &'static [(&'static str, &'static str)])>,
    /// Whether anybody hears it.
    down: bool,
    heard: Log,
}

impl Server {
    fn new(heard: &Log) -> Self {
        let address = "192.0.2.2:5060".parse().expect("an address");
        let mut server = Self {
            endpoint: Endpoint::new(sip::Config::default(), [9; 32]),
            address,
            notifiers: Vec::new(),
            states: HashMap::new(),
            tags: 0,
            refuses: None,
            down: false,
            heard: heard.clone(),
        };
        server.restart(Clock::new().now());
        server
    }

    /// Forgets everything.
    fn restart(&mut self, now: Instant) {
        let allow = [Method::Subscribe, Method::Publish].into_iter().chain(sip::Config::default().allow);
        let config = sip::Config { allow: allow.collect(), ..sip::Config::default() };
        self.tags += 100;
        self.endpoint = Endpoint::new(config, [self.tags.to_le_bytes()[0]; 32]);
        let bound = sip::Input::Bound { transport: sip::Transport::Udp, local: self.address };
        self.endpoint.handle_input(now, bound);
        self.notifiers.clear();
        self.states.clear();
    }

    fn state(&self) -> Option<Body> {
        let state = self.states.values().next()?;
        Some(Body::new(Presence::CONTENT_TYPE, state.clone()))
    }

    fn tell(&mut self, now: Instant) {
        for notifier in self.notifiers.clone() {
            // Some of them are over.
            let _ = self.endpoint.notify(now, notifier, NotifierState::Active, self.state());
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        let Event::Request { id, request, .. } = event else { return };
        let expires = request.header::<Expires>().map_or(600, |expires| expires.0.min(600));
        self.heard.borrow_mut().push(format!("{} {expires}", request.method()));
        if let Some((status, headers)) = self.refuses.take() {
            let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            self.endpoint.respond(now, id, status, headers, None).expect("it waits");
            return;
        }
        match request.method() {
            Method::Subscribe => {
                let state = self.state();
                let accepted = self.endpoint.accept_subscription(now, id, 600, NotifierState::Active, state);
                self.notifiers.push(accepted.expect("it waits"));
            }
            _ => self.published(now, id, &request, expires),
        }
    }

    /// RFC 3903 §6.
    fn published(&mut self, now: Instant, id: sip::ServerRequest, request: &Request, expires: u32) {
        let before = match request.headers().text("SIP-If-Match") {
            Some(tag) => match self.states.remove(tag) {
                Some(state) => Some(state),
                None => {
                    let status = StatusCode::CONDITIONAL_REQUEST_FAILED;
                    self.endpoint.respond(now, id, status, Vec::new(), None).expect("it waits");
                    return;
                }
            },
            None => None,
        };
        self.tags += 1;
        let tag = format!("tag{}", self.tags);
        let body = Some(request.body().clone()).filter(|body| !body.is_empty()).or(before);
        if expires > 0 {
            self.states.insert(tag.clone(), body.expect("a state"));
        }
        let headers = vec![("SIP-ETag".to_owned(), tag), ("Expires".to_owned(), expires.to_string())];
        self.endpoint.respond(now, id, StatusCode::OK, headers, None).expect("it waits");
        self.tell(now);
    }
}

impl Host for Server {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { panic!("only datagrams here: {delivery:?}") };
        if !self.down {
            let (local, remote) = (self.address, datagram.from);
            let data = Bytes::from(datagram.data);
            self.endpoint.handle_input(now, sip::Input::Datagram { local, remote, data });
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.endpoint.poll_output() {
                sip::Output::Transmit { remote, data, .. } if !self.down => {
                    network.send(now, self.address, remote, data.to_vec());
                }
                sip::Output::Event(event) => self.event(now, event),
                sip::Output::Idle(deadline) => return deadline,
                _ => {}
            }
        }
    }
}

/// Alice, and the server of her and her friends.
struct Scene {
    clock: Clock,
    network: Network,
    start: Instant,
    alice: Agent,
    server: Server,
    told: Log,
    heard: Log,
}

impl Scene {
    fn new() -> Self {
        let (told, heard) = (Log::default(), Log::default());
        let clock = Clock::new();
        let mut network = Network::new(1);
        network.set_default(Link::delayed(Duration::from_millis(10)));
        let start = clock.now();
        let alice = Agent::new("alice", 1, false, start, &told);
        let server = Server::new(&heard);
        Self { clock, network, start, alice, server, told, heard }
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.clock.now() + Duration::from_secs(seconds);
        let hosts: &mut [&mut dyn Host] = &mut [&mut self.alice, &mut self.server];
        run(&mut self.clock, &mut self.network, hosts, until, |_| false);
        self.clock.advance_to(until);
    }

    fn now(&self) -> crate::engine::Now {
        now_at(self.start, self.clock.now())
    }

    fn subscribe(&mut self, expires: u32) {
        let credentials = Credentials::new("sip:alice@192.0.2.1".parse().expect("a URI"));
        let target = "sip:bob@192.0.2.2".parse().expect("a URI");
        let options =
            SubscriptionOptions { expires, ..SubscriptionOptions::new("presence", target, credentials) };
        let now = self.now();
        self.alice.engine.subscribe(now, SUBSCRIPTION, options);
        self.pass(2);
    }

    fn publish(&mut self) {
        let credentials = Credentials::new("sip:alice@192.0.2.2".parse().expect("a URI"));
        let (now, options) = (self.now(), PublicationOptions::new(credentials, state(Basic::Open)));
        self.alice.engine.publish(now, PUBLICATION, options);
        self.pass(2);
    }

    /// What was told since the last look, without headers, bodies and routes.
    fn told(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.told.borrow_mut());
        let short = |line: &String| {
            let line = line.trim_start_matches("alice ! SC").replace(" sip:192.0.2.2:5060", "");
            let line = line.replace(" sip:bob@192.0.2.2", "").replace(" sip:alice@192.0.2.2", "");
            if !line.starts_with("SubscriptionGotNotify") {
                return line;
            }
            let said = ["open", "closed"].into_iter().find(|word| line.contains(&format!("<basic>{word}<")));
            format!("SubscriptionGotNotify {}", said.unwrap_or("nothing"))
        };
        lines.iter().map(short).collect()
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.borrow_mut())
    }
}

fn state(basic: Basic) -> EventBody {
    let mut presence = Presence::new("sip:alice@192.0.2.2");
    presence.tuples.push(Tuple::new("phone", basic, "sip:alice@192.0.2.1"));
    presence.into()
}

#[test]
fn a_publication_is_seen_by_who_subscribed() {
    let mut scene = Scene::new();
    scene.subscribe(600);
    assert_eq!(scene.told(), ["SubscriptionDidSucceed 200 OK 600", "SubscriptionGotNotify nothing"]);
    assert!(scene.alice.engine.is_subscribed(SUBSCRIPTION));
    scene.publish();
    assert_eq!(scene.told(), ["PublicationDidSucceed 200 OK 600", "SubscriptionGotNotify open"]);
    let now = scene.now();
    scene.alice.engine.update_publication(now, PUBLICATION, &state(Basic::Closed));
    scene.pass(2);
    assert_eq!(scene.told(), ["PublicationDidSucceed 200 OK 600", "SubscriptionGotNotify closed"]);
    // Both are refreshed half a minute before they end.
    scene.heard();
    scene.pass(568);
    let refreshed = ["SubscriptionDidSucceed 200 OK 600", "SubscriptionGotNotify closed"];
    assert_eq!(scene.told()[..2], refreshed);
    scene.pass(10);
    assert!(scene.heard().contains(&"PUBLISH 600".to_owned()));
    scene.told();
    let now = scene.now();
    scene.alice.engine.end_publication(now, PUBLICATION);
    scene.pass(2);
    let ended = ["PublicationWillEnd", "PublicationDidEnd false", "SubscriptionGotNotify nothing"];
    assert_eq!(scene.told(), ended);
    let now = scene.now();
    scene.alice.engine.terminate_all(now);
    scene.pass(2);
    let ended = ["SubscriptionWillEnd", "SubscriptionGotNotify nothing", "SubscriptionDidEnd false"];
    assert_eq!(scene.told(), ended);
    scene.pass(60);
    assert!(scene.alice.engine.is_settled());
}

#[test]
fn what_a_server_forgot_is_told_and_asked_for_again() {
    let mut scene = Scene::new();
    scene.publish();
    scene.subscribe(600);
    scene.told();
    let at = scene.clock.now();
    scene.server.restart(at);
    let now = scene.now();
    scene.alice.engine.network_changed(now);
    scene.pass(2);
    let told = scene.told();
    // 412 and 481: what was there is there again, under other names.
    assert!(told.contains(&"PublicationDidSucceed 200 OK 600".to_owned()), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("SubscriptionDidFail 481")), "{told:?}");
    assert!(told.contains(&"SubscriptionDidSucceed 200 OK 600".to_owned()), "{told:?}");
    assert!(told.contains(&"SubscriptionGotNotify open".to_owned()), "{told:?}");
    assert_eq!(scene.server.states.len(), 1);
}

#[test]
fn a_server_that_is_away_is_tried_again() {
    let mut scene = Scene::new();
    scene.server.down = true;
    scene.publish();
    scene.subscribe(600);
    scene.pass(36);
    let told = scene.told();
    assert!(told.contains(&"PublicationDidFail 0 nobody answered 5".to_owned()), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("SubscriptionDidFail 0")), "{told:?}");
    scene.server.down = false;
    scene.pass(10);
    let told = scene.told();
    assert!(told.contains(&"PublicationDidSucceed 200 OK 600".to_owned()), "{told:?}");
    assert!(told.contains(&"SubscriptionGotNotify open".to_owned()), "{told:?}");
    // The application leaves while the server is away again.
    scene.server.down = true;
    let now = scene.now();
    scene.alice.engine.terminate_all(now);
    scene.pass(70);
    let told = scene.told();
    assert!(told.contains(&"PublicationDidEnd true".to_owned()), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("SubscriptionDidEnd")), "{told:?}");
    assert!(scene.alice.engine.is_settled());
}

#[test]
fn refusals_are_followed_or_final() {
    let mut scene = Scene::new();
    scene.server.refuses = Some((StatusCode::INTERVAL_TOO_BRIEF, &[("Min-Expires", "500")]));
    scene.subscribe(60);
    assert_eq!(scene.heard(), ["SUBSCRIBE 60", "SUBSCRIBE 500"], "423");
    scene.told();
    let now = scene.now();
    scene.alice.engine.end_subscription(now, SUBSCRIPTION);
    scene.pass(2);
    scene.told();
    scene.server.refuses = Some((StatusCode::BAD_EVENT, &[]));
    scene.subscribe(600);
    assert_eq!(scene.told(), ["SubscriptionDidFail 489 Bad Event", "SubscriptionDidEnd false"]);
    scene.server.refuses = Some((StatusCode::BAD_EVENT, &[]));
    scene.publish();
    assert_eq!(scene.told(), ["PublicationDidFail 489 Bad Event"]);
    let now = scene.now();
    scene.alice.engine.end_publication(now, PUBLICATION);
    assert!(scene.alice.engine.publications.is_empty());
    scene.pass(1);
    assert_eq!(scene.told(), ["PublicationWillEnd", "PublicationDidEnd false"]);
    // Retry-After.
    scene.server.refuses = Some((StatusCode::SERVICE_UNAVAILABLE, &[("Retry-After", "60")]));
    scene.publish();
    let told = scene.told();
    assert!(told[0].starts_with("PublicationDidFail 503") && told[0].ends_with(" 60"), "{told:?}");
    scene.pass(61);
    assert_eq!(scene.told(), ["PublicationDidSucceed 200 OK 600"]);
}

#[test]
fn a_state_is_fetched_once() {
    let mut scene = Scene::new();
    scene.publish();
    scene.told();
    scene.subscribe(0);
    let told = scene.told();
    assert_eq!(told.last().map(String::as_str), Some("SubscriptionDidEnd false"), "{told:?}");
    assert!(told.contains(&"SubscriptionGotNotify open".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("DidFail")), "{told:?}");
}

/// Requests that wait for the application are few, whoever sends them; each has its answer.
#[test]
fn what_waits_for_a_decision_has_a_cap() {
    let log = Log::default();
    let start = Clock::new().now();
    let mut alice = Agent::new("alice", 1, false, start, &log);
    alice.command(start, &["set", "events=presence"], place("bob")).expect("it is set");
    for number in 0..300 {
        let data = format!(
            "SUBSCRIBE sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@192.0.2.2>;tag=b\r\nTo: <sip:alice@192.0.2.1>\r\n\
             Call-ID: c{number}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:bob@192.0.2.2>\r\nEvent: presence\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let input =
            sip::Input::Datagram { local: place("alice"), remote: place("bob"), data: Bytes::from(data) };
        alice.engine.handle_sip(now_at(start, start), input);
    }
    let mut network = Network::new(1);
    alice.flush(start, &mut network);
    assert_eq!(log.borrow().iter().filter(|line| line.contains("GotSubscribe")).count(), 256);
    let answers =
        |packets: &[Bytes]| packets.iter().filter(|packet| packet.starts_with(b"SIP/2.0 480")).count();
    assert_eq!(answers(&alice.packets), 300 - 256);
    alice.timeout(start + Duration::from_secs(20));
    alice.flush(start + Duration::from_secs(20), &mut network);
    assert_eq!(answers(&alice.packets), 300);
    alice.engine.assert_empty(&|| "after all were refused".to_owned());
}
