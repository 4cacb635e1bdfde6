//! The ciphers and the tag. AES-CM is `aes` and `ctr`, the tag is HMAC over `sha1`'s compression function with
//! both pads hashed once per key, AES-GCM is `ring`.

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctr::{Ctr32BE, CtrCore};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use sha1::block_api::compress;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::key::{MasterKey, Suite};

/// Everything derived from one master key (RFC 3711 §4.3).
pub(super) struct SessionKeys {
    pub(super) rtp: Protection,
    pub(super) rtcp: Protection,
    pub(super) mki: Vec<u8>,
    /// Packets that may still be protected or opened.
    pub(super) rtp_left: u64,
    pub(super) rtcp_left: u64,
}

/// Cipher and tag of one direction of RTP or of RTCP.
pub(super) enum Protection {
    CounterMode(CounterMode),
    Gcm(Gcm),
}

impl SessionKeys {
    /// RFC 3711 §4.3.1 with a key derivation rate of 0; the labels are 0 to 2 for SRTP, 3 to 5 for SRTCP.
    pub(super) fn derive(master: &MasterKey) -> Self {
        let suite = master.suite();
        let derivation = Derivation::new(master);
        Self {
            rtp: derivation.protection(suite, 0, suite.tag_len()),
            rtcp: derivation.protection(suite, 3, suite.rtcp_tag_len()),
            mki: master.mki().to_vec(),
            rtp_left: master.lifetime(),
            rtcp_left: master.lifetime(),
        }
    }
}

/// AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).
pub(super) struct CounterMode {
    cipher: AesCm,
    mac: HmacSha1,
    salt: u128,
    tag_len: usize,
}

impl CounterMode {
    #[inline]
    pub(super) const fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Encrypts or decrypts. IV = (salt · 2^16) XOR (SSRC · 2^64) XOR (index · 2^16), RFC 3711 §4.1.1.
    #[inline]
    pub(super) fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let iv = self.salt ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
        self.cipher.apply(&iv.to_be_bytes(), data);
    }

    /// The whole tag over `message` and at most 4 bytes more; what is sent is its first [`Self::tag_len`] bytes.
    #[inline]
    pub(super) fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; 20] {
        self.mac.tag(message, suffix)
    }

    /// Compares in constant time.
    #[inline]
    pub(super) fn verify(&self, message: &[u8], suffix: &[u8], tag: &[u8]) -> bool {
        let full = self.mac.tag(message, suffix);
        full.get(..self.tag_len).is_some_and(|expected| expected.ct_eq(tag).into())
    }
}

/// AES in Galois/counter mode (RFC 7714).
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: u128,
}

impl Gcm {
    pub(super) const TAG_LEN: usize = 16;

    /// RFC 7714 §8.1, §9.1: 0 0 SSRC index, XOR the salt; the SRTCP index has no more than 31 bits.
    #[inline]
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let iv = self.salt ^ (u128::from(ssrc) << 48) ^ u128::from(index);
        let [_, _, _, _, nonce @ ..] = iv.to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }

    #[inline]
    pub(super) fn seal(&self, ssrc: u32, index: u64, aad: &[u8], data: &mut [u8]) -> Option<Tag> {
        self.key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), data).ok()
    }

    #[inline]
    pub(super) fn open(&self, ssrc: u32, index: u64, aad: &[u8], data: &mut [u8], tag: [u8; 16]) -> bool {
        let nonce = self.nonce(ssrc, index);
        self.key.open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(tag), data, 0..).is_ok()
    }
}

enum AesCm {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl AesCm {
    fn new(key: &[u8]) -> Self {
        let cipher = match key.len() {
            16 => Aes128Enc::new_from_slice(key).map(Self::Aes128),
            24 => Aes192Enc::new_from_slice(key).map(Self::Aes192),
            _ => Aes256Enc::new_from_slice(key).map(Self::Aes256),
        };
        cipher.expect("a suite's key is 16, 24 or 32 bytes")
    }

    /// XORs the keystream. The low 16 bits of the IV count blocks: no datagram is longer than 2^16 of them.
    #[inline]
    fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        let iv = iv.into();
        match self {
            Self::Aes128(cipher) => {
                Ctr32BE::from_core(CtrCore::inner_iv_init(cipher, iv)).apply_keystream(data)
            }
            Self::Aes192(cipher) => {
                Ctr32BE::from_core(CtrCore::inner_iv_init(cipher, iv)).apply_keystream(data)
            }
            Self::Aes256(cipher) => {
                Ctr32BE::from_core(CtrCore::inner_iv_init(cipher, iv)).apply_keystream(data)
            }
        }
    }
}

/// HMAC-SHA1 (RFC 2104) with the two padded keys already compressed.
struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

/// The initial state of SHA-1 (FIPS 180-4 §5.3.1).
const SHA1_INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

impl HmacSha1 {
    /// For a key of at most one block; SRTP's is 20 bytes.
    fn new(key: &[u8; 20]) -> Self {
        let padded = |pad: u8| {
            let mut block = Zeroizing::new([pad; 64]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = SHA1_INITIAL;
            compress(&mut state, &[*block]);
            state
        };
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    #[inline]
    fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; 20] {
        let (blocks, rest) = message.as_chunks::<64>();
        let mut state = self.inner;
        compress(&mut state, blocks);
        // The rest, the suffix, the end mark and the length: one or two blocks.
        let mut last = [[0; 64]; 2];
        let mut used = 0;
        for part in [rest, suffix, &[0x80]] {
            if let Some(place) = last.as_flattened_mut().get_mut(used..used + part.len()) {
                place.copy_from_slice(part);
            }
            used += part.len();
        }
        let bits = 8 * (64 + message.len() as u64 + suffix.len() as u64);
        let [first, second] = &mut last;
        if used <= 56 {
            finish(first, bits);
            compress(&mut state, std::slice::from_ref(first));
        } else {
            finish(second, bits);
            compress(&mut state, &last);
        }
        let mut block = [0; 64];
        write_state(&mut block, &state);
        if let Some(mark) = block.get_mut(20) {
            *mark = 0x80;
        }
        finish(&mut block, 8 * (64 + 20));
        let mut state = self.outer;
        compress(&mut state, &[block]);
        let mut tag = [0; 20];
        write_state(&mut tag, &state);
        tag
    }
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

fn finish(block: &mut [u8; 64], bits: u64) {
    if let Some(place) = block.last_chunk_mut() {
        *place = bits.to_be_bytes();
    }
}

fn write_state(out: &mut [u8], state: &[u32; 5]) {
    for (place, word) in out.as_chunks_mut().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
}

/// The key derivation of RFC 3711 §4.3 (RFC 6188 §3 for longer keys, RFC 7714 §11 for GCM).
struct Derivation {
    cipher: AesCm,
    salt: u128,
}

impl Derivation {
    fn new(master: &MasterKey) -> Self {
        Self { cipher: AesCm::new(master.key()), salt: left_aligned(master.salt()) }
    }

    /// `out` = the keystream for the IV (label · 2^48 XOR salt) · 2^16, RFC 3711 §4.3.3.
    fn derive(&self, label: u8, out: &mut [u8]) {
        out.fill(0);
        let iv = self.salt ^ (u128::from(label) << 64);
        self.cipher.apply(&iv.to_be_bytes(), out);
    }

    fn protection(&self, suite: Suite, label: u8, tag_len: usize) -> Protection {
        let mut key = Zeroizing::new([0; 32]);
        let key = key.split_at_mut(suite.key_len()).0;
        self.derive(label, key);
        let mut salt = Zeroizing::new([0; 14]);
        let salt = salt.split_at_mut(suite.salt_len()).0;
        self.derive(label + 2, salt);
        if suite.is_aead() {
            return Protection::Gcm(Gcm::new(key, salt));
        }
        let mut auth = Zeroizing::new([0; 20]);
        self.derive(label + 1, auth.as_mut());
        Protection::CounterMode(CounterMode::new(key, salt, &auth, tag_len))
    }
}

impl CounterMode {
    fn new(key: &[u8], salt: &[u8], auth: &[u8; 20], tag_len: usize) -> Self {
        Self { cipher: AesCm::new(key), mac: HmacSha1::new(auth), salt: left_aligned(salt), tag_len }
    }
}

impl Gcm {
    fn new(key: &[u8], salt: &[u8]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("a suite's GCM key is 16 or 32 bytes");
        Self { key: LessSafeKey::new(key), salt: left_aligned(salt) >> 32 }
    }
}

/// The bytes as the high end of 128 bits.
fn left_aligned(bytes: &[u8]) -> u128 {
    let mut padded = [0; 16];
    padded.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    u128::from_be_bytes(padded)
}

impl Drop for CounterMode {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

#[cfg(test)]
pub(super) mod vectors {
    //! Doors below the key derivation, for the vectors that give session keys.
    use super::*;

    pub(in super::super) fn keystream(key: &[u8], salt: &[u8], block: u16, out: &mut [u8]) {
        out.fill(0);
        let iv = left_aligned(salt) | u128::from(block);
        AesCm::new(key).apply(&iv.to_be_bytes(), out);
    }

    pub(in super::super) fn derive(master: &MasterKey, label: u8, out: &mut [u8]) {
        Derivation::new(master).derive(label, out);
    }

    pub(in super::super) fn gcm_session(key: &[u8], salt: &[u8]) -> SessionKeys {
        let rtp = Protection::Gcm(Gcm::new(key, salt));
        SessionKeys {
            rtp,
            rtcp: Protection::Gcm(Gcm::new(key, salt)),
            mki: Vec::new(),
            rtp_left: u64::MAX,
            rtcp_left: u64::MAX,
        }
    }

    pub(in super::super) fn hmac(key: &[u8; 20], message: &[u8], suffix: &[u8]) -> [u8; 20] {
        HmacSha1::new(key).tag(message, suffix)
    }
}
