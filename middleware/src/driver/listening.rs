//! Where signalling listens: all transports at one port, or at those next to it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sip_core::endpoint::Transport;
use tokio::sync::mpsc;

use super::network::Bind;
use super::transport::{Security, StreamInput, Streams, UdpSockets};
use crate::error::Error;

/// What streams may have waiting for the engine before they stop reading.
const STREAM_QUEUE: usize = 1_024;
/// Ports that the system may choose until the others next to it are free as well.
const CHOICES: usize = 16;

/// Sockets, what streams tell, and where all of them listen.
pub(super) struct Listening {
    pub(super) udp: UdpSockets,
    pub(super) streams: Streams,
    pub(super) stream_inputs: mpsc::Receiver<StreamInput>,
    pub(super) addresses: Vec<(Transport, SocketAddr)>,
}

/// Listens with each transport on each address, as [`Builder::port`](crate::Builder::port) tells.
pub(super) fn listen(
    binds: &[Bind],
    transports: &[Transport],
    port: u16,
    security: &Arc<Security>,
    own: Option<IpAddr>,
) -> Result<Listening, Error> {
    let fresh = || {
        let (sender, inputs) = mpsc::channel(STREAM_QUEUE);
        (UdpSockets::default(), Streams::new(sender, security.clone(), own), inputs)
    };
    let listen = |sockets: &mut (UdpSockets, Streams, _), transport, address, advertised| {
        if transport == Transport::Udp {
            return sockets.0.bind(address, advertised);
        }
        let mut local = sockets.1.listen(transport, address)?;
        if local.ip().is_unspecified() {
            local.set_ip(advertised);
        }
        Ok(local)
    };
    let (sockets, addresses) = together(binds, transports, port, fresh, listen)?;
    let (udp, streams, stream_inputs) = sockets;
    Ok(Listening { udp, streams, stream_inputs, addresses })
}

type Addresses = Vec<(Transport, SocketAddr)>;

/// Opens all in `fresh` sockets. A port that the system chose is given back where somebody else has one next to it: who
/// writes to a transport's port by another transport, as who has a request too long for UDP (RFC 3261 §18.1.1), would
/// find them there.
fn together<S>(
    binds: &[Bind],
    transports: &[Transport],
    port: u16,
    fresh: impl Fn() -> S,
    listen: impl Fn(&mut S, Transport, SocketAddr, IpAddr) -> io::Result<SocketAddr>,
) -> Result<(S, Addresses), Error> {
    let mut choices = 1..=CHOICES;
    loop {
        let mut sockets = fresh();
        let opened = each(binds, transports, port, |transport, address, advertised| {
            listen(&mut sockets, transport, address, advertised)
        });
        let is_last = choices.next().is_none_or(|choice| choice == CHOICES);
        match opened {
            Ok(addresses) => return Ok((sockets, addresses)),
            Err((_, error)) if port == 0 && error.kind() == io::ErrorKind::AddrInUse && !is_last => {}
            Err((what, error)) => return Err(Error::System { what, reason: error.to_string() }),
        }
    }
}

/// Opens one after the other; the first says at which port. Fails with what was to be opened.
fn each(
    binds: &[Bind],
    transports: &[Transport],
    mut port: u16,
    mut listen: impl FnMut(Transport, SocketAddr, IpAddr) -> io::Result<SocketAddr>,
) -> Result<Addresses, (String, io::Error)> {
    let mut addresses = Vec::new();
    let chosen = port == 0;
    for bind in binds {
        for &transport in transports {
            let address = SocketAddr::new(bind.address, port_of(transport, transports, port));
            let local = match listen(transport, address, bind.advertised) {
                Err(error) if bind.optional && !(chosen && error.kind() == io::ErrorKind::AddrInUse) => {
                    tracing::debug!(%address, ?transport, %error, "not listened on");
                    continue;
                }
                local => local
                    .map_err(|error| (format!("listening for SIP on {address} ({transport:?})"), error))?,
            };
            if port == 0 {
                // The others take the port that the system chose for the first.
                port = local.port();
            }
            addresses.push((transport, local));
        }
    }
    Ok(addresses)
}

/// The port of a transport, as [`Builder::port`](crate::Builder::port) tells.
fn port_of(transport: Transport, all: &[Transport], port: u16) -> u16 {
    let alone = all.iter().all(|other| *other == transport);
    if port == 0 || (alone && port != 5060) {
        return port;
    }
    match transport {
        Transport::Udp | Transport::Tcp => port,
        Transport::Tls => port.saturating_add(1),
        Transport::Ws => port.saturating_add(2),
        Transport::Wss => port.saturating_add(3),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn transports_have_ports_of_their_own() {
        use Transport::{Tcp, Tls, Udp, Ws, Wss};
        let all = [Udp, Tcp, Tls, Ws, Wss];
        assert_eq!(all.map(|t| port_of(t, &all, 5060)), [5060, 5060, 5061, 5062, 5063]);
        assert_eq!(port_of(Tls, &[Tls], 5060), 5061);
        assert_eq!(port_of(Tls, &[Tls], 7000), 7000);
        assert_eq!(port_of(Wss, &[Wss], 443), 443);
        assert_eq!(port_of(Tls, &[Tls], 0), 0);
    }

    /// What is listened on where somebody else has TCP at `taken`, on a system that chooses 40,000 and those after it.
    fn opened(port: u16, taken: std::ops::Range<u16>) -> Result<Vec<(Transport, u16)>, Error> {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let binds = [Bind { address: here, advertised: here, optional: false }];
        let choice = Cell::new(40_000);
        let listen = |_: &mut (), transport, mut address: SocketAddr, _| {
            if address.port() == 0 {
                address.set_port(choice.replace(choice.get() + 1));
            }
            match transport == Transport::Tcp && taken.contains(&address.port()) {
                true => Err(io::ErrorKind::AddrInUse.into()),
                false => Ok(address),
            }
        };
        let (_, addresses) = together(&binds, &[Transport::Udp, Transport::Tcp], port, || (), listen)?;
        Ok(addresses.iter().map(|(transport, address)| (*transport, address.port())).collect())
    }

    #[test]
    fn transports_share_the_port_that_the_system_chose() {
        let both = |port| vec![(Transport::Udp, port), (Transport::Tcp, port)];
        assert_eq!(opened(0, 1..2).expect("it is free"), both(40_000));
        assert_eq!(opened(0, 40_000..40_002).expect("the third is free"), both(40_002));
        // Not for ever, and a port that was asked for is that one.
        assert!(opened(0, 40_000..50_000).is_err());
        assert!(opened(40_000, 40_000..40_001).is_err());
    }
}
