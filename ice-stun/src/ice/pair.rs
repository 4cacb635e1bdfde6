//! Pairs of candidates and the list of their checks (RFC 8445 §6.1.2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::candidate::CandidateKind;
use super::config::{Path, Role};
use crate::stun::{Transaction, TransactionId};

/// RFC 8445 §6.1.2.6.
///
/// ```text
///   Frozen --> Waiting --> InProgress --+--> Succeeded
///                 ^            |        |
///                 +- triggered-+        +--> Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairState {
    Frozen,
    Waiting,
    InProgress,
    Succeeded,
    Failed,
}

/// A check on its way.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) transaction: Transaction,
    /// It carries USE-CANDIDATE.
    pub(super) nominates: bool,
    /// What it said we are.
    pub(super) role: Role,
    /// When it was sent first.
    pub(super) started: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) id: u32,
    pub(super) path: Path,
    pub(super) local_kind: CandidateKind,
    pub(super) remote_kind: CandidateKind,
    pub(super) local_priority: u32,
    pub(super) remote_priority: u32,
    /// What a peer-reflexive candidate of this base would have.
    pub(super) reflexive_priority: u32,
    /// Both foundations.
    pub(super) foundation: u64,
    pub(super) priority: u64,
    pub(super) state: PairState,
    pub(super) check: Option<Check>,
    /// Checks that are no longer repeated; their responses still count (RFC 8445 §7.3.1.4).
    pub(super) cancelled: SmallVec<[Check; 2]>,
    /// When it was checked first.
    pub(super) checked: Option<Instant>,
    /// A check has succeeded; this is what the peer saw.
    pub(super) valid: Option<std::net::SocketAddr>,
    /// How long that took, there and back.
    pub(super) round_trip: Duration,
    /// The next check carries USE-CANDIDATE.
    pub(super) to_nominate: bool,
    /// The peer has sent USE-CANDIDATE.
    pub(super) peer_nominates: bool,
    /// Chosen for good.
    pub(super) nominated: bool,
    /// The peer's checks arrive: what is lost is lost by chance.
    pub(super) heard: bool,
    /// Checks begun anew because of that.
    pub(super) renewed: u32,
    /// TCP: there is a connection.
    pub(super) connected: bool,
}

impl Pair {
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, PairState::Frozen | PairState::Waiting | PairState::InProgress)
    }

    /// Whether there is reason to believe that the path works.
    pub(super) fn is_promising(&self) -> bool {
        self.heard || self.valid.is_some()
    }

    pub(super) fn is_relayed(&self) -> bool {
        self.local_kind == CandidateKind::Relayed || self.remote_kind == CandidateKind::Relayed
    }

    /// The check that has this transaction.
    pub(super) fn check_with(&mut self, id: &TransactionId) -> Option<&mut Check> {
        self.check.iter_mut().chain(&mut self.cancelled).find(|check| check.transaction.id() == *id)
    }

    /// Repeats its check no more, but still takes the response.
    pub(super) fn cancel_check(&mut self, until: Instant) {
        if let Some(mut check) = self.check.take() {
            check.transaction.stop_repeating(until);
            if self.cancelled.len() >= 2 {
                self.cancelled.remove(0);
            }
            self.cancelled.push(check);
        }
    }

    pub(super) fn fail(&mut self) {
        self.state = PairState::Failed;
        self.check = None;
        self.cancelled.clear();
        self.valid = None;
        self.to_nominate = false;
    }
}

/// RFC 8445 §6.1.2.3.
pub(super) fn pair_priority(role: Role, local: u32, remote: u32) -> u64 {
    let (controlling, controlled) = match role {
        Role::Controlling => (u64::from(local), u64::from(remote)),
        Role::Controlled => (u64::from(remote), u64::from(local)),
    };
    (controlling.min(controlled) << 32)
        + 2 * controlling.max(controlled)
        + u64::from(controlling > controlled)
}

/// The pairs of a generation and the order of their checks.
#[derive(Clone, Debug, Default)]
pub(super) struct Checklist {
    pub(super) pairs: Vec<Pair>,
    /// RFC 8445 §6.1.4.1: these go first.
    pub(super) triggered: VecDeque<u32>,
    next_id: u32,
}

impl Checklist {
    pub(super) fn get(&mut self, id: u32) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.id == id)
    }

    pub(super) fn find(&mut self, path: Path) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.path == path)
    }

    pub(super) fn of(&self, component: u16) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(move |pair| pair.path.component == component)
    }

    /// Adds a pair, frozen. With `max` pairs already, the worst one that was not checked makes room
    /// (RFC 8445 §6.1.2.5), if it is worse. The new one's id, if it was taken, and whether one was left out.
    pub(super) fn add(&mut self, mut pair: Pair, max: usize) -> (Option<u32>, bool) {
        let mut left_out = false;
        if self.pairs.len() >= max {
            let worst = self
                .pairs
                .iter()
                .enumerate()
                .filter(|(_, old)| {
                    matches!(old.state, PairState::Frozen | PairState::Waiting | PairState::Failed)
                })
                .min_by_key(|(_, old)| (old.state != PairState::Failed, old.priority));
            match worst {
                Some((at, old)) if old.state == PairState::Failed || old.priority < pair.priority => {
                    let id = self.pairs.swap_remove(at).id;
                    self.triggered.retain(|queued| *queued != id);
                    left_out = true;
                }
                _ => return (None, true),
            }
        }
        pair.id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let id = pair.id;
        self.pairs.push(pair);
        (Some(id), left_out)
    }

    /// Queues a check that goes before the ordinary ones.
    pub(super) fn trigger(&mut self, id: u32) {
        if !self.triggered.contains(&id) {
            self.triggered.push_back(id);
        }
    }

    /// RFC 8445 §6.1.2.6: of each foundation that has none waiting or in progress, the pair with
    /// the lowest component and the highest priority waits. Candidates may be told in any order, so
    /// a pair does not stay behind one of a higher component.
    pub(super) fn unfreeze_groups(&mut self) {
        while let Some(at) = self.next_frozen() {
            if let Some(pair) = self.pairs.get_mut(at) {
                pair.state = PairState::Waiting;
            }
        }
    }

    /// RFC 8445 §7.2.5.3.3: what fares alike may go ahead.
    pub(super) fn unfreeze(&mut self, foundation: u64) {
        for pair in &mut self.pairs {
            if pair.foundation == foundation && pair.state == PairState::Frozen {
                pair.state = PairState::Waiting;
            }
        }
    }

    fn next_frozen(&self) -> Option<usize> {
        let busy = |frozen: &Pair| {
            self.pairs.iter().any(|pair| {
                pair.foundation == frozen.foundation
                    && pair.path.component <= frozen.path.component
                    && matches!(pair.state, PairState::Waiting | PairState::InProgress)
            })
        };
        self.pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| pair.state == PairState::Frozen && !busy(pair))
            .max_by_key(|(_, pair)| (std::cmp::Reverse(pair.path.component), pair.priority))
            .map(|(at, _)| at)
    }

    /// The pair whose check is next (RFC 8445 §6.1.4.2), without taking it.
    pub(super) fn next(&self) -> Option<u32> {
        if let Some(id) = self.triggered.front() {
            return Some(*id);
        }
        let waiting = self
            .pairs
            .iter()
            .filter(|pair| pair.state == PairState::Waiting)
            .max_by_key(|pair| (pair.priority, std::cmp::Reverse(pair.path.component)));
        waiting.map(|pair| pair.id).or_else(|| Some(self.pairs.get(self.next_frozen()?)?.id))
    }

    /// Num-Waiting and Num-In-Progress (RFC 8445 §14.3).
    pub(super) fn busy(&self) -> u32 {
        let busy = |pair: &&Pair| matches!(pair.state, PairState::Waiting | PairState::InProgress);
        u32::try_from(self.pairs.iter().filter(busy).count()).unwrap_or(u32::MAX)
    }

    /// Removes pairs, also from the queue.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Pair) -> bool) {
        self.pairs.retain(|pair| keep(pair));
        let pairs = &self.pairs;
        self.triggered.retain(|id| pairs.iter().any(|pair| pair.id == *id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(component: u16, foundation: u64, priority: u64, remote: u16) -> Pair {
        let (base, remote) = ("192.0.2.1:1".parse().unwrap(), format!("192.0.2.2:{remote}").parse().unwrap());
        Pair {
            id: 0,
            path: Path { component, tcp: false, base, remote },
            local_kind: CandidateKind::Host,
            remote_kind: CandidateKind::Host,
            local_priority: 1,
            remote_priority: 1,
            reflexive_priority: 1,
            foundation,
            priority,
            state: PairState::Frozen,
            check: None,
            cancelled: SmallVec::new(),
            checked: None,
            valid: None,
            round_trip: Duration::ZERO,
            to_nominate: false,
            peer_nominates: false,
            nominated: false,
            heard: false,
            renewed: 0,
            connected: false,
        }
    }

    #[test]
    fn the_formula_of_rfc_8445_6_1_2_3() {
        let (big, small) = (2_130_706_431, 1_694_498_815);
        let both = pair_priority(Role::Controlling, big, small);
        assert_eq!(both, (u64::from(small) << 32) + 2 * u64::from(big) + 1);
        assert_eq!(pair_priority(Role::Controlled, small, big), both, "both ends agree");
        assert_eq!(pair_priority(Role::Controlled, big, small), both - 1);
    }

    #[test]
    fn one_of_each_foundation_waits_and_success_frees_the_rest() {
        let mut list = Checklist::default();
        for new in [pair(1, 7, 10, 1), pair(2, 7, 99, 2), pair(1, 7, 20, 3), pair(1, 8, 5, 4)] {
            assert!(!list.add(new, 100).1);
        }
        list.unfreeze_groups();
        let waiting = |list: &Checklist| -> Vec<u64> {
            list.pairs
                .iter()
                .filter(|pair| pair.state == PairState::Waiting)
                .map(|pair| pair.priority)
                .collect()
        };
        assert_eq!(waiting(&list), [20, 5], "the lowest component, then the highest priority");
        assert_eq!(list.next(), Some(2));
        list.unfreeze(7);
        assert_eq!(waiting(&list), [10, 99, 20, 5]);
        list.trigger(3);
        assert_eq!(list.next(), Some(3), "triggered ones go first");
    }

    #[test]
    fn the_first_component_does_not_stay_behind_the_second() {
        let mut list = Checklist::default();
        for new in [pair(2, 7, 10, 1), pair(1, 7, 20, 2)] {
            assert!(!list.add(new, 100).1);
            list.unfreeze_groups();
        }
        assert!(list.pairs.iter().all(|pair| pair.state == PairState::Waiting));
        assert_eq!(list.next(), Some(1));
    }

    #[test]
    fn full_lists_keep_the_best() {
        let mut list = Checklist::default();
        for priority in [10, 30, 20] {
            assert!(list.add(pair(1, priority, priority, 1), 3).0.is_some());
        }
        assert_eq!(list.add(pair(1, 9, 9, 2), 3), (None, true));
        assert_eq!(list.add(pair(1, 25, 25, 2), 3), (Some(3), true));
        let mut priorities: Vec<u64> = list.pairs.iter().map(|pair| pair.priority).collect();
        priorities.sort_unstable();
        assert_eq!(priorities, [20, 25, 30]);
    }
}
