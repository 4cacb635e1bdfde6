//! NAT behaviour discovery behind every kind of NAT, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ice_stun::server::{self, Flow, Input, Server};
use ice_stun::stun::{
    Behaviour, BindingLifetime, Dependence, Discovery, DiscoveryConfig, DiscoveryOutput, Failure, Kind,
    LifetimeConfig, LifetimeOutput, LifetimeSearch, LifetimeSocket, Transport,
};
use testkit::network::{Link, Nat, NatKind};
use testkit::{Clock, Delivery, Host, Network};

const INSIDE: &str = "10.0.0.2:5000";
const OUTSIDE: &str = "203.0.113.7";
const ONE: &str = "192.0.2.1:3478";
const TWO: &str = "192.0.2.2:3479";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

struct Client {
    machine: Discovery,
    local: SocketAddr,
    result: Option<Result<Behaviour, Failure>>,
    sent: usize,
}

impl Host for Client {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.local
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        if let Delivery::Datagram(datagram) = delivery {
            self.machine.handle_input(now, datagram.from, &datagram.data);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                DiscoveryOutput::Transmit { to, data } => {
                    self.sent += 1;
                    network.send(now, self.local, to, data);
                }
                DiscoveryOutput::Done(result) => assert!(self.result.replace(result).is_none(), "told once"),
                DiscoveryOutput::Idle(deadline) => return deadline,
            }
        }
    }
}

struct Mirror(Server);

impl Host for Mirror {
    fn owns(&self, address: SocketAddr) -> bool {
        [at(ONE).ip(), at(TWO).ip()].contains(&address.ip()) && [3_478, 3_479].contains(&address.port())
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        if let Delivery::Datagram(datagram) = delivery {
            let flow = Flow { transport: Transport::Udp, local: datagram.to, remote: datagram.from };
            self.0.handle_input(now, Input::Datagram { flow, data: &datagram.data });
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.0.poll_output() {
                server::Output::Transmit { flow, data } => network.send(now, flow.local, flow.remote, data),
                server::Output::Idle(deadline) => return deadline,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn discover(nat: Option<Nat>, two: bool, link: Link, seed: u64) -> (Result<Behaviour, Failure>, u128) {
    let mut network = Network::new(seed);
    network.set_default(link);
    let local = if nat.is_some() { at(INSIDE) } else { at("203.0.113.50:5000") };
    if let Some(nat) = nat {
        let nat = network.add_nat(nat);
        network.place(local.ip(), nat);
    }
    let config = server::Config { behaviour: two.then(|| (at(ONE), at(TWO))), ..server::Config::new("x") };
    let mut clock = Clock::new();
    let mut client = Client {
        machine: Discovery::new(DiscoveryConfig::new(local, at(ONE)), [4; 32]),
        local,
        result: None,
        sent: 0,
    };
    client.machine.start(clock.now());
    let mut mirror = Mirror(Server::new(config, [5; 32]));
    let until = clock.now() + Duration::from_secs(60);
    testkit::run(&mut clock, &mut network, &mut [&mut client, &mut mirror], until, |_| false);
    assert!(client.sent < 24, "{}", client.sent);
    (client.result.expect("it ends"), clock.elapsed().as_millis())
}

fn same(kind: NatKind) -> Dependence {
    match kind {
        NatKind::EndpointIndependent => Dependence::EndpointIndependent,
        NatKind::AddressDependent => Dependence::AddressDependent,
        NatKind::AddressAndPortDependent => Dependence::AddressAndPortDependent,
    }
}

/// RFC 5780 §4.3, §4.4: all nine, without loss and with some.
#[test]
fn every_kind_of_nat_is_told() {
    for mapping in NatKind::ALL {
        for filtering in NatKind::ALL {
            for (loss, seed) in [(0.0, 1), (0.1, 2), (0.1, 3)] {
                let outside = OUTSIDE.parse().expect("an address");
                let nat = Nat::new(outside, mapping, filtering).with_hairpin();
                let (found, took) = discover(Some(nat), true, Link::lossy(loss), seed);
                let found = found.expect("the server answers");
                let expected = (Some(same(mapping)), Some(same(filtering)));
                assert_eq!((found.mapping, found.filtering), expected, "{mapping:?} {filtering:?} {loss}");
                assert!(found.nat && found.mapped.ip() == outside && took < 20_000);
            }
        }
    }
}

#[test]
fn hairpinning_is_told() {
    for hairpin in [true, false] {
        let kind = NatKind::EndpointIndependent;
        let mut nat = Nat::new(OUTSIDE.parse().expect("an address"), kind, kind);
        nat.hairpin = hairpin;
        let (found, _) = discover(Some(nat), true, Link::default(), 1);
        assert_eq!(found.expect("the server answers").hairpinning, Some(hairpin));
    }
}

#[test]
fn without_a_nat_and_without_another_address() {
    let (found, took) = discover(None, true, Link::default(), 1);
    let found = found.expect("the server answers");
    assert!(!found.nat && found.mapping == Some(Dependence::EndpointIndependent));
    assert_eq!(found.filtering, Some(Dependence::EndpointIndependent));
    assert!(took < 1_000, "{took}");
    let kind = NatKind::AddressDependent;
    let nat = Nat::new(OUTSIDE.parse().expect("an address"), kind, kind);
    let (found, _) = discover(Some(nat), false, Link::default(), 1);
    let found = found.expect("the server answers");
    assert!(found.nat && found.mapping.is_none() && found.filtering.is_none());
    let (found, took) = discover(None, true, Link::down(), 1);
    assert_eq!((found, took), (Err(Failure::TimedOut), 4_500));
}

/// The two sockets of a search, and the machine.
struct Watcher {
    machine: LifetimeSearch,
    result: Option<Result<BindingLifetime, Failure>>,
    sent: usize,
}

/// The second socket of the search.
const ASKING: &str = "10.0.0.2:5001";

impl Host for Watcher {
    fn owns(&self, address: SocketAddr) -> bool {
        [at(INSIDE), at(ASKING)].contains(&address)
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        if let Delivery::Datagram(datagram) = delivery {
            let socket = match datagram.to == at(INSIDE) {
                true => LifetimeSocket::Watched,
                false => LifetimeSocket::Asking,
            };
            self.machine.handle_input(now, socket, datagram.from, &datagram.data);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                LifetimeOutput::Transmit { from, to, data } => {
                    self.sent += 1;
                    let from = if from == LifetimeSocket::Watched { INSIDE } else { ASKING };
                    network.send(now, at(from), to, data);
                }
                LifetimeOutput::Done(result) => assert!(self.result.replace(result).is_none(), "told once"),
                LifetimeOutput::Idle(deadline) => return deadline,
            }
        }
    }
}

fn lifetime(nat: Nat, two: bool, loss: f64) -> Result<BindingLifetime, Failure> {
    let mut network = Network::new(8);
    network.set_default(Link::lossy(loss));
    let nat = network.add_nat(nat);
    network.place(at(INSIDE).ip(), nat);
    let config = server::Config { behaviour: two.then(|| (at(ONE), at(TWO))), ..server::Config::new("x") };
    let mut clock = Clock::new();
    let machine = LifetimeSearch::new(LifetimeConfig::new(at(ONE)), [6; 32]);
    let mut watcher = Watcher { machine, result: None, sent: 0 };
    watcher.machine.start(clock.now());
    let mut mirror = Mirror(Server::new(config, [5; 32]));
    let until = clock.now() + Duration::from_secs(7_200);
    testkit::run(&mut clock, &mut network, &mut [&mut watcher, &mut mirror], until, |_| false);
    assert!(watcher.sent < 60, "{}", watcher.sent);
    watcher.result.expect("it ends")
}

/// RFC 5780 §4.6: behind every kind of NAT, to within fifteen seconds; with loss too.
#[test]
fn the_lifetime_of_a_binding_is_told() {
    let seconds = Duration::from_secs;
    for mapping in NatKind::ALL {
        for filtering in NatKind::ALL {
            for (idle, expected, loss) in [
                (20, (15, Some(30)), 0.0),
                (65, (60, Some(75)), 0.0),
                (65, (60, Some(75)), 0.1),
                (300, (285, Some(300)), 0.0),
                (3_600, (600, None), 0.1),
            ] {
                let outside = OUTSIDE.parse().expect("an address");
                let nat = Nat { idle: seconds(idle), ..Nat::new(outside, mapping, filtering) };
                let found = lifetime(nat, true, loss).expect("the server answers");
                let known = (found.at_least.as_secs(), found.less_than.map(|it| it.as_secs()));
                assert_eq!(known, expected, "{idle} {mapping:?} {filtering:?} {loss}");
            }
        }
    }
}

#[test]
fn a_server_that_cannot_answer_elsewhere_tells_no_lifetime() {
    let kind = NatKind::EndpointIndependent;
    let nat = || Nat::new(OUTSIDE.parse().expect("an address"), kind, kind);
    let expected = Err(Failure::UnknownAttributes(vec![Kind::RESPONSE_PORT]));
    assert_eq!(lifetime(nat(), false, 0.0), expected);
    assert_eq!(lifetime(nat(), true, 1.0), Err(Failure::TimedOut));
}
