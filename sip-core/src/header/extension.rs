//! Headers of the extensions of calls: RAck, Session-Expires, Replaces, Retry-After, Warning, …

use super::{Form, HeaderName, TypedHeader};
use crate::{Host, Method, Params, ParseError, Uri, UsageError, grammar};
use std::fmt;

/// Which reliable provisional response is acknowledged (RFC 3262 §7.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RAck {
    /// The RSeq of the response.
    pub rseq: u32,
    /// The CSeq number of the response.
    pub cseq: u32,
    /// The CSeq method of the response.
    pub method: Method,
}

impl TypedHeader for RAck {
    const NAME: HeaderName<'static> = HeaderName::RACK;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "nothing after the method", |t| {
            let (rest, rseq) = grammar::number32(t, "an RSeq number")?;
            let (rest, cseq) = grammar::number32(grammar::lws(rest), "a CSeq number")?;
            let (rest, method) = grammar::token(grammar::lws(rest))?;
            Ok((rest, Self { rseq, cseq, method: Method::from_token(method) }))
        })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

macro_rules! seconds_with_params {
    ($($(#[$doc:meta])* $name:ident $header:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name {
                /// Seconds.
                pub seconds: u32,
                /// Parameters.
                pub params: Params,
            }

            impl $name {
                /// This many seconds, without parameters.
                pub fn new(seconds: u32) -> Self {
                    Self { seconds, params: Params::new() }
                }
            }

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    grammar::whole(text, "';' or the end of the header", |t| {
                        let (rest, seconds) = grammar::number32(t, "seconds")?;
                        let (rest, params) = Params::read(rest)?;
                        Ok((rest, Self { seconds, params }))
                    })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}{}", self.seconds, self.params)
                }
            }
        )*
    };
}

seconds_with_params! {
    /// How long a session lives without a refresh (RFC 4028 §4).
    SessionExpires SESSION_EXPIRES;
    /// The shortest session interval that is accepted (RFC 4028 §5).
    MinSe MIN_SE;
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The client of the transaction.
    Uac,
    /// The server of the transaction.
    Uas,
}

impl SessionExpires {
    /// Who is to refresh, if it is said.
    pub fn refresher(&self) -> Option<Refresher> {
        match self.params.get("refresher")? {
            r if r.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            r if r.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        }
    }

    /// With this refresher.
    pub fn with_refresher(mut self, refresher: Refresher) -> Self {
        let token = if refresher == Refresher::Uac { "uac" } else { "uas" };
        // A token is always taken.
        let _ = self.params.set("refresher", token);
        self
    }
}

/// When to try again, with a comment and parameters (RFC 3261 §20.33).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetryAfter {
    /// Seconds from now.
    pub seconds: u32,
    /// What stands in parentheses, without the outer ones.
    pub comment: Option<String>,
    /// Parameters: `duration`.
    pub params: Params,
}

impl RetryAfter {
    /// This many seconds.
    pub fn new(seconds: u32) -> Self {
        Self { seconds, comment: None, params: Params::new() }
    }
}

/// A comment in parentheses, which nest; counted, not recursed into.
fn comment(input: &str) -> grammar::Res<'_, &str> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, b) in input.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => {
                let (text, rest) = grammar::cut(input, at + 1);
                return Ok((rest, text.get(1..at).unwrap_or("")));
            }
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    grammar::expected("", "')' after the comment")
}

impl TypedHeader for RetryAfter {
    const NAME: HeaderName<'static> = HeaderName::RETRY_AFTER;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "';' or the end of the header", |t| {
            let (rest, seconds) = grammar::number32(t, "seconds")?;
            let rest = grammar::lws(rest);
            let (rest, note) = if rest.starts_with('(') {
                let (rest, note) = comment(rest)?;
                (rest, Some(note.to_owned()))
            } else {
                (rest, None)
            };
            let (rest, params) = Params::read(rest)?;
            Ok((rest, Self { seconds, comment: note, params }))
        })
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        if let Some(comment) = &self.comment {
            write!(f, " ({comment})")?;
        }
        write!(f, "{}", self.params)
    }
}

/// One warning (RFC 3261 §20.43).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Warning {
    /// Three digits: 300 to 399, and 399 for anything.
    pub code: u16,
    /// Who warns: a host with an optional port, or a pseudonym.
    pub agent: String,
    /// What a user may be shown, without quotes.
    pub text: String,
}

impl Warning {
    /// A warning of ours. Fails for a code that has not three digits.
    pub fn new(code: u16, agent: &Host, text: &str) -> Result<Self, UsageError> {
        Ok(Self::parse(&format!("{code} {agent} \"\""))?).map(|w| Self { text: text.to_owned(), ..w })
    }
}

impl TypedHeader for Warning {
    const NAME: HeaderName<'static> = HeaderName::WARNING;
    const FORM: Form = Form::Values;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "nothing after the warning's text", |t| {
            let (rest, code) = grammar::number(t, 999, "a code of three digits")?;
            if t.len() - rest.len() != 3 {
                return grammar::expected(t, "a code of three digits");
            }
            let (agent, rest) =
                grammar::span(grammar::lws(rest), |b| !grammar::is_lws(b) && !matches!(b, b'"' | b','));
            if agent.is_empty() {
                return grammar::expected(rest, "a warning agent");
            }
            let (rest, text) = grammar::quoted(grammar::lws(rest))?;
            let code = u16::try_from(code).unwrap_or(399);
            Ok((rest, Self { code, agent: agent.to_owned(), text: grammar::unquote(text).into_owned() }))
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} ", self.code, self.agent)?;
        grammar::quote_into(f, &self.text)
    }
}

macro_rules! infos {
    ($($(#[$doc:meta])* $name:ident $header:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name {
                /// Where it is.
                pub uri: Uri,
                /// Parameters, such as `purpose`.
                pub params: Params,
            }

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::Values;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    let addr: crate::NameAddr = text.parse()?;
                    Ok(Self { uri: addr.uri, params: addr.params })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "<{}>{}", self.uri, self.params)
                }
            }
        )*
    };
}

infos! {
    /// One ring tone to use (RFC 3261 §20.4).
    AlertInfo ALERT_INFO;
    /// One thing to know about the caller or callee (RFC 3261 §20.9).
    CallInfo CALL_INFO;
    /// One explanation of an error (RFC 3261 §20.18).
    ErrorInfo ERROR_INFO;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<H: TypedHeader + PartialEq + fmt::Debug>(text: &str) -> H {
        let header = H::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(header.to_string(), text);
        header
    }

    #[test]
    fn values() {
        assert_eq!(round::<RAck>("776656 1 INVITE").method, Method::Invite);
        assert_eq!(round::<SessionExpires>("1800;refresher=uas").refresher(), Some(Refresher::Uas));
        assert_eq!(SessionExpires::new(90).with_refresher(Refresher::Uac).to_string(), "90;refresher=uac");
        assert_eq!(round::<MinSe>("90").seconds, 90);
        let retry = round::<RetryAfter>("120 (I'm (in) a \\) meeting);duration=3600");
        assert_eq!(retry.comment.as_deref(), Some("I'm (in) a \\) meeting"));
        let warning = round::<Warning>("370 devnull \"Choose a \\\"bigger\\\" pipe\"");
        assert_eq!((warning.code, warning.text.as_str()), (370, "Choose a \"bigger\" pipe"));
        assert_eq!(
            round::<CallInfo>("<http://wwww.example.com/alice/>;purpose=info").params.get("purpose"),
            Some("info")
        );
    }

    #[test]
    fn refused() {
        assert!(RAck::parse("1 INVITE").is_err() && RAck::parse("1 2").is_err());
        assert!(
            RetryAfter::parse("5 (open").is_err()
                && RetryAfter::parse("949302838503028349304023988").is_err()
        );
        assert!(
            Warning::parse("1812 overture \"In Progress\"").is_err() && Warning::parse("399 x y").is_err()
        );
        assert!(SessionExpires::parse("-1").is_err());
    }
}
