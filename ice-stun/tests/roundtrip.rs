//! Properties: what is built reads back, what is changed does not verify.

use std::net::SocketAddr;

use ice_stun::fuzzing;
use ice_stun::stun::{
    Builder, Class, ErrorCode, Integrity, Key, Kind, Message, Method, Realm, UnknownAttributes,
    XorMappedAddress,
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn anything_is_refused_or_read(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in fuzzing::TARGETS {
            target(&data);
        }
    }

    #[test]
    fn addresses_read_back(address: SocketAddr, id: [u8; 12]) {
        // Scope and flow label of IPv6 are not on the wire.
        let address = SocketAddr::new(address.ip(), address.port());
        let bytes = Builder::new(Class::Success, Method::BINDING, id)
            .attribute(&XorMappedAddress(address)).expect("an address fits").finish();
        let message = Message::parse(&bytes).expect("what we write is STUN");
        prop_assert_eq!(message.get::<XorMappedAddress>(), Some(Ok(XorMappedAddress(address))));
    }

    #[test]
    fn errors_read_back(code in 300_u16..700, reason in ".{0,50}", kinds in proptest::collection::vec(any::<u16>(), 0..9)) {
        let kinds: Vec<Kind> = kinds.into_iter().map(Kind).collect();
        let bytes = Builder::new(Class::Error, Method::ALLOCATE, [1; 12])
            .attribute(&ErrorCode { code, reason: &reason }).expect("it fits")
            .attribute(&UnknownAttributes(kinds.clone())).expect("it fits")
            .attribute(&Realm("example.org")).expect("it fits")
            .finish();
        let message = Message::parse(&bytes).expect("what we write is STUN");
        prop_assert_eq!(message.get::<ErrorCode<'_>>(), Some(Ok(ErrorCode { code, reason: &reason })));
        prop_assert_eq!(message.get::<UnknownAttributes>(), Some(Ok(UnknownAttributes(kinds))));
    }

    #[test]
    fn a_changed_bit_does_not_verify(at in 0_usize..640, sha256: bool) {
        let key = Key::long_term("user", "realm", "password");
        let integrity = if sha256 { Integrity::Sha256 } else { Integrity::Sha1 };
        let mut bytes = Builder::new(Class::Request, Method::BINDING, [7; 12])
            .attribute(&Realm("realm")).expect("it fits")
            .finish_as(Some((&key, integrity)), false);
        prop_assert!(Message::parse(&bytes).is_ok_and(|message| message.verify(&key)));
        let at = at % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert!(!Message::parse(&bytes).is_ok_and(|message| message.verify(&key)));
    }
}
