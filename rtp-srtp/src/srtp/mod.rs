//! SRTP and SRTCP (RFC 3711) with AES-CM and HMAC-SHA1 (RFC 3711, 6188) or AES-GCM (RFC 7714).
//!
//! [`SrtpSender`] and [`SrtpReceiver`] share nothing, so that they may live on different threads. Both work in
//! place on the caller's buffer and allocate nothing per packet. There is no null cipher: what has no key is
//! not sent through here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation))]

mod crypto;
mod key;
mod receiver;
mod replay;
mod sender;

use thiserror::Error;

pub use key::{KeyError, MAX_MKI, MasterKey, Suite};
pub use receiver::{ReceiverConfig, SrtpCounters, SrtpReceiver};
pub use sender::{SenderConfig, SrtpSender};

use crate::error::ParseError;

/// The most bytes that protection adds to a packet: tag, SRTCP index and the longest MKI.
pub const MAX_OVERHEAD: usize = 16 + 4 + MAX_MKI;

/// A packet that was not protected, or not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// The buffer has no room for the tag, or is shorter than the length given.
    #[error("the buffer is too small")]
    BufferTooSmall,
    /// Not an RTP or RTCP packet.
    #[error("malformed: {0}")]
    Malformed(#[from] ParseError),
    /// The packet is not authentic.
    #[error("authentication failed")]
    Authentication,
    /// The packet was received before, or is older than the replay window (RFC 3711 §3.3.2).
    #[error("replayed or too old")]
    Replayed,
    /// The packet names a master key that is not there (RFC 3711 §3.1).
    #[error("unknown master key identifier")]
    UnknownKey,
    /// The table of sources is full.
    #[error("too many sources")]
    TooManySources,
    /// The packet says that it is not encrypted (RFC 3711 §3.4).
    #[error("not encrypted")]
    NotEncrypted,
    /// This index was sent before: sending it again would reuse the keystream.
    #[error("packet index used before")]
    IndexReused,
    /// The key has protected all packets it may (RFC 3711 §9.2).
    #[error("the master key is used up")]
    KeyExpired,
}

/// The length of the RTP header with CSRCs and extension, and (SSRC, sequence).
fn rtp_head(packet: &[u8]) -> Result<RtpHead, SrtpError> {
    use crate::error::ParseErrorKind::Version;
    let Some(&[first, _, q0, q1, _, _, _, _, s0, s1, s2, s3]) = packet.first_chunk::<12>() else {
        return Err(ParseError::truncated(packet.len(), "RTP header").into());
    };
    if first >> 6 != 2 {
        return Err(ParseError::new(0, Version, "RTP header").into());
    }
    let mut len = 12 + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let head = packet.get(len..len + 4).and_then(|head| head.first_chunk::<4>());
        let Some(&[_, _, l0, l1]) = head else {
            return Err(ParseError::truncated(packet.len(), "header extension").into());
        };
        len += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
    }
    if packet.len() < len {
        return Err(ParseError::truncated(packet.len(), "RTP header").into());
    }
    let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
    Ok(RtpHead { len, ssrc, sequence: u16::from_be_bytes([q0, q1]) })
}

#[derive(Clone, Copy, Debug)]
struct RtpHead {
    len: usize,
    ssrc: u32,
    sequence: u16,
}

/// The SSRC of the sender of an RTCP compound.
fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    let Some(&[first, _, _, _, s0, s1, s2, s3]) = packet.first_chunk::<8>() else {
        return Err(ParseError::truncated(packet.len(), "RTCP head").into());
    };
    if first >> 6 != 2 {
        return Err(ParseError::new(0, crate::error::ParseErrorKind::Version, "RTCP head").into());
    }
    Ok(u32::from_be_bytes([s0, s1, s2, s3]))
}

/// RFC 3711 appendix A: the index nearest to the highest one seen.
const fn guess_index(highest: u64, sequence: u16) -> u64 {
    let roc = highest >> 16;
    let last = highest & 0xffff;
    let sequence = sequence as u64;
    let roc = if last < 0x8000 {
        if sequence > last + 0x8000 { roc.saturating_sub(1) } else { roc }
    } else if last - 0x8000 > sequence {
        roc + 1
    } else {
        roc
    };
    (roc << 16) | sequence
}

#[cfg(test)]
mod tests;
