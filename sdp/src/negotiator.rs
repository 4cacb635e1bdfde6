//! Offer and answer as a machine (RFC 3264, RFC 6337). It is told of each description that goes out or comes in
//! and refuses what does not fit; what to offer and to answer is the composer's.

use crate::address::Origin;
use crate::attribute::Direction;
use crate::bundle;
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
    bundle::check_answer(offer, answer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    use crate::{MediaKind, Protocol, Text};

    fn description(user: &str, streams: &[(&str, u16, &str)]) -> SessionDescription {
        let mut text =
            format!("v=0\r\no={user} 1 10 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n");
        for (kind, port, rest) in streams {
            text += &format!("m={kind} {port} {rest}\r\n");
        }
        SessionDescription::parse_strict(&text).expect("a description")
    }

    fn audio(port: u16) -> SessionDescription {
        description("a", &[("audio", port, "RTP/AVP 0 8")])
    }

    fn agreed() -> Negotiator {
        let mut negotiator = Negotiator::new();
        negotiator.local_offer(audio(9000)).expect("an offer");
        negotiator.remote_answer(audio(9002)).expect("an answer");
        negotiator
    }

    #[test]
    fn versions_rise_with_changes() {
        let mut negotiator = agreed();
        let version = |sent: &SessionDescription| sent.origin.session_version;
        // Nothing changed, whatever the o= line of the draft says.
        let mut draft = audio(9000);
        draft.origin.session_version = 77;
        assert_eq!(negotiator.local_offer(draft).map(version), Ok(10));
        negotiator.remote_answer(audio(9002)).expect("an answer");
        assert_eq!(negotiator.local_offer(audio(9004)).map(version), Ok(11));
        // It was sent, so that the next one goes on from it even if it came to nothing.
        negotiator.rollback();
        assert_eq!(negotiator.current_local().map(version), Some(10));
        assert_eq!(negotiator.local_offer(audio(9000)).map(version), Ok(12));
        negotiator.rollback();
        negotiator.remote_offer(audio(9002)).expect("an offer");
        assert_eq!(negotiator.local_answer(audio(9006)).map(version), Ok(13));
    }

    #[test]
    fn answers_that_do_not_fit() {
        let offer = description(
            "a",
            &[("audio", 9000, "RTP/AVP 0 8"), ("audio", 0, "RTP/AVP 0"), ("message", 2855, "TCP/MSRP *")],
        );
        let with = |streams: &[(&str, u16, &str)]| description("b", streams);
        let good = [("audio", 9002, "RTP/AVP 8"), ("audio", 0, "RTP/AVP 0"), ("message", 2855, "TCP/MSRP *")];
        let replaced = |index: usize, stream| {
            let mut streams = good;
            streams[index] = stream;
            with(&streams)
        };
        for (answer, error) in [
            (with(&good[..2]), PeerError::MediaCount { got: 2, expected: 3 }),
            (replaced(0, ("video", 9002, "RTP/AVP 8")), PeerError::MediaType { index: 0 }),
            (replaced(0, ("audio", 9002, "RTP/SAVP 8")), PeerError::Protocol { index: 0 }),
            (replaced(0, ("audio", 9002, "RTP/AVP 3")), PeerError::NoCommonFormat { index: 0 }),
            (replaced(1, ("audio", 9004, "RTP/AVP 0")), PeerError::Resurrected { index: 1 }),
            (replaced(2, ("message", 2855, "TCP/TLS/MSRP *")), PeerError::Protocol { index: 2 }),
        ] {
            let mut caller = Negotiator::new();
            caller.local_offer(offer.clone()).expect("an offer");
            assert_eq!(caller.remote_answer(answer.clone()).err(), Some(error.clone()));
            assert_eq!(caller.state(), NegotiationState::LocalOffer);
            let mut callee = Negotiator::new();
            callee.remote_offer(offer.clone()).expect("an offer");
            assert_eq!(callee.local_answer(answer).err(), Some(UsageError::Description(error)));
            assert_eq!(callee.state(), NegotiationState::RemoteOffer);
            callee.local_answer(with(&good)).expect("the right one is still taken");
        }
        // A refused stream may say what it likes.
        let mut caller = Negotiator::new();
        caller.local_offer(offer).expect("an offer");
        caller.remote_answer(replaced(0, ("audio", 0, "RTP/SAVP 3"))).expect("a refusal");
    }

    #[test]
    fn a_wrong_direction_of_ours_is_refused_one_of_theirs_is_narrowed() {
        let mut offer = audio(9000);
        offer.media[0].attributes.push(&SendOnly).expect("a flag");
        let mut callee = Negotiator::new();
        callee.remote_offer(offer.clone()).expect("an offer");
        let error = callee.local_answer(audio(9002)).expect_err("sendrecv to sendonly");
        assert_eq!(error, UsageError::Description(PeerError::Direction { index: 0 }));
        let mut caller = Negotiator::new();
        caller.local_offer(offer).expect("an offer");
        caller.remote_answer(audio(9002)).expect("narrowed");
        let (local, remote) =
            (caller.current_local().expect("agreed"), caller.current_remote().expect("agreed"));
        assert_eq!(effective_direction(local, remote, 0), Some(SendOnly));
    }

    #[test]
    fn slots_are_kept_and_used_again() {
        let mut negotiator = agreed();
        let none = description("a", &[]);
        let count = PeerError::MediaCount { got: 0, expected: 1 };
        assert_eq!(negotiator.local_offer(none.clone()).err(), Some(UsageError::Description(count.clone())));
        assert_eq!(negotiator.remote_offer(none).err(), Some(count));
        negotiator.local_offer(audio(0)).expect("the stream ends");
        negotiator.remote_answer(audio(0)).expect("agreed");
        let chat = description("a", &[("message", 2855, "TCP/MSRP *")]);
        negotiator.local_offer(chat.clone()).expect("its slot serves another");
        negotiator.remote_answer(chat).expect("agreed");
        assert_eq!(
            negotiator.current_remote().map(|one| one.media[0].media.clone()),
            Some(MediaKind::Message)
        );
    }

    #[test]
    fn hold_in_both_forms() {
        let direction = |session: &SessionDescription| session.media[0].direction(session);
        let mut held = audio(9000);
        assert_eq!(direction(&held), SendRecv);
        held.connection = Some(std::net::Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(direction(&held), SendOnly);
        held.attributes.push(&RecvOnly).expect("a flag");
        assert_eq!(direction(&held), Inactive);
        // The stream's own attribute counts before the session's.
        held.media[0].attributes.push(&SendRecv).expect("a flag");
        assert_eq!(direction(&held), SendOnly);
        held.media[0].connections.push(std::net::Ipv4Addr::LOCALHOST.into());
        assert_eq!(direction(&held), SendRecv);
        // RFC 8839 §4.3.1: with ICE the address is yet to be found.
        let mut ice = audio(9);
        ice.connection = Some(std::net::Ipv4Addr::UNSPECIFIED.into());
        ice.media[0].attributes.push_text("ice-ufrag", Some("abcd")).expect("plain");
        assert_eq!(direction(&ice), SendRecv);
    }

    #[test]
    fn glare_and_rollback() {
        let mut negotiator = agreed();
        let before = negotiator.current_local().cloned();
        negotiator.local_offer(audio(9010)).expect("an offer");
        assert_eq!(negotiator.remote_offer(audio(9012)).err(), Some(PeerError::Glare));
        assert!(matches!(
            negotiator.local_offer(audio(1)),
            Err(UsageError::State { legal_in: "Stable", .. })
        ));
        assert!(matches!(negotiator.local_answer(audio(1)), Err(UsageError::State { .. })));
        assert_eq!(negotiator.rollback(), NegotiationState::LocalOffer);
        assert_eq!(negotiator.current_local(), before.as_ref());
        negotiator.remote_offer(audio(9012)).expect("now it may");
        assert_eq!(negotiator.remote_offer(audio(9014)).err(), Some(PeerError::OfferPending));
        assert_eq!(negotiator.remote_answer(audio(9014)).err(), Some(PeerError::UnexpectedAnswer));
        assert_eq!(negotiator.rollback(), NegotiationState::RemoteOffer);
        assert_eq!(negotiator.state(), NegotiationState::Stable);
    }

    #[test]
    fn an_offer_from_the_called_end() {
        // INVITE without a description: the 200 has the offer, the ACK the answer.
        let (mut caller, mut callee) = (Negotiator::new(), Negotiator::new());
        let offer = callee.local_offer(audio(9000)).expect("an offer").clone();
        caller.remote_offer(offer).expect("an offer");
        let answer = caller.local_answer(audio(9002)).expect("an answer").clone();
        callee.remote_answer(answer).expect("an answer");
        assert_eq!(callee.current_remote(), caller.current_local());
    }

    #[test]
    fn a_frame_refuses_everything_in_place() {
        let mut offer =
            description("a", &[("audio", 9000, "RTP/AVP 0"), ("message", 2855, "TCP/TLS/MSRP *")]);
        offer.times[0].start = 5;
        offer.media[1].attributes.push_text("mid", Some("m")).expect("plain");
        offer.name = Text::new("x").expect("plain");
        let answer = SessionDescription::answer_to(&offer, Origin::new(1, 1, std::net::Ipv4Addr::LOCALHOST));
        assert_eq!(answer.times, offer.times);
        assert!(answer.media.iter().all(MediaDescription::is_rejected));
        assert_eq!(answer.media[1].protocol, Protocol::TcpTlsMsrp);
        assert_eq!(answer.media[1].attributes.value("mid"), Some("m"));
        let mut negotiator = Negotiator::new();
        negotiator.remote_offer(offer).expect("an offer");
        negotiator.local_answer(answer).expect("a refusal of everything");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let without_origin = "v=0\r\ns=-\r\nt=0 0\r\n";
        let version_one = "v=1\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";
        for text in [without_origin, version_one] {
            let offer = SessionDescription::parse(text).expect("it is read");
            assert!(matches!(Negotiator::new().remote_offer(offer), Err(PeerError::Malformed(_))), "{text}");
        }
    }
}
