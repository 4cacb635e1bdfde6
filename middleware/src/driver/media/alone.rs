//! MSRP streams without a session around them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::chat::{self, ChatCommand};
use super::file::{self, FileCommand};
use super::msrp::Ends;
use super::tls::Identity;
use crate::configuration::TlsConfiguration;
use crate::driver::resolve::Resolver;
use crate::driver::transport::Security;
use crate::error::Error;
use crate::notification::Backlog;
use crate::session::{
    ChatAction, ChatMessage, ChatParameters, ChatPreparation, FileParameters, FilePreparation, MediaEvent,
};

/// A stream that runs; dropping it ends it, and its last event is [`MediaEvent::Stopped`].
pub(crate) struct AloneStream(Kind);

enum Kind {
    Chat(mpsc::UnboundedSender<ChatCommand>),
    File(mpsc::UnboundedSender<FileCommand>),
}

impl AloneStream {
    /// Prepares a chat, on the runtime that this is called in.
    pub(crate) fn chat(
        preparation: ChatPreparation,
        backlog: Backlog,
        tell: impl Fn(MediaEvent) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (commands, received) = mpsc::unbounded_channel();
        tokio::spawn(chat::run(ends()?, preparation, received, backlog, tell));
        Ok(Self(Kind::Chat(commands)))
    }

    /// Prepares a file transfer.
    pub(crate) fn file(
        preparation: FilePreparation,
        tell: impl Fn(MediaEvent) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (commands, received) = mpsc::unbounded_channel();
        tokio::spawn(file::run(ends()?, Box::new(preparation), received, tell));
        Ok(Self(Kind::File(commands)))
    }

    pub(crate) fn run_chat(&self, parameters: ChatParameters) {
        if let Kind::Chat(commands) = &self.0 {
            // A task that has ended has told of it.
            let _ = commands.send(ChatCommand::Run(Box::new(parameters)));
        }
    }

    pub(crate) fn run_file(&self, parameters: FileParameters) {
        if let Kind::File(commands) = &self.0 {
            let _ = commands.send(FileCommand::Run(Box::new(parameters)));
        }
    }

    /// Does something in a chat; gives back whether somebody does it.
    pub(crate) fn act(&self, action: ChatAction) -> bool {
        match &self.0 {
            Kind::Chat(commands) => commands.send(ChatCommand::Act(action)).is_ok(),
            Kind::File(_) => false,
        }
    }

    /// Hands a message over; gives back whether somebody takes it.
    pub(crate) fn send(&self, message: ChatMessage) -> bool {
        match &self.0 {
            Kind::Chat(commands) => commands.send(ChatCommand::Send(Box::new(message))).is_ok(),
            Kind::File(_) => false,
        }
    }
}

fn ends() -> Result<Ends, Error> {
    let identity = Identity::generate().map_err(|error| Error::System {
        what: "a certificate for MSRP".to_owned(),
        reason: error.to_string(),
    })?;
    let security = Arc::new(Security::new(TlsConfiguration::default()));
    let (answers, _) = mpsc::unbounded_channel();
    Ok(Ends::new(identity, security, None, Resolver::new(&[], answers), None))
}
