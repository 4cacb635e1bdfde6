//! RFC 4976 §5.1: a client behind two relays, in virtual time. Every host has a name, and is found by it.

use std::collections::BTreeMap;
use std::time::Duration;

use msrp_cpim::relay::{Relay, RelayConfig, RelayInput, RelayOutput};
use msrp_cpim::{
    AuthConfig, AuthId, Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, SessionConfig,
    SessionId,
};
use testkit::Clock;

const ALICE: &str = "msrps://alice.example.com:9892/98cjs;tcp";
const BOB: &str = "msrps://bob.example.com:8145/foo;tcp";
const INTRA: &str = "msrps://intra.example.com:2855;tcp";
const EXTRA: &str = "msrps://extra.example.com:2855;tcp";
const CHALLENGE: &str = "Digest realm=\"r\", nonce=\"n\"";
const RIGHT: &str = "Digest response=\"right\"";

fn uri(text: &str) -> MsrpUri {
    text.parse().unwrap()
}

enum Node {
    Client(Box<Connection>),
    Relay(Box<Relay>),
}

/// A host and one of its connections.
type Place = (&'static str, u64);

struct World {
    clock: Clock,
    nodes: BTreeMap<&'static str, Node>,
    links: BTreeMap<Place, Place>,
    accepted: u64,
    /// Of each client.
    events: Vec<(&'static str, Event)>,
    /// What a client answers challenges with.
    answer: &'static str,
    /// How many challenges each relay has sent.
    challenged: BTreeMap<&'static str, u32>,
}

impl World {
    fn new(answer: &'static str) -> Self {
        let clock = Clock::new();
        let mut nodes = BTreeMap::new();
        for (name, text, seed) in [("intra.example.com", INTRA, 1), ("extra.example.com", EXTRA, 2)] {
            nodes.insert(name, Node::Relay(Box::new(Relay::new(RelayConfig::new(uri(text)), [seed; 32]))));
        }
        for (name, seed) in [("alice.example.com", 3), ("bob.example.com", 4)] {
            let mut machine = Connection::new(Config::default(), [seed; 32]);
            machine.handle_input(clock.now(), Input::Connected);
            nodes.insert(name, Node::Client(Box::new(machine)));
        }
        let (links, events, challenged) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let mut world = Self { clock, nodes, links, accepted: 0, events, answer, challenged };
        world.link(("alice.example.com", 0), "intra.example.com");
        world
    }

    /// Connects; gives back whether anybody is there.
    fn link(&mut self, from: Place, to: &str) -> bool {
        let now = self.clock.now();
        let Some((name, node)) = self.nodes.iter_mut().find(|(name, _)| **name == to) else { return false };
        let id = match node {
            Node::Client(_) => 0,
            Node::Relay(relay) => {
                self.accepted += 1;
                relay.handle_input(now, RelayInput::Accepted(self.accepted));
                self.accepted
            }
        };
        self.links.insert(from, (name, id));
        self.links.insert((name, id), from);
        true
    }

    fn give(&mut self, to: Place, data: &[u8]) {
        let now = self.clock.now();
        match self.nodes.get_mut(to.0) {
            Some(Node::Client(machine)) => machine.handle_input(now, Input::Received(data)),
            Some(Node::Relay(relay)) => relay.handle_input(now, RelayInput::Received(to.1, data)),
            None => {}
        }
    }

    fn machine(&mut self, name: &str) -> &mut Connection {
        match self.nodes.get_mut(name) {
            Some(Node::Client(machine)) => machine,
            _ => panic!("{name} is no client"),
        }
    }

    fn run(&mut self) {
        let names: Vec<&'static str> = self.nodes.keys().copied().collect();
        loop {
            let moved = names.iter().filter(|name| self.turn(name)).count() > 0;
            if !moved {
                return;
            }
        }
    }

    /// All that a node has to do now; gives back whether that was anything.
    fn turn(&mut self, name: &'static str) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        loop {
            match self.nodes.get_mut(name) {
                Some(Node::Client(machine)) => match machine.poll_output() {
                    Output::Idle(_) => return moved,
                    Output::Write(data) => {
                        machine.handle_input(now, Input::Written(data.len()));
                        if let Some(to) = self.links.get(&(name, 0)).copied() {
                            self.give(to, &data);
                        }
                    }
                    Output::Event(Event::AuthChallenge { auth, challenges, .. }) => {
                        assert_eq!(challenges, [CHALLENGE]);
                        // The connection may have been closed meanwhile.
                        let _ = machine.answer_challenge(now, auth, self.answer);
                    }
                    Output::Event(event) => self.events.push((name, event)),
                    Output::Disconnect => {}
                },
                Some(Node::Relay(relay)) => match relay.poll_output() {
                    RelayOutput::Idle(_) => return moved,
                    RelayOutput::Write(id, data) => {
                        if let Some(to) = self.links.get(&(name, id)).copied() {
                            self.give(to, &data);
                        }
                    }
                    RelayOutput::Auth(request) if request.authorization.as_deref() == Some(RIGHT) => {
                        relay.grant(now, &request);
                    }
                    RelayOutput::Auth(request) => {
                        *self.challenged.entry(name).or_default() += 1;
                        relay.challenge(&request, &[CHALLENGE.to_owned()]);
                    }
                    RelayOutput::Connect(id, to) => {
                        let input = match self.link((name, id), &to.host) {
                            true => RelayInput::Connected(id),
                            false => RelayInput::Closed(id),
                        };
                        if let Some(Node::Relay(relay)) = self.nodes.get_mut(name) {
                            relay.handle_input(now, input);
                        }
                    }
                    RelayOutput::Disconnect(id) => {
                        if let Some(other) = self.links.remove(&(name, id)) {
                            self.links.remove(&other);
                            if let Some(Node::Client(machine)) = self.nodes.get_mut(other.0) {
                                machine.handle_input(now, Input::Closed);
                            }
                        }
                    }
                },
                None => return moved,
            }
            moved = true;
        }
    }

    fn auth(&mut self, relay: Vec<MsrpUri>) -> AuthId {
        let now = self.clock.now();
        let config = AuthConfig { relay, local: uri(ALICE), expires: None };
        let id = self.machine("alice.example.com").auth(now, config).unwrap();
        self.run();
        id
    }

    /// What the last AUTH came to.
    fn granted(&mut self) -> (Vec<MsrpUri>, Vec<MsrpUri>) {
        match self.events.pop() {
            Some((_, Event::Authorized { use_path, path, .. })) => (use_path, path),
            other => panic!("{other:?}"),
        }
    }

    fn session(&mut self, of: &str, local: Vec<MsrpUri>, remote: Vec<MsrpUri>, active: bool) -> SessionId {
        let now = self.clock.now();
        let session = self.machine(of).add_session(now, SessionConfig::new(local, remote, active)).unwrap();
        self.run();
        session
    }

    fn say(&mut self, of: &str, session: SessionId, text: &'static str) -> String {
        let now = self.clock.now();
        let message = OutgoingMessage::new("text/plain", text);
        let id = self.machine(of).send(now, session, message).unwrap();
        self.run();
        id
    }

    fn heard(&self, by: &str, text: &str) -> bool {
        self.events
            .iter()
            .any(|(name, e)| *name == by && matches!(e, Event::Message { body, .. } if body == text))
    }

    fn delivered(&self, id: &str) -> bool {
        self.events.iter().any(|(_, e)| matches!(e, Event::Delivered { message_id, .. } if message_id == id))
    }
}

/// The example of RFC 4976 §5.1: both relays challenge, and the second answers through the first.
#[test]
fn a_second_relay_grants_through_the_first() {
    let mut world = World::new(RIGHT);
    world.auth(vec![uri(INTRA)]);
    let (inner, _) = world.granted();
    assert_eq!(inner.len(), 1);
    world.auth(vec![inner[0].clone(), uri(EXTRA)]);
    let (use_path, path) = world.granted();
    assert_eq!(world.challenged, BTreeMap::from([("intra.example.com", 1), ("extra.example.com", 1)]));
    // "Use-Path returned by C: B C; path generated by A: C B A".
    let hosts = |path: &[MsrpUri]| path.iter().map(|uri| uri.host.clone()).collect::<Vec<_>>();
    assert_eq!(hosts(&use_path), ["intra.example.com", "extra.example.com"]);
    assert_eq!(use_path[0], inner[0]);
    assert_eq!(hosts(&path), ["extra.example.com", "intra.example.com", "alice.example.com"]);

    // Through the chain to somebody without a relay, and back over all of it.
    let mut local = use_path;
    local.push(uri(ALICE));
    let bob = world.session("bob.example.com", vec![uri(BOB)], path, false);
    let alice = world.session("alice.example.com", local, vec![uri(BOB)], true);
    let there = world.say("alice.example.com", alice, "over two relays");
    let back = world.say("bob.example.com", bob, "and back");
    assert!(world.heard("bob.example.com", "over two relays"), "{:?}", world.events);
    assert!(world.heard("alice.example.com", "and back"));
    assert!(world.delivered(&there) && world.delivered(&back));
}

/// The next relay is not there, or says nothing: the client hears of it.
#[test]
fn a_second_relay_that_is_gone_is_told() {
    let mut world = World::new(RIGHT);
    world.auth(vec![uri(INTRA)]);
    let (inner, _) = world.granted();
    world.nodes.remove("extra.example.com");
    world.auth(vec![inner[0].clone(), uri(EXTRA)]);
    let last = world.events.pop();
    assert!(matches!(last, Some((_, Event::AuthFailed { code: 408, .. }))), "{last:?}");
}

/// RFC 4976 §6.3: guessing passwords ends with the connection, and §6.1: so does saying nothing.
#[test]
fn who_proves_to_be_nobody_is_disconnected() {
    let mut world = World::new("Digest response=\"wrong\"");
    for _ in 0..2 {
        // The machine gives up after three answers.
        world.auth(vec![uri(INTRA)]);
    }
    let failures =
        |world: &World| world.events.iter().filter(|(_, e)| matches!(e, Event::AuthFailed { .. })).count();
    assert_eq!(failures(&world), 2);
    assert!(!world.links.contains_key(&("alice.example.com", 0)), "it is still connected");

    let mut relay = Relay::new(RelayConfig::new(uri(INTRA)), [5; 32]);
    let mut clock = Clock::new();
    relay.handle_input(clock.now(), RelayInput::Accepted(1));
    assert_eq!(relay.poll_output(), RelayOutput::Idle(Some(clock.now() + Duration::from_secs(30))));
    let now = clock.advance(Duration::from_secs(30));
    relay.handle_timeout(now);
    assert_eq!(relay.poll_output(), RelayOutput::Disconnect(1));
    assert_eq!(relay.counters().expelled, 1);
}

/// RFC 7701 §4: a NICKNAME goes through relays, and its response comes all the way back.
#[test]
fn a_nickname_goes_through_a_relay() {
    let mut world = World::new(RIGHT);
    world.auth(vec![uri(INTRA)]);
    let (mut local, _) = world.granted();
    local.push(uri(ALICE));
    let alice = world.session("alice.example.com", local, vec![uri(BOB)], true);
    let now = world.clock.now();
    world.machine("alice.example.com").nickname(now, alice, "Alice the great").unwrap();
    world.run();
    // Bob is no conference: what he answers is that he knows no such method.
    let last = world.events.pop();
    assert!(matches!(last, Some((_, Event::Nickname { code: 501, .. }))), "{last:?}");
}

/// Only the connection that a request went to can answer it.
#[test]
fn nobody_else_answers() {
    let mut relay = Relay::new(RelayConfig::new(uri(INTRA)), [6; 32]);
    let now = Clock::new().now();
    for id in [1, 2] {
        relay.handle_input(now, RelayInput::Accepted(id));
    }
    let auth = format!("MSRP a111 AUTH\r\nTo-Path: {INTRA}\r\nFrom-Path: {ALICE}\r\n-------a111$\r\n");
    relay.handle_input(now, RelayInput::Received(1, auth.as_bytes()));
    let RelayOutput::Auth(request) = relay.poll_output() else { panic!("no request") };
    relay.grant(now, &request);
    let RelayOutput::Write(1, grant) = relay.poll_output() else { panic!("no grant") };
    let grant = msrp_cpim::wire::Message::parse(&grant).unwrap();
    let inner = grant.head.path(msrp_cpim::wire::HeaderName::UsePath).unwrap();
    let chained = format!(
        "MSRP a222 AUTH\r\nTo-Path: {} {EXTRA}\r\nFrom-Path: {ALICE}\r\n-------a222$\r\n",
        MsrpUri::print_path(&inner)
    );
    relay.handle_input(now, RelayInput::Received(1, chained.as_bytes()));
    let RelayOutput::Connect(hop, _) = relay.poll_output() else { panic!("no connection") };
    relay.handle_input(now, RelayInput::Connected(hop));
    let RelayOutput::Write(_, forwarded) = relay.poll_output() else { panic!("nothing forwarded") };
    let forwarded = msrp_cpim::wire::Message::parse(&forwarded).unwrap();
    let id = forwarded.head.transaction_id().to_owned();
    let answer = format!(
        "MSRP {id} 200 OK\r\nTo-Path: {INTRA} {ALICE}\r\nFrom-Path: {EXTRA}\r\nUse-Path: {INTRA}\r\n-------{id}$\r\n"
    );
    relay.handle_input(now, RelayInput::Received(2, answer.as_bytes()));
    assert!(matches!(relay.poll_output(), RelayOutput::Idle(_)), "a stranger's answer was believed");
    relay.handle_input(now, RelayInput::Received(hop, answer.as_bytes()));
    assert!(matches!(relay.poll_output(), RelayOutput::Write(1, _)));
}
