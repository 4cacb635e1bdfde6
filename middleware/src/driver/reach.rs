//! What a program can find out when something does not work: where servers are, and whether they
//! answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use sip_core::endpoint::Transport;
use sip_core::resolve::{Lookup, Wanted};
use sip_core::{Limits, Message, Scheme, StreamDecoder, StreamItem, Uri};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::clock;
use super::resolve::Resolver;
use super::transport::Security;
use crate::configuration::TlsConfiguration;

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// When a datagram is sent again (RFC 3261 §17.1.2.2, shortened).
const AGAIN: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_millis(1_500),
];
/// Largest datagram there is.
const DATAGRAM: usize = 65_536;

/// A place where a domain says that it takes SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status of its answer: 200 and 405 prove as much.
    pub code: u16,
    /// The phrase of it.
    pub reason: String,
    /// What it calls itself.
    pub software: Option<String>,
    /// How long it took.
    pub time: Duration,
    /// The version of TLS, where there is TLS.
    pub tls: Option<String>,
}

/// Where requests to `uri` go (RFC 3263), in the order in which they are tried; `dns` is whom to
/// ask, the system's servers where empty.
pub async fn servers(uri: &Uri, dns: &[SocketAddr]) -> Result<Vec<Server>, String> {
    let (answers, _) = mpsc::unbounded_channel();
    let resolver = Resolver::new(dns, answers);
    let secure = uri.scheme() == Scheme::Sips;
    let transport = match uri.param("transport").map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("udp") => Some(Transport::Udp),
        Some("tcp") => Some(if secure { Transport::Tls } else { Transport::Tcp }),
        Some("tls") => Some(Transport::Tls),
        Some("ws") => Some(if secure { Transport::Wss } else { Transport::Ws }),
        Some("wss") => Some(Transport::Wss),
        Some(other) => return Err(format!("{other} is no transport that we have")),
    };
    let host = uri.host().to_string();
    let wanted = Wanted {
        port: uri.port(),
        transport,
        secure,
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        ipv6: true,
        ..Wanted::new(host.trim_matches(['[', ']']))
    };
    let mut lookup = Lookup::new(wanted, clock::seed()).map_err(|error| error.to_string())?;
    loop {
        let questions = lookup.ask();
        if let Some(result) = lookup.result() {
            let hops = result.map_err(ToString::to_string)?;
            let server = |hop: &sip_core::resolve::Hop| Server {
                transport: hop.target.transport,
                address: hop.target.addr,
            };
            return Ok(hops.iter().map(server).collect());
        }
        if questions.is_empty() {
            return Err("the search came to no end".to_owned());
        }
        for question in &questions {
            let answer = resolver.look_up(question).await;
            let answer = answer.as_ref().map(|answer| answer.records.as_slice()).map_err(String::as_str);
            lookup.answer(question, answer);
        }
    }
}

/// Asks a server for its abilities (OPTIONS, RFC 3261 §11) over the transport that it was found
/// for; WebSockets are not asked. `uri` is the one that led to it.
pub async fn ask(server: &Server, uri: &Uri, tls: &TlsConfiguration) -> Result<Answered, String> {
    let begun = clock::now().instant;
    let asked = tokio::time::timeout(PATIENCE, ask_now(server, uri, tls));
    let (message, tls) = match asked.await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let time = clock::now().instant.saturating_duration_since(begun);
    let response = message.as_response().ok_or("what came is no response")?;
    let software = response.headers().text("Server").or_else(|| response.headers().text("User-Agent"));
    Ok(Answered {
        code: response.status().code(),
        reason: response.reason().to_owned(),
        software: software.map(str::to_owned),
        time,
        tls,
    })
}

async fn ask_now(
    server: &Server,
    uri: &Uri,
    tls: &TlsConfiguration,
) -> io::Result<(Message, Option<String>)> {
    match server.transport {
        Transport::Udp => Ok((ask_by_udp(server.address, uri).await?, None)),
        Transport::Tcp => {
            let stream = TcpStream::connect(server.address).await?;
            let local = stream.local_addr()?;
            Ok((ask_by_stream(stream, local, "TCP", uri).await?, None))
        }
        Transport::Tls => {
            let stream = TcpStream::connect(server.address).await?;
            let local = stream.local_addr()?;
            let stream = Security::new(tls.clone()).connect(stream, &uri.host().to_string()).await?;
            let version = stream.get_ref().1.protocol_version().and_then(|version| {
                version.as_str().map(|text| text.replace('_', ".").replacen("TLSv", "TLS ", 1))
            });
            Ok((ask_by_stream(stream, local, "TLS", uri).await?, version))
        }
        Transport::Ws | Transport::Wss => Err(io::Error::other("WebSockets are not asked")),
    }
}

async fn ask_by_udp(server: SocketAddr, uri: &Uri) -> io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let request = options(uri, socket.local_addr()?, "UDP");
    let mut buffer = vec![0; DATAGRAM];
    for wait in AGAIN {
        socket.send(request.as_bytes()).await?;
        if let Ok(received) = tokio::time::timeout(wait, socket.recv(&mut buffer)).await {
            let data = Bytes::copy_from_slice(buffer.get(..received?).unwrap_or_default());
            if let Ok(message) = Message::parse(data, &Limits::default()) {
                return Ok(message);
            }
        }
    }
    Err(io::Error::other("no answer"))
}

async fn ask_by_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    local: SocketAddr,
    transport: &str,
    uri: &Uri,
) -> io::Result<Message> {
    stream.write_all(options(uri, local, transport).as_bytes()).await?;
    stream.flush().await?;
    let mut decoder = StreamDecoder::new(Limits::default());
    let mut buffer = [0; 4_096];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::Error::other("it closed the connection"));
        }
        decoder.feed(buffer.get(..length).unwrap_or_default());
        while let Some(item) = decoder.next() {
            match item {
                StreamItem::Message(message) => return Ok(message),
                StreamItem::Error(error) => return Err(io::Error::other(*error)),
                StreamItem::Ping | StreamItem::Pong => {}
            }
        }
    }
}

/// A request by itself, of nobody.
fn options(uri: &Uri, local: SocketAddr, transport: &str) -> String {
    let [a, b, c, d, ..] = clock::seed();
    let token = format!("{a:02x}{b:02x}{c:02x}{d:02x}");
    let (host, port) = (uri.host(), uri.port().map_or_else(String::new, |port| format!(":{port}")));
    let scheme = if uri.scheme() == Scheme::Sips { "sips" } else { "sip" };
    format!(
        "OPTIONS {scheme}:{host}{port} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch=z9hG4bK{token};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:anonymous@anonymous.invalid>;tag={token}\r\n\
         To: <{scheme}:{host}>\r\n\
         Call-ID: {token}@anonymous.invalid\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:anonymous@{local}>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_a_request_that_we_would_take() {
        for (uri, local) in
            [("sip:example.com", "192.0.2.1:5070"), ("sips:[2001:db8::1]:5061", "[::1]:40000")]
        {
            let uri: Uri = uri.parse().expect("a URI");
            let text = options(&uri, local.parse().expect("an address"), "TCP");
            let message = Message::parse(Bytes::from(text), &Limits::default()).expect("a message");
            let request = message.as_request().expect("a request");
            assert_eq!(request.uri().expect("a URI").host(), uri.host());
            assert!(request.via().is_ok() && request.from().is_ok() && request.cseq().is_ok());
        }
    }
}
