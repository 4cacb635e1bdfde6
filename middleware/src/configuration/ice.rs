//! How audio streams find a way through NATs.

use std::fmt;

use zeroize::Zeroizing;

/// A relay (RFC 8656). `Debug` prints no password.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// Its host name or address.
    pub host: String,
    /// Its port; 3478, or 5349 with TLS.
    pub port: u16,
    /// How it is reached.
    pub transport: TurnTransport,
    /// Who we are to it.
    pub username: String,
    /// What proves it.
    pub password: Zeroizing<String>,
}

/// How a relay is reached.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum TurnTransport {
    /// In datagrams.
    #[default]
    Udp,
    /// On a connection.
    Tcp,
    /// On an encrypted connection.
    Tls,
}

impl TurnServer {
    /// A relay that is reached in datagrams, on port 3478.
    pub fn new(host: impl Into<String>, username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 3478,
            transport: TurnTransport::Udp,
            username: username.into(),
            password: Zeroizing::new(password.into()),
        }
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, transport, username, .. } = self;
        write!(f, "TurnServer({username}@{host}:{port} {transport:?})")
    }
}

/// How candidates are told that come while a call is being made (RFC 8838, in SIP by RFC 8840).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum IceTrickle {
    /// Not at all: offers and answers wait until all candidates are there.
    Off,
    /// Offers to peers of whom nothing is known wait; whatever else is said to who takes candidates in
    /// INFO does not (RFC 8840 §5.3).
    #[default]
    Half,
    /// The first offer does not wait either, and requires it of the peer (RFC 8840 §5.1): for networks where
    /// everybody can. Who cannot is called again as with `Half`.
    Full,
}

impl IceTrickle {
    /// `off`, `half`, `full`.
    pub fn name(self) -> &'static str {
        match self {
            IceTrickle::Off => "off",
            IceTrickle::Half => "half",
            IceTrickle::Full => "full",
        }
    }
}

/// What of ICE a session uses: made of its [`RtpConfiguration`](super::RtpConfiguration).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceConfiguration {
    /// A server that tells our address: host and port.
    pub stun: Option<(String, u16)>,
    /// A relay.
    pub turn: Option<TurnServer>,
    /// Nothing but the relay is used: the peer learns no address of ours.
    pub relay_only: bool,
    /// We only answer checks, and tell host candidates alone.
    pub lite: bool,
    /// Candidates over TCP too.
    pub tcp: bool,
}
