//! A checked view of a received message.

use super::attribute::{Attribute, Kind};
use super::integrity::{self, Integrity, Key};
use super::{HEADER, MAGIC_COOKIE};
use crate::error::{ErrorKind, ParseError};

/// 96 random bits that tie a response to its request.
pub type TransactionId = [u8; 12];

/// What a message is for (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks for a response.
    Request,
    /// Does not.
    Indication,
    /// What was asked for.
    Success,
    /// Why not.
    Error,
}

/// What it asks for: 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// Binding (RFC 8489).
    pub const BINDING: Self = Self(0x001);
    /// Allocate (RFC 8656).
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh (RFC 8656).
    pub const REFRESH: Self = Self(0x004);
    /// Send (RFC 8656).
    pub const SEND: Self = Self(0x006);
    /// Data (RFC 8656).
    pub const DATA: Self = Self(0x007);
    /// CreatePermission (RFC 8656).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind (RFC 8656).
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect (RFC 6062).
    pub const CONNECT: Self = Self(0x00a);
    /// ConnectionBind (RFC 6062).
    pub const CONNECTION_BIND: Self = Self(0x00b);
    /// ConnectionAttempt (RFC 6062).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00c);

    /// The method of this number; `None` above 12 bits.
    pub const fn new(number: u16) -> Option<Self> {
        if number < 0x1000 { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its name, for those that have a constant here.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::BINDING => "Binding",
            Self::ALLOCATE => "Allocate",
            Self::REFRESH => "Refresh",
            Self::SEND => "Send",
            Self::DATA => "Data",
            Self::CREATE_PERMISSION => "CreatePermission",
            Self::CHANNEL_BIND => "ChannelBind",
            Self::CONNECT => "Connect",
            Self::CONNECTION_BIND => "ConnectionBind",
            Self::CONNECTION_ATTEMPT => "ConnectionAttempt",
            _ => return None,
        })
    }
}

/// The two bits of the class lie among the twelve of the method (RFC 8489 §5, figure 3).
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    let Method(number) = method;
    class | (number & 0x000f) | ((number & 0x0070) << 1) | ((number & 0x0f80) << 2)
}

const fn split_type(kind: u16) -> (Class, Method) {
    let class = match kind & 0x0110 {
        0 => Class::Request,
        0x0010 => Class::Indication,
        0x0100 => Class::Success,
        _ => Class::Error,
    };
    (class, Method((kind & 0x000f) | ((kind >> 1) & 0x0070) | ((kind >> 2) & 0x0f80)))
}

/// A message whose framing was checked: header, lengths and padding. Values are typed when asked
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    transaction_id: TransactionId,
    /// Where the first of each stands among the attributes that count; 0 for none.
    sha1: u32,
    sha256: u32,
    fingerprint: u32,
}

/// One attribute as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its value, without padding.
    pub value: &'a [u8],
    /// Where it begins in the message.
    pub at: usize,
}

impl<'a> RawAttribute<'a> {
    /// Its value, typed; `message` is where it stands. What kind it is, is not looked at.
    pub fn read<T: Attribute<'a>>(&self, message: &Message<'_>) -> Result<T, ParseError> {
        T::read(self.value, &message.transaction_id)
            .map_err(|error| ParseError { at: error.at.saturating_add(self.at + 4), ..error })
    }
}

impl<'a> Message<'a> {
    /// Checks the framing of a message that fills `bytes`.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let Some((header, attributes)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(ParseError::new(bytes.len(), ErrorKind::Truncated, "a header of 20 bytes"));
        };
        let [t0, t1, l0, l1, c0, c1, c2, c3, transaction_id @ ..] = *header;
        let kind = u16::from_be_bytes([t0, t1]);
        if kind & 0xc000 != 0 {
            return Err(ParseError::new(0, ErrorKind::NotStun, "two zero bits"));
        }
        if u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE {
            return Err(ParseError::new(4, ErrorKind::NotStun, "the magic cookie"));
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if !length.is_multiple_of(4) || length != attributes.len() {
            return Err(ParseError::new(2, ErrorKind::Length, "the length of the attributes that follow"));
        }
        let (class, method) = split_type(kind);
        let mut message = Self { bytes, class, method, transaction_id, sha1: 0, sha256: 0, fingerprint: 0 };
        // Offsets are below 20 + 65,536 + 4.
        let mut at: u32 = 20;
        let mut rest = attributes;
        while !rest.is_empty() {
            let Some(([k0, k1, l0, l1], value)) = rest.split_first_chunk::<4>() else {
                return Err(fault(at, 0, ErrorKind::Truncated, "type and length of an attribute"));
            };
            let length = u32::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
            let Some(after) = value.get(length as usize..) else {
                return Err(fault(at, 2, ErrorKind::Length, "a length within the message"));
            };
            match Kind(u16::from_be_bytes([*k0, *k1])) {
                // What follows an integrity that is not counted is not counted either (RFC 8489 §14.5, §14.6).
                Kind::MESSAGE_INTEGRITY if message.sha1 == 0 && message.sha256 == 0 => message.sha1 = at,
                Kind::MESSAGE_INTEGRITY_SHA256 if message.sha256 == 0 => message.sha256 = at,
                Kind::FINGERPRINT if message.fingerprint == 0 => message.fingerprint = at,
                _ => {}
            }
            at += 4 + length;
            rest = after;
        }
        Ok(message)
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        self.transaction_id
    }

    /// The whole message.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes that count, in order. What follows MESSAGE-INTEGRITY does not, but for the
    /// other integrity and FINGERPRINT (RFC 8489 §14.5).
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { honours_integrity: true, ..self.all_attributes() }
    }

    /// The first attribute of that type. `Some(Err(_))`: it is there, but malformed.
    pub fn get<T: Attribute<'a>>(&self) -> Option<Result<T, ParseError>> {
        self.first(T::KIND).map(|raw| raw.read(self))
    }

    /// Types that must be understood and are not among `known` (RFC 8489 §6.3): a request with
    /// such is answered with 420.
    pub fn unknown_required<'k>(&self, known: &'k [Kind]) -> impl Iterator<Item = Kind> + use<'a, 'k> {
        self.attributes()
            .map(|raw| raw.kind)
            .filter(move |kind| kind.is_comprehension_required() && !known.contains(kind))
    }

    /// Which integrity attribute it has; the first where there are both.
    pub fn integrity(&self) -> Option<Integrity> {
        match (self.sha1, self.sha256) {
            (0, 0) => None,
            (0, _) => Some(Integrity::Sha256),
            _ => Some(Integrity::Sha1),
        }
    }

    /// Whether it has an integrity attribute of that hash.
    pub fn has_integrity(&self, hash: Integrity) -> bool {
        match hash {
            Integrity::Sha1 => self.sha1 != 0,
            Integrity::Sha256 => self.sha256 != 0,
        }
    }

    /// Whether it has an integrity attribute and `key` made it. Where there are both, the one with
    /// SHA-256 decides (RFC 8489 §9.1.3).
    #[inline]
    pub fn verify(&self, key: &Key) -> bool {
        if let Some((at, value)) = self.value_at(self.sha256) {
            return integrity::check_sha256(self.bytes, at, value, key);
        }
        self.value_at(self.sha1).is_some_and(|(at, value)| integrity::check_sha1(self.bytes, at, value, key))
    }

    /// Whether it has a FINGERPRINT, as its last attribute, and the right one (RFC 8489 §14.7).
    pub fn has_valid_fingerprint(&self) -> bool {
        self.fingerprint() == Some(true)
    }

    /// `None` without a FINGERPRINT; else whether it is right and the last attribute.
    #[inline]
    pub fn fingerprint(&self) -> Option<bool> {
        let (at, value) = self.value_at(self.fingerprint)?;
        let is_last = at + 8 == self.bytes.len();
        Some(is_last && integrity::check_fingerprint(self.bytes, at, value))
    }

    /// The first attribute of that type that counts: it stands before the first integrity attribute, or is
    /// one of those that may follow.
    #[inline]
    pub fn first(&self, kind: Kind) -> Option<RawAttribute<'a>> {
        let noted = match kind {
            Kind::MESSAGE_INTEGRITY => Some(self.sha1),
            Kind::MESSAGE_INTEGRITY_SHA256 => Some(self.sha256),
            Kind::FINGERPRINT => Some(self.fingerprint),
            _ => None,
        };
        if let Some(at) = noted {
            return self.value_at(at).map(|(at, value)| RawAttribute { kind, value, at });
        }
        let end = match (self.sha1, self.sha256) {
            (0, 0) => self.bytes.len(),
            (0, at) | (at, 0) => at as usize,
            (one, two) => one.min(two) as usize,
        };
        let mut at = HEADER;
        let mut rest = self.bytes.get(HEADER..end)?;
        while let Some(([k0, k1, l0, l1], value)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            if Kind(u16::from_be_bytes([*k0, *k1])) == kind {
                return Some(RawAttribute { kind, value: value.get(..length)?, at });
            }
            let whole = length.next_multiple_of(4);
            rest = value.get(whole..)?;
            at += 4 + whole;
        }
        None
    }

    /// The value of the attribute at an offset that `parse` noted.
    #[inline]
    fn value_at(&self, at: u32) -> Option<(usize, &'a [u8])> {
        if at == 0 {
            return None;
        }
        let at = at as usize;
        let ([_, _, l0, l1], rest) = self.bytes.get(at..)?.split_first_chunk::<4>()?;
        Some((at, rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?))
    }

    /// Every attribute as it stands, also what does not count.
    pub fn all_attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.bytes, at: HEADER, honours_integrity: false, seen: None }
    }
}

fn fault(at: u32, more: usize, kind: ErrorKind, what: &'static str) -> ParseError {
    ParseError::new(at as usize + more, kind, what)
}

/// The attributes of a message, in order.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
    honours_integrity: bool,
    seen: Option<Kind>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawAttribute<'a>> {
        loop {
            // Message::parse has checked the lengths.
            let ([k0, k1, l0, l1], rest) = self.bytes.get(self.at..)?.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let at = self.at;
            self.at = at + 4 + length.next_multiple_of(4);
            let kind = Kind(u16::from_be_bytes([*k0, *k1]));
            let after = match self.seen {
                Some(Kind::MESSAGE_INTEGRITY) => {
                    matches!(kind, Kind::MESSAGE_INTEGRITY_SHA256 | Kind::FINGERPRINT)
                }
                Some(Kind::MESSAGE_INTEGRITY_SHA256) => kind == Kind::FINGERPRINT,
                _ => true,
            };
            if self.honours_integrity && !after {
                continue;
            }
            if matches!(kind, Kind::MESSAGE_INTEGRITY | Kind::MESSAGE_INTEGRITY_SHA256) {
                self.seen = Some(kind);
            }
            return Some(RawAttribute { kind, value: rest.get(..length).unwrap_or_default(), at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_method_share_their_bits_as_in_figure_3() {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            for number in 0..0x1000 {
                let method = Method(number);
                assert_eq!(split_type(message_type(class, method)), (class, method));
            }
        }
        assert_eq!(message_type(Class::Success, Method::BINDING), 0x0101);
        assert_eq!(message_type(Class::Error, Method::ALLOCATE), 0x0113);
        assert_eq!(Method::new(0x1000), None);
    }

    #[test]
    fn what_is_no_stun_says_where() {
        let error = |bytes: &[u8]| Message::parse(bytes).expect_err("it is none");
        assert_eq!(error(&[0; 19]).kind, ErrorKind::Truncated);
        let mut bytes = [0; 20];
        assert_eq!((error(&bytes).at, error(&bytes).kind), (4, ErrorKind::NotStun));
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        assert!(Message::parse(&bytes).is_ok());
        bytes[3] = 4;
        assert_eq!((error(&bytes).at, error(&bytes).kind), (2, ErrorKind::Length));
        bytes[0] = 0x80;
        assert_eq!((error(&bytes).at, error(&bytes).kind), (0, ErrorKind::NotStun));
        let mut long = bytes.to_vec();
        long[0] = 0;
        long.extend_from_slice(&[0x80, 0x22, 0, 1]);
        assert_eq!((error(&long).at, error(&long).kind), (22, ErrorKind::Length), "no padding follows");
    }
}
