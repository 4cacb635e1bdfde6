//! What happens in the demo, in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use media::analysis;
use sipsimple::notification::{MsrpFileTransferEventKind, Originator, SessionEvent};
use sipsimple::session::{ChatSnapshot, FileToSend, MessageOptions};
use sipsimple::trace::{Protocol, Traced, Tracer, Way};
use sipsimple::{Session, StreamSet};

use super::agent::{DemoAgent, password};
use super::registrar::RunningRegistrar;
use super::report::{Kind, Rung, Second, Side, Story};
use super::stun::RunningStun;
use crate::Failure;
use crate::agent::tracer;
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
    let step = |text: &str| {
        output.remark(text);
        push(&ladder, start, Kind::Step, text.to_owned());
    };
    let address = options.bind;
    step(&format!("starting a registrar, a STUN server with a relay, and two agents on {address}"));
    let stun = RunningStun::start(address).await?;
    let (alices, bobs) = (password("alice"), password("bob"));
    let registrar = RunningRegistrar::start(address, &[("alice", &alices), ("bob", &bobs)]).await?;
    let servers = [stun.address(), registrar.address()];
    let watch = watch_wire(&ladder, start, servers);
    let kept = Tracer::to_file(&capture)
        .map_err(|error| Failure::Failed(format!("{}: {error}", capture.display())))?;
    let tracer = match &options.trace {
        None => kept.with_listener(watch),
        Some(path) => tracer(path, options.trace_secrets)?.with_listener(move |traced| {
            watch(traced);
            kept.write(*traced);
        }),
    };

    let told = |kind| {
        let ladder = ladder.clone();
        move |notification: &sipsimple::notification::Notification| {
            push(&ladder, start, kind, notification.name().to_owned());
        }
    };
    let mut alice =
        DemoAgent::start("Alice", &alice_wav, &stun, Some(tracer), output, told(Kind::AtAlice)).await?;
    let mut bob = DemoAgent::start("Bob", &bob_wav, &stun, None, output, told(Kind::AtBob)).await?;
    step("both register");
    alice.register(&registrar.uri()).await?;
    bob.register(&registrar.uri()).await?;

    step("Alice calls Bob: audio over ICE and SRTP, chat over TLS");
    let calling = alice.application.session_manager().new_session();
    let (callee, route) = (bob.credentials().uri, Some(registrar.uri()));
    calling.connect(callee, alice.credentials(), route, StreamSet::BOTH).await?;
    let called = bob.wait_for_name("SCSessionNewIncoming").await?;
    alice.wait_for_name("SCSessionGotRingIndication").await?;
    pause(Duration::from_millis(500)).await;
    called.accept(StreamSet::BOTH).await?;
    alice.wait_for_name("SCSessionDidStart").await?;
    bob.wait_for_name("SCSessionDidStart").await?;

    step(&format!("both record, and talk for {} s", options.seconds));
    calling.start_recording_audio(out, Some("alice-recorded.wav")).await?;
    called.start_recording_audio(out, Some("bob-recorded.wav")).await?;
    alice.wait_for_name("SCSessionDidStartRecordingAudio").await?;
    bob.wait_for_name("SCSessionDidStartRecordingAudio").await?;
    let statistics = talk(&calling, options.seconds).await;
    let facts = facts(&calling, &statistics);
    calling.stop_recording_audio().await?;
    called.stop_recording_audio().await?;
    alice.wait_for_name("SCSessionDidStopRecordingAudio").await?;
    bob.wait_for_name("SCSessionDidStopRecordingAudio").await?;

    step("they chat");
    say(&mut alice, &calling, &mut bob, "Hello Bob, can you read me?").await?;
    say(&mut bob, &called, &mut alice, "Loud and clear, Alice.").await?;

    step("Alice presses 4 2 #");
    for digit in ['4', '2', '#'] {
        calling.send_dtmf(digit).await?;
        bob.wait_for("the key", |event| *event == SessionEvent::GotDtmf { digit }).await?;
    }

    step("Alice holds Bob, and takes him off hold");
    let remote = Originator::Remote;
    calling.hold().await?;
    bob.wait_for("hold", |event| *event == SessionEvent::GotHoldRequest { originator: remote }).await?;
    calling.unhold().await?;
    bob.wait_for("unhold", |event| *event == SessionEvent::GotUnholdRequest { originator: remote }).await?;

    step("Alice sends Bob a file");
    calling.send_file(FileToSend::new(&alice_wav)).await?;
    bob.wait_for_name("SCSessionGotStreamProposal").await?;
    called.accept_proposal_into(StreamSet::FILE, out.join("received")).await?;
    let received = bob.wait_for_file("MSRPFileTransferGotFile").await?;
    alice.wait_for_file("MSRPFileTransferDidDeliverFile").await?;
    let mut received_file = None;
    if let MsrpFileTransferEventKind::GotFile { path, .. } = &received.kind {
        // The report stands beside it.
        let (path, whole) = (Path::new(path), std::path::absolute(out).unwrap_or_default());
        received_file = path.strip_prefix(whole).or_else(|_| path.strip_prefix(out)).ok();
        output.remark(&format!("the received file is {}", path.display()));
    }
    alice.wait_for_name("SCSessionGotStreamUpdate").await?;

    step("chat is removed, and added again");
    calling.remove_chat().await?;
    alice.wait_for_name("SCSessionGotStreamUpdate").await?;
    calling.add_chat().await?;
    bob.wait_for_name("SCSessionGotStreamProposal").await?;
    called.accept_proposal(StreamSet::CHAT).await?;
    alice.wait_for_name("SCSessionAcceptedStreamProposal").await?;
    say(&mut bob, &called, &mut alice, "And back again.").await?;

    step("Alice hangs up");
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
    let received = received_file.map(|path| path.to_string_lossy().into_owned());
    Ok(Story { capture, sides, ladder, statistics, facts, received })
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

/// What there is to know of the call at a glance.
fn facts(session: &Session, statistics: &[Second]) -> Vec<(&'static str, String)> {
    let snapshot = session.snapshot();
    let mut facts = vec![("seconds of talk", statistics.len().to_string())];
    if let Some(audio) = &snapshot.audio {
        let rate = audio.sample_rate.unwrap_or(0) / 1_000;
        facts.push(("codec", format!("{} {rate} kHz", audio.codec.as_deref().unwrap_or("none"))));
        facts.push(("audio", if audio.srtp_active { "SRTP" } else { "not encrypted" }.to_owned()));
        facts.extend(audio.ice_selection.map(|pair| {
            ("way found by ICE", format!("{} to {}", pair.local_kind.name(), pair.remote_kind.name()))
        }));
    }
    let way = |chat: &ChatSnapshot| if chat.transport.contains("TLS") { "MSRP, TLS" } else { "MSRP" };
    facts.extend(snapshot.chat.as_ref().map(|chat| ("chat", way(chat).to_owned())));
    if let (Some(last), Some(measured)) = (statistics.last(), session.audio_statistics()) {
        facts.push(("packets lost", format!("{:.1} %", last.loss_percent)));
        facts.extend(measured.round_trip_ms.map(|time| ("round trip", format!("{time:.1} ms"))));
        facts.push(("estimated MOS", format!("{:.2}", last.mos)));
    }
    facts
}

/// A listener that puts each message on the ladder.
fn watch_wire(
    ladder: &Ladder,
    start: Instant,
    servers: [SocketAddr; 2],
) -> impl Fn(&Traced<'_>) + Send + Sync + 'static {
    let ladder = ladder.clone();
    move |traced| {
        let (protocol, text) = match traced.protocol {
            Protocol::Stun => ("stun", stun_words(traced.data)),
            Protocol::Msrp => ("msrp", first_line(traced.data)),
            _ => ("sip", first_line(traced.data)),
        };
        let (with_bob, sent) = (!servers.contains(&traced.remote), traced.way == Way::Sent);
        push(&ladder, start, Kind::Message { with_bob, sent, protocol }, text);
    }
}

fn first_line(data: &[u8]) -> String {
    let line = data.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let text: String = String::from_utf8_lossy(line).chars().take(44).collect();
    if text.is_empty() { "keep-alive".to_owned() } else { text }
}

fn stun_words(data: &[u8]) -> String {
    use ice_stun::stun::{Class, Message};
    let Ok(message) = Message::parse(data) else { return "STUN".to_owned() };
    let class = match message.class() {
        Class::Request => "request",
        Class::Indication => "indication",
        Class::Success => "success",
        Class::Error => "error",
    };
    format!("{} {class}", message.method().name().unwrap_or("STUN"))
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
