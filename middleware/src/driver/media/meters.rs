//! Measured values of an audio stream, read at any time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use media::StreamFeedback;
use media::bridge::PortMeters;
use media::engine::{EngineMeter, EngineStats};
use media::quality::{self, CodecImpairment};

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
    /// Frames of 20 ms or so that had to be made up because a packet was lost or late.
    pub concealed: u64,
    /// Packets that came too late to be heard.
    pub late: u64,
    /// Delay of the jitter buffer in milliseconds.
    pub delay_ms: f64,
    /// What the peer reports to have lost of what we sent, in percent; `None` until it does.
    pub remote_loss_percent: Option<f64>,
    /// The interarrival jitter that it reports, in milliseconds.
    pub remote_jitter_ms: Option<f64>,
    /// How it hears us: the mean opinion score of its VoIP metrics (RFC 3611 §4.7).
    pub remote_mos: Option<f64>,
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
    levels: OnceLock<PortMeters>,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) jitter_us: AtomicU32,
    /// 0: not known.
    pub(super) round_trip_us: AtomicU32,
    /// In 1/256, and one more; 0: not known.
    remote_loss: AtomicU32,
    /// Likewise in µs.
    remote_jitter_us: AtomicU32,
    /// Likewise in tenths.
    remote_mos: AtomicU32,
    /// What the media thread counts, and the codec.
    stream: OnceLock<StreamFeedback>,
    /// Its two figures as bits; 0: not known.
    codec: [AtomicU64; 2],
}

impl Meters {
    pub(crate) fn read(&self) -> AudioStatistics {
        let received = self.received.load(Ordering::Relaxed);
        let lost = self.lost.load(Ordering::Relaxed);
        let loss_percent = 100.0 * lost as f64 / (received + lost).max(1) as f64;
        let jitter_ms = f64::from(self.jitter_us.load(Ordering::Relaxed)) / 1_000.0;
        let round_trip = self.round_trip_us.load(Ordering::Relaxed);
        let round_trip_ms = (round_trip > 0).then(|| f64::from(round_trip) / 1_000.0);
        let levels = self.levels.get().cloned().unwrap_or_default();
        let heard = self.stream.get().map(StreamFeedback::stats).unwrap_or_default();
        let delay_ms = heard.delay.as_secs_f64() * 1_000.0;
        let remote_loss = self.remote_loss.load(Ordering::Relaxed);
        let remote_loss_percent = (remote_loss > 0).then(|| f64::from(remote_loss - 1) / 2.56);
        // What is heard counts: a packet that came too late is as good as lost, a restored one is not.
        let concealed = 100.0 * heard.concealed as f64 / (heard.played + heard.concealed).max(1) as f64;
        // Mouth to ear: half the round trip, a packet's time, and what waits in the jitter buffer.
        let mouth_to_ear = round_trip_ms.unwrap_or(0.0) / 2.0 + 20.0 + delay_ms;
        let codec = self.codec();
        let mos = quality::mos(quality::rating(codec, mouth_to_ear, concealed, 1.0));
        let told = |value: &AtomicU32| value.load(Ordering::Relaxed).checked_sub(1).map(f64::from);
        AudioStatistics {
            sent: self.sent.load(Ordering::Relaxed),
            received,
            lost,
            loss_percent,
            jitter_ms,
            concealed: heard.concealed,
            late: heard.late,
            delay_ms,
            remote_loss_percent,
            remote_jitter_ms: told(&self.remote_jitter_us).map(|micros| micros / 1_000.0),
            remote_mos: told(&self.remote_mos).map(|tenths| tenths / 10.0),
            round_trip_ms,
            mos,
            heard_db: levels.given.level().rms_db,
            said_db: levels.taken.level().rms_db,
        }
    }

    /// The stream that the media thread runs, and its levels.
    pub(super) fn attach(&self, stream: StreamFeedback, levels: PortMeters) {
        // Meters are made for one stream.
        let _ = self.stream.set(stream);
        let _ = self.levels.set(levels);
    }

    /// The codec, for the opinion score.
    pub(super) fn set_codec(&self, name: &str) {
        let CodecImpairment { ie, bpl } = CodecImpairment::of(name);
        for (place, value) in self.codec.iter().zip([ie, bpl]) {
            place.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// The peer reports what it has lost, in 1/256: the encoder prepares for it.
    pub(super) fn set_remote_loss(&self, fraction: u8) {
        self.remote_loss.store(u32::from(fraction) + 1, Ordering::Relaxed);
        if let Some(stream) = self.stream.get() {
            let percent = u32::from(fraction) * 100 / 256;
            stream.set_expected_loss(u8::try_from(percent).unwrap_or(100));
        }
    }

    /// The jitter that it reports, in units of the RTP clock.
    pub(super) fn set_remote_jitter(&self, jitter: u32, clock_rate: u32) {
        let micros = u64::from(jitter) * 1_000_000 / u64::from(clock_rate.max(1));
        let micros = u32::try_from(micros).unwrap_or(u32::MAX - 1);
        self.remote_jitter_us.store(micros.saturating_add(1), Ordering::Relaxed);
    }

    /// The score of its VoIP metrics, times ten; 127 is none.
    pub(super) fn set_remote_mos(&self, tenths: u8) {
        if (10..=50).contains(&tenths) {
            self.remote_mos.store(u32::from(tenths) + 1, Ordering::Relaxed);
        }
    }

    fn codec(&self) -> CodecImpairment {
        let [ie, bpl] = [0, 1].map(|at| f64::from_bits(self.codec[at].load(Ordering::Relaxed)));
        // No codec stands no loss at all.
        if bpl == 0.0 { CodecImpairment::of("") } else { CodecImpairment { ie, bpl } }
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.round_trip_us.store(micros.max(1), Ordering::Relaxed);
    }
}

/// The meters of all sessions that have audio, found by whoever holds a session.
#[derive(Clone, Default)]
pub(crate) struct MeterBoard {
    engine: Arc<OnceLock<EngineMeter>>,
    meters: Arc<Mutex<HashMap<SessionId, Arc<Meters>>>>,
}

impl MeterBoard {
    /// What the session's audio measures, while it has any.
    pub(crate) fn read(&self, session: SessionId) -> Option<AudioStatistics> {
        self.lock().get(&session).map(|meters| meters.read())
    }

    /// How punctual the media threads are, once there are some.
    pub(crate) fn engine(&self) -> EngineStats {
        self.engine.get().map(EngineMeter::stats).unwrap_or_default()
    }

    pub(super) fn watch(&self, engine: EngineMeter) {
        // An application has one engine.
        let _ = self.engine.set(engine);
    }

    pub(super) fn of(&self, session: SessionId) -> Option<Arc<Meters>> {
        self.lock().get(&session).cloned()
    }

    pub(super) fn add(&self, session: SessionId) -> Arc<Meters> {
        let meters = Arc::new(Meters::default());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_told_and_loss_is() {
        let meters = Meters::default();
        meters.set_codec("PCMU");
        let fresh = meters.read();
        assert_eq!((fresh.round_trip_ms, fresh.remote_loss_percent), (None, None));
        // G.107 Annex B: R = 93.2 without impairments is a MOS of 4.41.
        assert!((fresh.mos - 4.41).abs() < 0.01, "{fresh:?}");
        meters.received.store(90, Ordering::Relaxed);
        meters.lost.store(10, Ordering::Relaxed);
        meters.set_remote_loss(64);
        meters.set_round_trip(Duration::from_millis(800));
        let told = meters.read();
        assert_eq!((told.loss_percent, told.remote_loss_percent), (10.0, Some(25.0)));
        assert!(told.mos < fresh.mos - 0.5, "400 ms one way are heard: {told:?}");
    }
}
