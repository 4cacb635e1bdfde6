//! USERHASH, password algorithms and what a nonce tells (RFC 8489 §9.2, §14).
//!
//! Text is taken as prepared (RFC 8265 OpaqueString); ASCII is its own prepared form.

use super::attribute::{Attribute, Kind};
use super::integrity::Key;
use super::message::TransactionId;
use crate::crypto;
use crate::error::{ErrorKind, ParseError, UsageError};

/// Who it is, without saying so (RFC 8489 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Userhash(pub [u8; 32]);

impl Userhash {
    /// SHA-256 of user and realm.
    pub fn new(username: &str, realm: &str) -> Self {
        Self(crypto::sha256(&[username, ":", realm]))
    }
}

impl Attribute<'_> for Userhash {
    const KIND: Kind = Kind::USERHASH;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        let hash = value.try_into().map_err(|_| ParseError::new(0, ErrorKind::Length, "32 bytes"))?;
        Ok(Self(hash))
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

/// How a long-term key is made from a password (RFC 8489 §18.5). Numbers that nobody knows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithm(pub u16);

impl PasswordAlgorithm {
    /// MD5 of user, realm and password.
    pub const MD5: Self = Self(1);
    /// SHA-256 of the same.
    pub const SHA256: Self = Self(2);

    /// The key; `None` for an algorithm that nobody knows.
    pub fn key(self, username: &str, realm: &str, password: &str) -> Option<Key> {
        match self {
            Self::MD5 => Some(Key::long_term(username, realm, password)),
            Self::SHA256 => Some(Key::long_term_sha256(username, realm, password)),
            _ => None,
        }
    }
}

impl Attribute<'_> for PasswordAlgorithm {
    const KIND: Kind = Kind::PASSWORD_ALGORITHM;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        match value {
            [high, low, _, _, ..] => Ok(Self(u16::from_be_bytes([*high, *low]))),
            _ => Err(ParseError::new(0, ErrorKind::Length, "an algorithm and the length of its parameters")),
        }
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&self.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        Ok(())
    }
}

/// The algorithms that a server can use, the best first, as they stand on the wire (RFC 8489 §14.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithms<'a>(pub &'a [u8]);

impl<'a> PasswordAlgorithms<'a> {
    /// SHA-256, then MD5, both without parameters.
    pub const BOTH: PasswordAlgorithms<'static> = PasswordAlgorithms(&[0, 2, 0, 0, 0, 1, 0, 0]);

    /// The algorithms in order, parameters skipped.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let ([a0, a1, l0, l1], more) = rest.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
            rest = more.get(length..).unwrap_or_default();
            Some(PasswordAlgorithm(u16::from_be_bytes([*a0, *a1])))
        })
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const KIND: Kind = Kind::PASSWORD_ALGORITHMS;

    fn read(value: &'a [u8], _: &TransactionId) -> Result<Self, ParseError> {
        Ok(Self(value))
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(self.0);
        Ok(())
    }
}

/// What a server says it can do, in the first 13 characters of its nonce (RFC 8489 §9.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonceFeatures {
    /// Bit 0: PASSWORD-ALGORITHMS is sent; where it is not, someone took it away.
    pub password_algorithms: bool,
    /// Bit 1: USERHASH is understood, and wanted.
    pub username_anonymity: bool,
}

impl NonceFeatures {
    const COOKIE: &'static str = "obMatJos2";
    const ALPHABET: &'static str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /// What a nonce says; a nonce without the cookie says nothing.
    pub fn of(nonce: &str) -> Self {
        // Bit 0 is the most significant of the 24.
        let bits = nonce
            .strip_prefix(Self::COOKIE)
            .filter(|rest| rest.len() >= 4)
            .and_then(|rest| rest.chars().next())
            .and_then(|first| Self::ALPHABET.find(first))
            .unwrap_or_default();
        Self { password_algorithms: bits & 0x20 != 0, username_anonymity: bits & 0x10 != 0 }
    }

    /// What a nonce that says this begins with.
    pub fn prefix(self) -> &'static str {
        match (self.password_algorithms, self.username_anonymity) {
            (false, false) => "obMatJos2AAAA",
            (false, true) => "obMatJos2QAAA",
            (true, false) => "obMatJos2gAAA",
            (true, true) => "obMatJos2wAAA",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_tell_what_they_were_told() {
        for (a, b) in [(false, false), (true, false), (false, true), (true, true)] {
            let features = NonceFeatures { password_algorithms: a, username_anonymity: b };
            assert_eq!(NonceFeatures::of(features.prefix()), features);
        }
        assert_eq!(NonceFeatures::of("obMatJos2w"), NonceFeatures::default(), "cut short");
        assert_eq!(NonceFeatures::of("f//499k954d6OL34oL9FSTvy64sA"), NonceFeatures::default());
        assert_eq!(NonceFeatures::of("obMatJos2\u{e9}\u{e9}\u{e9}"), NonceFeatures::default());
        let vector = "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
        assert_eq!(NonceFeatures::of(vector), NonceFeatures::default(), "bits without a meaning yet");
    }

    #[test]
    fn algorithms_are_listed_in_order_and_their_parameters_skipped() {
        let list = |bytes| PasswordAlgorithms(bytes).iter().map(|one| one.0).collect::<Vec<_>>();
        assert_eq!(PasswordAlgorithms::BOTH.iter().map(|one| one.0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(list(&[0, 9, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 2, 0, 0]), [9, 2]);
        assert_eq!(list(&[0, 9, 0xff, 0xff, 0, 2]), [9], "what is cut ends the list");
        assert_eq!(list(&[0, 1]), []);
    }
}
