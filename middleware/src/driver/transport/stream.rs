//! Streams for SIP: TCP, TLS and WebSockets, with a task that reads and one that writes for each.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sip_core::endpoint::{FlowId, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::carry::{Wire, Writer, carry, writer};
use super::tls::Security;
use super::websocket;
use crate::driver::clock;
use crate::driver::dial::dial;

/// Connections that may wait for `accept`.
const BACKLOG: i32 = 1_024;

/// What streams tell the engine.
#[derive(Debug)]
pub(crate) enum StreamInput {
    /// A peer connected, and its handshakes are done.
    Accepted { flow: FlowId, transport: Transport, local: SocketAddr, remote: SocketAddr, writer: Writer },
    /// A connection that was asked for is there, its handshakes done.
    Connected { flow: FlowId, local: SocketAddr, remote: SocketAddr, writer: Writer },
    /// A connection that was asked for cannot be had.
    ConnectFailed { flow: FlowId, reason: String },
    /// A connection brought bytes; on a WebSocket, one whole message.
    Received { flow: FlowId, data: Bytes },
    /// A connection ended.
    Closed { flow: FlowId },
}

/// All streams that SIP is spoken on.
pub(crate) struct Streams {
    inputs: mpsc::Sender<StreamInput>,
    security: Arc<Security>,
    /// The one address that connections come from; any where `None`.
    own: Option<IpAddr>,
    handshakes: Arc<Semaphore>,
    connecting: HashMap<FlowId, AbortHandle>,
    open: HashMap<FlowId, Open>,
    accepted: Arc<AtomicU64>,
}

struct Open {
    writer: Writer,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Streams {
    /// Streams that tell of what happens through `inputs`; those of ours come from `own`, where it is said.
    pub(crate) fn new(
        inputs: mpsc::Sender<StreamInput>,
        security: Arc<Security>,
        own: Option<IpAddr>,
    ) -> Self {
        Self {
            inputs,
            own,
            handshakes: Arc::new(Semaphore::new(security.config().max_handshakes)),
            security,
            connecting: HashMap::new(),
            open: HashMap::new(),
            accepted: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Listens for connections; port 0 lets the system choose. Returns the address it got.
    pub(crate) fn listen(&mut self, transport: Transport, address: SocketAddr) -> io::Result<SocketAddr> {
        if transport.is_secure() {
            self.security.check(true)?;
        }
        let listener = listener(address)?;
        let local = listener.local_addr()?;
        let front = Front {
            transport,
            local,
            inputs: self.inputs.clone(),
            security: self.security.clone(),
            handshakes: self.handshakes.clone(),
            numbers: self.accepted.clone(),
        };
        tokio::spawn(front.serve(listener));
        Ok(local)
    }

    /// Opens a connection; `Connected` or `ConnectFailed` will tell.
    pub(crate) fn connect(&mut self, flow: FlowId, transport: Transport, remote: SocketAddr, name: String) {
        let (inputs, security, own) = (self.inputs.clone(), self.security.clone(), self.own);
        let task = tokio::spawn(async move {
            match open(transport, own, remote, &name, &security).await {
                Ok((wire, local)) => {
                    let (writer, queue) = writer();
                    if inputs.send(StreamInput::Connected { flow, local, remote, writer }).await.is_ok() {
                        carry(wire, flow, inputs, queue);
                    }
                }
                Err(error) => {
                    // Nobody to tell: the application has stopped.
                    let _ = inputs.send(StreamInput::ConnectFailed { flow, reason: error.to_string() }).await;
                }
            }
        });
        self.connecting.insert(flow, task.abort_handle());
    }

    /// A connection is there: from now on it can be written to.
    pub(crate) fn opened(&mut self, flow: FlowId, local: SocketAddr, remote: SocketAddr, writer: Writer) {
        self.connecting.remove(&flow);
        self.open.insert(flow, Open { writer, local, remote });
    }

    /// Queues `data`. A connection whose queue is full is closed: its peer does not read.
    pub(crate) fn write(&mut self, flow: FlowId, data: Bytes) {
        if !self.open.get(&flow).is_some_and(|open| open.writer.write(data)) {
            self.disconnect(flow);
        }
    }

    /// Closes it once what is queued was written, or ends the attempt to open it.
    pub(crate) fn disconnect(&mut self, flow: FlowId) {
        if let Some(attempt) = self.connecting.remove(&flow) {
            attempt.abort();
        }
        self.forget(flow);
    }

    /// Our end and the peer's.
    pub(crate) fn addresses(&self, flow: FlowId) -> Option<(SocketAddr, SocketAddr)> {
        self.open.get(&flow).map(|open| (open.local, open.remote))
    }

    /// The connection is gone.
    pub(crate) fn forget(&mut self, flow: FlowId) {
        self.connecting.remove(&flow);
        self.open.remove(&flow);
        if self.open.capacity() > 1_024 && self.open.len() * 4 < self.open.capacity() {
            self.open.shrink_to(self.open.len() * 2);
        }
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run that the system still remembers must not keep us out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What answers those who connect to one listener.
#[derive(Clone)]
struct Front {
    transport: Transport,
    local: SocketAddr,
    inputs: mpsc::Sender<StreamInput>,
    security: Arc<Security>,
    handshakes: Arc<Semaphore>,
    numbers: Arc<AtomicU64>,
}

impl Front {
    async fn serve(self, listener: TcpListener) {
        while !self.inputs.is_closed() {
            let (stream, remote) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    // Out of file descriptors, or the peer left already: the next may be better.
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        clock::breathe().await;
                        continue;
                    }
                },
                () = self.inputs.closed() => return,
            };
            if self.transport == Transport::Tcp {
                prepare(&stream);
                self.enter(Wire::Tcp(stream), remote).await;
                continue;
            }
            // A handshake takes the peer's time, not ours.
            let Ok(permit) = self.handshakes.clone().try_acquire_owned() else {
                tracing::debug!(%remote, "too many handshakes at one time");
                continue;
            };
            let front = self.clone();
            tokio::spawn(async move {
                prepare(&stream);
                let patience = front.security.config().handshake_timeout;
                let shaken = tokio::time::timeout(patience, front.greet(stream)).await;
                drop(permit);
                match shaken {
                    Ok(Ok(wire)) => front.enter(wire, remote).await,
                    Ok(Err(error)) => tracing::debug!(%remote, %error, "a handshake failed"),
                    Err(_) => tracing::debug!(%remote, "a handshake took too long"),
                }
            });
        }
    }

    async fn greet(&self, stream: TcpStream) -> io::Result<Wire> {
        Ok(match self.transport {
            Transport::Tls => Wire::Bytes(Box::new(self.security.accept(stream).await?)),
            Transport::Ws => Wire::Messages(Box::new(websocket::accept(Box::new(stream)).await?)),
            Transport::Wss => {
                let secure = self.security.accept(stream).await?;
                Wire::Messages(Box::new(websocket::accept(Box::new(secure)).await?))
            }
            Transport::Udp | Transport::Tcp => Wire::Tcp(stream),
        })
    }

    async fn enter(&self, wire: Wire, remote: SocketAddr) {
        let flow = FlowId::accepted(self.numbers.fetch_add(1, Ordering::Relaxed));
        let (writer, queue) = writer();
        let local = wire.local().unwrap_or(self.local);
        let transport = self.transport;
        let told = self.inputs.send(StreamInput::Accepted { flow, transport, local, remote, writer }).await;
        if told.is_ok() {
            carry(wire, flow, self.inputs.clone(), queue);
        }
    }
}

/// Small messages must leave at once; Nagle's algorithm would hold a 200 back for 40 ms.
fn prepare(stream: &TcpStream) {
    // Where it cannot be set it is only slower.
    let _ = stream.set_nodelay(true);
}

async fn open(
    transport: Transport,
    own: Option<IpAddr>,
    remote: SocketAddr,
    name: &str,
    security: &Security,
) -> io::Result<(Wire, SocketAddr)> {
    let stream = dial(own, remote).await?;
    prepare(&stream);
    let local = stream.local_addr()?;
    let wire = match transport {
        Transport::Tcp => Wire::Tcp(stream),
        Transport::Tls => Wire::Bytes(Box::new(security.connect(stream, name).await?)),
        Transport::Ws => {
            let socket = websocket::connect(Box::new(stream), false, name, remote.port()).await?;
            Wire::Messages(Box::new(socket))
        }
        Transport::Wss => {
            let secure = security.connect(stream, name).await?;
            let socket = websocket::connect(Box::new(secure), true, name, remote.port()).await?;
            Wire::Messages(Box::new(socket))
        }
        Transport::Udp => return Err(io::Error::other("UDP has no connections")),
    };
    Ok((wire, local))
}
