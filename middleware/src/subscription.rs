//! The state of somebody or something, followed (RFC 6665).

use std::fmt;

use sip_core::Uri;
use sip_core::endpoint::Transport;

use crate::credentials::Credentials;
use crate::driver::{Commander, Reply};
use crate::presence::{
    ConferenceInfo, DialogInfo, MessageSummary, Presence, RegInfo, ResourceList, WatcherInfo,
};

/// What is to be followed, and as whom.
#[derive(Clone, Debug)]
pub struct SubscriptionOptions {
    /// Whose state.
    pub target: Uri,
    /// The event package: `presence`, `message-summary`, `dialog`, …
    pub event: String,
    /// Who follows it, and what proves that.
    pub credentials: Credentials,
    /// A proxy to go through; what the registrar said (RFC 3608), if anything, where `None`.
    pub route: Option<Uri>,
    /// The lifetime that is asked for, in seconds; 0 fetches the state once.
    pub expires: u32,
    /// The content types that are taken; those of the package where it is empty.
    pub accept: Vec<String>,
    /// Whether the target may be a list, of which the states come together (RFC 4662).
    pub lists: bool,
    /// What to go over; what the next hop's address says where `None`.
    pub transport: Option<Transport>,
}

impl SubscriptionOptions {
    /// For an hour at a time, with the content types of the package, and of lists too.
    pub fn new(event: impl Into<String>, target: Uri, credentials: Credentials) -> Self {
        Self {
            target,
            event: event.into(),
            credentials,
            route: None,
            expires: 3_600,
            accept: Vec::new(),
            lists: true,
            transport: None,
        }
    }

    /// The content types for Accept.
    pub(crate) fn accepts(&self) -> Vec<String> {
        if !self.accept.is_empty() {
            return self.accept.clone();
        }
        let package = self.event.split(';').next().unwrap_or_default().trim();
        let own = match package.to_ascii_lowercase().as_str() {
            "presence" => Some(Presence::CONTENT_TYPE),
            "message-summary" => Some(MessageSummary::CONTENT_TYPE),
            "dialog" => Some(DialogInfo::CONTENT_TYPE),
            "conference" => Some(ConferenceInfo::CONTENT_TYPE),
            "reg" => Some(RegInfo::CONTENT_TYPE),
            // RFC 3857 §4: of whatever package.
            package if package.ends_with(".winfo") => Some(WatcherInfo::CONTENT_TYPE),
            _ => None,
        };
        // RFC 4662 §4.3. Without a type of its own nothing is said: the package's default holds.
        let lists = [ResourceList::CONTENT_TYPE, "multipart/related"];
        let lists = lists.into_iter().filter(|_| self.lists && own.is_some());
        own.into_iter().chain(lists).map(str::to_owned).collect()
    }
}

/// The name of a subscription for as long as the application runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub(crate) u64);

/// `subscription-1`.
impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscription-{}", self.0)
    }
}

/// A state that is followed: refreshed in time, begun again with growing waits, asked for anew when
/// the network changes. What it brings is told by `SCSubscription…` notifications.
///
/// A handle: cheap to clone, and every clone is the same subscription. Dropping it ends nothing;
/// [`end`](Self::end) does, and so does stopping the application.
#[derive(Clone)]
pub struct Subscription {
    id: SubscriptionId,
    commander: Commander,
}

impl Subscription {
    pub(crate) fn new(id: SubscriptionId, commander: Commander) -> Self {
        Self { id, commander }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Whether the notifier has taken it, as far as we know.
    pub fn is_active(&self) -> Reply<bool> {
        let id = self.id;
        self.commander.ask(move |engine, _| Ok(engine.is_subscribed(id)))
    }

    /// Asks for the state again at once.
    pub fn refresh(&self) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            engine.refresh_subscription(now, id);
            Ok(())
        })
    }

    /// Gives it up: `SCSubscriptionWillEnd`, and `SCSubscriptionDidEnd` once the notifier has sent
    /// its last notification. Ended already: nothing happens.
    pub fn end(&self) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            engine.end_subscription(now, id);
            Ok(())
        })
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_say_what_they_take() {
        let uri = || -> Uri { "sip:a@example.com".parse().expect("a URI") };
        let of = |event: &str| SubscriptionOptions::new(event, uri(), Credentials::new(uri()));
        assert_eq!(
            of("presence;id=1").accepts(),
            ["application/pidf+xml", "application/rlmi+xml", "multipart/related"]
        );
        assert_eq!(of("presence.winfo").accepts()[0], "application/watcherinfo+xml");
        assert!(of("as-feature-event").accepts().is_empty(), "the default of a package that is not known");
        let alone = SubscriptionOptions { lists: false, ..of("dialog") };
        assert_eq!(alone.accepts(), ["application/dialog-info+xml"]);
        let own = SubscriptionOptions { accept: vec!["text/plain".to_owned()], ..of("presence") };
        assert_eq!(own.accepts(), ["text/plain"]);
    }
}
