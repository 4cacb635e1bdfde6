//! How sessions use MSRP.

use std::net::IpAddr;

/// Configuration of MSRP streams, copied into each session when it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpConfiguration {
    /// Address for the MSRP URI. `None`: the address of this host that reaches the peer.
    pub local_ip: Option<IpAddr>,
    /// Port to listen on. `None`: the system chooses one for each stream.
    pub local_port: Option<u16>,
    /// `msrps` in the local MSRP URI (RFC 4975 §14.2). With no certificate configured one is
    /// made, and its fingerprint goes into the SDP (RFC 4975 §14.4).
    pub local_use_tls: bool,
    /// Media types taken as they are or wrapped in CPIM, as `a=accept-types` has them.
    pub accept_types: Vec<String>,
    /// Media types taken inside `message/cpim`.
    pub accept_wrapped_types: Vec<String>,
    /// Largest message taken, in bytes; more is refused with 413.
    pub max_message_size: u64,
}

impl Default for MsrpConfiguration {
    fn default() -> Self {
        Self {
            local_ip: None,
            local_port: None,
            local_use_tls: true,
            accept_types: vec!["message/cpim".to_owned(), "text/*".to_owned()],
            accept_wrapped_types: vec!["*".to_owned()],
            max_message_size: 1 << 20,
        }
    }
}
