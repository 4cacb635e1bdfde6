//! Calls somebody and hands them over to somebody else: a blind transfer (RFC 5589 §6), or with `--attended`
//! one that calls both first (RFC 5589 §7).
//!
//! `cargo run --example transfer -- sip:bob@192.0.2.7 sip:carol@192.0.2.8 [--attended]`

use sipsimple::notification::{Filter, SessionEvent};
use sipsimple::{Application, Credentials, StreamSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, addresses): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|it| it.starts_with("--"));
    let [bob, carol] = addresses.as_slice() else {
        return Err("usage: transfer BOB CAROL [--attended]".into());
    };
    let attended = flags.iter().any(|flag| flag == "--attended");

    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let us = Credentials::new(format!("sip:example@{}", application.addresses()[0].1).parse()?);
    let manager = application.session_manager();
    let (with_bob, with_carol) = (manager.new_session(), manager.new_session());
    with_bob.connect(bob.parse()?, us.clone(), None, StreamSet::AUDIO).await?;
    while let Some(notification) = notifications.next().await {
        match notification.session_event() {
            Some(SessionEvent::DidStart) if notification.session() == Some(&with_carol) => {
                with_bob.transfer_to(&with_carol).await?;
            }
            Some(SessionEvent::DidStart) if attended => {
                with_carol.connect(carol.parse()?, us.clone(), None, StreamSet::AUDIO).await?;
            }
            Some(SessionEvent::DidStart) => with_bob.transfer(carol.parse()?).await?,
            Some(SessionEvent::TransferGotProgress { code, reason }) => {
                println!("they call: {code} {reason}")
            }
            Some(SessionEvent::TransferDidEnd { .. }) => println!("they talk to each other"),
            Some(SessionEvent::TransferDidFail { code, reason }) => {
                println!("no transfer: {code} {reason}");
                with_bob.terminate().await?;
            }
            Some(SessionEvent::DidFail { code, reason, .. }) => println!("failed: {code} {reason}"),
            Some(SessionEvent::DidEnd { .. }) if manager.sessions().is_empty() => break,
            _ => {}
        }
    }
    application.stop().await;
    Ok(())
}
