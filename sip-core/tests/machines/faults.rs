//! What networks do to calls.

use crate::{
    pair::{Manner, Pair},
    solo::seconds,
};
use sip_core::{StatusCode, endpoint::Transport};
use std::time::Duration;
use testkit::Link;

fn lossy(loss: f64) -> Link {
    Link { delay: Duration::from_millis(20), duplicate: 0.05, reorder: 0.05, ..Link::lossy(loss) }
}

#[test]
fn every_call_connects_at_30_percent_loss() {
    let mut times = Vec::new();
    for seed in 0..400 {
        let mut pair = Pair::new(seed, &[Transport::Udp]);
        pair.network.set_default(lossy(0.3));
        let call = pair.call("sip:bob@192.0.2.2");
        let start = pair.clock.now();
        let mut answered = None;
        while pair.alice.up.is_empty() || pair.bob.up.is_empty() {
            pair.run(Duration::from_millis(50));
            let time = pair.clock.now() - start;
            assert!(time < seconds(32.0), "seed {seed}: {:?} {:?}", pair.alice.log, pair.bob.log);
            if !pair.alice.up.is_empty() {
                answered.get_or_insert(time);
            }
        }
        times.extend(answered);
        pair.hang_up(call);
        pair.run(seconds(200.0));
        assert_eq!(pair.alice.over, [call], "seed {seed}");
        assert_eq!(pair.bob.over.len(), 1, "seed {seed}");
        pair.assert_clean();
    }
    times.sort();
    let p95 = times[times.len() * 95 / 100];
    assert!(p95 <= seconds(4.0), "p95 {p95:?}");
}

#[test]
fn refusals_and_cancels_survive_loss() {
    for seed in 0..200 {
        let mut pair = Pair::new(seed, &[Transport::Udp]);
        pair.network.set_default(lossy(0.3));
        pair.bob.manner = if seed % 2 == 0 { Manner::Refuses } else { Manner::Rings };
        let call = pair.call("sip:bob@192.0.2.2");
        if pair.bob.manner == Manner::Rings {
            pair.run(Duration::from_millis(seed * 20));
            pair.alice.endpoint.cancel(pair.clock.now(), call).expect("it rings");
        }
        pair.run(seconds(200.0));
        assert_eq!(pair.alice.over, [call], "seed {seed}");
        // Where no provisional came through, no CANCEL was allowed: the callee still rings.
        for call in std::mem::take(&mut pair.bob.ringing) {
            let now = pair.clock.now();
            drop(pair.bob.endpoint.reject(now, call, StatusCode::TEMPORARILY_UNAVAILABLE, None, Vec::new()));
        }
        pair.run(seconds(100.0));
        assert!(pair.bob.over.len() <= 1, "seed {seed}");
        pair.assert_clean();
    }
}

#[test]
fn random_operations_leave_nothing_over() {
    for seed in 0..60_u64 {
        let mut pair = Pair::new(seed, &[Transport::Udp]);
        pair.network.set_default(lossy(0.1));
        let mut random = testkit::Random::new(seed);
        let mut calls = Vec::new();
        for _ in 0..40 {
            let now = pair.clock.now();
            let pick = random.below(8);
            pair.bob.manner =
                [Manner::Answers, Manner::Answers, Manner::Refuses, Manner::Rings][random.below(4)];
            let own: Option<sip_core::endpoint::Call> = calls.get(random.below(calls.len().max(1))).copied();
            let theirs = pair.bob.up.get(random.below(pair.bob.up.len().max(1))).copied();
            // Refused commands are part of it.
            match (pick, own, theirs) {
                (0 | 1, ..) => calls.push(pair.call("sip:bob@192.0.2.2")),
                (2, Some(call), _) => drop(pair.alice.endpoint.cancel(now, call)),
                (3, Some(call), _) => drop(pair.alice.endpoint.bye(now, call, Vec::new())),
                (4, Some(call), _) => drop(pair.alice.endpoint.reinvite(now, call, None)),
                (5, _, Some(call)) => drop(pair.bob.endpoint.reinvite(now, call, None)),
                (6, _, Some(call)) => drop(pair.bob.endpoint.bye(now, call, Vec::new())),
                (7, Some(call), _) => drop(pair.alice.endpoint.update(now, call, None)),
                _ => {}
            }
            pair.run(Duration::from_millis(random.below(900) as u64));
        }
        for call in std::mem::take(&mut pair.bob.ringing) {
            let now = pair.clock.now();
            drop(pair.bob.endpoint.reject(now, call, StatusCode::TEMPORARILY_UNAVAILABLE, None, Vec::new()));
        }
        for call in &calls {
            let now = pair.clock.now();
            if pair.alice.endpoint.bye(now, *call, Vec::new()).is_err() {
                drop(pair.alice.endpoint.cancel(now, *call));
            }
        }
        pair.run(seconds(300.0));
        calls.sort();
        pair.alice.over.sort();
        assert_eq!(pair.alice.over, calls, "seed {seed}: every call ends exactly once");
        pair.assert_clean();
    }
}

#[test]
fn nobody_there() {
    let mut pair = Pair::new(1, &[Transport::Udp]);
    pair.network.set_default(Link::down());
    let call = pair.call("sip:bob@192.0.2.2");
    pair.run(seconds(33.0));
    assert_eq!(pair.alice.over, [call]);
    pair.assert_clean();
}

#[test]
fn the_peer_vanishes_during_the_call() {
    let mut pair = Pair::new(1, &[Transport::Udp]);
    let call = pair.call("sip:bob@192.0.2.2");
    pair.run(seconds(1.0));
    assert_eq!(pair.alice.up, [call]);
    pair.network.set_default(Link::down());
    pair.hang_up(call);
    pair.run(seconds(33.0));
    assert_eq!(pair.alice.over, [call], "BYE gives up after timer F");
}
