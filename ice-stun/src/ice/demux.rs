//! What a datagram is by its first byte (RFC 7983 §7).

use crate::stun;

/// The protocols that share a socket with media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// STUN: first byte 0 to 3 and the magic cookie. It goes to [`Agent`](super::Agent).
    Stun,
    /// ZRTP: 16 to 19.
    Zrtp,
    /// DTLS: 20 to 63.
    Dtls,
    /// TURN channel data: 64 to 79. It goes to the allocation.
    TurnChannel,
    /// RTP or RTCP: 128 to 191.
    Rtp,
    /// None of them.
    Other,
}

impl PacketKind {
    /// Looks at the beginning of a datagram; costs no allocation.
    #[inline]
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) if stun::is_stun(datagram) => Self::Stun,
            Some(16..=19) => Self::Zrtp,
            Some(20..=63) => Self::Dtls,
            Some(64..=79) => Self::TurnChannel,
            Some(128..=191) => Self::Rtp,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_as_rfc_7983_has_them() {
        let stun = stun::Builder::new(stun::Class::Request, stun::Method::BINDING, [1; 12]).finish();
        assert_eq!(PacketKind::of(&stun), PacketKind::Stun);
        let ranges = [
            (0..=15, PacketKind::Other),
            (16..=19, PacketKind::Zrtp),
            (20..=63, PacketKind::Dtls),
            (64..=79, PacketKind::TurnChannel),
            (80..=127, PacketKind::Other),
            (128..=191, PacketKind::Rtp),
            (192..=255, PacketKind::Other),
        ];
        for (bytes, kind) in ranges {
            for byte in bytes {
                assert_eq!(PacketKind::of(&[byte, 0, 0, 0]), kind, "{byte}");
            }
        }
        assert_eq!(PacketKind::of(&[]), PacketKind::Other);
    }
}
