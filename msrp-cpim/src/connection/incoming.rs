//! What we receive: requests matched to sessions by their path, messages put together, answers.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::session::{Partial, Receive, Sink};
use super::{Connection, Event, Output, SessionId, as_u64};
use crate::chunk::{RangeSet, Reassembler};
use crate::error::UsageError;
use crate::uri::MsrpUri;
use crate::wire::{FailureReport, Flag, Head, HeaderName, Method, Piece, Start, write_end_line};

/// The request that is arriving.
#[derive(Debug)]
pub(super) struct Request {
    head: Head,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Nothing to be done with its body, and nothing to be answered.
    Ignored,
    /// To be answered with this when it has arrived.
    Refused(u16),
    /// A SEND without body.
    Empty(u64),
    /// A chunk of a message.
    Chunk { session: u64, message_id: String, next: u64, total: Option<u64> },
    /// A chunk of a message that is over: its code.
    Over { session: u64, message_id: String, code: u16, next: u64 },
}

impl Connection {
    pub(super) fn receive(&mut self, data: &[u8]) {
        let mut input = data;
        // The decoder lends what it gives, so it stands beside the machine meanwhile.
        let limits = self.config.limits;
        let mut decoder = std::mem::replace(&mut self.decoder, crate::wire::Decoder::new(limits));
        while self.phase != super::Phase::Closed {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Head(head))) => self.begin(head),
                Ok(Some(Piece::Body(slice))) => self.body(slice),
                Ok(Some(Piece::End(flag))) => self.end(flag),
                Err(error) => {
                    self.event(Event::ProtocolError(error));
                    self.close(400, "not MSRP");
                    self.queue.push_back(Output::Disconnect);
                }
            }
        }
        self.decoder = decoder;
    }

    fn begin(&mut self, head: Head) {
        let kind = match head.start() {
            Start::Response(..) if self.auth_response(&head) => Kind::Ignored,
            Start::Response(code, comment) => {
                let (id, comment) = (head.transaction_id().to_owned(), comment.to_owned());
                self.response(&id, code, &comment);
                Kind::Ignored
            }
            Start::Request(Method::Report, _) => {
                self.begin_report(&head);
                Kind::Ignored
            }
            Start::Request(Method::Send, _) => self.begin_send(&head).unwrap_or_else(Kind::Refused),
            // RFC 4975 §10.9: a method we do not understand.
            Start::Request(..) => Kind::Refused(501),
        };
        self.request = Some(Request { head, kind });
    }

    /// The session of a request: RFC 4975 §7.3, by the exact path.
    fn route(&mut self, head: &Head) -> Result<u64, u16> {
        let to = head.get(HeaderName::ToPath).ok_or(400_u16)?;
        let from = head.get(HeaderName::FromPath).ok_or(400_u16)?;
        let key = match self.sessions.iter().find(|(_, s)| s.local_text == to) {
            Some((key, _)) => *key,
            None => {
                let to = MsrpUri::parse_path(to).map_err(|_| 400_u16)?;
                // More URIs than ours would make us a relay.
                let [uri] = to.as_slice() else { return Err(self.wrong_path(481)) };
                match self.sessions.iter().find(|(_, s)| s.local.matches(uri)) {
                    Some((key, _)) => *key,
                    None if self.elsewhere.iter().any(|e| e.matches(uri)) => return Err(self.wrong_path(506)),
                    None => return Err(self.wrong_path(481)),
                }
            }
        };
        let session = self.sessions.get(&key).ok_or(481_u16)?;
        let last = from.rsplit([' ', '\t']).next().unwrap_or_default();
        if last != session.remote_text {
            let from = MsrpUri::parse_path(from).map_err(|_| 400_u16)?;
            // RFC 4976 §6.4.1: a relay on the way reports what it could not forward.
            let reports = head.method() == Some(Method::Report);
            let known = |uri: &MsrpUri| uri.matches(&session.remote) || (reports && session.on_the_way(uri));
            if !from.last().is_some_and(known) {
                return Err(self.wrong_path(481));
            }
        }
        Ok(key)
    }

    fn wrong_path(&mut self, code: u16) -> u16 {
        self.counters.wrong_path += 1;
        code
    }

    fn begin_report(&mut self, head: &Head) {
        // RFC 4975 §7.1.2: REPORT requests are never answered.
        let Ok(key) = self.route(head) else { return };
        let (Some(message_id), Ok(status)) = (head.message_id(), head.status()) else {
            self.counters.malformed += 1;
            return;
        };
        if status.namespace != 0 {
            return;
        }
        let range = head.byte_range().ok().flatten();
        // That all has arrived only the other end can tell.
        let from_end = self.sessions.get(&key).is_some_and(|session| {
            let from = head.path(HeaderName::FromPath).unwrap_or_default();
            from.last().is_some_and(|uri| uri.matches(&session.remote))
        });
        if status.code == 200 && !from_end {
            self.counters.wrong_path += 1;
            return;
        }
        let comment = status.comment.unwrap_or_default();
        self.report(key, message_id, status.code, &comment, range);
    }

    fn begin_send(&mut self, head: &Head) -> Result<Kind, u16> {
        let key = self.route(head)?;
        let range = head.byte_range().map_err(|_| 400_u16)?;
        self.bind(key);
        let touched = self.now;
        let session = self.sessions.get_mut(&key).ok_or(481_u16)?;
        let Some(content_type) = head.content_type() else { return Ok(Kind::Empty(key)) };
        let message_id = head.message_id().ok_or(400_u16)?;
        if message_id.is_empty() || message_id.len() > 128 {
            return Err(400);
        }
        let next = range.map_or(0, |r| r.start - 1);
        if let Some(code) = session.memory.over.get(message_id) {
            self.counters.duplicates += 1;
            let message_id = message_id.to_owned();
            return Ok(Kind::Over { session: key, message_id, code: *code, next });
        }
        let total = range.and_then(|r| r.total);
        if total.is_some_and(|total| total > session.config.max_size) {
            self.counters.too_large += 1;
            self.refuse(key, message_id, 413);
            return Err(413);
        }
        if !session.accepts(content_type) {
            self.refuse(key, message_id, 415);
            return Err(415);
        }
        if !session.partials.contains_key(message_id) {
            if session.partials.len() >= session.config.max_partial {
                self.counters.too_many_partial += 1;
                return Err(413);
            }
            let sink = match session.config.receive {
                Receive::Whole => {
                    Sink::Whole(Reassembler::new(session.config.max_size, session.config.max_fragments))
                }
                Receive::Streamed => Sink::Streamed { seen: RangeSet::default(), total: None },
            };
            session.partials.insert(
                message_id.to_owned(),
                Partial { content_type: content_type.to_owned(), sink, touched },
            );
            if let (None, Some(now), Some(after)) = (self.partials_due, touched, self.config.partial_timeout)
            {
                self.partials_due = Some(now + after);
            }
        }
        Ok(Kind::Chunk { session: key, message_id: message_id.to_owned(), next, total })
    }

    /// Gives up an incoming message; its further chunks get the same code.
    fn refuse(&mut self, key: u64, message_id: &str, code: u16) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let begun = session.finish(message_id, code).is_some();
        if begun {
            self.event(Event::IncomingAborted { session: SessionId(key), message_id: message_id.to_owned() });
        }
    }

    fn body(&mut self, slice: &[u8]) {
        let Some(request) = &mut self.request else { return };
        match &mut request.kind {
            Kind::Over { next, .. } => *next = next.saturating_add(as_u64(slice.len())),
            Kind::Chunk { session, message_id, next, total } => {
                let (key, at) = (*session, *next);
                *next = next.saturating_add(as_u64(slice.len()));
                let end = *next;
                let Some(session) = self.sessions.get_mut(&key) else {
                    request.kind = Kind::Refused(481);
                    return;
                };
                let max_size = session.config.max_size;
                let max_fragments = session.config.max_fragments;
                let Some(partial) = session.partials.get_mut(message_id.as_str()) else { return };
                partial.touched = self.now;
                let mut event = None;
                let taken = match &mut partial.sink {
                    Sink::Whole(whole) => {
                        let before = whole.received();
                        let result = whole.insert(at, slice);
                        session.buffered += whole.received() - before;
                        // The cap holds for all incomplete messages of the session together.
                        result.is_ok() && session.buffered <= max_size
                    }
                    Sink::Streamed { seen, total: size } => {
                        seen.insert(at, end);
                        let fits = end <= size.unwrap_or(max_size) && seen.fragments() <= max_fragments;
                        if fits {
                            event = Some(Event::Data {
                                session: SessionId(key),
                                message_id: message_id.clone(),
                                offset: at,
                                data: Bytes::copy_from_slice(slice),
                                total: *total,
                                content_type: partial.content_type.clone(),
                            });
                        }
                        fits
                    }
                };
                if taken {
                    if let Some(event) = event {
                        self.event(event);
                    }
                } else {
                    let message_id = std::mem::take(message_id);
                    request.kind = Kind::Refused(413);
                    self.counters.too_large += 1;
                    self.refuse(key, &message_id, 413);
                }
            }
            Kind::Ignored | Kind::Refused(_) | Kind::Empty(_) => {}
        }
    }

    fn end(&mut self, flag: Flag) {
        let Some(Request { head, kind }) = self.request.take() else { return };
        let code = match kind {
            Kind::Ignored => return,
            Kind::Refused(code) => code,
            Kind::Empty(session) => {
                if let (Flag::Abort, Some(message_id)) = (flag, head.message_id()) {
                    self.aborted(session, message_id);
                }
                200
            }
            Kind::Over { session, message_id, code, next } => {
                let held =
                    self.sessions.get(&session).is_some_and(|s| s.unconfirmed.contains_key(&message_id));
                if code == 200 && flag == Flag::End && !held {
                    // The report may have been lost with the connection.
                    self.send_report(session, &head, &message_id, next);
                }
                code
            }
            Kind::Chunk { session, message_id, next, .. } => match flag {
                Flag::Abort => {
                    self.aborted(session, &message_id);
                    200
                }
                Flag::More | Flag::End => self.chunk_ended(session, &message_id, next, flag, &head),
            },
        };
        self.respond(&head, code);
    }

    /// Gives up incomplete messages of which nothing has arrived for long.
    pub(super) fn give_up_stalled(&mut self, now: Instant) {
        let Some(after) = self.config.partial_timeout else { return };
        let mut stalled = Vec::new();
        let mut due = None;
        for (key, session) in &self.sessions {
            for (message_id, partial) in &session.partials {
                match partial.touched.map(|at| at + after) {
                    Some(at) if at > now => due = Some(due.map_or(at, |due: Instant| due.min(at))),
                    _ => stalled.push((*key, message_id.clone())),
                }
            }
        }
        self.partials_due = due;
        for (key, message_id) in stalled {
            self.counters.stalled += 1;
            self.refuse(key, &message_id, 413);
        }
    }

    fn aborted(&mut self, key: u64, message_id: &str) {
        let known = self.sessions.get(&key).is_some_and(|s| s.partials.contains_key(message_id));
        if known {
            self.refuse(key, message_id, 408);
        }
    }

    fn chunk_ended(&mut self, key: u64, message_id: &str, end: u64, flag: Flag, head: &Head) -> u16 {
        let Some(session) = self.sessions.get_mut(&key) else { return 481 };
        let max_size = session.config.max_size;
        let over = session.memory.over.get(message_id).copied();
        let Some(partial) = session.partials.get_mut(message_id) else { return over.unwrap_or(200) };
        let (fits, complete) = match &mut partial.sink {
            Sink::Whole(whole) => {
                let fits = flag != Flag::End || whole.set_total(end).is_ok();
                (fits, whole.is_complete())
            }
            Sink::Streamed { seen, total } => {
                if flag == Flag::End {
                    *total = Some(end);
                }
                let fits = total.is_none_or(|t| seen.end() <= t) && end <= max_size;
                (fits, total.is_some_and(|t| seen.is_complete(t)))
            }
        };
        if !fits {
            self.counters.too_large += 1;
            self.refuse(key, message_id, 413);
            return 413;
        }
        if !complete {
            return 200;
        }
        let Some(partial) = session.finish(message_id, 200) else { return 200 };
        let (id, name) = (SessionId(key), message_id.to_owned());
        let total = match partial.sink {
            Sink::Whole(whole) => {
                let body = whole.into_bytes();
                let total = as_u64(body.len());
                if !wrapped_type_accepted(session, &partial.content_type, &body) {
                    session.memory.over.insert(name, 415);
                    return 415;
                }
                self.event(Event::Message {
                    session: id,
                    message_id: name,
                    content_type: partial.content_type,
                    body,
                    head: Box::new(head.clone()),
                });
                total
            }
            Sink::Streamed { total, .. } => {
                let total = total.unwrap_or(end);
                let held = session.config.confirm;
                if held {
                    session.hold_report(message_id, head, total);
                }
                self.event(Event::DataEnd { session: id, message_id: name, total });
                if held {
                    return 200;
                }
                total
            }
        };
        self.send_report(key, head, message_id, total);
        200
    }

    /// Says of a whole message that the application has it, with 200, or that it is of no use: RFC 4975
    /// §7.1.2. Only in sessions with [`super::SessionConfig::confirm`].
    ///
    /// # Errors
    /// If no such message waits for it.
    pub fn confirm(
        &mut self,
        now: Instant,
        session: SessionId,
        message_id: &str,
        code: u16,
    ) -> Result<(), UsageError> {
        self.now = Some(now);
        let known = self.sessions.get_mut(&session.0).ok_or(UsageError::NoSuchSession)?;
        let held = known.unconfirmed.remove(message_id).ok_or(UsageError::NoSuchMessage)?;
        if let Some(over) = known.memory.over.get_mut(message_id) {
            // What is repeated gets the same answer.
            *over = code;
        }
        if if code == 200 { held.success } else { held.failure } {
            self.report_to(session.0, &held.to, message_id, held.total, code);
        }
        Ok(())
    }

    /// A success report for the whole message, if it was asked for: RFC 4975 §7.1.3.
    fn send_report(&mut self, key: u64, head: &Head, message_id: &str, total: u64) {
        if head.success_report() {
            let to = head.get(HeaderName::FromPath).unwrap_or_default();
            self.report_to(key, to, message_id, total, 200);
        }
    }

    fn report_to(&mut self, key: u64, to: &str, message_id: &str, total: u64, code: u16) {
        let Some(session) = self.sessions.get(&key) else { return };
        let id = self.ids.next_id();
        let mut out = BytesMut::with_capacity(512);
        for part in ["MSRP ", &id, " REPORT\r\nTo-Path: ", to, "\r\nFrom-Path: ", &session.local_text] {
            out.extend_from_slice(part.as_bytes());
        }
        let rest = format!(
            "\r\nMessage-ID: {message_id}\r\nByte-Range: 1-{total}/{total}\r\nStatus: 000 {code:03} {}\r\n",
            phrase(code)
        );
        out.extend_from_slice(rest.as_bytes());
        write_end_line(&mut out, &id, Flag::End);
        self.push_control(out.freeze());
    }

    /// RFC 4975 §7.2: whether a response is wanted depends on Failure-Report.
    fn respond(&mut self, head: &Head, code: u16) {
        if code == 400 {
            self.counters.malformed += 1;
        }
        let wanted = match head.failure_report() {
            FailureReport::Yes => true,
            FailureReport::Partial => code != 200,
            FailureReport::No => false,
        };
        let (Some(to), Some(from)) = (head.get(HeaderName::FromPath), head.get(HeaderName::ToPath)) else {
            return;
        };
        if !wanted {
            return;
        }
        let first = |path: &str| path.split([' ', '\t']).next().unwrap_or_default().to_owned();
        // Responses to SEND go hop by hop, those to other requests along the whole path.
        let to = if head.method() == Some(Method::Send) { first(to) } else { to.to_owned() };
        let mut out = BytesMut::with_capacity(384);
        let (id, code_text) = (head.transaction_id(), code.to_string());
        for part in ["MSRP ", id, " ", &code_text, " ", phrase(code), "\r\nTo-Path: ", &to, "\r\nFrom-Path: "]
        {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(first(from).as_bytes());
        out.extend_from_slice(b"\r\n");
        write_end_line(&mut out, id, Flag::End);
        self.push_control(out.freeze());
    }
}

fn wrapped_type_accepted(session: &super::Session, content_type: &str, body: &Bytes) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("message/cpim") {
        return true;
    }
    match crate::cpim::Message::parse(body) {
        Ok(message) => message.content_type().is_none_or(|inner| session.accepts_wrapped(inner)),
        // What is no CPIM is for the application to judge.
        Err(_) => true,
    }
}

/// The comments of RFC 4975 §10 and RFC 4976 §7.
fn phrase(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        413 => "Message Too Large",
        415 => "Unsupported Media Type",
        423 => "Parameter Out Of Bounds",
        481 => "Session Does Not Exist",
        501 => "Unknown Method",
        506 => "Session In Use",
        _ => "Error",
    }
}
