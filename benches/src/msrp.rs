//! The SENDs that are read.

/// A SEND with this body; `more`: others follow.
pub fn send(content_type: &str, body: &[u8], more: bool) -> Vec<u8> {
    let (end, total, flag) = match more {
        true => ("*".to_owned(), body.len() + 1, '+'),
        false => (body.len().to_string(), body.len(), '$'),
    };
    let mut out = format!(
        "MSRP dsdfoe38sd4kq2x SEND\r\nTo-Path: msrp://bob.example.com:8888/9di4eae923wzd;tcp\r\n\
         From-Path: msrp://alicepc.example.com:7777/iau39soe2843z;tcp\r\nMessage-ID: 12339sdqwer\r\n\
         Byte-Range: 1-{end}/{total}\r\nSuccess-Report: yes\r\nContent-Type: {content_type}\r\n\r\n",
    )
    .into_bytes();
    out.extend_from_slice(body);
    out.extend_from_slice(format!("\r\n-------dsdfoe38sd4kq2x{flag}\r\n").as_bytes());
    out
}

/// A CPIM message that makes a SEND of 620 bytes.
pub fn cpim() -> Vec<u8> {
    let mut text = b"From: Alice <sip:alice@example.com>\r\nTo: Bob <sip:bob@example.com>\r\n\
        DateTime: 2026-05-15T15:02:31-03:00\r\n\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        .to_vec();
    text.resize(620 - send("message/cpim", &[0; 100], false).len() + 100, b'x');
    text
}
