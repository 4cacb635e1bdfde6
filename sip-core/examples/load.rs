//! What a call costs without sockets: two endpoints in memory, each call INVITE to BYE, and the
//! transactions' half minute in virtual time.
//!
//! `cargo run --release -p sipsimple-sip-core --example load -- 100000`

use sip_core::{
    Endpoint, NameAddr, StatusCode, Uri,
    endpoint::{Body, Config, Event, Input, OutgoingCall, Output, Transport},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
/// Calls a second, in virtual time.
const RATE: u64 = 1_000;

#[expect(clippy::disallowed_methods, reason = "this measures time")]
fn clock() -> Instant {
    Instant::now()
}

struct Side {
    endpoint: Endpoint,
    local: SocketAddr,
    busy: Duration,
    packets: Vec<(SocketAddr, bytes::Bytes)>,
    ended: u64,
}

impl Side {
    fn new(local: &str, now: Instant) -> Self {
        let local: SocketAddr = local.parse().expect("an address");
        let mut endpoint = Endpoint::new(Config::default(), [1; 32]);
        endpoint.handle_input(now, Input::Bound { transport: Transport::Udp, local });
        Self { endpoint, local, busy: Duration::ZERO, packets: Vec::new(), ended: 0 }
    }

    fn take(&mut self, now: Instant, from: SocketAddr, data: bytes::Bytes) {
        let start = clock();
        // A driver copies out of its receive buffer.
        let data = bytes::Bytes::copy_from_slice(&data);
        self.endpoint.handle_input(now, Input::Datagram { local: self.local, remote: from, data });
        self.drain(now);
        self.busy += start.elapsed();
    }

    fn timeout(&mut self, now: Instant) {
        let start = clock();
        self.endpoint.handle_timeout(now);
        self.drain(now);
        self.busy += start.elapsed();
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit { remote, data, .. } => self.packets.push((remote, data)),
                Output::Event(Event::Incoming { call, .. }) => {
                    let body = Some(Body::new("application/sdp", OFFER));
                    self.endpoint.provisional(now, call, StatusCode::RINGING, None).expect("it rings");
                    self.endpoint.accept(now, call, Vec::new(), body).expect("it rings");
                }
                Output::Event(Event::Answered { call, .. }) => {
                    self.endpoint.ack(now, call, None).expect("an ACK is due");
                    self.endpoint.bye(now, call, Vec::new()).expect("established");
                }
                Output::Event(Event::Ended { .. }) => self.ended += 1,
                Output::Idle(_) => return,
                _ => {}
            }
        }
    }
}

fn main() {
    let calls: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let start = clock();
    let (mut alice, mut bob) = (Side::new("192.0.2.1:5060", start), Side::new("192.0.2.2:5060", start));
    let target: Uri = "sip:bob@192.0.2.2".parse().expect("a URI");
    let from = NameAddr::new("sip:alice@192.0.2.1".parse().expect("a URI"));
    let mut most = 0;
    for n in 0..calls {
        let now = start + Duration::from_micros(n * 1_000_000 / RATE);
        let begin = clock();
        let call = OutgoingCall {
            body: Some(Body::new("application/sdp", OFFER)),
            ..OutgoingCall::new(target.clone(), from.clone())
        };
        alice.endpoint.invite(now, call).expect("a call");
        alice.drain(now);
        alice.busy += begin.elapsed();
        while !alice.packets.is_empty() || !bob.packets.is_empty() {
            for (_, data) in std::mem::take(&mut alice.packets) {
                bob.take(now, alice.local, data);
            }
            for (_, data) in std::mem::take(&mut bob.packets) {
                alice.take(now, bob.local, data);
            }
        }
        if n % 10 == 0 {
            alice.timeout(now);
            bob.timeout(now);
        }
        most = most.max(bob.endpoint.stats().server_transactions);
    }
    let micros = |side: &Side| side.busy.as_secs_f64() * 1e6 / calls as f64;
    println!(
        "{calls} calls at {RATE}/s of virtual time, {} ended at the caller, {} at the callee",
        alice.ended, bob.ended
    );
    println!("caller {:.1} µs a call, callee {:.1} µs a call", micros(&alice), micros(&bob));
    println!("at most {most} server transactions at the callee");
}
