//! MSRP streams that can be used without a session, by whoever has another way to exchange descriptions.
//!
//! A stream is initialized, which gives [`local_media`](MsrpChat::local_media): a session description with one
//! m-line. It is started with the description of the other side. In a [`Session`](crate::Session) the same
//! streams do all this by themselves.

mod chat;
mod transfer;

pub use chat::MsrpChat;
pub use transfer::MsrpFileTransfer;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use sip_core::Uri;

use crate::configuration::{MsrpConfiguration, RtpConfiguration, SessionTimers};
use crate::driver;
use crate::session::machine::SessionConfig;
use crate::session::{ChatPreparation, StreamSet};

/// Streams are numbered through.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

fn next_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

fn session_config(msrp: MsrpConfiguration) -> SessionConfig {
    let default_address =
        msrp.local_ip.or_else(|| driver::outbound_address(true)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SessionConfig {
        rtp: RtpConfiguration::default(),
        msrp,
        timers: SessionTimers::default(),
        accepts: StreamSet::ALL,
        auto_answer: crate::session::AutoAnswer::Never,
        default_address,
    }
}

fn preparation(config: &SessionConfig, tls: bool) -> ChatPreparation {
    ChatPreparation { address: config.default_address, port: config.msrp.local_port, tls, relay: None }
}

fn text(uri: &Uri) -> String {
    uri.to_string()
}

fn random_id() -> String {
    msrp_cpim::IdSource::new(driver::seed()).next_id()
}
