//! What we send: messages cut into chunks, in turn, until their outcome is known.
//!
//! ```text
//!  send --> queued --chunks--> all handed out --written--> [responses?] --> [reports?] --> Delivered
//!              |                   |                           |               |
//!              +-------------------+---------------------------+---------------+--> NotDelivered
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Confirmation, Connection, Event, Output, Phase, SessionId, as_u64, as_usize};
use crate::chunk::{RangeSet, SMALL_CHUNK};
use crate::error::{LimitError, UsageError};
use crate::ident::is_ident;
use crate::wire::{ByteRange, FailureReport, Flag};

/// A message to send.
#[derive(Debug, Clone)]
pub struct OutgoingMessage {
    /// Its identifier, an `ident` of RFC 4975 §9; `None` makes a random one.
    pub message_id: Option<String>,
    /// Its media type with parameters.
    pub content_type: String,
    /// Its content.
    pub body: Body,
    /// Whether the other end should report that it has all of it.
    pub success_report: bool,
    /// What should be answered or reported otherwise.
    pub failure_report: FailureReport,
    /// Further MIME header fields, such as `Content-Disposition`.
    pub headers: Vec<(String, String)>,
}

impl OutgoingMessage {
    /// A message with a random identifier, responses, and a success report.
    #[must_use]
    pub fn new(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            message_id: None,
            content_type: content_type.into(),
            body: Body::Whole(body.into()),
            success_report: true,
            failure_report: FailureReport::Yes,
            headers: Vec::new(),
        }
    }
}

/// The content of an [`OutgoingMessage`].
#[derive(Debug, Clone)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// It comes with [`Connection::feed`], on `Event::NeedData`.
    Streamed {
        /// Its size, if known.
        total: Option<u64>,
        /// Where to begin, to take up an interrupted file.
        offset: u64,
    },
}

#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) session: u64,
    message_id: String,
    content_type: String,
    headers: String,
    success: bool,
    failure: FailureReport,
    buffer: VecDeque<Bytes>,
    buffered: u64,
    /// No more will be fed.
    ended: bool,
    first: u64,
    /// Position of the next byte to send, from zero.
    offset: u64,
    total: Option<u64>,
    /// The chunk with `$` was handed out.
    all_sent: bool,
    all_written: bool,
    unanswered: usize,
    /// Chunks that only an error would answer.
    unconfirmed: VecDeque<String>,
    answered: u64,
    reported: RangeSet,
    wants: bool,
}

#[derive(Debug)]
pub(super) struct OpenChunk {
    key: u64,
    id: String,
    sent: usize,
    limit: usize,
    /// The last bytes that were written, in which an end-line might have begun.
    tail: Vec<u8>,
    aborted: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Transaction {
    Bind(u64),
    KeepAlive(u64),
    Chunk { key: u64, len: u64 },
    Auth(u64),
    Nickname { session: u64, nickname: String },
}

/// What begins when bytes were written.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    Transaction(String),
    Message(u64),
}

/// The largest piece of a body that is written at a time.
const SLICE: usize = 16 * 1024;
/// Chunks of a message with `Failure-Report: partial` that are remembered.
const UNCONFIRMED: usize = 32;
/// What a streamed message holds before it wants no more.
const FEED: u64 = 128 * 1024;

impl Connection {
    /// Queues a message. Exactly one `Event::Delivered` or `Event::NotDelivered` will follow, with the
    /// identifier that this returns. May be called before the connection stands.
    ///
    /// # Errors
    /// If there is no such session, the message cannot be sent as it is, or the queue is full.
    pub fn send(
        &mut self,
        now: Instant,
        session: SessionId,
        message: OutgoingMessage,
    ) -> Result<String, UsageError> {
        self.now = Some(now);
        if self.phase == Phase::Closed {
            return Err(LimitError::Closed.into());
        }
        if !self.sessions.contains_key(&session.0) {
            return Err(UsageError::NoSuchSession);
        }
        let message_id = match message.message_id {
            Some(id) if is_ident(&id) => id,
            Some(_) => return Err(UsageError::InvalidIdentifier),
            None => self.ids.next_id(),
        };
        if self.message_keys.contains_key(&(session.0, message_id.clone())) {
            return Err(UsageError::DuplicateMessage);
        }
        if self.queued > self.config.high_watermark {
            self.refused = true;
            return Err(LimitError::QueueFull.into());
        }
        let headers = header_lines(&message.headers, &message.content_type)?;
        let (buffer, total, offset, ended) = match message.body {
            Body::Whole(body) => {
                let total = as_u64(body.len());
                let buffer = if body.is_empty() { VecDeque::new() } else { VecDeque::from([body]) };
                (buffer, Some(total), 0, true)
            }
            Body::Streamed { total, offset } => {
                if total.is_some_and(|total| offset > total) {
                    return Err(UsageError::WrongSize);
                }
                (VecDeque::new(), total, offset, false)
            }
        };
        let key = self.fresh_key();
        let buffered = buffer.iter().map(|b| as_u64(b.len())).sum();
        self.queued += buffered;
        self.message_keys.insert((session.0, message_id.clone()), key);
        self.messages.insert(
            key,
            Outbound {
                session: session.0,
                message_id: message_id.clone(),
                content_type: message.content_type,
                headers,
                success: message.success_report,
                failure: message.failure_report,
                buffer,
                buffered,
                ended,
                first: offset,
                offset,
                total,
                all_sent: false,
                all_written: false,
                unanswered: 0,
                unconfirmed: VecDeque::new(),
                answered: 0,
                reported: RangeSet::default(),
                wants: !ended,
            },
        );
        if ended {
            self.enqueue(session.0, key);
        } else {
            self.event(Event::NeedData { session, message_id: message_id.clone() });
        }
        Ok(message_id)
    }

    /// Gives data to a streamed message; `last` with the end of it, which may come with no data.
    ///
    /// # Errors
    /// If there is no such message, or the data does not fit the size that was announced.
    pub fn feed(
        &mut self,
        now: Instant,
        session: SessionId,
        message_id: &str,
        data: Bytes,
        last: bool,
    ) -> Result<(), UsageError> {
        self.now = Some(now);
        let key = self.key_of(session, message_id)?;
        let message = self.messages.get_mut(&key).ok_or(UsageError::NoSuchMessage)?;
        if message.ended {
            return Err(UsageError::NoSuchMessage);
        }
        let end = message.offset + message.buffered + as_u64(data.len());
        if message.total.is_some_and(|total| end > total || (last && end < total)) {
            return Err(UsageError::WrongSize);
        }
        message.buffered += as_u64(data.len());
        self.queued += as_u64(data.len());
        if !data.is_empty() {
            message.buffer.push_back(data);
        }
        message.ended = last;
        message.wants = !last && message.buffered < FEED;
        let wants = message.wants;
        if last {
            message.total = Some(end);
        }
        if wants {
            self.event(Event::NeedData { session, message_id: message_id.to_owned() });
        }
        let writing = self.chunk.as_ref().is_some_and(|chunk| chunk.key == key && !chunk.aborted);
        if !writing && !self.turn.contains(&key) && !self.waits(key) {
            self.enqueue(session.0, key);
        }
        Ok(())
    }

    /// Gives a message up; the peer is told with `#`. It ends in `Event::NotDelivered`.
    ///
    /// # Errors
    /// If there is no such message under way.
    pub fn abort(&mut self, now: Instant, session: SessionId, message_id: &str) -> Result<(), UsageError> {
        self.now = Some(now);
        let key = self.key_of(session, message_id)?;
        self.not_delivered(key, 408, "aborted");
        Ok(())
    }

    fn key_of(&self, session: SessionId, message_id: &str) -> Result<u64, UsageError> {
        self.message_keys.get(&(session.0, message_id.to_owned())).copied().ok_or(UsageError::NoSuchMessage)
    }

    fn enqueue(&mut self, session: u64, key: u64) {
        match self.sessions.get_mut(&session) {
            // RFC 4975 §5.4: the passive side waits for the request that binds the session.
            Some(session) if !session.active && !session.bound => {
                if !session.waiting.contains(&key) {
                    session.waiting.push(key);
                }
            }
            _ => self.admit(key),
        }
    }

    /// A message takes its turn; of those of several chunks only so many at a time.
    pub(super) fn admit(&mut self, key: u64) {
        let Some(message) = self.messages.get(&key) else { return };
        let Some(session) = self.sessions.get_mut(&message.session) else { return };
        let large = !message.ended || message.buffered > as_u64(session.config.chunk_size.max(1));
        if large && !session.interleaved.contains_key(&key) {
            let size = message.total.unwrap_or(u64::MAX);
            let sum = session.interleaved.values().fold(size, |sum, size| sum.saturating_add(*size));
            let fits = session.interleaved.len() < self.config.max_interleaved
                && sum <= self.config.max_interleaved_size;
            if !session.interleaved.is_empty() && !fits {
                session.later.push_back(key);
                return;
            }
            session.interleaved.insert(key, size);
        }
        self.turn.push_back(key);
    }

    fn waits(&self, key: u64) -> bool {
        let session = self.messages.get(&key).and_then(|message| self.sessions.get(&message.session));
        session.is_some_and(|session| session.later.contains(&key))
    }

    /// A message takes no more turns: who waits for its place has it.
    fn leave(&mut self, session: u64, key: u64) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        if session.interleaved.remove(&key).is_none() {
            return;
        }
        for next in std::mem::take(&mut session.later) {
            self.admit(next);
        }
    }

    /// The next bytes to write, while fewer than the cap are in flight.
    pub(super) fn generate(&mut self) -> Option<Bytes> {
        loop {
            if self.phase != Phase::Up
                || self.handed.saturating_sub(self.written) >= as_u64(self.config.max_in_flight)
            {
                return None;
            }
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece);
            }
            if self.chunk.is_some() {
                self.continue_chunk();
                if self.pieces.is_empty() && self.chunk.is_some() {
                    return None;
                }
                continue;
            }
            if let Some(frame) = self.control.pop_front() {
                self.control_len = self.control_len.saturating_sub(frame.len());
                return Some(frame);
            }
            if self.transactions.len() >= self.config.max_transactions {
                return None;
            }
            let key = self.turn.pop_front()?;
            self.begin_chunk(key);
        }
    }

    fn begin_chunk(&mut self, key: u64) {
        let Some(message) = self.messages.get(&key) else { return };
        let Some(session) = self.sessions.get(&message.session) else { return };
        if message.buffer.is_empty() && !message.ended {
            return;
        }
        let limit = session.config.chunk_size.max(1);
        let small = message.ended && message.buffered <= as_u64(SMALL_CHUNK.min(limit));
        let fixed = limit <= SMALL_CHUNK;
        // RFC 4975 §7.1: the transaction identifier must not stand in the body behind seven hyphens.
        let mut id = self.ids.next_id();
        while message.buffer.iter().take(4).any(|b| {
            memchr::memmem::find(b.get(..b.len().min(limit)).unwrap_or_default(), id.as_bytes()).is_some()
        }) {
            id = self.ids.next_id();
        }
        let length = message.buffered.min(as_u64(limit));
        let range = ByteRange {
            start: message.offset + 1,
            end: (small || fixed).then_some(message.offset + length),
            total: message.total,
        };
        let mut head = BytesMut::with_capacity(512 + as_usize(length).min(SMALL_CHUNK));
        send_head(&mut head, &id, &session.to_path, &session.local_text, &message.message_id, range);
        if message.success {
            head.extend_from_slice(b"Success-Report: yes\r\n");
        }
        if message.failure != FailureReport::Yes {
            head.extend_from_slice(b"Failure-Report: ");
            head.extend_from_slice(message.failure.as_str().as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(message.headers.as_bytes());
        head.extend_from_slice(b"Content-Type: ");
        head.extend_from_slice(message.content_type.as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        self.chunk = Some(OpenChunk { key, id, sent: 0, limit, tail: Vec::new(), aborted: false });
        self.write_slice(head);
    }

    fn continue_chunk(&mut self) {
        let Some(chunk) = &self.chunk else { return };
        if chunk.aborted || !self.messages.contains_key(&chunk.key) {
            self.end_chunk(BytesMut::new(), Flag::Abort);
            return;
        }
        // RFC 4975 §7.1.1: chunks above 2,048 bytes give way to responses, reports and other messages.
        let others = !self.control.is_empty() || !self.turn.is_empty();
        if chunk.sent >= SMALL_CHUNK && others {
            self.end_chunk(BytesMut::new(), Flag::More);
        } else {
            self.write_slice(BytesMut::new());
        }
    }

    /// Writes the next slice of the open chunk behind `out`, and its end-line if that is all.
    fn write_slice(&mut self, mut out: BytesMut) {
        let Some(chunk) = &mut self.chunk else { return };
        let Some(message) = self.messages.get_mut(&chunk.key) else { return };
        let room = chunk.limit.saturating_sub(chunk.sent).min(SLICE);
        let mut slice = Bytes::new();
        if let Some(front) = message.buffer.front_mut() {
            slice = front.split_to(front.len().min(room));
            if front.is_empty() {
                message.buffer.pop_front();
            }
        }
        if chunk.sent > 0 && ends_within(&mut chunk.tail, &slice, &chunk.id) {
            message.buffer.push_front(slice);
            self.end_chunk(out, Flag::More);
            return;
        }
        if chunk.limit > SMALL_CHUNK {
            chunk.tail.extend_from_slice(slice.get(slice.len().saturating_sub(44)..).unwrap_or_default());
            let excess = chunk.tail.len().saturating_sub(44);
            chunk.tail.drain(..excess);
        }
        let len = as_u64(slice.len());
        chunk.sent += slice.len();
        message.offset += len;
        message.buffered -= len;
        self.queued = self.queued.saturating_sub(len);
        let want = !message.ended && !message.wants && message.buffered < FEED / 2;
        if want {
            message.wants = true;
        }
        let done = message.ended && message.buffer.is_empty();
        let starved = message.buffer.is_empty();
        let full = chunk.sent >= chunk.limit;
        let name = want.then(|| (SessionId(message.session), message.message_id.clone()));
        if slice.len() <= SMALL_CHUNK {
            out.extend_from_slice(&slice);
        } else {
            if !out.is_empty() {
                self.pieces.push_back(out.split().freeze());
            }
            self.pieces.push_back(slice);
        }
        if let Some((session, message_id)) = name {
            self.event(Event::NeedData { session, message_id });
        }
        if self.refused && self.queued <= self.config.low_watermark {
            self.refused = false;
            self.event(Event::Writable);
        }
        if done || full || starved {
            self.end_chunk(out, if done { Flag::End } else { Flag::More });
        } else if !out.is_empty() {
            self.pieces.push_back(out.freeze());
        }
    }

    fn end_chunk(&mut self, mut out: BytesMut, flag: Flag) {
        let Some(chunk) = self.chunk.take() else { return };
        out.extend_from_slice(b"\r\n-------");
        out.extend_from_slice(chunk.id.as_bytes());
        out.extend_from_slice(&[flag.byte(), b'\r', b'\n']);
        self.pieces.push_back(out.freeze());
        let Some(message) = self.messages.get_mut(&chunk.key) else { return };
        let end = self.handed + self.pieces.iter().map(|p| as_u64(p.len())).sum::<u64>();
        if message.failure != FailureReport::No {
            let transaction = Transaction::Chunk { key: chunk.key, len: as_u64(chunk.sent) };
            if message.failure == FailureReport::Yes {
                message.unanswered += 1;
                self.transactions.insert(chunk.id.clone(), transaction);
                self.marks.push_back((end, Mark::Transaction(chunk.id)));
            } else {
                // Only errors are answered, so the latest chunks are remembered and none awaited.
                self.transactions.insert(chunk.id.clone(), transaction);
                message.unconfirmed.push_back(chunk.id);
                if message.unconfirmed.len() > UNCONFIRMED
                    && let Some(oldest) = message.unconfirmed.pop_front()
                {
                    self.transactions.remove(&oldest);
                }
            }
        }
        match flag {
            Flag::End => {
                message.all_sent = true;
                self.marks.push_back((end, Mark::Message(chunk.key)));
                let session = message.session;
                self.leave(session, chunk.key);
            }
            Flag::More if !message.buffer.is_empty() || message.ended => self.turn.push_back(chunk.key),
            Flag::More | Flag::Abort => {}
        }
    }

    pub(super) fn confirm_written(&mut self, now: Instant, len: usize) {
        self.written = self.written.saturating_add(as_u64(len)).min(self.handed);
        while self.marks.front().is_some_and(|(at, _)| *at <= self.written) {
            match self.marks.pop_front() {
                Some((_, Mark::Transaction(id))) if self.transactions.contains_key(&id) => {
                    self.response_timers.push_back((now + self.config.response_timeout, id));
                }
                Some((_, Mark::Message(key))) => {
                    if let Some(message) = self.messages.get_mut(&key) {
                        message.all_written = true;
                        if let (true, Some(after)) = (message.success, self.config.report_timeout) {
                            self.report_timers.push_back((now + after, key));
                        }
                    }
                    self.settle(key);
                }
                _ => {}
            }
        }
    }

    /// Timers of what was answered need not wake anyone.
    pub(super) fn forget_answered(&mut self) {
        while self.response_timers.front().is_some_and(|(_, id)| !self.transactions.contains_key(id)) {
            self.response_timers.pop_front();
        }
    }

    /// A response to one of our requests.
    pub(super) fn response(&mut self, id: &str, code: u16, comment: &str) {
        let Some(transaction) = self.transactions.remove(id) else {
            self.counters.unmatched += 1;
            return;
        };
        self.forget_answered();
        match transaction {
            Transaction::Bind(key) if code == 200 => self.bind(key),
            Transaction::Bind(key) => self.end_session(key, code, comment, comment),
            // RFC 4975 §10.5: 481 says that the session is gone.
            Transaction::KeepAlive(key) if code == 481 => self.end_session(key, code, comment, comment),
            Transaction::KeepAlive(_) => {}
            Transaction::Chunk { key, len } if code == 200 => {
                let Some(message) = self.messages.get_mut(&key) else { return };
                message.unanswered = message.unanswered.saturating_sub(1);
                message.answered += len;
                let (confirmed, total) = (message.first + message.answered, message.total);
                // What follows is the outcome, or reports tell the progress better.
                let quiet = if message.success { message.all_sent } else { total == Some(confirmed) };
                let (session, message_id) = (SessionId(message.session), message.message_id.clone());
                let session_key = message.session;
                if !quiet {
                    self.event(Event::Progress { session, message_id, confirmed, total });
                }
                self.bind(session_key);
                self.settle(key);
            }
            Transaction::Chunk { key, .. } => self.not_delivered(key, code, comment),
            Transaction::Nickname { session, nickname } => {
                self.nickname_answered(session, nickname, code, comment);
            }
            // These have their answer from its whole head.
            Transaction::Auth(key) => self.auth_failed(key, code, comment),
        }
    }

    /// A REPORT about a message of ours.
    pub(super) fn report(
        &mut self,
        session: u64,
        message_id: &str,
        code: u16,
        comment: &str,
        range: Option<ByteRange>,
    ) {
        let Some(key) = self.message_keys.get(&(session, message_id.to_owned())).copied() else {
            self.counters.unmatched += 1;
            return;
        };
        // RFC 4975 §7.3.2: as a response with this code.
        if code != 200 {
            self.not_delivered(key, code, comment);
            return;
        }
        let Some(message) = self.messages.get_mut(&key) else { return };
        if !message.success {
            self.counters.unmatched += 1;
            return;
        }
        let (start, end) = match range {
            Some(range) => (range.start - 1, range.end.or(range.total).unwrap_or(message.offset)),
            None => (0, message.offset),
        };
        // Nobody can confirm what was not sent.
        message.reported.insert(start, end.min(message.offset));
        let (confirmed, total) = (message.reported.covered(), message.total);
        if !message.all_sent || total.is_some_and(|total| confirmed < total) {
            let (session, message_id) = (SessionId(session), message_id.to_owned());
            self.event(Event::Progress { session, message_id, confirmed, total });
        }
        self.settle(key);
    }

    pub(super) fn response_timed_out(&mut self, id: &str) {
        match self.transactions.remove(id) {
            Some(Transaction::Chunk { key, .. })
                if self.messages.get(&key).is_some_and(|m| m.failure == FailureReport::Yes) =>
            {
                self.not_delivered(key, 408, "no response");
            }
            Some(Transaction::Bind(key)) => self.end_session(key, 408, "no response", "no response"),
            Some(Transaction::Auth(key)) => self.auth_failed(key, 408, "no response"),
            Some(Transaction::Nickname { session, nickname }) => {
                self.nickname_answered(session, nickname, 408, "no response");
            }
            Some(Transaction::KeepAlive(_)) => {
                self.close(408, "the peer does not answer");
                self.queue.push_back(Output::Disconnect);
            }
            _ => {}
        }
    }

    pub(super) fn report_timed_out(&mut self, key: u64) {
        let Some(message) = self.messages.get(&key) else { return };
        if self.config.trust_responses && message.failure == FailureReport::Yes && message.unanswered == 0 {
            self.delivered(key, Confirmation::Response);
        } else {
            self.not_delivered(key, 408, "no success report");
        }
    }

    /// Reports the message as delivered if nothing more is to be waited for.
    fn settle(&mut self, key: u64) {
        let Some(message) = self.messages.get(&key) else { return };
        if !message.all_sent {
            return;
        }
        let total = message.total.unwrap_or(message.offset);
        if message.success {
            let reported = message.reported.covered() >= total.saturating_sub(message.first);
            if reported && (total > message.first || message.reported_empty()) {
                self.delivered(key, Confirmation::Report);
            }
        } else if message.failure == FailureReport::Yes {
            if message.unanswered == 0 {
                self.delivered(key, Confirmation::Response);
            }
        } else if message.all_written {
            self.delivered(key, Confirmation::Written);
        }
    }

    fn delivered(&mut self, key: u64, confirmation: Confirmation) {
        if let Some((session, message_id)) = self.forget(key) {
            self.event(Event::Delivered { session, message_id, confirmation });
        }
    }

    pub(super) fn not_delivered(&mut self, key: u64, code: u16, reason: &str) {
        let Some(message) = self.messages.get(&key) else { return };
        // RFC 4975 §7.3.2: a message under way is aborted with `#`.
        let begun = message.offset > message.first && !message.all_sent;
        match &mut self.chunk {
            Some(chunk) if chunk.key == key => chunk.aborted = true,
            _ if begun && self.phase == Phase::Up => self.send_abort(key),
            _ => {}
        }
        if let Some((session, message_id)) = self.forget(key) {
            self.event(Event::NotDelivered { session, message_id, code, reason: reason.to_owned() });
        }
    }

    /// The one place where a message stops being under way.
    fn forget(&mut self, key: u64) -> Option<(SessionId, String)> {
        let message = self.messages.remove(&key)?;
        self.message_keys.remove(&(message.session, message.message_id.clone()));
        self.queued = self.queued.saturating_sub(message.buffered);
        if !message.all_sent {
            self.turn.retain(|k| *k != key);
            if let Some(session) = self.sessions.get_mut(&message.session) {
                session.later.retain(|k| *k != key);
            }
            self.leave(message.session, key);
        }
        while self.report_timers.front().is_some_and(|(_, key)| !self.messages.contains_key(key)) {
            self.report_timers.pop_front();
        }
        if message.failure == FailureReport::Partial || message.unanswered > 0 {
            self.transactions.retain(|_, t| !matches!(t, Transaction::Chunk { key: k, .. } if *k == key));
        }
        if self.refused && self.queued <= self.config.low_watermark {
            self.refused = false;
            self.queue.push_back(Output::Event(Event::Writable));
        }
        Some((SessionId(message.session), message.message_id))
    }

    /// An empty SEND: to bind the session (RFC 4975 §5.4) or to keep the connection alive.
    pub(super) fn send_empty(&mut self, key: u64, bind: bool) {
        let (id, message_id) = (self.ids.next_id(), self.ids.next_id());
        let Some(session) = self.sessions.get(&key) else { return };
        let mut out = BytesMut::with_capacity(512);
        let range = ByteRange { start: 1, end: Some(0), total: Some(0) };
        send_head(&mut out, &id, &session.to_path, &session.local_text, &message_id, range);
        crate::wire::write_end_line(&mut out, &id, Flag::End);
        let kind = if bind { Transaction::Bind(key) } else { Transaction::KeepAlive(key) };
        self.transactions.insert(id.clone(), kind);
        if let Some(now) = self.now {
            // Control frames are few and small: their time runs from here.
            self.response_timers.push_back((now + self.config.response_timeout, id));
        }
        self.push_control(out.freeze());
    }

    fn send_abort(&mut self, key: u64) {
        let id = self.ids.next_id();
        let Some(message) = self.messages.get(&key) else { return };
        let Some(session) = self.sessions.get(&message.session) else { return };
        let mut out = BytesMut::with_capacity(512);
        let range = ByteRange { start: message.offset + 1, end: Some(message.offset), total: message.total };
        send_head(&mut out, &id, &session.to_path, &session.local_text, &message.message_id, range);
        out.extend_from_slice(b"Failure-Report: no\r\n");
        crate::wire::write_end_line(&mut out, &id, Flag::Abort);
        self.push_control(out.freeze());
    }

    pub(super) fn push_control(&mut self, frame: Bytes) {
        self.control_len += frame.len();
        self.control.push_back(frame);
        // The peer sends requests and takes no responses.
        if self.control_len > self.config.max_control.saturating_mul(4) {
            self.close(408, "the peer does not read");
            self.queue.push_back(Output::Disconnect);
        }
    }
}

impl Outbound {
    fn reported_empty(&self) -> bool {
        // A success report for no bytes leaves no range; the response says as much.
        self.unanswered == 0
    }
}

/// Whether an end-line would be complete within `slice`, with what went before it.
fn ends_within(tail: &mut Vec<u8>, slice: &[u8], id: &str) -> bool {
    let mut needle = b"-------".to_vec();
    needle.extend_from_slice(id.as_bytes());
    let kept = tail.len();
    tail.extend_from_slice(slice.get(..slice.len().min(44)).unwrap_or_default());
    let across = memchr::memmem::find(tail, &needle).is_some();
    tail.truncate(kept);
    across || memchr::memmem::find(slice, &needle).is_some()
}

fn send_head(out: &mut BytesMut, id: &str, to: &str, from: &str, message_id: &str, range: ByteRange) {
    for part in
        ["MSRP ", id, " SEND\r\nTo-Path: ", to, "\r\nFrom-Path: ", from, "\r\nMessage-ID: ", message_id]
    {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(format!("\r\nByte-Range: {range}\r\n").as_bytes());
}

fn header_lines(headers: &[(String, String)], content_type: &str) -> Result<String, UsageError> {
    let clean = |text: &str| !text.is_empty() && text.bytes().all(|b| b >= 0x20 && b != 0x7F);
    if !clean(content_type) {
        return Err(UsageError::InvalidHeader);
    }
    let mut lines = String::new();
    for (name, value) in headers {
        if !clean(value) || !crate::uri::is_token(name) {
            return Err(UsageError::InvalidHeader);
        }
        for part in [name.as_str(), ": ", value, "\r\n"] {
            lines.push_str(part);
        }
    }
    Ok(lines)
}
