//! What an endpoint wants done.

use super::{Event, FlowId, QueryId, Transport};
use crate::resolve::Question;
use bytes::Bytes;
use std::{net::SocketAddr, time::Instant};

/// One thing to do, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// From this socket.
        local: SocketAddr,
        /// To this address.
        remote: SocketAddr,
        /// What it holds.
        data: Bytes,
    },
    /// Open a connection; [`Input::Connected`](super::Input::Connected) or
    /// [`Input::ConnectFailed`](super::Input::ConnectFailed) answers.
    Connect {
        /// Its name from now on.
        flow: FlowId,
        /// The transport.
        transport: Transport,
        /// To this address.
        remote: SocketAddr,
        /// The name to verify in the certificate (RFC 5922 §4): the host of the next hop's URI.
        server_name: String,
    },
    /// Write to a connection.
    Write {
        /// Which.
        flow: FlowId,
        /// The bytes.
        data: Bytes,
    },
    /// Close a connection once what was written is gone; no [`Input::Closed`](super::Input::Closed)
    /// is needed.
    Disconnect {
        /// Which.
        flow: FlowId,
    },
    /// Ask the DNS; [`Input::Resolved`](super::Input::Resolved) answers.
    Resolve {
        /// Its name from now on.
        query: QueryId,
        /// What is to be asked.
        question: Question,
    },
    /// Tell the application.
    Event(Event),
    /// Nothing more until this time, or the next input or command.
    Idle(Option<Instant>),
}
