//! What VoIP metrics say of a source (RFC 3611 §4.7): losses in bursts and in gaps between them, by the machine of
//! its appendix A.2.

use std::time::Duration;

use super::float;
use crate::rtcp::VoipMetrics;

/// Packets in a row that arrive between two bursts at least (RFC 3611 §4.7.2).
const GAP_THRESHOLD: u8 = 16;
/// "Not available" in levels, factors and scores.
const NOT_AVAILABLE: u8 = 127;

/// What the application knows of how a stream is played, for the metrics that go to the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Playout {
    /// Packets that came too late to be played, since the beginning.
    pub discarded: u64,
    /// Delay within this end system: packets, jitter buffer, devices.
    pub delay: Duration,
    /// Delay of the jitter buffer: usual, largest of late, and the most that it may come to.
    pub jitter_buffer: [Duration; 3],
    /// The R factor, 0 to 100, and listening and conversational MOS times 10.
    pub score: Option<(u8, u8, u8)>,
}

/// The four states of appendix A.2, by the counts of their transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bursts {
    /// Packets since the last loss.
    since: u64,
    /// Losses of the burst that goes on.
    lost: u64,
    c11: u64,
    c13: u64,
    c14: u64,
    c22: u64,
    c23: u64,
    c33: u64,
}

/// Densities of loss, and mean lengths in packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    pub(super) burst_density: f64,
    pub(super) gap_density: f64,
    pub(super) burst_length: f64,
    pub(super) gap_length: f64,
}

impl Bursts {
    pub(super) const fn arrived(&mut self) {
        self.since += 1;
    }

    pub(super) fn lost(&mut self, count: u64) {
        for _ in 0..count.min(u64::from(u16::MAX)) {
            if self.since >= u64::from(GAP_THRESHOLD) {
                if self.lost == 1 {
                    self.c14 += 1;
                } else {
                    self.c13 += 1;
                }
                self.lost = 1;
                self.c11 += self.since;
            } else {
                self.lost += 1;
                if self.since == 0 {
                    self.c33 += 1;
                } else {
                    self.c23 += 1;
                    self.c22 += self.since - 1;
                }
            }
            self.since = 0;
        }
    }

    /// Appendix A.2's calculation at the time of a report.
    pub(super) fn shares(&self) -> Shares {
        let of = |count: u64| float(count);
        let (c11, c14, c33) = (of(self.c11 + self.since), of(self.c14), of(self.c33));
        let (c13, c22, c23) = (of(self.c13), of(self.c22), of(self.c23));
        let (c31, c32) = (c13, c23);
        let total = c11 + c14 + c13 + c22 + c23 + c31 + c32 + c33;
        let divided = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let p32 = divided(c32, c31 + c32 + c33);
        let p23 = if c22 + c23 < 1.0 { 1.0 } else { 1.0 - divided(c22, c22 + c23) };
        let gap_length = divided(c11 + c14 + c13, c13);
        Shares {
            burst_density: if c13 > 0.0 { divided(p23, p23 + p32) } else { 0.0 },
            gap_density: divided(c14, c11 + c14),
            burst_length: if c13 > 0.0 { (divided(total, c13) - gap_length).max(0.0) } else { 0.0 },
            gap_length: if c13 > 0.0 { gap_length } else { c11 + c14 },
        }
    }
}

/// The block of a source. `packet` is how long a packet lasts.
pub(super) fn metrics(
    ssrc: u32,
    (expected, lost): (u64, u64),
    bursts: &Bursts,
    packet: Duration,
    round_trip: Option<Duration>,
    playout: &Playout,
) -> VoipMetrics {
    let share = |count: u64| u8::try_from((count << 8).checked_div(expected).unwrap_or(0)).unwrap_or(u8::MAX);
    let milliseconds = |time: Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    let shares = bursts.shares();
    let [usual, late, most] = playout.jitter_buffer.map(milliseconds);
    let (r_factor, mos_lq, mos_cq) = playout.score.unwrap_or((NOT_AVAILABLE, NOT_AVAILABLE, NOT_AVAILABLE));
    let density = |density: f64| whole(density * 256.0, u8::MAX.into()).try_into().unwrap_or(u8::MAX);
    let length = |packets: f64| {
        let milliseconds = packets * packet.as_secs_f64() * 1_000.0;
        whole(milliseconds, u16::MAX.into()).try_into().unwrap_or(u16::MAX)
    };
    VoipMetrics {
        ssrc,
        loss_rate: share(lost),
        discard_rate: share(playout.discarded),
        burst_density: density(shares.burst_density),
        gap_density: density(shares.gap_density),
        burst_duration: length(shares.burst_length),
        gap_duration: length(shares.gap_length),
        round_trip_delay: round_trip.map_or(0, milliseconds),
        end_system_delay: milliseconds(playout.delay),
        signal_level: 127,
        noise_level: 127,
        residual_echo_return_loss: NOT_AVAILABLE,
        gap_threshold: GAP_THRESHOLD,
        r_factor,
        external_r_factor: NOT_AVAILABLE,
        mos_lq,
        mos_cq,
        // RFC 3611 §4.7.6: enhanced concealment, adaptive jitter buffer, rate not told.
        receiver_config: 0b1111_0000,
        jitter_nominal: usual,
        jitter_maximum: late,
        jitter_absolute_maximum: most,
    }
}

/// Rounded, between 0 and `most`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was clamped to what fits")]
fn whole(value: f64, most: u32) -> u32 {
    if value.is_nan() { 0 } else { value.round().clamp(0.0, f64::from(most)) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Bursts {
        let mut bursts = Bursts::default();
        for (count, kind) in text.split(' ').map(|part| part.split_at(part.len() - 1)) {
            let count = count.parse().unwrap();
            match kind {
                "+" => (0..count).for_each(|_| bursts.arrived()),
                _ => bursts.lost(count),
            }
        }
        bursts
    }

    #[test]
    fn no_loss_is_one_gap() {
        let shares = pattern("500+").shares();
        assert_eq!((shares.burst_density, shares.gap_density, shares.burst_length), (0.0, 0.0, 0.0));
        assert!((shares.gap_length - 500.0).abs() < 1.0);
    }

    /// Single losses far apart are loss within a gap, not bursts.
    #[test]
    fn single_losses_belong_to_the_gap() {
        let bursts = pattern(&["49+ 1-"; 40].join(" "));
        let shares = bursts.shares();
        assert!((shares.gap_density - 0.02).abs() < 0.002, "{shares:?}");
        assert!(shares.burst_length < 2.0, "{shares:?}");
    }

    /// Ten packets of which every second is lost, then 90 that arrive: bursts of about ten packets, half of them lost.
    #[test]
    fn bursts_are_told_from_gaps() {
        let burst = ["1- 1+"; 5].join(" ");
        let one = format!("{burst} 90+");
        let shares = pattern(&vec![one; 50].join(" ")).shares();
        assert!((0.4..0.7).contains(&shares.burst_density), "{shares:?}");
        assert!((8.0..12.0).contains(&shares.burst_length), "{shares:?}");
        assert!((85.0..96.0).contains(&shares.gap_length), "{shares:?}");
        assert!(shares.gap_density < 0.01, "{shares:?}");
    }

    #[test]
    fn metrics_say_what_is_known_and_that_the_rest_is_not() {
        let bursts = pattern(&["49+ 1-"; 40].join(" "));
        let playout =
            Playout { delay: Duration::from_millis(80), score: Some((90, 43, 42)), ..Playout::default() };
        let packet = Duration::from_millis(20);
        let block = metrics(5, (2_000, 40), &bursts, packet, Some(Duration::from_millis(120)), &playout);
        assert_eq!((block.ssrc, block.loss_rate, block.discard_rate), (5, 5, 0));
        assert_eq!((block.round_trip_delay, block.end_system_delay), (120, 80));
        assert_eq!((block.r_factor, block.mos_lq, block.mos_cq, block.gap_threshold), (90, 43, 42, 16));
        assert_eq!((block.signal_level, block.external_r_factor), (127, 127));
        let silent = metrics(5, (0, 0), &Bursts::default(), packet, None, &Playout::default());
        assert_eq!((silent.loss_rate, silent.mos_lq, silent.round_trip_delay), (0, 127, 0));
    }
}
