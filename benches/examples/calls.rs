//! Calls with sound both ways, both ends in this process: how punctual packets are, and what a call costs.
//!
//! `calls [NUMBER] [SECONDS] [plain]`: so many calls between two applications over the loopback
//! interface, PCMU with SRTP (AES_CM_128_HMAC_SHA1_80) unless `plain`. The generator is the other end
//! of each call, so all figures are for both.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use sipsimple::configuration::{AudioConfiguration, AudioInput, AudioOutput, RtpConfiguration};
use sipsimple::notification::{Filter, NotificationStream, SessionEvent};
use sipsimple::{Application, Credentials, Session, StreamSet, Uri};

/// Ticks per second of the kernel's accounting.
const HZ: f64 = 100.0;

/// CPU time of this process in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / HZ
}

/// Resident memory in kB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or_default()
}

async fn start(
    name: &str,
    rtp: &RtpConfiguration,
    speech: &std::path::Path,
) -> Result<(Application, Uri), Box<dyn Error>> {
    let application = Application::builder()
        .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .port(0)
        .rtp_config(rtp.clone())
        .audio(AudioConfiguration {
            input: AudioInput::File { path: speech.to_owned(), repeat: true },
            output: AudioOutput::Null,
            ..AudioConfiguration::default()
        })
        .start()
        .await?;
    let (_, address) = application.addresses().first().copied().ok_or("no address")?;
    let uri = format!("sip:{name}@{address}").parse()?;
    Ok((application, uri))
}

/// Waits until this application's event of this name has come.
async fn wait_for(stream: &mut NotificationStream, name: &str) -> Result<Session, Box<dyn Error>> {
    loop {
        let notification = stream.next().await.ok_or("the application has ended")?;
        let (Some(session), Some(event)) = (notification.session(), notification.session_event()) else {
            continue;
        };
        if event.name() == name {
            return Ok(session.clone());
        }
        if matches!(event, SessionEvent::DidFail { .. }) {
            return Err(format!("{event:?}").into());
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        arguments.get(index).and_then(|argument| argument.parse().ok()).unwrap_or(default)
    };
    let (calls, seconds) = (number(0, 500), number(1, 20));
    let encrypted = !arguments.iter().any(|argument| argument == "plain");
    let codec = arguments.iter().find_map(|argument| argument.strip_prefix("codec=")).unwrap_or("PCMU");
    let rtp = RtpConfiguration {
        use_srtp: encrypted,
        srtp_forced: encrypted,
        srtp_suites: vec!["AES_CM_128_HMAC_SHA1_80".to_owned()],
        codecs: vec![codec.to_owned()],
        ..RtpConfiguration::default()
    };
    let speech = std::env::temp_dir().join(format!("sipsimple-calls-{}.wav", std::process::id()));
    std::fs::write(&speech, media::assets::ALICE)?;
    let (caller, caller_uri) = start("caller", &rtp, &speech).await?;
    let (callee, callee_uri) = start("callee", &rtp, &speech).await?;
    let mut heard = callee.notification_center().stream(Filter::any(), 10_000);
    let mut told = caller.notification_center().stream(Filter::any(), 10_000);
    println!("ready for {calls} calls");
    let before = memory();
    let mut sessions = Vec::new();
    for _ in 0..calls {
        let session = caller.session_manager().new_session();
        session
            .connect(callee_uri.clone(), Credentials::new(caller_uri.clone()), None, StreamSet::AUDIO)
            .await?;
        let called = wait_for(&mut heard, "SCSessionNewIncoming").await?;
        called.accept(StreamSet::AUDIO).await?;
        wait_for(&mut told, "SCSessionDidStart").await?;
        sessions.extend([session, called]);
    }
    println!("up: {calls} calls");
    // The first seconds of the last call are over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (first, began, spent) = (caller.media_statistics(), Instant::now(), cpu());
    let base: Vec<_> = sessions.iter().map(Session::audio_statistics).collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (elapsed, spent) = (began.elapsed().as_secs_f64(), cpu() - spent);
    let memory = memory() - before;
    let (mut sent, mut received, mut lost, mut concealed, mut late) = (0, 0, 0, 0, 0);
    let mut jitters = Vec::new();
    for (session, base) in sessions.iter().zip(&base) {
        let (Some(now), Some(base)) = (session.audio_statistics(), base) else {
            return Err("a call has ended".into());
        };
        sent += now.sent - base.sent;
        received += now.received - base.received;
        lost += now.lost.saturating_sub(base.lost);
        concealed += now.concealed - base.concealed;
        late += now.late - base.late;
        jitters.push(now.jitter_ms);
    }
    let ends = sessions.len().max(1) as f64;
    println!("calls {calls}, {codec}, srtp {encrypted}, {elapsed:.1} s, both ends in one process");
    println!("packets sent {sent} ({:.2} per end and s), received {received}", sent as f64 / ends / elapsed);
    jitters.sort_by(f64::total_cmp);
    let jitter = |part: f64| jitters.get((jitters.len() as f64 * part) as usize).copied().unwrap_or_default();
    println!(
        "jitter of what arrives: {:.2} ms (median), {:.2} ms (99 of 100 ends)",
        jitter(0.5),
        jitter(0.99)
    );
    println!("lost {lost}, late {late}, frames concealed {concealed}");
    println!(
        "CPU {:.1} % of one core; per end {:.3} ms per s",
        100.0 * spent / elapsed,
        1e3 * spent / elapsed / ends
    );
    println!("memory per end {:.1} kB", memory / ends);
    for (name, application) in [("caller", &caller), ("callee", &callee)] {
        let stats = application.media_statistics();
        println!(
            "{name}: ticks late by {:?} (p99), {:?} (worst); longest tick {:?}; overruns {}",
            stats.wake_p99,
            stats.worst_wake,
            stats.worst_tick,
            stats.overruns - if name == "caller" { first.overruns } else { 0 }
        );
    }
    for session in sessions.iter().step_by(2) {
        session.terminate().await?;
    }
    caller.stop().await;
    callee.stop().await;
    std::fs::remove_file(&speech)?;
    Ok(())
}
