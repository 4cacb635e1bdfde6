//! One search for the servers of a domain (RFC 3263 §4.1, §4.2).
//!
//! ```text
//!   transport and port    NAPTR ──▶ which transports, by order and preference
//!   not given                │ none
//!                            ▼
//!   port not given        SRV of each transport ──▶ servers by priority and weight
//!                            │ none
//!                            ▼
//!   the rest              A and AAAA ──▶ addresses
//! ```

use super::{Question, Record, RecordKind, order};
use crate::endpoint::{Target, Transport};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// Services of one domain that are followed.
const MAX_SERVICES: usize = 8;
/// Servers of one domain that are looked up.
const MAX_SERVERS: usize = 16;
/// Addresses that are tried.
const MAX_HOPS: usize = 32;

/// What a URI says about the next hop, and what we can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The host: a domain, a host name or an address.
    pub host: String,
    /// The port, if the URI names one: then no SRV records are asked for (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// The transport, if it is named: then no NAPTR records are asked for (RFC 3263 §4.1).
    pub transport: Option<Transport>,
    /// Whether the URI is a `sips` one: only encrypted transports will do.
    pub secure: bool,
    /// The transports that we have, the preferred first; empty: UDP.
    pub transports: Vec<Transport>,
    /// Whether we have IPv4.
    pub ipv4: bool,
    /// Whether we have IPv6.
    pub ipv6: bool,
    /// Whether we prefer it.
    pub ipv6_first: bool,
}

impl Wanted {
    /// A `sip` URI with nothing but a host, for who has UDP and IPv4.
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: None,
            transport: None,
            secure: false,
            transports: Vec::new(),
            ipv4: true,
            ipv6: false,
            ipv6_first: false,
        }
    }

    /// The transport where neither the URI nor the DNS says one (RFC 3263 §4.1).
    pub(crate) fn default_transport(&self) -> Transport {
        match self.transport {
            Some(transport) => transport,
            None if self.secure => Transport::Tls,
            None if self.transports.contains(&Transport::Udp) => Transport::Udp,
            None => self.transports.first().copied().unwrap_or(Transport::Udp),
        }
    }

    fn usable(&self) -> Vec<Transport> {
        let ours = self.transports.iter().copied();
        match (self.secure, self.transports.is_empty()) {
            // We can always open a TLS connection.
            (true, _) => {
                let others = ours.filter(|t| t.is_secure() && *t != Transport::Tls);
                std::iter::once(Transport::Tls).chain(others).collect()
            }
            (false, true) => vec![Transport::Udp],
            (false, false) => ours.collect(),
        }
    }
}

/// A place to send a request to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Where and how.
    pub target: Target,
    /// Which server it is: addresses of the same server may be tried side by side (RFC 8305).
    pub server: u16,
}

/// Why there is no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// This cannot be a name.
    #[error("{0:?} is no host name")]
    Name(String),
    /// The domain says that it has no such service (RFC 2782).
    #[error("{0} offers no such service")]
    NotOffered(String),
    /// There are no addresses.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The DNS gave no answer.
    #[error("{host}: {reason}")]
    Failed {
        /// Which name.
        host: String,
        /// Why.
        reason: String,
    },
}

/// A search that goes on as answers come in, in whatever order.
#[derive(Debug)]
pub struct Lookup {
    wanted: Wanted,
    seed: [u8; 32],
    asked: Vec<Question>,
    answers: HashMap<Question, Result<Vec<Record>, String>>,
    result: Option<Result<Vec<Hop>, LookupError>>,
}

/// How far the answers lead.
enum Step {
    Ask(Vec<Question>),
    Done(Result<Vec<Hop>, LookupError>),
}

impl Lookup {
    /// A search; chance takes its course from `seed`.
    ///
    /// # Errors
    /// If the host cannot be a name.
    pub fn new(wanted: Wanted, seed: [u8; 32]) -> Result<Self, LookupError> {
        let host = wanted.host.trim_end_matches('.').to_ascii_lowercase();
        let label = |label: &str| !label.is_empty() && label.len() < 64 && label.is_ascii();
        if bare_ip(&host).is_none() && (host.len() > 253 || !host.split('.').all(label)) {
            return Err(LookupError::Name(wanted.host));
        }
        Ok(Self {
            wanted: Wanted { host, ..wanted },
            seed,
            asked: Vec::new(),
            answers: HashMap::new(),
            result: None,
        })
    }

    /// The questions to ask now: each is given once.
    pub fn ask(&mut self) -> Vec<Question> {
        if self.result.is_some() {
            return Vec::new();
        }
        match self.evaluate() {
            Step::Done(result) => {
                self.result = Some(result);
                Vec::new()
            }
            Step::Ask(mut questions) => {
                questions.retain(|question| !self.asked.contains(question));
                self.asked.extend(questions.iter().cloned());
                questions
            }
        }
    }

    /// What the DNS said; a question that was not asked does no harm.
    pub fn answer(&mut self, question: &Question, answer: Result<&[Record], &str>) {
        if self.asked.contains(question) {
            let answer = answer.map(<[Record]>::to_vec).map_err(str::to_owned);
            self.answers.insert(question.clone(), answer);
        }
    }

    /// Where to go, in this order, once [`Self::ask`] has no more to ask.
    pub fn result(&self) -> Option<Result<&[Hop], &LookupError>> {
        self.result.as_ref().map(|result| result.as_deref())
    }

    fn evaluate(&self) -> Step {
        let wanted = &self.wanted;
        let default = wanted.default_transport();
        if let Some(ip) = bare_ip(&wanted.host) {
            // RFC 3263 §4.2: an address needs no DNS.
            let addr = SocketAddr::new(ip, wanted.port.unwrap_or(default.default_port()));
            return Step::Done(Ok(vec![Hop { target: Target { addr, transport: default }, server: 0 }]));
        }
        let plain = |port: u16| vec![(default, order::Server { host: wanted.host.clone(), port })];
        if let Some(port) = wanted.port {
            return self.addresses(&plain(port));
        }
        let services = match wanted.transport {
            Some(transport) => services_of(&wanted.host, &[transport]),
            None => {
                let naptr = Question::new(&wanted.host, RecordKind::Naptr);
                let Some(answer) = self.answers.get(&naptr) else { return Step::Ask(vec![naptr]) };
                let usable = wanted.usable();
                let found = answer.as_ref().map(|r| services_in(r, &usable, wanted.secure));
                match found {
                    Ok(found) if !found.is_empty() => found,
                    // RFC 3263 §4.1: none, or none that we can use: each transport is asked for.
                    _ => services_of(&wanted.host, &usable),
                }
            }
        };
        let mut missing = Vec::new();
        let mut servers = Vec::new();
        let (mut told, mut random) = (false, ChaCha20Rng::from_seed(self.seed));
        for (transport, name) in services {
            let question = Question::new(&name, RecordKind::Srv);
            match self.answers.get(&question) {
                None => missing.push(question),
                Some(Ok(records)) => {
                    told |= !records.is_empty();
                    servers.extend(order::servers(records, &mut random).into_iter().map(|s| (transport, s)));
                }
                Some(Err(_)) => {}
            }
        }
        if !missing.is_empty() {
            return Step::Ask(missing);
        }
        if servers.is_empty() {
            if told {
                return Step::Done(Err(LookupError::NotOffered(wanted.host.clone())));
            }
            return self.addresses(&plain(default.default_port()));
        }
        servers.truncate(MAX_SERVERS);
        self.addresses(&servers)
    }

    /// The addresses of servers, once all are known.
    fn addresses(&self, servers: &[(Transport, order::Server)]) -> Step {
        let wanted = &self.wanted;
        let mut kinds = Vec::new();
        kinds.extend(wanted.ipv4.then_some(RecordKind::A));
        kinds.extend(wanted.ipv6.then_some(RecordKind::Aaaa));
        let mut missing = Vec::new();
        let mut hops: Vec<Hop> = Vec::new();
        let mut failure = None;
        for (number, (transport, server)) in (0_u16..).zip(servers) {
            let mut found: Vec<IpAddr> = Vec::new();
            found.extend(bare_ip(&server.host));
            for kind in kinds.iter().filter(|_| bare_ip(&server.host).is_none()) {
                let question = Question::new(&server.host, *kind);
                match self.answers.get(&question) {
                    None if missing.contains(&question) => {}
                    None => missing.push(question),
                    Some(Ok(records)) => found.extend(records.iter().filter_map(|r| match r {
                        Record::Address(ip) => Some(*ip),
                        _ => None,
                    })),
                    Some(Err(reason)) => {
                        failure =
                            Some(LookupError::Failed { host: server.host.clone(), reason: reason.clone() });
                    }
                }
            }
            let v4 = found.iter().copied().filter(IpAddr::is_ipv4);
            let v6 = found.iter().copied().filter(IpAddr::is_ipv6);
            for ip in order::families(v4, v6, wanted.ipv6_first) {
                let target = Target { addr: SocketAddr::new(ip, server.port), transport: *transport };
                if !hops.iter().any(|hop| hop.target == target) {
                    hops.push(Hop { target, server: number });
                }
            }
        }
        if !missing.is_empty() {
            return Step::Ask(missing);
        }
        hops.truncate(MAX_HOPS);
        let nothing = || failure.unwrap_or_else(|| LookupError::NoAddress(wanted.host.clone()));
        Step::Done(if hops.is_empty() { Err(nothing()) } else { Ok(hops) })
    }
}

/// An address in the place of a name, with or without brackets.
fn bare_ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The names under which services are looked for without NAPTR (RFC 3263 §4.1, §4.2). There are
/// none for WebSockets (RFC 7118 §10.2 knows NAPTR only).
fn services_of(host: &str, transports: &[Transport]) -> Vec<(Transport, String)> {
    let name = |transport| match transport {
        Transport::Udp => Some(format!("_sip._udp.{host}")),
        Transport::Tcp => Some(format!("_sip._tcp.{host}")),
        Transport::Tls => Some(format!("_sips._tcp.{host}")),
        Transport::Ws | Transport::Wss => None,
    };
    transports.iter().filter_map(|transport| Some((*transport, name(*transport)?))).collect()
}

/// The services that NAPTR records name and that we can use, the preferred first.
fn services_in(records: &[Record], usable: &[Transport], secure: bool) -> Vec<(Transport, String)> {
    let mut found: Vec<(u16, u16, Transport, &str)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Naptr { order, preference, flags, service, replacement } => {
                let transport = service_transport(service)?;
                let fits = usable.contains(&transport)
                    // RFC 3263 §4.1: of a sips URI, only SIPS services.
                    && (!secure || transport.is_secure())
                    && flags.eq_ignore_ascii_case("s")
                    && !replacement.trim_end_matches('.').is_empty();
                fits.then_some((*order, *preference, transport, replacement.as_str()))
            }
            _ => None,
        })
        .collect();
    found.sort_by_key(|(order, preference, ..)| (*order, *preference));
    found.into_iter().take(MAX_SERVICES).map(|(_, _, transport, name)| (transport, name.to_owned())).collect()
}

/// RFC 3263 §4.1, RFC 7118 §10.2.
fn service_transport(service: &str) -> Option<Transport> {
    let known = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| transport)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

    fn wanted(host: &str) -> Wanted {
        Wanted { transports: ALL.to_vec(), ..Wanted::new(host) }
    }

    fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Record {
        let text = str::to_owned;
        Record::Naptr {
            order,
            preference,
            flags: text("s"),
            service: text(service),
            replacement: text(replacement),
        }
    }

    fn srv(priority: u16, port: u16, target: &str) -> Record {
        Record::Srv { priority, weight: 0, port, target: target.to_owned() }
    }

    fn a(text: &str) -> Record {
        Record::Address(text.parse().expect("an address"))
    }

    /// Plays a DNS with that zone; gives what was asked and where it led.
    fn run(
        wanted: Wanted,
        zone: &[(&str, RecordKind, Vec<Record>)],
    ) -> (Vec<String>, Result<Vec<String>, String>) {
        let mut lookup = Lookup::new(wanted, [3; 32]).expect("a name");
        let mut asked = Vec::new();
        for _ in 0..10 {
            let questions = lookup.ask();
            for question in &questions {
                asked.push(format!("{:?} {}", question.kind, question.name));
                let found =
                    zone.iter().find(|(name, kind, _)| *name == question.name && *kind == question.kind);
                lookup
                    .answer(question, Ok(found.map(|(.., records)| records.as_slice()).unwrap_or_default()));
            }
            if let Some(result) = lookup.result() {
                let text = |hop: &Hop| {
                    format!("{} {} {}", hop.server, hop.target.transport.via_name(), hop.target.addr)
                };
                let hops = result.map(|hops| hops.iter().map(text).collect());
                return (asked, hops.map_err(ToString::to_string));
            }
            assert!(!questions.is_empty(), "it goes on or ends");
        }
        panic!("it does not end");
    }

    /// The example of RFC 3263 §4.1 and §4.2.
    #[test]
    fn the_example_of_the_rfc() {
        use RecordKind::{A, Naptr, Srv};
        let zone = [
            (
                "example.com",
                Naptr,
                vec![
                    naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                    naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
                    naptr(100, 50, "SIP+D2U", "_sip._udp.example.com"),
                    naptr(10, 50, "SIP+D2S", "_sip._sctp.example.com"),
                ],
            ),
            (
                "_sip._tcp.example.com",
                Srv,
                vec![srv(1, 5060, "server2.example.com"), srv(0, 5060, "server1.example.com")],
            ),
            ("_sips._tcp.example.com", Srv, vec![srv(0, 5061, "server1.example.com")]),
            ("server1.example.com", A, vec![a("192.0.2.1")]),
            ("server2.example.com", A, vec![a("192.0.2.2"), a("192.0.2.3")]),
        ];
        // As in the RFC, of somebody who has TCP and UDP.
        let ours = Wanted { transports: vec![Transport::Udp, Transport::Tcp], ..wanted("Example.com.") };
        let (asked, hops) = run(ours, &zone);
        assert_eq!(
            asked,
            [
                "Naptr example.com",
                "Srv _sip._tcp.example.com",
                "Srv _sip._udp.example.com",
                "A server1.example.com",
                "A server2.example.com"
            ]
        );
        assert_eq!(
            hops.expect("servers"),
            ["0 TCP 192.0.2.1:5060", "1 TCP 192.0.2.2:5060", "1 TCP 192.0.2.3:5060"]
        );
        let (_, hops) = run(wanted("example.com"), &zone);
        assert_eq!(hops.expect("servers").first().map(String::as_str), Some("0 TLS 192.0.2.1:5061"));
        let secure = Wanted { secure: true, transports: vec![Transport::Udp], ..wanted("example.com") };
        assert_eq!(
            run(secure, &zone).1.expect("servers"),
            ["0 TLS 192.0.2.1:5061"],
            "sips: SIPS services only"
        );
    }

    #[test]
    fn without_naptr_each_transport_is_asked_for() {
        use RecordKind::{A, Srv};
        let zone = [
            ("_sip._tcp.example.com", Srv, vec![srv(0, 5070, "s.example.com")]),
            ("s.example.com", A, vec![a("192.0.2.1")]),
        ];
        let (asked, hops) = run(wanted("example.com"), &zone);
        assert_eq!(asked.len(), 5, "{asked:?}");
        assert_eq!(hops.expect("a server"), ["0 TCP 192.0.2.1:5070"]);
    }

    #[test]
    fn what_is_given_is_not_asked_for() {
        use RecordKind::A;
        let zone = [("example.com", A, vec![a("192.0.2.1")])];
        // RFC 3263 §4.2: with a port, addresses only.
        let (asked, hops) = run(Wanted { port: Some(5080), ..wanted("example.com") }, &zone);
        assert_eq!(
            (asked, hops.expect("an address")),
            (vec!["A example.com".to_owned()], vec!["0 UDP 192.0.2.1:5080".to_owned()])
        );
        // With a transport, no NAPTR.
        let (asked, hops) = run(Wanted { transport: Some(Transport::Tls), ..wanted("example.com") }, &zone);
        assert_eq!(asked, ["Srv _sips._tcp.example.com", "A example.com"]);
        assert_eq!(hops.expect("an address"), ["0 TLS 192.0.2.1:5061"]);
        let (asked, hops) = run(Wanted { transport: Some(Transport::Wss), ..wanted("example.com") }, &zone);
        assert_eq!(asked, ["A example.com"]);
        assert_eq!(hops.expect("an address"), ["0 WSS 192.0.2.1:443"]);
        // An address: nothing at all.
        for (host, secure, expected) in [
            ("192.0.2.9", false, "0 UDP 192.0.2.9:5060"),
            ("[2001:db8::1]", true, "0 TLS [2001:db8::1]:5061"),
        ] {
            let (asked, hops) = run(Wanted { secure, ..wanted(host) }, &[]);
            assert_eq!((asked.len(), hops.expect("itself")), (0, vec![expected.to_owned()]));
        }
    }

    #[test]
    fn nothing_known_falls_back_to_the_host_itself() {
        use RecordKind::{A, Aaaa};
        let zone = [
            ("host.example", A, vec![a("192.0.2.1"), a("192.0.2.2")]),
            ("host.example", Aaaa, vec![a("2001:db8::1")]),
        ];
        let both = Wanted { ipv6: true, ipv6_first: true, ..wanted("host.example") };
        assert_eq!(
            run(both, &zone).1.expect("addresses"),
            ["0 UDP [2001:db8::1]:5060", "0 UDP 192.0.2.1:5060", "0 UDP 192.0.2.2:5060"]
        );
        let tcp = Wanted { transports: vec![Transport::Tcp], ..wanted("host.example") };
        assert_eq!(
            run(tcp, &zone).1.expect("addresses").first().map(String::as_str),
            Some("0 TCP 192.0.2.1:5060")
        );
        assert_eq!(run(wanted("nowhere.example"), &zone).1, Err("nowhere.example has no address".to_owned()));
    }

    #[test]
    fn a_service_may_be_declined() {
        use RecordKind::{A, Srv};
        let zone =
            [("_sip._udp.example.com", Srv, vec![srv(0, 0, ".")]), ("example.com", A, vec![a("192.0.2.1")])];
        let (_, hops) = run(Wanted { transports: vec![Transport::Udp], ..wanted("example.com") }, &zone);
        assert_eq!(hops, Err("example.com offers no such service".to_owned()));
    }

    #[test]
    fn failures_tell_why() {
        let mut lookup =
            Lookup::new(Wanted { port: Some(5060), ..wanted("example.com") }, [1; 32]).expect("a name");
        for question in lookup.ask() {
            lookup.answer(&question, Err("the server failed"));
        }
        assert!(lookup.ask().is_empty());
        let error = lookup.result().expect("the end").expect_err("a failure");
        assert_eq!(error.to_string(), "example.com: the server failed");
    }

    #[test]
    fn hosts_that_are_no_names() {
        for host in ["", "a..b", &"x".repeat(64), &"a.".repeat(200), "ä.example"] {
            assert!(Lookup::new(wanted(host), [1; 32]).is_err(), "{host}");
        }
    }

    #[test]
    fn what_a_domain_can_ask_of_us_is_bounded() {
        use RecordKind::{A, Srv};
        let hosts: Vec<String> = (0..500).map(|n| format!("h{n}.example.com")).collect();
        let records = hosts.iter().map(|host| srv(0, 5060, host)).collect();
        let many: Vec<Record> = (0..250).map(|n| Record::Address([192, 0, 2, n].into())).collect();
        let mut zone = vec![("_sip._udp.example.com", Srv, records)];
        zone.extend(hosts.iter().map(|host| (host.as_str(), A, many.clone())));
        let (asked, hops) = run(Wanted { transports: vec![Transport::Udp], ..wanted("example.com") }, &zone);
        assert_eq!(asked.len(), 2 + MAX_SERVERS);
        assert_eq!(hops.expect("addresses").len(), MAX_HOPS);
    }
}
