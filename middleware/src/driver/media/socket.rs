//! A UDP socket of an audio stream: one that wakes a task when something comes, or one that is looked at
//! when what has come is needed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::UdpSocket;

use crate::engine::Now;

/// Whether sockets may be looked at only now and then: where the system tells of each datagram when it came.
pub(super) const TELLS_ARRIVAL: bool = cfg!(target_os = "linux");

/// A bound socket that never blocks.
#[derive(Debug)]
pub(super) enum Socket {
    /// The runtime watches it.
    Watched(UdpSocket),
    /// Nobody does, which spares a wake-up for each datagram.
    Polled(std::net::UdpSocket),
}

/// A datagram that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) length: usize,
    pub(super) from: SocketAddr,
    pub(super) at: Instant,
}

impl Socket {
    pub(super) fn bind(address: IpAddr, port: u16) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind((address, port))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket).map(Self::Watched)
    }

    pub(super) fn is_polled(&self) -> bool {
        matches!(self, Self::Polled(_))
    }

    /// The same socket, watched or not from now on; this one is of use until it is dropped.
    pub(super) fn again(&self, polled: bool) -> io::Result<Self> {
        let socket = std::net::UdpSocket::from(self.system().try_clone()?);
        if polled {
            system::tell_arrival(&socket)?;
            return Ok(Self::Polled(socket));
        }
        UdpSocket::from_std(socket).map(Self::Watched)
    }

    /// For options.
    pub(super) fn system(&self) -> SockRef<'_> {
        match self {
            Self::Watched(socket) => SockRef::from(socket),
            Self::Polled(socket) => SockRef::from(socket),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Watched(socket) => socket.local_addr(),
            Self::Polled(socket) => socket.local_addr(),
        }
    }

    /// Straight to the system: tokio would refuse until it has seen that the socket can be written to, and
    /// the first packet of a new socket would be lost. What the system does not take at once is lost, as on
    /// a network.
    pub(super) fn send_now(&self, data: &[u8], to: SocketAddr) -> bool {
        self.system().send_to(data, &to.into()).is_ok()
    }

    /// Resolves when something may have come; never, where nobody watches.
    pub(super) async fn readable(&self) {
        match self {
            // An error shows when it is read.
            Self::Watched(socket) => drop(socket.readable().await),
            Self::Polled(_) => std::future::pending().await,
        }
    }

    /// The next datagram, if one is there. It came now, or when the system says.
    pub(super) fn receive(&self, now: Now, buffer: &mut [u8]) -> io::Result<Arrived> {
        match self {
            Self::Watched(socket) => {
                let (length, from) = socket.try_recv_from(buffer)?;
                Ok(Arrived { length, from, at: now.instant })
            }
            Self::Polled(socket) => system::receive(socket, now, buffer),
        }
    }

    /// The next datagram of a socket that is watched.
    pub(super) async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Watched(socket) => socket.recv_from(buffer).await,
            Self::Polled(_) => std::future::pending().await,
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{self, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, SystemTime};

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

    use super::Arrived;
    use crate::engine::Now;

    /// What came longer ago waited for a machine that slept, or the clock was set: it counts as new.
    const OLDEST: Duration = Duration::from_secs(2);

    /// Room for one time stamp, as control messages are aligned.
    #[repr(align(8))]
    struct Control([u8; 64]);

    pub(super) fn tell_arrival(socket: &UdpSocket) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
    }

    pub(super) fn receive(socket: &UdpSocket, now: Now, buffer: &mut [u8]) -> io::Result<Arrived> {
        let (mut control, mut room) = (Control([0; 64]), [IoSliceMut::new(buffer)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut room, Some(&mut control.0), flags)?;
        let from = message.address.as_ref().and_then(address);
        let stamp = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        });
        let stamp = stamp.map(|stamp| SystemTime::UNIX_EPOCH + stamp);
        let age = stamp.and_then(|stamp| now.wall.duration_since(stamp).ok());
        let at = age.filter(|age| *age <= OLDEST).and_then(|age| now.instant.checked_sub(age));
        Ok(Arrived {
            length: message.bytes,
            from: from.ok_or(io::ErrorKind::AddrNotAvailable)?,
            at: at.unwrap_or(now.instant),
        })
    }

    fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6))))
    }
}

/// Not told here, so that every socket is watched.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::net::UdpSocket;

    use super::Arrived;
    use crate::engine::Now;

    pub(super) fn tell_arrival(_: &UdpSocket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn receive(socket: &UdpSocket, now: Now, buffer: &mut [u8]) -> io::Result<Arrived> {
        let (length, from) = socket.recv_from(buffer)?;
        Ok(Arrived { length, from, at: now.instant })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;
    use crate::driver::clock;

    /// What nobody watches is there all the same, with the moment at which it came.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_polled_came_when_it_came() {
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let Ok(watched) = Socket::bind(address, 0) else {
                assert!(address.is_ipv6(), "there may be no IPv6 here");
                continue;
            };
            let polled = watched.again(true).expect("Linux tells");
            let to = polled.local_addr().expect("it is bound");
            assert_eq!(watched.local_addr().ok(), Some(to), "it is the same one");
            drop(watched);
            let before = clock::now().instant;
            assert!(polled.send_now(b"one", to) && polled.send_now(b"two!", to));
            let after = clock::now().instant;
            // As if it were looked at a second later.
            let mut later = clock::now();
            later.instant += Duration::from_secs(1);
            later.wall += Duration::from_secs(1);
            let mut buffer = [0; 16];
            for expected in [3, 4] {
                let arrived = polled.receive(later, &mut buffer).expect("it was sent");
                assert_eq!((arrived.length, arrived.from), (expected, to));
                let slack = Duration::from_millis(5);
                assert!(arrived.at + slack >= before && arrived.at <= after + slack, "{arrived:?}");
            }
            let nothing = polled.receive(later, &mut buffer).expect_err("nothing is left");
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            // Watched again it wakes.
            let watched = polled.again(false).expect("a descriptor");
            assert!(polled.send_now(b"three", to));
            assert_eq!(watched.recv_from(&mut buffer).await.expect("it was sent"), (5, to));
        }
    }

    /// A clock that was set in between says nothing of when a datagram came.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_clock_that_jumps_makes_nothing_old() {
        let socket = Socket::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).expect("a free port");
        let socket = socket.again(true).expect("Linux tells");
        let to = socket.local_addr().expect("it is bound");
        let mut now = clock::now();
        for wall in [now.wall + Duration::from_secs(3_600), now.wall - Duration::from_secs(3_600)] {
            now.wall = wall;
            assert!(socket.send_now(b"one", to));
            assert_eq!(socket.receive(now, &mut [0; 16]).expect("it was sent").at, now.instant);
        }
    }
}
