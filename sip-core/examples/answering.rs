//! Answers every call over UDP, and makes none: how an [`Endpoint`] is driven.
//!
//! `cargo run --release -p sipsimple-sip-core --example answering -- 127.0.0.1:5062`, and call it:
//! `sipp -sn uac 127.0.0.1:5062`.

use sip_core::{
    Endpoint, StatusCode,
    endpoint::{Body, Config, Event, Input, Output, Transport},
};
use std::{
    io::ErrorKind,
    net::UdpSocket,
    time::{Duration, Instant},
};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

#[expect(clippy::disallowed_methods, reason = "a driver is where time comes from")]
fn now() -> Instant {
    Instant::now()
}

pub(crate) fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5062".to_owned());
    let socket = UdpSocket::bind(&address)?;
    let local = socket.local_addr()?;
    // A real driver takes the seed from the system.
    let mut endpoint = Endpoint::new(Config::default(), [0; 32]);
    endpoint.handle_input(now(), Input::Bound { transport: Transport::Udp, local });
    let (mut buffer, mut reported, mut answered) = (vec![0; 65_535], now(), 0_u64);
    loop {
        let deadline = loop {
            match endpoint.poll_output() {
                // What the system does not take is lost, as on any UDP path.
                Output::Transmit { remote, data, .. } => drop(socket.send_to(&data, remote)),
                Output::Event(Event::Incoming { call, .. }) => {
                    let at = now();
                    let ringing = endpoint.provisional(at, call, StatusCode::RINGING, None);
                    let accepted =
                        endpoint.accept(at, call, Vec::new(), Some(Body::new("application/sdp", SDP)));
                    if let Err(error) = ringing.and(accepted) {
                        eprintln!("{call:?}: {error}");
                    }
                }
                Output::Event(Event::Confirmed { .. }) => answered += 1,
                Output::Event(Event::Reinvite { id, .. } | Event::Request { id, .. }) => {
                    let _ = endpoint.respond(now(), id, StatusCode::OK, Vec::new(), None);
                }
                Output::Idle(deadline) => break deadline,
                _ => {}
            }
        };
        let at = now();
        if at.duration_since(reported) > Duration::from_secs(5) {
            reported = at;
            println!("{answered} calls answered, {:?}", endpoint.stats());
        }
        let wait = deadline.map_or(Duration::from_secs(1), |d| d.saturating_duration_since(at));
        socket.set_read_timeout(Some(wait.clamp(Duration::from_micros(100), Duration::from_secs(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((length, remote)) => {
                let data = buffer.get(..length).unwrap_or_default().to_vec().into();
                endpoint.handle_input(now(), Input::Datagram { local, remote, data });
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            // An ICMP error about an earlier datagram.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
        endpoint.handle_timeout(now());
    }
}
