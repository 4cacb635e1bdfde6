//! MSRP URIs: RFC 4975 §6.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{ParseError, ParseErrorKind};

/// The longest URI that is read.
pub const MAX_URI: usize = 1024;

/// An MSRP URI, `msrps://user@host:port/session;tcp;parameter=value`.
///
/// [`PartialEq`] compares the parts as written; [`MsrpUri::matches`] is the comparison of RFC 4975 §6.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MsrpUri {
    /// `msrps`, that is over TLS.
    pub secure: bool,
    /// The userinfo part; not considered in comparisons.
    pub user: Option<String>,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// The port, if there is one.
    pub port: Option<u16>,
    /// The session id, case-sensitive. Absent in the URI of a relay.
    pub session_id: Option<String>,
    /// The transport, as a rule `tcp` (`ws` in RFC 7977).
    pub transport: String,
    /// Further parameters.
    pub parameters: Vec<(String, Option<String>)>,
}

impl MsrpUri {
    /// A URI over TCP, or TLS if `secure`.
    #[must_use]
    pub fn new(secure: bool, host: impl Into<String>, port: u16, session_id: impl Into<String>) -> Self {
        Self {
            secure,
            user: None,
            host: host.into(),
            port: Some(port),
            session_id: Some(session_id.into()),
            transport: "tcp".into(),
            parameters: Vec::new(),
        }
    }

    /// The comparison of RFC 4975 §6.1.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.secure == other.secure
            && self.port == other.port
            && self.session_id == other.session_id
            && self.transport.eq_ignore_ascii_case(&other.transport)
            && same_host(&self.host, &other.host)
    }

    /// Reads a list of URIs, separated by spaces, as in `a=path` and `To-Path`.
    ///
    /// # Errors
    /// If one of them is malformed or there is none.
    pub fn parse_path(text: &str) -> Result<Vec<Self>, ParseError> {
        let mut at = 0;
        let mut path = Vec::new();
        for part in text.split([' ', '\t']) {
            if !part.is_empty() {
                path.push(part.parse::<Self>().map_err(|e| e.moved(u64::try_from(at).unwrap_or(0)))?);
            }
            at += part.len() + 1;
        }
        if path.is_empty() {
            return Err(ParseError::new(0, ParseErrorKind::Missing, "an MSRP URI"));
        }
        Ok(path)
    }

    /// Whether it prints as something that reads back to it; one that was put together may not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.to_string().parse().is_ok_and(|again: Self| again == *self)
    }

    /// Prints a list as [`MsrpUri::parse_path`] reads it.
    #[must_use]
    pub fn print_path(path: &[Self]) -> String {
        path.iter().map(Self::to_string).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for MsrpUri {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |rest: &str, what| {
            Err(ParseError::new(text.len().saturating_sub(rest.len()), ParseErrorKind::Syntax, what))
        };
        if text.len() > MAX_URI {
            return Err(ParseError::new(MAX_URI, ParseErrorKind::TooLong, "a URI of at most 1024 bytes"));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return error(text, "msrp:// or msrps://") };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "msrp" => false,
            "msrps" => true,
            _ => return error(text, "msrp:// or msrps://"),
        };
        // RFC 4975 §9: the authority ends at the session id or, without one, at the transport.
        let end = authority_end(rest);
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|u| !u.bytes().all(is_userinfo)) {
            return error(rest, "userinfo as in RFC 3986");
        }
        let Some((host, port)) = split_port(host_port) else { return error(rest, "a host and a port") };
        let (session_id, rest) = match rest.strip_prefix('/') {
            Some(rest) => {
                let end = rest.find(';').unwrap_or(rest.len());
                let (id, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
                if id.is_empty() || !id.bytes().all(is_session_byte) {
                    return error(rest, "a session id");
                }
                (Some(id.to_owned()), rest)
            }
            None => (None, rest),
        };
        let Some(rest) = rest.strip_prefix(';') else { return error(rest, ";transport") };
        let mut parts = rest.split(';');
        let transport = parts.next().unwrap_or_default();
        if transport.is_empty() || !transport.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return error(rest, "a transport");
        }
        let mut parameters = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            };
            if !is_token(name) || value.is_some_and(|v| !is_token(v)) {
                return error(rest, "a parameter");
            }
            parameters.push((name.to_owned(), value.map(str::to_owned)));
        }
        Ok(Self {
            secure,
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            session_id,
            transport: transport.to_owned(),
            parameters,
        })
    }
}

impl fmt::Display for MsrpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "msrps://" } else { "msrp://" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if let Some(id) = &self.session_id {
            write!(f, "/{id}")?;
        }
        write!(f, ";{}", self.transport)?;
        for (name, value) in &self.parameters {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

/// Where the authority ends. A `;` may stand in userinfo, so only what follows the last `@`
/// before the first `/` is searched.
fn authority_end(rest: &str) -> usize {
    let slash = rest.find('/').unwrap_or(rest.len());
    let start = rest.get(..slash).and_then(|r| r.rfind('@')).map_or(0, |at| at + 1);
    rest.get(start..slash).and_then(|r| r.find(';')).map_or(slash, |semicolon| start + semicolon)
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return None,
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() || (!text.starts_with('[') && !host.bytes().all(is_host_byte)) {
        return None;
    }
    match port {
        // RFC 3986 lets the port be empty; `u16::from_str` would take a plus sign.
        Some("") | None => Some((host, None)),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}

fn same_host(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    let (a, b) = (decode_unreserved(a), decode_unreserved(b));
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.eq_ignore_ascii_case(&b),
    }
}

/// Percent-encoding normalisation of RFC 3986 §6.2.2.2.
fn decode_unreserved(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, after.get(2..)) {
            (Some(byte), Some(next)) if is_unreserved(byte) => {
                out.push(char::from(byte));
                rest = next;
            }
            _ => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn is_sub_delim(b: u8) -> bool {
    matches!(b, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

fn is_userinfo(b: u8) -> bool {
    is_unreserved(b) || is_sub_delim(b) || matches!(b, b'%' | b':')
}

fn is_host_byte(b: u8) -> bool {
    is_unreserved(b) || (is_sub_delim(b) && b != b';') || b == b'%'
}

fn is_session_byte(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'+' | b'=' | b'/')
}

/// `token` of RFC 4975 §9.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| {
            matches!(b, 0x21 | 0x23..=0x27 | 0x2A..=0x2B | 0x2D..=0x2E | 0x30..=0x39 | 0x41..=0x5A | 0x5E..=0x7E)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> MsrpUri {
        text.parse().unwrap()
    }

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "msrp://atlanta.example.com:7654/jshA7weztas;tcp",
            "msrps://alice@intra.example.com;tcp",
            "msrp://[2001:db8::1]:2855/a+b=c/d;tcp;x;y=z",
            "msrps://extra.example.com:9000/mywdEe1233;ws",
            "msrp://a;b@host/s;tcp",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_the_grammar_refuses() {
        for text in [
            "",
            "msrp:",
            "msrp://",
            "http://a/b;tcp",
            "msrp://host/s",
            "msrp://host:99999/s;tcp",
            "msrp://host/;tcp",
            "msrp://host:+1/s;tcp",
            "msrp://host/s;t-p",
            "msrp://[::1/s;tcp",
            "msrp://ho st/s;tcp",
            "msrp://h/s;tcp;",
            "msrp://[zz]/s;tcp",
            "msrp://h/s s;tcp",
        ] {
            assert!(text.parse::<MsrpUri>().is_err(), "{text}");
        }
    }

    /// RFC 4975 §6.1, rule by rule.
    #[test]
    fn compares_by_the_rules() {
        let base = uri("msrp://host.example.com:8888/9di4eae923wzd;tcp");
        for same in [
            "MSRP://HOST.example.com:8888/9di4eae923wzd;TCP",
            "msrp://bob@host.example.com:8888/9di4eae923wzd;tcp",
            "msrp://h%6fst.example.com:8888/9di4eae923wzd;tcp;p=1",
        ] {
            assert!(base.matches(&uri(same)), "{same}");
        }
        for other in [
            "msrps://host.example.com:8888/9di4eae923wzd;tcp",
            "msrp://host.example.com/9di4eae923wzd;tcp",
            "msrp://host.example.com:8889/9di4eae923wzd;tcp",
            "msrp://host.example.com:8888/9DI4eae923wzd;tcp",
            "msrp://host.example.com:8888;tcp",
            "msrp://host.example.com:8888/9di4eae923wzd;ws",
            "msrp://other.example.com:8888/9di4eae923wzd;tcp",
        ] {
            assert!(!base.matches(&uri(other)), "{other}");
        }
        assert!(uri("msrp://[2001:db8::1]:1/s;tcp").matches(&uri("msrp://[2001:DB8:0::1]:1/s;tcp")));
    }
}
