//! `sipsimple publish`: our presence, kept published.

use std::sync::Arc;

use sipsimple::PublicationOptions;
use sipsimple::notification::{Event, PublicationEvent};
use sipsimple::presence::{Activity, Basic, Note, Presence};

use crate::Failure;
use crate::agent::{Agent, later};
use crate::arguments::{PresenceStatus, Publish};
use crate::identity::{address, credentials};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Publish, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let mut agent = Agent::without_media(&options.common, false, output).await?;
    let credentials = credentials(&options.common, options.from.as_deref(), &agent.application)?;
    let basic = match options.status {
        PresenceStatus::Open => Basic::Open,
        PresenceStatus::Closed => Basic::Closed,
    };
    let us = credentials.uri.to_string();
    let notes = options.note.iter().map(Note::new);
    let activities = options.activity.iter().map(|name| Activity::from_name(name));
    let now = std::time::SystemTime::from(jiff::Timestamp::now());
    let presence = Presence::to_publish(us.clone(), us, basic, notes, activities, now);
    let publication = agent.application.publish(PublicationOptions {
        route,
        expires: options.lifetime,
        ..PublicationOptions::new(credentials, presence)
    });
    let mut failure = None;
    if let Some(seconds) = options.seconds {
        let publication = publication.clone();
        later(seconds, move || drop(publication.end()));
    }
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            // Stopping ends it too.
            () = leave.asked() => break,
        };
        let Some(notification) = notification else { break };
        match notification.event() {
            Event::Publication(PublicationEvent::DidSucceed { .. }) => failure = None,
            Event::Publication(PublicationEvent::DidFail { code, reason, retry_after, .. }) => {
                let status = if *code == 0 { String::new() } else { format!("{code} ") };
                failure = Some(format!("the publication failed: {status}{reason}"));
                // Another try follows, unless this one can't be mended by trying.
                if retry_after.is_none() {
                    break;
                }
            }
            Event::Publication(PublicationEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    agent.application.stop().await;
    failure.map_or(Ok(()), |reason| Err(Failure::Failed(reason)))
}
