//! Names of streams and of their parts: mid, label, group, ssrc, msid.

use std::fmt;
use std::str::FromStr;

use super::valued;
use crate::error::ParseError;
use crate::number;

/// `a=mid` (RFC 5888 §4)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mid(pub String);

/// `a=label` (RFC 4574)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label(pub String);

/// `a=group` (RFC 5888 §5), `BUNDLE` (RFC 8843) among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// `LS`, `FID`, `BUNDLE`, …
    pub semantics: String,
    /// The `a=mid` of the members.
    pub mids: Vec<String>,
}

/// `a=ssrc` (RFC 5576 §4.1)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ssrc {
    /// The source.
    pub ssrc: u32,
    /// What is said of it, such as `cname`.
    pub attribute: String,
    /// The value of that.
    pub value: Option<String>,
}

/// `a=ssrc-group` (RFC 5576 §4.2)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SsrcGroup {
    /// `FID`, `FEC`, …
    pub semantics: String,
    /// The sources.
    pub ssrcs: Vec<u32>,
}

/// `a=msid` (RFC 8830)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Msid {
    /// The media stream, `-` for none.
    pub id: String,
    /// The track.
    pub track: Option<String>,
}

valued!(
    Mid => "mid", Label => "label", Group => "group", Ssrc => "ssrc", SsrcGroup => "ssrc-group", Msid => "msid",
);

fn one_word(text: &str, what: &'static str) -> Result<String, ParseError> {
    let text = text.trim_matches(' ');
    if text.is_empty() || text.contains(' ') {
        return Err(ParseError::syntax(what));
    }
    Ok(text.to_owned())
}

impl FromStr for Mid {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        one_word(value, "one word").map(Mid)
    }
}

impl FromStr for Label {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        one_word(value, "one word").map(Label)
    }
}

impl FromStr for Group {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let mut words = value.split(' ').filter(|word| !word.is_empty()).map(str::to_owned);
        let semantics = words.next().ok_or(ParseError::syntax("what the group is for"))?;
        Ok(Group { semantics, mids: words.collect() })
    }
}

impl FromStr for Ssrc {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("a source of 32 bits and an attribute");
        let (ssrc, rest) = value.split_once(' ').ok_or(wrong)?;
        let (attribute, value) = match rest.split_once(':') {
            Some((attribute, value)) => (attribute, Some(value.to_owned())),
            None => (rest, None),
        };
        if attribute.is_empty() {
            return Err(wrong);
        }
        Ok(Ssrc { ssrc: number::u32(ssrc).ok_or(wrong)?, attribute: attribute.to_owned(), value })
    }
}

impl FromStr for SsrcGroup {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let semantics = words.next().ok_or(ParseError::syntax("what the group is for"))?.to_owned();
        let ssrcs = words
            .map(|word| number::u32(word).ok_or(ParseError::range("sources of 32 bits")))
            .collect::<Result<_, _>>()?;
        Ok(SsrcGroup { semantics, ssrcs })
    }
}

impl FromStr for Msid {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let id = words.next().ok_or(ParseError::syntax("an identifier"))?.to_owned();
        Ok(Msid { id, track: words.next().map(str::to_owned) })
    }
}

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.mids.iter().try_for_each(|mid| write!(f, " {mid}"))
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ssrc, self.attribute)?;
        self.value.iter().try_for_each(|value| write!(f, ":{value}"))
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        self.track.iter().try_for_each(|track| write!(f, " {track}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        for text in ["BUNDLE a b", "LS", "FID 1 2"] {
            assert_eq!(text.parse::<Group>().expect(text).to_string(), text);
        }
        for text in ["1 cname:a@b", "4294967295 x", "7 msid:a b"] {
            assert_eq!(text.parse::<Ssrc>().expect(text).to_string(), text);
        }
        for bad in ["4294967296 cname:a", "1", "x cname:a", "1 "] {
            assert!(bad.parse::<Ssrc>().is_err(), "{bad}");
        }
        assert!("FID 1 x".parse::<SsrcGroup>().is_err());
        assert!("a b".parse::<Mid>().is_err() && "".parse::<Mid>().is_err());
    }
}
