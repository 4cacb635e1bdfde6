//! Captures that Wireshark opens: each message becomes an IP packet (LINKTYPE_RAW).
//!
//! Stream data gets TCP headers with sequence numbers that fit together, so that dissectors
//! reassemble it; the addresses are the real ones.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::{Carrier, Traced, Way};

const LINKTYPE_RAW: u16 = 101;
/// Largest piece of a stream in one packet.
const SEGMENT: usize = 16_000;

pub(super) struct Capture<W> {
    out: W,
    format: Format,
    /// Bytes written so far in each direction of each stream.
    sequence: HashMap<(SocketAddr, SocketAddr), u32>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Format {
    Pcap,
    PcapNg,
}

impl<W: Write> Capture<W> {
    /// The classic format: 24 bytes of header, then packets with microseconds.
    pub(super) fn pcap(mut out: W) -> io::Result<Self> {
        out.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
        out.write_all(&2_u16.to_le_bytes())?;
        out.write_all(&4_u16.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        out.write_all(&65_535_u32.to_le_bytes())?;
        out.write_all(&u32::from(LINKTYPE_RAW).to_le_bytes())?;
        Ok(Self { out, format: Format::Pcap, sequence: HashMap::new() })
    }

    /// The newer format: a section header and an interface, then enhanced packet blocks.
    pub(super) fn pcapng(mut out: W) -> io::Result<Self> {
        let mut section = Vec::new();
        section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        section.extend_from_slice(&1_u16.to_le_bytes());
        section.extend_from_slice(&0_u16.to_le_bytes());
        section.extend_from_slice(&u64::MAX.to_le_bytes());
        write_block(&mut out, 0x0a0d_0d0a, &section)?;
        let mut interface = Vec::new();
        interface.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        interface.extend_from_slice(&[0; 2]);
        interface.extend_from_slice(&0_u32.to_le_bytes());
        write_block(&mut out, 1, &interface)?;
        Ok(Self { out, format: Format::PcapNg, sequence: HashMap::new() })
    }

    pub(super) fn write(&mut self, traced: &Traced<'_>) -> io::Result<()> {
        let (from, to) = match traced.way {
            Way::Sent => (traced.local, traced.remote),
            Way::Received => (traced.remote, traced.local),
        };
        match traced.carrier {
            Carrier::Udp => {
                let packet = packet(from, to, 17, &udp(from, to, traced.data));
                self.write_packet(traced.time, &packet)
            }
            Carrier::Tcp => {
                for piece in traced.data.chunks(SEGMENT) {
                    let packet = packet(from, to, 6, &self.tcp(from, to, piece));
                    self.write_packet(traced.time, &packet)?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn write_packet(&mut self, time: SystemTime, packet: &[u8]) -> io::Result<()> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes();
        match self.format {
            Format::Pcap => {
                let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
                self.out.write_all(&seconds.to_le_bytes())?;
                self.out.write_all(&since.subsec_micros().to_le_bytes())?;
                self.out.write_all(&length)?;
                self.out.write_all(&length)?;
                self.out.write_all(packet)
            }
            Format::PcapNg => {
                let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
                let [high, low] = [(micros >> 32) as u32, (micros & 0xffff_ffff) as u32];
                let mut block = Vec::with_capacity(packet.len() + 24);
                block.extend_from_slice(&0_u32.to_le_bytes());
                block.extend_from_slice(&high.to_le_bytes());
                block.extend_from_slice(&low.to_le_bytes());
                block.extend_from_slice(&length);
                block.extend_from_slice(&length);
                block.extend_from_slice(packet);
                block.resize(block.len().next_multiple_of(4), 0);
                write_block(&mut self.out, 6, &block)
            }
        }
    }

    fn tcp(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
        let acknowledged = self.sequence.get(&(to, from)).copied().unwrap_or(1);
        let sequence = self.sequence.entry((from, to)).or_insert(1);
        let mut segment = Vec::with_capacity(20 + data.len());
        segment.extend_from_slice(&from.port().to_be_bytes());
        segment.extend_from_slice(&to.port().to_be_bytes());
        segment.extend_from_slice(&sequence.to_be_bytes());
        segment.extend_from_slice(&acknowledged.to_be_bytes());
        // Header of five words, PSH and ACK, a wide window, no checksum (dissectors allow it).
        segment.extend_from_slice(&[0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend_from_slice(data);
        *sequence = sequence.wrapping_add(data.len() as u32);
        segment
    }
}

fn write_block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

fn udp(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 8).unwrap_or(u16::MAX);
    let mut datagram = Vec::with_capacity(8 + data.len());
    datagram.extend_from_slice(&from.port().to_be_bytes());
    datagram.extend_from_slice(&to.port().to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(data);
    datagram
}

fn packet(from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + payload.len());
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(payload.len() + 20).unwrap_or(u16::MAX);
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
        }
        (from, to) => {
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[protocol, 64]);
            for address in [from, to] {
                let address = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                };
                packet.extend_from_slice(&address.octets());
            }
        }
    }
    packet.extend_from_slice(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Protocol;

    fn traced(carrier: Carrier, data: &[u8]) -> Traced<'_> {
        Traced {
            time: SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_500_000),
            protocol: Protocol::Sip,
            carrier,
            way: Way::Sent,
            local: "127.0.0.1:5060".parse().expect("an address"),
            remote: "127.0.0.2:5070".parse().expect("an address"),
            data,
        }
    }

    #[test]
    fn a_datagram_becomes_an_ip_packet() {
        let mut capture = Capture::pcap(Vec::new()).expect("memory takes everything");
        capture.write(&traced(Carrier::Udp, b"OPTIONS")).expect("memory takes everything");
        let packet = &capture.out[24 + 16..];
        assert_eq!(&capture.out[24..32], &[1, 0, 0, 0, 0x20, 0xa1, 7, 0], "seconds and microseconds");
        assert_eq!(packet.len(), 20 + 8 + 7);
        assert_eq!(packet[9], 17, "UDP");
        assert_eq!(&packet[12..20], &[127, 0, 0, 1, 127, 0, 0, 2]);
        assert_eq!(u16::from_be_bytes([packet[20], packet[21]]), 5060);
        assert_eq!(&packet[28..], b"OPTIONS");
    }

    #[test]
    fn the_pieces_of_a_stream_follow_each_other() {
        let mut capture = Capture::pcapng(Vec::new()).expect("memory takes everything");
        capture.write(&traced(Carrier::Tcp, b"12345")).expect("memory takes everything");
        let start = capture.out.len();
        capture.write(&traced(Carrier::Tcp, b"6789")).expect("memory takes everything");
        let packet = &capture.out[start + 28..];
        assert_eq!(&packet[24..28], &6_u32.to_be_bytes(), "five bytes came before");
        assert_eq!((capture.out.len() - start) % 4, 0, "blocks are padded");
    }
}
