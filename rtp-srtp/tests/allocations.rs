//! Nothing is allocated per packet: a counting allocator watches the data plane.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rtp_srtp::dtmf::{Digit, EventReceiver, EventSender, EventSenderConfig};
use rtp_srtp::rtcp::{Compound, NtpTime};
use rtp_srtp::session::{Session, SessionConfig};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpPacket, demux};
use testkit::{Counting, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_data_plane_allocates_nothing() {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let begin = Instant::now();
    assert_eq!(counted(|| drop(black_box(vec![1_u8; 100]))).1.allocations, 1, "the allocator counts");
    for suite in Suite::ALL {
        let key = MasterKey::new(suite, &[1; 46][..suite.master_len()]).unwrap();
        let session =
            |seed| Session::new(begin, NtpTime(1 << 40), SessionConfig::new(0, 8000, "someone"), [seed; 32]);
        let (mut ours, mut theirs) = (session(1), session(2));
        let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
        let mut digits = EventSender::new(EventSenderConfig::new(8000, 20));
        let mut heard = EventReceiver::new();
        let mut buffer = [0; 1500];
        let mut rtcp = 0;

        let ((), count) = counted(|| {
            for tick in 0..5000_u32 {
                let now = begin + Duration::from_millis(20) * tick;
                if tick % 100 == 0 {
                    digits.push(Digit::from_code(5).unwrap()).unwrap();
                }
                let len = match digits.tick(tick * 160) {
                    Some(event) => {
                        let (stamp, marker) = (event.timestamp, event.marker);
                        ours.sender_mut().write_as(now, 101, stamp, marker, None, &event.payload, &mut buffer)
                    }
                    None => ours.sender_mut().write(now, tick * 160, tick == 0, &[0; 160], &mut buffer),
                };
                let len = sender.protect(&mut buffer, len.unwrap()).unwrap();
                black_box(demux::classify(&buffer[..len]));
                let len = receiver.unprotect(&mut buffer[..len]).unwrap();
                let packet = RtpPacket::parse(&buffer[..len]).unwrap();
                black_box(theirs.receive(now, &packet));
                if packet.payload_type() == 101 {
                    black_box(heard.receive(packet.timestamp(), packet.payload()).unwrap());
                }
                if let Some(len) = ours.poll_rtcp(now, &mut buffer).unwrap() {
                    rtcp += 1;
                    let len = sender.protect_rtcp(&mut buffer, len).unwrap();
                    let len = receiver.unprotect_rtcp(&mut buffer[..len]).unwrap();
                    let compound = Compound::parse(&buffer[..len]).unwrap();
                    theirs.receive_rtcp(now, &compound, len, |event| {
                        black_box(event);
                    });
                }
            }
        });
        assert_eq!(count.allocations, 0, "{suite}");
        assert!(rtcp > 10);
    }
}
