//! An audio stream before it runs: its sockets, and ICE looking for candidates.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ice_stun::ice::Candidate;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rtp_srtp::demux;
use tokio::sync::{mpsc, oneshot};

use super::ice::{Ice, IceInput, Taken};
use super::interfaces;
use super::relay_stream::TlsClient;
use super::sockets::{AudioSockets, Destination, PACKET};
use crate::configuration::IceConfiguration;
use crate::driver::clock;
use crate::driver::servers::ServerResolver;
use crate::negotiation::new_credentials;
use crate::session::{AudioParameters, AudioPreparation, IcePreparation, MediaEvent};
use crate::trace::Tracer;

/// Chunks of a relay's stream that may wait.
const RELAY_QUEUE: usize = 256;
/// Datagrams of a handshake that are kept for the stream to come; the peer sends them again anyway.
const EARLY: usize = 4;

/// What the relays' streams of a stream bring, and whatever else does not come on its first two sockets.
pub(super) type IceInputs = mpsc::Receiver<IceInput>;

/// ICE of a stream.
pub(super) struct IceLink {
    pub(super) ice: Ice,
    /// It gathers from other sockets, and has not told yet.
    moving: bool,
    /// What of a handshake came before the stream ran (RFC 5763 §5: an answer may be slower than it).
    pub(super) early: Vec<(SocketAddr, Vec<u8>)>,
}

impl IceLink {
    /// The stream follows to another network; whether anything changed.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        sockets: &mut AudioSockets,
        to: &Destination,
    ) -> io::Result<bool> {
        let moved = sockets.follow(to, &interfaces::usable(), Some(&self.ice.inputs()))?;
        self.moving |= !moved.is_empty();
        if !moved.is_empty() {
            self.ice.follow(now, sockets, &moved);
        }
        Ok(!moved.is_empty())
    }

    /// The candidates of the sockets that there are now, once after a move.
    pub(super) fn moved(&mut self, now: Instant) -> Option<Vec<Candidate>> {
        (self.ice.is_gathered() && std::mem::take(&mut self.moving)).then(|| self.ice.candidates(now))
    }

    pub(super) fn apply(&mut self, now: Instant, parameters: &AudioParameters) {
        if let Some(ice) = &parameters.ice {
            self.ice.set_remote(now, ice, parameters.rtcp_mux);
        }
    }

    /// Media before its parameters are known is not heard; a handshake waits for them.
    fn keep(&mut self, from: SocketAddr, packet: &[u8]) {
        if demux::classify(packet) == Some(demux::Protocol::Dtls) && self.early.len() < EARLY {
            self.early.push((from, packet.to_vec()));
        }
    }
}

/// What waits for an audio stream's parameters: the sockets, and ICE going on at its own pace.
pub(super) struct Gathering {
    sockets: AudioSockets,
    link: IceLink,
    inputs: IceInputs,
    fingerprint: Option<String>,
    /// The stream is ready as soon as there is a look at its sockets.
    trickle: bool,
}

impl Gathering {
    /// Resolves the servers and begins to gather.
    pub(super) async fn start(
        mut sockets: AudioSockets,
        preparation: &IcePreparation,
        port_range: Option<RangeInclusive<u16>>,
        resolver: &ServerResolver,
        tls: &TlsClient,
    ) -> io::Result<Self> {
        let (rtp, _) = sockets.addresses()?;
        let (sender, inputs) = mpsc::channel(RELAY_QUEUE);
        let others = match preparation.every_interface {
            true => interfaces::beside(rtp.ip()),
            false => Vec::new(),
        };
        for address in others {
            let preparation = AudioPreparation { address, port_range: port_range.clone(), ice: None };
            if let Err(error) = sockets.open_more(&preparation, &sender) {
                tracing::debug!(%address, %error, "no sockets for ICE there");
            }
        }
        let servers = resolver.resolve(&preparation.configuration).await;
        let ice = Ice::start(preparation, servers, &sockets.all()?, sender, tls.clone());
        let link = IceLink { ice, moving: false, early: Vec::new() };
        Ok(Self { sockets, link, inputs, fingerprint: None, trickle: preparation.trickle })
    }

    /// Its STUN messages go into a trace.
    pub(super) fn traced(mut self, tracer: Option<Arc<Tracer>>) -> Self {
        self.link.ice.tracer = tracer;
        self
    }

    /// With a certificate for handshakes, which is told with the candidates.
    pub(super) fn announcing(mut self, fingerprint: String) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// Goes on until `wanted` has an answer: tells the candidates once they are there.
    pub(super) async fn run<T>(
        mut self,
        mut wanted: oneshot::Receiver<T>,
        tell: &(impl Fn(MediaEvent) + Send + Sync),
    ) -> Option<(AudioSockets, (IceLink, IceInputs), T)> {
        let (mut rtp_buffer, mut rtcp_buffer) = ([0; PACKET], [0; PACKET]);
        let mut told = false;
        loop {
            let now = clock::now().instant;
            let due = self.link.ice.drive(now, &self.sockets, tell);
            let complete = self.link.ice.is_gathered();
            if !told && (complete || self.trickle) {
                told = true;
                let (rtp, rtcp) = self.sockets.addresses().ok()?;
                let candidates = match complete {
                    true => self.link.ice.candidates(now),
                    false => self.link.ice.first_candidates(),
                };
                let fingerprint = self.fingerprint.clone();
                tell(MediaEvent::AudioReady { rtp, rtcp, candidates, complete, fingerprint });
                continue;
            }
            let taken = tokio::select! {
                biased;
                wanted = &mut wanted => {
                    // Nobody wants the stream any more: its relays are given back.
                    let Ok(wanted) = wanted else {
                        self.link.ice.close(&self.sockets);
                        return None;
                    };
                    return Some((self.sockets, (self.link, self.inputs), wanted));
                }
                received = self.sockets.rtp.recv_from(&mut rtp_buffer) => {
                    received.ok().map(|(length, from)| (1, from, rtp_buffer.get(..length)))
                }
                received = self.sockets.rtcp.recv_from(&mut rtcp_buffer) => {
                    received.ok().map(|(length, from)| (2, from, rtcp_buffer.get(..length)))
                }
                Some(input) = self.inputs.recv() => {
                    if let Some((from, packet)) = self.link.ice.take_input(clock::now().instant, input) {
                        self.link.keep(from, &packet);
                    }
                    None
                }
                () = clock::wait_until(due) => {
                    self.link.ice.handle_timeout(clock::now().instant);
                    None
                }
            };
            if let Some((component, from, Some(packet))) = taken {
                let now = clock::now().instant;
                if let Taken::Media(range, peer) = self.link.ice.take_first(now, component, from, packet) {
                    self.link.keep(peer, packet.get(range).unwrap_or_default());
                }
            }
        }
    }
}

/// Candidates, and servers that gave none, with why.
pub(in crate::driver) type Gathered = (Vec<Candidate>, Vec<(SocketAddr, String)>);

/// Gathers for no call: to see what one from this address would have; with `every_interface`, of every
/// address beside it too.
pub(in crate::driver) async fn gather_alone(
    address: IpAddr,
    every_interface: bool,
    configuration: IceConfiguration,
    resolver: &ServerResolver,
    tls: &TlsClient,
) -> io::Result<Gathered> {
    let credentials = new_credentials(&mut ChaCha20Rng::from_seed(clock::seed()));
    let ice =
        IcePreparation { credentials, controlling: true, trickle: false, configuration, every_interface };
    let sockets = AudioSockets::open(&AudioPreparation { address, port_range: None, ice: None })?;
    let gathering = Gathering::start(sockets, &ice, None, resolver, tls).await?;
    // Nobody wants the stream: once the candidates are there, its relays are given back.
    let (wanted, never) = oneshot::channel::<()>();
    let wanted = Mutex::new(Some(wanted));
    let found = Mutex::new(Gathered::default());
    let tell = |event| match event {
        MediaEvent::AudioReady { candidates, .. } => {
            lock(&found).0 = candidates;
            drop(lock(&wanted).take());
        }
        MediaEvent::IceServerFailed { server, reason } => lock(&found).1.push((server, reason)),
        _ => {}
    };
    drop(gathering.run(never, &tell).await);
    let found = std::mem::take(&mut *lock(&found));
    Ok(found)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
