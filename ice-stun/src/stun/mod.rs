//! STUN messages (RFC 8489).
//!
//! ```text
//!  0                   1                   2                   3
//! |0 0|  class and method   |         length of attributes        |
//! |                    magic cookie 0x2112A442                    |
//! |                    transaction id, 96 bits                    |
//! |  attribute type         |  length   | value, padded to 4 bytes ...
//! ```

mod attribute;
mod authentication;
mod behaviour;
mod builder;
mod client;
mod credentials;
mod framing;
mod integrity;
mod lifetime;
mod message;
mod naptr;
mod relay;
pub(crate) mod requests;
mod transaction;
mod uri;

pub use attribute::{
    AlternateDomain, AlternateServer, Attribute, CacheTimeout, ChannelNumber, ConnectionId, DontFragment,
    ErrorCode, IceControlled, IceControlling, Kind, Lifetime, MappedAddress, Nonce, OtherAddress, Priority,
    Realm, RequestedTransport, ResponseOrigin, Software, UnknownAttributes, UseCandidate, Username,
    XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
pub use authentication::Credentials;
pub use behaviour::{Behaviour, Dependence, Discovery, DiscoveryConfig, DiscoveryOutput};
pub use builder::Builder;
pub use client::{Client, ClientConfig, Event, Output, Transport, mapped_address};
pub use credentials::{NonceFeatures, PasswordAlgorithm, PasswordAlgorithms, Userhash};
pub use framing::{ChannelData, Frame, StreamDecoder};
pub use integrity::{Integrity, Key};
pub use lifetime::{BindingLifetime, LifetimeConfig, LifetimeOutput, LifetimeSearch, LifetimeSocket};
pub use message::{Attributes, Class, Message, Method, RawAttribute, TransactionId};
pub use naptr::{Delegation, Naptr, Next};
pub use relay::{
    AdditionalAddressFamily, AddressErrorCode, ChangeRequest, Data, EvenPort, Family, Icmp, Padding,
    RequestedAddressFamily, ReservationToken, ResponsePort,
};
pub use requests::Failure;
pub use transaction::{Due, Timing, Transaction, Verdict};
pub use uri::{Lookup, ServerUri, Srv};

/// Bytes of the header.
pub const HEADER: usize = 20;
/// What tells STUN of RFC 5389 and later from all else (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// Whether a datagram may be STUN: its first bits and the cookie (RFC 8489 §5, RFC 7983 §7).
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram, [0..=3, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..])
}

/// How long the STUN message at the beginning of a stream is (RFC 8489 §6.2.2); `None` while the
/// header is not there yet.
pub fn stream_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, high, low, ..] => Some(HEADER + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}
