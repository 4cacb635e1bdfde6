//! Properties: what is written is read, what is protected opens, whatever the values.

use proptest::prelude::*;
use rtp_srtp::extension::Extension;
use rtp_srtp::rtcp::{Compound, NtpTime, Packet, ReportBlock, SenderInfo, Writer};
use rtp_srtp::srtp::{MAX_OVERHEAD, MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpHeader, RtpPacket, demux, dtmf, fuzzing};

fn blocks() -> impl Strategy<Value = Vec<ReportBlock>> {
    let block = (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..0x80_0000_i32);
    let block = block.prop_map(|([ssrc, highest, jitter, last, delay], fraction_lost, lost)| ReportBlock {
        ssrc,
        fraction_lost,
        cumulative_lost: lost,
        highest_sequence: highest,
        jitter,
        last_sr: last,
        delay_since_last_sr: delay,
    });
    proptest::collection::vec(block, 0..=31)
}

proptest! {
    #[test]
    fn rtp_reads_back(
        payload_type in 0..128_u8,
        marker: bool,
        (sequence, timestamp, ssrc) in any::<(u16, u32, u32)>(),
        csrcs in proptest::collection::vec(any::<u32>(), 0..16),
        extension in proptest::option::of((any::<u16>(), proptest::collection::vec(any::<[u8; 4]>(), 0..20))),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let block = extension.as_ref().map(|(profile, data)| (*profile, data.concat()));
        let extension = block.as_ref().map(|(profile, data)| Extension { profile: *profile, data });
        let fixed = RtpHeader::new(payload_type, sequence, timestamp, ssrc);
        let header = RtpHeader { marker, csrcs: &csrcs, extension, ..fixed };
        let mut buffer = [0; 600];
        let len = header.write_packet(&payload, &mut buffer).unwrap();
        let packet = RtpPacket::parse(&buffer[..len]).unwrap();
        prop_assert_eq!((packet.payload_type(), packet.marker()), (payload_type, marker));
        prop_assert_eq!((packet.sequence(), packet.timestamp(), packet.ssrc()), (sequence, timestamp, ssrc));
        prop_assert!(packet.csrcs().eq(csrcs.iter().copied()));
        prop_assert_eq!(packet.extension(), extension);
        prop_assert_eq!(packet.payload(), payload);
    }

    #[test]
    fn reports_read_back(
        (ssrc, ntp, rtp_timestamp, packet_count, octet_count) in any::<(u32, u64, u32, u32, u32)>(),
        blocks in blocks(),
        cname in "[ -~]{0,255}",
    ) {
        let info = SenderInfo { ntp: NtpTime(ntp), rtp_timestamp, packet_count, octet_count };
        let mut buffer = [0; 1200];
        let mut writer = Writer::new(&mut buffer);
        writer.sender_report(ssrc, &info, &blocks).unwrap();
        writer.cname(ssrc, &cname).unwrap();
        let len = writer.finish();
        let compound = Compound::parse(&buffer[..len]).unwrap();
        let mut packets = compound.packets();
        let Some(Packet::SenderReport(report)) = packets.next() else { panic!() };
        prop_assert_eq!((report.ssrc, report.info), (ssrc, info));
        prop_assert!(report.blocks.iter().eq(blocks));
        let Some(Packet::Sdes(sdes)) = packets.next() else { panic!() };
        prop_assert_eq!(sdes.cname(ssrc), Some(cname.as_bytes()));
    }

    #[test]
    fn srtp_opens_to_what_was_protected(
        suite in proptest::sample::select(Suite::ALL.to_vec()),
        master in any::<[[u8; 23]; 2]>(),
        mki in proptest::collection::vec(any::<u8>(), 0..10),
        sequence: u16,
        payload in proptest::collection::vec(any::<u8>(), 0..1300),
    ) {
        let mut key = MasterKey::new(suite, &master.concat()[..suite.master_len()]).unwrap();
        if !mki.is_empty() {
            key = key.with_mki(&mki).unwrap();
        }
        let mut buffer = vec![0; 12 + payload.len() + MAX_OVERHEAD];
        let len = RtpHeader::new(0, sequence, 1, 2).write_packet(&payload, &mut buffer).unwrap();
        let plain = buffer[..len].to_vec();
        let sealed = SrtpSender::new(&key).protect(&mut buffer, len).unwrap();
        prop_assert_eq!(sealed, len + suite.tag_len() + mki.len());
        prop_assert!(payload.len() < 8 || !buffer[..sealed].ends_with(&payload));
        let opened = SrtpReceiver::new(&key).unprotect(&mut buffer[..sealed]).unwrap();
        prop_assert_eq!(&buffer[..opened], plain);
    }

    #[test]
    fn events_read_back(code: u8, end: bool, volume in 0..64_u8, duration: u16) {
        let event = dtmf::Event { code, end, volume, duration };
        prop_assert_eq!(dtmf::Event::parse(&event.to_bytes()), Ok(event));
    }

    #[test]
    fn any_bytes_hold_the_fuzz_properties(mut data in proptest::collection::vec(any::<u8>(), 0..400), kind in 198..210_u8) {
        let _ = demux::classify(&data);
        for (_, target) in fuzzing::TARGETS {
            target(&data);
        }
        // And bytes that look like packets.
        if let [first, second, third, ..] = data.as_mut_slice() {
            (*first, *second, *third) = ((*first & 0x3f) | 0x80, kind, 0);
        }
        for (_, target) in fuzzing::TARGETS {
            target(&data);
        }
    }
}
