//! A media thread's place among the threads of the system: before the others, as long as it leaves
//! them time.

use std::time::Duration;

/// Ticks one after the other that took longer than they may before the place is given up.
const PATIENCE: u32 = 50;

/// What a media thread was given.
#[derive(Debug)]
pub(crate) struct Punctuality {
    before_all: bool,
    /// Ticks in a row that took too long.
    over: u32,
}

impl Punctuality {
    /// For the thread that calls: wakes without slack, and before other threads where the system lets us.
    /// All are wishes: a container may forbid them, and an ordinary user may have no right to them.
    pub(crate) fn claim() -> Self {
        Self { before_all: system::claim(), over: 0 }
    }

    /// The same for a thread that may wait for others by asking without end: it comes before most, and leaves those
    /// that it waits for their time.
    #[cfg(feature = "cpal")]
    pub(crate) fn prefer() {
        system::prefer();
    }

    /// After each tick. Who comes before all others and never sleeps would let nobody else run.
    pub(crate) fn ticked(&mut self, took: Duration, ptime: Duration) {
        self.over = if took < ptime { 0 } else { self.over + 1 };
        if self.before_all && self.over >= PATIENCE {
            self.before_all = false;
            tracing::warn!(?took, "a media thread has more to do than it has time for");
            system::give_up();
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use thread_priority::{
        NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
        ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };

    /// As a nice value: sound servers run at this one.
    const NICE: i32 = -11;
    /// Of 99; drivers of sound cards are at 50.
    const REALTIME: u8 = 10;
    /// Of 99 as well: a nice value of 0.
    const ORDINARY: u8 = 48;

    pub(super) fn prefer() {
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let _ = rustix::process::setpriority_process(None, NICE);
    }

    pub(super) fn claim() -> bool {
        // For those who may only have this, and for afterwards.
        prefer();
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
        let Ok(value) = ThreadPriorityValue::try_from(REALTIME) else { return false };
        let priority = ThreadPriority::Crossplatform(value);
        set_thread_priority_and_policy(thread_native_id(), priority, policy).is_ok()
    }

    pub(super) fn give_up() {
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        let Ok(value) = ThreadPriorityValue::try_from(ORDINARY) else { return };
        // What was granted can be given back.
        let _ =
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy);
        let _ = rustix::process::setpriority_process(None, NICE);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    #[cfg(feature = "cpal")]
    pub(super) fn prefer() {}

    pub(super) fn claim() -> bool {
        false
    }

    pub(super) fn give_up() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_sleeps_gives_its_place_up() {
        let (short, long) = (Duration::from_millis(3), Duration::from_millis(30));
        let ptime = Duration::from_millis(20);
        let mut place = Punctuality { before_all: true, over: 0 };
        for _ in 0..PATIENCE - 1 {
            place.ticked(long, ptime);
        }
        place.ticked(short, ptime);
        assert!(place.before_all, "it slept in time");
        for _ in 0..PATIENCE {
            assert!(place.before_all);
            place.ticked(long, ptime);
        }
        assert!(!place.before_all);
    }

    /// Where the system grants it, it is in force and can be given back.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_granted_is_in_force() {
        use thread_priority::{ThreadSchedulePolicy, thread_schedule_policy};
        let thread = std::thread::spawn(|| {
            let is_first = || matches!(thread_schedule_policy(), Ok(ThreadSchedulePolicy::Realtime(_)));
            let mut place = Punctuality::claim();
            assert_eq!(is_first(), place.before_all);
            for _ in 0..PATIENCE {
                place.ticked(Duration::from_secs(1), Duration::from_millis(20));
            }
            assert!(!is_first());
            #[cfg(feature = "cpal")]
            Punctuality::prefer();
            assert!(!is_first());
        });
        thread.join().expect("it holds");
    }
}
