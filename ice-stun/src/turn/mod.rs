//! A client's allocation on a relay (RFC 8656), over UDP, TCP and TLS, and connections through it (RFC 6062).
//!
//! ```text
//!              start              Allocated
//!   Idle ---------------> Asking -----------> Allocated --.  refresh, permissions and channels
//!                           |                  |    ^-----'  are kept fresh by deadlines
//!                           | Failed           | close, or the relay forgets us
//!                           v                  v
//!                         Closed <--------- Closing
//! ```
//!
//! Data is not queued: [`Allocation::send_to`] wraps into the caller's buffer, [`Allocation::data_of`] unwraps
//! a datagram where it stands.
//!
//! ```
//! use ice_stun::stun::Credentials;
//! use ice_stun::turn::{Allocation, Config, Event, Output};
//! # #[expect(clippy::disallowed_methods, reason = "an example has no other clock")]
//! # let now = std::time::Instant::now();
//! let relay = "192.0.2.1:3478".parse()?;
//! let mut allocation = Allocation::new(Config::new(relay, Credentials::long_term("alice", "wonder")), [7; 32]);
//! allocation.start(now);
//! // The driver's loop: all that is to be done, then wait for a datagram or the deadline.
//! let deadline = loop {
//!     match allocation.poll_output() {
//!         Output::Transmit { to, data } => assert!(to == relay && data.len() > 20),
//!         Output::Event(Event::Allocated(allocated)) => println!("relayed at {}", allocated.relayed),
//!         Output::Event(event) => println!("{event:?}"),
//!         Output::Idle(deadline) => break deadline,
//!     }
//! };
//! assert!(deadline > Some(now), "the request is repeated then");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allocation;
mod ask;
mod connection;
mod data;
mod peers;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use allocation::Allocation;
pub use connection::{DataConnection, DataEvent, DataOutput};

use crate::stun::{Credentials, Failure, Family, Icmp, Timing, Transport};

/// What the relay speaks to peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams (RFC 8656).
    #[default]
    Udp,
    /// Connections (RFC 6062); the relay itself must be reached over TCP or TLS.
    Tcp,
}

/// Which addresses are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// What the relay gives to who does not say: IPv4.
    #[default]
    Any,
    /// This one.
    Only(Family),
    /// IPv4 and IPv6, on one allocation.
    Both,
}

/// Which port is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Port {
    /// Any.
    #[default]
    Any,
    /// An even one; where there is none, any.
    Even,
    /// An even one, and the next is kept for another allocation; where there is none, any.
    EvenAndNext,
    /// The one that was kept, by its token.
    Reserved([u8; 8]),
}

/// What is wanted of which relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// The relay.
    pub server: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// Who we are to it.
    pub credentials: Credentials,
    /// What it is to speak to peers.
    pub protocol: Protocol,
    /// Which addresses are wanted.
    pub families: Families,
    /// Which port is wanted.
    pub port: Port,
    /// Asks for the DF bit on what the relay sends, if it can do that (RFC 8656 §18.9).
    pub dont_fragment: bool,
    /// How long the allocation is to last without a refresh; the relay may say otherwise.
    pub lifetime: Duration,
    /// Repetitions and timeouts.
    pub timing: Timing,
    /// SOFTWARE, at most 763 bytes.
    pub software: Option<String>,
    /// Peers that permissions are kept for.
    pub max_permissions: usize,
    /// Channels that are kept bound, at most 4,096.
    pub max_channels: usize,
    /// How many relays may send us on to another (RFC 8489 §10).
    pub redirections: usize,
}

impl Config {
    /// An IPv4 address for datagrams, by a relay that is reached over UDP.
    pub fn new(server: SocketAddr, credentials: Credentials) -> Self {
        Self {
            server,
            transport: Transport::Udp,
            credentials,
            protocol: Protocol::Udp,
            families: Families::Any,
            port: Port::Any,
            dont_fragment: false,
            lifetime: Duration::from_secs(600),
            timing: Timing::default(),
            software: None,
            max_permissions: 128,
            max_channels: 64,
            redirections: 4,
        }
    }
}

/// What an [`Allocation`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this; over a stream, to the relay at its other end.
    Transmit {
        /// Where to: the relay.
        to: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// Something for who uses it.
    Event(Event),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// What the relay gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Our address there.
    pub relayed: SocketAddr,
    /// The one of the other family, where both were wanted and given.
    pub additional: Option<SocketAddr>,
    /// Why there is none of the other family (440 or 508).
    pub missing: Option<u16>,
    /// Our address as the relay sees it: a server-reflexive candidate.
    pub mapped: SocketAddr,
    /// How long it lasts without a refresh.
    pub lifetime: Duration,
    /// The token of the next port, where it was to be kept.
    pub reservation: Option<[u8; 8]>,
}

/// Something for who uses an [`Allocation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is an allocation.
    Allocated(Allocated),
    /// There is none, and none comes.
    Failed(Failure),
    /// Peers of that address get through.
    Permitted(IpAddr),
    /// They do not, or not any more: 403 where the relay forbids it.
    PermissionFailed {
        /// Which.
        peer: IpAddr,
        /// Why.
        failure: Failure,
    },
    /// What goes to that peer goes over a channel now.
    ChannelBound(SocketAddr),
    /// It does not; it goes in indications, if there is a permission.
    ChannelFailed {
        /// Which.
        peer: SocketAddr,
        /// Why.
        failure: Failure,
    },
    /// A peer sent something.
    Data {
        /// Who.
        peer: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// What we sent to a peer did not arrive (RFC 8656 §11.6).
    Icmp {
        /// To whom.
        peer: SocketAddr,
        /// Why.
        icmp: Icmp,
    },
    /// A connection to a peer stands: open one to the relay for it and run [`Allocation::data_connection`]
    /// there (RFC 6062 §4.3).
    Connected {
        /// Which peer.
        peer: SocketAddr,
        /// Its CONNECTION-ID.
        connection: u32,
    },
    /// It does not.
    ConnectFailed {
        /// Which peer.
        peer: SocketAddr,
        /// Why: 447 where the peer did not answer.
        failure: Failure,
    },
    /// A peer has connected; taken up as with [`Event::Connected`] within 30 s (RFC 6062 §4.4).
    ConnectionAttempt {
        /// Who.
        peer: SocketAddr,
        /// Its CONNECTION-ID.
        connection: u32,
    },
    /// The allocation is gone: as we wanted, or why.
    Closed(Option<Failure>),
}

/// A command that cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Right only while there is an allocation.
    #[error("there is no allocation: this is right between Allocated and close()")]
    NotAllocated,
    /// The relay gave no address of the peer's family.
    #[error("the relay gave no address of the peer's family")]
    Family,
    /// Nobody asked for a permission for that peer.
    #[error("there is no permission for that peer: permit() it first")]
    NotPermitted,
    /// [`Config::max_permissions`] or [`Config::max_channels`].
    #[error("no more than {0} are kept")]
    Full(usize),
    /// It does not fit a datagram.
    #[error("{0} bytes do not fit a message")]
    TooLong(usize),
    /// Connections are for an allocation with [`Protocol::Tcp`], data for one with [`Protocol::Udp`].
    #[error("the allocation is for the other protocol")]
    Protocol,
    /// A connection to that peer is on its way (RFC 6062 §4.3).
    #[error("a connection to that peer is being made")]
    Connecting,
}

/// What is to be done about a failure to allocate (RFC 8656 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Another address and port of ours, at most three in all (437).
    OtherPort,
    /// Not before a minute has passed (486, 508).
    WaitMinute,
    /// Another transport to it, or another server.
    OtherTransport,
    /// Connect to this server in its stead.
    OtherServer(SocketAddr),
    /// Not this server again, until a person has changed something.
    GiveUp,
}

/// See [`Advice`].
pub fn advice(failure: &Failure) -> Advice {
    match failure {
        Failure::Refused { code: 437, .. } => Advice::OtherPort,
        Failure::Refused { code: 486 | 508, .. } => Advice::WaitMinute,
        Failure::TimedOut | Failure::Disconnected | Failure::Refused { code: 500..=599 | 408, .. } => {
            Advice::OtherTransport
        }
        Failure::Redirected { server, .. } => Advice::OtherServer(*server),
        _ => Advice::GiveUp,
    }
}

#[cfg(test)]
mod tests;
