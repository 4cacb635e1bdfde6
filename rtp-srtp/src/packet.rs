//! The RTP packet: a checked view over received bytes, and a header to write (RFC 3550 §5.1).
//!
//! ```text
//!  0                   1                   2                   3
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! |            contributing source (CSRC) identifiers …           |
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation
    )
)]

use crate::error::{ParseError, ParseErrorKind, WriteError};
use crate::extension::Extension;
use crate::wire::Cursor;

/// A received RTP packet, checked once, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    fixed: &'a [u8; 12],
    csrcs: &'a [[u8; 4]],
    extension: Option<Extension<'a>>,
    payload: &'a [u8],
    padding: u8,
}

impl<'a> RtpPacket<'a> {
    /// Checks version, CSRC count, extension length and padding (RFC 3550 §5.1, §5.3.1).
    ///
    /// Linear in the header, never in the payload.
    #[inline]
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let Some((fixed, mut rest)) = data.split_first_chunk::<12>() else {
            return Err(ParseError::truncated(data.len(), "RTP header"));
        };
        let [first, ..] = *fixed;
        if first >> 6 != 2 {
            return Err(ParseError::new(0, ParseErrorKind::Version, "RTP header"));
        }
        let mut csrcs: &[[u8; 4]] = &[];
        let mut extension = None;
        let mut padding = 0;
        // The usual packet has none of the three.
        if first & 0x3f != 0 {
            let Some((list, after)) = rest.split_at_checked(usize::from(first & 0x0f) * 4) else {
                return Err(ParseError::truncated(data.len(), "CSRC list"));
            };
            (csrcs, rest) = (list.as_chunks().0, after);
            if first & 0x10 != 0 {
                let Some((&[p0, p1, l0, l1], after)) = rest.split_first_chunk::<4>() else {
                    return Err(ParseError::truncated(data.len(), "header extension"));
                };
                let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
                let Some((body, after)) = after.split_at_checked(len) else {
                    return Err(ParseError::truncated(data.len(), "header extension"));
                };
                extension = Some(Extension { profile: u16::from_be_bytes([p0, p1]), data: body });
                rest = after;
            }
            if first & 0x20 != 0 {
                let bad =
                    ParseError::new(data.len().saturating_sub(1), ParseErrorKind::Padding, "RTP padding");
                padding = *rest.last().ok_or(bad)?;
                let keep =
                    rest.len().checked_sub(usize::from(padding)).filter(|_| padding != 0).ok_or(bad)?;
                rest = rest.get(..keep).ok_or(bad)?;
            }
        }
        Ok(Self { fixed, csrcs, extension, payload: rest, padding })
    }

    /// The payload type, 0 to 127.
    #[must_use]
    #[inline]
    pub const fn payload_type(&self) -> u8 {
        let [_, second, ..] = *self.fixed;
        second & 0x7f
    }

    /// The marker bit: for audio, the first packet after silence (RFC 3551 §4.1).
    #[must_use]
    #[inline]
    pub const fn marker(&self) -> bool {
        let [_, second, ..] = *self.fixed;
        second & 0x80 != 0
    }

    /// The sequence number, modulo 2^16.
    #[must_use]
    #[inline]
    pub const fn sequence(&self) -> u16 {
        let [_, _, a, b, ..] = *self.fixed;
        u16::from_be_bytes([a, b])
    }

    /// The timestamp in units of the payload's RTP clock, modulo 2^32.
    #[must_use]
    #[inline]
    pub const fn timestamp(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = *self.fixed;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The synchronization source.
    #[must_use]
    #[inline]
    pub const fn ssrc(&self) -> u32 {
        let [.., a, b, c, d] = *self.fixed;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The contributing sources, at most 15.
    #[must_use]
    #[inline]
    pub fn csrcs(&self) -> Csrcs<'a> {
        Csrcs { list: self.csrcs.iter() }
    }

    /// The header extension.
    #[must_use]
    #[inline]
    pub const fn extension(&self) -> Option<Extension<'a>> {
        self.extension
    }

    /// The payload without padding.
    #[must_use]
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The number of padding bytes, their count byte included; 0 without padding.
    #[must_use]
    #[inline]
    pub const fn padding(&self) -> u8 {
        self.padding
    }
}

/// The contributing sources of a packet, in wire order.
#[derive(Clone, Debug)]
pub struct Csrcs<'a> {
    list: std::slice::Iter<'a, [u8; 4]>,
}

impl Iterator for Csrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.list.next().map(|csrc| u32::from_be_bytes(*csrc))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl ExactSizeIterator for Csrcs<'_> {}

/// An RTP header to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RtpHeader<'a> {
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp in units of the RTP clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
    /// The contributing sources, at most 15.
    pub csrcs: &'a [u32],
    /// The header extension; its data a multiple of 4 bytes.
    pub extension: Option<Extension<'a>>,
}

impl RtpHeader<'_> {
    /// A header without marker, contributing sources or extension.
    #[must_use]
    pub const fn new(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Self {
        Self { payload_type, marker: false, sequence, timestamp, ssrc, csrcs: &[], extension: None }
    }

    /// Writes the header to the front of `buffer` and returns its length: the payload follows there.
    #[inline]
    pub fn write_into(&self, buffer: &mut [u8]) -> Result<usize, WriteError> {
        if self.payload_type > 127 {
            return Err(WriteError::DoesNotFit("payload type"));
        }
        let count = u8::try_from(self.csrcs.len()).ok().filter(|count| *count <= 15);
        let count = count.ok_or(WriteError::DoesNotFit("CSRC list"))?;
        let first = 0x80 | (u8::from(self.extension.is_some()) << 4) | count;
        let second = (u8::from(self.marker) << 7) | self.payload_type;
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        let fixed = buffer.first_chunk_mut::<12>().ok_or(WriteError::BufferTooSmall)?;
        *fixed = [first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3];
        if first & 0x1f == 0 {
            return Ok(12);
        }
        let rest = buffer.get_mut(12..).ok_or(WriteError::BufferTooSmall)?;
        let mut cursor = Cursor::new(rest);
        for csrc in self.csrcs {
            cursor.u32(*csrc)?;
        }
        if let Some(extension) = &self.extension {
            extension.write(&mut cursor)?;
        }
        Ok(12 + cursor.len())
    }

    /// Writes header and payload and returns the length of the packet.
    #[inline]
    pub fn write_packet(&self, payload: &[u8], buffer: &mut [u8]) -> Result<usize, WriteError> {
        let start = self.write_into(buffer)?;
        let end = start.checked_add(payload.len()).ok_or(WriteError::BufferTooSmall)?;
        buffer.get_mut(start..end).ok_or(WriteError::BufferTooSmall)?.copy_from_slice(payload);
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let header = RtpHeader {
            marker: true,
            csrcs: &[1, 2],
            extension: Some(Extension { profile: 0xbede, data: &[0x10, 7, 0, 0] }),
            ..RtpHeader::new(101, 65535, 7, 9)
        };
        let mut buffer = [0; 64];
        let len = header.write_packet(b"abc", &mut buffer).unwrap();
        let packet = RtpPacket::parse(&buffer[..len]).unwrap();
        assert_eq!((packet.payload_type(), packet.marker(), packet.sequence()), (101, true, 65535));
        assert_eq!((packet.timestamp(), packet.ssrc(), packet.padding()), (7, 9, 0));
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(packet.extension(), header.extension);
        assert_eq!(packet.payload(), b"abc");
    }

    #[test]
    fn every_prefix_is_refused_or_a_shorter_payload() {
        let header = RtpHeader {
            csrcs: &[1],
            extension: Some(Extension { profile: 1, data: &[0; 8] }),
            ..RtpHeader::new(0, 1, 2, 3)
        };
        let mut buffer = [0; 64];
        let len = header.write_packet(b"payload", &mut buffer).unwrap();
        for end in 0..=len {
            let parsed = RtpPacket::parse(&buffer[..end]);
            assert_eq!(parsed.is_ok(), end >= 28, "{end}");
        }
    }

    #[test]
    fn padding_is_cut_and_checked() {
        let mut data = [0_u8; 16];
        data[0] = 0xa0;
        data[15] = 3;
        let packet = RtpPacket::parse(&data).unwrap();
        assert_eq!((packet.payload().len(), packet.padding()), (1, 3));
        for bad in [0, 5, 255] {
            data[15] = bad;
            assert_eq!(RtpPacket::parse(&data).unwrap_err().kind, ParseErrorKind::Padding);
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let mut buffer = [0; 64];
        assert!(RtpHeader::new(128, 0, 0, 0).write_into(&mut buffer).is_err());
        let header = RtpHeader { csrcs: &[0; 16], ..RtpHeader::new(0, 0, 0, 0) };
        assert!(header.write_into(&mut buffer).is_err());
        let extension = Some(Extension { profile: 1, data: &[0; 3] });
        let header = RtpHeader { extension, ..RtpHeader::new(0, 0, 0, 0) };
        assert!(header.write_into(&mut buffer).is_err());
        assert_eq!(RtpHeader::new(0, 0, 0, 0).write_into(&mut [0; 11]), Err(WriteError::BufferTooSmall));
    }
}
