//! Transfers: our REFERs and their results, and what peers ask for (RFC 3515, RFC 3891, RFC 3892).

use sip_core::endpoint::{Call, Notifier, OutgoingRefer, ServerRequest, Subscription};
use sip_core::header::{ReferTo, ReferredBy};
use sip_core::usage::{NotifierState, Sipfrag};
use sip_core::{Limits, NameAddr, Request, StatusCode, Uri};

use super::{Engine, Now};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::incoming_referral::IncomingReferralId;
use crate::session::machine::{SessionConfig, SipEvent};
use crate::session::{Invitation, Operation, SessionId, TransferOptions};

/// How long the peer is told of what becomes of its REFER, in seconds.
pub(super) const TOLD_FOR: u32 = 180;
/// Headers that a Refer-To may give to the new INVITE (RFC 3261 §19.1.5): nothing that says who we are.
const TAKEN: [&str; 3] = ["Replaces", "Subject", "Organization"];

/// What a peer asked for.
#[derive(Debug)]
pub(super) struct Asked {
    target: Uri,
    referred_by: Option<String>,
    /// Whom to tell; `None`: the peer does not want to know (RFC 4488).
    notifier: Option<Notifier>,
}

/// A session that does it.
#[derive(Debug)]
pub(super) struct Referral {
    pub(super) notifier: Option<Notifier>,
    pub(super) from: Referrer,
}

/// Where it was asked for.
#[derive(Copy, Clone, Debug)]
pub(super) enum Referrer {
    Session(SessionId),
    Outside(IncomingReferralId),
}

impl Engine {
    /// Asks the peer of a session to call somebody else.
    pub(crate) fn transfer(
        &mut self,
        now: Now,
        id: SessionId,
        target: Uri,
        options: TransferOptions,
    ) -> Result<(), Error> {
        self.begin_transfer(now, id, OutgoingRefer::new(NameAddr::new(target)), options)
    }

    /// Asks the peer of a session to take our place in another one.
    pub(crate) fn transfer_to(
        &mut self,
        now: Now,
        id: SessionId,
        other: SessionId,
        options: TransferOptions,
    ) -> Result<(), Error> {
        let refused = |reason: &str| Error::not_possible(Operation::Transfer, reason);
        if id == other {
            return Err(refused("a session cannot take its own place"));
        }
        let live = self.sessions.get(&other).ok_or_else(|| refused("the other session is over"))?;
        live.machine.may_transfer()?;
        let call = live.call.ok_or_else(|| refused("the other session is over"))?;
        let (replaces, target) = (self.endpoint.replaces_header(call), self.endpoint.remote_target(call));
        let (Some(replaces), Some(target)) = (replaces, target) else {
            return Err(refused("the other session is over"));
        };
        let refer = OutgoingRefer::new(NameAddr::new(target)).replacing(&replaces);
        let refer = refer.map_err(|error| refused(&error.to_string()))?;
        self.begin_transfer(now, id, refer, options)
    }

    fn begin_transfer(
        &mut self,
        now: Now,
        id: SessionId,
        refer: OutgoingRefer,
        options: TransferOptions,
    ) -> Result<(), Error> {
        let us = self.sessions.get(&id).and_then(|live| live.machine.snapshot().local_uri.clone());
        let refer = OutgoingRefer { referred_by: us.map(NameAddr::new), ..refer };
        let over = Error::not_possible(Operation::Transfer, "the session is over");
        self.with_session(now, id, |machine, context| machine.transfer(context, refer, options))
            .unwrap_or(Err(over))
    }

    /// REFER leaves.
    pub(super) fn refer(&mut self, now: Now, id: SessionId, call: Call, refer: OutgoingRefer) {
        match self.endpoint.refer(now.instant, call, refer) {
            Ok(subscription) => {
                self.transfers.insert(subscription, id);
            }
            Err(error) => {
                let (code, reason) = (0, error.to_string());
                self.refused.push_back((id, SipEvent::TransferStatus { code, reason }));
            }
        }
    }

    pub(super) fn transfer_taken(&mut self, now: Now, subscription: Subscription) {
        if let Some(&id) = self.transfers.get(&subscription) {
            self.tell_session(now, id, SipEvent::TransferAccepted);
        }
    }

    pub(super) fn transfer_told(&mut self, now: Now, subscription: Subscription, request: &Request) {
        let Some(&id) = self.transfers.get(&subscription) else { return };
        // What is no fragment tells nothing; the end of the subscription will.
        if let Ok(Sipfrag::Response(response)) = Sipfrag::parse(request.body(), &Limits::default()) {
            let (code, reason) = (response.status().code(), response.reason().to_owned());
            self.tell_session(now, id, SipEvent::TransferStatus { code, reason });
        }
    }

    pub(super) fn transfer_lost(
        &mut self,
        now: Now,
        subscription: Subscription,
        status: Option<StatusCode>,
        reason: String,
    ) {
        if let Some(id) = self.transfers.remove(&subscription) {
            // RFC 4488: it was taken, and nothing more is told.
            if status.is_some_and(StatusCode::is_success) {
                self.tell_session(now, id, SipEvent::TransferAccepted);
                self.tell_session(now, id, SipEvent::TransferSilent);
                return;
            }
            let code = status.map_or(0, StatusCode::code);
            self.tell_session(now, id, SipEvent::TransferStatus { code, reason });
        }
    }

    /// The peer's REFER in a session: taken, so that there is time to decide.
    pub(super) fn referred(&mut self, now: Now, call: Call, id: ServerRequest, request: &Request) {
        let Some(&session) = self.calls.get(&call) else { return };
        let target = match target_of(request) {
            Ok(target) => target,
            Err(status) => return self.respond(now, id, status),
        };
        if self.sessions.get(&session).is_none_or(|live| live.asked.is_some()) {
            self.respond(now, id, StatusCode::REQUEST_PENDING);
            return;
        }
        let Ok(notifier) = self.endpoint.accept_refer(now.instant, id, TOLD_FOR) else { return };
        let referred_by = request.header::<ReferredBy>().map(|by| by.to_string());
        let destination = target.without_headers().to_string();
        if let Some(live) = self.sessions.get_mut(&session) {
            live.asked = Some(Asked { target, referred_by: referred_by.clone(), notifier });
        }
        self.tell_session(now, session, SipEvent::Referred { destination, referred_by });
    }

    /// Does what the peer asked for, in a new session.
    pub(crate) fn accept_transfer(
        &mut self,
        now: Now,
        id: SessionId,
        credentials: Option<Credentials>,
        config: SessionConfig,
    ) -> Result<SessionId, Error> {
        let operation = Operation::AcceptTransfer;
        let over = || Error::not_possible(operation, "the peer asks for no transfer");
        let accepted = self.with_session(now, id, |machine, context| {
            let streams = machine.accept_transfer(context)?;
            Ok((streams, machine.own_credentials()))
        });
        let (streams, own) = accepted.unwrap_or_else(|| Err(over()))?;
        let asked = self.sessions.get_mut(&id).and_then(|live| live.asked.take()).ok_or_else(over)?;
        let credentials = credentials.or(own).ok_or_else(over)?;
        let route = self.sessions.get(&id).and_then(|live| live.machine.snapshot().route.clone());
        let invitation = invitation_to(&asked.target, asked.referred_by, credentials, route);
        let new = self.new_session_id();
        self.referrals.insert(new, Referral { notifier: asked.notifier, from: Referrer::Session(id) });
        let connected = self.connect(now, new, config, invitation, streams, Vec::new());
        if connected.is_err() {
            self.referral_over(now, new);
        }
        connected.map(|()| new)
    }

    /// The peer is told that nothing comes of its REFER.
    pub(super) fn decline_transfer(&mut self, now: Now, id: SessionId, status: StatusCode) {
        let asked = self.sessions.get_mut(&id).and_then(|live| live.asked.take());
        if let Some(notifier) = asked.and_then(|asked| asked.notifier) {
            let body = Sipfrag::of_status(status, None);
            // One that is over needs to be told nothing.
            let _ = self.endpoint.end_notifier(now.instant, notifier, "rejected", Some(body));
        }
    }

    /// The new session is further: who asked for it is told, at both ends.
    pub(super) fn referral_at(&mut self, now: Now, call: Call, status: StatusCode, reason: &str) {
        let Some(&id) = self.calls.get(&call) else { return };
        if status.is_provisional() {
            let Some(Referral { notifier, from }) = self.referrals.get(&id) else { return };
            let (notifier, from) = (*notifier, *from);
            if let Some(notifier) = notifier {
                let body = Sipfrag::of_status(status, Some(reason));
                // One that is over needs to be told nothing.
                let _ = self.endpoint.notify(now.instant, notifier, NotifierState::Active, Some(body));
            }
            if let Referrer::Session(from) = from {
                let (code, reason) = (status.code(), reason.to_owned());
                self.tell_session(now, from, SipEvent::TransferStatus { code, reason });
            }
        } else {
            self.referral_failed(now, Some(id), Some(status), reason);
        }
    }

    /// The new session came about, or will not.
    pub(super) fn referral_failed(
        &mut self,
        now: Now,
        id: Option<SessionId>,
        status: Option<StatusCode>,
        reason: &str,
    ) {
        let Some(Referral { notifier, from }) = id.and_then(|id| self.referrals.remove(&id)) else { return };
        if let Some(notifier) = notifier {
            let body = Sipfrag::of_status(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), Some(reason));
            // One that is over needs to be told nothing.
            let _ = self.endpoint.end_notifier(now.instant, notifier, "noresource", Some(body));
        }
        let succeeded = status.is_some_and(StatusCode::is_success);
        let (code, reason) = (status.map_or(0, StatusCode::code), reason.to_owned());
        match from {
            Referrer::Outside(id) => self.referral_ended(id, code, reason),
            Referrer::Session(from) => {
                self.tell_session(now, from, SipEvent::TransferStatus { code, reason });
                if succeeded && notifier.is_none() {
                    // Nobody else knows that it may end now.
                    self.terminate(now, from);
                }
            }
        }
    }

    /// The new session ended before anything came of it.
    pub(super) fn referral_over(&mut self, now: Now, id: SessionId) {
        self.referral_failed(now, Some(id), None, "the new session has ended");
    }
}

/// Whom a REFER wants us to call, or how it is refused: by SIP, and to call, not else.
pub(super) fn target_of(request: &Request) -> Result<Uri, StatusCode> {
    let Some(ReferTo(refer_to)) = request.header::<ReferTo>() else { return Err(StatusCode::BAD_REQUEST) };
    let target = refer_to.uri;
    let calls = target.param("method").is_none_or(|method| method.eq_ignore_ascii_case("INVITE"));
    if target.is_sip() && calls { Ok(target) } else { Err(StatusCode::DECLINE) }
}

/// The call that a REFER wants.
pub(super) fn invitation_to(
    target: &Uri,
    referred_by: Option<String>,
    credentials: Credentials,
    route: Option<Uri>,
) -> Invitation {
    let mut headers: Vec<(String, String)> = target
        .headers()
        .filter(|(name, _)| TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)))
        .map(|(name, value)| (name.to_owned(), sip_core::unescape(value).into_owned()))
        .collect();
    headers.extend(referred_by.map(|by| ("Referred-By".to_owned(), by)));
    let callee = target.without_headers().without_param("method");
    Invitation { callee, credentials, route, headers, max_redirects: 0, late_offer: false }
}
