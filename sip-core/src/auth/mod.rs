//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): the computation, the side that is
//! challenged and the side that challenges.
//!
//! ```
//! use sip_core::auth::{Algorithm, Challenge, Credentials, Digest};
//!
//! let challenge: Challenge = r#"Digest realm="example.com", nonce="7ypf", qop="auth", algorithm=SHA-256"#.parse()?;
//! assert_eq!(challenge.algorithm, Algorithm::Sha256);
//! let credentials = Credentials::new("alice", "secret");
//! let digest = Digest { nc: 1, cnonce: "0a4f113b", ..Digest::new("REGISTER", "sip:example.com") };
//! let header = challenge.answer(&credentials, &digest);
//! assert!(header.starts_with(r#"Digest username="alice", realm="example.com", nonce="7ypf""#));
//! # Ok::<(), sip_core::ParseError>(())
//! ```

mod challenge;
mod client;
mod credentials;
mod crypto;
mod server;

pub use challenge::{Challenge, DigestAnswer};
pub(crate) use client::{Authenticator, Trust};
pub use credentials::Credentials;
pub(crate) use crypto::keyed;
pub use crypto::{Algorithm, Digest, Qop};
pub use server::{Authority, Verdict};
