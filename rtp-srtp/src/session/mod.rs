//! RTP sessions (RFC 3550 §6, §8): sources received, our own source, when to send RTCP, and [`Session`], which
//! holds one of each.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation
    )
)]

mod endpoint;
mod quality;
mod receiver;
mod schedule;
mod sender;

use std::time::Duration;

pub use endpoint::{ExtendedReports, RemoteReport, RtcpEvent, Session, SessionConfig, goodbye};
pub use quality::Playout;
pub use receiver::{Received, ReceiverConfig, RtpReceiver, Source};
pub use schedule::{FeedbackTime, RtcpScheduler, ScheduleConfig, Verdict};
pub use sender::{Progress, RtpSender, SenderConfig};

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// A duration in units of a clock of `rate` Hz, modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "RTP timestamps are modulo 2^32")]
fn clock_units(duration: Duration, rate: u32) -> u32 {
    let rate = u64::from(rate);
    let whole = duration.as_secs().wrapping_mul(rate);
    whole.wrapping_add(u64::from(duration.subsec_nanos()) * rate / 1_000_000_000) as u32
}

/// A duration in units of 1/65536 s, as DLSR counts; at most what 32 bits hold.
fn short_ntp(duration: Duration) -> u32 {
    let fraction = (u64::from(duration.subsec_nanos()) << 16) / 1_000_000_000;
    u32::try_from(duration.as_secs().saturating_mul(1 << 16).saturating_add(fraction)).unwrap_or(u32::MAX)
}

/// The round trip of RFC 3550 §6.4.1: A − LSR − DLSR, `None` when the peer's figures are impossible.
fn round_trip(arrival: u32, last_sr: u32, delay: u32) -> Option<Duration> {
    let units = arrival.wrapping_sub(last_sr).wrapping_sub(delay);
    // A clock of 1/65536 s on their side may run a little ahead of ours: a small negative is zero.
    if units > u32::MAX - 0x1000 {
        return Some(Duration::ZERO);
    }
    (units < 1 << 31).then(|| Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of RFC 3550 §6.4.1, figure 2: 0xb710:8000 − 0x0005:4000 − 0xb705:2000 = 6.125 s.
    #[test]
    fn round_trip_of_the_figure_in_rfc_3550() {
        assert_eq!(round_trip(0xb710_8000, 0xb705_2000, 0x0005_4000), Some(Duration::from_millis(6125)));
        assert_eq!(round_trip(10, 11, 5), Some(Duration::ZERO));
        assert_eq!(round_trip(0, 0x4000_0000, 0x100_0000), None);
    }

    #[test]
    fn units_of_clocks() {
        assert_eq!(clock_units(Duration::from_millis(20), 8000), 160);
        assert_eq!(short_ntp(Duration::from_millis(1500)), 0x1_8000);
        assert_eq!(short_ntp(Duration::MAX), u32::MAX);
    }
}
