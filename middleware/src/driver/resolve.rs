//! Host names for SIP, by the system's resolver.

use std::net::SocketAddr;

use sip_core::endpoint::{QueryId, Resolution, Target};
use tokio::sync::mpsc;

/// The answer to a query of the endpoint.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) query: QueryId,
    pub(super) result: Result<Vec<Target>, String>,
}

/// Looks the name up, and tells `answers`.
pub(super) fn resolve(query: QueryId, question: Resolution, answers: mpsc::UnboundedSender<Resolved>) {
    tokio::spawn(async move {
        let Resolution { host, port, transport, .. } = question;
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let result = match found {
            Ok(addresses) => {
                let target = |addr: SocketAddr| Target { addr, transport };
                let targets: Vec<_> = addresses.map(target).collect();
                if targets.is_empty() { Err(format!("{host} has no address")) } else { Ok(targets) }
            }
            Err(error) => Err(format!("{host}: {error}")),
        };
        // Nobody to tell: the application has stopped.
        let _ = answers.send(Resolved { query, result });
    });
}
