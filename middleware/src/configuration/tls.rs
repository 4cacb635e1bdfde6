//! TLS as SIP uses it (RFC 3261 §26.3, RFC 5922).

use std::path::PathBuf;
use std::time::Duration;

/// How SIP over TLS and over secure WebSockets proves who it is, and what it takes for a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfiguration {
    /// Our certificate, with what leads to its authority, as PEM. `None`: one that is signed by
    /// itself is made for the listeners, and none is shown to servers that ask for one.
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`, as PEM. `None`: it is in the same file.
    pub key: Option<PathBuf>,
    /// The authorities that peers' certificates must lead to, as PEM. `None`: those of the system,
    /// or Mozilla's where the system has none.
    pub authorities: Option<PathBuf>,
    /// Whether a server has to prove that it is the one we want (RFC 5922 §7.3). On by default;
    /// without, anybody on the way can read and change what is sent.
    pub verify: bool,
    /// Whether `*.example.com` proves `sip.example.com`. RFC 5922 §7.2 forbids it, so it is off by
    /// default.
    pub wildcards: bool,
    /// Whether peers that connect have to show a certificate that leads to `authorities`.
    pub verify_clients: bool,
    /// How long TLS and WebSocket handshakes of those that connect may take. Default 5 s.
    pub handshake_timeout: Duration,
    /// Handshakes at one time; who connects beyond is turned away. Default 2048.
    pub max_handshakes: usize,
}

impl Default for TlsConfiguration {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            authorities: None,
            verify: true,
            wildcards: false,
            verify_clients: false,
            handshake_timeout: Duration::from_secs(5),
            max_handshakes: 2_048,
        }
    }
}
