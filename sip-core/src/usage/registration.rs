//! A registration, kept up (RFC 3261 §10.2, RFC 5626 §4.5 for the times between tries).

use crate::{
    Method, NameAddr, Response, StatusCode, Uri,
    auth::Credentials,
    endpoint::{Cause, OutgoingContact, OutgoingRequest, Transport},
    header::{Contact, Expires, MinExpires},
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
    /// The wait after a first failure; it doubles with each, up to `max_retry`.
    pub retry: Duration,
    /// The longest wait after a failure.
    pub max_retry: Duration,
}

impl RegistrationConfig {
    /// The usual: an hour, and tries after 5 s up to 5 minutes.
    pub fn new(registrar: Uri, address: NameAddr) -> Self {
        Self {
            registrar,
            user: address.uri.user().map(str::to_owned),
            address,
            expires: 3_600,
            route: Vec::new(),
            credentials: None,
            transport: None,
            retry: Duration::from_secs(5),
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
    },
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
    bound: bool,
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
            bound: false,
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
            self.failures = 0;
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
        let expires = self.granted(&response, &contacts);
        (self.failures, self.bound) = (0, true);
        self.state = State::Registered { refresh: now + self.refresh_after(expires) };
        self.outputs.push_back(RegistrationOutput::Registered { response, expires, contacts });
        if self.stopping {
            self.remove();
        }
    }

    /// The lifetime of our binding: its parameter, or Expires, or what was asked for
    /// (RFC 3261 §10.2.4).
    fn granted(&self, response: &Response, contacts: &[NameAddr]) -> u32 {
        let user = self.config.user.as_deref();
        let ours = contacts.iter().filter(|c| c.uri.user() == user);
        let lifetime = |c: &NameAddr| c.params.get("expires")?.parse().ok();
        ours.filter_map(lifetime)
            .max()
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
        if self.stopping {
            self.state = State::Idle;
            self.outputs.push_back(RegistrationOutput::Failed { cause, response, reason, retry: None });
            self.outputs.push_back(RegistrationOutput::Unregistered);
            return;
        }
        // RFC 5626 §4.5: doubled with each failure, and between half and all of it at random.
        let most = self.config.retry.saturating_mul(1 << self.failures.min(16)).min(self.config.max_retry);
        let jitter = Duration::from_millis(self.random.next_u64() % 1_000);
        let wait =
            wait.map_or(most / 2 + most.mul_f64(jitter.as_secs_f64()) / 2, |w| w.min(MOST).max(most / 2));
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now + wait };
        self.outputs.push_back(RegistrationOutput::Failed { cause, response, reason, retry: Some(wait) });
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
        self.outputs.push_back(RegistrationOutput::Unregistered);
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
            contact: OutgoingContact::Derived(self.config.user.clone()),
            route: self.config.route.clone(),
            headers: vec![("Expires".to_owned(), expires.to_string())],
            credentials: self.config.credentials.clone(),
            transport: self.config.transport,
            ..OutgoingRequest::new(Method::Register, self.config.registrar.clone(), from)
        })));
    }
}

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
mod tests {
    use super::*;
    use crate::transaction::testing::start;

    fn registration() -> Registration {
        let uri = |text: &str| text.parse().unwrap();
        let config =
            RegistrationConfig::new(uri("sip:example.com"), NameAddr::new(uri("sip:alice@example.com")));
        Registration::new(config, [5; 32])
    }

    fn response(status: StatusCode, headers: &[(&str, &str)]) -> Response {
        let builder = Response::builder(status);
        headers.iter().fold(builder, |b, (name, value)| b.raw(name, value).unwrap()).build()
    }

    fn sent(registration: &mut Registration) -> (u32, String) {
        match registration.poll_output() {
            RegistrationOutput::Send(request) => (request.sequence.unwrap().1, request.headers[0].1.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn idle(registration: &mut Registration) -> Option<Instant> {
        match registration.poll_output() {
            RegistrationOutput::Idle(at) => at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refreshed_in_time_and_removed() {
        let (now, mut registration) = (start(), registration());
        registration.start(now);
        let (first, expires) = sent(&mut registration);
        assert_eq!(expires, "3600");
        let contact = "<sip:other@192.0.2.9>;expires=9, <sip:alice@192.0.2.1>;expires=600";
        registration.answered(now, response(StatusCode::OK, &[("Contact", contact)]));
        let RegistrationOutput::Registered { expires: 600, contacts, .. } = registration.poll_output() else {
            panic!("registered for 600 s")
        };
        assert_eq!(contacts.len(), 2);
        let refresh = idle(&mut registration).unwrap();
        assert_eq!(refresh - now, Duration::from_secs(570));
        registration.handle_timeout(now);
        assert_eq!(idle(&mut registration), Some(refresh), "not too early");
        registration.handle_timeout(refresh);
        assert!(sent(&mut registration).0 > first, "RFC 3261 §10.2.4");
        registration.stop(refresh);
        assert_eq!(idle(&mut registration), None, "one request at a time");
        registration.answered(refresh, response(StatusCode::OK, &[("Expires", "60")]));
        assert!(matches!(registration.poll_output(), RegistrationOutput::Registered { expires: 60, .. }));
        assert_eq!(sent(&mut registration).1, "0");
        registration.answered(refresh, response(StatusCode::OK, &[]));
        assert!(matches!(registration.poll_output(), RegistrationOutput::Unregistered));
        assert_eq!(idle(&mut registration), None);
        assert!(!registration.is_registered());
    }

    #[test]
    fn failures_wait_longer_and_longer() {
        let (now, mut registration) = (start(), registration());
        registration.start(now);
        sent(&mut registration);
        let mut now = now;
        for n in 0..10 {
            registration.failed(now, Cause::Timeout, "nobody answered".to_owned());
            let RegistrationOutput::Failed { retry: Some(wait), .. } = registration.poll_output() else {
                panic!()
            };
            let most = Duration::from_secs(5 << n).min(Duration::from_secs(300));
            assert!(wait >= most / 2 && wait <= most, "{n}: {wait:?}");
            now = idle(&mut registration).unwrap();
            registration.handle_timeout(now);
            sent(&mut registration);
        }
        let busy = response(StatusCode::SERVICE_UNAVAILABLE, &[("Retry-After", "1000 (later)")]);
        registration.answered(now, busy);
        let RegistrationOutput::Failed { retry: Some(wait), .. } = registration.poll_output() else {
            panic!()
        };
        assert_eq!(wait, Duration::from_secs(1_000));
    }

    #[test]
    fn too_brief_is_made_longer() {
        let (now, mut registration) = (start(), registration());
        registration.start(now);
        sent(&mut registration);
        registration.answered(now, response(StatusCode::INTERVAL_TOO_BRIEF, &[("Min-Expires", "7200")]));
        assert_eq!(sent(&mut registration).1, "7200");
        registration.answered(now, response(StatusCode::INTERVAL_TOO_BRIEF, &[("Min-Expires", "7200")]));
        assert!(matches!(registration.poll_output(), RegistrationOutput::Failed { .. }), "once is enough");
    }

    #[test]
    fn a_stop_while_it_fails() {
        let (now, mut registration) = (start(), registration());
        registration.start(now);
        sent(&mut registration);
        registration.stop(now);
        registration.failed(now, Cause::Timeout, String::new());
        assert!(matches!(registration.poll_output(), RegistrationOutput::Failed { retry: None, .. }));
        assert!(matches!(registration.poll_output(), RegistrationOutput::Unregistered));
        assert_eq!(idle(&mut registration), None);
    }
}
