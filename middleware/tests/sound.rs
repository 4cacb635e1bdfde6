//! What is heard where: ringtones, recordings, an application's own audio. Real sockets, real time.

#[path = "support/pace.rs"]
mod pace;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use pace::undisturbed;
use sipsimple::configuration::{AudioConfiguration, AudioOutput, RingtoneConfiguration};
use sipsimple::notification::{Filter, NotificationCenter, NotificationStream, SessionEvent};
use sipsimple::{Application, Credentials, Error, PcmReader, PcmWriter, Session, StreamSet, Uri};

const PATIENCE: Duration = Duration::from_secs(20);
const RATE: u32 = 16_000;

struct Party {
    name: &'static str,
    application: Application,
    notifications: NotificationStream,
}

impl Party {
    async fn start(name: &'static str, audio: AudioConfiguration, ringtones: RingtoneConfiguration) -> Self {
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 1_000);
        let application = Application::builder()
            .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .port(0)
            .audio(audio)
            .ringtone_config(ringtones)
            .notification_center(center)
            .start()
            .await
            .expect("sockets on the loopback interface");
        Self { name, application, notifications }
    }

    fn uri(&self) -> Uri {
        let address = self.application.addresses()[0].1;
        format!("sip:{}@{address}", self.name).parse().expect("a URI")
    }

    async fn call(&self, other: &Party, streams: StreamSet) -> Session {
        let session = self.application.session_manager().new_session();
        let asked = session.connect(other.uri(), Credentials::new(self.uri()), None, streams).await;
        asked.expect("it is legal in NULL");
        session
    }

    async fn wait_for(&mut self, name: &str) -> (Session, SessionEvent) {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if let (Some(session), Some(event)) = (notification.session(), notification.session_event())
                    && event.name() == name
                {
                    return (session.clone(), event.clone());
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{}: no {name}", self.name))
    }
}

async fn listen(seconds: f64) {
    pace::listen(Duration::from_secs_f64(seconds)).await;
}

fn tone(hertz: f64, seconds: f64, rate: u32) -> Vec<i16> {
    let sample = |n: u32| (f64::from(n) * hertz * std::f64::consts::TAU / f64::from(rate)).sin() * 12_000.0;
    (0..(seconds * f64::from(rate)) as u32).map(|n| sample(n) as i16).collect()
}

fn write_tone(path: &Path, hertz: f64, seconds: f64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 11_025,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    for sample in tone(hertz, seconds, 11_025) {
        writer.write_sample(sample).expect("the disk has room");
    }
    writer.finalize().expect("the disk has room");
}

/// How much of a tone there is in some samples, from 0 to about 1.
fn share(pcm: &[i16], hertz: f64, rate: u32) -> f64 {
    let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 0.0);
    for (n, &sample) in pcm.iter().enumerate() {
        let angle = n as f64 * hertz * std::f64::consts::TAU / f64::from(rate);
        let sample = f64::from(sample) / 32_768.0;
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        energy += sample * sample;
    }
    if energy / pcm.len() as f64 <= 1e-4 {
        return 0.0;
    }
    2.0 * (real * real + imaginary * imaginary) / (energy * pcm.len() as f64)
}

/// When a tone is heard: beginnings and ends in seconds.
fn bursts(pcm: &[i16], hertz: f64, rate: u32) -> Vec<(f64, f64)> {
    let window = rate as usize / 50;
    let mut found: Vec<(f64, f64)> = Vec::new();
    for (index, chunk) in pcm.chunks_exact(window).enumerate() {
        if share(chunk, hertz, rate) < 0.5 {
            continue;
        }
        let (begin, end) = (index as f64 / 50.0, (index + 1) as f64 / 50.0);
        match found.last_mut() {
            Some(last) if begin - last.1 < 0.1 => last.1 = end,
            _ => found.push((begin, end)),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ringtones_loop_here_and_are_heard_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = |name: &str| folder.path().join(name);
    write_tone(&path("inbound.wav"), 880.0, 0.2);
    write_tone(&path("outbound.wav"), 440.0, 0.2);
    let hears = |name: &str| AudioConfiguration {
        output: AudioOutput::File(path(name)),
        ..AudioConfiguration::default()
    };
    let (mut outbound, mut inbound) = (RingtoneConfiguration::default(), RingtoneConfiguration::default());
    outbound.outbound_ringtone = Some(path("outbound.wav"));
    inbound.default_inbound_ringtone = Some(path("inbound.wav"));
    let mut alice = Party::start("alice", hears("alice.wav"), outbound).await;
    let mut carol =
        Party::start("carol", AudioConfiguration::default(), RingtoneConfiguration::default()).await;
    // What is no WAV file is logged and no more.
    inbound.add_ringtone_for_sipuri(&alice.uri(), path("missing.wav"));
    let mut bob = Party::start("bob", hears("bob.wav"), inbound).await;

    // Alice hears that it rings; Bob has no ringtone for her that could be played.
    let calling = alice.call(&bob, StreamSet::AUDIO).await;
    let (called, _) = bob.wait_for("SCSessionNewIncoming").await;
    alice.wait_for("SCSessionGotRingIndication").await;
    listen(2.8).await;
    called.accept(StreamSet::AUDIO).await.expect("it is legal in INCOMING");
    alice.wait_for("SCSessionDidStart").await;
    // Carol's call waits: Bob hears that, and Alice, who talks with him, does not.
    let waiting = carol.call(&bob, StreamSet::AUDIO).await;
    bob.wait_for("SCSessionNewIncoming").await;
    listen(2.8).await;
    waiting.terminate().await.expect("it is legal anywhere");
    carol.wait_for("SCSessionDidEnd").await;
    bob.wait_for("SCSessionDidEnd").await;
    listen(2.5).await;
    calling.terminate().await.expect("it is legal anywhere");
    bob.wait_for("SCSessionDidEnd").await;
    for party in [alice, bob, carol] {
        party.application.stop().await;
    }

    for (file, hertz, other) in [("alice.wav", 440.0, 880.0), ("bob.wav", 880.0, 440.0)] {
        let heard = media::wav::read_mono(&path(file), RATE).expect("a recording");
        let tones = bursts(&heard, hertz, RATE);
        let [first, second] = tones[..] else { panic!("{file}: {tones:?} are not two") };
        for (begin, end) in [first, second] {
            assert!((0.14..0.26).contains(&(end - begin)), "{file}: {tones:?}: as long as the file");
        }
        assert!((1.9..2.1).contains(&(second.0 - first.1)), "{file}: {tones:?}: a pause of two seconds");
        assert!(bursts(&heard, other, RATE).is_empty(), "{file}: the other side's ringtone is not heard");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_speaks_hears_and_falls_silent_at_once() {
    let none = RingtoneConfiguration::default;
    let echo = AudioConfiguration { echo: true, ..AudioConfiguration::default() };
    let mut alice = Party::start("alice", AudioConfiguration::default(), none()).await;
    let mut bob = Party::start("bob", echo, none()).await;
    let calling = alice.call(&bob, StreamSet::AUDIO).await;
    let early = calling.attach_pcm(RATE).await.expect_err("there is no call yet");
    assert!(matches!(early, Error::IllegalState { .. }), "{early}");
    let (called, _) = bob.wait_for("SCSessionNewIncoming").await;
    called.accept(StreamSet::AUDIO).await.expect("it is legal in INCOMING");
    alice.wait_for("SCSessionDidStart").await;
    assert!(matches!(calling.attach_pcm(11_025).await, Err(Error::BadValue { .. })));
    let (mut says, mut hears, spoken) = undisturbed(async || speak(&calling).await).await;
    let (waited, all, loud) = (spoken.waited, spoken.all, spoken.loud);
    assert!((0.5..0.9).contains(&waited.as_secs_f64()), "{waited:?}: 400 ms are ahead");
    assert!((0.9..1.4).contains(&all.as_secs_f64()), "{all:?}: what was heard");
    assert!((46..=54).contains(&loud), "{loud} frames of 50");
    assert_eq!((hears.frame(), spoken.lost), (320, 0));

    let (dropped, loud) = undisturbed(async || interrupt(&mut says, &mut hears).await).await;
    assert!(dropped >= 4_000, "{dropped} samples were not said");
    assert!(loud <= 9, "{loud} frames, though only about 5 were said");

    called.terminate().await.expect("it is legal anywhere");
    let ended = tokio::time::timeout(PATIENCE, async { while hears.next().await.is_some() {} });
    ended.await.expect("the reader ends with the call");
    assert!(says.write(&[0; 16_000]).await.is_err(), "and so does the writer");
    for party in [alice, bob] {
        party.application.stop().await;
    }
}

/// What came of a second of a tone.
struct Spoken {
    /// Until all of it was on its way, and until all of it was heard.
    waited: Duration,
    all: Duration,
    /// Frames of the tone that came back, and samples that did not.
    loud: usize,
    lost: u64,
}

/// A second of a tone takes a second, less what may wait, and comes back from Bob.
async fn speak(calling: &Session) -> (PcmWriter, PcmReader, Spoken) {
    let (mut says, mut hears) = calling.attach_pcm(RATE).await.expect("it has audio");
    let begun = tokio::time::Instant::now();
    let speaking = tokio::spawn(async move {
        says.write(&tone(440.0, 1.0, RATE)).await.expect("the call goes on");
        let waited = begun.elapsed();
        let mark = says.mark().expect("there is room for marks");
        assert!(mark.reached().await);
        (says, waited, begun.elapsed())
    });
    let heard = hear(&mut hears, 100).await;
    let (says, waited, all) = speaking.await.expect("no assertion failed");
    let spoken = Spoken { waited, all, loud: loud(&heard), lost: hears.lost() };
    (says, hears, spoken)
}

/// Bob interrupts after five frames: what was not yet said is dropped at once. How many samples that were, and how
/// many frames were heard.
async fn interrupt(says: &mut PcmWriter, hears: &mut PcmReader) -> (u64, usize) {
    assert_eq!(says.try_write(&tone(440.0, 0.4, RATE)), 6_400);
    let mark = says.mark().expect("there is room for marks");
    hear(hears, 5).await;
    let dropped = says.flush();
    assert!(mark.reached().await, "what is dropped is done with");
    (dropped, loud(&hear(hears, 50).await))
}

/// Frames of the tone that was said.
fn loud(frames: &[Vec<i16>]) -> usize {
    frames.iter().filter(|frame| share(frame, 440.0, RATE) > 0.5).count()
}

async fn hear(reader: &mut PcmReader, frames: usize) -> Vec<Vec<i16>> {
    let mut heard = Vec::new();
    for _ in 0..frames {
        let frame = tokio::time::timeout(PATIENCE, reader.next()).await.expect("frames come at their pace");
        heard.push(frame.expect("the call goes on"));
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_leaves_out_hold_has_a_name_and_ends_with_audio() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let none = RingtoneConfiguration::default;
    let mut alice = Party::start("alice", AudioConfiguration::default(), none()).await;
    let mut bob = Party::start("bob", AudioConfiguration::default(), none()).await;
    let calling = alice.call(&bob, StreamSet::BOTH).await;
    let (called, _) = bob.wait_for("SCSessionNewIncoming").await;
    called.accept(StreamSet::BOTH).await.expect("it is legal in INCOMING");
    alice.wait_for("SCSessionDidStart").await;

    let to = folder.path().join("made/on the way");
    calling.start_recording_audio(&to, None).await.expect("it has audio");
    let again = calling.start_recording_audio(&to, None).await.expect_err("it is recorded already");
    assert!(again.to_string().contains("already"), "{again}");
    let (_, will) = alice.wait_for("SCSessionWillStartRecordingAudio").await;
    let (_, did) = alice.wait_for("SCSessionDidStartRecordingAudio").await;
    let (
        SessionEvent::WillStartRecordingAudio { file_name },
        SessionEvent::DidStartRecordingAudio { file_name: same },
    ) = (will, did)
    else {
        unreachable!("they were waited for by name")
    };
    assert_eq!(file_name, same);
    assert_eq!(calling.audio_recording_file_name().as_ref(), Some(&file_name));
    let path = Path::new(&file_name);
    assert!(path.is_absolute() && path.starts_with(&to), "{file_name}");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with("20") && name.contains("alice@127.0.0.1-bob@127.0.0.1"), "{name}");

    let begun = tokio::time::Instant::now();
    listen(1.0).await;
    calling.hold().await.expect("it is established");
    bob.wait_for("SCSessionGotHoldRequest").await;
    let first = begun.elapsed();
    listen(1.5).await;
    let begun = tokio::time::Instant::now();
    calling.unhold().await.expect("it is established");
    bob.wait_for("SCSessionGotUnholdRequest").await;
    listen(1.0).await;
    // The end of audio is the end of its recording.
    called.remove_audio().await.expect("there is chat left");
    alice.wait_for("SCSessionWillStopRecordingAudio").await;
    alice.wait_for("SCSessionDidStopRecordingAudio").await;
    let most = (first + begun.elapsed()).as_secs_f64() + 0.7;
    assert_eq!(calling.audio_recording_file_name(), None);
    let (left, _, rate) = media::wav::read_stereo(path).expect("a whole file");
    let seconds = left.len() as f64 / f64::from(rate);
    assert!((1.7..most).contains(&seconds), "{seconds} s are not two, without what was on hold: {most}");
    calling.terminate().await.expect("it is legal anywhere");
    bob.wait_for("SCSessionDidEnd").await;
    for party in [alice, bob] {
        party.application.stop().await;
    }
}
