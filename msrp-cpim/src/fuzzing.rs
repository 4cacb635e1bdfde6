//! Bodies of the fuzz targets: each panics if what it says does not hold.

use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::connection::{Config, Connection, Event, Input, OutgoingMessage, Output, SessionConfig};
use crate::cpim;
use crate::error::ParseError;
use crate::file;
use crate::imdn::Imdn;
use crate::iscomposing::IsComposing;
use crate::relay::{Relay, RelayConfig, RelayInput, RelayOutput};
use crate::uri::MsrpUri;
use crate::wire::{Decoder, DecoderLimits, Frames, Head, Message, Piece};

/// A target: panics if what it says does not hold.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("msrp_message", message),
    ("msrp_stream", stream),
    ("msrp_uri", uri),
    ("cpim", cpim),
    ("file_selector", file_selector),
    ("imdn", imdn),
    ("iscomposing", iscomposing),
    ("msrp_connection", machine),
    ("msrp_relay", relay),
];

/// What parses prints, and what it prints parses to the same.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(&Bytes::copy_from_slice(data)) else { return };
    let printed = message.to_bytes();
    assert_eq!(Message::parse(&printed).expect("what was printed parses"), message);
    // However a head is read, it says the same.
    let head = Head::parse(message.head.as_str().as_bytes()).expect("what was read parses");
    assert_eq!(says(&head), says(&message.head));
    let _ =
        (message.head.to_path(), message.head.from_path(), message.head.byte_range(), message.head.status());
}

/// A stream gives the same whole, byte by byte, and in pieces; so do its frames, each of which is one message.
pub fn stream(data: &[u8]) {
    let whole = decode(data, data.len().max(1));
    assert_eq!(whole, decode(data, 1));
    assert_eq!(whole, decode(data, 7));
    let frames = cut(data, data.len().max(1));
    assert_eq!(frames, cut(data, 1));
    assert_eq!(frames, cut(data, 7));
    for frame in frames {
        Message::parse(&frame).expect("a frame is a message");
    }
}

/// The frames of a stream, as RFC 7977 has each in a message.
fn cut(data: &[u8], step: usize) -> Vec<Bytes> {
    let mut frames = Frames::new(DecoderLimits::default(), 1 << 20);
    let mut seen = Vec::new();
    for chunk in data.chunks(step) {
        frames.push(chunk);
        loop {
            match frames.next() {
                Ok(Some(frame)) => seen.push(frame),
                Ok(None) => break,
                Err(_) => return seen,
            }
        }
    }
    seen
}

/// Everything that a head says.
fn says(head: &Head) -> String {
    format!("{} {:?} {:?}", head.transaction_id(), head.start(), head.headers().collect::<Vec<_>>())
}

/// URIs round-trip, and are equal to themselves.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(uri) = text.parse::<MsrpUri>() else { return };
    let again: MsrpUri = uri.to_string().parse().expect("what was printed parses");
    assert_eq!(uri, again);
    assert!(uri.matches(&again));
}

/// What parses prints the same bytes.
pub fn cpim(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let parsed = cpim::Message::parse(&data);
    // However it is read, it says the same.
    let says = |message: &cpim::Message| {
        let (headers, mime): (Vec<_>, Vec<_>) =
            (message.headers().collect(), message.mime_headers().collect());
        format!("{headers:?} {mime:?} {:?}", message.body())
    };
    let with_care = cpim::Message::parse_with_care(&data);
    assert_eq!(parsed.as_ref().map(says), with_care.as_ref().map(says));
    let Ok(message) = parsed else { return };
    assert_eq!(message.to_bytes(), data);
    let _ = (message.from(), message.to().count(), message.subject(None), message.namespaces().count());
}

/// Selectors and the attributes beside them round-trip; a safe name is one.
pub fn file_selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let name = file::safe_name(text);
    assert!(
        !name.is_empty() && name.len() <= 200 && !name.contains(['/', '\\', '\0']) && !name.starts_with('.')
    );
    prints_what_it_read::<file::FileSelector>(text);
    prints_what_it_read::<file::FileDates>(text);
    prints_what_it_read::<file::FileRange>(text);
    prints_what_it_read::<file::FileIcon>(text);
}

fn prints_what_it_read<T: FromStr<Err = ParseError> + PartialEq + std::fmt::Debug + ToString>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    assert_eq!(value.to_string().parse::<T>().expect("what was printed parses"), value);
}

/// A document that is read and printed says the same.
pub fn imdn(data: &[u8]) {
    let Ok(document) = Imdn::parse(data) else { return };
    // Control characters, which no document can hold, do not get this far.
    let again = Imdn::parse(document.to_xml().as_bytes()).expect("what was printed parses");
    assert_eq!(again, document);
}

/// A document that is read and printed says the same.
pub fn iscomposing(data: &[u8]) {
    let Ok(document) = IsComposing::parse(data) else { return };
    let again = IsComposing::parse(document.to_xml().as_bytes()).expect("what was printed parses");
    assert_eq!(again, document);
}

/// A connection with a session and a message under way takes any bytes: `alice` and `bob` are its ends.
///
/// The first byte says in what pieces the rest arrives.
pub fn machine(data: &[u8]) {
    let Some((step, data)) = data.split_first() else { return };
    #[expect(clippy::disallowed_methods, reason = "a target is no machine: any origin of time will do")]
    let now = Instant::now();
    let mut machine = Connection::new(Config::default(), [*step; 32]);
    let path = |text| MsrpUri::parse_path(text).expect("a URI");
    let (local, remote) =
        (path("msrp://bob.example.com:8888/bob;tcp"), path("msrp://alice.example.com:7777/alice;tcp"));
    let session = machine.add_session(now, SessionConfig::new(local, remote, false)).expect("a session");
    machine.send(now, session, OutgoingMessage::new("text/plain", "hello")).expect("a message");
    machine.handle_input(now, Input::Connected);
    let mut outcomes = 0;
    let mut drain = |machine: &mut Connection| loop {
        match machine.poll_output() {
            Output::Idle(_) => break,
            Output::Write(data) => machine.handle_input(now, Input::Written(data.len())),
            Output::Event(Event::Delivered { .. } | Event::NotDelivered { .. }) => outcomes += 1,
            Output::Event(_) | Output::Disconnect => {}
        }
    };
    for piece in data.chunks(usize::from(*step).max(1)) {
        machine.handle_input(now, Input::Received(piece));
        drain(&mut machine);
    }
    machine.handle_timeout(now + Duration::from_secs(1000));
    drain(&mut machine);
    machine.handle_input(now, Input::Closed);
    drain(&mut machine);
    assert_eq!((outcomes, machine.outstanding()), (1, 0), "one outcome of one message");
}

/// A relay with one client to which everybody may have a URI: whatever arrives, what it writes are whole frames,
/// and only the client's own connection and the hops it asked for get any.
pub fn relay(data: &[u8]) {
    let Some((step, data)) = data.split_first() else { return };
    #[expect(clippy::disallowed_methods, reason = "a target is no machine: any origin of time will do")]
    let now = Instant::now();
    let uri = "msrp://relay.example.com:2855;tcp".parse().expect("a URI");
    let mut relay = Relay::new(RelayConfig::new(uri), [*step; 32]);
    let mut known = std::collections::BTreeSet::from([1, 2]);
    let mut written = std::collections::BTreeMap::<u64, Vec<u8>>::new();
    let mut drain = |relay: &mut Relay| loop {
        match relay.poll_output() {
            RelayOutput::Idle(_) => break,
            RelayOutput::Auth(request) => relay.grant(now, &request),
            RelayOutput::Connect(id, _) => {
                known.insert(id);
                relay.handle_input(now, RelayInput::Connected(id));
            }
            RelayOutput::Write(id, frame) => {
                assert!(known.contains(&id), "bytes for a connection that nobody knows");
                written.entry(id).or_default().extend_from_slice(&frame);
            }
            RelayOutput::Disconnect(_) => {}
        }
    };
    relay.handle_input(now, RelayInput::Accepted(1));
    relay.handle_input(now, RelayInput::Accepted(2));
    for (index, piece) in data.chunks(usize::from(*step).max(1)).enumerate() {
        let from = if *step & 1 == 1 && index % 2 == 1 { 2 } else { 1 };
        relay.handle_input(now, RelayInput::Received(from, piece));
        drain(&mut relay);
    }
    relay.handle_timeout(now + Duration::from_secs(40));
    relay.handle_input(now, RelayInput::Closed(1));
    drain(&mut relay);
    for bytes in written.into_values() {
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            let (_, length) = Message::parse_first(&rest).expect("whole frames");
            let _ = rest.split_to(length);
        }
    }
}

/// Hands `data` to a connection after its own input.
pub fn connection(machine: &mut Connection, now: Instant, data: &[u8]) {
    machine.handle_input(now, Input::Received(data));
    while !matches!(machine.poll_output(), Output::Idle(_)) {}
}

/// Everything that a stream gives, bodies joined.
#[must_use]
pub fn decode(data: &[u8], step: usize) -> Vec<String> {
    let mut decoder = Decoder::new(DecoderLimits::default());
    let mut seen = Vec::new();
    let mut body = Vec::new();
    for chunk in data.chunks(step) {
        let mut input = chunk;
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Head(head))) => seen.push(says(&head)),
                Ok(Some(Piece::Body(slice))) => body.extend_from_slice(slice),
                Ok(Some(Piece::End(flag))) => seen.push(format!("{:?} {flag:?}", std::mem::take(&mut body))),
                // Where a stream is given up may depend on how much of a bad line has arrived.
                Err(_) => return seen,
            }
        }
    }
    seen
}
