//! The user agent, whole and without I/O: transactions, dialogs, calls and connections.
//!
//! Commands and [`Input`]s go in, each with the time; [`Endpoint::poll_output`] gives what is to
//! be done, in order, and ends with when to come again.
//!
//! ```
//! use sip_core::{NameAddr, endpoint::*};
//! # #[expect(clippy::disallowed_methods)]
//! let now = std::time::Instant::now();
//! let mut endpoint = Endpoint::new(Config::default(), [7; 32]);
//! let local = "192.0.2.1:5060".parse()?;
//! endpoint.handle_input(now, Input::Bound { transport: Transport::Udp, local });
//! let from = NameAddr::new("sip:alice@192.0.2.1".parse()?);
//! let call = endpoint.invite(now, OutgoingCall::new("sip:bob@192.0.2.2".parse()?, from))?;
//! let Output::Transmit { remote, data, .. } = endpoint.poll_output() else { unreachable!() };
//! assert_eq!(remote, "192.0.2.2:5060".parse()?);
//! assert!(data.starts_with(b"INVITE sip:bob@192.0.2.2 SIP/2.0\r\n"));
//! let Output::Idle(Some(again)) = endpoint.poll_output() else { unreachable!() };
//! assert_eq!(again - now, std::time::Duration::from_millis(500), "timer A");
//! # let _ = call;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod callee;
mod caller;
mod client;
mod command;
mod config;
mod envelope;
mod event;
mod flow;
mod ids;
mod in_call;
mod input;
mod keep;
mod locate;
mod notify;
mod out_of_call;
mod output;
mod receive;
mod reliable;
mod repeated;
mod replaces;
mod send;
mod server;
mod session;
mod shared;
pub(crate) mod stun;
mod subscriber;
mod timers;

pub use crate::usage::{RefreshBy, Reliable, SessionTimers, TimerMode};
pub use command::{Body, ContactMarks, OutgoingCall, OutgoingContact, OutgoingRequest};
pub use config::{Config, Stats};
pub use event::{Call, Cause, Event, Notifier, PrackId, RequestId, ServerRequest, Subscription};
pub use input::{FlowId, FlowPath, Input, QueryId, Target, Transport};
pub use keep::KeepAlive;
pub use output::Output;
pub use replaces::DialogId;
pub use subscriber::{OutgoingRefer, OutgoingSubscription};

pub(crate) use client::ClientKey;
pub(crate) use envelope::Envelope;
pub(crate) use send::OwnContact;

use crate::{
    Method, UsageError,
    auth::Authenticator,
    header::RecvInfo,
    transaction::{MergeKey, ServerKey},
    usage::InviteUsage,
};
use client::Client;
use flow::Flows;
use ids::ByNumber;
use keep::Kept;
use locate::Locator;
use notify::NotifierUsage;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use server::Server;
use shared::Shared;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasher, Hash},
    net::SocketAddr,
    time::Instant,
};
use subscriber::SubscriptionUsage;
use timers::TimerQueue;

/// A user agent, both client and server.
pub struct Endpoint {
    config: Config,
    random: ChaCha20Rng,
    /// What tags of answers without a transaction are made with.
    tag_key: [u8; 32],
    /// Sockets and listeners of ours.
    bound: Vec<(Transport, SocketAddr)>,
    flows: Flows,
    clients: ByNumber<ClientKey, Client>,
    servers: ByNumber<ServerRequest, Server>,
    server_keys: HashMap<ServerKey, ServerRequest>,
    merged: HashMap<MergeKey, ServerRequest>,
    calls: ByNumber<Call, InviteUsage>,
    /// Calls by our tag.
    tags: ByNumber<u64, Call>,
    subscriptions: ByNumber<Subscription, SubscriptionUsage>,
    notifiers: ByNumber<Notifier, NotifierUsage>,
    /// Dialogs with subscriptions, by our tag.
    shared: ByNumber<u64, Shared>,
    /// Requests out of calls, and what answers challenges to them.
    requests: ByNumber<RequestId, Option<Authenticator>>,
    /// Flows that are kept alive, by their number.
    kept: BTreeMap<u64, Kept>,
    locator: Locator,
    /// Our tags of calls that are over, the latest last: of those Replaces says 603.
    ended: VecDeque<u64>,
    /// The option tags of Supported.
    supported: Vec<String>,
    texts: Texts,
    timers: TimerQueue<Owner>,
    outputs: VecDeque<Output>,
    next_id: u64,
    stats: Stats,
}

/// Lists of the configuration, as headers have them.
struct Texts {
    allow: String,
    accept: String,
    supported: String,
    info_packages: String,
}

impl Texts {
    fn new(config: &Config, supported: &[String]) -> Self {
        let list = |values: &[String]| server::join(values.iter().map(String::as_str));
        Self {
            allow: server::join(config.allow.iter().map(Method::as_str)),
            accept: list(&config.accept),
            supported: list(supported),
            info_packages: list(&config.info_packages),
        }
    }
}

/// Who a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Owner {
    Client(ClientKey),
    Server(ServerRequest),
    Call(Call),
    Flow(FlowId),
    Kept(u64),
    Subscription(Subscription),
    Notifier(Notifier),
}

impl Endpoint {
    /// A user agent; all its randomness comes from `seed`.
    ///
    /// # Panics
    /// If a text of `config` cannot stand in a header.
    pub fn new(mut config: Config, seed: [u8; 32]) -> Self {
        let texts = config.accept.iter().chain(&config.supported).chain(Some(&config.user_agent));
        assert!(
            !texts.into_iter().any(|text| text.contains(['\r', '\n', '\0'])),
            "a text of the configuration that is not one line"
        );
        if config.reliable != Reliable::Off && !config.allow.contains(&Method::Prack) {
            config.allow.push(Method::Prack);
        }
        let supported = supported(&config);
        let texts = Texts::new(&config, &supported);
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut tag_key = [0; 32];
        random.fill_bytes(&mut tag_key);
        let locator = Locator::new(config.max_names);
        Self {
            config,
            random,
            tag_key,
            bound: Vec::new(),
            flows: Flows::default(),
            clients: ByNumber::default(),
            servers: ByNumber::default(),
            server_keys: HashMap::new(),
            merged: HashMap::new(),
            calls: ByNumber::default(),
            tags: ByNumber::default(),
            subscriptions: ByNumber::default(),
            notifiers: ByNumber::default(),
            shared: ByNumber::default(),
            requests: ByNumber::default(),
            kept: BTreeMap::new(),
            locator,
            ended: VecDeque::new(),
            supported,
            texts,
            timers: TimerQueue::new(),
            outputs: VecDeque::new(),
            next_id: 0,
            stats: Stats::default(),
        }
    }

    /// From now on an option tag stands in Supported, and an INFO package in Recv-Info (RFC 6086 §4.2.1).
    /// What is known already changes nothing.
    ///
    /// # Errors
    /// If one of them is no token.
    pub fn announce(&mut self, tag: &str, package: &str) -> Result<(), UsageError> {
        RecvInfo::new(tag)?;
        RecvInfo::new(package)?;
        for (list, name) in [(&mut self.supported, tag), (&mut self.config.info_packages, package)] {
            if !list.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                list.push(name.to_owned());
            }
        }
        self.texts = Texts::new(&self.config, &self.supported);
        Ok(())
    }

    /// Takes back what was [announced](Endpoint::announce).
    pub fn renounce(&mut self, tag: &str, package: &str) {
        self.supported.retain(|known| !known.eq_ignore_ascii_case(tag));
        self.config.info_packages.retain(|known| !known.eq_ignore_ascii_case(package));
        self.texts = Texts::new(&self.config, &self.supported);
    }

    /// What the world did.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bound { transport, local } => {
                if !self.bound.contains(&(transport, local)) {
                    self.bound.push((transport, local));
                }
            }
            Input::Unbound { transport, local } => {
                self.bound.retain(|b| *b != (transport, local));
                self.address_lost(now, local);
                // Another network may have other names, and reach what this one did not.
                self.locator.cache.clear();
            }
            Input::Datagram { local, remote, data } => self.datagram(now, local, remote, data),
            Input::Accepted { flow, transport, local, remote } => {
                self.accepted(now, flow, transport, local, remote);
            }
            Input::Connected { flow, local, remote: _ } => self.connected(now, flow, local),
            Input::ConnectFailed { flow, reason } => self.flow_lost(now, flow, &reason),
            Input::Received { flow, data } => self.received(now, flow, data),
            Input::Closed { flow } => self.flow_lost(now, flow, "the connection was closed"),
            Input::Resolved { query, result } => self.resolved(now, query, result),
        }
    }

    /// Something may be due; early, late and needless calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.timers.pop(now) {
            match owner {
                Owner::Client(key) => self.client_timeout(now, key),
                Owner::Server(id) => self.server_timeout(now, id),
                Owner::Call(call) => self.call_timeout(now, call),
                Owner::Flow(flow) => self.flow_timeout(now, flow),
                Owner::Kept(id) => self.kept_timeout(now, id),
                Owner::Subscription(id) => self.subscription_timeout(now, id),
                Owner::Notifier(id) => self.notifier_timeout(now, id),
            }
        }
    }

    /// The next thing to do; ends with [`Output::Idle`], again and again until the next input.
    pub fn poll_output(&mut self) -> Output {
        match self.outputs.pop_front() {
            Some(output) => output,
            None => {
                if self.outputs.capacity() > 1024 {
                    self.outputs.shrink_to(64);
                }
                Output::Idle(self.timers.next())
            }
        }
    }

    /// How full it is, and what it refused.
    pub fn stats(&self) -> Stats {
        Stats {
            calls: self.calls.len(),
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            subscriptions: self.subscriptions.len() + self.notifiers.len(),
            connections: self.flows.len(),
            names: self.locator.cache.len(),
            ..self.stats
        }
    }

    /// Whether no call and no request of ours is left: what a graceful stop waits for.
    pub fn is_settled(&self) -> bool {
        self.calls.is_empty() && !self.clients.values().any(Client::is_pending)
    }

    fn random_u64(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn random_token(&mut self) -> String {
        format!("{:016x}", self.random_u64())
    }

    fn random_call_id(&mut self) -> String {
        let (high, low) = (self.random_u64(), self.random_u64());
        format!("{high:016x}{low:016x}")
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("bound", &self.bound)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The option tags that we know.
fn supported(config: &Config) -> Vec<String> {
    let own = [
        ("100rel", config.reliable != Reliable::Off),
        ("timer", config.session_timers.mode != TimerMode::Off),
        ("replaces", true),
        // RFC 4488.
        ("norefersub", config.allow.contains(&Method::Refer)),
    ];
    let mut tags = config.supported.clone();
    for (tag, known) in own {
        if known && !tags.iter().any(|t| t.eq_ignore_ascii_case(tag)) {
            tags.push(tag.to_owned());
        }
    }
    tags
}

/// A number that we wrote as 16 lower-case hexadecimal digits.
fn number16(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(text, 16).ok() } else { None }
}

/// Gives memory of a table back that a burst needed.
fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 1024 && table.len() * 4 < table.capacity() {
        table.shrink_to(table.len() * 2);
    }
}
