//! Calls somebody, plays a WAV file to them, records what they say, and hangs up after ten seconds.
//!
//! `cargo run --example call -- sip:bob@192.0.2.7 question.wav recordings`
//!
//! Try it with `sipsimple listen --echo` at the other end.

#![expect(clippy::disallowed_methods, reason = "it is the application that says when it has heard enough")]

use std::time::Duration;

use sipsimple::configuration::{AudioConfiguration, AudioInput, AudioOutput};
use sipsimple::notification::{Filter, SessionEvent};
use sipsimple::{Application, Credentials, StreamSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let callee = arguments.next().ok_or("usage: call ADDRESS [WAV [FOLDER]]")?;
    let input = match arguments.next() {
        Some(path) => AudioInput::File { path: path.into(), repeat: true },
        None => AudioInput::Null,
    };
    let folder = arguments.next().unwrap_or_else(|| "recordings".to_owned());

    let audio = AudioConfiguration { input, output: AudioOutput::Null, ..AudioConfiguration::default() };
    let application = Application::builder().port(0).audio(audio).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let us = format!("sip:example@{}", application.addresses()[0].1);
    let session = application.session_manager().new_session();
    session.connect(callee.parse()?, Credentials::new(us.parse()?), None, StreamSet::AUDIO).await?;
    while let Some(notification) = notifications.next().await {
        println!("{} {:?}", notification.name(), notification.event().data());
        match notification.session_event() {
            Some(SessionEvent::DidStart) => {
                session.start_recording_audio(&folder, None).await?;
                let session = session.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    session.terminate().await
                });
            }
            Some(SessionEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    application.stop().await;
    Ok(())
}
