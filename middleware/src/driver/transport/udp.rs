//! The UDP sockets of SIP, read and written by the signalling task itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Asked of the system for each socket, so that a burst waits in the kernel and is not lost.
const BUFFER: usize = 4 << 20;

/// All UDP sockets that SIP is spoken on.
#[derive(Default)]
pub(crate) struct UdpSockets {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    next: usize,
    dropped: u64,
}

impl UdpSockets {
    /// Binds one more; port 0 lets the system choose. Returns the address it got, with
    /// `advertised` in place of "all addresses".
    pub(crate) fn bind(&mut self, address: SocketAddr, advertised: IpAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The system may grant less; that is its business.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let mut local = socket.local_addr()?;
        if local.ip().is_unspecified() {
            local.set_ip(advertised);
        }
        self.sockets.push((local, socket));
        Ok(local)
    }

    /// The address that a socket is known by became another one.
    pub(crate) fn rename(&mut self, from: SocketAddr, to: SocketAddr) {
        for (address, _) in self.sockets.iter_mut().filter(|(address, _)| *address == from) {
            *address = to;
        }
    }

    /// Takes one datagram of any socket, each socket in its turn.
    pub(crate) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<(SocketAddr, SocketAddr, usize)> {
        for offset in 0..self.sockets.len() {
            let index = (self.next + offset) % self.sockets.len();
            let Some((local, socket)) = self.sockets.get(index) else { continue };
            let mut read = ReadBuf::new(buffer);
            // An ICMP error about an earlier datagram shows up as an error of this read.
            if let Poll::Ready(Ok(remote)) = socket.poll_recv_from(context, &mut read) {
                self.next = index + 1;
                return Poll::Ready((*local, remote, read.filled().len()));
            }
        }
        Poll::Pending
    }

    /// Sends a datagram from the socket bound to `local`. What the system does not take is lost
    /// and counted, as on any UDP path.
    pub(crate) fn send(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
        let socket = self.sockets.iter().find(|(address, _)| *address == local);
        let sent = socket.map(|(_, socket)| socket.try_send_to(data, remote));
        if !matches!(sent, Some(Ok(_))) {
            self.dropped += 1;
            tracing::debug!(%local, %remote, dropped = self.dropped, "a datagram was not taken");
        }
    }
}
