//! Lines of header fields, found and checked in one go each.

use smallvec::SmallVec;

use crate::error::{ParseError, ParseErrorKind};

/// Where lines end, behind their line feed, counted from where the first begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    ends: SmallVec<[u32; 16]>,
    /// A line begins with a space or tab, that is, it continues the one before it.
    pub(crate) folded: bool,
}

impl Lines {
    /// Appends a line that begins with `first` and ends at `end`.
    pub(crate) fn push(&mut self, first: u8, end: usize) {
        self.folded |= is_blank(first) && !self.ends.is_empty();
        self.ends.push(u32::try_from(end).unwrap_or(u32::MAX));
    }

    /// The lines of `text`, which ends with one.
    pub(crate) fn of(text: &[u8]) -> Result<Self, ParseError> {
        let mut lines = Self::default();
        let mut at = 0;
        for newline in memchr::memchr_iter(b'\n', text) {
            lines.push(text.get(at).copied().unwrap_or_default(), newline + 1);
            at = newline + 1;
        }
        if at < text.len() {
            return Err(ParseError::new(text.len(), ParseErrorKind::Truncated, "CRLF"));
        }
        Ok(lines)
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.folded = false;
    }

    /// Start and end of each line without its CRLF, which [`check`] has seen to be there.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = usize::try_from(*end).unwrap_or(usize::MAX);
            (std::mem::replace(&mut start, end), end.saturating_sub(2))
        })
    }

    /// Checks that each of these lines of `text` ends with CRLF, and that no other control character but a tab
    /// is in them.
    pub(crate) fn check(&self, text: &[u8]) -> Result<(), ParseError> {
        // Each line feed ends a line: with a return before each, and no other control characters than those, all
        // is well.
        let paired = self.ends.iter().all(|end| {
            let end = usize::try_from(*end).unwrap_or(usize::MAX);
            text.get(end.wrapping_sub(2)) == Some(&b'\r')
        });
        if paired && controls(text) == 2 * self.ends.len() {
            return Ok(());
        }
        let mut after = text.iter().skip(1).copied().chain([0]);
        let mut before = 0;
        let wrong = text.iter().position(|b| {
            let (next, last) = (after.next(), std::mem::replace(&mut before, *b));
            match *b {
                b'\t' => false,
                b'\r' => next != Some(b'\n'),
                b'\n' => last != b'\r',
                b => b < 0x20 || b == 0x7F,
            }
        });
        Err(ParseError::new(
            wrong.unwrap_or(text.len()),
            ParseErrorKind::Syntax,
            "CRLF, and no other control characters",
        ))
    }
}

/// Where the line that begins at `at` ends, before its CRLF, if it is printable ASCII as nearly all are. `None` says
/// nothing against it: it may not be whole, or hold a tab or other languages.
pub(crate) fn plain_line(data: &[u8], at: usize) -> Option<usize> {
    let (words, rest) = data.get(at..)?.as_chunks::<8>();
    let mut end = at;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let odd = (word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20)) & (ONES << 7);
        if odd != 0 {
            // The lowest is right: carries and borrows go up.
            end += first_byte(odd);
            return (data.get(end..end + 2)? == b"\r\n").then_some(end);
        }
        end += 8;
    }
    end += rest.iter().position(|b| !(0x20..0x7F).contains(b))?;
    (data.get(end..end + 2)? == b"\r\n").then_some(end)
}

/// Where the first colon of a line is, counted from its beginning.
pub(crate) fn find_colon(line: &[u8]) -> Option<usize> {
    // Names are short.
    if let Some((first, _)) = line.split_first_chunk::<16>() {
        let (first, second) = first.split_at(8);
        for (at, word) in [(0, first), (8, second)] {
            let other = u64::from_le_bytes(word.try_into().ok()?) ^ (ONES * 0x3A);
            let zero = other.wrapping_sub(ONES) & !other & (ONES << 7);
            if zero != 0 {
                return Some(at + first_byte(zero));
            }
        }
    }
    line.iter().position(|b| *b == b':')
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Which byte has the lowest bit.
fn first_byte(bits: u64) -> usize {
    usize::try_from(bits.trailing_zeros() / 8).unwrap_or(0)
}

/// How many control characters but tabs there are; without a branch per byte, many at a time.
fn controls(text: &[u8]) -> usize {
    text.chunks(128)
        .map(|part| {
            let odd = |b: &u8| u8::from(((*b < 0x20) & (*b != b'\t')) | (*b == 0x7F));
            usize::from(part.iter().fold(0_u8, |sum, b| sum.wrapping_add(odd(b))))
        })
        .sum()
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How many spaces and tabs are at either end; all of them count as before.
pub(crate) fn blanks(bytes: &[u8]) -> (usize, usize) {
    // As everybody writes it.
    if let [b' ', rest @ ..] = bytes
        && let (Some(first), Some(last)) = (rest.first(), rest.last())
        && *first > b' '
        && *last > b' '
    {
        return (1, 0);
    }
    let before = bytes.iter().take_while(|b| is_blank(**b)).count();
    let after = bytes.iter().skip(before).rev().take_while(|b| is_blank(**b)).count();
    (before, after)
}

/// A set of ASCII characters in which membership is one look-up.
#[derive(Debug)]
pub(crate) struct Class([bool; 256]);

impl Class {
    /// Letters, digits and these.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut class = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "below 256; const code has no try_from")]
            let is_member = (byte as u8).is_ascii_alphanumeric();
            #[expect(clippy::indexing_slicing, reason = "below 256; const code has no get_mut")]
            {
                class[byte] = is_member;
            }
            byte += 1;
        }
        let mut rest = others;
        while let [first, tail @ ..] = rest {
            #[expect(clippy::indexing_slicing, reason = "a u8; const code has no get_mut")]
            {
                class[*first as usize] = true;
            }
            rest = tail;
        }
        Self(class)
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }

    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|b| self.has(*b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_checked() {
        let text = b"a\r\n\tb\r\n\r\n";
        let lines = Lines::of(text).unwrap();
        lines.check(text).unwrap();
        assert!(lines.folded);
        assert_eq!(lines.ranges().collect::<Vec<_>>(), [(0, 1), (3, 5), (7, 7)]);
        for (text, at) in
            [("a\nb\r\n", 1), ("a\rb\r\n", 1), ("a\x01\r\n", 1), ("a\x7F\r\n", 1), ("\r\r\n", 0), ("\n", 0)]
        {
            let error = Lines::of(text.as_bytes()).unwrap().check(text.as_bytes()).unwrap_err();
            assert_eq!(error.at, at, "{text:?}");
        }
        assert_eq!(Lines::of(b"a\r\nb").unwrap_err().kind, ParseErrorKind::Truncated);
    }

    #[test]
    fn plain_lines_are_those_that_need_no_care() {
        for length in 0..40 {
            let line = format!("x{}\r\nrest of it", "a ~".repeat(length).get(..length).unwrap());
            assert_eq!(plain_line(line.as_bytes(), 1), Some(length + 1), "{length}");
            assert_eq!(plain_line(&line.as_bytes()[..length + 2], 0), None, "{length}");
            for odd in ["\t", "\n", "\r", "\0", "\u{7f}", "\u{e9}", "\u{ff}"] {
                for at in 0..length {
                    let mut line = line.clone();
                    line.insert_str(at, odd);
                    assert_eq!(plain_line(line.as_bytes(), 0), None, "{line:?}");
                }
            }
        }
    }

    #[test]
    fn colons_are_found_anywhere() {
        for length in 0..40 {
            let line =
                format!("{}:b:{}", ";9;".repeat(length).get(..length).unwrap(), "c".repeat(length % 9));
            assert_eq!(find_colon(line.as_bytes()), Some(length));
            assert_eq!(find_colon(line.replace(':', ";").as_bytes()), None);
        }
    }

    #[test]
    fn blanks_at_either_end() {
        assert_eq!((blanks(b" a\t "), blanks(b"  "), blanks(b"a")), ((1, 2), (2, 0), (0, 0)));
        assert_eq!((blanks(b" abc"), blanks(b" ab "), blanks(b" a")), ((1, 0), (1, 1), (1, 0)));
    }
}
