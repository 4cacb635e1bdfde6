//! What a connection knows of one session.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::chunk::{RangeSet, Reassembler};
use crate::error::UsageError;
use crate::uri::MsrpUri;
use crate::wire::{FailureReport, Head, HeaderName};

/// Names a session of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// How messages reach the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Receive {
    /// Whole, in `Event::Message`.
    #[default]
    Whole,
    /// As they arrive, in `Event::Data`: for files, which never sit in memory.
    Streamed,
}

/// Which messages are over, with the codes that their further chunks get.
///
/// It outlives the connection: a session that is taken up on another one, with
/// [`super::Connection::take_memory`] of the first, shows no message twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionMemory {
    pub(super) over: BTreeMap<String, u16>,
    pub(super) order: VecDeque<String>,
}

/// A session as negotiated in SDP.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Our own `a=path`: our relays, if any, then our URI.
    pub local_path: Vec<MsrpUri>,
    /// The peer's `a=path`: its relays, if any, then its URI.
    pub remote_path: Vec<MsrpUri>,
    /// Whether we introduce ourselves with an empty SEND (we made the connection).
    pub active: bool,
    /// Our `a=accept-types`; `text/*` and `*` are wildcards, an empty list takes all. Others are answered with 415.
    pub accept_types: Vec<String>,
    /// Our `a=accept-wrapped-types`, for what is inside message/cpim; these are accepted only there.
    pub accept_wrapped_types: Vec<String>,
    /// The largest message we take, in bytes; larger ones are answered with 413.
    pub max_size: u64,
    /// How messages are given to the application.
    pub receive: Receive,
    /// In a session that streams: whether the report about a message waits for
    /// [`super::Connection::confirm`], because whole is not yet good.
    pub confirm: bool,
    /// Messages of which parts have arrived.
    pub max_partial: usize,
    /// Pieces with gaps between them in one such message.
    pub max_fragments: usize,
    /// What an earlier connection of the same session remembers.
    pub memory: SessionMemory,
    /// Identifiers of complete messages that are remembered, so that none is shown twice.
    pub max_remembered: usize,
    /// Bytes in a chunk; above 2,048 the chunks are interruptible (RFC 4975 §7.1.1).
    pub chunk_size: usize,
}

impl SessionConfig {
    /// A session with the defaults: 10 MiB a message, chunks of 2,048 bytes, all types.
    #[must_use]
    pub fn new(local_path: Vec<MsrpUri>, remote_path: Vec<MsrpUri>, active: bool) -> Self {
        Self {
            local_path,
            remote_path,
            active,
            accept_types: Vec::new(),
            accept_wrapped_types: Vec::new(),
            max_size: 10 * 1024 * 1024,
            receive: Receive::Whole,
            confirm: false,
            max_partial: 32,
            max_fragments: 4096,
            memory: SessionMemory::default(),
            max_remembered: 1024,
            chunk_size: crate::chunk::SMALL_CHUNK,
        }
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: SessionConfig,
    pub(super) local: MsrpUri,
    pub(super) local_text: String,
    pub(super) remote: MsrpUri,
    pub(super) remote_text: String,
    /// `To-Path` of what we send: our relays, then the peer's path.
    pub(super) to_path: String,
    pub(super) active: bool,
    pub(super) bound: bool,
    pub(super) paused: bool,
    /// Messages that wait until the session is bound.
    pub(super) waiting: Vec<u64>,
    /// Messages of several chunks that take turns, with their sizes.
    pub(super) interleaved: BTreeMap<u64, u64>,
    /// Those that wait for a place among them.
    pub(super) later: VecDeque<u64>,
    pub(super) partials: BTreeMap<String, Partial>,
    /// Bytes in all reassemblers.
    pub(super) buffered: u64,
    /// Messages that are over, with the code that every further chunk gets.
    pub(super) memory: SessionMemory,
    /// Whole messages about which the application has not spoken yet.
    pub(super) unconfirmed: BTreeMap<String, Unconfirmed>,
}

/// Where the report about a whole message goes.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub(super) to: String,
    pub(super) total: u64,
    pub(super) success: bool,
    pub(super) failure: bool,
}

/// An incoming message of which parts have arrived.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) content_type: String,
    pub(super) sink: Sink,
    /// When a byte of it arrived last.
    pub(super) touched: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Sink {
    Whole(Reassembler),
    Streamed { seen: RangeSet, total: Option<u64> },
}

impl Session {
    pub(super) fn new(config: SessionConfig) -> Result<Self, UsageError> {
        let (Some((local, relays)), Some(remote)) =
            (config.local_path.split_last(), config.remote_path.last())
        else {
            return Err(UsageError::EmptyPath);
        };
        if !config.local_path.iter().chain(&config.remote_path).all(MsrpUri::is_sound) {
            return Err(UsageError::InvalidUri);
        }
        let mut to_path = relays.to_vec();
        to_path.extend_from_slice(&config.remote_path);
        Ok(Self {
            local: local.clone(),
            local_text: local.to_string(),
            remote: remote.clone(),
            remote_text: remote.to_string(),
            to_path: MsrpUri::print_path(&to_path),
            active: config.active,
            bound: false,
            paused: false,
            waiting: Vec::new(),
            interleaved: BTreeMap::new(),
            later: VecDeque::new(),
            partials: BTreeMap::new(),
            buffered: 0,
            memory: config.memory.clone(),
            unconfirmed: BTreeMap::new(),
            config,
        })
    }

    /// Whether this is one of the relays between us and the peer.
    pub(super) fn on_the_way(&self, uri: &MsrpUri) -> bool {
        self.config.local_path.iter().chain(&self.config.remote_path).any(|hop| hop.matches(uri))
    }

    /// Whether this media type may be sent to us unwrapped.
    pub(super) fn accepts(&self, content_type: &str) -> bool {
        self.config.accept_types.is_empty() || matches_any(&self.config.accept_types, content_type)
    }

    /// Whether this media type may stand inside message/cpim.
    pub(super) fn accepts_wrapped(&self, content_type: &str) -> bool {
        let (plain, wrapped) = (&self.config.accept_types, &self.config.accept_wrapped_types);
        (plain.is_empty() && wrapped.is_empty())
            || matches_any(plain, content_type)
            || matches_any(wrapped, content_type)
            // Only the container is listed: nothing is said about what is inside.
            || (wrapped.is_empty() && plain.iter().all(|t| t.eq_ignore_ascii_case("message/cpim")))
    }

    /// Keeps the report about a whole message until the application has spoken.
    pub(super) fn hold_report(&mut self, message_id: &str, head: &Head, total: u64) {
        // Of messages that are never spoken about the oldest are forgotten with their identifiers.
        while self.unconfirmed.len() >= self.config.max_partial.max(1) {
            self.unconfirmed.pop_first();
        }
        let to = head.get(HeaderName::FromPath).unwrap_or_default().to_owned();
        let (success, failure) = (head.success_report(), head.failure_report() != FailureReport::No);
        self.unconfirmed.insert(message_id.to_owned(), Unconfirmed { to, total, success, failure });
    }

    /// Remembers that a message is over and gives back the memory of its parts.
    pub(super) fn finish(&mut self, message_id: &str, code: u16) -> Option<Partial> {
        let partial = self.partials.remove(message_id);
        if let Some(Partial { sink: Sink::Whole(whole), .. }) = &partial {
            self.buffered = self.buffered.saturating_sub(whole.received());
        }
        if self.memory.over.insert(message_id.to_owned(), code).is_none() {
            self.memory.order.push_back(message_id.to_owned());
        }
        while self.memory.order.len() > self.config.max_remembered.max(1) {
            if let Some(oldest) = self.memory.order.pop_front() {
                self.memory.over.remove(&oldest);
            }
        }
        partial
    }
}

pub(super) fn matches_any(accepted: &[String], content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    accepted.iter().any(|pattern| {
        let pattern = pattern.split(';').next().unwrap_or_default().trim();
        pattern == "*"
            || pattern.eq_ignore_ascii_case(media)
            || pattern.strip_suffix("/*").is_some_and(|kind| {
                media.split_once('/').is_some_and(|(there, _)| there.eq_ignore_ascii_case(kind))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_types() {
        let list = vec!["message/cpim".to_owned(), "text/*".to_owned()];
        assert!(matches_any(&list, "Message/CPIM"));
        assert!(matches_any(&list, "text/plain; charset=utf-8"));
        assert!(!matches_any(&list, "image/png"));
        assert!(matches_any(&["*".to_owned()], "image/png"));
    }
}
