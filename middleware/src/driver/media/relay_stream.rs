//! A stream to a relay (RFC 8656 §3.1 over TCP and TLS): bytes both ways, no more.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use super::ice::IceInput;
use crate::driver::transport::Security;

/// What makes TLS connections.
pub(super) type TlsClient = Arc<Security>;

/// Writes that wait for a slow relay; media beyond that is dropped, as a slow network would.
const WAITING: usize = 256;
/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// A relay that is reached over a stream.
#[derive(Clone, Debug)]
pub(super) struct StreamTarget {
    /// What the stream is called.
    pub(super) stream: u32,
    /// From which address of ours.
    pub(super) from: IpAddr,
    pub(super) to: SocketAddr,
    /// With TLS, to who has this name.
    pub(super) tls: Option<String>,
}

/// The writing end; the stream closes when it is dropped.
pub(super) struct RelayStream {
    writes: mpsc::Sender<Vec<u8>>,
}

impl RelayStream {
    /// Connects, and hands what comes to `inputs`.
    pub(super) fn connect(target: StreamTarget, inputs: mpsc::Sender<IceInput>, tls: TlsClient) -> Self {
        let (writes, waiting) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            if let Err(error) = run(&target, &inputs, waiting, &tls).await {
                tracing::warn!(server = %target.to, %error, "the connection to the relay is over");
            }
            // Nobody to tell: the stream has ended.
            let _ = inputs.send(IceInput::Stream { stream: target.stream, data: None }).await;
        });
        Self { writes }
    }

    /// Hands over what is to be written.
    pub(super) fn write(&self, data: &[u8]) {
        if self.writes.try_send(data.to_vec()).is_err() {
            tracing::debug!("a relay is too slow, or gone: data for it is dropped");
        }
    }
}

async fn run(
    target: &StreamTarget,
    inputs: &mpsc::Sender<IceInput>,
    waiting: mpsc::Receiver<Vec<u8>>,
    tls: &TlsClient,
) -> io::Result<()> {
    let socket = if target.to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(target.from, 0))?;
    let stream = socket.connect(target.to).await?;
    stream.set_nodelay(true)?;
    match &target.tls {
        Some(name) => {
            let stream = tls.connect(stream, name).await?;
            carry(target.stream, stream, inputs, waiting).await
        }
        None => carry(target.stream, stream, inputs, waiting).await,
    }
}

async fn carry(
    name: u32,
    stream: impl AsyncRead + AsyncWrite,
    inputs: &mpsc::Sender<IceInput>,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => {
                let length = read?;
                let Some(data) = buffer.get(..length).filter(|data| !data.is_empty()) else { return Ok(()) };
                let data = Some(data.to_vec());
                if inputs.send(IceInput::Stream { stream: name, data }).await.is_err() {
                    return Ok(());
                }
            }
            data = waiting.recv() => match data {
                Some(data) => writer.write_all(&data).await?,
                None => return writer.shutdown().await,
            },
        }
    }
}
