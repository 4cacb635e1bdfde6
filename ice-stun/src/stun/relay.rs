//! Attributes of TURN (RFC 8656 §18) and of NAT behaviour discovery (RFC 5780 §7).

use super::attribute::{Attribute, ErrorCode, Kind};
use super::message::TransactionId;
use crate::error::{ErrorKind, ParseError, UsageError};

/// An address family as attributes name it (RFC 8489 §14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// 1
    Ipv4,
    /// 2
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: &std::net::SocketAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
        }
    }

    fn read(number: u8) -> Result<Self, ParseError> {
        match number {
            1 => Ok(Self::Ipv4),
            2 => Ok(Self::Ipv6),
            _ => Err(ParseError::new(0, ErrorKind::Value, "the family of IPv4 or IPv6")),
        }
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $name:ident $kind:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub Family);

        impl Attribute<'_> for $name {
            const KIND: Kind = Kind::$kind;

            fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
                match value {
                    [family, _, _, _] => Family::read(*family).map(Self),
                    _ => Err(ParseError::new(0, ErrorKind::Length, "a family and three bytes")),
                }
            }

            fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
                out.extend_from_slice(&[self.0.number(), 0, 0, 0]);
                Ok(())
            }
        }
    )*};
}

families! {
    /// The family that the relayed address is to have (RFC 8656 §18.6).
    RequestedAddressFamily REQUESTED_ADDRESS_FAMILY
    /// The family of a second relayed address, IPv6 (RFC 8656 §18.11).
    AdditionalAddressFamily ADDITIONAL_ADDRESS_FAMILY
}

macro_rules! bytes {
    ($($(#[$doc:meta])* $name:ident $kind:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a [u8]);

        impl<'a> Attribute<'a> for $name<'a> {
            const KIND: Kind = Kind::$kind;

            fn read(value: &'a [u8], _: &TransactionId) -> Result<Self, ParseError> {
                Ok(Self(value))
            }

            fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
                out.extend_from_slice(self.0);
                Ok(())
            }
        }
    )*};
}

bytes! {
    /// What goes to the peer or comes from it (RFC 8656 §18.4).
    Data DATA
    /// Nothing, at length (RFC 5780 §7.6).
    Padding PADDING
}

/// The relayed port is to be even; `true`: and the next one is to be reserved (RFC 8656 §18.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvenPort(pub bool);

impl Attribute<'_> for EvenPort {
    const KIND: Kind = Kind::EVEN_PORT;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        match value {
            [bits] => Ok(Self(bits & 0x80 != 0)),
            _ => Err(ParseError::new(0, ErrorKind::Length, "one byte")),
        }
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.push(if self.0 { 0x80 } else { 0 });
        Ok(())
    }
}

/// Which reserved port is meant (RFC 8656 §18.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

impl Attribute<'_> for ReservationToken {
    const KIND: Kind = Kind::RESERVATION_TOKEN;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        let token = value.try_into().map_err(|_| ParseError::new(0, ErrorKind::Length, "eight bytes"))?;
        Ok(Self(token))
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

/// Why there is no address of that family (RFC 8656 §18.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressErrorCode<'a> {
    /// Which family.
    pub family: Family,
    /// Why.
    pub error: ErrorCode<'a>,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const KIND: Kind = Kind::ADDRESS_ERROR_CODE;

    fn read(value: &'a [u8], transaction_id: &TransactionId) -> Result<Self, ParseError> {
        let error = ErrorCode::read(value, transaction_id)?;
        Ok(Self { family: Family::read(value.first().copied().unwrap_or_default())?, error })
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        self.error.write_after(self.family.number(), out)
    }
}

/// An ICMP error that the relay got for a packet to a peer (RFC 8656 §18.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// 7 bits: the ICMP or ICMPv6 type, by the family of the peer.
    pub kind: u8,
    /// 9 bits.
    pub code: u16,
    /// The MTU of the next hop where the packet was too big; else 0.
    pub data: u32,
}

impl Attribute<'_> for Icmp {
    const KIND: Kind = Kind::ICMP;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        let [_, _, t, c, data @ ..] = value else {
            return Err(ParseError::new(0, ErrorKind::Length, "eight bytes"));
        };
        let data =
            data.try_into().map_err(|_| ParseError::new(4, ErrorKind::Length, "four bytes of error data"))?;
        let both = u16::from_be_bytes([*t, *c]);
        Ok(Self { kind: t >> 1, code: both & 0x1ff, data: u32::from_be_bytes(data) })
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        if self.kind > 0x7f || self.code > 0x1ff {
            return Err(UsageError::TooLong { what: "ICMP", limit: 8 });
        }
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(u16::from(self.kind) << 9 | self.code).to_be_bytes());
        out.extend_from_slice(&self.data.to_be_bytes());
        Ok(())
    }
}

/// Answer from elsewhere (RFC 5780 §7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChangeRequest {
    /// From the other IP address.
    pub ip: bool,
    /// From the other port.
    pub port: bool,
}

impl Attribute<'_> for ChangeRequest {
    const KIND: Kind = Kind::CHANGE_REQUEST;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        match value {
            [_, _, _, bits] => Ok(Self { ip: bits & 4 != 0, port: bits & 2 != 0 }),
            _ => Err(ParseError::new(0, ErrorKind::Length, "four bytes")),
        }
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&[0, 0, 0, u8::from(self.ip) << 2 | u8::from(self.port) << 1]);
        Ok(())
    }
}

/// Answer to this port (RFC 5780 §7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResponsePort(pub u16);

impl Attribute<'_> for ResponsePort {
    const KIND: Kind = Kind::RESPONSE_PORT;

    fn read(value: &[u8], _: &TransactionId) -> Result<Self, ParseError> {
        match value {
            [high, low] | [high, low, _, _] => Ok(Self(u16::from_be_bytes([*high, *low]))),
            _ => Err(ParseError::new(0, ErrorKind::Length, "a port")),
        }
    }

    fn write(&self, out: &mut Vec<u8>, _: &TransactionId) -> Result<(), UsageError> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Builder, Class, Message, Method};

    fn reads_back<T>(attribute: T)
    where
        T: for<'a> Attribute<'a> + PartialEq + std::fmt::Debug + Copy,
    {
        let bytes = Builder::new(Class::Request, Method::ALLOCATE, [3; 12])
            .attribute(&attribute)
            .expect("it can be written")
            .finish();
        assert_eq!(Message::parse(&bytes).unwrap().get::<T>(), Some(Ok(attribute)));
        // One byte fewer or many more is no such value.
        for len in [0, 1, 3, 5, 9] {
            let value = vec![1; len];
            let bytes = Builder::new(Class::Request, Method::ALLOCATE, [3; 12])
                .raw(T::KIND, &value)
                .unwrap()
                .finish();
            if let Some(Err(error)) = Message::parse(&bytes).unwrap().get::<T>() {
                assert!(error.at <= bytes.len());
            }
        }
    }

    #[test]
    fn attributes_of_turn_and_rfc_5780_read_back() {
        for flag in [true, false] {
            reads_back(EvenPort(flag));
            reads_back(ChangeRequest { ip: flag, port: !flag });
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            reads_back(RequestedAddressFamily(family));
            reads_back(AdditionalAddressFamily(family));
        }
        reads_back(ReservationToken(*b"12345678"));
        reads_back(Icmp { kind: 3, code: 4, data: 1_400 });
        reads_back(Icmp { kind: 127, code: 511, data: u32::MAX });
        reads_back(ResponsePort(3_478));
    }

    #[test]
    fn bits_stand_where_the_figures_have_them() {
        let value = |attribute: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            attribute(&mut out);
            out
        };
        let id = [0; 12];
        let icmp = Icmp { kind: 3, code: 4, data: 0x578 };
        assert_eq!(value(&|out| icmp.write(out, &id).unwrap()), [0, 0, 6, 4, 0, 0, 5, 0x78]);
        let change = ChangeRequest { ip: true, port: false };
        assert_eq!(value(&|out| change.write(out, &id).unwrap()), [0, 0, 0, 4]);
        let error = AddressErrorCode {
            family: Family::Ipv6,
            error: ErrorCode { code: 440, reason: "Address Family not Supported" },
        };
        let bytes = value(&|out| error.write(out, &id).unwrap());
        assert_eq!(bytes[..4], [2, 0, 4, 40]);
        assert_eq!(AddressErrorCode::read(&bytes, &id), Ok(error));
        assert!(Icmp { kind: 128, code: 0, data: 0 }.write(&mut Vec::new(), &id).is_err());
    }
}
