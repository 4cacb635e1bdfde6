//! Subscriptions of peers to us, and REFERs of theirs (RFC 6665 §4.2, RFC 3515 §2.4.4).

use super::{
    Body, Call, Endpoint, Event, Notifier, ServerRequest,
    client::User,
    command::{Known, not_now},
    send::{OwnContact, Template},
    shared::{Package, Party, Shared},
};
use crate::{
    Dialog, Method, Request, Response, StatusCode, UsageError,
    header::{Expires, ReferSub},
    usage::{Notice, NotifierMachine, NotifierState, Sipfrag},
};
use std::time::Instant;

/// A subscription of a peer's.
#[derive(Debug)]
pub(crate) struct NotifierUsage {
    pub(crate) machine: NotifierMachine,
    /// Our tag in its dialog.
    tag: u64,
    pub(crate) package: Package,
    /// The longest lifetime that a refresh gets, in seconds.
    lifetime: u32,
    reason: String,
}

impl Endpoint {
    /// Accepts a SUBSCRIBE that was handed up, for at most that many seconds, and tells the peer the
    /// state: once, if it asked for that alone. Refreshes are answered without asking.
    ///
    /// # Errors
    /// If it does not wait for a response any more, is no SUBSCRIBE, or there are too many.
    pub fn accept_subscription(
        &mut self,
        now: Instant,
        id: ServerRequest,
        expires: u32,
        state: NotifierState,
        body: Option<Body>,
    ) -> Result<Notifier, UsageError> {
        let request = self.waiting(id, &Method::Subscribe)?;
        let asked = request.header::<Expires>().map_or(expires, |e| e.0.min(expires));
        let package = Package::of(request).ok_or(not_now("accept_subscription", "an Event header"))?;
        let headers = vec![("Expires".to_owned(), asked.to_string())];
        let notifier = self.new_notifier(now, id, StatusCode::OK, &headers, package, expires)?;
        if let Some(usage) = self.notifiers.get_mut(&notifier) {
            usage.machine = NotifierMachine::new(now, asked, state, body);
            if asked == 0 {
                usage.machine.refreshed(now, 0);
            }
        }
        self.flush_notifier(now, notifier);
        Ok(notifier)
    }

    /// Accepts a REFER that was handed up. What becomes of it is told by [`Endpoint::notify`] and
    /// [`Endpoint::end_notifier`], with bodies of [`Sipfrag::of_status`]; 100 is told at once.
    /// `None`: the peer does not want to be told (RFC 4488).
    ///
    /// # Errors
    /// If it does not wait for a response any more, is no REFER, or there are too many.
    pub fn accept_refer(
        &mut self,
        now: Instant,
        id: ServerRequest,
        expires: u32,
    ) -> Result<Option<Notifier>, UsageError> {
        let request = self.waiting(id, &Method::Refer)?;
        if request.header::<ReferSub>().is_some_and(|r| !r.wanted) {
            let headers = [("Refer-Sub".to_owned(), "false".to_owned())];
            self.respond_in(now, id, StatusCode::OK, None, &headers, None)?;
            self.forget_request(id);
            return Ok(None);
        }
        let cseq = request.cseq().map_err(UsageError::Invalid)?.number.to_string();
        let others = self.servers.get(&id).and_then(|s| s.call).is_some_and(|call| self.has_refer(call));
        // RFC 3515 §2.4.6: the first one of a dialog needs no id.
        let package = Package { name: "refer".to_owned(), id: others.then_some(cseq) };
        let notifier = self.new_notifier(now, id, StatusCode::ACCEPTED, &[], package, expires)?;
        if let Some(usage) = self.notifiers.get_mut(&notifier) {
            let body = Sipfrag::of_status(StatusCode::TRYING, None);
            usage.machine = NotifierMachine::new(now, expires, NotifierState::Active, Some(body));
        }
        self.flush_notifier(now, notifier);
        Ok(Some(notifier))
    }

    /// Tells a peer the state that it subscribed to. Of several while one is on its way, the last
    /// is told.
    ///
    /// # Errors
    /// If the subscription is over.
    pub fn notify(
        &mut self,
        now: Instant,
        notifier: Notifier,
        state: NotifierState,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        if let Some(body) = &body {
            body.checked_type()?;
        }
        if let NotifierState::Terminated { reason, .. } = &state
            && !crate::grammar::is_token(reason)
        {
            return Err(not_now("notify", "a reason that is a token"));
        }
        let usage = self.notifiers.get_mut(&notifier).known()?;
        if let NotifierState::Terminated { reason, .. } = &state {
            usage.reason.clone_from(reason);
        }
        usage.machine.set(state, body);
        self.flush_notifier(now, notifier);
        Ok(())
    }

    /// Ends a subscription of a peer's for a reason of RFC 6665 §4.1.3; [`Event::NotifierEnded`]
    /// follows once it knows.
    ///
    /// # Errors
    /// If the subscription is over, or the reason is no token.
    pub fn end_notifier(
        &mut self,
        now: Instant,
        notifier: Notifier,
        reason: &str,
        body: Option<Body>,
    ) -> Result<(), UsageError> {
        self.notify(now, notifier, NotifierState::terminated(reason), body)
    }

    fn waiting(&self, id: ServerRequest, method: &Method) -> Result<&Request, UsageError> {
        self.check_subscriptions()?;
        let request = self.servers.get(&id).and_then(|s| s.request.as_deref()).known()?;
        match request.method() == method {
            true => Ok(request),
            false => Err(not_now("accept", "a request of that method")),
        }
    }

    fn has_refer(&self, call: Call) -> bool {
        let shared = self.calls.get(&call).and_then(|u| self.shared.get(&u.local_tag));
        shared.is_some_and(|s| {
            s.parties.iter().any(|p| match p {
                Party::Notifier(id) => self.notifiers.get(id).is_some_and(|n| n.package.name == "refer"),
                Party::Subscription(_) => false,
            })
        })
    }

    /// Accepts a request that makes a subscription, in its call's dialog or in a new one.
    fn new_notifier(
        &mut self,
        now: Instant,
        id: ServerRequest,
        status: StatusCode,
        headers: &[(String, String)],
        package: Package,
        lifetime: u32,
    ) -> Result<Notifier, UsageError> {
        let server = self.servers.get(&id).known()?;
        let request = server.request.as_deref().known()?;
        let call = server.call.filter(|call| self.calls.contains_key(call));
        let new = match call {
            Some(_) => None,
            None => {
                let mut dialog = Dialog::server(request, &server.tag).map_err(UsageError::Invalid)?;
                dialog.set_confirmed();
                let user = request.uri().ok().and_then(|u| u.user().map(Into::into));
                let tag = super::number16(&server.tag).ok_or(UsageError::Gone)?;
                let (contact, flow) = (OwnContact::Derived(user), server.way.flow);
                let call_id = dialog.call_id().into();
                let transport = None;
                let parties = Vec::new();
                Some((
                    tag,
                    Shared { call_id, dialog: Some(dialog), contact, transport, flow, auth: None, parties },
                ))
            }
        };
        self.respond_in(now, id, status, None, headers, None)?.ok_or(UsageError::Gone)?;
        self.forget_request(id);
        self.next_id += 1;
        let notifier = Notifier(self.next_id);
        let party = Party::Notifier(notifier);
        let tag = match (new, call) {
            (Some((tag, shared)), _) => {
                self.shared.entry(tag).or_insert(shared).parties.push(party);
                tag
            }
            (None, Some(call)) => self.share(call, party).known()?,
            (None, None) => return Err(UsageError::Gone),
        };
        self.permit(Method::Subscribe);
        let machine = NotifierMachine::new(now, 0, NotifierState::Active, None);
        let reason = "timeout".to_owned();
        self.notifiers.insert(notifier, NotifierUsage { machine, tag, package, lifetime, reason });
        Ok(notifier)
    }

    /// What a refresh of that many seconds gets.
    pub(crate) fn notifier_expires(&self, notifier: Notifier, asked: Option<u32>) -> u32 {
        let lifetime = self.notifiers.get(&notifier).map_or(0, |n| n.lifetime);
        asked.map_or(lifetime, |a| a.min(lifetime))
    }

    pub(crate) fn notifier_refreshed(
        &mut self,
        now: Instant,
        notifier: Notifier,
        request: Request,
        expires: u32,
    ) {
        let Some(usage) = self.notifiers.get_mut(&notifier) else { return };
        usage.machine.refreshed(now, expires);
        self.tell(Event::NotifierRefreshed { notifier, request });
        self.flush_notifier(now, notifier);
    }

    pub(crate) fn notifier_timeout(&mut self, now: Instant, notifier: Notifier) {
        let Some(usage) = self.notifiers.get_mut(&notifier) else { return };
        usage.machine.handle_timeout(now);
        self.flush_notifier(now, notifier);
    }

    /// Sends the NOTIFY that is due, if one is.
    fn flush_notifier(&mut self, now: Instant, notifier: Notifier) {
        let Some(usage) = self.notifiers.get_mut(&notifier) else { return };
        let (tag, event) = (usage.tag, usage.package.text());
        if let Some(Notice { state, body, .. }) = usage.machine.poll(now) {
            let headers = [("Event".to_owned(), event), ("Subscription-State".to_owned(), state)];
            match self.shared_template(tag, Method::Notify, &headers, body) {
                Ok(template) => {
                    self.start_client(now, template, User::Notify(notifier));
                }
                Err(error) => {
                    self.notifier_over(now, notifier, error.to_string());
                    return;
                }
            }
        }
        self.arm_notifier(notifier);
    }

    pub(crate) fn notify_answered(
        &mut self,
        now: Instant,
        notifier: Notifier,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        let Some(tag) = self.notifiers.get(&notifier).map(|n| n.tag) else { return };
        if let Some(template) = self.shared_challenged(tag, template, &response) {
            self.start_client(now, template, User::Notify(notifier));
            return;
        }
        if !response.status().is_success() {
            // RFC 6665 §4.2.2: whoever does not take it does not want more.
            self.notifier_over(now, notifier, format!("NOTIFY: {} {}", response.status(), response.reason()));
            return;
        }
        let Some(usage) = self.notifiers.get_mut(&notifier) else { return };
        if usage.machine.answered() {
            let reason = usage.reason.clone();
            self.notifier_over(now, notifier, reason);
        } else {
            self.flush_notifier(now, notifier);
        }
    }

    pub(crate) fn notifier_over(&mut self, _now: Instant, notifier: Notifier, reason: String) {
        let Some(usage) = self.notifiers.remove(&notifier) else { return };
        super::shrink(&mut self.notifiers);
        self.leave_shared(usage.tag, Party::Notifier(notifier));
        self.arm_notifier(notifier);
        self.tell(Event::NotifierEnded { notifier, reason });
    }
}
