//! NATs of every kind that RFC 4787 names.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What a mapping or a filter looks at (RFC 4787 §4.1 and §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatKind {
    /// One mapping for all destinations; anyone may send to it.
    EndpointIndependent,
    /// The other end's address counts, its port does not.
    AddressDependent,
    /// The other end's address and port count.
    AddressAndPortDependent,
}

impl NatKind {
    /// All three, for tests that try every pair.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];
}

/// How a NAT behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Its address outside.
    pub external: IpAddr,
    /// When two destinations share a mapping (RFC 4787 §4.1).
    pub mapping: NatKind,
    /// Who may send to a mapping (RFC 4787 §5).
    pub filtering: NatKind,
    /// Whether hosts inside reach each other by their outer addresses (RFC 4787 §6).
    pub hairpin: bool,
    /// Give a mapping the port it has inside where that is free (RFC 4787 §4.2.1).
    pub preserve_ports: bool,
    /// How long a mapping lives unused (RFC 4787 §4.3 asks for two minutes at least).
    pub idle: Duration,
    /// Whether what comes in keeps a mapping alive, as what goes out does.
    pub inbound_refresh: bool,
}

impl Nat {
    /// A NAT of that kind without hairpinning, with ports of its own and five minutes of
    /// patience.
    #[must_use]
    pub fn new(external: IpAddr, mapping: NatKind, filtering: NatKind) -> Self {
        Self {
            external,
            mapping,
            filtering,
            hairpin: false,
            preserve_ports: false,
            idle: Duration::from_secs(300),
            inbound_refresh: false,
        }
    }

    /// The same NAT that lets hosts inside reach each other by their outer addresses.
    #[must_use]
    pub fn with_hairpin(mut self) -> Self {
        self.hairpin = true;
        self
    }
}

/// A NAT at work.
#[derive(Debug)]
pub(super) struct Translator {
    pub(super) config: Nat,
    by_inside: BTreeMap<Key, u16>,
    by_port: BTreeMap<u16, Mapping>,
    next_port: u16,
}

/// The inside address and as much of the destination as the kind of mapping looks at.
type Key = (SocketAddr, Option<IpAddr>, Option<u16>);

#[derive(Debug)]
struct Mapping {
    key: Key,
    /// Whom the inside has sent to, which is what filters ask.
    sent_to: Vec<SocketAddr>,
    used: Instant,
}

const FIRST_PORT: u16 = 20_000;

impl Translator {
    pub(super) fn new(config: Nat) -> Self {
        Self { config, by_inside: BTreeMap::new(), by_port: BTreeMap::new(), next_port: FIRST_PORT }
    }

    /// The outer address for what `inside` sends to `to`; makes the mapping.
    pub(super) fn outbound(&mut self, now: Instant, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        self.expire(now);
        let key = match self.config.mapping {
            NatKind::EndpointIndependent => (inside, None, None),
            NatKind::AddressDependent => (inside, Some(to.ip()), None),
            NatKind::AddressAndPortDependent => (inside, Some(to.ip()), Some(to.port())),
        };
        let port = match self.by_inside.get(&key) {
            Some(port) => *port,
            None => {
                let port = self.free_port(inside.port());
                self.by_inside.insert(key, port);
                port
            }
        };
        let mapping =
            self.by_port.entry(port).or_insert_with(|| Mapping { key, sent_to: Vec::new(), used: now });
        mapping.used = now;
        if !mapping.sent_to.contains(&to) {
            mapping.sent_to.push(to);
        }
        SocketAddr::new(self.config.external, port)
    }

    /// The inside address for what `from` sends to the outer port `port`, if the filter
    /// lets it pass.
    pub(super) fn inbound(&mut self, now: Instant, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        self.expire(now);
        let filtering = self.config.filtering;
        let mapping = self.by_port.get_mut(&port)?;
        let passes = match filtering {
            NatKind::EndpointIndependent => true,
            NatKind::AddressDependent => mapping.sent_to.iter().any(|to| to.ip() == from.ip()),
            NatKind::AddressAndPortDependent => mapping.sent_to.contains(&from),
        };
        if passes && self.config.inbound_refresh {
            mapping.used = now;
        }
        passes.then_some(mapping.key.0)
    }

    /// Forgets every mapping, as a NAT that restarts does.
    pub(super) fn forget(&mut self) {
        self.by_inside.clear();
        self.by_port.clear();
    }

    /// What is in use now.
    pub(super) fn mappings(&self) -> usize {
        self.by_port.len()
    }

    fn expire(&mut self, now: Instant) {
        let idle = self.config.idle;
        let by_inside = &mut self.by_inside;
        self.by_port.retain(|_, mapping| {
            let lives = now.saturating_duration_since(mapping.used) < idle;
            if !lives {
                by_inside.remove(&mapping.key);
            }
            lives
        });
    }

    fn free_port(&mut self, wanted: u16) -> u16 {
        if self.config.preserve_ports && !self.by_port.contains_key(&wanted) {
            return wanted;
        }
        for _ in 0..=u16::MAX {
            let port = self.next_port;
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.by_port.contains_key(&port) {
                return port;
            }
        }
        panic!("a test used every port of a NAT");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn translator(mapping: NatKind, filtering: NatKind) -> Translator {
        Translator::new(Nat::new(addr("203.0.113.1:0").ip(), mapping, filtering))
    }

    #[test]
    fn each_kind_of_mapping_looks_at_what_it_says() {
        let now = crate::Clock::new().now();
        let inside = addr("10.0.0.2:5000");
        let (a1, a2, b1) = (addr("192.0.2.1:1"), addr("192.0.2.1:2"), addr("192.0.2.2:1"));
        for (kind, same_address, same_any) in [
            (NatKind::EndpointIndependent, true, true),
            (NatKind::AddressDependent, true, false),
            (NatKind::AddressAndPortDependent, false, false),
        ] {
            let mut nat = translator(kind, NatKind::EndpointIndependent);
            let (to_a1, to_a2, to_b1) =
                (nat.outbound(now, inside, a1), nat.outbound(now, inside, a2), nat.outbound(now, inside, b1));
            assert_eq!(to_a1 == to_a2, same_address, "{kind:?}");
            assert_eq!(to_a1 == to_b1, same_any, "{kind:?}");
            assert_eq!(nat.outbound(now, inside, a1), to_a1, "a mapping stays");
        }
    }

    #[test]
    fn each_kind_of_filter_looks_at_what_it_says() {
        let now = crate::Clock::new().now();
        let (a1, a2, b1) = (addr("192.0.2.1:1"), addr("192.0.2.1:2"), addr("192.0.2.2:1"));
        for (kind, same_address, other_address) in [
            (NatKind::EndpointIndependent, true, true),
            (NatKind::AddressDependent, true, false),
            (NatKind::AddressAndPortDependent, false, false),
        ] {
            let mut nat = translator(NatKind::EndpointIndependent, kind);
            let outer = nat.outbound(now, addr("10.0.0.2:5000"), a1).port();
            assert!(nat.inbound(now, a1, outer).is_some());
            assert_eq!(nat.inbound(now, a2, outer).is_some(), same_address, "{kind:?}");
            assert_eq!(nat.inbound(now, b1, outer).is_some(), other_address, "{kind:?}");
            assert_eq!(nat.inbound(now, a1, outer + 1), None, "no mapping there");
        }
    }

    #[test]
    fn mappings_expire_unless_used() {
        let start = crate::Clock::new().now();
        let minute = Duration::from_secs(60);
        let (inside, to) = (addr("10.0.0.2:5000"), addr("192.0.2.1:1"));
        let mut nat = translator(NatKind::EndpointIndependent, NatKind::EndpointIndependent);
        let outer = nat.outbound(start, inside, to).port();
        nat.outbound(start + 4 * minute, inside, to);
        assert!(nat.inbound(start + 8 * minute, to, outer).is_some(), "refreshed by what went out");
        assert_eq!(nat.inbound(start + 9 * minute, to, outer), None, "what comes in does not refresh");
        assert_eq!(nat.mappings(), 0);

        nat.config.inbound_refresh = true;
        let outer = nat.outbound(start, inside, to).port();
        assert!(nat.inbound(start + 4 * minute, to, outer).is_some());
        assert!(nat.inbound(start + 8 * minute, to, outer).is_some(), "here it does");
    }

    #[test]
    fn ports_are_kept_where_free() {
        let now = crate::Clock::new().now();
        let mut nat = translator(NatKind::EndpointIndependent, NatKind::EndpointIndependent);
        nat.config.preserve_ports = true;
        let to = addr("192.0.2.1:1");
        assert_eq!(nat.outbound(now, addr("10.0.0.2:5000"), to).port(), 5_000);
        assert_ne!(nat.outbound(now, addr("10.0.0.3:5000"), to).port(), 5_000);
        nat.forget();
        assert_eq!(nat.outbound(now, addr("10.0.0.3:5000"), to).port(), 5_000);
    }
}
