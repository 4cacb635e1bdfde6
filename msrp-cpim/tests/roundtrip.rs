//! Properties of the wire formats.

use bytes::Bytes;
use msrp_cpim::chunk::Reassembler;
use msrp_cpim::wire::{Flag, Head, HeaderName, Message, Method};
use msrp_cpim::{cpim, fuzzing};
use proptest::prelude::*;

fn message() -> impl Strategy<Value = Message> {
    let piece = prop_oneof![
        Just(b"\r\n-------tidx".to_vec()),
        Just(b"\r\n-------tidx$".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n---".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let body = proptest::option::of(proptest::collection::vec(piece, 0..8));
    let flag = prop_oneof![Just(Flag::End), Just(Flag::More), Just(Flag::Abort)];
    (body, flag, "[ -~]{0,40}").prop_map(|(body, flag, value)| {
        let mut head = Head::request("tidx", Method::Send).unwrap();
        head.push(HeaderName::ToPath, "msrp://a:1/b;tcp").unwrap();
        head.push_other("X-Other", value.trim()).unwrap();
        let body: Option<Vec<u8>> = body.map(|pieces| pieces.concat());
        // RFC 4975 §7.1: the sender sees to it that its end-line is not in the body.
        let body = body.map(|mut body| {
            while let Some(at) = body.windows(14).position(|w| w.starts_with(b"\r\n-------tidx")) {
                body[at + 9] = b'T';
            }
            Bytes::from(body)
        });
        if body.is_some() {
            head.push(HeaderName::ContentType, "a/b").unwrap();
        }
        Message { head, body, flag }
    })
}

proptest! {
    #[test]
    fn messages_round_trip(message in message()) {
        let printed = message.to_bytes();
        prop_assert_eq!(Message::parse(&printed).unwrap(), message);
    }

    #[test]
    fn chunking_does_not_matter(messages in proptest::collection::vec(message(), 1..4), step in 1_usize..50) {
        let stream: Vec<u8> = messages.iter().flat_map(|m| m.to_bytes().to_vec()).collect();
        let whole = fuzzing::decode(&stream, stream.len());
        prop_assert_eq!(whole.len(), messages.len() * 2);
        prop_assert_eq!(&whole, &fuzzing::decode(&stream, step));
        prop_assert_eq!(&whole, &fuzzing::decode(&stream, 1));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in fuzzing::TARGETS {
            target(&data);
        }
    }

    #[test]
    fn cpim_values_round_trip(value in "\\PC{0,40}", control in any::<char>(), body in ".{0,50}") {
        let value = format!("{value}{control}");
        let mut message = cpim::Message::new("text/plain", body.clone()).unwrap();
        message.push("X", &value).unwrap();
        let again = cpim::Message::parse(&message.to_bytes()).unwrap();
        prop_assert_eq!(again.header("X").unwrap().text(), value);
        prop_assert_eq!(&again, &message);
        prop_assert_eq!(again.body(), body.as_bytes());
    }

    /// Against the plain model: a buffer into which every chunk is copied.
    #[test]
    fn reassembly_is_a_buffer(
        pieces in proptest::collection::vec((0_usize..200, proptest::collection::vec(any::<u8>(), 1..60)), 1..40),
    ) {
        let mut model = vec![None; 300];
        let mut whole = Reassembler::new(300, 1000);
        for (at, data) in &pieces {
            whole.insert(*at as u64, data).unwrap();
            for (slot, byte) in model[*at..].iter_mut().zip(data) {
                *slot = Some(*byte);
            }
        }
        let total = model.iter().rposition(Option::is_some).unwrap() + 1;
        whole.set_total(total as u64).unwrap();
        let expected: Option<Vec<u8>> = model[..total].iter().copied().collect();
        prop_assert_eq!(whole.is_complete(), expected.is_some());
        if let Some(expected) = expected {
            prop_assert_eq!(whole.into_bytes(), expected);
        }
    }
}
