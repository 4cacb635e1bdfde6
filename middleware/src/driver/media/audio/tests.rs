use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use media::codec::{self, CodecParams};
use media::{EncodedFrame, StreamConfig, StreamFormat, StreamPort};

use super::super::sending;
use super::*;
use crate::session::AudioPreparation;

fn parameters(remote: SocketAddr) -> AudioParameters {
    AudioParameters {
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: true,
        ice: None,
        codec: "PCMU".to_owned(),
        clock_rate: 8_000,
        send_payload_type: 0,
        receive_payload_type: 0,
        fmtp: None,
        dtmf: None,
        comfort_noise: None,
        ptime: 20,
        sends: true,
        receives: true,
        srtp: None,
        dtls: None,
        voip_metrics: false,
        srtp_policy: SrtpPolicy::Off,
        silence: Duration::from_secs(30),
        dscp: 46,
    }
}

/// A task without ICE that asked for a deadline in the past asked the clock again and again, and took
/// a whole core.
#[tokio::test]
async fn a_deadline_that_was_served_lies_in_the_future() {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let preparation = AudioPreparation { ice: None, address, port_range: None };
    let sockets = AudioSockets::open(&preparation).expect("two ports of loopback");
    let peer = AudioSockets::open(&preparation).expect("two more");
    let parameters = Box::new(parameters(peer.rtp.local_addr().expect("a bound socket")));
    let pcmu = codec::find("PCMU", 8_000).expect("always there");
    let format = StreamFormat::symmetric(pcmu, &CodecParams::default(), 0).expect("its own parameters");
    let (_port, _stream, source) =
        StreamPort::new(StreamConfig::default(), format, Box::new(|_: EncodedFrame<'_>| {}));
    let meters = Arc::new(Meters::default());
    let (_sink, outbound) = sending::channel(&parameters, meters.clone());
    let (_commands, received) = mpsc::unbounded_channel();
    let told = Mutex::new(Vec::new());
    let tell = |event: MediaEvent| told.lock().expect("one thread").push(event);
    let ends = MediaEnds { outbound, source, meters };
    let mut task = AudioTask::new(sockets, None, received, ends, parameters, None, tell);
    let mut now = clock::now().instant;
    assert!(task.deadline().is_some_and(|deadline| deadline > now), "nothing is due at once");
    // A packet came once, and then no more.
    task.heard = Some(now);
    for _ in 0..100 {
        let deadline = task.deadline().expect("reports are due for ever");
        assert!(deadline > now);
        now = deadline;
        task.timeout(now);
    }
    assert_eq!(*told.lock().expect("one thread"), [MediaEvent::AudioLost], "once");
}
