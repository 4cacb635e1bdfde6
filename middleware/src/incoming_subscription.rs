//! Somebody who follows a state of ours (RFC 6665 §4.2).

use std::fmt;

use sip_core::StatusCode;
use sip_core::usage::NotifierState;

use crate::driver::{Commander, Reply};
use crate::error::check_refusal;
use crate::presence::EventBody;

/// The name of a subscription of a peer's for as long as the application runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncomingSubscriptionId(pub(crate) u64);

/// `incoming-subscription-1`.
impl fmt::Display for IncomingSubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "incoming-subscription-{}", self.0)
    }
}

/// A peer's subscription to a package that [`Builder::events`](crate::Builder::events) opens: the
/// sender of `SCIncomingSubscriptionGotSubscribe`, after which the application decides within 20 s,
/// or the peer is answered 480. Refreshes are answered, and the state told again, without asking; it
/// runs out by itself. `SCIncomingSubscriptionDidEnd` is the last that is told of it.
///
/// A handle: cheap to clone, and every clone is the same subscription.
#[derive(Clone)]
pub struct IncomingSubscription {
    id: IncomingSubscriptionId,
    commander: Commander,
}

impl IncomingSubscription {
    pub(crate) fn new(id: IncomingSubscriptionId, commander: Commander) -> Self {
        Self { id, commander }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> IncomingSubscriptionId {
        self.id
    }

    /// Takes it, for `expires` seconds at most, and tells the state: `EventBody::Empty` where there is
    /// none to tell. Who asks for it once is told it once. An error if it was decided already.
    pub fn accept(&self, state: impl Into<EventBody>, expires: u32) -> Reply<()> {
        self.take(NotifierState::Active, state.into(), expires)
    }

    /// Takes it, for `expires` seconds at most, without a decision: the peer is told `pending` until
    /// [`notify`](Self::notify) tells it a state, or [`end`](Self::end) that there is none for it. An
    /// error if it was decided already.
    pub fn accept_pending(&self, expires: u32) -> Reply<()> {
        self.take(NotifierState::Pending, EventBody::Empty, expires)
    }

    fn take(&self, state: NotifierState, body: EventBody, expires: u32) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| engine.accept_subscriber(now, id, state, &body, expires))
    }

    /// Refuses it, with 403 as a rule; the status is from 300 to 699. An error if it was decided already.
    pub fn reject(&self, status: StatusCode) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            check_refusal(status)?;
            engine.reject_subscriber(now, id, status)
        })
    }

    /// Tells another state; of several while a notification is under way the last one. An error before
    /// it is taken and after its end.
    pub fn notify(&self, state: impl Into<EventBody>) -> Reply<()> {
        let (id, state) = (self.id, state.into());
        self.commander.ask(move |engine, now| engine.notify_subscriber(now, id, &state))
    }

    /// Ends it for a reason of RFC 6665 §4.1.3: `deactivated` (the peer asks again at once), `probation`
    /// (later), `rejected`, `giveup`, `noresource` (there is nothing to tell of any more) or `invariant`
    /// (it never changes). An error before it is taken, after its end, and if the reason is no token.
    pub fn end(&self, reason: impl Into<String>) -> Reply<()> {
        let (id, reason) = (self.id, reason.into());
        self.commander.ask(move |engine, now| engine.end_subscriber(now, id, &reason))
    }
}

impl fmt::Debug for IncomingSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncomingSubscription({})", self.id)
    }
}
