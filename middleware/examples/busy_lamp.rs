//! Busy lamps (BLF, RFC 4235): which of some telephones are free, ring or are in a call, until Ctrl-C.
//!
//! `SIP_PASSWORD=secret cargo run --example busy_lamp -- sip:me@example.com sip:1@example.com sip:2@example.com`
//!
//! `SIP_PROXY=sip:192.0.2.1` sends requests through a proxy.

use std::collections::BTreeMap;

use sipsimple::notification::{Event, Filter, Sender, SubscriptionEvent};
use sipsimple::presence::EventBody;
use sipsimple::{Application, Credentials, SubscriptionOptions, Uri};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let us = arguments.next().ok_or("usage: busy_lamp OUR-ADDRESS ADDRESS…")?;
    let mut credentials = Credentials::new(us.parse()?);
    if let Ok(password) = std::env::var("SIP_PASSWORD") {
        credentials = credentials.with_password(password);
    }
    let route: Option<Uri> = std::env::var("SIP_PROXY").ok().map(|proxy| proxy.parse()).transpose()?;

    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let mut lamps = BTreeMap::new();
    for telephone in arguments {
        let options = SubscriptionOptions::new("dialog", telephone.parse()?, credentials.clone());
        let options = SubscriptionOptions { route: route.clone(), ..options };
        lamps.insert(application.subscribe(options).id(), telephone);
    }
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let notification = tokio::select! {
            notification = notifications.next() => notification,
            _ = &mut interrupt => break,
        };
        let Some(notification) = notification else { break };
        let Sender::Subscription(subscription) = notification.sender() else { continue };
        let Some(telephone) = lamps.get(&subscription.id()) else { continue };
        match notification.event() {
            Event::Subscription(SubscriptionEvent::GotNotify { decoded, .. }) => {
                let Some(EventBody::DialogInfo(dialogs)) = decoded.as_deref() else { continue };
                println!("{telephone}: {:?}", dialogs.lamp());
            }
            Event::Subscription(SubscriptionEvent::DidFail { code, reason, .. }) => {
                println!("{telephone}: not known: {code} {reason}");
            }
            _ => {}
        }
    }
    // Ends the subscriptions too.
    application.stop().await;
    Ok(())
}
