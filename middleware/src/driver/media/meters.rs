//! Measured values of an audio stream, read at any time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use media::bridge::PortMeters;

use crate::session::SessionId;

/// How an audio stream fares, as measured here.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AudioStatistics {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Packets that should have been received and were not.
    pub lost: u64,
    /// The lost ones among those expected, in percent.
    pub loss_percent: f64,
    /// Interarrival jitter (RFC 3550 §6.4.1) in milliseconds.
    pub jitter_ms: f64,
    /// Time to the peer and back in milliseconds; `None` until a report tells.
    pub round_trip_ms: Option<f64>,
    /// Estimated mean opinion score, 1 to 4.5 (ITU-T G.107).
    pub mos: f64,
    /// How loud the peer is (RMS) in dB below full scale: 0 is the loudest, -96 silence.
    pub heard_db: f32,
    /// How loud we are, likewise.
    pub said_db: f32,
}

/// Where the audio task writes them.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    levels: PortMeters,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) jitter_us: AtomicU32,
    /// 0: not known.
    pub(super) round_trip_us: AtomicU32,
}

impl Meters {
    pub(crate) fn read(&self) -> AudioStatistics {
        let received = self.received.load(Ordering::Relaxed);
        let lost = self.lost.load(Ordering::Relaxed);
        let loss_percent = 100.0 * lost as f64 / (received + lost).max(1) as f64;
        let jitter_ms = f64::from(self.jitter_us.load(Ordering::Relaxed)) / 1_000.0;
        let round_trip = self.round_trip_us.load(Ordering::Relaxed);
        let round_trip_ms = (round_trip > 0).then(|| f64::from(round_trip) / 1_000.0);
        // One way, with what packets and a jitter buffer of twice the jitter add.
        let delay_ms = round_trip_ms.unwrap_or(0.0) / 2.0 + 2.0 * jitter_ms + 40.0;
        let mos = mos(loss_percent, delay_ms);
        let sent = self.sent.load(Ordering::Relaxed);
        AudioStatistics {
            sent,
            received,
            lost,
            loss_percent,
            jitter_ms,
            round_trip_ms,
            mos,
            heard_db: self.levels.given.level().rms_db,
            said_db: self.levels.taken.level().rms_db,
        }
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.round_trip_us.store(micros.max(1), Ordering::Relaxed);
    }
}

/// The meters of all sessions that have audio, found by whoever holds a session.
#[derive(Clone, Default)]
pub(crate) struct MeterBoard {
    meters: Arc<Mutex<HashMap<SessionId, Arc<Meters>>>>,
}

impl MeterBoard {
    /// What the session's audio measures, while it has any.
    pub(crate) fn read(&self, session: SessionId) -> Option<AudioStatistics> {
        self.lock().get(&session).map(|meters| meters.read())
    }

    pub(super) fn add(&self, session: SessionId, levels: PortMeters) -> Arc<Meters> {
        let meters = Arc::new(Meters { levels, ..Meters::default() });
        self.lock().insert(session, meters.clone());
        meters
    }

    pub(super) fn remove(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Meters>>> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The E-model with its default values (ITU-T G.107), for a codec with packet loss concealment
/// (G.113 Appendix I: Ie 0, Bpl 25.1) and random loss.
fn mos(loss_percent: f64, delay_ms: f64) -> f64 {
    let late = if delay_ms > 177.3 { 0.11 * (delay_ms - 177.3) } else { 0.0 };
    let delay_impairment = 0.024 * delay_ms + late;
    let loss_impairment = 95.0 * loss_percent / (loss_percent + 25.1);
    let r = 93.2 - delay_impairment - loss_impairment;
    match r {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6,
    }
}

#[cfg(test)]
mod tests {
    use super::mos;

    #[test]
    fn loss_and_delay_cost_quality() {
        // G.107 Annex B: R = 93.2 without impairments is a MOS of 4.41.
        assert!((mos(0.0, 0.0) - 4.41).abs() < 0.01);
        assert!(mos(5.0, 0.0) < mos(1.0, 0.0));
        assert!(mos(0.0, 400.0) < mos(0.0, 100.0));
        assert!((1.0..=4.5).contains(&mos(100.0, 10_000.0)));
    }
}
