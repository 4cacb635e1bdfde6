//! A trace file: comments, commands and what must happen.
//!
//! ```text
//! # what it shows
//! @ alice connect audio      a command; then time passes
//! @@ bob accept audio        a command after which no time passes
//! alice > INVITE             a packet leaves Alice (the wire is watched at her side)
//! alice < 180 INVITE         a packet reaches her
//! bob ! SCSessionWillStart   a notification at Bob's
//! bob * ICE 1 with ICE 1 …   checks begin, in this generation of each side
//! ```
//! `@ wait 95` has that many seconds pass, `@ alice set …` none. Carol is there where a command is hers; sessions after an agent's
//! first are `alice/2`. A first comment that has the word `lossless` keeps a trace out of the runs with loss, as
//! does `by hand`, with which Bob is a [`Puppet`].

use std::time::Duration;

use testkit::{Clock, Host, Link, Network, run};

use super::agent::{Agent, Log, place};
use super::ice::Ice;
use super::puppet::Puppet;

pub(super) struct Script {
    lines: Vec<String>,
}

/// What happened after each command; the first is before any.
pub(super) type Happened = Vec<Vec<String>>;

impl Script {
    pub(super) fn parse(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect() }
    }

    pub(super) fn lossless(&self) -> bool {
        self.by_hand() || self.head("lossless")
    }

    /// Whether Bob is moved by hand.
    fn by_hand(&self) -> bool {
        self.head("by hand")
    }

    fn head(&self, word: &str) -> bool {
        self.lines.iter().take_while(|line| line.starts_with('#')).any(|line| line.contains(word))
    }

    /// `with ICE` in the first comment has both use it; `ICE of old` too, as RFC 5245 has it.
    fn ice(&self) -> Ice {
        let mut head = self.lines.iter().take_while(|line| line.starts_with('#'));
        let has = |line: &String, word| line.contains(word);
        match head.find(|line| has(line, "with ICE") || has(line, "ICE of old")) {
            None => Ice::No,
            Some(line) if has(line, "ICE of old") => Ice::Old,
            Some(_) => Ice::Yes,
        }
    }

    fn commands(&self) -> impl Iterator<Item = &String> {
        self.lines.iter().filter(|line| line.starts_with('@'))
    }

    /// Plays the commands; after each, `pause` of virtual time passes.
    pub(super) fn play(&self, seed: u64, link: Link, pause: Duration) -> Happened {
        self.run(seed, link, pause).0
    }

    /// All packets of both sides.
    pub(super) fn packets(&self, seed: u64, link: Link) -> Vec<bytes::Bytes> {
        self.run(seed, link, Duration::from_secs(5)).1
    }

    fn run(&self, seed: u64, link: Link, pause: Duration) -> (Happened, Vec<bytes::Bytes>) {
        let log = Log::default();
        let mut clock = Clock::new();
        let mut network = Network::new(seed);
        network.set_default(link);
        let start = clock.now();
        let mut alice = Agent::new("alice", 1, true, start, &log).with_ice(self.ice());
        let mut bob = Agent::new("bob", 2, false, start, &log).with_ice(self.ice());
        let mut carol = Agent::new("carol", 3, false, start, &log).with_ice(self.ice());
        let mut puppet = Puppet::new(place("bob"), place("alice"));
        let by_hand = self.by_hand();
        let mut happened = vec![std::mem::take(&mut *log.borrow_mut())];
        for line in self.commands() {
            let words: Vec<&str> = line.trim_start_matches('@').split_whitespace().collect();
            let (now, rest) = (clock.now(), &words[1..]);
            let mut pause = pause;
            let done = match words[0] {
                "wait" => {
                    pause = pause.max(Duration::from_secs(words[1].parse().expect("seconds")));
                    Ok(())
                }
                "alice" => alice.command(now, rest, place("bob")),
                "bob" if by_hand => {
                    puppet.command(rest);
                    Ok(())
                }
                "bob" => bob.command(now, rest, place("alice")),
                _ => carol.command(now, rest, place("alice")),
            };
            if let Err(error) = done {
                log.borrow_mut().push(format!("{} ? {error}", words[0]));
            }
            let changes_nothing = rest.first() == Some(&"set");
            if !line.starts_with("@@") && !changes_nothing {
                let until = clock.now() + pause;
                let bob: &mut dyn Host = if by_hand { &mut puppet } else { &mut bob };
                run(&mut clock, &mut network, &mut [&mut alice, bob, &mut carol], until, |_| false);
                clock.advance_to(until);
            }
            happened.push(std::mem::take(&mut *log.borrow_mut()));
        }
        let broken: Vec<_> =
            [&alice, &bob, &carol].into_iter().flat_map(|agent| &agent.rules.broken).collect();
        assert!(broken.is_empty(), "{:?}: {broken:?}", self.lines.first());
        let packets = alice.packets.into_iter().chain(bob.packets).chain(carol.packets).collect();
        (happened, packets)
    }

    /// The file as it would be if what happened were right.
    pub(super) fn merge(&self, happened: &Happened) -> String {
        let mut happened = happened.iter();
        let mut text = String::new();
        let mut push = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        for line in self.lines.iter().filter(|line| line.starts_with('#') || line.is_empty()) {
            push(line);
        }
        for line in happened.next().into_iter().flatten() {
            push(line);
        }
        for (command, lines) in self.commands().zip(happened) {
            push(command);
            for line in lines {
                push(line);
            }
        }
        text
    }

    /// What the file says is told at one side.
    pub(super) fn notifications(&self, agent: &str) -> Vec<String> {
        told(self.lines.iter(), agent)
    }
}

pub(super) fn notifications_of(happened: &Happened, agent: &str) -> Vec<String> {
    told(happened.iter().flatten(), agent)
}

fn told<'a>(lines: impl Iterator<Item = &'a String>, agent: &str) -> Vec<String> {
    let its = |line: &&String| {
        let who = line.split(' ').next().unwrap_or_default();
        line.contains(" ! ") && who.split('/').next() == Some(agent)
    };
    lines
        .filter(its)
        .filter(|line| !line.contains("GotRingIndication") && !line.contains("GotProgress"))
        .cloned()
        .collect()
}
