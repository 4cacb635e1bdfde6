//! Headers that hold an address: From, To, Contact, Route and their kin.

use super::{Form, HeaderName, TypedHeader};
use crate::{NameAddr, ParseError, Uri};
use std::{
    fmt,
    ops::{Deref, DerefMut},
};

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident $header:ident $form:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name(pub NameAddr);

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::$form;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    text.parse().map(Self)
                }
            }

            impl Deref for $name {
                type Target = NameAddr;

                fn deref(&self) -> &NameAddr {
                    &self.0
                }
            }

            impl DerefMut for $name {
                fn deref_mut(&mut self) -> &mut NameAddr {
                    &mut self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl std::convert::From<NameAddr> for $name {
                fn from(addr: NameAddr) -> Self {
                    Self(addr)
                }
            }

            impl std::convert::From<Uri> for $name {
                fn from(uri: Uri) -> Self {
                    Self(NameAddr::new(uri))
                }
            }
        )*
    };
}

addresses! {
    /// Who the request is from (RFC 3261 §20.20).
    From FROM Single;
    /// Who the request is for (RFC 3261 §20.39).
    To TO Single;
    /// One hop the request must visit (RFC 3261 §20.34).
    Route ROUTE Values;
    /// One proxy that stays in the path of the dialog (RFC 3261 §20.30).
    RecordRoute RECORD_ROUTE Values;
    /// Where to answer, if not to From (RFC 3261 §20.31).
    ReplyTo REPLY_TO Single;
    /// Whom to contact (RFC 3515 §2.1).
    ReferTo REFER_TO Single;
    /// Who refers (RFC 3892 §3).
    ReferredBy REFERRED_BY Single;
    /// One identity a trusted network vouches for (RFC 3325 §9.1).
    PAssertedIdentity P_ASSERTED_IDENTITY Values;
    /// The identity the user prefers (RFC 3325 §9.2).
    PPreferredIdentity P_PREFERRED_IDENTITY Values;
    /// One hop between the registrar and the contact (RFC 3327 §4).
    Path PATH Values;
    /// One hop a registered user's requests visit (RFC 3608 §5).
    ServiceRoute SERVICE_ROUTE Values;
}

/// One contact, or `*` (RFC 3261 §20.10).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Contact {
    /// `*`: all bindings, in a REGISTER that removes them.
    Star,
    /// An address.
    Addr(NameAddr),
}

impl Contact {
    /// The address, if it is not `*`.
    pub fn addr(&self) -> Option<&NameAddr> {
        match self {
            Self::Star => None,
            Self::Addr(addr) => Some(addr),
        }
    }

    /// The URI, if it is not `*`.
    pub fn uri(&self) -> Option<&Uri> {
        self.addr().map(|a| &a.uri)
    }

    /// The `expires` parameter in seconds; what is no number counts as 3600 (RFC 3261 §20.10).
    pub fn expires(&self) -> Option<u32> {
        let value = self.addr()?.params.get("expires")?;
        Some(value.parse().unwrap_or(3600))
    }
}

impl TypedHeader for Contact {
    const NAME: HeaderName<'static> = HeaderName::CONTACT;
    const FORM: Form = Form::Values;

    fn parse(text: &str) -> Result<Self, ParseError> {
        if text.trim() == "*" { Ok(Self::Star) } else { text.parse().map(Self::Addr) }
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Star => f.write_str("*"),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

impl std::convert::From<NameAddr> for Contact {
    fn from(addr: NameAddr) -> Self {
        Self::Addr(addr)
    }
}

impl std::convert::From<Uri> for Contact {
    fn from(uri: Uri) -> Self {
        Self::Addr(NameAddr::new(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts() {
        assert_eq!(Contact::parse(" * "), Ok(Contact::Star));
        let contact = Contact::parse("\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n newvalue ; q = 0.33;expires=60").unwrap();
        assert_eq!(contact.expires(), Some(60));
        assert_eq!(contact.addr().and_then(|a| a.params.get("q")), Some("0.33"));
        assert!(Contact::parse("sip:user@example.com?Route=%3Csip:sip.example.com%3E").is_err());
        assert_eq!(From::parse("<sip:a@b>;tag=x").unwrap().tag(), Some("x"));
    }
}
