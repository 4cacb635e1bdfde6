//! Benchmarks only; see `benches/README.md`.

pub mod msrp;
pub mod sdp;
pub mod sip;
pub mod stun;
