//! Somebody who asks us, outside of any session, to call somebody (RFC 3515).

use std::fmt;

use sip_core::StatusCode;

use crate::credentials::Credentials;
use crate::driver::{Commander, Reply};
use crate::error::check_refusal;
use crate::session::{Session, StreamSet};

/// The name of such a request for as long as the application runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncomingReferralId(pub(crate) u64);

/// `incoming-referral-1`.
impl fmt::Display for IncomingReferralId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "incoming-referral-{}", self.0)
    }
}

/// A REFER outside of sessions, which [`Builder::referrals`](crate::Builder::referrals) opens: the sender
/// of `SCIncomingReferralGotRefer`, after which the application decides within 20 s, or the peer is
/// answered 480. `SCIncomingReferralDidEnd` is the last that is told of it.
///
/// Whoever may ask us so has us call whom it likes, at our cost: look at who asks.
///
/// A handle: cheap to clone, and every clone is the same request.
#[derive(Clone)]
pub struct IncomingReferral {
    id: IncomingReferralId,
    commander: Commander,
}

impl IncomingReferral {
    pub(crate) fn new(id: IncomingReferralId, commander: Commander) -> Self {
        Self { id, commander }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> IncomingReferralId {
        self.id
    }

    /// Does it: gives the new session, which calls whom the peer said, as these credentials and with these
    /// streams. The peer is answered 202 and told how far it is, unless it does not want to know (RFC 4488).
    /// An error if it was decided already, and without a stream.
    pub fn accept(&self, credentials: Credentials, streams: StreamSet) -> Reply<Session> {
        let (id, commander) = (self.id, self.commander.clone());
        self.commander.ask(move |engine, now| {
            let (session, config) = engine.accept_referral(now, id, credentials, streams)?;
            Ok(Session::new(session, commander, config))
        })
    }

    /// Refuses it, with 603 as a rule; the status is from 300 to 699. An error if it was decided already.
    pub fn reject(&self, status: StatusCode) -> Reply<()> {
        let id = self.id;
        self.commander.ask(move |engine, now| {
            check_refusal(status)?;
            engine.reject_referral(now, id, status)
        })
    }
}

impl fmt::Debug for IncomingReferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncomingReferral({})", self.id)
    }
}
