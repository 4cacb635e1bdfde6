//! A registration, kept up (RFC 3261 §10.2) over a flow that is kept alive (RFC 5626), with what
//! the registrar gives back: Service-Route (RFC 3608) and GRUUs (RFC 5627).
//!
//! Several registrars, or several flows to one (RFC 5626 §4.2), are several registrations side by
//! side, with the same instance and another number each.

use crate::{
    Method, NameAddr, Response, StatusCode, Uri,
    auth::{Challenge, Credentials},
    endpoint::{Cause, ContactMarks, FlowPath, KeepAlive, OutgoingContact, OutgoingRequest, Transport},
    header::{Contact, Expires, FlowTimer, MinExpires, ServiceRoute},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What is to be registered, and how.
#[derive(Debug, Clone)]
pub struct RegistrationConfig {
    /// The registrar: the Request-URI, without a user part.
    pub registrar: Uri,
    /// The address of record.
    pub address: NameAddr,
    /// The user part of our Contact.
    pub user: Option<String>,
    /// The lifetime that is asked for, in seconds.
    pub expires: u32,
    /// The proxies to go through.
    pub route: Vec<NameAddr>,
    /// What answers challenges.
    pub credentials: Option<Credentials>,
    /// What to go over.
    pub transport: Option<Transport>,
    /// The URN of this user agent, the same for ever (RFC 5626 §4.1): asks for GRUUs.
    pub instance: Option<String>,
    /// The number of the flow, from 1 (RFC 5626 §4.2): asks for outbound; needs `instance`.
    pub reg_id: Option<u32>,
    /// The parameters of push notifications for our Contact (RFC 8599 §4.1): `pn-provider`,
    /// `pn-prid`, `pn-param`.
    pub push: Vec<(String, String)>,
    /// How long a connection may be silent, unless the registrar says (Flow-Timer).
    pub keep_stream: Duration,
    /// How long a flow of datagrams may be silent: NATs forget it soon.
    pub keep_datagrams: Duration,
    /// The wait after a first failure; it doubles with each, up to `max_retry`.
    pub retry: Duration,
    /// The longest wait as long as it has not failed for a quarter of an hour: what was restarted is
    /// back soon, and whoever comes back is to be reached within ten seconds.
    pub max_early_retry: Duration,
    /// The longest wait after a failure.
    pub max_retry: Duration,
}

impl RegistrationConfig {
    /// The usual: an hour, and tries after 2 s up to 5 minutes.
    pub fn new(registrar: Uri, address: NameAddr) -> Self {
        Self {
            registrar,
            user: address.uri.user().map(str::to_owned),
            address,
            expires: 3_600,
            route: Vec::new(),
            credentials: None,
            transport: None,
            instance: None,
            reg_id: None,
            push: Vec::new(),
            keep_stream: Duration::from_secs(120),
            keep_datagrams: Duration::from_secs(29),
            retry: Duration::from_secs(2),
            max_early_retry: Duration::from_secs(8),
            max_retry: Duration::from_secs(300),
        }
    }
}

/// What a [`Registration`] wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegistrationOutput {
    /// This request is to be sent by [`Endpoint::request`](crate::Endpoint::request); its outcome
    /// comes back by [`Registration::answered`] or [`Registration::failed`].
    Send(Box<OutgoingRequest>),
    /// The registrar knows us, again or for the first time.
    Registered {
        /// The 200.
        response: Response,
        /// How long it lasts, in seconds.
        expires: u32,
        /// All contacts that the registrar has for the address.
        contacts: Vec<NameAddr>,
        /// The one of them that is ours.
        contact: Option<NameAddr>,
        /// The way to the registrar.
        path: Option<FlowPath>,
    },
    /// This flow is to be kept alive, by [`Endpoint::keep_alive`](crate::Endpoint::keep_alive); its end
    /// comes back by [`Registration::flow_failed`].
    Keep(FlowPath, KeepAlive),
    /// This one no more: [`Endpoint::release`](crate::Endpoint::release).
    Release(FlowPath),
    /// The registrar does not know us any more, as it was asked.
    Unregistered,
    /// It failed; another try follows unless it was the last request.
    Failed {
        /// Why.
        cause: Cause,
        /// The response, if there was one.
        response: Option<Response>,
        /// In words.
        reason: String,
        /// When it is tried again.
        retry: Option<Duration>,
        /// The way that was tried last, if there was one.
        path: Option<FlowPath>,
    },
    /// Nothing more until this time or the next input.
    Idle(Option<Instant>),
}

/// ```text
///            start()                  200
///   Idle ---------------> Registering ---------> Registered(refresh at)
///    ^                      |     ^                |        |
///    |              refused |     | timer          | timer  | stop()
///    |                      v     |                v        v
///    |                     Waiting(until)     Registering  Removing
///    |   stop()               |                             |
///    +------------------------+-----------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Registering,
    Registered {
        refresh: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// The last request is on its way.
    Removing,
}

/// Keeps one address registered: one request in flight, refreshed in time, tried again with
/// growing waits.
pub struct Registration {
    config: RegistrationConfig,
    state: State,
    call_id: String,
    cseq: u32,
    /// Our From tag.
    tag: String,
    expires: u32,
    failures: u32,
    /// When the first of them was.
    failing_since: Option<Instant>,
    bound: bool,
    /// The way of the last request, and its Contact.
    path: Option<FlowPath>,
    contact: Option<Uri>,
    /// The flow that is kept alive.
    kept: Option<FlowPath>,
    service_route: Vec<NameAddr>,
    gruu: Option<Uri>,
    temporary_gruu: Option<Uri>,
    /// `stop` came while a request was in flight.
    stopping: bool,
    random: ChaCha20Rng,
    outputs: VecDeque<RegistrationOutput>,
}

impl Registration {
    /// A registration that has not started.
    pub fn new(config: RegistrationConfig, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let call_id = format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
        let tag = format!("{:016x}", random.next_u64());
        Self {
            expires: config.expires,
            config,
            state: State::Idle,
            call_id,
            cseq: 0,
            tag,
            failures: 0,
            failing_since: None,
            bound: false,
            path: None,
            contact: None,
            kept: None,
            service_route: Vec::new(),
            gruu: None,
            temporary_gruu: None,
            stopping: false,
            random,
            outputs: VecDeque::new(),
        }
    }

    /// Registers, and keeps registered. Called again, it registers at once: after the network has
    /// changed.
    pub fn start(&mut self, _now: Instant) {
        self.stopping = false;
        if !matches!(self.state, State::Registering | State::Removing) {
            (self.failures, self.failing_since) = (0, None);
            self.send(self.expires, State::Registering);
        }
    }

    /// Removes the binding; [`RegistrationOutput::Unregistered`] follows.
    pub fn stop(&mut self, _now: Instant) {
        match self.state {
            State::Idle | State::Removing => {}
            State::Registering => self.stopping = true,
            State::Registered { .. } | State::Waiting { .. } => self.remove(),
        }
    }

    /// The last request left, on this way and with this Contact; it may leave again on another.
    pub fn sent(&mut self, path: FlowPath, contact: Option<Uri>) {
        (self.path, self.contact) = (Some(path), contact);
    }

    /// A flow that was to be kept is dead: registers again, at once and then with growing waits
    /// (RFC 5626 §4.5).
    pub fn flow_failed(&mut self, _now: Instant, path: FlowPath) {
        if self.kept != Some(path) {
            return;
        }
        self.kept = None;
        if let State::Registered { .. } = self.state {
            self.send(self.expires, State::Registering);
        }
    }

    /// The address of record.
    pub fn address(&self) -> &NameAddr {
        &self.config.address
    }

    /// The proxies that requests of this address go through, the nearest first (RFC 3608 §5).
    pub fn service_route(&self) -> &[NameAddr] {
        &self.service_route
    }

    /// The address by which this very user agent is reached from everywhere (RFC 5627 §3.1).
    pub fn gruu(&self) -> Option<&Uri> {
        self.gruu.as_ref()
    }

    /// The same, but without telling whose it is; another one after each registration.
    pub fn temporary_gruu(&self) -> Option<&Uri> {
        self.temporary_gruu.as_ref()
    }

    /// The final response to the last request came.
    pub fn answered(&mut self, now: Instant, response: Response) {
        match self.state {
            State::Registering if response.status().is_success() => self.registered(now, response),
            State::Registering => self.refused(now, response),
            // Whatever the registrar says, it is over.
            State::Removing => self.removed(),
            State::Idle | State::Registered { .. } | State::Waiting { .. } => {}
        }
    }

    /// The last request got no response.
    pub fn failed(&mut self, now: Instant, cause: Cause, reason: String) {
        match self.state {
            State::Registering => self.try_later(now, cause, None, reason, None),
            State::Removing => self.removed(),
            State::Idle | State::Registered { .. } | State::Waiting { .. } => {}
        }
    }

    /// A timer may be due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.send(self.expires, State::Registering);
        }
    }

    /// The next thing to do; ends with `Idle`.
    pub fn poll_output(&mut self) -> RegistrationOutput {
        self.outputs.pop_front().unwrap_or(RegistrationOutput::Idle(self.deadline()))
    }

    /// Whether the registrar knows us, as far as we know.
    pub fn is_registered(&self) -> bool {
        self.bound
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Registered { refresh: at } | State::Waiting { until: at } => Some(at),
            State::Idle | State::Registering | State::Removing => None,
        }
    }

    fn registered(&mut self, now: Instant, response: Response) {
        let contacts: Vec<NameAddr> = response
            .headers()
            .all::<Contact>()
            .filter_map(|c| match c.ok()? {
                Contact::Addr(addr) => Some(addr),
                Contact::Star => None,
            })
            .collect();
        let contact = self.ours(&contacts).cloned();
        let expires = self.granted(&response, contact.as_ref(), &contacts);
        (self.failures, self.failing_since, self.bound) = (0, None, true);
        self.state = State::Registered { refresh: now + self.refresh_after(expires) };
        // RFC 3608 §5: each answer replaces what the ones before said.
        self.service_route = response
            .headers()
            .all::<ServiceRoute>()
            .filter_map(|r| Some(r.ok()?.0))
            .take(MAX_ROUTES)
            .collect();
        let ours = contact.clone().map(Contact::from);
        self.gruu = ours.as_ref().and_then(Contact::pub_gruu);
        self.temporary_gruu = ours.as_ref().and_then(Contact::temp_gruu);
        self.keep(&response);
        let path = self.path;
        self.outputs.push_back(RegistrationOutput::Registered { response, expires, contacts, contact, path });
        if self.stopping {
            self.remove();
        }
    }

    /// Has the flow kept that the registrar answered on.
    fn keep(&mut self, response: &Response) {
        if self.kept == self.path {
            return;
        }
        self.release();
        let Some(path) = self.path else { return };
        let timer = response.header::<FlowTimer>().map(|timer| Duration::from_secs(timer.0.into()));
        let outbound = self.config.reg_id.is_some()
            && response
                .headers()
                .texts("Require")
                .any(|line| line.split(',').any(|tag| tag.trim().eq_ignore_ascii_case("outbound")));
        let usual = match path.flow {
            Some(_) => self.config.keep_stream,
            None => self.config.keep_datagrams,
        };
        // RFC 5626 §4.4: who knows outbound, or says how often, answers.
        let answers = outbound || timer.is_some();
        let every = timer.filter(|timer| !timer.is_zero()).unwrap_or(usual);
        self.kept = Some(path);
        self.outputs.push_back(RegistrationOutput::Keep(path, KeepAlive { every, answers, outbound }));
    }

    fn release(&mut self) {
        if let Some(path) = self.kept.take() {
            self.outputs.push_back(RegistrationOutput::Release(path));
        }
    }

    /// The contact of an answer that is ours: by its instance and flow, or by its address.
    fn ours<'a>(&self, contacts: &'a [NameAddr]) -> Option<&'a NameAddr> {
        let instance = self.config.instance.as_deref();
        let by_instance = |c: &&NameAddr| {
            let contact = Contact::Addr((*c).clone());
            instance.is_some()
                && contact.instance().as_deref() == instance
                && (self.config.reg_id.is_none() || contact.reg_id() == self.config.reg_id)
        };
        let same = |a: &Uri, b: &Uri| a.user() == b.user() && a.host() == b.host() && a.port() == b.port();
        let by_address = |c: &&NameAddr| self.contact.as_ref().is_some_and(|contact| same(contact, &c.uri));
        contacts.iter().find(by_instance).or_else(|| contacts.iter().find(by_address))
    }

    /// The lifetime of our binding: its parameter, or Expires, or what was asked for
    /// (RFC 3261 §10.2.4).
    fn granted(&self, response: &Response, ours: Option<&NameAddr>, contacts: &[NameAddr]) -> u32 {
        let lifetime = |c: &NameAddr| c.params.get("expires")?.parse().ok();
        let user = self.config.user.as_deref();
        let of_user = || contacts.iter().filter(|c| c.uri.user() == user).filter_map(lifetime).max();
        ours.and_then(lifetime)
            .or_else(of_user)
            .or_else(|| response.header::<Expires>().map(|e| e.0))
            .unwrap_or(self.expires)
    }

    /// Well before the end: half of a short lifetime, and all but half a minute of a long one.
    fn refresh_after(&self, expires: u32) -> Duration {
        let seconds = u64::from(expires);
        Duration::from_secs(if seconds > 120 { seconds - 30 } else { (seconds / 2).max(1) })
    }

    fn refused(&mut self, now: Instant, response: Response) {
        let min = response.header::<MinExpires>().map(|m| m.0);
        if let (StatusCode::INTERVAL_TOO_BRIEF, Some(min)) = (response.status(), min)
            && min > self.expires
        {
            // RFC 3261 §10.2.8.
            self.expires = min;
            self.send(min, State::Registering);
            return;
        }
        let wait = response.headers().text("Retry-After").and_then(|text| {
            let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok().map(Duration::from_secs)
        });
        // What the registrar will say again is not asked for often.
        let settled = matches!(response.status().code(), 400..=407 | 414..=422 | 600..=699);
        // A nonce that was too old says nothing of the password: where answers are lost, the repetition
        // of a request that was accepted is told so (RFC 3261 §22.4).
        let stale = ["WWW-Authenticate", "Proxy-Authenticate"].into_iter().any(|name| {
            response.headers().texts(name).flat_map(Challenge::all).any(|challenge| challenge.stale)
        });
        let settled = settled && !stale;
        let wait = wait.or(settled.then_some(self.config.max_retry));
        let reason = format!("{} {}", response.status(), response.reason());
        self.try_later(now, Cause::Refused, Some(response), reason, wait);
    }

    fn try_later(
        &mut self,
        now: Instant,
        cause: Cause,
        response: Option<Response>,
        reason: String,
        wait: Option<Duration>,
    ) {
        self.bound = false;
        self.release();
        let path = self.path;
        if self.stopping {
            self.state = State::Idle;
            let failed = RegistrationOutput::Failed { cause, response, reason, retry: None, path };
            self.outputs.push_back(failed);
            self.outputs.push_back(RegistrationOutput::Unregistered);
            return;
        }
        // RFC 5626 §4.5: doubled with each failure, and between half and all of it at random.
        let since = *self.failing_since.get_or_insert(now);
        let early = now.saturating_duration_since(since) < EARLY;
        let longest = if early { self.config.max_early_retry } else { self.config.max_retry };
        let most = self.config.retry.saturating_mul(1 << self.failures.min(16)).min(longest);
        let jitter = Duration::from_millis(self.random.next_u64() % 1_000);
        let wait =
            wait.map_or(most / 2 + most.mul_f64(jitter.as_secs_f64()) / 2, |w| w.min(MOST).max(most / 2));
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now + wait };
        let retry = Some(wait);
        self.outputs.push_back(RegistrationOutput::Failed { cause, response, reason, retry, path });
    }

    fn remove(&mut self) {
        if self.bound {
            self.send(0, State::Removing);
        } else {
            self.removed();
        }
    }

    fn removed(&mut self) {
        (self.state, self.bound, self.stopping) = (State::Idle, false, false);
        self.release();
        self.outputs.push_back(RegistrationOutput::Unregistered);
    }

    /// RFC 3327 §5.1, RFC 5626 §4.2.1, RFC 5627 §4.1.
    fn supported(&self) -> &'static str {
        match (&self.config.instance, self.config.reg_id) {
            (Some(_), Some(_)) => "path, outbound, gruu",
            (Some(_), None) => "path, gruu",
            (None, _) => "path",
        }
    }

    fn send(&mut self, expires: u32, state: State) {
        self.state = state;
        // A challenge takes numbers too: the next request leaves room for them.
        self.cseq = self.cseq.saturating_add(4).min((1 << 31) - 8);
        let mut from = self.config.address.clone();
        // Our tag is a token.
        let _ = from.params.set("tag", &self.tag);
        self.outputs.push_back(RegistrationOutput::Send(Box::new(OutgoingRequest {
            to: self.config.address.clone(),
            sequence: Some((self.call_id.clone(), self.cseq)),
            contact: OutgoingContact::Marked(ContactMarks {
                user: self.config.user.clone(),
                uri_params: self.config.push.clone(),
                instance: self.config.instance.clone(),
                reg_id: self.config.reg_id,
            }),
            route: self.config.route.clone(),
            headers: vec![
                ("Expires".to_owned(), expires.to_string()),
                ("Supported".to_owned(), self.supported().to_owned()),
            ],
            credentials: self.config.credentials.clone(),
            transport: self.config.transport,
            ..OutgoingRequest::new(Method::Register, self.config.registrar.clone(), from)
        })));
    }
}

/// How long failures are taken for a restart.
const EARLY: Duration = Duration::from_secs(900);
/// Proxies of one Service-Route.
const MAX_ROUTES: usize = 16;
/// The longest Retry-After that is obeyed.
const MOST: Duration = Duration::from_secs(3_600);

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("config", &self.config)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
