//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §14.5 to §14.7).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::{self, HmacSha1, HmacSha256};

/// What FINGERPRINT's CRC-32 is combined with (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Which hash protects a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256.
    Sha256,
}

/// A key for message integrity, its padded halves hashed once for both HMACs: make one for each
/// credential and keep it. `Debug` prints no key.
#[derive(Clone)]
pub struct Key {
    sha1: HmacSha1,
    sha256: HmacSha256,
}

impl Key {
    /// The key of short-term credentials: the password (RFC 8489 §9.1.1). ASCII passwords, as ICE
    /// makes them, are their own OpaqueString form.
    pub fn short_term(password: &str) -> Self {
        Self::new(password.as_bytes())
    }

    /// The key of long-term credentials: MD5 of user, realm and password (RFC 8489 §9.2.2). The
    /// password is to be in its OpaqueString form.
    pub fn long_term(username: &str, realm: &str, password: &str) -> Self {
        let key = Zeroizing::new(crypto::md5(&[username, ":", realm, ":", password]));
        Self::new(&*key)
    }

    /// The same with SHA-256, where the server asks for it (RFC 8489 §18.5.1.2).
    pub fn long_term_sha256(username: &str, realm: &str, password: &str) -> Self {
        let key = Zeroizing::new(crypto::sha256(&[username, ":", realm, ":", password]));
        Self::new(&*key)
    }

    fn new(bytes: &[u8]) -> Self {
        Self { sha1: HmacSha1::new(bytes), sha256: HmacSha256::new(bytes) }
    }

    /// The tag over `message`, its length field saying that the message ends after the tag (RFC 8489 §14.5).
    #[inline]
    pub(super) fn sign_sha1(&self, message: &[u8], length: u16) -> [u8; 20] {
        crypto::bytes(self.sha1.tag(message, length.to_be_bytes()))
    }

    #[inline]
    pub(super) fn sign_sha256(&self, message: &[u8], length: u16) -> [u8; 32] {
        crypto::bytes(self.sha256.tag(message, length.to_be_bytes()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(super) fn check_sha1(message: &[u8], at: usize, value: &[u8], key: &Key) -> bool {
    let Some(length) = length_up_to(at, 24) else { return false };
    let signed = message.get(..at).unwrap_or_default();
    <&[u8; 20]>::try_from(value).is_ok_and(|value| crypto::is_same(&key.sign_sha1(signed, length), value))
}

/// RFC 8489 §14.6: 16 to 32 bytes, in steps of four.
pub(super) fn check_sha256(message: &[u8], at: usize, value: &[u8], key: &Key) -> bool {
    if !(16..=32).contains(&value.len()) || !value.len().is_multiple_of(4) {
        return false;
    }
    let Some(length) = length_up_to(at, 4 + value.len()) else { return false };
    let signed = message.get(..at).unwrap_or_default();
    let made = key.sign_sha256(signed, length);
    made.get(..value.len()).is_some_and(|made| bool::from(made.ct_eq(value)))
}

pub(super) fn check_fingerprint(message: &[u8], at: usize, value: &[u8]) -> bool {
    let covered = message.get(..at).unwrap_or_default();
    value == fingerprint(covered).to_be_bytes()
}

/// The CRC of the message up to its FINGERPRINT; the length field counts that already.
pub(super) fn fingerprint(message: &[u8]) -> u32 {
    crypto::crc32(message) ^ FINGERPRINT_XOR
}

/// What the length field says for a message that ends with the attribute at `at`.
fn length_up_to(at: usize, attribute: usize) -> Option<u16> {
    u16::try_from((at + attribute).checked_sub(super::HEADER)?).ok()
}
