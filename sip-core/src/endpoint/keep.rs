//! Flows that are kept alive, and noticed when they die (RFC 5626 §4.4, RFC 6223).
//!
//! On streams a double CRLF is sent, and answered by those who know it. On UDP a registrar that knows
//! outbound is asked by STUN (RFC 5626 §4.4.2): silence, an error or another address that we are seen
//! at end the flow. Others get a double CRLF there, which keeps the binding of a NAT and which nobody
//! answers: such a dead registrar is found by the next request.

use super::{
    Endpoint, Event, FlowId, FlowPath, Output, Owner, RequestId, Subscription, Target, Transport,
    client::Path,
    stun::{self, Check},
};
use crate::{Request, header::Contact};
use bytes::Bytes;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long the answer to a ping may take (RFC 5626 §4.4.1).
const PONG: Duration = Duration::from_secs(10);
/// How often at most.
const SHORTEST: Duration = Duration::from_secs(1);

/// How a flow is to be kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long the flow may be silent.
    pub every: Duration,
    /// Whether the peer is known to answer pings.
    pub answers: bool,
    /// Whether the flow is that of an outbound registration (RFC 5626).
    pub outbound: bool,
}

/// A flow that somebody wants to be kept.
#[derive(Debug)]
pub(crate) struct Kept {
    path: FlowPath,
    every: Duration,
    /// The peer answers pings: it said so, or has done it.
    answers: bool,
    /// The registrar knows outbound: calls say `ob` (RFC 5626 §4.3).
    outbound: bool,
    /// When the answer to the last ping is overdue.
    overdue: Option<Instant>,
    /// A Binding request that waits for its answer.
    check: Option<Check>,
    /// Where the peer saw us last.
    mapped: Option<SocketAddr>,
    users: u32,
}

impl Kept {
    /// STUN is only sent to who says that it knows outbound (RFC 5626 §8).
    fn takes_stun(&self) -> bool {
        self.path.flow.is_none() && self.outbound && self.answers
    }
}

impl Endpoint {
    /// Keeps a flow alive until [`Self::release`], by pings about as often as `keep` says. Where the
    /// peer answers them, or it has done so once, silence of ten seconds ends the flow:
    /// [`Event::FlowFailed`]. The end of a connection that is kept is told in any case. Among the
    /// servers of a domain, the one at the other end of a kept flow comes first.
    pub fn keep_alive(&mut self, now: Instant, path: FlowPath, keep: KeepAlive) {
        if path.flow.is_some_and(|id| self.flows.get(id).is_none()) {
            let reason = "the connection was closed".to_owned();
            self.outputs.push_back(Output::Event(Event::FlowFailed { path, reason }));
            return;
        }
        let every = keep.every.max(SHORTEST);
        let known = self.kept.iter_mut().find(|(_, kept)| kept.path == path);
        if let Some((_, kept)) = known {
            kept.every = kept.every.min(every);
            kept.answers |= keep.answers;
            kept.outbound |= keep.outbound;
            kept.users += 1;
            return;
        }
        self.next_id += 1;
        let id = self.next_id;
        let kept = Kept {
            path,
            every,
            answers: keep.answers,
            outbound: keep.outbound,
            overdue: None,
            check: None,
            mapped: None,
            users: 1,
        };
        self.kept.insert(id, kept);
        self.arm_kept(now, id);
    }

    /// One that wanted a flow kept does not need it any more.
    pub fn release(&mut self, path: FlowPath) {
        let Some((&id, kept)) = self.kept.iter_mut().find(|(_, kept)| kept.path == path) else { return };
        kept.users -= 1;
        if kept.users == 0 {
            self.kept.remove(&id);
            self.timers.set(Owner::Kept(id), None);
        }
    }

    pub(crate) fn kept_timeout(&mut self, now: Instant, id: u64) {
        let random = [self.random_u64(), self.random_u64()];
        let Some(kept) = self.kept.get_mut(&id) else { return };
        let path = kept.path;
        if kept.takes_stun() {
            let check = kept.check.get_or_insert_with(|| Check::new(now, random));
            match check.handle_timeout(now) {
                Ok(Some(data)) => {
                    let (local, remote) = (path.local, path.target.addr);
                    self.outputs.push_back(Output::Transmit { local, remote, data });
                    self.arm_kept(now, id);
                }
                Ok(None) => self.arm_kept(now, id),
                Err(()) => self.kept_failed(id, "keep-alives are not answered"),
            }
            return;
        }
        if kept.overdue.is_some_and(|at| at <= now) {
            let reason = "keep-alives are not answered";
            if let Some(flow) = path.flow {
                self.outputs.push_back(Output::Disconnect { flow });
                self.flow_lost(now, flow, reason);
            }
            return;
        }
        let data = Bytes::from_static(b"\r\n\r\n");
        match path.flow {
            Some(flow) => {
                if kept.answers && kept.overdue.is_none() {
                    kept.overdue = Some(now + PONG);
                }
                self.write(now, flow, data);
            }
            None => {
                let (local, remote) = (path.local, path.target.addr);
                self.outputs.push_back(Output::Transmit { local, remote, data });
            }
        }
        self.arm_kept(now, id);
    }

    /// A peer answered a ping.
    pub(crate) fn pong(&mut self, flow: FlowId) {
        if let Some(kept) = self.kept.values_mut().find(|kept| kept.path.flow == Some(flow)) {
            kept.answers = true;
            kept.overdue = None;
        }
    }

    /// A connection is gone: whoever wanted it kept is told.
    pub(crate) fn kept_lost(&mut self, flow: FlowId, reason: &str) {
        let found = self.kept.iter().find(|(_, kept)| kept.path.flow == Some(flow));
        if let Some((&id, _)) = found {
            self.kept_failed(id, reason);
        }
    }

    fn kept_failed(&mut self, id: u64, reason: &str) {
        let Some(Kept { path, .. }) = self.kept.remove(&id) else { return };
        self.timers.set(Owner::Kept(id), None);
        self.outputs.push_back(Output::Event(Event::FlowFailed { path, reason: reason.to_owned() }));
    }

    /// A datagram that is STUN came: perhaps the answer to a check (RFC 5626 §4.4.2).
    pub(crate) fn stun_received(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
        let found = self.kept.iter_mut().find_map(|(id, kept)| {
            let ours = kept.path.local == local && kept.path.target.addr == remote;
            let answer = kept.check.as_ref().filter(|_| ours)?.answer(data)?;
            Some((*id, kept, answer))
        });
        let Some((id, kept, answer)) = found else {
            self.stats.dropped += 1;
            return;
        };
        match answer {
            stun::Answer::Refused => self.kept_failed(id, "a keep-alive was refused"),
            stun::Answer::Mapped(Some(mapped)) if kept.mapped.is_some_and(|known| known != mapped) => {
                self.kept_failed(id, "the address that we are seen at is another one");
            }
            stun::Answer::Mapped(mapped) => {
                kept.check = None;
                kept.mapped = kept.mapped.or(mapped);
                self.arm_kept(now, id);
            }
        }
    }

    /// The next ping: between 80 % and all of the time later (RFC 5626 §4.4.1).
    fn arm_kept(&mut self, now: Instant, id: u64) {
        let chance = u32::try_from(self.random_u64() % 21).unwrap_or(0);
        let Some(kept) = self.kept.get(&id) else { return };
        let ping = now + kept.every * (80 + chance) / 100;
        let next = match (&kept.check, kept.overdue) {
            (Some(check), _) => check.deadline().unwrap_or(now),
            (None, overdue) => overdue.map_or(ping, |at| at.min(ping)),
        };
        self.timers.set(Owner::Kept(id), Some(next));
    }

    /// Whether a flow is kept to that target.
    pub(crate) fn is_kept(&self, target: Target) -> bool {
        self.kept.values().any(|kept| kept.path.target == target)
    }

    /// Whether requests from there belong to an outbound registration.
    pub(crate) fn is_outbound(&self, target: Target) -> bool {
        self.kept.values().any(|kept| kept.outbound && kept.path.target == target)
    }

    /// A SUBSCRIBE left: it is noted how.
    pub(crate) fn subscribed_over(&mut self, id: Subscription, path: Path) {
        let path = self.flow_path(path);
        if let Some(usage) = self.subscriptions.get_mut(&id) {
            usage.path = path;
        }
    }

    /// A REGISTER or PUBLISH left: its user is told how.
    pub(crate) fn registered_over(&mut self, id: RequestId, path: Path, request: Option<&Request>) {
        let Some(path) = self.flow_path(path) else { return };
        let contact = request.and_then(Request::header::<Contact>).and_then(|c| c.uri().cloned());
        self.outputs.push_back(Output::Event(Event::RegisterSent { id, path, contact }));
    }

    fn flow_path(&self, path: Path) -> Option<FlowPath> {
        Some(match path {
            Path::Udp { local, remote } => {
                FlowPath { target: Target { addr: remote, transport: Transport::Udp }, local, flow: None }
            }
            Path::Stream(id) => {
                let flow = self.flows.get(id)?;
                let target = Target { addr: flow.remote, transport: flow.transport };
                FlowPath { target, local: flow.local()?, flow: Some(id) }
            }
        })
    }
}
