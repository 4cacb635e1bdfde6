//! A voice agent: answers, greets, and says again what it was told. Who speaks interrupts it.
//!
//! `cargo run --example voice_agent -- greeting.wav`, then `sipsimple call sip:agent@127.0.0.1`
//!
//! A real one gives `heard` to something that understands, and says the answer.

use sipsimple::notification::{Filter, SessionEvent};
use sipsimple::{Application, Error, Session, StreamSet};

const RATE: u32 = 16_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let greeting = arguments.next().ok_or("usage: voice_agent WAV-OF-16-KHZ [PORT]")?;
    let greeting = hound::WavReader::open(greeting)?.into_samples().collect::<Result<Vec<i16>, _>>()?;
    let port = arguments.next().map_or(Ok(5060), |port| port.parse())?;
    let application = Application::builder().port(port).accepts(StreamSet::AUDIO).start().await?;
    println!("listening on {}", application.addresses()[0].1);
    let mut notifications = application.notification_center().stream(Filter::any(), 1_000);
    while let Some(notification) = notifications.next().await {
        let Some(session) = notification.session() else { continue };
        match notification.session_event() {
            Some(SessionEvent::NewIncoming { .. }) => session.accept(StreamSet::AUDIO).await?,
            Some(SessionEvent::DidStart) => drop(tokio::spawn(converse(session.clone(), greeting.clone()))),
            _ => {}
        }
    }
    Ok(())
}

/// Goes on for as long as the caller stays; each frame of 20 ms of the caller is the beat.
async fn converse(session: Session, mut saying: Vec<i16>) -> Result<(), Error> {
    let (mut mouth, mut ears) = session.attach_pcm(RATE).await?;
    let (mut heard, mut silent_frames) = (Vec::new(), 0);
    while let Some(frame) = ears.next().await {
        if frame.iter().any(|sample| sample.unsigned_abs() > 1_000) {
            let dropped = mouth.flush() + saying.len() as u64;
            if dropped > 0 {
                println!("interrupted: {} ms were not said", dropped * 1_000 / u64::from(RATE));
            }
            saying.clear();
            heard.extend(frame);
            silent_frames = 0;
        } else if !heard.is_empty() {
            silent_frames += 1;
            // Half a second of silence: it is our turn.
            if silent_frames == 25 {
                println!("heard {} ms", heard.len() * 1_000 / RATE as usize);
                saying = std::mem::take(&mut heard);
            }
        }
        let said = mouth.try_write(&saying);
        saying.drain(..said);
    }
    Ok(())
}
