//! Key presses as the tones that they are, for peers that hear nothing else.

use media::bridge::{Port, Signal};
use media::tone::dtmf_frequencies;
use rtrb::{Consumer, Producer, RingBuffer};

/// Presses that wait for the ones before.
const WAITING: usize = 64;
/// How long a key sounds, and how long none does after it, in milliseconds (ITU-T Q.24 asks for 40 of each).
const SOUNDS_MS: u32 = 100;
const PAUSE_MS: u32 = 80;
/// Amplitude of each of both tones: together below full scale.
const AMPLITUDE: f64 = 8_000.0;

/// The port.
pub(super) struct Keys {
    rate: u32,
    presses: Consumer<char>,
    /// The tones of the key that sounds, and the sample that is next.
    now: Option<([f32; 2], u32)>,
}

/// A port at `rate` Hz and where keys are pressed.
pub(super) fn keys(rate: u32) -> (Keys, Producer<char>) {
    let (presser, presses) = RingBuffer::new(WAITING);
    (Keys { rate, presses, now: None }, presser)
}

impl Port for Keys {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        let (sounds, all) = (self.rate / 1_000 * SOUNDS_MS, self.rate / 1_000 * (SOUNDS_MS + PAUSE_MS));
        let mut signal = Signal::Silent;
        for sample in out {
            if self.now.is_none() {
                let tones = self.presses.pop().ok().and_then(dtmf_frequencies);
                self.now = tones.map(|tones| (tones, 0));
            }
            let Some((tones, at)) = &mut self.now else {
                *sample = 0;
                continue;
            };
            *sample = 0;
            if *at < sounds {
                let time = f64::from(*at) / f64::from(self.rate);
                let wave = |tone: f32| (std::f64::consts::TAU * f64::from(tone) * time).sin() * AMPLITUDE;
                *sample = tones.iter().map(|tone| wave(*tone)).sum::<f64>().round() as i16;
                signal = Signal::Audible;
            }
            *at += 1;
            if *at >= all {
                self.now = None;
            }
        }
        signal
    }

    fn takes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8_000;
    const TONES: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];

    /// How much of a tone is in it (Goertzel).
    fn power(samples: &[i16], tone: f32) -> f64 {
        let step = std::f64::consts::TAU * f64::from(tone) / f64::from(RATE);
        let (mut last, mut before) = (0.0, 0.0);
        for sample in samples {
            (before, last) = (last, f64::from(*sample) + 2.0 * step.cos() * last - before);
        }
        last * last + before * before - 2.0 * step.cos() * last * before
    }

    #[test]
    fn keys_sound_one_after_the_other() {
        let (mut port, mut presser) = keys(RATE);
        for key in "5#D".chars() {
            presser.push(key).expect("there is room");
        }
        let mut heard = vec![0; RATE as usize];
        for frame in heard.chunks_mut(160) {
            port.pull(frame);
        }
        let length = (RATE / 1_000 * (SOUNDS_MS + PAUSE_MS)) as usize;
        for (index, expected) in [[770.0, 1_336.0], [941.0, 1_477.0], [941.0, 1_633.0]].iter().enumerate() {
            let key = &heard[index * length..index * length + (RATE / 1_000 * SOUNDS_MS) as usize];
            let mut by_power = TONES;
            by_power.sort_by(|a, b| power(key, *b).total_cmp(&power(key, *a)));
            let mut loudest = [by_power[0], by_power[1]];
            loudest.sort_by(f32::total_cmp);
            assert_eq!(loudest, *expected, "key {index}");
            assert!(power(key, by_power[1]) > 100.0 * power(key, by_power[2]), "nothing else sounds");
        }
        assert!(heard[3 * length..].iter().all(|sample| *sample == 0), "and then none");
    }
}
