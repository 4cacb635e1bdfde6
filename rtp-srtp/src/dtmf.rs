//! Telephone events (RFC 4733): the payload, a sender that repeats the end, a receiver that reports each digit
//! once whatever is lost.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation
    )
)]

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::error::ParseError;

/// The payload of one telephone-event packet (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event code; 0 to 15 are digits.
    pub code: u8,
    /// The event has ended.
    pub end: bool,
    /// The power of the tone in −dBm0, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in units of the RTP clock.
    pub duration: u16,
}

impl Event {
    /// Reads the first event of a payload.
    pub const fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let Some(&[code, flags, d0, d1]) = payload.first_chunk::<4>() else {
            return Err(ParseError::truncated(payload.len(), "telephone-event"));
        };
        let duration = u16::from_be_bytes([d0, d1]);
        Ok(Self { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }

    /// The payload; a volume above 63 is 63.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.code, (u8::from(self.end) << 7) | self.volume.min(63), d0, d1]
    }

    /// The digit, when the event is one.
    #[must_use]
    pub const fn digit(&self) -> Option<Digit> {
        Digit::from_code(self.code)
    }
}

/// One of `0`-`9`, `*`, `#`, `A`-`D` (RFC 4733 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(u8);

const NAMES: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The digit of a character; `a`-`d` are taken for `A`-`D`.
    #[must_use]
    pub fn new(name: char) -> Option<Self> {
        let name = u8::try_from(name).ok()?.to_ascii_uppercase();
        let code = NAMES.iter().position(|digit| *digit == name)?;
        u8::try_from(code).ok().map(Self)
    }

    /// The digit of an event code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// The event code, 0 to 15.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The character.
    #[must_use]
    pub fn as_char(self) -> char {
        NAMES.get(usize::from(self.0)).copied().map_or('?', char::from)
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// The text is not one DTMF digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not one of 0-9, *, #, A-D")]
pub struct NotADigit;

impl FromStr for Digit {
    type Err = NotADigit;

    fn from_str(text: &str) -> Result<Self, NotADigit> {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(name), None) => Self::new(name).ok_or(NotADigit),
            _ => Err(NotADigit),
        }
    }
}

/// How events are sent. Lengths are in units of the RTP clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSenderConfig {
    /// What one tick lasts: 160 for 20 ms at 8000 Hz.
    pub packet_time: u16,
    /// How long a digit lasts, at least one tick.
    pub duration: u16,
    /// The silence between the last packet of a digit and the next digit.
    pub pause: u16,
    /// −dBm0 of the tone.
    pub volume: u8,
    /// How many digits may wait.
    pub capacity: usize,
}

impl EventSenderConfig {
    /// 160 ms of tone and 80 ms of pause, ticks of `milliseconds`, at a clock of `rate` Hz (at most 48 kHz).
    #[must_use]
    pub fn new(rate: u32, milliseconds: u16) -> Self {
        let units = |ms: u16| u16::try_from(u64::from(rate) * u64::from(ms) / 1000).unwrap_or(u16::MAX);
        Self {
            packet_time: units(milliseconds).max(1),
            duration: units(160),
            pause: units(80),
            volume: 10,
            capacity: 64,
        }
    }
}

/// What to send instead of audio in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// The payload.
    pub payload: [u8; 4],
    /// The stream's timestamp when the event began, the same for all its packets (RFC 4733 §2.2.1).
    pub timestamp: u32,
    /// Set on the first packet of an event (RFC 4733 §2.2.2).
    pub marker: bool,
}

/// Too many digits wait to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many digits wait to be sent")]
pub struct QueueFull;

/// Sends digits one after the other: one packet a tick while the tone lasts, the last one three times
/// (RFC 4733 §2.5.1.4).
#[derive(Clone, Debug)]
pub struct EventSender {
    config: EventSenderConfig,
    /// Digits, with how long each is to last.
    queue: VecDeque<(Digit, u32)>,
    state: Sending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Idle,
    Tone(Tone),
    Pause { left: u16 },
}

/// A digit on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tone {
    digit: Digit,
    /// How long it is to last.
    total: u32,
    /// How long it has.
    lasted: u32,
    /// The timestamp of the segment, and what of the digit came before it.
    segment: u32,
    before: u32,
    ends: u8,
}

impl EventSender {
    /// A sender with nothing to send.
    #[must_use]
    pub fn new(config: EventSenderConfig) -> Self {
        Self { config, queue: VecDeque::with_capacity(config.capacity), state: Sending::Idle }
    }

    /// Queues a digit.
    pub fn push(&mut self, digit: Digit) -> Result<(), QueueFull> {
        self.push_for(digit, self.config.duration.into())
    }

    /// Queues a digit that lasts so long, as a key that is held down; what is longer than the field can tell goes
    /// out in segments (RFC 4733 §2.5.1.3).
    pub fn push_for(&mut self, digit: Digit, duration: u32) -> Result<(), QueueFull> {
        if self.queue.len() >= self.config.capacity {
            return Err(QueueFull);
        }
        self.queue.push_back((digit, duration));
        Ok(())
    }

    /// Whether nothing is being sent nor waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == Sending::Idle && self.queue.is_empty()
    }

    /// Call once per packet time with the stream's timestamp: a packet to send in place of the audio frame, or
    /// `None` when the audio goes out as usual.
    pub fn tick(&mut self, timestamp: u32) -> Option<EventPacket> {
        if let Sending::Pause { left } = self.state {
            match left.checked_sub(self.config.packet_time).filter(|left| *left > 0) {
                Some(left) => {
                    self.state = Sending::Pause { left };
                    return None;
                }
                None => self.state = Sending::Idle,
            }
        }
        if self.state == Sending::Idle {
            let (digit, total) = self.queue.pop_front()?;
            let tone = Tone { digit, total, lasted: 0, segment: timestamp, before: 0, ends: 0 };
            self.state = Sending::Tone(tone);
        }
        let Sending::Tone(tone) = &mut self.state else { return None };
        let marker = tone.lasted == 0;
        if tone.ends == 0 {
            tone.lasted = tone.lasted.saturating_add(self.config.packet_time.into());
        }
        let Ok(duration) = u16::try_from(tone.lasted - tone.before) else {
            // RFC 4733 §2.5.1.3: this segment is full; the next one begins where it ends, without a mark.
            let event =
                Event { code: tone.digit.code(), end: false, volume: self.config.volume, duration: u16::MAX };
            let packet = EventPacket { payload: event.to_bytes(), timestamp: tone.segment, marker };
            tone.segment = tone.segment.wrapping_add(u16::MAX.into());
            tone.before += u32::from(u16::MAX);
            return Some(packet);
        };
        let end = tone.lasted >= tone.total;
        let event = Event { code: tone.digit.code(), end, volume: self.config.volume, duration };
        let packet = EventPacket { payload: event.to_bytes(), timestamp: tone.segment, marker };
        if end {
            tone.ends += 1;
            if tone.ends == 3 {
                self.state = Sending::Pause { left: self.config.pause };
            }
        }
        Some(packet)
    }
}

/// Reports each digit once: at the first packet of it that arrives, however many of them are lost, repeated
/// or late (RFC 4733 §2.5.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct EventReceiver {
    last: Option<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    timestamp: u32,
    code: u8,
    duration: u16,
    ended: bool,
}

impl EventReceiver {
    /// A receiver that has heard nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Takes a packet of the negotiated payload type; returns the event the first time that it is seen.
    ///
    /// Packets of one event carry one timestamp; older timestamps are late packets of events already reported.
    pub fn receive(&mut self, timestamp: u32, payload: &[u8]) -> Result<Option<Event>, ParseError> {
        let event = Event::parse(payload)?;
        if let Some(last) = &mut self.last {
            let distance = timestamp.wrapping_sub(last.timestamp);
            if distance == 0 {
                if event.code == last.code {
                    last.duration = last.duration.max(event.duration);
                    last.ended |= event.end;
                }
                return Ok(None);
            }
            if distance > u32::MAX / 2 {
                return Ok(None);
            }
            // RFC 4733 §2.5.1.3: an event longer than the field continues in segments, the next one beginning
            // where the last one's duration ended.
            let continues = !last.ended
                && event.code == last.code
                && last.duration > 0x8000
                && distance.abs_diff(0xffff) <= 0xffff - u32::from(last.duration);
            if continues {
                *last = Heard { timestamp, code: event.code, duration: event.duration, ended: event.end };
                return Ok(None);
            }
        }
        self.last = Some(Heard { timestamp, code: event.code, duration: event.duration, ended: event.end });
        Ok(Some(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(digits: &str) -> Vec<(usize, EventPacket)> {
        let mut sender = EventSender::new(EventSenderConfig::new(8000, 20));
        for digit in digits.chars() {
            sender.push(Digit::new(digit).unwrap()).unwrap();
        }
        let mut packets = Vec::new();
        for tick in 0..1000_u32 {
            let timestamp = u32::MAX.wrapping_sub(500).wrapping_add(tick * 160);
            packets.extend(sender.tick(timestamp).map(|packet| (tick as usize, packet)));
        }
        assert!(sender.is_idle());
        packets
    }

    #[test]
    fn one_digit_is_eight_packets_and_two_repeats_of_the_end() {
        let packets = send("5");
        assert_eq!(packets.len(), 10);
        let events: Vec<_> = packets.iter().map(|(_, p)| Event::parse(&p.payload).unwrap()).collect();
        assert_eq!(events.iter().map(|e| e.duration).max(), Some(1280));
        assert_eq!(events.iter().filter(|e| e.end).count(), 3);
        assert!(events[7..].iter().all(|e| e.end && e.duration == 1280));
        assert_eq!(packets.iter().filter(|(_, p)| p.marker).count(), 1);
        assert!(packets[0].1.marker);
        assert!(packets.iter().all(|(_, p)| p.timestamp == packets[0].1.timestamp));
    }

    #[test]
    fn each_digit_once_with_repeats_reorder_and_all_but_one_packet_lost() {
        let text = "0123456789*#ABCD55";
        let packets = send(text);
        for keep in 0..10 {
            let mut receiver = EventReceiver::new();
            let mut heard = String::new();
            let mut previous = None;
            for (index, (_, packet)) in packets.iter().enumerate() {
                // One packet of each digit survives, twice, and the one of the digit before comes again.
                if index % 10 == keep {
                    for packet in [Some(packet), Some(packet), previous].into_iter().flatten() {
                        if let Some(event) = receiver.receive(packet.timestamp, &packet.payload).unwrap() {
                            heard.push(event.digit().unwrap().as_char());
                        }
                    }
                    previous = Some(packet);
                }
            }
            assert_eq!(heard, text, "packet {keep} of each digit kept");
        }
    }

    #[test]
    fn a_long_event_in_segments_is_one() {
        let mut receiver = EventReceiver::new();
        let mut count = 0;
        for (timestamp, duration, end) in [
            (0_u32, 160, false),
            (0, 0xffff, false),
            (0xffff, 160, false),
            (0xffff, 320, true),
            (200_000, 160, false),
        ] {
            let event = Event { code: 1, end, volume: 0, duration };
            count += usize::from(receiver.receive(timestamp, &event.to_bytes()).unwrap().is_some());
        }
        assert_eq!(count, 2);
    }

    /// A key held for 25 s at 8 kHz: three full segments and what is left, heard once.
    #[test]
    fn a_key_held_goes_out_in_segments() {
        let mut sender = EventSender::new(EventSenderConfig::new(8000, 20));
        sender.push_for(Digit::new('7').unwrap(), 200_000).unwrap();
        let mut receiver = EventReceiver::new();
        let (mut heard, mut segments, mut last) = (0, Vec::new(), None);
        for tick in 0..2000_u32 {
            let Some(packet) = sender.tick((u32::MAX - 1000).wrapping_add(tick * 160)) else { continue };
            let event = Event::parse(&packet.payload).unwrap();
            assert_eq!(packet.marker, tick == 0);
            if segments.last() != Some(&packet.timestamp) {
                segments.push(packet.timestamp);
                // The one before was filled, and not ended.
                assert!(last.is_none_or(|event: Event| event.duration == u16::MAX && !event.end));
            }
            last = Some(event);
            heard += usize::from(receiver.receive(packet.timestamp, &packet.payload).unwrap().is_some());
        }
        assert_eq!(heard, 1);
        let expected: Vec<u32> = (0..4).map(|n| (u32::MAX - 1000).wrapping_add(n * 0xffff)).collect();
        assert_eq!(segments, expected);
        let last = last.unwrap();
        assert!(last.end && (0..160).contains(&(3 * 0xffff + u32::from(last.duration) - 200_000)));
    }

    #[test]
    fn digits_and_their_names() {
        for (code, name) in NAMES.iter().enumerate() {
            let digit: Digit = char::from(*name).to_string().parse().unwrap();
            assert_eq!(usize::from(digit.code()), code);
            assert_eq!(digit.as_char(), char::from(*name));
        }
        assert_eq!(Digit::new('d'), Digit::new('D'));
        assert!(Digit::new('E').is_none() && "12".parse::<Digit>().is_err());
        assert!(Digit::from_code(16).is_none());
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut sender =
            EventSender::new(EventSenderConfig { capacity: 2, ..EventSenderConfig::new(8000, 20) });
        let digit = Digit::from_code(1).unwrap();
        assert_eq!([(); 3].map(|()| sender.push(digit)), [Ok(()), Ok(()), Err(QueueFull)]);
    }
}
