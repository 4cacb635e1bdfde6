//! Bodies of the fuzz targets, replayed on stable by the tests.

use crate::stun::{
    Builder, ErrorCode, IceControlled, Key, MappedAddress, Message, Nonce, Priority, Realm, Software,
    UnknownAttributes, Username, XorMappedAddress,
};

/// A body: takes any bytes, and panics where something is wrong with us.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[("stun_message", stun_message), ("stun_built", stun_built)];

/// Whatever comes is refused with a place inside it, or every attribute can be asked for; and it
/// survives being written again.
pub fn stun_message(data: &[u8]) {
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.at <= data.len());
            return;
        }
    };
    let _ = message.get::<XorMappedAddress>();
    let _ = message.get::<MappedAddress>();
    let _ = message.get::<Username<'_>>();
    let _ = message.get::<Realm<'_>>();
    let _ = message.get::<Nonce<'_>>();
    let _ = message.get::<Software<'_>>();
    let _ = message.get::<ErrorCode<'_>>();
    let _ = message.get::<UnknownAttributes>();
    let _ = message.get::<Priority>();
    let _ = message.get::<IceControlled>();
    let _ = message.fingerprint();
    assert!(
        !message.verify(&Key::short_term("the fuzzer does not know it")) || message.integrity().is_some()
    );
    let mut copy = Builder::new(message.class(), message.method(), message.transaction_id());
    for raw in message.attributes() {
        match copy.clone().raw(raw.kind, raw.value) {
            Ok(more) => copy = more,
            Err(_) => return,
        }
    }
    let copy = copy.finish();
    let again = Message::parse(&copy).expect("what we write is STUN");
    assert!(
        message
            .attributes()
            .map(|raw| (raw.kind, raw.value))
            .eq(again.attributes().map(|raw| (raw.kind, raw.value)))
    );
}

/// What we build verifies with its key and with no other, and carries what was put in.
pub fn stun_built(data: &[u8]) {
    let text: String = String::from_utf8_lossy(data).chars().take(100).collect();
    let mut transaction_id = [0; 12];
    for (slot, byte) in transaction_id.iter_mut().zip(data) {
        *slot = *byte;
    }
    let key = Key::short_term(&text);
    let class = crate::stun::Class::Request;
    let Ok(builder) =
        Builder::new(class, crate::stun::Method::BINDING, transaction_id).attribute(&Username(&text))
    else {
        return;
    };
    let bytes = builder.finish_with(Some(&key), true);
    let message = Message::parse(&bytes).expect("what we write is STUN");
    assert_eq!(message.get::<Username<'_>>(), Some(Ok(Username(&text))));
    assert!(message.verify(&key) && message.has_valid_fingerprint());
    assert!(!message.verify(&Key::short_term(&format!("{text}x"))));
}
