//! What is told, by its subject.

use std::fmt;

use super::chat::MsrpChatEvent;
use super::file::MsrpFileTransferEvent;
use super::incoming::{IncomingReferralEvent, IncomingSubscriptionEvent};
use super::services::{MessageEvent, PublicationEvent, RegistrationEvent, SubscriptionEvent};
use super::session::SessionEvent;
use super::settings::SettingsEvent;
use super::value::Value;

/// Who caused something.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Originator {
    /// This side.
    Local,
    /// The peer.
    Remote,
}

impl fmt::Display for Originator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Originator::Local => "local",
            Originator::Remote => "remote",
        })
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// In the life of a session.
    Session(SessionEvent),
    /// On an MSRP chat stream.
    MsrpChat(MsrpChatEvent),
    /// On an MSRP file transfer.
    MsrpFileTransfer(MsrpFileTransferEvent),
    /// Of a registration.
    Registration(RegistrationEvent),
    /// Of a subscription.
    Subscription(SubscriptionEvent),
    /// Of a publication.
    Publication(PublicationEvent),
    /// Of a subscription of a peer's.
    IncomingSubscription(IncomingSubscriptionEvent),
    /// Of what a peer asks for outside of sessions.
    IncomingReferral(IncomingReferralEvent),
    /// Of messages outside of sessions.
    Message(MessageEvent),
    /// Of settings and accounts.
    Settings(SettingsEvent),
}

impl Event {
    /// The bus name: the class of the sender and what happened.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Session(event) => event.name(),
            Event::MsrpChat(event) => event.name(),
            Event::MsrpFileTransfer(event) => event.name(),
            Event::Registration(event) => event.name(),
            Event::Subscription(event) => event.name(),
            Event::Publication(event) => event.name(),
            Event::IncomingSubscription(event) => event.name(),
            Event::IncomingReferral(event) => event.name(),
            Event::Message(event) => event.name(),
            Event::Settings(event) => event.name(),
        }
    }

    /// The data by name, for programs that print or forward it.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Event::Session(event) => event.data(),
            Event::MsrpChat(event) => event.data(),
            Event::MsrpFileTransfer(event) => event.data(),
            Event::Registration(event) => event.data(),
            Event::Subscription(event) => event.data(),
            Event::Publication(event) => event.data(),
            Event::IncomingSubscription(event) => event.data(),
            Event::IncomingReferral(event) => event.data(),
            Event::Message(event) => event.data(),
            Event::Settings(event) => event.data(),
        }
    }
}

/// Each event is one of its subject.
macro_rules! of_subject {
    ($($subject:ident $event:ident;)*) => {$(
        impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Event::$subject(event)
            }
        }
    )*};
}

of_subject! {
    Session SessionEvent;
    MsrpChat MsrpChatEvent;
    MsrpFileTransfer MsrpFileTransferEvent;
    Registration RegistrationEvent;
    Subscription SubscriptionEvent;
    Publication PublicationEvent;
    IncomingSubscription IncomingSubscriptionEvent;
    IncomingReferral IncomingReferralEvent;
    Message MessageEvent;
    Settings SettingsEvent;
}
