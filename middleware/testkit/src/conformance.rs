//! The sans-IO rules as tests of any machine.
//!
//! ARCHITECTURE.md gives every machine the same shape: inputs and timeouts go in, one
//! ordered queue comes out, and draining ends with the deadline. A machine that implements
//! [`Subject`] in its tests gets those rules checked by one line:
//!
//! ```
//! use std::collections::VecDeque;
//! use std::time::{Duration, Instant};
//! use testkit::conformance::{Step, Subject};
//!
//! /// Echoes what it gets, and again a second later.
//! struct Echo { queue: VecDeque<Vec<u8>>, again: VecDeque<(Instant, Vec<u8>)> }
//!
//! impl Subject for Echo {
//!     fn new(_seed: [u8; 32], _now: Instant) -> Self {
//!         Self { queue: VecDeque::new(), again: VecDeque::new() }
//!     }
//!     fn input(&mut self, now: Instant, data: &[u8]) {
//!         self.queue.push_back(data.to_vec());
//!         self.again.push_back((now + Duration::from_secs(1), data.to_vec()));
//!     }
//!     fn timeout(&mut self, now: Instant) {
//!         while self.again.front().is_some_and(|(at, _)| *at <= now) {
//!             self.queue.extend(self.again.pop_front().map(|(_, data)| data));
//!         }
//!     }
//!     fn poll(&mut self) -> Step {
//!         match self.queue.pop_front() {
//!             Some(data) => Step::Output(format!("{data:?}")),
//!             None => Step::Idle(self.again.front().map(|(at, _)| *at)),
//!         }
//!     }
//!     fn samples() -> Vec<Vec<u8>> { vec![b"hello".to_vec()] }
//! }
//!
//! testkit::conformance!(echo_keeps_the_rules, Echo);
//! # testkit::conformance::check_all::<Echo>();
//! ```

use std::time::{Duration, Instant};

use crate::{Clock, Random};

/// What polling a machine gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An output, in any form that tells two of them apart: its `Debug` will do.
    Output(String),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// A machine under test.
pub trait Subject: Sized {
    /// A machine in the state that its tests are about; `seed` is all its entropy.
    fn new(seed: [u8; 32], now: Instant) -> Self;

    /// Bytes from the network.
    fn input(&mut self, now: Instant, data: &[u8]);

    /// `handle_timeout`.
    fn timeout(&mut self, now: Instant);

    /// `poll_output`.
    fn poll(&mut self) -> Step;

    /// Valid inputs: the script gives them whole, mutated and cut.
    fn samples() -> Vec<Vec<u8>>;

    /// A command of the caller, chosen by `which`; errors that blame the caller are fine.
    fn command(&mut self, now: Instant, which: u64) {
        let _ = (now, which);
    }
}

/// Makes a module of tests, one for each rule, of a [`Subject`].
#[macro_export]
macro_rules! conformance {
    ($name:ident, $subject:ty) => {
        mod $name {
            #[allow(unused_imports, reason = "the subject may be given by a full path")]
            use super::*;

            #[test]
            fn inputs_may_come_in_a_row() {
                $crate::conformance::inputs_in_a_row::<$subject>();
            }

            #[test]
            fn idle_repeats_itself() {
                $crate::conformance::idle_is_fused::<$subject>();
            }

            #[test]
            fn timeouts_may_be_early_late_or_for_nothing() {
                $crate::conformance::spurious_timeouts::<$subject>();
            }

            #[test]
            fn no_bytes_make_it_panic() {
                $crate::conformance::garbage::<$subject>();
            }

            #[test]
            fn same_seed_and_inputs_same_outputs() {
                $crate::conformance::deterministic::<$subject>();
            }
        }
    };
}

const ROUNDS: u64 = 12;
const ACTIONS: usize = 160;
const OUTPUTS_AT_ONCE: usize = 100_000;
const TIMEOUTS_AT_ONCE: usize = 10_000;

/// All rules, for where a macro does not fit.
///
/// # Panics
/// If the machine breaks one; the message says which.
pub fn check_all<S: Subject>() {
    inputs_in_a_row::<S>();
    idle_is_fused::<S>();
    spurious_timeouts::<S>();
    garbage::<S>();
    deterministic::<S>();
}

/// Rule 4, first half: several inputs and commands in a row are legal, and draining ends.
///
/// # Panics
/// If the machine breaks the rule.
pub fn inputs_in_a_row<S: Subject>() {
    for round in 0..ROUNDS {
        let mut bench = Bench::<S>::new(round);
        let samples = S::samples();
        for at in 0..ACTIONS {
            if let Some(sample) = samples.get(at % samples.len().max(1)) {
                bench.machine.input(bench.clock.now(), sample);
            }
            bench.machine.command(bench.clock.now(), bench.random.number());
        }
        bench.drain();
    }
}

/// Rule 4, second half: after idling, polling again idles with the same deadline.
///
/// # Panics
/// If the machine breaks the rule.
pub fn idle_is_fused<S: Subject>() {
    for round in 0..ROUNDS {
        let mut bench = Bench::<S>::new(round);
        for _ in 0..ACTIONS {
            bench.act();
            let (_, deadline) = bench.drain();
            for _ in 0..3 {
                let again = bench.machine.poll();
                assert_eq!(
                    again,
                    Step::Idle(deadline),
                    "rule 4: after Idle, polling again must give the same Idle"
                );
            }
        }
    }
}

/// A timeout before the deadline does nothing, one long after it is as good as one on time,
/// and the deadline moves on, so that a driver does not spin.
///
/// # Panics
/// If the machine breaks the rule.
pub fn spurious_timeouts<S: Subject>() {
    for round in 0..ROUNDS {
        let mut bench = Bench::<S>::new(round);
        for _ in 0..ACTIONS {
            bench.act();
            let (_, mut deadline) = bench.drain();
            if deadline.is_none_or(|at| at > bench.clock.now()) {
                bench.machine.timeout(bench.clock.now());
                let early = bench.drain();
                assert_eq!(early, (Vec::new(), deadline), "a timeout before the deadline must do nothing");
            }
            // Now and then a driver that comes late.
            if bench.random.chance(0.2) {
                let late = bench.random.up_to(Duration::from_secs(90));
                bench.clock.advance(late);
                for spins in 0.. {
                    if deadline.is_none_or(|at| at > bench.clock.now()) {
                        break;
                    }
                    assert!(spins < TIMEOUTS_AT_ONCE, "the deadline does not move on: a driver would spin");
                    bench.machine.timeout(bench.clock.now());
                    deadline = bench.drain().1;
                }
            }
        }
    }
}

/// Rule 5: no bytes make it panic, nor keep it from idling.
///
/// # Panics
/// If the machine breaks the rule.
pub fn garbage<S: Subject>() {
    for round in 0..ROUNDS {
        let mut bench = Bench::<S>::new(round);
        for sample in S::samples() {
            let mut bench = Bench::<S>::new(round);
            // Every prefix, on fresh ground now and then so that a stream can be garbage
            // from its beginning.
            for end in 0..=sample.len().min(600) {
                bench.machine.input(bench.clock.now(), &sample[..end]);
                bench.drain();
                if bench.random.chance(0.05) {
                    bench = Bench::new(round + end as u64);
                }
            }
        }
        for _ in 0..ACTIONS {
            let len = bench.random.below(400);
            let data = bench.random.bytes(len);
            bench.machine.input(bench.clock.now(), &data);
            bench.act();
            bench.drain();
        }
    }
}

/// Rule 7: the same seed and the same inputs give the same outputs.
///
/// # Panics
/// If the machine breaks the rule.
pub fn deterministic<S: Subject>() {
    // Both runs begin at the same instant, so that instants in outputs are the same too.
    let clock = Clock::new();
    let log = |round| {
        let mut bench = Bench::<S>::at(clock.clone(), round);
        let mut log = Vec::new();
        for _ in 0..ACTIONS {
            bench.act();
            log.push(bench.drain());
        }
        log
    };
    for round in 0..ROUNDS {
        let (first, second) = (log(round), log(round));
        for (at, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_eq!(first, second, "rule 7: outputs differ after action {at} of round {round}");
        }
    }
}

struct Bench<S> {
    machine: S,
    clock: Clock,
    random: Random,
    samples: Vec<Vec<u8>>,
    deadline: Option<Instant>,
}

impl<S: Subject> Bench<S> {
    fn new(round: u64) -> Self {
        Self::at(Clock::new(), round)
    }

    fn at(clock: Clock, round: u64) -> Self {
        let mut random = Random::new(round);
        let machine = S::new(random.seed(), clock.now());
        Self { machine, clock, random, samples: S::samples(), deadline: None }
    }

    /// One thing that may happen to a machine, chosen by the seed.
    fn act(&mut self) {
        let now = self.clock.now();
        let sample = if self.samples.is_empty() {
            let len = self.random.below(100);
            self.random.bytes(len)
        } else {
            self.random.pick(&self.samples).clone()
        };
        match self.random.below(8) {
            0..=2 => self.machine.input(now, &sample),
            3 => {
                let mutated = self.random.mutate(&sample);
                self.machine.input(now, &mutated);
            }
            4 => {
                // In two pieces, as a stream may bring it.
                let (head, tail) = sample.split_at(self.random.below(sample.len() + 1));
                self.machine.input(now, head);
                self.machine.input(now, tail);
            }
            5 => self.machine.command(now, self.random.number()),
            6 => {
                let by = self.random.up_to(Duration::from_secs(2));
                self.clock.advance(by);
                self.machine.timeout(self.clock.now());
            }
            _ => {
                if let Some(deadline) = self.deadline {
                    self.clock.advance_to(deadline);
                    self.machine.timeout(self.clock.now());
                }
            }
        }
    }

    /// Polls until it idles.
    fn drain(&mut self) -> (Vec<String>, Option<Instant>) {
        let mut outputs = Vec::new();
        loop {
            match self.machine.poll() {
                Step::Output(output) => outputs.push(output),
                Step::Idle(deadline) => {
                    self.deadline = deadline;
                    return (outputs, deadline);
                }
            }
            assert!(outputs.len() < OUTPUTS_AT_ONCE, "rule 3: draining must end with Idle");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};
    use std::panic::catch_unwind;

    use super::*;

    /// Repeats what it gets a second later, and can be broken in one way at a time.
    struct Machine<const FLAW: u8> {
        queue: VecDeque<String>,
        later: VecDeque<(Instant, Vec<u8>)>,
        seen: HashMap<Vec<u8>, u64>,
        polled: u64,
    }

    const SOUND: u8 = 0;
    const PANICS: u8 = 1;
    const IDLE_CHANGES: u8 = 2;
    const HASH_ORDER: u8 = 3;
    const SPINS: u8 = 4;
    const NEVER_IDLES: u8 = 5;
    const EARLY: u8 = 6;

    impl<const FLAW: u8> Subject for Machine<FLAW> {
        fn new(_: [u8; 32], _: Instant) -> Self {
            Self { queue: VecDeque::new(), later: VecDeque::new(), seen: HashMap::new(), polled: 0 }
        }

        fn input(&mut self, now: Instant, data: &[u8]) {
            assert!(
                FLAW != PANICS || data.len() < 7 || data.first() != Some(&b'h') || data.get(4) == Some(&b'o')
            );
            self.later.push_back((now + Duration::from_secs(1), data.to_vec()));
            *self.seen.entry(data.to_vec()).or_default() += 1;
            if FLAW == HASH_ORDER {
                self.queue.push_back(format!("{:?}", self.seen));
            }
        }

        fn timeout(&mut self, now: Instant) {
            if FLAW == EARLY {
                self.queue.push_back("tick".into());
            }
            if FLAW == SPINS {
                return;
            }
            while self.later.front().is_some_and(|(at, _)| *at <= now) {
                self.queue.extend(self.later.pop_front().map(|(_, data)| format!("{data:?}")));
            }
        }

        fn poll(&mut self) -> Step {
            self.polled += 1;
            if FLAW == NEVER_IDLES {
                return Step::Output("again".into());
            }
            match self.queue.pop_front() {
                Some(output) => Step::Output(output),
                None if FLAW == IDLE_CHANGES && self.polled.is_multiple_of(7) => Step::Idle(None),
                None => Step::Idle(self.later.front().map(|(at, _)| *at)),
            }
        }

        fn samples() -> Vec<Vec<u8>> {
            vec![b"hello, world".to_vec(), b"another".to_vec()]
        }
    }

    crate::conformance!(a_sound_machine_passes, Machine<SOUND>);

    #[test]
    fn each_flaw_is_found_by_its_rule() {
        let rules: [(&str, fn(), u8); 6] = [
            ("garbage", garbage::<Machine<PANICS>>, PANICS),
            ("idle", idle_is_fused::<Machine<IDLE_CHANGES>>, IDLE_CHANGES),
            ("deterministic", deterministic::<Machine<HASH_ORDER>>, HASH_ORDER),
            ("spins", spurious_timeouts::<Machine<SPINS>>, SPINS),
            ("never idles", inputs_in_a_row::<Machine<NEVER_IDLES>>, NEVER_IDLES),
            ("early", spurious_timeouts::<Machine<EARLY>>, EARLY),
        ];
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let passed: Vec<_> = rules.iter().filter(|(_, rule, _)| catch_unwind(*rule).is_ok()).collect();
        std::panic::set_hook(quiet);
        assert!(
            passed.is_empty(),
            "went unnoticed: {:?}",
            passed.iter().map(|(name, ..)| name).collect::<Vec<_>>()
        );
    }
}
