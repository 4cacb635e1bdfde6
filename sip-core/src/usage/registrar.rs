//! A small registrar with a stateless proxy beside it (RFC 3261 §10.3, §16.11), over datagrams: for
//! tests, demonstrations and laboratories. A network of any size wants a server that is one.

use crate::{
    Host, Limits, Message, Method, NameAddr, Request, Response, StatusCode, Uri,
    auth::{Algorithm, Authority, DigestAnswer, Verdict, keyed},
    endpoint::Envelope,
    header::{Contact, Expires, MaxForwards, MinExpires, RecordRoute, Route, Via},
    transaction::ServerKey,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How a [`Registrar`] is set up.
#[derive(Debug, Clone)]
pub struct RegistrarConfig {
    /// The realm of challenges.
    pub realm: String,
    /// Users and their passwords; addresses of others are answered 404.
    pub users: BTreeMap<String, String>,
    /// The shortest lifetime that is granted, in seconds (423 below it).
    pub min_expires: u32,
    /// The longest lifetime that is granted, in seconds.
    pub max_expires: u32,
    /// Contacts that one user may have.
    pub max_contacts: usize,
    /// How passwords are hashed in challenges: SHA-256, or MD5 for agents that know nothing else.
    pub algorithm: Algorithm,
}

impl RegistrarConfig {
    /// A realm without users; lifetimes from a minute to an hour, and ten contacts each.
    pub fn new(realm: impl Into<String>) -> Self {
        Self {
            realm: realm.into(),
            users: BTreeMap::new(),
            min_expires: 60,
            max_expires: 3_600,
            max_contacts: 10,
            algorithm: Algorithm::Sha256,
        }
    }

    /// With one more user.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.insert(name.into(), password.into());
        self
    }
}

/// Where a user is reached.
#[derive(Debug, Clone)]
struct Binding {
    contact: Uri,
    /// Where the REGISTER came from: what reaches a user behind a NAT.
    source: SocketAddr,
    call_id: String,
    cseq: u32,
    until: Instant,
}

/// A registrar and proxy. Datagrams go in; what is to be sent comes out.
#[derive(Debug)]
pub struct Registrar {
    config: RegistrarConfig,
    local: SocketAddr,
    authority: Authority,
    key: [u8; 32],
    bindings: BTreeMap<String, Vec<Binding>>,
    /// Answers to REGISTER, for requests that come again.
    answered: VecDeque<Answered>,
    outputs: VecDeque<(SocketAddr, Bytes)>,
}

/// What stands in for a server transaction (RFC 3261 §17.2.2): a nonce is good once, and a repeated
/// request is no replay.
#[derive(Debug)]
struct Answered {
    key: ServerKey,
    until: Instant,
    target: SocketAddr,
    data: Bytes,
}

/// Answers that are kept; before the oldest is 32 s old it may have to go.
const MAX_ANSWERED: usize = 512;
/// Timer J over datagrams (RFC 3261 §17.2.2).
const KEPT: Duration = Duration::from_secs(32);

impl Registrar {
    /// One that is reached at `local`.
    pub fn new(config: RegistrarConfig, local: SocketAddr, now: Instant, seed: [u8; 32]) -> Self {
        let lifetime = Duration::from_secs(300);
        let authority = Authority::new(config.realm.clone(), seed, now, lifetime, 10_000);
        let (bindings, answered, outputs) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        Self { config, local, authority, key: seed, bindings, answered, outputs }
    }

    /// How many contacts of a user there are.
    pub fn contacts(&self, now: Instant, user: &str) -> usize {
        self.bindings.get(user).map_or(0, |all| all.iter().filter(|one| one.until > now).count())
    }

    /// Takes a datagram; what cannot be read or answered is dropped.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, data: Bytes) {
        match Message::parse(data, &Limits::default()) {
            Ok(Message::Request(mut request)) => {
                request.stamp_via(source);
                if request.validate().is_err() {
                    self.reply(&request, StatusCode::BAD_REQUEST, |reply| reply);
                } else if request.method() == &Method::Register && self.is_for_us(&request) {
                    self.register_once(now, source, &request);
                } else {
                    self.forward(now, request);
                }
            }
            Ok(Message::Response(response)) => self.forward_response(response),
            Err(_) => {}
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Bytes)> {
        self.outputs.pop_front()
    }

    fn is_for_us(&self, request: &Request) -> bool {
        request.uri().is_ok_and(|uri| self.is_ours(&uri))
    }

    fn is_ours(&self, uri: &Uri) -> bool {
        let host = uri.host().to_string();
        host.eq_ignore_ascii_case(&self.config.realm)
            || (host == Host::from(self.local.ip()).to_string()
                && uri.port().unwrap_or(5_060) == self.local.port())
    }

    /// A request that comes again gets the answer that it got.
    fn register_once(&mut self, now: Instant, source: SocketAddr, request: &Request) {
        let Ok(envelope) = Envelope::read(request) else { return };
        let key = ServerKey::of(request, &envelope);
        while self.answered.front().is_some_and(|one| one.until <= now) {
            self.answered.pop_front();
        }
        if let Some(known) = self.answered.iter().find(|one| one.key == key) {
            self.outputs.push_back((known.target, known.data.clone()));
            return;
        }
        let before = self.outputs.len();
        self.register(now, source, request);
        if let Some((target, data)) = self.outputs.back().filter(|_| self.outputs.len() > before) {
            let (target, data) = (*target, data.clone());
            if self.answered.len() >= MAX_ANSWERED {
                self.answered.pop_front();
            }
            self.answered.push_back(Answered { key, until: now + KEPT, target, data });
        }
    }

    fn register(&mut self, now: Instant, source: SocketAddr, request: &Request) {
        let Some(user) = request.to().ok().and_then(|to| to.uri.user().map(str::to_owned)) else {
            return self.reply(request, StatusCode::BAD_REQUEST, |reply| reply);
        };
        let Some(password) = self.config.users.get(&user).cloned() else {
            return self.reply(request, StatusCode::NOT_FOUND, |reply| reply);
        };
        if let Err(stale) = self.authorize(now, request, &user, &password) {
            let challenge = self.authority.challenge(now, self.config.algorithm, stale).to_string();
            return self.reply(request, StatusCode::UNAUTHORIZED, |mut reply| {
                // A challenge of ours has no line ends.
                let _ = reply.headers_mut().push_raw("WWW-Authenticate", &challenge);
                reply
            });
        }
        let bindings = self.bindings.entry(user).or_default();
        bindings.retain(|one| one.until > now);
        let (Ok(call_id), Ok(cseq)) = (request.call_id(), request.cseq()) else { return };
        let common = request.header::<Expires>().map(|expires| expires.0);
        for contact in request.headers().all::<Contact>() {
            let addr = match contact {
                Ok(Contact::Star) if common == Some(0) => {
                    bindings.clear();
                    continue;
                }
                Ok(Contact::Addr(addr)) => addr,
                _ => return self.reply(request, StatusCode::BAD_REQUEST, |reply| reply),
            };
            let own = addr.params.get("expires").and_then(|text| text.parse().ok());
            let expires = own.or(common).unwrap_or(self.config.max_expires);
            let old = bindings.iter().position(|one| one.contact.equivalent(&addr.uri));
            if let Some(old) = old.map(|index| bindings.remove(index))
                && old.call_id == call_id.to_string()
                && old.cseq >= cseq.number
            {
                // RFC 3261 §10.3, step 7: what was overtaken changes nothing.
                bindings.push(old);
                return self.reply(request, StatusCode::SERVER_INTERNAL_ERROR, |reply| reply);
            }
            if expires == 0 {
                continue;
            }
            if expires < self.config.min_expires {
                let least = MinExpires(self.config.min_expires);
                return self.reply(request, StatusCode::INTERVAL_TOO_BRIEF, |reply| reply.header(least));
            }
            if bindings.len() >= self.config.max_contacts {
                return self.reply(request, StatusCode::FORBIDDEN, |reply| reply);
            }
            bindings.push(Binding {
                contact: addr.uri,
                source,
                call_id: call_id.to_string(),
                cseq: cseq.number,
                until: now + Duration::from_secs(expires.min(self.config.max_expires).into()),
            });
        }
        let contacts: Vec<NameAddr> = bindings.iter().filter_map(|one| listed(one, now)).collect();
        self.reply(request, StatusCode::OK, |mut reply| {
            for contact in contacts {
                reply = reply.header(Contact::Addr(contact));
            }
            reply
        });
    }

    /// Whether the request proves who sent it; the error says whether only its nonce is too old.
    fn authorize(&mut self, now: Instant, request: &Request, user: &str, password: &str) -> Result<(), bool> {
        let answers = request.headers().texts("Authorization").filter_map(|text| text.parse().ok());
        let answer: DigestAnswer =
            answers.filter(|one: &DigestAnswer| one.username == user).last().ok_or(false)?;
        let ha1 = answer.algorithm.ha1(user, &self.config.realm, password);
        let method = request.method().as_str();
        match self.authority.check(now, &answer, &ha1, method, request.uri_text(), request.body()) {
            Verdict::Accepted => Ok(()),
            Verdict::Stale => Err(true),
            Verdict::Refused => Err(false),
        }
    }

    /// RFC 3261 §16: to the user's contact where the address is ours, else where it says.
    fn forward(&mut self, now: Instant, mut request: Request) {
        let hops = request.header::<MaxForwards>().map_or(70, |hops| hops.0);
        if hops == 0 {
            return self.refuse(&request, StatusCode::TOO_MANY_HOPS);
        }
        if let Some(Route(top)) = request.header::<Route>()
            && self.is_ours(&top.uri)
        {
            request.headers_mut().remove_first::<Route>();
        }
        let Ok(uri) = request.uri() else { return self.refuse(&request, StatusCode::BAD_REQUEST) };
        let next = request.header::<Route>().map(|Route(top)| top.uri);
        let target = match (&next, uri.user()) {
            (None, Some(user)) if self.is_ours(&uri) => {
                let all = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
                // The newest is where the user is.
                let Some(binding) = all.iter().rev().find(|one| one.until > now) else {
                    return self.refuse(&request, StatusCode::TEMPORARILY_UNAVAILABLE);
                };
                let (contact, source) = (binding.contact.clone(), binding.source);
                request.set_uri(&contact);
                Some(source)
            }
            (None, None) if self.is_ours(&uri) => {
                let answer = match request.method() {
                    Method::Options => StatusCode::OK,
                    _ => StatusCode::NOT_FOUND,
                };
                return self.refuse(&request, answer);
            }
            (None, _) => self.source_of(now, &uri).or_else(|| numeric(&uri)),
            (Some(next), _) => numeric(next),
        };
        let Some(target) = target else { return self.refuse(&request, StatusCode::NOT_FOUND) };
        let Some(via) = self.via(&request) else { return };
        request.headers_mut().replace(MaxForwards(hops - 1));
        if matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer) {
            // What follows comes by us as well: a user behind a NAT is reached from here only.
            if let Some(route) = self.own_route() {
                request.headers_mut().push_front(RecordRoute(route));
            }
        }
        request.headers_mut().push_front(via);
        self.outputs.push_back((target, request.to_bytes()));
    }

    /// Where a contact that is registered is reached.
    fn source_of(&self, now: Instant, contact: &Uri) -> Option<SocketAddr> {
        let is_it = |one: &&Binding| {
            let known = &one.contact;
            one.until > now
                && (known.user(), known.host(), known.port())
                    == (contact.user(), contact.host(), contact.port())
        };
        self.bindings.values().flatten().find(is_it).map(|one| one.source)
    }

    fn own_route(&self) -> Option<NameAddr> {
        format!("<sip:{};lr>", self.local).parse().ok()
    }

    /// Ours, with a branch that is the same for a request and what belongs to it (RFC 3261 §16.11).
    fn via(&self, request: &Request) -> Option<Via> {
        let top = request.via().ok()?;
        let tag = keyed(&self.key, &[top.branch().unwrap_or_default().as_bytes()]);
        let branch: String = tag.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Via::new("UDP", self.local.ip().into(), Some(self.local.port()), &format!("z9hG4bK{branch}")).ok()
    }

    fn forward_response(&mut self, mut response: Response) {
        let ours = response.via().is_ok_and(|top| {
            top.host == Host::from(self.local.ip()) && top.port.unwrap_or(5_060) == self.local.port()
        });
        if !ours {
            return;
        }
        response.headers_mut().remove_first::<Via>();
        if let Some(target) = response.via().ok().and_then(|via| back_to(&via)) {
            self.outputs.push_back((target, response.to_bytes()));
        }
    }

    fn refuse(&mut self, request: &Request, status: StatusCode) {
        if request.method() != &Method::Ack {
            self.reply(request, status, |reply| reply);
        }
    }

    fn reply(
        &mut self,
        request: &Request,
        status: StatusCode,
        more: impl FnOnce(crate::ResponseBuilder) -> crate::ResponseBuilder,
    ) {
        let Some(target) = request.via().ok().and_then(|via| back_to(&via)) else { return };
        // The same tag for a request that comes again (RFC 3261 §16.11).
        let branch = request.via().map(|via| via.branch().unwrap_or_default().to_owned()).unwrap_or_default();
        let tag = keyed(&self.key, &[b"tag", branch.as_bytes()]);
        let tag: String = tag.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let reply = more(Response::reply_to(request, status).to_tag(&tag)).build();
        self.outputs.push_back((target, reply.to_bytes()));
    }
}

/// A binding as a 200 lists it.
fn listed(binding: &Binding, now: Instant) -> Option<NameAddr> {
    let mut contact = NameAddr::new(binding.contact.clone());
    let left = binding.until.saturating_duration_since(now).as_secs();
    contact.params.set("expires", &left.to_string()).ok()?;
    Some(contact)
}

/// RFC 3261 §18.2.2, RFC 3581 §4.
fn back_to(via: &Via) -> Option<SocketAddr> {
    let ip = match (via.received(), &via.host) {
        (Some(ip), _) => ip,
        (None, Host::Ipv4(ip)) => (*ip).into(),
        (None, Host::Ipv6(ip)) => (*ip).into(),
        (None, Host::Name(_)) => return None,
    };
    let port = via.rport().flatten().or(via.port).unwrap_or(5_060);
    Some(SocketAddr::new(ip, port))
}

/// Names are for others to resolve.
fn numeric(uri: &Uri) -> Option<SocketAddr> {
    let port = uri.port().unwrap_or(5_060);
    match uri.host() {
        Host::Ipv4(ip) => Some(SocketAddr::new((*ip).into(), port)),
        Host::Ipv6(ip) => Some(SocketAddr::new((*ip).into(), port)),
        Host::Name(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Credentials,
        endpoint::{Config, Endpoint, Event, Input, OutgoingCall, Output, Transport},
        usage::{Registration, RegistrationOutput},
    };

    const REGISTRAR: &str = "192.0.2.10:5060";

    /// A network without delay: a registrar and two user agents.
    struct Lab {
        now: Instant,
        registrar: Registrar,
        agents: Vec<(SocketAddr, Endpoint)>,
        events: Vec<(usize, Event)>,
        /// Whether first answers get lost, so that requests come again.
        loses: bool,
    }

    impl Lab {
        #[expect(clippy::disallowed_methods, reason = "a test's first moment")]
        fn new() -> Self {
            let now = Instant::now();
            let config = RegistrarConfig::new("example.com").user("alice", "a").user("bob", "b");
            let registrar = Registrar::new(config, at(REGISTRAR), now, [1; 32]);
            let agents = ["192.0.2.1:5060", "192.0.2.2:5060"].map(|local| {
                let mut endpoint = Endpoint::new(Config::default(), [local.as_bytes()[8]; 32]);
                endpoint.handle_input(now, Input::Bound { transport: Transport::Udp, local: at(local) });
                (at(local), endpoint)
            });
            Self { now, registrar, agents: agents.into(), events: Vec::new(), loses: false }
        }

        fn run(&mut self) {
            loop {
                let mut idle = true;
                for index in 0..self.agents.len() {
                    let (from, endpoint) = &mut self.agents[index];
                    match endpoint.poll_output() {
                        Output::Transmit { remote, data, .. } => {
                            idle = false;
                            let from = *from;
                            self.deliver(from, remote, data);
                        }
                        Output::Event(event) => {
                            idle = false;
                            self.events.push((index, event));
                        }
                        _ => {}
                    }
                }
                while let Some((to, data)) = self.registrar.poll_transmit() {
                    idle = false;
                    self.deliver(at(REGISTRAR), to, data);
                }
                if idle {
                    return;
                }
            }
        }

        fn deliver(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
            if to == at(REGISTRAR) {
                if self.loses {
                    self.registrar.handle_datagram(self.now, from, data.clone());
                    while self.registrar.poll_transmit().is_some() {}
                }
                return self.registrar.handle_datagram(self.now, from, data);
            }
            let (local, endpoint) = self.agents.iter_mut().find(|(local, _)| *local == to).expect("an agent");
            let local = *local;
            endpoint.handle_input(self.now, Input::Datagram { local, remote: from, data });
        }

        /// Registers an agent's user; the status of the final answer.
        fn register(&mut self, agent: usize, user: &str, password: &str) -> StatusCode {
            let uri = |text: String| text.parse::<Uri>().expect("a URI");
            let address = NameAddr::new(uri(format!("sip:{user}@example.com")));
            let mut config = crate::usage::RegistrationConfig::new(uri(format!("sip:{REGISTRAR}")), address);
            config.credentials = Some(Credentials::new(user, password));
            let mut registration = Registration::new(config, [7; 32]);
            registration.start(self.now);
            let RegistrationOutput::Send(request) = registration.poll_output() else { panic!("a request") };
            self.agents[agent].1.request(self.now, *request).expect("a request");
            self.run();
            let answer = self.events.drain(..).find_map(|(_, event)| match event {
                Event::Response { response, .. } => Some(response.status()),
                _ => None,
            });
            answer.expect("an answer")
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_request_that_comes_again_gets_the_answer_that_it_got() {
        let mut lab = Lab { loses: true, ..Lab::new() };
        assert_eq!(lab.register(1, "bob", "b"), StatusCode::OK, "its nonce was good when it came first");
        assert_eq!(lab.registrar.contacts(lab.now, "bob"), 1);
        lab.now += KEPT;
        lab.register(0, "alice", "a");
        assert!(lab.registrar.answered.iter().all(|one| one.until > lab.now), "old answers are forgotten");
    }

    #[test]
    fn who_knows_the_password_is_registered_and_called() {
        let mut lab = Lab::new();
        assert_eq!(lab.register(1, "bob", "b"), StatusCode::OK);
        assert_eq!(
            (lab.registrar.contacts(lab.now, "bob"), lab.registrar.contacts(lab.now, "alice")),
            (1, 0)
        );
        let from = NameAddr::new("sip:alice@example.com".parse().expect("a URI"));
        let proxy = format!("<sip:{REGISTRAR};lr>").parse().expect("an address");
        let callee = "sip:bob@example.com".parse().expect("a URI");
        let call = OutgoingCall { route: vec![proxy], ..OutgoingCall::new(callee, from) };
        let call = lab.agents[0].1.invite(lab.now, call).expect("a call");
        lab.run();
        let incoming = lab.events.drain(..).find_map(|(agent, event)| match event {
            Event::Incoming { call, .. } => Some((agent, call)),
            _ => None,
        });
        let Some((1, theirs)) = incoming else { panic!("Bob is called") };
        lab.agents[1].1.accept(lab.now, theirs, Vec::new(), None).expect("it rings");
        lab.run();
        assert!(
            lab.events.drain(..).any(|(agent, event)| agent == 0 && matches!(event, Event::Answered { .. }))
        );
        lab.agents[0].1.ack(lab.now, call, None).expect("an ACK is due");
        lab.run();
        assert!(
            lab.events.drain(..).any(|(agent, event)| agent == 1 && matches!(event, Event::Confirmed { .. }))
        );
    }

    #[test]
    fn who_does_not_is_refused_and_nobody_home_is_480() {
        let mut lab = Lab::new();
        assert_eq!(lab.register(1, "bob", "wrong"), StatusCode::UNAUTHORIZED);
        assert_eq!(lab.register(1, "carol", "c"), StatusCode::NOT_FOUND);
        assert_eq!(lab.registrar.contacts(lab.now, "bob"), 0);
        let from = NameAddr::new("sip:alice@example.com".parse().expect("a URI"));
        let callee = format!("sip:bob@{REGISTRAR}").parse().expect("a URI");
        lab.agents[0].1.invite(lab.now, OutgoingCall::new(callee, from)).expect("a call");
        lab.run();
        let refused = lab.events.iter().any(|(_, event)| {
            matches!(event, Event::Failed { status: Some(StatusCode::TEMPORARILY_UNAVAILABLE), .. })
        });
        assert!(refused, "{:?}", lab.events);
    }

    #[test]
    fn a_binding_ends_with_its_time() {
        let mut lab = Lab::new();
        assert_eq!(lab.register(1, "bob", "b"), StatusCode::OK);
        lab.now += Duration::from_secs(3_601);
        assert_eq!(lab.registrar.contacts(lab.now, "bob"), 0);
    }
}
