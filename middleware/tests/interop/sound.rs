//! Sounds to play, and how much of one is in another.

use std::f64::consts::TAU;
use std::path::Path;

use testkit::sound::best_fit;

/// Samples per second at which sounds are made and written.
const RATE: u32 = 48_000;
/// Samples per second at which they are compared, which every codec carries.
const COMPARED: u32 = 8_000;
const SECONDS: u32 = 8;
/// Into how many parts a sample is cut when two sounds are laid over each other.
const SHIFTS: u32 = 6;
/// Short pieces that are looked for one after the other: how many, how long, and from one's begin to the next's.
const PIECES: usize = 16;
const PIECE: usize = COMPARED as usize / 12;
const APART: usize = COMPARED as usize / 4;
/// By how much a jitter buffer or another clock moves a piece against the one before it (60 ms), and any piece
/// against the one that was found first (200 ms).
const MOVES: usize = COMPARED as usize * 60 / 1000;
const MOST: usize = COMPARED as usize * 200 / 1000;
/// From here on it is no chance that something sounds alike.
const SURE: f32 = 0.9;

/// Samples from -1 to 1, a list a channel.
pub(crate) struct Sound {
    rate: u32,
    channels: Vec<Vec<f32>>,
}

impl Sound {
    /// Eight seconds that no other seed sounds like, as loud as speech.
    pub(crate) fn loud(seed: u64) -> Self {
        Self::voice(seed, 0.8, 3_000.0)
    }

    /// The same 20 dB lower.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self::voice(seed, 0.08, 3_000.0)
    }

    /// As loud, and deep: clocks that differ a little change little of it.
    pub(crate) fn deep(seed: u64) -> Self {
        Self::voice(seed, 0.8, 900.0)
    }

    /// Syllables of four tones each, between 250 Hz and the highest, that swell and fade.
    fn voice(seed: u64, level: f32, highest: f64) -> Self {
        const SYLLABLE: u32 = RATE * 4 / 25;
        let mut random = testkit::Random::new(seed);
        let mut tones = [[0.0; 2]; 4];
        let samples = (0..RATE * SECONDS).map(|at| {
            let within = f64::from(at % SYLLABLE) / f64::from(SYLLABLE);
            if at % SYLLABLE == 0 {
                let mut any = || random.below(10_000) as f64 / 10_000.0;
                tones = [(); 4].map(|()| [250.0 + (highest - 250.0) * any(), any()]);
            }
            let time = f64::from(at) / f64::from(RATE);
            let turns = tones.iter().map(|[pitch, phase]| (TAU * (pitch * time + phase)).sin());
            level * (turns.sum::<f64>() / 4.0 * (TAU / 2.0 * within).sin().powi(2)) as f32
        });
        Self { rate: RATE, channels: vec![samples.collect()] }
    }

    /// The same after some seconds of silence: for those who first have to find a way.
    pub(crate) fn after(&self, seconds: u32) -> Self {
        let silence = vec![0.0; (self.rate * seconds) as usize];
        let later = |channel: &Vec<f32>| [silence.as_slice(), channel.as_slice()].concat();
        Self { rate: self.rate, channels: self.channels.iter().map(later).collect() }
    }

    /// This one, and then the other.
    pub(crate) fn then(&self, other: &Self) -> Self {
        let both = self.channels.iter().zip(&other.channels);
        let channels = both.map(|(one, two)| [one.as_slice(), two.as_slice()].concat()).collect();
        Self { rate: self.rate, channels }
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

    /// Reads 16-bit PCM. Who is ended while it records leaves a header that counts too little or too much, so the
    /// samples go to the end of the file.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&bytes).unwrap_or_else(|| panic!("{}: no WAV of 16 bits", path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
        let mut format = None;
        loop {
            let (name, length) = (rest.get(..4)?, rest.get(4..8)?.try_into().ok()?);
            let length = u32::from_le_bytes(length) as usize;
            rest = rest.get(8..)?;
            if name == b"data" {
                break;
            }
            if name == b"fmt " {
                let word = |at: usize| Some(u16::from_le_bytes(rest.get(at..at + 2)?.try_into().ok()?));
                let rate = u32::from(word(4)?) | u32::from(word(6)?) << 16;
                format = Some((usize::from(word(2)?), rate)).filter(|_| word(14) == Some(16));
            }
            rest = rest.get(length.next_multiple_of(2)..)?;
        }
        let (count, rate) = format?;
        let mut channels = vec![Vec::new(); count];
        for (at, sample) in rest.chunks_exact(2).enumerate() {
            let sample = i16::from_le_bytes(sample.try_into().ok()?);
            channels.get_mut(at % count.max(1))?.push(f32::from(sample) / 32_768.0);
        }
        Some(Self { rate, channels })
    }

    /// Every channel, and their sum, at the rate of comparison.
    fn compared(&self) -> Vec<Vec<f32>> {
        let mut all: Vec<Vec<f32>> =
            self.channels.iter().map(|channel| sampled(channel, self.rate, 0.0)).collect();
        if let [left, right] = all.as_slice() {
            all.push(left.iter().zip(right).map(|(l, r)| l + r).collect());
        }
        all
    }
}

/// How alike each part of a sound is to where it is heard best.
#[derive(Debug)]
pub(crate) struct Resemblance(Vec<f32>);

impl Resemblance {
    /// How many are above a limit.
    pub(crate) fn pieces_above(&self, limit: f32) -> usize {
        self.0.iter().filter(|likeness| **likeness > limit).count()
    }

    /// What is better than another one: the more are surely there, then the more alike.
    fn rank(&self) -> (usize, f32) {
        (self.pieces_above(SURE), self.median())
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f32 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// Looks for four seconds of `played` in `heard`: the first anywhere, the others where they
/// have to be after it, give or take what a jitter buffer moves.
pub(crate) fn resemblance(played: &Sound, heard: &Sound) -> Resemblance {
    let second = COMPARED as usize;
    let shifts = shifted(played);
    let windows = |number: usize| {
        let begin = second / 2 + number * second;
        shifts.iter().filter_map(move |shift| shift.get(begin..begin + second)).collect::<Vec<_>>()
    };
    let follow = |heard: &[f32], until: usize| {
        let Some((origin, likeness)) = find(&windows(0), heard, 0, until) else {
            return Resemblance(vec![0.0]);
        };
        let mut all = vec![likeness];
        for number in 1..4 {
            let expected = origin + number * second;
            let near =
                find(&windows(number), heard, expected.saturating_sub(second / 5), expected + second / 5);
            all.extend(near.map(|(_, likeness)| likeness));
        }
        Resemblance(all)
    };
    // What is played over and over is in there several times: once so early that all of it follows.
    let found = heard.compared().into_iter().map(|heard| {
        let anywhere = follow(&heard, heard.len());
        if anywhere.median() > SURE {
            return anywhere;
        }
        let earlier = [4, 8].map(|seconds| follow(&heard, heard.len().saturating_sub(seconds * second)));
        earlier.into_iter().fold(anywhere, |best, one| if one.median() > best.median() { one } else { best })
    });
    found.max_by(|a, b| a.median().total_cmp(&b.median())).unwrap_or(Resemblance(Vec::new()))
}

/// Looks for pieces of a twelfth of a second, a quarter of one apart, in four seconds of `played`: for sounds
/// that went by another clock, as a sound card's, or that a jitter buffer moved about. One of them may be
/// anywhere in `heard`, the others are where they have to be then.
pub(crate) fn resemblance_in_pieces(played: &Sound, heard: &Sound) -> Resemblance {
    let shifts = shifted(played);
    let pieces: Vec<Vec<&[f32]>> = (0..PIECES)
        .map(|number| {
            let begin = COMPARED as usize / 2 + number * APART;
            shifts.iter().filter_map(|shift| shift.get(begin..begin + PIECE)).collect()
        })
        .collect();
    let turn = shifts.first().map_or(1, Vec::len).max(1);
    let mut best = Resemblance(Vec::new());
    for heard in heard.compared() {
        for (number, piece) in pieces.iter().enumerate() {
            let Some((at, _)) = find(piece, &heard, 0, heard.len()) else { continue };
            // What is played over and over is in there several times: once so that all of it follows.
            for at in (at % turn..heard.len()).step_by(turn) {
                let found = follow(&pieces, &heard, number, at);
                if found.rank() > best.rank() {
                    best = found;
                }
            }
            if best.pieces_above(SURE) > PIECES * 3 / 4 {
                return best;
            }
        }
    }
    best
}

/// How alike pieces are to what is heard, each a quarter of a second after the one before it or little more or
/// less, if one of them is heard at this position.
fn follow(pieces: &[Vec<&[f32]>], heard: &[f32], first: usize, at: usize) -> Resemblance {
    let mut likeness = vec![0.0; pieces.len()];
    let (later, earlier): (Vec<_>, Vec<_>) = ((first..pieces.len()).collect(), (0..first).rev().collect());
    for numbers in [later, earlier] {
        let mut last = (first, at);
        for number in numbers {
            // After pieces that were not found it may be further away.
            let reach = MOVES * number.abs_diff(last.0).max(1);
            let (expected, home) = (place(last, number), place((first, at), number));
            let from = expected.saturating_sub_unsigned(reach).max(home.saturating_sub_unsigned(MOST));
            let to = expected.saturating_add_unsigned(reach).min(home.saturating_add_unsigned(MOST));
            let Ok(to) = usize::try_from(to) else { continue };
            let Some((at, alike)) = find(&pieces[number], heard, usize::try_from(from).unwrap_or(0), to)
            else {
                continue;
            };
            likeness[number] = alike;
            if alike > SURE {
                last = (number, at);
            }
        }
    }
    Resemblance(likeness)
}

/// Where a piece is if another one is there and nothing was moved: before the sound begins, perhaps.
fn place((known, at): (usize, usize), number: usize) -> isize {
    at.cast_signed() + (number.cast_signed() - known.cast_signed()) * APART.cast_signed()
}

/// A sound at the rate of comparison, as it is and parts of a sample later: who resamples also delays by a
/// part of a sample, which counts at 3 kHz.
fn shifted(played: &Sound) -> Vec<Vec<f32>> {
    (0..SHIFTS)
        .map(|shift| sampled(&played.channels[0], played.rate, f64::from(shift) / f64::from(SHIFTS)))
        .collect()
}

/// Where in `heard`, between two positions, one of `windows` fits best, and how well.
fn find(windows: &[&[f32]], heard: &[f32], from: usize, to: usize) -> Option<(usize, f32)> {
    const ROUGH: usize = 4;
    let rough = |samples: &[f32]| -> Vec<f32> {
        samples.chunks_exact(ROUGH).map(|piece| piece.iter().sum()).collect()
    };
    let window = windows.first()?;
    let to = to.min(heard.len().checked_sub(window.len())?);
    // What is higher than a rough sample can show depends on where the samples begin.
    let looked_for = rough(window);
    let phases = (0..ROUGH).filter_map(|phase| {
        let area = rough(heard.get(from + phase..to + window.len())?);
        let (at, likeness) = best_fit(&looked_for, &area, 0, area.len())?;
        Some((from + phase + at * ROUGH, likeness))
    });
    let (near, _) = phases.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let fits = windows.iter().filter_map(|window| best_fit(window, heard, near.saturating_sub(8), near + 8));
    fits.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// At the rate of comparison, `shift` of a sample later. Our sounds end below half that
/// rate, so a straight line between two samples is near enough.
fn sampled(samples: &[f32], rate: u32, shift: f64) -> Vec<f32> {
    let step = f64::from(rate) / f64::from(COMPARED);
    let count = (samples.len() as f64 / step) as usize;
    let at = |number: usize| {
        let position = (number as f64 + shift) * step;
        let (index, part) = (position as usize, position.fract() as f32);
        let (here, next) = (samples.get(index)?, samples.get(index + 1)?);
        Some(here + (next - here) * part)
    };
    (0..count).map_while(at).collect()
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
fn a_copy_by_another_clock_is_recognised() {
    let (played, other) = (Sound::deep(1), Sound::deep(2));
    // A little faster, which no second of it survives.
    let pace = |sound: &Sound| {
        let channel = &sound.channels[0];
        let samples = (0..RATE as usize * 6).map(|at| channel[(at as f64 * 1.003) as usize]).collect();
        Sound { rate: RATE, channels: vec![samples] }
    };
    assert!(resemblance(&played, &pace(&played)).median() < 0.9);
    let found = resemblance_in_pieces(&played, &pace(&played));
    assert!(found.median() > 0.9, "{found:?}");
    let found = resemblance_in_pieces(&other, &pace(&played));
    assert!(found.median() < 0.8 && found.pieces_above(0.9) == 0, "{found:?}");
}

/// Blocks of a quarter of a second, each with a piece in it, in another order.
#[cfg(test)]
fn ordered(sound: &Sound, order: impl Fn(usize) -> usize) -> Sound {
    let blocks: Vec<_> = sound.channels[0].chunks_exact(RATE as usize / 4).collect();
    let samples = (0..blocks.len()).flat_map(|number| blocks[order(number)].to_vec()).collect();
    Sound { rate: RATE, channels: vec![samples] }
}

#[test]
fn pieces_in_the_wrong_order_are_not() {
    let played = Sound::loud(1);
    let found = |order: fn(usize) -> usize| resemblance_in_pieces(&played, &ordered(&played, order));
    assert_eq!(found(|number| number).pieces_above(SURE), PIECES);
    // The other way round, neighbours that changed places, and every second one twice.
    for (order, alike) in
        [(|number| 31 - number) as fn(usize) -> usize, |number| number ^ 1, |number| number & !1]
            .into_iter()
            .zip([1, PIECES / 2, PIECES / 2])
    {
        let found = found(order);
        assert_eq!(found.pieces_above(SURE), alike, "{found:?}");
    }
}

/// After each piece so many milliseconds are left out, or come twice where there are less than none.
#[cfg(test)]
fn moved(sound: &Sound, millis: impl Fn(usize) -> i32) -> Sound {
    let (blocks, mut samples) = (sound.channels[0].chunks_exact(RATE as usize / 4), Vec::new());
    for (number, block) in blocks.enumerate() {
        let (until, part) =
            (RATE as usize / 6, millis(number).unsigned_abs() as usize * RATE as usize / 1_000);
        let (until, from) = if millis(number) > 0 { (until, until + part) } else { (until + part, until) };
        samples.extend([&block[..until], &block[from..]].concat());
    }
    Sound { rate: RATE, channels: vec![samples] }
}

#[test]
fn what_a_buffer_moved_is_recognised() {
    let played = Sound::loud(1);
    for millis in [12, -12] {
        let heard = moved(&played, |_| millis);
        assert!(resemblance(&played, &heard).median() < SURE);
        let found = resemblance_in_pieces(&played, &heard);
        assert_eq!(found.pieces_above(SURE), PIECES, "{millis}: {found:?}");
    }
    // A call's first delay, let out at once.
    let heard = moved(&played, |number| if number == 8 { 50 } else { 0 });
    assert_eq!(resemblance_in_pieces(&played, &heard).pieces_above(SURE), PIECES);
    // Nobody plays a sixth faster.
    let found = resemblance_in_pieces(&played, &moved(&played, |_| 40));
    assert!(found.pieces_above(SURE) < PIECES * 3 / 4, "{found:?}");
}

#[test]
fn of_what_is_played_over_and_over_one_is_found_that_is_whole() {
    let played = Sound::loud(1);
    let samples = played.channels[0].repeat(3);
    for second in 0..8 {
        let from = second * RATE as usize;
        let heard = Sound { rate: RATE, channels: vec![samples[from..from + RATE as usize * 12].to_vec()] };
        let found = resemblance_in_pieces(&played, &heard);
        assert_eq!(found.pieces_above(SURE), PIECES, "from {second} on: {found:?}");
    }
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
