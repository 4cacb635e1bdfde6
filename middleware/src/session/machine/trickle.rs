//! Candidates that follow in INFO (RFC 8840): ours once the peer has a dialog and takes them, the peer's
//! whenever they come.

use ice_stun::ice::Candidate;
use sdp::Fragment;
use sip_core::Headers;
use sip_core::header::{RecvInfo, Require, Supported};

use super::{Context, Exchange, MediaCommand, Phase, SessionMachine, SipAction, State};
use crate::configuration::IceTrickle;
use crate::negotiation::Trickled;

/// The option tag, and the package of INFO.
pub(crate) const TRICKLE_ICE: &str = "trickle-ice";

impl SessionMachine {
    /// Whether the peer takes candidates in INFO, as far as its headers say (RFC 8840 §4, RFC 6086 §4.2.1).
    pub(super) fn learn_trickle(&mut self, headers: &Headers) {
        let (supported, required) = (headers.get::<Supported>(), headers.get::<Require>());
        if supported.is_none() && required.is_none() {
            return;
        }
        let knows = supported.is_some_and(|tags| tags.is_ok_and(|tags| tags.has(TRICKLE_ICE)))
            || required.is_some_and(|tags| tags.is_ok_and(|tags| tags.has(TRICKLE_ICE)));
        let takes = headers.all::<RecvInfo>().any(|one| one.is_ok_and(|one| one.package == TRICKLE_ICE));
        self.peer_trickles = knows && takes;
    }

    /// Whether the next description need not have all candidates.
    pub(super) fn may_trickle(&self) -> bool {
        if !self.config.rtp.trickles() {
            return false;
        }
        let offered = self.description.has_remote_offer();
        match &self.phase {
            Phase::Calling(calling) => {
                self.config.rtp.ice_trickle == IceTrickle::Full && !self.offers_late() && !calling.whole
            }
            _ => self.peer_trickles && (!offered || self.description.offer_trickles()),
        }
    }

    /// ICE found more candidates of ours.
    pub(super) fn found_candidates(
        &mut self,
        context: Context<'_>,
        candidates: Vec<Candidate>,
        complete: bool,
    ) {
        let Some(ice) = self.ice_mut() else { return };
        ice.found(candidates, complete);
        // The INVITE may have waited for them.
        if self.audio.as_ref().is_some_and(|audio| !audio.running) {
            self.go_on_if_ready(context);
        }
        self.trickle();
    }

    /// Tells the peer what is new, if it can be told now. One INFO at a time (RFC 8840 §10.9).
    pub(super) fn trickle(&mut self) {
        let has_dialog = match self.phase {
            Phase::Calling(_) => self.early,
            // RFC 8840 §4.3.2: an INFO of the caller's proves that our 18x arrived.
            Phase::Incoming | Phase::Accepting { .. } => self.trickled_to,
            Phase::Established | Phase::Proposing | Phase::Proposed => true,
            _ => false,
        };
        if !has_dialog || self.trickling || !self.ice_mut().is_some_and(|ice| ice.has_news()) {
            return;
        }
        let Some(mid) = self.description.audio_mid().map(str::to_owned) else { return };
        let Some(local) = self.audio.as_mut().and_then(|audio| audio.local.as_mut()) else { return };
        let muxed = local.muxed;
        let Some(fragment) = local.ice.as_mut().map(|ice| ice.fragment(&mid, muxed)) else { return };
        self.trickling = true;
        self.sip(SipAction::Trickle { fragment: fragment.to_string() });
    }

    /// An INFO of ours has its answer, or 0: it was not sent.
    pub(super) fn trickle_answered(&mut self, code: u16) {
        self.trickling = false;
        if !(200..300).contains(&code)
            && let Some(ice) = self.ice_mut()
        {
            match (code, &mut ice.remote, &mut ice.trickle) {
                // RFC 6086 §4.2.2: it does not take them after all.
                (469 | 415 | 405 | 501, Some(remote), _) => remote.trickles = false,
                (_, _, Some(trickle)) => trickle.failed(),
                _ => {}
            }
        }
        self.trickle();
    }

    /// Candidates of the peer's.
    pub(super) fn got_candidates(&mut self, fragment: Fragment) {
        if !self.config.rtp.trickles() {
            return;
        }
        self.trickled_to = true;
        let known = self.ice_mut().is_some_and(|ice| ice.remote.is_some());
        let told = self.description.audio_mid().and_then(|mid| Trickled::read(&fragment, mid));
        let stream = self.audio.as_ref().map(|audio| audio.id);
        let new = match (&told, self.ice_mut().and_then(|ice| ice.remote.as_mut())) {
            (Some(told), Some(remote)) => remote.learn(told),
            _ => None,
        };
        match (stream, told, new) {
            (Some(stream), Some(told), Some(new)) => {
                if !new.is_empty() || told.complete {
                    self.media(MediaCommand::AddCandidates(stream, new, told.complete));
                }
            }
            // They overtook the answer that tells their generation: all are in the last one that comes.
            _ if !known || matches!(self.exchange, Exchange::Sent(_) | Exchange::AwaitingAnswer) => {
                let over = matches!(self.state(), State::Terminating | State::Terminated);
                self.early_candidates = Some(fragment).filter(|_| !over);
            }
            _ => tracing::debug!("candidates of another generation are left out"),
        }
        self.trickle();
    }

    /// What came before its generation was known.
    pub(super) fn take_early_candidates(&mut self) {
        if let Some(fragment) = self.early_candidates.take()
            && self.ice_mut().is_some_and(|ice| ice.remote.is_some())
        {
            self.got_candidates(fragment);
        }
    }

    /// A description with all that there is goes out.
    pub(super) fn candidates_told(&mut self) {
        if let Some(ice) = self.ice_mut() {
            ice.told_all();
        }
    }
}
