//! What becomes of messages: written, answered, reported, or not.

use std::time::Instant;

use super::{Mark, Transaction};
use crate::connection::{Confirmation, Connection, Event, Output, Phase, SessionId, as_u64};
use crate::wire::{ByteRange, FailureReport};

impl Connection {
    pub(in crate::connection) fn confirm_written(&mut self, now: Instant, len: usize) {
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
    pub(in crate::connection) fn forget_answered(&mut self) {
        while self.response_timers.front().is_some_and(|(_, id)| !self.transactions.contains_key(id)) {
            self.response_timers.pop_front();
        }
    }

    /// A response to one of our requests.
    pub(in crate::connection) fn response(&mut self, id: &str, code: u16, comment: &str) {
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
    pub(in crate::connection) fn report(
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

    pub(in crate::connection) fn response_timed_out(&mut self, id: &str) {
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

    pub(in crate::connection) fn report_timed_out(&mut self, key: u64) {
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

    pub(in crate::connection) fn not_delivered(&mut self, key: u64, code: u16, reason: &str) {
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
}
