//! ICE agents of one kind on both ends of the same simulated networks: how long until both have a selected
//! pair, and how many packets that takes.

mod peers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testkit::{Clock, Delivery, Link, Nat, NatKind, Network};

pub use peers::{Ours, Rice, Str0m};

/// A candidate: what it is made of is handed to every agent alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    pub kind: Kind,
    pub address: SocketAddr,
    /// The socket it belongs to.
    pub base: SocketAddr,
    /// The greater, the better; one for each interface.
    pub preference: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Host,
    Reflexive,
}

/// What one end says of itself.
#[derive(Clone, Debug)]
pub struct Side {
    pub ufrag: &'static str,
    pub password: &'static str,
    pub candidates: Vec<Offered>,
}

/// Something to send: from which socket, to whom, what.
pub type Packet = (SocketAddr, SocketAddr, Vec<u8>);

/// An agent under test.
pub trait Agent {
    /// Its name and version.
    const WHO: &'static str;
    /// Knows both sides from the start; the descriptions have been exchanged.
    fn new(now: Instant, controlling: bool, ours: &Side, theirs: &Side, seed: u8) -> Self;
    fn receive(&mut self, now: Instant, socket: SocketAddr, from: SocketAddr, data: &[u8]);
    fn timeout(&mut self, now: Instant);
    /// All that waits to be sent, and when to come back.
    fn poll(&mut self, now: Instant) -> (Vec<Packet>, Option<Instant>);
    /// Whether it has a pair that media goes over, by its own account.
    fn is_selected(&self) -> bool;
}

/// A network between two ends.
pub struct Scene {
    pub name: &'static str,
    link: Link,
    nats: Option<[(NatKind, NatKind); 2]>,
    /// Addresses of each end beside the one that reaches the other, which lead nowhere.
    astray: usize,
}

const MS: Duration = Duration::from_millis(1);
/// Where addresses are told.
const STUN: &str = "198.51.100.1:3478";
/// Nobody has more time.
const PATIENCE: Duration = Duration::from_secs(15);

use NatKind::{AddressAndPortDependent as Port, EndpointIndependent as Endpoint};

/// All of them.
pub fn scenes() -> Vec<Scene> {
    let link = |delay: u32, loss| Link { loss, jitter: delay * MS / 4, ..Link::delayed(delay * MS) };
    let scene = |name, link, nats, astray| Scene { name, link, nats, astray };
    let (open, picky) = ((Endpoint, Endpoint), (Endpoint, Port));
    let symmetric = (Port, Port);
    vec![
        scene("one network, 1 ms", link(1, 0.0), None, 0),
        scene("one network, 1 ms, 4 addresses each, one works", link(1, 0.0), None, 3),
        scene("E/E and E/E, 20 ms", link(20, 0.0), Some([open, open]), 0),
        scene("E/P and E/P, 20 ms", link(20, 0.0), Some([picky, picky]), 0),
        scene("E/P and E/P, 20 ms, 10 % loss", link(20, 0.1), Some([picky, picky]), 0),
        scene("E/P and E/P, 100 ms", link(100, 0.0), Some([picky, picky]), 0),
        scene("E/P and E/P, 100 ms, 30 % loss", link(100, 0.3), Some([picky, picky]), 0),
        scene("E/E and P/P, 50 ms", link(50, 0.0), Some([open, symmetric]), 0),
        scene("E/P and E/P, 20 ms, 4 addresses each", link(20, 0.0), Some([picky, picky]), 3),
    ]
}

/// What a run came to; `None`: it found no way in time.
pub type Run = Option<(Duration, u64)>;

/// One run.
pub fn run<A: Agent>(scene: &Scene, seed: u8) -> Run {
    let mut clock = Clock::new();
    let mut network = Network::new(u64::from(seed));
    network.set_default(Link::default());
    let sides = [0, 1].map(|end| side(scene, end, &mut network, &mut clock));
    let mut sockets: [Vec<SocketAddr>; 2] = [Vec::new(), Vec::new()];
    for (side, sockets) in sides.iter().zip(&mut sockets) {
        sockets.extend(side.candidates.iter().map(|one| one.base));
        sockets.dedup();
    }
    network.set_default(scene.link.clone());
    // Neither to the other end itself nor to its NAT.
    let told: Vec<SocketAddr> =
        sides.iter().flat_map(|side| &side.candidates).map(|one| one.address).collect();
    for astray in astray(0, scene.astray).into_iter().chain(astray(1, scene.astray)) {
        for other in &told {
            network.set_between(astray.ip(), other.ip(), Link::down());
        }
    }
    let start = clock.now();
    let mut ends = [0, 1].map(|end| {
        A::new(start, end == 0, &sides[end], &sides[1 - end], seed.wrapping_mul(2).wrapping_add(end as u8))
    });
    let (mut deadlines, mut sent) = ([None, None], 0);
    loop {
        let now = clock.now();
        for (end, deadline) in ends.iter_mut().zip(&mut deadlines) {
            let (packets, due) = end.poll(now);
            *deadline = due;
            for (from, to, data) in packets {
                sent += 1;
                network.send(now, from, to, data);
            }
        }
        if ends.iter().all(A::is_selected) {
            return Some((now - start, sent));
        }
        let next = deadlines.into_iter().flatten().chain(network.next_at()).min()?.max(now + MS / 1_000);
        if next > start + PATIENCE {
            return None;
        }
        clock.advance_to(next);
        let now = clock.now();
        while let Some(delivery) = network.deliver(now) {
            let Delivery::Datagram(datagram) = delivery else { continue };
            for (end, sockets) in ends.iter_mut().zip(&sockets) {
                if sockets.contains(&datagram.to) {
                    end.receive(now, datagram.to, datagram.from, &datagram.data);
                }
            }
        }
        for (end, deadline) in ends.iter_mut().zip(deadlines) {
            if deadline.is_some_and(|due| due <= now) {
                end.timeout(now);
            }
        }
    }
}

fn astray(end: usize, count: usize) -> Vec<SocketAddr> {
    (0..count).map(|at| SocketAddr::from(([172, 16 + end as u8, at as u8, 2], 5_000))).collect()
}

/// Its candidates; where there is a NAT the STUN server tells its mapping.
fn side(scene: &Scene, end: usize, network: &mut Network, clock: &mut Clock) -> Side {
    let inside = match scene.nats {
        Some(nats) => {
            let (mapping, filtering) = nats[end];
            let inside = SocketAddr::from(([10, end as u8, 0, 2], 5_000));
            let outside = std::net::IpAddr::from([203, 0, 113, 1 + end as u8]);
            let nat = network.add_nat(Nat::new(outside, mapping, filtering));
            network.place(inside.ip(), nat);
            inside
        }
        None => SocketAddr::from(([192, 0, 2, 1 + end as u8], 5_000)),
    };
    // The one that works is in the middle: neither the first nor the last that is tried.
    let mut hosts = astray(end, scene.astray);
    hosts.insert(scene.astray / 2, inside);
    let mut candidates = Vec::new();
    for (preference, base) in (60_000..=65_535).rev().step_by(256).zip(hosts) {
        candidates.push(Offered { kind: Kind::Host, address: base, base, preference });
        if scene.nats.is_some() && base == inside {
            network.send(clock.now(), base, STUN.parse().expect("an address"), b"who am I".to_vec());
            let Some(Delivery::Datagram(asked)) = network.deliver(clock.now()) else {
                panic!("nothing is lost yet")
            };
            candidates.push(Offered { kind: Kind::Reflexive, address: asked.from, base, preference });
        }
    }
    let [ufrag, password] =
        [["offe", "a password of the offerer"], ["answ", "a password of the answerer"]][end];
    Side { ufrag, password, candidates }
}

/// Median time and packets of many runs, and how many found a way: `23 ms, 5 packets`.
pub fn summary<A: Agent>(scene: &Scene, runs: u8) -> Option<(Duration, u64, usize)> {
    let mut done: Vec<_> = (1..=runs).filter_map(|seed| run::<A>(scene, seed)).collect();
    let found = done.len();
    if done.is_empty() {
        return None;
    }
    done.sort_unstable();
    let time = done[found / 2].0;
    done.sort_unstable_by_key(|run| run.1);
    Some((time, done[found / 2].1, found))
}
