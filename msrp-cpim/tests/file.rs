//! File transfer over two connections in virtual time.

use bytes::Bytes;
use msrp_cpim::file::{FileDescription, FileHasher, FileRange, FileSelector, HashAlgorithm};
use msrp_cpim::{
    Body, Config, Connection, Event, Input, MsrpUri, OutgoingMessage, Output, Receive, SessionConfig,
    SessionId,
};
use testkit::Clock;

const A: &str = "msrp://a.example:1001/alice;tcp";
const B: &str = "msrp://b.example:1002/bob;tcp";

fn end(clock: &Clock, seed: u8, local: &str, remote: &str) -> (Connection, SessionId) {
    let mut machine = Connection::new(Config::default(), [seed; 32]);
    let path = |text| MsrpUri::parse_path(text).unwrap();
    let mut config = SessionConfig::new(path(local), path(remote), seed == 1);
    config.receive = Receive::Streamed;
    config.max_size = u64::MAX;
    let session = machine.add_session(clock.now(), config).unwrap();
    machine.handle_input(clock.now(), Input::Connected);
    (machine, session)
}

/// Sends `file` from `offset` until the connection is cut behind `cut` received bytes; what arrived.
fn transfer(file: &[u8], offset: u64, cut: usize, hasher: &mut FileHasher) -> (usize, bool) {
    let clock = Clock::new();
    let now = clock.now();
    let (mut a, session) = end(&clock, 1, A, B);
    let (mut b, _) = end(&clock, 2, B, A);
    let rest = &file[usize::try_from(offset).unwrap()..];
    // RFC 5547 §6: from the point of view of MSRP the portion of the file is a whole message.
    let body = Body::Streamed { total: Some(rest.len() as u64), offset: 0 };
    let message = OutgoingMessage { body, ..OutgoingMessage::new("application/octet-stream", "") };
    a.send(now, session, message).unwrap();
    let (mut fed, mut arrived, mut complete, mut delivered) = (0, 0, false, false);
    loop {
        let mut moved = false;
        loop {
            match a.poll_output() {
                Output::Write(data) => {
                    moved = true;
                    a.handle_input(now, Input::Written(data.len()));
                    b.handle_input(now, Input::Received(&data));
                }
                Output::Event(Event::NeedData { message_id, .. }) => {
                    let next = rest.len().min(fed + 50_000);
                    let data = Bytes::copy_from_slice(&rest[fed..next]);
                    fed = next;
                    a.feed(now, session, &message_id, data, fed == rest.len()).unwrap();
                }
                Output::Event(Event::Delivered { .. }) => delivered = true,
                Output::Event(_) | Output::Disconnect => {}
                Output::Idle(_) => break,
            }
            while let Some(output) = Some(b.poll_output()).filter(|o| !matches!(o, Output::Idle(_))) {
                match output {
                    Output::Write(data) => {
                        b.handle_input(now, Input::Written(data.len()));
                        a.handle_input(now, Input::Received(&data));
                    }
                    Output::Event(Event::Data { offset, data, .. }) => {
                        assert_eq!(offset, arrived as u64);
                        hasher.update(&data);
                        arrived += data.len();
                    }
                    Output::Event(Event::DataEnd { .. }) => complete = true,
                    _ => {}
                }
            }
            if arrived >= cut {
                return (arrived, false);
            }
        }
        if !moved {
            assert_eq!(complete, delivered);
            return (arrived, complete);
        }
    }
}

#[test]
fn an_interrupted_file_resumes() {
    let file: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut whole = FileHasher::new(&[HashAlgorithm::Sha1, HashAlgorithm::Sha256]);
    whole.update(&file);
    let selector =
        FileSelector { size: Some(whole.size()), hashes: whole.finish(), ..FileSelector::default() };
    let selector: FileSelector = selector.to_string().parse().unwrap();

    let mut hasher = FileHasher::for_selector(&selector);
    let (have, complete) = transfer(&file, 0, 300_000, &mut hasher);
    assert!(!complete && have >= 300_000 && have < file.len());
    assert!(hasher.clone().check(&selector).is_err());

    let range: FileRange = FileRange::rest_after(have as u64).to_string().parse().unwrap();
    assert_eq!(range.length_in(file.len() as u64), Some((file.len() - have) as u64));
    let (more, complete) = transfer(&file, range.offset(), usize::MAX, &mut hasher);
    assert!(complete);
    assert_eq!(have + more, file.len());
    assert_eq!(hasher.check(&selector), Ok(()));
}

/// The attributes of RFC 5547 figures 2, 10, 12, 14 and 16, on one line each as §6 says.
#[test]
fn the_examples_of_the_rfc() {
    let hash = "hash:sha-1:72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71:91:3E:E4:A2:CE:2E";
    for selector in [
        format!("name:\"My cool picture.jpg\" type:image/jpeg size:32349 {hash}"),
        format!("name:\"My cool picture.jpg\" type:image/jpeg size:4092 {hash}"),
        hash.to_owned(),
        format!("type:image/jpeg {hash}"),
        String::new(),
    ] {
        let attributes = [
            ("accept-types", "message/cpim"),
            ("file-selector", selector.as_str()),
            ("file-transfer-id", "Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE"),
        ];
        let file = FileDescription::parse(attributes).unwrap().unwrap();
        assert!(
            file.attributes()
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .eq(attributes[1..].to_vec())
        );
        assert_eq!(file.selector.is_empty(), selector.is_empty());
    }
}

/// The report about a file waits until its hash is known to be right, and says so if it is not.
#[test]
fn a_report_waits_for_the_application() {
    for (code, reason) in [(200, None), (413, Some((413, "Message Too Large".to_owned())))] {
        let clock = Clock::new();
        let now = clock.now();
        let (mut a, session) = end(&clock, 1, A, B);
        let mut b = Connection::new(Config::default(), [2; 32]);
        let path = |text| MsrpUri::parse_path(text).unwrap();
        let mut config = SessionConfig::new(path(B), path(A), false);
        (config.receive, config.confirm) = (Receive::Streamed, true);
        let there = b.add_session(now, config).unwrap();
        b.handle_input(now, Input::Connected);
        let sent = a.send(now, session, OutgoingMessage::new("image/png", vec![7; 5000])).unwrap();
        let (mut ended, mut fate) = (None, None);
        for round in 0..8 {
            for (from, to) in [(0, 1), (1, 0)] {
                let ends = [&mut a, &mut b];
                let mut written = Vec::new();
                loop {
                    let output = ends[from].poll_output();
                    match output {
                        Output::Write(data) => {
                            ends[from].handle_input(now, Input::Written(data.len()));
                            written.push(data);
                        }
                        Output::Event(Event::DataEnd { message_id, .. }) => ended = Some((round, message_id)),
                        Output::Event(Event::Delivered { .. }) => fate = Some((round, None)),
                        Output::Event(Event::NotDelivered { code, reason, .. }) => {
                            fate = Some((round, Some((code, reason))));
                        }
                        Output::Event(_) | Output::Disconnect => {}
                        Output::Idle(_) => break,
                    }
                }
                for data in written {
                    ends[to].handle_input(now, Input::Received(&data));
                }
            }
            if round == 5 {
                let (_, id) = ended.clone().expect("all of it arrived");
                assert_eq!((id.as_str(), &fate), (sent.as_str(), &None), "nothing is said yet");
                b.confirm(now, there, &id, code).unwrap();
                assert!(b.confirm(now, there, &id, code).is_err(), "once is enough");
            }
        }
        assert_eq!(fate.map(|(_, outcome)| outcome), Some(reason));
    }
}
