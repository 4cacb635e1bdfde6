//! One connection at work: a task that reads and a task that writes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use sip_core::endpoint::FlowId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::stream::StreamInput;

/// What may wait to be written on one connection, in messages and in bytes; a peer that reads no
/// more of them is disconnected.
const WRITE_QUEUE: usize = 512;
const WRITE_BYTES: usize = 4 << 20;
/// How long one message may take to be written before the peer counts as dead.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
/// What is read at once.
const READ: usize = 16 * 1024;

/// What bytes travel on once it is connected.
pub(super) enum Wire {
    Tcp(TcpStream),
    Bytes(Box<dyn Io>),
    Messages(Box<WebSocketStream<Box<dyn Io>>>),
}

/// A stream, encrypted or not.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    /// Our end.
    fn local(&self) -> io::Result<SocketAddr>;
}

impl Io for TcpStream {
    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Io for tokio_rustls::server::TlsStream<TcpStream> {
    fn local(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.local_addr()
    }
}

impl Io for tokio_rustls::client::TlsStream<TcpStream> {
    fn local(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.local_addr()
    }
}

impl Wire {
    /// Our end.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
            Self::Bytes(stream) => stream.local(),
            Self::Messages(socket) => socket.get_ref().local(),
        }
    }
}

/// The end of a connection's queue that is written to. Once it is dropped, the connection closes
/// after what waits was written.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Queues `data`; `false` if there is too much waiting.
    pub(super) fn write(&self, data: Bytes) -> bool {
        let length = data.len();
        let fits = self.waiting.fetch_add(length, Ordering::Relaxed) + length <= WRITE_BYTES;
        fits && self.queue.try_send(data).is_ok()
    }
}

/// The end that the writing task takes from.
pub(super) struct Queue {
    queue: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    async fn next(&mut self) -> Option<Bytes> {
        let data = self.queue.recv().await?;
        self.waiting.fetch_sub(data.len(), Ordering::Relaxed);
        Some(data)
    }
}

pub(super) fn writer() -> (Writer, Queue) {
    let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
    let waiting = Arc::<AtomicUsize>::default();
    (Writer { queue: sender, waiting: waiting.clone() }, Queue { queue: receiver, waiting })
}

/// Starts the tasks of a connection. It ends when its [`Writer`] is dropped or the peer closes;
/// `Closed` is told in both cases.
pub(super) fn carry(wire: Wire, flow: FlowId, inputs: mpsc::Sender<StreamInput>, queue: Queue) {
    match wire {
        Wire::Tcp(stream) => {
            let (reader, writer) = stream.into_split();
            carry_bytes(reader, writer, flow, inputs, queue);
        }
        Wire::Bytes(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            carry_bytes(reader, writer, flow, inputs, queue);
        }
        Wire::Messages(socket) => carry_messages(*socket, flow, inputs, queue),
    }
}

fn carry_bytes(
    mut reader: impl AsyncRead + Send + Unpin + 'static,
    mut writer: impl AsyncWrite + Send + Unpin + 'static,
    flow: FlowId,
    inputs: mpsc::Sender<StreamInput>,
    mut queue: Queue,
) {
    let mut writing = tokio::spawn(async move {
        while let Some(data) = queue.next().await {
            if !in_time(writer.write_all(&data)).await {
                return;
            }
            // TLS keeps what it has encrypted until it is told.
            if !in_time(writer.flush()).await {
                return;
            }
        }
        // The peer sees an end, whatever it still sends.
        in_time(writer.shutdown()).await;
    });
    tokio::spawn(async move {
        let mut buffer = BytesMut::with_capacity(READ);
        loop {
            tokio::select! {
                read = reader.read_buf(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        let data = buffer.split().freeze();
                        buffer.reserve(READ);
                        if inputs.send(StreamInput::Received { flow, data }).await.is_err() {
                            break;
                        }
                    }
                },
                _ = &mut writing => break,
            }
        }
        let _ = inputs.send(StreamInput::Closed { flow }).await;
    });
}

fn carry_messages(
    socket: WebSocketStream<Box<dyn Io>>,
    flow: FlowId,
    inputs: mpsc::Sender<StreamInput>,
    mut queue: Queue,
) {
    let (mut sink, mut source) = socket.split();
    let mut writing = tokio::spawn(async move {
        while let Some(data) = queue.next().await {
            // RFC 7118 §4.2: text where it is text.
            let message = match Utf8Bytes::try_from(data.clone()) {
                Ok(text) => Message::Text(text),
                Err(_) => Message::Binary(data),
            };
            if !in_time(sink.send(message)).await {
                return;
            }
        }
        in_time(sink.close()).await;
    });
    tokio::spawn(async move {
        loop {
            let data = tokio::select! {
                message = source.next() => match message {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(data))) => data,
                    // The library answers pings.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                },
                _ = &mut writing => break,
            };
            if inputs.send(StreamInput::Received { flow, data }).await.is_err() {
                break;
            }
        }
        let _ = inputs.send(StreamInput::Closed { flow }).await;
    });
}

/// Whether it succeeded before the peer counted as dead.
async fn in_time<E>(writing: impl Future<Output = Result<(), E>>) -> bool {
    matches!(tokio::time::timeout(WRITE_PATIENCE, writing).await, Ok(Ok(())))
}
