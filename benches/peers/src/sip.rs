//! SIP: framing, seven typed headers, printing.

use std::hint::black_box;

use bytes::Bytes;
use sip_core::{Frame, Limits, Message};
use sipsimple_benches::sip::{INVITE, REGISTER, ok_with_six_vias};

use crate::{LIMIT, OURS, Work};

/// Every work of this protocol.
pub fn works() -> Vec<Work> {
    let mut works = Vec::new();
    let messages = [
        ("INVITE", INVITE.to_owned()),
        ("200, 6 Via", ok_with_six_vias()),
        ("REGISTER", REGISTER.to_owned()),
    ];
    for (name, text) in messages {
        let [lazy, typed, print] = match name {
            "INVITE" => ["frame, INVITE 951 B", "7 headers, INVITE 951 B", "print, INVITE 951 B"],
            "REGISTER" => ["frame, REGISTER", "7 headers, REGISTER", "print, REGISTER"],
            _ => ["frame, 200 with 6 Via", "7 headers, 200 with 6 Via", "print, 200 with 6 Via"],
        };
        works.extend(of(lazy, typed, print, &text));
    }
    works
}

fn of(lazy: &'static str, typed: &'static str, print: &'static str, text: &str) -> Vec<Work> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    // A Bytes is shared from its first clone on.
    let _shared = bytes.clone();
    let b = || bytes.clone();
    vec![
        {
            let b = b();
            Work::new(lazy, LIMIT, move || {
                memchr::memchr2_iter(b'\n', b':', black_box(&b)).fold(0, |sum, at| sum ^ at)
            })
        },
        {
            let b = b();
            Work::new(lazy, OURS, move || {
                let frame = Frame::parse(black_box(&b)).expect("a frame");
                (frame.branch.map(str::len), frame.cseq)
            })
        },
        {
            let (b, limits) = (b(), Limits::default());
            Work::new(lazy, "sipsimple, whole message", move || {
                Message::parse(black_box(b.clone()), &limits).expect("a message")
            })
        },
        {
            let b = b();
            Work::new(lazy, "rsip 0.4.0", move || {
                rsip::SipMessage::try_from(black_box(&b[..])).expect("a message")
            })
        },
        {
            let b = b();
            Work::new(lazy, "rsipstack 0.7.14", move || {
                rsipstack::sip::SipMessage::try_from(black_box(&b[..])).expect("a message")
            })
        },
        {
            let b = b();
            Work::new(lazy, "ezk-sip-types 0.6.5", move || ezk::message(black_box(&b)))
        },
        {
            let (b, limits) = (b(), Limits::default());
            Work::new(typed, OURS, move || {
                ours(&Message::parse(black_box(b.clone()), &limits).expect("a message"))
            })
        },
        {
            let (b, limits) = (b(), Limits::default());
            Work::new(typed, "sipsimple, and validated", move || {
                let message = Message::parse(black_box(b.clone()), &limits).expect("a message");
                message.validate().expect("a valid one");
                ours(&message)
            })
        },
        {
            let b = b();
            Work::new(typed, "rsip 0.4.0", move || rsip_typed(black_box(&b)))
        },
        {
            let b = b();
            Work::new(typed, "rsipstack 0.7.14", move || rsipstack_typed(black_box(&b)))
        },
        {
            let b = b();
            Work::new(typed, "ezk-sip-types 0.6.5", move || ezk::typed(black_box(&b)))
        },
        {
            let b = b();
            Work::new(typed, "rvoip-sip-core 0.4.0", move || {
                rvoip_sip_core::parse_message(black_box(&b)).expect("a message")
            })
        },
        {
            let mut message = Message::parse(b(), &Limits::default()).expect("a message");
            // So that it is put together anew instead of being given back as it was read.
            let _ = message.headers_mut();
            Work::new(print, OURS, move || black_box(&message).to_bytes())
        },
        {
            let message = rsip::SipMessage::try_from(&b()[..]).expect("a message");
            Work::new(print, "rsip 0.4.0", move || Vec::<u8>::from(black_box(&message).clone()))
        },
        {
            let message = rsipstack::sip::SipMessage::try_from(&b()[..]).expect("a message");
            Work::new(print, "rsipstack 0.7.14", move || black_box(&message).to_bytes())
        },
        {
            let message = ezk::message(&b());
            Work::new(print, "ezk-sip-types 0.6.5", move || ezk::print(black_box(&message)))
        },
    ]
}

fn ours(message: &Message) -> u32 {
    use sip_core::header::{CSeq, CallId, Contact, From, MaxForwards, To, Via};
    let headers = message.headers();
    let via = headers.get::<Via>().expect("a Via").expect("a good one");
    let from = headers.get::<From>().expect("From").expect("a good one");
    let to = headers.get::<To>().expect("To").expect("a good one");
    let call_id = headers.get::<CallId>().expect("Call-ID").expect("a good one");
    let cseq = headers.get::<CSeq>().expect("CSeq").expect("a good one");
    let hops = headers.get::<MaxForwards>().map_or(0, |hops| hops.expect("a number").0);
    let contact = headers.get::<Contact>().expect("Contact").expect("a good one");
    black_box((&via, &from, &to, &call_id, &cseq, &contact));
    hops
}

fn rsip_typed(bytes: &[u8]) -> u32 {
    use rsip::prelude::*;
    let message = rsip::SipMessage::try_from(bytes).expect("a message");
    let via = message.via_header().expect("Via").typed().expect("a good one");
    let from = message.from_header().expect("From").typed().expect("a good one");
    let to = message.to_header().expect("To").typed().expect("a good one");
    let call_id = message.call_id_header().expect("Call-ID").clone();
    let cseq = message.cseq_header().expect("CSeq").typed().expect("a good one");
    let hops = message.max_forwards_header().map_or(0, |hops| hops.num().expect("a number"));
    let contact = message.contact_header().expect("Contact").typed().expect("a good one");
    black_box((&via, &from, &to, &call_id, &cseq, &contact));
    hops
}

fn rsipstack_typed(bytes: &[u8]) -> u32 {
    use rsipstack::sip::{SipMessage, prelude::*};
    let message = SipMessage::try_from(bytes).expect("a message");
    let via = message.via_header().expect("Via").typed().expect("a good one");
    let from = message.from_header().expect("From").typed().expect("a good one");
    let to = message.to_header().expect("To").typed().expect("a good one");
    let call_id = message.call_id_header().expect("Call-ID").clone();
    let cseq = message.cseq_header().expect("CSeq").typed().expect("a good one");
    let hops = message.max_forwards_header().map_or(0, |hops| hops.value().parse().expect("a number"));
    let contact = message.contact_header().expect("Contact").typed().expect("a good one");
    black_box((&via, &from, &to, &call_id, &cseq, &contact));
    hops
}

mod ezk {
    use std::fmt::{self, Write};

    use bytes::Bytes;
    use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, MaxForwards, Via};
    use ezk_sip_types::msg::{Line, MessageLine, PullParser};
    use ezk_sip_types::{Headers, Name};

    pub(super) struct Message {
        line: MessageLine,
        headers: Headers,
        body: Bytes,
    }

    /// As ezk-sip-core's own transports read one.
    pub(super) fn message(bytes: &Bytes) -> Message {
        let mut parser = PullParser::new(bytes, 0);
        let mut lines = &mut parser;
        let first = lines.next().expect("a line").expect("all of it");
        let text = std::str::from_utf8(first).expect("UTF-8");
        let line: MessageLine = {
            use ezk_sip_types::parse::Parse;
            let (_, line) = MessageLine::parse(bytes)(text).expect("a start line");
            line
        };
        let mut headers = Headers::new();
        for line in &mut lines {
            let text = std::str::from_utf8(line.expect("all of it")).expect("UTF-8");
            let (_, line) = Line::parse(bytes, text).expect("a header");
            headers.insert(line.name, line.value);
        }
        let body = bytes.slice(parser.head_end()..);
        Message { line, headers, body }
    }

    pub(super) fn typed(bytes: &Bytes) -> u32 {
        let message = message(bytes);
        let headers = &message.headers;
        let via: Via = headers.get_named().expect("Via");
        let from: FromTo = headers.get(Name::FROM).expect("From");
        let to: FromTo = headers.get(Name::TO).expect("To");
        let call_id: CallID = headers.get_named().expect("Call-ID");
        let cseq: CSeq = headers.get_named().expect("CSeq");
        let hops = headers.try_get_named::<MaxForwards>().map_or(0, |hops| hops.expect("a number").0.into());
        let contact: Contact = headers.get_named().expect("Contact");
        std::hint::black_box((&via, &from, &to, &call_id, &cseq, &contact, &message.body));
        hops
    }

    struct Line0<'a>(&'a MessageLine);

    impl fmt::Display for Line0<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            ezk_sip_types::print::Print::print(self.0, f, ezk_sip_types::print::PrintCtx::default())
        }
    }

    pub(super) fn print(message: &Message) -> Vec<u8> {
        let size = 64 + message.headers.printed_len() + 16 + message.body.len();
        let mut out = String::with_capacity(size);
        write!(out, "{}\r\n{}\r\n", Line0(&message.line), message.headers).expect("a string");
        let mut out = out.into_bytes();
        out.extend_from_slice(&message.body);
        out
    }
}
