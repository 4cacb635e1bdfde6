//! Challenges and credentials (RFC 3261 §20.7, §20.27, §20.28, §20.44; RFC 7616).

use super::{Form, HeaderName, TypedHeader};
use crate::{ErrorKind, ParseError, UsageError, grammar};
use std::{borrow::Cow, fmt};

/// A scheme such as `Digest` with its parameters. Unknown schemes are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthValue {
    /// The scheme, as written.
    pub scheme: String,
    /// Its parameters.
    pub params: AuthParams,
}

/// `name=value` pairs with commas between them, in the order they came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AuthParams {
    /// Names and values, values as written.
    pairs: Vec<(String, String)>,
}

impl AuthParams {
    /// No parameters.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// A value without quotes.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.pairs
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| grammar::unquote(value))
    }

    /// Names, and values as they are written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a parameter in quotes, in place of one of that name.
    pub fn set_quoted(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        if value.contains(['\r', '\n', '\0']) {
            return Err(UsageError::LineBreak("an authentication parameter"));
        }
        let mut text = String::with_capacity(value.len() + 2);
        // Writing to a String does not fail.
        let _ = grammar::quote_into(&mut text, value);
        self.put(name, text)
    }

    /// Adds a parameter without quotes, in place of one of that name. Fails if it is no token.
    pub fn set_token(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        if !grammar::is_token(value) {
            return Err(ParseError::new(0, ErrorKind::Syntax, "a token").into());
        }
        self.put(name, value.to_owned())
    }

    fn put(&mut self, name: &str, value: String) -> Result<(), UsageError> {
        if !grammar::is_token(name) {
            return Err(ParseError::new(0, ErrorKind::Syntax, "a parameter name").into());
        }
        self.pairs.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.pairs.push((name.to_owned(), value));
        Ok(())
    }

    fn read(input: &str) -> grammar::Res<'_, Self> {
        let mut pairs = Vec::new();
        let mut rest = grammar::lws(input);
        loop {
            // Empty elements are skipped (RFC 7235 §7).
            while let Some(after) = rest.strip_prefix(',') {
                rest = grammar::lws(after);
            }
            if rest.is_empty() {
                return Ok((rest, Self { pairs }));
            }
            let (after, name) = grammar::token(rest)?;
            let (after, ()) = grammar::sign('=', "'=' and a value")(after)?;
            let (after, value) = grammar::param_value(after)?;
            pairs.push((name.to_owned(), value.to_owned()));
            rest = grammar::lws(after);
            if !rest.is_empty() && !rest.starts_with(',') {
                return grammar::expected(rest, "a comma or the end of the parameters");
            }
        }
    }
}

impl fmt::Display for AuthParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.pairs.iter().enumerate() {
            write!(f, "{}{name}={value}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl AuthValue {
    /// Digest with these parameters.
    pub fn digest(params: AuthParams) -> Self {
        Self { scheme: "Digest".to_owned(), params }
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// A parameter's value without quotes.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.params.get(name)
    }

    /// The `realm`.
    pub fn realm(&self) -> Option<Cow<'_, str>> {
        self.get("realm")
    }

    fn read(input: &str) -> grammar::Res<'_, Self> {
        let (rest, scheme) = grammar::token(input)?;
        let (rest, params) = AuthParams::read(rest)?;
        Ok((rest, Self { scheme: scheme.to_owned(), params }))
    }
}

impl fmt::Display for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scheme, self.params)
    }
}

macro_rules! auths {
    ($($(#[$doc:meta])* $name:ident $header:ident $inner:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name(pub $inner);

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                // Its commas are inside one value: several come in several lines (RFC 3261 §7.3.1).
                const FORM: Form = Form::Single;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, "a comma or the end of the parameters", $inner::read).map(Self)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl std::ops::Deref for $name {
                type Target = $inner;

                fn deref(&self) -> &$inner {
                    &self.0
                }
            }
        )*
    };
}

auths! {
    /// A challenge of a user agent server or registrar (RFC 3261 §20.44).
    WwwAuthenticate WWW_AUTHENTICATE AuthValue;
    /// A challenge of a proxy (RFC 3261 §20.27).
    ProxyAuthenticate PROXY_AUTHENTICATE AuthValue;
    /// Credentials for a user agent server or registrar (RFC 3261 §20.7).
    Authorization AUTHORIZATION AuthValue;
    /// Credentials for a proxy (RFC 3261 §20.28).
    ProxyAuthorization PROXY_AUTHORIZATION AuthValue;
    /// What a server says after a success (RFC 3261 §20.6): `nextnonce`, `rspauth`, …
    AuthenticationInfo AUTHENTICATION_INFO AuthParams;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text = "Digest realm=\"atlanta.com\", domain=\"sip:ss1.carrier.com\", qop=\"auth,auth-int\",\r\n nonce=\"f84f\\\"1c\", stale=FALSE, algorithm=MD5";
        let challenge = WwwAuthenticate::parse(text).unwrap();
        assert!(challenge.is_digest());
        assert_eq!(challenge.realm().as_deref(), Some("atlanta.com"));
        assert_eq!(challenge.get("QOP").as_deref(), Some("auth,auth-int"));
        assert_eq!(challenge.get("nonce").as_deref(), Some("f84f\"1c"));
        assert_eq!(challenge.to_string(), text.replace("\r\n", ""));
        assert!(Authorization::parse("NoOneKnowsThisScheme opaque-data=here").is_ok());
        assert!(Authorization::parse("Digest realm=\"a\" nonce=b").is_err());
    }

    #[test]
    fn building_quotes() {
        let mut params = AuthParams::new();
        params.set_quoted("username", "a\"b").unwrap();
        params.set_token("nc", "00000001").unwrap();
        assert_eq!(AuthValue::digest(params.clone()).to_string(), "Digest username=\"a\\\"b\", nc=00000001");
        assert!(params.set_quoted("x", "a\r\nb").is_err() && params.set_token("x", "a b").is_err());
    }
}
