//! A lamp for waiting messages (MWI, RFC 3842): prints what a mailbox holds as it changes, until Ctrl-C.
//!
//! `SIP_PASSWORD=secret cargo run --example message_waiting -- sip:me@example.com`
//!
//! `SIP_PROXY=sip:192.0.2.1` sends requests through a proxy.

use sipsimple::notification::{Event, Filter, SubscriptionEvent};
use sipsimple::presence::EventBody;
use sipsimple::{Application, Credentials, SubscriptionOptions, Uri};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let us: Uri = std::env::args().nth(1).ok_or("usage: message_waiting OUR-ADDRESS")?.parse()?;
    let mut credentials = Credentials::new(us.clone());
    if let Ok(password) = std::env::var("SIP_PASSWORD") {
        credentials = credentials.with_password(password);
    }
    let route: Option<Uri> = std::env::var("SIP_PROXY").ok().map(|proxy| proxy.parse()).transpose()?;

    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let options = SubscriptionOptions::new("message-summary", us, credentials);
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
                let Some(EventBody::MessageSummary(summary)) = decoded.as_deref() else { continue };
                println!("{}", if summary.waiting { "[*] messages wait" } else { "[ ] no messages" });
                for (class, counts) in &summary.counts {
                    println!("    {}: {counts} (new/old)", class.as_str());
                }
            }
            Event::Subscription(SubscriptionEvent::DidFail { code, reason, retry_after, .. }) => {
                println!("not known: {code} {reason}; next try in {retry_after:?} s");
            }
            Event::Subscription(SubscriptionEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    drop(subscription.end());
    application.stop().await;
    Ok(())
}
