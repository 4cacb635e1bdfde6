//! Commands at random times on both sides, under loss: whatever they do, only listed changes of
//! state happen, every session ends exactly once, and nothing is left over.

use std::time::Duration;

use testkit::{Clock, Link, Network, Random, run};

use super::agent::{Agent, Log};
use crate::session::State;

const COMMANDS: [&str; 21] = [
    "accept audio,chat,file",
    "send-file photo.jpg",
    "request-file song.wav",
    "accept-proposal file",
    "accept-proposal audio,chat,file",
    "accept audio",
    "accept audio,chat",
    "accept chat",
    "reject",
    "hold",
    "unhold",
    "add chat",
    "add audio",
    "remove chat",
    "remove audio",
    "accept-proposal audio,chat",
    "accept-proposal chat",
    "reject-proposal",
    "record file.wav",
    "message hello",
    "terminate",
];

#[test]
fn any_order_of_commands_ends_well() {
    for seed in 1..=300 {
        let mut random = Random::new(seed);
        let log = Log::default();
        let mut clock = Clock::new();
        let mut network = Network::new(seed);
        let loss = if random.chance(0.5) { 0.2 } else { 0.0 };
        let jitter = random.up_to(Duration::from_millis(30));
        network.set_default(Link { delay: Duration::from_millis(10), jitter, ..Link::lossy(loss) });
        let start = clock.now();
        let mut alice = Agent::new("alice", 1, true, start, &log);
        let mut bob = Agent::new("bob", 2, false, start, &log);
        let (alice_at, bob_at) = (alice.address, bob.address);
        let streams = *random.pick(&[
            "connect audio",
            "connect audio,chat",
            "connect chat",
            "connect file",
            "connect audio,file",
        ]);
        let words: Vec<&str> = streams.split(' ').collect();
        alice.command(clock.now(), &words, bob_at).expect("it may connect");
        for _ in 0..random.below(30) {
            let until = clock.now() + random.up_to(Duration::from_millis(600));
            run(&mut clock, &mut network, &mut [&mut alice, &mut bob], until, |_| false);
            clock.advance_to(until);
            let words: Vec<&str> = random.pick(&COMMANDS).split(' ').collect();
            let agent = if random.chance(0.5) { &mut alice } else { &mut bob };
            if agent.session.is_some() {
                // What is not legal now is refused, and changes nothing.
                let before = agent.states.len();
                if agent.command(clock.now(), &words, alice_at).is_err() {
                    assert_eq!(agent.states.len(), before);
                }
            }
        }
        let context = || format!("seed {seed}\n{}", log.borrow().join("\n"));
        for _ in 0..4 {
            let until = clock.now() + Duration::from_secs(100);
            run(&mut clock, &mut network, &mut [&mut alice, &mut bob], until, |_| false);
            clock.advance_to(until);
            for agent in [&mut alice, &mut bob] {
                if agent.session.is_some() {
                    let _ = agent.command(clock.now(), &["terminate"], bob_at);
                }
            }
        }
        for agent in [&alice, &bob] {
            for (index, (id, from, to)) in agent.states.iter().enumerate() {
                assert!(from.may_become(*to), "{from} to {to}: {}", context());
                let last = agent.states[..index].iter().rev().find(|(other, _, _)| other == id);
                let before = last.map_or(State::Null, |(_, _, state)| *state);
                assert_eq!(before, *from, "{}", context());
            }
            let mut started: Vec<_> = agent.states.iter().map(|(id, _, _)| *id).collect();
            started.sort();
            started.dedup();
            let mut ended = agent.ended.clone();
            ended.sort();
            assert_eq!(started, ended, "{} at {}'s: {}", "each session ends once", agent.name, context());
            assert!(agent.engine.is_settled(), "{} has something left: {}", agent.name, context());
        }
    }
}
