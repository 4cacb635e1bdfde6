//! A publication of event state, kept up (RFC 3903).

use crate::{
    Method, NameAddr, Response, StatusCode, Uri,
    auth::Credentials,
    endpoint::{Body, Cause, OutgoingRequest, Transport},
    header::{Expires, MinExpires, RetryAfter, SipEtag},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What is to be published, and how.
#[derive(Debug, Clone)]
pub struct PublicationConfig {
    /// Whose state it is: the Request-URI.
    pub target: Uri,
    /// Who publishes it.
    pub from: NameAddr,
    /// The event package.
    pub event: String,
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

impl PublicationConfig {
    /// The usual: an hour, and tries after 5 s up to 5 minutes.
    pub fn new(target: Uri, from: NameAddr, event: impl Into<String>) -> Self {
        Self {
            target,
            from,
            event: event.into(),
            expires: 3_600,
            route: Vec::new(),
            credentials: None,
            transport: None,
            retry: Duration::from_secs(5),
            max_retry: Duration::from_secs(300),
        }
    }
}

/// What a [`Publication`] wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublicationOutput {
    /// This request is to be sent by [`Endpoint::request`](crate::Endpoint::request); its outcome
    /// comes back by [`Publication::answered`] or [`Publication::failed`].
    Send(Box<OutgoingRequest>),
    /// The state is published, again or for the first time.
    Published {
        /// The 2xx.
        response: Response,
        /// How long it lasts, in seconds.
        expires: u32,
    },
    /// The state is not published any more, as it was asked.
    Removed,
    /// It failed; another try follows unless it was the last request.
    Failed {
        /// Why.
        cause: Cause,
        /// The response, if there was one.
        response: Option<Response>,
        /// In words.
        reason: String,
        /// When it is tried again; `None`: not at all, until the next [`Publication::publish`].
        retry: Option<Duration>,
    },
    /// Nothing more until this time or the next input.
    Idle(Option<Instant>),
}

/// ```text
///            publish()              2xx
///   Idle -------------> Asking ------------> Published(refresh at)
///    ^   stop()           |  ^ 412, 423: again    |   |
///    |                    |  +---------------+    |   | stop()
///    |            refused v     timer        |    |   v
///    |                  Waiting(until) ------+    | Removing
///    +--------------------+-----------------------+---+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Asking,
    Published { refresh: Instant },
    Waiting { until: Instant },
    Removing,
}

/// Keeps one state published: one request in flight, the latest state wins.
pub struct Publication {
    config: PublicationConfig,
    state: State,
    expires: u32,
    /// What the state agent knows it by.
    etag: Option<String>,
    body: Option<Body>,
    /// Whether the agent does not have the body yet.
    changed: bool,
    /// Whether the request in flight carries the body.
    carrying: bool,
    failures: u32,
    /// How often in a row a 412 or 423 was followed.
    followed: u8,
    stopping: bool,
    outputs: VecDeque<PublicationOutput>,
}

/// How many 412 and 423 in a row are followed.
const MAX_FOLLOWED: u8 = 4;

impl Publication {
    /// A publication that has not started.
    pub fn new(config: PublicationConfig) -> Self {
        Self {
            expires: config.expires,
            config,
            state: State::Idle,
            etag: None,
            body: None,
            changed: false,
            carrying: false,
            failures: 0,
            followed: 0,
            stopping: false,
            outputs: VecDeque::new(),
        }
    }

    /// Publishes this state, and keeps it published.
    pub fn publish(&mut self, _now: Instant, body: Body) {
        (self.body, self.changed, self.stopping) = (Some(body), true, false);
        if !matches!(self.state, State::Asking | State::Removing) {
            self.failures = 0;
            self.send();
        }
    }

    /// Removes the state; [`PublicationOutput::Removed`] follows.
    pub fn stop(&mut self, _now: Instant) {
        match self.state {
            State::Idle | State::Removing => {}
            State::Asking => self.stopping = true,
            State::Published { .. } | State::Waiting { .. } => self.remove(),
        }
    }

    /// The final response to the last request came.
    pub fn answered(&mut self, now: Instant, response: Response) {
        match self.state {
            State::Asking if response.status().is_success() => self.published(now, response),
            State::Asking => self.refused(now, response),
            // Whatever the agent says, it is over.
            State::Removing => self.removed(),
            State::Idle | State::Published { .. } | State::Waiting { .. } => {}
        }
    }

    /// The last request got no response.
    pub fn failed(&mut self, now: Instant, cause: Cause, reason: String) {
        match self.state {
            State::Asking => self.try_later(now, cause, None, reason, None),
            State::Removing => self.removed(),
            State::Idle | State::Published { .. } | State::Waiting { .. } => {}
        }
    }

    /// A timer may be due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.send();
        }
    }

    /// The next thing to do; ends with `Idle`.
    pub fn poll_output(&mut self) -> PublicationOutput {
        self.outputs.pop_front().unwrap_or(PublicationOutput::Idle(self.deadline()))
    }

    /// Whether the agent has a state of ours, as far as we know.
    pub fn is_published(&self) -> bool {
        self.etag.is_some()
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Published { refresh: at } | State::Waiting { until: at } => Some(at),
            State::Idle | State::Asking | State::Removing => None,
        }
    }

    /// RFC 3903 §4.1, table 1: what each operation carries.
    fn send(&mut self) {
        self.carrying = self.changed || self.etag.is_none();
        let body = if self.carrying { self.body.clone() } else { None };
        self.state = State::Asking;
        self.request(self.expires, body);
    }

    fn remove(&mut self) {
        if self.etag.is_none() {
            self.removed();
            return;
        }
        self.state = State::Removing;
        self.request(0, None);
    }

    fn request(&mut self, expires: u32, body: Option<Body>) {
        let config = &self.config;
        let mut request = OutgoingRequest::new(Method::Publish, config.target.clone(), config.from.clone());
        request.headers.push(("Event".to_owned(), config.event.clone()));
        request.headers.push(("Expires".to_owned(), expires.to_string()));
        if let Some(etag) = &self.etag {
            request.headers.push(("SIP-If-Match".to_owned(), etag.clone()));
        }
        request.body = body;
        request.route = config.route.clone();
        request.credentials = config.credentials.clone();
        request.transport = config.transport;
        self.outputs.push_back(PublicationOutput::Send(Box::new(request)));
    }

    fn published(&mut self, now: Instant, response: Response) {
        // Without an entity tag there is nothing to refresh: the next one begins anew.
        self.etag = response.header::<SipEtag>().map(|e| e.0);
        let expires = response.header::<Expires>().map_or(self.expires, |e| e.0);
        (self.failures, self.followed) = (0, 0);
        let again = self.changed && !self.carrying;
        self.changed = false;
        let seconds = u64::from(expires);
        let after = if seconds > 120 { seconds - 30 } else { (seconds / 2).max(1) };
        self.state = State::Published { refresh: now + Duration::from_secs(after) };
        self.outputs.push_back(PublicationOutput::Published { response, expires });
        if self.stopping {
            self.remove();
        } else if again {
            self.changed = true;
            self.send();
        }
    }

    fn refused(&mut self, now: Instant, response: Response) {
        let min = response.header::<MinExpires>().map(|m| m.0);
        let follow = match response.status() {
            // RFC 3903 §4.1: the agent does not know the tag; all is told again.
            StatusCode::CONDITIONAL_REQUEST_FAILED => self.etag.take().is_some(),
            StatusCode::INTERVAL_TOO_BRIEF => min.is_some_and(|min| min > self.expires),
            _ => false,
        };
        if follow && self.followed < MAX_FOLLOWED {
            self.followed += 1;
            self.expires = self.expires.max(min.unwrap_or(0));
            if self.stopping {
                self.remove()
            } else {
                self.send()
            }
            return;
        }
        self.followed = 0;
        let wait = response.header::<RetryAfter>().map(|r| Duration::from_secs(u64::from(r.seconds)));
        let reason = response.reason().to_owned();
        if response.status() == StatusCode::BAD_EVENT {
            // RFC 3903 §4.1: that package is not known there.
            self.state = State::Idle;
            let (cause, response) = (Cause::Refused, Some(response));
            self.outputs.push_back(PublicationOutput::Failed { cause, response, reason, retry: None });
            return;
        }
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
        if self.stopping {
            self.removed();
            return;
        }
        let factor = 1_u32 << self.failures.min(16);
        self.failures += 1;
        let own = self.config.retry.saturating_mul(factor).min(self.config.max_retry);
        let wait = wait.map_or(own, |w| w.max(own));
        self.state = State::Waiting { until: now + wait };
        self.outputs.push_back(PublicationOutput::Failed { cause, response, reason, retry: Some(wait) });
    }

    fn removed(&mut self) {
        self.etag = None;
        self.state = State::Idle;
        let again = !self.stopping && self.changed;
        self.stopping = false;
        self.outputs.push_back(PublicationOutput::Removed);
        if again {
            self.send();
        }
    }
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication")
            .field("state", &self.state)
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Message, transaction::testing::start};

    fn publication() -> Publication {
        let from = NameAddr::new("sip:us@example.com".parse().unwrap());
        Publication::new(PublicationConfig::new("sip:us@example.com".parse().unwrap(), from, "presence"))
    }

    fn response(status: u16, more: &str) -> Response {
        let text = format!("SIP/2.0 {status} x\r\n{more}\r\n\r\n");
        match Message::parse(text.into_bytes().into(), &Limits::default()) {
            Ok(Message::Response(response)) => response,
            other => panic!("a response, not {other:?}"),
        }
    }

    /// The headers of the request that is to be sent, and its body.
    fn sent(publication: &mut Publication) -> String {
        let PublicationOutput::Send(request) = publication.poll_output() else { panic!("a request") };
        let headers: Vec<_> = request.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        let body = request.body.map(|b| String::from_utf8_lossy(&b.content).into_owned());
        format!("{} [{}]", headers.join(", "), body.unwrap_or_default())
    }

    #[test]
    fn table_1_of_rfc_3903() {
        let (mut p, t0) = (publication(), start());
        p.publish(t0, Body::new("application/pidf+xml", "open"));
        assert_eq!(sent(&mut p), "Event: presence, Expires: 3600 [open]");
        p.answered(t0, response(200, "SIP-ETag: a\r\nExpires: 1800"));
        assert!(matches!(p.poll_output(), PublicationOutput::Published { expires: 1_800, .. }));
        let PublicationOutput::Idle(Some(at)) = p.poll_output() else { panic!("a refresh") };
        assert_eq!((at - t0).as_secs(), 1_770);
        p.handle_timeout(at);
        assert_eq!(sent(&mut p), "Event: presence, Expires: 3600, SIP-If-Match: a []", "a refresh");
        // Two changes meanwhile: the last one follows.
        p.publish(at, Body::new("application/pidf+xml", "busy"));
        p.publish(at, Body::new("application/pidf+xml", "away"));
        assert!(matches!(p.poll_output(), PublicationOutput::Idle(None)), "one at a time");
        p.answered(at, response(200, "SIP-ETag: b"));
        assert!(matches!(p.poll_output(), PublicationOutput::Published { .. }));
        assert_eq!(sent(&mut p), "Event: presence, Expires: 3600, SIP-If-Match: b [away]", "a change");
        p.answered(at, response(200, "SIP-ETag: c"));
        p.poll_output();
        p.stop(at);
        assert_eq!(sent(&mut p), "Event: presence, Expires: 0, SIP-If-Match: c []", "a removal");
        p.answered(at, response(200, "SIP-ETag: d"));
        assert!(matches!(p.poll_output(), PublicationOutput::Removed));
        assert!(!p.is_published());
    }

    #[test]
    fn a_412_begins_anew_and_a_423_asks_for_longer() {
        let (mut p, t0) = (publication(), start());
        p.publish(t0, Body::new("text/plain", "open"));
        sent(&mut p);
        p.answered(t0, response(423, "Min-Expires: 7200"));
        assert_eq!(sent(&mut p), "Event: presence, Expires: 7200 [open]");
        p.answered(t0, response(200, "SIP-ETag: a"));
        p.poll_output();
        let PublicationOutput::Idle(Some(at)) = p.poll_output() else { panic!("a refresh") };
        p.handle_timeout(at);
        sent(&mut p);
        p.answered(at, response(412, ""));
        assert_eq!(sent(&mut p), "Event: presence, Expires: 7200 [open]", "RFC 3903 §4.1");
        p.answered(at, response(412, ""));
        assert!(matches!(p.poll_output(), PublicationOutput::Failed { retry: Some(_), .. }), "not for ever");
    }

    #[test]
    fn failures_wait_longer_and_longer() {
        let (mut p, mut now) = (publication(), start());
        p.publish(now, Body::new("text/plain", "open"));
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            sent(&mut p);
            p.failed(now, Cause::Timeout, String::new());
            let PublicationOutput::Failed { retry: Some(wait), .. } = p.poll_output() else {
                panic!("failed")
            };
            assert_eq!(wait.as_secs(), seconds);
            now += wait;
            p.handle_timeout(now);
        }
        sent(&mut p);
        p.answered(now, response(503, "Retry-After: 900"));
        assert!(
            matches!(p.poll_output(), PublicationOutput::Failed { retry: Some(w), .. } if w.as_secs() == 900)
        );
        p.publish(now, Body::new("text/plain", "now"));
        sent(&mut p);
        p.answered(now, response(489, ""));
        assert!(matches!(p.poll_output(), PublicationOutput::Failed { retry: None, .. }));
        assert!(matches!(p.poll_output(), PublicationOutput::Idle(None)));
    }
}
