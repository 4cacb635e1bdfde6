use testkit::Clock;
use testkit::conformance::{Step, Subject};

use super::*;
use crate::stun::{
    AlternateServer, Attribute, Class, ErrorCode, Integrity, Key, Kind, Nonce, NonceFeatures,
    PasswordAlgorithm, PasswordAlgorithms, Realm, UnknownAttributes, Userhash, Username,
};

const SERVER: &str = "192.0.2.1:3478";
const SEEN: &str = "203.0.113.7:50000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn outputs(client: &mut Client) -> Vec<Output> {
    std::iter::from_fn(|| Some(client.poll_output()).filter(|one| !matches!(one, Output::Idle(_)))).collect()
}

fn request(client: &mut Client) -> Vec<u8> {
    match &outputs(client)[..] {
        [Output::Transmit { to, data }] if *to == client.server() => data.clone(),
        other => panic!("{other:?}"),
    }
}

fn event(client: &mut Client) -> Event {
    match &outputs(client)[..] {
        [Output::Event(event)] => event.clone(),
        other => panic!("{other:?}"),
    }
}

fn success(request: &[u8], key: Option<(&Key, Integrity)>) -> Vec<u8> {
    let request = Message::parse(request).unwrap();
    let builder = Builder::answer(&request, Class::Success);
    builder.attribute(&XorMappedAddress(at(SEEN))).unwrap().finish_as(key, true)
}

fn error(request: &[u8], code: u16) -> Builder {
    let request = Message::parse(request).unwrap();
    Builder::answer(&request, Class::Error).attribute(&ErrorCode { code, reason: "no" }).unwrap()
}

fn with<'a>(builder: Builder, attribute: &impl Attribute<'a>) -> Builder {
    builder.attribute(attribute).unwrap()
}

fn challenge(request: &[u8], code: u16, nonce: &str, algorithms: Option<PasswordAlgorithms<'_>>) -> Vec<u8> {
    let builder = with(with(error(request, code), &Realm("here")), &Nonce(nonce));
    match algorithms {
        Some(list) => with(builder, &list).finish(),
        None => builder.finish(),
    }
}

fn client(credentials: Credentials) -> (Client, Clock) {
    let config = ClientConfig { credentials, ..ClientConfig::new(at(SERVER)) };
    let (mut client, clock) = (Client::new(config, [1; 32]), Clock::new());
    client.ask(clock.now());
    (client, clock)
}

fn account() -> Credentials {
    Credentials::long_term("user", "pass")
}

#[test]
fn an_open_server_tells_the_address() {
    let (mut client, clock) = client(Credentials::None);
    let bytes = request(&mut client);
    client.handle_input(clock.now(), at("192.0.2.9:3478"), &success(&bytes, None));
    assert_eq!(outputs(&mut client), [], "from somebody else");
    client.handle_input(clock.now(), at(SERVER), &success(&bytes, None));
    assert_eq!(event(&mut client), Event::Mapped(at(SEEN)));
    client.handle_input(clock.now(), at(SERVER), &success(&bytes, None));
    assert_eq!((outputs(&mut client), client.discarded()), (vec![], 1), "told twice");
    assert_eq!(client.poll_output(), Output::Idle(None));
}

#[test]
fn a_challenge_is_answered_and_a_stale_nonce_renewed() {
    let (mut client, clock) = client(account());
    let first = request(&mut client);
    assert_eq!(Message::parse(&first).unwrap().integrity(), None, "RFC 8489 §9.2.3.1");
    client.handle_input(clock.now(), at(SERVER), &challenge(&first, 401, "one", None));
    let key = Key::long_term("user", "here", "pass");
    let second = request(&mut client);
    let message = Message::parse(&second).unwrap();
    assert!(
        message.verify(&key) && message.transaction_id() != Message::parse(&first).unwrap().transaction_id()
    );
    assert_eq!(message.get(), Some(Ok(Username("user"))));
    assert_eq!((message.get(), message.get()), (Some(Ok(Realm("here"))), Some(Ok(Nonce("one")))));
    client.handle_input(clock.now(), at(SERVER), &challenge(&second, 438, "two", None));
    let third = request(&mut client);
    assert_eq!(Message::parse(&third).unwrap().get(), Some(Ok(Nonce("two"))));
    client.handle_input(clock.now(), at(SERVER), &success(&third, Some((&key, Integrity::Sha1))));
    assert_eq!(event(&mut client), Event::Mapped(at(SEEN)));
    // RFC 8489 §9.2.3.2: the next one knows it all.
    client.ask(clock.now());
    assert!(Message::parse(&request(&mut client)).unwrap().verify(&key));
}

#[test]
fn a_wrong_password_is_told_once() {
    let (mut client, clock) = client(account());
    let first = request(&mut client);
    client.handle_input(clock.now(), at(SERVER), &challenge(&first, 401, "one", None));
    let second = request(&mut client);
    client.handle_input(clock.now(), at(SERVER), &challenge(&second, 401, "two", None));
    assert_eq!(event(&mut client), Event::Failed(Failure::Unauthenticated));
}

#[test]
fn a_server_whose_nonces_are_always_stale_is_left() {
    let (mut client, clock) = client(account());
    let mut bytes = request(&mut client);
    client.handle_input(clock.now(), at(SERVER), &challenge(&bytes, 401, "one", None));
    for _ in 0..3 {
        bytes = request(&mut client);
        client.handle_input(clock.now(), at(SERVER), &challenge(&bytes, 438, "again", None));
    }
    bytes = request(&mut client);
    client.handle_input(clock.now(), at(SERVER), &challenge(&bytes, 438, "again", None));
    assert_eq!(event(&mut client), Event::Failed(Failure::Unauthenticated));
}

#[test]
fn sha256_and_userhash_where_the_nonce_says_so() {
    let (mut client, clock) = client(account());
    let first = request(&mut client);
    let nonce =
        NonceFeatures { password_algorithms: true, username_anonymity: true }.prefix().to_owned() + "x";
    let answer = challenge(&first, 401, &nonce, Some(PasswordAlgorithms::BOTH));
    client.handle_input(clock.now(), at(SERVER), &answer);
    let second = request(&mut client);
    let message = Message::parse(&second).unwrap();
    let key = Key::long_term_sha256("user", "here", "pass");
    assert!(message.has_integrity(Integrity::Sha256) && !message.has_integrity(Integrity::Sha1));
    assert!(message.verify(&key));
    assert_eq!(message.get::<Username<'_>>(), None, "nobody reads who we are");
    assert_eq!(message.get(), Some(Ok(Userhash::new("user", "here"))));
    assert_eq!(message.get(), Some(Ok(PasswordAlgorithms::BOTH)));
    assert_eq!(message.get(), Some(Ok(PasswordAlgorithm::SHA256)));
    // With SHA-1 it is not the answer, with SHA-256 it is.
    client.handle_input(clock.now(), at(SERVER), &success(&second, Some((&key, Integrity::Sha1))));
    assert_eq!(outputs(&mut client), []);
    client.handle_input(clock.now(), at(SERVER), &success(&second, Some((&key, Integrity::Sha256))));
    assert_eq!(event(&mut client), Event::Mapped(at(SEEN)));
}

#[test]
fn nobody_bids_the_algorithms_down() {
    let promised = NonceFeatures { password_algorithms: true, username_anonymity: false }.prefix();
    // The list is gone although the nonce promises it.
    let (mut one, clock) = client(account());
    let bytes = request(&mut one);
    one.handle_input(clock.now(), at(SERVER), &challenge(&bytes, 401, promised, None));
    assert_eq!(event(&mut one), Event::Failed(Failure::Algorithms));
    // Nothing on it is known.
    let (mut two, clock) = client(account());
    let bytes = request(&mut two);
    let strange = PasswordAlgorithms(&[0, 9, 0, 0]);
    two.handle_input(clock.now(), at(SERVER), &challenge(&bytes, 401, promised, Some(strange)));
    assert_eq!(event(&mut two), Event::Failed(Failure::Algorithms));
    // A later nonce without the cookie.
    let (mut three, clock) = client(account());
    let bytes = request(&mut three);
    let answer = challenge(&bytes, 401, promised, Some(PasswordAlgorithms::BOTH));
    three.handle_input(clock.now(), at(SERVER), &answer);
    let bytes = request(&mut three);
    three.handle_input(clock.now(), at(SERVER), &challenge(&bytes, 438, "plain", None));
    assert_eq!(event(&mut three), Event::Failed(Failure::Algorithms));
}

#[test]
fn forged_responses_are_waited_out() {
    let (mut client, mut clock) = client(Credentials::short_term("a:b", "secret"));
    let bytes = request(&mut client);
    assert_eq!(Message::parse(&bytes).unwrap().get(), Some(Ok(Username("a:b"))));
    let guess = Key::short_term("guess");
    for forged in
        [success(&bytes, None), success(&bytes, Some((&guess, Integrity::Sha1))), error(&bytes, 400).finish()]
    {
        client.handle_input(clock.now(), at(SERVER), &forged);
        assert_eq!(outputs(&mut client), []);
    }
    let key = Key::short_term("secret");
    client.handle_input(clock.now(), at(SERVER), &success(&bytes, Some((&key, Integrity::Sha1))));
    assert_eq!(event(&mut client), Event::Mapped(at(SEEN)));
    // Nothing but forgeries: the end says so.
    client.ask(clock.now());
    let bytes = request(&mut client);
    client.handle_input(clock.now(), at(SERVER), &success(&bytes, None));
    let end = loop {
        let Output::Idle(Some(deadline)) = client.poll_output() else { continue };
        clock.advance_to(deadline);
        client.handle_timeout(clock.now());
        if let Output::Event(event) = client.poll_output() {
            break event;
        }
    };
    assert_eq!(end, Event::Failed(Failure::IntegrityViolated));
}

#[test]
fn redirection_is_followed_but_not_in_circles() {
    let (mut client, clock) = client(Credentials::None);
    let bytes = request(&mut client);
    let redirect = |bytes: &[u8], to: &str| with(error(bytes, 300), &AlternateServer(at(to))).finish();
    client.handle_input(clock.now(), at(SERVER), &redirect(&bytes, "192.0.2.2:3478"));
    assert_eq!(client.server(), at("192.0.2.2:3478"));
    let bytes = request(&mut client);
    client.handle_input(clock.now(), at("192.0.2.2:3478"), &redirect(&bytes, SERVER));
    let failed = Failure::Redirected { server: at(SERVER), domain: None };
    assert_eq!(event(&mut client), Event::Failed(failed));
}

#[test]
fn what_must_be_understood_and_is_not_fails() {
    let (mut client, clock) = client(Credentials::None);
    let bytes = request(&mut client);
    let unknown = UnknownAttributes(vec![Kind(0x7777)]);
    client.handle_input(clock.now(), at(SERVER), &with(error(&bytes, 420), &unknown).finish());
    assert_eq!(event(&mut client), Event::Failed(Failure::UnknownAttributes(vec![Kind(0x7777)])));
    client.ask(clock.now());
    let bytes = request(&mut client);
    let message = Message::parse(&bytes).unwrap();
    let strange = Builder::answer(&message, Class::Success).raw(Kind(0x7777), b"?").unwrap().finish();
    client.handle_input(clock.now(), at(SERVER), &strange);
    assert!(matches!(event(&mut client), Event::Failed(Failure::Malformed(_))));
}

#[test]
fn over_a_stream_bytes_may_come_in_pieces() {
    let config = ClientConfig { transport: Transport::Tcp, ..ClientConfig::new(at(SERVER)) };
    let (mut client, clock) = (Client::new(config, [1; 32]), Clock::new());
    client.ask(clock.now());
    let bytes = request(&mut client);
    for byte in success(&bytes, None) {
        assert_eq!(outputs(&mut client), []);
        client.handle_input(clock.now(), at(SERVER), &[byte]);
    }
    assert_eq!(event(&mut client), Event::Mapped(at(SEEN)));
    client.ask(clock.now());
    request(&mut client);
    client.handle_disconnected();
    assert_eq!(event(&mut client), Event::Failed(Failure::Disconnected));
}

#[test]
fn no_password_is_printed() {
    let (client, _) = client(Credentials::short_term("a:b", "secret"));
    assert!(!format!("{client:?} {:?}", account()).contains("secret"));
    assert!(!format!("{:?}", account()).contains("pass"));
}

struct Bench(Client);

impl Subject for Bench {
    fn new(seed: [u8; 32], now: Instant) -> Self {
        let config = ClientConfig { credentials: account(), ..ClientConfig::new(at(SERVER)) };
        let mut client = Client::new(config, seed);
        client.ask(now);
        Self(client)
    }

    fn input(&mut self, now: Instant, data: &[u8]) {
        self.0.handle_input(now, at(SERVER), data);
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
        let request = Builder::new(Class::Request, Method::BINDING, [7; 12]).finish();
        vec![success(&request, None), challenge(&request, 401, "n", None)]
    }

    fn command(&mut self, now: Instant, _: u64) {
        self.0.ask(now);
    }
}

testkit::conformance!(a_client_keeps_the_rules, Bench);
