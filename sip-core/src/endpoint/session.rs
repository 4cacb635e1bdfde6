//! Sessions are kept alive, and end when nobody does that (RFC 4028).

use super::{
    Call, Cause, Endpoint, Event, Output, ServerRequest, caller::authorize, client::User,
    in_call::glare_wait, send::Template,
};
use crate::{
    Method, Request, Response, StatusCode,
    auth::Authenticator,
    header::{CSeq, HeaderName, MinSe},
    usage::{Phase, SessionTimer, TimerAction},
};
use std::time::Instant;

/// Adds headers of the endpoint's own, but for those that the caller gave; Require adds up.
pub(crate) fn add(headers: &mut Vec<(String, String)>, more: Vec<(String, String)>) {
    for (name, value) in more {
        let own = HeaderName::new(&name);
        if own == HeaderName::REQUIRE || !headers.iter().any(|(n, _)| HeaderName::new(n) == own) {
            headers.push((name, value));
        }
    }
}

/// Makes a refused request what the refusal wants, with its next number; whether there is anything
/// to be done: after a challenge (RFC 3261 §22.2) and after 422 (RFC 4028 §7.3).
pub(crate) fn again(
    request: &mut Request,
    response: &Response,
    timer: &mut SessionTimer,
    auth: Option<&mut Authenticator>,
    next: &mut dyn FnMut() -> u32,
    cnonce: &str,
) -> bool {
    let longer = response.status() == StatusCode::SESSION_INTERVAL_TOO_SMALL
        && request.headers().contains(HeaderName::SESSION_EXPIRES)
        && response.header::<MinSe>().is_some_and(|min| timer.refused(min.seconds));
    if longer {
        for (name, value) in timer.ask() {
            if HeaderName::new(&name) != HeaderName::REQUIRE {
                // We made it: it is one line.
                let _ = request.headers_mut().replace_raw(&name, &value);
            }
        }
    }
    match auth {
        Some(auth) => (longer || auth.challenged(response)) && authorize(request, auth, next(), cnonce),
        None if longer => {
            let method = request.method().clone();
            request.headers_mut().replace(CSeq::new(next(), method));
            true
        }
        None => false,
    }
}

impl Endpoint {
    /// The headers of our 2xx to an INVITE, re-INVITE or UPDATE; the session's timer starts.
    pub(crate) fn accepting(
        &mut self,
        now: Instant,
        call: Call,
        id: ServerRequest,
        headers: &[(String, String)],
    ) -> Vec<(String, String)> {
        let mut headers = headers.to_vec();
        let request = self.servers.get(&id).and_then(|s| s.request.as_ref());
        if let (Some(request), Some(usage)) = (request, self.calls.get_mut(&call))
            && (*request.method() == Method::Invite || matches!(usage.phase, Phase::Confirmed))
        {
            add(&mut headers, usage.timer.accept(now, request.headers()));
        }
        headers
    }

    pub(crate) fn session_timeout(&mut self, now: Instant, call: Call) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        match usage.timer.handle_timeout(now) {
            TimerAction::None => {}
            TimerAction::Expired => {
                self.dialog_lost(now, call, false, "the session expired: nobody refreshed it");
            }
            TimerAction::Refresh if matches!(usage.phase, Phase::Confirmed) => {
                self.refresh_session(now, call)
            }
            TimerAction::Refresh => {}
        }
    }

    /// RFC 4028 §7.4: by UPDATE without an offer, or else the user has to.
    fn refresh_session(&mut self, now: Instant, call: Call) {
        let Some(usage) = self.calls.get(&call) else { return };
        if !usage.timer.updates {
            self.outputs.push_back(Output::Event(Event::RefreshDue { call }));
            return;
        }
        if let Ok(template) = self.in_call_template(call, None, Method::Update, &[], None) {
            self.start_client(now, template, User::Refresh(call));
        }
    }

    pub(crate) fn refresh_answered(
        &mut self,
        now: Instant,
        call: Call,
        template: Option<Box<Template>>,
        response: Response,
    ) {
        if let Some(template) = self.challenged(call, template, &response) {
            self.start_client(now, template, User::Refresh(call));
            return;
        }
        let wait = glare_wait(self.random_u64(), true);
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let status = response.status();
        match status {
            _ if status.is_success() => {
                if let Some(dialog) = &mut usage.dialog {
                    dialog.refresh(response.headers());
                }
                usage.timer.answered(now, response.headers());
                self.outputs.push_back(Output::Event(Event::Refreshed { call, by_remote: false }));
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                usage.timer.updates = false;
                self.outputs.push_back(Output::Event(Event::RefreshDue { call }));
            }
            StatusCode::CALL_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT => {
                self.check_lost(now, call, status)
            }
            // Until the session ends, it is tried again.
            _ => usage.timer.retry(now + wait),
        }
        self.arm_call(call);
    }

    pub(crate) fn refresh_failed(&mut self, now: Instant, call: Call, cause: Cause) {
        let wait = glare_wait(self.random_u64(), true);
        if cause == Cause::Timeout {
            self.dialog_lost(now, call, false, "nobody answers");
        } else if let Some(usage) = self.calls.get_mut(&call) {
            usage.timer.retry(now + wait);
            self.arm_call(call);
        }
    }
}
