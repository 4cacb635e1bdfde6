//! How sessions use RTP.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{IceConfiguration, IceTrickle, TurnServer};

/// Configuration of audio streams, copied into each session when it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpConfiguration {
    /// Address for RTP, IPv4 or IPv6. `None`: the address of this host that reaches the peer.
    pub local_rtp_address: Option<IpAddr>,
    /// Whether to use SRTP.
    pub use_srtp: bool,
    /// If SRTP is used, whether it is mandatory.
    pub srtp_forced: bool,
    /// How the keys of SRTP are agreed on.
    pub srtp_keying: SrtpKeying,
    /// Suites for keys in descriptions, by their names in `a=crypto`, the preferred first; those
    /// unknown here are left out. With DTLS the handshake chooses.
    pub srtp_suites: Vec<String>,
    /// Whether to use ICE (RFC 8445): a way through NATs is looked for, and the peer's consent kept.
    pub use_ice: bool,
    /// The STUN server that tells our address, by name or number. `None`: host candidates only. A
    /// name is looked for as a service first (`_stun._udp`), unless a port other than the default
    /// one is given; the relay's likewise.
    pub ice_stun_address: Option<String>,
    /// Its port.
    pub ice_stun_port: u16,
    /// The relay to fall back on.
    pub ice_turn: Option<TurnServer>,
    /// Nothing but the relay is used: the peer learns no address of ours.
    pub ice_relay_only: bool,
    /// We only answer checks (RFC 8445 §2.5): for hosts that everybody reaches, without servers.
    pub ice_lite: bool,
    /// Candidates over TCP too (RFC 6544), for networks that let no datagrams out.
    pub ice_tcp: bool,
    /// Whether calls wait for candidates, or candidates follow in INFO as they come.
    pub ice_trickle: IceTrickle,
    /// Ports to take RTP sockets from, even numbers for RTP and the next for RTCP.
    /// `None`: the system chooses.
    pub port_range: Option<RangeInclusive<u16>>,
    /// What packets of audio are marked with for the networks that they cross (RFC 2474), from 0 to 63.
    /// Default 46: expedited forwarding (RFC 3246), as RFC 4594 §4.1 has it for telephony.
    pub dscp: u8,
    /// Codecs by their SDP names, the preferred first; those unknown here are left out. `CN` among them
    /// asks for comfort noise (RFC 3389): then pauses in speech are not sent.
    pub codecs: Vec<String>,
}

/// How the keys of SRTP are agreed on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum SrtpKeying {
    /// Keys in the description (RFC 4568) are offered; of offers either is taken.
    #[default]
    Sdes,
    /// DTLS (RFC 5763) is offered and taken, and nothing else: who reads the signalling learns no
    /// key.
    Dtls,
    /// Both are offered beside RTP/AVP where SRTP is optional (RFC 8643), DTLS where it is
    /// mandatory; either is taken.
    Both,
}

impl SrtpKeying {
    /// Whether keys in descriptions are taken.
    pub fn takes_sdes(self) -> bool {
        self != SrtpKeying::Dtls
    }

    /// `sdes`, `dtls`, `both`.
    pub fn name(self) -> &'static str {
        match self {
            SrtpKeying::Sdes => "sdes",
            SrtpKeying::Dtls => "dtls",
            SrtpKeying::Both => "both",
        }
    }
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

impl RtpConfiguration {
    /// Whether candidates may follow in INFO.
    pub(crate) fn trickles(&self) -> bool {
        self.use_ice && self.ice_trickle != IceTrickle::Off
    }

    /// What of ICE is used, if it is.
    pub fn ice(&self) -> Option<IceConfiguration> {
        self.use_ice.then(|| IceConfiguration {
            stun: self.ice_stun_address.clone().map(|host| (host, self.ice_stun_port)),
            turn: self.ice_turn.clone(),
            relay_only: self.ice_relay_only,
            lite: self.ice_lite,
            tcp: self.ice_tcp,
        })
    }
}

impl Default for RtpConfiguration {
    fn default() -> Self {
        let codecs = ["opus", "G722", "PCMU", "PCMA"];
        let suites =
            ["AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"];
        Self {
            local_rtp_address: None,
            use_srtp: false,
            srtp_forced: false,
            srtp_keying: SrtpKeying::default(),
            srtp_suites: suites.map(str::to_owned).to_vec(),
            use_ice: false,
            ice_stun_address: None,
            ice_stun_port: 3478,
            ice_turn: None,
            ice_relay_only: false,
            ice_lite: false,
            ice_tcp: false,
            ice_trickle: IceTrickle::default(),
            port_range: None,
            dscp: 46,
            codecs: codecs.map(str::to_owned).to_vec(),
        }
    }
}
