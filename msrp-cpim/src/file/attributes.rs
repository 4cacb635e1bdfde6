//! The attributes beside the selector, and all of them together.

use std::fmt;
use std::str::FromStr;

use super::selector::{FileSelector, check_value, number, split_unquoted};
use crate::error::{ParseError, ParseErrorKind};
use crate::ident::IdSource;
use crate::uri::is_token;

/// All attributes of RFC 5547 of one `m=` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileDescription {
    /// `file-selector`.
    pub selector: FileSelector,
    /// `file-transfer-id`: another value is another transfer, the same one a repetition (RFC 5547 §8.1).
    pub transfer_id: Option<FileTransferId>,
    /// `file-disposition`; its absence means `render` (RFC 5547 §7).
    pub disposition: Option<String>,
    /// `file-date`.
    pub dates: Option<FileDates>,
    /// `file-icon`.
    pub icon: Option<FileIcon>,
    /// `file-range`; its absence means the whole file.
    pub range: Option<FileRange>,
}

/// The value of `a=file-transfer-id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileTransferId(String);

/// The value of `a=file-range`: positions in the file, from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileRange {
    start: u64,
    stop: Option<u64>,
}

/// The value of `a=file-date`: dates as RFC 5322 writes them, with a numeric zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileDates {
    /// When the file was created.
    pub creation: Option<String>,
    /// When it was modified.
    pub modification: Option<String>,
    /// When it was read last.
    pub read: Option<String>,
}

/// The value of `a=file-icon`: the body of the same request that has this `Content-ID` (RFC 2392).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileIcon(String);

impl FileDescription {
    /// Picks the attributes of RFC 5547 out of those of an `m=` section, given as names and values.
    ///
    /// A malformed one beside the selector counts as absent, but for the range, which would be a wrong file.
    /// `None` if there is no `file-selector`: then it is no file transfer.
    ///
    /// # Errors
    /// If the selector or the range is malformed.
    pub fn parse<'a>(
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, ParseError> {
        let mut this = Self::default();
        let mut selector = None;
        for (name, value) in attributes {
            match name {
                "file-selector" if selector.is_none() => selector = Some(value.parse()?),
                "file-transfer-id" => this.transfer_id = this.transfer_id.or_else(|| value.parse().ok()),
                "file-disposition" if is_token(value) => {
                    this.disposition.get_or_insert_with(|| value.to_owned());
                }
                "file-date" => this.dates = this.dates.or_else(|| value.parse().ok()),
                "file-icon" => this.icon = this.icon.or_else(|| value.parse().ok()),
                "file-range" if this.range.is_none() => this.range = Some(value.parse()?),
                _ => {}
            }
        }
        Ok(selector.map(|selector| Self { selector, ..this }))
    }

    /// Names and values as they go into the `m=` section.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut out = vec![("file-selector", self.selector.to_string())];
        let mut push = |name, value: Option<String>| out.extend(value.map(|value| (name, value)));
        push("file-transfer-id", self.transfer_id.as_ref().map(FileTransferId::to_string));
        push("file-disposition", self.disposition.clone().filter(|d| is_token(d)));
        push("file-date", self.dates.as_ref().map(FileDates::to_string).filter(|d| !d.is_empty()));
        push("file-icon", self.icon.as_ref().map(FileIcon::to_string));
        push("file-range", self.range.map(|range| range.to_string()));
        out
    }

    /// Whether the file is to be shown at once: RFC 5547 §7.
    #[must_use]
    pub fn renders(&self) -> bool {
        self.disposition.as_deref().is_none_or(|d| d.eq_ignore_ascii_case("render"))
    }
}

impl FileTransferId {
    /// A random one.
    #[must_use]
    pub fn random(ids: &mut IdSource) -> Self {
        Self(ids.next_id())
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileTransferId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() > 256 || !is_token(text) {
            return Err(ParseError::new(0, ParseErrorKind::Syntax, "a token of at most 256 bytes"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for FileTransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FileRange {
    /// All bytes from `start`, counted from one, to `stop` inclusive; without it, to the end.
    ///
    /// # Errors
    /// If `start` is zero or behind `stop`.
    pub fn new(start: u64, stop: Option<u64>) -> Result<Self, ParseError> {
        if start == 0 || stop.is_some_and(|stop| stop < start) {
            return Err(ParseError::new(0, ParseErrorKind::Number, "positions from one, in order"));
        }
        Ok(Self { start, stop })
    }

    /// What is missing of a file of which the first `have` bytes are there.
    #[must_use]
    pub fn rest_after(have: u64) -> Self {
        Self { start: have.saturating_add(1), stop: None }
    }

    /// How many bytes of the file go before, that is where to seek to.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.start - 1
    }

    /// The position of the last byte, from one.
    #[must_use]
    pub fn stop(&self) -> Option<u64> {
        self.stop
    }

    /// How many bytes of a file of this size are meant; `None` if the file does not reach there.
    #[must_use]
    pub fn length_in(&self, size: u64) -> Option<u64> {
        let stop = self.stop.unwrap_or(size);
        if stop > size { None } else { stop.checked_sub(self.offset()) }
    }
}

impl FromStr for FileRange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let syntax = || ParseError::new(0, ParseErrorKind::Syntax, "start-stop");
        let (start, stop) = text.split_once('-').ok_or_else(syntax)?;
        let stop = match stop {
            "*" => None,
            stop => Some(number(stop).ok_or_else(syntax)?),
        };
        Self::new(number(start).ok_or_else(syntax)?, stop)
    }
}

impl fmt::Display for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stop {
            Some(stop) => write!(f, "{}-{stop}", self.start),
            None => write!(f, "{}-*", self.start),
        }
    }
}

impl FromStr for FileDates {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        check_value(text)?;
        let mut this = Self::default();
        for (at, part) in split_unquoted(text, ' ').filter(|(_, part)| !part.is_empty()) {
            let syntax = |what| ParseError::new(at, ParseErrorKind::Syntax, what);
            let (kind, value) = part.split_once(':').ok_or_else(|| syntax("creation:\"date\""))?;
            let value = value
                .strip_prefix('"')
                .and_then(|v| v.strip_suffix('"'))
                .filter(|v| is_date(v))
                .ok_or_else(|| syntax("a date in double quotes"))?;
            let slot = match kind {
                "creation" => &mut this.creation,
                "modification" => &mut this.modification,
                "read" => &mut this.read,
                _ => return Err(syntax("creation, modification or read")),
            };
            // RFC 5547 §6: not more than one of each.
            if slot.replace(value.to_owned()).is_some() {
                return Err(syntax("each date once"));
            }
        }
        if this == Self::default() {
            return Err(ParseError::new(0, ParseErrorKind::Missing, "a date"));
        }
        Ok(this)
    }
}

impl fmt::Display for FileDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [("creation", &self.creation), ("modification", &self.modification), ("read", &self.read)];
        let dates =
            all.into_iter().filter_map(|(kind, date)| Some((kind, date.as_ref().filter(|d| is_date(d))?)));
        for (index, (kind, date)) in dates.enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{kind}:\"{date}\"")?;
        }
        Ok(())
    }
}

/// Characters of a date: RFC 5322 §3.3. What they mean is for whoever sets the file's times.
fn is_date(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" ,:+-()".contains(&b))
}

impl FileIcon {
    /// An icon in the body with this `Content-ID`, with or without its angle brackets.
    ///
    /// # Errors
    /// If it holds a character that must not be there.
    pub fn new(content_id: &str) -> Result<Self, ParseError> {
        let bare = content_id.strip_prefix('<').and_then(|c| c.strip_suffix('>')).unwrap_or(content_id);
        format!("cid:{bare}").parse()
    }

    /// The `Content-ID` of the body, with its angle brackets.
    #[must_use]
    pub fn content_id(&self) -> String {
        format!("<{}>", self.0)
    }
}

impl FromStr for FileIcon {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let scheme = text.get(..4).filter(|s| s.eq_ignore_ascii_case("cid:"));
        let id = scheme.and(text.get(4..)).filter(|id| {
            !id.is_empty()
                && id.len() <= 256
                && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\".contains(&b))
        });
        id.map(|id| Self(id.to_owned())).ok_or(ParseError::new(0, ParseErrorKind::Syntax, "cid:id@host"))
    }
}

impl fmt::Display for FileIcon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cid:{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: [(&str, &str); 6] = [
        ("file-selector", "name:\"My cool picture.jpg\" type:image/jpeg size:32349"),
        ("file-transfer-id", "vBnG916bdberum2fFEABR1FR3ExZMUrd"),
        ("file-disposition", "attachment"),
        ("file-date", "creation:\"Mon, 15 May 2006 15:01:31 +0300\""),
        ("file-icon", "cid:id2@alicepc.example.com"),
        ("file-range", "1-32349"),
    ];

    #[test]
    fn the_example_of_the_rfc() {
        let file = FileDescription::parse(EXAMPLE).unwrap().unwrap();
        assert_eq!(file.icon.as_ref().unwrap().content_id(), "<id2@alicepc.example.com>");
        assert_eq!(file.range.unwrap().length_in(32349), Some(32349));
        assert!(!file.renders());
        let printed = file.attributes();
        assert!(printed.iter().map(|(name, value)| (*name, value.as_str())).eq(EXAMPLE));
    }

    #[test]
    fn only_what_matters_must_be_right() {
        let file = FileDescription::parse([
            ("file-icon", "http://x"),
            ("file-date", "tomorrow"),
            ("file-selector", "size:1"),
            ("file-transfer-id", "two words"),
            ("accept-types", "*"),
        ]);
        let file = file.unwrap().unwrap();
        assert_eq!(
            (file.selector.size, &file.icon, &file.dates, &file.transfer_id),
            (Some(1), &None, &None, &None)
        );
        assert!(file.renders());
        assert_eq!(FileDescription::parse([("path", "x")]), Ok(None));
        assert!(FileDescription::parse([("file-selector", "size:1"), ("file-range", "0-1")]).is_err());
    }

    #[test]
    fn ranges() {
        for text in ["", "-", "1", "0-1", "5-4", "+1-2", "1-", "*-1", "1-2-3"] {
            assert!(text.parse::<FileRange>().is_err(), "{text}");
        }
        let rest = FileRange::rest_after(100);
        assert_eq!((rest.to_string().as_str(), rest.offset()), ("101-*", 100));
        assert_eq!((rest.length_in(150), rest.length_in(100), rest.length_in(99)), (Some(50), Some(0), None));
        assert_eq!("11-20".parse::<FileRange>().unwrap().length_in(15), None);
    }

    #[test]
    fn dates() {
        let text = "creation:\"Mon, 15 May 2006 15:01:31 +0300\" read:\"Tue, 16 May 2006 15:01:31 +0300\"";
        assert_eq!(text.parse::<FileDates>().unwrap().to_string(), text);
        for text in ["", "creation:x", "birth:\"1\"", "read:\"1\" read:\"2\"", "read:\"<1>\""] {
            assert!(text.parse::<FileDates>().is_err(), "{text}");
        }
    }
}
