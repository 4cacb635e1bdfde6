//! Messages outside of sessions (RFC 3428), both ways.

use sip_core::endpoint::{Body, OutgoingRequest, ServerRequest};
use sip_core::header::{From, To};
use sip_core::{Method, NameAddr, Request, StatusCode, Uri};

use super::{Engine, Now, Origin, Owner, perform::loose_route};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::messaging::{self, OutgoingMessage, Read};
use crate::notification::MessageEvent;

impl Engine {
    /// Sends a message; what becomes of it is told by `SCMessageDidSucceed` or `SCMessageDidFail`.
    pub(crate) fn send_message(&mut self, now: Now, message: OutgoingMessage) -> Result<String, Error> {
        let message_id = self.token();
        let body = messaging::body(&message, &message_id, now.wall).map_err(|error| Error::BadValue {
            what: "message",
            value: error.to_string(),
            expected: "a media type, and addresses without line ends",
        })?;
        let OutgoingMessage { to, credentials, route, .. } = message;
        self.post_message(now, Some(&message_id), to, credentials, route.as_ref(), body).map_err(
            |error| Error::BadValue {
                what: "message",
                value: error.to_string(),
                expected: "something that can be sent",
            },
        )?;
        self.settle(now);
        Ok(message_id)
    }

    fn post_message(
        &mut self,
        now: Now,
        message_id: Option<&str>,
        to: Uri,
        credentials: Credentials,
        route: Option<&Uri>,
        (content_type, content): (String, bytes::Bytes),
    ) -> Result<(), sip_core::UsageError> {
        let mut from = NameAddr::new(credentials.uri.clone());
        from.display_name = credentials.display_name.as_deref().map(Into::into);
        let request = OutgoingRequest {
            route: route.iter().copied().map(loose_route).collect(),
            body: Some(Body::new(content_type, content)),
            credentials: credentials.into_sip(),
            ..OutgoingRequest::new(Method::Message, to, from)
        };
        let id = self.endpoint.request(now.instant, request)?;
        if let Some(message_id) = message_id {
            self.requests.insert(id, Owner::Message(message_id.to_owned()));
        }
        Ok(())
    }

    pub(super) fn message_answered(&mut self, message_id: String, status: StatusCode, reason: &str) {
        let (code, reason) = (status.code(), reason.to_owned());
        let event = match status.is_success() {
            true => MessageEvent::DidSucceed { message_id, code, reason },
            false => MessageEvent::DidFail { message_id, code, reason },
        };
        self.post(Origin::Application, event);
    }

    /// A MESSAGE came: 200 and a notification, or why not.
    pub(super) fn got_message(&mut self, now: Now, id: ServerRequest, request: &Request) {
        if !self.config.accept_messages {
            self.respond(now, id, StatusCode::METHOD_NOT_ALLOWED);
            return;
        }
        let (Some(Ok(from)), Some(Ok(to))) = (request.headers().get::<From>(), request.headers().get::<To>())
        else {
            self.respond(now, id, StatusCode::BAD_REQUEST);
            return;
        };
        let content_type = request.headers().text("Content-Type").unwrap_or("text/plain").to_owned();
        let call_id = request.headers().text("Call-ID").unwrap_or_default().to_owned();
        let reply_id = self.token();
        match messaging::read(&from.uri, &to.uri, &content_type, request.body(), &call_id, &reply_id) {
            Err(reason) => {
                tracing::debug!(reason, "a MESSAGE cannot be read");
                self.respond(now, id, StatusCode::BAD_REQUEST);
            }
            Ok(Read { event, reply }) => {
                self.respond(now, id, StatusCode::OK);
                if !request.body().is_empty() {
                    self.post(Origin::Application, event);
                }
                if let Some(body) = reply {
                    // RFC 5438 §8: the notification goes to who wrote, from whom it was written to.
                    let us = Credentials::new(to.uri.clone());
                    let sent = self.post_message(now, None, from.uri.clone(), us, None, body);
                    if let Err(error) = sent {
                        tracing::debug!(%error, "a notification of delivery cannot be sent");
                    }
                }
            }
        }
    }
}
