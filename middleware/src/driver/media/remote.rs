//! Where a peer is without ICE: where its description says, or where it is found.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// For so long after the start the peer's packets may come from an address that was not
/// signalled; then the one they came from is the only one.
const LATCHING: Duration = Duration::from_secs(5);

/// Where packets go, and whose are taken.
#[derive(Clone)]
pub(super) struct Remote {
    signalled: SocketAddr,
    pub(super) rtcp: SocketAddr,
    since: Instant,
    pub(super) received_from: Option<SocketAddr>,
    /// Where a handshake comes from.
    pub(super) shakes_from: Option<SocketAddr>,
    /// When anything of the peer came last, RTP or RTCP.
    pub(super) alive: Option<Instant>,
}

impl Remote {
    pub(super) fn new(now: Instant, signalled: SocketAddr, rtcp: SocketAddr) -> Self {
        Self { signalled, rtcp, since: now, received_from: None, shakes_from: None, alive: None }
    }

    /// Where RTP goes.
    pub(super) fn rtp(&self) -> SocketAddr {
        self.received_from.or(self.shakes_from).unwrap_or(self.signalled)
    }

    /// A component's handshake comes from there: there it is answered. RTCP's may come from another port than was
    /// signalled, and from the host that RTP goes to.
    pub(super) fn shakes(&mut self, component: u16, from: SocketAddr) {
        if component == 1 {
            self.shakes_from = Some(from);
        } else if from.ip() == self.rtp().ip() {
            self.rtcp = from;
        }
    }

    /// Whether RTCP from there is taken: from where it is signalled, and from the host that RTP comes from.
    pub(super) fn takes_rtcp(&self, now: Instant, from: SocketAddr) -> bool {
        let host = self.received_from.or(self.shakes_from).map(|host| host.ip());
        from == self.rtcp || host == Some(from.ip()) || self.takes(now, from)
    }

    /// When nothing came for so long that it may be somebody who did not ask for this: then no
    /// audio goes there until something comes.
    pub(super) fn mute_after(&self, silence: Duration) -> Instant {
        self.alive.unwrap_or(self.since) + silence
    }

    /// Whether packets from there are taken: from the signalled address always; from another
    /// one only while it is being found out, or if it was found.
    pub(super) fn takes(&self, now: Instant, from: SocketAddr) -> bool {
        match self.received_from {
            _ if from == self.signalled => true,
            Some(known) if known == from => true,
            Some(known) if known == self.signalled => false,
            _ => now.saturating_duration_since(self.since) < LATCHING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::clock;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_never_says_anything_is_not_talked_to_for_long() {
        let (now, silence) = (clock::now().instant, Duration::from_secs(30));
        let signalled = address("192.0.2.1:4000");
        let mut remote = Remote::new(now, signalled, signalled);
        assert_eq!(remote.mute_after(silence), now + silence);
        remote.alive = Some(now + 2 * silence);
        assert_eq!(remote.mute_after(silence), now + 3 * silence, "it said something");
    }

    #[test]
    fn another_address_is_taken_at_the_start_only() {
        let now = clock::now().instant;
        let (signalled, real, attacker) =
            (address("192.0.2.1:4000"), address("198.51.100.7:9"), address("203.0.113.1:1"));
        let mut remote = Remote::new(now, signalled, signalled);
        assert!(remote.takes(now, real), "it may be behind a NAT");
        remote.received_from = Some(real);
        let later = now + LATCHING;
        assert!(remote.takes(later, real) && remote.takes(later, signalled));
        assert!(!remote.takes(later, attacker));
        remote.received_from = Some(signalled);
        assert!(!remote.takes(now, attacker), "the signalled address is preferred even at the start");
        assert!(!remote.takes_rtcp(now, attacker) && remote.takes_rtcp(now, address("192.0.2.1:4001")));
    }

    #[test]
    fn a_handshake_for_rtcp_is_answered_where_it_comes_from() {
        let signalled = (address("192.0.2.1:4000"), address("192.0.2.1:4001"));
        let mut remote = Remote::new(clock::now().instant, signalled.0, signalled.1);
        remote.shakes(2, address("198.51.100.7:10"));
        assert_eq!(remote.rtcp, signalled.1, "RTP does not go to that host");
        remote.shakes(1, address("198.51.100.7:9"));
        remote.shakes(2, address("198.51.100.7:10"));
        assert_eq!((remote.rtp(), remote.rtcp), (address("198.51.100.7:9"), address("198.51.100.7:10")));
        remote.shakes(2, address("203.0.113.1:1"));
        assert_eq!(remote.rtcp, address("198.51.100.7:10"));
    }
}
