//! Calls through NATs, in network namespaces: two of our own programs, and baresip at one end.
#![expect(clippy::disallowed_methods, reason = "real programs take real time, and it is waited for")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::baresip::{Baresip, Behind};
use crate::check;
use crate::laboratory::{Host, Laboratory, Nat, SERVER};
use crate::process::Running;
use crate::program::{Events, program};
use crate::sound::Sound;

/// Seconds of silence before there is something to hear: both may still look for a way.
const SEARCH: u32 = 3;
/// The same with baresip, who takes seconds for each address that leads nowhere.
const LONG_SEARCH: u32 = 7;
/// Baresip may begin its file before it has a way, or then.
const ITS_SEARCH: u32 = 5;

/// How an agent finds its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// A STUN server tells its address.
    Stun,
    /// And there is a relay, reached over this transport.
    Relay(&'static str),
    /// Nothing but the relay.
    RelayOnly(&'static str),
    /// As with [`Way::Stun`], from every address, and all of it traced.
    Traced(PathBuf),
    /// As with [`Way::Relay`], from every address.
    Everywhere(&'static str),
}

impl Way {
    fn options(&self, certificate: &Path) -> Vec<String> {
        let mut options: Vec<String> =
            ["--ice", "--stun", SERVER, "--tls-ca", &certificate.to_string_lossy()]
                .map(str::to_owned)
                .to_vec();
        if let Self::Traced(file) = self {
            options.extend(["--trace".to_owned(), file.display().to_string()]);
        }
        let (Self::Relay(transport) | Self::RelayOnly(transport) | Self::Everywhere(transport)) = self else {
            return options;
        };
        options.extend(["--turn", SERVER, "--turn-transport", transport].map(str::to_owned));
        if let Self::RelayOnly(_) = self {
            options.push("--relay-only".to_owned());
        }
        options
    }
}

/// The servers of a laboratory, running.
struct Site {
    _registrar: Running,
    _relay: Running,
    certificate: PathBuf,
    folder: TempDir,
    // Last: its networks go when nobody uses them any more.
    laboratory: Laboratory,
}

impl Site {
    fn build(left: Nat, right: Nat, programs: &[&str]) -> Option<Self> {
        let laboratory = Laboratory::build(left, right, &[&["turnserver"], programs].concat())?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (relay, certificate) = laboratory.relay(folder.path());
        // Baresip 1.0 knows no digests but MD5.
        let options: &[&str] = if programs.contains(&"baresip") { &["--md5"] } else { &[] };
        let registrar = laboratory.registrar(folder.path(), options);
        Some(Self { _registrar: registrar, _relay: relay, certificate, folder, laboratory })
    }

    /// Alice or bob, registered, with a sound to play and a place to record.
    fn agent(&self, user: &str, verb: &[&str], way: &Way, playing: &Sound, record: &Path) -> Running {
        let host = if user == "alice" { Host::Left } else { Host::Right };
        let file = self.folder.path().join(format!("{user}-plays.wav"));
        playing.write(&file);
        let mut command = self.laboratory.command(host, program());
        command
            .args(verb)
            .args(["--device", "null", "--json", "--play"])
            .arg(&file)
            .arg("--record")
            .arg(record)
            .args([
                "--from",
                &format!("sip:{user}@example.com"),
                "--password-env",
                "SIP_PASSWORD",
                "--register",
            ])
            .args(["--registrar", &format!("sip:{SERVER}"), "--proxy", &format!("sip:{SERVER};lr")])
            .args(["--turn-user", user, "--turn-password-env", "TURN_PASSWORD"])
            .args(way.options(&self.certificate))
            .env("SIP_PASSWORD", user.get(..1).expect("a letter"))
            .env("TURN_PASSWORD", format!("{user}-relay"));
        if !matches!(way, Way::Traced(_) | Way::Everywhere(_)) {
            command.args(["--bind", host.address()]);
        }
        Running::start(&mut command, self.folder.path(), user)
    }

    /// Bob listens, alice calls him for a while; both end well.
    fn call(&self, alice: Way, bob: Way) -> Call {
        let (hers, his) = (Sound::loud(31), Sound::loud(32));
        let folder = self.folder.path();
        let (recording, recordings) = (folder.join("alice.wav"), folder.join("bob"));
        std::fs::create_dir(&recordings).expect("a new folder");
        let listen =
            self.agent("bob", &["listen", "--exit-after", "1"], &bob, &his.after(SEARCH), &recordings);
        listen.wait_for("SCRegistrationDidSucceed");
        let verb = ["call", "sip:bob@example.com", "--seconds", "9"];
        let calling = self.agent("alice", &verb, &alice, &hers.after(SEARCH), &recording);
        let (alice, bob) = (ended(calling), ended(listen));
        check(&his, &Sound::read(&recording), "what alice recorded of bob");
        check(&hers, &Sound::read(&only_wav(&recordings)), "what bob recorded of alice");
        Call { alice, bob }
    }
}

/// What both printed.
struct Call {
    alice: Events,
    bob: Events,
}

impl Call {
    /// Both came to an end of ICE; whether media went through a relay.
    fn expect(&self, relayed: bool) {
        for (who, events) in [("alice", &self.alice), ("bob", &self.bob)] {
            events.expect_in_order(&["SCSessionDidStart", "SCSessionDidEnd"]);
            expect_ice(who, events, relayed);
        }
    }
}

fn expect_ice(who: &str, events: &Events, relayed: bool) {
    let last = events.named("SCSessionICENegotiationStateDidChange").last();
    let data = &last.unwrap_or_else(|| panic!("{who} used no ICE")).data;
    // Baresip nominates RTCP's pair when it likes.
    let found = data["state"] == "completed" || data["state"] == "connected";
    assert!(found, "{who}: {data}");
    let uses = data["local_kind"] == "relay" || data["remote_kind"] == "relay";
    assert_eq!(uses, relayed, "{who}: {data}");
}

/// It ends by itself, and well.
fn ended(mut running: Running) -> Events {
    let status = running.wait(Duration::from_secs(120));
    let (out, errors) = (running.stdout(), running.stderr());
    assert!(status.success(), "it ended with {status}: {errors}\n{out}");
    assert!(!errors.contains("panicked at"), "{errors}");
    Events::read(&out)
}

fn only_wav(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).expect("the folder of recordings");
    entries.next().expect("a recording").expect("an entry").path()
}

fn two_of_ours(left: Nat, right: Nat, alice: Way, bob: Way, relayed: bool) {
    let Some(site) = Site::build(left, right, &[]) else { return };
    site.call(alice, bob).expect(relayed);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn symmetric_nats_are_crossed_by_a_relay_over_udp() {
    let way = Way::Relay("udp");
    two_of_ours(Nat::Symmetric, Nat::Symmetric, way.clone(), way, true);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn symmetric_nats_are_crossed_by_a_relay_over_tcp() {
    let way = Way::Relay("tcp");
    two_of_ours(Nat::Symmetric, Nat::Symmetric, way.clone(), way, true);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn symmetric_nats_are_crossed_by_a_relay_over_tls() {
    let way = Way::Relay("tls");
    two_of_ours(Nat::Symmetric, Nat::Symmetric, way.clone(), way, true);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn a_full_cone_and_a_symmetric_nat_need_no_relay() {
    two_of_ours(Nat::Full, Nat::Symmetric, Way::Relay("udp"), Way::Stun, false);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn two_cones_need_no_relay() {
    two_of_ours(Nat::Cone, Nat::Cone, Way::Stun, Way::Stun, false);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn who_uses_the_relay_only_is_reached_through_it() {
    two_of_ours(Nat::Full, Nat::Full, Way::RelayOnly("tls"), Way::Stun, true);
}

/// Alice is ours, bob is baresip.
fn call_to_baresip(left: Nat, right: Nat, way: Way, relayed: bool) {
    let Some(site) = Site::build(left, right, &["baresip"]) else { return };
    let (ours, theirs) = (Sound::quiet(33), Sound::loud(34));
    let folder = site.folder.path();
    let recording = folder.join("alice.wav");
    let baresip = Baresip::behind(folder, behind(relayed), &theirs.after(ITS_SEARCH));
    let command = site.laboratory.command(Host::Right, "baresip");
    let running = baresip.start_in(command, &[]);
    // It is registered.
    running.wait_for("200 OK");
    let verb = ["call", "sip:bob@example.com", "--seconds", "18", "--codecs", "pcmu"];
    let events = ended(site.agent("alice", &verb, &way, &ours.after(LONG_SEARCH), &recording));
    events.expect_in_order(&["SCSessionDidStart", "SCSessionDidEnd"]);
    expect_ice("alice", &events, relayed);
    running.stop();
    check(&theirs, &Sound::read(&recording), "what we recorded of baresip");
    check(&ours, &baresip.heard(), "what baresip heard of us");
}

/// Baresip is bob and calls alice, who is ours.
fn called_by_baresip(left: Nat, right: Nat, way: Way, relayed: bool) {
    let Some(site) = Site::build(left, right, &["baresip"]) else { return };
    let (ours, theirs) = (Sound::quiet(33), Sound::loud(34));
    let folder = site.folder.path();
    let recordings = folder.join("alice");
    std::fs::create_dir(&recordings).expect("a new folder");
    let verb = ["listen", "--exit-after", "1", "--seconds", "18", "--codecs", "pcmu"];
    let listen = site.agent("alice", &verb, &way, &ours.after(LONG_SEARCH), &recordings);
    listen.wait_for("SCRegistrationDidSucceed");
    let baresip = Baresip::behind(folder, behind(relayed), &theirs.after(ITS_SEARCH));
    let command = site.laboratory.command(Host::Right, "baresip");
    let running = baresip.start_in(command, &["-e", &format!("/dial sip:alice@{SERVER}")]);
    let events = ended(listen);
    events.expect_in_order(&["SCSessionDidStart", "SCSessionDidEnd"]);
    expect_ice("alice", &events, relayed);
    running.stop();
    check(&theirs, &Sound::read(&only_wav(&recordings)), "what we recorded of baresip");
    check(&ours, &baresip.heard(), "what baresip heard of us");
}

fn behind(relayed: bool) -> Behind {
    Behind { host: Host::Right.address(), server: SERVER, user: "bob", password: "b", relayed }
}

#[test]
#[ignore = "needs root, nft, coturn and baresip: ./dev interop"]
fn call_to_baresip_between_cones() {
    call_to_baresip(Nat::Cone, Nat::Cone, Way::Stun, false);
}

#[test]
#[ignore = "needs root, nft, coturn and baresip: ./dev interop"]
fn call_to_baresip_through_relays() {
    call_to_baresip(Nat::Symmetric, Nat::Symmetric, Way::RelayOnly("tcp"), true);
}

#[test]
#[ignore = "needs root, nft, coturn and baresip: ./dev interop"]
fn baresip_calls_listen_between_cones() {
    called_by_baresip(Nat::Cone, Nat::Cone, Way::Stun, false);
}

#[test]
#[ignore = "needs root, nft, coturn and baresip: ./dev interop"]
fn baresip_calls_listen_through_relays() {
    called_by_baresip(Nat::Symmetric, Nat::Symmetric, Way::RelayOnly("udp"), true);
}

/// A host with a second address that leads nowhere: it is told, and costs no call.
#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn every_address_of_a_host_is_a_candidate() {
    let Some(site) = Site::build(Nat::Cone, Nat::Cone, &[]) else { return };
    site.laboratory.address(Host::Left, "192.168.77.1");
    let trace = site.folder.path().join("alice.trace");
    let call = site.call(Way::Traced(trace.clone()), Way::Stun);
    call.expect(false);
    let trace = String::from_utf8_lossy(&std::fs::read(trace).expect("a trace")).into_owned();
    for address in [Host::Left.address(), "192.168.77.1"] {
        let is_told = |line: &str| line.starts_with("a=candidate:") && line.contains(&format!(" {address} "));
        assert!(trace.lines().any(is_told), "{address} is no candidate in {trace}");
    }
    assert!(trace.contains(&format!("{SERVER}:3478")), "STUN is in the trace");
}

/// Seconds of a call at which a host comes into another network, and from which both are heard again: it is
/// noticed, registered, gathered, offered and checked in between.
const MOVE: u64 = 12;
const HEARD_AGAIN: u32 = 20;

/// One of both comes into another network in the middle of the call. Everything follows by itself.
fn call_goes_on_in_another_network(left: Nat, right: Nat, who: Host, relayed: bool) {
    let Some(site) = Site::build(left, right, &[]) else { return };
    let (hers, his) = ([Sound::loud(41), Sound::loud(42)], [Sound::loud(43), Sound::loud(44)]);
    // Silence lies over the move: what is heard after it came through the new network.
    let play =
        |[before, after]: &[Sound; 2]| before.after(SEARCH).then(&after.after(HEARD_AGAIN - 8 - SEARCH));
    let folder = site.folder.path();
    let (recording, recordings) = (folder.join("alice.wav"), folder.join("bob"));
    std::fs::create_dir(&recordings).expect("a new folder");
    let way = Way::Everywhere("udp");
    let listen = site.agent("bob", &["listen", "--exit-after", "1"], &way, &play(&his), &recordings);
    listen.wait_for("SCRegistrationDidSucceed");
    let verb = ["call", "sip:bob@example.com", "--seconds", "30"];
    let calling = site.agent("alice", &verb, &way, &play(&hers), &recording);
    calling.wait_for("SCSessionDidStart");
    std::thread::sleep(Duration::from_secs(MOVE));
    site.laboratory.readdress(who, if who == Host::Left { "10.77.1.3" } else { "10.77.2.3" });
    let (alice, bob) = (ended(calling), ended(listen));
    let moved = if who == Host::Left { &alice } else { &bob };
    assert!(moved.named("SCRegistrationDidSucceed").count() >= 2, "it is registered from there");
    for (who, events) in [("alice", &alice), ("bob", &bob)] {
        events.expect_in_order(&["SCSessionDidStart", "SCSessionDidEnd"]);
        assert_eq!(events.named("SCSessionDidFail").count(), 0, "{who}");
        expect_ice(who, events, relayed);
    }
    for (number, part) in ["before", "after"].into_iter().enumerate() {
        let recorded = Sound::read(&recording);
        check(&his[number], &recorded, &format!("what alice recorded of bob {part} the move"));
        let recorded = Sound::read(&only_wav(&recordings));
        check(&hers[number], &recorded, &format!("what bob recorded of alice {part} the move"));
    }
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn a_caller_goes_on_in_another_network() {
    call_goes_on_in_another_network(Nat::Cone, Nat::Cone, Host::Left, false);
}

#[test]
#[ignore = "needs root, nft and coturn: ./dev interop"]
fn a_called_goes_on_in_another_network_through_relays() {
    call_goes_on_in_another_network(Nat::Symmetric, Nat::Symmetric, Host::Right, true);
}
