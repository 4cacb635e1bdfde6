//! Suites and master keys.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroize;

/// A crypto suite, by its SDES name (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// AES-128 in counter mode, 80-bit tag.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, 32-bit tag (80-bit for SRTCP).
    AesCm128HmacSha1_32,
    /// AES-192 in counter mode, 80-bit tag.
    AesCm192HmacSha1_80,
    /// AES-192 in counter mode, 32-bit tag (80-bit for SRTCP).
    AesCm192HmacSha1_32,
    /// AES-256 in counter mode, 80-bit tag.
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, 32-bit tag (80-bit for SRTCP).
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode, 128-bit tag.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode, 128-bit tag.
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite, in order of preference.
    pub const ALL: [Self; 8] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm192HmacSha1_80,
        Self::AesCm128HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AesCm192HmacSha1_32,
        Self::AesCm128HmacSha1_32,
    ];

    /// The name in `a=crypto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm192HmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::AesCm192HmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The bytes of the master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// The bytes of the master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// The bytes that `inline:` carries: key and salt.
    #[must_use]
    pub const fn master_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// The bytes of the tag of an SRTP packet.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128HmacSha1_32 | Self::AesCm192HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            _ => 10,
        }
    }

    /// The bytes of the tag of an SRTCP packet: never shorter than 80 bits (RFC 3711 §5.2, RFC 4568 §6.2).
    #[must_use]
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether cipher and tag are one (RFC 7714).
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = KeyError;

    /// Names are compared without case (RFC 4568 §9.2 has them as tokens; peers write both). `AES_CM_256_…`,
    /// which RFC 6188 does not use and some peers do, is taken for `AES_256_CM_…`.
    fn from_str(name: &str) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.name().eq_ignore_ascii_case(name))
            .or(match name {
                "AES_CM_256_HMAC_SHA1_80" => Some(Self::AesCm256HmacSha1_80),
                "AES_CM_256_HMAC_SHA1_32" => Some(Self::AesCm256HmacSha1_32),
                _ => None,
            })
            .ok_or(KeyError::UnknownSuite)
    }
}

/// A key that the caller got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No such crypto suite.
    #[error("unknown crypto suite")]
    UnknownSuite,
    /// The suite asks for another length of key and salt.
    #[error("key and salt must be {expected} bytes, not {got}")]
    Length {
        /// What the suite asks for.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// The MKI is longer than [`MAX_MKI`], empty, or of another length than that of the other keys.
    #[error("bad master key identifier")]
    Mki,
    /// More keys than a receiver takes.
    #[error("too many keys")]
    TooManyKeys,
}

/// The longest master key identifier (RFC 4568 §6.1).
pub const MAX_MKI: usize = 128;

/// A suite with its master key and salt. Wiped when dropped; prints no key.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    bytes: [u8; 46],
    mki: Vec<u8>,
    lifetime: u64,
}

impl MasterKey {
    /// From key and salt one after the other, as `inline:` of `a=crypto` carries them (RFC 4568 §6.1).
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Self, KeyError> {
        let wrong = KeyError::Length { expected: suite.master_len(), got: key_and_salt.len() };
        if key_and_salt.len() != suite.master_len() {
            return Err(wrong);
        }
        let mut bytes = [0; 46];
        bytes.get_mut(..key_and_salt.len()).ok_or(wrong)?.copy_from_slice(key_and_salt);
        Ok(Self { suite, bytes, mki: Vec::new(), lifetime: u64::MAX })
    }

    /// The same key with a master key identifier, which every packet then carries (RFC 3711 §3.1).
    pub fn with_mki(mut self, mki: &[u8]) -> Result<Self, KeyError> {
        if mki.is_empty() || mki.len() > MAX_MKI {
            return Err(KeyError::Mki);
        }
        self.mki = mki.to_vec();
        Ok(self)
    }

    /// The same key for so many packets of SRTP, and as many of SRTCP, at most (RFC 4568 §6.1); then it is
    /// used up. Without this the limits of RFC 3711 §9.2 hold, and they hold with it.
    #[must_use]
    pub const fn with_lifetime(mut self, packets: u64) -> Self {
        self.lifetime = packets;
        self
    }

    /// How many packets it may protect.
    #[must_use]
    pub const fn lifetime(&self) -> u64 {
        self.lifetime
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The master key identifier; empty without one.
    #[must_use]
    pub fn mki(&self) -> &[u8] {
        &self.mki
    }

    /// Key and salt, to be written into `a=crypto`.
    #[must_use]
    pub fn key_and_salt(&self) -> &[u8] {
        self.bytes.get(..self.suite.master_len()).unwrap_or_default()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.bytes.get(..self.suite.key_len()).unwrap_or_default()
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.key_and_salt().get(self.suite.key_len()..).unwrap_or_default()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
