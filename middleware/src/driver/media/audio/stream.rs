//! An audio stream between its sockets, its RTP session and its keys.

mod receiving;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice_stun::ice::Candidate;
use rtp_srtp::dtls::Identity;
use rtp_srtp::dtmf::{Digit, EventReceiver};
use rtp_srtp::rtcp::NtpTime;
use rtp_srtp::session::{ExtendedReports, Playout, Session, SessionConfig};
use tokio::sync::Notify;

use super::feed::Queue;
use super::{AudioCommand, Ends, Tell};
use crate::configuration::SrtpPolicy;
use crate::driver::clock;
use crate::driver::media::gathering::IceLink;
use crate::driver::media::ice::IceInput;
use crate::driver::media::meters::{AudioStatistics, Meters};
use crate::driver::media::protection::{Progress, Protection};
use crate::driver::media::remote::Remote;
use crate::driver::media::sending::{Course, Outbound, Terms};
use crate::driver::media::socket::{Socket, TELLS_ARRIVAL};
use crate::driver::media::sockets::{AudioSockets, Destination, PACKET};
use crate::engine::Now;
use crate::notification::ChatFailureContext;
use crate::session::{AudioParameters, MediaEvent};

/// What the task and the media thread work on, one at a time.
pub(super) struct AudioStream {
    sockets: AudioSockets,
    ice: Option<Box<IceLink>>,
    /// When ICE is to be driven again.
    ice_due: Option<Instant>,
    outbound: Outbound,
    /// What the task has received for the media thread.
    queue: Queue,
    /// What the media thread has received for the task: component, from where, when.
    aside: VecDeque<(u16, SocketAddr, Instant, Vec<u8>)>,
    meters: Arc<Meters>,
    tell: Tell,
    parameters: Box<AudioParameters>,
    session: Session,
    protection: Protection,
    keys_in: EventReceiver,
    remote: Remote,
    /// Moments of packets are counted from here.
    began: Instant,
    /// When the last packet came, once there was one.
    heard: Option<Instant>,
    lost_told: bool,
    /// The next packet is the first of another source.
    restarts: bool,
    /// There is something for the task to do.
    stirred: bool,
    /// Ticks of the media thread.
    ticks: u32,
    over: bool,
}

impl AudioStream {
    pub(super) fn new(
        sockets: AudioSockets,
        mut ice: Option<Box<IceLink>>,
        Ends { outbound, meters, tell, .. }: Ends,
        parameters: Box<AudioParameters>,
        identity: Option<Identity>,
    ) -> Self {
        let now = clock::now();
        let config = SessionConfig::new(parameters.send_payload_type, parameters.clock_rate, cname());
        let mut session = Session::new(now.instant, ntp(now), config, clock::seed());
        session.set_extended_reports(extended(&parameters));
        let protection = Protection::new(&parameters, identity);
        let remote = Remote::new(now.instant, parameters.remote_rtp, parameters.remote_rtcp);
        if let Some(link) = &mut ice {
            link.apply(now.instant, &parameters);
        }
        outbound.agree(terms(&parameters));
        outbound.number(session.sender());
        let ice = ice.filter(|_| parameters.ice.is_some());
        let mut stream = Self {
            sockets,
            ice_due: ice.is_some().then_some(now.instant),
            ice,
            outbound,
            queue: Queue::default(),
            aside: VecDeque::new(),
            meters,
            tell,
            parameters,
            session,
            protection,
            keys_in: EventReceiver::new(),
            remote,
            began: now.instant,
            heard: None,
            lost_told: false,
            restarts: false,
            stirred: false,
            ticks: 0,
            over: false,
        };
        stream.sockets.mark(stream.parameters.dscp);
        stream.encrypt();
        stream.lead();
        stream
    }

    /// What came before it ran, and handshakes.
    pub(super) fn begin(&mut self, now: Instant) {
        let early = self.ice.as_mut().map(|link| std::mem::take(&mut link.early));
        for (from, mut datagram) in early.unwrap_or_default() {
            self.received(now, from, &mut datagram);
        }
        self.shake_hands(now);
    }

    /// Says goodbye.
    pub(super) fn end(&mut self, now: Instant) {
        let mut buffer = [0; PACKET];
        self.report_sent();
        if let Ok(Some(length)) = self.session.leave(now, &mut buffer) {
            self.send_rtcp(&mut buffer, length);
        }
        self.protection.close();
        self.shake_hands(now);
        if let Some(link) = &mut self.ice {
            link.ice.close(&self.sockets);
        }
        self.over = true;
    }

    pub(super) fn obey(&mut self, command: AudioCommand) {
        match command {
            AudioCommand::Run(parameters) => self.change(parameters),
            AudioCommand::Move(to) => self.follow(clock::now().instant, &to),
            AudioCommand::AddCandidates(candidates, complete) => {
                self.add_candidates(clock::now().instant, candidates, complete);
            }
            AudioCommand::Dtmf(digit) => self.press(digit),
        }
    }

    /// Those for RTP and RTCP.
    pub(super) fn sockets(&self) -> (Arc<Socket>, Arc<Socket>) {
        (self.sockets.rtp.clone(), self.sockets.rtcp.clone())
    }

    /// What tells that there is something for a relay.
    pub(super) fn relayed(&self) -> Option<Arc<Notify>> {
        self.outbound.relayed()
    }

    /// Leaves the sockets to the media thread where that is enough, and takes them back where it is not: while
    /// ICE or a handshake look for a way to media an answer should not take as long as a tick.
    pub(super) fn settle(&mut self) {
        let has_way = self.ice.as_ref().is_none_or(|link| link.ice.is_settled());
        let is_settled = self.heard.is_some() && has_way && self.protection.deadline().is_none();
        let polled = TELLS_ARRIVAL && is_settled;
        if self.sockets.are_polled() == polled {
            return;
        }
        match self.sockets.poll(polled) {
            Ok(()) => self.lead(),
            // They stay as they are, which works as well.
            Err(error) => tracing::debug!(%error, polled, "no other descriptors for sockets"),
        }
    }

    /// When there is something to do even if nothing comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
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

    /// What did not come on the first two sockets.
    pub(super) fn ice_input(&mut self, now: Instant, input: IceInput) {
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
    pub(super) fn relay_packets(&mut self) {
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

    fn silence_deadline(&self) -> Option<Instant> {
        let expects = self.parameters.receives && !self.lost_told;
        self.heard.filter(|_| expects).map(|heard| heard + self.parameters.silence)
    }

    pub(super) fn timeout(&mut self, now: Instant) {
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
impl AudioStream {
    /// When anything of the peer came last.
    pub(super) fn alive(&self) -> Option<Instant> {
        self.remote.alive
    }

    /// How much waits for the task.
    pub(super) fn aside(&self) -> usize {
        self.aside.len()
    }
}
