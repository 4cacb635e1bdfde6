//! How sessions use RTP.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Configuration of audio streams, copied into each session when it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpConfiguration {
    /// Address for RTP, IPv4 or IPv6. `None`: the address of this host that reaches the peer.
    pub local_rtp_address: Option<IpAddr>,
    /// Whether to use SRTP (keys by RFC 4568).
    pub use_srtp: bool,
    /// If SRTP is used, whether it is mandatory.
    pub srtp_forced: bool,
    /// Ports to take RTP sockets from, even numbers for RTP and the next for RTCP.
    /// `None`: the system chooses.
    pub port_range: Option<RangeInclusive<u16>>,
    /// Codecs by their SDP names, the preferred first; those unknown here are left out.
    pub codecs: Vec<String>,
}

/// What the two SRTP switches come to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Plain RTP only: an offer of RTP/SAVP is refused.
    Off,
    /// RTP/AVP with keys beside; encrypted if both have a suite in common.
    Optional,
    /// RTP/SAVP or nothing.
    Mandatory,
}

impl RtpConfiguration {
    /// `use_srtp` and `srtp_forced` in one value. Forcing what is not used means nothing.
    pub fn srtp_policy(&self) -> SrtpPolicy {
        match (self.use_srtp, self.srtp_forced) {
            (false, _) => SrtpPolicy::Off,
            (true, false) => SrtpPolicy::Optional,
            (true, true) => SrtpPolicy::Mandatory,
        }
    }
}

impl Default for RtpConfiguration {
    fn default() -> Self {
        let codecs = ["opus", "G722", "PCMU", "PCMA"];
        Self {
            local_rtp_address: None,
            use_srtp: false,
            srtp_forced: false,
            port_range: None,
            codecs: codecs.map(str::to_owned).to_vec(),
        }
    }
}
