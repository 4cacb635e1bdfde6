//! `sipsimple call`: call a SIP address.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use sipsimple::notification::{
    Event, MsrpFileTransferEvent, MsrpFileTransferEventKind, Originator, SessionEvent,
};
use sipsimple::session::{ConnectOptions, FileToSend};
use sipsimple::{Session, StreamSet, Uri};

use crate::Failure;
use crate::agent::{Agent, Place, attend, join, later, say};
use crate::arguments::Call;
use crate::identity::{address, credentials};
use crate::leave::Leave;
use crate::live::{Live, Quit};
use crate::output::Output;
use crate::register;

pub(crate) async fn run(options: Call, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let callees = options.uris.iter().map(|uri| address("the address to call", uri));
    let callees = callees.collect::<Result<Vec<Uri>, Failure>>()?;
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let streams = StreamSet {
        audio: !options.media.no_audio,
        chat: !options.media.chat.is_empty() && options.add_chat_after.is_none(),
        ..StreamSet::NONE
    };
    if streams.is_empty() && options.send_file.is_empty() {
        let what = "a call without audio needs something else: --chat TEXT or --send-file PATH";
        return Err(Failure::Usage(what.to_owned()));
    }
    let mut agent = Agent::start(&options.common, &options.media, streams, None, Place::Any, output).await?;
    let credentials = credentials(&options.common, options.from.as_deref(), &agent.application)?;
    if options.register {
        register::begin(&options.common, &options.registrar, options.from.as_deref(), &agent.application)?;
        let registered = tokio::select! {
            registered = register::done(&mut agent) => Some(registered),
            () = leave.asked() => None,
        };
        if registered.as_ref().is_none_or(Result::is_err) {
            agent.application.stop().await;
            return registered.unwrap_or(Ok(()));
        }
    }
    let manager = agent.application.session_manager();
    let conference = (callees.len() > 1).then(|| manager.new_conference());
    let transfer = options.transfer.as_deref().map(|uri| address("--transfer", uri)).transpose()?;
    let mut sessions = Vec::new();
    for callee in callees {
        let session = manager.new_session();
        let files = options.send_file.iter().map(FileToSend::new).collect();
        let more =
            ConnectOptions { files, ask_auto_answer: options.auto_answer, ..ConnectOptions::default() };
        session.connect_with(callee, credentials.clone(), route.clone(), streams, more).await?;
        sessions.push(session);
    }

    let live = Live::start(agent.application.session_manager(), output, leave, Quit::HangsUp);

    let mut failure = None;
    loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            // Stopping hangs up and unregisters.
            () = leave.asked() => break,
        };
        let Some(notification) = notification else { break };
        if let Some(reason) = not_delivered(notification.event()) {
            failure = Some(reason);
        }
        let (Some(session), Some(event)) = (notification.session(), notification.session_event()) else {
            continue;
        };
        match event {
            SessionEvent::DidFail { code, reason, .. } => {
                let reason = if *code == 0 { reason.clone() } else { format!("{code} {reason}") };
                failure = Some(match (session.remote_uri(), sessions.len()) {
                    (Some(who), 2..) => format!("{who}: {reason}"),
                    _ => reason,
                });
            }
            SessionEvent::TransferDidFail { code, reason } => {
                failure = Some(format!("it was not transferred: {code} {reason}"));
                drop(session.terminate());
            }
            // A transfer that we carry out is another session.
            SessionEvent::DidEnd { .. } if manager.sessions().is_empty() => break,
            // The chat of `--add-chat-after` is there.
            SessionEvent::AcceptedStreamProposal { proposer: Originator::Local }
                if options.add_chat_after.is_some() =>
            {
                say(session, &options.media);
            }
            event => {
                if let Some(conference) = &conference {
                    join(conference, session, event);
                }
                let number = sessions.iter().position(|known| known == session);
                attend(session, event, &options.media, recording(&options, number.unwrap_or_default()));
                if *event == SessionEvent::DidStart && number.is_some() {
                    script(session, &options, transfer.as_ref());
                }
            }
        }
    }
    agent.application.stop().await;
    drop(live);
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
fn script(session: &Session, options: &Call, transfer: Option<&Uri>) {
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
    if let Some(target) = transfer.cloned() {
        let session = session.clone();
        later(options.transfer_after, move || drop(session.transfer(target)));
    }
    if let Some(after) = options.add_chat_after {
        let session = session.clone();
        later(after, move || drop(session.add_chat()));
    }
}

/// `--record FILE` as folder and name: of the second call `FILE-2`, before its ending, and so on.
fn recording(options: &Call, number: usize) -> Option<(PathBuf, Option<String>)> {
    let path = options.media.record.as_ref()?;
    let text = |part: &OsStr| part.to_string_lossy().into_owned();
    let name = match (path.file_stem(), path.extension(), number) {
        (Some(stem), Some(ending), 1..) => Some(format!("{}-{}.{}", text(stem), number + 1, text(ending))),
        (Some(stem), None, 1..) => Some(format!("{}-{}", text(stem), number + 1)),
        _ => path.file_name().map(text),
    };
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    Some((folder, name))
}
