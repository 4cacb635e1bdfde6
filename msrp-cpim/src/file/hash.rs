//! Hashes of files, computed as the bytes pass.

use std::fmt;
use std::str::FromStr;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::selector::FileSelector;
use crate::error::{ParseError, ParseErrorKind};

/// The longest value of a hash that is read: 512 bits.
const MAX_HASH: usize = 64;

/// What a hash was computed with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// `sha-1`, which RFC 5547 §6 asks of everyone.
    Sha1,
    /// `sha-256`.
    Sha256,
    /// Any other; it survives, and cannot be checked.
    Other(String),
}

/// One `hash` selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHash {
    /// What it was computed with.
    pub algorithm: HashAlgorithm,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// Computes hashes and the size of a file as its bytes pass.
///
/// A clone is a snapshot: what resumes a transfer keeps one for the bytes that it has.
#[derive(Debug, Clone, Default)]
pub struct FileHasher {
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    size: u64,
}

/// The file is not the one that the selector describes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It has another size.
    #[error("the file has {actual} bytes instead of {expected}")]
    Size {
        /// The size in the selector.
        expected: u64,
        /// The size of what arrived.
        actual: u64,
    },
    /// It has another hash.
    #[error("the file has another {0} hash")]
    Hash(HashAlgorithm),
}

impl FileHasher {
    /// Computes hashes of these algorithms.
    #[must_use]
    pub fn new(algorithms: &[HashAlgorithm]) -> Self {
        Self {
            sha1: algorithms.contains(&HashAlgorithm::Sha1).then(Sha1::new),
            sha256: algorithms.contains(&HashAlgorithm::Sha256).then(Sha256::new),
            size: 0,
        }
    }

    /// Computes what is needed to check a file against its selector.
    #[must_use]
    pub fn for_selector(selector: &FileSelector) -> Self {
        let algorithms: Vec<HashAlgorithm> = selector.hashes.iter().map(|h| h.algorithm.clone()).collect();
        Self::new(&algorithms)
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, data: &[u8]) {
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(data);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(data);
        }
        self.size = self.size.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
    }

    /// How many bytes it took.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of all bytes.
    #[must_use]
    pub fn finish(self) -> Vec<FileHash> {
        let sha1 = self.sha1.map(|h| (HashAlgorithm::Sha1, h.finalize().to_vec()));
        let sha256 = self.sha256.map(|h| (HashAlgorithm::Sha256, h.finalize().to_vec()));
        [sha1, sha256].into_iter().flatten().map(|(algorithm, value)| FileHash { algorithm, value }).collect()
    }

    /// Checks the size and every hash that was computed against the selector.
    ///
    /// The hash is that of the whole file, also with a `file-range` (RFC 5547 §6): what resumes gives
    /// the bytes it has to [`FileHasher::update`] too.
    ///
    /// # Errors
    /// If one of them differs.
    pub fn check(self, selector: &FileSelector) -> Result<(), Mismatch> {
        if let Some(expected) = selector.size.filter(|size| *size != self.size) {
            return Err(Mismatch::Size { expected, actual: self.size });
        }
        let actual = self.finish();
        for expected in &selector.hashes {
            let differs = |h: &FileHash| h.algorithm == expected.algorithm && h.value != expected.value;
            if actual.iter().any(differs) {
                return Err(Mismatch::Hash(expected.algorithm.clone()));
            }
        }
        Ok(())
    }
}

impl FromStr for HashAlgorithm {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // IANA Hash Function Textual Names; some peers leave the hyphen out.
        match text.to_ascii_lowercase().as_str() {
            "sha-1" | "sha1" => Ok(Self::Sha1),
            "sha-256" | "sha256" => Ok(Self::Sha256),
            _ if crate::uri::is_token(text) && !text.contains(':') => Ok(Self::Other(text.to_owned())),
            _ => Err(ParseError::new(0, ParseErrorKind::Syntax, "the name of a hash algorithm")),
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Other(name) => name,
        })
    }
}

/// `sha-1:72:24:5F:…`; hexadecimal digits in either case are read.
impl FromStr for FileHash {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let syntax = |at, what| ParseError::new(at, ParseErrorKind::Syntax, what);
        let (name, digits) = text.split_once(':').ok_or_else(|| syntax(0, "algorithm:hash"))?;
        let algorithm = name.parse()?;
        let mut at = name.len() + 1;
        let mut value = Vec::new();
        for pair in digits.split(':') {
            if value.len() >= MAX_HASH {
                return Err(ParseError::new(at, ParseErrorKind::TooLong, "a hash of at most 512 bits"));
            }
            let byte = match pair.as_bytes() {
                [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
                _ => None,
            };
            value.push(byte.ok_or_else(|| syntax(at, "two hexadecimal digits"))?);
            at += pair.len() + 1;
        }
        let expected = match algorithm {
            HashAlgorithm::Sha1 => Some(20),
            HashAlgorithm::Sha256 => Some(32),
            HashAlgorithm::Other(_) => None,
        };
        if expected.is_some_and(|len| len != value.len()) {
            return Err(ParseError::new(
                name.len() + 1,
                ParseErrorKind::Number,
                "as many bytes as the algorithm gives",
            ));
        }
        Ok(Self { algorithm, value })
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.algorithm)?;
        self.value.iter().try_for_each(|byte| write!(f, ":{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC_SHA1: &str = "sha-1:A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D";
    const ABC_SHA256: &str = "sha-256:BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:\
                              B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

    #[test]
    fn hashes_as_the_bytes_pass() {
        let mut hasher = FileHasher::new(&[HashAlgorithm::Sha1, HashAlgorithm::Sha256]);
        hasher.update(b"a");
        let snapshot = hasher.clone();
        hasher.update(b"bc");
        assert_eq!(hasher.size(), 3);
        let hashes: Vec<String> = hasher.finish().iter().map(FileHash::to_string).collect();
        assert_eq!(hashes, [ABC_SHA1, ABC_SHA256]);
        let mut resumed = snapshot;
        resumed.update(b"bc");
        assert_eq!(resumed.finish().first().map(FileHash::to_string).as_deref(), Some(ABC_SHA1));
    }

    #[test]
    fn a_wrong_file_is_found_out() {
        let selector: FileSelector = format!("size:3 hash:{ABC_SHA1} hash:{ABC_SHA256}").parse().unwrap();
        let check = |data: &[u8]| {
            let mut hasher = FileHasher::for_selector(&selector);
            hasher.update(data);
            hasher.check(&selector)
        };
        assert_eq!(check(b"abc"), Ok(()));
        assert_eq!(check(b"abcd"), Err(Mismatch::Size { expected: 3, actual: 4 }));
        assert_eq!(check(b"abd"), Err(Mismatch::Hash(HashAlgorithm::Sha1)));
    }

    #[test]
    fn malformed_hashes() {
        for text in ["", "sha-1", "sha-1:", "sha-1:00", "sha-1:0", "x:+1", "x:00:", "x y:00", ":00"] {
            assert!(text.parse::<FileHash>().is_err(), "{text}");
        }
        let long = format!("x{}", ":00".repeat(65));
        assert_eq!(long.parse::<FileHash>().unwrap_err().kind, ParseErrorKind::TooLong);
        assert_eq!("md5:0a:Ff".parse::<FileHash>().unwrap().to_string(), "md5:0A:FF");
    }
}
