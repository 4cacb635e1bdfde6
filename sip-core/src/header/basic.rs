//! Headers that hold one number or text: Call-ID, CSeq, Max-Forwards, Expires, Subject, …

use super::{HeaderName, TypedHeader};
use crate::{ErrorKind, Method, ParseError, grammar};
use std::{fmt, ops::Deref};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident $header:ident $what:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name(pub u32);

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, "nothing after the number", |t| grammar::number32(t, $what)).map(Self)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }
        )*
    };
}

numbers! {
    /// Hops that are left (RFC 3261 §20.22). More than 255 is read, and printed as read.
    MaxForwards MAX_FORWARDS "a number of hops";
    /// Bytes of the body (RFC 3261 §20.14).
    ContentLength CONTENT_LENGTH "a length in bytes";
    /// Seconds until something expires (RFC 3261 §20.19).
    Expires EXPIRES "seconds";
    /// The shortest time a registrar or notifier accepts, in seconds (RFC 3261 §20.23).
    MinExpires MIN_EXPIRES "seconds";
    /// The number of a reliable provisional response (RFC 3262 §7.1).
    RSeq RSEQ "a response number";
    /// How many branches a request may still have at a time (RFC 5393 §5.3).
    MaxBreadth MAX_BREADTH "a number of branches";
    /// Seconds within which a flow wants a keep-alive (RFC 5626 §11.1).
    FlowTimer FLOW_TIMER "seconds";
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $header:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name(pub String);

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    Ok(Self(text.trim().to_owned()))
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl Deref for $name {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }
        )*
    };
}

texts! {
    /// What the call is about (RFC 3261 §20.36).
    Subject SUBJECT;
    /// The software of the server (RFC 3261 §20.35).
    Server SERVER;
    /// The software of the client (RFC 3261 §20.41).
    UserAgent USER_AGENT;
    /// Whom the caller belongs to (RFC 3261 §20.25).
    Organization ORGANIZATION;
    /// How urgent the sender thinks it is (RFC 3261 §20.26).
    Priority PRIORITY;
    /// The version of published state (RFC 3903 §11.3.1).
    SipEtag SIP_ETAG;
    /// The version the publisher refers to (RFC 3903 §11.3.2).
    SipIfMatch SIP_IF_MATCH;
    /// What names a part of a body, brackets included (RFC 2045 §7, RFC 8262).
    ContentId CONTENT_ID;
    /// How a part of a body is coded (RFC 2045 §6); SIP is eight bits clean and needs none.
    ContentTransferEncoding CONTENT_TRANSFER_ENCODING;
}

impl ContentId {
    /// The identifier without brackets, as a `cid:` URI has it (RFC 2392 §2).
    pub fn id(&self) -> &str {
        self.0.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(&self.0)
    }
}

/// What ties messages of a call together (RFC 3261 §20.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallId(pub String);

impl TypedHeader for CallId {
    const NAME: HeaderName<'static> = HeaderName::CALL_ID;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::leading(text, "nothing after the Call-ID", |t| {
            match grammar::take(t, grammar::class::CALL_ID) {
                ("", _) => grammar::expected(t, "a Call-ID"),
                (id, rest) => Ok((rest, Self(id.to_owned()))),
            }
        })
    }

    fn check(text: &str) -> Result<(), ParseError> {
        grammar::leading(text, "nothing after the Call-ID", |t| {
            match grammar::take(t, grammar::class::CALL_ID) {
                ("", _) => grammar::expected(t, "a Call-ID"),
                (_, rest) => Ok((rest, ())),
            }
        })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for CallId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The number of a request in its dialog, and its method (RFC 3261 §20.16).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// A sequence number and method.
    pub fn new(number: u32, method: Method) -> Self {
        Self { number, method }
    }
}

impl TypedHeader for CSeq {
    const NAME: HeaderName<'static> = HeaderName::CSEQ;

    fn parse(text: &str) -> Result<Self, ParseError> {
        let (number, method) = grammar::whole(text, "nothing after the method", |t| {
            let (rest, number) = grammar::number32(t, "a sequence number below 2^31")?;
            let after = grammar::lws(rest);
            if after.len() == rest.len() {
                return grammar::expected(rest, "white space and a method");
            }
            let (rest, method) = grammar::token(after)?;
            Ok((rest, (number, Method::from_token(method))))
        })?;
        if number >= 1 << 31 {
            return Err(ParseError::new(0, ErrorKind::Number, "a sequence number below 2^31"));
        }
        Ok(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers() {
        assert_eq!(CSeq::parse("0009\r\n  INVITE"), Ok(CSeq::new(9, Method::Invite)));
        for text in ["36893488147419103232 REGISTER", "2147483648 ACK", "1INVITE", "1", "-1 BYE", "1 A B", ""]
        {
            assert!(CSeq::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_texts() {
        assert_eq!(MaxForwards::parse("0068"), Ok(MaxForwards(68)));
        assert!(Expires::parse("-1").is_err() && Expires::parse("4294967296").is_err());
        assert_eq!(CallId::parse("wsinv.ndaksdj@192.0.2.1").as_deref().ok(), Some("wsinv.ndaksdj@192.0.2.1"));
        assert!(CallId::parse("a,b").is_err() && CallId::parse("").is_err());
        assert_eq!(Subject::parse("").as_deref(), Ok(""));
        assert_eq!(
            (MaxBreadth::parse("60"), FlowTimer::parse(" 120 ")),
            (Ok(MaxBreadth(60)), Ok(FlowTimer(120)))
        );
        assert_eq!(ContentId::parse("<a@b>").unwrap().id(), "a@b");
    }
}
