//! `sipsimple listen`: wait for sessions and answer them.

use std::path::PathBuf;
use std::sync::Arc;

use sipsimple::notification::SessionEvent;
use sipsimple::session::AcceptOptions;
use sipsimple::{Session, StatusCode, StreamSet};

use crate::Failure;
use crate::agent::{Agent, Place, attend, join, later};
use crate::arguments::{Listen, StreamArgument};
use crate::identity;
use crate::leave::Leave;
use crate::live::{Live, Quit};
use crate::output::Output;
use crate::register;

pub(crate) async fn run(options: Listen, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let accepts = StreamSet {
        audio: options.accept.contains(&StreamArgument::Audio) && !options.media.no_audio,
        chat: options.accept.contains(&StreamArgument::Chat),
        file: options.accept.contains(&StreamArgument::File),
    };
    let (common, media) = (&options.common, &options.media);
    let mut agent = Agent::start(common, media, accepts, options.max_calls, Place::Known, output).await?;
    for (transport, address) in agent.application.addresses() {
        output.remark(&format!("listening on {address} ({})", transport.via_name()));
    }
    if options.register {
        register::begin(&options.common, &options.registrar, options.from.as_deref(), &agent.application)?;
    }
    let password = identity::password(&options.common)?;
    let conference = options.conference.then(|| agent.application.session_manager().new_conference());
    let mut ended = 0;
    let live = Live::start(agent.application.session_manager(), output, leave, Quit::Leaves);
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            () = leave.asked() => None,
        };
        let Some(notification) = notification else { break };
        let (Some(session), Some(event)) = (notification.session(), notification.session_event()) else {
            continue;
        };
        match event {
            SessionEvent::NewIncoming { has_audio, has_chat, has_file } => {
                let streams = StreamSet { audio: *has_audio, chat: *has_chat, file: *has_file };
                answer(session.clone(), streams, &options, password.as_ref());
            }
            SessionEvent::GotStreamProposal { proposer, adds_audio, adds_chat, adds_file }
                if *proposer == sipsimple::notification::Originator::Remote =>
            {
                let streams = StreamSet { audio: *adds_audio, chat: *adds_chat, file: *adds_file };
                drop(session.accept_proposal_with(streams, accept_options(&options, password.as_ref())));
            }
            SessionEvent::DidEnd { .. } => {
                ended += 1;
                if options.exit_after.is_some_and(|limit| ended >= limit) {
                    break;
                }
            }
            event => {
                if let Some(conference) = &conference {
                    join(conference, session, event);
                }
                let record = options.media.record.clone().map(|folder: PathBuf| (folder, None));
                attend(session, event, &options.media, record);
            }
        }
    }
    agent.application.stop().await;
    drop(live);
    Ok(())
}

fn accept_options(options: &Listen, password: Option<&String>) -> AcceptOptions {
    let relay_password = password.filter(|_| options.media.msrp_relay.is_some()).cloned();
    AcceptOptions { folder: Some(options.files.clone()), relay_password, ..AcceptOptions::default() }
}

fn answer(session: Session, streams: StreamSet, options: &Listen, password: Option<&String>) {
    let reject = options.reject.and_then(StatusCode::new);
    let accepting = accept_options(options, password);
    let mut streams = streams;
    if options.early_media && reject.is_none() && streams.audio {
        // What is answered early is taken as it is, and files are not answered early.
        streams.file = false;
        drop(session.start_early_media(streams));
    }
    let answer = move || match reject {
        Some(status) => drop(session.reject_with(status)),
        None => drop(session.accept_with(streams, accepting)),
    };
    if options.ring > 0.0 { later(options.ring, answer) } else { answer() }
}
