//! MSRP (RFC 4975), its relays (RFC 4976) and CPIM (RFC 3862), without I/O.
//!
//! - **wire**: [`uri`], [`wire`], [`cpim`], [`mod@file`]: values and bytes.
//! - **documents**: [`iscomposing`], [`imdn`]: what is said about messages.
//! - **machines**: [`chunk`]: what cuts messages into chunks and puts them together.
//! - **endpoint**: [`connection`]: one TCP or TLS connection with its sessions; [`relay`]: a relay between them.

pub mod chunk;
pub mod connection;
pub mod cpim;
mod error;
pub mod file;
#[doc(hidden)]
pub mod fuzzing;
mod ident;
pub mod imdn;
pub mod inspect;
pub mod iscomposing;
pub mod relay;
mod scan;
pub mod uri;
pub mod wire;
mod xml;

pub use connection::{
    AuthConfig, AuthId, Body, Config, Connection, Event, Input, OutgoingMessage, Output, Receive,
    SessionConfig, SessionId, SessionMemory,
};
pub use error::{LimitError, ParseError, ParseErrorKind, UsageError};
pub use ident::{IdSource, is_ident};
pub use uri::MsrpUri;
