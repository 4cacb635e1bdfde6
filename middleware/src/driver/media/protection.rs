//! What encrypts an audio stream: keys from its description, or by a handshake on its own path.
//!
//! It fails closed: where keys are agreed on or have to be, nothing passes before they are there, either way.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use rtp_srtp::dtls::{Association, Event, Fingerprint, Identity, Output, Role};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

use crate::configuration::SrtpPolicy;
use crate::session::{AudioParameters, DtlsParameters, SrtpParameters};

/// So long a peer may leave us without keys once there is a way to it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Encrypts and decrypts, and gets at the keys.
pub(super) struct Protection {
    policy: SrtpPolicy,
    identity: Option<Identity>,
    sdes: Option<SrtpParameters>,
    dtls: Option<DtlsParameters>,
    /// RTCP has a handshake of its own where it has a port of its own (RFC 5764 §4).
    apart: bool,
    lanes: [Lane; 2],
    /// Keys for the RTP that is sent, which is encrypted elsewhere: what has changed and was not taken.
    sending: Option<Option<Box<SrtpSender>>>,
}

/// A component: its handshake, and its keys.
#[derive(Default)]
struct Lane {
    keys: Option<Box<Keys>>,
    association: Option<Box<Association>>,
    /// Whether there is a way to the peer.
    open: bool,
    /// Without keys by then it is given up.
    due: Option<Instant>,
    /// When the handshake wants to be asked again.
    next: Option<Instant>,
}

struct Keys {
    /// For RTCP.
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

/// What comes of a handshake.
#[derive(Debug)]
pub(super) enum Progress {
    /// Send this from the component's socket.
    Transmit(u16, Vec<u8>),
    /// All keys are there; of this suite.
    Encrypted(Suite),
    /// They will never be.
    Failed(String),
}

impl Protection {
    /// For a stream's first parameters. Without an identity there is no DTLS.
    pub(super) fn new(parameters: &AudioParameters, identity: Option<Identity>) -> Self {
        let mut protection = Self {
            policy: parameters.srtp_policy,
            identity,
            sdes: None,
            dtls: None,
            apart: false,
            lanes: Default::default(),
            sending: None,
        };
        protection.apply(parameters);
        protection
    }

    /// What was agreed anew: the same keys keep their rollover counters, the same association goes on.
    pub(super) fn apply(&mut self, parameters: &AudioParameters) {
        self.policy = parameters.srtp_policy;
        let apart = parameters.dtls.is_some() && !parameters.rtcp_mux;
        if parameters.dtls.as_deref() != self.dtls.as_ref() || apart != self.apart {
            let was_dtls = self.dtls.is_some();
            self.dtls = parameters.dtls.as_deref().cloned();
            self.apart = apart;
            for lane in &mut self.lanes {
                lane.association = None;
                (lane.due, lane.next) = (None, None);
                // Until the new association has keys, those of the old one are the only ones there are.
                if !was_dtls || self.dtls.is_none() {
                    lane.keys = None;
                }
            }
            if self.lanes[0].keys.is_none() {
                self.sending = Some(None);
            }
        }
        if self.dtls.is_some() {
            self.sdes = None;
        } else if parameters.srtp != self.sdes {
            self.sdes.clone_from(&parameters.srtp);
            let (keys, sending) = self.sdes.as_ref().and_then(Keys::told).unzip();
            (self.lanes[0].keys, self.sending) = (keys, Some(sending.map(Box::new)));
        }
    }

    /// A component has a way to the peer: who begins may begin.
    pub(super) fn open(&mut self, now: Instant, component: u16) {
        let wanted = self.lane(component);
        if self.dtls.is_none() || std::mem::replace(&mut self.lanes[wanted].open, true) {
            return;
        }
        self.begin(now, wanted);
    }

    /// Handshakes that have a way and have not begun: all there are.
    pub(super) fn begin_all(&mut self, now: Instant) {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].open && (lane == 0 || self.apart) {
                self.begin(now, lane);
            }
        }
    }

    fn begin(&mut self, now: Instant, lane: usize) {
        let Some(dtls) = &self.dtls else { return };
        let place = &mut self.lanes[lane];
        if place.association.is_some() {
            return;
        }
        place.due.get_or_insert(now + PATIENCE);
        let Some(identity) = &self.identity else { return };
        let known =
            |(hash, digest): &(String, Vec<u8>)| Some(Fingerprint::new(hash.parse().ok()?, digest.clone()));
        let fingerprints = dtls.fingerprints.iter().filter_map(known).collect();
        let role = if dtls.active { Role::Active } else { Role::Passive };
        place.association = Some(Box::new(Association::new(now, identity, role, fingerprints)));
    }

    /// A datagram of a handshake.
    pub(super) fn take(&mut self, now: Instant, component: u16, datagram: &[u8]) {
        let lane = self.lane(component);
        self.lanes[lane].open = true;
        self.begin(now, lane);
        if let Some(association) = &mut self.lanes[lane].association {
            association.handle_input(now, datagram);
        }
    }

    /// Something may be due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            if let Some(association) = &mut lane.association {
                association.handle_timeout(now);
            }
        }
    }

    /// What comes of the handshakes, in order.
    pub(super) fn poll(&mut self, now: Instant) -> VecDeque<Progress> {
        let mut progress = VecDeque::new();
        let mut suite = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let component = if index == 0 { 1 } else { 2 };
            let Some(association) = &mut lane.association else { continue };
            loop {
                match association.poll_output() {
                    Output::Transmit(datagram) => progress.push_back(Progress::Transmit(component, datagram)),
                    Output::Event(Event::Keys(keys)) => {
                        suite = Some(keys.sending.suite());
                        let (sender, receiver) =
                            (SrtpSender::new(&keys.sending), SrtpReceiver::new(&keys.receiving));
                        lane.keys = Some(Box::new(Keys { sender, receiver }));
                        if index == 0 {
                            self.sending = Some(Some(Box::new(SrtpSender::new(&keys.sending))));
                        }
                        lane.due = None;
                    }
                    Output::Event(Event::Failed(failure)) => {
                        lane.due = None;
                        progress.push_back(Progress::Failed(format!("DTLS-SRTP: {failure}")));
                    }
                    Output::Event(_) => {}
                    Output::Idle(deadline) => {
                        lane.next = deadline;
                        break;
                    }
                }
            }
            if lane.due.is_some_and(|due| due <= now) {
                lane.due = None;
                progress.push_back(Progress::Failed("DTLS-SRTP: the peer began no handshake".to_owned()));
            }
        }
        let both = !self.apart || self.lanes.iter().all(|lane| lane.keys.is_some());
        if let Some(suite) = suite.filter(|_| both) {
            progress.push_back(Progress::Encrypted(suite));
        }
        progress
    }

    /// When to come back.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().flat_map(|lane| [lane.next, lane.due]).flatten().min()
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) {
        for lane in &mut self.lanes {
            if let Some(association) = &mut lane.association {
                association.close();
            }
        }
    }

    /// The keys for the RTP that is sent, once where there are other ones; `Some(None)`: there are none any more.
    pub(super) fn take_sending(&mut self) -> Option<Option<Box<SrtpSender>>> {
        self.sending.take()
    }

    /// Protects the compound in the first `length` bytes in place; `None` for what must not leave.
    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let (lane, closed) = (self.lane(2), self.is_closed());
        match &mut self.lanes[lane].keys {
            Some(keys) => keys.sender.protect_rtcp(buffer, length).ok(),
            None => (!closed).then_some(length),
        }
    }

    /// Opens in place; `None` for what is not authentic, or in the clear and must not be.
    pub(super) fn unprotect(&mut self, packet: &mut [u8]) -> Option<usize> {
        let closed = self.is_closed();
        match &mut self.lanes[0].keys {
            Some(keys) => keys.receiver.unprotect(packet).ok(),
            None => (!closed).then_some(packet.len()),
        }
    }

    /// Likewise for RTCP.
    pub(super) fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let (lane, closed) = (self.lane(2), self.is_closed());
        match &mut self.lanes[lane].keys {
            Some(keys) => keys.receiver.unprotect_rtcp(packet).ok(),
            None => (!closed).then_some(packet.len()),
        }
    }

    /// Whether nothing may pass without keys.
    fn is_closed(&self) -> bool {
        self.policy == SrtpPolicy::Mandatory || self.dtls.is_some() || self.sdes.is_some()
    }

    /// Whose keys protect a component.
    fn lane(&self, component: u16) -> usize {
        usize::from(component == 2 && self.apart)
    }
}

impl Keys {
    /// From what the descriptions told; none where it does not make keys.
    fn told(parameters: &SrtpParameters) -> Option<(Box<Self>, SrtpSender)> {
        let suite: Suite = parameters.suite.parse().ok()?;
        let sending = MasterKey::new(suite, &parameters.local_key).ok()?;
        let receiving = parameters.remote_keys.iter().map(|told| {
            let key = MasterKey::new(suite, &told.master).ok()?;
            let key = if told.mki.is_empty() { key } else { key.with_mki(&told.mki).ok()? };
            Some(key.with_lifetime(told.lifetime.unwrap_or(u64::MAX)))
        });
        let receiving: Vec<MasterKey> = receiving.collect::<Option<_>>()?;
        let (first, others) = receiving.split_first()?;
        let mut receiver = SrtpReceiver::new(first);
        for other in others {
            receiver.add_key(other).ok()?;
        }
        let keys = Self { sender: SrtpSender::new(&sending), receiver };
        Some((Box::new(keys), SrtpSender::new(&sending)))
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protection").field("policy", &self.policy).finish_non_exhaustive()
    }
}
