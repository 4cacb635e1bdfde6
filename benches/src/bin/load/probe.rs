//! One call after the other, timed in microseconds: how long a caller waits for the 200 of its INVITE.
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::generator::Outcome;
use crate::process::pause;

/// Calls a second.
pub(crate) const RATE: u32 = 100;
/// How long an answer may take; nothing is sent again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes `count` calls to this port of 127.0.0.1, each hung up at once.
pub(crate) fn set_up(port: u16, count: u32) -> Outcome {
    let mut times = Vec::new();
    for number in 0..count {
        let begin = Instant::now();
        // A socket of its own: what still comes of one call is not taken for another's.
        if let Ok(time) = Call::begin(port, number).and_then(|call| call.run()) {
            times.push(time.as_secs_f64() * 1e3);
        }
        pause((Duration::from_secs(1) / RATE).saturating_sub(begin.elapsed()));
    }
    let failed = count - times.len() as u32;
    Outcome::of(times, failed)
}

struct Call {
    socket: UdpSocket,
    local: SocketAddr,
    remote: SocketAddr,
    number: u32,
}

impl Call {
    fn begin(port: u16, number: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        socket.connect(remote)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { local: socket.local_addr()?, socket, remote, number })
    }

    /// INVITE, ACK and BYE; how long the INVITE took.
    fn run(&self) -> io::Result<Duration> {
        let offer = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n",
            self.local.port()
        );
        let begin = Instant::now();
        self.send("INVITE", 1, "", &offer)?;
        let to = self.ok("INVITE")?;
        let time = begin.elapsed();
        self.send("ACK", 1, &to, "")?;
        self.send("BYE", 2, &to, "")?;
        self.ok("BYE")?;
        Ok(time)
    }

    fn send(&self, method: &str, sequence: u32, to_tag: &str, body: &str) -> io::Result<()> {
        let Self { local, remote, number, .. } = self;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} sip:load@{remote} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{number}-{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:probe@{local}>;tag={number}\r\nTo: <sip:load@{remote}>{to_tag}\r\n\
             Call-ID: {number}@{local}\r\nCSeq: {sequence} {method}\r\nContact: <sip:probe@{local}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send(text.as_bytes()).map(drop)
    }

    /// Waits for the 200 to this method: the tag of its To, as a parameter.
    fn ok(&self, method: &str) -> io::Result<String> {
        let mut buffer = [0; 4_096];
        loop {
            let length = self.socket.recv(&mut buffer)?;
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            let header = |name: &str| {
                let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
                line.unwrap_or_default().to_owned()
            };
            if !header("cseq:").ends_with(method) || text.starts_with("SIP/2.0 1") {
                continue;
            }
            if !text.starts_with("SIP/2.0 200") {
                return Err(io::Error::other(text));
            }
            let to = header("to:");
            return Ok(to.find(";tag=").and_then(|at| to.get(at..)).unwrap_or_default().to_owned());
        }
    }
}
