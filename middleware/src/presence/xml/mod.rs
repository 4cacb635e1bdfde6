//! XML as event bodies need it: elements with namespaces, a guarded reader and a writer.
//!
//! The reader takes no DOCTYPE and so no entities but the five of XML, and nothing beyond
//! [`MAX_SIZE`], [`MAX_DEPTH`], [`MAX_ELEMENTS`], [`MAX_ATTRIBUTES`] and [`MAX_NAMESPACES`]. It
//! takes time in proportion to the document and does not recurse.

mod element;
mod name;
mod read;
mod write;

pub use element::{Attribute, Content, Element, Namespaces};
pub(super) use read::read;
pub(super) use write::write;

/// Bytes of a document that is read.
pub const MAX_SIZE: usize = 1 << 20;
/// Levels of elements.
pub const MAX_DEPTH: usize = 64;
/// Elements of a document.
pub const MAX_ELEMENTS: usize = 16_384;
/// Attributes of an element.
pub const MAX_ATTRIBUTES: usize = 64;
/// Namespace declarations that hold at one place.
pub const MAX_NAMESPACES: usize = 64;

/// The namespace of `xml:lang`.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
