//! The a= lines of a session or of a stream, in their order, typed when asked.

use std::fmt;
use std::sync::Arc;

use crate::attribute::Attribute;
use crate::error::{ParseError, UsageError};
use crate::text::{self, is_word};

/// Attributes in the order they stand in. Those that were read are slices of the description, those that were
/// added lie in one text of their own; a value is typed only when [`Attributes::get`] asks for it.
#[derive(Clone, Default)]
pub struct Attributes {
    source: Option<Arc<str>>,
    own: String,
    entries: Vec<Entry>,
}

/// One attribute, borrowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttributeRef<'a> {
    /// The name, before the colon.
    pub name: &'a str,
    /// What follows the colon, if there is one.
    pub value: Option<&'a str>,
}

/// `start..name_end` is the name; the value, if any, is what follows the colon up to `end`. A name without a
/// colon may have spaces behind it, which print but do not count.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    name_end: u32,
    end: u32,
    own: bool,
}

/// What the text of our own may grow to: far more than any description, and within `u32`.
const OWN_CAP: usize = 16 << 20;

impl Attributes {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_source(source: &Arc<str>) -> Self {
        Self { source: Some(Arc::clone(source)), own: String::new(), entries: Vec::new() }
    }

    /// A line of the source; the first one makes room for more.
    #[inline]
    pub(crate) fn read(&mut self, start: u32, name_end: u32, end: u32, room: usize) {
        if self.entries.capacity() == 0 {
            self.entries.reserve(room);
        }
        self.entries.push(Entry { start, name_end, end, own: false });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = AttributeRef<'_>> + ExactSizeIterator + Clone {
        self.entries.iter().map(|entry| self.resolve(entry))
    }

    /// Whether one of that name is there. Names are compared exactly (RFC 8866 §5.13).
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|one| one.name == name)
    }

    /// The value of the first of that name; an attribute without a value gives the empty text.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|one| one.name == name).map(|one| one.value.unwrap_or_default())
    }

    /// The values of all of that name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + Clone {
        self.iter().filter(move |one| one.name == name).map(|one| one.value.unwrap_or_default())
    }

    /// The first of that type. `Some(Err(_))`: it is there, but malformed.
    pub fn get<T: Attribute>(&self) -> Option<Result<T, ParseError>> {
        self.all().next()
    }

    /// The first of that type which is well formed; malformed ones count as absent (RFC 8866 §5.13: what a
    /// receiver does not understand it ignores).
    pub fn find<T: Attribute>(&self) -> Option<T> {
        self.all().find_map(Result::ok)
    }

    /// All of that type, in order.
    pub fn all<T: Attribute>(&self) -> impl Iterator<Item = Result<T, ParseError>> + '_ {
        self.iter().filter(|one| T::is_named(one.name)).map(|one| T::read(one.name, one.value))
    }

    /// Adds one at the end. Refused if what it holds would break out of its line.
    pub fn push<T: Attribute>(&mut self, attribute: &T) -> Result<(), UsageError> {
        let entry = self.compose(attribute.name(), |out| attribute.write(out))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Puts one in the place of the first of its type and takes the others away, or adds it at the end.
    pub fn set<T: Attribute>(&mut self, attribute: &T) -> Result<(), UsageError> {
        let entry = self.compose(attribute.name(), |out| attribute.write(out))?;
        let place = self.iter().position(|one| T::is_named(one.name)).unwrap_or(self.entries.len());
        self.remove::<T>();
        self.entries.insert(place.min(self.entries.len()), entry);
        Ok(())
    }

    /// Adds one as text; without a value if `value` is `None`.
    pub fn push_text(&mut self, name: &str, value: Option<&str>) -> Result<(), UsageError> {
        let entry = self.compose(name, |out| {
            if let Some(value) = value {
                out.push(':');
                out.push_str(value);
            }
        })?;
        self.entries.push(entry);
        Ok(())
    }

    /// Takes all of that type away; says how many there were.
    pub fn remove<T: Attribute>(&mut self) -> usize {
        self.retain(|one| !T::is_named(one.name))
    }

    /// Takes all of that name away; says how many there were.
    pub fn remove_named(&mut self, name: &str) -> usize {
        self.retain(|one| one.name != name)
    }

    /// Keeps those for which `keep` holds; says how many went.
    pub fn retain(&mut self, mut keep: impl FnMut(AttributeRef<'_>) -> bool) -> usize {
        let before = self.entries.len();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| keep(self.resolve(entry)));
        self.entries = entries;
        before - self.entries.len()
    }

    /// Writes `name` and what `value` adds to our own text, and takes it back if it would not be one line.
    fn compose(&mut self, name: &str, value: impl FnOnce(&mut String)) -> Result<Entry, UsageError> {
        if !is_word(name) || name.contains(':') {
            return Err(UsageError::Word { what: "the name of an attribute" });
        }
        let start = self.own.len();
        self.own.push_str(name);
        let name_end = self.own.len();
        value(&mut self.own);
        let end = self.own.len();
        let composed = self.own.get(start..).unwrap_or_default();
        let entry = text::check(composed, "an attribute").and_then(|()| {
            let too_long = |_| UsageError::TooLong { what: "the attributes" };
            if end > OWN_CAP {
                return Err(UsageError::TooLong { what: "the attributes" });
            }
            Ok(Entry {
                start: u32::try_from(start).map_err(too_long)?,
                name_end: u32::try_from(name_end).map_err(too_long)?,
                end: u32::try_from(end).map_err(too_long)?,
                own: true,
            })
        });
        if entry.is_err() {
            self.own.truncate(start);
        }
        entry
    }

    fn text(&self, own: bool) -> &str {
        if own { &self.own } else { self.source.as_deref().unwrap_or_default() }
    }

    fn resolve(&self, entry: &Entry) -> AttributeRef<'_> {
        let text = self.text(entry.own);
        let name = text.get(entry.start as usize..entry.name_end as usize).unwrap_or_default();
        let rest = text.get(entry.name_end as usize..entry.end as usize).unwrap_or_default();
        let value = rest.strip_prefix(':');
        AttributeRef { name, value }
    }

    /// Writes the a= lines. Lines that lie side by side in the source go out in one piece.
    pub(crate) fn write(&self, out: &mut dyn fmt::Write, eol: &str) -> fmt::Result {
        let between = if eol == "\r\n" { "\r\na=" } else { "\na=" };
        let mut entries = self.entries.iter().peekable();
        while let Some(entry) = entries.next() {
            let text = self.text(entry.own);
            let mut end = entry.end;
            while let Some(next) = entries.next_if(|next| {
                !entry.own && !next.own && text.get(end as usize..next.start as usize) == Some(between)
            }) {
                end = next.end;
            }
            out.write_str("a=")?;
            out.write_str(text.get(entry.start as usize..end as usize).unwrap_or_default())?;
            out.write_str(eol)?;
        }
        Ok(())
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Attributes {}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for AttributeRef<'_> {
    /// Keys and passwords stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(_) if matches!(self.name, "crypto" | "ice-pwd" | "key-mgmt") => {
                write!(f, "{}:…", self.name)
            }
            Some(value) => write!(f, "{}:{value}", self.name),
            None => f.write_str(self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Mid, Ptime};

    #[test]
    fn injection_is_refused_and_leaves_no_trace() {
        let mut attributes = Attributes::new();
        attributes.push_text("a", Some("b")).expect("plain");
        for bad in ["x\r\nm=audio 9 RTP/AVP 0", "x\n", "\0"] {
            assert!(attributes.push_text("x", Some(bad)).is_err());
            assert!(attributes.push(&Mid(bad.to_owned())).is_err());
        }
        for bad in ["", "a b", "a:b", "a\r\n"] {
            assert!(attributes.push_text(bad, None).is_err(), "{bad:?}");
        }
        let mut out = String::new();
        attributes.write(&mut out, "\r\n").expect("a string");
        assert_eq!(out, "a=a:b\r\n");
    }

    #[test]
    fn set_keeps_the_place() {
        let mut attributes = Attributes::new();
        for (name, value) in [("x", "1"), ("ptime", "20"), ("y", "2"), ("ptime", "30")] {
            attributes.push_text(name, Some(value)).expect("plain");
        }
        attributes.set(&Ptime(40.0)).expect("a number");
        let names: Vec<_> = attributes.iter().map(|one| (one.name, one.value)).collect();
        assert_eq!(names, [("x", Some("1")), ("ptime", Some("40")), ("y", Some("2"))]);
    }

    #[test]
    fn no_key_in_a_log() {
        let mut attributes = Attributes::new();
        attributes.push_text("crypto", Some("1 AES_CM_128_HMAC_SHA1_80 inline:SECRET")).expect("plain");
        assert!(!format!("{attributes:?}").contains("SECRET"));
    }
}
