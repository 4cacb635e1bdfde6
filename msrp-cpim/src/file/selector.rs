//! `file-selector`: what describes a file.

use std::fmt;
use std::str::FromStr;

use super::hash::FileHash;
use crate::error::{ParseError, ParseErrorKind};
use crate::uri::is_token;

/// The longest value of an attribute that is read.
pub(super) const MAX_VALUE: usize = 8 * 1024;
/// Parameters of a type, and hashes.
const MAX_PARTS: usize = 16;

/// The value of `a=file-selector`. Empty, it only says that file transfer is supported (RFC 5547 §8.5).
///
/// Selectors that this crate does not know survive; one that appears again is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSelector {
    /// The name, decoded. It is a peer's: see [`super::safe_name`].
    pub name: Option<String>,
    /// The media type.
    pub media_type: Option<FileType>,
    /// The size in bytes.
    pub size: Option<u64>,
    /// Hashes of the whole file.
    pub hashes: Vec<FileHash>,
    /// Selectors that are not known, as written.
    pub other: Vec<String>,
}

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileType {
    /// `image/jpeg`.
    pub essence: String,
    /// Names and values, decoded.
    pub parameters: Vec<(String, String)>,
}

impl FileSelector {
    /// Whether `file` is one that this selector asks for: all that both say is the same (RFC 5547 §8.3).
    #[must_use]
    pub fn selects(&self, file: &Self) -> bool {
        fn agrees<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
            wanted.is_none() || wanted == there
        }
        let hash_agrees = |wanted: &FileHash| {
            let mut same = file.hashes.iter().filter(|h| h.algorithm == wanted.algorithm).peekable();
            same.peek().is_none() || same.any(|h| h.value == wanted.value)
        };
        let same_type = match (&self.media_type, &file.media_type) {
            (Some(a), Some(b)) => a.essence.eq_ignore_ascii_case(&b.essence),
            (wanted, _) => wanted.is_none(),
        };
        agrees(self.name.as_ref(), file.name.as_ref())
            && agrees(self.size.as_ref(), file.size.as_ref())
            && same_type
            && (self.hashes.is_empty() || !file.hashes.is_empty())
            && self.hashes.iter().all(hash_agrees)
    }

    /// Whether nothing is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn take(&mut self, selector: &str) -> Result<(), ParseError> {
        let error = |kind, what| ParseError::new(0, kind, what);
        let (kind, value) = selector
            .split_once(':')
            .ok_or_else(|| error(ParseErrorKind::Syntax, "a selector, as in size:32349"))?;
        match kind {
            "name" => {
                let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                let name = quoted
                    .filter(|v| !v.is_empty() && !v.contains('"'))
                    .ok_or_else(|| error(ParseErrorKind::Syntax, "a name in double quotes"))?;
                self.name.get_or_insert_with(|| decode(name));
            }
            "size" => {
                let size = number(value).ok_or_else(|| error(ParseErrorKind::Number, "a size below 2^64"))?;
                self.size.get_or_insert(size);
            }
            "type" => {
                let media_type = value.parse()?;
                self.media_type.get_or_insert(media_type);
            }
            "hash" => {
                let hash: FileHash = value.parse()?;
                if self.hashes.len() >= MAX_PARTS {
                    return Err(error(ParseErrorKind::TooLong, "fewer hashes"));
                }
                if !self.hashes.contains(&hash) {
                    self.hashes.push(hash);
                }
            }
            _ if is_token(kind) => {
                if self.other.len() >= MAX_PARTS {
                    return Err(error(ParseErrorKind::TooLong, "fewer selectors"));
                }
                self.other.push(selector.to_owned());
            }
            _ => return Err(error(ParseErrorKind::Syntax, "the name of a selector")),
        }
        Ok(())
    }
}

impl FromStr for FileSelector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        check_value(text)?;
        let mut selector = Self::default();
        for (at, part) in split_unquoted(text, ' ') {
            if !part.is_empty() {
                selector.take(part).map_err(|e| e.moved(u64::try_from(at).unwrap_or(u64::MAX)))?;
            }
        }
        Ok(selector)
    }
}

impl fmt::Display for FileSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(name) = self.name.as_ref().filter(|name| !name.is_empty()) {
            parts.push(format!("name:\"{}\"", encode(name)));
        }
        // What was put together of parts that make none is left out.
        if let Some(media_type) = self.media_type.as_ref().filter(|media_type| media_type.is_sound()) {
            parts.push(format!("type:{media_type}"));
        }
        if let Some(size) = self.size {
            parts.push(format!("size:{size}"));
        }
        parts.extend(self.hashes.iter().map(|hash| format!("hash:{hash}")));
        parts.extend(self.other.iter().filter(|part| check_value(part).is_ok()).cloned());
        f.write_str(&parts.join(" "))
    }
}

impl FileType {
    /// A type without parameters.
    ///
    /// # Errors
    /// If it is not of the form `image/jpeg`.
    pub fn new(essence: &str) -> Result<Self, ParseError> {
        match essence.split_once('/') {
            Some((kind, sub)) if is_token(kind) && is_token(sub) => {
                Ok(Self { essence: essence.to_owned(), parameters: Vec::new() })
            }
            _ => Err(ParseError::new(0, ParseErrorKind::Syntax, "a media type")),
        }
    }

    fn is_sound(&self) -> bool {
        Self::new(&self.essence).is_ok() && self.parameters.iter().all(|(name, _)| is_token(name))
    }

    /// As a `Content-Type` has it: RFC 5547 §6 has parameters encoded differently here and there.
    #[must_use]
    pub fn content_type(&self) -> String {
        if !self.is_sound() {
            return "application/octet-stream".to_owned();
        }
        let mut out = self.essence.clone();
        for (name, value) in &self.parameters {
            let clean: String = value.chars().filter(|c| !c.is_control()).collect();
            out.push_str(&format!(";{name}=\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\"")));
        }
        out
    }
}

impl FromStr for FileType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        check_value(text)?;
        let mut parts = split_unquoted(text, ';');
        let mut this = Self::new(parts.next().map_or("", |(_, essence)| essence))?;
        for (at, part) in parts {
            let error = |kind, what| ParseError::new(at, kind, what);
            let (name, value) =
                part.split_once('=').ok_or_else(|| error(ParseErrorKind::Syntax, "name=\"value\""))?;
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"').filter(|v| !v.contains('"')),
                // Some peers write it as in a Content-Type.
                None => Some(value).filter(|v| is_token(v)),
            };
            let (true, Some(value)) = (is_token(name), value) else {
                return Err(error(ParseErrorKind::Syntax, "name=\"value\""));
            };
            if this.parameters.len() >= MAX_PARTS {
                return Err(error(ParseErrorKind::TooLong, "fewer parameters"));
            }
            this.parameters.push((name.to_owned(), decode(value)));
        }
        Ok(this)
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.essence)?;
        self.parameters.iter().try_for_each(|(name, value)| write!(f, ";{name}=\"{}\"", encode(value)))
    }
}

/// What no attribute of SDP holds, and a size that none has.
pub(super) fn check_value(text: &str) -> Result<(), ParseError> {
    if text.len() > MAX_VALUE {
        return Err(ParseError::new(MAX_VALUE, ParseErrorKind::TooLong, "a value of at most 8 KiB"));
    }
    match text.bytes().position(|b| matches!(b, 0 | b'\r' | b'\n')) {
        Some(at) => Err(ParseError::new(at, ParseErrorKind::Syntax, "a value of one line")),
        None => Ok(()),
    }
}

/// A decimal number, without the sign that `u64::from_str` takes.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// The parts between separators outside of double quotes, with their offsets.
pub(super) fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = (usize, &str)> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = text.get(start..)?;
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '"';
            c == separator && !quoted
        });
        next = end.map(|end| start + end + separator.len_utf8());
        Some((start, rest.get(..end.unwrap_or(rest.len()))?))
    })
}

/// RFC 5547 §6 `filename-string`; what may be taken for a folder is encoded too.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '%' | '/' | '\\' | '\u{7F}' => out.push_str(&format!("%{:02X}", u32::from(c))),
            c if u32::from(c) < 0x20 => out.push_str(&format!("%{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A percent sign that encodes nothing stands for itself; bytes that are no UTF-8 become U+FFFD.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let text = "name:\"My cool picture.jpg\" type:image/jpeg size:32349 \
                    hash:sha-1:72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71:91:3E:E4:A2:CE:2E";
        let selector: FileSelector = text.parse().unwrap();
        assert_eq!(selector.name.as_deref(), Some("My cool picture.jpg"));
        assert_eq!(selector.media_type.as_ref().unwrap().content_type(), "image/jpeg");
        assert_eq!((selector.size, selector.hashes.len()), (Some(32349), 1));
        assert_eq!(selector.to_string(), text);
        assert!("".parse::<FileSelector>().unwrap().is_empty());
    }

    #[test]
    fn names_are_escaped() {
        let name = "50% \"a/b\\c\"\r\n\0 ü 日本 \u{7F}.txt";
        let selector = FileSelector { name: Some(name.into()), ..FileSelector::default() };
        let text = selector.to_string();
        assert_eq!(text, "name:\"50%25 %22a%2Fb%5Cc%22%0D%0A%00 ü 日本 %7F.txt\"");
        assert_eq!(text.parse::<FileSelector>().unwrap(), selector);
        // As a peer that does not escape writes it, and with bytes that are no UTF-8.
        for (written, read) in [("100%.txt", "100%.txt"), ("a%zz%2", "a%zz%2"), ("%ff", "\u{FFFD}")] {
            let selector: FileSelector = format!("name:\"{written}\"").parse().unwrap();
            assert_eq!(selector.name.as_deref(), Some(read));
        }
    }

    #[test]
    fn types_with_parameters() {
        let text = "type:text/plain;charset=\"utf-8\";x=\"a;b %22c%22 \\\"";
        let selector: FileSelector = text.parse().unwrap();
        let media_type = selector.media_type.clone().unwrap();
        assert_eq!(media_type.parameters[1], ("x".to_owned(), "a;b \"c\" \\".to_owned()));
        assert_eq!(media_type.content_type(), "text/plain;charset=\"utf-8\";x=\"a;b \\\"c\\\" \\\\\"");
        assert_eq!(selector.to_string().parse::<FileSelector>().unwrap(), selector);
        assert_eq!("a/b;c=d".parse::<FileType>().unwrap().to_string(), "a/b;c=\"d\"");
    }

    #[test]
    fn malformed_and_unknown() {
        for text in [
            "name:x",
            "name:\"\"",
            "name:\"a\"b\"",
            "name:\"a",
            "size:",
            "size:+1",
            "size:-1",
            "type:text",
            "size:18446744073709551616",
            "type:/",
            "type:a/b;c",
            "type:a/b;c=\"",
            "hash:sha-1",
            "x",
            "a\nb:c",
        ] {
            assert!(text.parse::<FileSelector>().is_err(), "{text:?}");
        }
        let selector: FileSelector = "size:1 colour:red size:2".parse().unwrap();
        assert_eq!(selector.to_string(), "size:1 colour:red");
        assert!("x".repeat(MAX_VALUE + 1).parse::<FileSelector>().is_err());
        let hashes = (0..20).map(|n| format!("hash:x:{n:02X}")).collect::<Vec<_>>().join(" ");
        assert_eq!(hashes.parse::<FileSelector>().unwrap_err().kind, ParseErrorKind::TooLong);
    }

    #[test]
    fn a_pull_finds_its_file() {
        let file: FileSelector = "name:\"a.txt\" type:text/plain size:3 hash:x:01".parse().unwrap();
        for (wanted, found) in [
            ("hash:x:01", true),
            ("hash:x:02", false),
            ("name:\"a.txt\" size:3", true),
            ("size:4", false),
            ("type:TEXT/plain", true),
            ("type:image/png", false),
            ("hash:y:09", true),
        ] {
            assert_eq!(wanted.parse::<FileSelector>().unwrap().selects(&file), found, "{wanted}");
        }
        let bare: FileSelector = "name:\"a.txt\"".parse().unwrap();
        assert!(!"hash:x:01".parse::<FileSelector>().unwrap().selects(&bare));
    }
}
