//! Bodies of the fuzz targets, replayed on stable by the tests.

mod connections;
mod machines;

use crate::stun::{
    AddressErrorCode, AlternateDomain, AlternateServer, Builder, ChangeRequest, ChannelData, ChannelNumber,
    Data, ErrorCode, EvenPort, Frame, IceControlled, Icmp, Key, Lifetime, MappedAddress, Message, Nonce,
    OtherAddress, PasswordAlgorithm, PasswordAlgorithms, Priority, Realm, RequestedAddressFamily,
    RequestedTransport, ReservationToken, ServerUri, Software, StreamDecoder, UnknownAttributes, Userhash,
    Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};

/// A body: takes any bytes, and panics where something is wrong with us.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("stun_message", stun_message),
    ("stun_built", stun_built),
    ("stun_stream", stun_stream),
    ("stun_uri", stun_uri),
    ("stun_server", machines::stun_server),
    ("turn_world", machines::turn_world),
    ("turn_connections", connections::turn_connections),
    ("ice_candidate", crate::ice::fuzzing::ice_candidate),
    ("ice_agent", crate::ice::fuzzing::ice_agent),
];

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
    let _ = message.get::<Userhash>();
    let _ = message.get::<PasswordAlgorithm>();
    let _ = message.get::<PasswordAlgorithms<'_>>().map(|list| list.map(|list| list.iter().count()));
    let _ = message.get::<AlternateServer>();
    let _ = message.get::<AlternateDomain<'_>>();
    let _ = message.get::<AddressErrorCode<'_>>();
    let _ = message.get::<ChannelNumber>();
    let _ = message.get::<Lifetime>();
    let _ = message.get::<XorPeerAddress>();
    let _ = message.get::<XorRelayedAddress>();
    let _ = message.get::<Data<'_>>();
    let _ = message.get::<EvenPort>();
    let _ = message.get::<RequestedTransport>();
    let _ = message.get::<RequestedAddressFamily>();
    let _ = message.get::<ReservationToken>();
    let _ = message.get::<Icmp>();
    let _ = message.get::<ChangeRequest>();
    let _ = message.get::<OtherAddress>();
    // Asked for one by one or walked through: the first that counts is the same.
    for raw in message.attributes() {
        let first = message.attributes().find(|other| other.kind == raw.kind);
        assert_eq!(first, message.first(raw.kind));
    }
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

/// Frames do not depend on how the stream was cut, and what was a frame is one alone.
pub fn stun_stream(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let whole = frames(data, data.len());
    assert_eq!(whole, frames(data, usize::from(*size)));
    for frame in &whole.0 {
        assert_eq!(frames(frame, frame.len()).0, std::slice::from_ref(frame));
    }
}

/// The frames of a stream that comes in pieces of that size, padded as on a stream, and its fault.
fn frames(data: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<crate::ParseError>) {
    let mut decoder = StreamDecoder::new();
    let mut frames = Vec::new();
    for piece in data.chunks(size.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Stun(bytes))) => frames.push(bytes.to_vec()),
                Ok(Some(Frame::ChannelData(frame))) => {
                    let mut out = Vec::new();
                    frame.write(true, &mut out).expect("it was read");
                    assert_eq!(ChannelData::parse(&out), Ok(frame));
                    frames.push(out);
                }
                Ok(None) => break,
                Err(fault) => return (frames, Some(fault)),
            }
        }
    }
    (frames, None)
}

/// What is a URI prints as one that means the same; what is none says where.
pub fn stun_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<ServerUri>() {
        Ok(uri) => {
            assert_eq!(uri.to_string().parse(), Ok(uri.clone()));
            assert!(uri.lookups().len() <= 2);
        }
        Err(error) => assert!(error.at <= text.len()),
    }
}
