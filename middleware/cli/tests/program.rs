//! The program as scripts and people run it: its lines, its exit codes, how it leaves.
#![expect(clippy::disallowed_methods, reason = "how long leaving takes is measured")]

#[path = "../../tests/interop/process.rs"]
#[allow(dead_code, reason = "shared with the interop tests, which use all of it")]
mod process;
#[allow(dead_code, reason = "shared with the blasts")]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Listener, Registrar, Running, sipsimple};

/// What the demo may take.
const DEMO: Duration = Duration::from_secs(60);
/// What leaving may take.
const LEAVING: Duration = Duration::from_millis(3_500);

fn call(uri: &str, options: &[&str]) -> Running {
    let mut arguments = vec!["call", uri, "--bind", "127.0.0.1", "--port", "0", "--device", "null", "--json"];
    arguments.extend(options);
    Running::start(&arguments)
}

#[test]
fn a_signal_hangs_up_and_the_program_ends_well() {
    for signal in ["TERM", "INT"] {
        let mut listener = Listener::start(&["--exit-after", "1"]);
        let mut calling = call(&listener.uri(), &[]);
        calling.wait_for("SCSessionDidStart");
        calling.signal(signal);
        let (code, events) = calling.finish(LEAVING);
        assert_eq!(code, Some(0), "SIG{signal}");
        let names: Vec<&str> = events.iter().filter_map(|event| event["name"].as_str()).collect();
        assert!(names.contains(&"SCSessionWillEnd") && names.contains(&"SCSessionDidEnd"), "{names:?}");
        assert_eq!(events.last(), Some(&serde_json::json!({"name": "exit", "code": 0})));
        // The other side got the BYE: it leaves after one call.
        let ended = listener.running.wait_for("SCSessionDidEnd");
        assert_eq!(ended["data"]["originator"], "remote");
        assert_eq!(listener.running.finish(LEAVING).0, Some(0));
    }
}

#[test]
fn a_signal_while_it_rings_cancels() {
    let mut listener = Listener::start(&["--ring", "60"]);
    let mut calling = call(&listener.uri(), &[]);
    calling.wait_for("SCSessionGotRingIndication");
    calling.signal("INT");
    assert_eq!(calling.finish(LEAVING).0, Some(0));
    let failed = listener.running.wait_for("SCSessionDidFail");
    assert_eq!(failed["data"]["code"], 487);
}

#[test]
fn a_peer_that_is_gone_keeps_nobody_and_a_second_signal_leaves_now() {
    let listener = Listener::start(&[]);
    let mut patient = call(&listener.uri(), &[]);
    let mut hasty = call(&listener.uri(), &[]);
    patient.wait_for("SCSessionDidStart");
    hasty.wait_for("SCSessionDidStart");
    listener.running.signal("STOP");
    let begun = Instant::now();
    patient.signal("TERM");
    hasty.signal("INT");
    hasty.wait_for("SCSessionWillEnd");
    hasty.signal("INT");
    assert_eq!(hasty.finish(Duration::from_secs(1)).0, Some(130));
    assert_eq!(patient.finish(LEAVING).0, Some(0));
    assert!(begun.elapsed() > Duration::from_secs(1), "it did try");
    listener.running.signal("CONT");
}

#[test]
fn what_was_registered_is_unregistered() {
    let registrar = Registrar::start();
    let proxy = registrar.uri();
    let password = ["--password-env", "SIP_PASSWORD"];
    let options = ["--from", "sip:alice@test.example", "--registrar", &proxy, "--proxy", &proxy];
    let mut arguments = vec!["register", "--bind", "127.0.0.1", "--port", "0", "--json"];
    arguments.extend(options);
    arguments.extend(password);
    let mut registering = Running::start(&arguments);
    registering.wait_for("SCRegistrationDidSucceed");
    registering.signal("TERM");
    let (code, events) = registering.finish(LEAVING);
    assert_eq!(code, Some(0));
    assert!(events.iter().any(|event| event["name"] == "SCRegistrationDidEnd"), "{events:?}");
    assert_eq!(registrar.expires(), [3_600, 0]);
}

#[test]
fn exit_codes_tell_what_became_of_it() {
    let listener = Listener::start(&["--reject", "603"]);
    let (code, events) = call(&listener.uri(), &[]).finish(Duration::from_secs(10));
    assert_eq!(code, Some(1));
    let exit = events.last().expect("a last line");
    assert_eq!((&exit["name"], &exit["code"]), (&Value::from("exit"), &Value::from(1)));
    assert!(exit["reason"].as_str().is_some_and(|reason| reason.contains("603")), "{exit}");

    for (arguments, code) in [
        (&["call"][..], 2),
        (&["call", "sip:a@127.0.0.1:1", "--no-such-option", "--json"], 2),
        (&["call", "sip:a@127.0.0.1:1", "--no-audio"], 2),
        (&["call", "sip:a@127.0.0.1:1", "--codecs", "none"], 2),
        (&["call", "sip:a@127.0.0.1:1", "--password", "secret"], 2),
        (&["inspect", "/nonexistent"], 1),
        (&["listen", "--bind", "192.0.2.1", "--port", "0", "--device", "null"], 1),
        (&["--version"], 0),
        (&["listen", "--help"], 0),
    ] {
        let output = sipsimple().args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{arguments:?}: errors are on stderr");
        if arguments.contains(&"--json") {
            let line: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
            assert_eq!((&line["name"], &line["code"]), (&Value::from("exit"), &Value::from(2)));
        }
    }
}

#[test]
fn a_trace_is_a_capture_that_inspect_reads_and_secrets_are_not_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["trace.pcap", "trace.pcapng"] {
        let path = folder.path().join(name);
        let listener = Listener::start(&[]);
        let trace = path.to_str().expect("text");
        let options = ["--chat", "hello", "--srtp", "mandatory", "--seconds", "1", "--trace", trace];
        assert_eq!(call(&listener.uri(), &options).finish(Duration::from_secs(15)).0, Some(0));
        let output = sipsimple().args(["inspect", trace]).output().expect("it runs");
        let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
            .collect();
        assert!(output.status.success(), "all packets are well-formed: {lines:#?}");
        let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
        assert!(of("sip") >= 6 && of("msrp") >= 2, "{lines:#?}");
        let bytes = std::fs::read(&path).expect("the capture");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("a=crypto:") && !text.contains("inline:WV"), "keys are redacted");
        assert!(text.contains("hello"), "what was said is there");
    }
}

/// What stands behind each of these words in the capture, up to white space.
fn secrets(capture: &[u8], word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(capture);
    let ends = |c: char| c.is_whitespace() || c.is_control() || "|\"".contains(c);
    let found =
        text.match_indices(word).filter_map(|(at, _)| text.get(at + word.len()..)?.split(ends).next());
    found.filter(|secret| secret.len() >= 20).map(str::to_owned).collect()
}

#[test]
fn no_secret_is_in_logs_or_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.pcap").to_str().expect("text").to_owned();
    let registrar = Registrar::start();
    let proxy = registrar.uri();
    let listener = Listener::start_with(&[("RUST_LOG", "trace")], &["--srtp", "mandatory", "--ice"]);
    let uri = listener.uri();
    let talk =
        ["call", &uri, "--bind", "127.0.0.1", "--port", "0", "--device", "null", "--json", "--seconds", "1"];
    let keys = ["--srtp", "mandatory", "--ice", "--trace", &trace, "--trace-secrets"];
    let relay = ["--turn", "127.0.0.1:9", "--turn-user", "alice", "--turn-password-env", "TURN_SECRET"];
    let calling = Running::start_with(
        &[("RUST_LOG", "trace"), ("TURN_SECRET", "a relay's secret")],
        &[&talk[..], &keys, &relay].concat(),
    );
    let (code, logged) = calling.finish_with_all(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{logged}");

    let account =
        ["--from", "sip:alice@test.example", "--registrar", &proxy, "--password-env", "SIP_PASSWORD"];
    let mut registering = Running::start_with(
        &[("RUST_LOG", "trace")],
        &[&["register", "--bind", "127.0.0.1", "--port", "0", "--json", "--proxy", &proxy][..], &account]
            .concat(),
    );
    registering.wait_for("SCRegistrationDidSucceed");
    registering.signal("TERM");
    let (code, registered) = registering.finish_with_all(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{registered}");

    let capture = std::fs::read(&trace).expect("the capture");
    let (keys, passwords) = (secrets(&capture, "inline:"), secrets(&capture, "a=ice-pwd:"));
    assert!(keys.len() >= 2 && passwords.len() >= 2, "the capture has those of both sides");
    let logs = [logged, registered, listener.running.errors()];
    assert!(logs.iter().any(|log| log.contains("SCSessionDidStart")), "what the program says is there");
    let others = ["alice's secret", "a relay's secret", "response=\"", "inline:"].map(str::to_owned);
    for secret in keys.iter().chain(&passwords).chain(&others) {
        let line = logs.iter().flat_map(|log| log.lines()).find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in a log");
    }
}

#[test]
fn a_missing_sound_device_is_no_failure() {
    let listener = Listener::start(&[]);
    let options = ["--seconds", "0.5"];
    let mut arguments =
        vec!["call", "", "--bind", "127.0.0.1", "--port", "0", "--json", "--device", "no such card"];
    let uri = listener.uri();
    arguments[1] = &uri;
    arguments.extend(options);
    let mut calling = Running::start(&arguments);
    calling.wait_for("SCSessionDidStart");
    let errors = calling.errors();
    assert_eq!(calling.finish(Duration::from_secs(10)).0, Some(0));
    assert!(errors.contains("no such card") && errors.contains("--device null"), "{errors}");
}

/// What was opened before the device was missed is free again: a port of one's own is had every time.
#[test]
fn a_missing_sound_device_leaves_the_port() {
    let port = process::free_port().to_string();
    for _ in 0..5 {
        let options =
            ["listen", "--bind", "127.0.0.1", "--port", &port, "--json", "--device", "no such card"];
        let running = Running::start(&options);
        let begun = Instant::now();
        while !running.errors().contains("listening on") {
            let errors = running.errors();
            assert!(!errors.contains("in use") && begun.elapsed() < Duration::from_secs(10), "{errors}");
            std::thread::yield_now();
        }
        running.signal("TERM");
        assert_eq!(running.finish(LEAVING).0, Some(0));
    }
}

#[test]
fn chat_can_be_added_in_the_course_of_a_call() {
    let mut listener = Listener::start(&[]);
    let calling = call(&listener.uri(), &["--add-chat-after", "0.3", "--chat", "later", "--seconds", "2"]);
    let proposal = listener.running.wait_for("SCSessionGotStreamProposal");
    assert_eq!(proposal["data"]["adds_chat"], true);
    let message = listener.running.wait_for("SCSessionGotMessage");
    assert_eq!(message["data"]["content"], "later");
    assert_eq!(calling.finish(Duration::from_secs(10)).0, Some(0));
}

#[test]
fn a_call_is_handed_over() {
    let mut carol = Listener::start(&[]);
    let mut bob = Listener::start(&["--transfers"]);
    let mut calling = call(&bob.uri(), &["--transfer", &carol.uri(), "--transfer-after", "0.3"]);
    let asked = bob.running.wait_for("SCSessionTransferNewIncoming");
    assert_eq!(asked["data"]["destination"], carol.uri());
    carol.running.wait_for("SCSessionDidStart");
    calling.wait_for("SCSessionTransferDidEnd");
    assert_eq!(calling.finish(Duration::from_secs(10)).0, Some(0));
}

#[test]
fn who_transfers_nothing_says_so() {
    let mut bob = Listener::start(&[]);
    let calling = call(&bob.uri(), &["--transfer", "sip:carol@127.0.0.1:9"]);
    assert_eq!(calling.finish(Duration::from_secs(10)).0, Some(1));
    bob.running.wait_for("SCSessionDidEnd");
}

#[test]
fn early_media_go_out_while_it_rings() {
    let listener = Listener::start(&["--ring", "0.5", "--early-media"]);
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("sip.txt");
    let calling = call(&listener.uri(), &["--seconds", "0.3", "--trace", &trace.to_string_lossy()]);
    assert_eq!(calling.finish(Duration::from_secs(10)).0, Some(0));
    let trace = std::fs::read_to_string(trace).expect("the trace is there");
    let (progress, answer) = (trace.find("SIP/2.0 183"), trace.find("SIP/2.0 200 OK\r\n"));
    let progress = progress.unwrap_or_else(|| panic!("no 183 in {trace}"));
    assert!(answer.is_some(), "{trace}");
    let (_, description) = trace.split_at(progress);
    assert!(description.find("m=audio").is_some_and(|at| at < 1_500), "with an answer: {trace}");
}

/// A second of a tone, as a WAV file; whole periods, so that it can be repeated.
fn tone(folder: &Path, name: &str, hertz: f64) -> String {
    let samples =
        (0..8_000).map(|n| (f64::from(n) * hertz * std::f64::consts::TAU / 8_000.0).sin() * 6_000.0);
    let data: Vec<u8> = samples.flat_map(|sample| (sample as i16).to_le_bytes()).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    let path = folder.join(name);
    std::fs::write(&path, file).expect("the disk has room");
    path.to_str().expect("text").to_owned()
}

/// How loud a frequency is in the last second of what was heard: its amplitude (Goertzel).
fn loudness(recording: &Path, hertz: f64) -> f64 {
    let (_, heard, rate) = media::wav::read_stereo(recording).expect("a recording");
    let last = &heard[heard.len().saturating_sub(rate as usize)..];
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in last.iter().enumerate() {
        let angle = n as f64 * hertz * std::f64::consts::TAU / f64::from(rate);
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * re.hypot(im) / last.len() as f64
}

/// The only recording in a folder.
fn recorded(folder: &Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let file = files.next().expect("a recording");
    assert!(files.next().is_none(), "one recording");
    file
}

#[test]
fn who_is_called_at_once_hears_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, path) = (folder.path(), |name: &str| folder.path().join(name));
    let tones = [("us", 400.0), ("bob", 1_000.0), ("carol", 1_700.0)];
    let [ours, bobs, carols] = tones.map(|(who, hertz)| tone(here, &format!("{who}.wav"), hertz));
    let listener = |name: &str, play: &str| {
        let to = path(name);
        std::fs::create_dir(&to).expect("a folder");
        let to = to.to_str().expect("text").to_owned();
        Listener::start(&["--codecs", "pcmu", "--play", play, "--loop", "--record", &to])
    };
    let (mut bob, mut carol) = (listener("bob", &bobs), listener("carol", &carols));
    let (first, second, to) = (bob.uri(), carol.uri(), path("us.heard.wav"));
    let options = ["--codecs", "pcmu", "--play", &ours, "--loop", "--record", to.to_str().expect("text")];
    let calling = call(&first, &[&[second.as_str(), "--seconds", "4"], &options[..]].concat());
    let (code, _) = calling.finish(Duration::from_secs(20));
    assert_eq!(code, Some(0));
    bob.running.wait_for("SCSessionDidEnd");
    carol.running.wait_for("SCSessionDidEnd");
    drop((bob, carol));
    // We hear each of them in its own call.
    assert!(loudness(&to, 1_000.0) > 2_500.0 && loudness(&to, 1_700.0) < 300.0, "the first call");
    let second = path("us.heard-2.wav");
    assert!(loudness(&second, 1_700.0) > 2_500.0 && loudness(&second, 1_000.0) < 300.0, "the second");
    hears(&recorded(&path("bob")), "bob", 1_000.0, &[400.0, 1_700.0]);
    hears(&recorded(&path("carol")), "carol", 1_700.0, &[400.0, 1_000.0]);
}

/// Who plays one tone hears the others and not itself.
fn hears(recording: &Path, who: &str, own: f64, others: &[f64]) {
    let loud = loudness(recording, own);
    assert!(loud < 300.0, "{who} hears itself: {loud}");
    for hertz in others {
        let loud = loudness(recording, *hertz);
        assert!(loud > 2_500.0, "{who} does not hear {hertz} Hz: {loud}");
    }
}

#[test]
fn who_calls_a_conference_hears_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let tones = [("us", 400.0), ("alice", 1_000.0), ("bob", 1_700.0), ("carol", 2_600.0)];
    let sound = |(who, hertz): (&str, f64)| tone(folder.path(), &format!("{who}.wav"), hertz);
    let ours = sound(tones[0]);
    let mut listener = Listener::start(&["--conference", "--codecs", "pcmu", "--play", &ours, "--loop"]);
    let uri = listener.uri();
    let dial = |tone: (&str, f64), options: &[&str]| {
        let (play, record) = (sound(tone), path(&format!("{}.heard.wav", tone.0)));
        let media = ["--codecs", "pcmu", "--play", &play, "--loop", "--record", &record];
        let mut calling = call(&uri, &[&media[..], options].concat());
        calling.wait_for("SCSessionDidStart");
        calling
    };
    let (alice, bob) = (dial(tones[1], &[]), dial(tones[2], &[]));
    // The last that comes tells the end: it has heard all of the others, and they it.
    let mut carol = dial(tones[3], &["--seconds", "3"]);
    carol.wait_for("SCSessionWillEnd");
    alice.signal("TERM");
    bob.signal("TERM");
    for (who, calling) in [("alice", alice), ("bob", bob), ("carol", carol)] {
        assert_eq!(calling.finish(LEAVING).0, Some(0), "{who}");
        listener.running.wait_for("SCSessionDidEnd");
    }
    for (who, own) in &tones[1..] {
        let others: Vec<f64> = tones.iter().filter(|(other, _)| other != who).map(|tone| tone.1).collect();
        hears(Path::new(&path(&format!("{who}.heard.wav"))), who, *own, &others);
    }
}

#[test]
fn one_of_several_that_does_not_answer_leaves_the_others() {
    let mut bob = Listener::start(&[]);
    let busy = Listener::start(&["--reject", "486"]);
    let (first, second) = (bob.uri(), busy.uri());
    let (code, events) = call(&first, &[&second, "--seconds", "0.5"]).finish(Duration::from_secs(10));
    assert_eq!(code, Some(1));
    bob.running.wait_for("SCSessionDidEnd");
    let reason = events.last().and_then(|exit| exit["reason"].as_str()).unwrap_or_default();
    assert!(reason.contains(&second) && reason.contains("486"), "{reason}");
}

#[test]
fn a_demo_is_traced_where_one_wants_it_and_keeps_to_its_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (out, trace) = (path("out"), path("trace.txt"));
    let options =
        ["demo", "--json", "--seconds", "2", "--bind", "127.0.0.2", "--out", &out, "--trace", &trace];
    let (code, events) = Running::start(&[&options[..], &["--trace-secrets"]].concat()).finish(DEMO);
    assert_eq!(code, Some(0), "{:?}", events.last());
    let text = std::fs::read_to_string(&trace).expect("the trace");
    for expected in ["127.0.0.2:", "REGISTER sip:", "INVITE sip:bob@", "MSRP ", "a=crypto:"] {
        assert!(text.contains(expected), "no {expected:?} in the trace");
    }
    assert!(!text.contains("127.0.0.1"), "it keeps to the address");
    assert!(!text.contains("inline:xxxx"), "keys were asked for");
    // The capture is there as ever, and shows no keys.
    let capture = std::fs::read(folder.path().join("out/capture.pcapng")).expect("the capture");
    let capture = String::from_utf8_lossy(&capture);
    assert!(capture.contains("INVITE sip:bob@") && capture.contains("inline:xxxx"), "keys are redacted");
}

#[test]
fn the_doctor_tells_of_each_check_what_to_do() {
    let registrar = Registrar::start();
    let proxy = registrar.uri();
    let output = sipsimple()
        .args(["doctor", "--bind", "127.0.0.1", "--port", "0", "--from", "sip:alice@test.example"])
        .args([
            "--proxy",
            &proxy,
            "--registrar",
            &proxy,
            "--stun",
            "127.0.0.1:9",
            "--turn",
            "127.0.0.1:9",
            "--turn-user",
            "alice",
            "--turn-password-env",
            "SIP_PASSWORD",
            "--json",
            "--password-env",
            "SIP_PASSWORD",
        ])
        .output()
        .expect("it runs");
    let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect();
    let verdict = |check: &str| {
        let found = lines.iter().find(|line| line["check"] == check);
        found.map(|line| line["verdict"].as_str().unwrap_or_default().to_owned())
    };
    for check in [
        "settings",
        "network",
        "transports",
        "tls",
        "codecs",
        "audio",
        "stun",
        "ice",
        "turn",
        "dns",
        "registration",
    ] {
        assert!(verdict(check).is_some(), "{check} is not in {lines:#?}");
    }
    assert_eq!(verdict("codecs").as_deref(), Some("ok"));
    assert_eq!(verdict("registration").as_deref(), Some("ok"), "{lines:#?}");
    assert_eq!(verdict("stun").as_deref(), Some("failed"), "nobody is there");
    assert_eq!(verdict("ice").as_deref(), Some("ok"), "{lines:#?}");
    assert_eq!(verdict("turn").as_deref(), Some("failed"), "nobody is there");
    for line in lines.iter().filter(|line| line["verdict"] == "failed") {
        assert!(line["advice"].is_string(), "{line}");
    }
    assert_eq!(output.status.code(), Some(1), "something does not work");
    assert_eq!(registrar.expires().last(), Some(&0), "it leaves nothing registered");
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for (arguments, expected) in [
        (&["completions", "bash"][..], "_sipsimple"),
        (&["completions", "zsh"], "#compdef sipsimple"),
        (&["completions", "fish"], "complete -c sipsimple"),
        (&["man"], ".TH sipsimple 1"),
        (&["man", "listen"], "sipsimple listen"),
    ] {
        let output = sipsimple().args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{arguments:?}: no {expected:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let status = sipsimple().arg("man").arg("--out").arg(folder.path()).status().expect("it runs");
    assert!(status.success() && folder.path().join("sipsimple-call.1").is_file());
    let bash = sipsimple().args(["completions", "bash"]).output().expect("it runs").stdout;
    check_with_bash(&folder.path().join("sipsimple"), &bash);
}

/// What bash itself makes of it, where there is one.
fn check_with_bash(path: &Path, script: &[u8]) {
    std::fs::write(path, script).expect("the disk has room");
    let asked = "source \"$0\"; COMP_WORDS=(sipsimple doc); COMP_CWORD=1; _sipsimple sipsimple doc sipsimple; echo \"${COMPREPLY[@]}\"";
    if let Ok(output) = Command::new("bash").args(["-c", asked]).arg(path).output() {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "doctor");
    }
}
