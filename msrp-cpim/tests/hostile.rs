//! What must be withstood: cut messages, and line ends, quotes and lengths through our own interfaces.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use msrp_cpim::cpim::{self, Address};
use msrp_cpim::file::{FileDates, FileDescription, FileSelector, FileType};
use msrp_cpim::imdn::{self, Disposition, Imdn};
use msrp_cpim::iscomposing::IsComposing;
use msrp_cpim::wire::{FailureReport, Head, HeaderName, Message, Method};
use msrp_cpim::{
    AuthConfig, Config, Connection, Input, MsrpUri, OutgoingMessage, Output, SessionConfig, fuzzing,
};
use testkit::Clock;

/// Every prefix of every message of the corpus and of the seeds, through every target: nothing panics, and no prefix of a
/// frame is a frame.
#[test]
fn every_prefix_of_valid_messages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let files = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    };
    let mut swept = 0;
    for path in files(&folder) {
        let data = Bytes::from(fs::read(&path).unwrap());
        let kind = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        for length in 0..data.len() {
            let prefix = data.slice(..length);
            match kind.as_str() {
                "msrp" => {
                    assert!(Message::parse(&prefix).is_err(), "{} to {length}", path.display());
                }
                "cpim" => drop(cpim::Message::parse(&prefix)),
                _ => break,
            }
            swept += 1;
        }
    }
    for (name, target) in fuzzing::TARGETS {
        for path in files(&seeds.join(name)) {
            let data = fs::read(&path).unwrap();
            // Machines cost more than parsers.
            let step = if matches!(*name, "msrp_connection" | "msrp_relay") { 7 } else { 1 };
            for length in (0..data.len().min(2_000)).step_by(step) {
                target(&data[..length]);
                swept += 1;
            }
        }
    }
    assert!(swept > 10_000, "{swept}");
}

fn evil() -> Vec<String> {
    let mut evil: Vec<String> = [
        "a\r\nEvil: 1",
        "a\nEvil: 1",
        "a\rEvil: 1",
        "\r\n\r\nbody",
        "a\0b",
        "\"",
        "a\"b\\",
        "\\",
        "<a>",
        "a> <b",
        "a;b=c",
        "a b",
        "-------abcd$\r\n",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "%0d%0a",
        "",
        " ",
        "\t",
        "a:b",
        "ü",
    ]
    .map(str::to_owned)
    .to_vec();
    evil.push("x".repeat(64 * 1024));
    evil.push("\"".repeat(64 * 1024));
    evil
}

/// Names and values of the header fields of a head as it reads when it was printed, and nothing behind it.
fn fields(text: &str) -> usize {
    let message = format!("{text}-------abcd1234$\r\n");
    let message = Message::parse(&Bytes::from(message)).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    message.head.headers().count()
}

#[test]
fn heads_take_nothing_that_is_another_line() {
    for evil in evil() {
        let mut head = Head::request("abcd1234", Method::Send).unwrap();
        let mut pushed = 0;
        pushed += usize::from(head.push(HeaderName::MessageId, &evil).is_ok());
        pushed += usize::from(head.push_other("X-Any", &evil).is_ok());
        pushed += usize::from(head.push_other(&evil, "value").is_ok());
        if head.as_str().len() < 16 * 1024 {
            assert_eq!(fields(head.as_str()), pushed, "{evil:?}");
        }
        assert!(Head::request(&evil, Method::Send).is_err());
        if let Ok(head) = Head::response("abcd1234", 200, &evil) {
            assert!(head.as_str().len() > 16 * 1024 || fields(head.as_str()) == 0, "{evil:?}");
        }
    }
}

/// Everything that a caller can say to a connection: an error, or exactly the frames that it asked for.
#[test]
fn connections_write_nothing_that_was_not_asked_for() {
    let path = |text: &str| MsrpUri::parse_path(text).unwrap();
    let now = Clock::new().now();
    for evil in evil() {
        let mut machine = Connection::new(Config::default(), [1; 32]);
        machine.handle_input(now, Input::Connected);
        let local = path("msrp://a.example:1001/alice;tcp");
        let remote = path("msrp://b.example:1002/bob;tcp");
        let mut frames = 0;
        let plain = SessionConfig::new(local.clone(), remote.clone(), true);
        let session = machine.add_session(now, plain).unwrap();
        frames += 1;
        // Paths that never were text.
        let uri = MsrpUri::new(false, "c.example", 1003, evil.as_str());
        let hosted = MsrpUri::new(false, evil.as_str(), 1003, "c");
        let transport = MsrpUri { transport: evil.clone(), ..uri.clone() };
        let user = MsrpUri { user: Some(evil.clone()), ..MsrpUri::new(false, "d", 1, "d") };
        let parameter = MsrpUri {
            parameters: vec![(evil.clone(), Some(evil.clone()))],
            ..MsrpUri::new(false, "e", 1, "e")
        };
        for uri in [uri, hosted, transport, user, parameter] {
            for (local, remote) in
                [(vec![uri.clone()], remote.clone()), (path("msrp://f:1/f;tcp"), vec![uri.clone()])]
            {
                if let Ok(session) = machine.add_session(now, SessionConfig::new(local, remote, true)) {
                    frames += 1;
                    machine.close_session(now, session).unwrap();
                }
            }
            let auth = AuthConfig { relay: vec![uri.clone()], local: local[0].clone(), expires: None };
            frames += usize::from(machine.auth(now, auth).is_ok());
            let auth = AuthConfig { relay: remote.clone(), local: uri, expires: None };
            frames += usize::from(machine.auth(now, auth).is_ok());
        }
        let message = || OutgoingMessage {
            failure_report: FailureReport::No,
            ..OutgoingMessage::new("text/plain", "hi")
        };
        for outgoing in [
            OutgoingMessage { message_id: Some(evil.clone()), ..message() },
            OutgoingMessage { content_type: evil.clone(), ..message() },
            OutgoingMessage { headers: vec![("X-Any".to_owned(), evil.clone())], ..message() },
            OutgoingMessage { headers: vec![(evil.clone(), "value".to_owned())], ..message() },
        ] {
            frames += usize::from(machine.send(now, session, outgoing).is_ok());
        }
        frames += usize::from(machine.nickname(now, session, &evil).is_ok());
        let mut written = Vec::new();
        loop {
            match machine.poll_output() {
                Output::Idle(_) => break,
                Output::Write(data) => {
                    written.extend_from_slice(&data);
                    machine.handle_input(now, Input::Written(data.len()));
                }
                Output::Event(_) | Output::Disconnect => {}
            }
        }
        // What is longer than a head may be is only counted.
        if evil.len() > 10_000 {
            continue;
        }
        let mut rest = Bytes::from(written);
        let mut found = 0;
        while !rest.is_empty() {
            let (frame, length) =
                Message::parse_first(&rest).unwrap_or_else(|e| panic!("{e}: {evil:?} {rest:?}"));
            assert!(frame.head.get_named("Evil").is_none(), "{evil:?}");
            let _ = rest.split_to(length);
            found += 1;
        }
        assert_eq!(found, frames, "{evil:?}");
    }
}

#[test]
fn cpim_and_documents_take_nothing_that_is_another_line() {
    for evil in evil() {
        let mut message = cpim::Message::new("text/plain", "body").unwrap();
        let address =
            |name: Option<&str>, uri: &str| Address { name: name.map(str::to_owned), uri: uri.to_owned() };
        let mut headers = 0;
        for done in [
            message.push("Subject", &evil),
            message.push(&evil, "value"),
            message.push_address("To", &address(Some(&evil), "im:a@b")),
            message.push_address("To", &address(None, &evil)),
            message.push_address(&evil, &address(None, "im:a@b")),
            message.push_subject(Some(&evil), "subject"),
            message.push_subject(Some("fr"), &evil),
            message.push_namespace(&evil, "urn:x"),
            message.push_namespace("x", &evil),
            imdn::request(&mut message, &evil, &[]),
        ] {
            headers += usize::from(done.is_ok());
        }
        let mut mime = 1;
        mime += usize::from(message.push_mime("Content-ID", &evil).is_ok());
        mime += usize::from(message.push_mime(&evil, "value").is_ok());
        let printed = message.to_bytes();
        if printed.len() < cpim::MAX_HEAD {
            let again = cpim::Message::parse(&printed).unwrap();
            // A request for notifications is a declaration and an identifier.
            let declared =
                again.headers().filter(|header| header.raw == "imdn <urn:ietf:params:imdn>").count();
            assert_eq!(again.headers().count(), headers + declared, "{evil:?}");
            assert_eq!(again.mime_headers().count(), mime, "{evil:?}");
            assert_eq!(again.body(), "body", "{evil:?}");
            assert!(again.header("Evil").is_none() && again.mime("Evil").is_none(), "{evil:?}");
        }
        if let Ok(message) = cpim::Message::new(&evil, "body") {
            assert_eq!(message.mime_headers().count(), 1, "{evil:?}");
        }
        let mut asked = cpim::Message::new("text/plain", "body").unwrap();
        asked.push_address("From", &address(None, "im:a@b")).unwrap();
        imdn::request(&mut asked, "m1", &[Disposition::PositiveDelivery]).unwrap();
        let told = imdn::notify(
            &asked,
            &address(Some(&evil), "im:b@c"),
            "m2",
            imdn::Notification::Delivery,
            imdn::Status::Delivered,
        );
        let told = told.unwrap().expect("it was asked for");
        let mut document = Imdn::parse(told.body()).unwrap();
        document.date_time.clone_from(&evil);
        document.recipient = Some(evil.clone());
        document.subject = Some((Some(evil.clone()), evil.clone()));
        let again = Imdn::parse(document.to_xml().as_bytes());
        assert!(
            again.is_ok_and(|again| again.message_id == "m1")
                || evil.len() > 10_000
                || evil.chars().any(char::is_control),
            "{evil:?}"
        );
        let composing = IsComposing {
            last_active: Some(evil.clone()),
            content_type: Some(evil.clone()),
            ..IsComposing::new(true)
        };
        let again = IsComposing::parse(composing.to_xml().as_bytes());
        assert!(
            again.is_ok_and(|again| again.active)
                || evil.len() > 10_000
                || evil.chars().any(char::is_control),
            "{evil:?}"
        );
    }
}

#[test]
fn descriptions_of_files_stay_within_their_lines() {
    for evil in evil() {
        let description = FileDescription {
            selector: FileSelector {
                name: Some(evil.clone()),
                media_type: Some(FileType {
                    essence: evil.clone(),
                    parameters: vec![(evil.clone(), evil.clone())],
                }),
                size: Some(1),
                hashes: Vec::new(),
                other: vec![evil.clone()],
            },
            disposition: Some(evil.clone()),
            dates: Some(FileDates {
                creation: Some(evil.clone()),
                modification: None,
                read: Some(evil.clone()),
            }),
            ..FileDescription::default()
        };
        for (name, value) in description.attributes() {
            assert!(!value.contains(['\r', '\n', '\0']), "{name} of {evil:?}: {value:?}");
        }
        assert!(FileType::new(&evil).is_err(), "{evil:?}");
        let kind = FileType { essence: evil.clone(), parameters: Vec::new() };
        assert_eq!(kind.content_type(), "application/octet-stream");
    }
}
