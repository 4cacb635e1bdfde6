//! Which bytes of a message were seen.

use std::collections::BTreeMap;

/// A set of byte positions, kept as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end (exclusive); neither overlapping nor touching.
    ranges: BTreeMap<u64, u64>,
    covered: u64,
}

impl RangeSet {
    /// Adds the positions from `start` up to, not including, `end`.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut low, mut high) = (start, end);
        // All that overlap or touch begin at or before `end`; the one furthest left may begin before `start`.
        while let Some((&from, &to)) = self.ranges.range(..=high).next_back() {
            if to < low {
                break;
            }
            low = low.min(from);
            high = high.max(to);
            self.covered -= to - from;
            self.ranges.remove(&from);
        }
        self.covered += high - low;
        self.ranges.insert(low, high);
    }

    /// How many positions are in the set.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// How many separate ranges there are.
    #[must_use]
    pub fn fragments(&self) -> usize {
        self.ranges.len()
    }

    /// Whether all positions below `end` are in the set.
    #[must_use]
    pub fn is_complete(&self, end: u64) -> bool {
        end == 0 || self.ranges.get(&0).is_some_and(|to| *to >= end)
    }

    /// The end of the last range.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join() {
        let mut set = RangeSet::default();
        for (start, end) in [(10, 20), (30, 40), (20, 25), (22, 31), (0, 10), (5, 6), (7, 7)] {
            set.insert(start, end);
        }
        assert_eq!((set.covered(), set.fragments(), set.end()), (40, 1, 40));
        assert!(set.is_complete(40) && !set.is_complete(41));
    }
}
