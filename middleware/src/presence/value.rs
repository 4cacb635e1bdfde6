//! Values that several documents have.

use std::time::SystemTime;

use super::schema::Value;
use super::xml::{Attribute, Element, XML};
use crate::error::Error;

/// A time as RFC 3339 writes it, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp(String);

impl Timestamp {
    /// A time from its text, such as `2001-10-27T16:49:29Z`.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| Error::BadValue {
            what: "a timestamp",
            value: text.to_owned(),
            expected: "a date and time as RFC 3339 has them",
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.0.parse::<jiff::Timestamp>().map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
    }
}

impl From<SystemTime> for Timestamp {
    /// To the second, in UTC; a time beyond what dates can say is the epoch.
    fn from(time: SystemTime) -> Self {
        let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self(jiff::Timestamp::from_second(time.as_second()).unwrap_or(time).to_string())
    }
}

impl Value for Timestamp {
    const WHAT: &'static str = "a date and time";

    fn read(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().is_ok().then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A priority from 0 to 1 in thousandths (RFC 3863 §4.1.5).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(u16);

impl Priority {
    /// The highest.
    pub const MAX: Self = Self(1000);

    /// So many thousandths; more than 1000 are 1000.
    #[must_use]
    pub fn from_thousandths(thousandths: u16) -> Self {
        Self(thousandths.min(1000))
    }

    /// In thousandths, from 0 to 1000.
    #[must_use]
    pub fn thousandths(self) -> u16 {
        self.0
    }
}

impl Value for Priority {
    const WHAT: &'static str = "a priority from 0 to 1";

    fn read(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = fraction.bytes().all(|b| b.is_ascii_digit()) && fraction.len() <= 3;
        let fraction: u16 = format!("{fraction:0<3}").parse().ok().filter(|_| digits)?;
        match whole {
            "0" => Some(Self(fraction)),
            "1" if fraction == 0 => Some(Self::MAX),
            _ => None,
        }
    }

    fn show(&self) -> String {
        if *self == Self::MAX {
            return "1".to_owned();
        }
        let text = format!("0.{:03}", self.0);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

elements! {
    /// Words for people, in a language perhaps.
    pub struct Note {
        /// `xml:lang`.
        may language: String = XML, "lang";
        /// The words.
        exact text: String;
    }
}

impl Note {
    /// A note in no language that is told.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { language: None, text: text.into() }
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

words! {
    closed
    /// Whether a document tells everything or what has changed.
    pub enum DocumentState {
        Full = "full",
        Partial = "partial",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_decimals_up_to_one() {
        for (text, thousandths) in
            [("0", 0), ("1", 1000), ("1.000", 1000), ("0.8", 800), ("0.725", 725), ("0.", 0), ("0.05", 50)]
        {
            let priority = Priority::read(text).expect(text);
            assert_eq!(priority.thousandths(), thousandths, "{text}");
            assert_eq!(Priority::read(&priority.show()), Some(priority), "{text}");
        }
        for wrong in ["", "1.1", "2", "-0", "0.1234", "0,8", "0.8 ", "0.+1", ".5"] {
            assert_eq!(Priority::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamps_are_kept_as_written() {
        let written = Timestamp::new("2001-10-27T16:49:29+02:00").expect("a time");
        assert_eq!(written.as_str(), "2001-10-27T16:49:29+02:00");
        let same = Timestamp::from(written.time());
        assert_eq!((same.as_str(), same.time()), ("2001-10-27T14:49:29Z", written.time()));
        assert!(Timestamp::new("yesterday").is_err());
    }
}
