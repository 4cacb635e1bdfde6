//! Checks that go out and the responses to them (RFC 8445 §7.2).

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::Rng;

use super::agent::{Agent, slot};
use super::candidate::{Candidate, CandidateKind};
use super::config::{Event, Output, Path, Role, Transmit};
use super::pair::{Check, PairState};
use crate::stun::{
    Builder, Class, Due, ErrorCode, IceControlled, IceControlling, Integrity, Key, Message, Method, Priority,
    Timing, Transaction, TransactionId, UseCandidate, Username, Verdict, XorMappedAddress,
};

/// Peer-reflexive candidates of ours that are remembered, beyond those that were given.
const MAX_OWN_REFLEXIVE: usize = 8;
/// Where the path is believed to work, a check is sent this often before it begins anew instead of
/// backing off for up to 16 seconds...
const PROMISING_REQUESTS: u32 = 2;
/// ...and begins anew this often: for as long as RFC 8489 §6.2.1 would wait.
const MAX_RENEWALS: u32 = 38;

/// What a check says.
pub(super) struct Binding<'a> {
    pub(super) username: &'a str,
    pub(super) key: &'a Key,
    pub(super) priority: u32,
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) nominates: bool,
}

impl Binding<'_> {
    /// RFC 8445 §7.1.
    pub(super) fn request(&self, id: TransactionId) -> Vec<u8> {
        const FITS: &str = "fragments are bounded where they are set";
        let mut request = Builder::new(Class::Request, Method::BINDING, id)
            .attribute(&Username(self.username))
            .and_then(|request| request.attribute(&Priority(self.priority)))
            .and_then(|request| match self.role {
                Role::Controlling => request.attribute(&IceControlling(self.tie_breaker)),
                Role::Controlled => request.attribute(&IceControlled(self.tie_breaker)),
            })
            .expect(FITS);
        if self.nominates {
            request = request.attribute(&UseCandidate).expect(FITS);
        }
        request.finish_with(Some(self.key), true)
    }
}

impl Agent {
    pub(super) fn transaction_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.random.fill_bytes(&mut id);
        id
    }

    pub(super) fn transmit(&mut self, path: Path, data: Vec<u8>) {
        let relayed = self
            .locals
            .iter()
            .any(|local| local.is_at(&path) && local.candidate.kind() == CandidateKind::Relayed);
        self.queue.push_back(Output::Transmit(Transmit { path, relayed, data }));
    }

    /// Whether checks may go out at all.
    pub(super) fn can_check(&self) -> bool {
        self.generation.peer.is_some() && !self.config.lite && !self.generation.dead
    }

    /// Starts the check that is next, one in each Ta (RFC 8445 §6.1.4.2).
    pub(super) fn pace(&mut self, now: Instant) {
        if !self.can_check() || self.next_check.is_some_and(|at| now < at) {
            return;
        }
        while let Some(id) = self.generation.list.next() {
            self.generation.list.triggered.retain(|queued| *queued != id);
            let Some(pair) = self.generation.list.get(id) else { continue };
            // A triggered check whose pair has succeeded meanwhile.
            if pair.state == PairState::Succeeded && !pair.to_nominate {
                continue;
            }
            self.next_check = Some(now + self.config.pacing);
            self.start_check(now, id);
            return;
        }
    }

    pub(super) fn start_check(&mut self, now: Instant, id: u32) {
        let transaction_id = self.transaction_id();
        // RFC 8445 §14.3.
        let rto = self.config.rto.max(self.config.pacing.saturating_mul(self.generation.list.busy()));
        let (role, tie_breaker) = (self.role, self.tie_breaker);
        let generation = &mut self.generation;
        let (Some(peer), Some(pair)) = (&generation.peer, generation.list.get(id)) else { return };
        if pair.state != PairState::Succeeded {
            pair.state = PairState::InProgress;
        }
        if pair.path.tcp && !pair.connected {
            let path = pair.path;
            self.queue.push_back(Output::Connect(path));
            return;
        }
        pair.cancel_check(now + rto.saturating_mul(4));
        let nominates = role == Role::Controlling && pair.to_nominate;
        let request = Binding {
            username: &peer.username,
            key: &peer.key,
            priority: pair.reflexive_priority,
            role,
            tie_breaker,
            nominates,
        }
        .request(transaction_id);
        let timing = if pair.is_promising() && !pair.path.tcp {
            Timing { rto, requests: PROMISING_REQUESTS, last_wait: 1, ..Timing::default() }
        } else {
            Timing { rto, ..Timing::default() }
        };
        let key = Some((peer.key.clone(), Integrity::Sha1));
        let transaction = Transaction::new(now, request, key, pair.path.tcp, timing);
        pair.checked.get_or_insert(now);
        pair.check = Some(Check { transaction, nominates, role, started: now });
        self.repeat_check(now, id);
    }

    /// Sends again what is due, and gives up what has waited long enough.
    pub(super) fn repeat_checks(&mut self, now: Instant) {
        let ids: Vec<u32> = self.generation.list.pairs.iter().map(|pair| pair.id).collect();
        for id in ids {
            if let Some(pair) = self.generation.list.get(id) {
                pair.cancelled.retain(|check| now < check.transaction.deadline());
            }
            self.repeat_check(now, id);
        }
    }

    fn repeat_check(&mut self, now: Instant, id: u32) {
        let Some(pair) = self.generation.list.get(id) else { return };
        let path = pair.path;
        let renew = pair.is_promising() && !path.tcp && pair.renewed < MAX_RENEWALS;
        let Some(check) = &mut pair.check else { return };
        match check.transaction.handle_timeout(now) {
            Due::Nothing => {}
            Due::Send(bytes) => {
                let data = bytes.to_vec();
                self.stats.requests_sent += 1;
                self.transmit(path, data);
            }
            Due::TimedOut { .. } if renew => {
                pair.renewed += 1;
                pair.check = None;
                if pair.state != PairState::Succeeded {
                    pair.state = PairState::Waiting;
                }
                self.generation.list.trigger(id);
            }
            Due::TimedOut { .. } => {
                pair.fail();
                self.nomination_failed(id);
            }
        }
    }

    pub(super) fn on_response(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        if self.consent_answered(now, path, message) {
            return;
        }
        let id = message.transaction_id();
        let found = self.generation.list.pairs.iter_mut().find_map(|pair| {
            let verdict = pair.check_with(&id)?.transaction.judge(message);
            Some((pair.id, verdict))
        });
        match found {
            None | Some((_, Verdict::Unrelated)) => self.stats.unexpected_responses += 1,
            Some((_, Verdict::Discarded | Verdict::Violated)) => self.stats.unauthenticated += 1,
            Some((pair, Verdict::Response)) => self.on_own_response(now, pair, path, message),
        }
    }

    fn on_own_response(&mut self, now: Instant, id: u32, path: Path, message: &Message<'_>) {
        let transaction_id = message.transaction_id();
        let Some(pair) = self.generation.list.get(id) else { return };
        let is_it = |check: &Check| check.transaction.id() == transaction_id;
        let check = match pair.check.take_if(|check| is_it(check)) {
            Some(check) => check,
            None => match pair.cancelled.iter().position(is_it) {
                Some(at) => pair.cancelled.remove(at),
                None => return,
            },
        };
        // RFC 8445 §7.2.5.2.1: it must come back the way the request went.
        let symmetric = path == pair.path;
        if symmetric && message.class() == Class::Error {
            let code = message.get::<ErrorCode<'_>>().and_then(Result::ok).map(|error| error.code);
            self.on_error(id, &check, code);
            return;
        }
        let mapped = message.get::<XorMappedAddress>().and_then(Result::ok);
        let (true, Some(XorMappedAddress(mapped))) = (symmetric, mapped) else {
            pair.fail();
            self.nomination_failed(id);
            return;
        };
        pair.state = PairState::Succeeded;
        if pair.valid.replace(mapped).is_none() {
            pair.round_trip = now.saturating_duration_since(check.started);
        }
        if pair.check.as_ref().is_some_and(|other| !other.nominates) {
            pair.check = None;
        }
        pair.cancelled.clear();
        pair.nominated |= match self.role {
            Role::Controlling => check.nominates,
            Role::Controlled => pair.peer_nominates,
        };
        if pair.nominated {
            pair.to_nominate = false;
            pair.check = None;
        }
        let (foundation, component) = (pair.foundation, pair.path.component);
        self.generation.list.unfreeze(foundation);
        if let Some(first) = slot(component).and_then(|slot| self.generation.first_valid.get_mut(slot)) {
            first.get_or_insert(now);
        }
        self.discover(path, mapped);
    }

    fn on_error(&mut self, id: u32, check: &Check, code: Option<u16>) {
        if code != Some(487) {
            if let Some(pair) = self.generation.list.get(id) {
                pair.fail();
            }
            self.nomination_failed(id);
            return;
        }
        // RFC 8445 §7.2.5.1. Who claims conflicts without end gets no checks any more.
        self.stats.role_conflicts += 1;
        let allowed = self.role != check.role || self.may_switch_role();
        if allowed && self.role == check.role {
            self.set_role(check.role.other());
            self.tie_breaker = self.random.next_u64();
        }
        let Some(pair) = self.generation.list.get(id) else { return };
        if allowed && pair.state != PairState::Succeeded {
            pair.state = PairState::Waiting;
            self.generation.list.trigger(id);
        } else if !allowed {
            pair.fail();
            self.nomination_failed(id);
        }
    }

    /// Counts a switch of roles; false if there were too many.
    pub(super) fn may_switch_role(&mut self) -> bool {
        let switches = &mut self.generation.role_switches;
        *switches = switches.saturating_add(1);
        *switches <= self.config.max_role_switches
    }

    /// RFC 8445 §7.2.5.3.1: an address of ours that only the peer sees.
    fn discover(&mut self, path: Path, mapped: SocketAddr) {
        let known = |component, tcp| {
            self.locals.iter().any(|local| {
                local.candidate.component() == component
                    && local.candidate.transport().is_tcp() == tcp
                    && local.candidate.socket_address() == Some(mapped)
            })
        };
        // The port of an active connection is never that of its candidate.
        if path.tcp || known(path.component, path.tcp) {
            return;
        }
        let reflexive =
            self.locals.iter().filter(|local| local.candidate.kind() == CandidateKind::PeerReflexive).count();
        let Some(local) = self.locals.iter().find(|local| local.is_at(&path)) else { return };
        if reflexive >= MAX_OWN_REFLEXIVE {
            self.stats.peer_reflexive_left_out += 1;
            return;
        }
        let candidate = Candidate::peer_reflexive(
            path.component,
            local.candidate.transport(),
            mapped,
            path.base,
            local.reflexive_priority(),
        );
        self.remember_reflexive(candidate.clone(), path.base);
        self.queue.push_back(Output::Event(Event::PeerReflexive(candidate)));
    }
}
