//! The task of an audio stream: its sockets, its RTP session and its keys. It never touches a
//! sample, and sends what the media thread cannot send by itself: reports, and media through relays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ice_stun::ice::Candidate;
use media::PacketSource;
use rtp_srtp::dtmf::{Digit, EventReceiver};
use rtp_srtp::rtcp::{Compound, NtpTime};
use rtp_srtp::session::{Received, RtcpEvent, Session, SessionConfig};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpPacket, demux};
use tokio::sync::mpsc;

use super::gathering::IceLink;
use super::ice::{IceInput, Taken};
use super::meters::Meters;
use super::sending::{Course, Outbound, Terms};
use super::sockets::{AudioSockets, Destination, PACKET};
use crate::configuration::SrtpPolicy;
use crate::driver::clock;
use crate::engine::Now;
use crate::session::{AudioParameters, MediaEvent, SrtpParameters};

/// For so long after the start the peer's packets may come from an address that was not
/// signalled; then the one they came from is the only one.
const LATCHING: Duration = Duration::from_secs(5);

/// What an audio task is told.
#[derive(Debug)]
pub(super) enum AudioCommand {
    Run(Box<AudioParameters>),
    Move(Destination),
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
    srtp: Option<Srtp>,
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

struct Srtp {
    parameters: SrtpParameters,
    /// For RTCP: RTP is encrypted on the media thread.
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

/// Where packets go, and whose are taken.
struct Remote {
    signalled: SocketAddr,
    rtcp: SocketAddr,
    since: Instant,
    received_from: Option<SocketAddr>,
    /// When anything of the peer came last, RTP or RTCP.
    alive: Option<Instant>,
}

impl<F: Fn(MediaEvent) + Send> AudioTask<F> {
    /// A stream with its first parameters; `tell` takes what happens on it.
    pub(super) fn new(
        sockets: AudioSockets,
        ice: Option<IceLink>,
        commands: mpsc::UnboundedReceiver<AudioCommand>,
        MediaEnds { outbound, source, meters }: MediaEnds,
        parameters: Box<AudioParameters>,
        tell: F,
    ) -> Self {
        let now = clock::now();
        let config = SessionConfig::new(parameters.send_payload_type, parameters.clock_rate, cname());
        let session = Session::new(now.instant, ntp(now), config, clock::seed());
        let remote = Remote {
            signalled: parameters.remote_rtp,
            rtcp: parameters.remote_rtcp,
            since: now.instant,
            received_from: None,
            alive: None,
        };
        let mut ice = ice;
        if let Some(link) = &mut ice {
            link.apply(now.instant, &parameters);
        }
        outbound.agree(terms(&parameters));
        outbound.number(session.sender());
        let mut task = Self {
            sockets,
            ice: ice.filter(|_| parameters.ice.is_some()),
            ice_due: Some(now.instant),
            commands,
            outbound,
            source,
            meters,
            tell,
            parameters,
            session,
            srtp: None,
            keys_in: EventReceiver::new(),
            remote,
            heard: None,
            lost_told: false,
        };
        task.encrypt();
        task.lead();
        task
    }

    /// Runs until its commands end, and says goodbye.
    pub(super) async fn run(mut self) {
        let (mut rtp_buffer, mut rtcp_buffer) = ([0; PACKET], [0; PACKET]);
        loop {
            let due = self.session.deadline().into_iter().chain(self.silence_deadline());
            let deadline = due.chain(self.ice_due).min();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(AudioCommand::Run(parameters)) => self.change(parameters),
                    Some(AudioCommand::Move(to)) => self.follow(clock::now().instant, &to),
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
        if let Some(link) = &mut self.ice {
            link.ice.close(&self.sockets);
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
    }

    /// Tells the media thread which way media goes now.
    fn lead(&mut self) {
        let way = match &self.ice {
            Some(link) => link.ice.way(&self.sockets),
            None => {
                let to = self.remote.received_from.unwrap_or(self.remote.signalled);
                Course::Socket(self.sockets.rtp.clone(), to)
            }
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

    /// Takes the keys of the parameters: the media thread's are its own.
    fn encrypt(&mut self) {
        let (srtp, media) = self.parameters.srtp.as_ref().and_then(Srtp::new).unzip();
        self.srtp = srtp;
        self.outbound.encrypt(media);
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
            (None, 1) => {
                let to = self.remote.received_from.unwrap_or(self.remote.signalled);
                self.sockets.send(1, packet, to)
            }
            (None, component) => self.sockets.send(component, packet, self.remote.rtcp),
        }
    }

    fn change(&mut self, parameters: Box<AudioParameters>) {
        // The same keys keep their rollover counters; other keys begin anew.
        let other_keys = parameters.srtp != self.parameters.srtp;
        if parameters.remote_rtp != self.parameters.remote_rtp {
            self.remote = Remote {
                signalled: parameters.remote_rtp,
                rtcp: parameters.remote_rtcp,
                since: clock::now().instant,
                received_from: None,
                alive: None,
            };
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
        self.parameters = parameters;
        if other_keys {
            self.encrypt();
        }
        self.lead();
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
        if demux::classify(packet) == Some(demux::Protocol::Rtcp) {
            self.received_rtcp(now, from, packet);
            return;
        }
        let Some(length) = self.open(packet) else { return };
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

    /// Decrypts in place; `None` for what is not authentic, or in the clear and must not be.
    fn open(&mut self, packet: &mut [u8]) -> Option<usize> {
        match (&mut self.srtp, self.parameters.srtp_policy) {
            (Some(srtp), _) => srtp.receiver.unprotect(packet).ok(),
            (None, SrtpPolicy::Mandatory) => None,
            (None, _) => Some(packet.len()),
        }
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

    fn received_rtcp(&mut self, now: Instant, _from: SocketAddr, packet: &mut [u8]) {
        let length = match (&mut self.srtp, self.parameters.srtp_policy) {
            (Some(srtp), _) => match srtp.receiver.unprotect_rtcp(packet) {
                Ok(length) => length,
                Err(_) => return,
            },
            (None, SrtpPolicy::Mandatory) => return,
            (None, _) => packet.len(),
        };
        let Ok(compound) = Compound::parse(packet.get(..length).unwrap_or_default()) else { return };
        self.remote.alive = Some(now);
        self.refresh();
        let own = self.session.sender().ssrc();
        let meters = &self.meters;
        self.session.receive_rtcp(now, &compound, length, |event| {
            if let RtcpEvent::Report(report) = event {
                meters.set_remote_loss(report.block.fraction_lost);
                if let Some(round_trip) = report.round_trip {
                    meters.set_round_trip(round_trip);
                }
            }
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
        let mut buffer = [0; PACKET];
        self.report_sent();
        if let Ok(Some(length)) = self.session.poll_rtcp(now, &mut buffer) {
            self.send_rtcp(&mut buffer, length);
        }
    }

    fn send_rtcp(&mut self, buffer: &mut [u8; PACKET], length: usize) {
        let length = match (&mut self.srtp, self.parameters.srtp_policy) {
            (Some(srtp), _) => match srtp.sender.protect_rtcp(buffer, length) {
                Ok(length) => length,
                Err(_) => return,
            },
            (None, SrtpPolicy::Mandatory) => return,
            (None, _) => length,
        };
        // A report that the system does not take is made up for by the next.
        self.send(2, buffer.get(..length).unwrap_or_default());
    }
}

impl Remote {
    /// When nothing came for so long that it may be somebody who did not ask for this: then no
    /// audio goes there until something comes.
    fn mute_after(&self, silence: Duration) -> Instant {
        self.alive.unwrap_or(self.since) + silence
    }

    /// Whether packets from there are taken: from the signalled address always; from another
    /// one only while it is being found out, or if it was found.
    fn takes(&self, now: Instant, from: SocketAddr) -> bool {
        match self.received_from {
            _ if from == self.signalled => true,
            Some(known) if known == from => true,
            Some(known) if known == self.signalled => false,
            _ => now.saturating_duration_since(self.since) < LATCHING,
        }
    }
}

impl Srtp {
    /// The keys for what is received and for RTCP, and those for the RTP that is sent.
    fn new(parameters: &SrtpParameters) -> Option<(Self, SrtpSender)> {
        let suite = Suite::ALL.into_iter().find(|suite| suite.name() == parameters.suite)?;
        let sending = MasterKey::new(suite, &parameters.local_key).ok()?;
        let receiving = MasterKey::new(suite, &parameters.remote_key).ok()?;
        let srtp = Self {
            parameters: parameters.clone(),
            sender: SrtpSender::new(&sending),
            receiver: SrtpReceiver::new(&receiving),
        };
        Some((srtp, SrtpSender::new(&sending)))
    }
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Srtp").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

fn terms(parameters: &AudioParameters) -> Terms {
    Terms {
        sends: parameters.sends,
        dtmf: parameters.dtmf.map(|(payload_type, _)| payload_type),
        encrypts: parameters.srtp_policy == SrtpPolicy::Mandatory,
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
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_never_says_anything_is_not_talked_to_for_long() {
        let (now, silence) = (clock::now().instant, Duration::from_secs(30));
        let signalled = address("192.0.2.1:4000");
        let mut remote = Remote { signalled, rtcp: signalled, since: now, received_from: None, alive: None };
        assert_eq!(remote.mute_after(silence), now + silence);
        remote.alive = Some(now + 2 * silence);
        assert_eq!(remote.mute_after(silence), now + 3 * silence, "it said something");
    }

    #[test]
    fn another_address_is_taken_at_the_start_only() {
        let now = clock::now().instant;
        let (signalled, real, attacker) =
            (address("192.0.2.1:4000"), address("198.51.100.7:9"), address("203.0.113.1:1"));
        let mut remote = Remote { signalled, rtcp: signalled, since: now, received_from: None, alive: None };
        assert!(remote.takes(now, real), "it may be behind a NAT");
        remote.received_from = Some(real);
        let later = now + LATCHING;
        assert!(remote.takes(later, real) && remote.takes(later, signalled));
        assert!(!remote.takes(later, attacker));
        remote.received_from = Some(signalled);
        assert!(!remote.takes(now, attacker), "the signalled address is preferred even at the start");
    }
}
