//! What dialogs are used for (RFC 5057): calls and registrations.

mod invite;
mod registration;

pub(crate) use invite::{Answer, Cancel, InviteUsage, Phase, ToAck};
pub use registration::{Registration, RegistrationConfig, RegistrationOutput};
