//! Whom a relay speaks to (RFC 8656 §21.2, §21.3): not to its own host and network unless it is told to.

use std::net::{IpAddr, SocketAddr};

use super::plain;

/// Which peers are allowed. Multicast, broadcast, unspecified and port 0 never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// 127.0.0.0/8 and ::1.
    pub loopback: bool,
    /// 169.254.0.0/16 and fe80::/10.
    pub link_local: bool,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and fc00::/7.
    pub private: bool,
    /// These are not, whatever else holds: the server's own addresses.
    pub forbidden: Vec<IpAddr>,
}

impl PeerPolicy {
    /// Whether data goes there.
    pub fn allows(&self, peer: SocketAddr) -> bool {
        peer.port() != 0 && self.allows_ip(peer.ip())
    }

    /// Whether permissions are given for it.
    pub fn allows_ip(&self, peer: IpAddr) -> bool {
        let peer = plain(peer);
        let never = peer.is_unspecified() || peer.is_multicast() || self.forbidden.contains(&peer);
        let common = !never && (self.loopback || !peer.is_loopback());
        let special = match peer {
            IpAddr::V4(ip) => {
                let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
                !ip.is_broadcast()
                    && ip.octets()[0] != 0
                    && ip.octets()[0] < 240
                    && (self.link_local || !ip.is_link_local())
                    && (self.private || !(ip.is_private() || shared))
            }
            IpAddr::V6(ip) => {
                let [first, ..] = ip.segments();
                (self.link_local || first & 0xffc0 != 0xfe80) && (self.private || first & 0xfe00 != 0xfc00)
            }
        };
        common && special
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_take_a_permission_of_their_own() {
        let none = PeerPolicy::default();
        let all = PeerPolicy { loopback: true, link_local: true, private: true, forbidden: Vec::new() };
        let allows = |policy: &PeerPolicy, ip: &str| policy.allows_ip(ip.parse().unwrap());
        for ip in ["198.51.100.7", "2001:db8::1", "::ffff:198.51.100.7"] {
            assert!(allows(&none, ip), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.1.1",
            "fe80::1",
            "10.1.1.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!allows(&none, ip) && allows(&all, ip), "{ip}");
        }
        for ip in ["0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "224.0.0.1", "ff02::1", "::"] {
            assert!(!allows(&all, ip), "{ip}");
        }
        let own = PeerPolicy { forbidden: vec!["198.51.100.7".parse().unwrap()], ..all };
        assert!(!allows(&own, "198.51.100.7") && !allows(&own, "::ffff:198.51.100.7"));
        assert!(!none.allows("198.51.100.7:0".parse().unwrap()));
    }
}
