//! HMAC over the compression functions of `sha1` and `sha2` with both padded keys hashed once per key; MD5 for
//! long-term keys; CRC-32 for FINGERPRINT.

use sha2::Digest;
use zeroize::Zeroize;

/// HMAC-SHA1 (RFC 2104).
pub(crate) type HmacSha1 = Hmac<5, Sha1>;
/// HMAC-SHA256.
pub(crate) type HmacSha256 = Hmac<8, Sha256>;

/// A Merkle-Damgård compression function of 64-byte blocks over 32-bit words.
pub(crate) trait Compression<const WORDS: usize> {
    const INITIAL: [u32; WORDS];
    fn compress(state: &mut [u32; WORDS], blocks: &[[u8; 64]]);
    /// A key longer than a block is hashed first (RFC 2104 §2).
    fn shorten(key: &[u8], block: &mut [u8; 64]);
}

pub(crate) struct Sha1;
pub(crate) struct Sha256;

impl Compression<5> for Sha1 {
    const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

    #[inline]
    fn compress(state: &mut [u32; 5], blocks: &[[u8; 64]]) {
        sha1::block_api::compress(state, blocks);
    }

    fn shorten(key: &[u8], block: &mut [u8; 64]) {
        put(block, &sha1::Sha1::digest(key));
    }
}

impl Compression<8> for Sha256 {
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    #[inline]
    fn compress(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        sha2::block_api::compress256(state, blocks);
    }

    fn shorten(key: &[u8], block: &mut [u8; 64]) {
        put(block, &sha2::Sha256::digest(key));
    }
}

/// The two padded keys, compressed.
pub(crate) struct Hmac<const WORDS: usize, C> {
    inner: [u32; WORDS],
    outer: [u32; WORDS],
    compression: std::marker::PhantomData<C>,
}

impl<const WORDS: usize, C: Compression<WORDS>> Hmac<WORDS, C> {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block = [0; 64];
        if key.len() > block.len() {
            C::shorten(key, &mut block)
        } else {
            put(&mut block, key)
        }
        let pad = |with: u8| {
            let mut padded = block.map(|byte| byte ^ with);
            let mut state = C::INITIAL;
            C::compress(&mut state, &[padded]);
            padded.zeroize();
            state
        };
        let (inner, outer) = (pad(0x36), pad(0x5c));
        block.zeroize();
        Self { inner, outer, compression: std::marker::PhantomData }
    }

    /// The tag over `message`, as big-endian words. Its third and fourth byte are taken as `length`: what
    /// follows the tag in a message counts or does not, by what is signed.
    #[inline]
    pub(crate) fn tag(&self, message: &[u8], length: [u8; 2]) -> [u32; WORDS] {
        let (blocks, tail) = message.as_chunks::<64>();
        let mut state = self.inner;
        let mut last = [[0; 64]; 2];
        if let Some(place) = last.as_flattened_mut().get_mut(..tail.len()) {
            place.copy_from_slice(tail);
        }
        let [one, two] = &mut last;
        match blocks.split_first() {
            Some((first, rest)) => {
                let mut first = *first;
                patch(&mut first, length);
                C::compress(&mut state, std::slice::from_ref(&first));
                if !rest.is_empty() {
                    C::compress(&mut state, rest);
                }
            }
            None => patch(one, length),
        }
        // FIPS 180-4 §5.1.1: a one, zeros, and the length in bits, in one block more or two.
        let bits = 8 * (64 + message.len() as u64);
        if let Some(end) = one.get_mut(tail.len()) {
            *end = 0x80;
        }
        if tail.len() < 56 {
            finish(one, bits);
            C::compress(&mut state, std::slice::from_ref(one));
        } else {
            finish(two, bits);
            C::compress(&mut state, &last);
        }
        let mut digest = [0; 64];
        for (space, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
            *space = word.to_be_bytes();
        }
        if let Some(end) = digest.get_mut(4 * WORDS) {
            *end = 0x80;
        }
        finish(&mut digest, 8 * (64 + 4 * WORDS as u64));
        let mut state = self.outer;
        C::compress(&mut state, &[digest]);
        state
    }
}

#[inline]
fn patch(block: &mut [u8; 64], length: [u8; 2]) {
    let [_, _, l0, l1, ..] = block;
    [*l0, *l1] = length;
}

#[inline]
fn finish(block: &mut [u8; 64], bits: u64) {
    if let Some(end) = block.last_chunk_mut() {
        *end = bits.to_be_bytes();
    }
}

impl<const WORDS: usize, C> Clone for Hmac<WORDS, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner, outer: self.outer, compression: std::marker::PhantomData }
    }
}

impl<const WORDS: usize, C> Drop for Hmac<WORDS, C> {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// The bytes of a tag.
#[inline]
pub(crate) fn bytes<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    const { assert!(4 * WORDS == BYTES) };
    let mut out = [0; BYTES];
    for (space, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
        *space = word.to_be_bytes();
    }
    out
}

/// MD5 of the parts, one after the other.
pub(crate) fn md5(parts: &[&str]) -> [u8; 16] {
    let mut hash = md5::Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// SHA-256 of the parts, one after the other.
pub(crate) fn sha256(parts: &[&str]) -> [u8; 32] {
    let mut hash = sha2::Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// CRC-32 of ISO 3309 (RFC 8489 §14.7).
#[inline]
pub(crate) fn crc32(data: &[u8]) -> u32 {
    crc32fast::hash(data)
}

/// Compares two tags in constant time, word by word; only the sum of all differences is looked at.
#[inline]
pub(crate) fn is_same(one: &[u8; 20], two: &[u8; 20]) -> bool {
    let words = one.as_chunks::<4>().0.iter().zip(two.as_chunks::<4>().0);
    let difference =
        words.fold(0, |sum, (one, two)| sum | (u32::from_ne_bytes(*one) ^ u32::from_ne_bytes(*two)));
    subtle::ConstantTimeEq::ct_eq(&difference, &0).into()
}

/// Compares in constant time.
pub(crate) fn equal(one: &[u8], two: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(one, two).into()
}

#[inline]
fn put(space: &mut [u8], data: &[u8]) {
    for (space, byte) in space.iter_mut().zip(data) {
        *space = *byte;
    }
}

#[cfg(test)]
mod tests {
    use hmac::{KeyInit, Mac};

    use super::*;

    #[test]
    fn equals_the_hmac_crate_for_every_length_around_the_blocks() {
        let message: Vec<u8> = (0..=255).collect();
        for key_len in [0, 1, 20, 63, 64, 65, 200] {
            let key = vec![0xa5; key_len];
            let (one, two) = (HmacSha1::new(&key), HmacSha256::new(&key));
            for len in 4..message.len() {
                let mut message = message.clone();
                let length = [0xab, 0xcd];
                let unpatched = message[..len].to_vec();
                message[2..4].copy_from_slice(&length);
                let mut expected = hmac::Hmac::<sha1::Sha1>::new_from_slice(&key).unwrap();
                expected.update(&message[..len]);
                let tag: [u8; 20] = bytes(one.tag(&unpatched, length));
                assert_eq!(tag[..], expected.finalize().into_bytes()[..], "{key_len} {len}");
                let mut expected = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
                expected.update(&message[..len]);
                let tag: [u8; 32] = bytes(two.tag(&unpatched, length));
                assert_eq!(tag[..], expected.finalize().into_bytes()[..], "{key_len} {len}");
            }
        }
    }

    #[test]
    fn tags_are_the_same_or_not() {
        let tag: [u8; 20] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert!(is_same(&tag, &tag));
        for bit in 0..160 {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_same(&tag, &other), "{bit}");
        }
    }

    #[test]
    fn the_crc_of_iso_3309() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
