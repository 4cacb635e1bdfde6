//! Asks a server for our address (RFC 8489 §6, the Binding method).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::attribute::{MappedAddress, XorMappedAddress};
use super::authentication::Credentials;
use super::builder::Builder;
use super::framing::{Frame, StreamDecoder};
use super::is_stun;
use super::message::{Message, Method};
use super::requests::{Ask, Failure, Manner, Outcome, Requests};
use super::transaction::Timing;
use crate::error::UsageError;

/// How messages travel to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams, repeated until they are answered.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A protected stream.
    Tls,
}

impl Transport {
    /// Whether the transport repeats by itself.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// What a [`Client`] asks, and whom.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The server.
    pub server: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// Who we are to it.
    pub credentials: Credentials,
    /// Repetitions and timeouts.
    pub timing: Timing,
    /// SOFTWARE, at most 763 bytes.
    pub software: Option<String>,
    /// Whether requests have a FINGERPRINT.
    pub fingerprint: bool,
    /// How many servers may send us on to another (RFC 8489 §10).
    pub redirections: usize,
}

impl ClientConfig {
    /// Asks that server over UDP, without credentials.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            transport: Transport::Udp,
            credentials: Credentials::None,
            timing: Timing::default(),
            software: None,
            fingerprint: true,
            redirections: 4,
        }
    }
}

/// What a [`Client`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this; over a stream, to the server at its other end.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// What came out.
    Event(Event),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// What came out of a Binding request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The address that the server saw.
    Mapped(SocketAddr),
    /// There is none.
    Failed(Failure),
}

#[derive(Debug)]
struct Binding;

impl Ask for Binding {
    fn method(&self) -> Method {
        Method::BINDING
    }

    fn write(&self, builder: Builder) -> Result<Builder, UsageError> {
        Ok(builder)
    }
}

/// A client of one STUN server.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    transport: Transport,
    redirections: usize,
    requests: Requests<Binding>,
    stream: StreamDecoder,
    queue: VecDeque<Output>,
    /// Servers that were asked, and when (RFC 8489 §10).
    asked: Vec<(SocketAddr, Instant)>,
}

/// How long a server that was asked is not asked again because another says so (RFC 8489 §10).
const PING_PONG: Duration = Duration::from_secs(300);

impl Client {
    /// A client that asks nothing yet.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        let manner = Manner {
            reliable: config.transport.is_reliable(),
            timing: config.timing,
            software: config.software,
            fingerprint: config.fingerprint,
        };
        Self {
            server: config.server,
            transport: config.transport,
            redirections: config.redirections,
            requests: Requests::new(manner, config.credentials, seed),
            stream: StreamDecoder::new(),
            queue: VecDeque::new(),
            asked: Vec::new(),
        }
    }

    /// Whom it asks now: redirection may have changed it.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Messages that were thrown away: for no request of ours, from elsewhere or without integrity.
    pub fn discarded(&self) -> u64 {
        self.requests.discarded()
    }

    /// Asks for our address. While a request is under way this does nothing.
    pub fn ask(&mut self, now: Instant) {
        if self.requests.len() == 0 {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        self.asked.retain(|(_, at)| now.saturating_duration_since(*at) < PING_PONG);
        self.asked.push((self.server, now));
        if let Err((Binding, failure)) = self.requests.begin(now, Binding) {
            self.queue.push_back(Output::Event(Event::Failed(failure)));
        }
        self.handle_timeout(now);
    }

    /// A datagram, or bytes of the stream. What is not from the server is thrown away.
    pub fn handle_input(&mut self, now: Instant, from: SocketAddr, data: &[u8]) {
        if from != self.server {
            return;
        }
        if !self.transport.is_reliable() {
            if is_stun(data)
                && let Ok(message) = Message::parse(data)
            {
                self.handle_message(now, &message);
            }
            return self.handle_timeout(now);
        }
        let mut stream = std::mem::take(&mut self.stream);
        stream.push(data);
        loop {
            match stream.next_frame() {
                Ok(Some(Frame::Stun(bytes))) => {
                    if let Ok(message) = Message::parse(bytes) {
                        self.handle_message(now, &message);
                    }
                }
                Ok(Some(Frame::ChannelData(_))) => {}
                Ok(None) => break,
                Err(_) => {
                    self.fail_all(&Failure::Malformed("a stream that is not STUN"));
                    break;
                }
            }
        }
        self.stream = stream;
        self.handle_timeout(now);
    }

    /// The connection to the server is gone.
    pub fn handle_disconnected(&mut self) {
        self.fail_all(&Failure::Disconnected);
    }

    fn fail_all(&mut self, failure: &Failure) {
        if self.requests.len() > 0 {
            self.requests.clear();
            self.queue.push_back(Output::Event(Event::Failed(failure.clone())));
        }
    }

    fn handle_message(&mut self, now: Instant, message: &Message<'_>) {
        match self.requests.handle_response(now, message) {
            Outcome::Unrelated | Outcome::Waiting => {}
            Outcome::Success(Binding) => {
                let event = match mapped_address(message) {
                    Some(address) => Event::Mapped(address),
                    None => Event::Failed(Failure::Malformed("no mapped address")),
                };
                self.queue.push_back(Output::Event(event));
            }
            Outcome::Failed(Binding, Failure::Redirected { server, .. }) if self.may_follow(now, server) => {
                self.redirections -= 1;
                self.server = server;
                self.requests.change_server();
                self.begin(now);
            }
            Outcome::Failed(Binding, failure) => {
                self.queue.push_back(Output::Event(Event::Failed(failure)));
            }
        }
    }

    /// RFC 8489 §10: the same transport, the same family, and no ping-pong. A stream takes a new
    /// connection, which is the driver's.
    fn may_follow(&self, now: Instant, server: SocketAddr) -> bool {
        let asked = |(address, at): &(SocketAddr, Instant)| {
            *address == server && now.saturating_duration_since(*at) < PING_PONG
        };
        self.redirections > 0
            && !self.transport.is_reliable()
            && server.is_ipv4() == self.server.is_ipv4()
            && !self.asked.iter().any(asked)
    }

    /// Sends what is due; early and spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let to = self.server;
        let queue = &mut self.queue;
        let mut send = |data: &[u8]| queue.push_back(Output::Transmit { to, data: data.to_vec() });
        let mut failed = Vec::new();
        while let Some((Binding, failure)) = self.requests.transmit(now, &mut send) {
            failed.push(Output::Event(Event::Failed(failure)));
        }
        self.queue.extend(failed);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.queue.pop_front().unwrap_or_else(|| Output::Idle(self.requests.deadline()))
    }
}

/// XOR-MAPPED-ADDRESS, or what an old server sends in its stead (RFC 8489 §6.3.3).
pub fn mapped_address(message: &Message<'_>) -> Option<SocketAddr> {
    match message.get::<XorMappedAddress>() {
        Some(Ok(XorMappedAddress(address))) => Some(address),
        Some(Err(_)) => None,
        None => match message.get::<MappedAddress>() {
            Some(Ok(MappedAddress(address))) => Some(address),
            _ => None,
        },
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
