//! The servers of a world: a registrar with a proxy, and a relay. Both can be gone for a while, and
//! know nothing when they are back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use ice_stun::server::{self, Server};
use ice_stun::stun::Transport;
use sip_core::usage;
use testkit::{Delivery, Host, Network};

/// The domain of all addresses.
pub(super) const DOMAIN: &str = "sim.example";
/// Everybody's password, at both servers.
pub(super) const PASSWORD: &str = "open sesame";

/// A registrar and proxy at 192.0.2.200.
pub(super) struct Registrar {
    machine: usage::Registrar,
    config: usage::RegistrarConfig,
    pub(super) address: SocketAddr,
    down_until: Option<Instant>,
}

impl Registrar {
    pub(super) fn new(users: &[String], now: Instant) -> Self {
        let address: SocketAddr = "192.0.2.200:5060".parse().expect("an address");
        let mut config = usage::RegistrarConfig::new(DOMAIN);
        (config.min_expires, config.max_expires) = (30, 60);
        for user in users {
            config = config.user(user, PASSWORD);
        }
        let machine = usage::Registrar::new(config.clone(), address, now, [7; 32]);
        Self { machine, config, address, down_until: None }
    }

    /// It is gone until then, and has forgotten everybody.
    pub(super) fn restart(&mut self, now: Instant, until: Instant) {
        self.machine = usage::Registrar::new(self.config.clone(), self.address, now, [8; 32]);
        self.down_until = Some(until);
    }

    pub(super) fn knows(&self, now: Instant, user: &str) -> bool {
        self.machine.contacts(now, user) > 0
    }
}

impl Host for Registrar {
    fn owns(&self, address: SocketAddr) -> bool {
        address.ip() == self.address.ip()
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        if self.down_until.is_some_and(|until| now < until) {
            return;
        }
        let Delivery::Datagram(datagram) = delivery else { return };
        if datagram.to == self.address {
            self.machine.handle_datagram(now, datagram.from, Bytes::from(datagram.data));
        }
    }

    fn timeout(&mut self, _now: Instant) {}

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        while let Some((to, data)) = self.machine.poll_transmit() {
            network.send(now, self.address, to, data.to_vec());
        }
        None
    }
}

/// A relay at 192.0.2.201.
pub(super) struct Relay {
    machine: Server,
    pub(super) address: SocketAddr,
    down_until: Option<Instant>,
    ports: BTreeMap<server::RelayId, SocketAddr>,
    next_port: u16,
}

impl Relay {
    pub(super) fn new() -> Self {
        let address: SocketAddr = "192.0.2.201:3478".parse().expect("an address");
        Self {
            machine: Self::machine(9),
            address,
            down_until: None,
            ports: BTreeMap::new(),
            next_port: 49_152,
        }
    }

    fn machine(seed: u8) -> Server {
        let mut config = server::Config::new(DOMAIN).with_account("relay", PASSWORD);
        config.max_allocations_per_user = 1_000;
        Server::new(config, [seed; 32])
    }

    /// It is gone until then, and what it relayed with it.
    pub(super) fn restart(&mut self, until: Instant) {
        self.machine = Self::machine(10);
        self.ports.clear();
        self.down_until = Some(until);
    }

    pub(super) fn allocations(&self) -> usize {
        self.machine.allocations()
    }
}

impl Host for Relay {
    fn owns(&self, address: SocketAddr) -> bool {
        address.ip() == self.address.ip()
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        if self.down_until.is_some_and(|until| now < until) {
            return;
        }
        let Delivery::Datagram(datagram) = delivery else { return };
        if datagram.to == self.address {
            let flow = server::Flow { transport: Transport::Udp, local: self.address, remote: datagram.from };
            self.machine.handle_input(now, server::Input::Datagram { flow, data: &datagram.data });
        } else if let Some((&relay, _)) = self.ports.iter().find(|(_, port)| **port == datagram.to) {
            let input = server::Input::Relayed { relay, from: datagram.from, data: &datagram.data };
            self.machine.handle_input(now, input);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                server::Output::Transmit { flow, data } => network.send(now, flow.local, flow.remote, data),
                server::Output::BindRelay { relay, .. } => {
                    self.next_port = if self.next_port > 65_000 { 49_152 } else { self.next_port + 2 };
                    let address = SocketAddr::new(self.address.ip(), self.next_port);
                    self.ports.insert(relay, address);
                    self.machine.handle_input(now, server::Input::RelayBound { relay, address });
                }
                server::Output::CloseRelay(relay) => drop(self.ports.remove(&relay)),
                server::Output::RelaySend { relay, to, data } => {
                    if let Some(port) = self.ports.get(&relay) {
                        network.send(now, *port, to, data);
                    }
                }
                // It is reached in datagrams only.
                server::Output::Disconnect(_)
                | server::Output::ConnectPeer(_)
                | server::Output::WritePeer { .. }
                | server::Output::ClosePeer(_) => {}
                server::Output::Idle(deadline) => return deadline,
            }
        }
    }
}
