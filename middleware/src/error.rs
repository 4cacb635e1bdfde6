//! What can be wrong with a call of this API.

use sip_core::StatusCode;

use crate::session::{Operation, State};

/// The caller was wrong, or what it asked for cannot be had.
///
/// What a *peer* does wrong never arrives here: it is told by notifications.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The method is not legal in this state; nothing was changed.
    #[error("{operation} is not legal in state {state}, only in {}", names(operation.legal_in()))]
    IllegalState {
        /// What was asked for.
        operation: Operation,
        /// The state that the session is in.
        state: State,
    },
    /// The method's arguments or the session's streams do not allow it; nothing was changed.
    #[error("{operation}: {reason}")]
    NotPossible {
        /// What was asked for.
        operation: Operation,
        /// Why it can't be, in words.
        reason: String,
    },
    /// A value is not what it must be.
    #[error("{what}: {value:?} is not {expected}")]
    BadValue {
        /// Which value.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// There is no such entry.
    #[error("{what} {name:?} is unknown")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name it was looked for by.
        name: String,
    },
    /// The system refused: an address in use, a file that cannot be opened.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        reason: String,
    },
    /// A stream on its own cannot do that, or not now; nothing was changed.
    #[error("{stream}: {reason}")]
    Stream {
        /// Which kind of stream.
        stream: &'static str,
        /// Why it can't be, in words.
        reason: String,
    },
    /// What a peer asked for does not allow that, or not any more; nothing was changed.
    #[error("{request}: {reason}")]
    NotNow {
        /// Which request of the peer's.
        request: String,
        /// Why it can't be, in words.
        reason: String,
    },
    /// The application has been stopped.
    #[error("the application has been stopped")]
    Stopped,
}

/// What a peer is refused with says no.
pub(crate) fn check_refusal(status: StatusCode) -> Result<(), Error> {
    if status.code() < 300 {
        let value = status.code().to_string();
        return Err(Error::BadValue { what: "status", value, expected: "from 300 to 699" });
    }
    Ok(())
}

fn names(states: &[State]) -> String {
    states.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ")
}

impl Error {
    pub(crate) fn not_possible(operation: Operation, reason: impl Into<String>) -> Self {
        Error::NotPossible { operation, reason: reason.into() }
    }

    pub(crate) fn not_now(request: impl ToString, reason: impl ToString) -> Self {
        Error::NotNow { request: request.to_string(), reason: reason.to_string() }
    }
}
