//! Sessions over every transport, on the loopback interface: real sockets and certificates.

#[path = "support/dns.rs"]
mod dns;
#[path = "interop/process.rs"]
#[allow(dead_code, reason = "shared with the interop tests, which use all of it")]
mod process;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, SanType};
use sip_core::endpoint::Transport;
use sipsimple::configuration::TlsConfiguration;
use sipsimple::notification::{Filter, NotificationCenter, NotificationStream, SessionEvent};
use sipsimple::{Application, Credentials, Session, StreamSet, Uri};

const PATIENCE: Duration = Duration::from_secs(20);

struct Party {
    application: Application,
    notifications: NotificationStream,
}

impl Party {
    async fn start(address: &str, transport: Transport, tls: TlsConfiguration) -> Self {
        Self::start_with_dns(address, transport, tls, &[]).await
    }

    async fn start_with_dns(
        address: &str,
        transport: Transport,
        tls: TlsConfiguration,
        dns: &[SocketAddr],
    ) -> Self {
        let center = NotificationCenter::new();
        let notifications = center.stream(Filter::any(), 1_000);
        let application = Application::builder()
            .bind(address.parse().expect("an address"))
            .port(0)
            .transports(&[transport])
            .tls_config(tls)
            .dns_servers(dns)
            .notification_center(center)
            .start()
            .await
            .expect("sockets on the loopback interface");
        Self { application, notifications }
    }

    fn uri(&self) -> Uri {
        let (transport, address) = self.application.addresses()[0];
        format!("sip:party@{address};transport={}", transport.uri_name()).parse().expect("a URI")
    }

    async fn next(&mut self) -> (Session, SessionEvent) {
        let waiting = async {
            loop {
                let notification = self.notifications.next().await.expect("the application runs");
                if let (Some(session), Some(event)) = (notification.session(), notification.session_event()) {
                    return (session.clone(), event.clone());
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a notification in time")
    }

    async fn wait_for(&mut self, name: &str) -> Session {
        loop {
            let (session, event) = self.next().await;
            if event.name() == name {
                return session;
            }
            assert!(!matches!(event, SessionEvent::DidFail { .. }), "no {name} but {event:?}");
        }
    }

    async fn reason_of_failure(&mut self) -> (u16, String) {
        loop {
            if let (_, SessionEvent::DidFail { code, reason, .. }) = self.next().await {
                return (code, reason);
            }
        }
    }
}

/// A certificate for `names`, signed by itself.
fn certificate(folder: &Path, file: &str, names: Vec<SanType>) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.subject_alt_names = names;
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let path = folder.join(file);
    std::fs::write(&path, certificate.pem() + &key.serialize_pem()).expect("the disk has room");
    path
}

/// For 127.0.0.1 and ::1.
fn addresses() -> Vec<SanType> {
    ["127.0.0.1", "::1"].map(|a| SanType::IpAddress(a.parse::<IpAddr>().expect("an address"))).into()
}

fn shows(certificate: &Path) -> TlsConfiguration {
    TlsConfiguration { certificate: Some(certificate.to_owned()), ..TlsConfiguration::default() }
}

fn believes(authority: &Path) -> TlsConfiguration {
    TlsConfiguration { authorities: Some(authority.to_owned()), ..TlsConfiguration::default() }
}

async fn call(alice: &mut Party, bob: &mut Party) {
    let uri = bob.uri();
    call_to(uri, alice, bob).await;
}

async fn call_to(uri: Uri, alice: &mut Party, bob: &mut Party) {
    let calling = alice.application.session_manager().new_session();
    let asked = calling.connect(uri, Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    let called = bob.wait_for("SCSessionNewIncoming").await;
    called.accept(StreamSet::AUDIO).await.expect("it is legal in INCOMING");
    bob.wait_for("SCSessionDidStart").await;
    alice.wait_for("SCSessionDidStart").await;
    // The BYE of the one who was called takes the way back.
    called.terminate().await.expect("it is legal anywhere");
    bob.wait_for("SCSessionDidEnd").await;
    alice.wait_for("SCSessionDidEnd").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_every_transport_and_both_families() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ours = certificate(folder.path(), "ours.pem", addresses());
    let both = || TlsConfiguration { authorities: Some(ours.clone()), ..shows(&ours) };
    for address in ["127.0.0.1", "::1"] {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
            let mut alice = Party::start(address, transport, both()).await;
            let mut bob = Party::start(address, transport, both()).await;
            call(&mut alice, &mut bob).await;
            alice.application.stop().await;
            bob.application.stop().await;
            println!("{transport:?} over {address}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_have_to_prove_who_they_are() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let other = SanType::DnsName("other.example".try_into().expect("ASCII"));
    let wrong = certificate(folder.path(), "wrong.pem", vec![other]);
    let bob = Party::start("127.0.0.1", Transport::Tls, shows(&wrong)).await;
    let cases = [
        (TlsConfiguration::default(), "invalid peer certificate"),
        // webpki words the case of addresses.
        (believes(&wrong), "not valid for name"),
    ];
    for (tls, expected) in cases {
        let mut alice = Party::start("127.0.0.1", Transport::Tls, tls).await;
        let calling = alice.application.session_manager().new_session();
        let asked = calling.connect(bob.uri(), Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
        asked.expect("it is legal in NULL");
        let (code, reason) = alice.reason_of_failure().await;
        assert_eq!(code, 0, "it never left");
        assert!(reason.starts_with("TLS: ") && reason.contains(expected), "{reason}");
        alice.application.stop().await;
    }
    // Whoever insists may talk to anybody.
    let careless = TlsConfiguration { verify: false, ..TlsConfiguration::default() };
    let mut alice = Party::start("127.0.0.1", Transport::Tls, careless).await;
    let mut bob = bob;
    let calling = alice.application.session_manager().new_session();
    let asked = calling.connect(bob.uri(), Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    bob.wait_for("SCSessionNewIncoming").await;
    calling.terminate().await.expect("it is legal anywhere");
    alice.wait_for("SCSessionDidEnd").await;
    alice.application.stop().await;
    bob.application.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_have_to_prove_who_they_are_if_asked() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ours = certificate(folder.path(), "ours.pem", addresses());
    let strict = TlsConfiguration { authorities: Some(ours.clone()), verify_clients: true, ..shows(&ours) };
    let mut bob = Party::start("127.0.0.1", Transport::Tls, strict.clone()).await;
    let mut alice = Party::start("127.0.0.1", Transport::Tls, strict).await;
    call(&mut alice, &mut bob).await;
    alice.application.stop().await;
    let mut alice = Party::start("127.0.0.1", Transport::Tls, believes(&ours)).await;
    let calling = alice.application.session_manager().new_session();
    let asked = calling.connect(bob.uri(), Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    assert_eq!(alice.reason_of_failure().await.0, 0);
    alice.application.stop().await;
    bob.application.stop().await;
}

/// Peers that connect and then say nothing take nobody's place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_keep_nobody_out() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ours = certificate(folder.path(), "ours.pem", addresses());
    let both = || TlsConfiguration { authorities: Some(ours.clone()), ..shows(&ours) };
    let mut bob = Party::start("127.0.0.1", Transport::Tls, both()).await;
    let address = bob.application.addresses()[0].1;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(address).await.expect("a connection"));
    }
    let mut alice = Party::start("127.0.0.1", Transport::Tls, both()).await;
    let calling = call(&mut alice, &mut bob);
    tokio::time::timeout(Duration::from_secs(5), calling).await.expect("as fast as ever");
    alice.application.stop().await;
    bob.application.stop().await;
}

/// The domain prefers TLS, where nobody listens; over TCP the first server is dead; the second lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_found_by_the_dns() {
    let mut bob = Party::start("127.0.0.1", Transport::Tcp, TlsConfiguration::default()).await;
    let live = bob.application.addresses()[0].1.port();
    let dead = process::free_port();
    let zone = vec![
        ("example.test", dns::naptr(10, "SIPS+D2T", "_sips._tcp.example.test")),
        ("example.test", dns::naptr(20, "SIP+D2T", "_sip._tcp.example.test")),
        ("_sips._tcp.example.test", dns::srv(1, dead, "host.example.test")),
        ("_sip._tcp.example.test", dns::srv(1, dead, "host.example.test")),
        ("_sip._tcp.example.test", dns::srv(2, live, "host.example.test")),
        ("host.example.test", dns::address("127.0.0.1")),
        ("host.example.test", dns::address("::1")),
    ];
    let server = dns::serve(zone);
    let mut alice =
        Party::start_with_dns("127.0.0.1", Transport::Tcp, TlsConfiguration::default(), &[server]).await;
    let uri = || "sip:party@example.test".parse().expect("a URI");
    call_to(uri(), &mut alice, &mut bob).await;
    call_to(uri(), &mut alice, &mut bob).await;
    let calling = alice.application.session_manager().new_session();
    let nowhere = "sip:party@nowhere.test".parse().expect("a URI");
    let asked = calling.connect(nowhere, Credentials::new(alice.uri()), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    assert_eq!(alice.reason_of_failure().await, (0, "nowhere.test has no address".to_owned()));
    alice.application.stop().await;
    bob.application.stop().await;
}
