//! Extended reports (RFC 3611): the packet and its VoIP metrics block.

use crate::error::{ParseError, ParseErrorKind, WriteError};
use crate::wire::{Cursor, Reader};

/// An extended report: blocks about the receiving of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReport<'a> {
    /// Who sent it.
    pub ssrc: u32,
    blocks: &'a [u8],
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let bad = ParseError::new(4, ParseErrorKind::Length, "extended report");
        let ssrc = reader.u32().ok_or(bad)?;
        let blocks = reader.rest();
        while !reader.is_empty() {
            XrBlock::parse(&mut reader).ok_or(bad)?;
        }
        Ok(Self { ssrc, blocks })
    }

    /// The blocks in wire order.
    #[must_use]
    pub const fn blocks(&self) -> XrBlocks<'a> {
        XrBlocks { rest: Reader::new(self.blocks) }
    }
}

/// One block of an extended report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XrBlock<'a> {
    /// The block type.
    pub kind: u8,
    /// The byte whose meaning the type gives.
    pub specific: u8,
    /// What follows the 4-byte head.
    pub body: &'a [u8],
}

impl<'a> XrBlock<'a> {
    /// The loss run lengths block (RFC 3611 §4.1).
    pub const LOSS_RLE: u8 = 1;
    /// The duplicate run lengths block (RFC 3611 §4.2).
    pub const DUPLICATE_RLE: u8 = 2;
    /// The packet receipt times block (RFC 3611 §4.3).
    pub const RECEIPT_TIMES: u8 = 3;
    /// The receiver reference time block (RFC 3611 §4.4).
    pub const RECEIVER_REFERENCE_TIME: u8 = 4;
    /// The delay since last receiver report block (RFC 3611 §4.5).
    pub const DLRR: u8 = 5;
    /// The statistics summary block (RFC 3611 §4.6).
    pub const STATISTICS_SUMMARY: u8 = 6;
    /// The VoIP metrics block (RFC 3611 §4.7).
    pub const VOIP_METRICS: u8 = 7;

    fn parse(reader: &mut Reader<'a>) -> Option<Self> {
        let [kind, specific, l0, l1] = reader.array()?;
        let body = reader.bytes(usize::from(u16::from_be_bytes([l0, l1])) * 4)?;
        Some(Self { kind, specific, body })
    }

    /// The block as VoIP metrics, when it is that.
    #[must_use]
    pub fn voip_metrics(&self) -> Option<VoipMetrics> {
        if self.kind == Self::VOIP_METRICS { VoipMetrics::parse(self.body) } else { None }
    }
}

/// Iterates over the blocks of an extended report.
#[derive(Clone, Debug)]
pub struct XrBlocks<'a> {
    rest: Reader<'a>,
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = XrBlock<'a>;

    fn next(&mut self) -> Option<XrBlock<'a>> {
        XrBlock::parse(&mut self.rest)
    }
}

/// How a call sounds (RFC 3611 §4.7). 127 in levels and factors means "not available".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The source reported on.
    pub ssrc: u32,
    /// Share lost by the network, in 1/256.
    pub loss_rate: u8,
    /// Share discarded by the jitter buffer, in 1/256.
    pub discard_rate: u8,
    /// Loss and discard within bursts, in 1/256.
    pub burst_density: u8,
    /// Loss and discard between bursts, in 1/256.
    pub gap_density: u8,
    /// The mean length of bursts in milliseconds.
    pub burst_duration: u16,
    /// The mean length of gaps in milliseconds.
    pub gap_duration: u16,
    /// The round trip between the RTP interfaces in milliseconds.
    pub round_trip_delay: u16,
    /// The delay within the end systems in milliseconds.
    pub end_system_delay: u16,
    /// The speech level in dBm, signed.
    pub signal_level: i8,
    /// The noise level in dBm, signed.
    pub noise_level: i8,
    /// The residual echo return loss in dB.
    pub residual_echo_return_loss: u8,
    /// The gap threshold in packets, usually 16.
    pub gap_threshold: u8,
    /// The R factor, 0 to 100.
    pub r_factor: u8,
    /// The R factor of an external network.
    pub external_r_factor: u8,
    /// The listening MOS times 10.
    pub mos_lq: u8,
    /// The conversational MOS times 10.
    pub mos_cq: u8,
    /// Concealment, jitter buffer type and rate (RFC 3611 §4.7.6).
    pub receiver_config: u8,
    /// The nominal jitter buffer delay in milliseconds.
    pub jitter_nominal: u16,
    /// The current maximum delay of the jitter buffer in milliseconds.
    pub jitter_maximum: u16,
    /// The largest delay the jitter buffer can grow to in milliseconds.
    pub jitter_absolute_maximum: u16,
}

impl VoipMetrics {
    fn parse(body: &[u8]) -> Option<Self> {
        if body.len() != 32 {
            return None;
        }
        let mut reader = Reader::new(body);
        let ssrc = reader.u32()?;
        let [loss_rate, discard_rate, burst_density, gap_density] = reader.array()?;
        let [burst_duration, gap_duration] = [reader.u16()?, reader.u16()?];
        let [round_trip_delay, end_system_delay] = [reader.u16()?, reader.u16()?];
        let [signal, noise, residual_echo_return_loss, gap_threshold] = reader.array()?;
        let [r_factor, external_r_factor, mos_lq, mos_cq] = reader.array()?;
        let [receiver_config, _reserved] = reader.array()?;
        Some(Self {
            ssrc,
            loss_rate,
            discard_rate,
            burst_density,
            gap_density,
            burst_duration,
            gap_duration,
            round_trip_delay,
            end_system_delay,
            signal_level: signal.cast_signed(),
            noise_level: noise.cast_signed(),
            residual_echo_return_loss,
            gap_threshold,
            r_factor,
            external_r_factor,
            mos_lq,
            mos_cq,
            receiver_config,
            jitter_nominal: reader.u16()?,
            jitter_maximum: reader.u16()?,
            jitter_absolute_maximum: reader.u16()?,
        })
    }

    pub(super) fn write(&self, cursor: &mut Cursor<'_>) -> Result<(), WriteError> {
        cursor.bytes(&[XrBlock::VOIP_METRICS, 0, 0, 8])?;
        cursor.u32(self.ssrc)?;
        cursor.bytes(&[self.loss_rate, self.discard_rate, self.burst_density, self.gap_density])?;
        for value in [self.burst_duration, self.gap_duration, self.round_trip_delay, self.end_system_delay] {
            cursor.u16(value)?;
        }
        let levels = [self.signal_level.cast_unsigned(), self.noise_level.cast_unsigned()];
        cursor.bytes(&levels)?;
        cursor.bytes(&[self.residual_echo_return_loss, self.gap_threshold])?;
        cursor.bytes(&[self.r_factor, self.external_r_factor, self.mos_lq, self.mos_cq])?;
        cursor.bytes(&[self.receiver_config, 0])?;
        cursor.u16(self.jitter_nominal)?;
        cursor.u16(self.jitter_maximum)?;
        cursor.u16(self.jitter_absolute_maximum)
    }
}
