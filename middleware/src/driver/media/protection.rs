//! What encrypts an audio stream: keys from its description, or by a handshake on its own path.
//!
//! It fails closed: where keys are agreed on or have to be, nothing passes before they are there, either way.

mod opener;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use rtp_srtp::dtls::{Association, Event, Fingerprint, Identity, Output, Role};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

pub(super) use self::opener::{Opener, Opening};
use crate::configuration::SrtpPolicy;
use crate::session::{AudioParameters, DtlsParameters, SrtpParameters};

/// So long a peer may leave us without keys once there is a way to it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gets at the keys, and encrypts RTCP. RTP is encrypted, and both are decrypted, on the media thread.
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
    /// Likewise how what is received is opened.
    opening: Vec<Opening>,
}

/// A component: its handshake, and its keys.
#[derive(Default)]
struct Lane {
    /// Keys for the RTCP that is sent.
    keys: Option<Box<SrtpSender>>,
    association: Option<Box<Association>>,
    /// Whether there is a way to the peer.
    open: bool,
    /// Without keys by then it is given up.
    due: Option<Instant>,
    /// When the handshake wants to be asked again.
    next: Option<Instant>,
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
            opening: Vec::new(),
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
            for (index, lane) in self.lanes.iter_mut().enumerate() {
                lane.association = None;
                (lane.due, lane.next) = (None, None);
                // Until the new association has keys, those of the old one are the only ones there are.
                if !was_dtls || self.dtls.is_none() {
                    lane.keys = None;
                    self.opening.push(Opening::Keys(index, None));
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
            let told = self.sdes.as_ref().and_then(told);
            let (sending, receiving) = told.unzip();
            self.lanes[0].keys = sending.as_ref().map(|key| Box::new(SrtpSender::new(key)));
            self.sending = Some(sending.as_ref().map(|key| Box::new(SrtpSender::new(key))));
            self.opening.push(Opening::Keys(0, receiving.map(Box::new)));
        }
        self.opening.push(Opening::Rules { closed: self.is_closed(), apart: self.apart });
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
                        lane.keys = Some(Box::new(SrtpSender::new(&keys.sending)));
                        let receiver = Box::new(SrtpReceiver::new(&keys.receiving));
                        self.opening.push(Opening::Keys(index, Some(receiver)));
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

    /// How what is received is opened from now on: what has changed, in order.
    pub(super) fn take_opening(&mut self) -> Vec<Opening> {
        std::mem::take(&mut self.opening)
    }

    /// Whether a component's handshake may still say where the peer is: not once it has given keys.
    pub(super) fn is_shaking(&self, component: u16) -> bool {
        let association = &self.lanes[self.lane(component)].association;
        self.dtls.is_some() && association.as_ref().is_none_or(|association| !association.is_keyed())
    }

    /// Protects the compound in the first `length` bytes in place; `None` for what must not leave.
    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let (lane, closed) = (self.lane(2), self.is_closed());
        match &mut self.lanes[lane].keys {
            Some(keys) => keys.protect_rtcp(buffer, length).ok(),
            None => (!closed).then_some(length),
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

/// The keys that the descriptions told; none where what they told makes none.
fn told(parameters: &SrtpParameters) -> Option<(MasterKey, SrtpReceiver)> {
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
    Some((sending, receiver))
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protection").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
