//! How long a NAT keeps a binding that nothing is sent from (RFC 5780 §4.6).
//!
//! ```text
//!   X ── Binding ──▶ server        the binding of X is new
//!        … nothing for a while …
//!   Y ── Binding, RESPONSE-PORT of X ──▶ server ── answer ──▶ X, if its binding is still there
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::authentication::Credentials;
use super::builder::Builder;
use super::client::mapped_address;
use super::message::{Class, Message, Method};
use super::relay::ResponsePort;
use super::requests::{Ask, Failure, Manner, Outcome, Requests};
use super::transaction::Timing;
use crate::error::UsageError;

/// The two sockets of a [`LifetimeSearch`], both of one address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifetimeSocket {
    /// The one whose binding is looked at: X of RFC 5780 §4.6.
    Watched,
    /// The one that asks whether it is still there: Y.
    Asking,
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingLifetime {
    /// After so long without a packet the binding was still there.
    pub at_least: Duration,
    /// After so long it was gone; `None`: it outlived all that was tried.
    pub less_than: Option<Duration>,
}

/// Whom a [`LifetimeSearch`] asks, and how thoroughly.
#[derive(Clone, Debug)]
pub struct LifetimeConfig {
    /// The server, over UDP; it must understand RESPONSE-PORT.
    pub server: SocketAddr,
    /// The first time that is tried; it is doubled until a binding is gone, then halved between the
    /// last two.
    pub first: Duration,
    /// Nothing longer than this is tried.
    pub longest: Duration,
    /// The search ends when it is known this exactly.
    pub exactness: Duration,
    /// Repetitions.
    pub timing: Timing,
}

impl LifetimeConfig {
    /// From 15 s to ten minutes, to within 15 s. That may take an hour.
    pub fn new(server: SocketAddr) -> Self {
        let timing =
            Timing { requests: 4, last_wait: 2, rto: Duration::from_millis(500), ..Timing::default() };
        let seconds = Duration::from_secs;
        Self { server, first: seconds(15), longest: seconds(600), exactness: seconds(15), timing }
    }
}

/// What a [`LifetimeSearch`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifetimeOutput {
    /// Send this to the server.
    Transmit {
        /// From which socket.
        from: LifetimeSocket,
        /// To the server.
        to: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// The end.
    Done(Result<BindingLifetime, Failure>),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// Makes the binding, or keeps it alive.
    Bind,
    /// Wants an answer on that outer port.
    Look(u16),
}

impl Ask for Probe {
    fn method(&self) -> Method {
        Method::BINDING
    }

    fn write(&self, builder: Builder) -> Result<Builder, UsageError> {
        match self {
            Self::Bind => Ok(builder),
            Self::Look(port) => builder.attribute(&ResponsePort(*port)),
        }
    }
}

/// The machine: one search, on two sockets.
#[derive(Debug)]
pub struct LifetimeSearch {
    config: LifetimeConfig,
    requests: Requests<Probe>,
    queue: VecDeque<LifetimeOutput>,
    alive: Duration,
    gone: Option<Duration>,
    /// The time that is tried.
    span: Duration,
    /// The binding's outer port, and when it is looked at.
    look: Option<(u16, Instant)>,
    started: bool,
    done: bool,
}

impl LifetimeSearch {
    /// Nothing is asked yet.
    pub fn new(config: LifetimeConfig, seed: [u8; 32]) -> Self {
        let manner = Manner { reliable: false, timing: config.timing, software: None, fingerprint: true };
        Self {
            requests: Requests::new(manner, Credentials::None, seed),
            span: config.first.min(config.longest),
            config,
            queue: VecDeque::new(),
            alive: Duration::ZERO,
            gone: None,
            look: None,
            started: false,
            done: false,
        }
    }

    /// Begins. Once is enough; then it does nothing.
    pub fn start(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.started, true) {
            self.begin(now, Probe::Bind);
            self.handle_timeout(now);
        }
    }

    /// What is known so far.
    pub fn known(&self) -> BindingLifetime {
        BindingLifetime { at_least: self.alive, less_than: self.gone }
    }

    fn begin(&mut self, now: Instant, probe: Probe) {
        if let Err((_, failure)) = self.requests.begin(now, probe) {
            self.finish(Err(failure));
        }
    }

    /// A datagram on one of the sockets.
    pub fn handle_input(&mut self, now: Instant, at: LifetimeSocket, from: SocketAddr, data: &[u8]) {
        let Ok(message) = Message::parse(data) else { return };
        let is_answer = matches!(message.class(), Class::Success | Class::Error);
        if self.done || from != self.config.server || !is_answer {
            return;
        }
        let mapped = mapped_address(&message);
        match (self.requests.handle_response(now, &message), at) {
            (Outcome::Success(Probe::Bind), LifetimeSocket::Watched) => match mapped {
                Some(mapped) => self.look = Some((mapped.port(), now + self.span)),
                None => self.finish(Err(Failure::Malformed("no mapped address"))),
            },
            (Outcome::Success(Probe::Look(_)), LifetimeSocket::Watched) => self.conclude(now, true),
            (Outcome::Success(_), LifetimeSocket::Asking) => {
                self.finish(Err(Failure::Malformed("an answer to another port than RESPONSE-PORT")));
            }
            (Outcome::Failed(_, failure), _) => self.finish(Err(failure)),
            (Outcome::Unrelated | Outcome::Waiting, _) => {}
        }
        self.handle_timeout(now);
    }

    /// The binding was there after the time that was tried, or it was not.
    fn conclude(&mut self, now: Instant, alive: bool) {
        match alive {
            true => self.alive = self.alive.max(self.span),
            false => self.gone = Some(self.span),
        }
        let Self { alive, gone, .. } = *self;
        let longest = self.config.longest;
        self.span = match gone {
            None => self.span.saturating_mul(2).min(longest),
            Some(gone) => alive + gone.saturating_sub(alive) / 2,
        };
        let known = gone.is_some_and(|gone| gone.saturating_sub(alive) <= self.config.exactness);
        if known || alive >= longest || self.span <= alive {
            return self.finish(Ok(self.known()));
        }
        self.begin(now, Probe::Bind);
    }

    fn finish(&mut self, result: Result<BindingLifetime, Failure>) {
        self.done = true;
        self.look = None;
        self.requests.clear();
        self.queue.push_back(LifetimeOutput::Done(result));
    }

    /// Sends what is due; early and spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((port, _)) = self.look.take_if(|(_, due)| *due <= now) {
            self.begin(now, Probe::Look(port));
        }
        loop {
            let from = match self.requests.asks().next() {
                Some(Probe::Look(_)) => LifetimeSocket::Asking,
                _ => LifetimeSocket::Watched,
            };
            let (to, queue) = (self.config.server, &mut self.queue);
            let send =
                |data: &[u8]| queue.push_back(LifetimeOutput::Transmit { from, to, data: data.to_vec() });
            match self.requests.transmit(now, send) {
                Some((Probe::Bind, failure)) => self.finish(Err(failure)),
                Some((Probe::Look(_), _)) => self.conclude(now, false),
                None => break,
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> LifetimeOutput {
        self.queue.pop_front().unwrap_or_else(|| {
            let look = self.look.map(|(_, due)| due);
            LifetimeOutput::Idle(look.into_iter().chain(self.requests.deadline()).min())
        })
    }
}
