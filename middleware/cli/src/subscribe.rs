//! `sipsimple subscribe`: a state, followed.

use std::sync::Arc;

use sipsimple::SubscriptionOptions;
use sipsimple::notification::{Event, SubscriptionEvent};

use crate::Failure;
use crate::agent::{Agent, later};
use crate::arguments::Subscribe;
use crate::identity::{address, credentials};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Subscribe, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let target = address("the address to follow", &options.uri)?;
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let mut agent = Agent::without_media(&options.common, false, output).await?;
    let credentials = credentials(&options.common, options.from.as_deref(), &agent.application)?;
    let subscription = agent.application.subscribe(SubscriptionOptions {
        route,
        expires: options.lifetime,
        ..SubscriptionOptions::new(options.event, target, credentials)
    });
    let mut failure = None;
    if let Some(seconds) = options.seconds {
        let subscription = subscription.clone();
        later(seconds, move || drop(subscription.end()));
    }
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            // Stopping ends it too.
            () = leave.asked() => break,
        };
        let Some(notification) = notification else { break };
        match notification.event() {
            Event::Subscription(SubscriptionEvent::DidSucceed { .. }) => failure = None,
            Event::Subscription(SubscriptionEvent::DidFail { code, reason, .. }) => {
                let status = if *code == 0 { String::new() } else { format!("{code} ") };
                failure = Some(format!("the subscription failed: {status}{reason}"));
            }
            Event::Subscription(SubscriptionEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    agent.application.stop().await;
    failure.map_or(Ok(()), |reason| Err(Failure::Failed(reason)))
}
