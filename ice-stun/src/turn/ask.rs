//! The requests of an allocation.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::{Config, Families, Port, Protocol};
use crate::error::UsageError;
use crate::stun::requests::Ask;
use crate::stun::{
    AdditionalAddressFamily, Builder, ChannelNumber, DontFragment, EvenPort, Family, Lifetime, Method,
    RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress,
};

/// Addresses of one CreatePermission request.
pub(super) type Peers = SmallVec<[IpAddr; 4]>;

#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Allocate { protocol: Protocol, lifetime: u32, families: Families, port: Port, dont_fragment: bool },
    Refresh { lifetime: u32 },
    Permit(Peers),
    Bind { number: u16, peer: SocketAddr },
    Connect { peer: SocketAddr },
}

impl Purpose {
    pub(super) fn allocate(config: &Config) -> Self {
        Self::Allocate {
            protocol: config.protocol,
            lifetime: u32::try_from(config.lifetime.as_secs()).unwrap_or(u32::MAX),
            families: config.families,
            port: config.port,
            dont_fragment: config.dont_fragment,
        }
    }
}

impl Ask for Purpose {
    fn method(&self) -> Method {
        match self {
            Self::Allocate { .. } => Method::ALLOCATE,
            Self::Refresh { .. } => Method::REFRESH,
            Self::Permit(_) => Method::CREATE_PERMISSION,
            Self::Bind { .. } => Method::CHANNEL_BIND,
            Self::Connect { .. } => Method::CONNECT,
        }
    }

    fn write(&self, builder: Builder) -> Result<Builder, UsageError> {
        match self {
            Self::Allocate { protocol, lifetime, families, port, dont_fragment } => {
                let number = match protocol {
                    Protocol::Udp => 17,
                    Protocol::Tcp => 6,
                };
                let mut builder = builder.attribute(&RequestedTransport(number))?;
                // RFC 6062 §5.1: not with TCP.
                let udp = *protocol == Protocol::Udp;
                builder = builder.attribute(&Lifetime(*lifetime))?;
                if *dont_fragment && udp {
                    builder = builder.attribute(&DontFragment)?;
                }
                // RFC 8656 §7.1: a token alone; the pair of ports not with two families.
                match (port, udp) {
                    (Port::Reserved(token), true) => return builder.attribute(&ReservationToken(*token)),
                    (Port::Even, true) => builder = builder.attribute(&EvenPort(false))?,
                    (Port::EvenAndNext, true) => {
                        builder = builder.attribute(&EvenPort(*families != Families::Both))?;
                    }
                    _ => {}
                }
                match families {
                    Families::Any => Ok(builder),
                    Families::Only(family) => builder.attribute(&RequestedAddressFamily(*family)),
                    Families::Both => builder.attribute(&AdditionalAddressFamily(Family::Ipv6)),
                }
            }
            Self::Refresh { lifetime } => builder.attribute(&Lifetime(*lifetime)),
            Self::Permit(peers) => peers.iter().try_fold(builder, |builder, peer| {
                // RFC 8656 §10.1: the port is not looked at.
                builder.attribute(&XorPeerAddress(SocketAddr::new(*peer, 0)))
            }),
            Self::Bind { number, peer } => {
                builder.attribute(&ChannelNumber(*number))?.attribute(&XorPeerAddress(*peer))
            }
            Self::Connect { peer } => builder.attribute(&XorPeerAddress(*peer)),
        }
    }
}
