//! Reliable provisional responses and their PRACKs, on both sides (RFC 3262).

use super::{
    Body, Call, Cause, Endpoint, Event, Output, PrackId, ServerRequest,
    client::User,
    command::{Known, not_now},
    envelope::Envelope,
    receive::Source,
    send::Template,
};
use crate::{
    Method, NameAddr, Request, Response, StatusCode, UsageError,
    header::{HeaderName, RAck, RSeq, Require, Supported},
    usage::{Acknowledged, Held, Phase, Queued, Reliable, ReliableAction, ReliableServer},
};
use std::time::Instant;

/// What a provisional response to an INVITE of ours is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reliability {
    /// Not reliable: it is nobody's to acknowledge.
    Unreliable,
    /// Repeated, or after a gap: not to be processed (RFC 3262 §4).
    Unordered,
    /// To be acknowledged.
    Ordered(RAck),
    /// To be acknowledged by the user, with the answer to the offer in it.
    Offer(RAck),
}

/// What is sent, and whether now.
type Answer = (Vec<(String, String)>, Option<Body>);

impl Endpoint {
    /// Acknowledges the reliable response of [`Event::PrackDue`]; `body` is the answer to its offer.
    ///
    /// # Errors
    /// If it does not wait for that any more.
    pub fn prack(
        &mut self,
        now: Instant,
        call: Call,
        id: PrackId,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        if let Some(body) = &body {
            body.checked_type()?;
        }
        let usage = self.calls.get_mut(&call).known()?;
        let early = match &mut usage.phase {
            Phase::Calling { early, .. } => early.as_mut_slice(),
            _ => &mut [],
        };
        let due = |due: &mut (PrackId, RAck)| due.0 == id;
        let found = early
            .iter_mut()
            .find_map(|e| {
                let (_, rack) = e.reliable.due.take_if(due)?;
                Some((e.dialog.remote_tag().map(str::to_owned), rack))
            })
            .or_else(|| usage.reinvite_reliable.due.take_if(due).map(|(_, rack)| (None, rack)));
        let (tag, rack) = found.ok_or(not_now("prack", "a reliable response that waits for it"))?;
        self.send_prack(now, call, tag.as_deref(), &rack, body)
    }

    fn send_prack(
        &mut self,
        now: Instant,
        call: Call,
        tag: Option<&str>,
        rack: &RAck,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        let headers = [("RAck".to_owned(), rack.to_string())];
        let template = self.in_call_template(call, tag, Method::Prack, &headers, body)?;
        self.start_client(now, template, User::Prack(call));
        Ok(())
    }

    /// What a provisional response asks of us (RFC 3262 §4).
    pub(crate) fn reliable_response(&mut self, call: Call, response: &Response) -> Reliability {
        let required = response.header::<Require>().is_some_and(|r| r.has("100rel"));
        let (Some(rseq), Ok(cseq), Ok(to)) = (response.header::<RSeq>(), response.cseq(), response.to())
        else {
            return Reliability::Unreliable;
        };
        let usage = self.calls.get_mut(&call).filter(|u| required && u.takes_reliable);
        let (Some(usage), Some(_)) = (usage, to.tag()) else { return Reliability::Unreliable };
        let offered = usage.offered;
        let client = match &usage.phase {
            // A branch beyond those that are followed is not acknowledged either.
            Phase::Calling { .. } => usage.early_mut(to.tag()).map(|e| &mut e.reliable),
            _ => Some(&mut usage.reinvite_reliable),
        };
        let Some(client) = client.filter(|_| rseq.0 > 0) else { return Reliability::Unordered };
        if !client.receive(rseq.0) {
            return Reliability::Unordered;
        }
        let rack = RAck { rseq: rseq.0, cseq: cseq.number, method: cseq.method };
        if response.body().is_empty() {
            return Reliability::Ordered(rack);
        }
        if !offered && !client.settled {
            client.settled = true;
            return Reliability::Offer(rack);
        }
        if offered && !client.settled {
            let kind = response.headers().text(HeaderName::CONTENT_TYPE).unwrap_or("application/sdp");
            let kind = crate::unfold(kind).into_owned();
            client.answer = Some(Body::new(kind, response.body().clone()));
        }
        client.settled = true;
        Reliability::Ordered(rack)
    }

    /// A reliable provisional response refreshes the target of its dialog, and no other one does
    /// (RFC 6141 §4.7, §4.9).
    pub(crate) fn refresh_target(&mut self, call: Call, reliable: &Reliability, response: &Response) {
        let is_reliable = matches!(reliable, Reliability::Ordered(_) | Reliability::Offer(_));
        let Some(usage) = self.calls.get_mut(&call).filter(|_| is_reliable) else { return };
        let to = response.to().ok();
        if let Some(dialog) = usage.dialog_mut(to.as_ref().and_then(NameAddr::tag)) {
            dialog.refresh(response.headers());
        }
    }

    /// Sends the PRACK, or has the user send it. The response has been told of.
    pub(crate) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        call: Call,
        tag: Option<&str>,
        reliable: Reliability,
    ) {
        match reliable {
            Reliability::Unreliable | Reliability::Unordered => {}
            Reliability::Ordered(rack) => {
                // The dialog is there: the response has a place in it.
                let _ = self.send_prack(now, call, tag, &rack, None);
            }
            Reliability::Offer(rack) => {
                self.next_id += 1;
                let id = PrackId(self.next_id);
                let Some(usage) = self.calls.get_mut(&call) else { return };
                match usage.early_mut(tag) {
                    Some(early) => early.reliable.due = Some((id, rack)),
                    None => usage.reinvite_reliable.due = Some((id, rack)),
                }
                self.outputs.push_back(Output::Event(Event::PrackDue { call, id }));
            }
        }
    }

    pub(crate) fn prack_answered(
        &mut self,
        now: Instant,
        call: Call,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        let asked = template.as_ref().is_some_and(|t| !t.request.body().is_empty());
        if let Some(template) = self.challenged(call, template, &response) {
            self.start_client(now, template, User::Prack(call));
        } else if (asked || !response.body().is_empty()) && self.calls.contains_key(&call) {
            self.outputs.push_back(Output::Event(Event::PrackAnswered { call, response }));
        }
    }

    /// Sends a provisional response, reliably if it has to be (RFC 3262 §3).
    pub(crate) fn send_provisional(
        &mut self,
        now: Instant,
        call: Call,
        id: ServerRequest,
        status: StatusCode,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        let random = self.random_u64();
        let request = self.servers.get(&id).and_then(|s| s.request.as_ref()).known()?;
        if !self.is_reliable(request, status, body.is_some()) {
            return self.respond_in(now, id, status, None, headers, body).map(drop);
        }
        let cseq = request.cseq().map_err(UsageError::Invalid)?.number;
        let offered = !request.body().is_empty();
        let max = self.config.max_provisionals;
        let usage = self.calls.get_mut(&call).known()?;
        if usage.reliable.as_ref().is_none_or(|r| r.server != id) {
            let first = u32::try_from(random & 0x3fff_ffff).unwrap_or(1);
            usage.reliable = Some(Box::new(ReliableServer::new(id, cseq, offered, first)));
        }
        let reliable = usage.reliable.as_mut().known()?;
        if reliable.held.is_some() {
            return Err(not_now("provisional", "a call of a peer that is not answered"));
        }
        if !reliable.is_free() {
            if reliable.queued() >= max {
                return Err(UsageError::Limit("provisional responses"));
            }
            if let Some(body) = &body {
                body.checked_type()?;
            }
            reliable.push(Queued { status, headers: headers.to_vec(), body });
            return Ok(());
        }
        self.send_reliable(now, call, id, Queued { status, headers: headers.to_vec(), body })
    }

    fn send_reliable(
        &mut self,
        now: Instant,
        call: Call,
        id: ServerRequest,
        queued: Queued,
    ) -> Result<(), UsageError> {
        let reliable = self.calls.get(&call).and_then(|u| u.reliable.as_ref()).known()?;
        let Queued { status, mut headers, body } = queued;
        headers.push(("Require".to_owned(), "100rel".to_owned()));
        headers.push(("RSeq".to_owned(), reliable.next_rseq().to_string()));
        let session = body.is_some();
        let Some(data) = self.respond_in(now, id, status, None, &headers, body)? else {
            return Err(UsageError::Gone);
        };
        let timers = self.config.timers;
        let request = self.servers.get(&id).and_then(|server| server.request.as_ref());
        if let Some(usage) = self.calls.get_mut(&call) {
            if let (Some(request), Some(dialog)) = (request, &mut usage.dialog) {
                // RFC 6141 §4.6: before that, and with an error, the target stays as it was.
                dialog.refresh(request.headers());
            }
            if let Some(reliable) = &mut usage.reliable {
                reliable.sent(now, data, session, &timers);
            }
        }
        self.arm_call(call);
        Ok(())
    }

    fn is_reliable(&self, request: &Request, status: StatusCode, session: bool) -> bool {
        let required = request.header::<Require>().is_some_and(|r| r.has("100rel"));
        let able = required || request.header::<Supported>().is_some_and(|s| s.has("100rel"));
        let wanted = session || required || self.config.reliable == Reliable::Required;
        self.config.reliable != Reliable::Off && status != StatusCode::TRYING && able && wanted
    }

    /// The answer, if it can be sent now; else it waits for a PRACK (RFC 3262 §3).
    pub(crate) fn hold_answer(
        &mut self,
        call: Call,
        headers: Vec<(String, String)>,
        body: Option<Body>,
    ) -> Result<Option<Answer>, UsageError> {
        let usage = self.calls.get_mut(&call).known()?;
        let Some(reliable) = usage.reliable.as_mut().filter(|r| r.holds_answer()) else {
            return Ok(Some((headers, body)));
        };
        if reliable.held.is_some() {
            return Err(not_now("accept", "a call of a peer that is not answered"));
        }
        if let Some(body) = &body {
            body.checked_type()?;
        }
        reliable.held = Some(Held { headers, body });
        Ok(None)
    }

    /// A PRACK came (RFC 3262 §3).
    pub(crate) fn pracked(
        &mut self,
        now: Instant,
        call: Call,
        request: Request,
        envelope: &Envelope,
        source: &Source,
    ) {
        let Some(rack) = request.header::<RAck>() else {
            self.refuse_signed(now, &request, envelope, source, StatusCode::BAD_REQUEST, None);
            return;
        };
        let reliable = self.calls.get_mut(&call).and_then(|u| u.reliable.as_mut());
        let Some((meaning, invite)) = reliable.and_then(|r| Some((r.acknowledge(&rack)?, r.server))) else {
            self.refuse_signed(now, &request, envelope, source, StatusCode::CALL_DOES_NOT_EXIST, None);
            return;
        };
        let tag: Box<str> = envelope.to_tag.clone().unwrap_or_default();
        let Some(id) = self.start_server(now, &request, envelope, source, tag, Some(call)) else {
            self.overloaded(now, &request, &envelope.via, source);
            return;
        };
        if meaning == Acknowledged::Offer && !request.body().is_empty() {
            if let Some(usage) = self.calls.get_mut(&call) {
                usage.requests.push(id);
            }
            self.outputs.push_back(Output::Event(Event::Reinvite { call, id, request }));
        } else {
            // Nothing of the caller's is in it.
            let _ = self.respond_in(now, id, StatusCode::OK, None, &[], None);
            self.outputs.push_back(Output::Event(Event::Pracked { call, request }));
        }
        self.after_prack(now, call, invite);
    }

    /// What waited for a PRACK is sent.
    fn after_prack(&mut self, now: Instant, call: Call, invite: ServerRequest) {
        let Some(reliable) = self.calls.get_mut(&call).and_then(|u| u.reliable.as_mut()) else { return };
        let (held, queued) = (reliable.held.take(), reliable.pop());
        // What was given was checked when it was.
        if let Some(Held { headers, body }) = held {
            let _ = self.accept_now(now, call, invite, &headers, body);
        } else if let Some(queued) = queued {
            let _ = self.send_reliable(now, call, invite, queued);
        }
        self.arm_call(call);
    }

    /// A reliable response may have to be repeated; after 64 × T1 its INVITE is refused
    /// (RFC 3262 §3).
    pub(crate) fn reliable_timeout(&mut self, now: Instant, call: Call) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let Some(reliable) = &mut usage.reliable else { return };
        let id = reliable.server;
        match reliable.handle_timeout(now) {
            ReliableAction::None => {}
            ReliableAction::Retransmit(data) => {
                if let Some(way) = self.servers.get(&id).map(|s| s.way) {
                    self.send_back(now, way, data);
                }
            }
            ReliableAction::GiveUp => {
                let initial = matches!(usage.phase, Phase::Ringing);
                usage.offer = None;
                // It is pending: that is what was not acknowledged.
                let _ = self.respond_in(now, id, StatusCode::SERVER_TIMEOUT, None, &[], None);
                if !initial {
                    self.outputs.push_back(Output::Event(Event::ReinviteCancelled { call, id }));
                    return;
                }
                self.forget_call(now, call);
                let reason = "our provisional response was never acknowledged".to_owned();
                let (cause, status) = (Cause::NoAck, None);
                self.outputs.push_back(Output::Event(Event::Failed {
                    call,
                    cause,
                    status,
                    reason,
                    response: None,
                }));
            }
        }
    }

    /// Puts what one call differs in into Supported.
    pub(crate) fn advertise(
        &self,
        request: &mut Request,
        reliable: Reliable,
        timers: crate::usage::TimerMode,
    ) -> Result<(), UsageError> {
        let mut tags = request.header::<Supported>().map_or_else(|| self.supported.clone(), |s| s.0);
        for (tag, known) in
            [("100rel", reliable != Reliable::Off), ("timer", timers != crate::usage::TimerMode::Off)]
        {
            tags.retain(|t| t != tag);
            if known {
                tags.push(tag.to_owned());
            }
        }
        let text = super::server::join(tags.iter().map(String::as_str));
        request.headers_mut().replace_raw(HeaderName::SUPPORTED.as_str(), &text)
    }
}
