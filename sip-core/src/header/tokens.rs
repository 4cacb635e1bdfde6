//! Lists of tokens: Allow, Supported, Require, Privacy, …

use super::{Form, HeaderName, TypedHeader};
use crate::{Method, ParseError, grammar};
use std::fmt;

/// The elements of a list of tokens; empty elements are skipped, so that `Supported:` is a list
/// of nothing (RFC 3261 §20.37).
fn list<T>(text: &str, sign: char, make: impl Fn(&str) -> T) -> Result<Vec<T>, ParseError> {
    grammar::whole(text, "a comma or the end of the list", |mut rest| {
        let mut found = Vec::new();
        loop {
            rest = grammar::lws(rest);
            if let Some(after) = rest.strip_prefix(sign) {
                rest = after;
            } else if rest.is_empty() {
                return Ok((rest, found));
            } else {
                let (after, token) = grammar::token(rest)?;
                found.push(make(token));
                rest = grammar::lws(after);
                if !rest.is_empty() && !rest.starts_with(sign) {
                    return Ok((rest, found));
                }
            }
        }
    })
}

pub(super) fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    sign: &str,
) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(sign)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident $header:ident $sign:literal $join:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
            pub struct $name(pub Vec<String>);

            impl $name {
                /// Whether the list has this token; tokens compare without case.
                pub fn has(&self, token: &str) -> bool {
                    self.0.iter().any(|t| t.eq_ignore_ascii_case(token))
                }

                /// The tokens.
                pub fn iter(&self) -> impl Iterator<Item = &str> {
                    self.0.iter().map(String::as_str)
                }
            }

            impl<S: Into<String>> FromIterator<S> for $name {
                fn from_iter<I: IntoIterator<Item = S>>(items: I) -> Self {
                    Self(items.into_iter().map(Into::into).collect())
                }
            }

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::Whole;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    list(text, $sign, str::to_owned).map(Self)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write_list(f, &self.0, $join)
                }
            }
        )*
    };
}

lists! {
    /// Extensions that are understood (RFC 3261 §20.37).
    Supported SUPPORTED ',' ", ";
    /// Extensions a user agent must understand (RFC 3261 §20.32).
    Require REQUIRE ',' ", ";
    /// Extensions a proxy must understand (RFC 3261 §20.29).
    ProxyRequire PROXY_REQUIRE ',' ", ";
    /// Extensions that are not understood (RFC 3261 §20.40).
    Unsupported UNSUPPORTED ',' ", ";
    /// Event packages that are understood (RFC 6665 §8.2.2).
    AllowEvents ALLOW_EVENTS ',' ", ";
    /// Codings of the body (RFC 3261 §20.12).
    ContentEncoding CONTENT_ENCODING ',' ", ";
    /// Languages of the body (RFC 3261 §20.13).
    ContentLanguage CONTENT_LANGUAGE ',' ", ";
    /// How servers are to treat the request: `proxy`, `no-fork`, `recurse`, … (RFC 3841 §9.1).
    RequestDisposition REQUEST_DISPOSITION ',' ", ";
    /// What is to be kept private (RFC 3323 §4.2).
    Privacy PRIVACY ';' ";";
}

/// Methods that are understood (RFC 3261 §20.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Allow(pub Vec<Method>);

impl Allow {
    /// Whether the list has this method.
    pub fn has(&self, method: &Method) -> bool {
        self.0.contains(method)
    }
}

impl FromIterator<Method> for Allow {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        Self(methods.into_iter().collect())
    }
}

impl TypedHeader for Allow {
    const NAME: HeaderName<'static> = HeaderName::ALLOW;
    const FORM: Form = Form::Whole;

    fn parse(text: &str) -> Result<Self, ParseError> {
        list(text, ',', Method::from_token).map(Self)
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.0, ", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let allow = Allow::parse("INVITE,\r\n ACK , X-New").unwrap();
        assert!(allow.has(&Method::Ack) && !allow.has(&Method::Bye));
        assert_eq!(allow.to_string(), "INVITE, ACK, X-New");
        assert_eq!(Supported::parse("").unwrap(), Supported::default());
        assert!(Require::parse("timer, 100rel").unwrap().has("100REL"));
        assert_eq!(Privacy::parse("header; user ;critical").unwrap().to_string(), "header;user;critical");
        assert!(Require::parse("a b").is_err() && Require::parse("a;b").is_err());
    }
}
