//! One allocation on the server (RFC 8656 §3.2).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::accounts::Known;
use super::{RelayId, plain};
use crate::stun::{Family, TransactionId};

/// RFC 8656 §9, §12.
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

/// A port that is kept for another allocation (RFC 8656 §7.2).
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub(super) token: [u8; 8],
    pub(super) relay: RelayId,
    pub(super) address: Option<SocketAddr>,
    pub(super) expires: Instant,
}

/// A relay socket of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) id: RelayId,
    pub(super) family: Family,
    pub(super) state: SocketState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketState {
    Opening,
    Open(SocketAddr),
    Failed,
}

/// How much one allocation may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) permissions: usize,
    pub(super) channels: usize,
}

/// What a client asked a channel or permission for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// 400.
    Conflict,
    /// 508.
    Full,
}

pub(super) struct Relay {
    pub(super) owner: Known,
    /// The request that made it: its repetitions are answered alike (RFC 8656 §7.2).
    pub(super) made_by: TransactionId,
    pub(super) lifetime: Duration,
    expires: Instant,
    pub(super) sockets: SmallVec<[Socket; 2]>,
    pub(super) token: Option<[u8; 8]>,
    /// Its peers are connected to (RFC 6062).
    pub(super) tcp: bool,
    /// 440, where one of two families is not relayed.
    pub(super) missing: Option<Family>,
    permissions: Vec<(IpAddr, Instant)>,
    channels: Vec<(u16, SocketAddr, Instant)>,
}

impl Relay {
    pub(super) fn new(owner: Known, made_by: TransactionId, now: Instant, lifetime: Duration) -> Self {
        Self {
            owner,
            made_by,
            lifetime,
            expires: now + lifetime,
            sockets: SmallVec::new(),
            token: None,
            tcp: false,
            missing: None,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    pub(super) fn expires(&self) -> Instant {
        self.expires
    }

    pub(super) fn refresh(&mut self, now: Instant, lifetime: Duration) {
        self.lifetime = lifetime;
        self.expires = now + lifetime;
    }

    /// True once every socket is open or failed.
    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().all(|socket| socket.state != SocketState::Opening)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().filter_map(|socket| match socket.state {
            SocketState::Open(address) => Some(address),
            _ => None,
        })
    }

    pub(super) fn serves(&self, peer: IpAddr) -> bool {
        self.addresses().any(|address| address.is_ipv4() == peer.is_ipv4())
    }

    pub(super) fn socket_for(&self, peer: SocketAddr) -> Option<RelayId> {
        let same = |socket: &&Socket| matches!(socket.state, SocketState::Open(address) if address.is_ipv4() == peer.is_ipv4());
        self.sockets.iter().find(same).map(|socket| socket.id)
    }

    pub(super) fn permits(&self, now: Instant, peer: IpAddr) -> bool {
        let peer = plain(peer);
        self.permissions.iter().any(|(ip, until)| *ip == peer && *until > now)
    }

    /// Makes a permission, or makes it fresh.
    pub(super) fn permit(&mut self, now: Instant, peer: IpAddr, caps: Caps) -> Result<(), Denied> {
        let peer = plain(peer);
        self.permissions.retain(|(_, until)| *until > now);
        let full = self.permissions.len() >= caps.permissions;
        match self.permissions.iter_mut().find(|(ip, _)| *ip == peer) {
            Some((_, until)) => *until = now + PERMISSION,
            None if full => return Err(Denied::Full),
            None => self.permissions.push((peer, now + PERMISSION)),
        }
        Ok(())
    }

    /// RFC 8656 §12.2: neither the number nor the peer may be bound otherwise.
    pub(super) fn bind(
        &mut self,
        now: Instant,
        number: u16,
        peer: SocketAddr,
        caps: Caps,
    ) -> Result<(), Denied> {
        self.channels.retain(|(_, _, until)| *until > now);
        let full = self.channels.len() >= caps.channels;
        match self.channels.iter_mut().find(|(other, bound, _)| *other == number || *bound == peer) {
            Some((other, bound, until)) if *other == number && *bound == peer => *until = now + CHANNEL,
            Some(_) => return Err(Denied::Conflict),
            None if full => return Err(Denied::Full),
            None => self.channels.push((number, peer, now + CHANNEL)),
        }
        self.permit(now, peer.ip(), caps)
    }

    pub(super) fn peer_of(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let live = self.channels.iter().find(|(other, _, until)| *other == number && *until > now);
        live.map(|(_, peer, _)| *peer)
    }

    pub(super) fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let live = self.channels.iter().find(|(_, bound, until)| *bound == peer && *until > now);
        live.map(|(number, _, _)| *number)
    }
}
