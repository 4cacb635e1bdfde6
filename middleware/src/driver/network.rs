//! Which addresses this host has, and when they become others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use sip_core::endpoint::Transport;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::media::interfaces;

/// How often it is looked at. Asking the routing table costs microseconds.
const EVERY: Duration = Duration::from_secs(2);

/// An address to listen on.
pub(super) struct Bind {
    pub(super) address: IpAddr,
    /// What peers are told.
    pub(super) advertised: IpAddr,
    /// Whether it does no harm if it cannot be had.
    pub(super) optional: bool,
}

/// The given address, or all of IPv4, and of IPv6 where the host has it.
pub(super) fn binds(given: Option<IpAddr>) -> Vec<Bind> {
    let everywhere = |address: IpAddr, optional| {
        let loopback =
            if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        let ipv4 = address.is_ipv4();
        let outbound = outbound_address(ipv4).or_else(|| first_of(ipv4, usable()));
        Bind { address, advertised: outbound.unwrap_or(loopback), optional }
    };
    match given {
        Some(address) if address.is_unspecified() => vec![everywhere(address, false)],
        Some(address) => vec![Bind { address, advertised: address, optional: false }],
        None => vec![
            everywhere(IpAddr::V4(Ipv4Addr::UNSPECIFIED), false),
            everywhere(IpAddr::V6(Ipv6Addr::UNSPECIFIED), true),
        ],
    }
}

/// Watches the addresses that peers are told in place of "all addresses".
pub(super) struct Network {
    /// What is told, where it may change.
    told: Vec<IpAddr>,
    bound: Vec<(Transport, SocketAddr)>,
    /// All that media can use.
    usable: Vec<IpAddr>,
    clock: Interval,
}

/// What a look has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The sockets whose address became another one.
    pub(super) moved: Vec<Moved>,
    /// Where media are to be from now on, if this host has other addresses than before.
    pub(super) media: Option<IpAddr>,
}

/// An address of a socket became another one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) transport: Transport,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

impl Network {
    pub(super) fn new(binds: &[Bind], bound: &[(Transport, SocketAddr)]) -> Self {
        let told = binds.iter().filter(|bind| bind.address.is_unspecified()).map(|bind| bind.advertised);
        let mut clock = interval(EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { told: told.collect(), bound: bound.to_vec(), usable: usable(), clock }
    }

    /// Waits until it is time to look again; for ever if nothing can change.
    pub(super) async fn tick(&mut self) {
        if self.told.is_empty() {
            std::future::pending::<()>().await;
        }
        self.clock.tick().await;
    }

    /// Looks what became another.
    pub(super) fn look(&mut self) -> Change {
        let moved = self.compare(outbound_address);
        let others = self.have(usable());
        let media = self.told.first().copied().filter(|_| others || !moved.is_empty());
        Change { moved, media }
    }

    /// Whether these are others than before. None at all is the time between two networks, not one.
    fn have(&mut self, usable: Vec<IpAddr>) -> bool {
        if usable.is_empty() || usable == self.usable {
            return false;
        }
        self.usable = usable;
        true
    }

    fn compare(&mut self, outbound: impl Fn(bool) -> Option<IpAddr>) -> Vec<Moved> {
        let mut moved = Vec::new();
        for told in &mut self.told {
            // Without any network the old address is as good as none.
            let Some(now) = outbound(told.is_ipv4()).filter(|now| now != told) else { continue };
            for (transport, local) in self.bound.iter_mut().filter(|(_, local)| local.ip() == *told) {
                let from = *local;
                local.set_ip(now);
                moved.push(Moved { transport: *transport, from, to: *local });
            }
            *told = now;
        }
        moved
    }
}

/// On a network that leads nowhere else no route tells which address peers see: the first that there is.
fn first_of(ipv4: bool, usable: Vec<IpAddr>) -> Option<IpAddr> {
    usable.into_iter().find(|address| address.is_ipv4() == ipv4)
}

/// The addresses of this host that media can use, in a fixed order.
fn usable() -> Vec<IpAddr> {
    let mut usable = interfaces::usable();
    usable.sort_unstable();
    usable
}

/// The address of this host that packets to the outside leave from. Nothing is sent: connecting
/// a UDP socket only asks the routing table. (192.0.2.1 and 2001:db8::1 are for documentation,
/// RFC 5737 and RFC 3849.)
pub(crate) fn outbound_address(ipv4: bool) -> Option<IpAddr> {
    let (any, outside): (IpAddr, IpAddr) = if ipv4 {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    } else {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((outside, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_that_change_are_noticed_once() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let everywhere = Bind { address: ip("0.0.0.0"), advertised: ip("192.0.2.1"), optional: false };
        let bound = [(Transport::Udp, at("192.0.2.1:5060")), (Transport::Udp, at("[2001:db8::1]:5060"))];
        let mut network = Network::new(&[everywhere], &bound);
        assert_eq!(network.compare(|_| Some(ip("192.0.2.1"))), []);
        assert_eq!(network.compare(|_| None), [], "no network is no other network");
        let moved =
            Moved { transport: Transport::Udp, from: at("192.0.2.1:5060"), to: at("198.51.100.7:5060") };
        assert_eq!(network.compare(|_| Some(ip("198.51.100.7"))), [moved]);
        assert_eq!(network.compare(|_| Some(ip("198.51.100.7"))), []);
    }

    #[tokio::test]
    async fn another_interface_is_noticed_once() {
        let ips = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        let mut network = Network::new(&[], &[]);
        network.usable = ips(&["192.0.2.1"]);
        assert!(!network.have(ips(&["192.0.2.1"])));
        assert!(!network.have(Vec::new()), "no network is no other network");
        assert!(network.have(ips(&["192.0.2.1", "198.51.100.7"])));
        assert!(!network.have(ips(&["192.0.2.1", "198.51.100.7"])));
        assert!(network.have(ips(&["198.51.100.7"])), "one that is gone counts too");
    }

    #[test]
    fn without_a_route_there_may_be_an_address() {
        let usable = ["2001:db8::7", "192.0.2.7", "192.0.2.8"].map(|text| text.parse().expect("an address"));
        let [six, four, _] = usable;
        assert_eq!(first_of(true, usable.to_vec()), Some(four));
        assert_eq!(first_of(false, usable.to_vec()), Some(six));
        assert_eq!(first_of(true, vec![six]), None);
    }

    #[tokio::test]
    async fn a_given_address_stays() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let bound = [(Transport::Udp, SocketAddr::new(address, 5060))];
        let mut network = Network::new(&binds(Some(address)), &bound);
        assert_eq!(network.compare(|_| Some(IpAddr::V4(Ipv4Addr::BROADCAST))), []);
    }
}
