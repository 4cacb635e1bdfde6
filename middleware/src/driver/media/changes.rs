//! What the media thread is told: in order, and without either side ever waiting for the other.
//!
//! ```text
//!  task ── tell ──▶ waiting ──▶ ring ──▶ the media thread, in its next tick
//! ```

use std::collections::VecDeque;

use rtrb::{Consumer, Producer, RingBuffer};

/// Changes that a tick finds at most; further ones wait for the next.
const ROOM: usize = 8;

/// The end that tells.
pub(super) struct Changes<T> {
    ring: Producer<T>,
    /// What has found no room in the ring.
    waiting: VecDeque<T>,
}

/// The media thread's end.
pub(super) struct Told<T>(Consumer<T>);

/// Both ends.
pub(super) fn changes<T>() -> (Changes<T>, Told<T>) {
    let (ring, told) = RingBuffer::new(ROOM);
    (Changes { ring, waiting: VecDeque::new() }, Told(told))
}

impl<T> Changes<T> {
    pub(super) fn tell(&mut self, change: T) {
        self.waiting.push_back(change);
        self.flush();
    }

    /// Passes on what waited; true when nothing waits any more, or nobody looks.
    pub(super) fn flush(&mut self) -> bool {
        while !self.ring.is_full()
            && let Some(change) = self.waiting.pop_front()
        {
            // There is room.
            let _ = self.ring.push(change);
        }
        self.waiting.is_empty() || self.ring.is_abandoned()
    }
}

impl<T> Told<T> {
    pub(super) fn next(&mut self) -> Option<T> {
        self.0.pop().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_in_order_however_many_there_are() {
        let (mut changes, mut told) = changes();
        let count = 3 * ROOM;
        (0..count).for_each(|change| changes.tell(change));
        assert!(!changes.flush(), "some wait");
        let mut seen = Vec::new();
        for tick in 0..3 {
            seen.extend(std::iter::from_fn(|| told.next()));
            assert_eq!(changes.flush(), tick > 0, "after {} of {count}", seen.len());
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
        assert_eq!(told.next(), None);
    }

    #[test]
    fn nobody_waits_for_who_is_gone() {
        let (mut changes, told) = changes();
        drop(told);
        (0..2 * ROOM).for_each(|change| changes.tell(change));
        assert!(changes.flush());
    }
}
