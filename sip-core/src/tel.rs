//! Telephone numbers (RFC 3966), in tel URIs and in sip URIs with `user=phone`.

use crate::{ErrorKind, Host, ParseError, Scheme, Uri, UsageError, uri};
use std::{borrow::Cow, fmt};

/// A telephone number taken apart. It prints as the text of a tel URI behind `tel:`.
///
/// ```
/// let uri: sip_core::Uri = "tel:7042;phone-context=example.com".parse()?;
/// let number = uri.telephone().expect("a number")?;
/// assert_eq!((number.digits(), number.context()), ("7042", Some("example.com")));
/// # Ok::<(), sip_core::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Telephone {
    /// As written, visual separators included.
    number: String,
    /// Without visual separators; `+` in front of a global number.
    digits: String,
    /// Lower-case names with their values, escapes resolved, in the order they came.
    params: Vec<(String, Option<String>)>,
}

impl Telephone {
    /// The number of a text such as `+1-201-555-0123;ext=42`.
    ///
    /// A number without `+` is local and needs a `phone-context` (RFC 3966 §5.1.5), but many
    /// leave it out: [`Self::is_complete`] says so.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let error = |at, what| ParseError::new(at, ErrorKind::Syntax, what);
        let (number, rest) =
            text.split_at_checked(text.find(';').unwrap_or(text.len())).unwrap_or((text, ""));
        let global = number.strip_prefix('+');
        let mut digits = String::with_capacity(number.len());
        digits.extend(global.map(|_| '+'));
        let mut some = false;
        for (at, b) in global.unwrap_or(number).bytes().enumerate() {
            let digit = match global {
                Some(_) => b.is_ascii_digit(),
                None => b.is_ascii_hexdigit() || matches!(b, b'*' | b'#'),
            };
            some |= digit;
            if digit {
                digits.push(char::from(b));
            } else if !is_separator(b) {
                return Err(error(at, "a digit"));
            }
        }
        if !some {
            return Err(error(0, "a digit"));
        }
        let mut params = Vec::new();
        for part in rest.split(';').skip(1) {
            let (name, value) =
                part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err(error(number.len(), "a parameter's name"));
            }
            let name = name.to_ascii_lowercase();
            if params.iter().any(|(other, _)| *other == name) {
                // RFC 3966 §3: each parameter comes once.
                return Err(ParseError::new(number.len(), ErrorKind::Duplicate, "each parameter once"));
            }
            let value = value.map(|value| uri::unescape(value).into_owned());
            let fits = match (name.as_str(), &value) {
                ("ext", value) => value.as_deref().is_some_and(is_extension),
                ("phone-context", value) => value.as_deref().is_some_and(is_context),
                ("isub", value) => value.as_deref().is_some_and(|value| !value.is_empty()),
                (_, Some(value)) => !value.is_empty(),
                (_, None) => true,
            };
            if !fits {
                return Err(error(number.len(), "a value that the parameter may have"));
            }
            if params.len() >= MOST_PARAMS {
                return Err(ParseError::new(number.len(), ErrorKind::TooLarge, "fewer parameters"));
            }
            params.push((name, value));
        }
        Ok(Self { number: number.to_owned(), digits, params })
    }

    /// Whether it is a global number, one with `+`.
    pub fn is_global(&self) -> bool {
        self.digits.starts_with('+')
    }

    /// Whether it says all that is needed to dial it: it is global, or has a context.
    pub fn is_complete(&self) -> bool {
        self.is_global() || self.context().is_some()
    }

    /// The number without visual separators, with the `+` of a global one.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// Where a local number is valid: a domain, or the leading digits of global numbers.
    pub fn context(&self) -> Option<&str> {
        self.param("phone-context")
    }

    /// The extension behind the number.
    pub fn extension(&self) -> Option<&str> {
        self.param("ext")
    }

    /// The ISDN subaddress.
    pub fn subaddress(&self) -> Option<&str> {
        self.param("isub")
    }

    /// The value of a parameter, escapes resolved; `Some("")` if it has none.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_deref().unwrap_or(""))
    }

    /// Whether both are the same number (RFC 3966 §4): separators do not count, nor does the
    /// order of parameters, nor case.
    pub fn equivalent(&self, other: &Self) -> bool {
        self.digits.eq_ignore_ascii_case(&other.digits)
            && self.params.len() == other.params.len()
            && self.params.iter().all(|(name, value)| {
                let theirs = other.params.iter().find(|(other, _)| other == name);
                theirs.is_some_and(|(_, theirs)| match (value, theirs) {
                    (Some(a), Some(b)) if is_dialled(name, a) => {
                        without_separators(a).eq(without_separators(b))
                    }
                    (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                    (a, b) => a == b,
                })
            })
    }

    /// The tel URI of the number.
    pub fn to_uri(&self) -> Result<Uri, UsageError> {
        Ok(Uri::parse(&format!("tel:{self}"))?)
    }

    /// The sip URI by which a gateway of that host is asked to dial the number
    /// (RFC 3261 §19.1.6).
    pub fn to_sip_uri(&self, host: &Host) -> Result<Uri, UsageError> {
        let user = uri::escaped_user(&self.to_string());
        format!("sip:{user}@{host};user=phone").parse::<Uri>().map_err(Into::into)
    }
}

/// More than anyone writes; they are looked up one by one.
const MOST_PARAMS: usize = 32;

fn is_separator(b: u8) -> bool {
    matches!(b, b'-' | b'.' | b'(' | b')')
}

fn is_extension(value: &str) -> bool {
    value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().all(|b| b.is_ascii_digit() || is_separator(b))
}

/// `domainname` or `global-number-digits` (RFC 3966 §3).
fn is_context(value: &str) -> bool {
    match value.strip_prefix('+') {
        Some(digits) => is_extension(digits),
        None => {
            !value.is_empty()
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
                && !value.starts_with(['.', '-'])
                && !value.contains("..")
        }
    }
}

/// Whether a parameter's value is digits, whose separators do not count.
fn is_dialled(name: &str, value: &str) -> bool {
    name == "ext" || (name == "phone-context" && value.starts_with('+'))
}

fn without_separators(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(|b| !is_separator(*b))
}

impl fmt::Display for Telephone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.number)?;
        for (name, value) in &self.params {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                let mut escaped = String::with_capacity(value.len());
                uri::escape_param_into(&mut escaped, value);
                write!(f, "={escaped}")?;
            }
        }
        Ok(())
    }
}

impl Uri {
    /// The telephone number that the URI is: of a tel URI, or of a sip URI with `user=phone`
    /// (RFC 3261 §19.1.6). `None` if it is none.
    pub fn telephone(&self) -> Option<Result<Telephone, ParseError>> {
        match self.scheme() {
            Scheme::Tel => Some(Telephone::parse(self.as_str().get(4..).unwrap_or(""))),
            Scheme::Sip | Scheme::Sips => {
                let phone = self.param("user").is_some_and(|user| user.eq_ignore_ascii_case("phone"));
                let user = self.user().filter(|_| phone)?;
                // Parameters may stand in the user part plain or escaped.
                let text = if user.contains(';') { own_escapes(user) } else { uri::unescape(user) };
                Some(Telephone::parse(&text))
            }
            Scheme::Other => None,
        }
    }
}

/// What a user part has to escape and a telephone number has plain; its other escapes are its own.
fn own_escapes(user: &str) -> Cow<'_, str> {
    if !user.contains('%') {
        return Cow::Borrowed(user);
    }
    let plain = [("%23", "#"), ("%5B", "["), ("%5D", "]"), ("%3A", ":")];
    let text = plain.iter().fold(user.to_owned(), |text, (escape, plain)| {
        text.replace(escape, plain).replace(&escape.to_ascii_lowercase(), plain)
    });
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telephone(text: &str) -> Telephone {
        Telephone::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// The examples of RFC 3966 §6 and others.
    #[test]
    fn parts() {
        let global = telephone("+1-201-555-0123");
        assert!(global.is_global() && global.digits() == "+12015550123" && global.is_complete());
        assert_eq!(global.to_string(), "+1-201-555-0123");
        let local = telephone("863-1234;phone-context=+1-914-555");
        assert_eq!(
            (local.digits(), local.context(), local.is_global()),
            ("8631234", Some("+1-914-555"), false)
        );
        let full = telephone("*69#;ISUB=a%3Bb;ext=(42);phone-context=example.com;x-new");
        assert_eq!(
            (full.subaddress(), full.extension(), full.param("X-New")),
            (Some("a;b"), Some("(42)"), Some(""))
        );
        assert_eq!(full.to_string(), "*69#;isub=a%3Bb;ext=(42);phone-context=example.com;x-new");
        assert_eq!(telephone(&full.to_string()), full);
        assert!(!telephone("112").is_complete());
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "+",
            "-",
            "+1a",
            "1x",
            "+1 2",
            "1;",
            "1;=x",
            "1;ext=",
            "1;ext=a",
            "1;ext=1;EXT=2",
            "1;phone-context=",
            "1;phone-context=..",
            "1;isub",
            "1;a b",
            "+1;phone-context=+",
        ] {
            assert!(Telephone::parse(text).is_err(), "{text}");
        }
    }

    /// RFC 3966 §4.
    #[test]
    fn equivalence() {
        for (a, b) in [
            ("+1-201-555-0123", "+1(201)5550123"),
            ("863-1234;phone-context=+1-914-555", "8631234;phone-context=+1914555"),
            ("7042;phone-context=Example.COM;ext=4-2", "7042;ext=42;Phone-Context=example.com"),
            ("AbC;phone-context=x", "aBc;phone-context=x"),
        ] {
            assert!(
                telephone(a).equivalent(&telephone(b)) && telephone(b).equivalent(&telephone(a)),
                "{a} {b}"
            );
        }
        for (a, b) in [
            ("+12015550123", "12015550123"),
            ("7042;phone-context=a.com", "7042;phone-context=b.com"),
            ("7042;phone-context=a.com", "7042"),
            ("+1;x=1", "+1;x=2"),
            ("+1;x", "+1;y"),
        ] {
            assert!(
                !telephone(a).equivalent(&telephone(b)) && !telephone(b).equivalent(&telephone(a)),
                "{a} {b}"
            );
        }
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(uri("tel:+1-201-555-0123").equivalent(&uri("TEL:+12015550123")));
        assert!(!uri("tel:+1-201-555-0123").equivalent(&uri("tel:+12015550124")));
    }

    /// RFC 3261 §19.1.6.
    #[test]
    fn in_sip_uris() {
        let number = telephone("+358-555-1234567;postd=pp22");
        let uri = number.to_sip_uri(&"foo.com".parse().unwrap()).unwrap();
        assert_eq!(uri.as_str(), "sip:+358-555-1234567;postd=pp22@foo.com;user=phone");
        assert_eq!(uri.telephone(), Some(Ok(number.clone())));
        assert_eq!(number.to_uri().unwrap().telephone(), Some(Ok(number)));
        let plain: Uri = "sip:1234@foo.com".parse().unwrap();
        assert!(plain.telephone().is_none());
        let escaped: Uri = "sip:%2B358%3Bext=5@foo.com;user=phone".parse().unwrap();
        assert_eq!(escaped.telephone().unwrap().unwrap().extension(), Some("5"));
    }
}
