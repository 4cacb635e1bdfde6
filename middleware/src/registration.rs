//! An address kept registered (RFC 3261 §10).

use std::fmt;

use sip_core::Uri;
use sip_core::endpoint::Transport;

use crate::credentials::Credentials;
use crate::driver::{Commander, Reply};

/// What is to be registered, where and as whom.
#[derive(Clone, Debug)]
pub struct RegistrationOptions {
    /// The address of record and what proves that it is ours.
    pub credentials: Credentials,
    /// The registrar; the domain of the address where `None`.
    pub registrar: Option<Uri>,
    /// A proxy to go through.
    pub route: Option<Uri>,
    /// The lifetime that is asked for, in seconds.
    pub expires: u32,
    /// What to go over; what the next hop's address says where `None`.
    pub transport: Option<Transport>,
    /// The URN of this user agent, `urn:uuid:…`, which has to stay the same for ever (RFC 5626 §4.1).
    pub instance: Option<String>,
    /// Whether the registrar is to reach us over the flow that we register on (RFC 5626); needs
    /// `instance`.
    pub outbound: bool,
    /// Parameters of push notifications (RFC 8599 §4.1): `pn-provider`, `pn-prid`, `pn-param`.
    pub push: Vec<(String, String)>,
}

impl RegistrationOptions {
    /// With the registrar of the address's own domain, for an hour at a time.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            registrar: None,
            route: None,
            expires: 3_600,
            transport: None,
            instance: None,
            outbound: false,
            push: Vec::new(),
        }
    }
}

/// The name of a registration for as long as the application runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId(pub(crate) u64);

/// `registration-1`.
impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "registration-{}", self.0)
    }
}

/// An address kept registered: refreshed in time, tried again with growing waits, made again when the
/// network changes. What comes of it is told by `SCRegistration…` notifications.
///
/// A handle: cheap to clone, and every clone is the same registration. Dropping it ends nothing;
/// [`end`](Self::end) does, and so does stopping the application.
#[derive(Clone)]
pub struct Registration {
    id: RegistrationId,
    commander: Commander,
}

impl Registration {
    pub(crate) fn new(id: RegistrationId, commander: Commander) -> Self {
        Self { id, commander }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> RegistrationId {
        self.id
    }

    /// Whether the registrar knows us, as far as we know.
    pub fn is_registered(&self) -> Reply<bool> {
        let id = self.id;
        self.commander.ask(move |engine, _| Ok(engine.is_registered(id)))
    }

    /// Registers again at once, for instance because the network is another one.
    pub fn refresh(&self) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            engine.refresh_registration(now, id);
            Ok(())
        })
    }

    /// Removes it: `SCRegistrationWillEnd`, and `SCRegistrationDidEnd` once the registrar has
    /// answered. Ended already: nothing happens.
    pub fn end(&self) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            engine.end_registration(now, id);
            Ok(())
        })
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.id)
    }
}
