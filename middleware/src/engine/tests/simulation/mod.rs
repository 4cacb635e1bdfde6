//! A world in one process: parties, a registrar and a relay, on a seeded network that fails in every
//! way that networks do, while people do anything at any time. Time is virtual.
//!
//! What must hold is checked at every step (`watch`), and at the end: whoever can be registered is,
//! who talks is heard, and nothing is left over. A seed that fails is played again by
//! `./dev simulate --seed N`; `./dev simulate --seeds 1000` tries many.

mod long;
mod media;
mod party;
mod servers;
mod trickle;
mod watch;

use std::net::IpAddr;
use std::time::Duration;

use testkit::{Clock, Host, Link, Network, Random, run};

use self::party::{FRESH, Party};
use self::servers::{Registrar, Relay};
use self::watch::Journal;
use crate::configuration::IceTrickle;
use crate::session::{SessionId, State};

/// How long faults and people go on, in virtual time.
const UNREST: Duration = Duration::from_secs(240);
/// Registered again within so long after it is possible.
const AGAIN: Duration = Duration::from_secs(10);

struct World {
    clock: Clock,
    network: Network,
    random: Random,
    parties: Vec<Party>,
    registrar: Registrar,
    relay: Relay,
    journal: Journal,
    next_host: u8,
    /// Whether addresses become others here.
    moving: bool,
    /// A connection says nothing any more, and nobody has been told.
    frozen: bool,
}

impl World {
    fn new(seed: u64, parties: u8) -> Self {
        let clock = Clock::new();
        let start = clock.now();
        let journal = Journal::new(seed, start);
        let users: Vec<String> = (1..=parties).map(|number| format!("p{number}")).collect();
        let registrar = Registrar::new(&users, start);
        let address = registrar.address;
        let party = |number| Party::new(number, seed, start, address, &journal);
        let mut network = Network::new(seed);
        for number in 1..=parties {
            network.listen(format!("192.0.2.{number}:5060").parse().expect("an address"));
        }
        network.set_default(good());
        Self {
            clock,
            network,
            random: Random::new(seed),
            parties: (1..=parties).map(party).collect(),
            registrar,
            relay: Relay::new(),
            journal,
            next_host: 100,
            moving: false,
            frozen: false,
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let until = self.clock.now() + time;
        let mut hosts: Vec<&mut dyn Host> = vec![&mut self.registrar, &mut self.relay];
        hosts.extend(self.parties.iter_mut().map(|party| party as &mut dyn Host));
        run(&mut self.clock, &mut self.network, &mut hosts, until, |_| false);
        self.clock.advance_to(until);
    }

    /// Unrest: people and faults, at random.
    fn unrest(&mut self) {
        let end = self.clock.now() + UNREST;
        while self.clock.now() < end {
            let wait = self.random.up_to(Duration::from_millis(1_500));
            self.pass(wait);
            if self.random.chance(0.12) { self.fault() } else { self.act() }
        }
    }

    /// Somebody does something.
    fn act(&mut self) {
        let now = self.clock.now();
        let at = self.random.below(self.parties.len());
        let living = self.parties[at].sessions.living();
        if living.is_empty() || (living.len() < 3 && self.random.chance(0.15)) {
            self.call(at);
            return;
        }
        let (id, state) = *self.random.pick(&living);
        let (verb, words) = match state {
            State::Incoming if self.random.chance(0.7) => *self.random.pick(&ANSWERS),
            State::Proposed if self.random.chance(0.7) => *self.random.pick(&DECISIONS),
            _ => *self.random.pick(&DEEDS),
        };
        self.parties[at].ask(now, id, verb, words);
    }

    fn call(&mut self, at: usize) {
        let now = self.clock.now();
        let others: Vec<usize> = (0..self.parties.len()).filter(|other| *other != at).collect();
        let other = *self.random.pick(&others);
        let (name, address) = (self.parties[other].name.clone(), self.parties[other].address);
        let (whom, proxied) = match self.random.below(3) {
            0 => (format!("sip:{name}@{}", servers::DOMAIN), true),
            1 => (format!("sip:{name}@{address}"), false),
            _ => (format!("sip:{name}@{address};transport=tcp"), false),
        };
        let words = *self.random.pick(&["audio", "audio,chat", "chat", "file", "audio,file", "audio"]);
        self.journal.note(now, || format!("p{} @ calls {whom} with {words}", at + 1));
        // Too many calls at once are refused here.
        let _ = self.parties[at].call(now, &whom, proxied, words);
    }

    /// Something breaks, or gets better.
    fn fault(&mut self) {
        let now = self.clock.now();
        let pick = self.random.below(self.parties.len());
        let address = self.parties[pick].address.ip();
        let other: IpAddr = match self.random.below(3) {
            0 => self.registrar.address.ip(),
            1 => self.relay.address.ip(),
            _ => {
                let others = self.parties.iter().map(|party| party.address.ip());
                let others: Vec<IpAddr> = others.filter(|ip| *ip != address).collect();
                *self.random.pick(&others)
            }
        };
        match self.random.below(8) {
            0 => {
                let link = self.bad();
                self.journal.note(now, || format!("* every path: {link:?}"));
                self.network.set_default(link);
            }
            1 => {
                let link = self.bad();
                self.journal.note(now, || format!("* {address} to {other}: {link:?}"));
                self.network.set_link(address, other, link);
            }
            2 => {
                self.journal.note(now, || format!("* {address} and {other} are apart"));
                self.network.set_between(address, other, Link::down());
                // What is written now to a connection between them arrives nowhere.
                self.frozen = true;
            }
            3 => {
                self.journal.note(now, || format!("* {address} and {other} are together"));
                self.network.set_between(address, other, good());
            }
            4 if self.moving => self.move_somebody(pick),
            4 => {}
            5 => {
                let until = now + self.random.up_to(Duration::from_secs(40));
                self.journal.note(now, || "* the registrar restarts".to_owned());
                self.registrar.restart(now, until);
            }
            6 => {
                let until = now + self.random.up_to(Duration::from_secs(40));
                self.journal.note(now, || "* the relay restarts".to_owned());
                self.relay.restart(until);
            }
            _ => {
                let streams: Vec<_> = self.network.streams().map(|(id, ..)| id).collect();
                if !streams.is_empty() {
                    let stream = *self.random.pick(&streams);
                    let cut = self.random.chance(0.5);
                    self.journal.note(now, || format!("* {stream:?} dies, cut: {cut}"));
                    if cut {
                        self.network.cut(now, stream)
                    } else {
                        self.network.freeze(stream)
                    }
                    self.frozen |= !cut;
                }
            }
        }
    }

    /// A party gets another address, which nobody had before.
    fn move_somebody(&mut self, at: usize) {
        let ip = IpAddr::from([192, 0, 2, self.next_host]);
        if self.next_host == 199 {
            return;
        }
        self.next_host += 1;
        self.network.listen((ip, 5060).into());
        self.parties[at].move_to(self.clock.now(), ip);
    }

    /// A path on which some of everything goes wrong.
    fn bad(&mut self) -> Link {
        let random = &mut self.random;
        Link {
            delay: random.up_to(Duration::from_millis(80)),
            jitter: random.up_to(Duration::from_millis(100)),
            loss: *random.pick(&[0.0, 0.05, 0.1, 0.3]),
            burst: *random.pick(&[1.0, 3.0]),
            duplicate: *random.pick(&[0.0, 0.05]),
            reorder: *random.pick(&[0.0, 0.05]),
            shred: random.chance(0.3),
            ..Link::default()
        }
    }

    /// Everything works again.
    fn heal(&mut self) {
        let now = self.clock.now();
        self.journal.note(now, || "* everything works".to_owned());
        self.network.set_default(good());
        let mut hosts: Vec<IpAddr> = self.parties.iter().map(|party| party.address.ip()).collect();
        hosts.extend([self.registrar.address.ip(), self.relay.address.ip()]);
        for a in &hosts {
            for b in &hosts {
                self.network.set_link(*a, *b, good());
            }
        }
    }

    fn fail_if(&self, wrong: Option<String>) {
        if let Some(wrong) = wrong {
            self.journal.fail(&wrong);
        }
    }

    /// Who knows that it is not registered is, ten seconds later; who did not know finds out with
    /// its next refresh.
    fn everybody_is_registered(&mut self) {
        let knew: Vec<bool> = self.parties.iter().map(|party| party.registered == Some(true)).collect();
        self.pass(AGAIN);
        for (party, knew) in self.parties.iter().zip(&knew) {
            let fine = party.registered == Some(true) || (*knew && party.registered.is_some());
            self.journal
                .check(fine, || format!("{} is not registered {AGAIN:?} after it could be", party.name));
        }
        self.pass(Duration::from_secs(60));
        let now = self.clock.now();
        for party in &self.parties {
            let known = self.registrar.knows(now, &party.name) && party.registered == Some(true);
            self.journal.check(known, || format!("{} is not registered after a refresh", party.name));
        }
    }

    /// Who is in a call, sends, and is to be heard, is. (Where somebody moved, its media did not.)
    fn who_talks_is_heard(&self) {
        self.who_talks_is_heard_within(FRESH);
    }

    fn who_talks_is_heard_within(&self, time: Duration) {
        let now = self.clock.now();
        for party in self.parties.iter().filter(|_| !self.moving) {
            for (id, state) in party.sessions.living() {
                let Some(live) = party.engine.sessions.get(&id).filter(|_| state == State::Established)
                else {
                    continue;
                };
                let snapshot = live.machine.snapshot();
                let talks =
                    snapshot.audio.is_some() && !snapshot.on_hold_by_local && !snapshot.on_hold_by_remote;
                let Some(heard) = party.media.heard(id).filter(|_| talks) else { continue };
                let fresh = heard.is_some_and(|at| now.saturating_duration_since(at) < time);
                self.journal.check(fresh, || format!("{id} of {} hears nobody", party.name));
            }
        }
    }

    /// Everybody hangs up and leaves; nothing may be left of it.
    fn end(&mut self) {
        for at in 0..self.parties.len() {
            let now = self.clock.now();
            self.parties[at].leave(now);
            self.pass(Duration::from_millis(100));
        }
        // A BYE to where nobody is any more, or into a connection that says nothing, is given up after 32 s.
        self.pass(Duration::from_secs(if self.moving || self.frozen { 40 } else { 3 }));
        for party in &self.parties {
            let living: Vec<(SessionId, State)> = party.sessions.living();
            self.journal.check(living.is_empty(), || format!("{} still has {living:?}", party.name));
        }
        // Transactions are kept for 32 s (RFC 3261 §17), allocations for ten minutes.
        self.pass(Duration::from_secs(40));
        for party in &self.parties {
            self.fail_if(party.left_over());
        }
        self.pass(Duration::from_secs(620));
        let left = self.relay.allocations();
        self.journal.check(left == 0, || format!("the relay still has {left} allocations"));
    }
}

const ANSWERS: [(&str, &str); 5] = [
    ("accept", "audio,chat,file"),
    ("accept", "audio,chat"),
    ("accept", "audio"),
    ("accept", "chat"),
    ("reject", ""),
];

const DECISIONS: [(&str, &str); 5] = [
    ("accept-proposal", "audio,chat,file"),
    ("accept-proposal", "audio"),
    ("accept-proposal", "chat"),
    ("accept-proposal", "file"),
    ("reject-proposal", ""),
];

const DEEDS: [(&str, &str); 17] = [
    ("hold", ""),
    ("hold", ""),
    ("unhold", ""),
    ("unhold", ""),
    ("add", "chat"),
    ("add", "audio"),
    ("remove", "chat"),
    ("remove", "audio"),
    ("send-file", ""),
    ("request-file", ""),
    ("restart-ice", ""),
    ("dtmf", ""),
    ("record", ""),
    ("stop-recording", ""),
    ("message", ""),
    ("accept", "audio,chat"),
    ("terminate", ""),
];

fn good() -> Link {
    Link::delayed(Duration::from_millis(10))
}

/// Plays one world from its beginning to its end.
fn play(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let count = 2 + random.below(3);
    let mut world = World::new(seed, u8::try_from(count).expect("few"));
    let relay = world.relay.address;
    world.moving = random.chance(0.5);
    for party in &mut world.parties {
        match random.below(4) {
            0 => party.use_ice(None, false),
            1 => party.use_ice(Some(relay), false),
            2 => party.use_ice(Some(relay), true),
            _ => {}
        }
        if random.chance(0.3) {
            party.trickle(IceTrickle::Full);
        }
        party.register(world.clock.now());
    }
    world.unrest();
    world.heal();
    // What restarted last is back by then.
    world.pass(Duration::from_secs(40));
    world.everybody_is_registered();
    world.who_talks_is_heard();
    world.end();
    world.parties.iter().map(|party| party.sessions.count()).sum()
}

#[test]
fn a_few_worlds() {
    for seed in 1..=12 {
        assert!(play(seed) > 0, "nobody called anybody in world {seed}");
    }
}

/// `./dev simulate`: as many as SIMULATE_SEEDS says, or the one of SIMULATE_SEED.
#[test]
#[ignore = "takes minutes: ./dev simulate"]
fn many_worlds() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("SIMULATE_SEED") {
        println!("{} sessions", play(seed));
        return;
    }
    let seeds = number("SIMULATE_SEEDS").unwrap_or(1_000);
    let (mut sessions, mut failed) = (0, Vec::new());
    for seed in 1..=seeds {
        match std::panic::catch_unwind(|| play(seed)) {
            Ok(count) => sessions += count,
            Err(_) => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {failed:?}", failed.len());
    println!("{seeds} worlds, {sessions} sessions, {} virtual seconds each", UNREST.as_secs());
}
