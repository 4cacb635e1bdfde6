//! What dialogs are used for (RFC 5057): calls and registrations.

mod invite;
mod registrar;
mod registration;
mod reliable;
mod session_timer;

pub(crate) use invite::{Answer, Cancel, Early, InviteUsage, Phase, ToAck};
pub use registrar::{Registrar, RegistrarConfig};
pub use registration::{Registration, RegistrationConfig, RegistrationOutput};
pub use reliable::Reliable;
pub(crate) use reliable::{Acknowledged, Held, Queued, ReliableAction, ReliableClient, ReliableServer};
pub use session_timer::{RefreshBy, SessionTimers, TimerMode};
pub(crate) use session_timer::{SessionTimer, TimerAction, TimerRefusal};
