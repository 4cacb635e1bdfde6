//! Registrations that the engine keeps up.

use std::time::Duration;

use sip_core::endpoint::{FlowPath, RequestId, Transport};
use sip_core::usage::{self, RegistrationConfig, RegistrationOutput};
use sip_core::{NameAddr, Response, Uri};

use super::{Due, Engine, Now, Origin, Owner, bytes32, perform::loose_route};
use crate::error::Error;
use crate::notification::RegistrationEvent;
use crate::registration::{RegistrationId, RegistrationOptions};

/// A registration and what of the endpoint is its own.
pub(super) struct Kept {
    machine: usage::Registration,
    request: Option<RequestId>,
    /// The first hop, as it is told.
    route: String,
    /// The last try's outcome: whether the registrar has answered it.
    answered: bool,
    /// Whether the registrar was out of reach since it answered last.
    away: bool,
    pub(super) deadline: Option<std::time::Instant>,
}

impl Engine {
    /// Registers, and keeps registered.
    pub(crate) fn register(&mut self, now: Now, id: RegistrationId, options: RegistrationOptions) {
        let RegistrationOptions {
            credentials,
            registrar,
            route,
            expires,
            transport,
            instance,
            outbound,
            push,
        } = options;
        let registrar = match registrar {
            Some(registrar) => registrar,
            None => match registrar_of(&credentials.uri) {
                Ok(registrar) => registrar,
                Err(error) => {
                    let (reason, route) = (error.to_string(), String::new());
                    let event = RegistrationEvent::DidFail { code: 0, reason, route, retry_after: None };
                    self.post(Origin::Registration(id), event);
                    self.post(Origin::Registration(id), RegistrationEvent::DidEnd { expired: false });
                    return;
                }
            },
        };
        let mut address = NameAddr::new(credentials.uri.clone());
        address.display_name = credentials.display_name.as_deref().map(Into::into);
        let hop = route.as_ref().unwrap_or(&registrar).to_string();
        let config = RegistrationConfig {
            expires,
            route: route.iter().map(loose_route).collect(),
            credentials: credentials.into_sip(),
            transport,
            reg_id: (outbound && instance.is_some()).then_some(1),
            instance,
            push,
            ..RegistrationConfig::new(registrar, address)
        };
        let mut machine = usage::Registration::new(config, bytes32(&mut self.random));
        machine.start(now.instant);
        let kept = Kept { machine, request: None, route: hop, answered: false, away: false, deadline: None };
        self.registrations.insert(id, kept);
        self.run_registration(now, id);
        self.settle(now);
    }

    /// Registers again at once.
    pub(crate) fn refresh_registration(&mut self, now: Now, id: RegistrationId) {
        if let Some(kept) = self.registrations.get_mut(&id) {
            kept.machine.start(now.instant);
            self.run_registration(now, id);
            self.settle(now);
        }
    }

    /// The network is another one: everything is registered, asked for and told again at once.
    pub(crate) fn network_changed(&mut self, now: Now) {
        let ids: Vec<_> = self.registrations.keys().copied().collect();
        for id in ids {
            self.refresh_registration(now, id);
        }
        self.refresh_subscriptions(now, None);
        self.refresh_publications(now, None);
    }

    /// A REGISTER left.
    pub(super) fn registration_sent(&mut self, request: RequestId, path: FlowPath, contact: Option<Uri>) {
        if let Some(Owner::Registration(id)) = self.requests.get(&request)
            && let Some(kept) = self.registrations.get_mut(id)
        {
            kept.machine.sent(path, contact);
        }
    }

    /// A flow that was to be kept is dead.
    pub(super) fn registration_flow_failed(&mut self, now: Now, path: FlowPath) {
        let ids: Vec<_> = self.registrations.keys().copied().collect();
        for id in ids {
            if let Some(kept) = self.registrations.get_mut(&id) {
                kept.away = true;
                kept.machine.flow_failed(now.instant, path);
                self.run_registration(now, id);
            }
        }
    }

    /// The proxies that an address's requests go through, as its registrar said (RFC 3608 §5).
    pub(super) fn service_route(&self, address: &Uri) -> Vec<NameAddr> {
        let of_it = |kept: &&Kept| kept.machine.is_registered() && kept.machine.address().uri == *address;
        let found = self.registrations.values().find(of_it);
        found.map(|kept| kept.machine.service_route().to_vec()).unwrap_or_default()
    }

    /// Removes it; one that is not known is over already.
    pub(crate) fn end_registration(&mut self, now: Now, id: RegistrationId) {
        let Some(kept) = self.registrations.get_mut(&id) else { return };
        kept.machine.stop(now.instant);
        self.post(Origin::Registration(id), RegistrationEvent::WillEnd);
        self.run_registration(now, id);
        self.settle(now);
    }

    pub(crate) fn is_registered(&self, id: RegistrationId) -> bool {
        self.registrations.get(&id).is_some_and(|kept| kept.machine.is_registered())
    }

    pub(super) fn registration_answered(&mut self, now: Now, id: RegistrationId, response: Response) {
        let Some(kept) = self.registrations.get_mut(&id) else { return };
        kept.answered = response.status().is_success();
        kept.machine.answered(now.instant, response);
        self.run_registration(now, id);
    }

    pub(super) fn registration_failed(
        &mut self,
        now: Now,
        id: RegistrationId,
        cause: sip_core::endpoint::Cause,
        reason: String,
    ) {
        let Some(kept) = self.registrations.get_mut(&id) else { return };
        kept.answered = false;
        kept.machine.failed(now.instant, cause, reason);
        self.run_registration(now, id);
    }

    pub(super) fn registration_due(&mut self, now: Now, id: RegistrationId) {
        let Some(kept) = self.registrations.get_mut(&id) else { return };
        kept.deadline = None;
        kept.machine.handle_timeout(now.instant);
        self.run_registration(now, id);
    }

    /// Does what the machine wants done.
    fn run_registration(&mut self, now: Now, id: RegistrationId) {
        let origin = Origin::Registration(id);
        while let Some(kept) = self.registrations.get_mut(&id) {
            match kept.machine.poll_output() {
                RegistrationOutput::Send(request) => match self.endpoint.request(now.instant, *request) {
                    Ok(request) => {
                        kept.request = Some(request);
                        self.requests.insert(request, Owner::Registration(id));
                    }
                    Err(error) => {
                        let cause = sip_core::endpoint::Cause::Transport;
                        kept.machine.failed(now.instant, cause, error.to_string());
                    }
                },
                RegistrationOutput::Registered { response, expires, contacts, contact, path } => {
                    let contact_uri_list: Vec<_> =
                        contacts.iter().map(|contact| contact.uri.to_string()).collect();
                    let event = RegistrationEvent::DidSucceed {
                        code: response.status().code(),
                        reason: response.reason().to_owned(),
                        contact_uri: contact.map(|contact| contact.uri.to_string()).unwrap_or_default(),
                        contact_uri_list,
                        expires,
                        route: path.map_or_else(|| kept.route.clone(), route_of),
                    };
                    let back = std::mem::take(&mut kept.away).then(|| kept.machine.address().uri.clone());
                    self.post(origin, event);
                    // Who was away may have forgotten the rest too.
                    if let Some(address) = back {
                        self.refresh_subscriptions(now, Some(&address));
                        self.refresh_publications(now, Some(&address));
                    }
                }
                RegistrationOutput::Failed { response, reason, retry, path, .. } => {
                    kept.away = true;
                    let event = RegistrationEvent::DidFail {
                        code: response.as_ref().map_or(0, |response| response.status().code()),
                        reason: response.map_or(reason, |response| response.reason().to_owned()),
                        route: path.map_or_else(|| kept.route.clone(), route_of),
                        retry_after: retry.map(seconds),
                    };
                    self.post(origin, event);
                }
                RegistrationOutput::Unregistered => {
                    let event = RegistrationEvent::DidEnd { expired: !kept.answered };
                    let deadline = kept.deadline;
                    self.registrations.remove(&id);
                    self.requests.retain(|_, owner| *owner != Owner::Registration(id));
                    self.reschedule_due(Due::Registration(id), deadline, None);
                    self.post(origin, event);
                }
                RegistrationOutput::Keep(path, keep) => self.endpoint.keep_alive(now.instant, path, keep),
                RegistrationOutput::Release(path) => self.endpoint.release(path),
                RegistrationOutput::Idle(deadline) => {
                    let old = std::mem::replace(&mut kept.deadline, deadline);
                    self.reschedule_due(Due::Registration(id), old, deadline);
                    self.drain_endpoint();
                    return;
                }
                _ => {}
            }
        }
    }
}

/// The domain of an address, as a registrar is called (RFC 3261 §10.2: no user part).
fn registrar_of(address: &Uri) -> Result<Uri, Error> {
    let bad = || Error::BadValue {
        what: "address of record",
        value: address.to_string(),
        expected: "sip:user@domain",
    };
    let text = address.to_string();
    let (scheme, rest) = text.split_once(':').ok_or_else(bad)?;
    let (_, domain) = rest.rsplit_once('@').ok_or_else(bad)?;
    let domain = domain.split([';', '?']).next().unwrap_or_default();
    format!("{scheme}:{domain}").parse().map_err(|_| bad())
}

/// An address and a transport, as a Route header has them.
pub(super) fn route_of(path: FlowPath) -> String {
    let transport = match path.target.transport {
        Transport::Udp => String::new(),
        other => format!(";transport={}", other.uri_name()),
    };
    format!("sip:{}{transport}", path.target.addr)
}

pub(super) fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
