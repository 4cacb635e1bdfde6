//! The m= line's media type, transport and formats.

use std::fmt;

use crate::error::UsageError;
use crate::text::{Text, Token};

/// What a stream carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `text` (RFC 4103)
    Text,
    /// `application`
    Application,
    /// `message` (MSRP, RFC 4975)
    Message,
    /// `image` (RFC 3840, T.38)
    Image,
    /// Another.
    Other(Token),
}

/// The transport of a stream. Names are matched exactly; [`Protocol::is_rtp`] and its like do not mind case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551)
    RtpAvp,
    /// `RTP/SAVP` (RFC 3711)
    RtpSavp,
    /// `RTP/AVPF` (RFC 4585)
    RtpAvpf,
    /// `RTP/SAVPF` (RFC 5124)
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764)
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764)
    UdpTlsRtpSavpf,
    /// `TCP/RTP/AVP` (RFC 4571)
    TcpRtpAvp,
    /// `TCP/MSRP` (RFC 4975)
    TcpMsrp,
    /// `TCP/TLS/MSRP` (RFC 4975)
    TcpTlsMsrp,
    /// `TCP/BFCP` (RFC 8856)
    TcpBfcp,
    /// `UDP/DTLS/SCTP` (RFC 8841)
    UdpDtlsSctp,
    /// `udptl` (T.38)
    Udptl,
    /// `UDP/TLS/UDPTL` (RFC 7345)
    UdpTlsUdptl,
    /// `udp`
    Udp,
    /// `TCP` (RFC 4145)
    Tcp,
    /// `TCP/TLS` (RFC 8122)
    TcpTls,
    /// Another.
    Other(Token),
}

/// The formats of an m= line: payload types for RTP, `*` for MSRP, names for others.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Formats(pub(crate) Text);

const KINDS: [(&str, MediaKind); 6] = [
    ("audio", MediaKind::Audio),
    ("video", MediaKind::Video),
    ("message", MediaKind::Message),
    ("application", MediaKind::Application),
    ("text", MediaKind::Text),
    ("image", MediaKind::Image),
];

const PROTOCOLS: [(&str, Protocol); 16] = [
    ("RTP/AVP", Protocol::RtpAvp),
    ("RTP/SAVP", Protocol::RtpSavp),
    ("RTP/AVPF", Protocol::RtpAvpf),
    ("RTP/SAVPF", Protocol::RtpSavpf),
    ("UDP/TLS/RTP/SAVPF", Protocol::UdpTlsRtpSavpf),
    ("UDP/TLS/RTP/SAVP", Protocol::UdpTlsRtpSavp),
    ("TCP/RTP/AVP", Protocol::TcpRtpAvp),
    ("TCP/MSRP", Protocol::TcpMsrp),
    ("TCP/TLS/MSRP", Protocol::TcpTlsMsrp),
    ("TCP/BFCP", Protocol::TcpBfcp),
    ("UDP/DTLS/SCTP", Protocol::UdpDtlsSctp),
    ("udptl", Protocol::Udptl),
    ("UDP/TLS/UDPTL", Protocol::UdpTlsUdptl),
    ("udp", Protocol::Udp),
    ("TCP", Protocol::Tcp),
    ("TCP/TLS", Protocol::TcpTls),
];

impl MediaKind {
    pub(crate) fn known(name: &str) -> Option<Self> {
        KINDS.iter().find(|(text, _)| *text == name).map(|(_, kind)| kind.clone())
    }

    /// The kind of that name.
    pub fn new(name: &str) -> Result<Self, UsageError> {
        Self::known(name).map_or_else(|| Token::new(name).map(MediaKind::Other), Ok)
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Text => "text",
            MediaKind::Application => "application",
            MediaKind::Message => "message",
            MediaKind::Image => "image",
            MediaKind::Other(other) => other,
        }
    }
}

impl Protocol {
    pub(crate) fn known(name: &str) -> Option<Self> {
        PROTOCOLS.iter().find(|(text, _)| *text == name).map(|(_, protocol)| protocol.clone())
    }

    /// The transport of that name.
    pub fn new(name: &str) -> Result<Self, UsageError> {
        Self::known(name).map_or_else(|| Token::new(name).map(Protocol::Other), Ok)
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Protocol::RtpAvp => "RTP/AVP",
            Protocol::RtpSavp => "RTP/SAVP",
            Protocol::RtpAvpf => "RTP/AVPF",
            Protocol::RtpSavpf => "RTP/SAVPF",
            Protocol::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Protocol::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Protocol::TcpRtpAvp => "TCP/RTP/AVP",
            Protocol::TcpMsrp => "TCP/MSRP",
            Protocol::TcpTlsMsrp => "TCP/TLS/MSRP",
            Protocol::TcpBfcp => "TCP/BFCP",
            Protocol::UdpDtlsSctp => "UDP/DTLS/SCTP",
            Protocol::Udptl => "udptl",
            Protocol::UdpTlsUdptl => "UDP/TLS/UDPTL",
            Protocol::Udp => "udp",
            Protocol::Tcp => "TCP",
            Protocol::TcpTls => "TCP/TLS",
            Protocol::Other(other) => other,
        }
    }

    /// Whether RTP runs in it, so that the formats are payload types.
    pub fn is_rtp(&self) -> bool {
        let mut parts = self.as_str().split('/').rev();
        let profile = parts.next().unwrap_or_default();
        let rtp = parts.next().unwrap_or_default();
        rtp.eq_ignore_ascii_case("RTP")
            && ["AVP", "SAVP", "AVPF", "SAVPF"].iter().any(|known| profile.eq_ignore_ascii_case(known))
    }

    /// Whether it is an RTP profile that encrypts: `SAVP` or `SAVPF`.
    pub fn is_secure_rtp(&self) -> bool {
        let profile = self.as_str().rsplit('/').next().unwrap_or_default();
        self.is_rtp() && profile.get(..1).is_some_and(|first| first.eq_ignore_ascii_case("S"))
    }

    /// Whether MSRP runs in it, with TLS or without.
    pub fn is_msrp(&self) -> bool {
        let name = self.as_str();
        name.eq_ignore_ascii_case("TCP/MSRP") || name.eq_ignore_ascii_case("TCP/TLS/MSRP")
    }
}

impl Formats {
    /// The formats one after another.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.as_str().split(' ').filter(|format| !format.is_empty())
    }

    /// The formats that are payload types, 0 to 127; others are left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + Clone + '_ {
        self.iter().filter_map(crate::number::payload_type)
    }

    /// The first, which is the preferred one.
    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Whether that format is there.
    pub fn contains(&self, format: &str) -> bool {
        self.iter().any(|one| one == format)
    }

    /// Adds one at the end.
    pub fn push(&mut self, format: impl fmt::Display) -> Result<(), UsageError> {
        let format = Token::new(format.to_string())?;
        let all = if self.is_empty() { format.to_string() } else { format!("{} {format}", self.0) };
        self.0 = Text::new(all)?;
        Ok(())
    }

    /// A list of formats.
    pub fn new<F: fmt::Display>(formats: impl IntoIterator<Item = F>) -> Result<Self, UsageError> {
        let mut all = String::new();
        for format in formats {
            let format = Token::new(format.to_string())?;
            if !all.is_empty() {
                all.push(' ');
            }
            all.push_str(&format);
        }
        Ok(Formats(Text::new(all)?))
    }

    /// The list as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

macro_rules! display_as_str {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

display_as_str!(MediaKind, Protocol, Formats);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (name, kind) in KINDS {
            assert_eq!(kind.as_str(), name);
        }
        for (name, protocol) in PROTOCOLS {
            assert_eq!(protocol.as_str(), name);
        }
    }

    #[test]
    fn families() {
        let of = |name| Protocol::new(name).expect("a word");
        assert!(of("rtp/savpf").is_rtp() && of("rtp/savpf").is_secure_rtp());
        assert!(of("UDP/TLS/RTP/SAVPF").is_secure_rtp());
        assert!(!of("RTP/AVPF").is_secure_rtp());
        assert!(!of("udptl").is_rtp() && !of("TCP/MSRP").is_rtp());
        assert!(of("tcp/tls/msrp").is_msrp());
    }

    #[test]
    fn formats_are_words() {
        let mut formats = Formats::new([0, 8]).expect("numbers");
        formats.push(300).expect("a word");
        assert_eq!(formats.as_str(), "0 8 300");
        assert_eq!(formats.payload_types().collect::<Vec<_>>(), [0, 8]);
        assert!(formats.push("9 10").is_err());
        assert!(formats.push("9\r\na=x").is_err());
        assert_eq!(formats.len(), 3);
    }
}
