//! The offers that every stack reads.

/// An audio offer with SDES keys and ICE, 1,169 bytes.
pub const AUDIO: &str = "v=0\r\n\
o=alice 3915112342 3915112342 IN IP4 192.0.2.101\r\n\
s=session\r\n\
c=IN IP4 192.0.2.101\r\n\
b=AS:84\r\n\
t=0 0\r\n\
a=X-nat:0\r\n\
m=audio 50010 RTP/SAVP 111 9 98 99 8 0 101\r\n\
b=TIAS:64000\r\n\
a=rtcp:50011 IN IP4 192.0.2.101\r\n\
a=ice-ufrag:5f3a9b27\r\n\
a=ice-pwd:2f8e6a1d4c7b9053f1a2b3c4\r\n\
a=candidate:H1 1 UDP 2130706431 192.0.2.101 50010 typ host\r\n\
a=candidate:H1 2 UDP 2130706430 192.0.2.101 50011 typ host\r\n\
a=candidate:S1 1 UDP 1694498815 203.0.113.7 61000 typ srflx raddr 192.0.2.101 rport 50010\r\n\
a=candidate:S1 2 UDP 1694498814 203.0.113.7 61001 typ srflx raddr 192.0.2.101 rport 50011\r\n\
a=rtpmap:111 opus/48000/2\r\n\
a=fmtp:111 useinbandfec=1; minptime=10\r\n\
a=rtpmap:9 G722/8000\r\n\
a=rtpmap:98 speex/16000\r\n\
a=rtpmap:99 speex/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\n\
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\r\n\
a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n\
a=ptime:20\r\n\
a=ssrc:2754920552 cname:t9YU8M1UxTF8Y1A1\r\n\
a=sendrecv\r\n";

/// What a browser offers for audio, video and data.
pub fn webrtc() -> String {
    let mut text = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
                    a=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n"
        .to_owned();
    let transport = "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:x30Z\r\n\
                     a=ice-pwd:asd88fgpdd777uzjYhagZgRk\r\na=ice-options:trickle\r\n\
                     a=fingerprint:sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E:05:E9:26:33:E8:70:88:A2\r\n\
                     a=setup:actpass\r\n";
    text += "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n";
    text += transport;
    text += "a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
             a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
             a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\na=msid:stream audio\r\na=rtcp-mux\r\n\
             a=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
             a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
             a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\n\
             a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n\
             a=ssrc:3129874521 cname:u3B1Ks0Yq7e9dZ2w\r\na=ssrc:3129874521 msid:stream audio\r\n";
    text += "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 98 99\r\n";
    text += transport;
    text += "a=mid:1\r\na=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\n\
             a=extmap:13 urn:3gpp:video-orientation\r\na=sendrecv\r\na=msid:stream video\r\na=rtcp-mux\r\na=rtcp-rsize\r\n";
    for (codec, retransmission, name) in [(96, 97, "VP8"), (102, 103, "H264"), (98, 99, "VP9")] {
        text += &format!(
            "a=rtpmap:{codec} {name}/90000\r\na=rtcp-fb:{codec} goog-remb\r\na=rtcp-fb:{codec} transport-cc\r\n\
             a=rtcp-fb:{codec} ccm fir\r\na=rtcp-fb:{codec} nack\r\na=rtcp-fb:{codec} nack pli\r\n\
             a=rtpmap:{retransmission} rtx/90000\r\na=fmtp:{retransmission} apt={codec}\r\n"
        );
    }
    text += "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
             a=ssrc-group:FID 1740268243 2385761432\r\n";
    for ssrc in [1_740_268_243u32, 2_385_761_432] {
        text += &format!("a=ssrc:{ssrc} cname:u3B1Ks0Yq7e9dZ2w\r\na=ssrc:{ssrc} msid:stream video\r\n");
    }
    text += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    text += transport;
    text += "a=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";
    for number in 0..5 {
        text += &format!(
            "a=candidate:{number} 1 udp 2122260223 192.0.2.{number} 6067{number} typ host generation 0 network-id 1\r\n"
        );
    }
    text
}
