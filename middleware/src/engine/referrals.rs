//! What peers ask for outside of sessions (RFC 3515): the application decides on each REFER.

use std::time::Instant;

use sip_core::endpoint::ServerRequest;
use sip_core::header::{From, ReferredBy, To};
use sip_core::{Request, StatusCode, Uri};

use super::subscribers::DECISION;
use super::transfers::{Referral, Referrer, TOLD_FOR, invitation_to, target_of};
use super::{Due, Engine, Now, Origin};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::incoming_referral::IncomingReferralId;
use crate::notification::IncomingReferralEvent;
use crate::session::machine::SessionConfig;
use crate::session::{SessionId, StreamSet};

/// A REFER that waits for the application.
#[derive(Debug)]
pub(super) struct AskedOutside {
    request: ServerRequest,
    target: Uri,
    referred_by: Option<String>,
    until: Instant,
}

impl Engine {
    /// A REFER of a peer's, outside of any session.
    pub(super) fn got_refer(&mut self, now: Now, request_id: ServerRequest, request: &Request) {
        if !self.config.referrals {
            // The method as such is known, in sessions.
            self.respond(now, request_id, StatusCode::FORBIDDEN);
            return;
        }
        let target = match target_of(request) {
            Ok(target) => target,
            Err(status) => return self.respond(now, request_id, status),
        };
        let (Some(Ok(from)), Some(Ok(to))) = (request.headers().get::<From>(), request.headers().get::<To>())
        else {
            self.respond(now, request_id, StatusCode::BAD_REQUEST);
            return;
        };
        if !self.takes_another() {
            self.respond(now, request_id, StatusCode::TEMPORARILY_UNAVAILABLE);
            return;
        }
        let referred_by = request.header::<ReferredBy>().map(|by| by.to_string());
        let asked = IncomingReferralEvent::GotRefer {
            from: from.uri.to_string(),
            to: to.uri.to_string(),
            destination: target.without_headers().to_string(),
            referred_by: referred_by.clone(),
        };
        self.next_incoming += 1;
        let id = IncomingReferralId(self.next_incoming);
        let until = now.instant + DECISION;
        self.asked_outside.insert(id, AskedOutside { request: request_id, target, referred_by, until });
        self.reschedule_due(Due::Referral(id), None, Some(until));
        self.post(Origin::IncomingReferral(id), asked);
    }

    /// The application does it, in a new session.
    pub(crate) fn accept_referral(
        &mut self,
        now: Now,
        id: IncomingReferralId,
        credentials: Credentials,
        streams: StreamSet,
    ) -> Result<(SessionId, SessionConfig), Error> {
        if streams.is_empty() || streams.file {
            let value = streams.names().collect::<Vec<_>>().join(", ");
            return Err(Error::BadValue { what: "streams", value, expected: "audio, chat, or both" });
        }
        let asked = self.asked_outside.get(&id).ok_or_else(|| decided(id))?;
        let notifier = self.endpoint.accept_refer(now.instant, asked.request, TOLD_FOR);
        let notifier = notifier.map_err(|error| Error::not_now(id, error))?;
        let AskedOutside { target, referred_by, until, .. } =
            self.asked_outside.remove(&id).ok_or_else(|| decided(id))?;
        self.reschedule_due(Due::Referral(id), Some(until), None);
        let invitation = invitation_to(&target, referred_by, credentials, None);
        let (new, config) = (self.new_session_id(), self.config.session.clone());
        self.referrals.insert(new, Referral { notifier, from: Referrer::Outside(id) });
        let connected = self.connect(now, new, config.clone(), invitation, streams, Vec::new());
        if connected.is_err() {
            self.referral_over(now, new);
        }
        self.settle(now);
        connected.map(|()| (new, config))
    }

    /// The application does not.
    pub(crate) fn reject_referral(
        &mut self,
        now: Now,
        id: IncomingReferralId,
        status: StatusCode,
    ) -> Result<(), Error> {
        if !self.asked_outside.contains_key(&id) {
            return Err(decided(id));
        }
        self.refuse_referral(now, id, status, status.default_reason());
        self.settle(now);
        Ok(())
    }

    /// Nobody decided.
    pub(super) fn referral_due(&mut self, now: Now, id: IncomingReferralId) {
        self.refuse_referral(now, id, StatusCode::TEMPORARILY_UNAVAILABLE, "nobody decided");
    }

    /// Everything ends.
    pub(super) fn refuse_referrals(&mut self, now: Now) {
        let ids: Vec<_> = self.asked_outside.keys().copied().collect();
        for id in ids {
            self.refuse_referral(now, id, StatusCode::TEMPORARILY_UNAVAILABLE, "the agent is leaving");
        }
        self.settle(now);
    }

    fn refuse_referral(&mut self, now: Now, id: IncomingReferralId, status: StatusCode, reason: &str) {
        let Some(asked) = self.asked_outside.remove(&id) else { return };
        self.respond(now, asked.request, status);
        self.drain_endpoint();
        self.reschedule_due(Due::Referral(id), Some(asked.until), None);
        self.referral_ended(id, status.code(), reason.to_owned());
    }

    pub(super) fn referral_ended(&mut self, id: IncomingReferralId, code: u16, reason: String) {
        self.post(Origin::IncomingReferral(id), IncomingReferralEvent::DidEnd { code, reason });
    }
}

fn decided(id: IncomingReferralId) -> Error {
    Error::not_now(id, "it was decided already")
}
