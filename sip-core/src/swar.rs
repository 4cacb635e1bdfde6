//! Bytes found eight at a time, in one word.
//!
//! Lines and names of messages are so short that getting a search of memchr going costs more than
//! the search; long texts are still memchr's.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The top bit of each byte of `word` that equals `byte`; the first byte is the lowest. Above a byte
/// that does, others may be marked that do not: only the lowest mark is to be believed.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zeros = word ^ u64::from_ne_bytes([byte; 8]);
    zeros.wrapping_sub(ONES) & !zeros & TOPS
}

/// The word with the byte under the lowest mark, and those before it, made something else than `byte`.
#[inline]
fn without(word: u64, mask: u64, byte: u8) -> u64 {
    // From the lowest mark down, all bits.
    let done = mask ^ mask.wrapping_sub(1);
    (word & !done) | (u64::from_ne_bytes([!byte; 8]) & done)
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
pub(crate) struct LineEnds<'a> {
    words: &'a [[u8; 8]],
    tail: &'a [u8],
    /// The current word, without the line ends that were told.
    word: u64,
    /// Where the current word ends.
    end: usize,
}

impl<'a> LineEnds<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let (words, tail) = text.as_chunks::<8>();
        Self { words, tail, word: 0, end: 0 }
    }

    /// Goes on to the next word with a line end, the last one filled up.
    #[inline]
    fn advance(&mut self) -> Option<()> {
        let words = self.words;
        match words.iter().position(|word| equal(u64::from_le_bytes(*word), b'\n') != 0) {
            Some(at) => {
                let (word, rest) = words.get(at..)?.split_first()?;
                (self.word, self.words) = (u64::from_le_bytes(*word), rest);
                self.end += 8 * (at + 1);
            }
            None => {
                let tail = std::mem::take(&mut self.tail);
                let mut word = [0; 8];
                word.get_mut(..tail.len())?.copy_from_slice(tail);
                (self.word, self.words) = (u64::from_le_bytes(word), &[]);
                self.end += 8 * (words.len() + 1);
            }
        }
        Some(())
    }
}

impl Iterator for LineEnds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let mut mask = equal(self.word, b'\n');
        if mask == 0 {
            self.advance()?;
            mask = equal(self.word, b'\n');
            if mask == 0 {
                return None;
            }
        }
        self.word = without(self.word, mask, b'\n');
        Some(self.end - 8 + first(mask))
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
