//! Candidates of our own: from interfaces, STUN servers and relays (RFC 8445 §5.1.1).
//!
//! ```text
//!   sockets --> Gatherer --> Event::Candidate --> Agent::add_local_candidate, and signalling
//!                 |  ^
//!                 v  |  Binding requests, allocations; later everything that goes through a relay
//!              servers
//! ```
//!
//! [`Gatherer`] keeps its relays: what an [`Agent`](super::Agent) sends with
//! [`Transmit::relayed`](super::Transmit::relayed), and media whose pair is relayed, goes through
//! [`Gatherer::send`].

mod gatherer;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use gatherer::Gatherer;

use super::config::{LocalCandidate, Path, Policy};
use crate::stun::{Failure, Timing};
use crate::turn;

/// Whom to ask for candidates.
#[derive(Clone, Debug)]
pub struct Config {
    /// STUN servers; each is asked from each socket of its family.
    pub stun: Vec<SocketAddr>,
    /// Relays, reached over UDP from each socket of their family, or over streams.
    pub turn: Vec<turn::Config>,
    /// Which candidates are wanted.
    pub policy: Policy,
    /// Whether loopback addresses are.
    pub loopback: bool,
    /// Active and passive TCP candidates of each socket's address too (RFC 6544 §5.1).
    pub tcp: bool,
    /// Ta: between two requests (RFC 8445 §14.2).
    pub pacing: Duration,
    /// Repetitions of Binding requests.
    pub timing: Timing,
    /// After so long, [`Event::Done`] is told whatever is still open.
    pub patience: Duration,
    /// Once the first address knows all it can, the others have so long: many interfaces reach no
    /// server.
    pub grace: Duration,
    /// How often STUN servers are asked again, to keep bindings of NATs alive (RFC 8445 §5.1.1.4).
    pub keepalive: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stun: Vec::new(),
            turn: Vec::new(),
            policy: Policy::All,
            loopback: false,
            tcp: false,
            pacing: Duration::from_millis(50),
            timing: Timing::default(),
            patience: Duration::from_secs(5),
            grace: Duration::from_millis(300),
            keepalive: Duration::from_secs(15),
        }
    }
}

/// A UDP socket of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What it is for: 1 is RTP, 2 its RTCP.
    pub component: u16,
    /// Its address.
    pub address: SocketAddr,
}

/// Over what something travels to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// The UDP socket with this address.
    Socket(SocketAddr),
    /// The stream of [`Output::Connect`].
    Stream(u32),
}

/// What a [`Gatherer`] wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to a server.
    Transmit {
        /// Over what.
        link: Link,
        /// To whom.
        to: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// Open a stream to a relay.
    Connect {
        /// Its name from now on.
        stream: u32,
        /// From this address, any port.
        from: IpAddr,
        /// To this relay.
        to: SocketAddr,
        /// With TLS.
        tls: bool,
    },
    /// Close a stream.
    Disconnect(u32),
    /// A peer sent something through a relay that is reached over a stream.
    Data {
        /// Its way: the base is the relayed address.
        path: Path,
        /// What.
        data: Vec<u8>,
    },
    /// Something for who gathers.
    Event(Event),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// Something for who gathers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A candidate, for the agent and for signalling.
    Candidate(LocalCandidate),
    /// A server gave none.
    ServerFailed {
        /// Which.
        server: SocketAddr,
        /// Why.
        failure: Failure,
    },
    /// A relayed address is gone: [`Agent::remove_local_candidates`](super::Agent::remove_local_candidates).
    RelayGone(SocketAddr),
    /// No more candidates come of the sockets so far; or servers take too long, and late ones are
    /// to be trickled.
    Done,
}

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// None of a server's: for the agent, or media.
    NotOurs,
    /// It was a server's.
    Taken,
    /// A peer sent it through a relay.
    Data {
        /// Its way: the base is the relayed address.
        path: Path,
        /// What.
        data: &'a [u8],
    },
}

/// How something went through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is wrapped: send it now.
    Now {
        /// Over what.
        link: Link,
        /// To whom.
        to: SocketAddr,
    },
    /// It goes out with the next outputs, for the relay must hear of the peer first.
    Queued,
    /// There is no such relay, or it does not take this peer.
    Refused,
}

/// RFC 8421 §4: IPv6 first, then both families mixed; within one, the order given. The greater, the
/// better.
pub fn preferences(addresses: &[IpAddr]) -> Vec<u16> {
    let v4 = addresses.iter().filter(|ip| ip.is_ipv4()).count();
    let v6 = addresses.len() - v4;
    let head_start = (v4 + v6).checked_div(v4).unwrap_or(usize::MAX);
    let (mut seen_v4, mut seen_v6) = (0_usize, 0_usize);
    addresses
        .iter()
        .map(|ip| {
            // How many of the other family stand before it.
            let place = if ip.is_ipv4() {
                seen_v4 += 1;
                seen_v4 - 1 + v6.min(seen_v4.saturating_mul(head_start))
            } else {
                seen_v6 += 1;
                seen_v6 - 1 + v4.min((seen_v6 - 1) / head_start)
            };
            u16::MAX.saturating_sub(u16::try_from(place.saturating_mul(STEP)).unwrap_or(u16::MAX))
        })
        .collect()
}

/// Between the preferences of two addresses, for what lies between them.
const STEP: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_mixed_as_rfc_8421_counts() {
        let order = |text: &str| {
            let ips: Vec<IpAddr> = text
                .split(' ')
                .enumerate()
                .map(|(at, family)| match family {
                    "4" => format!("192.0.2.{at}").parse().unwrap(),
                    _ => format!("2001:db8::{at}").parse().unwrap(),
                })
                .collect();
            let preferences = preferences(&ips);
            let mut by: Vec<_> = ips.iter().zip(preferences).collect();
            by.sort_by_key(|(_, preference)| std::cmp::Reverse(*preference));
            by.windows(2).for_each(|pair| assert!(pair[0].1 > pair[1].1, "{by:?}"));
            by.iter().map(|(ip, _)| if ip.is_ipv4() { '4' } else { '6' }).collect::<String>()
        };
        // The example of the RFC: two and six.
        assert_eq!(order("4 4 6 6 6 6 6 6"), "66664664");
        assert_eq!(order("4 6"), "6 4".replace(' ', ""));
        assert_eq!(order("4 4 4"), "444");
        assert_eq!(order("6 6"), "66");
        assert_eq!(order("4 6 4 6 4"), "64644");
    }
}
