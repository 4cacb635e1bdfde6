//! An audio stream's task's half: the way to the peer, handshakes, and what of RTCP leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice_stun::ice::Candidate;
use rtp_srtp::demux;
use rtp_srtp::dtls::Identity;
use rtp_srtp::dtmf::Digit;
use rtp_srtp::rtcp::NtpTime;
use rtp_srtp::session::{Session, SessionConfig, goodbye};
use tokio::sync::Notify;

use super::feed::Intake;
use super::news::{Inbox, News, outlet};
use super::reception::{Agreed, Change, Others, Reception};
use super::{AudioCommand, Ends, Tell};
use crate::configuration::SrtpPolicy;
use crate::driver::clock;
use crate::driver::media::gathering::IceLink;
use crate::driver::media::ice::{IceInput, Taken};
use crate::driver::media::protection::{Progress, Protection};
use crate::driver::media::remote::Remote;
use crate::driver::media::sending::{Course, Outbound, Terms};
use crate::driver::media::socket::{Socket, TELLS_ARRIVAL};
use crate::driver::media::sockets::{AudioSockets, Destination, PACKET};
use crate::engine::Now;
use crate::notification::ChatFailureContext;
use crate::session::{AudioParameters, MediaEvent};

/// Datagrams of one socket that are read at a time at most.
const MOST: usize = 64;
/// What the media thread has no room for is tried again after so long: a tick of its.
const TICK: Duration = Duration::from_millis(20);

/// What the task works on.
pub(super) struct AudioStream {
    sockets: AudioSockets,
    /// Those that the media thread reads, by their address in memory.
    lent: Option<usize>,
    ice: Option<Box<IceLink>>,
    /// When ICE is to be driven again.
    ice_due: Option<Instant>,
    /// Whose media the media thread takes, with ICE.
    peers: Vec<SocketAddr>,
    outbound: Outbound,
    intake: Intake,
    tell: Tell,
    parameters: Box<AudioParameters>,
    protection: Protection,
    remote: Remote,
    /// The peer sends since the last parameters.
    heard: bool,
    /// Our source, and whether it has sent any RTCP.
    ssrc: u32,
    cname: String,
    reported: bool,
}

impl AudioStream {
    /// The stream, whose other half the media thread has from now on, and what that has for it.
    pub(super) fn new(
        sockets: AudioSockets,
        mut ice: Option<Box<IceLink>>,
        Ends { mut outbound, mut intake, meters, tell }: Ends,
        parameters: Box<AudioParameters>,
        identity: Option<Identity>,
    ) -> (Self, Inbox) {
        let now = clock::now();
        let cname = cname();
        let config = SessionConfig::new(parameters.send_payload_type, parameters.clock_rate, cname.clone());
        let session = Session::new(now.instant, ntp(now), config, clock::seed());
        let protection = Protection::new(&parameters, identity);
        let remote = Remote::new(now.instant, parameters.remote_rtp, parameters.remote_rtcp);
        if let Some(link) = &mut ice {
            link.apply(now.instant, &parameters);
        }
        outbound.agree(terms(&parameters));
        outbound.number(session.sender());
        let ice = ice.filter(|_| parameters.ice.is_some());
        let ssrc = session.sender().ssrc();
        let (outlet, inbox) = outlet();
        let others = Others { meters, sending: outbound.shared(), outlet };
        let place = (remote.clone(), ice.is_some());
        let reception = Reception::new(now.instant, Agreed::new(&parameters), session, place, others);
        intake.begin(Box::new(reception));
        let mut stream = Self {
            sockets,
            lent: None,
            ice_due: ice.is_some().then_some(now.instant),
            ice,
            peers: Vec::new(),
            outbound,
            intake,
            tell,
            parameters,
            protection,
            remote,
            heard: false,
            ssrc,
            cname,
            reported: false,
        };
        stream.sockets.mark(stream.parameters.dscp);
        stream.hand_keys();
        stream.lead();
        (stream, inbox)
    }

    /// What came before it ran, and handshakes.
    pub(super) fn begin(&mut self, now: Instant) {
        let early = self.ice.as_mut().map(|link| std::mem::take(&mut link.early));
        for (from, datagram) in early.unwrap_or_default() {
            self.received(now, from, &datagram);
        }
        self.shake_hands(now);
    }

    /// Says goodbye, if anybody can have heard of us (RFC 3550 §6.3.7).
    pub(super) fn end(&mut self, now: Instant) {
        let mut buffer = [0; PACKET];
        if (self.reported || self.outbound.progress().is_some())
            && let Ok(length) = goodbye(self.ssrc, &self.cname, &mut buffer)
        {
            self.send_rtcp(&mut buffer, length);
        }
        self.protection.close();
        self.shake_hands(now);
        if let Some(link) = &mut self.ice {
            link.ice.close(&self.sockets);
        }
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
        let is_settled = self.heard && has_way && self.protection.deadline().is_none();
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
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let behind = (!self.flush()).then(|| clock::instant() + TICK);
        behind.into_iter().chain(self.ice_due).chain(self.protection.deadline()).min()
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
                        self.intake.tell(Change::Found(from));
                    }
                    self.refresh();
                    (self.tell)(MediaEvent::AudioEncrypted { suite: suite.name().to_owned() });
                }
                Progress::Failed(reason) => {
                    (self.tell)(MediaEvent::Failed { context: ChatFailureContext::Initialize, reason });
                }
            }
        }
        self.hand_keys();
    }

    /// What did not come on the first two sockets.
    pub(super) fn ice_input(&mut self, now: Instant, input: IceInput) {
        let Some(link) = &mut self.ice else { return };
        match link.ice.take_input(now, input) {
            Some((peer, packet)) => self.received(now, peer, &packet),
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
        for (peer, packet) in std::mem::take(&mut link.ice.arrived) {
            self.received(now, peer, &packet);
        }
        self.lead();
        self.shake_hands(now);
    }

    /// Tells the media thread which way media goes now, whose it takes, and which sockets are its to read.
    fn lead(&mut self) {
        let way = match &self.ice {
            Some(link) => link.ice.way(&self.sockets),
            None => Course::Socket(self.sockets.rtp.clone(), self.remote.rtp()),
        };
        self.outbound.lead(way);
        let polled = self.sockets.are_polled().then(|| self.sockets());
        if let Some(link) = self.ice.as_ref().filter(|_| polled.is_some())
            && !link.ice.peers().eq(self.peers.iter().copied())
        {
            self.peers = link.ice.peers().collect();
            self.intake.tell(Change::Peers(self.peers.clone()));
        }
        let lent = polled.as_ref().map(|(rtp, _)| Arc::as_ptr(rtp).addr());
        if lent != self.lent {
            self.lent = lent;
            self.intake.tell(Change::Sockets(polled));
            self.intake.rest();
        }
    }

    /// The peer said something. With ICE, which knows the way, that changes nothing.
    fn refresh(&mut self) {
        if self.ice.is_none() {
            self.lead();
        }
    }

    /// Hands the media thread its keys, where there are other ones.
    fn hand_keys(&mut self) {
        if let Some(keys) = self.protection.take_sending() {
            self.outbound.encrypt(keys);
        }
        for opening in self.protection.take_opening() {
            self.intake.tell(Change::Opening(opening));
        }
    }

    /// Passes on what the media thread had no room for.
    fn flush(&mut self) -> bool {
        let (sending, receiving) = (self.outbound.flush(), self.intake.flush());
        sending && receiving
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
        let mut place = None;
        if parameters.remote_rtp != self.parameters.remote_rtp {
            let now = clock::now().instant;
            self.remote = Remote::new(now, parameters.remote_rtp, parameters.remote_rtcp);
            place = Some(Box::new(self.remote.clone()));
        }
        if let Some(link) = &mut self.ice {
            link.apply(clock::now().instant, &parameters);
            self.ice_due = Some(clock::now().instant);
        }
        self.heard = false;
        self.outbound.agree(terms(&parameters));
        self.intake.tell(Change::Run(Box::new(Agreed::new(&parameters)), place));
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

    pub(super) fn timeout(&mut self, now: Instant) {
        if let Some(link) = self.ice.as_mut().filter(|_| self.ice_due.is_some_and(|due| due <= now)) {
            link.ice.handle_timeout(now);
            self.drive_ice(now);
        }
        self.protection.handle_timeout(now);
        self.shake_hands(now);
    }

    /// Reads what came on a socket that is watched.
    pub(super) fn read(&mut self, component: u16) {
        let now = clock::now();
        let socket = if component == 1 { &self.sockets.rtp } else { &self.sockets.rtcp }.clone();
        let mut buffer = [0; PACKET];
        for _ in 0..MOST {
            let Ok(arrived) = socket.receive(now, &mut buffer) else { return };
            let Some(packet) = buffer.get_mut(..arrived.length) else { return };
            self.arrived(arrived.at, component, arrived.from, packet);
        }
    }

    /// What the media thread tells.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Aside(component, from, at, mut datagram) => {
                self.arrived(at, component, from, &mut datagram);
            }
            News::Heard(from) => {
                self.heard = true;
                if self.remote.received_from != Some(from) {
                    self.remote.received_from = Some(from);
                    (self.tell)(MediaEvent::AudioReceived { from });
                }
                self.refresh();
            }
            News::Lost => (self.tell)(MediaEvent::AudioLost),
            News::Digit(digit) => (self.tell)(MediaEvent::Dtmf(digit)),
            News::Source(source) => {
                self.ssrc = source.ssrc();
                self.outbound.number(&source);
            }
            News::Report(report) => {
                let mut buffer = [0; PACKET];
                if let Some(place) = buffer.get_mut(..report.len()) {
                    place.copy_from_slice(&report);
                    self.send_rtcp(&mut buffer, report.len());
                    self.reported = true;
                }
            }
        }
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
                let Some(packet) = packet.get(range) else { return };
                match component {
                    1 => self.received(now, peer, packet),
                    _ => self.received_rtcp(now, peer, packet),
                }
            }
        }
    }

    /// Media of the peer goes to the media thread. With ICE, whose it is was checked already.
    fn received(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) {
        let takes = |takes: fn(&Remote, Instant, SocketAddr) -> bool| takes(&self.remote, now, from);
        let is_peer = self.ice.is_some();
        match demux::classify(packet) {
            Some(demux::Protocol::Rtp) if is_peer || takes(Remote::takes) => {
                self.intake.push(from, now, packet);
            }
            Some(demux::Protocol::Rtcp) if is_peer || takes(Remote::takes_rtcp) => {
                self.intake.push(from, now, packet);
            }
            Some(demux::Protocol::Dtls) if is_peer || takes(Remote::takes) => {
                self.received_dtls(now, 1, from, packet);
            }
            _ => {}
        }
    }

    /// Likewise on the socket for RTCP.
    fn received_rtcp(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) {
        if self.ice.is_none() && !self.remote.takes_rtcp(now, from) {
            return;
        }
        match demux::classify(packet) {
            Some(demux::Protocol::Rtcp) => self.intake.push(from, now, packet),
            Some(demux::Protocol::Dtls) => self.received_dtls(now, 2, from, packet),
            _ => {}
        }
    }

    /// A handshake's datagram. Where the peer is it says until it has given keys, and no longer.
    fn received_dtls(&mut self, now: Instant, component: u16, from: SocketAddr, datagram: &[u8]) {
        if self.parameters.dtls.is_none() {
            return;
        }
        if self.protection.is_shaking(component) {
            self.remote.shakes(component, from);
            self.intake.tell(Change::Shakes(component, from));
        }
        self.protection.take(now, component, datagram);
        self.shake_hands(now);
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
