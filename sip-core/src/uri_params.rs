//! URI parameters that extensions define: GRUU (RFC 5627), outbound (RFC 5626), push (RFC 8599).

use crate::{Uri, UsageError, uri::unescape};
use std::borrow::Cow;

/// How a push service wakes the user agent behind a contact (RFC 8599 §8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Push {
    /// `pn-provider`: the service; empty where the client only asks which ones there are.
    pub provider: String,
    /// `pn-prid`: what the service knows the device by.
    pub prid: Option<String>,
    /// `pn-param`: what else the service needs.
    pub param: Option<String>,
}

impl Uri {
    /// The `gr` parameter; `Some("")` if it has no value, as in temporary GRUUs (RFC 5627 §4).
    pub fn gr(&self) -> Option<&str> {
        self.param("gr")
    }

    /// Whether it is a GRUU: a sip URI with `gr` (RFC 5627 §4).
    pub fn is_gruu(&self) -> bool {
        self.is_sip() && self.has_param("gr")
    }

    /// Whether requests of the dialog are to come over the same flow (`ob`, RFC 5626 §4.3).
    pub fn is_outbound(&self) -> bool {
        self.has_param("ob")
    }

    /// Whether the hop is a loose router (`lr`, RFC 3261 §19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.has_param("lr")
    }

    /// The push parameters, escapes resolved, if there is a `pn-provider` (RFC 8599 §8).
    pub fn push(&self) -> Option<Push> {
        let value = |name| self.param(name).map(|value| unescape(value).into_owned());
        Some(Push { provider: value("pn-provider")?, prid: value("pn-prid"), param: value("pn-param") })
    }

    /// This URI with push parameters, escaped where needed.
    pub fn with_push(&self, push: &Push) -> Result<Self, UsageError> {
        let provider = Some(push.provider.as_str()).filter(|provider| !provider.is_empty());
        let mut uri = self.with_param("pn-provider", provider)?;
        for (name, value) in [("pn-prid", &push.prid), ("pn-param", &push.param)] {
            if let Some(value) = value {
                uri = uri.with_param(name, Some(value))?;
            }
        }
        Ok(uri)
    }

    /// What a proxy finds the device of a long dialog by (`pn-purr`, RFC 8599 §8).
    pub fn pn_purr(&self) -> Option<Cow<'_, str>> {
        self.param("pn-purr").map(unescape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gruu_and_outbound() {
        let uri: Uri =
            "sip:callee@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().unwrap();
        assert_eq!(uri.gr(), Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"));
        let flow: Uri = "sip:[::1];ob;lr".parse().unwrap();
        assert!(flow.is_outbound() && flow.is_loose_router() && !flow.is_gruu());
    }

    /// The example of RFC 8599 §4.1.1.
    #[test]
    fn push() {
        let uri: Uri = "sip:alice@alicemobile.example.com;pn-provider=acme;pn-param=acme-param;pn-prid=ZTY4ZDJlMzODE1NmUgKi0K"
            .parse()
            .unwrap();
        let push = uri.push().unwrap();
        assert_eq!((push.provider.as_str(), push.prid.as_deref()), ("acme", Some("ZTY4ZDJlMzODE1NmUgKi0K")));
        let odd = Push { provider: "apns".into(), prid: Some("a;b=c d".into()), param: None };
        let made = "sip:a@b".parse::<Uri>().unwrap().with_push(&odd).unwrap();
        assert_eq!(made.as_str(), "sip:a@b;pn-provider=apns;pn-prid=a%3Bb%3Dc%20d");
        assert_eq!(made.push(), Some(odd));
        let asking: Uri = "sip:a@b;pn-provider;pn-purr=x%41".parse().unwrap();
        assert_eq!(asking.push().map(|push| push.provider), Some(String::new()));
        assert_eq!(asking.pn_purr().as_deref(), Some("xA"));
    }
}
