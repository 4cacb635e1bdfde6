//! The start line and headers of a message that was read.

use bytes::Bytes;
use bytestring::ByteString;
use std::{ops::Range, str::Utf8Error};

/// A text, which nearly every head is, so that no piece of it has to be checked again; or bytes.
#[derive(Clone)]
pub(crate) enum Head {
    Text(ByteString),
    Bytes(Bytes),
}

impl Head {
    pub(crate) fn new(bytes: Bytes) -> Self {
        match ByteString::try_from(bytes.clone()) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes(bytes),
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// What stands in this place; nothing where there is no such place.
    #[inline]
    pub(crate) fn text(&self, range: Range<usize>) -> Result<&str, Utf8Error> {
        match self {
            Self::Text(text) => Ok(text.get(range).unwrap_or("")),
            Self::Bytes(bytes) => std::str::from_utf8(bytes.get(range).unwrap_or(&[])),
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::Text(ByteString::new())
    }
}
