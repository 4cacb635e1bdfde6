//! Offers of ours in a running session: one re-INVITE at a time.

use std::time::Duration;

use bytes::Bytes;
use sip_core::StatusCode;

use super::{
    Context, Operation, Originator, Phase, SessionEvent, SessionMachine, SipAction, StreamId, StreamSet,
};
use crate::error::Error;
use crate::negotiation::new_credentials;

/// A change of the session that takes a re-INVITE.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Hold(bool),
    Add(StreamSet),
    Remove(StreamSet),
    AddFile(StreamId),
    /// The m-line of a file transfer that is over becomes free.
    RemoveFile(StreamId),
    /// Nothing: the session is to be kept alive (RFC 4028), or its addresses told again.
    Refresh,
    /// ICE begins anew (RFC 8445 §9).
    RestartIce,
}

/// The exchange in flight.
#[derive(Debug)]
pub(super) enum Exchange {
    Idle,
    /// Our streams for it are being prepared.
    Preparing(Change),
    /// Our re-INVITE is out.
    Sent(Change),
    /// The peer's re-INVITE waits for the application.
    Asked {
        accepted: StreamSet,
    },
    /// We answered a re-INVITE without an offer; the answer comes in the ACK.
    AwaitingAnswer,
}

impl SessionMachine {
    /// Puts the peer on hold, or takes it off. Already so: nothing happens.
    pub(crate) fn hold(&mut self, context: Context<'_>, held: bool) -> Result<(), Error> {
        self.check(if held { Operation::Hold } else { Operation::Unhold })?;
        let last = self.changes.iter().rev().find_map(|change| match change {
            Change::Hold(held) => Some(*held),
            _ => None,
        });
        if last.unwrap_or(self.snapshot.on_hold_by_local) != held {
            self.changes.push_back(Change::Hold(held));
            self.next_change(context);
        }
        Ok(())
    }

    /// Proposes a stream that the session does not have.
    pub(crate) fn add(&mut self, context: Context<'_>, streams: StreamSet) -> Result<(), Error> {
        let operation = if streams.audio { Operation::AddAudio } else { Operation::AddChat };
        self.check(operation)?;
        if !self.streams().with_only(streams).is_empty() {
            return Err(Error::not_possible(operation, "the session has this stream"));
        }
        self.changes.push_back(Change::Add(streams));
        self.next_change(context);
        Ok(())
    }

    /// Removes a stream; not the last one.
    pub(crate) fn remove(&mut self, context: Context<'_>, streams: StreamSet) -> Result<(), Error> {
        let operation = if streams.audio { Operation::RemoveAudio } else { Operation::RemoveChat };
        self.check(operation)?;
        if !self.streams().contains(streams) {
            return Err(Error::not_possible(operation, "the session does not have this stream"));
        }
        if self.streams().without(streams).is_empty() {
            return Err(Error::not_possible(operation, "it is the last stream of the session"));
        }
        self.changes.push_back(Change::Remove(streams));
        self.next_change(context);
        Ok(())
    }

    /// A stream broke: it is taken out of the session.
    pub(super) fn lose(&mut self, context: Context<'_>, streams: StreamSet) {
        self.close(context, streams);
        self.forget(streams);
        self.tell_streams();
        self.changes.push_back(Change::Remove(streams));
        self.next_change(context);
    }

    /// Streams that are on their way out: no offer and no answer of ours has them.
    pub(super) fn leaving(&self) -> StreamSet {
        let change = match self.exchange {
            Exchange::Preparing(change) | Exchange::Sent(change) => Some(change),
            _ => self.waiting,
        };
        match change {
            Some(Change::Remove(streams)) => streams,
            _ => StreamSet::NONE,
        }
    }

    /// Starts the next change if nothing is in flight, and none waits.
    pub(super) fn next_change(&mut self, context: Context<'_>) {
        if self.timers.retry.is_none() {
            self.retry_exchange(context);
        }
        while matches!(self.phase, Phase::Established)
            && matches!(self.exchange, Exchange::Idle)
            && self.waiting.is_none()
        {
            let Some(change) = self.changes.pop_front() else { return };
            self.begin(context, change);
        }
    }

    fn begin(&mut self, context: Context<'_>, change: Change) {
        match change {
            Change::Hold(held) => {
                if self.snapshot.on_hold_by_local == held {
                    return;
                }
                self.exchange = Exchange::Preparing(change);
                self.set_local_hold(held);
                self.send_exchange(context);
                self.tell_local_hold(held);
            }
            Change::Add(streams) => {
                let streams = streams.without(self.streams());
                if streams.is_empty() {
                    return;
                }
                self.exchange = Exchange::Preparing(Change::Add(streams));
                self.enter(Phase::Proposing);
                self.notify(Self::proposal(Originator::Local, streams));
                self.prepare(context, streams);
            }
            // It broke during a proposal, which added nothing.
            Change::Remove(streams) if self.streams().is_empty() => {
                self.stream_lost(context, streams, "the last stream is lost");
            }
            Change::Remove(_) | Change::Refresh => {
                // What was lost meanwhile is told when it is known what there is.
                self.tell_if_changed();
                self.exchange = Exchange::Preparing(change);
                self.send_exchange(context);
            }
            Change::RestartIce => {
                let credentials = new_credentials(&mut self.random);
                let Some(ice) = self.ice_mut() else { return };
                ice.restart(credentials);
                self.exchange = Exchange::Preparing(change);
                self.send_exchange(context);
            }
            Change::AddFile(id) => {
                if self.begin_add_file(id) {
                    self.exchange = Exchange::Preparing(change);
                    self.enter(Phase::Proposing);
                    self.notify(Self::proposal(Originator::Local, StreamSet::FILE));
                    self.send_exchange(context);
                }
            }
            Change::RemoveFile(id) => {
                if self.description.has_file(id) {
                    self.exchange = Exchange::Preparing(change);
                    self.send_exchange(context);
                }
            }
        }
    }

    /// Sends the re-INVITE of the change that is being prepared.
    pub(super) fn send_exchange(&mut self, context: Context<'_>) {
        let Exchange::Preparing(change) = self.exchange else { return };
        self.exchange = Exchange::Sent(change);
        let offer = self.make_offer();
        self.sip(SipAction::Reinvite { offer });
        if matches!(change, Change::Add(_) | Change::AddFile(_)) {
            self.timers.no_answer = Some(context.now + self.config.timers.no_answer);
        }
    }

    /// What met one of the peer's may be sent again, unless another one of the peer's is in flight: then it
    /// is once that is over.
    pub(super) fn retry_exchange(&mut self, context: Context<'_>) {
        if matches!(self.exchange, Exchange::Idle)
            && let Some(change) = self.waiting.take()
        {
            self.exchange = Exchange::Preparing(change);
            self.send_exchange(context);
        }
    }

    /// A 2xx to our re-INVITE.
    pub(super) fn reinvite_answered(&mut self, context: Context<'_>, body: Option<Bytes>) {
        self.sip(SipAction::Ack { answer: None });
        let Exchange::Sent(change) = self.exchange else { return };
        self.exchange = Exchange::Idle;
        self.timers.no_answer = None;
        let negotiated = match self.description.answered(body.as_deref(), &self.config) {
            Ok(negotiated) => negotiated,
            Err(error) => {
                self.undo(context, change, &error.to_string());
                return;
            }
        };
        let before = self.streams();
        self.apply(context, &negotiated);
        self.trickle();
        // What the peer refused beside is gone before anything is told.
        let lost = before.without(self.streams());
        self.forget(lost);
        match change {
            Change::Hold(_) | Change::Refresh => self.tell_if_changed(),
            Change::RestartIce => {
                self.audio_settled();
                self.tell_if_changed();
            }
            Change::Add(streams) => {
                let added = self.streams().with_only(streams);
                self.enter(Phase::Established);
                let proposer = Originator::Local;
                if added.is_empty() {
                    let reason = "the peer takes none of the streams".to_owned();
                    self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
                    self.tell_if_changed();
                } else {
                    self.notify(SessionEvent::AcceptedStreamProposal { proposer });
                    self.tell_streams();
                }
            }
            Change::AddFile(id) => {
                self.enter(Phase::Established);
                let proposer = Originator::Local;
                if self.file_runs(id) {
                    self.notify(SessionEvent::AcceptedStreamProposal { proposer });
                    self.tell_streams();
                } else {
                    let reason = "the peer does not take the file".to_owned();
                    self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
                    self.tell_if_changed();
                }
            }
            // That a stream broke was told when it did; so was what is lost beside it.
            Change::Remove(streams) => {
                // It may have ended before the answer came.
                self.forget(streams.without(self.streams()));
                self.tell_if_changed();
            }
            Change::RemoveFile(_) => {
                self.tell_streams();
            }
        }
        self.go_on_without(context, lost);
    }

    pub(super) fn tell_streams(&mut self) {
        self.told_streams = self.streams();
        self.notify(SessionEvent::GotStreamUpdate { streams: self.told_streams });
    }

    /// Tells what there is, if that is not what was told last.
    pub(super) fn tell_if_changed(&mut self) {
        if self.streams() != self.told_streams {
            self.tell_streams();
        }
    }

    /// The peer's answer took streams away: without any the session is over.
    pub(super) fn go_on_without(&mut self, context: Context<'_>, lost: StreamSet) {
        if !lost.is_empty() && self.streams().is_empty() {
            self.stream_lost(context, lost, "the peer takes none of the streams any more");
        } else {
            self.next_change(context);
        }
    }

    /// Our re-INVITE failed.
    pub(super) fn reinvite_failed(
        &mut self,
        context: Context<'_>,
        code: u16,
        reason: String,
        retry_after: Option<Duration>,
    ) {
        let Exchange::Sent(change) = self.exchange else { return };
        // RFC 3261 §12.2.1.2: these end the dialog.
        if matches!(code, 408 | 481) || code == 0 {
            self.sip(SipAction::Bye);
            self.fail(context, Originator::Remote, code, reason);
            return;
        }
        self.description.rollback();
        if let (491 | 500, Some(wait)) = (code, retry_after) {
            (self.exchange, self.waiting) = (Exchange::Idle, Some(change));
            self.timers.retry = Some(context.now + wait);
            return;
        }
        self.exchange = Exchange::Idle;
        self.timers.no_answer = None;
        self.undo(context, change, &format!("{code} {reason}"));
    }

    /// Takes a change back that did not come about.
    fn undo(&mut self, context: Context<'_>, change: Change, reason: &str) {
        self.description.rollback();
        match change {
            Change::Hold(held) => {
                self.set_local_hold(!held);
                self.tell_local_hold(!held);
            }
            Change::Add(streams) => {
                self.close(context, streams);
                self.enter(Phase::Established);
                let (proposer, reason) = (Originator::Local, reason.to_owned());
                self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
            }
            Change::AddFile(id) => {
                self.undo_add_file(id, reason);
                self.enter(Phase::Established);
                let (proposer, reason) = (Originator::Local, reason.to_owned());
                self.notify(SessionEvent::RejectedStreamProposal { proposer, reason });
            }
            Change::RemoveFile(_) => {
                self.tell_streams();
            }
            Change::Refresh => self.run_held_back(),
            Change::RestartIce => {
                self.audio_settled();
                if let Some(ice) = self.ice_mut() {
                    ice.undo_restart();
                }
            }
            // The stream is closed on this side whatever the peer says of it.
            Change::Remove(streams) => {
                self.close(context, streams);
                self.forget(streams);
                self.tell_if_changed();
            }
        }
        self.next_change(context);
    }

    /// The session is to be kept alive by a re-INVITE.
    pub(super) fn refresh_due(&mut self, context: Context<'_>) {
        if !self.changes.contains(&Change::Refresh) {
            self.changes.push_back(Change::Refresh);
            self.next_change(context);
        }
    }

    /// ICE is to begin anew, once.
    pub(super) fn restart_due(&mut self, context: Context<'_>) {
        if !self.changes.contains(&Change::RestartIce) {
            self.changes.push_back(Change::RestartIce);
            self.next_change(context);
        }
    }

    fn set_local_hold(&mut self, held: bool) {
        self.change(|snapshot| snapshot.on_hold_by_local = held);
        self.pause_recording();
    }

    fn tell_local_hold(&mut self, held: bool) {
        let originator = Originator::Local;
        self.notify(match held {
            true => SessionEvent::GotHoldRequest { originator },
            false => SessionEvent::GotUnholdRequest { originator },
        });
    }

    /// The local media of a proposal cannot be had.
    pub(super) fn proposal_media_failed(&mut self, context: Context<'_>, streams: StreamSet, reason: &str) {
        let running = self.audio.as_ref().is_some_and(|audio| audio.running && streams.audio)
            || self.chat.as_ref().is_some_and(|chat| chat.running && streams.chat);
        let unsent = match self.exchange {
            Exchange::Preparing(change) => Some(change),
            _ => self.waiting,
        };
        match (&self.phase, unsent) {
            (Phase::Proposing, Some(change)) if !running => {
                self.exchange = Exchange::Idle;
                self.timers.stream_start = None;
                self.withdraw(context, change, reason);
            }
            (Phase::Proposed, _) if !running => {
                self.close(context, streams);
                self.refuse_proposal(context, StatusCode::SERVER_INTERNAL_ERROR, reason);
            }
            // A stream that ran before the proposal broke meanwhile; it is taken out after it.
            _ => {
                self.close(context, streams);
                self.forget(streams);
                self.changes.push_back(Change::Remove(streams));
            }
        }
    }

    /// Takes a change back that was not sent, or is to be sent again.
    pub(super) fn withdraw(&mut self, context: Context<'_>, change: Change, reason: &str) {
        (self.waiting, self.timers.retry, self.timers.no_answer) = (None, None, None);
        self.undo(context, change, reason);
    }

    /// Nobody answers a proposal of ours for too long.
    pub(super) fn proposing_unanswered(&mut self, context: Context<'_>) {
        match self.waiting {
            Some(change) => self.withdraw(context, change, "no answer"),
            None => self.sip(SipAction::CancelReinvite),
        }
    }
}
