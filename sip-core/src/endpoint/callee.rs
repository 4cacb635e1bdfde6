//! Calls that peers make, and other requests of theirs: what our user answers, and how the call
//! gets its ACK (RFC 3261 §13.3, §14.2, §15.1.2).

use super::{
    Body, Call, Cause, Endpoint, Event, Output, Owner, ServerRequest,
    command::{Known, check_headers, not_now},
    envelope::Envelope,
    receive::{Extra, Source},
};
use crate::{
    Method, Request, StatusCode, UsageError,
    header::{HeaderName, InfoPackage},
    usage::{Answer, Phase, TimerRefusal},
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// "At every minute" (RFC 3261 §13.3.1.1).
const PROGRESS_AGAIN: Duration = Duration::from_secs(60);

impl Endpoint {
    /// Sends a provisional response to the peer's INVITE: reliably, if the peer can and it carries a
    /// description or one side requires it (RFC 3262). One that has to wait for the PRACK of the one
    /// before is sent by itself then; if no PRACK comes, the call fails. The status is sent again each
    /// minute, so that no proxy on the way gives the call up (RFC 3261 §13.3.1.1).
    ///
    /// # Errors
    /// If the call does not wait for an answer, or `status` is final.
    pub fn provisional(
        &mut self,
        now: Instant,
        call: Call,
        status: StatusCode,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        if status.is_final() {
            return Err(not_now("provisional", "a status below 200"));
        }
        let id = self.ringing(call, "provisional")?;
        self.send_provisional(now, call, id, status, &[], body)?;
        if let Some(usage) = self.calls.get_mut(&call).filter(|_| status != StatusCode::TRYING) {
            usage.progress = Some((now + PROGRESS_AGAIN, status));
            self.arm_call(call);
        }
        Ok(())
    }

    fn progress_timeout(&mut self, now: Instant, call: Call) {
        let due = self.calls.get(&call).and_then(|usage| usage.progress).filter(|(at, _)| *at <= now);
        if let Some((_, status)) = due
            && let Ok(id) = self.ringing(call, "provisional")
        {
            if let Some(usage) = self.calls.get_mut(&call) {
                usage.progress = Some((now + PROGRESS_AGAIN, status));
            }
            // Where one waits for its PRACK, that one is being repeated.
            let _ = self.send_provisional(now, call, id, status, &[], None);
        }
    }

    /// Accepts the peer's INVITE with 200, once a reliable response with a description is
    /// acknowledged. It is repeated until the ACK comes:
    /// [`Event::Confirmed`], or [`Event::Failed`] with [`Cause::NoAck`].
    ///
    /// # Errors
    /// If the call does not wait for an answer.
    pub fn accept(
        &mut self,
        now: Instant,
        call: Call,
        headers: Vec<(String, String)>,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        check_headers(&headers)?;
        let id = self.ringing(call, "accept")?;
        let (headers, body) = match self.hold_answer(call, headers, body)? {
            Some(now) => now,
            None => return Ok(()),
        };
        self.accept_now(now, call, id, &headers, body)
    }

    pub(crate) fn accept_now(
        &mut self,
        now: Instant,
        call: Call,
        id: ServerRequest,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        self.answer(now, call, id, StatusCode::OK, headers, body)?;
        if let Some(usage) = self.calls.get_mut(&call) {
            usage.phase = Phase::Accepted;
            if let Some(dialog) = &mut usage.dialog {
                dialog.set_confirmed();
            }
        }
        self.end_replaced(now, call);
        Ok(())
    }

    /// Refuses the peer's INVITE; the call is over.
    ///
    /// # Errors
    /// If the call does not wait for an answer, or `status` is below 300.
    pub fn reject(
        &mut self,
        now: Instant,
        call: Call,
        status: StatusCode,
        reason: Option<&str>,
        headers: Vec<(String, String)>,
    ) -> Result<(), UsageError> {
        if status.code() < 300 {
            return Err(not_now("reject", "a status of 300 or more"));
        }
        check_headers(&headers)?;
        let id = self.ringing(call, "reject")?;
        self.respond_in(now, id, status, reason, &headers, None)?;
        self.end_call(now, call, false, None, format!("refused with {status}"));
        Ok(())
    }

    /// Responds to a request that was handed up: a re-INVITE or UPDATE, or another one.
    ///
    /// # Errors
    /// If it does not wait for a response any more.
    pub fn respond(
        &mut self,
        now: Instant,
        id: ServerRequest,
        status: StatusCode,
        headers: Vec<(String, String)>,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        check_headers(&headers)?;
        let server = self.servers.get(&id).known()?;
        let (call, request) = (server.call, server.request.as_ref().known()?);
        if *request.method() != Method::Invite
            && (status == StatusCode::REQUEST_TIMEOUT
                || (status.is_provisional() && status != StatusCode::TRYING))
        {
            // RFC 4320 §4.1, §4.2: they only do harm.
            return Err(not_now("respond", "a status that other requests than INVITE may get"));
        }
        let Some(call) = call.filter(|call| self.calls.contains_key(call)) else {
            return self.respond_in(now, id, status, None, &headers, body).map(drop);
        };
        let refreshes = matches!(*request.method(), Method::Invite | Method::Update) && status.is_success();
        let invite = *request.method() == Method::Invite;
        let target = if refreshes { Some(request.headers().clone()) } else { None };
        let remote = request.from().ok().and_then(|from| from.tag().map(str::to_owned));
        if invite && status.is_success() {
            self.answer(now, call, id, status, &headers, body)?;
        } else if invite && status.is_provisional() {
            self.send_provisional(now, call, id, status, &headers, body)?;
        } else if refreshes {
            let headers = self.accepting(now, call, id, &headers);
            self.respond_in(now, id, status, None, &headers, body)?;
            self.arm_call(call);
        } else {
            self.respond_in(now, id, status, None, &headers, body)?;
        }
        if let (Some(usage), true) = (self.calls.get_mut(&call), status.is_final()) {
            usage.offer.take_if(|r| *r == id);
            usage.update.take_if(|r| *r == id);
            usage.requests.retain(|r| *r != id);
            if let (Some(target), Some(dialog)) = (target, usage.dialog_mut(remote.as_deref())) {
                // RFC 3261 §12.2.2.
                dialog.refresh(&target);
            }
        }
        Ok(())
    }

    /// The INVITE of a call that rings.
    fn ringing(&self, call: Call, command: &'static str) -> Result<ServerRequest, UsageError> {
        let usage = self.calls.get(&call).known()?;
        match (&usage.phase, usage.offer) {
            (Phase::Ringing, Some(id)) => Ok(id),
            _ => Err(not_now(command, "a call of a peer that is not answered")),
        }
    }

    /// Sends a 2xx to INVITE and repeats it until its ACK (RFC 3261 §13.3.1.4).
    fn answer(
        &mut self,
        now: Instant,
        call: Call,
        id: ServerRequest,
        status: StatusCode,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        let request = self.servers.get(&id).and_then(|s| s.request.as_ref()).known()?;
        let cseq = request.cseq().map_err(UsageError::Invalid)?.number;
        let headers = &self.accepting(now, call, id, headers);
        let Some(data) = self.respond_in(now, id, status, None, headers, body)? else {
            return Err(UsageError::Gone);
        };
        let timers = self.config.timers;
        let usage = self.calls.get_mut(&call).known()?;
        usage.offer = None;
        usage.repeated = None;
        if let Some(reliable) = &mut usage.reliable {
            reliable.stop();
        }
        usage.answer = Some(Answer {
            server: id,
            cseq,
            data,
            interval: timers.t1,
            again: now + timers.t1,
            give_up: now + timers.patience(),
        });
        self.arm_call(call);
        Ok(())
    }

    pub(crate) fn arm_call(&mut self, call: Call) {
        let deadline = self.calls.get(&call).and_then(crate::usage::InviteUsage::deadline);
        self.timers.set(Owner::Call(call), deadline);
    }

    pub(crate) fn call_timeout(&mut self, now: Instant, call: Call) {
        let timers = self.config.timers;
        self.reliable_timeout(now, call);
        self.repeated_timeout(now, call);
        self.progress_timeout(now, call);
        self.session_timeout(now, call);
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let Some(answer) = &mut usage.answer else {
            self.arm_call(call);
            return;
        };
        if answer.give_up <= now {
            usage.answer = None;
            self.never_acknowledged(now, call);
            return;
        }
        if answer.again <= now {
            answer.interval = timers.next_interval(answer.interval);
            answer.again = now + answer.interval;
            let (id, data): (ServerRequest, Bytes) = (answer.server, answer.data.clone());
            if let Some(way) = self.servers.get(&id).map(|s| s.way) {
                self.send_back(now, way, data);
            }
        }
        self.arm_call(call);
    }

    /// Our 2xx got no ACK: the call is ended (RFC 3261 §13.3.1.4).
    fn never_acknowledged(&mut self, now: Instant, call: Call) {
        self.bye_unowned(now, call);
        let Some(usage) = self.calls.get(&call) else { return };
        let (initial, unwanted) = (matches!(usage.phase, Phase::Accepted), usage.hang_up.is_some());
        if !initial || unwanted {
            self.end_call(now, call, false, None, "our 2xx was never acknowledged".to_owned());
            return;
        }
        self.forget_call(now, call);
        let reason = "our 2xx was never acknowledged".to_owned();
        let event = Event::Failed { call, cause: Cause::NoAck, status: None, reason, response: None };
        self.outputs.push_back(Output::Event(event));
    }

    /// An ACK of a 2xx (RFC 3261 §13.3.1.4).
    pub(crate) fn acknowledged(&mut self, now: Instant, request: Request, envelope: &Envelope) {
        let call = self.call_of(envelope);
        let usage = call.and_then(|call| Some((call, self.calls.get_mut(&call)?)));
        let Some((call, usage)) =
            usage.filter(|(_, u)| u.answer.as_ref().is_some_and(|a| a.cseq == envelope.cseq.number))
        else {
            self.stats.strays += 1;
            return;
        };
        usage.answer = None;
        if matches!(usage.phase, Phase::Accepted) {
            usage.phase = Phase::Confirmed;
        }
        let hang_up = usage.hang_up.take();
        self.arm_call(call);
        self.outputs.push_back(Output::Event(Event::Confirmed { call, ack: request }));
        if let Some(headers) = hang_up {
            // The headers were good when they were given.
            let _ = self.bye(now, call, headers);
        }
    }

    /// A CANCEL took the peer's INVITE or re-INVITE back; 487 was sent.
    pub(crate) fn invite_cancelled(&mut self, now: Instant, call: Call, id: ServerRequest, request: Request) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        if usage.offer == Some(id) {
            usage.offer = None;
        }
        if matches!(usage.phase, Phase::Ringing) {
            self.forget_call(now, call);
            self.outputs.push_back(Output::Event(Event::Cancelled { call, request }));
        } else {
            self.outputs.push_back(Output::Event(Event::ReinviteCancelled { call, id }));
        }
    }

    /// A request that nobody answered in time: its call need not wait for that.
    pub(crate) fn forget_request(&mut self, id: ServerRequest) {
        let call = self.servers.get(&id).and_then(|s| s.call);
        if let Some(usage) = call.and_then(|call| self.calls.get_mut(&call)) {
            usage.requests.retain(|r| *r != id);
            usage.offer.take_if(|r| *r == id);
            usage.update.take_if(|r| *r == id);
        }
    }

    /// A request within a call (RFC 3261 §12.2.2).
    pub(crate) fn in_call(
        &mut self,
        now: Instant,
        call: Call,
        request: Request,
        envelope: Envelope,
        source: Source,
    ) {
        let method = request.method().clone();
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let tag = envelope.from_tag.as_deref();
        let in_order = usage.dialog_mut(tag).is_some_and(|d| d.receive(envelope.cseq.number));
        if !in_order {
            self.refuse(now, &request, &envelope.via, &source, StatusCode::SERVER_INTERNAL_ERROR, |e, b| {
                e.signed(b.reason("CSeq Out of Order"))
            });
            return;
        }
        self.provisional_arrived(call);
        match method {
            Method::Options => return self.options(now, &request, &envelope.via, &source),
            Method::Prack => return self.pracked(now, call, request, &envelope, &source),
            Method::Info => {
                let packages = &self.config.info_packages;
                let package = request.header::<InfoPackage>();
                if package.is_some_and(|p| !packages.contains(&p.package)) {
                    // RFC 6086 §4.2.2.
                    let known = super::server::join(packages.iter().map(String::as_str));
                    let (status, extra) = (StatusCode::BAD_INFO_PACKAGE, Some(("Recv-Info", known)));
                    return self.refuse_signed(now, &request, &envelope, &source, status, extra);
                }
            }
            _ => {}
        }
        if let Err((status, extra)) = self.check_change(call, &request, &envelope) {
            self.refuse_signed(now, &request, &envelope, &source, status, extra);
            return;
        }
        let tag: Box<str> = envelope.to_tag.clone().unwrap_or_default();
        let Some(id) = self.start_server(now, &request, &envelope, &source, tag, Some(call)) else {
            self.overloaded(now, &request, &envelope.via, &source);
            return;
        };
        let Some(usage) = self.calls.get_mut(&call) else { return };
        match method {
            Method::Bye => self.bye_received(now, call, id, request),
            Method::Update if request.body().is_empty() => {
                // It offers nothing: it refreshes the target and the session.
                if let Some(dialog) = usage.dialog_mut(envelope.from_tag.as_deref()) {
                    dialog.refresh(request.headers());
                }
                let headers = self.accepting(now, call, id, &[]);
                // Nothing of the caller's is in it.
                let _ = self.respond_in(now, id, StatusCode::OK, None, &headers, None);
                self.arm_call(call);
                self.outputs.push_back(Output::Event(Event::Refreshed { call, by_remote: true }));
            }
            Method::Invite | Method::Update => {
                let place = if method == Method::Invite { &mut usage.offer } else { &mut usage.update };
                *place = Some(id);
                self.outputs.push_back(Output::Event(Event::Reinvite { call, id, request }));
            }
            _ => {
                usage.requests.push(id);
                self.outputs.push_back(Output::Event(Event::Request { call: Some(call), id, request }));
            }
        }
    }

    /// Whether a re-INVITE or UPDATE can be taken now (RFC 3261 §14.2, RFC 3311 §5.2, RFC 4028 §9).
    fn check_change(
        &mut self,
        call: Call,
        request: &Request,
        envelope: &Envelope,
    ) -> Result<(), (StatusCode, Extra)> {
        let wait = (self.random_u64() % 11).to_string();
        let Some(usage) = self.calls.get_mut(&call) else { return Ok(()) };
        let invite = match request.method() {
            Method::Invite => true,
            Method::Update => false,
            _ => return Ok(()),
        };
        if matches!(usage.phase, Phase::Ending) {
            return Err((StatusCode::CALL_DOES_NOT_EXIST, None));
        }
        let confirmed = matches!(usage.phase, Phase::Confirmed);
        // While the first INVITE is under way, its offer may be answered by reliable responses.
        let (first_ours, first_theirs) = match &usage.phase {
            Phase::Calling { .. } => {
                (!usage.early_mut(envelope.from_tag.as_deref()).is_some_and(|e| e.reliable.settled), false)
            }
            Phase::Ringing => (false, !usage.reliable.as_ref().is_some_and(|r| r.settled)),
            _ => (false, usage.offer.is_some()),
        };
        let ours =
            first_ours || usage.reinvite.is_some() || usage.to_ack.is_some() || usage.updating.is_some();
        let theirs = first_theirs || usage.answer.is_some();
        let offers = invite || !request.body().is_empty();
        if usage.update.is_some() || (offers && theirs) {
            return Err((StatusCode::SERVER_INTERNAL_ERROR, Some(("Retry-After", wait))));
        }
        if offers && (ours || (invite && !confirmed)) {
            return Err((StatusCode::REQUEST_PENDING, None));
        }
        match usage.timer.check(request) {
            Err(TimerRefusal::TooSmall(min)) if confirmed => {
                Err((StatusCode::SESSION_INTERVAL_TOO_SMALL, Some(("Min-SE", min.to_string()))))
            }
            _ => Ok(()),
        }
    }

    /// The peer hangs up (RFC 3261 §15.1.2).
    fn bye_received(&mut self, now: Instant, call: Call, id: ServerRequest, request: Request) {
        // Nothing of the caller's is in it.
        let _ = self.respond_in(now, id, StatusCode::OK, None, &[], None);
        let Some(usage) = self.calls.get(&call) else { return };
        match &usage.phase {
            // Both hang up at once: the answer to ours ends the call.
            Phase::Ending => return,
            // A callee that ends its early dialog; others may still answer.
            Phase::Calling { .. } => return,
            Phase::Ringing | Phase::Accepted | Phase::Confirmed => {}
        }
        let reason = request.headers().text(HeaderName::REASON).unwrap_or("the peer hung up").to_owned();
        self.end_call(now, call, true, Some(request), crate::unfold(&reason).into_owned());
    }
}
