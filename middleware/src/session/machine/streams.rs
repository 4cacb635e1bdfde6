//! The streams of a session: prepared, run, changed, closed; and what media tell of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ice_stun::ice::{Candidate, Credentials};

use super::{
    Context, Direction, MediaCommand, Operation, Originator, Phase, SessionEvent, SessionMachine, State,
    StreamId, StreamSet,
};
use crate::configuration::SrtpPolicy;
use crate::error::Error;
use crate::negotiation::{
    LocalAudio, LocalChat, LocalDtls, LocalIce, LocalMedia, Negotiated, NegotiationError, RemoteSide,
    Trickle, new_credentials, new_tls_id,
};
use crate::notification::MsrpChatEvent;
use crate::session::effect::{
    AudioPreparation, ChatParameters, ChatPreparation, IcePreparation, IceSelection, IceState, MediaEvent,
    RelayPreparation,
};
use crate::session::snapshot::{AudioSnapshot, ChatSnapshot};

/// An audio stream of this session.
#[derive(Debug)]
pub(super) struct AudioStream {
    pub(super) id: StreamId,
    pub(super) local: Option<LocalAudio>,
    /// Ours for ICE, where it is used.
    credentials: Option<Credentials>,
    pub(super) running: bool,
    /// The network is another one, and its media have not followed yet.
    moving: bool,
    /// Whether a packet of the peer came.
    pub(super) heard: bool,
    pub(super) has_dtmf: bool,
    pub(super) recording: Option<Recording>,
}

#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) file_name: String,
    pub(super) started: bool,
    pub(super) stopping: bool,
}

/// An MSRP chat stream of this session.
#[derive(Debug)]
pub(super) struct ChatStream {
    pub(super) id: StreamId,
    pub(super) local: Option<LocalChat>,
    pub(super) running: bool,
    /// Its connection is lost, and another one is to be agreed on.
    pub(super) lost: bool,
    /// Where the peer is.
    remote_path: String,
    /// What it comes to if the peer does not answer another offer (RFC 6714 §4.2).
    pub(super) held_back: Option<Box<ChatParameters>>,
    /// Messages whose fate is not known yet.
    pub(super) outstanding: BTreeSet<String>,
}

impl SessionMachine {
    /// Opens local media for these streams, beside those that there are.
    pub(super) fn prepare(&mut self, context: Context<'_>, streams: StreamSet) {
        if streams.audio {
            let id = self.new_stream();
            let address = self.config.rtp.local_rtp_address.unwrap_or(self.config.default_address);
            let port_range = self.config.rtp.port_range.clone();
            let ice = self.config.rtp.ice().map(|configuration| IcePreparation {
                credentials: new_credentials(&mut self.random),
                // Who makes the offer (RFC 8445 §6.1.1).
                controlling: match self.phase {
                    Phase::Accepting { .. } => !self.description.has_remote_offer(),
                    Phase::Proposed => false,
                    _ => !self.offers_late(),
                },
                configuration,
                trickle: self.may_trickle(),
                every_interface: self.config.rtp.local_rtp_address.is_none(),
            });
            let credentials = ice.as_ref().map(|ice| ice.credentials.clone());
            let preparation = AudioPreparation { address, port_range, ice: ice.map(Box::new) };
            self.audio = Some(AudioStream {
                id,
                local: None,
                credentials,
                running: false,
                moving: false,
                heard: false,
                has_dtmf: false,
                recording: None,
            });
            self.media(MediaCommand::PrepareAudio(id, preparation));
        }
        if streams.chat {
            let id = self.new_stream();
            let preparation = self.msrp_end(self.description.chat_uses_tls(&self.config));
            self.chat = Some(ChatStream {
                id,
                local: None,
                running: false,
                lost: false,
                remote_path: String::new(),
                held_back: None,
                outstanding: BTreeSet::new(),
            });
            self.media(MediaCommand::PrepareChat(id, preparation));
        }
        self.timers.stream_start = Some(context.now + self.config.timers.stream_start);
        self.go_on_if_ready(context);
    }

    /// Where an MSRP stream of this session is to be reached.
    pub(super) fn msrp_end(&self, tls: bool) -> ChatPreparation {
        let msrp = &self.config.msrp;
        let wanted = match self.snapshot.direction {
            Some(Direction::Outgoing) => msrp.use_relay_outgoing,
            _ => msrp.use_relay_incoming,
        };
        let login = self.relay_login.as_ref().filter(|_| wanted);
        let domain = self.snapshot.local_uri.as_ref().map(|uri| uri.host().to_string()).unwrap_or_default();
        let relay = login.map(|(username, password)| RelayPreparation {
            host: msrp.relay_host.clone(),
            port: msrp.relay_port,
            tls: msrp.relay_use_tls.unwrap_or(true),
            websocket: msrp.relay_use_websocket,
            domain,
            username: username.clone(),
            password: Some(password.clone()),
        });
        let address = msrp.local_ip.unwrap_or(self.config.default_address);
        ChatPreparation { address, port: msrp.local_port, tls, relay }
    }

    pub(super) fn new_stream(&mut self) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        id
    }

    /// What the media layer tells of one of this session's streams.
    pub(crate) fn handle_media(&mut self, context: Context<'_>, stream: StreamId, event: MediaEvent) {
        if let MediaEvent::Stopped = event {
            self.stream_stopped(stream);
            return;
        }
        if self.audio.as_ref().is_some_and(|audio| audio.id == stream) {
            self.handle_audio(context, event);
        } else if self.chat.as_ref().is_some_and(|chat| chat.id == stream) {
            self.handle_chat(context, event);
        } else if self.knows_file(stream) {
            self.handle_file(context, stream, event);
        } else if self.stopping.iter().any(|(id, _)| *id == stream) {
            self.handle_late(stream, event);
        }
    }

    fn handle_audio(&mut self, context: Context<'_>, event: MediaEvent) {
        let Some(audio) = &mut self.audio else { return };
        match event {
            MediaEvent::AudioReady { rtp, rtcp, candidates, complete, fingerprint } => {
                let keys = match self.config.rtp.srtp_policy() {
                    SrtpPolicy::Off => Vec::new(),
                    _ => LocalAudio::new_keys(&mut self.random, &self.config.rtp),
                };
                let dtls = fingerprint.and_then(|text| text.parse().ok()).map(|fingerprint| LocalDtls {
                    fingerprint,
                    tls_id: new_tls_id(&mut self.random),
                    agreed: None,
                });
                let ice = audio.credentials.clone().map(|credentials| LocalIce {
                    credentials,
                    candidates,
                    trickle: self.config.rtp.trickles().then(|| Trickle::new(complete)),
                    selected: None,
                    remote: None,
                    before_restart: None,
                });
                audio.local = Some(LocalAudio { rtp, rtcp, keys, dtls, ice, muxed: false });
                self.go_on_if_ready(context);
            }
            MediaEvent::IceCandidates { candidates, complete } => {
                self.found_candidates(context, candidates, complete);
            }
            MediaEvent::AudioMoved { rtp, rtcp, candidates } => {
                self.audio_moved(context, rtp, rtcp, candidates)
            }
            MediaEvent::AudioStays { reason } => {
                if let Some(reason) = reason {
                    tracing::warn!(reason, "audio cannot follow to another network");
                }
                audio.moving = false;
            }
            MediaEvent::AudioReceived { from } => {
                audio.heard = true;
                self.is_heard_early();
                self.timers.no_audio = None;
                self.change_audio(|audio| audio.remote_rtp_received = Some(from));
            }
            MediaEvent::AudioEncrypted { .. } => self.change_audio(|audio| audio.srtp_active = true),
            MediaEvent::IceState { state, selection } => self.ice_went_on(context, state, selection),
            // Who is on hold, or has put us there, need not say anything: a packet that was under way
            // when it began does not change that.
            MediaEvent::AudioLost if self.snapshot.on_hold() => {}
            // Nor need who has not answered yet.
            MediaEvent::AudioLost if !self.phase.state().is_running() => {}
            MediaEvent::AudioLost => {
                self.stream_failed(context, StreamSet::AUDIO, "no audio arrives any more".to_owned());
            }
            MediaEvent::Dtmf(digit) => self.notify(SessionEvent::GotDtmf { digit }),
            MediaEvent::RecordingStarted { file_name } => {
                if let Some(recording) = &mut audio.recording {
                    recording.started = true;
                    self.notify(SessionEvent::DidStartRecordingAudio { file_name });
                }
            }
            MediaEvent::RecordingFailed { file_name, reason } => {
                audio.recording = None;
                self.change_audio(|audio| audio.recording_file_name = None);
                self.notify(SessionEvent::RecordingAudioDidFail { file_name, reason });
            }
            MediaEvent::RecordingStopped { file_name } => {
                audio.recording = None;
                self.change_audio(|audio| audio.recording_file_name = None);
                self.notify(SessionEvent::DidStopRecordingAudio { file_name });
            }
            MediaEvent::Failed { reason, .. } => self.stream_failed(context, StreamSet::AUDIO, reason),
            _ => {}
        }
    }

    /// ICE is further, or back: told; without any way the stream is lost.
    fn ice_went_on(&mut self, context: Context<'_>, state: IceState, selection: Option<IceSelection>) {
        let mut needs_update = false;
        if matches!(state, IceState::Connected | IceState::Completed) {
            self.is_heard_early();
        }
        if let Some(ice) = self.ice_mut() {
            let chosen = selection.filter(|_| matches!(state, IceState::Completed | IceState::Disconnected));
            needs_update = chosen.is_some_and(|chosen| ice.needs_update(&chosen));
            match &mut ice.before_restart {
                // It is of the time before.
                Some((_, selected)) => *selected = chosen,
                None => ice.selected = chosen,
            }
        }
        self.change_audio(|audio| (audio.ice_state, audio.ice_selection) = (Some(state), selection));
        self.notify(SessionEvent::IceStateDidChange { state, selection });
        if state == IceState::Failed && self.audio.as_ref().is_some_and(|audio| audio.moving) {
            // Of the network before; the restart decides.
        } else if state == IceState::Failed {
            let reason = "ICE found no way to the peer, or lost it".to_owned();
            self.stream_failed(context, StreamSet::AUDIO, reason);
        } else if needs_update {
            self.refresh_due(context);
        }
    }

    /// This host has other addresses, and `address` is the one that reaches the outside; `moved`: it was
    /// another one before. Audio follows; the peer is told where we are.
    pub(crate) fn network_changed(&mut self, context: Context<'_>, address: IpAddr, moved: bool) {
        self.config.default_address = address;
        let follows = self.config.rtp.local_rtp_address.is_none();
        match &mut self.audio {
            Some(audio) if follows => {
                audio.moving = true;
                // What is not agreed yet follows once it is.
                if audio.running {
                    self.move_audio();
                }
            }
            _ if moved => self.refresh_due(context),
            _ => {}
        }
    }

    fn move_audio(&mut self) {
        let Some(audio) = &self.audio else { return };
        let (address, port_range) = (self.config.default_address, self.config.rtp.port_range.clone());
        let id = audio.id;
        self.media(MediaCommand::MoveAudio(id, AudioPreparation { address, port_range, ice: None }));
    }

    /// Audio has sockets in the new network: with ICE it begins anew (RFC 8445 §9), without it the peer is
    /// told where to send.
    fn audio_moved(
        &mut self,
        context: Context<'_>,
        rtp: SocketAddr,
        rtcp: SocketAddr,
        candidates: Vec<Candidate>,
    ) {
        let Some(audio) = &mut self.audio else { return };
        let Some(local) = &mut audio.local else { return };
        (local.rtp, local.rtcp) = (rtp, rtcp);
        match &mut local.ice {
            Some(ice) if ice.remote.is_some() => {
                ice.candidates.clear();
                ice.found(candidates, true);
                self.restart_due(context);
            }
            _ => {
                audio.moving = false;
                self.refresh_due(context);
            }
        }
    }

    /// Whatever ICE comes to from now on is of the network that we are in.
    pub(super) fn audio_settled(&mut self) {
        if let Some(audio) = &mut self.audio {
            audio.moving = false;
        }
    }

    pub(super) fn ice_mut(&mut self) -> Option<&mut LocalIce> {
        self.audio.as_mut()?.local.as_mut()?.ice.as_mut()
    }

    /// Looks for a way anew: when it is known that the old one won't do.
    pub(crate) fn restart_ice(&mut self, context: Context<'_>) -> Result<(), Error> {
        let operation = Operation::RestartIce;
        self.check(operation)?;
        if self.ice_mut().is_none_or(|ice| ice.remote.is_none()) {
            return Err(Error::not_possible(operation, "the session has no audio with ICE"));
        }
        self.restart_due(context);
        Ok(())
    }

    fn handle_chat(&mut self, context: Context<'_>, event: MediaEvent) {
        let Some(chat) = &mut self.chat else { return };
        match event {
            MediaEvent::ChatReady { path, fingerprint } => {
                chat.local = Some(LocalChat { path, fingerprint });
                self.notify(MsrpChatEvent::DidInitialize);
                self.go_on_if_ready(context);
            }
            MediaEvent::ChatStarted => {
                self.change(|snapshot| {
                    if let Some(chat) = &mut snapshot.chat {
                        chat.is_started = true;
                    }
                });
                self.notify(MsrpChatEvent::DidStart);
            }
            MediaEvent::ChatLost { path, fingerprint, reason } => {
                (chat.local, chat.lost) = (Some(LocalChat { path, fingerprint }), true);
                self.chat_lost(context, reason);
            }
            MediaEvent::ChatTold(event) => self.notify(event),
            MediaEvent::ChatMessage(message) => self.notify(SessionEvent::GotMessage {
                content: message.content,
                content_type: message.content_type,
                cpim_headers: message.cpim_headers,
                message_id: message.message_id,
            }),
            // Each message has one fate; what comes later about it is not told again.
            MediaEvent::ChatDelivered { message_id, code, reason }
                if chat.outstanding.remove(&message_id) =>
            {
                self.notify(SessionEvent::DidDeliverMessage { message_id, code, reason });
            }
            MediaEvent::ChatNotDelivered { message_id, code, reason }
                if chat.outstanding.remove(&message_id) =>
            {
                self.notify(SessionEvent::DidNotDeliverMessage { message_id, code, reason });
            }
            // The peer may close the connection before it tells why.
            MediaEvent::Failed { .. } if self.leaving().chat || self.state() == State::Terminating => {
                self.close(context, StreamSet::CHAT);
            }
            MediaEvent::Failed { context: place, reason } => {
                self.notify(MsrpChatEvent::DidFail { context: place, reason: reason.clone() });
                self.give_up_messages(&reason);
                self.stream_failed(context, StreamSet::CHAT, reason);
            }
            _ => {}
        }
    }

    /// The connection is gone while the session stands (RFC 4975 §5.4: another one takes another exchange).
    /// A peer that hangs up may close it before it says so: who called gives it a moment, who was called gives the
    /// caller the time to come back.
    fn chat_lost(&mut self, context: Context<'_>, reason: String) {
        if self.leaving().chat || self.state() == State::Terminating {
            self.close(context, StreamSet::CHAT);
            return;
        }
        self.change(|snapshot| {
            if let Some(chat) = &mut snapshot.chat {
                chat.is_started = false;
            }
        });
        self.notify(MsrpChatEvent::DidLoseConnection { reason });
        let wait = match self.snapshot.direction {
            Some(Direction::Outgoing) => self.config.timers.chat_reconnect,
            _ => 8 * self.config.timers.chat_reconnect,
        };
        self.timers.reconnect = Some(context.now + wait);
    }

    /// It is time to ask for another connection.
    pub(super) fn reconnect(&mut self, context: Context<'_>) {
        if self.chat.as_ref().is_some_and(|chat| chat.lost) {
            self.refresh_due(context);
        }
    }

    /// From a stream that was asked to stop: only what completes something is still of interest.
    fn handle_late(&mut self, stream: StreamId, event: MediaEvent) {
        if let MediaEvent::RecordingStopped { file_name } = event {
            self.change_audio(|audio| audio.recording_file_name = None);
            self.notify(SessionEvent::DidStopRecordingAudio { file_name });
        } else {
            self.handle_late_file(stream, event);
        }
    }

    /// All local media that were asked for are there: the next step of the negotiation.
    pub(super) fn go_on_if_ready(&mut self, context: Context<'_>) {
        let audio = self.audio.as_ref().is_none_or(|audio| audio.local.is_some());
        let chat = self.chat.as_ref().is_none_or(|chat| chat.local.is_some());
        if !(audio && chat && self.files_ready()) {
            return;
        }
        self.timers.stream_start = None;
        match self.phase {
            Phase::Calling { .. } => self.invite(context),
            Phase::Incoming => self.answer_early(context),
            Phase::Accepting { .. } => self.answer(context),
            Phase::Proposing => self.send_exchange(context),
            Phase::Proposed => self.answer_proposal(context),
            _ => {}
        }
    }

    pub(super) fn local_media(&self) -> LocalMedia {
        let leaving = self.leaving();
        LocalMedia {
            audio: self.audio.as_ref().filter(|_| !leaving.audio).and_then(|audio| audio.local.clone()),
            chat: self.chat.as_ref().filter(|_| !leaving.chat).and_then(|chat| chat.local.clone()),
            files: self.local_files(),
            held: self.snapshot.on_hold_by_local,
        }
    }

    pub(super) fn make_offer(&mut self) -> Bytes {
        let local = self.local_media();
        self.candidates_told();
        self.description.offer(&local, &self.config)
    }

    pub(super) fn make_answer(&mut self) -> Result<(Bytes, Negotiated), NegotiationError> {
        let known = self.ice_mut().and_then(|ice| ice.remote.as_ref()).map(|it| it.credentials.clone());
        if known.is_some_and(|known| self.description.restarts_ice(&known)) {
            let credentials = new_credentials(&mut self.random);
            if let Some(ice) = self.ice_mut() {
                (ice.credentials, ice.selected, ice.before_restart) = (credentials, None, None);
            }
        }
        let local = self.local_media();
        self.candidates_told();
        self.description.answer(&local, &self.config)
    }

    /// Runs what was negotiated and closes what was not.
    pub(super) fn apply(&mut self, context: Context<'_>, negotiated: &Negotiated) {
        self.apply_audio(context, negotiated);
        self.apply_chat(context, negotiated);
        self.apply_files(negotiated);
        self.set_remote_hold(negotiated.held_by_remote);
        if negotiated.without_cema {
            self.refresh_due(context);
        }
    }

    /// The other offer came to nothing: MSRP streams that waited for it run as the last answer has it.
    pub(super) fn run_held_back(&mut self) {
        if let Some(chat) = &mut self.chat
            && let (id, Some(parameters)) = (chat.id, chat.held_back.take())
        {
            self.media(MediaCommand::RunChat(id, parameters));
        }
        self.run_held_back_files();
    }

    pub(super) fn apply_audio(&mut self, context: Context<'_>, negotiated: &Negotiated) {
        match (&negotiated.audio, &mut self.audio) {
            (Some(parameters), Some(audio)) => {
                let local_rtp: Option<SocketAddr> = audio.local.as_ref().map(|local| local.rtp);
                let id = audio.id;
                let trickles = self.peer_trickles && self.config.rtp.trickles();
                let mut parameters = parameters.clone();
                if let Some(ice) = &mut parameters.ice {
                    // Who does not say in SIP that candidates follow has told all of them.
                    ice.complete |= !trickles;
                }
                let first = !std::mem::replace(&mut audio.running, true);
                audio.has_dtmf = parameters.dtmf.is_some();
                let mut srtp_active = true;
                if let Some(local) = &mut audio.local {
                    local.muxed = parameters.rtcp_mux;
                    if let Some(ours) = &mut local.dtls {
                        if ours.agreed.as_ref() != parameters.dtls.as_deref() {
                            srtp_active = false;
                        }
                        ours.agreed = parameters.dtls.as_deref().cloned();
                    }
                    if let Some(ours) = &mut local.ice {
                        ours.remote = parameters.ice.as_ref().map(|ice| RemoteSide {
                            credentials: ice.remote.credentials.clone(),
                            ice2: ice.remote.options.ice2,
                            trickles: trickles && ice.remote.options.trickle,
                            candidates: ice.candidates.clone(),
                            rtp: parameters.remote_rtp,
                        });
                        ours.before_restart = None;
                    }
                }
                parameters.silence = self.config.timers.rtp_silence;
                self.change(|snapshot| {
                    let audio = snapshot.audio.get_or_insert_default();
                    audio.transport = negotiated.audio_transport.clone();
                    audio.sample_rate = Some(negotiated.audio_sample_rate);
                    audio.codec = Some(parameters.codec.clone());
                    // Keys by DTLS come later, or are there and stay.
                    audio.srtp_active = match parameters.dtls {
                        Some(_) => audio.srtp_active && srtp_active,
                        None => parameters.srtp.is_some(),
                    };
                    audio.local_rtp = local_rtp;
                    audio.remote_rtp_sdp = Some((parameters.remote_rtp.ip(), parameters.remote_rtp.port()));
                });
                self.media(MediaCommand::RunAudio(id, Box::new(parameters)));
                self.take_early_candidates();
                if first && self.audio.as_ref().is_some_and(|audio| audio.moving) {
                    self.move_audio();
                }
                if first && matches!(self.state(), State::Proposing | State::Proposed) {
                    self.timers.no_audio = Some(context.now + self.config.timers.no_audio);
                }
            }
            (None, Some(_)) => self.close(context, StreamSet::AUDIO),
            (_, None) => {}
        }
    }

    fn apply_chat(&mut self, context: Context<'_>, negotiated: &Negotiated) {
        match (&negotiated.chat, &mut self.chat) {
            (Some(parameters), Some(chat)) => {
                let id = chat.id;
                let mut parameters = parameters.clone();
                let moved = chat.lost || chat.remote_path != parameters.remote_path;
                let waited = chat.held_back.take().is_some();
                let runs = std::mem::replace(&mut chat.running, true) && !moved && !waited;
                chat.lost = false;
                chat.remote_path.clone_from(&parameters.remote_path);
                self.timers.reconnect = None;
                parameters.start_timeout = self.config.timers.stream_start;
                // As long as the exchange may take.
                parameters.reconnect_patience = 4 * self.config.timers.stream_start;
                parameters.reconnect = self.config.msrp.reconnect;
                parameters.notify_delivery = self.config.msrp.notify_delivery;
                parameters.local_uri =
                    self.snapshot.local_uri.as_ref().map(ToString::to_string).unwrap_or_default();
                parameters.remote_uri =
                    self.snapshot.remote_uri.as_ref().map(ToString::to_string).unwrap_or_default();
                self.change(|snapshot| {
                    let chat = snapshot.chat.get_or_insert_with(ChatSnapshot::default);
                    chat.transport = negotiated.chat_transport.clone();
                    chat.cpim_enabled = parameters.cpim;
                });
                let parameters = Box::new(parameters);
                match &mut self.chat {
                    Some(chat) if !runs && negotiated.without_cema => chat.held_back = Some(parameters),
                    _ if !runs => self.media(MediaCommand::RunChat(id, parameters)),
                    _ => {}
                }
            }
            (None, Some(_)) => self.close(context, StreamSet::CHAT),
            (_, None) => {}
        }
    }

    fn set_remote_hold(&mut self, held: bool) {
        if held == self.snapshot.on_hold_by_remote {
            return;
        }
        self.change(|snapshot| snapshot.on_hold_by_remote = held);
        self.pause_recording();
        let originator = Originator::Remote;
        self.notify(match held {
            true => SessionEvent::GotHoldRequest { originator },
            false => SessionEvent::GotUnholdRequest { originator },
        });
    }

    /// A recording leaves out what is said on hold.
    pub(super) fn pause_recording(&mut self) {
        let paused = self.snapshot.on_hold();
        if let Some(AudioStream { id, recording: Some(_), .. }) = self.audio {
            self.media(MediaCommand::PauseRecording(id, paused));
        }
    }

    /// Asks streams to stop, and tells of what ends with them.
    pub(super) fn close(&mut self, _context: Context<'_>, streams: StreamSet) {
        if streams.audio
            && let Some(audio) = self.audio.take()
        {
            self.timers.no_audio = None;
            if let Some(Recording { file_name, started: true, stopping: false }) = audio.recording {
                self.notify(SessionEvent::WillStopRecordingAudio { file_name });
            }
            self.stopping.push((audio.id, false));
            self.media(MediaCommand::StopAudio(audio.id));
        }
        if streams.chat
            && let Some(chat) = &self.chat
        {
            let (id, ran) = (chat.id, chat.running);
            if ran {
                self.notify(MsrpChatEvent::WillEnd);
            }
            self.give_up_messages("the chat has ended");
            self.stopping.push((id, ran));
            self.media(MediaCommand::StopChat(id));
            self.chat = None;
        }
        if streams.file {
            // Of a proposal that came to nothing the files that ran before go on.
            let only_offered = matches!(self.state(), State::Proposing | State::Proposed);
            self.close_files(only_offered);
        }
    }

    /// Tells of each message whose fate is not known that it was not delivered.
    fn give_up_messages(&mut self, reason: &str) {
        let Some(chat) = &mut self.chat else { return };
        for message_id in std::mem::take(&mut chat.outstanding) {
            self.notify(SessionEvent::DidNotDeliverMessage {
                message_id,
                code: 0,
                reason: reason.to_owned(),
            });
        }
    }

    fn stream_stopped(&mut self, stream: StreamId) {
        let Some(index) = self.stopping.iter().position(|(id, _)| *id == stream) else { return };
        let (_, was_chat) = self.stopping.swap_remove(index);
        if was_chat {
            self.notify(MsrpChatEvent::DidEnd);
        }
        self.file_stopped(stream);
        self.finish_if_wound_down();
    }

    /// The local media are not ready in time.
    pub(super) fn streams_did_not_start(&mut self, context: Context<'_>) {
        let missing = StreamSet {
            audio: self.audio.as_ref().is_some_and(|audio| audio.local.is_none()),
            chat: self.chat.as_ref().is_some_and(|chat| chat.local.is_none()),
            file: false,
        };
        if !missing.is_empty() {
            self.stream_failed(context, missing, "the local media are not ready in time".to_owned());
        }
    }

    /// A stream failed: fatal while the session is set up; later only if it was the last one.
    fn stream_failed(&mut self, context: Context<'_>, streams: StreamSet, reason: String) {
        match self.state() {
            State::Calling | State::Incoming | State::Accepting => self.media_failed(context, reason),
            State::Proposing | State::Proposed => self.proposal_media_failed(context, streams, &reason),
            State::Established => self.stream_lost(context, streams, &reason),
            State::Null | State::Terminating | State::Terminated => {}
        }
    }

    /// A running stream is gone: the others go on without it; without others the session ends.
    pub(super) fn stream_lost(&mut self, context: Context<'_>, streams: StreamSet, reason: &str) {
        if self.streams().without(streams).is_empty() {
            self.sip_hang_up();
            self.fail(context, Originator::Local, 0, reason.to_owned());
        } else if matches!(self.state(), State::Established) {
            self.lose(context, streams);
        }
    }

    pub(super) fn streams(&self) -> StreamSet {
        StreamSet { audio: self.audio.is_some(), chat: self.chat.is_some(), file: self.has_files() }
    }

    pub(super) fn forget(&mut self, streams: StreamSet) {
        self.change(|snapshot| {
            if streams.audio {
                snapshot.audio = None;
            }
            if streams.chat {
                snapshot.chat = None;
            }
        });
    }

    pub(super) fn change_audio(&mut self, change: impl FnOnce(&mut AudioSnapshot)) {
        if self.snapshot.audio.is_some() {
            self.change(|snapshot| {
                if let Some(audio) = &mut snapshot.audio {
                    change(audio);
                }
            });
        }
    }
}
