//! `sipsimple subscribe`: a state, followed.

use std::sync::Arc;

use sipsimple::SubscriptionOptions;
use sipsimple::notification::{Event, SubscriptionEvent};

use crate::Failure;
use crate::agent::{Agent, later};
use crate::arguments::Subscribe;
use crate::identity::{address, credentials};
use crate::keep::{Turn, keep};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Subscribe, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let target = address("the address to follow", &options.uri)?;
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let agent = Agent::without_media(&options.common, false, output).await?;
    let credentials = credentials(&options.common, options.from.as_deref(), &agent.application)?;
    let subscription = agent.application.subscribe(SubscriptionOptions {
        route,
        expires: options.lifetime,
        ..SubscriptionOptions::new(options.event, target, credentials)
    });
    if let Some(seconds) = options.seconds {
        let subscription = subscription.clone();
        later(seconds, move || drop(subscription.end()));
    }
    keep(agent, "subscription", leave, |event| match event {
        Event::Subscription(SubscriptionEvent::DidSucceed { .. }) => Some(Turn::Holds),
        Event::Subscription(SubscriptionEvent::DidFail { code, reason, .. }) => {
            Some(Turn::Failed(*code, reason.clone()))
        }
        Event::Subscription(SubscriptionEvent::DidEnd { .. }) => Some(Turn::Over),
        _ => None,
    })
    .await
}
