//! Which pair is used, and what all of that amounts to (RFC 8445 §8).

use std::time::Instant;

use super::agent::{Agent, slot};
use super::candidate::CandidateKind;
use super::config::{Output, Role, SelectedPair, State};
use super::consent::Selected;
use super::pair::{Pair, PairState};

impl Agent {
    /// Chooses, nominates and tells.
    pub(super) fn judge(&mut self, now: Instant) {
        for component in 1..=self.config.components {
            self.select_best(now, component);
            if self.nomination_due(component).is_some_and(|at| at <= now) {
                self.nominate(now, component);
            }
        }
        if self.failure_deadline().is_some_and(|at| at <= now) {
            self.generation.failed = true;
        }
        self.set_state(self.judged_state());
    }

    fn judged_state(&self) -> State {
        let all = |test: &dyn Fn(&Selected) -> bool| {
            (1..=self.config.components)
                .all(|component| self.selected_at(component).is_some_and(|it| !it.is_old && test(it)))
        };
        if self.generation.dead {
            State::Failed
        } else if all(&|_| true) {
            if !all(&|selected| !selected.silent) {
                State::Disconnected
            } else if all(&|selected| selected.pair.nominated) {
                State::Completed
            } else {
                State::Connected
            }
        } else if self.generation.failed {
            State::Failed
        } else if self.generation.peer.is_none() && self.selected.iter().all(Option::is_none) {
            State::New
        } else {
            State::Checking
        }
    }

    fn best_valid(&self, component: u16) -> Option<&Pair> {
        let valid = |pair: &&Pair| pair.valid.is_some();
        self.generation.list.of(component).filter(valid).max_by_key(|pair| (pair.nominated, pair.priority))
    }

    /// Moves media to the best pair there is; away from a pair of before a restart only for a
    /// nominated one (RFC 8445 §12.1.1).
    fn select_best(&mut self, now: Instant, component: u16) {
        let Some(best) = self.best_valid(component) else { return };
        let (Some(mapped), Some(peer)) = (best.valid, &self.generation.peer) else { return };
        let mut pair = SelectedPair {
            path: best.path,
            relayed: best.local_kind == CandidateKind::Relayed,
            local_address: mapped,
            local_kind: best.local_kind,
            remote_kind: best.remote_kind,
            nominated: best.nominated,
        };
        let as_seen = self
            .locals
            .iter()
            .find(|local| local.is_at(&best.path) && local.candidate.socket_address() == Some(mapped));
        if let Some(local) = as_seen {
            pair.local_kind = local.candidate.kind();
        }
        let reflexive_priority = best.reflexive_priority;
        let Some(place) = slot(component).and_then(|slot| self.selected.get_mut(slot)) else { return };
        let mut newly_nominated = pair.nominated;
        match place {
            Some(old) if !old.is_old && old.pair.path == pair.path => {
                newly_nominated = pair.nominated && !old.pair.nominated;
                if !newly_nominated {
                    return;
                }
                old.pair = pair;
            }
            Some(old) if old.is_old && !pair.nominated => return,
            _ => {
                let wait = Selected::interval(&mut self.random, &self.config);
                *place = Some(Selected::new(now, pair, peer, reflexive_priority, wait));
            }
        }
        self.queue.push_back(Output::Event(super::Event::Selected(pair)));
        if newly_nominated {
            self.end_checks(now, component);
        }
    }

    /// RFC 8445 §8.1.1: a component that has its pair needs no other checks. Of a peer that may
    /// nominate aggressively, better pairs are still awaited.
    fn end_checks(&mut self, now: Instant, component: u16) {
        let until = now + self.config.rto.saturating_mul(4);
        let chosen = self.best_valid(component).map_or(0, |pair| pair.priority);
        let aggressive = self.role == Role::Controlled
            && self.generation.peer.as_ref().is_some_and(|peer| !peer.parameters.options.ice2);
        let mut closed = Vec::new();
        self.generation.list.retain(|pair| {
            let keep = pair.path.component != component
                || pair.nominated
                || matches!(pair.state, PairState::Succeeded | PairState::InProgress);
            if !keep && pair.connected {
                closed.push(Output::Disconnect(pair.path));
            }
            keep
        });
        self.queue.extend(closed);
        for pair in &mut self.generation.list.pairs {
            if pair.path.component != component || pair.nominated {
                continue;
            }
            pair.to_nominate = false;
            if !(aggressive && pair.priority > chosen) {
                pair.cancel_check(until);
                if pair.state == PairState::InProgress {
                    pair.state = PairState::Failed;
                }
            }
        }
        let pairs = &self.generation.list.pairs;
        self.generation.list.triggered.retain(|id| {
            pairs.iter().any(|pair| pair.id == *id && (pair.path.component != component || pair.is_pending()))
        });
        if let Some(nominating) = slot(component).and_then(|slot| self.generation.nominating.get_mut(slot)) {
            *nominating = None;
        }
    }

    /// When the best pair of a component is to be nominated, if it is on us to do so.
    fn nomination_due(&self, component: u16) -> Option<Instant> {
        let slot = slot(component)?;
        if self.role != Role::Controlling || !self.can_check() {
            return None;
        }
        if self.generation.nominating.get(slot).is_none_or(Option::is_some) {
            return None;
        }
        let best = self.best_valid(component).filter(|pair| !pair.nominated)?;
        let first = (*self.generation.first_valid.get(slot)?)?;
        let complete = self.generation.local_done && self.generation.remote_done;
        let direct = best.local_kind == CandidateKind::Host && best.remote_kind == CandidateKind::Host;
        let last = first
            + match best.is_relayed() {
                true => self.config.relay_patience,
                false => self.config.direct_patience,
            };
        if !(complete || direct) {
            return Some(last);
        }
        // A better path that takes longer than this one, there and back, is none.
        let fair = |pair: &Pair| match pair.checked {
            Some(at) if !best.is_relayed() => last.min(at + best.round_trip),
            _ => last,
        };
        let better =
            self.generation.list.of(component).filter(|it| it.is_pending() && it.priority > best.priority);
        Some(better.map(fair).max().map_or(first, |until| until.max(first)))
    }

    pub(super) fn nomination_deadline(&self) -> Option<Instant> {
        (1..=self.config.components).filter_map(|component| self.nomination_due(component)).min()
    }

    fn nominate(&mut self, now: Instant, component: u16) {
        let Some(id) = self.best_valid(component).map(|pair| pair.id) else { return };
        if let Some(nominating) = slot(component).and_then(|slot| self.generation.nominating.get_mut(slot)) {
            *nominating = Some(id);
        }
        if let Some(pair) = self.generation.list.get(id) {
            pair.to_nominate = true;
        }
        self.generation.list.triggered.retain(|queued| *queued != id);
        // RFC 8445 §14.2: it goes over a path that works, and takes the place of the check that is next.
        self.next_check = Some(self.next_check.map_or(now, |at| at.max(now)) + self.config.pacing);
        self.start_check(now, id);
    }

    /// The pair has failed: another one may be nominated.
    pub(super) fn nomination_failed(&mut self, id: u32) {
        for nominating in &mut self.generation.nominating {
            if *nominating == Some(id) {
                *nominating = None;
            }
        }
    }

    /// When nothing works and nothing can be hoped for any more (RFC 8863 §4).
    pub(super) fn failure_deadline(&self) -> Option<Instant> {
        let generation = &self.generation;
        if generation.failed || !self.can_check() {
            return None;
        }
        let hopeless = (1..=self.config.components).any(|component| {
            !generation.list.of(component).any(|pair| pair.valid.is_some() || pair.is_pending())
        });
        // Candidates that were announced and never came are waited for twice as long.
        let complete = generation.local_done && generation.remote_done;
        let patience = self.config.failure_patience.saturating_mul(if complete { 1 } else { 2 });
        hopeless.then_some(generation.started? + patience)
    }
}
