//! STUN (RFC 8489), TURN (RFC 8656) and ICE (RFC 8445) without I/O: no sockets, no clock, no entropy of its own.
//!
//! **Wire**: [`stun::Message`] is a checked view of received bytes, [`stun::Builder`] writes,
//! [`stun::Key`] makes and checks MESSAGE-INTEGRITY, [`stun::StreamDecoder`] cuts streams.
//!
//! **Machines**: [`stun::Transaction`] is one request on its way, [`stun::Client`] learns our address,
//! [`turn::Allocation`] is an address on a relay, [`server::Server`] the other end of both.
//!
//! **Endpoint**: [`ice::Agent`] finds the path between two ends of a stream, [`ice::gather::Gatherer`] its
//! candidates, and carries what goes through relays.
//!
//! ```
//! use ice_stun::stun::{Builder, Class, Key, Message, Method, Username, XorMappedAddress};
//!
//! let key = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
//! let request = Builder::new(Class::Request, Method::BINDING, [7; 12])
//!     .attribute(&Username("evtj:h6vY"))?
//!     .finish_with(Some(&key), true);
//!
//! let message = Message::parse(&request)?;
//! assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
//! assert!(message.has_valid_fingerprint() && message.verify(&key));
//!
//! let seen = "192.0.2.1:32853".parse()?;
//! let answer = Builder::answer(&message, Class::Success).attribute(&XorMappedAddress(seen))?.finish();
//! let mapped = Message::parse(&answer)?.get::<XorMappedAddress>();
//! assert_eq!(mapped, Some(Ok(XorMappedAddress(seen))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

mod crypto;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod ice;
pub mod server;
pub mod stun;
pub mod turn;

pub use error::{ErrorKind, ParseError, UsageError};
