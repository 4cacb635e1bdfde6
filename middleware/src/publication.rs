//! A state of ours, kept published (RFC 3903).

use std::fmt;

use sip_core::Uri;
use sip_core::endpoint::Transport;

use crate::credentials::Credentials;
use crate::driver::{Commander, Reply};
use crate::presence::EventBody;

/// What is to be published, where and as whom.
#[derive(Clone, Debug)]
pub struct PublicationOptions {
    /// Who publishes, and what proves that.
    pub credentials: Credentials,
    /// Whose state it is; our own where `None`.
    pub target: Option<Uri>,
    /// The event package, `presence` as a rule.
    pub event: String,
    /// The state.
    pub body: EventBody,
    /// A proxy to go through; what the registrar said (RFC 3608), if anything, where `None`.
    pub route: Option<Uri>,
    /// The lifetime that is asked for, in seconds.
    pub expires: u32,
    /// What to go over; what the next hop's address says where `None`.
    pub transport: Option<Transport>,
}

impl PublicationOptions {
    /// Our own presence, for an hour at a time.
    pub fn new(credentials: Credentials, body: impl Into<EventBody>) -> Self {
        Self {
            credentials,
            target: None,
            event: "presence".to_owned(),
            body: body.into(),
            route: None,
            expires: 3_600,
            transport: None,
        }
    }
}

/// The name of a publication for as long as the application runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub(crate) u64);

/// `publication-1`.
impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publication-{}", self.0)
    }
}

/// A state that is kept published: refreshed in time, tried again with growing waits, told anew when
/// the network changes or the server has forgotten it (412). What comes of it is told by
/// `SCPublication…` notifications.
///
/// A handle: cheap to clone, and every clone is the same publication. Dropping it ends nothing;
/// [`end`](Self::end) does, and so does stopping the application.
#[derive(Clone)]
pub struct Publication {
    id: PublicationId,
    commander: Commander,
}

impl Publication {
    pub(crate) fn new(id: PublicationId, commander: Commander) -> Self {
        Self { id, commander }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> PublicationId {
        self.id
    }

    /// Whether the server has a state of ours, as far as we know.
    pub fn is_published(&self) -> Reply<bool> {
        let id = self.id;
        self.commander.ask(move |engine, _| Ok(engine.is_published(id)))
    }

    /// Publishes another state in place of the one before; of several while a request is under way
    /// the last one. Ended already: nothing happens.
    pub fn update(&self, body: impl Into<EventBody>) -> Reply<()> {
        let (id, body) = (self.id, body.into());
        self.commander.ask(move |engine, now| {
            engine.update_publication(now, id, &body);
            Ok(())
        })
    }

    /// Publishes the state again at once.
    pub fn refresh(&self) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            engine.refresh_publication(now, id);
            Ok(())
        })
    }

    /// Removes it: `SCPublicationWillEnd`, and `SCPublicationDidEnd` once the server has answered.
    /// Ended already: nothing happens.
    pub fn end(&self) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            engine.end_publication(now, id);
            Ok(())
        })
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publication({})", self.id)
    }
}
