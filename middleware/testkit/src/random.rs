//! Seeded random values.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A seeded source of test data: the same seed gives the same values on every machine.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// A source for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any `u64`.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A value below `limit`, which must not be zero.
    ///
    /// # Panics
    /// If `limit` is zero.
    pub fn below(&mut self, limit: usize) -> usize {
        assert!(limit > 0, "Random::below(0): nothing to choose from");
        let wide = u128::from(self.number()) * limit as u128;
        usize::try_from(wide >> 64).expect("a product's upper half is below its factor")
    }

    /// True with probability `p` (0 never, 1 always).
    pub fn chance(&mut self, p: f64) -> bool {
        // 53 random bits fill a double's mantissa evenly in [0, 1).
        let unit = (self.number() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < p
    }

    /// A duration below `limit`; zero if `limit` is zero.
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        let nanos = usize::try_from(limit.as_nanos()).unwrap_or(usize::MAX);
        if nanos == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.below(nanos) as u64)
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A seed for a machine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// One of `items`, which must not be empty.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = self.below(items.len());
        items.get(at).expect("below() stays below the length")
    }

    /// `data` with up to eight small changes: bytes flipped, cut, repeated, punctuation and
    /// odd numbers put in; what a hostile or broken peer makes of a message.
    pub fn mutate(&mut self, data: &[u8]) -> Vec<u8> {
        const SPICE: &[u8] = b"\r\n\r\n;,<>\"\\%: \x00\xff@[]()=0123456789\t";
        const NUMBERS: &[&[u8]] = &[
            b"-1",
            b"0",
            b"65536",
            b"4294967296",
            b"18446744073709551616",
            b"99999999999999999999999999999999999999999",
        ];
        let mut out = data.to_vec();
        for _ in 0..self.below(9) {
            let at = self.below(out.len() + 1);
            let run = (1 + self.below(40)).min(out.len() - at);
            match self.below(6) {
                0 => {
                    if let Some(byte) = out.get_mut(at) {
                        *byte = self.0.next_u32().to_le_bytes()[0];
                    }
                }
                1 => drop(out.drain(at..at + run)),
                2 => {
                    let spice: Vec<u8> = (0..=self.below(12)).map(|_| *self.pick(SPICE)).collect();
                    drop(out.splice(at..at, spice));
                }
                3 => {
                    let again: Vec<u8> = out.iter().skip(at).take(run).copied().collect();
                    drop(out.splice(at..at, again));
                }
                4 => {
                    let number = self.pick(NUMBERS).to_vec();
                    drop(out.splice(at..at, number));
                }
                _ => out.truncate(at),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_values() {
        let (mut a, mut b, mut c) = (Random::new(1), Random::new(1), Random::new(2));
        let (x, y, z): (Vec<_>, Vec<_>, Vec<_>) = (0..20).map(|_| (a.number(), b.number(), c.number())).fold(
            Default::default(),
            |mut all, (p, q, r)| {
                all.0.push(p);
                all.1.push(q);
                all.2.push(r);
                all
            },
        );
        assert_eq!(x, y);
        assert_ne!(x, z);
    }

    #[test]
    fn values_stay_in_range_and_cover_it() {
        let mut random = Random::new(3);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000 {
            seen[random.below(5)] += 1;
            assert!(random.up_to(Duration::from_millis(3)) < Duration::from_millis(3));
        }
        assert!(seen.iter().all(|n| (120..280).contains(n)), "{seen:?}");
        assert!(!random.chance(0.0) && random.chance(1.0));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
        let hits = (0..10_000).filter(|_| random.chance(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
    }

    #[test]
    fn mutation_meets_every_length() {
        let mut random = Random::new(4);
        for len in 0..200 {
            let data = random.bytes(len % 17);
            random.mutate(&data);
        }
        let changed = (0..100)
            .filter(|_| random.mutate(b"INVITE sip:a@b SIP/2.0\r\n") != b"INVITE sip:a@b SIP/2.0\r\n")
            .count();
        assert!(changed > 60, "{changed}");
    }
}
