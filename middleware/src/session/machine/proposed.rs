//! Offers of the peer's in a running session: answered, or proposed to the application.

use std::path::PathBuf;

use bytes::Bytes;
use sip_core::StatusCode;

use super::exchange::{Change, Exchange};
use super::{
    Context, Operation, Originator, Phase, SessionEvent, SessionMachine, SipAction, State, StreamSet,
};
use crate::error::Error;
use crate::session::FileIcon;

impl SessionMachine {
    /// The peer's re-INVITE or UPDATE.
    pub(super) fn got_reinvite(
        &mut self,
        context: Context<'_>,
        body: Option<Bytes>,
        icons: Vec<(String, FileIcon)>,
        may_wait: bool,
    ) {
        // A proposal of ours that met the peer's and is to be sent again.
        let met = self.waiting.filter(|_| matches!(self.phase, Phase::Proposing) && body.is_some());
        if !(matches!(self.phase, Phase::Established) || met.is_some())
            || !matches!(self.exchange, Exchange::Idle)
        {
            // RFC 3261 §14.2
            self.sip(SipAction::RejectReinvite { status: StatusCode::REQUEST_PENDING });
            return;
        }
        if body.is_none() {
            self.exchange = Exchange::AwaitingAnswer;
            let offer = self.make_offer();
            self.sip(SipAction::AcceptReinvite { body: Some(offer) });
            return;
        }
        let offered = match self.description.offered(body.as_deref(), &self.config) {
            Ok(offered) => offered,
            Err(refusal) => return self.refuse_reinvite(refusal.status),
        };
        let acceptable = offered.acceptable.with_only(self.config.accepts);
        let ours = match met {
            Some(Change::Add(streams)) => streams,
            _ => StreamSet::NONE,
        };
        let adds = StreamSet { file: acceptable.file, ..acceptable.without(self.streams().without(ours)) };
        match met {
            None if adds.is_empty() => drop(self.answer_reinvite(context)),
            // The peer's may wait as well as ours.
            Some(_) if adds.is_empty() => self.refuse_reinvite(StatusCode::REQUEST_PENDING),
            // RFC 3311 §5.2: UPDATE is answered promptly, so nobody can be asked.
            _ if !may_wait => self.refuse_reinvite(StatusCode::SERVER_TIMEOUT),
            // Either side would refuse the other's for ever: who is asked again is asked.
            Some(change) => {
                self.withdraw(context, change, "the peer proposes at the same time");
                self.got_reinvite(context, body, icons, may_wait);
            }
            None => {
                if adds.file {
                    self.got_files(offered.files, &icons);
                }
                self.ask(context, adds);
            }
        }
    }

    fn refuse_reinvite(&mut self, status: StatusCode) {
        self.description.rollback();
        self.sip(SipAction::RejectReinvite { status });
    }

    /// Asks the application for these streams.
    fn ask(&mut self, context: Context<'_>, adds: StreamSet) {
        self.exchange = Exchange::Asked { accepted: StreamSet::NONE };
        self.timers.no_answer = Some(context.now + self.config.timers.ringing);
        self.change(|snapshot| snapshot.proposed_streams = adds);
        self.sip(SipAction::ReinviteProvisional { status: StatusCode::RINGING });
        self.enter(Phase::Proposed);
        self.notify(Self::proposal(Originator::Remote, adds));
    }

    /// Answers an offer that asks nothing of the application: hold, codecs, removed streams.
    fn answer_reinvite(&mut self, context: Context<'_>) -> bool {
        let before = self.streams();
        match self.make_answer() {
            Ok((body, negotiated)) if !negotiated.is_empty() => {
                self.sip(SipAction::AcceptReinvite { body: Some(body) });
                self.apply(context, &negotiated);
                self.trickle();
                let lost = before.without(self.streams());
                self.forget(lost);
                if self.state() == State::Established {
                    self.tell_if_changed();
                }
                true
            }
            _ => {
                self.refuse_reinvite(StatusCode::NOT_ACCEPTABLE_HERE);
                false
            }
        }
    }

    /// The ACK to a 200 of ours in the session.
    pub(super) fn reinvite_confirmed(&mut self, context: Context<'_>, body: Option<Bytes>) {
        if let Exchange::AwaitingAnswer = self.exchange {
            self.exchange = Exchange::Idle;
            let before = self.streams();
            match self.description.answered(body.as_deref(), &self.config) {
                Ok(negotiated) => {
                    self.apply(context, &negotiated);
                    self.trickle();
                }
                // RFC 3264 §5: without an answer what was agreed before stays.
                Err(_) => self.description.rollback(),
            }
            let lost = before.without(self.streams());
            self.forget(lost);
            self.tell_if_changed();
            self.go_on_without(context, lost);
        }
    }

    /// Takes the streams that the peer proposes, or some of them.
    /// Files are kept in `folder`, else in the one of the configuration.
    pub(crate) fn accept_proposal(
        &mut self,
        context: Context<'_>,
        streams: StreamSet,
        folder: Option<PathBuf>,
    ) -> Result<(), Error> {
        self.check(Operation::AcceptProposal)?;
        self.check_subset(Operation::AcceptProposal, streams)?;
        let folder = self.folder_for(Operation::AcceptProposal, streams, folder)?;
        if let Exchange::Asked { accepted } = &mut self.exchange {
            if !accepted.is_empty() {
                return Err(Error::not_possible(Operation::AcceptProposal, "it was accepted already"));
            }
            *accepted = streams;
            self.timers.no_answer = None;
            self.prepare_accepted(streams, &folder);
            self.prepare(context, streams);
        }
        Ok(())
    }

    /// Refuses the streams that the peer proposes.
    pub(crate) fn reject_proposal(&mut self, context: Context<'_>) -> Result<(), Error> {
        self.check(Operation::RejectProposal)?;
        if let Exchange::Asked { accepted } = &self.exchange {
            let streams = *accepted;
            self.close(context, streams);
            self.refuse_proposal(context, StatusCode::NOT_ACCEPTABLE_HERE, "rejected here");
        }
        Ok(())
    }

    /// The application says neither yes nor no.
    pub(super) fn proposal_unanswered(&mut self, context: Context<'_>) {
        let status = StatusCode::TEMPORARILY_UNAVAILABLE;
        self.refuse_proposal(context, status, "neither accepted nor rejected");
    }

    pub(super) fn refuse_proposal(&mut self, context: Context<'_>, status: StatusCode, reason: &str) {
        self.refuse_reinvite(status);
        self.leave_proposed();
        let (proposer, reason) = (Originator::Remote, reason.to_owned());
        self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
        self.next_change(context);
    }

    fn leave_proposed(&mut self) {
        self.exchange = Exchange::Idle;
        (self.timers.stream_start, self.timers.no_answer) = (None, None);
        self.forget_proposed_files();
        self.change(|snapshot| snapshot.proposed_streams = StreamSet::NONE);
        self.enter(Phase::Established);
    }

    /// The local media of an accepted proposal are ready.
    pub(super) fn answer_proposal(&mut self, context: Context<'_>) {
        let Exchange::Asked { accepted } = self.exchange else { return };
        if accepted.is_empty() {
            return;
        }
        let proposer = Originator::Remote;
        let answered = self.answer_reinvite(context);
        self.leave_proposed();
        if answered {
            self.notify(SessionEvent::AcceptedStreamProposal { proposer });
            self.tell_streams();
        } else {
            self.close(context, accepted);
            let reason = "the descriptions do not fit each other".to_owned();
            self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
        }
        self.next_change(context);
    }

    /// The peer gave its proposal up; the endpoint has answered 487.
    pub(super) fn reinvite_cancelled(&mut self, context: Context<'_>) {
        let Exchange::Asked { accepted } = self.exchange else { return };
        self.description.rollback();
        self.close(context, accepted);
        self.leave_proposed();
        let (proposer, reason) = (Originator::Remote, "cancelled by the peer".to_owned());
        self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
        self.next_change(context);
    }
}
