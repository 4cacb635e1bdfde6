//! What we send: messages cut into chunks, in turn, until their outcome is known.
//!
//! ```text
//!  send --> queued --chunks--> all handed out --written--> [responses?] --> [reports?] --> Delivered
//!              |                   |                           |               |
//!              +-------------------+---------------------------+---------------+--> NotDelivered
//! ```

mod chunks;
mod outcome;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Connection, Event, Output, Phase, SessionId, as_u64};
use crate::chunk::RangeSet;
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
