//! The task of an audio stream: what it is told, what ICE and handshakes need, and the way that RTCP takes. It
//! touches no sample.
//!
//! ```text
//!                     ┌ STUN ─▶ ICE
//!   sockets ──▶ demux ┼ DTLS ─▶ handshake ─▶ keys ──┐
//!                     └ SRTP ─▶ [ reception: opened ─▶ RTP session ─▶ jitter buffer ]   on the media thread
//! ```
//! While a stream comes about the task is woken for each datagram and hands media over. Once media flows and the
//! system tells when datagrams came, nobody watches the sockets any more: the media thread reads them in each tick,
//! right before it needs what has come, and leaves to the task what is not media ([`feed`]).

mod feed;
mod news;
mod reception;
mod stream;

use std::sync::Arc;

use ice_stun::ice::Candidate;
use rtp_srtp::dtls::Identity;
use tokio::sync::{Notify, mpsc};

pub(super) use self::feed::{Intake, intake};
use self::news::Inbox;
use self::stream::AudioStream;
use super::gathering::{IceInputs, IceLink};
use super::ice::IceInput;
use super::meters::Meters;
use super::sending::Outbound;
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

/// A running audio stream.
pub(super) struct AudioTask {
    stream: Box<AudioStream>,
    inbox: Inbox,
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
        let (stream, inbox) = AudioStream::new(sockets, link.map(Box::new), ends, parameters, identity);
        Self { stream: Box::new(stream), inbox, commands, inputs }
    }

    /// Runs until its commands end, and says goodbye.
    pub(super) async fn run(mut self) {
        let Self { stream, inbox, commands, inputs } = &mut self;
        stream.begin(clock::now().instant);
        loop {
            stream.settle();
            let (rtp, rtcp) = stream.sockets();
            let (for_relay, deadline) = (stream.relayed(), stream.deadline());
            // In no order: whoever floods a socket keeps nothing else waiting.
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => stream.obey(command),
                    None => break,
                },
                () = relayed(for_relay.as_deref()) => stream.relay_packets(),
                () = rtp.readable() => stream.read(1),
                () = rtcp.readable() => stream.read(2),
                news = inbox.next() => stream.take(news),
                input = ice_input(inputs) => stream.ice_input(clock::now().instant, input),
                () = clock::wait_until(deadline) => stream.timeout(clock::now().instant),
            }
        }
        while let Some(news) = inbox.try_next() {
            stream.take(news);
        }
        stream.end(clock::now().instant);
    }
}

#[cfg(test)]
mod tests;
