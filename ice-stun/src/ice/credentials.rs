//! User name fragment and password of a session, and what a peer says of itself (RFC 8839 §5.3 to
//! §5.6, RFC 8840).

use std::fmt;

use rand_core::Rng;
use zeroize::Zeroizing;

use super::candidate::is_ice_char;
use crate::error::{ErrorKind, ParseError};

/// Characters of our own fragments: 6 bits each, of 24 that are asked for (RFC 8445 §5.3).
const UFRAG: usize = 8;
/// Characters of our own passwords: 144 bits, of 128 that are asked for.
const PASSWORD: usize = 24;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A user name fragment and a password. `Debug` prints no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// What a peer gave: 4 to 256 and 22 to 256 ice-chars (RFC 8839 §5.4).
    pub fn new(ufrag: &str, password: &str) -> Result<Self, ParseError> {
        let check = |text: &str, min, what| {
            if let Some(at) = text.bytes().position(|byte| !is_ice_char(byte)) {
                return Err(ParseError::new(at, ErrorKind::Value, "an ice-char"));
            }
            if !(min..=256).contains(&text.len()) {
                return Err(ParseError::new(text.len().min(256), ErrorKind::Length, what));
            }
            Ok(())
        };
        check(ufrag, 4, "a fragment of 4 to 256 characters")?;
        check(password, 22, "a password of 22 to 256 characters")?;
        Ok(Self { ufrag: ufrag.to_owned(), password: Zeroizing::new(password.to_owned()) })
    }

    /// New ones of our own.
    pub(super) fn random(random: &mut impl Rng) -> Self {
        let mut text = |length: usize| -> String {
            (0..length)
                .map(|_| {
                    let [byte, ..] = random.next_u32().to_le_bytes();
                    ALPHABET.get(usize::from(byte & 63)).copied().map_or('A', char::from)
                })
                .collect()
        };
        Self { ufrag: text(UFRAG), password: Zeroizing::new(text(PASSWORD)) }
    }

    /// The value of `a=ice-ufrag`.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The value of `a=ice-pwd`.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.ufrag)
    }
}

/// What a description says of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteParameters {
    /// Its fragment and password.
    pub credentials: Credentials,
    /// `a=ice-lite`.
    pub lite: bool,
    /// `a=ice-options`.
    pub options: IceOptions,
    /// `a=ice-pacing`, in milliseconds.
    pub pacing: Option<u32>,
}

impl RemoteParameters {
    /// A full agent with these credentials and no options.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, lite: false, options: IceOptions::default(), pacing: None }
    }
}

/// `a=ice-options` (RFC 8839 §5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IceOptions {
    /// `ice2`: RFC 8445, which has no aggressive nomination.
    pub ice2: bool,
    /// `trickle` (RFC 8838).
    pub trickle: bool,
}

impl IceOptions {
    /// Reads the value of the attribute; what it does not know is passed over.
    pub fn read(value: &str) -> Self {
        let has = |option| value.split_ascii_whitespace().any(|word| word == option);
        Self { ice2: has("ice2"), trickle: has("trickle") }
    }
}

impl fmt::Display for IceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.ice2, self.trickle) {
            (true, true) => "ice2 trickle",
            (true, false) => "ice2",
            (false, true) => "trickle",
            (false, false) => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn ours_are_long_enough_and_never_the_same() {
        let mut random = ChaCha20Rng::from_seed([1; 32]);
        let (one, two) = (Credentials::random(&mut random), Credentials::random(&mut random));
        assert_ne!(one, two);
        assert!(one.ufrag().len() * 6 >= 24 && one.password().len() * 6 >= 128);
        assert_eq!(Credentials::new(one.ufrag(), one.password()).unwrap(), one);
        assert!(!format!("{one:?}").contains(one.password()));
    }

    #[test]
    fn lengths_and_characters_are_checked() {
        let good = "a".repeat(22);
        for (ufrag, password) in [
            ("abc", good.as_str()),
            ("abcd", "short"),
            ("ab:d", &good),
            (&"a".repeat(257), &good),
            ("abcd", &"a".repeat(257)),
            ("ab\r\ncd", &good),
        ] {
            assert!(Credentials::new(ufrag, password).is_err(), "{ufrag} {password}");
        }
        assert!(Credentials::new(&"a".repeat(256), &good).is_ok());
    }

    #[test]
    fn options_read_and_print() {
        assert_eq!(IceOptions::read("rtp+ecn trickle"), IceOptions { ice2: false, trickle: true });
        for text in ["ice2", "trickle", "ice2 trickle", ""] {
            assert_eq!(IceOptions::read(text).to_string(), text);
        }
    }
}
