//! The WebSocket handshake of SIP (RFC 7118 §4, RFC 6455).

use std::io;

use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use super::carry::Io;

/// The subprotocol (RFC 7118 §4.1).
const SIP: &str = "sip";
/// The largest message: its head and its body at their limits.
const MESSAGE: usize = (1 << 20) + (64 << 10);

/// The handshake of a peer that connected; it has to speak SIP.
pub(super) async fn accept(stream: Box<dyn Io>) -> io::Result<WebSocketStream<Box<dyn Io>>> {
    accept_hdr_async_with_config(stream, agree, Some(config())).await.map_err(io::Error::other)
}

/// The handshake with a server.
pub(super) async fn connect(
    stream: Box<dyn Io>,
    secure: bool,
    host: &str,
    port: u16,
) -> io::Result<WebSocketStream<Box<dyn Io>>> {
    let scheme = if secure { "wss" } else { "ws" };
    let uri = format!("{scheme}://{host}:{port}/").parse();
    let uri = uri.map_err(|_| io::Error::other(format!("WebSocket: {host:?} is no host")))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(SIP);
    let (socket, _) = client_async_with_config(request, stream, Some(config()))
        .await
        .map_err(|error| io::Error::other(format!("WebSocket: {error}")))?;
    Ok(socket)
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE))
}

#[expect(clippy::result_large_err, reason = "the library's type")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let sip = offered
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(SIP));
    if !sip {
        let mut refusal = ErrorResponse::new(Some("the subprotocol is sip".to_owned()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    Ok(response)
}
