//! What `sipsimple::diagnostics` finds out, on the loopback interface: with a STUN server that has two
//! addresses, and a relay.

#[path = "support/dns.rs"]
mod dns;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ice_stun::server::{Config, Flow, Input, Output, RelayId, Server};
use ice_stun::stun::Transport;
use sipsimple::Error;
use sipsimple::configuration::{RtpConfiguration, TlsConfiguration, TurnServer};
use sipsimple::diagnostics::{Dependence, NatProbe, candidates};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server on these addresses, until it is dropped.
struct Running {
    addresses: Vec<SocketAddr>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "sockets live in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Two addresses, each with two ports, as RFC 5780 §6 wants them; or one.
async fn serve(both: bool, mut config: Config) -> Running {
    config.peers.loopback = true;
    let sockets = if both { four().await } else { vec![bind(HERE, 0).await.expect("a free port")] };
    let addresses: Vec<_> = sockets.iter().map(|it| it.local_addr().expect("an address")).collect();
    config.behaviour = both.then(|| (addresses[0], addresses[3]));
    let server = Server::new(config, [7; 32]);
    let task = tokio::spawn(run(sockets, addresses.clone(), server));
    Running { addresses, task }
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn bind(address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind((address, port)).await
}

/// Each of two ports on each of two addresses. What is free on one may be somebody's on the other.
async fn four() -> Vec<UdpSocket> {
    for _ in 0..100 {
        let (first, last) =
            (bind(HERE, 0).await.expect("a free port"), bind(THERE, 0).await.expect("a free port"));
        let port = |socket: &UdpSocket| socket.local_addr().expect("an address").port();
        if let (Ok(second), Ok(third)) = (bind(HERE, port(&last)).await, bind(THERE, port(&first)).await) {
            return vec![first, second, third, last];
        }
    }
    panic!("no two ports are free on both addresses")
}

async fn run(sockets: Vec<UdpSocket>, addresses: Vec<SocketAddr>, mut server: Server) {
    let mut relays: HashMap<RelayId, UdpSocket> = HashMap::new();
    loop {
        while let output @ (Output::Transmit { .. } | Output::BindRelay { .. } | Output::CloseRelay(_)) =
            server.poll_output()
        {
            match output {
                Output::Transmit { flow, data } => {
                    let at = addresses.iter().position(|it| *it == flow.local).expect("one of ours");
                    sockets[at].send_to(&data, flow.remote).await.expect("loopback takes it");
                }
                Output::BindRelay { relay, .. } => {
                    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
                    let address = socket.local_addr().expect("an address");
                    relays.insert(relay, socket);
                    server.handle_input(now(), Input::RelayBound { relay, address });
                }
                Output::CloseRelay(relay) => drop(relays.remove(&relay)),
                _ => {}
            }
        }
        let mut buffer = [0; 2_048];
        let waiting = sockets.iter().map(|socket| Box::pin(socket.readable()));
        let (_, at, _) = futures_util::future::select_all(waiting).await;
        if let Ok((length, remote)) = sockets[at].try_recv_from(&mut buffer) {
            let flow = Flow { transport: Transport::Udp, local: addresses[at], remote };
            server.handle_input(now(), Input::Datagram { flow, data: &buffer[..length] });
        }
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

#[tokio::test]
async fn without_a_nat_everybody_gets_through() {
    let running = serve(true, Config::new("example.com")).await;
    let probe = NatProbe::new("127.0.0.1").port(running.addresses[0].port());
    let report = soon(probe.run()).await.expect("the server answers");
    assert_eq!((report.server, report.nat), (running.addresses[0], false));
    assert_eq!(report.local, report.mapped);
    let open = Some(Dependence::EndpointIndependent);
    assert_eq!((report.mapping, report.filtering), (open, open));
    assert_eq!(report.is_reachable_directly(), Some(true));
    let life = soon(probe.binding_lifetime(Duration::from_millis(200))).await.expect("the server answers");
    assert_eq!((life.at_least, life.less_than), (Duration::from_millis(200), None));
}

#[tokio::test]
async fn a_server_with_one_address_tells_ours_and_no_more() {
    let running = serve(false, Config::new("example.com")).await;
    let at = running.addresses[0];
    let report = soon(NatProbe::new("127.0.0.1").port(at.port()).run()).await.expect("the server answers");
    assert_eq!((report.mapped.ip(), report.filtering), (IpAddr::V4(Ipv4Addr::LOCALHOST), None));
    assert_eq!(report.is_reachable_directly(), None);
}

/// RFC 8489 §8: a name is looked for as a service; one that is nobody's is told as such.
#[tokio::test]
async fn names_of_servers_are_looked_up() {
    let running = serve(false, Config::new("example.com")).await;
    let at = running.addresses[0];
    let zone = vec![
        ("_stun._udp.example.test", dns::srv(1, at.port(), "stun.example.test")),
        ("stun.example.test", dns::address("127.0.0.1")),
    ];
    let dns = dns::serve(zone);
    let probe = |name: &str| NatProbe::new(name).dns_servers(&[dns]);
    let report = soon(probe("example.test").run()).await.expect("the server is found");
    assert_eq!(report.server, at);
    let nobody = soon(probe("nobody.example.test").run()).await;
    assert!(matches!(nobody, Err(Error::Unknown { .. })), "{nobody:?}");
}

#[tokio::test]
async fn candidates_and_why_a_relay_gives_none() {
    let running = serve(false, Config::new("example.com").with_account("alice", "right")).await;
    let at = running.addresses[0];
    let rtp = |password: &str| RtpConfiguration {
        local_rtp_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ice_turn: Some(TurnServer { port: at.port(), ..TurnServer::new("127.0.0.1", "alice", password) }),
        ..RtpConfiguration::default()
    };
    let found = soon(candidates(&rtp("right"), &TlsConfiguration::default(), &[])).await.expect("sockets");
    let relayed = found.candidates.iter().filter(|line| line.contains("typ relay")).count();
    assert_eq!((relayed, found.failures.len()), (2, 0), "{found:?}");
    assert!(found.candidates.iter().any(|line| line.contains("typ host")), "{found:?}");
    let found = soon(candidates(&rtp("wrong"), &TlsConfiguration::default(), &[])).await.expect("sockets");
    assert!(found.candidates.iter().all(|line| line.contains("typ host")), "{found:?}");
    assert!(
        !found.failures.is_empty() && found.failures.iter().all(|(server, _)| *server == at),
        "{found:?}"
    );
}

/// RFC 5928 §3: a relay whose domain delegates it by a NAPTR record.
#[tokio::test]
async fn relays_are_found_by_naptr_records() {
    let running = serve(false, Config::new("example.com").with_account("alice", "right")).await;
    let zone = vec![
        ("example.test", dns::naptr(10, "RELAY:turn.tcp", "nowhere.example.test")),
        ("example.test", dns::naptr(20, "RELAY:turn.udp", "relays.elsewhere.test")),
        ("relays.elsewhere.test", dns::srv(1, running.addresses[0].port(), "host.elsewhere.test")),
        ("host.elsewhere.test", dns::address("127.0.0.1")),
    ];
    let rtp = RtpConfiguration {
        local_rtp_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ice_turn: Some(TurnServer::new("example.test", "alice", "right")),
        ..RtpConfiguration::default()
    };
    let found = soon(candidates(&rtp, &TlsConfiguration::default(), &[dns::serve(zone)])).await;
    let found = found.expect("sockets");
    assert!(found.candidates.iter().any(|line| line.contains("typ relay")), "{found:?}");
}
