//! SIP (RFC 3261): messages, transactions, dialogs and a user agent endpoint, without I/O.
//!
//! The **wire** storey turns bytes into values and back: [`Message`] frames a message and leaves its
//! headers as they are, [`Headers::get`] types one when it is asked for, and what nobody changed is
//! printed as it was read.
//!
//! ```
//! use sip_core::{Limits, Message, Response, StatusCode, header::Contact};
//!
//! let bytes = bytes::Bytes::from_static(
//!     b"OPTIONS sip:carol@chicago.com SIP/2.0\r\n\
//!       Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKhjhs8ass877\r\n\
//!       Max-Forwards: 70\r\nTo: <sip:carol@chicago.com>\r\n\
//!       From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
//!       Call-ID: a84b4c76e66710\r\nCSeq: 63104 OPTIONS\r\n\
//!       Contact: <sip:alice@pc33.atlanta.com>\r\nContent-Length: 0\r\n\r\n",
//! );
//! let Message::Request(request) = Message::parse(bytes, &Limits::default())? else { unreachable!() };
//! assert_eq!(request.from()?.display_name.as_deref(), Some("Alice"));
//! let contact: Contact = request.header().expect("it is there");
//! assert_eq!(contact.to_string(), "<sip:alice@pc33.atlanta.com>");
//!
//! let reply = Response::reply_to(&request, StatusCode::OK).to_tag("93810874").build();
//! assert!(reply.to_bytes().starts_with(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP pc33"));
//! # Ok::<(), sip_core::ParseError>(())
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

// Wire: values and bytes; total, stateless, without time.
mod builder;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod fuzzing_machine;
mod grammar;
mod head;
pub mod header;
mod headers;
mod index;
mod limits;
mod message;
mod method;
mod multipart;
mod name_addr;
mod params;
mod status;
mod stream;
mod swar;
mod tel;
mod text;
mod uri;
mod uri_params;
mod validate;

// Machines: one protocol state machine a file; time and entropy are inputs.
pub mod auth;
pub mod dialog;
pub mod resolve;
pub mod transaction;
pub mod usage;

// Endpoint: the aggregate that a driver holds.
pub mod endpoint;

pub use builder::{RequestBuilder, ResponseBuilder};
pub use dialog::{Dialog, Routed};
pub use endpoint::Endpoint;
pub use error::{ErrorKind, ParseError, UsageError};
pub use frame::Frame;
pub use headers::{HeaderField, Headers, unfold};
pub use limits::Limits;
pub use message::{Message, Request, Response};
pub use method::Method;
pub use multipart::{Multipart, Part};
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use status::StatusCode;
pub use stream::{StreamDecoder, StreamError, StreamItem};
pub use tel::Telephone;
pub use text::Text;
pub use uri::{Host, Scheme, Uri, unescape};
pub use uri_params::Push;
pub use validate::Refusal;
