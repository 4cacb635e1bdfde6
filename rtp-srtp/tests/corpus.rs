//! What others wrote: verdicts of aiortc, libsrtp's packets, fuzzers' crash inputs of janus and pjproject. They
//! are read from the folder beside the repository and left out, loudly, where it is absent; the vectors of the
//! RFCs are in the unit tests of `srtp`.

use std::fs;
use std::path::{Path, PathBuf};

use rtp_srtp::fuzzing;
use rtp_srtp::rtcp::{Compound, Packet};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpPacket, dtmf};
use serde_json::Value;

fn corpus(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora").join(path);
    if !path.exists() {
        println!("LEFT OUT: {} is not there, nothing of it was tested", path.display());
        return None;
    }
    Some(path)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn aiortc_verdicts() {
    let Some(folder) = corpus("rtp-rtcp-seeds") else { return };
    let oracle = json(&folder.join("aiortc_oracle.json"));
    let mut judged = 0;
    for (name, expected) in oracle.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("aiortc/"))
    {
        let data = fs::read(folder.join(name)).unwrap();
        let ok = expected["ok"].as_bool().unwrap();
        judged += 1;
        if expected["kind"] == "rtp" {
            let packet = RtpPacket::parse(&data);
            assert_eq!(packet.is_ok(), ok, "{name}");
            let Ok(packet) = packet else { continue };
            assert_eq!(u64::from(packet.payload_type()), number(&expected["pt"]), "{name}");
            assert_eq!(u64::from(packet.marker()), number(&expected["marker"]), "{name}");
            assert_eq!(u64::from(packet.sequence()), number(&expected["seq"]), "{name}");
            assert_eq!(u64::from(packet.timestamp()), number(&expected["ts"]), "{name}");
            assert_eq!(u64::from(packet.ssrc()), number(&expected["ssrc"]), "{name}");
            assert_eq!(u64::from(packet.padding()), number(&expected["padding"]), "{name}");
            assert_eq!(packet.payload().len() as u64, number(&expected["payload_len"]), "{name}");
            let csrcs: Vec<_> = expected["csrc"].as_array().unwrap().iter().map(number).collect();
            assert!(packet.csrcs().map(u64::from).eq(csrcs), "{name}");
        } else {
            let compound = Compound::parse(&data);
            assert_eq!(compound.is_ok(), ok, "{name}: {compound:?}");
            let Ok(compound) = compound else { continue };
            let packets = expected["packets"].as_array().unwrap();
            assert_eq!(compound.packets().count(), packets.len(), "{name}");
            compound.packets().zip(packets).for_each(|(packet, expected)| same(name, packet, expected));
        }
    }
    assert!(judged >= 21, "{judged}");
}

fn same(name: &str, packet: Packet<'_>, expected: &Value) {
    match packet {
        Packet::SenderReport(report) => {
            let info = &expected["sender_info"];
            assert_eq!(report.info.ntp.0, number(&info["ntp_timestamp"]), "{name}");
            assert_eq!(u64::from(report.info.rtp_timestamp), number(&info["rtp_timestamp"]), "{name}");
            assert_eq!(u64::from(report.info.packet_count), number(&info["packet_count"]), "{name}");
            assert_eq!(u64::from(report.info.octet_count), number(&info["octet_count"]), "{name}");
            assert_eq!(report.blocks.len(), expected["reports"].as_array().unwrap().len(), "{name}");
        }
        Packet::ReceiverReport(report) => {
            for (block, expected) in report.blocks.iter().zip(expected["reports"].as_array().unwrap()) {
                assert_eq!(u64::from(block.ssrc), number(&expected["ssrc"]), "{name}");
                assert_eq!(
                    u64::from(block.highest_sequence),
                    number(&expected["highest_sequence"]),
                    "{name}"
                );
                assert_eq!(u64::from(block.jitter), number(&expected["jitter"]), "{name}");
            }
        }
        Packet::Sdes(sdes) => {
            for (chunk, expected) in sdes.chunks().zip(expected["chunks"].as_array().unwrap()) {
                assert_eq!(u64::from(chunk.ssrc), number(&expected["ssrc"]), "{name}");
                let items = expected["items"].as_array().unwrap();
                let items: Vec<_> = items.iter().map(|item| (number(&item[0]), hex(&item[1]))).collect();
                assert!(chunk.items().map(|i| (u64::from(i.kind), i.text.to_vec())).eq(items), "{name}");
            }
        }
        Packet::Bye(bye) => {
            let sources: Vec<_> = expected["sources"].as_array().unwrap().iter().map(number).collect();
            assert!(bye.sources().map(u64::from).eq(sources), "{name}");
        }
        Packet::Feedback(feedback) => {
            assert_eq!(u64::from(feedback.sender), number(&expected["ssrc"]), "{name}");
            assert_eq!(u64::from(feedback.media), number(&expected["media_ssrc"]), "{name}");
            if let Some(lost) = expected["lost"].as_array() {
                assert!(feedback.lost().map(u64::from).eq(lost.iter().map(number)), "{name}");
            }
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn janus_verdicts_differ_from_aiortc_only_where_rfc_3550_does() {
    let Some(folder) = corpus("rtp-rtcp-seeds") else { return };
    let oracle = json(&folder.join("aiortc_oracle.json"));
    let (mut judged, mut differ) = (0, Vec::new());
    for (name, expected) in
        oracle.as_object().unwrap().iter().filter(|(name, _)| !name.starts_with("aiortc/"))
    {
        let Ok(data) = fs::read(folder.join(name)) else { continue };
        judged += 1;
        let ok = match expected["kind"].as_str().unwrap() {
            "rtp" => RtpPacket::parse(&data).is_ok(),
            _ => Compound::parse(&data).is_ok(),
        };
        if ok != expected["ok"].as_bool().unwrap() {
            differ.push(name);
        }
    }
    // aiortc takes the padding of a chunk for an item (10, 14, 25, 45), an item without its length for the end
    // (35), and no bytes for a compound (55).
    let expected = [10, 14, 25, 35, 45, 55].map(|n| format!("janus/rtcp_fuzzer/2webrtc/{n}.rtcp"));
    assert_eq!(differ, expected.iter().collect::<Vec<_>>());
    assert!(judged >= 90, "{judged}");
}

#[test]
fn seeds_hold_the_fuzz_properties_in_every_length() {
    let mut found = Vec::new();
    for folder in ["rtp-rtcp-seeds", "srtp-seeds/pjproject"].iter().filter_map(|path| corpus(path)) {
        files(&folder, &mut found);
    }
    for path in &found {
        let data = fs::read(path).unwrap();
        let data = &data[..data.len().min(2000)];
        for end in (0..=data.len()).step_by(1 + data.len() / 200) {
            fuzzing::rtp_packet(&data[..end]);
            fuzzing::rtcp_compound(&data[..end]);
            fuzzing::dtmf(&data[..end]);
        }
        fuzzing::srtp(data);
    }
    println!("{} seeds", found.len());
}

#[test]
fn libsrtp_packets() {
    let Some(path) = corpus("srtp-vectors/libsrtp.json") else { return };
    let mut seen = 0;
    for vector in json(&path)["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        // The null cipher and RFC 9335 are not built.
        let Ok(suite) = vector["suite"].as_str().unwrap().parse::<Suite>() else { continue };
        if vector["cryptex"] == true {
            continue;
        }
        seen += 1;
        let master = [hex(&vector["master_key"]), hex(&vector["master_salt"])].concat();
        let key = MasterKey::new(suite, &master).unwrap();
        let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
        let (plain, secret) = (hex(&vector["rtp"]), hex(&vector["srtp"]));
        let mut buffer = [0; 200];
        buffer[..plain.len()].copy_from_slice(&plain);
        let len = sender.protect(&mut buffer, plain.len()).unwrap();
        assert_eq!(&buffer[..len], secret, "{name}");
        let len = receiver.unprotect(&mut buffer[..len]).unwrap();
        assert_eq!(&buffer[..len], plain, "{name}");
        let (Some(_), Some(_)) = (vector.get("rtcp"), vector.get("srtcp")) else { continue };
        let (plain, secret) = (hex(&vector["rtcp"]), hex(&vector["srtcp"]));
        // libsrtp's first index is 1, RFC 3711 §3.2.1 begins at 0.
        for index in 0..=number(&vector["srtcp_index"]) {
            buffer[..plain.len()].copy_from_slice(&plain);
            let len = sender.protect_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(buffer[..len] == secret, index == number(&vector["srtcp_index"]), "{name} RTCP");
        }
        let len = receiver.unprotect_rtcp(&mut buffer[..secret.len()]).unwrap();
        assert_eq!(&buffer[..len], plain, "{name} RTCP");
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_captured_digit_is_read() {
    let Some(path) = corpus("rtp-rtcp-seeds/aiortc/rtp_dtmf.bin") else { return };
    let data = fs::read(path).unwrap();
    let packet = RtpPacket::parse(&data).unwrap();
    let event = dtmf::Event::parse(packet.payload()).unwrap();
    assert_eq!((event.digit().unwrap().as_char(), event.end, event.duration), ('1', true, 960));
}
