//! Captures (pcap, pcapng): the payload of each packet, as if it were a file.
//!
//! Fragments of IP packets are left out. What streams carry is cut into messages again, where it is
//! SIP or MSRP; a message has the number of the packet that it begins in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sip_core::{Limits, StreamDecoder, StreamItem};

/// A packet's payload and where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Its number in the capture, from 1.
    pub(super) number: u64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// `udp` or `tcp`.
    pub(super) carrier: &'static str,
    pub(super) payload: Vec<u8>,
}

/// Whether a file begins as captures do.
pub(super) fn is_capture(data: &[u8]) -> bool {
    matches!(
        data.get(..4),
        Some(
            [0xa1, 0xb2, 0xc3 | 0x3c, 0xd4 | 0x4d]
                | [0xd4 | 0x4d, 0xc3 | 0x3c, 0xb2, 0xa1]
                | [0x0a, 0x0d, 0x0d, 0x0a]
        )
    )
}

/// The packets that carry something, and whether the file ends in the middle of one.
pub(super) fn packets(data: &[u8]) -> (Vec<Packet>, bool) {
    let mut frames = Vec::new();
    let whole = match data.first() {
        Some(0x0a) => read_pcapng(data, &mut frames),
        _ => read_pcap(data, &mut frames),
    };
    let mut packets = Vec::new();
    for (number, (link, frame)) in (1..).zip(frames) {
        if let Some((from, to, carrier, payload)) = ip_of(link, frame).and_then(unpack)
            && !payload.is_empty()
        {
            packets.push(Packet { number, from, to, carrier, payload: payload.to_vec() });
        }
    }
    (packets, whole.is_none())
}

/// Datagrams as they are, and what streams carry as messages.
pub(super) fn messages(packets: Vec<Packet>) -> Vec<Packet> {
    let mut messages: Vec<Packet> = Vec::new();
    // The last message of each direction of each stream, which may go on.
    let mut open: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    for packet in packets {
        // These keep bindings and connections alive.
        if packet.payload.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            continue;
        }
        let flow = (packet.from, packet.to);
        if packet.carrier == "udp" || begins_a_message(&packet.payload) {
            if packet.carrier == "tcp" {
                open.insert(flow, messages.len());
            }
            messages.push(packet);
        } else if let Some(begun) = open.get(&flow).and_then(|&index| messages.get_mut(index)) {
            begun.payload.extend_from_slice(&packet.payload);
        }
    }
    messages.into_iter().flat_map(split).collect()
}

/// A stream's packet may hold several messages.
fn split(packet: Packet) -> Vec<Packet> {
    let mut payloads = Vec::new();
    if packet.carrier == "tcp" && packet.payload.starts_with(b"MSRP ") {
        let mut rest = packet.payload.as_slice();
        while let Some(end) = end_of_msrp(rest) {
            payloads.push(rest[..end].to_vec());
            rest = &rest[end..];
        }
        payloads.extend((!rest.is_empty()).then(|| rest.to_vec()));
    } else if packet.carrier == "tcp" {
        let mut decoder = StreamDecoder::new(Limits::default());
        decoder.feed(&packet.payload);
        while let Some(item) = decoder.next() {
            match item {
                StreamItem::Message(message) => payloads.push(message.to_bytes().to_vec()),
                StreamItem::Ping | StreamItem::Pong => {}
                // It is judged as it is.
                StreamItem::Error(_) => return vec![packet],
            }
        }
        if decoder.buffered() > 0 {
            return vec![packet];
        }
    } else {
        return vec![packet];
    }
    payloads.into_iter().map(|payload| Packet { payload, ..packet.clone() }).collect()
}

/// Where a chunk of MSRP ends: behind `-------`, its transaction's id, a flag and a line end.
fn end_of_msrp(data: &[u8]) -> Option<usize> {
    let id = data.strip_prefix(b"MSRP ")?.split(|byte| *byte == b' ').next()?;
    let end_line = [b"-------", id].concat();
    let at = data.windows(end_line.len()).position(|window| window == end_line)?;
    let end = at + end_line.len() + 3;
    (data.get(end - 2..end)? == b"\r\n").then_some(end)
}

fn begins_a_message(data: &[u8]) -> bool {
    let first_line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first_line = first_line.strip_suffix(b"\r").unwrap_or(first_line);
    first_line.starts_with(b"MSRP ")
        || first_line.starts_with(b"SIP/2.0 ")
        || first_line.ends_with(b" SIP/2.0")
}

type Frames<'a> = Vec<(u32, &'a [u8])>;

/// Numbers as the machine wrote them that made the file.
#[derive(Copy, Clone)]
struct Order {
    big: bool,
}

impl Order {
    fn u32(self, data: &[u8], at: usize) -> Option<u32> {
        let bytes: [u8; 4] = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u16(self, data: &[u8], at: usize) -> Option<u32> {
        let bytes: [u8; 2] = data.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(u32::from(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }))
    }
}

fn read_pcap<'a>(data: &'a [u8], frames: &mut Frames<'a>) -> Option<()> {
    let order = Order { big: data.first() == Some(&0xa1) };
    // The upper bits say other things.
    let link = order.u32(data, 20)? & 0xffff;
    let mut rest = data.get(24..)?;
    while !rest.is_empty() {
        let length = order.u32(rest, 8)? as usize;
        frames.push((link, rest.get(16..16_usize.checked_add(length)?)?));
        rest = rest.get(16 + length..)?;
    }
    Some(())
}

fn read_pcapng<'a>(data: &'a [u8], frames: &mut Frames<'a>) -> Option<()> {
    let mut order = Order { big: false };
    let mut links = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        if rest.get(..4)? == [0x0a, 0x0d, 0x0d, 0x0a] {
            order = Order { big: rest.get(8..12)? == [0x1a, 0x2b, 0x3c, 0x4d] };
            links.clear();
        }
        let (kind, length) = (order.u32(rest, 0)?, order.u32(rest, 4)? as usize);
        let block = rest.get(..length).filter(|block| block.len() >= 12)?;
        match kind {
            1 => links.push(order.u16(block, 8)?),
            6 => {
                let link = links.get(order.u32(block, 8)? as usize).copied().unwrap_or(u32::MAX);
                let captured = order.u32(block, 20)? as usize;
                frames.push((link, block.get(28..28_usize.checked_add(captured)?)?));
            }
            3 => {
                let link = links.first().copied().unwrap_or(u32::MAX);
                let captured = (order.u32(block, 8)? as usize).min(length.saturating_sub(16));
                frames.push((link, block.get(12..12 + captured)?));
            }
            _ => {}
        }
        rest = rest.get(length..)?;
    }
    Some(())
}

/// The IP packet in a frame of this kind of link.
fn ip_of(link: u32, frame: &[u8]) -> Option<&[u8]> {
    match link {
        // Raw IP, in its several numbers.
        12 | 14 | 101 | 228 | 229 => Some(frame),
        // Loopback: an address family.
        0 | 108 => frame.get(4..),
        1 => {
            let (mut kind, mut at) = (frame.get(12..14)?, 14);
            while matches!(kind, [0x81, 0x00] | [0x88, 0xa8]) {
                (kind, at) = (frame.get(at + 2..at + 4)?, at + 4);
            }
            matches!(kind, [0x08, 0x00] | [0x86, 0xdd]).then(|| frame.get(at..))?
        }
        // Linux's "any" interface.
        113 => frame.get(16..),
        276 => frame.get(20..),
        _ => None,
    }
}

/// Addresses, carrier and payload of an IP packet that is no fragment.
fn unpack(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, &'static str, &[u8])> {
    const NETWORK: Order = Order { big: true };
    let (from, to, protocol, data): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let length = (NETWORK.u16(packet, 2)? as usize).min(packet.len());
            if NETWORK.u16(packet, 6)? & 0x3fff != 0 {
                return None;
            }
            let address =
                |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            (address(12)?.into(), address(16)?.into(), *packet.get(9)?, packet.get(header..length)?)
        }
        6 => {
            let length = 40 + NETWORK.u16(packet, 4)? as usize;
            let address =
                |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
            let data = packet.get(40..length.min(packet.len()))?;
            (address(8)?.into(), address(24)?.into(), *packet.get(6)?, data)
        }
        _ => return None,
    };
    let port = |at: usize| u16::try_from(NETWORK.u16(data, at)?).ok();
    let ends = (SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?));
    match protocol {
        17 => Some((ends.0, ends.1, "udp", data.get(8..)?)),
        6 => Some((ends.0, ends.1, "tcp", data.get(usize::from(data.get(12)? >> 4) * 4..)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sipsimple::trace::{Carrier, Protocol, Traced, Tracer, Way};

    const MESSAGE: &[u8] = b"OPTIONS sip:bob@192.0.2.7 SIP/2.0\r\n\r\n";

    fn capture(name: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        let tracer = Tracer::to_file(&path).expect("a file");
        for (carrier, local, remote) in [
            (Carrier::Udp, "192.0.2.1:5060", "192.0.2.7:5062"),
            (Carrier::Tcp, "[2001:db8::1]:5060", "[2001:db8::7]:5062"),
        ] {
            tracer.write(Traced {
                time: std::time::SystemTime::UNIX_EPOCH,
                protocol: Protocol::Sip,
                carrier,
                way: Way::Sent,
                local: local.parse().expect("an address"),
                remote: remote.parse().expect("an address"),
                data: MESSAGE,
            });
        }
        tracer.flush();
        std::fs::read(&path).expect("the file")
    }

    #[test]
    fn what_our_traces_hold_is_found_again() {
        for name in ["a.pcap", "a.pcapng"] {
            let data = capture(name);
            assert!(is_capture(&data), "{name}");
            let (found, cut) = packets(&data);
            assert!(!cut && found.len() == 2, "{name}: {found:?}");
            assert!(found.iter().all(|packet| packet.payload == MESSAGE));
            assert_eq!((found[0].carrier, found[1].carrier), ("udp", "tcp"));
            assert_eq!(found[1].to, "[2001:db8::7]:5062".parse().expect("an address"));
        }
    }

    #[test]
    fn a_capture_that_is_cut_anywhere_is_read_as_far_as_it_goes() {
        for name in ["a.pcap", "a.pcapng"] {
            let data = capture(name);
            for end in 4..data.len() {
                let (found, _) = packets(&data[..end]);
                assert!(found.len() < 2, "{name} cut at {end}");
            }
            let mut broken = data.clone();
            for at in 0..data.len() {
                broken[at] ^= 0xff;
                drop(packets(&broken));
                broken[at] ^= 0xff;
            }
        }
    }

    #[test]
    fn streams_are_cut_into_messages_again() {
        let ends = ("192.0.2.1:1".parse().expect("an address"), "192.0.2.2:2".parse().expect("an address"));
        let packet = |number, payload: &[u8]| Packet {
            number,
            from: ends.0,
            to: ends.1,
            carrier: "tcp",
            payload: payload.to_vec(),
        };
        let sip = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";
        let msrp = b"MSRP abcd SEND\r\nTo-Path: x\r\n-------abcd$\r\n";
        let twice = [&sip[..], &sip[..]].concat();
        let both = [&msrp[..], &msrp[..]].concat();
        let stream = vec![
            packet(1, b"no beginning"),
            packet(2, &twice[..70]),
            packet(3, &twice[70..]),
            packet(4, b"\r\n\r\n"),
            packet(5, &both),
        ];
        let found: Vec<(u64, Vec<u8>)> =
            messages(stream).into_iter().map(|it| (it.number, it.payload)).collect();
        assert_eq!(found, [(2, sip.to_vec()), (2, sip.to_vec()), (5, msrp.to_vec()), (5, msrp.to_vec())]);
    }

    #[test]
    fn ethernet_with_and_without_vlan_is_looked_into() {
        let data = capture("a.pcap");
        let ip = &data[24 + 16..];
        let length = u32::from_le_bytes(data[32..36].try_into().expect("four bytes")) as usize;
        for tag in [&[][..], &[0x81, 0x00, 0, 7]] {
            let mut frame = vec![0; 12];
            frame.extend_from_slice(tag);
            frame.extend_from_slice(&[0x08, 0x00]);
            frame.extend_from_slice(&ip[..length]);
            let (.., payload) = ip_of(1, &frame).and_then(unpack).expect("a datagram");
            assert_eq!(payload, MESSAGE);
        }
    }
}
