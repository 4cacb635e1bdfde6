//! What reading costs in allocations, by a counting allocator.

use bytes::Bytes;
use sip_core::{
    Frame, Limits, Message,
    header::{CSeq, CallId, Contact, From, MaxForwards, To, Via},
};
use std::hint::black_box;
use testkit::{Counting, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    counted(|| black_box(work())).1.allocations
}

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP proxy.example.com:5060;rport;branch=z9hG4bK-524287-1---6f1c2d8a9b3e4f50\r\n\
    Max-Forwards: 70\r\nContact: <sip:alice@pc.example.com:5060;transport=udp>\r\nTo: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
    From: \"Alice Liddell\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\nCall-ID: 84Nzk4ZGE5ODdkZjU0MmE3YTFkNmJk\r\n\
    CSeq: 1 INVITE\r\nAllow: INVITE, ACK, CANCEL, BYE\r\nContent-Type: application/sdp\r\nSupported: replaces\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

#[test]
fn framing_allocates_nothing_and_typing_little() {
    let bytes = Bytes::from_static(INVITE.as_bytes());
    let limits = Limits::default();
    assert_eq!(allocations(|| Frame::parse(&bytes)), 0);
    assert_eq!(allocations(|| Message::parse(bytes.clone(), &limits)), 0);
    let message = Message::parse(bytes.clone(), &limits).expect("a message");
    let headers = message.headers();
    let typed = allocations(|| {
        (
            headers.get::<Via>(),
            headers.get::<From>(),
            headers.get::<To>(),
            headers.get::<CallId>(),
            headers.get::<CSeq>(),
            headers.get::<MaxForwards>(),
            headers.get::<Contact>(),
        )
    });
    assert!(typed <= 3, "{typed} allocations for seven headers");
    assert_eq!(allocations(|| message.to_bytes()), 0, "what was read is printed as it is");
    let mut changed = message.clone();
    let _ = changed.headers_mut();
    assert_eq!(allocations(|| changed.to_bytes()), 1);
}
