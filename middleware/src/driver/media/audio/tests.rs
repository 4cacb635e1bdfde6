use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use media::PacketFeed;
use rtp_srtp::RtpHeader;

use super::super::samples::pcmu;
use super::super::sending;
use super::super::socket::{Socket, TELLS_ARRIVAL};
use super::*;
use crate::session::AudioPreparation;

/// A stream without ICE between two sockets of loopback: the task's half, the media thread's, and what is told.
struct Bench {
    task: AudioTask,
    feed: feed::RtpFeed,
    told: Arc<Mutex<Vec<MediaEvent>>>,
    peer: Socket,
    _commands: mpsc::UnboundedSender<AudioCommand>,
}

fn bench() -> Bench {
    bench_with(|_| ())
}

fn bench_with(change: impl FnOnce(&mut AudioParameters)) -> Bench {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let preparation = AudioPreparation { ice: None, address, port_range: None };
    let sockets = AudioSockets::open(&preparation).expect("two ports of loopback");
    let peer = Socket::bind(address, 0).expect("another one");
    let mut parameters = Box::new(pcmu(peer.local_addr().expect("a bound socket")));
    change(&mut parameters);
    let meters = Arc::new(Meters::default());
    let (_sink, outbound) = sending::channel(&parameters, meters.clone());
    let (commands, received) = mpsc::unbounded_channel();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let tell: Tell = Box::new(move |event| log.lock().expect("one thread").push(event));
    let (feed, intake) = intake();
    let ends = Ends { outbound, intake, meters, tell };
    let task = AudioTask::new(sockets, None, received, ends, parameters, None);
    Bench { task, feed, told, peer, _commands: commands }
}

impl Bench {
    /// Where the peer sends to: RTP and RTCP.
    fn addresses(&self) -> [SocketAddr; 2] {
        let (rtp, rtcp) = self.task.stream.sockets();
        [rtp, rtcp].map(|socket| socket.local_addr().expect("a bound socket"))
    }

    async fn readable(&self) {
        let (rtp, _) = self.task.stream.sockets();
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

    /// The task takes all that the media thread has for it; how much that was.
    fn take(&mut self) -> usize {
        let Bench { task: AudioTask { stream, inbox, .. }, .. } = self;
        let mut count = 0;
        while let Some(news) = inbox.try_next() {
            stream.take(news);
            count += 1;
        }
        stream.settle();
        count
    }

    fn told(&self) -> Vec<MediaEvent> {
        std::mem::take(&mut *self.told.lock().expect("one thread"))
    }

    /// What the peer has received.
    async fn received(&self) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let received = tokio::time::timeout(Duration::from_secs(5), self.peer.recv_from(&mut buffer)).await;
        let (length, _) = received.expect("in time").expect("a datagram");
        buffer[..length].to_vec()
    }
}

/// The task reads until something is heard; then the media thread does, and leaves it what is not media.
#[tokio::test]
async fn once_media_flows_the_media_thread_reads_it() {
    let mut bench = bench();
    let [rtp, rtcp] = bench.addresses();
    bench.send_rtp(1, rtp);
    bench.readable().await;
    assert!(bench.tick().is_empty(), "it is watched");
    bench.task.stream.read(1);
    assert_eq!((bench.tick(), bench.take()), (vec![1], 1));
    assert!(matches!(bench.told().as_slice(), [MediaEvent::AudioReceived { .. }]));
    assert_eq!(bench.task.stream.sockets().0.is_polled(), TELLS_ARRIVAL);
    if !TELLS_ARRIVAL {
        return;
    }
    (2..5).for_each(|number| bench.send_rtp(number, rtp));
    assert_eq!((bench.tick(), bench.take()), (vec![2, 3, 4], 0), "without the task");
    // A report is the media thread's too.
    let meters = bench.feed.reception().meters();
    assert_eq!(meters.read().remote_loss_percent, None);
    let report = report_on(bench.feed.reception().ssrc());
    bench.send(&report, rtcp);
    (0..25).for_each(|_| drop(bench.tick()));
    assert_eq!(meters.read().remote_loss_percent, Some(25.0), "it was understood");
    // Who floods with anything else fills no memory.
    (0..50).for_each(|_| bench.send(&[1, 2, 3], rtp));
    assert!(bench.tick().is_empty());
    assert_eq!(bench.take(), 16);
    // What is agreed on anew is watched again, and what was sent meanwhile is not lost.
    bench.send_rtp(5, rtp);
    let again = Box::new(pcmu(bench.peer.local_addr().expect("a bound socket")));
    bench.task.stream.obey(AudioCommand::Run(again));
    bench.task.stream.settle();
    assert!(!bench.task.stream.sockets().0.is_polled());
    bench.readable().await;
    bench.task.stream.read(1);
    assert_eq!(bench.tick(), [5]);
}

/// A report of the peer: a quarter was lost of what we sent.
fn report_on(ssrc: u32) -> Vec<u8> {
    let mut report = [0; 128];
    let mut writer = rtp_srtp::rtcp::Writer::new(&mut report);
    let block = rtp_srtp::rtcp::ReportBlock { ssrc, fraction_lost: 64, ..Default::default() };
    writer.receiver_report(7, &[block]).expect("it fits");
    writer.cname(7, "peer").expect("it fits");
    let length = writer.finish();
    report[..length].to_vec()
}

/// Silence is told of once, and again after the peer was heard again; a tick is enough to see it.
#[tokio::test]
async fn who_falls_silent_is_told_of_once() {
    let mut bench = bench_with(|parameters| parameters.silence = Duration::ZERO);
    let [rtp, _] = bench.addresses();
    for number in 1..3 {
        bench.send_rtp(number, rtp);
        if number == 1 || !TELLS_ARRIVAL {
            bench.readable().await;
            bench.task.stream.read(1);
        }
        assert_eq!(bench.tick(), [number]);
        (0..10).for_each(|_| drop(bench.tick()));
        bench.take();
        let told = bench.told();
        let lost = told.iter().filter(|event| matches!(event, MediaEvent::AudioLost)).count();
        assert_eq!((lost, told.len()), (1, if number == 1 { 2 } else { 1 }), "{told:?}");
    }
}

/// Our reports leave through the task, and so does a goodbye, even when the media thread has let go of the stream.
#[tokio::test]
async fn reports_leave_through_the_task_and_a_goodbye_without_the_media_thread() {
    let mut bench = bench();
    let now = clock::now();
    let later = crate::engine::Now { instant: now.instant + Duration::from_secs(10), ..now };
    bench.tick();
    bench.feed.reception().tick(later, &mut |_| ());
    assert_eq!(bench.take(), 1);
    let report = bench.received().await;
    let is =
        |packet: &rtp_srtp::rtcp::Packet<'_>| matches!(packet, rtp_srtp::rtcp::Packet::ReceiverReport(_));
    let compound = rtp_srtp::rtcp::Compound::parse(&report).expect("a compound");
    assert!(compound.packets().next().is_some_and(|packet| is(&packet)), "{report:?}");
    let Bench { mut task, feed, peer, .. } = bench;
    drop(feed);
    task.stream.end(now.instant);
    let mut buffer = [0; 256];
    let received = tokio::time::timeout(Duration::from_secs(5), peer.recv_from(&mut buffer)).await;
    let (length, _) = received.expect("in time").expect("a goodbye");
    let compound = rtp_srtp::rtcp::Compound::parse(&buffer[..length]).expect("a compound");
    assert!(compound.packets().any(|packet| matches!(packet, rtp_srtp::rtcp::Packet::Bye(_))));
}

/// A task that asked for a deadline in the past asked the clock again and again, and took a whole core.
#[tokio::test]
async fn a_task_with_nothing_to_do_waits() {
    let mut bench = bench();
    assert_eq!(bench.task.stream.deadline(), None);
    // The media thread does not look: what has no room is tried again, later.
    let again = || Box::new(pcmu(SocketAddr::from(([192, 0, 2, 1], 4_000))));
    (0..40).for_each(|_| bench.task.stream.obey(AudioCommand::Run(again())));
    let now = clock::now().instant;
    assert!(bench.task.stream.deadline().is_some_and(|deadline| deadline > now));
    while bench.task.stream.deadline().is_some() {
        bench.tick();
    }
    // Whoever is told of a change that came late has it all the same.
    drop(bench.feed);
    (0..40).for_each(|_| bench.task.stream.obey(AudioCommand::Run(again())));
    assert_eq!(bench.task.stream.deadline(), None, "nobody looks any more");
}
