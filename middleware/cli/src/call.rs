//! `sipsimple call`: call a SIP address.

use std::path::PathBuf;
use std::sync::Arc;

use sipsimple::Session;
use sipsimple::notification::{Event, MsrpFileTransferEvent, MsrpFileTransferEventKind, SessionEvent};
use sipsimple::session::FileToSend;

use crate::Failure;
use crate::agent::{Agent, asked_to_leave, attend, later, streams};
use crate::arguments::Call;
use crate::identity::{address, credentials};
use crate::output::Output;
use crate::register;

pub(crate) async fn run(options: Call, output: &Arc<Output>) -> Result<(), Failure> {
    let callee = address("the address to call", &options.uri)?;
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let streams = streams(&options.media);
    let mut agent = Agent::start(&options.common, &options.media, streams, None, output).await?;
    let credentials = credentials(&options.common, options.from.as_deref(), &agent.application)?;
    if options.register {
        register::begin(&options.common, &options.registrar, options.from.as_deref(), &agent.application)?;
        register::done(&mut agent).await?;
    }
    let session = agent.application.session_manager().new_session();
    let files = options.send_file.iter().map(FileToSend::new).collect();
    session.connect_with_files(callee, credentials, route, streams, files).await?;

    let mut failure = None;
    let mut leaving = false;
    let mut leave = std::pin::pin!(asked_to_leave());
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            () = &mut leave, if !leaving => {
                leaving = true;
                drop(session.terminate());
                continue;
            }
        };
        let Some(notification) = notification else { break };
        if let Some(reason) = not_delivered(notification.event()) {
            failure = Some(reason);
        }
        let Some(event) = notification.session_event() else { continue };
        match event {
            SessionEvent::DidFail { code, reason, .. } => {
                failure = Some(if *code == 0 { reason.clone() } else { format!("{code} {reason}") });
            }
            SessionEvent::DidEnd { .. } => break,
            event => {
                attend(&session, event, &options.media, recording(&options));
                if *event == SessionEvent::DidStart {
                    script(&session, &options);
                }
            }
        }
    }
    agent.application.stop().await;
    match failure {
        Some(reason) => Err(Failure::Failed(format!("the call failed: {reason}"))),
        None => Ok(()),
    }
}

/// Why a file did not arrive, if it did not.
fn not_delivered(event: &Event) -> Option<String> {
    match event {
        Event::MsrpFileTransfer(MsrpFileTransferEvent {
            kind: MsrpFileTransferEventKind::DidNotDeliverFile { file_name, code, reason },
            ..
        }) => Some(format!("{file_name} was not delivered: {code} {reason}")),
        _ => None,
    }
}

/// What the options say is to happen in the course of the call.
fn script(session: &Session, options: &Call) {
    if let Some(digits) = &options.dtmf {
        for digit in digits.chars().filter(|digit| !digit.is_whitespace()) {
            drop(session.send_dtmf(digit));
        }
    }
    if let Some(after) = options.hold_after {
        let (holding, unholding) = (session.clone(), session.clone());
        later(after, move || drop(holding.hold()));
        later(after + 2.0, move || drop(unholding.unhold()));
    }
    if let Some(after) = options.add_chat_after {
        let session = session.clone();
        later(after, move || drop(session.add_chat()));
    }
}

/// `--record FILE` as folder and name.
fn recording(options: &Call) -> Option<(PathBuf, Option<String>)> {
    let path = options.media.record.as_ref()?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    Some((folder, name))
}
