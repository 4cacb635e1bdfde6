//! MSRP over a WebSocket (RFC 7977), which is a way to a relay: one chunk in each message.
//!
//! ```text
//!   Wire <== bytes ==> [ duplex ] <== bytes ==> task: cut into chunks <== messages ==> WebSocket
//! ```

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use msrp_cpim::wire::{DecoderLimits, Frames};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Duplex;
use crate::driver::clock;

/// The subprotocol (RFC 7977 §4.1).
const MSRP: &str = "msrp";
/// The largest chunk, in either direction.
const CHUNK: usize = 1 << 20;
/// Bytes between the machine and the socket.
const PIPE: usize = 64 * 1024;
/// After so much silence of ours a ping is sent (RFC 7977 §6).
const PING: Duration = Duration::from_secs(30);

/// The handshake with a relay, and a stream of bytes over what it gives.
pub(super) async fn connect(
    stream: Box<dyn Duplex>,
    secure: bool,
    host: &str,
    port: u16,
) -> io::Result<Box<dyn Duplex>> {
    let scheme = if secure { "wss" } else { "ws" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let uri = format!("{scheme}://{host}:{port}/").parse();
    let uri = uri.map_err(|_| io::Error::other(format!("WebSocket: {host:?} is no host")))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(MSRP);
    let config = WebSocketConfig::default().max_message_size(Some(CHUNK)).max_frame_size(Some(CHUNK));
    let (socket, response) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(|error| io::Error::other(format!("WebSocket: {error}")))?;
    let agreed = response.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    if !agreed.is_some_and(|name| name.eq_ignore_ascii_case(MSRP)) {
        return Err(io::Error::other("WebSocket: it does not speak MSRP"));
    }
    let (ours, theirs) = tokio::io::duplex(PIPE);
    tokio::spawn(async move {
        if let Err(error) = carry(socket, theirs).await {
            tracing::debug!(%error, "an MSRP WebSocket ended");
        }
    });
    Ok(Box::new(ours))
}

/// Until either side ends: then the other one sees it. Each direction goes on while the other one waits.
async fn carry(socket: WebSocketStream<Box<dyn Duplex>>, pipe: DuplexStream) -> io::Result<()> {
    let ((sink, messages), (reader, writer)) = (socket.split(), tokio::io::split(pipe));
    tokio::select! {
        ended = send(reader, sink) => ended,
        ended = receive(messages, writer) => ended,
    }
}

async fn send(
    mut pipe: impl AsyncRead + Unpin,
    mut sink: impl Sink<Message, Error = Error> + Unpin,
) -> io::Result<()> {
    let mut frames = Frames::new(DecoderLimits::default(), CHUNK);
    let mut buffer = BytesMut::with_capacity(PIPE);
    loop {
        let ping = clock::now().instant + PING;
        tokio::select! {
            read = pipe.read_buf(&mut buffer) => {
                if read? == 0 {
                    return sink.close().await.map_err(io::Error::other);
                }
                frames.push(&buffer);
                buffer.clear();
                while let Some(frame) = frames.next().map_err(io::Error::other)? {
                    sink.feed(Message::Binary(frame)).await.map_err(io::Error::other)?;
                }
                sink.flush().await.map_err(io::Error::other)?;
            }
            () = clock::wait_until(Some(ping)) => {
                sink.send(Message::Ping(Bytes::new())).await.map_err(io::Error::other)?;
            }
        }
    }
}

async fn receive(
    mut messages: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut pipe: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(message) = messages.next().await {
        match message.map_err(io::Error::other)? {
            Message::Binary(data) => pipe.write_all(&data).await?,
            Message::Text(text) => pipe.write_all(text.as_bytes()).await?,
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(())
}
