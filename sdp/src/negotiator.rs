//! Offer and answer as a machine (RFC 3264, RFC 6337). It is told of each description that goes out or comes in
//! and refuses what does not fit; what to offer and to answer is the composer's.

use crate::address::Origin;
use crate::attribute::Direction;
use crate::codec::Codec;
use crate::description::{MediaDescription, SessionDescription};
use crate::error::{PeerError, UsageError};
use crate::matching::codecs_match;

/// One session's offers and answers.
///
/// ```text
///                 local_offer()                       remote_offer()
///  LocalOffer <------------------- Stable -------------------> RemoteOffer
///       |                           ^  ^                            |
///       | remote_answer(), rollback |  | local_answer(), rollback   |
///       +---------------------------+  +----------------------------+
/// ```
#[derive(Debug, Clone, Default)]
pub struct Negotiator {
    state: State,
    /// The last description of ours that was agreed on.
    local: Option<SessionDescription>,
    /// The last one of the peer.
    remote: Option<SessionDescription>,
    /// The o= line of the last description that we sent, agreed on or not: its version must go on from there.
    sent: Option<SessionDescription>,
}

/// Where a negotiation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NegotiationState {
    /// Nothing is pending.
    Stable,
    /// Our offer waits for an answer.
    LocalOffer,
    /// The peer's offer waits for ours.
    RemoteOffer,
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Stable,
    LocalOffer(SessionDescription),
    RemoteOffer(SessionDescription),
}

impl Negotiator {
    /// A negotiation in which nothing was said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where it stands.
    pub fn state(&self) -> NegotiationState {
        match self.state {
            State::Stable => NegotiationState::Stable,
            State::LocalOffer(_) => NegotiationState::LocalOffer,
            State::RemoteOffer(_) => NegotiationState::RemoteOffer,
        }
    }

    /// Our description, as last agreed on.
    pub fn current_local(&self) -> Option<&SessionDescription> {
        self.local.as_ref()
    }

    /// The peer's description, as last agreed on.
    pub fn current_remote(&self) -> Option<&SessionDescription> {
        self.remote.as_ref()
    }

    /// Our offer that waits for an answer.
    pub fn pending_local(&self) -> Option<&SessionDescription> {
        match &self.state {
            State::LocalOffer(offer) => Some(offer),
            _ => None,
        }
    }

    /// The peer's offer that waits for our answer.
    pub fn pending_remote(&self) -> Option<&SessionDescription> {
        match &self.state {
            State::RemoteOffer(offer) => Some(offer),
            _ => None,
        }
    }

    /// Our offer; gives it back as it is to be sent. Legal in Stable. Its o= line becomes that of the session,
    /// with a version one higher than what we sent last, or the same if nothing changed (RFC 3264 §8).
    pub fn local_offer(&mut self, offer: SessionDescription) -> Result<&SessionDescription, UsageError> {
        if !matches!(self.state, State::Stable) {
            return Err(self.wrong_state("local_offer", "Stable"));
        }
        self.check_count(self.local.as_ref(), &offer).map_err(UsageError::Description)?;
        let offer = self.continue_origin(offer);
        self.sent = Some(offer.clone());
        self.state = State::LocalOffer(offer);
        self.pending_local().ok_or(UsageError::Description(PeerError::UnexpectedAnswer))
    }

    /// An offer of the peer. With one of ours pending it is glare, with one of theirs it is too early: both are
    /// refused and change nothing.
    pub fn remote_offer(&mut self, offer: SessionDescription) -> Result<&SessionDescription, PeerError> {
        match self.state {
            State::LocalOffer(_) => return Err(PeerError::Glare),
            State::RemoteOffer(_) => return Err(PeerError::OfferPending),
            State::Stable => {}
        }
        usable(&offer)?;
        self.check_count(self.remote.as_ref(), &offer)?;
        self.state = State::RemoteOffer(offer);
        self.pending_remote().ok_or(PeerError::UnexpectedAnswer)
    }

    /// Our answer to the peer's offer; gives it back as it is to be sent. Legal in RemoteOffer. Refused if it
    /// does not answer the offer by RFC 3264 §6; then nothing changes.
    pub fn local_answer(&mut self, answer: SessionDescription) -> Result<&SessionDescription, UsageError> {
        let State::RemoteOffer(offer) = &self.state else {
            return Err(self.wrong_state("local_answer", "RemoteOffer"));
        };
        check_answer(offer, &answer, true).map_err(UsageError::Description)?;
        let answer = self.continue_origin(answer);
        if let State::RemoteOffer(offer) = std::mem::take(&mut self.state) {
            self.remote = Some(offer);
        }
        self.sent = Some(answer.clone());
        Ok(self.local.insert(answer))
    }

    /// The peer's answer to our offer. If it does not answer the offer by RFC 3264 §6 it is refused, and the
    /// offer stays pending: [`Negotiator::rollback`] ends it. A direction that does not fit is not refused:
    /// [`effective_direction`] takes what both allow.
    pub fn remote_answer(&mut self, answer: SessionDescription) -> Result<&SessionDescription, PeerError> {
        let State::LocalOffer(offer) = &self.state else {
            return Err(PeerError::UnexpectedAnswer);
        };
        usable(&answer)?;
        check_answer(offer, &answer, false)?;
        if let State::LocalOffer(offer) = std::mem::take(&mut self.state) {
            self.local = Some(offer);
        }
        Ok(self.remote.insert(answer))
    }

    /// Forgets the pending offer, whoever made it (RFC 3264 §8: the session stays as it was). Legal in any
    /// state. The version of a later offer goes on from what was sent.
    pub fn rollback(&mut self) -> NegotiationState {
        let before = self.state();
        self.state = State::Stable;
        before
    }

    fn wrong_state(&self, operation: &'static str, legal_in: &'static str) -> UsageError {
        let state = match self.state() {
            NegotiationState::Stable => "Stable",
            NegotiationState::LocalOffer => "LocalOffer",
            NegotiationState::RemoteOffer => "RemoteOffer",
        };
        UsageError::State { operation, state, legal_in }
    }

    /// RFC 3264 §8: streams are never taken away, only refused with port 0.
    fn check_count(
        &self,
        before: Option<&SessionDescription>,
        offer: &SessionDescription,
    ) -> Result<(), PeerError> {
        let expected = before.map_or(0, |before| before.media.len());
        let got = offer.media.len();
        if got < expected { Err(PeerError::MediaCount { got, expected }) } else { Ok(()) }
    }

    /// RFC 3264 §8: the o= line stays but for its version, which rises by one with each change.
    fn continue_origin(&self, mut description: SessionDescription) -> SessionDescription {
        if let Some(sent) = &self.sent {
            let version = sent.origin.session_version;
            let same = description.same_but_origin(sent);
            description.origin = sent.origin.clone();
            description.origin.session_version = if same { version } else { version.wrapping_add(1) };
        }
        description
    }
}

/// What the negotiation needs of a description from the peer: version 0 and an o= line.
fn usable(description: &SessionDescription) -> Result<(), PeerError> {
    use crate::error::ErrorKind;
    let fatal = description.defects().iter().find(|defect| {
        defect.kind == ErrorKind::Version
            || (defect.kind == ErrorKind::Missing && defect.what == "an o= line")
    });
    fatal.map_or(Ok(()), |defect| Err(PeerError::Malformed(*defect)))
}

/// RFC 3264 §6: as many m-lines, each of the same type and transport; what was refused stays refused.
fn check_answer(
    offer: &SessionDescription,
    answer: &SessionDescription,
    ours: bool,
) -> Result<(), PeerError> {
    if offer.media.len() != answer.media.len() {
        return Err(PeerError::MediaCount { got: answer.media.len(), expected: offer.media.len() });
    }
    for (index, (offered, answered)) in offer.media.iter().zip(&answer.media).enumerate() {
        if offered.media != answered.media {
            return Err(PeerError::MediaType { index });
        }
        if answered.port == 0 {
            // RFC 3264 §6: what a refused stream says else does not matter.
            continue;
        }
        if !offered.protocol.as_str().eq_ignore_ascii_case(answered.protocol.as_str()) {
            return Err(PeerError::Protocol { index });
        }
        if offered.is_rejected() {
            return Err(PeerError::Resurrected { index });
        }
        if offered.protocol.is_rtp() && !has_common_codec(offered, answered) {
            return Err(PeerError::NoCommonFormat { index });
        }
        let (asked, given) = (offered.direction(offer), answered.direction(answer));
        if ours && asked.answer(given) != given {
            return Err(PeerError::Direction { index });
        }
    }
    Ok(())
}

/// RFC 3264 §6.1: at least one format of the answer was offered. The same number, or the same codec under
/// another number, which is allowed; a payload type alone says it for what has no rtpmap.
fn has_common_codec(offered: &MediaDescription, answered: &MediaDescription) -> bool {
    if answered.formats.payload_types().any(|number| offered.formats.payload_types().any(|one| one == number))
    {
        return true;
    }
    let codecs: Vec<Codec> = offered.rtp_codecs();
    answered.rtp_codecs().iter().any(|codec| codecs.iter().any(|one| codecs_match(one, codec)))
}

/// Which way a stream flows after offer and answer, seen from the local end: what both descriptions allow.
pub fn effective_direction(
    local: &SessionDescription,
    remote: &SessionDescription,
    index: usize,
) -> Option<Direction> {
    let (ours, theirs) = (local.media.get(index)?, remote.media.get(index)?);
    if ours.is_rejected() || theirs.is_rejected() {
        return Some(Direction::Inactive);
    }
    Some(theirs.direction(remote).answer(ours.direction(local)))
}

impl SessionDescription {
    /// The frame of an answer to `offer`: its times (RFC 3264 §6) and its m-lines, each refused with port 0. What
    /// is accepted gets its port, formats and attributes from the composer.
    pub fn answer_to(offer: &SessionDescription, origin: Origin) -> SessionDescription {
        let mut answer = SessionDescription::new(origin);
        if !offer.times.is_empty() {
            answer.times = offer.times.clone();
        }
        answer.media = offer.media.iter().map(MediaDescription::refusing).collect();
        answer
    }
}

impl MediaDescription {
    /// The m-line that refuses this one: port 0, the same type, transport and formats (RFC 3264 §6), and its
    /// mid (RFC 5888 §9.1).
    pub fn refusing(&self) -> MediaDescription {
        let mut refusal = MediaDescription::new(self.media.clone(), 0, self.protocol.clone());
        refusal.formats = self.formats.clone();
        if let Some(mid) = self.attributes.value("mid") {
            // It was read from a line, so that it fits one.
            let _ = refusal.attributes.push_text("mid", Some(mid));
        }
        refusal
    }
}
