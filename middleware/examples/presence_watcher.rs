//! Watches somebody's presence and prints each change, until Ctrl-C.
//!
//! `SIP_PASSWORD=secret cargo run --example presence_watcher -- sip:me@example.com sip:bob@example.com`
//!
//! `SIP_PROXY=sip:192.0.2.1` sends requests through a proxy.

use sipsimple::notification::{Event, Filter, SubscriptionEvent};
use sipsimple::presence::EventBody;
use sipsimple::{Application, Credentials, SubscriptionOptions, Uri};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(us), Some(them)) = (arguments.next(), arguments.next()) else {
        return Err("usage: presence_watcher OUR-ADDRESS ADDRESS".into());
    };
    let mut credentials = Credentials::new(us.parse()?);
    if let Ok(password) = std::env::var("SIP_PASSWORD") {
        credentials = credentials.with_password(password);
    }
    let route: Option<Uri> = std::env::var("SIP_PROXY").ok().map(|proxy| proxy.parse()).transpose()?;

    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let options = SubscriptionOptions::new("presence", them.parse()?, credentials);
    let subscription = application.subscribe(SubscriptionOptions { route, ..options });
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let notification = tokio::select! {
            notification = notifications.next() => notification,
            _ = &mut interrupt => break,
        };
        let Some(notification) = notification else { break };
        match notification.event() {
            Event::Subscription(SubscriptionEvent::GotNotify { decoded, .. }) => {
                let Some(EventBody::Presence(presence)) = decoded.as_deref() else { continue };
                let basic = presence.basic().map_or("unknown", |basic| basic.as_str());
                let doing: Vec<_> = presence.activities().map(|activity| activity.name()).collect();
                let notes: Vec<_> = presence.all_notes().map(|note| note.text.as_str()).collect();
                println!("{them}: {basic} {} {}", doing.join(", "), notes.join("; "));
            }
            Event::Subscription(SubscriptionEvent::DidFail { code, reason, retry_after, .. }) => {
                println!("{them}: not seen: {code} {reason}; next try in {retry_after:?} s");
            }
            Event::Subscription(SubscriptionEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    drop(subscription.end());
    application.stop().await;
    Ok(())
}
