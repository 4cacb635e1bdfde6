//! `a=crypto` (RFC 4568): keys for SRTP in the description.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

use super::valued;
use crate::error::ParseError;
use crate::number;

/// `a=crypto` (RFC 4568 §9.1)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Names this attribute in the answer; at most nine digits.
    pub tag: u32,
    /// Cipher and tag length.
    pub suite: CryptoSuite,
    /// At least one key; several are told apart by their MKI.
    pub keys: Vec<KeyParams>,
    /// Session parameters.
    pub session: Vec<SessionParam>,
}

/// Crypto suites (RFC 4568 §6.2, RFC 6188, RFC 7714).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CryptoSuite {
    /// `AES_CM_128_HMAC_SHA1_80`
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`
    AesCm128HmacSha1_32,
    /// `F8_128_HMAC_SHA1_80`
    F8_128HmacSha1_80,
    /// `AES_192_CM_HMAC_SHA1_80` (RFC 6188)
    Aes192CmHmacSha1_80,
    /// `AES_192_CM_HMAC_SHA1_32` (RFC 6188)
    Aes192CmHmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188)
    Aes256CmHmacSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188)
    Aes256CmHmacSha1_32,
    /// `AEAD_AES_128_GCM` (RFC 7714)
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714)
    AeadAes256Gcm,
    /// Another.
    Other(String),
}

/// One `inline:` key (RFC 4568 §6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyParams {
    /// Master key and master salt, one after the other.
    pub key: MasterKey,
    /// Packets that the key may protect.
    pub lifetime: Option<Lifetime>,
    /// The master key identifier.
    pub mki: Option<Mki>,
}

/// Master key and salt. Its `Debug` shows nothing, its memory is cleared.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<Vec<u8>>);

/// How many packets, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// `2^n`
    PowerOfTwo(u8),
    /// A plain number.
    Packets(u64),
}

/// Master key identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mki {
    /// Its value.
    pub value: u64,
    /// Its length in each packet, 1 to 128 bytes.
    pub length: u8,
}

/// Session parameters (RFC 4568 §6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionParam {
    /// `KDR=n`: the key derivation rate is 2^n, n up to 24.
    KeyDerivationRate(u8),
    /// `UNENCRYPTED_SRTP`
    UnencryptedSrtp,
    /// `UNENCRYPTED_SRTCP`
    UnencryptedSrtcp,
    /// `UNAUTHENTICATED_SRTP`
    UnauthenticatedSrtp,
    /// `FEC_ORDER=FEC_SRTP` (true) or `SRTP_FEC`
    FecBeforeSrtp(bool),
    /// `FEC_KEY=…`
    FecKey(Vec<KeyParams>),
    /// `WSH=n`: window size hint, at least 64.
    WindowSizeHint(u32),
    /// Another. Without a `-` in front, one who does not know it must refuse the attribute (RFC 4568 §6.3.7).
    Other(String),
}

valued!(Crypto => "crypto");

const SUITES: [(&str, CryptoSuite); 9] = [
    ("AES_CM_128_HMAC_SHA1_80", CryptoSuite::AesCm128HmacSha1_80),
    ("AES_CM_128_HMAC_SHA1_32", CryptoSuite::AesCm128HmacSha1_32),
    ("F8_128_HMAC_SHA1_80", CryptoSuite::F8_128HmacSha1_80),
    ("AES_192_CM_HMAC_SHA1_80", CryptoSuite::Aes192CmHmacSha1_80),
    ("AES_192_CM_HMAC_SHA1_32", CryptoSuite::Aes192CmHmacSha1_32),
    ("AES_256_CM_HMAC_SHA1_80", CryptoSuite::Aes256CmHmacSha1_80),
    ("AES_256_CM_HMAC_SHA1_32", CryptoSuite::Aes256CmHmacSha1_32),
    ("AEAD_AES_128_GCM", CryptoSuite::AeadAes128Gcm),
    ("AEAD_AES_256_GCM", CryptoSuite::AeadAes256Gcm),
];

/// Takes base64 with its padding or without: both are sent.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Crypto {
    /// One key, no parameters.
    pub fn new(tag: u32, suite: CryptoSuite, key_and_salt: Vec<u8>) -> Self {
        let key = KeyParams { key: MasterKey::new(key_and_salt), lifetime: None, mki: None };
        Self { tag, suite, keys: vec![key], session: Vec::new() }
    }
}

impl CryptoSuite {
    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            CryptoSuite::Other(other) => other,
            known => {
                SUITES.iter().find(|(_, suite)| suite == known).map(|(name, _)| *name).unwrap_or_default()
            }
        }
    }

    /// Bytes of master key and of master salt; `None` for suites that are not known.
    pub const fn key_and_salt_len(&self) -> Option<(usize, usize)> {
        Some(match self {
            CryptoSuite::AesCm128HmacSha1_80
            | CryptoSuite::AesCm128HmacSha1_32
            | CryptoSuite::F8_128HmacSha1_80 => (16, 14),
            CryptoSuite::Aes192CmHmacSha1_80 | CryptoSuite::Aes192CmHmacSha1_32 => (24, 14),
            CryptoSuite::Aes256CmHmacSha1_80 | CryptoSuite::Aes256CmHmacSha1_32 => (32, 14),
            CryptoSuite::AeadAes128Gcm => (16, 12),
            CryptoSuite::AeadAes256Gcm => (32, 12),
            CryptoSuite::Other(_) => return None,
        })
    }
}

impl MasterKey {
    /// Takes key and salt, one after the other.
    pub fn new(key_and_salt: Vec<u8>) -> Self {
        MasterKey(Zeroizing::new(key_and_salt))
    }

    /// Key and salt, one after the other.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Lifetime {
    /// The number of packets.
    pub const fn packets(self) -> u64 {
        match self {
            Lifetime::PowerOfTwo(power) => 1u64.wrapping_shl(power as u32),
            Lifetime::Packets(packets) => packets,
        }
    }
}

impl FromStr for CryptoSuite {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = SUITES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        Ok(known.map_or_else(|| CryptoSuite::Other(text.to_owned()), |(_, suite)| suite.clone()))
    }
}

impl FromStr for Crypto {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("tag, suite, key parameters");
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let tag = words.next().filter(|tag| tag.len() <= 9).and_then(number::u32);
        let tag = tag.ok_or(ParseError::range("a tag of 1 to 9 digits"))?;
        let suite: CryptoSuite = words.next().ok_or(wrong)?.parse()?;
        let keys = key_params(words.next().ok_or(wrong)?)?;
        if let Some((key, salt)) = suite.key_and_salt_len()
            && keys.iter().any(|one| one.key.0.len() != key + salt)
        {
            return Err(ParseError::range("as many bytes of key and salt as the suite takes"));
        }
        let session = words.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Crypto { tag, suite, keys, session })
    }
}

fn key_params(text: &str) -> Result<Vec<KeyParams>, ParseError> {
    let keys = text.split(';').map(str::parse).collect::<Result<Vec<KeyParams>, _>>()?;
    // RFC 4568 §6.1: with several keys each has an MKI, of one length.
    let lengths = |one: &KeyParams| one.mki.map(|mki| mki.length);
    let first = keys.first().and_then(lengths);
    if keys.len() > 1 && (first.is_none() || keys.iter().any(|one| lengths(one) != first)) {
        return Err(ParseError::syntax("an MKI of one length with each of several keys"));
    }
    Ok(keys)
}

impl FromStr for KeyParams {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("inline:key|lifetime|MKI:length");
        let (method, info) = text.split_once(':').ok_or(wrong)?;
        if !method.eq_ignore_ascii_case("inline") {
            return Err(ParseError::syntax("the key method inline"));
        }
        let mut parts = info.split('|');
        let key = Zeroizing::new(parts.next().unwrap_or_default().to_owned());
        let key = LENIENT.decode(key.as_bytes()).map_err(|_| ParseError::syntax("a key in base64"))?;
        let mut params = KeyParams { key: MasterKey::new(key), lifetime: None, mki: None };
        for part in parts {
            match part.split_once(':') {
                Some((value, length)) if params.mki.is_none() => {
                    let range = ParseError::range("an MKI of 64 bits, a length of 1 to 128");
                    let length = number::u16(length).filter(|length| (1..=128).contains(length));
                    params.mki = Some(Mki {
                        value: number::u64(value).ok_or(range)?,
                        length: length.and_then(|length| u8::try_from(length).ok()).ok_or(range)?,
                    });
                }
                None if params.lifetime.is_none() && params.mki.is_none() => {
                    params.lifetime = Some(lifetime(part)?);
                }
                _ => return Err(wrong),
            }
        }
        Ok(params)
    }
}

fn lifetime(text: &str) -> Result<Lifetime, ParseError> {
    // RFC 3711 §9.2: 2^48 packets at most.
    let wrong = ParseError::range("a lifetime of 1 to 2^48 packets");
    let lifetime = match text.strip_prefix("2^") {
        Some(power) => Lifetime::PowerOfTwo(
            number::u16(power)
                .filter(|power| *power <= 48)
                .and_then(|p| u8::try_from(p).ok())
                .ok_or(wrong)?,
        ),
        None => Lifetime::Packets(number::u64(text).ok_or(wrong)?),
    };
    if lifetime.packets() == 0 || lifetime.packets() > 1 << 48 {
        return Err(wrong);
    }
    Ok(lifetime)
}

impl FromStr for SessionParam {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match name {
            "KDR" => SessionParam::KeyDerivationRate(
                number::u16(value)
                    .filter(|rate| *rate <= 24)
                    .and_then(|rate| u8::try_from(rate).ok())
                    .ok_or(ParseError::range("KDR of 0 to 24"))?,
            ),
            "UNENCRYPTED_SRTP" if value.is_empty() => SessionParam::UnencryptedSrtp,
            "UNENCRYPTED_SRTCP" if value.is_empty() => SessionParam::UnencryptedSrtcp,
            "UNAUTHENTICATED_SRTP" if value.is_empty() => SessionParam::UnauthenticatedSrtp,
            "FEC_ORDER" => match value {
                "FEC_SRTP" => SessionParam::FecBeforeSrtp(true),
                "SRTP_FEC" => SessionParam::FecBeforeSrtp(false),
                _ => return Err(ParseError::syntax("FEC_SRTP or SRTP_FEC")),
            },
            "FEC_KEY" => SessionParam::FecKey(key_params(value)?),
            "WSH" => SessionParam::WindowSizeHint(
                number::u32(value)
                    .filter(|size| *size >= 64)
                    .ok_or(ParseError::range("WSH of 64 or more"))?,
            ),
            _ => SessionParam::Other(text.to_owned()),
        })
    }
}

impl fmt::Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.tag, self.suite.as_str())?;
        write_keys(f, &self.keys)?;
        self.session.iter().try_for_each(|param| write!(f, " {param}"))
    }
}

fn write_keys(f: &mut fmt::Formatter<'_>, keys: &[KeyParams]) -> fmt::Result {
    let mut separator = "";
    for key in keys {
        write!(f, "{separator}{key}")?;
        separator = ";";
    }
    Ok(())
}

impl fmt::Display for KeyParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Zeroizing::new(STANDARD.encode(self.key.as_bytes()));
        write!(f, "inline:{}", key.as_str())?;
        match self.lifetime {
            Some(Lifetime::PowerOfTwo(power)) => write!(f, "|2^{power}")?,
            Some(Lifetime::Packets(packets)) => write!(f, "|{packets}")?,
            None => {}
        }
        self.mki.iter().try_for_each(|mki| write!(f, "|{}:{}", mki.value, mki.length))
    }
}

impl fmt::Display for SessionParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionParam::KeyDerivationRate(rate) => write!(f, "KDR={rate}"),
            SessionParam::UnencryptedSrtp => f.write_str("UNENCRYPTED_SRTP"),
            SessionParam::UnencryptedSrtcp => f.write_str("UNENCRYPTED_SRTCP"),
            SessionParam::UnauthenticatedSrtp => f.write_str("UNAUTHENTICATED_SRTP"),
            SessionParam::FecBeforeSrtp(true) => f.write_str("FEC_ORDER=FEC_SRTP"),
            SessionParam::FecBeforeSrtp(false) => f.write_str("FEC_ORDER=SRTP_FEC"),
            SessionParam::FecKey(keys) => {
                f.write_str("FEC_KEY=")?;
                write_keys(f, keys)
            }
            SessionParam::WindowSizeHint(size) => write!(f, "WSH={size}"),
            SessionParam::Other(other) => f.write_str(other),
        }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4568 §4, §6.1 and §9.2.
    const EXAMPLES: [&str; 3] = [
        "1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32",
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP",
        "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;\
         inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP",
    ];

    #[test]
    fn examples_go_both_ways() {
        for text in EXAMPLES {
            assert_eq!(text.parse::<Crypto>().expect(text).to_string(), text);
        }
        let text = "9 AES_CM_128_HMAC_SHA1_32 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|1048576 KDR=1 \
                    UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP WSH=128 -x=1";
        assert_eq!(text.parse::<Crypto>().expect(text).to_string(), text);
    }

    #[test]
    fn malformed() {
        let key = "inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
        for bad in [
            String::new(),
            "1".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80 inline:!!!!".to_owned(),
            format!("x AES_CM_128_HMAC_SHA1_80 {key}"),
            format!("1234567890 AES_CM_128_HMAC_SHA1_80 {key}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key}|2^49"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key}|0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key}|1:129"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key}|1:0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key};{key}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key} WSH=63"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {key} KDR=25"),
        ] {
            assert!(bad.parse::<Crypto>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_key_in_a_log() {
        let crypto: Crypto = EXAMPLES[0].parse().expect("an example");
        let shown = format!("{crypto:?}");
        assert!(shown.contains("MasterKey(…)"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", &crypto.keys[0].key.as_bytes()[..4])[1..8]), "{shown}");
    }
}
