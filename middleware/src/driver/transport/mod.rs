//! Sockets for SIP: datagrams in and out, and streams with a task each way.
//!
//! ```text
//!   listener ─ TLS ─ WebSocket ─┐                     ┌─ reading task ──▶ inputs
//!              (with a time     ├─▶ Accepted          │
//!               limit)          │   Connected ──▶ carry
//!   connect ── TLS ─ WebSocket ─┘                     └─ writing task ◀── Writer (bounded)
//! ```

mod carry;
mod stream;
mod tls;
mod udp;
mod websocket;

pub(super) use stream::{StreamInput, Streams};
pub(in crate::driver) use tls::Security;
pub(super) use udp::UdpSockets;
