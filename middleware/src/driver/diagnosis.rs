//! Questions about the network that need sockets: what [`diagnostics`](crate::diagnostics) offers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ice_stun::stun::{
    Behaviour, BindingLifetime, Discovery, DiscoveryConfig, DiscoveryOutput, Failure, LifetimeConfig,
    LifetimeOutput, LifetimeSearch, LifetimeSocket,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::clock;
use super::media::gather_alone;
use super::resolve::Resolver;
use super::servers::{ServerResolver, stun_uri};
use super::transport::Security;
use crate::configuration::{IceConfiguration, TlsConfiguration};
use crate::error::Error;

/// Largest answer that is read.
const ANSWER: usize = 2_048;

/// A STUN server that is found, and a socket that reaches it.
async fn reach(
    host: &str,
    port: u16,
    from: Option<IpAddr>,
    dns: &[SocketAddr],
) -> Result<(SocketAddr, UdpSocket), Error> {
    let resolver = resolver(dns);
    let servers = ServerResolver(resolver).find(&stun_uri(host, port)).await;
    let fits = |server: &&SocketAddr| from.is_none_or(|from| from.is_ipv4() == server.is_ipv4());
    let Some(server) = servers.iter().find(fits).copied() else {
        return Err(Error::Unknown { what: "STUN server", name: host.to_owned() });
    };
    let system = |error: io::Error| system("a socket for STUN", error);
    let local = match from {
        Some(from) => from,
        None => towards(server).map_err(system)?,
    };
    let socket = UdpSocket::bind((local, 0)).await.map_err(system)?;
    Ok((server, socket))
}

/// The address of ours that reaches the server; nothing is sent.
fn towards(server: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let probe = std::net::UdpSocket::bind(any)?;
    probe.connect(server)?;
    Ok(probe.local_addr()?.ip())
}

fn resolver(dns: &[SocketAddr]) -> Resolver {
    Resolver::new(dns, mpsc::unbounded_channel().0)
}

fn system(what: &str, error: io::Error) -> Error {
    Error::System { what: what.to_owned(), reason: error.to_string() }
}

fn failed(server: SocketAddr, failure: &Failure) -> Error {
    Error::System { what: format!("the STUN server {server}"), reason: failure.to_string() }
}

/// What kind of NAT is between us and the server, how it was reached, and from where.
pub(crate) async fn behaviour(
    host: &str,
    port: u16,
    from: Option<IpAddr>,
    dns: &[SocketAddr],
) -> Result<(SocketAddr, SocketAddr, Behaviour), Error> {
    let (server, socket) = reach(host, port, from, dns).await?;
    let local = socket.local_addr().map_err(|error| system("a socket for STUN", error))?;
    let mut machine = Discovery::new(DiscoveryConfig::new(local, server), clock::seed());
    machine.start(clock::now().instant);
    let mut buffer = [0; ANSWER];
    loop {
        let deadline = match machine.poll_output() {
            // What the system does not take is lost, as on a network.
            DiscoveryOutput::Transmit { to, data } => {
                drop(socket.send_to(&data, to).await);
                continue;
            }
            DiscoveryOutput::Done(result) => {
                let behaviour = result.map_err(|failure| failed(server, &failure))?;
                return Ok((server, local, behaviour));
            }
            DiscoveryOutput::Idle(deadline) => deadline,
        };
        tokio::select! {
            // An error is an ICMP message's: silence will tell.
            received = socket.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                let data = buffer.get(..length).unwrap_or_default();
                machine.handle_input(clock::now().instant, from, data);
            },
            () = clock::wait_until(deadline) => machine.handle_timeout(clock::now().instant),
        }
    }
}

/// How long a binding lasts that nothing is sent from; no longer than `longest` is looked.
pub(crate) async fn binding_lifetime(
    host: &str,
    port: u16,
    from: Option<IpAddr>,
    dns: &[SocketAddr],
    longest: Duration,
) -> Result<BindingLifetime, Error> {
    let (server, watched) = reach(host, port, from, dns).await?;
    let local = watched.local_addr().map_err(|error| system("a socket for STUN", error))?;
    let asking = UdpSocket::bind((local.ip(), 0)).await;
    let asking = asking.map_err(|error| system("a socket for STUN", error))?;
    let config = LifetimeConfig { longest, ..LifetimeConfig::new(server) };
    let mut machine = LifetimeSearch::new(config, clock::seed());
    machine.start(clock::now().instant);
    let (mut first, mut second) = ([0; ANSWER], [0; ANSWER]);
    loop {
        let deadline = match machine.poll_output() {
            // What the system does not take is lost, as on a network.
            LifetimeOutput::Transmit { from, to, data } => {
                let socket = if from == LifetimeSocket::Watched { &watched } else { &asking };
                drop(socket.send_to(&data, to).await);
                continue;
            }
            LifetimeOutput::Done(result) => return result.map_err(|failure| failed(server, &failure)),
            LifetimeOutput::Idle(deadline) => deadline,
        };
        let (at, received, buffer) = tokio::select! {
            received = watched.recv_from(&mut first) => (LifetimeSocket::Watched, received, &first),
            received = asking.recv_from(&mut second) => (LifetimeSocket::Asking, received, &second),
            () = clock::wait_until(deadline) => {
                machine.handle_timeout(clock::now().instant);
                continue;
            }
        };
        // An error is an ICMP message's: silence will tell.
        if let Ok((length, from)) = received {
            let data = buffer.get(..length).unwrap_or_default();
            machine.handle_input(clock::now().instant, at, from, data);
        }
    }
}

/// The candidates that a call from this address would have, as lines of SDP, and what kept servers from
/// giving more.
pub(crate) async fn candidates(
    address: IpAddr,
    every_interface: bool,
    configuration: IceConfiguration,
    tls: &TlsConfiguration,
    dns: &[SocketAddr],
) -> Result<(Vec<String>, Vec<(SocketAddr, String)>), Error> {
    let security = Arc::new(Security::new(tls.clone()));
    let resolver = ServerResolver(resolver(dns));
    let found = gather_alone(address, every_interface, configuration, &resolver, &security).await;
    let (candidates, failures) = found.map_err(|error| system("sockets for RTP", error))?;
    Ok((candidates.iter().map(ToString::to_string).collect(), failures))
}
