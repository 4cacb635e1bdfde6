//! Hosts, names and addresses, and the ports behind them.

use crate::{
    ErrorKind, ParseError, Text,
    grammar::{self, class},
    swar,
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A host name or address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name.
    Name(Text),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address, printed in brackets.
    Ipv6(Ipv6Addr),
}

/// A host and the port behind it, if there is one.
pub(crate) type HostPort = (Host, Option<u16>);

/// `host [ ":" port ]` at the start of `text`; an error is how much text was left, and what was expected.
pub(crate) fn host_port(text: &str) -> Result<(&str, HostPort), (usize, &'static str)> {
    let (host, rest) = if text.starts_with('[') {
        let inner = grammar::cut(text, 1).1;
        let Some(close) = memchr::memchr(b']', inner.as_bytes()) else {
            return Err((inner.len(), "']' after an IPv6 address"));
        };
        let (address, rest) = grammar::cut(inner, close);
        let address = address.parse().map_err(|_| (inner.len(), "an IPv6 address"))?;
        (Host::Ipv6(address), rest.strip_prefix(']').unwrap_or(rest))
    } else {
        if text.as_bytes().first().is_some_and(u8::is_ascii_digit)
            && let Some((address, len)) = ipv4(text)
        {
            return port(grammar::cut(text, len).1, Host::Ipv4(address));
        }
        // Parts with single dots between them; one may close the name.
        let (name, rest) = grammar::take(text, class::HOST);
        if name.is_empty() || name.starts_with('.') || has_double_dot(name.as_bytes()) {
            return Err((text.len(), "a host"));
        }
        (Host::Name(name.into()), rest)
    };
    port(rest, host)
}

#[inline]
fn has_double_dot(mut name: &[u8]) -> bool {
    while let Some((_, rest)) = swar::find(name, b'.').and_then(|dot| name.split_at_checked(dot + 1)) {
        if rest.first() == Some(&b'.') {
            return true;
        }
        name = rest;
    }
    false
}

/// The port behind a host, if there is one.
#[inline]
fn port(rest: &str, host: Host) -> Result<(&str, HostPort), (usize, &'static str)> {
    let Some(digits) = rest.strip_prefix(':') else {
        return Ok((rest, (host, None)));
    };
    match grammar::number(digits, u64::from(u16::MAX), "a port") {
        Ok((rest, port)) => Ok((rest, (host, u16::try_from(port).ok()))),
        Err(_) => Err((digits.len(), "a port")),
    }
}

impl Host {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ipv4(ip) => Some((*ip).into()),
            Self::Ipv6(ip) => Some((*ip).into()),
        }
    }

    /// Equal, names without case and without a closing dot.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => {
                a.strip_suffix('.').unwrap_or(a).eq_ignore_ascii_case(b.strip_suffix('.').unwrap_or(b))
            }
            (a, b) => a == b,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ipv4(ip),
            IpAddr::V6(ip) => Self::Ipv6(ip),
        }
    }
}

impl FromStr for Host {
    type Err = ParseError;

    /// A name, an IPv4 address, or an IPv6 address with or without brackets.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self::Ipv6(ip));
        }
        match host_port(text) {
            Ok(("", (host, None))) => Ok(host),
            Ok(_) => Err(ParseError::new(0, ErrorKind::Syntax, "a host")),
            Err((left, what)) => Err(ParseError::new(text.len() - left, ErrorKind::Syntax, what)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ipv4(ip) => write!(f, "{ip}"),
            Self::Ipv6(ip) => write!(f, "[{ip}]"),
        }
    }
}

/// The IPv4 address that the host at the start of `text` spells, and its length: four numbers up to 255
/// without leading zeros.
#[inline]
fn ipv4(text: &str) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0; 4];
    let (mut value, mut digits, mut at) = (0u16, 0, 0);
    let mut len = 0;
    for b in text.bytes() {
        match b {
            b'0'..=b'9' if digits == 0 || (value > 0 && digits < 3) => {
                value = value * 10 + u16::from(b - b'0');
                digits += 1;
            }
            b'.' if digits > 0 => {
                *octets.get_mut(at)? = u8::try_from(value).ok()?;
                (value, digits, at) = (0, 0, at + 1);
            }
            _ if grammar::is_in(b, class::HOST) => return None,
            _ => break,
        }
        len += 1;
    }
    if digits == 0 || at != 3 {
        return None;
    }
    *octets.get_mut(at)? = u8::try_from(value).ok()?;
    Some((octets.into(), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_as_the_standard_library_has_it() {
        for text in [
            "192.0.2.1",
            "0.0.0.0",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.",
            ".1.2.3",
            "1..2.3",
            "01.2.3.4",
            "1.2.3.00",
            "1.2.3.4a",
            "1.2.3.1000",
            "",
            "1",
            "999999.1.1.1",
            "1.2.3.-4",
            "1.2.3.4.",
            "1.2.3.4-x",
            "1.2.3.256",
        ] {
            let expected = text.parse().ok().map(|address: Ipv4Addr| (address, text.len()));
            assert_eq!(ipv4(text), expected, "{text}");
            let host = text.parse::<Host>().ok().and_then(|host| host.ip());
            assert_eq!(host, text.parse::<Ipv4Addr>().ok().map(IpAddr::from), "{text}");
        }
        assert_eq!(ipv4("192.0.2.1:5060"), Some(([192, 0, 2, 1].into(), 9)));
    }
}
