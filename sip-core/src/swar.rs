//! Bytes found eight at a time, in one word.
//!
//! Lines and names of messages are so short that getting a search of memchr going costs more than
//! the search; long texts are still memchr's.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The top bit of each byte of `word` that equals `byte`; the first byte is the lowest. Above a byte
/// that does, others may be marked that do not: only the lowest mark is to be believed unseen.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zeros = word ^ u64::from_ne_bytes([byte; 8]);
    zeros.wrapping_sub(ONES) & !zeros & TOPS
}

/// Which byte of a word the lowest bit of a mask of [`equal`] is in; 8 if there is none.
#[inline]
fn first(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// Where `byte` is first.
#[inline]
pub(crate) fn find(text: &[u8], byte: u8) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let mask = equal(u64::from_le_bytes(*word), byte);
        if mask != 0 {
            return Some(at + first(mask));
        }
        at += 8;
    }
    tail.iter().position(|b| *b == byte).map(|found| at + found)
}

/// Where one of two bytes is first.
#[inline]
pub(crate) fn find2(text: &[u8], one: u8, other: u8) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let (one, other) = (equal(word, one), equal(word, other));
        if one | other != 0 {
            return Some(at + first(one).min(first(other)));
        }
        at += 8;
    }
    tail.iter().position(|b| *b == one || *b == other).map(|found| at + found)
}

/// Where the line ends are, one after the other.
#[derive(Clone)]
pub(crate) struct LineEnds<'a> {
    text: &'a [u8],
    /// The words that are left, and how many there were.
    words: std::slice::Iter<'a, [u8; 8]>,
    count: usize,
    /// The marks that are left in the word before them.
    mask: u64,
    /// Where to go on when no word is left.
    tail: usize,
}

impl<'a> LineEnds<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let (words, tail) = text.as_chunks::<8>();
        Self { text, words: words.iter(), count: words.len(), mask: 0, tail: text.len() - tail.len() }
    }
}

impl Iterator for LineEnds<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        loop {
            while self.mask == 0 {
                let Some(word) = self.words.next() else {
                    let found = self.tail + self.text.get(self.tail..)?.iter().position(|b| *b == b'\n')?;
                    self.tail = found + 1;
                    return Some(found);
                };
                self.mask = equal(u64::from_le_bytes(*word), b'\n');
            }
            let found = (self.count - self.words.len() - 1) * 8 + first(self.mask);
            self.mask &= self.mask - 1;
            if self.text.get(found) == Some(&b'\n') {
                return Some(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte that could be mistaken for a line end or a colon is among them.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        let bytes = [b'\n', b':', 0x0b, 0x09, 0x8a, 0x00, 0xff, b'a', b';', 0x7f, 0x80];
        let mut state = 1u32;
        (0..2_000).map(move |n| {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes[(state >> 16) as usize % bytes.len()]
            };
            (0..n % 41).map(|_| next()).collect()
        })
    }

    #[test]
    fn agrees_with_memchr() {
        for text in texts() {
            for byte in [b'\n', b':', 0x00, 0xff] {
                assert_eq!(find(&text, byte), memchr::memchr(byte, &text), "{text:?}");
                assert_eq!(find2(&text, byte, b'a'), memchr::memchr2(byte, b'a', &text), "{text:?}");
            }
            let ends: Vec<usize> = LineEnds::new(&text).collect();
            assert_eq!(ends, memchr::memchr_iter(b'\n', &text).collect::<Vec<_>>(), "{text:?}");
        }
    }
}
