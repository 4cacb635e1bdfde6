//! Keys for SRTP in SDP (RFC 4568).

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use rtp_srtp::srtp::Suite;
use sdp::attribute::Crypto;
use zeroize::Zeroizing;

use crate::session::SrtpParameters;

/// The suites that are offered, the preferred first.
const SUITES: [Suite; 2] = [Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

/// A master key with its salt, for one suite. `Debug` prints no key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LocalKey {
    suite: Suite,
    master: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// A new key for each suite.
pub(super) fn new_keys(random: &mut ChaCha20Rng) -> Vec<LocalKey> {
    let key = |suite: Suite| {
        let mut master = Zeroizing::new(vec![0; suite.master_len()]);
        random.fill_bytes(&mut master);
        LocalKey { suite, master }
    };
    SUITES.map(key).into()
}

/// `a=crypto` lines of an offer: one for each key, with tags from 1.
pub(super) fn offer(keys: &[LocalKey]) -> impl Iterator<Item = Crypto> + '_ {
    (1_u32..).zip(keys).filter_map(|(tag, key)| attribute(tag, key))
}

fn attribute(tag: u32, key: &LocalKey) -> Option<Crypto> {
    let suite = key.suite.name().parse().ok()?;
    Some(Crypto::new(tag, suite, key.master.to_vec()))
}

/// Whether a key of the peer's is one that we can use.
pub(super) fn is_usable(crypto: &Crypto) -> bool {
    suite(crypto).is_some_and(|suite| master_key(crypto, suite).is_some())
}

/// The first of the peer's keys that we have a suite for: both keys, and our `a=crypto` with its
/// tag (RFC 4568 §5.1.2).
pub(super) fn answer(offered: &[Crypto], keys: &[LocalKey]) -> Option<(SrtpParameters, Crypto)> {
    offered.iter().find_map(|crypto| {
        let suite = suite(crypto)?;
        let key = keys.iter().find(|key| key.suite == suite)?;
        Some((parameters(crypto, key)?, attribute(crypto.tag, key)?))
    })
}

/// The peer's choice among the keys that we offered.
pub(super) fn chosen(answered: &[Crypto], keys: &[LocalKey]) -> Option<SrtpParameters> {
    answered.iter().find_map(|crypto| {
        let index = usize::try_from(crypto.tag).ok()?.checked_sub(1)?;
        let key = keys.get(index).filter(|key| suite(crypto) == Some(key.suite))?;
        parameters(crypto, key)
    })
}

fn parameters(remote: &Crypto, local: &LocalKey) -> Option<SrtpParameters> {
    Some(SrtpParameters {
        suite: local.suite.name().to_owned(),
        local_key: local.master.clone(),
        remote_key: Zeroizing::new(master_key(remote, local.suite)?.to_vec()),
    })
}

fn suite(crypto: &Crypto) -> Option<Suite> {
    SUITES.into_iter().find(|suite| suite.name() == crypto.suite.as_str())
}

/// The one key of a line; none where the line asks for what we don't do.
fn master_key(crypto: &Crypto, suite: Suite) -> Option<&[u8]> {
    let key = crypto.keys.first().filter(|_| crypto.is_acceptable(std::slice::from_ref(&crypto.suite)))?;
    Some(key.key.as_bytes()).filter(|bytes| bytes.len() == suite.master_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn keys(seed: u8) -> Vec<LocalKey> {
        new_keys(&mut ChaCha20Rng::from_seed([seed; 32]))
    }

    #[test]
    fn both_sides_come_to_the_same_keys() {
        let (ours, theirs) = (keys(1), keys(2));
        let offered: Vec<Crypto> = offer(&ours).collect();
        assert_eq!(offered.len(), 2);
        let (answerer, line) = answer(&offered, &theirs).expect("a suite in common");
        let offerer = chosen(&[line], &ours).expect("our own suite");
        assert_eq!(offerer.local_key, answerer.remote_key);
        assert_eq!(offerer.remote_key, answerer.local_key);
        assert_ne!(offerer.local_key, offerer.remote_key);
    }

    #[test]
    fn what_we_cannot_honour_is_not_used() {
        let key = "inline:".to_owned() + "MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm";
        let usable = |line: &str| is_usable(&line.parse().expect("a crypto line"));
        assert!(usable(&format!("1 AES_CM_128_HMAC_SHA1_80 {key}")));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 {key} UNENCRYPTED_SRTP")));
        assert!(!usable(&format!("1 F8_128_HMAC_SHA1_80 {key}")));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 {key}|1:4")), "we have no MKI");
    }

    #[test]
    fn debug_prints_no_key() {
        let key = &keys(1)[0];
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.master[0..4].to_vec())));
        assert!(format!("{key:?}").contains("AesCm128"));
    }
}
