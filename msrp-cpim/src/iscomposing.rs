//! Who is composing: the document and the two state machines of RFC 3994.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)
)]

use std::time::{Duration, Instant};

use crate::error::ParseError;
use crate::xml;

/// The media type of the document.
pub const CONTENT_TYPE: &str = "application/im-iscomposing+xml";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:im-iscomposing";

/// How long an active state holds without a refresh: RFC 3994 §3.3.
const REFRESH: Duration = Duration::from_secs(120);
/// The shortest refresh: RFC 3994 §3.2.
const MIN_REFRESH: Duration = Duration::from_secs(60);

/// The document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsComposing {
    /// Active or idle; an unknown state counts as idle.
    pub active: bool,
    /// When something was composed last, as RFC 3339 writes it.
    pub last_active: Option<String>,
    /// What is composed: a media type, or only `audio`.
    pub content_type: Option<String>,
    /// In how many seconds an active state will be repeated.
    pub refresh: Option<u64>,
}

impl IsComposing {
    /// Active or idle, and nothing else.
    #[must_use]
    pub fn new(active: bool) -> Self {
        Self { active, last_active: None, content_type: None, refresh: None }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it is too large, malformed or another document.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let root = xml::read(data, NAMESPACE, "isComposing")?;
        let text = |name| root.child_text(name).map(str::to_owned);
        Ok(Self {
            active: root.child_text("state") == Some("active"),
            last_active: text("lastactive"),
            content_type: text("contenttype"),
            refresh: root.child_text("refresh").and_then(crate::file::number).filter(|n| *n > 0),
        })
    }

    /// The document.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = xml::begin("isComposing", NAMESPACE);
        xml::element(&mut out, "state", "", if self.active { "active" } else { "idle" });
        let refresh = self.refresh.map(|refresh| refresh.to_string());
        let rest =
            [("lastactive", &self.last_active), ("contenttype", &self.content_type), ("refresh", &refresh)];
        for (name, value) in rest {
            if let Some(value) = value {
                xml::element(&mut out, name, "", value);
            }
        }
        out.push_str("</isComposing>\r\n");
        out
    }
}

/// What [`Composer::poll_output`] and [`Watcher::poll_output`] give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to the peer.
    Send(IsComposing),
    /// The peer began or stopped composing.
    Changed {
        /// Whether it composes now.
        active: bool,
    },
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// Tells the peer whether we compose: RFC 3994 §3.2.
///
/// ```text
///            composed (send active)
///   [ idle ] ----------------------> [ active ] -- refresh --> send active
///       ^                              |    |
///       |    idle timeout (send idle)  |    | message sent
///       +------------------------------+----+
/// ```
#[derive(Debug, Clone)]
pub struct Composer {
    idle_after: Duration,
    refresh: Duration,
    /// When it becomes idle, and when the state is repeated.
    active: Option<(Instant, Instant)>,
    pending: Option<IsComposing>,
}

impl Composer {
    /// Idle after so much silence of the user (15 s in RFC 3994 §3.2), repeated so often (at least 60 s).
    #[must_use]
    pub fn new(idle_after: Duration, refresh: Duration) -> Self {
        Self { idle_after, refresh: refresh.max(MIN_REFRESH), active: None, pending: None }
    }

    /// The user typed, or spoke.
    pub fn composed(&mut self, now: Instant) {
        let idle_at = now + self.idle_after;
        match &mut self.active {
            Some((at, _)) => *at = idle_at,
            None => {
                self.active = Some((idle_at, now + self.refresh));
                self.send_active();
            }
        }
    }

    /// The message was sent, which says by itself that it is no longer composed.
    pub fn sent(&mut self) {
        (self.active, self.pending) = (None, None);
    }

    /// Time has passed; early, late and spurious calls are fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.active {
            Some((idle_at, _)) if *idle_at <= now => {
                self.active = None;
                self.pending = Some(IsComposing::new(false));
            }
            Some((_, refresh_at)) if *refresh_at <= now => {
                *refresh_at = now + self.refresh;
                self.send_active();
            }
            _ => {}
        }
    }

    /// The next thing to do; ends with [`Output::Idle`].
    pub fn poll_output(&mut self) -> Output {
        match self.pending.take() {
            Some(document) => Output::Send(document),
            None => Output::Idle(self.active.map(|(idle_at, refresh_at)| idle_at.min(refresh_at))),
        }
    }

    fn send_active(&mut self) {
        self.pending = Some(IsComposing { refresh: Some(self.refresh.as_secs()), ..IsComposing::new(true) });
    }
}

impl Default for Composer {
    fn default() -> Self {
        Self::new(Duration::from_secs(15), REFRESH)
    }
}

/// Knows whether the peer composes: RFC 3994 §3.3.
#[derive(Debug, Clone, Default)]
pub struct Watcher {
    until: Option<Instant>,
    changed: bool,
}

impl Watcher {
    /// A peer that is idle.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The peer said so.
    pub fn received(&mut self, now: Instant, document: &IsComposing) {
        // A year is as good as for ever, and keeps the sum within what an Instant holds.
        let refresh = document.refresh.map_or(REFRESH, |s| Duration::from_secs(s.min(31_536_000)));
        self.set(document.active.then(|| now + refresh.max(MIN_REFRESH)));
    }

    /// The peer sent a message: it is no longer composed.
    pub fn received_message(&mut self) {
        self.set(None);
    }

    /// Time has passed; early, late and spurious calls are fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.set(None);
        }
    }

    /// The next thing to do; ends with [`Output::Idle`].
    pub fn poll_output(&mut self) -> Output {
        if std::mem::take(&mut self.changed) {
            return Output::Changed { active: self.until.is_some() };
        }
        Output::Idle(self.until)
    }

    /// Whether the peer composes.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.until.is_some()
    }

    fn set(&mut self, until: Option<Instant>) {
        // Two changes that nobody saw are none.
        self.changed ^= self.until.is_some() != until.is_some();
        self.until = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::Clock;

    const ACTIVE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
   <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"
   xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"
   xsi:schemaLocation=\"urn:ietf:params:xml:ns:im-composing
   iscomposing.xsd\">
     <state>active</state>
     <contenttype>text/plain</contenttype>
     <refresh>90</refresh>
   </isComposing>";

    #[test]
    fn the_examples_of_the_rfc() {
        let active = IsComposing::parse(ACTIVE.as_bytes()).unwrap();
        assert_eq!(
            (active.active, active.refresh, active.content_type.as_deref()),
            (true, Some(90), Some("text/plain"))
        );
        let idle = ACTIVE
            .replace(">active<", ">idle<")
            .replace(
                "<contenttype>text/plain",
                "<lastactive>2003-01-27T10:43:00Z</lastactive><contenttype>audio",
            )
            .replace("<refresh>90</refresh>", "");
        let idle = IsComposing::parse(idle.as_bytes()).unwrap();
        assert_eq!((idle.active, idle.last_active.as_deref()), (false, Some("2003-01-27T10:43:00Z")));
        for document in [active, idle] {
            assert_eq!(IsComposing::parse(document.to_xml().as_bytes()).unwrap(), document);
        }
        assert!(!IsComposing::parse(ACTIVE.replace(">active<", ">dreaming<").as_bytes()).unwrap().active);
        assert!(IsComposing::parse(b"<imdn/>").is_err());
    }

    #[test]
    fn we_tell_when_we_begin_pause_and_go_on_for_long() {
        let mut clock = Clock::new();
        let mut composer = Composer::default();
        let step = |composer: &mut Composer| match composer.poll_output() {
            Output::Send(document) => Some(document.active),
            _ => None,
        };
        composer.composed(clock.now());
        assert_eq!(step(&mut composer), Some(true));
        // 150 s of typing: one refresh.
        let mut sent = Vec::new();
        for _ in 0..15 {
            clock.advance(Duration::from_secs(10));
            composer.handle_timeout(clock.now());
            composer.composed(clock.now());
            sent.extend(step(&mut composer));
        }
        assert_eq!(sent, [true]);
        assert_eq!(composer.poll_output(), Output::Idle(Some(clock.now() + Duration::from_secs(15))));
        clock.advance(Duration::from_secs(15));
        composer.handle_timeout(clock.now());
        assert_eq!(step(&mut composer), Some(false));
        assert_eq!(composer.poll_output(), Output::Idle(None));
        // A message that was sent needs no word.
        composer.composed(clock.now());
        composer.sent();
        assert_eq!(composer.poll_output(), Output::Idle(None));
    }

    #[test]
    fn a_peer_is_idle_after_a_message_or_without_refresh() {
        let mut clock = Clock::new();
        let mut watcher = Watcher::new();
        let active = IsComposing { refresh: Some(90), ..IsComposing::new(true) };
        watcher.received(clock.now(), &active);
        assert_eq!(watcher.poll_output(), Output::Changed { active: true });
        watcher.received(clock.now(), &active);
        assert_eq!(watcher.poll_output(), Output::Idle(Some(clock.now() + Duration::from_secs(90))));
        clock.advance(Duration::from_secs(90));
        watcher.handle_timeout(clock.now());
        assert_eq!(watcher.poll_output(), Output::Changed { active: false });
        watcher.received(clock.now(), &IsComposing { refresh: Some(u64::MAX), ..active });
        watcher.poll_output();
        watcher.received_message();
        assert_eq!(watcher.poll_output(), Output::Changed { active: false });
        assert!(!watcher.is_active());
    }
}
