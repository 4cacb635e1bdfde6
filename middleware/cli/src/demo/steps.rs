//! What happens in the demo, in order.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use media::analysis;
use sipsimple::notification::{MsrpFileTransferEventKind, Originator, SessionEvent};
use sipsimple::session::{FileToSend, MessageOptions};
use sipsimple::trace::{Protocol, Traced, Tracer, Way};
use sipsimple::{Session, StreamSet};

use super::agent::{DemoAgent, password};
use super::registrar::RunningRegistrar;
use super::report::{Kind, Rung, Second, Side, Story};
use super::stun::RunningStun;
use crate::Failure;
use crate::arguments::Demo;
use crate::output::Output;

type Ladder = Arc<Mutex<Vec<Rung>>>;

/// Plays the demo and collects what the report needs.
pub(super) async fn play(options: &Demo, output: &Arc<Output>) -> Result<Story, Failure> {
    let out = options.out.as_path();
    let (alice_wav, bob_wav) = (out.join("alice-says.wav"), out.join("bob-says.wav"));
    write(&alice_wav, media::assets::ALICE)?;
    write(&bob_wav, media::assets::BOB)?;
    let capture = out.join("capture.pcapng");
    let ladder = Ladder::default();
    let start = now();
    let tracer = Tracer::to_file(&capture)
        .map_err(|error| Failure::Failed(format!("{}: {error}", capture.display())))?
        .with_listener(watch_wire(&ladder, start));

    output.remark("starting a registrar, a STUN server with a relay, and two agents on 127.0.0.1");
    let stun = RunningStun::start().await?;
    let (alices, bobs) = (password("alice"), password("bob"));
    let registrar = RunningRegistrar::start(&[("alice", &alices), ("bob", &bobs)]).await?;
    let told = |kind| {
        let ladder = ladder.clone();
        move |notification: &sipsimple::notification::Notification| {
            push(&ladder, start, kind, notification.name().to_owned());
        }
    };
    let mut alice =
        DemoAgent::start("Alice", &alice_wav, &stun, Some(tracer), output, told(Kind::AtAlice)).await?;
    let mut bob = DemoAgent::start("Bob", &bob_wav, &stun, None, output, told(Kind::AtBob)).await?;
    output.remark("both register");
    alice.register(&registrar.uri()).await?;
    bob.register(&registrar.uri()).await?;

    output.remark("Alice calls Bob: audio over ICE and SRTP, chat over TLS");
    let calling = alice.application.session_manager().new_session();
    let (callee, route) = (bob.credentials().uri, Some(registrar.uri()));
    calling.connect(callee, alice.credentials(), route, StreamSet::BOTH).await?;
    let called = bob.wait_for_name("SCSessionNewIncoming").await?;
    alice.wait_for_name("SCSessionGotRingIndication").await?;
    pause(Duration::from_millis(500)).await;
    called.accept(StreamSet::BOTH).await?;
    alice.wait_for_name("SCSessionDidStart").await?;
    bob.wait_for_name("SCSessionDidStart").await?;

    output.remark(&format!("both record, and talk for {} s", options.seconds));
    calling.start_recording_audio(out, Some("alice-recorded.wav")).await?;
    called.start_recording_audio(out, Some("bob-recorded.wav")).await?;
    alice.wait_for_name("SCSessionDidStartRecordingAudio").await?;
    bob.wait_for_name("SCSessionDidStartRecordingAudio").await?;
    let statistics = talk(&calling, options.seconds).await;
    calling.stop_recording_audio().await?;
    called.stop_recording_audio().await?;
    alice.wait_for_name("SCSessionDidStopRecordingAudio").await?;
    bob.wait_for_name("SCSessionDidStopRecordingAudio").await?;

    output.remark("they chat");
    say(&mut alice, &calling, &mut bob, "Hello Bob, can you read me?").await?;
    say(&mut bob, &called, &mut alice, "Loud and clear, Alice.").await?;

    output.remark("Alice presses 4 2 #");
    for digit in ['4', '2', '#'] {
        calling.send_dtmf(digit).await?;
        bob.wait_for("the key", |event| *event == SessionEvent::GotDtmf { digit }).await?;
    }

    output.remark("Alice holds Bob, and takes him off hold");
    let remote = Originator::Remote;
    calling.hold().await?;
    bob.wait_for("hold", |event| *event == SessionEvent::GotHoldRequest { originator: remote }).await?;
    calling.unhold().await?;
    bob.wait_for("unhold", |event| *event == SessionEvent::GotUnholdRequest { originator: remote }).await?;

    output.remark("Alice sends Bob a file");
    calling.send_file(FileToSend::new(&alice_wav)).await?;
    bob.wait_for_name("SCSessionGotStreamProposal").await?;
    called.accept_proposal_into(StreamSet::FILE, out.join("received")).await?;
    let received = bob.wait_for_file("MSRPFileTransferGotFile").await?;
    alice.wait_for_file("MSRPFileTransferDidDeliverFile").await?;
    if let MsrpFileTransferEventKind::GotFile { path, .. } = &received.kind {
        output.remark(&format!("the received file is {path}"));
    }
    alice.wait_for_name("SCSessionGotStreamUpdate").await?;

    output.remark("chat is removed, and added again");
    calling.remove_chat().await?;
    alice.wait_for_name("SCSessionGotStreamUpdate").await?;
    calling.add_chat().await?;
    bob.wait_for_name("SCSessionGotStreamProposal").await?;
    called.accept_proposal(StreamSet::CHAT).await?;
    alice.wait_for_name("SCSessionAcceptedStreamProposal").await?;
    say(&mut bob, &called, &mut alice, "And back again.").await?;

    output.remark("Alice hangs up");
    calling.terminate().await?;
    alice.wait_for_name("SCSessionDidEnd").await?;
    bob.wait_for_name("SCSessionDidEnd").await?;
    alice.application.stop().await;
    bob.application.stop().await;

    let sides = vec![
        side("Alice", "Bob", &out.join("alice-recorded.wav"), &bob_wav)?,
        side("Bob", "Alice", &out.join("bob-recorded.wav"), &alice_wav)?,
    ];
    if let Some(side) = sides.iter().find(|side| side.correlation < 0.9) {
        return Err(Failure::Failed(format!(
            "{} is not in {}'s recording: correlation {:.3}",
            side.heard, side.name, side.correlation
        )));
    }
    let ladder = std::mem::take(&mut *lock(&ladder));
    Ok(Story { capture, sides, ladder, statistics })
}

/// One side writes, the other reads, and the one knows that the other has it.
async fn say(from: &mut DemoAgent, session: &Session, to: &mut DemoAgent, text: &str) -> Result<(), Failure> {
    let id = session.send_message(text.to_owned(), MessageOptions::default()).await?;
    let is_it = |event: &SessionEvent| matches!(event, SessionEvent::GotMessage { content, .. } if content.as_ref() == text.as_bytes());
    to.wait_for("the message", is_it).await?;
    let is_fate = |event: &SessionEvent| matches!(event, SessionEvent::DidDeliverMessage { message_id, .. } if *message_id == id);
    from.wait_for("the delivery report", is_fate).await?;
    Ok(())
}

/// Lets them talk, and measures every second.
async fn talk(session: &Session, seconds: u64) -> Vec<Second> {
    let mut measured = Vec::new();
    for _ in 0..seconds {
        pause(Duration::from_secs(1)).await;
        if let Some(statistics) = session.audio_statistics() {
            measured.push(Second {
                loss_percent: statistics.loss_percent,
                jitter_ms: statistics.jitter_ms,
                mos: statistics.mos,
            });
        }
    }
    measured
}

/// What one side's recording holds.
fn side(name: &'static str, heard: &'static str, recording: &Path, played: &Path) -> Result<Side, Failure> {
    let failed = |error: media::WavError| Failure::Failed(error.to_string());
    let (said, hearing, rate) = media::wav::read_stereo(recording).map_err(failed)?;
    let reference = media::wav::read_mono(played, rate).map_err(failed)?;
    let correlation = analysis::likeness(&reference, &hearing, rate as usize / 2);
    Ok(Side {
        name,
        heard,
        recording: PathBuf::from(recording),
        seconds: hearing.len() as f64 / f64::from(rate),
        correlation,
        said_levels: levels(&said, rate),
        heard_levels: levels(&hearing, rate),
    })
}

/// RMS in dB below full scale, every 100 ms.
fn levels(samples: &[i16], rate: u32) -> Vec<f64> {
    let window = (rate / 10).max(1) as usize;
    let rms = |chunk: &[i16]| {
        let sum: f64 = chunk.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        (sum / chunk.len() as f64).sqrt() / 32_768.0
    };
    samples.chunks(window).map(|chunk| (20.0 * rms(chunk).max(1e-5).log10()).max(-90.0)).collect()
}

/// A listener that puts the start line of each message on the ladder.
fn watch_wire(ladder: &Ladder, start: Instant) -> impl Fn(&Traced<'_>) + Send + Sync + 'static {
    let ladder = ladder.clone();
    move |traced| {
        let kind = match traced.way {
            Way::Sent => Kind::ToBob,
            Way::Received => Kind::ToAlice,
        };
        let line = traced.data.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let mut text: String = String::from_utf8_lossy(line).chars().take(60).collect();
        if traced.protocol == Protocol::Sip && text.is_empty() {
            text = "keep-alive".to_owned();
        }
        push(&ladder, start, kind, text);
    }
}

fn push(ladder: &Ladder, start: Instant, kind: Kind, text: String) {
    let at = now().duration_since(start).as_secs_f64();
    lock(ladder).push(Rung { at, kind, text });
}

fn lock(ladder: &Ladder) -> std::sync::MutexGuard<'_, Vec<Rung>> {
    ladder.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the demo's story is told in real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the demo's story is told in real time")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}
