//! Hosts and a network, moved through virtual time.

use std::net::SocketAddr;
use std::time::Instant;

use crate::{Clock, Delivery, Network};

/// What stands at one or more addresses of a [`Network`]: a sans-IO machine with a thin
/// wrapping that turns deliveries into inputs and outputs into sends.
pub trait Host {
    /// Whether this host answers at that address.
    fn owns(&self, address: SocketAddr) -> bool;

    /// Something arrived.
    fn receive(&mut self, now: Instant, delivery: Delivery);

    /// The deadline that [`Host::flush`] gave has come.
    fn timeout(&mut self, now: Instant);

    /// Sends all that waits to be sent and tells the next deadline.
    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant>;
}

/// Runs until nothing is left to happen, or past `until`, or until `done` says so, which is
/// asked after every step. True if `done` did. The clock stands at the last thing that
/// happened, or at `until` when that was reached.
///
/// # Panics
/// If virtual time stops: a host that asks for the same deadline again and again.
pub fn run(
    clock: &mut Clock,
    network: &mut Network,
    hosts: &mut [&mut dyn Host],
    until: Instant,
    mut done: impl FnMut(&mut [&mut dyn Host]) -> bool,
) -> bool {
    const STEPS_AT_ONE_INSTANT: u32 = 100_000;
    let mut still = 0;
    loop {
        let now = clock.now();
        let mut next: Option<Instant> = None;
        for host in hosts.iter_mut() {
            if let Some(deadline) = host.flush(now, network) {
                next = Some(next.map_or(deadline, |at| at.min(deadline)));
            }
        }
        if done(hosts) {
            return true;
        }
        if let Some(at) = network.next_at() {
            next = Some(next.map_or(at, |deadline| deadline.min(at)));
        }
        let Some(next) = next else { return false };
        if next > until {
            clock.advance_to(until);
            return false;
        }
        still = if next > now { 0 } else { still + 1 };
        assert!(
            still < STEPS_AT_ONE_INSTANT,
            "virtual time stands still: some host never lets go of its deadline"
        );
        let now = clock.advance_to(next);
        while let Some(delivery) = network.deliver(now) {
            let to = delivery.to();
            if let Some(host) = hosts.iter_mut().find(|host| host.owns(to)) {
                host.receive(now, delivery);
                host.flush(now, network);
            }
        }
        for host in hosts.iter_mut() {
            if host.flush(now, network).is_some_and(|deadline| deadline <= now) {
                host.timeout(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Link;

    /// Sends a number each second until it is answered; the other end answers.
    struct Pinger {
        local: SocketAddr,
        peer: SocketAddr,
        asks: bool,
        next: Option<Instant>,
        out: Vec<&'static [u8]>,
        answers: u32,
        sent: u32,
    }

    impl Host for Pinger {
        fn owns(&self, address: SocketAddr) -> bool {
            address == self.local
        }

        fn receive(&mut self, _: Instant, delivery: Delivery) {
            let Delivery::Datagram(datagram) = delivery else { panic!("{delivery:?}") };
            if datagram.data == b"ping" {
                self.out.push(b"pong");
            } else {
                self.answers += 1;
                self.next = None;
            }
        }

        fn timeout(&mut self, now: Instant) {
            self.out.push(b"ping");
            self.next = Some(now + Duration::from_secs(1));
        }

        fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
            for data in self.out.drain(..) {
                self.sent += 1;
                network.send(now, self.local, self.peer, data);
            }
            self.next.filter(|_| self.asks)
        }
    }

    #[test]
    fn hosts_meet_over_a_bad_network_in_virtual_time() {
        let (mut clock, mut network) = (Clock::new(), Network::new(3));
        network.set_default(Link { delay: Duration::from_millis(50), ..Link::lossy(0.7) });
        let (a, b): (SocketAddr, SocketAddr) =
            ("192.0.2.1:1".parse().expect("address"), "192.0.2.2:1".parse().expect("address"));
        let host = |local, peer, asks| Pinger {
            local,
            peer,
            asks,
            next: asks.then(|| clock.now()),
            out: Vec::new(),
            answers: 0,
            sent: 0,
        };
        let (mut asking, mut answering) = (host(a, b, true), host(b, a, false));
        let until = clock.now() + Duration::from_secs(600);
        let stopped = run(&mut clock, &mut network, &mut [&mut asking, &mut answering], until, |_| false);
        assert!(!stopped, "it ran dry");
        assert_eq!(asking.answers, 1);
        assert!(asking.sent > 1, "something was lost");
        let expected = Duration::from_secs(u64::from(asking.sent) - 1) + Duration::from_millis(100);
        assert_eq!(clock.elapsed(), expected);
    }
}
