//! Calls that we make: INVITE, CANCEL, ACK and what answers them (RFC 3261 §13.2, §9.1).

use super::{
    Body, Call, Cause, Endpoint, Event, OutgoingCall, Output,
    client::{ClientKey, User},
    command::{Known, check_headers, not_now},
    reliable::Reliability,
    send::{OwnContact, Template},
};
use crate::{
    Dialog, Host, Method, Request, RequestBuilder, Response, Routed, StatusCode, Uri, UsageError,
    auth::{Authenticator, Trust},
    header::{CSeq, CallId, Contact, From, MaxForwards, Route, To},
    usage::{Cancel, Early, InviteUsage, Phase, Reliable, ReliableClient, TimerMode, ToAck},
};
use std::time::Instant;

impl Endpoint {
    /// Calls. What becomes of it comes as events of the call that is returned.
    ///
    /// # Errors
    /// If the call cannot be put into an INVITE, or there are too many.
    pub fn invite(&mut self, now: Instant, call: OutgoingCall) -> Result<Call, UsageError> {
        if self.calls.len() >= self.config.max_calls {
            return Err(UsageError::Limit("calls"));
        }
        self.check_clients()?;
        check_headers(&call.headers)?;
        let OutgoingCall {
            target,
            from,
            to,
            contact,
            route,
            mut headers,
            body,
            credentials,
            transport,
            reliable,
            session_timers,
        } = call;
        let reliable = reliable.unwrap_or(self.config.reliable);
        let timers = session_timers.unwrap_or(self.config.session_timers);
        let offered = body.is_some();
        let tag = self.random_u64();
        let call_id = self.random_call_id();
        let trust = Trust { server: same_domain(&from.uri, &target), proxies: !route.is_empty() };
        let auth = credentials.map(|c| Authenticator::new(c, domain(&from.uri), trust));
        let own_contact = match contact {
            Some(_) => OwnContact::Given,
            None => OwnContact::Derived(from.uri.user().map(Into::into)),
        };
        let to = without_tag(to);
        let from = from.with_tag(&format!("{tag:016x}"))?;
        let routed = Routed::new(&target, &route).map(|uri, routes| {
            let mut builder = Request::builder(Method::Invite, uri).header(MaxForwards(70));
            for route in routes {
                builder = builder.header(Route(route));
            }
            let builder = builder.header(From(from)).header(To(to)).header(CallId(call_id));
            builder.header(CSeq::new(1, Method::Invite)).maybe(contact.map(Contact::from))
        });
        let next_hop = routed.next_hop;
        let mut usage = InviteUsage::outgoing(
            tag,
            ClientKey { branch: 0, cancel: false },
            own_contact.clone(),
            transport,
            auth,
            timers,
        );
        usage.offered = offered;
        usage.takes_reliable = reliable != Reliable::Off;
        super::session::add(&mut headers, usage.timer.ask());
        if reliable == Reliable::Required {
            headers.push(("Require".to_owned(), "100rel".to_owned()));
        }
        let mut request = self.complete(routed.value, &headers, body)?;
        if (reliable == Reliable::Off, timers.mode == TimerMode::Off)
            != (self.config.reliable == Reliable::Off, self.config.session_timers.mode == TimerMode::Off)
        {
            self.advertise(&mut request, reliable, timers.mode)?;
        }
        let template = Template { request, next_hop, transport, flow: None, contact: own_contact };
        self.next_id += 1;
        let call = Call(self.next_id);
        self.calls.insert(call, usage);
        self.tags.insert(tag, call);
        let client = self.start_client(now, template, User::Invite(call));
        self.rebind(User::Invite(call), client);
        Ok(call)
    }

    /// Gives an INVITE or re-INVITE of ours up. Before a provisional response came, the CANCEL waits
    /// for it (RFC 3261 §9.1); what comes then is an event as usual: most often 487.
    ///
    /// # Errors
    /// If no INVITE of the call waits for an answer.
    pub fn cancel(&mut self, now: Instant, call: Call) -> Result<(), UsageError> {
        let usage = self.calls.get_mut(&call).known()?;
        let (key, cancel) = match (&mut usage.phase, &mut usage.reinvite) {
            (Phase::Calling { client, cancel, .. }, _) => (*client, cancel),
            (_, Some((client, cancel))) => (*client, cancel),
            _ => return Err(not_now("cancel", "an INVITE without a final response")),
        };
        if *cancel == Cancel::Sent {
            return Ok(());
        }
        let client = self.clients.get(&key);
        if client.is_none_or(|c| c.path.is_none()) {
            // It never left.
            self.client_failed(now, key, Cause::Cancelled, "cancelled before it was sent");
        } else if client.is_some_and(|c| c.is_proceeding()) {
            *cancel = Cancel::Sent;
            self.send_cancel(now, key);
        } else {
            *cancel = Cancel::Wanted;
        }
        Ok(())
    }

    /// [`Endpoint::cancel`], with why (RFC 3326): `SIP;cause=200;text="Call completed elsewhere"`.
    ///
    /// # Errors
    /// If no INVITE of the call waits for an answer.
    pub fn cancel_because(
        &mut self,
        now: Instant,
        call: Call,
        reason: &crate::header::Reason,
    ) -> Result<(), UsageError> {
        let usage = self.calls.get(&call).known()?;
        let key = match (&usage.phase, &usage.reinvite) {
            (Phase::Calling { client, .. }, _) | (_, Some((client, _))) => *client,
            _ => return Err(not_now("cancel", "an INVITE without a final response")),
        };
        if let Some(client) = self.clients.get_mut(&key) {
            client.cancel_reason = Some(reason.to_string().into_boxed_str());
        }
        self.cancel(now, call)
    }

    /// Acknowledges the 2xx of [`Event::Answered`] or [`Event::ReinviteAnswered`]; `body` is the
    /// answer if the 2xx carried the offer. Repeats of the 2xx are acknowledged without asking.
    ///
    /// # Errors
    /// If nothing is to be acknowledged.
    pub fn ack(&mut self, now: Instant, call: Call, body: Option<Body>) -> Result<(), UsageError> {
        let usage = self.calls.get_mut(&call).known()?;
        let to_ack = usage.to_ack.ok_or(not_now("ack", "a 2xx that is not acknowledged"))?;
        let dialog = usage.dialog.as_ref().known()?;
        if let Some(body) = &body {
            body.checked_type()?;
        }
        let (routed, tag) = (dialog.ack(to_ack.cseq), dialog.remote_tag().unwrap_or("").to_owned());
        let way = AckWay { transport: usage.transport, flow: usage.flow, authorized: usage.auth.is_some() };
        usage.to_ack = None;
        self.send_ack(now, to_ack.client, &tag, routed, body, way);
        Ok(())
    }

    fn send_ack(
        &mut self,
        now: Instant,
        invite: ClientKey,
        tag: &str,
        routed: Routed<RequestBuilder>,
        body: Option<Body>,
        way: AckWay,
    ) {
        let Routed { next_hop, value: mut builder } = routed;
        // RFC 3261 §13.2.2.4: with the credentials of the INVITE.
        if way.authorized
            && let Some(sent) = self.sent_request(invite)
        {
            let names =
                [crate::header::HeaderName::AUTHORIZATION, crate::header::HeaderName::PROXY_AUTHORIZATION];
            builder.headers_mut().copy_from(sent.headers(), &names);
        }
        if let Some(body) = body {
            builder = builder.body(&body.content_type, body.content);
        }
        let request = builder.build();
        let AckWay { transport, flow, .. } = way;
        let template = Template { request, next_hop, transport, flow, contact: OwnContact::Given };
        let ack = self.start_client(now, template, User::Nobody);
        if let Some(client) = self.clients.get_mut(&invite) {
            match client.acks.iter_mut().find(|(t, _)| **t == *tag) {
                Some((_, known)) => *known = Some(ack),
                None => client.acks.push((tag.into(), Some(ack))),
            }
        }
    }

    pub(crate) fn invite_provisional(
        &mut self,
        now: Instant,
        call: Call,
        key: ClientKey,
        response: Response,
    ) {
        let max_forks = self.config.max_forks;
        let to = response.to().ok();
        let tag = to.as_ref().and_then(|to| to.tag());
        let early = |usage: &InviteUsage| match &usage.phase {
            Phase::Calling { early, .. } => {
                early.len() < max_forks && !early.iter().any(|e| e.dialog.remote_tag() == tag)
            }
            _ => false,
        };
        let new = tag.is_some() && self.calls.get(&call).is_some_and(early);
        let dialog = match if new { self.sent_request(key) } else { None } {
            Some(sent) => Dialog::client(&sent, &response).ok(),
            None => None,
        };
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let Phase::Calling { early, cancel, .. } = &mut usage.phase else { return };
        if let Some(dialog) = dialog {
            early.push(Early { dialog, reliable: ReliableClient::default() });
        }
        let wanted = *cancel == Cancel::Wanted;
        if wanted {
            *cancel = Cancel::Sent;
        }
        if response.status() != StatusCode::TRYING {
            let reliable = self.reliable_response(call, &response);
            if let Reliability::Unordered = reliable {
                self.stats.retransmissions += 1;
            } else {
                let tag = tag.map(str::to_owned);
                self.refresh_target(call, &reliable, &response);
                self.outputs.push_back(Output::Event(Event::Provisional { call, response }));
                self.acknowledge_provisional(now, call, tag.as_deref(), reliable);
            }
        }
        if wanted {
            self.send_cancel(now, key);
        }
    }

    pub(crate) fn invite_answered(
        &mut self,
        now: Instant,
        call: Call,
        key: ClientKey,
        mut response: Response,
    ) {
        let Some(tag) = self.new_2xx(now, key, &response) else { return };
        let Ok(cseq) = response.cseq() else { return };
        let mut answer = None;
        let known = self.calls.get_mut(&call).and_then(|u| match &mut u.phase {
            Phase::Calling { early, .. } => {
                let at = early.iter().position(|e| e.dialog.remote_tag().unwrap_or("") == &*tag)?;
                let Early { dialog, reliable } = early.swap_remove(at);
                answer = reliable.answer;
                Some(dialog)
            }
            _ => None,
        });
        let dialog = known.or_else(|| Dialog::client(&self.sent_request(key)?, &response).ok());
        let Some(mut dialog) = dialog else { return };
        let usage = self.calls.get_mut(&call);
        let Some((usage, cancel)) = usage.and_then(|u| match &mut u.phase {
            Phase::Calling { cancel, .. } => {
                let cancel = *cancel;
                Some((u, cancel))
            }
            _ => None,
        }) else {
            // Another branch of a fork (RFC 3261 §13.2.2.4).
            self.end_fork(now, key, &tag, dialog, cseq.number);
            self.outputs.push_back(Output::Event(Event::ForkEnded { call, response }));
            return;
        };
        dialog.confirm(&response);
        if cancel != Cancel::No {
            // The 2xx crossed the CANCEL: the call is not wanted any more.
            self.end_fork(now, key, &tag, dialog, cseq.number);
            self.end_call(now, call, false, None, "answered after it was cancelled".to_owned());
            return;
        }
        usage.dialog = Some(dialog);
        usage.phase = Phase::Confirmed;
        usage.to_ack = Some(ToAck { client: key, cseq: cseq.number });
        if let Some(auth) = &mut usage.auth {
            auth.succeeded();
        }
        usage.timer.answered(now, response.headers());
        if let Some(Body { content_type, content }) = answer.filter(|_| response.body().is_empty()) {
            // It was the value of a header: it is one line.
            let _ = response.set_body(&content_type, content);
        }
        self.arm_call(call);
        self.outputs.push_back(Output::Event(Event::Answered { call, response }));
    }

    /// The tag of a 2xx that was not seen before; one that was is acknowledged again.
    pub(crate) fn new_2xx(&mut self, now: Instant, key: ClientKey, response: &Response) -> Option<Box<str>> {
        let tag: Box<str> = response.to().ok()?.tag().unwrap_or("").into();
        let max_forks = self.config.max_forks;
        let client = self.clients.get_mut(&key)?;
        match client.acks.iter().find(|(t, _)| *t == tag) {
            Some((_, ack)) => {
                let ack = *ack;
                self.stats.retransmissions += 1;
                if let Some(ack) = ack {
                    self.repeat_ack(now, ack);
                }
                None
            }
            None if client.acks.len() < max_forks => {
                client.acks.push((tag.clone(), None));
                Some(tag)
            }
            None => None,
        }
    }

    /// Acknowledges and ends a dialog that nobody wants.
    fn end_fork(&mut self, now: Instant, key: ClientKey, tag: &str, mut dialog: Dialog, cseq: u32) {
        self.send_ack(
            now,
            key,
            tag,
            dialog.ack(cseq),
            None,
            AckWay { transport: None, flow: None, authorized: true },
        );
        let routed = dialog.request(Method::Bye);
        self.send_unowned(now, routed, None, None);
    }

    /// Sends a request that nobody waits for.
    pub(crate) fn send_unowned(
        &mut self,
        now: Instant,
        routed: Routed<RequestBuilder>,
        transport: Option<super::Transport>,
        flow: Option<super::FlowId>,
    ) {
        let next_hop = routed.next_hop;
        // There is nothing of the caller's in it that could be refused.
        let Ok(request) = self.complete(routed.value, &[], None) else { return };
        let template = Template { request, next_hop, transport, flow, contact: OwnContact::Given };
        self.start_client(now, template, User::Nobody);
    }

    pub(crate) fn invite_refused(
        &mut self,
        now: Instant,
        call: Call,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        let cnonce = self.random_token();
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let Phase::Calling { early, cancel, .. } = &mut usage.phase else { return };
        if *cancel == Cancel::No
            && let Some(mut template) = template
            && let Ok(cseq) = template.request.cseq()
            && super::session::again(
                &mut template.request,
                &response,
                &mut usage.timer,
                usage.auth.as_mut(),
                &mut || cseq.number.saturating_add(1),
                &cnonce,
            )
        {
            early.clear();
            let client = self.start_client(now, *template, User::Invite(call));
            self.rebind(User::Invite(call), client);
            return;
        }
        let (status, reason) = (Some(response.status()), response.reason().to_owned());
        let cause = Cause::Refused;
        self.forget_call(now, call);
        let event = Event::Failed { call, cause, status, reason, response: Some(response) };
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn invite_failed(&mut self, now: Instant, call: Call, cause: Cause, reason: String) {
        let Some(usage) = self.calls.get(&call) else { return };
        let Phase::Calling { cancel, .. } = &usage.phase else { return };
        let cause = if *cancel == Cancel::No { cause } else { Cause::Cancelled };
        self.forget_call(now, call);
        let event = Event::Failed { call, cause, status: None, reason, response: None };
        self.outputs.push_back(Output::Event(event));
    }

    /// A request has another transaction now.
    pub(crate) fn rebind(&mut self, user: User, key: ClientKey) {
        match user {
            User::Invite(call) => {
                if let Some(InviteUsage { phase: Phase::Calling { client, .. }, .. }) =
                    self.calls.get_mut(&call)
                {
                    *client = key;
                }
            }
            User::Reinvite(call) => {
                if let Some((client, _)) = self.calls.get_mut(&call).and_then(|u| u.reinvite.as_mut()) {
                    *client = key;
                }
            }
            User::Bye(_)
            | User::InCall(..)
            | User::Prack(_)
            | User::Refresh(_)
            | User::Subscribe(..)
            | User::Notify(_)
            | User::Request(_)
            | User::Nobody => {}
        }
    }

    /// Adds what all requests carry, and what the caller wants in this one.
    pub(crate) fn complete(
        &self,
        mut builder: RequestBuilder,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<Request, UsageError> {
        let list = |values: &mut dyn Iterator<Item = &str>| super::server::join(values);
        let config = &self.config;
        let changes = matches!(*builder.method(), Method::Invite | Method::Update);
        let mut add = |name: &str, text: String| match text.is_empty() {
            true => Ok(()),
            false => builder.headers_mut().push_raw(name, &text),
        };
        add("Allow", list(&mut config.allow.iter().map(Method::as_str)))?;
        // One line of Supported, with what the caller adds: some read only the first.
        let is_supported =
            |name: &str| crate::header::HeaderName::new(name) == crate::header::HeaderName::SUPPORTED;
        let more = headers.iter().filter(|(name, _)| is_supported(name)).map(|(_, value)| value.as_str());
        let ours = Some(self.texts.supported.as_str()).filter(|text| !text.is_empty());
        add("Supported", list(&mut ours.into_iter().chain(more)))?;
        add("User-Agent", config.user_agent.clone())?;
        if changes {
            add("Recv-Info", list(&mut config.info_packages.iter().map(String::as_str)))?;
        }
        for (name, value) in headers.iter().filter(|(name, _)| !is_supported(name)) {
            builder = builder.raw(name, value)?;
        }
        if let Some(body) = body {
            builder = builder.body(body.checked_type()?, body.content.clone());
        }
        Ok(builder.build())
    }

    pub(crate) fn check_clients(&self) -> Result<(), UsageError> {
        match self.clients.len() >= self.config.max_client_transactions {
            true => Err(UsageError::Limit("client transactions")),
            false => Ok(()),
        }
    }
}

/// How an ACK goes, and whether with the credentials of its INVITE.
struct AckWay {
    transport: Option<super::Transport>,
    flow: Option<super::FlowId>,
    authorized: bool,
}

/// Gives a request its next number and the answers to challenges (RFC 3261 §22.2).
pub(crate) fn authorize(request: &mut Request, auth: &mut Authenticator, cseq: u32, cnonce: &str) -> bool {
    let (method, uri, body) =
        (request.method().clone(), request.uri_text().to_owned(), request.body().clone());
    let headers = request.headers_mut();
    headers.replace(CSeq::new(cseq, method.clone()));
    headers.remove("Authorization");
    headers.remove("Proxy-Authorization");
    let values: Vec<_> = auth.authorize(&method, &uri, &body, cnonce).collect();
    values.iter().all(|(name, value)| headers.push_raw(name, value).is_ok())
}

pub(crate) fn domain(uri: &Uri) -> String {
    uri.host().to_string()
}

/// Whether a request to `target` goes to the domain of the account itself.
pub(crate) fn same_domain(account: &Uri, target: &Uri) -> bool {
    // Peers that are called by address are no registrars of ours.
    matches!(account.host(), Host::Name(_)) && account.host().same(target.host())
}

pub(crate) fn without_tag(mut addr: crate::NameAddr) -> crate::NameAddr {
    addr.params.remove("tag");
    addr
}
