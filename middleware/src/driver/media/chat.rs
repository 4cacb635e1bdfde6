//! The task of a chat stream: its connection, and the MSRP machine on it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use msrp_cpim::cpim::{Address, Message as CpimMessage};
use msrp_cpim::{
    Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, SessionConfig, SessionId,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::tls::Identity;
use crate::driver::clock;
use crate::notification::ChatFailureContext;
use crate::session::{ChatMessage, ChatParameters, ChatPreparation, MediaEvent, ReceivedMessage};
use crate::trace::{Carrier, Protocol, Traced, Tracer, Way};

/// The port of an MSRP URI without one (RFC 4975 §6).
const DEFAULT_PORT: u16 = 2855;
/// A TLS handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that may be in their handshake at a time; the peer makes one.
const HANDSHAKES: usize = 8;

/// What a chat task is told. Its end is told by the end of its commands.
#[derive(Debug)]
pub(super) enum ChatCommand {
    Send(Box<ChatMessage>),
}

/// A listener with a URI, before it is known who connects.
pub(super) struct ChatListener {
    listener: TcpListener,
    local: SocketAddr,
    uri: MsrpUri,
    identity: Identity,
}

impl ChatListener {
    /// Listens, and makes a URI with a session id that cannot be guessed (RFC 4975 §14.1).
    pub(super) fn open(preparation: &ChatPreparation, identity: &Identity) -> io::Result<Self> {
        let address = SocketAddr::new(preparation.address, preparation.port.unwrap_or(0));
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let local = listener.local_addr()?;
        let session_id = msrp_cpim::IdSource::new(clock::seed()).next_id();
        let uri = MsrpUri::new(preparation.tls, local.ip().to_string(), local.port(), session_id);
        Ok(Self { listener, local, uri, identity: identity.clone() })
    }

    /// As `a=path` has it.
    pub(super) fn path(&self) -> String {
        self.uri.to_string()
    }

    /// As `a=fingerprint` has it, with TLS.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.uri.secure.then(|| self.identity.fingerprint())
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection that stands, with its two ends.
struct Connected {
    stream: Box<dyn Duplex>,
    local: SocketAddr,
    remote: SocketAddr,
}

/// Runs a chat until its commands end or its connection does. Every message that was sent has
/// its fate told before the end is.
pub(super) async fn run(
    listener: ChatListener,
    parameters: Box<ChatParameters>,
    mut commands: mpsc::UnboundedReceiver<ChatCommand>,
    tracer: Option<Arc<Tracer>>,
    tell: impl Fn(MediaEvent) + Send,
) {
    let mut early = Vec::new();
    let mut connecting = Box::pin(connect(&listener, &parameters));
    let connected = loop {
        tokio::select! {
            connected = &mut connecting => break connected,
            command = commands.recv() => match command {
                Some(command) => early.push(command),
                None => break Err(io::Error::other("the chat was ended before it was connected")),
            },
        }
    };
    drop(connecting);
    let connected = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let reason = error.to_string();
            while let Ok(command) = commands.try_recv() {
                early.push(command);
            }
            for ChatCommand::Send(message) in early {
                let message_id = message.message_id;
                tell(MediaEvent::ChatNotDelivered { message_id, code: 0, reason: reason.clone() });
            }
            if !commands.is_closed() {
                tell(MediaEvent::Failed { context: ChatFailureContext::Start, reason });
            }
            tell(MediaEvent::Stopped);
            return;
        }
    };
    tell(MediaEvent::ChatStarted);
    let Connected { stream, local, remote } = connected;
    match Chat::new((local, remote), &listener, *parameters, tracer, &tell) {
        Ok(mut chat) => {
            for ChatCommand::Send(message) in early {
                chat.send(*message);
            }
            chat.run(stream, &mut commands).await;
        }
        Err(reason) => tell(MediaEvent::Failed { context: ChatFailureContext::Start, reason }),
    }
    tell(MediaEvent::Stopped);
}

/// Makes the connection, or waits for it.
async fn connect(listener: &ChatListener, parameters: &ChatParameters) -> io::Result<Connected> {
    let connecting = async {
        if parameters.active { call(listener, parameters).await } else { answer(listener, parameters).await }
    };
    match tokio::time::timeout(parameters.start_timeout, connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let seconds = parameters.start_timeout.as_secs();
            Err(io::Error::other(format!("no MSRP connection within {seconds} s")))
        }
    }
}

/// Connects to the first hop of the peer's path.
async fn call(listener: &ChatListener, parameters: &ChatParameters) -> io::Result<Connected> {
    let path = MsrpUri::parse_path(&parameters.remote_path).map_err(io::Error::other)?;
    let hop = path.first().ok_or_else(|| io::Error::other("the peer's path is empty"))?;
    let stream = TcpStream::connect((hop.host.as_str(), hop.port.unwrap_or(DEFAULT_PORT))).await?;
    stream.set_nodelay(true)?;
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    if !hop.secure {
        return Ok(Connected { stream: Box::new(stream), local, remote });
    }
    let config = listener.identity.client(parameters.remote_fingerprint.clone())?;
    let name = rustls_pki_types::ServerName::try_from(hop.host.clone()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Connected { stream: Box::new(stream), local, remote })
}

/// Waits for the peer. Whoever connects and does not get through the handshake is no peer, and
/// does not keep the peer from connecting.
async fn answer(listener: &ChatListener, parameters: &ChatParameters) -> io::Result<Connected> {
    let mut handshakes: JoinSet<io::Result<Connected>> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.listener.accept(), if handshakes.len() < HANDSHAKES => {
                let (stream, remote) = accepted?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                if !listener.uri.secure {
                    return Ok(Connected { stream: Box::new(stream), local, remote });
                }
                let config = listener.identity.server(parameters.remote_fingerprint.clone())?;
                handshakes.spawn(async move {
                    let accepting = TlsAcceptor::from(Arc::new(config)).accept(stream);
                    let stream = tokio::time::timeout(HANDSHAKE, accepting).await??;
                    Ok(Connected { stream: Box::new(stream), local, remote })
                });
            }
            Some(handshake) = handshakes.join_next() => match handshake {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => tracing::debug!(%error, "a connection to the chat was refused"),
                Err(error) => tracing::error!(%error, "a handshake ended badly"),
            },
        }
    }
}

/// A chat with its connection.
struct Chat<'t, F> {
    machine: Connection,
    session: SessionId,
    parameters: ChatParameters,
    local: SocketAddr,
    remote: SocketAddr,
    tracer: Option<Arc<Tracer>>,
    tell: &'t F,
    /// What the system has not taken yet.
    writing: VecDeque<Bytes>,
    flushed: bool,
    closing: bool,
    failure: Option<String>,
}

impl<'t, F: Fn(MediaEvent)> Chat<'t, F> {
    fn new(
        (local, remote): (SocketAddr, SocketAddr),
        listener: &ChatListener,
        parameters: ChatParameters,
        tracer: Option<Arc<Tracer>>,
        tell: &'t F,
    ) -> Result<Self, String> {
        let now = clock::now().instant;
        let mut machine = Connection::new(Config::default(), clock::seed());
        let path = MsrpUri::parse_path(&parameters.remote_path).map_err(|error| error.to_string())?;
        let config = SessionConfig {
            accept_types: parameters.accept_types.clone(),
            accept_wrapped_types: parameters.accept_wrapped_types.clone(),
            max_size: parameters.max_message_size,
            ..SessionConfig::new(vec![listener.uri.clone()], path, parameters.active)
        };
        let session = machine.add_session(now, config).map_err(|error| error.to_string())?;
        machine.handle_input(now, Input::Connected);
        tracing::debug!(listener = %listener.local, %remote, "MSRP connected");
        Ok(Self {
            machine,
            session,
            parameters,
            local,
            remote,
            tracer,
            tell,
            writing: VecDeque::new(),
            flushed: true,
            closing: false,
            failure: None,
        })
    }

    fn send(&mut self, message: ChatMessage) {
        let ChatMessage { message_id, content, content_type, to, date_time } = message;
        let outgoing = if self.parameters.cpim {
            let wrapped = self.wrap(content, &content_type, to, date_time);
            wrapped.map(|body| OutgoingMessage::new("message/cpim", body))
        } else {
            Ok(OutgoingMessage::new(content_type, content))
        };
        let now = clock::now().instant;
        let sent = outgoing.and_then(|outgoing| {
            let outgoing = OutgoingMessage { message_id: Some(message_id.clone()), ..outgoing };
            self.machine.send(now, self.session, outgoing).map(drop)
        });
        if let Err(error) = sent {
            (self.tell)(MediaEvent::ChatNotDelivered { message_id, code: 0, reason: error.to_string() });
        }
    }

    /// RFC 3862: who, to whom and when, around the content.
    fn wrap(
        &self,
        content: Bytes,
        content_type: &str,
        to: Option<String>,
        date_time: Option<String>,
    ) -> Result<Bytes, msrp_cpim::UsageError> {
        let address = |uri: &str| Address { name: None, uri: uri.to_owned() };
        let mut message = CpimMessage::new(content_type, content)?;
        message.push_address("From", &address(&self.parameters.local_uri))?;
        message.push_address("To", &address(to.as_deref().unwrap_or(&self.parameters.remote_uri)))?;
        let date_time = date_time.unwrap_or_else(|| {
            let now = jiff::Timestamp::try_from(clock::now().wall).unwrap_or_default();
            format!("{now:.3}")
        });
        message.push("DateTime", &date_time)?;
        Ok(message.to_bytes())
    }

    async fn run(&mut self, stream: Box<dyn Duplex>, commands: &mut mpsc::UnboundedReceiver<ChatCommand>) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; 64 * 1024];
        let mut asked_to_end = false;
        loop {
            let deadline = self.carry_out();
            if self.closing && self.writing.is_empty() && self.flushed {
                break;
            }
            let front = self.writing.front().cloned();
            tokio::select! {
                command = commands.recv(), if !asked_to_end => match command {
                    Some(ChatCommand::Send(message)) => self.send(*message),
                    None => {
                        asked_to_end = true;
                        self.machine.disconnect(clock::now().instant);
                    }
                },
                read = reader.read(&mut buffer), if self.machine.wants_read() && !self.closing => {
                    match read {
                        Ok(length @ 1..) => {
                            let data = buffer.get(..length).unwrap_or_default();
                            self.trace(Way::Received, data);
                            self.machine.handle_input(clock::now().instant, Input::Received(data));
                        }
                        Ok(_) => self.lost("the peer closed the connection"),
                        Err(error) => self.lost(&error.to_string()),
                    }
                }
                pushed = push(&mut writer, front.as_ref()), if front.is_some() || !self.flushed => match pushed {
                    Ok(0) => self.flushed = true,
                    Ok(length) => self.written(length),
                    Err(error) => self.lost(&error.to_string()),
                },
                () = clock::wait_until(deadline) => self.machine.handle_timeout(clock::now().instant),
            }
        }
        self.machine.handle_input(clock::now().instant, Input::Closed);
        self.carry_out();
        // The peer may be gone already.
        let _ = writer.shutdown().await;
        if !asked_to_end {
            let reason = self.failure.take().unwrap_or_else(|| "the chat was closed".to_owned());
            (self.tell)(MediaEvent::Failed { context: ChatFailureContext::Reading, reason });
        }
    }

    /// Does what the machine wants; returns when it wants to be woken.
    fn carry_out(&mut self) -> Option<std::time::Instant> {
        loop {
            match self.machine.poll_output() {
                Output::Idle(deadline) => return deadline,
                Output::Write(data) => {
                    self.trace(Way::Sent, &data);
                    self.writing.push_back(data);
                    self.flushed = false;
                }
                Output::Disconnect => self.closing = true,
                Output::Event(event) => self.happened(event),
            }
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Message { message_id, content_type, body, .. } => {
                let message = receive(message_id, content_type, body);
                (self.tell)(MediaEvent::ChatMessage(Box::new(message)));
            }
            Event::Delivered { message_id, .. } => {
                (self.tell)(MediaEvent::ChatDelivered { message_id, code: 200, reason: "OK".to_owned() });
            }
            Event::NotDelivered { message_id, code, reason, .. } => {
                (self.tell)(MediaEvent::ChatNotDelivered { message_id, code, reason });
            }
            Event::SessionClosed { code, reason, .. } => {
                self.failure.get_or_insert_with(|| format!("{code} {reason}"));
                self.closing = true;
            }
            Event::ProtocolError(error) => {
                self.failure.get_or_insert_with(|| error.to_string());
                self.closing = true;
            }
            _ => {}
        }
    }

    fn written(&mut self, length: usize) {
        if let Some(front) = self.writing.front_mut() {
            let _ = front.split_to(length.min(front.len()));
            if front.is_empty() {
                self.writing.pop_front();
            }
        }
        self.machine.handle_input(clock::now().instant, Input::Written(length));
    }

    fn lost(&mut self, reason: &str) {
        self.failure.get_or_insert_with(|| reason.to_owned());
        self.machine.handle_input(clock::now().instant, Input::Closed);
        self.writing.clear();
        self.flushed = true;
        self.closing = true;
    }

    fn trace(&self, way: Way, data: &[u8]) {
        if let Some(tracer) = &self.tracer {
            let (local, remote) = (self.local, self.remote);
            let (protocol, carrier, time) = (Protocol::Msrp, Carrier::Tcp, clock::now().wall);
            tracer.write(Traced { time, protocol, carrier, way, local, remote, data });
        }
    }
}

/// Writes some of `data`; without any, has what was written leave (TLS may hold it back).
async fn push(writer: &mut (impl AsyncWrite + Unpin), data: Option<&Bytes>) -> io::Result<usize> {
    match data {
        Some(data) => match writer.write(data).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            length => Ok(length),
        },
        None => writer.flush().await.map(|()| 0),
    }
}

/// A message as the application gets it: out of its CPIM wrapping, if it has one that can be read.
fn receive(message_id: String, content_type: String, body: Bytes) -> ReceivedMessage {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("message/cpim")
        && let Ok(message) = CpimMessage::parse(&body)
    {
        let headers = message.headers();
        return ReceivedMessage {
            message_id,
            content: message.body().clone(),
            content_type: message.content_type().unwrap_or("text/plain").to_owned(),
            cpim_headers: headers.map(|one| (one.name.to_owned(), one.text().into_owned())).collect(),
        };
    }
    ReceivedMessage { message_id, content: body, content_type, cpim_headers: Vec::new() }
}
