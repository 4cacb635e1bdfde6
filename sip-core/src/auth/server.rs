//! The side that challenges, with nonces that it need not remember (RFC 7616 §3.3, §5.4).

use super::{Algorithm, Challenge, Digest, DigestAnswer, Qop, crypto};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The user is who it says.
    Accepted,
    /// The nonce is not ours any more: challenge again with `stale`.
    Stale,
    /// Wrong password, a replay, or not what was asked for.
    Refused,
}

/// Challenges the users of a realm and checks their answers.
///
/// A nonce holds when it was made and a keyed tag, so none is remembered until it is used; the
/// counts of used ones are, until they expire, and no count is accepted twice.
#[derive(Debug)]
pub struct Authority {
    realm: String,
    key: [u8; 32],
    /// Where the time in nonces is counted from.
    epoch: Instant,
    /// How long a nonce lasts.
    lifetime: Duration,
    /// How many used nonces are remembered.
    capacity: usize,
    /// The highest count of each used nonce, by its time and serial.
    used: HashMap<Nonce, u32>,
    serial: u64,
}

/// What a nonce says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Nonce {
    /// Milliseconds since the epoch.
    time: u64,
    /// Tells nonces of one millisecond apart.
    serial: u64,
}

impl Authority {
    /// An authority over `realm`; nonces last `lifetime`, and `capacity` used ones are remembered.
    pub fn new(
        realm: impl Into<String>,
        key: [u8; 32],
        now: Instant,
        lifetime: Duration,
        capacity: usize,
    ) -> Self {
        Self { realm: realm.into(), key, epoch: now, lifetime, capacity, used: HashMap::new(), serial: 0 }
    }

    /// A challenge with a fresh nonce.
    pub fn challenge(&mut self, now: Instant, algorithm: Algorithm, stale: bool) -> Challenge {
        self.serial = self.serial.wrapping_add(1);
        let nonce = Nonce { time: self.time(now), serial: self.serial };
        Challenge {
            realm: self.realm.clone(),
            nonce: self.print(nonce),
            opaque: None,
            algorithm,
            auth: true,
            auth_int: false,
            stale,
        }
    }

    /// Checks an answer to a challenge of ours. `ha1` is of [`Algorithm::ha1`], for the algorithm
    /// of the answer; `method`, `uri` and `body` are those of the request.
    pub fn check(
        &mut self,
        now: Instant,
        answer: &DigestAnswer,
        ha1: &str,
        method: &str,
        uri: &str,
        body: &[u8],
    ) -> Verdict {
        let Some(nonce) = self.read(&answer.nonce) else { return Verdict::Stale };
        let (Some(qop), Some(nc), Some(cnonce)) = (answer.qop, answer.nc, answer.cnonce.as_deref()) else {
            // Without qop nothing tells a replay.
            return Verdict::Refused;
        };
        if answer.realm != self.realm || answer.uri != uri || nc == 0 || qop != Qop::Auth {
            return Verdict::Refused;
        }
        let digest = Digest { method, uri, body, nc, cnonce };
        let expected = answer.algorithm.response(ha1, &answer.nonce, Some(qop), &digest);
        if !bool::from(expected.as_bytes().ct_eq(answer.response.to_ascii_lowercase().as_bytes())) {
            return Verdict::Refused;
        }
        let age = self.time(now).saturating_sub(nonce.time);
        if u128::from(age) > self.lifetime.as_millis() {
            return Verdict::Stale;
        }
        match self.used.get_mut(&nonce) {
            Some(highest) if *highest >= nc => Verdict::Refused,
            Some(highest) => {
                *highest = nc;
                Verdict::Accepted
            }
            None => {
                if self.used.len() >= self.capacity {
                    let (time, lifetime) = (self.time(now), self.lifetime.as_millis());
                    self.used.retain(|n, _| u128::from(time.saturating_sub(n.time)) <= lifetime);
                }
                if self.used.len() >= self.capacity {
                    return Verdict::Stale;
                }
                self.used.insert(nonce, nc);
                Verdict::Accepted
            }
        }
    }

    fn time(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    fn print(&self, nonce: Nonce) -> String {
        let (time, serial) = (nonce.time.to_be_bytes(), nonce.serial.to_be_bytes());
        let tag = crypto::keyed(&self.key, &[self.realm.as_bytes(), &time, &serial]);
        STANDARD.encode([&time[..], &serial[..], &tag[..]].concat())
    }

    /// What a nonce of ours says; `None` if it is not ours.
    fn read(&self, text: &str) -> Option<Nonce> {
        if text.len() > 64 {
            return None;
        }
        let bytes = STANDARD.decode(text).ok()?;
        let (time, rest) = bytes.split_first_chunk::<8>()?;
        let (serial, _) = rest.split_first_chunk::<8>()?;
        let nonce = Nonce { time: u64::from_be_bytes(*time), serial: u64::from_be_bytes(*serial) };
        bool::from(self.print(nonce).as_bytes().ct_eq(text.as_bytes())).then_some(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Credentials, transaction::testing::start};

    const LIFETIME: Duration = Duration::from_secs(60);

    fn answer(challenge: &Challenge, password: &str, nc: u32) -> DigestAnswer {
        let digest = Digest { nc, cnonce: "c", ..Digest::new("REGISTER", "sip:r") };
        challenge.answer(&Credentials::new("alice", password), &digest).parse().unwrap()
    }

    fn check(authority: &mut Authority, now: Instant, answer: &DigestAnswer) -> Verdict {
        let ha1 = answer.algorithm.ha1("alice", "r", "pw");
        authority.check(now, answer, &ha1, "REGISTER", "sip:r", b"")
    }

    #[test]
    fn replays_are_refused() {
        let now = start();
        let mut authority = Authority::new("r", [7; 32], now, LIFETIME, 10);
        let challenge = authority.challenge(now, Algorithm::Sha256, false);
        assert_eq!(check(&mut authority, now, &answer(&challenge, "wrong", 1)), Verdict::Refused);
        assert_eq!(check(&mut authority, now, &answer(&challenge, "pw", 1)), Verdict::Accepted);
        assert_eq!(check(&mut authority, now, &answer(&challenge, "pw", 1)), Verdict::Refused);
        assert_eq!(check(&mut authority, now, &answer(&challenge, "pw", 2)), Verdict::Accepted);
        let late = now + LIFETIME + Duration::from_secs(1);
        assert_eq!(check(&mut authority, late, &answer(&challenge, "pw", 3)), Verdict::Stale);
    }

    #[test]
    fn forged_nonces_are_not_ours() {
        let now = start();
        let mut authority = Authority::new("r", [7; 32], now, LIFETIME, 10);
        let mut other = Authority::new("r", [8; 32], now, LIFETIME, 10);
        let challenge = other.challenge(now, Algorithm::Md5, false);
        assert_eq!(check(&mut authority, now, &answer(&challenge, "pw", 1)), Verdict::Stale);
        let mut answer = answer(&authority.challenge(now, Algorithm::Md5, false), "pw", 1);
        answer.qop = None;
        assert_eq!(check(&mut authority, now, &answer), Verdict::Refused);
    }

    #[test]
    fn the_table_of_used_nonces_is_bounded() {
        let now = start();
        let mut authority = Authority::new("r", [7; 32], now, LIFETIME, 2);
        for expected in [Verdict::Accepted, Verdict::Accepted, Verdict::Stale] {
            let challenge = authority.challenge(now, Algorithm::Md5, false);
            assert_eq!(check(&mut authority, now, &answer(&challenge, "pw", 1)), expected);
        }
        let late = now + LIFETIME + Duration::from_secs(1);
        let challenge = authority.challenge(late, Algorithm::Md5, false);
        assert_eq!(check(&mut authority, late, &answer(&challenge, "pw", 1)), Verdict::Accepted);
    }
}
