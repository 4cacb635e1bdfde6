//! TCP for SIP: a task that reads and a task that writes for each connection.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use sip_core::endpoint::{FlowId, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What may wait to be written on one connection, in messages; a peer that reads no more of
/// them is disconnected.
const WRITE_QUEUE: usize = 512;

/// What streams tell the engine.
#[derive(Debug)]
pub(crate) enum StreamInput {
    Accepted { flow: FlowId, local: SocketAddr, remote: SocketAddr },
    Connected { flow: FlowId, local: SocketAddr, remote: SocketAddr },
    ConnectFailed { flow: FlowId, reason: String },
    Received { flow: FlowId, data: Bytes },
    Closed { flow: FlowId },
}

/// All streams that SIP is spoken on.
pub(crate) struct Streams {
    inputs: mpsc::Sender<StreamInput>,
    opened: mpsc::UnboundedSender<(FlowId, mpsc::Sender<Bytes>)>,
    opening: mpsc::UnboundedReceiver<(FlowId, mpsc::Sender<Bytes>)>,
    writers: HashMap<FlowId, mpsc::Sender<Bytes>>,
    addresses: HashMap<FlowId, (SocketAddr, SocketAddr)>,
    accepted: Arc<AtomicU64>,
}

impl Streams {
    /// Streams that tell of what happens through `inputs`.
    pub(crate) fn new(inputs: mpsc::Sender<StreamInput>) -> Self {
        let (opened, opening) = mpsc::unbounded_channel();
        let accepted = Arc::new(AtomicU64::new(1));
        Self { inputs, opened, opening, writers: HashMap::new(), addresses: HashMap::new(), accepted }
    }

    /// Listens for connections; port 0 lets the system choose. Returns the address it got.
    pub(crate) async fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let (inputs, opened) = (self.inputs.clone(), self.opened.clone());
        let numbers = self.accepted.clone();
        tokio::spawn(async move {
            loop {
                // Out of file descriptors, or the peer left already: the next may be better.
                let Ok((stream, remote)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let flow = FlowId::accepted(numbers.fetch_add(1, Ordering::Relaxed));
                let local = stream.local_addr().unwrap_or(local);
                if inputs.send(StreamInput::Accepted { flow, local, remote }).await.is_err() {
                    return;
                }
                run(stream, flow, &inputs, &opened);
            }
        });
        Ok(local)
    }

    /// Opens a connection; `Connected` or `ConnectFailed` will tell.
    pub(crate) fn connect(&mut self, flow: FlowId, transport: Transport, remote: SocketAddr) {
        let (inputs, opened) = (self.inputs.clone(), self.opened.clone());
        tokio::spawn(async move {
            let connected = match transport {
                Transport::Tcp => TcpStream::connect(remote).await,
                other => Err(io::Error::other(format!("{other:?} is not available"))),
            };
            let input = match connected {
                Ok(stream) => {
                    let local = stream.local_addr();
                    run(stream, flow, &inputs, &opened);
                    match local {
                        Ok(local) => StreamInput::Connected { flow, local, remote },
                        Err(error) => StreamInput::ConnectFailed { flow, reason: error.to_string() },
                    }
                }
                Err(error) => StreamInput::ConnectFailed { flow, reason: error.to_string() },
            };
            // Nobody to tell: the application has stopped.
            let _ = inputs.send(input).await;
        });
    }

    /// Queues `data`. A connection whose queue is full is closed: its peer does not read.
    pub(crate) fn write(&mut self, flow: FlowId, data: Bytes) {
        self.take_opened();
        let taken = self.writers.get(&flow).is_some_and(|writer| writer.try_send(data).is_ok());
        if !taken {
            self.disconnect(flow);
        }
    }

    /// Closes it once what is queued was written.
    pub(crate) fn disconnect(&mut self, flow: FlowId) {
        self.take_opened();
        self.writers.remove(&flow);
    }

    /// Keeps the two ends of a connection, for traces.
    pub(crate) fn remember(&mut self, flow: FlowId, local: SocketAddr, remote: SocketAddr) {
        self.addresses.insert(flow, (local, remote));
    }

    /// Our end and the peer's.
    pub(crate) fn addresses(&self, flow: FlowId) -> Option<(SocketAddr, SocketAddr)> {
        self.addresses.get(&flow).copied()
    }

    /// The connection is gone.
    pub(crate) fn forget(&mut self, flow: FlowId) {
        self.addresses.remove(&flow);
        self.writers.remove(&flow);
    }

    fn take_opened(&mut self) {
        while let Ok((flow, writer)) = self.opening.try_recv() {
            self.writers.insert(flow, writer);
        }
    }
}

/// Starts the two tasks of a connection. It ends when the writer's queue is dropped or the peer
/// closes; `Closed` is told in both cases.
fn run(
    stream: TcpStream,
    flow: FlowId,
    inputs: &mpsc::Sender<StreamInput>,
    opened: &mpsc::UnboundedSender<(FlowId, mpsc::Sender<Bytes>)>,
) {
    // Small messages must leave at once; Nagle's algorithm would hold a 200 back for 40 ms.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let (queue, mut queued) = mpsc::channel::<Bytes>(WRITE_QUEUE);
    let _ = opened.send((flow, queue));
    let writing = tokio::spawn(async move {
        while let Some(data) = queued.recv().await {
            if writer.write_all(&data).await.is_err() {
                break;
            }
        }
        // The peer sees an end, whatever it still sends.
        let _ = writer.shutdown().await;
    });
    let inputs = inputs.clone();
    tokio::spawn(async move {
        let mut writing = writing;
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        loop {
            tokio::select! {
                read = reader.read_buf(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        let data = buffer.split().freeze();
                        buffer.reserve(16 * 1024);
                        if inputs.send(StreamInput::Received { flow, data }).await.is_err() {
                            return;
                        }
                    }
                },
                _ = &mut writing => break,
            }
        }
        let _ = inputs.send(StreamInput::Closed { flow }).await;
    });
}
