//! Messages printed in RFCs: each parses, prints, and parses to the same.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use msrp_cpim::wire::{HeaderName, Message, Method, Start};
use msrp_cpim::{cpim, fuzzing, imdn, inspect};

fn files(kind: &str) -> Vec<(PathBuf, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(kind))
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), Bytes::from(fs::read(path).unwrap()))).collect()
}

fn one(name: &str) -> Bytes {
    files(name).pop().unwrap().1
}

#[test]
fn rfc_messages_round_trip() {
    let files = files(".msrp");
    assert_eq!(files.len(), 36);
    for (path, data) in files {
        let message = Message::parse(&data).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let printed = message.to_bytes();
        assert_eq!(Message::parse(&printed).unwrap(), message, "{}", path.display());
        // RFC 4976 prints folded lines, which become one; all others print the same bytes.
        if !data.windows(3).any(|w| w == b"\r\n ") {
            assert_eq!(printed, data, "{}", path.display());
        }
        fuzzing::stream(&data);
        inspect::msrp(&data).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

#[test]
fn rfc_4975_first_example() {
    let message = Message::parse(&one("rfc4975_01.msrp")).unwrap();
    assert_eq!(message.head.start(), Start::Request(Method::Send, "SEND"));
    assert_eq!(message.head.transaction_id(), "a786hjs2");
    assert_eq!(message.head.message_id(), Some("87652491"));
    assert_eq!(message.head.to_path().unwrap()[0].session_id.as_deref(), Some("kjhd37s2s20w2a"));
    assert_eq!(message.body.as_deref(), Some(&b"Hey Bob, are you there?"[..]));
}

#[test]
fn rfc_4976_paths_unfold() {
    let message = Message::parse(&one("rfc4976_01.msrp")).unwrap();
    assert_eq!(message.head.to_path().unwrap().len(), 3);
    let grant = Message::parse(&one("rfc4976_12.msrp")).unwrap();
    assert_eq!(grant.head.get(HeaderName::Expires), Some("900"));
    assert_eq!(grant.head.path(HeaderName::UsePath).unwrap()[0].session_id.as_deref(), Some("jui787s2f"));
}

#[test]
fn cpim_messages_round_trip() {
    let mut seen = 0;
    for (path, data) in
        files(".cpim").into_iter().filter(|(p, _)| !p.to_string_lossy().contains("as_printed"))
    {
        let message = cpim::Message::parse(&data).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(message.to_bytes(), data, "{}", path.display());
        inspect::cpim(&data).unwrap();
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn rfc_3862_example() {
    let message = cpim::Message::parse(&one("rfc3862_5_1.cpim")).unwrap();
    let from = message.from().unwrap();
    assert_eq!((from.name.as_deref(), from.uri.as_str()), (Some("MR SANDERS"), "im:piglet@100akerwood.com"));
    assert_eq!(message.subject(None).unwrap(), "the weather will be fine today");
    assert_eq!(message.subject(Some("fr")).unwrap(), "beau temps prevu pour aujourd'hui");
    assert_eq!(message.namespaces().collect::<Vec<_>>(), [("MyFeatures", "mid:MessageFeatures@id.foo.com")]);
    assert_eq!(message.required().collect::<Vec<_>>(), ["MyFeatures.VitalMessageOption"]);
    let wacky = message.header_in("mid:MessageFeatures@id.foo.com", "WackyMessageOption").unwrap();
    assert_eq!(wacky.text(), "Use-silly-font");
    assert_eq!(message.content_type(), Some("text/xml; charset=utf-8"));
    assert_eq!(message.mime("content-id"), Some("<1234567890@foo.com>"));
    assert_eq!(message.body(), "<body>\r\nHere is the text of my message.\r\n</body>\r\n");
}

#[test]
fn rfc_5438_without_the_empty_line_is_malformed() {
    for (path, data) in files("as_printed.cpim") {
        assert!(cpim::Message::parse(&data).is_err(), "{}", path.display());
    }
}

#[test]
fn rfc_5438_documents() {
    let mut seen = Vec::new();
    for (path, data) in files(".fixed.cpim") {
        let message = cpim::Message::parse(&data).unwrap();
        if !imdn::is_imdn(&message) {
            let wanted = imdn::requested(&message);
            assert_eq!(wanted, [imdn::Disposition::PositiveDelivery, imdn::Disposition::NegativeDelivery]);
            assert_eq!(imdn::message_id(&message), Some("34jk324j"));
            continue;
        }
        let document =
            imdn::Imdn::parse(message.body()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(document.message_id, "34jk324j");
        assert_eq!(document.original_recipient.as_deref(), Some("im:bob@example.com"));
        fuzzing::imdn(message.body());
        seen.push((document.notification, document.status));
    }
    use imdn::{Notification, Status};
    let expected =
        [(Notification::Delivery, Some(Status::Delivered)), (Notification::Display, Some(Status::Displayed))];
    assert_eq!(seen, expected);
}
