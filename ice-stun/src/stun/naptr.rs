//! NAPTR records of relays (RFC 5928 §3, RFC 3958 §4).

use super::client::Transport;
use super::uri::ServerUri;

/// Records that one answer is taken of.
const RECORDS: usize = 32;

/// A NAPTR record (RFC 3403 §4); its regular expression is of no use here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Naptr {
    /// The lowest is used first.
    pub order: u16,
    /// Among equals, the lowest is used first.
    pub preference: u16,
    /// What the replacement is: `s`, `a` or nothing.
    pub flags: String,
    /// `RELAY`, and protocols behind colons: `RELAY:turn.udp:turn.tcp`.
    pub service: String,
    /// The name to go on with.
    pub replacement: String,
}

/// Where a relay is to be looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delegation {
    /// The transport to reach it over.
    pub transport: Transport,
    /// What to ask the DNS next.
    pub next: Next,
}

/// What to ask the DNS next, about which name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Its SRV records, as they are: the name says the service already.
    Srv(String),
    /// Its addresses; the port is the default one.
    Host(String),
    /// Its NAPTR records.
    Naptr(String),
}

impl ServerUri {
    /// What of these records serves this URI, the preferred first. Nothing for URIs that leave nothing to
    /// ask: those of mirrors, with a port, or with an address for a host.
    pub fn delegations(&self, records: &[Naptr]) -> Vec<Delegation> {
        let lookups = self.lookups();
        if !self.relay || lookups.iter().all(|lookup| lookup.srv.is_none()) {
            return Vec::new();
        }
        let mut records: Vec<&Naptr> = records.iter().take(RECORDS).collect();
        records.sort_by_key(|record| (record.order, record.preference));
        let mut found = Vec::new();
        for record in records {
            let mut parts = record.service.split(':');
            if !parts.next().is_some_and(|tag| tag.eq_ignore_ascii_case("RELAY")) {
                continue;
            }
            let name = record.replacement.trim_end_matches('.').to_owned();
            if name.is_empty() {
                continue;
            }
            let next = match record.flags.to_ascii_lowercase().as_str() {
                "s" => Next::Srv(name),
                "a" => Next::Host(name),
                "" => Next::Naptr(name),
                _ => continue,
            };
            for transport in parts.filter_map(transport) {
                if lookups.iter().any(|lookup| lookup.transport == transport) {
                    found.push(Delegation { transport, next: next.clone() });
                }
            }
        }
        found
    }
}

/// RFC 5928 §5.
fn transport(protocol: &str) -> Option<Transport> {
    match protocol.to_ascii_lowercase().as_str() {
        "turn.udp" => Some(Transport::Udp),
        "turn.tcp" => Some(Transport::Tcp),
        "turn.tls" => Some(Transport::Tls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(order: u16, flags: &str, service: &str, replacement: &str) -> Naptr {
        let (flags, service) = (flags.to_owned(), service.to_owned());
        Naptr { order, preference: 10, flags, service, replacement: replacement.to_owned() }
    }

    /// RFC 5928 §3: a scheme and a transport say which records serve.
    #[test]
    fn relays_are_found_by_service_and_transport() {
        let records = [
            record(200, "", "RELAY:turn.udp:turn.dtls", "datagram.example.com."),
            record(100, "", "RELAY:turn.tcp:turn.tls", "stream.example.com."),
        ];
        let found = |uri: &str, records: &[Naptr]| -> Vec<_> {
            let uri: ServerUri = uri.parse().unwrap();
            uri.delegations(records).into_iter().map(|it| (it.transport, it.next)).collect()
        };
        let naptr = |name: &str| Next::Naptr(name.to_owned());
        assert_eq!(
            found("turn:example.com", &records),
            [(Transport::Tcp, naptr("stream.example.com")), (Transport::Udp, naptr("datagram.example.com"))]
        );
        assert_eq!(found("turns:example.com", &records), [(Transport::Tls, naptr("stream.example.com"))]);
        assert_eq!(
            found("turn:example.com?transport=udp", &records),
            [(Transport::Udp, naptr("datagram.example.com"))]
        );
        let second = [
            record(100, "S", "relay:TURN.UDP", "_turn._udp.example.com."),
            record(101, "a", "RELAY:turn.udp", "a.example.com."),
        ];
        assert_eq!(
            found("turn:datagram.example.com", &second),
            [
                (Transport::Udp, Next::Srv("_turn._udp.example.com".to_owned())),
                (Transport::Udp, Next::Host("a.example.com".to_owned()))
            ]
        );
        for uri in ["stun:example.com", "turn:example.com:3478", "turn:192.0.2.1"] {
            assert_eq!(found(uri, &records), [], "{uri}");
        }
    }

    #[test]
    fn records_of_other_services_and_other_flags_are_left_out() {
        let records = [
            record(1, "s", "SIP+D2U", "_sip._udp.example.com"),
            record(2, "u", "RELAY:turn.udp", "x.example.com"),
            record(3, "s", "RELAY:turn.udp", "."),
            record(4, "s", "RELAY", "y.example.com"),
        ];
        let uri: ServerUri = "turn:example.com".parse().unwrap();
        assert_eq!(uri.delegations(&records), []);
    }
}
