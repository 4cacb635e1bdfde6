//! Typed attributes: one small type each, read from and written to its value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::MAGIC_COOKIE;
use super::message::TransactionId;
use crate::error::{ErrorKind, ParseError, UsageError};

/// The type of an attribute (RFC 8489 §18.3 and the registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// MAPPED-ADDRESS
    pub const MAPPED_ADDRESS: Self = Self(0x0001);
    /// CHANGE-REQUEST (RFC 5780)
    pub const CHANGE_REQUEST: Self = Self(0x0003);
    /// USERNAME
    pub const USERNAME: Self = Self(0x0006);
    /// MESSAGE-INTEGRITY
    pub const MESSAGE_INTEGRITY: Self = Self(0x0008);
    /// ERROR-CODE
    pub const ERROR_CODE: Self = Self(0x0009);
    /// UNKNOWN-ATTRIBUTES
    pub const UNKNOWN_ATTRIBUTES: Self = Self(0x000a);
    /// CHANNEL-NUMBER (RFC 8656)
    pub const CHANNEL_NUMBER: Self = Self(0x000c);
    /// LIFETIME (RFC 8656)
    pub const LIFETIME: Self = Self(0x000d);
    /// XOR-PEER-ADDRESS (RFC 8656)
    pub const XOR_PEER_ADDRESS: Self = Self(0x0012);
    /// DATA (RFC 8656)
    pub const DATA: Self = Self(0x0013);
    /// REALM
    pub const REALM: Self = Self(0x0014);
    /// NONCE
    pub const NONCE: Self = Self(0x0015);
    /// XOR-RELAYED-ADDRESS (RFC 8656)
    pub const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656)
    pub const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    /// EVEN-PORT (RFC 8656)
    pub const EVEN_PORT: Self = Self(0x0018);
    /// REQUESTED-TRANSPORT (RFC 8656)
    pub const REQUESTED_TRANSPORT: Self = Self(0x0019);
    /// DONT-FRAGMENT (RFC 8656)
    pub const DONT_FRAGMENT: Self = Self(0x001a);
    /// MESSAGE-INTEGRITY-SHA256
    pub const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001c);
    /// PASSWORD-ALGORITHM
    pub const PASSWORD_ALGORITHM: Self = Self(0x001d);
    /// USERHASH
    pub const USERHASH: Self = Self(0x001e);
    /// XOR-MAPPED-ADDRESS
    pub const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    /// RESERVATION-TOKEN (RFC 8656)
    pub const RESERVATION_TOKEN: Self = Self(0x0022);
    /// PRIORITY (RFC 8445)
    pub const PRIORITY: Self = Self(0x0024);
    /// USE-CANDIDATE (RFC 8445)
    pub const USE_CANDIDATE: Self = Self(0x0025);
    /// PADDING (RFC 5780)
    pub const PADDING: Self = Self(0x0026);
    /// RESPONSE-PORT (RFC 5780)
    pub const RESPONSE_PORT: Self = Self(0x0027);
    /// CONNECTION-ID (RFC 6062)
    pub const CONNECTION_ID: Self = Self(0x002a);
    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656)
    pub const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    /// ADDRESS-ERROR-CODE (RFC 8656)
    pub const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    /// PASSWORD-ALGORITHMS
    pub const PASSWORD_ALGORITHMS: Self = Self(0x8002);
    /// ALTERNATE-DOMAIN
    pub const ALTERNATE_DOMAIN: Self = Self(0x8003);
    /// ICMP (RFC 8656)
    pub const ICMP: Self = Self(0x8004);
    /// SOFTWARE
    pub const SOFTWARE: Self = Self(0x8022);
    /// ALTERNATE-SERVER
    pub const ALTERNATE_SERVER: Self = Self(0x8023);
    /// CACHE-TIMEOUT (RFC 5780)
    pub const CACHE_TIMEOUT: Self = Self(0x8027);
    /// FINGERPRINT
    pub const FINGERPRINT: Self = Self(0x8028);
    /// ICE-CONTROLLED (RFC 8445)
    pub const ICE_CONTROLLED: Self = Self(0x8029);
    /// ICE-CONTROLLING (RFC 8445)
    pub const ICE_CONTROLLING: Self = Self(0x802a);
    /// RESPONSE-ORIGIN (RFC 5780)
    pub const RESPONSE_ORIGIN: Self = Self(0x802b);
    /// OTHER-ADDRESS (RFC 5780)
    pub const OTHER_ADDRESS: Self = Self(0x802c);

    /// Whether who does not know it must refuse the message (RFC 8489 §14).
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

/// A type of attribute.
pub trait Attribute<'a>: Sized {
    /// Its number.
    const KIND: Kind;
    /// Reads a value.
    fn read(value: &'a [u8], transaction_id: &TransactionId) -> Result<Self, ParseError>;
    /// Appends the value, without padding.
    fn write(&self, out: &mut Vec<u8>, transaction_id: &TransactionId) -> Result<(), UsageError>;
}

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident $kind:ident $xor:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub SocketAddr);

        impl Attribute<'_> for $name {
            const KIND: Kind = Kind::$kind;

            fn read(value: &[u8], transaction_id: &TransactionId) -> Result<Self, ParseError> {
                let address = read_address(value)?;
                Ok(Self(if $xor { xor(address, transaction_id) } else { address }))
            }

            fn write(&self, out: &mut Vec<u8>, transaction_id: &TransactionId) -> Result<(), UsageError> {
                write_address(out, if $xor { xor(self.0, transaction_id) } else { self.0 });
                Ok(())
            }
        }
    )*};
}

addresses! {
    /// Where a request came from, in the clear (RFC 8489 §14.1).
    MappedAddress MAPPED_ADDRESS false
    /// Where a request came from, hidden from meddling NATs (RFC 8489 §14.2).
    XorMappedAddress XOR_MAPPED_ADDRESS true
    /// The peer behind a relay (RFC 8656 §18.3).
    XorPeerAddress XOR_PEER_ADDRESS true
    /// Our address on the relay (RFC 8656 §18.5).
    XorRelayedAddress XOR_RELAYED_ADDRESS true
    /// Which server to ask in its stead (RFC 8489 §14.15).
    AlternateServer ALTERNATE_SERVER false
    /// Where a response comes from (RFC 5780 §7.3).
    ResponseOrigin RESPONSE_ORIGIN false
    /// The server's address with the other address and the other port (RFC 5780 §7.4).
    OtherAddress OTHER_ADDRESS false
}

fn read_address(value: &[u8]) -> Result<SocketAddr, ParseError> {
    let (port, ip): ([u8; 2], IpAddr) = match value {
        [_, 1, p0, p1, a, b, c, d] => ([*p0, *p1], Ipv4Addr::new(*a, *b, *c, *d).into()),
        [_, 2, p0, p1, rest @ ..] => {
            let octets = <[u8; 16]>::try_from(rest)
                .map_err(|_| ParseError::new(4, ErrorKind::Length, "16 bytes of an IPv6 address"))?;
            ([*p0, *p1], Ipv6Addr::from(octets).into())
        }
        [_, 1, ..] => return Err(ParseError::new(4, ErrorKind::Length, "4 bytes of an IPv4 address")),
        _ => return Err(ParseError::new(1, ErrorKind::Value, "the family of IPv4 or IPv6")),
    };
    Ok(SocketAddr::new(ip, u16::from_be_bytes(port)))
}

fn write_address(out: &mut Vec<u8>, address: SocketAddr) {
    out.extend_from_slice(&[0, if address.is_ipv4() { 1 } else { 2 }]);
    out.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}

/// RFC 8489 §14.2; its own inverse.
fn xor(address: SocketAddr, transaction_id: &TransactionId) -> SocketAddr {
    let [c0, c1, ..] = MAGIC_COOKIE.to_be_bytes();
    let port = address.port() ^ u16::from_be_bytes([c0, c1]);
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) ^ MAGIC_COOKIE)),
        IpAddr::V6(ip) => {
            let mut octets = ip.octets();
            let mask = MAGIC_COOKIE.to_be_bytes().into_iter().chain(*transaction_id);
            for (octet, mask) in octets.iter_mut().zip(mask) {
                *octet ^= mask;
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    };
    SocketAddr::new(ip, port)
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $kind:ident $label:literal $limit:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a str);

        impl<'a> Attribute<'a> for $name<'a> {
            const KIND: Kind = Kind::$kind;

            fn read(value: &'a [u8], _: &TransactionId) -> Result<Self, ParseError> {
                if value.len() > $limit {
                    return Err(ParseError::new($limit, ErrorKind::Length, concat!("a shorter ", $label)));
                }
                let text = std::str::from_utf8(value)
                    .map_err(|error| ParseError::new(error.valid_up_to(), ErrorKind::Encoding, "UTF-8"))?;
                Ok(Self(text))
            }

            fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
                if self.0.len() > $limit {
                    return Err(UsageError::TooLong { what: $label, limit: $limit });
                }
                out.extend_from_slice(self.0.as_bytes());
                Ok(())
            }
        }
    )*};
}

texts! {
    /// Whose credentials are used (RFC 8489 §14.3).
    Username USERNAME "USERNAME" 508
    /// The realm of long-term credentials (RFC 8489 §14.9).
    Realm REALM "REALM" 763
    /// What a server wants back (RFC 8489 §14.10).
    Nonce NONCE "NONCE" 763
    /// What the sender is (RFC 8489 §14.14).
    Software SOFTWARE "SOFTWARE" 763
    /// Whose certificate the alternate server shows (RFC 8489 §14.16).
    AlternateDomain ALTERNATE_DOMAIN "ALTERNATE-DOMAIN" 255
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident $kind:ident $number:ty)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub $number);

        impl Attribute<'_> for $name {
            const KIND: Kind = Kind::$kind;

            fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
                let bytes = value.try_into().map_err(|_| {
                    ParseError::new(0, ErrorKind::Length, concat!("a value of the size of ", stringify!($number)))
                })?;
                Ok(Self(<$number>::from_be_bytes(bytes)))
            }

            fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
                out.extend_from_slice(&self.0.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

numbers! {
    /// The priority that a peer-reflexive candidate would have (RFC 8445 §7.1.1).
    Priority PRIORITY u32
    /// The sender's tie-breaker, in the controlled role (RFC 8445 §7.1.3).
    IceControlled ICE_CONTROLLED u64
    /// The sender's tie-breaker, in the controlling role (RFC 8445 §7.1.3).
    IceControlling ICE_CONTROLLING u64
    /// Seconds that an allocation lasts (RFC 8656 §18.2).
    Lifetime LIFETIME u32
    /// Which connection to a peer this is (RFC 6062 §6.2.1).
    ConnectionId CONNECTION_ID u32
    /// Seconds that an answer may be kept (RFC 5780 §7.8).
    CacheTimeout CACHE_TIMEOUT u32
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident $kind:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name;

        impl Attribute<'_> for $name {
            const KIND: Kind = Kind::$kind;

            fn read(_: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
                Ok(Self)
            }

            fn write(&self, _: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
                Ok(())
            }
        }
    )*};
}

flags! {
    /// The sender nominates this pair (RFC 8445 §7.1.2).
    UseCandidate USE_CANDIDATE
    /// The relay is to set the DF bit (RFC 8656 §18.9).
    DontFragment DONT_FRAGMENT
}

/// The channel that is bound, 0x4000 to 0x4fff (RFC 8656 §18.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelNumber(pub u16);

impl Attribute<'_> for ChannelNumber {
    const KIND: Kind = Kind::CHANNEL_NUMBER;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        match value {
            [high, low, _, _] => Ok(Self(u16::from_be_bytes([*high, *low]))),
            _ => Err(ParseError::new(0, ErrorKind::Length, "a channel number and two bytes")),
        }
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&self.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        Ok(())
    }
}

/// The transport from the relay to the peer, an IP protocol number: 17 is UDP (RFC 8656 §18.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedTransport(pub u8);

impl Attribute<'_> for RequestedTransport {
    const KIND: Kind = Kind::REQUESTED_TRANSPORT;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        match value {
            [protocol, _, _, _] => Ok(Self(*protocol)),
            _ => Err(ParseError::new(0, ErrorKind::Length, "a protocol number and three bytes")),
        }
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&[self.0, 0, 0, 0]);
        Ok(())
    }
}

/// Why a request was refused (RFC 8489 §14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode<'a> {
    /// 300 to 699.
    pub code: u16,
    /// In words, at most 763 bytes.
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for ErrorCode<'a> {
    const KIND: Kind = Kind::ERROR_CODE;

    fn read(value: &'a [u8], _: &TransactionId) -> Result<Self, ParseError> {
        let [_, _, class, number, reason @ ..] = value else {
            return Err(ParseError::new(0, ErrorKind::Length, "four bytes and a reason"));
        };
        let class = class & 0x07;
        if !(3..=6).contains(&class) || *number > 99 {
            return Err(ParseError::new(2, ErrorKind::Value, "a class of 3 to 6 and a number below 100"));
        }
        let reason = std::str::from_utf8(reason)
            .map_err(|error| ParseError::new(4 + error.valid_up_to(), ErrorKind::Encoding, "UTF-8"))?;
        Ok(Self { code: u16::from(class) * 100 + u16::from(*number), reason })
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        self.write_after(0, out)
    }
}

impl ErrorCode<'_> {
    /// The value, with `first` in the byte that AddressErrorCode uses for a family.
    pub(super) fn write_after(&self, first: u8, out: &mut Vec<u8>) -> Result<(), UsageError> {
        if self.reason.len() > 763 {
            return Err(UsageError::TooLong { what: "ERROR-CODE", limit: 763 });
        }
        let class = u8::try_from(self.code / 100).ok().filter(|class| (3..=6).contains(class));
        let (Some(class), Ok(number)) = (class, u8::try_from(self.code % 100)) else {
            return Err(UsageError::ErrorCode);
        };
        out.extend_from_slice(&[first, 0, class, number]);
        out.extend_from_slice(self.reason.as_bytes());
        Ok(())
    }
}

/// The types that a server did not understand, with 420 (RFC 8489 §14.13).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttributes(pub Vec<Kind>);

impl Attribute<'_> for UnknownAttributes {
    const KIND: Kind = Kind::UNKNOWN_ATTRIBUTES;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        let (pairs, rest) = value.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(ParseError::new(value.len(), ErrorKind::Length, "an even number of bytes"));
        }
        Ok(Self(pairs.iter().map(|pair| Kind(u16::from_be_bytes(*pair))).collect()))
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend(self.0.iter().flat_map(|kind| kind.0.to_be_bytes()));
        Ok(())
    }
}
