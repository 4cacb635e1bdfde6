//! Data through the relay, where it stands: no queue, no allocation.

use std::net::SocketAddr;

use super::{CommandError, peers::PeerTable};
use crate::stun::{
    Attribute, Builder, ChannelData, Class, Data, HEADER, Icmp, Kind, Message, Method, TransactionId,
    XorPeerAddress, is_stun,
};

/// Wraps data for a peer: channel data if there is a channel, else a Send indication (RFC 8656 §11.1, §12.5).
pub(super) fn wrap(
    peers: &PeerTable,
    stream: bool,
    id: impl FnOnce() -> TransactionId,
    peer: SocketAddr,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CommandError> {
    let too_long = |_| CommandError::TooLong(data.len());
    match peers.channel_to(peer) {
        Some(channel) => ChannelData { channel, data }.write(stream, out).map_err(too_long),
        None => {
            // Type, length and address of XOR-PEER-ADDRESS, at most 24 bytes, and the header of DATA.
            if data.len() > usize::from(u16::MAX) - HEADER - 40 {
                return Err(CommandError::TooLong(data.len()));
            }
            let builder = Builder::in_buffer(std::mem::take(out), Class::Indication, Method::SEND, id());
            let builder = builder.attribute(&XorPeerAddress(peer)).map_err(too_long)?;
            *out = builder.attribute(&Data(data)).map_err(too_long)?.finish();
            Ok(())
        }
    }
}

/// What a message from the relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried<'a> {
    Data(SocketAddr, &'a [u8]),
    Icmp(SocketAddr, Icmp),
    /// Not from a peer that we let in.
    Refused,
}

/// The peer and its data in a Data indication (RFC 8656 §11.4, §11.6).
pub(super) fn carried<'a>(peers: &PeerTable, message: &Message<'a>) -> Carried<'a> {
    let (mut peer, mut data, mut icmp) = (None, None, None);
    for raw in message.attributes() {
        match raw.kind {
            Kind::XOR_PEER_ADDRESS if peer.is_none() => {
                peer = XorPeerAddress::read(raw.value, &message.transaction_id()).ok();
            }
            Kind::DATA if data.is_none() => data = Some(raw.value),
            Kind::ICMP if icmp.is_none() => icmp = Icmp::read(raw.value, &message.transaction_id()).ok(),
            _ => {}
        }
    }
    let Some(XorPeerAddress(peer)) = peer.filter(|peer| peers.is_permitted(peer.0.ip())) else {
        return Carried::Refused;
    };
    match (data, icmp) {
        (Some(data), _) => Carried::Data(peer, data),
        (None, Some(icmp)) => Carried::Icmp(peer, icmp),
        (None, None) => Carried::Refused,
    }
}

/// Unwraps a datagram; `None` if it is something else, which is for `handle_input`.
pub(super) fn unwrap<'a>(peers: &PeerTable, datagram: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
    if is_stun(datagram) {
        let message = Message::parse(datagram).ok()?;
        if (message.class(), message.method()) != (Class::Indication, Method::DATA) {
            return None;
        }
        return match carried(peers, &message) {
            Carried::Data(peer, data) => Some((peer, data)),
            Carried::Icmp(..) | Carried::Refused => None,
        };
    }
    channel_data(peers, &ChannelData::parse(datagram).ok()?)
}

/// Who sent that.
pub(super) fn channel_data<'a>(peers: &PeerTable, frame: &ChannelData<'a>) -> Option<(SocketAddr, &'a [u8])> {
    peers.peer_of(frame.channel).map(|peer| (peer, frame.data))
}
