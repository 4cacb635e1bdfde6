use std::time::Duration;

use super::*;
use crate::Clock;

const MS: Duration = Duration::from_millis(1);

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Everything that arrives, with the time of arrival.
fn drain(network: &mut Network, clock: &mut Clock) -> Vec<Delivery> {
    let mut all = Vec::new();
    while let Some(at) = network.next_at() {
        clock.advance_to(at);
        all.extend(network.deliver(clock.now()));
    }
    all
}

fn payloads(all: &[Delivery]) -> Vec<u32> {
    all.iter()
        .map(|delivery| match delivery {
            Delivery::Datagram(d) => u32::from_be_bytes(d.data.as_slice().try_into().expect("four bytes")),
            Delivery::Stream(event) => panic!("{event:?}"),
        })
        .collect()
}

fn send_numbers(link: Link, count: u32) -> (Vec<u32>, Stats) {
    let (mut clock, mut network) = (Clock::new(), Network::new(11));
    network.set_default(link);
    for n in 0..count {
        network.send(clock.now(), addr("192.0.2.1:1"), addr("192.0.2.2:2"), n.to_be_bytes());
        clock.advance(MS);
    }
    (payloads(&drain(&mut network, &mut clock)), network.stats())
}

#[test]
fn a_perfect_path_keeps_all_in_order_at_once() {
    let (got, stats) = send_numbers(Link::default(), 100);
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    assert_eq!(stats, Stats { sent: 100, delivered: 100, ..Stats::default() });
}

#[test]
fn jitter_alone_keeps_the_order() {
    let (got, _) = send_numbers(Link { delay: 20 * MS, jitter: 50 * MS, ..Link::default() }, 1_000);
    assert!(got.is_sorted());
    assert_eq!(got.len(), 1_000);
}

#[test]
fn delay_is_kept_and_jitter_is_bounded() {
    let (mut clock, mut network) = (Clock::new(), Network::new(1));
    network.set_default(Link { delay: 20 * MS, jitter: 10 * MS, ..Link::default() });
    for _ in 0..200 {
        let sent = clock.now();
        network.send(sent, addr("192.0.2.1:1"), addr("192.0.2.2:2"), b"x");
        let took = network.next_at().expect("on its way") - sent;
        assert!((20 * MS..30 * MS).contains(&took), "{took:?}");
        drain(&mut network, &mut clock);
    }
}

#[test]
fn loss_duplication_and_reordering_hold_their_rates() {
    let link = Link { loss: 0.3, duplicate: 0.05, reorder: 0.05, ..Link::default() };
    let (got, stats) = send_numbers(link, 10_000);
    assert!((2_800..3_200).contains(&stats.lost), "{stats:?}");
    assert!((290..420).contains(&stats.duplicated), "{stats:?}");
    assert!((290..420).contains(&stats.reordered), "{stats:?}");
    assert_eq!(got.len() as u64, stats.delivered);
    assert_eq!(stats.delivered, stats.sent - stats.lost + stats.duplicated);
    assert!(!got.is_sorted());
}

#[test]
fn bursts_have_their_mean_length_and_the_same_share() {
    let (got, stats) = send_numbers(Link { loss: 0.1, burst: 4.0, ..Link::default() }, 50_000);
    assert!((4_300..5_700).contains(&stats.lost), "{stats:?}");
    let runs = got.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    let mean = stats.lost as f64 / runs as f64;
    assert!((3.4..4.6).contains(&mean), "{mean}");
}

#[test]
fn a_down_path_and_a_small_mtu_lose_all() {
    assert_eq!(send_numbers(Link::down(), 50).0, []);
    assert_eq!(send_numbers(Link { mtu: 3, ..Link::default() }, 50).1.lost, 50);
}

#[test]
fn links_are_of_one_direction_and_pair() {
    let (mut clock, mut network) = (Clock::new(), Network::new(1));
    let (a, b, c) = (addr("192.0.2.1:1"), addr("192.0.2.2:1"), addr("192.0.2.3:1"));
    network.set_link(a.ip(), b.ip(), Link::down());
    for (from, to) in [(a, b), (b, a), (a, c)] {
        network.send(clock.now(), from, to, b"");
    }
    let got: Vec<_> = drain(&mut network, &mut clock).iter().map(Delivery::to).collect();
    assert_eq!(got, [a, c]);
}

#[test]
fn the_same_seed_repeats_itself() {
    let link = Link { jitter: 9 * MS, loss: 0.2, duplicate: 0.2, reorder: 0.2, ..Link::default() };
    assert_eq!(send_numbers(link.clone(), 500), send_numbers(link, 500));
}

/// Two hosts behind NATs of their own, and a public one.
struct Nats {
    clock: Clock,
    network: Network,
}

const A: &str = "10.0.1.2:5000";
const B: &str = "10.0.2.2:5000";
const PUBLIC: &str = "192.0.2.9:3478";

impl Nats {
    fn new(mapping: NatKind, filtering: NatKind) -> Self {
        let mut network = Network::new(1);
        for (external, host) in [("203.0.113.1:0", A), ("203.0.113.2:0", B)] {
            let nat = network.add_nat(Nat::new(addr(external).ip(), mapping, filtering));
            network.place(addr(host).ip(), nat);
        }
        Self { clock: Clock::new(), network }
    }

    /// What arrives at `to` from `from`: the sender as seen there.
    fn send(&mut self, from: &str, to: SocketAddr) -> Option<Datagram> {
        self.network.send(self.clock.now(), addr(from), to, b"x");
        drain(&mut self.network, &mut self.clock).pop().map(|delivery| match delivery {
            Delivery::Datagram(datagram) => datagram,
            Delivery::Stream(event) => panic!("{event:?}"),
        })
    }
}

#[test]
fn punching_works_where_the_mapping_or_the_filter_is_endpoint_independent() {
    for mapping in NatKind::ALL {
        for filtering in NatKind::ALL {
            let mut nats = Nats::new(mapping, filtering);
            let seen_a = nats.send(A, addr(PUBLIC)).expect("out").from;
            let seen_b = nats.send(B, addr(PUBLIC)).expect("out").from;
            assert_eq!(seen_a.ip(), addr("203.0.113.1:0").ip());
            assert_eq!(nats.send(B, addr(A)), None, "inner addresses lead nowhere");
            let first = nats.send(A, seen_b).is_some();
            assert_eq!(first, filtering == NatKind::EndpointIndependent, "{mapping:?} {filtering:?}");
            let then = nats.send(B, seen_a).is_some();
            let punches = [mapping, filtering].contains(&NatKind::EndpointIndependent);
            assert_eq!(then, punches, "{mapping:?} {filtering:?}");
        }
    }
}

#[test]
fn a_filter_is_asked_on_arrival() {
    let mut nats = Nats::new(NatKind::EndpointIndependent, NatKind::AddressAndPortDependent);
    let seen_a = nats.send(A, addr(PUBLIC)).expect("out").from;
    let seen_b = nats.send(B, addr(PUBLIC)).expect("out").from;
    nats.network.set_default(Link::delayed(20 * MS));
    let now = nats.clock.now();
    nats.network.send(now, addr(A), seen_b, b"from a");
    nats.network.send(now + 5 * MS, addr(B), seen_a, b"from b");
    let got = drain(&mut nats.network, &mut nats.clock);
    assert_eq!(got.len(), 2, "each opened its own side before the other's datagram came: {got:?}");
}

#[test]
fn hairpins_work_where_they_are_made() {
    for hairpin in [false, true] {
        let mut network = Network::new(1);
        let config = Nat {
            hairpin,
            ..Nat::new(addr("203.0.113.1:0").ip(), NatKind::EndpointIndependent, NatKind::EndpointIndependent)
        };
        let nat = network.add_nat(config);
        let (a, b) = ("10.0.1.2:5000", "10.0.1.3:5000");
        network.place(addr(a).ip(), nat);
        network.place(addr(b).ip(), nat);
        let mut nats = Nats { clock: Clock::new(), network };
        let seen_b = nats.send(b, addr(PUBLIC)).expect("out").from;
        let got = nats.send(a, seen_b);
        assert_eq!(got.is_some(), hairpin);
        if let Some(got) = got {
            assert_eq!(got.from.ip(), addr("203.0.113.1:0").ip(), "RFC 4787 §6: the outer source");
            assert_eq!(got.to, addr(b));
        }
        assert_eq!(nats.send(a, addr(b)).expect("inside").from, addr(a), "neighbours see each other plainly");
    }
}

#[test]
fn nats_nest() {
    let mut nats = Nats::new(NatKind::EndpointIndependent, NatKind::AddressDependent);
    let outer =
        Nat::new(addr("198.51.100.1:0").ip(), NatKind::EndpointIndependent, NatKind::EndpointIndependent);
    let outer = nats.network.add_nat(outer);
    nats.network.place(addr("203.0.113.1:0").ip(), outer);
    let seen = nats.send(A, addr(PUBLIC)).expect("out").from;
    assert_eq!(seen.ip(), addr("198.51.100.1:0").ip());
    assert_eq!(nats.send(PUBLIC, seen).expect("back in").to, addr(A));
    assert_eq!(nats.send("192.0.2.77:1", seen), None, "the inner NAT filters");
    nats.network.restart_nat(outer);
    assert_eq!(nats.network.mappings(outer), 0);
    assert_eq!(nats.send(PUBLIC, seen), None);
}

fn whats(all: Vec<Delivery>) -> Vec<(End, StreamWhat)> {
    all.into_iter()
        .map(|delivery| match delivery {
            Delivery::Stream(event) => (event.end, event.what),
            Delivery::Datagram(datagram) => panic!("{datagram:?}"),
        })
        .collect()
}

#[test]
fn a_stream_is_opened_carries_bytes_in_order_and_closes() {
    let (mut clock, mut network) = (Clock::new(), Network::new(5));
    let link = Link { delay: 10 * MS, jitter: 30 * MS, loss: 0.3, shred: true, ..Link::default() };
    network.set_default(link);
    let (from, to) = (addr("192.0.2.1:40000"), addr("192.0.2.2:5060"));
    network.listen(to);
    let id = network.connect(clock.now(), from, to);
    let up = whats(drain(&mut network, &mut clock));
    assert_eq!(up, [(End::Acceptor, StreamWhat::Accepted), (End::Opener, StreamWhat::Connected)]);
    assert_eq!(network.streams().collect::<Vec<_>>(), [(id, from, to)]);

    let text: Vec<u8> = (0..=255).cycle().take(3_000).collect();
    for piece in text.chunks(500) {
        network.write(clock.now(), id, End::Opener, piece);
    }
    network.close(clock.now(), id, End::Opener);
    network.write(clock.now(), id, End::Opener, b"after the close");
    network.write(clock.now(), id, End::Acceptor, b"half open");
    let (mut got, mut pieces, mut back) = (Vec::new(), 0, Vec::new());
    let all = whats(drain(&mut network, &mut clock));
    assert_eq!(
        all.iter().rfind(|(end, _)| *end == End::Acceptor),
        Some(&(End::Acceptor, StreamWhat::Closed))
    );
    for (end, what) in all {
        match (end, what) {
            (End::Acceptor, StreamWhat::Data(data)) => {
                pieces += 1;
                got.extend(data);
            }
            (End::Opener, StreamWhat::Data(data)) => back.extend(data),
            (End::Acceptor, StreamWhat::Closed) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, text);
    assert!(pieces > 6, "shredded");
    assert_eq!(back, b"half open");
}

#[test]
fn streams_are_refused_cut_and_frozen() {
    let (mut clock, mut network) = (Clock::new(), Network::new(5));
    let (from, to) = (addr("192.0.2.1:40000"), addr("192.0.2.2:5060"));
    network.connect(clock.now(), from, to);
    assert_eq!(whats(drain(&mut network, &mut clock)), [(End::Opener, StreamWhat::Refused)]);

    network.listen(to);
    network.set_default(Link::delayed(10 * MS));
    let id = network.connect(clock.now(), from, to);
    drain(&mut network, &mut clock);
    network.write(clock.now(), id, End::Opener, b"lost in the cut");
    network.cut(clock.now(), id);
    network.cut(clock.now(), id);
    let both = [(End::Opener, StreamWhat::Reset), (End::Acceptor, StreamWhat::Reset)];
    assert_eq!(whats(drain(&mut network, &mut clock)), both);

    let id = network.connect(clock.now(), from, to);
    drain(&mut network, &mut clock);
    network.freeze(id);
    network.write(clock.now(), id, End::Acceptor, b"never seen");
    assert_eq!(whats(drain(&mut network, &mut clock)), []);

    network.set_default(Link::down());
    network.connect(clock.now(), from, to);
    assert_eq!(network.next_at(), None, "no answer at all");
}

#[test]
fn a_stream_through_a_nat_shows_its_outer_address() {
    let mut nats = Nats::new(NatKind::EndpointIndependent, NatKind::EndpointIndependent);
    nats.network.listen(addr(PUBLIC));
    nats.network.connect(nats.clock.now(), addr(A), addr(PUBLIC));
    let all = drain(&mut nats.network, &mut nats.clock);
    let Some(Delivery::Stream(accepted)) = all.first() else { panic!("{all:?}") };
    assert_eq!(accepted.what, StreamWhat::Accepted);
    assert_eq!(accepted.remote.ip(), addr("203.0.113.1:0").ip());
}
