//! A session's side of offer and answer (RFC 3264).

use bytes::Bytes;
use sdp::attribute::Direction;
use sdp::{
    Address, Connection, Formats, MediaDescription, MediaKind, Negotiator, Origin, Protocol,
    SessionDescription,
};

use super::ice::{self, RemoteIce};
use super::{LocalMedia, Negotiated, NegotiationError, Offered, Refusal, audio, chat};
use crate::session::StreamSet;
use crate::session::machine::SessionConfig;

/// What was offered, what was answered, and which m-line is whose.
#[derive(Debug)]
pub(crate) struct Description {
    negotiator: Negotiator,
    session_id: u64,
    /// What each m-line is for, in their order; they never move (RFC 3264 §8).
    lines: Vec<Line>,
    /// As `lines` were before the exchange in flight.
    stable_lines: Vec<Line>,
    /// What the exchange in flight was made with.
    local: LocalMedia,
    remote_offer: Option<SessionDescription>,
    local_offer: Option<SessionDescription>,
    held_by_remote: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Line {
    Audio,
    Chat,
    /// Refused, over, or of a kind that we don't have.
    Unused,
}

impl Description {
    pub(crate) fn new(session_id: u64) -> Self {
        Self {
            negotiator: Negotiator::new(),
            session_id,
            lines: Vec::new(),
            stable_lines: Vec::new(),
            local: LocalMedia::default(),
            remote_offer: None,
            local_offer: None,
            held_by_remote: false,
        }
    }

    pub(crate) fn has_remote_offer(&self) -> bool {
        self.remote_offer.is_some()
    }

    pub(crate) fn has_local_offer(&self) -> bool {
        self.local_offer.is_some()
    }

    /// Whether a chat stream prepared now has to speak TLS: as the peer offers, else as we want.
    pub(crate) fn chat_uses_tls(&self, config: &SessionConfig) -> bool {
        let offered = self
            .remote_offer
            .as_ref()
            .and_then(|offer| offer.media.iter().find(|media| chat::is_acceptable(media, &config.msrp)));
        offered.map_or(config.msrp.local_use_tls, chat::uses_tls)
    }

    /// Whether the peer's offer begins ICE anew for a stream that runs with it (RFC 8445 §9).
    pub(crate) fn restarts_ice(&self, remote: &ice_stun::ice::Credentials) -> bool {
        let Some(offer) = &self.remote_offer else { return false };
        let said = offer.media.iter().filter(|media| is_audio(media)).find_map(|media| {
            match ice::read(offer, media) {
                RemoteIce::Some(said) => Some(said.0.credentials),
                _ => None,
            }
        });
        said.is_some_and(|said| said != *remote)
    }

    /// Makes an offer of what there is.
    pub(crate) fn offer(&mut self, local: &LocalMedia, config: &SessionConfig) -> Bytes {
        self.stable_lines.clone_from(&self.lines);
        self.place(Line::Audio, local.audio.is_some());
        self.place(Line::Chat, local.chat.is_some());
        // On what the peer holds we don't ask to be heard.
        let direction = Direction::new(!self.held_by_remote, !local.held);
        let mut offer = self.blank(local, config);
        let before = self.negotiator.current_local();
        offer.media = self
            .lines
            .iter()
            .enumerate()
            .map(|(index, line)| match (line, &local.audio, &local.chat) {
                (Line::Audio, Some(local), _) => audio::offer(local, direction, &config.rtp),
                (Line::Chat, _, Some(local)) => chat::offer(local, &config.msrp),
                _ => {
                    let old = before.and_then(|before| before.media.get(index));
                    let old = old.or_else(|| self.remote_line(index));
                    old.map_or_else(unused_line, MediaDescription::refusing)
                }
            })
            .collect();
        let offer = self.negotiator.local_offer(offer).expect("an offer is made between two exchanges");
        self.local_offer = Some(offer.clone());
        self.local = local.clone();
        Bytes::from(offer.to_string())
    }

    /// Reads the peer's offer. Without one (an INVITE without a body) the offer will be ours.
    pub(crate) fn offered(
        &mut self,
        body: Option<&[u8]>,
        config: &SessionConfig,
    ) -> Result<Offered, Refusal> {
        let Some(body) = body else {
            let acceptable = if config.accepts.audio { StreamSet::AUDIO } else { StreamSet::CHAT };
            return Ok(Offered { acceptable: acceptable.with_only(config.accepts) });
        };
        let offer = SessionDescription::parse(body)
            .map_err(|error| Refusal::not_acceptable(format!("the session description: {error}")))?;
        self.negotiator
            .remote_offer(offer.clone())
            .map_err(|error| Refusal::not_acceptable(format!("the offer: {error}")))?;
        self.stable_lines.clone_from(&self.lines);
        let acceptable = StreamSet {
            audio: offer
                .media
                .iter()
                .any(|media| is_audio(media) && audio::is_acceptable(media, &config.rtp)),
            chat: offer.media.iter().any(|media| is_chat(media) && chat::is_acceptable(media, &config.msrp)),
        };
        self.remote_offer = Some(offer);
        Ok(Offered { acceptable })
    }

    /// Answers the peer's offer with what there is.
    pub(crate) fn answer(
        &mut self,
        local: &LocalMedia,
        config: &SessionConfig,
    ) -> Result<(Bytes, Negotiated), NegotiationError> {
        let offer = self.remote_offer.take().ok_or(NegotiationError::NothingInCommon)?;
        let mut negotiated = Negotiated::default();
        let mut answer = self.blank(local, config);
        self.lines.clear();
        for offered in &offer.media {
            let audio = local.audio.as_ref().filter(|_| is_audio(offered) && negotiated.audio.is_none());
            let chat = local.chat.as_ref().filter(|_| is_chat(offered) && negotiated.chat.is_none());
            let (line, media) = if let Some((media, audio)) = audio
                .and_then(|local_audio| audio::answer(&offer, offered, local_audio, local.held, &config.rtp))
            {
                negotiated.take_audio(audio);
                (Line::Audio, media)
            } else if let Some((media, chat)) =
                chat.and_then(|local| chat::answer(offered, local, &config.msrp))
            {
                negotiated.take_chat(chat);
                (Line::Chat, media)
            } else {
                (Line::Unused, offered.refusing())
            };
            self.lines.push(line);
            answer.media.push(media);
        }
        if negotiated.is_empty() {
            self.remote_offer = Some(offer);
            return Err(NegotiationError::NothingInCommon);
        }
        let answer = self
            .negotiator
            .local_answer(answer)
            .map_err(|error| NegotiationError::WrongAnswer(error.to_string()))?;
        let body = Bytes::from(answer.to_string());
        self.held_by_remote = negotiated.held_by_remote;
        Ok((body, negotiated))
    }

    /// Reads the peer's answer to our offer.
    pub(crate) fn answered(
        &mut self,
        body: Option<&[u8]>,
        config: &SessionConfig,
    ) -> Result<Negotiated, NegotiationError> {
        let body = body.ok_or(NegotiationError::NoAnswer)?;
        let answer = SessionDescription::parse(body)
            .map_err(|error| NegotiationError::Unreadable(error.to_string()))?;
        self.negotiator
            .remote_answer(answer.clone())
            .map_err(|error| NegotiationError::WrongAnswer(error.to_string()))?;
        let Some(offer) = self.local_offer.take() else { return Err(NegotiationError::NoAnswer) };
        let mut negotiated = Negotiated::default();
        let pairs = offer.media.iter().zip(&answer.media);
        for (line, (offered, media)) in self.lines.iter_mut().zip(pairs) {
            let came_to = match (*line, &self.local.audio, &self.local.chat) {
                (Line::Audio, Some(local), _) => {
                    audio::answered(offered, &answer, media, local, self.local.held, &config.rtp)?
                        .map(|audio| negotiated.take_audio(audio))
                }
                (Line::Chat, _, Some(local)) => {
                    chat::answered(media, local, &config.msrp)?.map(|chat| negotiated.take_chat(chat))
                }
                _ => None,
            };
            if came_to.is_none() {
                *line = Line::Unused;
            }
        }
        if negotiated.is_empty() {
            return Err(NegotiationError::NothingInCommon);
        }
        self.held_by_remote = negotiated.held_by_remote;
        Ok(negotiated)
    }

    /// Gives the exchange in flight up: what was agreed before holds (RFC 3264 §8, RFC 6141).
    pub(crate) fn rollback(&mut self) {
        if self.local_offer.take().is_some() | self.remote_offer.take().is_some() {
            self.lines.clone_from(&self.stable_lines);
        }
        self.negotiator.rollback();
    }

    /// Finds a line for a stream that there is, and frees the line of one that there is not.
    fn place(&mut self, kind: Line, there: bool) {
        let known = self.lines.contains(&kind);
        if there && !known {
            self.lines.push(kind);
        } else if !there {
            for line in self.lines.iter_mut().filter(|line| **line == kind) {
                *line = Line::Unused;
            }
        }
    }

    fn remote_line(&self, index: usize) -> Option<&MediaDescription> {
        self.negotiator.current_remote().and_then(|remote| remote.media.get(index))
    }

    /// A description of ours without streams; the negotiator counts its version up.
    fn blank(&self, local: &LocalMedia, config: &SessionConfig) -> SessionDescription {
        let ip = local.audio.as_ref().map_or(config.default_address, |audio| audio.rtp.ip());
        let address = Address::from(ip);
        let origin = Origin::new(self.session_id, 1, address.clone());
        let mut description = SessionDescription::new(origin);
        description.connection = Some(Connection::from(address));
        description
    }
}

impl Negotiated {
    fn take_audio(&mut self, other: Negotiated) {
        let Negotiated { audio, audio_transport, audio_sample_rate, held_by_remote, .. } = other;
        *self = Negotiated {
            audio,
            audio_transport,
            audio_sample_rate,
            held_by_remote,
            chat: self.chat.take(),
            chat_transport: std::mem::take(&mut self.chat_transport),
        };
    }

    fn take_chat(&mut self, other: Negotiated) {
        self.chat = other.chat;
        self.chat_transport = other.chat_transport;
    }
}

fn is_audio(media: &MediaDescription) -> bool {
    media.media == MediaKind::Audio
}

fn is_chat(media: &MediaDescription) -> bool {
    media.media == MediaKind::Message && !media.attributes.contains("file-selector")
}

/// A refused line in the place of one that nothing is known of any more.
fn unused_line() -> MediaDescription {
    let mut line = MediaDescription::new(MediaKind::Audio, 0, Protocol::RtpAvp);
    line.formats = Formats::new([0]).expect("a number is a format");
    line
}
