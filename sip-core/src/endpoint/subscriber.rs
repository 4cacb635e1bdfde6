//! Subscriptions of ours, by SUBSCRIBE and by REFER (RFC 6665 §4.1, RFC 3515).

use super::{
    Body, Call, Endpoint, Event, FlowPath, OutgoingRequest, Subscription, Transport,
    caller::{domain, same_domain, without_tag},
    client::User,
    command::{Known, check_headers, not_now},
    send::{OwnContact, Template},
    shared::{Package, Party, Shared},
};
use crate::{
    Method, NameAddr, Request, Response, Routed, Uri, UsageError,
    auth::{Authenticator, Credentials, Trust},
    header::{
        self, CSeq, CallId, Expires, From, MaxForwards, MinExpires, ReferSub, RetryAfter, Route,
        SubscriptionState, To,
    },
    usage::{Subscriber, SubscriberAction},
};
use std::time::{Duration, Instant};

/// What is to be subscribed to.
#[derive(Debug, Clone)]
pub struct OutgoingSubscription {
    /// Whose state: the Request-URI.
    pub target: Uri,
    /// Who subscribes; the tag is the endpoint's.
    pub from: NameAddr,
    /// Whose state, as it is shown.
    pub to: NameAddr,
    /// The event package, with its parameters: `presence`.
    pub event: String,
    /// The bodies that are understood: content types.
    pub accept: Vec<String>,
    /// The lifetime that is asked for, in seconds; zero fetches the state once.
    pub expires: u32,
    /// Whether it begins again by itself when it is lost.
    pub keep: bool,
    /// The wait after a first failure; it doubles with each, up to `max_retry`.
    pub retry: Duration,
    /// The longest wait after a failure.
    pub max_retry: Duration,
    /// The proxies to go through, the nearest first.
    pub route: Vec<NameAddr>,
    /// Further headers of every SUBSCRIBE.
    pub headers: Vec<(String, String)>,
    /// A filter (RFC 4660), sent with every SUBSCRIBE.
    pub body: Option<Body>,
    /// What answers challenges.
    pub credentials: Option<Credentials>,
    /// What to go over; `None`: what the next hop's URI says, or UDP.
    pub transport: Option<Transport>,
}

impl OutgoingSubscription {
    /// The usual: an hour, kept up, with tries after 5 s up to 5 minutes.
    pub fn new(target: Uri, from: NameAddr, event: impl Into<String>) -> Self {
        Self {
            to: NameAddr::new(target.without_headers()),
            target,
            from,
            event: event.into(),
            accept: Vec::new(),
            expires: 3_600,
            keep: true,
            retry: Duration::from_secs(5),
            max_retry: Duration::from_secs(300),
            route: Vec::new(),
            headers: Vec::new(),
            body: None,
            credentials: None,
            transport: None,
        }
    }
}

/// What a peer is asked to call, or whatever the URI's method says (RFC 3515).
#[derive(Debug, Clone)]
pub struct OutgoingRefer {
    /// What to refer to; for an attended transfer with a Replaces header in the URI:
    /// [`OutgoingRefer::replacing`].
    pub refer_to: NameAddr,
    /// Who refers (RFC 3892).
    pub referred_by: Option<NameAddr>,
    /// Whether to be told what becomes of it; if not, the peer is asked for no subscription
    /// (RFC 4488).
    pub subscribe: bool,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl OutgoingRefer {
    /// To this address, and to be told what becomes of it.
    pub fn new(refer_to: NameAddr) -> Self {
        Self { refer_to, referred_by: None, subscribe: true, headers: Vec::new() }
    }

    /// The same, with a call in place of the one that `replaces` names, as
    /// [`Endpoint::replaces_header`] gives it (RFC 3891, RFC 5589 §7).
    ///
    /// # Errors
    /// If the address is no URI that has headers.
    pub fn replacing(mut self, replaces: &header::Replaces) -> Result<Self, UsageError> {
        let escaped = escape(&replaces.to_string());
        let uri = self.refer_to.uri.without_headers();
        self.refer_to.uri = format!("{uri}?Replaces={escaped}").parse()?;
        Ok(self)
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        headers.push(("Refer-To".to_owned(), self.refer_to.to_string()));
        if let Some(by) = &self.referred_by {
            headers.push(("Referred-By".to_owned(), by.to_string()));
        }
        if !self.subscribe {
            headers.push(("Refer-Sub".to_owned(), "false".to_owned()));
        }
        headers
    }
}

/// What may stand in a header of a URI as it is (RFC 3261 §25.1: unreserved, and some of
/// hnv-unreserved).
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, b| {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'~' | b'*' => {
                escaped.push(char::from(b));
            }
            _ => escaped.push_str(&format!("%{b:02X}")),
        }
        escaped
    })
}

/// A subscription of ours.
#[derive(Debug)]
pub(crate) struct SubscriptionUsage {
    pub(crate) machine: Subscriber,
    /// Our tag in its dialog.
    tag: u64,
    pub(crate) package: Package,
    /// What is asked for; none after REFER.
    wish: Option<Box<OutgoingSubscription>>,
    /// The request that makes the dialog, as it was sent last.
    pub(crate) first: Option<Box<Request>>,
    /// Whether a NOTIFY came.
    pub(crate) told: bool,
    /// The way that the last SUBSCRIBE took.
    pub(crate) path: Option<FlowPath>,
}

impl Endpoint {
    /// Subscribes, and keeps it up: what it brings are events, [`Event::Notified`] and others.
    ///
    /// # Errors
    /// If it cannot be put on the wire, or there are too many.
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscription: OutgoingSubscription,
    ) -> Result<Subscription, UsageError> {
        self.check_clients()?;
        self.check_subscriptions()?;
        check_headers(&subscription.headers)?;
        let wish = subscription;
        let event = <header::Event as header::TypedHeader>::parse(&wish.event)?;
        let id = event.params.get("id").map(str::to_owned);
        self.next_id += 1;
        let subscription = Subscription(self.next_id);
        let usage = SubscriptionUsage {
            machine: Subscriber::new(wish.expires, wish.keep, wish.retry, wish.max_retry),
            tag: 0,
            package: Package { name: event.package, id },
            wish: Some(Box::new(wish)),
            first: None,
            told: false,
            path: None,
        };
        let expires = usage.wish.as_ref().map_or(0, |w| w.expires);
        self.subscriptions.insert(subscription, usage);
        self.permit(Method::Notify);
        match self.begin(now, subscription, expires) {
            Ok(()) => Ok(subscription),
            Err(error) => {
                self.subscriptions.remove(&subscription);
                Err(error)
            }
        }
    }

    /// Refreshes a subscription now; one that was lost and waits begins again at once.
    ///
    /// # Errors
    /// If it is over, or a SUBSCRIBE is under way already.
    pub fn resubscribe(&mut self, now: Instant, id: Subscription) -> Result<(), UsageError> {
        let usage = self.subscriptions.get_mut(&id).known()?;
        if !usage.machine.refresh() {
            return Err(not_now("resubscribe", "an established or lost subscription"));
        }
        let expires = usage.wish.as_ref().map_or(0, |w| w.expires);
        self.carry_out(now, id, SubscriberAction::Subscribe(expires), None);
        Ok(())
    }

    /// The way that the last SUBSCRIBE of a subscription took, if one left: for
    /// [`Endpoint::keep_alive`].
    #[must_use]
    pub fn subscription_path(&self, id: Subscription) -> Option<FlowPath> {
        self.subscriptions.get(&id)?.path
    }

    /// Gives a subscription up; [`Event::SubscriptionEnded`] follows.
    ///
    /// # Errors
    /// If it is over.
    pub fn unsubscribe(&mut self, now: Instant, id: Subscription) -> Result<(), UsageError> {
        let timers = self.config.timers;
        let action = self.subscriptions.get_mut(&id).known()?.machine.stop(now, &timers);
        self.carry_out(now, id, action, None);
        Ok(())
    }

    /// Refers the peer of a call to somebody (RFC 3515): a transfer. What becomes of it comes as
    /// [`Event::Notified`], with fragments that [`Sipfrag`](crate::usage::Sipfrag) reads.
    ///
    /// # Errors
    /// If the call has no dialog, or there are too many subscriptions.
    pub fn refer(
        &mut self,
        now: Instant,
        call: Call,
        refer: OutgoingRefer,
    ) -> Result<Subscription, UsageError> {
        self.check_clients()?;
        self.check_subscriptions()?;
        check_headers(&refer.headers)?;
        let template = self.in_call_template(call, None, Method::Refer, &refer.headers(), None)?;
        let id = self.new_refer(&template.request);
        let tag = self.share(call, Party::Subscription(id)).known()?;
        if let Some(usage) = self.subscriptions.get_mut(&id) {
            usage.tag = tag;
        }
        self.start_client(now, template, User::Subscribe(id, tag));
        Ok(id)
    }

    /// Refers a peer to somebody, out of any call; `request` is the REFER, without what `refer`
    /// says.
    ///
    /// # Errors
    /// If it cannot be put on the wire, or there are too many.
    pub fn refer_outside(
        &mut self,
        now: Instant,
        mut request: OutgoingRequest,
        refer: OutgoingRefer,
    ) -> Result<Subscription, UsageError> {
        self.check_clients()?;
        self.check_subscriptions()?;
        request.method = Method::Refer;
        request.headers.extend(refer.headers());
        check_headers(&request.headers)?;
        let (tag, template, shared) = self.first_request(request)?;
        let id = self.new_refer(&template.request);
        if let Some(usage) = self.subscriptions.get_mut(&id) {
            usage.tag = tag;
        }
        self.shared.insert(tag, Shared { parties: vec![Party::Subscription(id)], ..shared });
        self.start_client(now, template, User::Subscribe(id, tag));
        Ok(id)
    }

    fn new_refer(&mut self, request: &Request) -> Subscription {
        self.permit(Method::Notify);
        self.next_id += 1;
        let id = Subscription(self.next_id);
        let cseq = request.cseq().map(|c| c.number.to_string()).ok();
        let usage = SubscriptionUsage {
            machine: Subscriber::implicit(),
            tag: 0,
            package: Package { name: "refer".to_owned(), id: cseq },
            wish: None,
            first: Some(Box::new(request.clone())),
            told: false,
            path: None,
        };
        self.subscriptions.insert(id, usage);
        id
    }

    /// A request that makes a dialog: our tag, and what the dialog needs.
    fn first_request(&mut self, request: OutgoingRequest) -> Result<(u64, Template, Shared), UsageError> {
        let OutgoingRequest {
            method, target, from, to, route, headers, body, credentials, transport, ..
        } = request;
        let tag = self.random_u64();
        let call_id = self.random_call_id();
        let trust = Trust { server: same_domain(&from.uri, &target), proxies: !route.is_empty() };
        let auth = credentials.map(|c| Authenticator::new(c, domain(&from.uri), trust));
        let contact = OwnContact::Derived(from.uri.user().map(Into::into));
        let from = without_tag(from).with_tag(&format!("{tag:016x}"))?;
        let id = CallId(call_id.clone());
        let routed = Routed::new(&target, &route).map(|uri, routes| {
            let mut builder = Request::builder(method.clone(), uri).header(MaxForwards(70));
            for route in routes {
                builder = builder.header(Route(route));
            }
            let builder = builder.header(From(from)).header(To(without_tag(to))).header(id);
            builder.header(CSeq::new(1, method))
        });
        let next_hop = routed.next_hop;
        let request = self.complete(routed.value, &headers, body)?;
        let template = Template { request, next_hop, transport, flow: None, contact: contact.clone() };
        let call_id = call_id.into_boxed_str();
        let shared =
            Shared { call_id, dialog: None, contact, transport, flow: None, auth, parties: Vec::new() };
        Ok((tag, template, shared))
    }

    /// Sends the SUBSCRIBE that makes a dialog.
    fn begin(&mut self, now: Instant, id: Subscription, expires: u32) -> Result<(), UsageError> {
        let usage = self.subscriptions.get(&id).known()?;
        let (old, wish) = (usage.tag, usage.wish.as_deref().known()?);
        let mut request = OutgoingRequest::new(Method::Subscribe, wish.target.clone(), wish.from.clone());
        request.to = wish.to.clone();
        request.headers = subscribe_headers(wish, expires);
        request.route = wish.route.clone();
        request.body = wish.body.clone();
        request.credentials = wish.credentials.clone();
        request.transport = wish.transport;
        let (tag, template, shared) = self.first_request(request)?;
        self.leave_shared(old, Party::Subscription(id));
        self.shared.insert(tag, Shared { parties: vec![Party::Subscription(id)], ..shared });
        if let Some(usage) = self.subscriptions.get_mut(&id) {
            (usage.tag, usage.told) = (tag, false);
            usage.first = Some(Box::new(template.request.clone()));
        }
        self.start_client(now, template, User::Subscribe(id, tag));
        Ok(())
    }

    pub(crate) fn subscribe_answered(
        &mut self,
        now: Instant,
        id: Subscription,
        tag: u64,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        let timers = self.config.timers;
        // What is said of an earlier dialog does not matter any more.
        if self.subscriptions.get(&id).is_none_or(|u| u.tag != tag) {
            return;
        }
        if let Some(template) = self.shared_challenged(tag, template, &response) {
            if let Some(usage) = self.subscriptions.get_mut(&id)
                && !usage.told
            {
                usage.first = Some(Box::new(template.request.clone()));
                if let (None, Ok(cseq)) = (&usage.wish, template.request.cseq()) {
                    usage.package.id = Some(cseq.number.to_string());
                }
            }
            self.start_client(now, template, User::Subscribe(id, tag));
            return;
        }
        let in_call = self.call_with(tag).is_some();
        let Some(usage) = self.subscriptions.get_mut(&id) else { return };
        let status = response.status();
        if !status.is_success() {
            let min = response.header::<MinExpires>().map(|m| m.0);
            let later = response.header::<RetryAfter>().map(|r| r.seconds);
            let reason = response.reason().to_owned();
            let action = usage.machine.refused(now, Some(status), min, later, reason);
            self.carry_out(now, id, action, Some(response));
            return;
        }
        if let Some(shared) = self.shared.get_mut(&tag) {
            if let Some(auth) = &mut shared.auth {
                auth.succeeded();
            }
            match (&mut shared.dialog, &usage.first) {
                (Some(dialog), _) => dialog.refresh(response.headers()),
                (None, Some(first)) if !in_call => {
                    shared.dialog = crate::Dialog::client(first, &response).ok();
                    if let Some(dialog) = &mut shared.dialog {
                        dialog.set_confirmed();
                    }
                }
                (None, _) => {}
            }
        }
        usage.machine.accepted(now, response.header::<Expires>().map(|e| e.0), &timers);
        let over = usage.wish.is_none() && response.header::<ReferSub>().is_some_and(|r| !r.wanted);
        if over {
            let reason = "accepted without a subscription".to_owned();
            self.carry_out(now, id, SubscriberAction::Over(reason), Some(response));
            return;
        }
        self.tell(Event::Subscribed { subscription: id, response });
        self.arm_subscription(id);
    }

    pub(crate) fn subscribe_failed(&mut self, now: Instant, id: Subscription, tag: u64, reason: String) {
        let Some(usage) = self.subscriptions.get_mut(&id).filter(|u| u.tag == tag) else { return };
        let action = usage.machine.refused(now, None, None, None, reason);
        self.carry_out(now, id, action, None);
    }

    /// A NOTIFY came and was answered.
    pub(crate) fn notified(
        &mut self,
        now: Instant,
        id: Subscription,
        request: Request,
        state: &SubscriptionState,
    ) {
        let Some(usage) = self.subscriptions.get_mut(&id) else { return };
        usage.told = true;
        let action = usage.machine.notified(now, state);
        self.tell(Event::Notified { subscription: id, request });
        self.carry_out(now, id, action, None);
    }

    pub(crate) fn subscription_timeout(&mut self, now: Instant, id: Subscription) {
        let Some(usage) = self.subscriptions.get_mut(&id) else { return };
        let action = usage.machine.handle_timeout(now);
        self.carry_out(now, id, action, None);
    }

    fn carry_out(
        &mut self,
        now: Instant,
        id: Subscription,
        action: SubscriberAction,
        response: Option<Response>,
    ) {
        let Some(usage) = self.subscriptions.get(&id) else { return };
        let tag = usage.tag;
        match action {
            SubscriberAction::None => {}
            SubscriberAction::Subscribe(expires) => {
                let done = if self.has_dialog(tag) {
                    self.subscribe_within(now, id, expires)
                } else {
                    self.begin(now, id, expires)
                };
                if let Err(error) = done {
                    self.subscribe_failed(now, id, tag, error.to_string());
                    return;
                }
            }
            SubscriberAction::Lost(reason, retry) => {
                self.leave_shared(tag, Party::Subscription(id));
                self.tell(Event::SubscriptionLost { subscription: id, reason, retry, response });
            }
            SubscriberAction::Over(reason) => {
                self.leave_shared(tag, Party::Subscription(id));
                self.subscriptions.remove(&id);
                super::shrink(&mut self.subscriptions);
                self.tell(Event::SubscriptionEnded { subscription: id, reason, response });
            }
        }
        self.arm_subscription(id);
    }

    /// Sends a SUBSCRIBE in the dialog (RFC 6665 §4.1.2.2).
    fn subscribe_within(&mut self, now: Instant, id: Subscription, expires: u32) -> Result<(), UsageError> {
        let usage = self.subscriptions.get(&id).known()?;
        let wish = usage.wish.as_deref().known()?;
        let (tag, headers, body) = (usage.tag, subscribe_headers(wish, expires), wish.body.clone());
        let template = self.shared_template(tag, Method::Subscribe, &headers, body)?;
        self.start_client(now, template, User::Subscribe(id, tag));
        Ok(())
    }
}

fn subscribe_headers(wish: &OutgoingSubscription, expires: u32) -> Vec<(String, String)> {
    let mut headers = wish.headers.clone();
    headers.push(("Event".to_owned(), wish.event.clone()));
    headers.push(("Expires".to_owned(), expires.to_string()));
    if !wish.accept.is_empty() {
        headers.push(("Accept".to_owned(), wish.accept.join(", ")));
    }
    headers
}
