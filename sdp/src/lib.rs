#![doc = include_str!("../README.md")]
#![allow(rustdoc::broken_intra_doc_links, reason = "the checklist's boxes are no links")]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation,
        clippy::panic
    )
)]

mod address;
pub mod attribute;
mod attributes;
mod bundle;
mod codec;
mod description;
mod error;
mod fragment;
#[doc(hidden)]
pub mod fuzzing;
mod matching;
mod media_line;
mod negotiator;
mod number;
mod parse;
mod print;
mod text;

pub use address::{AddrType, Address, Connection, NetType, Origin, SessionId};
pub use attribute::{Attribute, Direction};
pub use attributes::{AttributeRef, Attributes};
pub use codec::Codec;
pub use description::{Bandwidth, Key, MediaDescription, SessionDescription, Timing};
pub use error::{ErrorKind, ParseError, PeerError, UsageError};
pub use fragment::Fragment;
pub use matching::{CodecMatch, codecs_match, negotiate_codecs};
pub use media_line::{Formats, MediaKind, Protocol};
pub use negotiator::{NegotiationState, Negotiator, effective_direction};
pub use parse::Limits;
pub use text::{Text, Token};
