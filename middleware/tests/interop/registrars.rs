//! Registrations: with Kamailio, and with a registrar that plays a script.
#![expect(clippy::disallowed_methods, reason = "real programs take real time, and it is measured")]

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dns;
use crate::kamailio::{Kamailio, authority};
use crate::process::{PATIENCE, free_port, left_out, until};
use crate::program::{Listen, call};
use crate::register::{PASSWORD, Register};

const ALICE: &str = "sip:alice@test.local";
/// In which time it has to be seen that a server is gone.
const SOON: Duration = Duration::from_secs(5);

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn kamailio_registers_over_udp_tcp_and_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(kamailio) = Kamailio::start(folder.path(), free_port(), free_port()) else { return };
    let ca = authority(folder.path());
    for (transport, port) in [("udp", kamailio.port), ("tcp", kamailio.port), ("tls", kamailio.tls_port)] {
        let proxy = format!("sip:127.0.0.1:{port};transport={transport}");
        let options = ["--proxy", &proxy, "--tls-ca", &ca.to_string_lossy(), "--expires", "60"];
        let register = Register::start(ALICE, Some(PASSWORD), &options);
        let success = register.success(1, PATIENCE);
        assert_eq!((success["code"].as_u64(), success["expires"].as_u64()), (Some(200), Some(60)));
        let contact = success["contact_uri"].as_str().unwrap_or_default();
        assert!(contact.starts_with("sip:alice@127.0.0.1:"), "{success}");
        assert_eq!(kamailio.registered(transport), 1, "over {transport}");
        register.stop();
        assert_eq!(kamailio.registered(transport), 2, "and it is taken back");
    }
    // The name is proved by the certificate, or it is no registration.
    let proxy = format!("sip:127.0.0.1:{};transport=tls", kamailio.tls_port);
    let register = Register::start(ALICE, Some(PASSWORD), &["--proxy", &proxy]);
    assert!(until(PATIENCE, || !register.named("SCRegistrationDidFail").is_empty()), "nobody vouches for it");
    let failure = register.named("SCRegistrationDidFail")[0].clone();
    let reason = failure["reason"].as_str().unwrap_or_default();
    assert!(failure["code"] == 0 && reason.contains("certificate"), "{failure}");
    assert_eq!(kamailio.registered("tls"), 2);
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn a_call_through_kamailio() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(kamailio) = Kamailio::start(folder.path(), free_port(), free_port()) else { return };
    let proxy = format!("sip:127.0.0.1:{}", kamailio.port);
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the disk has room");
    let password = password.to_string_lossy();
    let listen =
        Listen::start(&["--register", "--from", ALICE, "--proxy", &proxy, "--password-file", &password]);
    assert!(until(PATIENCE, || kamailio.registered("udp") == 1), "alice is registered");
    let bob =
        ["--from", "sip:bob@test.local", "--proxy", &proxy, "--password-file", &password, "--seconds", "1"];
    call(ALICE, &bob).expect_in_order(&["SCSessionWillStart", "SCSessionDidStart", "SCSessionDidEnd"]);
    assert!(listen.wait_for_ends(1), "and alice's side ends too");
    listen.stop().expect_in_order(&["SCRegistrationDidSucceed", "SCSessionDidStart", "SCSessionDidEnd"]);
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn registered_again_after_kamailio_restarts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(mut kamailio) = Kamailio::start(folder.path(), free_port(), free_port()) else { return };
    let ca = authority(folder.path());
    for (transport, port) in [("tcp", kamailio.port), ("tls", kamailio.tls_port)] {
        let proxy = format!("sip:127.0.0.1:{port};transport={transport}");
        let options = ["--proxy", &proxy, "--tls-ca", &ca.to_string_lossy()];
        let register = Register::start(ALICE, Some(PASSWORD), &options);
        register.success(1, PATIENCE);
        let (place, port, tls_port) = kamailio.stop();
        // It is away for a while: tries fail.
        assert!(
            until(SOON, || !register.named("SCRegistrationDidFail").is_empty()),
            "the end of the flow is seen"
        );
        kamailio = Kamailio::start(&place, port, tls_port).expect("it was there before");
        let begin = Instant::now();
        register.success(2, Duration::from_secs(10));
        println!("registered again over {transport} {:?} after the restart", begin.elapsed());
        assert_eq!(kamailio.registered(transport), 1);
        register.stop();
    }
}

#[test]
#[ignore = "needs kamailio: ./dev interop"]
fn another_registrar_of_the_domain_takes_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(first) = Kamailio::start(folder.path(), free_port(), free_port()) else { return };
    let second = Kamailio::start(folder.path(), free_port(), free_port()).expect("there is one already");
    // A registrar that is up but says nothing, before both of them.
    let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    let silent_port = silent.local_addr().expect("a bound socket").port();
    let server = dns::serve(vec![
        ("test.local", dns::naptr(10, "SIP+D2T", "_sip._tcp.test.local")),
        ("test.local", dns::naptr(20, "SIP+D2U", "_sip._udp.test.local")),
        ("_sip._tcp.test.local", dns::srv(1, first.port, "host.test.local")),
        ("_sip._tcp.test.local", dns::srv(2, second.port, "host.test.local")),
        ("_sip._udp.test.local", dns::srv(1, silent_port, "host.test.local")),
        ("_sip._udp.test.local", dns::srv(2, second.port, "host.test.local")),
        ("host.test.local", dns::address("127.0.0.1")),
    ])
    .to_string();
    // Over TCP the death is seen at once.
    let register = Register::start(ALICE, Some(PASSWORD), &["--dns", &server]);
    register.success(1, PATIENCE);
    assert_eq!((first.registered("tcp"), second.registered("tcp")), (1, 0), "the first by NAPTR and SRV");
    first.stop();
    let begin = Instant::now();
    let success = register.success(2, SOON);
    println!("over TCP the second took over after {:?}: {}", begin.elapsed(), success["route"]);
    assert_eq!(second.registered("tcp"), 1);
    register.stop();
    // Over UDP by silence.
    let begin = Instant::now();
    let register = Register::start(ALICE, Some(PASSWORD), &["--dns", &server, "--transport", "udp"]);
    register.success(1, Duration::from_secs(8));
    println!("over UDP the second took over after {:?}", begin.elapsed());
    assert_eq!(second.registered("udp"), 1);
    register.stop();
}

/// What we do otherwise than the UA that the scripts are from, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("203_reg_good_empty_realm", "a challenge without realm and nonce cannot be answered"),
    ("205_reg_good_no_realm", "the program has no option for the realm: a registrar may name any"),
    (
        "209c_reg_handle_423_bad_min_expires2",
        "a 423 without Min-Expires is a failure; no lifetime is guessed",
    ),
    ("220_reg_good_ims_ok", "no credentials are sent before they are asked for"),
    ("231_reg_bad_fail_stale_false_nonce_changed", "two tries a realm, however stale"),
    ("235_reg_good_tel_uri_enocredential", "a tel address has no domain to register at"),
    ("300_timer_good", "a call; the session timers' own tests have it"),
    ("400_inv_answered_with_less_media", "a call with two audio streams, of which we offer one"),
];

#[test]
#[ignore = "needs the corpora: ./dev interop"]
fn scripted_registrars() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/blackbox-pjsua/recvfrom_cases.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        left_out(&format!("there are no scripts of registrars at {}", file.display()));
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let mut played = 0;
    for case in &cases {
        let name = case["case"].as_str().expect("a name");
        if let Some((_, reason)) = EXCEPTIONS.iter().find(|(exception, _)| *exception == name) {
            println!("{name}: not played: {reason}");
            continue;
        }
        play(name, case);
        println!("{name}: as the script has it");
        played += 1;
    }
    assert_eq!(played + EXCEPTIONS.len(), cases.len(), "every case is played or named");
}

fn play(name: &str, case: &Value) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let port = socket.local_addr().expect("a bound socket").port();
    let arguments = case["pjsua_args"].as_str().unwrap_or_default();
    let value = |names: [&str; 2]| {
        let words: Vec<&str> = arguments.split([' ', '=']).collect();
        words.windows(2).find(|pair| names.contains(&pair[0])).map(|pair| pair[1].to_owned())
    };
    let user = value(["--username", "--user"]).unwrap_or_else(|| "CLIENT".to_owned());
    let password = value(["--password", "--password"]);
    let expires = value(["--reg-timeout", "--reg-timeout"]).unwrap_or_else(|| "3600".to_owned());
    let from = format!("sip:{user}@127.0.0.1:{port}");
    let register = Register::start(&from, password.as_deref(), &["--expires", &expires]);
    let steps = case["steps"].as_array().expect("steps");
    let (mut sequence, mut answered) = (0, Vec::new());
    for (number, step) in steps.iter().enumerate() {
        let at = format!("{name}, step {number}");
        let (request, peer) = receive(&socket, &at, &answered);
        for pattern in texts(&step["request_must_match"]) {
            assert!(matches(&request, &pattern), "{at}: no {pattern:?} in {request}");
        }
        for pattern in texts(&step["request_must_not_match"]) {
            assert!(!matches(&request, &pattern), "{at}: {pattern:?} in {request}");
        }
        let cseq = header(&request, "CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok());
        assert!(cseq.is_some_and(|cseq| cseq > sequence), "{at}: CSeq grows");
        sequence = cseq.unwrap_or_default();
        let status = step["respond"].as_u64().expect("a status");
        let more: String = texts(&step["resp_headers"]).iter().map(|line| format!("{line}\r\n")).collect();
        let h = |name| header(&request, name);
        let response = format!(
            "SIP/2.0 {status} Scripted\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=script\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             {more}Content-Length: 0\r\n\r\n",
            h("Via"),
            h("From"),
            h("To"),
            h("Call-ID"),
            h("CSeq")
        );
        socket.send_to(response.as_bytes(), peer).expect("it is sent");
        answered.push((h("Via").to_owned(), response));
    }
    let last = steps.last().map_or(0, |step| step["respond"].as_u64().unwrap_or_default());
    let outcome = if last == 200 { "SCRegistrationDidSucceed" } else { "SCRegistrationDidFail" };
    assert!(until(PATIENCE, || !register.named(outcome).is_empty()), "{name}: {outcome}");
    let other = if last == 200 { "SCRegistrationDidFail" } else { "SCRegistrationDidSucceed" };
    assert!(register.named(other).is_empty(), "{name}: {other}");
}

/// The next request. What comes once more, from who did not get the answer in time, gets it again.
fn receive(socket: &UdpSocket, at: &str, answered: &[(String, String)]) -> (String, std::net::SocketAddr) {
    let mut buffer = [0; 8_192];
    loop {
        let (length, peer) =
            socket.recv_from(&mut buffer).unwrap_or_else(|e| panic!("{at}: no request: {e}"));
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        match answered.iter().find(|(via, _)| *via == header(&text, "Via")) {
            Some((_, answer)) => drop(socket.send_to(answer.as_bytes(), peer)),
            None if text.starts_with("REGISTER ") => return (text, peer),
            None => {}
        }
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(':'));
    line.map_or("", |line| line[name.len() + 1..].trim())
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The scripts' patterns are plain, but for one that wants the same thing twice.
fn matches(request: &str, pattern: &str) -> bool {
    match pattern.split_once("[\\s\\S]+") {
        Some((first, second)) => request.split_once(first).is_some_and(|(_, rest)| rest.contains(second)),
        None => request.contains(pattern),
    }
}
