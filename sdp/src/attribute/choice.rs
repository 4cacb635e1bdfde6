//! Which of the offered `a=crypto` lines is taken (RFC 4568 §5.1, §7.1).

use super::{Crypto, CryptoSuite, SessionParam};

impl Crypto {
    /// Whether one who knows these suites, and keeps to their usual parameters, can take the line as it
    /// stands: with one key (no MKI that would have to be told apart in each packet), and without a
    /// session parameter that changes packets or that is not known (RFC 4568 §6.3.7, §7.1.2).
    pub fn is_acceptable(&self, suites: &[CryptoSuite]) -> bool {
        let harmless = |parameter: &SessionParam| match parameter {
            SessionParam::WindowSizeHint(_) | SessionParam::FecBeforeSrtp(_) => true,
            SessionParam::Other(text) => text.starts_with('-'),
            _ => false,
        };
        let plain = matches!(self.keys.as_slice(), [key] if key.mki.is_none());
        plain && suites.contains(&self.suite) && self.session.iter().all(harmless)
    }

    /// The line to answer: the first that [is acceptable](Self::is_acceptable), since the offerer prefers
    /// what comes first (RFC 4568 §5.1.1, §5.1.2). `None`: the stream is refused, or answered without
    /// SRTP where that was offered as well.
    pub fn choose<'a>(offered: &'a [Self], suites: &[CryptoSuite]) -> Option<&'a Self> {
        offered.iter().find(|line| line.is_acceptable(suites))
    }

    /// The offered line that this one, of an answer, accepts: that of the same tag and suite. `None`: it
    /// answers nothing that was offered, and the answer is not valid (RFC 4568 §5.1.3).
    pub fn accepted<'a>(&self, offered: &'a [Self]) -> Option<&'a Self> {
        offered.iter().find(|line| line.tag == self.tag && line.suite == self.suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm";

    fn lines(lines: &[&str]) -> Vec<Crypto> {
        lines.iter().map(|line| line.replace("KEY", KEY).parse().expect("a crypto line")).collect()
    }

    const OURS: [CryptoSuite; 2] = [CryptoSuite::AesCm128HmacSha1_32, CryptoSuite::AesCm128HmacSha1_80];

    #[test]
    fn the_offerers_first_that_we_can_take() {
        for (offered, chosen) in [
            (
                &[
                    "1 F8_128_HMAC_SHA1_80 KEY",
                    "2 AES_CM_128_HMAC_SHA1_80 KEY",
                    "3 AES_CM_128_HMAC_SHA1_32 KEY",
                ][..],
                Some(2),
            ),
            (&["7 AES_CM_128_HMAC_SHA1_80 KEY UNENCRYPTED_SRTP", "9 AES_CM_128_HMAC_SHA1_32 KEY"], Some(9)),
            (
                &[
                    "1 AES_CM_128_HMAC_SHA1_80 KEY KDR=0",
                    "2 AES_CM_128_HMAC_SHA1_80 KEY UNAUTHENTICATED_SRTP",
                ],
                None,
            ),
            (
                &["1 AES_CM_128_HMAC_SHA1_80 KEY X-NEW", "2 AES_CM_128_HMAC_SHA1_80 KEY -X-NEW WSH=128"],
                Some(2),
            ),
            (&["1 AES_CM_128_HMAC_SHA1_80 KEY|2^20|1:4", "2 AES_CM_128_HMAC_SHA1_80 KEY|2^20"], Some(2)),
            (&["1 NEW_SUITE KEY"], None),
            (&[], None),
        ] {
            let offered = lines(offered);
            assert_eq!(Crypto::choose(&offered, &OURS).map(|line| line.tag), chosen, "{offered:?}");
        }
    }

    #[test]
    fn answers_name_what_was_offered() {
        let offered = lines(&["1 AES_CM_128_HMAC_SHA1_80 KEY", "2 AES_CM_128_HMAC_SHA1_32 KEY"]);
        for (answer, tag) in [
            ("2 AES_CM_128_HMAC_SHA1_32 KEY", Some(2)),
            ("2 AES_CM_128_HMAC_SHA1_80 KEY", None),
            ("3 AES_CM_128_HMAC_SHA1_80 KEY", None),
        ] {
            let answer = &lines(&[answer])[0];
            assert_eq!(answer.accepted(&offered).map(|line| line.tag), tag);
        }
    }
}
