//! Offers and answers before a call is accepted: what the peer says in provisional responses, and what changes
//! it meanwhile.

use bytes::Bytes;
use sip_core::StatusCode;
use sip_core::endpoint::PrackId;

use super::{Context, MediaCommand, Originator, SessionMachine, SipAction, State};
use crate::negotiation::{Description, Negotiated};

/// Branches of a fork whose early sessions are kept: as many as the endpoint follows.
const MAX_BRANCHES: usize = 16;

/// An early dialog of a call of ours in which an offer was answered reliably: each branch of a fork has
/// its own.
#[derive(Debug)]
pub(super) struct EarlyDialog {
    /// The peer's.
    tag: Option<String>,
    description: Description,
    /// What the peer's last offer came to, if it made one: the 2xx has nothing more to say then.
    updated: Option<Box<Negotiated>>,
}

impl SessionMachine {
    /// A provisional response with a description: what is said before the answer is heard, and the
    /// ringtone is the peer's (RFC 3960 §3). The 2xx says it again.
    pub(super) fn early_media(
        &mut self,
        context: Context<'_>,
        tag: Option<String>,
        reliable: bool,
        body: &[u8],
    ) {
        let known = self.early_dialogs.iter().find(|early| early.tag == tag);
        if known.is_some_and(|early| early.updated.is_some()) {
            // RFC 3261 §13.2.1: the first answer was the answer, and another offer has followed it.
            return;
        }
        let is_new = known.is_none();
        let mut description = self.description.clone();
        match description.answered(Some(body), &self.config) {
            Ok(negotiated) => {
                if negotiated.audio.is_some() {
                    self.hear_early(context, &negotiated);
                }
                if reliable && is_new && self.early_dialogs.len() < MAX_BRANCHES {
                    self.early_dialogs.push(EarlyDialog { tag, description, updated: None });
                }
            }
            // What the 2xx says counts.
            Err(error) => tracing::debug!(%error, "early media cannot be had"),
        }
    }

    fn hear_early(&mut self, context: Context<'_>, negotiated: &Negotiated) {
        if std::mem::take(&mut self.ringing) {
            self.media(MediaCommand::StopRingtone);
        }
        self.early = true;
        self.apply_audio(context, negotiated);
    }

    /// A reliable provisional response makes the offer: PRACK has the answer (RFC 3262 §5).
    pub(super) fn prack_due(&mut self, context: Context<'_>, id: PrackId) {
        let Some((tag, offer)) = self.early_offer.take().filter(|_| self.offers_late()) else {
            self.sip(SipAction::Prack { id, answer: None });
            return;
        };
        match self.answer_late_offer(Some(&offer)) {
            Ok((answer, negotiated)) => {
                self.sip(SipAction::Prack { id, answer: Some(answer) });
                self.hear_early(context, &negotiated);
                let (description, updated) = (self.description.clone(), Some(Box::new(negotiated)));
                self.early_dialogs.push(EarlyDialog { tag, description, updated });
            }
            Err(reason) => {
                self.sip(SipAction::Prack { id, answer: None });
                self.sip(SipAction::Cancel);
                self.fail(context, Originator::Local, 488, reason);
            }
        }
    }

    /// Media of the peer, or its checks, show that it has our early answer (RFC 8839 §7.1.1).
    pub(super) fn is_heard_early(&mut self) {
        if matches!(self.state(), State::Incoming | State::Accepting) {
            self.sip(SipAction::ProvisionalArrived);
        }
    }

    /// The peer acknowledged our early answer: candidates may follow (RFC 8840 §4.3.1).
    pub(super) fn early_answer_arrived(&mut self) {
        self.trickled_to = true;
        self.trickle();
    }

    /// An offer of the peer's in an early dialog, in UPDATE (RFC 3311 §5.2) or PRACK (RFC 3262 §5): it is
    /// answered with the streams that there are. The endpoint lets none through while another is not answered.
    pub(super) fn got_early_offer(&mut self, context: Context<'_>, tag: Option<&str>, offer: Option<&[u8]>) {
        match self.answer_in_early_dialog(tag, offer) {
            Ok((answer, negotiated)) => {
                self.sip(SipAction::AcceptReinvite { body: Some(answer) });
                self.take_early_change(context, tag, negotiated);
                // RFC 8840 §4.3.2: any request within the dialog proves that our 18x arrived.
                self.early_answer_arrived();
            }
            Err(status) => self.sip(SipAction::RejectReinvite { status }),
        }
    }

    /// The answer; nothing has changed where there is none.
    fn answer_in_early_dialog(
        &mut self,
        tag: Option<&str>,
        offer: Option<&[u8]>,
    ) -> Result<(Bytes, Negotiated), StatusCode> {
        let Some(before) = self.description_in(tag).filter(|it| it.is_agreed()).cloned() else {
            return Err(StatusCode::REQUEST_PENDING);
        };
        let own = std::mem::replace(&mut self.description, before);
        let answered = self.answer_with_what_there_is(offer);
        let changed = std::mem::replace(&mut self.description, own);
        if let (Some(place), Ok(_)) = (self.description_in(tag), &answered) {
            *place = changed;
        }
        answered
    }

    /// The description of the early dialog of this tag: of a call of the peer's there is one.
    fn description_in(&mut self, tag: Option<&str>) -> Option<&mut Description> {
        if self.state() != State::Calling {
            return Some(&mut self.description);
        }
        let mut dialogs = self.early_dialogs.iter_mut();
        dialogs.find(|early| early.tag.as_deref() == tag).map(|early| &mut early.description)
    }

    fn answer_with_what_there_is(&mut self, offer: Option<&[u8]>) -> Result<(Bytes, Negotiated), StatusCode> {
        let offered = self.description.offered(offer, &self.config).map_err(|refusal| refusal.status)?;
        // Which streams a call has is settled when it is accepted.
        if self.audio.is_some() && !offered.acceptable.audio {
            return Err(StatusCode::NOT_ACCEPTABLE_HERE);
        }
        self.make_answer().map_err(|_| StatusCode::NOT_ACCEPTABLE_HERE)
    }

    fn take_early_change(&mut self, context: Context<'_>, tag: Option<&str>, negotiated: Negotiated) {
        let calling = self.state() == State::Calling;
        if calling {
            self.hear_early(context, &negotiated);
            if let Some(early) = self.early_dialogs.iter_mut().find(|early| early.tag.as_deref() == tag) {
                early.updated = Some(Box::new(negotiated));
            }
        } else if let Some(early) = &mut self.early_media {
            early.update(negotiated.clone());
            self.apply_audio(context, &negotiated);
        } else {
            self.apply(context, &negotiated);
        }
    }

    /// What the early dialog of this tag came to, if the peer made an offer in it: its 2xx needs no
    /// description, and one that it has is none (RFC 3261 §13.2.1).
    pub(super) fn agreed_early(&mut self, tag: Option<&str>) -> Option<Box<Negotiated>> {
        let index = self.early_dialogs.iter().position(|early| early.tag.as_deref() == tag)?;
        let early = std::mem::take(&mut self.early_dialogs).swap_remove(index);
        let updated = early.updated?;
        self.description = early.description;
        Some(updated)
    }

    /// How many branches are kept.
    #[cfg(test)]
    pub(crate) fn branches(&self) -> usize {
        self.early_dialogs.len()
    }
}
