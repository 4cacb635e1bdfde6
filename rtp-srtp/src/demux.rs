//! What a datagram on a media port is, from its first bytes (RFC 7983 §7, RFC 5761 §4).

/// The protocol of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// STUN, first byte 0 to 3.
    Stun,
    /// ZRTP, first byte 16 to 19.
    Zrtp,
    /// DTLS, first byte 20 to 63.
    Dtls,
    /// TURN channel data, first byte 64 to 79.
    TurnChannel,
    /// RTP or SRTP, first byte 128 to 191.
    Rtp,
    /// RTCP or SRTCP, first byte 128 to 191 and second 192 to 223.
    Rtcp,
}

/// Tells by the first two bytes what a datagram is; `None` is to be dropped (RFC 7983 §7).
///
/// RTCP is told from RTP as RFC 5761 §4 says: payload types 64 to 95 are never used for RTP with the two on
/// one port, so a second byte of 192 to 223 is RTCP's.
#[must_use]
#[inline]
pub const fn classify(datagram: &[u8]) -> Option<Protocol> {
    match datagram {
        [0..=3, ..] => Some(Protocol::Stun),
        [16..=19, ..] => Some(Protocol::Zrtp),
        [20..=63, ..] => Some(Protocol::Dtls),
        [64..=79, ..] => Some(Protocol::TurnChannel),
        [128..=191, 192..=223, ..] => Some(Protocol::Rtcp),
        [128..=191, _, ..] => Some(Protocol::Rtp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_rfc_7983() {
        let expected = |first: u8| match first {
            0..=3 => Some(Protocol::Stun),
            16..=19 => Some(Protocol::Zrtp),
            20..=63 => Some(Protocol::Dtls),
            64..=79 => Some(Protocol::TurnChannel),
            128..=191 => Some(Protocol::Rtp),
            _ => None,
        };
        for first in 0..=255 {
            assert_eq!(classify(&[first, 0]), expected(first), "{first}");
        }
        assert_eq!(classify(&[]), None);
    }

    #[test]
    fn rtcp_by_the_second_byte() {
        for second in 0..=255_u8 {
            let rtcp = classify(&[0x80, second]) == Some(Protocol::Rtcp);
            assert_eq!(rtcp, (64..=95).contains(&(second & 0x7f)) && second & 0x80 != 0, "{second}");
        }
    }
}
