//! What is due when: a heap whose outdated entries are left in until they come up.

use super::ids::ByNumber;
use std::{cmp::Reverse, collections::BinaryHeap, hash::Hash, time::Instant};

/// At most one deadline for each owner.
#[derive(Debug)]
pub(crate) struct TimerQueue<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    armed: ByNumber<K, Instant>,
}

impl<K: Copy + Ord + Hash> TimerQueue<K> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), armed: ByNumber::default() }
    }

    /// Sets the deadline of `owner`, or removes it.
    pub(crate) fn set(&mut self, owner: K, deadline: Option<Instant>) {
        let Some(at) = deadline else {
            self.armed.remove(&owner);
            return;
        };
        if self.armed.insert(owner, at) != Some(at) {
            self.heap.push(Reverse((at, owner)));
        }
    }

    /// Takes an owner whose deadline has come, the earliest first.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let at = self.next().filter(|at| *at <= now)?;
        let Reverse((_, owner)) = self.heap.pop()?;
        debug_assert_eq!(self.armed.get(&owner), Some(&at));
        self.armed.remove(&owner);
        Some(owner)
    }

    /// The earliest deadline.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        loop {
            let Reverse((at, owner)) = self.heap.peek()?;
            if self.armed.get(owner) == Some(at) {
                return Some(*at);
            }
            self.heap.pop();
            self.shrink();
        }
    }

    /// Gives memory back that a burst needed.
    fn shrink(&mut self) {
        if self.heap.capacity() > 1024 && self.heap.len() * 4 < self.heap.capacity() {
            self.heap.shrink_to(self.heap.len() * 2);
            self.armed.shrink_to(self.armed.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testing::start;
    use std::time::Duration;

    #[test]
    fn moved_and_removed_deadlines_do_not_fire() {
        let t0 = start();
        let at = |s| t0 + Duration::from_secs(s);
        let mut timers = TimerQueue::new();
        timers.set(1, Some(at(1)));
        timers.set(2, Some(at(2)));
        timers.set(3, Some(at(3)));
        timers.set(1, Some(at(5)));
        timers.set(2, None);
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!(timers.pop(at(9)), Some(3));
        timers.set(1, Some(at(4)));
        assert_eq!(timers.pop(at(4)), Some(1));
        assert_eq!(timers.pop(at(9)), None, "the entry at 5 is outdated");
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn memory_is_given_back() {
        let t0 = start();
        let mut timers = TimerQueue::new();
        for n in 0..100_000 {
            timers.set(n, Some(t0));
        }
        for n in 0..100_000 {
            timers.set(n, None);
        }
        assert_eq!(timers.next(), None);
        assert!(timers.heap.capacity() < 2_048, "{}", timers.heap.capacity());
        assert!(timers.armed.capacity() < 2_048, "{}", timers.armed.capacity());
    }
}
