//! Permissions and channels, and when they are to be made fresh (RFC 8656 §9, §12).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::ask::Peers;

/// A permission lasts 300 s (RFC 8656 §9).
const PERMISSION: Duration = Duration::from_secs(300);
/// A channel lasts 600 s (RFC 8656 §12).
const CHANNEL: Duration = Duration::from_secs(600);
/// How long before its end it is made fresh.
const EARLY: Duration = Duration::from_secs(60);
/// Numbers of channels (RFC 8656 §12).
const FIRST: u16 = 0x4000;
const COUNT: u16 = 0x1000;
/// Addresses in one request.
const BATCH: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Permission {
    peer: IpAddr,
    granted: bool,
    /// When it is to be made fresh; `None` while a request is under way.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    bound: bool,
    due: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct PeerTable {
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
    /// Numbers that were given out. None is given twice: RFC 8656 §12 has one rest for five minutes.
    used: u16,
}

impl PeerTable {
    pub(super) fn permissions(&self) -> usize {
        self.permissions.len()
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn is_permitted(&self, peer: IpAddr) -> bool {
        self.permissions.iter().any(|one| one.peer == peer)
    }

    pub(super) fn is_granted(&self, peer: IpAddr) -> bool {
        self.permissions.iter().any(|one| one.peer == peer && one.granted)
    }

    /// False if it is there already.
    pub(super) fn add_permission(&mut self, peer: IpAddr) -> bool {
        let new = !self.is_permitted(peer);
        if new {
            self.permissions.push(Permission { peer, granted: false, due: None });
        }
        new
    }

    /// True if it was not granted before.
    pub(super) fn granted(&mut self, now: Instant, peer: IpAddr) -> bool {
        match self.permissions.iter_mut().find(|one| one.peer == peer) {
            Some(one) => {
                one.due = Some(now + PERMISSION - EARLY);
                !std::mem::replace(&mut one.granted, true)
            }
            None => false,
        }
    }

    pub(super) fn remove_permission(&mut self, peer: IpAddr) -> bool {
        let before = self.permissions.len();
        self.permissions.retain(|one| one.peer != peer);
        self.channels.retain(|one| one.peer.ip() != peer);
        self.permissions.len() < before
    }

    /// Permissions that are to be made fresh now; they count as under way.
    pub(super) fn due_permissions(&mut self, now: Instant) -> Option<Peers> {
        let due = self.permissions.iter_mut().filter(|one| one.due.is_some_and(|at| at <= now));
        let batch: Peers = due
            .take(BATCH)
            .map(|one| {
                one.due = None;
                one.peer
            })
            .collect();
        (!batch.is_empty()).then_some(batch)
    }

    /// The number of a new channel; `None` if there is one, or no more numbers.
    pub(super) fn add_channel(&mut self, peer: SocketAddr) -> Option<u16> {
        if self.used >= COUNT || self.channels.iter().any(|one| one.peer == peer) {
            return None;
        }
        let number = FIRST + self.used;
        self.used += 1;
        self.channels.push(Channel { number, peer, bound: false, due: None });
        Some(number)
    }

    /// True if it was not bound before.
    pub(super) fn bound(&mut self, now: Instant, number: u16) -> bool {
        match self.channels.iter_mut().find(|one| one.number == number) {
            Some(one) => {
                one.due = Some(now + CHANNEL - EARLY);
                !std::mem::replace(&mut one.bound, true)
            }
            None => false,
        }
    }

    pub(super) fn remove_channel(&mut self, number: u16) {
        self.channels.retain(|one| one.number != number);
    }

    pub(super) fn due_channel(&mut self, now: Instant) -> Option<(u16, SocketAddr)> {
        let one = self.channels.iter_mut().find(|one| one.due.is_some_and(|at| at <= now))?;
        one.due = None;
        Some((one.number, one.peer))
    }

    /// The channel that data to `peer` may use.
    pub(super) fn channel_to(&self, peer: SocketAddr) -> Option<u16> {
        self.channels.iter().find(|one| one.bound && one.peer == peer).map(|one| one.number)
    }

    /// Who sends on a channel; RFC 8656 §12.1: already while its request is under way.
    pub(super) fn peer_of(&self, number: u16) -> Option<SocketAddr> {
        self.channels.iter().find(|one| one.number == number).map(|one| one.peer)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let permissions = self.permissions.iter().filter_map(|one| one.due);
        permissions.chain(self.channels.iter().filter_map(|one| one.due)).min()
    }

    pub(super) fn clear(&mut self) {
        self.permissions.clear();
        self.channels.clear();
    }
}
