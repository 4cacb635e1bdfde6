//! `stun:`, `stuns:`, `turn:` and `turns:` (RFC 7064, RFC 7065), and the DNS questions that they lead to
//! (RFC 8489 §8, RFC 5928).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::client::Transport;
use crate::error::{ErrorKind, ParseError};

/// Records that one answer is taken of.
const RECORDS: usize = 64;

/// A server by name. The host is an IP address without brackets, or a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUri {
    /// A relay (`turn`), not only a mirror (`stun`).
    pub relay: bool,
    /// Over TLS (`stuns`, `turns`).
    pub secure: bool,
    /// Its name or address.
    pub host: String,
    /// Its port, where the URI says.
    pub port: Option<u16>,
    /// `?transport=`, of relays only: `udp` is [`Transport::Udp`], `tcp` is [`Transport::Tcp`].
    pub transport: Option<Transport>,
}

impl ServerUri {
    /// 3478, over TLS 5349 (RFC 8489 §8.1).
    pub const fn default_port(&self) -> u16 {
        if self.secure { 5_349 } else { 3_478 }
    }

    /// What to ask the DNS, the preferred transport first: UDP, where the URI leaves it open. Empty for what
    /// is not spoken here, DTLS.
    pub fn lookups(&self) -> Vec<Lookup> {
        let transports: &[Transport] = match (self.secure, self.transport, self.relay) {
            (true, Some(Transport::Udp), _) => &[],
            (true, ..) => &[Transport::Tls],
            (false, Some(Transport::Udp), _) => &[Transport::Udp],
            (false, Some(_), _) => &[Transport::Tcp],
            (false, None, true) => &[Transport::Udp, Transport::Tcp],
            (false, None, false) => &[Transport::Udp],
        };
        let port = self.port.unwrap_or(self.default_port());
        let lookup = |transport: &Transport| {
            let service = match (self.relay, self.secure) {
                (false, false) => "_stun",
                (false, true) => "_stuns",
                (true, false) => "_turn",
                (true, true) => "_turns",
            };
            let protocol = if *transport == Transport::Udp { "_udp" } else { "_tcp" };
            // RFC 8489 §8.1: an address or a port leaves nothing to ask SRV records for.
            let named = self.port.is_none() && self.host.parse::<IpAddr>().is_err();
            Lookup {
                srv: named.then(|| format!("{service}.{protocol}.{}", self.host)),
                host: self.host.clone(),
                port,
                transport: *transport,
            }
        };
        transports.iter().map(lookup).collect()
    }
}

/// One transport of a server, and how it is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The name of its SRV records, if they are to be asked for.
    pub srv: Option<String>,
    /// Whose addresses are asked for without SRV records.
    pub host: String,
    /// The port, then.
    pub port: u16,
    /// The transport.
    pub transport: Transport,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Srv {
    /// The lowest is used first.
    pub priority: u16,
    /// How often it is chosen among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.`: the service is not there.
    pub target: String,
}

impl Lookup {
    /// The address, if the host is one: then there is nothing to ask.
    pub fn address(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, self.port))
    }

    /// Hosts and ports to try, in order: those of the records by priority and weight (RFC 2782), or without
    /// records the host itself. Empty: the service is decidedly not there.
    pub fn targets(&self, records: &[Srv], seed: [u8; 32]) -> Vec<(String, u16)> {
        if records.is_empty() {
            return vec![(self.host.clone(), self.port)];
        }
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut left: Vec<&Srv> = records.iter().take(RECORDS).filter(|one| one.target != ".").collect();
        // RFC 2782: those without weight come first among equals, so that they are seldom chosen.
        left.sort_by_key(|one| (one.priority, one.weight > 0));
        let mut ordered = Vec::with_capacity(left.len());
        while let Some(first) = left.first() {
            let priority = first.priority;
            let equals = left.iter().take_while(|one| one.priority == priority);
            let sum: u64 = equals.clone().map(|one| u64::from(one.weight)).sum();
            let chosen = random.next_u64() % (sum + 1);
            let mut running = 0;
            let at = equals
                .map(|one| {
                    running += u64::from(one.weight);
                    running
                })
                .position(|running| running >= chosen)
                .unwrap_or_default();
            let one = left.remove(at);
            ordered.push((one.target.trim_end_matches('.').to_owned(), one.port));
        }
        ordered
    }
}

impl FromStr for ServerUri {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |at, what| Err(ParseError::new(at, ErrorKind::Value, what));
        let Some((scheme, rest)) = text.split_once(':') else { return error(0, "a scheme and a colon") };
        let (relay, secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return error(0, "stun, stuns, turn or turns"),
        };
        let start = scheme.len() + 1;
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let transport = match query {
            None => None,
            // RFC 7064 §3.1: stun URIs have none.
            Some(query) if relay => match query.split_once('=') {
                Some(("transport", "udp")) => Some(Transport::Udp),
                Some(("transport", "tcp")) => Some(Transport::Tcp),
                _ => return error(start + place.len() + 1, "transport=udp or transport=tcp"),
            },
            Some(_) => return error(start + place.len(), "the end"),
        };
        let (host, port) = if let Some(inside) = place.strip_prefix('[') {
            let Some((host, after)) = inside.split_once(']') else {
                return error(start, "a closing bracket");
            };
            if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                return error(start + 1, "an IPv6 address");
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return error(start + host.len() + 2, "a colon and a port"),
            }
        } else {
            match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            }
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(is_name) {
            return error(start, "a host name or an IP address");
        }
        let port = match port {
            None => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
                Ok(port @ 1..) => Some(port),
                _ => return error(start + host.len() + 1, "a port of 1 to 65535"),
            },
            Some(_) => return error(start + host.len() + 1, "a port of 1 to 65535"),
        };
        Ok(Self { relay, secure, host: host.to_owned(), port, transport })
    }
}

impl fmt::Display for ServerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.relay { "turn" } else { "stun" })?;
        f.write_str(if self.secure { "s:" } else { ":" })?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(Transport::Udp) => f.write_str("?transport=udp"),
            Some(Transport::Tcp | Transport::Tls) => f.write_str("?transport=tcp"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> ServerUri {
        text.parse().unwrap()
    }

    /// The examples of RFC 7064 appendix B and RFC 7065 appendix A.
    #[test]
    fn the_examples_of_rfc_7064_and_7065() {
        for (text, relay, secure, port, transport) in [
            ("stun:example.org", false, false, None, None),
            ("stuns:example.org", false, true, None, None),
            ("stun:example.org:8000", false, false, Some(8_000), None),
            ("turn:example.org", true, false, None, None),
            ("turns:example.org", true, true, None, None),
            ("turn:example.org:8000", true, false, Some(8_000), None),
            ("turn:example.org?transport=udp", true, false, None, Some(Transport::Udp)),
            ("turn:example.org?transport=tcp", true, false, None, Some(Transport::Tcp)),
            ("turns:example.org?transport=tcp", true, true, None, Some(Transport::Tcp)),
        ] {
            let expected = ServerUri { relay, secure, host: "example.org".into(), port, transport };
            assert_eq!(uri(text), expected);
            assert_eq!(expected.to_string(), text);
        }
        assert_eq!(uri("STUN:[2001:db8::1]:3478").host, "2001:db8::1");
        assert_eq!(uri("turn:[2001:db8::1]:9").to_string(), "turn:[2001:db8::1]:9");
    }

    #[test]
    fn what_is_no_uri_says_where() {
        for (text, at) in [
            ("", 0),
            ("sip:x", 0),
            ("stun:", 5),
            ("stun://example.org", 5),
            ("stun:user@example.org", 5),
            ("stun:example.org:", 17),
            ("stun:example.org:0", 17),
            ("stun:example.org:70000", 17),
            ("stun:example.org:+1", 17),
            ("stun:example.org?transport=udp", 16),
            ("turn:example.org?transport=sctp", 17),
            ("turn:example.org?", 17),
            ("stun:[2001:db8::1", 5),
            ("stun:[example]", 6),
            ("stun:[2001:db8::1]3478", 18),
            ("stun:ex\u{e9}mple", 5),
        ] {
            let error = text.parse::<ServerUri>().unwrap_err();
            assert_eq!((error.at, error.kind), (at, ErrorKind::Value), "{text}");
        }
    }

    #[test]
    fn each_uri_leads_to_its_questions() {
        let asked = |text: &str| -> Vec<_> {
            uri(text).lookups().into_iter().map(|one| (one.srv, one.port, one.transport)).collect()
        };
        let srv = |name: &str| Some(format!("{name}.example.org"));
        assert_eq!(asked("stun:example.org"), [(srv("_stun._udp"), 3_478, Transport::Udp)]);
        assert_eq!(asked("stuns:example.org"), [(srv("_stuns._tcp"), 5_349, Transport::Tls)]);
        assert_eq!(
            asked("turn:example.org"),
            [(srv("_turn._udp"), 3_478, Transport::Udp), (srv("_turn._tcp"), 3_478, Transport::Tcp)]
        );
        assert_eq!(asked("turns:example.org"), [(srv("_turns._tcp"), 5_349, Transport::Tls)]);
        assert_eq!(asked("turns:example.org?transport=udp"), [], "DTLS");
        assert_eq!(asked("turn:example.org:9?transport=tcp"), [(None, 9, Transport::Tcp)]);
        assert_eq!(asked("stun:192.0.2.1"), [(None, 3_478, Transport::Udp)]);
        let lookup = &uri("stun:192.0.2.1").lookups()[0];
        assert_eq!(lookup.address(), "192.0.2.1:3478".parse().ok());
    }

    #[test]
    fn records_are_tried_by_priority_and_weight() {
        let record =
            |priority, weight, target: &str| Srv { priority, weight, port: 1, target: target.into() };
        let lookup = &uri("stun:example.org").lookups()[0];
        assert_eq!(lookup.targets(&[], [0; 32]), [("example.org".to_owned(), 3_478)]);
        assert_eq!(lookup.targets(&[record(0, 0, ".")], [0; 32]), []);
        let records = [
            record(20, 1, "last"),
            record(10, 90, "often."),
            record(10, 10, "seldom"),
            record(10, 0, "never"),
        ];
        let mut first = std::collections::BTreeMap::new();
        for seed in 0..=255_u8 {
            let order = lookup.targets(&records, [seed; 32]);
            assert_eq!(order.len(), 4);
            assert_eq!(order[3], ("last".to_owned(), 1));
            *first.entry(order[0].0.clone()).or_insert(0) += 1;
        }
        assert!(first["often"] > 200 && first["seldom"] > 5, "{first:?}");
    }
}
