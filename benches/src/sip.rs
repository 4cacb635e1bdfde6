//! The SIP messages that every stack reads.

/// An INVITE of a softphone with an audio offer, 951 bytes.
pub const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.101:5060;rport;branch=z9hG4bK-524287-1---6f1c2d8a9b3e4f50\r\n\
Max-Forwards: 70\r\n\
Contact: <sip:alice@192.0.2.101:5060;transport=udp>\r\n\
To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
From: \"Alice Liddell\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
Call-ID: 84Nzk4ZGE5ODdkZjU0MmE3YTFkNmJk\r\n\
CSeq: 1 INVITE\r\n\
Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
Content-Type: application/sdp\r\n\
Supported: replaces, norefersub, timer, outbound\r\n\
User-Agent: sipsimple 0.1 (virtual, test) (virtual, test)\r\n\
Allow-Events: presence, kpml, talk\r\n\
Content-Length: 304\r\n\
\r\n\
v=0\r\n\
o=- 16850287 16850287 IN IP4 192.0.2.101\r\n\
s=session of alice\r\n\
c=IN IP4 192.0.2.101\r\n\
t=0 0\r\n\
m=audio 49172 RTP/AVP 9 0 8 101\r\n\
a=rtpmap:9 G722/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n\
a=rtcp:49173 IN IP4 192.0.2.101\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n";

/// The 200 that answers it after five proxies, 1,173 bytes with its six Via.
pub fn ok_with_six_vias() -> String {
    let vias: String = (1..=6)
        .map(|n| format!("Via: SIP/2.0/UDP proxy{n}.example.com:5060;branch=z9hG4bK-{n}-7f21ab90cd34ef56;received=192.0.2.{n}\r\n"))
        .collect();
    format!(
        "SIP/2.0 200 OK\r\n{vias}Record-Route: <sip:p1.example.com;lr>,<sip:p2.example.com;lr>\r\n\
         From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\nTo: <sip:bob@biloxi.example.com>;tag=314159\r\n\
         Call-ID: 84Nzk4ZGE5ODdkZjU0MmE3YTFkNmJk\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@192.0.2.4>\r\n\
         Content-Type: application/sdp\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A REGISTER with digest credentials, 696 bytes.
pub const REGISTER: &str = "REGISTER sip:registrar.biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP bobspc.biloxi.example.com:5060;rport;branch=z9hG4bKnashds7af34\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
From: Bob <sip:bob@biloxi.example.com>;tag=456248\r\n\
Call-ID: 843817637684230@998sdasdh09\r\n\
CSeq: 1826 REGISTER\r\n\
Contact: <sip:bob@192.0.2.4:5060>;expires=7200\r\n\
Authorization: Digest username=\"bob\", realm=\"biloxi.example.com\", nonce=\"ea9c8e88df84f1cec4341ae6cbe5a359\", \
uri=\"sip:registrar.biloxi.example.com\", response=\"dfe56131d1958046689d83306477ecc0\", algorithm=MD5\r\n\
Expires: 7200\r\n\
User-Agent: sipsimple 0.1\r\n\
Content-Length: 0\r\n\r\n";

/// Messages of 64 KiB that are made to hurt: a name, a start, a piece and how many of it.
pub const HOSTILE: [(&str, &str, &str, usize); 6] = [
    ("10,000 headers", "", "X: yz\r\n", 9_000),
    ("5,000 Via", "", "Via: SIP/2.0/UDP a\r\n", 3_200),
    ("20,000 parameters", "Contact: <sip:a@b>", ";ab", 20_000),
    ("30,000 commas", "Route: ", ",", 60_000),
    ("20,000 folds", "Contact: <sip:a@b>", "\r\n ", 20_000),
    ("quotes", "Contact: ", "\"\\", 30_000),
];

/// One of [`HOSTILE`] with that many pieces.
pub fn hostile(head: &str, piece: &str, count: usize) -> String {
    format!("INVITE sip:a@b SIP/2.0\r\n{head}{}\r\nCSeq: 1 INVITE\r\n\r\n", piece.repeat(count))
}
