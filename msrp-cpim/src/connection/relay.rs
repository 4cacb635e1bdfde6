//! Our relays (RFC 4976 §5.1) and our nickname (RFC 7701 §7.1): requests that are neither SEND nor REPORT.
//!
//! ```text
//!             AUTH            401                     200
//!   auth() ----------> asked -----> Event::AuthChallenge --answer_challenge()--> Event::Authorized
//!                        ^                                                            |
//!                        +------------- 7/8 of Expires later -------------------------+
//! ```
//! How a challenge is answered is for the composer, who has the password; the rest is here.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{Connection, Event, Phase, SessionId, Transaction};
use crate::error::{LimitError, UsageError};
use crate::uri::MsrpUri;
use crate::wire::{Flag, Head, HeaderName, Start, write_end_line};

/// Challenges that are answered before success, or before the next refresh.
const MAX_CHALLENGES: u8 = 3;
/// A relay's word beyond this is taken as this.
const MAX_EXPIRES: u64 = 24 * 3600;

/// Names an authorization of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthId(u64);

/// What to ask of a relay.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// The URI of the relay. For one behind another: the `Use-Path` of that one, then the URI (RFC 4976 §5.1).
    pub relay: Vec<MsrpUri>,
    /// Our own URI.
    pub local: MsrpUri,
    /// How long the URI should hold; `None` leaves it to the relay.
    pub expires: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Auth {
    config: AuthConfig,
    /// Challenges since the last success.
    challenges: u8,
    /// A 423 has already changed what is asked for.
    adjusted: bool,
    awaits_answer: bool,
    refresh_at: Option<Instant>,
}

impl Connection {
    /// Asks a relay for a URI, and again before that expires, until [`Connection::end_auth`].
    ///
    /// `Event::AuthChallenge`, `Event::Authorized` and `Event::AuthFailed` follow.
    ///
    /// # Errors
    /// If the connection does not stand, the path is empty, or there are too many.
    pub fn auth(&mut self, now: Instant, config: AuthConfig) -> Result<AuthId, UsageError> {
        self.now = Some(now);
        if self.phase != Phase::Up {
            return Err(LimitError::Closed.into());
        }
        if config.relay.is_empty() {
            return Err(UsageError::EmptyPath);
        }
        if !config.relay.iter().chain([&config.local]).all(MsrpUri::is_sound) {
            return Err(UsageError::InvalidUri);
        }
        if self.auths.len() >= self.config.max_sessions {
            return Err(LimitError::Sessions.into());
        }
        let key = self.fresh_key();
        let auth = Auth { config, challenges: 0, adjusted: false, awaits_answer: false, refresh_at: None };
        self.auths.insert(key, auth);
        self.send_auth(key, None);
        Ok(AuthId(key))
    }

    /// Answers `Event::AuthChallenge` with the value of an `Authorization` header field.
    ///
    /// # Errors
    /// If no challenge waits for an answer, or the value holds a control character.
    pub fn answer_challenge(&mut self, now: Instant, auth: AuthId, value: &str) -> Result<(), UsageError> {
        self.now = Some(now);
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(UsageError::InvalidHeader);
        }
        let known = self.auths.get_mut(&auth.0).filter(|known| known.awaits_answer);
        known.ok_or(UsageError::NoSuchSession)?.awaits_answer = false;
        self.send_auth(auth.0, Some(value));
        Ok(())
    }

    /// Refreshes no more; the relay forgets the URI when it expires or the connection ends.
    pub fn end_auth(&mut self, auth: AuthId) {
        self.auths.remove(&auth.0);
    }

    /// Asks a conference for a name; an empty one gives the name up. `Event::Nickname` follows.
    ///
    /// # Errors
    /// If there is no such session on a connection that stands, or the name holds a control character.
    pub fn nickname(&mut self, now: Instant, session: SessionId, nickname: &str) -> Result<(), UsageError> {
        self.now = Some(now);
        if nickname.chars().any(char::is_control) {
            return Err(UsageError::InvalidHeader);
        }
        let known = self.sessions.get(&session.0).filter(|_| self.phase == Phase::Up);
        let known = known.ok_or(UsageError::NoSuchSession)?;
        let quoted = format!("\"{}\"", nickname.replace('\\', "\\\\").replace('"', "\\\""));
        let (to, from) = (known.to_path.clone(), known.local_text.clone());
        let kind = Transaction::Nickname { session: session.0, nickname: nickname.to_owned() };
        self.request("NICKNAME", &to, &from, &[(HeaderName::UseNickname, &quoted)], kind);
        Ok(())
    }

    fn send_auth(&mut self, key: u64, authorization: Option<&str>) {
        let Some(auth) = self.auths.get_mut(&key) else { return };
        auth.refresh_at = None;
        let (to, from) = (MsrpUri::print_path(&auth.config.relay), auth.config.local.to_string());
        let expires = auth.config.expires.map(|expires| expires.as_secs().to_string());
        let fields: Vec<(HeaderName, &str)> =
            [(HeaderName::Authorization, authorization), (HeaderName::Expires, expires.as_deref())]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
        self.request("AUTH", &to, &from, &fields, Transaction::Auth(key));
    }

    fn request(
        &mut self,
        method: &str,
        to: &str,
        from: &str,
        fields: &[(HeaderName, &str)],
        kind: Transaction,
    ) {
        let id = self.ids.next_id();
        let mut out = BytesMut::with_capacity(512);
        for part in ["MSRP ", &id, " ", method, "\r\nTo-Path: ", to, "\r\nFrom-Path: ", from, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in fields {
            for part in [name.as_str(), ": ", *value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        write_end_line(&mut out, &id, Flag::End);
        self.transactions.insert(id.clone(), kind);
        if let Some(now) = self.now {
            self.response_timers.push_back((now + self.config.response_timeout, id));
        }
        self.push_control(out.freeze());
    }

    /// A response that belongs to an AUTH; gives back whether it does.
    pub(super) fn auth_response(&mut self, head: &Head) -> bool {
        let Some(Transaction::Auth(key)) = self.transactions.get(head.transaction_id()) else { return false };
        let key = *key;
        self.transactions.remove(head.transaction_id());
        self.forget_answered();
        let Start::Response(code, comment) = head.start() else { return true };
        match code {
            200 => self.authorized(key, head),
            401 => self.challenged(key, head, comment),
            423 => self.out_of_bounds(key, head, comment),
            _ => self.auth_failed(key, code, comment),
        }
        true
    }

    fn authorized(&mut self, key: u64, head: &Head) {
        let Ok(use_path) = head.path(HeaderName::UsePath) else {
            self.auth_failed(key, 400, "no Use-Path");
            return;
        };
        let Some(auth) = self.auths.get_mut(&key) else { return };
        (auth.challenges, auth.adjusted) = (0, false);
        let expires = head.get(HeaderName::Expires).and_then(crate::file::number);
        let expires = expires.filter(|s| *s > 0).map(|s| Duration::from_secs(s.min(MAX_EXPIRES)));
        let before = |expires: Duration| expires.saturating_sub(expires / 8);
        auth.refresh_at = self.now.zip(expires).map(|(now, expires)| now + before(expires));
        // RFC 4976 §5.1: reversed, and then our own URI, for the peer.
        let mut path: Vec<MsrpUri> = use_path.iter().rev().cloned().collect();
        path.push(auth.config.local.clone());
        self.event(Event::Authorized { auth: AuthId(key), use_path, path, expires });
    }

    fn challenged(&mut self, key: u64, head: &Head, comment: &str) {
        let Some(auth) = self.auths.get_mut(&key) else { return };
        let challenges: Vec<String> = head
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case(HeaderName::WwwAuthenticate.as_str()))
            .map(|(_, value)| value.to_owned())
            .collect();
        auth.challenges += 1;
        if auth.challenges > MAX_CHALLENGES || challenges.is_empty() {
            self.auth_failed(key, 401, comment);
            return;
        }
        auth.awaits_answer = true;
        let again = auth.challenges > 1;
        let uri = auth.config.relay.last().map(MsrpUri::to_string).unwrap_or_default();
        self.event(Event::AuthChallenge { auth: AuthId(key), challenges, uri, again });
    }

    /// RFC 4976 §5.1: the relay says how long is too long or too short, which is asked for once.
    fn out_of_bounds(&mut self, key: u64, head: &Head, comment: &str) {
        let bound = [HeaderName::MinExpires, HeaderName::MaxExpires]
            .into_iter()
            .find_map(|name| head.get(name).and_then(crate::file::number));
        match (self.auths.get_mut(&key), bound) {
            (Some(auth), Some(bound)) if !auth.adjusted => {
                auth.adjusted = true;
                auth.config.expires = Some(Duration::from_secs(bound.min(MAX_EXPIRES)));
                self.send_auth(key, None);
            }
            _ => self.auth_failed(key, 423, comment),
        }
    }

    pub(super) fn auth_failed(&mut self, key: u64, code: u16, reason: &str) {
        if self.auths.remove(&key).is_some() {
            self.event(Event::AuthFailed { auth: AuthId(key), code, reason: reason.to_owned() });
        }
    }

    pub(super) fn nickname_answered(&mut self, session: u64, nickname: String, code: u16, reason: &str) {
        let (session, reason) = (SessionId(session), reason.to_owned());
        self.event(Event::Nickname { session, nickname, code, reason });
    }

    pub(super) fn refresh_auths(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .auths
            .iter()
            .filter(|(_, a)| a.refresh_at.is_some_and(|at| at <= now))
            .map(|(k, _)| *k)
            .collect();
        for key in due {
            self.send_auth(key, None);
        }
    }

    pub(super) fn next_refresh(&self) -> Option<Instant> {
        self.auths.values().filter_map(|auth| auth.refresh_at).min()
    }
}
