//! Answers every call and sends back what it hears: `cargo run --example answer -- 5070`

use sipsimple::configuration::AudioConfiguration;
use sipsimple::notification::{Filter, SessionEvent};
use sipsimple::{Application, StreamSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "5060".to_owned()).parse()?;
    let audio = AudioConfiguration { echo: true, ..AudioConfiguration::default() };
    let application = Application::builder().port(port).audio(audio).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    while let Some(notification) = notifications.next().await {
        println!("{}", notification.name());
        let (session, event) = (notification.session(), notification.session_event());
        if let (Some(session), Some(SessionEvent::NewIncoming { .. })) = (session, event) {
            session.accept(StreamSet::AUDIO).await?;
        }
    }
    Ok(())
}
