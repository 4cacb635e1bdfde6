//! Candidates and their lines (RFC 8839 §5.1, RFC 6544 §4.5, RFC 8838, RFC 8445 §5.1).
//!
//! ```text
//! candidate:1 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998
//!    foundation | transport       address  port   type   |   base of a reflexive or relayed one
//!         component  priority
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::crypto;
use crate::error::{ErrorKind, ParseError, UsageError};

/// Bytes that a line may have.
pub const MAX_LINE: usize = 1_024;
/// Extensions that a line may have.
const MAX_EXTENSIONS: usize = 16;
/// RFC 8445 §5.1.2.1: 31 bits.
const MAX_PRIORITY: u32 = 0x7fff_ffff;

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// An address of a relay.
    Relayed,
    /// What a STUN server saw.
    ServerReflexive,
    /// What a peer saw.
    PeerReflexive,
    /// An address of an interface.
    Host,
}

impl CandidateKind {
    /// Its word in a candidate line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }

    /// RFC 8445 §5.1.2.2; lower for TCP, which is worse for media (RFC 6544 §4.2).
    const fn preference(self, transport: Transport) -> u32 {
        match (self, transport) {
            (Self::Host, Transport::Udp) => 126,
            (Self::PeerReflexive, Transport::Udp) => 110,
            (Self::ServerReflexive, Transport::Udp) => 100,
            (Self::Host, Transport::Tcp(_)) => 90,
            (Self::PeerReflexive, Transport::Tcp(_)) => 85,
            (Self::ServerReflexive, Transport::Tcp(_)) => 80,
            (Self::Relayed, Transport::Udp) => 2,
            (Self::Relayed, Transport::Tcp(_)) => 0,
        }
    }
}

/// Who opens the connection (RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpType {
    /// It connects; its port is written as 9.
    Active,
    /// It listens.
    Passive,
    /// Both do, at the same time.
    SimultaneousOpen,
}

impl TcpType {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }

    /// Whether it can meet the other (RFC 6544 §6.2).
    pub(super) const fn meets(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Active, Self::Passive)
                | (Self::Passive, Self::Active)
                | (Self::SimultaneousOpen, Self::SimultaneousOpen)
        )
    }
}

/// The transport of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP with the framing of RFC 4571.
    Tcp(TcpType),
}

impl Transport {
    /// Whether it is TCP.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

/// The address of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address.
    Ip(IpAddr),
    /// A name; those in `.local` hide an address behind multicast DNS and are resolved by the driver.
    Name(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A candidate. `Display` writes the value of an `a=candidate` attribute, `FromStr` reads it, also
/// with `candidate:` or `a=candidate:` before it. Extensions that it does not know survive.
///
/// ```
/// use ice_stun::ice::{Candidate, CandidateKind};
///
/// let line = "1 1 UDP 2130706431 203.0.113.141 8998 typ host";
/// let candidate: Candidate = line.parse()?;
/// assert_eq!(candidate.kind(), CandidateKind::Host);
/// assert_eq!(candidate.socket_address(), Some("203.0.113.141:8998".parse().unwrap()));
/// assert_eq!(candidate.to_string(), line);
/// # Ok::<(), ice_stun::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    foundation: String,
    component: u16,
    transport: Transport,
    priority: u32,
    address: Address,
    port: u16,
    kind: CandidateKind,
    related: Option<(Address, u16)>,
    ufrag: Option<String>,
    extensions: Vec<(String, String)>,
}

impl Candidate {
    /// The address of an interface. `preference` orders addresses: the higher, the better.
    pub fn host(component: u16, transport: Transport, address: SocketAddr, preference: u16) -> Self {
        Self::new(CandidateKind::Host, component, transport, address, None, None, preference)
    }

    /// What the STUN server at `server` saw of `base`.
    pub fn server_reflexive(
        component: u16,
        mapped: SocketAddr,
        base: SocketAddr,
        server: IpAddr,
        preference: u16,
    ) -> Self {
        let kind = CandidateKind::ServerReflexive;
        Self::new(kind, component, Transport::Udp, mapped, Some(base), Some(server), preference)
    }

    /// An address of the relay at `server`, which sees us as `mapped`.
    pub fn relayed(
        component: u16,
        relayed: SocketAddr,
        mapped: SocketAddr,
        server: IpAddr,
        preference: u16,
    ) -> Self {
        let kind = CandidateKind::Relayed;
        Self::new(kind, component, Transport::Udp, relayed, Some(mapped), Some(server), preference)
    }

    /// What a peer saw of `base`.
    pub(super) fn peer_reflexive(
        component: u16,
        transport: Transport,
        mapped: SocketAddr,
        base: SocketAddr,
        priority: u32,
    ) -> Self {
        let kind = CandidateKind::PeerReflexive;
        let made = Self::new(kind, component, transport, mapped, Some(base), None, 0);
        Self { priority: priority.clamp(1, MAX_PRIORITY), ..made }
    }

    fn new(
        kind: CandidateKind,
        component: u16,
        transport: Transport,
        address: SocketAddr,
        related: Option<SocketAddr>,
        server: Option<IpAddr>,
        preference: u16,
    ) -> Self {
        // RFC 6544 §4.5: an active candidate has no port of its own yet.
        let port = match transport {
            Transport::Tcp(TcpType::Active) if kind == CandidateKind::Host => 9,
            _ => address.port(),
        };
        let base = match kind {
            CandidateKind::Relayed | CandidateKind::Host => address.ip(),
            _ => related.map_or(address.ip(), |related| related.ip()),
        };
        Self {
            foundation: foundation(kind, transport, base, server),
            component: component.clamp(1, 256),
            transport,
            priority: priority(kind, transport, preference, component),
            address: Address::Ip(address.ip()),
            port,
            kind,
            related: related.map(|related| (Address::Ip(related.ip()), related.port())),
            ufrag: None,
            extensions: Vec::new(),
        }
    }

    /// The same for signalling where the base is to stay unknown: `raddr` all zeros, `rport` 9.
    #[must_use]
    pub fn without_base(mut self) -> Self {
        if let Some(related) = &mut self.related {
            *related = (Address::Ip(Ipv4Addr::UNSPECIFIED.into()), 9);
        }
        self
    }

    /// The same with the user name fragment that it belongs to (RFC 8838 §12).
    pub fn with_ufrag(mut self, ufrag: &str) -> Result<Self, UsageError> {
        if ufrag.is_empty() || ufrag.len() > 256 || !ufrag.bytes().all(is_ice_char) {
            return Err(UsageError::TooLong { what: "ufrag of ice-chars", limit: 256 });
        }
        self.ufrag = Some(ufrag.to_owned());
        Ok(self)
    }

    /// Candidates with the same one are likely to fare alike (RFC 8445 §5.1.1.3).
    pub fn foundation(&self) -> &str {
        &self.foundation
    }

    /// 1 to 256; 1 is RTP, 2 its RTCP.
    pub fn component(&self) -> u16 {
        self.component
    }

    /// Its transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The higher, the better.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// Its address or name.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address and port, where there is an address.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Ip(ip) => Some(SocketAddr::new(*ip, self.port)),
            Address::Name(_) => None,
        }
    }

    /// Where it comes from.
    pub fn kind(&self) -> CandidateKind {
        self.kind
    }

    /// `raddr` and `rport`.
    pub fn related(&self) -> Option<(&Address, u16)> {
        self.related.as_ref().map(|(address, port)| (address, *port))
    }

    /// The user name fragment that it belongs to, if it says so.
    pub fn ufrag(&self) -> Option<&str> {
        self.ufrag.as_deref()
    }

    /// Extensions that this does not know, in order.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same with its name resolved.
    pub(super) fn resolved(mut self, ip: IpAddr) -> Self {
        self.address = Address::Ip(ip);
        self
    }
}

/// RFC 8445 §5.1.2.1, with RFC 6544 §4.2 for TCP.
pub(super) fn priority(kind: CandidateKind, transport: Transport, preference: u16, component: u16) -> u32 {
    let local = match transport {
        Transport::Udp => u32::from(preference),
        Transport::Tcp(tcp) => {
            let nat_assisted = matches!(kind, CandidateKind::ServerReflexive | CandidateKind::PeerReflexive);
            let direction = match (tcp, nat_assisted) {
                (TcpType::Active, false) | (TcpType::SimultaneousOpen, true) => 6,
                (TcpType::Passive, false) | (TcpType::Active, true) => 4,
                _ => 2,
            };
            direction << 13 | u32::from(preference) >> 3
        }
    };
    kind.preference(transport) << 24 | local << 8 | (256 - u32::from(component.clamp(1, 256)))
}

/// RFC 8445 §5.1.1.3: the same for the same type, base address, server and transport.
fn foundation(kind: CandidateKind, transport: Transport, base: IpAddr, server: Option<IpAddr>) -> String {
    let server = server.map(|ip| ip.to_string()).unwrap_or_default();
    let protocol = if transport.is_tcp() { "tcp" } else { "udp" };
    let text = format!("{} {protocol} {base} {server}", kind.name());
    crypto::crc32(text.as_bytes()).to_string()
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.transport.is_tcp() { "TCP" } else { "UDP" };
        write!(
            f,
            "{} {} {protocol} {} {} {} typ {}",
            self.foundation,
            self.component,
            self.priority,
            self.address,
            self.port,
            self.kind.name()
        )?;
        if let Some((address, port)) = &self.related {
            write!(f, " raddr {address} rport {port}")?;
        }
        if let Transport::Tcp(tcp) = self.transport {
            write!(f, " tcptype {}", tcp.name())?;
        }
        if let Some(ufrag) = &self.ufrag {
            write!(f, " ufrag {ufrag}")?;
        }
        self.extensions.iter().try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

impl FromStr for Candidate {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, ParseError> {
        if line.len() > MAX_LINE {
            return Err(ParseError::new(MAX_LINE, ErrorKind::Length, "a shorter candidate line"));
        }
        let mut words = Words { line, at: 0 };
        for prefix in ["a=", "candidate:"] {
            if line.get(words.at..).is_some_and(|rest| rest.starts_with(prefix)) {
                words.at += prefix.len();
            }
        }
        let foundation = words.next("a foundation")?;
        if foundation.text.len() > 32 || !foundation.text.bytes().all(is_ice_char) {
            return Err(foundation.wrong("a foundation of 1 to 32 ice-chars"));
        }
        let component = words.next("a component")?.number(1, 256, "a component of 1 to 256")?;
        let protocol = words.next("a transport")?;
        let priority = words.next("a priority")?.number(1, MAX_PRIORITY, "a priority of 1 to 2147483647")?;
        let address = words.next("an address")?.address()?;
        let port = words.next("a port")?.number(0, 65_535, "a port")?;
        let typ = words.next("typ")?;
        if typ.text != "typ" {
            return Err(typ.wrong("typ"));
        }
        let kind = words.next("a type")?;
        let kind = [
            CandidateKind::Host,
            CandidateKind::ServerReflexive,
            CandidateKind::PeerReflexive,
            CandidateKind::Relayed,
        ]
        .into_iter()
        .find(|known| kind.text.eq_ignore_ascii_case(known.name()))
        .ok_or_else(|| kind.wrong("host, srflx, prflx or relay"))?;

        let mut tail = Tail::default();
        while !words.is_at_end() {
            tail.extension(&mut words)?;
        }
        let end = line.len();
        let transport = if protocol.text.eq_ignore_ascii_case("UDP") {
            if let Some(tcp) = tail.tcp_type {
                tail.extensions.push(("tcptype".to_owned(), tcp.name().to_owned()));
            }
            Transport::Udp
        } else if protocol.text.eq_ignore_ascii_case("TCP") {
            let missing = ParseError::new(end, ErrorKind::Truncated, "tcptype and active, passive or so");
            Transport::Tcp(tail.tcp_type.ok_or(missing)?)
        } else {
            return Err(protocol.wrong("UDP or TCP"));
        };
        let related = match (tail.related_address, tail.related_port) {
            (Some(address), Some(port)) => Some((address, port)),
            (None, None) => None,
            (Some(_), None) => return Err(ParseError::new(end, ErrorKind::Truncated, "rport")),
            (None, Some(_)) => return Err(ParseError::new(end, ErrorKind::Truncated, "raddr")),
        };
        Ok(Self {
            foundation: foundation.text.to_owned(),
            component: narrow(component),
            transport,
            priority,
            address,
            port: narrow(port),
            kind,
            related,
            ufrag: tail.ufrag,
            extensions: tail.extensions,
        })
    }
}

/// What may follow the type.
#[derive(Default)]
struct Tail {
    related_address: Option<Address>,
    related_port: Option<u16>,
    tcp_type: Option<TcpType>,
    ufrag: Option<String>,
    extensions: Vec<(String, String)>,
}

impl Tail {
    fn extension(&mut self, words: &mut Words<'_>) -> Result<(), ParseError> {
        let name = words.next("the name of an extension")?;
        let value = words.next("the value of an extension")?;
        match name.text {
            "raddr" if self.related_address.is_none() => self.related_address = Some(value.address()?),
            "rport" if self.related_port.is_none() => {
                self.related_port = Some(narrow(value.number(0, 65_535, "a port")?));
            }
            "tcptype" if self.tcp_type.is_none() => {
                let known = [TcpType::Active, TcpType::Passive, TcpType::SimultaneousOpen];
                let found = known.into_iter().find(|known| value.text.eq_ignore_ascii_case(known.name()));
                self.tcp_type = Some(found.ok_or_else(|| value.wrong("active, passive or so"))?);
            }
            "ufrag" if self.ufrag.is_none() => {
                if value.text.len() > 256 || !value.text.bytes().all(is_ice_char) {
                    return Err(value.wrong("at most 256 ice-chars"));
                }
                self.ufrag = Some(value.text.to_owned());
            }
            "raddr" | "rport" | "tcptype" | "ufrag" => return Err(name.wrong("it once")),
            _ if self.extensions.len() >= MAX_EXTENSIONS => return Err(name.wrong("fewer extensions")),
            _ => self.extensions.push((name.text.to_owned(), value.text.to_owned())),
        }
        Ok(())
    }
}

struct Words<'a> {
    line: &'a str,
    at: usize,
}

struct Word<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn rest(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// Spaces alone at the end are forgiven.
    fn is_at_end(&self) -> bool {
        self.rest().bytes().all(|byte| byte == b' ')
    }

    /// The next word of visible ASCII; several spaces between words are forgiven.
    fn next(&mut self, what: &'static str) -> Result<Word<'a>, ParseError> {
        let spaces = self.rest().bytes().take_while(|byte| *byte == b' ').count();
        self.at += spaces;
        let at = self.at;
        let length = self.rest().bytes().take_while(|byte| *byte != b' ').count();
        let text = self.line.get(at..at + length).unwrap_or_default();
        if text.is_empty() {
            return Err(ParseError::new(at, ErrorKind::Truncated, what));
        }
        if let Some(bad) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(ParseError::new(at + bad, ErrorKind::Value, "visible ASCII"));
        }
        self.at += length;
        Ok(Word { text, at })
    }
}

impl Word<'_> {
    fn wrong(&self, what: &'static str) -> ParseError {
        ParseError::new(self.at, ErrorKind::Value, what)
    }

    fn number(&self, min: u32, max: u32, what: &'static str) -> Result<u32, ParseError> {
        let digits = self.text.len() <= 10 && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let value = if digits { self.text.parse().ok() } else { None };
        value.filter(|value| (min..=max).contains(value)).ok_or_else(|| self.wrong(what))
    }

    fn address(&self) -> Result<Address, ParseError> {
        if let Ok(ip) = self.text.parse() {
            return Ok(Address::Ip(ip));
        }
        let is_name = self.text.len() <= 253
            && self
                .text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
            && self.text.bytes().any(|byte| byte.is_ascii_alphabetic());
        if is_name {
            Ok(Address::Name(self.text.to_owned()))
        } else {
            Err(self.wrong("an address or a name"))
        }
    }
}

fn narrow(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// RFC 8839 §5.1.
pub(super) fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Candidate {
        line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn lines_of_rfc_8839_and_others_print_as_they_were() {
        for line in [
            "1 1 UDP 2130706431 203.0.113.141 8998 typ host",
            "2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
            "1 2 UDP 2130706430 2001:db8::1 8999 typ host",
            "4 1 UDP 2 198.51.100.7 5000 typ relay raddr 192.0.2.3 rport 45664",
            "7 1 UDP 1845501695 192.0.2.9 1 typ prflx raddr 0.0.0.0 rport 9",
            "1 1 TCP 2128609279 10.0.1.1 9 typ host tcptype active",
            "1 1 TCP 2124414975 10.0.1.1 8998 typ host tcptype passive ufrag 8hhY",
            "3 1 TCP 1688207359 192.0.2.3 9 typ srflx raddr 10.0.1.1 rport 9 tcptype so",
            "9 1 UDP 77 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 54596 typ host",
            "+/ab 256 UDP 1 192.0.2.1 0 typ host generation 0 network-id 3 network-cost 10",
        ] {
            assert_eq!(parse(line).to_string(), line);
            assert_eq!(parse(&format!("candidate:{line}")), parse(line));
            assert_eq!(parse(&format!("a=candidate:{line} ")), parse(line));
        }
        let loose = parse("1  1 udp 2130706431 203.0.113.141 8998 typ HOST");
        assert_eq!(loose.to_string(), "1 1 UDP 2130706431 203.0.113.141 8998 typ host");
        let hidden = parse("9 1 UDP 77 abc.local 54596 typ host");
        assert_eq!((hidden.address(), hidden.socket_address()), (&Address::Name("abc.local".into()), None));
    }

    #[test]
    fn a_bad_line_says_where() {
        for (line, at, what) in [
            ("", 0, "a foundation"),
            ("candidate:1", 11, "a component"),
            ("1- 1 UDP 1 192.0.2.1 1 typ host", 0, "a foundation of 1 to 32 ice-chars"),
            ("1 0 UDP 1 192.0.2.1 1 typ host", 2, "a component of 1 to 256"),
            ("1 257 UDP 1 192.0.2.1 1 typ host", 2, "a component of 1 to 256"),
            ("1 1 SCTP 1 192.0.2.1 1 typ host", 4, "UDP or TCP"),
            ("1 1 UDP 0 192.0.2.1 1 typ host", 8, "a priority of 1 to 2147483647"),
            ("1 1 UDP 99999999999 192.0.2.1 1 typ host", 8, "a priority of 1 to 2147483647"),
            ("1 1 UDP 1 192.0.2.1% 1 typ host", 10, "an address or a name"),
            ("1 1 UDP 1 192.0.2.1 65536 typ host", 20, "a port"),
            ("1 1 UDP 1 192.0.2.1 +1 typ host", 20, "a port"),
            ("1 1 UDP 1 192.0.2.1 1 type host", 22, "typ"),
            ("1 1 UDP 1 192.0.2.1 1 typ hots", 26, "host, srflx, prflx or relay"),
            ("1 1 UDP 1 192.0.2.1 1 typ srflx raddr 1.2.3.4", 45, "rport"),
            ("1 1 UDP 1 192.0.2.1 1 typ host generation", 41, "the value of an extension"),
            ("1 1 TCP 1 192.0.2.1 1 typ host", 30, "tcptype and active, passive or so"),
            ("1 1 UDP 1 192.0.2.1 1 typ host x y\r\nz 1", 34, "visible ASCII"),
            ("1 1 UDP 1 192.0.2.1 1 typ host ufrag a ufrag b", 39, "it once"),
        ] {
            let error = line.parse::<Candidate>().expect_err(line);
            assert_eq!((error.at, error.what), (at, what), "{line}");
        }
        let long = format!("1 1 UDP 1 192.0.2.1 1 typ host x {}", "y".repeat(MAX_LINE));
        assert_eq!(long.parse::<Candidate>().expect_err("too long").kind, ErrorKind::Length);
        let huge = format!("1 1 UDP 1 192.0.2.1 1 typ host ufrag {}", "y".repeat(257));
        assert_eq!(huge.parse::<Candidate>().expect_err("huge").what, "at most 256 ice-chars");
        let many = format!("1 1 UDP 1 192.0.2.1 1 typ host{}", " a b".repeat(17));
        assert_eq!(many.parse::<Candidate>().expect_err("many").what, "fewer extensions");
    }

    #[test]
    fn priorities_as_the_formulas_of_rfc_8445_and_rfc_6544() {
        let address = "192.0.2.1:5000".parse().unwrap();
        // RFC 8839 §5.1 shows these two for the best address.
        assert_eq!(Candidate::host(1, Transport::Udp, address, 65_535).priority(), 2_130_706_431);
        let reflexive = Candidate::server_reflexive(1, address, address, address.ip(), 65_535);
        assert_eq!(reflexive.priority(), 1_694_498_815);
        let relayed = Candidate::relayed(2, address, address, address.ip(), 65_535);
        assert_eq!(relayed.priority(), 2 << 24 | 65_535 << 8 | 254);
        let tcp = |kind| Candidate::host(1, Transport::Tcp(kind), address, 65_535).priority();
        assert!(tcp(TcpType::Active) > tcp(TcpType::Passive));
        assert!(tcp(TcpType::Passive) > tcp(TcpType::SimultaneousOpen));
        assert!(reflexive.priority() > tcp(TcpType::Active), "UDP first");
        assert_eq!(tcp(TcpType::Active), 90 << 24 | (6 << 13 | 8_191) << 8 | 255);
    }

    #[test]
    fn foundations_are_shared_by_what_fares_alike() {
        let (one, two) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap());
        let other: SocketAddr = "192.0.2.2:2".parse().unwrap();
        let host = |address| Candidate::host(1, Transport::Udp, address, 1).foundation().to_owned();
        assert_eq!(host(one), host(two), "ports do not count");
        assert_ne!(host(one), host(other));
        let seen = |base, server: SocketAddr| {
            Candidate::server_reflexive(1, other, base, server.ip(), 1).foundation().to_owned()
        };
        assert_eq!(seen(one, other), seen(two, other));
        assert_ne!(seen(one, other), seen(one, one), "another server");
        assert_ne!(seen(one, other), host(one), "another type");
    }

    #[test]
    fn nothing_of_ours_breaks_a_line() {
        let candidate = Candidate::host(1, Transport::Udp, "192.0.2.1:1".parse().unwrap(), 1);
        for bad in ["", "a b", "a\r\nx", "é", &"a".repeat(257)] {
            assert!(candidate.clone().with_ufrag(bad).is_err(), "{bad:?}");
        }
        let line = candidate.with_ufrag("8hhY").unwrap().to_string();
        assert!(line.ends_with(" ufrag 8hhY"));
    }
}
