//! `sipsimple message`: a message outside of any session.

use std::io::Read;
use std::sync::Arc;

use sipsimple::OutgoingMessage;
use sipsimple::notification::{Event, MessageEvent};

use crate::Failure;
use crate::agent::Agent;
use crate::arguments::Message;
use crate::identity::{address, credentials};
use crate::leave::Leave;
use crate::output::Output;

pub(crate) async fn run(options: Message, output: &Arc<Output>, leave: &Leave) -> Result<(), Failure> {
    let to = address("the address to write to", &options.uri)?;
    let route = options.common.proxy.as_deref().map(|proxy| address("--proxy", proxy)).transpose()?;
    let text = match options.text.as_str() {
        "-" => {
            // It may come from somebody who types: Ctrl-C is heard meanwhile.
            let reading = tokio::task::spawn_blocking(|| {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map(|_| text)
            });
            let read = tokio::select! {
                read = reading => read.map_err(std::io::Error::other).flatten(),
                () = leave.asked() => return Err(Failure::Failed("interrupted".to_owned())),
            };
            read.map_err(|error| Failure::Failed(format!("standard input: {error}")))?
        }
        text => text.to_owned(),
    };
    let mut agent = Agent::without_media(&options.common, options.notify, output).await?;
    let credentials = credentials(&options.common, options.from.as_deref(), &agent.application)?;
    let message = OutgoingMessage {
        route,
        cpim: !options.plain,
        notify: options.notify,
        ..OutgoingMessage::new(to, credentials, text)
    };
    let sent = agent.application.send_message(message).await?;
    let result = loop {
        let notification = tokio::select! {
            notification = agent.notifications.next() => notification,
            () = leave.asked() => break Err(Failure::Failed("interrupted".to_owned())),
        };
        let Some(notification) = notification else { break Ok(()) };
        match notification.event() {
            Event::Message(MessageEvent::DidFail { message_id, code, reason }) if *message_id == sent => {
                let status = if *code == 0 { String::new() } else { format!("{code} ") };
                break Err(Failure::Failed(format!("the message was not taken: {status}{reason}")));
            }
            Event::Message(MessageEvent::DidSucceed { message_id, .. })
                if *message_id == sent && !options.notify =>
            {
                break Ok(());
            }
            Event::Message(MessageEvent::GotDisposition { message_id, .. }) if *message_id == sent => {
                break Ok(());
            }
            _ => {}
        }
    };
    agent.application.stop().await;
    result
}
