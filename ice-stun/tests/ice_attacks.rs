//! Agents under attack, by strangers and by peers.

mod ice_support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ice_stun::ice::{
    Agent, Candidate, Config, Credentials, Event, Input, LocalCandidate, Output, Path, RemoteParameters,
    Role, State, Transmit, Transport,
};
use ice_stun::stun::{
    Builder, Class, ErrorCode, IceControlled, IceControlling, Key, Kind, Message, Method, Priority,
    UseCandidate, Username, XorMappedAddress,
};
use ice_support::{World, addr, seed};
use testkit::{Clock, Random, Step, Subject};

const BASE: &str = "10.0.0.1:5000";
const PEER: &str = "10.0.0.2:6000";
const SECOND: Duration = Duration::from_secs(1);

/// One agent and the hands of an attacker on the wire.
struct Lab {
    clock: Clock,
    agent: Agent,
    peer: Credentials,
    sent: Vec<Transmit>,
    events: Vec<Event>,
}

fn credentials() -> Credentials {
    Credentials::new("peer", "the peer's password of 24".replace([' ', '\''], "x").as_str())
        .expect("they are right")
}

fn path_from(remote: SocketAddr) -> Path {
    Path { component: 1, tcp: false, base: addr(BASE), remote }
}

fn host(address: SocketAddr) -> Candidate {
    Candidate::host(1, Transport::Udp, address, 65_535)
}

fn agent(config: Config, now: Instant) -> Agent {
    let mut agent = Agent::new(config, seed(7));
    let local = LocalCandidate::based_on_itself(host(addr(BASE))).expect("an address");
    agent.add_local_candidate(now, local).expect("it is taken");
    agent
}

impl Lab {
    fn new(config: Config) -> Self {
        let clock = Clock::new();
        let agent = agent(config, clock.now());
        Self { clock, agent, peer: credentials(), sent: Vec::new(), events: Vec::new() }
    }

    fn with_peer(config: Config) -> Self {
        let mut lab = Self::new(config);
        lab.agent.set_remote_parameters(lab.clock.now(), RemoteParameters::new(lab.peer.clone()));
        lab.drain();
        lab
    }

    fn own_key(&self) -> Key {
        Key::short_term(self.agent.credentials().password())
    }

    /// A check as the peer would send it.
    fn check(&self, id: u8, role: Role, tie_breaker: u64, nominates: bool) -> Vec<u8> {
        let name = format!("{}:{}", self.agent.credentials().ufrag(), self.peer.ufrag());
        let mut check = Builder::new(Class::Request, Method::BINDING, [id; 12])
            .attribute(&Username(&name))
            .and_then(|it| it.attribute(&Priority(1_000)))
            .and_then(|it| match role {
                Role::Controlling => it.attribute(&IceControlling(tie_breaker)),
                Role::Controlled => it.attribute(&IceControlled(tie_breaker)),
            })
            .expect("it fits");
        if nominates {
            check = check.attribute(&UseCandidate).expect("it fits");
        }
        check.finish_with(Some(&self.own_key()), true)
    }

    /// Hands it in and returns what goes out because of it.
    fn receive(&mut self, from: SocketAddr, data: &[u8]) -> Vec<Transmit> {
        self.agent.handle_input(self.clock.now(), Input::Datagram { path: path_from(from), data });
        let before = self.sent.len();
        self.drain();
        self.sent[before..].to_vec()
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.agent.poll_output() {
                Output::Transmit(it) => self.sent.push(it),
                Output::Event(event) => self.events.push(event),
                Output::Idle(deadline) => return deadline,
                _ => {}
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.clock.now() + time;
        while let Some(at) = self.drain().filter(|at| *at <= until) {
            self.clock.advance_to(at);
            self.agent.handle_timeout(self.clock.now());
        }
        self.clock.advance_to(until);
    }

    fn checks_sent(&self) -> Vec<&Transmit> {
        let is_check = |it: &&Transmit| Message::parse(&it.data).is_ok_and(|it| it.class() == Class::Request);
        self.sent.iter().filter(is_check).collect()
    }
}

#[test]
fn unauthenticated_checks_change_nothing() {
    let mut lab = Lab::with_peer(Config { role: Role::Controlled, ..Config::default() });
    let name = format!("{}:peer", lab.agent.credentials().ufrag());
    let base = |name: &str| {
        Builder::new(Class::Request, Method::BINDING, [1; 12])
            .attribute(&Username(name))
            .and_then(|it| it.attribute(&Priority(1_000)))
            .and_then(|it| it.attribute(&UseCandidate))
            .expect("it fits")
    };
    let guess = Key::short_term("a guess");
    let right = lab.own_key();
    let attacks = [
        Builder::new(Class::Request, Method::BINDING, [1; 12]).finish(),
        // Shorter than what would refuse it.
        Builder::new(Class::Request, Method::BINDING, [1; 12]).finish_with(None, true),
        base(&name).finish(),
        base(&name).finish_with(None, true),
        base(&name).finish_with(Some(&guess), true),
        base("else:peer").finish_with(Some(&right), true),
        base("").finish_with(Some(&right), true),
        base(":").finish_with(Some(&right), true),
    ];
    for bytes in &attacks {
        let answers = lab.receive(addr("203.0.113.66:666"), bytes);
        let answered: usize = answers.iter().map(|it| it.data.len()).sum();
        assert!(answers.len() <= 1 && answered <= bytes.len(), "{answered} for {}", bytes.len());
        for answer in &answers {
            let message = Message::parse(&answer.data).expect("STUN");
            assert_eq!(message.class(), Class::Error);
            assert!(message.integrity().is_none(), "nothing is signed for a stranger");
        }
    }
    // Two have no FINGERPRINT.
    assert_eq!((lab.agent.stats().unauthenticated, lab.agent.stats().ignored), (6, 2));
    assert_eq!(lab.agent.remote_candidates().count(), 0);
    assert_eq!((lab.agent.selected(1), lab.agent.role()), (None, Role::Controlled));
    lab.run(10 * SECOND);
    assert!(lab.checks_sent().is_empty(), "no check goes to a stranger");
    // A wrong byte in a right one.
    let right = lab.check(2, Role::Controlling, 1, true);
    let mut random = Random::new(1);
    for _ in 0..500 {
        let mut bytes = right.clone();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        lab.receive(addr("203.0.113.66:666"), &bytes);
    }
    assert_eq!(lab.agent.remote_candidates().count(), 0);
}

#[test]
fn guessed_transaction_ids_change_nothing() {
    let mut lab = Lab::with_peer(Config::default());
    lab.agent.add_remote_candidate(lab.clock.now(), host(addr(PEER)));
    lab.drain();
    let id = Message::parse(&lab.sent[0].data).expect("a check").transaction_id();
    let seen = XorMappedAddress(addr("198.51.100.66:66"));
    let answer = |id, key: Option<&Key>| {
        Builder::new(Class::Success, Method::BINDING, id)
            .attribute(&seen)
            .expect("fits")
            .finish_with(key, true)
    };
    let (right, guess) = (Key::short_term(lab.peer.password()), Key::short_term("a guess"));
    let mut random = Random::new(2);
    for _ in 0..1_000 {
        let id = random.bytes(12).try_into().expect("twelve");
        lab.receive(addr(PEER), &answer(id, Some(&right)));
    }
    assert_eq!(lab.agent.stats().unexpected_responses, 1_000);
    // The right id and no key, or another: thrown away, and the check goes on.
    lab.receive(addr(PEER), &answer(id, None));
    lab.receive(addr(PEER), &answer(id, Some(&guess)));
    let refusal = Builder::new(Class::Error, Method::BINDING, id)
        .attribute(&ErrorCode { code: 487, reason: "" })
        .expect("fits")
        .finish();
    lab.receive(addr(PEER), &refusal);
    assert_eq!(lab.agent.stats().unauthenticated, 3);
    assert_eq!((lab.agent.state(), lab.agent.role()), (State::Checking, Role::Controlling));
    // The right key from elsewhere: the pair fails (RFC 8445 §7.2.5.2.1) and is not used.
    lab.receive(addr("203.0.113.66:666"), &answer(id, Some(&right)));
    lab.run(SECOND);
    assert_eq!(lab.agent.selected(1), None);
}

#[test]
fn a_thousand_candidates_cost_a_hundred_pairs() {
    let mut lab = Lab::with_peer(Config::default());
    for net in 1..5 {
        let local = LocalCandidate::based_on_itself(host(addr(&format!("10.0.{net}.1:5000")))).expect("one");
        lab.agent.add_local_candidate(lab.clock.now(), local).expect("it is taken");
    }
    for number in 0..1_000 {
        let line =
            format!("{number} 1 UDP {} 192.0.2.{} {} typ host", 1 + number, number % 250, 1_000 + number);
        lab.agent.add_remote_candidate(lab.clock.now(), line.parse().expect("a line"));
    }
    assert_eq!(lab.agent.remote_candidates().count(), 60);
    assert_eq!(lab.agent.stats().remote_left_out, 940);
    assert!(lab.agent.stats().pairs_left_out > 0);
    let start = lab.clock.now();
    lab.run(5 * SECOND);
    let elapsed = lab.clock.now() - start;
    // One new check in each Ta, repetitions no more often than RTO = Ta × pairs.
    let checks = lab.checks_sent();
    let ways: std::collections::BTreeSet<_> = checks.iter().map(|it| it.path).collect();
    assert!(ways.len() <= 100, "{}", ways.len());
    let per_second = checks.len() as f64 / elapsed.as_secs_f64();
    assert!(per_second <= 40.0, "{per_second}");
    // To any one address in all: what RFC 8489 §6.2.1 allows for each base.
    lab.run(300 * SECOND);
    let victim = lab.checks_sent().iter().filter(|it| it.path.remote == addr("192.0.2.59:1059")).count();
    assert!(victim <= 7 * 5, "{victim}");
}

#[test]
fn forbidden_addresses_get_nothing() {
    let mut lab = Lab::with_peer(Config::default());
    let forbidden = [
        "0.0.0.0:5000",
        "127.0.0.1:5000",
        "224.0.0.251:5353",
        "255.255.255.255:5000",
        "192.0.2.1:0",
        "[::1]:5000",
        "[ff02::1]:5000",
        "[::ffff:127.0.0.1]:5000",
    ];
    for text in forbidden {
        let candidate = host(addr(text));
        lab.agent.add_remote_candidate(lab.clock.now(), candidate);
        let check = lab.check(1, Role::Controlled, 1, false);
        lab.receive(addr(text), &check);
    }
    // A name that leads there.
    let name = "evil.local";
    let line = format!("1 1 UDP 1 {name} 5000 typ host");
    lab.agent.add_remote_candidate(lab.clock.now(), line.parse().expect("a line"));
    let input = Input::Resolved { name, address: Some(addr("127.0.0.1:1").ip()) };
    lab.agent.handle_input(lab.clock.now(), input);
    lab.run(10 * SECOND);
    assert!(lab.sent.is_empty(), "{:?}", lab.sent);
    assert_eq!(lab.agent.stats().remote_left_out, forbidden.len() as u64 + 1);
}

#[test]
fn a_storm_of_role_conflicts_ends() {
    // A peer with the right key that answers each check with 487.
    let mut lab = Lab::with_peer(Config::default());
    lab.agent.add_remote_candidate(lab.clock.now(), host(addr(PEER)));
    let key = Key::short_term(lab.peer.password());
    let mut answered = 0;
    for _ in 0..1_000 {
        lab.drain();
        for it in lab.sent.split_off(0) {
            let message = Message::parse(&it.data).expect("STUN");
            let refusal = Builder::answer(&message, Class::Error)
                .attribute(&ErrorCode { code: 487, reason: "" })
                .expect("fits")
                .finish_with(Some(&key), true);
            lab.receive(addr(PEER), &refusal);
            answered += 1;
        }
        lab.clock.advance(Duration::from_millis(50));
        lab.agent.handle_timeout(lab.clock.now());
    }
    let changes = lab.events.iter().filter(|event| matches!(event, Event::RoleChanged(_))).count();
    assert_eq!(changes, 8);
    assert!(answered <= 10, "{answered}");
    // And one that claims our role in its own checks, with a greater tie-breaker each time.
    let mut lab = Lab::with_peer(Config::default());
    for round in 0..200 {
        let check = lab.check(round, lab.agent.role(), if round % 2 == 0 { u64::MAX } else { 0 }, false);
        lab.receive(addr(PEER), &check);
    }
    let changes = lab.events.iter().filter(|event| matches!(event, Event::RoleChanged(_))).count();
    assert!(changes <= 8, "{changes}");
}

#[test]
fn a_flood_of_addresses_is_learnt_up_to_a_cap() {
    for nominates in [false, true] {
        let mut lab = Lab::with_peer(Config { role: Role::Controlled, ..Config::default() });
        let check = lab.check(1, Role::Controlling, 1, nominates);
        for number in 0..10_000_u16 {
            lab.receive(SocketAddr::new("192.0.2.7".parse().expect("one"), 1_000 + number), &check);
        }
        assert_eq!(lab.agent.remote_candidates().count(), 16);
        assert_eq!(lab.agent.stats().peer_reflexive_left_out, 10_000 - 16);
        assert_eq!(lab.agent.selected(1), None, "nothing is used before it has answered");
        lab.sent.clear();
        lab.run(60 * SECOND);
        assert!(lab.sent.len() <= 16 * 80, "{}", lab.sent.len());
    }
}

#[test]
fn early_checks_are_remembered_up_to_a_cap() {
    let mut lab = Lab::new(Config { role: Role::Controlled, ..Config::default() });
    let check = lab.check(1, Role::Controlling, 1, true);
    for number in 0..1_000_u16 {
        let answers = lab.receive(SocketAddr::new("192.0.2.7".parse().expect("one"), 1_000 + number), &check);
        assert_eq!(answers.len(), 1, "it is answered");
    }
    assert_eq!(lab.agent.stats().early_left_out, 1_000 - 16);
    // They were sent by someone else than whom the description tells of.
    let other = Credentials::new("other", lab.peer.password()).expect("they are right");
    lab.agent.set_remote_parameters(lab.clock.now(), RemoteParameters::new(other));
    assert_eq!(lab.agent.remote_candidates().count(), 0);
}

#[test]
fn huge_names_and_odd_attributes_are_refused() {
    let mut lab = Lab::with_peer(Config::default());
    let own = lab.agent.credentials().ufrag().to_owned();
    let key = lab.own_key();
    for length in [100, 508 - own.len() - 1, 2_000, 60_000] {
        let name = format!("{own}:{}", "x".repeat(length));
        let request = Builder::new(Class::Request, Method::BINDING, [1; 12])
            .raw(Kind::USERNAME, name.as_bytes())
            .expect("it fits")
            .attribute(&Priority(1))
            .expect("it fits")
            .finish_with(Some(&key), true);
        lab.receive(addr(PEER), &request);
    }
    assert_eq!(lab.agent.remote_candidates().count(), 0, "none of these is our peer");
    // RFC 8489 §6.3.1: what must be understood and is not.
    let name = format!("{own}:peer");
    let request = Builder::new(Class::Request, Method::BINDING, [2; 12])
        .attribute(&Username(&name))
        .and_then(|it| it.attribute(&Priority(1)))
        .and_then(|it| it.raw(Kind(0x7777), b"what?"))
        .expect("it fits")
        .finish_with(Some(&key), true);
    let answers = lab.receive(addr(PEER), &request);
    let answer = Message::parse(&answers[0].data).expect("STUN");
    assert_eq!(answer.get::<ErrorCode<'_>>().expect("one").expect("right").code, 420);
    assert!(answer.verify(&key));
    assert_eq!(lab.agent.remote_candidates().count(), 0);
    // A PRIORITY of the wrong size.
    let request = Builder::new(Class::Request, Method::BINDING, [3; 12])
        .attribute(&Username(&name))
        .and_then(|it| it.raw(Kind::PRIORITY, b"12345678"))
        .expect("it fits")
        .finish_with(Some(&key), true);
    let answers = lab.receive(addr(PEER), &request);
    let answer = Message::parse(&answers[0].data).expect("STUN");
    assert_eq!(answer.get::<ErrorCode<'_>>().expect("one").expect("right").code, 400);
}

#[test]
fn checks_that_are_played_again_from_elsewhere_move_nothing() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    let chosen = world.ends[1].selected(1);
    let key = Key::short_term(world.ends[1].agent.credentials().password());
    let name = format!(
        "{}:{}",
        world.ends[1].agent.credentials().ufrag(),
        world.ends[0].agent.credentials().ufrag()
    );
    let captured = Builder::new(Class::Request, Method::BINDING, [1; 12])
        .attribute(&Username(&name))
        .and_then(|it| it.attribute(&Priority(u32::MAX)))
        .and_then(|it| it.attribute(&IceControlling(1)))
        .and_then(|it| it.attribute(&UseCandidate))
        .expect("it fits")
        .finish_with(Some(&key), true);
    let path = Path { component: 1, tcp: false, base: addr(PEER), remote: addr("203.0.113.66:666") };
    for _ in 0..100 {
        world.inject(1, path, &captured);
    }
    world.run(60 * SECOND, |_| false);
    assert_eq!(world.ends[1].selected(1), chosen);
    assert!(world.both(State::Completed));
}

#[test]
fn passwords_do_not_show() {
    let lab = Lab::with_peer(Config::default());
    let shown = format!("{:?}", lab.agent);
    assert!(!shown.contains(lab.agent.credentials().password()) && !shown.contains(lab.peer.password()));
}

/// An agent in the middle of its checks; bytes come from its peer.
struct Checking(Agent);

impl Subject for Checking {
    fn new(_: [u8; 32], now: Instant) -> Self {
        let mut agent = agent(Config { role: Role::Controlled, ..Config::default() }, now);
        agent.set_remote_parameters(now, RemoteParameters::new(credentials()));
        agent.add_remote_candidate(now, host(addr(PEER)));
        Self(agent)
    }

    fn input(&mut self, now: Instant, data: &[u8]) {
        self.0.handle_input(now, Input::Datagram { path: path_from(addr(PEER)), data });
    }

    fn timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll(&mut self) -> Step {
        match self.0.poll_output() {
            Output::Idle(deadline) => Step::Idle(deadline),
            output => Step::Output(format!("{output:?}")),
        }
    }

    fn samples() -> Vec<Vec<u8>> {
        let lab = Lab::with_peer(Config::default());
        vec![
            lab.check(1, Role::Controlling, 1, false),
            lab.check(2, Role::Controlling, 1, true),
            lab.check(3, Role::Controlled, 1, false),
            Builder::new(Class::Success, Method::BINDING, [1; 12]).finish(),
            Builder::new(Class::Indication, Method::BINDING, [1; 12]).finish(),
        ]
    }

    fn command(&mut self, now: Instant, which: u64) {
        let agent = &mut self.0;
        let port = 1_024 + u16::try_from(which % 64).expect("small");
        let address = SocketAddr::new(addr("192.0.2.1:1").ip(), port);
        match which % 11 {
            0 => agent.restart(now),
            1 => agent.set_remote_parameters(now, RemoteParameters::new(credentials())),
            2..=4 => agent.add_remote_candidate(now, host(address)),
            5 => {
                let local = LocalCandidate::based_on_itself(host(address)).expect("an address");
                let _ = agent.add_local_candidate(now, local);
            }
            6 => agent.remove_local_candidates(now, address),
            7 => agent.end_of_local_candidates(now),
            8 => agent.end_of_remote_candidates(now),
            9 => agent.set_components(now, u16::try_from(which % 4).expect("small")),
            _ => agent.handle_input(now, Input::Closed(path_from(address))),
        }
    }
}

testkit::conformance!(an_agent_keeps_the_rules, Checking);
