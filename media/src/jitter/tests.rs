use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn buffer() -> JitterBuffer {
    JitterBuffer::new(JitterConfig { start_delay: Duration::ZERO, ..JitterConfig::default() })
}

/// Payload number of what comes next; 255 missing, 254 pause, 253 empty.
fn step(buffer: &mut JitterBuffer) -> u8 {
    let (code, played) = match buffer.take() {
        Next::Packet { payload, .. } => (payload[0], true),
        Next::Missing { .. } => (255, false),
        Next::Pause => (254, false),
        Next::Empty => (253, false),
    };
    if played {
        buffer.played(160);
    }
    code
}

fn put(buffer: &mut JitterBuffer, n: u64, at: u64) -> Inserted {
    buffer.insert(n, n as u32 * 160, 0, &[n as u8], MS(at))
}

#[test]
fn in_order_without_jitter_plays_at_once() {
    let mut buffer = buffer();
    assert_eq!(step(&mut buffer), 253);
    for n in 0..100 {
        put(&mut buffer, n, n * 20);
        assert_eq!(step(&mut buffer), n as u8);
    }
    assert_eq!(buffer.stats().missing + buffer.stats().starved, 0);
}

#[test]
fn reordered_packets_come_out_in_order() {
    let mut buffer = buffer();
    for n in [1, 0, 3, 2] {
        put(&mut buffer, n, 20 * n);
    }
    assert_eq!([0; 4].map(|_| step(&mut buffer)), [0, 1, 2, 3]);
    assert_eq!(buffer.stats().reordered, 2);
}

#[test]
fn a_lost_packet_is_one_missing_frame_with_what_follows() {
    let mut buffer = buffer();
    for n in [0, 1, 3, 4] {
        put(&mut buffer, n, 20 * n);
    }
    assert_eq!([0; 2].map(|_| step(&mut buffer)), [0, 1]);
    assert_eq!(buffer.take(), Next::Missing { following: Some((0, &[3][..])) });
    assert_eq!([0; 2].map(|_| step(&mut buffer)), [3, 4]);
    assert_eq!(put(&mut buffer, 2, 100), Inserted::Late);
    assert_eq!((buffer.stats().missing, buffer.stats().late), (1, 1));
}

#[test]
fn duplicates_are_dropped() {
    let mut buffer = buffer();
    put(&mut buffer, 0, 0);
    assert_eq!(put(&mut buffer, 0, 1), Inserted::Duplicate);
    assert_eq!(buffer.held(), 1);
}

#[test]
fn starving_keeps_the_place_for_a_late_packet() {
    let mut buffer = buffer();
    put(&mut buffer, 0, 0);
    assert_eq!([0; 3].map(|_| step(&mut buffer)), [0, 255, 255]);
    put(&mut buffer, 1, 60);
    assert_eq!(step(&mut buffer), 1, "40 ms late and still of use");
    assert_eq!(step(&mut buffer), 255);
    put(&mut buffer, 3, 61);
    assert_eq!(step(&mut buffer), 3, "packet 2 was concealed already");
}

#[test]
fn what_was_played_is_not_played_again_after_starving() {
    let mut buffer = buffer();
    put(&mut buffer, 0, 0);
    put(&mut buffer, 1, 20);
    let drained = [0; 8].map(|_| step(&mut buffer));
    assert_eq!(drained, [0, 1, 255, 255, 255, 255, 253, 253]);
    put(&mut buffer, 3, 200);
    assert_eq!(put(&mut buffer, 1, 201), Inserted::Late);
    assert_eq!(put(&mut buffer, 2, 202), Inserted::Stored, "never played: still of use");
    let heard = [0; 30].map(|_| step(&mut buffer));
    assert_eq!(heard.iter().filter(|code| **code < 250).collect::<Vec<_>>(), [&2, &3], "{heard:?}");
}

#[test]
fn a_pause_of_the_sender_is_not_loss() {
    let mut buffer = buffer();
    for n in 0..10 {
        put(&mut buffer, n, 20 * n);
        step(&mut buffer);
    }
    for _ in 0..20 {
        step(&mut buffer);
    }
    // Sequence goes on, the timestamp has counted the pause.
    buffer.insert(10, 30 * 160, 0, &[10], MS(600));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(step(&mut buffer));
    }
    assert!(seen.contains(&10), "{seen:?}");
    assert_eq!(buffer.stats().missing, 0);
}

#[test]
fn timestamps_and_sequences_far_away_are_a_new_start() {
    let mut buffer = buffer();
    put(&mut buffer, 0, 0);
    assert_eq!(step(&mut buffer), 0);
    buffer.insert(1_000_000, 77, 0, &[9], MS(20));
    assert_eq!(step(&mut buffer), 9);
    assert_eq!(buffer.stats().overflows, 1);
    for n in 0..u64::from(LATE_RUN) {
        buffer.insert(n + 5, n as u32 * 160, 0, &[42], MS(40 + n));
    }
    let heard = [0; 3].map(|_| step(&mut buffer));
    assert!(heard.contains(&42), "a sender that started anew below is followed: {heard:?}");
}

#[test]
fn timestamp_wrap_is_seamless() {
    let mut buffer = buffer();
    let start = u32::MAX - 160 * 5;
    for n in 0..20u64 {
        buffer.insert(n, start.wrapping_add(n as u32 * 160), 0, &[n as u8], MS(20 * n));
        assert_eq!(step(&mut buffer), n as u8);
    }
}

#[test]
fn delay_grows_with_jitter_and_advice_follows() {
    let mut buffer = buffer();
    let mut waiting: Vec<(u64, u64)> = (0..1_000).map(|n| (20 * n + (n * 7919) % 80, n)).collect();
    waiting.sort_unstable();
    let mut waiting = waiting.into_iter().peekable();
    let mut concealed_late = 0;
    for tick in 0..1_000u64 {
        while let Some((at, n)) = waiting.next_if(|(at, _)| *at <= tick * 20) {
            put(&mut buffer, n, at);
        }
        let code = step(&mut buffer);
        if tick > 200 && code == 255 {
            concealed_late += 1;
        }
    }
    assert!(buffer.target() >= MS(95) && buffer.target() <= MS(105), "{:?}", buffer.target());
    assert!(concealed_late < 30, "{concealed_late} of 800");
}

#[test]
fn memory_is_bounded() {
    let mut buffer = JitterBuffer::new(JitterConfig { max_packets: 16, ..JitterConfig::default() });
    for n in 0..1_000 {
        put(&mut buffer, n, 0);
        assert!(buffer.held() <= 16);
    }
    assert!(buffer.stats().overflows > 0);
}

/// Ticks of 20 ms, each so many microseconds late, with packets that come without jitter and are played as a
/// stream does where nobody speaks; gives the frames concealed and the delay at the end.
fn played_in_quiet(ticks: u64, late: impl Fn(u64) -> i64) -> (u64, Duration) {
    let (mut buffer, mut decoded, mut next) = (JitterBuffer::new(JitterConfig::default()), 0, 0);
    for tick in 0..ticks {
        while next as i64 * 20_000 <= tick as i64 * 20_000 + late(tick) {
            put(&mut buffer, next, next * 20);
            next += 1;
        }
        while decoded < 160 && step(&mut buffer) != 253 {
            decoded += 160;
        }
        if decoded < 160 {
            continue;
        }
        if let Advice::Shorten(_, most) = buffer.advice(decoded, 160)
            && (decoded >= 320
                || (buffer.is_ready() && step(&mut buffer) < 253 && {
                    decoded += 160;
                    true
                }))
        {
            decoded -= most.min(80);
            buffer.adjusted(-most.min(80));
        }
        decoded -= 160;
    }
    (buffer.stats().starved, buffer.delay())
}

#[test]
fn packets_that_come_right_at_a_tick_are_not_missed_again_and_again() {
    let (concealed, delay) = played_in_quiet(3_000, |_| 1_000);
    assert_eq!((concealed, delay), (0, MS(30)), "each is there a millisecond before its tick");
    // One of three ticks is before its packet.
    let (concealed, delay) = played_in_quiet(3_000, |tick| if tick * 7919 % 101 < 33 { -100 } else { 100 });
    assert_eq!(concealed, 0);
    assert!(delay <= MS(50), "{delay:?}");
}
