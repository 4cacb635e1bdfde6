//! Our side of relays and of nicknames, against answers written out.

use std::time::{Duration, Instant};

use msrp_cpim::wire::{HeaderName, Message, Method};
use msrp_cpim::{
    AuthConfig, Config, Connection, Event, Input, MsrpUri, Output, SessionConfig, SessionId, UsageError,
};
use testkit::Clock;

const LOCAL: &str = "msrps://alice.example.com:9892/98cjs;tcp";
const RELAY: &str = "msrps://alice@intra.example.com;tcp";
const GRANTED: &str = "msrps://intra.example.com:9000/jui787s2f;tcp";

struct Client {
    clock: Clock,
    machine: Connection,
    deadline: Option<Instant>,
}

impl Client {
    fn new() -> Self {
        let clock = Clock::new();
        let mut machine = Connection::new(Config::default(), [1; 32]);
        machine.handle_input(clock.now(), Input::Connected);
        Self { clock, machine, deadline: None }
    }

    fn auth(&mut self, relay: &str) -> msrp_cpim::AuthId {
        let relay = MsrpUri::parse_path(relay).unwrap();
        let config =
            AuthConfig { relay, local: LOCAL.parse().unwrap(), expires: Some(Duration::from_secs(900)) };
        self.machine.auth(self.clock.now(), config).unwrap()
    }

    /// What the machine does next: requests and events.
    fn drain(&mut self) -> (Vec<Message>, Vec<Event>) {
        let (mut requests, mut events) = (Vec::new(), Vec::new());
        loop {
            match self.machine.poll_output() {
                Output::Write(data) => {
                    self.machine.handle_input(self.clock.now(), Input::Written(data.len()));
                    requests.push(Message::parse(&data).unwrap());
                }
                Output::Event(event) => events.push(event),
                Output::Disconnect => {}
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return (requests, events);
                }
            }
        }
    }

    fn request(&mut self) -> Message {
        let (mut requests, events) = self.drain();
        assert_eq!((requests.len(), events.len()), (1, 0), "{events:?}");
        requests.pop().unwrap()
    }

    fn event(&mut self) -> Event {
        let (requests, mut events) = self.drain();
        assert_eq!((requests.len(), events.len()), (0, 1), "{events:?}");
        events.pop().unwrap()
    }

    fn answer(&mut self, request: &Message, status: &str, headers: &str) {
        let id = request.head.transaction_id();
        let to = request.head.get(HeaderName::ToPath).unwrap();
        let text =
            format!("MSRP {id} {status}\r\nTo-Path: {LOCAL}\r\nFrom-Path: {to}\r\n{headers}-------{id}$\r\n");
        self.machine.handle_input(self.clock.now(), Input::Received(text.as_bytes()));
    }

    fn advance(&mut self, seconds: u64) {
        let now = self.clock.advance(Duration::from_secs(seconds));
        self.machine.handle_timeout(now);
    }

    /// Goes through challenge and answer.
    fn granted(&mut self, auth: msrp_cpim::AuthId, expires: u64) -> Event {
        let request = self.request();
        assert_eq!(request.head.get(HeaderName::Authorization), None);
        self.answer(
            &request,
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"intra\", nonce=\"n\"\r\n",
        );
        let Event::AuthChallenge { challenges, uri, again, .. } = self.event() else {
            panic!("no challenge")
        };
        assert_eq!((challenges.len(), uri.as_str(), again), (1, RELAY, false));
        self.machine.answer_challenge(self.clock.now(), auth, "Digest username=\"Alice\"").unwrap();
        let request = self.request();
        assert_eq!(request.head.get(HeaderName::Authorization), Some("Digest username=\"Alice\""));
        self.answer(&request, "200 OK", &format!("Use-Path: {GRANTED}\r\nExpires: {expires}\r\n"));
        self.event()
    }
}

/// RFC 4976 §5.1: the first four messages of the example.
#[test]
fn a_relay_challenges_grants_and_is_asked_again() {
    let mut client = Client::new();
    let auth = client.auth(RELAY);
    for _ in 0..3 {
        let Event::Authorized { use_path, path, expires, .. } = client.granted(auth, 800) else {
            panic!("refused")
        };
        assert_eq!(MsrpUri::print_path(&use_path), GRANTED);
        assert_eq!(MsrpUri::print_path(&path), format!("{GRANTED} {LOCAL}"));
        assert_eq!(expires, Some(Duration::from_secs(800)));
        // Nothing until shortly before it expires.
        client.advance(699);
        assert!(client.drain().0.is_empty());
        assert_eq!(client.deadline, Some(client.clock.now() + Duration::from_secs(1)));
        client.advance(1);
    }
    client.request();
    client.machine.end_auth(auth);
    client.advance(10_000);
    assert!(client.drain().0.is_empty());
}

/// RFC 4976 §5.1: a second relay is asked through the first.
#[test]
fn a_chain_of_relays() {
    let mut client = Client::new();
    client.auth(&format!("{GRANTED} msrps://extra.example.com;tcp"));
    let request = client.request();
    assert_eq!(request.head.method(), Some(Method::Auth));
    assert_eq!(request.head.to_path().unwrap().len(), 2);
    let outer = "msrps://extra.example.com:9000/mywdEe1233;tcp";
    client.answer(&request, "200 OK", &format!("Use-Path: {GRANTED} {outer}\r\nExpires: 1800\r\n"));
    let Event::Authorized { path, .. } = client.event() else { panic!("refused") };
    assert_eq!(MsrpUri::print_path(&path), format!("{outer} {GRANTED} {LOCAL}"));
}

#[test]
fn refusals_end_it() {
    // A wrong password: not for ever.
    let mut client = Client::new();
    let auth = client.auth(RELAY);
    for round in 0..4 {
        let request = client.request();
        client.answer(&request, "401 Unauthorized", "WWW-Authenticate: Digest realm=\"i\", nonce=\"n\"\r\n");
        match client.event() {
            Event::AuthChallenge { again, .. } if round < 3 => assert_eq!(again, round > 0),
            Event::AuthFailed { code: 401, .. } if round == 3 => break,
            event => panic!("{event:?}"),
        }
        client.machine.answer_challenge(client.clock.now(), auth, "Digest x").unwrap();
    }
    let now = client.clock.now();
    assert_eq!(client.machine.answer_challenge(now, auth, "Digest x"), Err(UsageError::NoSuchSession));

    // Bounds are kept, once; silence and the end of the connection are told.
    client.auth(RELAY);
    let request = client.request();
    client.answer(&request, "423 Interval Out-of-Bounds", "Min-Expires: 1800\r\n");
    let request = client.request();
    assert_eq!(request.head.get(HeaderName::Expires), Some("1800"));
    client.answer(&request, "423 Interval Out-of-Bounds", "Min-Expires: 3600\r\n");
    assert!(matches!(client.event(), Event::AuthFailed { code: 423, .. }));
    client.auth(RELAY);
    client.request();
    client.advance(30);
    assert!(matches!(client.event(), Event::AuthFailed { code: 408, .. }));
    client.auth(RELAY);
    client.request();
    client.machine.handle_input(client.clock.now(), Input::Closed);
    assert!(matches!(client.event(), Event::AuthFailed { code: 408, .. }));
}

/// RFC 7701 §7.1: the flow of its §9 (figure 7).
#[test]
fn a_nickname_is_taken_or_not() {
    let mut client = Client::new();
    let now = client.clock.now();
    let path = |text| MsrpUri::parse_path(text).unwrap();
    let config = SessionConfig::new(path(LOCAL), path("msrps://conference.example:2855/room;tcp"), false);
    let session: SessionId = client.machine.add_session(now, config).unwrap();
    for (name, status) in
        [("Alice the great", "425 Nickname reserved or already in use"), ("Al \"i\\ce\"", "200 OK")]
    {
        client.machine.nickname(client.clock.now(), session, name).unwrap();
        let request = client.request();
        assert_eq!(request.head.method(), Some(Method::Nickname));
        let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        assert_eq!(request.head.get(HeaderName::UseNickname), Some(quoted.as_str()));
        client.answer(&request, status, "");
        let Event::Nickname { nickname, code, reason, .. } = client.event() else { panic!("no answer") };
        assert_eq!((nickname.as_str(), format!("{code} {reason}").as_str()), (name, status));
    }
    client.machine.nickname(client.clock.now(), session, "").unwrap();
    client.request();
    client.advance(30);
    assert!(matches!(client.event(), Event::Nickname { code: 408, .. }));
    assert!(client.machine.nickname(client.clock.now(), session, "a\r\nb").is_err());
}
