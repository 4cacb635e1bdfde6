//! A conference of three, or more: calls everybody, and lets them hear each other until all have left.
//!
//! `cargo run --example conference -- sip:bob@192.0.2.7 sip:carol@192.0.2.8`
//!
//! This side is in it too: with `AudioInput::Device` and `AudioOutput::Device` it talks along.

use sipsimple::notification::{Filter, SessionEvent};
use sipsimple::{Application, Credentials, StreamSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let us = Credentials::new(format!("sip:example@{}", application.addresses()[0].1).parse()?);
    let manager = application.session_manager();
    let conference = manager.new_conference();
    let (mut sessions, mut left) = (Vec::new(), 0);
    for callee in std::env::args().skip(1) {
        let session = manager.new_session();
        session.connect(callee.parse()?, us.clone(), None, StreamSet::AUDIO).await?;
        sessions.push(session);
    }
    if sessions.is_empty() {
        return Err("usage: conference ADDRESS ADDRESS…".into());
    }
    while let Some(notification) = notifications.next().await {
        let Some(session) = notification.session() else { continue };
        let who = session.remote_uri().map(|uri| uri.to_string()).unwrap_or_default();
        match notification.session_event() {
            Some(SessionEvent::DidStart) => {
                conference.add(session).await?;
                println!("{who} is in; {} of {}", conference.sessions().len(), sessions.len());
            }
            Some(SessionEvent::DidFail { code, reason, .. }) => println!("{who}: {code} {reason}"),
            Some(SessionEvent::DidEnd { .. }) => {
                println!("{who} has left");
                left += 1;
                if left == sessions.len() {
                    break;
                }
            }
            _ => {}
        }
    }
    application.stop().await;
    Ok(())
}
