//! What is received, per source: extended sequence numbers, validation, loss and jitter
//! (RFC 3550 appendices A.1, A.3, A.8).

use std::time::{Duration, Instant};

use super::quality::Bursts;
use super::{clock_units, short_ntp};
use crate::packet::RtpPacket;
use crate::rtcp::{ReportBlock, SenderInfo};

/// How sources are judged and how many are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// The sources that are followed; further ones are counted and dropped.
    pub max_sources: usize,
    /// Packets in sequence before a source is believed (MIN_SEQUENTIAL).
    pub min_sequential: u8,
    /// The largest gap ahead that is a gap and not a restart (MAX_DROPOUT).
    pub max_dropout: u16,
    /// The largest step back that is reordering and not a restart (MAX_MISORDER).
    pub max_misorder: u16,
    /// A source not heard for so long gives its place in a full table to a new one.
    pub source_timeout: Duration,
}

impl ReceiverConfig {
    /// The figures of RFC 3550 appendix A.1 and room for 8 sources.
    #[must_use]
    pub const fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            max_sources: 8,
            min_sequential: 2,
            max_dropout: 3000,
            max_misorder: 100,
            source_timeout: Duration::from_secs(25),
        }
    }
}

/// What a received packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// In sequence, or a late or repeated one of a source that is believed.
    Valid {
        /// The sequence number with its cycles above; it begins at 65536 plus the first number, so that
        /// packets from before the first have one too.
        sequence: u64,
    },
    /// The source has not sent enough in sequence to be believed yet. A caller that knows the source from
    /// elsewhere (SRTP, a signalled address) may play it all the same.
    Probation {
        /// As in `Valid`.
        sequence: u64,
    },
    /// The source began anew at another sequence number: what is buffered of it belongs to the past.
    Restarted {
        /// As in `Valid`, above all numbers given before.
        sequence: u64,
    },
    /// So far from the sequence that it is dropped; a second one that follows it is a restart.
    Jump,
    /// A source beyond the table.
    NoRoom,
}

/// One source as it was received.
#[derive(Clone, Debug)]
pub struct Source {
    ssrc: u32,
    /// Index of the highest sequence number, cycles included.
    highest: u64,
    base: u64,
    /// The last jump's successor (bad_seq).
    jump: Option<u16>,
    probation: u8,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    transit: Option<u32>,
    /// Sixteen times the jitter.
    jitter: u32,
    last_packet: Instant,
    heard_since_report: bool,
    last_sr: Option<(u32, Instant)>,
    sender_info: Option<SenderInfo>,
    left: bool,
    bursts: Bursts,
}

impl Source {
    fn new(ssrc: u32, sequence: u16, probation: u8, now: Instant) -> Self {
        let index = (1 << 16) | u64::from(sequence);
        Self {
            ssrc,
            highest: index,
            base: index,
            jump: None,
            probation,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter: 0,
            last_packet: now,
            heard_since_report: false,
            last_sr: None,
            sender_info: None,
            left: false,
            bursts: Bursts::default(),
        }
    }

    /// Its SSRC.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether enough came in sequence (RFC 3550 appendix A.1).
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.probation == 0
    }

    /// Packets received, late and repeated ones included.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Packets expected by the sequence numbers.
    #[must_use]
    pub const fn expected(&self) -> u64 {
        if self.received == 0 { 0 } else { self.highest - self.base + 1 }
    }

    /// Packets lost; negative when more were repeated than lost.
    #[must_use]
    pub const fn lost(&self) -> i64 {
        self.expected().cast_signed() - self.received.cast_signed()
    }

    /// How its losses lie, for VoIP metrics.
    pub(super) const fn bursts(&self) -> &Bursts {
        &self.bursts
    }

    /// Interarrival jitter in units of the RTP clock (RFC 3550 §6.4.1).
    #[must_use]
    pub const fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// When the last packet came.
    #[must_use]
    pub const fn last_packet(&self) -> Instant {
        self.last_packet
    }

    /// What its last sender report said.
    #[must_use]
    pub const fn sender_info(&self) -> Option<&SenderInfo> {
        self.sender_info.as_ref()
    }

    /// Whether it said goodbye.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        self.left
    }

    /// RFC 3550 appendix A.1, update_seq.
    fn update(&mut self, config: &ReceiverConfig, sequence: u16) -> Received {
        let ahead = sequence.wrapping_sub(low(self.highest));
        if self.probation > 0 {
            if ahead == 1 {
                self.probation -= 1;
                self.highest += 1;
                if self.probation == 0 {
                    self.begin(self.highest);
                    self.received = 1;
                    return Received::Valid { sequence: self.highest };
                }
            } else if ahead != 0 {
                self.probation = config.min_sequential.saturating_sub(1);
                // Begun anew, yet in order with what was given before.
                self.highest = self.nearest(sequence);
            }
            return Received::Probation { sequence: self.highest };
        }
        if ahead < config.max_dropout {
            if let Some(lost) = u64::from(ahead).checked_sub(1) {
                self.bursts.lost(lost);
                self.bursts.arrived();
            }
            self.highest += u64::from(ahead);
        } else if ahead <= (u16::MAX - config.max_misorder) {
            if self.jump == Some(sequence) {
                // Two in sequence: the other side began anew without telling us.
                let next_cycle = ((self.highest >> 16) + 1) << 16;
                self.begin(next_cycle | u64::from(sequence));
                self.received = 1;
                return Received::Restarted { sequence: self.highest };
            }
            self.jump = Some(sequence.wrapping_add(1));
            return Received::Jump;
        }
        self.received += 1;
        Received::Valid { sequence: self.nearest(sequence) }
    }

    /// RFC 3550 appendix A.1, init_seq.
    fn begin(&mut self, index: u64) {
        (self.base, self.highest, self.jump) = (index, index, None);
        (self.received, self.received_prior, self.expected_prior) = (0, 0, 0);
        self.transit = None;
    }

    /// The index with these low bits nearest to the highest.
    fn nearest(&self, sequence: u16) -> u64 {
        let ahead = sequence.wrapping_sub(low(self.highest));
        if ahead < 0x8000 {
            self.highest + u64::from(ahead)
        } else {
            self.highest.saturating_sub(0x1_0000 - u64::from(ahead))
        }
    }

    /// RFC 3550 appendix A.8.
    fn update_jitter(&mut self, arrival: u32, timestamp: u32) {
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(previous) = self.transit {
            let difference = transit.wrapping_sub(previous).cast_signed().unsigned_abs();
            // A step of half the clock's range is a new timestamp base, not jitter.
            if difference < 1 << 24 {
                let decay = (self.jitter + 8) >> 4;
                self.jitter = (self.jitter + difference).saturating_sub(decay);
            }
        }
        self.transit = Some(transit);
    }

    /// RFC 3550 appendix A.3; begins a new interval.
    fn report(&mut self, now: Instant) -> ReportBlock {
        let expected = self.expected();
        let expected_interval = expected - self.expected_prior.min(expected);
        let received_interval = self.received - self.received_prior.min(self.received);
        self.expected_prior = expected;
        self.received_prior = self.received;
        self.heard_since_report = false;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0);
        let lost = self.lost().clamp(-0x80_0000, 0x7f_ffff);
        let (last_sr, delay) = match self.last_sr {
            Some((middle, at)) => (middle, short_ntp(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(lost).unwrap_or(0),
            highest_sequence: extended(self.highest),
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr: delay,
        }
    }
}

/// The sources of one RTP session.
#[derive(Clone, Debug)]
pub struct RtpReceiver {
    config: ReceiverConfig,
    epoch: Instant,
    sources: Vec<Source>,
    refused: u64,
}

impl RtpReceiver {
    /// A receiver that has heard nobody.
    #[must_use]
    pub fn new(now: Instant, config: ReceiverConfig) -> Self {
        // Most hear one source; the table grows when another is heard for the first time.
        let sources = Vec::with_capacity(config.max_sources.min(1));
        Self { config, epoch: now, sources, refused: 0 }
    }

    /// Takes a packet into the statistics and says what it is.
    pub fn receive(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Received {
        let ssrc = packet.ssrc();
        let place = match self.sources.iter().position(|source| source.ssrc == ssrc) {
            Some(place) => place,
            None => match self.room(now) {
                Some(place) => {
                    let probation = self.config.min_sequential.saturating_sub(1);
                    let mut source = Source::new(ssrc, packet.sequence(), probation, now);
                    if probation == 0 {
                        source.begin(source.highest);
                    }
                    match self.sources.get_mut(place) {
                        Some(old) => *old = source,
                        None => self.sources.push(source),
                    }
                    place
                }
                None => {
                    self.refused += 1;
                    return Received::NoRoom;
                }
            },
        };
        let Some(source) = self.sources.get_mut(place) else { return Received::NoRoom };
        let received = source.update(&self.config, packet.sequence());
        source.last_packet = now;
        source.left = false;
        if received != Received::Jump {
            source.heard_since_report = true;
            let arrival = clock_units(now.saturating_duration_since(self.epoch), self.config.clock_rate);
            source.update_jitter(arrival, packet.timestamp());
        }
        received
    }

    /// Notes a sender report for DLSR (RFC 3550 §6.4.1).
    pub fn sender_report(&mut self, now: Instant, ssrc: u32, info: &SenderInfo) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == ssrc) {
            source.last_sr = Some((info.ntp.middle(), now));
            source.sender_info = Some(*info);
        }
    }

    /// Notes a goodbye; returns whether the source was known and had not left.
    pub fn bye(&mut self, ssrc: u32) -> bool {
        let source = self.sources.iter_mut().find(|source| source.ssrc == ssrc);
        source.is_some_and(|source| !std::mem::replace(&mut source.left, true))
    }

    /// A source.
    #[must_use]
    pub fn source(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc)
    }

    /// All sources, those that left included until their place is needed.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.sources.iter()
    }

    /// Packets of sources that found no place.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Believed sources heard from within `interval`: the senders of RFC 3550 §6.3.
    #[must_use]
    pub fn active(&self, now: Instant, interval: Duration) -> usize {
        let active = |source: &&Source| {
            source.is_valid() && !source.left && now.saturating_duration_since(source.last_packet) <= interval
        };
        self.sources.iter().filter(active).count()
    }

    /// Fills `blocks` with reports on the sources heard since the last report and returns how many they are;
    /// each begins a new interval for its fraction lost.
    pub fn report(&mut self, now: Instant, blocks: &mut [ReportBlock]) -> usize {
        let heard = self.sources.iter_mut().filter(|source| source.is_valid() && source.heard_since_report);
        let mut count = 0;
        for (place, source) in blocks.iter_mut().zip(heard) {
            *place = source.report(now);
            count += 1;
        }
        count
    }

    /// The place for a new source: at the end, that of one that left or fell silent, or that of the oldest one not
    /// believed yet, so that single packets of made-up sources keep nobody out.
    fn room(&self, now: Instant) -> Option<usize> {
        if self.sources.len() < self.config.max_sources {
            return Some(self.sources.len());
        }
        let idle = |source: &Source| {
            source.left || now.saturating_duration_since(source.last_packet) >= self.config.source_timeout
        };
        let unproven = || {
            let unproven = self.sources.iter().enumerate().filter(|(_, source)| !source.is_valid());
            unproven.min_by_key(|(_, source)| source.last_packet).map(|(place, _)| place)
        };
        self.sources.iter().position(idle).or_else(unproven)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
const fn low(index: u64) -> u16 {
    index as u16
}

/// As reports carry it: cycles since the beginning above the sequence number.
#[expect(clippy::cast_possible_truncation, reason = "cycles are modulo 2^16 in reports")]
const fn extended(index: u64) -> u32 {
    index.wrapping_sub(1 << 16) as u32
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
