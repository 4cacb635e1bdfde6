//! What an endpoint is set up with.

use crate::{
    Limits, Method,
    transaction::Timers,
    usage::{Reliable, SessionTimers},
};
use std::time::Duration;

/// What an [`Endpoint`](super::Endpoint) is set up with; the default is a user agent for calls.
#[derive(Debug, Clone)]
pub struct Config {
    /// Goes into User-Agent and Server; empty: neither is sent.
    pub user_agent: String,
    /// Bounds of what is parsed.
    pub limits: Limits,
    /// The timers of RFC 3261 §17.
    pub timers: Timers,
    /// Methods that are served; others are answered 405 (known ones) or 501. Out of a dialog,
    /// those that the endpoint does not serve itself come as [`Event::Request`](super::Event::Request).
    pub allow: Vec<Method>,
    /// Content types in Accept of answers to OPTIONS.
    pub accept: Vec<String>,
    /// Option tags in Supported, beside those that the endpoint knows itself (`100rel`, `timer`,
    /// `replaces`); a Require of another one is answered 420.
    pub supported: Vec<String>,
    /// Whether provisional responses are acknowledged (RFC 3262).
    pub reliable: Reliable,
    /// How sessions are kept alive (RFC 4028).
    pub session_timers: SessionTimers,
    /// Requests longer than this over UDP try TCP first (RFC 3261 §18.1.1), in bytes.
    pub mtu: usize,
    /// How long a connection may take to be established.
    pub connect_timeout: Duration,
    /// How long the TCP connection of a request too long for UDP may take before UDP is used.
    pub fallback_timeout: Duration,
    /// How long a connection may take before the next address of the same server is tried beside it
    /// (RFC 8305 §5).
    pub connect_delay: Duration,
    /// How long a target may stay silent before the next one is tried, if there is one; twice
    /// that for an INVITE.
    pub failover: Duration,
    /// How long a target that did not answer, or answered 503, is tried after all others.
    pub avoid_dead: Duration,
    /// A connection that nobody uses for this long is closed.
    pub idle_connection: Duration,
    /// Calls at one time, both directions; an INVITE beyond is answered 503, an own one refused.
    pub max_calls: usize,
    /// Server transactions at one time; requests beyond are answered 503 without one.
    pub max_server_transactions: usize,
    /// Client transactions at one time; commands beyond are refused.
    pub max_client_transactions: usize,
    /// Connections at one time; further ones of peers are closed.
    pub max_connections: usize,
    /// Names, and dead targets, that are remembered.
    pub max_names: usize,
    /// Bytes that wait for one connection to be established.
    pub max_unsent: usize,
    /// Early dialogs of one outgoing call; forks beyond are not followed.
    pub max_forks: usize,
    /// Reliable provisional responses of ours that wait for the one before; commands beyond are
    /// refused.
    pub max_provisionals: usize,
    /// Event packages that peers may subscribe to (RFC 6665 §4.2.1); others are answered 489. None:
    /// every one is handed up.
    pub events: Vec<String>,
    /// INFO packages that are understood (RFC 6086): they stand in Recv-Info, and an INFO of another
    /// package is answered 469. INFO without a package is handed up as ever.
    pub info_packages: Vec<String>,
    /// Subscriptions at one time, both directions; those beyond are refused.
    pub max_subscriptions: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: concat!("sipsimple ", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits::default(),
            timers: Timers::default(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Cancel,
                Method::Bye,
                Method::Options,
                Method::Update,
                Method::Info,
                Method::Prack,
            ],
            accept: vec!["application/sdp".to_owned()],
            supported: Vec::new(),
            reliable: Reliable::default(),
            session_timers: SessionTimers::default(),
            mtu: 1300,
            connect_timeout: Duration::from_secs(10),
            fallback_timeout: Duration::from_millis(1_500),
            connect_delay: Duration::from_millis(250),
            failover: Duration::from_secs(4),
            avoid_dead: Duration::from_secs(30),
            idle_connection: Duration::from_secs(900),
            max_calls: 50_000,
            max_server_transactions: 200_000,
            max_client_transactions: 200_000,
            max_connections: 10_000,
            max_names: 4_096,
            max_unsent: 1 << 20,
            max_forks: 16,
            max_provisionals: 16,
            events: Vec::new(),
            info_packages: Vec::new(),
            max_subscriptions: 10_000,
        }
    }
}

/// How full the endpoint is, and what it refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls now.
    pub calls: usize,
    /// Client transactions now.
    pub client_transactions: usize,
    /// Server transactions now.
    pub server_transactions: usize,
    /// Subscriptions now, both directions.
    pub subscriptions: usize,
    /// Connections now.
    pub connections: usize,
    /// Names, and dead targets, that are remembered now.
    pub names: usize,
    /// Messages that were read.
    pub messages: u64,
    /// Bytes that were no message, or a malformed one, and got no answer.
    pub dropped: u64,
    /// Malformed messages that were answered.
    pub malformed: u64,
    /// Responses to no request of ours, and ACKs of no call.
    pub strays: u64,
    /// Retransmissions by peers that were recognised.
    pub retransmissions: u64,
    /// Requests refused because a table was full.
    pub overloaded: u64,
    /// Connections refused because there were too many.
    pub connections_refused: u64,
    /// Requests handed up that nobody answered in time.
    pub unanswered: u64,
}
