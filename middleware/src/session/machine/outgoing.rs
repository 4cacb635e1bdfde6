//! From NULL through CALLING to ESTABLISHED.

use bytes::Bytes;
use sip_core::StatusCode;

use super::files::MAX_FILES;
use super::{
    Context, Direction, Invitation, MediaCommand, Operation, Originator, Phase, SessionEvent, SessionMachine,
    SipAction, State, StreamSet,
};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::session::FileToSend;

impl SessionMachine {
    /// `new` of the 2009 API: makes it outgoing. The INVITE leaves once the media are ready.
    pub(crate) fn connect(
        &mut self,
        context: Context<'_>,
        invitation: Invitation,
        streams: StreamSet,
        files: Vec<FileToSend>,
    ) -> Result<(), Error> {
        self.check(Operation::Connect)?;
        let streams = StreamSet { file: !files.is_empty(), ..streams };
        if files.len() > MAX_FILES {
            return Err(Error::not_possible(Operation::Connect, "there are too many files"));
        }
        if streams.is_empty() {
            return Err(Error::not_possible(Operation::Connect, "at least one stream is needed"));
        }
        self.identify(Direction::Outgoing, invitation.credentials.uri.clone(), invitation.callee.clone());
        let Credentials { uri, username, password, .. } = &invitation.credentials;
        let username = username.clone().or_else(|| uri.user().map(str::to_owned));
        self.relay_login = username.zip(password.clone());
        let route = invitation.route.clone();
        self.change(|snapshot| snapshot.route = route);
        self.enter(Phase::Calling { invitation: Some(Box::new(invitation)) });
        self.notify(SessionEvent::NewOutgoing {
            has_audio: streams.audio,
            has_chat: streams.chat,
            has_file: streams.file,
        });
        self.prepare_files(files);
        self.prepare(context, streams);
        Ok(())
    }

    /// The local media are ready: the INVITE can leave.
    pub(super) fn invite(&mut self, context: Context<'_>) {
        let Phase::Calling { invitation } = &mut self.phase else { return };
        let Some(invitation) = invitation.take() else { return };
        let offer = self.make_offer();
        self.sip(SipAction::Invite { invitation, offer });
        self.timers.no_answer = Some(context.now + self.config.timers.no_answer);
    }

    pub(super) fn got_provisional(
        &mut self,
        context: Context<'_>,
        status: StatusCode,
        user_agent: Option<String>,
        body: Option<Bytes>,
    ) {
        if self.state() != State::Calling {
            return;
        }
        self.learn_user_agent(user_agent);
        if let Some(body) = body {
            self.early_media(context, &body);
        }
        if status == StatusCode::RINGING {
            self.notify(SessionEvent::GotRingIndication);
            if !self.early {
                self.ring(context.ringtones.outbound_ringtone.as_deref());
            }
        }
    }

    /// A provisional response with a description: what is said before the answer is heard, and the
    /// ringtone is the peer's (RFC 3960 §3). The 2xx says it again.
    fn early_media(&mut self, context: Context<'_>, body: &[u8]) {
        match self.description.preview(body, &self.config) {
            Ok(negotiated) if negotiated.audio.is_some() => {
                if std::mem::take(&mut self.ringing) {
                    self.media(MediaCommand::StopRingtone);
                }
                self.early = true;
                self.apply_audio(context, &negotiated);
            }
            Ok(_) => {}
            // What the 2xx says counts.
            Err(error) => tracing::debug!(%error, "early media cannot be had"),
        }
    }

    /// 2xx: WillStart, ACK, ESTABLISHED, DidStart, in this order.
    pub(super) fn answered(&mut self, context: Context<'_>, body: Option<Bytes>, user_agent: Option<String>) {
        match &self.phase {
            Phase::Calling { .. } => {}
            // It crossed our CANCEL: the session is nobody's any more.
            Phase::Terminating { .. } | Phase::Ending { .. } | Phase::Ended => {
                self.sip(SipAction::Ack { answer: None });
                self.sip(SipAction::Bye);
                return;
            }
            _ => return,
        }
        self.timers.no_answer = None;
        self.learn_user_agent(user_agent);
        let negotiated = match self.description.answered(body.as_deref(), &self.config) {
            Ok(negotiated) => negotiated,
            Err(error) => {
                self.sip(SipAction::Ack { answer: None });
                self.sip(SipAction::Bye);
                self.fail(context, Originator::Local, 488, error.to_string());
                return;
            }
        };
        self.notify(SessionEvent::WillStart);
        self.apply(context, &negotiated);
        self.sip(SipAction::Ack { answer: None });
        self.established(context);
    }

    pub(super) fn invite_failed(&mut self, context: Context<'_>, code: u16, reason: String) {
        match self.phase {
            Phase::Calling { .. } => {
                let originator = if code == 0 { Originator::Local } else { Originator::Remote };
                self.fail(context, originator, code, reason);
            }
            // Our 200 was never acknowledged; the endpoint has sent the BYE.
            Phase::Accepting { .. } => self.fail(context, Originator::Remote, code, reason),
            Phase::Terminating { .. } => self.ended(context, Originator::Local),
            _ => {}
        }
    }

    /// Nobody answers for too long.
    pub(super) fn no_answer(&mut self, context: Context<'_>) {
        match self.phase {
            Phase::Calling { .. } => {
                self.sip(SipAction::Cancel);
                self.fail(context, Originator::Local, 408, "no answer".to_owned());
            }
            Phase::Proposing => {
                self.sip(SipAction::CancelReinvite);
            }
            _ => {}
        }
    }

    pub(super) fn established(&mut self, context: Context<'_>) {
        self.enter(Phase::Established);
        self.change(|snapshot| {
            snapshot.start_time = Some(context.wall);
            snapshot.proposed_streams = StreamSet::NONE;
        });
        self.forget_proposed_files();
        if self.audio.as_ref().is_some_and(|audio| !audio.heard) {
            self.timers.no_audio = Some(context.now + self.config.timers.no_audio);
        }
        self.notify(SessionEvent::DidStart);
    }

    pub(super) fn learn_user_agent(&mut self, user_agent: Option<String>) {
        if user_agent.is_some() && self.snapshot.remote_user_agent != user_agent {
            self.change(|snapshot| snapshot.remote_user_agent = user_agent);
        }
    }
}
