//! Bodies of the fuzz targets; tests replay corpora through them.

use crate::{
    Frame, Limits, Message, Multipart, NameAddr, Params, StreamDecoder, StreamItem, Telephone, Uri, auth,
    header::{self, TypedHeader},
};
use bytes::Bytes;
use std::fmt::Debug;

/// A target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    ("sip_message", message),
    ("sip_stream", stream),
    ("sip_frame", frame),
    ("sip_uri", uri),
    ("sip_header", header),
    ("sip_injection", injection),
    ("sip_multipart", multipart),
    ("sip_telephone", telephone),
    ("sip_from_uri", from_uri),
    ("sip_digest", digest),
    ("sip_fragment", fragment),
    ("sip_keepalive", crate::endpoint::stun::fuzz),
    ("sip_endpoint", crate::fuzzing_machine::endpoint),
    ("sip_usages", crate::fuzzing_machine::usages),
];

/// A datagram: reads, prints what it read, reads that again as the same; types every header.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data), &Limits::default()) else { return };
    let valid = message.validate().is_ok();
    let printed = message.to_bytes();
    let again = Message::parse(printed.clone(), &Limits::default()).expect("what was read can be read again");
    assert_eq!(again.to_bytes(), printed);
    assert_eq!(again.validate().is_ok(), valid, "the verdict does not change");
    types(&message);
    if valid {
        let mut rebuilt = message.clone();
        let _ = rebuilt.headers_mut();
        assert_eq!(rebuilt.to_bytes(), printed, "valid messages are only lines");
        if let Message::Request(request) = &message {
            let reply = crate::Response::reply_to(request, crate::StatusCode::OK).to_tag("t").build();
            let reply = Message::parse(reply.to_bytes(), &Limits::default()).expect("our reply is a message");
            assert_eq!(reply.validate(), Ok(()), "a reply to a valid request is valid");
        }
    }
}

/// A stream: the same comes out whole and in pieces, within the limits.
pub fn stream(data: &[u8]) {
    let limits = Limits { head: 2048, body: 4096, ..Limits::default() };
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut decoder = StreamDecoder::new(limits.clone());
        let mut found = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
            while let Some(item) = decoder.next() {
                match item {
                    StreamItem::Message(message) => found.push(message.to_bytes()),
                    StreamItem::Error(_) => found.push(Bytes::from_static(b"error")),
                    // A ping that is split is announced by a pong.
                    StreamItem::Ping | StreamItem::Pong => {}
                }
            }
            assert!(decoder.buffered() <= limits.head + limits.body + piece.len());
        }
        found
    };
    let whole = run(&mut std::iter::once(data));
    assert_eq!(run(&mut data.chunks(1)), whole);
    assert_eq!(run(&mut data.chunks(7)), whole);
}

/// The borrowed view agrees with the message where that is valid.
pub fn frame(data: &[u8]) {
    let frame = Frame::parse(data);
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data), &Limits::default()) else { return };
    if message.validate().is_err() {
        return;
    }
    let frame = frame.expect("a valid message has a frame");
    assert_eq!(frame.call_id.is_some(), message.headers().contains("Call-ID"));
    let cseq = message.headers().get::<header::CSeq>().and_then(Result::ok);
    assert_eq!(frame.cseq, cseq.map(|c| c.number));
}

/// A URI: prints and reads again as the same, and equals itself.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(uri.as_str(), text);
        assert!(uri.equivalent(&uri));
        assert!(!uri.as_str().contains(['\r', '\n', '\0', ' ']));
        let tagged = uri.with_param("x", Some(text)).expect("a parameter can be added");
        if uri.is_sip() {
            assert!(tagged.has_param("x"));
            assert!(tagged.without_param("x").equivalent(&uri.without_param("x")));
        }
    }
}

/// A body of several parts: what is read, written by us, reads as the same parts.
pub fn multipart(data: &[u8]) {
    let limits = Limits::default();
    let body = Bytes::copy_from_slice(data);
    for boundary in ["a", "--", "sipsimple-part-0"] {
        let Ok(kind) = header::MediaType::parse(&format!("multipart/mixed;boundary=\"{boundary}\"")) else {
            unreachable!("it is well formed")
        };
        let Ok(read) = Multipart::parse(&kind, &body, &limits) else { continue };
        let (kind, printed) = (read.content_type(), read.to_bytes());
        let again = Multipart::parse(&kind, &printed, &limits).expect("ours can be read");
        assert_eq!(again.parts.len(), read.parts.len());
        for (one, other) in again.parts.iter().zip(&read.parts) {
            assert_eq!(one.body, other.body);
            assert_eq!(one.content_type(), other.content_type());
        }
        assert!(read.leaves().len() <= 64);
    }
}

/// A telephone number: prints and reads as the same, and equals itself in every form.
pub fn telephone(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(number) = Telephone::parse(text) else { return };
    assert_eq!(Telephone::parse(&number.to_string()).as_ref(), Ok(&number));
    assert!(number.equivalent(&number));
    assert!(!number.to_string().contains(['\r', '\n', '\0', ' ', '<', '>']));
    let uri = number.to_uri().expect("it is a tel URI");
    assert_eq!(uri.telephone(), Some(Ok(number.clone())));
    let uri = number.to_sip_uri(&crate::Host::Name("h".into())).expect("it is a user part");
    let back = uri.telephone().expect("a number").expect("the same");
    assert!(back.equivalent(&number), "{uri}");
}

/// Challenges and their answers: what is read prints, and reads again as the same; an answer of ours
/// to any challenge is one line that reads as what it says.
pub fn digest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let clean = text.replace(['\r', '\n', '\0'], " ");
    let credentials = auth::Credentials::new("a\"b", "secret");
    for challenge in auth::Challenge::all(&clean) {
        assert_eq!(challenge.to_string().parse().as_ref(), Ok(&challenge));
        let digest = auth::Digest { method: "BYE", uri: "sip:a@b", body: data, nc: 1, cnonce: "c" };
        let answer = challenge.answer(&credentials, &digest);
        assert!(!answer.contains(['\r', '\n', '\0']));
        let read: auth::DigestAnswer = answer.parse().expect("ours can be read");
        assert_eq!((&*read.username, &read.realm, &read.nonce), ("a\"b", &challenge.realm, &challenge.nonce));
    }
    if let Ok(answer) = clean.parse::<auth::DigestAnswer>() {
        assert_eq!(answer.to_string().parse().as_ref(), Ok(&answer));
    }
}

/// Fragments of messages: whatever is read has a status only if it starts with one.
pub fn fragment(data: &[u8]) {
    let Ok(read) = crate::usage::Sipfrag::parse(data, &Limits::default()) else { return };
    if let Some(status) = read.status() {
        let told = crate::usage::Sipfrag::of_status(status, std::str::from_utf8(data).ok());
        let again =
            crate::usage::Sipfrag::parse(&told.content, &Limits::default()).expect("ours can be read");
        assert_eq!(again.status(), Some(status));
        assert_eq!(memchr::memchr_iter(b'\n', &told.content).count(), 1, "it is one line");
    }
}

/// The request that a URI asks for holds its lines, whatever the URI has in it.
pub fn from_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(uri) = Uri::parse(text) else { return };
    let Ok(builder) = crate::Request::from_uri(&uri) else { return };
    assert!(!builder.headers().contains("Route") && !builder.headers().contains("Via"));
    let expected = builder.headers().len() + 2;
    let request = builder.build();
    let bytes = request.to_bytes();
    let head = bytes.len() - request.body().len();
    let lines = memchr::memchr_iter(b'\n', bytes.get(..head).unwrap_or(&[])).count();
    assert_eq!(lines, expected + 1, "{}", String::from_utf8_lossy(&bytes));
}

/// Every typed header: what is read prints, and reads again as the same.
pub fn header(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let clean = text.replace(['\r', '\n', '\0'], " ");
    each(&clean);
    // With folds nothing may break either.
    if let Ok(params) = Params::parse(text) {
        assert_eq!(Params::parse(&params.to_string()), Ok(params));
    }
    let _ = text.parse::<NameAddr>();
}

/// Whatever a caller puts in, a message keeps its lines.
pub fn injection(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let uri: Uri = "sip:a@example.com".parse().expect("a URI");
    let addr = NameAddr::new(uri.clone()).with_display_name(text.as_ref());
    let addr = addr.clone().with_param("x", &text).unwrap_or(addr);
    let mut builder = crate::Request::builder(crate::Method::Message, &uri)
        .from(addr.clone())
        .to(addr)
        .header(header::Subject(text.to_string()))
        .header(header::CallId(text.to_string()))
        .body(&text, Bytes::copy_from_slice(data));
    let mut lines = 7;
    lines += usize::from(builder.headers_mut().push_raw("X", &text).is_ok());
    lines += usize::from(builder.headers_mut().push_raw(&text, "x").is_ok());
    if builder.headers().count("Content-Length") + builder.headers().count("Content-Type") > 1 {
        return; // the name that was pushed is one that the builder rules over
    }
    let bytes = builder.build().to_bytes();
    let head = bytes.len() - data.len();
    let found = memchr::memchr_iter(b'\n', bytes.get(..head).unwrap_or(&[])).count();
    assert_eq!(found, lines + 1, "{}", String::from_utf8_lossy(&bytes));
}

fn types(message: &Message) {
    for field in message.headers().iter() {
        if let Some(text) = field.text() {
            let _ = crate::unfold(text);
        }
    }
    macro_rules! all {
        ($($name:ident)*) => { $( let _ = message.headers().all::<header::$name>().count(); let _ = message.headers().get::<header::$name>(); )* };
    }
    all!(Via From To Contact Route RecordRoute CallId CSeq MaxForwards Allow Supported Accept Warning Reason);
}

fn same<H: TypedHeader + PartialEq + Debug>(text: &str) {
    if let Ok(header) = H::parse(text) {
        let printed = header.to_string();
        assert_eq!(H::parse(&printed).as_ref(), Ok(&header), "{text:?} as {printed:?}");
    }
}

fn each(text: &str) {
    macro_rules! all {
        ($($name:ident)*) => { $( same::<header::$name>(text); )* };
    }
    all!(
        AcceptContact AcceptResourcePriority ContentId FlowTimer HistoryInfo Identity InfoPackage Join MaxBreadth
        RecvInfo ReferSub RejectContact RequestDisposition ResourcePriority TargetDialog PAssociatedUri
        Accept AcceptEncoding AcceptLanguage AlertInfo Allow AllowEvents AuthenticationInfo Authorization CSeq
        CallId CallInfo Contact ContentDisposition ContentEncoding ContentLanguage ContentLength ContentType Date
        ErrorInfo Event Expires From MaxForwards MinExpires MinSe Organization PAssertedIdentity Path Privacy
        ProxyRequire RAck RSeq Reason RecordRoute ReferTo ReferredBy Replaces ReplyTo Require RetryAfter Route
        Server ServiceRoute SessionExpires SipEtag Subject SubscriptionState Supported To Unsupported UserAgent
        Via Warning WwwAuthenticate
    );
}
