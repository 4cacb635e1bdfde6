//! The tokio side: sockets, TLS, timers and the clock. It moves bytes and decides nothing.
//!
//! ```text
//!   handles ── jobs ──▶ ┌────────────────────┐ ── media commands ──▶ audio, chat tasks
//!   UDP, TCP, TLS ────▶ │  signalling task   │ ◀── media events ────
//!   timers ───────────▶ │  owns the engine   │ ── notifications ───▶ the centre
//!                       └────────────────────┘
//! ```

mod clock;
mod commander;
mod diagnosis;
mod dial;
mod listening;
mod media;
mod network;
pub(crate) mod reach;
mod resolve;
mod servers;
mod signalling;
mod start;
mod transport;

pub(crate) use clock::{now, seed};
pub(crate) use commander::Commander;
pub use commander::Reply;
pub(crate) use diagnosis::{behaviour, binding_lifetime, candidates};
pub(crate) use media::{AloneStream, open_pcm};
pub use media::{AudioStatistics, PcmMark, PcmReader, PcmWriter};
pub(crate) use network::outbound_address;
pub(crate) use start::{Started, start};
