//! Subscriptions of peers (RFC 6665 §4.2) to the packages that the application opens: it decides on each
//! and says what there is to tell.

use std::time::{Duration, Instant};

use rand_core::Rng;
use sip_core::endpoint::{Body, Notifier, ServerRequest};
use sip_core::header::{Event, Expires, From, To};
use sip_core::usage::NotifierState;
use sip_core::{Request, StatusCode};

use super::{Due, Engine, Now, Origin};
use crate::error::Error;
use crate::incoming_subscription::IncomingSubscriptionId;
use crate::notification::IncomingSubscriptionEvent;
use crate::presence::EventBody;

/// How long the application has to decide: the peer waits for 64 × T1 (RFC 3261 §17.1.2.2).
pub(super) const DECISION: Duration = Duration::from_secs(20);
/// Requests of peers that may wait for that.
pub(super) const MAX_UNDECIDED: usize = 256;

/// Where a peer's subscription is.
#[derive(Debug)]
pub(super) enum Subscriber {
    /// The application has not decided.
    Asks { request: ServerRequest, until: Instant },
    /// It was taken.
    Told(Notifier),
}

impl Engine {
    /// A SUBSCRIBE of a peer.
    pub(super) fn got_subscribe(&mut self, now: Now, request_id: ServerRequest, request: &Request) {
        if self.config.events.is_empty() {
            self.respond(now, request_id, StatusCode::METHOD_NOT_ALLOWED);
            return;
        }
        let headers = request.headers();
        let event = headers.text("Event").unwrap_or_default().to_owned();
        let package = request.header::<Event>().map(|event| event.package);
        if !package.is_some_and(|package| self.config.events.contains(&package)) {
            // Out of a call the endpoint has said so.
            let allowed = vec![("Allow-Events".to_owned(), self.config.events.join(", "))];
            let status = StatusCode::BAD_EVENT;
            let _ = self.endpoint.respond(now.instant, request_id, status, allowed, None);
            return;
        }
        let (Some(Ok(from)), Some(Ok(to))) = (headers.get::<From>(), headers.get::<To>()) else {
            self.respond(now, request_id, StatusCode::BAD_REQUEST);
            return;
        };
        if !self.takes_another() {
            self.respond(now, request_id, StatusCode::TEMPORARILY_UNAVAILABLE);
            return;
        }
        let accept = headers.texts("Accept").flat_map(|line| line.split(','));
        let asked = IncomingSubscriptionEvent::GotSubscribe {
            event,
            from: from.uri.to_string(),
            to: to.uri.to_string(),
            expires: request.header::<Expires>().map(|expires| expires.0),
            accept: accept.map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect(),
        };
        self.next_incoming += 1;
        let id = IncomingSubscriptionId(self.next_incoming);
        let until = now.instant + DECISION;
        self.subscribers.insert(id, Subscriber::Asks { request: request_id, until });
        self.reschedule_due(Due::Subscriber(id), None, Some(until));
        self.post(Origin::IncomingSubscription(id), asked);
    }

    /// Whether one more request of a peer may wait for the application.
    pub(super) fn takes_another(&self) -> bool {
        let subscribers =
            self.subscribers.values().filter(|it| matches!(it, Subscriber::Asks { .. })).take(MAX_UNDECIDED);
        !self.leaving && subscribers.count() + self.asked_outside.len() < MAX_UNDECIDED
    }

    /// The application takes it.
    pub(crate) fn accept_subscriber(
        &mut self,
        now: Now,
        id: IncomingSubscriptionId,
        state: NotifierState,
        body: &EventBody,
        expires: u32,
    ) -> Result<(), Error> {
        let (request, until) = self.undecided(id)?;
        let body = self.state_body(body);
        let notifier = self.endpoint.accept_subscription(now.instant, request, expires, state, body);
        let notifier = notifier.map_err(|error| Error::not_now(id, error))?;
        self.reschedule_due(Due::Subscriber(id), Some(until), None);
        self.subscribers.insert(id, Subscriber::Told(notifier));
        self.notifiers.insert(notifier, id);
        self.settle(now);
        Ok(())
    }

    /// The application does not take it.
    pub(crate) fn reject_subscriber(
        &mut self,
        now: Now,
        id: IncomingSubscriptionId,
        status: StatusCode,
    ) -> Result<(), Error> {
        self.undecided(id)?;
        self.refuse_subscriber(now, id, status, format!("refused with {}", status.code()));
        self.settle(now);
        Ok(())
    }

    fn refuse_subscriber(
        &mut self,
        now: Now,
        id: IncomingSubscriptionId,
        status: StatusCode,
        reason: String,
    ) {
        let Ok((request, until)) = self.undecided(id) else { return };
        self.respond(now, request, status);
        self.drain_endpoint();
        self.reschedule_due(Due::Subscriber(id), Some(until), None);
        self.subscribers.remove(&id);
        self.post(Origin::IncomingSubscription(id), IncomingSubscriptionEvent::DidEnd { reason });
    }

    /// Nobody decided.
    pub(super) fn subscriber_due(&mut self, now: Now, id: IncomingSubscriptionId) {
        let status = StatusCode::TEMPORARILY_UNAVAILABLE;
        self.refuse_subscriber(now, id, status, "nobody decided".to_owned());
    }

    /// Another state for who was taken.
    pub(crate) fn notify_subscriber(
        &mut self,
        now: Now,
        id: IncomingSubscriptionId,
        body: &EventBody,
    ) -> Result<(), Error> {
        let notifier = self.told(id)?;
        let body = self.state_body(body);
        let done = self.endpoint.notify(now.instant, notifier, NotifierState::Active, body);
        self.settle(now);
        done.map_err(|error| Error::not_now(id, error))
    }

    /// The application ends it.
    pub(crate) fn end_subscriber(
        &mut self,
        now: Now,
        id: IncomingSubscriptionId,
        reason: &str,
    ) -> Result<(), Error> {
        let notifier = self.told(id)?;
        let done = self.endpoint.end_notifier(now.instant, notifier, reason, None);
        self.settle(now);
        done.map_err(|error| Error::not_now(id, error))
    }

    /// Everything ends: who waits is refused, who was taken may ask again later.
    pub(super) fn end_subscribers(&mut self, now: Now) {
        let ids: Vec<_> = self.subscribers.keys().copied().collect();
        for id in ids {
            match self.told(id) {
                // One that ends already ends.
                Ok(_) => drop(self.end_subscriber(now, id, "probation")),
                Err(_) => {
                    let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                    self.refuse_subscriber(now, id, status, "the agent is leaving".to_owned());
                }
            }
        }
        self.settle(now);
    }

    pub(super) fn notifier_refreshed(&mut self, notifier: Notifier, request: &Request) {
        let expires = request.header::<Expires>().map(|expires| expires.0);
        // Who gives it up is told the state a last time; then it ends.
        if let Some(&id) = self.notifiers.get(&notifier).filter(|_| expires != Some(0)) {
            self.post(Origin::IncomingSubscription(id), IncomingSubscriptionEvent::GotRefresh { expires });
        }
    }

    pub(super) fn notifier_ended(&mut self, notifier: Notifier, reason: String) {
        if let Some(id) = self.notifiers.remove(&notifier) {
            self.subscribers.remove(&id);
            self.post(Origin::IncomingSubscription(id), IncomingSubscriptionEvent::DidEnd { reason });
        }
    }

    fn undecided(&self, id: IncomingSubscriptionId) -> Result<(ServerRequest, Instant), Error> {
        match self.subscribers.get(&id) {
            Some(Subscriber::Asks { request, until }) => Ok((*request, *until)),
            Some(Subscriber::Told(_)) => Err(Error::not_now(id, "it was taken already")),
            None => Err(Error::not_now(id, "it is over")),
        }
    }

    fn told(&self, id: IncomingSubscriptionId) -> Result<Notifier, Error> {
        match self.subscribers.get(&id) {
            Some(Subscriber::Told(notifier)) => Ok(*notifier),
            Some(Subscriber::Asks { .. }) => Err(Error::not_now(id, "it was not taken yet")),
            None => Err(Error::not_now(id, "it is over")),
        }
    }

    fn state_body(&mut self, body: &EventBody) -> Option<Body> {
        let (content_type, content) = body.to_bytes(self.random.next_u64());
        (!content_type.is_empty()).then(|| Body::new(content_type, content))
    }
}
