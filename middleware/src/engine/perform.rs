//! What sessions ask of the endpoint.

use std::time::Duration;

use bytes::Bytes;
use sip_core::endpoint::{Body, Call, OutgoingCall};
use sip_core::header::{ContentDisposition, ContentId, TypedHeader};
use sip_core::{Method, Multipart, NameAddr, Part, StatusCode, Uri};

use super::{Engine, Now, Owner, SDP_FRAGMENT};
use crate::session::machine::{SipEvent, TRICKLE_ICE};
use crate::session::{FileIcon, Invitation, SessionId, SipAction};

/// When a re-INVITE that cannot leave yet is tried again.
const AGAIN: Duration = Duration::from_millis(250);

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
        let offers = matches!(action, SipAction::Reinvite { .. });
        let done = match action {
            SipAction::Invite { .. } => Ok(()),
            SipAction::Ack { answer } => self.endpoint.ack(at, call, answer.map(sdp_body)),
            SipAction::Cancel => self.endpoint.cancel(at, call),
            SipAction::Provisional { status, answer, repeats: 0 } => {
                self.endpoint.provisional(at, call, status, answer.map(sdp_body))
            }
            SipAction::Provisional { status, answer, repeats } => {
                self.endpoint.provisional_repeated(at, call, status, answer.map(sdp_body), repeats)
            }
            SipAction::ProvisionalArrived => {
                self.endpoint.provisional_arrived(call);
                Ok(())
            }
            SipAction::Prack { id, answer } => self.endpoint.prack(at, call, id, answer.map(sdp_body)),
            SipAction::Accept { body, headers } => {
                // What the application may not set is left out: the call is answered all the same.
                let done = self.endpoint.accept(at, call, headers, body.clone().map(sdp_body));
                match done {
                    Err(sip_core::UsageError::Reserved) => {
                        self.endpoint.accept(at, call, Vec::new(), body.map(sdp_body))
                    }
                    done => done,
                }
            }
            SipAction::Reject { status, reason, headers } => {
                match self.endpoint.reject(at, call, status, reason.as_deref(), headers) {
                    Err(sip_core::UsageError::Reserved) => {
                        self.endpoint.reject(at, call, status, reason.as_deref(), Vec::new())
                    }
                    done => done,
                }
            }
            SipAction::Info { digit } => {
                let content = format!("Signal={digit}\r\nDuration=160\r\n");
                let body = Body::new("application/dtmf-relay", content);
                self.endpoint.request_in_dialog(at, call, Method::Info, Vec::new(), Some(body)).map(drop)
            }
            SipAction::Trickle { fragment } => {
                self.trickle(now, id, call, fragment);
                return;
            }
            SipAction::Refer { refer } => {
                self.refer(now, id, call, *refer);
                return;
            }
            SipAction::DeclineTransfer { status } => {
                self.decline_transfer(now, id, status);
                return;
            }
            SipAction::Reinvite { offer } => {
                let body = offer_body(offer, live.machine.icons());
                self.endpoint.reinvite(at, call, Some(body))
            }
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
        let Err(error) = done else { return };
        tracing::debug!(session = %id, %error, "the endpoint refuses for now, or the dialog is gone");
        if offers {
            // An INVITE of the peer's is not over yet: the same as meeting it on the wire.
            let (code, reason) = (491, error.to_string());
            let event = SipEvent::ReinviteFailed { code, reason, retry_after: Some(AGAIN) };
            self.refused.push_back((id, event));
        }
    }

    /// RFC 8840 §10: the package, and what it carries.
    fn trickle(&mut self, now: Now, id: SessionId, call: Call, fragment: String) {
        let headers = [("Info-Package", TRICKLE_ICE), ("Content-Disposition", "Info-Package")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let body = Some(Body::new(SDP_FRAGMENT, fragment));
        match self.endpoint.request_in_dialog(now.instant, call, Method::Info, headers, body) {
            Ok(request) => {
                self.requests.insert(request, Owner::Trickle(id));
                if let Some(live) = self.sessions.get_mut(&id) {
                    live.trickling = Some(request);
                }
            }
            Err(error) => {
                tracing::debug!(session = %id, %error, "candidates cannot be told");
                self.refused.push_back((id, SipEvent::TrickleAnswered { code: 0 }));
            }
        }
    }

    fn invite(&mut self, now: Now, id: SessionId, invitation: Invitation, offer: Option<Bytes>) {
        let Invitation { callee, credentials, route, headers, .. } = invitation;
        let icons = self.sessions.get(&id).map(|live| live.machine.icons()).unwrap_or_default();
        let mut from = NameAddr::new(credentials.uri.clone());
        from.display_name = credentials.display_name.as_deref().map(Into::into);
        let route = match &route {
            Some(route) => vec![loose_route(route)],
            None => self.service_route(&credentials.uri),
        };
        let outgoing = OutgoingCall {
            route,
            headers,
            body: offer.map(|offer| offer_body(offer, icons)),
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
            Err(error) => {
                self.refused
                    .push_back((id, SipEvent::Failed { code: 0, reason: error.to_string(), response: None }));
            }
        }
    }
}

/// An offer with the icons of its files beside it (RFC 5547 §6): `multipart/related`.
fn offer_body(offer: Bytes, icons: Vec<(String, FileIcon)>) -> Body {
    let images = icons.into_iter().filter_map(|(id, icon)| {
        // What is no media type goes without its image.
        let part = Part::new(&icon.content_type, icon.data).ok()?;
        // Who does not know icons does without (RFC 3261 §20.11).
        let disposition = ContentDisposition::parse("icon;handling=optional").ok()?;
        Some(part.with(ContentId(format!("<{id}>"))).with(disposition))
    });
    let images: Vec<Part> = images.collect();
    match Part::new("application/sdp", offer.clone()) {
        Ok(root) if !images.is_empty() => {
            let parts = Multipart::new("related", std::iter::once(root).chain(images));
            Body::new(parts.content_type().to_string(), parts.to_bytes())
        }
        _ => sdp_body(offer),
    }
}

fn sdp_body(content: Bytes) -> Body {
    Body::new("application/sdp", content)
}

/// A proxy as a Route header has it: `lr` says that it is no strict router (RFC 3261 §19.1.1).
pub(super) fn loose_route(proxy: &Uri) -> NameAddr {
    let uri = if proxy.has_param("lr") { Ok(proxy.clone()) } else { proxy.with_param("lr", None) };
    NameAddr::new(uri.unwrap_or_else(|_| proxy.clone()))
}
