//! File transfer: the values of its SDP attributes as text, hashes, and names that are no paths. RFC 5547.
//!
//! The bytes of files go through a session that streams ([`crate::Receive::Streamed`], [`crate::Body::Streamed`]).
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

mod attributes;
mod hash;
mod name;
mod selector;

pub use attributes::{FileDates, FileDescription, FileIcon, FileRange, FileTransferId};
pub use hash::{FileHash, FileHasher, HashAlgorithm, Mismatch};
pub use name::{numbered_name, safe_name};
pub(crate) use selector::number;
pub use selector::{FileSelector, FileType};
