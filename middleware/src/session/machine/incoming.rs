//! From NULL through INCOMING and ACCEPTING to ESTABLISHED.

use std::path::PathBuf;

use bytes::Bytes;
use sip_core::{StatusCode, Uri};
use zeroize::Zeroizing;

use super::{
    Context, Direction, Operation, Originator, Phase, SessionEvent, SessionMachine, SipAction, State,
    StreamSet,
};
use crate::error::Error;
use crate::negotiation::{Negotiated, Refusal};
use crate::session::{FileIcon, RemoteHeaders, auto_answer_wish};

/// How often a 183 with ICE is repeated that nobody acknowledges: for 64 × T1, and four times where we send no
/// checks that would be answered (RFC 8839 §7.1.1, RFC 8840 §4.3.2).
const REPEATS: u32 = 6;
const REPEATS_LITE: u32 = 4;

/// Who calls, and with what offer.
pub(crate) struct Invite {
    pub(crate) local: Uri,
    pub(crate) remote: Uri,
    pub(crate) headers: RemoteHeaders,
    pub(crate) offer: Option<Bytes>,
    /// What came beside the offer, by `Content-ID`.
    pub(crate) icons: Vec<(String, FileIcon)>,
}

/// What this side says before it accepts the call.
#[derive(Debug)]
pub(super) struct EarlyMedia {
    streams: StreamSet,
    /// What went out in the 183, and what it comes to. The 200 repeats it, unless another offer came since.
    answer: Option<(Option<Bytes>, Box<Negotiated>)>,
}

impl EarlyMedia {
    /// The peer made another offer, which came to this.
    pub(super) fn update(&mut self, negotiated: Negotiated) {
        self.answer = Some((None, Box::new(negotiated)));
    }
}

impl SessionMachine {
    /// An INVITE. If nothing of it is acceptable, the refusal to answer with: the machine is of
    /// no use then, and nobody hears of it.
    pub(crate) fn invited(&mut self, context: Context<'_>, invite: Invite) -> Result<(), Refusal> {
        let offered = self.description.offered(invite.offer.as_deref(), &self.config)?;
        let streams = offered.acceptable.with_only(self.config.accepts);
        if streams.is_empty() {
            return Err(Refusal::not_acceptable("none of the offered streams can be taken"));
        }
        let tone = context.ringtones.get_ringtone_for_sipuri(&invite.remote).map(ToOwned::to_owned);
        let asked = auto_answer_wish(&invite.headers);
        let auto_answer = self.config.auto_answer.after(&invite.remote, asked);
        self.identify(Direction::Incoming, invite.local, invite.remote);
        self.learn_headers(invite.headers);
        if streams.file {
            self.got_files(offered.files, &invite.icons);
        }
        self.change(|snapshot| (snapshot.proposed_streams, snapshot.auto_answer_asked) = (streams, asked));
        self.sip(SipAction::Provisional { status: StatusCode::RINGING, answer: None, repeats: 0 });
        self.enter(Phase::Incoming);
        self.notify(SessionEvent::NewIncoming {
            has_audio: streams.audio,
            has_chat: streams.chat,
            has_file: streams.file,
        });
        self.ring(tone.as_deref());
        self.timers.no_answer = Some(context.now + self.config.timers.ringing);
        self.timers.auto_answer = auto_answer.map(|after| context.now + after);
        Ok(())
    }

    /// The policy has it answered without the application: all but files, which need a folder.
    pub(super) fn answer_by_itself(&mut self, context: Context<'_>) {
        let streams = match &self.early_media {
            Some(early) => early.streams,
            None => StreamSet { file: false, ..self.snapshot.proposed_streams },
        };
        if matches!(self.phase, Phase::Incoming)
            && let Err(error) = self.accept(context, streams, None, Vec::new())
        {
            tracing::debug!(%error, "a call is not answered by itself");
        }
    }

    /// With this password the MSRP streams that are accepted use a relay, if one is known.
    pub(crate) fn use_relay(&mut self, password: Zeroizing<String>) {
        let user = self.snapshot.local_uri.as_ref().and_then(|uri| uri.user().map(str::to_owned));
        self.relay_login = user.map(|user| (user, password));
    }

    /// Answers the offer before the call is accepted: what is said here is heard there meanwhile.
    pub(crate) fn start_early_media(
        &mut self,
        context: Context<'_>,
        streams: StreamSet,
    ) -> Result<(), Error> {
        let operation = Operation::StartEarlyMedia;
        self.check(operation)?;
        self.check_subset(operation, streams)?;
        let refused = if self.early_media.is_some() {
            Some("it was started already")
        } else if !streams.audio {
            Some("it is audio that is heard early")
        } else if streams.file {
            Some("files are taken when the call is")
        } else if !self.description.has_remote_offer() {
            Some("the peer makes no offer")
        } else {
            None
        };
        if let Some(reason) = refused {
            return Err(Error::not_possible(operation, reason));
        }
        self.early_media = Some(EarlyMedia { streams, answer: None });
        self.prepare(context, streams);
        Ok(())
    }

    /// The local media of early media are ready: 183. An answer is final, so the 200 repeats it (RFC 3261 §13.2.1).
    pub(super) fn answer_early(&mut self, context: Context<'_>) {
        if self.early_media.as_ref().is_none_or(|early| early.answer.is_some()) {
            return;
        }
        match self.make_answer() {
            Ok((body, negotiated)) => {
                self.apply_audio(context, &negotiated);
                let (status, answer) = (StatusCode::SESSION_PROGRESS, Some(body.clone()));
                let repeats = match negotiated.audio.as_ref().and_then(|audio| audio.ice.as_ref()) {
                    Some(_) if self.config.rtp.ice_lite => REPEATS_LITE,
                    Some(_) => REPEATS,
                    None => 0,
                };
                self.sip(SipAction::Provisional { status, answer, repeats });
                if let Some(early) = &mut self.early_media {
                    early.answer = Some((Some(body), Box::new(negotiated)));
                }
            }
            Err(error) => self.refuse_offer(context, error.to_string()),
        }
    }

    fn refuse_offer(&mut self, context: Context<'_>, reason: String) {
        let status = StatusCode::NOT_ACCEPTABLE_HERE;
        self.sip(SipAction::Reject { status, reason: None, headers: Vec::new() });
        self.fail(context, Originator::Local, status.code(), reason);
    }

    /// Takes some of the offered streams; the 200 leaves once the media are ready.
    /// Files are kept in `folder`, else in the one of the configuration.
    pub(crate) fn accept(
        &mut self,
        context: Context<'_>,
        streams: StreamSet,
        folder: Option<PathBuf>,
        headers: Vec<(String, String)>,
    ) -> Result<(), Error> {
        self.check(Operation::Accept)?;
        self.check_subset(Operation::Accept, streams)?;
        if self.early_media.as_ref().is_some_and(|early| early.streams != streams) {
            return Err(Error::not_possible(Operation::Accept, "early media has answered for other streams"));
        }
        let folder = self.folder_for(Operation::Accept, streams, folder)?;
        self.accept_headers = headers;
        (self.timers.auto_answer, self.timers.no_answer) = (None, None);
        self.enter(Phase::Accepting { answered: false });
        if self.early_media.is_some() {
            self.go_on_if_ready(context);
        } else {
            self.prepare_accepted(streams, &folder);
            self.prepare(context, streams);
        }
        Ok(())
    }

    pub(super) fn check_subset(&self, operation: Operation, streams: StreamSet) -> Result<(), Error> {
        if streams.is_empty() {
            return Err(Error::not_possible(operation, "at least one stream is needed"));
        }
        let extra = streams.without(self.snapshot.proposed_streams);
        match extra.names().next() {
            Some(name) => Err(Error::not_possible(operation, format!("{name} was not offered"))),
            None => Ok(()),
        }
    }

    /// Declines the call, with 486 unless another code is chosen.
    pub(crate) fn reject(
        &mut self,
        context: Context<'_>,
        status: Option<StatusCode>,
        headers: Vec<(String, String)>,
    ) -> Result<(), Error> {
        self.check(Operation::Reject)?;
        self.decline(context, status.unwrap_or(StatusCode::BUSY_HERE), headers);
        Ok(())
    }

    /// The local media are ready: 200, then WillStart.
    pub(super) fn answer(&mut self, context: Context<'_>) {
        let Phase::Accepting { answered } = &mut self.phase else { return };
        if std::mem::replace(answered, true) {
            return;
        }
        let headers = std::mem::take(&mut self.accept_headers);
        if let Some((body, negotiated)) = self.early_media.take().and_then(|early| early.answer) {
            self.apply(context, &negotiated);
            self.sip(SipAction::Accept { body, headers });
        } else if self.description.has_remote_offer() {
            match self.make_answer() {
                Ok((body, negotiated)) => {
                    self.apply(context, &negotiated);
                    self.sip(SipAction::Accept { body: Some(body), headers });
                }
                Err(error) => {
                    self.refuse_offer(context, error.to_string());
                    return;
                }
            }
        } else {
            // An INVITE without an offer: ours goes into the 200, the answer comes in the ACK.
            let body = Some(self.make_offer());
            self.sip(SipAction::Accept { body, headers });
        }
        self.notify(SessionEvent::WillStart);
    }

    /// The ACK to our 200.
    pub(super) fn confirmed(&mut self, context: Context<'_>, body: Option<Bytes>) {
        match self.phase {
            Phase::Accepting { answered: true } => {
                if self.description.has_local_offer() {
                    match self.description.answered(body.as_deref(), &self.config) {
                        Ok(negotiated) => self.apply(context, &negotiated),
                        Err(error) => {
                            self.sip(SipAction::Bye);
                            self.fail(context, Originator::Local, 488, error.to_string());
                            return;
                        }
                    }
                }
                self.established(context);
            }
            Phase::Terminating { ref mut bye_on_ack } if *bye_on_ack => {
                *bye_on_ack = false;
                self.sip(SipAction::Bye);
            }
            _ => self.reinvite_confirmed(context, body),
        }
    }

    /// CANCEL: the endpoint has answered 487.
    pub(super) fn cancelled(&mut self, context: Context<'_>) {
        match self.state() {
            State::Incoming | State::Accepting => {
                self.fail(context, Originator::Remote, 487, "cancelled by the caller".to_owned());
            }
            State::Terminating => self.ended(context, Originator::Local),
            _ => {}
        }
    }
}
