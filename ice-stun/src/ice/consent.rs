//! Where media goes and whether the peer still wants it (RFC 7675).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use super::agent::{Agent, Peer};
use super::config::{Config, Path, SelectedPair};
use super::outgoing::Binding;
use crate::stun::{Class, ErrorCode, Key, Message, TransactionId};

/// Checks that a response is awaited for: more than fit into the time that consent lasts.
const MAX_OUTSTANDING: usize = 10;

/// A pair that media uses, and its consent.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) pair: SelectedPair,
    /// Of before a restart.
    pub(super) is_old: bool,
    /// No answer for a while.
    pub(super) silent: bool,
    username: String,
    key: Key,
    priority: u32,
    /// The last time the peer answered.
    granted: Instant,
    next: Instant,
    outstanding: VecDeque<TransactionId>,
}

impl Selected {
    pub(super) fn new(now: Instant, pair: SelectedPair, peer: &Peer, priority: u32, wait: Duration) -> Self {
        Self {
            pair,
            is_old: false,
            silent: false,
            username: peer.username.clone(),
            key: peer.key.clone(),
            priority,
            granted: now,
            next: now + wait,
            outstanding: VecDeque::new(),
        }
    }

    /// RFC 7675 §5.1: 0.8 to 1.2 of the interval.
    pub(super) fn interval(random: &mut ChaCha20Rng, config: &Config) -> Duration {
        config.consent_interval.saturating_mul(800 + random.next_u32() % 401) / 1_000
    }

    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        if config.lite {
            return None;
        }
        let silence = self.granted + config.disconnected_after;
        let lost = self.granted + config.consent_timeout;
        Some(self.next.min(lost).min(if self.silent { lost } else { silence }))
    }
}

impl Agent {
    /// Asks for consent where that is due and takes note where it was lost.
    pub(super) fn keep_consent(&mut self, now: Instant) {
        if self.config.lite {
            return;
        }
        let config = self.config;
        if self.selected.iter().flatten().any(|it| now >= it.granted + config.consent_timeout) {
            self.lose_consent(|selected| now >= selected.granted + config.consent_timeout);
        }
        for at in 0..self.selected.len() {
            let (id, wait) = (self.transaction_id(), Selected::interval(&mut self.random, &config));
            let (role, tie_breaker) = (self.role, self.tie_breaker);
            let Some(Some(selected)) = self.selected.get_mut(at) else { continue };
            selected.silent |= now >= selected.granted + config.disconnected_after;
            if now < selected.next {
                continue;
            }
            selected.next = now + wait;
            if selected.outstanding.len() >= MAX_OUTSTANDING {
                selected.outstanding.pop_front();
            }
            selected.outstanding.push_back(id);
            let (username, key, priority) = (&selected.username, &selected.key, selected.priority);
            let request =
                Binding { username, key, priority, role, tie_breaker, nominates: false }.request(id);
            let path = selected.pair.path;
            self.stats.requests_sent += 1;
            self.transmit(path, request);
        }
    }

    /// Whether that was a response to a consent check.
    pub(super) fn consent_answered(&mut self, now: Instant, path: Path, message: &Message<'_>) -> bool {
        let id = message.transaction_id();
        let found =
            self.selected.iter_mut().flatten().find_map(|selected| {
                Some((selected.outstanding.iter().position(|old| *old == id)?, selected))
            });
        let Some((at, selected)) = found else { return false };
        if selected.pair.path != path || !message.verify(&selected.key) {
            self.stats.unauthenticated += 1;
            return true;
        }
        selected.outstanding.remove(at);
        let code = message.get::<ErrorCode<'_>>().and_then(Result::ok).map(|error| error.code);
        match (message.class(), code) {
            (Class::Success, _) => {
                selected.granted = now;
                selected.silent = false;
            }
            // RFC 7675 §5.2: withdrawn.
            (_, Some(403)) => self.lose_consent(|selected| selected.pair.path == path),
            _ => {}
        }
        true
    }

    fn lose_consent(&mut self, lost: impl Fn(&Selected) -> bool) {
        self.generation.dead |= self.selected.iter().flatten().any(|it| lost(it) && !it.is_old);
        self.drop_selected(lost);
        if self.generation.dead {
            self.generation.list.retain(|_| false);
        }
    }
}
