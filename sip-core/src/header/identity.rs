//! Identity (RFC 8224 §4).

use super::{Form, HeaderName, TypedHeader};
use crate::{Params, ParseError, Uri, grammar};
use std::fmt;

/// A signature over who calls whom and when: a PASSporT with where its certificate is.
///
/// Signing and checking are not done here; the text goes both ways unharmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The PASSporT: three parts with dots between them, the first two of which may be empty
    /// (RFC 8225 §7).
    pub digest: String,
    /// Where the certificate is.
    pub info: Option<Uri>,
    /// `alg`, `ppt` and others.
    pub params: Params,
}

impl Identity {
    /// The extension of the PASSporT, such as `shaken` (RFC 8224 §4.1).
    pub fn ppt(&self) -> Option<String> {
        Some(self.params.find("ppt")?.unquoted()?.into_owned())
    }

    /// The algorithm; `ES256` where none is named (RFC 8224 §4.1).
    pub fn algorithm(&self) -> &str {
        self.params.get("alg").unwrap_or("ES256")
    }

    /// Whether header and claims are left out, to be made anew from the request (RFC 8224 §4.1).
    pub fn is_compact(&self) -> bool {
        self.digest.starts_with("..")
    }
}

fn is_digest(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'.')
}

impl TypedHeader for Identity {
    const NAME: HeaderName<'static> = HeaderName::IDENTITY;
    const FORM: Form = Form::Values;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "';' or the end of the header", |t| {
            // RFC 4474 put the digest in quotes.
            let (digest, rest) = match grammar::quoted(t) {
                Ok((rest, digest)) => (grammar::unquote(digest).into_owned(), rest),
                Err(_) => {
                    let (digest, rest) = grammar::span(t, is_digest);
                    (digest.to_owned(), rest)
                }
            };
            if digest.is_empty() || !digest.bytes().all(is_digest) {
                return grammar::expected(t, "a signature in base64");
            }
            // `info=<uri>` is the one parameter with brackets; it comes first.
            let start = grammar::lws(rest);
            let bracket = start
                .strip_prefix(';')
                .map(grammar::lws)
                .and_then(|text| {
                    text.get(..4).filter(|name| name.eq_ignore_ascii_case("info")).and(text.get(4..))
                })
                .and_then(|text| grammar::lws(text).strip_prefix('='))
                .and_then(|text| grammar::lws(text).strip_prefix('<'));
            let (info, rest) = match bracket {
                None => (None, rest),
                Some(inner) => {
                    let Some(close) = memchr::memchr(b'>', inner.as_bytes()) else {
                        return grammar::expected("", "'>' after the URI");
                    };
                    let (uri, rest) = grammar::cut(inner, close);
                    match Uri::parse(uri) {
                        Ok(uri) => (Some(uri), rest.strip_prefix('>').unwrap_or(rest)),
                        Err(e) => return grammar::failed(inner, e.kind, e.what),
                    }
                }
            };
            let (rest, params) = Params::read(rest)?;
            Ok((rest, Self { digest, info, params }))
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)?;
        if let Some(info) = &self.info {
            write!(f, ";info=<{info}>")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8224 §4.1 and §4.1.1, signatures shortened.
    #[test]
    fn both_forms() {
        let text = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0In0.eyJkZXN0Ijp7InVyaSI6.rq3pjT1hoRwakEGjHC-nWnUSjsG0R\
                    ;info=<https://biloxi.example.org/biloxi.cer>;alg=ES256;ppt=\"shaken\"";
        let full = Identity::parse(text).unwrap();
        assert_eq!(full.to_string(), text);
        assert_eq!(
            (full.ppt().as_deref(), full.algorithm(), full.is_compact()),
            (Some("shaken"), "ES256", false)
        );
        let compact =
            Identity::parse("..sv5CTo05KqpSmtHt3dcEiO ; info = <https://biloxi.example.org/biloxi.cer>")
                .unwrap();
        assert!(compact.is_compact() && compact.info.is_some());
        assert!(Identity::parse("").is_err() && Identity::parse("a b").is_err());
        assert!(Identity::parse("abc;info=<x").is_err() && Identity::parse("abc;info=<>").is_err());
    }
}
