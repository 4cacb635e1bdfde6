//! Calls through sound cards: a PulseAudio of our own with null sinks, behind ALSA's default device.
//!
//! ```text
//!  paplay ──▶ micsrc ──▶ mic (ALSA's default input)  ─┐
//!                                                     ├ sipsimple ◀──▶ the other side, with files
//!  parecord ◀── spk.monitor ◀── spk (default output) ─┘
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{PATIENCE, Running, until};
use crate::program::{Listen, call_with};
use crate::sound::{Sound, resemblance_in_pieces};
use crate::{ALIKE, only_wav};

/// How many of sixteen pieces have to be found where they belong: of another sound none is.
const PIECES: usize = 12;
/// The same of a loudspeaker: what it plays over and over is heard from any place on, for eight seconds, so that of the
/// four that are looked for two may be at the beginning and the other two at the end.
const PART: usize = 5;

/// A sound server and its devices.
struct Pulse {
    folder: PathBuf,
    server: Running,
}

impl Pulse {
    fn start(folder: &Path) -> Self {
        let runtime = folder.join("run/pulse");
        std::fs::create_dir_all(&runtime).expect("new folders");
        let socket = runtime.join("native");
        let script = format!(
            "load-module module-native-protocol-unix socket={} auth-anonymous=1\n{}{}",
            socket.display(),
            LOUDSPEAKER.map(|line| format!("{line}\n")).concat(),
            MICROPHONE.map(|line| format!("{line}\n")).concat(),
        );
        std::fs::write(folder.join("default.pa"), script).expect("a new file");
        let alsa = "pcm.!default { type pulse hint { show on description \"pulse\" } }\n\
                    ctl.!default { type pulse }\n";
        std::fs::write(folder.join("asound.conf"), alsa).expect("a new file");
        Self { folder: folder.to_owned(), server: Self::serve(folder) }
    }

    fn serve(folder: &Path) -> Running {
        let mut command = Command::new("pulseaudio");
        command
            .args(["-n", "--daemonize=no", "--disallow-exit", "--exit-idle-time=-1", "--use-pid-file=no"])
            .args(["--realtime=yes", "--high-priority=yes", "--log-target=stderr", "-F"])
            .arg(folder.join("default.pa"));
        for (name, value) in environment(folder) {
            command.env(name, value);
        }
        let server = Running::start(&mut command, folder, "pulseaudio");
        assert!(until(PATIENCE, || asks(folder, &["info"])), "pulseaudio answers");
        server
    }

    fn restart(&mut self) {
        self.server = Self::serve(&self.folder);
    }

    /// Ends it without a word, as a crash does.
    fn kill(&mut self) {
        // The next one takes its socket only when nobody answers there any more.
        self.server.kill();
    }

    /// Takes both devices away.
    fn unplug(&self) {
        let loaded = control(&self.folder, &["list", "short", "modules"]).output().expect("pactl runs");
        for line in String::from_utf8_lossy(&loaded.stdout).lines() {
            let (number, rest) = line.split_once('\t').expect("a number and a name");
            if rest.starts_with("module-null-sink") || rest.starts_with("module-remap-source") {
                // Its source goes with a sink.
                asks(&self.folder, &["unload-module", number]);
            }
        }
        assert!(until(PATIENCE, || !self.has_devices()), "they are gone");
    }

    /// And gives them back.
    fn plug(&self) {
        for line in LOUDSPEAKER.iter().chain(MICROPHONE) {
            assert!(asks(&self.folder, &line.split(' ').collect::<Vec<_>>()), "{line}");
        }
        assert!(until(PATIENCE, || self.has_devices()), "they are there");
    }

    fn has_devices(&self) -> bool {
        let listed = control(&self.folder, &["list", "short", "sinks"]).output().expect("pactl runs");
        String::from_utf8_lossy(&listed.stdout).contains("\tspk\t")
    }

    /// Whether somebody plays and somebody hears through them.
    fn is_used(&self) -> bool {
        let uses = |what: &str| {
            let listed = control(&self.folder, &["list", "short", what]).output().expect("pactl runs");
            // The other one is the link between the microphone and what feeds it.
            let ours = |line: &&str| line.split('\t').nth(2).is_some_and(|client| client != "-");
            String::from_utf8_lossy(&listed.stdout).lines().filter(ours).count() > 0
        };
        uses("sink-inputs") && uses("source-outputs")
    }

    /// Speaks into the microphone.
    fn speak(&self, sound: &Sound, name: &str) -> Running {
        let file = self.folder.join(format!("{name}.wav"));
        sound.write(&file);
        let mut command = Command::new("paplay");
        command.args(["-d", "micsrc"]).arg(file);
        self.run(command, name)
    }

    /// Writes what the loudspeaker plays into a file.
    fn hear(&self, name: &str) -> (Running, PathBuf) {
        let file = self.folder.join(format!("{name}.wav"));
        let mut command = Command::new("parecord");
        command
            .args([
                "-d",
                "spk.monitor",
                "--file-format=wav",
                "--format=s16le",
                "--rate=48000",
                "--channels=1",
            ])
            .arg(&file);
        (self.run(command, name), file)
    }

    fn run(&self, mut command: Command, name: &str) -> Running {
        command.envs(environment(&self.folder));
        Running::start(&mut command, &self.folder, name)
    }
}

const LOUDSPEAKER: &[&str; 2] =
    &["load-module module-null-sink norewinds=1 sink_name=spk rate=48000 channels=2", "set-default-sink spk"];
const MICROPHONE: &[&str; 3] = &[
    "load-module module-null-sink norewinds=1 sink_name=micsrc rate=48000 channels=1",
    "load-module module-remap-source source_name=mic master=micsrc.monitor",
    "set-default-source mic",
];

/// Where programs find that server, and nothing else of this host's sound.
fn environment(folder: &Path) -> [(&'static str, String); 5] {
    let path = |name: &str| folder.join(name).display().to_string();
    [
        ("PULSE_SERVER", format!("unix:{}", path("run/pulse/native"))),
        ("PULSE_RUNTIME_PATH", path("run/pulse")),
        ("PULSE_STATE_PATH", path("state")),
        ("XDG_RUNTIME_DIR", path("run")),
        ("ALSA_CONFIG_PATH", format!("/usr/share/alsa/alsa.conf:{}", path("asound.conf"))),
    ]
}

fn control(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("pactl");
    command.args(arguments).envs(environment(folder)).stderr(std::process::Stdio::null());
    command
}

fn asks(folder: &Path, arguments: &[&str]) -> bool {
    control(folder, arguments).stdout(std::process::Stdio::null()).status().is_ok_and(|s| s.success())
}

/// One after the other, each during a part of a call; nothing here waits longer than they last.
fn listens(pulse: &Pulse, name: &str, ours: &Sound) -> PathBuf {
    let (mut hearing, heard) = pulse.hear(&format!("heard-{name}"));
    let mut speaking = pulse.speak(ours, &format!("spoken-{name}"));
    assert!(speaking.wait(PATIENCE).success(), "paplay plays to its end");
    hearing.terminate();
    heard
}

fn check(played: &Sound, heard: &Sound, least: usize, what: &str) {
    let found = resemblance_in_pieces(played, heard);
    let alike = found.pieces_above(ALIKE);
    println!("{what}: {alike} of 16 pieces, {found:?}");
    assert!(alike >= least, "{what}: {found:?}, needs {least} above {ALIKE}");
}

/// A call from the sound card to a file player, with `accident` in the middle of it.
fn call_through_card(accident: impl FnOnce(&mut Pulse)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (theirs, before, after) = (Sound::deep(21), Sound::deep(22), Sound::deep(23));
    let (playing, recordings) = (folder.path().join("theirs.wav"), folder.path().join("recordings"));
    theirs.write(&playing);
    std::fs::create_dir(&recordings).expect("a new folder");
    let mut pulse = Pulse::start(folder.path());
    let listen = Listen::start(&[
        "--play",
        &playing.to_string_lossy(),
        "--loop",
        "--record",
        &recordings.to_string_lossy(),
    ]);
    let uri = format!("sip:listen@127.0.0.1:{}", listen.port());
    let options = ["--device", "default", "--codecs", "pcmu"];
    let (mut calling, _output) = call_with(&uri, &options, &environment(folder.path()));
    assert!(until(PATIENCE, || pulse.is_used()), "the call uses the card");
    let heard_before = listens(&pulse, "before", &before);
    accident(&mut pulse);
    assert!(until(PATIENCE, || pulse.is_used()), "the call uses the card again");
    let heard_after = listens(&pulse, "after", &after);
    assert_eq!(listen.ends(), 0, "the call goes on");
    assert!(calling.terminate().success(), "{}", calling.stderr());
    assert!(!calling.stderr().contains("panicked at"), "{}", calling.stderr());
    assert!(listen.wait_for_ends(1), "the call ended");
    listen.stop();
    let recorded = Sound::read(&only_wav(&recordings));
    check(&theirs, &Sound::read(&heard_before), PART, "what the loudspeaker played");
    check(&before, &recorded, PIECES, "what the peer heard of the microphone");
    check(&theirs, &Sound::read(&heard_after), PART, "what the loudspeaker played afterwards");
    check(&after, &recorded, PIECES, "what the peer heard of the microphone afterwards");
}

#[test]
#[ignore = "needs pulseaudio: ./dev interop"]
fn a_sound_card_plays_and_captures_a_call() {
    call_through_card(|_| ());
}

#[test]
#[ignore = "needs pulseaudio: ./dev interop"]
fn a_sound_card_that_is_unplugged_does_not_end_a_call_and_comes_back() {
    call_through_card(|pulse| {
        pulse.unplug();
        assert!(until(PATIENCE, || !pulse.is_used()), "nobody uses what is not there");
        pulse.plug();
    });
}

#[test]
#[ignore = "needs pulseaudio: ./dev interop"]
fn a_sound_server_that_dies_does_not_end_a_call_and_comes_back() {
    call_through_card(|pulse| {
        pulse.kill();
        pulse.restart();
    });
}

/// The same from the other side: who answers has the card.
#[test]
#[ignore = "needs pulseaudio: ./dev interop"]
fn a_sound_card_answers_a_call() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (theirs, ours) = (Sound::deep(24), Sound::deep(25));
    let (playing, recording) = (folder.path().join("theirs.wav"), folder.path().join("recording.wav"));
    theirs.write(&playing);
    let pulse = Pulse::start(folder.path());
    let listen = Listen::start_with(&["--device", "default"], &environment(folder.path()));
    let uri = format!("sip:listen@127.0.0.1:{}", listen.port());
    let (playing, recorded) = (playing.to_string_lossy(), recording.to_string_lossy());
    let options =
        ["--device", "null", "--codecs", "opus", "--play", &playing, "--loop", "--record", &recorded];
    let (mut calling, _output) = call_with(&uri, &options, &[]);
    assert!(until(PATIENCE, || pulse.is_used()), "the call uses the card");
    let heard = listens(&pulse, "once", &ours);
    assert!(calling.terminate().success(), "{}", calling.stderr());
    assert!(listen.wait_for_ends(1), "the call ended");
    listen.stop();
    check(&theirs, &Sound::read(&heard), PART, "what the loudspeaker played");
    check(&ours, &Sound::read(&recording), PIECES, "what the peer heard of the microphone");
}
