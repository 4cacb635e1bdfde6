//! What can be asked of a running session beside changes of its streams.

use std::path::PathBuf;

use bytes::Bytes;

use super::audio::Recording;
use super::{Context, MediaCommand, Operation, SessionEvent, SessionMachine};
use crate::error::Error;
use crate::session::effect::{ChatAction, ChatMessage, SipAction};
use crate::session::{ConferenceId, DtmfMethod};

impl SessionMachine {
    /// Records both sides into a WAV file. `path` is complete: folder and file name.
    pub(crate) fn start_recording(&mut self, _context: Context<'_>, path: PathBuf) -> Result<(), Error> {
        let operation = Operation::StartRecordingAudio;
        self.check(operation)?;
        let Some(audio) = &mut self.audio else {
            return Err(Error::not_possible(operation, "the session has no audio"));
        };
        if audio.recording.is_some() {
            return Err(Error::not_possible(operation, "it is being recorded already"));
        }
        let id = audio.id;
        let file_name = path.to_string_lossy().into_owned();
        audio.recording = Some(Recording { file_name: file_name.clone(), started: false, stopping: false });
        self.change_audio(|audio| audio.recording_file_name = Some(file_name.clone()));
        self.notify(SessionEvent::WillStartRecordingAudio { file_name });
        self.media(MediaCommand::StartRecording(id, path));
        if self.snapshot.on_hold() {
            self.pause_recording();
        }
        Ok(())
    }

    /// Closes the recording.
    pub(crate) fn stop_recording(&mut self, _context: Context<'_>) -> Result<(), Error> {
        let operation = Operation::StopRecordingAudio;
        self.check(operation)?;
        let recording = self.audio.as_mut().and_then(|audio| audio.recording.as_mut());
        let Some(recording) = recording.filter(|recording| !recording.stopping) else {
            return Err(Error::not_possible(operation, "nothing is being recorded"));
        };
        recording.stopping = true;
        let file_name = recording.file_name.clone();
        self.notify(SessionEvent::WillStopRecordingAudio { file_name });
        if let Some(audio) = &self.audio {
            let id = audio.id;
            self.media(MediaCommand::StopRecording(id));
        }
        Ok(())
    }

    /// Lets the application's own audio speak and hear.
    pub(crate) fn attach_pcm(&mut self, _context: Context<'_>, number: u64) -> Result<(), Error> {
        let operation = Operation::AttachPcm;
        self.check(operation)?;
        let Some(audio) = &self.audio else {
            return Err(Error::not_possible(operation, "the session has no audio"));
        };
        let id = audio.id;
        self.media(MediaCommand::AttachPcm(id, number));
        Ok(())
    }

    /// Lets the peer hear silence of us, or us again.
    pub(crate) fn set_muted(&mut self, _context: Context<'_>, muted: bool) -> Result<(), Error> {
        let operation = Operation::SetMuted;
        self.check(operation)?;
        let Some(audio) = &self.audio else {
            return Err(Error::not_possible(operation, "the session has no audio"));
        };
        let id = audio.id;
        self.change_audio(|audio| audio.muted = muted);
        self.media(MediaCommand::SetMuted(id, muted));
        Ok(())
    }

    /// Presses a key.
    pub(crate) fn send_dtmf(
        &mut self,
        _context: Context<'_>,
        digit: char,
        method: DtmfMethod,
    ) -> Result<(), Error> {
        let operation = Operation::SendDtmf;
        self.check(operation)?;
        let digit = digit.to_ascii_uppercase();
        if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') {
            let value = digit.to_string();
            return Err(Error::BadValue { what: "digit", value, expected: "one of 0-9 * # A-D" });
        }
        match &self.audio {
            None => Err(Error::not_possible(operation, "the session has no audio")),
            Some(audio) if method == DtmfMethod::Rtp && !audio.has_dtmf => {
                Err(Error::not_possible(operation, "telephone-event was not negotiated"))
            }
            Some(audio) => {
                let id = audio.id;
                match method {
                    DtmfMethod::Rtp => self.media(MediaCommand::SendDtmf(id, digit)),
                    DtmfMethod::InBand => self.media(MediaCommand::SendTone(id, digit)),
                    DtmfMethod::Info => self.sip(SipAction::Info { digit }),
                }
                Ok(())
            }
        }
    }

    /// A key press of the peer's that came in INFO.
    pub(super) fn got_dtmf(&mut self, digit: char) {
        if self.audio.is_some() {
            self.notify(SessionEvent::GotDtmf { digit });
        }
    }

    /// Puts the audio into a conference, out of the one that it may be in, or takes it out.
    pub(crate) fn set_conference(
        &mut self,
        _context: Context<'_>,
        conference: Option<ConferenceId>,
    ) -> Result<(), Error> {
        let operation = match conference {
            Some(_) => Operation::JoinConference,
            None => Operation::LeaveConference,
        };
        self.check(operation)?;
        let Some(audio) = self.audio.as_ref().filter(|audio| audio.running) else {
            return Err(Error::not_possible(operation, "the session has no audio"));
        };
        let (id, before) = (audio.id, self.snapshot.audio.as_ref().and_then(|audio| audio.conference));
        if conference.is_none() && before.is_none() {
            return Err(Error::not_possible(operation, "it is in no conference"));
        }
        if before != conference {
            self.change_audio(|audio| audio.conference = conference);
            self.media(MediaCommand::Confer(id, conference));
        }
        Ok(())
    }

    /// Sends a chat message; returns its id. One notification will tell of its fate.
    pub(crate) fn send_message(
        &mut self,
        _context: Context<'_>,
        content: Bytes,
        content_type: String,
        to: Option<String>,
        date_time: Option<String>,
        notify: bool,
    ) -> Result<String, Error> {
        let operation = Operation::SendMessage;
        self.check(operation)?;
        if self.chat.is_none() {
            return Err(Error::not_possible(operation, "the session has no chat"));
        }
        if !is_media_type(&content_type) {
            return Err(Error::BadValue {
                what: "content_type",
                value: content_type,
                expected: "type/subtype",
            });
        }
        let message_id = self.token();
        if let Some(chat) = &mut self.chat {
            chat.outstanding.insert(message_id.clone());
            let id = chat.id;
            let message =
                ChatMessage { message_id: message_id.clone(), content, content_type, to, date_time, notify };
            self.media(MediaCommand::SendMessage(id, Box::new(message)));
        }
        Ok(message_id)
    }

    /// Does something in the chat that has no outcome, or one that is told.
    pub(crate) fn act_in_chat(
        &mut self,
        _context: Context<'_>,
        operation: Operation,
        action: ChatAction,
    ) -> Result<(), Error> {
        self.check(operation)?;
        let Some(chat) = &self.chat else {
            return Err(Error::not_possible(operation, "the session has no chat"));
        };
        if let ChatAction::Nickname(nickname) = &action
            && nickname.chars().any(char::is_control)
        {
            let value = nickname.clone();
            return Err(Error::BadValue { what: "nickname", value, expected: "no control characters" });
        }
        let id = chat.id;
        self.media(MediaCommand::ActInChat(id, action));
        Ok(())
    }
}

/// `type/subtype` with parameters; nothing that could become another line on the wire.
fn is_media_type(text: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*%'`{}|~".contains(&b))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let halves = essence.trim_end().split_once('/');
    halves.is_some_and(|(kind, sub)| token(kind) && token(sub))
        && parameters.bytes().all(|b| (0x20..0x7f).contains(&b))
}
