//! Chunks (RFC 4975 §5.1): of each message in turn, as the connection takes them.

use bytes::{Bytes, BytesMut};

use super::{FEED, Mark, OpenChunk, SLICE, Transaction, UNCONFIRMED, send_head};
use crate::chunk::SMALL_CHUNK;
use crate::connection::{Connection, Event, Phase, SessionId, as_u64, as_usize};
use crate::wire::{ByteRange, FailureReport, Flag};

impl Connection {
    /// The next bytes to write, while fewer than the cap are in flight.
    pub(in crate::connection) fn generate(&mut self) -> Option<Bytes> {
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
