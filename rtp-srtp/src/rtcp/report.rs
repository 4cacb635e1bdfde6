//! Sender and receiver reports (RFC 3550 §6.4).

use std::time::Duration;

use crate::error::WriteError;
use crate::wire::{Cursor, Reader};

/// A wall clock time as NTP writes it: seconds since 1900 in the high half, a binary fraction in the low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtpTime(pub u64);

/// Seconds from 1900 to 1970.
const UNIX_EPOCH: u64 = 2_208_988_800;

impl NtpTime {
    /// From the time since the Unix epoch; the seconds wrap in 2036, as the format does.
    #[must_use]
    pub fn from_unix(since_epoch: Duration) -> Self {
        let zero = Self(UNIX_EPOCH << 32);
        zero.plus(since_epoch)
    }

    /// This time and a duration, modulo 2^32 seconds.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(duration.as_secs().wrapping_shl(32)).wrapping_add(fraction))
    }

    /// The middle 32 bits: units of 1/65536 s, as LSR and DLSR count.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the middle 32 bits are what is asked for")]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// The wall clock when the report was sent; zero if the sender has none.
    pub ntp: NtpTime,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent since this SSRC began.
    pub packet_count: u32,
    /// Payload bytes sent since this SSRC began.
    pub octet_count: u32,
}

/// How one source was received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, 24 bits signed (duplicates can make it negative).
    pub cumulative_lost: i32,
    /// Cycles in the high half, the highest sequence number received in the low.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// The middle of the NTP time of the last sender report received, 0 if none.
    pub last_sr: u32,
    /// The time since then in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    pub(crate) const LEN: usize = 24;

    fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let ssrc = reader.u32()?;
        let [fraction_lost, a, b, c] = reader.array()?;
        Some(Self {
            ssrc,
            fraction_lost,
            cumulative_lost: i32::from_be_bytes([a, b, c, 0]) >> 8,
            highest_sequence: reader.u32()?,
            jitter: reader.u32()?,
            last_sr: reader.u32()?,
            delay_since_last_sr: reader.u32()?,
        })
    }

    pub(crate) fn write(&self, cursor: &mut Cursor<'_>) -> Result<(), WriteError> {
        let [_, a, b, c] = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
        cursor.u32(self.ssrc)?;
        cursor.bytes(&[self.fraction_lost, a, b, c])?;
        cursor.u32(self.highest_sequence)?;
        cursor.u32(self.jitter)?;
        cursor.u32(self.last_sr)?;
        cursor.u32(self.delay_since_last_sr)
    }
}

/// The report blocks of a report, at most 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlocks<'a> {
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> ReportBlocks<'a> {
    fn parse(count: u8, reader: &mut Reader<'a>) -> Option<Self> {
        let blocks = reader.bytes(usize::from(count) * ReportBlock::LEN)?.as_chunks().0;
        Some(Self { blocks })
    }

    /// The blocks in wire order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().filter_map(ReportBlock::parse)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// A sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// Who sent it.
    pub ssrc: u32,
    /// What it says of its own sending.
    pub info: SenderInfo,
    /// How it receives others.
    pub blocks: ReportBlocks<'a>,
    /// Profile-specific extensions (RFC 3550 §6.4.3).
    pub extension: &'a [u8],
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, mut reader: Reader<'a>) -> Option<Self> {
        let ssrc = reader.u32()?;
        let info = SenderInfo {
            ntp: NtpTime(reader.u64()?),
            rtp_timestamp: reader.u32()?,
            packet_count: reader.u32()?,
            octet_count: reader.u32()?,
        };
        let blocks = ReportBlocks::parse(count, &mut reader)?;
        Some(Self { ssrc, info, blocks, extension: reader.rest() })
    }
}

/// A receiver report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Who sent it.
    pub ssrc: u32,
    /// How it receives others.
    pub blocks: ReportBlocks<'a>,
    /// Profile-specific extensions (RFC 3550 §6.4.3).
    pub extension: &'a [u8],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, mut reader: Reader<'a>) -> Option<Self> {
        let ssrc = reader.u32()?;
        let blocks = ReportBlocks::parse(count, &mut reader)?;
        Some(Self { ssrc, blocks, extension: reader.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_of_the_unix_epoch_and_the_2036_wrap() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO).0, UNIX_EPOCH << 32);
        let half = NtpTime::from_unix(Duration::from_millis(500));
        assert_eq!(half.0 & 0xffff_ffff, 0x8000_0000);
        let before = NtpTime::from_unix(Duration::from_secs((1 << 32) - 1 - UNIX_EPOCH));
        assert_eq!(before.0 >> 32, 0xffff_ffff);
        assert_eq!(before.plus(Duration::from_secs(2)).0 >> 32, 1);
    }

    #[test]
    fn cumulative_loss_is_24_bits_signed() {
        for (lost, kept) in [(-1, -1), (5, 5), (1 << 30, 0x7f_ffff), (-(1 << 30), -0x80_0000)] {
            let mut buffer = [0; 24];
            ReportBlock { cumulative_lost: lost, ..Default::default() }
                .write(&mut Cursor::new(&mut buffer))
                .unwrap();
            assert_eq!(ReportBlock::parse(&buffer).unwrap().cumulative_lost, kept);
        }
    }
}
