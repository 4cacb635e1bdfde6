//! What the messages of RFC 4475 and RFC 5118 are answered, and that garbage is never amplified.

use crate::solo::{PEER, US, addr};
use sip_core::{
    StatusCode,
    endpoint::{Config, Endpoint, Event, Input, Output, Transport},
};
use std::time::Duration;
use testkit::{Clock, Random};

/// Statuses, any of which a user agent that is no registrar may answer; none: silence.
const ANSWERS: &[(&str, &[u16])] = &[
    ("badinv01", &[400]),
    ("clerr", &[400]),
    ("ncl", &[400]),
    ("quotbal", &[400]),
    ("ltgtruri", &[400]),
    ("lwsruri", &[400]),
    ("scalar02", &[400]),
    ("badaspec", &[400, 200]),
    ("baddn", &[400, 200]),
    ("badvers", &[505]),
    ("mismatch01", &[400]),
    ("mismatch02", &[400, 501]),
    ("insuf", &[400]),
    ("multi01", &[400]),
    ("mcl01", &[400]),
    ("unkscm", &[416]),
    ("novelsc", &[416]),
    ("unksm2", &[400, 405]),
    ("bext01", &[420]),
    ("regaut01", &[405]),
    ("cparam01", &[405]),
    ("cparam02", &[405]),
    ("regescrt", &[405]),
    ("escnull", &[405]),
    ("regbadct", &[400, 405]),
    ("intmeth", &[501]),
    ("esc02", &[501]),
    ("scalarlg", &[400, 0]),
    ("bigcode", &[0]),
    ("bcast", &[0]),
    ("unreason", &[0]),
    ("noreason", &[0]),
    ("wsinv", &[481]),
    ("semiuri", &[200]),
    ("inv2543", &[180]),
    ("zeromf", &[200]),
    ("lwsdisp", &[200]),
    ("transports", &[200]),
];

/// The endpoint, with a user that rings and refuses nothing.
struct Listener {
    endpoint: Endpoint,
    clock: Clock,
    out: usize,
}

impl Listener {
    fn new() -> Self {
        let (mut endpoint, clock) = (Endpoint::new(Config::default(), [3; 32]), Clock::new());
        let bound = Input::Bound { transport: Transport::Udp, local: addr(US) };
        endpoint.handle_input(clock.now(), bound);
        Self { endpoint, clock, out: 0 }
    }

    fn give(&mut self, data: &[u8]) -> Vec<u16> {
        let data = bytes::Bytes::copy_from_slice(data);
        let now = self.clock.now();
        self.endpoint.handle_input(now, Input::Datagram { local: addr(US), remote: addr(PEER), data });
        let mut statuses = Vec::new();
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit { data, .. } => {
                    self.out += data.len();
                    let text = String::from_utf8_lossy(&data);
                    statuses.extend(text.get(8..11).and_then(|code| code.parse::<u16>().ok()));
                }
                Output::Event(Event::Incoming { call, .. }) => {
                    self.endpoint.provisional(now, call, StatusCode::RINGING, None).expect("it rings");
                }
                Output::Idle(_) => return statuses,
                _ => {}
            }
        }
    }
}

fn corpus(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&path)
        .expect("the corpus")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            path.is_file().then(|| (name, std::fs::read(&path).expect("readable")))
        })
        .collect();
    files.sort();
    files
}

fn replace(data: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let at = data.windows(what.len()).position(|w| w == what).expect("it is there");
    [&data[..at], by, &data[at + what.len()..]].concat()
}

#[test]
fn torture_messages_on_the_wire() {
    let files = corpus("rfc4475");
    let mut seen = 0;
    for (name, expected) in ANSWERS {
        let Some((_, data)) = files.iter().find(|(n, _)| n == name) else { panic!("{name} is missing") };
        // The longest that we add is what rport asks for.
        let rport = String::from_utf8_lossy(data).contains(";branch=z9hG4bK") && *name != "badvers";
        let data =
            if rport { replace(data, b";branch=z9hG4bK", b";rport;branch=z9hG4bK") } else { data.clone() };
        let mut statuses = Listener::new().give(&data);
        if statuses.is_empty() {
            statuses.push(0);
        }
        assert!(statuses.iter().any(|s| expected.contains(s)), "{name}: {statuses:?}, not of {expected:?}");
        seen += 1;
    }
    assert_eq!(seen, ANSWERS.len());
}

#[test]
fn answers_to_garbage_are_no_longer_than_it() {
    let mut seeds: Vec<_> =
        ["rfc4475", "rfc5118"].iter().flat_map(|f| corpus(f)).map(|(_, data)| data).collect();
    seeds.retain(|data| data.len() < 4_000);
    assert!(seeds.len() > 40, "{}", seeds.len());
    let mut random = Random::new(5);
    let mut listener = Listener::new();
    let mut given = 0;
    for _ in 0..6_000 {
        let mut data = seeds[random.below(seeds.len())].clone();
        for _ in 0..random.below(9) {
            data = random.mutate(&data);
        }
        given += data.len();
        listener.give(&data);
    }
    assert!(listener.out <= given, "{} bytes for {given}", listener.out);
    // And nothing of it stays: what rings is the user's to end.
    let now = listener.clock.advance(Duration::from_secs(100));
    listener.endpoint.handle_timeout(now);
    let stats = listener.endpoint.stats();
    assert!(stats.malformed > 100 && stats.dropped > 100, "{stats:?}");
    assert!(stats.server_transactions <= stats.calls, "{stats:?}");
}
