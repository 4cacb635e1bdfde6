//! Values and bytes: heads, whole messages, and the incremental decoder. RFC 4975 §9.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

mod decoder;
mod frames;
mod head;
mod header;
mod message;

pub use decoder::{Decoder, DecoderLimits, Piece};
pub use frames::Frames;
pub use head::{Head, Method, Start};
pub use header::{ByteRange, FailureReport, HeaderName, Status};
pub(crate) use message::write_end_line;
pub use message::{Flag, Message};
