//! `sipsimple publish`: our presence, kept published.

use std::sync::Arc;

use sipsimple::PublicationOptions;
use sipsimple::notification::{Event, PublicationEvent};
use sipsimple::presence::{Activity, Basic, Note, Presence};

use crate::Failure;
use crate::agent::{Agent, later};
use crate::arguments::{PresenceStatus, Publish};
use crate::identity::{address, credentials};
use crate::keep::{Turn, keep};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Publish, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let agent = Agent::without_media(&options.common, false, output).await?;
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
    if let Some(seconds) = options.seconds {
        let publication = publication.clone();
        later(seconds, move || drop(publication.end()));
    }
    keep(agent, "publication", leave, |event| match event {
        Event::Publication(PublicationEvent::DidSucceed { .. }) => Some(Turn::Holds),
        Event::Publication(PublicationEvent::DidFail { code, reason, retry_after, .. }) => {
            Some(Turn::failed(*code, reason, *retry_after))
        }
        Event::Publication(PublicationEvent::DidEnd { .. }) => Some(Turn::Over),
        _ => None,
    })
    .await
}
