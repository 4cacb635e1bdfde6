//! What dialogs are used for (RFC 5057): calls, subscriptions, publications and registrations.

mod invite;
mod notifier;
mod publication;
mod redirection;
mod registrar;
mod registration;
mod reliable;
mod session_timer;
mod sipfrag;
mod subscription;

pub(crate) use invite::{Answer, Cancel, Early, InviteUsage, Phase, ToAck};
pub use notifier::NotifierState;
pub(crate) use notifier::{Notice, NotifierMachine};
pub use publication::{Publication, PublicationConfig, PublicationOutput};
pub use redirection::{Redirection, redirect_contacts};
pub use registrar::{Registrar, RegistrarConfig};
pub use registration::{Registration, RegistrationConfig, RegistrationOutput};
pub use reliable::Reliable;
pub(crate) use reliable::{
    Acknowledged, Held, Queued, ReliableAction, ReliableClient, ReliableServer, Repeated,
};
pub use session_timer::{RefreshBy, SessionTimers, TimerMode};
pub(crate) use session_timer::{SessionTimer, TimerAction, TimerRefusal};
pub use sipfrag::Sipfrag;
pub(crate) use subscription::{Subscriber, SubscriberAction};
