//! The STUN and TURN server that both agents of the demo gather candidates from.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use ice_stun::server::{Config, Flow, Input, Output, RelayId, Server};
use ice_stun::stun::Transport;
use sipsimple::configuration::TurnServer;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::registrar::{DOMAIN, seed};
use crate::Failure;

/// Largest datagram there is.
const DATAGRAM: usize = 65_536;
/// Datagrams of relayed addresses that may wait; more are lost, as on a network.
const WAITING: usize = 1_024;

/// A running server; dropping it ends it.
pub(crate) struct RunningStun {
    address: SocketAddr,
    password: String,
    task: JoinHandle<()>,
}

/// What came to a relayed address.
struct Arrived {
    relay: RelayId,
    from: SocketAddr,
    data: Vec<u8>,
}

impl RunningStun {
    /// Starts one on this address.
    pub(crate) async fn start(address: IpAddr) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Failed(format!("the demo's STUN server on {address}: {error}"));
        let socket = UdpSocket::bind((address, 0)).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let password = "the relay's secret".to_owned();
        let mut config = Config::new(DOMAIN).with_account("demo", password.clone());
        config.peers.loopback = true;
        let server = Server::new(config, seed());
        Ok(Self { address, password, task: tokio::spawn(serve(socket, address, server)) })
    }

    /// Where it is reached.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How its relay is used.
    pub(crate) fn relay(&self) -> TurnServer {
        TurnServer {
            port: self.address.port(),
            ..TurnServer::new(self.address.ip().to_string(), "demo", self.password.clone())
        }
    }
}

impl Drop for RunningStun {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A relayed address: its socket, and the task that reads it.
struct Relay {
    socket: Arc<UdpSocket>,
    reading: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn serve(socket: UdpSocket, local: SocketAddr, mut server: Server) {
    let (arrivals, mut arrived) = mpsc::channel(WAITING);
    let mut relays = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let due = carry_out(&socket, local.ip(), &mut server, &mut relays, &arrivals).await;
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, remote)) = received else { continue };
                let flow = Flow { transport: Transport::Udp, local, remote };
                let data = buffer.get(..length).unwrap_or_default();
                server.handle_input(now(), Input::Datagram { flow, data });
            }
            Some(Arrived { relay, from, data }) = arrived.recv() => {
                server.handle_input(now(), Input::Relayed { relay, from, data: &data });
            }
            () = wait_until(due) => server.handle_timeout(now()),
        }
    }
}

/// Does what the server wants done; returns when to come back.
async fn carry_out(
    socket: &UdpSocket,
    address: IpAddr,
    server: &mut Server,
    relays: &mut HashMap<RelayId, Relay>,
    arrivals: &mpsc::Sender<Arrived>,
) -> Option<Instant> {
    loop {
        match server.poll_output() {
            // A client that is gone is no reason to stop.
            Output::Transmit { flow, data } => drop(socket.send_to(&data, flow.remote).await),
            Output::BindRelay { relay, .. } => match open(relay, address, arrivals).await {
                Ok((address, open)) => {
                    relays.insert(relay, open);
                    server.handle_input(now(), Input::RelayBound { relay, address });
                }
                Err(_) => server.handle_input(now(), Input::RelayFailed(relay)),
            },
            Output::CloseRelay(relay) => drop(relays.remove(&relay)),
            Output::RelaySend { relay, to, data } => {
                if let Some(relay) = relays.get(&relay) {
                    // A peer that is gone is no reason to stop.
                    let _ = relay.socket.send_to(&data, to).await;
                }
            }
            // It is reached in datagrams only.
            Output::Disconnect(_)
            | Output::ConnectPeer(_)
            | Output::WritePeer { .. }
            | Output::ClosePeer(_) => {}
            Output::Idle(due) => return due,
        }
    }
}

async fn open(
    relay: RelayId,
    address: IpAddr,
    arrivals: &mpsc::Sender<Arrived>,
) -> std::io::Result<(SocketAddr, Relay)> {
    let socket = Arc::new(UdpSocket::bind((address, 0)).await?);
    let (reader, arrivals) = (socket.clone(), arrivals.clone());
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; DATAGRAM];
        while let Ok((length, from)) = reader.recv_from(&mut buffer).await {
            let data = buffer.get(..length).unwrap_or_default().to_vec();
            // What does not fit the queue is lost, as on a network.
            let _ = arrivals.try_send(Arrived { relay, from, data });
        }
    });
    Ok((socket.local_addr()?, Relay { socket, reading }))
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "the demo's servers live in real time")]
fn now() -> Instant {
    Instant::now()
}
