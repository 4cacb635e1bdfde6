//! STUN: a connectivity check of ICE (RFC 8445 §7.1.1), 96 bytes with MESSAGE-INTEGRITY and FINGERPRINT:
//! written, and read and verified. Each peer keeps of its key what its interface lets it keep.

use std::cell::RefCell;
use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use ice_stun::stun as ours;
use sha1::Sha1;
use sipsimple_benches::stun::{PASSWORD, PRIORITY, TIE_BREAKER, TRANSACTION, USERNAME};

use crate::{LIMIT, OURS, Work};

const WRITE: &str = "STUN write, check 96 B";
const READ: &str = "STUN read and verify, check 96 B";

/// Every work of this protocol.
pub fn works() -> Vec<Work> {
    let key = ours::Key::short_term(PASSWORD);
    let bytes = write_ours(Vec::new(), &key);
    let mut works = vec![limit(WRITE), of_ours_write(&key), limit(READ), of_ours_read(&key, &bytes)];
    works.extend(stun_types(&bytes));
    works.extend(rtc_stun(&bytes));
    works.extend(is(&bytes));
    works.extend(ezk(&bytes));
    works.extend(stun_rs(&bytes));
    // The table has a group in one piece.
    works.sort_by_key(|work| work.group == READ);
    works
}

/// The HMAC over what is signed, its pads prepared, and the CRC.
fn limit(group: &'static str) -> Work {
    let mac = Hmac::<Sha1>::new_from_slice(PASSWORD.as_bytes()).expect("any length");
    Work::new(group, LIMIT, move || {
        let mut mac = mac.clone();
        mac.update(black_box(&[7; 64]));
        (mac.finalize().into_bytes(), crc32fast::hash(black_box(&[7; 88])))
    })
}

fn write_ours(buffer: Vec<u8>, key: &ours::Key) -> Vec<u8> {
    ours::Builder::in_buffer(buffer, ours::Class::Request, ours::Method::BINDING, TRANSACTION)
        .attribute(&ours::Username(USERNAME))
        .and_then(|builder| builder.attribute(&ours::Priority(PRIORITY)))
        .and_then(|builder| builder.attribute(&ours::UseCandidate))
        .and_then(|builder| builder.attribute(&ours::IceControlling(TIE_BREAKER)))
        .expect("it fits")
        .finish_with(Some(key), true)
}

fn of_ours_write(key: &ours::Key) -> Work {
    let (key, buffer) = (key.clone(), RefCell::new(Vec::new()));
    Work::new(WRITE, OURS, move || {
        let written = write_ours(buffer.take(), black_box(&key));
        let length = written.len();
        buffer.replace(written);
        length
    })
}

fn of_ours_read(key: &ours::Key, bytes: &[u8]) -> Work {
    let (key, bytes) = (key.clone(), bytes.to_vec());
    Work::new(READ, OURS, move || {
        let message = ours::Message::parse(black_box(&bytes)).expect("a message");
        assert!(message.has_valid_fingerprint() && message.verify(&key));
        let name = message.get::<ours::Username<'_>>().and_then(Result::ok).map(|it| it.0.len());
        (name, message.get::<ours::Priority>().and_then(Result::ok))
    })
}

/// It knows no attributes of ICE by itself; they are added as they stand.
fn stun_types(bytes: &[u8]) -> [Work; 2] {
    use stun_types::attribute::{AttributeType, RawAttribute, Username};
    use stun_types::message::{
        BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWriteVec,
        ShortTermCredentials,
    };
    use stun_types::prelude::*;
    const WHO: &str = "stun-types 2.0.4";
    let key = ShortTermCredentials::new(PASSWORD.to_owned()).make_key();
    let id = TRANSACTION.iter().fold(0_u128, |id, byte| id << 8 | u128::from(*byte));
    let write = move |key: &IntegrityKey| {
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        let mut out = Message::builder(kind, id.into(), MessageWriteVec::with_capacity(128));
        let raw = |kind: u16, value: &[u8]| RawAttribute::new(AttributeType::new(kind), value).into_owned();
        out.add_attribute(&Username::new(USERNAME).expect("short")).expect("it fits");
        out.add_attribute(&raw(0x24, &PRIORITY.to_be_bytes())).expect("it fits");
        out.add_attribute(&raw(0x25, &[])).expect("it fits");
        out.add_attribute(&raw(0x802a, &TIE_BREAKER.to_be_bytes())).expect("it fits");
        out.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1).expect("it fits");
        out.add_fingerprint().expect("it fits");
        out.finish()
    };
    assert_eq!(write(&key), bytes, "{WHO}");
    let (key_again, bytes) = (ShortTermCredentials::new(PASSWORD.to_owned()).make_key(), bytes.to_vec());
    [
        Work::new(WRITE, WHO, move || write(black_box(&key))),
        Work::new(READ, WHO, move || {
            // It checks the fingerprint as it reads.
            let message = Message::from_bytes(black_box(&bytes)).expect("a message");
            message.validate_integrity_with_key(&key_again).expect("it is right");
            let name = message.attribute::<Username>().expect("it is there").username().len();
            (name, message.raw_attribute(AttributeType::new(0x24)).map(|raw| raw.length()))
        }),
    ]
}

fn rtc_stun(bytes: &[u8]) -> [Work; 2] {
    use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
    use rtc_stun::fingerprint::FINGERPRINT;
    use rtc_stun::integrity::MessageIntegrity;
    use rtc_stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
    const WHO: &str = "rtc-stun 0.21.1";
    let provider: &'static _ = Box::leak(Box::new(rtc_crypto::default_provider().expect("ring is built in")));
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(PASSWORD.to_owned(), provider.crypto());
    let write = move |message: &mut Message, integrity: &MessageIntegrity<'_>| {
        message.reset();
        message.typ = BINDING_REQUEST;
        message.transaction_id = TransactionId(TRANSACTION);
        message.write_header();
        message.add(ATTR_USERNAME, USERNAME.as_bytes());
        message.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
        message.add(ATTR_USE_CANDIDATE, &[]);
        message.add(ATTR_ICE_CONTROLLING, &TIE_BREAKER.to_be_bytes());
        integrity.add_to(message).expect("it fits");
        FINGERPRINT.add_to(message).expect("it fits");
    };
    let mut message = Message::new();
    write(&mut message, &integrity);
    assert_eq!(message.raw, bytes, "{WHO}");
    let (message, again, bytes) = (RefCell::new(message), RefCell::new(Message::new()), bytes.to_vec());
    [
        Work::new(WRITE, WHO, move || {
            let mut message = message.borrow_mut();
            write(&mut message, black_box(&integrity));
            message.raw.len()
        }),
        Work::new(READ, WHO, move || {
            let mut message = again.borrow_mut();
            message.unmarshal_binary(black_box(&bytes)).expect("a message");
            FINGERPRINT.check(&message).expect("it is right");
            MessageIntegrity::check(&mut message, PASSWORD.as_bytes(), provider.crypto())
                .expect("it is right");
            (message.get(ATTR_USERNAME).expect("it is there").len(), message.get(ATTR_PRIORITY).is_ok())
        }),
    ]
}

/// The agent of str0m, as a crate of its own. Its request has the same attributes in another order.
fn is(bytes: &[u8]) -> [Work; 2] {
    use is::stun::{StunMessage, TransId};
    use is::{DefaultSha1HmacProvider, Sha1HmacProvider};
    const WHO: &str = "is 0.12.0 (str0m)";
    let hmac = |key: &[u8], parts: &[&[u8]]| DefaultSha1HmacProvider.sha1_hmac(key, parts);
    let id = TransId::new();
    let write = move |buffer: &mut [u8]| {
        let message = StunMessage::binding_request(USERNAME, id, true, TIE_BREAKER, PRIORITY, true);
        message.to_bytes(Some(black_box(PASSWORD.as_bytes())), buffer, hmac).expect("it fits")
    };
    assert_eq!(write(&mut [0; 256]), bytes.len(), "{WHO}");
    let (buffer, bytes) = (RefCell::new([0; 256]), bytes.to_vec());
    [
        Work::new(WRITE, WHO, move || write(&mut *buffer.borrow_mut())),
        Work::new(READ, WHO, move || {
            // It checks the fingerprint as it reads.
            let message = StunMessage::parse(black_box(&bytes)).expect("a message");
            assert!(message.verify(PASSWORD.as_bytes(), hmac));
            (message.username().map(str::len), message.prio())
        }),
    ]
}

fn ezk(bytes: &[u8]) -> [Work; 2] {
    use ezk_stun_types::attributes::{
        Fingerprint, IceControlling, MessageIntegrity, MessageIntegrityKey, Priority, UseCandidate, Username,
    };
    use ezk_stun_types::{Class, Message, MessageBuilder, Method, TransactionId};
    const WHO: &str = "ezk-stun-types 0.3.0";
    let write = || {
        let mut out = MessageBuilder::new(Class::Request, Method::Binding, TransactionId::new(TRANSACTION));
        out.add_attr(Username::new(USERNAME));
        out.add_attr(Priority(PRIORITY));
        out.add_attr(UseCandidate);
        out.add_attr(IceControlling(TIE_BREAKER));
        // It takes the key away, and has no other.
        out.add_attr_with(MessageIntegrity, MessageIntegrityKey::new(black_box(PASSWORD)));
        out.add_attr(Fingerprint);
        out.finish()
    };
    assert_eq!(write(), bytes, "{WHO}");
    let bytes = bytes.to_vec();
    [
        Work::new(WRITE, WHO, write),
        Work::new(READ, WHO, move || {
            let mut message = Message::parse(black_box(bytes.as_slice())).expect("a message");
            message.attribute::<Fingerprint>().expect("it is there").expect("it is right");
            let key = MessageIntegrityKey::new(PASSWORD);
            message.attribute_with::<MessageIntegrity>(key).expect("it is there").expect("it is right");
            let name = message.attribute::<Username>().expect("it is there").expect("text").0.len();
            (name, message.attribute::<Priority>().expect("it is there").expect("a number").0)
        }),
    ]
}

fn stun_rs(bytes: &[u8]) -> [Work; 2] {
    use stun_rs::attributes::ice::{IceControlling, Priority, UseCandidate};
    use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, UserName};
    use stun_rs::methods::BINDING;
    use stun_rs::{
        DecoderContextBuilder, HMACKey, MessageClass, MessageDecoderBuilder, MessageEncoderBuilder,
        StunMessageBuilder, TransactionId,
    };
    const WHO: &str = "stun-rs 0.1.11";
    let key = HMACKey::new_short_term(PASSWORD).expect("a password");
    let encoder = MessageEncoderBuilder::default().build();
    let write_key = key.clone();
    let write = move |buffer: &mut [u8]| {
        let message = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_transaction_id(TransactionId::from(TRANSACTION))
            .with_attribute(UserName::new(USERNAME).expect("a name"))
            .with_attribute(Priority::from(PRIORITY))
            .with_attribute(UseCandidate::default())
            .with_attribute(IceControlling::from(TIE_BREAKER))
            .with_attribute(MessageIntegrity::new(black_box(write_key.clone())))
            .with_attribute(Fingerprint::default())
            .build();
        encoder.encode(buffer, &message).expect("it fits")
    };
    let mut written = [0; 256];
    let length = write(&mut written);
    assert_eq!(&written[..length], bytes, "{WHO}");
    let context = DecoderContextBuilder::default().with_key(key).with_validation().build();
    let decoder = MessageDecoderBuilder::default().with_context(context).build();
    let (buffer, bytes) = (RefCell::new([0; 256]), bytes.to_vec());
    [
        Work::new(WRITE, WHO, move || write(&mut *buffer.borrow_mut())),
        Work::new(READ, WHO, move || {
            let (message, _) = decoder.decode(black_box(&bytes)).expect("it is right");
            let name =
                message.get::<UserName>().and_then(|it| it.as_user_name().ok()).map(|it| it.as_str().len());
            let priority = message.get::<Priority>().and_then(|it| it.as_priority().ok().cloned());
            (name, priority)
        }),
    ]
}
