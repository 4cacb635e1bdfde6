//! From NULL through CALLING to ESTABLISHED.

use std::sync::Arc;

use bytes::Bytes;
use sip_core::header::{RSeq, Require, To, Unsupported};
use sip_core::usage::{Redirection, redirect_contacts};
use sip_core::{Response, StatusCode};

use super::files::MAX_FILES;
use super::{
    Context, Direction, Invitation, MediaCommand, Operation, Originator, Phase, SessionEvent, SessionMachine,
    SipAction, State, StreamSet, TRICKLE_ICE,
};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::negotiation::Negotiated;
use crate::session::{FileToSend, RemoteHeaders};

/// A call of ours that is not answered.
#[derive(Debug)]
pub(super) struct Calling {
    invitation: Invitation,
    /// Whether the INVITE left.
    pub(super) sent: bool,
    /// It waits for all candidates: the peer does not take them later.
    pub(super) whole: bool,
    redirection: Redirection,
}

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
        let (route, known) = (invitation.route.clone(), Arc::new(invitation.credentials.clone()));
        self.change(|snapshot| (snapshot.route, snapshot.credentials) = (route, Some(known)));
        let redirection = Redirection::new(&invitation.callee, invitation.max_redirects);
        self.enter(Phase::Calling(Box::new(Calling { invitation, sent: false, whole: false, redirection })));
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
        let complete = self.ice_mut().is_none_or(|ice| ice.is_complete());
        let Phase::Calling(calling) = &mut self.phase else { return };
        if (calling.whole && !complete) || std::mem::replace(&mut calling.sent, true) {
            return;
        }
        let mut invitation = Box::new(calling.invitation.clone());
        if !complete && !invitation.late_offer {
            // RFC 8840 §5.1: who does not take the rest later has to say so.
            invitation.headers.push(("Require".to_owned(), TRICKLE_ICE.to_owned()));
        }
        let offer = (!invitation.late_offer).then(|| self.make_offer());
        self.sip(SipAction::Invite { invitation, offer });
        self.timers.no_answer = Some(context.now + self.config.timers.no_answer);
    }

    /// Whether the offer is to be the peer's.
    pub(super) fn offers_late(&self) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if calling.invitation.late_offer)
    }

    pub(super) fn got_provisional(
        &mut self,
        context: Context<'_>,
        status: StatusCode,
        headers: RemoteHeaders,
        body: Option<Bytes>,
    ) {
        if self.state() != State::Calling {
            return;
        }
        // RFC 3262 §4
        let reliable = headers.get::<RSeq>().is_some()
            && headers.get::<Require>().is_some_and(|tags| tags.is_ok_and(|it| it.has("100rel")));
        let tag = tag_of(&headers);
        self.learn_headers(headers);
        match body {
            // An offer, if it is to be acknowledged.
            Some(body) if self.offers_late() => self.early_offer = reliable.then_some((tag, body)),
            Some(body) => {
                self.early_media(context, tag, reliable, &body);
                if self.early
                    && !reliable
                    && let Some(trickle) = self.ice_mut().and_then(|ice| ice.trickle.as_mut())
                {
                    trickle.acknowledge();
                }
                self.trickle();
            }
            None => {}
        }
        if status == StatusCode::RINGING {
            self.notify(SessionEvent::GotRingIndication);
            if !self.early {
                self.ring(context.ringtones.outbound_ringtone.as_deref());
            }
        }
    }

    /// Answers an offer that comes in a response to our INVITE: the first of its branch.
    pub(super) fn answer_late_offer(&mut self, offer: Option<&[u8]>) -> Result<(Bytes, Negotiated), String> {
        let offer = offer.ok_or("the peer makes no offer")?;
        self.description = self.description.anew();
        self.description.offered(Some(offer), &self.config).map_err(|refusal| refusal.reason)?;
        self.make_answer().map_err(|error| error.to_string())
    }

    /// What the 2xx comes to, and the answer to its offer if it makes one.
    fn agree(
        &mut self,
        tag: Option<&str>,
        body: Option<&[u8]>,
    ) -> Result<(Option<Bytes>, Negotiated), String> {
        if let Some(agreed) = self.agreed_early(tag) {
            return Ok((None, *agreed));
        }
        if self.offers_late() {
            return self.answer_late_offer(body).map(|(answer, negotiated)| (Some(answer), negotiated));
        }
        let negotiated = self.description.answered(body, &self.config).map_err(|error| error.to_string())?;
        Ok((None, negotiated))
    }

    /// 2xx: WillStart, ACK, ESTABLISHED, DidStart, in this order.
    pub(super) fn answered(&mut self, context: Context<'_>, body: Option<Bytes>, headers: RemoteHeaders) {
        match &self.phase {
            Phase::Calling(_) => {}
            // It crossed our CANCEL: the session is nobody's any more.
            Phase::Terminating { .. } | Phase::Ending { .. } | Phase::Ended => {
                self.sip(SipAction::Ack { answer: None });
                self.sip(SipAction::Bye);
                return;
            }
            _ => return,
        }
        self.timers.no_answer = None;
        let tag = tag_of(&headers);
        self.learn_headers(headers);
        let (answer, negotiated) = match self.agree(tag.as_deref(), body.as_deref()) {
            Ok(agreed) => agreed,
            Err(reason) => {
                self.sip(SipAction::Ack { answer: None });
                self.sip(SipAction::Bye);
                self.fail(context, Originator::Local, 488, reason);
                return;
            }
        };
        self.notify(SessionEvent::WillStart);
        self.apply(context, &negotiated);
        self.sip(SipAction::Ack { answer });
        self.established(context);
    }

    pub(super) fn invite_failed(
        &mut self,
        context: Context<'_>,
        code: u16,
        reason: String,
        response: Option<Box<Response>>,
    ) {
        match self.phase {
            Phase::Calling(_) => {
                if let Some(response) = response {
                    self.learn_headers(RemoteHeaders::of(response.headers()));
                    if self.does_not_trickle(context, code, &response) || self.redirected(context, &response)
                    {
                        return;
                    }
                }
                let originator = if code == 0 { Originator::Local } else { Originator::Remote };
                self.fail(context, originator, code, reason);
            }
            // Our 200 was never acknowledged, or a reliable response: the endpoint has sent BYE, or 504.
            Phase::Incoming | Phase::Accepting { .. } => self.fail(context, Originator::Remote, code, reason),
            Phase::Terminating { .. } => self.ended(context, Originator::Local),
            _ => {}
        }
    }

    /// RFC 8840 §5.1: the peer does not take what would follow. It is called again with all there is.
    fn does_not_trickle(&mut self, context: Context<'_>, code: u16, response: &Response) -> bool {
        let tags = response.header::<Unsupported>();
        let Phase::Calling(calling) = &mut self.phase else { return false };
        if code != 420 || calling.whole || !tags.is_some_and(|tags| tags.has(TRICKLE_ICE)) {
            return false;
        }
        (calling.whole, calling.sent) = (true, false);
        self.early_dialogs.clear();
        self.description.rollback();
        self.go_on_if_ready(context);
        true
    }

    /// RFC 3261 §8.1.3.4: the peer is elsewhere. Told, and followed as far as the application said; where
    /// one address fails the next is tried, unless it fails for all (6xx). True if another INVITE leaves.
    fn redirected(&mut self, context: Context<'_>, response: &Response) -> bool {
        let (code, reason) = (response.status().code(), response.reason().to_owned());
        let Phase::Calling(calling) = &mut self.phase else { return false };
        calling.redirection.redirected(response);
        let next = if code < 600 { calling.redirection.next_target() } else { None };
        if response.status().is_redirect() {
            let contacts =
                redirect_contacts(response).iter().map(|contact| contact.uri.to_string()).collect();
            let followed = next.is_some();
            self.notify(SessionEvent::GotRedirect { code, reason, contacts, followed });
        }
        let (Some(target), Phase::Calling(calling)) = (next, &mut self.phase) else { return false };
        calling.invitation.callee = target.without_headers();
        calling.sent = false;
        if std::mem::take(&mut self.ringing) {
            self.media(MediaCommand::StopRingtone);
        }
        self.early = false;
        self.early_dialogs.clear();
        self.description.rollback();
        self.invite(context);
        true
    }

    /// Nobody answers for too long.
    pub(super) fn no_answer(&mut self, context: Context<'_>) {
        match self.phase {
            Phase::Calling(_) => {
                self.sip(SipAction::Cancel);
                self.fail(context, Originator::Local, 408, "no answer".to_owned());
            }
            Phase::Incoming => {
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                self.sip(SipAction::Reject { status, reason: None, headers: Vec::new() });
                let reason = "neither accepted nor rejected".to_owned();
                self.fail(context, Originator::Local, status.code(), reason);
            }
            Phase::Proposing => self.proposing_unanswered(context),
            Phase::Proposed => self.proposal_unanswered(context),
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
        self.told_streams = self.streams();
        if self.audio.as_ref().is_some_and(|audio| !audio.heard) {
            self.timers.no_audio = Some(context.now + self.config.timers.no_audio);
        }
        self.notify(SessionEvent::DidStart);
        // What was asked for meanwhile, and what was found.
        self.next_change(context);
        self.trickle();
    }

    /// What the peer's headers say, for who wants to read them.
    pub(super) fn learn_headers(&mut self, headers: RemoteHeaders) {
        self.learn_trickle(&headers);
        let name = headers.text("User-Agent").or_else(|| headers.text("Server"));
        let name =
            name.map(str::to_owned).filter(|name| self.snapshot.remote_user_agent.as_ref() != Some(name));
        self.change(|snapshot| {
            snapshot.remote_headers = Some(headers);
            if name.is_some() {
                snapshot.remote_user_agent = name;
            }
        });
    }
}

/// The peer's tag in a response to our INVITE: which early dialog it is of.
fn tag_of(headers: &RemoteHeaders) -> Option<String> {
    let to = headers.get::<To>()?.ok()?;
    to.tag().map(str::to_owned)
}
