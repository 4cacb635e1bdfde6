//! Sounds to play, and how much of one is in another.

use std::path::Path;

/// Samples per second at which sounds are made and written.
const RATE: u32 = 48_000;
/// Samples per second at which they are compared: three times what PCMU has, so that half a
/// sample of misalignment costs the highest tones little.
const COMPARED: u32 = 24_000;
const SECONDS: u32 = 8;

/// Samples from -1 to 1, a list a channel.
pub(crate) struct Sound {
    rate: u32,
    channels: Vec<Vec<f32>>,
}

impl Sound {
    /// Eight seconds that no other seed sounds like, at about -9 dBFS.
    pub(crate) fn loud(seed: u64) -> Self {
        Self::voice(seed, 0.35)
    }

    /// The same 20 dB lower.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self::voice(seed, 0.035)
    }

    /// Gliding tones between 200 and 3,000 Hz that swell and fade as syllables do.
    fn voice(seed: u64, level: f32) -> Self {
        let mut random = testkit::Random::new(seed);
        let mut between = |low: f32, high: f32| low + (high - low) * (random.below(10_000) as f32 / 10_000.0);
        let tones: Vec<[f32; 4]> = (0..10)
            .map(|tone| {
                let pitch = 200.0 + 260.0 * tone as f32 + between(0.0, 200.0);
                [pitch, between(-20.0, 20.0), between(1.0, 4.0), between(0.0, 6.0)]
            })
            .collect();
        let samples = (0..RATE * SECONDS).map(|at| {
            let t = at as f32 / RATE as f32;
            let sum: f32 = tones
                .iter()
                .map(|[pitch, glide, pulse, phase]| {
                    let turn = std::f32::consts::TAU;
                    // In f64: the phase grows into the ten thousands.
                    let angle =
                        f64::from(turn) * f64::from(t) * (f64::from(*pitch) + f64::from(glide * t) / 2.0);
                    angle.sin() as f32 * (turn * pulse * t + phase).sin().max(0.0)
                })
                .sum();
            (level * sum / 2.5).clamp(-1.0, 1.0)
        });
        Self { rate: RATE, channels: vec![samples.collect()] }
    }

    pub(crate) fn write(&self, path: &Path) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).expect("a new WAV file");
        for sample in self.channels.first().expect("a channel") {
            writer.write_sample((sample * 32_767.0) as i16).expect("a sample is written");
        }
        writer.finalize().expect("the header is written");
    }

    pub(crate) fn read(path: &Path) -> Self {
        let reader = hound::WavReader::open(path);
        let mut reader = reader.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let spec = reader.spec();
        let mut channels = vec![Vec::new(); usize::from(spec.channels)];
        for (at, sample) in reader.samples::<i16>().enumerate() {
            let sample = sample.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            channels[at % usize::from(spec.channels)].push(f32::from(sample) / 32_768.0);
        }
        Self { rate: spec.sample_rate, channels }
    }

    /// Every channel, and their sum, at the rate of comparison.
    fn compared(&self) -> Vec<Vec<f32>> {
        let mut all: Vec<Vec<f32>> =
            self.channels.iter().map(|channel| resample(channel, self.rate, COMPARED)).collect();
        if let [left, right] = all.as_slice() {
            all.push(left.iter().zip(right).map(|(l, r)| l + r).collect());
        }
        all
    }
}

/// How alike each second of a sound is to where it is heard best.
#[derive(Debug)]
pub(crate) struct Resemblance(Vec<f32>);

impl Resemblance {
    /// The middle one.
    pub(crate) fn median(&self) -> f32 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// Looks for seconds 1 to 4 of `played` in `heard`: the first anywhere, the others where
/// they have to be after it, give or take what a jitter buffer moves.
pub(crate) fn resemblance(played: &Sound, heard: &Sound) -> Resemblance {
    let second = COMPARED as usize;
    let played = played.compared().swap_remove(0);
    let best = heard.compared().into_iter().map(|heard| {
        let first = &played[second / 2..second * 3 / 2];
        let Some((origin, likeness)) = find(first, &heard, 0, heard.len()) else { return vec![0.0] };
        let mut all = vec![likeness];
        for after in 1..4 {
            let window = &played[second / 2 + after * second..second * 3 / 2 + after * second];
            let expected = origin + after * second;
            let found = find(window, &heard, expected.saturating_sub(second / 5), expected + second / 5);
            all.extend(found.map(|(_, likeness)| likeness));
        }
        all
    });
    let best =
        best.max_by(|a, b| Resemblance(a.clone()).median().total_cmp(&Resemblance(b.clone()).median()));
    Resemblance(best.unwrap_or_default())
}

/// Where in `heard`, between two positions, `window` fits best, and the correlation there.
fn find(window: &[f32], heard: &[f32], from: usize, to: usize) -> Option<(usize, f32)> {
    const COARSE: u32 = 12;
    let rough = |samples: &[f32]| resample(samples, COARSE, 1);
    let to = to.min(heard.len().checked_sub(window.len())?);
    let area = heard.get(from..(to + window.len()).min(heard.len()))?;
    let (rough_window, rough_area) = (rough(window), rough(area));
    let (at, _) = best(&rough_window, &rough_area, 0, rough_area.len())?;
    let near = from + at * COARSE as usize;
    best(window, heard, near.saturating_sub(2 * COARSE as usize), near + 2 * COARSE as usize)
}

fn best(window: &[f32], heard: &[f32], from: usize, to: usize) -> Option<(usize, f32)> {
    (from..=to)
        .filter_map(|at| Some((at, correlation(window, heard.get(at..at + window.len())?))))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0, 1e-9, 1e-9);
    for (a, b) in a.iter().zip(b) {
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}

/// Averages downwards and repeats upwards: enough to compare by.
fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let step = f64::from(from) / f64::from(to);
    let count = (samples.len() as f64 / step) as usize;
    (0..count)
        .map(|at| {
            let begin = (at as f64 * step) as usize;
            let end = (((at + 1) as f64 * step) as usize).clamp(begin + 1, samples.len());
            samples[begin..end].iter().sum::<f32>() / (end - begin) as f32
        })
        .collect()
}

#[test]
fn a_late_quiet_noisy_copy_is_recognised() {
    let played = Sound::loud(1);
    let mut random = testkit::Random::new(9);
    let mut heard = vec![0.0; 30_000];
    let noise = |random: &mut testkit::Random| (random.below(2_000) as f32 / 1_000.0 - 1.0) * 0.01;
    heard.extend(played.channels[0].iter().map(|sample| sample * 0.5 + noise(&mut random)));
    heard.truncate(48_000 * 6);
    let copy = Sound { rate: RATE, channels: vec![heard] };
    let found = resemblance(&played, &copy);
    assert!(found.median() > 0.95, "{found:?}");
}

#[test]
fn another_sound_is_not() {
    let found = resemblance(&Sound::loud(1), &Sound::loud(2));
    assert!(found.median() < 0.6, "{found:?}");
    let silence = Sound { rate: RATE, channels: vec![vec![0.0; 200_000]] };
    assert!(resemblance(&Sound::loud(1), &silence).median() < 0.1);
    let short = Sound { rate: RATE, channels: vec![vec![0.0; 2_000]] };
    assert!(resemblance(&Sound::loud(1), &short).median() < 0.1);
}

#[test]
fn the_louder_of_two_at_once_is() {
    let (ours, theirs) = (Sound::quiet(1), Sound::loud(2));
    let mix = ours.channels[0].iter().zip(&theirs.channels[0]).map(|(a, b)| a + b).collect();
    let found = resemblance(&theirs, &Sound { rate: RATE, channels: vec![mix] });
    assert!(found.median() > 0.95, "{found:?}");
}
