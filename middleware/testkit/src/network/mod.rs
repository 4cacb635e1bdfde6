//! A network in memory: datagrams and byte streams between socket addresses.
//!
//! Every host has an address of its own; there are no two networks that reuse one. A host
//! is on the public side unless it was [placed](Network::place) behind a NAT, and a NAT's
//! outer address may itself be placed behind another. Paths are symmetric only if they are
//! [made so](Network::set_between).

mod link;
mod nat;
mod stream;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::Random;
use link::{Fate, Paths};
use nat::Translator;

pub use link::Link;
pub use nat::{Nat, NatKind};
pub use stream::{End, StreamEvent, StreamId, StreamWhat};

/// Which NAT, from [`Network::add_nat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(usize);

/// A datagram as it reached a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When it arrived.
    pub at: Instant,
    /// The sender as the receiver sees it: the outer address of its outermost NAT.
    pub from: SocketAddr,
    /// The receiver's own address.
    pub to: SocketAddr,
    /// What it carries.
    pub data: Vec<u8>,
}

/// The next thing to reach a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A datagram.
    Datagram(Datagram),
    /// Something happened on a stream.
    Stream(StreamEvent),
}

impl Delivery {
    /// The address at which it arrives.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        match self {
            Self::Datagram(datagram) => datagram.to,
            Self::Stream(event) => event.local,
        }
    }
}

/// What became of the datagrams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Handed to [`Network::send`].
    pub sent: u64,
    /// Reached a host, copies included.
    pub delivered: u64,
    /// Lost on the way, or longer than the path's MTU.
    pub lost: u64,
    /// Sent twice by the path.
    pub duplicated: u64,
    /// Held back so that later ones passed them.
    pub reordered: u64,
    /// Refused by a NAT's filter, or without a mapping.
    pub filtered: u64,
    /// Sent to an address that cannot be reached from there.
    pub unreachable: u64,
}

/// The network. See the [module](self).
#[derive(Debug)]
pub struct Network {
    random: Random,
    default: Link,
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    paths: Paths,
    nats: Vec<Translator>,
    /// Which NAT an address is behind; what is not listed is public.
    behind: BTreeMap<IpAddr, NatId>,
    in_flight: BTreeMap<(Instant, u64), InFlight>,
    serial: u64,
    streams: stream::Streams,
    stats: Stats,
}

#[derive(Debug)]
enum InFlight {
    Datagram { from: SocketAddr, to: SocketAddr, realm: Option<NatId>, data: Vec<u8> },
    Stream(StreamEvent),
}

/// A packet on its way, seen from one side of the NATs that it crosses.
struct Crossing {
    from: SocketAddr,
    to: SocketAddr,
    realm: Option<NatId>,
}

impl Network {
    /// A network of perfect paths without NATs.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            default: Link::default(),
            links: BTreeMap::new(),
            paths: Paths::default(),
            nats: Vec::new(),
            behind: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            serial: 0,
            streams: stream::Streams::default(),
            stats: Stats::default(),
        }
    }

    /// What paths without a link of their own are like, from now on.
    pub fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    /// What the path from a host to a destination, as the host addresses it, is like from
    /// now on. What is on its way already is not touched.
    pub fn set_link(&mut self, from: IpAddr, to: IpAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    /// [`Network::set_link`] in both directions.
    pub fn set_between(&mut self, a: IpAddr, b: IpAddr, link: Link) {
        self.links.insert((a, b), link.clone());
        self.links.insert((b, a), link);
    }

    /// Adds a NAT whose outer side is public until it is [placed](Network::place).
    pub fn add_nat(&mut self, nat: Nat) -> NatId {
        self.nats.push(Translator::new(nat));
        NatId(self.nats.len() - 1)
    }

    /// Puts a host, or another NAT by its outer address, behind a NAT.
    pub fn place(&mut self, host: IpAddr, behind: NatId) {
        self.behind.insert(host, behind);
    }

    /// Makes a NAT forget its mappings, as one that restarts does.
    pub fn restart_nat(&mut self, nat: NatId) {
        self.nat(nat).forget();
    }

    /// How many mappings a NAT holds.
    #[must_use]
    pub fn mappings(&self, nat: NatId) -> usize {
        self.nats.get(nat.0).map_or(0, Translator::mappings)
    }

    /// Sends a datagram from a host's own address.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, data: impl Into<Vec<u8>>) {
        let data = data.into();
        self.stats.sent += 1;
        let Some(crossing) = self.leave(now, from, to) else {
            self.stats.unreachable += 1;
            return;
        };
        let link = self.link(from.ip(), to.ip());
        match self.paths.datagram(now, (from, to), data.len(), &link, &mut self.random) {
            Fate::Lost | Fate::TooLong => self.stats.lost += 1,
            Fate::Arrives { first, again, reordered } => {
                self.stats.reordered += u64::from(reordered);
                if let Some(again) = again {
                    self.stats.duplicated += 1;
                    self.fly(again, crossing.datagram(data.clone()));
                }
                self.fly(first, crossing.datagram(data));
            }
        }
    }

    /// When the next delivery is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    /// The next delivery that is due by `now`, in the order of arrival.
    pub fn deliver(&mut self, now: Instant) -> Option<Delivery> {
        loop {
            let entry = self.in_flight.first_entry().filter(|entry| entry.key().0 <= now)?;
            let at = entry.key().0;
            match entry.remove() {
                InFlight::Stream(event) => {
                    if self.streams.still_wants(&event) {
                        return Some(Delivery::Stream(event));
                    }
                }
                InFlight::Datagram { from, to, realm, data } => {
                    if let Some(to) = self.enter(at, Crossing { from, to, realm }) {
                        self.stats.delivered += 1;
                        return Some(Delivery::Datagram(Datagram { at, from, to, data }));
                    }
                    self.stats.filtered += 1;
                }
            }
        }
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn nat(&mut self, id: NatId) -> &mut Translator {
        self.nats.get_mut(id.0).expect("a NatId comes from add_nat of the same network")
    }

    fn link(&self, from: IpAddr, to: IpAddr) -> Link {
        self.links.get(&(from, to)).unwrap_or(&self.default).clone()
    }

    fn fly(&mut self, at: Instant, what: InFlight) {
        self.serial += 1;
        self.in_flight.insert((at, self.serial), what);
    }

    /// Crosses the NATs on the sender's side, from the inside out, until a realm is reached
    /// that has the destination. None where there is no way.
    fn leave(&mut self, now: Instant, mut from: SocketAddr, to: SocketAddr) -> Option<Crossing> {
        let destination = self.behind.get(&to.ip()).copied();
        let mut realm = self.behind.get(&from.ip()).copied();
        loop {
            if realm == destination {
                return Some(Crossing { from, to, realm });
            }
            let nat = self.nat(realm?);
            let (external, hairpin) = (nat.config.external, nat.config.hairpin);
            if to.ip() == external && !hairpin {
                return None;
            }
            from = nat.outbound(now, from, to);
            realm = self.behind.get(&external).copied();
        }
    }

    /// Crosses the NATs on the receiver's side, from the outside in. None where a filter
    /// stops it.
    fn enter(&mut self, now: Instant, crossing: Crossing) -> Option<SocketAddr> {
        let Crossing { from, mut to, mut realm } = crossing;
        loop {
            let next = self.nats.iter().position(|nat| {
                nat.config.external == to.ip() && self.behind.get(&to.ip()).copied() == realm
            });
            let Some(next) = next else { return Some(to) };
            to = self.nat(NatId(next)).inbound(now, from, to.port())?;
            realm = Some(NatId(next));
        }
    }
}

impl Crossing {
    fn datagram(&self, data: Vec<u8>) -> InFlight {
        InFlight::Datagram { from: self.from, to: self.to, realm: self.realm, data }
    }
}

#[cfg(test)]
mod tests;
