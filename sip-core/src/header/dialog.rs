//! Headers that name another dialog or its subscription: Replaces, Join, Target-Dialog, Refer-Sub.

use super::{HeaderName, TypedHeader};
use crate::{Params, ParseError, UsageError, grammar};
use std::fmt;

macro_rules! dialogs {
    ($($(#[$doc:meta])* $name:ident $header:ident $to:ident $to_tag:literal $from:ident $from_tag:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name {
                /// Its Call-ID.
                pub call_id: String,
                /// Its tags, and what else is said of it.
                pub params: Params,
            }

            impl $name {
                #[doc = concat!("The dialog with this Call-ID, `", $to_tag, "` and `", $from_tag, "`.")]
                pub fn new(call_id: &str, $to: &str, $from: &str) -> Result<Self, UsageError> {
                    let bare = Self::parse(call_id)?;
                    let params = Params::new().with($to_tag, $to)?.with($from_tag, $from)?;
                    Ok(Self { call_id: bare.call_id, params })
                }

                #[doc = concat!("The `", $to_tag, "`.")]
                pub fn $to(&self) -> Option<&str> {
                    self.params.get($to_tag)
                }

                #[doc = concat!("The `", $from_tag, "`.")]
                pub fn $from(&self) -> Option<&str> {
                    self.params.get($from_tag)
                }
            }

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, "';' or the end of the dialog", |t| {
                        let (call_id, rest) = grammar::take(t, grammar::class::CALL_ID);
                        if call_id.is_empty() {
                            return grammar::expected(t, "a Call-ID");
                        }
                        let (rest, params) = Params::read(rest)?;
                        Ok((rest, Self { call_id: call_id.to_owned(), params }))
                    })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}{}", self.call_id, self.params)
                }
            }
        )*
    };
}

dialogs! {
    /// The dialog that is to be replaced, as its other end sees it (RFC 3891 §6.1).
    Replaces REPLACES to_tag "to-tag" from_tag "from-tag";
    /// The dialog that is to be joined, as its other end sees it (RFC 3911 §7.1).
    Join JOIN to_tag "to-tag" from_tag "from-tag";
    /// The dialog that the sender knows of and may act on, as its receiver sees it (RFC 4538 §7).
    TargetDialog TARGET_DIALOG local_tag "local-tag" remote_tag "remote-tag";
}

impl Replaces {
    /// Whether only an early dialog may be replaced.
    pub fn early_only(&self) -> bool {
        self.params.contains("early-only")
    }
}

/// Whether a REFER makes a subscription (RFC 4488 §4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReferSub {
    /// It does.
    pub wanted: bool,
    /// Parameters; none is known.
    pub params: Params,
}

impl ReferSub {
    /// `true` or `false`.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, params: Params::new() }
    }
}

impl TypedHeader for ReferSub {
    const NAME: HeaderName<'static> = HeaderName::REFER_SUB;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "';' or the end of the header", |t| {
            let (rest, word) = grammar::token(t)?;
            let wanted = match word {
                word if word.eq_ignore_ascii_case("true") => true,
                word if word.eq_ignore_ascii_case("false") => false,
                _ => return grammar::expected(t, "true or false"),
            };
            let (rest, params) = Params::read(rest)?;
            Ok((rest, Self { wanted, params }))
        })
    }
}

impl fmt::Display for ReferSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.wanted, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialogs() {
        let text = "425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only";
        let replaces = Replaces::parse(text).unwrap();
        assert!(replaces.early_only() && replaces.to_tag() == Some("7743") && replaces.to_string() == text);
        assert!(Replaces::new("a b", "1", "2").is_err() && Replaces::new("a@b", "1", "2").is_ok());
        let join = Join::parse("12adf2f34456gs5;to-tag=12345;from-tag=54321").unwrap();
        assert_eq!((join.to_tag(), join.from_tag()), (Some("12345"), Some("54321")));
        let target = TargetDialog::new("fa77as7dad8-sd98ajzz@host.example.com", "kkaz-", "6544").unwrap();
        assert_eq!(
            target.to_string(),
            "fa77as7dad8-sd98ajzz@host.example.com;local-tag=kkaz-;remote-tag=6544"
        );
        assert_eq!(TargetDialog::parse(&target.to_string()), Ok(target));
    }

    #[test]
    fn refer_sub() {
        assert_eq!(ReferSub::parse("FALSE"), Ok(ReferSub::new(false)));
        assert_eq!(ReferSub::new(true).to_string(), "true");
        assert!(ReferSub::parse("maybe").is_err() && ReferSub::parse("").is_err());
    }
}
