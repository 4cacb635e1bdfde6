//! Sessions with audio and chat over SIP.
//!
//! An application asks for a session to a SIP address; this crate rings, negotiates, encrypts,
//! mixes, records and delivers, and tells everything through notifications. It is the client
//! middleware API that SIP SIMPLE drew up in 2009, in Rust.
//!
//! The [book] has a [quick start](book::quick_start), the [map from 2009](book::from_2009), and
//! chapters on [NATs](book::nat), [security](book::security) and [threads](book::threads).

mod account;
mod application;
pub mod book;
pub mod configuration;
mod credentials;
pub mod diagnostics;
mod driver;
mod engine;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod incoming_referral;
mod incoming_subscription;
mod messaging;
mod negotiation;
pub mod notification;
pub mod presence;
mod publication;
mod registration;
pub mod session;
pub mod settings;
mod streams;
mod subscription;
pub mod trace;

pub use account::Account;
pub use application::{Application, Builder, MediaStatistics};
pub use credentials::Credentials;
pub use driver::{AudioStatistics, PcmMark, PcmReader, PcmWriter, Reply};
pub use error::Error;
pub use incoming_referral::{IncomingReferral, IncomingReferralId};
pub use incoming_subscription::{IncomingSubscription, IncomingSubscriptionId};
pub use messaging::OutgoingMessage;
pub use publication::{Publication, PublicationId, PublicationOptions};
pub use registration::{Registration, RegistrationId, RegistrationOptions};
pub use session::{Session, SessionManager, State, StreamSet};
pub use sip_core::{StatusCode, Uri};
pub use streams::{MsrpChat, MsrpFileTransfer};
pub use subscription::{Subscription, SubscriptionId, SubscriptionOptions};
