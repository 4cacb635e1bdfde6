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
use super::listening::{Listening, listen};
use super::media::MediaHost;
use super::network::{Network, binds};
use super::resolve::Resolver;
use super::signalling::Signalling;
use super::transport::Security;
use crate::application::{Builder, numbers};
use crate::engine::{Engine, EngineConfig};
use crate::error::Error;
use crate::session::SessionManager;

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

    let Listening { udp, streams, stream_inputs, addresses } =
        listen(&binds, &builder.transports, builder.port, &security, own)?;
    for &(transport, local) in &addresses {
        engine.bound(clock::now(), transport, local);
    }
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
