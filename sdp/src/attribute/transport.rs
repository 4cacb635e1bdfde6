//! How a stream is carried: rtcp, setup, connection, fingerprint.

use std::fmt;
use std::str::FromStr;

use super::valued;
use crate::address::{AddrType, Address, NetType};
use crate::error::ParseError;
use crate::number;
use crate::text::Token;

/// `a=rtcp` (RFC 3605)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rtcp {
    /// The port for RTCP.
    pub port: u16,
    /// Its address, where it is another than that of c=.
    pub address: Option<Address>,
}

/// `a=setup` (RFC 4145 §4)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The writer connects.
    Active,
    /// The writer waits.
    Passive,
    /// Either; only in offers.
    ActPass,
    /// No connection yet.
    HoldConn,
}

/// `a=connection` (RFC 4145 §5)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpConnection {
    /// A new connection is wanted.
    New,
    /// The one that is there serves on.
    Existing,
}

/// `a=fingerprint` (RFC 8122 §5)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The hash function, in lower case.
    pub hash: String,
    /// The hash of the certificate.
    pub digest: Vec<u8>,
}

valued!(Rtcp => "rtcp", Setup => "setup", TcpConnection => "connection", Fingerprint => "fingerprint");

impl Setup {
    /// What the answerer may say to this, the preferred one first (RFC 4145 §4.1; RFC 5763 §5 prefers active).
    pub const fn answers(self) -> &'static [Setup] {
        match self {
            Setup::Active => &[Setup::Passive, Setup::HoldConn],
            Setup::Passive => &[Setup::Active, Setup::HoldConn],
            Setup::ActPass => &[Setup::Active, Setup::Passive, Setup::HoldConn],
            Setup::HoldConn => &[Setup::HoldConn],
        }
    }
}

impl FromStr for Rtcp {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("a port, and IN, IP4 or IP6, address");
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let port = words.next().and_then(number::u16).ok_or(wrong)?;
        let address = match (words.next(), words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some(net), Some(addr), Some(host), None) => {
                let token = |text| Token::new(text).map_err(|_| wrong);
                Some(Address {
                    net_type: if net == "IN" { NetType::Internet } else { NetType::Other(token(net)?) },
                    addr_type: match addr {
                        "IP4" => AddrType::Ip4,
                        "IP6" => AddrType::Ip6,
                        other => AddrType::Other(token(other)?),
                    },
                    host: token(host)?,
                })
            }
            _ => return Err(wrong),
        };
        Ok(Rtcp { port, address })
    }
}

impl FromStr for Setup {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        Ok(match value.trim() {
            "active" => Setup::Active,
            "passive" => Setup::Passive,
            "actpass" => Setup::ActPass,
            "holdconn" => Setup::HoldConn,
            _ => return Err(ParseError::syntax("active, passive, actpass or holdconn")),
        })
    }
}

impl FromStr for TcpConnection {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        Ok(match value.trim() {
            "new" => TcpConnection::New,
            "existing" => TcpConnection::Existing,
            _ => return Err(ParseError::syntax("new or existing")),
        })
    }
}

impl FromStr for Fingerprint {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let (hash, digest) =
            value.trim().split_once(' ').ok_or(ParseError::syntax("a hash function and a fingerprint"))?;
        let hash = hash.to_ascii_lowercase();
        let digest = digest
            .trim()
            .split(':')
            .map(|pair| match pair.len() {
                2 if pair.bytes().all(|byte| byte.is_ascii_hexdigit()) => u8::from_str_radix(pair, 16).ok(),
                _ => None,
            })
            .collect::<Option<Vec<u8>>>()
            .ok_or(ParseError::syntax("pairs of hexadecimal digits between colons"))?;
        let length = match hash.as_str() {
            "md5" | "md2" => 16,
            "sha-1" => 20,
            "sha-224" => 28,
            "sha-256" => 32,
            "sha-384" => 48,
            "sha-512" => 64,
            _ => digest.len(),
        };
        if digest.len() != length {
            return Err(ParseError::range("as many bytes as the hash function gives"));
        }
        Ok(Fingerprint { hash, digest })
    }
}

impl fmt::Display for Rtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        self.address.iter().try_for_each(|address| write!(f, " {address}"))
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Setup::Active => "active",
            Setup::Passive => "passive",
            Setup::ActPass => "actpass",
            Setup::HoldConn => "holdconn",
        })
    }
}

impl fmt::Display for TcpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TcpConnection::New => "new",
            TcpConnection::Existing => "existing",
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hash)?;
        let mut separator = ' ';
        for byte in &self.digest {
            write!(f, "{separator}{byte:02X}")?;
            separator = ':';
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        for text in
            ["53020", "53020 IN IP4 126.16.64.4", "53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD"]
        {
            assert_eq!(text.parse::<Rtcp>().expect(text).to_string(), text);
        }
        for bad in ["", "65536", "1 IN", "1 IN IP4 a b"] {
            assert!(bad.parse::<Rtcp>().is_err(), "{bad}");
        }
        let text = "sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";
        assert_eq!(text.parse::<Fingerprint>().expect(text).to_string(), text);
        for bad in ["sha-1 4A", "sha-256", "x 4", "x 4A:", "x +4"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn setup_answers() {
        assert_eq!(Setup::ActPass.answers().first(), Some(&Setup::Active));
        assert!(!Setup::Active.answers().contains(&Setup::Active));
        assert_eq!(Setup::HoldConn.answers(), [Setup::HoldConn]);
    }
}
