//! What dialogs are used for (RFC 5057): calls and registrations.

mod invite;
mod registrar;
mod registration;

pub(crate) use invite::{Answer, Cancel, InviteUsage, Phase, ToAck};
pub use registrar::{Registrar, RegistrarConfig};
pub use registration::{Registration, RegistrationConfig, RegistrationOutput};
