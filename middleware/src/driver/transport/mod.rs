//! Sockets for SIP: datagrams in and out, and streams with a task each way.

mod stream;
mod udp;

pub(super) use stream::{StreamInput, Streams};
pub(super) use udp::UdpSockets;
