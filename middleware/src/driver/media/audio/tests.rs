use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use media::PacketFeed;
use rtp_srtp::RtpHeader;

use super::super::sending;
use super::super::socket::TELLS_ARRIVAL;
use super::*;
use crate::configuration::SrtpPolicy;
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

/// A stream without ICE between two sockets of loopback; what it tells, and its intake's other end.
struct Bench {
    shared: Arc<Shared>,
    feed: feed::RtpFeed,
    told: Arc<Mutex<Vec<MediaEvent>>>,
    peer: Socket,
    _task: AudioTask,
    _commands: mpsc::UnboundedSender<AudioCommand>,
}

fn bench() -> Bench {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let preparation = AudioPreparation { ice: None, address, port_range: None };
    let sockets = AudioSockets::open(&preparation).expect("two ports of loopback");
    let peer = Socket::bind(address, 0).expect("another one");
    let parameters = Box::new(parameters(peer.local_addr().expect("a bound socket")));
    let meters = Arc::new(Meters::default());
    let (_sink, outbound) = sending::channel(&parameters, meters.clone());
    let (commands, received) = mpsc::unbounded_channel();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let tell: Tell = Box::new(move |event| log.lock().expect("one thread").push(event));
    let (feed, intake) = intake();
    let ends = Ends { outbound, intake, meters, tell };
    let task = AudioTask::new(sockets, None, received, ends, parameters, None);
    Bench { shared: task.shared.clone(), feed, told, peer, _task: task, _commands: commands }
}

impl Bench {
    fn stream(&self) -> MutexGuard<'_, AudioStream> {
        self.shared.lock()
    }

    /// Where the peer sends to: RTP and RTCP.
    fn addresses(&self) -> [SocketAddr; 2] {
        let (rtp, rtcp) = self.stream().sockets();
        [rtp, rtcp].map(|socket| socket.local_addr().expect("a bound socket"))
    }

    async fn readable(&self) {
        let (rtp, _) = self.stream().sockets();
        rtp.readable().await;
    }

    fn send(&self, packet: &[u8], to: SocketAddr) {
        assert!(self.peer.send_now(packet, to));
    }

    /// A packet of PCMU all of whose bytes say its number.
    fn send_rtp(&self, number: u8, to: SocketAddr) {
        let mut packet = [0; 172];
        let header = RtpHeader::new(0, u16::from(number), u32::from(number) * 160, 7);
        header.write_packet(&[number; 160], &mut packet).expect("it fits");
        self.send(&packet, to);
    }

    /// The first bytes of what the media thread gets in a tick.
    fn tick(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        self.feed.feed(&mut |packet| heard.push(packet.payload[0]));
        heard
    }
}

/// A task without ICE that asked for a deadline in the past asked the clock again and again, and took
/// a whole core.
#[tokio::test]
async fn a_deadline_that_was_served_lies_in_the_future() {
    let mut bench = bench();
    let [rtp, _] = bench.addresses();
    let mut now = clock::now().instant;
    assert!(bench.stream().deadline().is_some_and(|deadline| deadline > now), "nothing is due at once");
    // A packet came once, and then no more.
    bench.send_rtp(1, rtp);
    bench.readable().await;
    bench.stream().read(1);
    assert_eq!(bench.tick(), [1]);
    for _ in 0..100 {
        let deadline = bench.stream().deadline().expect("reports are due for ever");
        assert!(deadline > now);
        now = deadline;
        bench.stream().timeout(now);
    }
    let told = std::mem::take(&mut *bench.told.lock().expect("one thread"));
    assert!(matches!(told.as_slice(), [MediaEvent::AudioReceived { .. }, MediaEvent::AudioLost]), "{told:?}");
}

/// The task reads until something is heard; then the media thread does, and leaves it what is not RTP.
#[tokio::test]
async fn once_media_flows_the_media_thread_reads_it() {
    let mut bench = bench();
    let [rtp, rtcp] = bench.addresses();
    bench.send_rtp(1, rtp);
    bench.readable().await;
    bench.stream().settle();
    assert!(bench.tick().is_empty(), "it is watched");
    bench.stream().read(1);
    bench.stream().settle();
    assert_eq!(bench.stream().sockets().0.is_polled(), TELLS_ARRIVAL);
    if !TELLS_ARRIVAL {
        return;
    }
    // What the task has read comes before what is read now.
    (2..5).for_each(|number| bench.send_rtp(number, rtp));
    assert_eq!(bench.tick(), [1, 2, 3, 4]);
    // The task is at it: nothing is waited for, and nothing lost.
    let shared = bench.shared.clone();
    let busy = shared.lock();
    bench.send_rtp(5, rtp);
    assert!(bench.tick().is_empty());
    drop(busy);
    assert_eq!(bench.tick(), [5]);
    // A report is the task's, when it came.
    let mut report = [0; 64];
    let mut writer = rtp_srtp::rtcp::Writer::new(&mut report);
    writer.receiver_report(7, &[]).expect("it fits");
    writer.cname(7, "peer").expect("it fits");
    let length = writer.finish();
    bench.send(&report[..length], rtcp);
    let before = bench.stream().alive();
    (0..25).for_each(|_| drop(bench.tick()));
    tokio::time::timeout(Duration::from_secs(5), shared.wake.notified()).await.expect("the task is woken");
    bench.stream().take_aside();
    assert!(bench.stream().alive() > before, "it was understood");
    // Who floods with anything else fills no memory.
    (0..50).for_each(|_| bench.send(&[1, 2, 3], rtp));
    assert!(bench.tick().is_empty());
    assert_eq!(bench.stream().aside(), 16);
    // What is agreed on anew is watched again.
    let again = Box::new(parameters(bench.peer.local_addr().expect("a bound socket")));
    bench.stream().obey(AudioCommand::Run(again));
    bench.stream().settle();
    assert!(!bench.stream().sockets().0.is_polled());
}
