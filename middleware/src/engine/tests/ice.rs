//! ICE of a party of a trace: its checks and candidates are played by commands.

use std::net::SocketAddr;

use ice_stun::ice::{Candidate, CandidateKind};

use super::agent::Agent;
use crate::configuration::IceTrickle;
use crate::session::{IceSelection, IceState, MediaEvent, StreamId};

/// Whether ICE is used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Ice {
    No,
    Yes,
    /// By both, but neither is told that the other follows RFC 8445.
    Old,
}

impl Agent {
    /// The same with ICE; its checks are played by commands.
    pub(super) fn with_ice(mut self, ice: Ice) -> Self {
        self.ice = ice;
        let rtp = &mut self.engine.config.session.rtp;
        rtp.use_ice = ice != Ice::No;
        if ice == Ice::Old {
            rtp.ice_trickle = IceTrickle::Off;
        }
        self.engine.announce_trickle();
        self
    }

    /// `found 7000`: a server tells that address; `gathered`: there are no others.
    pub(super) fn candidates(&mut self, words: &[&str]) -> (StreamId, MediaEvent) {
        let (stream, _) = self.ice_stream.expect("audio with ICE");
        let complete = words[0] == "gathered";
        if !complete {
            let outside = SocketAddr::from(([198, 51, 100, 1], words[1].parse().expect("a port")));
            let base = SocketAddr::new(self.address.ip(), 40_000);
            self.found.push(Candidate::server_reflexive(1, outside, base, base.ip(), u16::MAX));
        }
        (stream, MediaEvent::IceCandidates { candidates: self.found.clone(), complete })
    }

    /// What a command says of ICE: `completed`, or `completed moved` for a pair that no description
    /// tells.
    pub(super) fn ice_state(&self, words: &[&str], peer: SocketAddr) -> (StreamId, MediaEvent) {
        let (stream, controlling) = self.ice_stream.expect("audio with ICE");
        let state = [IceState::Checking, IceState::Completed, IceState::Disconnected, IceState::Failed];
        let state = state.into_iter().find(|state| state.name() == words[0]).expect("a state");
        let port = if words.contains(&"moved") { 7_000 } else { 40_000 };
        let selection = matches!(state, IceState::Completed | IceState::Disconnected).then(|| IceSelection {
            local: SocketAddr::new(self.address.ip(), 40_000 + 2 * u16::try_from(stream.0).expect("few")),
            local_kind: CandidateKind::Host,
            remote: SocketAddr::new(peer.ip(), port + 2),
            remote_kind: CandidateKind::Host,
            local_rtcp: None,
            remote_rtcp: None,
            controlling,
        });
        (stream, MediaEvent::IceState { state, selection })
    }
}
