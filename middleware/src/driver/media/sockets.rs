//! The sockets of an audio stream.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ice_stun::ice::gather;
use tokio::sync::mpsc;

use super::ice::IceInput;
use super::interfaces;
use super::socket::Socket;
use crate::session::AudioPreparation;

/// Largest RTP or RTCP packet that is read or written.
pub(super) const PACKET: usize = 2_048;
/// Attempts to find two free ports side by side.
const ATTEMPTS: usize = 64;

/// The sockets of an audio stream.
pub(super) struct AudioSockets {
    pub(super) rtp: Arc<Socket>,
    pub(super) rtcp: Arc<Socket>,
    /// Those on other addresses of this host, for ICE.
    more: Vec<MoreSocket>,
}

/// A socket on another address; what it receives goes to ICE's queue.
struct MoreSocket {
    at: gather::Socket,
    socket: Arc<Socket>,
    /// Its reader, which ends with it.
    reader: Option<tokio::task::AbortHandle>,
}

impl MoreSocket {
    fn new(component: u16, socket: Arc<Socket>, inputs: &mpsc::Sender<IceInput>) -> io::Result<Self> {
        let at = gather::Socket { component, address: socket.local_addr()? };
        let reading = tokio::spawn(read_more(at, socket.clone(), inputs.clone()));
        Ok(Self { at, socket, reader: Some(reading.abort_handle()) })
    }
}

/// Where the sockets of a stream are to be from now on.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// The address that counts most.
    pub(super) address: IpAddr,
    pub(super) port_range: Option<RangeInclusive<u16>>,
    /// Whether the other addresses of this host are used too.
    pub(super) every_interface: bool,
}

/// What a move has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MovedSockets {
    /// Sockets that were not there before, the best first.
    pub(super) new: Vec<gather::Socket>,
    /// Addresses of sockets that are no more.
    pub(super) gone: Vec<SocketAddr>,
}

impl MovedSockets {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty()
    }
}

impl Drop for MoreSocket {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl AudioSockets {
    /// An even port for RTP and the next one for RTCP (RFC 3550 §11), where they can be had.
    pub(super) fn open(preparation: &AudioPreparation) -> io::Result<Self> {
        let AudioPreparation { address, port_range, .. } = preparation;
        match port_range {
            Some(range) => {
                let mut even = range.clone().filter(|port| port % 2 == 0 && *port < *range.end());
                even.find_map(|port| Self::pair(*address, port).ok())
                    .ok_or_else(|| io::Error::other("no two ports of the range are free side by side"))
            }
            None => {
                for _ in 0..ATTEMPTS {
                    let probe = Socket::bind(*address, 0)?;
                    let port = probe.local_addr()?.port();
                    if port % 2 == 0
                        && let Ok(rtcp) = Socket::bind(*address, port + 1)
                    {
                        return Ok(Self::of(probe, rtcp));
                    }
                    drop(probe);
                    if let Ok(pair) = Self::pair(*address, port & !1) {
                        return Ok(pair);
                    }
                }
                // RFC 3605: any two ports, the second told in a=rtcp.
                Ok(Self::of(Socket::bind(*address, 0)?, Socket::bind(*address, 0)?))
            }
        }
    }

    fn pair(address: IpAddr, port: u16) -> io::Result<Self> {
        Ok(Self::of(Socket::bind(address, port)?, Socket::bind(address, port + 1)?))
    }

    fn of(rtp: Socket, rtcp: Socket) -> Self {
        Self { rtp: Arc::new(rtp), rtcp: Arc::new(rtcp), more: Vec::new() }
    }

    /// Whether nobody watches the first two.
    pub(super) fn are_polled(&self) -> bool {
        self.rtp.is_polled()
    }

    /// Has the first two watched, or not.
    pub(super) fn poll(&mut self, polled: bool) -> io::Result<()> {
        if self.are_polled() != polled {
            let (rtp, rtcp) = (self.rtp.again(polled)?, self.rtcp.again(polled)?);
            (self.rtp, self.rtcp) = (Arc::new(rtp), Arc::new(rtcp));
        }
        Ok(())
    }

    /// Marks what leaves from now on (RFC 2474). A system that does not let us is no reason not to talk.
    pub(super) fn mark(&self, dscp: u8) {
        let traffic_class = u32::from(dscp.min(63)) << 2;
        let more = self.more.iter().map(|more| &more.socket);
        for socket in [&self.rtp, &self.rtcp].into_iter().chain(more) {
            let marked = match socket.local_addr() {
                Ok(address) if address.is_ipv6() => socket.system().set_tclass_v6(traffic_class),
                _ => socket.system().set_tos_v4(traffic_class),
            };
            if let Err(error) = marked {
                tracing::debug!(%error, dscp, "packets are not marked");
            }
        }
    }

    /// Sends from the socket of a component: 1 is RTP, 2 RTCP. What the system does not take at once
    /// is lost, as on a network.
    pub(super) fn send(&self, component: u16, data: &[u8], to: SocketAddr) -> bool {
        let socket = if component == 1 { &self.rtp } else { &self.rtcp };
        socket.send_now(data, to)
    }

    /// Sends from the socket that has this address.
    pub(super) fn send_from(&self, base: SocketAddr, data: &[u8], to: SocketAddr) -> bool {
        self.at(base).send_now(data, to)
    }

    /// The socket that has this address; that for RTP if none has.
    pub(super) fn at(&self, base: SocketAddr) -> &Arc<Socket> {
        if let Some(more) = self.more.iter().find(|more| more.at.address == base) {
            return &more.socket;
        }
        let is_rtcp = self.rtcp.local_addr().is_ok_and(|rtcp| rtcp == base);
        if is_rtcp { &self.rtcp } else { &self.rtp }
    }

    /// Sockets on this address too; what they receive goes to `inputs`.
    pub(super) fn open_more(
        &mut self,
        preparation: &AudioPreparation,
        inputs: &mpsc::Sender<IceInput>,
    ) -> io::Result<()> {
        let Self { rtp, rtcp, .. } = Self::open(preparation)?;
        for (component, socket) in [(1, rtp), (2, rtcp)] {
            self.more.push(MoreSocket::new(component, socket, inputs)?);
        }
        Ok(())
    }

    /// Follows to another network: the first two sockets come to stand on that address, and where ICE
    /// asks for `inputs`, the old ones beside them while theirs is among `here`, the addresses of this
    /// host.
    pub(super) fn follow(
        &mut self,
        to: &Destination,
        here: &[IpAddr],
        inputs: Option<&mpsc::Sender<IceInput>>,
    ) -> io::Result<MovedSockets> {
        let before = self.all()?;
        let preparation =
            |address| AudioPreparation { address, port_range: to.port_range.clone(), ice: None };
        if self.rtp.local_addr()?.ip() != to.address {
            let Self { rtp, rtcp, .. } = Self::open(&preparation(to.address))?;
            self.poll(false)?;
            let old =
                [(1, std::mem::replace(&mut self.rtp, rtp)), (2, std::mem::replace(&mut self.rtcp, rtcp))];
            for (component, socket) in old {
                if let Some(inputs) = inputs {
                    self.more.push(MoreSocket::new(component, socket, inputs)?);
                }
            }
        }
        // One that was beside the first, and is on the first's address now, is of no use.
        self.more.retain(|more| here.contains(&more.at.address.ip()));
        if let (Some(inputs), true) = (inputs, to.every_interface) {
            for address in interfaces::choose(to.address, here.iter().copied()) {
                if self.more.iter().all(|more| more.at.address.ip() != address)
                    && let Err(error) = self.open_more(&preparation(address), inputs)
                {
                    tracing::debug!(%address, %error, "no sockets for ICE there");
                }
            }
        }
        let after = self.all()?;
        let new = after.iter().filter(|socket| !before.contains(socket)).copied().collect();
        let gone = before.iter().filter(|socket| !after.contains(socket)).map(|socket| socket.address);
        Ok(MovedSockets { new, gone: gone.collect() })
    }

    /// All of them, the best first.
    pub(super) fn all(&self) -> io::Result<Vec<gather::Socket>> {
        let (rtp, rtcp) = self.addresses()?;
        let socket = |component, address| gather::Socket { component, address };
        let more = self.more.iter().map(|more| more.at);
        Ok([socket(1, rtp), socket(2, rtcp)].into_iter().chain(more).collect())
    }

    /// Where RTP and RTCP are received.
    pub(super) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.rtp.local_addr()?, self.rtcp.local_addr()?))
    }
}

/// Reads until the socket is closed. Who floods it loses packets of its own.
async fn read_more(at: gather::Socket, socket: Arc<Socket>, inputs: mpsc::Sender<IceInput>) {
    let mut buffer = [0; PACKET];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let data = buffer.get(..length).unwrap_or_default().to_vec();
        if let Err(mpsc::error::TrySendError::Closed(_)) =
            inputs.try_send(IceInput::Datagram { at, from, data })
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn packets_are_marked() {
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)] {
            let preparation = AudioPreparation { address, port_range: None, ice: None };
            let Ok(sockets) = AudioSockets::open(&preparation) else {
                assert!(address.is_ipv6(), "there may be no IPv6 here");
                continue;
            };
            sockets.mark(46);
            for socket in [&sockets.rtp, &sockets.rtcp] {
                let socket = socket.system();
                let marked = if address.is_ipv6() { socket.tclass_v6() } else { socket.tos_v4() };
                assert_eq!(marked.expect("it can be asked"), 46 << 2);
            }
        }
    }

    /// On loopback every address of 127/8 can be had.
    #[tokio::test]
    async fn sockets_follow_to_another_network_and_leave_what_is_gone() {
        let ip = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let preparation = AudioPreparation { address: ip(1), port_range: None, ice: None };
        let mut sockets = AudioSockets::open(&preparation).expect("two free ports");
        let (inputs, mut arrived) = mpsc::channel(4);
        let old = sockets.all().expect("their addresses");
        let to = |last| Destination { address: ip(last), port_range: None, every_interface: false };
        let nothing = sockets.follow(&to(1), &[ip(1)], Some(&inputs)).expect("nothing to do");
        assert!(nothing.is_empty(), "{nothing:?}");
        // Another address beside the old one: that one is still read.
        let moved = sockets.follow(&to(2), &[ip(1), ip(2)], Some(&inputs)).expect("it can be had");
        assert_eq!(moved.gone, []);
        assert_eq!(
            moved.new.iter().map(|it| (it.component, it.address.ip())).collect::<Vec<_>>(),
            [(1, ip(2)), (2, ip(2))]
        );
        assert!(sockets.send_from(moved.new[0].address, b"hello", old[1].address));
        let Some(IceInput::Datagram { at, from, data }) = arrived.recv().await else { panic!("a datagram") };
        assert_eq!((at, from, data.as_slice()), (old[1], moved.new[0].address, b"hello".as_slice()));
        // The old one is gone.
        let moved = sockets.follow(&to(2), &[ip(2)], Some(&inputs)).expect("nothing to open");
        assert_eq!((moved.new, moved.gone), (Vec::new(), old.iter().map(|it| it.address).collect()));
        assert_eq!(sockets.all().expect("their addresses").len(), 2);
        // Without ICE the new ones take the place of the old ones.
        let moved = sockets.follow(&to(3), &[ip(2), ip(3)], None).expect("it can be had");
        assert_eq!((moved.new.len(), moved.gone.len()), (2, 2));
    }
}
