//! The o= and c= lines.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::UsageError;
use crate::text::Token;

/// Network type, address type and address, as o=, c= and `a=rtcp` have them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// `IN`, or what else came.
    pub net_type: NetType,
    /// `IP4`, `IP6`, or what else came.
    pub addr_type: AddrType,
    /// An IP address or a host name.
    pub host: Token,
}

/// The network type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NetType {
    /// `IN`, the Internet.
    Internet,
    /// Another, such as `PSTN` (RFC 7195).
    Other(Token),
}

/// The address type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AddrType {
    /// `IP4`.
    Ip4,
    /// `IP6`.
    Ip6,
    /// Another, such as `E164` (RFC 7195).
    Other(Token),
}

/// The c= line (RFC 8866 §5.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Where the media goes.
    pub address: Address,
    /// Time to live of an IPv4 multicast.
    pub ttl: Option<u8>,
    /// How many contiguous multicast addresses.
    pub count: Option<u32>,
}

/// The o= line (RFC 8866 §5.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The user's login, or `-`.
    pub username: Token,
    /// The session, as a string of digits; see [`SessionId`].
    pub session_id: SessionId,
    /// Counts the changes of the description.
    pub session_version: u64,
    /// The machine that made the session.
    pub address: Address,
}

/// The session identifier: digits, however many, kept as they came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) Token);

impl SessionId {
    /// The number, if it fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The digits as they came.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<u64> for SessionId {
    fn from(id: u64) -> Self {
        SessionId(Token::new(id.to_string()).unwrap_or(Token::from_static("0")))
    }
}

impl PartialEq<u64> for SessionId {
    fn eq(&self, other: &u64) -> bool {
        self.as_u64() == Some(*other)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Origin {
    /// An origin with the username `-`. RFC 3264 §5 wants both numbers to fit 63 bits: the top bit is cleared.
    pub fn new(session_id: u64, session_version: u64, address: impl Into<Address>) -> Self {
        Self {
            username: Token::from_static("-"),
            session_id: SessionId::from(session_id & (u64::MAX >> 1)),
            session_version: session_version & (u64::MAX >> 1),
            address: address.into(),
        }
    }

    /// The same session by the same maker, in whatever version (RFC 8866 §5.2).
    pub fn same_session(&self, other: &Origin) -> bool {
        self.username == other.username
            && self.session_id == other.session_id
            && self.address == other.address
    }
}

impl Address {
    /// An address from its host name or IP address: `IP6` if it holds a colon.
    pub fn new(host: impl AsRef<str>) -> Result<Self, UsageError> {
        let host = Token::new(host)?;
        let addr_type = if host.contains(':') { AddrType::Ip6 } else { AddrType::Ip4 };
        Ok(Self { net_type: NetType::Internet, addr_type, host })
    }

    /// The IP address, if it is one of the Internet.
    pub fn ip(&self) -> Option<IpAddr> {
        match (&self.net_type, &self.addr_type) {
            (NetType::Internet, AddrType::Ip4 | AddrType::Ip6) => self.host.parse().ok(),
            _ => None,
        }
    }

    /// `0.0.0.0` or `::`.
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// What a description without o= or c= amounts to.
    pub(crate) const fn unknown() -> Self {
        Self { net_type: NetType::Internet, addr_type: AddrType::Ip4, host: Token::from_static("0.0.0.0") }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        let addr_type = if ip.is_ipv4() { AddrType::Ip4 } else { AddrType::Ip6 };
        let host = Token::new(ip.to_string()).unwrap_or(Token::from_static("0.0.0.0"));
        Self { net_type: NetType::Internet, addr_type, host }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::V4(ip).into()
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::V6(ip).into()
    }
}

impl From<Address> for Connection {
    fn from(address: Address) -> Self {
        Self { address, ttl: None, count: None }
    }
}

impl From<IpAddr> for Connection {
    fn from(ip: IpAddr) -> Self {
        Address::from(ip).into()
    }
}

impl From<Ipv4Addr> for Connection {
    fn from(ip: Ipv4Addr) -> Self {
        Address::from(ip).into()
    }
}

impl From<Ipv6Addr> for Connection {
    fn from(ip: Ipv6Addr) -> Self {
        Address::from(ip).into()
    }
}

impl NetType {
    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            NetType::Internet => "IN",
            NetType::Other(other) => other,
        }
    }
}

impl AddrType {
    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            AddrType::Ip4 => "IP4",
            AddrType::Ip6 => "IP6",
            AddrType::Other(other) => other,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.net_type.as_str())?;
        f.write_str(" ")?;
        f.write_str(self.addr_type.as_str())?;
        f.write_str(" ")?;
        f.write_str(&self.host)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if let Some(ttl) = self.ttl {
            write!(f, "/{ttl}")?;
        }
        if let Some(count) = self.count {
            write!(f, "/{count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.username)?;
        f.write_str(" ")?;
        f.write_str(self.session_id.as_str())?;
        write!(f, " {} ", self.session_version)?;
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_8866_has_it() {
        let origin = Origin::new(3, 4, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(origin.to_string(), "- 3 4 IN IP4 192.0.2.1");
        let mut connection = Connection::from(Ipv4Addr::new(233, 252, 0, 1));
        connection.ttl = Some(127);
        connection.count = Some(3);
        assert_eq!(connection.to_string(), "IN IP4 233.252.0.1/127/3");
        assert_eq!(Address::new("2001:db8::1").expect("an address").to_string(), "IN IP6 2001:db8::1");
    }

    #[test]
    fn the_numbers_fit_63_bits() {
        let origin = Origin::new(u64::MAX, u64::MAX, Ipv4Addr::LOCALHOST);
        assert_eq!(origin.session_id.as_u64(), Some(i64::MAX.unsigned_abs()));
        assert_eq!(origin.session_version, i64::MAX.unsigned_abs());
    }
}
