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
//! A first comment that has the word `lossless` keeps a trace out of the runs with loss.

use std::time::Duration;

use testkit::{Clock, Link, Network, run};

use super::agent::{Agent, Ice, Log};

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
        self.lines.iter().take_while(|line| line.starts_with('#')).any(|line| line.contains("lossless"))
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
        let mut happened = vec![std::mem::take(&mut *log.borrow_mut())];
        for line in self.commands() {
            let words: Vec<&str> = line.trim_start_matches('@').split_whitespace().collect();
            let (alice_at, bob_at) = (alice.address, bob.address);
            let done = match words[0] {
                "alice" => alice.command(clock.now(), &words[1..], bob_at),
                _ => bob.command(clock.now(), &words[1..], alice_at),
            };
            if let Err(error) = done {
                log.borrow_mut().push(format!("{} ? {error}", words[0]));
            }
            if !line.starts_with("@@") {
                let until = clock.now() + pause;
                run(&mut clock, &mut network, &mut [&mut alice, &mut bob], until, |_| false);
                clock.advance_to(until);
            }
            happened.push(std::mem::take(&mut *log.borrow_mut()));
        }
        let packets = alice.packets.into_iter().chain(bob.packets).collect();
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
    let mark = format!("{agent} ! ");
    lines
        .filter_map(|line| line.strip_prefix(&mark))
        .filter(|line| !line.contains("GotRingIndication"))
        .map(str::to_owned)
        .collect()
}
