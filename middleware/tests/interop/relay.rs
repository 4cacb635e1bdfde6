//! kamailio (Debian: kamailio, kamailio-tls-modules, kamailio-extra-modules) as an MSRP relay of both sides.

use std::path::Path;
use std::process::Command;

use crate::process::{PATIENCE, Running, free_port, left_out, until, wait_until_connectable};
use crate::program::{Events, Listen, call_in_background};

/// A chat message and a file go from one agent to the other through the relay.
pub(crate) fn chat_and_file(tls: bool) {
    if Command::new("kamailio").arg("-v").output().is_err() {
        left_out("kamailio is not installed (kamailio kamailio-tls-modules kamailio-extra-modules)");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (plain, secure) = (free_port(), free_port());
    let kamailio = start(folder.path(), plain, secure);
    wait_until_connectable(plain);
    wait_until_connectable(secure);

    let photo: Vec<u8> = (0..300_000_u32).map(|index| (index * 7 + index / 251) as u8).collect();
    std::fs::write(path("photo.jpg"), &photo).expect("the disk has room");
    std::fs::write(path("bob.pw"), "bobpw").expect("the disk has room");
    std::fs::write(path("alice.pw"), "alicepw").expect("the disk has room");
    let relay = format!("127.0.0.1:{}", if tls { secure } else { plain });
    let (yes_no, authority, received) = (if tls { "yes" } else { "no" }, path("cert.pem"), path("received"));
    let common =
        ["--msrp-relay", &relay, "--msrp-relay-tls", yes_no, "--msrp-tls", yes_no, "--tls-ca", &authority];
    let (bob_password, alice_password, file) = (path("bob.pw"), path("alice.pw"), path("photo.jpg"));
    let mut options = vec!["--accept", "audio,chat,file", "--files", &received];
    options.extend(["--password-file", &bob_password]);
    options.extend(common);
    let listen = Listen::start(&options);
    let mut options = vec!["--no-audio", "--chat", "over the relay", "--send-file", &file];
    options.extend(["--from", "sip:alice@127.0.0.1", "--password-file", &alice_password]);
    options.extend(common);
    let uri = format!("sip:bob@127.0.0.1:{}", listen.port());
    let (mut calling, _output) = call_in_background(&uri, &options);
    for what in ["SCSessionDidDeliverMessage", "MSRPFileTransferDidDeliverFile"] {
        calling.wait_for(what);
    }
    for what in ["SCSessionGotMessage", "MSRPFileTransferGotFile"] {
        assert!(until(PATIENCE, || listen.count(what) > 0), "{what}");
    }
    assert!(calling.terminate().success(), "{}", calling.stderr());
    assert!(!calling.stderr().contains("panicked at"), "{}", calling.stderr());
    let caller = Events::read(&calling.stdout());
    assert!(listen.wait_for_ends(1), "the session ends");
    let called = listen.stop();
    assert_eq!(caller.named("SCSessionDidDeliverMessage").count(), 1);
    assert_eq!(caller.named("MSRPFileTransferDidDeliverFile").count(), 1);
    assert_eq!(called.named("SCSessionGotMessage").count(), 1);
    assert_eq!(called.named("MSRPFileTransferGotFile").count(), 1);
    let arrived = std::fs::read(Path::new(&received).join("photo.jpg")).expect("the file is there");
    assert!(arrived == photo, "the file is the one that was sent");
    kamailio.stop();
}

fn start(folder: &Path, plain: u16, secure: u16) -> Running {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.expect("a certificate can be made");
    let config = include_str!("kamailio-relay.cfg")
        .replace("@PLAIN@", &plain.to_string())
        .replace("@TLS@", &secure.to_string())
        .replace("@RUN@", &folder.to_string_lossy());
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("the disk has room");
    write("cert.pem", &made.cert.pem());
    write("key.pem", &made.signing_key.serialize_pem());
    write("kamailio.cfg", &config);
    let mut command = Command::new("kamailio");
    command.current_dir(folder).args(["-DD", "-E", "-f", "kamailio.cfg", "-P", "kamailio.pid"]);
    command.arg("-Y").arg(folder);
    Running::start(&mut command, folder, "kamailio")
}
