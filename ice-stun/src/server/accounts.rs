//! The server's side of long-term credentials (RFC 8489 §9.2.4).

use std::time::{Duration, Instant};

use super::{Config, Flow};
use crate::crypto::{self, HmacSha256};
use crate::stun::{
    Integrity, Key, Message, Nonce, NonceFeatures, PasswordAlgorithm, PasswordAlgorithms, Realm, Userhash,
    Username,
};

struct Account {
    name: String,
    hash: Userhash,
    md5: Key,
    sha256: Key,
}

/// Who asks, and how it is answered.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) user: String,
    pub(super) key: Key,
    pub(super) hash: Integrity,
}

/// What is wrong with the credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// 401, with a challenge.
    Unauthenticated,
    /// 438, with a challenge.
    Stale,
    /// 400.
    Malformed,
}

/// Accounts, and nonces that need no table: each says when and for whom it was made, and proves it.
pub(super) struct Accounts {
    realm: String,
    all: Vec<Account>,
    features: NonceFeatures,
    secret: HmacSha256,
    lifetime: Duration,
    /// When time began.
    epoch: Option<Instant>,
}

impl Accounts {
    pub(super) fn new(config: &Config, secret: &[u8; 32]) -> Self {
        let account = |(name, password): &(String, zeroize::Zeroizing<String>)| Account {
            name: name.clone(),
            hash: Userhash::new(name, &config.realm),
            md5: Key::long_term(name, &config.realm, password),
            sha256: Key::long_term_sha256(name, &config.realm, password),
        };
        Self {
            realm: config.realm.clone(),
            all: config.accounts.iter().map(account).collect(),
            features: NonceFeatures {
                password_algorithms: config.sha256,
                username_anonymity: config.anonymity,
            },
            secret: HmacSha256::new(secret),
            lifetime: config.nonce_lifetime,
            epoch: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    pub(super) fn algorithms(&self) -> Option<PasswordAlgorithms<'static>> {
        self.features.password_algorithms.then_some(PasswordAlgorithms::BOTH)
    }

    fn seconds(&mut self, now: Instant) -> u32 {
        let epoch = *self.epoch.get_or_insert(now);
        u32::try_from(now.saturating_duration_since(epoch).as_secs()).unwrap_or(u32::MAX)
    }

    /// A nonce for that client alone (RFC 8489 §9.2.4).
    pub(super) fn nonce(&mut self, now: Instant, flow: &Flow) -> String {
        let seconds = self.seconds(now);
        self.nonce_of(seconds, flow)
    }

    fn nonce_of(&self, seconds: u32, flow: &Flow) -> String {
        let client = format!("    {seconds} {:?} {}", flow.transport, flow.remote);
        let [a, b, ..] = self.secret.tag(client.as_bytes(), [0; 2]);
        format!("{}{seconds:08x}{a:08x}{b:08x}", self.features.prefix())
    }

    fn is_fresh(&mut self, now: Instant, flow: &Flow, nonce: &str) -> bool {
        let seconds = nonce.get(13..21).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(made) = seconds else { return false };
        let age = self.seconds(now).checked_sub(made);
        age.is_some_and(|age| Duration::from_secs(age.into()) < self.lifetime)
            && crypto::equal(nonce.as_bytes(), self.nonce_of(made, flow).as_bytes())
    }

    /// Who sent that (RFC 8489 §9.2.4, in its order).
    pub(super) fn judge(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
    ) -> Result<Known, Denial> {
        if message.integrity().is_none() {
            return Err(Denial::Unauthenticated);
        }
        let username = match message.get::<Username<'_>>() {
            Some(Ok(Username(name))) => Some(name),
            _ => None,
        };
        let userhash = match message.get::<Userhash>() {
            Some(Ok(hash)) => Some(hash),
            _ => None,
        };
        let (Some(Ok(Realm(realm))), Some(Ok(Nonce(nonce)))) =
            (message.get::<Realm<'_>>(), message.get::<Nonce<'_>>())
        else {
            return Err(Denial::Malformed);
        };
        if username.is_none() && userhash.is_none() {
            return Err(Denial::Malformed);
        }
        let sha256 = self.algorithm(nonce, message)?;
        let account = self.all.iter().find(|one| match (username, userhash) {
            (Some(name), _) => one.name == name,
            (None, Some(hash)) => one.hash == hash,
            (None, None) => false,
        });
        let Some(account) = account.filter(|_| realm == self.realm) else {
            return Err(Denial::Unauthenticated);
        };
        let key = match sha256 {
            Some(PasswordAlgorithm::SHA256) => &account.sha256,
            _ => &account.md5,
        };
        // Who chose an algorithm signs with SHA-256 (RFC 8489 §9.2.5).
        let hash = if sha256.is_some() { Integrity::Sha256 } else { Integrity::Sha1 };
        if !message.has_integrity(hash) || !message.verify(key) {
            return Err(Denial::Unauthenticated);
        }
        let known = Known { user: account.name.clone(), key: key.clone(), hash };
        if self.is_fresh(now, flow, nonce) { Ok(known) } else { Err(Denial::Stale) }
    }

    /// The password algorithm of a request; `None`: as though there were none to choose from.
    fn algorithm(&self, nonce: &str, message: &Message<'_>) -> Result<Option<PasswordAlgorithm>, Denial> {
        if !NonceFeatures::of(nonce).password_algorithms {
            return Ok(None);
        }
        match (message.get::<PasswordAlgorithms<'_>>(), message.get::<PasswordAlgorithm>()) {
            (None, None) => Ok(None),
            (Some(Ok(list)), Some(Ok(chosen)))
                if Some(list) == self.algorithms() && list.iter().any(|one| one == chosen) =>
            {
                Ok(Some(chosen))
            }
            _ => Err(Denial::Malformed),
        }
    }
}
