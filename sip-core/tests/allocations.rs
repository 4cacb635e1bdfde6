//! What reading costs in allocations, by a counting allocator.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]

use bytes::Bytes;
use sip_core::{
    Frame, Limits, Message,
    header::{CSeq, CallId, Contact, From, MaxForwards, To, Via},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `System` with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = COUNT.with(Cell::get);
    black_box(work());
    COUNT.with(Cell::get) - before
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
