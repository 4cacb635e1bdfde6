//! `name-addr` and `addr-spec` with parameters: what From, To, Contact, Route and kin hold.

use crate::{Params, ParseError, Text, Uri, UsageError, grammar, swar, uri::Parts};
use std::{fmt, str::FromStr};

/// A URI with an optional display name and header parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name without quotes and escapes.
    pub display_name: Option<Text>,
    /// The URI.
    pub uri: Uri,
    /// The parameters after it.
    pub params: Params,
}

impl NameAddr {
    /// A URI alone.
    pub fn new(uri: Uri) -> Self {
        Self { display_name: None, uri, params: Params::new() }
    }

    /// With this display name.
    pub fn with_display_name(mut self, name: impl Into<Text>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// With this parameter.
    pub fn with_param(mut self, name: &str, value: &str) -> Result<Self, UsageError> {
        self.params.set(name, value)?;
        Ok(self)
    }

    /// With this tag, in place of any it had.
    pub fn with_tag(self, tag: &str) -> Result<Self, UsageError> {
        self.with_param("tag", tag)
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// Whether a text is an address, without making one of it.
    pub(crate) fn check(text: &str) -> Result<(), ParseError> {
        grammar::leading(text, END, |input| {
            let (rest, (_, text)) = read_addr(input)?;
            if let Err(e) = Parts::read(text)
                && odd_uri(text).is_none()
            {
                return at_uri(input, text, e);
            }
            let (rest, _) = Params::skim(rest)?;
            Ok((rest, ()))
        })
    }

    /// `( name-addr / addr-spec ) *( SEMI param )`.
    #[inline]
    pub(crate) fn read(input: &str) -> grammar::Res<'_, Self> {
        let (rest, (display_name, text)) = read_addr(input)?;
        let uri = match read_uri(text) {
            Ok(uri) => uri,
            Err(e) => return at_uri(input, text, e),
        };
        let (rest, params) = Params::read(rest)?;
        let display_name = display_name.map(|name| Text::from(&*grammar::unquote(name)));
        Ok((rest, Self { display_name, uri, params }))
    }
}

const END: &str = "';' or the end of the address";

/// The error of a URI, where it stands in the address.
#[cold]
fn at_uri<'a, O>(input: &'a str, uri: &str, error: ParseError) -> grammar::Res<'a, O> {
    // `uri` starts after the display name; point into it.
    let start = memchr::memmem::find(input.as_bytes(), uri.as_bytes()).unwrap_or(0);
    grammar::failed(grammar::cut(input, start + error.at).1, error.kind, error.what)
}

/// A URI where RFCs print it otherwise: with folds in it or white space behind it (but not before
/// it: RFC 4475 §3.1.2.14), `user@host` without a scheme, or a bare number.
fn read_uri(text: &str) -> Result<Uri, ParseError> {
    Uri::parse(text).or_else(|error| odd_uri(text).ok_or(error))
}

fn odd_uri(text: &str) -> Option<Uri> {
    let text = grammar::trim_end(text);
    if text.contains('\n') {
        let lines = text.split('\n').map(|line| line.trim_matches(['\\', ' ', '\t', '\r']));
        return Uri::parse(&lines.collect::<String>()).ok();
    }
    let text = match (text.find('@'), text.find(':')) {
        (Some(at), colon) if colon.is_none_or(|colon| colon > at) => format!("sip:{text}"),
        (None, None) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => format!("tel:{text}"),
        _ => text.to_owned(),
    };
    Uri::parse(&text).ok()
}

/// The display name as written and the URI's text.
pub(crate) fn read_addr(input: &str) -> grammar::Res<'_, (Option<&str>, &str)> {
    let (rest, name) = if input.starts_with('"') {
        let (rest, name) = grammar::quoted(input)?;
        (grammar::lws(rest), Some(name))
    } else {
        // `*( token LWS )`, and no white space before `<` is fine (RFC 4475 §3.1.1.6).
        let (words, rest) = grammar::take(input, grammar::class::WORDS);
        if rest.starts_with('<') {
            (rest, Some(grammar::trim_end(words)).filter(|w| !w.is_empty()))
        } else {
            (input, None)
        }
    };
    if let Some(inner) = rest.strip_prefix('<') {
        let Some(close) = swar::find(inner.as_bytes(), b'>') else {
            // Without the bracket, the parameters are the header's.
            let (text, rest) = grammar::span(inner, |b| b != b';' && !grammar::is_lws(b));
            return Ok((rest, (name, text)));
        };
        let (text, rest) = grammar::cut(inner, close);
        return Ok((unglued(rest.strip_prefix('>').unwrap_or(rest)), (name, text)));
    }
    if name.is_some() {
        return grammar::expected(rest, "'<' after the display name");
    }
    // RFC 3261 §20: without brackets, what follows `;` belongs to the header, and `?` and `,`
    // may not be in the URI.
    let (text, rest) = grammar::span(rest, |b| !matches!(b, b';' | b'?' | b',') && !grammar::is_lws(b));
    if rest.starts_with('?') {
        return grammar::expected(rest, "'<' and '>' around a URI with headers");
    }
    Ok((rest, (None, text)))
}

/// Skips a word that is glued to the closing bracket: a tag that lost its name.
fn unglued(rest: &str) -> &str {
    if !rest.bytes().next().is_some_and(grammar::is_token_byte) {
        return rest;
    }
    let (_, after) = grammar::take(rest, grammar::class::TOKEN);
    if after.bytes().next().is_none_or(|b| b == b';' || grammar::is_lws(b)) { after } else { rest }
}

impl FromStr for NameAddr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        grammar::leading(text, END, Self::read)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.display_name.as_deref() {
            if is_words(name) {
                f.write_str(name)?;
            } else {
                grammar::quote_into(f, name)?;
            }
            f.write_str(" ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl From<Uri> for NameAddr {
    fn from(uri: Uri) -> Self {
        Self::new(uri)
    }
}

/// Tokens with single spaces between them need no quotes.
fn is_words(name: &str) -> bool {
    name.split(' ').all(grammar::is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, name, uri, tag) in [
            (
                "\"J Rosenberg \\\\\\\"\"  <sip:jdrosen@example.com>\r\n ;\r\n tag = 98asjd8",
                Some("J Rosenberg \\\""),
                "sip:jdrosen@example.com",
                Some("98asjd8"),
            ),
            ("caller<sip:caller@example.com>;tag=323", Some("caller"), "sip:caller@example.com", Some("323")),
            (
                "sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n",
                None,
                "sip:vivekg@chair-dnrc.example.com",
                Some("1918181833n"),
            ),
            ("<sip:a@b;x=y>", None, "sip:a@b;x=y", None),
            ("Anders B <tel:+1>", Some("Anders B"), "tel:+1", None),
        ] {
            let addr: NameAddr = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((addr.display_name.as_deref(), addr.uri.as_str(), addr.tag()), (name, uri, tag));
            assert_eq!(addr.to_string().parse(), Ok(addr));
        }
    }

    #[test]
    fn refused() {
        for text in [
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "\"Mr. J. User <sip:j.user@example.com>",
            "< sip:a@b >",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "\"x\" sip:a@b",
            "",
            "<>",
            "<sip:a@b>x=y",
        ] {
            assert!(text.parse::<NameAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_rfcs_print_is_tolerated() {
        for (text, read) in [
            ("Alice <alice@atlanta.com>;tag=1", "Alice <sip:alice@atlanta.com>;tag=1"),
            ("<sip:a@b\r\n  ;gr=urn:uuid:f81>", "<sip:a@b;gr=urn:uuid:f81>"),
            ("<sip:a@b; \\\r\n  gr>;tag=1 Content-Length: 154", "<sip:a@b;gr>;tag=1"),
            ("<sip:a@b>\r\n . . .", "<sip:a@b>"),
            ("<sip:a@b >", "<sip:a@b>"),
            ("<sip:a@b;tag=1", "<sip:a@b>;tag=1"),
            ("112", "<tel:112>"),
            ("<tel:12345>t0815;x=y", "<tel:12345>;x=y"),
        ] {
            assert_eq!(text.parse::<NameAddr>().map(|a| a.to_string()).as_deref(), Ok(read));
        }
    }

    #[test]
    fn a_display_name_cannot_break_out() {
        let addr = NameAddr::new("sip:a@b".parse().unwrap()).with_display_name("x\" <sip:evil@e>\r\nVia: y");
        assert_eq!(addr.to_string(), "\"x\\\" <sip:evil@e>  Via: y\" <sip:a@b>");
    }
}
