//! Sends files to somebody (RFC 5547) and hangs up once all have arrived or failed.
//!
//! `cargo run --example send_file -- sip:bob@192.0.2.7 photo.jpg`
//!
//! Try it with `sipsimple listen --accept audio,chat,file --files received` at the other end.

use sipsimple::notification::{Filter, MsrpFileTransferEventKind as Is, SessionEvent};
use sipsimple::session::FileToSend;
use sipsimple::{Application, Credentials, StreamSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let callee = arguments.next().ok_or("usage: send_file ADDRESS FILE…")?;
    let files: Vec<FileToSend> = arguments.map(FileToSend::new).collect();
    let mut left = files.len();

    let application = Application::builder().port(0).start().await?;
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    let us = format!("sip:example@{}", application.addresses()[0].1);
    let session = application.session_manager().new_session();
    let credentials = Credentials::new(us.parse()?);
    session.connect_with_files(callee.parse()?, credentials, None, StreamSet::NONE, files).await?;
    while let Some(notification) = notifications.next().await {
        if let Some(event) = notification.file_event() {
            match &event.kind {
                Is::DidMakeProgress { bytes, size } => println!("{bytes} of {size} bytes"),
                Is::DidDeliverFile { file_name, .. } => println!("{file_name} has arrived"),
                Is::DidNotDeliverFile { file_name, reason, .. } => println!("{file_name}: {reason}"),
                _ => {}
            }
            if matches!(event.kind, Is::DidDeliverFile { .. } | Is::DidNotDeliverFile { .. }) {
                left -= 1;
                if left == 0 {
                    session.terminate().await?;
                }
            }
        }
        match notification.session_event() {
            Some(SessionEvent::DidFail { code, reason, .. }) => println!("failed: {code} {reason}"),
            Some(SessionEvent::DidEnd { .. }) => break,
            _ => {}
        }
    }
    application.stop().await;
    Ok(())
}
