//! Chats with somebody: each line of the input is a message; its end hangs up once all are delivered.
//!
//! `cargo run --example chat -- sip:bob@192.0.2.7`
//!
//! Try it with `sipsimple listen --echo` at the other end.

use std::io::BufRead;

use sipsimple::notification::{Filter, SessionEvent};
use sipsimple::session::MessageOptions;
use sipsimple::{Application, Credentials, StreamSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let callee = std::env::args().nth(1).ok_or("usage: chat ADDRESS")?;
    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let us = format!("sip:example@{}", application.addresses()[0].1);
    let session = application.session_manager().new_session();
    session.connect(callee.parse()?, Credentials::new(us.parse()?), None, StreamSet::CHAT).await?;
    // Standard input blocks: it has a thread of its own.
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let (mut started, mut on_their_way, mut said_all) = (false, 0, false);
    loop {
        if said_all && on_their_way == 0 {
            session.terminate().await?;
        }
        let notification = tokio::select! {
            notification = notifications.next() => notification,
            line = lines.recv(), if started && !said_all => {
                match line {
                    Some(line) => {
                        session.send_message(line, MessageOptions::default()).await?;
                        on_their_way += 1;
                    }
                    None => said_all = true,
                }
                continue;
            }
        };
        match notification.as_ref().and_then(|notification| notification.session_event()) {
            Some(SessionEvent::DidStart) => started = true,
            Some(SessionEvent::GotMessage { content, .. }) => {
                println!("{callee}: {}", String::from_utf8_lossy(content));
            }
            Some(SessionEvent::DidDeliverMessage { .. } | SessionEvent::DidNotDeliverMessage { .. }) => {
                on_their_way -= 1;
            }
            Some(SessionEvent::DidFail { reason, .. }) => println!("failed: {reason}"),
            Some(SessionEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    application.stop().await;
    Ok(())
}
