//! Random identifiers.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::scan::Class;

/// Makes session, transaction and message identifiers from a seed.
///
/// Each has 20 characters of five bits, 100 bits of randomness: RFC 4975 §14.1 asks for 80
/// in a session id, RFC 4975 §7.1 for 64 in a transaction id.
#[derive(Debug, Clone)]
pub struct IdSource(ChaCha20Rng);

static IDENT: Class = Class::alphanumeric_and(b".-+%=");
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl IdSource {
    /// A source that gives the same identifiers for the same seed.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The next identifier.
    pub fn next_id(&mut self) -> String {
        let mut random = [0_u8; 20];
        self.0.fill_bytes(&mut random);
        random
            .iter()
            .map(|byte| char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'a')))
            .collect()
    }
}

/// Whether `text` is an `ident` of RFC 4975 §9.
#[must_use]
pub fn is_ident(text: &str) -> bool {
    let bytes = text.as_bytes();
    (4..=32).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && IDENT.has_all(bytes)
}

pub(crate) fn is_ident_byte(byte: u8) -> bool {
    IDENT.has(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identifiers_hold_enough_bits_and_differ() {
        let mut source = IdSource::new([7; 32]);
        let ids: HashSet<String> = (0..10_000).map(|_| source.next_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| is_ident(id) && id.len() * 5 >= 80));
    }
}
