//! What comes to an audio stream, read by its task or by the media thread.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use media::ReceivedPacket;
use rtp_srtp::rtcp::Compound;
use rtp_srtp::session::{Received, RtcpEvent};
use rtp_srtp::{RtpPacket, demux};

use super::AudioStream;
use crate::driver::clock;
use crate::driver::media::ice::Taken;
use crate::driver::media::socket::Arrived;
use crate::driver::media::sockets::PACKET;
use crate::engine::Now;
use crate::session::MediaEvent;

/// Datagrams of one socket that are read in one tick at most; those of a flood wait, and the system drops them.
const MOST: usize = 64;
/// What is not RTP and waits for the task at most; who sends more loses some.
const ASIDE: usize = 16;
/// RTCP of a port of its own is looked at in one tick of so many, and where ICE checks that port too.
const RTCP_TICKS: u32 = 25;
const CHECKED_TICKS: u32 = 5;
/// A packet that came since the last tick, and so long after the one before, is one of a regular flow: what may
/// already stand behind it came early and is not needed before the next tick, and the system is not asked for it.
const FRESH: Duration = Duration::from_millis(19);
const REGULAR: RangeInclusive<Duration> = Duration::from_millis(15)..=Duration::from_millis(25);

impl AudioStream {
    /// Reads what came on a socket that is watched.
    pub(in super::super) fn read(&mut self, component: u16) {
        let now = clock::now();
        let mut buffer = [0; PACKET];
        for _ in 0..MOST {
            let Some((arrived, packet)) = self.next(component, now, &mut buffer) else { return };
            self.arrived(arrived.at, component, arrived.from, packet);
        }
    }

    /// The next datagram of a socket.
    fn next<'b>(
        &self,
        component: u16,
        now: Now,
        buffer: &'b mut [u8; PACKET],
    ) -> Option<(Arrived, &'b mut [u8])> {
        let socket = if component == 1 { &self.sockets.rtp } else { &self.sockets.rtcp };
        let arrived = socket.receive(now, buffer).ok()?;
        Some((arrived, buffer.get_mut(..arrived.length)?))
    }

    /// What the media thread left.
    pub(in super::super) fn take_aside(&mut self) {
        while let Some((component, from, at, mut datagram)) = self.aside.pop_front() {
            self.arrived(at, component, from, &mut datagram);
        }
    }

    /// Hands over what has come, on the media thread; true when there is something for the task to do.
    pub(in super::super) fn collect(&mut self, take: &mut dyn FnMut(ReceivedPacket<'_>)) -> bool {
        self.queue.empty(take);
        if !self.over && self.sockets.are_polled() {
            self.ticks = self.ticks.wrapping_add(1);
            let now = clock::now();
            self.collect_rtp(now, take);
            let pause = if self.ice.is_some() { CHECKED_TICKS } else { RTCP_TICKS };
            if self.ticks.is_multiple_of(pause) {
                self.collect_rtcp(now);
            }
        }
        std::mem::take(&mut self.stirred)
    }

    /// Packets that had to be dropped on their way to the media thread.
    pub(in super::super) fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    fn collect_rtp(&mut self, now: Now, take: &mut dyn FnMut(ReceivedPacket<'_>)) {
        let mut buffer = [0; PACKET];
        for _ in 0..MOST {
            let Some((Arrived { from, at, .. }, packet)) = self.next(1, now, &mut buffer) else { return };
            let is_rtp = demux::classify(packet) == Some(demux::Protocol::Rtp);
            let is_known = match &self.ice {
                Some(link) => link.ice.is_peer(from),
                None => self.remote.takes(at, from),
            };
            let since = self.heard.map(|before| at.saturating_duration_since(before));
            let is_last = is_last(since, now.instant.saturating_duration_since(at));
            match is_rtp {
                true if is_known => self.received_rtp(at, from, packet).into_iter().for_each(&mut *take),
                true => {}
                false => self.put_aside(1, from, at, packet),
            }
            if is_last && is_rtp && is_known {
                return;
            }
        }
    }

    fn collect_rtcp(&mut self, now: Now) {
        let mut buffer = [0; PACKET];
        for _ in 0..MOST {
            let Some((Arrived { from, at, .. }, packet)) = self.next(2, now, &mut buffer) else { return };
            self.put_aside(2, from, at, packet);
        }
    }

    fn put_aside(&mut self, component: u16, from: SocketAddr, at: Instant, packet: &[u8]) {
        if self.aside.len() < ASIDE {
            self.aside.push_back((component, from, at, packet.to_vec()));
        }
        self.stirred = true;
    }

    /// A datagram of a component: what ICE leaves of it is media.
    fn arrived(&mut self, now: Instant, component: u16, from: SocketAddr, packet: &mut [u8]) {
        let Some(link) = &mut self.ice else {
            match component {
                1 => self.received(now, from, packet),
                _ => self.received_rtcp(now, from, packet),
            }
            return;
        };
        match link.ice.take_first(now, component, from, packet) {
            Taken::Nothing => self.drive_ice(now),
            Taken::Media(range, peer) => {
                let Some(packet) = packet.get_mut(range) else { return };
                match component {
                    1 => self.received(now, peer, packet),
                    _ => self.received_rtcp(now, peer, packet),
                }
            }
        }
    }

    pub(super) fn received(&mut self, now: Instant, from: SocketAddr, packet: &mut [u8]) {
        // With ICE, whose packets these are was checked already.
        if self.ice.is_none() && !self.remote.takes(now, from) {
            return;
        }
        match demux::classify(packet) {
            Some(demux::Protocol::Rtp) => {
                if let Some(packet) = self.received_rtp(now, from, packet) {
                    self.queue.push(packet);
                }
            }
            Some(demux::Protocol::Rtcp) => self.received_rtcp(now, from, packet),
            Some(demux::Protocol::Dtls) => self.received_dtls(now, 1, from, packet),
            _ => {}
        }
    }

    /// An RTP packet of the peer; what it has for the jitter buffer.
    fn received_rtp<'p>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &'p mut [u8],
    ) -> Option<ReceivedPacket<'p>> {
        let length = self.protection.unprotect(packet)?;
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
        if let Some((_, payload_type)) = self.parameters.dtmf
            && packet.payload_type() == payload_type
        {
            if let Ok(Some(event)) = self.keys_in.receive(packet.timestamp(), packet.payload())
                && let Some(digit) = event.digit()
            {
                (self.tell)(MediaEvent::Dtmf(digit.as_char()));
            }
            return None;
        }
        let payload_type = packet.payload_type();
        let comfort = self.parameters.comfort_noise.is_some_and(|(_, receive)| receive == payload_type);
        let is_played = comfort || payload_type == self.parameters.receive_payload_type;
        (self.parameters.receives && is_played).then(|| ReceivedPacket {
            sequence,
            timestamp: packet.timestamp(),
            payload_type,
            restart: std::mem::take(&mut self.restarts),
            arrival: now.saturating_duration_since(self.began),
            payload: packet.payload(),
        })
    }

    /// A handshake's datagram.
    fn received_dtls(&mut self, now: Instant, component: u16, from: SocketAddr, datagram: &[u8]) {
        if self.parameters.dtls.is_none() {
            return;
        }
        self.remote.shakes(component, from);
        self.protection.take(now, component, datagram);
        self.shake_hands(now);
    }

    /// After a collision another source of ours sends.
    fn renumber(&mut self, before: u32) {
        if self.session.sender().ssrc() != before {
            self.outbound.number(self.session.sender());
            // The old one says goodbye at once.
            self.stirred = true;
        }
    }

    fn hear(&mut self, now: Instant, from: SocketAddr) {
        // From now on silence is told of, and the sockets may be left alone.
        self.stirred |= self.lost_told || self.heard.is_none();
        self.heard = Some(now);
        self.remote.alive = Some(now);
        self.lost_told = false;
        if self.remote.received_from != Some(from) {
            self.remote.received_from = Some(from);
            (self.tell)(MediaEvent::AudioReceived { from });
        }
        self.refresh();
    }

    fn received_rtcp(&mut self, now: Instant, from: SocketAddr, packet: &mut [u8]) {
        if self.ice.is_none() && !self.remote.takes_rtcp(now, from) {
            return;
        }
        match demux::classify(packet) {
            Some(demux::Protocol::Rtcp) => {}
            Some(demux::Protocol::Dtls) => return self.received_dtls(now, 2, from, packet),
            _ => return,
        }
        let Some(length) = self.protection.unprotect_rtcp(packet) else { return };
        let Ok(compound) = Compound::parse(packet.get(..length).unwrap_or_default()) else { return };
        self.remote.alive = Some(now);
        self.refresh();
        let own = self.session.sender().ssrc();
        let (meters, clock_rate) = (&self.meters, self.parameters.clock_rate);
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

    fn measure(&self, ssrc: u32) {
        if let Some(source) = self.session.receiver().source(ssrc) {
            self.meters.received.store(source.received(), Ordering::Relaxed);
            self.meters.lost.store(source.lost().max(0).unsigned_abs(), Ordering::Relaxed);
            let micros =
                u64::from(source.jitter()) * 1_000_000 / u64::from(self.parameters.clock_rate.max(1));
            self.meters.jitter_us.store(u32::try_from(micros).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }
}

/// Whether nothing is needed in this tick after a packet that came so long after the one before, and is so old.
fn is_last(since: Option<Duration>, age: Duration) -> bool {
    age < FRESH && since.is_some_and(|since| REGULAR.contains(&since))
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
