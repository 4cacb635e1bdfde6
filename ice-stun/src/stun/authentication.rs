//! The client's side of the credential mechanisms (RFC 8489 §9.1, §9.2).

use std::fmt;

use zeroize::Zeroizing;

use super::attribute::{Nonce, Realm, Username};
use super::builder::Builder;
use super::credentials::{NonceFeatures, PasswordAlgorithm, PasswordAlgorithms, Userhash};
use super::integrity::{Integrity, Key};
use super::message::Message;
use crate::error::UsageError;

/// Who we are to a server. `Debug` prints no password.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody: messages are not signed.
    #[default]
    None,
    /// RFC 8489 §9.1: agreed on elsewhere, for a short time.
    ShortTerm {
        /// USERNAME.
        username: String,
        /// The password.
        password: Zeroizing<String>,
        /// The hash that was agreed on.
        integrity: Integrity,
    },
    /// RFC 8489 §9.2: an account; the server challenges.
    LongTerm {
        /// USERNAME.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
}

impl Credentials {
    /// An account at a server.
    pub fn long_term(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::LongTerm { username: username.into(), password: Zeroizing::new(password.into()) }
    }

    /// Short-term credentials with HMAC-SHA1.
    pub fn short_term(username: impl Into<String>, password: impl Into<String>) -> Self {
        let password = Zeroizing::new(password.into());
        Self::ShortTerm { username: username.into(), password, integrity: Integrity::Sha1 }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::ShortTerm { username, integrity, .. } => {
                write!(f, "ShortTerm {{ {username:?}, {integrity:?} }}")
            }
            Self::LongTerm { username, .. } => write!(f, "LongTerm {{ {username:?} }}"),
        }
    }
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// There is nothing that we have not said already: wrong user or password.
    Rejected,
    /// Without REALM or NONCE, or without anything to say to it.
    Malformed,
    /// The algorithms that a nonce promises were taken away, or are none of ours (RFC 8489 §9.2.5).
    Algorithms,
}

/// What a server wanted to know last.
#[derive(Clone)]
struct Challenge {
    realm: String,
    nonce: String,
    /// PASSWORD-ALGORITHMS to repeat, and the first of them that we know.
    algorithms: Option<(Vec<u8>, PasswordAlgorithm)>,
    anonymous: bool,
    key: Key,
}

/// Credentials and what one server made of them.
#[derive(Clone)]
pub(crate) struct Authentication {
    credentials: Credentials,
    short_term: Option<(Key, Integrity)>,
    challenge: Option<Challenge>,
}

impl Authentication {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let short_term = match &credentials {
            Credentials::ShortTerm { password, integrity, .. } => {
                Some((Key::short_term(password), *integrity))
            }
            _ => None,
        };
        Self { credentials, short_term, challenge: None }
    }

    /// Forgets what the server said: another server is asked (RFC 8489 §10).
    pub(crate) fn forget(&mut self) {
        self.challenge = None;
    }

    /// Adds who we are, as far as the server asked for it (RFC 8489 §9.1.2, §9.2.3).
    pub(crate) fn identify(&self, builder: Builder) -> Result<Builder, UsageError> {
        match (&self.credentials, &self.challenge) {
            (Credentials::ShortTerm { username, .. }, _) => builder.attribute(&Username(username)),
            (Credentials::LongTerm { username, .. }, Some(challenge)) => {
                let builder = if challenge.anonymous {
                    builder.attribute(&Userhash::new(username, &challenge.realm))?
                } else {
                    builder.attribute(&Username(username))?
                };
                let builder =
                    builder.attribute(&Realm(&challenge.realm))?.attribute(&Nonce(&challenge.nonce))?;
                match &challenge.algorithms {
                    Some((all, chosen)) => builder.attribute(&PasswordAlgorithms(all))?.attribute(chosen),
                    None => Ok(builder),
                }
            }
            _ => Ok(builder),
        }
    }

    /// What the next request is signed with.
    pub(crate) fn key(&self) -> Option<(Key, Integrity)> {
        match &self.challenge {
            Some(challenge) => {
                let hash = if challenge.algorithms.is_some() { Integrity::Sha256 } else { Integrity::Sha1 };
                Some((challenge.key.clone(), hash))
            }
            None => self.short_term.clone(),
        }
    }

    /// Takes the challenge of a 401 or 438. `signed`: the request carried credentials, and with `stale`
    /// they were good (RFC 8489 §9.2.5).
    pub(crate) fn challenged(
        &mut self,
        response: &Message<'_>,
        signed: bool,
        stale: bool,
    ) -> Result<(), NoAnswer> {
        let Credentials::LongTerm { username, password } = &self.credentials else {
            return Err(NoAnswer::Rejected);
        };
        let Some(Ok(Nonce(nonce))) = response.get::<Nonce<'_>>() else { return Err(NoAnswer::Malformed) };
        let known = self.challenge.as_ref();
        let realm = match (response.get::<Realm<'_>>(), known) {
            (Some(Ok(Realm(realm))), _) => realm,
            // A 438 without its REALM (RFC 5389 servers) means the one that we have.
            (None, Some(known)) if stale => &known.realm,
            _ => return Err(NoAnswer::Malformed),
        };
        let features = NonceFeatures::of(nonce);
        let list = match response.get::<PasswordAlgorithms<'_>>() {
            Some(Ok(list)) => Some(list),
            _ => None,
        };
        if features.password_algorithms && list.is_none() {
            return Err(NoAnswer::Algorithms);
        }
        // Who once used SHA-256 with this server is not talked down.
        if known.is_some_and(|known| known.algorithms.is_some()) && list.is_none() {
            return Err(NoAnswer::Algorithms);
        }
        let algorithms = match list {
            Some(list) => {
                let known = |one: &PasswordAlgorithm| {
                    matches!(*one, PasswordAlgorithm::MD5 | PasswordAlgorithm::SHA256)
                };
                let chosen = list.iter().find(known).ok_or(NoAnswer::Algorithms)?;
                Some((list.0.to_vec(), chosen))
            }
            None => None,
        };
        // RFC 8489 §9.2.5: no second try with the same words.
        if signed && !stale && known.is_some_and(|known| known.realm == realm) {
            return Err(NoAnswer::Rejected);
        }
        let chosen = algorithms.as_ref().map_or(PasswordAlgorithm::MD5, |(_, chosen)| *chosen);
        let key = chosen.key(username, realm, password).ok_or(NoAnswer::Algorithms)?;
        self.challenge = Some(Challenge {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            algorithms,
            anonymous: features.username_anonymity,
            key,
        });
        Ok(())
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let realm = self.challenge.as_ref().map(|challenge| challenge.realm.as_str());
        write!(f, "Authentication {{ {:?}, realm: {realm:?} }}", self.credentials)
    }
}
