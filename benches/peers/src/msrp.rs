//! MSRP: reading a SEND, with the CPIM inside and without any.

use std::hint::black_box;

use bytes::Bytes;
use msrp_cpim::cpim;
use msrp_cpim::wire::Message;
use rust_rcs_core::cpim::cpim_message::CPIMMessage;
use rust_rcs_core::internet::body::Body;
use rust_rcs_core::internet::body::message_body::MessageBody;
use rust_rcs_core::msrp::msrp_chunk::MsrpChunk;
use rust_rcs_core::msrp::msrp_parser::MsrpParser;
use sipsimple_benches::msrp::{cpim, send};

use crate::{LIMIT, OURS, Work};

const RCS: &str = "rust-rcs-core 0.3.1";

/// Every work of this protocol. The SENDs are not the last of their message: rust-rcs-core refuses those.
pub fn works() -> Vec<Work> {
    let mut works = of("MSRP parse, SEND with CPIM 620 B", "message/cpim", &cpim(), true);
    works.extend(of("MSRP parse, SEND 64 KiB", "application/octet-stream", &vec![0x55; 64 * 1024], false));
    works
}

fn of(group: &'static str, content_type: &str, body: &[u8], wrapped: bool) -> Vec<Work> {
    let ours = Bytes::from(send(content_type, body, true));
    let (limit, theirs) = (ours.clone(), ours.clone());
    vec![
        Work::new(group, LIMIT, move || {
            memchr::memmem::find(black_box(&limit), b"\r\n-------dsdfoe38sd4kq2x").expect("an end")
        }),
        Work::new(group, OURS, move || {
            let message = Message::parse(black_box(&ours)).expect("a SEND");
            let body = message.body.as_ref().filter(|_| wrapped);
            let inside = body.map(|body| cpim::Message::parse(body).expect("a message"));
            (message, inside)
        }),
        Work::new(group, RCS, move || {
            let chunk = rcs(black_box(&theirs));
            let body = chunk.get_body().filter(|_| wrapped);
            let inside = body.map(|body| {
                let body = MessageBody::construct(body).expect("a message");
                CPIMMessage::try_from(&Body::Message(body)).expect("a message").body
            });
            (chunk, inside)
        }),
    ]
}

fn rcs(data: &[u8]) -> MsrpChunk {
    let mut parser = MsrpParser::new();
    parser.feed(data);
    parser.produce().expect("a SEND").expect("all of it")
}
