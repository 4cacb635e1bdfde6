//! Builds a compound packet in the caller's buffer.

use super::feedback::FeedbackFormat;
use super::packet_type;
use super::report::{ReportBlock, SenderInfo};
use super::sdes::Item;
use super::xr::VoipMetrics;
use super::xr_blocks::XrWriter;
use crate::error::WriteError;
use crate::wire::Cursor;

/// Writes RTCP packets one after the other. A packet that does not fit leaves no trace.
///
/// ```
/// use rtp_srtp::rtcp::{Compound, Packet, Writer};
/// let mut buffer = [0; 200];
/// let mut writer = Writer::new(&mut buffer);
/// writer.receiver_report(7, &[])?;
/// writer.cname(7, "alice@example.com")?;
/// let len = writer.finish();
/// assert_eq!(Compound::parse(&buffer[..len])?.packets().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer<'b> {
    cursor: Cursor<'b>,
}

impl<'b> Writer<'b> {
    /// Starts at the front of `buffer`.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { cursor: Cursor::new(buffer) }
    }

    /// The length of the compound so far.
    #[must_use]
    pub const fn finish(self) -> usize {
        self.cursor.len()
    }

    /// A sender report with at most 31 blocks.
    pub fn sender_report(
        &mut self,
        ssrc: u32,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), WriteError> {
        self.packet(packet_type::SR, blocks.len(), |cursor| {
            cursor.u32(ssrc)?;
            cursor.u64(info.ntp.0)?;
            cursor.u32(info.rtp_timestamp)?;
            cursor.u32(info.packet_count)?;
            cursor.u32(info.octet_count)?;
            blocks.iter().try_for_each(|block| block.write(cursor))
        })
    }

    /// A receiver report with at most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), WriteError> {
        self.packet(packet_type::RR, blocks.len(), |cursor| {
            cursor.u32(ssrc)?;
            blocks.iter().try_for_each(|block| block.write(cursor))
        })
    }

    /// A source description with the canonical name of one source.
    pub fn cname(&mut self, ssrc: u32, cname: &str) -> Result<(), WriteError> {
        self.sdes(&[(ssrc, &[Item { kind: Item::CNAME, text: cname.as_bytes() }])])
    }

    /// A source description with one chunk per source.
    pub fn sdes(&mut self, chunks: &[(u32, &[Item<'_>])]) -> Result<(), WriteError> {
        self.packet(packet_type::SDES, chunks.len(), |cursor| {
            for (ssrc, items) in chunks {
                cursor.u32(*ssrc)?;
                for item in *items {
                    let len = u8::try_from(item.text.len());
                    let len = len.map_err(|_| WriteError::DoesNotFit("SDES text"))?;
                    if item.kind == 0 {
                        return Err(WriteError::DoesNotFit("SDES item type"));
                    }
                    cursor.bytes(&[item.kind, len])?;
                    cursor.bytes(item.text)?;
                }
                // RFC 3550 §6.5: at least one null ends the list.
                cursor.u8(0)?;
                align(cursor)?;
            }
            Ok(())
        })
    }

    /// A goodbye.
    pub fn bye(&mut self, sources: &[u32], reason: Option<&str>) -> Result<(), WriteError> {
        self.packet(packet_type::BYE, sources.len(), |cursor| {
            sources.iter().try_for_each(|source| cursor.u32(*source))?;
            if let Some(reason) = reason {
                cursor.u8(u8::try_from(reason.len()).map_err(|_| WriteError::DoesNotFit("reason"))?)?;
                cursor.bytes(reason.as_bytes())?;
                align(cursor)?;
            }
            Ok(())
        })
    }

    /// An application-defined packet; `data` is a multiple of 4 bytes.
    pub fn app(&mut self, subtype: u8, ssrc: u32, name: [u8; 4], data: &[u8]) -> Result<(), WriteError> {
        self.packet(packet_type::APP, usize::from(subtype), |cursor| {
            cursor.u32(ssrc)?;
            cursor.bytes(&name)?;
            cursor.bytes(data)
        })
    }

    /// A feedback message; `fci` is a multiple of 4 bytes.
    pub fn feedback(
        &mut self,
        format: FeedbackFormat,
        sender: u32,
        media: u32,
        fci: &[u8],
    ) -> Result<(), WriteError> {
        let (kind, format) = format.to_wire();
        self.packet(kind, usize::from(format), |cursor| {
            cursor.u32(sender)?;
            cursor.u32(media)?;
            cursor.bytes(fci)
        })
    }

    /// A generic NACK for these sequence numbers, which must be in the order of sending (RFC 4585 §6.2.1).
    pub fn nack(&mut self, sender: u32, media: u32, lost: &[u16]) -> Result<(), WriteError> {
        self.packet(packet_type::RTPFB, 1, |cursor| {
            cursor.u32(sender)?;
            cursor.u32(media)?;
            let mut rest = lost.iter().copied().peekable();
            while let Some(first) = rest.next() {
                let mut mask = 0_u16;
                while let Some(distance) =
                    rest.peek().map(|next| next.wrapping_sub(first)).filter(|d| (1..=16).contains(d))
                {
                    mask |= 1 << (distance - 1);
                    rest.next();
                }
                cursor.u16(first)?;
                cursor.u16(mask)?;
            }
            Ok(())
        })
    }

    /// An extended report of VoIP metrics blocks.
    pub fn voip_metrics(&mut self, ssrc: u32, blocks: &[VoipMetrics]) -> Result<(), WriteError> {
        self.extended_report(ssrc, |report| blocks.iter().try_for_each(|block| report.voip_metrics(block)))
    }

    /// An extended report with the blocks that `blocks` writes (RFC 3611 §2).
    pub fn extended_report(
        &mut self,
        ssrc: u32,
        blocks: impl FnOnce(&mut XrWriter<'_, 'b>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        self.packet(packet_type::XR, 0, |cursor| {
            cursor.u32(ssrc)?;
            blocks(&mut XrWriter { cursor })
        })
    }

    fn packet(
        &mut self,
        kind: u8,
        count: usize,
        body: impl FnOnce(&mut Cursor<'b>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let start = self.cursor.len();
        let result = self.try_packet(start, kind, count, body);
        if result.is_err() {
            self.cursor.truncate(start);
        }
        result
    }

    fn try_packet(
        &mut self,
        start: usize,
        kind: u8,
        count: usize,
        body: impl FnOnce(&mut Cursor<'b>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let count = u8::try_from(count).ok().filter(|count| *count <= 31);
        let count = count.ok_or(WriteError::DoesNotFit("RTCP count"))?;
        self.cursor.bytes(&[0x80 | count, kind, 0, 0])?;
        body(&mut self.cursor)?;
        let len = self.cursor.len() - start;
        if !len.is_multiple_of(4) {
            return Err(WriteError::DoesNotFit("data that is no multiple of 4 bytes"));
        }
        let words = u16::try_from(len / 4 - 1).map_err(|_| WriteError::DoesNotFit("RTCP length"))?;
        self.cursor.set_u16(start + 2, words)
    }
}

fn align(cursor: &mut Cursor<'_>) -> Result<(), WriteError> {
    while !cursor.len().is_multiple_of(4) {
        cursor.u8(0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, NtpTime, Packet};
    use super::*;

    #[test]
    fn a_compound_of_everything_reads_back() {
        let block = ReportBlock {
            ssrc: 9,
            fraction_lost: 12,
            cumulative_lost: -3,
            highest_sequence: 0x1_0005,
            jitter: 44,
            last_sr: 5,
            delay_since_last_sr: 6,
        };
        let info = SenderInfo { ntp: NtpTime(1 << 40), rtp_timestamp: 2, packet_count: 3, octet_count: 4 };
        let mut buffer = [0; 600];
        let mut writer = Writer::new(&mut buffer);
        writer.sender_report(7, &info, &[block, block]).unwrap();
        writer.receiver_report(7, &[block]).unwrap();
        writer.cname(7, "me@here").unwrap();
        writer.nack(7, 9, &[65534, 2, 14, 40]).unwrap();
        writer.app(3, 7, *b"test", &[1, 2, 3, 4]).unwrap();
        writer.bye(&[7, 8], Some("so long")).unwrap();
        let len = writer.finish();
        let compound = Compound::parse(&buffer[..len]).unwrap();
        assert!(compound.is_full());
        assert_eq!(compound.sender(), Some(7));
        let packets: Vec<_> = compound.packets().collect();
        let [
            Packet::SenderReport(sr),
            Packet::ReceiverReport(rr),
            Packet::Sdes(sdes),
            Packet::Feedback(nack),
            Packet::App(app),
            Packet::Bye(bye),
        ] = packets[..]
        else {
            panic!("{packets:?}")
        };
        assert_eq!((sr.ssrc, sr.info), (7, info));
        assert!(sr.blocks.iter().eq([block, block]));
        assert!(rr.blocks.iter().eq([block]));
        assert_eq!(sdes.cname(7), Some(b"me@here".as_slice()));
        assert_eq!(nack.lost().collect::<Vec<_>>(), [65534, 2, 14, 40]);
        assert_eq!((app.subtype, app.name, app.data), (3, *b"test", [1, 2, 3, 4].as_slice()));
        assert!(bye.sources().eq([7, 8]));
        assert_eq!(bye.reason, Some(b"so long".as_slice()));
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut buffer = [0; 20];
        let mut writer = Writer::new(&mut buffer);
        writer.receiver_report(7, &[]).unwrap();
        assert_eq!(writer.cname(7, "a name too long for it"), Err(WriteError::BufferTooSmall));
        assert!(writer.bye(&[0; 32], None).is_err());
        assert!(writer.app(1, 2, *b"abcd", &[0]).is_err());
        let len = writer.finish();
        assert_eq!(len, 8);
        assert!(Compound::parse(&buffer[..len]).is_ok());
    }
}
