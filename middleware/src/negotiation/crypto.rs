//! Keys for SRTP in SDP (RFC 4568).

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use rtp_srtp::srtp::Suite;
use sdp::attribute::{Crypto, Lifetime, Mki, SessionParam};
use zeroize::Zeroizing;

use crate::configuration::RtpConfiguration;
use crate::session::{SrtpKey, SrtpParameters};

/// Keys of one line that are taken; more are no use (RFC 4568 §6.1 bounds them not).
const MAX_KEYS: usize = 4;

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

/// A new key for each suite of the configuration.
pub(super) fn new_keys(random: &mut ChaCha20Rng, config: &RtpConfiguration) -> Vec<LocalKey> {
    let key = |suite: Suite| {
        let mut master = Zeroizing::new(vec![0; suite.master_len()]);
        random.fill_bytes(&mut master);
        LocalKey { suite, master }
    };
    suites(config).map(key).collect()
}

fn suites(config: &RtpConfiguration) -> impl Iterator<Item = Suite> + '_ {
    config.srtp_suites.iter().filter_map(|name| name.parse().ok())
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
pub(super) fn is_usable(crypto: &Crypto, config: &RtpConfiguration) -> bool {
    suite(crypto)
        .is_some_and(|suite| suites(config).any(|ours| ours == suite) && remote_keys(crypto, suite).is_some())
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
        remote_keys: remote_keys(remote, local.suite)?,
    })
}

fn suite(crypto: &Crypto) -> Option<Suite> {
    crypto.suite.as_str().parse().ok()
}

/// The keys of a line, with their identifiers and lifetimes; none where the line asks for what is
/// not done here: packets that are not encrypted or not authenticated, keys derived anew
/// (RFC 4568 §6.3.1 to §6.3.3), a key for FEC (§6.3.5), and whatever else is unknown and does not say
/// that it may be passed over (§6.3.7). An order of FEC (§6.3.4) means nothing where there is no FEC, and the
/// window (§6.3.6) is larger than any that may be asked for sensibly.
fn remote_keys(crypto: &Crypto, suite: Suite) -> Option<Vec<SrtpKey>> {
    let harmless = |parameter: &SessionParam| match parameter {
        SessionParam::WindowSizeHint(_) | SessionParam::FecBeforeSrtp(_) => true,
        SessionParam::KeyDerivationRate(power) => *power == 0,
        SessionParam::Other(text) => text.starts_with('-'),
        _ => false,
    };
    if !crypto.session.iter().all(harmless) || crypto.keys.is_empty() || crypto.keys.len() > MAX_KEYS {
        return None;
    }
    let keys = crypto.keys.iter().map(|params| {
        let master = Zeroizing::new(params.key.as_bytes().to_vec());
        let mki = match params.mki {
            Some(mki) => identifier(mki)?,
            None => Vec::new(),
        };
        let lifetime = params.lifetime.map(Lifetime::packets);
        (master.len() == suite.master_len()).then_some(SrtpKey { master, mki, lifetime })
    });
    keys.collect()
}

/// The identifier as it stands in packets: so many bytes, big end first.
fn identifier(mki: Mki) -> Option<Vec<u8>> {
    let (value, length) = (mki.value.to_be_bytes(), usize::from(mki.length));
    match length.checked_sub(value.len()) {
        Some(zeros) => Some([vec![0; zeros], value.to_vec()].concat()),
        None => {
            let (over, kept) = value.split_at(value.len() - length);
            over.iter().all(|byte| *byte == 0).then(|| kept.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn keys(seed: u8) -> Vec<LocalKey> {
        new_keys(&mut ChaCha20Rng::from_seed([seed; 32]), &RtpConfiguration::default())
    }

    #[test]
    fn both_sides_come_to_the_same_keys() {
        let (ours, theirs) = (keys(1), keys(2));
        let offered: Vec<Crypto> = offer(&ours).collect();
        assert_eq!(offered.len(), 4);
        // Whatever of it the answerer has.
        for from in 0..4 {
            let (answerer, line) = answer(&offered[from..], &theirs).expect("a suite in common");
            let offerer = chosen(&[line], &ours).expect("our own suite");
            assert_eq!(offerer.suite, ours[from].suite.name());
            assert_eq!(offerer.local_key, answerer.remote_keys[0].master);
            assert_eq!(offerer.remote_keys[0].master, answerer.local_key);
            assert_ne!(offerer.local_key, answerer.local_key);
        }
    }

    /// RFC 4568 §6.1 and §6.3, parameter by parameter.
    #[test]
    fn every_parameter_is_honoured_or_refuses_the_line() {
        let key = "inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm";
        let read = |line: String| {
            let crypto: Crypto = line.parse().expect("a crypto line");
            is_usable(&crypto, &RtpConfiguration::default())
                .then(|| remote_keys(&crypto, suite(&crypto).expect("a suite")).expect("keys"))
        };
        let line = |rest: &str| read(format!("1 AES_CM_128_HMAC_SHA1_80 {key}{rest}"));
        assert!(line("").is_some());
        for honoured in
            [" WSH=64", " WSH=10000", " FEC_ORDER=FEC_SRTP", " FEC_ORDER=SRTP_FEC", " KDR=0", " -odd"]
        {
            assert!(line(honoured).is_some(), "{honoured}");
        }
        let fec_key = format!(" FEC_KEY={key}");
        for refused in
            [" UNENCRYPTED_SRTP", " UNENCRYPTED_SRTCP", " UNAUTHENTICATED_SRTP", " KDR=1", " odd", &fec_key]
        {
            assert!(line(refused).is_none(), "{refused}");
        }
        assert!(read(format!("1 F8_128_HMAC_SHA1_80 {key}")).is_none(), "AES-f8 is not there");
        let named = line("|2^20|1:4").expect("an identifier and a lifetime");
        assert_eq!((named[0].mki.as_slice(), named[0].lifetime), ([0, 0, 0, 1].as_slice(), Some(1 << 20)));
        assert_eq!(line("|258:10").expect("a long one")[0].mki, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert!(line("|256:1").is_none(), "it does not fit one byte");
        assert_eq!(line(&format!("|1:1;{key}|2:1")).expect("two keys").len(), 2);
    }

    #[test]
    fn suites_are_those_of_the_configuration() {
        let config = RtpConfiguration {
            srtp_suites: ["AES_256_CM_HMAC_SHA1_80", "unknown", "AEAD_AES_256_GCM"]
                .map(str::to_owned)
                .to_vec(),
            ..RtpConfiguration::default()
        };
        let keys = new_keys(&mut ChaCha20Rng::from_seed([1; 32]), &config);
        let names: Vec<String> = offer(&keys).map(|line| line.suite.as_str().to_owned()).collect();
        assert_eq!(names, ["AES_256_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM"]);
    }

    #[test]
    fn debug_prints_no_key() {
        let key = &keys(1)[0];
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.master[0..4].to_vec())));
        assert!(format!("{key:?}").contains("AeadAes128"));
    }
}
