//! The relay between clients, in virtual time: all connections lead to it.

use std::collections::BTreeMap;
use std::time::Duration;

use msrp_cpim::relay::{Relay, RelayConfig, RelayInput, RelayOutput};
use msrp_cpim::{
    AuthConfig, Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, SessionConfig, SessionId,
};
use testkit::Clock;

const RELAY: &str = "msrp://relay.example:2855;tcp";

fn uri(text: &str) -> MsrpUri {
    text.parse().unwrap()
}

struct Client {
    machine: Connection,
    local: MsrpUri,
    use_path: Vec<MsrpUri>,
    /// What the peer is told.
    path: Vec<MsrpUri>,
    events: Vec<Event>,
}

struct World {
    clock: Clock,
    relay: Relay,
    clients: BTreeMap<u64, Client>,
    /// Clients that wait for the relay to connect, by host.
    hosts: BTreeMap<String, u64>,
    renamed: BTreeMap<u64, u64>,
    cut: Vec<u64>,
}

impl World {
    fn new() -> Self {
        let relay = Relay::new(RelayConfig::new(uri(RELAY)), [9; 32]);
        let (clients, hosts, renamed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { clock: Clock::new(), relay, clients, hosts, renamed, cut: Vec::new() }
    }

    fn client(&mut self, number: u64, local: &str, connects: bool) {
        let now = self.clock.now();
        let mut machine = Connection::new(Config::default(), [number as u8; 32]);
        machine.handle_input(now, Input::Connected);
        let local = uri(local);
        if connects {
            self.relay.handle_input(now, RelayInput::Accepted(number));
            let config = AuthConfig { relay: vec![uri(RELAY)], local: local.clone(), expires: None };
            machine.auth(now, config).unwrap();
        } else {
            self.hosts.insert(local.host.clone(), number);
        }
        let (use_path, path) = (Vec::new(), vec![local.clone()]);
        self.clients.insert(number, Client { machine, local, use_path, path, events: Vec::new() });
        self.run();
    }

    fn session(&mut self, of: u64, with: u64, active: bool) -> SessionId {
        let remote = self.clients[&with].path.clone();
        let now = self.clock.now();
        let client = self.clients.get_mut(&of).unwrap();
        let mut local = client.use_path.clone();
        local.push(client.local.clone());
        let session = client.machine.add_session(now, SessionConfig::new(local, remote, active)).unwrap();
        self.run();
        session
    }

    fn run(&mut self) {
        let now = self.clock.now();
        loop {
            let mut moved = false;
            let numbers: Vec<u64> = self.clients.keys().copied().collect();
            for number in numbers {
                loop {
                    let output = self.clients.get_mut(&number).unwrap().machine.poll_output();
                    let client = self.clients.get_mut(&number).unwrap();
                    match output {
                        Output::Write(data) => {
                            moved = true;
                            client.machine.handle_input(now, Input::Written(data.len()));
                            let id = self.renamed.get(&number).copied().unwrap_or(number);
                            if !self.cut.contains(&number) {
                                self.relay.handle_input(now, RelayInput::Received(id, &data));
                            }
                        }
                        Output::Event(Event::AuthChallenge { auth, challenges, .. }) => {
                            moved = true;
                            assert_eq!(challenges, ["Digest realm=\"x\", nonce=\"n\""]);
                            client.machine.answer_challenge(now, auth, "Digest response=\"right\"").unwrap();
                        }
                        Output::Event(Event::Authorized { use_path, path, .. }) => {
                            (client.use_path, client.path) = (use_path, path);
                        }
                        Output::Event(event) => client.events.push(event),
                        Output::Disconnect => {}
                        Output::Idle(_) => break,
                    }
                }
            }
            loop {
                match self.relay.poll_output() {
                    RelayOutput::Write(id, data) => {
                        moved = true;
                        let number = self.renamed.iter().find(|(_, to)| **to == id).map_or(id, |(n, _)| *n);
                        if !self.cut.contains(&number)
                            && let Some(client) = self.clients.get_mut(&number)
                        {
                            client.machine.handle_input(now, Input::Received(&data));
                        }
                    }
                    RelayOutput::Auth(request) => match request.authorization.as_deref() {
                        Some("Digest response=\"right\"") => self.relay.grant(now, &request),
                        Some(_) => self.relay.refuse(&request, 403),
                        None => {
                            let challenge = "Digest realm=\"x\", nonce=\"n\"".to_owned();
                            self.relay.challenge(&request, &[challenge]);
                        }
                    },
                    RelayOutput::Connect(id, uri) => {
                        moved = true;
                        match self.hosts.get(&uri.host) {
                            Some(number) => {
                                self.renamed.insert(*number, id);
                                self.relay.handle_input(now, RelayInput::Connected(id));
                            }
                            None => self.relay.handle_input(now, RelayInput::Closed(id)),
                        }
                    }
                    RelayOutput::Disconnect(_) => {}
                    RelayOutput::Idle(_) => break,
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn send(&mut self, number: u64, session: SessionId, body: Vec<u8>) -> String {
        let now = self.clock.now();
        let client = self.clients.get_mut(&number).unwrap();
        let id = client.machine.send(now, session, OutgoingMessage::new("text/plain", body)).unwrap();
        self.run();
        id
    }

    fn delivered(&self, number: u64, id: &str) -> bool {
        let is = |event: &Event| matches!(event, Event::Delivered { message_id, .. } if message_id == id);
        self.clients[&number].events.iter().any(is)
    }

    fn bodies(&self, number: u64) -> Vec<Vec<u8>> {
        let body = |event: &Event| match event {
            Event::Message { body, .. } => Some(body.to_vec()),
            _ => None,
        };
        self.clients[&number].events.iter().filter_map(body).collect()
    }
}

fn both_at_the_relay() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    world.client(1, "msrp://a.example:1001/alice;tcp", true);
    world.client(2, "msrp://b.example:1002/bob;tcp", true);
    assert_eq!(world.clients[&1].use_path.len(), 1);
    let bob = world.session(2, 1, false);
    let alice = world.session(1, 2, true);
    (world, alice, bob)
}

#[test]
fn two_clients_talk_through_it() {
    let (mut world, alice, bob) = both_at_the_relay();
    let large: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let first = world.send(1, alice, b"hello".to_vec());
    let second = world.send(1, alice, large.clone());
    let back = world.send(2, bob, b"and back".to_vec());
    assert_eq!(world.bodies(2), [b"hello".to_vec(), large]);
    assert_eq!(world.bodies(1), [b"and back".to_vec()]);
    assert!(world.delivered(1, &first) && world.delivered(1, &second) && world.delivered(2, &back));
}

#[test]
fn a_relay_that_restarts_loses_no_outcome() {
    let (mut world, alice, _) = both_at_the_relay();
    let heard = world.send(1, alice, b"before".to_vec());
    // It goes down with a message on its way: the machine of its connection tells what becomes of it.
    world.cut = vec![1, 2];
    let lost = world.send(1, alice, b"meanwhile".to_vec());
    let now = world.clock.now();
    for client in world.clients.values_mut() {
        client.machine.handle_input(now, Input::Closed);
    }
    world.run();
    let fate = |world: &World, id: &str| {
        let told = |event: &&Event| match event {
            Event::Delivered { message_id, .. } | Event::NotDelivered { message_id, .. } => message_id == id,
            _ => false,
        };
        world.clients[&1].events.iter().filter(told).cloned().collect::<Vec<_>>()
    };
    assert!(matches!(fate(&world, &heard)[..], [Event::Delivered { .. }]));
    assert!(matches!(fate(&world, &lost)[..], [Event::NotDelivered { .. }]), "{:?}", fate(&world, &lost));
    // It is back, and remembers nobody: both authenticate again, and talk.
    world.relay = Relay::new(RelayConfig::new(uri(RELAY)), [10; 32]);
    (world.cut, world.renamed, world.clients) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    world.client(3, "msrp://a.example:1003/alice;tcp", true);
    world.client(4, "msrp://b.example:1004/bob;tcp", true);
    world.session(4, 3, false);
    let alice = world.session(3, 4, true);
    let again = world.send(3, alice, b"again".to_vec());
    assert_eq!(world.bodies(4), [b"again".to_vec()]);
    assert!(world.delivered(3, &again));
}

#[test]
fn it_connects_to_whoever_has_no_relay() {
    let mut world = World::new();
    world.client(1, "msrp://a.example:1001/alice;tcp", true);
    world.client(2, "msrp://b.example:1002/bob;tcp", false);
    let bob = world.session(2, 1, false);
    let alice = world.session(1, 2, true);
    let id = world.send(1, alice, b"hello".to_vec());
    let back = world.send(2, bob, b"and back".to_vec());
    assert_eq!((world.bodies(2), world.bodies(1)), (vec![b"hello".to_vec()], vec![b"and back".to_vec()]));
    assert!(world.delivered(1, &id) && world.delivered(2, &back));
}

#[test]
fn it_forwards_for_its_clients_and_nobody_else() {
    let (mut world, ..) = both_at_the_relay();
    let now = world.clock.now();
    let granted = world.clients[&1].use_path[0].to_string();
    world.relay.handle_input(now, RelayInput::Accepted(7));
    for (to, what) in [
        (format!("{granted} msrp://victim.example:80/x;tcp"), "through another's URI to anywhere"),
        ("msrp://relay.example:2855/guessed;tcp msrp://b.example:1002/bob;tcp".to_owned(), "a guessed URI"),
        (
            "msrp://elsewhere.example:2855/x;tcp msrp://b.example:1002/bob;tcp".to_owned(),
            "another relay's URI",
        ),
        (granted.clone(), "to the relay itself"),
    ] {
        let text = format!(
            "MSRP abcd1234 SEND\r\nTo-Path: {to}\r\nFrom-Path: msrp://m.example:9/m;tcp\r\nMessage-ID: m1\r\n\
             Byte-Range: 1-2/2\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------abcd1234$\r\n"
        );
        world.relay.handle_input(now, RelayInput::Received(7, text.as_bytes()));
        let RelayOutput::Write(7, answer) = world.relay.poll_output() else { panic!("{what}: no answer") };
        assert!(answer.starts_with(b"MSRP abcd1234 481"), "{what}: {answer:?}");
        assert!(matches!(world.relay.poll_output(), RelayOutput::Idle(_)), "{what}");
    }
    assert_eq!(world.relay.counters().refused, 4);
}

/// The relay is gone in mid-message: what was under way is told as not delivered, once.
#[test]
fn what_is_lost_behind_it_is_reported() {
    let (mut world, alice, _) = both_at_the_relay();
    world.cut = vec![2];
    let lost = world.send(1, alice, vec![5; 5_000]);
    assert!(!world.delivered(1, &lost));
    let now = world.clock.advance(Duration::from_secs(31));
    world.relay.handle_timeout(now);
    world.run();
    let fates = |world: &World| {
        let is = |event: &&Event| matches!(event, Event::NotDelivered { message_id, code: 408, .. } if *message_id == lost);
        world.clients[&1].events.iter().filter(is).count()
    };
    assert_eq!(fates(&world), 1, "{:?}", world.clients[&1].events);
    // The connection of the other client ends: its URI with it.
    world.relay.handle_input(now, RelayInput::Closed(2));
    world.run();
    let gone = world.send(1, alice, b"anybody there?".to_vec());
    let told = world.clients[&1]
        .events
        .iter()
        .any(|event| matches!(event, Event::NotDelivered { message_id, .. } if *message_id == gone));
    assert!(told, "{:?}", world.clients[&1].events);
    assert_eq!(fates(&world), 1);
}

/// Frames of any kind, cut and mutated, from two connections: whole frames come out.
#[test]
fn mutated_frames_do_it_no_harm() {
    let (_, relay) = msrp_cpim::fuzzing::TARGETS.iter().find(|(name, _)| *name == "msrp_relay").unwrap();
    let auth = format!(
        "MSRP abcd1234 AUTH\r\nTo-Path: {RELAY}\r\nFrom-Path: msrp://a.example:1/a;tcp\r\n-------abcd1234$\r\n"
    );
    let seed = format!(
        "{auth}MSRP abcd5678 SEND\r\nTo-Path: msrp://relay.example:2855/x;tcp msrp://b.example:1002/bob;tcp\r\n\
         From-Path: msrp://a.example:1/a;tcp\r\nMessage-ID: m1\r\nByte-Range: 1-2/2\r\n\
         Content-Type: text/plain\r\n\r\nhi\r\n-------abcd5678$\r\n"
    );
    let mut random = testkit::Random::new(4976);
    for _ in 0..3_000 {
        let mut data = random.mutate(seed.as_bytes());
        data.insert(0, random.below(256) as u8);
        relay(&data);
    }
}
