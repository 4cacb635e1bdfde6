//! The blocks of extended reports with a meaning (RFC 3611 §4.1 to §4.6).

use super::NtpTime;
use super::xr::XrBlock;
use crate::error::WriteError;
use crate::wire::{Cursor, Reader};

/// What a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XrContent<'a> {
    /// Which packets were lost (RFC 3611 §4.1).
    Loss(RunLengths<'a>),
    /// Which packets came more than once (RFC 3611 §4.2).
    Duplicates(RunLengths<'a>),
    /// When packets came (RFC 3611 §4.3).
    ReceiptTimes(ReceiptTimes<'a>),
    /// The wall clock of who does not send, so that it learns the round trip too (RFC 3611 §4.4).
    ReferenceTime(NtpTime),
    /// The answers to that (RFC 3611 §4.5).
    Delays(Delays<'a>),
    /// Figures of an interval (RFC 3611 §4.6).
    Summary(StatisticsSummary),
    /// How a call sounds (RFC 3611 §4.7).
    VoipMetrics(super::VoipMetrics),
    /// Another block, or one that is not as its type has to be.
    Unknown,
}

impl<'a> XrBlock<'a> {
    /// What the block says.
    #[must_use]
    pub fn content(&self) -> XrContent<'a> {
        let known = match self.kind {
            Self::LOSS_RLE => RunLengths::parse(self).map(XrContent::Loss),
            Self::DUPLICATE_RLE => RunLengths::parse(self).map(XrContent::Duplicates),
            Self::RECEIPT_TIMES => ReceiptTimes::parse(self).map(XrContent::ReceiptTimes),
            Self::RECEIVER_REFERENCE_TIME => <[u8; 8]>::try_from(self.body)
                .ok()
                .map(|ntp| XrContent::ReferenceTime(NtpTime(u64::from_be_bytes(ntp)))),
            Self::DLRR => {
                let (blocks, rest) = self.body.as_chunks();
                rest.is_empty().then_some(XrContent::Delays(Delays { blocks }))
            }
            Self::STATISTICS_SUMMARY => StatisticsSummary::parse(self).map(XrContent::Summary),
            Self::VOIP_METRICS => self.voip_metrics().map(XrContent::VoipMetrics),
            _ => None,
        };
        known.unwrap_or(XrContent::Unknown)
    }
}

/// What all blocks about packets of a source begin with: thinning, source, and from where up to before where.
fn span(block: &XrBlock<'_>) -> Option<(u8, u32, u16, u16)> {
    let mut reader = Reader::new(block.body);
    Some((block.specific & 0x0f, reader.u32()?, reader.u16()?, reader.u16()?))
}

/// A mark for each packet of a span, by run lengths and bit vectors (RFC 3611 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLengths<'a> {
    /// Only every 2^thinning-th packet is told of.
    pub thinning: u8,
    /// The source.
    pub ssrc: u32,
    /// The first sequence number.
    pub begin: u16,
    /// The one after the last.
    pub end: u16,
    chunks: &'a [[u8; 2]],
}

impl<'a> RunLengths<'a> {
    fn parse(block: &XrBlock<'a>) -> Option<Self> {
        let (thinning, ssrc, begin, end) = span(block)?;
        let (_, chunks) = block.body.split_at_checked(8)?;
        let (chunks, rest) = chunks.as_chunks();
        rest.is_empty().then_some(Self { thinning, ssrc, begin, end, chunks })
    }

    /// Sequence number and mark of each packet that is told of. In a loss block a mark is an arrival, in a
    /// duplicates block a single arrival.
    pub fn packets(&self) -> impl Iterator<Item = (u16, bool)> + 'a {
        let step = 1_u16 << self.thinning;
        // RFC 3611 §4.1: with thinning only multiples of it are told of.
        let first = self.begin.wrapping_add(step - 1) & !(step - 1);
        let skipped = first.wrapping_sub(self.begin);
        let span = self.end.wrapping_sub(self.begin);
        let count = usize::from(span.saturating_sub(skipped).div_ceil(step));
        let marks = self.chunks.iter().map_while(|chunk| Marks::of(u16::from_be_bytes(*chunk))).flatten();
        let numbers = std::iter::successors(Some(first), move |number| Some(number.wrapping_add(step)));
        numbers.zip(marks).take(count)
    }

    pub(super) fn write(
        cursor: &mut Cursor<'_>,
        kind: u8,
        ssrc: u32,
        begin: u16,
        marks: &[bool],
    ) -> Result<(), WriteError> {
        let too_many = |_| WriteError::DoesNotFit("packets of a span");
        let length = u16::try_from(marks.len()).map_err(too_many)?;
        let start = cursor.len();
        cursor.bytes(&[kind, 0, 0, 0])?;
        cursor.u32(ssrc)?;
        cursor.u16(begin)?;
        cursor.u16(begin.wrapping_add(length))?;
        let mut rest = marks;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|mark| *mark == first).count().min(0x3fff);
            // A bit vector tells of 15: a run is shorter where it is longer than that, or the end.
            let (chunk, told) = if run > 15 || run == rest.len() {
                ((u16::from(*first) << 14) | u16::try_from(run).map_err(too_many)?, run)
            } else {
                let bits = rest.iter().chain(std::iter::repeat(&false)).take(15);
                (0x8000 | bits.fold(0, |bits, mark| (bits << 1) | u16::from(*mark)), rest.len().min(15))
            };
            cursor.u16(chunk)?;
            rest = rest.get(told..).unwrap_or_default();
        }
        if !(cursor.len() - start).is_multiple_of(4) {
            cursor.u16(0)?;
        }
        let words = (cursor.len() - start) / 4 - 1;
        cursor.set_u16(start + 2, u16::try_from(words).map_err(too_many)?)
    }
}

/// What one chunk stands for, bit by bit.
#[derive(Clone, Copy, Debug)]
struct Marks {
    left: u16,
    /// The next one is bit 14; a run repeats it.
    bits: u16,
    run: bool,
}

impl Marks {
    /// A chunk of zeros ends the list.
    const fn of(chunk: u16) -> Option<Self> {
        match chunk {
            0 => None,
            0x8000.. => Some(Self { left: 15, bits: chunk, run: false }),
            _ => Some(Self { left: chunk & 0x3fff, bits: chunk, run: true }),
        }
    }
}

impl Iterator for Marks {
    type Item = bool;

    fn next(&mut self) -> Option<bool> {
        self.left = self.left.checked_sub(1)?;
        let mark = self.bits & 0x4000 != 0;
        if !self.run {
            self.bits <<= 1;
        }
        Some(mark)
    }
}

/// When the packets of a span came (RFC 3611 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptTimes<'a> {
    /// Only every 2^thinning-th packet is told of.
    pub thinning: u8,
    /// The source.
    pub ssrc: u32,
    /// The first sequence number.
    pub begin: u16,
    /// The one after the last.
    pub end: u16,
    times: &'a [[u8; 4]],
}

impl<'a> ReceiptTimes<'a> {
    fn parse(block: &XrBlock<'a>) -> Option<Self> {
        let (thinning, ssrc, begin, end) = span(block)?;
        let (_, times) = block.body.split_at_checked(8)?;
        let (times, rest) = times.as_chunks();
        rest.is_empty().then_some(Self { thinning, ssrc, begin, end, times })
    }

    /// When each packet that is told of came, on the RTP clock of the source.
    pub fn times(&self) -> impl Iterator<Item = u32> + 'a {
        self.times.iter().map(|time| u32::from_be_bytes(*time))
    }
}

/// Answers to reference times (RFC 3611 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays<'a> {
    blocks: &'a [[u8; 12]],
}

/// One answer: who it is for, the middle of its reference time, and how long ago that came in 1/65536 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Whose reference time it was.
    pub ssrc: u32,
    /// The middle 32 bits of it.
    pub last_rr: u32,
    /// The time since it came.
    pub delay: u32,
}

impl<'a> Delays<'a> {
    /// The answers.
    pub fn iter(&self) -> impl Iterator<Item = Delay> + 'a {
        self.blocks.iter().filter_map(|block| {
            let mut reader = Reader::new(block);
            Some(Delay { ssrc: reader.u32()?, last_rr: reader.u32()?, delay: reader.u32()? })
        })
    }

    pub(super) fn write(cursor: &mut Cursor<'_>, delays: &[Delay]) -> Result<(), WriteError> {
        let words = u16::try_from(delays.len() * 3).map_err(|_| WriteError::DoesNotFit("answers"))?;
        cursor.bytes(&[XrBlock::DLRR, 0])?;
        cursor.u16(words)?;
        for delay in delays {
            cursor.u32(delay.ssrc)?;
            cursor.u32(delay.last_rr)?;
            cursor.u32(delay.delay)?;
        }
        Ok(())
    }
}

/// Figures of an interval (RFC 3611 §4.6); what is not told is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatisticsSummary {
    /// The source.
    pub ssrc: u32,
    /// The first sequence number.
    pub begin: u16,
    /// The one after the last.
    pub end: u16,
    /// Packets lost.
    pub lost: Option<u32>,
    /// Packets that came more than once.
    pub duplicates: Option<u32>,
    /// The least, largest, mean and deviation of the relative transit time between two packets, in units of the
    /// RTP clock.
    pub jitter: Option<[u32; 4]>,
    /// Least, largest, mean and deviation of TTL (IPv4, true) or hop limit, as they came.
    pub ttl: Option<(bool, [u8; 4])>,
}

impl StatisticsSummary {
    fn parse(block: &XrBlock<'_>) -> Option<Self> {
        if block.body.len() != 36 {
            return None;
        }
        let mut reader = Reader::new(block.body);
        let (ssrc, begin, end) = (reader.u32()?, reader.u16()?, reader.u16()?);
        let (lost, duplicates) = (reader.u32()?, reader.u32()?);
        let jitter = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
        let ttl = reader.array()?;
        let told = |bit: u8| block.specific & bit != 0;
        let family = match (block.specific >> 3) & 3 {
            1 => Some(true),
            2 => Some(false),
            _ => None,
        };
        Some(Self {
            ssrc,
            begin,
            end,
            lost: told(0x80).then_some(lost),
            duplicates: told(0x40).then_some(duplicates),
            jitter: told(0x20).then_some(jitter),
            ttl: family.map(|v4| (v4, ttl)),
        })
    }

    pub(super) fn write(&self, cursor: &mut Cursor<'_>) -> Result<(), WriteError> {
        let bit = |told: bool, bit: u8| if told { bit } else { 0 };
        let family = self.ttl.map_or(0, |(v4, _)| if v4 { 1 << 3 } else { 2 << 3 });
        let flags = bit(self.lost.is_some(), 0x80)
            | bit(self.duplicates.is_some(), 0x40)
            | bit(self.jitter.is_some(), 0x20)
            | family;
        cursor.bytes(&[XrBlock::STATISTICS_SUMMARY, flags, 0, 9])?;
        cursor.u32(self.ssrc)?;
        cursor.u16(self.begin)?;
        cursor.u16(self.end)?;
        cursor.u32(self.lost.unwrap_or(0))?;
        cursor.u32(self.duplicates.unwrap_or(0))?;
        for value in self.jitter.unwrap_or_default() {
            cursor.u32(value)?;
        }
        cursor.bytes(&self.ttl.map_or([0; 4], |(_, ttl)| ttl))
    }
}

/// Writes the blocks of one extended report; made by [`super::Writer::extended_report`].
#[derive(Debug)]
pub struct XrWriter<'c, 'b> {
    pub(super) cursor: &'c mut Cursor<'b>,
}

impl XrWriter<'_, '_> {
    /// Which packets came, from `begin` on (RFC 3611 §4.1).
    pub fn loss(&mut self, ssrc: u32, begin: u16, received: &[bool]) -> Result<(), WriteError> {
        RunLengths::write(self.cursor, XrBlock::LOSS_RLE, ssrc, begin, received)
    }

    /// Which packets came once, from `begin` on (RFC 3611 §4.2).
    pub fn duplicates(&mut self, ssrc: u32, begin: u16, single: &[bool]) -> Result<(), WriteError> {
        RunLengths::write(self.cursor, XrBlock::DUPLICATE_RLE, ssrc, begin, single)
    }

    /// When the packets came, from `begin` on, on the RTP clock of the source (RFC 3611 §4.3).
    pub fn receipt_times(&mut self, ssrc: u32, begin: u16, times: &[u32]) -> Result<(), WriteError> {
        let too_many = |_| WriteError::DoesNotFit("packets of a span");
        let length = u16::try_from(times.len()).map_err(too_many)?;
        let words = length.checked_add(2).ok_or(WriteError::DoesNotFit("packets of a span"))?;
        self.cursor.bytes(&[XrBlock::RECEIPT_TIMES, 0])?;
        self.cursor.u16(words)?;
        self.cursor.u32(ssrc)?;
        self.cursor.u16(begin)?;
        self.cursor.u16(begin.wrapping_add(length))?;
        times.iter().try_for_each(|time| self.cursor.u32(*time))
    }

    /// Our wall clock (RFC 3611 §4.4).
    pub fn reference_time(&mut self, ntp: NtpTime) -> Result<(), WriteError> {
        self.cursor.bytes(&[XrBlock::RECEIVER_REFERENCE_TIME, 0, 0, 2])?;
        self.cursor.u64(ntp.0)
    }

    /// Answers to reference times (RFC 3611 §4.5).
    pub fn delays(&mut self, delays: &[Delay]) -> Result<(), WriteError> {
        Delays::write(self.cursor, delays)
    }

    /// Figures of an interval (RFC 3611 §4.6).
    pub fn summary(&mut self, summary: &StatisticsSummary) -> Result<(), WriteError> {
        summary.write(self.cursor)
    }

    /// How a call sounds (RFC 3611 §4.7).
    pub fn voip_metrics(&mut self, metrics: &super::VoipMetrics) -> Result<(), WriteError> {
        metrics.write(self.cursor)
    }

    /// A block of bytes as they are; `body` is a multiple of 4 bytes.
    pub fn block(&mut self, block: &XrBlock<'_>) -> Result<(), WriteError> {
        let words = u16::try_from(block.body.len() / 4).map_err(|_| WriteError::DoesNotFit("a block"))?;
        self.cursor.bytes(&[block.kind, block.specific])?;
        self.cursor.u16(words)?;
        self.cursor.bytes(block.body)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet, Writer};
    use super::*;

    fn contents(buffer: &[u8]) -> Vec<XrContent<'_>> {
        let Some(Packet::ExtendedReport(report)) = Compound::parse(buffer).unwrap().packets().next() else {
            panic!("an extended report")
        };
        report.blocks().map(|block| block.content()).collect()
    }

    #[test]
    fn every_block_reads_back() {
        let mut state = 7_u32;
        let mut marks = |length: usize, often: u32| -> Vec<bool> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 24 < often
            };
            (0..length).map(|_| next()).collect()
        };
        for (length, often) in [(0, 0), (1, 256), (14, 128), (15, 128), (16, 240), (400, 250), (40_000, 255)]
        {
            let (lost, single) = (marks(length, often), marks(length, 200));
            let summary = StatisticsSummary {
                ssrc: 9,
                begin: 65_000,
                end: 3,
                lost: Some(4),
                jitter: Some([1, 2, 3, 4]),
                ttl: Some((true, [60, 64, 62, 1])),
                ..StatisticsSummary::default()
            };
            let delays = [Delay { ssrc: 1, last_rr: 2, delay: 3 }, Delay { ssrc: 4, last_rr: 5, delay: 6 }];
            let mut buffer = vec![0; 20_000];
            let mut writer = Writer::new(&mut buffer);
            writer
                .extended_report(7, |blocks| {
                    blocks.loss(9, 65_000, &lost)?;
                    blocks.duplicates(9, 65_000, &single)?;
                    blocks.receipt_times(9, 65_535, &[10, 20, 30])?;
                    blocks.reference_time(NtpTime(1 << 40))?;
                    blocks.delays(&delays)?;
                    blocks.summary(&summary)
                })
                .unwrap();
            let length = writer.finish();
            let found = contents(&buffer[..length]);
            let [
                XrContent::Loss(loss),
                XrContent::Duplicates(duplicates),
                XrContent::ReceiptTimes(times),
                XrContent::ReferenceTime(NtpTime(0x100_0000_0000)),
                XrContent::Delays(answers),
                XrContent::Summary(read),
            ] = found[..]
            else {
                panic!("{found:?}")
            };
            let numbers = |marks: &[bool]| -> Vec<(u16, bool)> {
                marks
                    .iter()
                    .enumerate()
                    .map(|(at, mark)| (65_000_u16.wrapping_add(at as u16), *mark))
                    .collect()
            };
            assert_eq!(loss.packets().collect::<Vec<_>>(), numbers(&lost));
            assert_eq!(duplicates.packets().collect::<Vec<_>>(), numbers(&single));
            assert_eq!((times.end, times.times().collect::<Vec<_>>()), (2, vec![10, 20, 30]));
            assert!(answers.iter().eq(delays));
            assert_eq!(read, summary);
        }
    }

    /// RFC 3611 §4.1: with a thinning of 2, packets whose numbers are multiples of 4.
    #[test]
    fn thinned_packets_are_those_told_of() {
        // From 5 to before 17: 8, 12 and 16; of them the second was lost.
        let body = [0, 0, 0, 9, 0, 5, 0, 17, 0b1101_0000, 0, 0, 0];
        let block = XrBlock { kind: XrBlock::LOSS_RLE, specific: 2, body: &body };
        let XrContent::Loss(loss) = block.content() else { panic!("{block:?}") };
        assert_eq!(loss.packets().collect::<Vec<_>>(), [(8, true), (12, false), (16, true)]);
    }

    #[test]
    fn what_is_not_as_its_type_has_to_be_is_unknown() {
        for kind in 1..=7 {
            let block = XrBlock { kind, specific: 0xff, body: &[0; 4] };
            assert_eq!(block.content(), XrContent::Unknown, "{kind}");
        }
        assert_eq!(XrBlock { kind: 99, specific: 0, body: &[] }.content(), XrContent::Unknown);
    }
}
