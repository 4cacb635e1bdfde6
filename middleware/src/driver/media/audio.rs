//! The task of an audio stream: what it is told, what ICE and handshakes need, and reports. It never
//! touches a sample.
//!
//! ```text
//!                     ┌ STUN ─▶ ICE
//!   sockets ──▶ demux ┼ DTLS ─▶ protection: handshake ─▶ keys
//!                     └ SRTP ─▶ protection: opened ─▶ RTP session ─▶ jitter buffer, on the media thread
//! ```
//! While a stream comes about the task is woken for each datagram. Once media flows and the system tells
//! when datagrams came, nobody watches the sockets any more: the media thread reads them in each tick, right
//! before it needs what has come, and leaves to the task what is not RTP ([`feed`]).

mod feed;
mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ice_stun::ice::Candidate;
use rtp_srtp::dtls::Identity;
use tokio::sync::{Notify, mpsc};

pub(super) use self::feed::{Intake, intake};
use self::stream::AudioStream;
use super::gathering::{IceInputs, IceLink};
use super::ice::IceInput;
use super::meters::Meters;
use super::sending::Outbound;
use super::socket::Socket;
use super::sockets::{AudioSockets, Destination};
use crate::driver::clock;
use crate::session::{AudioParameters, MediaEvent};

/// What an audio task is told.
#[derive(Debug)]
pub(super) enum AudioCommand {
    Run(Box<AudioParameters>),
    Move(Destination),
    AddCandidates(Vec<Candidate>, bool),
    Dtmf(char),
}

/// The other sides of an audio stream: what the media thread sends and is given, what is counted, and who
/// is told what happens.
pub(super) struct Ends {
    pub(super) outbound: Outbound,
    pub(super) intake: Intake,
    pub(super) meters: Arc<Meters>,
    pub(super) tell: Tell,
}

/// Takes what happens on a stream.
pub(super) type Tell = Box<dyn Fn(MediaEvent) + Send>;

/// A stream that both the task and the media thread work on. The media thread never waits for it.
struct Shared {
    stream: Mutex<AudioStream>,
    /// The media thread has left something to the task.
    wake: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, AudioStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running audio stream.
pub(super) struct AudioTask {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<AudioCommand>,
    inputs: Option<IceInputs>,
}

/// What else there is for ICE; for ever where there is none.
async fn ice_input(inputs: &mut Option<IceInputs>) -> IceInput {
    match inputs {
        Some(inputs) => match inputs.recv().await {
            Some(input) => input,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Resolves when there is something for a relay; never where there is none.
async fn relayed(wake: Option<&Notify>) {
    match wake {
        Some(wake) => wake.notified().await,
        None => std::future::pending().await,
    }
}

/// What a task waits for.
struct Awaited {
    rtp: Arc<Socket>,
    rtcp: Arc<Socket>,
    relayed: Option<Arc<Notify>>,
    deadline: Option<std::time::Instant>,
}

impl AudioTask {
    /// A stream with its first parameters.
    pub(super) fn new(
        sockets: AudioSockets,
        ice: Option<(IceLink, IceInputs)>,
        commands: mpsc::UnboundedReceiver<AudioCommand>,
        ends: Ends,
        parameters: Box<AudioParameters>,
        identity: Option<Identity>,
    ) -> Self {
        let (link, inputs) = ice.unzip();
        let inputs = inputs.filter(|_| parameters.ice.is_some());
        let intake = ends.intake.clone();
        let stream = Mutex::new(AudioStream::new(sockets, link.map(Box::new), ends, parameters, identity));
        let shared = Arc::new(Shared { stream, wake: Notify::new() });
        intake.open(shared.clone());
        Self { shared, commands, inputs }
    }

    /// Runs until its commands end, and says goodbye.
    pub(super) async fn run(mut self) {
        self.shared.lock().begin(clock::now().instant);
        loop {
            let Awaited { rtp, rtcp, relayed: for_relay, deadline } = self.awaited();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.shared.lock().obey(command),
                    None => break,
                },
                () = relayed(for_relay.as_deref()) => self.shared.lock().relay_packets(),
                () = rtp.readable() => self.shared.lock().read(1),
                () = rtcp.readable() => self.shared.lock().read(2),
                () = self.shared.wake.notified() => self.shared.lock().take_aside(),
                input = ice_input(&mut self.inputs) => {
                    self.shared.lock().ice_input(clock::now().instant, input);
                }
                () = clock::wait_until(deadline) => self.shared.lock().timeout(clock::now().instant),
            }
        }
        self.shared.lock().end(clock::now().instant);
    }

    fn awaited(&self) -> Awaited {
        let mut stream = self.shared.lock();
        stream.settle();
        let (rtp, rtcp) = stream.sockets();
        Awaited { rtp, rtcp, relayed: stream.relayed(), deadline: stream.deadline() }
    }
}

#[cfg(test)]
mod tests;
