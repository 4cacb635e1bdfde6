//! Playing faster and slower, as the jitter buffer advises.

use std::sync::atomic::Ordering;

use super::StreamPort;
use crate::jitter::{Advice, Urgency};
use crate::timescale;

/// Ticks of quiet that are a pause of the speaker rather than part of a word.
const PAUSE: u32 = 3;

impl StreamPort {
    /// Follows the advice of the jitter buffer: in pauses at once, in speech every 60 ms unless it is urgent.
    pub(super) fn scale(&mut self, keep: usize) {
        self.since_scaled = self.since_scaled.saturating_add(1);
        let decoded = self.units(self.format.play.len());
        let patient = |urgency| match urgency {
            Urgency::Soon if self.since_scaled < 3 => Urgency::Quiet,
            other => other,
        };
        let changed = match self.jitter.advice(decoded, self.units(keep)) {
            Advice::Keep => 0,
            Advice::Shorten(urgency, most) => -self.shorten(keep, patient(urgency), most),
            Advice::Stretch(urgency) => self.stretch(patient(urgency)),
        };
        if changed != 0 {
            self.since_scaled = 0;
            self.jitter.adjusted(changed);
        }
    }

    /// Leaves out a period; gives its clock units.
    fn shorten(&mut self, keep: usize, urgency: Urgency, most: i64) -> i64 {
        if urgency == Urgency::Quiet && self.quiet < PAUSE {
            return 0;
        }
        // That needs two, and enough has to be left for this tick. What comes next is not called lost
        // before its time for that.
        if self.format.play.len() < 2 * keep && !(self.jitter.is_ready() && self.decode_next()) {
            return 0;
        }
        let clock = u64::from(self.format.clock_rate.max(1));
        let most = most.unsigned_abs().saturating_mul(u64::from(self.format.rate)) / clock;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let removed = timescale::shorten(&mut self.format.play, self.format.rate, most, urgency);
        self.shared.shortened.fetch_add(u64::from(removed > 0), Ordering::Relaxed);
        self.units(removed)
    }

    /// Repeats a period; gives its clock units.
    fn stretch(&mut self, urgency: Urgency) -> i64 {
        if urgency == Urgency::Quiet && self.quiet < PAUSE {
            return 0;
        }
        let added = timescale::stretch(&mut self.format.play, self.format.rate, urgency);
        self.shared.stretched.fetch_add(u64::from(added > 0), Ordering::Relaxed);
        self.units(added)
    }

    /// Samples of the port in clock units.
    fn units(&self, samples: usize) -> i64 {
        let clock = u64::from(self.format.clock_rate);
        i64::try_from(samples as u64 * clock / u64::from(self.format.rate.max(1))).unwrap_or(0)
    }
}
