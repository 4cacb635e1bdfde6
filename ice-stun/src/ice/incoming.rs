//! Checks that come in (RFC 8445 §7.3).

use std::net::SocketAddr;
use std::time::Instant;

use super::agent::{Agent, Early, Local, Own, Remote};
use super::candidate::{Candidate, CandidateKind, TcpType, Transport};
use super::config::{Path, Role, is_forbidden};
use super::pair::PairState;
use crate::stun::{
    Builder, Class, ErrorCode, IceControlled, IceControlling, Integrity, Kind, Message, Method, Priority,
    UnknownAttributes, UseCandidate, Username, XorMappedAddress,
};

/// What must be understood in a check and is.
const KNOWN: [Kind; 5] = [
    Kind::USERNAME,
    Kind::MESSAGE_INTEGRITY,
    Kind::MESSAGE_INTEGRITY_SHA256,
    Kind::PRIORITY,
    Kind::USE_CANDIDATE,
];

impl Agent {
    pub(super) fn on_datagram(&mut self, now: Instant, path: Path, data: &[u8]) {
        let message = match Message::parse(data) {
            Ok(message) if message.method() == Method::BINDING && message.fingerprint() != Some(false) => {
                message
            }
            _ => {
                self.stats.ignored += 1;
                return;
            }
        };
        match message.class() {
            Class::Request => self.on_request(now, path, &message),
            Class::Success | Class::Error => self.on_response(now, path, &message),
            // RFC 8445 §11: it keeps bindings of NATs alive, that is all.
            Class::Indication => {}
        }
    }

    fn on_request(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        let Some(local) = self.locals.iter().find(|local| local.is_at(&path)).cloned() else {
            self.stats.ignored += 1;
            return;
        };
        // RFC 8445 §7.1.4: checks have a FINGERPRINT.
        if message.fingerprint().is_none() || is_forbidden(path.remote, self.config.loopback) {
            self.stats.ignored += 1;
            return;
        }
        let username = match message.get::<Username<'_>>() {
            Some(Ok(Username(name))) if message.integrity().is_some() => name,
            _ => return self.refuse(path, message, 400),
        };
        let (ours, theirs) = username.split_once(':').unwrap_or((username, ""));
        let is_current = self.credentials().ufrag() == ours;
        let previous = self.previous.as_ref().filter(|own| own.credentials.ufrag() == ours);
        let own = if is_current { Some(&self.generation.own) } else { previous };
        let Some(own) = own.filter(|own| message.verify(&own.key)).cloned() else {
            return self.refuse(path, message, 401);
        };
        if message.unknown_required(&KNOWN).next().is_some() {
            let unknown: Vec<Kind> = message.unknown_required(&KNOWN).take(16).collect();
            return self.answer(path, message, &own, 420, |answer| {
                answer.attribute(&UnknownAttributes(unknown.into_iter().collect()))
            });
        }
        let priority = match message.get::<Priority>() {
            Some(Ok(Priority(priority))) => Some(priority),
            Some(Err(_)) => return self.answer(path, message, &own, 400, Ok),
            None => None,
        };
        if is_current && !self.settle_roles(message) {
            return self.answer(path, message, &own, 487, Ok);
        }
        self.answer(path, message, &own, 0, |answer| answer.attribute(&XorMappedAddress(path.remote)));
        let Some(priority) = priority.filter(|_| is_current && !self.generation.dead) else { return };
        let nominates = message.get::<UseCandidate>().is_some();
        match &self.generation.peer {
            Some(peer) if peer.parameters.credentials.ufrag() == theirs => {
                self.learn(now, path, &local, priority, nominates);
            }
            // A generation of the peer that is over, or not announced yet.
            Some(_) => {}
            None => self.remember_early(Early { path, ufrag: theirs.to_owned(), priority, nominates }),
        }
    }

    /// RFC 8445 §7.3.1.1; false: the other end is to change.
    fn settle_roles(&mut self, message: &Message<'_>) -> bool {
        let theirs = match self.role {
            Role::Controlling => message.get::<IceControlling>().map(|value| value.map(|it| it.0)),
            Role::Controlled => message.get::<IceControlled>().map(|value| value.map(|it| it.0)),
        };
        let Some(Ok(theirs)) = theirs else { return true };
        self.stats.role_conflicts += 1;
        let we_control = self.tie_breaker >= theirs;
        let switch = we_control != (self.role == Role::Controlling);
        // A lite agent stays as it is. Whoever makes us switch without end is answered, no more.
        if switch && !self.config.lite && self.may_switch_role() {
            self.set_role(self.role.other());
        }
        switch
    }

    /// Refuses who has not shown credentials, never with more bytes than came.
    fn refuse(&mut self, path: Path, message: &Message<'_>, code: u16) {
        self.stats.unauthenticated += 1;
        let answer = Builder::answer(message, Class::Error)
            .attribute(&ErrorCode { code, reason: "" })
            .map(|answer| answer.finish_with(None, true));
        if let Some(bytes) = answer.ok().filter(|bytes| bytes.len() <= message.as_bytes().len()) {
            self.stats.responses_sent += 1;
            self.transmit(path, bytes);
        }
    }

    /// Answers who has; `code` 0 is success.
    fn answer(
        &mut self,
        path: Path,
        message: &Message<'_>,
        own: &Own,
        code: u16,
        with: impl FnOnce(Builder) -> Result<Builder, crate::UsageError>,
    ) {
        let class = if code == 0 { Class::Success } else { Class::Error };
        let mut answer = Builder::answer(message, class);
        if code != 0 {
            answer = answer
                .attribute(&ErrorCode { code, reason: "" })
                .expect("the codes used here are between 300 and 699");
        }
        let answer = with(answer).expect("addresses and a few types fit");
        // RFC 8489 §9.1.4: with the hash of the request.
        let hash = if message.has_integrity(Integrity::Sha256) { Integrity::Sha256 } else { Integrity::Sha1 };
        let bytes = answer.finish_as(Some((&own.key, hash)), true);
        self.stats.responses_sent += 1;
        self.transmit(path, bytes);
    }

    fn remember_early(&mut self, early: Early) {
        let list = &mut self.generation.early;
        if let Some(same) = list.iter_mut().find(|old| old.path == early.path && old.ufrag == early.ufrag) {
            same.nominates |= early.nominates;
        } else if list.len() < self.config.max_early_checks {
            list.push(early);
        } else {
            self.stats.early_left_out += 1;
        }
    }

    /// The remote parameters are there: early checks count now.
    pub(super) fn replay_early(&mut self, now: Instant) {
        for early in std::mem::take(&mut self.generation.early) {
            let known = self
                .generation
                .peer
                .as_ref()
                .is_some_and(|peer| peer.parameters.credentials.ufrag() == early.ufrag);
            let local = self.locals.iter().find(|local| local.is_at(&early.path)).cloned();
            if let Some(local) = local.filter(|_| known) {
                self.learn(now, early.path, &local, early.priority, early.nominates);
            }
        }
    }

    /// What a check of the peer teaches (RFC 8445 §7.3.1.3 to §7.3.1.5).
    fn learn(&mut self, now: Instant, path: Path, local: &Local, priority: u32, nominates: bool) {
        let settled = self.generation.list.of(path.component).any(|pair| pair.nominated);
        let counts = nominates && self.role == Role::Controlled;
        if settled && !counts {
            return;
        }
        let id = match self.generation.list.find(path) {
            Some(pair) => pair.id,
            None => {
                let Some(remote) = self.reflexive(path, local, priority) else { return };
                let Some(id) = self.add_pair(now, path, local, &remote) else { return };
                id
            }
        };
        let (lite, controlled) = (self.config.lite, self.role == Role::Controlled);
        let Some(pair) = self.generation.list.get(id) else { return };
        pair.connected |= path.tcp;
        pair.heard = true;
        pair.peer_nominates |= counts;
        if lite {
            // RFC 8445 §7.3.2: what arrives is what works.
            pair.state = PairState::Succeeded;
            pair.valid = local.candidate.socket_address();
        }
        match pair.state {
            PairState::Succeeded => pair.nominated |= pair.peer_nominates && controlled,
            PairState::InProgress if path.tcp => {}
            PairState::InProgress => self.generation.list.trigger(id),
            PairState::Frozen | PairState::Waiting | PairState::Failed => {
                pair.state = PairState::Waiting;
                self.generation.list.trigger(id);
            }
        }
    }

    /// The remote candidate of that path, a new peer-reflexive one if need be (RFC 8445 §7.3.1.3).
    fn reflexive(&mut self, path: Path, local: &Local, priority: u32) -> Option<Remote> {
        let same = |remote: &&Remote| {
            remote.address == path.remote
                && remote.candidate.component() == path.component
                && remote.candidate.transport().is_tcp() == path.tcp
        };
        if let Some(known) = self.generation.remotes.iter().find(same) {
            return Some(known.clone());
        }
        let learnt = |remote: &&Remote| remote.candidate.kind() == CandidateKind::PeerReflexive;
        if self.generation.remotes.iter().filter(learnt).count() >= self.config.max_peer_reflexive {
            self.stats.peer_reflexive_left_out += 1;
            return None;
        }
        let transport = match local.candidate.transport() {
            Transport::Udp => Transport::Udp,
            Transport::Tcp(TcpType::Passive) => Transport::Tcp(TcpType::Active),
            Transport::Tcp(TcpType::Active) => Transport::Tcp(TcpType::Passive),
            Transport::Tcp(TcpType::SimultaneousOpen) => Transport::Tcp(TcpType::SimultaneousOpen),
        };
        let candidate =
            Candidate::peer_reflexive(path.component, transport, path.remote, path.remote, priority);
        let remote = Remote { candidate, address: path.remote };
        self.generation.remotes.push(remote.clone());
        Some(remote)
    }

    /// Our own, as the peer sees us.
    pub(super) fn remember_reflexive(&mut self, candidate: Candidate, base: SocketAddr) {
        self.locals.push(Local::reflexive(candidate, base));
    }
}
