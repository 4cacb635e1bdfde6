//! How far before its time what comes is here, against how far it should be.

/// How the delay should change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Leave it.
    Keep,
    /// Play faster, by so many clock units at most: then nothing that comes is too late for it.
    Shorten(Urgency, i64),
    /// Play slower.
    Stretch(Urgency),
}

/// What a change of the delay may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nothing: it waits for a pause.
    Quiet,
    /// Little: where the sound repeats itself.
    Soon,
    /// Whatever it is.
    Now,
}

/// So much more delay than is needed is let out where the sound repeats itself, if there was no pause to
/// do it in for so many ticks.
const IMPATIENT_MS: i64 = 30;
const PATIENCE: u32 = 75;
/// From so much on there is no waiting for a pause, and from so much on there is no waiting at all.
const SOON_MS: i64 = 60;
const NOW_MS: i64 = 120;
/// What is less is let be.
const LITTLE_MS: i64 = 5;
/// What lacks more than this is made up at once.
const LACK_MS: i64 = 20;

/// How late a packet may be to come in time: the most of late, for a packet may have come at any time
/// since the last tick; but less than what was too late once, for ticks come a little early and late
/// themselves. In clock units.
#[derive(Debug, Default)]
pub(super) struct Level {
    now: i64,
    before: i64,
    count: u32,
    /// The least that was too late for a tick, in this window and the one before.
    missed: [Option<i64>; 2],
    missed_count: u32,
    /// When a packet begins to play after the last tick, less its timestamp.
    place: Option<i64>,
    /// How long after a tick the newest packet begins to play: it has to be here at the tick.
    beyond: i64,
    tick: i64,
    /// Ticks that the delay has been far too long.
    impatience: u32,
}

impl Level {
    const WINDOW: u32 = 32;
    /// What was missed counts for longer, two seconds to four: a tick is seldom the one that is early.
    const MISSED: u32 = 100;

    /// At a tick the newest packet, which has this timestamp and came so late, begins to play after `until`.
    pub(super) fn observe(&mut self, until: i64, timestamp: i64, late: i64, tick: i64) {
        self.tick = tick.max(1);
        self.place = Some(until - timestamp);
        self.missed_count += 1;
        if self.missed_count >= Self::MISSED {
            let [current, _] = self.missed;
            (self.missed, self.missed_count) = ([None, current], 0);
        }
        self.beyond = until.rem_euclid(self.tick);
        let units = until - self.beyond + late;
        self.now = self.now.max(units);
        self.count += 1;
        if self.count >= Self::WINDOW {
            self.before = self.now;
            self.now = units;
            self.count = 0;
        }
    }

    /// A packet with this timestamp, which is so late, has come after the last tick.
    pub(super) fn missed(&mut self, timestamp: i64, late: i64) {
        let Some(place) = self.place else { return };
        let until = place + timestamp;
        let units = until - until.rem_euclid(self.tick) + late;
        let [current, _] = &mut self.missed;
        *current = Some(current.map_or(units, |least| least.min(units)));
    }

    /// All that was missed would play so much later now.
    pub(super) fn moved(&mut self, units: i64) {
        self.missed = self.missed.map(|missed| missed.map(|missed| missed + units));
    }

    /// What to do to wait for packets that are late by `target`, and for a `wish` in a pause. While the network `is_new` nothing is
    /// let out that may be of use.
    pub(super) fn advice(&mut self, target: i64, wish: i64, is_new: bool, clock: i64) -> Advice {
        let ms = |ms: i64| ms * clock / 1000;
        let level = self.allowed();
        let excess = level - target;
        // What can go and no packet is too late for it.
        let spare = (level - wish).div_euclid(self.tick) * self.tick + self.beyond;
        self.impatience = if spare > ms(IMPATIENT_MS) { self.impatience + 1 } else { 0 };
        if spare > ms(NOW_MS) {
            Advice::Shorten(Urgency::Now, spare)
        } else if excess >= 0 && is_new {
            Advice::Keep
        } else if spare > ms(SOON_MS) || self.impatience > PATIENCE {
            Advice::Shorten(Urgency::Soon, spare)
        } else if spare >= ms(LITTLE_MS) {
            Advice::Shorten(Urgency::Quiet, spare)
        } else if excess >= -ms(LITTLE_MS) {
            if level < wish - ms(LITTLE_MS) { Advice::Stretch(Urgency::Quiet) } else { Advice::Keep }
        } else if excess >= -ms(LACK_MS) {
            Advice::Stretch(Urgency::Soon)
        } else {
            Advice::Stretch(Urgency::Now)
        }
    }

    /// Takes it that so much was dropped (negative) or added (positive).
    pub(super) fn adjusted(&mut self, units: i64) {
        let beyond = self.beyond + units;
        self.beyond = beyond.rem_euclid(self.tick.max(1));
        let whole = beyond - self.beyond;
        self.now += whole;
        self.before += whole;
        self.moved(whole);
        self.place = self.place.map(|place| place + units);
    }

    /// How late a packet may be.
    fn allowed(&self) -> i64 {
        let came = self.now.max(self.before);
        // One tick is early at most.
        let missed = self.missed.iter().flatten().min();
        missed.map_or(came, |missed| came.min((missed - 1).max(came - self.tick)))
    }

    /// How long a packet that is not late waits.
    pub(super) fn delay(&self) -> i64 {
        self.now.max(self.before) + self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms at 8 kHz.
    const TICK: i64 = 160;

    fn at(until: i64) -> Level {
        let mut level = Level::default();
        level.observe(until, 0, 0, TICK);
        level
    }

    fn advice(level: &mut Level, target: i64) -> Advice {
        level.advice(target, target, false, 8_000)
    }

    #[test]
    fn what_can_go_makes_no_packet_late() {
        // The newest packet has to be here at its tick, 40 of its 45 ms from now.
        let mut level = at(2 * TICK + 40);
        assert_eq!(advice(&mut level, 2 * TICK), Advice::Shorten(Urgency::Quiet, 40));
        assert_eq!(advice(&mut level, 2 * TICK + 1), Advice::Keep, "a packet would have no time left");
        assert_eq!(advice(&mut level, TICK), Advice::Shorten(Urgency::Quiet, 200));
        level.adjusted(-40);
        assert_eq!((advice(&mut level, 2 * TICK), level.delay()), (Advice::Keep, 2 * TICK));
        level.adjusted(-1);
        assert_eq!(level.delay(), 2 * TICK - 1);
        assert_eq!(advice(&mut level, 2 * TICK), Advice::Stretch(Urgency::Soon), "a whole tick is missing");
    }

    #[test]
    fn a_packet_in_time_tells_what_a_late_one_would_have() {
        let mut level = at(2 * TICK);
        level.observe(TICK, 0, 200, TICK);
        assert_eq!(level.delay(), TICK + 200);
    }

    #[test]
    fn what_was_too_late_once_does_not_come_in_time() {
        // Here with a tick to spare, and the next one was not.
        let mut level = at(TICK);
        level.missed(TICK, 0);
        assert_eq!(advice(&mut level, 0), Advice::Shorten(Urgency::Quiet, TICK));
        // The one after it was not here where the first one was.
        level.observe(0, TICK, 0, TICK);
        level.missed(2 * TICK, 0);
        assert_eq!(advice(&mut level, 0), Advice::Keep);
        // After two windows that is forgotten.
        for tick in 2..2 * i64::from(Level::MISSED) {
            assert_eq!(advice(&mut level, 0), Advice::Keep);
            level.observe(TICK, tick * TICK, 0, TICK);
        }
        level.observe(TICK, 0, 0, TICK);
        assert_eq!(advice(&mut level, 0), Advice::Shorten(Urgency::Quiet, TICK));
    }

    #[test]
    fn it_waits_for_a_pause_but_not_for_ever() {
        let mut level = at(3 * TICK);
        for _ in 0..PATIENCE {
            assert_eq!(advice(&mut level, TICK), Advice::Shorten(Urgency::Quiet, 2 * TICK));
        }
        assert_eq!(advice(&mut level, TICK), Advice::Shorten(Urgency::Soon, 2 * TICK));
        assert_eq!(advice(&mut level, -4 * TICK), Advice::Shorten(Urgency::Now, 7 * TICK));
    }

    #[test]
    fn a_wish_waits_for_a_pause() {
        let mut level = at(2 * TICK);
        assert_eq!(level.advice(2 * TICK, 3 * TICK, false, 8_000), Advice::Stretch(Urgency::Quiet));
        assert_eq!(level.advice(TICK, 2 * TICK, false, 8_000), Advice::Keep, "it is not let out");
    }

    #[test]
    fn while_the_network_is_new_nothing_is_let_out() {
        let mut level = at(5 * TICK);
        assert_eq!(level.advice(0, 0, true, 8_000), Advice::Keep);
        assert_eq!(level.advice(7 * TICK, 7 * TICK, true, 8_000), Advice::Stretch(Urgency::Now));
        assert_eq!(level.advice(-3 * TICK, -3 * TICK, true, 8_000), Advice::Shorten(Urgency::Now, 8 * TICK));
    }
}
