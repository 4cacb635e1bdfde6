use testkit::Clock;
use testkit::conformance::{Step, Subject};

use super::*;
use crate::stun::{
    ChangeRequest, ErrorCode, Integrity, Key, Kind, Method, Nonce, OtherAddress, Realm, RequestedTransport,
    ResponseOrigin, UnknownAttributes, Username, XorMappedAddress,
};

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn flow() -> Flow {
    Flow { transport: Transport::Udp, local: at("192.0.2.1:3478"), remote: at("203.0.113.7:50000") }
}

fn server() -> Server {
    Server::new(Config::new("example.org").with_account("alice", "wonder"), [3; 32])
}

fn answers(server: &mut Server) -> Vec<(Flow, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        match server.poll_output() {
            Output::Transmit { flow, data } => all.push((flow, data)),
            Output::Idle(_) => return all,
            _ => {}
        }
    }
}

fn ask(server: &mut Server, now: Instant, flow: Flow, data: &[u8]) -> Option<Vec<u8>> {
    server.handle_input(now, Input::Datagram { flow, data });
    answers(server).pop().map(|(_, data)| data)
}

fn request(method: Method) -> Builder {
    Builder::new(Class::Request, method, [5; 12])
}

fn code(answer: &[u8]) -> u16 {
    match Message::parse(answer).unwrap().get::<ErrorCode<'_>>() {
        Some(Ok(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_binding_request_is_answered_to_all() {
    let (mut server, clock) = (server(), Clock::new());
    let answer = ask(&mut server, clock.now(), flow(), &request(Method::BINDING).finish()).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.get(), Some(Ok(XorMappedAddress(flow().remote))));
    assert!(message.has_valid_fingerprint() && message.transaction_id() == [5; 12]);
    let strange = request(Method::BINDING).raw(Kind(0x7777), b"").unwrap().finish();
    let answer = ask(&mut server, clock.now(), flow(), &strange).unwrap();
    assert_eq!(code(&answer), 420);
    assert_eq!(Message::parse(&answer).unwrap().get(), Some(Ok(UnknownAttributes(vec![Kind(0x7777)]))));
}

/// Whatever is no request gets no answer: nobody is answered twice for one packet, or in a circle.
#[test]
fn what_is_no_request_gets_no_answer() {
    let (mut server, clock) = (server(), Clock::new());
    let mut wrong = request(Method::BINDING).finish_with(None, true);
    *wrong.last_mut().unwrap() ^= 1;
    for data in [
        Builder::new(Class::Success, Method::BINDING, [5; 12]).finish(),
        Builder::new(Class::Error, Method::BINDING, [5; 12]).finish(),
        Builder::new(Class::Indication, Method::BINDING, [5; 12]).finish(),
        Builder::new(Class::Indication, Method::SEND, [5; 12]).finish(),
        wrong,
        b"\x40\x00\x00\x04data".to_vec(),
        b"OPTIONS sip:x SIP/2.0\r\n\r\n".to_vec(),
        Vec::new(),
        request(Method::BINDING).finish()[..19].to_vec(),
    ] {
        assert_eq!(ask(&mut server, clock.now(), flow(), &data), None, "{data:?}");
    }
    // A thousand bytes of it, of every kind.
    let mut random = testkit::Random::new(1);
    let mut received = 0;
    for _ in 0..2_000 {
        let data = random.mutate(&request(Method::BINDING).raw(Kind(0x8022), &[b'x'; 400]).unwrap().finish());
        received += data.len();
        server.handle_input(clock.now(), Input::Datagram { flow: flow(), data: &data });
    }
    let sent: usize = answers(&mut server).iter().map(|(_, data)| data.len()).sum();
    assert!(sent <= received, "{sent} for {received}");
}

/// What is sent to whom we do not know is short, whatever it asks: the worst is the challenge.
#[test]
fn no_amplification_for_strangers() {
    let clock = Clock::new();
    let config = Config { software: Some("x".repeat(700)), ..Config::new("example.org") };
    let mut server = Server::new(config.with_account("alice", "wonder"), [3; 32]);
    let v6 = Flow { remote: at("[2001:db8::7]:50000"), local: at("[2001:db8::1]:3478"), ..flow() };
    for method in (0..0x20).filter_map(Method::new) {
        for flow in [flow(), v6] {
            let asked = request(method).finish();
            let answer = ask(&mut server, clock.now(), flow, &asked).unwrap_or_default();
            assert!(answer.len() <= 150, "{method:?}: {} for {}", answer.len(), asked.len());
        }
    }
}

#[test]
fn a_nonce_is_for_one_client_and_a_while() {
    let (mut server, mut clock) = (server(), Clock::new());
    let allocate = || request(Method::ALLOCATE).attribute(&RequestedTransport(17)).unwrap();
    let answer = ask(&mut server, clock.now(), flow(), &allocate().finish()).unwrap();
    assert_eq!(code(&answer), 401);
    let message = Message::parse(&answer).unwrap();
    let Some(Ok(Nonce(nonce))) = message.get::<Nonce<'_>>() else { panic!("there is one") };
    let key = Key::long_term("alice", "example.org", "wonder");
    let signed = |nonce: &str, key: &Key| {
        allocate()
            .attribute(&Username("alice"))
            .and_then(|builder| builder.attribute(&Realm("example.org")))
            .and_then(|builder| builder.attribute(&Nonce(nonce)))
            .unwrap()
            .finish_as(Some((key, Integrity::Sha1)), true)
    };
    let other = Flow { remote: at("203.0.113.8:50000"), ..flow() };
    let answer = ask(&mut server, clock.now(), other, &signed(nonce, &key)).unwrap();
    assert_eq!(code(&answer), 438, "somebody else's");
    let forged = nonce.replace(&nonce[21..23], "zz");
    assert_eq!(code(&ask(&mut server, clock.now(), flow(), &signed(&forged, &key)).unwrap()), 438);
    assert_eq!(code(&ask(&mut server, clock.now(), flow(), &signed("", &key)).unwrap()), 438);
    let wrong = Key::long_term("alice", "example.org", "guess");
    assert_eq!(code(&ask(&mut server, clock.now(), flow(), &signed(nonce, &wrong)).unwrap()), 401);
    clock.advance(Duration::from_secs(599));
    assert_eq!(ask(&mut server, clock.now(), flow(), &signed(nonce, &key)), None, "a socket is opened first");
    assert_eq!(server.allocations(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(code(&ask(&mut server, clock.now(), flow(), &signed(nonce, &key)).unwrap()), 438);
    // Missing pieces: 400.
    let without = allocate().attribute(&Username("alice")).unwrap().finish_with(Some(&key), true);
    assert_eq!(code(&ask(&mut server, clock.now(), flow(), &without).unwrap()), 400);
}

/// RFC 5780 §6.1.
#[test]
fn answers_from_the_other_address() {
    let clock = Clock::new();
    let other = at("192.0.2.2:3479");
    let config = Config { behaviour: Some((flow().local, other)), ..Config::new("x") };
    let mut server = Server::new(config, [3; 32]);
    for (ip, port, from) in [
        (false, false, "192.0.2.1:3478"),
        (true, false, "192.0.2.2:3478"),
        (false, true, "192.0.2.1:3479"),
        (true, true, "192.0.2.2:3479"),
    ] {
        let data = request(Method::BINDING).attribute(&ChangeRequest { ip, port }).unwrap().finish();
        server.handle_input(clock.now(), Input::Datagram { flow: flow(), data: &data });
        let (flow, answer) = answers(&mut server).pop().unwrap();
        assert_eq!(flow.local, at(from));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.get(), Some(Ok(ResponseOrigin(at(from)))));
        assert_eq!(message.get(), Some(Ok(OtherAddress(other))));
    }
}

#[test]
fn streams_are_capped_and_garbage_ends_them() {
    let clock = Clock::new();
    let mut server = Server::new(Config { max_streams: 1, ..Config::new("x") }, [3; 32]);
    let tcp = |port| Flow {
        transport: Transport::Tcp,
        remote: SocketAddr::new(flow().remote.ip(), port),
        ..flow()
    };
    let data = request(Method::BINDING).finish();
    server.handle_input(clock.now(), Input::Stream { flow: tcp(1), data: &data });
    assert_eq!(answers(&mut server).len(), 1);
    server.handle_input(clock.now(), Input::Stream { flow: tcp(2), data: &data });
    assert_eq!(server.poll_output(), Output::Disconnect(tcp(2)));
    server.handle_input(clock.now(), Input::Stream { flow: tcp(1), data: b"\xffGET / HTTP/1.1" });
    assert_eq!(server.poll_output(), Output::Disconnect(tcp(1)));
    server.handle_input(clock.now(), Input::Stream { flow: tcp(3), data: &data });
    assert_eq!(answers(&mut server).len(), 1, "there is room again");
}

struct Bench(Server);

impl Subject for Bench {
    fn new(seed: [u8; 32], _: Instant) -> Self {
        Self(Server::new(Config::new("example.org").with_account("alice", "wonder"), seed))
    }

    fn input(&mut self, now: Instant, data: &[u8]) {
        self.0.handle_input(now, Input::Datagram { flow: flow(), data });
        let flow = Flow { transport: Transport::Tcp, ..flow() };
        self.0.handle_input(now, Input::Stream { flow, data });
        self.0.handle_input(now, Input::Relayed { relay: RelayId(1), from: at("198.51.100.1:1"), data });
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
        vec![
            request(Method::BINDING).finish(),
            request(Method::ALLOCATE).attribute(&RequestedTransport(17)).unwrap().finish(),
            b"\x40\x00\x00\x04data".to_vec(),
        ]
    }

    fn command(&mut self, now: Instant, which: u64) {
        let relay = RelayId(which % 4);
        match which / 4 % 3 {
            0 => self.0.handle_input(now, Input::RelayFailed(relay)),
            1 => self.0.handle_input(now, Input::RelayBound { relay, address: at("192.0.2.200:50000") }),
            _ => self.0.handle_input(now, Input::Disconnected(flow())),
        }
    }
}

testkit::conformance!(a_server_keeps_the_rules, Bench);
