//! Dialogs (RFC 3261 §12): what two user agents agree on while they exchange requests.

mod route;

pub use route::Routed;

use crate::{
    Method, NameAddr, ParseError, Request, RequestBuilder, Response, Uri,
    header::{CSeq, CallId, Contact, HeaderName, MaxForwards, RecordRoute, Route},
    unfold,
};

/// A dialog, early or confirmed, seen from our side.
#[derive(Debug, Clone)]
pub struct Dialog {
    call_id: Box<str>,
    /// Our From value in requests, with our tag.
    local: Box<str>,
    /// Our To value in requests, with the peer's tag if it has one.
    remote: Box<str>,
    remote_tag: Option<Box<str>>,
    local_seq: u32,
    remote_seq: Option<u32>,
    remote_target: Uri,
    routes: Vec<NameAddr>,
    early: bool,
}

impl Dialog {
    /// The dialog that a response to our request makes (RFC 3261 §12.1.2).
    pub fn client(request: &Request, response: &Response) -> Result<Self, ParseError> {
        let to = response.to()?;
        let cseq = request.cseq()?;
        let mut dialog = Self {
            call_id: request.call_id()?.0.into_boxed_str(),
            local: value(request.headers().text(HeaderName::FROM)),
            remote: value(response.headers().text(HeaderName::TO)),
            remote_tag: to.tag().map(Into::into),
            local_seq: cseq.number,
            remote_seq: None,
            remote_target: request.uri()?,
            routes: Vec::new(),
            early: true,
        };
        dialog.learn(response);
        Ok(dialog)
    }

    /// The dialog that our response to a request makes (RFC 3261 §12.1.1).
    pub fn server(request: &Request, local_tag: &str) -> Result<Self, ParseError> {
        let from = request.from()?;
        let to = value(request.headers().text(HeaderName::TO));
        let mut routes = Vec::new();
        for route in request.headers().all::<RecordRoute>() {
            routes.push(route?.0);
        }
        Ok(Self {
            call_id: request.call_id()?.0.into_boxed_str(),
            local: format!("{to};tag={local_tag}").into_boxed_str(),
            remote: value(request.headers().text(HeaderName::FROM)),
            remote_tag: from.tag().map(Into::into),
            local_seq: 0,
            remote_seq: Some(request.cseq()?.number),
            remote_target: contact(request.headers()).unwrap_or(from.uri),
            routes,
            early: true,
        })
    }

    /// The dialog that a NOTIFY makes of our SUBSCRIBE or REFER (RFC 6665 §4.4.1).
    pub fn notified(subscribe: &Request, notify: &Request) -> Result<Self, ParseError> {
        let mut dialog = Self::server(notify, "")?;
        dialog.local = value(subscribe.headers().text(HeaderName::FROM));
        dialog.local_seq = subscribe.cseq()?.number;
        dialog.early = false;
        Ok(dialog)
    }

    /// A 2xx came for the request that made it: the route set is taken again from that
    /// (RFC 3261 §13.2.2.4).
    pub fn confirm(&mut self, response: &Response) {
        self.learn(response);
        self.early = false;
    }

    /// We sent a 2xx for the request that made it.
    pub fn set_confirmed(&mut self) {
        self.early = false;
    }

    /// A request or 2xx of a target refresh request came (RFC 3261 §12.2.1.2, §12.2.2).
    pub fn refresh(&mut self, headers: &crate::Headers) {
        if let Some(target) = contact(headers) {
            self.remote_target = target;
        }
    }

    /// The next request within the dialog (RFC 3261 §12.2.1.1).
    pub fn request(&mut self, method: Method) -> Routed<RequestBuilder> {
        // Sequence numbers stay below 2^31 (RFC 3261 §8.1.1.5); nobody makes that many.
        self.local_seq = self.local_seq.saturating_add(1).min((1 << 31) - 1);
        self.build(method, self.local_seq)
    }

    /// The ACK of a 2xx to the INVITE of that number (RFC 3261 §13.2.2.4).
    pub fn ack(&self, cseq: u32) -> Routed<RequestBuilder> {
        self.build(Method::Ack, cseq)
    }

    /// A request was sent again with another number, to authenticate it (RFC 3261 §22.2).
    pub fn bump(&mut self) -> u32 {
        self.local_seq = self.local_seq.saturating_add(1).min((1 << 31) - 1);
        self.local_seq
    }

    /// A request within the dialog came; whether it is in order (RFC 3261 §12.2.2).
    pub fn receive(&mut self, cseq: u32) -> bool {
        match self.remote_seq {
            Some(last) if cseq < last => false,
            _ => {
                self.remote_seq = Some(cseq);
                true
            }
        }
    }

    /// Whether a message of these tags belongs to it; `remote_tag` is the peer's.
    pub fn is(&self, call_id: &str, remote_tag: Option<&str>) -> bool {
        *self.call_id == *call_id && self.remote_tag.as_deref() == remote_tag
    }

    /// The peer's tag; peers of RFC 2543 may have none.
    pub fn remote_tag(&self) -> Option<&str> {
        self.remote_tag.as_deref()
    }

    /// Where the peer is.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// The proxies in between, the nearest first.
    pub fn routes(&self) -> &[NameAddr] {
        &self.routes
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Whether no 2xx was sent or received yet.
    pub fn is_early(&self) -> bool {
        self.early
    }

    fn build(&self, method: Method, cseq: u32) -> Routed<RequestBuilder> {
        Routed::new(&self.remote_target, &self.routes).map(|uri, routes| {
            let mut builder =
                Request::builder(method.clone(), uri).header(MaxForwards(70)).header(CSeq::new(cseq, method));
            for route in routes {
                builder = builder.header(Route(route));
            }
            let headers = builder.headers_mut();
            // Both were read from a message and unfolded, or built by us: they are one line.
            let _ = headers.push_raw(HeaderName::FROM.as_str(), &self.local);
            let _ = headers.push_raw(HeaderName::TO.as_str(), &self.remote);
            builder.header(CallId(self.call_id.to_string()))
        })
    }

    /// Takes route set and remote target from a response.
    fn learn(&mut self, response: &Response) {
        // The last Record-Route is the nearest proxy to us. A bad one loses the route set, and
        // the requests go to the target itself.
        let mut routes: Vec<NameAddr> =
            response.headers().all::<RecordRoute>().filter_map(|r| r.ok().map(|r| r.0)).collect();
        routes.reverse();
        self.routes = routes;
        self.refresh(response.headers());
    }
}

fn contact(headers: &crate::Headers) -> Option<Uri> {
    match headers.get::<Contact>()?.ok()? {
        Contact::Addr(addr) if addr.uri.is_sip() => Some(addr.uri),
        _ => None,
    }
}

fn value(text: Option<&str>) -> Box<str> {
    unfold(text.unwrap_or("")).into_owned().into_boxed_str()
}

#[cfg(test)]
mod tests;
