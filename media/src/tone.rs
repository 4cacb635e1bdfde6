//! Tones: DTMF digits and call progress (ITU-T E.180, Q.23), as a port.

mod progress;

pub use progress::{Progress, Region};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bridge::{Port, PortEvent, Signal};

/// One step of a cadence: up to two frequencies for some time, or silence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Frequencies in Hz; 0 is none.
    pub frequencies: [f32; 2],
    /// Duration in milliseconds.
    pub ms: u32,
}

/// A tone with its cadence.
#[derive(Debug, Clone, PartialEq)]
pub struct Tone {
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// Play the steps again and again.
    pub repeat: bool,
    /// Level of each frequency in dBFS.
    pub level_db: f32,
}

impl Tone {
    /// One tone for some milliseconds.
    pub fn beep(frequency: f32, ms: u32) -> Self {
        Self { steps: vec![Step { frequencies: [frequency, 0.0], ms }], repeat: false, level_db: -12.0 }
    }

    /// Ringing as heard by the caller in Europe.
    pub fn ringback() -> Self {
        Self::progress(Progress::Ringback, Region::Europe)
    }

    /// Busy, in Europe.
    pub fn busy() -> Self {
        Self::progress(Progress::Busy, Region::Europe)
    }

    /// Congestion, in Europe.
    pub fn congestion() -> Self {
        Self::progress(Progress::Congestion, Region::Europe)
    }

    /// Dial tone, in Europe.
    pub fn dial() -> Self {
        Self::progress(Progress::Dial, Region::Europe)
    }

    /// Digits of DTMF (ITU-T Q.23), each so long with a pause of the same length; characters
    /// that are no digit are a pause.
    pub fn dtmf(digits: &str, ms: u32) -> Self {
        let steps = digits
            .chars()
            .flat_map(|digit| {
                let frequencies = dtmf_frequencies(digit).unwrap_or_default();
                [Step { frequencies, ms }, Step { frequencies: [0.0; 2], ms }]
            })
            .collect();
        Self { steps, repeat: false, level_db: -9.0 }
    }
}

/// The keypad of DTMF, row by row, and the frequencies of its rows and columns in Hz (ITU-T Q.23).
pub(crate) const DTMF_KEYS: [char; 16] =
    ['1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D'];
pub(crate) const DTMF_ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub(crate) const DTMF_COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The two frequencies of a DTMF digit.
pub fn dtmf_frequencies(digit: char) -> Option<[f32; 2]> {
    let digit = digit.to_ascii_uppercase();
    let at = DTMF_KEYS.iter().position(|key| *key == digit)?;
    Some([*DTMF_ROWS.get(at / 4)?, *DTMF_COLUMNS.get(at % 4)?])
}

/// A port that gives a tone.
#[derive(Debug)]
pub struct TonePort {
    tone: Tone,
    rate: u32,
    step: usize,
    /// Samples of this step given so far.
    at: u32,
    /// Per frequency: the two last samples of the oscillator and its coefficient.
    oscillators: [Oscillator; 2],
    stopped: Arc<AtomicBool>,
    done: bool,
    told: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Oscillator {
    coefficient: f64,
    last: f64,
    before: f64,
}

impl Oscillator {
    fn new(frequency: f32, rate: u32, amplitude: f64) -> Self {
        if frequency <= 0.0 {
            return Self::default();
        }
        let step = std::f64::consts::TAU * f64::from(frequency) / f64::from(rate);
        Self {
            coefficient: 2.0 * step.cos(),
            last: -step.sin() * amplitude,
            before: -(2.0 * step).sin() * amplitude,
        }
    }

    fn next(&mut self) -> f64 {
        let now = self.coefficient * self.last - self.before;
        (self.before, self.last) = (self.last, now);
        now
    }
}

/// Stops a [`TonePort`] from any thread.
#[derive(Debug, Clone)]
pub struct ToneHandle {
    stopped: Arc<AtomicBool>,
}

impl ToneHandle {
    /// Silence from the next tick on; the port tells [`PortEvent::Finished`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl TonePort {
    /// A port at `rate` Hz and its handle.
    pub fn new(tone: Tone, rate: u32) -> (Self, ToneHandle) {
        let stopped = Arc::new(AtomicBool::new(false));
        let handle = ToneHandle { stopped: stopped.clone() };
        // A cadence without time would never end a tick.
        let done = tone.steps.iter().all(|step| step.ms == 0);
        let mut port = Self {
            tone,
            rate: rate.max(1),
            step: 0,
            at: 0,
            oscillators: Default::default(),
            stopped,
            done,
            told: false,
        };
        port.tune();
        (port, handle)
    }

    fn tune(&mut self) {
        let Some(step) = self.tone.steps.get(self.step) else { return };
        let amplitude = 32_767.0 * 10f64.powf(f64::from(self.tone.level_db.min(0.0)) / 20.0);
        self.oscillators = step.frequencies.map(|frequency| Oscillator::new(frequency, self.rate, amplitude));
        self.at = 0;
    }

    fn sample(&mut self) -> i16 {
        while let Some(step) = self.tone.steps.get(self.step)
            && u64::from(self.at) * 1000 >= u64::from(step.ms) * u64::from(self.rate)
        {
            self.step += 1;
            if self.step == self.tone.steps.len() {
                if !self.tone.repeat {
                    self.done = true;
                    return 0;
                }
                self.step = 0;
            }
            self.tune();
        }
        self.at += 1;
        let sum: f64 = self.oscillators.iter_mut().map(Oscillator::next).sum();
        sum.clamp(-32_768.0, 32_767.0) as i16
    }
}

impl Port for TonePort {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        self.done |= self.stopped.load(Ordering::Relaxed);
        if self.done {
            out.fill(0);
            return Signal::Silent;
        }
        for slot in out {
            *slot = if self.done { 0 } else { self.sample() };
        }
        Signal::Audible
    }

    fn takes(&self) -> bool {
        false
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        (self.done && !std::mem::replace(&mut self.told, self.done)).then_some(PortEvent::Finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(pcm: &[i16], frequency: f32, rate: f64) -> f64 {
        let step = std::f64::consts::TAU * f64::from(frequency) / rate;
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in pcm.iter().enumerate() {
            re += f64::from(*sample) * (i as f64 * step).cos();
            im += f64::from(*sample) * (i as f64 * step).sin();
        }
        (re * re + im * im).sqrt() * 2.0 / pcm.len() as f64
    }

    #[test]
    fn digits_have_their_frequencies_and_length() {
        for digit in "0123456789ABCD*#".chars() {
            let (mut port, _) = TonePort::new(Tone::dtmf(&digit.to_string(), 100), 8_000);
            let mut pcm = vec![0; 800];
            port.pull(&mut pcm);
            let [low, high] = dtmf_frequencies(digit).expect("a digit");
            let expected = 32_767.0 * 10f64.powf(-9.0 / 20.0);
            for frequency in [low, high] {
                let found = power(&pcm, frequency, 8_000.0);
                assert!((found / expected - 1.0).abs() < 0.05, "{digit}: {found}");
            }
            let mut rest = vec![1; 800];
            port.pull(&mut rest);
            assert!(rest.iter().all(|s| *s == 0), "the pause");
            port.pull(&mut rest);
            assert_eq!(port.take_event(), Some(PortEvent::Finished));
        }
        assert_eq!(dtmf_frequencies('x'), None);
    }

    #[test]
    fn cadence_repeats_until_stopped() {
        let (mut port, handle) = TonePort::new(Tone::busy(), 8_000);
        let mut second = vec![0; 8_000];
        for _ in 0..3 {
            port.pull(&mut second);
            assert!(power(&second[..4_000], 425.0, 8_000.0) > 1_000.0);
            assert!(second[4_000..].iter().all(|s| *s == 0));
        }
        handle.stop();
        assert_eq!(port.pull(&mut second), Signal::Silent);
    }
}
