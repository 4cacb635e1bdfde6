//! The addresses of this host that ICE uses.

use std::net::IpAddr;

/// Beside the first address, so many are used: each costs checks, and lines in descriptions.
const MOST: usize = 6;

/// The addresses of this host beside `first`, as RFC 8445 §5.1.1.1 has them: no loopback, nothing
/// that works on one link only. None at all beside a loopback address.
pub(super) fn beside(first: IpAddr) -> Vec<IpAddr> {
    choose(first, usable().into_iter())
}

/// All addresses that candidates can be of.
pub(in crate::driver) fn usable() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => {
            let up = interfaces.iter().filter(|it| it.is_oper_up());
            up.map(if_addrs::Interface::ip).filter(|ip| is_candidate(*ip)).collect()
        }
        Err(error) => {
            tracing::debug!(%error, "the interfaces of this host are not told");
            Vec::new()
        }
    }
}

/// Of these, the ones to use beside `first`.
pub(super) fn choose(first: IpAddr, all: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut chosen: Vec<IpAddr> = Vec::new();
    if first.is_loopback() {
        return chosen;
    }
    for ip in all {
        if ip != first && is_candidate(ip) && !chosen.contains(&ip) {
            chosen.push(ip);
        }
    }
    chosen.truncate(MOST);
    chosen
}

fn is_candidate(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(ip) => {
            let deprecated = ip.to_ipv4().is_some() || (ip.segments()[0] & 0xffc0) == 0xfec0;
            !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || deprecated)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_what_works_on_one_link_only_are_left_out() {
        let ips = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        let all = ips(&[
            "127.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "169.254.3.4",
            "198.51.100.1",
            "::1",
            "fe80::1",
            "fec0::1",
            "::ffff:192.0.2.9",
            "2001:db8::1",
        ]);
        let chosen = choose(ips(&["192.0.2.1"])[0], all.iter().copied());
        assert_eq!(chosen, ips(&["198.51.100.1", "2001:db8::1"]));
        assert!(choose(ips(&["127.0.0.1"])[0], all.into_iter()).is_empty());
        let many = (0..=255).map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!(choose(ips(&["192.0.2.1"])[0], many).len(), MOST);
    }
}
