use testkit::Clock;
use testkit::conformance::{Step, Subject};

use super::*;
use crate::stun::{
    Builder, ChannelData, Class, ConnectionId, Data, ErrorCode, Integrity, Key, Kind, Lifetime, Message,
    Method, Nonce, Realm, RequestedTransport, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};

const SERVER: &str = "192.0.2.1:3478";
const PEER: &str = "198.51.100.9:7000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn key() -> Key {
    Key::long_term("alice", "here", "wonder")
}

fn config() -> Config {
    Config::new(at(SERVER), Credentials::long_term("alice", "wonder"))
}

fn outputs(allocation: &mut Allocation) -> Vec<Output> {
    let next = || Some(allocation.poll_output()).filter(|one| !matches!(one, Output::Idle(_)));
    std::iter::from_fn(next).collect()
}

fn sent(allocation: &mut Allocation) -> Vec<u8> {
    match outputs(allocation).pop() {
        Some(Output::Transmit { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

fn events(allocation: &mut Allocation) -> Vec<Event> {
    let event = |output| if let Output::Event(event) = output { Some(event) } else { None };
    outputs(allocation).into_iter().filter_map(event).collect()
}

fn challenge(request: &[u8]) -> Vec<u8> {
    let request = Message::parse(request).unwrap();
    Builder::answer(&request, Class::Error)
        .attribute(&ErrorCode { code: 401, reason: "" })
        .and_then(|builder| builder.attribute(&Realm("here")))
        .and_then(|builder| builder.attribute(&Nonce("n")))
        .unwrap()
        .finish()
}

fn success(request: &[u8], more: impl FnOnce(Builder) -> Builder) -> Vec<u8> {
    let request = Message::parse(request).unwrap();
    more(Builder::answer(&request, Class::Success)).finish_as(Some((&key(), Integrity::Sha1)), true)
}

fn refused(request: &[u8], code: u16) -> Vec<u8> {
    let request = Message::parse(request).unwrap();
    Builder::answer(&request, Class::Error)
        .attribute(&ErrorCode { code, reason: "no" })
        .unwrap()
        .finish_as(Some((&key(), Integrity::Sha1)), true)
}

fn addresses(builder: Builder) -> Builder {
    builder
        .attribute(&XorRelayedAddress(at("192.0.2.200:50000")))
        .and_then(|builder| builder.attribute(&XorMappedAddress(at("203.0.113.7:1"))))
        .and_then(|builder| builder.attribute(&Lifetime(600)))
        .unwrap()
}

/// An allocation that stands.
fn allocated(config: Config, clock: &Clock) -> Allocation {
    let mut allocation = Allocation::new(config, [7; 32]);
    allocation.start(clock.now());
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &challenge(&request));
    let request = sent(&mut allocation);
    assert!(Message::parse(&request).unwrap().verify(&key()));
    allocation.handle_input(clock.now(), &success(&request, addresses));
    assert!(matches!(events(&mut allocation)[..], [Event::Allocated(_)]));
    allocation
}

fn permitted(clock: &Clock) -> Allocation {
    let mut allocation = allocated(config(), clock);
    allocation.permit(clock.now(), at(PEER).ip()).unwrap();
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &success(&request, |builder| builder));
    assert_eq!(events(&mut allocation), [Event::Permitted(at(PEER).ip())]);
    allocation
}

#[test]
fn each_refusal_has_its_advice() {
    let clock = Clock::new();
    for (code, expected) in [
        (437, Advice::OtherPort),
        (486, Advice::WaitMinute),
        (508, Advice::WaitMinute),
        (403, Advice::GiveUp),
        (440, Advice::GiveUp),
        (441, Advice::GiveUp),
        (442, Advice::GiveUp),
        (400, Advice::GiveUp),
        (500, Advice::OtherTransport),
    ] {
        let mut allocation = Allocation::new(config(), [7; 32]);
        allocation.start(clock.now());
        let request = sent(&mut allocation);
        allocation.handle_input(clock.now(), &challenge(&request));
        let request = sent(&mut allocation);
        allocation.handle_input(clock.now(), &refused(&request, code));
        match &events(&mut allocation)[..] {
            [Event::Failed(failure)] => assert_eq!(advice(failure), expected, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
        assert!(allocation.is_closed());
    }
}

/// Whoever does not know the key can neither give nor take an allocation.
#[test]
fn forged_answers_do_nothing() {
    let clock = Clock::new();
    let mut allocation = Allocation::new(config(), [7; 32]);
    allocation.start(clock.now());
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &challenge(&request));
    let request = sent(&mut allocation);
    let parsed = Message::parse(&request).unwrap();
    let unsigned = addresses(Builder::answer(&parsed, Class::Success)).finish();
    let mut guessed = unsigned.clone();
    guessed[8] ^= 1;
    for forged in [unsigned, guessed, request.clone(), vec![0; 20], b"\x40\x00\x00\x04spam".to_vec()] {
        allocation.handle_input(clock.now(), &forged);
        assert_eq!(outputs(&mut allocation), []);
    }
    assert_eq!(allocation.discarded(), 5);
    assert!(allocation.allocated().is_none());
    allocation.handle_input(clock.now(), &success(&request, addresses));
    assert!(allocation.allocated().is_some());
}

#[test]
fn useless_allocations_are_not_taken() {
    let clock = Clock::new();
    let relayed =
        |text: &'static str| move |builder: Builder| builder.attribute(&XorRelayedAddress(at(text))).unwrap();
    let lacking: [fn(Builder) -> Builder; 2] = [
        |builder| builder,
        |builder| builder.attribute(&XorRelayedAddress(at("192.0.2.200:50000"))).unwrap(),
    ];
    let mut answers: Vec<Box<dyn Fn(Builder) -> Builder>> =
        lacking.into_iter().map(|one| Box::new(one) as Box<dyn Fn(Builder) -> Builder>).collect();
    answers.push(Box::new(move |builder| addresses(relayed("[2001:db8::1]:9")(builder))));
    answers.push(Box::new(move |builder| addresses(relayed("0.0.0.0:9")(builder))));
    for answer in answers {
        let mut allocation = Allocation::new(config(), [7; 32]);
        allocation.start(clock.now());
        let request = sent(&mut allocation);
        allocation.handle_input(clock.now(), &challenge(&request));
        let request = sent(&mut allocation);
        allocation.handle_input(clock.now(), &success(&request, answer));
        assert!(matches!(events(&mut allocation)[..], [Event::Failed(Failure::Malformed(_))]));
    }
}

#[test]
fn icmp_errors_are_told() {
    let clock = Clock::new();
    let mut allocation = permitted(&clock);
    let icmp = Icmp { kind: 3, code: 4, data: 1_400 };
    let indication = |peer| {
        Builder::new(Class::Indication, Method::DATA, [9; 12])
            .attribute(&XorPeerAddress(peer))
            .and_then(|builder| builder.attribute(&icmp))
            .unwrap()
            .finish()
    };
    allocation.handle_input(clock.now(), &indication(at(PEER)));
    assert_eq!(events(&mut allocation), [Event::Icmp { peer: at(PEER), icmp }]);
    allocation.handle_input(clock.now(), &indication(at("198.51.100.66:1")));
    assert_eq!(events(&mut allocation), [], "nobody sent anything there");
}

/// RFC 8656 §12.1: channel data may come before the answer that binds the channel.
#[test]
fn channel_data_may_overtake_the_binding() {
    let clock = Clock::new();
    let mut allocation = permitted(&clock);
    allocation.bind_channel(clock.now(), at(PEER)).unwrap();
    let request = sent(&mut allocation);
    let mut data = Vec::new();
    ChannelData { channel: 0x4000, data: b"early" }.write(false, &mut data).unwrap();
    assert_eq!(allocation.data_of(&data), Some((at(PEER), &b"early"[..])));
    let mut out = Vec::new();
    allocation.send_to(at(PEER), b"x", &mut out).unwrap();
    assert_eq!(Message::parse(&out).unwrap().method(), Method::SEND, "ours goes in indications until then");
    allocation.handle_input(clock.now(), &success(&request, |builder| builder));
    allocation.send_to(at(PEER), b"x", &mut out).unwrap();
    assert_eq!(out, [0x40, 0, 0, 1, b'x']);
    // A channel that the relay refuses is done without.
    let other = at("198.51.100.9:7001");
    allocation.bind_channel(clock.now(), other).unwrap();
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &refused(&request, 400));
    assert!(matches!(events(&mut allocation)[..], [.., Event::ChannelFailed { .. }]));
    allocation.send_to(other, b"x", &mut out).unwrap();
    assert_eq!(Message::parse(&out).unwrap().get(), Some(Ok(Data(b"x"))));
}

#[test]
fn data_costs_no_allocation_but_the_callers_buffer() {
    let clock = Clock::new();
    let mut allocation = permitted(&clock);
    let mut out = Vec::with_capacity(2_000);
    let before = (out.as_ptr(), out.capacity());
    for _ in 0..100 {
        allocation.send_to(at(PEER), &[1; 1_200], &mut out).unwrap();
        assert_eq!((out.as_ptr(), out.capacity()), before);
    }
    assert_eq!(allocation.send_to(at(PEER), &vec![0; 65_530], &mut out), Err(CommandError::TooLong(65_530)));
}

/// RFC 6062: connect, be connected to, and bind the connections.
#[test]
fn connections_through_the_relay() {
    let mut clock = Clock::new();
    let config = || Config { protocol: Protocol::Tcp, transport: Transport::Tcp, ..config() };
    let mut allocation = Allocation::new(config(), [7; 32]);
    allocation.start(clock.now());
    let request = sent(&mut allocation);
    assert_eq!(Message::parse(&request).unwrap().get(), Some(Ok(RequestedTransport(6))));
    let mut allocation = allocated(config(), &clock);
    assert_eq!(allocation.send_to(at(PEER), b"x", &mut Vec::new()), Err(CommandError::Protocol));
    allocation.connect(clock.now(), at(PEER)).unwrap();
    assert_eq!(allocation.connect(clock.now(), at(PEER)), Err(CommandError::Connecting));
    let request = sent(&mut allocation);
    let connection = |builder: Builder| builder.attribute(&ConnectionId(77)).unwrap();
    allocation.handle_input(clock.now(), &success(&request, connection));
    assert_eq!(events(&mut allocation), [Event::Connected { peer: at(PEER), connection: 77 }]);
    // The new connection, and what the peer sent at once.
    let mut data = allocation.data_connection(clock.now(), 77, [8; 32]);
    let DataOutput::Write(request) = data.poll_output() else { panic!("it asks") };
    let message = Message::parse(&request).unwrap();
    assert_eq!((message.method(), message.get()), (Method::CONNECTION_BIND, Some(Ok(ConnectionId(77)))));
    assert!(message.verify(&key()));
    let mut answer = success(&request, |builder| builder);
    answer.extend_from_slice(b"hello from the peer");
    data.handle_input(clock.now(), &answer);
    assert_eq!(data.poll_output(), DataOutput::Event(DataEvent::Bound(b"hello from the peer".to_vec())));
    assert_eq!(data.poll_output(), DataOutput::Idle(None));
    // Nobody answers: 39.5 s.
    let mut data = allocation.data_connection(clock.now(), 78, [8; 32]);
    assert!(matches!(data.poll_output(), DataOutput::Write(_)));
    let DataOutput::Idle(Some(deadline)) = data.poll_output() else { panic!("it waits") };
    clock.advance_to(deadline);
    data.handle_timeout(clock.now());
    assert_eq!(data.poll_output(), DataOutput::Event(DataEvent::Failed(Failure::TimedOut)));
    // 447.
    allocation.connect(clock.now(), at(PEER)).unwrap();
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &refused(&request, 447));
    assert!(matches!(events(&mut allocation)[..], [Event::ConnectFailed { .. }]));
    // Peers that connect, if they may.
    let attempt = Builder::new(Class::Indication, Method::CONNECTION_ATTEMPT, [9; 12])
        .attribute(&XorPeerAddress(at(PEER)))
        .and_then(|builder| builder.attribute(&ConnectionId(79)))
        .unwrap()
        .finish();
    allocation.handle_input(clock.now(), &attempt);
    assert_eq!(events(&mut allocation), []);
    allocation.permit(clock.now(), at(PEER).ip()).unwrap();
    allocation.handle_input(clock.now(), &attempt);
    assert_eq!(events(&mut allocation), [Event::ConnectionAttempt { peer: at(PEER), connection: 79 }]);
}

/// RFC 8489 §10, on the way to an allocation.
#[test]
fn another_relay_is_asked_where_the_first_says_so() {
    let clock = Clock::new();
    let redirect = |request: &[u8]| {
        Builder::answer(&Message::parse(request).unwrap(), Class::Error)
            .attribute(&ErrorCode { code: 300, reason: "" })
            .and_then(|builder| builder.attribute(&crate::stun::AlternateServer(at("192.0.2.2:3478"))))
            .unwrap()
            .finish()
    };
    let mut allocation = Allocation::new(config(), [7; 32]);
    allocation.start(clock.now());
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &redirect(&request));
    let [Output::Transmit { to, data }] = &outputs(&mut allocation)[..] else { panic!("it asks again") };
    assert_eq!(*to, at("192.0.2.2:3478"));
    // In a circle it ends.
    allocation.handle_input(clock.now(), &redirect(data));
    assert!(matches!(events(&mut allocation)[..], [Event::Failed(Failure::Redirected { .. })]));
    // A stream needs a new connection.
    let mut allocation = Allocation::new(Config { transport: Transport::Tls, ..config() }, [7; 32]);
    allocation.start(clock.now());
    let request = sent(&mut allocation);
    allocation.handle_input(clock.now(), &redirect(&request));
    let [Event::Failed(failure)] = &events(&mut allocation)[..] else { panic!("it ends") };
    assert_eq!(advice(failure), Advice::OtherServer(at("192.0.2.2:3478")));
}

#[test]
fn a_connection_that_is_lost_is_the_end() {
    let clock = Clock::new();
    let config = Config { transport: Transport::Tcp, ..config() };
    let mut allocation = allocated(config, &clock);
    allocation.handle_input(clock.now(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc");
    assert!(matches!(events(&mut allocation)[..], [Event::Closed(Some(Failure::Malformed(_)))]));
    allocation.handle_disconnected();
    assert_eq!(events(&mut allocation), []);
    assert_eq!(allocation.permit(clock.now(), at(PEER).ip()), Err(CommandError::NotAllocated));
}

#[test]
fn commands_before_their_time_say_so() {
    let clock = Clock::new();
    let mut allocation = Allocation::new(config(), [7; 32]);
    assert_eq!(allocation.permit(clock.now(), at(PEER).ip()), Err(CommandError::NotAllocated));
    assert_eq!(allocation.send_to(at(PEER), b"", &mut Vec::new()), Err(CommandError::NotAllocated));
    assert_eq!(allocation.connect(clock.now(), at(PEER)), Err(CommandError::Protocol));
    allocation.close(clock.now());
    assert_eq!(events(&mut allocation), [Event::Closed(None)]);
    allocation.start(clock.now());
    assert_eq!(outputs(&mut allocation), [], "it is over");
    assert_eq!(Kind::DATA.0, 0x13);
}

struct Bench(Allocation);

impl Subject for Bench {
    fn new(seed: [u8; 32], now: Instant) -> Self {
        let mut allocation = Allocation::new(config(), seed);
        allocation.start(now);
        while let Output::Transmit { data, .. } = allocation.poll_output() {
            allocation.handle_input(now, &challenge(&data));
            let request = sent(&mut allocation);
            allocation.handle_input(now, &success(&request, addresses));
        }
        Self(allocation)
    }

    fn input(&mut self, now: Instant, data: &[u8]) {
        self.0.handle_input(now, data);
        let _ = self.0.data_of(data);
    }

    fn timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll(&mut self) -> Step {
        match self.0.poll_output() {
            Output::Idle(deadline) => Step::Idle(deadline),
            output => Step::Output(format!("{output:?}")),
        }
    }

    fn samples() -> Vec<Vec<u8>> {
        let request = Builder::new(Class::Request, Method::REFRESH, [7; 12]).finish();
        let indication = Builder::new(Class::Indication, Method::DATA, [9; 12])
            .attribute(&XorPeerAddress(at(PEER)))
            .and_then(|builder| builder.attribute(&Data(b"data")))
            .unwrap()
            .finish();
        let mut channel = Vec::new();
        ChannelData { channel: 0x4000, data: b"data" }.write(false, &mut channel).unwrap();
        vec![success(&request, addresses), challenge(&request), indication, channel]
    }

    fn command(&mut self, now: Instant, which: u64) {
        let last = u8::try_from(which % 5).unwrap();
        let peer = SocketAddr::from(([198, 51, 100, last], 7_000));
        match which / 5 % 4 {
            0 => drop(self.0.permit(now, peer.ip())),
            1 => drop(self.0.bind_channel(now, peer)),
            2 => drop(self.0.send_to(peer, b"x", &mut Vec::new())),
            _ => self.0.forget(peer.ip()),
        }
    }
}

testkit::conformance!(an_allocation_keeps_the_rules, Bench);
