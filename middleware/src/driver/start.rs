//! Puts the pieces together: sockets, engine, media, and the task that carries them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use sip_core::endpoint::{self as sip, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::clock;
use super::commander::Commander;
use super::media::MediaHost;
use super::signalling::Signalling;
use super::transport::{Streams, UdpSockets};
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
    let bind = builder.bind.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let advertised = if bind.is_unspecified() { outbound_address() } else { bind };
    let session = builder.session_config(advertised);
    let numbers = numbers();
    let config = EngineConfig {
        sip: sip::Config { user_agent: builder.user_agent.clone(), ..sip::Config::default() },
        session: session.clone(),
        max_sessions: builder.max_sessions,
        accept_messages: builder.accept_messages,
    };
    let mut engine = Engine::new(config, numbers.clone(), clock::seed());

    let (stream_sender, stream_inputs) = mpsc::channel(STREAM_QUEUE);
    let mut udp = UdpSockets::default();
    let mut streams = Streams::new(stream_sender);
    let mut addresses = Vec::new();
    let mut port = builder.port;
    for &transport in &builder.transports {
        let address = SocketAddr::new(bind, port);
        let bound = match transport {
            Transport::Udp => udp.bind(address, advertised),
            Transport::Tcp => streams.listen(address).await.map(|mut local| {
                if local.ip().is_unspecified() {
                    local.set_ip(advertised);
                }
                local
            }),
            other => Err(std::io::Error::other(format!("{other:?} is not available to listen on"))),
        };
        let local = bound.map_err(|error| Error::System {
            what: format!("listening for SIP on {address} ({transport:?})"),
            reason: error.to_string(),
        })?;
        // The other transports take the port that the system chose for the first.
        port = local.port();
        engine.bound(clock::now(), transport, local);
        addresses.push((transport, local));
    }

    let (commander, jobs) = Commander::new();
    let manager = SessionManager::new(commander.clone(), numbers, session);
    let (notes, media_notes) = mpsc::unbounded_channel();
    let (resolver, resolved) = mpsc::unbounded_channel();
    let board = commander.board().clone();
    let media = MediaHost::new(&builder.audio, builder.tracer.clone(), notes, board)?;
    let signalling = Signalling {
        engine,
        jobs,
        commander: commander.clone(),
        udp,
        streams,
        stream_inputs,
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

/// The address of this host that packets to the outside leave from. Nothing is sent: connecting
/// a UDP socket only asks the routing table. (192.0.2.1 is for documentation, RFC 5737.)
fn outbound_address() -> IpAddr {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    ask().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |local| local.ip())
}
