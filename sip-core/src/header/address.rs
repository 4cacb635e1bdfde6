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

                fn check(text: &str) -> Result<(), ParseError> {
                    NameAddr::check(text)
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
    /// One identity of the user that the registrar knows (RFC 7315 §4.1).
    PAssociatedUri P_ASSOCIATED_URI Values;
    /// One target that the request has had (RFC 7044 §5).
    HistoryInfo HISTORY_INFO Values;
    /// One hop between the registrar and the contact (RFC 3327 §4).
    Path PATH Values;
    /// One hop a registered user's requests visit (RFC 3608 §5).
    ServiceRoute SERVICE_ROUTE Values;
}

impl HistoryInfo {
    /// The `index` of the entry in the tree of targets (RFC 7044 §5).
    pub fn index(&self) -> Option<&str> {
        self.params.get("index")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let entry =
            HistoryInfo::parse("<sip:office@example.com?Reason=SIP%3Bcause%3D302>;index=1.2;mp=1").unwrap();
        assert_eq!(entry.index(), Some("1.2"));
        let path = Path::parse("<sip:P1.EXAMPLEVISITED.COM;lr;ob>").unwrap();
        assert!(path.uri.has_param("ob") && path.to_string() == "<sip:P1.EXAMPLEVISITED.COM;lr;ob>");
        assert!(ServiceRoute::parse("<sip:P2.HOME.EXAMPLE.COM;lr>").unwrap().uri.is_loose_router());
        assert!(
            PAssertedIdentity::parse("tel:+14085264000").is_ok()
                && PAssociatedUri::parse("<sip:a@b>").is_ok()
        );
        assert_eq!(entry.uri.headers().next(), Some(("Reason", "SIP%3Bcause%3D302")));
        assert_eq!(From::parse("<sip:a@b>;tag=x").unwrap().tag(), Some("x"));
    }
}
