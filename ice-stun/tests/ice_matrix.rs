//! Every pair of NAT kinds, with and without a relay, over 10 % loss: what theory predicts, within 5 s of
//! virtual time. `BLESS=1 cargo test -p sipsimple-ice-stun --test ice_matrix` rewrites the table of the README.

mod ice_support;

use std::time::Duration;

use ice_stun::ice::{Config, State};
use ice_support::{MS, World, addr, nat};
use testkit::{Link, NatKind};

/// What stands between a host and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    /// Mapping and filtering (RFC 4787 §4.1, §5).
    Nat(NatKind, NatKind),
}

/// How the two hosts lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Each behind its own.
    Apart(Kind, Kind),
    /// Both behind the same one, on one network.
    Together { kind: (NatKind, NatKind), hairpin: bool },
    /// Both behind the same one, each behind another of its own inside: only hairpins help.
    Nested { kind: (NatKind, NatKind), hairpin: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Fails,
    Relayed,
    Direct,
}

use NatKind::{
    AddressAndPortDependent as Port, AddressDependent as Address, EndpointIndependent as Endpoint,
};

/// Whether ICE gets through directly: what follows from RFC 4787 for checks (and the checks that they
/// trigger) from where the STUN server saw each end.
fn predicts(place: Place) -> bool {
    match place {
        Place::Apart(Kind::None, _) | Place::Apart(_, Kind::None) => true,
        Place::Apart(Kind::Nat(m1, f1), Kind::Nat(m2, f2)) => through((m1, f1), (m2, f2)),
        Place::Together { .. } => true,
        Place::Nested { kind, hairpin } => hairpin && through(kind, kind),
    }
}

fn through((m1, f1): (NatKind, NatKind), (m2, f2): (NatKind, NatKind)) -> bool {
    match (m1 == Endpoint, m2 == Endpoint) {
        // Each knows where the other can be met; the checks themselves open the filters.
        (true, true) => true,
        // The other comes from a port that was not signalled: our filter must not look at ports.
        (true, false) => f1 != Port,
        (false, true) => f2 != Port,
        // Neither can be met where it was seen, unless someone lets strangers in there; then both must let
        // other ports in, and one must keep its port towards the other's address.
        (false, false) => {
            (f1 == Endpoint || f2 == Endpoint) && f1 != Port && f2 != Port && !(m1 == Port && m2 == Port)
        }
    }
}

struct Run {
    outcome: Outcome,
    took: Option<Duration>,
    packets: Option<u64>,
}

fn build(number: u64, place: Place) -> World {
    let mut world = World::new(number, Config::default(), Config::default());
    world.network.set_default(Link::delayed(10 * MS));
    let (a, b) = match place {
        Place::Apart(first, second) => {
            let mut host = |inside: &str, outside: &str, open: &str, kind| match kind {
                Kind::None => addr(open),
                Kind::Nat(mapping, filtering) => {
                    world.place_behind(inside, nat(outside, mapping, filtering));
                    addr(&format!("{inside}:5000"))
                }
            };
            (
                host("10.0.0.2", "203.0.113.1", "192.0.2.1:5000", first),
                host("10.1.0.2", "203.0.113.2", "192.0.2.2:5000", second),
            )
        }
        Place::Together { kind: (mapping, filtering), hairpin } => {
            let mut shared = nat("203.0.113.1", mapping, filtering);
            shared.hairpin = hairpin;
            let id = world.network.add_nat(shared);
            for host in ["10.0.0.2", "10.0.0.3"] {
                world.network.place(host.parse().expect("an address"), id);
            }
            (addr("10.0.0.2:5000"), addr("10.0.0.3:5000"))
        }
        Place::Nested { kind: (mapping, filtering), hairpin } => {
            let mut shared = nat("203.0.113.1", mapping, filtering);
            shared.hairpin = hairpin;
            let id = world.network.add_nat(shared);
            for (host, inner) in [("10.0.0.2", "100.64.0.1"), ("10.1.0.2", "100.64.0.2")] {
                world.place_behind(host, nat(inner, Endpoint, Endpoint));
                world.network.place(inner.parse().expect("an address"), id);
            }
            (addr("10.0.0.2:5000"), addr("10.1.0.2:5000"))
        }
    };
    world.add_host(0, 1, a);
    world.add_host(1, 1, b);
    world
}

fn run(number: u64, place: Place, relay: bool) -> Run {
    let mut world = build(number, place);
    for end in [0, 1] {
        let base = world.ends[end].sockets[0].1;
        world.add_reflexive(end, 1, base);
        if relay {
            world.add_relayed(end, 1, base);
        }
    }
    world.network.set_default(Link { loss: 0.1, jitter: 5 * MS, ..Link::delayed(20 * MS) });
    let start = world.clock.elapsed();
    world.signal();
    let done = world.run_until_completed(Duration::from_secs(5));
    let connected = |state: &ice_stun::ice::Event| {
        matches!(
            state,
            ice_stun::ice::Event::StateChanged(State::Connected)
                | ice_stun::ice::Event::StateChanged(State::Completed)
        )
    };
    let took = world.ends.iter().map(|end| end.when(connected)).max().flatten().map(|at| at - start);
    let packets = world.ends[0].sent_to_selected.zip(world.ends[1].sent_to_selected).map(|(a, b)| a + b);
    if !done {
        assert!(
            world.ends.iter().all(|end| end.selected(1).is_none_or(|pair| !pair.nominated)),
            "{place:?}: one end only"
        );
        return Run { outcome: Outcome::Fails, took: None, packets: None };
    }
    let pairs = [0, 1].map(|end| world.ends[end].selected(1).expect("it is completed"));
    let is_relay = |address: std::net::SocketAddr| address.ip() == addr(ice_support::RELAY).ip();
    let relayed = pairs.map(|pair| is_relay(pair.path.base) || is_relay(pair.path.remote));
    assert_eq!(relayed[0], relayed[1], "{place:?}: {pairs:?}");
    world.assert_media_flows(1);
    let outcome = if relayed[0] { Outcome::Relayed } else { Outcome::Direct };
    Run { outcome, took, packets }
}

fn kinds() -> Vec<Kind> {
    let nats = NatKind::ALL.into_iter().flat_map(|m| NatKind::ALL.map(|f| Kind::Nat(m, f)));
    std::iter::once(Kind::None).chain(nats).collect()
}

fn name(kind: Kind) -> String {
    let letter = |kind| match kind {
        Endpoint => "E",
        Address => "A",
        Port => "P",
    };
    match kind {
        Kind::None => "none".to_owned(),
        Kind::Nat(mapping, filtering) => format!("{}/{}", letter(mapping), letter(filtering)),
    }
}

fn mark(direct: bool) -> &'static str {
    if direct { "D" } else { "r" }
}

/// The table, and the figures under it.
fn table() -> (String, Vec<Duration>, Vec<u64>, usize) {
    let (mut wrong, mut times, mut packets, mut cells) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut try_cell = |place: Place| {
        let direct = predicts(place);
        for relay in [false, true] {
            cells += 1;
            let got = run(cells as u64, place, relay);
            let expected = match (direct, relay) {
                (true, _) => Outcome::Direct,
                (false, true) => Outcome::Relayed,
                (false, false) => Outcome::Fails,
            };
            if got.outcome != expected {
                wrong.push(format!("{place:?}, relay {relay}: {:?}, not {expected:?}", got.outcome));
            }
            times.extend(got.took);
            packets.extend(got.packets);
        }
        mark(direct)
    };
    let all = kinds();
    let mut text = String::from("| |");
    all.iter().for_each(|kind| text.push_str(&format!(" {} |", name(*kind))));
    text.push_str(&format!("\n| --- |{}\n", " --- |".repeat(all.len())));
    for first in &all {
        text.push_str(&format!("| **{}** |", name(*first)));
        for second in &all {
            text.push_str(&format!(" {} |", try_cell(Place::Apart(*first, *second))));
        }
        text.push('\n');
    }
    let nats: Vec<_> = NatKind::ALL.into_iter().flat_map(|m| NatKind::ALL.map(|f| (m, f))).collect();
    text.push_str("\n| both behind one |");
    nats.iter().for_each(|(m, f)| text.push_str(&format!(" {} |", name(Kind::Nat(*m, *f)))));
    text.push_str(&format!("\n| --- |{}\n", " --- |".repeat(nats.len())));
    for hairpin in [false, true] {
        let with = if hairpin { "with hairpin" } else { "without hairpin" };
        text.push_str(&format!("| on one network, {with} |"));
        for kind in &nats {
            text.push_str(&format!(" {} |", try_cell(Place::Together { kind: *kind, hairpin })));
        }
        text.push_str(&format!("\n| each behind one more, {with} |"));
        for kind in &nats {
            text.push_str(&format!(" {} |", try_cell(Place::Nested { kind: *kind, hairpin })));
        }
        text.push('\n');
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    (text, times, packets, cells)
}

#[test]
fn every_pair_of_nats_has_the_outcome_that_theory_predicts() {
    const BEGIN: &str = "<!-- the matrix begins: tests/ice_matrix.rs writes it -->\n";
    const END: &str = "<!-- the matrix ends -->\n";
    let (text, mut times, mut packets, cells) = table();
    times.sort_unstable();
    packets.sort_unstable();
    let median = |values: &[u64]| values[values.len() / 2];
    let millis: Vec<u64> = times.iter().map(|time| u64::try_from(time.as_millis()).expect("short")).collect();
    let text = format!(
        "{text}\n{cells} runs, half of them without a relay. Both ends have a pair that works after {} ms \
         (median; 95 %: {} ms; all: {} ms), with {} packets of both ends (median; all: {}).\n",
        median(&millis),
        millis[millis.len() * 95 / 100],
        millis[millis.len() - 1],
        median(&packets),
        packets[packets.len() - 1],
    );
    println!("{text}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has a place for the table");
    let (old, after) = rest.split_once(END).expect("the place has an end");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}\n{text}\n{END}{after}")).expect("the README is ours");
        return;
    }
    assert_eq!(old.trim(), text.trim(), "the README tells another table: BLESS=1 writes this one");
}

#[test]
fn theory_holds_without_loss_whatever_the_seed() {
    for (number, place) in [
        Place::Apart(Kind::Nat(Address, Endpoint), Kind::Nat(Port, Address)),
        Place::Apart(Kind::Nat(Port, Endpoint), Kind::Nat(Port, Endpoint)),
        Place::Apart(Kind::Nat(Endpoint, Address), Kind::Nat(Port, Port)),
        Place::Apart(Kind::Nat(Endpoint, Port), Kind::Nat(Address, Endpoint)),
    ]
    .into_iter()
    .enumerate()
    {
        for more in 0..5 {
            let got = run(1_000 + 10 * number as u64 + more, place, false);
            assert_eq!(got.outcome == Outcome::Direct, predicts(place), "{place:?}");
        }
    }
}

#[test]
fn what_cannot_work_is_given_up_in_time() {
    let kind = Kind::Nat(Port, Port);
    let mut world = build(5, Place::Apart(kind, kind));
    for end in [0, 1] {
        let base = world.ends[end].sockets[0].1;
        world.add_reflexive(end, 1, base);
    }
    world.signal();
    assert!(world.run(Duration::from_secs(60), |world| world.both(State::Failed)));
    let at = world.clock.elapsed().as_secs();
    assert!((39..=45).contains(&at), "{at} s");
    let sent: Vec<u64> = world.ends.iter().map(|end| end.sent).collect();
    world.run(Duration::from_secs(60), |_| false);
    assert_eq!(sent, world.ends.iter().map(|end| end.sent).collect::<Vec<_>>(), "then it is silent");
}
