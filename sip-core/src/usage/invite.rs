//! The usage that an INVITE makes: a call (RFC 3261 §13, §14, §15).

use super::{ReliableClient, ReliableServer, Repeated, SessionTimer, SessionTimers};
use crate::{
    Dialog, StatusCode,
    auth::Authenticator,
    endpoint::{Call, ClientKey, FlowId, OwnContact, RequestId, ServerRequest, Transport},
};
use bytes::Bytes;
use std::time::Instant;

/// How far a call is.
///
/// ```text
///   invite()                                      INVITE
///      |                                             |
///   Calling --2xx--> Confirmed <--ACK-- Accepted <-- Ringing
///      |   refused       |     timeout     |  accept()  | reject(), CANCEL
///      |   timeout       | bye()           | BYE        |
///      v                 v                 v            v
///    (over)           Ending --200--> (over)         (over)
/// ```
#[derive(Debug)]
pub(crate) enum Phase {
    /// Our INVITE has no final response.
    Calling { client: ClientKey, early: Vec<Early>, cancel: Cancel },
    /// The peer's INVITE has no final response.
    Ringing,
    /// We sent a 2xx that is not acknowledged.
    Accepted,
    /// It is established.
    Confirmed,
    /// Our BYE has no final response.
    Ending,
}

/// An early dialog of a call of ours: each branch of a fork has its own.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) dialog: Dialog,
    pub(crate) reliable: ReliableClient,
}

/// Whether an INVITE of ours is to be cancelled (RFC 3261 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    No,
    /// As soon as a provisional response came.
    Wanted,
    Sent,
}

/// A 2xx to INVITE that is repeated until its ACK (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) server: ServerRequest,
    pub(crate) cseq: u32,
    pub(crate) data: Bytes,
    pub(crate) interval: std::time::Duration,
    pub(crate) again: Instant,
    pub(crate) give_up: Instant,
}

/// A 2xx to INVITE that its user has to acknowledge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToAck {
    pub(crate) client: ClientKey,
    pub(crate) cseq: u32,
}

/// A call.
#[derive(Debug)]
pub(crate) struct InviteUsage {
    pub(crate) phase: Phase,
    /// The one dialog; while `Calling` there may be several in the phase.
    pub(crate) dialog: Option<Dialog>,
    pub(crate) local_tag: u64,
    pub(crate) contact: OwnContact,
    pub(crate) transport: Option<Transport>,
    /// The connection of the peer's INVITE.
    pub(crate) flow: Option<FlowId>,
    pub(crate) auth: Option<Authenticator>,
    /// Our re-INVITE without a final response.
    pub(crate) reinvite: Option<(ClientKey, Cancel)>,
    pub(crate) to_ack: Option<ToAck>,
    /// The peer's INVITE or re-INVITE without a final response.
    pub(crate) offer: Option<ServerRequest>,
    /// An UPDATE of the peer's with an offer, without a final response.
    pub(crate) update: Option<ServerRequest>,
    /// An UPDATE of ours with an offer, without a final response.
    pub(crate) updating: Option<RequestId>,
    /// Other requests of the peer without a final response.
    pub(crate) requests: Vec<ServerRequest>,
    pub(crate) answer: Option<Answer>,
    /// A BYE that waits for the ACK of our 2xx (RFC 3261 §15).
    pub(crate) hang_up: Option<Vec<(String, String)>>,
    /// Whether we made the Call-ID (RFC 3261 §14.1).
    pub(crate) owns_call_id: bool,
    /// Our INVITE or re-INVITE carried the offer.
    pub(crate) offered: bool,
    /// Whether provisional responses to our INVITE may be reliable.
    pub(crate) takes_reliable: bool,
    /// When our provisional response to the peer's INVITE is sent again, and which.
    pub(crate) progress: Option<(Instant, StatusCode)>,
    /// Our reliable responses to the peer's INVITE.
    pub(crate) reliable: Option<Box<ReliableServer>>,
    /// One that is not reliable and is repeated.
    pub(crate) repeated: Option<Box<Repeated>>,
    /// The peer's to our re-INVITE.
    pub(crate) reinvite_reliable: ReliableClient,
    pub(crate) timer: Box<SessionTimer>,
    /// The call that this one takes the place of (RFC 3891), or joins (RFC 3911).
    pub(crate) replaces: Option<Call>,
    pub(crate) joins: Option<Call>,
}

impl InviteUsage {
    pub(crate) fn outgoing(
        local_tag: u64,
        client: ClientKey,
        contact: OwnContact,
        transport: Option<Transport>,
        auth: Option<Authenticator>,
        timers: SessionTimers,
    ) -> Self {
        let phase = Phase::Calling { client, early: Vec::new(), cancel: Cancel::No };
        Self { contact, transport, auth, owns_call_id: true, ..Self::new(phase, None, local_tag, timers) }
    }

    pub(crate) fn incoming(
        local_tag: u64,
        dialog: Dialog,
        server: ServerRequest,
        user: Option<Box<str>>,
        flow: Option<FlowId>,
        timers: SessionTimers,
    ) -> Self {
        let contact = OwnContact::Derived(user);
        let offer = Some(server);
        Self { contact, flow, offer, ..Self::new(Phase::Ringing, Some(dialog), local_tag, timers) }
    }

    /// Whether a request of these identifiers belongs to it.
    pub(crate) fn owns(&self, call_id: &str, remote_tag: Option<&str>) -> bool {
        let early = match &self.phase {
            Phase::Calling { early, .. } => early.as_slice(),
            _ => &[],
        };
        self.dialog.iter().chain(early.iter().map(|e| &e.dialog)).any(|d| d.is(call_id, remote_tag))
    }

    /// The dialog of a peer's tag.
    pub(crate) fn dialog_mut(&mut self, remote_tag: Option<&str>) -> Option<&mut Dialog> {
        let early = match &mut self.phase {
            Phase::Calling { early, .. } => early.as_mut_slice(),
            _ => &mut [],
        };
        self.dialog
            .iter_mut()
            .chain(early.iter_mut().map(|e| &mut e.dialog))
            .find(|d| d.remote_tag() == remote_tag)
    }

    /// The only dialog, or the early one that came first.
    pub(crate) fn any_dialog(&mut self) -> Option<&mut Dialog> {
        let early = match &mut self.phase {
            Phase::Calling { early, .. } => early.first_mut(),
            _ => None,
        };
        self.dialog.as_mut().or(early.map(|e| &mut e.dialog))
    }

    /// The dialog of a peer's tag, and what a request in it is authorized and timed by.
    pub(crate) fn parts_mut(
        &mut self,
        remote_tag: Option<&str>,
    ) -> (Option<&mut Dialog>, Option<&mut Authenticator>, &mut SessionTimer) {
        let early = match &mut self.phase {
            Phase::Calling { early, .. } => early.as_mut_slice(),
            _ => &mut [],
        };
        let mut dialogs = self.dialog.iter_mut().chain(early.iter_mut().map(|e| &mut e.dialog));
        let dialog = dialogs.find(|d| d.remote_tag() == remote_tag);
        (dialog, self.auth.as_mut(), &mut self.timer)
    }

    /// The early dialog of a peer's tag.
    pub(crate) fn early_mut(&mut self, remote_tag: Option<&str>) -> Option<&mut Early> {
        match &mut self.phase {
            Phase::Calling { early, .. } => early.iter_mut().find(|e| e.dialog.remote_tag() == remote_tag),
            _ => None,
        }
    }

    /// When its timer is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let answer = self.answer.as_ref().map(|a| a.again.min(a.give_up));
        let reliable = self.reliable.as_ref().and_then(|r| r.deadline());
        let progress = self.progress.filter(|_| matches!(self.phase, Phase::Ringing)).map(|(at, _)| at);
        let repeated = self.repeated.as_ref().and_then(|r| r.deadline());
        answer.into_iter().chain(reliable).chain(progress).chain(repeated).chain(self.timer.deadline()).min()
    }

    fn new(phase: Phase, dialog: Option<Dialog>, local_tag: u64, timers: SessionTimers) -> Self {
        Self {
            phase,
            dialog,
            local_tag,
            contact: OwnContact::Given,
            transport: None,
            flow: None,
            auth: None,
            reinvite: None,
            to_ack: None,
            offer: None,
            update: None,
            updating: None,
            requests: Vec::new(),
            answer: None,
            progress: None,
            hang_up: None,
            owns_call_id: false,
            offered: false,
            takes_reliable: false,
            reliable: None,
            repeated: None,
            reinvite_reliable: ReliableClient::default(),
            timer: Box::new(SessionTimer::new(timers)),
            replaces: None,
            joins: None,
        }
    }
}
