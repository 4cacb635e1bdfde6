//! Tables whose keys are numbers of our own.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A table by numbers that we gave out, or drew at random: nobody else chooses what is in it, so
/// that spreading them evenly is all that its hash has to do.
pub(crate) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Spreads numbers by multiplication with 2^64 divided by the golden ratio.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, number: isize) {
        // What tells variants of an enum apart.
        self.write_u64(number.unsigned_abs() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::HashSet,
        hash::{BuildHasher, Hash},
    };

    #[test]
    fn numbers_in_a_row_and_their_variants_are_spread() {
        #[derive(Hash)]
        enum Two {
            A(u64),
            B(u64, bool),
        }
        let build = BuildHasherDefault::<Spread>::default();
        let hashes: Vec<u64> =
            (0..10_000).flat_map(|n| [build.hash_one(Two::A(n)), build.hash_one(Two::B(n, true))]).collect();
        let different: HashSet<u64> = hashes.iter().copied().collect();
        assert_eq!(different.len(), hashes.len());
        // A table looks at the lowest bits for the place and at the highest for the tag.
        for part in [|hash: u64| hash % 1_024, |hash: u64| hash >> 57] {
            let mut counts = std::collections::BTreeMap::<u64, usize>::new();
            for hash in &hashes {
                *counts.entry(part(*hash)).or_default() += 1;
            }
            let (most, mean) = (*counts.values().max().expect("some"), hashes.len() / counts.len());
            assert!(most < mean * 3, "{most} in one place, {mean} on average");
        }
    }
}
