//! What an audio stream receives: the media thread's half, from the sockets to what the jitter buffer is given.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use media::ReceivedPacket;
use rtp_srtp::dtmf::EventReceiver;
use rtp_srtp::rtcp::Compound;
use rtp_srtp::session::{ExtendedReports, Playout, Received, RtcpEvent, Session};
use rtp_srtp::{RtpPacket, demux};

use super::news::{News, Outlet};
use crate::driver::media::meters::{AudioStatistics, Meters};
use crate::driver::media::protection::{Opener, Opening};
use crate::driver::media::remote::Remote;
use crate::driver::media::sending;
use crate::driver::media::socket::{Arrived, Socket};
use crate::driver::media::sockets::PACKET;
use crate::engine::Now;
use crate::session::AudioParameters;

/// Datagrams of one socket that are read in one tick at most; those of a flood wait, and the system drops them.
const MOST: usize = 64;
/// RTCP of a port of its own is looked at in one tick of so many, and where ICE checks that port too.
const RTCP_TICKS: u32 = 25;
const CHECKED_TICKS: u32 = 5;
/// A packet that came since the last tick, and so long after the one before, is one of a regular flow: what may
/// already stand behind it came early and is not needed before the next tick, and the system is not asked for it.
const FRESH: Duration = Duration::from_millis(19);
const REGULAR: RangeInclusive<Duration> = Duration::from_millis(15)..=Duration::from_millis(25);

/// What the task tells.
pub(super) enum Change {
    /// Other parameters, and where the peer is if that is another place.
    Run(Box<Agreed>, Option<Box<Remote>>),
    Opening(Opening),
    /// The sockets for RTP and RTCP are to be read here, or not.
    Sockets(Option<(Arc<Socket>, Arc<Socket>)>),
    /// Whose media is taken, with ICE.
    Peers(Vec<SocketAddr>),
    /// A component's handshake comes from there.
    Shakes(u16, SocketAddr),
    /// The peer is there: its handshake says so.
    Found(SocketAddr),
}

/// What was agreed on that receiving has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    receives: bool,
    payload_type: u8,
    comfort_noise: Option<u8>,
    dtmf: Option<u8>,
    clock_rate: u32,
    silence: Duration,
    send_payload_type: u8,
    extended: ExtendedReports,
}

impl Agreed {
    pub(super) fn new(parameters: &AudioParameters) -> Self {
        Self {
            receives: parameters.receives,
            payload_type: parameters.receive_payload_type,
            comfort_noise: parameters.comfort_noise.map(|(_, receive)| receive),
            dtmf: parameters.dtmf.map(|(_, receive)| receive),
            clock_rate: parameters.clock_rate,
            silence: parameters.silence,
            send_payload_type: parameters.send_payload_type,
            extended: extended(parameters),
        }
    }
}

/// A stream's packets, from the peer to the jitter buffer, and its RTP session.
pub(super) struct Reception {
    agreed: Agreed,
    session: Session,
    opener: Opener,
    remote: Remote,
    /// With ICE, which knows whose packets are the peer's.
    peers: Option<Vec<SocketAddr>>,
    /// Those that nobody else reads.
    sockets: Option<(Arc<Socket>, Arc<Socket>)>,
    keys_in: EventReceiver,
    meters: Arc<Meters>,
    sending: Arc<sending::Shared>,
    outlet: Outlet,
    /// Moments of packets are counted from here.
    began: Instant,
    /// When the last packet came, once there was one.
    heard: Option<Instant>,
    lost_told: bool,
    /// The next packet is the first of another source.
    restarts: bool,
    ticks: u32,
}

/// Whom a stream has to do with on the other side of the media thread.
pub(super) struct Others {
    pub(super) meters: Arc<Meters>,
    pub(super) sending: Arc<sending::Shared>,
    pub(super) outlet: Outlet,
}

impl Reception {
    /// For a stream that runs from now on; with ICE nobody is the peer before it says who.
    pub(super) fn new(
        now: Instant,
        agreed: Agreed,
        mut session: Session,
        (remote, with_ice): (Remote, bool),
        Others { meters, sending, outlet }: Others,
    ) -> Self {
        session.set_extended_reports(agreed.extended);
        let reception = Self {
            agreed,
            session,
            opener: Opener::new(),
            remote,
            peers: with_ice.then(Vec::new),
            sockets: None,
            keys_in: EventReceiver::new(),
            meters,
            sending,
            outlet,
            began: now,
            heard: None,
            lost_told: false,
            restarts: false,
            ticks: 0,
        };
        reception.mute();
        reception
    }

    pub(super) fn obey(&mut self, now: Instant, change: Change) {
        match change {
            Change::Run(agreed, remote) => {
                self.agreed = *agreed;
                self.session.sender_mut().set_payload_type(agreed.send_payload_type);
                self.session.set_extended_reports(agreed.extended);
                if let Some(remote) = remote {
                    self.remote = *remote;
                }
                self.heard = None;
                // What was agreed anew is tried anew.
                self.remote.alive = Some(now);
                self.mute();
            }
            Change::Opening(opening) => self.opener.obey(opening),
            Change::Sockets(sockets) => self.sockets = sockets,
            Change::Peers(peers) => self.peers = Some(peers),
            Change::Shakes(component, from) => self.remote.shakes(component, from),
            Change::Found(from) => self.remote.received_from = Some(from),
        }
    }

    /// Hands over what the sockets have, and does what is due.
    pub(super) fn tick(&mut self, now: Now, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        self.ticks = self.ticks.wrapping_add(1);
        let sockets = self.sockets.take();
        if let Some((rtp, rtcp)) = &sockets {
            self.collect(rtp, now, take);
            let pause = if self.peers.is_some() { CHECKED_TICKS } else { RTCP_TICKS };
            if self.ticks.is_multiple_of(pause) {
                self.collect_rtcp(rtcp, now);
            }
        }
        self.sockets = sockets;
        self.listen(now.instant);
        self.report(now.instant);
    }

    fn collect(&mut self, rtp: &Socket, now: Now, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        let mut buffer = [0; PACKET];
        for _ in 0..MOST {
            let Ok(Arrived { length, from, at }) = rtp.receive(now, &mut buffer) else { return };
            let Some(packet) = buffer.get_mut(..length) else { return };
            let since = self.heard.map(|before| at.saturating_duration_since(before));
            let is_last = is_last(since, now.instant.saturating_duration_since(at));
            match demux::classify(packet) {
                Some(demux::Protocol::Rtp) if self.takes(at, from) => {
                    self.received_rtp(at, from, packet).into_iter().for_each(&mut *take);
                    if is_last {
                        return;
                    }
                }
                Some(demux::Protocol::Rtp) => {}
                _ => self.received_other(1, from, at, packet),
            }
        }
    }

    fn collect_rtcp(&mut self, rtcp: &Socket, now: Now) {
        let mut buffer = [0; PACKET];
        for _ in 0..MOST {
            let Ok(Arrived { length, from, at }) = rtcp.receive(now, &mut buffer) else { return };
            let Some(packet) = buffer.get_mut(..length) else { return };
            self.received_other(2, from, at, packet);
        }
    }

    /// What is not RTP, from a socket: RTCP of the peer, or something for the task.
    fn received_other(&mut self, component: u16, from: SocketAddr, at: Instant, packet: &mut [u8]) {
        if demux::classify(packet) != Some(demux::Protocol::Rtcp) {
            return self.outlet.put_aside(component, from, at, packet);
        }
        let is_peer = match &self.peers {
            Some(peers) => peers.contains(&from),
            None => self.remote.takes_rtcp(at, from),
        };
        if is_peer {
            self.received_rtcp(at, packet);
        }
    }

    /// Media that the task has read: whose it is was checked there. What it has for the jitter buffer.
    pub(super) fn received<'p>(
        &mut self,
        from: SocketAddr,
        at: Instant,
        packet: &'p mut [u8],
    ) -> Option<ReceivedPacket<'p>> {
        match demux::classify(packet) {
            Some(demux::Protocol::Rtp) => self.received_rtp(at, from, packet),
            Some(demux::Protocol::Rtcp) => {
                self.received_rtcp(at, packet);
                None
            }
            _ => None,
        }
    }

    fn takes(&self, at: Instant, from: SocketAddr) -> bool {
        match &self.peers {
            Some(peers) => peers.contains(&from),
            None => self.remote.takes(at, from),
        }
    }

    /// An RTP packet of the peer; what it has for the jitter buffer.
    fn received_rtp<'p>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &'p mut [u8],
    ) -> Option<ReceivedPacket<'p>> {
        let length = self.opener.unprotect(packet)?;
        let packet = RtpPacket::parse(packet.get(..length)?).ok()?;
        let own = self.session.sender().ssrc();
        let sequence = match self.session.receive(now, &packet) {
            Received::Valid { sequence } | Received::Probation { sequence } => sequence,
            Received::Restarted { sequence } => {
                self.restarts = true;
                sequence
            }
            Received::Jump | Received::NoRoom => return None,
        };
        self.renumber(own);
        self.hear(now, from);
        self.measure(packet.ssrc());
        let payload_type = packet.payload_type();
        if self.agreed.dtmf == Some(payload_type) {
            if let Ok(Some(event)) = self.keys_in.receive(packet.timestamp(), packet.payload())
                && let Some(digit) = event.digit()
            {
                self.outlet.tell(News::Digit(digit.as_char()));
            }
            return None;
        }
        let is_played =
            self.agreed.comfort_noise == Some(payload_type) || payload_type == self.agreed.payload_type;
        (self.agreed.receives && is_played).then(|| ReceivedPacket {
            sequence,
            timestamp: packet.timestamp(),
            payload_type,
            restart: std::mem::take(&mut self.restarts),
            arrival: now.saturating_duration_since(self.began),
            payload: packet.payload(),
        })
    }

    /// After a collision another source of ours sends.
    fn renumber(&self, before: u32) {
        let sender = self.session.sender();
        if sender.ssrc() != before {
            self.outlet.tell(News::Source(sender.clone()));
        }
    }

    fn hear(&mut self, now: Instant, from: SocketAddr) {
        let is_new = self.heard.is_none() || self.remote.received_from != Some(from);
        self.heard = Some(now);
        self.lost_told = false;
        self.remote.received_from = Some(from);
        self.live(now);
        if is_new {
            self.outlet.tell(News::Heard(from));
        }
    }

    fn received_rtcp(&mut self, now: Instant, packet: &mut [u8]) {
        let Some(length) = self.opener.unprotect_rtcp(packet) else { return };
        let Ok(compound) = Compound::parse(packet.get(..length).unwrap_or_default()) else { return };
        self.live(now);
        let own = self.session.sender().ssrc();
        let (meters, clock_rate) = (&self.meters, self.agreed.clock_rate);
        self.session.receive_rtcp(now, &compound, length, |event| match event {
            RtcpEvent::Report(report) => {
                meters.set_remote_loss(report.block.fraction_lost);
                meters.set_remote_jitter(report.block.jitter, clock_rate);
                if let Some(round_trip) = report.round_trip {
                    meters.set_round_trip(round_trip);
                }
            }
            RtcpEvent::RoundTrip(round_trip) => meters.set_round_trip(round_trip),
            RtcpEvent::VoipMetrics { metrics, .. } => meters.set_remote_mos(metrics.mos_cq),
            _ => {}
        });
        self.renumber(own);
    }

    /// Something of the peer has come.
    fn live(&mut self, now: Instant) {
        self.remote.alive = Some(now);
        self.mute();
    }

    /// Says until when audio is sent to a peer that says nothing. With ICE, consent tells.
    fn mute(&self) {
        let listens = self.peers.is_none() && self.agreed.receives;
        self.sending.mute_after(listens.then(|| self.remote.mute_after(self.agreed.silence)));
    }

    /// A peer that was heard and is not any more is told of.
    fn listen(&mut self, now: Instant) {
        let expects = self.agreed.receives && !self.lost_told;
        if self.heard.is_some_and(|heard| expects && now >= heard + self.agreed.silence) {
            self.lost_told = true;
            self.outlet.tell(News::Lost);
        }
    }

    /// Our own RTCP, when it is due.
    fn report(&mut self, now: Instant) {
        if self.session.deadline().is_none_or(|due| due > now) {
            return;
        }
        // What was sent goes into reports.
        if let Some(progress) = self.sending.progress() {
            self.session.sender_mut().follow(progress);
        }
        self.session.set_playout(playout(&self.meters.read()));
        let mut buffer = [0; PACKET];
        if let Ok(Some(length)) = self.session.poll_rtcp(now, &mut buffer) {
            self.outlet.tell(News::Report(buffer.get(..length).unwrap_or_default().to_vec()));
        }
    }

    fn measure(&self, ssrc: u32) {
        if let Some(source) = self.session.receiver().source(ssrc) {
            self.meters.received.store(source.received(), Ordering::Relaxed);
            self.meters.lost.store(source.lost().max(0).unsigned_abs(), Ordering::Relaxed);
            let micros = u64::from(source.jitter()) * 1_000_000 / u64::from(self.agreed.clock_rate.max(1));
            self.meters.jitter_us.store(u32::try_from(micros).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }
}

/// Whether nothing is needed in this tick after a packet that came so long after the one before, and is so old.
fn is_last(since: Option<Duration>, age: Duration) -> bool {
    age < FRESH && since.is_some_and(|since| REGULAR.contains(&since))
}

/// What the peer asked for in `a=rtcp-xr`.
fn extended(parameters: &AudioParameters) -> ExtendedReports {
    let packet = Duration::from_millis(parameters.ptime.into());
    ExtendedReports {
        voip_metrics: parameters.voip_metrics.then_some(packet),
        round_trip: parameters.voip_metrics,
    }
}

/// How the stream is played, as measured here, for the peer.
fn playout(statistics: &AudioStatistics) -> Playout {
    let tenths = (statistics.mos * 10.0).round().clamp(10.0, 50.0) as u8;
    // The R factor that belongs to the score is near enough a straight line between 1.0 and 4.4 (ITU-T G.107).
    let r_factor = ((statistics.mos - 1.0) / 3.41 * 93.0).round().clamp(0.0, 100.0) as u8;
    let buffered = Duration::from_secs_f64(statistics.delay_ms.max(0.0) / 1_000.0);
    Playout {
        discarded: statistics.late,
        delay: buffered + Duration::from_millis(20),
        jitter_buffer: [buffered, buffered, Duration::from_millis(500)],
        score: Some((r_factor, tenths, tenths)),
    }
}

#[cfg(test)]
impl Reception {
    pub(super) fn meters(&self) -> Arc<Meters> {
        self.meters.clone()
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.session.sender().ssrc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_flow_is_asked_once_and_whatever_else_until_nothing_is_left() {
        let ms = Duration::from_millis;
        assert!(is_last(Some(ms(20)), ms(0)) && is_last(Some(ms(17)), ms(18)));
        assert!(!is_last(None, ms(0)), "the first one");
        assert!(!is_last(Some(ms(10)), ms(5)), "two packets in a tick");
        assert!(!is_last(Some(ms(0)), ms(5)) && !is_last(Some(ms(80)), ms(5)), "those of a burst");
        assert!(!is_last(Some(ms(20)), ms(20)), "it waited for longer than a tick: so may others");
    }
}
