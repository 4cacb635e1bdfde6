//! ICE over TCP (RFC 6544): connections on which the length of each packet stands before it (RFC 4571 §2).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ice_stun::ice::Path;
use ice_stun::ice::gather;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::ice::IceInput;

/// Connections of one stream that may be there at one time, ours and peers'.
const MOST: usize = 24;
/// Packets that wait for a slow peer; more are dropped, as on a network.
const WAITING: usize = 64;
/// A connection takes no longer to come about, and whoever makes one says something in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens on connections.
#[derive(Debug)]
pub(super) enum TcpNews {
    /// One of ours is there.
    Connected(Path),
    /// A peer has made one.
    Accepted(Path, TcpStream),
    /// A packet has come.
    Data(Path, Vec<u8>),
    /// One is gone, or does not come about.
    Closed(Path),
}

/// The connections of one stream; dropping it closes them.
pub(super) struct TcpPaths {
    inputs: mpsc::Sender<IceInput>,
    listeners: HashMap<SocketAddr, AbortHandle>,
    open: HashMap<Path, mpsc::Sender<Vec<u8>>>,
    /// Connections that were too many.
    refused: u64,
}

impl TcpPaths {
    pub(super) fn new(inputs: mpsc::Sender<IceInput>) -> Self {
        Self { inputs, listeners: HashMap::new(), open: HashMap::new(), refused: 0 }
    }

    /// Takes peers' connections on the port that the socket has over UDP.
    pub(super) fn listen(&mut self, socket: gather::Socket) -> io::Result<()> {
        let gather::Socket { component, address } = socket;
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (listener, inputs) = (TcpListener::from_std(listener)?, self.inputs.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, remote)) = listener.accept().await else { continue };
                let path = Path { component, tcp: true, base: address, remote };
                if inputs.send(IceInput::Tcp(TcpNews::Accepted(path, stream))).await.is_err() {
                    return;
                }
            }
        });
        self.listeners.insert(address, accepting.abort_handle());
        Ok(())
    }

    /// Whether peers can connect to that address.
    pub(super) fn listens(&self, base: SocketAddr) -> bool {
        self.listeners.contains_key(&base)
    }

    /// An address is gone.
    pub(super) fn leave(&mut self, base: SocketAddr) {
        if let Some(listener) = self.listeners.remove(&base) {
            listener.abort();
        }
        self.open.retain(|path, _| path.base != base);
    }

    /// Connects to a peer; [`TcpNews`] tell what comes of it.
    pub(super) fn connect(&mut self, path: Path) {
        let Some(waiting) = self.open(path) else { return self.closed(path) };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = timeout(PATIENCE, connect(path)).await {
                // Nobody to tell: the stream has ended.
                let _ = inputs.send(IceInput::Tcp(TcpNews::Connected(path))).await;
                let _ = carry(path, stream, &inputs, waiting).await;
            }
            let _ = inputs.send(IceInput::Tcp(TcpNews::Closed(path))).await;
        });
    }

    /// A peer's connection.
    pub(super) fn accept(&mut self, path: Path, stream: TcpStream) {
        let Some(waiting) = self.open(path) else { return };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let _ = carry(path, stream, &inputs, waiting).await;
            // Nobody to tell: the stream has ended.
            let _ = inputs.send(IceInput::Tcp(TcpNews::Closed(path))).await;
        });
    }

    fn open(&mut self, path: Path) -> Option<mpsc::Receiver<Vec<u8>>> {
        if self.open.len() >= MOST {
            self.refused += 1;
            tracing::debug!(refused = self.refused, "too many connections of ICE");
            return None;
        }
        let (writes, waiting) = mpsc::channel(WAITING);
        self.open.insert(path, writes);
        Some(waiting)
    }

    /// Says that one does not come about.
    fn closed(&self, path: Path) {
        // If the queue is full, the check on it runs out by itself.
        let _ = self.inputs.try_send(IceInput::Tcp(TcpNews::Closed(path)));
    }

    /// Sends a packet; what a peer is too slow for is lost.
    pub(super) fn send(&self, path: Path, data: &[u8]) -> bool {
        self.open.get(&path).is_some_and(|writes| writes.try_send(data.to_vec()).is_ok())
    }

    /// Closes one, or takes note that it is gone.
    pub(super) fn close(&mut self, path: Path) {
        self.open.remove(&path);
    }
}

impl Drop for TcpPaths {
    fn drop(&mut self) {
        self.listeners.values().for_each(AbortHandle::abort);
    }
}

/// From the address of ours, and any port: port 9 stands for it in candidates (RFC 6544 §4.5).
async fn connect(path: Path) -> io::Result<TcpStream> {
    let socket = if path.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(path.base.ip(), 0))?;
    socket.connect(path.remote).await
}

/// Carries packets until either side ends.
async fn carry(
    path: Path,
    stream: TcpStream,
    inputs: &mpsc::Sender<IceInput>,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let reading = async {
        let mut length = timeout(PATIENCE, reader.read_u16()).await.map_err(io::Error::other)??;
        loop {
            let mut data = vec![0; usize::from(length)];
            reader.read_exact(&mut data).await?;
            if inputs.send(IceInput::Tcp(TcpNews::Data(path, data))).await.is_err() {
                return Ok(());
            }
            length = reader.read_u16().await?;
        }
    };
    let writing = async {
        while let Some(data) = waiting.recv().await {
            let Ok(length) = u16::try_from(data.len()) else { continue };
            let framed = [&length.to_be_bytes(), data.as_slice()].concat();
            writer.write_all(&framed).await?;
        }
        writer.shutdown().await
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    async fn news(inputs: &mut mpsc::Receiver<IceInput>) -> TcpNews {
        match timeout(PATIENCE, inputs.recv()).await.expect("in time") {
            Some(IceInput::Tcp(news)) => news,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn packets_go_both_ways_and_connections_have_a_cap() {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let ((left, mut at_left), (right, mut at_right)) = (mpsc::channel(64), mpsc::channel(64));
        let (mut left, mut right) = (TcpPaths::new(left), TcpPaths::new(right));
        right.listen(gather::Socket { component: 1, address }).expect("the port is free");
        assert!(right.listens(address));
        let base = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let ours = Path { component: 1, tcp: true, base, remote: address };
        left.connect(ours);
        assert!(matches!(news(&mut at_left).await, TcpNews::Connected(path) if path == ours));
        let TcpNews::Accepted(theirs, stream) = news(&mut at_right).await else { panic!("it is taken") };
        right.accept(theirs, stream);
        assert!(left.send(ours, b"hello") && left.send(ours, &[7; 1_500]));
        for expected in [b"hello".to_vec(), vec![7; 1_500]] {
            let TcpNews::Data(path, data) = news(&mut at_right).await else { panic!("a packet") };
            assert_eq!((path, data), (theirs, expected));
        }
        assert!(right.send(theirs, b"hi"));
        assert!(matches!(news(&mut at_left).await, TcpNews::Data(_, data) if data == b"hi"));
        right.close(theirs);
        assert!(matches!(news(&mut at_left).await, TcpNews::Closed(path) if path == ours));
        // Nobody opens more than so many.
        let mut clients = Vec::new();
        for number in 0..40 {
            let client = TcpStream::connect(address).await.expect("it listens");
            loop {
                match news(&mut at_right).await {
                    TcpNews::Accepted(path, stream) => break right.accept(path, stream),
                    // Of the one before; nobody takes note here.
                    TcpNews::Closed(_) => {}
                    other => panic!("{number}: {other:?}"),
                }
            }
            clients.push(client);
        }
        assert!(right.open.len() <= MOST && right.refused >= 40 - MOST as u64);
        right.leave(address);
        assert!(!right.listens(address) && right.open.is_empty());
    }
}
