//! %HH escapes (RFC 3261 §19.1.2).

use std::borrow::Cow;

pub(super) fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

/// Resolves %HH, once. What does not come out as UTF-8 stays as it is.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        if b == b'%'
            && let Some((pair, next)) = after.split_first_chunk::<2>()
            && let Some(value) = std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok())
        {
            out.push(value);
            rest = next;
        } else {
            out.push(b);
            rest = after;
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

pub(super) fn same_escaped(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (a.contains('%') && unescape(a).eq_ignore_ascii_case(&unescape(b)))
}

fn escape(out: &mut String, text: &str, fit: impl Fn(u8) -> bool) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for b in text.bytes() {
        if fit(b) {
            out.push(char::from(b));
        } else {
            out.push('%');
            for digit in [b >> 4, b & 15] {
                out.extend(HEX.get(usize::from(digit)));
            }
        }
    }
}

/// Writes a user part, escaping what may not stand there.
pub(super) fn escape_into(out: &mut String, text: &str) {
    escape(out, text, |b| {
        is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
    });
}

/// A user part that has its escapes already: what they stand for stays as it is.
pub(crate) fn escaped_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(&mut out, text, |b| {
        is_unreserved(b) || matches!(b, b'%' | b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
    });
    out
}

pub(crate) fn escape_param_into(out: &mut String, text: &str) {
    escape(out, text, |b| is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$'));
}
