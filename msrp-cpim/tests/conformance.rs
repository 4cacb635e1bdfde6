//! The sans-IO rules.

use std::time::{Duration, Instant};

use msrp_cpim::{
    Body, Config, Connection, Input, MsrpUri, OutgoingMessage, Output, SessionConfig, SessionId,
};
use testkit::conformance::{Step, Subject};

const ALICE: &str = "msrp://alice.example:7777/alice;tcp";
const BOB: &str = "msrp://bob.example:8888/bob;tcp";

/// A connection with all its timers, and random commands.
struct Bob {
    machine: Connection,
    session: SessionId,
    sent: Vec<String>,
}

impl Subject for Bob {
    fn new(seed: [u8; 32], now: Instant) -> Self {
        let config = Config { keep_alive: Some(Duration::from_secs(60)), ..Config::default() };
        let mut machine = Connection::new(config, seed);
        let path = |text| MsrpUri::parse_path(text).unwrap();
        let session = machine.add_session(now, SessionConfig::new(path(BOB), path(ALICE), false)).unwrap();
        machine.handle_input(now, Input::Connected);
        Self { machine, session, sent: Vec::new() }
    }

    fn input(&mut self, now: Instant, data: &[u8]) {
        self.machine.handle_input(now, Input::Received(data));
        self.machine.handle_input(now, Input::Written(usize::MAX));
    }

    fn timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll(&mut self) -> Step {
        match self.machine.poll_output() {
            Output::Idle(at) => Step::Idle(at),
            output => Step::Output(format!("{output:?}")),
        }
    }

    fn samples() -> Vec<Vec<u8>> {
        let head =
            |id: &str, what: &str| format!("MSRP {id} {what}\r\nTo-Path: {BOB}\r\nFrom-Path: {ALICE}\r\n");
        let send = |id: &str, range: &str, body: &str, flag| {
            format!(
                "{}Message-ID: mmmm\r\nByte-Range: {range}\r\nSuccess-Report: yes\r\nContent-Type: text/plain\r\n\r\n\
                 {body}\r\n-------{id}{flag}\r\n",
                head(id, "SEND")
            )
        };
        vec![
            format!("{}Message-ID: bind\r\nByte-Range: 1-0/0\r\n-------aaaa$\r\n", head("aaaa", "SEND"))
                .into_bytes(),
            send("bbbb", "1-*/6", "abc", '+').into_bytes(),
            send("cccc", "4-6/6", "def", '$').into_bytes(),
            send("dddd", "1-*/*", "ghi", '#').into_bytes(),
            format!("{}-------eeee$\r\n", head("eeee", "200 OK")).into_bytes(),
            format!("{}Message-ID: x\r\nStatus: 000 200 OK\r\n-------ffff$\r\n", head("ffff", "REPORT"))
                .into_bytes(),
        ]
    }

    fn command(&mut self, now: Instant, which: u64) {
        let id = self.sent.last().cloned().unwrap_or_default();
        let (machine, session) = (&mut self.machine, self.session);
        match which % 6 {
            0 | 1 => {
                let sent = machine.send(now, session, OutgoingMessage::new("text/plain", vec![b'x'; 5000]));
                self.sent.extend(sent);
            }
            2 => {
                let body = Body::Streamed { total: None, offset: 0 };
                let message = OutgoingMessage { body, ..OutgoingMessage::new("text/plain", "") };
                self.sent.extend(machine.send(now, session, message));
            }
            3 => drop(machine.feed(now, session, &id, vec![b'y'; 3000].into(), which.is_multiple_of(5))),
            4 => drop(machine.abort(now, session, &id)),
            _ => drop(machine.pause(session, which.is_multiple_of(5))),
        }
    }
}

testkit::conformance!(a_connection_keeps_the_rules, Bob);
