//! What a path does to what travels on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Random;

/// One direction of a path. The default is perfect: no delay, nothing lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The least time that anything takes.
    pub delay: Duration,
    /// Added to `delay`: evenly spread from zero up to this. Jitter alone keeps the order.
    pub jitter: Duration,
    /// The share of datagrams lost, 0 to 1. Streams lose nothing; a loss costs them
    /// [`Link::retransmit`].
    pub loss: f64,
    /// The mean length of a run of losses; at 1 or less, losses are independent.
    pub burst: f64,
    /// The share of datagrams that arrive twice.
    pub duplicate: f64,
    /// The share of datagrams held back by [`Link::reorder_by`], so that later ones pass them.
    pub reorder: f64,
    /// How long a reordered datagram is held back.
    pub reorder_by: Duration,
    /// Datagrams longer than this vanish, as they do where fragments are filtered.
    pub mtu: usize,
    /// How long a lost segment of a stream takes to be sent again.
    pub retransmit: Duration,
    /// Cut each write on a stream into pieces of random size, as TCP may.
    pub shred: bool,
}

impl Link {
    /// A path on which nothing arrives.
    #[must_use]
    pub fn down() -> Self {
        Self { loss: 1.0, ..Self::default() }
    }

    /// A path that only loses, `loss` (0 to 1) of all datagrams, independently.
    #[must_use]
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::default() }
    }

    /// A path that only delays.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 1.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(30),
            mtu: 65_535,
            retransmit: Duration::from_millis(200),
            shred: false,
        }
    }
}

/// What becomes of one datagram.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    Lost,
    TooLong,
    /// It arrives at these instants; the flag says that it was held back.
    Arrives {
        first: Instant,
        again: Option<Instant>,
        reordered: bool,
    },
}

/// The memory of all paths: whether one is in a run of losses, and what came last on it.
#[derive(Debug, Default)]
pub(super) struct Paths {
    losing: BTreeMap<(SocketAddr, SocketAddr), bool>,
    last: BTreeMap<(SocketAddr, SocketAddr), Instant>,
}

impl Paths {
    /// Decides about one datagram of `len` bytes.
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        len: usize,
        link: &Link,
        random: &mut Random,
    ) -> Fate {
        if len > link.mtu {
            return Fate::TooLong;
        }
        if self.loses(path, link, random) {
            return Fate::Lost;
        }
        let reordered = random.chance(link.reorder);
        let first = if reordered {
            now + link.delay + random.up_to(link.jitter) + link.reorder_by
        } else {
            self.in_order(now, path, link, random)
        };
        let again = random.chance(link.duplicate).then(|| first + random.up_to(link.jitter));
        Fate::Arrives { first, again, reordered }
    }

    /// When the next piece of a stream arrives: always, in order, later for each loss.
    pub(super) fn segment(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        link: &Link,
        random: &mut Random,
    ) -> Instant {
        let mut sent = now;
        // Past twenty losses in a row the path is down; the piece is as late as that.
        for _ in 0..20 {
            if !self.loses(path, link, random) {
                break;
            }
            sent += link.retransmit;
        }
        self.in_order(sent, path, link, random)
    }

    fn in_order(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        link: &Link,
        random: &mut Random,
    ) -> Instant {
        let at = now + link.delay + random.up_to(link.jitter);
        let last = self.last.entry(path).or_insert(at);
        *last = at.max(*last);
        *last
    }

    /// Gilbert's model with everything lost in the bad state: runs of losses have the mean
    /// length `burst`, and the share lost overall is `loss`.
    fn loses(&mut self, path: (SocketAddr, SocketAddr), link: &Link, random: &mut Random) -> bool {
        if link.loss <= 0.0 {
            return false;
        }
        if link.loss >= 1.0 || link.burst <= 1.0 {
            return random.chance(link.loss);
        }
        let losing = self.losing.entry(path).or_insert(false);
        let leave = 1.0 / link.burst;
        let enter = leave * link.loss / (1.0 - link.loss);
        *losing = if *losing { !random.chance(leave) } else { random.chance(enter) };
        *losing
    }
}
