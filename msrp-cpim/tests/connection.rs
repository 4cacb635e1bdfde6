//! Two connections wired together in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use msrp_cpim::connection::Confirmation;
use msrp_cpim::wire::FailureReport;
use msrp_cpim::{
    Body, Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, Receive, SessionConfig,
    SessionId,
};
use testkit::{Clock, Random};

const A: &str = "msrp://a.example:1001/alice;tcp";
const B: &str = "msrp://b.example:1002/bob;tcp";

fn path(text: &str) -> Vec<MsrpUri> {
    MsrpUri::parse_path(text).unwrap()
}

struct End {
    machine: Connection,
    session: SessionId,
    /// Bytes on their way to the other end.
    wire: VecDeque<u8>,
    unconfirmed: usize,
    events: Vec<Event>,
    deadline: Option<Instant>,
    disconnected: bool,
    /// All bytes ever written.
    log: Vec<u8>,
}

impl End {
    fn new(now: Instant, config: Config, seed: u8, session: SessionConfig) -> Self {
        let mut machine = Connection::new(config, [seed; 32]);
        let session = machine.add_session(now, session).unwrap();
        Self {
            machine,
            session,
            wire: VecDeque::new(),
            unconfirmed: 0,
            events: Vec::new(),
            deadline: None,
            disconnected: false,
            log: Vec::new(),
        }
    }

    /// Takes outputs; confirms writes while the wire has room.
    fn drain(&mut self, now: Instant) {
        loop {
            match self.machine.poll_output() {
                Output::Write(data) => {
                    self.wire.extend(data.iter());
                    self.log.extend_from_slice(&data);
                    self.unconfirmed += data.len();
                    self.confirm(now);
                }
                Output::Disconnect => self.disconnected = true,
                Output::Event(event) => self.events.push(event),
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn confirm(&mut self, now: Instant) {
        if self.wire.len() < 64 * 1024 && self.unconfirmed > 0 {
            self.machine.handle_input(now, Input::Written(std::mem::take(&mut self.unconfirmed)));
        }
    }

    fn delivered(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|e| match e {
                Event::Delivered { message_id, .. } => Some(message_id.as_str()),
                _ => None,
            })
            .collect()
    }

    fn failed(&self) -> Vec<(&str, u16)> {
        self.events
            .iter()
            .filter_map(|e| match e {
                Event::NotDelivered { message_id, code, .. } => Some((message_id.as_str(), *code)),
                _ => None,
            })
            .collect()
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.events
            .iter()
            .filter_map(|e| match e {
                Event::Message { body, .. } => Some(body.clone()),
                _ => None,
            })
            .collect()
    }
}

struct Pair {
    clock: Clock,
    a: End,
    b: End,
}

impl Pair {
    fn new(adjust: impl Fn(&mut Config, &mut SessionConfig)) -> Self {
        let clock = Clock::new();
        let make = |seed, local, remote, active| {
            let mut config = Config::default();
            let mut session = SessionConfig::new(path(local), path(remote), active);
            adjust(&mut config, &mut session);
            End::new(clock.now(), config, seed, session)
        };
        let (mut a, mut b) = (make(1, A, B, true), make(2, B, A, false));
        a.machine.handle_input(clock.now(), Input::Connected);
        b.machine.handle_input(clock.now(), Input::Connected);
        Self { clock, a, b }
    }

    /// Moves at most `limit` bytes each way; whether anything moved.
    fn step(&mut self, limit: usize) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        for swap in [false, true] {
            let (from, to) = if swap { (&mut self.b, &mut self.a) } else { (&mut self.a, &mut self.b) };
            from.drain(now);
            let len = from.wire.len().min(limit);
            let data: Vec<u8> = from.wire.drain(..len).collect();
            from.confirm(now);
            if !data.is_empty() {
                to.machine.handle_input(now, Input::Received(&data));
                moved = true;
            }
            to.drain(now);
        }
        moved
    }

    fn settle(&mut self) {
        while self.step(usize::MAX) {}
    }

    fn advance(&mut self, by: Duration) {
        let now = self.clock.advance(by);
        self.a.machine.handle_timeout(now);
        self.b.machine.handle_timeout(now);
        self.settle();
    }

    fn send(&mut self, message: OutgoingMessage) -> String {
        self.a.machine.send(self.clock.now(), self.a.session, message).unwrap()
    }
}

fn raw(id: &str, extra: &str, body: &str, flag: char) -> String {
    format!(
        "MSRP {id} SEND\r\nTo-Path: {B}\r\nFrom-Path: {A}\r\n{extra}Content-Type: text/plain\r\n\r\n{body}\r\n\
         -------{id}{flag}\r\n"
    )
}

/// What the passive end answers to bytes on the wire.
fn answer(pair: &mut Pair, data: &str) -> String {
    let now = pair.clock.now();
    pair.b.drain(now);
    pair.b.log.clear();
    pair.b.machine.handle_input(now, Input::Received(data.as_bytes()));
    pair.b.drain(now);
    String::from_utf8(pair.b.log.clone()).unwrap()
}

#[test]
fn a_message_each_way() {
    let mut pair = Pair::new(|_, _| {});
    let id = pair.send(OutgoingMessage::new("text/plain", "hello"));
    // The passive side's message waits for the binding request.
    let now = pair.clock.now();
    let back = pair.b.machine.send(now, pair.b.session, OutgoingMessage::new("text/plain", "hi")).unwrap();
    pair.settle();
    assert!(pair.a.machine.is_bound(pair.a.session) && pair.b.machine.is_bound(pair.b.session));
    assert_eq!(pair.a.delivered(), [id.as_str()]);
    assert_eq!(pair.b.delivered(), [back.as_str()]);
    assert_eq!(pair.b.bodies(), ["hello"]);
    assert_eq!(pair.a.bodies(), ["hi"]);
    assert_eq!(pair.a.machine.outstanding(), 0);
}

#[test]
fn every_combination_of_reports() {
    for success in [false, true] {
        for failure in [FailureReport::Yes, FailureReport::No, FailureReport::Partial] {
            for size in [0, 1, 2048, 2049, 100_000] {
                let mut pair = Pair::new(|_, _| {});
                let mut message = OutgoingMessage::new("text/plain", vec![b'x'; size]);
                (message.success_report, message.failure_report) = (success, failure);
                pair.send(message);
                pair.settle();
                let outcome = pair.a.events.iter().find_map(|e| match e {
                    Event::Delivered { confirmation, .. } => Some(*confirmation),
                    _ => None,
                });
                let expected = match (success, failure) {
                    (true, _) => Confirmation::Report,
                    (false, FailureReport::Yes) => Confirmation::Response,
                    _ => Confirmation::Written,
                };
                assert_eq!(outcome, Some(expected), "{success} {failure:?} {size}");
                assert_eq!(pair.b.bodies(), [vec![b'x'; size]]);
                assert!(pair.a.failed().is_empty());
            }
        }
    }
}

/// RFC 4975 §7.1.2: who asks for no word of failures hears of none, and in time that nothing was heard.
#[test]
fn refusals_are_told_as_they_were_asked_for() {
    use FailureReport::{No, Partial, Yes};
    for size in [5, 100_000] {
        for (success, failure, expected) in [
            (false, Yes, Some(415)),
            (true, Yes, Some(415)),
            (true, Partial, Some(415)),
            (true, No, Some(408)),
            (false, Partial, None),
            (false, No, None),
        ] {
            let mut pair = Pair::new(|_, session| session.accept_types = vec!["text/html".to_owned()]);
            let mut message = OutgoingMessage::new("text/plain", vec![b'x'; size]);
            (message.success_report, message.failure_report) = (success, failure);
            let id = pair.send(message);
            pair.settle();
            assert_eq!(pair.a.failed().is_empty(), expected != Some(415), "{success} {failure:?} {size}");
            pair.advance(Duration::from_secs(120));
            let expected: Vec<_> = expected.map(|code| (id.as_str(), code)).into_iter().collect();
            assert_eq!(pair.a.failed(), expected, "{success} {failure:?} {size}");
            let written: &[&str] = if expected.is_empty() { &[id.as_str()] } else { &[] };
            assert_eq!(pair.a.delivered(), written, "{success} {failure:?} {size}");
            assert!(pair.b.bodies().is_empty());
        }
    }
}

#[test]
fn chunks_of_several_messages_alternate() {
    for chunk_size in [2048, 1 << 20] {
        let mut pair = Pair::new(|config, session| {
            session.chunk_size = chunk_size;
            config.max_in_flight = 4096;
        });
        let long = pair.send(OutgoingMessage::new("text/plain", vec![b'l'; 1_000_000]));
        pair.step(100);
        let short = pair.send(OutgoingMessage::new("text/plain", "short"));
        pair.settle();
        assert_eq!(pair.a.delivered(), [short.as_str(), long.as_str()], "{chunk_size}");
        assert_eq!(pair.b.bodies()[1].len(), 1_000_000);
    }
}

/// A peer keeps the parts of unfinished messages, and has a cap on them: what we send at once stays below it.
#[test]
fn many_large_messages_at_once_are_all_taken() {
    let mut pair = Pair::new(|config, session| {
        config.max_in_flight = 4096;
        session.max_size = 1 << 20;
    });
    let mut ids = Vec::new();
    for number in 0..100 {
        let size = if number % 10 == 0 { 900_000 } else { 9_000 };
        ids.push(pair.send(OutgoingMessage::new("text/plain", vec![b'0' + number % 10; size])));
    }
    pair.settle();
    assert!(pair.a.failed().is_empty(), "{:?}", pair.a.failed());
    let delivered: BTreeSet<&str> = pair.a.delivered().into_iter().collect();
    assert_eq!(delivered, ids.iter().map(String::as_str).collect());
    assert_eq!(pair.b.bodies().len(), 100);
}

#[test]
fn a_request_from_or_to_a_wrong_path_is_refused() {
    let mut pair = Pair::new(|_, _| {});
    let good = raw("goodgood", "Message-ID: 1111\r\nByte-Range: 1-2/2\r\n", "hi", '$');
    let to = answer(&mut pair, &good.replace("/bob;", "/eve;"));
    assert!(to.starts_with("MSRP goodgood 481 "), "{to}");
    let from = answer(&mut pair, &good.replace("/alice;", "/eve;"));
    assert!(from.starts_with("MSRP goodgood 481 "), "{from}");
    pair.b.machine.bound_elsewhere("msrp://b.example:1002/else;tcp".parse().unwrap());
    let elsewhere = answer(&mut pair, &good.replace("/bob;", "/else;"));
    assert!(elsewhere.starts_with("MSRP goodgood 506 "), "{elsewhere}");
    assert!(pair.b.bodies().is_empty() && !pair.b.machine.is_bound(pair.b.session));
    assert_eq!(pair.b.machine.counters().wrong_path, 3);
    let fine = answer(&mut pair, &good);
    assert!(fine.starts_with("MSRP goodgood 200 OK\r\nTo-Path: msrp://a.example"), "{fine}");
    assert_eq!(pair.b.bodies(), ["hi"]);
}

#[test]
fn refusals_have_their_codes() {
    let mut pair = Pair::new(|_, session| {
        session.accept_types = vec!["text/*".into()];
        session.max_size = 1000;
    });
    let range = "Message-ID: 1111\r\nByte-Range: 1-2/2\r\n";
    let with = |from: &str, to: &str| raw("goodgood", range, "hi", '$').replace(from, to);
    for (request, code) in [
        (with("text/plain", "image/png"), 415),
        (with("1-2/2", "1-2/1001").replace("1111", "2222"), 413),
        (with(" SEND", " FETCH"), 501),
        (with("1-2/2", "0-2/2"), 400),
        (with("Message-ID: 1111\r\n", ""), 400),
        (raw("longlong", "Message-ID: 3333\r\nByte-Range: 1-*/*\r\n", &"x".repeat(1001), '+'), 413),
    ] {
        let got = answer(&mut pair, &request);
        assert!(got.contains(&format!(" {code} ")), "{code}: {got}");
    }
    assert!(pair.b.bodies().is_empty());
    // Failure-Report decides whether anything is answered.
    let silent = with("Message-ID", "Failure-Report: no\r\nMessage-ID").replace("text/plain", "image/png");
    assert_eq!(answer(&mut pair, &silent), "");
    let partial = with("Message-ID: 1111", "Failure-Report: partial\r\nMessage-ID: 4444");
    assert_eq!(answer(&mut pair, &partial), "");
}

#[test]
fn out_of_order_and_overlapping_ranges() {
    let mut pair = Pair::new(|_, _| {});
    let chunk = |id: &str, range: &str, body: &str, flag| {
        raw(id, &format!("Message-ID: mmmm\r\nSuccess-Report: yes\r\nByte-Range: {range}\r\n"), body, flag)
    };
    answer(&mut pair, &chunk("cccc", "7-10/10", "ghij", '$'));
    answer(&mut pair, &chunk("aaaa", "1-*/10", "abcX", '+'));
    assert!(pair.b.bodies().is_empty());
    let last = answer(&mut pair, &chunk("bbbb", "4-*/10", "def", '+'));
    assert_eq!(pair.b.bodies(), ["abcdefghij"]);
    assert!(last.contains("Byte-Range: 1-10/10\r\nStatus: 000 200 OK"), "{last}");
    // All of it once more: answered, reported, and not shown.
    let again = answer(&mut pair, &chunk("dddd", "1-10/10", "abcdefghij", '$'));
    assert!(again.contains(" 200 OK") && again.contains("REPORT"), "{again}");
    assert_eq!(pair.b.bodies().len(), 1);
    assert_eq!(pair.b.machine.counters().duplicates, 1);
}

#[test]
fn incomplete_messages_share_one_cap() {
    let mut pair = Pair::new(|_, session| session.max_size = 3000);
    for (number, expected) in [(1, 200), (2, 200), (3, 413)] {
        let head = format!("Message-ID: mmm{number}\r\nByte-Range: 1-*/*\r\n");
        let got = answer(&mut pair, &raw("aaaa", &head, &"x".repeat(1400), '+'));
        assert!(got.contains(&format!(" {expected} ")), "{number}: {got}");
    }
    // What was refused gave its memory back.
    let rest = "Message-ID: mmm1\r\nByte-Range: 1401-*/*\r\n";
    assert!(answer(&mut pair, &raw("bbbb", rest, "end", '$')).contains(" 200 "));
    assert_eq!(pair.b.bodies()[0].len(), 1403);
}

#[test]
fn both_sides_may_abort() {
    let mut pair = Pair::new(|config, session| {
        session.chunk_size = 1 << 20;
        config.max_in_flight = 4096;
    });
    let id = pair.send(OutgoingMessage::new("text/plain", vec![b'x'; 500_000]));
    for _ in 0..10 {
        pair.step(1000);
    }
    pair.a.machine.abort(pair.clock.now(), pair.a.session, &id).unwrap();
    pair.settle();
    assert_eq!(pair.a.failed(), [(id.as_str(), 408)]);
    assert!(
        pair.b
            .events
            .iter()
            .any(|e| matches!(e, Event::IncomingAborted { message_id, .. } if *message_id == id))
    );
    // The receiver refuses: the sender stops with `#`.
    let mut pair = Pair::new(|config, session| {
        (session.max_size, session.chunk_size, config.max_in_flight) = (10_000, 1 << 20, 4096);
    });
    let id = pair.send(OutgoingMessage {
        body: Body::Streamed { total: None, offset: 0 },
        ..OutgoingMessage::new("a/b", "")
    });
    let now = pair.clock.now();
    pair.a.machine.feed(now, pair.a.session, &id, Bytes::from(vec![1; 20_000]), false).unwrap();
    pair.settle();
    assert_eq!(pair.a.failed(), [(id.as_str(), 413)]);
}

#[test]
fn a_file_streams_in_bounded_memory() {
    let mut pair = Pair::new(|_, session| {
        (session.receive, session.max_size, session.chunk_size) = (Receive::Streamed, u64::MAX, 1 << 20);
    });
    let total: u64 = 20_000_000;
    let body = Body::Streamed { total: Some(total), offset: 0 };
    let id = pair.send(OutgoingMessage { body, ..OutgoingMessage::new("application/octet-stream", "") });
    let (mut fed, mut received) = (0, 0);
    loop {
        let moved = pair.step(100_000);
        for event in std::mem::take(&mut pair.a.events) {
            match event {
                Event::NeedData { .. } if fed < total => {
                    let len = 50_000.min(total - fed);
                    fed += len;
                    let data = Bytes::from(vec![b'f'; len as usize]);
                    pair.a.machine.feed(pair.clock.now(), pair.a.session, &id, data, fed == total).unwrap();
                }
                other => pair.a.events.push(other),
            }
        }
        pair.b.events.retain(|event| match event {
            Event::Data { offset, data, .. } => {
                assert_eq!(*offset, received);
                received += data.len() as u64;
                false
            }
            _ => true,
        });
        assert!(fed <= received + 2_000_000, "{fed} fed, {received} received");
        if !moved && pair.a.events.iter().any(|e| matches!(e, Event::Delivered { .. })) {
            break;
        }
        assert!(moved || fed < total || !pair.a.wire.is_empty(), "stalled at {received}");
    }
    assert_eq!(received, total);
    assert!(pair.b.events.iter().any(|e| matches!(e, Event::DataEnd { total: t, .. } if *t == total)));
}

#[test]
fn a_slow_reader_slows_the_sender() {
    let clock = Clock::new();
    let config =
        Config { max_in_flight: 10_000, high_watermark: 50_000, low_watermark: 10_000, ..Config::default() };
    let mut a = End::new(clock.now(), config, 1, SessionConfig::new(path(A), path(B), true));
    a.machine.handle_input(clock.now(), Input::Connected);
    let mut refused = false;
    for _ in 0..100 {
        let message = OutgoingMessage::new("text/plain", vec![b'x'; 1000]);
        refused |= a.machine.send(clock.now(), a.session, message).is_err();
    }
    assert!(refused);
    let mut written = 0;
    while let Output::Write(data) = a.machine.poll_output() {
        written += data.len();
    }
    assert!((10_000..14_000).contains(&written), "{written}");
    // The system takes it: the rest follows, and the application may go on.
    let mut writable = false;
    for _ in 0..1000 {
        match a.machine.poll_output() {
            Output::Write(data) => written += data.len(),
            Output::Event(Event::Writable) => writable = true,
            Output::Idle(_) => {
                a.machine.handle_input(clock.now(), Input::Written(std::mem::take(&mut written)))
            }
            _ => {}
        }
    }
    assert!(writable);
    a.machine.pause(a.session, true).unwrap();
    assert!(!a.machine.wants_read());
}

#[test]
fn no_response_in_30_seconds_fails_the_message() {
    let mut pair = Pair::new(|_, _| {});
    pair.settle();
    let id = pair.send(OutgoingMessage::new("text/plain", "hello"));
    pair.a.drain(pair.clock.now());
    pair.a.wire.clear();
    pair.advance(Duration::from_secs(29));
    assert!(pair.a.failed().is_empty());
    assert!(pair.a.deadline.is_some());
    pair.advance(Duration::from_secs(1));
    assert_eq!(pair.a.failed(), [(id.as_str(), 408)]);
}

#[test]
fn who_does_not_read_waits_for_no_answer() {
    let mut pair = Pair::new(|_, _| {});
    pair.settle();
    let now = pair.clock.now();
    let session = pair.a.session;
    pair.a.machine.pause(session, true).unwrap();
    assert!(!pair.a.machine.wants_read());
    let first = pair.send(OutgoingMessage::new("text/plain", "hello"));
    pair.a.drain(now);
    pair.a.wire.clear();
    pair.advance(Duration::from_secs(20));
    let second = pair.send(OutgoingMessage::new("text/plain", "hello again"));
    pair.a.drain(pair.clock.now());
    pair.a.wire.clear();
    // The response may be there, unread.
    pair.advance(Duration::from_secs(15));
    assert!(pair.a.failed().is_empty());
    pair.a.machine.pause(session, false).unwrap();
    assert!(pair.a.machine.wants_read());
    pair.advance(Duration::from_secs(20));
    assert_eq!(pair.a.failed(), [(second.as_str(), 408)], "its time has not run out while nothing was read");
    pair.advance(Duration::from_secs(20));
    assert_eq!(pair.a.failed(), [(second.as_str(), 408), (first.as_str(), 408)]);
}

#[test]
fn no_report_fails_the_message_or_not_as_configured() {
    for trust in [false, true] {
        let mut pair = Pair::new(|config, _| config.trust_responses = trust);
        pair.settle();
        let id = pair.send(OutgoingMessage::new("text/plain", "hello"));
        pair.a.drain(pair.clock.now());
        let request: Vec<u8> = pair.a.wire.drain(..).collect();
        let transaction = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap().to_owned();
        let response = format!(
            "MSRP {transaction} 200 OK\r\nTo-Path: {A}\r\nFrom-Path: {B}\r\n-------{transaction}$\r\n"
        );
        pair.a.machine.handle_input(pair.clock.now(), Input::Received(response.as_bytes()));
        pair.advance(Duration::from_secs(121));
        assert_eq!(pair.a.delivered().len(), usize::from(trust));
        assert_eq!(pair.a.failed().len(), usize::from(!trust));
        assert_eq!(pair.a.machine.outstanding(), 0, "{id}");
    }
}

#[test]
fn both_sides_may_take_themselves_for_the_active_one() {
    // Both send the empty SEND that binds a connection (RFC 4975 §5.4); it harms nobody.
    let mut pair = Pair::new(|_, session| session.active = true);
    let there = pair.send(OutgoingMessage::new("text/plain", "there"));
    let now = pair.clock.now();
    let back = pair.b.machine.send(now, pair.b.session, OutgoingMessage::new("text/plain", "back")).unwrap();
    pair.settle();
    assert_eq!((pair.a.delivered(), pair.b.delivered()), (vec![there.as_str()], vec![back.as_str()]));
    assert_eq!((pair.b.bodies(), pair.a.bodies()), (vec![Bytes::from("there")], vec![Bytes::from("back")]));
    assert!(pair.a.machine.is_bound(pair.a.session) && pair.b.machine.is_bound(pair.b.session));
}

#[test]
fn two_sessions_on_one_connection() {
    let mut pair = Pair::new(|_, _| {});
    let now = pair.clock.now();
    let (c, d) = ("msrp://a.example:1001/carol;tcp", "msrp://b.example:1002/dave;tcp");
    let second = pair.a.machine.add_session(now, SessionConfig::new(path(c), path(d), true)).unwrap();
    let other = pair.b.machine.add_session(now, SessionConfig::new(path(d), path(c), false)).unwrap();
    pair.send(OutgoingMessage::new("text/plain", "one"));
    pair.a.machine.send(now, second, OutgoingMessage::new("text/plain", "two")).unwrap();
    pair.settle();
    assert_eq!(pair.a.delivered().len(), 2);
    let sessions: Vec<SessionId> = pair
        .b
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Message { session, .. } => Some(*session),
            _ => None,
        })
        .collect();
    assert_eq!(sessions, [pair.b.session, other]);
    pair.a.machine.close_session(now, second).unwrap();
    pair.send(OutgoingMessage::new("text/plain", "three"));
    pair.settle();
    assert_eq!(pair.a.delivered().len(), 3);
}

#[test]
fn garbage_ends_the_connection_and_reports_what_was_under_way() {
    let mut pair = Pair::new(|_, _| {});
    let id = pair.send(OutgoingMessage::new("text/plain", "hello"));
    pair.a.machine.handle_input(pair.clock.now(), Input::Received(b"HTTP/1.1 200 OK\r\n"));
    pair.a.drain(pair.clock.now());
    assert!(pair.a.disconnected);
    assert_eq!(pair.a.failed(), [(id.as_str(), 400)]);
}

#[test]
fn a_peer_that_takes_no_responses_is_dropped() {
    let mut pair = Pair::new(|config, _| (config.max_control, config.max_in_flight) = (10_000, 0));
    let request = raw("aaaa", "Message-ID: mmmm\r\nByte-Range: 1-2/2\r\n", "hi", '$');
    let mut stopped = 0;
    while !pair.b.disconnected {
        pair.b.machine.handle_input(pair.clock.now(), Input::Received(request.as_bytes()));
        stopped += usize::from(!pair.b.machine.wants_read());
        pair.b.drain(pair.clock.now());
        assert!(stopped < 1000);
    }
    assert!(stopped > 10);
}

#[test]
fn a_message_that_stalls_is_given_up() {
    let mut pair = Pair::new(|config, _| config.partial_timeout = Some(Duration::from_secs(60)));
    pair.settle();
    let request =
        |from: u64| raw("aaaa", &format!("Message-ID: mmmm\r\nByte-Range: {from}-*/9\r\n"), "abc", '+');
    let now = pair.clock.now();
    pair.b.machine.handle_input(now, Input::Received(request(1).as_bytes()));
    pair.b.drain(now);
    assert_eq!(pair.b.deadline, Some(now + Duration::from_secs(60)));
    pair.advance(Duration::from_secs(40));
    // What goes on is not stalled.
    pair.b.machine.handle_input(pair.clock.now(), Input::Received(request(4).as_bytes()));
    pair.advance(Duration::from_secs(40));
    let aborted =
        |pair: &Pair| pair.b.events.iter().filter(|e| matches!(e, Event::IncomingAborted { .. })).count();
    assert_eq!((aborted(&pair), pair.b.machine.counters().stalled), (0, 0));
    pair.advance(Duration::from_secs(20));
    assert_eq!((aborted(&pair), pair.b.machine.counters().stalled), (1, 1));
    assert_eq!(pair.b.deadline, None);
    // The rest, if it comes after all, is refused.
    pair.b.log.clear();
    pair.b.machine.handle_input(pair.clock.now(), Input::Received(request(7).as_bytes()));
    pair.b.drain(pair.clock.now());
    assert!(String::from_utf8_lossy(&pair.b.log).starts_with("MSRP aaaa 413 "));
}

#[test]
fn silence_is_broken_and_a_dead_connection_noticed() {
    let mut pair = Pair::new(|config, session| {
        config.keep_alive = session.active.then_some(Duration::from_secs(20));
    });
    pair.settle();
    for _ in 0..3 {
        let before = pair.a.log.len();
        pair.advance(Duration::from_secs(19));
        pair.settle();
        assert_eq!(pair.a.log.len(), before);
        pair.advance(Duration::from_secs(1));
        pair.settle();
        let sent = String::from_utf8_lossy(&pair.a.log[before..]).into_owned();
        assert!(sent.contains(" SEND\r\n") && !sent.contains("Content-Type"), "{sent}");
    }
    assert!(!pair.a.disconnected && pair.a.machine.is_bound(pair.a.session));
    // The peer is gone without a word: what it is sent arrives nowhere.
    let id = pair.send(OutgoingMessage::new("text/plain", "hello"));
    let mut seconds = 0;
    loop {
        pair.a.drain(pair.clock.now());
        pair.a.wire.clear();
        if pair.a.disconnected {
            break;
        }
        let now = pair.clock.advance(Duration::from_secs(1));
        pair.a.machine.handle_timeout(now);
        seconds += 1;
        assert!(seconds < 60);
    }
    // 20 s of silence, 30 s for the response.
    assert!((49..=51).contains(&seconds), "{seconds}");
    assert_eq!(pair.a.failed(), [(id.as_str(), 408)]);
}

/// 10,000 messages while connections are cut at random points.
#[test]
fn cut_connections_lose_no_outcome_and_show_nothing_twice() {
    let mut random = Random::new(4975);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown = BTreeSet::new();
    let (mut sent, mut delivered, mut lost, mut connections) = (0, 0, 0, 0_u8);
    while sent < 10_000 {
        connections = connections.wrapping_add(1);
        let mut pair = Pair::new(|_, session| session.chunk_size = 4096);
        // Seeds differ by connection, or identifiers would repeat.
        let now = pair.clock.now();
        let mut config = [connections; 32];
        config[..8].copy_from_slice(&random.number().to_be_bytes());
        let mut machine = Connection::new(Config::default(), config);
        pair.a.session = machine.add_session(now, SessionConfig::new(path(A), path(B), true)).unwrap();
        machine.handle_input(now, Input::Connected);
        pair.a.machine = machine;
        let count = 1 + random.below(120);
        for _ in 0..count.min(10_000 - sent) {
            let mut size = random.below(300);
            if random.chance(0.05) {
                size = random.below(20_000);
            }
            let mut message = OutgoingMessage::new("text/plain", vec![b'x'; size]);
            message.success_report = random.chance(0.7);
            outcomes.insert(pair.send(message), 0);
            sent += 1;
            if random.chance(0.3) {
                pair.step(1 + random.below(3000));
            }
        }
        let steps = random.below(60);
        for _ in 0..steps {
            pair.step(1 + random.below(4000));
        }
        let now = pair.clock.now();
        for end in [&mut pair.a, &mut pair.b] {
            end.machine.handle_input(now, Input::Closed);
            end.drain(now);
            end.machine.handle_timeout(now + Duration::from_secs(1000));
            end.drain(now);
            assert_eq!(end.machine.outstanding(), 0);
        }
        for id in pair.a.delivered() {
            *outcomes.get_mut(id).unwrap() += 1;
            delivered += 1;
        }
        for (id, _) in pair.a.failed() {
            *outcomes.get_mut(id).unwrap() += 1;
            lost += 1;
        }
        let mut here = BTreeSet::new();
        for event in &pair.b.events {
            if let Event::Message { message_id, .. } = event {
                assert!(shown.insert(message_id.clone()), "{message_id} shown twice");
                here.insert(message_id.as_str());
            }
        }
        // What is reported as delivered was shown.
        assert!(pair.a.delivered().iter().all(|id| here.contains(id)));
    }
    assert_eq!(outcomes.len(), 10_000);
    assert!(outcomes.values().all(|count| *count == 1));
    assert!(delivered > 2000 && lost > 500, "{delivered} delivered, {lost} lost");
}
