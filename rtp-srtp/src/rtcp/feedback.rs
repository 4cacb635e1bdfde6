//! Feedback messages (RFC 4585 §6).

use super::packet_type;
use crate::wire::Reader;

/// A feedback message: who asks whom for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// What is asked.
    pub format: FeedbackFormat,
    /// Who sends the feedback.
    pub sender: u32,
    /// The source it is about.
    pub media: u32,
    /// The feedback control information.
    pub fci: &'a [u8],
}

/// The packet type and format of a feedback message; unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeedbackFormat {
    /// Packets were lost (RFC 4585 §6.2.1).
    GenericNack,
    /// A picture was lost (RFC 4585 §6.3.1).
    PictureLoss,
    /// A full intra frame is asked for (RFC 5104 §4.3.1).
    FullIntra,
    /// Another transport layer format.
    Transport(u8),
    /// Another payload-specific format.
    Payload(u8),
}

impl FeedbackFormat {
    pub(super) const fn new(packet_type: u8, format: u8) -> Self {
        match (packet_type, format) {
            (packet_type::RTPFB, 1) => Self::GenericNack,
            (packet_type::RTPFB, format) => Self::Transport(format),
            (_, 1) => Self::PictureLoss,
            (_, 4) => Self::FullIntra,
            (_, format) => Self::Payload(format),
        }
    }

    /// The packet type and the five bits of the format.
    #[must_use]
    pub const fn to_wire(self) -> (u8, u8) {
        match self {
            Self::GenericNack => (packet_type::RTPFB, 1),
            Self::Transport(format) => (packet_type::RTPFB, format & 0x1f),
            Self::PictureLoss => (packet_type::PSFB, 1),
            Self::FullIntra => (packet_type::PSFB, 4),
            Self::Payload(format) => (packet_type::PSFB, format & 0x1f),
        }
    }
}

impl<'a> Feedback<'a> {
    pub(super) fn parse(packet_type: u8, format: u8, mut reader: Reader<'a>) -> Option<Self> {
        let format = FeedbackFormat::new(packet_type, format);
        Some(Self { format, sender: reader.u32()?, media: reader.u32()?, fci: reader.rest() })
    }

    /// The sequence numbers that a generic NACK names; empty for other formats.
    #[must_use]
    pub fn lost(&self) -> LostSequences<'a> {
        let words = if self.format == FeedbackFormat::GenericNack { self.fci.as_chunks().0 } else { &[] };
        LostSequences { words: words.iter(), next: 0, mask: 0 }
    }
}

/// Iterates over the sequence numbers of a generic NACK.
#[derive(Clone, Debug)]
pub struct LostSequences<'a> {
    words: std::slice::Iter<'a, [u8; 4]>,
    next: u16,
    mask: u32,
}

impl Iterator for LostSequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask == 0 {
            let [p0, p1, m0, m1] = *self.words.next()?;
            self.next = u16::from_be_bytes([p0, p1]);
            // Bit 0 is the packet itself, bit i+1 the packet i+1 after it.
            self.mask = (u32::from(u16::from_be_bytes([m0, m1])) << 1) | 1;
        }
        let skip = self.mask.trailing_zeros();
        let sequence = self.next.wrapping_add(u16::try_from(skip).unwrap_or(0));
        self.mask &= self.mask - 1;
        Some(sequence)
    }
}
