//! Header parameters: `;name=value`.

use crate::{
    ErrorKind, ParseError, Text, UsageError,
    grammar::{self, class},
};
use std::{borrow::Cow, fmt};

/// The parameters after a header's value, in the order they came.
///
/// They are kept as one text without white space around the signs; looking one up scans it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Params {
    text: Text,
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name as it came; names compare without case.
    pub name: &'a str,
    /// Its value as it came, with the quotes if there are any.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// The value without quotes and escapes.
    pub fn unquoted(&self) -> Option<Cow<'a, str>> {
        self.value.map(grammar::unquote)
    }
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self { text: Text::new() }
    }

    /// The parameters of a text such as `;a=b;c`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "a parameter", Self::read)
    }

    /// `*( SEMI param )`, white space allowed before each sign.
    #[inline]
    pub(crate) fn read(input: &str) -> grammar::Res<'_, Self> {
        let (rest, (read, exact)) = Self::skim(input)?;
        let text = if exact { read.into() } else { normal(read).into() };
        Ok((rest, Self { text }))
    }

    /// The text that [`Self::read`] would take, and whether it is written as we would.
    #[inline]
    pub(crate) fn skim(input: &str) -> grammar::Res<'_, (&str, bool)> {
        // As nearly everyone writes them, in one go.
        let mut rest = input;
        while let Some(after) = rest.strip_prefix(';') {
            let (name, behind) = grammar::take(after, class::TOKEN);
            if name.is_empty() {
                break;
            }
            rest = match behind.strip_prefix('=') {
                None => behind,
                Some(value) => match grammar::take(value, class::VALUE) {
                    ("", _) => break,
                    (_, behind) => behind,
                },
            };
        }
        if rest.is_empty() { Ok((rest, (input, true))) } else { Self::skim_odd(input) }
    }

    fn skim_odd(input: &str) -> grammar::Res<'_, (&str, bool)> {
        let mut rest = input;
        let mut exact = true;
        while let (after, Some(param)) = grammar::next_param(rest)? {
            exact &= param.exact;
            rest = after;
        }
        let (end, _) = grammar::next_param(rest)?;
        let (read, _) = grammar::cut(input, input.len() - rest.len());
        Ok((end, (read, exact)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'_>> {
        let mut rest = self.text.as_str();
        std::iter::from_fn(move || {
            let (after, param) = grammar::next_param(rest).ok()?;
            rest = after;
            param.map(|p| Param { name: p.name, value: p.value })
        })
    }

    /// The first parameter of this name.
    pub fn find(&self, name: &str) -> Option<Param<'_>> {
        self.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of this name, as it came (quotes included);
    /// `None` if it is absent or has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name)?.value
    }

    /// Whether a parameter of this name is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Adds or replaces a parameter. A value that is no token is put in quotes.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        self.put(name, value, !is_plain(value))
    }

    /// [`Self::set`], in quotes whatever the value is.
    pub fn set_quoted(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        self.put(name, value, true)
    }

    fn put(&mut self, name: &str, value: &str, quotes: bool) -> Result<(), UsageError> {
        check_name(name)?;
        if value.contains(['\r', '\n', '\0']) {
            return Err(UsageError::LineBreak("a parameter value"));
        }
        let mut kept = self.without(name);
        if !quotes {
            push(&mut kept, name, Some(value));
        } else {
            let mut text = String::with_capacity(value.len() + 2);
            // Writing to a String does not fail.
            let _ = grammar::quote_into(&mut text, value);
            push(&mut kept, name, Some(&text));
        }
        self.text = kept.into();
        Ok(())
    }

    /// Adds a parameter without a value, unless it is there.
    pub fn set_flag(&mut self, name: &str) -> Result<(), UsageError> {
        check_name(name)?;
        let mut kept = self.without(name);
        push(&mut kept, name, None);
        self.text = kept.into();
        Ok(())
    }

    /// Removes every parameter of this name; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let kept = self.without(name);
        let removed = kept.len() != self.text.len();
        self.text = kept.into();
        removed
    }

    /// [`Self::set`], chained.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, UsageError> {
        self.set(name, value)?;
        Ok(self)
    }

    fn without(&self, name: &str) -> String {
        let mut kept = String::with_capacity(self.text.len() + 16);
        for p in self.iter().filter(|p| !p.name.eq_ignore_ascii_case(name)) {
            push(&mut kept, p.name, p.value);
        }
        kept
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parameters that were read, without white space and oddities.
fn normal(read: &str) -> String {
    let mut text = String::with_capacity(read.len());
    let mut rest = read;
    while let Ok((after, Some(param))) = grammar::next_param(rest) {
        push(&mut text, param.name, param.value);
        rest = after;
    }
    text
}

fn check_name(name: &str) -> Result<(), UsageError> {
    if grammar::is_token(name) {
        Ok(())
    } else {
        Err(ParseError::new(0, ErrorKind::Syntax, "a parameter name").into())
    }
}

/// Token or host: what may stand without quotes.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| grammar::is_token_byte(b) || matches!(b, b'[' | b']' | b':'))
}

fn push(text: &mut String, name: &str, value: Option<&str>) {
    text.push(';');
    text.push_str(name);
    if let Some(value) = value {
        text.push('=');
        text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_order() {
        let params = Params::parse(" ;  tag  = 19 ; lr;x=\"a;b\" \r\n ;received=2001:db8::9:255").unwrap();
        assert_eq!(params.to_string(), ";tag=19;lr;x=\"a;b\";received=2001:db8::9:255");
        assert_eq!(params.get("TAG"), Some("19"));
        assert!(params.contains("lr") && params.get("lr").is_none());
        assert_eq!(params.find("x").and_then(|p| p.unquoted()).as_deref(), Some("a;b"));
    }

    #[test]
    fn setting_quotes_and_refuses() {
        let mut params = Params::new().with("a", "b c\"").unwrap();
        assert_eq!(params.to_string(), r#";a="b c\"""#);
        params.set("A", "1").unwrap();
        params.set_flag("lr").unwrap();
        assert_eq!(params.to_string(), ";A=1;lr");
        assert!(params.remove("a") && !params.remove("a"));
        assert!(params.set("x", "a\r\nb").is_err());
        assert!(params.set("x y", "a").is_err());
    }

    #[test]
    fn what_rfcs_print_is_tolerated() {
        for (text, read) in [
            (";;branch=1;", ";branch=1"),
            ("; \\\r\n  branch=1", ";branch=1"),
            (";tag:23", ";tag=23"),
            (";user=phone>\r\n ;tag=1>", ";user=phone;tag=1"),
        ] {
            assert_eq!(Params::parse(text).map(|p| p.to_string()).as_deref(), Ok(read));
        }
    }

    #[test]
    fn refused() {
        for text in [";a=", ";a=\"open", ";a b", "a", ";=b", ";a=b c", ";<", ";a=>", "\\", ";a>b"] {
            assert!(Params::parse(text).is_err(), "{text}");
        }
    }
}
