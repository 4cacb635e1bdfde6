//! What dialogs are used for (RFC 5057): calls and registrations.

mod invite;

pub(crate) use invite::{Answer, Cancel, InviteUsage, Phase, ToAck};
