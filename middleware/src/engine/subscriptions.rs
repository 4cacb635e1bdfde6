//! Subscriptions that the engine keeps up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sip_core::endpoint::{self as sip, FlowPath, KeepAlive, OutgoingSubscription};
use sip_core::header::{Expires, SubscriptionState};
use sip_core::{NameAddr, Request, Response, Uri};

use super::registrations::{route_of, seconds};
use super::{Engine, Now, Origin, perform::loose_route};
use crate::notification::SubscriptionEvent;
use crate::presence::EventBody;
use crate::subscription::{SubscriptionId, SubscriptionOptions};

/// How often a connection that a subscription went over is looked at.
pub(super) const LOOK: KeepAlive =
    KeepAlive { every: Duration::from_secs(120), answers: false, outbound: false };

/// A subscription and what of the endpoint is its own.
pub(super) struct Followed {
    subscription: sip::Subscription,
    /// As whom.
    address: Uri,
    /// The first hop, as it is told.
    route: String,
    /// The lifetime that was asked for.
    expires: u32,
    /// Whether the notifier has taken it.
    active: bool,
    /// Whether a notification came.
    told: bool,
    /// Whether the notifier has said that it is over.
    terminated: bool,
    /// Whether the application gave it up.
    leaving: bool,
    /// The connection that is watched for it.
    path: Option<FlowPath>,
}

impl Engine {
    /// Subscribes, and keeps it up.
    pub(crate) fn subscribe(&mut self, now: Now, id: SubscriptionId, options: SubscriptionOptions) {
        let accept = options.accepts();
        let SubscriptionOptions { target, event, credentials, route, expires, lists, transport, .. } =
            options;
        let address = credentials.uri.clone();
        let mut from = NameAddr::new(address.clone());
        from.display_name = credentials.display_name.as_deref().map(Into::into);
        let hop = route.as_ref().unwrap_or(&target).to_string();
        let route = match &route {
            Some(route) => vec![loose_route(route)],
            None => self.service_route(&address),
        };
        // RFC 4662 §4.2.
        let headers = match lists && !accept.is_empty() {
            true => vec![("Supported".to_owned(), "eventlist".to_owned())],
            false => Vec::new(),
        };
        let wish = OutgoingSubscription {
            accept,
            expires,
            route,
            headers,
            credentials: credentials.into_sip(),
            transport,
            ..OutgoingSubscription::new(target, from, event)
        };
        match self.endpoint.subscribe(now.instant, wish) {
            Ok(subscription) => {
                let followed = Followed {
                    subscription,
                    address,
                    route: hop,
                    expires,
                    active: false,
                    told: false,
                    terminated: false,
                    leaving: false,
                    path: None,
                };
                self.subscriptions.insert(id, followed);
                self.subscribed.insert(subscription, id);
            }
            Err(error) => {
                let (reason, route) = (error.to_string(), hop);
                let event = SubscriptionEvent::DidFail { code: 0, reason, route, retry_after: None };
                self.post(Origin::Subscription(id), event);
                self.post(Origin::Subscription(id), SubscriptionEvent::DidEnd { expired: false });
            }
        }
        self.settle(now);
    }

    /// Asks for the state again at once.
    pub(crate) fn refresh_subscription(&mut self, now: Now, id: SubscriptionId) {
        if let Some(followed) = self.subscriptions.get(&id).filter(|followed| !followed.leaving) {
            // A SUBSCRIBE that is under way does as well.
            let _ = self.endpoint.resubscribe(now.instant, followed.subscription);
            self.settle(now);
        }
    }

    /// Gives it up; one that is not known is over already.
    pub(crate) fn end_subscription(&mut self, now: Now, id: SubscriptionId) {
        let Some(followed) = self.subscriptions.get_mut(&id).filter(|followed| !followed.leaving) else {
            return;
        };
        followed.leaving = true;
        let subscription = followed.subscription;
        self.post(Origin::Subscription(id), SubscriptionEvent::WillEnd);
        // What the endpoint does not know has just ended, and is told of.
        let _ = self.endpoint.unsubscribe(now.instant, subscription);
        self.settle(now);
    }

    pub(crate) fn is_subscribed(&self, id: SubscriptionId) -> bool {
        self.subscriptions.get(&id).is_some_and(|followed| followed.active)
    }

    /// Everything that is followed, or as `address` alone, is asked for again.
    pub(super) fn refresh_subscriptions(&mut self, now: Now, address: Option<&Uri>) {
        let its = |followed: &Followed| address.is_none_or(|address| followed.address == *address);
        let ids: Vec<_> = self.subscriptions.iter().filter(|(_, one)| its(one)).map(|(id, _)| *id).collect();
        for id in ids {
            self.refresh_subscription(now, id);
        }
    }

    /// A flow that was to be kept is dead: what went over it is asked for again, another way.
    pub(super) fn subscription_flow_failed(&mut self, now: Now, path: FlowPath) {
        let over = |(_, followed): &(&SubscriptionId, &Followed)| followed.path == Some(path);
        let ids: Vec<_> = self.subscriptions.iter().filter(over).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(followed) = self.subscriptions.get_mut(&id) {
                followed.path = None;
            }
            self.refresh_subscription(now, id);
        }
    }

    pub(super) fn subscription_accepted(
        &mut self,
        now: Now,
        subscription: sip::Subscription,
        response: &Response,
    ) {
        self.watch_path(now, subscription);
        let sent = self.endpoint.subscription_path(subscription);
        let Some((id, followed)) = self.followed(subscription) else { return };
        if followed.leaving {
            return;
        }
        followed.active = true;
        if let Some(sent) = sent {
            followed.route = route_of(sent);
        }
        let event = SubscriptionEvent::DidSucceed {
            code: response.status().code(),
            reason: response.reason().to_owned(),
            expires: response.header::<Expires>().map_or(followed.expires, |expires| expires.0),
            route: followed.route.clone(),
        };
        self.post(Origin::Subscription(id), event);
    }

    pub(super) fn notified(&mut self, subscription: sip::Subscription, request: &Request) {
        let Some((id, followed)) = self.followed(subscription) else { return };
        let state = request.header::<SubscriptionState>();
        followed.terminated |= state.is_some_and(|state| state.is_terminated());
        followed.told = true;
        self.post(Origin::Subscription(id), got_notify(request));
    }

    pub(super) fn subscription_lost(
        &mut self,
        subscription: sip::Subscription,
        reason: String,
        retry: Duration,
        response: Option<&Response>,
    ) {
        let sent = self.endpoint.subscription_path(subscription);
        let Some((id, followed)) = self.followed(subscription) else { return };
        let path = followed.path.take();
        (followed.active, followed.terminated) = (false, false);
        let event = SubscriptionEvent::DidFail {
            code: response.map_or(0, |response| response.status().code()),
            reason,
            route: sent.map_or_else(|| followed.route.clone(), route_of),
            retry_after: Some(seconds(retry)),
        };
        self.unwatch(path);
        self.post(Origin::Subscription(id), event);
    }

    pub(super) fn subscription_ended(
        &mut self,
        subscription: sip::Subscription,
        reason: String,
        response: Option<&Response>,
    ) {
        let Some(id) = self.subscribed.remove(&subscription) else { return };
        let Some(followed) = self.subscriptions.remove(&id) else { return };
        self.unwatch(followed.path);
        // What was to be fetched once ends when it is there; what was given up, as it should.
        let fetched = followed.expires == 0 && followed.told;
        if !followed.leaving && !fetched {
            let event = SubscriptionEvent::DidFail {
                code: response.map_or(0, |response| response.status().code()),
                reason,
                route: followed.route,
                retry_after: None,
            };
            self.post(Origin::Subscription(id), event);
        }
        let expired = followed.leaving && followed.active && !followed.terminated;
        self.post(Origin::Subscription(id), SubscriptionEvent::DidEnd { expired });
    }

    fn followed(&mut self, subscription: sip::Subscription) -> Option<(SubscriptionId, &mut Followed)> {
        let id = *self.subscribed.get(&subscription)?;
        self.subscriptions.get_mut(&id).map(|followed| (id, followed))
    }

    /// Has the connection watched that the subscription went over.
    fn watch_path(&mut self, now: Now, subscription: sip::Subscription) {
        let path = self.endpoint.subscription_path(subscription).filter(|path| path.flow.is_some());
        let Some((_, followed)) = self.followed(subscription) else { return };
        let old = std::mem::replace(&mut followed.path, path);
        if old != path {
            if let Some(path) = path {
                self.endpoint.keep_alive(now.instant, path, LOOK);
            }
            self.unwatch(old);
        }
    }

    pub(super) fn unwatch(&mut self, path: Option<FlowPath>) {
        if let Some(path) = path {
            self.endpoint.release(path);
        }
    }
}

/// What a NOTIFY says.
fn got_notify(request: &Request) -> SubscriptionEvent {
    let headers = request.headers();
    let text = |name| headers.text(name).unwrap_or_default().to_owned();
    let (content_type, body): (String, Bytes) = (text("Content-Type"), request.body().clone());
    let decoded = match EventBody::parse(&content_type, &body) {
        Ok(decoded) => Some(Arc::new(decoded)),
        Err(error) => {
            tracing::debug!(%error, content_type, "the body of a NOTIFY cannot be read");
            None
        }
    };
    SubscriptionEvent::GotNotify {
        event: text("Event"),
        content_type,
        body,
        headers: headers
            .iter()
            .map(|field| (field.name.to_owned(), field.text().unwrap_or_default().to_owned()))
            .collect(),
        decoded,
    }
}
