//! A stream to a relay (RFC 8656 §3.1 over TCP and TLS): bytes both ways, no more.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::ice::TurnTarget;
use crate::configuration::TurnTransport;
use crate::driver::transport::Security;

/// What makes TLS connections.
pub(super) type TlsClient = Arc<Security>;

/// Writes that wait for a slow relay; media beyond that is dropped, as a slow network would.
const WAITING: usize = 256;
/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// What came from the relay; `None`: its end.
#[derive(Debug)]
pub(super) struct RelayBytes {
    pub(super) component: u16,
    pub(super) data: Option<Vec<u8>>,
}

/// The writing end; the stream closes when it is dropped.
pub(super) struct RelayStream {
    writes: mpsc::Sender<Vec<u8>>,
}

impl RelayStream {
    /// Connects, and hands what comes to `bytes`.
    pub(super) fn connect(
        component: u16,
        target: &TurnTarget,
        bytes: mpsc::Sender<RelayBytes>,
        tls: TlsClient,
    ) -> Self {
        let (writes, waiting) = mpsc::channel(WAITING);
        let target = target.clone();
        tokio::spawn(async move {
            if let Err(error) = run(component, &target, &bytes, waiting, &tls).await {
                tracing::warn!(server = %target.address, %error, "the connection to the relay is over");
            }
            // Nobody to tell: the stream has ended.
            let _ = bytes.send(RelayBytes { component, data: None }).await;
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
    component: u16,
    target: &TurnTarget,
    bytes: &mpsc::Sender<RelayBytes>,
    waiting: mpsc::Receiver<Vec<u8>>,
    tls: &TlsClient,
) -> io::Result<()> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    match target.server.transport {
        TurnTransport::Tls => {
            let stream = tls.connect(stream, &target.server.host).await?;
            carry(component, stream, bytes, waiting).await
        }
        _ => carry(component, stream, bytes, waiting).await,
    }
}

async fn carry(
    component: u16,
    stream: impl AsyncRead + AsyncWrite,
    bytes: &mpsc::Sender<RelayBytes>,
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
                if bytes.send(RelayBytes { component, data }).await.is_err() {
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
