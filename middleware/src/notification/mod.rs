//! What happens is told through notifications: one enum per subject, one centre.
//!
//! A [`Notification`] says *what* ([`Event`], whose [`name`](Event::name) is the bus name of the
//! 2009 API, such as `SCSessionDidStart`), *who* ([`Sender`]) and *when*. Serial numbers are
//! total: of two notifications the one with the lower serial happened first.
//!
//! ```
//! use sipsimple::notification::{Filter, NotificationCenter};
//!
//! let center = NotificationCenter::new();
//! let subscription = center.observe(Filter::any().name("SCSessionDidEnd"), |notification| {
//!     println!("{} ended", notification.sender());
//! });
//! drop(subscription); // ends it
//! ```

mod backlog;
mod center;
mod chat;
mod event;
mod file;
mod filter;
mod incoming;
mod services;
mod session;
mod settings;
mod stream;
mod value;

pub(crate) use backlog::Backlog;
pub use center::{NotificationCenter, Subscription};
pub use chat::{ChatFailureContext, MsrpChatEvent};
pub use event::{Event, Originator};
pub use file::{MsrpFileTransferEvent, MsrpFileTransferEventKind};
pub use filter::Filter;
pub use incoming::{IncomingReferralEvent, IncomingSubscriptionEvent};
pub use services::{MessageEvent, PublicationEvent, RegistrationEvent, SubscriptionEvent};
pub use session::SessionEvent;
pub use settings::{SettingChange, SettingsEvent};
pub use stream::NotificationStream;
pub use value::Value;

use std::fmt;
use std::time::SystemTime;

use crate::incoming_referral::IncomingReferral;
use crate::incoming_subscription::IncomingSubscription;
use crate::publication::Publication;
use crate::registration::Registration;
use crate::session::Session;
use crate::streams::{MsrpChat, MsrpFileTransfer};

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Notification {
    serial: u64,
    timestamp: SystemTime,
    sender: Sender,
    event: Event,
}

impl Notification {
    pub(crate) fn new(serial: u64, timestamp: SystemTime, sender: Sender, event: Event) -> Self {
        Self { serial, timestamp, sender, event }
    }

    /// Position in the total order of this centre's notifications, from 1.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Wall-clock time at which it happened.
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp
    }

    /// The object it is about.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// What happened, with its data.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The bus name, such as `SCSessionNewIncoming`.
    pub fn name(&self) -> &'static str {
        self.event.name()
    }

    /// The session it is about, where it is about one.
    pub fn session(&self) -> Option<&Session> {
        match &self.sender {
            Sender::Session(session) => Some(session),
            _ => None,
        }
    }

    /// The file transfer event, where it is one.
    pub fn file_event(&self) -> Option<&MsrpFileTransferEvent> {
        match &self.event {
            Event::MsrpFileTransfer(event) => Some(event),
            _ => None,
        }
    }

    /// The session event, where it is one.
    pub fn session_event(&self) -> Option<&SessionEvent> {
        match &self.event {
            Event::Session(event) => Some(event),
            _ => None,
        }
    }
}

/// The object that a notification is about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Sender {
    /// The application as a whole.
    Application,
    /// A session.
    Session(Session),
    /// A registration.
    Registration(Registration),
    /// A chat stream without a session.
    MsrpChat(MsrpChat),
    /// A file transfer without a session.
    MsrpFileTransfer(MsrpFileTransfer),
    /// A subscription.
    Subscription(crate::subscription::Subscription),
    /// A publication.
    Publication(Publication),
    /// A subscription of a peer's.
    IncomingSubscription(IncomingSubscription),
    /// What a peer asks for outside of sessions.
    IncomingReferral(IncomingReferral),
    /// The settings of the agent.
    Settings,
    /// An account, by its address without `sip:`.
    Account(String),
}

impl Sender {
    /// Whether both are the same object.
    pub fn is(&self, other: &Sender) -> bool {
        match (self, other) {
            (Sender::Application, Sender::Application) => true,
            (Sender::Session(a), Sender::Session(b)) => a.id() == b.id(),
            (Sender::Registration(a), Sender::Registration(b)) => a.id() == b.id(),
            (Sender::MsrpChat(a), Sender::MsrpChat(b)) => a.number() == b.number(),
            (Sender::MsrpFileTransfer(a), Sender::MsrpFileTransfer(b)) => a.number() == b.number(),
            (Sender::Subscription(a), Sender::Subscription(b)) => a.id() == b.id(),
            (Sender::Publication(a), Sender::Publication(b)) => a.id() == b.id(),
            (Sender::IncomingSubscription(a), Sender::IncomingSubscription(b)) => a.id() == b.id(),
            (Sender::IncomingReferral(a), Sender::IncomingReferral(b)) => a.id() == b.id(),
            (Sender::Settings, Sender::Settings) => true,
            (Sender::Account(a), Sender::Account(b)) => a == b,
            _ => false,
        }
    }
}

/// Each handle is a sender.
macro_rules! handle {
    ($($sender:ident $handle:ty;)*) => {$(
        impl From<&$handle> for Sender {
            fn from(handle: &$handle) -> Self {
                Sender::$sender(handle.clone())
            }
        }
    )*};
}

handle! {
    Session Session;
    Registration Registration;
    Subscription crate::subscription::Subscription;
    Publication Publication;
    IncomingSubscription IncomingSubscription;
    IncomingReferral IncomingReferral;
}

/// `application`, `session-7`, `registration-1`, `subscription-1`, `publication-1`, `incoming-subscription-1`,
/// `incoming-referral-1`, `settings`, `account alice@example.com`.
impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Application => f.write_str("application"),
            Sender::Session(session) => write!(f, "{}", session.id()),
            Sender::Registration(registration) => write!(f, "{}", registration.id()),
            Sender::MsrpChat(chat) => write!(f, "msrp-chat-{}", chat.number()),
            Sender::MsrpFileTransfer(transfer) => write!(f, "msrp-file-transfer-{}", transfer.number()),
            Sender::Subscription(subscription) => write!(f, "{}", subscription.id()),
            Sender::Publication(publication) => write!(f, "{}", publication.id()),
            Sender::IncomingSubscription(subscription) => write!(f, "{}", subscription.id()),
            Sender::IncomingReferral(referral) => write!(f, "{}", referral.id()),
            Sender::Settings => f.write_str("settings"),
            Sender::Account(id) => write!(f, "account {id}"),
        }
    }
}
