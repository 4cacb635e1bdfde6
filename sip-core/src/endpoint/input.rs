//! What the world does to an endpoint.

use crate::resolve::Answer;
use bytes::Bytes;
use std::net::SocketAddr;

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream over TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// The name in Via.
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The value of a URI's `transport` parameter (RFC 3261 §19.1.1, RFC 7118 §5.2.3).
    pub const fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The transport that a name in Via or a URI means.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|t| t.uri_name().eq_ignore_ascii_case(name))
    }

    /// Whether it delivers what it is given, in order: then nothing is retransmitted.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether it is encrypted: what a `sips` URI needs.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port where a URI names none (RFC 3261 §19.1.2, RFC 7118 §5).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// A connected stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(u64);

impl FlowId {
    /// The name of a connection that a peer opened; the driver counts `number`.
    pub const fn accepted(number: u64) -> Self {
        Self(number << 1)
    }

    /// The name of a connection that the endpoint opens.
    pub(crate) const fn opened(number: u64) -> Self {
        Self((number << 1) | 1)
    }
}

/// A question to the DNS that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub(crate) u64);

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// The address.
    pub addr: SocketAddr,
    /// The transport.
    pub transport: Transport,
}

/// A flow (RFC 5626 §3.1): a connection, or two addresses between which datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowPath {
    /// The far end.
    pub target: Target,
    /// Our end.
    pub local: SocketAddr,
    /// The connection; `None` for datagrams.
    pub flow: Option<FlowId>,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A socket or listener of ours is there. Its address goes into Via and Contact: it must be
    /// one that peers reach, not the unspecified one.
    Bound {
        /// Of the socket.
        transport: Transport,
        /// Where it is.
        local: SocketAddr,
    },
    /// It is there no more.
    Unbound {
        /// Of the socket.
        transport: Transport,
        /// Where it was.
        local: SocketAddr,
    },
    /// A datagram came.
    Datagram {
        /// The socket's address, as in [`Input::Bound`].
        local: SocketAddr,
        /// Who sent it.
        remote: SocketAddr,
        /// What it holds.
        data: Bytes,
    },
    /// A peer opened a connection.
    Accepted {
        /// Its name: [`FlowId::accepted`].
        flow: FlowId,
        /// Its transport.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// The connection that was asked for is there.
    Connected {
        /// Which.
        flow: FlowId,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// The connection that was asked for cannot be had.
    ConnectFailed {
        /// Which.
        flow: FlowId,
        /// Why.
        reason: String,
    },
    /// A connection brought bytes; on a WebSocket, one whole message of it.
    Received {
        /// Which.
        flow: FlowId,
        /// The bytes.
        data: &'a [u8],
    },
    /// A connection ended.
    Closed {
        /// Which.
        flow: FlowId,
    },
    /// The DNS answered. That a name, or records of that kind, do not exist is an answer too: one
    /// without records.
    Resolved {
        /// Which query.
        query: QueryId,
        /// What it said, or why it said nothing.
        result: Result<Answer, String>,
    },
}
