//! A proxy of call flows: stateless (RFC 3261 §16.11), or one that looks for a callee in one place after
//! the other.

use crate::scene::{addr, name};
use sip_core::{
    Limits, Message, Method, Request, Response, StatusCode,
    header::{CSeq, HeaderName, MaxForwards, RecordRoute, Route, Via},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::{Delivery, Host, Network};

/// It stays on the route of what it forwards.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Where requests out of dialogs go; an INVITE that is refused there goes to the next one.
    pub(crate) targets: Vec<SocketAddr>,
    /// How long a target may ring while there is another one.
    pub(crate) patience: Duration,
    /// The realm that a password is wanted for.
    realm: Option<&'static str>,
    /// Calls are not let through, with this Error-Info.
    pub(crate) screens: Option<&'static str>,
    looking: Option<Looking>,
    out: Vec<(SocketAddr, Message)>,
    pub(crate) trace: Vec<(Instant, SocketAddr, String)>,
}

/// An INVITE that is tried at one target after the other.
struct Looking {
    /// As it came, with our Record-Route.
    request: Request,
    at: usize,
    /// When the next one is tried.
    until: Instant,
}

impl Proxy {
    pub(crate) fn new(address: &str, target: &str) -> Self {
        Self {
            address: addr(address),
            targets: vec![addr(target)],
            patience: Duration::from_secs(5),
            realm: None,
            screens: None,
            looking: None,
            out: Vec::new(),
            trace: Vec::new(),
        }
    }

    pub(crate) fn challenging(mut self, realm: &'static str) -> Self {
        self.realm = Some(realm);
        self
    }

    fn refuse(&mut self, request: &Request, to: SocketAddr, status: StatusCode, header: (&str, &str)) {
        let refusal = Response::reply_to(request, status).to_tag(name(self.address));
        let refusal = refusal.raw(header.0, header.1).expect("a line").build();
        self.out.push((to, Message::Response(refusal)));
    }

    fn request(&mut self, now: Instant, mut request: Request, source: SocketAddr) {
        let tag = request.to().expect("To").tag().map(str::to_owned);
        if request.method() == &Method::Ack && tag.as_deref() == Some(name(self.address)) {
            return;
        }
        if let (Some(realm), None) = (self.realm, &tag) {
            // Another realm's answer may stand there as well.
            let own = format!("realm=\"{realm}\"");
            if !request.headers().texts("Proxy-Authorization").any(|text| text.contains(&own)) {
                let challenge = format!("Digest {own}, nonce=\"n\", qop=\"auth\"");
                let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
                return self.refuse(&request, source, status, ("Proxy-Authenticate", &challenge));
            }
        }
        if let (Some(info), None) = (self.screens, &tag) {
            return self.refuse(&request, source, StatusCode::FORBIDDEN, ("Error-Info", info));
        }
        let headers = request.headers_mut();
        headers.remove_first::<Route>();
        let route = headers.get::<Route>().map(|r| r.expect("Route").0.uri);
        if tag.is_none() {
            let own = format!("<sip:{};lr>", self.address.ip());
            headers.push_front(RecordRoute(own.parse().expect("an address")));
        }
        let target = route.unwrap_or(request.uri().expect("a URI")).host().ip();
        match (target.filter(|_| tag.is_some() || request.headers().contains("Route")), request.method()) {
            (Some(ip), _) => self.forward(request, SocketAddr::new(ip, 5060), 0),
            (None, Method::Invite) if self.targets.len() > 1 => {
                self.looking = Some(Looking { request, at: 0, until: now + self.patience });
                self.look();
            }
            (None, _) => self.forward(request, self.targets[0], 0),
        }
    }

    fn forward(&mut self, mut request: Request, to: SocketAddr, branch: usize) {
        let via = self.via(&request, branch);
        request.headers_mut().push_front(via);
        self.out.push((to, Message::Request(request)));
    }

    fn via(&self, request: &Request, branch: usize) -> Via {
        let top = request.via().expect("Via");
        let branch = format!("{}.{}{branch}", top.branch().expect("a branch"), name(self.address));
        Via::new("UDP", self.address.ip().into(), Some(5060), &branch).expect("Via")
    }

    /// The INVITE goes to the target whose turn it is.
    fn look(&mut self) {
        let Some(Looking { request, at, .. }) = &self.looking else { return };
        let (request, at) = (request.clone(), *at);
        self.forward(request, self.targets[at], at);
    }

    /// ACK or CANCEL of the INVITE that is under way, hop by hop.
    fn side_request(&mut self, method: Method, answer: Option<&Response>) {
        let Some(Looking { request, at, .. }) = &self.looking else { return };
        let mut side = Request::builder(method.clone(), &request.uri().expect("a URI"))
            .header(self.via(request, *at))
            .header(MaxForwards(70))
            .header(CSeq::new(request.cseq().expect("CSeq").number, method));
        let to = answer.map_or(request.headers(), Response::headers);
        side.headers_mut().copy_from(to, &[HeaderName::TO]);
        side.headers_mut().copy_from(request.headers(), &[HeaderName::FROM, HeaderName::CALL_ID]);
        self.out.push((self.targets[*at], Message::Request(side.build())));
    }

    fn response(&mut self, now: Instant, mut response: Response) {
        let invite = response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let refused = invite && response.status().code() >= 300;
        if response.cseq().is_ok_and(|cseq| cseq.method == Method::Cancel) {
            return;
        }
        if self.looking.is_some() && response.status().is_final() && invite {
            if refused {
                self.side_request(Method::Ack, Some(&response));
            }
            let left = self.targets.len();
            if let Some(looking) = self.looking.as_mut().filter(|l| refused && l.at + 1 < left) {
                looking.at += 1;
                looking.until = now + self.patience;
                let told = StatusCode::new(181).expect("a status");
                let told = Response::reply_to(&looking.request, told).to_tag(name(self.address)).build();
                let ip = looking.request.via().expect("Via").host.ip().expect("an address");
                self.out.push((SocketAddr::new(ip, 5060), Message::Response(told)));
                return self.look();
            }
            self.looking = None;
        }
        response.headers_mut().remove_first::<Via>();
        let via = response.via().expect("Via");
        let ip = via.host.ip().expect("an address");
        self.out.push((SocketAddr::new(ip, 5060), Message::Response(response)));
    }
}

impl Host for Proxy {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, now: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { return };
        match Message::parse(datagram.data.into(), &Limits::default()).expect("a message") {
            Message::Request(request) => self.request(now, request, datagram.from),
            Message::Response(response) => self.response(now, response),
        }
    }

    fn timeout(&mut self, now: Instant) {
        let left = self.targets.len();
        if self.looking.as_ref().is_some_and(|l| l.until <= now && l.at + 1 < left) {
            self.side_request(Method::Cancel, None);
            if let Some(looking) = &mut self.looking {
                // Not again: the 487 leads on.
                looking.until = now + Duration::from_secs(3_600);
            }
        }
    }

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        for (to, message) in self.out.drain(..) {
            self.trace.push((now, to, crate::solo::summary(&message)));
            network.send(now, self.address, to, message.to_bytes().to_vec());
        }
        let left = self.targets.len();
        self.looking.as_ref().filter(|l| l.at + 1 < left).map(|l| l.until)
    }
}
