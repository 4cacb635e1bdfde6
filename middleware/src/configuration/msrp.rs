//! How sessions use MSRP.

use std::net::IpAddr;
use std::path::PathBuf;

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
    /// Whether sessions that come to us use a relay (RFC 4976), if one is known and there is a password for it.
    pub use_relay_incoming: bool,
    /// Whether sessions of ours do.
    pub use_relay_outgoing: bool,
    /// The relay. `None`: the one of the SRV records of `_msrps._tcp` and the account's domain.
    pub relay_host: Option<String>,
    /// Its port. `None`: as SRV has it, else 2855.
    pub relay_port: Option<u16>,
    /// Whether to speak TLS with it. `None`: yes.
    pub relay_use_tls: Option<bool>,
    /// Whether to reach it over a WebSocket (RFC 7977); its port is 443 then, unless another is named.
    pub relay_use_websocket: bool,
    /// Media types taken as they are or wrapped in CPIM, as `a=accept-types` has them.
    pub accept_types: Vec<String>,
    /// Media types taken inside `message/cpim`.
    pub accept_wrapped_types: Vec<String>,
    /// Largest message taken, in bytes; more is refused with 413.
    pub max_message_size: u64,
    /// Whether peers that ask for it are told that a message was delivered (RFC 5438). That it was displayed is
    /// told by `displayed` alone.
    pub notify_delivery: bool,
    /// Whether a chat in a session whose connection is lost is taken up on another one, and what was not
    /// delivered sent again (RFC 4975 §5.4).
    pub reconnect: bool,
    /// Folder for the files that peers send, unless another is named when they are accepted.
    /// `None`: one has to be named.
    pub file_folder: Option<PathBuf>,
    /// Largest file taken, in bytes.
    pub max_file_size: u64,
    /// Folder whose files peers may ask for (RFC 5547 §8.2.2). `None`: such requests are refused.
    pub shared_folder: Option<PathBuf>,
}

impl Default for MsrpConfiguration {
    fn default() -> Self {
        Self {
            local_ip: None,
            local_port: None,
            local_use_tls: true,
            use_relay_incoming: true,
            use_relay_outgoing: false,
            relay_host: None,
            relay_port: None,
            relay_use_tls: None,
            relay_use_websocket: false,
            accept_types: vec!["message/cpim".to_owned(), "text/*".to_owned()],
            accept_wrapped_types: vec!["*".to_owned()],
            max_message_size: 1 << 20,
            notify_delivery: true,
            reconnect: true,
            file_folder: None,
            max_file_size: 1 << 40,
            shared_folder: None,
        }
    }
}
