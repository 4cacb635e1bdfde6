//! What a relay takes for one connection and gives to another: RFC 4976 §6.4.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::{ConnectionId, Kind, Relay, RelayOutput};
use crate::chunk::SMALL_CHUNK;
use crate::uri::MsrpUri;
use crate::wire::{ByteRange, FailureReport, Flag, Head, HeaderName, Method, write_end_line};

#[derive(Debug)]
pub(super) struct Forward {
    pub(super) to: ConnectionId,
    pub(super) to_path: String,
    pub(super) from_path: String,
    /// Our URI in the request.
    pub(super) ours: String,
    /// Position of the first byte in the buffer, from one.
    pub(super) start: u64,
    pub(super) total: Option<u64>,
    pub(super) buffer: BytesMut,
    pub(super) has_body: bool,
    pub(super) parts: u64,
}

/// A request that was forwarded and awaits its response.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) connection: ConnectionId,
    pub(super) to: ConnectionId,
    /// Where a report of failure goes; `None` where none is wanted.
    pub(super) report: Option<(String, String)>,
    pub(super) message_id: String,
    pub(super) range: ByteRange,
    /// Where the response itself goes, to requests whose responses go all the way.
    pub(super) reply: Option<Reply>,
}

/// How a response to AUTH or NICKNAME finds back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) transaction: String,
    pub(super) to_path: String,
    pub(super) ours: String,
}

impl Relay {
    /// RFC 4976 §6.4: takes our URI off the To-Path, puts it on the From-Path, and finds the next hop.
    pub(super) fn route(&mut self, id: ConnectionId, head: &Head) -> Result<Forward, u16> {
        let mut to = head.path(HeaderName::ToPath).map_err(|_| 400_u16)?;
        let mut from = head.path(HeaderName::FromPath).map_err(|_| 400_u16)?;
        let range = head.byte_range().map_err(|_| 400_u16)?;
        let ours = to.first().map(ToString::to_string).unwrap_or_default();
        // Who stands behind the request as it goes from one of our URIs to the next.
        let mut arrived = id;
        let next = loop {
            if to.len() < 2 {
                return Err(self.refused(481));
            }
            let own = to.remove(0);
            let grant = own.session_id.as_deref().and_then(|session| self.grants.get(session));
            let grant =
                grant.filter(|_| self.is_ours(&own)).map(|grant| (grant.connection, grant.client.clone()));
            let Some((connection, client)) = grant else { return Err(self.refused(481)) };
            from.insert(0, own);
            let Some(hop) = to.first() else { return Err(self.refused(481)) };
            if arrived != connection {
                // To the client: nobody else is behind its URI.
                match hop.matches(&client) {
                    true => break connection,
                    false => return Err(self.refused(481)),
                }
            }
            if !self.is_ours(hop) {
                let hop = hop.clone();
                break self.hop(&hop).ok_or(408_u16)?;
            }
            // From one client of ours to another.
            arrived = ConnectionId::MAX;
        };
        if self.pending.len() >= self.config.max_transactions {
            self.counters.over_cap += 1;
            return Err(408);
        }
        Ok(Forward {
            to: next,
            to_path: MsrpUri::print_path(&to),
            from_path: MsrpUri::print_path(&from),
            ours,
            start: range.map_or(1, |range| range.start),
            total: range.and_then(|range| range.total),
            buffer: BytesMut::new(),
            has_body: false,
            parts: 0,
        })
    }

    /// The connection to a hop, which is asked for where there is none.
    fn hop(&mut self, uri: &MsrpUri) -> Option<ConnectionId> {
        let key = (uri.host.to_ascii_lowercase(), uri.port.unwrap_or(2855), uri.secure);
        if let Some(id) = self.hops.get(&key) {
            return Some(*id);
        }
        if self.peers.len() >= self.config.max_connections {
            self.counters.over_cap += 1;
            return None;
        }
        self.next += 1;
        let (id, peer) = (self.next, self.peer(Some(VecDeque::new())));
        self.peers.insert(id, peer);
        self.hops.insert(key, id);
        self.queue.push_back(RelayOutput::Connect(id, uri.clone()));
        Some(id)
    }

    pub(super) fn body(&mut self, now: Instant, id: ConnectionId, slice: &[u8]) {
        let Some(mut request) = self.peers.get_mut(&id).and_then(|peer| peer.request.take()) else { return };
        if let Kind::Forward(forward) = &mut request.kind {
            forward.has_body = true;
            forward.buffer.extend_from_slice(slice);
            while forward.buffer.len() > SMALL_CHUNK {
                let part = forward.buffer.split_to(SMALL_CHUNK);
                self.forward(now, id, &request.head, forward, &part, Flag::More);
            }
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.request = Some(request);
        }
    }

    /// One chunk to the next hop, with a transaction of our own.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        from: ConnectionId,
        head: &Head,
        forward: &mut Forward,
        part: &[u8],
        flag: Flag,
    ) {
        let mut id = self.ids.next_id();
        while memchr::memmem::find(part, id.as_bytes()).is_some() {
            id = self.ids.next_id();
        }
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let end = forward.start.saturating_add(length).saturating_sub(1);
        let range = ByteRange { start: forward.start, end: Some(end), total: forward.total };
        let report = head.method() == Some(Method::Report);
        let mut out = BytesMut::with_capacity(512 + part.len());
        let method = head.method().unwrap_or(Method::Other).as_str();
        for text in [
            "MSRP ",
            &id,
            " ",
            method,
            "\r\nTo-Path: ",
            &forward.to_path,
            "\r\nFrom-Path: ",
            &forward.from_path,
        ] {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        for (name, value) in head.headers() {
            let is = |known: HeaderName| name.eq_ignore_ascii_case(known.as_str());
            if is(HeaderName::ToPath) || is(HeaderName::FromPath) {
                continue;
            }
            // Of a report the range is what it is about.
            let line = match is(HeaderName::ByteRange) && head.method() == Some(Method::Send) {
                true => format!("{name}: {range}\r\n"),
                false => format!("{name}: {value}\r\n"),
            };
            out.extend_from_slice(line.as_bytes());
        }
        if forward.has_body {
            for bytes in [b"\r\n", part, b"\r\n"] {
                out.extend_from_slice(bytes);
            }
        }
        write_end_line(&mut out, &id, flag);
        forward.start = forward.start.saturating_add(length);
        forward.parts += 1;
        let failure = head.failure_report();
        // RFC 4976 §6.4.1: who gets 200 from us hears by a report what becomes of it.
        let replied = matches!(head.method(), Some(Method::Auth | Method::Nickname));
        let wanted = !report && (replied || failure != FailureReport::No);
        let pending = Pending {
            reply: replied.then(|| Reply {
                transaction: head.transaction_id().to_owned(),
                to_path: head.get(HeaderName::FromPath).unwrap_or_default().to_owned(),
                ours: forward.ours.clone(),
            }),
            connection: from,
            to: forward.to,
            report: wanted.then(|| {
                (head.get(HeaderName::FromPath).unwrap_or_default().to_owned(), forward.ours.clone())
            }),
            message_id: head.message_id().unwrap_or_default().to_owned(),
            range,
        };
        if !self.write(forward.to, out.freeze()) {
            self.failed(&pending, 408);
        } else if replied || (wanted && failure == FailureReport::Yes) {
            self.timers.push_back((now + self.config.response_timeout, id.clone()));
            self.pending.insert(id, pending);
        }
    }

    pub(super) fn response(&mut self, from: ConnectionId, head: &Head, code: u16, comment: &str) {
        let id = head.transaction_id();
        // Only who was asked may answer.
        let Some(pending) = self.pending.get(id).filter(|pending| pending.to == from) else { return };
        let connection = pending.connection;
        let Some(pending) = self.pending.remove(id) else { return };
        while self.timers.front().is_some_and(|(_, id)| !self.pending.contains_key(id)) {
            self.timers.pop_front();
        }
        if let Some(reply) = &pending.reply {
            let own = |name: &str| {
                [HeaderName::ToPath, HeaderName::FromPath]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known.as_str()))
            };
            let fields: Vec<(&str, &str)> = head.headers().filter(|(name, _)| !own(name)).collect();
            let path = head.get(HeaderName::FromPath).unwrap_or_default();
            self.reply(connection, reply, path, code, comment, &fields);
        } else if code != 200 {
            self.failed(&pending, code);
        }
    }

    /// A response on its way back: our URI is the first that it comes from.
    fn reply(
        &mut self,
        to: ConnectionId,
        reply: &Reply,
        path: &str,
        code: u16,
        comment: &str,
        fields: &[(&str, &str)],
    ) {
        let Reply { transaction, to_path, ours } = reply;
        let mut out = BytesMut::with_capacity(512);
        let start = format!("MSRP {transaction} {code:03} {comment}");
        let from = format!("{ours} {path}");
        for part in [start.trim_end(), "\r\nTo-Path: ", to_path, "\r\nFrom-Path: ", from.trim_end(), "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in fields {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        write_end_line(&mut out, transaction, Flag::End);
        if code == 200 {
            self.proven(to);
        }
        self.write(to, out.freeze());
    }

    /// Nothing came of what we took.
    pub(super) fn failed(&mut self, pending: &Pending, code: u16) {
        match &pending.reply {
            Some(reply) => self.reply(pending.connection, reply, "", code, "", &[]),
            None => self.report(pending, code),
        }
    }

    /// Tells the sender that what we took for it was not taken from us.
    fn report(&mut self, pending: &Pending, code: u16) {
        let Some((to, ours)) = &pending.report else { return };
        let id = self.ids.next_id();
        let mut out = BytesMut::with_capacity(512);
        for part in ["MSRP ", &id, " REPORT\r\nTo-Path: ", to, "\r\nFrom-Path: ", ours, "\r\nMessage-ID: "] {
            out.extend_from_slice(part.as_bytes());
        }
        let rest =
            format!("{}\r\nByte-Range: {}\r\nStatus: 000 {code:03}\r\n", pending.message_id, pending.range);
        out.extend_from_slice(rest.as_bytes());
        write_end_line(&mut out, &id, Flag::End);
        self.write(pending.connection, out.freeze());
    }
}
