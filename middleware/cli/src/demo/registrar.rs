//! The registrar and proxy that both agents of the demo use.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use sip_core::usage::{Registrar, RegistrarConfig};
use sipsimple::Uri;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::Failure;

/// The domain of the demo's addresses.
pub(super) const DOMAIN: &str = "demo.example";
/// Largest datagram there is.
const DATAGRAM: usize = 65_536;

/// A running registrar; dropping it ends it.
pub(super) struct RunningRegistrar {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl RunningRegistrar {
    /// Starts one for these users.
    pub(super) async fn start(address: IpAddr, users: &[(&str, &str)]) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("the demo's registrar: {error}"));
        let socket = UdpSocket::bind((address, 0)).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let config = users
            .iter()
            .fold(RegistrarConfig::new(DOMAIN), |config, (name, password)| config.user(*name, *password));
        let registrar = Registrar::new(config, address, now(), seed());
        Ok(Self { address, task: tokio::spawn(serve(socket, registrar)) })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What REGISTER goes to, and what calls go through.
    pub(super) fn uri(&self) -> Uri {
        format!("sip:{}", self.address).parse().expect("an address makes a URI")
    }
}

impl Drop for RunningRegistrar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, mut registrar: Registrar) {
    let mut buffer = vec![0; DATAGRAM];
    while let Ok((length, source)) = socket.recv_from(&mut buffer).await {
        let data = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        registrar.handle_datagram(now(), source, data);
        while let Some((target, data)) = registrar.poll_transmit() {
            // A peer that is gone is no reason to stop.
            let _ = socket.send_to(&data, target).await;
        }
    }
}

/// What nonces are keyed with: the demo's passwords are no secret, but nonces must differ.
pub(super) fn seed() -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&RandomState::new().hash_one(chunk.len()).to_be_bytes());
    }
    seed
}

#[expect(clippy::disallowed_methods, reason = "the demo's registrar lives in real time")]
fn now() -> Instant {
    Instant::now()
}
