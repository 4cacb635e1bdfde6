//! WWW-Authenticate and Authorization of Digest (RFC 7616 §3.3, §3.4; RFC 3261 §22.4).

use super::{Algorithm, Credentials, Digest, Qop};
use crate::{
    ErrorKind, ParseError, grammar,
    header::{AuthValue, TypedHeader, WwwAuthenticate},
};
use std::{borrow::Cow, fmt, str::FromStr};

/// What a server asks: the value of WWW-Authenticate or Proxy-Authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose users are asked.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// To be given back as it is.
    pub opaque: Option<String>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether `qop` offers `auth`.
    pub auth: bool,
    /// Whether `qop` offers `auth-int`.
    pub auth_int: bool,
    /// Whether only the nonce was too old.
    pub stale: bool,
}

impl Challenge {
    /// Every challenge of a header's value, over commas; those of other schemes and algorithms
    /// are left out, as RFC 7616 §3.7 wants it.
    pub fn all(value: &str) -> Vec<Self> {
        // The offset of each challenge: an element that starts with a scheme and white space.
        let (mut starts, mut rest) = (Vec::new(), value);
        loop {
            let (element, after) = grammar::cut(rest, grammar::element_end(rest));
            if starts_with_scheme(element) {
                starts.push(value.len() - rest.len());
            }
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => break,
            }
        }
        let ends = starts.iter().skip(1).copied().chain([value.len()]);
        let parts = starts.iter().zip(ends).filter_map(|(start, end)| value.get(*start..end));
        parts.filter_map(|part| part.trim().trim_end_matches(',').parse().ok()).collect()
    }

    /// The value of (Proxy-)Authorization that answers it.
    pub fn answer(&self, credentials: &Credentials, digest: &Digest<'_>) -> String {
        let qop = self.qop();
        let ha1 = self.algorithm.ha1(&credentials.username, &self.realm, &credentials.password);
        let response = self.algorithm.response(&ha1, &self.nonce, qop, digest);
        DigestAnswer {
            username: credentials.username.clone(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: digest.uri.to_owned(),
            response,
            algorithm: self.algorithm,
            opaque: self.opaque.clone(),
            qop,
            cnonce: (qop.is_some() || self.algorithm.is_session()).then(|| digest.cnonce.to_owned()),
            nc: qop.map(|_| digest.nc),
        }
        .to_string()
    }

    /// `auth` if it is offered: a proxy may change bodies' neighbours, never method and URI.
    fn qop(&self) -> Option<Qop> {
        if self.auth {
            Some(Qop::Auth)
        } else if self.auth_int {
            Some(Qop::AuthInt)
        } else {
            None
        }
    }

    fn of(params: &AuthValue) -> Result<Self, ParseError> {
        let missing = |what| ParseError::new(0, ErrorKind::Missing, what);
        let algorithm = match params.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::named(&name).ok_or(ParseError::new(
                0,
                ErrorKind::Syntax,
                "an algorithm of RFC 7616",
            ))?,
        };
        let qop = params.get("qop");
        let offers = |name: &str| {
            qop.as_deref().is_some_and(|q| q.split(',').any(|o| o.trim().eq_ignore_ascii_case(name)))
        };
        if qop.is_some() && !offers("auth") && !offers("auth-int") {
            return Err(ParseError::new(0, ErrorKind::Syntax, "a qop of auth or auth-int"));
        }
        Ok(Self {
            realm: params.get("realm").ok_or(missing("a realm"))?.into_owned(),
            nonce: params.get("nonce").ok_or(missing("a nonce"))?.into_owned(),
            opaque: params.get("opaque").map(Cow::into_owned),
            algorithm,
            auth: offers("auth"),
            auth_int: offers("auth-int"),
            stale: params.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }
}

impl FromStr for Challenge {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::of(&digest(text)?)
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest realm=")?;
        grammar::quote_into(f, &self.realm)?;
        f.write_str(", nonce=")?;
        grammar::quote_into(f, &self.nonce)?;
        if let Some(opaque) = &self.opaque {
            f.write_str(", opaque=")?;
            grammar::quote_into(f, opaque)?;
        }
        write!(f, ", algorithm={}", self.algorithm)?;
        match (self.auth, self.auth_int) {
            (true, true) => f.write_str(", qop=\"auth,auth-int\"")?,
            (true, false) => f.write_str(", qop=\"auth\"")?,
            (false, true) => f.write_str(", qop=\"auth-int\"")?,
            (false, false) => {}
        }
        if self.stale { f.write_str(", stale=true") } else { Ok(()) }
    }
}

/// What a client answers: the value of Authorization or Proxy-Authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestAnswer {
    /// The user.
    pub username: String,
    /// Of the challenge.
    pub realm: String,
    /// Of the challenge.
    pub nonce: String,
    /// The Request-URI that was hashed.
    pub uri: String,
    /// The hash.
    pub response: String,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Of the challenge.
    pub opaque: Option<String>,
    /// What is protected.
    pub qop: Option<Qop>,
    /// The client's nonce.
    pub cnonce: Option<String>,
    /// How often the nonce was used.
    pub nc: Option<u32>,
}

impl FromStr for DigestAnswer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let params = digest(text)?;
        let get = |name, what| params.get(name).ok_or(ParseError::new(0, ErrorKind::Missing, what));
        let unknown = |what| ParseError::new(0, ErrorKind::Syntax, what);
        Ok(Self {
            username: get("username", "a username")?.into_owned(),
            realm: get("realm", "a realm")?.into_owned(),
            nonce: get("nonce", "a nonce")?.into_owned(),
            uri: get("uri", "a uri")?.into_owned(),
            response: get("response", "a response")?.into_owned(),
            algorithm: match params.get("algorithm") {
                None => Algorithm::Md5,
                Some(name) => Algorithm::named(&name).ok_or(unknown("an algorithm of RFC 7616"))?,
            },
            opaque: params.get("opaque").map(Cow::into_owned),
            qop: match params.get("qop").as_deref() {
                None => None,
                Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Qop::Auth),
                Some(qop) if qop.eq_ignore_ascii_case("auth-int") => Some(Qop::AuthInt),
                Some(_) => return Err(unknown("a qop of auth or auth-int")),
            },
            cnonce: params.get("cnonce").map(Cow::into_owned),
            nc: match params.get("nc").as_deref() {
                None => None,
                Some(nc) if nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    Some(u32::from_str_radix(nc, 16).map_err(|_| unknown("eight hexadecimal digits"))?)
                }
                Some(_) => return Err(unknown("eight hexadecimal digits")),
            },
        })
    }
}

impl fmt::Display for DigestAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quoted = |name: &str, value: &str| {
            f.write_str(name)?;
            grammar::quote_into(f, value)
        };
        quoted("Digest username=", &self.username)?;
        quoted(", realm=", &self.realm)?;
        quoted(", nonce=", &self.nonce)?;
        quoted(", uri=", &self.uri)?;
        quoted(", response=", &self.response)?;
        if let Some(opaque) = &self.opaque {
            quoted(", opaque=", opaque)?;
        }
        write!(f, ", algorithm={}", self.algorithm)?;
        if let Some(cnonce) = &self.cnonce {
            f.write_str(", cnonce=")?;
            grammar::quote_into(f, cnonce)?;
        }
        if let Some(qop) = self.qop {
            write!(f, ", qop={}", qop.name())?;
        }
        if let Some(nc) = self.nc {
            write!(f, ", nc={nc:08x}")?;
        }
        Ok(())
    }
}

/// Whether an element of a list is `Digest realm=…` and no further parameter.
fn starts_with_scheme(element: &str) -> bool {
    grammar::token(grammar::lws(element)).is_ok_and(|(rest, _)| {
        let after = grammar::lws(rest);
        after.len() < rest.len() && !after.is_empty() && !after.starts_with('=')
    })
}

/// The parameters behind `Digest`.
fn digest(text: &str) -> Result<AuthValue, ParseError> {
    match WwwAuthenticate::parse(text)? {
        WwwAuthenticate(value) if value.is_digest() => Ok(value),
        _ => Err(ParseError::new(0, ErrorKind::Syntax, "Digest and its parameters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_may_hold_several_challenges() {
        let value = r#"Basic realm="a, Digest b", Digest realm="x,y", nonce="1", qop="auth,auth-int", algorithm=SHA-256,
            Digest nonce="2" , realm = "x,y", stale=TRUE, opaque="o\"q", NewScheme token68, Digest realm="r", nonce="n", algorithm=SHA-9"#;
        let found = Challenge::all(value);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].algorithm, found[0].auth, found[0].auth_int), (Algorithm::Sha256, true, true));
        assert_eq!(
            (found[1].realm.as_str(), found[1].stale, found[1].opaque.as_deref()),
            ("x,y", true, Some("o\"q"))
        );
        for challenge in found {
            assert_eq!(challenge.to_string().parse(), Ok(challenge));
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "Digest",
            "Digest realm=\"x\"",
            "Digest nonce=\"x\"",
            "Basic realm=\"x\", nonce=\"y\"",
            "Digest realm=\"x\", nonce=\"y\", qop=\"token\"",
            "Digest realm=\"x\", nonce=\"y",
        ] {
            assert!(text.parse::<Challenge>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_answered_reads_back() {
        let challenge: Challenge = r#"Digest realm="r", nonce="n\\1", qop="auth""#.parse().unwrap();
        let digest = Digest { nc: 10, cnonce: "c", ..Digest::new("INVITE", "sip:a@b;x=\"y\"") };
        let text = challenge.answer(&Credentials::new("us\"er", "pw"), &digest);
        let read: DigestAnswer = text.parse().unwrap();
        assert_eq!((read.username.as_str(), read.nonce.as_str(), read.nc), ("us\"er", "n\\1", Some(10)));
        assert_eq!(read.to_string(), text);
    }
}
