//! One RTP session: our source, theirs, and the RTCP between them.

use std::time::{Duration, Instant};

use super::quality::{self, Playout};
use super::receiver::{Received, ReceiverConfig, RtpReceiver};
use super::schedule::{RtcpScheduler, ScheduleConfig, Verdict};
use super::sender::{RtpSender, SenderConfig};
use super::{round_trip, short_ntp};
use crate::error::WriteError;
use crate::packet::RtpPacket;
use crate::rtcp::{
    Compound, Delay, ExtendedReport, NtpTime, Packet, ReportBlock, ReportBlocks, VoipMetrics, Writer,
    XrContent,
};

/// What a session is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionConfig {
    /// What we send.
    pub sender: SenderConfig,
    /// How what we receive is judged.
    pub receiver: ReceiverConfig,
    /// The bandwidth for RTCP.
    pub schedule: ScheduleConfig,
    /// Our canonical name, at most 255 bytes; random by preference (RFC 7022).
    pub cname: String,
    /// The RTCP senders that are counted as members.
    pub max_members: usize,
}

/// What goes into extended reports (RFC 3611), as `a=rtcp-xr` asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtendedReports {
    /// How the call sounds here (§4.7); of packets that last so long.
    pub voip_metrics: Option<Duration>,
    /// While we do not send: our clock (§4.4), so that the answers (§4.5) tell the round trip. Answers to the
    /// peer's go out in any case.
    pub round_trip: bool,
}

impl SessionConfig {
    /// The usual figures.
    #[must_use]
    pub fn new(payload_type: u8, clock_rate: u32, cname: impl Into<String>) -> Self {
        Self {
            sender: SenderConfig { payload_type, clock_rate },
            receiver: ReceiverConfig::new(clock_rate),
            schedule: ScheduleConfig::default(),
            cname: cname.into(),
            max_members: 64,
        }
    }
}

/// Writes the compound in which a source says goodbye and nothing else into `buffer` and returns its length
/// (RFC 3550 §6.6): for one of whom [`Session::leave`] cannot be asked. Fails where the buffer is too short, or the
/// canonical name longer than 255 bytes.
pub fn goodbye(ssrc: u32, cname: &str, buffer: &mut [u8]) -> Result<usize, WriteError> {
    let mut writer = Writer::new(buffer);
    writer.receiver_report(ssrc, &[])?;
    writer.cname(ssrc, cname)?;
    writer.bye(&[ssrc], None)?;
    Ok(writer.finish())
}

/// Clocks that one report answers at most.
const MAX_ANSWERS: usize = 8;

/// How a peer receives us, from its last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReport {
    /// Who reported.
    pub reporter: u32,
    /// When it came.
    pub at: Instant,
    /// What it said.
    pub block: ReportBlock,
    /// The round trip, when the peer had a sender report of ours.
    pub round_trip: Option<Duration>,
}

/// What a received compound means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpEvent {
    /// A report on what we send.
    Report(RemoteReport),
    /// A source left.
    Bye {
        /// The source.
        ssrc: u32,
    },
    /// How the peer hears us (RFC 3611 §4.7).
    VoipMetrics {
        /// Who reported.
        reporter: u32,
        /// What it said.
        metrics: VoipMetrics,
    },
    /// The round trip, from the answer to our clock (RFC 3611 §4.5).
    RoundTrip(Duration),
    /// Somebody used our SSRC; we have another one now and the old one's goodbye is due.
    Collision,
}

/// One RTP session with one source of our own (RFC 3550 §6, §8).
///
/// Data goes through in direct calls; RTCP is sent when [`Session::deadline`] comes.
#[derive(Debug)]
pub struct Session {
    sender: RtpSender,
    receiver: RtpReceiver,
    schedule: RtcpScheduler,
    cname: String,
    max_members: usize,
    started: Instant,
    wall: NtpTime,
    members: Vec<(u32, Instant)>,
    remote: Option<RemoteReport>,
    /// An SSRC given up after a collision, whose goodbye is due.
    given_up: Option<u32>,
    collided: bool,
    looped: bool,
    spoke: bool,
    extended: ExtendedReports,
    playout: Playout,
    /// Clocks of who does not send, to be answered: whose, the middle of it, when it came.
    clocks: Vec<(u32, u32, Instant)>,
    round_trip: Option<Duration>,
}

impl Session {
    /// A session that begins now. `wall` is the wall clock of this moment: later times are counted from it on the
    /// monotonic clock, so that steps of the wall clock do not show.
    #[must_use]
    pub fn new(now: Instant, wall: NtpTime, config: SessionConfig, seed: [u8; 32]) -> Self {
        let mut schedule_seed = seed;
        schedule_seed.iter_mut().for_each(|byte| *byte ^= 0xa5);
        Self {
            sender: RtpSender::new(config.sender, seed),
            receiver: RtpReceiver::new(now, config.receiver),
            schedule: RtcpScheduler::new(now, config.schedule, schedule_seed),
            cname: config.cname,
            max_members: config.max_members,
            started: now,
            wall,
            // Most hear one peer; the tables grow when another comes.
            members: Vec::with_capacity(1),
            remote: None,
            given_up: None,
            collided: false,
            looped: false,
            spoke: false,
            extended: ExtendedReports::default(),
            playout: Playout::default(),
            clocks: Vec::with_capacity(1),
            round_trip: None,
        }
    }

    /// What goes into extended reports from now on.
    pub const fn set_extended_reports(&mut self, extended: ExtendedReports) {
        self.extended = extended;
    }

    /// How what is received is played, for the metrics of the next report.
    pub const fn set_playout(&mut self, playout: Playout) {
        self.playout = playout;
    }

    /// The last round trip that was told, by whichever report.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Our source: numbers and writes packets.
    #[must_use]
    pub const fn sender(&self) -> &RtpSender {
        &self.sender
    }

    /// Our source, to write packets with.
    pub const fn sender_mut(&mut self) -> &mut RtpSender {
        &mut self.sender
    }

    /// The sources received.
    #[must_use]
    pub const fn receiver(&self) -> &RtpReceiver {
        &self.receiver
    }

    /// The last report on what we send.
    #[must_use]
    pub const fn remote(&self) -> Option<&RemoteReport> {
        self.remote.as_ref()
    }

    /// Whether what we send comes back to us with our own SSRC, as echo services do.
    #[must_use]
    pub const fn is_looped(&self) -> bool {
        self.looped
    }

    /// Takes a received packet, decrypted.
    ///
    /// A packet with our own SSRC is a collision: we take another SSRC (RFC 3550 §8.2) and the packet counts
    /// as theirs. When the new SSRC comes back as well our own packets are being reflected; then no further
    /// SSRC is taken.
    pub fn receive(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Received {
        self.check_collision(packet.ssrc());
        self.receiver.receive(now, packet)
    }

    /// Takes a received compound of `size` bytes, decrypted, and tells what it means.
    pub fn receive_rtcp(
        &mut self,
        now: Instant,
        compound: &Compound<'_>,
        size: usize,
        mut event: impl FnMut(RtcpEvent),
    ) {
        let mut left = false;
        // A compound that says goodbye makes nobody a member.
        let leaving = compound.packets().any(|packet| matches!(packet, Packet::Bye(_)));
        for packet in compound.packets() {
            match packet {
                Packet::SenderReport(report) => {
                    self.heard(now, report.ssrc, leaving, &mut event);
                    self.receiver.sender_report(now, report.ssrc, &report.info);
                    self.reports(now, report.ssrc, report.blocks, &mut event);
                }
                Packet::ReceiverReport(report) => {
                    self.heard(now, report.ssrc, leaving, &mut event);
                    self.reports(now, report.ssrc, report.blocks, &mut event);
                }
                Packet::Bye(bye) => {
                    for ssrc in bye.sources().filter(|ssrc| *ssrc != self.sender.ssrc()) {
                        let member = self.members.iter().position(|(member, _)| *member == ssrc);
                        let known = member.map(|place| self.members.swap_remove(place)).is_some();
                        if self.receiver.bye(ssrc) || known {
                            left = true;
                            event(RtcpEvent::Bye { ssrc });
                        }
                    }
                }
                Packet::ExtendedReport(report) => {
                    self.heard(now, report.ssrc, leaving, &mut event);
                    self.extended(now, report, &mut event);
                }
                _ => {}
            }
        }
        if left {
            let members = self.count(now).0;
            self.schedule.bye_received(now, size, members);
        } else {
            self.schedule.received(size);
        }
    }

    /// When [`Self::poll_rtcp`] wants to be called; `None` after [`Self::leave`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.given_up.is_some() { Some(self.started) } else { self.schedule.deadline() }
    }

    /// Writes the compound that is due into `buffer`: report, source description, and the goodbye of an SSRC
    /// given up. `None` when nothing is due; early calls are harmless.
    pub fn poll_rtcp(&mut self, now: Instant, buffer: &mut [u8]) -> Result<Option<usize>, WriteError> {
        if let Some(old) = self.given_up {
            let length = goodbye(old, &self.cname, buffer)?;
            self.given_up = None;
            return Ok(Some(length));
        }
        let (members, senders, we_sent) = self.count(now);
        match self.schedule.handle_timeout(now, members, senders, we_sent) {
            Verdict::Wait => Ok(None),
            Verdict::Report => {
                let len = self.report(now, buffer, false)?;
                self.schedule.sent(now, len, members, senders, we_sent);
                self.spoke = true;
                Ok(Some(len))
            }
            Verdict::Bye => self.report(now, buffer, true).map(Some),
        }
    }

    /// Leaves the session: the compound with our goodbye, to be sent at once. `None` when it must wait for
    /// [`Self::deadline`] because the session is large, or when we never sent anything (RFC 3550 §6.3.7).
    pub fn leave(&mut self, now: Instant, buffer: &mut [u8]) -> Result<Option<usize>, WriteError> {
        let members = self.count(now).0;
        let verdict = self.schedule.leave(now, members, 60);
        let silent = !self.spoke && self.sender.packet_count() == 0;
        if verdict != Verdict::Bye || silent {
            return Ok(None);
        }
        self.report(now, buffer, true).map(Some)
    }

    /// RFC 3550 §6.1: a report first, then the canonical name.
    fn report(&mut self, now: Instant, buffer: &mut [u8], bye: bool) -> Result<usize, WriteError> {
        let mut blocks = [ReportBlock::default(); 31];
        let count = self.receiver.report(now, &mut blocks);
        let blocks = blocks.get(..count).unwrap_or_default();
        let ssrc = self.sender.ssrc();
        let mut writer = Writer::new(buffer);
        // §6.4: a sender report from who sent within the last two intervals.
        let info = self.sender.info(now, self.ntp(now)).filter(|_| self.we_sent(now));
        match info {
            Some(info) => writer.sender_report(ssrc, &info, blocks)?,
            None => writer.receiver_report(ssrc, blocks)?,
        }
        writer.cname(ssrc, &self.cname)?;
        self.write_extended(now, &mut writer)?;
        if bye {
            writer.bye(&[ssrc], None)?;
        }
        Ok(writer.finish())
    }

    /// RFC 3611: what was asked for, as far as there is something to say.
    fn write_extended(&mut self, now: Instant, writer: &mut Writer<'_>) -> Result<(), WriteError> {
        let mut answers = [Delay::default(); MAX_ANSWERS];
        let clocks = self.clocks.drain(..).map(|(ssrc, last_rr, at)| Delay {
            ssrc,
            last_rr,
            delay: short_ntp(now.saturating_duration_since(at)),
        });
        let count = answers.iter_mut().zip(clocks).map(|(place, answer)| *place = answer).count();
        let answers = answers.get(..count).unwrap_or_default();
        let clock = (self.extended.round_trip && !self.we_sent(now)).then(|| self.ntp(now));
        let source = self.receiver.sources().find(|source| source.is_valid() && !source.has_left());
        let metrics = self.extended.voip_metrics.zip(source).map(|(packet, source)| {
            let counts = (source.expected(), source.lost().max(0).unsigned_abs());
            quality::metrics(source.ssrc(), counts, source.bursts(), packet, self.round_trip, &self.playout)
        });
        if answers.is_empty() && clock.is_none() && metrics.is_none() {
            return Ok(());
        }
        writer.extended_report(self.sender.ssrc(), |blocks| {
            clock.map_or(Ok(()), |clock| blocks.reference_time(clock))?;
            if !answers.is_empty() {
                blocks.delays(answers)?;
            }
            metrics.map_or(Ok(()), |metrics| blocks.voip_metrics(&metrics))
        })
    }

    fn extended(&mut self, now: Instant, report: ExtendedReport<'_>, event: &mut impl FnMut(RtcpEvent)) {
        let own = self.sender.ssrc();
        for block in report.blocks() {
            match block.content() {
                XrContent::ReferenceTime(ntp) => {
                    self.clocks.retain(|(ssrc, ..)| *ssrc != report.ssrc);
                    if self.clocks.len() < self.max_members.min(MAX_ANSWERS) {
                        self.clocks.push((report.ssrc, ntp.middle(), now));
                    }
                }
                XrContent::Delays(delays) => {
                    for answer in delays.iter().filter(|answer| answer.ssrc == own && answer.last_rr != 0) {
                        let trip = round_trip(self.ntp(now).middle(), answer.last_rr, answer.delay)
                            .filter(|trip| *trip <= now.saturating_duration_since(self.started));
                        if let Some(trip) = trip {
                            self.round_trip = Some(trip);
                            event(RtcpEvent::RoundTrip(trip));
                        }
                    }
                }
                XrContent::VoipMetrics(metrics) if metrics.ssrc == own => {
                    event(RtcpEvent::VoipMetrics { reporter: report.ssrc, metrics });
                }
                _ => {}
            }
        }
    }

    fn reports(
        &mut self,
        now: Instant,
        reporter: u32,
        blocks: ReportBlocks<'_>,
        event: &mut impl FnMut(RtcpEvent),
    ) {
        let own = self.sender.ssrc();
        for block in blocks.iter().filter(|block| block.ssrc == own) {
            let arrival = self.ntp(now).middle();
            let trip = (block.last_sr != 0)
                .then(|| round_trip(arrival, block.last_sr, block.delay_since_last_sr))
                .flatten()
                .filter(|trip| *trip <= now.saturating_duration_since(self.started));
            let report = RemoteReport { reporter, at: now, block, round_trip: trip };
            self.remote = Some(report);
            self.round_trip = trip.or(self.round_trip);
            event(RtcpEvent::Report(report));
        }
    }

    fn heard(&mut self, now: Instant, ssrc: u32, leaving: bool, event: &mut impl FnMut(RtcpEvent)) {
        if self.check_collision(ssrc) {
            event(RtcpEvent::Collision);
        }
        let known = self.members.iter_mut().find(|(member, _)| *member == ssrc);
        if let Some((_, last)) = known {
            *last = now;
        } else if !leaving && self.members.len() < self.max_members {
            self.members.push((ssrc, now));
        }
    }

    fn check_collision(&mut self, ssrc: u32) -> bool {
        if ssrc != self.sender.ssrc() || self.looped {
            return false;
        }
        if self.collided {
            self.looped = true;
            return false;
        }
        self.collided = true;
        let old = self.sender.renew_ssrc();
        self.given_up = (self.spoke || self.sender.last_packet().is_some()).then_some(old);
        true
    }

    /// Members with ourselves, senders, and whether we are one (RFC 3550 §6.3.4, §6.3.5).
    fn count(&mut self, now: Instant) -> (usize, usize, bool) {
        let interval = self.schedule.deterministic_interval(2, 2, true);
        self.members.retain(|(_, last)| now.saturating_duration_since(*last) <= interval * 5);
        let we_sent = self.we_sent(now);
        let sending = self.receiver.active(now, interval * 2);
        let unheard = self
            .receiver
            .sources()
            .filter(|source| source.is_valid() && !source.has_left())
            .filter(|source| now.saturating_duration_since(source.last_packet()) <= interval * 5)
            .filter(|source| !self.members.iter().any(|(member, _)| *member == source.ssrc()))
            .count();
        (1 + self.members.len() + unheard, sending + usize::from(we_sent), we_sent)
    }

    fn we_sent(&self, now: Instant) -> bool {
        let interval = self.schedule.deterministic_interval(2, 2, true);
        self.sender.last_packet().is_some_and(|at| now.saturating_duration_since(at) <= interval * 2)
    }

    fn ntp(&self, now: Instant) -> NtpTime {
        self.wall.plus(now.saturating_duration_since(self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn session(now: Instant, seed: u8) -> Session {
        // Their wall clock is another one: the round trip does not need it.
        let wall = NtpTime(u64::from(seed) << 40);
        Session::new(now, wall, SessionConfig::new(0, 8000, format!("{seed}@test")), [seed; 32])
    }

    /// Two sessions in virtual time, `delay` each way; every 10th packet of the first is lost.
    fn talk(delay: Duration, time: Duration) -> (Session, Session) {
        let begin = start();
        let (mut a, mut b) = (session(begin, 1), session(begin, 2));
        let mut rtcp: Vec<(Instant, bool, Vec<u8>)> = Vec::new();
        let mut buffer = [0; 1500];
        let ticks = u32::try_from(time.as_millis() / 20).unwrap();
        for tick in 0..ticks {
            let now = begin + Duration::from_millis(20) * tick;
            for from_a in [true, false] {
                let (from, to) = if from_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
                let len =
                    from.sender_mut().write(now, tick * 160, tick == 0, &[0; 160], &mut buffer).unwrap();
                if !from_a || tick % 10 != 9 {
                    to.receive(now + delay, &RtpPacket::parse(&buffer[..len]).unwrap());
                }
                if let Some(len) = from.poll_rtcp(now, &mut buffer).unwrap() {
                    rtcp.push((now + delay, from_a, buffer[..len].to_vec()));
                }
            }
            rtcp.retain(|(at, from_a, data)| {
                if *at > now {
                    return true;
                }
                let compound = Compound::parse(data).unwrap();
                assert!(compound.is_full());
                let to = if *from_a { &mut b } else { &mut a };
                to.receive_rtcp(*at, &compound, data.len(), |_| {});
                false
            });
        }
        (a, b)
    }

    #[test]
    fn round_trip_and_loss_in_both_directions() {
        let (a, b) = talk(Duration::from_millis(60), Duration::from_secs(60));
        let of_a = a.remote().unwrap();
        let trip = of_a.round_trip.unwrap();
        assert!(trip.abs_diff(Duration::from_millis(120)) < Duration::from_millis(2), "{trip:?}");
        assert!((20..=31).contains(&of_a.block.fraction_lost), "{}", of_a.block.fraction_lost);
        assert_eq!(of_a.reporter, b.sender().ssrc());
        let of_b = b.remote().unwrap();
        assert_eq!((of_b.block.fraction_lost, of_b.block.cumulative_lost), (0, 0));
        let source = a.receiver().source(b.sender().ssrc()).unwrap();
        assert!(source.sender_info().unwrap().packet_count > 2000);
    }

    /// RFC 3611: who only listens learns the round trip, and who speaks how it sounds.
    #[test]
    fn extended_reports_tell_round_trip_and_quality() {
        let begin = start();
        let (mut speaker, mut listener) = (session(begin, 1), session(begin, 2));
        let packet = Duration::from_millis(20);
        listener.set_extended_reports(ExtendedReports { voip_metrics: Some(packet), round_trip: true });
        let playout = Playout { score: Some((80, 40, 39)), ..Playout::default() };
        listener.set_playout(playout);
        let delay = Duration::from_millis(35);
        let (mut buffer, mut told) = ([0; 1_500], None);
        let mut under_way: Vec<(Instant, bool, Vec<u8>)> = Vec::new();
        for tick in 0..3_000_u32 {
            let now = begin + packet * tick;
            let len = speaker.sender_mut().write(now, tick * 160, false, &[0; 160], &mut buffer).unwrap();
            // Every twentieth is lost.
            if tick % 20 != 7 {
                listener.receive(now + delay, &RtpPacket::parse(&buffer[..len]).unwrap());
            }
            for (from_speaker, side) in [(true, &mut speaker), (false, &mut listener)] {
                if let Some(len) = side.poll_rtcp(now, &mut buffer).unwrap() {
                    under_way.push((now + delay, from_speaker, buffer[..len].to_vec()));
                }
            }
            under_way.retain(|(at, from_speaker, data)| {
                if *at > now {
                    return true;
                }
                let to = if *from_speaker { &mut listener } else { &mut speaker };
                to.receive_rtcp(*at, &Compound::parse(data).unwrap(), data.len(), |event| {
                    if let RtcpEvent::VoipMetrics { metrics, .. } = event {
                        told = Some(metrics);
                    }
                });
                false
            });
        }
        let trip = listener.round_trip().expect("an answer to its clock");
        assert!(trip.abs_diff(delay * 2) < Duration::from_millis(25), "{trip:?}");
        let told = told.expect("metrics");
        assert_eq!((told.ssrc, told.r_factor, told.mos_lq), (speaker.sender().ssrc(), 80, 40));
        assert!((11..=14).contains(&told.loss_rate), "5 % of 256: {}", told.loss_rate);
        assert!((11..=14).contains(&told.gap_density) && told.burst_density == 0, "{told:?}");
    }

    #[test]
    fn goodbye_ends_the_schedule_and_is_heard_once() {
        let (mut a, mut b) = talk(Duration::ZERO, Duration::from_secs(20));
        let now = start();
        let mut buffer = [0; 500];
        let len = a.leave(now, &mut buffer).unwrap().unwrap();
        assert_eq!((a.deadline(), a.poll_rtcp(now, &mut [0; 500]).unwrap()), (None, None));
        let compound = Compound::parse(&buffer[..len]).unwrap();
        let mut events = Vec::new();
        for _ in 0..2 {
            b.receive_rtcp(now, &compound, len, |event| events.push(event));
        }
        let bye = RtcpEvent::Bye { ssrc: a.sender().ssrc() };
        assert_eq!(events.iter().filter(|event| **event == bye).count(), 2 - 1);
    }

    #[test]
    fn who_never_spoke_says_no_goodbye() {
        let now = start();
        assert_eq!(session(now, 1).leave(now, &mut [0; 500]).unwrap(), None);
    }

    #[test]
    fn a_collision_takes_another_ssrc_once_and_a_reflector_is_played() {
        let now = start();
        let mut a = session(now, 1);
        let mut buffer = [0; 200];
        let old = a.sender().ssrc();
        let len = a.sender_mut().write(now, 0, true, &[0; 160], &mut buffer).unwrap();
        a.receive(now, &RtpPacket::parse(&buffer[..len]).unwrap());
        assert_ne!(a.sender().ssrc(), old);
        let mut rtcp = [0; 200];
        let len = a.poll_rtcp(now, &mut rtcp).unwrap().unwrap();
        let last = Compound::parse(&rtcp[..len]).unwrap().packets().last();
        assert!(matches!(last, Some(Packet::Bye(bye)) if bye.sources().eq([old])));
        // It comes back with the new SSRC as well: an echo service.
        let new = a.sender().ssrc();
        for tick in 1..4 {
            let len = a.sender_mut().write(now, tick * 160, false, &[0; 160], &mut buffer).unwrap();
            a.receive(now, &RtpPacket::parse(&buffer[..len]).unwrap());
        }
        assert_eq!(a.sender().ssrc(), new);
        assert!(a.is_looped() && a.receiver().source(new).unwrap().is_valid());
    }
}
