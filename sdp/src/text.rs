//! Text that cannot break out of its line: slices into the description that was read, or the caller's own.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::error::UsageError;

/// The longest text that a setter takes, in bytes.
const LONGEST: usize = 65_535;

/// A text within one line: no CR, LF or NUL. Cloning shares the bytes.
#[derive(Clone)]
pub struct Text(Repr);

/// A [`Text`] that is one word: not empty, no white space (`token` and `non-ws-string` of RFC 8866 §9).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Text);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared { source: Arc<str>, start: u32, end: u32 },
}

impl Text {
    /// The empty text.
    pub const EMPTY: Text = Text(Repr::Static(""));

    /// Takes a text, refusing what would end the line.
    pub fn new(text: impl AsRef<str>) -> Result<Self, UsageError> {
        let text = text.as_ref();
        check(text, "a text")?;
        let end = u32::try_from(text.len()).map_err(|_| UsageError::TooLong { what: "a text" })?;
        Ok(Text(Repr::Shared { source: Arc::from(text), start: 0, end }))
    }

    pub(crate) const fn from_static(text: &'static str) -> Self {
        Text(Repr::Static(text))
    }

    /// A piece of a description that the parser has checked.
    pub(crate) fn slice(source: &Arc<str>, start: u32, end: u32) -> Self {
        if start >= end {
            return Text::EMPTY;
        }
        Text(Repr::Shared { source: Arc::clone(source), start, end })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Shared { source, start, end } => {
                source.get(*start as usize..*end as usize).unwrap_or_default()
            }
        }
    }
}

impl Token {
    /// Takes a word, refusing white space and what would end the line.
    pub fn new(text: impl AsRef<str>) -> Result<Self, UsageError> {
        let text = text.as_ref();
        check(text, "a word")?;
        if !is_word(text) {
            return Err(UsageError::Word { what: "a word" });
        }
        Text::new(text).map(Token)
    }

    pub(crate) const fn from_static(text: &'static str) -> Self {
        Token(Text(Repr::Static(text)))
    }

    pub(crate) fn slice(source: &Arc<str>, start: u32, end: u32) -> Self {
        Token(Text::slice(source, start, end))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|b| b == b' ' || b == b'\t')
}

/// Refuses what may not stand within a line.
pub(crate) fn check(text: &str, what: &'static str) -> Result<(), UsageError> {
    if text.len() > LONGEST {
        return Err(UsageError::TooLong { what });
    }
    if text.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(UsageError::Control { what });
    }
    Ok(())
}

impl Default for Text {
    fn default() -> Self {
        Text::EMPTY
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

macro_rules! text_traits {
    ($($name:ident),*) => {$(
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl TryFrom<&str> for $name {
            type Error = UsageError;
            fn try_from(text: &str) -> Result<Self, UsageError> {
                $name::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = UsageError;
            fn try_from(text: String) -> Result<Self, UsageError> {
                $name::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = UsageError;
            fn from_str(text: &str) -> Result<Self, UsageError> {
                $name::new(text)
            }
        }
    )*};
}

text_traits!(Text, Token);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_ends_a_line() {
        for bad in ["a\rb", "a\nb", "a\0b", "\r\nm=audio 9 RTP/AVP 0"] {
            assert!(matches!(Text::new(bad), Err(UsageError::Control { .. })), "{bad:?}");
            assert!(matches!(Token::new(bad), Err(UsageError::Control { .. })), "{bad:?}");
        }
        assert!(matches!(Text::new("x".repeat(65_536)), Err(UsageError::TooLong { .. })));
        assert!(Text::new("a b\t\"c\"").is_ok());
    }

    #[test]
    fn a_token_is_one_word() {
        for bad in ["", " ", "a b", "a\tb"] {
            assert!(matches!(Token::new(bad), Err(UsageError::Word { .. })), "{bad:?}");
        }
        assert_eq!(Token::new("host.example").expect("a word"), "host.example");
    }
}
