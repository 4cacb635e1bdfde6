use rtp_srtp::RtpPacket;
use rtp_srtp::session::SenderConfig;
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, Suite};

use super::super::samples::pcmu;
use super::*;

fn parameters() -> AudioParameters {
    let remote: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    AudioParameters { rtcp_mux: false, dtmf: Some((101, 101)), ..pcmu(remote) }
}

fn source() -> RtpSender {
    RtpSender::new(SenderConfig { payload_type: 0, clock_rate: 8_000 }, [7; 32])
}

fn ends() -> (RtpSink, Outbound) {
    let (sink, mut outbound) = channel(&parameters(), Arc::new(Meters::default()));
    outbound.agree(Terms { sends: true, dtmf: Some(101), encrypts: false });
    outbound.number(&source());
    (sink, outbound)
}

fn frame(number: u32) -> EncodedFrame<'static> {
    EncodedFrame {
        payload: &[0x55; 160],
        payload_type: 0,
        timestamp: number * 160,
        marker: number == 0,
        samples: 160,
    }
}

fn socket() -> Arc<Socket> {
    Arc::new(Socket::bind(std::net::Ipv4Addr::LOCALHOST.into(), 0).expect("a port of loopback"))
}

async fn receive(socket: &Socket) -> Vec<u8> {
    let mut buffer = [0; PACKET];
    let (length, _) = socket.recv_from(&mut buffer).await.expect("it was sent");
    buffer[..length].to_vec()
}

#[tokio::test]
async fn frames_leave_numbered_and_are_reported() {
    let (mut sink, mut outbound) = ends();
    let (ours, theirs) = (socket(), socket());
    sink.send(frame(0));
    assert_eq!(sink.meters.sent.load(Ordering::Relaxed), 0, "there is no way yet");
    outbound.lead(Course::Socket(ours, theirs.local_addr().expect("bound")));
    let mut reporting = source();
    let first = reporting.next_sequence();
    for number in 1..5 {
        sink.send(frame(number));
        let packet = receive(&theirs).await;
        let packet = RtpPacket::parse(&packet).expect("RTP");
        assert_eq!(packet.sequence(), first + u16::try_from(number).expect("small"));
        assert_eq!(packet.timestamp(), reporting.wire_timestamp(number * 160));
        assert_eq!((packet.payload_type(), packet.payload()), (0, &[0x55; 160][..]));
    }
    reporting.follow(outbound.progress().expect("sent"));
    assert_eq!((reporting.packet_count(), reporting.octet_count()), (5, 800));
    assert_eq!(sink.meters.sent.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn nothing_leaves_in_the_clear_that_must_not() {
    let (mut sink, mut outbound) = ends();
    let (ours, theirs) = (socket(), socket());
    outbound.lead(Course::Socket(ours, theirs.local_addr().expect("bound")));
    outbound.agree(Terms { sends: true, dtmf: None, encrypts: true });
    for number in 0..10 {
        sink.send(frame(number));
    }
    assert_eq!(sink.meters.sent.load(Ordering::Relaxed), 0);
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[3; 30]).expect("30 bytes");
    outbound.encrypt(Some(Box::new(SrtpSender::new(&key))));
    sink.send(frame(10));
    let mut packet = receive(&theirs).await;
    assert_eq!(packet.len(), 12 + 160 + 10);
    assert_ne!(packet[12..172], [0x55; 160]);
    let length = SrtpReceiver::new(&key).unprotect(&mut packet).expect("ours");
    assert_eq!(packet[12..length], [0x55; 160]);
    outbound.encrypt(None);
    sink.send(frame(11));
    assert_eq!(sink.meters.sent.load(Ordering::Relaxed), 1, "the keys are gone");
}

#[tokio::test]
async fn a_key_takes_the_place_of_frames() {
    let (mut sink, mut outbound) = ends();
    let (ours, theirs) = (socket(), socket());
    outbound.lead(Course::Socket(ours, theirs.local_addr().expect("bound")));
    outbound.press(Digit::new('5').expect("a digit"));
    let mut types = Vec::new();
    for number in 0..30 {
        sink.send(frame(number));
        let packet = receive(&theirs).await;
        types.push(RtpPacket::parse(&packet).expect("RTP").payload_type());
    }
    assert_eq!(types.first(), Some(&101));
    assert_eq!(types.last(), Some(&0), "audio goes on after it: {types:?}");
}

#[tokio::test]
async fn for_a_relay_the_task_gets_whole_packets() {
    let (mut sink, mut outbound) = ends();
    outbound.lead(Course::Task);
    for number in 0..3 {
        sink.send(frame(number));
    }
    outbound.relayed().expect("there is a relay").notified().await;
    let mut buffer = [0; PACKET];
    for number in 0..3u32 {
        let packet = outbound.pop(&mut buffer).expect("was sent");
        let packet = RtpPacket::parse(packet).expect("RTP");
        assert_eq!(packet.timestamp(), source().wire_timestamp(number * 160));
    }
    assert!(outbound.pop(&mut buffer).is_none());
    for number in 0..1_000 {
        sink.send(frame(number));
    }
    let kept = std::iter::from_fn(|| outbound.pop(&mut buffer).map(|_| ())).count();
    assert_eq!(kept, RELAYED / 174, "what does not fit is lost whole");
    outbound.lead(Course::Nowhere);
    sink.send(frame(0));
    assert!(outbound.pop(&mut buffer).is_none());
}

#[tokio::test]
async fn who_is_silent_for_long_is_not_talked_to() {
    let (mut sink, mut outbound) = ends();
    let (ours, theirs) = (socket(), socket());
    outbound.lead(Course::Socket(ours, theirs.local_addr().expect("bound")));
    outbound.shared().mute_after(Some(sink.shared.origin));
    sink.send(frame(0));
    assert_eq!(sink.meters.sent.load(Ordering::Relaxed), 0);
    outbound.shared().mute_after(Some(sink.shared.origin + Duration::from_secs(3_600)));
    sink.send(frame(1));
    outbound.shared().mute_after(None);
    sink.send(frame(2));
    assert_eq!(sink.meters.sent.load(Ordering::Relaxed), 2);
    assert_eq!(receive(&theirs).await.len(), 172);
}
