//! Puts the pieces together: sockets, engine, media, and the task that carries them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use sip_core::endpoint::{self as sip, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::clock;
use super::commander::Commander;
use super::media::MediaHost;
use super::network::{Network, binds};
use super::resolve::Resolver;
use super::signalling::Signalling;
use super::transport::{Security, Streams, UdpSockets};
use crate::application::{Builder, numbers};
use crate::engine::{Engine, EngineConfig};
use crate::error::Error;
use crate::session::SessionManager;

/// What streams may have waiting for the engine before they stop reading.
const STREAM_QUEUE: usize = 1_024;

/// A started application's parts.
pub(crate) struct Started {
    pub(crate) manager: SessionManager,
    pub(crate) commander: Commander,
    pub(crate) addresses: Vec<(Transport, SocketAddr)>,
    pub(crate) task: JoinHandle<()>,
}

/// Opens the sockets and starts the signalling task.
pub(crate) async fn start(
    builder: Builder,
    stop: watch::Receiver<Option<Instant>>,
) -> Result<Started, Error> {
    let binds = binds(builder.bind);
    // The one address that is used, unless all are.
    let own = builder.bind.filter(|address| !address.is_unspecified());
    let advertised = binds.first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |bind| bind.advertised);
    let session = builder.session_config(advertised);
    let numbers = numbers();
    let config = EngineConfig {
        sip: sip::Config {
            user_agent: builder.user_agent.clone(),
            session_timers: builder.refresh,
            ..sip::Config::default()
        },
        session: session.clone(),
        max_sessions: builder.max_sessions,
        accept_messages: builder.accept_messages,
        transfers: builder.transfers,
        referrals: builder.referrals,
        events: builder.events.clone(),
    };
    let mut engine = Engine::new(config, numbers.clone(), clock::seed());

    let (stream_sender, stream_inputs) = mpsc::channel(STREAM_QUEUE);
    let security = Arc::new(Security::new(builder.tls.clone()));
    let system = |what: String| move |error: io::Error| Error::System { what, reason: error.to_string() };
    security.check(false).map_err(system("the configuration of TLS".to_owned()))?;
    // First of all: who goes on without a device that there is not finds all ports free.
    let (commander, jobs) = Commander::new();
    let manager = SessionManager::new(commander.clone(), numbers, session);
    let (notes, media_notes) = mpsc::unbounded_channel();
    let (answers, resolved) = mpsc::unbounded_channel();
    let resolver = Resolver::new(&builder.dns_servers, answers);
    let backlog = builder.center.backlog().clone();
    let boards = (commander.board().clone(), commander.pcm().clone());
    let tracer = builder.tracer.clone();
    let media = MediaHost::new(
        &builder.audio,
        security.clone(),
        resolver.clone(),
        own,
        tracer,
        (notes, backlog),
        boards,
    )?;

    let mut sockets =
        Sockets { udp: UdpSockets::default(), streams: Streams::new(stream_sender, security, own) };
    let mut addresses = Vec::new();
    let mut port = builder.port;
    for bind in &binds {
        for &transport in &builder.transports {
            let wanted = port_of(transport, &builder.transports, port);
            let address = SocketAddr::new(bind.address, wanted);
            let local = match sockets.listen(transport, address, bind.advertised) {
                // Next to a port that the system chose there may be somebody else.
                Err(error) if builder.port == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                    sockets.listen(transport, SocketAddr::new(bind.address, 0), bind.advertised)
                }
                listening => listening,
            };
            let local = match local {
                Err(error) if bind.optional => {
                    tracing::debug!(%address, ?transport, %error, "not listened on");
                    continue;
                }
                local => local.map_err(system(format!("listening for SIP on {address} ({transport:?})")))?,
            };
            if port == 0 {
                // The others take the port that the system chose for the first.
                port = local.port();
            }
            engine.bound(clock::now(), transport, local);
            addresses.push((transport, local));
        }
    }
    let Sockets { udp, streams } = sockets;
    let network = Network::new(&binds, &addresses);
    let signalling = Signalling {
        engine,
        jobs,
        commander: commander.clone(),
        udp,
        streams,
        stream_inputs,
        network,
        media,
        media_notes,
        resolved,
        resolver,
        center: builder.center.clone(),
        manager: manager.clone(),
        tracer: builder.tracer.clone(),
        handles: HashMap::new(),
        stop,
    };
    Ok(Started { manager, commander, addresses, task: tokio::spawn(signalling.run()) })
}

/// The port of a transport, as [`Builder::port`] tells.
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

struct Sockets {
    udp: UdpSockets,
    streams: Streams,
}

impl Sockets {
    /// Listens, and gives the address with `advertised` in place of "all addresses".
    fn listen(
        &mut self,
        transport: Transport,
        address: SocketAddr,
        advertised: IpAddr,
    ) -> io::Result<SocketAddr> {
        if transport == Transport::Udp {
            return self.udp.bind(address, advertised);
        }
        let mut local = self.streams.listen(transport, address)?;
        if local.ip().is_unspecified() {
            local.set_ip(advertised);
        }
        Ok(local)
    }
}

#[cfg(test)]
mod tests {
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
}
