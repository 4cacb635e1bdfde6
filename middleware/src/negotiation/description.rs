//! A session's side of offer and answer (RFC 3264).

use std::collections::BTreeSet;

use bytes::Bytes;
use sdp::attribute::{Direction, IceLite, Mid};
use sdp::{
    Address, Connection, Formats, MediaDescription, MediaKind, NegotiationState, Negotiator, Origin,
    Protocol, SessionDescription,
};

use super::ice::{self, RemoteIce};
use super::{LocalMedia, Negotiated, NegotiationError, Offered, OfferedFile, Refusal, audio, chat, file};
use crate::session::machine::SessionConfig;
use crate::session::{StreamId, StreamSet};

/// What was offered, what was answered, and which m-line is whose.
#[derive(Clone, Debug)]
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
    /// File transfers that were named in this session.
    transfers: BTreeSet<String>,
    /// An answer showed that something on the way does not go with `a=msrp-cema`.
    without_cema: bool,
}

/// File transfers that a session may have in its life.
const MAX_TRANSFERS: usize = 4_096;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Line {
    Audio,
    Chat,
    File(StreamId),
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
            transfers: BTreeSet::new(),
            without_cema: false,
        }
    }

    /// One of which nothing is agreed yet: for another dialog of the same call.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.session_id)
    }

    pub(crate) fn has_remote_offer(&self) -> bool {
        self.remote_offer.is_some()
    }

    pub(crate) fn has_local_offer(&self) -> bool {
        self.local_offer.is_some()
    }

    /// Whether an offer was answered, and none waits.
    pub(crate) fn is_agreed(&self) -> bool {
        self.negotiator.state() == NegotiationState::Stable && self.negotiator.current_local().is_some()
    }

    /// Whether a chat stream prepared now has to speak TLS: as the peer offers, else as we want.
    pub(crate) fn chat_uses_tls(&self, config: &SessionConfig) -> bool {
        let offered = self.remote_offer.as_ref().and_then(|offer| {
            let mut lines = offer.media.iter().enumerate();
            lines.find(|(index, media)| self.takes_chat(offer, *index, media, config)).map(|(_, media)| media)
        });
        offered.map_or(config.msrp.local_use_tls, chat::uses_tls)
    }

    /// Whether the peer's offer begins ICE anew for a stream that runs with it (RFC 8445 §9).
    pub(crate) fn restarts_ice(&self, remote: &ice_stun::ice::Credentials) -> bool {
        let Some(offer) = &self.remote_offer else { return false };
        let said = offer.media.iter().filter(|media| is_audio(media)).find_map(|media| {
            match ice::read(offer, media) {
                RemoteIce::Some(said) => Some(said.parameters.credentials),
                _ => None,
            }
        });
        said.is_some_and(|said| said != *remote)
    }

    /// Whether the peer's offer says that candidates follow, or may.
    pub(crate) fn offer_trickles(&self) -> bool {
        let Some(offer) = &self.remote_offer else { return false };
        let mut audio = offer.media.iter().filter(|media| is_audio(media));
        audio.any(|media| {
            let said = ice::read(offer, media);
            let trickles = matches!(said, RemoteIce::Some(said) if said.parameters.options.trickle);
            trickles && media.attributes.contains("mid")
        })
    }

    /// What the m-line of audio is called (RFC 5888), agreed or in the offer that is out.
    pub(crate) fn audio_mid(&self) -> Option<&str> {
        let index = self.lines.iter().position(|line| *line == Line::Audio)?;
        let known = self.negotiator.current_local().into_iter().chain(&self.local_offer);
        known.filter_map(|known| known.media.get(index)?.attributes.value("mid")).next()
    }

    /// Gives each m-line the name that it has, or one (RFC 8840 §4.1.1).
    fn name_lines(&self, media: &mut [MediaDescription]) {
        let known = [self.negotiator.current_local(), self.negotiator.current_remote()];
        for index in 0..media.len() {
            let before = known.iter().flatten().find_map(|it| it.media.get(index)?.attributes.value("mid"));
            let mut name = before.map_or_else(|| index.to_string(), str::to_owned);
            while before.is_none() && media.iter().any(|it| it.attributes.value("mid") == Some(&name)) {
                name.push('x');
            }
            if let Some(media) = media.get_mut(index).filter(|it| !it.attributes.contains("mid")) {
                audio::push(media, &Mid(name));
            }
        }
    }

    fn takes_chat(
        &self,
        offer: &SessionDescription,
        index: usize,
        media: &MediaDescription,
        config: &SessionConfig,
    ) -> bool {
        is_chat(media) && chat::is_acceptable(offer, media, self.remote_line(index), &config.msrp)
    }

    /// Makes an offer of what there is.
    pub(crate) fn offer(&mut self, local: &LocalMedia, config: &SessionConfig) -> Bytes {
        self.stable_lines.clone_from(&self.lines);
        self.place(Line::Audio, local.audio.is_some());
        self.place(Line::Chat, local.chat.is_some());
        self.place_files(local);
        // On what the peer holds we don't ask to be heard.
        let direction = Direction::new(!self.held_by_remote, !local.held);
        let mut offer = self.blank(local, config);
        let before = self.negotiator.current_local();
        let (local_files, says_cema) = (local.files.as_slice(), !self.without_cema);
        offer.media = self
            .lines
            .iter()
            .enumerate()
            .map(|(index, line)| match (line, &local.audio, &local.chat) {
                (Line::Audio, Some(local), _) => audio::offer(local, direction, &config.rtp),
                (Line::Chat, _, Some(local)) => chat::offer(local, says_cema, &config.msrp),
                (Line::File(id), _, _) if find_file(local_files, *id).is_some() => {
                    let local = find_file(local_files, *id).expect("it was found just now");
                    file::offer(local, says_cema, &config.msrp)
                }
                _ => {
                    let old = before.and_then(|before| before.media.get(index));
                    let old = old.or_else(|| self.remote_line(index));
                    old.map_or_else(unused_line, refusing)
                }
            })
            .collect();
        share_connection(&mut offer);
        if trickles(local) {
            self.name_lines(&mut offer.media);
        }
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
            return Ok(Offered { acceptable: acceptable.with_only(config.accepts), files: Vec::new() });
        };
        let offer = SessionDescription::parse(body)
            .map_err(|error| Refusal::not_acceptable(format!("the session description: {error}")))?;
        self.negotiator
            .remote_offer(offer.clone())
            .map_err(|error| Refusal::not_acceptable(format!("the offer: {error}")))?;
        self.stable_lines.clone_from(&self.lines);
        let files = self.offered_files(&offer, config);
        let acceptable = StreamSet {
            file: !files.is_empty(),
            audio: offer
                .media
                .iter()
                .any(|media| is_audio(media) && audio::is_acceptable(&offer, media, &config.rtp)),
            chat: (offer.media.iter().enumerate())
                .any(|(index, media)| self.takes_chat(&offer, index, media, config)),
        };
        self.remote_offer = Some(offer);
        Ok(Offered { acceptable, files })
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
        let before = std::mem::take(&mut self.lines);
        for (index, offered) in offer.media.iter().enumerate() {
            let mut files = local.files.iter().filter(|file| {
                file.line == Some(index) || before.get(index) == Some(&Line::File(file.stream))
            });
            let audio = local.audio.as_ref().filter(|_| is_audio(offered) && negotiated.audio.is_none());
            let takes_chat = negotiated.chat.is_none() && self.takes_chat(&offer, index, offered, config);
            let chat = local.chat.as_ref().filter(|_| takes_chat);
            let (line, media) = if let Some((media, audio)) = audio
                .and_then(|local_audio| audio::answer(&offer, offered, local_audio, local.held, &config.rtp))
            {
                negotiated.take_audio(audio);
                (Line::Audio, media)
            } else if let Some((media, chat)) =
                chat.and_then(|local| chat::answer(&offer, offered, local, &config.msrp))
            {
                negotiated.take_chat(chat);
                (Line::Chat, media)
            } else if let Some((id, (media, file))) = files
                .find_map(|local| Some((local.stream, file::answer(&offer, offered, local, &config.msrp)?)))
            {
                negotiated.take_file(file);
                (Line::File(id), media)
            } else {
                (Line::Unused, refusing(offered))
            };
            let mut media = media;
            if let Some(mid) = offered.attributes.find::<Mid>().filter(|_| trickles(local))
                && !media.attributes.contains("mid")
            {
                audio::push(&mut media, &mid);
            }
            self.lines.push(line);
            answer.media.push(media);
        }
        if negotiated.is_empty() {
            self.remote_offer = Some(offer);
            return Err(NegotiationError::NothingInCommon);
        }
        share_connection(&mut answer);
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
                (Line::Chat, _, Some(local)) => chat::answered(offered, &answer, media, local, &config.msrp)?
                    .map(|chat| negotiated.take_chat(chat)),
                (Line::File(id), _, _) => match find_file(&self.local.files, id) {
                    Some(local) => {
                        file::answered(offered, &answer, media, local).map(|file| negotiated.take_file(file))
                    }
                    None => None,
                },
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
        self.without_cema |= negotiated.without_cema;
        Ok(negotiated)
    }

    /// Gives the exchange in flight up: what was agreed before holds (RFC 3264 §8, RFC 6141).
    pub(crate) fn rollback(&mut self) {
        if self.local_offer.take().is_some() | self.remote_offer.take().is_some() {
            self.lines.clone_from(&self.stable_lines);
        }
        self.negotiator.rollback();
    }

    /// The files of an offer that are new here.
    fn offered_files(&self, offer: &SessionDescription, config: &SessionConfig) -> Vec<OfferedFile> {
        let mut files: Vec<OfferedFile> = Vec::new();
        for (line, media) in offer.media.iter().enumerate().filter(|(_, media)| file::is_file(media)) {
            let Some(proposed) = file::proposed(line, offer, media, &config.msrp) else { continue };
            // RFC 5547 §8.1: a transfer that was named before is not another one.
            if self.transfers.contains(&proposed.transfer_id)
                || files.iter().any(|other| other.file.transfer_id == proposed.transfer_id)
                || self.transfers.len() + files.len() >= MAX_TRANSFERS
            {
                continue;
            }
            let (tls, icon) = (chat::uses_tls(media), file::icon(media));
            files.push(OfferedFile { line, tls, icon, file: proposed });
        }
        files
    }

    /// Says that a transfer was named in this session; the name is never used for another.
    pub(crate) fn name_transfer(&mut self, transfer_id: &str) {
        self.transfers.insert(transfer_id.to_owned());
    }

    /// Whether an m-line is there for this transfer.
    pub(crate) fn has_file(&self, stream: StreamId) -> bool {
        self.lines.contains(&Line::File(stream))
    }

    /// RFC 5547 §8.6: new files take new lines; those that are over free theirs.
    fn place_files(&mut self, local: &LocalMedia) {
        for line in &mut self.lines {
            if matches!(line, Line::File(id) if find_file(&local.files, *id).is_none()) {
                *line = Line::Unused;
            }
        }
        for file in &local.files {
            if !self.lines.contains(&Line::File(file.stream)) {
                self.lines.push(Line::File(file.stream));
            }
        }
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
        // RFC 8839 §5.3: of the session, not of a medium.
        if config.rtp.ice_lite && local.audio.as_ref().is_some_and(|audio| audio.ice.is_some()) {
            description.attributes.push(&IceLite).expect("a flag fits its line");
        }
        description
    }
}

impl Negotiated {
    fn take_audio(&mut self, other: Negotiated) {
        self.audio = other.audio;
        self.audio_transport = other.audio_transport;
        self.audio_sample_rate = other.audio_sample_rate;
        self.held_by_remote = other.held_by_remote;
    }

    fn take_chat(&mut self, other: Negotiated) {
        self.chat = other.chat;
        self.chat_transport = other.chat_transport;
        self.without_cema |= other.without_cema;
    }

    fn take_file(&mut self, other: Negotiated) {
        self.files.extend(other.files);
        self.without_cema |= other.without_cema;
    }
}

fn is_audio(media: &MediaDescription) -> bool {
    media.media == MediaKind::Audio
}

/// Whether candidates may follow, so that m-lines need names.
fn trickles(local: &LocalMedia) -> bool {
    local.audio.as_ref().and_then(|audio| audio.ice.as_ref()).is_some_and(|ice| ice.trickle.is_some())
}

fn is_chat(media: &MediaDescription) -> bool {
    media.media == MediaKind::Message && !media.attributes.contains("file-selector")
}

/// A c= line that says what the session's says need not stand with a stream.
fn share_connection(description: &mut SessionDescription) {
    for media in &mut description.media {
        if media.connections.first() == description.connection.as_ref() {
            media.connections.clear();
        }
    }
}

fn find_file(files: &[super::LocalFile], stream: StreamId) -> Option<&super::LocalFile> {
    files.iter().find(|file| file.stream == stream)
}

/// RFC 5547 §8.1: a refused file transfer keeps its name.
fn refusing(media: &MediaDescription) -> MediaDescription {
    let mut refusal = media.refusing();
    if let Some(id) = media.attributes.value("file-transfer-id") {
        // It was read from a line, so that it fits one.
        let _ = refusal.attributes.push_text("file-transfer-id", Some(id));
    }
    refusal
}

/// A refused line in the place of one that nothing is known of any more.
fn unused_line() -> MediaDescription {
    let mut line = MediaDescription::new(MediaKind::Audio, 0, Protocol::RtpAvp);
    line.formats = Formats::new([0]).expect("a number is a format");
    line
}
