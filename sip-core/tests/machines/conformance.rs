//! The sans-IO rules.

use crate::solo::{PEER, US, addr, ask, wire};
use sip_core::{
    NameAddr, StatusCode,
    endpoint::{
        Call, Config, Endpoint, Event, FlowId, Input, OutgoingCall, Output, ServerRequest, Transport,
    },
};
use std::time::Instant;
use testkit::conformance::{Step, Subject};

/// An endpoint that gets bytes over UDP and over one connection, and random commands.
struct Agent {
    endpoint: Endpoint,
    calls: Vec<Call>,
    requests: Vec<ServerRequest>,
    turn: u64,
}

const FLOW: FlowId = FlowId::accepted(1);

impl Subject for Agent {
    fn new(seed: [u8; 32], now: Instant) -> Self {
        let mut endpoint = Endpoint::new(Config::default(), seed);
        let (local, remote) = (addr(US), addr(PEER));
        for transport in [Transport::Udp, Transport::Tcp] {
            endpoint.handle_input(now, Input::Bound { transport, local });
        }
        endpoint.handle_input(now, Input::Accepted { flow: FLOW, transport: Transport::Tcp, local, remote });
        Self { endpoint, calls: Vec::new(), requests: Vec::new(), turn: 0 }
    }

    fn input(&mut self, now: Instant, data: &[u8]) {
        self.turn += 1;
        if self.turn.is_multiple_of(4) {
            self.endpoint.handle_input(now, Input::Received { flow: FLOW, data });
        } else {
            let data = bytes::Bytes::copy_from_slice(data);
            self.endpoint.handle_input(now, Input::Datagram { local: addr(US), remote: addr(PEER), data });
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
    }

    fn poll(&mut self) -> Step {
        match self.endpoint.poll_output() {
            Output::Idle(at) => Step::Idle(at),
            output => {
                match &output {
                    Output::Event(Event::Incoming { call, .. }) => self.calls.push(*call),
                    Output::Event(Event::Reinvite { id, .. } | Event::Request { id, .. }) => {
                        self.requests.push(*id)
                    }
                    _ => {}
                }
                Step::Output(format!("{output:?}"))
            }
        }
    }

    fn samples() -> Vec<Vec<u8>> {
        let messages = [
            ask("INVITE", "1", 1, "", ""),
            ask("INVITE", "2", 1, "", "Require: x"),
            ask("ACK", "1", 1, "", ""),
            ask("CANCEL", "1", 1, "", ""),
            ask("BYE", "3", 2, "0123456789abcdef", ""),
            ask("OPTIONS", "4", 1, "", ""),
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef\nFrom: <sip:a@b>;tag=1\n\
             To: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nContent-Length: 0"
                .to_owned(),
        ];
        messages.iter().map(|text| wire(text).into_bytes()).chain([b"\r\n\r\n".to_vec()]).collect()
    }

    fn command(&mut self, now: Instant, which: u64) {
        let endpoint = &mut self.endpoint;
        let call =
            self.calls.get(usize::try_from(which >> 8).unwrap_or(0) % self.calls.len().max(1)).copied();
        // Refusals blame us, and are fine.
        match (which % 9, call) {
            (0, _) => {
                let from = NameAddr::new("sip:us@192.0.2.1".parse().expect("a URI"));
                let target = "sip:peer@192.0.2.2".parse().expect("a URI");
                self.calls.extend(endpoint.invite(now, OutgoingCall::new(target, from)).ok());
            }
            (1, Some(call)) => drop(endpoint.provisional(now, call, StatusCode::RINGING, None)),
            (2, Some(call)) => drop(endpoint.accept(now, call, Vec::new(), None)),
            (3, Some(call)) => drop(endpoint.reject(now, call, StatusCode::BUSY_HERE, None, Vec::new())),
            (4, Some(call)) => drop(endpoint.cancel(now, call)),
            (5, Some(call)) => drop(endpoint.bye(now, call, Vec::new())),
            (6, Some(call)) => drop(endpoint.reinvite(now, call, None)),
            (7, Some(call)) => drop(endpoint.ack(now, call, None)),
            (8, _) => {
                if let Some(id) = self.requests.pop() {
                    drop(endpoint.respond(now, id, StatusCode::OK, Vec::new(), None));
                }
            }
            _ => {}
        }
    }
}

testkit::conformance!(the_endpoint_keeps_the_rules, Agent);
