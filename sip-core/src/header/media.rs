//! Content-Type and its kin: media types with parameters (RFC 3261 §20.1, §20.11, §20.15).

use super::{Form, HeaderName, TypedHeader};
use crate::{Params, ParseError, UsageError, grammar};
use std::fmt;

/// A media type: `application/sdp`, `multipart/mixed;boundary=x`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType {
    /// `application` in `application/sdp`, as written.
    pub kind: String,
    /// `sdp` in `application/sdp`, as written.
    pub subtype: String,
    /// Its parameters.
    pub params: Params,
}

impl MediaType {
    /// A media type without parameters, from a text such as `application/sdp`.
    pub fn new(text: &str) -> Result<Self, UsageError> {
        Ok(grammar::whole(text, "the end of the media type", Self::read)?)
    }

    /// Whether it is this type, parameters aside: `is("application", "sdp")`.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// The `boundary` of a multipart type, without quotes.
    pub fn boundary(&self) -> Option<String> {
        self.params.find("boundary")?.unquoted().map(std::borrow::Cow::into_owned)
    }

    /// A media type with parameters.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "the end of the media type", Self::read)
    }

    fn read(input: &str) -> grammar::Res<'_, Self> {
        let (rest, kind) = grammar::token(input)?;
        let (rest, ()) = grammar::sign('/', "'/' and a subtype")(rest)?;
        let (rest, subtype) = grammar::token(rest)?;
        let (rest, params) = Params::read(rest)?;
        // Some write a ';' behind the last parameter; RFC 3261 §23 does too.
        let rest = grammar::lws(rest);
        Ok((rest, Self { kind: kind.to_owned(), subtype: subtype.to_owned(), params }))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

macro_rules! media {
    ($($(#[$doc:meta])* $name:ident $header:ident $form:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name(pub MediaType);

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::$form;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, "the end of the media type", MediaType::read).map(Self)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl std::ops::Deref for $name {
                type Target = MediaType;

                fn deref(&self) -> &MediaType {
                    &self.0
                }
            }
        )*
    };
}

media! {
    /// What the body is (RFC 3261 §20.15).
    ContentType CONTENT_TYPE Single;
    /// One type of body that is understood (RFC 3261 §20.1); `*/*` and `text/*` too.
    Accept ACCEPT Values;
}

macro_rules! tokens_with_params {
    ($($(#[$doc:meta])* $name:ident $header:ident $form:ident $field:ident $what:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name {
                /// The token before the parameters, as written.
                pub $field: String,
                /// Its parameters.
                pub params: Params,
            }

            impl $name {
                /// Without parameters. Fails if it is no token.
                pub fn new(token: &str) -> Result<Self, UsageError> {
                    Ok(Self::parse(token)?)
                }
            }

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::$form;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, $what, |t| {
                        let (rest, token) = grammar::token(t)?;
                        let (rest, params) = Params::read(rest)?;
                        Ok((rest, Self { $field: token.to_owned(), params }))
                    })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}{}", self.$field, self.params)
                }
            }
        )*
    };
}

tokens_with_params! {
    /// What the body is for: `session`, `render`, `icon`, … (RFC 3261 §20.11).
    ContentDisposition CONTENT_DISPOSITION Single disposition "';' or the end of the disposition";
    /// One coding that is understood, with its `q` (RFC 3261 §20.2).
    AcceptEncoding ACCEPT_ENCODING Values coding "';' or the end of the coding";
    /// One language that is understood, with its `q` (RFC 3261 §20.3).
    AcceptLanguage ACCEPT_LANGUAGE Values language "';' or the end of the language";
    /// One event package and its `id` (RFC 6665 §8.2.1).
    Event EVENT Single package "';' or the end of the event";
    /// The state of a subscription: `active`, `pending`, `terminated` (RFC 6665 §8.2.3).
    SubscriptionState SUBSCRIPTION_STATE Single state "';' or the end of the state";
    /// The package of an INFO request (RFC 6086 §5.2).
    InfoPackage INFO_PACKAGE Single package "';' or the end of the package";
    /// One INFO package that is understood (RFC 6086 §5.3).
    RecvInfo RECV_INFO Values package "';' or the end of the package";
    /// Why a request was sent: protocol, `cause` and `text` (RFC 3326 §2).
    Reason REASON Values protocol "';' or the end of the reason";
}

impl SubscriptionState {
    /// Seconds until the subscription ends.
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires")?.parse().ok()
    }

    /// Why it ended: `deactivated`, `rejected`, `timeout`, … (RFC 6665 §4.1.3).
    pub fn reason(&self) -> Option<&str> {
        self.params.get("reason")
    }

    /// Whether the subscription is over.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

impl ContentDisposition {
    /// Whether who does not understand the body must refuse the request: `handling` is `required` where it is
    /// not said (RFC 3261 §20.11).
    pub fn is_required(&self) -> bool {
        !self.params.get("handling").is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
    }
}

impl Event {
    /// The `id` that tells subscriptions of a dialog apart.
    pub fn id(&self) -> Option<&str> {
        self.params.get("id")
    }
}

impl Reason {
    /// A SIP status as a reason: `SIP;cause=200;text="Call completed elsewhere"`.
    pub fn sip(status: crate::StatusCode, text: &str) -> Result<Self, UsageError> {
        let mut params = Params::new().with("cause", &status.to_string())?;
        if !text.is_empty() {
            params.set_quoted("text", text)?;
        }
        Ok(Self { protocol: "SIP".to_owned(), params })
    }

    /// The `cause`: for `SIP` a status code, for `Q.850` an ISUP cause.
    pub fn cause(&self) -> Option<u16> {
        self.params.get("cause")?.parse().ok()
    }

    /// The `text`, without quotes.
    pub fn text(&self) -> Option<String> {
        self.params.find("text")?.unquoted().map(std::borrow::Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let ct = ContentType::parse("multipart / mixed ; boundary=\"a;b\"").unwrap();
        assert!(ct.is("Multipart", "mixed"));
        assert_eq!(
            (ct.boundary().as_deref(), ct.to_string().as_str()),
            (Some("a;b"), "multipart/mixed;boundary=\"a;b\"")
        );
        assert!(ContentType::parse("application").is_err() && ContentType::parse("").is_err());
    }

    #[test]
    fn tokens() {
        let state = SubscriptionState::parse("terminated ; reason=timeout").unwrap();
        assert!(state.is_terminated() && state.reason() == Some("timeout"));
        let reason = Reason::sip(crate::StatusCode::OK, "Call completed").unwrap();
        assert_eq!(reason.to_string(), "SIP;cause=200;text=\"Call completed\"");
        assert_eq!(Reason::parse(&reason.to_string()).unwrap().text().as_deref(), Some("Call completed"));
        assert_eq!(Event::parse("presence;id=1").unwrap().id(), Some("1"));
        assert_eq!(InfoPackage::parse("foo;bar=1").unwrap().package, "foo");
        assert_eq!(RecvInfo::parse("g-nogo").unwrap().to_string(), "g-nogo");
        assert!(ContentDisposition::parse("session").unwrap().is_required());
    }
}
