//! Names of headers, their compact forms (RFC 3261 §7.3.3) and a quick look-up.

use std::fmt;

/// The name of a header. Names compare without case, and compact forms equal long ones.
#[derive(Debug, Clone, Copy)]
pub struct HeaderName<'a> {
    id: u8,
    text: &'a str,
}

/// The id of names that this crate does not know.
pub(crate) const UNKNOWN: u8 = u8::MAX;

macro_rules! names {
    ($($konst:ident $text:literal $compact:literal;)*) => {
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "the variants number the constants")]
        #[repr(u8)]
        enum Id { $($konst),* }

        impl HeaderName<'static> {
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $konst: Self = Self { id: Id::$konst as u8, text: $text };
            )*
        }

        /// Long name and compact form by id.
        const NAMES: &[(&str, &str)] = &[$(($text, $compact)),*];
    };
}

names! {
    VIA "Via" "v";
    FROM "From" "f";
    TO "To" "t";
    CALL_ID "Call-ID" "i";
    CSEQ "CSeq" "";
    MAX_FORWARDS "Max-Forwards" "";
    CONTACT "Contact" "m";
    CONTENT_LENGTH "Content-Length" "l";
    CONTENT_TYPE "Content-Type" "c";
    ROUTE "Route" "";
    RECORD_ROUTE "Record-Route" "";
    ACCEPT "Accept" "";
    ACCEPT_CONTACT "Accept-Contact" "a";
    ACCEPT_ENCODING "Accept-Encoding" "";
    ACCEPT_LANGUAGE "Accept-Language" "";
    ACCEPT_RESOURCE_PRIORITY "Accept-Resource-Priority" "";
    ALERT_INFO "Alert-Info" "";
    ALLOW "Allow" "";
    ALLOW_EVENTS "Allow-Events" "u";
    AUTHENTICATION_INFO "Authentication-Info" "";
    AUTHORIZATION "Authorization" "";
    CALL_INFO "Call-Info" "";
    CONTENT_DISPOSITION "Content-Disposition" "";
    CONTENT_ENCODING "Content-Encoding" "e";
    CONTENT_ID "Content-ID" "";
    CONTENT_LANGUAGE "Content-Language" "";
    CONTENT_TRANSFER_ENCODING "Content-Transfer-Encoding" "";
    DATE "Date" "";
    ERROR_INFO "Error-Info" "";
    EVENT "Event" "o";
    EXPIRES "Expires" "";
    FLOW_TIMER "Flow-Timer" "";
    HISTORY_INFO "History-Info" "";
    IDENTITY "Identity" "y";
    INFO_PACKAGE "Info-Package" "";
    IN_REPLY_TO "In-Reply-To" "";
    JOIN "Join" "";
    MAX_BREADTH "Max-Breadth" "";
    MIME_VERSION "MIME-Version" "";
    MIN_EXPIRES "Min-Expires" "";
    MIN_SE "Min-SE" "";
    ORGANIZATION "Organization" "";
    PATH "Path" "";
    PRIORITY "Priority" "";
    PRIVACY "Privacy" "";
    PROXY_AUTHENTICATE "Proxy-Authenticate" "";
    PROXY_AUTHORIZATION "Proxy-Authorization" "";
    PROXY_REQUIRE "Proxy-Require" "";
    P_ASSERTED_IDENTITY "P-Asserted-Identity" "";
    P_ASSOCIATED_URI "P-Associated-URI" "";
    P_PREFERRED_IDENTITY "P-Preferred-Identity" "";
    RACK "RAck" "";
    REASON "Reason" "";
    RECV_INFO "Recv-Info" "";
    REFERRED_BY "Referred-By" "b";
    REFER_SUB "Refer-Sub" "";
    REFER_TO "Refer-To" "r";
    REJECT_CONTACT "Reject-Contact" "j";
    REPLACES "Replaces" "";
    REPLY_TO "Reply-To" "";
    REQUEST_DISPOSITION "Request-Disposition" "d";
    REQUIRE "Require" "";
    RESOURCE_PRIORITY "Resource-Priority" "";
    RETRY_AFTER "Retry-After" "";
    RSEQ "RSeq" "";
    SERVER "Server" "";
    SERVICE_ROUTE "Service-Route" "";
    SESSION_EXPIRES "Session-Expires" "x";
    SIP_ETAG "SIP-ETag" "";
    SIP_IF_MATCH "SIP-If-Match" "";
    SUBJECT "Subject" "s";
    SUBSCRIPTION_STATE "Subscription-State" "";
    SUPPORTED "Supported" "k";
    TARGET_DIALOG "Target-Dialog" "";
    TIMESTAMP "Timestamp" "";
    UNSUPPORTED "Unsupported" "";
    USER_AGENT "User-Agent" "";
    WARNING "Warning" "";
    WWW_AUTHENTICATE "WWW-Authenticate" "";
}

impl<'a> HeaderName<'a> {
    /// The name in this text, in any case or compact.
    pub fn new(text: &'a str) -> Self {
        Self { id: lookup(text.as_bytes()), text }
    }

    /// A name this crate does not know, for typed headers of other crates.
    pub const fn custom(text: &'a str) -> Self {
        Self { id: UNKNOWN, text }
    }

    /// The name as it is written on the wire.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    pub(crate) const fn id(&self) -> u8 {
        self.id
    }
}

impl<'a> From<&'a str> for HeaderName<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(text)
    }
}

impl<'a> From<&'a String> for HeaderName<'a> {
    fn from(text: &'a String) -> Self {
        Self::new(text)
    }
}

impl PartialEq for HeaderName<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && (self.id != UNKNOWN || self.text.eq_ignore_ascii_case(other.text))
    }
}

impl Eq for HeaderName<'_> {}

impl fmt::Display for HeaderName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// The name that a line starts with, if it is one of those that nearly every message has, written as
/// nearly everyone does: its id and length. Eight bytes are compared at once.
#[inline]
pub(crate) fn usual(line: &[u8]) -> Option<(u8, u16)> {
    const fn word(text: [u8; 8]) -> u64 {
        u64::from_le_bytes(text)
    }
    const CONTACT: u64 = word(*b"Contact:");
    const CALL_ID: u64 = word(*b"Call-ID:");
    const CONTENT: u64 = word(*b"Content-");
    const MAX_FORW: u64 = word(*b"Max-Forw");
    const SUPPORTE: u64 = word(*b"Supporte");
    const USER_AGE: u64 = word(*b"User-Age");
    let (start, rest) = line.split_first_chunk::<8>()?;
    let (id, len) = match word(*start) {
        CONTACT => (Id::CONTACT, 7),
        CALL_ID => (Id::CALL_ID, 7),
        CONTENT if rest.starts_with(b"Length:") => (Id::CONTENT_LENGTH, 14),
        CONTENT if rest.starts_with(b"Type:") => (Id::CONTENT_TYPE, 12),
        MAX_FORW if rest.starts_with(b"ards:") => (Id::MAX_FORWARDS, 12),
        SUPPORTE if rest.starts_with(b"d:") => (Id::SUPPORTED, 9),
        USER_AGE if rest.starts_with(b"nt:") => (Id::USER_AGENT, 10),
        _ => match start {
            [b'V', b'i', b'a', b':', ..] => (Id::VIA, 3),
            [b'T', b'o', b':', ..] => (Id::TO, 2),
            [b'F', b'r', b'o', b'm', b':', ..] => (Id::FROM, 4),
            [b'C', b'S', b'e', b'q', b':', ..] => (Id::CSEQ, 4),
            [b'A', b'l', b'l', b'o', b'w', b':', ..] => (Id::ALLOW, 5),
            _ => return None,
        },
    };
    Some((id as u8, len))
}

/// The id of a name: by length and first letter, then one comparison.
pub(crate) fn lookup(name: &[u8]) -> u8 {
    use Id::*;
    let Some(first) = name.first().map(u8::to_ascii_lowercase) else { return UNKNOWN };
    let id = match (name.len(), first) {
        (1, b'v') => VIA,
        (1, b'f') => FROM,
        (1, b't') => TO,
        (1, b'i') => CALL_ID,
        (1, b'm') => CONTACT,
        (1, b'l') => CONTENT_LENGTH,
        (1, b'c') => CONTENT_TYPE,
        (1, b'a') => ACCEPT_CONTACT,
        (1, b'u') => ALLOW_EVENTS,
        (1, b'e') => CONTENT_ENCODING,
        (1, b'o') => EVENT,
        (1, b'y') => IDENTITY,
        (1, b'b') => REFERRED_BY,
        (1, b'r') => REFER_TO,
        (1, b'j') => REJECT_CONTACT,
        (1, b'd') => REQUEST_DISPOSITION,
        (1, b'x') => SESSION_EXPIRES,
        (1, b's') => SUBJECT,
        (1, b'k') => SUPPORTED,
        (1, _) => return UNKNOWN,
        (2, b't') => return one(name, TO),
        (3, b'v') => return one(name, VIA),
        (4, b'f') => return one(name, FROM),
        (4, b'c') => return one(name, CSEQ),
        (4, b'd') => return one(name, DATE),
        (4, b'j') => return one(name, JOIN),
        (4, b'p') => return one(name, PATH),
        (4, b'r') => return either(name, RACK, RSEQ),
        (5, b'r') => return one(name, ROUTE),
        (5, b'a') => return one(name, ALLOW),
        (5, b'e') => return one(name, EVENT),
        (6, b'a') => return one(name, ACCEPT),
        (6, b'm') => return one(name, MIN_SE),
        (6, b'r') => return one(name, REASON),
        (6, b's') => return one(name, SERVER),
        (7, b'c') => return either(name, CALL_ID, CONTACT),
        (7, b'e') => return one(name, EXPIRES),
        (7, b'p') => return one(name, PRIVACY),
        (7, b'r') => return one(name, REQUIRE),
        (7, b's') => return one(name, SUBJECT),
        (7, b'w') => return one(name, WARNING),
        (8, b'i') => return one(name, IDENTITY),
        (8, b'p') => return one(name, PRIORITY),
        (8, b'r') => match name.get(3).map(u8::to_ascii_lowercase) {
            Some(b'e') => return one(name, REFER_TO),
            Some(b'l') => return either(name, REPLACES, REPLY_TO),
            _ => return UNKNOWN,
        },
        (8, b's') => return one(name, SIP_ETAG),
        (9, b'c') => return one(name, CALL_INFO),
        (9, b'r') => return either(name, REFER_SUB, RECV_INFO),
        (9, b's') => return one(name, SUPPORTED),
        (9, b't') => return one(name, TIMESTAMP),
        (10, b'a') => return one(name, ALERT_INFO),
        (10, b'c') => return one(name, CONTENT_ID),
        (10, b'f') => return one(name, FLOW_TIMER),
        (10, b'e') => return one(name, ERROR_INFO),
        (10, b'u') => return one(name, USER_AGENT),
        (11, b'i') => return one(name, IN_REPLY_TO),
        (11, b'm') => return either(name, MIN_EXPIRES, MAX_BREADTH),
        (11, b'r') => return either(name, REFERRED_BY, RETRY_AFTER),
        (11, b'u') => return one(name, UNSUPPORTED),
        (12, b'a') => return one(name, ALLOW_EVENTS),
        (12, b'c') => return one(name, CONTENT_TYPE),
        (12, b'h') => return one(name, HISTORY_INFO),
        (12, b'i') => return one(name, INFO_PACKAGE),
        (12, b'm') => return either(name, MAX_FORWARDS, MIME_VERSION),
        (12, b'o') => return one(name, ORGANIZATION),
        (12, b'r') => return one(name, RECORD_ROUTE),
        (12, b's') => return one(name, SIP_IF_MATCH),
        (13, b'a') => return one(name, AUTHORIZATION),
        (13, b'p') => return one(name, PROXY_REQUIRE),
        (13, b's') => return one(name, SERVICE_ROUTE),
        (13, b't') => return one(name, TARGET_DIALOG),
        (14, b'a') => return one(name, ACCEPT_CONTACT),
        (14, b'c') => return one(name, CONTENT_LENGTH),
        (14, b'r') => return one(name, REJECT_CONTACT),
        (15, b'a') => return either(name, ACCEPT_ENCODING, ACCEPT_LANGUAGE),
        (15, b's') => return one(name, SESSION_EXPIRES),
        (16, b'c') => return either(name, CONTENT_ENCODING, CONTENT_LANGUAGE),
        (16, b'p') => return one(name, P_ASSOCIATED_URI),
        (16, b'w') => return one(name, WWW_AUTHENTICATE),
        (17, b'r') => return one(name, RESOURCE_PRIORITY),
        (18, b'p') => return one(name, PROXY_AUTHENTICATE),
        (18, b's') => return one(name, SUBSCRIPTION_STATE),
        (19, b'a') => return one(name, AUTHENTICATION_INFO),
        (19, b'c') => return one(name, CONTENT_DISPOSITION),
        (19, b'p') => return either(name, PROXY_AUTHORIZATION, P_ASSERTED_IDENTITY),
        (19, b'r') => return one(name, REQUEST_DISPOSITION),
        (20, b'p') => return one(name, P_PREFERRED_IDENTITY),
        (24, b'a') => return one(name, ACCEPT_RESOURCE_PRIORITY),
        (25, b'c') => return one(name, CONTENT_TRANSFER_ENCODING),
        _ => return UNKNOWN,
    };
    // A compact name is one letter, and that is all there is to compare.
    id as u8
}

/// The compact form of a name, if it has one.
pub(crate) fn compact(id: u8) -> Option<&'static str> {
    NAMES.get(usize::from(id)).map(|(_, compact)| *compact).filter(|compact| !compact.is_empty())
}

/// A name as two words, so that names of up to 16 bytes are compared at once: its first and last
/// eight, four or two bytes, which overlap.
#[inline(always)]
const fn words(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
    } else if let (Some(first), Some(last)) = (name.first_chunk::<2>(), name.last_chunk::<2>()) {
        (u16::from_le_bytes(*first) as u64, u16::from_le_bytes(*last) as u64)
    } else {
        (0, 0)
    }
}

/// The words of [`NAMES`].
const WORDS: [(u64, u64); NAMES.len()] = {
    let mut table = [(0, 0); NAMES.len()];
    let (mut rest, mut names) = (table.as_mut_slice(), NAMES);
    while let (Some((place, after)), Some(((long, _), more))) = (rest.split_first_mut(), names.split_first())
    {
        *place = words(long.as_bytes());
        (rest, names) = (after, more);
    }
    table
};

/// Whether it is that name, whose length is known to be the same.
#[inline(always)]
fn is(name: &[u8], id: Id) -> bool {
    // Mostly the case is right and the name is short: two words tell.
    if name.len() <= 16 && WORDS.get(usize::from(id as u8)) == Some(&words(name)) {
        return true;
    }
    odd_case(name, id)
}

#[inline(never)]
fn odd_case(name: &[u8], id: Id) -> bool {
    NAMES.get(usize::from(id as u8)).is_some_and(|(long, _)| name.eq_ignore_ascii_case(long.as_bytes()))
}

#[inline(always)]
fn one(name: &[u8], id: Id) -> u8 {
    if is(name, id) { id as u8 } else { UNKNOWN }
}

#[inline(always)]
fn either(name: &[u8], a: Id, b: Id) -> u8 {
    let first = |id: Id| WORDS.get(usize::from(id as u8)).is_some_and(|(first, _)| *first == words(name).0);
    // Whichever the case does not rule out is asked first: the other comparison is slow if it fails.
    let (a, b) = if first(b) { (b, a) } else { (a, b) };
    if is(name, a) {
        a as u8
    } else if is(name, b) {
        b as u8
    } else {
        UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_long_compact_and_in_any_case() {
        for (at, (long, compact)) in NAMES.iter().enumerate() {
            let id = u8::try_from(at).unwrap();
            assert_eq!(lookup(long.as_bytes()), id, "{long}");
            assert_eq!(lookup(long.to_uppercase().as_bytes()), id, "{long}");
            if !compact.is_empty() {
                assert_eq!(lookup(compact.to_uppercase().as_bytes()), id, "{compact}");
            }
        }
        for unknown in ["", "z", "X-Via", "Vib", "Call-IE", "Call\rID", "NewFangledHeader"] {
            assert_eq!(lookup(unknown.as_bytes()), UNKNOWN, "{unknown}");
        }
        for (long, _) in NAMES {
            let line = format!("{long}: x");
            if let Some((id, len)) = usual(line.as_bytes()) {
                assert_eq!((id, usize::from(len)), (lookup(long.as_bytes()), long.len()), "{long}");
            }
            assert_eq!(usual(long.as_bytes()), None, "a line has a colon");
        }
        assert_eq!(HeaderName::new("m"), HeaderName::CONTACT);
        assert_eq!(HeaderName::new("x-a"), HeaderName::custom("X-A"));
    }
}
