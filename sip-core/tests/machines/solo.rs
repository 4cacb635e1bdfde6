//! One endpoint and a peer that is written by hand.

use sip_core::{
    Limits, Message, Request, Response,
    endpoint::{Config, Endpoint, Event, FlowId, Input, Output, Transport},
    resolve::{Answer, Record, RecordKind},
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::Clock;

pub(crate) const US: &str = "192.0.2.1:5060";
pub(crate) const PEER: &str = "192.0.2.2:5060";

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// An endpoint at [`US`] over UDP and TCP.
pub(crate) struct Solo {
    pub(crate) endpoint: Endpoint,
    pub(crate) clock: Clock,
    pub(crate) sent: VecDeque<(SocketAddr, Message)>,
    pub(crate) events: VecDeque<Event>,
    /// Each REGISTER that left.
    pub(crate) registers: VecDeque<Event>,
    /// Other outputs: connects, writes, resolutions.
    pub(crate) others: VecDeque<Output>,
    pub(crate) idle: Option<Instant>,
}

impl Solo {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut solo = Self {
            endpoint: Endpoint::new(config, [1; 32]),
            clock: Clock::new(),
            sent: VecDeque::new(),
            events: VecDeque::new(),
            registers: VecDeque::new(),
            others: VecDeque::new(),
            idle: None,
        };
        for transport in [Transport::Udp, Transport::Tcp] {
            solo.input(Input::Bound { transport, local: addr(US) });
        }
        solo
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.endpoint.handle_input(self.clock.now(), input);
        self.drain();
    }

    /// A datagram of the peer's; lines end with LF here.
    pub(crate) fn datagram(&mut self, text: &str) {
        self.datagram_from(PEER, text);
    }

    pub(crate) fn datagram_from(&mut self, from: &str, text: &str) {
        let data = wire(text).into_bytes().into();
        self.input(Input::Datagram { local: addr(US), remote: addr(from), data });
    }

    pub(crate) fn drain(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit { remote, data, .. } => self.sent.push_back((remote, read(&data))),
                Output::Event(event @ Event::RegisterSent { .. }) => self.registers.push_back(event),
                Output::Event(event) => self.events.push_back(event),
                Output::Idle(at) => {
                    self.idle = at;
                    return;
                }
                other => self.others.push_back(other),
            }
        }
    }

    /// Lets time pass, and fires what is due on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.drain();
        let end = self.clock.now() + time;
        while let Some(at) = self.idle.filter(|at| *at <= end) {
            self.clock.advance_to(at);
            self.endpoint.handle_timeout(self.clock.now());
            self.drain();
        }
        self.clock.advance_to(end);
    }

    pub(crate) fn request(&mut self) -> Request {
        match self.sent.pop_front() {
            Some((_, Message::Request(request))) => request,
            other => panic!("a request is sent, not {other:?}"),
        }
    }

    pub(crate) fn response(&mut self) -> Response {
        match self.sent.pop_front() {
            Some((_, Message::Response(response))) => response,
            other => panic!("a response is sent, not {other:?}"),
        }
    }

    /// Answers all questions to the DNS, each name for a minute; gives what was asked.
    pub(crate) fn resolve(&mut self, zone: &[(&str, RecordKind, Vec<Record>)]) -> Vec<String> {
        let mut asked = Vec::new();
        while let Some(at) = self.others.iter().position(|o| matches!(o, Output::Resolve { .. })) {
            let Some(Output::Resolve { query, question }) = self.others.remove(at) else { break };
            let found = zone.iter().find(|(name, kind, _)| *name == question.name && *kind == question.kind);
            let records = found.map(|(.., records)| records.clone()).unwrap_or_default();
            asked.push(format!("{:?} {}", question.kind, question.name));
            let answer = Answer { records, ttl: seconds(60.0) };
            self.input(Input::Resolved { query, result: Ok(answer) });
        }
        asked
    }

    /// The status codes, and the methods of requests as 0, that were sent.
    pub(crate) fn sent_summary(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(_, message)| summary(&message)).collect()
    }

    pub(crate) fn event(&mut self) -> Event {
        self.events.pop_front().expect("an event")
    }

    pub(crate) fn quiet(&self) {
        assert!(self.sent.is_empty(), "nothing more is sent: {:?}", self.sent);
        assert!(self.events.is_empty(), "nothing more happens: {:?}", self.events);
    }

    pub(crate) fn quiet_but_events(&self) {
        assert!(self.sent.is_empty(), "nothing more is sent: {:?}", self.sent);
    }

    /// What was written to a connection.
    pub(crate) fn written(&mut self, flow: FlowId) -> Vec<String> {
        let mut found = Vec::new();
        self.others.retain(|output| match output {
            Output::Write { flow: id, data } if *id == flow => {
                found.push(summary(&read(data)));
                false
            }
            _ => true,
        });
        found
    }
}

/// LF become CRLF, and the headers end.
pub(crate) fn wire(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    if text.contains("\r\n\r\n") { text } else { text + "\r\n\r\n" }
}

pub(crate) fn read(data: &[u8]) -> Message {
    let message = Message::parse(data.to_vec().into(), &Limits::default()).expect("a message");
    message.validate().expect("a good one");
    message
}

pub(crate) fn summary(message: &Message) -> String {
    match message {
        Message::Request(request) => request.method().to_string(),
        Message::Response(response) => {
            let method = response.cseq().map(|c| c.method.to_string()).unwrap_or_default();
            format!("{} {method}", response.status())
        }
    }
}

/// The peer's response to a request of ours.
pub(crate) fn reply(request: &Request, status: u16, tag: &str, more: &str) -> String {
    let h = |name: &str| request.headers().text(name).unwrap_or_default().to_owned();
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let more = if more.is_empty() { String::new() } else { format!("\n{more}") };
    format!(
        "SIP/2.0 {status} Reason\nVia: {}\nFrom: {}\nTo: {}{tag}\nCall-ID: {}\nCSeq: {}{more}\nContent-Length: 0",
        h("Via"),
        h("From"),
        h("To"),
        h("Call-ID"),
        h("CSeq")
    )
}

/// A message with a session description for a body.
fn with_body(text: &str, body: &str) -> String {
    if body.is_empty() {
        return text.to_owned();
    }
    let head = text.replace("Content-Length: 0", "");
    let head = format!("{head}Content-Type: application/sdp\nContent-Length: {}", body.len());
    format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"))
}

/// [`ask`] with a session description.
pub(crate) fn ask_with(
    method: &str,
    branch: &str,
    cseq: u32,
    to_tag: &str,
    more: &str,
    body: &str,
) -> String {
    with_body(&ask(method, branch, cseq, to_tag, more), body)
}

/// [`reply`] with a session description.
pub(crate) fn reply_with(request: &Request, status: u16, tag: &str, more: &str, body: &str) -> String {
    with_body(&reply(request, status, tag, more), body)
}

/// The peer's request; `to_tag` is ours.
pub(crate) fn ask(method: &str, branch: &str, cseq: u32, to_tag: &str, more: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let more = if more.is_empty() { String::new() } else { format!("\n{more}") };
    format!(
        "{method} sip:us@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:peer@192.0.2.2>;tag=peer\nTo: <sip:us@192.0.2.1>{tag}\nCall-ID: call\nCSeq: {cseq} {method}\n\
         Contact: <sip:peer@192.0.2.2:5060>{more}\nContent-Length: 0"
    )
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
