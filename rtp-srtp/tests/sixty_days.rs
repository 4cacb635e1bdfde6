//! Sixty days in virtual time: sequence numbers, timestamps, rollover counters and the NTP clock wrap, and nothing
//! drifts.

use std::time::{Duration, Instant};

use rtp_srtp::RtpPacket;
use rtp_srtp::rtcp::{Compound, NtpTime, Packet};
use rtp_srtp::session::{Received, RtcpEvent, ScheduleConfig, Session, SessionConfig};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

const DAY: Duration = Duration::from_secs(86_400);
/// So far apart are packets: a long silence between each two, so that the days go by quickly.
const STEP: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_millis(40);
const RATE: u64 = 48_000;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn session(now: Instant, wall: NtpTime, seed: u8) -> Session {
    let schedule = ScheduleConfig { minimum: Duration::from_secs(60), ..ScheduleConfig::default() };
    let config = SessionConfig { schedule, ..SessionConfig::new(0, 48_000, format!("{seed}@test")) };
    Session::new(now, wall, config, [seed; 32])
}

#[test]
fn everything_wraps_and_nothing_drifts() {
    let begin = start();
    // NTP's seconds begin anew on 7 February 2036, here on the thirtieth day.
    let era = Duration::from_secs((1 << 32) - 2_208_988_800);
    let wall = NtpTime::from_unix(era - 30 * DAY);
    let (mut speaker, mut listener) = (session(begin, wall, 1), session(begin, wall, 2));
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[9; 30]).expect("30 bytes");
    let (mut sealing, mut opening) = (SrtpSender::new(&key), SrtpReceiver::new(&key));

    let steps = u32::try_from((60 * DAY).as_secs() / STEP.as_secs()).expect("a hundred thousand and more");
    let mut first_sequence = None;
    let (mut trips, mut wrapped_clock, mut last_ntp) = (0, false, 0);
    let mut origin = None;
    let mut buffer = [0; 600];
    for step in 0..steps {
        let now = begin + STEP * step;
        let timestamp = (u64::from(step) * STEP.as_secs() * RATE) as u32;
        let length =
            speaker.sender_mut().write(now, timestamp, false, &[7; 80], &mut buffer).expect("it fits");
        let length = sealing.protect(&mut buffer, length).expect("there is room");
        let length = opening.unprotect(&mut buffer[..length]).expect("it is authentic");
        let packet = RtpPacket::parse(&buffer[..length]).expect("a packet");
        let (Received::Valid { sequence } | Received::Probation { sequence }) =
            listener.receive(now + DELAY, &packet)
        else {
            panic!("packet {step} is not in sequence")
        };
        let first = *first_sequence.get_or_insert(sequence);
        assert_eq!(sequence - first, u64::from(step), "extended sequence numbers only grow");

        for from_speaker in [true, false] {
            let (from, to) =
                if from_speaker { (&mut speaker, &mut listener) } else { (&mut listener, &mut speaker) };
            let Some(length) = from.poll_rtcp(now, &mut buffer).expect("it fits") else { continue };
            let length = sealing_rtcp(from_speaker, &mut sealing, &mut opening, &mut buffer, length);
            let compound = Compound::parse(&buffer[..length]).expect("a compound");
            if let Some(Packet::SenderReport(report)) = compound.packets().next() {
                let ntp = report.info.ntp.0;
                wrapped_clock |= ntp < last_ntp;
                last_ntp = ntp;
                // The report's two clocks are of one moment.
                let since = (u128::from(ntp.wrapping_sub(wall.0)) * u128::from(RATE)) >> 32;
                let apart = (since as u32).wrapping_sub(report.info.rtp_timestamp);
                // Timestamps begin anywhere.
                let drift = apart.wrapping_sub(*origin.get_or_insert(apart)).cast_signed();
                assert!(drift.abs() <= 2, "{drift} samples after {:?}", STEP * step);
            }
            to.receive_rtcp(now + DELAY, &compound, length, |event| {
                if let RtcpEvent::Report(report) = event
                    && let Some(trip) = report.round_trip
                {
                    trips += 1;
                    let wrong = trip.abs_diff(2 * DELAY);
                    assert!(wrong <= Duration::from_millis(41), "{trip:?} after {:?}", STEP * step);
                }
            });
        }
    }
    assert!(wrapped_clock && trips > 10_000, "{wrapped_clock} {trips}");
    let source = listener.receiver().source(speaker.sender().ssrc()).expect("it was heard");
    assert_eq!((source.lost(), source.jitter()), (0, 0));
    assert_eq!(speaker.sender().packet_count(), steps);
    assert!(opening.rollover_counter(source.ssrc()).is_some_and(|counter| counter >= 2));
    assert_eq!(opening.rollover_counter(source.ssrc()), sealing.rollover_counter(source.ssrc()));
}

/// What the speaker sends is encrypted too; the listener's reports have no key here.
fn sealing_rtcp(
    from_speaker: bool,
    sealing: &mut SrtpSender,
    opening: &mut SrtpReceiver,
    buffer: &mut [u8],
    length: usize,
) -> usize {
    if !from_speaker {
        return length;
    }
    let length = sealing.protect_rtcp(buffer, length).expect("there is room");
    opening.unprotect_rtcp(&mut buffer[..length]).expect("it is authentic")
}
