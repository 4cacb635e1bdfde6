//! The shared productions of RFC 3261 §25.1, on nom. Private: no nom type leaves the crate.
//!
//! Everything here reads one header value or URI, already cut out of the message: a CR or LF in
//! it can only be folding, so it counts as white space. Every production is linear in what it
//! consumes and none recurses.

use crate::{ErrorKind, ParseError, swar};
use std::borrow::Cow;

/// What a production returns: the rest and a value, or where it failed.
pub(crate) type Res<'a, O> = nom::IResult<&'a str, O, Fail>;

/// A failure, by how much text was left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fail {
    left: usize,
    kind: ErrorKind,
    what: &'static str,
}

impl nom::error::ParseError<&str> for Fail {
    fn from_error_kind(input: &str, _: nom::error::ErrorKind) -> Self {
        Self { left: input.len(), kind: ErrorKind::Syntax, what: "another character" }
    }

    fn append(_: &str, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

/// The error "`what` was expected where `input` starts".
pub(crate) fn expected<'a, O>(input: &'a str, what: &'static str) -> Res<'a, O> {
    failed(input, ErrorKind::Syntax, what)
}

/// An error of any kind where `input` starts.
pub(crate) fn failed<'a, O>(input: &'a str, kind: ErrorKind, what: &'static str) -> Res<'a, O> {
    Err(nom::Err::Error(Fail { left: input.len(), kind, what }))
}

/// Runs a production over the whole of `text`, white space around it aside.
pub(crate) fn whole<'a, O>(
    text: &'a str,
    what: &'static str,
    parser: impl FnOnce(&'a str) -> Res<'a, O>,
) -> Result<O, ParseError> {
    run(text, what, parser, str::is_empty)
}

/// Like [`whole`], but ignores what follows the value behind white space: a line that should not
/// have been indented, an ellipsis. Headers that a message needs are read so.
pub(crate) fn leading<'a, O>(
    text: &'a str,
    what: &'static str,
    parser: impl FnOnce(&'a str) -> Res<'a, O>,
) -> Result<O, ParseError> {
    run(text, what, parser, |rest| rest.bytes().next().is_none_or(is_lws))
}

fn run<'a, O>(
    text: &'a str,
    what: &'static str,
    parser: impl FnOnce(&'a str) -> Res<'a, O>,
    may_follow: impl Fn(&str) -> bool,
) -> Result<O, ParseError> {
    match parser(lws(text)) {
        Ok((rest, value)) => {
            if lws(rest).is_empty() || may_follow(rest) {
                Ok(value)
            } else {
                Err(ParseError::new(text.len() - rest.len(), ErrorKind::Syntax, what))
            }
        }
        Err(nom::Err::Error(fail) | nom::Err::Failure(fail)) => {
            Err(ParseError::new(text.len().saturating_sub(fail.left), fail.kind, fail.what))
        }
        Err(nom::Err::Incomplete(_)) => Err(ParseError::new(text.len(), ErrorKind::Truncated, what)),
    }
}

/// Sets of bytes, a bit each: one load decides.
pub(crate) mod class {
    pub(crate) const TOKEN: u16 = 1;
    pub(crate) const VALUE: u16 = 2;
    pub(crate) const CALL_ID: u16 = 4;
    pub(crate) const USER: u16 = 8;
    /// Of one URI parameter, so without `;`.
    pub(crate) const URI_PARAM: u16 = 16;
    pub(crate) const URI_HEADERS: u16 = 32;
    /// Of a host name: its parts and the dots between them.
    pub(crate) const HOST: u16 = 64;
    pub(crate) const WORDS: u16 = 128;
    /// What a host and port may be written with, and more: up to a separator.
    pub(crate) const SENT_BY: u16 = 256;
}

/// The sets each byte is in.
const CLASSES: [u16; 256] = {
    let mut table = [0; 256];
    let mut rest: &mut [u16] = &mut table;
    let mut b = 0u8;
    while let Some((set, after)) = rest.split_first_mut() {
        let unreserved = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
        let token = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        if token {
            *set |= class::TOKEN;
        }
        // What a parameter value without quotes may hold: token, host, and what senders really put there.
        if !matches!(b, 0..=b' ' | 0x7f | b';' | b',' | b'"' | b'<' | b'>') {
            *set |= class::VALUE;
        }
        // `word` of RFC 3261 §25.1, the parts of a Call-ID; `@` on top.
        if token
            || matches!(
                b,
                b'(' | b')'
                    | b'<'
                    | b'>'
                    | b':'
                    | b'\\'
                    | b'"'
                    | b'/'
                    | b'['
                    | b']'
                    | b'?'
                    | b'{'
                    | b'}'
                    | b'@'
            )
        {
            *set |= class::CALL_ID;
        }
        // `user` and `password`; `#` is not in the grammar, but dialled.
        if unreserved || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/' | b'#') {
            *set |= class::USER;
        }
        if unreserved
            || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$' | b'@' | b',' | b'|' | b'=')
        {
            *set |= class::URI_PARAM;
        }
        if unreserved
            || matches!(b, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$' | b'@' | b';' | b',' | b'&' | b'=')
        {
            *set |= class::URI_HEADERS;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.') {
            *set |= class::HOST;
        }
        if token || matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x80..) {
            *set |= class::WORDS;
        }
        if !matches!(b, b';' | b',' | b' ' | b'\t' | b'\r' | b'\n') {
            *set |= class::SENT_BY;
        }
        rest = after;
        b = b.wrapping_add(1);
    }
    table
};

/// Whether a byte is in a set of [`class`].
#[inline]
pub(crate) fn is_in(b: u8, class: u16) -> bool {
    CLASSES.get(usize::from(b)).is_some_and(|set| set & class != 0)
}

#[inline]
pub(crate) fn is_token_byte(b: u8) -> bool {
    is_in(b, class::TOKEN)
}

#[inline]
pub(crate) const fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// The longest prefix of bytes in a set, and the rest.
#[inline]
pub(crate) fn take(text: &str, class: u16) -> (&str, &str) {
    span(text, |b| is_in(b, class))
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Cuts `text` at `at`; the whole of it is the first part where that is not a boundary.
#[inline]
pub(crate) fn cut(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// The longest prefix whose bytes all satisfy `is`, and the rest.
#[inline]
pub(crate) fn span(text: &str, is: impl Fn(u8) -> bool) -> (&str, &str) {
    cut(text, text.bytes().position(|b| !is(b)).unwrap_or(text.len()))
}

/// Skips linear white space.
#[inline]
pub(crate) fn lws(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(&b) if is_lws(b) => span(text, is_lws).1,
        _ => text,
    }
}

/// Cuts linear white space off the end.
pub(crate) fn trim_end(text: &str) -> &str {
    text.trim_end_matches([' ', '\t', '\r', '\n'])
}

#[inline]
pub(crate) fn token<'a>(input: &'a str) -> Res<'a, &'a str> {
    match take(input, class::TOKEN) {
        ("", _) => expected(input, "a token"),
        (token, rest) => Ok((rest, token)),
    }
}

/// One character with white space allowed around it.
pub(crate) fn sign(c: char, what: &'static str) -> impl Fn(&str) -> Res<'_, ()> {
    move |input| match lws(input).strip_prefix(c) {
        Some(rest) => Ok((lws(rest), ())),
        None => expected(input, what),
    }
}

/// A quoted-string, given with its quotes (RFC 3261 §25.1).
pub(crate) fn quoted<'a>(input: &'a str) -> Res<'a, &'a str> {
    let bytes = input.as_bytes();
    if bytes.first() != Some(&b'"') {
        return expected(input, "a quoted string");
    }
    let mut at = 1;
    loop {
        let Some(found) = bytes.get(at..).and_then(|rest| swar::find2(rest, b'"', b'\\')) else {
            return failed(input, ErrorKind::Truncated, "a closing quote");
        };
        at += found;
        if bytes.get(at) == Some(&b'"') {
            let (text, rest) = cut(input, at + 1);
            return Ok((rest, text));
        }
        at += 2;
    }
}

/// What a quoted-string says; other text is returned as it is. Folds become one space.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.bytes().any(|b| matches!(b, b'\\' | b'\r' | b'\n')) {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '\r' | '\n' => {
                while chars.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
                out.push(' ');
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Writes `text` as a quoted-string. CR, LF and NUL cannot stand in one (RFC 3261 §25.1
/// `quoted-pair`): they become spaces.
pub(crate) fn quote_into(out: &mut impl std::fmt::Write, text: &str) -> std::fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.write_char('\\')?;
                out.write_char(c)?;
            }
            '\r' | '\n' | '\0' => out.write_char(' ')?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// 1*DIGIT up to `max`.
pub(crate) fn number<'a>(input: &'a str, max: u64, what: &'static str) -> Res<'a, u64> {
    let (digits, rest) = span(input, |b| b.is_ascii_digit());
    if digits.is_empty() {
        return expected(input, what);
    }
    let value = digits.bytes().try_fold(0u64, |sum, b| sum.checked_mul(10)?.checked_add(u64::from(b - b'0')));
    match value {
        Some(value) if value <= max => Ok((rest, value)),
        _ => failed(input, ErrorKind::Number, what),
    }
}

/// A number that fits 32 bits.
pub(crate) fn number32<'a>(input: &'a str, what: &'static str) -> Res<'a, u32> {
    let (rest, value) = number(input, u64::from(u32::MAX), what)?;
    Ok((rest, u32::try_from(value).unwrap_or(u32::MAX)))
}

/// One header parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawParam<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<&'a str>,
    /// Whether the text is what it would be written as: `;name=value`.
    pub(crate) exact: bool,
}

/// `SEMI name [= value]` at the start of `input`, if there is another parameter.
///
/// Tolerates what messages printed in RFCs contain: empty parameters, a backslash before a fold,
/// a stray `>` before a parameter or at the end, and `:` for `=`.
#[inline]
pub(crate) fn next_param<'a>(input: &'a str) -> Res<'a, Option<RawParam<'a>>> {
    if input.is_empty() {
        return Ok((input, None));
    }
    // As nearly everyone writes it.
    if let Some(after) = input.strip_prefix(';')
        && let (name, rest) = take(after, class::TOKEN)
        && !name.is_empty()
    {
        if let Some(value) = rest.strip_prefix('=')
            && let (value, rest) = take(value, class::VALUE)
            && !value.is_empty()
        {
            return Ok((rest, Some(RawParam { name, value: Some(value), exact: true })));
        }
        if rest.is_empty() || rest.starts_with(';') {
            return Ok((rest, Some(RawParam { name, value: None, exact: true })));
        }
    }
    odd_param(input)
}

/// [`next_param`], with white space, quotes and oddities.
fn odd_param<'a>(input: &'a str) -> Res<'a, Option<RawParam<'a>>> {
    let mut rest = input;
    loop {
        let start = skip(rest);
        if let Some(after) = start.strip_prefix('>')
            && (skip(after).is_empty() || skip(after).starts_with(';'))
        {
            rest = after;
            continue;
        }
        let Some(after) = start.strip_prefix(';') else { return Ok((rest, None)) };
        let after = skip(after);
        if after.is_empty() || after.starts_with(';') {
            rest = after;
            continue;
        }
        let (end, name) = token(after)?;
        let Some(value) = lws(end).strip_prefix('=').or_else(|| end.strip_prefix(':')) else {
            return Ok((end, Some(RawParam { name, value: None, exact: false })));
        };
        let (end, value) = param_value(lws(value))?;
        return Ok((end, Some(RawParam { name, value: Some(value), exact: false })));
    }
}

/// [`lws`], and backslashes before folds.
fn skip(text: &str) -> &str {
    let mut rest = lws(text);
    while let Some(after) = rest.strip_prefix('\\').filter(|t| t.starts_with(['\r', '\n'])) {
        rest = lws(after);
    }
    rest
}

/// A parameter's value: quoted-string, token, host or anything else without separators.
pub(crate) fn param_value<'a>(input: &'a str) -> Res<'a, &'a str> {
    if input.starts_with('"') {
        return quoted(input);
    }
    match take(input, class::VALUE) {
        ("", _) => expected(input, "a parameter value"),
        (value, rest) => Ok((rest, value)),
    }
}

/// The end of the list element that starts at `text`: the first comma outside quotes and angle
/// brackets, or the end.
pub(crate) fn element_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let Some(comma) = swar::find(bytes, b',') else { return text.len() };
    let before = bytes.get(..comma).unwrap_or(bytes);
    if swar::find2(before, b'"', b'<').is_none() {
        return comma;
    }
    let mut at = 0;
    let mut angle = false;
    while let Some(&b) = bytes.get(at) {
        match b {
            b',' if !angle => return at,
            b'<' => angle = true,
            b'>' => angle = false,
            b'"' if !angle => match quoted(text.get(at..).unwrap_or("")) {
                Ok((rest, _)) => {
                    at = text.len() - rest.len();
                    continue;
                }
                Err(_) => return text.len(),
            },
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_end_where_they_end() {
        assert_eq!(quoted(r#""a\"b" x"#).ok(), Some((" x", r#""a\"b""#)));
        assert!(quoted(r#""open"#).is_err());
        assert!(quoted(r#""open\""#).is_err());
        assert!(quoted(r#""\"#).is_err());
        assert_eq!(unquote(r#""J \\\"""#), r#"J \""#);
    }

    #[test]
    fn lists_split_outside_quotes_and_brackets() {
        for first in [r#""a, b\"," <sip:a,b@c> "#, "<sip:d,e>;x", "e", ""] {
            assert_eq!(element_end(&format!("{first},next,more")), first.len());
            assert_eq!(element_end(first), first.len());
        }
    }

    #[test]
    fn numbers_do_not_wrap() {
        assert!(number("18446744073709551616", u64::MAX, "n").is_err());
        assert!(number32("4294967296", "n").is_err());
        assert_eq!(number32("0009 x", "n").ok(), Some((" x", 9)));
    }
}
