//! DTLS-SRTP under attack: an application calls a peer that is played here, socket by socket.

#[path = "support/pace.rs"]
mod pace;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pace::listen;
use rtp_srtp::dtls::{Association, Event, Fingerprint, Hash, Identity, Output, Role, Timing};
use rtp_srtp::srtp::{SrtpReceiver, SrtpSender};
use rtp_srtp::{RtpHeader, demux};
use sipsimple::configuration::{AudioConfiguration, AudioInput, AudioOutput, RtpConfiguration, SrtpKeying};
use sipsimple::notification::{Filter, NotificationCenter, NotificationStream, SessionEvent};
use sipsimple::{Application, Credentials, Session, StreamSet, Uri};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the played peer does on the media path.
#[derive(Clone, Copy, PartialEq)]
enum Play {
    /// Nothing: the handshake goes unanswered.
    Silent,
    /// It shakes hands with another certificate than it announced.
    Impostor,
    /// It is who it says.
    Honest,
}

/// What it saw.
#[derive(Default)]
struct Seen {
    dtls: usize,
    srtp: usize,
    /// Packets that were RTP or RTCP, and not encrypted with the keys agreed on.
    plain: usize,
}

/// A peer that answers an INVITE, and every re-INVITE, with DTLS-SRTP.
struct Peer {
    uri: Uri,
    stop: Arc<AtomicBool>,
    signalling: JoinHandle<()>,
    media: JoinHandle<Seen>,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["peer.invalid".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der();
    Identity::new(made.cert.der().to_vec(), key, Timing::default()).expect("an ECDSA key")
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback interface");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
    socket
}

#[expect(clippy::disallowed_methods, reason = "the peer lives in real time, as the application does")]
fn now() -> Instant {
    Instant::now()
}

impl Peer {
    fn start(play: Play) -> Self {
        let (sip, rtp) = (socket(), socket());
        let ours = identity();
        let announced = if play == Play::Impostor { identity() } else { ours.clone() };
        let stop = Arc::new(AtomicBool::new(false));
        let (offers, offered) = mpsc::channel();
        let address = sip.local_addr().expect("it is bound");
        let uri = format!("sip:peer@{address}").parse().expect("a URI");
        let description = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} UDP/TLS/RTP/SAVP 0\r\na=rtcp-mux\r\na=setup:passive\r\na=fingerprint:{}\r\n",
            rtp.local_addr().expect("it is bound").port(),
            announced.fingerprint(Hash::Sha256),
        );
        let stopped = stop.clone();
        let signalling = std::thread::spawn(move || signalling(&sip, &description, &stopped, &offers));
        let stopped = stop.clone();
        let media = std::thread::spawn(move || media_path(&rtp, play, &ours, &stopped, &offered));
        Self { uri, stop, signalling, media }
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.signalling.join().expect("it did not panic");
        self.media.join().expect("it did not panic")
    }
}

/// Answers each INVITE with the same description and everything else with a plain 200.
fn signalling(sip: &UdpSocket, description: &str, stop: &AtomicBool, offers: &mpsc::Sender<String>) {
    let mut buffer = [0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = sip.recv_from(&mut buffer) else { continue };
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if request.starts_with("SIP/2.0") || request.starts_with("ACK") {
            continue;
        }
        let is_invite = request.starts_with("INVITE");
        if is_invite {
            // Nobody waits for the second one.
            let _ = offers.send(request.clone());
        }
        let mut response = String::from("SIP/2.0 200 OK\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            match name {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => response += &format!("{line}\r\n"),
                "To" if line.contains(";tag=") => response += &format!("{line}\r\n"),
                "To" => response += &format!("{line};tag=played\r\n"),
                _ => {}
            }
        }
        let address = sip.local_addr().expect("it is bound");
        response += &format!("Contact: <sip:peer@{address}>\r\n");
        let body = if is_invite { description } else { "" };
        if is_invite {
            response += "Content-Type: application/sdp\r\n";
        }
        response += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        sip.send_to(response.as_bytes(), from).expect("the loopback interface takes it");
    }
}

/// What an offer's line is after its colon.
fn said(offer: &str, attribute: &str) -> String {
    let line = offer.lines().find_map(|line| line.strip_prefix(attribute));
    line.unwrap_or_else(|| panic!("no {attribute} in {offer}")).trim().to_owned()
}

fn media_path(
    rtp: &UdpSocket,
    play: Play,
    ours: &Identity,
    stop: &AtomicBool,
    offered: &mpsc::Receiver<String>,
) -> Seen {
    let mut seen = Seen::default();
    let Ok(offer) = offered.recv_timeout(PATIENCE) else { return seen };
    assert!(offer.contains(" UDP/TLS/RTP/SAVP "), "{offer}");
    assert!(!offer.contains("a=crypto"), "no key is in the signalling: {offer}");
    assert!(offer.contains("a=setup:actpass") && offer.contains("a=rtcp-mux"));
    let fingerprint = said(&offer, "a=fingerprint:sha-256 ");
    let digest: Vec<u8> =
        fingerprint.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect();
    let port = said(&offer, "m=audio ").split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
    let application = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut association =
        Association::new(now(), ours, Role::Passive, vec![Fingerprint::new(Hash::Sha256, digest)]);
    let mut keys: Option<(SrtpSender, SrtpReceiver)> = None;
    let (mut buffer, mut sequence) = ([0; 2_048], 0_u16);
    let mut first_hello: Option<Vec<u8>> = None;
    let mut next = now();
    while !stop.load(Ordering::Relaxed) {
        if next <= now() {
            next += Duration::from_millis(20);
            sequence = sequence.wrapping_add(1);
            let mut packet = [0; 300];
            let write = |ssrc, packet: &mut [u8]| {
                let header = RtpHeader::new(0, sequence, u32::from(sequence) * 160, ssrc);
                header.write_packet(&[0x7f; 160], packet).expect("it fits")
            };
            // In the clear, all the time: it must not be heard.
            let length = write(0xbad, &mut packet);
            rtp.send_to(&packet[..length], application).expect("the loopback interface takes it");
            let length = write(0x900d, &mut packet);
            if let Some((sender, _)) = &mut keys {
                let length = sender.protect(&mut packet, length).expect("there is room");
                rtp.send_to(&packet[..length], application).expect("the loopback interface takes it");
            }
            if let (Some(hello), true) = (&first_hello, sequence.is_multiple_of(10)) {
                // And what the application said itself, played back to it.
                rtp.send_to(hello, application).expect("the loopback interface takes it");
            }
        }
        if let Ok((length, _)) = rtp.recv_from(&mut buffer) {
            let datagram = &mut buffer[..length];
            match demux::classify(datagram) {
                Some(demux::Protocol::Dtls) => {
                    seen.dtls += 1;
                    first_hello.get_or_insert_with(|| datagram.to_vec());
                    if play != Play::Silent {
                        association.handle_input(now(), datagram);
                    }
                }
                Some(kind @ (demux::Protocol::Rtp | demux::Protocol::Rtcp)) => {
                    let opened = keys.as_mut().is_some_and(|(_, receiver)| match kind {
                        demux::Protocol::Rtp => receiver.unprotect(datagram).is_ok(),
                        _ => receiver.unprotect_rtcp(datagram).is_ok(),
                    });
                    *(if opened { &mut seen.srtp } else { &mut seen.plain }) += 1;
                }
                _ => {}
            }
        }
        association.handle_timeout(now());
        loop {
            match association.poll_output() {
                Output::Transmit(datagram) => {
                    rtp.send_to(&datagram, application).expect("the loopback interface takes it");
                }
                Output::Event(Event::Keys(agreed)) => {
                    keys = Some((SrtpSender::new(&agreed.sending), SrtpReceiver::new(&agreed.receiving)));
                }
                Output::Event(_) => {}
                Output::Idle(_) => break,
            }
        }
    }
    seen
}

async fn application(folder: &std::path::Path) -> (Application, NotificationStream) {
    let wav = folder.join("speech.wav");
    std::fs::write(&wav, media::assets::ALICE).expect("the disk has room");
    let center = NotificationCenter::new();
    let notifications = center.stream(Filter::any(), 1_000);
    let rtp = RtpConfiguration {
        use_srtp: true,
        srtp_forced: true,
        srtp_keying: SrtpKeying::Dtls,
        codecs: vec!["PCMU".to_owned()],
        ..RtpConfiguration::default()
    };
    let input = AudioInput::File { path: wav, repeat: true };
    let application = Application::builder()
        .bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .port(0)
        .rtp_config(rtp)
        .audio(AudioConfiguration { input, output: AudioOutput::Null, ..AudioConfiguration::default() })
        .notification_center(center)
        .start()
        .await
        .expect("sockets on the loopback interface");
    (application, notifications)
}

async fn wait_for(notifications: &mut NotificationStream, is_it: impl Fn(&SessionEvent) -> bool) -> String {
    let waiting = async {
        loop {
            let notification = notifications.next().await.expect("the application runs");
            if let Some(event) = notification.session_event()
                && is_it(event)
            {
                return format!("{event:?}");
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it happens")
}

async fn call(application: &Application, peer: &Peer) -> Session {
    let us: Uri = format!("sip:us@{}", application.addresses()[0].1).parse().expect("a URI");
    let session = application.session_manager().new_session();
    let asked = session.connect(peer.uri.clone(), Credentials::new(us), None, StreamSet::AUDIO).await;
    asked.expect("it is legal in NULL");
    session
}

/// Before there are keys nothing leaves but the handshake, whatever is done to the session; and
/// nothing is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_not_one_packet_leaves_or_is_heard() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (application, mut notifications) = application(folder.path()).await;
    let peer = Peer::start(Play::Silent);
    let session = call(&application, &peer).await;
    wait_for(&mut notifications, |event| event.name() == "SCSessionDidStart").await;
    listen(Duration::from_millis(700)).await;
    session.hold().await.expect("it is established");
    listen(Duration::from_millis(300)).await;
    session.unhold().await.expect("it is established");
    session.send_dtmf('5').await.ok();
    listen(Duration::from_millis(700)).await;
    assert_eq!(session.audio_srtp_active(), Some(false));
    assert_eq!(session.audio_statistics().expect("it has audio").received, 0);
    session.terminate().await.expect("it is legal anywhere");
    wait_for(&mut notifications, |event| event.name() == "SCSessionDidEnd").await;
    application.stop().await;
    let seen = peer.end();
    assert!(seen.dtls >= 3, "the hello is repeated: {}", seen.dtls);
    assert_eq!((seen.plain, seen.srtp), (0, 0));
}

/// RFC 5763 §5: another certificate than was announced ends the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impostor_ends_the_session_and_hears_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (application, mut notifications) = application(folder.path()).await;
    let peer = Peer::start(Play::Impostor);
    let _session = call(&application, &peer).await;
    let told = wait_for(&mut notifications, |event| matches!(event, SessionEvent::DidFail { .. })).await;
    assert!(told.contains("certificate"), "{told}");
    wait_for(&mut notifications, |event| event.name() == "SCSessionDidEnd").await;
    application.stop().await;
    let seen = peer.end();
    assert!(seen.dtls >= 2);
    assert_eq!((seen.plain, seen.srtp), (0, 0));
}

/// With keys what is encrypted is heard both ways; the plain packets between, and the handshake's own
/// beginning played back, change nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_keys_plain_packets_and_replayed_hellos_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (application, mut notifications) = application(folder.path()).await;
    let peer = Peer::start(Play::Honest);
    let session = call(&application, &peer).await;
    wait_for(&mut notifications, |event| event.name() == "SCSessionDidStart").await;
    listen(Duration::from_secs(2)).await;
    // A re-INVITE that changes nothing of it keeps the association.
    session.hold().await.expect("it is established");
    listen(Duration::from_millis(300)).await;
    session.unhold().await.expect("it is established");
    listen(Duration::from_secs(1)).await;
    assert_eq!(session.audio_srtp_active(), Some(true));
    let statistics = session.audio_statistics().expect("it has audio");
    assert!(statistics.received > 80, "{statistics:?}");
    session.terminate().await.expect("it is legal anywhere");
    wait_for(&mut notifications, |event| event.name() == "SCSessionDidEnd").await;
    application.stop().await;
    let seen = peer.end();
    assert!(seen.srtp > 80, "{}", seen.srtp);
    assert_eq!(seen.plain, 0);
}
