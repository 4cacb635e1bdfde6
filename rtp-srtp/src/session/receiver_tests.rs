use super::*;
use crate::packet::RtpHeader;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn feed(receiver: &mut RtpReceiver, now: Instant, ssrc: u32, sequence: u16, timestamp: u32) -> Received {
    let mut buffer = [0; 32];
    let len = RtpHeader::new(0, sequence, timestamp, ssrc).write_packet(&[1], &mut buffer).unwrap();
    receiver.receive(now, &RtpPacket::parse(&buffer[..len]).unwrap())
}

fn one_block(receiver: &mut RtpReceiver, now: Instant) -> ReportBlock {
    let mut blocks = [ReportBlock::default(); 31];
    assert_eq!(receiver.report(now, &mut blocks), 1);
    blocks[0]
}

#[test]
fn believed_after_two_in_sequence() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    assert!(matches!(feed(&mut receiver, now, 1, 10, 0), Received::Probation { sequence: 65546 }));
    assert!(matches!(feed(&mut receiver, now, 1, 50, 0), Received::Probation { .. }));
    assert_eq!(receiver.report(now, &mut [ReportBlock::default()]), 0);
    assert_eq!(feed(&mut receiver, now, 1, 51, 0), Received::Valid { sequence: 65587 });
    let source = receiver.source(1).unwrap();
    assert!(source.is_valid());
    assert_eq!((source.received(), source.expected(), source.lost()), (1, 1, 0));
}

#[test]
fn no_probation_when_asked() {
    let now = start();
    let config = ReceiverConfig { min_sequential: 1, ..ReceiverConfig::new(8000) };
    let mut receiver = RtpReceiver::new(now, config);
    assert_eq!(feed(&mut receiver, now, 1, 0, 0), Received::Valid { sequence: 65536 });
    assert_eq!(feed(&mut receiver, now, 1, 65535, 0), Received::Valid { sequence: 65535 });
    assert_eq!(receiver.source(1).unwrap().received(), 2);
}

#[test]
fn extended_over_many_wraps_with_loss_and_reorder() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    let first = 65_530_u64;
    let mut lost = 0;
    let mut previous = None;
    for index in first..first + 200_000 {
        // Every 10th is lost, every 7th arrives after its successor.
        if index % 10 == 5 {
            lost += 1;
            continue;
        }
        let mut due = vec![index];
        if index % 7 == 0 && index > first + 10 {
            previous = Some(index);
            continue;
        }
        due.extend(previous.take());
        for index in due {
            let expected = 65536 + index;
            let sequence = u16::try_from(index & 0xffff).unwrap();
            match feed(&mut receiver, now, 1, sequence, 0) {
                Received::Valid { sequence } | Received::Probation { sequence } => {
                    assert_eq!(sequence, expected);
                }
                other => panic!("{other:?} at {index}"),
            }
        }
    }
    let source = receiver.source(1).unwrap();
    // The first packet was in probation.
    assert!((source.lost() - lost).abs() <= 1, "{} {lost}", source.lost());
    assert_eq!(one_block(&mut receiver, now).highest_sequence, u32::try_from(first + 200_000 - 1).unwrap());
}

#[test]
fn a_jump_is_dropped_and_two_are_a_restart() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    feed(&mut receiver, now, 1, 100, 0);
    feed(&mut receiver, now, 1, 101, 0);
    assert_eq!(feed(&mut receiver, now, 1, 30_000, 0), Received::Jump);
    assert_eq!(feed(&mut receiver, now, 1, 102, 0), Received::Valid { sequence: 65638 });
    assert_eq!(feed(&mut receiver, now, 1, 40_000, 0), Received::Jump);
    let Received::Restarted { sequence } = feed(&mut receiver, now, 1, 40_001, 0) else { panic!() };
    assert!(sequence > 65638);
    assert_eq!(sequence & 0xffff, 40_001);
    assert_eq!(receiver.source(1).unwrap().lost(), 0);
}

#[test]
fn loss_in_reports() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    for sequence in (0..=100).filter(|sequence| !(50..75).contains(sequence)) {
        feed(&mut receiver, now, 1, sequence, 0);
    }
    let block = one_block(&mut receiver, now);
    assert_eq!((block.fraction_lost, block.cumulative_lost), (64, 25));
    // Nothing heard: nothing reported. Then an interval without loss.
    assert_eq!(receiver.report(now, &mut [ReportBlock::default()]), 0);
    for sequence in 101..=200 {
        feed(&mut receiver, now, 1, sequence, 0);
    }
    let block = one_block(&mut receiver, now);
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 25));
    // Duplicates make it negative.
    for _ in 0..30 {
        feed(&mut receiver, now, 1, 200, 0);
    }
    assert_eq!(one_block(&mut receiver, now).cumulative_lost, -5);
}

#[test]
fn jitter_converges_to_the_mean_deviation() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    for packet in 0..2000_u16 {
        // Arrivals alternate by 5 ms: 40 units of difference each time.
        let offset = if packet % 2 == 0 { 0 } else { 5 };
        let arrival = now + Duration::from_millis(u64::from(packet) * 20 + offset);
        feed(&mut receiver, arrival, 1, packet, u32::from(packet) * 160);
    }
    let jitter = receiver.source(1).unwrap().jitter();
    assert!((39..=40).contains(&jitter), "{jitter}");
}

#[test]
fn last_sr_and_the_delay_since() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    feed(&mut receiver, now, 1, 1, 0);
    feed(&mut receiver, now, 1, 2, 0);
    let info = SenderInfo { ntp: crate::rtcp::NtpTime(0x1111_2222_3333_4444), ..Default::default() };
    receiver.sender_report(now, 1, &info);
    let block = one_block(&mut receiver, now + Duration::from_millis(2500));
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x2222_3333, 0x2_8000));
}

#[test]
fn the_table_is_bounded_and_its_places_come_free() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig { max_sources: 3, ..ReceiverConfig::new(8000) });
    for ssrc in 0..1000 {
        feed(&mut receiver, now, ssrc, 1, 0);
        feed(&mut receiver, now, ssrc, 2, 0);
    }
    assert_eq!((receiver.sources().count(), receiver.refused()), (3, 2 * 997));
    assert!(receiver.bye(1) && !receiver.bye(1));
    assert!(matches!(feed(&mut receiver, now, 7, 1, 0), Received::Probation { .. }));
    let later = now + Duration::from_secs(30);
    assert!(matches!(feed(&mut receiver, later, 8, 1, 0), Received::Probation { .. }));
    assert_eq!(receiver.sources().count(), 3);
}

#[test]
fn single_packets_of_made_up_sources_keep_nobody_out() {
    let now = start();
    let mut receiver = RtpReceiver::new(now, ReceiverConfig::new(8000));
    feed(&mut receiver, now, 1, 1, 0);
    feed(&mut receiver, now, 1, 2, 0);
    for ssrc in 100..1000 {
        feed(&mut receiver, now, ssrc, 1, 0);
    }
    assert_eq!(receiver.sources().count(), 8);
    feed(&mut receiver, now, 2, 1, 0);
    assert!(matches!(feed(&mut receiver, now, 2, 2, 0), Received::Valid { .. }));
    assert!(receiver.source(1).unwrap().is_valid());
}
