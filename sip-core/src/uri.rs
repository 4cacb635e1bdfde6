//! URIs (RFC 3261 §19.1): sip and sips taken apart, others kept as text.

mod escape;
mod host;

pub use escape::unescape;
pub(crate) use escape::{escape_param_into, escaped_user};
pub use host::Host;
pub(crate) use host::host_port;

use crate::{
    ErrorKind, ParseError, Text, UsageError,
    grammar::{self, class},
    text::UriText,
};
use escape::{escape_into, same_escaped};
use std::{borrow::Cow, fmt, str::FromStr};

/// A URI: keeps and prints the text it was read from.
///
/// ```
/// use sip_core::{Host, Uri};
/// let uri: Uri = "sip:alice@example.com:5070;transport=tcp".parse()?;
/// assert_eq!(uri.user(), Some("alice"));
/// assert_eq!(uri.host(), &Host::Name("example.com".into()));
/// assert_eq!((uri.port(), uri.param("transport")), (Some(5070), Some("tcp")));
/// # Ok::<(), sip_core::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Uri {
    text: UriText,
    parts: Parts,
}

/// What is where in the text of a URI.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    scheme: Scheme,
    user: Span,
    password: Span,
    host: Host,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

/// A piece of the text; empty and at 0 where there is none.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// The scheme of a [`Uri`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other; [`Uri::scheme_str`] has it.
    Other,
}

/// The longest URI that is taken apart: offsets stay far from their limit.
const LONGEST: usize = 1 << 20;

impl Uri {
    /// The URI of a text, without white space around it.
    #[inline]
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { parts: Parts::read(text)?, text: text.into() })
    }

    fn from_text(text: String) -> Result<Self, ParseError> {
        Ok(Self { parts: Parts::read(&text)?, text: text.as_str().into() })
    }

    /// A sip URI of a user (escaped here where needed), a host and a port.
    pub fn sip(user: Option<&str>, host: &Host, port: Option<u16>) -> Result<Self, UsageError> {
        let mut text = String::from("sip:");
        if let Some(user) = user {
            escape_into(&mut text, user);
            text.push('@');
        }
        text.push_str(&host.to_string());
        if let Some(port) = port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        Ok(Self::from_text(text)?)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// The scheme as it was written.
    pub fn scheme_str(&self) -> &str {
        self.text.split(':').next().unwrap_or("")
    }

    /// Whether the scheme is sip or sips.
    pub fn is_sip(&self) -> bool {
        matches!(self.parts.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part as written, escapes included. The number of a tel URI; what follows the
    /// colon of another scheme.
    pub fn user(&self) -> Option<&str> {
        Some(self.piece(self.parts.user)).filter(|u| !u.is_empty())
    }

    /// The user part with its escapes resolved, once (RFC 3261 §19.1.2).
    pub fn user_unescaped(&self) -> Option<Cow<'_, str>> {
        self.user().map(unescape)
    }

    /// The password, as written.
    pub fn password(&self) -> Option<&str> {
        Some(self.piece(self.parts.password)).filter(|p| !p.is_empty())
    }

    /// The host; an empty name where the scheme has none.
    pub fn host(&self) -> &Host {
        &self.parts.host
    }

    /// The port, if the text names one.
    pub fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// The port, or 5060, or 5061 for sips (RFC 3261 §19.1.2).
    pub fn port_or_default(&self) -> u16 {
        self.parts.port.unwrap_or(if self.parts.scheme == Scheme::Sips { 5061 } else { 5060 })
    }

    /// The parameters: name and value as written.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        pairs(self.piece(self.parts.params).strip_prefix(';'), ';')
    }

    /// The value of a parameter; `Some("")` if it has none, `None` if it is absent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params().find(|(n, _)| same_escaped(n, name)).map(|(_, v)| v.unwrap_or(""))
    }

    /// Whether a parameter is there: `uri.has_param("lr")`.
    pub fn has_param(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    /// The headers after `?`: name and value as written.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.piece(self.parts.headers).strip_prefix('?'), '&')
            .map(|(name, value)| (name, value.unwrap_or("")))
    }

    /// This URI with a parameter added or replaced (`None`: without a value). Escapes what needs it.
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Result<Self, UsageError> {
        let mut text = self.text_without_param(name);
        let headers = text.split_off(text.len() - self.piece(self.parts.headers).len());
        text.push(';');
        escape_into(&mut text, name);
        if let Some(value) = value {
            text.push('=');
            escape_param_into(&mut text, value);
        }
        text.push_str(&headers);
        Ok(Self::from_text(text)?)
    }

    /// This URI without a parameter.
    pub fn without_param(&self, name: &str) -> Self {
        // Taking a parameter out of a valid text leaves a valid text.
        Self::from_text(self.text_without_param(name)).unwrap_or_else(|_| self.clone())
    }

    /// This URI without the headers after `?`, as it may stand in a request line (RFC 3261 §19.1.1).
    pub fn without_headers(&self) -> Self {
        let end = self.text.len() - self.piece(self.parts.headers).len();
        Self::parse(grammar::cut(&self.text, end).0).unwrap_or_else(|_| self.clone())
    }

    fn text_without_param(&self, name: &str) -> String {
        let (head, _) = grammar::cut(&self.text, self.parts.params.start_usize());
        let mut text = String::with_capacity(self.text.len() + 24);
        text.push_str(head);
        for (n, value) in self.params().filter(|(n, _)| !same_escaped(n, name)) {
            text.push(';');
            text.push_str(n);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        text.push_str(self.piece(self.parts.headers));
        text
    }

    /// Whether both name the same resource by the rules of RFC 3261 §19.1.4.
    pub fn equivalent(&self, other: &Self) -> bool {
        if self.parts.scheme != other.parts.scheme {
            return false;
        }
        if !self.is_sip() {
            return match (self.telephone(), other.telephone()) {
                (Some(Ok(one)), Some(Ok(other))) => one.equivalent(&other),
                _ => self.text.eq_ignore_ascii_case(&other.text),
            };
        }
        let same_user = match (self.user(), other.user()) {
            (Some(a), Some(b)) => unescape(a) == unescape(b),
            (None, None) => true,
            _ => false,
        };
        let same_password = self.password().map(unescape) == other.password().map(unescape);
        same_user
            && same_password
            && self.parts.host.same(&other.parts.host)
            && self.parts.port == other.parts.port
            && params_match(self, other)
            && params_match(other, self)
            && headers_match(self, other)
            && headers_match(other, self)
    }

    fn piece(&self, span: Span) -> &str {
        self.text.get(span.start_usize()..span.end as usize).unwrap_or("")
    }
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    fn start_usize(self) -> usize {
        self.start as usize
    }
}

impl Scheme {
    fn named(name: &str) -> Result<Self, ParseError> {
        let is = |text: &str| name.eq_ignore_ascii_case(text);
        if is("sip") {
            Ok(Self::Sip)
        } else if is("sips") {
            Ok(Self::Sips)
        } else if is("tel") {
            Ok(Self::Tel)
        } else if name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            Ok(Self::Other)
        } else {
            Err(ParseError::new(0, ErrorKind::Syntax, "a URI scheme"))
        }
    }
}

impl Parts {
    /// Takes a URI apart, without allocation for what is well formed and has a short host.
    pub(crate) fn read(text: &str) -> Result<Self, ParseError> {
        if text.len() > LONGEST {
            return Err(ParseError::new(LONGEST, ErrorKind::TooLarge, "a shorter URI"));
        }
        match text.as_bytes() {
            [b's', b'i', b'p', b':', ..] => return Self::sip(text, Scheme::Sip, 4),
            [b's', b'i', b'p', b's', b':', ..] => return Self::sip(text, Scheme::Sips, 5),
            _ => {}
        }
        let Some(colon) = memchr::memchr(b':', text.as_bytes()) else {
            return Err(ParseError::new(0, ErrorKind::Syntax, "a URI scheme and ':'"));
        };
        match Scheme::named(grammar::cut(text, colon).0)? {
            scheme @ (Scheme::Sip | Scheme::Sips) => Self::sip(text, scheme, colon + 1),
            scheme => Self::opaque(text, scheme, colon + 1),
        }
    }

    /// `[ userinfo ] hostport uri-parameters [ headers ]` from `start` (RFC 3261 §25.1).
    fn sip(text: &str, scheme: Scheme, start: usize) -> Result<Self, ParseError> {
        let bytes = text.as_bytes();
        let error = |at, what| Err(ParseError::new(at, ErrorKind::Syntax, what));
        let (mut user, mut password, mut host_at) = (Span::default(), Span::default(), start);
        let stop = run(bytes, start, class::USER);
        match bytes.get(stop) {
            None => {}
            Some(b'@') if stop > start => (user, host_at) = (Span::new(start, stop), stop + 1),
            Some(sign) => {
                if let Some(at) = memchr::memchr(b'@', bytes.get(stop..).unwrap_or(&[])) {
                    // There is a user, with a password or another sign that may not stand there.
                    if stop == start {
                        return error(start, "a user before '@'");
                    }
                    let end = run(bytes, stop + 1, class::USER);
                    if *sign != b':' || end != stop + at {
                        return error(if *sign == b':' { end } else { stop }, "a user or password character");
                    }
                    (user, password, host_at) = (Span::new(start, stop), Span::new(stop + 1, end), end + 1);
                }
            }
        }
        let (rest, (host, port)) = match host_port(grammar::cut(text, host_at).1) {
            Ok(found) => found,
            Err((left, what)) => return error(text.len() - left, what),
        };
        let params_at = text.len() - rest.len();
        let mut at = params_at;
        while bytes.get(at) == Some(&b';') {
            let name = at + 1;
            at = run(bytes, name, class::URI_PARAM);
            if at == name || bytes.get(name) == Some(&b'=') {
                return error(name, "a URI parameter's name");
            }
        }
        let params = Span::new(params_at, at);
        let headers = Span::new(at, text.len());
        match bytes.get(at) {
            None => {}
            Some(b'?') => {
                let list = grammar::cut(text, at + 1).1;
                let end = run(bytes, at + 1, class::URI_HEADERS);
                if end != text.len() {
                    return error(end, "a URI header character");
                }
                if list.split('&').any(|h| h.is_empty() || h.starts_with('=') || !h.contains('=')) {
                    return error(at + 1, "name=value after '?'");
                }
            }
            Some(_) => return error(at, "';', '?' or the end of the URI"),
        }
        Ok(Self { scheme, user, password, host, port, params, headers })
    }

    /// A URI of another scheme, from `start`; only the parameters of tel are told apart.
    fn opaque(text: &str, scheme: Scheme, start: usize) -> Result<Self, ParseError> {
        let rest = grammar::cut(text, start).1;
        if rest.is_empty() {
            return Err(ParseError::new(start, ErrorKind::Syntax, "more than a scheme"));
        }
        let odd = |b| !matches!(b, b'!'..=b'~') || matches!(b, b'<' | b'>' | b'"');
        if let Some(bad) = rest.bytes().position(odd) {
            return Err(ParseError::new(start + bad, ErrorKind::Syntax, "a URI character"));
        }
        let end = Span::new(text.len(), text.len());
        let params = match memchr::memchr(b';', rest.as_bytes()) {
            Some(at) if scheme == Scheme::Tel => Span::new(start + at, text.len()),
            _ => end,
        };
        Ok(Self {
            scheme,
            user: Span::new(start, params.start_usize()),
            password: Span::default(),
            host: Host::Name(Text::new()),
            port: None,
            params,
            headers: end,
        })
    }
}

/// Where the run from `at` on ends of bytes in a class and %HH escapes.
#[inline]
fn run(bytes: &[u8], mut at: usize, class: u16) -> usize {
    loop {
        match bytes.get(at) {
            Some(b) if grammar::is_in(*b, class) => at += 1,
            Some(b'%') => {
                let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
                if !(hex(at + 1) && hex(at + 2)) {
                    return at;
                }
                at += 3;
            }
            _ => return at,
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Uri {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// Texts are compared; [`Uri::equivalent`] compares what they name.
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        *self.text == *other.text
    }
}

impl Eq for Uri {}

impl std::hash::Hash for Uri {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl AsRef<Uri> for Uri {
    fn as_ref(&self) -> &Uri {
        self
    }
}

/// `name[=value]` pairs of a list.
fn pairs(list: Option<&str>, sign: char) -> impl Iterator<Item = (&str, Option<&str>)> {
    list.into_iter().flat_map(move |list| list.split(sign)).map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}

/// RFC 3261 §19.1.4: a parameter both have must be equal; user, ttl, method, maddr and transport
/// must be in both or in neither.
fn params_match(a: &Uri, b: &Uri) -> bool {
    const MUST: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    // Nothing forbids a parameter to come twice: one of the other's has to be the same.
    a.params().all(|(name, value)| {
        let mut others = b.params().filter(|(other, _)| same_escaped(other, name)).peekable();
        match others.peek() {
            Some(_) => others.any(|(_, other)| same_escaped(value.unwrap_or(""), other.unwrap_or(""))),
            None => !MUST.iter().any(|must| same_escaped(name, must)),
        }
    })
}

/// RFC 3261 §19.1.4: headers are never ignored.
fn headers_match(a: &Uri, b: &Uri) -> bool {
    a.headers().all(|(name, value)| {
        b.headers().any(|(n, v)| same_escaped(n, name) && unescape(v) == unescape(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn parts() {
        let u = uri("sips:alice:secret@[2001:db8::10]:5070;lr;x=%41?Subject=a%20b&Route=c");
        assert_eq!((u.scheme(), u.user(), u.password()), (Scheme::Sips, Some("alice"), Some("secret")));
        assert_eq!((u.host().to_string().as_str(), u.port()), ("[2001:db8::10]", Some(5070)));
        assert!(u.has_param("lr") && u.param("x") == Some("%41"));
        assert_eq!(u.headers().collect::<Vec<_>>(), [("Subject", "a%20b"), ("Route", "c")]);
        let u = uri("sip:user;par=u%40example.net@example.com");
        assert_eq!(u.user(), Some("user;par=u%40example.net"));
        assert_eq!(uri("tel:+1-201-555-0123;phone-context=x").user(), Some("+1-201-555-0123"));
        assert_eq!(uri("nobodyKnowsThisScheme:totallyopaquecontent").scheme(), Scheme::Other);
        assert_eq!(uri("soap.beep://192.0.2.103:3002").scheme_str(), "soap.beep");
    }

    #[test]
    fn ambiguous_ports_of_rfc_5118() {
        let u = uri("sip:[2001:db8::10:5070]");
        assert_eq!((u.host().to_string().as_str(), u.port()), ("[2001:db8::10:5070]", None));
        assert!("sip:2001:db8::10".parse::<Uri>().is_err());
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "sip:",
            "sip",
            ":x",
            "sip:@h",
            "sip:a b@h",
            "sip:a@h h",
            "sip:a@h:99999",
            "sip:a@h:",
            "sip:[::1",
            "sip:a@h;",
            "sip:a@h;;x",
            "sip:a@h?",
            "sip:a@h?x",
            "sip:a%4@h",
            "<sip:a@h>",
            "1x:y",
            "sip:a@h\r\nX: y",
            "tel:",
            "sip:a@b@c",
            "sip:jö@h",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn equivalence_of_rfc_3261_19_1_4() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ] {
            assert!(!uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)), "{a} {b}");
        }
    }

    #[test]
    fn parameters_are_added_escaped() {
        let u = uri("sip:a@h;lr?x=y").with_param("maddr", Some("a b;c\r\n")).unwrap();
        assert_eq!(u.as_str(), "sip:a@h;lr;maddr=a%20b%3Bc%0D%0A?x=y");
        assert_eq!(u.without_param("LR").as_str(), "sip:a@h;maddr=a%20b%3Bc%0D%0A?x=y");
        assert_eq!(u.without_headers().as_str(), "sip:a@h;lr;maddr=a%20b%3Bc%0D%0A");
        let host = Host::Ipv6("::1".parse().unwrap());
        assert_eq!(Uri::sip(Some("a b@c"), &host, Some(1)).unwrap().as_str(), "sip:a%20b%40c@[::1]:1");
    }
}
