//! Properties: what is built or read prints, and reads again as the same.

use bytes::Bytes;
use proptest::prelude::*;
use sip_core::{
    Frame, Host, Limits, Message, Method, NameAddr, Params, Request, StatusCode, Uri, fuzzing,
    header::{CSeq, CallId, Contact, From, MaxForwards, Route, Subject, To, TypedHeader, Via, Warning},
};

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z][a-z0-9]{0,5}){0,2}".prop_map(|name| Host::Name(name.into())),
        any::<std::net::Ipv4Addr>().prop_map(Host::Ipv4),
        any::<std::net::Ipv6Addr>().prop_map(Host::Ipv6),
    ]
}

prop_compose! {
    fn uri()(user in proptest::option::of(any::<String>().prop_filter("not empty", |u| !u.is_empty())), host in host(),
             port in proptest::option::of(any::<u16>()), params in proptest::collection::vec((token(), proptest::option::of(any::<String>())), 0..3)) -> Uri {
        let mut uri = Uri::sip(user.as_deref(), &host, port).expect("a URI");
        for (name, value) in params {
            uri = uri.with_param(&name, value.as_deref()).expect("a parameter");
        }
        uri
    }
}

prop_compose! {
    fn name_addr()(name in proptest::option::of("[^\r\n\0]{0,20}"), uri in uri(), params in proptest::collection::vec((token(), "[^\r\n\0]{0,10}"), 0..3)) -> NameAddr {
        let mut addr = NameAddr::new(uri);
        addr.display_name = name.map(Into::into);
        for (name, value) in params {
            addr.params.set(&name, &value).expect("a parameter");
        }
        addr
    }
}

fn same<H: TypedHeader + PartialEq + std::fmt::Debug>(header: &H) {
    assert_eq!(H::parse(&header.to_string()).as_ref(), Ok(header), "{header}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uris(uri in uri(), user in "\\PC{1,12}") {
        prop_assert_eq!(uri.as_str().parse::<Uri>(), Ok(uri.clone()));
        prop_assert!(uri.equivalent(&uri));
        let made = Uri::sip(Some(&user), &Host::Name("h".into()), None).expect("any user is escaped");
        let back = made.user_unescaped();
        prop_assert_eq!(back.as_deref(), Some(user.as_str()));
    }

    #[test]
    fn addresses(addr in name_addr()) {
        same(&From(addr.clone()));
        same(&To(addr.clone()));
        same(&Route(addr.clone()));
        same(&Contact::Addr(addr));
    }

    #[test]
    fn parameters(pairs in proptest::collection::vec((token(), "[^\r\n\0]{0,20}"), 0..6)) {
        let mut params = Params::new();
        for (name, value) in &pairs {
            params.set(name, value).expect("a parameter");
            let found = params.find(name).and_then(|p| p.unquoted());
            prop_assert_eq!(found.as_deref(), Some(value.as_str()));
        }
        prop_assert_eq!(Params::parse(&params.to_string()), Ok(params));
    }

    #[test]
    fn small_headers(number in 0u32..1 << 31, method in token(), text in "[^\r\n\0]{0,30}", host in host(), port in proptest::option::of(any::<u16>()), branch in token()) {
        same(&CSeq::new(number, method.parse::<Method>().expect("a token")));
        same(&MaxForwards(number));
        same(&Warning::new(399, &host, &text).expect("a warning"));
        same(&Via::new("UDP", host, port, &branch).expect("a Via"));
    }

    #[test]
    fn requests(method in token(), uri in uri(), from in name_addr(), to in name_addr(), subject in any::<String>(),
                call_id in "[a-zA-Z0-9@.]{1,20}", body in proptest::collection::vec(any::<u8>(), 0..100), status in 100u16..700) {
        let method: Method = method.parse().expect("a token");
        let request = Request::builder(method.clone(), &uri)
            .header(Via::new("TCP", Host::Name("h".into()), None, "z9hG4bK1").expect("a Via"))
            .from(from).to(to).header(CallId(call_id)).header(CSeq::new(1, method)).header(Subject(subject))
            .body("application/octet-stream", Bytes::from(body)).build();
        let bytes = request.to_bytes();
        let read = Message::parse(bytes.clone(), &Limits::default()).expect("a message");
        prop_assert_eq!(read.validate(), Ok(()));
        prop_assert_eq!(read.to_bytes(), bytes.clone());
        let read = read.as_request().expect("a request");
        prop_assert_eq!(read.from(), request.from());
        prop_assert_eq!(read.to(), request.to());
        prop_assert_eq!(read.body(), request.body());
        let frame = Frame::parse(&bytes).expect("a frame");
        prop_assert_eq!(frame.branch, Some("z9hG4bK1"));
        let status = StatusCode::new(status).expect("in range");
        let reply = sip_core::Response::reply_to(read, status).to_tag("x").build();
        let reply = Message::parse(reply.to_bytes(), &Limits::default()).expect("a message");
        prop_assert_eq!(reply.validate(), Ok(()));
    }

    #[test]
    fn targets_take_anything(data in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}", lines in "[A-Za-z: ;,<>@\"\\\\\r\n=0-9\\[\\]]{0,120}") {
        for (_, target) in fuzzing::TARGETS {
            target(&data);
            target(text.as_bytes());
            target(lines.as_bytes());
        }
    }
}
