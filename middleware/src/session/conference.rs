//! Sessions whose peers hear each other, mixed here.

use std::fmt;

use super::{Session, SessionManager};
use crate::driver::Reply;

/// Names a conference for as long as the application runs; printed as `conference-1`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConferenceId(pub(crate) u64);

impl fmt::Display for ConferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conference-{}", self.0)
    }
}

/// A conference on this machine: each peer in it hears all the others beside us, and nobody hears
/// itself. The sessions stay what they were; one that ends, or loses its audio, has left.
///
/// A handle: cheap to clone, and every clone is the same conference. Dropping it takes nobody out.
///
/// ```no_run
/// # async fn example(manager: sipsimple::SessionManager, bob: sipsimple::Session, carol: sipsimple::Session)
/// # -> Result<(), sipsimple::Error> {
/// let conference = manager.new_conference();
/// conference.add(&bob).await?;
/// conference.add(&carol).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Conference {
    id: ConferenceId,
    manager: SessionManager,
}

impl Conference {
    pub(super) fn new(id: ConferenceId, manager: SessionManager) -> Self {
        Self { id, manager }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> ConferenceId {
        self.id
    }

    /// Adds a session, out of the conference that it may be in. Legal in ESTABLISHED with audio.
    pub fn add(&self, session: &Session) -> Reply<()> {
        session.set_conference(Some(self.id))
    }

    /// Takes a session out; it goes on by itself. An error if it is in no conference.
    pub fn remove(&self, session: &Session) -> Reply<()> {
        session.set_conference(None)
    }

    /// The sessions that are in it.
    pub fn sessions(&self) -> Vec<Session> {
        let mut sessions = self.manager.sessions();
        sessions.retain(|session| session.conference() == Some(self.id));
        sessions
    }
}

impl fmt::Debug for Conference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conference({})", self.id)
    }
}
