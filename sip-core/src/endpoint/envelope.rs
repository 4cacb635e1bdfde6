//! What of a message says where it belongs.

use crate::{
    ParseError, Request,
    header::{CSeq, Via},
    transaction::ServerKey,
};
use std::net::SocketAddr;

/// The parts of a request that identify it; there since it was validated.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) via: Via,
    pub(crate) from_tag: Option<Box<str>>,
    pub(crate) to_tag: Option<Box<str>>,
    pub(crate) call_id: Box<str>,
    pub(crate) cseq: CSeq,
    /// Which server transaction it belongs to, once that was looked for.
    pub(crate) key: Option<ServerKey>,
}

impl Envelope {
    /// Reads a request that came from `source`, and notes that in its top Via
    /// (RFC 3261 §18.2.1, RFC 3581 §4).
    pub(crate) fn receive(request: &mut Request, source: SocketAddr) -> Result<Self, ParseError> {
        let mut envelope = Self::read(request)?;
        if envelope.via.rport().is_some() || envelope.via.host.ip() != Some(source.ip()) {
            envelope.via.stamp(source);
            request.headers_mut().replace_first(envelope.via.clone());
        }
        Ok(envelope)
    }

    pub(crate) fn read(request: &Request) -> Result<Self, ParseError> {
        Ok(Self {
            via: request.via()?,
            from_tag: request.from()?.tag().map(Into::into),
            to_tag: request.to()?.tag().map(Into::into),
            call_id: request.call_id()?.0.into_boxed_str(),
            cseq: request.cseq()?,
            key: None,
        })
    }
}
