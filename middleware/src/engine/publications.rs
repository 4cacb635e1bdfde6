//! Publications that the engine keeps up.

use rand_core::Rng;
use sip_core::endpoint::{Body, Cause, FlowPath, RequestId};
use sip_core::usage::{self, PublicationConfig, PublicationOutput};
use sip_core::{NameAddr, Response, Uri};

use super::registrations::{route_of, seconds};
use super::subscriptions::LOOK;
use super::{Due, Engine, Now, Origin, Owner, perform::loose_route};
use crate::notification::PublicationEvent;
use crate::presence::EventBody;
use crate::publication::{PublicationId, PublicationOptions};

/// A publication and what of the endpoint is its own.
pub(super) struct Told {
    machine: usage::Publication,
    /// The state, to be told again.
    body: Body,
    /// As whom.
    address: Uri,
    /// The first hop, as it is told.
    route: String,
    /// The last try's outcome: whether the server has taken it.
    answered: bool,
    /// Whether it was refused for good: nothing is under way.
    refused: bool,
    /// Whether the application removes it.
    leaving: bool,
    /// The way that the last request took.
    sent: Option<FlowPath>,
    /// The connection that is watched for it.
    path: Option<FlowPath>,
    deadline: Option<std::time::Instant>,
}

impl Engine {
    /// Publishes, and keeps published.
    pub(crate) fn publish(&mut self, now: Now, id: PublicationId, options: PublicationOptions) {
        let PublicationOptions { credentials, target, event, body, route, expires, transport } = options;
        let address = credentials.uri.clone();
        let target = target.unwrap_or_else(|| address.clone());
        let mut from = NameAddr::new(address.clone());
        from.display_name = credentials.display_name.as_deref().map(Into::into);
        let hop = route.as_ref().unwrap_or(&target).to_string();
        let route = match &route {
            Some(route) => vec![loose_route(route)],
            None => self.service_route(&address),
        };
        let config = PublicationConfig {
            expires,
            route,
            credentials: credentials.into_sip(),
            transport,
            ..PublicationConfig::new(target, from, event)
        };
        let body = self.event_body(&body);
        let told = Told {
            machine: usage::Publication::new(config),
            body,
            address,
            route: hop,
            answered: false,
            refused: false,
            leaving: false,
            sent: None,
            path: None,
            deadline: None,
        };
        self.publications.insert(id, told);
        self.refresh_publication(now, id);
    }

    /// Publishes another state.
    pub(crate) fn update_publication(&mut self, now: Now, id: PublicationId, body: &EventBody) {
        let body = self.event_body(body);
        if let Some(told) = self.publications.get_mut(&id) {
            told.body = body;
            self.refresh_publication(now, id);
        }
    }

    /// Publishes the state again at once.
    pub(crate) fn refresh_publication(&mut self, now: Now, id: PublicationId) {
        if let Some(told) = self.publications.get_mut(&id).filter(|told| !told.leaving) {
            told.refused = false;
            told.machine.publish(now.instant, told.body.clone());
            self.run_publication(now, id);
            self.settle(now);
        }
    }

    /// Removes it; one that is not known is over already.
    pub(crate) fn end_publication(&mut self, now: Now, id: PublicationId) {
        let Some(told) = self.publications.get_mut(&id).filter(|told| !told.leaving) else { return };
        told.leaving = true;
        told.machine.stop(now.instant);
        self.post(Origin::Publication(id), PublicationEvent::WillEnd);
        self.run_publication(now, id);
        self.settle(now);
    }

    pub(crate) fn is_published(&self, id: PublicationId) -> bool {
        self.publications.get(&id).is_some_and(|told| told.machine.is_published())
    }

    /// Everything that is published, or as `address` alone, is told again.
    pub(super) fn refresh_publications(&mut self, now: Now, address: Option<&Uri>) {
        let its = |told: &Told| address.is_none_or(|address| told.address == *address);
        let ids: Vec<_> = self.publications.iter().filter(|(_, one)| its(one)).map(|(id, _)| *id).collect();
        for id in ids {
            self.refresh_publication(now, id);
        }
    }

    /// A flow that was to be kept is dead: what went over it is told again, another way.
    pub(super) fn publication_flow_failed(&mut self, now: Now, path: FlowPath) {
        let over = |(_, told): &(&PublicationId, &Told)| told.path == Some(path);
        let ids: Vec<_> = self.publications.iter().filter(over).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(told) = self.publications.get_mut(&id) {
                told.path = None;
            }
            self.refresh_publication(now, id);
        }
    }

    /// A PUBLISH left.
    pub(super) fn publication_sent(&mut self, request: RequestId, path: FlowPath) {
        if let Some(Owner::Publication(id)) = self.requests.get(&request)
            && let Some(told) = self.publications.get_mut(id)
        {
            told.sent = Some(path);
        }
    }

    pub(super) fn publication_answered(&mut self, now: Now, id: PublicationId, response: Response) {
        let Some(told) = self.publications.get_mut(&id) else { return };
        told.answered = response.status().is_success();
        told.machine.answered(now.instant, response);
        let path = told.sent.filter(|path| path.flow.is_some());
        let old = std::mem::replace(&mut told.path, path);
        if old != path {
            if let Some(path) = path {
                self.endpoint.keep_alive(now.instant, path, LOOK);
            }
            self.unwatch(old);
        }
        self.run_publication(now, id);
    }

    pub(super) fn publication_failed(&mut self, now: Now, id: PublicationId, cause: Cause, reason: String) {
        let Some(told) = self.publications.get_mut(&id) else { return };
        told.answered = false;
        told.machine.failed(now.instant, cause, reason);
        self.run_publication(now, id);
    }

    pub(super) fn publication_due(&mut self, now: Now, id: PublicationId) {
        let Some(told) = self.publications.get_mut(&id) else { return };
        told.deadline = None;
        told.machine.handle_timeout(now.instant);
        self.run_publication(now, id);
    }

    /// Does what the machine wants done.
    fn run_publication(&mut self, now: Now, id: PublicationId) {
        let origin = Origin::Publication(id);
        while let Some(told) = self.publications.get_mut(&id) {
            let route = told.sent.map_or_else(|| told.route.clone(), route_of);
            match told.machine.poll_output() {
                PublicationOutput::Send(request) => {
                    told.sent = None;
                    match self.endpoint.request(now.instant, *request) {
                        Ok(request) => {
                            self.requests.insert(request, Owner::Publication(id));
                        }
                        Err(error) => {
                            told.machine.failed(now.instant, Cause::Transport, error.to_string());
                        }
                    }
                }
                PublicationOutput::Published { .. } if told.leaving => {}
                PublicationOutput::Published { response, expires } => {
                    let (code, reason) = (response.status().code(), response.reason().to_owned());
                    self.post(origin, PublicationEvent::DidSucceed { code, reason, expires, route });
                }
                PublicationOutput::Failed { response, reason, retry, .. } => {
                    told.refused = retry.is_none();
                    let event = PublicationEvent::DidFail {
                        code: response.map_or(0, |response| response.status().code()),
                        reason,
                        route,
                        retry_after: retry.map(seconds),
                    };
                    self.post(origin, event);
                }
                PublicationOutput::Removed => {
                    let expired = !told.answered;
                    self.publication_over(id, expired);
                }
                // Nothing is there that could be removed.
                PublicationOutput::Idle(_) if told.leaving && told.refused => {
                    self.publication_over(id, false);
                }
                PublicationOutput::Idle(deadline) => {
                    let old = std::mem::replace(&mut told.deadline, deadline);
                    self.reschedule_due(Due::Publication(id), old, deadline);
                    self.drain_endpoint();
                    return;
                }
                _ => {}
            }
        }
    }

    fn publication_over(&mut self, id: PublicationId, expired: bool) {
        let Some(told) = self.publications.remove(&id) else { return };
        self.unwatch(told.path);
        self.requests.retain(|_, owner| *owner != Owner::Publication(id));
        self.reschedule_due(Due::Publication(id), told.deadline, None);
        self.post(Origin::Publication(id), PublicationEvent::DidEnd { expired });
    }

    fn event_body(&mut self, body: &EventBody) -> Body {
        let (content_type, content) = body.to_bytes(self.random.next_u64());
        Body::new(content_type, content)
    }
}
