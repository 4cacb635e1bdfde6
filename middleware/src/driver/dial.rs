//! Connections from here.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// Connects to an address; from `own`, where that is the one address that we use and is of its family.
pub(in crate::driver) async fn dial(own: Option<IpAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let Some(own) = own.filter(|own| own.is_ipv4() == remote.is_ipv4()) else {
        return TcpStream::connect(remote).await;
    };
    let socket = if own.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(own, 0))?;
    socket.connect(remote).await
}

/// Connects to a host by its name, or an address of it: the first that can be reached.
pub(in crate::driver) async fn dial_host(
    own: Option<IpAddr>,
    host: &str,
    port: u16,
) -> io::Result<TcpStream> {
    let mut failed = io::Error::other(format!("{host} has no address"));
    for remote in tokio::net::lookup_host((host, port)).await? {
        match dial(own, remote).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
