//! What sessions ask of the endpoint.

use bytes::Bytes;
use sip_core::endpoint::{Body, OutgoingCall};
use sip_core::{NameAddr, StatusCode, Uri};

use super::{Engine, Now};
use crate::session::{Invitation, SessionId, SipAction};

impl Engine {
    /// Carries one action out. What the endpoint refuses is a broken invariant of ours at most
    /// for the dialog that is gone already: then its end is on its way to the session.
    pub(super) fn perform(&mut self, now: Now, id: SessionId, action: SipAction) {
        let at = now.instant;
        if let SipAction::Invite { invitation, offer } = action {
            self.invite(now, id, *invitation, offer);
            return;
        }
        let Some(live) = self.sessions.get_mut(&id) else { return };
        let Some(call) = live.call else { return };
        let done = match action {
            SipAction::Invite { .. } => Ok(()),
            SipAction::Ack { answer } => self.endpoint.ack(at, call, answer.map(sdp_body)),
            SipAction::Cancel => self.endpoint.cancel(at, call),
            SipAction::Provisional { status } => self.endpoint.provisional(at, call, status, None),
            SipAction::Accept { body } => self.endpoint.accept(at, call, Vec::new(), Some(sdp_body(body))),
            SipAction::Reject { status, reason } => {
                self.endpoint.reject(at, call, status, reason.as_deref(), Vec::new())
            }
            SipAction::Reinvite { offer } => self.endpoint.reinvite(at, call, Some(sdp_body(offer))),
            SipAction::CancelReinvite => self.endpoint.cancel(at, call),
            SipAction::Bye => self.endpoint.bye(at, call, Vec::new()),
            SipAction::ReinviteProvisional { status } => {
                let Some(request) = live.request else { return };
                self.endpoint.respond(at, request, status, Vec::new(), None)
            }
            SipAction::AcceptReinvite { body } => {
                let Some(request) = live.request.take() else { return };
                self.endpoint.respond(at, request, StatusCode::OK, Vec::new(), body.map(sdp_body))
            }
            SipAction::RejectReinvite { status } => {
                let Some(request) = live.request.take() else { return };
                self.endpoint.respond(at, request, status, Vec::new(), None)
            }
        };
        if let Err(error) = done {
            tracing::debug!(session = %id, %error, "the dialog is gone already");
        }
    }

    fn invite(&mut self, now: Now, id: SessionId, invitation: Invitation, offer: Bytes) {
        let Invitation { callee, credentials, route } = invitation;
        let mut from = NameAddr::new(credentials.uri.clone());
        from.display_name = credentials.display_name.clone().map(Into::into);
        let outgoing = OutgoingCall {
            route: route.iter().map(loose_route).collect(),
            body: Some(sdp_body(offer)),
            credentials: credentials.into_sip(),
            ..OutgoingCall::new(callee, from)
        };
        match self.endpoint.invite(now.instant, outgoing) {
            Ok(call) => {
                self.calls.insert(call, id);
                if let Some(live) = self.sessions.get_mut(&id) {
                    live.call = Some(call);
                }
            }
            Err(error) => self.fail_invite(now, id, &error.to_string()),
        }
    }
}

fn sdp_body(content: Bytes) -> Body {
    Body::new("application/sdp", content)
}

/// A proxy as a Route header has it: `lr` says that it is no strict router (RFC 3261 §19.1.1).
fn loose_route(proxy: &Uri) -> NameAddr {
    let uri = if proxy.has_param("lr") { Ok(proxy.clone()) } else { proxy.with_param("lr", None) };
    NameAddr::new(uri.unwrap_or_else(|_| proxy.clone()))
}
