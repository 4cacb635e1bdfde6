//! What kind of NAT there is between us and a server (RFC 5780 §4).
//!
//! ```text
//!   our address  ->  answer from elsewhere  ->  ask elsewhere  ->  ask ourselves
//!     test I           filtering (§4.4)         mapping (§4.3)     hairpinning (§3.4)
//! ```
//!
//! Filtering comes first: once other addresses of the server were asked, their answers prove nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::attribute::OtherAddress;
use super::authentication::Credentials;
use super::builder::Builder;
use super::client::mapped_address;
use super::message::{Class, Message, Method, TransactionId};
use super::relay::ChangeRequest;
use super::requests::{Ask, Failure, Manner, Outcome, Requests};
use super::transaction::Timing;
use crate::error::UsageError;

/// Whether a NAT looks at the other end (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dependence {
    /// It does not.
    EndpointIndependent,
    /// At its address.
    AddressDependent,
    /// At its address and port.
    AddressAndPortDependent,
}

/// What was found out. `None`: the server cannot tell, or did not answer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Our address as the server sees it.
    pub mapped: SocketAddr,
    /// Whether that is another one than our own.
    pub nat: bool,
    /// Which destinations share a mapping.
    pub mapping: Option<Dependence>,
    /// Who may send to a mapping.
    pub filtering: Option<Dependence>,
    /// Whether we reach ourselves at our outer address.
    pub hairpinning: Option<bool>,
}

/// What a [`Discovery`] asks, from where and whom.
#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// Our own address.
    pub local: SocketAddr,
    /// The server, over UDP.
    pub server: SocketAddr,
    /// Repetitions. A filter is known by the answer that does not come, so less patience is quicker.
    pub timing: Timing,
}

impl DiscoveryConfig {
    /// Four requests at most for each test: 4.5 s where no answer comes.
    pub fn new(local: SocketAddr, server: SocketAddr) -> Self {
        let timing =
            Timing { requests: 4, last_wait: 2, rto: Duration::from_millis(500), ..Timing::default() };
        Self { local, server, timing }
    }
}

/// What a [`Discovery`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoveryOutput {
    /// Send this from the one socket that all of it happens on.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// The end.
    Done(Result<Behaviour, Failure>),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// One test and whom it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Address,
    FilterBoth,
    FilterPort,
    MapAddress,
    MapBoth,
}

impl Ask for Test {
    fn method(&self) -> Method {
        Method::BINDING
    }

    fn write(&self, builder: Builder) -> Result<Builder, UsageError> {
        match self {
            Self::FilterBoth => builder.attribute(&ChangeRequest { ip: true, port: true }),
            Self::FilterPort => builder.attribute(&ChangeRequest { ip: false, port: true }),
            _ => Ok(builder),
        }
    }
}

/// The machine: one run, on one socket.
#[derive(Debug)]
pub struct Discovery {
    config: DiscoveryConfig,
    requests: Requests<Test>,
    queue: VecDeque<DiscoveryOutput>,
    to: SocketAddr,
    other: Option<SocketAddr>,
    behaviour: Option<Behaviour>,
    /// Our address as the server's other address sees it.
    elsewhere: Option<SocketAddr>,
    /// The request to ourselves, and when it is given up.
    hairpin: Option<(TransactionId, Instant)>,
    started: bool,
    done: bool,
}

impl Discovery {
    /// Nothing is asked yet.
    pub fn new(config: DiscoveryConfig, seed: [u8; 32]) -> Self {
        let manner = Manner { reliable: false, timing: config.timing, software: None, fingerprint: true };
        Self {
            to: config.server,
            requests: Requests::new(manner, Credentials::None, seed),
            config,
            queue: VecDeque::new(),
            other: None,
            behaviour: None,
            elsewhere: None,
            hairpin: None,
            started: false,
            done: false,
        }
    }

    /// Begins. Once is enough; then it does nothing.
    pub fn start(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.started, true) {
            self.begin(now, Test::Address, self.config.server);
            self.handle_timeout(now);
        }
    }

    fn begin(&mut self, now: Instant, test: Test, to: SocketAddr) {
        self.to = to;
        if let Err((_, failure)) = self.requests.begin(now, test) {
            self.finish(Err(failure));
        }
    }

    /// A datagram on the socket.
    pub fn handle_input(&mut self, now: Instant, from: SocketAddr, data: &[u8]) {
        let Ok(message) = Message::parse(data) else { return };
        if self.done {
            return;
        }
        if message.class() == Class::Request {
            // Our own words, from outside.
            if self.hairpin.is_some_and(|(id, _)| id == message.transaction_id()) {
                self.hairpin = None;
                self.end_hairpin(true);
            }
            return;
        }
        if self.may_answer(from)
            && let Outcome::Success(test) | Outcome::Failed(test, _) =
                match self.requests.handle_response(now, &message) {
                    Outcome::Failed(Test::Address, failure) => return self.finish(Err(failure)),
                    outcome => outcome,
                }
        {
            let mapped = mapped_address(&message).filter(|_| message.class() == Class::Success);
            self.answered(now, test, mapped, &message);
        }
        self.handle_timeout(now);
    }

    /// Who may answer the test that is under way: filters are asked from elsewhere.
    fn may_answer(&self, from: SocketAddr) -> bool {
        let Some(test) = self.requests.asks().next() else { return false };
        match (test, self.other) {
            (Test::FilterBoth, Some(other)) => from == other || from == self.to,
            (Test::FilterPort, Some(other)) => {
                from == SocketAddr::new(self.to.ip(), other.port()) || from == self.to
            }
            _ => from == self.to,
        }
    }

    /// `mapped`: our address in an answer that is a success.
    fn answered(&mut self, now: Instant, test: Test, mapped: Option<SocketAddr>, message: &Message<'_>) {
        if test == Test::Address {
            let Some(mapped) = mapped else {
                return self.finish(Err(Failure::Malformed("no mapped address")));
            };
            let nat = mapped != self.config.local;
            self.behaviour =
                Some(Behaviour { mapped, nat, mapping: None, filtering: None, hairpinning: None });
            let server = self.config.server;
            // RFC 5780 §4.3: a server without another address cannot tell.
            self.other = match message.get::<OtherAddress>() {
                Some(Ok(OtherAddress(other))) if is_other(server, other) => Some(other),
                _ => None,
            };
            if self.other.is_some() {
                self.begin(now, Test::FilterBoth, server);
            } else {
                self.begin_hairpin(now);
            }
            return;
        }
        self.conclude(now, test, mapped);
    }

    /// One test is over: with an answer and maybe an address, or (`None`) without.
    fn conclude(&mut self, now: Instant, test: Test, mapped: Option<SocketAddr>) {
        let (Some(mut found), Some(other)) = (self.behaviour, self.other) else {
            return self.begin_hairpin(now);
        };
        let server = self.config.server;
        match test {
            Test::Address => {}
            Test::FilterBoth => {
                found.filtering = mapped.map(|_| Dependence::EndpointIndependent);
                self.behaviour = Some(found);
                if mapped.is_none() {
                    return self.begin(now, Test::FilterPort, server);
                }
                self.begin_mapping(now, found, other);
            }
            Test::FilterPort => {
                found.filtering = Some(match mapped {
                    Some(_) => Dependence::AddressDependent,
                    None => Dependence::AddressAndPortDependent,
                });
                self.behaviour = Some(found);
                self.begin_mapping(now, found, other);
            }
            Test::MapAddress => match mapped {
                Some(mapped) if mapped == found.mapped => {
                    self.mapping_is(now, Some(Dependence::EndpointIndependent))
                }
                Some(mapped) => {
                    self.elsewhere = Some(mapped);
                    self.begin(now, Test::MapBoth, other);
                }
                None => self.mapping_is(now, None),
            },
            Test::MapBoth => {
                let mapping = mapped.map(|mapped| {
                    if Some(mapped) == self.elsewhere {
                        Dependence::AddressDependent
                    } else {
                        Dependence::AddressAndPortDependent
                    }
                });
                self.mapping_is(now, mapping);
            }
        }
    }

    /// RFC 5780 §4.3: without a NAT there is nothing to ask.
    fn begin_mapping(&mut self, now: Instant, found: Behaviour, other: SocketAddr) {
        if !found.nat {
            return self.mapping_is(now, Some(Dependence::EndpointIndependent));
        }
        self.begin(now, Test::MapAddress, SocketAddr::new(other.ip(), self.config.server.port()));
    }

    fn mapping_is(&mut self, now: Instant, mapping: Option<Dependence>) {
        if let Some(found) = &mut self.behaviour {
            found.mapping = mapping;
        }
        self.begin_hairpin(now);
    }

    fn begin_hairpin(&mut self, now: Instant) {
        match self.behaviour {
            Some(found) if found.nat => {
                let id = self.requests.random_id();
                let data = Builder::new(Class::Request, Method::BINDING, id).finish_with(None, true);
                // Three at once: they go no further than the NAT.
                for _ in 0..3 {
                    let to = found.mapped;
                    self.queue.push_back(DiscoveryOutput::Transmit { to, data: data.clone() });
                }
                self.hairpin = Some((id, now + self.config.timing.rto.saturating_mul(2)));
            }
            Some(found) => self.finish(Ok(found)),
            None => self.finish(Err(Failure::TimedOut)),
        }
    }

    fn end_hairpin(&mut self, works: bool) {
        if let Some(found) = self.behaviour {
            self.finish(Ok(Behaviour { hairpinning: Some(works), ..found }));
        }
    }

    fn finish(&mut self, result: Result<Behaviour, Failure>) {
        self.done = true;
        self.hairpin = None;
        self.requests.clear();
        self.queue.push_back(DiscoveryOutput::Done(result));
    }

    /// Sends what is due; early and spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.hairpin.is_some_and(|(_, until)| until <= now) {
            self.end_hairpin(false);
        }
        loop {
            let (to, queue) = (self.to, &mut self.queue);
            let send = |data: &[u8]| queue.push_back(DiscoveryOutput::Transmit { to, data: data.to_vec() });
            match self.requests.transmit(now, send) {
                Some((Test::Address, failure)) => self.finish(Err(failure)),
                Some((test, _)) => self.conclude(now, test, None),
                None => break,
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> DiscoveryOutput {
        self.queue.pop_front().unwrap_or_else(|| {
            let hairpin = self.hairpin.map(|(_, until)| until);
            DiscoveryOutput::Idle(hairpin.into_iter().chain(self.requests.deadline()).min())
        })
    }
}

/// RFC 5780 §7.4: other in both parts, and somewhere that a server may be.
fn is_other(server: SocketAddr, other: SocketAddr) -> bool {
    other.ip() != server.ip()
        && other.port() != server.port()
        && other.port() != 0
        && other.is_ipv4() == server.is_ipv4()
        && !other.ip().is_unspecified()
        && !other.ip().is_multicast()
}
