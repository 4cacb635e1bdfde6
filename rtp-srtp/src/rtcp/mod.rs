//! RTCP: compound packets, read in place, and a [`Writer`] (RFC 3550 §6, RFC 3611, RFC 4585).
//!
//! [`Compound::parse`] checks every packet of a datagram once; iterating afterwards cannot fail. What this
//! crate has no name for is kept as [`Packet::Unknown`].
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation
    )
)]

mod feedback;
mod report;
mod sdes;
mod writer;
mod xr;
mod xr_blocks;

pub use feedback::{Feedback, FeedbackFormat, LostSequences};
pub use report::{NtpTime, ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport};
pub use sdes::{Chunk, Chunks, Item, Items, Sdes};
pub use writer::Writer;
pub use xr::{ExtendedReport, VoipMetrics, XrBlock, XrBlocks};
pub use xr_blocks::{Delay, Delays, ReceiptTimes, RunLengths, StatisticsSummary, XrContent, XrWriter};

use crate::error::{ParseError, ParseErrorKind};
use crate::wire::Reader;

/// RTCP packet types.
pub mod packet_type {
    /// Sender report.
    pub const SR: u8 = 200;
    /// Receiver report.
    pub const RR: u8 = 201;
    /// Source description.
    pub const SDES: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Application-defined.
    pub const APP: u8 = 204;
    /// Transport layer feedback (RFC 4585 §6.2).
    pub const RTPFB: u8 = 205;
    /// Payload-specific feedback (RFC 4585 §6.3).
    pub const PSFB: u8 = 206;
    /// Extended report (RFC 3611 §2).
    pub const XR: u8 = 207;
}

/// One datagram of RTCP: one or more packets, all checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compound<'a> {
    data: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks every packet of the datagram: version, lengths, padding, and the inner lengths of each type.
    ///
    /// Reduced-size compounds (RFC 5506) are accepted; [`Compound::is_full`] tells them apart. Padding may
    /// stand on the last packet only (RFC 3550 §6.4.1).
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = Reader::new(data);
        loop {
            let at = data.len().saturating_sub(rest.rest().len());
            let padded = next_packet(&mut rest)
                .map_err(|error| ParseError { at: error.at.saturating_add(at), ..error })?
                .1;
            if rest.is_empty() {
                return Ok(Self { data });
            }
            if padded {
                return Err(ParseError::new(at, ParseErrorKind::Padding, "RTCP packet before the last"));
            }
        }
    }

    /// The packets in wire order.
    #[must_use]
    pub const fn packets(&self) -> Packets<'a> {
        Packets { rest: Reader::new(self.data) }
    }

    /// Whether the first packet is a report, as RFC 3550 §6.1 asks and RFC 5506 relaxes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.data, [_, packet_type::SR | packet_type::RR, ..])
    }

    /// The SSRC of the sender of the first packet, when it has one.
    #[must_use]
    pub fn sender(&self) -> Option<u32> {
        let (_, rest) = self.data.split_at_checked(4)?;
        rest.first_chunk().map(|ssrc| u32::from_be_bytes(*ssrc))
    }
}

impl<'a> IntoIterator for Compound<'a> {
    type Item = Packet<'a>;
    type IntoIter = Packets<'a>;

    fn into_iter(self) -> Packets<'a> {
        self.packets()
    }
}

/// Iterates over the packets of a [`Compound`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: Reader<'a>,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        // `Compound::parse` has seen every packet: an error is only ever the end.
        next_packet(&mut self.rest).ok().map(|(packet, _)| packet)
    }
}

/// One RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// A sender report (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// A receiver report (RFC 3550 §6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// A source description (RFC 3550 §6.5).
    Sdes(Sdes<'a>),
    /// A goodbye (RFC 3550 §6.6).
    Bye(Bye<'a>),
    /// An application-defined packet (RFC 3550 §6.7).
    App(App<'a>),
    /// Feedback (RFC 4585 §6.1).
    Feedback(Feedback<'a>),
    /// An extended report (RFC 3611 §2).
    ExtendedReport(ExtendedReport<'a>),
    /// Anything else.
    Unknown(Unknown<'a>),
}

/// A goodbye (RFC 3550 §6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    sources: &'a [[u8; 4]],
    /// The reason for leaving; UTF-8 by the RFC, unchecked.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    /// The sources that leave, at most 31.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.sources.iter().map(|source| u32::from_be_bytes(*source))
    }
}

/// An application-defined packet (RFC 3550 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// The subtype, 0 to 31.
    pub subtype: u8,
    /// The source.
    pub ssrc: u32,
    /// Four characters that name the application.
    pub name: [u8; 4],
    /// Its data; a multiple of 4 bytes.
    pub data: &'a [u8],
}

/// A packet of a type unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The packet type.
    pub packet_type: u8,
    /// The five bits after the padding bit.
    pub count: u8,
    /// What follows the 4-byte head, without padding.
    pub body: &'a [u8],
}

/// Takes one packet off the front; the flag says whether it was padded.
fn next_packet<'a>(rest: &mut Reader<'a>) -> Result<(Packet<'a>, bool), ParseError> {
    let whole = rest.rest().len();
    let [first, kind, l0, l1] = rest.array().ok_or(ParseError::truncated(whole, "RTCP head"))?;
    if first >> 6 != 2 {
        return Err(ParseError::new(0, ParseErrorKind::Version, "RTCP head"));
    }
    let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
    let mut body = rest.bytes(len).ok_or(ParseError::truncated(whole, "RTCP packet"))?;
    let padded = first & 0x20 != 0;
    if padded {
        let bad = ParseError::new(len + 3, ParseErrorKind::Padding, "RTCP padding");
        // RFC 3550 §6.4.1: a multiple of four, it counts itself.
        let count = *body.last().filter(|count| **count != 0 && **count % 4 == 0).ok_or(bad)?;
        let keep = body.len().checked_sub(usize::from(count)).ok_or(bad)?;
        body = body.get(..keep).ok_or(bad)?;
    }
    Ok((parse_body(kind, first & 0x1f, body)?, padded))
}

fn parse_body(kind: u8, count: u8, body: &[u8]) -> Result<Packet<'_>, ParseError> {
    let short = |what| ParseError::new(4, ParseErrorKind::Length, what);
    let mut reader = Reader::new(body);
    Ok(match kind {
        packet_type::SR => {
            Packet::SenderReport(SenderReport::parse(count, reader).ok_or(short("sender report"))?)
        }
        packet_type::RR => {
            Packet::ReceiverReport(ReceiverReport::parse(count, reader).ok_or(short("receiver report"))?)
        }
        packet_type::SDES => Packet::Sdes(Sdes::parse(count, body)?),
        packet_type::BYE => {
            let sources = reader.bytes(usize::from(count) * 4).ok_or(short("goodbye"))?.as_chunks().0;
            let reason = match reader.u8() {
                Some(len) => Some(reader.bytes(usize::from(len)).ok_or(short("reason for leaving"))?),
                None => None,
            };
            Packet::Bye(Bye { sources, reason })
        }
        packet_type::APP => {
            let ssrc = reader.u32().ok_or(short("application packet"))?;
            let name = reader.array().ok_or(short("application packet"))?;
            Packet::App(App { subtype: count, ssrc, name, data: reader.rest() })
        }
        packet_type::RTPFB | packet_type::PSFB => {
            Packet::Feedback(Feedback::parse(kind, count, reader).ok_or(short("feedback"))?)
        }
        packet_type::XR => Packet::ExtendedReport(ExtendedReport::parse(reader)?),
        _ => Packet::Unknown(Unknown { packet_type: kind, count, body }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_only_on_the_last_packet() {
        let bye = [0x81, 203, 0, 1, 0, 0, 0, 9];
        let padded = [0xa1, 203, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
        let last = [bye.as_slice(), &padded].concat();
        let parsed = Compound::parse(&last).unwrap();
        assert_eq!(parsed.packets().count(), 2);
        assert!(parsed.packets().all(|p| matches!(p, Packet::Bye(b) if b.sources().eq([9]))));
        let first = [padded.as_slice(), &bye].concat();
        assert_eq!(Compound::parse(&first).unwrap_err().kind, ParseErrorKind::Padding);
    }

    #[test]
    fn lengths_must_fit() {
        assert!(Compound::parse(&[]).is_err());
        assert!(Compound::parse(&[0x80, 201, 0, 0]).is_err());
        assert!(Compound::parse(&[0x80, 250, 0, 1]).is_err());
        assert!(Compound::parse(&[0x40, 250, 0, 0]).is_err());
        // Trailing bytes that are no packet.
        assert!(Compound::parse(&[0x80, 250, 0, 0, 1]).is_err());
        let unknown = Compound::parse(&[0x83, 250, 0, 1, 1, 2, 3, 4]).unwrap();
        let kept = Unknown { packet_type: 250, count: 3, body: &[1, 2, 3, 4] };
        assert_eq!(unknown.packets().next(), Some(Packet::Unknown(kept)));
        assert!(!unknown.is_full());
    }
}
