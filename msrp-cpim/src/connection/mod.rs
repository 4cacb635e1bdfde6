//! One TCP or TLS connection (or WebSocket, RFC 7977) with its sessions, as a machine without I/O.
//!
//! ```text
//!   send() --> [ messages ] --chunks in turn--+
//!                                             v        at most `max_in_flight` bytes
//!   responses, reports ------ first --> [ generate ] ---------> Output::Write
//!                                                               Input::Written frees them
//!   Input::Received --> [ decoder ] --> [ session by To-Path ] --> Event::Message
//! ```
//! Each message that [`Connection::send`] took ends in exactly one [`Event::Delivered`] or
//! [`Event::NotDelivered`], whatever happens to the connection.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

mod incoming;
mod outgoing;
mod relay;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use outgoing::{Body, OutgoingMessage};
pub use relay::{AuthConfig, AuthId};
pub use session::{Receive, SessionConfig, SessionId, SessionMemory};

use crate::error::{LimitError, ParseError, UsageError};
use crate::ident::IdSource;
use crate::uri::MsrpUri;
use crate::wire::{Decoder, DecoderLimits, Head};
use incoming::Request;
use outgoing::{Mark, OpenChunk, Outbound, Transaction};
use relay::Auth;
use session::Session;

/// Caps and timers of a [`Connection`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Caps on heads.
    pub limits: DecoderLimits,
    /// Sessions at a time.
    pub max_sessions: usize,
    /// Bytes handed out in [`Output::Write`] and not yet confirmed by [`Input::Written`].
    pub max_in_flight: usize,
    /// Bytes of queued messages above which [`Connection::send`] refuses.
    pub high_watermark: u64,
    /// Bytes of queued messages below which [`Event::Writable`] follows a refusal.
    pub low_watermark: u64,
    /// Messages of several chunks whose chunks take turns, in one session; others wait. A peer keeps the parts of
    /// each, and may have a cap on all of them together.
    pub max_interleaved: usize,
    /// Bytes of such messages in one session; a larger one goes alone.
    pub max_interleaved_size: u64,
    /// Chunks that may await their response.
    pub max_transactions: usize,
    /// Bytes of responses and reports that wait to be written above which [`Connection::wants_read`] is
    /// false. Four times that closes the connection: the peer does not read.
    pub max_control: usize,
    /// How long a response may take: 30 s in RFC 4975 §7.1.1.
    pub response_timeout: Duration,
    /// How long a success report may take from when the message was written; `None`: for ever.
    pub report_timeout: Option<Duration>,
    /// Whether a message without its report in that time, but with all responses, counts as delivered.
    pub trust_responses: bool,
    /// How long an incomplete incoming message may go without a further byte; `None`: for ever.
    pub partial_timeout: Option<Duration>,
    /// Sends an empty SEND after so much silence of ours; without a response in time the connection is lost.
    pub keep_alive: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: DecoderLimits::default(),
            max_sessions: 64,
            max_in_flight: 256 * 1024,
            high_watermark: 16 * 1024 * 1024,
            low_watermark: 4 * 1024 * 1024,
            max_interleaved: 8,
            max_interleaved_size: 256 * 1024,
            max_transactions: 4096,
            max_control: 256 * 1024,
            response_timeout: Duration::from_secs(30),
            report_timeout: Some(Duration::from_secs(120)),
            trust_responses: false,
            partial_timeout: Some(Duration::from_secs(300)),
            keep_alive: None,
        }
    }
}

/// What happened in the world.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The connection stands (with its TLS handshake done).
    Connected,
    /// The peer sent bytes.
    Received(&'a [u8]),
    /// So many bytes of [`Output::Write`] were taken by the system.
    Written(usize),
    /// The connection was closed or lost, or could not be made.
    Closed,
}

/// What the driver should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes; confirm with [`Input::Written`].
    Write(Bytes),
    /// Write what was handed out, then close the connection.
    Disconnect,
    /// Something for the application.
    Event(Event),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// Something for the application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session is bound to this connection: RFC 4975 §5.4.
    Bound {
        /// Which session.
        session: SessionId,
    },
    /// A whole message.
    Message {
        /// Which session.
        session: SessionId,
        /// Its identifier.
        message_id: String,
        /// Its media type with parameters.
        content_type: String,
        /// The content.
        body: Bytes,
        /// The head of the chunk that completed it.
        head: Box<Head>,
    },
    /// Bytes of a message, in a session that streams.
    Data {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
        /// Position of the first byte, from zero.
        offset: u64,
        /// The bytes.
        data: Bytes,
        /// The size of the whole message, if announced.
        total: Option<u64>,
        /// Its media type with parameters.
        content_type: String,
    },
    /// All bytes of a message were given, in a session that streams.
    DataEnd {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
        /// Its size.
        total: u64,
    },
    /// The peer gave up a message of which parts had arrived, or the connection was lost meanwhile.
    IncomingAborted {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
    },
    /// A message was delivered; nothing more follows about it.
    Delivered {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
        /// What says so.
        confirmation: Confirmation,
    },
    /// A message was not delivered, or it is not known whether; nothing more follows about it.
    NotDelivered {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
        /// The peer's status code; 408 for what timed out or was lost with the connection.
        code: u16,
        /// In words.
        reason: String,
    },
    /// The peer confirmed more of a message.
    Progress {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
        /// Bytes that were confirmed.
        confirmed: u64,
        /// Its size, if known.
        total: Option<u64>,
    },
    /// A streamed message wants more data: [`Connection::feed`].
    NeedData {
        /// Which session.
        session: SessionId,
        /// Which message.
        message_id: String,
    },
    /// The queue is below its low watermark after a refusal.
    Writable,
    /// The session ended: closed by us, refused by the peer, or lost with the connection.
    SessionClosed {
        /// Which session.
        session: SessionId,
        /// 200 if we closed it, else the peer's code or 408.
        code: u16,
        /// In words.
        reason: String,
    },
    /// A relay wants to know who we are: [`Connection::answer_challenge`].
    AuthChallenge {
        /// Which authorization.
        auth: AuthId,
        /// The values of `WWW-Authenticate`, one for each algorithm that the relay knows.
        challenges: Vec<String>,
        /// The URI of the relay, which digest computes with.
        uri: String,
        /// Whether an answer was not accepted: stale, or wrong.
        again: bool,
    },
    /// A relay gave a URI, the first time or as a refresh.
    Authorized {
        /// Which authorization.
        auth: AuthId,
        /// Its URIs: for a session, [`SessionConfig::local_path`] with our own URI behind them.
        use_path: Vec<MsrpUri>,
        /// What goes into `a=path`: them in reverse, then our own URI.
        path: Vec<MsrpUri>,
        /// How long it holds, if the relay says so. It is refreshed before.
        expires: Option<Duration>,
    },
    /// A relay refused, or does not answer; its URI is not refreshed any more.
    AuthFailed {
        /// Which authorization.
        auth: AuthId,
        /// The relay's code; 408 without an answer.
        code: u16,
        /// In words.
        reason: String,
    },
    /// A conference answered [`Connection::nickname`].
    Nickname {
        /// Which session.
        session: SessionId,
        /// The name that was asked for.
        nickname: String,
        /// 200, or why not: 425 for a name that is taken (RFC 7701 §7.1), 408 without an answer.
        code: u16,
        /// In words.
        reason: String,
    },
    /// The peer's bytes are no MSRP; the connection is given up.
    ProtocolError(ParseError),
}

/// What a delivery is inferred from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// Success reports cover the whole message.
    Report,
    /// Every chunk was answered with 200: the next hop has it.
    Response,
    /// It was written, and no confirmation was asked for.
    Written,
}

/// How often a cap or a rule did its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests for no session of this connection, or from a wrong path.
    pub wrong_path: u64,
    /// Messages that were too large or in too many pieces.
    pub too_large: u64,
    /// Chunks of messages that were complete already.
    pub duplicates: u64,
    /// Requests that were malformed.
    pub malformed: u64,
    /// Responses and reports that belong to nothing.
    pub unmatched: u64,
    /// Messages refused because too many were incomplete.
    pub too_many_partial: u64,
    /// Messages given up because the rest of them did not come.
    pub stalled: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Up,
    Closed,
}

/// The machine of one connection.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    ids: IdSource,
    now: Option<Instant>,
    phase: Phase,
    queue: VecDeque<Output>,
    counters: Counters,

    sessions: BTreeMap<u64, Session>,
    next_key: u64,
    /// Of sessions that have ended.
    memories: BTreeMap<u64, SessionMemory>,
    elsewhere: Vec<MsrpUri>,
    auths: BTreeMap<u64, Auth>,

    decoder: Decoder,
    request: Option<Request>,

    /// Whole frames that go before any chunk.
    control: VecDeque<Bytes>,
    control_len: usize,
    /// Messages until their outcome is known.
    messages: BTreeMap<u64, Outbound>,
    message_keys: BTreeMap<(u64, String), u64>,
    /// Messages with something to write, in turn.
    turn: VecDeque<u64>,
    chunk: Option<OpenChunk>,
    pieces: VecDeque<Bytes>,
    queued: u64,
    refused: bool,
    handed: u64,
    written: u64,
    marks: VecDeque<(u64, Mark)>,
    transactions: BTreeMap<String, Transaction>,
    response_timers: VecDeque<(Instant, String)>,
    report_timers: VecDeque<(Instant, u64)>,
    keep_alive: Option<Instant>,
    /// Not later than when the first incomplete message is given up.
    partials_due: Option<Instant>,
}

impl Connection {
    /// A connection that does not stand yet.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            decoder: Decoder::new(config.limits),
            config,
            ids: IdSource::new(seed),
            now: None,
            phase: Phase::Connecting,
            queue: VecDeque::new(),
            counters: Counters::default(),
            sessions: BTreeMap::new(),
            next_key: 0,
            memories: BTreeMap::new(),
            elsewhere: Vec::new(),
            auths: BTreeMap::new(),
            request: None,
            control: VecDeque::new(),
            control_len: 0,
            messages: BTreeMap::new(),
            message_keys: BTreeMap::new(),
            turn: VecDeque::new(),
            chunk: None,
            pieces: VecDeque::new(),
            queued: 0,
            refused: false,
            handed: 0,
            written: 0,
            marks: VecDeque::new(),
            transactions: BTreeMap::new(),
            response_timers: VecDeque::new(),
            report_timers: VecDeque::new(),
            keep_alive: None,
            partials_due: None,
        }
    }

    /// Tells what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = Some(now);
        if self.phase == Phase::Closed {
            return;
        }
        match input {
            Input::Connected if self.phase == Phase::Connecting => {
                self.phase = Phase::Up;
                self.restart_keep_alive(now);
                let active: Vec<u64> =
                    self.sessions.iter().filter(|(_, s)| s.active).map(|(k, _)| *k).collect();
                for key in active {
                    self.send_empty(key, true);
                }
            }
            Input::Connected => {}
            Input::Received(data) => self.receive(data),
            Input::Written(len) => self.confirm_written(now, len),
            Input::Closed => self.close(408, "connection lost"),
        }
    }

    /// Time has passed; early, late and spurious calls are fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        if self.phase == Phase::Closed {
            return;
        }
        if self.is_paused() {
            self.put_off(now);
        }
        while self.response_timers.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, id)) = self.response_timers.pop_front() {
                self.response_timed_out(&id);
            }
        }
        while self.report_timers.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.report_timers.pop_front() {
                self.report_timed_out(key);
            }
        }
        self.refresh_auths(now);
        if self.partials_due.is_some_and(|at| at <= now) {
            self.give_up_stalled(now);
        }
        if self.keep_alive.is_some_and(|at| at <= now) {
            self.restart_keep_alive(now);
            if let Some(key) = self.sessions.iter().find(|(_, s)| s.bound).map(|(key, _)| *key) {
                self.send_empty(key, false);
            }
        }
    }

    /// The next thing to do; ends with [`Output::Idle`].
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.queue.pop_front() {
            return output;
        }
        if let Some(data) = self.generate() {
            self.handed += as_u64(data.len());
            if let Some(now) = self.now {
                self.restart_keep_alive(now);
            }
            return Output::Write(data);
        }
        // Writing may have emptied the queue.
        if let Some(output) = self.queue.pop_front() {
            return output;
        }
        Output::Idle(self.deadline())
    }

    /// Adds a session. An active one (RFC 4145, RFC 6135) introduces itself with an empty SEND as soon
    /// as the connection stands; a passive one is bound by the first request for it.
    ///
    /// # Errors
    /// If a path is empty, the local URI is taken, or there are too many.
    pub fn add_session(&mut self, now: Instant, config: SessionConfig) -> Result<SessionId, UsageError> {
        self.now = Some(now);
        if self.phase == Phase::Closed {
            return Err(LimitError::Closed.into());
        }
        if self.sessions.len() >= self.config.max_sessions {
            return Err(LimitError::Sessions.into());
        }
        let session = Session::new(config)?;
        if self.sessions.values().any(|s| s.local.matches(&session.local)) {
            return Err(UsageError::DuplicatePath);
        }
        let key = self.fresh_key();
        let active = session.active;
        self.elsewhere.retain(|uri| !uri.matches(&session.local));
        self.sessions.insert(key, session);
        if active && self.phase == Phase::Up {
            self.send_empty(key, true);
        }
        Ok(SessionId(key))
    }

    /// Ends a session: its messages under way are reported as not delivered. The connection stays.
    ///
    /// # Errors
    /// If there is no such session.
    pub fn close_session(&mut self, now: Instant, session: SessionId) -> Result<(), UsageError> {
        self.now = Some(now);
        if !self.sessions.contains_key(&session.0) {
            return Err(UsageError::NoSuchSession);
        }
        self.end_session(session.0, 200, "closed", "session closed");
        Ok(())
    }

    /// What a session that has ended remembers, for [`SessionConfig::memory`] of the connection on which it is
    /// taken up. Empty if it was taken already, or forgotten for newer ones.
    #[must_use]
    pub fn take_memory(&mut self, session: SessionId) -> SessionMemory {
        self.memories.remove(&session.0).unwrap_or_default()
    }

    /// Says that this local URI is bound to another connection: requests for it are answered with 506.
    pub fn bound_elsewhere(&mut self, local: MsrpUri) {
        if self.elsewhere.len() < self.config.max_sessions {
            self.elsewhere.push(local);
        }
    }

    /// Stops (or goes on) reading for a session. See [`Connection::wants_read`]. What runs out meanwhile has its time
    /// anew: the answer may be there.
    ///
    /// # Errors
    /// If there is no such session.
    pub fn pause(&mut self, session: SessionId, paused: bool) -> Result<(), UsageError> {
        self.sessions.get_mut(&session.0).ok_or(UsageError::NoSuchSession)?.paused = paused;
        Ok(())
    }

    /// Whether the driver should read from the connection: not while a session is paused, or while the peer does
    /// not take our responses. What it reads all the same is taken.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.phase == Phase::Up && self.control_len <= self.config.max_control && !self.is_paused()
    }

    fn is_paused(&self) -> bool {
        self.sessions.values().any(|s| s.paused)
    }

    /// What is answered while we do not read has its time anew.
    fn put_off(&mut self, now: Instant) {
        let after = self.config.response_timeout;
        put_off(&mut self.response_timers, now, now + after);
        put_off(&mut self.report_timers, now, now + self.config.report_timeout.unwrap_or(after));
    }

    /// Gives the connection up: every message under way is reported as not delivered, every session as closed.
    pub fn disconnect(&mut self, now: Instant) {
        self.now = Some(now);
        if self.phase != Phase::Closed {
            self.close(408, "disconnected");
            self.queue.push_back(Output::Disconnect);
        }
    }

    /// How often caps and rules did their work.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Messages whose outcome is not known yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.messages.len()
    }

    /// Whether the session is there: not closed, and not lost with the connection.
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session.0)
    }

    /// Whether the session is bound to this connection.
    #[must_use]
    pub fn is_bound(&self, session: SessionId) -> bool {
        self.sessions.get(&session.0).is_some_and(|s| s.bound)
    }

    fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    fn fresh_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn bind(&mut self, key: u64) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if !session.bound {
            session.bound = true;
            let waiting = std::mem::take(&mut session.waiting);
            for message in waiting {
                self.admit(message);
            }
            self.event(Event::Bound { session: SessionId(key) });
        }
    }

    fn end_session(&mut self, key: u64, code: u16, reason: &str, message_reason: &str) {
        let lost: Vec<u64> =
            self.messages.iter().filter(|(_, m)| m.session == key).map(|(k, _)| *k).collect();
        let message_code = if code == 200 { 408 } else { code };
        for message in lost {
            self.not_delivered(message, message_code, message_reason);
        }
        if let Some(session) = self.sessions.remove(&key) {
            let session_id = SessionId(key);
            self.memories.insert(key, session.memory);
            while self.memories.len() > self.config.max_sessions {
                self.memories.pop_first();
            }
            for message_id in session.partials.into_keys() {
                self.event(Event::IncomingAborted { session: session_id, message_id });
            }
            self.event(Event::SessionClosed { session: session_id, code, reason: reason.to_owned() });
        }
    }

    /// The one way to the closed state.
    fn close(&mut self, code: u16, reason: &str) {
        if self.phase == Phase::Closed {
            return;
        }
        let sessions: Vec<u64> = self.sessions.keys().copied().collect();
        for key in sessions {
            self.end_session(key, code, reason, reason);
        }
        let auths: Vec<u64> = self.auths.keys().copied().collect();
        for key in auths {
            self.auth_failed(key, code, reason);
        }
        self.phase = Phase::Closed;
        self.control.clear();
        self.control_len = 0;
        self.pieces.clear();
        self.turn.clear();
        self.chunk = None;
        self.marks.clear();
        self.transactions.clear();
        self.response_timers.clear();
        self.report_timers.clear();
        self.keep_alive = None;
        self.partials_due = None;
        self.request = None;
    }

    fn restart_keep_alive(&mut self, now: Instant) {
        self.keep_alive = self.config.keep_alive.map(|after| now + after);
    }

    fn deadline(&self) -> Option<Instant> {
        let response = self.response_timers.front().map(|(at, _)| *at);
        let report = self.report_timers.front().map(|(at, _)| *at);
        let partials = self.partials_due.filter(|_| self.sessions.values().any(|s| !s.partials.is_empty()));
        [response, report, partials, self.next_refresh(), self.keep_alive].into_iter().flatten().min()
    }
}

fn put_off<T>(timers: &mut VecDeque<(Instant, T)>, now: Instant, until: Instant) {
    let due = timers.partition_point(|(at, _)| *at <= now);
    for (at, _) in timers.range_mut(..due) {
        *at = until;
    }
    timers.rotate_left(due);
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn as_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
