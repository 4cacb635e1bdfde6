//! MSRP over sockets: who connects to whom, and the machine on each connection.
//!
//! A stream has an [`End`] from when it is prepared: a [`listener`]'s door, or a place at our [`relay`]. When
//! the descriptions have come to something, the end becomes a connection with a session on it.

mod listener;
mod relay;
mod websocket;
mod wire;

pub(super) use listener::{Door, Doors};
pub(super) use relay::Relayed;
pub(super) use wire::Wire;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use msrp_cpim::chunk::SMALL_CHUNK;
use msrp_cpim::{Config, Connection, MsrpUri, SessionConfig, SessionId, SessionMemory};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::Identity;
use crate::driver::clock;
use crate::driver::dial::dial_host;
use crate::driver::resolve::Resolver;
use crate::driver::transport::Security;
use crate::session::{ChatPreparation, MsrpPlace};
use crate::trace::Tracer;

/// The port of an MSRP URI without one (RFC 4975 §6).
const DEFAULT_PORT: u16 = 2855;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection that stands, with its two ends.
pub(super) struct Connected {
    stream: Box<dyn Duplex>,
    local: SocketAddr,
    remote: SocketAddr,
    /// What was read of it already.
    early: Bytes,
}

/// Whom a stream is to be connected with, as the descriptions came to.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) path: Vec<MsrpUri>,
    /// Where it is to be connected to, if not at the first URI of its path (RFC 6714).
    pub(super) place: Option<MsrpPlace>,
    /// Its certificate must have this fingerprint, where it gave one.
    pub(super) fingerprint: Option<String>,
    /// Whether we connect (else we wait for the connection).
    pub(super) active: bool,
    /// Time for the connection to come about.
    pub(super) patience: Duration,
}

/// What makes ends: listeners, relays and who we are.
#[derive(Clone)]
pub(super) struct Ends {
    doors: Doors,
    security: Arc<Security>,
    /// The one address that connections come from; any where `None`.
    own: Option<IpAddr>,
    resolver: Resolver,
    tracer: Option<Arc<Tracer>>,
}

/// Our side of a stream before its connection is put to use.
pub(super) enum End {
    Direct(Door),
    Relayed(Box<Relayed>),
}

/// A session on a connection.
pub(super) struct Standing {
    pub(super) wire: Wire,
    pub(super) session: SessionId,
    /// Kept for as long as the stream has the URI.
    place: Place,
}

/// What an end was before it was a connection.
enum Place {
    Door(Door),
    /// Our path, and what the peer is told.
    Relay(Vec<MsrpUri>, Vec<MsrpUri>),
}

impl Standing {
    /// The session is to be taken up on another connection, from the same end; what it remembers goes along.
    pub(super) fn detach(self) -> (End, SessionMemory) {
        let Self { mut wire, session, place } = self;
        let now = clock::now().instant;
        match place {
            Place::Door(door) => {
                wire.machine.disconnect(now);
                (End::Direct(door), wire.machine.take_memory(session))
            }
            Place::Relay(local_path, path) => {
                // One that has ended is as well.
                let _ = wire.machine.close_session(now, session);
                let memory = wire.machine.take_memory(session);
                (End::Relayed(Box::new(Relayed { wire, local_path, path })), memory)
            }
        }
    }
}

impl Ends {
    pub(super) fn new(
        identity: Identity,
        security: Arc<Security>,
        own: Option<IpAddr>,
        resolver: Resolver,
        tracer: Option<Arc<Tracer>>,
    ) -> Self {
        Self { doors: Doors::new(identity), security, own, resolver, tracer }
    }

    /// Where messages are traced.
    pub(in crate::driver::media) fn tracer(&self) -> Option<Arc<Tracer>> {
        self.tracer.clone()
    }

    /// Makes an end, at the relay where there is to be one.
    pub(super) async fn open(&self, preparation: &ChatPreparation) -> io::Result<End> {
        if let Some(relay) = &preparation.relay {
            let (own, tracer) = (self.own, self.tracer.as_ref());
            let opened = Relayed::open(relay, &self.security, own, &self.resolver, tracer).await;
            match opened {
                Ok(relayed) => return Ok(End::Relayed(Box::new(relayed))),
                // One that was named is wanted; one that a domain might have is used if there is one.
                Err(error) if relay.host.is_some() => return Err(error),
                Err(error) => tracing::debug!(%error, "MSRP without a relay"),
            }
        }
        self.doors.open(preparation).map(End::Direct)
    }

    /// Puts a session on a connection with the peer. `session` has everything but the paths.
    pub(super) async fn connect(
        &self,
        end: End,
        peer: &Peer,
        session: SessionConfig,
    ) -> io::Result<Standing> {
        let now = || clock::now().instant;
        let mut session = SessionConfig { remote_path: peer.path.clone(), active: peer.active, ..session };
        match end {
            End::Direct(mut door) => {
                let connecting = async {
                    if peer.active { self.call(door.identity(), peer).await } else { door.answer(peer).await }
                };
                let connected =
                    tokio::time::timeout(peer.patience, connecting).await.unwrap_or_else(|_| {
                        let seconds = peer.patience.as_secs();
                        Err(io::Error::other(format!("no MSRP connection within {seconds} s")))
                    })?;
                let mut machine = Connection::new(Config::default(), clock::seed());
                session.local_path = vec![door.uri().clone()];
                if peer.path.len() > 1 {
                    session.chunk_size = session.chunk_size.min(SMALL_CHUNK);
                }
                let session = machine.add_session(now(), session).map_err(io::Error::other)?;
                let wire = Wire::new(connected, machine, self.tracer.clone());
                Ok(Standing { wire, session, place: Place::Door(door) })
            }
            End::Relayed(relayed) => {
                let Relayed { mut wire, local_path, path } = *relayed;
                session.local_path.clone_from(&local_path);
                // RFC 4975 §7.1.1: what is larger may be interrupted, which not every relay can.
                session.chunk_size = session.chunk_size.min(SMALL_CHUNK);
                let session = wire.machine.add_session(now(), session).map_err(io::Error::other)?;
                Ok(Standing { wire, session, place: Place::Relay(local_path, path) })
            }
        }
    }

    /// Connects to the first hop of the peer's path, or to where its c= and m= lines lead.
    async fn call(&self, identity: &Identity, peer: &Peer) -> io::Result<Connected> {
        let hop = peer.path.first().ok_or_else(|| io::Error::other("the peer's path is empty"))?;
        let stream = match &peer.place {
            None => self.dial(hop).await?,
            Some(MsrpPlace { host, port }) => {
                let there = dial_host(self.own, host, *port);
                // Lines that were never meant to be connected to lead nowhere.
                match tokio::time::timeout(peer.patience / 2, there).await {
                    Ok(Ok(stream)) => stream,
                    _ => self.dial(hop).await?,
                }
            }
        };
        stream.set_nodelay(true)?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let stream: Box<dyn Duplex> = match (hop.secure, &peer.fingerprint) {
            (false, _) => Box::new(stream),
            (true, Some(fingerprint)) => {
                let config = identity.client(fingerprint.clone())?;
                let name =
                    rustls_pki_types::ServerName::try_from(hop.host.clone()).map_err(io::Error::other)?;
                Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
            }
            // RFC 4975 §14.4: without a fingerprint the certificate has to be good for the name in the URI, whatever
            // carries the bytes there.
            (true, None) => Box::new(self.security.connect(stream, &hop.host).await?),
        };
        Ok(Connected { stream, local, remote, early: Bytes::new() })
    }

    async fn dial(&self, hop: &MsrpUri) -> io::Result<TcpStream> {
        dial_host(self.own, &hop.host, hop.port.unwrap_or(DEFAULT_PORT)).await
    }
}

impl End {
    /// As `a=path` has it.
    pub(super) fn path(&self) -> String {
        match self {
            End::Direct(door) => door.uri().to_string(),
            End::Relayed(relayed) => MsrpUri::print_path(&relayed.path),
        }
    }

    /// As `a=fingerprint` has it. At a relay it is the relay that proves itself to the peer.
    pub(super) fn fingerprint(&self) -> Option<String> {
        match self {
            End::Direct(door) => door.fingerprint(),
            End::Relayed(_) => None,
        }
    }

    /// Keeps it alive until it is put to use; returns only if it is lost, with the reason.
    pub(super) async fn idle(&mut self) -> String {
        match self {
            End::Direct(_) => std::future::pending().await,
            End::Relayed(relayed) => {
                while relayed.wire.next().await.is_some() {}
                format!("the MSRP relay: {}", relayed.wire.failure())
            }
        }
    }
}
