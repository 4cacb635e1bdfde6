//! MSRP over sockets: who connects to whom, and the machine on each connection.

mod listener;
mod wire;

pub(super) use listener::{Door, Doors};
pub(super) use wire::Wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use msrp_cpim::MsrpUri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::Identity;

/// The port of an MSRP URI without one (RFC 4975 §6).
const DEFAULT_PORT: u16 = 2855;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection that stands, with its two ends.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Duplex>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// What was read of it already.
    pub(super) early: Bytes,
}

/// Whom a stream is to be connected with, as the descriptions came to.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) path: Vec<MsrpUri>,
    /// Its certificate must have this fingerprint, where it gave one.
    pub(super) fingerprint: Option<String>,
    /// Whether we connect (else we wait for the connection).
    pub(super) active: bool,
}

/// Makes the connection, or waits for it.
pub(super) async fn connect(door: &mut Door, peer: &Peer, patience: Duration) -> io::Result<Connected> {
    let connecting =
        async { if peer.active { call(door.identity(), peer).await } else { door.answer(peer).await } };
    match tokio::time::timeout(patience, connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let seconds = patience.as_secs();
            Err(io::Error::other(format!("no MSRP connection within {seconds} s")))
        }
    }
}

/// Connects to the first hop of the peer's path.
async fn call(identity: &Identity, peer: &Peer) -> io::Result<Connected> {
    let hop = peer.path.first().ok_or_else(|| io::Error::other("the peer's path is empty"))?;
    let port = hop.port.unwrap_or(DEFAULT_PORT);
    let stream = TcpStream::connect((hop.host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    if !hop.secure {
        return Ok(Connected { stream: Box::new(stream), local, remote, early: Bytes::new() });
    }
    let config = identity.client(peer.fingerprint.clone())?;
    let name = rustls_pki_types::ServerName::try_from(hop.host.clone()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Connected { stream: Box::new(stream), local, remote, early: Bytes::new() })
}
