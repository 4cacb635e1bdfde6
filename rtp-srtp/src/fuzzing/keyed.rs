//! Both ends of an SRTP stream with their key in place, and a network that does as it likes.

use std::collections::BTreeSet;

use crate::packet::RtpHeader;
use crate::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

const SSRC: u32 = 0x1234_5678;
/// Indices behind the highest one that are still taken, if they are new.
const WINDOW: u64 = 1024;
/// Packets that the network keeps.
const KEPT: usize = 64;

/// A protected packet under way.
struct Sealed {
    /// Of RTP: rollover counter and sequence number; of RTCP: the number of the packet.
    index: u64,
    plain: Vec<u8>,
    bytes: Vec<u8>,
}

/// What came of one kind of packets, RTP or RTCP, so far.
#[derive(Default)]
struct Heard {
    taken: BTreeSet<u64>,
}

impl Heard {
    /// Whether a genuine packet has to be let through; `None` where that depends on a guess between two.
    fn expects(&self, index: u64, is_rtp: bool) -> Option<bool> {
        // Who was never heard has not wrapped yet (RFC 3711 §3.3.1), or, with some suites, once.
        let Some(&highest) = self.taken.last() else { return (!is_rtp || index < 0x1_0000).then_some(true) };
        // RTP tells 16 of 48 bits: what is further away is taken for another packet, and is not authentic then.
        if is_rtp {
            match highest.abs_diff(index) {
                0x8000 => return None,
                far if far > 0x8000 => return Some(false),
                _ => {}
            }
        }
        Some(index + WINDOW > highest && !self.taken.contains(&index))
    }
}

/// Packets that are protected, lost, delayed, repeated, changed and cut, each let through once at most, unchanged.
pub fn srtp_keyed(data: &[u8]) {
    let Some(([suite, first], operations)) = data.split_first_chunk() else { return };
    let suite = Suite::ALL[usize::from(*suite) % Suite::ALL.len()];
    let key = MasterKey::new(suite, &[7; 46][..suite.master_len()]).expect("the length is the suite's");
    let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
    // Near the end of the sequence numbers, so that few packets are enough to go beyond.
    let (mut next, mut reports) = (0xff00 + u64::from(*first), 0);
    let (mut packets, mut compounds) = (Vec::new(), Vec::new());
    let (mut rtp, mut rtcp) = (Heard::default(), Heard::default());
    for operation in operations.chunks_exact(3) {
        let [what, which, how] = [operation[0], operation[1], operation[2]].map(usize::from);
        let (network, heard, is_rtp) = match what & 8 {
            0 => (&mut packets, &mut rtp, true),
            _ => (&mut compounds, &mut rtcp, false),
        };
        match what % 8 {
            0..=2 => {
                let sealed = match is_rtp {
                    true => protect(&mut sender, next, &vec![how as u8; which]),
                    false => protect_rtcp(&mut sender, reports, how),
                };
                match is_rtp {
                    // Some are never sent, and seldom thousands of them.
                    true => next += if what % 8 == 2 { 64 * how as u64 + 1 } else { 1 },
                    false => reports += 1,
                }
                network.push(sealed);
                if network.len() > KEPT {
                    network.remove(0);
                }
            }
            change => {
                if network.is_empty() {
                    continue;
                }
                let at = which % network.len();
                let sealed: &Sealed = &network[at];
                let mut bytes = sealed.bytes.clone();
                match change {
                    3 => {
                        let at = how % bytes.len();
                        bytes[at] ^= 1 << (what >> 5);
                    }
                    4 => bytes.truncate(bytes.len() - 1 - how % bytes.len()),
                    _ => {}
                }
                let opened = match is_rtp {
                    true => receiver.unprotect(&mut bytes),
                    false => receiver.unprotect_rtcp(&mut bytes),
                };
                let expected = if change > 4 { heard.expects(sealed.index, is_rtp) } else { Some(false) };
                assert!(expected.is_none_or(|good| good == opened.is_ok()), "{opened:?} of {}", sealed.index);
                if let Ok(len) = opened {
                    assert_eq!(&bytes[..len], sealed.plain);
                    assert!(heard.taken.insert(sealed.index), "let through twice");
                }
            }
        }
    }
    let counted = (rtp.taken.len() + rtcp.taken.len()) as u64;
    assert_eq!(receiver.counters().accepted, counted);
    if let Some(highest) = rtp.taken.last() {
        assert_eq!(receiver.rollover_counter(SSRC).map(u64::from), Some(highest >> 16));
    }
}

fn protect(sender: &mut SrtpSender, index: u64, payload: &[u8]) -> Sealed {
    let mut bytes = vec![0; 12 + payload.len() + sender.overhead()];
    let header = RtpHeader::new(0, index as u16, index as u32, SSRC);
    let len = header.write_packet(payload, &mut bytes).expect("there is room");
    let plain = bytes[..len].to_vec();
    let len = sender.protect(&mut bytes, len).expect("each index once");
    bytes.truncate(len);
    Sealed { index, plain, bytes }
}

fn protect_rtcp(sender: &mut SrtpSender, index: u64, blocks: usize) -> Sealed {
    // A receiver report (RFC 3550 §6.4.2) with any blocks.
    let blocks = blocks % 32;
    let mut plain = vec![0x80 | blocks as u8, 201, 0, (1 + 6 * blocks) as u8];
    plain.extend(SSRC.to_be_bytes());
    plain.extend(vec![blocks as u8; 24 * blocks]);
    let mut bytes = plain.clone();
    bytes.resize(plain.len() + sender.rtcp_overhead(), 0);
    let len = sender.protect_rtcp(&mut bytes, plain.len()).expect("there is room");
    bytes.truncate(len);
    Sealed { index, plain, bytes }
}
