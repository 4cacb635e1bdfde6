//! What `register`, `subscribe` and `publish` have in common: something that is kept until it is over.

use sipsimple::notification::Event;

use crate::Failure;
use crate::agent::Agent;
use crate::leave::Leave;

/// What a notification means for it.
pub(crate) enum Turn {
    /// It is there.
    Holds,
    /// A try failed: with this status, 0 for none, and why.
    Failed(u16, String),
    /// Likewise, and there will be no other.
    Refused(u16, String),
    Over,
}

impl Turn {
    /// A try that failed, after which there is another one or not.
    pub(crate) fn failed(code: u16, reason: &str, retry_after: Option<u32>) -> Self {
        match retry_after {
            Some(_) => Self::Failed(code, reason.to_owned()),
            None => Self::Refused(code, reason.to_owned()),
        }
    }
}

/// Waits until it is over or we are asked to leave, and stops the application, which ends it too. An error when the
/// last try failed.
pub(crate) async fn keep(
    mut agent: Agent,
    what: &str,
    leave: &Leave,
    turn: impl Fn(&Event) -> Option<Turn>,
) -> Result<(), Failure> {
    let mut failure = None;
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            () = leave.asked() => break,
        };
        let Some(notification) = notification else { break };
        let (code, reason, ends) = match turn(notification.event()) {
            None => continue,
            Some(Turn::Over) => break,
            Some(Turn::Holds) => {
                failure = None;
                continue;
            }
            Some(Turn::Failed(code, reason)) => (code, reason, false),
            Some(Turn::Refused(code, reason)) => (code, reason, true),
        };
        let status = if code == 0 { String::new() } else { format!("{code} ") };
        failure = Some(format!("the {what} failed: {status}{reason}"));
        if ends {
            break;
        }
    }
    agent.application.stop().await;
    failure.map_or(Ok(()), |reason| Err(Failure::Failed(reason)))
}
