//! The task of an audio stream: its sockets, its RTP session and its keys. It never touches a
//! sample, and sends what the media thread cannot send by itself: reports, and media through relays.
//!
//! ```text
//!                     ┌ STUN ─▶ ICE
//!   sockets ──▶ demux ┼ DTLS ─▶ protection: handshake ─▶ keys
//!                     └ SRTP ─▶ protection: opened ─▶ RTP session ─▶ jitter buffer, on the media thread
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ice_stun::ice::Candidate;
use media::PacketSource;
use rtp_srtp::dtls::Identity;
use rtp_srtp::dtmf::{Digit, EventReceiver};
use rtp_srtp::rtcp::{Compound, NtpTime};
use rtp_srtp::session::{ExtendedReports, Playout, Received, RtcpEvent, Session, SessionConfig};
use rtp_srtp::{RtpPacket, demux};
use tokio::sync::mpsc;

use super::gathering::IceLink;
use super::ice::{IceInput, Taken};
use super::meters::{AudioStatistics, Meters};
use super::protection::{Progress, Protection};
use super::remote::Remote;
use super::sending::{Course, Outbound, Terms};
use super::sockets::{AudioSockets, Destination, PACKET};
use crate::configuration::SrtpPolicy;
use crate::driver::clock;
use crate::engine::Now;
use crate::notification::ChatFailureContext;
use crate::session::{AudioParameters, MediaEvent};

/// What an audio task is told.
#[derive(Debug)]
pub(super) enum AudioCommand {
    Run(Box<AudioParameters>),
    Move(Destination),
    AddCandidates(Vec<Candidate>, bool),
    Dtmf(char),
}

/// The media thread's side of an audio stream: what it sends, what it is given, what is counted.
pub(super) struct MediaEnds {
    pub(super) outbound: Outbound,
    pub(super) source: PacketSource,
    pub(super) meters: Arc<Meters>,
}

/// A running audio stream.
pub(super) struct AudioTask<F> {
    sockets: AudioSockets,
    ice: Option<IceLink>,
    /// When ICE is to be driven again.
    ice_due: Option<Instant>,
    commands: mpsc::UnboundedReceiver<AudioCommand>,
    outbound: Outbound,
    source: PacketSource,
    meters: Arc<Meters>,
    tell: F,
    parameters: Box<AudioParameters>,
    session: Session,
    protection: Protection,
    keys_in: EventReceiver,
    remote: Remote,
    /// When the last packet came, once there was one.
    heard: Option<Instant>,
    lost_told: bool,
}

/// What else there is for ICE; for ever where there is none.
async fn ice_input(link: &mut Option<IceLink>) -> IceInput {
    match link {
        Some(link) => match link.inputs.recv().await {
            Some(input) => input,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

impl<F: Fn(MediaEvent) + Send> AudioTask<F> {
    /// A stream with its first parameters; `tell` takes what happens on it.
    pub(super) fn new(
        sockets: AudioSockets,
        ice: Option<IceLink>,
        commands: mpsc::UnboundedReceiver<AudioCommand>,
        MediaEnds { outbound, source, meters }: MediaEnds,
        parameters: Box<AudioParameters>,
        identity: Option<Identity>,
        tell: F,
    ) -> Self {
        let now = clock::now();
        let config = SessionConfig::new(parameters.send_payload_type, parameters.clock_rate, cname());
        let mut session = Session::new(now.instant, ntp(now), config, clock::seed());
        session.set_extended_reports(extended(&parameters));
        let protection = Protection::new(&parameters, identity);
        let remote = Remote::new(now.instant, parameters.remote_rtp, parameters.remote_rtcp);
        let mut ice = ice;
        if let Some(link) = &mut ice {
            link.apply(now.instant, &parameters);
        }
        outbound.agree(terms(&parameters));
        outbound.number(session.sender());
        let ice = ice.filter(|_| parameters.ice.is_some());
        let mut task = Self {
            sockets,
            ice_due: ice.is_some().then_some(now.instant),
            ice,
            commands,
            outbound,
            source,
            meters,
            tell,
            parameters,
            session,
            protection,
            keys_in: EventReceiver::new(),
            remote,
            heard: None,
            lost_told: false,
        };
        task.sockets.mark(task.parameters.dscp);
        task.encrypt();
        task.lead();
        task
    }

    /// Runs until its commands end, and says goodbye. In a box, for a future is as large as all that it
    /// ever moved.
    pub(super) async fn run(mut self: Box<Self>) {
        let (mut rtp_buffer, mut rtcp_buffer) = ([0; PACKET], [0; PACKET]);
        let early = self.ice.as_mut().map(|link| std::mem::take(&mut link.early));
        for (from, mut datagram) in early.unwrap_or_default() {
            self.received(clock::now().instant, from, &mut datagram);
        }
        self.shake_hands(clock::now().instant);
        loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(AudioCommand::Run(parameters)) => self.change(parameters),
                    Some(AudioCommand::Move(to)) => self.follow(clock::now().instant, &to),
                    Some(AudioCommand::AddCandidates(candidates, complete)) => {
                        self.add_candidates(clock::now().instant, candidates, complete);
                    }
                    Some(AudioCommand::Dtmf(digit)) => self.press(digit),
                    None => break,
                },
                () = self.outbound.ready() => self.relay_packets(),
                received = self.sockets.rtp.recv_from(&mut rtp_buffer) => {
                    if let Ok((length, from)) = received
                        && let Some(packet) = rtp_buffer.get_mut(..length)
                    {
                        self.arrived(clock::now().instant, 1, from, packet);
                    }
                }
                received = self.sockets.rtcp.recv_from(&mut rtcp_buffer) => {
                    if let Ok((length, from)) = received
                        && let Some(packet) = rtcp_buffer.get_mut(..length)
                    {
                        self.arrived(clock::now().instant, 2, from, packet);
                    }
                }
                input = ice_input(&mut self.ice) => self.ice_input(clock::now().instant, input),
                () = clock::wait_until(deadline) => self.timeout(clock::now().instant),
            }
        }
        let mut buffer = [0; PACKET];
        self.report_sent();
        if let Ok(Some(length)) = self.session.leave(clock::now().instant, &mut buffer) {
            self.send_rtcp(&mut buffer, length);
        }
        self.protection.close();
        self.shake_hands(clock::now().instant);
        if let Some(link) = &mut self.ice {
            link.ice.close(&self.sockets);
        }
    }

    /// When there is something to do even if nothing comes.
    fn deadline(&self) -> Option<Instant> {
        let due = self.session.deadline().into_iter().chain(self.silence_deadline());
        due.chain(self.ice_due).chain(self.protection.deadline()).min()
    }

    /// Lets handshakes begin where there is a way, send, and tell.
    fn shake_hands(&mut self, now: Instant) {
        for component in [1, 2] {
            let is_there = self.ice.as_ref().is_none_or(|link| link.ice.has_way(component));
            if is_there {
                self.protection.open(now, component);
            }
        }
        self.protection.begin_all(now);
        for progress in self.protection.poll(now) {
            match progress {
                // What is not sent is sent again.
                Progress::Transmit(component, datagram) => drop(self.send(component, &datagram)),
                Progress::Encrypted(suite) => {
                    // Who was announced is there: that is where it is.
                    if let Some(from) = self.remote.shakes_from {
                        self.remote.received_from = Some(from);
                    }
                    self.refresh();
                    (self.tell)(MediaEvent::AudioEncrypted { suite: suite.name().to_owned() });
                }
                Progress::Failed(reason) => {
                    (self.tell)(MediaEvent::Failed { context: ChatFailureContext::Initialize, reason });
                }
            }
        }
        self.encrypt();
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

    /// What did not come on the first two sockets.
    fn ice_input(&mut self, now: Instant, input: IceInput) {
        let Some(link) = &mut self.ice else { return };
        match link.ice.take_input(now, input) {
            Some((peer, mut packet)) => self.received(now, peer, &mut packet),
            None => self.drive_ice(now),
        }
    }

    /// Lets ICE send and tell, and takes what its relays handed over.
    fn drive_ice(&mut self, now: Instant) {
        let Some(link) = &mut self.ice else { return };
        self.ice_due = link.ice.drive(now, &self.sockets, &self.tell);
        if let Some(candidates) = link.moved(now) {
            self.tell_moved(candidates);
        }
        let Some(link) = &mut self.ice else { return };
        for (peer, mut packet) in std::mem::take(&mut link.ice.arrived) {
            self.received(now, peer, &mut packet);
        }
        self.lead();
        self.shake_hands(now);
    }

    /// Tells the media thread which way media goes now.
    fn lead(&mut self) {
        let way = match &self.ice {
            Some(link) => link.ice.way(&self.sockets),
            None => Course::Socket(self.sockets.rtp.clone(), self.remote.rtp()),
        };
        self.outbound.lead(way);
        // With ICE, consent tells.
        let listens = self.ice.is_none() && self.parameters.receives;
        self.outbound.mute_after(listens.then(|| self.remote.mute_after(self.parameters.silence)));
    }

    /// The peer said something. With ICE, which knows the way, that changes nothing.
    fn refresh(&mut self) {
        if self.ice.is_none() {
            self.lead();
        }
    }

    /// Hands the media thread its keys, where there are other ones: RTP is encrypted there.
    fn encrypt(&mut self) {
        if let Some(keys) = self.protection.take_sending() {
            self.outbound.encrypt(keys);
        }
    }

    /// What the media thread has sent goes into our reports.
    fn report_sent(&mut self) {
        if let Some(progress) = self.outbound.progress() {
            self.session.sender_mut().follow(progress);
        }
    }

    /// What is to go through a relay.
    fn relay_packets(&mut self) {
        let mut buffer = [0; PACKET];
        while let Some(packet) = self.outbound.pop(&mut buffer) {
            let packet: &[u8] = packet;
            if let Some(link) = &mut self.ice {
                link.ice.send(1, packet, &self.sockets);
            }
        }
    }

    /// Sends a packet of a component the way there is.
    fn send(&mut self, component: u16, packet: &[u8]) -> bool {
        let component = if self.parameters.rtcp_mux { 1 } else { component };
        match (&mut self.ice, component) {
            (Some(link), component) => link.ice.send(component, packet, &self.sockets),
            (None, 1) => self.sockets.send(1, packet, self.remote.rtp()),
            (None, component) => self.sockets.send(component, packet, self.remote.rtcp),
        }
    }

    fn change(&mut self, parameters: Box<AudioParameters>) {
        self.protection.apply(&parameters);
        if parameters.remote_rtp != self.parameters.remote_rtp {
            let now = clock::now().instant;
            self.remote = Remote::new(now, parameters.remote_rtp, parameters.remote_rtcp);
        }
        if let Some(link) = &mut self.ice {
            link.apply(clock::now().instant, &parameters);
            self.ice_due = Some(clock::now().instant);
        }
        self.heard = None;
        // What was agreed anew is tried anew.
        self.remote.alive = Some(clock::now().instant);
        self.session.sender_mut().set_payload_type(parameters.send_payload_type);
        self.outbound.agree(terms(&parameters));
        self.session.set_extended_reports(extended(&parameters));
        self.parameters = parameters;
        self.sockets.mark(self.parameters.dscp);
        self.lead();
        self.shake_hands(clock::now().instant);
    }

    /// The peer has more candidates, or no others.
    fn add_candidates(&mut self, now: Instant, candidates: Vec<Candidate>, complete: bool) {
        if let Some(link) = &mut self.ice {
            link.ice.add_remote(now, candidates, complete);
            self.drive_ice(now);
        }
    }

    /// The network is another one.
    fn follow(&mut self, now: Instant, to: &Destination) {
        let done = match &mut self.ice {
            Some(link) => link.follow(now, &mut self.sockets, to),
            None => self.sockets.follow(to, &[], None).map(|moved| !moved.is_empty()),
        };
        self.lead();
        match (done, &self.ice) {
            // What ICE finds is told when it is there.
            (Ok(true), Some(_)) => self.drive_ice(now),
            (Ok(true), None) => self.tell_moved(Vec::new()),
            (Ok(false), _) => (self.tell)(MediaEvent::AudioStays { reason: None }),
            (Err(error), _) => (self.tell)(MediaEvent::AudioStays { reason: Some(error.to_string()) }),
        }
    }

    fn tell_moved(&self, candidates: Vec<Candidate>) {
        if let Ok((rtp, rtcp)) = self.sockets.addresses() {
            (self.tell)(MediaEvent::AudioMoved { rtp, rtcp, candidates });
        }
    }

    fn press(&mut self, digit: char) {
        if let Some(digit) = Digit::new(digit) {
            self.outbound.press(digit);
        }
    }

    fn received(&mut self, now: Instant, from: SocketAddr, packet: &mut [u8]) {
        // With ICE, whose packets these are was checked already.
        if self.ice.is_none() && !self.remote.takes(now, from) {
            return;
        }
        match demux::classify(packet) {
            Some(demux::Protocol::Rtp) => {}
            Some(demux::Protocol::Rtcp) => return self.received_rtcp(now, from, packet),
            Some(demux::Protocol::Dtls) => return self.received_dtls(now, 1, from, packet),
            _ => return,
        }
        let Some(length) = self.protection.unprotect(packet) else { return };
        let Ok(packet) = RtpPacket::parse(packet.get(..length).unwrap_or_default()) else { return };
        let own = self.session.sender().ssrc();
        let sequence = match self.session.receive(now, &packet) {
            Received::Valid { sequence } | Received::Probation { sequence } => sequence,
            Received::Restarted { sequence } => {
                self.source.restart();
                sequence
            }
            Received::Jump | Received::NoRoom => return,
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
            return;
        }
        let payload_type = packet.payload_type();
        let comfort = self.parameters.comfort_noise.is_some_and(|(_, receive)| receive == payload_type);
        if self.parameters.receives && (comfort || payload_type == self.parameters.receive_payload_type) {
            self.source.push(sequence, packet.timestamp(), packet.payload_type(), packet.payload(), now);
        }
    }

    /// A handshake's datagram.
    fn received_dtls(&mut self, now: Instant, component: u16, from: SocketAddr, datagram: &[u8]) {
        if self.parameters.dtls.is_none() {
            return;
        }
        if component == 1 {
            self.remote.shakes_from = Some(from);
        }
        self.protection.take(now, component, datagram);
        self.shake_hands(now);
    }

    /// After a collision another source of ours sends.
    fn renumber(&self, before: u32) {
        if self.session.sender().ssrc() != before {
            self.outbound.number(self.session.sender());
        }
    }

    fn hear(&mut self, now: Instant, from: SocketAddr) {
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

    fn silence_deadline(&self) -> Option<Instant> {
        let expects = self.parameters.receives && !self.lost_told;
        self.heard.filter(|_| expects).map(|heard| heard + self.parameters.silence)
    }

    fn timeout(&mut self, now: Instant) {
        if self.silence_deadline().is_some_and(|deadline| deadline <= now) {
            self.lost_told = true;
            (self.tell)(MediaEvent::AudioLost);
        }
        if let Some(link) = self.ice.as_mut().filter(|_| self.ice_due.is_some_and(|due| due <= now)) {
            link.ice.handle_timeout(now);
            self.drive_ice(now);
        }
        self.protection.handle_timeout(now);
        self.shake_hands(now);
        let mut buffer = [0; PACKET];
        self.report_sent();
        if self.session.deadline().is_some_and(|due| due <= now) {
            self.session.set_playout(playout(&self.meters.read()));
        }
        if let Ok(Some(length)) = self.session.poll_rtcp(now, &mut buffer) {
            self.send_rtcp(&mut buffer, length);
        }
    }

    fn send_rtcp(&mut self, buffer: &mut [u8; PACKET], length: usize) {
        let Some(length) = self.protection.protect_rtcp(buffer, length) else { return };
        // A report that the system does not take is made up for by the next.
        self.send(2, buffer.get(..length).unwrap_or_default());
    }
}

fn terms(parameters: &AudioParameters) -> Terms {
    Terms {
        sends: parameters.sends,
        dtmf: parameters.dtmf.map(|(payload_type, _)| payload_type),
        encrypts: parameters.srtp_policy == SrtpPolicy::Mandatory
            || parameters.srtp.is_some()
            || parameters.dtls.is_some(),
    }
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

/// A name that says nothing of this host, new for each stream (RFC 7022 §4.2).
fn cname() -> String {
    use base64::Engine as _;
    let seed = clock::seed();
    base64::engine::general_purpose::STANDARD.encode(seed.get(..12).unwrap_or_default())
}

fn ntp(now: Now) -> NtpTime {
    let since = now.wall.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    NtpTime::from_unix(since)
}

#[cfg(test)]
mod tests;
