//! Sample rate conversion: a polyphase windowed-sinc filter.
//!
//! For rates with the ratio `up / down` (lowest terms) there are `up` filters, one per
//! position between two input samples. The cut-off is a little below the lower Nyquist
//! frequency; the window is Kaiser's with 80 dB of stop band.

/// Converts a stream of mono PCM from one rate to another.
#[derive(Debug, Clone)]
pub struct Resampler {
    up: usize,
    down: usize,
    taps: usize,
    /// `up` filters of `taps` coefficients, each reversed for a forward scalar product.
    filters: Vec<f32>,
    history: Vec<f32>,
    /// Where the next output lies: so many input samples from the history's start …
    start: usize,
    /// … and so many parts of 1 / `up` of a sample.
    phase: usize,
}

/// Zero crossings on each side at the lower rate: what decides the steepness.
const HALF_WIDTH: usize = 16;
const KAISER_BETA: f64 = 8.0;
const CUTOFF: f64 = 0.92;

impl Resampler {
    /// A converter from `from` Hz to `to` Hz. Rates are clamped to 1..=384000.
    pub fn new(from: u32, to: u32) -> Self {
        let (from, to) = (from.clamp(1, 384_000), to.clamp(1, 384_000));
        let divisor = gcd(from, to);
        let (up, down) = ((to / divisor) as usize, (from / divisor) as usize);
        // In downsampling the filter stretches over more input samples.
        let stretch = (f64::from(from) / f64::from(to)).max(1.0);
        let taps = ((2.0 * HALF_WIDTH as f64 * stretch).ceil() as usize).next_multiple_of(8);
        // Ratios such as 48000:47999 would need a filter per output position: bounded by rounding.
        let filters = design(up, taps, CUTOFF / stretch);
        Self { up, down, taps, filters, history: vec![0.0; taps - 1], start: 0, phase: 0 }
    }

    /// Input samples that [`Self::process`] needs now to give `output` samples.
    pub fn needed(&self, output: usize) -> usize {
        if output == 0 {
            return 0;
        }
        let last = self.start * self.up + self.phase + (output - 1) * self.down;
        (last / self.up + self.taps).saturating_sub(self.history.len())
    }

    /// Takes all of `input`, writes what can be computed to `output` and returns how many
    /// samples that were; what does not fit into `output` is lost (give room: see [`Self::needed`]).
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        self.history.extend(input.iter().map(|sample| f32::from(*sample)));
        let (whole, part) = (self.down / self.up, self.down % self.up);
        let mut written = 0;
        for slot in output {
            let Some(window) = self.history.get(self.start..self.start + self.taps) else { break };
            let filter = self.phase * self.taps;
            let sum = product(window, &self.filters[filter..filter + self.taps]);
            // The cast saturates; adding half by sign rounds.
            *slot = (sum + 0.5f32.copysign(sum)) as i16;
            self.start += whole;
            self.phase += part;
            if self.phase >= self.up {
                self.phase -= self.up;
                self.start += 1;
            }
            written += 1;
        }
        let used = self.start.min(self.history.len());
        self.history.copy_within(used.., 0);
        self.history.truncate(self.history.len() - used);
        self.start -= used;
        written
    }

    /// Delay of the filter in samples of the output rate.
    pub fn delay(&self) -> usize {
        self.taps / 2 * self.up / self.down
    }
}

/// Eight sums that do not wait for each other, so that the compiler can use vectors.
#[inline]
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum()
}

/// `cutoff` as a share of the input's Nyquist frequency.
fn design(up: usize, taps: usize, cutoff: f64) -> Vec<f32> {
    let mut filters = Vec::with_capacity(up * taps);
    let half = taps as f64 / 2.0;
    for phase in 0..up {
        let offset = phase as f64 / up as f64;
        let row: Vec<f64> = (0..taps)
            .map(|tap| {
                let x = tap as f64 - half + 1.0 - offset;
                let edge = (x / half).clamp(-1.0, 1.0);
                let window = bessel(KAISER_BETA * (1.0 - edge * edge).sqrt()) / bessel(KAISER_BETA);
                let angle = std::f64::consts::PI * x * cutoff;
                let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
                sinc * window
            })
            .collect();
        // Every phase passes a constant unchanged: no ripple at the input rate.
        let sum: f64 = row.iter().sum();
        filters.extend(row.iter().map(|value| (value / sum) as f32));
    }
    filters
}

/// The modified Bessel function of order zero.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, frequency: f64, samples: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        (0..samples).map(|i| ((i as f64 * step).sin() * 16_000.0) as i16).collect()
    }

    fn convert(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut output = Vec::new();
        let block = (from / 50) as usize;
        for chunk in input.chunks(block) {
            let mut out = vec![0; to as usize / 25];
            let n = resampler.process(chunk, &mut out);
            output.extend_from_slice(&out[..n]);
        }
        output
    }

    /// Power at a frequency against all power, in dB.
    fn purity(rate: u32, frequency: f64, pcm: &[i16]) -> f64 {
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (i, sample) in pcm.iter().enumerate() {
            let x = f64::from(*sample);
            re += x * (i as f64 * step).cos();
            im += x * (i as f64 * step).sin();
            all += x * x;
        }
        let signal = 2.0 * (re * re + im * im) / pcm.len() as f64;
        10.0 * (signal / (all - signal).max(1e-9)).log10()
    }

    #[test]
    fn tones_pass_clean_at_every_pair_of_rates() {
        for from in [8_000, 16_000, 44_100, 48_000] {
            for to in [8_000, 16_000, 32_000, 44_100, 48_000] {
                let output = convert(from, to, &tone(from, 1_000.0, from as usize));
                let expected = to as usize;
                assert!(output.len().abs_diff(expected) < 200, "{from}->{to}: {} samples", output.len());
                let steady = &output[to as usize / 10..to as usize / 10 + to as usize / 2];
                let clean = purity(to, 1_000.0, steady);
                assert!(clean > 60.0, "{from} -> {to}: {clean:.1} dB");
            }
        }
    }

    #[test]
    fn what_would_alias_is_gone() {
        let output = convert(48_000, 8_000, &tone(48_000, 5_000.0, 48_000));
        let loudest = output[400..].iter().map(|s| s.unsigned_abs()).max().expect("not empty");
        assert!(loudest < 16, "{loudest}: 60 dB down at least");
    }

    #[test]
    fn needed_is_exact() {
        for (from, to) in [(8_000, 48_000), (48_000, 8_000), (11_025, 16_000), (44_100, 48_000)] {
            let mut resampler = Resampler::new(from, to);
            let frame = to as usize / 50;
            for _ in 0..200 {
                let need = resampler.needed(frame);
                let mut out = vec![0; frame];
                assert_eq!(resampler.process(&vec![5; need], &mut out), frame, "{from} -> {to}");
            }
        }
    }
}
