//! Tones that say how a call gets on, as networks sound them: ITU-T E.180 Supplement 2, ETSI TR 101 041-2
//! for Europe, ANSI T1.401 for North America, BT's SIN 350 for the United Kingdom.

use super::{Step, Tone};

/// What a tone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Dial.
    Dial,
    /// It rings there.
    Ringback,
    /// It is engaged.
    Busy,
    /// The network has no way now.
    Congestion,
    /// Somebody else calls meanwhile.
    Waiting,
    /// The number is not in use, or an announcement follows: three tones that rise.
    Information,
}

/// Whose tones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Region {
    /// What ETSI recommends, and most of Europe has.
    #[default]
    Europe,
    /// The United States and Canada.
    NorthAmerica,
    /// The United Kingdom.
    UnitedKingdom,
    /// France.
    France,
    /// Germany.
    Germany,
}

impl Region {
    /// The one of a country (ISO 3166, two letters); Europe's for those that are not listed.
    pub fn of_country(code: &str) -> Self {
        match code.to_ascii_uppercase().as_str() {
            "US" | "CA" => Self::NorthAmerica,
            "GB" | "UK" => Self::UnitedKingdom,
            "FR" => Self::France,
            "DE" => Self::Germany,
            _ => Self::Europe,
        }
    }
}

/// Frequencies in Hz (0: none) and milliseconds.
type Cadence = &'static [([f32; 2], u32)];

const PAUSE: [f32; 2] = [0.0, 0.0];

/// The steps that are repeated.
fn cadence(progress: Progress, region: Region) -> Cadence {
    const EU: [f32; 2] = [425.0, 0.0];
    const US_DIAL: [f32; 2] = [350.0, 440.0];
    const US_RING: [f32; 2] = [440.0, 480.0];
    const US_BUSY: [f32; 2] = [480.0, 620.0];
    const UK_RING: [f32; 2] = [400.0, 450.0];
    const UK: [f32; 2] = [400.0, 0.0];
    const FR: [f32; 2] = [440.0, 0.0];
    match (progress, region) {
        (Progress::Dial, Region::Europe | Region::Germany) => &[(EU, 1_000)],
        (Progress::Dial, Region::NorthAmerica | Region::UnitedKingdom) => &[(US_DIAL, 1_000)],
        (Progress::Dial, Region::France) => &[(FR, 1_000)],
        (Progress::Ringback, Region::Europe | Region::Germany) => &[(EU, 1_000), (PAUSE, 4_000)],
        (Progress::Ringback, Region::NorthAmerica) => &[(US_RING, 2_000), (PAUSE, 4_000)],
        (Progress::Ringback, Region::UnitedKingdom) => {
            &[(UK_RING, 400), (PAUSE, 200), (UK_RING, 400), (PAUSE, 2_000)]
        }
        (Progress::Ringback, Region::France) => &[(FR, 1_500), (PAUSE, 3_500)],
        (Progress::Busy, Region::Europe) => &[(EU, 500), (PAUSE, 500)],
        (Progress::Busy, Region::Germany) => &[(EU, 480), (PAUSE, 480)],
        (Progress::Busy, Region::NorthAmerica) => &[(US_BUSY, 500), (PAUSE, 500)],
        (Progress::Busy, Region::UnitedKingdom) => &[(UK, 375), (PAUSE, 375)],
        (Progress::Busy, Region::France) => &[(FR, 500), (PAUSE, 500)],
        (Progress::Congestion, Region::Europe) => &[(EU, 250), (PAUSE, 250)],
        (Progress::Congestion, Region::Germany) => &[(EU, 240), (PAUSE, 240)],
        (Progress::Congestion, Region::NorthAmerica) => &[(US_BUSY, 250), (PAUSE, 250)],
        (Progress::Congestion, Region::UnitedKingdom) => &[(UK, 400), (PAUSE, 350), (UK, 225), (PAUSE, 525)],
        (Progress::Congestion, Region::France) => &[(FR, 250), (PAUSE, 250)],
        (Progress::Waiting, Region::Europe | Region::Germany) => {
            &[(EU, 200), (PAUSE, 200), (EU, 200), (PAUSE, 5_000)]
        }
        (Progress::Waiting, Region::NorthAmerica) => &[(FR, 300), (PAUSE, 10_000)],
        (Progress::Waiting, Region::UnitedKingdom) => &[(UK, 100), (PAUSE, 2_500)],
        (Progress::Waiting, Region::France) => &[(FR, 300), (PAUSE, 10_000)],
        (Progress::Information, _) => {
            &[([950.0, 0.0], 330), ([1_400.0, 0.0], 330), ([1_800.0, 0.0], 330), (PAUSE, 1_000)]
        }
    }
}

impl Tone {
    /// What is heard there, again and again until it is stopped, at -14 dBFS a frequency.
    ///
    /// ```
    /// use media::tone::{Progress, Region, Tone};
    ///
    /// let busy = Tone::progress(Progress::Busy, Region::of_country("GB"));
    /// assert_eq!(busy.steps[0].frequencies, [400.0, 0.0]);
    /// assert_eq!(busy.steps[0].ms, 375);
    /// ```
    pub fn progress(progress: Progress, region: Region) -> Self {
        let steps = cadence(progress, region);
        let steps = steps.iter().map(|(frequencies, ms)| Step { frequencies: *frequencies, ms: *ms });
        Self { steps: steps.collect(), repeat: true, level_db: -14.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Port;
    use crate::tone::TonePort;

    /// On and off in milliseconds over a whole period, as samples show them.
    fn heard(tone: Tone) -> Vec<(bool, u32)> {
        let period: u32 = tone.steps.iter().map(|step| step.ms).sum();
        let (mut port, _) = TonePort::new(tone, 8_000);
        let mut runs: Vec<(bool, u32)> = Vec::new();
        for _ in 0..period / 5 {
            let mut piece = [0; 40];
            port.pull(&mut piece);
            let on = piece.iter().any(|sample| sample.unsigned_abs() > 500);
            match runs.last_mut() {
                Some((last, ms)) if *last == on => *ms += 5,
                _ => runs.push((on, 5)),
            }
        }
        runs
    }

    #[test]
    fn cadences_are_heard_as_the_tables_say() {
        let ring = |region| heard(Tone::progress(Progress::Ringback, region));
        assert_eq!(ring(Region::Europe), [(true, 1_000), (false, 4_000)]);
        assert_eq!(ring(Region::NorthAmerica), [(true, 2_000), (false, 4_000)]);
        assert_eq!(ring(Region::UnitedKingdom), [(true, 400), (false, 200), (true, 400), (false, 2_000)]);
        let busy = |region| heard(Tone::progress(Progress::Busy, region));
        assert_eq!(busy(Region::Europe), [(true, 500), (false, 500)]);
        assert_eq!(busy(Region::NorthAmerica), [(true, 500), (false, 500)]);
        assert_eq!(busy(Region::UnitedKingdom), [(true, 375), (false, 375)]);
        let full = |region| heard(Tone::progress(Progress::Congestion, region));
        assert_eq!(full(Region::Europe), [(true, 250), (false, 250)]);
        assert_eq!(full(Region::NorthAmerica), [(true, 250), (false, 250)]);
        assert_eq!(full(Region::UnitedKingdom), [(true, 400), (false, 350), (true, 225), (false, 525)]);
        let no = heard(Tone::progress(Progress::Information, Region::default()));
        assert_eq!(no, [(true, 990), (false, 1_000)]);
    }

    #[test]
    fn each_region_has_each_tone_and_it_ends_no_tick() {
        let regions = ["US", "gb", "fr", "DE", "RO"].map(Region::of_country);
        assert_eq!(regions[0], Region::NorthAmerica);
        assert_eq!(regions[4], Region::Europe);
        for region in regions {
            let all = [Progress::Dial, Progress::Ringback, Progress::Busy, Progress::Congestion];
            for progress in all.into_iter().chain([Progress::Waiting, Progress::Information]) {
                let tone = Tone::progress(progress, region);
                assert!(tone.repeat && tone.steps[0].frequencies[0] > 0.0, "{progress:?} {region:?}");
                assert!(tone.steps.iter().all(|step| step.ms > 0), "{progress:?} {region:?}");
            }
        }
    }
}
