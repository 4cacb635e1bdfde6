//! Capabilities in Contact (RFC 3840) and what callers prefer (RFC 3841).

use super::{Form, HeaderName, TypedHeader};
use crate::{Params, ParseError, UsageError, grammar};
use std::{borrow::Cow, fmt};

/// One feature of a user agent: a parameter of Contact, Accept-Contact or Reject-Contact
/// (RFC 3840 §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature<'a> {
    /// The tag as it came: `audio`, `methods`, `+sip.instance`.
    pub name: &'a str,
    /// Its value without quotes.
    pub value: Option<Cow<'a, str>>,
}

/// The tags that RFC 3840 §9 lets stand without `+`.
const BASE: [&str; 20] = [
    "audio",
    "automata",
    "class",
    "duplex",
    "data",
    "control",
    "mobility",
    "description",
    "events",
    "priority",
    "methods",
    "schemes",
    "application",
    "video",
    "language",
    "type",
    "isfocus",
    "actor",
    "text",
    "extensions",
];

impl Params {
    /// Those that are features (RFC 3840 §9): the base tags, and any that starts with `+`.
    pub fn features(&self) -> impl Iterator<Item = Feature<'_>> {
        self.iter()
            .filter(|param| {
                param.name.starts_with('+') || BASE.iter().any(|tag| tag.eq_ignore_ascii_case(param.name))
            })
            .map(|param| Feature { name: param.name, value: param.unquoted() })
    }

    /// The feature of that tag.
    pub fn feature(&self, tag: &str) -> Option<Feature<'_>> {
        self.features().find(|feature| feature.name.eq_ignore_ascii_case(tag))
    }
}

impl Feature<'_> {
    /// What a string value says, without `<` and `>`; `None` for other values.
    pub fn text(&self) -> Option<&str> {
        self.value.as_deref()?.strip_prefix('<')?.strip_suffix('>')
    }

    /// The values of a list, and whether each is wanted: `!` says that it is not. A tag without a
    /// value is `TRUE` (RFC 3840 §9).
    pub fn values(&self) -> impl Iterator<Item = (&str, bool)> {
        let list = self.value.as_deref().unwrap_or("TRUE");
        list.split(',').map(str::trim).filter(|value| !value.is_empty()).map(|value| {
            match value.strip_prefix('!') {
                Some(value) => (value, false),
                None => (value, true),
            }
        })
    }

    /// Whether the list allows that value: it names it, or excludes only others.
    pub fn allows(&self, value: &str) -> bool {
        let mut only_excluded = true;
        for (one, wanted) in self.values() {
            if one.eq_ignore_ascii_case(value) {
                return wanted;
            }
            only_excluded &= !wanted;
        }
        only_excluded
    }
}

macro_rules! contact_predicates {
    ($($(#[$doc:meta])* $name:ident $header:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
            pub struct $name {
                /// The features; for Accept-Contact `require` and `explicit` as well.
                pub params: Params,
            }

            impl $name {
                /// A predicate of these features. Values that are no tokens are put in quotes.
                pub fn new<'a>(
                    features: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
                ) -> Result<Self, UsageError> {
                    let mut params = Params::new();
                    for (tag, value) in features {
                        match value {
                            Some(value) => params.set_quoted(tag, value)?,
                            None => params.set_flag(tag)?,
                        }
                    }
                    Ok(Self { params })
                }
            }

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::Values;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, "';' or the end of the predicate", |t| {
                        let Some(rest) = t.strip_prefix('*') else {
                            return grammar::expected(t, "'*'");
                        };
                        let (rest, params) = Params::read(rest)?;
                        Ok((rest, Self { params }))
                    })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "*{}", self.params)
                }
            }
        )*
    };
}

contact_predicates! {
    /// One set of features that the caller would like the callee to have (RFC 3841 §9.2).
    AcceptContact ACCEPT_CONTACT;
    /// One set of features that the callee must not have (RFC 3841 §9.2).
    RejectContact REJECT_CONTACT;
}

impl AcceptContact {
    /// Whether contacts that do not match are not to be called at all (RFC 3841 §7.2.4).
    pub fn is_required(&self) -> bool {
        self.params.contains("require")
    }

    /// Whether only what a contact says of itself counts (RFC 3841 §7.2.4).
    pub fn is_explicit(&self) -> bool {
        self.params.contains("explicit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Contact, RequestDisposition};

    /// RFC 3840 §9 and RFC 3841 §9.
    #[test]
    fn features() {
        let contact = Contact::parse(
            "<sip:u@h>;audio;video;methods=\"INVITE,BYE,!REFER\";+sip.instance=\"<urn:uuid:1>\";q=0.2;Mobility=fixed",
        )
        .unwrap();
        let params = &contact.addr().unwrap().params;
        let tags: Vec<_> = params.features().map(|feature| feature.name.to_owned()).collect();
        assert_eq!(tags, ["audio", "video", "methods", "+sip.instance", "Mobility"]);
        let methods = params.feature("Methods").unwrap();
        assert!(methods.allows("invite") && !methods.allows("REFER") && !methods.allows("INFO"));
        assert!(params.feature("audio").unwrap().allows("TRUE"));
        assert_eq!(params.feature("+sip.instance").unwrap().text(), Some("urn:uuid:1"));
        assert!(params.feature("mobility").unwrap().text().is_none() && params.feature("q").is_none());
        let but = Params::parse(";class=\"!business\"").unwrap();
        assert!(but.feature("class").unwrap().allows("personal"));
    }

    #[test]
    fn preferences() {
        let text = "*;audio;require;explicit;methods=\"INVITE,!BYE\"";
        let accept = AcceptContact::parse(text).unwrap();
        assert!(accept.is_required() && accept.is_explicit() && accept.to_string() == text);
        let reject = RejectContact::new([("actor", Some("msg-taker")), ("video", None)]).unwrap();
        assert_eq!(reject.to_string(), "*;actor=\"msg-taker\";video");
        assert_eq!(RejectContact::parse(&reject.to_string()), Ok(reject));
        assert!(AcceptContact::parse(";audio").is_err() && AcceptContact::parse("*audio").is_err());
        let how = RequestDisposition::parse("proxy, recurse,parallel").unwrap();
        assert!(how.has("RECURSE") && how.to_string() == "proxy, recurse, parallel");
    }
}
