//! What goes into an [`Agent`](super::Agent) and what comes out.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::candidate::{Candidate, CandidateKind, TcpType, Transport};

/// Who decides which pair is used (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nominates.
    Controlling,
    /// Takes what is nominated.
    Controlled,
}

impl Role {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// Which local candidates are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// All of them.
    #[default]
    All,
    /// Only those on a relay: the peer learns no address of ours.
    RelayOnly,
}

/// How an agent behaves. Durations are those of the RFCs unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The role at the beginning: the offerer controls (RFC 8445 §6.1.1).
    pub role: Role,
    /// Only answer checks (RFC 8445 §2.5); for hosts that everyone can reach.
    pub lite: bool,
    /// 1, or 2 without rtcp-mux.
    pub components: u16,
    /// Which local candidates are used.
    pub policy: Policy,
    /// Whether loopback addresses are used, local or remote.
    pub loopback: bool,
    /// Ta: between two new checks (RFC 8445 §14.2).
    pub pacing: Duration,
    /// The least retransmission timeout of a check (RFC 8445 §14.3).
    pub rto: Duration,
    /// Pairs that are kept (RFC 8445 §6.1.2.5).
    pub max_pairs: usize,
    /// Local candidates that are kept, those learnt from peers included.
    pub max_local_candidates: usize,
    /// Remote candidates that are kept, those learnt from checks apart.
    pub max_remote_candidates: usize,
    /// Remote candidates that are learnt from checks.
    pub max_peer_reflexive: usize,
    /// Checks remembered that come before the remote parameters.
    pub max_early_checks: usize,
    /// How often a conflict may change the role in one generation.
    pub max_role_switches: u32,
    /// With a direct pair, how long better ones are waited for before it is nominated.
    pub direct_patience: Duration,
    /// The same with a relayed pair. Media flows on it meanwhile.
    pub relay_patience: Duration,
    /// Before all is given up, for checks of the peer may still come (RFC 8863).
    pub failure_patience: Duration,
    /// Between two consent checks, ±20 % (RFC 7675 §5.1).
    pub consent_interval: Duration,
    /// Without an answer for so long, sending ends (RFC 7675 §5.1).
    pub consent_timeout: Duration,
    /// Without an answer for so long, [`State::Disconnected`] is told.
    pub disconnected_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::Controlling,
            lite: false,
            components: 1,
            policy: Policy::All,
            loopback: false,
            pacing: Duration::from_millis(50),
            rto: Duration::from_millis(500),
            max_pairs: 100,
            max_local_candidates: 40,
            max_remote_candidates: 60,
            max_peer_reflexive: 16,
            max_early_checks: 16,
            max_role_switches: 8,
            direct_patience: Duration::from_millis(100),
            relay_patience: Duration::from_millis(1_500),
            failure_patience: Duration::from_millis(39_500),
            consent_interval: Duration::from_secs(5),
            consent_timeout: Duration::from_secs(30),
            disconnected_after: Duration::from_secs(11),
        }
    }
}

/// A candidate of ours and where it sends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCandidate {
    /// What the peer is told.
    pub candidate: Candidate,
    /// The address of the socket, or of the relay for relayed candidates (RFC 8445 §2.1). Together
    /// with component and transport it tells a driver where [`Transmit`]s go out.
    pub base: SocketAddr,
}

impl LocalCandidate {
    /// One whose base is its own address: of an interface or of a relay.
    ///
    /// `None` for a name.
    pub fn based_on_itself(candidate: Candidate) -> Option<Self> {
        let base = candidate.socket_address()?;
        Some(Self { candidate, base })
    }
}

/// One end-to-end way: from a base of ours to an address of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// 1 is RTP (with rtcp-mux also RTCP), 2 is RTCP.
    pub component: u16,
    /// Over TCP. There, `base` and `remote` name the connection; an active one has the base port 9.
    pub tcp: bool,
    /// The [`LocalCandidate::base`].
    pub base: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// What the world did.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Something that [`PacketKind::of`](super::PacketKind::of) says is STUN. What comes through a
    /// relay comes with the relayed address as its base. TCP: without the framing of RFC 4571.
    Datagram {
        /// Its way.
        path: Path,
        /// The message.
        data: &'a [u8],
    },
    /// The answer to [`Output::Connect`].
    Connected(Path),
    /// A connection could not be made or has ended.
    Closed(Path),
    /// The answer to [`Output::Resolve`]; no address where there is none.
    Resolved {
        /// The name that was asked for.
        name: &'a str,
        /// Its address.
        address: Option<IpAddr>,
    },
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Its way.
    pub path: Path,
    /// The base is on a relay: it goes through the allocation that has this relayed address.
    pub relayed: bool,
    /// The message.
    pub data: Vec<u8>,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Open a connection from the base's address, any port, to the remote one (RFC 6544 §7.1).
    Connect(Path),
    /// Close this connection.
    Disconnect(Path),
    /// Resolve this name by multicast DNS.
    Resolve(String),
    /// Tell whoever holds the agent.
    Event(Event),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not both ends are known.
    New,
    /// Looking for pairs.
    Checking,
    /// Every component has a pair that works; better ones may follow.
    Connected,
    /// Every component has the pair that was nominated.
    Completed,
    /// The peer has not answered for a while; nothing is lost yet.
    Disconnected,
    /// No pair works, or the peer withdrew its consent. A restart may help.
    Failed,
}

/// What whoever holds the agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// How far it is.
    StateChanged(State),
    /// Send media of this component there from now on.
    Selected(SelectedPair),
    /// Stop sending media of this component: the peer no longer answers (RFC 7675 §5.1) or its
    /// local address is gone.
    ConsentLost {
        /// Whose.
        component: u16,
    },
    /// The other end claimed the same role.
    RoleChanged(Role),
    /// The peer sees us at an address that no server told (RFC 8445 §7.2.5.3.1). It needs no
    /// signalling.
    PeerReflexive(Candidate),
}

/// Where media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SelectedPair {
    /// Its way.
    pub path: Path,
    /// The base is on a relay.
    pub relayed: bool,
    /// What the peer knows our end as.
    pub local_address: SocketAddr,
    /// What our end is.
    pub local_kind: CandidateKind,
    /// What the other end is.
    pub remote_kind: CandidateKind,
    /// Chosen for good; before that, the best that works so far.
    pub nominated: bool,
}

/// The caller was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// A component that the agent does not have.
    #[error("the agent has no component {0}")]
    Component(u16),
    /// [`Config::max_local_candidates`] is reached.
    #[error("more than {0} local candidates")]
    TooMany(usize),
    /// A local candidate is an IP address.
    #[error("a local candidate has an address of the family of its base")]
    Address,
    /// The policy leaves this candidate out; it must not be signalled either.
    #[error("the policy leaves this candidate out")]
    Policy,
}

/// What was left out, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Checks sent, repetitions and consent included.
    pub requests_sent: u64,
    /// Answers sent.
    pub responses_sent: u64,
    /// Datagrams that are no STUN message, or none that belongs here.
    pub ignored: u64,
    /// Requests and responses without the right credentials.
    pub unauthenticated: u64,
    /// Responses that nobody waits for.
    pub unexpected_responses: u64,
    /// Remote candidates left out: too many, or forbidden.
    pub remote_left_out: u64,
    /// Peer-reflexive candidates left out: too many, or forbidden.
    pub peer_reflexive_left_out: u64,
    /// Pairs left out because there are too many.
    pub pairs_left_out: u64,
    /// Early checks that were not remembered.
    pub early_left_out: u64,
    /// Conflicts of roles.
    pub role_conflicts: u64,
}

/// Addresses that nobody may be sent to, whatever a peer says.
pub(super) fn is_forbidden(address: SocketAddr, loopback: bool) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.octets().first() == Some(&0),
        // IPv4-mapped ones hide an address of the other family.
        IpAddr::V6(_) => false,
    };
    address.port() == 0
        || ip != address.ip()
        || ip.is_unspecified()
        || ip.is_multicast()
        || broadcast
        || (ip.is_loopback() && !loopback)
}

/// Whether two addresses can be paired (RFC 8445 §6.1.2.2).
pub(super) fn can_meet(local: IpAddr, remote: IpAddr) -> bool {
    let link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    local.is_ipv4() == remote.is_ipv4() && link_local(local) == link_local(remote)
}

/// Whether two transports can be paired, seen from the local one (RFC 6544 §6.2).
pub(super) fn transports_meet(local: Transport, remote: Transport) -> bool {
    match (local, remote) {
        (Transport::Udp, Transport::Udp) => true,
        // A passive candidate waits; its pairs are made by the checks that come.
        (Transport::Tcp(TcpType::Passive), _) => false,
        (Transport::Tcp(local), Transport::Tcp(remote)) => local.meets(remote),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_addresses() {
        for text in [
            "0.0.0.0:5000",
            "0.1.2.3:5000",
            "255.255.255.255:5000",
            "224.0.0.1:5000",
            "127.0.0.1:5000",
            "192.0.2.1:0",
            "[::]:5000",
            "[::1]:5000",
            "[ff02::1]:5000",
            "[::ffff:192.0.2.1]:5000",
            "[::ffff:127.0.0.1]:5000",
        ] {
            assert!(is_forbidden(text.parse().unwrap(), false), "{text}");
        }
        for text in ["192.0.2.1:5000", "10.0.0.1:1", "169.254.1.1:5000", "[2001:db8::1]:5000", "[fe80::1]:5"]
        {
            assert!(!is_forbidden(text.parse().unwrap(), false), "{text}");
        }
        assert!(!is_forbidden("127.0.0.1:5000".parse().unwrap(), true));
    }

    #[test]
    fn families_and_scopes_do_not_mix() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(can_meet(ip("10.0.0.1"), ip("192.0.2.1")));
        assert!(!can_meet(ip("10.0.0.1"), ip("2001:db8::1")));
        assert!(!can_meet(ip("fe80::1"), ip("2001:db8::1")));
        assert!(can_meet(ip("fe80::1"), ip("fe80::2")));
    }
}
