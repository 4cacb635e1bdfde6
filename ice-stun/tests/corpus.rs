//! The vectors of RFC 5769, and what other stacks' fuzzers found.

use std::path::{Path, PathBuf};

use ice_stun::stun::{
    Builder, Class, IceControlled, Integrity, Key, Kind, Message, Method, Nonce, Priority, Realm, Software,
    Userhash, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use ice_stun::{ErrorKind, fuzzing};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_request_of_rfc_5769() {
    let bytes = vector("request.bin");
    let message = Message::parse(&bytes).expect("RFC 5769 §2.1");
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.get(), Some(Ok(Software("STUN test client"))));
    assert_eq!(message.get(), Some(Ok(Username("evtj:h6vY"))));
    assert_eq!(message.get(), Some(Ok(Priority(0x6e00_01ff))));
    assert_eq!(message.get(), Some(Ok(IceControlled(0x932f_f9b1_5126_3b36))));
    assert!(message.has_valid_fingerprint() && message.verify(&Key::short_term(PASSWORD)));
    assert!(!message.verify(&Key::short_term("another")));
}

#[test]
fn the_responses_of_rfc_5769() {
    for (name, address) in [
        ("response_ipv4.bin", "192.0.2.1:32853"),
        ("response_ipv6.bin", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let bytes = vector(name);
        let message = Message::parse(&bytes).expect("RFC 5769 §2.2, §2.3");
        assert_eq!(message.class(), Class::Success);
        let address = address.parse().expect("an address");
        assert_eq!(message.get(), Some(Ok(XorMappedAddress(address))));
        assert_eq!(message.get(), Some(Ok(Software("test vector"))));
        assert!(message.has_valid_fingerprint() && message.verify(&Key::short_term(PASSWORD)));
    }
}

#[test]
fn the_long_term_request_of_rfc_5769() {
    let bytes = vector("request_longterm.bin");
    let message = Message::parse(&bytes).expect("RFC 5769 §2.4");
    let username = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    assert_eq!(message.get(), Some(Ok(Username(username))));
    assert_eq!(message.get(), Some(Ok(Nonce("f//499k954d6OL34oL9FSTvy64sA"))));
    assert_eq!(message.get(), Some(Ok(Realm("example.org"))));
    assert!(message.verify(&Key::long_term(username, "example.org", "TheMatrIX")));
    assert_eq!(message.fingerprint(), None);
}

/// The other way: what we build is the vector, to the byte, where its padding is zeros.
#[test]
fn the_long_term_request_is_built_to_the_byte() {
    let expected = vector("request_longterm.bin");
    let username = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    let id = Message::parse(&expected).expect("RFC 5769 §2.4").transaction_id();
    let built = Builder::new(Class::Request, Method::BINDING, id)
        .attribute(&Username(username))
        .and_then(|builder| builder.attribute(&Nonce("f//499k954d6OL34oL9FSTvy64sA")))
        .and_then(|builder| builder.attribute(&Realm("example.org")))
        .expect("they fit")
        .finish_with(Some(&Key::long_term(username, "example.org", "TheMatrIX")), false);
    assert_eq!(built, expected);
}

/// The others pad with spaces: their attributes are written again as they stand, and signed anew.
#[test]
fn the_other_vectors_are_signed_as_they_are() {
    for name in ["request.bin", "response_ipv4.bin", "response_ipv6.bin"] {
        let bytes = vector(name);
        let message = Message::parse(&bytes).expect("RFC 5769");
        let key = Key::short_term(PASSWORD);
        let mut builder = Builder::new(message.class(), message.method(), message.transaction_id());
        let signature = |kind| matches!(kind, Kind::MESSAGE_INTEGRITY | Kind::FINGERPRINT);
        for raw in message.attributes().filter(|raw| !signature(raw.kind)) {
            builder = builder.raw(raw.kind, raw.value).expect("it fits");
        }
        let built = builder.finish_with(Some(&key), true);
        let again = Message::parse(&built).expect("what we write is STUN");
        assert!(again.verify(&key) && again.has_valid_fingerprint(), "{name}");
        assert_eq!(built.len(), bytes.len(), "{name}");
    }
}

/// RFC 8489 B.1 as printed: its length counts the header, and its HMAC covers that wrong length.
#[test]
fn the_example_of_rfc_8489_b_1_is_refused_as_printed() {
    let username = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    let (realm, nonce) = ("example.org", "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
    let id = [0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e];
    let key = Key::long_term(username, realm, "TheMatrIX");
    let ours = Builder::new(Class::Request, Method::BINDING, id)
        .attribute(&Userhash::new(username, realm))
        .and_then(|builder| builder.attribute(&Nonce(nonce)))
        .and_then(|builder| builder.attribute(&Realm(realm)))
        .expect("they fit")
        .finish_as(Some((&key, Integrity::Sha256)), false);
    let hmac = "e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01";
    let hash = "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704";
    let message = Message::parse(&ours).expect("what we write is STUN");
    assert!(message.verify(&key) && message.has_integrity(Integrity::Sha256));
    assert_eq!(message.get(), Some(Ok(Userhash::new(username, realm))));
    assert_eq!(hex(&Userhash::new(username, realm).0), hash);
    let mut printed = ours.clone();
    printed[3] = 0x9c;
    let at = printed.len() - 32;
    for (byte, pair) in printed[at..].iter_mut().zip(hmac.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    }
    let error = Message::parse(&printed).expect_err("its length is wrong");
    assert_eq!((error.at, error.kind), (2, ErrorKind::Length));
    // With the length that it has, the printed HMAC does not verify.
    printed[3] = 0x88;
    assert_eq!(printed[..at], ours[..at], "all else is as printed");
    let message = Message::parse(&printed).expect("the length is right now");
    assert!(!message.verify(&key));
    assert!(!message.verify(&Key::long_term_sha256(username, realm, "TheMatrIX")));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_prefix_of_a_message_is_refused() {
    let bytes = vector("request.bin");
    for end in 0..bytes.len() {
        let error = Message::parse(&bytes[..end]).expect_err("it is cut");
        let kind = if end < 20 { ErrorKind::Truncated } else { ErrorKind::Length };
        assert_eq!(error.kind, kind, "{end}");
    }
}

/// Peers' seeds are read where they are: they are not ours to ship.
#[test]
fn seeds_of_other_stacks_do_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/stun-seeds");
    let mut files = Vec::new();
    collect(&folder, &mut files);
    if files.is_empty() {
        println!("LEFT OUT: the seeds of other stacks are not here");
        return;
    }
    for file in files {
        let data = std::fs::read(&file).expect("a seed can be read");
        // Messages mean nothing to those whose data are operations.
        for (_, target) in fuzzing::TARGETS.iter().filter(|(name, _)| name.starts_with("stun_")) {
            target(&data);
            for end in (0..data.len()).step_by(data.len() / 64 + 1) {
                target(&data[..end]);
            }
        }
    }
}

/// What another stack read in those seeds: what it takes we take, with the same header and addresses.
#[test]
fn seeds_of_other_stacks_mean_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/stun-seeds");
    let Ok(oracle) = std::fs::read_to_string(folder.join("aioice_oracle.json")) else {
        println!("LEFT OUT: the seeds of other stacks are not here");
        return;
    };
    let oracle: serde_json::Value = serde_json::from_str(&oracle).expect("the oracle is JSON");
    let (mut taken, mut addresses) = (0, 0);
    for (name, expected) in oracle.as_object().expect("a map of files") {
        let data = std::fs::read(folder.join(name)).expect("a seed can be read");
        let message = Message::parse(&data);
        if expected["ok"] != true {
            // It knows fewer methods than 4,096, which is no fault of a message.
            if !expected["error"].as_str().is_some_and(|error| error.contains("not a valid Method")) {
                assert!(message.is_err(), "{name}");
            }
            continue;
        }
        let message = match message {
            Ok(message) => message,
            // It does not look at the cookie, and reads on where an attribute says more than there is.
            Err(error) => {
                let classic = data[4..8] != [0x21, 0x12, 0xa4, 0x42];
                let kind = if classic { ErrorKind::NotStun } else { ErrorKind::Length };
                assert_eq!(error.kind, kind, "{name}");
                continue;
            }
        };
        taken += 1;
        let class = match message.class() {
            Class::Request => "REQUEST",
            Class::Indication => "INDICATION",
            Class::Success => "RESPONSE",
            Class::Error => "ERROR",
        };
        let method = message.method().name().unwrap_or_default().replace('P', "_P").replace('_', "");
        let theirs = expected["method"].as_str().unwrap_or_default().replace('_', "");
        assert_eq!(
            (class, method.to_uppercase()),
            (expected["class"].as_str().unwrap_or_default(), theirs),
            "{name}"
        );
        assert_eq!(Some(hex(&message.transaction_id()).as_str()), expected["tid"].as_str(), "{name}");
        let attributes = &expected["attrs"];
        let address = |what: &str| {
            let (ip, port) = (attributes[what][0].as_str()?, attributes[what][1].as_u64()?);
            Some(std::net::SocketAddr::new(ip.parse().ok()?, u16::try_from(port).ok()?))
        };
        if let Some(theirs) = address("XOR-MAPPED-ADDRESS") {
            assert_eq!(message.get(), Some(Ok(XorMappedAddress(theirs))), "{name}");
            addresses += 1;
        }
        if let Some(theirs) = address("XOR-PEER-ADDRESS") {
            // Of several it keeps the last.
            let last = message.attributes().filter(|raw| raw.kind == Kind::XOR_PEER_ADDRESS).last();
            assert_eq!(last.map(|raw| raw.read(&message)), Some(Ok(XorPeerAddress(theirs))), "{name}");
            addresses += 1;
        }
        if let Some(theirs) = address("XOR-RELAYED-ADDRESS") {
            assert_eq!(message.get(), Some(Ok(XorRelayedAddress(theirs))), "{name}");
            addresses += 1;
        }
        if let Some(theirs) = attributes["USERNAME"].as_str() {
            assert_eq!(message.get(), Some(Ok(Username(theirs))), "{name}");
        }
    }
    assert!(taken > 30 && addresses > 10, "{taken} {addresses}");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// The targets' own seeds, and every prefix of them.
#[test]
fn seeds_of_our_own_do_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in fuzzing::TARGETS {
        let mut files = Vec::new();
        collect(&folder.join(name), &mut files);
        assert!(!files.is_empty(), "{name} has no seed");
        for file in files {
            let data = std::fs::read(&file).expect("a seed can be read");
            for end in 0..=data.len() {
                target(&data[..end]);
            }
        }
    }
}
