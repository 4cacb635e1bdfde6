//! The streams of a session: prepared, run, changed, closed; and what media tell of them.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::audio::{AudioStream, Recording};
use super::chat::ChatStream;
use super::{
    Context, Direction, MediaCommand, Originator, Phase, SessionEvent, SessionMachine, State, StreamId,
    StreamSet,
};
use crate::negotiation::{LocalMedia, Negotiated, NegotiationError, new_credentials};
use crate::notification::MsrpChatEvent;
use crate::session::effect::{
    AudioPreparation, ChatPreparation, IcePreparation, MediaEvent, RelayPreparation,
};

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
    pub(super) fn stream_failed(&mut self, context: Context<'_>, streams: StreamSet, reason: String) {
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
}
