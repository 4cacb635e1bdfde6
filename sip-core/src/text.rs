//! Short texts, kept in place.

use arrayvec::ArrayString;
use smol_str::SmolStr;
use std::{borrow::Borrow, fmt, ops::Deref};

/// A text that takes no memory of its own up to 23 bytes: hosts, transports, parameters. Its clones
/// share what is longer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(SmolStr);

impl Text {
    /// The empty text.
    pub const fn new() -> Self {
        Self(SmolStr::new_static(""))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        Self(SmolStr::new(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self(SmolStr::new(text))
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl From<Text> for Box<str> {
    fn from(text: Text) -> Self {
        text.as_str().into()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

/// A text that takes no memory of its own up to 44 bytes, as most URIs have.
#[derive(Clone)]
pub(crate) enum UriText {
    Here(ArrayString<44>),
    Elsewhere(Text),
}

impl Deref for UriText {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Self::Here(text) => text,
            Self::Elsewhere(text) => text,
        }
    }
}

impl From<&str> for UriText {
    #[inline]
    fn from(text: &str) -> Self {
        ArrayString::from(text).map_or_else(|_| Self::Elsewhere(text.into()), Self::Here)
    }
}

impl fmt::Debug for UriText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long() {
        for length in [0, 1, 23, 24, 100] {
            let text = "x".repeat(length);
            let kept = Text::from(text.as_str());
            assert_eq!((kept.as_str(), kept.clone() == Text::from(text.clone())), (text.as_str(), true));
            assert_eq!(String::from(kept), text);
            assert_eq!(&*UriText::from(text.as_str()), text);
        }
        assert_eq!(format!("{:>3}|{:?}", Text::from("a"), Text::from("b")), "  a|\"b\"");
    }
}
