//! Connections that are cut at any byte: nothing is lost without being told, nothing is shown twice.

use std::collections::BTreeMap;

use msrp_cpim::{
    Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, SessionConfig, SessionId,
    SessionMemory,
};
use testkit::{Clock, Random};

const A: &str = "msrp://a.example:1001/alice;tcp";
const B: &str = "msrp://b.example:1002/bob;tcp";

struct End {
    machine: Connection,
    session: SessionId,
}

impl End {
    fn new(clock: &Clock, random: &mut Random, local: &str, remote: &str, memory: SessionMemory) -> Self {
        let mut seed = [0; 32];
        seed.fill_with(|| random.below(256) as u8);
        let mut machine = Connection::new(Config::default(), seed);
        let path = |text| MsrpUri::parse_path(text).unwrap();
        let config = SessionConfig {
            memory,
            max_remembered: 100_000,
            ..SessionConfig::new(path(local), path(remote), local == A)
        };
        let session = machine.add_session(clock.now(), config).unwrap();
        machine.handle_input(clock.now(), Input::Connected);
        Self { machine, session }
    }

    fn drain(&mut self, clock: &Clock) -> (Vec<u8>, Vec<Event>) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        loop {
            match self.machine.poll_output() {
                Output::Write(data) => {
                    self.machine.handle_input(clock.now(), Input::Written(data.len()));
                    bytes.extend_from_slice(&data);
                }
                Output::Event(event) => events.push(event),
                Output::Disconnect => {}
                Output::Idle(_) => return (bytes, events),
            }
        }
    }
}

/// What becomes of the messages, on the side that sends them and the one that is shown them.
#[derive(Default)]
struct Outcome {
    /// Fates told for each `send` that was taken.
    fates: BTreeMap<String, u32>,
    delivered: BTreeMap<String, u32>,
    shown: BTreeMap<String, u32>,
}

impl Outcome {
    /// Gives back the messages that may have to be sent again.
    fn take(&mut self, events: Vec<Event>) -> Vec<String> {
        let mut unsure = Vec::new();
        for event in events {
            match event {
                Event::Message { message_id, .. } => *self.shown.entry(message_id).or_default() += 1,
                Event::Delivered { message_id, .. } => {
                    *self.fates.entry(message_id.clone()).or_default() += 1;
                    *self.delivered.entry(message_id).or_default() += 1;
                }
                Event::NotDelivered { message_id, .. } => {
                    *self.fates.entry(message_id.clone()).or_default() += 1;
                    unsure.push(message_id);
                }
                _ => {}
            }
        }
        unsure
    }
}

fn body(number: usize) -> Vec<u8> {
    format!("message {number} ").repeat(1 + number % 300).into_bytes()
}

/// 10,000 messages over connections that are cut after a random number of bytes in either direction. Whoever
/// sends again what may have been lost, with the same identifier, gets each message delivered exactly once.
#[test]
fn ten_thousand_messages_over_connections_that_break() {
    const MESSAGES: usize = 10_000;
    let mut random = Random::new(4975);
    let clock = Clock::new();
    let mut outcome = Outcome::default();
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    let mut waiting: Vec<usize> = (0..MESSAGES).rev().collect();
    let (mut memory_a, mut memory_b) = (SessionMemory::default(), SessionMemory::default());
    let mut connections = 0;
    while !waiting.is_empty() {
        connections += 1;
        assert!(connections < 5_000, "{} messages are left", waiting.len());
        let mut a = End::new(&clock, &mut random, A, B, std::mem::take(&mut memory_a));
        let mut b = End::new(&clock, &mut random, B, A, std::mem::take(&mut memory_b));
        let mut budget = random.below(400_000);
        for _ in 0..waiting.len().min(1 + random.below(120)) {
            let number = waiting.pop().expect("it is not empty");
            let id = format!("m{number:07}");
            let message = OutgoingMessage {
                message_id: Some(id.clone()),
                ..OutgoingMessage::new("text/plain", body(number))
            };
            a.machine.send(clock.now(), a.session, message).expect("the queue has room");
            *taken.entry(id).or_default() += 1;
        }
        let mut unsure = Vec::new();
        loop {
            let mut moved = false;
            for forwards in [true, false] {
                let (from, to) = if forwards { (&mut a, &mut b) } else { (&mut b, &mut a) };
                let (bytes, events) = from.drain(&clock);
                unsure.extend(outcome.take(events));
                let length = bytes.len().min(budget);
                budget -= length;
                // In pieces of any size.
                let mut rest = &bytes[..length];
                while !rest.is_empty() {
                    moved = true;
                    let (piece, after) = rest.split_at(1 + random.below(rest.len()));
                    to.machine.handle_input(clock.now(), Input::Received(piece));
                    rest = after;
                }
            }
            if !moved || budget == 0 {
                break;
            }
        }
        for end in [&mut a, &mut b] {
            end.machine.handle_input(clock.now(), Input::Closed);
            let (_, events) = end.drain(&clock);
            unsure.extend(outcome.take(events));
            assert_eq!(end.machine.outstanding(), 0);
        }
        (memory_a, memory_b) = (a.machine.take_memory(a.session), b.machine.take_memory(b.session));
        waiting.extend(unsure.iter().map(|id| id[1..].parse::<usize>().expect("our own identifier")));
    }
    assert!(connections > 100, "{connections} connections were cut");
    assert_eq!(outcome.fates, taken, "each time a message was taken, its fate was told once");
    assert_eq!(outcome.delivered.len(), MESSAGES);
    assert!(outcome.delivered.values().all(|times| *times == 1), "delivered once each");
    assert_eq!(outcome.shown.len(), MESSAGES);
    assert!(outcome.shown.values().all(|times| *times == 1), "shown once each");
}

/// Bytes in one piece or in any pieces: the same events.
#[test]
fn byte_by_byte_is_as_whole() {
    let clock = Clock::new();
    let mut random = Random::new(7);
    let mut a = End::new(&clock, &mut random, A, B, SessionMemory::default());
    for number in 0..60 {
        let message = OutgoingMessage {
            message_id: Some(format!("m{number:07}")),
            ..OutgoingMessage::new("text/plain", body(number * 37))
        };
        a.machine.send(clock.now(), a.session, message).expect("the queue has room");
    }
    let (bytes, _) = a.drain(&clock);
    let run = |pieces: &mut dyn FnMut(usize) -> usize| {
        let mut end = End::new(&clock, &mut Random::new(8), B, A, SessionMemory::default());
        let (mut rest, mut told, mut written) = (bytes.as_slice(), Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(pieces(rest.len()).clamp(1, rest.len()));
            end.machine.handle_input(clock.now(), Input::Received(piece));
            let (answers, events) = end.drain(&clock);
            written.extend(answers);
            told.extend(events);
            rest = after;
        }
        (told, written)
    };
    let whole = run(&mut |left| left);
    assert!(whole.0.iter().filter(|event| matches!(event, Event::Message { .. })).count() > 50);
    assert!(run(&mut |_| 1) == whole, "byte by byte");
    for seed in 0..10 {
        let mut random = Random::new(seed);
        assert!(run(&mut |left| random.below(left.min(5_000))) == whole, "seed {seed}");
    }
}
