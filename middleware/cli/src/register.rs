//! `sipsimple register`: an address, kept registered.

use std::sync::Arc;

use sipsimple::notification::{Event, RegistrationEvent};
use sipsimple::{Application, Registration, RegistrationOptions};

use crate::Failure;
use crate::agent::{Agent, later};
use crate::arguments::{Common, Register, Registrar};
use crate::identity::{address, credentials};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Register, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let mut agent = Agent::without_media(&options.common, false, output).await?;
    let registration =
        begin(&options.common, &options.registrar, options.from.as_deref(), &agent.application)?;
    let mut failure = None;
    if let Some(seconds) = options.seconds {
        let registration = registration.clone();
        later(seconds, move || drop(registration.end()));
    }
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            // Stopping ends it too.
            () = leave.asked() => break,
        };
        let Some(notification) = notification else { break };
        match notification.event() {
            Event::Registration(RegistrationEvent::DidSucceed { .. }) => failure = None,
            Event::Registration(RegistrationEvent::DidFail { code, reason, retry_after, .. }) => {
                let status = if *code == 0 { String::new() } else { format!("{code} ") };
                failure = Some(format!("the registration failed: {status}{reason}"));
                // Another try follows, unless this one can't be mended by trying.
                if retry_after.is_none() {
                    break;
                }
            }
            Event::Registration(RegistrationEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    agent.application.stop().await;
    failure.map_or(Ok(()), |reason| Err(Failure::Failed(reason)))
}

/// Starts what the options say.
pub(crate) fn begin(
    common: &Common,
    registrar: &Registrar,
    from: Option<&str>,
    application: &Application,
) -> Result<Registration, Failure> {
    let credentials = credentials(common, from, application)?;
    let options = RegistrationOptions {
        registrar: registrar.registrar.as_deref().map(|uri| address("--registrar", uri)).transpose()?,
        route: common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?,
        expires: registrar.expires,
        ..RegistrationOptions::new(credentials)
    };
    Ok(application.register(options))
}

/// Waits until a registration that was begun has come about, or can't.
pub(crate) async fn done(agent: &mut Agent) -> Result<(), Failure> {
    while let Some(notification) = agent.notifications.next().await {
        match notification.event() {
            Event::Registration(RegistrationEvent::DidSucceed { .. }) => return Ok(()),
            Event::Registration(RegistrationEvent::DidFail { code, reason, .. }) => {
                return Err(Failure::Failed(format!("the registration failed: {code} {reason}")));
            }
            _ => {}
        }
    }
    Err(Failure::Failed("the registration came to no end".to_owned()))
}
