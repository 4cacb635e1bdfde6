//! What the endpoint tells: each event goes to its session, or makes one.

use std::time::Duration;

use bytes::Bytes;
use sdp::Fragment;
use sip_core::endpoint::{Call, Event, ServerRequest};
use sip_core::header::{ContentType, From, InfoPackage, RetryAfter, To, Warning};
use sip_core::{Limits, Method, Multipart, Request, Response, StatusCode};

use super::{Engine, Live, Now, Origin, Owner, SDP_FRAGMENT, bytes32};
use crate::negotiation::Refusal;
use crate::notification::MessageEvent;
use crate::session::machine::{Context, Invite, SessionMachine, SipEvent};
use crate::session::{FileIcon, RemoteHeaders, SessionId};

impl Engine {
    pub(super) fn dispatch(&mut self, now: Now, event: Event) {
        match event {
            Event::Incoming { call, request } => self.incoming(now, call, &request),
            Event::Provisional { call, response } => {
                let (status, reason) = (response.status(), response.reason().to_owned());
                let (body, headers) = (sdp(&response), RemoteHeaders::of(response.headers()));
                self.tell(now, call, SipEvent::Provisional { status, headers, body });
                self.referral_at(now, call, status, &reason);
            }
            Event::PrackDue { call, id } => {
                self.tell(now, call, SipEvent::PrackDue { id });
            }
            Event::Answered { call, response } => {
                let (body, headers) = (sdp(&response), RemoteHeaders::of(response.headers()));
                self.tell(now, call, SipEvent::Answered { body, headers });
                self.referral_at(now, call, response.status(), response.reason());
            }
            Event::Failed { call, status, reason, response, .. } => {
                let code = status.map_or(0, StatusCode::code);
                let id = self.calls.get(&call).copied();
                let response = response.map(Box::new);
                self.tell(now, call, SipEvent::Failed { code, reason: reason.clone(), response });
                self.calls.remove(&call);
                if id.is_some_and(|id| self.sessions.get(&id).is_none_or(|live| live.call == Some(call))) {
                    // It is not tried elsewhere.
                    self.referral_failed(now, id, status, &reason);
                }
            }
            Event::Pracked { call, .. } | Event::Refreshed { call, by_remote: true } => {
                self.tell(now, call, SipEvent::Acknowledged);
            }
            Event::Confirmed { call, ack } => {
                let body = Some(ack.body().clone()).filter(|body| !body.is_empty());
                self.tell(now, call, SipEvent::Confirmed { body });
            }
            Event::Cancelled { call, .. } => self.tell(now, call, SipEvent::Cancelled),
            Event::Reinvite { call, id, request } => self.reinvite(now, call, id, &request),
            Event::ReinviteCancelled { call, .. } => {
                if let Some(live) = self.live(call) {
                    live.request = None;
                }
                self.tell(now, call, SipEvent::ReinviteCancelled);
            }
            Event::ReinviteAnswered { call, response } => {
                self.tell(now, call, SipEvent::ReinviteAnswered { body: sdp(&response) });
            }
            Event::ReinviteFailed { call, status, reason, retry_after, response, .. } => {
                let code = status.map_or(0, StatusCode::code);
                // RFC 3261 §14.2: the peer is not done with the one before.
                let busy = || response.filter(|_| code == 500)?.header::<RetryAfter>();
                let retry_after = retry_after
                    .or_else(|| busy().map(|wait| Duration::from_secs(wait.seconds.min(10).into())));
                self.tell(now, call, SipEvent::ReinviteFailed { code, reason, retry_after });
            }
            Event::RefreshDue { call } => self.tell(now, call, SipEvent::RefreshDue),
            Event::Request { call, id, request } => self.request(now, call, id, &request),
            Event::Ended { call, by_remote, reason, .. } => {
                let by_remote = by_remote || self.live(call).is_some_and(|live| live.replaced);
                self.tell(now, call, SipEvent::Ended { by_remote, reason });
                self.calls.remove(&call);
            }
            Event::Response { id, response } if response.status().is_final() => {
                match self.requests.remove(&id) {
                    Some(Owner::Registration(id)) => self.registration_answered(now, id, response),
                    Some(Owner::Publication(id)) => self.publication_answered(now, id, response),
                    Some(Owner::Message(id)) => {
                        self.message_answered(id, response.status(), response.reason())
                    }
                    Some(Owner::Trickle(id)) => self.trickled(now, id, response.status().code()),
                    None => {}
                }
            }
            Event::RequestFailed { id, cause, reason } => match self.requests.remove(&id) {
                Some(Owner::Registration(id)) => self.registration_failed(now, id, cause, reason),
                Some(Owner::Publication(id)) => self.publication_failed(now, id, cause, reason),
                Some(Owner::Message(message_id)) => {
                    self.post(Origin::Application, MessageEvent::DidFail { message_id, code: 0, reason });
                }
                Some(Owner::Trickle(id)) => self.trickled(now, id, 0),
                None => {}
            },
            Event::RegisterSent { id, path, contact } => {
                self.publication_sent(id, path);
                self.registration_sent(id, path, contact);
            }
            Event::FlowFailed { path, .. } => {
                self.registration_flow_failed(now, path);
                self.publication_flow_failed(now, path);
                self.subscription_flow_failed(now, path);
            }
            Event::Subscribed { subscription, .. } if self.transfers.contains_key(&subscription) => {
                self.transfer_taken(now, subscription);
            }
            Event::Notified { subscription, request } if self.transfers.contains_key(&subscription) => {
                self.transfer_told(now, subscription, &request);
            }
            Event::SubscriptionEnded { subscription, reason, response }
                if self.transfers.contains_key(&subscription) =>
            {
                let status = response.as_ref().map(Response::status);
                self.transfer_lost(now, subscription, status, reason);
            }
            Event::Subscribed { subscription, response } => {
                self.subscription_accepted(now, subscription, &response);
            }
            Event::Notified { subscription, request } => self.notified(subscription, &request),
            Event::SubscriptionLost { subscription, reason, retry, response } => {
                self.subscription_lost(subscription, reason, retry, response.as_ref());
            }
            Event::SubscriptionEnded { subscription, reason, response } => {
                self.subscription_ended(subscription, reason, response.as_ref());
            }
            Event::NotifierRefreshed { notifier, request } => self.notifier_refreshed(notifier, &request),
            Event::NotifierEnded { notifier, reason } => self.notifier_ended(notifier, reason),
            // Provisional responses to re-INVITEs, and other branches of a fork.
            _ => {}
        }
    }

    /// An INVITE outside of a dialog: a session, or a refusal that nobody hears of.
    fn incoming(&mut self, now: Now, call: Call, request: &Request) {
        if self.leaving {
            self.refuse(now, call, StatusCode::TEMPORARILY_UNAVAILABLE, "the agent is leaving");
            return;
        }
        if self.sessions.len() >= self.config.max_sessions {
            self.refuse(now, call, StatusCode::BUSY_HERE, "the limit of sessions is reached");
            return;
        }
        let offer = match description(request) {
            Ok(offer) => offer,
            Err(refusal) => {
                self.refuse(now, call, refusal.status, &refusal.reason);
                return;
            }
        };
        let (Some(Ok(from)), Some(Ok(to))) = (request.headers().get::<From>(), request.headers().get::<To>())
        else {
            self.refuse(now, call, StatusCode::BAD_REQUEST, "From or To cannot be read");
            return;
        };
        let invite = Invite {
            local: to.uri.clone(),
            remote: from.uri.clone(),
            headers: RemoteHeaders::of(request.headers()),
            offer,
            icons: icons(request),
        };
        let seed = bytes32(&mut self.random);
        let mut machine = SessionMachine::new(self.config.session.clone(), seed);
        let ringtones = self.ringtones.clone();
        let context = Context { now: now.instant, wall: now.wall, ringtones: &ringtones };
        match machine.invited(context, invite) {
            Err(refusal) => self.refuse(now, call, refusal.status, &refusal.reason),
            Ok(()) => {
                let id = self.new_session_id();
                let live = Live { call: Some(call), ..Live::new(machine) };
                self.sessions.insert(id, live);
                self.calls.insert(call, id);
                self.carry_out(now, id);
                self.take_the_place(now, call, id);
            }
        }
    }

    /// An INVITE that names a session of ours is the rest of a transfer (RFC 3891): it is taken as that
    /// session was, which the endpoint ends.
    fn take_the_place(&mut self, now: Now, call: Call, id: SessionId) {
        let Some(other) = self.endpoint.replaces(call).and_then(|other| self.calls.get(&other).copied())
        else {
            return;
        };
        let Some(replaced) = self.sessions.get_mut(&other) else { return };
        replaced.replaced = true;
        let streams = replaced.machine.snapshot().streams();
        let _ = self.with_session(now, id, |machine, context| {
            let offered = machine.snapshot().proposed_streams;
            let both = offered.with_only(streams);
            machine.accept(context, if both.is_empty() { offered } else { both }, None, Vec::new())
        });
    }

    fn refuse(&mut self, now: Now, call: Call, status: StatusCode, reason: &str) {
        tracing::debug!(status = status.code(), reason, "an INVITE is refused");
        let headers = warning(status, reason).into_iter().collect();
        // The endpoint knows the call: it has just told of it.
        let _ = self.endpoint.reject(now.instant, call, status, None, headers);
    }

    /// A re-INVITE or an UPDATE with an offer.
    fn reinvite(&mut self, now: Now, call: Call, id: ServerRequest, request: &Request) {
        let body = match description(request) {
            Ok(body) => body,
            Err(refusal) => {
                self.respond(now, id, refusal.status);
                return;
            }
        };
        match self.live(call) {
            // One at a time: the one before is still with the application.
            Some(live) if live.request.is_some() => self.respond(now, id, StatusCode::REQUEST_PENDING),
            Some(live) => {
                live.request = Some(id);
                let tag = request.from().ok().and_then(|from| from.tag().map(str::to_owned));
                let may_wait = *request.method() == Method::Invite;
                self.tell(now, call, SipEvent::Reinvite { tag, body, icons: icons(request), may_wait });
            }
            None => self.respond(now, id, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    /// Any other request.
    fn request(&mut self, now: Now, call: Option<Call>, id: ServerRequest, request: &Request) {
        match (call, request.method()) {
            (Some(call), Method::Update) if !request.body().is_empty() => {
                self.reinvite(now, call, id, request)
            }
            (Some(call), Method::Info) if request.header::<InfoPackage>().is_some() => {
                // The endpoint lets no other package through (RFC 6086 §4.2.2).
                match candidates(request) {
                    Ok(fragment) => {
                        self.respond(now, id, StatusCode::OK);
                        self.tell(now, call, SipEvent::Candidates { fragment });
                    }
                    Err(status) => self.respond(now, id, status),
                }
            }
            (Some(call), Method::Info) => {
                self.respond(now, id, StatusCode::OK);
                if let Some(digit) = pressed(request) {
                    self.tell(now, call, SipEvent::Dtmf { digit });
                }
            }
            (Some(_), Method::Update | Method::Options) => self.respond(now, id, StatusCode::OK),
            (Some(call), Method::Refer) if self.config.transfers => self.referred(now, call, id, request),
            // Out of a session: by policy, closed until the application opens it.
            (None, Method::Message) => self.got_message(now, id, request),
            (None, Method::Refer) => self.got_refer(now, id, request),
            (_, Method::Subscribe) => self.got_subscribe(now, id, request),
            // RFC 6665 §4.1.3: of no subscription of ours.
            (_, Method::Notify) => self.respond(now, id, StatusCode::CALL_DOES_NOT_EXIST),
            (None, Method::Publish) => self.respond(now, id, StatusCode::METHOD_NOT_ALLOWED),
            _ => self.respond(now, id, StatusCode::NOT_IMPLEMENTED),
        }
    }

    /// An INFO of ours has its answer.
    fn trickled(&mut self, now: Now, id: SessionId, code: u16) {
        if let Some(live) = self.sessions.get_mut(&id) {
            live.trickling = None;
        }
        self.tell_session(now, id, SipEvent::TrickleAnswered { code });
    }

    pub(super) fn respond(&mut self, now: Now, id: ServerRequest, status: StatusCode) {
        // A request that the peer has given up needs no answer.
        let _ = self.endpoint.respond(now.instant, id, status, Vec::new(), None);
    }

    fn live(&mut self, call: Call) -> Option<&mut Live> {
        let id = self.calls.get(&call)?;
        self.sessions.get_mut(id)
    }

    fn tell(&mut self, now: Now, call: Call, event: SipEvent) {
        let Some(&id) = self.calls.get(&call) else { return };
        self.tell_session(now, id, event);
    }

    pub(super) fn tell_session(&mut self, now: Now, id: SessionId, event: SipEvent) {
        let ringtones = self.ringtones.clone();
        let context = Context { now: now.instant, wall: now.wall, ringtones: &ringtones };
        if let Some(live) = self.sessions.get_mut(&id) {
            live.machine.handle_sip(context, event);
            self.carry_out(now, id);
        }
    }
}

/// The session description of a request: its body, or a part of it (RFC 5621). 415 for what cannot be
/// read and has to be.
fn description(request: &Request) -> Result<Option<Bytes>, Refusal> {
    if request.body().is_empty() {
        return Ok(None);
    }
    let bad = |reason: String| Refusal { status: StatusCode::BAD_REQUEST, reason };
    let unknown = |kind: &ContentType| Refusal {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        reason: format!("{kind} is not application/sdp"),
    };
    match request.headers().get::<ContentType>() {
        Some(Ok(kind)) if kind.is("application", "sdp") => Ok(Some(request.body().clone())),
        Some(Ok(kind)) if is_multipart(&kind) => {
            let parts = Multipart::parse(&kind.0, request.body(), &Limits::default())
                .map_err(|error| bad(error.to_string()))?;
            match parts.find("application", "sdp") {
                Some(part) => Ok(Some(part.body.clone())),
                None => Err(unknown(&kind)),
            }
        }
        Some(Ok(kind)) => Err(unknown(&kind)),
        Some(Err(error)) => Err(bad(error.to_string())),
        None => Err(bad("a body without Content-Type".to_owned())),
    }
}

/// What an INFO with candidates carries (RFC 8840 §9), or how it is refused.
fn candidates(request: &Request) -> Result<Fragment, StatusCode> {
    // Sixty candidates fit four times.
    let limits = sdp::Limits { bytes: 32_768, media: 32, attributes: 256, ..sdp::Limits::default() };
    let kind = request.headers().get::<ContentType>();
    let (main, sub) = SDP_FRAGMENT.split_once('/').unwrap_or_default();
    match kind {
        Some(Ok(kind)) if kind.is(main, sub) => {
            Fragment::parse_with(request.body(), &limits).map_err(|_| StatusCode::BAD_REQUEST)
        }
        _ => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// The images beside a session description, by what names them (RFC 5547 §6).
fn icons(request: &Request) -> Vec<(String, FileIcon)> {
    let Some(Ok(kind)) = request.headers().get::<ContentType>().filter(|_| !request.body().is_empty()) else {
        return Vec::new();
    };
    if !is_multipart(&kind) {
        return Vec::new();
    }
    let parts = Multipart::parse(&kind.0, request.body(), &Limits::default());
    let leaves = parts.map(|parts| parts.leaves()).unwrap_or_default();
    let icons = leaves.into_iter().filter_map(|part| {
        let kind = part.content_type();
        let content_type = format!("{}/{}", kind.kind, kind.subtype);
        let id = part.id().filter(|_| kind.kind.eq_ignore_ascii_case("image"))?.id().to_owned();
        Some((id, FileIcon { content_type, data: part.body }))
    });
    icons.collect()
}

fn is_multipart(kind: &ContentType) -> bool {
    ["mixed", "alternative", "related"].iter().any(|subtype| kind.is("multipart", subtype))
}

/// What a 488 says of why, so that people can be told (RFC 3261 §20.43, §21.4.26).
fn warning(status: StatusCode, reason: &str) -> Option<(String, String)> {
    if status != StatusCode::NOT_ACCEPTABLE_HERE {
        return None;
    }
    let warning = Warning::new(399, &"sipsimple".parse().ok()?, reason).ok()?;
    Some(("Warning".to_owned(), warning.to_string()))
}

/// The session description of a response, where it has one.
fn sdp(response: &Response) -> Option<Bytes> {
    let body = Some(response.body().clone()).filter(|body| !body.is_empty())?;
    match response.headers().get::<ContentType>() {
        Some(Ok(kind)) if is_multipart(&kind) => {
            let parts = Multipart::parse(&kind.0, &body, &Limits::default()).ok()?;
            parts.find("application", "sdp").map(|part| part.body.clone())
        }
        _ => Some(body),
    }
}

/// The key that an INFO says was pressed: `Signal=5` of `application/dtmf-relay`, or the digit alone of
/// `application/dtmf`.
fn pressed(request: &Request) -> Option<char> {
    let kind: ContentType = request.header()?;
    let text = std::str::from_utf8(request.body()).ok()?;
    let digit = if kind.is("application", "dtmf-relay") {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then_some(value)
        })?
    } else if kind.is("application", "dtmf") {
        text
    } else {
        return None;
    };
    let digit = match digit.trim() {
        // Events by their number (RFC 4733 §3.2), as some write them.
        "10" => '*',
        "11" => '#',
        one => one.chars().next().filter(|_| one.len() == 1)?.to_ascii_uppercase(),
    };
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D').then_some(digit)
}
