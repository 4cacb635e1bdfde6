//! Requests out of any call: OPTIONS, MESSAGE, REGISTER, … (RFC 3261 §8.1).

use super::{
    Endpoint, Event, OutgoingContact, OutgoingRequest, Output, RequestId,
    caller::{authorize, domain, same_domain, without_tag},
    client::User,
    command::{check_headers, not_now},
    send::{OwnContact, Template},
};
use crate::{
    Method, Request, Response, Routed, UsageError,
    auth::{Authenticator, Trust},
    header::{CSeq, CallId, From, MaxForwards, Route, To},
};
use std::time::Instant;

impl Endpoint {
    /// Sends a request out of any call; what comes of it is [`Event::Response`] or
    /// [`Event::RequestFailed`].
    ///
    /// # Errors
    /// If it cannot be put on the wire, or there are too many.
    pub fn request(&mut self, now: Instant, request: OutgoingRequest) -> Result<RequestId, UsageError> {
        if matches!(request.method, Method::Invite | Method::Ack | Method::Cancel | Method::Bye) {
            return Err(not_now("request", "a method that stands out of a call"));
        }
        self.check_clients()?;
        check_headers(&request.headers)?;
        let OutgoingRequest {
            method,
            target,
            from,
            to,
            sequence,
            contact,
            route,
            headers,
            body,
            credentials,
            transport,
        } = request;
        let (call_id, cseq) = sequence.unwrap_or_else(|| (self.random_call_id(), 1));
        let trust = Trust {
            server: method == Method::Register || same_domain(&from.uri, &target),
            proxies: !route.is_empty(),
        };
        let auth = credentials.map(|c| Authenticator::new(c, domain(&from.uri), trust));
        let from = match from.tag() {
            Some(_) => from,
            None => from.with_tag(&self.random_token())?,
        };
        let routed = Routed::new(&target, &route).map(|uri, routes| {
            let mut builder = Request::builder(method.clone(), uri).header(MaxForwards(70));
            for route in routes {
                builder = builder.header(Route(route));
            }
            let builder = builder.header(From(from)).header(To(without_tag(to))).header(CallId(call_id));
            builder.header(CSeq::new(cseq, method))
        });
        let next_hop = routed.next_hop;
        let request = self.complete(routed.value, &headers, body)?;
        let contact = match contact {
            OutgoingContact::None => OwnContact::Given,
            OutgoingContact::Derived(user) => OwnContact::Derived(user.map(Into::into)),
            OutgoingContact::Marked(marks) => OwnContact::Marked(Box::new(marks)),
        };
        let template = Template { request, next_hop, transport, flow: None, contact };
        self.next_id += 1;
        let id = RequestId(self.next_id);
        self.requests.insert(id, auth);
        self.start_client(now, template, User::Request(id));
        Ok(id)
    }

    pub(crate) fn request_answered(
        &mut self,
        now: Instant,
        id: RequestId,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        let cnonce = self.random_token();
        if let Some(Some(auth)) = self.requests.get_mut(&id)
            && let Some(mut template) = template
            && auth.challenged(&response)
            && let Ok(cseq) = template.request.cseq()
            && authorize(&mut template.request, auth, cseq.number.saturating_add(1), &cnonce)
        {
            self.start_client(now, *template, User::Request(id));
            return;
        }
        self.requests.remove(&id);
        super::shrink(&mut self.requests);
        self.outputs.push_back(Output::Event(Event::Response { id, response }));
    }
}
