//! What we ask within a call: re-INVITE, UPDATE, BYE and others (RFC 3261 §12.2.1, §14.1, §15).

use super::{
    Body, Call, Cause, Endpoint, Event, Output, Owner, RequestId,
    caller::authorize,
    client::{ClientKey, User},
    command::{Known, check_headers, not_now},
    reliable::Reliability,
    send::{OwnContact, Template},
};
use crate::{
    Method, Request, Response, StatusCode, UsageError,
    usage::{Cancel, Phase, ReliableClient, ToAck},
};
use std::time::{Duration, Instant};

impl Endpoint {
    /// Offers another session by a re-INVITE. What becomes of it comes as
    /// [`Event::ReinviteAnswered`] or [`Event::ReinviteFailed`].
    ///
    /// # Errors
    /// If the call is not established, or an INVITE of either side is under way.
    pub fn reinvite(&mut self, now: Instant, call: Call, body: Option<Body>) -> Result<(), UsageError> {
        self.check_clients()?;
        let usage = self.calls.get(&call).known()?;
        let busy = usage.reinvite.is_some()
            || usage.to_ack.is_some()
            || usage.offer.is_some()
            || usage.update.is_some()
            || usage.updating.is_some()
            || usage.answer.is_some();
        if busy || !matches!(usage.phase, Phase::Confirmed) {
            return Err(not_now("reinvite", "an established call without an INVITE under way"));
        }
        let offered = body.is_some();
        let template = self.in_call_template(call, None, Method::Invite, &[], body)?;
        if let Some(usage) = self.calls.get_mut(&call) {
            usage.reinvite = Some((ClientKey { branch: 0, cancel: false }, Cancel::No));
            usage.reinvite_reliable = ReliableClient::default();
            usage.offered = offered;
        }
        let client = self.start_client(now, template, User::Reinvite(call));
        self.rebind(User::Reinvite(call), client);
        Ok(())
    }

    /// Sends UPDATE (RFC 3311); the response comes as [`Event::Response`].
    ///
    /// # Errors
    /// If the call has no dialog.
    pub fn update(&mut self, now: Instant, call: Call, body: Option<Body>) -> Result<RequestId, UsageError> {
        self.request_in_dialog(now, call, Method::Update, Vec::new(), body)
    }

    /// Sends a request within a call; the response comes as [`Event::Response`].
    ///
    /// # Errors
    /// If the call has no dialog, or the method has a command of its own.
    pub fn request_in_dialog(
        &mut self,
        now: Instant,
        call: Call,
        method: Method,
        headers: Vec<(String, String)>,
        body: Option<Body>,
    ) -> Result<RequestId, UsageError> {
        if matches!(method, Method::Invite | Method::Ack | Method::Cancel | Method::Bye) {
            return Err(not_now("request_in_dialog", "a method without a command of its own"));
        }
        self.check_clients()?;
        check_headers(&headers)?;
        let offers = method == Method::Update && body.is_some();
        let busy = |u: &crate::usage::InviteUsage| {
            u.update.is_some() || u.updating.is_some() || u.reinvite.is_some()
        };
        if offers && self.calls.get(&call).is_some_and(busy) {
            return Err(not_now("update", "a call without an offer under way"));
        }
        let template = self.in_call_template(call, None, method, &headers, body)?;
        self.next_id += 1;
        let id = RequestId(self.next_id);
        if let Some(usage) = self.calls.get_mut(&call)
            && offers
        {
            usage.updating = Some(id);
        }
        self.start_client(now, template, User::InCall(call, id));
        Ok(id)
    }

    /// Hangs up. [`Event::Ended`] comes when the peer confirms, or does not. A call of ours that is
    /// not answered is cancelled; one of a peer's that is not acknowledged ends once it is.
    ///
    /// # Errors
    /// If the call is ending already, or waits for our answer: that is [`Endpoint::reject`]'s.
    pub fn bye(
        &mut self,
        now: Instant,
        call: Call,
        headers: Vec<(String, String)>,
    ) -> Result<(), UsageError> {
        check_headers(&headers)?;
        let usage = self.calls.get_mut(&call).known()?;
        match usage.phase {
            Phase::Calling { .. } => return self.cancel(now, call),
            // It is answered as soon as a PRACK comes, and ends with the ACK.
            Phase::Ringing if usage.reliable.as_ref().is_some_and(|r| r.held.is_some()) => {
                usage.hang_up = Some(headers);
                return Ok(());
            }
            Phase::Ringing | Phase::Ending => return Err(not_now("bye", "an established call")),
            Phase::Accepted => {
                usage.hang_up = Some(headers);
                return Ok(());
            }
            Phase::Confirmed => {}
        }
        if usage.to_ack.is_some() {
            // Nothing ends before it is acknowledged.
            self.ack(now, call, None)?;
        }
        let template = self.in_call_template(call, None, Method::Bye, &headers, None)?;
        self.abandon_requests(now, call);
        if let Some(usage) = self.calls.get_mut(&call) {
            usage.phase = Phase::Ending;
            usage.answer = None;
        }
        self.arm_call(call);
        self.start_client(now, template, User::Bye(call));
        Ok(())
    }

    /// The next request of the dialog of a call; while there are several early ones, of that with
    /// this tag, or the first.
    pub(crate) fn in_call_template(
        &mut self,
        call: Call,
        tag: Option<&str>,
        method: Method,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<Template, UsageError> {
        let cnonce = self.random_token();
        let usage = self.calls.get_mut(&call).known()?;
        let (transport, flow, own) = (usage.transport, usage.flow, usage.contact.clone());
        let refreshes = matches!(
            method,
            Method::Invite | Method::Update | Method::Subscribe | Method::Refer | Method::Notify
        );
        let changes = matches!(method, Method::Invite | Method::Update);
        let timer =
            if changes && matches!(usage.phase, Phase::Confirmed) { usage.timer.ask() } else { Vec::new() };
        let found = if tag.is_some() { usage.dialog_mut(tag) } else { usage.any_dialog() };
        let dialog = found.ok_or(not_now("a request within the call", "a dialog"))?;
        let routed = dialog.request(method);
        let next_hop = routed.next_hop;
        let mut request = if timer.is_empty() {
            self.complete(routed.value, headers, body)?
        } else {
            let mut all = headers.to_vec();
            super::session::add(&mut all, timer);
            self.complete(routed.value, &all, body)?
        };
        let mut contact = OwnContact::Given;
        if refreshes {
            contact = own;
            if let OwnContact::Given = contact {
                // The caller's own Contact, as in the INVITE: it is what the peer knows.
                contact = OwnContact::Derived(None);
            }
        }
        if let Some(auth) = self.calls.get_mut(&call).and_then(|u| u.auth.as_mut())
            && let Ok(cseq) = request.cseq()
        {
            authorize(&mut request, auth, cseq.number, &cnonce);
        }
        Ok(Template { request, next_hop, transport, flow, contact })
    }

    pub(crate) fn reinvite_provisional(
        &mut self,
        now: Instant,
        call: Call,
        key: ClientKey,
        response: Response,
    ) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let Some((_, cancel)) = &mut usage.reinvite else { return };
        let wanted = *cancel == Cancel::Wanted;
        if wanted {
            *cancel = Cancel::Sent;
        }
        if response.status() != StatusCode::TRYING {
            let reliable = self.reliable_response(call, &response);
            if let Reliability::Unordered = reliable {
                self.stats.retransmissions += 1;
            } else {
                self.refresh_target(call, &reliable, &response);
                self.outputs.push_back(Output::Event(Event::ReinviteProvisional { call, response }));
                self.acknowledge_provisional(now, call, None, reliable);
            }
        }
        if wanted {
            self.send_cancel(now, key);
        }
    }

    pub(crate) fn reinvite_answered(&mut self, now: Instant, call: Call, key: ClientKey, response: Response) {
        if self.new_2xx(now, key, &response).is_none() {
            return;
        }
        let Ok(cseq) = response.cseq() else { return };
        let usage = self.calls.get_mut(&call).filter(|u| u.reinvite.is_some_and(|(k, _)| k == key));
        let Some(usage) = usage else { return };
        usage.reinvite = None;
        usage.to_ack = Some(ToAck { client: key, cseq: cseq.number });
        if let Some(dialog) = &mut usage.dialog {
            dialog.refresh(response.headers());
        }
        if let Some(auth) = &mut usage.auth {
            auth.succeeded();
        }
        usage.timer.answered(now, response.headers());
        let ending = matches!(usage.phase, Phase::Ending);
        self.arm_call(call);
        if ending {
            // We hung up meanwhile; the 2xx is acknowledged all the same. It is there to be.
            let _ = self.ack(now, call, None);
        } else {
            self.outputs.push_back(Output::Event(Event::ReinviteAnswered { call, response }));
        }
    }

    pub(crate) fn reinvite_refused(
        &mut self,
        now: Instant,
        call: Call,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        if let Some(template) = self.challenged(call, template, &response) {
            let client = self.start_client(now, template, User::Reinvite(call));
            self.rebind(User::Reinvite(call), client);
            return;
        }
        let random = self.random_u64();
        let Some(usage) = self.calls.get_mut(&call) else { return };
        usage.reinvite = None;
        let status = response.status();
        if matches!(usage.phase, Phase::Ending) {
            return;
        }
        let retry_after =
            (status == StatusCode::REQUEST_PENDING).then(|| glare_wait(random, usage.owns_call_id));
        let reason = response.reason().to_owned();
        self.outputs.push_back(Output::Event(Event::ReinviteFailed {
            call,
            cause: Cause::Refused,
            status: Some(status),
            reason,
            response: Some(response),
            retry_after,
        }));
        self.check_lost(now, call, status);
    }

    pub(crate) fn reinvite_failed(&mut self, now: Instant, call: Call, cause: Cause, reason: String) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        usage.reinvite = None;
        if matches!(usage.phase, Phase::Ending) {
            return;
        }
        self.outputs.push_back(Output::Event(Event::ReinviteFailed {
            call,
            cause,
            status: None,
            reason,
            response: None,
            retry_after: None,
        }));
        if cause == Cause::Timeout {
            self.dialog_lost(now, call, false, "nobody answers");
        }
    }

    pub(crate) fn bye_answered(
        &mut self,
        now: Instant,
        call: Call,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        match self.challenged(call, template, &response) {
            Some(template) => {
                self.start_client(now, template, User::Bye(call));
            }
            None => self.end_call(now, call, false, None, format!("BYE: {}", response.status())),
        }
    }

    pub(crate) fn in_call_answered(
        &mut self,
        now: Instant,
        call: Call,
        id: RequestId,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        let refreshes = template.as_ref().is_some_and(|t| *t.request.method() == Method::Update);
        if let Some(template) = self.challenged(call, template, &response) {
            self.start_client(now, template, User::InCall(call, id));
            return;
        }
        let status = response.status();
        self.update_over(call, id);
        if let Some(usage) = self.calls.get_mut(&call)
            && status.is_success()
        {
            if let Some(auth) = &mut usage.auth {
                auth.succeeded();
            }
            if let (true, Some(dialog)) = (refreshes, &mut usage.dialog) {
                dialog.refresh(response.headers());
                usage.timer.answered(now, response.headers());
            }
            self.arm_call(call);
        }
        self.outputs.push_back(Output::Event(Event::Response { id, response }));
        self.check_lost(now, call, status);
    }

    /// An UPDATE of ours waits no longer.
    pub(crate) fn update_over(&mut self, call: Call, id: RequestId) {
        if let Some(usage) = self.calls.get_mut(&call) {
            usage.updating.take_if(|u| *u == id);
        }
    }

    /// The request again, with what a challenge (RFC 3261 §22.2) or a 422 (RFC 4028 §7.3) wants.
    pub(crate) fn challenged(
        &mut self,
        call: Call,
        template: Option<Box<Template>>,
        response: &Response,
    ) -> Option<Template> {
        let cnonce = self.random_token();
        let usage = self.calls.get_mut(&call)?;
        let mut template = template?;
        let to = template.request.to().ok()?;
        let (dialog, auth, timer) = usage.parts_mut(to.tag());
        let (dialog, request) = (dialog?, &mut template.request);
        super::session::again(request, response, timer, auth, &mut || dialog.bump(), &cnonce)
            .then_some(*template)
    }

    /// RFC 3261 §12.2.1.2: 481 and 408 mean that the dialog is gone.
    pub(crate) fn check_lost(&mut self, now: Instant, call: Call, status: StatusCode) {
        match status {
            StatusCode::CALL_DOES_NOT_EXIST => self.dialog_lost(now, call, true, "the peer has no such call"),
            StatusCode::REQUEST_TIMEOUT => self.dialog_lost(now, call, false, "the peer is not reached"),
            _ => {}
        }
    }

    pub(crate) fn dialog_lost(&mut self, now: Instant, call: Call, by_remote: bool, reason: &str) {
        let established = |phase: &Phase| matches!(phase, Phase::Confirmed);
        if self.calls.get(&call).is_some_and(|u| established(&u.phase)) {
            self.bye_unowned(now, call);
            self.end_call(now, call, by_remote, None, reason.to_owned());
        }
    }

    /// Sends a BYE that nobody waits for.
    pub(crate) fn bye_unowned(&mut self, now: Instant, call: Call) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let (transport, flow) = (usage.transport, usage.flow);
        let Some(dialog) = &mut usage.dialog else { return };
        let routed = dialog.request(Method::Bye);
        self.send_unowned(now, routed, transport, flow);
    }

    /// Ends a call that was established, or was ours to refuse.
    pub(crate) fn end_call(
        &mut self,
        now: Instant,
        call: Call,
        by_remote: bool,
        request: Option<Request>,
        reason: String,
    ) {
        if self.calls.contains_key(&call) {
            self.forget_call(now, call);
            self.outputs.push_back(Output::Event(Event::Ended { call, by_remote, request, reason }));
        }
    }

    /// Takes a call out; the peer's requests that wait are answered (RFC 3261 §15.1.2).
    pub(crate) fn forget_call(&mut self, now: Instant, call: Call) {
        self.abandon_requests(now, call);
        let Some(usage) = self.calls.remove(&call) else { return };
        self.tags.remove(&usage.local_tag);
        self.remember_ended(usage.local_tag);
        let usage = self.inherit_dialog(usage);
        self.timers.set(Owner::Call(call), None);
        super::shrink(&mut self.calls);
        super::shrink(&mut self.tags);
        // An INVITE of ours that is still under way ends by itself; its 2xx would be a fork's.
        let key = match usage.phase {
            Phase::Calling { client, cancel: Cancel::No, .. } => Some(client),
            _ => usage.reinvite.map(|(client, _)| client),
        };
        if let Some(key) = key.filter(|key| self.clients.get(key).is_some_and(|c| c.is_proceeding())) {
            self.send_cancel(now, key);
        }
    }

    fn abandon_requests(&mut self, now: Instant, call: Call) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let waiting: Vec<_> = usage
            .offer
            .take()
            .into_iter()
            .chain(usage.update.take())
            .chain(std::mem::take(&mut usage.requests))
            .collect();
        for id in waiting {
            // One that is gone needs no answer.
            let _ = self.respond_in(now, id, StatusCode::REQUEST_TERMINATED, None, &[], None);
        }
    }
}

/// When to try a re-INVITE again after 491 (RFC 3261 §14.1), in units of 10 ms.
pub(crate) fn glare_wait(random: u64, owns_call_id: bool) -> Duration {
    let units = match owns_call_id {
        true => 210 + random % 191,
        false => random % 201,
    };
    Duration::from_millis(units * 10)
}
