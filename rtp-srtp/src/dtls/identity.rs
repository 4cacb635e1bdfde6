//! Certificates, and the fingerprints that stand for them in descriptions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use dimpl::DtlsCertificate;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::request;

/// The hash of a fingerprint (RFC 8122 §5). MD5 and SHA-1 are no longer good enough to stand for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hash {
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

impl Hash {
    /// As it stands in `a=fingerprint`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }
}

impl FromStr for Hash {
    type Err = UnknownHash;

    fn from_str(text: &str) -> Result<Self, UnknownHash> {
        let all = [Self::Sha256, Self::Sha384, Self::Sha512];
        all.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(text)).ok_or(UnknownHash)
    }
}

/// A hash function that no certificate is known by here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no certificate is known by this hash")]
pub struct UnknownHash;

/// What stands for a certificate in `a=fingerprint` (RFC 8122 §5). Printed as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// What a description says; a digest of another length than the hash's fits no certificate.
    #[must_use]
    pub fn new(hash: Hash, digest: impl Into<Vec<u8>>) -> Self {
        Self { hash, digest: digest.into() }
    }

    /// That of a certificate.
    #[must_use]
    pub fn of(hash: Hash, certificate: &[u8]) -> Self {
        Self { hash, digest: hash.digest(certificate) }
    }

    /// Whether it stands for this certificate.
    #[must_use]
    pub fn fits(&self, certificate: &[u8]) -> bool {
        self.hash.digest(certificate).ct_eq(&self.digest).into()
    }

    /// Its hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// Its bytes.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (index, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// How associations are made; what all of an [`Identity`] have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After so long without an answer a flight is sent again; the wait doubles each time (RFC 6347 §4.2.4).
    pub retransmit: Duration,
    /// How often it is.
    pub retries: usize,
    /// For the whole handshake, from its first message on.
    pub handshake: Duration,
    /// The largest datagram that is sent, in bytes.
    pub mtu: usize,
}

impl Default for Timing {
    /// 250 ms, six times, 30 s, 1,150 bytes.
    fn default() -> Self {
        Self {
            retransmit: Duration::from_millis(250),
            retries: 6,
            handshake: Duration::from_secs(30),
            mtu: 1_150,
        }
    }
}

/// Our certificate and its key, for any number of associations. `Debug` prints no key.
#[derive(Clone)]
pub struct Identity {
    pub(super) certificate: DtlsCertificate,
    /// For who begins, and for who waits.
    pub(super) active: Arc<dimpl::Config>,
    pub(super) passive: Arc<dimpl::Config>,
}

/// A certificate, key or timing that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("an identity for DTLS: {0}")]
pub struct IdentityError(String);

impl Identity {
    /// An X.509 certificate in DER, with its private key in PKCS #8 or SEC 1; the key is for ECDSA on P-256 or
    /// P-384.
    pub fn new(certificate: Vec<u8>, private_key: Vec<u8>, timing: Timing) -> Result<Self, IdentityError> {
        let unusable = |error: dimpl::Error| IdentityError(error.to_string());
        let config = |mtu: usize| {
            dimpl::Config::builder()
                .mtu(mtu)
                .flight_start_rto(timing.retransmit)
                .flight_retries(timing.retries)
                .handshake_timeout(timing.handshake)
                .require_client_certificate(true)
        };
        let active = config(timing.mtu).build().map_err(unusable)?;
        let passive = config(timing.mtu.saturating_sub(request::GROWTH))
            .with_crypto_provider(request::provider())
            .build()
            .map_err(unusable)?;
        active
            .crypto_provider()
            .key_provider
            .load_private_key(&private_key)
            .map_err(|error| IdentityError(error.to_string()))?;
        let certificate = DtlsCertificate { certificate, private_key };
        Ok(Self { certificate, active: Arc::new(active), passive: Arc::new(passive) })
    }

    /// What stands for it in a description.
    #[must_use]
    pub fn fingerprint(&self, hash: Hash) -> Fingerprint {
        Fingerprint::of(hash, &self.certificate.certificate)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &self.fingerprint(Hash::Sha256))
            .finish_non_exhaustive()
    }
}
