//! Dialogs that subscriptions have, alone or with a call (RFC 6665 §4.4, RFC 5057).

use super::{
    Body, Call, Endpoint, FlowId, Notifier, Output, Owner, Subscription, Transport,
    caller::authorize,
    command::{Known, not_now},
    envelope::Envelope,
    receive::{Extra, Source},
    send::{OwnContact, Template},
};
use crate::{
    Dialog, Method, Request, Response, StatusCode, UsageError,
    auth::Authenticator,
    header::{self, Expires, HeaderName, SubscriptionState},
    usage::InviteUsage,
};
use std::time::Instant;

/// Who uses a dialog beside a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Subscription(Subscription),
    Notifier(Notifier),
}

/// A dialog with subscriptions.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) call_id: Box<str>,
    /// None while it is a call's, or is not made yet.
    pub(crate) dialog: Option<Dialog>,
    pub(crate) contact: OwnContact,
    pub(crate) transport: Option<Transport>,
    pub(crate) flow: Option<FlowId>,
    pub(crate) auth: Option<Authenticator>,
    pub(crate) parties: Vec<Party>,
}

/// What tells subscriptions of one dialog apart (RFC 6665 §4.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
}

impl Package {
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let event: header::Event = request.header()?;
        let id = event.params.get("id").map(str::to_owned);
        Some(Self { name: event.package, id })
    }

    pub(crate) fn text(&self) -> String {
        match &self.id {
            Some(id) => format!("{};id={id}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether a request is about this one; those of REFER may go without their id
    /// (RFC 3515 §2.4.6).
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let either = self.name == "refer" && (self.id.is_none() || other.id.is_none());
        self.name == other.name && (either || self.id == other.id)
    }
}

impl Endpoint {
    /// Whether a request belongs to a dialog with subscriptions.
    pub(crate) fn is_shared(&self, envelope: &Envelope) -> bool {
        let tag = envelope.to_tag.as_deref().and_then(super::number16);
        tag.and_then(|tag| self.shared.get(&tag)).is_some_and(|s| s.call_id == envelope.call_id)
    }

    /// The call whose dialog has this tag of ours.
    pub(crate) fn call_with(&self, tag: u64) -> Option<Call> {
        self.tags.get(&tag).copied().filter(|call| self.calls.contains_key(call))
    }

    /// Whether requests can be sent in it.
    pub(crate) fn has_dialog(&self, tag: u64) -> bool {
        self.call_with(tag).is_some() || self.shared.get(&tag).is_some_and(|s| s.dialog.is_some())
    }

    /// The next request of a dialog with subscriptions.
    pub(crate) fn shared_template(
        &mut self,
        tag: u64,
        method: Method,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> Result<Template, UsageError> {
        if let Some(call) = self.call_with(tag) {
            return self.in_call_template(call, None, method, headers, body);
        }
        let cnonce = self.random_token();
        let shared = self.shared.get_mut(&tag).known()?;
        let (transport, flow, contact) = (shared.transport, shared.flow, shared.contact.clone());
        let dialog = shared.dialog.as_mut().ok_or(not_now("a request within a subscription", "a dialog"))?;
        let routed = dialog.request(method);
        let next_hop = routed.next_hop;
        let mut request = self.complete(routed.value, headers, body)?;
        if let Some(auth) = self.shared.get_mut(&tag).and_then(|s| s.auth.as_mut())
            && let Ok(cseq) = request.cseq()
        {
            authorize(&mut request, auth, cseq.number, &cnonce);
        }
        Ok(Template { request, next_hop, transport, flow, contact })
    }

    /// The request again, with what a challenge wants (RFC 3261 §22.2).
    pub(crate) fn shared_challenged(
        &mut self,
        tag: u64,
        template: Option<Box<Template>>,
        response: &Response,
    ) -> Option<Template> {
        if let Some(call) = self.call_with(tag) {
            return self.challenged(call, template, response);
        }
        let cnonce = self.random_token();
        let shared = self.shared.get_mut(&tag)?;
        let (auth, mut template) = (shared.auth.as_mut()?, template?);
        if !auth.challenged(response) {
            return None;
        }
        let cseq = match &mut shared.dialog {
            Some(dialog) => dialog.bump(),
            None => template.request.cseq().ok()?.number.saturating_add(1),
        };
        authorize(&mut template.request, auth, cseq, &cnonce).then_some(*template)
    }

    /// The dialog of a call gets another user.
    pub(crate) fn share(&mut self, call: Call, party: Party) -> Option<u64> {
        let usage = self.calls.get_mut(&call)?;
        let (tag, contact) = (usage.local_tag, usage.contact.clone());
        let call_id = usage.any_dialog()?.call_id().into();
        let new = || Shared {
            call_id,
            dialog: None,
            contact,
            transport: None,
            flow: None,
            auth: None,
            parties: Vec::new(),
        };
        self.shared.entry(tag).or_insert_with(new).parties.push(party);
        Some(tag)
    }

    pub(crate) fn leave_shared(&mut self, tag: u64, party: Party) {
        if let Some(shared) = self.shared.get_mut(&tag) {
            shared.parties.retain(|p| *p != party);
            if shared.parties.is_empty() {
                self.shared.remove(&tag);
                super::shrink(&mut self.shared);
            }
        }
    }

    /// A call is over: its subscriptions keep the dialog (RFC 5057 §4.1).
    pub(crate) fn inherit_dialog(&mut self, mut usage: InviteUsage) -> InviteUsage {
        if let Some(shared) = self.shared.get_mut(&usage.local_tag) {
            shared.dialog = usage.dialog.take();
            shared.auth = usage.auth.take();
            (shared.transport, shared.flow) = (usage.transport, usage.flow);
        }
        usage
    }

    /// What RFC 6665 §4.2.1.1 and RFC 3515 §2.4.2 check of a new request.
    pub(crate) fn check_events(
        &self,
        request: &Request,
        envelope: &Envelope,
    ) -> Result<(), (StatusCode, Extra)> {
        let events = &self.config.events;
        match request.method() {
            Method::Refer if request.headers().all::<header::ReferTo>().count() != 1 => {
                Err((StatusCode::BAD_REQUEST, None))
            }
            Method::Subscribe | Method::Publish if envelope.to_tag.is_none() => {
                let known = |p: &Package| events.is_empty() || events.contains(&p.name);
                if Package::of(request).is_some_and(|p| known(&p)) {
                    return Ok(());
                }
                let text = super::server::join(events.iter().map(String::as_str));
                Err((StatusCode::BAD_EVENT, Some(("Allow-Events", text))))
            }
            _ => Ok(()),
        }
    }

    /// A NOTIFY or SUBSCRIBE in a dialog with subscriptions.
    pub(crate) fn in_subscription(
        &mut self,
        now: Instant,
        request: Request,
        envelope: Envelope,
        source: Source,
    ) {
        let Some(tag) = envelope.to_tag.as_deref().and_then(super::number16) else { return };
        let none = StatusCode::CALL_DOES_NOT_EXIST;
        let party = self.party_of(tag, &request);
        let notify = *request.method() == Method::Notify;
        let Some(party) = party else {
            // Within a call, SUBSCRIBE may make another one.
            match self.call_of(&envelope).filter(|_| !notify) {
                Some(call) => self.in_call(now, call, request, envelope, source),
                None => self.refuse_signed(now, &request, &envelope, &source, none, None),
            }
            return;
        };
        let state = request.header::<SubscriptionState>();
        if notify && state.is_none() {
            self.refuse_signed(now, &request, &envelope, &source, StatusCode::BAD_REQUEST, None);
            return;
        }
        let refusal = match self.dialog_for(tag, party, &request, &envelope) {
            Some(dialog) => {
                let in_order = dialog.receive(envelope.cseq.number);
                if in_order {
                    dialog.refresh(request.headers());
                }
                (!in_order).then_some(StatusCode::SERVER_INTERNAL_ERROR)
            }
            None => Some(none),
        };
        if let Some(status) = refusal {
            self.refuse_signed(now, &request, &envelope, &source, status, None);
            return;
        }
        let call = self.call_with(tag);
        let own: Box<str> = envelope.to_tag.clone().unwrap_or_default();
        let Some(id) = self.start_server(now, &request, &envelope, &source, own, call) else {
            self.overloaded(now, &request, &envelope.via, &source);
            return;
        };
        match (party, state) {
            (Party::Subscription(subscription), Some(state)) => {
                // Nothing of the caller's is in it.
                let _ = self.respond_in(now, id, StatusCode::OK, None, &[], None);
                self.notified(now, subscription, request, &state);
            }
            (Party::Subscription(_), None) => {}
            (Party::Notifier(notifier), _) => {
                let asked = request.header::<Expires>().map(|e| e.0);
                let expires = self.notifier_expires(notifier, asked);
                let headers = [(HeaderName::EXPIRES.as_str().to_owned(), expires.to_string())];
                let _ = self.respond_in(now, id, StatusCode::OK, None, &headers, None);
                self.notifier_refreshed(now, notifier, request, expires);
            }
        }
    }

    /// Who a request in a dialog is for.
    fn party_of(&self, tag: u64, request: &Request) -> Option<Party> {
        let package = Package::of(request)?;
        let notify = *request.method() == Method::Notify;
        self.shared.get(&tag)?.parties.iter().copied().find(|party| match party {
            Party::Subscription(id) => {
                notify && self.subscriptions.get(id).is_some_and(|s| s.package.matches(&package))
            }
            Party::Notifier(id) => {
                !notify && self.notifiers.get(id).is_some_and(|n| n.package.matches(&package))
            }
        })
    }

    /// The dialog of a request; a first NOTIFY makes it (RFC 6665 §4.4.1). Those of other branches of
    /// a fork find none.
    fn dialog_for(
        &mut self,
        tag: u64,
        party: Party,
        request: &Request,
        envelope: &Envelope,
    ) -> Option<&mut Dialog> {
        let remote = envelope.from_tag.as_deref();
        if let Some(call) = self.call_with(tag) {
            return self.calls.get_mut(&call)?.dialog_mut(remote);
        }
        let shared = self.shared.get_mut(&tag)?;
        let known = shared.dialog.as_ref().is_some_and(|d| d.is(&envelope.call_id, remote));
        if !known && let Party::Subscription(id) = party {
            let usage = self.subscriptions.get_mut(&id)?;
            if !usage.told {
                shared.dialog = Dialog::notified(usage.first.as_ref()?, request).ok();
            }
        }
        if let Party::Subscription(id) = party {
            self.subscriptions.get_mut(&id)?.told = true;
        }
        shared.dialog.as_mut().filter(|d| d.is(&envelope.call_id, remote))
    }

    pub(crate) fn arm_subscription(&mut self, id: Subscription) {
        let deadline = self.subscriptions.get(&id).and_then(|s| s.machine.deadline());
        self.timers.set(Owner::Subscription(id), deadline);
    }

    pub(crate) fn arm_notifier(&mut self, id: Notifier) {
        let deadline = self.notifiers.get(&id).and_then(|n| n.machine.deadline());
        self.timers.set(Owner::Notifier(id), deadline);
    }

    pub(crate) fn check_subscriptions(&self) -> Result<(), UsageError> {
        match self.subscriptions.len() + self.notifiers.len() >= self.config.max_subscriptions {
            true => Err(UsageError::Limit("subscriptions")),
            false => Ok(()),
        }
    }

    /// A method that the user's use of the endpoint needs is served from now on.
    pub(crate) fn permit(&mut self, method: Method) {
        if !self.config.allow.contains(&method) {
            self.config.allow.push(method);
        }
    }

    pub(crate) fn tell(&mut self, event: super::Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
