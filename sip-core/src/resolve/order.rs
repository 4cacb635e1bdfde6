//! In which order what the DNS gave is to be tried.

use super::Record;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use std::{collections::VecDeque, net::IpAddr};

/// A server of an SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The servers of SRV records: by priority, and by chance in the shares of the weights
/// (RFC 2782, "Weight").
pub(super) fn servers(records: &[Record], random: &mut ChaCha20Rng) -> Vec<Server> {
    let mut left: Vec<(u16, u16, Server)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Srv { priority, weight, port, target } => {
                let host = target.trim_end_matches('.');
                // RFC 2782: the root says that there is no such service here.
                let server = Server { host: host.to_ascii_lowercase(), port: *port };
                (!host.is_empty()).then_some((*priority, *weight, server))
            }
            _ => None,
        })
        .collect();
    // Those of weight 0 come first, so that they have a small chance.
    left.sort_by_key(|(priority, weight, _)| (*priority, *weight));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(priority) = left.first().map(|(priority, ..)| *priority) {
        let group = left.iter().take_while(|(p, ..)| *p == priority);
        let total: u64 = group.map(|(_, weight, _)| u64::from(*weight)).sum();
        let chosen = random.next_u64() % (total + 1);
        let mut sum = 0;
        let at = left.iter().position(|(_, weight, _)| {
            sum += u64::from(*weight);
            sum >= chosen
        });
        let (_, _, server) = left.remove(at.unwrap_or(0));
        ordered.push(server);
    }
    ordered
}

/// Addresses of both families by turns, beginning with the preferred one (RFC 8305 §4).
pub(super) fn families(
    ipv4: impl Iterator<Item = IpAddr>,
    ipv6: impl Iterator<Item = IpAddr>,
    ipv6_first: bool,
) -> Vec<IpAddr> {
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        if ipv6_first { (ipv6.collect(), ipv4.collect()) } else { (ipv4.collect(), ipv6.collect()) };
    let mut all = Vec::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        all.extend(first.pop_front());
        all.extend(second.pop_front());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;
    use std::collections::HashMap;

    fn srv(priority: u16, weight: u16, target: &str) -> Record {
        Record::Srv { priority, weight, port: 5060, target: target.to_owned() }
    }

    #[test]
    fn priorities_come_before_weights() {
        let records = [srv(20, 100, "c"), srv(10, 0, "a"), srv(10, 0, "b"), srv(30, 1, ".")];
        for seed in 0..50 {
            let mut random = ChaCha20Rng::from_seed([seed; 32]);
            let hosts: Vec<_> = servers(&records, &mut random).into_iter().map(|s| s.host).collect();
            assert_eq!(hosts.len(), 3, "the root is no server");
            assert_eq!(hosts.last().map(String::as_str), Some("c"));
        }
    }

    #[test]
    fn weights_are_shares() {
        let records = [srv(0, 10, "one"), srv(0, 30, "three"), srv(0, 60, "six"), srv(0, 0, "none")];
        let mut random = ChaCha20Rng::from_seed([1; 32]);
        let mut firsts: HashMap<String, u32> = HashMap::new();
        for _ in 0..10_000 {
            let first = servers(&records, &mut random).into_iter().next().expect("four servers");
            *firsts.entry(first.host).or_default() += 1;
        }
        let share = |host: &str| firsts.get(host).copied().unwrap_or(0);
        assert!((900..1_100).contains(&share("one")), "{firsts:?}");
        assert!((2_800..3_200).contains(&share("three")), "{firsts:?}");
        assert!((5_700..6_300).contains(&share("six")), "{firsts:?}");
        assert!((1..250).contains(&share("none")), "a very small chance: {firsts:?}");
    }

    #[test]
    fn families_take_turns() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let v4 = || ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip).into_iter();
        let v6 = || ["2001:db8::1"].map(ip).into_iter();
        let texts = |all: Vec<IpAddr>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(families(v4(), v6(), true)), ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(
            texts(families(v4(), v6(), false)),
            ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]
        );
    }
}
