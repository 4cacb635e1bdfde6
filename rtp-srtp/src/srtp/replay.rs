//! The replay list (RFC 3711 §3.3.2): a window of [`WINDOW`] indices behind the highest one.

/// How far behind the highest index a packet may arrive.
pub(super) const WINDOW: u64 = 1024;
/// Twice the window: its oldest word never shares a place with the newest.
const WORDS: usize = (WINDOW / 32) as usize;

/// Which of the last [`WINDOW`] indices were seen.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow {
    highest: u64,
    /// A ring: index `i` is bit `i % 64` of word `i / 64 % WORDS`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window whose first index was just seen.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.mark(index);
        window
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether the index may still be accepted. Changes nothing: the packet is not authentic yet.
    #[inline]
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        index > self.highest || (self.highest - index < WINDOW && self.word(index) & bit(index) == 0)
    }

    /// Notes an index as seen, moving the window when it is the highest.
    #[inline]
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            let (from, to) = (self.highest / 64, index / 64);
            for word in (from + 1..=to).take(WORDS) {
                self.clear(word);
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn word(&self, index: u64) -> u64 {
        self.seen.get(slot(index / 64)).copied().unwrap_or(u64::MAX)
    }

    fn clear(&mut self, word: u64) {
        if let Some(word) = self.seen.get_mut(slot(word)) {
            *word = 0;
        }
    }

    fn mark(&mut self, index: u64) {
        if let Some(word) = self.seen.get_mut(slot(index / 64)) {
            *word |= bit(index);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below WORDS after the remainder")]
const fn slot(word: u64) -> usize {
    (word % WORDS as u64) as usize
}

const fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_plain_set() {
        let mut window = ReplayWindow::starting_at(5000);
        let mut seen = BTreeSet::from([5000_u64]);
        let mut state = 1_u64;
        for step in 0..200_000_u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let highest = *seen.last().unwrap();
            let jump = if step % 97 == 0 { (state >> 33) % 3000 } else { (state >> 33) % 40 };
            let index = if state >> 63 == 0 { highest + jump } else { highest.saturating_sub(jump * 3) };
            let fresh = index + WINDOW > highest && !seen.contains(&index);
            assert_eq!(window.is_fresh(index), fresh, "{index} after {highest}");
            if window.is_fresh(index) {
                window.accept(index);
                seen.insert(index);
            }
        }
    }

    #[test]
    fn nothing_is_fresh_twice_at_the_far_edge() {
        let mut window = ReplayWindow::starting_at(0);
        for index in 1..5000 {
            window.accept(index);
            for old in index.saturating_sub(WINDOW + 5)..=index {
                assert!(!window.is_fresh(old), "{old} after {index}");
            }
        }
    }
}
