//! Contact and what extensions put into it: outbound (RFC 5626), GRUU (RFC 5627), capabilities (RFC 3840).

use super::{Form, HeaderName, TypedHeader};
use crate::{NameAddr, ParseError, Uri, UsageError};
use std::{borrow::Cow, fmt};

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

impl Contact {
    /// The preference among contacts, in thousandths: 1000 where nothing is said, or nothing legal
    /// (RFC 3261 §20.10).
    pub fn q(&self) -> u16 {
        self.addr().and_then(|addr| thousandths(addr.params.get("q")?)).unwrap_or(1000)
    }

    /// The instance of the user agent: the URN in `+sip.instance`, without its brackets
    /// (RFC 5626 §4.1).
    pub fn instance(&self) -> Option<Cow<'_, str>> {
        bracketed(self.addr()?.params.find("+sip.instance")?.unquoted()?)
    }

    /// Which flow of the instance this is (RFC 5626 §4.2); from 1 on.
    pub fn reg_id(&self) -> Option<u32> {
        self.addr()?.params.get("reg-id")?.parse().ok().filter(|id| *id > 0)
    }

    /// The public GRUU that a registrar gave to the contact (RFC 5627 §4.1).
    pub fn pub_gruu(&self) -> Option<Uri> {
        self.gruu("pub-gruu")
    }

    /// The temporary GRUU that a registrar gave to the contact (RFC 5627 §4.1).
    pub fn temp_gruu(&self) -> Option<Uri> {
        self.gruu("temp-gruu")
    }

    fn gruu(&self, name: &str) -> Option<Uri> {
        self.addr()?.params.find(name)?.unquoted()?.parse().ok()
    }
}

impl NameAddr {
    /// This contact with the `+sip.instance` of its user agent, a URN (RFC 5626 §4.1), and the number
    /// of its flow, if it registers several.
    pub fn with_instance(mut self, urn: &str, reg_id: Option<u32>) -> Result<Self, UsageError> {
        self.params.set_quoted("+sip.instance", &format!("<{urn}>"))?;
        match reg_id {
            Some(id) => self.with_param("reg-id", &id.to_string()),
            None => Ok(self),
        }
    }
}

/// `0.5` is 500; at most three digits behind the point, at most 1 (RFC 3261 §25.1 `qvalue`).
pub(crate) fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part: u16 = if part.is_empty() { 0 } else { format!("{part:0<3}").parse().ok()? };
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

/// What stands between `<` and `>`; all of it where there are none.
fn bracketed(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let inner = |text: &str| text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).map(str::len);
    Some(match (inner(&text), text) {
        (Some(len), Cow::Borrowed(text)) => Cow::Borrowed(text.get(1..len + 1)?),
        (Some(len), Cow::Owned(text)) => Cow::Owned(text.get(1..len + 1)?.to_owned()),
        (None, text) => text,
    })
}

impl TypedHeader for Contact {
    const NAME: HeaderName<'static> = HeaderName::CONTACT;
    const FORM: Form = Form::Values;

    fn parse(text: &str) -> Result<Self, ParseError> {
        if text.trim() == "*" { Ok(Self::Star) } else { text.parse().map(Self::Addr) }
    }

    fn check(text: &str) -> Result<(), ParseError> {
        if text.trim() == "*" { Ok(()) } else { NameAddr::check(text) }
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

impl From<NameAddr> for Contact {
    fn from(addr: NameAddr) -> Self {
        Self::Addr(addr)
    }
}

impl From<Uri> for Contact {
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
        assert_eq!((contact.q(), Contact::parse("<sip:a@b>").map(|c| c.q())), (330, Ok(1000)));
        for (text, q) in
            [("0", 0), ("0.7", 700), ("1.000", 1000), ("1.1", 1000), ("x", 1000), ("0.0001", 1000)]
        {
            assert_eq!(Contact::parse(&format!("<sip:a@b>;q={text}")).map(|c| c.q()), Ok(q), "{text}");
        }
    }

    /// The examples of RFC 5626 §9.2 and RFC 5627 §9.
    #[test]
    fn outbound_and_gruu() {
        let urn = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        let made =
            NameAddr::new("sip:callee@192.0.2.1".parse().unwrap()).with_instance(urn, Some(1)).unwrap();
        assert_eq!(made.to_string(), format!("<sip:callee@192.0.2.1>;+sip.instance=\"<{urn}>\";reg-id=1"));
        let contact = Contact::parse(&made.to_string()).unwrap();
        assert_eq!((contact.instance().as_deref(), contact.reg_id()), (Some(urn), Some(1)));
        let answer = Contact::parse(
            "<sip:callee@192.0.2.1>;pub-gruu=\"sip:callee@example.com;gr=urn:uuid:f81d4fae\"\
             ;temp-gruu=\"sip:tgruu.7hs==jd7vnzga5w7fajsc7-ajd6fabz0f8g5@example.com;gr\";expires=3600;reg-id=0",
        )
        .unwrap();
        assert_eq!(answer.pub_gruu().as_ref().and_then(Uri::gr), Some("urn:uuid:f81d4fae"));
        let temporary = answer.temp_gruu().unwrap();
        assert_eq!((temporary.gr(), temporary.is_gruu()), (Some(""), true));
        assert_eq!((answer.reg_id(), answer.instance()), (None, None));
    }
}
