//! Sessions: the handle that applications hold, the manager, and the machine behind them.

mod attributes;
mod conference;
mod effect;
mod file;
mod handle;
pub(crate) mod machine;
mod manager;
mod options;
mod snapshot;
mod state;
mod streams;

pub use conference::{Conference, ConferenceId};
pub use effect::{
    AudioParameters, AudioPreparation, ChatAction, ChatMessage, ChatParameters, ChatPreparation, Chatroom,
    DtlsParameters, FileParameters, FilePreparation, FileSource, IceParameters, IcePreparation, IceSelection,
    IceState, MediaCommand, MediaEvent, MsrpPlace, ReceivedMessage, RelayPreparation, SrtpKey,
    SrtpParameters, StreamId,
};
pub(crate) use effect::{Effect, SipAction};
pub use file::{FileDirection, FileIcon, FileInfo, FileSnapshot, FileToSend, ProposedFile};
pub(crate) use handle::Directory;
pub use handle::Session;
pub use manager::SessionManager;
pub use options::{AcceptOptions, AutoAnswer, ConnectOptions, DtmfMethod, MessageOptions, TransferOptions};
pub(crate) use options::{Invitation, auto_answer_headers, auto_answer_wish};
pub use snapshot::{AudioSnapshot, ChatSnapshot, Direction, RemoteHeaders, SessionSnapshot};
pub use state::{Operation, State};
pub use streams::StreamSet;

use std::fmt;

/// Names a session for as long as the application runs; printed as `session-7`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

impl SessionId {
    /// The number in its name.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session-{}", self.0)
    }
}
