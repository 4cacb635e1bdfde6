//! Properties: what is made prints and parses to the same, and nothing that is sent does harm.

use proptest::prelude::*;
use sdp::attribute::{Crypto, CryptoSuite, IceUfrag, Label, Mid, Setup};
use sdp::{
    Address, Bandwidth, Codec, Connection, Direction, Formats, Fragment, MediaDescription, MediaKind, Origin,
    Protocol, SessionDescription, Text, Token,
};

fn word() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,12}"
}

fn address() -> impl Strategy<Value = Address> {
    any::<std::net::IpAddr>().prop_map(Address::from)
}

prop_compose! {
    fn codec()(payload_type in 0u8..128, name in "[A-Za-z0-9-]{1,10}", clock_rate in 1u32..200_000, channels in 1u16..8,
               fmtp in proptest::option::of("[a-z0-9=;-]{1,20}")) -> Codec {
        Codec { payload_type, name, clock_rate, channels, fmtp }
    }
}

prop_compose! {
    fn media()(port in any::<u16>(), codecs in proptest::collection::vec(codec(), 1..5), mid in word(),
               connection in proptest::option::of(address()), title in proptest::option::of("[^\r\n\0]{0,20}"),
               direction in 0..4, bandwidth in any::<u64>(), key in any::<[u8; 30]>()) -> MediaDescription {
        let mut media = MediaDescription::new(MediaKind::Audio, port, Protocol::RtpSavp);
        let mut seen = [false; 128];
        let codecs: Vec<_> = codecs
            .into_iter()
            .filter(|codec| !std::mem::replace(&mut seen[usize::from(codec.payload_type)], true))
            .collect();
        media.set_rtp_codecs(&codecs).expect("words");
        assert_eq!(media.rtp_codecs(), codecs);
        media.connections.extend(connection.map(Connection::from));
        media.title = title.map(|title| Text::new(title).expect("one line"));
        media.bandwidth.push(Bandwidth { kind: Token::new("TIAS").expect("a word"), value: bandwidth });
        media.attributes.push(&Mid(mid)).expect("a word");
        media.attributes.push(&Crypto::new(1, CryptoSuite::AesCm128HmacSha1_80, key.to_vec())).expect("base64");
        media.attributes.push(&Direction::new(direction & 1 == 1, direction & 2 == 2)).expect("a flag");
        media
    }
}

prop_compose! {
    fn description()(id in any::<u64>(), version in any::<u64>(), host in address(), name in "[^\r\n\0]{0,20}",
                     media in proptest::collection::vec(media(), 0..4), connection in proptest::option::of(address()))
                     -> SessionDescription {
        let mut description = SessionDescription::new(Origin::new(id, version, host));
        description.name = Text::new(name).expect("one line");
        description.connection = connection.map(Connection::from);
        description.attributes.push(&Setup::ActPass).expect("a word");
        description.media = media;
        description
    }
}

proptest! {
    #[test]
    fn what_is_made_reads_the_same(description in description()) {
        let text = description.to_text();
        let again = SessionDescription::parse_strict(&text).expect("we print what is right");
        prop_assert_eq!(&again, &description);
        prop_assert_eq!(again.to_text(), text);
    }

    #[test]
    fn fragments_read_the_same(media in proptest::collection::vec(media(), 0..4), ufrag in word()) {
        let pseudo = |media: MediaDescription| {
            let mut bare = MediaDescription::new(media.media, media.port, media.protocol);
            (bare.formats, bare.attributes) = (media.formats, media.attributes);
            bare
        };
        let mut fragment = Fragment { media: media.into_iter().map(pseudo).collect(), ..Fragment::new() };
        fragment.attributes.push(&IceUfrag(ufrag)).expect("a word");
        prop_assert_eq!(Fragment::parse(&fragment.to_string()), Ok(fragment));
    }

    #[test]
    fn fragments_of_any_text_do_no_harm(text in "(([acmx])=[ -~é]{0,20}\r?\n|a=mid:[a-c]\r\n){0,12}[ -~]{0,6}") {
        sdp::fuzzing::fragment(text.as_bytes());
    }

    #[test]
    fn any_text_is_printed_back(text in "(v=0\r?\n)?([vosiuepcbtrzkamx]=[ -~é]{0,20}\r?\n|[ -~]{0,5}\n){0,12}[ -~]{0,6}") {
        sdp::fuzzing::description(text.as_bytes());
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in sdp::fuzzing::TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn no_setter_adds_a_line(text in "[ -~\r\n\0]{0,30}", description in description()) {
        let lines = |description: &SessionDescription| description.to_text().lines().count();
        let mut description = description;
        let before = lines(&description);
        if let Ok(text) = Text::new(&text) {
            description.name = text;
        }
        if let Ok(word) = Token::new(&text) {
            description.origin.username = word;
        }
        if let Ok(host) = Address::new(&text) {
            description.origin.address = host;
        }
        if let Some(media) = description.media.first_mut() {
            let _ = media.formats.push(&text);
            if let Ok(formats) = Formats::new([&text]) {
                media.formats = formats;
            }
            if let Ok(kind) = MediaKind::new(&text) {
                media.media = kind;
            }
            if let Ok(protocol) = Protocol::new(&text) {
                media.protocol = protocol;
            }
        }
        prop_assert_eq!(lines(&description), before);
        let pushed = description.attributes.push_text("x", Some(&text)).is_ok();
        let named = description.attributes.push_text(&text, None).is_ok();
        let label = description.attributes.push(&Label(text)).is_ok();
        prop_assert_eq!(lines(&description), before + usize::from(pushed) + usize::from(named) + usize::from(label));
    }

    #[test]
    fn offers_and_answers_in_any_order(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        sdp::fuzzing::negotiation(&bytes);
    }
}
