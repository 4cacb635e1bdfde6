//! What cuts messages into chunks and puts them together again: RFC 4975 §5.1, §7.1.1 and §7.3.1.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

mod ranges;
mod reassembler;

pub use ranges::RangeSet;
pub use reassembler::{Reassembler, Refused};

/// The largest chunk that need not be interruptible: RFC 4975 §7.1.1.
pub const SMALL_CHUNK: usize = 2048;
