//! Mutated messages, the same in every run, at a program that answers SIP: it has to stay, to answer others in time,
//! and to say no more than it was told.
//!
//! `BLAST=30000` sends so many over each transport (1,500 where nothing is said), on a machine that does nothing else:
//! others wait 200 ms at most, and then it takes as long as it may until what the program holds is what it held before.
#![expect(clippy::disallowed_methods, reason = "real programs take real time, and it is measured")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::Random;

/// After so many messages somebody else asks whether the program is there.
const STRIDE: usize = 10;
/// How often it asks, and waits half a second.
const TRIES: usize = 20;
/// What that may take for 99 of 100.
const IN_TIME: Duration = Duration::from_millis(200);
/// Memory that may stay, beside a tenth of what was there.
const KEPT_KIB: u64 = 8 * 1_024;
/// A call that nobody acknowledges is given up after 32 s (RFC 3261, timer H), and its memory goes back some time later.
const PATIENCE: Duration = Duration::from_secs(100);

/// A way to the program.
pub(crate) enum Way {
    Udp,
    Tcp(SocketAddr),
    /// TLS, and what it proves itself with.
    #[allow(dead_code, reason = "not all that is tested speaks TLS")]
    Tls(SocketAddr, CertificateDer<'static>),
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp(_) => "TCP",
            Self::Tls(..) => "TLS",
        }
    }
}

/// Sends messages over each way; `program` listens on `address` (UDP) as process `id`.
pub(crate) fn blast(name: &str, id: u32, address: SocketAddr, ways: &[Way], errors: impl Fn() -> String) {
    let long = std::env::var("BLAST").ok();
    let count = long.as_ref().map_or(1_500, |count| count.parse().expect("BLAST is a number"));
    let seeds = seeds();
    let other = Other::new(address);
    other.ask(0).unwrap_or_else(|| panic!("{name} does not answer at all: {}", errors()));
    let before = Held::of(id);
    for (number, way) in ways.iter().enumerate() {
        let (over, mut random) = (way.name(), Random::new(number as u64));
        let mut route = Route::new(way, address);
        let mut times = Vec::new();
        for sent in 0..count {
            let seed = random.pick(&seeds).clone();
            route.send(&random.mutate(&seed));
            if sent % STRIDE == 0 {
                let time = other.ask(sent + 1);
                times.push(time.unwrap_or_else(|| panic!("{name}, {over}: no answer: {}", errors())));
            }
        }
        times.sort();
        let late = times[times.len() * 99 / 100];
        println!(
            "{name}, {over}: {count} messages, others wait {late:?}, {} bytes for {}",
            route.got, route.sent
        );
        assert!(long.is_none() || late <= IN_TIME, "{name}, {over}: others wait {late:?}");
        assert!(route.got > 0, "{name}, {over}: it has not been heard");
        assert!(route.got <= route.sent, "{name}, {over}: {} bytes for {}", route.got, route.sent);
    }
    assert!(!errors().contains("panicked"), "{name}: {}", errors());
    if long.is_some() {
        before.comes_back(name, id);
    }
    other.ask(usize::MAX).unwrap_or_else(|| panic!("{name} is gone: {}", errors()));
}

/// Valid messages and those of RFC 4475.
fn seeds() -> Vec<Vec<u8>> {
    // This file is taken in by the library's tests and by the program's, a folder further down.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.ancestors().map(|folder| folder.join("fuzz/corpus/sip_message")).find(|f| f.exists());
    let folder = folder.expect("the folder of the seeds");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("seeds").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a seed")).collect()
}

/// Somebody who wants something else.
struct Other {
    socket: UdpSocket,
    remote: SocketAddr,
}

impl Other {
    fn new(remote: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
        Self { socket, remote }
    }

    /// How long an OPTIONS takes.
    fn ask(&self, number: usize) -> Option<Duration> {
        let local = self.socket.local_addr().expect("an address");
        let text = format!(
            "OPTIONS sip:a@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:other@{local}>;tag=1\r\nTo: <sip:a@{0}>\r\nCall-ID: {number}-{1}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            self.remote,
            local.port()
        );
        let begin = Instant::now();
        let mut buffer = [0; 4_096];
        // Datagrams get lost where a queue is full.
        for _ in 0..TRIES {
            self.socket.send_to(text.as_bytes(), self.remote).ok()?;
            while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if answer.starts_with("SIP/2.0 200") && answer.contains(&format!("Call-ID: {number}-")) {
                    return Some(begin.elapsed());
                }
            }
        }
        None
    }
}

/// Where messages go, and what came back.
struct Route<'a> {
    way: &'a Way,
    udp: (UdpSocket, SocketAddr),
    stream: Option<Box<dyn Duplex>>,
    sent: u64,
    got: u64,
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

impl<'a> Route<'a> {
    fn new(way: &'a Way, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        Self { way, udp: (socket, address), stream: None, sent: 0, got: 0 }
    }

    fn send(&mut self, message: &[u8]) {
        let mut buffer = [0; 65_536];
        self.sent += message.len() as u64;
        if matches!(self.way, Way::Udp) {
            // Too long for a datagram, or no room: as a network is.
            let _ = self.udp.0.send_to(message, self.udp.1);
            while let Ok(length) = self.udp.0.recv(&mut buffer) {
                self.got += length as u64;
            }
            return;
        }
        let mut stream = self.stream.take().unwrap_or_else(|| self.connect());
        let mut goes_on = stream.write_all(message).and_then(|()| stream.flush()).is_ok();
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => goes_on = false,
                Ok(length) => {
                    self.got += length as u64;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => goes_on = false,
            }
            break;
        }
        // One that was closed is opened anew.
        self.stream = Some(stream).filter(|_| goes_on);
    }

    fn connect(&self) -> Box<dyn Duplex> {
        let open = |address: &SocketAddr| {
            let stream = TcpStream::connect(address).expect("it listens");
            // Messages go out as they are; what comes is looked for and not waited for.
            stream.set_nodelay(true).expect("an option");
            stream.set_read_timeout(Some(Duration::from_micros(100))).expect("a time-out");
            stream
        };
        match self.way {
            Way::Udp => unreachable!("datagrams need no connection"),
            Way::Tcp(address) => Box::new(open(address)),
            Way::Tls(address, certificate) => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate.clone()).expect("a certificate");
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .expect("versions that ring has")
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let name = ServerName::try_from("127.0.0.1").expect("a name");
                let client = ClientConnection::new(Arc::new(config), name).expect("a client");
                let mut stream = StreamOwned::new(client, open(address));
                stream.sock.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).expect("a handshake");
                }
                stream.sock.set_read_timeout(Some(Duration::from_micros(100))).expect("a time-out");
                Box::new(stream)
            }
        }
    }
}

/// What a program holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: u64,
    descriptors: usize,
}

impl Held {
    fn of(id: u32) -> Self {
        let memory = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let line = memory.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap_or_default();
        let memory_kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
        let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        Self { memory_kib, descriptors }
    }

    fn comes_back(&self, name: &str, id: u32) {
        let begin = Instant::now();
        loop {
            let now = Self::of(id);
            let within = now.memory_kib <= self.memory_kib + (self.memory_kib / 10).max(KEPT_KIB);
            if within && now.descriptors <= self.descriptors {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{name} held {self:?} and holds {now:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
