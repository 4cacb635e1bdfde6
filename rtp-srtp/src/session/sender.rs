//! Our own source: numbering, counts, and what a sender report says (RFC 3550 §5.1, §6.4.1).

use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::clock_units;
use crate::error::WriteError;
use crate::extension::Extension;
use crate::packet::RtpHeader;
use crate::rtcp::{NtpTime, SenderInfo};

/// What a sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    /// The payload type of audio.
    pub payload_type: u8,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
}

/// How far a source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The source.
    pub ssrc: u32,
    /// Packets sent since this SSRC began, modulo 2^32.
    pub packets: u32,
    /// Payload bytes sent since this SSRC began, modulo 2^32.
    pub octets: u32,
    /// When the last packet was sent, and its timestamp on the wire.
    pub last: (Instant, u32),
}

/// Numbers the packets of one source. SSRC, first sequence number and timestamp offset come from the seed.
#[derive(Clone)]
pub struct RtpSender {
    config: SenderConfig,
    rng: ChaCha20Rng,
    ssrc: u32,
    sequence: u16,
    offset: u32,
    packets: u32,
    octets: u32,
    last: Option<(Instant, u32)>,
}

impl RtpSender {
    /// A sender that has sent nothing.
    #[must_use]
    pub fn new(config: SenderConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let ssrc = rng.next_u32();
        let offset = rng.next_u32();
        let sequence = first_sequence(&mut rng);
        Self { config, rng, ssrc, sequence, offset, packets: 0, octets: 0, last: None }
    }

    /// Our SSRC.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The sequence number of the next packet.
    #[must_use]
    pub const fn next_sequence(&self) -> u16 {
        self.sequence
    }

    /// Packets sent since this SSRC began, modulo 2^32.
    #[must_use]
    pub const fn packet_count(&self) -> u32 {
        self.packets
    }

    /// Payload bytes sent since this SSRC began, modulo 2^32.
    #[must_use]
    pub const fn octet_count(&self) -> u32 {
        self.octets
    }

    /// When the last packet was sent.
    #[must_use]
    pub fn last_packet(&self) -> Option<Instant> {
        self.last.map(|(at, _)| at)
    }

    /// Changes the payload type, as a new answer does.
    pub const fn set_payload_type(&mut self, payload_type: u8) {
        self.config.payload_type = payload_type;
    }

    /// The timestamp on the wire of one that counts from 0 at the stream's beginning.
    #[must_use]
    pub const fn wire_timestamp(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.offset)
    }

    /// Writes the next packet into `buffer` and returns its length. `timestamp` counts from 0 at the stream's
    /// beginning in units of the RTP clock.
    pub fn write(
        &mut self,
        now: Instant,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, WriteError> {
        let payload_type = self.config.payload_type;
        self.write_as(now, payload_type, timestamp, marker, None, payload, buffer)
    }

    /// As [`Self::write`] with another payload type (telephone-event, comfort noise) and a header extension.
    #[expect(clippy::too_many_arguments, reason = "each is one field of the packet")]
    pub fn write_as(
        &mut self,
        now: Instant,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        extension: Option<Extension<'_>>,
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, WriteError> {
        let timestamp = self.wire_timestamp(timestamp);
        let header = RtpHeader {
            marker,
            extension,
            ..RtpHeader::new(payload_type, self.sequence, timestamp, self.ssrc)
        };
        let len = header.write_packet(payload, buffer)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(payload.len()).map_err(|_| WriteError::DoesNotFit("payload"))?;
        self.octets = self.octets.wrapping_add(octets);
        // The packets of a telephone-event carry its beginning: only what moves ahead tells the clock.
        match self.last {
            Some((_, previous)) if timestamp.wrapping_sub(previous) > u32::MAX / 2 => {}
            Some((_, previous)) if timestamp == previous => {}
            _ => self.last = Some((now, timestamp)),
        }
        Ok(len)
    }

    /// How far this sender has come; `None` before the first packet.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let Self { ssrc, packets, octets, .. } = *self;
        self.last.map(|last| Progress { ssrc, packets, octets, last })
    }

    /// Takes over what a clone of this sender has sent elsewhere, for the reports. That of another SSRC says
    /// nothing of this one.
    pub const fn follow(&mut self, progress: Progress) {
        if progress.ssrc == self.ssrc {
            self.packets = progress.packets;
            self.octets = progress.octets;
            self.last = Some(progress.last);
        }
    }

    /// What to say in a sender report sent now: the RTP timestamp is the stream's clock at this moment
    /// (RFC 3550 §6.4.1). `None` before the first packet.
    #[must_use]
    pub fn info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        let (at, timestamp) = self.last?;
        let since = clock_units(now.saturating_duration_since(at), self.config.clock_rate);
        Some(SenderInfo {
            ntp,
            rtp_timestamp: timestamp.wrapping_add(since),
            packet_count: self.packets,
            octet_count: self.octets,
        })
    }

    /// Takes another SSRC after a collision and begins its counts anew (RFC 3550 §8.2). Returns the old one,
    /// which owes a goodbye.
    pub fn renew_ssrc(&mut self) -> u32 {
        let old = self.ssrc;
        while self.ssrc == old {
            self.ssrc = self.rng.next_u32();
        }
        self.sequence = first_sequence(&mut self.rng);
        (self.packets, self.octets) = (0, 0);
        old
    }
}

impl std::fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtpSender")
            .field("ssrc", &self.ssrc)
            .field("sequence", &self.sequence)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

/// Random, in the lower half: an SRTP receiver that misses the first packets then still guesses the rollover
/// counter right (RFC 3711 §3.3.1).
fn first_sequence(rng: &mut ChaCha20Rng) -> u16 {
    u16::try_from(rng.next_u32() & 0x7fff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::packet::RtpPacket;

    const CONFIG: SenderConfig = SenderConfig { payload_type: 0, clock_rate: 8000 };

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn numbers_and_counts() {
        let now = start();
        let mut sender = RtpSender::new(CONFIG, [1; 32]);
        assert_eq!(sender.info(now, NtpTime(0)), None);
        let mut buffer = [0; 200];
        let mut first = None;
        for tick in 0..70_000_u32 {
            let len = sender.write(now, tick * 160, tick == 0, &[0; 160], &mut buffer).unwrap();
            let packet = RtpPacket::parse(&buffer[..len]).unwrap();
            let (sequence, timestamp) = *first.get_or_insert((packet.sequence(), packet.timestamp()));
            assert_eq!(u32::from(packet.sequence().wrapping_sub(sequence)), tick & 0xffff);
            assert_eq!(packet.timestamp().wrapping_sub(timestamp), tick * 160);
        }
        let info = sender.info(now + Duration::from_millis(10), NtpTime(7)).unwrap();
        assert_eq!((info.packet_count, info.octet_count), (70_000, 70_000 * 160));
        assert_eq!(info.rtp_timestamp, sender.wire_timestamp(69_999 * 160 + 80));
    }

    #[test]
    fn the_seed_decides_and_the_first_number_is_in_the_lower_half() {
        for seed in 0..=255 {
            let sender = RtpSender::new(CONFIG, [seed; 32]);
            assert!(sender.next_sequence() < 0x8000);
            assert_eq!(sender.ssrc(), RtpSender::new(CONFIG, [seed; 32]).ssrc());
        }
        assert_ne!(RtpSender::new(CONFIG, [1; 32]).ssrc(), RtpSender::new(CONFIG, [2; 32]).ssrc());
    }

    #[test]
    fn a_clone_sends_and_the_original_reports() {
        let now = start();
        let mut reporting = RtpSender::new(CONFIG, [1; 32]);
        let mut sending = reporting.clone();
        assert_eq!(sending.progress(), None);
        sending.write(now, 160, true, &[0; 160], &mut [0; 200]).unwrap();
        reporting.follow(sending.progress().unwrap());
        assert_eq!(reporting.info(now, NtpTime(1)), sending.info(now, NtpTime(1)));
        reporting.renew_ssrc();
        sending.write(now, 320, true, &[0; 160], &mut [0; 200]).unwrap();
        reporting.follow(sending.progress().unwrap());
        assert_eq!(reporting.packet_count(), 0, "that was the old source");
    }

    #[test]
    fn a_failed_write_takes_no_number() {
        let mut sender = RtpSender::new(CONFIG, [1; 32]);
        let next = sender.next_sequence();
        assert!(sender.write(start(), 0, false, &[0; 160], &mut [0; 100]).is_err());
        assert_eq!((sender.next_sequence(), sender.packet_count()), (next, 0));
    }
}
