//! A large body over MSRP, beside a plain copy of as many bytes: over loopback, with TCP and with TLS, in one run.
//!
//! `MSRP_TRANSFER=1024 cargo bench -p sipsimple-benches --bench msrp_transfer` sends a GiB each time (256 MiB where nothing
//! is said), the two in turn, and prints the best of five rounds. Both ends are in this process, on two threads.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use msrp_cpim::{
    Body, Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, Receive, SessionConfig,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const BLOCK: usize = 64 * 1024;
/// As files are sent.
const CHUNK: usize = 128 * 1024;
const ROUNDS: usize = 5;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Duplex for T {}

type Stream = Box<dyn Duplex>;

fn main() {
    // `cargo test --benches` asks for as good as nothing.
    let asked = std::env::var("MSRP_TRANSFER").ok().and_then(|text| text.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let mebibytes: u64 = asked.unwrap_or(if is_bench { 256 } else { 1 });
    let rounds = if is_bench { ROUNDS } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let tls = Tls::new();
        println!("{mebibytes} MiB, MB/s, best of {rounds} rounds in turn");
        for (name, tls) in [("TCP", None), ("TLS", Some(&tls))] {
            let (mut plain, mut msrp): (f64, f64) = (0.0, 0.0);
            for _ in 0..rounds {
                plain = plain.max(rate(mebibytes, copy(pair(tls).await, mebibytes << 20)).await);
                msrp = msrp.max(rate(mebibytes, transfer(pair(tls).await, mebibytes << 20)).await);
            }
            println!("{name}: plain {plain:.0}, MSRP {msrp:.0}, ratio {:.2}", msrp / plain);
        }
    });
    println!("peak memory of all: {} kB", peak());
}

async fn rate(mebibytes: u64, work: impl Future<Output = ()>) -> f64 {
    let begun = Instant::now();
    work.await;
    (mebibytes << 20) as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

/// Bytes from one end to the other, with nothing around them.
async fn copy((mut one, mut other): (Stream, Stream), size: u64) {
    let sending = tokio::spawn(async move {
        let block = vec![0x55; BLOCK];
        for _ in 0..size / BLOCK as u64 {
            one.write_all(&block).await.expect("the other end reads");
        }
        one.flush().await.expect("the other end reads");
        one
    });
    let (mut buffer, mut left) = (vec![0; BLOCK], size);
    while left > 0 {
        left -= other.read(&mut buffer).await.expect("the other end writes") as u64;
    }
    sending.await.expect("it was sent");
}

/// The same bytes as the body of one message.
async fn transfer((one, other): (Stream, Stream), size: u64) {
    let path = |text| MsrpUri::parse_path(text).expect("a URI");
    let ends = ["msrp://alice.example.com:7777/alice;tcp", "msrp://bob.example.com:8888/bob;tcp"];
    let (mut sender, mut receiver) = (Wire::new(one, 1), Wire::new(other, 2));
    let now = Instant::now();
    let config =
        SessionConfig { chunk_size: CHUNK, ..SessionConfig::new(path(ends[0]), path(ends[1]), true) };
    let session = sender.machine.add_session(now, config).expect("a session");
    let config = SessionConfig {
        receive: Receive::Streamed,
        max_size: size,
        ..SessionConfig::new(path(ends[1]), path(ends[0]), false)
    };
    receiver.machine.add_session(now, config).expect("a session");
    let body = Body::Streamed { total: Some(size), offset: 0 };
    let message = OutgoingMessage { body, ..OutgoingMessage::new("application/octet-stream", Bytes::new()) };
    let message_id = sender.machine.send(now, session, message).expect("there is room");
    let sending = tokio::spawn(async move {
        let (block, mut left) = (Bytes::from(vec![0x55; BLOCK]), size);
        loop {
            match sender.next().await.expect("the other end reads") {
                Event::NeedData { .. } => {
                    left -= BLOCK as u64;
                    let fed =
                        sender.machine.feed(Instant::now(), session, &message_id, block.clone(), left == 0);
                    fed.expect("it was asked for");
                }
                Event::Delivered { .. } => return sender,
                Event::NotDelivered { code, reason, .. } => panic!("{code} {reason}"),
                _ => {}
            }
        }
    });
    let receiving = tokio::spawn(async move {
        let mut left = size;
        while let Some(event) = receiver.next().await {
            if let Event::Data { data, .. } = event {
                left -= data.len() as u64;
                assert!(left > 0 || data.iter().all(|byte| *byte == 0x55));
            }
        }
        assert_eq!(left, 0);
    });
    drop(sending.await.expect("it was sent"));
    receiving.await.expect("it was received");
}

/// A connection with its socket.
struct Wire {
    machine: Connection,
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    buffer: Vec<u8>,
    writing: VecDeque<Bytes>,
    flushed: bool,
}

impl Wire {
    fn new(stream: Stream, seed: u8) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let mut machine = Connection::new(Config::default(), [seed; 32]);
        machine.handle_input(Instant::now(), Input::Connected);
        Self { machine, reader, writer, buffer: vec![0; BLOCK], writing: VecDeque::new(), flushed: true }
    }

    /// The next event; `None`: the other end is gone.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.machine.poll_output() {
                Output::Event(event) => return Some(event),
                Output::Write(data) => {
                    self.writing.push_back(data);
                    self.flushed = false;
                    continue;
                }
                Output::Disconnect => panic!("given up"),
                Output::Idle(_) => {}
            }
            let writes = !self.writing.is_empty() || !self.flushed;
            let (mut read, mut written) = (None, None);
            tokio::select! {
                length = self.reader.read(&mut self.buffer), if self.machine.wants_read() => read = Some(length),
                length = push(&mut self.writer, &self.writing), if writes => written = Some(length),
            }
            if let Some(length) = read {
                let length = length.ok().filter(|length| *length > 0)?;
                self.machine.handle_input(Instant::now(), Input::Received(&self.buffer[..length]));
            }
            if let Some(length) = written {
                let length = length.ok()?;
                self.flushed = length == 0;
                self.written(length);
            }
        }
    }

    fn written(&mut self, length: usize) {
        let mut left = length;
        while let Some(front) = self.writing.front_mut() {
            left -= front.split_to(left.min(front.len())).len();
            if !front.is_empty() {
                break;
            }
            self.writing.pop_front();
        }
        self.machine.handle_input(Instant::now(), Input::Written(length));
    }
}

async fn push(writer: &mut WriteHalf<Stream>, data: &VecDeque<Bytes>) -> std::io::Result<usize> {
    if data.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    let mut slices = [IoSlice::new(&[]); 16];
    let count = slices.iter_mut().zip(data).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
    writer.write_vectored(&slices[..count]).await
}

/// Both ends of a connection over loopback.
async fn pair(tls: Option<&Tls>) -> (Stream, Stream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (one, (other, _)) = (one.expect("it listens"), other.expect("somebody came"));
    one.set_nodelay(true).expect("a socket");
    other.set_nodelay(true).expect("a socket");
    let Some(tls) = tls else { return (Box::new(one), Box::new(other)) };
    let name = ServerName::try_from("localhost").expect("a name");
    let (one, other) = tokio::join!(tls.connector.connect(name, one), tls.acceptor.accept(other));
    (Box::new(one.expect("a handshake")), Box::new(other.expect("a handshake")))
}

struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Tls {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let certificate = made.cert.der().clone();
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key).expect("they fit each other");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { connector: Arc::new(client).into(), acceptor: Arc::new(server).into() }
    }
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
