//! Listeners for MSRP: each may serve many streams, told apart by the path of the first request.
//!
//! ```text
//!   accept ──▶ (TLS, if its first byte says so) ──▶ first To-Path ──▶ the Door of that session id
//!                                                        │
//!                                                        └── nobody's: 481, and it is closed
//! ```
//! Whoever connects and has no path that is ours never reaches a stream, and keeps none waiting.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use msrp_cpim::{Config, Connection, Input, MsrpUri, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{Connected, Duplex, Peer};
use crate::driver::clock;
use crate::driver::media::tls::{Identity, fingerprint};
use crate::session::ChatPreparation;

/// Whoever has not said its path by then is disconnected.
const GREETING: Duration = Duration::from_secs(10);
/// Connections of a listener that have not said their path yet.
const GREETINGS: usize = 64;
/// The start line and the To-Path of a first request are not longer.
const MAX_GREETING: usize = 16 * 1024;
/// How long the refusal of a stranger may take.
const REFUSAL: Duration = Duration::from_secs(1);

/// All listeners of an application.
#[derive(Clone)]
pub(in crate::driver::media) struct Doors {
    identity: Identity,
    fixed: Arc<Mutex<BTreeMap<SocketAddr, Weak<Shared>>>>,
}

/// One stream's place at a listener: its URI, and who comes for it.
pub(in crate::driver::media) struct Door {
    shared: Arc<Shared>,
    uri: MsrpUri,
    arrivals: mpsc::Receiver<Arrival>,
    identity: Identity,
}

struct Shared {
    local: SocketAddr,
    expected: Mutex<HashMap<String, Expected>>,
    task: Mutex<Option<AbortHandle>>,
}

struct Expected {
    uri: MsrpUri,
    door: mpsc::Sender<Arrival>,
}

/// A connection whose first request has the path of a stream.
struct Arrival {
    connected: Connected,
    /// Of the certificate that it showed, if any.
    fingerprint: Option<String>,
}

impl Doors {
    pub(in crate::driver::media) fn new(identity: Identity) -> Self {
        Self { identity, fixed: Arc::default() }
    }

    /// Listens, and makes a URI with a session id that cannot be guessed (RFC 4975 §14.1). A port that
    /// was asked for is shared by all that ask for it.
    pub(in crate::driver::media) fn open(&self, preparation: &ChatPreparation) -> io::Result<Door> {
        let address = SocketAddr::new(preparation.address, preparation.port.unwrap_or(0));
        let shared = match address.port() {
            0 => self.listen(address)?,
            _ => {
                let mut fixed = lock(&self.fixed);
                fixed.retain(|_, shared| shared.strong_count() > 0);
                match fixed.get(&address).and_then(Weak::upgrade) {
                    Some(shared) => shared,
                    None => {
                        let shared = self.listen(address)?;
                        fixed.insert(address, Arc::downgrade(&shared));
                        shared
                    }
                }
            }
        };
        let session_id = msrp_cpim::IdSource::new(clock::seed()).next_id();
        let (host, port) = (shared.local.ip().to_string(), shared.local.port());
        let uri = MsrpUri::new(preparation.tls, host, port, session_id.clone());
        let (door, arrivals) = mpsc::channel(1);
        lock(&shared.expected).insert(session_id, Expected { uri: uri.clone(), door });
        Ok(Door { shared, uri, arrivals, identity: self.identity.clone() })
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Arc<Shared>> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let local = listener.local_addr()?;
        let shared = Arc::new(Shared { local, expected: Mutex::default(), task: Mutex::default() });
        let task = tokio::spawn(serve(listener, Arc::downgrade(&shared), self.identity.clone()));
        *lock(&shared.task) = Some(task.abort_handle());
        Ok(shared)
    }
}

impl Door {
    pub(in crate::driver::media) fn uri(&self) -> &MsrpUri {
        &self.uri
    }

    /// As `a=fingerprint` has it, with TLS.
    pub(in crate::driver::media) fn fingerprint(&self) -> Option<String> {
        self.uri.secure.then(|| self.identity.fingerprint())
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits for the peer. Who shows another certificate than the one that was announced is not it.
    pub(super) async fn answer(&mut self, peer: &Peer) -> io::Result<Connected> {
        loop {
            let gone = || io::Error::other("the listener is gone");
            let Arrival { connected, fingerprint } = self.arrivals.recv().await.ok_or_else(gone)?;
            let announced = peer.fingerprint.as_deref().filter(|_| self.uri.secure);
            let shown = fingerprint.unwrap_or_default();
            if announced.is_none_or(|announced| announced.trim().eq_ignore_ascii_case(&shown)) {
                return Ok(connected);
            }
            tracing::debug!(remote = %connected.remote, "a connection with a wrong certificate was refused");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(id) = &self.uri.session_id {
            lock(&self.shared.expected).remove(id);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// Accepts connections for as long as there are doors.
async fn serve(listener: TcpListener, shared: Weak<Shared>, identity: Identity) {
    let mut greetings: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if greetings.len() < GREETINGS => match accepted {
                Ok((stream, remote)) => {
                    let (shared, identity) = (shared.clone(), identity.clone());
                    greetings.spawn(async move {
                        let greeting = tokio::time::timeout(GREETING, greet(stream, remote, &shared, &identity));
                        match greeting.await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => tracing::debug!(%error, %remote, "an MSRP connection was refused"),
                            Err(_) => tracing::debug!(%remote, "an MSRP connection said nothing"),
                        }
                    });
                }
                // Out of file descriptors, most likely: others may close meanwhile.
                Err(error) => {
                    tracing::warn!(%error, "an MSRP connection could not be accepted");
                    clock::breathe().await;
                }
            },
            Some(ended) = greetings.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a greeting ended badly");
            },
        }
    }
}

/// Finds out whom a connection is for, and hands it over.
async fn greet(
    stream: TcpStream,
    remote: SocketAddr,
    shared: &Weak<Shared>,
    identity: &Identity,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A TLS record of a handshake begins with 22; MSRP begins with a letter.
    let secure = first == [22];
    let mut certificate = None;
    let mut stream: Box<dyn Duplex> = if secure {
        let stream = TlsAcceptor::from(Arc::new(identity.server()?)).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        certificate = shown.map(fingerprint);
        Box::new(stream)
    } else {
        Box::new(stream)
    };
    let mut early = BytesMut::with_capacity(4 * 1024);
    let to = loop {
        if stream.read_buf(&mut early).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(to) = first_to_path(&early) {
            break to.map_err(io::Error::other)?;
        }
        if early.len() > MAX_GREETING {
            return Err(io::Error::other("its first request is too long"));
        }
    };
    let early = early.freeze();
    let session_id = to.session_id.clone().unwrap_or_default();
    let door = shared.upgrade().and_then(|shared| {
        let expected = lock(&shared.expected);
        let expected = expected.get(&session_id)?;
        (expected.uri.matches(&to) && expected.uri.secure == secure).then(|| expected.door.clone())
    });
    let connected = Connected { stream, local, remote, early: early.clone() };
    let Some(door) = door else { return refuse(connected, None).await };
    match door.try_send(Arrival { connected, fingerprint: certificate }) {
        Ok(()) => Ok(()),
        // RFC 4975 §5.4: the session is on another connection.
        Err(refused) => refuse(refused.into_inner().connected, Some(to)).await,
    }
}

/// The last URI of the To-Path of the first request, once that is there. RFC 4975 §9 has it first of all
/// header fields.
fn first_to_path(data: &[u8]) -> Option<Result<MsrpUri, String>> {
    let mut lines = data.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let (start, path) = (lines.next()?, lines.next());
    if !start.starts_with(b"MSRP ") {
        return Some(Err("it does not speak MSRP".to_owned()));
    }
    let text = String::from_utf8_lossy(path?);
    let Some((name, path)) = text.trim_end().split_once(':') else {
        return Some(Err("no To-Path".to_owned()));
    };
    if !name.eq_ignore_ascii_case("To-Path") {
        return Some(Err("no To-Path".to_owned()));
    }
    let path = MsrpUri::parse_path(path.trim_start()).map_err(|error| error.to_string());
    Some(path.and_then(|mut path| path.pop().ok_or_else(|| "an empty path".to_owned())))
}

/// Answers a request that is for nobody here with 481 (506 where its session has a connection), and closes.
async fn refuse(connected: Connected, elsewhere: Option<MsrpUri>) -> io::Result<()> {
    let Connected { mut stream, early, .. } = connected;
    let now = clock::now().instant;
    let mut machine = Connection::new(Config::default(), clock::seed());
    machine.handle_input(now, Input::Connected);
    if let Some(uri) = elsewhere {
        machine.bound_elsewhere(uri);
    }
    machine.handle_input(now, Input::Received(&early));
    let mut buffer = vec![0; 4 * 1024];
    let answering = async {
        loop {
            match machine.poll_output() {
                Output::Write(answer) => return stream.write_all(&answer).await,
                Output::Disconnect => return Ok(()),
                Output::Event(_) => continue,
                Output::Idle(_) => {}
            }
            let length = stream.read(&mut buffer).await?;
            let data: Bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            if data.is_empty() {
                return Ok(());
            }
            machine.handle_input(now, Input::Received(&data));
        }
    };
    // Who does not take its refusal goes without.
    let _ = tokio::time::timeout(REFUSAL, answering).await;
    let _ = stream.shutdown().await;
    Err(io::Error::other("it has no path that is ours"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_path_is_found_once_it_is_there() {
        let request =
            b"MSRP d93kswow SEND\r\nTo-Path: msrp://relay.example:2855/r;tcp msrp://bob:8888/9di4ea;tcp\r\n";
        for length in 0..request.len() {
            assert!(first_to_path(&request[..length]).is_none(), "{length}");
        }
        let uri = first_to_path(request).expect("it is there").expect("it is a path");
        assert_eq!(uri.session_id.as_deref(), Some("9di4ea"));
        for wrong in
            ["GET / HTTP/1.1\r\n", "MSRP 1234 SEND\r\nFrom-Path: x\r\n", "MSRP 1234 SEND\r\nTo-Path: x\r\n"]
        {
            assert!(first_to_path(wrong.as_bytes()).expect("it is there").is_err(), "{wrong}");
        }
    }
}
