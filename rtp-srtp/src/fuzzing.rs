//! Bodies of the fuzz targets: what holds for any bytes.

use crate::dtmf::{Event, EventReceiver};
use crate::error::WriteError;
use crate::extension::{Element, write_elements};
use crate::packet::{RtpHeader, RtpPacket};
use crate::rtcp::{Compound, Packet, RunLengths, Writer, XrBlock, XrContent, XrWriter};
use crate::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

mod keyed;

pub use keyed::srtp_keyed;

/// Name and body of every target.
#[expect(clippy::type_complexity, reason = "the shape that every crate's fuzz targets have")]
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("rtp_packet", rtp_packet),
    ("rtcp_compound", rtcp_compound),
    ("srtp", srtp),
    ("srtp_keyed", srtp_keyed),
    ("dtmf", dtmf),
];

/// What parses is written back to the same bytes, padding apart; its elements survive being written again.
pub fn rtp_packet(data: &[u8]) {
    let Ok(packet) = RtpPacket::parse(data) else { return };
    let csrcs: Vec<u32> = packet.csrcs().collect();
    let header = RtpHeader {
        marker: packet.marker(),
        csrcs: &csrcs,
        extension: packet.extension(),
        ..RtpHeader::new(packet.payload_type(), packet.sequence(), packet.timestamp(), packet.ssrc())
    };
    let mut buffer = vec![0; data.len()];
    let len = header.write_packet(packet.payload(), &mut buffer).expect("what was read can be written");
    assert_eq!(len + usize::from(packet.padding()), data.len());
    let again = RtpPacket::parse(&buffer[..len]).expect("what was written can be read");
    assert_eq!(again.payload(), packet.payload());
    assert_eq!(again.extension(), packet.extension());
    if let Some(extension) = packet.extension() {
        let elements: Vec<Element<'_>> = extension.elements().collect();
        let mut buffer = vec![0; 2 * extension.data.len() + 8];
        let written = write_elements(&elements, &mut buffer).expect("elements fit twice their space");
        assert!(written.elements().eq(elements));
    }
}

/// What parses iterates to the end; what this crate can write reads back the same.
pub fn rtcp_compound(data: &[u8]) {
    let Ok(compound) = Compound::parse(data) else { return };
    let heads = std::iter::successors(Some(0), |at: &usize| {
        let length = data.get(at + 2..at + 4)?;
        Some(at + 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]])))
    });
    let count = heads.take_while(|at| *at < data.len()).count();
    assert_eq!(compound.packets().count(), count, "every packet that was checked is seen");
    for packet in compound {
        // A run of 2^14 packets is two bytes, and two bytes of it may be written as many.
        let mut large = vec![0; 16 * data.len() + 70_000];
        let mut buffer = vec![0; data.len() + 300];
        let mut writer = Writer::new(&mut buffer);
        match packet {
            Packet::SenderReport(report) => {
                let blocks: Vec<_> = report.blocks.iter().collect();
                writer.sender_report(report.ssrc, &report.info, &blocks).expect("fits");
            }
            Packet::ReceiverReport(report) => {
                let blocks: Vec<_> = report.blocks.iter().collect();
                writer.receiver_report(report.ssrc, &blocks).expect("fits");
            }
            Packet::Feedback(feedback) => {
                assert!(feedback.lost().count() <= 17 * data.len());
                writer
                    .feedback(feedback.format, feedback.sender, feedback.media, feedback.fci)
                    .expect("fits");
            }
            Packet::App(app) => writer.app(app.subtype, app.ssrc, app.name, app.data).expect("fits"),
            Packet::Sdes(sdes) => {
                let chunks: Vec<_> =
                    sdes.chunks().map(|chunk| (chunk.ssrc, chunk.items().collect::<Vec<_>>())).collect();
                let chunks: Vec<_> = chunks.iter().map(|(ssrc, items)| (*ssrc, items.as_slice())).collect();
                writer.sdes(&chunks).expect("fits");
            }
            Packet::Bye(bye) => writer.bye(&bye.sources().collect::<Vec<_>>(), None).expect("fits"),
            Packet::ExtendedReport(report) => {
                let write = |blocks: &mut XrWriter<'_, '_>| {
                    report.blocks().take(8).try_for_each(|block| rewrite(blocks, &block))
                };
                let mut writer = Writer::new(&mut large);
                writer.extended_report(report.ssrc, write).expect("fits");
                let length = writer.finish();
                let again = Compound::parse(&large[..length]).expect("what was written can be read");
                let Some(Packet::ExtendedReport(again)) = again.packets().next() else {
                    panic!("an extended report was written");
                };
                assert!(report.blocks().take(8).map(meaning).eq(again.blocks().map(meaning)));
                continue;
            }
            Packet::Unknown(_) => continue,
        }
        let len = writer.finish();
        let again = Compound::parse(&buffer[..len]).expect("what was written can be read");
        let again = again.packets().next().expect("one packet was written");
        match (packet, again) {
            (Packet::SenderReport(a), Packet::SenderReport(b)) => {
                assert!(a.info == b.info && a.blocks == b.blocks);
            }
            (Packet::ReceiverReport(a), Packet::ReceiverReport(b)) => assert_eq!(a.blocks, b.blocks),
            (Packet::Bye(a), Packet::Bye(b)) => assert!(a.sources().eq(b.sources())),
            (Packet::Sdes(a), Packet::Sdes(b)) => assert!(
                a.chunks()
                    .map(|c| c.items().collect::<Vec<_>>())
                    .eq(b.chunks().map(|c| c.items().collect::<Vec<_>>()))
            ),
            (a, b) => assert_eq!(a, b),
        }
    }
}

/// Writes a block by what it says.
fn rewrite(blocks: &mut XrWriter<'_, '_>, block: &XrBlock<'_>) -> Result<(), WriteError> {
    let marks = |lengths: RunLengths<'_>| lengths.packets().map(|(_, mark)| mark).collect::<Vec<_>>();
    match block.content() {
        XrContent::Loss(lengths) if lengths.thinning == 0 => {
            blocks.loss(lengths.ssrc, lengths.begin, &marks(lengths))
        }
        XrContent::Duplicates(lengths) if lengths.thinning == 0 => {
            blocks.duplicates(lengths.ssrc, lengths.begin, &marks(lengths))
        }
        XrContent::ReferenceTime(ntp) => blocks.reference_time(ntp),
        XrContent::Delays(delays) => blocks.delays(&delays.iter().collect::<Vec<_>>()),
        XrContent::Summary(summary) => blocks.summary(&summary),
        XrContent::VoipMetrics(metrics) => blocks.voip_metrics(&metrics),
        _ => blocks.block(block),
    }
}

/// What of a block has to survive: its meaning where it has one, else its bytes.
fn meaning(block: XrBlock<'_>) -> String {
    match block.content() {
        XrContent::Loss(lengths) | XrContent::Duplicates(lengths) => {
            let marks: Vec<_> = lengths.packets().collect();
            format!("{} {} {} {marks:?}", block.kind, lengths.ssrc, lengths.thinning)
        }
        XrContent::ReceiptTimes(times) => format!("{times:?}"),
        XrContent::Unknown => format!("{block:?}"),
        known => format!("{known:?}"),
    }
}

/// No bytes are let through that the key did not protect; what is protected opens to itself.
pub fn srtp(data: &[u8]) {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm] {
        let key = MasterKey::new(suite, &[3; 46][..suite.master_len()]).expect("the length is the suite's");
        let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
        assert!(receiver.unprotect(&mut data.to_vec()).is_err());
        assert!(receiver.unprotect_rtcp(&mut data.to_vec()).is_err());
        let mut buffer = data.to_vec();
        buffer.extend([0; 40]);
        if let Ok(len) = sender.protect(&mut buffer, data.len()) {
            let opened = receiver.unprotect(&mut buffer[..len]).expect("what was protected opens");
            assert_eq!(&buffer[..opened], data);
        }
        let mut buffer = data.to_vec();
        buffer.extend([0; 40]);
        if let Ok(len) = sender.protect_rtcp(&mut buffer, data.len()) {
            let opened = receiver.unprotect_rtcp(&mut buffer[..len]).expect("what was protected opens");
            assert_eq!(&buffer[..opened], data);
        }
    }
}

/// A payload read is the payload written, reserved bit apart; one timestamp is one event.
pub fn dtmf(data: &[u8]) {
    let mut receiver = EventReceiver::new();
    for packet in data.chunks(8) {
        let (timestamp, payload) = packet.split_at(packet.len().min(4));
        let timestamp = timestamp.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
        if let Ok(event) = Event::parse(payload) {
            assert_eq!(Event::parse(&event.to_bytes()), Ok(event));
            assert!(receiver.receive(timestamp, payload).is_ok());
            assert_eq!(receiver.receive(timestamp, payload), Ok(None));
        }
    }
}
