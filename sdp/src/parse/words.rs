//! Words of a line.

/// A word and where it begins.
pub(super) type Word<'s> = (usize, &'s str);

/// Words between spaces; notes whether it was one space each time and none at the end.
pub(super) struct Words<'s> {
    text: &'s str,
    at: usize,
    pub(super) plain: bool,
}

impl<'s> Words<'s> {
    #[inline]
    pub(super) fn new(text: &'s str) -> Self {
        Self { text, at: 0, plain: true }
    }

    /// Passes over spaces that should not be there.
    #[inline]
    pub(super) fn skip(&mut self) {
        while let Some(b' ' | b'\t') = self.text.as_bytes().get(self.at) {
            self.plain = false;
            self.at += 1;
        }
    }

    /// The next word; empty at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Word<'s> {
        self.skip();
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start;
        while let Some(byte) = bytes.get(end) {
            if matches!(byte, b' ' | b'\t') {
                // A tab, or a space with nothing behind it, is not as we would print it.
                self.plain &= *byte == b' ' && end + 1 < bytes.len();
                break;
            }
            end += 1;
        }
        self.at = (end + 1).min(bytes.len());
        (start, self.text.get(start..end).unwrap_or_default())
    }

    /// All that is left, without the spaces before and after it.
    pub(super) fn rest(&mut self) -> Word<'s> {
        self.skip();
        let left = self.text.get(self.at..).unwrap_or_default();
        if let Some(b' ' | b'\t') = left.as_bytes().last() {
            self.plain = false;
        }
        (self.at, left.trim_end_matches([' ', '\t']))
    }
}

/// `split_once` for a short ASCII-delimited text: a plain loop beats the searcher there.
pub(super) fn split_at(text: &str, delimiter: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == delimiter)?;
    text.get(..at).zip(text.get(at + 1..))
}
