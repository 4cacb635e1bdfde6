//! `sipsimple register`: an address, kept registered.

use std::sync::Arc;

use sipsimple::notification::{Event, RegistrationEvent};
use sipsimple::{Application, Registration, RegistrationOptions};

use crate::Failure;
use crate::agent::{Agent, later};
use crate::arguments::{Common, Register, Registrar};
use crate::identity::{address, credentials};
use crate::keep::{Turn, keep};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Register, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let agent = Agent::without_media(&options.common, false, output).await?;
    let registration =
        begin(&options.common, &options.registrar, options.from.as_deref(), &agent.application)?;
    if let Some(seconds) = options.seconds {
        let registration = registration.clone();
        later(seconds, move || drop(registration.end()));
    }
    keep(agent, "registration", leave, |event| match event {
        Event::Registration(RegistrationEvent::DidSucceed { .. }) => Some(Turn::Holds),
        Event::Registration(RegistrationEvent::DidFail { code, reason, retry_after, .. }) => {
            Some(Turn::failed(*code, reason, *retry_after))
        }
        Event::Registration(RegistrationEvent::DidEnd { .. }) => Some(Turn::Over),
        _ => None,
    })
    .await
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
