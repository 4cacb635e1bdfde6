//! The program, under mutated messages over all that it listens on.

#[path = "../../tests/support/blast.rs"]
mod blast;
#[allow(dead_code, reason = "shared with the tests of the program")]
mod support;

use std::net::{Ipv4Addr, SocketAddr};

use blast::Way;
use support::Listener;

#[test]
fn a_blast_over_each_transport_is_withstood() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let pem = folder.path().join("identity.pem");
    std::fs::write(&pem, made.cert.pem() + &made.signing_key.serialize_pem()).expect("the disk has room");
    let pem = pem.to_str().expect("a path in UTF-8");
    let transports = ["--transport", "udp", "--transport", "tcp", "--transport", "tls", "--tls-cert", pem];
    let listener = Listener::start(&transports);
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ways = [
        Way::Udp,
        Way::Tcp(at(listener.port())),
        // TLS is one above.
        Way::Tls(at(listener.port() + 1), made.cert.der().clone()),
    ];
    blast::blast("listen", listener.running.id(), at(listener.port()), &ways, || listener.running.errors());
}
