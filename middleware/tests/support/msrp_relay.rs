//! An MSRP relay on the loopback interface, over TCP and WebSockets, that can be restarted: all of its connections
//! are cut, and it remembers nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use msrp_cpim::relay::{AuthRequest, Relay, RelayConfig, RelayInput, RelayOutput};
use msrp_cpim::wire::Message;
use sip_core::auth::{Algorithm, Digest, Qop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// The name of the subprotocol and that of its header field: RFC 7977 §4.1.
const SUBPROTOCOL: (&str, &str) = ("Sec-WebSocket-Protocol", "msrp");

pub(crate) struct TestRelay {
    pub(crate) port: u16,
    pub(crate) websocket_port: u16,
    /// How many URIs it has granted.
    pub(crate) granted: Arc<AtomicU32>,
    restart: mpsc::UnboundedSender<()>,
}

impl TestRelay {
    pub(crate) async fn start() -> Self {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.expect("the loopback interface");
        let listeners = [listen().await, listen().await];
        let [port, websocket_port] =
            [0, 1].map(|index: usize| listeners[index].local_addr().expect("it is bound").port());
        let (restart, restarts) = mpsc::unbounded_channel();
        let granted = Arc::new(AtomicU32::new(0));
        tokio::spawn(serve(listeners, port, granted.clone(), restarts));
        Self { port, websocket_port, granted, restart }
    }

    pub(crate) fn restart(&self) {
        self.restart.send(()).expect("it runs");
    }
}

const NONCE: &str = "a-nonce";

/// Whether the password is known there: "secret", of whoever asks. As RFC 4976 §5.1 has it, `uri` of Authorization is
/// not looked at: what was hashed is what the relay is called in the request.
fn proves_itself(request: &AuthRequest) -> bool {
    let Some(authorization) = &request.authorization else { return false };
    let value = |name: &str| {
        let mut parameters = authorization.trim_start_matches("Digest ").split(',').map(str::trim);
        let found = parameters.find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches('"')
    };
    let algorithm = Algorithm::named(value("algorithm")).unwrap_or(Algorithm::Md5);
    let nc = u32::from_str_radix(value("nc"), 16).unwrap_or_default();
    let digest = Digest { cnonce: value("cnonce"), nc, ..Digest::new("AUTH", &request.uri) };
    let hash = algorithm.ha1(value("username"), "relay", "secret");
    algorithm == Algorithm::Sha256
        && value("nonce") == NONCE
        && algorithm.response(&hash, NONCE, Some(Qop::Auth), &digest) == value("response")
}

type Arrived = mpsc::Sender<(u64, Bytes)>;

enum Writer {
    Tcp(OwnedWriteHalf),
    WebSocket(SplitSink<WebSocketStream<TcpStream>, Frame>),
}

impl Writer {
    /// What the relay writes at once is one frame. Who is gone is told by its reader.
    async fn write(&mut self, data: Bytes) {
        match self {
            Self::Tcp(writer) => drop(writer.write_all(&data).await),
            Self::WebSocket(sink) => drop(sink.send(Frame::Binary(data)).await),
        }
    }
}

async fn serve(
    listeners: [TcpListener; 2],
    port: u16,
    granted: Arc<AtomicU32>,
    mut restarts: mpsc::UnboundedReceiver<()>,
) {
    let uri = || format!("msrp://127.0.0.1:{port};tcp").parse().expect("a URI");
    // Nothing here waits for time to pass.
    let now = testkit::Clock::new().now();
    for seed in 0_u8.. {
        let mut relay = Relay::new(RelayConfig::new(uri()), [seed; 32]);
        let mut writers: HashMap<u64, Writer> = HashMap::new();
        let mut readers = JoinSet::new();
        let (arrived, mut arrivals) = mpsc::channel::<(u64, Bytes)>(64);
        let mut next = 0;
        loop {
            loop {
                match relay.poll_output() {
                    RelayOutput::Idle(_) => break,
                    RelayOutput::Write(id, data) => {
                        if let Some(writer) = writers.get_mut(&id) {
                            writer.write(data).await;
                        }
                    }
                    RelayOutput::Auth(request) if proves_itself(&request) => {
                        granted.fetch_add(1, Ordering::Relaxed);
                        relay.grant(now, &request);
                    }
                    RelayOutput::Auth(request) => {
                        let challenge = format!("Digest realm=\"relay\", nonce=\"{NONCE}\", qop=\"auth\"");
                        let strong = format!("{challenge}, algorithm=SHA-256");
                        relay.challenge(&request, &[challenge, strong]);
                    }
                    RelayOutput::Disconnect(id) => drop(writers.remove(&id)),
                    RelayOutput::Connect(id, _) => relay.handle_input(now, RelayInput::Closed(id)),
                }
            }
            let (tcp, websocket) = (&listeners[0], &listeners[1]);
            tokio::select! {
                accepted = tcp.accept() => {
                    let (reader, writer) = accepted.expect("the listener stands").0.into_split();
                    next += 1;
                    writers.insert(next, Writer::Tcp(writer));
                    relay.handle_input(now, RelayInput::Accepted(next));
                    readers.spawn(read(next, reader, arrived.clone()));
                }
                accepted = websocket.accept() => {
                    let stream = accepted.expect("the listener stands").0;
                    let socket = tokio_tungstenite::accept_hdr_async(stream, agree).await;
                    let (sink, messages) = socket.expect("a handshake").split();
                    next += 1;
                    writers.insert(next, Writer::WebSocket(sink));
                    relay.handle_input(now, RelayInput::Accepted(next));
                    let arrived = arrived.clone();
                    readers.spawn(async move {
                        let mut messages = messages;
                        while let Some(Ok(message)) = messages.next().await {
                            if let Frame::Binary(data) = message {
                                Message::parse(&data).expect("one chunk in each message");
                                if arrived.send((next, data)).await.is_err() {
                                    return;
                                }
                            }
                        }
                        // The relay may be gone as well.
                        let _ = arrived.send((next, Bytes::new())).await;
                    });
                }
                Some((id, data)) = arrivals.recv() => match data.is_empty() {
                    true => relay.handle_input(now, RelayInput::Closed(id)),
                    false => relay.handle_input(now, RelayInput::Received(id, &data)),
                },
                again = restarts.recv() => match again {
                    Some(()) => break,
                    None => return,
                },
            }
        }
    }
}

#[expect(clippy::result_large_err, reason = "the library's type")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let (name, value) = SUBPROTOCOL;
    let offered = request.headers().get(name).cloned().expect("a subprotocol");
    assert_eq!(offered, value);
    response.headers_mut().insert(name, offered);
    Ok(response)
}

/// Gives what arrives, and nothing at its end.
async fn read(id: u64, mut reader: OwnedReadHalf, arrived: Arrived) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = reader.read(&mut buffer).await.unwrap_or(0);
        let sent = arrived.send((id, Bytes::copy_from_slice(&buffer[..length]))).await;
        if length == 0 || sent.is_err() {
            return;
        }
    }
}
